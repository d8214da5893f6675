r"""What a decoder's output means: the distribution p(x|z) of the pixels, given the code.

A decoder answers with real numbers a. A likelihood makes of them a distribution over images, and
measures an image by -ln p(x|z), in nats, summed over its pixels. Both kinds here have the mean
sigmoid(a), between no ink and full ink.
"""

import math
from typing import Any, Protocol

from minigrad import Generator, Tensor, nn, reparameterize, tensor, zeros
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn import functional as F
from minigrad.ops.sampling import stream


def per_image(nats: Tensor) -> Tensor:
    """The sum over the pixels of each image: (n, c, h, w) → (n,)."""
    return nats.flatten(1).sum(1)


class Likelihood(Protocol):
    """p(x|z), given what the decoder answers, a (n, outputs · channels, h, w)."""

    outputs: int  # numbers that the decoder gives per pixel

    def nll(self, a: Tensor, x: Tensor) -> Tensor:
        """-ln p(x|z) of each image, (n,)."""

    def mean(self, a: Tensor) -> Tensor:
        """E[x|z]"""

    def sample(self, a: Tensor, generator: Generator | None = None) -> Tensor:
        """An image drawn from p(x|z)."""

    def implied_variance(self) -> float | None:
        """The variance of a pixel given z, where there is one for all of them."""


class Bernoulli(nn.Module):
    r"""Every pixel is full with probability p = sigmoid(a), else empty. Course: V10, V19.

        -ln p(x|z) = -Σ x ln p + (1 - x) ln (1 - p)

    computed from a, so that no logarithm meets a rounded 0. Of grey pixels it is a cross-entropy,
    as all five decks use it, and no longer the probability of anything: its smallest value, at
    p = x, is the entropy of the greys, above 0. Binarise the images to have true nats.
    """

    outputs = 1  # numbers that the decoder gives per pixel

    def nll(self, a: Tensor, x: Tensor) -> Tensor:
        """-ln p(x|z) of each image, (n,)."""
        return per_image(F.binary_cross_entropy_with_logits(a, x, reduction="none"))

    def mean(self, a: Tensor) -> Tensor:
        """E[x|z]"""
        return a.sigmoid()

    def sample(self, a: Tensor, generator: Generator | None = None) -> Tensor:
        """An image drawn from p(x|z): every pixel 0 or 1."""
        draws = stream(generator, a.device).uniform(a.shape, "float32")
        return (Tensor(draws) < a.sigmoid().detach()).to(a.dtype)

    def implied_variance(self) -> float | None:
        """None: a Bernoulli variable's variance is p (1 - p), and not a setting."""
        return None


class Gaussian(nn.Module):
    r"""Every pixel is normal around sigmoid(a), with variance σ². Course: V12, V18.

        -ln p(x|z) = ½ Σ (x - sigmoid(a))² / σ² + ln 2πσ²

    `variance` is a number, or "shared": one σ² that is learned, for all pixels of all images; or
    "learned": the decoder gives ln σ² of each pixel as well, as further channels.

    With a fixed σ² the sum of squares is merely scaled, and σ² decides what it weighs against the
    KL: the mean squared error plus w · KL, over D pixels, is this loss with σ² = w D / 2, scaled.
    Deck 002's w = 0.00024 and D = 12,288 mean σ² = 1.47, for pixels between 0 and 1. The best σ²
    is the mean squared error itself: what "shared" finds (Rybkin et al., arXiv 2006.13202).
    """

    def __init__(self, variance: float | str = 1.0) -> None:
        super().__init__()
        if isinstance(variance, str):
            if variance not in ("shared", "learned"):
                raise ArgumentError(
                    f"Gaussian: variance: got {variance!r}; expected a number, 'shared', 'learned'"
                )
        elif not (0 < variance < math.inf):
            raise ArgumentError(f"Gaussian: variance: got {variance}; expected it above 0")
        self.variance = variance
        self.outputs = 2 if variance == "learned" else 1
        if variance == "shared":
            self.log_var = nn.Parameter(zeros(()))

    def split(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """sigmoid(a), and ln σ² that goes with it."""
        if self.variance == "learned":
            half = a.shape[1] // 2
            return a[:, :half].sigmoid(), a[:, half:]
        if self.variance == "shared":
            return a.sigmoid(), self.log_var
        return a.sigmoid(), tensor(math.log(self.variance), dtype=a.dtype, device=a.device)

    def nll(self, a: Tensor, x: Tensor) -> Tensor:
        """-ln p(x|z) of each image, (n,)."""
        mean, log_var = self.split(a)
        if x.shape != mean.shape:
            raise ShapeError(
                f"Gaussian: nll: got images {x.shape} for a decoder's output {a.shape}; expected "
                f"{mean.shape}"
            )
        return 0.5 * per_image((x - mean).square() * (-log_var).exp() + log_var + LN_2PI)

    def mean(self, a: Tensor) -> Tensor:
        """E[x|z]"""
        return self.split(a)[0]

    def sample(self, a: Tensor, generator: Generator | None = None) -> Tensor:
        """An image drawn from p(x|z): its mean, and noise."""
        mean, log_var = self.split(a.detach())
        return reparameterize(mean, (0.5 * log_var).exp().detach(), generator=generator)

    def implied_variance(self) -> float | None:
        """σ², where there is one for all pixels."""
        if self.variance == "learned":
            return None
        return float(self.log_var.exp()) if self.variance == "shared" else float(self.variance)

    def extra_repr(self) -> str:
        return f"variance={self.variance!r}"


LN_2PI = math.log(2 * math.pi)


def variance_of_weighted_loss(kl_weight: float, pixels: int) -> float:
    """σ² for which a Gaussian -ln p(x|z) + KL is MSE + kl_weight · KL, scaled: w D / 2.

    >>> round(variance_of_weighted_loss(0.00024, 64 * 64 * 3), 2)  # deck 002
    1.47
    """
    if kl_weight <= 0 or pixels < 1:
        raise ArgumentError(
            f"variance_of_weighted_loss: got weight {kl_weight}, {pixels} pixels; expected both "
            "above 0"
        )
    return kl_weight * pixels / 2


def named(name: str, **settings: Any) -> Likelihood:
    """The likelihood of that name: "bernoulli" or "gaussian"."""
    kinds = {"bernoulli": Bernoulli, "gaussian": Gaussian}
    if name not in kinds:
        raise ArgumentError(f"likelihood: got {name!r}; expected one of {', '.join(kinds)}")
    return kinds[name](**settings)
