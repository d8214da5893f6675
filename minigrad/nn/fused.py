r"""Fused primitives: several operations in few passes over memory, each with a composed twin.

A fused primitive is array code, forward and backward, that writes into the array it has just made.
Its twin, `<name>_composed`, says the same in primitives that know their derivatives: it is the
specification that the tests hold the fused one to; and where a derivative is itself to be
differentiated (`create_graph=True`), it is the twin that the rule differentiates.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.backend import Array, array_module
from minigrad.engine import Primitive, Variable, grad, is_grad_enabled, once
from minigrad.ops.elementwise import sqrt, square
from minigrad.ops.reduction import mean
from minigrad.ops.shape import STRETCH, in_full, reshape, sum_array


class Fused(Primitive):
    """A primitive whose rules are array code, and a composed twin for higher derivatives."""

    def vjp_of(self, twin: Callable[..., Variable], *rules: Callable[..., Array]) -> None:
        """State the twin, and one rule per input, called as rule(g, y, *inputs, **params)."""
        self.vjp(*(self._rule(i, twin, rule) for i, rule in enumerate(rules)))

    @staticmethod
    def _rule(i: int, twin: Callable, rule: Callable) -> Callable:
        def vjp(g: Variable, y: Variable, *inputs: Any, **params: Any) -> Variable:
            if is_grad_enabled():
                x = inputs[i]
                stand_in = reshape(x, shape=x.array.shape)  # of x, and of no other input
                answer = twin(*inputs[:i], stand_in, *inputs[i + 1 :], **params)
                return grad(answer, stand_in, g, create_graph=True)[0]
            arrays = (x.array if isinstance(x, Variable) else x for x in inputs)
            return y.family(rule(g.array, y.array, *arrays, **params))

        vjp.__wrapped__ = rule  # for those who want to read it
        return vjp


# ---------------------------------------------------------------- normalisation


class Moments:
    """What a normalisation measures on its input: mean, variance, and rate = 1/√(variance + eps).

    The entries along `axes` share them. The forward function fills them in, for its rule; batch
    norm also leaves x̂ = `standard` here.
    """

    __slots__ = ("axes", "eps", "mean", "rate", "standard", "variance")

    def __init__(self, axes: tuple[int, ...], eps: float) -> None:
        self.axes = axes
        self.eps = eps

    def average(self, a: Array, b: Array | None = None) -> Array:
        """The mean of a, or of a · b, over the axes, which stay as size 1."""
        total = sum_array(a, self.axes, True) if b is None else sum_product(a, b, self.axes, True)
        return total / math.prod(a.shape[i] for i in self.axes)


def sum_product(a: Array, b: Array, axes: tuple[int, ...], keepdims: bool = False) -> Array:
    """Σ a b over `axes`; for images (n, c, …), all axes but c, without an array of products."""
    if a.ndim < 3 or axes != (0, *range(2, a.ndim)) or not a.size:
        return sum_array(a * b, axes, keepdims)
    a_, b_ = (x.reshape(*x.shape[:2], -1) for x in (a, b))
    total = 0.0
    for start in range(0, a_.shape[2], STRETCH):
        part = (..., slice(start, start + STRETCH))
        each = array_module(a).einsum("ncl,ncl->nc", a_[part], b_[part])
        total = total + each.sum(0, dtype=np.float64)
    total = total.astype(a.dtype)
    return beside(total, a.shape, axes) if keepdims else total


def beside(v: Any, shape: Sequence[int], axes: Sequence[int]) -> Any:
    """A tensor or array v that is the same along `axes` of `shape`, with those axes as size 1."""
    return v.reshape(tuple(1 if i in axes else n for i, n in enumerate(shape)))


def standardize_composed(x: Variable, *, moments: Moments) -> Variable:
    """x̂ = (x - mean) / √(variance + eps)"""
    deviation = x - mean(x, dim=moments.axes, keepdim=True)
    variance = mean(square(deviation), dim=moments.axes, keepdim=True)
    return deviation / sqrt(variance + moments.eps)


@Fused
def standardize(x, *, moments):
    """x̂ = (x - mean) / √(variance + eps); the variance is the mean square of x - mean"""
    moments.mean = moments.average(x)
    y = x - in_full(moments.mean, x)
    moments.variance = moments.average(y, y)
    moments.rate = 1.0 / array_module(x).sqrt(moments.variance + moments.eps)
    y *= in_full(moments.rate, x)
    return y


def _standardize_rule(g, y, x, moments):
    """rate (g - mean(g) - x̂ mean(g x̂)): g without its parts along 1 and along x̂"""
    slope = y * in_full(-moments.average(g, y), x)
    slope += g
    slope -= in_full(moments.average(g), x)
    slope *= in_full(moments.rate, x)
    return slope


standardize.vjp_of(standardize_composed, _standardize_rule)


def scale_and_shift_composed(
    x: Variable, weight: Variable, bias: Variable | None, *, axes: tuple[int, ...]
) -> Variable:
    """γ x + β, with γ and β repeated along `axes`"""
    y = x * beside(weight, x.array.shape, axes)
    return y if bias is None else y + beside(bias, x.array.shape, axes)


@Fused
def scale_and_shift(x, weight, bias, *, axes):
    """γ x + β, with γ and β repeated along `axes`"""
    y = x * in_full(beside(weight, x.shape, axes), x)
    if bias is not None:
        y += in_full(beside(bias, x.shape, axes), x)
    return y


scale_and_shift.vjp_of(
    scale_and_shift_composed,
    lambda g, y, x, weight, bias, axes: g * in_full(beside(weight, x.shape, axes), x),
    lambda g, y, x, weight, bias, axes: sum_product(g, x, axes),
    lambda g, y, x, weight, bias, axes: sum_array(g, axes),
)


def batch_normalize_composed(
    x: Variable, weight: Variable, bias: Variable | None, *, moments: Moments
) -> Variable:
    """γ x̂ + β"""
    standard = standardize_composed(x, moments=moments)
    return scale_and_shift_composed(standard, weight, bias, axes=moments.axes)


@Fused
def batch_normalize(x, weight, bias, *, moments):
    """γ x̂ + β, where γ and β are shared by the same entries as mean and variance"""
    normalize = kernels.find("batch_normalize", array_module(x), x.dtype)
    if normalize and bias is not None and x.size:
        y, moments.standard, *found = normalize(x, weight, bias, moments.eps)
        found = (beside(v, x.shape, moments.axes) for v in found)
        moments.mean, moments.variance, moments.rate = found
        return y
    moments.standard = standardize.forward(x, moments=moments)
    return scale_and_shift.forward(moments.standard, weight, bias, axes=moments.axes)


def _sums(g, moments):
    """Σ g and Σ g x̂"""
    if batch_sums := kernels.find("batch_sums", array_module(g), g.dtype):
        return batch_sums(g, moments.standard)
    return sum_array(g, moments.axes), sum_product(g, moments.standard, moments.axes)


def _batch_normalize_rule(g, y, x, weight, bias, moments):
    """γ rate (g - mean(g) - x̂ mean(g x̂))"""
    n = x.size // weight.size
    mean, along = (v / n for v in once(_sums, g, moments))
    if batch_slope := kernels.find("batch_slope", array_module(g), g.dtype):
        return batch_slope(g, moments.standard, weight * moments.rate.ravel(), mean, along)
    mean, along = (in_full(beside(v, x.shape, moments.axes), x) for v in (mean, along))
    slope = moments.standard * -along
    slope += g
    slope -= mean
    slope *= in_full(beside(weight, x.shape, moments.axes) * moments.rate, x)
    return slope


batch_normalize.vjp_of(
    batch_normalize_composed,
    _batch_normalize_rule,
    lambda g, y, x, weight, bias, moments: once(_sums, g, moments)[1],
    lambda g, y, x, weight, bias, moments: once(_sums, g, moments)[0],
)
