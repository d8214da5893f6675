"""What is asked of every row of the table, one function for one question.

Each answers with the largest error that it saw, relative to the largest entry; raises
AssertionError if that is too large, and `Inapplicable` where its question makes no sense. The tests
ask them of every row, and so does the report card.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minigrad.engine import grad
from minigrad.errors import ArgumentError, ShapeError
from minigrad.gradcheck import GradcheckError, Report, check_grads
from minigrad.samples.kinds import variant
from minigrad.samples.row import Inapplicable, Row, Shape, leaves
from minigrad.tensor import Tensor


def cotangent(y: Tensor, seed: int = 9) -> Tensor:
    """A gradient to start from, drawn from N(0, 1)."""
    return Tensor(np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype))


def gradients(row: Row, xs: list[Tensor]) -> list[np.ndarray]:
    """The gradient of ⟨cotangent, fn(xs)⟩ in each of the xs."""
    y = row.fn(*xs)
    if not y.requires_grad:
        return [np.zeros(x.shape, x.dtype) for x in xs]
    return [g.array for g in grad(y, xs, cotangent(y))]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """max |a - b| / max |b|; 0 if they are empty, or the same infinities."""
    largest = float(np.abs(b).max(initial=0.0))
    with np.errstate(invalid="ignore"):  # ∞ - ∞
        apart = np.where(a == b, 0.0, np.abs(a - b))
    return float(apart.max(initial=0.0)) / (largest or 1.0)


def _equal(a: object, b: object, what: str) -> None:
    if a != b:
        raise AssertionError(f"{what}: got {a}; expected {b}")


# ---------------------------------------------------------------- values and derivatives


def value(row: Row, seed: int = 0) -> float:
    """fn(x) is what NumPy says, to 1e-13."""
    y = row.fn(*row.inputs(seed))
    expected = np.asarray(row.reference(*row.arrays(seed)))
    _equal((y.shape, y.dtype), (expected.shape, np.dtype(np.float64)), "the output")
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-13, atol=1e-14)
    return distance(y.detach().numpy(), expected)


def derivatives(row: Row, order: int, seed: int = 0) -> float:
    """Its derivatives up to this order match differences, at a draw away from its kinks."""
    if order > row.order:
        raise Inapplicable(f"not asked beyond order {row.order}: rules met there have rows")
    return check_grads(
        row.fn, *row.inputs(seed), seed=seed, order=order,
        expect_zero=row.slopeless, linear=row.linear,
    ).error  # fmt: skip


def accuse(row: Row, kind: str, seed: int) -> Report:
    """What the checker says of inputs of that kind, a key of `kinds.KINDS`.

    The verdict is "refused" where the output is not finite, or outside the domain.
    """
    fn, xs = variant(row, kind, seed)
    order = 1 if seed % 4 else min(row.order, 2)
    known = row.slopeless or kind != "ordinary"
    try:
        return check_grads(fn, *xs, seed=seed, order=order, expect_zero=known)
    except GradcheckError as error:
        return error.report
    except ArgumentError as error:
        return Report("refused", 0.0, str(error))


class Kinks(NamedTuple):
    """How the draws on ties and kinks, and beside them, went: so many of each verdict."""

    smooth: int
    kinks: int  # the rule lies between the slopes to either side
    undecided: int
    refused: int


def kinks(row: Row, draws: int = 3) -> Kinks:
    """On and beside ties and kinks the rule answers a slope between those to either side."""
    if row.linear:
        raise Inapplicable("a linear map has none")
    seeds = range(1, draws + 1)
    reports = [accuse(row, kind, s) for kind in ("on kinks", "beside kinks") for s in seeds]
    for report in reports:
        if report.verdict == "FAIL":
            raise AssertionError(report.message)
    verdicts = [report.verdict for report in reports]
    count = lambda *names: sum(verdicts.count(name) for name in names)
    found = Kinks(count("PASS"), count("KINK"), count("NOISY", "VACUOUS"), count("refused"))
    if not found.smooth + found.kinks:
        outside = found.refused > found.undecided
        raise Inapplicable(
            "whole numbers lie outside its domain" if outside else "differences cannot tell there"
        )
    return found


# ---------------------------------------------------------------- spread over one another


def spread(row: Row, variants: list[Row]) -> float:
    """Inputs of unlike shapes are spread over one another, and their gradients summed back.

    `variants` are the rows of the same function on such shapes; without any, the row's own inputs
    must be such.
    """
    if not variants:
        try:
            together = np.broadcast_shapes(*row.shapes)
        except ValueError:
            together = None
        if len(set(row.shapes)) < 2 or row.fn(*row.inputs()).shape != together:
            raise Inapplicable("it takes no inputs of unlike shapes to spread entry by entry")
        variants = [row]
    for other in variants:
        float32(other)
        for layout in LAYOUTS.values():
            laid_out(other, layout)
    return max(max(value(v), derivatives(v, v.order)) for v in variants)


# ---------------------------------------------------------------- element types


def float32(row: Row) -> float:
    """float32 stays float32, forward and backward, and is right to 1e-5 and 1e-4."""
    xs = row.inputs(dtype=np.float32)
    y = row.fn(*xs)
    _equal(y.dtype, np.dtype(np.float32), "the output")
    expected = row.reference(*row.arrays())
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    error = distance(y.detach().numpy(), np.asarray(expected))
    for g, exact in zip(gradients(row, xs), gradients(row, row.inputs()), strict=True):
        _equal(g.dtype, np.dtype(np.float32), "a gradient")
        np.testing.assert_allclose(g, exact, rtol=1e-4, atol=1e-5)
        error = max(error, distance(g, exact))
    return error


def float32_twice(row: Row) -> None:
    """So do the gradients of its gradients."""
    if row.slopeless:
        raise Inapplicable("its derivative is 0")
    xs = row.inputs(dtype=np.float32)
    y = row.fn(*xs)
    v = cotangent(y).requires_grad_()
    first = [g for g in grad(y, xs, v, create_graph=True) if g.requires_grad]
    second = grad(first, [*xs, v], list(map(cotangent, first)), allow_unused=True)
    types = {g.dtype for g in [*first, *second] if g is not None}
    _equal(types, {np.dtype(np.float32)}, "the gradients")


# ---------------------------------------------------------------- memory


def transposed(x: np.ndarray) -> np.ndarray:
    """Column by column"""
    return np.asfortranarray(x)


def backwards(x: np.ndarray) -> np.ndarray:
    """From the last entry to the first"""
    return np.flip(x).copy()[(slice(None, None, -1),) * x.ndim]


def every_other(x: np.ndarray) -> np.ndarray:
    """With a NaN between any two entries"""
    wide = np.full([2 * n for n in x.shape], np.nan)
    wide[(slice(None, None, 2),) * x.ndim] = x
    return wide[(slice(None, None, 2),) * x.ndim]


def repeated(x: np.ndarray) -> np.ndarray:
    """The first entry along the last axis, repeated without memory of its own"""
    return np.broadcast_to(x[..., :1], x.shape) if x.ndim else x


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    layout.__name__: layout for layout in (transposed, backwards, every_other, repeated)
}


def laid_out(row: Row, layout: Callable[[np.ndarray], np.ndarray]) -> float:
    """How its inputs lie in memory makes no difference to value and gradients."""
    arrays = [layout(x) for x in row.arrays()]
    laid, plain = leaves(arrays), leaves([np.array(x, order="C") for x in arrays])
    _equal([x.array.strides for x in laid], [x.strides for x in arrays], "the strides")
    y, expected = row.fn(*laid).array, row.fn(*plain).array
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    error = distance(y, expected)
    for g, e in zip(gradients(row, laid), gradients(row, plain), strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-12, atol=1e-13)
        error = max(error, distance(g, e))
    return error


# ---------------------------------------------------------------- sizes

SIZES: tuple[Shape, ...] = ((), (1,), (0,), (0, 3), (2, 0), (1, 1, 1))


def sized(row: Row, size: Shape) -> float:
    """A function entry by entry takes tensors of any size, and so do its gradients."""
    if not row.pointwise:
        raise Inapplicable("it does not work entry by entry")
    row = row._replace(shapes=(size,) * len(row.shapes))
    xs = row.inputs()
    y, expected = row.fn(*xs), row.reference(*row.arrays())
    _equal(y.shape, size, "the output's shape")
    _equal([g.shape for g in gradients(row, xs)], [size] * len(xs), "the gradients' shapes")
    np.testing.assert_allclose(y.array, expected, atol=1e-14)
    return distance(y.array, np.asarray(expected))


def without_entries(row: Row) -> float:
    """A first axis of 0 entries, as of an empty batch: the right shapes, or a refusal in words."""
    if row.pointwise:
        return max(sized(row, size) for size in SIZES)
    if row.never_empty:
        raise Inapplicable(row.never_empty)
    n, refusal = row.shapes[0][:1], None
    none = lambda shape: (0, *shape[1:])
    alone = (none(row.shapes[0]), *row.shapes[1:])
    like = lambda shape: len(shape) == len(row.shapes[0]) and shape[:1] == n
    together = tuple(none(s) if like(s) else s for s in row.shapes)
    for shapes in (alone, together):
        try:
            return _empty(row._replace(shapes=shapes))
        except (ShapeError, ArgumentError, IndexError) as error:
            refusal = error
    raise Inapplicable(f"refused: {refusal}")


def _empty(row: Row) -> float:
    xs = row.inputs()
    y, gs = row.fn(*xs), gradients(row, xs)
    _equal([g.shape for g in gs], [x.shape for x in xs], "the gradients' shapes")
    if not y.array.size and any(map(np.any, gs)):
        raise AssertionError("the gradient of an output without entries: expected 0")
    try:
        expected = np.asarray(row.reference(*row.arrays()))
    except (ValueError, IndexError):  # NumPy, or a reference that indexes, may need an entry
        return 0.0
    _equal(y.shape, expected.shape, "the output's shape")
    np.testing.assert_allclose(y.array, expected, atol=1e-14)
    return distance(y.array, expected)


# ---------------------------------------------------------------- another device

DRAWN = "nn.Dropout", "nn.Dropout2d"  # what they drop each device draws for itself


def results(row: Row, device: str) -> list[Tensor]:
    """The output and its gradients by all inputs, where they were computed."""
    xs = [x.detach().to(device).requires_grad_() for x in row.inputs()]
    y = row.fn(*xs)
    return [y.detach(), *(grad(y, xs, cotangent(y).to(device)) if y.requires_grad else ())]


def equal(there: list[Tensor], here: list[Tensor]) -> float:
    """A device's results and the CPU's, to 1e-9."""
    errors = []
    for a, b in zip(there, here, strict=True):
        _equal((a.shape, a.dtype), (b.shape, b.dtype), "a result")
        np.testing.assert_allclose(a.cpu().numpy(), b.numpy(), rtol=1e-9, atol=1e-12)
        errors.append(distance(a.cpu().numpy(), b.numpy()))
    return max(errors)


def elsewhere(row: Row, device: str) -> float:
    """Value and gradients are computed on the device as on the CPU, and stay there."""
    if row.name in DRAWN:
        raise Inapplicable("a device draws its own random numbers")
    there = results(row, device)
    _equal({x.device.type for x in there}, {device.split(":")[0]}, "where the results are")
    return equal(there, results(row, "cpu"))
