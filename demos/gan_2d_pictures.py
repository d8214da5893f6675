"""The pictures of `demos.gan_2d`: coverage, landscapes, two modes, and the games in motion."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from demos.pictures import drawn, save_gif
from demos.two_tasks import TWO, Choice
from models.gan_scores import Coverage
from models.toys import Mixture

GOOD, BAD = "C0", "C3"


class Landscape(NamedTuple):
    """What D says of the plane, and where G is sent."""

    judged: np.ndarray  # D, or its score, on a square lattice
    samples: np.ndarray  # (n, 2)
    arrows: np.ndarray  # -∂ (G's loss of the sample)/∂ sample, (n, 2)


class Played(NamedTuple):
    """A game that is over."""

    name: str
    covered: list[Coverage]  # after each epoch
    in_use: list[float]  # modes, then
    clouds: list[np.ndarray]  # samples, then, (n, 2), the first before training
    landscape: Landscape  # in the end
    seconds: float


def draw_coverage(played: Sequence[Played], mixture: Mixture, path: Path) -> None:
    """Modes in use, and good samples, after each epoch of every game."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.4))
    for i, game in enumerate(played):
        fast = i == len(played) - 1
        style = dict(color=BAD, ls="--", lw=2) if fast else dict(color=f"C{i + i // 3}", lw=1.6)
        epochs = range(1, len(game.covered) + 1)
        axes[0].plot(epochs, game.in_use, label=game.name, **style)
        axes[1].plot(epochs, [c.good for c in game.covered], **style)
    modes = len(mixture.centres)
    axes[0].axhline(modes, color="0.7", lw=0.8)
    axes[0].set(ylim=(0, 1.08 * modes), xlabel="epoch", title=f"modes in use, of {modes}")
    axes[1].axhline(0.989, color="0.7", lw=0.8)
    axes[1].set(ylim=(0, 1.03), xlabel="epoch", title="good samples; of the data 98.9 %")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    figure.tight_layout(rect=(0, 0.12, 1, 1))
    figure.savefig(path)
    plt.close(figure)


def draw_landscapes(played: Sequence[Played], mixture: Mixture, reach: float, path: Path) -> None:
    """D of each game as contours, its samples, and where the gradient sends them."""
    most = max(abs(game.landscape.judged - 0.5).max() for game in played)
    colours = dict(vmin=0.5 - most, vmax=0.5 + most, alpha=0.75)
    levels = 0.5 + most * np.linspace(-0.75, 0.75, 7)
    figure, axes = plt.subplots(1, len(played), figsize=(6.2 * len(played), 5.4))
    for ax, game in zip(axes, played, strict=True):
        judged, samples, arrows = game.landscape
        ends = (-reach, reach, -reach, reach)
        shown = ax.imshow(judged, "RdBu", origin="lower", extent=ends, **colours)
        ax.contour(judged, levels, extent=ends, colors="0.35", linewidths=0.7)
        ax.plot(*mixture.centres.T, "k+", ms=9, mew=1.3)
        length = np.linalg.norm(arrows, axis=1, keepdims=True)
        unit = arrows / np.maximum(length, 1e-12) * np.sqrt(length / max(length.max(), 1e-12))
        ax.quiver(*samples.T, *unit.T, color="k", angles="xy", scale=14, width=0.004)
        ax.plot(*samples.T, "o", color="C1", ms=4, mec="k", mew=0.3)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", title=game.name)
        ax.grid(False)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="D(x): blue is taken for data")
    figure.savefig(path)
    plt.close(figure)


def draw_two_modes(choice: Choice, path: Path) -> None:
    """What was made of two modes: two densities and a histogram, over the data's density."""
    x = np.linspace(-5.5, 5.5, 600)
    truth = np.exp(TWO.log_prob(x[:, None]))
    gaussian = lambda mean, std: np.exp(Mixture(np.array([[mean]]), std).log_prob(x[:, None]))
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.5), sharey=True)
    for ax in axes:
        ax.fill_between(x, truth, color="0.85", label="data")
        ax.set(xlabel="x", xlim=(-5.5, 5.5))
    axes[0].plot(x, gaussian(*choice.likely), BAD, lw=2)
    axes[0].set_title("the most likely Gaussian")
    axes[1].plot(x, gaussian(*choice.played), BAD, lw=2)
    axes[1].set_title("a Gaussian that played a game")
    axes[2].hist(choice.samples, 90, range=(-5.5, 5.5), density=True, color=GOOD, alpha=0.8)
    axes[2].set_title("samples of a network that played")
    axes[0].legend(loc="upper right")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def save_games(
    played: Sequence[Played], mixture: Mixture, reach: float, path: Path, most: int = 24
) -> None:
    """All games side by side, samples after each epoch."""
    epochs = len(played[0].clouds) - 1
    shown = np.unique(np.linspace(0, epochs, min(most, epochs + 1)).round().astype(int))
    save_gif([_frame(played, mixture, reach, i) for i in shown], path, seconds=0.25)


def _frame(played: Sequence[Played], mixture: Mixture, reach: float, epoch: int) -> np.ndarray:
    columns = min(3, len(played))
    rows = -(-len(played) // columns)
    size = 2.4 * columns, 2.6 * rows
    figure, axes = plt.subplots(
        rows, columns, figsize=size, dpi=80, squeeze=False, layout="constrained"
    )
    for ax, game in zip(axes.flat, played, strict=True):
        ax.plot(*mixture.centres.T, "+", color="0.3", ms=7)
        ax.plot(*game.clouds[epoch].T, ".", color=BAD if game is played[-1] else GOOD, ms=2.5)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=(), yticks=())
        ax.set_title(game.name, fontsize=8.5)
    figure.suptitle(f"epoch {epoch}", x=0.02, ha="left", fontsize=9)
    return drawn(figure)
