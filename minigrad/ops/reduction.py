r"""Reductions: many entries to one, over the axes `dim` (None: all), and what is built on them.

A reduction's gradient is spread back over the axes: `spread` is the adjoint of the sum.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from minigrad.backend import array_module
from minigrad.engine import Variable, primitive
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.ops.arithmetic import divide_or_zero, equal, maximum, minimum, subtract, where
from minigrad.ops.elementwise import Unary, abs, exp, sign, square
from minigrad.ops.shape import Dim, axes, flip, keep_dims, reshape, spread, sum_array, take_along


def _terms(op: str, shape: tuple[int, ...], dim: Dim) -> int:
    return math.prod(shape[i] for i in axes(dim, len(shape), op))


# ---------------------------------------------------------------- sums


@primitive
def sum(x, dim=None, keepdim=False):
    """y = Σ x"""
    return sum_array(x, axes(dim, x.ndim, "sum"), keepdim)


@primitive
def mean(x, dim=None, keepdim=False):
    """y = (1/n) Σ x over n entries"""
    if x.dtype.kind != "f":
        raise DTypeError(f"mean: got {x.dtype}; expected a float type. Use .float()")
    n = _terms("mean", x.shape, dim)
    if n == 0:
        raise ShapeError(f"mean: got shape {x.shape}, dim {dim}; expected at least one entry")
    return sum_array(x, axes(dim, x.ndim, "mean"), keepdim) / n


@primitive
def cumsum(x, *, dim):
    """y[i] = x[0] + … + x[i] along `dim`, added in float64"""
    axis = (axes(dim, x.ndim, "cumsum") or (None,))[0]
    floats = x.dtype.kind == "f"
    y = x.cumsum(axis, dtype=np.float64 if floats else np.int64).reshape(x.shape)
    return y.astype(x.dtype, copy=False) if floats else y


sum.vjp(lambda g, y, x, dim, keepdim: spread(g, x.shape, dim))
mean.vjp(
    lambda g, y, x, dim, keepdim: spread(g * (1.0 / _terms("mean", x.shape, dim)), x.shape, dim)
)
cumsum.vjp(lambda g, y, x, dim: flip(cumsum(flip(g, dims=dim), dim=dim), dims=dim))


def var(
    x: Variable, dim: Dim = None, unbiased: bool = True, keepdim: bool = False,
    *, correction: int | None = None,
) -> Variable:  # fmt: skip
    """y = Σ (x - x̄)² / (n - correction), in two passes; correction 1 (unbiased) by default.

    `var(unbiased)` is understood too: a truth value is no axis.
    """
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    correction = int(unbiased) if correction is None else correction
    free = _terms("var", x.array.shape, dim) - correction
    deviation = subtract(x, mean(x, dim=dim, keepdim=True))
    return sum(square(deviation), dim=dim, keepdim=keepdim) / (free if free > 0 else math.nan)


def std(
    x: Variable, dim: Dim = None, unbiased: bool = True, keepdim: bool = False,
    *, correction: int | None = None,
) -> Variable:  # fmt: skip
    """y = √var(x); its gradient is 0 where y = 0."""
    return sqrt_or_zero(var(x, dim, unbiased, keepdim, correction=correction))


@Unary
def sqrt_or_zero(x):
    """y = √x, with derivative 0 at 0: the root of a sum of squares at its smallest."""
    return array_module(x).sqrt(x)


sqrt_or_zero.vjp(lambda g, y, x: divide_or_zero(g, y * 2.0))

# ---------------------------------------------------------------- norms


@Unary
def _euclid(x, *, dim, keepdim):
    """√Σ x², scaled by the largest |x| so that no square overflows"""
    xp = array_module(x)
    axis = axes(dim, x.ndim, "norm")
    if 0 in (x.shape[i] for i in axis):
        return sum_array(x, axis, keepdim)  # 0, for no entries
    largest = xp.abs(x).max(axis, keepdims=True)
    scale = xp.where((largest > 0) & xp.isfinite(largest), largest, 1).astype(x.dtype, copy=False)
    y = scale * xp.sqrt(sum_array((x / scale) ** 2, axis, keepdims=True))
    return y if keepdim else y.squeeze(axis)


_euclid.name = "norm"
_euclid.vjp(
    lambda g, y, x, dim, keepdim: (
        spread(g, x.shape, dim) * divide_or_zero(x, spread(y, x.shape, dim))
    )
)


def norm(x: Variable, p: float | str = 2, dim: Dim = None, keepdim: bool = False) -> Variable:
    """‖x‖ₚ = (Σ |x|ᵖ)^(1/p); p = ∞ gives the largest |x|, 'fro' means p = 2.

    Its gradient at x = 0 is 0.
    """
    if p in (2, "fro"):
        return _euclid(x, dim=dim, keepdim=keepdim)
    if p == math.inf:
        return amax(abs(x), dim=dim, keepdim=keepdim)
    if p == -math.inf:
        return amin(abs(x), dim=dim, keepdim=keepdim)
    if p == 1:
        return sum(abs(x), dim=dim, keepdim=keepdim)
    if not isinstance(p, (int, float)) or p <= 0:
        raise ArgumentError(f"norm: p: got {p!r}; expected a positive number, inf, -inf or 'fro'")
    return _p_norm(x, p=float(p), dim=dim, keepdim=keepdim)


@Unary
def _p_norm(x, *, p, dim, keepdim):
    xp = array_module(x)
    return sum_array(xp.abs(x) ** p, axes(dim, x.ndim, "norm"), keepdim) ** (1.0 / p)


def _p_norm_rule(g, y, x, p, dim, keepdim):
    """∂‖x‖ₚ/∂x = sign(x) (|x| / ‖x‖ₚ)ᵖ⁻¹, and 0 where x = 0: the ratio there may be any but 0"""
    ratio = where(equal(x, 0.0), 1.0, divide_or_zero(abs(x), spread(y, x.shape, dim)))
    return spread(g, x.shape, dim) * sign(x) * ratio ** (p - 1.0)


_p_norm.name = "norm"
_p_norm.vjp(_p_norm_rule)

# ---------------------------------------------------------------- extremes


class Extreme(NamedTuple):
    """What `max` and `min` along an axis answer, as in PyTorch."""

    values: Variable
    indices: Variable


@primitive
def amax(x, dim=None, keepdim=False):
    """y = max x; ties share the gradient evenly"""
    return x.max(_nonempty("amax", x, dim), keepdims=keepdim)


@primitive
def amin(x, dim=None, keepdim=False):
    """y = min x; ties share the gradient evenly"""
    return x.min(_nonempty("amin", x, dim), keepdims=keepdim)


@primitive
def argmax(x, dim=None, keepdim=False):
    """The place of the first largest entry along `dim`, or in the flattened x; no derivative."""
    return _position(array_module(x).argmax, "argmax", x, dim, keepdim)


@primitive
def argmin(x, dim=None, keepdim=False):
    """The place of the first smallest entry along `dim`, or in the flattened x; no derivative."""
    return _position(array_module(x).argmin, "argmin", x, dim, keepdim)


def _position(find, op, x, dim, keepdim):
    axis = _nonempty(op, x, dim)
    if len(axis) > 1 and dim is not None:
        raise ArgumentError(f"{op}: dim: got {dim}; expected one axis")
    return find(x, axis=None if dim is None or not axis else axis[0], keepdims=keepdim)


def _nonempty(op, x, dim):
    axis = axes(dim, x.ndim, op)
    if 0 in (x.shape[i] for i in axis):
        raise ShapeError(f"{op}: got shape {x.shape}, dim {dim}; expected at least one entry")
    return axis


def _extreme_rule(g, y, x, dim, keepdim):
    """g / k for each of the k entries that attain the extreme"""
    ties = equal(x, spread(y, x.shape, dim))
    share = keep_dims(g, x.shape, dim) / sum(ties, dim=dim, keepdim=True)
    return share * ties


amax.vjp(_extreme_rule)
amin.vjp(_extreme_rule)


def max(x: Variable, dim: Any = None, keepdim: bool = False) -> Variable | Extreme:
    """The largest entry; along `dim`, (values, indices), the gradient going to the indices.

    max(x, y) of two tensors is `maximum`.
    """
    if dim is None or isinstance(dim, Variable):
        return amax(x) if dim is None else maximum(x, dim)
    return _taken(x, argmax(x, dim=dim, keepdim=True), dim, keepdim)


def min(x: Variable, dim: Any = None, keepdim: bool = False) -> Variable | Extreme:
    """The smallest entry; along `dim`, (values, indices), the gradient going to the indices.

    min(x, y) of two tensors is `minimum`.
    """
    if dim is None or isinstance(dim, Variable):
        return amin(x) if dim is None else minimum(x, dim)
    return _taken(x, argmin(x, dim=dim, keepdim=True), dim, keepdim)


def _taken(x: Variable, where_: Variable, dim: int, keepdim: bool) -> Extreme:
    """The entries of x at `where_` along `dim`, an index array of size 1 there."""
    if not x.array.ndim:
        return Extreme(x, where_)
    axis, shape = dim % x.array.ndim, where_.array.shape
    values = take_along(x, axis, where_.array)
    if keepdim:
        return Extreme(values, where_)
    flat = shape[:axis] + shape[axis + 1 :]
    return Extreme(reshape(values, shape=flat), reshape(where_, shape=flat))


# ---------------------------------------------------------------- exponentials, normalised


def _shift(x, axis):
    """The largest entry, 0 where it is infinite: what can be subtracted before exp"""
    if not x.size:
        return x.dtype.type(0)
    xp = array_module(x)
    largest = x.max(axis, keepdims=True)
    return xp.where(xp.isfinite(largest), largest, 0).astype(x.dtype, copy=False)


@Unary
def logsumexp(x, *, dim, keepdim=False):
    """y = ln Σ eˣ = m + ln Σ eˣ⁻ᵐ with m = max x; -∞ if all are -∞, or there is none: gradient 0"""
    xp = array_module(x)
    axis = axes(dim, x.ndim, "logsumexp")
    m = _shift(x, axis)
    total = sum_array(xp.exp(x - m), axis, keepdims=True)
    y = xp.where(total == 0, -xp.inf, m + xp.log(xp.where(total == 0, 1, total)))
    return (y if keepdim else y.squeeze(axis)).astype(x.dtype, copy=False)


@Unary
def softmax(x, *, dim):
    """y = eˣ / Σ eˣ, from eˣ⁻ᵐ with m = max x"""
    axis = axes(dim, x.ndim, "softmax")
    y = array_module(x).exp(x - _shift(x, axis))
    y /= sum_array(y, axis, keepdims=True)
    return y


@Unary
def log_softmax(x, *, dim):
    """y = x - ln Σ eˣ"""
    xp = array_module(x)
    axis = axes(dim, x.ndim, "log_softmax")
    y = x - _shift(x, axis)
    if y.size:
        y -= xp.log(sum_array(xp.exp(y), axis, keepdims=True))
    return y


def _logsumexp_rule(g, y, x, dim, keepdim):
    """∂y/∂x = softmax x; with all x = -∞ it is taken as 0"""
    nothing = equal(spread(y, x.shape, dim), -math.inf)
    p = softmax(where(nothing, 0.0, x), dim=dim)
    return where(nothing, 0.0, spread(g, x.shape, dim)) * p


logsumexp.vjp(_logsumexp_rule)
softmax.vjp(lambda g, y, x, dim: y * (g - sum(g * y, dim=dim, keepdim=True)))
log_softmax.vjp(lambda g, y, x, dim: g - exp(y) * sum(g, dim=dim, keepdim=True))

# ---------------------------------------------------------------- truth


@primitive
def all(x, dim=None, keepdim=False):
    """y = whether every entry is nonzero; no derivative"""
    return x.all(axes(dim, x.ndim, "all"), keepdims=keepdim)


@primitive
def any(x, dim=None, keepdim=False):
    """y = whether some entry is nonzero; no derivative"""
    return x.any(axes(dim, x.ndim, "any"), keepdims=keepdim)
