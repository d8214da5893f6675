"""Distributions at the ends of what numbers can be, and what they refuse."""

import math

import numpy as np
import pytest

from minigrad import Tensor, float32, float64
from minigrad import distributions as D
from minigrad.distributions.quantile import probit
from minigrad.engine import grad
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.gradcheck import check_grads

INF, NAN = math.inf, math.nan


def t(values, dtype=float64):
    return Tensor(np.array(values, dtype))


def leaf(values, dtype=float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def strictly():
    return np.errstate(all="raise", under="ignore")


# ---------------------------------------------------------------- extremes


def test_bernoulli_at_0_and_1():
    """As PyTorch: the impossible costs -ln ε, and the certain nearly nothing."""
    for dtype, cost in ((float32, 15.942384719848633), (float64, 36.04365338911715)):
        with strictly():
            d = D.Bernoulli(t([0.0, 0.0, 1.0, 1.0], dtype))
            nats, h = d.log_prob(t([0.0, 1.0, 0.0, 1.0], dtype)), d.entropy()
        np.testing.assert_allclose(nats, [0.0, -cost, -cost, 0.0], rtol=1e-6, atol=2e-7)
        np.testing.assert_allclose(h, np.zeros(4), atol=2e-7)


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_bernoulli_with_far_logits(dtype):
    x = leaf([-1e4, -1e4, 1e4, 1e4], dtype)
    with strictly():
        d = D.Bernoulli(logits=x)
        nats = d.log_prob(t([0.0, 1.0, 0.0, 1.0], dtype))
        (slope,) = grad(nats.sum(), x)
        assert nats.tolist() == [0.0, -1e4, -1e4, 0.0]
        assert slope.tolist() == [0.0, 1.0, -1.0, 0.0]
        assert d.entropy().tolist() == [0.0] * 4 and d.variance.tolist() == [0.0] * 4
    assert D.Bernoulli(logits=t([40.0])).variance.item() == pytest.approx(
        math.exp(-40), rel=1e-12, abs=0
    )


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_categorical_at_extremes(dtype):
    x = leaf([-1e4, 0.0, 1e4], dtype)
    with strictly():
        d = D.Categorical(logits=x)
        nats = d.log_prob(t([0, 1, 2], np.int64))
        (slope,) = grad(nats.sum(), x)
        assert nats.tolist() == [-2e4, -1e4, 0.0] and slope.tolist() == [1.0, 1.0, -2.0]
        assert d.entropy().item() == 0.0
        never = D.Categorical(logits=leaf([-INF, 0.0, 1.0], dtype)).entropy()
        assert never.item() == pytest.approx(0.5822031088882, rel=1e-6)  # PyTorch's number
        assert D.Categorical(t([0.0, 0.0, 2.0], dtype)).entropy().item() < 2e-7


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_normal_with_far_log_var(dtype):
    x = leaf([-50.0, 50.0], dtype)
    with strictly():
        d = D.Normal(0.0, log_var=x)
        nats = d.log_prob(t([0.0, 0.0], dtype))
        (slope,) = grad(nats.sum(), x)
        np.testing.assert_allclose(nats.detach(), [24.0810615, -25.9189385], rtol=1e-6)
        assert slope.tolist() == [-0.5, -0.5]
        np.testing.assert_allclose(d.entropy().detach(), [-23.5810615, 26.4189385], rtol=1e-6)


def test_tiny_scales_do_no_harm():
    for make in (D.Normal, D.Laplace):
        scale = leaf([1e-30], float32)  # its square is 0
        with strictly():
            nats = make(0.0, scale).log_prob(t([0.0], float32))
            (slope,) = grad(nats.sum(), scale)
        assert 60 < nats.item() < 70
        assert slope.item() == pytest.approx(-1e30, rel=1e-6)


def test_uniform_outside_its_interval():
    d = D.Uniform(t([0.0]), t([2.0]), validate_args=False)
    x = t([-1.0, 0.0, 1.0, 2.0, 3.0])
    with strictly():
        nats = d.log_prob(x)
    np.testing.assert_array_equal(nats, [-INF, -math.log(2), -math.log(2), -INF, -INF])
    assert d.cdf(x).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


# Φ⁻¹ to 17 digits, from a computation with 40.
PROBITS = {
    1e-300: -37.047096299361199, 1e-50: -14.933337534788489, 1e-10: -6.3613409024040562,
    0.001: -3.0902323061678135, 0.075: -1.4395314709384559, 0.3: -0.52440051270804082,
    0.5: 0.0, 0.925: 1.4395314709384562, 0.999: 3.0902323061678133,
}  # fmt: skip


def test_probit():
    x = t(list(PROBITS))
    with strictly():
        y = probit(x)
    np.testing.assert_allclose(y, list(PROBITS.values()), rtol=1e-15, atol=1e-300)
    with strictly():
        np.testing.assert_array_equal(probit(t([0.0, 1.0, -0.1, 1.1])), [-INF, INF, NAN, NAN])
    check_grads(probit, leaf([0.01, 0.2, 0.5, 0.9, 0.999]), order=2)
    assert probit(t([0.3], float32)).dtype == float32


# ---------------------------------------------------------------- what they refuse

PAIR = D.Independent(D.Normal(t([0.0, 0.0]), 1.0), 1)
REFUSED = {
    "scale 0": (lambda: D.Normal(0.0, t([1.0, 0.0])), ArgumentError,
                r"Normal: scale: got 0.0 at \(1,\); expected positive numbers"),
    "scale below 0": (lambda: D.Laplace(0.0, -1.0), ArgumentError,
                      "Laplace: scale: got -1.0; expected positive numbers"),
    "scale NaN": (lambda: D.Normal(0.0, NAN), ArgumentError, "scale: got nan"),
    "loc NaN": (lambda: D.Normal(t([0.0, NAN]), 1.0), ArgumentError, r"loc: got nan at \(1,\)"),
    "log_var NaN": (lambda: D.Normal(0.0, log_var=NAN), ArgumentError, "log_var: got nan"),
    "no spread": (lambda: D.Normal(0.0), ArgumentError,
                  "Normal: got none; expected exactly one of scale, log_scale and log_var"),
    "two spreads": (lambda: D.Normal(0.0, 1.0, log_var=0.0), ArgumentError,
                    "got scale and log_var; expected exactly one"),
    "shapes": (lambda: D.Normal(t([0.0, 1.0]), t([1.0, 2.0, 3.0])), ShapeError,
               r"Normal: shapes do not broadcast: got \(2,\) and \(3,\)"),
    "integers": (lambda: D.Normal(t([0], np.int64), 1.0), DTypeError,
                 r"Normal: loc: got int64; expected a float type. Use .float\(\)"),
    "a list": (lambda: D.Normal([0.0], 1.0), DTypeError, "Normal: loc: got list; expected a ten"),
    "interval": (lambda: D.Uniform(t([0.0, 1.0]), 1.0), ArgumentError,
                 r"Uniform: high: got 1.0 at \(1,\); expected more than low"),
    "probability": (lambda: D.Bernoulli(t([0.5, 1.5])), ArgumentError,
                    r"Bernoulli: probs: got 1.5 at \(1,\); expected numbers from 0 to 1"),
    "both": (lambda: D.Bernoulli(0.5, 0.0), ArgumentError,
             "Bernoulli: got probs and logits; expected exactly one of probs and logits"),
    "weights": (lambda: D.Categorical(t([[1.0, 1.0], [0.5, -0.5]])), ArgumentError,
                r"Categorical: probs: got \[0.5, -0.5\]; expected finite numbers ≥ 0"),
    "no weight": (lambda: D.Categorical(t([0.0, 0.0])), ArgumentError, "with a positive sum"),
    "logits": (lambda: D.Categorical(logits=t([0.0, INF])), ArgumentError, "numbers below ∞"),
    "no class": (lambda: D.Categorical(t(1.0)), ShapeError, r"got shape \(\); expected \(…, K\)"),
    "axes": (lambda: D.Independent(D.Normal(t([0.0]), 1.0), 2), ArgumentError,
             r"reinterpreted_batch_ndims: got 2; expected 0 to 1, the axes of the batch \(1,\)"),
    "value": (lambda: D.Normal(0.0, 1.0).log_prob(0.5), DTypeError,
              "Normal.log_prob: value: got float; expected a tensor"),
    "value's shape": (lambda: D.Normal(t([0.0, 1.0]), 1.0).log_prob(t([0.0] * 3)), ShapeError,
                      r"Normal.log_prob: shapes do not broadcast: got \(3,\) and \(2,\)"),
    "value's event": (lambda: PAIR.log_prob(t([[0.0]])), ShapeError,
                      r"value: got shape \(1, 1\); expected it to end in \(2,\), the event"),
    "value NaN": (lambda: D.Laplace(0.0, 1.0).log_prob(t([NAN])), ArgumentError, "got nan"),
    "grey": (lambda: D.Bernoulli(0.5).log_prob(t([0.0, 0.3])), ArgumentError,
             r"Bernoulli.log_prob: value: got 0.3 at \(1,\); expected 0 or 1"),
    "class": (lambda: D.Categorical(t([1.0, 1.0])).log_prob(t([0, 2])), ArgumentError,
              r"value: got 2.0 at \(1,\); expected a class, from 0 to 1"),
    "half a class": (lambda: D.Categorical(t([1.0, 1.0])).log_prob(t([0.5])), ArgumentError,
                     "got 0.5"),
    "outside": (lambda: D.Uniform(0.0, t([1.0])).log_prob(t([3.0])), ArgumentError,
                r"Uniform.log_prob: value: got 3.0 at \(0,\); expected low ≤ value ≤ high"),
    "quantile": (lambda: D.Normal(0.0, 1.0).icdf(t([1.5])), ArgumentError, "numbers from 0 to 1"),
    "one number": (lambda: D.Normal(0.0, 1.0).sample(5), ArgumentError,
                   r"Normal: sample_shape: got 5; expected a tuple of sizes, such as \(5,\)"),
    "below 0": (lambda: D.Normal(0.0, 1.0).sample((-1,)), ArgumentError, r"got \(-1,\)"),
    "no cdf": (lambda: D.Bernoulli(0.5).cdf(t([0.0])), NotImplementedError, "Bernoulli: cdf"),
    "no icdf": (lambda: D.Bernoulli(0.5).icdf(t([0.0])), NotImplementedError, "Bernoulli: icdf"),
    "base": (lambda: D.Distribution().entropy(), NotImplementedError, "Distribution: entropy"),
    "base's density": (lambda: D.Distribution().log_prob(t(0.0)), NotImplementedError, "log_prob"),
    "base's mean": (lambda: D.Distribution().mean, NotImplementedError, "mean"),
    "base's spread": (lambda: D.Distribution().stddev, NotImplementedError, "variance"),
}  # fmt: skip


@pytest.mark.parametrize("make, error, message", REFUSED.values(), ids=REFUSED)
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_nothing_is_refused_without_validation():
    d = D.Bernoulli(logits=t([0.0]), validate_args=False)
    assert d.log_prob(t([0.3])).item() == pytest.approx(-math.log(2))  # the grey of a pixel
    assert math.isnan(D.Normal(NAN, 1.0, validate_args=False).log_prob(t(0.0)).item())
    assert D.Uniform(1.0, 0.0, validate_args=False).low.item() == 1.0
