"""Functions that move entries, add them up or multiply matrices of them."""

import math

import numpy as np

from minigrad.backend import to_device
from minigrad.creation import tensor
from minigrad.ops import linear, shape
from minigrad.samples.pointwise import MASK
from minigrad.samples.row import Row, distinct, nonzero
from minigrad.tensor import Tensor


def _logsumexp(x, axis, keepdims=False):
    with np.errstate(divide="ignore"):  # of nothing it is -∞
        return np.log(np.exp(x).sum(axis, keepdims=keepdims))


def _cells(x):
    """What the index below picks, cell by cell."""
    return np.array([[x[i, j] for j in (0, 2, 2)] for i in (1, 1, 0)])


def _scattered(x):
    y = np.zeros((3, 4))
    for row, i in zip(x, (2, 0, 2), strict=True):
        y[i] += row
    return y


_places = np.array([[1, 1], [0, 3], [2, 1]])
_rows = np.array([2, 0, 2])
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
    Row("move", lambda x: shape.move(x, device=x.device), ((3, 4),), np.copy, linear=True),
    Row("getitem, slices", lambda x: x[1:, None, ..., ::-2], ((3, 2, 5),),
        lambda x: x[1:, None, :, ::-2], linear=True),
    Row("getitem, repeated", lambda x: x[_index], ((2, 4),), _cells, linear=True),
    Row("getitem, mask", lambda x: x[tensor(MASK, device=x.device)], ((3, 4),),
        lambda x: x[MASK], linear=True),
    Row("getitem, one entry", lambda x: x[1, -1], ((2, 4),), lambda x: x[1, 3], linear=True),
    Row("getitem, gather", lambda x: x.gather(1, tensor(_places, device=x.device)), ((3, 4),),
        lambda x: np.take_along_axis(x, _places, 1), linear=True),
    Row("getitem, unbind", lambda x: x.unbind(1)[-1] - x.unbind(1)[0], ((3, 2, 4),),
        lambda x: x[:, 1] - x[:, 0], linear=True),
    Row("scatter_add",
        lambda x: shape.scatter_add(x, index=to_device(_rows, x.device), shape=(3, 4)),
        ((3, 4),), _scattered, linear=True, never_empty="its index names three entries"),
    Row("split", lambda x: shape.cat(x.split((1, 3), 1)[::-1], 1), ((2, 4),),
        lambda x: np.roll(x, -1, 1), linear=True),
    Row("chunk", lambda x: shape.cat(x.chunk(3)[::-1]), ((5, 2),),
        lambda x: x[[4, 2, 3, 0, 1]], linear=True),
    Row("cat", lambda *xs: shape.cat(xs, 1), ((2, 3), (2, 1), (2, 2)),
        lambda *xs: np.concatenate(xs, 1), linear=True),
    Row("stack", lambda *xs: shape.stack(xs, -1), ((2, 3), (2, 3)),
        lambda *xs: np.stack(xs, -1), linear=True),
    Row("pad", lambda x: shape.pad(x, widths=((0, 0), (1, 2))), ((2, 3),),
        lambda x: np.concatenate([np.zeros((2, 1)), x, np.zeros((2, 2))], 1), linear=True),
    Row("pad with a value", lambda x: shape.pad(x, widths=((0, 1),), value=2.5), ((3,),),
        lambda x: np.append(x, 2.5)),
    Row("crop", lambda x: shape.crop(x, widths=((1, 0), (0, 2))), ((3, 4),),
        lambda x: x[1:, :2], linear=True, never_empty="nothing can be cut off nothing"),
]  # fmt: skip

REDUCTIONS = [
    Row("sum", Tensor.sum, ((3, 4),), np.sum, linear=True),
    Row("sum over rows", lambda x: x.sum(0), ((20, 4),), lambda x: x.sum(0), linear=True),
    Row("sum over two axes", lambda x: x.sum((0, -1), keepdim=True), ((2, 3, 4),),
        lambda x: x.sum((0, 2), keepdims=True), linear=True),
    Row("mean", Tensor.mean, ((3, 4),), np.mean, linear=True),
    Row("mean over an axis", lambda x: x.mean(1, keepdim=True), ((3, 4),),
        lambda x: x.mean(1, keepdims=True), linear=True),
    Row("cumsum", lambda x: x.cumsum(1), ((2, 4, 2),), lambda x: x.cumsum(1), linear=True),
    Row("var", Tensor.var, ((3, 4),), lambda x: x.var(ddof=1)),
    Row("var over axes", lambda x: x.var((0, 2), correction=0, keepdim=True), ((2, 3, 4),),
        lambda x: x.var((0, 2), keepdims=True)),
    Row("std", Tensor.std, ((3, 4),), lambda x: x.std(ddof=1)),
    Row("std over an axis", lambda x: x.std(1, unbiased=False), ((3, 4),), lambda x: x.std(1)),
    Row("norm", Tensor.norm, ((3, 4),), lambda x: np.sqrt((x * x).sum())),
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
    Row("max", Tensor.max, ((3, 4),), np.max, distinct),
    Row("min", Tensor.min, ((3, 4),), np.min, distinct),
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
    Row("matmul with a constant", lambda a: a @ tensor(_weight).to(a), ((2, 4),),
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
