"""Milliseconds per training step, beside PyTorch's if that is installed.

The workloads are the course's models with random data: forward, backward and an Adam step. The same
lines run in both libraries, each in a process of its own; the two take turns, and a ratio is the
median over the rounds of one turn against the next. "products" is the time of the step's matrix
products alone, in NumPy: nothing that uses NumPy can be faster.
"""

import argparse
import importlib
import importlib.util
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from types import ModuleType

import numpy as np

from demos.common import run, table

COURSE = ""
TIME = "a minute"

Step = Callable[[], None]
Products = list[tuple[int, int, int]]  # (n, k, m): an n×k matrix times a k×m one


def dense_products(batch: int, sizes: list[tuple[int, int]]) -> Products:
    """Forward, weight gradient and input gradient of dense layers; the first needs no last one."""
    products = []
    for i, (fan_in, fan_out) in enumerate(sizes):
        products += [(batch, fan_in, fan_out), (fan_out, batch, fan_in)]
        products += [(batch, fan_out, fan_in)] if i else []
    return products


def w1(lib: ModuleType, batch: int = 32) -> tuple[Step, Products]:
    """W1: deck 000's dense autoencoder."""
    nn = lib.nn
    sizes = [784, 128, 64, 12, 3, 12, 64, 128, 784]
    layers = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU(True)]
    model = nn.Sequential(*layers[:-1], nn.Tanh())
    optimizer = lib.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5)
    criterion = nn.MSELoss()
    x = lib.tensor(np.random.default_rng(0).random((batch, 784), np.float32))

    def step() -> None:
        optimizer.zero_grad()
        criterion(model(x), x).backward()
        optimizer.step()

    return step, dense_products(batch, list(pairwise(sizes)))


def w2(lib: ModuleType, batch: int) -> tuple[Step, Products]:
    """W2: deck 004's VAE, 784-512-2-512-784."""
    nn, F = lib.nn, lib.nn.functional
    hidden, mean, log_var = nn.Linear(784, 512), nn.Linear(512, 2), nn.Linear(512, 2)
    decoder = nn.Sequential(nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, 784))
    parts = [hidden, mean, log_var, decoder]
    optimizer = lib.optim.Adam([p for part in parts for p in part.parameters()])
    x = lib.tensor(np.random.default_rng(0).random((batch, 784), np.float32))

    def step() -> None:
        optimizer.zero_grad()
        h = F.relu(hidden(x))
        m, s = mean(h), log_var(h)
        z = m + (s * 0.5).exp() * lib.randn_like(m)
        reconstruction = F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        divergence = 0.5 * (s.exp() + m * m - 1.0 - s).sum()
        ((reconstruction + divergence) / batch).backward()
        optimizer.step()

    sizes = [(784, 512), (512, 2), (512, 2), (2, 512), (512, 784)]
    return step, dense_products(batch, sizes)


def tiny(lib: ModuleType, op: Callable, length: int = 1000) -> tuple[Step, Products]:
    """A chain of `length` operations on two numbers: what an operation costs beside arithmetic."""
    x = lib.tensor([0.3, 0.7], requires_grad=True)
    c = lib.tensor([1.001, 0.999])

    def step() -> None:
        y = x
        for _ in range(length):
            y = op(y, c)
        y.sum().backward()

    return step, []


WORKLOADS: dict[str, Callable[[ModuleType], tuple[Step, Products]]] = {
    "W1 dense autoencoder, batch 32": w1,
    "W2 VAE 784-512-2, batch 50": lambda lib: w2(lib, 50),
    "W2 VAE 784-512-2, batch 128": lambda lib: w2(lib, 128),
    "1,000 × a tiny y * c": lambda lib: tiny(lib, lambda y, c: y * c),
    "1,000 × a tiny y + c": lambda lib: tiny(lib, lambda y, c: y + c),
    "1,000 × a tiny tanh(y)": lambda lib: tiny(lib, lambda y, c: y.tanh()),
}


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
    lib = importlib.import_module("minigrad" if library == "products" else library)
    steps: dict[str, Step] = {}
    for line in sys.stdin:
        name = list(WORKLOADS)[int(line)]
        if name not in steps:
            step, products = WORKLOADS[name](lib)
            steps[name] = products_step(products) if library == "products" else step
            seconds_per_call(steps[name], turn)  # warm up
        print(seconds_per_call(steps[name], turn), flush=True)


def ask(process: subprocess.Popen, number: int) -> float:
    """Seconds per step of that workload, measured by a worker now."""
    process.stdin.write(f"{number}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def measure(libraries: list[str], rounds: int, turn: float) -> list[tuple]:
    """A row for each workload: milliseconds of each library, and minigrad's ratio to PyTorch."""
    command = [sys.executable, "-m", "demos.benchmark", "--turn", str(turn), "--worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen([*command, library], **pipes) for library in libraries]
    rows = []
    for number, name in enumerate(WORKLOADS):
        times = np.array([[ask(w, number) for w in workers] for _ in range(rounds)]) * 1e3
        row = [name, *(f"{median(column):.2f}" for column in times.T)]
        if "tiny" in name:
            row[1 + libraries.index("products")] = "-"
        if "torch" in libraries:
            ratios = times[:, 0] / times[:, libraries.index("torch")]
            row.append(f"{median(ratios):.2f} ({ratios.min():.2f}-{ratios.max():.2f})")
        rows.append(tuple(row))
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
    libraries = ["minigrad", "products"]
    if importlib.util.find_spec("torch"):
        libraries.insert(1, "torch")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5:
        print(f"note: other programs keep {load:.1f} processors busy; the times will suffer")
    rows = measure(libraries, args.rounds, args.turn)
    ratio = ["ratio to torch"] if "torch" in libraries else []
    print(table(["ms per step (median)", *libraries, *ratio], rows))
    versions = [f"NumPy {np.__version__}"]
    if ratio:
        versions.append(f"PyTorch {importlib.import_module('torch').__version__}")
    print(f"{os.cpu_count()} processors, Python {platform.python_version()}, {', '.join(versions)}")
    if not ratio:
        print("PyTorch is not installed; with it, there is a column for it")


if __name__ == "__main__":
    run(main)
