"""The functions that make tensors: from numbers, filled, evenly spaced, or drawn at random.

Each takes `dtype` (float32 unless said otherwise), `device` and `requires_grad`; the random ones
take a `generator` too.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backend import CPU, Device, Generator, device_named, device_of, to_device
from minigrad.engine import Variable
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.ops.sampling import stream
from minigrad.tensor import Tensor, float32, int64


def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A leaf with a copy of `data`: a number, nested lists, a NumPy array or a tensor.

    NumPy arrays and tensors keep their type; Python floats become float32, ints int64.

    >>> tensor([[1, 2], [3, 4]]).shape
    (2, 2)

    Raises DTypeError if the data is not numeric, ShapeError if lists have unequal lengths.
    """
    source = data.array if isinstance(data, Variable) else data
    own = isinstance(source, np.generic) or hasattr(source, "__array_interface__")
    if isinstance(source, (list, tuple)):
        source = [x.tolist() if isinstance(x, Tensor) else x for x in source]
        own = len(source) > 0 and all(isinstance(x, (np.ndarray, np.generic)) for x in source)
    if device_of(source) == CPU:
        try:
            source = np.array(source)
        except ValueError as error:
            raise ShapeError(f"tensor: got lists of unequal lengths: {error}") from None
        if source.dtype == np.float64 and not own and dtype is None:
            source = source.astype(np.float32)
    else:
        source = source.copy()
    if source.dtype.kind not in "bifu":
        raise DTypeError(f"tensor: got data of type {source.dtype}; expected numbers")
    if dtype is not None:
        source = source.astype(dtype)
    return Tensor(to_device(source, device or device_of(source)), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`tensor` without a copy where none is needed: a tensor itself, a NumPy array's memory."""
    if isinstance(data, np.ndarray) and data.dtype.kind in "bifu":
        data = Tensor(data)
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    return tensor(data, dtype, device)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor in the memory of the array: what is written to one is read from the other.

    Raises DTypeError for anything but a NumPy array of numbers.
    """
    if not isinstance(ndarray, np.ndarray) or ndarray.dtype.kind not in "bifu":
        kind = getattr(ndarray, "dtype", type(ndarray).__name__)
        raise DTypeError(f"from_numpy: got {kind}; expected a NumPy array of numbers")
    return Tensor(ndarray)


def _filled(array: np.ndarray, device: Any, requires_grad: bool) -> Tensor:
    return Tensor(to_device(array, device or CPU), requires_grad)


def _shape(size: tuple) -> tuple[int, ...]:
    """(2, 3) from `zeros(2, 3)` and from `zeros((2, 3))`."""
    sizes = size[0] if len(size) == 1 and isinstance(size[0], Sequence) else size
    if not all(isinstance(n, (int, np.integer)) and n is not True and n >= 0 for n in sizes):
        raise ArgumentError(f"size: got {tuple(sizes)}; expected non-negative integers")
    return tuple(int(n) for n in sizes)


def full(
    size: Sequence[int], fill_value: Any, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """All entries equal `fill_value`; its Python type decides the dtype if none is given."""
    if not isinstance(fill_value, (bool, int, float, np.generic)):
        raise DTypeError(f"full: fill_value: got {fill_value!r}; expected a number")
    if dtype is None:
        dtype = np.bool_ if isinstance(fill_value, bool) else type(fill_value)
        dtype = {float: float32, int: int64}.get(dtype, dtype)
    return _filled(np.full(_shape((size,)), fill_value, dtype), device, requires_grad)


def zeros(
    *size: Any, dtype: Any = float32, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """All entries 0."""
    return _filled(np.zeros(_shape(size), dtype or float32), device, requires_grad)


def ones(
    *size: Any, dtype: Any = float32, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """All entries 1."""
    return _filled(np.ones(_shape(size), dtype or float32), device, requires_grad)


empty = zeros  # nobody is served uninitialised memory


def eye(
    n: int, m: int | None = None, *, dtype: Any = float32, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """The n × m matrix with ones on the diagonal."""
    return _filled(np.eye(*_shape((n, n if m is None else m)), dtype=dtype), device, requires_grad)


def arange(
    *bounds: float, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """arange([start,] stop[, step]): from start (0) by step (1) up to, not including, stop."""
    if not 1 <= len(bounds) <= 3 or (len(bounds) == 3 and bounds[2] == 0):
        raise ArgumentError(f"arange: got {bounds}; expected [start,] stop[, step], step not 0")
    if dtype is None:
        dtype = int64 if all(isinstance(b, (int, np.integer)) for b in bounds) else float32
    return _filled(np.arange(*bounds).astype(dtype), device, requires_grad)


def linspace(
    start: float, end: float, steps: int, *, dtype: Any = float32, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`steps` numbers, evenly spaced from start to end, both included."""
    (steps,) = _shape((steps,))
    return _filled(np.linspace(start, end, steps).astype(dtype), device, requires_grad)


def randn(
    *size: Any, generator: Generator | None = None, dtype: Any = float32, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Draws from N(0, 1)."""
    source = stream(generator, _place(device))
    return Tensor(source.normal(_shape(size), dtype or float32), requires_grad)


def rand(
    *size: Any, generator: Generator | None = None, dtype: Any = float32, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Draws from U[0, 1)."""
    source = stream(generator, _place(device))
    return Tensor(source.uniform(_shape(size), dtype or float32), requires_grad)


def randint(
    low: int, high: int | Sequence[int], size: Sequence[int] | None = None,
    *, generator: Generator | None = None, dtype: Any = int64, device: Any = None,
) -> Tensor:  # fmt: skip
    """randint([low,] high, size): integers from low (0) to high - 1, each as likely."""
    if size is None:
        low, high, size = 0, low, high
    if not low < high:
        raise ArgumentError(f"randint: got low {low}, high {high}; expected low < high")
    draws = stream(generator, _place(device)).integers(low, high, _shape((size,)))
    return Tensor(draws.astype(dtype))


def randperm(n: int, *, generator: Generator | None = None, device: Any = None) -> Tensor:
    """The integers below n in random order."""
    return Tensor(stream(generator, _place(device)).permutation(n))


def _place(device: Any) -> Device:
    return device_named(device) if device is not None else CPU


def _like(make: Any) -> Any:
    def like(
        x: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
        **options: Any,
    ) -> Tensor:  # fmt: skip
        return make(
            x.shape, dtype=dtype or x.dtype, device=device or x.device,
            requires_grad=requires_grad, **options,
        )  # fmt: skip

    like.__name__ = like.__qualname__ = f"{make.__name__}_like"
    like.__doc__ = f"`{make.__name__}` with the shape, dtype and device of x."
    return like


zeros_like, ones_like = _like(zeros), _like(ones)
randn_like, rand_like = _like(randn), _like(rand)


def full_like(x: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """`full` with the shape, dtype and device of x."""
    return full(x.shape, fill_value, dtype=dtype or x.dtype, device=device or x.device)
