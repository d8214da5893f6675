r"""Square matrices taken apart: Cholesky factor, triangular systems, inverse and log-determinant.

A matrix is the last two axes, (…, n, n); the axes before them count a batch. Every rule is again
made of what stands here and of matrix products, so derivatives of any order need nothing else:

    primitive                        rule, g coming in
    tril(x), triu(x)                 tril(g), triu(g)
    y = solve_triangular(a, b)       h = solve_triangular(aᵀ, g) for b, and -tri(h yᵀ) for a
    y = cholesky(x)                  y⁻ᵀ P y⁻¹,  P = ½ (Φ + Φᵀ)
    y = inv(x)                       -yᵀ g yᵀ
    y = logdet(x)                    g x⁻ᵀ

Φ is the lower triangle of yᵀ g with half of its diagonal, and tri is the triangle that a has.
Source of the Cholesky rule: Murray, arXiv 1602.07527, equation 10; of the others: Giles, "Collected
matrix derivative results for forward and reverse mode algorithmic differentiation" (2008).
"""

import bisect
import math

import numpy as np

from minigrad.backend import Array, array_module, linalg_errors
from minigrad.engine import Variable, primitive
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.ops.linear import Product, matmul, transposed
from minigrad.ops.shape import broadcast_shape, broadcast_to, getitem, reshape


def _check_square(op: str, x: Array) -> None:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{op}: got shape {x.shape}; expected square matrices, (…, n, n)")
    if x.dtype.kind != "f":
        raise DTypeError(f"{op}: got {x.dtype}; expected a float type. Use .float()")


def _first(wrong: Array) -> tuple[int, ...]:
    """Where the first True stands."""
    return tuple(map(int, np.unravel_index(int(wrong.argmax()), wrong.shape)))


# ---------------------------------------------------------------- triangles and the diagonal


@primitive
def tril(x, diagonal=0):
    """y = x on and below the diagonal number `diagonal` (1 is above the main one), 0 elsewhere"""
    return array_module(x).tril(x, diagonal)


@primitive
def triu(x, diagonal=0):
    """y = x on and above the diagonal number `diagonal`, 0 elsewhere"""
    return array_module(x).triu(x, diagonal)


tril.vjp(lambda g, y, x, diagonal: tril(g, diagonal))
triu.vjp(lambda g, y, x, diagonal: triu(g, diagonal))


def diagonal(x: Variable) -> Variable:
    """The main diagonals of square matrices: (…, n, n) → (…, n)."""
    _check_square("diagonal", x.array)
    along = array_module(x.array).arange(x.array.shape[-1])
    return getitem(x, index=(..., along, along))


# ---------------------------------------------------------------- triangular systems


@Product
def _solve(a, b, *, upper):
    """A triangular matrix with the large index first is its own LU factorisation: nothing to do.

    A lower one becomes upper by counting rows and columns backwards.
    """
    xp = array_module(a)
    if upper:
        return xp.linalg.solve(xp.triu(a), b)
    return xp.linalg.solve(xp.tril(a)[..., ::-1, ::-1], b[..., ::-1, :])[..., ::-1, :]


_solve.name = "solve_triangular"
_solve.vjp(
    lambda g, y, a, b, upper: (
        -(triu if upper else tril)(matmul(_solve(transposed(a), g, upper=not upper), transposed(y)))
    ),
    lambda g, y, a, b, upper: _solve(transposed(a), g, upper=not upper),
)


def solve_triangular(
    a: Variable, b: Variable, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Variable:
    """y with a y = b, or y a = b if not `left`: a (…, n, n) triangular, b (…, n, k) or (…, k, n).

    Only the upper or lower triangle of a is read; if `unitriangular`, its diagonal counts as ones.
    The leading axes broadcast. Rules: h = a⁻ᵀ g for b; -h yᵀ for a, in its triangle.

    Raises ShapeError if the sizes do not fit, DTypeError if the types differ, ArgumentError for a
    zero on the diagonal.
    """
    op, p, q = "solve_triangular", a.array.shape, b.array.shape
    _check_square(op, a.array)
    if len(q) < 2 or q[-2 if left else -1] != p[-1]:
        expected = f"(…, {p[-1]}, k)" if left else f"(…, k, {p[-1]})"
        raise ShapeError(f"{op}: b: got shape {q}; expected {expected} for a {p}")
    if not left:
        a, b, upper = transposed(a), transposed(b), not upper
    if unitriangular:
        ones = array_module(a.array).eye(p[-1], dtype=a.array.dtype)
        a = (triu(a, 1) if upper else tril(a, -1)) + a.family(ones)
    along = array_module(a.array).arange(p[-1])
    zero = a.array[..., along, along] == 0
    if zero.any():
        raise ArgumentError(
            f"{op}: a: got a zero at {_first(zero)} on the diagonal; expected none: a y = b has "
            "no solution then, or many"
        )
    batch = broadcast_shape(op, p[:-2], q[:-2])
    y = _solve(*(
        x if x.array.shape[:-2] == batch else broadcast_to(x, shape=(*batch, *x.array.shape[-2:]))
        for x in (a, b)
    ), upper=upper)  # fmt: skip
    return y if left else transposed(y)


# ---------------------------------------------------------------- Cholesky


@primitive
def cholesky(x):
    """y, lower triangular with a positive diagonal, such that x = y yᵀ.

    x is (…, n, n), symmetric: only its lower triangle is read, and its gradient is symmetric, half
    of it on either side, as in PyTorch. Raises ArgumentError, with the first leading minor that is
    not positive, if x is not positive definite.
    """
    _check_square("cholesky", x)
    xp = array_module(x)
    try:
        with linalg_errors(x):
            y = xp.linalg.cholesky(x)
    except np.linalg.LinAlgError:
        y = None
    if y is None or not xp.isfinite(y).all():
        _explain(x)
    return y


def _cholesky_rule(g, y, x):
    """The differential of x = y yᵀ, solved for dy, is dy = y Φ(y⁻¹ dx y⁻ᵀ): Φ keeps the lower
    triangle and half of the diagonal. This is its adjoint, made symmetric."""
    m = matmul(transposed(y), g)
    p = (tril(m) + transposed(tril(m, -1))) * 0.5  # ½ (Φ + Φᵀ)
    half = _solve(transposed(y), p, upper=True)  # y⁻ᵀ P
    return _solve(transposed(y), transposed(half), upper=True)


cholesky.vjp(_cholesky_rule)


def _explain(x: Array) -> None:
    """Say which matrix is not positive definite, and from which leading minor on."""
    if not array_module(x).isfinite(x).all():
        raise ArgumentError("cholesky: got NaN or ∞; expected finite numbers")
    for place in np.ndindex(x.shape[:-2]):
        sizes = range(1, x.shape[-1] + 1)
        k = bisect.bisect_left(sizes, True, key=lambda k, m=x[place]: not _positive(m[:k, :k]))
        if k < len(sizes):
            which = f"matrix {place}" if place else "a matrix"
            raise ArgumentError(
                f"cholesky: got {which} whose leading minor of order {sizes[k]} is not positive; "
                "expected a positive definite one. Add a small multiple of the identity"
            )


def _positive(x: Array) -> bool:
    xp = array_module(x)
    try:
        with linalg_errors(x):
            return bool(xp.isfinite(xp.linalg.cholesky(x)).all())
    except np.linalg.LinAlgError:
        return False


# ---------------------------------------------------------------- inverse and determinant


@primitive
def inv(x):
    """y = x⁻¹; ArgumentError if x is singular"""
    _check_square("inv", x)
    try:
        with linalg_errors(x):
            return array_module(x).linalg.inv(x)
    except np.linalg.LinAlgError as error:
        raise ArgumentError(
            f"inv: got a singular matrix, in shape {x.shape}; expected one with an inverse"
        ) from error


@primitive
def logdet(x):
    """y = ln det x; -∞ where the determinant is 0, NaN where it is negative"""
    _check_square("logdet", x)
    xp = array_module(x)
    sign, size = xp.linalg.slogdet(x)
    return xp.where(sign < 0, math.nan, size).astype(x.dtype, copy=False)


inv.vjp(lambda g, y, x: -matmul(transposed(y), matmul(g, transposed(y))))
logdet.vjp(lambda g, y, x: reshape(g, shape=(*g.array.shape, 1, 1)) * transposed(inv(x)))
