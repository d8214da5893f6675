"""Scores of samples against what is known exactly, or computed another way."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError, ShapeError
from models import gan_scores
from models.classifier import Classifier
from models.gan_scores import (
    data_copying,
    features_of,
    frechet_distance,
    mode_coverage,
    nearest,
    taken_for,
)
from models.toys import bimodal, grid, ring

# ---------------------------------------------------------------- known modes


def test_coverage_by_hand():
    """Two of four modes, 3 and 1 good samples of 5; q = (¾, ¼) against ¼ each."""
    target = ring(4, 1.0, 0.1)
    x = np.array([[1.0, 0.0], [1.2, 0.2], [0.8, 0.0], [0.0, -1.29], [0.0, 0.0]])
    found = mode_coverage(mg.tensor(x), target)
    assert (found.modes, found.of, found.good) == (2, 4, 0.8)
    assert found.counts.tolist() == [3, 0, 0, 1]
    assert found.kl == pytest.approx(0.75 * math.log(3) + 0.25 * math.log(1))
    assert mode_coverage(x, target, least=2).modes == 1
    assert mode_coverage(x, target, within=1.0).counts.tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("target", [ring(), grid(), bimodal()])
def test_the_mixtures_own_samples_are_good(target):
    """1 - e^(-9/2) of them in the plane, erf(3/√2) on a line, and all modes alike."""
    d = target.centres.shape[1]
    expected = 1 - math.exp(-4.5) if d == 2 else math.erf(3 / math.sqrt(2))
    found = mode_coverage(target.sample(20000, mg.Generator().manual_seed(0)), target)
    assert found.modes == found.of == len(target.centres)
    assert found.good == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 2e4))
    assert found.kl < 2 * found.of / 2e4  # on average (modes - 1) / 2n


def test_collapse_is_seen():
    target = ring()
    one = mode_coverage(target.centres[[3] * 50], target)
    assert (one.modes, one.good) == (1, 1.0) and one.kl == pytest.approx(math.log(8))
    none = mode_coverage(np.zeros((50, 2)), target)
    assert (none.modes, none.good) == (0, 0.0) and none.kl == pytest.approx(math.log(8))


# ---------------------------------------------------------------- Fréchet distance


def with_covariance(variances, n=40, mean=0.0, seed=0):
    """n points with exactly these variances, no covariances, and this mean."""
    x = np.random.default_rng(seed).standard_normal((n, len(variances)))
    q = np.linalg.qr(x - x.mean(0))[0]  # columns of mean 0, orthonormal
    return mean + q * np.sqrt(n - 1) * np.sqrt(variances)


def test_independent_features_by_formula():
    """Σ (m - m')² + (σ - σ')²"""
    x, y = with_covariance([1.0, 4.0, 9.0]), with_covariance([4.0, 4.0, 1.0], 25, 2.0, seed=1)
    assert frechet_distance(x, y) == pytest.approx(3 * 4.0 + 1 + 0 + 4, rel=1e-10)
    assert frechet_distance(y, x) == pytest.approx(17, rel=1e-10)


def by_roots(x, y):
    """The formula as it stands, the root by eigenvalues of S₁^½ S₂ S₁^½."""
    s, t = np.cov(x.T), np.cov(y.T)
    values, vectors = np.linalg.eigh(s)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ t @ root).clip(0)).sum()
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * shared


@pytest.mark.parametrize("n, m, d", [(50, 60, 5), (30, 200, 20), (9, 7, 6)])
def test_it_is_the_formula(n, m, d):
    rng = np.random.default_rng(n)
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    y = rng.standard_normal((m, d)) @ rng.standard_normal((d, d)) + 1.0
    assert frechet_distance(x, y) == pytest.approx(by_roots(x, y), rel=1e-9)


@pytest.mark.parametrize("n, d", [(2, 1), (2, 50), (40, 3), (20, 300)])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_equal_sets_are_at_no_distance(n, d, offset):
    """Also if their covariance has no inverse, or a constant feature, and in any order."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d)) + offset
    x[:, 0] = 3.0
    assert 0 <= frechet_distance(x, x) < 1e-8
    assert 0 <= frechet_distance(x, rng.permutation(x)) < 1e-8
    assert 0 <= frechet_distance(x.astype(np.float32), mg.tensor(x.astype(np.float32))) < 1e-8


def test_directions_that_are_not_shared_count_in_full():
    """One set spreads along one axis, one along the other: tr S₁ + tr S₂."""
    x, y = np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, -3.0], [0.0, 3.0]])
    assert frechet_distance(x, y) == pytest.approx(2.0 + 18.0, rel=1e-12)


def test_it_does_not_depend_on_the_axes():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 20)), rng.standard_normal((12, 20)) + 0.5
    turn = np.linalg.qr(rng.standard_normal((20, 20)))[0]
    expected = frechet_distance(x, y)
    assert frechet_distance(x @ turn + 7.0, y @ turn + 7.0) == pytest.approx(expected, rel=1e-10)


def test_few_examples_make_it_large():
    """As the docstring warns: of one distribution, and falling with n."""
    rng = np.random.default_rng(0)
    few, many = (
        frechet_distance(*rng.standard_normal((2, n, 30))) for n in (40, 4000)
    )  # fmt: skip
    assert few > 10 and many < 0.3


def test_features_are_the_classifiers():
    mg.manual_seed(0)
    model = Classifier()
    x = mg.rand(7, 1, 28, 28)
    found = features_of(model, DataLoader(TensorDataset(x), 3))
    assert found.shape == (7, 64) and found.dtype == np.float64
    maps = model.features(x).detach().numpy().astype(np.float64)
    assert maps.shape == (7, 16, 7, 7)
    halves = slice(4), slice(3, None)  # of 7 pixels; the middle one belongs to both
    corners = [maps[:, :, rows, columns].mean((2, 3)) for rows in halves for columns in halves]
    np.testing.assert_allclose(found.reshape(7, 16, 4), np.stack(corners, 2), rtol=1e-5, atol=1e-7)
    assert features_of(model, [x], windows=1).shape == (7, 16)


def test_what_images_are_taken_for():
    """The largest of softmax(logits), whatever the batches are."""
    mg.manual_seed(0)
    model = Classifier()
    x = mg.rand(7, 1, 28, 28)
    logits = 30.0 * model(x).detach().numpy().astype(np.float64)
    with mg.no_grad():
        for p in model.head.parameters():
            p.mul_(30.0)
    e = np.exp(logits - logits.max(1, keepdims=True))
    found = taken_for(model, DataLoader(TensorDataset(x), 3))
    assert found.labels.tolist() == logits.argmax(1).tolist()
    np.testing.assert_allclose(found.confidence, (e / e.sum(1, keepdims=True)).max(1), rtol=1e-5)
    assert 0.2 < found.confidence.min() < found.confidence.max() <= 1.0
    assert taken_for(model, [x]).labels.tolist() == found.labels.tolist()


# ---------------------------------------------------------------- learned by heart?


def test_nearest_is_the_nearest(monkeypatch):
    rng = np.random.default_rng(0)
    samples, train = rng.random((11, 1, 3, 3)), rng.random((17, 1, 3, 3))
    away = np.sqrt(((samples[:, None] - train) ** 2).sum((2, 3, 4)))
    for chunk in (gan_scores.CHUNK, 40, 1):
        monkeypatch.setattr(gan_scores, "CHUNK", chunk)
        found = nearest(samples, train)
        assert (found.index == away.argmin(1)).all()
        np.testing.assert_allclose(found.distance, away.min(1), rtol=1e-14)
    copies = nearest(train[[4, 0]], mg.tensor(train))
    assert copies.index.tolist() == [4, 0] and copies.distance.tolist() == [0.0, 0.0]


def by_loop(samples, train, held_out):
    d = lambda x: [min(np.linalg.norm(a - b) for b in train) for a in x]
    pairs = [(s < h) + 0.5 * (s == h) for s in d(samples) for h in d(held_out)]
    return sum(pairs) / len(pairs)


def test_data_copying_by_loop():
    """On a coarse grid, where distances are often the same."""
    rng = np.random.default_rng(0)
    samples, train, held_out = (rng.integers(0, 4, (n, 2)).astype(float) for n in (9, 5, 7))
    expected = by_loop(samples, train, held_out)
    assert 0 < expected < 1
    assert data_copying(samples, train, held_out) == pytest.approx(expected, rel=1e-14)


def test_what_data_copying_says():
    rng = np.random.default_rng(0)
    train, held_out, fresh = rng.standard_normal((3, 400, 5))
    assert data_copying(fresh, train, held_out) == pytest.approx(0.5, abs=0.08)
    assert data_copying(train[:100] + 1e-3, train, held_out) == 1.0
    assert data_copying(fresh + 20.0, train, held_out) == 0.0


# ---------------------------------------------------------------- wrong inputs

NAN = np.array([[math.nan, 0.0]] * 3)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: mode_coverage(np.zeros((3, 1)), ring()), ShapeError,
         r"mode_coverage: samples: got \(3, 1\); expected \('n', 2\)"),
        (lambda: mode_coverage(np.zeros((0, 2)), ring()), ShapeError, r"samples: got \(0, 2\)"),
        (lambda: mode_coverage(NAN, ring()), ArgumentError, "mode_coverage: samples: got NaN"),
        (lambda: mode_coverage(np.zeros((3, 2)), ring(), 0.0), ArgumentError, "got 0.0, 1;"),
        (lambda: mode_coverage(np.zeros((3, 2)), ring(), least=0), ArgumentError, "got 3.0, 0;"),
        (lambda: frechet_distance(np.zeros((1, 2)), np.zeros((3, 2))), ShapeError,
         r"frechet_distance: x: got \(1, 2\); expected \(n, …\) with at least 2 examples"),
        (lambda: frechet_distance(np.zeros((3, 2)), np.zeros((3, 4))), ShapeError,
         r"frechet_distance: got x \(3, 2\), y \(3, 4\); expected as many numbers"),
        (lambda: frechet_distance(np.zeros(3), np.zeros(3)), ShapeError, r"x: got \(3,\)"),
        (lambda: frechet_distance(np.zeros((3, 2)), NAN), ArgumentError, "y: got NaN or ∞"),
        (lambda: features_of(Classifier(), []), ArgumentError, "features_of: loader: got no batch"),
        (lambda: taken_for(Classifier(), []), ArgumentError, "taken_for: loader: got no batch"),
        (lambda: nearest(np.zeros((2, 3)), np.zeros((0, 3))), ShapeError,
         r"nearest: train: got \(0, 3\)"),
        (lambda: data_copying(NAN, NAN, np.zeros((2, 2))), ArgumentError, "samples: got NaN"),
        (lambda: data_copying(np.ones((2, 2)), np.ones((2, 2)), np.ones((0, 2))), ShapeError,
         r"data_copying: held_out: got \(0, 2\)"),
    ],
)  # fmt: skip
def test_wrong_inputs_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
