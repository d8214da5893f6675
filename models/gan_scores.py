r"""How good the samples of a GAN are, which has no likelihood to be judged by.

Does it make all kinds of the data, and only those (`mode_coverage`, where the kinds are known)? Are
samples spread as data are, seen through a classifier (`frechet_distance` of `features_of`), and
what does it take them for (`taken_for`)? Has it learned the data by heart (`nearest`,
`data_copying`)? Each takes tensors or NumPy arrays.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor, no_grad
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn import functional as F
from models.classifier import Classifier
from models.scores import CHUNK, _array, _squared_distances
from models.toys import Mixture


def _points(op: str, least: int, **named: Any) -> list[np.ndarray]:
    """Each as (n, d) of float64, all of one d; images are flattened."""
    found = []
    for name, x in named.items():
        x = _array(x).astype(np.float64)
        if x.ndim < 2 or len(x) < least or not x.size:
            raise ShapeError(
                f"{op}: {name}: got {x.shape}; expected (n, …) with at least {least} examples"
            )
        if not np.isfinite(x).all():
            raise ArgumentError(f"{op}: {name}: got NaN or ∞; expected finite numbers")
        found.append(x.reshape(len(x), -1))
    if len({x.shape[1] for x in found}) > 1:
        shapes = ", ".join(f"{name} {x.shape}" for name, x in zip(named, found, strict=True))
        raise ShapeError(f"{op}: got {shapes}; expected as many numbers in each example")
    return found


# ---------------------------------------------------------------- known modes


class Coverage(NamedTuple):
    """Which modes of a mixture samples reach, and how many of them are good."""

    modes: int  # those with a good sample, or as many as were asked for
    of: int  # all
    good: float  # the share of samples within so many standard deviations of their mode
    kl: float  # KL(shares of the modes ‖ equal shares), nats: 0 to ln `of`
    counts: np.ndarray  # the good samples of each mode


def mode_coverage(samples: Any, mixture: Mixture, within: float = 3.0, least: int = 1) -> Coverage:
    r"""How the samples (n, d) are spread over the modes of a mixture. Course: G1.

    A sample belongs to the nearest centre, and is good if it is at most `within` · std away: of
    the mixture's own samples 99.7 % are on a line, 98.9 % in the plane. A mode is reached with
    `least` good samples. kl = Σ q ln(q · modes), q the share of the good samples that each mode
    has; ln of the number of modes, its most, if there is no good sample. (Metz et al., arXiv
    1611.02163; Srivastava et al., arXiv 1705.07761.)

    >>> from models.toys import ring
    >>> circle = ring(4, 1.0, 0.1)
    >>> mode_coverage(circle.centres[[0, 0, 1]] + [[0.1, 0.1]], circle)[:3]
    (2, 4, 1.0)

    Raises ShapeError if the samples are not points of that space, or none; ArgumentError if one is
    not finite, or within or least not above 0.
    """
    centres, std = np.asarray(mixture.centres, np.float64), mixture.std
    (samples,) = _points("mode_coverage", 1, samples=samples)
    if samples.shape[1] != centres.shape[1]:
        raise ShapeError(
            f"mode_coverage: samples: got {samples.shape}; expected {('n', centres.shape[1])}"
        )
    if least < 1 or not within > 0:
        raise ArgumentError(
            f"mode_coverage: within, least: got {within}, {least}; expected both above 0"
        )
    away = ((samples[:, None] - centres) ** 2).sum(2)
    good = away.min(1) <= (within * std) ** 2
    counts = np.bincount(away.argmin(1)[good], minlength=len(centres))
    q = counts[counts > 0] / max(counts.sum(), 1)
    kl = float((q * np.log(q * len(centres))).sum()) if q.size else float(np.log(len(centres)))
    modes = int((counts >= least).sum())
    return Coverage(modes, len(centres), float(good.mean()), max(0.0, kl), counts)


# ---------------------------------------------------------------- distributions of features


@no_grad()
def features_of(classifier: Classifier, loader: Iterable, windows: int = 2) -> np.ndarray:
    """What a trained classifier sees in each image, (n, features), float64.

    The channels of its last convolution, pooled, each averaged over windows × windows parts of the
    image: 64 numbers for a `Classifier()`. A loader gives batches, images first.

    Raises ArgumentError if the loader is empty.
    """
    found = [
        F.adaptive_avg_pool2d(classifier.features(x), windows).flatten(1).cpu().numpy()
        for x in _images("features_of", loader)
    ]
    return np.concatenate(found).astype(np.float64)


def _images(op: str, loader: Iterable) -> Iterator[Tensor]:
    """The images of each batch; an empty loader is refused."""
    batch = None
    for batch in loader:
        yield batch[0] if isinstance(batch, tuple) else batch
    if batch is None:
        raise ArgumentError(f"{op}: loader: got no batch; expected images")


def frechet_distance(x: Any, y: Any) -> float:
    r"""How far apart two sets of features are, if each is taken for a Gaussian.

        d² = ‖m₁ - m₂‖² + tr(S₁ + S₂ - 2 (S₁ S₂)^½)

    with the mean m and the covariance S, over n - 1, of x (n, d) and y (m, d): the square of the
    2-Wasserstein distance of the two Gaussians. 0 if and only if m and S agree. (Dowson and Landau,
    1982.) The FID of Heusel et al. (arXiv 1706.08500) is this of the features of a certain network
    trained on photographs. Of another network it is another number: compare it with itself alone.

    Few examples make it too large, for their own S has fewer directions than the data's: give both
    sets the same number, and compare with the distance of two sets of data.

    No root of a matrix is computed. S = AᵀA with A = (x - m) / √(n - 1) = Q R; the eigenvalues of
    S₁S₂ are then the squares of the singular values of R₁R₂ᵀ, so that tr (S₁S₂)^½ is their sum. So
    nothing is rounded under a root, and S may have no inverse: n may be less than d.

    >>> x = np.array([[0.0, 1.0], [2.0, 1.0], [1.0, 3.0]])
    >>> round(frechet_distance(x, x + [3.0, 4.0]), 9)  # the same shape, moved by 5
    25.0

    Raises ShapeError if the features are not (n, d) and (m, d), n and m at least 2; ArgumentError
    if one is not finite.
    """
    x, y = _points("frechet_distance", 2, x=x, y=y)
    means, roots = [], []
    for z in (x, y):
        means.append(z.mean(0))
        roots.append(np.linalg.qr((z - means[-1]) / np.sqrt(len(z) - 1), mode="r"))
    spread = sum(float((r * r).sum()) for r in roots)  # tr S₁ + tr S₂
    shared = float(np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum())
    moved = float(((means[0] - means[1]) ** 2).sum())
    return moved + max(0.0, spread - 2 * shared)


class Taken(NamedTuple):
    """What a classifier takes images for."""

    labels: np.ndarray  # (n,): the class with the largest probability
    confidence: np.ndarray  # (n,): that probability


@no_grad()
def taken_for(classifier: Classifier, loader: Iterable) -> Taken:
    """What a trained classifier takes each image for, and how sure of it it is.

    It has never been told that there are images of no class, so it may be sure of a scrawl; but of
    halves of two digits, and of blurs, it is seldom. A loader gives batches, images first.

    >>> from minigrad import zeros
    >>> blank = taken_for(Classifier(), [zeros(3, 1, 28, 28)])
    >>> blank.labels.shape, bool((blank.confidence < 0.5).all())
    ((3,), True)

    Raises ArgumentError if the loader is empty.
    """
    found = [F.softmax(classifier(x), 1).cpu().numpy() for x in _images("taken_for", loader)]
    p = np.concatenate(found).astype(np.float64)
    return Taken(p.argmax(1), p.max(1))


# ---------------------------------------------------------------- learned by heart?


class Nearest(NamedTuple):
    """For each sample, the training example that is nearest to it."""

    index: np.ndarray  # (n,)
    distance: np.ndarray  # (n,), Euclidean, over all pixels


def nearest(samples: Any, train: Any) -> Nearest:
    """The nearest training example of each sample, pixel by pixel, to be looked at beside it.

    >>> nearest(np.array([[0.9], [4.0]]), np.array([[0.0], [1.0], [4.0]])).index
    array([1, 2])

    Raises ShapeError if samples and training examples differ in shape, or there are none.
    """
    samples, train = _points("nearest", 1, samples=samples, train=train)
    index = []
    rows = max(1, CHUNK // len(train))
    for start in range(0, len(samples), rows):
        index.append(_squared_distances(samples[start : start + rows], train).argmin(1))
    index = np.concatenate(index)
    return Nearest(index, np.sqrt(((samples - train[index]) ** 2).sum(1)))


def data_copying(samples: Any, train: Any, held_out: Any) -> float:
    r"""P(a sample is nearer to the training data than a held-out example is), ties count half.

    About ½ if samples are new as held-out data are new; 1 if the generator repeats what it was
    shown; and towards 0 if its samples are not like the data at all. `held_out` are data that it
    was not shown. (After Meehan et al., arXiv 2004.05675: their statistic, of the whole space.)

    >>> train = np.array([[0.0], [10.0]])
    >>> data_copying(train, train, np.array([[1.0], [9.5]]))
    1.0

    Raises ShapeError if the three differ in shape, or one is empty.
    """
    _points("data_copying", 1, samples=samples, train=train, held_out=held_out)
    ours, theirs = nearest(samples, train).distance, np.sort(nearest(held_out, train).distance)
    farther = len(theirs) - np.searchsorted(theirs, ours, "right")
    level = np.searchsorted(theirs, ours, "right") - np.searchsorted(theirs, ours, "left")
    return float((farther + 0.5 * level).mean() / len(theirs))
