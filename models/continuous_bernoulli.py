r"""The density that a grey pixel's cross-entropy lacks (Loaiza-Ganem and Cunningham, 1907.06845).

λ^x (1 - λ)^(1 - x) is a probability for x = 0 or 1. Over all x in [0, 1] its integral is not 1 but
1 / C(λ): the continuous Bernoulli is C(λ) λ^x (1 - λ)^(1 - x). With λ = sigmoid(a)

    C = 2 artanh(1 - 2λ) / (1 - 2λ) = a / tanh(a / 2),    2 at a = 0

so leaving ln C out, as is usual, is no constant: it grows with |a|, and pays for sharp answers. λ
is then not the mean either: that is ½ + ½ / tanh(a / 2) - 1 / a.
"""

from minigrad import Generator, Tensor, no_grad, where
from minigrad.ops.sampling import stream
from models.likelihoods import Bernoulli, per_image

NEAR = 0.1  # |a| below which the formulas are 0 / 0, nearly; series are exact to 1e-12 there


def _apart(a: Tensor) -> tuple[Tensor, Tensor]:
    """Where |a| is small, and |a| with 1 put there."""
    small = a.detach().abs() < NEAR
    return small, where(small, 1.0, a.abs())


def log_normaliser(a: Tensor) -> Tensor:
    """ln C = ln(a / tanh(a / 2)) of every entry.

    >>> from minigrad import tensor
    >>> log_normaliser(tensor([0.0, 2.0]))
    tensor([0.6931, 0.9655])
    """
    small, size = _apart(a)
    y = (0.5 * where(small, a, 0.0)).square()
    series = 0.6931471805599453 + y * (1 / 3 - y * (7 / 90 - y * (62 / 2835)))
    return where(small, series, (size / (0.5 * size).tanh()).log())


class ContinuousBernoulli(Bernoulli):
    r"""Every pixel is in [0, 1], with density C λ^x (1 - λ)^(1 - x), λ = sigmoid(a). Course: V19.

    -ln p(x|z) = -Σ x ln λ + (1 - x) ln (1 - λ) + ln C
    """

    def nll(self, a: Tensor, x: Tensor) -> Tensor:
        """-ln p(x|z) of each image, (n,): of a density, so it may be below 0."""
        return super().nll(a, x) - per_image(log_normaliser(a))

    def mean(self, a: Tensor) -> Tensor:
        """E[x|z] = ½ + ½ / tanh(a / 2) - 1 / a"""
        small, size = _apart(a)
        near = where(small, a, 0.0)
        series = 0.5 + near * (1 / 12 - near.square() * (1 / 720 - near.square() / 30240))
        return where(small, series, 0.5 + a.sign() * (0.5 / (0.5 * size).tanh() - 1 / size))

    @no_grad()
    def sample(self, a: Tensor, generator: Generator | None = None) -> Tensor:
        """An image drawn from p(x|z): F⁻¹(u) = ln(1 + u (e^a - 1)) / a, u uniform."""
        u = Tensor(stream(generator, a.device).uniform(a.shape, "float32")).to(a.dtype)
        small, size = _apart(a)
        low = (u * (-size).expm1()).log1p() / -size  # of -|a|; that of |a| is its mirror image
        return where(small, u, where(a < 0, low, 1.0 - low))
