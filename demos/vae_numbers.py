"""What `demos.vae` measures beside the loss: what a drawing is taken for, how far off it is."""

import numpy as np

from demos.common import Images
from minigrad import Tensor, tensor
from minigrad.data import DataLoader, TensorDataset
from models.evaluation import posteriors
from models.vae import VAE

NEIGHBOURS = 10
KNOWN = 10_000  # training images that are compared with


def batches(images: Tensor, size: int = 500) -> DataLoader:
    """Images in batches, in order."""
    return DataLoader(TensorDataset(images), size)


def flat(images: Tensor) -> np.ndarray:
    """Images as vectors (n, pixels)."""
    return images.cpu().numpy().reshape(len(images), -1)


def squares(asked: np.ndarray, known: np.ndarray) -> np.ndarray:
    """‖x - y‖² of every asked x and every known y, (asked, known); not below 0 by rounding.

    >>> squares(np.array([[3.0, 0.0]]), np.array([[0.0, 4.0], [3.0, 0.0]]))
    array([[25.,  0.]])
    """
    away = (asked**2).sum(1)[:, None] + (known**2).sum(1) - 2 * asked @ known.T
    return np.maximum(away, 0)


def votes(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The label that most of the NEIGHBOURS nearest known vectors (n, d) have, for each asked."""
    k = min(NEIGHBOURS, len(known) - 1)
    nearest = np.argpartition(squares(asked, known), k, axis=1)[:, :k]
    return np.array([np.bincount(labels[row]).argmax() for row in nearest])


def confusion(model: VAE, train: Images, test: Images, kind: int) -> list[tuple]:
    """What the nearest training images say of the test images of one kind: the share per label.

    Of the images, of their reconstructions, and of their codes, which are compared with codes.
    """
    known, labels = (part[:KNOWN] for part in train)
    asked = test.images[test.labels == kind]
    codes, asked_codes = (posteriors(model, batches(x)).mean for x in (known, asked))
    rows = []
    for name, space, vectors in (
        ("the images", flat(known), flat(asked)),
        ("their reconstructions", flat(known), flat(model.reconstruct(asked))),
        ("their codes", codes, asked_codes),
    ):
        said = votes(space, labels.cpu().numpy(), vectors)
        share = np.bincount(said, minlength=10) / len(said)
        rows.append((name, *(f"{part:.0%}" for part in share)))
    return rows


def distances(
    models: dict[str, VAE], train: Images, test: Images, seed: int, pairs: int = 300
) -> list[tuple]:
    """How far the drawings of codes lie from the nearest training image: a row for each model."""
    known = flat(train.images[:KNOWN])
    rows = []
    for name, model in models.items():
        rng = np.random.default_rng(seed)
        means = posteriors(model, batches(test.images)).mean
        a, b = means[rng.integers(0, len(means), (2, pairs))]
        codes = a, (a + b) / 2, rng.standard_normal(a.shape)
        device = test.images.device
        drawn = (model.generate(tensor(z.astype(np.float32), device=device)) for z in codes)
        nearest = (squares(flat(x), known).min(1) for x in drawn)
        rows.append((name, *(f"{np.sqrt(square).mean():.2f}" for square in nearest)))
    return rows
