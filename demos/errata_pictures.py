"""Pictures of what a wrong line does."""

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

import minigrad
from demos import errata_pairs as pairs
from demos.pictures import Panel, draw_panels, mosaic, plt
from minigrad import Tensor, tensor
from minigrad.distributions import Normal, kl_divergence
from minigrad.nn import functional as F

BLUE, ORANGE, RED, GREY = "#2b6cb0", "#d9822b", "#c2455e", "#8a939e"


# ---------------------------------------------------------------- deck 001


def draw_sigma(
    read: dict[str, list[float]],
    true: list[float],
    clouds: tuple[np.ndarray, np.ndarray],
    samples: dict[str, np.ndarray],
    path: Path,
) -> None:
    """What the loss reads and what is true; where codes are drawn; what is drawn from the prior."""
    figure = plt.figure(figsize=(12.5, 6.8))
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.75, 1))
    left, right = top.subplots(1, 2)
    top.subplots_adjust(bottom=0.13)
    epochs = np.arange(len(true)) + 1
    left.plot(epochs, true, "o-", color=RED, lw=1.8, ms=4, label="deck 001's line: what is true")
    left.plot(epochs, read["right"], "o-", color=BLUE, lw=1.8, ms=4, label="the right line")
    left.plot(epochs, read["deck 001"], "o--", color=RED, mfc="white", lw=1.5, ms=4,
              label="deck 001's line: what its loss reads")  # fmt: skip
    left.set(
        xlabel="epoch", ylabel="-ELBO, nats per test image", title="it looks better, and is worse"
    )
    left.set(xticks=epochs[:: -(-len(epochs) // 10)])
    left.legend(loc="upper right")
    _clouds(right, *clouds)
    panels = bottom.subplots(1, 2)
    bottom.subplots_adjust(top=0.9)
    for ax, (name, images) in zip(panels, samples.items(), strict=True):
        picture = mosaic(np.clip(images, 0, 1), 10)
        ax.imshow(picture, plt.get_cmap("gray").with_extremes(bad="white"), vmin=0, vmax=1)
        title = {"deck 001": "drawn from the prior: deck 001's line", "right": "the right line"}
        ax.set_title(title[name])
        ax.axis("off")
    figure.savefig(path)
    plt.close(figure)


def _clouds(ax: Axes, mean: np.ndarray, log_var: np.ndarray) -> None:
    """Of one encoder's answers, draws by both lines, in its two most used codes."""
    used = np.argsort(-mean.var(0))[:2]
    minigrad.manual_seed(0)
    turn = np.linspace(0, 2 * np.pi, 100)
    for m, l in zip(mean[:, used], log_var[:, used], strict=True):
        eps = minigrad.randn(200, 2, dtype=minigrad.float64)
        m, l = tensor(m.astype(np.float64)), tensor(l.astype(np.float64))
        for line, colour in ((pairs.draw_with_std, BLUE), (pairs.draw_with_variance, RED)):
            ax.plot(*line(m, l, eps).numpy().T, ".", color=colour, ms=3, alpha=0.5, mew=0)
        circle = 2 * np.exp(l.numpy() / 2)[:, None] * np.stack([np.cos(turn), np.sin(turn)])
        ax.plot(*(m.numpy()[:, None] + circle), color="black", lw=0.9)
    for label, colour in (("drawn with σ²", RED), ("drawn with σ", BLUE)):
        ax.plot([], [], "o", color=colour, ms=5, label=label)
    ax.plot([], [], color="black", lw=0.9, label="2σ of the q(z|x) that the KL is of")
    ax.set(title="codes of ten digits, as deck 001's encoder gives μ and ln σ²")
    ax.set(xlabel=f"code {used[0]}", ylabel=f"code {used[1]}", aspect="equal")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.3 * (high - low))
    ax.legend(loc="upper left", fontsize=9)


# ---------------------------------------------------------------- images


def draw_kernel(digit: Tensor, path: Path) -> None:
    """A transposed convolution, and the direct one with the kernel turned and as it is."""
    small = F.avg_pool2d(digit, 2)
    comet = np.zeros((6, 6))  # a bright head, and a tail to the lower right
    for i, light in zip((1, 2, 3, 4), (0.7, 0.4, 0.25, 0.15), strict=True):
        comet[i : i + 2, i : i + 2] += light
    kernel = tensor(comet[None, None])
    truth = F.conv_transpose2d(small, kernel, stride=2, padding=2)
    stretched = pairs.stretch(small, 2, 3)
    turned, as_is = (f(stretched, kernel) for f in (pairs.convolve_turned, pairs.convolve_as_is))
    top = truth.max().item()
    draw_panels([("", [
        Panel(small.numpy()[0, 0], "input 14 × 14"),
        Panel(comet, "kernel 6 × 6"),
        Panel(truth.numpy()[0, 0] / top, "transposed convolution"),
        Panel(turned.numpy()[0, 0] / top, "kernel turned by 180°"),
        Panel(as_is.numpy()[0, 0] / top, "as it is"),
        Panel((as_is - truth).numpy()[0, 0], "its error", signed=True),
    ])], path, width=11)  # fmt: skip


def _framed(images: Tensor) -> np.ndarray:
    """A row of images, each in a black frame, so that white ones end somewhere."""
    pixels = np.clip(images.cpu().numpy()[:, 0], 0, 1)
    return mosaic(np.pad(pixels, ((0, 0), (1, 1), (1, 1))))


def draw_pictures(
    sample: Tensor, rebuilt: dict[str, Tensor], turned: dict[str, Tensor], path: Path
) -> None:
    """What each autoencoder makes of ten digits; ink below 0 apart."""
    tanh, sigmoid = rebuilt["Tanh"], rebuilt["Sigmoid"]
    below = mosaic(np.minimum(tanh.cpu().numpy()[:, 0], 0))
    draw_panels([
        ("input", [Panel(_framed(sample))]),
        ("VAE, σ drawn", [Panel(_framed(rebuilt["right"]))]),
        ("VAE, σ² drawn:\ndeck 001", [Panel(_framed(rebuilt["deck 001"]))]),
        ("AE, Sigmoid", [Panel(_framed(sigmoid))]),
        ("AE, Tanh:\ndeck 000", [Panel(_framed(tanh))]),
        (f"its ink below 0,\nto {np.nanmin(below):.2f}", [Panel(below, signed=True)]),
        ("VAE, -ELBO as\na loss, 25 steps", [Panel(_framed(turned["right"]))]),
        ("VAE, ELBO as a\nloss: deck 002, 25 steps", [Panel(_framed(turned["deck 002"]))]),
    ], path)  # fmt: skip


# ---------------------------------------------------------------- formulas


def draw_formulas(
    bounds: list[tuple[float, float, float]], variances: tuple[float, float], path: Path
) -> None:
    """KL read and true; two densities; sparsity both ways round; ELBOs in two units."""
    figure, ((kl, density), (sparsity, units)) = plt.subplots(2, 2, figsize=(12, 8.2))
    _kl(kl)
    _density(density)
    _sparsity(sparsity)
    _units(units, bounds, variances)
    figure.tight_layout(h_pad=2)
    figure.savefig(path)
    plt.close(figure)


def _kl(ax: Axes) -> None:
    log_var = np.linspace(-5, 2, 141)
    zero, one = tensor(np.zeros(141)), Normal(pairs.real(0.0), 1.0)
    read = pairs.kl_read(zero, tensor(log_var)).numpy()
    drawn = kl_divergence(Normal(zero, tensor(np.exp(log_var))), one).numpy()
    ax.plot(log_var, drawn, color=RED, lw=2, label="KL of the draws with σ = e^log_var")
    ax.plot(log_var, read, color=BLUE, lw=2, label="KL that the loss reads")
    at = pairs.kl_read(pairs.real(0.0), pairs.real(-2.0)).item()
    is_so = np.interp(-2, log_var, drawn)
    ax.plot([-2, -2], [at, is_so], "o-", color="black", ms=5, lw=1)
    ax.text(-1.9, is_so, f"{is_so:.2f}", va="bottom")
    ax.text(-1.9, at, f"{at:.2f}", va="bottom")
    ax.set(title="001: σ² drawn where σ is meant", xlabel="log_var", ylabel="nats", ylim=(-0.2, 6))
    ax.legend(loc="upper center")


def _density(ax: Axes) -> None:
    d, std = np.linspace(-1.2, 1.2, 601), pairs.real(0.1)
    for line, colour, label in (
        (pairs.log_density_of_2_std, RED, "d² / 2σ: the area is 3.16"),
        (pairs.log_density_of_2_var, BLUE, "d² / 2σ²: the area is 1"),
    ):
        height = line(tensor(d), std).exp().numpy()
        ax.plot(d, height, color=colour, lw=2, label=label)
        ax.fill_between(d, height, color=colour, alpha=0.12, lw=0)
    ax.set(title="002: the “density” at σ = 0.1", xlabel="x - μ")
    ax.legend(loc="upper right")


def _sparsity(ax: Axes) -> None:
    actual = tensor(np.geomspace(1e-6, 1 - 1e-6, 400))
    desired = pairs.real(0.05)
    for line, colour, label in (
        (pairs.sparsity_swapped, RED, "KL(measured ‖ desired)"),
        (pairs.sparsity, BLUE, "KL(desired ‖ measured)"),
    ):
        ax.semilogx(actual.numpy(), line(desired, actual).numpy(), color=colour, lw=2, label=label)
    ax.axvline(0.05, color=GREY, lw=1, ls="--")
    ax.text(0.055, 1.12, "desired", color=GREY)
    ax.set(title="003: swapped, a dead neuron is not called back", ylim=(-0.04, 1.2))
    ax.set(xlabel="how often a neuron is on", ylabel="nats", xlim=(1e-6, 1))
    ax.legend(loc="upper center", bbox_to_anchor=(0.45, 1.0))


def _units(
    ax: Axes, bounds: list[tuple[float, float, float]], variances: tuple[float, float]
) -> None:
    names = [f"Gaussian\nσ² = {variances[0]:g}", "Bernoulli", f"Gaussian\nσ² = {variances[1]:g}"]
    for i, (row, colour, unit) in enumerate(
        zip(bounds, (BLUE, ORANGE), ("[0, 1]", "0…255"), strict=True)
    ):
        bars = ax.bar(
            np.arange(3) + 0.4 * i - 0.2, row, 0.38, color=colour, label=f"pixels in {unit}"
        )
        for bar, value in zip(bars, row, strict=True):
            ax.text(
                bar.get_x() + 0.19, value, f"{value:,.0f}", ha="center", fontsize=9,
                va="bottom" if value > 0 else "top",
            )  # fmt: skip
    ax.axhline(0, color="black", lw=0.8)
    ax.set_xticks(range(3), names)
    ax.set(
        title=f"002: a change of units moves a density by 784 ln 255 = {784 * math.log(255):,.0f}"
    )
    ax.set(ylabel="ELBO, nats per image", ylim=(-5200, 900))
    ax.grid(False)
    ax.legend(loc="center", bbox_to_anchor=(0.5, 0.3))
