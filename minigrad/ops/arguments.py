"""What operations ask of their arguments, and what they say if they do not get it."""

from typing import Any

import numpy as np

from minigrad.backend import Array
from minigrad.engine import Variable
from minigrad.errors import ArgumentError, DTypeError

Pair = tuple[int, int]


def check_tensors(op: str, *inputs: Any, optional: Any = None) -> None:
    """Raises DTypeError unless all inputs are tensors, and so is the optional one, or None."""
    inputs = inputs if optional is None else (*inputs, optional)
    for x in inputs:
        if not isinstance(x, Variable):
            kinds = ", ".join(type(x).__name__ for x in inputs)
            raise DTypeError(f"{op}: got {kinds}; expected tensors. Use minigrad.tensor(...)")


def check_float(op: str, x: Array) -> None:
    """Raises DTypeError unless x holds floats."""
    if x.dtype.kind != "f":
        raise DTypeError(f"{op}: got {x.dtype}; expected a float type. Use .float()")


def check_float_tensor(op: str, x: Any) -> None:
    """Raises DTypeError unless x is a tensor of floats."""
    check_tensors(op, x)
    check_float(op, x.array)


def is_whole(n: Any, least: int) -> bool:
    """Whether n is an integer of at least that."""
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= least


def whole(op: str, name: str, value: Any, least: int) -> int:
    """The value as an integer; ArgumentError unless it is one of at least that."""
    if not is_whole(value, least):
        raise ArgumentError(f"{op}: {name}: got {value!r}; expected an integer of at least {least}")
    return int(value)


def both(op: str, name: str, value: Any) -> tuple:
    """A value for (height, width), which may be given as one; ArgumentError for another length.

    >>> both("conv2d", "stride", 3)
    (3, 3)
    """
    if not isinstance(value, (tuple, list)):
        return value, value
    if len(value) != 2:
        raise ArgumentError(f"{op}: {name}: got {value!r}; expected an integer, or a pair of them")
    return tuple(value)


def pair(op: str, name: str, value: Any, least: int) -> Pair:
    """Two integers of at least that, which may be given as one; else ArgumentError."""
    if isinstance(value, int):
        n = whole(op, name, value, least)
        return n, n
    h, w = both(op, name, value)
    return whole(op, name, h, least), whole(op, name, w, least)
