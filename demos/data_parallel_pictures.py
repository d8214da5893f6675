"""The pictures of `demos.data_parallel`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from demos.pictures import GREY, SIGNED, mosaic
from demos.scaling import Speed

COLOURS = {"threads": "C0", "ranks": "C1"}


class OneStep(NamedTuple):
    """A batch split over workers, and what came of it."""

    parts: list[np.ndarray]  # the images (nᵢ, 28, 28) of each worker
    shares: list[np.ndarray]  # (nᵢ/n) ∇Lᵢ of each, (10, 28, 28)
    total: np.ndarray  # their sum
    whole: np.ndarray  # ∇L of the whole batch

    @property
    def apart(self) -> float:
        """The largest difference of an entry."""
        return float(np.abs(self.total - self.whole).max())

    @property
    def largest(self) -> float:
        """The largest entry."""
        return float(np.abs(self.whole).max())


def draw_one_step(step: OneStep, path: Path) -> None:
    """A row for each worker, images and gradient; then the sum, the whole batch, and what is left.

    The gradients are those of the weights of ten units, one for each digit.
    """
    n = sum(map(len, step.parts))
    rows = [
        (f"worker {i}", f"{len(part)} of {n} images", part, f"+ {len(part)}/{n} · ∇L", share)
        for i, (part, share) in enumerate(zip(step.parts, step.shares, strict=True), 1)
    ]
    everything = np.concatenate(step.parts)
    rows += [
        ("", "", None, "= sum of the three", step.total),
        ("one process", f"all {n} images", everything, "∇L", step.whole),
        ("", "", None, f"difference; black to white is {step.apart:.0e}", step.total - step.whole),
    ]
    figure = plt.figure(figsize=(11, 7), layout="constrained")
    grid = figure.add_gridspec(len(rows), 2, width_ratios=(1, 4.4), height_ratios=[1] * len(rows))
    for i, (name, size, images, title, gradient) in enumerate(rows):
        left, right = (figure.add_subplot(grid[i, j]) for j in range(2))
        left.axis("off")
        if images is not None:
            left.imshow(mosaic(images, 6 if len(images) < 20 else 8, 2), GREY, vmin=0, vmax=1)
            left.set_title(f"{name}: {size}", fontsize=9)
        limit = step.largest if i < len(rows) - 1 else step.apart or 1.0
        right.imshow(mosaic(gradient, 10, 2), SIGNED, vmin=-limit, vmax=limit)
        right.set_title(title, fontsize=9)
        right.axis("off")
    figure.savefig(path)
    plt.close(figure)


def draw_same_run(runs: Sequence[Any], workers: str, path: Path) -> None:
    """The loss with workers over that without; and how far apart the weights are."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    steps = np.arange(1, len(runs[0].losses) + 1)
    left.plot(steps, runs[0].losses[:, 0], color="0.75", lw=5, label="no workers")
    left.plot(steps, runs[0].losses[:, 1], "C0", lw=1.2, label=workers)
    left.set(xlabel="step", ylabel="loss of the batch, nats", title="the same training")
    for run, colour in zip(runs, ("C2", "C3"), strict=True):
        right.semilogy(steps, np.maximum(run.apart, 1e-18), colour, label=run.name)
        rounding = np.finfo(run.name).eps / 2
        right.axhline(rounding, color=colour, ls=":", lw=1)
        right.annotate(
            "rounding of a 1", (steps[-1], rounding), ha="right", va="bottom", fontsize=8
        )
    right.set(xlabel="step", ylabel="largest difference of a weight", title="up to rounding")
    for axes in (left, right):
        axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def draw_scaling(single: Speed, found: Sequence[Speed], processors: int, path: Path) -> None:
    """Images per second against workers; whiskers are the quartiles of the steps."""
    figure, axes = plt.subplots(figsize=(6.8, 4.4))
    most = max(speed.workers for speed in found)
    base = next(speed for speed in found if speed.workers == 1).images_per_second
    axes.plot(
        [1, most], [base, base * most], "0.6", ls="--", lw=1, label="one worker, times their number"
    )
    axes.axhline(single.images_per_second, color="0.3", lw=1, ls=":")
    axes.annotate(
        "no workers: products on all processors", (most, single.images_per_second),
        ha="right", va="bottom", fontsize=8,
    )  # fmt: skip
    for kind, colour in COLOURS.items():
        speeds = [speed for speed in found if speed.kind == kind]
        if not speeds:
            continue
        images = [speed.batch / np.percentile(speed.seconds, (75, 50, 25)) for speed in speeds]
        low, middle, high = np.array(images).T
        counts = [speed.workers for speed in speeds]
        axes.errorbar(
            counts, middle, (middle - low, high - middle), color=colour, marker="o", capsize=3,
            label=kind,
        )  # fmt: skip
    if most > processors:
        axes.axvspan(processors, most, color="0.93", zorder=0)
        axes.annotate(
            f"more workers than\nthe {processors} processors", ((processors + most) / 2, 0),
            (0, 8), textcoords="offset points", ha="center", fontsize=8, color="0.4",
        )  # fmt: skip
    axes.set(xlabel="workers", ylabel="images per second", ylim=(0, None), xlim=(0.9, most + 0.1))
    axes.set_title(f"a step of the convolutional VAE, batch {single.batch}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper left")
    figure.savefig(path)
    plt.close(figure)
