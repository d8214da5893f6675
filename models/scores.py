r"""Scores of images and of codes, whatever model they come from.

How near a reconstruction is (`psnr`), whether codes of a class lie together (`knn_accuracy`), and
whether each code stands for one factor of the image (`mig`). Each takes tensors or NumPy arrays.
"""

from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor
from minigrad.errors import ArgumentError, ShapeError

CHUNK = 2**22  # distances that are in memory at once: 32 MB


def _array(x: Any) -> np.ndarray:
    return x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)


# ---------------------------------------------------------------- images


def psnr(x: Any, y: Any, peak: float = 1.0) -> np.ndarray:
    """The peak signal-to-noise ratio 10 log₁₀ (peak² / MSE) of each image, (n,), in decibels.

    x and y are (n, …) of one shape, `peak` the largest value a pixel can have: 1, or 255 for
    bytes. The MSE is over all pixels and channels of an image; equal images give ∞. The mean of
    these is more than the PSNR of the mean MSE, so say which. Course: V12.

    >>> psnr(np.full((1, 1, 4, 4), 0.5), np.full((1, 1, 4, 4), 0.6)).round(6)
    array([20.])

    Raises ShapeError if the shapes differ or there is no axis of images, ArgumentError if an image
    has no pixel or peak is not above 0.
    """
    x, y = _array(x), _array(y)
    if x.shape != y.shape or x.ndim < 2:
        raise ShapeError(f"psnr: got {x.shape} and {y.shape}; expected one shape (n, …)")
    if not peak > 0 or not np.prod(x.shape[1:]):
        raise ArgumentError(
            f"psnr: got peak {peak}, images {x.shape[1:]}; expected a peak above 0 and some pixels"
        )
    apart = x.astype(np.float64) - y.astype(np.float64)  # bytes would wrap round
    mse = (apart**2).reshape(len(x), -1).mean(1)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(peak**2 / mse)


# ---------------------------------------------------------------- codes and labels


def knn_accuracy(codes: Any, labels: Any, test_codes: Any, test_labels: Any, k: int = 10) -> float:
    """The share of test codes whose label wins the vote of their k nearest codes. Course: A13.

    Distance is Euclidean. Ties need no luck: all codes as far away as the k-th, up to rounding,
    vote too, and where t labels have most votes, the right one among them counts 1/t.

    codes (n, d) and labels (n,), integers, vote on test_codes (m, d); 1 ≤ k ≤ n. All m n distances
    are computed, not many at a time.

    >>> codes, labels = np.array([[0.0], [1.0], [5.0]]), np.array([3, 3, 8])
    >>> knn_accuracy(codes, labels, np.array([[0.4], [4.8], [3.1]]), np.array([3, 8, 3]), k=1)
    0.6666666666666666

    Raises ShapeError if the shapes do not fit, ArgumentError if k is not from 1 to n, labels are
    not integers, or a code is not finite.
    """
    codes, labels = _labelled("codes", codes, labels)
    test_codes, test_labels = _labelled("test_codes", test_codes, test_labels)
    if codes.shape[1] != test_codes.shape[1]:
        raise ShapeError(
            f"knn_accuracy: got codes {codes.shape}, test_codes {test_codes.shape}; expected as "
            "many numbers in each"
        )
    if not 1 <= k <= len(codes):
        raise ArgumentError(f"knn_accuracy: k: got {k}; expected 1 to {len(codes)}, the codes")
    kinds, labels = np.unique(labels, return_inverse=True)
    right, rows = 0.0, max(1, CHUNK // len(codes))
    for start in range(0, len(test_codes), rows):
        part = slice(start, start + rows)
        away = _squared_distances(test_codes[part], codes)
        kth = np.partition(away, k - 1, axis=1)[:, k - 1 : k]
        near = away <= kth + 1e-12 * away.max(1, keepdims=True)
        voter, voted = np.nonzero(near)
        votes = np.zeros((len(away), len(kinds)))
        np.add.at(votes, (voter, labels[voted]), 1)
        wins = votes == votes.max(1, keepdims=True)
        hit = wins & (kinds == test_labels[part, None])
        right += float((hit.any(1) / wins.sum(1)).sum())
    return right / len(test_codes)


def _labelled(name: str, codes: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    codes, labels = _array(codes).astype(np.float64), _array(labels)
    if codes.ndim != 2 or labels.shape != codes.shape[:1] or not codes.size:
        raise ShapeError(
            f"knn_accuracy: {name}: got {codes.shape} with labels {labels.shape}; expected (n, d) "
            "with (n,), n and d at least 1"
        )
    if labels.dtype.kind not in "iu":
        raise ArgumentError(f"knn_accuracy: labels: got {labels.dtype}; expected integers")
    if not np.isfinite(codes).all():
        raise ArgumentError(f"knn_accuracy: {name}: got NaN or ∞; expected finite numbers")
    return codes, labels


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """‖x - y‖² = ‖x‖² + ‖y‖² - 2 x·y of every pair, (m, n)."""
    middle = y.mean(0)  # far from 0 the difference of squares would be rounded away
    x, y = x - middle, y - middle
    away = x @ y.T
    away *= -2.0
    away += (x**2).sum(1)[:, None]
    away += (y**2).sum(1)
    return away


# ---------------------------------------------------------------- codes and factors


class Gap(NamedTuple):
    """The mutual information gap, and what it is made of."""

    mig: float  # the mean of `gaps`
    gaps: np.ndarray  # (factors,), each from 0 to 1
    information: np.ndarray  # I(zⱼ; vₖ), (codes, factors), nats
    entropy: np.ndarray  # H(vₖ), (factors,), nats: the most that a code can tell


def mig(codes: Any, factors: Any, bins: int = 20) -> Gap:
    r"""The mutual information gap: does one code, and no other, tell each factor? Course: V15.

        MIG = (1/K) Σₖ (I(z₍₁₎; vₖ) - I(z₍₂₎; vₖ)) / H(vₖ)

    where z₍₁₎ and z₍₂₎ are the two codes that tell most about vₖ: 1 if every factor has a code of
    its own, near 0 if each is told by two alike. (Chen et al., arXiv 1802.04942.)

    codes (n, d ≥ 2), best the means of q(z|x), and factors (n, K). I and H are those of counts: a
    column of more than `bins` different values is cut into `bins` intervals of equal width between
    its smallest and its largest; of fewer, each value is counted by itself. With b and c values
    the counts of n images make I too large by (b - 1)(c - 1) / 2n nats or so, of all codes alike:
    have many more images than b c. (Chen et al. draw z from q(z|x) instead of cutting its mean.)

    >>> v = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> mig(v * [3.0, -1.0], v).mig
    1.0

    Raises ShapeError or ArgumentError if there are fewer than two codes, no factor, a factor that
    is always the same, values that are not finite, or not as many codes as factors.
    """
    codes, factors = _array(codes), _array(factors)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or not factors.size:
        raise ShapeError(
            f"mig: got codes {codes.shape}, factors {factors.shape}; expected (n, codes) and "
            "(n, factors)"
        )
    if codes.shape[1] < 2 or bins < 2:
        raise ArgumentError(
            f"mig: got {codes.shape[1]} codes, {bins} bins; expected at least 2 of both: the gap "
            "is between the best code and the next"
        )
    if not (np.isfinite(codes).all() and np.isfinite(factors).all()):
        raise ArgumentError("mig: codes, factors: got NaN or ∞; expected finite numbers")
    of_code = [_cut(column, bins) for column in codes.T]
    of_factor = [_cut(column, bins) for column in factors.T]
    information = np.array([[_information(z, v) for v in of_factor] for z in of_code])
    entropy = np.array([_information(v, v) for v in of_factor])
    if not entropy.all():
        k = int(np.flatnonzero(entropy == 0)[0])
        raise ArgumentError(f"mig: factors: column {k} is always {factors[0, k]}; leave it out")
    second, first = np.sort(information, axis=0)[-2:]
    gaps = (first - second) / entropy
    return Gap(float(gaps.mean()), gaps, information, entropy)


def _cut(column: np.ndarray, bins: int) -> np.ndarray:
    """Which value, or which of the intervals of equal width, each entry is."""
    values, index = np.unique(column, return_inverse=True)
    if len(values) <= bins:
        return index
    column = column.astype(np.float64)
    inner = np.linspace(column.min(), column.max(), bins + 1)[1:-1]
    return np.digitize(column, inner)


def _information(a: np.ndarray, b: np.ndarray) -> float:
    """Σ p(a, b) ln (p(a, b) / p(a) p(b)) of the counts, in nats; of a and a, the entropy."""
    shape = a.max() + 1, b.max() + 1
    counts = np.bincount(np.ravel_multi_index((a, b), shape), minlength=shape[0] * shape[1])
    joint = counts.reshape(shape) / len(a)
    apart = joint.sum(1, keepdims=True) * joint.sum(0)
    seen = joint > 0
    return max(0.0, float((joint[seen] * np.log(joint[seen] / apart[seen])).sum()))
