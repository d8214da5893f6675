r"""A set of faces in which some are rare, and how to learn them better unasked. Course: V17.

Of each set 95 % of the faces belong to one group and 5 % to another; a test set has half of each.
A VAE learns what is rare worse. It also knows what is rare, though nobody told it: codes that few
faces have. So after each epoch the next one's faces are drawn, with repetition, with probability

    p(x) ∝ Π 1 / (Q_j(z_j(x)) + α),    over the codes j that say something,

where Q_j is the histogram of code j over the whole set. (Amini et al., Uncovering and Mitigating
Algorithmic Bias through Learned Latent Structure, AIES 2019.) Groups are looked at in the end only.

A product of many factors can be almost nothing but for a handful of faces. The larger α, the more
even it is: here the smallest α is taken with which the weights are worth a quarter of the faces by
Kish's effective number, (Σ p)² / Σ p². It knows nothing of groups either.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

import minigrad
from demos.common import Rows, paint
from demos.face_model import adam, face_vae
from minigrad.data import DataLoader, ImageDataset, TensorDataset
from minigrad.data.faces import FACTORS
from minigrad.training import fit
from models.evaluation import active_units, posteriors
from models.likelihoods import Gaussian
from models.vae import FaceVAE

GROUPS = {"light skin": (0.0, 0.3), "dark skin": (0.7, 1.0)}  # 95 % and 5 %
SETS = "95 % and 5 %", "the same, resampled", "half and half"
RARE = 0.05
SIZE = 32  # pixels a side: a quarter of the time, so that it can be repeated
WORTH = 0.25  # the effective number of faces, as a share of all
BINS = 10
TESTED = 400  # faces, half of each group
CODES, WIDTH = 12, 8


def of_two_groups(factors: np.ndarray, rare: float) -> tuple[np.ndarray, np.ndarray]:
    """The factors with skins of two groups, and which faces are of the rare one: the first ones."""
    is_rare = np.arange(len(factors)) < round(rare * len(factors))
    share = factors[:, FACTORS.index("skin")]
    (low, high), (rare_low, rare_high) = GROUPS.values()
    changed = factors.copy()
    changed[:, FACTORS.index("skin")] = np.where(
        is_rare, rare_low + (rare_high - rare_low) * share, low + (high - low) * share
    )
    return changed, is_rare


# ---------------------------------------------------------------- what is rare


def densities(means: np.ndarray) -> np.ndarray:
    """Q_j(z_j) of every face and code (n, k): the height of its bar in the code's histogram."""
    found = np.empty(means.shape)
    for j, column in enumerate(means.T):
        heights, edges = np.histogram(column, BINS, density=True)
        found[:, j] = heights[np.digitize(column, edges[1:-1])]
    return found


def weights(density: np.ndarray, alpha: float) -> np.ndarray:
    """p ∝ Π 1 / (Q_j + α) of every face, (n,), summing to 1."""
    logs = -np.log(density + alpha).sum(1)
    p = np.exp(logs - logs.max())
    return p / p.sum()


def worth(p: np.ndarray) -> float:
    """How many faces weights are worth, as a share: (Σ p)² / (n Σ p²), 1 if all are alike.

    >>> worth(np.array([0.5, 0.5, 0.0, 0.0]))
    0.5
    """
    return float(p.sum() ** 2 / (p**2).sum() / len(p))


def resampling(means: np.ndarray, least: float = WORTH) -> np.ndarray:
    """The weights of faces with these codes, for the smallest α that leaves them worth `least`."""
    density = densities(means)
    low, high = 1e-4, 1e4
    for _ in range(40):
        alpha = (low * high) ** 0.5
        low, high = (low, alpha) if worth(weights(density, alpha)) >= least else (alpha, high)
    return weights(density, high)


# ---------------------------------------------------------------- the experiment


class Debiased(NamedTuple):
    """What was measured, and what was drawn."""

    error: np.ndarray  # (3 sets, seeds, 2 groups): the mean squared error on test faces
    drawn: np.ndarray  # (seeds,): the share of rare faces in the last epoch of the resampled set
    faces: np.ndarray  # rare test faces, (n, 3, h, w)
    outputs: np.ndarray  # what each set's model makes of them, (3, n, 3, h, w), of the first seed


class Redraw:
    """After each epoch, draws the next one's faces by how rare their codes are."""

    def __init__(self, model: FaceVAE, data: ImageDataset, seed: int) -> None:
        self.model, self.data = model, data
        self.rows = Rows(data, np.arange(len(data)))
        self.dice = np.random.default_rng(seed)

    def __call__(self, *_: object) -> None:
        found = posteriors(self.model, DataLoader(self.data, 250))
        active = active_units(found)
        if active.any():
            p = resampling(found.mean[:, active])
            self.rows.rows = self.dice.choice(len(p), len(p), p=p)


def train(data: ImageDataset, epochs: int, seed: int, resample: bool) -> tuple[FaceVAE, Redraw]:
    """A model of small faces; the last epoch's faces are in what is returned beside it."""
    minigrad.manual_seed(seed)
    model = face_vae(CODES, WIDTH, Gaussian("shared"), SIZE).to(data.tensors[0].device)
    optimizer, scheduler = adam(model, epochs)
    redraw = Redraw(model, data, seed)
    fit(
        model, FaceVAE.loss, optimizer, DataLoader(redraw.rows, 16, shuffle=True), epochs,
        scheduler=scheduler, on_epoch=redraw if resample else None, progress=False,
    )  # fmt: skip
    return model.eval(), redraw


def reconstructed(model: FaceVAE, data: TensorDataset) -> np.ndarray:
    """What a model makes of the faces (n, 3, h, w)."""
    return np.concatenate([model.reconstruct(x).cpu().numpy() for x, *_ in DataLoader(data, 250)])


def debias(
    n: int, epochs: int, seeds: Sequence[int], draw: Callable[[int, int], np.ndarray],
    device: str, shown: int = 8, each: Callable[[], object] = lambda: None,
) -> Debiased:  # fmt: skip
    """Train on each of the three sets, n faces, with each seed; `each` is called every time."""
    factors, is_rare = of_two_groups(draw(TESTED, 10_000), 0.5)
    test = ImageDataset(paint(factors, SIZE), device=device)
    wanted = np.concatenate([x.cpu().numpy() for (x,) in DataLoader(test, 250)])
    error, drawn, outputs = np.empty((len(SETS), len(seeds), 2)), np.empty(len(seeds)), []
    for s, seed in enumerate(seeds):
        factors, rare = of_two_groups(draw(n, seed), RARE)
        biased, even = (
            ImageDataset(paint(f, SIZE), device=device)
            for f in (factors, of_two_groups(draw(n, seed), 0.5)[0])
        )
        for i, data in enumerate((biased, biased, even)):  # as in SETS
            model, redraw = train(data, epochs, seed, resample=i == 1)
            found = reconstructed(model, test)
            squared = ((found - wanted) ** 2).mean((1, 2, 3))
            error[i, s] = [squared[group].mean() for group in (~is_rare, is_rare)]
            if i == 1:
                drawn[s] = rare[redraw.rows.rows].mean()
            if not s:
                outputs.append(found[is_rare][:shown])
            each()
    return Debiased(error, drawn, wanted[is_rare][:shown], np.stack(outputs))
