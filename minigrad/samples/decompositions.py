"""Matrices taken apart, and the inverse of the normal distribution function."""

import math
from statistics import NormalDist

import numpy as np

from minigrad.creation import tensor
from minigrad.distributions.quantile import probit
from minigrad.ops import decomposition
from minigrad.samples.row import Row, of_one, probability
from minigrad.tensor import Tensor


def _positive(x):
    """x xᵀ + 2, symmetric and positive definite, of a tensor or an array."""
    two = 2.0 * np.eye(3)
    return x @ x.T + (tensor(two).to(x) if isinstance(x, Tensor) else two)


def _dominant(x):
    """x + 5, whose diagonal is away from 0 and outweighs the rest."""
    five = 5.0 * np.eye(3)
    return x + (tensor(five).to(x) if isinstance(x, Tensor) else five)


def _factor(x):
    """The Cholesky factor, entry by entry."""
    y = np.zeros_like(x)
    for i, j in np.ndindex(x.shape):
        rest = x[i, j] - y[i] @ y[j]
        y[i, j] = 0.0 if i < j else math.sqrt(rest) if i == j else rest / y[j, j]
    return y


DECOMPOSITIONS = [
    Row("cholesky", lambda x: decomposition.cholesky(_positive(x)), ((3, 3),),
        lambda x: _factor(_positive(x))),
    Row("inv", lambda x: decomposition.inv(_positive(x)), ((3, 3),),
        lambda x: np.linalg.inv(_positive(x))),
    Row("logdet", lambda x: decomposition.logdet(_positive(x)), ((3, 3),),
        lambda x: np.log(np.linalg.det(_positive(x)))),
    Row("solve_triangular, lower",
        lambda a, b: decomposition.solve_triangular(_dominant(a), b, upper=False),
        ((3, 3), (3, 2)), lambda a, b: np.linalg.inv(np.tril(_dominant(a))) @ b),
    Row("solve_triangular, upper",
        lambda a, b: decomposition.solve_triangular(_dominant(a), b, upper=True),
        ((3, 3), (3, 2)), lambda a, b: np.linalg.inv(np.triu(_dominant(a))) @ b),
    Row("tril", lambda x: decomposition.tril(x, -1), ((2, 3, 4),),
        lambda x: np.tril(x, -1), linear=True),
    Row("triu", lambda x: decomposition.triu(x), ((2, 3, 4),), np.triu, linear=True),
    of_one("probit", probit, np.vectorize(NormalDist().inv_cdf, otypes=[float]), probability),
]  # fmt: skip
