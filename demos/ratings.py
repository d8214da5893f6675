"""Ratings that are made up, of known tastes, and ways to guess those that are missing."""

from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from minigrad import Tensor, cat, nn, rand

TASTES, NOISE = 3, 0.4
HIDDEN = 0.3  # share of the known ratings that the model does not see in training


class Ratings(NamedTuple):
    """Ratings (users, films), which of them are known, and which are asked for."""

    values: np.ndarray
    known: np.ndarray
    asked: np.ndarray
    tastes: np.ndarray  # (users, TASTES)


def ratings(users: int, films: int, seed: int, share: float = 0.25) -> Ratings:
    """3 + what a film is worth + how mild the user is + taste · film + noise of 0.4.

    A quarter of all ratings are known, and as many others are held back to ask for.
    """
    rng = np.random.default_rng(seed)
    tastes = rng.standard_normal((users, TASTES))
    traits = rng.standard_normal((films, TASTES)) * 0.8 / np.sqrt(TASTES)
    worth, mild = rng.normal(0, 0.4, films), rng.normal(0, 0.3, (users, 1))
    values = 3 + worth + mild + tastes @ traits.T + rng.normal(0, NOISE, (users, films))
    drawn = rng.random((users, films))
    known, asked = drawn < share, (drawn >= share) & (drawn < 2 * share)
    return Ratings(values.astype(np.float32), known, asked, tastes)


def rmse(guess: np.ndarray, data: Ratings) -> float:
    """√ of the mean squared error of the ratings asked for."""
    return float(np.sqrt(((guess - data.values)[data.asked] ** 2).mean()))


def mean_of_film(data: Ratings) -> np.ndarray:
    """The mean of each film's known ratings, (films,)."""
    return (data.values * data.known).sum(0) / np.maximum(data.known.sum(0), 1)


def by_means(data: Ratings) -> np.ndarray:
    """The film's mean, and how far the user's ratings are from their films' on average."""
    film = mean_of_film(data)
    apart = np.where(data.known, data.values - film, 0).sum(1, keepdims=True)
    return film + apart / np.maximum(data.known.sum(1, keepdims=True), 1)


def by_svd(data: Ratings, rank: int, rounds: int = 1) -> np.ndarray:
    """Unknown ratings filled with `by_means`, then the nearest matrix of that rank to the rest.

    With more rounds the unknown ratings are filled with the outcome, again and again.
    """
    base = by_means(data)
    rest = np.zeros_like(base)
    for _ in range(rounds):
        filled = np.where(data.known, data.values - base, rest)
        left, sizes, right = np.linalg.svd(filled, full_matrices=False)
        rest = (left[:, :rank] * sizes[:rank]) @ right[:rank]
    return base + rest


class RatingsAutoencoder(nn.Module):
    r"""A user's known ratings → codes → all ratings. Course: V21.

        (n, 2 · films) → ReLU 128 → (n, codes) → (n, films)

    Ratings come in less their film's mean, 0 where unknown, beside which of them are known.
    """

    def __init__(self, films: int, codes: int = TASTES + 1, hidden: int = 128) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(2 * films, hidden), nn.ReLU(), nn.Linear(hidden, codes)
        )
        self.decoder = nn.Linear(codes, films)

    def encode(self, rest: Tensor, known: Tensor) -> Tensor:
        """The codes (n, codes) of ratings less their film's mean, known where `known` is 1."""
        return self.encoder(cat([rest * known, known], dim=1))

    def forward(self, rest: Tensor, known: Tensor) -> Tensor:
        """All ratings (n, films), less their film's mean."""
        return self.decoder(self.encode(rest, known))

    def loss(self, rest: Tensor, known: Tensor) -> Tensor:
        """The mean squared error of the known ratings, some of which it was not shown."""
        shown = known * (rand(*known.shape, device=known.device) > HIDDEN).to(known.dtype)
        return ((self(rest, shown) - rest).square() * known).sum() / known.sum()


def explained(codes: np.ndarray, data: Ratings) -> tuple[float, np.ndarray]:
    """R² of the tastes by the best linear map of the codes, and what it answers."""
    with_one = np.column_stack([codes, np.ones(len(codes))])
    guess = with_one @ np.linalg.lstsq(with_one, data.tastes, rcond=None)[0]
    apart = ((data.tastes - guess) ** 2).sum() / ((data.tastes - data.tastes.mean(0)) ** 2).sum()
    return float(1 - apart), guess


def draw_ratings(
    found: dict[str, float], course: list[float], taste: tuple[np.ndarray, np.ndarray], path: Path
) -> None:
    """RMSE by epoch beside the others' lines; a taste, and what the codes say of it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4), width_ratios=(1.6, 1))
    left.plot(range(1, len(course) + 1), course, color="C0", lw=2)
    place = np.inf  # of the last label: from the top down, none on another
    colours = "C7", "C5", "C1", "C2", "C0", "k"
    for (name, value), colour in zip(found.items(), colours, strict=True):
        if name != "autoencoder":
            left.axhline(value, color=colour, lw=1.3, ls="--" if colour != "k" else ":")
        place = min(value, place - 0.035)
        left.annotate(
            f"{name} {value:.3f}", (1.01, place), xycoords=("axes fraction", "data"),
            color=colour, va="center", fontsize=9,
        )  # fmt: skip
    left.set(xlabel="epoch", ylabel="RMSE of the ratings asked for")
    right.scatter(*taste, s=6, alpha=0.5, lw=0, color="C0")
    right.plot([-3, 3], [-3, 3], "k:", lw=1)
    right.set(
        xlabel="a user's taste", ylabel="a linear map of the codes", xlim=(-3, 3), ylim=(-3, 3),
        title="the first of three tastes", aspect="equal",
    )  # fmt: skip
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
