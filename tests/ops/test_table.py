"""What holds for every primitive: its values, its derivatives, its types, any layout of memory."""

import importlib
import pkgutil

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, nn
from minigrad.engine import Primitive, grad, history
from minigrad.gradcheck import check_adjoint, check_grads
from minigrad.samples import ROWS, Row, leaves

by_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
MODULES = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(minigrad.__path__, "minigrad.")
]


def cotangent(y: Tensor, seed: int = 9) -> Tensor:
    """A gradient to start from, drawn from N(0, 1)."""
    return Tensor(np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype))


def gradients(row: Row, xs: list[Tensor]) -> list[np.ndarray]:
    y = row.fn(*xs)
    if not y.requires_grad:
        return [np.zeros(x.shape, x.dtype) for x in xs]
    return [g.array for g in grad(y, xs, cotangent(y))]


# ---------------------------------------------------------------- values and derivatives


@by_row
def test_value_is_numpys(row):
    y = row.fn(*row.inputs())
    expected = np.asarray(row.reference(*row.arrays()))
    assert y.shape == expected.shape and y.dtype == np.float64
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-13, atol=1e-14)


@by_row
@pytest.mark.parametrize("seed", [0, 1])
def test_derivatives_match_differences(row, seed):
    check_grads(
        row.fn, *row.inputs(seed), seed=seed, order=row.order,
        expect_zero=row.slopeless, linear=row.linear,
    )  # fmt: skip


@pytest.mark.parametrize("row", [r for r in ROWS if r.linear], ids=lambda row: row.name)
def test_rule_of_a_linear_map_is_its_adjoint_in_float32(row):
    check_adjoint(row.fn, *row.inputs(seed=2, dtype=np.float32))


def test_every_primitive_is_in_the_table():
    """Each one with a rule is met in the graphs of the rows, or in those of their gradients."""
    met = set()
    for row in ROWS:
        xs = row.inputs()
        y = row.fn(*xs)
        if y.requires_grad:
            gs = grad(y, xs, cotangent(y).requires_grad_(), create_graph=True)
            met |= {node.primitive for node in history([y, *gs])}
    known = {p for module in MODULES for p in vars(module).values() if isinstance(p, Primitive)}
    assert len({p for p in known if p.rules}) > 70
    assert {p for p in known - met if p.rules} == set()


def test_every_layer_is_in_the_table():
    containers = {nn.Module, nn.Sequential, nn.ModuleList}
    kinds = {m for m in vars(nn).values() if isinstance(m, type) and issubclass(m, nn.Module)}
    assert len(kinds) > 20
    missing = {
        f"nn.{kind.__name__}" for kind in kinds - containers
    } - {row.name.split(",")[0] for row in ROWS}  # fmt: skip
    assert missing == set()


def test_names_of_rows_are_their_own():
    assert len({row.name for row in ROWS}) == len(ROWS)


# ---------------------------------------------------------------- element types


@by_row
def test_float32_stays_float32(row):
    """Forward and backward; a gradient of the wrong type would be refused by the engine."""
    xs = row.inputs(dtype=np.float32)
    y = row.fn(*xs)
    assert y.dtype == np.float32
    np.testing.assert_allclose(
        y.detach().numpy(), row.reference(*row.arrays()), rtol=1e-5, atol=1e-6
    )
    exact = gradients(row, row.inputs())
    for g, expected in zip(gradients(row, xs), exact, strict=True):
        assert g.dtype == np.float32
        np.testing.assert_allclose(g, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("row", [r for r in ROWS if not r.slopeless], ids=lambda row: row.name)
def test_float32_stays_float32_at_second_order(row):
    xs = row.inputs(dtype=np.float32)
    y = row.fn(*xs)
    v = cotangent(y).requires_grad_()
    first = [g for g in grad(y, xs, v, create_graph=True) if g.requires_grad]
    second = grad(first, [*xs, v], list(map(cotangent, first)), allow_unused=True)
    assert {g.dtype for g in [*first, *second] if g is not None} == {np.dtype(np.float32)}


# ---------------------------------------------------------------- memory


def transposed(x):
    return np.asfortranarray(x)


def backwards(x):
    return np.flip(x).copy()[(slice(None, None, -1),) * x.ndim]


def every_other(x):
    wide = np.full([2 * n for n in x.shape], np.nan)
    wide[(slice(None, None, 2),) * x.ndim] = x
    return wide[(slice(None, None, 2),) * x.ndim]


def repeated(x):
    """The first entry along the last axis, repeated without memory of its own."""
    return np.broadcast_to(x[..., :1], x.shape) if x.ndim else x


@by_row
@pytest.mark.parametrize("layout", [transposed, backwards, every_other, repeated])
def test_layout_of_memory_does_not_matter(row, layout):
    arrays = [layout(x) for x in row.arrays()]
    laid, plain = leaves(arrays), leaves([np.array(x, order="C") for x in arrays])
    assert [x.array.strides for x in laid] == [x.strides for x in arrays]
    y, expected = row.fn(*laid), row.fn(*plain)
    np.testing.assert_allclose(y.array, expected.array, rtol=1e-12)
    for g, e in zip(gradients(row, laid), gradients(row, plain), strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-12, atol=1e-13)


@by_row
def test_inputs_and_incoming_gradient_are_not_written_to(row):
    xs = row.inputs()
    before = [x.array.copy() for x in xs]
    for x in xs:
        x.array.flags.writeable = False
    y = row.fn(*xs)
    if y.requires_grad:
        v = cotangent(y)
        v.array.flags.writeable = False
        grad(y, xs, v)
    assert all(np.array_equal(x.array, b) for x, b in zip(xs, before, strict=True))


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("row", [r for r in ROWS if r.pointwise], ids=lambda row: row.name)
@pytest.mark.parametrize("size", [(), (1,), (0,), (0, 3), (2, 0), (1, 1, 1)], ids=str)
def test_any_size_will_do(row, size):
    row = row._replace(shapes=(size,) * len(row.shapes))
    xs = row.inputs()
    assert row.fn(*xs).shape == size
    assert [g.shape for g in gradients(row, xs)] == [size] * len(xs)
    np.testing.assert_allclose(row.fn(*xs).array, row.reference(*row.arrays()), atol=1e-14)
