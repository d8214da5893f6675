"""The KL, the draw and the bound on ln p(x), against integrals and against many draws."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.gradcheck import check_grads
from models.likelihoods import Bernoulli, Gaussian
from models.vae import VAE, DenseVAE, kl_per_code
from tests.models.vae_cases import SMALL, seeded

# ---------------------------------------------------------------- the KL


def test_kl_gradient_is_right_to_second_order():
    rng = np.random.default_rng(0)
    mean, log_var = (mg.tensor(rng.normal(size=(3, 4)), requires_grad=True) for _ in range(2))
    check_grads(kl_per_code, mean, log_var, order=2)


@pytest.mark.parametrize("mean, log_var", [(0.0, 0.0), (0.7, -2.0), (-1.5, 1.2), (3.0, 0.1)])
def test_kl_is_its_integral(mean, log_var):
    """∫ q ln (q / p) dz, by the trapezoidal rule, which is as good as exact for such integrands."""
    std = math.exp(log_var / 2)
    z = np.linspace(mean - 12 * std, mean + 12 * std, 4001)
    log_q = -0.5 * (((z - mean) / std) ** 2 + log_var)
    q = np.exp(log_q) / math.sqrt(2 * math.pi)
    integral = np.trapezoid(q * (log_q + 0.5 * z**2), z)
    found = kl_per_code(mg.tensor([mean]).double(), mg.tensor([log_var]).double()).item()
    assert found == pytest.approx(integral, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
def test_kl_of_a_code_that_says_nearly_nothing(dtype):
    """It is ½ (μ² + ½ (ln σ²)²) to leading order, and never below 0."""
    small = mg.tensor([0.0, 1e-3, -1e-4, 1e-6, -1e-8]).to(dtype)
    zero = mg.zeros_like(small)
    np.testing.assert_allclose(kl_per_code(small, zero), 0.5 * small.numpy() ** 2, rtol=1e-6)
    assert (kl_per_code(zero, small).numpy() >= 0).all()
    found = kl_per_code(zero.double(), small.double()).numpy()
    np.testing.assert_allclose(found, 0.25 * small.double().numpy() ** 2, rtol=1e-3, atol=1e-21)


# ---------------------------------------------------------------- the draw


class Plain(VAE):
    """An image of two pixels, which are the mean and log_var of its code; the decoder does nothing.

    So the gradient of each image is that of one draw.
    """

    def __init__(self):
        super().__init__((1, 1, 2), 1)

    def encode(self, x):
        return x[:, 0, :, 0], x[:, 0, :, 1]

    def decode(self, z):
        return z


class Deck001(Plain):
    """Deck 001's line, z = μ + e^log_var ε: that takes log_var for ln σ."""

    def forward(self, x, eps=None, generator=None):
        output, mean, log_var, _ = super().forward(x, eps, generator)
        z = mg.reparameterize(mean, log_var.exp(), eps, generator=generator)
        return super().forward(x, eps, generator)._replace(z=z, output=output)


def draws_of(model, mean, log_var, n=40_000):
    """That many draws of one code, and the images that they came from."""
    x = mg.tensor(np.tile([[[[mean, log_var]]]], (n, 1, 1, 1)), requires_grad=True)
    return model(x, generator=mg.Generator().manual_seed(0)).z, x


def within(samples, expected, errors=4):
    """Whether the samples' mean is so many standard errors from what is expected, or less."""
    return abs(samples.mean() - expected) < errors * samples.std() / math.sqrt(len(samples))


def test_the_draws_gradient_is_that_of_the_expectation():
    """E (z - a)² = (μ - a)² + σ²: its slope is 2 (μ - a) in μ, and σ² in ln σ²."""
    a, mean, log_var = 0.3, 1.1, -0.8
    z, x = draws_of(Plain(), mean, log_var)
    loss = (z - a).square()
    loss.sum().backward()
    to_mean, to_log_var = x.grad.numpy()[:, 0, 0].T
    assert within(loss.detach().numpy()[:, 0], (mean - a) ** 2 + math.exp(log_var))
    assert within(to_mean, 2 * (mean - a)) and not within(to_mean, 2 * mean)
    assert within(to_log_var, math.exp(log_var)) and not within(to_log_var, 2 * math.exp(log_var))


def test_deck_001s_draw_is_seen():
    """Its draws do not have the variance of which the KL speaks: 1.51 nats are called 0.57."""
    mean, log_var = 0.5, -2.0
    square = mean**2 + math.exp(log_var)
    z, _ = draws_of(Plain(), mean, log_var)
    wrong, _ = draws_of(Deck001(), mean, log_var)
    assert within(z.detach().numpy()[:, 0] ** 2, square)
    assert not within(wrong.detach().numpy()[:, 0] ** 2, square, errors=20)
    assert within(wrong.detach().numpy()[:, 0] ** 2, mean**2 + math.exp(2 * log_var))
    told, true = kl_per_code(mg.zeros(2), mg.tensor([log_var, 2 * log_var])).tolist()
    assert (round(told, 2), round(true, 2)) == (0.57, 1.51)


def test_one_image_has_many_codes():
    """Course: V8. The draw differs from call to call, and is the same for the same seed."""
    model, x, _ = seeded(DenseVAE(**SMALL), 0.5)
    first, again, other = (
        model(x, generator=mg.Generator().manual_seed(seed)).z.tolist() for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_pass_without_noise_decodes_the_mean():
    model, x, _ = seeded(DenseVAE(**SMALL), 0.5)
    output, mean, _, z = model(x, eps=mg.zeros(3, 2, dtype=mg.float64))
    assert z.tolist() == mean.tolist()
    assert model.likelihood.mean(output).tolist() == model.reconstruct(x).tolist()


# ---------------------------------------------------------------- ln p(x)


def by_quadrature(model, x):
    """ln p(x), the ELBO, and the relative variance of p(x|z) p(z) / q(z|x), of a model of one code.

    Each an integral over z by the trapezoidal rule on a grid far finer than any bend of it.
    """
    with mg.no_grad():
        mean, log_var = (float(of) for of in model.encode(x))
        std = math.exp(log_var / 2)
        z = np.linspace(min(-10, mean - 10 * std), max(10, mean + 10 * std), 20_001)
        output = model.decode(mg.tensor(z[:, None]))
        log_x = -model.likelihood.nll(output, x.expand(len(z), *x.shape[1:])).numpy()
    log_p = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    log_q = -0.5 * (((z - mean) / std) ** 2 + log_var + math.log(2 * math.pi))
    integral = lambda f: float(np.trapezoid(f, z))
    evidence = integral(np.exp(log_x + log_p))
    elbo = integral(np.exp(log_q) * (log_x + log_p - log_q))
    variance = integral(np.exp(2 * (log_x + log_p) - log_q)) / evidence**2 - 1
    return math.log(evidence), elbo, variance


LIKELIHOODS = {"Bernoulli": Bernoulli(), "Gaussian": Gaussian(0.2), "learned": Gaussian("learned")}


def one_code(likelihood):
    model = DenseVAE(hidden=5, codes=1, image_shape=(1, 2, 3), likelihood=likelihood)
    model, x, _ = seeded(model, 0.5, n=1)
    return model, x


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
def test_log_evidence_is_the_integral(likelihood):
    model, x = one_code(likelihood)
    evidence, _, variance = by_quadrature(model, x)
    k = 5000
    found = model.log_evidence(x, k, mg.Generator().manual_seed(0)).item()
    assert abs(found - evidence) < 4 * math.sqrt(variance / k)


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
def test_more_draws_tighten_the_bound(likelihood):
    """On average over 5,000 goes: one draw gives the ELBO, more give more, none more than ln p."""
    model, x = one_code(likelihood)
    evidence, elbo, _ = by_quadrature(model, x)
    goes = x.expand(5000, *x.shape[1:])
    generator = mg.Generator().manual_seed(0)
    bounds = [model.log_evidence(goes, k, generator).numpy() for k in (1, 4, 30)]
    assert within(bounds[0], elbo)
    error = [bound.std() / math.sqrt(len(bound)) for bound in bounds]
    means = [bound.mean() for bound in bounds]
    assert means[0] + 4 * error[0] < means[1] - 4 * error[1]
    assert means[1] + 4 * error[1] < means[2] - 4 * error[2]
    assert means[2] < evidence + 4 * error[2]
    loss = model.loss(goes)  # one draw each of its own
    assert -loss["loss"].item() == pytest.approx(elbo, abs=6 * error[0])


@pytest.mark.parametrize("draws", [1, 7])
def test_log_evidence_is_exact_where_the_code_says_nothing(draws):
    """With q(z|x) = p(z) and a decoder that does not look at z, every weight is p(x)."""
    model, x, _ = seeded(DenseVAE(**SMALL), 0.5)
    with mg.no_grad():
        for p in (*model.mean.parameters(), *model.log_var.parameters(), model.decoder[0].weight):
            p.zero_()
    parts = model.loss(x)
    assert parts["kl"].item() == 0.0
    found = model.log_evidence(x, draws)
    assert found.shape == (3,)
    assert -found.mean().item() == pytest.approx(parts["reconstruction"].item(), rel=1e-12)


def test_log_evidence_repeats_with_its_seed():
    model, x, _ = seeded(DenseVAE(**SMALL), 0.5)
    first, again, other = (
        model.log_evidence(x, 3, mg.Generator().manual_seed(seed)).tolist() for seed in (1, 1, 2)
    )
    assert first == again != other
