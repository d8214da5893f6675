"""The pictures of demos.vae_objectives."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from demos.pictures import DIGIT_COLOURS, GREY, mosaic

BLUE, ORANGE, BROWN = "C0", "C1", "#b35c00"


class Objective(NamedTuple):
    """What one loss made of two codes."""

    title: str
    said: str  # what to see
    codes: np.ndarray  # (n, 2), draws from q(z|x)
    labels: np.ndarray  # (n,)
    inputs: np.ndarray  # (k, h, w)
    outputs: np.ndarray  # (k, h, w), their reconstructions
    samples: np.ndarray  # (m, h, w), of codes from p(z)


def draw_trio(objectives: Sequence[Objective], path: Path) -> None:
    """A column for each loss: the codes, on the same axes; reconstructions; new images.

    The axes end where one code in fifty lies beyond.
    """
    limit = max(np.percentile(np.abs(o.codes), 98) for o in objectives)
    side, gap, width, height = 3.8, 0.35, 13.1, 7.35  # inches
    figure = plt.figure(figsize=(width, height))

    def at(column: int, top: float, tall: float) -> plt.Axes:
        left = 0.5 + column * (side + gap)
        place = left / width, 1 - (top + tall) / height, side / width, tall / height
        return figure.add_axes(place)

    for i, o in enumerate(objectives):
        axes = at(i, 0.6, side)
        _scatter(axes, o, limit)
        axes.set_title(o.said, fontsize=10, pad=5)
        axes.text(0.5, 1.09, o.title, transform=axes.transAxes, ha="center", weight="bold", size=12)
        if i == 0:
            axes.set_ylabel("code 2", labelpad=0)
        else:
            axes.tick_params(labelleft=False)
        pairs = mosaic(np.concatenate([o.inputs, o.outputs]), len(o.inputs))
        columns = (pairs.shape[1] + 1) // (o.inputs.shape[2] + 1)
        for top, pixels, title in (
            (5.2, pairs, "test images, and what becomes of them"),
            (6.25, mosaic(o.samples, columns), "new images, of codes drawn from N(0, 1)"),
        ):
            _images(at(i, top, side * pixels.shape[0] / pixels.shape[1]), pixels, title)
    figure.savefig(path)
    plt.close(figure)


def _scatter(axes: plt.Axes, o: Objective, limit: float) -> None:
    """The codes by digit, and where 2 σ of p(z) are."""
    for digit in np.unique(o.labels):
        points = o.codes[o.labels == digit].T
        axes.scatter(*points, color=DIGIT_COLOURS(digit), s=6, alpha=0.75, lw=0, label=digit)
    turn = np.linspace(0, 2 * np.pi, 200)
    axes.plot(2 * np.cos(turn), 2 * np.sin(turn), "k--", lw=1.3)
    axes.annotate(
        "2 σ of p(z)", (1.41, -1.41), (0.55 * limit, -0.8 * limit), fontsize=9,
        arrowprops=dict(arrowstyle="-", lw=0.8, shrinkB=1),
    )  # fmt: skip
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
    axes.set_xlabel("code 1", labelpad=1)
    axes.legend(
        loc="upper left", fontsize=8, handletextpad=-0.3, borderpad=0, labelspacing=0.1,
        markerscale=2, bbox_to_anchor=(0, 1), frameon=True, framealpha=0.7, edgecolor="none",
    )  # fmt: skip


def _images(axes: plt.Axes, pixels: np.ndarray, title: str) -> None:
    axes.imshow(pixels, GREY, vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set_title(title, fontsize=9, pad=4)
    axes.axis("off")


# ---------------------------------------------------------------- β


def draw_sweep(betas: Sequence[float], found: dict[str, np.ndarray], path: Path) -> None:
    """A panel for each quantity, (β, seeds): every run a dot, the median a line."""
    figure, all_axes = plt.subplots(1, len(found), figsize=(3.4 * len(found), 3.1))
    for axes, (name, values) in zip(all_axes, found.items(), strict=True):
        axes.fill_between(betas, values.min(1), values.max(1), color=BLUE, alpha=0.15, lw=0)
        axes.plot(betas, np.median(values, 1), color=BLUE, lw=2)
        axes.plot(betas, values, "o", color=BLUE, ms=5, alpha=0.5, mew=0)
        axes.set_xscale("log", base=2)
        axes.set_xticks(betas, [f"{b:g}" for b in betas])
        axes.minorticks_off()
        axes.set(xlabel="β", title=name)
        axes.yaxis.get_major_locator().set_params(nbins=6)
        axes.set_ylim(0, 1.1 * values.max())
    figure.suptitle("dots are runs from different seeds, the line is their median", fontsize=10)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


# ---------------------------------------------------------------- σ²


def draw_variances(
    variances: Sequence[float], mse: Sequence[float], cost: Sequence[float],
    learned: tuple[float, float, float], path: Path,
) -> None:  # fmt: skip
    """MSE and -ELBO against the decoder's σ²; `learned` is that which found its own."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    span = np.geomspace(min(variances), max(variances), 100)
    left.plot(span, span, "k:", lw=1.2, label="where σ² is the MSE")
    left.plot(variances, mse, "o-", color=BLUE, lw=1.8, label="σ² fixed")
    right.plot(variances, cost, "o-", color=BLUE, lw=1.8, label="σ² fixed")
    for axes, value in ((left, learned[1]), (right, learned[2])):
        axes.plot(
            learned[0], value, "*", color=ORANGE, ms=17, zorder=5,
            label=f"learned: σ² = {learned[0]:.4f}",
        )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlabel("σ² of the decoder, which is β with σ² = 1")
        axes.legend()
    left.set_ylim(0, 1.15 * max(mse))
    left.set_title("mean squared error of test images")
    right.set_title("-ELBO of test images, nats")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


# ---------------------------------------------------------------- collapse


class Course(NamedTuple):
    """How the codes of one training fared."""

    title: str
    kl: np.ndarray  # (epochs, codes), nats
    warm: int  # epochs of warm-up
    free_bits: float


def draw_courses(rows: Sequence[tuple[str, Sequence[Course]]], path: Path) -> None:
    """A row of panels for each setting: the KL of each code, epoch by epoch."""
    columns = len(rows[0][1])
    figure, all_axes = plt.subplots(
        len(rows), columns, figsize=(2.9 * columns, 2.9 * len(rows)), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    for line, (name, courses) in zip(all_axes, rows, strict=True):
        for axes, course in zip(line, courses, strict=True):
            epochs = np.arange(1, len(course.kl) + 1)
            order = np.argsort(-course.kl[-1])
            colours = plt.get_cmap("viridis")(np.linspace(0, 0.92, len(order)))
            for j, colour in zip(order, colours, strict=True):
                axes.plot(epochs, course.kl[:, j], color=colour, lw=1.4)
            if course.warm:
                axes.axvspan(0.5, course.warm, color=ORANGE, alpha=0.12, lw=0)
                axes.text(0.8, 0.97, "β grows", color=BROWN, va="top", fontsize=8,
                          transform=axes.get_xaxis_transform())  # fmt: skip
            if course.free_bits:
                axes.axhline(course.free_bits, color=ORANGE, ls="--", lw=1)
                axes.text(
                    epochs[-1], 0.25 * course.free_bits, f"{course.free_bits:g} nats are free",
                    ha="right", fontsize=8, color=BROWN,
                )  # fmt: skip
            axes.set_title(course.title, fontsize=10)
            axes.set_yscale("symlog", linthresh=0.1, linscale=0.6)
            axes.set_ylim(-0.01, 6)
            axes.set_yticks([0, 0.1, 1], ["0", "0.1", "1"])
            axes.xaxis.get_major_locator().set_params(integer=True)
        line[0].set_ylabel(f"{name}\nKL of each code, nats")
    for axes in all_axes[-1]:
        axes.set_xlabel("epoch")
    figure.suptitle(f"each line is one of {len(order)} codes", fontsize=11)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
