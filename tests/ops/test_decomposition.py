"""Cholesky, triangular systems, inverse, log-determinant: PyTorch's numbers, batches, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad import Tensor, float32, float64
from minigrad.engine import grad
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.gradcheck import check_grads
from minigrad.ops import decomposition as ops

A = [[4.0, 2.0, -1.0], [2.0, 3.0, 0.5], [-1.0, 0.5, 2.0]]
B = [[0.3, -1.2], [0.7, 0.5], [-0.4, 2.0]]
V3 = [[1.0, -2.0, 0.5], [0.3, 0.7, -1.0], [-0.6, 1.5, 0.2]]
V2 = [[1.0, -2.0], [0.5, 0.3], [0.7, -1.0]]


def t(values, dtype=float64):
    return Tensor(np.array(values, dtype))


def leaf(values, dtype=float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def lower(a, b):
    return ops.solve_triangular(a, b, upper=False)


def upper(a, b):
    return ops.solve_triangular(a, b, upper=True)


def right(a, b):
    return ops.solve_triangular(a, ops.transposed(b), upper=False, left=False)


def ones(a, b):
    return ops.solve_triangular(a, b, upper=True, unitriangular=True)


FUNCTIONS = {  # a function, its inputs, and the gradient that comes in
    "cholesky": (ops.cholesky, [A], V3),
    "inv": (ops.inv, [A], V3),
    "logdet": (ops.logdet, [A], 3.0),
    "solve_triangular, lower": (lower, [A, B], V2),
    "solve_triangular, upper": (upper, [A, B], V2),
    "solve_triangular, right": (right, [A, B], np.transpose(V2)),
    "solve_triangular, ones": (ones, [A, B], V2),
}

# What PyTorch 2.13 answers: torch.linalg.cholesky(a), torch.linalg.inv(a), torch.logdet(a),
# torch.linalg.solve_triangular(a, b, upper=False), with upper=True, with b.mT and left=False, with
# upper=True and unitriangular=True; the slopes for the incoming gradient above; and what
# torch.autograd.grad gives for the sum of the slopes' squares.
# fmt: off
PYTORCH = {
    "cholesky": (
        [[2.0, 0.0, 0.0], [1.0, 1.414213562373, 0.0], [-0.5, 0.7071067811865, 1.11803398875]],
        [[[0.0603587409201, 0.1940606764623, -0.370443683395], [0.1940606764623, 0.004683010245334,
        0.4856087263399], [-0.370443683395, 0.4856087263399, 0.08944271909999]]],
        [[[-0.2002618917904, 0.2401890828448, 0.02130340594137], [0.2401890828448,
        -0.3386268222901, -0.05556149685927], [0.02130340594137, -0.05556149685927,
        0.06063354778845]]],
    ),
    "inv": (
        [[0.575, -0.45, 0.4], [-0.45, 0.7, -0.4], [0.4, -0.4, 0.8]], [[[-0.83125, 1.0225, -1.08],
        [0.7575, -0.955, 1.12], [-0.135, 0.13, -0.48]]], [[[-10.83937671875, 12.56107375,
        -12.01280625], [11.1462903125, -12.966785, 12.5488475], [-6.9747653125, 8.399584375,
        -9.126605]]],
    ),
    "logdet": (
        2.302585092994, [[[1.725, -1.35, 1.2], [-1.35, 2.1, -1.2], [1.2, -1.2, 2.4]]],
        [[[-18.37321875, 20.1155625, -20.7855], [20.1155625, -22.300875, 22.653], [-20.7855,
        22.653, -24.696]]],
    ),
    "solve_triangular, lower": (
        [[0.075, -0.3], [0.1833333333333, 0.3666666666667], [-0.2083333333333, 0.7583333333333]],
        [[[-0.23625, 0.0, 0.0], [0.046875, -0.08708333333333, 0.0], [-0.17625, 0.1191666666667,
        0.4520833333333]], [[0.2833333333333, -0.7166666666667], [0.1083333333333,
        0.1833333333333], [0.35, -0.5]]], [[[-0.3511909939236, 0.0, 0.0], [0.05932782118056,
        -0.0795521412037, 0.0], [-0.16988984375, 0.1607658564815, -1.004967983218]],
        [[0.0197884837963, -0.08285127314815], [0.004855324074074, 0.01269212962963],
        [-0.1582291666667, 0.2260416666667]]],
    ),
    "solve_triangular, upper": (
        [[-0.1083333333333, -0.05], [0.2666666666667, 0.0], [-0.2, 1.0]], [[[0.002083333333333,
        -0.06666666666667, 0.55], [0.0, 0.0, -0.4333333333333], [0.0, 0.0, 0.9533333333333]],
        [[0.25, -0.5], [0.0, 0.4333333333333], [0.475, -0.8583333333333]]], [[[-0.8188098958333,
        0.4821111111111, -1.072822916667], [0.0, -0.3842222222222, 0.8098819444444], [0.0, 0.0,
        -3.276820833333]], [[-0.0002604166666667, 0.0005208333333333], [0.01128472222222,
        -0.02256944444444], [-0.5932847222222, 1.286958333333]]],
    ),
    "solve_triangular, right": (
        [[-0.1083333333333, 0.2666666666667, -0.2], [-0.05, 0.0, 1.0]], [[[0.002083333333333, 0.0,
        0.0], [-0.06666666666667, 0.0, 0.0], [0.55, -0.4333333333333, 0.9533333333333]], [[0.25,
        -0.5], [0.0, 0.4333333333333], [0.475, -0.8583333333333]]], [[[-0.8188098958333, 0.0, 0.0],
        [0.4821111111111, -0.3842222222222, 0.0], [-1.072822916667, 0.8098819444444,
        -3.276820833333]], [[-0.0002604166666667, 0.0005208333333333], [0.01128472222222,
        -0.02256944444444], [-0.5932847222222, 1.286958333333]]],
    ),
    "solve_triangular, ones": (
        [[-1.9, 1.8], [0.9, -0.5], [-0.4, 2.0]], [[[0.0, -1.9, 4.4], [0.0, 0.0, -9.2], [0.0, 0.0,
        0.0]], [[1.0, -2.0], [-1.5, 4.3], [2.45, -5.15]]], [[[0.0, 113.91, -25.5], [0.0, 0.0,
        68.36], [0.0, 0.0, 0.0]], [[0.0, 0.0], [3.8, -7.6], [-38.3, 100.52]]],
    ),
}
# fmt: on


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numbers_are_pytorchs(name):
    fn, arrays, v = FUNCTIONS[name]
    expected, slopes, bends = PYTORCH[name]
    xs = list(map(leaf, arrays))
    y = fn(*xs)
    np.testing.assert_allclose(y.detach(), expected, rtol=1e-12, atol=1e-15)
    found = grad(y, xs, t(v), create_graph=True)
    for g, slope in zip(found, slopes, strict=True):
        np.testing.assert_allclose(g.detach(), slope, rtol=1e-11, atol=1e-14)
    for g, bend in zip(grad(sum((g * g).sum() for g in found), xs), bends, strict=True):
        np.testing.assert_allclose(g, bend, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_stays_float32(name):
    fn, arrays, v = FUNCTIONS[name]
    expected, slopes, _ = PYTORCH[name]
    xs = [leaf(a, float32) for a in arrays]
    y = fn(*xs)
    assert y.dtype == float32
    np.testing.assert_allclose(y.detach(), expected, rtol=1e-5, atol=1e-6)
    for g, slope in zip(grad(y, xs, t(v, float32)), slopes, strict=True):
        assert g.dtype == float32
        np.testing.assert_allclose(g, slope, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- derivatives


def positive(x):
    """x xᵀ + 2, symmetric and positive definite."""
    return x @ ops.transposed(x) + t(2.0 * np.eye(x.shape[-1]))


def dominant(x):
    """x + 3, whose diagonal stays away from 0."""
    return x + t(3.0 * np.eye(x.shape[-1]))


DERIVATIVES = {
    "cholesky": (lambda x: ops.cholesky(positive(x)), "n n"),
    "inv": (lambda x: ops.inv(positive(x)), "n n"),
    "logdet": (lambda x: ops.logdet(positive(x)), "n n"),
    "lower": (lambda a, b: lower(dominant(a), b), "n n, n 2"),
    "upper": (lambda a, b: upper(dominant(a), b), "n n, n 2"),
    "right": (lambda a, b: right(dominant(a), b), "n n, n 2"),
    "ones": (ones, "n n, n 2"),
    "tril": (lambda x: ops.tril(x, -1) + ops.tril(x), "n n"),
    "triu": (lambda x: ops.triu(x, 1) + ops.triu(x), "n n"),
    "diagonal": (ops.diagonal, "n n"),
}


def inputs(sizes, n, batch=(), seed=0):
    """One leaf for every "n n" or "n 2"; the second has one batch axis less, and broadcasts."""
    r = np.random.default_rng(seed)
    shapes = [[n if s == "n" else int(s) for s in part.split()] for part in sizes.split(", ")]
    return [leaf(r.standard_normal((*batch[i:], *s))) for i, s in enumerate(shapes)]


@pytest.mark.parametrize("n, batch", [(1, ()), (2, (3,)), (3, ()), (4, (2, 1))], ids=str)
@pytest.mark.parametrize("fn, sizes", DERIVATIVES.values(), ids=DERIVATIVES)
def test_derivatives_match_differences(fn, sizes, n, batch):
    blind = n == 1 and fn is ones  # the only entry counts as 1
    check_grads(fn, *inputs(sizes, n, batch), order=2, expect_zero=blind)


def test_third_derivative_of_cholesky():
    check_grads(DERIVATIVES["cholesky"][0], *inputs("n n", 2), order=3)


def test_gradient_of_cholesky_is_symmetric():
    """Though only the lower triangle is read: x is symmetric, and so are its changes."""
    x = leaf(A)
    (g,) = grad(ops.cholesky(x).sum(), x)
    np.testing.assert_allclose(g, g.T, rtol=1e-13)
    above = np.array(A)
    above[np.triu_indices(3, 1)] = 7.0
    np.testing.assert_array_equal(ops.cholesky(t(above)), ops.cholesky(t(A)))


def test_a_solution_reads_its_triangle_alone():
    a = np.array(A)
    a[np.triu_indices(3, 1)] = math.nan
    np.testing.assert_array_equal(lower(t(a), t(B)), lower(t(A), t(B)))
    x = leaf(A)
    (g,) = grad(lower(x, t(B)).sum(), x)
    assert np.all(g.numpy()[np.triu_indices(3, 1)] == 0)


@pytest.mark.parametrize("name", ["tril", "triu", "diagonal"])
def test_rule_of_a_linear_map_is_its_adjoint(name):
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩"""
    fn, sizes = DERIVATIVES[name]
    (x,) = inputs(sizes, 4, (2,))
    y = fn(x)
    v = t(np.random.default_rng(1).standard_normal(y.shape))
    (g,) = grad(y, x, v)
    assert (y * v).sum().item() == pytest.approx((x * g).sum().item(), rel=1e-12)


# ---------------------------------------------------------------- what they solve

sizes = st.integers(0, 6)
seeds = st.integers(0, 2**32 - 1)
batches = st.sampled_from([(), (1,), (3,), (0,), (2, 3)])


@given(seeds, sizes, batches)
def test_factor_times_its_transpose_is_the_matrix(seed, n, batch):
    a = np.random.default_rng(seed).standard_normal((*batch, n, n))
    x = t(a @ a.swapaxes(-1, -2) + 0.1 * np.eye(n))
    y = ops.cholesky(x)
    assert y.shape == (*batch, n, n)
    np.testing.assert_array_equal(y, np.tril(y))
    np.testing.assert_allclose(y @ ops.transposed(y), x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ops.logdet(x), 2 * ops.diagonal(y).log().sum(-1), atol=1e-10)
    np.testing.assert_allclose(ops.inv(x) @ x, np.broadcast_to(np.eye(n), x.shape), atol=1e-10)


@given(seeds, sizes, batches, st.integers(0, 3), st.booleans(), st.booleans(), st.booleans())
def test_solution_solves(seed, n, batch, k, upper, left, unitriangular):
    r = np.random.default_rng(seed)
    a, b = r.standard_normal((*batch, n, n)), r.standard_normal((n, k) if left else (k, n))
    along = np.arange(n)
    a[..., along, along] = 1.0 + r.random((*batch, n))
    y = ops.solve_triangular(
        t(a), t(b), upper=upper, left=left, unitriangular=unitriangular
    ).numpy()
    triangle = np.triu(a) if upper else np.tril(a)
    if unitriangular:
        triangle[..., along, along] = 1.0
    found = triangle @ y if left else y @ triangle
    size = np.abs(y).max(initial=1.0)
    np.testing.assert_allclose(found, np.broadcast_to(b, found.shape), atol=1e-12 * size)


def test_determinants_that_have_no_logarithm():
    x = t([[[1.0, 2.0], [2.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]], [[2.0, 0.0], [0.0, 2.0]]])
    np.testing.assert_allclose(ops.logdet(x), [-math.inf, math.nan, math.log(4)])


# ---------------------------------------------------------------- what they refuse

INDEFINITE = [[1.0, 0.0, 0.0], [0.0, 1.0, 2.0], [0.0, 2.0, 1.0]]
REFUSED = {
    "a vector": (lambda: ops.cholesky(t([1.0])), ShapeError,
                 r"cholesky: got shape \(1,\); expected square matrices, \(…, n, n\)"),
    "not square": (lambda: ops.inv(t([[1.0, 2.0]])), ShapeError, r"inv: got shape \(1, 2\)"),
    "integers": (lambda: ops.logdet(t([[1]], np.int64)), DTypeError,
                 r"logdet: got int64; expected a float type. Use .float\(\)"),
    "no diagonal": (lambda: ops.diagonal(t([[1.0, 2.0]])), ShapeError, "diagonal: got shape"),
    "indefinite": (lambda: ops.cholesky(t(INDEFINITE)), ArgumentError,
                   "cholesky: got a matrix whose leading minor of order 3 is not positive"),
    "first minor": (lambda: ops.cholesky(t([[-1.0]])), ArgumentError, "minor of order 1 is not"),
    "which of many": (lambda: ops.cholesky(t([[A, A], [A, INDEFINITE]])), ArgumentError,
                      r"got matrix \(1, 1\) whose leading minor of order 3"),
    "semidefinite": (lambda: ops.cholesky(t([[1.0, 1.0], [1.0, 1.0]])), ArgumentError,
                     "order 2 is not positive.*Add a small multiple of the identity"),
    "NaN": (lambda: ops.cholesky(t([[1.0, 0.0], [math.nan, 1.0]])), ArgumentError, "got NaN or ∞"),
    "singular": (lambda: ops.inv(t([[1.0, 2.0], [2.0, 4.0]])), ArgumentError,
                 r"inv: got a singular matrix, in shape \(2, 2\)"),
    "zero": (lambda: upper(t([[1.0, 2.0], [0.0, 0.0]]), t([[1.0], [1.0]])), ArgumentError,
             r"solve_triangular: a: got a zero at \(1,\) on the diagonal"),
    "rows": (lambda: lower(t(A), t([[1.0], [2.0]])), ShapeError,
             r"b: got shape \(2, 1\); expected \(…, 3, k\) for a \(3, 3\)"),
    "columns": (lambda: ops.solve_triangular(t(A), t(B), upper=True, left=False), ShapeError,
                r"b: got shape \(3, 2\); expected \(…, k, 3\)"),
    "a vector b": (lambda: lower(t(A), t([1.0, 2.0, 3.0])), ShapeError, r"got shape \(3,\)"),
    "batches": (lambda: lower(t([A, A]), t([B, B, B])), ShapeError,
                r"solve_triangular: shapes do not broadcast: got \(2,\) and \(3,\)"),
    "types": (lambda: lower(t(A), t(B, float32)), DTypeError,
              "solve_triangular: got float64 and float32; expected one type"),
}  # fmt: skip


@pytest.mark.parametrize("make, error, message", REFUSED.values(), ids=REFUSED)
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
