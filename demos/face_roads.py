"""Directions with a meaning: how codes move when a head turns, or smiles. Course: V14.

Every drawn face comes with its factors, so it can be asked how the codes of all faces depend on one
of them. `road` answers with a curve through code space. To turn one head, its code goes along that
curve. What comes out can be held against the face as it would have been drawn.
"""

from typing import NamedTuple

import numpy as np

from minigrad import tensor
from minigrad.data import DataLoader, TensorDataset
from minigrad.data.faces import FACTORS, faces_from
from models.evaluation import posteriors
from models.scores import psnr
from models.vae import VAE

ROADS = {"pose": "the head turns", "smile": "it smiles"}
STOPS = np.linspace(-1, 1, 7)  # of pictures in a row
FRAMES = np.linspace(-1, 1, 9)  # of an animation
POWERS = np.arange(1, 6)


def road(means: np.ndarray, factors: np.ndarray, column: int) -> np.ndarray:
    """How codes (n, k) depend on one column f of factors (n, m): the rows C (5, k) of

        code ≈ constant + f C₁ + f² C₂ + … + f⁵ C₅ + the same of each other factor

    by least squares. The others are independent of f, but left out they would add noise.

    >>> f, other = np.linspace(-1, 1, 99), np.arange(99) % 2
    >>> codes = np.column_stack([2 * f + other, 5 - f**2])
    >>> road(codes, np.column_stack([other, f]), 1).round(6) + 0.0
    array([[ 2.,  0.],
           [ 0., -1.],
           [ 0.,  0.],
           [ 0.,  0.],
           [ 0.,  0.]])
    """
    vary = np.flatnonzero(np.ptp(factors, axis=0))
    order = [column, *(j for j in vary if j != column)]
    powers = np.hstack([factors[:, [j]].astype(np.float64) ** POWERS for j in order])
    found = np.linalg.lstsq(powers - powers.mean(0), means - means.mean(0), rcond=None)[0]
    return found[: len(POWERS)]


def walk(code: np.ndarray, start: float, stops: np.ndarray, along: np.ndarray) -> np.ndarray:
    """The codes (stops, k) that a code (k,), whose factor is `start`, passes along a road."""
    return code + (stops[:, None] ** POWERS - start**POWERS) @ along


def told(
    means: np.ndarray, factor: np.ndarray, test_means: np.ndarray, test_factor: np.ndarray
) -> float:
    """R² of a linear guess of the factor from the codes, on test faces: 1 if codes tell it all."""
    ones = np.ones((len(means), 1))
    weights = np.linalg.lstsq(np.hstack([means, ones]), factor, rcond=None)[0]
    guess = test_means @ weights[:-1] + weights[-1]
    return float(1 - ((guess - test_factor) ** 2).mean() / test_factor.var())


def codes_and_factors(model: VAE, data: TensorDataset) -> tuple[np.ndarray, np.ndarray]:
    """The mean codes (n, k) and the factors (n, 20) of faces."""
    loader = DataLoader(data, 100)
    factors = [label.cpu().numpy() for _, label in loader]
    return posteriors(model, loader).mean, np.concatenate(factors)


class Walk(NamedTuple):
    """One person at some stops of a road: as drawn, and as decoded. (stops, 3, 64, 64) each."""

    drawn: np.ndarray
    decoded: np.ndarray


class Road(NamedTuple):
    """What was found about one factor."""

    name: str
    r2: float  # of a linear guess of the factor from the codes
    walked: float  # PSNR of the decoded walk against the faces as drawn, decibels
    encoded: float  # that of the drawn faces' own reconstructions: walking can hardly do better
    stayed: float  # that of the first face's reconstruction: what not walking gives
    strips: list[Walk]  # a person each, at STOPS
    frames: list[Walk]  # at FRAMES


class Walker:
    """A model, its codes of faces whose factors are known, and test faces to walk with."""

    def __init__(self, model: VAE, train: TensorDataset, test: TensorDataset) -> None:
        self.model, self.device = model, next(iter(model.parameters())).device
        self.means, self.factors = codes_and_factors(model, train)
        self.test_means, self.test_factors = codes_and_factors(model, test)

    def images(self, codes: np.ndarray) -> np.ndarray:
        """What is decoded of codes (n, k)."""
        z = tensor(codes.astype(np.float32), device=self.device)
        return self.model.generate(z).cpu().numpy()

    def walk(self, person: int, column: int, stops: np.ndarray, along: np.ndarray) -> Walk:
        """A test face, `person`, from the factor's first stop to its last."""
        factors = np.repeat(self.test_factors[person : person + 1], len(stops), axis=0)
        code = walk(self.test_means[person], float(factors[0, column]), stops, along)
        factors[:, column] = stops
        return Walk(faces_from(factors), self.images(code))

    def people(self) -> list[int]:
        """Two test faces that show a walk well: nearly frontal, no beard or glasses, and unlike."""
        of = dict(zip(FACTORS, self.test_factors.T, strict=True))
        plain = (np.abs(of["pose"]) < 0.5) & (of["beard"] == 0) & (of["glasses"] == 0)
        plain &= np.abs(of["light"]) < 0.7
        groups = of["skin"] < 0.4, of["skin"] > 0.6
        found = [np.flatnonzero(plain & group) for group in groups]
        return [int(group[0]) for group in found if len(group)] or [0]

    def judge(self, column: int, along: np.ndarray, most: int) -> tuple[float, float, float]:
        """The PSNRs of a Road, over all stops of so many test faces."""
        found = []
        for person in range(min(most, len(self.test_means))):
            drawn, decoded = self.walk(person, column, STOPS, along)
            encoded = self.model.reconstruct(tensor(drawn, device=self.device)).cpu().numpy()
            stayed = self.images(np.repeat(self.test_means[person : person + 1], len(STOPS), 0))
            found.append([psnr(y, drawn).mean() for y in (decoded, encoded, stayed)])
        return tuple(map(float, np.mean(found, axis=0)))

    def road(self, name: str, most: int) -> Road:
        """Everything about one factor."""
        column = FACTORS.index(name)
        along = road(self.means, self.factors, column)
        r2 = told(
            self.means, self.factors[:, column], self.test_means, self.test_factors[:, column]
        )
        strips, frames = (
            [self.walk(person, column, stops, along) for person in self.people()]
            for stops in (STOPS, FRAMES)
        )
        return Road(name, r2, *self.judge(column, along, most), strips, frames)
