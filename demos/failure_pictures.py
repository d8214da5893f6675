"""How the museum of failures is drawn: an exhibit's two cases side by side, and a sheet of all."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import FigureBase

from demos.pictures import GREY, in_few_colours

SICK, CURED, GREY_LINE = "#c22f2f", "#2a7f3f", "#777777"
APART = 0.12  # inches between what is written
Draw = Callable[[plt.Axes], None]


class Case(NamedTuple):
    """What came of one training: sick, or cured."""

    value: float  # the number that detects the failure
    said: str  # what else is to be known
    draw: Draw


class Shown(NamedTuple):
    """An exhibit on the wall."""

    title: str
    number: str  # what the value is
    cause: str
    cure: str
    sick: Case
    cured: Case


def number(value: float) -> str:
    """A value in few characters.

    >>> number(0.0), number(12.0), number(0.1234), number(3.2e-7), number(float("inf"))
    ('0', '12', '0.123', '3.2e-07', 'inf')
    """
    if abs(value) < 1e4 and value == round(value):
        return f"{value:.0f}"
    return f"{value:.1e}" if not 1e-3 <= abs(value) < 1e4 else f"{value:.3g}"


# ---------------------------------------------------------------- what a case may look like


def points(samples: np.ndarray, centres: np.ndarray) -> Draw:
    """Samples (n, 2) among the centres (modes, 2) of the data."""

    def draw(axes: plt.Axes) -> None:
        axes.scatter(*centres.T, s=130, facecolor="none", edgecolor=GREY_LINE, lw=1.2)
        axes.scatter(*samples.T, s=5, color="C0", alpha=0.5, lw=0, zorder=3)
        reach = 1.5 * np.abs(centres).max()
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
        axes.set_box_aspect(1)
        axes.spines[:].set_visible(False)

    return draw


def image(pixels: np.ndarray) -> Draw:
    """Grey pixels (h, w) from 0 to 1, NaN for gaps, or colours (h, w, 3)."""

    def draw(axes: plt.Axes) -> None:
        axes.imshow(pixels, GREY, vmin=0, vmax=1, interpolation="nearest")
        axes.axis("off")

    return draw


def firing(shares: np.ndarray) -> Draw:
    """How often each unit answers, the units in order."""

    def draw(axes: plt.Axes) -> None:
        shown, alive = np.sort(shares)[::-1], shares > 0
        axes.fill_between(np.arange(len(shown)), 100 * shown, step="mid", color="C0", lw=0)
        axes.axvspan(alive.sum() - 0.5, len(shown) - 0.5, color=SICK, alpha=0.15, lw=0)
        axes.set(xlim=(-0.5, len(shown) - 0.5), ylim=(0, 100))
        axes.set(xlabel="unit, red: silent for ever", ylabel="% of images it answers to")

    return draw


def course(values: Sequence[float], ylabel: str) -> Draw:
    """A number step by step, its size told by powers of ten; a cross where it ceased to be one."""

    def draw(axes: plt.Axes) -> None:
        finite = [value for value in values if np.isfinite(value)]
        axes.semilogy(range(1, len(finite) + 1), finite, color="C0", lw=1.8)
        if len(finite) < len(values):
            axes.plot(len(finite), finite[-1], "x", color=SICK, ms=10, mew=3)
        axes.minorticks_off()
        axes.set(xlabel="step", ylabel=ylabel)
        axes.xaxis.get_major_locator().set_params(integer=True)

    return draw


# ---------------------------------------------------------------- the walls


def _hang(figure: FigureBase, exhibit: Shown) -> None:
    """Sick beside cured, under the exhibit's name."""
    both = ("sick", SICK, exhibit.sick), ("cured", CURED, exhibit.cured)
    for axes, (name, colour, case) in zip(figure.subplots(1, 2), both, strict=True):
        case.draw(axes)
        told = f"{name}: {exhibit.number} = {number(case.value)}"
        axes.set_title(told, color=colour, fontsize=10, weight="bold")
        below = -0.22 if axes.get_xlabel() else -0.04
        axes.text(0.5, below, case.said, va="top", ha="center", fontsize=9,
                  transform=axes.transAxes)  # fmt: skip
    why = f"{exhibit.title}\nbecause: {exhibit.cause}; cured by: {exhibit.cure}"
    figure.suptitle(why, fontsize=12)


def draw_exhibit(exhibit: Shown, path: Path) -> None:
    """One exhibit."""
    figure = plt.figure(figsize=(9.6, 5), layout="constrained")
    figure.get_layout_engine().set(h_pad=APART)
    _hang(figure, exhibit)
    figure.savefig(path)
    plt.close(figure)


def draw_sheet(exhibits: Sequence[Shown], path: Path, columns: int = 2) -> None:
    """All of them, `columns` in a row."""
    rows = -(-len(exhibits) // columns)
    figure = plt.figure(figsize=(9 * columns, 5 * rows), layout="constrained")
    figure.get_layout_engine().set(h_pad=APART)
    walls = figure.subfigures(rows, columns, squeeze=False, hspace=0.06, wspace=0.04)
    for wall, exhibit in zip(walls.ravel(), exhibits, strict=False):
        _hang(wall, exhibit)
    figure.savefig(path, dpi=64)
    plt.close(figure)
    in_few_colours(path)
