"""What is measured of a VAE, against what is known exactly, sampled, or integrated."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import Generator
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError, ShapeError
from models.evaluation import (
    Posteriors,
    active_units,
    aggregate_posterior,
    elbo_parts,
    kl_by_code,
    log_evidence_of,
    posteriors,
)
from models.likelihoods import Gaussian
from models.vae import DenseVAE


def small(**settings):
    """A model in float64, and seven images with labels."""
    mg.manual_seed(0)
    model = DenseVAE(hidden=5, codes=2, image_shape=(1, 3, 4), **settings).double()
    return model, mg.rand(7, 1, 3, 4, dtype=mg.float64), mg.arange(7)


def loaded(*tensors, batch=3):
    return DataLoader(TensorDataset(*tensors), batch)


def gaussians(n, codes, seed=0):
    rng = np.random.default_rng(seed)
    return Posteriors(rng.normal(size=(n, codes)), rng.normal(-1, 0.7, (n, codes)))


# ---------------------------------------------------------------- how likely the images are


@pytest.mark.parametrize("likelihood", [None, Gaussian(0.1), Gaussian("learned")])
def test_elbo_parts_are_the_losss(likelihood):
    """Over batches of 3, 3 and 1 they are the means of the 7 images, whatever β and free bits."""
    model, x, labels = small(likelihood=likelihood)
    eps = mg.randn(7, 2, dtype=mg.float64, generator=Generator().manual_seed(5))
    expected = {name: part.item() for name, part in model.loss(x, eps=eps).items()}
    model.beta, model.free_bits = 7.0, 3.0
    for batches in (loaded(x, labels), loaded(x, batch=7), [x[:2], x[2:]]):
        found = elbo_parts(model, batches, Generator().manual_seed(5))
        assert found.reconstruction == pytest.approx(expected["reconstruction"], rel=1e-12)
        assert found.kl == pytest.approx(expected["kl"], rel=1e-12)
        assert found.elbo == pytest.approx(-expected["loss"], rel=1e-12)
        assert found.bits_per_dimension == pytest.approx(-found.elbo / 12 / math.log(2), rel=1e-12)


def test_bits_per_dimension_of_a_fair_coin_is_1():
    """Pixels that are 0 or 1, and a decoder that says ½: one bit each, and nothing for the code."""
    model, x, _ = small()
    with mg.no_grad():
        for p in model.parameters():
            p.zero_()
    found = elbo_parts(model, [(x > 0.5).to(x.dtype)])
    assert found.kl == 0.0
    assert found.bits_per_dimension == pytest.approx(1.0, rel=1e-14)


def test_log_evidence_of_is_the_models_in_order():
    model, x, labels = small()
    found = log_evidence_of(model, loaded(x, labels), 5, Generator().manual_seed(0))
    generator = Generator().manual_seed(0)
    parts = [model.log_evidence(x[i : i + 3], 5, generator) for i in (0, 3, 6)]
    assert found.tolist() == mg.cat(parts).tolist() and found.shape == (7,)


def test_more_draws_lift_log_evidence_over_the_elbo():
    model, x, _ = small(likelihood=Gaussian(0.01))
    x = x.expand(300, 7, 1, 3, 4).reshape(2100, 1, 3, 4)
    generator = Generator().manual_seed(0)
    elbo = elbo_parts(model, loaded(x, batch=500), generator).elbo
    one, many = (log_evidence_of(model, loaded(x, batch=500), k, generator) for k in (1, 20))
    error = one.std() / math.sqrt(len(one))
    assert abs(one.mean() - elbo) < 6 * error < many.mean() - one.mean()


# ---------------------------------------------------------------- what the codes are


def test_posteriors_are_the_encoders():
    model, x, labels = small()
    mean, log_var = model.encode(x)
    found = posteriors(model, loaded(x, labels))
    np.testing.assert_allclose(found.mean, mean.detach().numpy(), rtol=1e-13)
    np.testing.assert_allclose(found.log_var, log_var.detach().numpy(), rtol=1e-13)
    assert kl_by_code(found).sum() == pytest.approx(model.loss(x)["kl"].item(), rel=1e-12)
    assert posteriors(model.float(), [x.float()]).mean.dtype == np.float64


def test_kl_by_code_is_what_draws_say():
    """E ln q(z|x) - ln p(z) over 100,000 draws of each code of each image, to 4 standard errors."""
    of = gaussians(4, 3)
    eps = np.random.default_rng(1).standard_normal((100_000, 4, 3))
    z = of.mean + np.exp(0.5 * of.log_var) * eps
    samples = (0.5 * (z**2 - eps**2 - of.log_var)).mean(1)
    error = samples.std(0) / math.sqrt(len(samples))
    assert (abs(samples.mean(0) - kl_by_code(of)) < 4 * error).all() and (error < 0.01).all()


def test_active_units_are_found_where_planted():
    """Means of variance 0.02, 0.0099 and 0, and one far from 0 but the same for all images."""
    signs = np.resize([1.0, -1.0], 100)[:, None]
    mean = signs * np.sqrt([0.02, 0.0099, 0.0, 0.0]) + [0, 0, 0, 5.0]
    of = Posteriors(mean, np.zeros_like(mean))
    assert active_units(of).tolist() == [True, False, False, False]
    assert active_units(of, threshold=0.009).tolist() == [True, True, False, False]


def test_aggregate_posterior_is_what_draws_say():
    """Mean and covariance of a z drawn for an image drawn; they need not be diagonal."""
    of = gaussians(6, 2)
    of.mean[:, 1] += 2.0 * of.mean[:, 0]
    rng = np.random.default_rng(1)
    image = rng.integers(0, 6, 400_000)
    z = of.mean[image] + np.exp(0.5 * of.log_var[image]) * rng.standard_normal((len(image), 2))
    found = aggregate_posterior(of)
    np.testing.assert_allclose(found.mean, z.mean(0), atol=4 * z.std() / math.sqrt(len(z)))
    np.testing.assert_allclose(found.covariance, np.cov(z.T), rtol=0.02)
    assert abs(found.covariance[0, 1]) > 0.5


def test_aggregate_posterior_at_the_prior():
    """Clouds of variance 0.64 around ±0.6 have the moments of N(0, 1)."""
    mean = 0.6 * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    found = aggregate_posterior(Posteriors(mean, np.full((4, 2), math.log(0.64))))
    np.testing.assert_allclose(found.mean, 0, atol=1e-15)
    np.testing.assert_allclose(found.covariance, np.eye(2), atol=1e-14)
    assert found.kl == pytest.approx(0, abs=1e-14)
    moved = aggregate_posterior(Posteriors(mean + [3, 4], np.full((4, 2), math.log(0.64))))
    assert moved.kl == pytest.approx(0.5 * 25, rel=1e-12)


def test_aggregate_kl_is_torchs():
    """torch.distributions.kl_divergence(MultivariateNormal(m, S), MultivariateNormal(0, I)),

    PyTorch 2.13, with m = (1, 2) and S = ((2.5, 1.5), (1.5, 4.5)).
    """
    mean = np.array([[1, 2], [1, 2]]) + np.array([[1, 1.5], [-1, -1.5]])
    of = Posteriors(mean, np.log([[1.5, 2.25], [1.5, 2.25]]))
    found = aggregate_posterior(of)
    np.testing.assert_allclose(found.covariance, [[2.5, 1.5], [1.5, 4.5]], rtol=1e-14)
    assert found.kl == pytest.approx(3.90138771133189, rel=1e-12)


def test_aggregate_kl_is_below_that_of_the_mixture():
    """Of one code, KL(q(z) ‖ p(z)) by the trapezoidal rule; equal if all images have one cloud."""
    z = np.linspace(-15, 15, 30_001)
    for of, close in ((gaussians(5, 1), False), (Posteriors(*np.full((2, 5, 1), 0.4)), True)):
        var = np.exp(of.log_var)
        q = (np.exp(-0.5 * (z - of.mean) ** 2 / var) / np.sqrt(2 * np.pi * var)).mean(0)
        log_p = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
        seen = q > 0
        mixture = np.trapezoid(
            np.where(seen, q * (np.log(np.where(seen, q, 1.0)) - log_p), 0.0), z
        )  # fmt: skip
        found = aggregate_posterior(of).kl
        assert found == pytest.approx(mixture, rel=1e-9) if close else found < 0.9 * mixture


# ---------------------------------------------------------------- wrong inputs


@pytest.mark.parametrize("measure", [elbo_parts, log_evidence_of, posteriors])
def test_no_images_are_refused(measure):
    with pytest.raises(ArgumentError, match=f"{measure.__name__}: loader: got no batch"):
        measure(small()[0], [])


@pytest.mark.parametrize("measure", [elbo_parts, log_evidence_of, posteriors])
def test_images_of_another_shape_are_refused(measure):
    with pytest.raises(ShapeError, match=r"DenseVAE: x: got \(2, 12\)"):
        measure(small()[0], [mg.zeros(2, 12, dtype=mg.float64)])


@pytest.mark.parametrize("measure", [kl_by_code, active_units, aggregate_posterior])
def test_posteriors_that_do_not_fit_are_refused(measure):
    for mean, log_var in (((3, 2), (3, 1)), ((3,), (3,)), ((0, 2), (0, 2))):
        with pytest.raises(ShapeError, match=rf"{measure.__name__}: got mean .*, log_var"):
            measure(Posteriors(np.zeros(mean), np.zeros(log_var)))
