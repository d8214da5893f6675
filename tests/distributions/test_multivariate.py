"""The multivariate normal: deck 000's heights and weights, its three forms, and its refusals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad import Generator, Tensor, float64
from minigrad.distributions import Independent, MultivariateNormal, Normal, kl_divergence
from minigrad.engine import grad
from minigrad.errors import ArgumentError, DTypeError, ShapeError


def t(values, dtype=float64):
    return Tensor(np.array(values, dtype))


MU, SIGMA = [190.0, 70.0], [[100.0, 25.0], [25.0, 50.0]]  # weight and height


# ---------------------------------------------------------------- the deck's example (V2)


def test_covariance_of_the_decks_two_people():
    """(200, 80) and (180, 60): E21 = ½ (10 · 10 + (-10) (-10)) = 100."""
    people = np.array([[200.0, 80.0], [180.0, 60.0]])
    d = people - MU
    assert (d[:, 1] * d[:, 0]).mean() == 100.0


def test_correlation_of_height_and_weight():
    body = MultivariateNormal(t(MU), t(SIGMA))
    spread = body.stddev.numpy()
    np.testing.assert_allclose(spread, [10.0, math.sqrt(50.0)], rtol=1e-14)
    correlation = body.covariance_matrix[1, 0].item() / (spread[0] * spread[1])
    assert correlation == pytest.approx(0.3535533905932738, rel=1e-14)  # 25 / √(100 · 50)


def test_thousand_adults_have_the_decks_covariance():
    """The standard error of an entry is √((Σ_ij² + Σ_ii Σ_jj) / n)."""
    n, sigma = 100_000, np.array(SIGMA)
    adults = MultivariateNormal(t(MU), t(SIGMA)).sample((n,), generator=Generator().manual_seed(0))
    found = np.cov(adults.numpy().T)
    error = np.sqrt((sigma**2 + np.outer(np.diag(sigma), np.diag(sigma))) / n)
    assert np.all(np.abs(found - sigma) <= 4 * error)
    assert np.all(np.abs(adults.numpy().mean(0) - MU) <= 4 * np.sqrt(np.diag(sigma) / n))


def test_density_of_the_decks_formula():
    """f(x) = e^(-½ (x - μ)ᵀ Σ⁻¹ (x - μ)) / ((2π)^(p/2) |Σ|^½)"""
    x = np.array([[190.0, 70.0], [205.0, 61.0]])
    d = x - MU
    power = -0.5 * np.einsum("na,ab,nb->n", d, np.linalg.inv(SIGMA), d)
    f = np.exp(power) / (2 * math.pi * math.sqrt(np.linalg.det(SIGMA)))
    np.testing.assert_allclose(MultivariateNormal(t(MU), t(SIGMA)).log_prob(t(x)).exp(), f)


def test_without_covariance_height_and_weight_are_independent():
    """The deck's second matrix, diag(100, 50): the density is a product."""
    joint = MultivariateNormal(t(MU), t([[100.0, 0.0], [0.0, 50.0]]))
    product = Independent(Normal(t(MU), t([100.0, 50.0]).sqrt()), 1)
    x = t([[190.0, 70.0], [205.0, 61.0], [150.0, 75.0]])
    np.testing.assert_allclose(joint.log_prob(x), product.log_prob(x), rtol=1e-14)
    np.testing.assert_allclose(joint.entropy(), product.entropy(), rtol=1e-14)


# ---------------------------------------------------------------- three forms of one

# By PyTorch: d = T.MultivariateNormal(torch.zeros(3), C) and (…, precision_matrix=C).
C = [[4.0, 2.0, -1.0], [2.0, 3.0, 0.5], [-1.0, 0.5, 2.0]]
FACTOR = [[2.0, 0.0, 0.0], [1.0, 1.414213562373, 0.0], [-0.5, 0.7071067811865, 1.11803398875]]
FACTOR_OF_INVERSE = [
    [0.7582875444052, 0.0, 0.0], [-0.5934424260562, 0.5897678246196, 0.0],
    [0.5275043787166, -0.1474419561549, 0.7071067811865],
]  # fmt: skip
INVERSE = [[0.575, -0.45, 0.4], [-0.45, 0.7, -0.4], [0.4, -0.4, 0.8]]


def test_factors_are_pytorchs():
    zero = t([0.0, 0.0, 0.0])
    d = MultivariateNormal(zero, t(C))
    np.testing.assert_allclose(d.scale_tril, FACTOR, rtol=1e-12)
    np.testing.assert_allclose(d.precision_matrix, INVERSE, rtol=1e-12)
    assert d.covariance_matrix.tolist() == C
    d = MultivariateNormal(zero, precision_matrix=t(C))
    np.testing.assert_allclose(d.scale_tril, FACTOR_OF_INVERSE, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(d.covariance_matrix, INVERSE, rtol=1e-12)
    assert d.precision_matrix.tolist() == C
    d = MultivariateNormal(zero, scale_tril=t(FACTOR))
    np.testing.assert_allclose(d.covariance_matrix, C, rtol=1e-11)
    np.testing.assert_allclose(d.variance, [4.0, 3.0, 2.0], rtol=1e-11)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_three_forms_are_one(seed, n):
    r = np.random.default_rng(seed)
    a = r.standard_normal((2, n, n))
    sigma = a @ a.swapaxes(-1, -2) + 0.5 * np.eye(n)
    mu, x = t(r.standard_normal(n)), t(r.standard_normal((3, 2, n)))
    forms = [
        MultivariateNormal(mu, t(sigma)),
        MultivariateNormal(mu, precision_matrix=t(np.linalg.inv(sigma))),
        MultivariateNormal(mu, scale_tril=t(np.linalg.cholesky(sigma))),
    ]
    for d in forms[1:]:
        np.testing.assert_allclose(d.log_prob(x), forms[0].log_prob(x), rtol=1e-9)
        np.testing.assert_allclose(d.entropy(), forms[0].entropy(), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(d.covariance_matrix, sigma, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(kl_divergence(d, forms[0]), [0.0, 0.0], atol=1e-9)


@pytest.mark.parametrize(
    "loc, matrix, value",
    [((2,), (), ()), ((2,), (4,), (3, 1)), ((4, 2), (), (3, 4)), ((3, 1, 2), (4,), (5, 3, 4)),
     ((1, 2), (3, 1), (4,)), ((2,), (3, 4), (1, 1))],
    ids=str,
)  # fmt: skip
def test_batches_broadcast(loc, matrix, value):
    """Every density of a batch is that of its own mean and matrix."""
    r = np.random.default_rng(0)
    mu, x = r.standard_normal(loc), r.standard_normal((*value, 2))
    a = r.standard_normal((*matrix, 2, 2))
    sigma = a @ a.swapaxes(-1, -2) + 0.5 * np.eye(2)
    d = MultivariateNormal(t(mu), t(sigma))
    batch = np.broadcast_shapes(loc[:-1], matrix)
    assert d.batch_shape == batch and d.entropy().shape == batch
    found = d.log_prob(t(x))
    full = np.broadcast_shapes(value, batch)
    assert found.shape == full
    mus, xs = (np.broadcast_to(v, (*full, 2)) for v in (mu, x))
    sigmas = np.broadcast_to(sigma, (*full, 2, 2))
    for i in np.ndindex(full):
        one = MultivariateNormal(t(mus[i]), t(sigmas[i])).log_prob(t(xs[i]))
        assert found[i].item() == pytest.approx(one.item(), rel=1e-12)


def test_draws_of_a_batch_have_their_own_covariances():
    r, n = np.random.default_rng(1), 40_000
    a = r.standard_normal((3, 1, 2, 2))
    sigma = a @ a.swapaxes(-1, -2) + 0.5 * np.eye(2)
    mu = r.standard_normal((4, 2))
    x = MultivariateNormal(t(mu), t(sigma)).sample((n,), generator=Generator().manual_seed(1))
    assert x.shape == (n, 3, 4, 2)
    d = x.numpy() - mu
    found = np.einsum("nija,nijb->ijab", d, d) / n
    along = np.einsum("ijaa->ija", sigma)
    error = np.sqrt((sigma**2 + along[..., :, None] * along[..., None, :]) / n)
    assert np.all(np.abs(found - sigma) <= 4.5 * error)


def test_gradient_of_the_mean_log_likelihood_vanishes_at_the_moments():
    """The maximum of the likelihood is at the mean and the covariance of the data. Course: V6."""
    x = np.random.default_rng(2).standard_normal((50, 3)) @ np.array(FACTOR).T
    mu = Tensor(x.mean(0), requires_grad=True)
    sigma = Tensor(np.cov(x.T, ddof=0), requires_grad=True)
    nats = MultivariateNormal(mu, sigma).log_prob(t(x)).mean()
    for g in grad(nats, [mu, sigma]):
        np.testing.assert_allclose(g, 0.0, atol=1e-14)


# ---------------------------------------------------------------- what it refuses

ONE, ZERO = t([[1.0, 0.0], [0.0, 1.0]]), t([0.0, 0.0])
REFUSED = {
    "none": (lambda: MultivariateNormal(ZERO), ArgumentError,
             "got none; expected exactly one of covariance_matrix, precision_matrix and scale"),
    "two": (lambda: MultivariateNormal(ZERO, ONE, scale_tril=ONE), ArgumentError,
            "got covariance_matrix and scale_tril"),
    "a number": (lambda: MultivariateNormal(t(0.0), t([[1.0]])), ShapeError, r"got loc \(\)"),
    "sizes": (lambda: MultivariateNormal(t([0.0] * 3), ONE), ShapeError,
              r"got loc \(3,\) and covariance_matrix \(2, 2\); expected \(…, n\) and \(…, n, n\)"),
    "batches": (lambda: MultivariateNormal(t([[0.0] * 2] * 3), t(np.ones((2, 1, 1)) * np.eye(2))),
                ShapeError, r"MultivariateNormal: shapes do not broadcast: got \(3,\) and \(2,\)"),
    "no list": (lambda: MultivariateNormal(ZERO, [[1.0, 0.0], [0.0, 1.0]]), DTypeError, "got list"),
    "asymmetric": (lambda: MultivariateNormal(ZERO, t([[1.0, 0.5], [0.4, 1.0]])), ArgumentError,
                   r"covariance_matrix: got a difference of 0.1 between entry \(0, 1\)"),
    "indefinite": (lambda: MultivariateNormal(ZERO, t([[1.0, 2.0], [2.0, 1.0]])), ArgumentError,
                   "MultivariateNormal: covariance_matrix: .*leading minor of order 2"),
    "precision": (lambda: MultivariateNormal(ZERO, None, t([[1.0, 2.0], [2.0, 1.0]])),
                  ArgumentError, "MultivariateNormal: precision_matrix: .*not positive"),
    "upper": (lambda: MultivariateNormal(ZERO, scale_tril=t([[1.0, 0.5], [0.0, 1.0]])),
              ArgumentError, "scale_tril: got entries above the diagonal"),
    "diagonal": (lambda: MultivariateNormal(ZERO, scale_tril=t([[1.0, 0.0], [0.5, 0.0]])),
                 ArgumentError, "a diagonal that is not positive"),
    "NaN": (lambda: MultivariateNormal(ZERO, t([[1.0, 0.0], [0.0, math.nan]])), ArgumentError,
            r"covariance_matrix: got nan at \(1, 1\)"),
    "event": (lambda: MultivariateNormal(ZERO, ONE).log_prob(t([0.0] * 3)), ShapeError,
              r"expected it to end in \(2,\), the event"),
}  # fmt: skip


@pytest.mark.parametrize("make, error, message", REFUSED.values(), ids=REFUSED)
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
