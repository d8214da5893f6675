"""Milliseconds per training step, beside PyTorch's if that is installed.

The workloads are the course's models with random data: forward, backward and an Adam step. The same
lines run in both libraries, each in a process of its own; they take turns, and a ratio is the
median over the rounds of one turn against the next. "threads" is minigrad with the batch split over
as many as there are processors, by `minigrad.parallel`. "products" is the time of the step's matrix
products alone, in NumPy: nothing that uses NumPy can be faster.
"""

import argparse
import contextlib
import importlib
import importlib.util
import os
import platform
import subprocess
import sys
import time
from statistics import median

import numpy as np

from demos.common import run, table
from demos.workloads import WORKLOADS, Products, Step, plain
from minigrad.parallel import Threads

COURSE = ""
TIME = "2 minutes"


def seconds_per_call(step: Step, at_least: float) -> float:
    """The mean time of a call, over as many as fill `at_least` seconds."""
    calls, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < at_least or not calls:
        step()
        calls += 1
    return passed / calls


def products_step(products: Products) -> Step:
    """The matrix products of a step, and nothing else."""
    rng = np.random.default_rng(0)
    pairs = [
        (rng.random((n, k), np.float32), rng.random((k, m), np.float32)) for n, k, m in products
    ]

    def step() -> None:
        for a, b in pairs:
            a @ b

    return step


def worker(library: str, turn: float) -> None:
    """Answer each workload's number on standard input with its seconds per step."""
    lib = importlib.import_module(library if library == "torch" else "minigrad")
    with Threads() if library == "threads" else contextlib.nullcontext() as threads:
        backward = plain if threads is None else threads.backward
        steps: dict[str, Step] = {}
        for line in sys.stdin:
            name = list(WORKLOADS)[int(line)]
            if name not in steps:
                step, products = WORKLOADS[name](lib, backward)
                steps[name] = products_step(products) if library == "products" else step
                seconds_per_call(steps[name], turn)  # warm up
            time.sleep(
                min(0.2, turn)
            )  # till the threads of the one before, which spin a while, are asleep
            print(seconds_per_call(steps[name], turn), flush=True)


def ask(process: subprocess.Popen, number: int) -> float:
    """Seconds per step of that workload, measured by a worker now."""
    process.stdin.write(f"{number}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def measure(libraries: list[str], rounds: int, turn: float) -> list[tuple]:
    """A row for each workload: milliseconds of each library, and minigrad's ratios to PyTorch."""
    command = [sys.executable, "-m", "demos.benchmark", "--turn", str(turn), "--worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen([*command, library], **pipes) for library in libraries]
    rows = []
    for number, name in enumerate(WORKLOADS):
        rounds_of = ([ask(w, number) for w in workers] for _ in range(rounds))
        times = dict(zip(libraries, 1e3 * np.array(list(rounds_of)).T, strict=True))
        row = {library: f"{median(found):.2f}" for library, found in times.items()}
        for ours in ("minigrad", "threads") if "torch" in libraries else ():
            ratios = times[ours] / times["torch"]
            row[f"{ours} / torch"] = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        if "tiny" in name:  # it has no products, and no batch to split
            row |= {column: "-" for column in row if column.startswith(("products", "threads"))}
        rows.append((name, *row.values()))
    for process in workers:
        process.communicate()
    return rows


def main() -> None:
    """Measure and print."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--rounds", type=int, default=7, help="turns of each library (7)")
    made.add_argument("--turn", type=float, default=0.4, help="seconds of a turn (0.4)")
    made.add_argument("--quick", action="store_true", help="a few seconds, to see that it runs")
    made.add_argument("--worker", help=argparse.SUPPRESS)
    args = made.parse_args()
    if args.worker:
        worker(args.worker, args.turn)
        return
    if args.quick:
        args.rounds, args.turn = 1, 0.02
    libraries = ["minigrad", "threads", "products"]
    if importlib.util.find_spec("torch"):
        libraries.insert(2, "torch")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5:
        print(f"note: other programs keep {load:.1f} processors busy; the times will suffer")
    if kernels := os.environ.get("OPENBLAS_CORETYPE"):
        print(f"note: OPENBLAS_CORETYPE={kernels} keeps NumPy from choosing its matrix kernels")
    rows = measure(libraries, args.rounds, args.turn)
    ratio = ["minigrad / torch", "threads / torch"] if "torch" in libraries else []
    print(table(["ms per step (median)", *libraries, *ratio], rows))
    versions = [f"NumPy {np.__version__}"]
    if ratio:
        versions.append(f"PyTorch {importlib.import_module('torch').__version__}")
    print(f"{os.cpu_count()} processors, Python {platform.python_version()}, {', '.join(versions)}")
    if not ratio:
        print("PyTorch is not installed; with it, there is a column for it")


if __name__ == "__main__":
    run(main)
