r"""What a denoising autoencoder has to undo: four ways to spoil an image (deck 003).

Each is a function of the clean x, a level and a generator, and answers with a new tensor; x itself
stays as it was, for it is the target. The noise is drawn anew at each call: an image met twice is
spoilt in two ways. All are zero noise at level 0.

    gaussian           x + level · ε,  ε ~ N(0, 1)
    masking            0 with probability `level`, else x
    salt_and_pepper    black or white with probability `level`, as often one as the other, else x
    dropout            0 with probability `level`, else x / (1 - level)
"""

import math
from collections.abc import Callable

from minigrad import Generator, Tensor, rand, randn_like, where
from minigrad.errors import ArgumentError, DTypeError
from minigrad.nn import functional as F

Corruption = Callable[[Tensor, float, Generator | None], Tensor]


def _check(op: str, x: Tensor, level: float, highest: float = 1.0) -> None:
    if not 0 <= level <= highest or level == math.inf:
        rule = "a probability, from 0 to 1" if highest == 1 else "a standard deviation, 0 or more"
        raise ArgumentError(f"{op}: level: got {level}; expected {rule}")
    if x.dtype.kind != "f":
        raise DTypeError(f"{op}: x: got {x.dtype}; expected a float type. Use .float()")


def _uniform(x: Tensor, generator: Generator | None) -> Tensor:
    """One draw from U[0, 1) for each entry; the same ones for a float32 and a float64 image."""
    return rand(x.shape, device=x.device, generator=generator)


def gaussian(x: Tensor, level: float, generator: Generator | None = None) -> Tensor:
    """x + level · ε with ε ~ N(0, 1): `level` is the noise's standard deviation. Course: A8.

    Not clipped: some pixels leave [0, 1], and the noise keeps its mean of 0 at the bounds too.
    """
    _check("gaussian", x, level, math.inf)
    return x + level * randn_like(x, generator=generator)


def masking(x: Tensor, level: float, generator: Generator | None = None) -> Tensor:
    """Each entry 0 with probability `level`, else x. Course: A8.

    On average the sum of x shrinks by the factor 1 - level: the model must make up for it.
    """
    _check("masking", x, level)
    return where(_uniform(x, generator) < level, 0.0, x)


def salt_and_pepper(
    x: Tensor, level: float, generator: Generator | None = None,
    *, low: float = 0.0, high: float = 1.0,
) -> Tensor:  # fmt: skip
    """Each entry `low` or `high` with probability level / 2 each, else x. Course: A8.

    `low` and `high` are the ends of the pixels' range, not of one batch.
    """
    _check("salt_and_pepper", x, level)
    u = _uniform(x, generator)
    return where(u < level / 2, low, where(u < level, high, x))


def dropout(x: Tensor, level: float, generator: Generator | None = None) -> Tensor:
    """Each entry 0 with probability `level`, else x / (1 - level), so that E y = x. Course: A8.

    What a dropout layer does before the first hidden layer: masking, and what is left is scaled.
    """
    _check("dropout", x, level)
    return F.dropout(x, level, generator=generator)


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian": gaussian,
    "masking": masking,
    "salt_and_pepper": salt_and_pepper,
    "dropout": dropout,
}


def named(name: str) -> Corruption:
    """The corruption of that name, one of `CORRUPTIONS`; ArgumentError if there is none.

    >>> named("masking").__name__
    'masking'
    """
    if name not in CORRUPTIONS:
        raise ArgumentError(f"corruption: got {name!r}; expected one of {', '.join(CORRUPTIONS)}")
    return CORRUPTIONS[name]
