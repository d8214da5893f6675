"""Pictures of Gaussians: bells, a hill over weight and height, what estimates cost."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib import colors
from matplotlib.axes import Axes

from demos.pictures import plt  # in the style of all demos
from minigrad import Device, Tensor, float64, tensor
from minigrad.distributions import Distribution, MultivariateNormal, Normal, kl_divergence

BLUE, ORANGE, GREEN, RED, GREY = "#2b6cb0", "#d9822b", "#3c9a5f", "#c2455e", "#8a939e"
HILL = colors.LinearSegmentedColormap.from_list(
    "hill", ["#eef5fb", "#9cc6ea", "#2f7fc4", "#173f73", "#f2a65a"]
)


def numbers(*values: object, device: str | Device = "cpu") -> Tensor:
    """One or several, in float64."""
    return tensor(values if len(values) > 1 else values[0], dtype=float64, device=device)


# ---------------------------------------------------------------- V1


def draw_bells(
    drawn: dict[str, tuple[Normal, Tensor]], code: Normal, z: Tensor, path: Path
) -> None:
    """Histograms under their densities; the bells of a code with the deck's z on them."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), width_ratios=(1, 1, 1.2))
    for ax, (name, (p, x)), colour in zip(axes, drawn.items(), (BLUE, ORANGE), strict=False):
        at = np.linspace(-2.0, 2.0, 801)
        ax.hist(
            x[:2000].cpu().numpy(),
            bins=101,
            range=(-2, 2),
            density=True,
            color=colour,
            alpha=0.35,
            label="2,000 draws",
        )
        density = p.log_prob(numbers(at, device=x.device)).exp().cpu().numpy()
        ax.plot(at, density, color=colour, lw=2, label="density")
        ax.set(title=name, xlabel="x", ylim=(0, 4.5), xlim=(-1.6, 1.8))
        ax.legend(loc="upper right")
    axes[0].axhline(1, color=GREY, lw=1, ls=":")
    axes[0].text(-1.55, 1.06, "1", color=GREY)
    at = np.linspace(-0.17, 0.29, 2001)
    for i, (mean, std, value) in enumerate(
        zip(code.mean.tolist(), code.stddev.tolist(), z.tolist(), strict=True)
    ):
        p, colour = Normal(numbers(mean), numbers(std)), (BLUE, ORANGE, GREEN)[i]
        height = p.log_prob(numbers(at)).exp().numpy()
        axes[2].fill_between(at, height, color=colour, alpha=0.2, lw=0)
        axes[2].plot(at, height, color=colour, lw=2, label=f"μ = {mean:g}, σ = {std:g}")
        top = p.log_prob(numbers(value)).exp().item()
        axes[2].plot([value, value], [0, top], color=colour, lw=1.5)
        axes[2].plot(value, top, "o", color=colour, ms=6, mec="white")
        side = dict(ha="right", x=value - 0.008) if i == 1 else dict(ha="left", x=value + 0.008)
        axes[2].text(y=top + 0.6, s=f"z = {value:g}", color=colour, fontsize=9, **side)
    axes[2].set(title="an encoder's answer, and the code drawn", xlabel="z", ylim=(0, 43))
    axes[2].legend(loc="upper right", fontsize=9)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


# ---------------------------------------------------------------- V2


def draw_bodies(
    body: MultivariateNormal, twin: MultivariateNormal, x: Tensor, path: Path
) -> None:  # fmt: skip
    """The density over weight and height, with E21 and without, above draws and level lines."""
    figure = plt.figure(figsize=(11, 8.6))
    grids = figure.add_gridspec(2, 2, height_ratios=(1.4, 1), hspace=0.16, wspace=0.2)
    weight, height = np.meshgrid(np.linspace(155, 225, 141), np.linspace(43, 97, 141))
    places = numbers(np.stack([weight, height], -1), device=x.device)
    top = twin.log_prob(body.mean).exp().item() * 1.1
    titles = "E21 = 25: who is heavier is taller", "E21 = 0: the independent twin"
    draws = x.cpu().numpy(), twin.sample((len(x),)).cpu().numpy()
    for i, (p, title) in enumerate(zip((body, twin), titles, strict=True)):
        density = p.log_prob(places).exp().cpu().numpy()
        hill = figure.add_subplot(grids[0, i], projection="3d")
        seen = np.where(density > 0.011 * density.max(), density, np.nan)  # to the third ring
        hill.plot_surface(
            weight, height, seen, cmap=HILL, vmin=0, vmax=top, rcount=141, ccount=141, lw=0,
            antialiased=False,
        )  # fmt: skip
        rings = p.log_prob(p.mean).exp().item() * np.exp(-0.5 * np.arange(3.0, 0.0, -0.5) ** 2)
        floor = -1.05 * top
        hill.contour(weight, height, density, rings, colors=BLUE, offset=floor, linewidths=1)
        hill.set(xlabel="weight, lb", ylabel="height, in", zlim=(floor, top), zticks=[])
        hill.set(xticks=[160, 180, 200, 220], yticks=[50, 70, 90])
        hill.set_title(title, y=1.03, fontsize=12)
        hill.set_proj_type("ortho")
        hill.view_init(elev=38, azim=-90)  # from the front: nothing leans that is upright
        hill.set_box_aspect((1.3, 1, 1.05), zoom=1.15)
        flat = figure.add_subplot(grids[1, i])
        flat.plot(*draws[i].T, ".", color=RED, ms=3.5, alpha=0.45, mew=0)
        _ellipses(flat, p)
        flat.set(xlabel="weight, lb", ylabel="height, in", xlim=(155, 225), ylim=(43, 97))
        flat.set_aspect("equal")
    flat.plot([], [], ".", color=RED, ms=6, label="a person")
    flat.plot([], [], color=BLUE, lw=1.6, label="1σ and 2σ")
    flat.legend(loc="upper right", fontsize=8, handlelength=1.2)
    figure.savefig(path)
    plt.close(figure)


def _ellipses(ax: Axes, p: MultivariateNormal) -> None:
    """μ + r L u, for u around the unit circle: all places r standard deviations away."""
    turn = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(turn), np.sin(turn)])
    for radius in (1, 2):
        mean, tril = p.mean.cpu().numpy(), p.scale_tril.cpu().numpy()
        ring = mean[:, None] + radius * tril @ circle
        ax.plot(*ring, color=BLUE, lw=1.6)


# ---------------------------------------------------------------- V3


def draw_divergences(
    quadrature: Callable[[Distribution, Distribution], float],
    errors: dict[str, list[tuple[int, float, float]]],
    path: Path,
) -> None:
    """KL to N(0, 1) by three ways over σ; the error of estimates over the number of draws."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4))
    standard = Normal(numbers(0.0), numbers(1.0))
    line, dots = np.geomspace(0.08, 4, 200), np.geomspace(0.1, 3.5, 13)
    for mean, colour in ((0.0, BLUE), (1.0, ORANGE), (2.0, GREEN)):
        exact = kl_divergence(Normal(mean, numbers(line)), standard).numpy()
        left.plot(line, exact, color=colour, lw=1.8)
        left.text(0.078, exact[0], f"μ = {mean:g}", color=colour, ha="right", va="center")
        for std in dots:
            p = Normal(numbers(mean), numbers(std))
            drawn = kl_divergence(p, standard, samples=100)
            bars = 2 * drawn.standard_error.item()
            left.errorbar(std, drawn.estimate.item(), bars, color=colour, lw=1, capsize=3)
            left.plot(std, quadrature(p, standard), "o", mfc="none", mec=colour, ms=6)
    left.plot([], [], color=GREY, lw=1.8, label="closed form")
    left.plot([], [], "o", mfc="none", mec=GREY, ms=6, label="sum over a grid")
    left.errorbar([], [], [], color=GREY, lw=1, capsize=3, label="100 draws, ± 2 standard errors")
    left.set(xscale="log", xlim=(0.05, 5), xlabel="σ", ylabel="nats", ylim=(-0.2, None))
    left.set(title="KL(N(μ, σ²) ‖ N(0, 1))", xticks=[0.1, 0.3, 1, 3])
    left.set_xticklabels(["0.1", "0.3", "1", "3"])
    left.minorticks_off()
    left.legend(loc="upper right", bbox_to_anchor=(1.0, 1.0))
    for (name, found), colour in zip(errors.items(), (BLUE, ORANGE, GREEN, RED), strict=True):
        counts, made, said = zip(*found, strict=True)
        right.loglog(counts, said, color=colour, lw=1.8, label=f"${_tex(name)}$")
        right.loglog(counts, made, "o", color=colour, ms=5)
    right.set(xlabel="draws", ylabel="nats", title="Monte Carlo: error stated and error made")
    first = right.legend(loc="lower left", fontsize=9)
    handles = [
        plt.Line2D([], [], color=GREY, lw=1.8, label="standard error stated"),
        plt.Line2D([], [], color=GREY, marker="o", lw=0, ms=5, label="error made"),
    ]
    right.legend(handles=handles, loc="upper right")
    right.add_artist(first)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _tex(name: str) -> str:
    """Plain text as matplotlib's mathematics: fonts without all subscripts can show it."""
    for sign, letters in (
        ("½", r"\frac{1}{2}\,"), ("σ₂/σ₁", r"(\sigma_2/\sigma_1)"), ("2σ₂²", r"2\sigma_2^2"),
        ("σ₁²", r"\sigma_1^2"), ("μ₁", r"\mu_1"), ("μ₂", r"\mu_2"), ("μᵀμ", r"\mu^T\mu"),
        ("Σ (", r"\Sigma\,("), ("Σ", r"\Sigma"), ("σ²", r"\sigma^2"), ("μ²", r"\mu^2"),
        ("²", "^2"), ("ln det", r"\ln\det\,"), ("ln ", r"\ln\,"), ("tr ", r"\mathrm{tr}\,"),
        ("log_var", r"\mathrm{log\_var}"), ("exp", r"\exp"),
    ):  # fmt: skip
        name = name.replace(sign, letters)
    return name


# ---------------------------------------------------------------- V6


def draw_fits(
    coins: np.ndarray, x: np.ndarray, p: np.ndarray, path: np.ndarray, where: Path
) -> None:
    """Both log-likelihoods, and the way of descent to their tops."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4))
    n, heads = len(coins), coins.sum()
    at = np.linspace(0.02, 0.985, 400)

    def likelihood(p: np.ndarray) -> np.ndarray:
        return heads * np.log(p) + (n - heads) * np.log(1 - p)

    left.plot(at, likelihood(at), color=BLUE, lw=1.8)
    steps = np.arange(0, 60, 4)
    left.plot(
        p[steps], likelihood(p[steps]), "o-", color=ORANGE, ms=4, lw=1, label="every 4th step"
    )
    left.axvline(heads / n, color=GREY, lw=1, ls="--", label=f"share of ones, {heads / n:.3f}")
    left.set(title=f"{n} throws of a coin", xlabel="p", ylabel="ln P(data | p), nats")
    left.legend(loc="lower center")
    mean, std = np.meshgrid(np.linspace(-0.7, 1.7, 121), np.linspace(0.25, 2.3, 121))
    square = ((x[:, None, None] - mean) ** 2).sum(0)
    nats = -0.5 * square / std**2 - n * np.log(std * np.sqrt(2 * np.pi))
    levels = nats.max() - np.geomspace(1, 4000, 16)[::-1]
    right.contourf(mean, std, nats, [-1e9, *levels, 1e9], colors=HILL(np.linspace(0, 0.8, 17)))
    right.plot(*path[:60].T, "o-", color=ORANGE, ms=3.5, lw=1, label="steps")
    right.plot(
        x.mean(), x.std(), "+", color="white", ms=13, mew=2, label="mean and std of the data"
    )
    right.set(title=f"{n} draws of a bell: ln P(data | μ, σ)", xlabel="μ", ylabel="σ")
    right.grid(False)
    legend = right.legend(loc="upper left", frameon=True, facecolor="#5b7fa8", edgecolor="none")
    for text in legend.get_texts():
        text.set_color("white")
    figure.tight_layout()
    figure.savefig(where)
    plt.close(figure)


# ---------------------------------------------------------------- V7


def draw_gradients(
    measured: dict[tuple[str, int, float], float],
    expected: Callable[[str, int, float], float],
    histogram: dict[str, np.ndarray],
    path: Path,
) -> None:
    """What one draw says of the gradient, and its variance over dimensions and over σ."""
    figure, (left, *both) = plt.subplots(1, 3, figsize=(13.5, 4.3))
    palette = dict(zip(histogram, (BLUE, RED, ORANGE), strict=True))
    for way, colour in palette.items():
        left.hist(
            histogram[way],
            bins=140,
            range=(-60, 64),
            density=True,
            color=colour,
            histtype="step",
            lw=1.6,
        )
    left.axvline(2, color="black", lw=1, ls="--")
    left.set(yscale="log", ylim=(1e-4, 0.5), xlim=(-60, 64))
    left.text(4, 0.3, "truth, 2μ", fontsize=9)
    left.set(title="one entry of the gradient, 10 dimensions", xlabel="estimate from one draw")
    left.set_ylabel("density")
    dimensions, stds = np.geomspace(1, 1000, 60), np.geomspace(0.03, 3, 60)
    for way, colour in palette.items():
        for ax, line, name in (
            (both[0], [(d, 1.0) for d in dimensions], "dimensions"),
            (both[1], [(10, s) for s in stds], "σ"),
        ):
            which = name == "σ"
            ax.loglog([c[which] for c in line], [expected(way, *c) for c in line], color=colour)
            dots = [k[1:] for k in measured if k[0] == way and (k[1] == 10 if which else k[2] == 1)]
            values = [measured[(way, *c)] for c in dots]
            ax.loglog([c[which] for c in dots], values, "o", color=colour, ms=5, label=way)
            ax.set_xlabel(name)
    both[0].set(title="variance at σ = 1", ylabel="variance of an entry")
    both[1].set(title="variance in 10 dimensions")
    for ax in both:
        ax.set_ylim(2e-3, 2e7)
    both[0].legend(loc="upper left", title="dots: measured; lines: expected", title_fontsize=9)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
