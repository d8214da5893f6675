r"""Small distributions that are known exactly: mixtures of Gaussians, on a line or in the plane.

What a generative model has learned of them can be told by numbers: see `models/gan_scores.py`.
"""

import math
from typing import NamedTuple

import numpy as np

from minigrad import Generator, Tensor, tensor
from minigrad.backend import CPU
from minigrad.errors import ArgumentError, ShapeError
from minigrad.ops.sampling import stream


class Mixture(NamedTuple):
    """Equal parts of N(centre, std²), one for each of the centres (modes, d)."""

    centres: np.ndarray
    std: float

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """n points (n, d) of float32: a centre by chance, and noise."""
        source = stream(generator, CPU)
        which = source.integers(0, len(self.centres), (n,))
        noise = source.normal((n, self.centres.shape[1]), "float64")
        return tensor((self.centres[which] + self.std * noise).astype(np.float32))

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """ln p(x) of points (n, d), in nats, (n,)."""
        x = np.asarray(x, np.float64)
        modes, d = self.centres.shape
        if x.ndim != 2 or x.shape[1] != d:
            raise ShapeError(f"Mixture: x: got {x.shape}; expected {('n', d)}")
        away = ((x[:, None] - self.centres) ** 2).sum(2) / self.std**2
        near = away.min(1, keepdims=True)
        nats = -0.5 * near[:, 0] + np.log(np.exp(-0.5 * (away - near)).sum(1) / modes)
        return nats - 0.5 * d * math.log(2 * math.pi * self.std**2)


def _checked(op: str, count: int, size: float, std: float) -> None:
    if count < 1 or not (0 < size < math.inf and 0 < std < math.inf):
        raise ArgumentError(
            f"{op}: got {count}, {size}, std {std}; expected at least 1 mode, and lengths above 0"
        )


def ring(modes: int = 8, radius: float = 2.0, std: float = 0.02) -> Mixture:
    """Gaussians evenly on a circle. Course: G1. (Metz et al., arXiv 1611.02163.)

    >>> ring(4, 1.0).centres.round(6) + 0.0
    array([[ 1.,  0.],
           [ 0.,  1.],
           [-1.,  0.],
           [ 0., -1.]])
    """
    _checked("ring", modes, radius, std)
    angle = 2 * np.pi * np.arange(modes) / modes
    return Mixture(radius * np.stack([np.cos(angle), np.sin(angle)], 1), std)


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> Mixture:
    """side × side Gaussians on a square grid around 0. (Srivastava et al., arXiv 1705.07761.)

    >>> grid(2, 1.0).centres.tolist()
    [[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]
    """
    _checked("grid", side, spacing, std)
    along = spacing * (np.arange(side) - (side - 1) / 2)
    return Mixture(np.stack(np.meshgrid(along, along, indexing="ij"), 2).reshape(-1, 2), std)


def bimodal(apart: float = 4.0, std: float = 0.5) -> Mixture:
    """Two Gaussians on a line. Course: G4.

    The single Gaussian that is most likely to give such data has the mean and the variance of the
    whole, 0 and std² + apart²/4, and is thickest in the middle, where there are none.

    >>> bimodal().centres.tolist()
    [[-2.0], [2.0]]
    """
    _checked("bimodal", 2, apart, std)
    return Mixture(np.array([[-apart / 2], [apart / 2]]), std)
