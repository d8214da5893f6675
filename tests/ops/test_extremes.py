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


def test_float32_running_sum_of_a_million_terms():
    x = tensor(np.full(10**6, 0.1, np.float32))
    np.testing.assert_allclose(x.cumsum(0).numpy(), x.double().cumsum(0).numpy(), rtol=1e-7)


@pytest.mark.parametrize("shape, dim", [((10**6, 2), 0), ((10**6,), 0)], ids=str)
@pytest.mark.parametrize(
    "fn",
    [lambda x, d: x.norm(dim=d), lambda x, d: x.norm(3, dim=d), lambda x, d: x.logsumexp(d),
     lambda x, d: x.var(d), lambda x, d: x.softmax(d).sum(d)],
    ids=["norm", "norm 3", "logsumexp", "var", "softmax"],
)  # fmt: skip
def test_what_is_built_on_sums_of_a_million_terms(fn, shape, dim):
    """The variance too of numbers that lie far from 0."""
    x = tensor(10.0 + np.random.default_rng(0).random(shape, dtype=np.float32))
    np.testing.assert_allclose(fn(x, dim).numpy(), fn(x.double(), dim).numpy(), rtol=1e-6)


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


# ---------------------------------------------------------------- any number at all

HUGE = np.longdouble


def exact_sigmoid(x):
    z = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + z), z / (1 + z))


def exact_softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


EXACT = {  # the function, its value and its slope in numbers that are longer
    "sigmoid": (mg.sigmoid, exact_sigmoid, lambda x: exact_sigmoid(x) * exact_sigmoid(-x)),
    "softplus": (softplus, exact_softplus, exact_sigmoid),
    "logsigmoid": (
        logsigmoid, lambda x: -exact_softplus(-x), lambda x: exact_sigmoid(-x),
    ),
    "tanh": (mg.tanh, np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "expm1": (mg.expm1, np.expm1, np.exp),
    "exp": (mg.exp, np.exp, np.exp),
    "elu": (
        elementwise.elu, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        lambda x: np.exp(np.minimum(x, 0)),
    ),
    "relu": (mg.relu, lambda x: np.maximum(x, 0), lambda x: x > 0),
    "abs": (mg.abs, np.abs, np.sign),
    "square": (mg.square, lambda x: x * x, lambda x: 2 * x),
}  # fmt: skip
ODD = [0.0, -0.0, 1e-4, -1e-4, 17.0, -17.0, 88.7, -88.7, 104.0, -104.0, 709.8, -745.2, 1e18, -1e18]


def assert_as_exact(found, exact, dtype, ulps, absolute=0.0):
    """To so many units in the last place; what is smaller than all normal numbers may be 0."""
    info = np.finfo(dtype)
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype)
        spacing = np.spacing(np.maximum(np.abs(rounded), info.tiny)).astype(HUGE)
        near = np.abs(found.astype(HUGE) - exact) <= ulps * spacing + absolute + info.tiny
    assert bool(np.all(near | (found == rounded))), (found, rounded)


@both_types
@pytest.mark.parametrize("name", EXACT)
@given(data=st.data())
def test_any_number(name, dtype, data):
    """±max, subnormals and -0 too. A slope that is found from y, 1 - y² say, is right to 4ε."""
    fn, value, slope_of = EXACT[name]
    drawn = data.draw(
        st.lists(st.floats(width=np.finfo(dtype).bits, allow_nan=False, allow_infinity=False))
    )
    info = np.finfo(dtype)
    x = np.array([*drawn, *ODD, info.max, info.min, info.tiny, info.smallest_subnormal], dtype)
    with np.errstate(all="ignore"):
        exact, exact_slope = value(x.astype(HUGE)), slope_of(x.astype(HUGE)).astype(HUGE)
        leaf_ = tensor(x, requires_grad=True)
        y = fn(leaf_)
        (g,) = grad(y, leaf_, tensor(np.ones_like(x)))
    assert y.dtype == g.dtype == dtype
    assert_as_exact(y.detach().numpy(), exact, dtype, 4)
    assert_as_exact(g.numpy(), exact_slope, dtype, 4, absolute=4 * info.eps)


@both_types
def test_minus_zero_is_kept_or_made_zero_never_one(dtype):
    x = leaf([-0.0, 0.0], dtype)
    for fn in (mg.abs, mg.square, lambda x: x.exp() - 1.0):
        assert fn(x).tolist() == [0.0, 0.0]
    assert np.signbit(mg.tanh(x).detach().numpy()).tolist() == [True, False]
    assert (1.0 / x.abs().clamp(min=1e-30)).isfinite().all()


# ---------------------------------------------------------------- losses of generative models


@both_types
def test_the_generators_two_losses(dtype):
    """ln(1 - D) is flat where the discriminator is sure, -ln D is not: both from logits."""
    logits = leaf([-20.0, -1e4, 0.0, 1e4], dtype)
    with strictly():
        saturating = slope(lambda x: logsigmoid(-x), logits)
        other = slope(lambda x: -logsigmoid(x), logits)
    np.testing.assert_allclose(saturating, [-2.061e-9, 0.0, -0.5, -1.0], rtol=1e-3)
    np.testing.assert_allclose(other, [-0.999999998, -1.0, -0.5, 0.0], rtol=1e-8)
    values = (-logsigmoid(logits)).tolist()
    assert values[1] == 1e4 and values[3] == 0.0


@given(st.floats(-1e4, 0))
def test_the_other_loss_of_the_generator_never_fades(value):
    for dtype in (float32, float64):
        (g,) = slope(lambda x: -logsigmoid(x), leaf([value], dtype))
        assert -1.0 <= g <= -0.5


def gaussian_kl(mean, log_var):
    """½ (μ² + e^v - 1 - v), the divergence of N(μ, e^v) from N(0, 1) in nats"""
    return 0.5 * (mean.square() + log_var.expm1() - log_var)


@both_types
def test_divergence_of_nearly_equal_normals(dtype):
    """Written with e^v - 1 in two steps it is 0 or below at v = 1e-4 in float32."""
    zero, small = leaf([0.0], dtype), leaf([1e-4], dtype)
    assert gaussian_kl(zero, zero).item() == 0.0
    exact = 0.5 * (math.expm1(1e-4) - 1e-4)
    assert abs(gaussian_kl(zero, small).item() / exact - 1) <= (2e-3 if dtype == float32 else 1e-7)
    assert slope(lambda v: gaussian_kl(zero, v), zero) == [0.0]


@given(st.floats(-5, 5), st.floats(-20, 20))
def test_divergence_is_never_negative(mean, log_var):
    for dtype in (float32, float64):
        assert gaussian_kl(leaf([mean], dtype), leaf([log_var], dtype)).item() >= 0.0
