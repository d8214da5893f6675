r"""Tensor: an array with PyTorch's methods, and the functions that make tensors.

A method is an operation of `ops` put on the class; what is written here is only what has a
signature of its own (`x.reshape(2, 3)`) or leaves the graph (`item`). What writes in place is in
`inplace.py`.
"""

import builtins
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minigrad import backend
from minigrad.backend import CPU, Device, device_of, to_device
from minigrad.engine import Primitive, Variable, mark_edited
from minigrad.errors import ArgumentError, DTypeError, GraphError, ShapeError
from minigrad.inplace import InPlace
from minigrad.ops import arithmetic, decomposition, elementwise, linear, reduction
from minigrad.ops import shape as shaping

float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
uint8, int32, int64 = np.dtype(np.uint8), np.dtype(np.int32), np.dtype(np.int64)
bool_ = np.dtype(np.bool_)


def _operator(op: Primitive) -> Callable:
    return lambda self, other: op(self, other)


def _reflected(op: Primitive) -> Callable:
    return lambda self, other: op(other, self)


def _comparison(op: Primitive) -> Callable:
    """Python decides about what is neither tensor nor number: None equals no tensor."""
    numbers = Variable, np.ndarray, np.generic, int, builtins.float
    return lambda self, other: op(self, other) if isinstance(other, numbers) else NotImplemented


class Tensor(InPlace):
    """An array of numbers that remembers how it was computed, so that it can be differentiated.

    >>> from minigrad import tensor
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ()
    __hash__ = Variable.__hash__

    # ------------------------------------------------------------ what it is

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype:
        """The type of an entry."""
        return self.array.dtype

    @property
    def device(self) -> Device:
        """Where the array lives."""
        return device_of(self.array)

    @property
    def is_cuda(self) -> bool:
        """Whether the array lives on a CUDA device."""
        return self.device != CPU

    @property
    def data(self) -> "Tensor":
        """The same memory outside the graph; assigning replaces the values, not the tensor."""
        return self.detach()

    @data.setter
    def data(self, other: "Tensor") -> None:
        self.array = other.array
        mark_edited(self._own_array())

    @property
    def T(self) -> "Tensor":
        """The axes in reverse order."""
        return self.permute(*reversed(range(self.ndim)))

    def size(self, dim: int | None = None) -> tuple[int, ...] | int:
        """The shape, or the size of one axis."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def numel(self) -> int:
        """The number of entries."""
        return int(self.array.size)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len: got a 0-d tensor; expected at least one axis")
        return self.shape[0]

    def __iter__(self) -> Iterator["Tensor"]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        array = to_device(np.asarray(self.array) if self.device == CPU else self.array, CPU)
        whole = array.dtype.kind == "f" and bool(np.all(array == np.round(array)))
        text = np.array2string(
            array, separator=", ", prefix="tensor(", precision=4, threshold=1000,
            floatmode="maxprec" if whole else "fixed",
        )  # fmt: skip
        notes = [text]
        if not self.numel() and self.shape != (0,):
            notes.append(f"size={self.shape}")
        if self.dtype not in (float32, int64, bool_):
            notes.append(f"dtype={self.dtype}")
        if self.device != CPU:
            notes.append(f"device={self.device}")
        if self.primitive is not None:
            notes.append(f"grad_fn=<{self.primitive.name}>")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        return f"tensor({', '.join(notes)})"

    # ------------------------------------------------------------ leaving the graph

    def detach(self) -> "Tensor":
        """The same memory outside the graph."""
        return Tensor(self.array)

    def item(self) -> float | int | bool:
        """The only entry, as a Python number."""
        if self.numel() != 1:
            raise ShapeError(f"item: got shape {self.shape}; expected one entry")
        return self.array.item()

    def numpy(self) -> np.ndarray:
        """The array, read-only: a tensor's memory is written by its own in-place methods alone."""
        if self.requires_grad:
            raise GraphError("numpy: the tensor requires a gradient. Use .detach().numpy()")
        if self.device != CPU:
            raise TypeError(f"numpy: the tensor is on {self.device}. Use .cpu().numpy()")
        array = np.asarray(self.array).view()
        array.flags.writeable = False
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def tolist(self) -> Any:
        """The entries as nested Python lists."""
        return to_device(self.array, CPU).tolist()

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return builtins.float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __format__(self, spec: str) -> str:
        """`f"{loss:.4f}"`: a tensor without axes is written as the number that it holds."""
        return super().__format__(spec) if self.ndim else format(self.item(), spec)

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"index: got {self.dtype}; expected an integer tensor")
        return int(self.item())

    def __deepcopy__(self, memo: dict) -> "Tensor":
        if self.primitive is not None:
            raise GraphError("deepcopy: the tensor is part of a graph. Use .detach() first")
        twin = memo[id(self)] = type(self)(self.array.copy("K"), self.requires_grad)
        twin.grad = None if self.grad is None else self.grad.detach().clone()
        return twin

    def __reduce__(self) -> tuple:
        if self.primitive is not None:
            raise GraphError("pickle: the tensor is part of a graph. Use .detach() first")
        return type(self), (self.array, self.requires_grad)

    def requires_grad_(self, requires_grad: bool = True) -> "Tensor":
        """Ask for a gradient of this leaf, or no longer."""
        if self.primitive is not None:
            raise GraphError("requires_grad_: the tensor is no leaf. Use .detach() first")
        Variable(self.array, requires_grad)  # refuses integers
        self.requires_grad = requires_grad
        return self

    # ------------------------------------------------------------ types and devices

    def to(self, *args: Any, dtype: Any = None, device: Any = None) -> "Tensor":
        """The tensor with another dtype, device, or both, or those of another tensor."""
        for arg in args:
            if isinstance(arg, Variable):
                dtype, device = arg.array.dtype, device_of(arg.array)
            elif isinstance(arg, Device) or (isinstance(arg, str) and arg[:3] in ("cpu", "cud")):
                device = arg
            else:
                dtype = arg
        y = self
        try:
            dtype = None if dtype is None else np.dtype(dtype)
        except TypeError:
            raise ArgumentError(
                f"to: got {dtype!r}; expected a dtype, 'cpu', 'cuda' or another tensor"
            ) from None
        if dtype is not None and dtype != self.dtype:
            floats = dtype.kind == "f"
            y = shaping.cast(y, dtype=dtype) if floats else Tensor(y.array.astype(dtype))
        if device is not None and backend.device_named(device) != self.device:
            y = shaping.move(y, device=backend.device_named(device))
        return y

    def float(self) -> "Tensor":
        """As float32."""
        return self.to(float32)

    def double(self) -> "Tensor":
        """As float64."""
        return self.to(float64)

    def long(self) -> "Tensor":
        """As int64."""
        return self.to(int64)

    def bool(self) -> "Tensor":
        """As booleans."""
        return self.to(bool_)

    def type_as(self, other: "Tensor") -> "Tensor":
        """With the dtype of another tensor."""
        return self.to(other.dtype)

    def cpu(self) -> "Tensor":
        """On the CPU."""
        return self.to(device="cpu")

    def cuda(self, device: int | str | Device = 0) -> "Tensor":
        """On a CUDA device, given by its number or name."""
        return self.to(device=f"cuda:{device}" if isinstance(device, int) else device)

    # ------------------------------------------------------------ operations

    __add__, __radd__ = _operator(arithmetic.add), _reflected(arithmetic.add)
    __sub__, __rsub__ = _operator(arithmetic.subtract), _reflected(arithmetic.subtract)
    __mul__, __rmul__ = _operator(arithmetic.multiply), _reflected(arithmetic.multiply)
    __truediv__, __rtruediv__ = _operator(arithmetic.divide), _reflected(arithmetic.divide)
    __pow__, __rpow__ = _operator(elementwise.power), _reflected(elementwise.power)
    __floordiv__ = _operator(arithmetic.floor_divide)
    __rfloordiv__ = _reflected(arithmetic.floor_divide)
    __mod__, __rmod__ = _operator(arithmetic.remainder), _reflected(arithmetic.remainder)
    __matmul__ = matmul = mm = bmm = linear.matmul
    __neg__, __abs__ = arithmetic.negative, elementwise.abs
    __eq__, __ne__ = _comparison(arithmetic.equal), _comparison(arithmetic.not_equal)
    __gt__, __ge__ = _operator(arithmetic.greater), _operator(arithmetic.greater_equal)
    __lt__, __le__ = _operator(arithmetic.less), _operator(arithmetic.less_equal)

    add, sub, mul, div = arithmetic.add, arithmetic.subtract, arithmetic.multiply, arithmetic.divide
    masked_fill = arithmetic.masked_fill
    neg, pow, abs = arithmetic.negative, elementwise.power, elementwise.abs
    eq, ne, gt, ge = arithmetic.equal, arithmetic.not_equal, __gt__, __ge__
    lt, le = __lt__, __le__
    maximum, minimum = arithmetic.maximum, arithmetic.minimum

    exp, expm1, log, log1p = elementwise.exp, elementwise.expm1, elementwise.log, elementwise.log1p
    sqrt, square, reciprocal = elementwise.sqrt, elementwise.square, elementwise.reciprocal
    sign, sin, cos, erf = elementwise.sign, elementwise.sin, elementwise.cos, elementwise.erf
    tanh, sigmoid, relu = elementwise.tanh, elementwise.sigmoid, elementwise.relu
    clamp, isfinite, isnan = elementwise.clamp, elementwise.isfinite, elementwise.isnan
    round = elementwise.round

    sum, mean, var, std = reduction.sum, reduction.mean, reduction.var, reduction.std
    amax, amin, max, min = reduction.amax, reduction.amin, reduction.max, reduction.min
    argmax, argmin, all, any = reduction.argmax, reduction.argmin, reduction.all, reduction.any
    logsumexp, softmax = reduction.logsumexp, reduction.softmax
    log_softmax, norm, cumsum = reduction.log_softmax, reduction.norm, reduction.cumsum

    tril, triu, gather = decomposition.tril, decomposition.triu, shaping.gather
    clone, split, chunk, unbind = shaping.clone, shaping.split, shaping.chunk, shaping.unbind

    def where(self, condition: "Tensor", other: Any) -> "Tensor":
        """self where the condition holds, other elsewhere."""
        return arithmetic.where(condition, self, other)

    def logical_not(self) -> "Tensor":
        """Not, of booleans."""
        return self.bool() == False

    def __invert__(self) -> "Tensor":
        return _truth("~", self).logical_not()

    def __and__(self, other: "Tensor") -> "Tensor":
        return _truth("&", self) * _truth("&", other)

    def __or__(self, other: "Tensor") -> "Tensor":
        return _truth("|", self) + _truth("|", other)

    def __getitem__(self, index: Any) -> "Tensor":
        y = self
        for step in shaping.index_steps(index, self.device):
            y = shaping.getitem(y, index=step)
        return y

    def reshape(self, *sizes: Any) -> "Tensor":
        """The entries in another shape; one size may be -1."""
        new = shaping.inferred_shape("reshape", self.array.size, _sizes(sizes))
        return shaping.reshape(self, shape=new)

    view = reshape

    def view_as(self, other: "Tensor") -> "Tensor":
        """The entries in the shape of another tensor."""
        return self.reshape(other.shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> "Tensor":
        """The axes from start_dim to end_dim as one."""
        if not self.ndim:
            return self.reshape(1)
        (first,), (last,) = (shaping.axes((d,), self.ndim, "flatten") for d in (start_dim, end_dim))
        if first > last:
            raise ArgumentError(f"flatten: got axes {first} to {last}; expected them in order")
        flat = math.prod(self.shape[first : last + 1])
        return self.reshape(*self.shape[:first], flat, *self.shape[last + 1 :])

    def unflatten(self, dim: int, sizes: Sequence[int]) -> "Tensor":
        """The axis `dim` as several of these sizes, one of which may be -1."""
        (at,) = shaping.axes((dim,), self.ndim, "unflatten")
        parts = shaping.inferred_shape("unflatten", self.shape[at], sizes)
        return self.reshape(*self.shape[:at], *parts, *self.shape[at + 1 :])

    def permute(self, *dims: Any) -> "Tensor":
        """The axes in another order."""
        order = shaping.axes(_sizes(dims), self.ndim, "permute")
        if len(order) != self.ndim:
            raise ArgumentError(f"permute: got {order}; expected all {self.ndim} axes")
        return shaping.permute(self, dims=order)

    def transpose(self, dim0: int, dim1: int) -> "Tensor":
        """Two axes exchanged."""
        order = list(range(self.ndim))
        (i,), (j,) = (shaping.axes((d,), self.ndim, "transpose") for d in (dim0, dim1))
        order[i], order[j] = order[j], order[i]
        return self.permute(*order)

    def t(self) -> "Tensor":
        """A matrix transposed."""
        if self.ndim > 2:
            raise ShapeError(f"t: got shape {self.shape}; expected a matrix. Use .transpose")
        return self.T

    def flip(self, *dims: Any) -> "Tensor":
        """The axes `dims` run backwards."""
        return shaping.flip(self, dims=_sizes(dims))

    def squeeze(self, dim: int | Sequence[int] | None = None) -> "Tensor":
        """Without the axes of size 1, or without those of them that are in `dim`."""
        gone = shaping.axes(dim, self.ndim, "squeeze")
        return self.reshape(*(n for i, n in enumerate(self.shape) if n != 1 or i not in gone))

    def unsqueeze(self, dim: int) -> "Tensor":
        """With a new axis of size 1 at `dim`."""
        (at,) = shaping.axes((dim,), self.ndim + 1, "unsqueeze")
        return self.reshape(*self.shape[:at], 1, *self.shape[at:])

    def expand(self, *sizes: Any) -> "Tensor":
        """Repeated along axes of size 1 and new leading ones; -1 keeps a size."""
        sizes = _sizes(sizes)
        lead = len(sizes) - self.ndim
        new = tuple(
            self.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(sizes)
        )
        if min(new, default=0) < 0:
            raise ShapeError(f"expand: got shape {self.shape} to {sizes}; expected -1 for its axes")
        if shaping.broadcast_shape("expand", self.shape, new) != new:
            raise ShapeError(f"expand: got shape {self.shape} to {new}; expected axes of size 1")
        return shaping.broadcast_to(self, shape=new)

    def expand_as(self, other: "Tensor") -> "Tensor":
        """Expanded to the shape of another tensor."""
        return self.expand(other.shape)

    def contiguous(self) -> "Tensor":
        """The tensor in row-major memory: itself if it is."""
        return self if self.array.flags.c_contiguous else self.clone()


Tensor.family = Tensor


def _truth(op: str, x: Any) -> Tensor:
    """x, if it is a tensor of booleans: of integers `op` would be taken bit by bit."""
    if not isinstance(x, Tensor) or x.dtype != bool_:
        kind = getattr(x, "dtype", type(x).__name__)
        raise DTypeError(f"{op}: got {kind}; expected a tensor of booleans. Use .bool()")
    return x


def _sizes(sizes: tuple) -> tuple[int, ...]:
    """(2, 3) from `f(2, 3)` and from `f((2, 3))`."""
    if len(sizes) == 1 and not isinstance(sizes[0], (int, np.integer, Variable)):
        sizes = sizes[0]
    return tuple(int(n) for n in sizes)
