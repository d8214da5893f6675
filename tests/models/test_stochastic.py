"""Codes are drawn from p(h|x), images from p(x|h), and the loss is -ln p(x|h), as in PyTorch."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ArgumentError, ShapeError
from models.likelihoods import Bernoulli, Gaussian
from models.stochastic import StochasticAutoencoder
from tests.models.endtoend import check_model
from tests.models.family_cases import STOCHASTIC, seeded


def drawn(model, n=4):
    model, x, rng = seeded(model, n)
    return model, x, mg.tensor(rng.standard_normal((n, 2)))


def test_it_is_pytorchs():
    make, value, norms = STOCHASTIC
    model, x, eps = drawn(make())
    loss = model.loss(x, eps=eps)
    assert loss.item() == pytest.approx(value, rel=1e-10)
    loss.backward()
    assert [p.grad.norm().item() for p in model.parameters()] == pytest.approx(norms, rel=1e-10)


@pytest.mark.parametrize(
    "likelihood", [Bernoulli, lambda: Gaussian(0.3), lambda: Gaussian("shared")]
)
def test_every_parameters_gradient_is_right(likelihood):
    model, x, eps = drawn(StochasticAutoencoder((6, 5, 2), 0.3, likelihood()))
    check_model(model, lambda *parameters: model.loss(x, eps=eps))


def test_the_same_image_has_two_codes_around_one_mean():
    model, x, _ = drawn(StochasticAutoencoder((6, 5, 2), std=0.3), 1)
    many = x.expand(20_000, -1).clone()
    codes = model.sample_code(many, generator=mg.Generator().manual_seed(0)).detach().numpy()
    assert not np.array_equal(codes[0], codes[1])
    mean = model.encode(x).detach().numpy()[0]
    assert (np.abs(codes.mean(0) - mean) < 4 * 0.3 / math.sqrt(20_000)).all()
    assert (np.abs(codes.std(0) / 0.3 - 1) < 4 / math.sqrt(40_000)).all()
    again = model.sample_code(many, generator=mg.Generator().manual_seed(0)).detach().numpy()
    np.testing.assert_array_equal(codes, again)


def test_the_mean_cannot_outgrow_the_noise():
    model, x, _ = drawn(StochasticAutoencoder((6, 5, 2)))
    assert (model.encode(x * 1e3).abs() <= 1).all()


def test_without_noise_it_is_an_autoencoder():
    model, x, _ = drawn(StochasticAutoencoder((6, 5, 2), std=0.0))
    np.testing.assert_array_equal(
        model.sample_code(x).detach().numpy(), model.encode(x).detach().numpy()
    )
    r = model(x).detach().numpy()
    by_hand = -(x.numpy() * np.log(r) + (1 - x.numpy()) * np.log(1 - r)).sum(1).mean()
    assert model.loss(x).item() == pytest.approx(by_hand, rel=1e-12)


def test_images_are_drawn_from_what_the_code_says():
    model, x, _ = drawn(StochasticAutoencoder((6, 5, 2)), 1)
    h = model.encode(x).expand(20_000, -1).clone()
    images = model.sample_image(h, mg.Generator().manual_seed(0)).numpy()
    p = model(x).detach().numpy()[0]
    assert set(images.ravel().tolist()) == {0.0, 1.0}
    assert (np.abs(images.mean(0) - p) < 4 * np.sqrt(p * (1 - p) / 20_000)).all()


def test_images_keep_their_shape():
    model = StochasticAutoencoder((6, 5, 2))
    x = mg.rand(3, 1, 2, 3)
    assert model(x).shape == x.shape and model.loss(x, mg.arange(3)).shape == ()


def test_wrong_settings_are_refused():
    for std in (-0.1, math.inf, math.nan):
        with pytest.raises(ArgumentError, match=f"std: got {std}; expected 0 or more"):
            StochasticAutoencoder((6, 2), std)
    with pytest.raises(ArgumentError, match="likelihood: got one with 2 numbers per pixel"):
        StochasticAutoencoder((6, 2), likelihood=Gaussian("learned"))
    model = StochasticAutoencoder((6, 2))
    with pytest.raises(ShapeError, match=r"eps: got shape \(1, 2\); expected \(3, 2\)"):
        model.loss(mg.rand(3, 6), eps=mg.zeros(1, 2))
    with pytest.raises(ArgumentError, match="empty batch"):
        model.loss(mg.rand(0, 6))
