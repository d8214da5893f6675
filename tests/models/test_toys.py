"""The toy distributions are what they say."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ArgumentError, ShapeError
from models.toys import Mixture, bimodal, grid, ring


def test_where_the_modes_are():
    circle = ring(8, 3.0).centres
    assert circle.shape == (8, 2)
    np.testing.assert_allclose(np.hypot(*circle.T), 3.0)
    steps = np.hypot(*(circle - np.roll(circle, 1, 0)).T)
    np.testing.assert_allclose(steps, 6 * math.sin(math.pi / 8))
    square = grid(5, 2.0).centres
    assert sorted(map(tuple, square)) == [(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)]
    assert bimodal(3.0).centres.tolist() == [[-1.5], [1.5]]


@pytest.mark.parametrize("mixture", [ring(), grid(), bimodal()])
def test_samples_have_the_mixtures_moments(mixture):
    x = mixture.sample(20000, mg.Generator().manual_seed(0))
    assert x.dtype == mg.float32 and x.shape == (20000, mixture.centres.shape[1])
    x = x.numpy()
    variance = mixture.centres.var(0) + mixture.std**2
    np.testing.assert_allclose(
        x.mean(0), mixture.centres.mean(0), atol=4 * variance.max() ** 0.5 / 141
    )
    np.testing.assert_allclose(x.var(0), variance, rtol=0.03)
    away = np.sqrt(((x[:, None] - mixture.centres) ** 2).sum(2))
    counts = np.bincount(away.argmin(1), minlength=len(mixture.centres))
    expected = 20000 / len(counts)
    assert (abs(counts - expected) < 5 * expected**0.5).all()
    within = away.min(1) ** 2 / mixture.std**2 / x.shape[1]
    assert within.mean() == pytest.approx(1.0, rel=0.03)


def test_samples_repeat_with_their_seed():
    first, again = (ring().sample(5, mg.Generator().manual_seed(2)).tolist() for _ in range(2))
    mg.manual_seed(2)
    assert first == again == ring().sample(5).tolist() != ring().sample(5).tolist()
    assert ring().sample(0).shape == (0, 2)


@pytest.mark.parametrize("mixture", [bimodal(1.5), ring(3, 1.0, 0.4)])
def test_the_density_integrates_to_1(mixture):
    d = mixture.centres.shape[1]
    along = np.linspace(-6, 6, 241)
    points = np.stack(np.meshgrid(*[along] * d), -1).reshape(-1, d)
    assert np.exp(mixture.log_prob(points)).sum() * 0.05**d == pytest.approx(1.0, abs=1e-6)


def test_the_density_by_formula():
    x = np.array([[0.3], [-2.0]])
    normal = lambda m: np.exp(-((x - m) ** 2) / 2 / 0.25) / math.sqrt(2 * math.pi * 0.25)
    expected = np.log((normal(-2.0) + normal(2.0)) / 2)[:, 0]
    np.testing.assert_allclose(bimodal().log_prob(x), expected, rtol=1e-12)
    far = ring().log_prob(np.array([[1e3, 0.0]]))  # e^-10⁹ is 0, its logarithm is not -∞
    assert far[0] == pytest.approx(-0.5 * (998 / 0.02) ** 2, rel=1e-6)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: ring(0), ArgumentError, "ring: got 0, 2.0, std 0.02; expected at least 1 mode"),
        (lambda: grid(2, -1.0), ArgumentError, "grid: got 2, -1.0, std 0.05"),
        (lambda: bimodal(std=0.0), ArgumentError, "bimodal: got 2, 4.0, std 0.0"),
        (lambda: ring(std=math.inf), ArgumentError, "ring: got 8, 2.0, std inf"),
        (
            lambda: ring().log_prob(np.zeros((3, 1))),
            ShapeError, r"Mixture: x: got \(3, 1\); expected \('n', 2\)",
        ),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_mixture_can_be_made_by_hand():
    one = Mixture(np.zeros((1, 3)), 1.0)
    assert one.log_prob(np.zeros((1, 3)))[0] == pytest.approx(-1.5 * math.log(2 * math.pi))
