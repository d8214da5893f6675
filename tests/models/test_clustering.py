"""k-means finds groups that are there, and the scores are those of the counts."""

import math

import numpy as np
import pytest

from minigrad.errors import ArgumentError, ShapeError
from models.clustering import k_means, normalised_information, purity


def test_groups_that_are_there_are_found():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, 600)
    middles = np.array([[10.0 * i, 10.0 * (i % 2)] for i in range(6)])
    x = middles[labels] + rng.standard_normal((600, 2))
    found = k_means(x, 6, seed=1)
    assert purity(found.group, labels) == 1.0
    assert normalised_information(found.group, labels) == pytest.approx(1.0)
    means = np.array([x[found.group == i].mean(0) for i in range(6)])
    np.testing.assert_allclose(found.centres, means, rtol=1e-12)
    away = ((x[:, None] - found.centres) ** 2).sum(2)
    assert (found.group == away.argmin(1)).all()
    assert found.cost == pytest.approx(away.min(1).mean())


def test_equal_points_are_no_trouble():
    found = k_means(np.ones((5, 2)), 3)
    assert found.cost == 0 and (found.centres == 1).all()


def test_scores_by_hand():
    group, labels = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert normalised_information(group, labels) == 0 and purity(group, labels) == 0.5
    group, labels = np.array([0, 0, 1, 2]), np.array([0, 0, 1, 1])
    entropy = 1.5 * math.log(2)  # of the groups, of which two make one label of ln 2
    expected = math.log(2) / ((entropy + math.log(2)) / 2)
    assert normalised_information(group, labels) == pytest.approx(expected)


def test_wrong_settings_are_refused():
    with pytest.raises(ArgumentError, match="got 6, 10; expected 1 to 5"):
        k_means(np.ones((5, 2)), 6)
    with pytest.raises(ShapeError, match=r"x: got shape \(5,\)"):
        k_means(np.ones(5), 2)
    with pytest.raises(ShapeError, match=r"got \(2,\), \(3,\)"):
        purity(np.zeros(2), np.zeros(3))
