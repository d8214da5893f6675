"""Three ways to draw uncertain weights: PyTorch's numbers, right gradients, one distribution."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ArgumentError, ShapeError
from models.variational_dropout import ESTIMATORS, GaussianClassifier, GaussianLinear
from tests.models.endtoend import check_model
from tests.models.family_cases import seeded

LABELS = mg.tensor([0, 2, 1, 2])

# Of PyTorch 2.13, with W, b and log_var of `seeded` in float64 and ε of default_rng(1), layer by
# layer: loss, nll and kl, and p.grad.norm().item() of every p. With sd = (log_var / 2).exp():
#   shared  F.linear(x, W + sd * eps, b)
#   each    torch.einsum("noi,ni->no", W + sd * eps, x) + b
#   local   F.linear(x, W, b) + F.linear(x**2, sd**2).sqrt() * eps
#   nll     F.cross_entropy(layer(layer(x).relu()), labels)
#   kl      kl_divergence(Normal(W, sd), Normal(0.0, 0.7)).sum() of both layers, / 7
TWINS = {
    "shared": (
        [8.436539279928517, 4.48076007294625, 3.955779206982267],
        [3.7362229187385276, 2.6581346156784247, 2.199362318686662, 1.5837985510831805,
         0.9131226989938116, 1.444913092170889],
    ),
    "each": (
        [4.703064927172638, 0.7472857201903709, 3.955779206982267],
        [0.6583186226119973, 0.15873647475017194, 0.8342123210368536, 1.0436883790303435,
         0.21215808792920485, 0.505885915886658],
    ),
    "local": (
        [7.0778176567099855, 3.122038449727719, 3.955779206982267],
        [2.0207744238169902, 1.2466323845466059, 1.093016599083366, 1.0960746204970795,
         0.3025612041182775, 0.8258594917563011],
    ),
}  # fmt: skip


def drawn(estimator):
    """A small classifier, four x, and the noise of both layers."""
    model = GaussianClassifier(6, 5, 3, estimator, examples=7, prior_std=0.7)
    model, x, _ = seeded(model)
    rng = np.random.default_rng(1)
    shapes = model.first.noise_shape(4), model.last.noise_shape(4)
    return model, x, [mg.tensor(rng.standard_normal(shape)) for shape in shapes]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_it_is_pytorchs(estimator):
    model, x, eps = drawn(estimator)
    parts = model.loss(x, LABELS, eps)
    values, norms = TWINS[estimator]
    assert [p.item() for p in parts.values()] == pytest.approx(values, rel=1e-10)
    parts["loss"].backward()
    assert [p.grad.norm().item() for p in model.parameters()] == pytest.approx(norms, rel=1e-10)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_parameters_gradient_is_right(estimator):
    model, x, eps = drawn(estimator)
    check_model(model, lambda *parameters: model.loss(x, LABELS, eps)["loss"])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_activations_have_the_same_distribution(estimator):
    """Mean x μᵀ + b and variance x² σ²ᵀ, and two examples vary together only if W is shared."""
    layer, x, _ = seeded(GaussianLinear(6, 3, estimator), 2)
    generator, draws = mg.Generator().manual_seed(0), 8_000
    with mg.no_grad():
        y = np.stack([layer(x, generator=generator).numpy() for _ in range(draws)])
    mean = x.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    variance = x.numpy() ** 2 @ np.exp(layer.log_var.detach().numpy()).T
    assert (np.abs(y.mean(0) - mean) < 4 * np.sqrt(variance / draws)).all()
    assert (np.abs(y.var(0) / variance - 1) < 4 * math.sqrt(2 / draws)).all()
    covariance = ((y[:, 0] - mean[0]) * (y[:, 1] - mean[1])).mean(0)
    shared = (x.numpy()[0] * x.numpy()[1]) @ np.exp(layer.log_var.detach().numpy()).T
    expected = shared if estimator == "shared" else 0 * shared
    error = np.sqrt((variance.prod(0) + shared**2) / draws)
    assert (np.abs(covariance - expected) < 4 * error).all()
    assert (shared > 8 * error).all()


def test_with_one_input_local_noise_is_the_weights():
    """An activation then tells its weight: both ways must have the same gradients, draw by draw."""
    rng = np.random.default_rng(2)
    x, eps = mg.tensor(rng.standard_normal((5, 1))), mg.tensor(rng.standard_normal((5, 3)))
    grads = {}
    for estimator in ("each", "local"):
        layer, _, _ = seeded(GaussianLinear(1, 3, estimator))
        noise = eps if estimator == "local" else (eps * x.sign()).unsqueeze(2)
        layer(x, noise).tanh().square().sum().backward()
        grads[estimator] = [p.grad.numpy() for p in layer.parameters()]
    for a, b in zip(grads["each"], grads["local"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_without_variance_and_after_eval_it_is_a_linear_layer():
    layer, x, _ = seeded(GaussianLinear(6, 3))
    plain = mg.nn.functional.linear(x, layer.weight, layer.bias).detach().numpy()
    np.testing.assert_array_equal(layer.eval()(x).detach().numpy(), plain)
    layer.train()
    with mg.no_grad():
        assert (layer(x).numpy() != plain).all()
        layer.log_var.fill_(-80.0)
        np.testing.assert_allclose(layer(x).numpy(), plain, rtol=1e-12)


def test_an_input_of_zeros_has_a_gradient():
    layer, x, _ = seeded(GaussianLinear(6, 3))
    x = (x * 0.0).requires_grad_()
    y = layer(x)
    y.sum().backward()
    assert np.array_equal(y.detach().numpy(), np.tile(layer.bias.detach().numpy(), (4, 1)))
    assert not layer.log_var.grad.numpy().any()
    np.testing.assert_allclose(x.grad.numpy()[0], layer.weight.detach().numpy().sum(0))


def test_kl_is_the_integral():
    """∫ q ln(q/p), by the trapezium rule over ±12 standard deviations."""
    layer, _, _ = seeded(GaussianLinear(2, 2, prior_std=0.6))
    expected = 0.0
    means, log_vars = (p.detach().numpy().ravel() for p in (layer.weight, layer.log_var))
    for mu, log_var in zip(means, log_vars, strict=True):
        sd = math.exp(log_var / 2)
        w = np.linspace(mu - 12 * sd, mu + 12 * sd, 4001)
        ln_q = -0.5 * ((w - mu) / sd) ** 2 - math.log(sd)
        ln_p = -0.5 * (w / 0.6) ** 2 - math.log(0.6)
        density = np.exp(ln_q) / math.sqrt(2 * math.pi)
        expected += np.trapezoid(density * (ln_q - ln_p), w)
    assert layer.kl().item() == pytest.approx(expected, rel=1e-10)


def test_the_same_seed_draws_the_same():
    layer, x, _ = seeded(GaussianLinear(6, 3))
    one, two = (layer(x, generator=mg.Generator().manual_seed(3)).detach().numpy() for _ in "ab")
    assert np.array_equal(one, two) and not np.array_equal(one, layer(x).detach().numpy())


def test_wrong_settings_are_refused():
    with pytest.raises(ArgumentError, match="estimator: got 'locale'"):
        GaussianLinear(6, 3, "locale")
    with pytest.raises(ArgumentError, match="got 6, 0 features"):
        GaussianLinear(6, 0)
    with pytest.raises(ArgumentError, match="prior_std 0"):
        GaussianLinear(6, 3, prior_std=0)
    with pytest.raises(ArgumentError, match="examples: got 0"):
        GaussianClassifier(6, 5, examples=0)
    with pytest.raises(ArgumentError, match="use: estimator: got 'all'"):
        GaussianClassifier(6, 5).use("all")
    with pytest.raises(ShapeError, match=r"x: got \(4, 5\); expected \(n, 6\)"):
        GaussianLinear(6, 3)(mg.rand(4, 5))
    with pytest.raises(ShapeError, match=r"eps: got \(3,\); expected \(4, 3\) for local"):
        GaussianLinear(6, 3)(mg.rand(4, 6), mg.rand(3))
