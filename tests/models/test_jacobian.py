"""Jacobians of encoders and decoders, and the contractive penalty: three ways that agree."""

import math
from itertools import pairwise

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.engine import grad
from minigrad.errors import ArgumentError, ShapeError
from minigrad.gradcheck import check_grads
from models.autoencoder import Autoencoder
from models.conv_autoencoder import ConvAutoencoder
from models.jacobian import (
    contraction,
    contraction_estimate,
    contraction_of_sigmoid_layer,
    frobenius_norm,
    jacobian,
    tangents,
)
from tests.models.endtoend import check_model


def encoder(*sizes, middle=nn.Tanh, last=nn.Sigmoid, seed=0):
    """A small smooth encoder in float64, with weights large enough to bend."""
    layers = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), middle()]
    model = nn.Sequential(*layers[:-1], last()).double()
    rng = np.random.default_rng(seed)
    with mg.no_grad():
        for p in model.parameters():
            p.copy_(mg.tensor(rng.normal(0, 0.8, p.shape)))
    return model


def batch(n, *shape, seed=1):
    return mg.tensor(np.random.default_rng(seed).random((n, *shape)))


def by_differences(f, x, h=1e-6):
    """∂f/∂x of each example apart, (n, outputs, inputs), by central differences."""
    flat = x.flatten(1).numpy()
    found = []
    for row in flat:
        columns = []
        for k in range(len(row)):
            ends = []
            for step in (h, -h):
                moved = row.copy()
                moved[k] += step
                ends.append(f(mg.tensor(moved).reshape(1, *x.shape[1:])).detach().numpy().ravel())
            columns.append((ends[0] - ends[1]) / (2 * h))
        found.append(np.stack(columns, 1))
    return np.stack(found)


MAPS = {
    "one sigmoid layer": (lambda: encoder(6, 3), (6,)),
    "deep, tanh": (lambda: encoder(6, 5, 4, 3), (6,)),
    "deep, ReLU": (lambda: encoder(6, 8, 3, middle=nn.ReLU), (6,)),
    "linear": (lambda: encoder(6, 3, last=nn.Identity), (6,)),
    "convolutional": (lambda: ConvAutoencoder((1, 2, 2), 3, size=8).double().encoder, (1, 8, 8)),
}
by_map = pytest.mark.parametrize("make, shape", MAPS.values(), ids=MAPS)

# ---------------------------------------------------------------- the matrices


@by_map
def test_the_jacobian_is_the_differences(make, shape):
    mg.manual_seed(0)
    f, x = make(), batch(4, *shape)
    found = jacobian(f, x)
    assert found.shape == (4, 3, *shape) and not found.requires_grad
    np.testing.assert_allclose(found.flatten(2).numpy(), by_differences(f, x), atol=1e-8)


@by_map
def test_the_penalty_is_the_mean_of_the_examples_squared_norms(make, shape):
    """Not that of the Jacobian of the batch's sum, nor its square root, nor a mean of entries."""
    mg.manual_seed(0)
    f, x = make(), batch(4, *shape)
    norms = np.sqrt((by_differences(f, x) ** 2).sum((1, 2)))
    assert contraction(f, x).item() == pytest.approx((norms**2).mean(), rel=1e-7)
    np.testing.assert_allclose(frobenius_norm(f, x).numpy(), norms, rtol=1e-7)


def test_of_a_linear_map_it_is_the_squared_norm_of_its_weight():
    f = encoder(5, 2, last=nn.Identity)
    squares = float(f[0].weight.square().sum())
    for n in (1, 2, 7):
        assert contraction(f, batch(n, 5)).item() == pytest.approx(squares, rel=1e-12)


def test_examples_are_independent():
    """The penalty of a batch is the mean of those of its examples."""
    f, x = encoder(6, 5, 3), batch(5, 6)
    alone = [contraction(f, x[i : i + 1]).item() for i in range(5)]
    assert contraction(f, x).item() == pytest.approx(sum(alone) / 5, rel=1e-12)
    assert max(alone) / min(alone) > 1.05


# ---------------------------------------------------------------- the closed form


@pytest.mark.parametrize("seed", range(3))
def test_closed_form_is_double_backward(seed):
    """To 1e-10, in value and in the gradient of every parameter; and both are the differences."""
    f, x = encoder(7, 4, seed=seed), batch(5, 7, seed=seed)
    layer = f[0]
    closed = contraction_of_sigmoid_layer(f(x), layer.weight)
    double = contraction(f, x)
    assert closed.item() == pytest.approx(double.item(), rel=1e-10, abs=1e-10)
    differences = (by_differences(f, x) ** 2).sum() / 5
    assert closed.item() == pytest.approx(differences, rel=1e-7)
    for a, b in zip(grad(closed, f.parameters()), grad(double, f.parameters()), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-10)


def test_closed_form_by_hand():
    """One code of two pixels: h = 0.5, W = (3, 4): (0.5 · 0.5)² · (9 + 16)."""
    h, w = mg.full((1, 1), 0.5, dtype=mg.float64), mg.tensor([[3.0, 4.0]], dtype=mg.float64)
    assert contraction_of_sigmoid_layer(h, w).item() == pytest.approx(25 / 16)


# ---------------------------------------------------------------- derivatives of the penalty


@pytest.mark.parametrize("sizes", [(3, 2), (3, 2, 2)])
def test_the_penalty_is_right_to_second_order(sizes):
    """Its Hessian is made of third derivatives of f: they are checked in every parameter."""
    f, x = encoder(*sizes), batch(2, 3)
    check_model(f, lambda *parameters: contraction(f, x), order=2)


def test_the_estimate_is_right_to_second_order():
    f, x = encoder(3, 2, 2), batch(2, 3)
    v = mg.tensor(np.random.default_rng(0).choice([-1.0, 1.0], (2, 2, 2)))
    check_model(f, lambda *parameters: contraction_estimate(f, x, v=v), order=2)


def test_the_closed_form_is_right_to_second_order():
    f, x = encoder(3, 2), batch(2, 3)
    check_model(f, lambda *p: contraction_of_sigmoid_layer(f(x), f[0].weight), order=2)


def test_the_penalty_of_a_convolutional_encoder_is_right():
    mg.manual_seed(0)
    layers = nn.Conv2d(1, 2, 2, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 2), nn.Tanh()
    f, x = nn.Sequential(*layers).double(), batch(2, 1, 4, 4)
    check_model(f, lambda *parameters: contraction(f, x), order=2)


def test_it_can_be_differentiated_by_x_too():
    f = encoder(3, 2, 2)
    check_grads(lambda x: contraction(f, x), batch(2, 3).requires_grad_())


def test_without_recording_there_is_a_value_and_no_graph():
    f, x = encoder(6, 5, 3), batch(4, 6)
    expected = contraction(f, x)
    assert expected.requires_grad
    v = mg.ones(1, 4, 3, dtype=mg.float64)
    estimate = contraction_estimate(f, x, v=v)
    with mg.no_grad():
        value, again = contraction(f, x), contraction_estimate(f, x, v=v)
    assert not value.requires_grad and value.item() == expected.item()
    assert not again.requires_grad and again.item() == estimate.item()


def test_neither_x_nor_parameters_are_marked():
    f, x = encoder(6, 3), batch(4, 6)
    for measure in (jacobian, frobenius_norm, contraction, contraction_estimate):
        measure(f, x)
    assert not x.requires_grad and x.grad is None
    assert all(p.grad is None for p in f.parameters())


# ---------------------------------------------------------------- the estimate


@pytest.mark.parametrize("sizes", [(6, 3), (6, 5, 4)])
def test_the_estimate_is_unbiased(sizes):
    """The mean of 4,000 estimates is within 4 standard errors of the exact penalty."""
    f, x = encoder(*sizes), batch(1, sizes[0])
    many = x.expand(4000, -1).clone()
    exact = contraction(f, x).item()
    with mg.no_grad():
        v = mg.Generator().manual_seed(3).integers(0, 2, (1, 4000, sizes[-1])) * 2.0 - 1.0
        x_ = many.requires_grad_()
        with mg.enable_grad():
            (pulled,) = grad(f(x_), x_, mg.tensor(v[0]))
    each = (pulled.numpy() ** 2).sum(1)
    error = each.std(ddof=1) / math.sqrt(4000)
    assert error > 0 and abs(each.mean() - exact) < 4 * error
    found = contraction_estimate(f, many, v=mg.tensor(v)).item()
    assert found == pytest.approx(each.mean(), rel=1e-12)
    drawn = contraction_estimate(f, many, generator=mg.Generator().manual_seed(7)).item()
    assert abs(drawn - exact) < 4 * error and drawn != found


def test_more_draws_are_their_mean():
    f, x = encoder(6, 5, 3), batch(4, 6)
    v = mg.tensor(np.random.default_rng(0).choice([-1.0, 1.0], (5, 4, 3)))
    one_by_one = [contraction_estimate(f, x, v=v[i : i + 1]).item() for i in range(5)]
    assert contraction_estimate(f, x, v=v).item() == pytest.approx(sum(one_by_one) / 5, rel=1e-12)
    assert max(one_by_one) - min(one_by_one) > 1e-6


def test_over_all_signs_the_estimate_is_exact():
    """The mean over all 2³ sign patterns is the expectation itself."""
    f, x = encoder(6, 5, 3), batch(4, 6)
    signs = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), -1).reshape(8, 1, 3)
    v = mg.tensor(np.broadcast_to(signs, (8, 4, 3)).copy())
    found = contraction_estimate(f, x, v=v).item()
    assert found == pytest.approx(contraction(f, x).item(), rel=1e-12)


def test_each_example_has_signs_of_its_own_and_a_seed_repeats_them():
    """Of equal examples every one has the same estimate only if they share their signs."""
    f, x = encoder(6, 3), batch(1, 6).expand(64, -1).clone()
    estimates = [
        contraction_estimate(f, x, generator=mg.Generator().manual_seed(s)).item()
        for s in (0, 0, 1)
    ]
    assert estimates[0] == estimates[1] != estimates[2]
    signs = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), -1).reshape(8, 1, 1, 3)
    shared = [
        contraction_estimate(f, x, v=mg.tensor(np.broadcast_to(v, (1, 64, 3)).copy())).item()
        for v in signs
    ]
    assert all(abs(estimates[0] - s) > 1e-9 for s in shared)


# ---------------------------------------------------------------- tangent vectors


@pytest.mark.parametrize("output", ["identity", "sigmoid", "tanh"])
def test_tangents_are_the_differences(output):
    mg.manual_seed(2)
    model = Autoencoder((6, 5, 2), output).double()
    h = batch(4, 2)
    found = tangents(model.decode, h)
    assert found.shape == (4, 2, 6) and not found.requires_grad
    expected = by_differences(model.decode, h).transpose(0, 2, 1)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-8)
    np.testing.assert_allclose(
        found.numpy(), jacobian(model.decode, h).numpy().transpose(0, 2, 1), rtol=1e-12
    )


def test_tangents_of_images_have_their_shape():
    mg.manual_seed(0)
    model = ConvAutoencoder((1, 2, 2), 3, size=8).double()
    h = batch(2, 3)
    found = tangents(model.decode, h)
    assert found.shape == (2, 3, 1, 8, 8)
    expected = by_differences(model.decode, h).transpose(0, 2, 1)
    np.testing.assert_allclose(found.flatten(2).numpy(), expected, atol=1e-8)


def test_tangents_take_one_pass_per_code_not_per_pixel(monkeypatch):
    """For 784 pixels and 2 codes: one pass for Jᵀv and 2 for its columns."""
    calls = []
    monkeypatch.setattr("models.jacobian.grad", lambda *a, **k: (calls.append(1), grad(*a, **k))[1])
    tangents(Autoencoder((784, 5, 2)).decode, mg.zeros(3, 2))
    assert len(calls) == 3


def test_to_first_order_an_image_moves_along_them_and_a_code_no_more_than_the_bound():
    f, g = encoder(6, 5, 2), encoder(2, 5, 6)
    x, h = batch(4, 6), batch(4, 2)
    step = mg.tensor(np.random.default_rng(0).normal(0, 1e-5, (4, 2)))
    moved = (g(h + step) - g(h)).detach().numpy()
    along = (tangents(g, h).numpy() * step.numpy()[:, :, None]).sum(1)
    np.testing.assert_allclose(moved, along, atol=1e-9)
    delta = mg.tensor(np.random.default_rng(0).normal(0, 1e-5, (4, 6)))
    answer = (f(x + delta) - f(x)).norm(dim=1).detach().numpy()
    assert (answer <= (frobenius_norm(f, x) * delta.norm(dim=1)).numpy() * (1 + 1e-4)).all()


# ---------------------------------------------------------------- errors

MEASURES = {"jacobian": jacobian, "contraction": contraction,
            "contraction_estimate": contraction_estimate}  # fmt: skip


@pytest.mark.parametrize("name", MEASURES)
def test_a_map_of_something_else_than_a_batch_is_refused(name):
    measure, f = MEASURES[name], encoder(6, 3)
    for x in (mg.zeros(6, dtype=mg.float64), mg.zeros(0, 6, dtype=mg.float64)):
        with pytest.raises(ShapeError, match=rf"{name}: x: got shape .*; expected a batch"):
            measure(f, x)
    with pytest.raises(ShapeError, match=r"got \(3,\) for \(2, 6\); expected 2 rows"):
        measure(lambda x: f(x).mean(0), batch(2, 6))


def test_wrong_draws_and_signs_are_refused():
    f, x = encoder(6, 3), batch(2, 6)
    with pytest.raises(ArgumentError, match="contraction_estimate: draws: got 0"):
        contraction_estimate(f, x, 0)
    for shape in ((2, 3), (1, 3, 2), (0, 2, 3)):
        with pytest.raises(ShapeError, match=r"v: got .*; expected \('draws', 2, 3\)"):
            contraction_estimate(f, x, v=mg.ones(shape, dtype=mg.float64))


def test_wrong_shapes_of_the_closed_form_and_of_codes_are_refused():
    with pytest.raises(ShapeError, match=r"got h \(2, 3\), weight \(4, 3\)"):
        contraction_of_sigmoid_layer(mg.ones(2, 3), mg.ones(4, 3))
    with pytest.raises(ShapeError, match=r"tangents: h: got shape \(2,\)"):
        tangents(encoder(2, 6), mg.zeros(2))
