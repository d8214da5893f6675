"""Pictures of a bound: how it rises, what is missing, and how many draws it takes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from demos.linear_gaussian import Estimates, Terms
from demos.pictures import drawn, plt, save_gif  # in the style of all demos

BLUE, ORANGE, GREEN, RED, GREY = "#2b6cb0", "#e39b45", "#3c9a5f", "#c2455e", "#8a939e"
PALE = "#b9d5ee"
NAMES = {"full": "codes may lean together", "independent": "independent codes"}
Cloud = tuple[np.ndarray, np.ndarray]  # mean (2,), L (2, 2)


def _fill(ax: Axes, terms: Sequence[Terms], low: float) -> None:
    """ELBO as a blue area, and on top of it, up to ln p(x), the divergence."""
    steps = np.arange(len(terms))
    elbo, evidence = (np.array([getattr(t, name) for t in terms]) for name in ("elbo", "evidence"))
    gap = np.array([t.gap for t in terms])
    ax.fill_between(steps, low, elbo, color=PALE, lw=0, label="ELBO")
    ax.fill_between(steps, elbo, elbo + gap, color=ORANGE, lw=0, label="KL(q ‖ p(z|x))")
    ax.plot(steps, evidence, color="black", lw=1.6, label="ln p(x)")


def draw_training(terms: dict[str, list[Terms]], half: int, best: float, path: Path) -> None:
    """The terms over training, of both encoders; below, how far the sum is off."""
    figure, axes = plt.subplots(
        2, 2, figsize=(12, 6), sharex=True, height_ratios=(3.4, 1), sharey="row"
    )
    start = terms["full"][0].evidence
    low, high = start - 4, best + 0.6
    for (top, bottom), (kind, found) in zip(axes.T, terms.items(), strict=True):
        _fill(top, found, low)
        top.axhline(best, color=GREEN, lw=1.2, ls="--", label="highest ln p(x) there is")
        for ax in (top, bottom):
            ax.axvline(half, color=GREY, lw=1)
        top.text(half / 2, low + 0.2, "the encoder learns", ha="center", color=BLUE)
        top.text(half * 1.5, low + 0.2, "the decoder too", ha="center", color=BLUE)
        top.set(title=NAMES[kind], ylim=(low, high), xlim=(0, 2 * half))
        bottom.semilogy([max(t.off, 1e-17) for t in found], ".", color=RED, ms=2.5)
        bottom.axhline(1e-10, color=GREY, lw=1, ls=":")
        bottom.set(xlabel="steps", ylim=(1e-16, 1e-9), yticks=[1e-16, 1e-13, 1e-10])
    axes[0, 0].set_ylabel("nats per example")
    axes[1, 0].set_ylabel("|ELBO + KL\n- ln p(x)|")
    axes[0, 1].legend(loc="center right", frameon=True, edgecolor="none", framealpha=0.9)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


# ---------------------------------------------------------------- the animation


def _ring(cloud: Cloud, radius: float = 2.0) -> np.ndarray:
    """The places (2, 100) that are so many standard deviations from the middle."""
    turn = np.linspace(0, 2 * np.pi, 100)
    return cloud[0][:, None] + radius * cloud[1] @ np.stack([np.cos(turn), np.sin(turn)])


def animate_training(
    terms: dict[str, list[Terms]], clouds: dict[str, list[Cloud]], posterior: Cloud, path: Path
) -> None:
    """q(z|x) of one example closing in on p(z|x), beside the gap that is left."""
    last = len(clouds["full"]) - 1
    frames = [
        _frame(terms, clouds, posterior, int(i))
        for i in np.unique(np.geomspace(1, last + 1, 26).astype(int) - 1)
    ]
    save_gif(frames, path, seconds=0.3)


def _frame(
    terms: dict[str, list[Terms]], clouds: dict[str, list[Cloud]], posterior: Cloud, i: int
) -> np.ndarray:
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8.6, 4.1), dpi=80, width_ratios=(1, 1.15)
    )  # fmt: skip
    every = np.concatenate([_ring(c) for c in (posterior, *(f[0] for f in clouds.values()))], 1)
    middle, side = (every.min(1) + every.max(1)) / 2, np.ptp(every, 1).max() * 0.53
    left.fill(*_ring(posterior), color="#d9dde2", lw=0)
    left.plot(*_ring(posterior), color="black", lw=1.2, ls="--", label="p(z|x)")
    for (kind, found), colour in zip(clouds.items(), (BLUE, RED), strict=True):
        left.plot(*_ring(found[i]), color=colour, lw=2)
        gaps = np.array([t.gap for t in terms[kind][: len(found)]])
        right.loglog(np.arange(len(gaps)) + 1, gaps, color=colour, lw=0.7, alpha=0.35)
        right.loglog(np.arange(i + 1) + 1, gaps[: i + 1], color=colour, lw=2)
        right.loglog(i + 1, gaps[i], "o", color=colour, ms=6, label=NAMES[kind])
    left.set(xlim=(middle[0] - side, middle[0] + side), ylim=(middle[1] - side, middle[1] + side))
    left.set(xlabel="code 1", ylabel="code 2", title="clouds of one example, 2σ", aspect="equal")
    left.legend(loc="upper right", fontsize=9)
    right.set(xlabel="steps", ylabel="nats per example", title="KL(q ‖ p(z|x)) = ln p(x) - ELBO")
    right.minorticks_off()
    right.legend(loc="lower left", fontsize=9, title="encoder", alignment="left")
    figure.tight_layout()
    return drawn(figure)


# ---------------------------------------------------------------- draws


def draw_naive(found: dict[str, list[Estimates]], draws: int, path: Path) -> None:
    """Estimates of ln p(x), the draws that count, and the draws that it would take."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13.5, 4.3))
    looks = {
        "prior": (RED, "draws from the prior", 0.88),
        "encoder": (BLUE, "from an encoder", 1.14),
    }
    for name, (colour, label, shift) in looks.items():
        dimensions = np.array([e.d for e in found[name]])
        for e in found[name]:
            low, half, high = np.percentile(e.off, [2.5, 50, 97.5])
            x = e.d * shift
            left.plot(np.full(len(e.off), x), e.off, ".", color=colour, alpha=0.12, mew=0, ms=5)
            left.plot([x, x], [low, high], color=colour, lw=2)
            left.plot(x, half, "o", color=colour, ms=6, mec="white")
        sizes = [e.size for e in found[name]]
        middle.loglog(dimensions, sizes, "o-", color=colour, ms=5)
        left.plot([], [], "o-", color=colour, lw=2, ms=6, mec="white", label=label)
        expected = [draws * np.exp(-e.moment) for e in found[name]]
        middle.loglog(dimensions, expected, color=colour, lw=1, ls=":")
        right.loglog(dimensions, [10 ** e.needed() for e in found[name]], "o-", color=colour, ms=5)
    left.axhline(0, color="black", lw=1)
    left.set(xscale="log", xlabel="dimensions", ylabel="nats")
    left.set_yscale("symlog", linthresh=1)
    left.set(yticks=[-100, -30, -10, -3, -1, 0, 1, 3], title="estimate of ln p(x) - truth")
    left.set_yticklabels(["-100", "-30", "-10", "-3", "-1", "0", "1", "3"])
    middle.axhline(1, color=GREY, lw=1)
    middle.set(xlabel="dimensions", ylim=(0.5, 2 * draws), title=f"draws of {draws:,} that count")
    middle.plot([], [], "o-", color=GREY, ms=5, label="(Σ w)² / Σ w², measured")
    middle.plot([], [], color=GREY, lw=1, ls=":", label="expected of many draws")
    middle.legend(loc="center left", bbox_to_anchor=(0.4, 0.47), fontsize=9)
    left.legend(loc="lower left", title="bars: 95 % of the repeats", title_fontsize=9)
    right.axhline(draws, color=GREY, lw=1, ls="--")
    right.text(dimensions[0], draws * 2.5, f"{draws:,}", color=GREY, fontsize=9)
    right.set(xlabel="dimensions", title="draws needed for p(x) to 10 %")
    for ax in (left, middle, right):
        ax.minorticks_off()
        ax.set_xticks(dimensions, [str(d) for d in dimensions])
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def draw_bounds(
    found: dict[str, list[tuple[int, float, float]]],
    moments: dict[str, float],
    elbos: dict[str, float],
    evidence: float,
    path: Path,
) -> None:
    """The bound over K on a plain scale; what it lacks, on a logarithmic one."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.3))
    names = {
        "prior": "the prior",
        "independent": "independent codes",
        "full": "codes that may lean",
    }
    for (name, values), colour in zip(found.items(), (RED, ORANGE, BLUE), strict=True):
        counts, bound, error = (np.array(v) for v in zip(*values, strict=True))
        left.errorbar(counts, bound, 2 * error, fmt="o-", color=colour, ms=5, label=names[name])
        left.plot(counts[0], elbos[name], "D", mfc="none", mec=colour, ms=11)
        lacking = evidence - bound
        seen = lacking > 2 * error
        if seen.sum() < 3:  # nothing is lacking that these draws could tell
            continue
        right.errorbar(counts[seen], lacking[seen], 2 * error[seen], fmt="o", color=colour, ms=5)
        if np.isfinite(moments[name]):
            right.loglog(counts, np.expm1(moments[name]) / 2 / counts, color=colour, lw=1, ls="--")
    left.axhline(evidence, color="black", lw=1.2, label="ln p(x)")
    left.plot([], [], "D", mfc="none", mec=GREY, ms=11, label="its ELBO, in closed form")
    left.set(xscale="log", xlabel="draws K", ylabel="nats", title="the bound from K weighted draws")
    left.legend(loc="lower right", title="draws from", title_fontsize=9)
    right.plot([], [], color=GREY, lw=1, ls="--", label="relative variance of a weight / 2K")
    right.set(xscale="log", yscale="log", xlabel="draws K", ylabel="nats")
    right.set(title="what it lacks, ln p(x) - bound")
    right.legend(loc="upper right")
    if not np.isfinite(moments["independent"]):
        k, bound, _ = found["independent"][-2]
        right.annotate(
            "its variance is infinite", (k, evidence - bound), (k * 0.25, (evidence - bound) * 5),
            color=ORANGE, arrowprops=dict(arrowstyle="-", color=ORANGE),
        )  # fmt: skip
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
