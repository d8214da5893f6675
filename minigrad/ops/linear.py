r"""Matrix products: matmul, and the fused affine map of a dense layer with its composed twin."""

import math

import numpy as np

from minigrad import kernels
from minigrad.backend import array_module
from minigrad.engine import Primitive, Variable
from minigrad.errors import DTypeError, ShapeError
from minigrad.ops.arguments import check_tensors
from minigrad.ops.shape import broadcast_shape, permute, reshape, sum_to


def transposed(x: Variable) -> Variable:
    """xᵀ of every matrix: the last two axes exchanged."""
    n = x.array.ndim
    return permute(x, dims=(*range(n - 2), n - 1, n - 2))


class Product(Primitive):
    """A primitive that refuses inputs of different element types: no silent copy of a matrix."""

    def __call__(self, *inputs: Variable, **params) -> Variable:
        first = inputs[0]
        for x in inputs[1:]:
            if isinstance(x, Variable) and x.array.dtype != first.array.dtype:
                types = " and ".join(str(x.array.dtype) for x in inputs)
                raise DTypeError(f"{self.name}: got {types}; expected one type. Use .to(dtype)")
        return super().__call__(*inputs, **params)


@Product
def _matmul(a, b):
    """y = a b; a column times a row is no sum, and quicker entry by entry"""
    return a * b if a.shape[-1] == 1 else a @ b


_matmul.name = "matmul"
_matmul.vjp(
    lambda g, y, a, b: sum_to(_matmul(g, transposed(b)), shape=a.shape),
    lambda g, y, a, b: sum_to(_matmul(transposed(a), g), shape=b.shape),
)


def matmul(a: Variable, b: Variable) -> Variable:
    """y = a b: (…, n, k) @ (…, k, m) → (…, n, m), the leading axes broadcast.

    A vector counts as a row on the left, as a column on the right, and that axis is dropped again.
    Rules: ∂L/∂a = g bᵀ, ∂L/∂b = aᵀ g.

    Raises ShapeError if the inner sizes differ, DTypeError if the element types do.
    """
    check_tensors("matmul", a, b)
    p, q = a.array.shape, b.array.shape
    if not p or not q:
        raise ShapeError(f"matmul: got shapes {p} and {q}; expected at least one axis each. Use *")
    if p[-1] != q[-2 if len(q) > 1 else 0]:
        raise ShapeError(
            f"matmul: inner sizes differ: got {p} @ {q}: {p[-1]} and "
            f"{q[-2 if len(q) > 1 else 0]}; expected them equal"
        )
    broadcast_shape("matmul", p[:-2], q[:-2])
    if len(p) > 1 and len(q) > 1:
        return _matmul(a, b)
    row = a if len(p) > 1 else reshape(a, shape=(1, *p))
    column = b if len(q) > 1 else reshape(b, shape=(*q, 1))
    y = _matmul(row, column)
    kept = list(y.array.shape)
    if len(q) == 1:
        del kept[-1]
    if len(p) == 1:
        del kept[-1 if len(q) == 1 else -2]
    return reshape(y, shape=tuple(kept))


@Product
def _transposed_matmul(a, b):
    """y = aᵀ b"""
    return a.T @ b


_transposed_matmul.vjp(
    lambda g, y, a, b: _matmul(b, transposed(g)),
    lambda g, y, a, b: _matmul(a, g),
)


FEW_ROWS = 64  # up to so many NumPy turns a matrix quickly


@Product
def _affine(x, weight, bias):
    """y = x Wᵀ + b, or (W xᵀ)ᵀ + b: a BLAS is quicker if the matrix with fewer rows comes second"""
    n, (m, terms) = len(x), weight.shape
    if 2 * n <= m and terms >= 128 and array_module(x) is np:
        if turned_plus := kernels.find("turned_plus", np, x.dtype):
            return turned_plus(weight @ x.T, bias)
        if n <= FEW_ROWS:
            return np.add((weight @ x.T).T, bias, out=np.empty((n, m), x.dtype))
    y = x @ weight.T
    y += bias
    return y


_affine.name = "linear"
_affine.vjp(
    lambda g, y, x, weight, bias: _matmul(g, weight),
    lambda g, y, x, weight, bias: _transposed_matmul(g, x),
    lambda g, y, x, weight, bias: sum_to(g, shape=bias.shape),
)


def linear(x: Variable, weight: Variable, bias: Variable | None = None) -> Variable:
    """y = x Wᵀ + b: (…, in) → (…, out) with W (out, in) and b (out,).

    Rules: ∂L/∂x = g W, ∂L/∂W = gᵀ x, ∂L/∂b = Σ g. `linear_composed` is its specification.

    Raises ShapeError if x does not end in W's `in`, or b is not (out,), DTypeError if the element
    types differ.
    """
    check_tensors("linear", x, weight, optional=bias)
    shape, w = x.array.shape, weight.array.shape
    if len(w) != 2 or not shape or shape[-1] != w[1]:
        raise ShapeError(
            f"linear: weight expects {w[-1]} input features, x has {shape[-1:] or 'none'}: "
            f"x {shape}, weight {w}; expected x (…, in), weight (out, in)"
        )
    if bias is not None and bias.array.shape != w[:1]:
        raise ShapeError(f"linear: bias: got shape {bias.array.shape}; expected {w[:1]}")
    rows = x if len(shape) == 2 else reshape(x, shape=(math.prod(shape[:-1]), w[1]))
    y = _matmul(rows, transposed(weight)) if bias is None else _affine(rows, weight, bias)
    return y if len(shape) == 2 else reshape(y, shape=(*shape[:-1], w[0]))


def linear_composed(x: Variable, weight: Variable, bias: Variable) -> Variable:
    """y = x Wᵀ + b from matmul and add: what `linear` must equal, derivatives included."""
    return matmul(x, transposed(weight)) + bias
