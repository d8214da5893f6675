"""Values and gradients where a formula that is right on paper overflows, cancels or divides by 0.

In float32 and float64, with every floating-point exception but underflow raised as an error, except
where an infinity is the answer.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import Tensor, float32, float64, tensor
from minigrad.engine import grad
from minigrad.ops import elementwise, reduction
from minigrad.ops.arithmetic import divide_or_zero
from minigrad.ops.elementwise import gelu, logsigmoid, silu, softplus

both_types = pytest.mark.parametrize("dtype", [float32, float64], ids=str)
INF, NAN = math.inf, math.nan


def leaf(values, dtype=float64) -> Tensor:
    return tensor(np.array(values), dtype=dtype, requires_grad=True)


def strictly():
    return np.errstate(all="raise", under="ignore")


def slope(fn, x: Tensor) -> list:
    """The gradient of Σ ⟨v, fn(x)⟩ / v for v = 2, entry by entry."""
    y = fn(x)
    (g,) = grad(y, x, tensor(np.full(y.shape, 2.0), dtype=y.dtype))
    return (g / 2.0).tolist()


# ---------------------------------------------------------------- one table of extremes

FAR = [-1e4, -1000.0, 1000.0, 1e4]
TABLE = {  # inputs, what comes out, its slope
    "sigmoid": (mg.sigmoid, FAR, [0.0, 0.0, 1.0, 1.0], [0.0] * 4),
    "tanh": (mg.tanh, FAR, [-1.0, -1.0, 1.0, 1.0], [0.0] * 4),
    "softplus": (softplus, FAR, [0.0, 0.0, 1000.0, 1e4], [0.0, 0.0, 1.0, 1.0]),
    "logsigmoid": (logsigmoid, FAR, [-1e4, -1000.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]),
    "silu": (silu, FAR, [0.0, 0.0, 1000.0, 1e4], [0.0, 0.0, 1.0, 1.0]),
    "gelu": (gelu, FAR, [0.0, 0.0, 1000.0, 1e4], [0.0, 0.0, 1.0, 1.0]),
    "elu": (elementwise.elu, FAR, [-1.0, -1.0, 1000.0, 1e4], [0.0, 0.0, 1.0, 1.0]),
    "erf": (mg.erf, FAR, [-1.0, -1.0, 1.0, 1.0], [0.0] * 4),
    "relu at 0": (mg.relu, [0.0, -0.0], [0.0, 0.0], [0.0, 0.0]),
    "abs at 0": (mg.abs, [0.0, -0.0], [0.0, 0.0], [0.0, 0.0]),
    "sign at 0": (lambda x: x.sign() + 0.0 * x, [0.0, -0.0], [0.0, 0.0], [0.0, 0.0]),
    "leaky_relu at 0": (lambda x: elementwise.leaky_relu(x, 0.5), [0.0], [0.0], [0.5]),
    "elu at 0": (lambda x: elementwise.elu(x, 0.5), [0.0], [0.0], [0.5]),
    "clamp at its bounds": (
        lambda x: x.clamp(-1, 1), [-2.0, -1.0, 0.0, 1.0, 2.0], [-1.0, -1.0, 0.0, 1.0, 1.0],
        [0.0, 1.0, 1.0, 1.0, 0.0],
    ),
    "maximum at a tie": (lambda x: mg.maximum(x, 1.0), [1.0, 2.0], [1.0, 2.0], [0.5, 1.0]),
    "minimum at a tie": (lambda x: mg.minimum(x, 1.0), [1.0, 2.0], [1.0, 1.0], [0.5, 0.0]),
    "amax of ties": (mg.amax, [3.0, 1.0, 3.0, 3.0], 3.0, [1 / 3, 0.0, 1 / 3, 1 / 3]),
    "amin of ties": (mg.amin, [3.0, 1.0, 3.0, 1.0], 1.0, [0.0, 0.5, 0.0, 0.5]),
    "max along an axis, of ties": (
        lambda x: x.max(0).values, [1.0, 3.0, 3.0], 3.0, [0.0, 1.0, 0.0],
    ),
    "0 to powers": (lambda x: x**0 + x**1 + x**2.0, [0.0, 2.0], [1.0, 7.0], [1.0, 5.0]),
    "square root or 0": (reduction.sqrt_or_zero, [0.0, 4.0], [0.0, 2.0], [0.0, 0.25]),
    "norm at 0": (mg.norm, [0.0, 0.0], 0.0, [0.0, 0.0]),
    "norm of rows, one 0": (
        lambda x: x.norm(dim=1), [[0.0, 0.0], [3.0, 4.0]], [0.0, 5.0], [[0.0, 0.0], [0.6, 0.8]],
    ),
    "norm 1 at 0": (lambda x: x.norm(1), [0.0, -2.0], 2.0, [0.0, -1.0]),
    "norm 3 at 0": (lambda x: x.norm(3), [0.0, 0.0], 0.0, [0.0, 0.0]),
    "norm ½, one 0": (lambda x: x.norm(0.5), [0.0, 1.0, 1.0], 4.0, [0.0, 2.0, 2.0]),
    "norm of huge numbers": (mg.norm, [3e30, -4e30], 5e30, [0.6, -0.8]),
    "norm of tiny numbers": (mg.norm, [3e-30, -4e-30], 5e-30, [0.6, -0.8]),
    "std of equals": (mg.std, [5.0, 5.0, 5.0], 0.0, [0.0, 0.0, 0.0]),
    "var of equals": (mg.var, [1e4, 1e4], 0.0, [0.0, 0.0]),
    "var far from 0": (mg.var, [9999.0, 10001.0], 2.0, [-2.0, 2.0]),
    "logsumexp of large": (
        lambda x: x.logsumexp(0), [1000.0, 1000.0], 1000.0 + math.log(2), [0.5, 0.5],
    ),
    "logsumexp of far apart": (lambda x: x.logsumexp(0), [-1e4, 1e4], 1e4, [0.0, 1.0]),
    "softmax far apart": (lambda x: x.softmax(0), [-1e4, 0.0, 1e4], [0.0, 0.0, 1.0], [0.0] * 3),
    "log_softmax far apart": (
        lambda x: x.log_softmax(0), [0.0, 1e4], [-1e4, 0.0], [1.0, -1.0],
    ),
    "divide_or_zero": (
        lambda x: divide_or_zero(3.0 * x, x.detach()), [0.0, 2.0], [0.0, 3.0], [0.0, 1.5],
    ),
}  # fmt: skip


@both_types
@pytest.mark.parametrize("fn, at, expected, expected_slope", TABLE.values(), ids=TABLE)
def test_extreme(fn, at, expected, expected_slope, dtype):
    x = leaf(at, dtype)
    with strictly():
        y, g = fn(x), slope(fn, x)
    tolerance = 4 * np.finfo(dtype).eps
    assert y.dtype == dtype
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=tolerance, atol=0)
    np.testing.assert_allclose(g, expected_slope, rtol=4 * tolerance, atol=0)


# ---------------------------------------------------------------- where an infinity is right


@both_types
def test_log_and_its_slope_at_0(dtype):
    with np.errstate(divide="ignore"):
        x = leaf([0.0, 1.0], dtype)
        assert x.log().tolist() == [-INF, 0.0] and slope(mg.log, x) == [INF, 1.0]


@both_types
def test_square_root_has_an_infinite_slope_at_0(dtype):
    with np.errstate(divide="ignore"):
        assert slope(mg.sqrt, leaf([0.0, 4.0], dtype)) == [INF, 0.25]


@both_types
def test_exp_overflows_to_infinity_and_underflows_to_0(dtype):
    with np.errstate(over="ignore"):
        x = leaf([-1000.0, 1000.0], dtype)
        assert x.exp().tolist() == [0.0, INF] and slope(mg.exp, x) == [0.0, INF]


@both_types
def test_logsumexp_of_infinities(dtype):
    """Of -∞ alone it is -∞, with gradient 0 (PyTorch's is NaN)."""
    nothing = leaf([-INF, -INF], dtype)
    assert nothing.logsumexp(0).item() == -INF
    assert slope(lambda x: x.logsumexp(0), nothing) == [0.0, 0.0]
    assert leaf([-INF, 2.0], dtype).logsumexp(0).item() == 2.0
    assert slope(lambda x: x.logsumexp(0), leaf([-INF, 2.0], dtype)) == [0.0, 1.0]
    assert leaf([INF, 2.0], dtype).logsumexp(0).item() == INF
    assert leaf([-INF, 0.0], dtype).softmax(0).tolist() == [0.0, 1.0]
    assert leaf([-INF, 0.0], dtype).log_softmax(0).tolist() == [-INF, 0.0]


@both_types
def test_nan_goes_through(dtype):
    """An error must be seen: no operation makes a number of NaN."""
    x = leaf([NAN, 1.0], dtype)
    for fn in (mg.sigmoid, softplus, mg.relu, mg.abs, mg.tanh, mg.erf, lambda x: x.clamp(0, 1)):
        assert x.isnan().tolist() == fn(x).isnan().tolist() == [True, False]
    for fn in (mg.sum, mg.amax, mg.norm, mg.std, lambda x: x.logsumexp(0)):
        assert math.isnan(fn(x).item())


@both_types
def test_where_keeps_what_was_not_chosen_out(dtype):
    """A NaN or ∞ that is not chosen does not reach y; its slope is 0 if the branch is safe."""
    x = leaf([0.0, 2.0], dtype)
    safe = lambda x: mg.where(x > 0, mg.where(x > 0, x, 1.0).log(), 0.0)
    with strictly():
        assert safe(x).tolist()[0] == 0.0 and slope(safe, x) == [0.0, 0.5]
    y = mg.where(tensor([True, False]), 1.0, tensor([NAN, 3.0]))
    assert y.tolist() == [1.0, 3.0]


@both_types
def test_second_derivatives_at_0_are_finite(dtype):
    for fn in (mg.norm, mg.std, lambda x: x.norm(3), lambda x: x.norm(1.5)):
        x = leaf([0.0, 0.0], dtype)
        with strictly():
            (g,) = grad(fn(x), x, create_graph=True)
            (h,) = grad(g, x, tensor([2.0, -1.0], dtype=dtype), allow_unused=True)
        assert g.tolist() == h.tolist() == [0.0, 0.0]


# ---------------------------------------------------------------- accuracy


def close_in_ulps(y, exact, ulps):
    """|y - exact| ≤ ulps units in the last place of y's type."""
    spacing = np.spacing(np.abs(exact).astype(y.dtype)).astype(np.float64)
    return bool(np.all(np.abs(y.astype(np.float64) - exact) <= ulps * spacing))


@given(st.floats(-80, 80, width=32))
def test_sigmoid_and_softplus_in_float32_to_the_last_digits(value):
    x = np.float64(value)
    y = tensor(np.array([value], np.float32))
    sigmoid = 1.0 / (1.0 + np.exp(-x))
    assert close_in_ulps(mg.sigmoid(y).numpy(), np.array([sigmoid]), 4)
    assert close_in_ulps(softplus(y).numpy(), np.array([np.logaddexp(0.0, x)]), 4)


@given(st.floats(-700, 700))
def test_sigmoid_of_opposites_sums_to_1(value):
    x = tensor([value], dtype=float64)
    assert abs((x.sigmoid() + (-x).sigmoid()).item() - 1.0) <= 2 * np.finfo(np.float64).eps
    assert abs(softplus(x).item() - softplus(-x).item() - value) <= 1e-13 * max(1.0, abs(value))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=6), st.floats(-1e3, 1e3))
def test_logsumexp_shifts_with_its_input(values, shift):
    x = tensor(values, dtype=float64)
    expected = x.logsumexp(0).item() + shift
    assert abs((x + shift).logsumexp(0).item() - expected) <= 1e-12 * max(1.0, abs(shift))


@both_types
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1.0, 100.0, 1e4]))
def test_softmax_sums_to_1_and_log_softmax_is_accurate(dtype, seed, scale):
    values = (scale * np.random.default_rng(seed).standard_normal(7)).astype(dtype)
    eps = np.finfo(dtype).eps
    x = tensor(values)
    assert abs(x.softmax(0).double().sum().item() - 1.0) <= 4 * eps
    wide = values.astype(np.float64)
    exact = wide - wide.max() - np.log(np.exp(wide - wide.max()).sum())
    assert np.abs(x.log_softmax(0).numpy() - exact).max() <= 4 * eps * max(1.0, np.abs(wide).max())


def test_log_softmax_is_finite_where_the_log_of_softmax_is_not():
    x = tensor([0.0, 120.0])
    assert x.log_softmax(0).tolist() == [-120.0, 0.0]
    assert x.softmax(0).tolist()[0] == 0.0


@pytest.mark.parametrize("fn", [mg.sum, mg.mean], ids=["sum", "mean"])
@pytest.mark.parametrize(
    "shape, dim", [((10**6, 3), 0), ((10**6, 1), 0), ((100, 2, 100, 100), (0, 2, 3)), ((10**6,), 0)]
)
def test_float32_sum_of_a_million_terms(fn, shape, dim):
    """One term after the other float32 is 1 % off."""
    x = tensor(np.full(shape, 0.1, np.float32))
    exact = fn(x.double(), dim).numpy()
    np.testing.assert_allclose(fn(x, dim).numpy(), exact, rtol=1e-6)


def test_float32_gradient_of_a_bias_over_many_rows():
    bias = tensor(np.zeros(3, np.float32), requires_grad=True)
    y = bias + tensor(np.zeros((10**6, 3), np.float32))
    y.backward(tensor(np.full(y.shape, 0.1, np.float32)))
    np.testing.assert_allclose(bias.grad.numpy(), 1e6 * np.float64(np.float32(0.1)), rtol=1e-6)


def test_erf_to_the_last_digits_of_float64():
    x = np.concatenate([np.linspace(-6.5, 6.5, 2001), [0.46875, 4.0, 1e-300, 1e-8]])
    exact = np.array([math.erf(v) for v in x])
    assert close_in_ulps(mg.erf(tensor(x)).numpy(), exact, 4)


@pytest.mark.parametrize("name", ["expm1", "log1p"])
def test_accurate_near_0(name):
    """expm1 and log1p of 1e-10 are 1e-10 ± 5e-21; by way of 1 + x they keep six digits."""
    for dtype in (float32, float64):
        x = tensor(np.array([1e-10, -1e-10]), dtype=dtype)
        np.testing.assert_allclose(
            getattr(mg, name)(x).numpy(), getattr(np, name)(np.array([1e-10, -1e-10])), rtol=1e-7
        )
