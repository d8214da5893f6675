r"""Primitives that move entries without changing them, and their adjoints, which add them up.

Each is linear, y = A x, so its rule is the transpose g ↦ Aᵀ g. They come in pairs, each the
other's rule: broadcast_to ⇄ sum_to, getitem ⇄ scatter_add, pad ⇄ crop; reshape, permute, flip,
cast and move are undone by one of their own kind.
"""

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backend import CPU, Array, Device, array_module, device_of, to_device
from minigrad.engine import Variable, primitive
from minigrad.errors import ArgumentError, DeviceError, DTypeError, ShapeError
from minigrad.ops.arguments import check_tensors, whole

Shape = tuple[int, ...]
Dim = int | Sequence[int] | None


def axes(dim: Dim, ndim: int, op: str) -> tuple[int, ...]:
    """`dim` as a tuple of distinct axes in 0 … ndim - 1; None means all of them.

    >>> axes(-1, 3, "sum"), axes(None, 2, "sum")
    ((2,), (0, 1))
    """
    if dim is None or (dim == () and isinstance(dim, tuple)):
        return tuple(range(ndim))
    try:
        dims = tuple(map(operator.index, dim if isinstance(dim, Sequence) else (dim,)))
    except TypeError:
        raise ArgumentError(f"{op}: dim: got {dim!r}; expected one integer, or several") from None
    bound = max(ndim, 1)  # PyTorch lets a scalar be reduced along its missing axis 0 or -1
    for d in dims:
        if not -bound <= d < bound:
            raise IndexError(f"{op}: dim: got {d}; expected {-bound} to {bound - 1}")
    found = tuple(d % bound for d in dims)
    if len(set(found)) < len(found):
        raise ArgumentError(f"{op}: dim: got {dims}; expected each axis once")
    return found if ndim else ()


# ---------------------------------------------------------------- broadcast_to ⇄ sum_to


def broadcast_shape(op: str, *shapes: Shape) -> Shape:
    """The shape that all of `shapes` broadcast to; ShapeError names the first axis that differs.

    >>> broadcast_shape("add", (4, 1), (3,))
    (4, 3)
    """
    ndim = max(map(len, shapes))
    result = []
    for axis in range(-ndim, 0):
        sizes = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(sizes) > 1:
            raise ShapeError(
                f"{op}: shapes do not broadcast: got {' and '.join(map(str, shapes))}; "
                f"expected equal sizes, or 1, at dim {axis}"
            )
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)


@primitive
def broadcast_to(x, *, shape):
    """y = x, repeated along new leading axes and along axes of size 1; no memory is copied."""
    return array_module(x).broadcast_to(x, shape)


@primitive
def sum_to(x, *, shape):
    """y = x summed over the axes along which an array of `shape` would be repeated."""
    lead = x.ndim - len(shape)
    repeated = tuple(i + lead for i, n in enumerate(shape) if n == 1 and x.shape[i + lead] != 1)
    y = sum_array(x, tuple(range(lead)) + repeated, keepdims=True)
    return y.reshape(shape)


broadcast_to.vjp(lambda g, y, x, shape: sum_to(g, shape=x.shape))
sum_to.vjp(lambda g, y, x, shape: broadcast_to(g, shape=x.shape))


STRETCH = 512  # terms that float32 adds one after the other to the last digit but one


def sum_array(x: Array, axis: tuple[int, ...], keepdims: bool = False) -> Array:
    """Σ of an array over `axis`, in its own float type, accurate for many terms.

    NumPy adds pairwise only along the last axes in memory; along others float32 drifts (1 % at 10⁶
    terms), and it is slow. So up to 4,096 rows of a matrix are added as the product 1ᵀ x, images
    (n, c, h, w) to one number per channel by products too, and what else has more terms in float64.
    """
    if x.dtype.kind != "f":
        return x.sum(axis, keepdims=keepdims, dtype=np.int64)
    terms = math.prod(x.shape[i] for i in axis)
    if axis == (0,) and x.ndim == 2 and 8 <= terms <= 4096:
        y = array_module(x).ones(terms, x.dtype) @ x
        return y[None] if keepdims else y
    if x.ndim > 2 and x.size and axis == (0, *range(2, x.ndim)):
        y = _sum_images(x.reshape(*x.shape[:2], -1))
        return y.reshape(1, -1, *[1] * (x.ndim - 2)) if keepdims else y
    pairwise = x.flags.c_contiguous and axis == tuple(range(x.ndim - len(axis), x.ndim))
    if terms > 4096 and x.dtype == np.float32 and not pairwise:
        return x.sum(axis, keepdims=keepdims, dtype=np.float64).astype(np.float32)
    return x.sum(axis, keepdims=keepdims)


def _sum_images(x):
    """Σ of (n, c, l) over n and l: short stretches of l as products with 1, these in float64"""
    ones = array_module(x).ones(min(x.shape[2], STRETCH), x.dtype)
    total = 0.0
    for start in range(0, x.shape[2], STRETCH):
        part = x[..., start : start + STRETCH]
        total = total + (part @ ones[: part.shape[2]]).sum(0, dtype=np.float64)
    return total.astype(x.dtype)


def in_full(v: Array, x: Array) -> Array:
    """v (1, C, 1, …) repeated to one image (1, C, H, W), in the memory order of the images x.

    Beside that, NumPy runs through x in long stretches, twice as fast.
    """
    if v.ndim < 3 or len(v) != 1:
        return v
    full = array_module(x).empty_like(x[:1])
    full[...] = v
    return full


def keep_dims(y: Variable, shape: Shape, dim: Dim) -> Variable:
    """A reduction of an array of `shape` over `dim`, with the reduced axes back as size 1."""
    reduced = axes(dim, len(shape), "keep_dims")
    return reshape(y, shape=tuple(1 if i in reduced else n for i, n in enumerate(shape)))


def spread(y: Variable, shape: Shape, dim: Dim) -> Variable:
    """A reduction of an array of `shape` over `dim`, repeated to that shape: the adjoint of sum."""
    return broadcast_to(y if dim is None else keep_dims(y, shape, dim), shape=shape)


# ---------------------------------------------------------------- rearranging


@primitive
def reshape(x, *, shape):
    """y has the entries of x in the same row-major order; a view where memory allows."""
    return x.reshape(shape)


reshape.vjp(lambda g, y, x, shape: reshape(g, shape=x.shape))


def inferred_shape(op: str, size: int, shape: Sequence[int]) -> Shape:
    """`shape` with a -1 replaced by what makes it hold `size` entries."""
    shape = tuple(int(n) for n in shape)
    known = math.prod(n for n in shape if n != -1)
    free = shape.count(-1)
    if free == 1 and known > 0 and size % known == 0:
        return tuple(size // known if n == -1 else n for n in shape)
    if free or min(shape, default=0) < 0 or known != size:
        raise ShapeError(f"{op}: got shape {shape} for {size} entries; expected their product")
    return shape


@primitive
def permute(x, *, dims):
    """y[i_dims[0], i_dims[1], …] = x[i_0, i_1, …]"""
    return x.transpose(dims)


permute.vjp(lambda g, y, x, dims: permute(g, dims=tuple(int(i) for i in np.argsort(dims))))


@primitive
def flip(x, *, dims):
    """y[…, i, …] = x[…, n - 1 - i, …] along each of `dims`"""
    return array_module(x).flip(x, axes(dims, x.ndim, "flip"))


flip.vjp(lambda g, y, x, dims: flip(g, dims=dims))


@primitive
def cast(x, *, dtype):
    """y = x in another element type; between float types it has a derivative, 1."""
    return x.astype(dtype)


cast.vjp(lambda g, y, x, dtype: cast(g, dtype=x.dtype))


def result_type(*arrays: Array) -> np.dtype:
    """The element type of what several arrays make together, by PyTorch's rule of promotion.

    Floats outrank integers, and these booleans; among equals 0-d arrays do not count beside others.
    """
    ranks = [{"b": 0, "u": 1, "i": 1, "f": 2}[x.dtype.kind] for x in arrays]
    top = max(ranks)
    highest = [x for x, rank in zip(arrays, ranks, strict=True) if rank == top]
    return np.result_type(*{x.dtype for x in [x for x in highest if x.ndim] or highest})


@primitive
def move(x, *, device):
    """y = x on another device."""
    return to_device(x, device)


move.vjp(lambda g, y, x, device: move(g, device=device_of(x.array)))


@primitive
def clone(x):
    """y = x in memory of its own."""
    return x.copy()


clone.vjp(lambda g, y, x: g)


# ---------------------------------------------------------------- getitem ⇄ scatter_add


def plain_index(index: Any, where: Device = CPU) -> Any:
    """`index` with variables replaced by their arrays, lists by integer arrays.

    Arrays are copies: an index that is edited later must not change a derivative. Those of the CPU
    are put on the device `where`. Raises DeviceError for others that are not there.
    """
    if isinstance(index, tuple):
        return tuple(plain_index(part, where) for part in index)
    if isinstance(index, list):
        index = np.asarray(index) if index else np.zeros(0, np.int64)
    elif isinstance(index, Variable):
        index = index.array
    if getattr(index, "dtype", None) is not None and index.dtype.kind not in "biu":
        raise DTypeError(f"getitem: got an index of {index.dtype}; expected integers or booleans")
    if hasattr(index, "strides") and (there := device_of(index)) != where:
        if there != CPU:
            raise DeviceError(
                f"getitem: got an index on {there} for a tensor on {where}; expected one device. "
                f'Use .to("{there.type}") on the tensor'
            )
        return to_device(index, where)
    return index.copy() if hasattr(index, "strides") else index


def index_steps(index: Any, where: Device = CPU) -> list:
    """The indices by which NumPy, one after the other, reads what PyTorch reads by `index`.

    They are for an array on the device `where`.

    PyTorch takes integers out first; NumPy would count them as index arrays, and move the axes.

    >>> np.zeros((2, 3, 4))[0, :, [1, 1]].shape
    (2, 3)
    >>> [getattr(part, "shape", part) for part in index_steps((0, ..., [1, 1]))[1]]
    [Ellipsis, (2,)]
    """
    index = plain_index(index, where)
    parts = index if isinstance(index, tuple) else ()
    arrays = [part for part in parts if getattr(part, "ndim", 0)]
    if not arrays or not any(map(_is_integer, parts)):
        return [index]
    first, then = [], []
    for part in parts:
        if getattr(part, "ndim", 0):
            first += [slice(None)] * (part.ndim if part.dtype == bool else 1)
            then.append(part)
        else:
            first.append(part)
            then += [] if _is_integer(part) else [part if part is Ellipsis else slice(None)]
    return [tuple(first), tuple(then)]


def _is_integer(part: Any) -> bool:
    kind = part.dtype.kind if getattr(part, "ndim", 1) == 0 else ""
    return kind in ("i", "u") or (isinstance(part, int) and not isinstance(part, bool))


@primitive
def getitem(x, *, index):
    """y = x[index]: slices, integers, None, Ellipsis, integer arrays (repeats too), masks."""
    try:
        return x[index]
    except IndexError as error:
        raise IndexError(f"getitem: index does not fit shape {x.shape}: {error}") from None


@primitive
def scatter_add(x, *, index, shape):
    """y = zeros of `shape`; y[index] += x, where an entry named k times gets all k contributions"""
    xp = array_module(x)
    y = xp.zeros(shape, x.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if any(getattr(part, "dtype", bool) != bool for part in parts):  # integers may repeat
        xp.add.at(y, index, x)
    else:
        y[index] = x
    return y


getitem.vjp(lambda g, y, x, index: scatter_add(g, index=index, shape=x.shape))
scatter_add.vjp(lambda g, y, x, index, shape: getitem(g, index=index))


def gather(input: Variable, dim: int, index: Variable) -> Variable:
    """y[i, j, …] = x[i, index[i, j, …], …] if `dim` is 1: the index names entries along `dim`.

    Raises ShapeError unless the index has as many axes as x, and along the others at most as many
    entries, IndexError if it names an entry that is not there.
    """
    places, shape = index.array, input.array.shape
    if places.dtype.kind not in "iu":
        raise DTypeError(f"gather: index: got {places.dtype}; expected integers")
    (axis,) = axes((dim,), len(shape), "gather") or (0,)
    sizes = places.shape
    rest = [k <= n for i, (k, n) in enumerate(zip(sizes, shape, strict=False)) if i != axis]
    if len(sizes) != len(shape) or not min(rest, default=True):
        raise ShapeError(
            f"gather: index: got shape {sizes}; expected as many axes as x {shape}, and no more "
            f"entries except at dim {axis}"
        )
    if places.size and not 0 <= places.min() <= places.max() < shape[axis]:
        raise IndexError(
            f"gather: index: got {places.min()} to {places.max()}; expected 0 to {shape[axis] - 1}"
        )
    return take_along(input, axis, places)


def take_along(x: Variable, axis: int, places: Array) -> Variable:
    """`gather` of places that are there, which need not be looked at."""
    xp, sizes = array_module(places), places.shape
    places = places.copy()  # edits of the index come too late
    parts = [xp.arange(n).reshape(-1, *[1] * (len(sizes) - i - 1)) for i, n in enumerate(sizes)]
    parts[axis] = places
    return getitem(x, index=tuple(parts))


def unbind(input: Variable, dim: int = 0) -> tuple[Variable, ...]:
    """Views of x at 0, 1, … along `dim`, which they no longer have."""
    if not input.array.ndim:
        raise IndexError("unbind: got a 0-d tensor; expected an axis to take apart")
    (axis,) = axes((dim,), input.array.ndim, "unbind")
    before = (slice(None),) * axis
    return tuple(getitem(input, index=(*before, i)) for i in range(input.array.shape[axis]))


def split(x: Variable, split_size: int | Sequence[int], dim: int = 0) -> tuple[Variable, ...]:
    """Views of x along `dim`, each `split_size` long (the last may be shorter) or as listed."""
    (axis,) = axes(dim, x.array.ndim, "split")
    n = x.array.shape[axis]
    if isinstance(split_size, Sequence):
        split_size = [whole("split", "split_size", size, 0) for size in split_size]
    else:
        most = whole("split", "split_size", split_size, 1)
        split_size = [min(most, n - start) for start in range(0, n, most)] or [0]
    if sum(split_size) != n:
        raise ArgumentError(f"split: got sizes {list(split_size)}; expected them to add up to {n}")
    stops = np.cumsum(split_size).tolist()
    return tuple(
        getitem(x, index=(slice(None),) * axis + (slice(stop - size, stop),))
        for stop, size in zip(stops, split_size, strict=True)
    )


def chunk(x: Variable, chunks: int, dim: int = 0) -> tuple[Variable, ...]:
    """At most `chunks` views of x along `dim`, each ⌈n / chunks⌉ long but the last."""
    chunks = whole("chunk", "chunks", chunks, 1)
    (axis,) = axes(dim, x.array.ndim, "chunk")
    return split(x, max(1, -(-x.array.shape[axis] // chunks)), dim)


# ---------------------------------------------------------------- joining


@primitive
def _join(*xs, dim, bounds):
    """y = x₀, x₁, … along `dim`; xᵢ lies from bounds[i] to bounds[i + 1]"""
    return array_module(xs[0]).concatenate(xs, axis=dim)


def _part(i, g, y, *xs, dim, bounds):
    return getitem(g, index=(slice(None),) * dim + (slice(bounds[i], bounds[i + 1]),))


_join.name = "cat"
_join.vjp_for_each(_part)


FEW = 64  # tensors that are joined at once: a rule is called with all inputs of its operation


def cat(tensors: Sequence[Variable], dim: int = 0) -> Variable:
    """The tensors one after the other along `dim`; their other sizes must agree."""
    tensors = list(tensors)
    if not tensors:
        raise ArgumentError("cat: got no tensors; expected at least one")
    check_tensors("cat", *tensors)
    shapes = [x.array.shape for x in tensors]
    (dim,) = axes(dim, len(shapes[0]), "cat") or (0,)
    rest = [shape[:dim] + shape[dim + 1 :] for shape in shapes]
    if any(len(s) != len(shapes[0]) or len(s) == 0 for s in shapes) or len(set(rest)) > 1:
        raise ShapeError(
            f"cat: got {', '.join(map(str, shapes))}; expected equal sizes except at dim {dim}"
        )
    dtype = result_type(*(x.array for x in tensors))
    tensors = [x if x.array.dtype == dtype else cast(x, dtype=dtype) for x in tensors]
    if len(tensors) > FEW:
        return cat([cat(tensors[i : i + FEW], dim) for i in range(0, len(tensors), FEW)], dim)
    bounds = tuple(itertools.accumulate((shape[dim] for shape in shapes), initial=0))
    return _join(*tensors, dim=dim, bounds=bounds)


def stack(tensors: Sequence[Variable], dim: int = 0) -> Variable:
    """The tensors, all of one shape, along a new axis `dim`."""
    tensors = list(tensors)
    check_tensors("stack", *tensors)
    shapes = {x.array.shape for x in tensors}
    if len(shapes) != 1:
        raise ShapeError(f"stack: got shapes {sorted(shapes)}; expected tensors of one shape")
    (shape,) = shapes
    (dim,) = axes(dim, len(shape) + 1, "stack")
    new = shape[:dim] + (1,) + shape[dim:]
    return cat([reshape(x, shape=new) for x in tensors], dim)


# ---------------------------------------------------------------- pad ⇄ crop

Widths = Sequence[tuple[int, int]]  # (before, after) of every axis


@primitive
def pad(x, *, widths, value=0.0):
    """y = x framed by `value`, widths[i] = (before, after) entries along axis i"""
    return array_module(x).pad(x, widths, constant_values=value)


@primitive
def crop(x, *, widths):
    """y = x without the outer widths[i] = (before, after) entries along axis i"""
    inner = zip(widths, x.shape, strict=True)
    return x[tuple(slice(before, n - after) for (before, after), n in inner)]


pad.vjp(lambda g, y, x, widths, value: crop(g, widths=widths))
crop.vjp(lambda g, y, x, widths: pad(g, widths=widths))
