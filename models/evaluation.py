r"""How good a VAE is, on images that it was not trained on.

`elbo_parts` and `log_evidence_of` measure how likely the images are; the others look at the codes:
which of them say something, and whether together they are spread as p(z), from which new images
will be drawn. A loader gives batches, images first: so the images may be many.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from minigrad import Generator, Tensor, no_grad
from minigrad.errors import ArgumentError, ShapeError
from models.vae import VAE, kl_per_code


def _images(op: str, loader: Iterable) -> Iterator[Tensor]:
    """The images of each batch; ArgumentError if there is none."""
    some = False
    for batch in loader:
        some = True
        yield batch[0] if isinstance(batch, tuple) else batch
    if not some:
        raise ArgumentError(f"{op}: loader: got no batch; expected images")


# ---------------------------------------------------------------- how likely the images are


class Parts(NamedTuple):
    """The ELBO and its parts, averaged over images."""

    reconstruction: float  # E -ln p(x|z), nats per image
    kl: float  # KL(q(z|x) ‖ p(z)), nats per image
    elbo: float  # -(reconstruction + kl), whatever the model's β and free bits
    bits_per_dimension: float  # -elbo / (D ln 2), D = channels · height · width


@no_grad()
def elbo_parts(model: VAE, loader: Iterable, generator: Generator | None = None) -> Parts:
    """ELBO = E ln p(x|z) - KL(q(z|x) ‖ p(z)) of the loader's images, one draw z for each.

    The mean is over images, not over batches, of which the last may be short. (Kingma and
    Welling, arXiv 1312.6114, eq. 3.) Bits per dimension are those of a probability if the
    likelihood is Bernoulli and the pixels 0 or 1. Of a density for pixels in [0, 1], such as the
    Gaussian, they may be negative, and add 8 to speak of pixels in 0 … 255.

    Raises ArgumentError if the loader is empty, ShapeError if images do not fit the model.
    """
    nats, kl, n = 0.0, 0.0, 0
    for x in _images("elbo_parts", loader):
        output, mean, log_var, _ = model(x, generator=generator)
        nats += _total(model.likelihood.nll(output, x))
        kl += _total(kl_per_code(mean, log_var))
        n += len(x)
    elbo = -(nats + kl) / n
    return Parts(nats / n, kl / n, elbo, -elbo / (math.prod(model.image_shape) * math.log(2)))


def _total(x: Tensor) -> float:
    return float(np.sum(x.cpu().numpy(), dtype=np.float64))


def log_evidence_of(
    model: VAE, loader: Iterable, draws: int = 100, generator: Generator | None = None
) -> np.ndarray:
    """`model.log_evidence` of every image of the loader, (n,), in nats. Course: V5, A22.

    A lower bound on ln p(x) that the more draws lift the closer (Burda et al., arXiv 1509.00519).
    Its mean is the model's log-likelihood; as a score of single images it finds outliers.
    """
    found = [
        model.log_evidence(x, draws, generator).cpu().numpy()
        for x in _images("log_evidence_of", loader)
    ]
    return np.concatenate(found).astype(np.float64)


# ---------------------------------------------------------------- what the codes are


class Posteriors(NamedTuple):
    """q(z|x) = N(mean, e^log_var) of every image, two arrays (n, codes) of float64."""

    mean: np.ndarray
    log_var: np.ndarray


@no_grad()
def posteriors(model: VAE, loader: Iterable) -> Posteriors:
    """What the encoder answers to every image of the loader.

    Raises ArgumentError if the loader is empty, ShapeError if images do not fit the model.
    """
    means, log_vars = [], []
    for x in _images("posteriors", loader):
        mean, log_var = model.encode(model.check(x))
        means.append(mean.cpu().numpy())
        log_vars.append(log_var.cpu().numpy())
    return Posteriors(*(np.concatenate(x).astype(np.float64) for x in (means, log_vars)))


def _checked(op: str, of: Posteriors) -> Posteriors:
    mean, log_var = np.asarray(of[0], np.float64), np.asarray(of[1], np.float64)
    if mean.ndim != 2 or mean.shape != log_var.shape or not mean.size:
        raise ShapeError(
            f"{op}: got mean {mean.shape}, log_var {log_var.shape}; expected (n, codes) for both"
        )
    return Posteriors(mean, log_var)


def kl_by_code(of: Posteriors) -> np.ndarray:
    """KL(q(z|x) ‖ p(z)) of each code, averaged over the images: (codes,), in nats.

    ½ (μ² + σ² - 1 - ln σ²). Their sum is the KL of the loss. A code near 0 nats has collapsed: it
    is noise to the decoder. (Kingma and Welling, arXiv 1312.6114, appendix B.)

    >>> kl_by_code(Posteriors(np.array([[2.0, 0.0], [-2.0, 0.0]]), np.zeros((2, 2))))
    array([2., 0.])
    """
    mean, log_var = _checked("kl_by_code", of)
    return 0.5 * (mean**2 + np.expm1(log_var) - log_var).mean(0)


def active_units(of: Posteriors, threshold: float = 0.01) -> np.ndarray:
    """Which codes depend on the image: Varₓ E[z|x] > threshold. (codes,), of booleans.

    The variance of the means over the images, in units of the prior's, which is 1. Their number is
    `.sum()`. (Burda et al., arXiv 1509.00519.)
    """
    return _checked("active_units", of).mean.var(0) > threshold


class Aggregate(NamedTuple):
    """The moments of the aggregate posterior, and how far they are from the prior's."""

    mean: np.ndarray  # (codes,)
    covariance: np.ndarray  # (codes, codes)
    kl: float  # KL(N(mean, covariance) ‖ N(0, 1)), nats


def aggregate_posterior(of: Posteriors) -> Aggregate:
    """Mean m and covariance S of q(z) = (1/n) Σ q(z|xᵢ): how the codes of all images are spread.

        m = E μ(x),    S = Cov μ(x) + diag E σ²(x)

    between the clouds and within them. The decoder was trained on z ~ q(z) and will be asked for
    z ~ p(z), so they should agree. `kl` is ½ (tr S + mᵀm - k - ln det S), 0 if and only if m = 0
    and S = 1: that of the Gaussian with these moments, and not more than the KL of q(z) itself,
    a mixture. (Deck 000's formula; on q(z): Hoffman and Johnson, ELBO surgery, 2016.)

    >>> two_clouds = Posteriors(np.array([[0.6], [-0.6]]), np.log([[0.64], [0.64]]))
    >>> aggregate_posterior(two_clouds).covariance
    array([[1.]])
    """
    mean, log_var = _checked("aggregate_posterior", of)
    middle = mean.mean(0)
    apart = mean - middle
    covariance = apart.T @ apart / len(mean) + np.diag(np.exp(log_var).mean(0))
    log_det = np.linalg.slogdet(covariance)[1]
    kl = 0.5 * (np.trace(covariance) + middle @ middle - len(middle) - log_det)
    return Aggregate(middle, covariance, float(kl))
