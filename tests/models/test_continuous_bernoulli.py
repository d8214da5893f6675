"""The continuous Bernoulli is PyTorch's, a density, and smooth through its removable 0 / 0."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.gradcheck import check_grads
from models.continuous_bernoulli import ContinuousBernoulli, log_normaliser

A = [-30.0, -4.0, -0.5, 0.3, 2.0, 9.0]
X = [0.0, 0.3, 0.9, 0.5, 1.0, 0.2]
# PyTorch 2.13, float64: d = torch.distributions.ContinuousBernoulli(logits=a);
# -d.log_prob(x) and d.mean
NLL = [
    -3.40119738166225,
    -0.20477980794577721,
    0.21039505099275646,
    0.003747191511089487,
    -0.838560638428804,
    5.002652005244151,
]
MEAN = [
    0.033333333333239755,
    0.231342639636226,
    0.45850591746320135,
    0.5249625801767488,
    0.6565176427496656,
    0.889012313924827,
]


def column(values):
    return mg.tensor(np.array(values)[:, None])


def test_it_is_pytorchs():
    found = ContinuousBernoulli().nll(column(A), column(X)).numpy()
    np.testing.assert_allclose(found, NLL, rtol=1e-10)
    found = ContinuousBernoulli().mean(column(A)).numpy()[:, 0]
    np.testing.assert_allclose(found, MEAN, rtol=1e-10)


@pytest.mark.parametrize("a", [-7.0, -0.1001, -0.0999, 0.0, 1e-9, 0.05, 0.2, 40.0])
def test_it_is_a_density_with_that_mean(a):
    """By Simpson's rule over 20,001 points."""
    x = np.linspace(0, 1, 20_001)
    logits = mg.tensor(np.full((len(x), 1), a))
    density = np.exp(-ContinuousBernoulli().nll(logits, column(x)).numpy())
    weights = np.where(np.arange(len(x)) % 2, 4.0, 2.0)
    weights[[0, -1]] = 1.0
    weights /= 3 * (len(x) - 1)
    mean = ContinuousBernoulli().mean(logits[:1]).item()
    assert weights @ density == pytest.approx(1.0, abs=1e-10)
    assert weights @ (density * x) == pytest.approx(mean, abs=1e-10)


def test_gradients():
    a = mg.tensor(np.array([-6.0, -0.3, -0.05, 0.02, 0.08, 0.5, 3.0]), requires_grad=True)
    check_grads(log_normaliser, a, order=2)
    check_grads(ContinuousBernoulli().mean, a)


def test_at_zero_it_is_uniform():
    a = mg.zeros(1, requires_grad=True)
    found = log_normaliser(a)
    found.sum().backward()
    assert found.item() == pytest.approx(np.log(2)) and a.grad.item() == 0.0


@pytest.mark.parametrize("a", [-5.0, 0.01, 1.5])
def test_draws_have_that_mean(a):
    logits = mg.tensor(np.full((20_000, 1), a))
    drawn = ContinuousBernoulli().sample(logits, mg.Generator().manual_seed(0)).numpy()
    mean = ContinuousBernoulli().mean(logits[:1]).item()
    assert 0 <= drawn.min() and drawn.max() <= 1
    assert abs(drawn.mean() - mean) < 4 * drawn.std() / np.sqrt(len(drawn))
