r"""Convolution and its derivatives: three operations, each the derivative of the other two.

One geometry says which input pixels (h, w), kernel elements (i, j) and output pixels (oh, ow) meet.
Let T multiply and add up all that meets, over images n and channels c and o:

    T(x, w, y) = Σ x[n, c, h, w] · w[o, c, i, j] · y[n, o, oh, ow].

T is linear in x, in w and in y. Hold two of them fixed; T is then a product with the third, of

    T = ⟨conv2d(x, w), y⟩ = ⟨x, conv_transpose2d(y, w)⟩ = ⟨w, conv2d_weight_grad(x, y)⟩.

If the gradient g = ∂L/∂y comes in at y = conv2d(x, w), that of x is what x is multiplied by in
T(x, w, g). So it is with all three, and derivatives of any order need nothing else:

    primitive                   rule for the 1st input       rule for the 2nd input
    conv2d(x, w)                conv_transpose2d(g, w)       conv2d_weight_grad(x, g)
    conv_transpose2d(y, w)      conv2d(g, w)                 conv2d_weight_grad(g, y)
    conv2d_weight_grad(x, y)    conv_transpose2d(y, g)       conv2d(x, g)

As a matrix, conv2d multiplies by C forward and by Cᵀ backward. A transposed convolution is the same
pair turned round: Cᵀ forward, C backward.

Shapes: x (n, c, h, w), w (o, c/groups, kh, kw), y (n, o, oh, ow). PyTorch's weight of a transposed
convolution, (in, out/groups, kh, kw), is this w, for its input is y.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

from minigrad.backend import Array
from minigrad.engine import Primitive
from minigrad.errors import ArgumentError, ShapeError
from minigrad.ops import reduction
from minigrad.ops.arguments import check_float
from minigrad.ops.conv import im2col, matrix, stretched
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.ops.linear import Product
from minigrad.ops.shape import in_full

# ---------------------------------------------------------------- the closed set


@Product
def conv2d(x, w, *, geometry, lowering=None):
    """y = C x"""
    _check("conv2d", x, w, geometry)
    return _compute("conv", x, w, geometry, lowering)


@Product
def conv_transpose2d(y, w, *, geometry, lowering=None):
    """x = Cᵀ y"""
    _check("conv_transpose2d", y, w, geometry)
    return _compute("conv_transpose", y, w, geometry, lowering)


@Product
def conv2d_weight_grad(x, y, *, geometry, lowering=None):
    """w = the gradient of ⟨C x, y⟩ in the kernels that C is made of"""
    _check_images("conv2d_weight_grad", x, y, geometry)
    return _compute("weight_grad", x, y, geometry, lowering)


conv2d.vjp(
    lambda g, _, x, w, **how: conv_transpose2d(g, w, **how),
    lambda g, _, x, w, **how: conv2d_weight_grad(x, g, **how),
)
conv_transpose2d.vjp(
    lambda g, _, y, w, **how: conv2d(g, w, **how),
    lambda g, _, y, w, **how: conv2d_weight_grad(g, y, **how),
)
conv2d_weight_grad.vjp(
    lambda g, _, x, y, **how: conv_transpose2d(y, g, **how),
    lambda g, _, x, y, **how: conv2d(x, g, **how),
)


def _with_bias(product: Primitive) -> Primitive:
    """product(x, w) + bias, a number for each channel, added before anyone else sees the array."""

    def forward(x, w, bias, *, geometry, lowering=None):
        channels = len(w) if product is conv2d else w.shape[1] * geometry.groups
        if bias.shape != (channels,):
            raise ShapeError(
                f"{product.name}: bias: got shape {bias.shape}; expected {(channels,)} for weight "
                f"{w.shape}, groups {geometry.groups}"
            )
        y = product.forward(x, w, geometry=geometry, lowering=lowering)
        y += in_full(bias[None, :, None, None], y)
        return y

    fused = Product(forward)
    fused.name = product.name
    fused.vjp(
        lambda g, y, x, w, bias, **how: product.rules[0](g, y, x, w, **how),
        lambda g, y, x, w, bias, **how: product.rules[1](g, y, x, w, **how),
        lambda g, y, x, w, bias, **how: reduction.sum(g, dim=(0, 2, 3)),
    )
    return fused


conv2d_affine = _with_bias(conv2d)
conv_transpose2d_affine = _with_bias(conv_transpose2d)

# ---------------------------------------------------------------- three ways to compute them

LOWERINGS: dict[str, ModuleType] = {"im2col": im2col, "matrix": matrix, "stretched": stretched}

_lowering: ContextVar[str] = ContextVar("lowering", default="im2col")
_crosschecking: ContextVar[bool] = ContextVar("crosschecking", default=False)


class CrosscheckError(ArithmeticError):
    """Two lowerings computed different numbers."""


def lowering(name: str) -> contextlib.AbstractContextManager:
    """Within `with lowering("matrix"):` convolutions run this way unless they name another."""
    return _within(_lowering, _known(name))


def crosscheck() -> contextlib.AbstractContextManager:
    """Within `with crosscheck():` every convolution runs all ways, forward and backward.

    The first that differ by more than rounding raise CrosscheckError. Inputs must be finite, for
    the zeros of C make NaN of an infinity.
    """
    return _within(_crosschecking, True)


@contextlib.contextmanager
def _within(variable: ContextVar, value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def _known(name: str) -> str:
    if name not in LOWERINGS:
        raise ArgumentError(f"lowering: got {name!r}; expected one of {', '.join(LOWERINGS)}")
    return name


def _compute(task: str, a: Array, b: Array, geometry: ConvGeometry, name: str | None) -> Array:
    """The task by the lowering of that name, or by the one in force."""
    name = _lowering.get() if name is None else _known(name)
    found = getattr(LOWERINGS[name], task)(a, b, geometry)
    if _crosschecking.get():
        # rounding: at most γ Σ |a| |b|, where γ is ε times the number of terms, and mostly less
        most = getattr(LOWERINGS[name], task)(abs(a), abs(b), geometry)
        slack = 1000 * float(np.finfo(a.dtype).eps) * _largest(most)
        for other, module in LOWERINGS.items():
            gap = _largest(abs(getattr(module, task)(a, b, geometry) - found))
            if not gap <= slack:
                raise CrosscheckError(
                    f"{task}: lowerings differ: got {gap:.3g} between {name} and {other}; expected "
                    f"at most {slack:.1g} of rounding: {geometry}"
                )
    return found


def _largest(x: Array) -> float:
    return float(x.max()) if x.size else 0.0


# ---------------------------------------------------------------- what they refuse


def _check(op: str, x: Array, w: Array, geometry: ConvGeometry) -> None:
    """The image and the weight of a convolution, or of a transposed one, must fit together."""
    g, direct = geometry.groups, op == "conv2d"
    size = geometry.input_size if direct else geometry.output_size
    channels = w.shape[1] * g if direct and w.ndim == 4 else len(w)
    if x.ndim != 4 or w.ndim != 4:
        problem = "expected 4 axes each"
    elif len(w) % g:
        problem = f"{g} groups do not divide the weight's {len(w)} channels"
    elif x.shape[1] != channels:
        problem = f"weight expects {channels} input channels, x has {x.shape[1]}"
    elif x.shape[2:] != size or w.shape[2:] != geometry.kernel_size:
        problem = f"the geometry is of x {size}, weight {geometry.kernel_size}"
    else:
        return check_float(op, x)
    setting = f"stride {geometry.stride}, padding {geometry.padding}"
    setting += f", groups {g}" if g > 1 else ""
    raise ShapeError(f"{op}: {problem}: x {x.shape}, weight {w.shape}, {setting}")


def _check_images(op: str, x: Array, y: Array, geometry: ConvGeometry) -> None:
    fit = x.ndim == y.ndim == 4 and len(x) == len(y)
    fit = fit and x.shape[2:] == geometry.input_size and y.shape[2:] == geometry.output_size
    if not fit or x.shape[1] % geometry.groups or y.shape[1] % geometry.groups:
        raise ShapeError(f"{op}: got x {x.shape} and y {y.shape}; expected what fits {geometry}")
    check_float(op, x)
