"""The two pictures of `demos.gradcheck`: errors against steps, and a turned gradient."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from demos.gradcheck_cases import (
    FUNCTIONS,
    KINK,
    POINTS,
    Curve,
    Duel,
    Portrait,
    central,
    curve,
    forward,
    richardson,
)
from demos.pictures import SIGNED

MARK = "#333333"
COLOURS = "#0b6fb8", "#d9730d", "#2e8b57", "#8a4fb0"
FAST, OURS = "#d9730d", "#0b6fb8"
VERDICT = ListedColormap(["#dfe9f2", "#c0392b"]).with_extremes(bad="#aaaaaa")


# ---------------------------------------------------------------- errors against steps


def draw_v_curve(path: Path, seed: int = 0) -> None:
    """Six panels of |difference / rule - 1| against the step, both on logarithmic axes."""
    figure, axes = plt.subplots(2, 3, figsize=(14, 8.6), sharey=True)
    for order, ax in enumerate(axes[0], 1):
        _order_panel(ax, order, seed)
    _kinds_panel(axes[1, 0], seed)
    _types_panel(axes[1, 1], seed)
    _kink_panel(axes[1, 2], seed)
    for ax in axes.flat:
        ax.set(xscale="log", yscale="log", xlim=(1, 1e-14), ylim=(1e-16, 10))
        ax.set_xticks(10.0 ** -np.arange(0, 14, 3))
        ax.minorticks_off()
        ax.set_xlabel("step h, ever smaller →")
    for ax in axes[:, 0]:
        ax.set_ylabel("error of the difference, relative")
    figure.suptitle("A large step sees the curvature, a small one the rounding", x=0.5, fontsize=14)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _line(ax: plt.Axes, found: Curve, name: str, colour: str, style: str = "-") -> None:
    shown = found.errors > 0
    ax.plot(found.steps[shown], found.errors[shown], style, color=colour, lw=1.6, label=name)


def _step(ax: plt.Axes, h: float, words: str, top: float = 3.0) -> None:
    ax.axvline(h, color=MARK, lw=1, ls=":")
    ax.text(h * 0.75, top, words, fontsize=8.5, color=MARK, va="top")


def _slope(ax: plt.Axes, h: Sequence[float], y: Sequence[float], words: str, at: tuple) -> None:
    """A line with a slope, and its name."""
    ax.plot(h, y, "--", color="#999999", lw=1.2)
    ax.text(*at, words, fontsize=9, color="#666666")


def _order_panel(ax: plt.Axes, order: int, seed: int) -> None:
    for (name, fn), colour in zip(FUNCTIONS.items(), COLOURS, strict=True):
        found = curve(fn, order, seed=seed)
        _line(ax, found, name, colour, "--" if "1000" in name else "-")
        ax.plot(found.chosen, found.at_chosen, "o", color=colour, ms=6, zorder=3)
    _step(ax, found.chosen, "the checker's step,\n$2^{-17} ≈ ε^{1/3}$")
    _slope(ax, (0.1, 1e-4), (1e-4, 1e-10), "slope 2: h²", (0.6, 1e-9))
    _slope(ax, (1e-8, 1e-13), (1e-10, 1e-5), "slope −1: ε/h", (1e-10, 2e-10))
    of = "f" if order == 1 else "the rule of order " + str(order - 1)
    ax.set_title(f"order {order}: differences of {of}")
    ax.legend(loc="lower right", fontsize=8.5)
    note = "+ 1000: more\nto round" if order == 1 else "+ 1000 is gone"
    ax.text(2e-10, 0.1, note, fontsize=8.5, color=COLOURS[3])


def _kinds_panel(ax: plt.Axes, seed: int) -> None:
    kinds = {
        "forward: h, best near $ε^{1/2}$": (forward, COLOURS[1]),
        "central: h², best near $ε^{1/3}$": (central, COLOURS[0]),
        "Richardson: h⁴, best near $ε^{1/5}$": (richardson, COLOURS[2]),
    }
    for name, (kind, colour) in kinds.items():
        found = curve(FUNCTIONS["tanh x"], 1, kind, seed=seed)
        best = int(np.argmin(found.errors))
        _line(ax, found, name, colour)
        ax.plot(found.steps[best], found.errors[best], "o", color=colour, ms=6)
        ax.annotate(
            f"{found.errors[best]:.0e}", (found.steps[best], found.errors[best]), (0, -13),
            textcoords="offset points", fontsize=8.5, color=colour, ha="center",
        )  # fmt: skip
    ax.set_title("three kinds of difference, tanh x")
    ax.legend(loc="upper right", fontsize=8.5)


def _types_panel(ax: plt.Axes, seed: int) -> None:
    for dtype, colour in ((np.float64, COLOURS[0]), (np.float32, COLOURS[1])):
        found = curve(FUNCTIONS["tanh x"], 1, central, dtype, seed=seed)
        best = int(np.argmin(found.errors))
        _line(ax, found, dtype.__name__, colour)
        ax.plot(found.steps[best], found.errors[best], "o", color=colour, ms=6)
        ax.annotate(
            f"best: {-np.log10(found.errors[best]):.0f} digits",
            (found.steps[best], found.errors[best]), (0, -15),
            textcoords="offset points", fontsize=8.5, color=colour, ha="center",
        )  # fmt: skip
    _step(ax, found.chosen, "the checker's step")
    ax.set_title("float32 leaves too few digits to judge by")
    ax.legend(loc="upper right", fontsize=8.5)


def _kink_panel(ax: plt.Axes, seed: int) -> None:
    near = tuple(KINK * p for p in POINTS)
    found = curve(lambda x: x.sin().abs(), 1, points=near, seed=seed)
    _line(ax, found, "|sin x|, x near 1e-4", COLOURS[3])
    ax.plot(found.chosen, found.at_chosen, "o", color=COLOURS[3], ms=6)
    ax.axvspan(1, KINK, color=COLOURS[3], alpha=0.08, lw=0)
    ax.text(0.5, 1e-14, "these steps cross\nthe kink at 0", fontsize=9, color=COLOURS[3])
    _step(ax, found.chosen, "the checker's step\nscales with |x|")
    ax.set_title("a kink nearby: the step must not reach it")
    ax.legend(loc="lower right", fontsize=8.5)


# ---------------------------------------------------------------- a turned gradient


def draw_flipped_kernel(portraits: dict[str, Portrait], duels: list[Duel], path: Path) -> None:
    """Above: gradients and the maps of what is wrong with them. Below: who accepts what."""
    figure = plt.figure(figsize=(14, 9.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.12))
    _portraits(above, portraits)
    sizes = sorted({d.size for d in duels})
    axes = np.atleast_1d(below.subplots(1, len(sizes), sharey=True))
    for ax, size in zip(axes, sizes, strict=True):
        _duel_panel(ax, [d for d in duels if d.size == size], size)
    axes[0].set_yticks(range(len(duels) // len(sizes)), [d.name for d in duels if d.size == size])
    axes[0].invert_yaxis()
    below.suptitle("The same mistakes, and a right gradient, before two checkers", fontsize=12)
    handles, names = axes[0].get_legend_handles_labels()
    below.legend(handles, names, loc="outside lower center", ncols=2, fontsize=10)
    figure.savefig(path)
    plt.close(figure)


def _portraits(figure: plt.Figure, portraits: dict[str, Portrait]) -> None:
    """The right gradient, the turned one, and a map for each mistake."""
    axes = figure.subplots(1, 2 + len(portraits))
    first = next(iter(portraits.values()))
    largest = float(np.abs(first.right).max())
    for ax, pixels, title in zip(
        axes, (first.right, first.wrong), ("right", "turned by 180°"), strict=False
    ):
        ax.imshow(pixels, SIGNED, vmin=-largest, vmax=largest, interpolation="nearest")
        ax.set_title(f"input gradient,\n{title}", fontsize=10.5)
    for ax, (name, found) in zip(axes[2:], portraits.items(), strict=True):
        ax.imshow(found.where, VERDICT, vmin=0, vmax=1, interpolation="nearest")
        wrong, checked = found.counts
        ax.set_title(f"{name}\n{found.verdict}: {wrong} of {checked} entries wrong", fontsize=10.5)
        words = found.words.replace(": ", ":\n").replace(", in axes", "\nin axes")
        ax.set_xlabel(f"“{words}”", fontsize=9.5)
    for ax in axes:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
    figure.suptitle(
        "A convolution's input gradient, and what this checker reports of three mistakes in it: "
        "where (red; grey: not shown), how many, why", fontsize=12,
    )  # fmt: skip


def _duel_panel(ax: plt.Axes, duels: list[Duel], size: int) -> None:
    ax.axvspan(1e-10, 1, color="#2e8b57", alpha=0.09, lw=0)
    names = {
        "fast": (FAST, "o", "a checker of one projection with non-negative vectors"),
        "ours": (OURS, "D", "this checker: entries one by one, ±1 in all, vectors of both signs"),
    }
    for which, (colour, marker, label) in names.items():
        nudge = -0.17 if which == "fast" else 0.17
        for k, found in enumerate(duels):
            judged = getattr(found, which)
            at = [max(j.ratio, 3e-10) for j in judged]
            ax.plot(
                at, np.full(len(at), k + nudge), marker, color=colour, ms=6, alpha=0.65,
                mew=0, label=label if k == 0 else None,
            )  # fmt: skip
            ax.text(
                1.02, k + nudge, f"{sum(j.accepts for j in judged)} of {len(judged)}",
                transform=ax.get_yaxis_transform(), color=colour, va="center", fontsize=9.5,
                fontweight="bold",
            )  # fmt: skip
    ax.axvline(1, color=MARK, lw=1)
    ax.set(xscale="log", xlim=(1e-10, 1e8), xlabel="error found / error that is let pass")
    ax.text(0.6, -0.72, "accepted ←", ha="right", fontsize=9, color=MARK)
    ax.text(1.7, -0.72, "→ refused", fontsize=9, color=MARK)
    ax.text(1.02, -0.72, "accepts", transform=ax.get_yaxis_transform(), fontsize=9, color=MARK)
    ax.set_title(f"images 2×3×{size}×{size}, {len(duels[0].fast)} draws", pad=18)
    ax.set_ylim(-0.6, len(duels) - 0.4)
