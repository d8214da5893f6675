"""One row of the table: a function of tensors, inputs to try it on, and what NumPy says it is.

Inputs are drawn away from kinks and singularities, where a difference quotient means something.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad.tensor import Tensor

Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator, Shape], np.ndarray]


class Inapplicable(Exception):
    """What is asked, or a mistake that is to be planted, makes no sense here."""


def normal(generator, shape):
    """From N(0, 1)."""
    return generator.standard_normal(shape)


def nonzero(generator, shape):
    """Of both signs, at least 0.2 from 0."""
    x = generator.standard_normal(shape)
    return np.where(x < 0, x - 0.2, x + 0.2)


def positive(generator, shape):
    """From 0.5 to 2."""
    return generator.uniform(0.5, 2.0, shape)


def probability(generator, shape):
    """From 0.05 to 0.95."""
    return generator.uniform(0.05, 0.95, shape)


def distinct(generator, shape):
    """No two entries closer than 0.1, so that it is clear which one is largest."""
    n = math.prod(shape)
    return (0.3 * (generator.permutation(n) - n / 2 + 0.5 * generator.random(n))).reshape(shape)


def apart(generator, shape):
    """At least 0.1 from -1, 0 and 1."""
    x = generator.uniform(0.1, 0.9, shape)
    return x + generator.integers(-2, 2, shape)


class Row(NamedTuple):
    """A function, the shapes of its inputs, and the same function in NumPy.

    Its name begins with that of the primitive which is meant.
    """

    name: str
    fn: Callable[..., Tensor]
    shapes: tuple[Shape, ...]
    reference: Callable[..., Any]
    draw: Draw = normal
    pointwise: bool = False  # takes tensors of any one shape
    linear: bool = False  # fn(a x + b y) = a fn(x) + b fn(y), all inputs together
    slopeless: bool = False  # its derivative is 0
    order: int = 2  # up to which its derivatives are checked: 3 if the second has rules of its own
    never_empty: str = ""  # why no axis of its inputs can have 0 entries

    def arrays(self, seed: int = 0) -> list[np.ndarray]:
        """Values for the inputs."""
        generator = np.random.default_rng(seed)
        return [self.draw(generator, shape) for shape in self.shapes]

    def inputs(self, seed: int = 0, dtype: Any = np.float64) -> list[Tensor]:
        """The same as tensors that require a gradient."""
        return leaves(self.arrays(seed), dtype)


def leaves(arrays: list[np.ndarray], dtype: Any = np.float64) -> list[Tensor]:
    """Tensors to be differentiated by, with the memory layout of the arrays."""
    return [Tensor(x.astype(dtype, copy=False), requires_grad=True) for x in arrays]


def of_one(
    name: str, fn: Callable, reference: Callable, draw: Draw = normal, **options: Any
) -> Row:  # fmt: skip
    """A row of a function of one tensor, entry by entry."""
    return Row(name, fn, ((3, 4),), reference, draw, pointwise=True, **options)


def of_two(
    name: str, fn: Callable, reference: Callable, draw: Draw = normal, **options: Any
) -> Row:  # fmt: skip
    """A row of a function of two tensors, entry by entry."""
    return Row(name, fn, ((3, 4), (3, 4)), reference, draw, pointwise=True, **options)
