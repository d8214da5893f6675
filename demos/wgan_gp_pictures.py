"""The pictures of demos.wgan_gp."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from demos.pictures import GREY, mosaic

BLUE, ORANGE, GREEN, GREY_LINE = "C0", "C1", "C2", "#777777"
MARKS = {"Gaussians, moved": "o", "Gaussians, others": "^", "rings, moved": "s"}
LN2 = np.log(2)


class Shift(NamedTuple):
    """What two critics said of a pair of distributions."""

    kind: str
    exact: float
    estimate: float  # of the penalised critic
    slope: float  # its own
    clipped: float  # the other's estimate


def draw_distance(
    shown: Sequence[Shift], line: tuple[Sequence[float], Sequence[float], Sequence[float]],
    curve: tuple[np.ndarray, Sequence[float]], penalty: float, path: Path,
) -> None:  # fmt: skip
    """Estimates against exact distances: penalised, clipped, and JS."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13.5, 4.4))
    shifts, trapped, told = line
    w = np.linspace(0, 1.03 * max(s.exact for s in shown), 200)
    left.plot(w, w, color=GREY_LINE, lw=1.2)
    left.plot(w, w + w**2 / (2 * penalty), "--", color=BLUE, lw=1.2)
    for kind, mark in MARKS.items():
        some = [s for s in shown if s.kind == kind]
        if not some:
            continue
        exact = [s.exact for s in some]
        style = dict(ls="", ms=6, zorder=3)
        left.plot(exact, [s.estimate for s in some], mark, color=BLUE, **style, label=kind)
        left.plot(exact, [s.estimate / s.slope for s in some], mark, mfc="none", mec=ORANGE,
                  mew=1.5, **style)  # fmt: skip
        middle.loglog(exact, [s.clipped / s.exact for s in some], mark, color=GREEN, **style)
    middle.set_xticks(shifts, [f"{d:g}" for d in shifts])
    middle.minorticks_off()
    caught = [(d, apart) for d, apart in zip(shifts, trapped, strict=True) if apart < 0]
    if caught:
        left.plot(*zip(*caught, strict=True), "x", color="C3", ms=7, mew=2)
        left.plot(w, -w + w**2 / (2 * penalty), ":", color="C3", lw=1)
    left.legend(title="pairs", loc="upper left", fontsize=8)
    top = w[-1]
    left.annotate("estimate: W₁ + W₁²/2λ", (0.8 * top, 1.12 * top), ha="right", color=BLUE, size=9)
    left.annotate("over the slope: W₁", (0.99 * top, 0.55 * top), ha="right", color=ORANGE, size=9)
    if caught:
        left.annotate("trapped: sloping the wrong way", (0.98 * top, -0.36 * top), ha="right",
                      va="bottom", color="C3", size=9)  # fmt: skip
    left.set(xlabel="exact W₁", title=f"penalised, λ = {penalty:g}: what E a(x) - E a(y) says")
    middle.axhline(1, color=GREY_LINE, lw=1.2)
    middle.annotate("1: a distance", (min(s.exact for s in shown), 1), (0, -4),
                    textcoords="offset points", va="top", size=9, color=GREY_LINE)  # fmt: skip
    middle.set(xlabel="exact W₁", title="clipped: estimate / W₁, a number nobody chose")
    right.axhline(LN2, color=GREY_LINE, lw=1.2)
    right.plot(*curve, color=BLUE, lw=1.8, label="exact JS")
    right.plot(shifts, told, "o", color=ORANGE, label="ln 2 - ½ D's loss")
    right.annotate("ln 2", (0.1, LN2), (0, 4), textcoords="offset points", size=9, color=GREY_LINE)
    right.set(xlabel="W₁ of two Gaussians, moved", title="the usual loss: full, near or far",
              ylim=(0, 0.78))  # fmt: skip
    right.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


# ---------------------------------------------------------------- learning


def draw_learning(
    lines: tuple[Sequence[float], Sequence[float], Sequence[float]], js: dict[int, float],
    floor: float, penalty: float, path: Path,
) -> None:  # fmt: skip
    """The critic's estimate and the exact distance, pass by pass; and both losses against it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.3))
    estimates, by_slope, exact = lines
    passes = np.arange(1, len(exact) + 1)
    left.plot(passes, exact, color=ORANGE, lw=2, label="exact W₁ of samples to data")
    left.plot(passes, estimates, color=BLUE, lw=2, label="the critic's E a(x) - E a(G(z))")
    left.plot(passes, by_slope, "--", color=BLUE, lw=1.3, label="the same over its slope")
    left.axhline(floor, color=GREY_LINE, lw=1)
    left.annotate("data to data", (passes[0], floor), (0, 3), textcoords="offset points",
                  size=9, color=GREY_LINE)  # fmt: skip
    left.set(xlabel="pass", title=f"its loss is a distance (penalised, λ = {penalty:g})")
    left.set_ylim(min(0, *estimates), None)
    left.legend()
    epochs = sorted(js)
    here = [exact[epoch - 1] for epoch in epochs]
    right.axhline(LN2, color=GREY_LINE, lw=1)
    right.annotate("ln 2", (max(here), LN2), (0, 4), textcoords="offset points", size=9,
                   color=GREY_LINE)  # fmt: skip
    right.plot(here, [js[epoch] for epoch in epochs], "o-", color=GREEN, ms=6, lw=1.2,
               label="JS, by an ordinary D of the same samples")  # fmt: skip
    right.set(xlabel="exact W₁ of the samples, better to the right", ylim=(0, 0.78),
              title="the usual one is full until they overlap")  # fmt: skip
    right.invert_xaxis()
    right.legend(loc="lower left")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def draw_slopes(by: dict[str, Sequence[np.ndarray]], path: Path) -> None:
    """A panel for each critic: how its slopes are spread, a histogram for each pass."""
    figure, all_axes = plt.subplots(1, len(by), figsize=(4.2 * len(by), 3.9), sharey=True)
    edges = np.linspace(-6, 5, 221)
    for axes, (name, found) in zip(all_axes, by.items(), strict=True):
        logs = [np.clip(np.log10(np.maximum(s, 1e-12)), edges[0], edges[-1]) for s in found]
        shares = np.stack([np.histogram(x, edges)[0] / len(x) for x in logs], 1)
        extent = 0.5, len(found) + 0.5, edges[0], edges[-1]
        axes.imshow(np.sqrt(shares), plt.get_cmap("magma"), origin="lower", aspect="auto",
                    extent=extent, vmin=0, vmax=np.sqrt(0.4))  # fmt: skip
        axes.axhline(0, color="#6fd3ff", lw=1, ls="--")
        axes.grid(False)
        axes.set(title=name, xlabel="pass")
    ticks = range(-6, 5, 2)
    all_axes[0].set_yticks(ticks, [f"$10^{{{t}}}$" if t else "1" for t in ticks])
    all_axes[0].set_ylabel("‖∂a(x̂)/∂x̂‖")
    figure.suptitle("slopes between data and samples, the brighter the more of them", fontsize=11)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def draw_weights(by: dict[str, np.ndarray], limit: float, path: Path) -> None:
    """The critic's weights after training, each histogram on its own axis."""
    figure, all_axes = plt.subplots(1, len(by), figsize=(5 * len(by), 3.6))
    for axes, (name, weights), colour in zip(all_axes, by.items(), (BLUE, GREEN), strict=True):
        reach = limit if name == "clipped" else np.percentile(np.abs(weights), 99.5)
        axes.hist(weights, np.linspace(-1.05 * reach, 1.05 * reach, 64), color=colour)
        axes.set(title=name, xlabel="weight")
        axes.locator_params(axis="x", nbins=5)
    all_axes[0].set_ylabel("how many")
    figure.suptitle(f"{len(weights):,} weights of each critic", fontsize=11)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


# ---------------------------------------------------------------- digits


def draw_digits(
    strips: Sequence[np.ndarray], lines: tuple[Sequence[float], Sequence[float], float],
    norms: Sequence[np.ndarray], path: Path,
) -> None:  # fmt: skip
    """The same noise after some of the passes; below, estimate, Fréchet distance and slopes."""
    estimates, found, floor = lines
    passes = np.arange(1, len(strips) + 1)
    chosen = sorted({0, len(strips) // 6, len(strips) // 3, len(strips) - 1})
    width, strip, plots = 11.0, 0.72, 2.6  # inches
    height = strip * len(chosen) + plots + 0.3
    figure = plt.figure(figsize=(width, height))
    for line, i in enumerate(chosen):
        bottom = height - strip * (line + 1) + 0.15
        axes = figure.add_axes((0.03, bottom / height, 0.94, 0.52 / height))
        axes.imshow(mosaic(strips[i]), GREY, vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(f"after pass {i + 1}", fontsize=9, pad=2)
        axes.axis("off")
    left, middle, right = (
        figure.add_axes((0.05 + 0.325 * i, 0.45 / height, 0.265, (plots - 0.45) / height))
        for i in range(3)
    )
    left.plot(passes, estimates, "o-", color=BLUE, ms=4)
    left.set_title("the critic's estimate of W₁")
    middle.plot(passes, found, "o-", color=ORANGE, ms=4)
    middle.axhline(floor, color=GREY_LINE, lw=1)
    middle.annotate("of digits", (passes[0], floor), (0, 4), textcoords="offset points",
                    size=9, color=GREY_LINE)  # fmt: skip
    middle.set(title="Fréchet distance of the samples")
    low, median, high = np.percentile(np.stack(norms), [5, 50, 95], axis=1)
    right.fill_between(passes, low, high, color=BLUE, alpha=0.2, lw=0, label="5 to 95 %")
    right.plot(passes, median, color=BLUE, lw=2, label="median")
    right.axhline(1, color=GREY_LINE, lw=1, ls="--")
    right.set(ylim=(0, 1.15 * max(1, high.max())), title="‖∂a(x̂)/∂x̂‖")
    right.legend(fontsize=9, loc="lower right")
    for axes in (left, middle, right):
        axes.set_xlabel("pass")
        axes.set_ylim(0, None)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(path)
    plt.close(figure)
