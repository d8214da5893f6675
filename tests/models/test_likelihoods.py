"""The likelihoods are distributions, PyTorch's, and their gradients are right."""

import itertools
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ArgumentError, ShapeError
from minigrad.gradcheck import check_grads
from models.likelihoods import Bernoulli, Gaussian, named, per_image, variance_of_weighted_loss
from tests.models.endtoend import check_model


def double(values):
    return mg.tensor(np.asarray(values, np.float64))


def drawn(channels, x_channels=1, n=2, seed=0):
    """What a decoder might answer, and images in [0, 1]."""
    rng = np.random.default_rng(seed)
    return (
        mg.tensor(rng.standard_normal((n, channels, 2, 3)), requires_grad=True),
        mg.tensor(rng.random((n, x_channels, 2, 3))),
    )


# With a, x = drawn(…), in PyTorch 2.13, summed over all axes but the first:
#   Bernoulli   F.binary_cross_entropy_with_logits(a, x, reduction="none")
#   Gaussian    -torch.distributions.Normal(a[:, :1].sigmoid(), s).log_prob(x)
# where s is 0.3 ** 0.5, 1.0, and (0.5 * a[:, 1:]).exp().
TWINS = {
    "Bernoulli": (Bernoulli(), 1, [4.226476545206114, 4.390089437985485]),
    "Gaussian 0.3": (Gaussian(0.3), 1, [3.0166289721979864, 2.816052100785001]),
    "shared": (Gaussian("shared"), 1, [5.848106055012362, 5.787932993588468]),
    "learned": (Gaussian("learned"), 2, [5.945810219256733, 6.8755983166543375]),
}


@pytest.mark.parametrize("likelihood, channels, expected", TWINS.values(), ids=TWINS)
def test_nll_is_pytorchs(likelihood, channels, expected):
    a, x = drawn(channels)
    assert likelihood.outputs == channels
    assert likelihood.nll(a, x).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("likelihood, channels, _", TWINS.values(), ids=TWINS)
def test_nll_gradient_is_right_to_second_order(likelihood, channels, _):
    a, x = drawn(channels)
    check_grads(lambda a, x: likelihood.nll(a, x), a, x.requires_grad_(), order=2)


def test_the_shared_variances_gradient_is_right():
    likelihood = Gaussian("shared").double()
    with mg.no_grad():
        likelihood.log_var.fill_(-0.7)
    a, x = drawn(1)
    check_model(likelihood, lambda *parameters: likelihood.nll(a.detach(), x), order=2)
    assert likelihood.implied_variance() == pytest.approx(math.exp(-0.7))


# ---------------------------------------------------------------- they are distributions


def test_bernoulli_probabilities_of_all_images_sum_to_1():
    images = double(list(itertools.product((0.0, 1.0), repeat=6))).reshape(64, 1, 2, 3)
    a = drawn(1, n=1)[0].detach().expand(64, 1, 2, 3)
    assert (-Bernoulli().nll(a, images)).exp().sum().item() == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize("variance, more", [(0.3, []), ("shared", []), ("learned", [-0.8])])
def test_gaussian_density_integrates_to_1(variance, more):
    x = np.linspace(-12, 13, 5001)
    a = double([0.7, *more]).reshape(1, -1, 1, 1).expand(len(x), 1 + len(more), 1, 1)
    density = (-Gaussian(variance).nll(a, double(x).reshape(-1, 1, 1, 1))).exp().detach().numpy()
    assert np.trapezoid(density, x) == pytest.approx(1, rel=1e-12)
    middle = np.trapezoid(density * x, x)
    assert middle == pytest.approx(1 / (1 + math.exp(-0.7)), rel=1e-12)
    spread = np.trapezoid(density * (x - middle) ** 2, x)
    expected = {0.3: 0.3, "shared": 1.0, "learned": math.exp(-0.8)}[variance]
    assert spread == pytest.approx(expected, rel=1e-12)


def test_greys_cost_their_entropy_at_least():
    """Of grey x the smallest Bernoulli loss is at p = x, and it is not 0."""
    x = double([0.1, 0.5, 0.8]).reshape(1, 1, 1, 3)
    a = (x / (1.0 - x)).log().requires_grad_()
    loss = Bernoulli().nll(a, x).sum()
    loss.backward()
    p = x.numpy()
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)).sum()
    assert loss.item() == pytest.approx(entropy, rel=1e-14) and entropy > 1.5
    np.testing.assert_allclose(a.grad.numpy(), 0, atol=1e-15)


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
def test_bernoulli_at_extremes(dtype):
    """No logarithm meets a rounded 0: a certain decoder that is wrong pays |a| nats, not ∞."""
    a = mg.tensor([-1e4, -1e4, 1e4, 1e4], dtype=dtype).reshape(4, 1, 1, 1)
    x = mg.tensor([0.0, 1.0, 0.0, 1.0], dtype=dtype).reshape(4, 1, 1, 1)
    nats = Bernoulli().nll(a, x)
    assert nats.tolist() == [0.0, 1e4, 1e4, 0.0] and nats.dtype == dtype


@pytest.mark.parametrize("variance, channels", [(0.3, 1), ("shared", 1), ("learned", 2)])
def test_float32_stays_float32(variance, channels):
    likelihood = Gaussian(variance)
    a, x = mg.randn(2, channels, 2, 3), mg.rand(2, 1, 2, 3)
    made = likelihood.nll(a, x), likelihood.mean(a), likelihood.sample(a)
    assert [y.dtype for y in made] == [mg.float32] * 3
    assert made[0].shape == (2,) and made[1].shape == made[2].shape == x.shape


def test_per_image_sums_over_pixels():
    assert per_image(mg.ones(2, 3, 4, 5)).tolist() == [60.0, 60.0]


# ---------------------------------------------------------------- means and samples


def test_a_sample_has_the_likelihoods_moments():
    """20,000 images of one pixel: mean and variance within 4 standard errors."""
    n = 20_000
    generator = mg.Generator().manual_seed(0)
    cases = [
        (Bernoulli(), [0.8], None), (Gaussian(0.3), [0.8], 0.3), (Gaussian("shared"), [0.8], 1.0),
        (Gaussian("learned"), [0.8, -1.0], math.exp(-1.0)),
    ]  # fmt: skip
    for likelihood, values, variance in cases:
        a = double(values).reshape(1, -1, 1, 1).expand(n, len(values), 1, 1)
        x = likelihood.sample(a, generator).numpy().ravel()
        mean = likelihood.mean(a)[0].item()
        assert mean == pytest.approx(1 / (1 + math.exp(-0.8)))
        variance = mean * (1 - mean) if variance is None else variance
        squares = (x - mean) ** 2
        assert abs(x.mean() - mean) < 4 * math.sqrt(variance / n)
        assert abs(squares.mean() - variance) < 4 * squares.std() / math.sqrt(n)
        assert isinstance(likelihood, Gaussian) or set(x) == {0.0, 1.0}


@pytest.mark.parametrize("likelihood, channels, _", TWINS.values(), ids=TWINS)
def test_a_sample_repeats_with_its_seed_and_has_no_gradient(likelihood, channels, _):
    a, x = drawn(channels)
    first, again, other = (
        likelihood.sample(a, mg.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert first.tolist() == again.tolist() != other.tolist()
    assert first.shape == x.shape and not first.requires_grad
    assert likelihood.mean(a).requires_grad


# ---------------------------------------------------------------- the variance


def test_the_weighted_loss_is_a_gaussians():
    """MSE + w KL and -ln p + KL at σ² = w D / 2 differ by a factor and a constant."""
    w, pixels = 0.00024, 6
    variance = variance_of_weighted_loss(w, pixels)
    differences = []
    for seed, kl in enumerate((0.0, 7.0, 123.0)):
        a, x = drawn(1, n=1, seed=seed)
        mse = mg.nn.functional.mse_loss(a.sigmoid(), x).item()
        gaussian = Gaussian(variance).nll(a, x).item() + kl
        differences.append(gaussian * 2 * variance / pixels - (mse + w * kl))
    constant = variance * math.log(2 * math.pi * variance)
    assert differences == pytest.approx([constant] * 3, rel=1e-10)


def test_implied_variance():
    assert Bernoulli().implied_variance() is None
    assert Gaussian("learned").implied_variance() is None
    assert Gaussian("shared").implied_variance() == 1.0
    assert Gaussian(2).implied_variance() == 2.0
    assert variance_of_weighted_loss(0.00024, 12_288) == pytest.approx(1.47456)


def test_only_a_shared_variance_is_a_parameter():
    kinds = Bernoulli(), Gaussian(0.3), Gaussian("shared"), Gaussian("learned")
    assert [repr(kind) for kind in kinds] == [
        "Bernoulli()", "Gaussian(variance=0.3)", "Gaussian(variance='shared')",
        "Gaussian(variance='learned')",
    ]  # fmt: skip
    assert [list(kind.state_dict()) for kind in kinds] == [[], [], ["log_var"], []]


# ---------------------------------------------------------------- by name, and wrong inputs


def test_named():
    assert isinstance(named("bernoulli"), Bernoulli)
    assert named("gaussian", variance=0.5).implied_variance() == 0.5
    with pytest.raises(ArgumentError, match="likelihood: got 'poisson'; expected one of bernoulli"):
        named("poisson")


@pytest.mark.parametrize("variance", [0, -1.0, math.inf, math.nan, "free"])
def test_wrong_variances_are_refused(variance):
    with pytest.raises(ArgumentError, match=f"Gaussian: variance: got '?{variance}'?; expected"):
        Gaussian(variance)


@pytest.mark.parametrize("weight, pixels", [(0.0, 10), (-1.0, 10), (0.1, 0)])
def test_wrong_weights_are_refused(weight, pixels):
    with pytest.raises(ArgumentError, match="variance_of_weighted_loss: got weight"):
        variance_of_weighted_loss(weight, pixels)


@pytest.mark.parametrize("likelihood, channels, _", TWINS.values(), ids=TWINS)
def test_images_of_another_shape_are_refused(likelihood, channels, _):
    """A loss does not broadcast."""
    a, x = drawn(channels)
    for wrong in (x[:1], x[0], x.expand(2, 3, 2, 3), x.reshape(2, 1, 3, 2)):
        with pytest.raises(ShapeError):
            likelihood.nll(a, wrong)
