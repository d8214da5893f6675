"""Time and memory of a training step against batch size, depth and width."""

import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import minigrad
from demos.benchmark_cases import on_device
from demos.workloads import Alone, Step, w3
from minigrad import nn, optim

# Cost in proportion is an exponent of 1. Overheads that do not grow make it less. Growing out of a
# cache, or of the memory that the C library keeps, makes a step dearer from there on, by a factor
# of 1.5 or so: over four doublings that adds ln 1.5 / ln 16 = 0.15. Memory is counted, not timed.
AT_MOST = {"time": 1.15, "memory": 1.02}


class Line(NamedTuple):
    """The cost of a step at some sizes."""

    cost: str  # time, in seconds, or memory, in bytes
    model: str
    against: str
    sizes: list[int]
    costs: list[float]

    def fit(self) -> tuple[np.ndarray, np.ndarray, float]:
        """cost ∝ size^exponent, by least squares on the logarithms: sizes, costs and exponent.

        It takes the larger half of the sizes; at the smaller, overheads hide what grows.
        """
        half = len(self.sizes) // 2
        sizes = np.log(self.sizes[half:])
        line = np.polyfit(sizes, np.log(self.costs[half:]), 1)
        return np.exp(sizes), np.exp(np.polyval(line, sizes)), float(line[0])

    @property
    def exponent(self) -> float:
        """How steep it is."""
        return self.fit()[2]

    @property
    def is_linear(self) -> bool:
        """Whether the cost grows at most in proportion."""
        return self.exponent <= AT_MOST[self.cost]

    def cells(self) -> tuple[str, ...]:
        """Its row of the table."""
        scale, unit = (1e3, "ms") if self.cost == "time" else (1e-6, "MB")
        ends = [
            f"{size:,}: {scale * cost:.1f} {unit}"
            for size, cost in ((self.sizes[0], self.costs[0]), (self.sizes[-1], self.costs[-1]))
        ]
        verdict = "linear" if self.is_linear else "MORE THAN LINEAR"
        at_most = f"{AT_MOST[self.cost]:.2f}"
        return (
            f"{self.cost}, {self.model}",
            self.against,
            *ends,
            f"{self.exponent:.2f}",
            at_most,
            verdict,
        )


def dense_step(sizes: list[int], batch: int, device: str) -> Step:
    """A step of Adam for layers of these sizes, the output compared with zeros.

    He's initialisation keeps gradients of one size from layer to layer. The default one would make
    them a third at each, and after some 80 layers numbers so small that processors are slow.
    """
    minigrad.manual_seed(0)
    layers = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out, device=device), nn.ReLU(True)]
        nn.init.kaiming_normal_(layers[-2].weight, nonlinearity="relu")
    model = nn.Sequential(*layers[:-1])
    optimizer = optim.Adam(model.parameters())
    x = minigrad.randn(batch, sizes[0], device=device)

    def step() -> None:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    return step


def by_batch(batch: int, device: str) -> Step:
    """W3 of the benchmark."""
    minigrad.manual_seed(0)
    return w3(on_device(minigrad, device), Alone(), batch)[0]


SERIES: tuple[tuple[str, str, tuple[int, ...], Callable[[int, str], Step]], ...] = (
    ("convolutional VAE", "batch size", (8, 16, 32, 64, 128, 256, 512), by_batch),
    ("dense layers of 256, batch 64", "depth", (2, 4, 8, 16, 32, 64, 128),
     lambda depth, device: dense_step([256] * (depth + 1), 64, device)),
    ("784-width-784, batch 64", "width", (32, 64, 128, 256, 512, 1024, 2048, 4096),
     lambda width, device: dense_step([784, width, 784], 64, device)),
)  # fmt: skip


def seconds(step: Step, device: str, rounds: int) -> float:
    """The fastest of some steps, after two to warm up: other programs only make them slower."""
    found = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        step()
        minigrad.zeros(1, device=device).sum().item()  # comes after all that was asked for before
        found.append(time.perf_counter() - start)
    return min(found[2:])


def peak_bytes(make: Callable[[], Step]) -> int:
    """The most memory that is in use in a step: weights, their state, the graph, gradients."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        step = make()
        step()
        tracemalloc.reset_peak()
        step()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def growth(device: str, quick: bool) -> list[Line]:
    """A line of time and, on the CPU, one of memory for each series."""
    lines = []
    bar = tqdm(total=sum(len(sizes[:4] if quick else sizes) for _, _, sizes, _ in SERIES),
               desc="sizes", leave=False)  # fmt: skip
    for model, against, sizes, make in SERIES:
        sizes = list(sizes[:4] if quick else sizes)
        times, peaks = [], []
        for size in sizes:
            step = make(size, device)
            times.append(seconds(step, device, 2 if quick else 9))
            if device == "cpu":  # Python does not see a GPU's memory
                peaks.append(peak_bytes(partial(make, size, device)))
            bar.update()
        lines.append(Line("time", model, against, sizes, times))
        if peaks:
            lines.append(Line("memory", model, against, sizes, peaks))
    bar.close()
    return lines
