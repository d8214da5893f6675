"""Harder inputs for a row of the table: tiny and large ones, and those on and beside its kinks."""

from collections.abc import Callable

import numpy as np

from minigrad.samples.row import Row, positive
from minigrad.tensor import Tensor


def on_kinks(x: np.ndarray, row: Row) -> np.ndarray:
    """Whole numbers: ties, zeros, and the bounds of clamp."""
    return np.maximum(np.round(x), 1.0 if row.draw is positive else -np.inf)


def beside_kinks(x: np.ndarray, row: Row) -> np.ndarray:
    """1e-9 to 1e-3 from there, on either side."""
    generator = np.random.default_rng(x.size)
    distance = 10.0 ** generator.uniform(-9, -3, x.shape)
    return on_kinks(x, row) + distance * generator.choice([-1.0, 1.0], x.shape)


KINDS: dict[str, Callable[[np.ndarray, Row], np.ndarray]] = {
    "ordinary": lambda x, row: x,
    "× 1e-3": lambda x, row: x * 1e-3,
    "× 1e2": lambda x, row: x * 1e2,
    "output + 1e3": lambda x, row: x,
    "beside kinks": beside_kinks,
    "on kinks": on_kinks,
}


def variant(row: Row, kind: str, seed: int) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """The row's function, and inputs of that kind, a key of KINDS."""
    xs = [Tensor(KINDS[kind](x, row), requires_grad=True) for x in row.arrays(seed)]
    return (lambda *xs: row.fn(*xs) + 1e3) if kind == "output + 1e3" else row.fn, xs
