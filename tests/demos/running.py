"""Demos run as a user runs them: in a process of their own, where warnings are errors."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def python(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess:
    """What `python -W error …` answers from the checkout's root."""
    return subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip


def run_demo(name: str, *arguments: object, timeout: float = 120) -> subprocess.CompletedProcess:
    """What `python -m demos.NAME …` answers."""
    return python("-m", f"demos.{name}", *arguments, timeout=timeout)


def printed(name: str, *arguments: object, timeout: float = 120) -> str:
    """What a demo that succeeds prints."""
    done = run_demo(name, *arguments, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_one_line(done: subprocess.CompletedProcess, message: str) -> None:
    """It failed with status 1 and one plain line that says so."""
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert len(done.stderr.splitlines()) == 1
