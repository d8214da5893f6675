r"""How far apart two distributions are, exactly, where that can be computed: on a line.

The Wasserstein distance W₁ is the least work that turns one into the other, mass times way. It
falls steadily as the two come nearer. The Jensen-Shannon divergence, which the first GANs minimise,
only asks how well the two can be told apart: where they do not overlap it is ln 2, near or far.

Of a distribution moved by v, in any space, W₁ is ‖v‖: no work is less, for the mean moves so far.
"""

import math
from typing import Any

import numpy as np

from minigrad.errors import ArgumentError, ShapeError
from models.scores import _array


def wasserstein_line(x: Any, y: Any) -> float:
    r"""W₁ = ∫ |F(t) - G(t)| dt of two samples (n,) and (m,), F and G the shares of them up to t.

    Of equally many this is the mean distance of the sorted numbers, the i-th of one from the i-th
    of the other: on a line the cheapest plan keeps the order. (Vallender, 1974.)

    >>> wasserstein_line(np.array([0.0, 1.0]), np.array([3.0, 2.0]))
    2.0

    Raises ShapeError if a sample is not a row of numbers or empty, ArgumentError if one is not
    finite.
    """
    x, y = (np.asarray(_array(a), np.float64) for a in (x, y))
    if x.ndim != 1 or y.ndim != 1 or not x.size or not y.size:
        raise ShapeError(f"wasserstein_line: got {x.shape} and {y.shape}; expected (n,) and (m,)")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ArgumentError("wasserstein_line: got NaN or ∞; expected finite numbers")
    t = np.sort(np.concatenate([x, y]))
    f, g = (np.searchsorted(np.sort(a), t[:-1], "right") / len(a) for a in (x, y))
    return float((np.abs(f - g) * np.diff(t)).sum())


def wasserstein_gaussians(mean: float, std: float, mean2: float, std2: float) -> float:
    r"""W₁ of N(mean, std²) and N(mean2, std2²), which differ by μ = mean - mean2, σ = |std - std2|.

        E |μ + σ Z| = σ √(2/π) e^{-μ²/2σ²} + μ erf(μ / σ√2),    Z ~ N(0, 1)

    for each quantile of the one goes to that of the other. |μ| if the widths are equal.

    >>> wasserstein_gaussians(0.0, 1.0, 3.0, 1.0)
    3.0

    Raises ArgumentError if a number is not finite or a width below 0.
    """
    if not (
        all(map(math.isfinite, (mean, mean2))) and 0 <= min(std, std2) <= max(std, std2) < math.inf
    ):
        raise ArgumentError(
            f"wasserstein_gaussians: got N({mean}, {std}²), N({mean2}, {std2}²); expected finite "
            "means, and widths of 0 or more"
        )
    mu, sigma = mean - mean2, abs(std - std2)
    if sigma == 0:
        return abs(mu)
    spread = sigma * math.sqrt(2 / math.pi) * math.exp(-0.5 * (mu / sigma) ** 2)
    return spread + mu * math.erf(mu / (sigma * math.sqrt(2)))


def jensen_shannon(log_p: Any, log_q: Any, step: float) -> float:
    r"""JS = ½ KL(p ‖ m) + ½ KL(q ‖ m), m = ½ (p + q), in nats: 0 to ln 2.

    Of the log-densities at points `step` apart that reach as far as there is mass; the sum is the
    trapezoidal rule, which is exact to rounding for smooth densities that end in 0. The best D has
    the loss 2 ln 2 - 2 JS. (Goodfellow et al., arXiv 1406.2661, theorem 1.)

    >>> from models.toys import Mixture
    >>> t = np.arange(-20.0, 20.0, 0.01)[:, None]
    >>> near, far = (Mixture(np.array([[m]]), 1.0).log_prob(t) for m in (0.0, 9.0))
    >>> round(jensen_shannon(near, far, 0.01), 5)
    0.69314

    Raises ShapeError if the two are not of one shape (n,), ArgumentError if step is not above 0.
    """
    log_p, log_q = (np.asarray(_array(a), np.float64) for a in (log_p, log_q))
    if log_p.ndim != 1 or log_p.shape != log_q.shape:
        raise ShapeError(
            f"jensen_shannon: got {log_p.shape} and {log_q.shape}; expected (n,) for both"
        )
    if not 0 < step < math.inf:
        raise ArgumentError(f"jensen_shannon: step: got {step}; expected it above 0")
    middle = np.logaddexp(log_p, log_q) - math.log(2)
    parts = (np.exp(a) * (a - middle) for a in (log_p, log_q))
    return 0.5 * step * float(sum(part.sum() for part in parts))


def wasserstein_points(x: Any, y: Any) -> float:
    r"""W₁ = min over permutations π of (1/n) Σ ‖xᵢ - y_π(i)‖ of two samples (n, d) in any space.

    The cheapest plan between equally many points of equal weight sends each to one. It is found by
    shortest augmenting paths (Kuhn, 1955; Jonker and Volgenant, 1987), in n³ steps at most: a
    second for some hundreds. Two samples of one distribution are not at 0 but, of n points in d > 2
    dimensions, at n^(-1/d) or so: compare with that.

    >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> wasserstein_points(x, x[::-1] + [3.0, 4.0])
    5.0

    Raises ShapeError if the two are not of one shape (n, d), or empty; ArgumentError if a number
    is not finite.
    """
    x, y = (np.asarray(_array(a), np.float64) for a in (x, y))
    if x.ndim != 2 or x.shape != y.shape or not x.size:
        raise ShapeError(
            f"wasserstein_points: got {x.shape} and {y.shape}; expected (n, d) for both"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ArgumentError("wasserstein_points: got NaN or ∞; expected finite numbers")
    cost = np.stack([np.linalg.norm(point - y, axis=1) for point in x])
    return float(cost[_cheapest(cost), np.arange(len(y))].mean())


def _cheapest(cost: np.ndarray) -> np.ndarray:
    """Which row each column is given to, so that the chosen costs (n, n) have the least sum.

    Row by row. u and v are prices with u[i] + v[j] ≤ cost[i, j], and equal where i has j. A row
    takes the column that costs least above the prices, if need be from a row that takes another.
    """
    n = len(cost)
    u, v = np.zeros(n), np.zeros(n + 1)  # column n is where a new row comes from
    row, before = np.full(n + 1, -1), np.zeros(n + 1, int)
    for i in range(n):
        row[n], j, seen, above = i, n, np.zeros(n + 1, bool), np.full(n, np.inf)
        while row[j] >= 0:
            seen[j] = True
            new = cost[row[j]] - u[row[j]] - v[:n]
            nearer = ~seen[:n] & (new < above)
            above[nearer], before[:n][nearer] = new[nearer], j
            j = int(np.where(seen[:n], np.inf, above).argmin())
            step = above[j]
            u[row[seen]] += step
            v[seen] -= step
            above[~seen[:n]] -= step
        while j != n:
            row[j] = row[before[j]]
            j = before[j]
    return row[:n]
