"""What holds for every primitive: its values, its derivatives, its types, any layout of memory."""

import contextlib
import importlib
import pkgutil

import numpy as np
import pytest

import minigrad
from minigrad import nn
from minigrad.engine import Primitive, grad, history
from minigrad.gradcheck import check_adjoint
from minigrad.samples import ROWS, checks
from minigrad.samples.checks import LAYOUTS, SIZES, cotangent
from minigrad.samples.row import Inapplicable

by_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
MODULES = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(minigrad.__path__, "minigrad.")
]


# ---------------------------------------------------------------- values and derivatives


@by_row
def test_value_is_numpys(row):
    checks.value(row)


@by_row
@pytest.mark.parametrize("seed", [0, 1])
def test_derivatives_match_differences(row, seed):
    checks.derivatives(row, row.order, seed)


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
    checks.float32(row)


@pytest.mark.parametrize("row", [r for r in ROWS if not r.slopeless], ids=lambda row: row.name)
def test_float32_stays_float32_at_second_order(row):
    checks.float32_twice(row)


# ---------------------------------------------------------------- memory


@by_row
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_of_memory_does_not_matter(row, layout):
    checks.laid_out(row, LAYOUTS[layout])


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
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size_will_do(row, size):
    checks.sized(row, size)


# Without entries there is no mean, no extreme and no loss; an index finds nothing; and inputs of
# some rows meet a constant, or another input of a shape of its own.
RELUCTANT = {
    "mean", "var", "var over axes", "std", "norm ∞", "amax", "amin", "max", "min",
    "nn.BatchNorm1d", "nn.BatchNorm2d", "nn.MSELoss", "nn.L1Loss", "nn.SmoothL1Loss",
    "nn.HuberLoss", "nn.KLDivLoss", "nn.BCELoss", "nn.BCEWithLogitsLoss", "nn.CrossEntropyLoss",
    "nn.NLLLoss", "nn.Embedding", "getitem", "scatter_add", "crop", "where", "reparameterize",
    "broadcast_to", "matmul", "linear", "cholesky", "inv", "logdet", "solve_triangular",
}  # fmt: skip


@by_row
def test_without_entries_shapes_are_right_or_it_is_refused_in_words(row):
    if row.name.split(",")[0] not in RELUCTANT:
        checks.without_entries(row)
    else:
        with contextlib.suppress(Inapplicable):
            checks.without_entries(row)
