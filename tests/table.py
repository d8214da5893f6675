"""One table of every primitive: a function of tensors, inputs for it, and what NumPy says it is.

Inputs are drawn away from kinks and singularities, where a difference quotient means something;
what happens at them is tested apart. The table is run through by tests/ops/test_table.py.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor, tensor
from minigrad.ops import (
    arithmetic,
    decomposition,
    elementwise,
    linear,
    reduction,
    resize,
    sampling,
    shape,
    window,
)
from minigrad.ops.conv.geometry import ConvGeometry

Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator, Shape], np.ndarray]


def normal(generator, shape):
    return generator.standard_normal(shape)


def nonzero(generator, shape):
    """Of both signs, at least 0.2 from 0."""
    x = generator.standard_normal(shape)
    return np.where(x < 0, x - 0.2, x + 0.2)


def positive(generator, shape):
    return generator.uniform(0.5, 2.0, shape)


def distinct(generator, shape):
    """No two entries closer than 0.1, so that it is clear which one is largest."""
    n = math.prod(shape)
    return (0.3 * (generator.permutation(n) - n / 2 + 0.5 * generator.random(n))).reshape(shape)


def apart(generator, shape):
    """At least 0.1 from -1, 0 and 1."""
    x = generator.uniform(0.1, 0.9, shape)
    return x + generator.integers(-2, 2, shape)


class Row(NamedTuple):
    """A function, the shapes of its inputs, and the same function in NumPy.

    Its name begins with that of the primitive which is meant.
    """

    name: str
    fn: Callable[..., Tensor]
    shapes: tuple[Shape, ...]
    reference: Callable[..., Any]
    draw: Draw = normal
    pointwise: bool = False  # takes tensors of any one shape
    linear: bool = False  # fn(a x + b y) = a fn(x) + b fn(y), all inputs together
    slopeless: bool = False  # its derivative is 0
    order: int = 2  # up to which its derivatives are checked: 3 if the second has rules of its own

    def arrays(self, seed: int = 0) -> list[np.ndarray]:
        generator = np.random.default_rng(seed)
        return [self.draw(generator, shape) for shape in self.shapes]

    def inputs(self, seed: int = 0, dtype: Any = np.float64) -> list[Tensor]:
        return leaves(self.arrays(seed), dtype)


def leaves(arrays: list[np.ndarray], dtype: Any = np.float64) -> list[Tensor]:
    """Tensors to be differentiated by, with the memory layout of the arrays."""
    return [Tensor(x.astype(dtype, copy=False), requires_grad=True) for x in arrays]


def _of_one(name: str, fn: Callable, reference: Callable, draw: Draw = normal, **options) -> Row:
    return Row(name, fn, ((3, 4),), reference, draw, pointwise=True, **options)


def _of_two(name: str, fn: Callable, reference: Callable, draw: Draw = normal, **options) -> Row:
    return Row(name, fn, ((3, 4), (3, 4)), reference, draw, pointwise=True, **options)


# ---------------------------------------------------------------- entry by entry

_sigmoid = lambda x: 1.0 / (1.0 + np.exp(-x))
_erf = np.vectorize(math.erf, otypes=[float])
_mask = np.array([[True, False, False, True], [False] * 4, [True, True, False, True]])
_tanh_gelu = lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

ARITHMETIC = [
    _of_two("add", lambda a, b: a + b, np.add, linear=True),
    _of_one("add a number", lambda a: 2.0 + a + 1, lambda a: a + 3),
    _of_two("subtract", lambda a, b: a - b, np.subtract, linear=True),
    _of_one("subtract from a number", lambda a: 2 - a, lambda a: 2 - a),
    _of_two("multiply", lambda a, b: a * b, np.multiply),
    _of_one("multiply by a number", lambda a: 3 * a * -0.5, lambda a: -1.5 * a, linear=True),
    _of_two("divide", lambda a, b: a / b, np.divide, nonzero),
    _of_one("divide a number", lambda a: 2.0 / a, lambda a: 2.0 / a, nonzero),
    _of_one("divide by a number", lambda a: a / 4, lambda a: a / 4, linear=True),
    _of_one("negative", lambda a: -a, np.negative, linear=True),
    _of_two("divide_or_zero", arithmetic.divide_or_zero, np.divide, nonzero),
    _of_two("power", lambda a, b: a**b, np.power, positive),
    _of_one("power 3", lambda a: a**3, lambda a: a * a * a, nonzero),
    _of_one("power -2", lambda a: a**-2.0, lambda a: 1 / (a * a), nonzero),
    _of_one("power ½", lambda a: a**0.5, np.sqrt, positive),
    _of_one("power of a number", lambda b: 2.0**b, np.exp2),
    _of_two("maximum", mg.Tensor.maximum, np.maximum),
    _of_two("minimum", mg.Tensor.minimum, np.minimum),
    _of_one("maximum with a number", lambda a: mg.maximum(a, 0.0), lambda a: a * (a > 0), nonzero),
    _of_one("minimum with a number", lambda a: mg.minimum(0, a), lambda a: a * (a < 0), nonzero),
    Row("where", lambda a, b: mg.where(tensor(_mask), a, b), ((3, 4), (3, 4)),
        lambda a, b: np.where(_mask, a, b), linear=True),
    Row("where, spread", lambda a, b: mg.where(tensor(_mask), a, b), ((1, 4), (3, 1)),
        lambda a, b: np.where(_mask, a, b), linear=True),
    Row("where, a number", lambda a: mg.where(tensor(_mask), 2.0, a) + a.where(tensor(_mask), 1),
        ((3, 4),), lambda a: np.where(_mask, 2.0, a) + np.where(_mask, a, 1.0)),
]  # fmt: skip

ELEMENTWISE = [
    _of_one("exp", mg.Tensor.exp, np.exp),
    _of_one("expm1", mg.Tensor.expm1, np.expm1),
    _of_one("log", mg.Tensor.log, np.log, positive),
    _of_one("log1p", mg.Tensor.log1p, np.log1p, positive),
    _of_one("sqrt", mg.Tensor.sqrt, np.sqrt, positive),
    _of_one("sqrt_or_zero", reduction.sqrt_or_zero, np.sqrt, positive),
    _of_one("square", mg.Tensor.square, np.square),
    _of_one("reciprocal", mg.Tensor.reciprocal, np.reciprocal, nonzero),
    _of_one("sign", mg.Tensor.sign, np.sign, nonzero, slopeless=True),
    _of_one("abs", mg.Tensor.abs, np.abs, nonzero),
    _of_one("sin", mg.Tensor.sin, np.sin),
    _of_one("cos", mg.Tensor.cos, np.cos),
    _of_one("clamp", lambda x: x.clamp(-1.0, 1.0), lambda x: np.clip(x, -1, 1), apart),
    _of_one("clamp from below", lambda x: x.clamp(min=0), lambda x: np.maximum(x, 0), apart),
    _of_one("clamp from above", lambda x: x.clamp(max=1), lambda x: np.minimum(x, 1), apart),
    _of_one("tanh", mg.Tensor.tanh, np.tanh, order=3),
    _of_one("sigmoid", mg.Tensor.sigmoid, _sigmoid, order=3),
    _of_one("logsigmoid", elementwise.logsigmoid, lambda x: np.log(_sigmoid(x))),
    _of_one("softplus", elementwise.softplus, lambda x: np.log(1.0 + np.exp(x))),
    _of_one("silu", elementwise.silu, lambda x: x * _sigmoid(x)),
    _of_one("relu", mg.Tensor.relu, lambda x: x * (x > 0), nonzero, order=3),
    _of_one("leaky_relu", elementwise.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x), nonzero),
    _of_one("leaky_relu 0.2", lambda x: elementwise.leaky_relu(x, 0.2),
            lambda x: np.where(x > 0, x, 0.2 * x), nonzero),
    _of_one("elu", elementwise.elu, lambda x: np.where(x > 0, x, np.exp(x) - 1), nonzero),
    _of_one("elu 0.5", lambda x: elementwise.elu(x, alpha=0.5),
            lambda x: np.where(x > 0, x, 0.5 * (np.exp(x) - 1)), nonzero),
    _of_one("erf", mg.Tensor.erf, _erf),
    _of_one("gelu", elementwise.gelu, lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2)))),
    _of_one("gelu tanh", lambda x: elementwise.gelu(x, approximate="tanh"), _tanh_gelu),
    _of_one("clone", mg.Tensor.clone, np.copy, linear=True),
    _of_one("cast", lambda x: shape.cast(x, dtype=x.dtype), np.copy, linear=True),
    Row("reparameterize", sampling.reparameterize, ((4,), (3, 1), (2, 3, 4)),
        lambda mean, std, eps: mean + std * eps),
]  # fmt: skip

# ---------------------------------------------------------------- shapes and sums


def _broadcast(name: str, *shapes: Shape) -> list[Row]:
    """Every operation of two tensors, on tensors that are spread over one another."""
    of_two = [row for row in ARITHMETIC if row.pointwise and len(row.shapes) == 2]
    return [row._replace(name=f"{row.name}, {name}", shapes=shapes) for row in of_two]


BROADCAST = [
    *_broadcast("a vector to rows", (3, 4), (4,)),
    *_broadcast("a column and a row", (3, 1), (1, 4)),
    *_broadcast("a scalar", (), (2, 3)),
    *_broadcast("three axes and two", (2, 1, 3), (4, 1)),
]


def _logsumexp(x, axis, keepdims=False):
    return np.log(np.exp(x).sum(axis, keepdims=keepdims))


def _cells(x):
    """What the index below picks, cell by cell."""
    return np.array([[x[i, j] for j in (0, 2, 2)] for i in (1, 1, 0)])


def _scattered(x):
    y = np.zeros((3, 4))
    for row, i in zip(x, (2, 0, 2), strict=True):
        y[i] += row
    return y


_index = np.array([[1], [1], [0]]), np.array([0, 2, 2])

SHAPES = [
    Row("broadcast_to", lambda x: x.expand(2, 3, 4), ((3, 1),),
        lambda x: x * np.ones((2, 3, 4)), linear=True, order=3),
    Row("sum_to", lambda x: shape.sum_to(x, shape=(3, 1)), ((2, 3, 4),),
        lambda x: x.sum((0, 2))[:, None], linear=True),
    Row("reshape", lambda x: x.reshape(4, -1), ((2, 3, 2),),
        lambda x: x.reshape(4, 3), linear=True),
    Row("permute", lambda x: x.permute(2, 0, 1), ((2, 3, 4),),
        lambda x: np.moveaxis(x, 2, 0), linear=True),
    Row("transpose", lambda x: x.transpose(0, -1), ((2, 3, 4),),
        lambda x: x.swapaxes(0, 2), linear=True),
    Row("flip", lambda x: x.flip(0, 2), ((2, 3, 4),), lambda x: x[::-1, :, ::-1], linear=True),
    Row("move", lambda x: shape.move(x, device="cpu"), ((3, 4),), np.copy, linear=True),
    Row("getitem, slices", lambda x: x[1:, None, ..., ::-2], ((3, 2, 5),),
        lambda x: x[1:, None, :, ::-2], linear=True),
    Row("getitem, repeated", lambda x: x[_index], ((2, 4),), _cells, linear=True),
    Row("getitem, mask", lambda x: x[tensor(_mask)], ((3, 4),), lambda x: x[_mask], linear=True),
    Row("getitem, one entry", lambda x: x[1, -1], ((2, 4),), lambda x: x[1, 3], linear=True),
    Row("scatter_add", lambda x: shape.scatter_add(x, index=np.array([2, 0, 2]), shape=(3, 4)),
        ((3, 4),), _scattered, linear=True),
    Row("split", lambda x: mg.cat(x.split((1, 3), 1)[::-1], 1), ((2, 4),),
        lambda x: np.roll(x, -1, 1), linear=True),
    Row("chunk", lambda x: mg.cat(x.chunk(3)[::-1]), ((5, 2),),
        lambda x: x[[4, 2, 3, 0, 1]], linear=True),
    Row("cat", lambda *xs: mg.cat(xs, 1), ((2, 3), (2, 1), (2, 2)),
        lambda *xs: np.concatenate(xs, 1), linear=True),
    Row("stack", lambda *xs: mg.stack(xs, -1), ((2, 3), (2, 3)),
        lambda *xs: np.stack(xs, -1), linear=True),
    Row("pad", lambda x: shape.pad(x, widths=((0, 0), (1, 2))), ((2, 3),),
        lambda x: np.concatenate([np.zeros((2, 1)), x, np.zeros((2, 2))], 1), linear=True),
    Row("pad with a value", lambda x: shape.pad(x, widths=((0, 1),), value=2.5), ((3,),),
        lambda x: np.append(x, 2.5)),
    Row("crop", lambda x: shape.crop(x, widths=((1, 0), (0, 2))), ((3, 4),),
        lambda x: x[1:, :2], linear=True),
]  # fmt: skip

REDUCTIONS = [
    Row("sum", mg.Tensor.sum, ((3, 4),), np.sum, linear=True),
    Row("sum over rows", lambda x: x.sum(0), ((20, 4),), lambda x: x.sum(0), linear=True),
    Row("sum over two axes", lambda x: x.sum((0, -1), keepdim=True), ((2, 3, 4),),
        lambda x: x.sum((0, 2), keepdims=True), linear=True),
    Row("mean", mg.Tensor.mean, ((3, 4),), np.mean, linear=True),
    Row("mean over an axis", lambda x: x.mean(1, keepdim=True), ((3, 4),),
        lambda x: x.mean(1, keepdims=True), linear=True),
    Row("cumsum", lambda x: x.cumsum(1), ((2, 4, 2),), lambda x: x.cumsum(1), linear=True),
    Row("var", mg.Tensor.var, ((3, 4),), lambda x: x.var(ddof=1)),
    Row("var over axes", lambda x: x.var((0, 2), correction=0, keepdim=True), ((2, 3, 4),),
        lambda x: x.var((0, 2), keepdims=True)),
    Row("std", mg.Tensor.std, ((3, 4),), lambda x: x.std(ddof=1)),
    Row("std over an axis", lambda x: x.std(1, unbiased=False), ((3, 4),), lambda x: x.std(1)),
    Row("norm", mg.Tensor.norm, ((3, 4),), lambda x: np.sqrt((x * x).sum())),
    Row("norm over an axis", lambda x: x.norm(dim=1, keepdim=True), ((3, 4),),
        lambda x: np.sqrt((x * x).sum(1, keepdims=True))),
    Row("norm 1", lambda x: x.norm(1, dim=0), ((3, 4),), lambda x: np.abs(x).sum(0), nonzero),
    Row("norm 3", lambda x: x.norm(3, dim=0), ((3, 4),),
        lambda x: (np.abs(x) ** 3).sum(0) ** (1 / 3), nonzero),
    Row("norm ∞", lambda x: x.norm(math.inf), ((3, 4),), lambda x: np.abs(x).max()),
    Row("norm -∞", lambda x: x.norm(-math.inf, dim=1), ((3, 4),), lambda x: np.abs(x).min(1)),
    Row("amax", lambda x: x.amax((0, 2)), ((2, 3, 2),), lambda x: x.max((0, 2)), distinct),
    Row("amin", lambda x: x.amin(0, keepdim=True), ((3, 4),),
        lambda x: x.min(0, keepdims=True), distinct),
    Row("max", mg.Tensor.max, ((3, 4),), np.max, distinct),
    Row("min", mg.Tensor.min, ((3, 4),), np.min, distinct),
    Row("max over an axis", lambda x: x.max(1, keepdim=True).values, ((2, 3, 2),),
        lambda x: x.max(1, keepdims=True), distinct),
    Row("min over an axis", lambda x: x.min(-1).values, ((2, 3, 2),),
        lambda x: x.min(-1), distinct),
    Row("logsumexp", lambda x: x.logsumexp(1), ((3, 4),), lambda x: _logsumexp(x, 1)),
    Row("logsumexp over axes", lambda x: x.logsumexp((0, 2), keepdim=True), ((2, 3, 2),),
        lambda x: _logsumexp(x, (0, 2), True)),
    Row("softmax", lambda x: x.softmax(0), ((3, 4),), lambda x: np.exp(x) / np.exp(x).sum(0)),
    Row("log_softmax", lambda x: x.log_softmax(-1), ((3, 4),),
        lambda x: x - _logsumexp(x, 1, True)),
]  # fmt: skip

# ---------------------------------------------------------------- products

_weight = np.random.default_rng(7).standard_normal((4, 3))

PRODUCTS = [
    Row("matmul", lambda a, b: a @ b, ((2, 3), (3, 4)), lambda a, b: np.einsum("ij,jk->ik", a, b)),
    Row("matmul with a constant", lambda a: a @ tensor(_weight).to(a.dtype), ((2, 4),),
        lambda a: np.einsum("ij,jk->ik", a, _weight), linear=True),
    Row("matmul, batches", lambda a, b: a @ b, ((2, 1, 3, 2), (4, 2, 3)),
        lambda a, b: np.einsum("aoij,bjk->abik", a, b)),
    Row("matmul, two vectors", lambda a, b: a @ b, ((3,), (3,)), np.dot),
    Row("matmul, vector first", lambda a, b: a @ b, ((3,), (2, 3, 4)),
        lambda a, b: np.einsum("j,bjk->bk", a, b)),
    Row("matmul, vector last", lambda a, b: a @ b, ((2, 3, 4), (4,)),
        lambda a, b: np.einsum("bij,j->bi", a, b)),
    Row("linear", linear.linear, ((3, 4), (2, 4), (2,)),
        lambda x, w, b: np.einsum("ni,oi->no", x, w) + b),
    Row("linear, no bias", linear.linear, ((3, 4), (2, 4)),
        lambda x, w: np.einsum("ni,oi->no", x, w)),
    Row("linear, a vector", linear.linear, ((4,), (2, 4), (2,)), lambda x, w, b: w @ x + b),
    Row("linear, more axes", linear.linear, ((2, 3, 4), (2, 4), (2,)),
        lambda x, w, b: np.einsum("abi,oi->abo", x, w) + b),
    Row("linear_composed", linear.linear_composed, ((3, 4), (2, 4), (2,)),
        lambda x, w, b: np.einsum("ni,oi->no", x, w) + b),
]  # fmt: skip

# ---------------------------------------------------------------- windows, other sizes

_size = dict(geometry=ConvGeometry.direct((5, 4), (3, 2), (2, 1), (1, 0), (1, 2)))
_winners = np.array([0, 3, 1, 0, 4, 5], np.uint8).reshape(1, 1, 3, 2)


def _windows(x, blank=0.0):
    """The windows of x (1, 1, 5, 4) by elements, (6, 3, 2): what is in them, else `blank`."""
    framed = np.pad(x[0, 0], ((1, 1), (0, 0)), constant_values=blank)
    return np.array([framed[h : h + 3, w : w + 3 : 2] for h in (0, 2, 4) for w in (0, 1)])


def _put_back(columns):
    """The transpose of _windows."""
    x = np.zeros((7, 4))
    for (h, w), column in zip(np.ndindex(3, 2), columns, strict=True):
        x[2 * h : 2 * h + 3, w : w + 3 : 2] += column
    return x[None, None, 1:6]


def _placed(y):
    columns = np.zeros((6, 6))
    columns[range(6), _winners.ravel()] = y.ravel()
    return _put_back(columns.reshape(6, 3, 2))


_rows, _columns = np.random.default_rng(6).standard_normal((2, 2, 3))

IMAGES = [
    Row("max_pool", lambda x: window.max_pool(x, **_size), ((1, 1, 5, 4),),
        lambda x: _windows(x, -np.inf).max((1, 2)).reshape(1, 1, 3, 2), distinct),
    Row("pick", lambda x: window.pick(x, winners=_winners, **_size), ((1, 1, 5, 4),),
        lambda x: _windows(x).reshape(6, 6)[range(6), _winners.ravel()].reshape(1, 1, 3, 2),
        linear=True),
    Row("place", lambda y: window.place(y, winners=_winners, **_size), ((1, 1, 3, 2),),
        _placed, linear=True),
    Row("add_up", lambda x: window.add_up(x, **_size), ((1, 1, 5, 4),),
        lambda x: _windows(x).sum((1, 2)).reshape(1, 1, 3, 2), linear=True),
    Row("spread", lambda y: window.spread(y, **_size), ((1, 1, 3, 2),),
        lambda y: _put_back(y.reshape(6, 1, 1)), linear=True),
    Row("unfold", lambda x: window.unfold(x, **_size), ((1, 1, 5, 4),),
        lambda x: _windows(x).reshape(1, 6, 6).swapaxes(1, 2), linear=True),
    Row("fold", lambda y: window.fold(y, **_size), ((1, 6, 6),),
        lambda y: _put_back(y[0].T.reshape(6, 3, 2)), linear=True),
    Row("resample", lambda x: resize.resample(x, rows=_rows, columns=_columns), ((2, 2, 3, 3),),
        lambda x: np.einsum("oh,pw,nchw->ncop", _rows, _columns, x), linear=True),
    Row("take", lambda x: resize.take(x, rows=np.array([0, 1, 1]), columns=np.array([2, 0])),
        ((2, 2, 3, 3),), lambda x: x[:, :, [[0], [1], [1]], [2, 0]], linear=True),
]  # fmt: skip

# ---------------------------------------------------------------- matrices taken apart


def _positive(x):
    """x xᵀ + 2, symmetric and positive definite, of a tensor or an array."""
    two = 2.0 * np.eye(3)
    return x @ x.T + (tensor(two).to(x.dtype) if isinstance(x, Tensor) else two)


def _dominant(x):
    """x + 5, whose diagonal is away from 0 and outweighs the rest."""
    five = 5.0 * np.eye(3)
    return x + (tensor(five).to(x.dtype) if isinstance(x, Tensor) else five)


def _factor(x):
    """The Cholesky factor, entry by entry."""
    y = np.zeros_like(x)
    for i, j in np.ndindex(x.shape):
        rest = x[i, j] - y[i] @ y[j]
        y[i, j] = 0.0 if i < j else math.sqrt(rest) if i == j else rest / y[j, j]
    return y


DECOMPOSITIONS = [
    Row("cholesky", lambda x: decomposition.cholesky(_positive(x)), ((3, 3),),
        lambda x: _factor(_positive(x))),
    Row("inv", lambda x: decomposition.inv(_positive(x)), ((3, 3),),
        lambda x: np.linalg.inv(_positive(x))),
    Row("logdet", lambda x: decomposition.logdet(_positive(x)), ((3, 3),),
        lambda x: np.log(np.linalg.det(_positive(x)))),
    Row("solve_triangular, lower",
        lambda a, b: decomposition.solve_triangular(_dominant(a), b, upper=False),
        ((3, 3), (3, 2)), lambda a, b: np.linalg.inv(np.tril(_dominant(a))) @ b),
    Row("solve_triangular, upper",
        lambda a, b: decomposition.solve_triangular(_dominant(a), b, upper=True),
        ((3, 3), (3, 2)), lambda a, b: np.linalg.inv(np.triu(_dominant(a))) @ b),
    Row("tril", lambda x: decomposition.tril(x, -1), ((2, 3, 4),),
        lambda x: np.tril(x, -1), linear=True),
    Row("triu", lambda x: decomposition.triu(x), ((2, 3, 4),), np.triu, linear=True),
]  # fmt: skip

ROWS = [
    *ARITHMETIC, *ELEMENTWISE, *BROADCAST, *SHAPES, *REDUCTIONS, *PRODUCTS, *IMAGES,
    *DECOMPOSITIONS,
]  # fmt: skip
