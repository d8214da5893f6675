"""What Numba compiles computes what the array code does, and comes in only where it should."""

import contextlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import kernels
from minigrad.kernels import cuda, processor
from minigrad.nn import functional
from minigrad.ops import elementwise, linear
from minigrad.ops.conv import im2col
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.optim import Adam, block
from minigrad.parallel import Threads
from models.gan import DCGAN
from tests.ops.conv.cases import geometries


@pytest.fixture(autouse=True)
def with_numba(monkeypatch):
    """The kernels, which other tests do without."""
    pytest.importorskip("numba")
    monkeypatch.delenv("MINIGRAD_KERNELS", raising=False)
    cached = processor.numba
    cached.cache_clear()
    yield
    cached.cache_clear()


@contextlib.contextmanager
def array_code():
    """Within it there are no kernels."""
    found = processor.KERNELS.copy()
    processor.KERNELS.clear()
    try:
        yield
    finally:
        processor.KERNELS.update(found)


def both_ways(function):
    """What it answers with kernels, and without."""
    with_kernels = function()
    with array_code():
        return with_kernels, function()


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


# ---------------------------------------------------------------- where they come in


def test_they_are_for_float32_on_the_processor():
    assert kernels.find("adam", np, np.dtype(np.float32)) is processor.adam
    assert kernels.find("adam", np, np.dtype(np.float64)) is None
    assert kernels.find("adam", object(), np.dtype(np.float32)) is None
    assert kernels.find("no such", np, np.dtype(np.float32)) is None


def test_they_can_be_done_without(monkeypatch):
    monkeypatch.setenv("MINIGRAD_KERNELS", "0")
    processor.numba.cache_clear()
    assert kernels.find("adam", np, np.dtype(np.float32)) is None
    monkeypatch.delenv("MINIGRAD_KERNELS")
    monkeypatch.setitem(sys.modules, "numba", None)  # as if it were not installed
    processor.numba.cache_clear()
    assert kernels.find("adam", np, np.dtype(np.float32)) is None


def test_a_loop_is_compiled_also_where_nothing_can_be_kept(monkeypatch):
    compiler = processor.numba().njit

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compiler(**options)

    monkeypatch.setattr(processor, "numba", lambda: SimpleNamespace(njit=njit))
    y = np.zeros(3, np.float32)
    processor.Loop(processor._gate.function)(y, y + 2, y + 1, np.float32(0))
    assert y.tolist() == [2, 2, 2]


def test_every_kernel_is_tried_here():
    shared = {"im2col", "col2im", "adam"}
    of_loss = {"bernoulli_tail", "bernoulli_sum", "bernoulli_slope"}
    of_batch_norm = {"batch_normalize", "batch_sums", "batch_slope"}
    own = {"turned_plus", "forget", "gate"}
    assert set(processor.KERNELS) == shared | own | of_loss | of_batch_norm
    assert set(cuda.KERNELS) == shared | {"cross_entropy", "cross_entropy_slope"}


# ---------------------------------------------------------------- convolutions


@given(geometries(), st.sampled_from([1, 4, 5, 8]), st.booleans(), st.integers(0, 2))
def test_convolutions(geometry, channels, channels_last, n):
    """All three, of few channels and many, of both memory orders."""
    g = geometry.groups
    x = random(n, g * channels, *geometry.input_size)
    y = random(n, 2 * g, *geometry.output_size, seed=1)
    w = random(2 * g, channels, *geometry.kernel_size, seed=2)
    if channels_last:
        x, y = (a.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2) for a in (x, y))
    np.testing.assert_array_equal(*both_ways(lambda: im2col.im2col(x, geometry)))
    np.testing.assert_allclose(*both_ways(lambda: im2col.conv(x, w, geometry)), atol=1e-4)
    found, expected = both_ways(lambda: im2col.conv_transpose(y, w, geometry))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(*both_ways(lambda: im2col.weight_grad(x, y, geometry)), atol=1e-3)


def test_a_patch_is_added_to_its_place():
    """⟨im2col x, X⟩ = ⟨x, col2im X⟩, in both orders of X."""
    geometry = ConvGeometry.direct((7, 6), (2, 3), stride=(1, 2), padding=(0, 2), dilation=(3, 1))
    x = random(2, 3, 7, 6)
    rows = processor.im2col(x, geometry)
    X = random(*rows.shape, seed=1)
    columns = X.swapaxes(1, 2).copy().swapaxes(1, 2)
    back = processor.col2im(X, 2, geometry)
    np.testing.assert_allclose(processor.col2im(columns, 2, geometry), back, rtol=1e-6, atol=1e-6)
    assert np.vdot(rows, X) == pytest.approx(np.vdot(x, back), rel=1e-5)


# ---------------------------------------------------------------- entry by entry

LAYOUTS = {
    "in order": lambda a: a,
    "channels last": lambda a: a.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
    "backwards": lambda a: a[:, ::-1],
    "every other": lambda a: np.repeat(a, 2, 2)[:, :, ::2],
    "repeated": lambda a: np.broadcast_to(a[:1], a.shape),
}


def bernoulli(x, t, reduction):
    """The loss, and 0.7 of its slope."""
    x = mg.Tensor(x, requires_grad=True)
    loss = functional.binary_cross_entropy_with_logits(x, mg.Tensor(t), reduction=reduction)
    loss.backward(mg.full_like(loss.detach(), 0.7))
    return loss.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize("of_x", LAYOUTS)
@pytest.mark.parametrize("of_g", LAYOUTS)
def test_gates_and_losses_of_any_layout(of_x, of_g):
    x, g = LAYOUTS[of_x](random(2, 3, 4, 5)), LAYOUTS[of_g](random(2, 3, 4, 5, seed=1))
    x = x * (np.abs(x) > 0.3)  # with zeros
    gate = lambda: elementwise._gate.forward(g, x)
    leaky = lambda: elementwise._leaky_gate.forward(g, x, negative_slope=0.2)
    np.testing.assert_array_equal(*both_ways(gate))
    np.testing.assert_allclose(*both_ways(leaky), rtol=1e-6, atol=1e-6)
    for way in ("none", "sum", "mean"):
        for a, b in zip(*both_ways(lambda way=way: bernoulli(x, g, way)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_extremes():
    x = np.array([-np.inf, -1e4, -100, -0.0, 0.0, 100, 1e4, np.inf, np.nan], np.float32)
    g = np.array([1, -1, np.inf, 1, 1, -1, np.nan, 1, 1], np.float32)
    half = np.full_like(x, 0.5)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(*both_ways(lambda: elementwise._gate.forward(g, x)))
        for i in range(len(x)):  # x = -∞ makes NaN, as ∞ - ∞ is
            both = both_ways(lambda i=i: bernoulli(x[i : i + 1], half[i : i + 1], "sum"))
            for a, b in zip(*both, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-6)


def test_the_sum_of_many_losses_and_of_the_smallest():
    few, many = np.full((1, 3), -20, np.float32), random(3, 700, 500) * 3
    for x in (few, many):
        exact = np.logaddexp(0, x.astype(np.float64)).sum()
        loss, slope = bernoulli(x, np.zeros_like(x), "sum")
        assert loss == pytest.approx(exact, rel=1e-6)
        assert slope.min() > 0  # also that of what is all but sure


@pytest.mark.parametrize("n, fan_in, fan_out", [(3, 130, 37), (64, 128, 128), (90, 200, 256)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_dense_layers_of_few_rows(n, fan_in, fan_out, order):
    x, w, b = random(n, fan_in), random(fan_out, fan_in, seed=1), random(2 * fan_out, seed=2)[::2]
    x = np.asarray(x, order=order)
    exact = x.astype(np.float64) @ w.T + b
    for y in both_ways(lambda: linear._affine.forward(x, w, b)):
        assert y.flags.c_contiguous
        np.testing.assert_allclose(y, exact, atol=1e-4)


@pytest.mark.parametrize("size", [1, 1000, 2 * block.SHARED + 7])
def test_adam_to_the_last_bit(size):
    def trained():
        w = mg.tensor(random(size), requires_grad=True)
        short = mg.tensor(random(3, 2, seed=1), requires_grad=True)
        adam = Adam([w, short], lr=0.01, weight_decay=0.1)
        for i in range(4):
            w.grad, short.grad = (mg.tensor(random(*p.shape, seed=i)) for p in (w, short))
            adam.step()
        moments = [adam.state[w][name].copy() for name in ("exp_avg", "exp_avg_sq")]
        return [w.detach().numpy().copy(), short.detach().numpy().copy(), *moments]

    for a, b in zip(*both_ways(trained), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_forgotten():
    a = np.array([2e-32, -2e-32, 5e-33, -5e-33, 1e-45, -0.0, 1.0, np.inf, np.nan], np.float32)

    def kept():
        x = a.copy()
        block.forget_traces(x, np.empty_like(x))
        return x

    found, expected = both_ways(kept)
    np.testing.assert_array_equal(found, expected)
    assert (found[2:6] == 0).all() and (found[:2] != 0).all()


# ---------------------------------------------------------------- batch normalisation


@pytest.mark.parametrize("layout", ["in order", "channels last"])
@pytest.mark.parametrize("shape", [(8, 3, 5, 6), (64, 7), (3, 2, 1100), (2, 3, 1, 1)])
def test_batch_normalisation(shape, layout):
    x = random(*shape) * 2 + np.float32(1)
    if len(shape) == 4:
        x = LAYOUTS[layout](x)
    g = random(*shape, seed=1)

    def run():
        c = shape[1]
        weight, bias = mg.tensor(random(c, seed=2)), mg.tensor(random(c, seed=3))
        mean, variance = mg.zeros(c), mg.ones(c)
        inputs = [t.requires_grad_() for t in (mg.tensor(x), weight, bias)]
        y = functional.batch_norm(inputs[0], mean, variance, *inputs[1:], training=True)
        y.backward(mg.tensor(g))
        return [y, mean, variance, *(t.grad for t in inputs)]

    for found, expected in zip(*both_ways(run), strict=True):
        found, expected = (t.detach().numpy() for t in (found, expected))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=3e-5)


def test_many_terms_are_added_as_accurately():
    x = random(40, 2, 60, 60) + np.float32(1000)
    y, _, mean, variance, _ = processor.batch_normalize(x, *np.ones((2, 2), np.float32), 0.0)
    np.testing.assert_allclose(mean, x.mean((0, 2, 3), np.float64), rtol=1e-7)
    np.testing.assert_allclose(variance, x.var((0, 2, 3), np.float64), rtol=1e-4)
    sums = processor.batch_sums(x, x)
    np.testing.assert_allclose(sums[0], x.sum((0, 2, 3), np.float64), rtol=1e-6)
    np.testing.assert_allclose(sums[1], (x.astype(float) ** 2).sum((0, 2, 3)), rtol=1e-6)
    assert y.mean() == pytest.approx(1, abs=1e-3)


# ---------------------------------------------------------------- all together


@pytest.mark.parametrize("workers", [1, 2])
def test_a_gan_learns_the_same(workers):
    """Its convolutions, rectifiers and batch normalisations, forward, backward, and Adam."""

    def trained():
        mg.manual_seed(0)
        model = DCGAN(width=8)
        x = mg.tensor(random(6, 1, 28, 28))
        found = []
        for player in (model.discriminator, model.generator):
            adam = Adam(player.parameters(), lr=1e-3)
            with Threads(workers) as threads:
                given = x if player is model.discriminator else mg.randn(6, 100)
                loss = lambda given, player=player: player(given).square().mean()
                found.append(threads.backward(loss, (given,), player.parameters()).numpy())
                adam.step()
            found += [p.grad.numpy() for p in player.parameters()]
        return found

    for found, expected in zip(*both_ways(trained), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())
