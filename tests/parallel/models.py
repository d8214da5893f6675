"""What the tests of all workers train."""

import numpy as np

import minigrad as mg
from minigrad import nn


def network() -> nn.Module:
    """A small one in float64, always of the same weights."""
    mg.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(27, 4)
    ).double()


def batch(n: int) -> tuple[mg.Tensor, mg.Tensor]:
    """Images and labels."""
    generator = np.random.default_rng(1)
    return mg.tensor(generator.standard_normal((n, 1, 7, 7))), mg.tensor(np.arange(n) % 4)
