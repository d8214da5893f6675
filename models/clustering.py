"""Groups of points without labels: k-means, and how well its groups match labels that are known."""

from typing import NamedTuple

import numpy as np

from minigrad.errors import ArgumentError, ShapeError

ROUNDS = 100  # at most


class Clusters(NamedTuple):
    """The outcome of k-means."""

    centres: np.ndarray  # (k, d)
    group: np.ndarray  # (n,), which centre is nearest
    cost: float  # Σ ‖x - its centre‖² / n


def k_means(x: np.ndarray, k: int, seed: int = 0, starts: int = 10) -> Clusters:
    """k centres with the least mean squared distance that `starts` attempts find. Course: V21.

    Each point goes to its nearest centre, and each centre to the mean of its points, until nothing
    moves (Lloyd, IEEE Transactions on Information Theory 28, 1982). The first centres are points
    drawn with chances as their squared distance from those drawn before (k-means++, Arthur and
    Vassilvitskii, SODA 2007). A centre that loses all its points stays where it is.

    >>> x = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> np.sort(k_means(x, 2).centres.ravel())
    array([ 0.5, 10.5])

    Raises ShapeError unless x is (n, d), ArgumentError unless 1 ≤ k ≤ n and starts ≥ 1.
    """
    x = np.asarray(x, np.float64)
    if x.ndim != 2:
        raise ShapeError(f"k_means: x: got shape {x.shape}; expected (n, d)")
    if not 1 <= k <= len(x) or starts < 1:
        raise ArgumentError(
            f"k_means: k, starts: got {k}, {starts}; expected 1 to {len(x)} and at least 1"
        )
    rng = np.random.default_rng(seed)
    return min((_attempt(x, k, rng) for _ in range(starts)), key=lambda found: found.cost)


def _attempt(x: np.ndarray, k: int, rng: np.random.Generator) -> Clusters:
    centres = x[rng.integers(len(x), size=1)]
    while len(centres) < k:
        away = _squares(x, centres).min(1)
        chances = away / away.sum() if away.any() else None
        centres = np.concatenate([centres, x[rng.choice(len(x), 1, p=chances)]])
    group = np.full(len(x), -1)
    for _ in range(ROUNDS):
        before, group = group, _squares(x, centres).argmin(1)
        if (before == group).all():
            break
        sizes = np.bincount(group, minlength=k)
        sums = (group == np.arange(k)[:, None]) @ x
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
    away = _squares(x, centres)
    return Clusters(centres, away.argmin(1), float(away.min(1).mean()))


def _squares(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """‖x - c‖² of every pair, (n, k); not below 0 by rounding."""
    away = (x**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * x @ centres.T
    return np.maximum(away, 0)


def purity(group: np.ndarray, labels: np.ndarray) -> float:
    """The share of points that have the label most frequent in their group.

    >>> purity(np.array([0, 0, 0, 1]), np.array([5, 5, 3, 3]))
    0.75
    """
    return float(_counts(group, labels).max(1).sum() / len(labels))


def normalised_information(group: np.ndarray, labels: np.ndarray) -> float:
    """NMI = I(group; label) / ½ (H(group) + H(label)): 1 for equal groupings, 0 for unrelated.

    >>> normalised_information(np.array([1, 1, 0, 0]), np.array([5, 5, 3, 3]))
    1.0
    """
    joint = _counts(group, labels) / len(labels)
    rows, columns = joint.sum(1), joint.sum(0)
    seen = joint > 0
    information = (joint[seen] * np.log(joint[seen] / np.outer(rows, columns)[seen])).sum()
    entropy = -sum((p * np.log(p)).sum() for p in (rows, columns)) / 2
    return float(information / entropy) if entropy else 1.0


def _counts(group: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many points have each group and label, (groups, labels)."""
    group, labels = np.asarray(group), np.asarray(labels)
    if group.ndim != 1 or group.shape != labels.shape or not group.size:
        raise ShapeError(f"clustering: got {group.shape}, {labels.shape}; expected (n,) for both")
    rows, columns = (np.unique(v, return_inverse=True)[1] for v in (group, labels))
    counts = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(counts, (rows, columns), 1)
    return counts
