"""The pictures of `demos.benchmark`."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter

from demos import pictures  # noqa: F401  the style
from demos.growth import AT_MOST, Line
from demos.whole_trainings import Times

COLOURS = {"minigrad": "C0", "compiled": "C2", "threads": "C1"}
NAMES = {"torch": "PyTorch's time", "products": "the time of the products alone"}


def draw_ratios(rows: Sequence[Any], theirs: str, path: Path) -> None:
    """A bar for each case, from 1 to its ratio to `theirs`; whiskers from least to most.

    The axis is logarithmic: twice as fast is as far from 1 as twice as slow.
    """
    rows = [row for row in rows if theirs in row.seconds]
    if not rows:
        return
    figure, axes = plt.subplots(figsize=(9, 1.4 + 0.33 * len(rows)))
    for y, row in enumerate(rows):
        ours = [name for name in COLOURS if name in row.seconds]
        for i, name in enumerate(ours):
            found = row.ratios(name, theirs)
            middle, height = median(found), 0.8 / len(ours)
            place = y - 0.4 + height * (i + 0.5)
            axes.barh(
                place, middle - 1, 0.92 * height, left=1, color=COLOURS[name],
                label=name if y == 0 else None,
            )  # fmt: skip
            axes.plot([min(found), max(found)], [place, place], "0.15", lw=1)
            axes.plot([min(found), max(found)], [place, place], "|", color="0.15", ms=4)
    axes.axvline(1, color="black", lw=1.2)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20]))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_yticks(range(len(rows)), [row.case.name for row in rows])
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel=f"time, in {NAMES[theirs]}")
    axes.set_title("← faster        slower →", fontsize=9)
    axes.grid(axis="y", visible=False)
    axes.legend(loc="best")
    figure.savefig(path)
    plt.close(figure)


def draw_trainings(trained: Sequence[Times], path: Path) -> None:
    """A panel for each training: what a step took in each epoch, from 0 up."""
    figure, row = plt.subplots(
        1, len(trained), figsize=(4 * len(trained), 3.3), squeeze=False, layout="constrained"
    )
    for axes, times in zip(row[0], trained, strict=True):
        for i, (library, found) in enumerate(times.seconds.items()):
            label = "PyTorch" if library == "torch" else library
            epochs = range(1, len(found) + 1)
            axes.plot(epochs, 1e3 * np.array(found), "o-", ms=4, color=f"C{i}", label=label)
        axes.set(title=times.training.name, xlabel="epoch", ylabel="ms per step", xticks=epochs)
        axes.set_ylim(bottom=0)
        axes.legend(loc="best")
    figure.savefig(path)
    plt.close(figure)


def draw_growth(lines: Sequence[Line], path: Path) -> None:
    """A column for what grows; time above, memory below; a dashed line is cost in proportion."""
    costs = [cost for cost in AT_MOST if any(line.cost == cost for line in lines)]
    series = list(dict.fromkeys(line.against for line in lines))
    shape = len(costs), len(series)
    figure, grid = plt.subplots(
        *shape, figsize=(4 * shape[1], 3.3 * shape[0]), squeeze=False, layout="constrained"
    )
    for line in lines:
        axes = grid[costs.index(line.cost), series.index(line.against)]
        scale, unit = (1e3, "ms") if line.cost == "time" else (1e-6, "MB")
        sizes, values = np.array(line.sizes), scale * np.array(line.costs)
        axes.loglog(sizes, values, "o-", color=f"C{costs.index(line.cost)}", label="measured")
        axes.loglog(sizes, values[-1] * sizes / sizes[-1], "0.5", ls="--", lw=1, label="∝ size")
        fitted_sizes, fitted, exponent = line.fit()
        axes.loglog(fitted_sizes, scale * fitted, "C3", label=f"fit, exponent {exponent:.2f}")
        axes.set(xlabel=line.against, ylabel=f"{line.cost} of a step, {unit}", title=line.model)
        axes.set_xticks(sizes, [f"{size}" for size in sizes], fontsize=8)
        axes.minorticks_off()
        axes.legend(fontsize=8, loc="upper left")
    figure.savefig(path)
    plt.close(figure)
