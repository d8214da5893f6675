"""Writing to a tensor in place: `x += y`, `x[i] = y`, `x.fill_(y)`.

It changes an array that graphs may have recorded. So it is refused where the write itself would
have to be differentiated, and is marked: a sweep that needs the values of before refuses.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.backend import Array, Generator, to_device
from minigrad.engine import Primitive, Variable, is_grad_enabled, mark_edited
from minigrad.errors import ArgumentError, DeviceError, DTypeError, GraphError, ShapeError
from minigrad.ops import arithmetic, sampling
from minigrad.ops import shape as shaping


def _in_place(op: Primitive) -> Callable:
    """`x += y` writes to x, as in PyTorch; x that a graph computed becomes the name of x + y."""

    def assign(self: "InPlace", other: Any) -> "InPlace":
        y = op(self, other)
        if y.requires_grad and not (self.requires_grad and self.is_leaf):
            return y
        return self._update(op.name, y)

    return assign


class InPlace(Variable):
    """The methods of a tensor that write to its memory, and answer with the tensor."""

    __slots__ = ()
    __iadd__, __isub__ = _in_place(arithmetic.add), _in_place(arithmetic.subtract)
    __imul__, __itruediv__ = _in_place(arithmetic.multiply), _in_place(arithmetic.divide)

    def _own_array(self) -> Array:
        """The array to write to, in place of the NumPy scalar that a reduction may have left."""
        if isinstance(self.array, np.generic):
            self.array = np.array(self.array)
        return self.array

    def _write(self, op: str, value: Any, steps: Sequence = (...,)) -> "InPlace":
        recorded = self.requires_grad or (isinstance(value, Variable) and value.requires_grad)
        if recorded and is_grad_enabled():
            raise GraphError(
                f"{op}: writes in place to, or from, a tensor that requires a gradient. Write "
                "under no_grad, or compute a new tensor"
            )
        array, index = self._own_array(), steps[-1]
        for step in steps[:-1]:
            array = array[step]
        if isinstance(value, Variable):
            if value.device != self.device:
                raise DeviceError(
                    f"{op}: got a value on {value.device} for a tensor on {self.device}; expected "
                    f'one device. Use .to("{self.device}")'
                )
            value = value.array
        elif isinstance(value, (np.ndarray, list, tuple)):
            value = to_device(np.asarray(value), self.device)
        try:
            array[index] = value
        except ValueError:
            raise ShapeError(
                f"{op}: got a value of shape {np.shape(value)} for {array[index].shape}; expected "
                "one that broadcasts to it, and memory that may be written"
            ) from None
        mark_edited(array)
        return self

    def _update(self, op: str, value: "InPlace") -> "InPlace":
        """Write what was computed from this tensor to it; integers cannot hold floats."""
        if value.dtype.kind == "f" != self.dtype.kind:
            raise DTypeError(f"{op}: got {value.dtype} to keep in {self.dtype}. Use .float() first")
        return self._write(op, value)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._write("setitem", value, shaping.index_steps(index, self.device))

    def copy_(self, other: Any) -> "InPlace":
        """Take the values of `other`."""
        return self._write("copy_", other)

    def fill_(self, value: float) -> "InPlace":
        """Set every entry to `value`."""
        return self._write("fill_", value)

    def zero_(self) -> "InPlace":
        """Set every entry to 0."""
        return self._write("zero_", 0)

    def add_(self, other: Any, *, alpha: float = 1) -> "InPlace":
        """Add alpha · other."""
        return self._update("add_", self + (other if alpha == 1 else other * alpha))

    def sub_(self, other: Any, *, alpha: float = 1) -> "InPlace":
        """Subtract alpha · other."""
        return self._update("sub_", self - (other if alpha == 1 else other * alpha))

    def mul_(self, other: Any) -> "InPlace":
        """Multiply by `other`."""
        return self._update("mul_", self * other)

    def div_(self, other: Any) -> "InPlace":
        """Divide by `other`."""
        return self._update("div_", self / other)

    def clamp_(self, min: Any = None, max: Any = None) -> "InPlace":
        """Hold the entries between min and max."""
        return self._write("clamp_", self.clamp(min, max))

    def normal_(
        self, mean: float = 0.0, std: float = 1.0,
        *, generator: Generator | None = None,
    ) -> "InPlace":  # fmt: skip
        """Draw every entry from N(mean, std²)."""
        if not std >= 0:
            raise ArgumentError(f"normal_: std: got {std}; expected at least 0")
        draw = sampling.stream(generator, self.device).normal(self.shape, self.dtype)
        return self._write("normal_", draw * std + mean)

    def uniform_(
        self, low: float = 0.0, high: float = 1.0,
        *, generator: Generator | None = None,
    ) -> "InPlace":  # fmt: skip
        """Draw every entry from U[low, high)."""
        if not low <= high:
            raise ArgumentError(f"uniform_: got {low} to {high}; expected them in order")
        draw = sampling.stream(generator, self.device).uniform(self.shape, self.dtype)
        return self._write("uniform_", draw * (high - low) + low)
