"""Demos run as a user runs them: in a process of their own, where warnings are errors."""

import contextlib
import importlib
import io
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from demos.common import run
from minigrad.backend import default_generator

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


def asked(name: str, *arguments: object) -> subprocess.CompletedProcess:
    """The same of what ends before the work begins, without waiting for a process to start."""
    module = importlib.import_module(f"demos.{name}")
    out, err = io.StringIO(), io.StringIO()
    argv, stream = sys.argv, default_generator()
    state, status = stream.get_state(), 0
    sys.argv = [f"demos/{name}.py", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            run(module.main)
    except SystemExit as stop:
        status = stop.code
        if isinstance(status, str):  # Python prints it, and exits with 1
            print(status, file=err)
            status = 1
    finally:
        sys.argv = argv
        stream.set_state(state)
    return subprocess.CompletedProcess(arguments, status or 0, out.getvalue(), err.getvalue())


def printed(name: str, *arguments: object, timeout: float = 120) -> str:
    """What a demo that succeeds prints."""
    done = run_demo(name, *arguments, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows_of(text: str) -> list[list[str]]:
    """Each line as its cells, which two spaces or more set apart."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def assert_guided(text: str, folder: Path, seen: Mapping[str, str]) -> None:
    """Every picture is drawn, and of each, and no other, the text says what to see."""
    pictures = {path.name for path in folder.iterdir() if path.suffix in (".png", ".gif", ".svg")}
    assert pictures == set(seen)
    *_, guide = text.split(f"pictures in {folder}/:\n")
    assert [line.split()[0] for line in guide.splitlines() if line[2] != " "] == list(seen)


def assert_one_line(done: subprocess.CompletedProcess, message: str) -> None:
    """It failed with status 1 and one plain line that says so."""
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert len(done.stderr.splitlines()) == 1
