"""A VAE that can be solved: linear decoder, linear encoder, all in closed form."""

import math
from typing import NamedTuple

import numpy as np

import minigrad
from minigrad import Tensor, nn, tensor
from minigrad.distributions import (
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

LN_2PI = math.log(2 * math.pi)


class LinearGaussian(nn.Module):
    r"""z ~ N(0, I) in k dimensions, x|z ~ N(W z + b, σ² I) in d.

    So x ~ N(b, W Wᵀ + σ² I), and z|x ~ N(m, S) with S⁻¹ = I + WᵀW / σ², m = S Wᵀ (x - b) / σ².
    """

    def __init__(self, weight: np.ndarray, log_var: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(tensor(weight))  # (d, k)
        self.bias = nn.Parameter(tensor(np.zeros(len(weight))))
        self.log_var = nn.Parameter(tensor(log_var, dtype=minigrad.float64))  # ln σ²

    def given(self, z: Tensor) -> Distribution:
        """p(x|z)"""
        mean = z @ self.weight.T + self.bias
        return Independent(Normal(mean, log_var=self.log_var), 1)

    def marginal(self) -> MultivariateNormal:
        """p(x)"""
        noise = self.log_var.exp() * _identity_like(self.bias)
        return MultivariateNormal(self.bias, self.weight @ self.weight.T + noise)

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """p(z|x) for each row of x"""
        scaled, identity = self.weight * (-self.log_var).exp(), _identity_like(self.weight[0])
        precision = identity + self.weight.T @ scaled
        centred = MultivariateNormal(minigrad.zeros_like(precision[0]), precision_matrix=precision)
        s = centred.covariance_matrix
        return MultivariateNormal((x - self.bias) @ scaled @ s, precision_matrix=precision)

    def prior(self) -> MultivariateNormal:
        """p(z)"""
        identity = _identity_like(self.weight[0])
        return MultivariateNormal(minigrad.zeros_like(identity[0]), identity)

    def reconstruction(self, x: Tensor, q: MultivariateNormal) -> Tensor:
        """E ln p(x|z) for z ~ q = N(m, C), in nats: a square's mean, and the trace of W C Wᵀ."""
        miss = (x - q.mean @ self.weight.T - self.bias).square().sum(1)
        spread = (self.weight @ q.scale_tril).square().sum((-2, -1))
        d = len(self.bias)
        return -0.5 * ((miss + spread) * (-self.log_var).exp() + d * (self.log_var + LN_2PI))


class Encoder(nn.Module):
    """q(z|x) = N(A x + c, L Lᵀ): one linear layer for all x, and one spread.

    "independent" has a diagonal L, as a VAE's encoder has; "full" may lean.
    """

    def __init__(self, d: int, k: int, kind: str) -> None:
        super().__init__()
        self.mean = nn.Linear(d, k, dtype=minigrad.float64)
        self.log_std = nn.Parameter(tensor(np.zeros(k)))
        if kind == "full":
            self.below = nn.Parameter(tensor(np.zeros((k, k))))  # what lies under the diagonal

    def forward(self, x: Tensor) -> MultivariateNormal:
        """q(z|x) for each row of x"""
        spread = self.log_std.exp() * _identity_like(self.log_std)
        if hasattr(self, "below"):
            spread = spread + minigrad.tril(self.below, -1)
        return MultivariateNormal(self.mean(x), scale_tril=spread)


def _identity_like(x: Tensor) -> Tensor:
    """I, with a column for each entry of x, where x is."""
    return minigrad.eye(len(x), dtype=minigrad.float64, device=x.device)


# ---------------------------------------------------------------- what training shows


class Terms(NamedTuple):
    """One moment of training, nats per example, averaged over the data."""

    evidence: float  # ln p(x)
    elbo: float
    gap: float  # KL(q ‖ p(z|x))
    off: float  # the largest |ELBO + KL - ln p(x)| of any example


@minigrad.no_grad()
def measure(model: LinearGaussian, encoder: Encoder, x: Tensor) -> Terms:
    """Each term by its own formula."""
    q = encoder(x)
    evidence = model.marginal().log_prob(x)
    elbo = model.reconstruction(x, q) - kl_divergence(q, model.prior())
    gap = kl_divergence(q, model.posterior(x))
    off = (elbo + gap - evidence).abs().max()
    terms = evidence.mean(), elbo.mean(), gap.mean(), off
    return Terms(*minigrad.stack(terms).tolist())  # a device is waited for once


def least_gap(posterior: MultivariateNormal) -> float:
    """KL(q ‖ N(m, S)) of the best independent q: its variances are 1 / (S⁻¹)ᵢᵢ, not Sᵢᵢ.

    What is left is ½ (Σ ln (S⁻¹)ᵢᵢ + ln det S).
    """
    precision = posterior.precision_matrix.cpu().numpy()
    precision = precision[0] if precision.ndim == 3 else precision
    return 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])


def highest_evidence(x: np.ndarray, k: int) -> float:
    """The largest mean ln p(x) of any linear-Gaussian model with k codes, nats per example.

    The k largest eigenvalues of the covariance are fitted exactly, the others by their mean, which
    is σ² (Tipping and Bishop 1999, probabilistic principal components).
    """
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    rest = values[k:].mean()
    d = len(values)
    return -0.5 * (d * LN_2PI + np.log(values[:k]).sum() + (d - k) * math.log(rest) + d)


def cosine(weight: Tensor) -> float:
    """That of the angle between the two columns of W (d, 2): 0 if p(z|x) has independent codes."""
    a, b = weight.detach().cpu().numpy().T
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


# ---------------------------------------------------------------- weighted draws


def log_weights(
    model: LinearGaussian, q: MultivariateNormal, x: Tensor, draws: int, repeats: int = 1
) -> np.ndarray:
    """ln p(x|z) p(z) / q(z|x) of draws z ~ q for the one row of x: (repeats, draws)."""
    block = max(1, 500_000 // (draws * len(model.bias)))  # repeats at once
    out = []
    for start in range(0, repeats, block):
        n = min(block, repeats - start)
        z = q.sample((n * draws,))
        nats = -q.log_prob(z)[:, 0]
        z = z[:, 0]
        nats = nats + model.given(z).log_prob(x) + model.prior().log_prob(z)
        out.append(nats.cpu().numpy().reshape(n, draws))
    return np.concatenate(out)


def log_mean(nats: np.ndarray) -> np.ndarray:
    """ln of the mean of e^nats over the last axis, with no overflow."""
    top = nats.max(-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(nats - top).mean(-1))


def second_moment(q: MultivariateNormal, posterior: MultivariateNormal) -> float:
    r"""ln E_q[w²] / p(x)², for weights w = p(x, z) / q(z|x) and one x; inf if there is none.

    It is ln ∫ p(z|x)² / q(z) dz of two Gaussians, N(m, P⁻¹)² over N(m', Q⁻¹): with δ = m - m' and
    R = 2P - Q, which must be positive definite,

        ½ ln |P|² / |Q||R| + ½ δᵀ (Q R⁻¹ Q + Q) δ.

    The relative variance of the mean of K weights is (e^this - 1) / K.
    """
    n = posterior.event_shape[0]
    p, own = (g.precision_matrix.cpu().numpy().reshape(n, n) for g in (posterior, q))
    delta = (posterior.mean - q.mean).cpu().numpy().reshape(n)
    r = 2 * p - own
    if np.linalg.eigvalsh(r).min() <= 0:
        return math.inf
    det_p, det_q, det_r = (np.linalg.slogdet(m)[1] for m in (p, own, r))
    pull = own @ delta
    far = pull @ np.linalg.solve(r, pull) + delta @ pull
    return det_p - 0.5 * (det_q + det_r) + 0.5 * far


class Estimates(NamedTuple):
    """Repeated estimates of ln p(x) of one x, of one dimension and one proposal."""

    d: int
    off: np.ndarray  # estimate - ln p(x), nats
    size: float  # median effective sample size, (Σ w)² / Σ w²
    moment: float  # ln E[w²] / p(x)²

    def needed(self, error: float = 0.1) -> float:
        """Draws for that relative standard error of p(x), as a power of ten."""
        relative_variance = self.moment + math.log(-math.expm1(-self.moment))  # ln (e^moment - 1)
        return relative_variance / math.log(10) - 2 * math.log10(error)
