"""Scores of images and codes against what is known exactly, or computed in a plain loop."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ArgumentError, ShapeError
from models import scores
from models.scores import knn_accuracy, mig, psnr

# ---------------------------------------------------------------- psnr


def test_psnr_by_hand():
    """Errors of 0.1 and 0.3 in half the pixels: MSE 0.05, 10 log₁₀ 20 = 13.01 dB."""
    x = np.zeros((2, 1, 2, 2))
    y = x.copy()
    y[0, 0] = [[0.1, 0.1], [-0.3, 0.3]]
    y[1] = 1.0
    assert psnr(x, y).tolist() == pytest.approx([10 * math.log10(20), 0.0], abs=1e-12)
    assert psnr(x, y, peak=2.0)[1] == pytest.approx(20 * math.log10(2))


def test_psnr_of_bytes_does_not_wrap_round():
    x, y = np.full((1, 2, 2), 250, np.uint8), np.full((1, 2, 2), 5, np.uint8)
    assert psnr(x, y, 255) == psnr(y, x, 255) == pytest.approx(20 * math.log10(255 / 245))


def test_psnr_of_equal_images_is_infinite():
    x = mg.rand(3, 3, 4, 4, requires_grad=True)
    assert psnr(x, x).tolist() == [math.inf] * 3


def test_psnr_falls_6_decibels_as_the_error_doubles():
    x = np.random.default_rng(0).random((1, 5, 5))
    near, far = (psnr(x, x + error).item() for error in (0.01, 0.02))
    assert near == pytest.approx(40) and near - far == pytest.approx(20 * math.log10(2))


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((np.zeros((2, 3)), np.zeros((2, 1))), ShapeError, r"psnr: got \(2, 3\) and \(2, 1\)"),
        ((np.zeros(3), np.zeros(3)), ShapeError, r"psnr: got \(3,\) and"),
        ((np.zeros((2, 3)), np.zeros((2, 3)), 0.0), ArgumentError, "got peak 0.0"),
        ((np.zeros((2, 0)), np.zeros((2, 0))), ArgumentError, r"images \(0,\)"),
    ],
)
def test_psnr_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        psnr(*arguments)


# ---------------------------------------------------------------- k nearest neighbours


def by_loop(codes, labels, test_codes, test_labels, k):
    """One code after the other, as the docstring says."""
    right = 0.0
    for code, label in zip(test_codes, test_labels, strict=True):
        away = [sum((a - b) ** 2 for a, b in zip(code, other, strict=True)) for other in codes]
        kth = sorted(away)[k - 1]
        votes = {}
        for distance, voted in zip(away, labels, strict=True):
            if distance <= kth:
                votes[voted] = votes.get(voted, 0) + 1
        most = [voted for voted, n in votes.items() if n == max(votes.values())]
        right += (label in most) / len(most)
    return right / len(test_codes)


@pytest.mark.parametrize("k", [1, 2, 5, 30])
@pytest.mark.parametrize("whole", [False, True])
def test_knn_is_the_loop(monkeypatch, k, whole):
    """On real numbers, and on a grid of whole ones, where most distances are ties; in chunks."""
    monkeypatch.setattr(scores, "CHUNK", 100)
    rng = np.random.default_rng(k)
    draw = lambda n: rng.integers(0, 4, (n, 2)) if whole else rng.normal(size=(n, 3))
    codes, test_codes = draw(30), draw(17)
    labels, test_labels = rng.integers(-1, 3, 30), rng.integers(-1, 4, 17)
    expected = by_loop(codes.tolist(), labels.tolist(), test_codes.tolist(), test_labels, k)
    assert 0 < expected < 1
    found = knn_accuracy(codes, labels, test_codes, test_labels, k)
    assert found == pytest.approx(expected, rel=1e-14)
    order = rng.permutation(30)
    moved = knn_accuracy(codes[order] + 3e7, labels[order], test_codes + 3e7, test_labels, k)
    assert moved == pytest.approx(expected, rel=1e-14)


def test_knn_ties():
    """Two codes at one distance vote both; two labels with one vote each are half right."""
    codes, labels = np.array([[-1.0], [1.0]]), np.array([0, 1])
    middle, left = np.array([[0.0]]), np.array([[-0.1]])
    assert knn_accuracy(codes, labels, middle, np.array([0]), k=1) == 0.5
    assert knn_accuracy(codes, labels, middle, np.array([7]), k=1) == 0.0
    assert knn_accuracy(codes, labels, left, np.array([0]), k=1) == 1.0
    assert knn_accuracy(codes, labels, left, np.array([0]), k=2) == 0.5


def test_knn_takes_tensors_and_tells_clusters_apart():
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [9, 0], [0, 9]])
    labels, test_labels = rng.integers(0, 3, 300), rng.integers(0, 3, 90)
    codes, test_codes = (
        mg.tensor(centres[of] + rng.normal(size=(len(of), 2))) for of in (labels, test_labels)
    )
    arguments = codes, mg.tensor(labels), test_codes, mg.tensor(test_labels)
    assert knn_accuracy(*arguments) == 1.0
    assert knn_accuracy(*arguments[:3], mg.tensor((test_labels + 1) % 3)) == 0.0


CODES, LABELS = np.zeros((4, 2)), np.arange(4)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((CODES, LABELS[:3], CODES, LABELS), ShapeError, r"knn_accuracy: codes: got \(4, 2\) with"),
        ((CODES, LABELS, CODES[0], LABELS), ShapeError, r"test_codes: got \(2,\) with labels"),
        ((CODES[:0], LABELS[:0], CODES, LABELS), ShapeError, r"codes: got \(0, 2\)"),
        ((CODES, LABELS, CODES[:, :1], LABELS), ShapeError, r"expected as many numbers in each"),
        ((CODES, LABELS * 0.5, CODES, LABELS), ArgumentError, "labels: got float64; expected int"),
        ((CODES * np.nan, LABELS, CODES, LABELS), ArgumentError, "codes: got NaN"),
        ((CODES, LABELS, CODES, LABELS, 0), ArgumentError, "k: got 0; expected 1 to 4"),
        ((CODES, LABELS, CODES, LABELS, 5), ArgumentError, "k: got 5; expected 1 to 4"),
    ],
)
def test_knn_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        knn_accuracy(*arguments)


# ---------------------------------------------------------------- mutual information gap


def uniform(n, k, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, k))


def turned(x, degrees):
    """The first two columns turned by that angle."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return x @ np.array([[c, s], [-s, c]])


def test_mig_of_perfect_codes_is_near_1():
    """Each factor has its code, in another order, turned round and stretched; one code is noise."""
    n = 20_000
    factors = uniform(n, 3)
    codes = np.stack([-2.0 * factors[:, 2], uniform(n, 1, 1)[:, 0], factors[:, 0] + 5.0,
                      0.1 * factors[:, 1]], 1)  # fmt: skip
    found = mig(codes, factors)
    assert found.mig > 0.99
    assert found.information.argmax(0).tolist() == [2, 3, 0]
    assert found.information.shape == (4, 3)
    np.testing.assert_allclose(found.entropy, math.log(20), rtol=1e-3)


def test_mig_of_turned_codes_is_near_0():
    """At 45° each of two codes tells as much about each factor: neither stands for one."""
    factors = uniform(20_000, 2)
    gaps = [mig(turned(factors, angle), factors).mig for angle in (0, 15, 30, 45)]
    assert gaps[0] > 0.98 and gaps[3] < 0.02
    assert gaps == sorted(gaps, reverse=True)


def test_mig_by_hand():
    """Of 8 images, code 0 has the factor's value in 6, code 1 in 4: I = ln 2 - H(¼), and 0."""
    factor = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    codes = np.stack([[0, 0, 0, 1, 1, 1, 1, 0], [0, 1, 0, 1, 0, 1, 0, 1]], 1)
    found = mig(codes, factor[:, None])
    information = math.log(2) + 0.75 * math.log(0.75) + 0.25 * math.log(0.25)
    assert found.entropy.tolist() == pytest.approx([math.log(2)], rel=1e-14)
    assert found.information[:, 0] == pytest.approx([information, 0.0], abs=1e-15)
    assert found.mig == found.gaps[0] == pytest.approx(information / math.log(2), rel=1e-14)


def test_mig_of_a_factor_told_twice_is_0():
    """A second code with the same content closes that factor's gap, and only that one's."""
    factors = uniform(5000, 2)
    found = mig(np.concatenate([factors, -factors[:, :1]], 1), factors)
    assert found.gaps[0] == pytest.approx(0.0, abs=0.01) and found.gaps[1] > 0.9


def test_mig_counts_few_values_and_cuts_many():
    """A factor of 3 values has ln 3 nats whatever they are; a real one is cut into bins."""
    rng = np.random.default_rng(0)
    v = np.stack([rng.permutation(np.repeat([-7.0, 0.1, 1e6], 1000)), rng.random(3000)], 1)
    found = mig(mg.tensor(v), mg.tensor(v), bins=8)
    assert found.entropy[0] == pytest.approx(math.log(3), rel=1e-14)
    assert found.entropy[1] == pytest.approx(math.log(8), rel=1e-2)
    assert np.diag(found.information) == pytest.approx(found.entropy, rel=1e-14)
    assert found.mig > 0.98


def test_the_bias_of_counts_is_what_the_docstring_says():
    """I of independent columns is 0, and (b - 1)(c - 1) / 2n on average as it is counted."""
    n, rng = 400, np.random.default_rng(0)
    found = [
        mig(rng.integers(0, 5, (n, 2)), rng.integers(0, 4, (n, 1))).information.mean()
        for _ in range(200)
    ]
    assert np.mean(found) == pytest.approx(4 * 3 / (2 * n), rel=0.1)


V = np.arange(12.0).reshape(6, 2)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((V[:, 0], V), ShapeError, r"mig: got codes \(6,\), factors \(6, 2\)"),
        ((V[:5], V), ShapeError, r"mig: got codes \(5, 2\), factors \(6, 2\)"),
        ((V, V[:, :0]), ShapeError, r"factors \(6, 0\)"),
        ((V[:, :1], V), ArgumentError, "got 1 codes, 20 bins; expected at least 2"),
        ((V, V, 1), ArgumentError, "got 2 codes, 1 bins"),
        ((V - math.inf, V), ArgumentError, "got NaN or ∞"),
        ((V, V * [1, 0] + 0.3), ArgumentError, "factors: column 1 is always 0.3; leave it out"),
    ],
)
def test_mig_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        mig(*arguments)
