"""Exact distances: by hand, by quadrature, and by each other."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import ArgumentError, ShapeError
from models.distances import (
    jensen_shannon,
    wasserstein_gaussians,
    wasserstein_line,
    wasserstein_points,
)
from models.toys import Mixture

numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=8).map(np.array)


def gaussian(mean, std):
    return Mixture(np.array([[mean]]), std)


# ---------------------------------------------------------------- samples


def test_of_equally_many_it_is_the_mean_way_in_order():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, 50), rng.normal(1, 3, 50)
    expected = np.abs(np.sort(x) - np.sort(y)).mean()
    assert wasserstein_line(x, y) == pytest.approx(expected, rel=1e-12)


@given(numbers, numbers)
def test_of_unequally_many_it_is_that_of_each_repeated(x, y):
    """A sample repeated is the same distribution."""
    long = np.sort(np.repeat(x, len(y))), np.sort(np.repeat(y, len(x)))
    expected = np.abs(long[0] - long[1]).mean()
    assert wasserstein_line(x, y) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert wasserstein_line(x, y) == wasserstein_line(y, x)


def test_moved_by_v_it_is_v():
    x = mg.randn(100, dtype=mg.float64)
    for v in (0.0, 0.25, -7.0):
        assert wasserstein_line(x, x + v) == pytest.approx(abs(v), abs=1e-12)


# ---------------------------------------------------------------- points


@pytest.mark.parametrize("seed", range(20))
def test_points_have_the_best_of_all_plans(seed):
    """Ties included: half of the draws are from few places."""
    rng = np.random.default_rng(seed)
    n, d = rng.integers(1, 7), rng.integers(1, 4)
    x, y = rng.normal(size=(2, n, d)) if seed % 2 else rng.integers(0, 2, (2, n, d))
    plans = itertools.permutations(range(n))
    best = min(np.linalg.norm(x[list(plan)] - y, axis=1).mean() for plan in plans)
    assert wasserstein_points(x, y) == pytest.approx(best, abs=1e-12)


def test_points_on_a_line_are_as_far_as_the_line_says():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, 80), rng.normal(1, 3, 80)
    found = wasserstein_points(x[:, None], y[:, None])
    assert found == pytest.approx(wasserstein_line(x, y), rel=1e-12)


def test_points_moved_by_v_are_as_far_as_v_is_long():
    x = mg.randn(60, 5, dtype=mg.float64)
    v = mg.tensor([3.0, 0.0, 0.0, -4.0, 0.0]).double()
    order = np.random.default_rng(0).permutation(60)
    assert wasserstein_points(x, (x + v)[order]) == pytest.approx(5.0, rel=1e-12)


# ---------------------------------------------------------------- Gaussians


@pytest.mark.parametrize(
    "first, second", [((0, 1), (3, 1)), ((0, 1), (0, 3)), ((-1, 0.5), (0.3, 2)), ((0, 0), (5, 1))]
)
def test_gaussians_by_their_quantiles(first, second):
    """∫₀¹ |F⁻¹(u) - G⁻¹(u)| du, with Z's quantiles found on a fine grid of Z."""
    z = np.linspace(-9, 9, 200_001)
    way = np.abs(first[0] - second[0] + (first[1] - second[1]) * z)
    expected = np.trapezoid(way * np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi), z)
    assert wasserstein_gaussians(*first, *second) == pytest.approx(expected, rel=1e-8)
    assert wasserstein_gaussians(*second, *first) == wasserstein_gaussians(*first, *second)


def test_samples_of_gaussians_come_near():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, 40_000), rng.normal(0.5, 2, 40_000)
    assert wasserstein_line(x, y) == pytest.approx(wasserstein_gaussians(0, 1, 0.5, 2), rel=0.03)


# ---------------------------------------------------------------- Jensen and Shannon


def test_jensen_shannon_is_the_best_ds_loss():
    """D(x) = p / (p + q), and its loss -E_p ln D - E_q ln (1 - D) is 2 ln 2 - 2 JS."""
    t = np.arange(-15, 15, 0.005)
    p, q = (gaussian(m, s).log_prob(t[:, None]) for m, s in ((0, 1), (1.5, 2)))
    d = 1 / (1 + np.exp(q - p))
    loss = -0.005 * (np.exp(p) * np.log(d) + np.exp(q) * np.log1p(-d)).sum()
    found = jensen_shannon(p, q, 0.005)
    assert found == pytest.approx(math.log(2) - loss / 2, rel=1e-9)
    assert found == jensen_shannon(q, p, 0.005) > 0.1
    assert abs(jensen_shannon(p, p, 0.005)) < 1e-15


def test_it_saturates_where_wasserstein_does_not():
    t = np.arange(-20, 60, 0.01)[:, None]
    p = gaussian(0, 1).log_prob(t)
    far = [jensen_shannon(p, gaussian(m, 1).log_prob(t), 0.01) for m in (10, 20, 40)]
    assert far == pytest.approx([math.log(2)] * 3, abs=1e-5)
    assert [wasserstein_gaussians(0, 1, m, 1) for m in (10, 20, 40)] == [10, 20, 40]


# ---------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: wasserstein_line([], [1.0]), ShapeError, r"got \(0,\) and \(1,\)"),
        (lambda: wasserstein_line([[1.0]], [1.0]), ShapeError, r"got \(1, 1\) and \(1,\)"),
        (lambda: wasserstein_line([math.nan], [1.0]), ArgumentError, "got NaN"),
        (lambda: wasserstein_gaussians(0, -1, 0, 1), ArgumentError, r"N\(0, -1²\)"),
        (lambda: wasserstein_gaussians(0, 1, math.inf, 1), ArgumentError, "finite means"),
        (lambda: wasserstein_points([[1.0]], [[1.0], [2.0]]), ShapeError, r"\(1, 1\) and \(2, 1\)"),
        (lambda: wasserstein_points([[math.nan]], [[1.0]]), ArgumentError, "got NaN"),
        (lambda: jensen_shannon([0.0], [0.0, 1.0], 1.0), ShapeError, r"got \(1,\) and \(2,\)"),
        (lambda: jensen_shannon([0.0], [0.0], 0.0), ArgumentError, "step: got 0.0"),
    ],
)
def test_wrong_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
