"""The processes of a benchmark: each has a library to itself, and they take turns."""

import contextlib
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

import minigrad
from demos.benchmark_cases import CASES, on_device
from demos.foreign_load import ForeignLoad, disturbed
from demos.workloads import Alone, Products, Step
from minigrad.parallel import Threads

# ---------------------------------------------------------------- in the process of one library


def seconds_per_call(step: Step, at_least: float, wait: Step = lambda: None) -> float:
    """The mean time of a call, over as many as fill `at_least` seconds; `wait` till all is done."""
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < at_least or not calls:
        step()
        calls += 1
    wait()
    return (time.perf_counter() - start) / calls


def products_step(products: Products, device: str) -> Step:
    """The matrix products of a step, and nothing else."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: minigrad.tensor(rng.random(shape, np.float32), device=device).array
    pairs = [(draw(n, k), draw(k, m)) for n, k, m in products]

    def step() -> None:
        for a, b in pairs:
            a @ b

    return step


def library_named(name: str) -> ModuleType:
    """minigrad or torch: what that column of the table runs."""
    return importlib.import_module("torch" if name == "torch" else "minigrad")


def requests() -> Iterator[int]:
    """The numbers asked for on standard input, from now on."""
    print("ready", flush=True)
    yield from map(int, sys.stdin)


def reply(seconds: float, load: ForeignLoad) -> None:
    """Seconds per step, and how many processors others kept busy, to who asks."""
    print(seconds, load.processors, flush=True)


def wait_for(lib: Any) -> None:
    """Till its device has done all: it does things in order, and this comes last."""
    lib.zeros(1).sum().item()


def work(name: str, turn: float, device: str) -> None:
    """Answer each case's number on standard input with the time of its first steps."""
    lib = on_device(library_named(name), device)
    wait = partial(wait_for, lib)
    with Threads() if name == "threads" else contextlib.nullcontext() as threads:
        by = Alone() if threads is None else threads
        for number in requests():
            step, products = CASES[number].make(lib, by)
            step = products_step(products, device) if name == "products" else step
            time.sleep(turn / 2)  # till the threads of the one before, which spin, are asleep
            seconds_per_call(step, turn / 4, wait)  # warm up
            with ForeignLoad() as load:
                seconds = seconds_per_call(step, turn, wait)
            reply(seconds, load)


# ---------------------------------------------------------------- beside it


@contextlib.contextmanager
def processes(libraries: Sequence[str], *flags: str) -> Iterator[dict[str, subprocess.Popen]]:
    """One of each library, all of them ready; they end with the `with` statement."""
    command = [sys.executable, "-m", "demos.benchmark", *flags, "--worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    alone = {**os.environ, "MINIGRAD_KERNELS": "0"}
    with contextlib.ExitStack() as stack:
        started = {
            name: stack.enter_context(
                subprocess.Popen(
                    [*command, name], **pipes, env=alone if name == "minigrad" else None
                )
            )
            for name in libraries
        }
        for process in started.values():
            process.stdout.readline()
        yield started
        for process in started.values():
            process.stdin.close()


def ask(process: subprocess.Popen, number: int, what: str, tries: int) -> tuple[float, float]:
    """Seconds per step of that number by a worker now, and the load; the quietest of some tries."""
    answers = []
    for _ in range(tries):
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
        answer = process.stdout.readline().split()
        if not answer:
            raise OSError(f"benchmark: {what}: a library's process has ended")
        answers.append((float(answer[0]), float(answer[1])))
        if not disturbed(answers[-1][1]):
            break
    return min(answers, key=lambda answer: answer[1])


def take_turns(
    workers: Mapping[str, subprocess.Popen], number: int, what: str, rounds: Iterable, tries: int
) -> tuple[dict[str, list[float]], float]:
    """Seconds per step of each worker in each round, and the most foreign load."""
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    load = 0.0
    for _ in rounds:
        for name, process in workers.items():
            found, busy = ask(process, number, what, tries)
            seconds[name].append(found)
            load = max(load, busy)
    return seconds, load
