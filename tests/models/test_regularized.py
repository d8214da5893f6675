"""The regularised autoencoders are PyTorch's, right in every parameter, and keep their promise."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.data.glyphs import glyphs
from minigrad.errors import ArgumentError, ShapeError
from minigrad.training import fit
from models.autoencoder import Autoencoder
from models.corruption import CORRUPTIONS
from models.jacobian import contraction, frobenius_norm
from models.regularized import (
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    SparseAutoencoder,
    Transposed,
)
from models.sparsity import _largest, k_sparse
from tests.models.endtoend import check_model
from tests.models.family_cases import TWINS, parts, seeded

# ---------------------------------------------------------------- numbers and gradients


@pytest.mark.parametrize("make, values, norms", TWINS.values(), ids=TWINS)
def test_it_is_pytorchs(make, values, norms):
    model, x, _ = seeded(make())
    found = parts(model.loss(x))
    assert [part.item() for part in found] == pytest.approx(values, rel=1e-10)
    found[0].backward()
    assert [p.grad.norm().item() for p in model.parameters()] == pytest.approx(norms, rel=1e-10)


@pytest.mark.parametrize("name", TWINS)
def test_every_parameters_gradient_is_right(name):
    """Of the loss, the reconstruction and the penalty at once, each with a cotangent of its own."""
    model, x, _ = seeded(TWINS[name][0](), n=3)
    check_model(model, lambda *parameters: parts(model.loss(x)))


@pytest.mark.parametrize("sizes", [(3, 2), (3, 2, 2)])
def test_the_contractive_loss_is_right_to_second_order(sizes):
    """Third derivatives of the encoder, through the whole network."""
    model, x, _ = seeded(ContractiveAutoencoder(sizes, weight=0.7), n=2, pixels=3)
    check_model(model, lambda *parameters: model.loss(x)["loss"], order=2)


def test_the_estimated_contractive_loss_is_right():
    model, x, rng = seeded(ContractiveAutoencoder((4, 3, 2), weight=0.7, draws=2), 3, 4)
    v = mg.tensor(rng.choice([-1.0, 1.0], (2, 3, 2)))
    check_model(model, lambda *parameters: parts(model.loss(x, v=v)))


@pytest.mark.parametrize("noise", CORRUPTIONS)
def test_the_denoising_losss_gradient_is_right(noise):
    model, x, _ = seeded(DenoisingAutoencoder((6, 4), noise=noise, level=0.3), n=3)
    noisy = model.corrupt(x)
    check_model(model, lambda *parameters: model.loss(x, noisy=noisy))


def test_the_check_sees_a_wrong_rule(monkeypatch):
    """If k_sparse passed on every gradient, as if nothing had been set to 0, it would fail."""
    model, x, _ = seeded(TWINS["k-sparse"][0](), n=3)
    monkeypatch.setattr(k_sparse, "rules", (lambda g, y, h, k: g * 1.0,))
    with pytest.raises(AssertionError):
        check_model(model, lambda *parameters: model.loss(x))


# ---------------------------------------------------------------- denoising


def test_the_target_is_the_clean_image():
    """An answer of exactly x costs nothing, whatever noise came in; one of the noisy x does not."""
    model, x, rng = seeded(DenoisingAutoencoder((6, 4), level=0.5))
    noisy = x + mg.tensor(rng.normal(0, 0.5, (4, 6)))
    by_hand = float(((model(noisy) - x) ** 2).mean())
    assert model.loss(x, noisy=noisy).item() == pytest.approx(by_hand, rel=1e-12)
    assert abs(by_hand - float(((model(noisy) - noisy) ** 2).mean())) > 0.05
    assert abs(by_hand - float(((model(x) - x) ** 2).mean())) > 1e-4
    model.forward = lambda noisy: x * 1.0
    assert model.loss(x).item() == 0.0


def test_noise_is_drawn_anew_at_each_loss_and_repeats_with_its_seed():
    x = mg.rand(4, 1, 2, 3)
    model = DenoisingAutoencoder((6, 4), generator=mg.Generator().manual_seed(1))
    first, second = model.loss(x).item(), model.loss(x).item()
    assert first != second
    model.generator.manual_seed(1)
    assert model.loss(x).item() == first
    assert not np.array_equal(model.corrupt(x).numpy(), x.numpy())
    np.testing.assert_array_equal(model(x).detach().numpy(), model(x).detach().numpy())


def digits(n=700):
    images = mg.tensor(glyphs(n, seed=0).images[:, None])
    return images[:-200], images[-200:]


def trained(model, images, epochs, lr=3e-3):
    optimizer = optim.Adam(model.parameters(), lr=lr)
    loader = DataLoader(
        TensorDataset(images), 32, shuffle=True, generator=mg.Generator().manual_seed(0)
    )
    records = fit(model, type(model).loss, optimizer, loader, epochs, progress=False)
    return model, records


def test_denoising_beats_plain_on_noisy_digits():
    train, test = digits()
    noisy = test + 0.5 * mg.randn(test.shape, generator=mg.Generator().manual_seed(9))
    errors = {}
    for kind in (Autoencoder, DenoisingAutoencoder):
        mg.manual_seed(0)
        model, _ = trained(kind((784, 64), "sigmoid"), train, epochs=30)
        with mg.no_grad():
            errors[kind] = float(((model(noisy) - test) ** 2).mean())
    assert errors[DenoisingAutoencoder] < 0.75 * errors[Autoencoder]


# ---------------------------------------------------------------- sparse


def test_the_penalty_brings_the_activity_to_the_desired_one():
    train, test = digits()
    activity = {}
    for weight in (0.0, 0.1):
        mg.manual_seed(0)
        model = SparseAutoencoder((784, 100), desired=0.1, weight=weight)
        model, records = trained(model, train, epochs=10)
        with mg.no_grad():
            activity[weight] = float(model.encode(test).mean())
    assert records[-1]["sparsity"] < 0.1 * records[0]["sparsity"]
    assert abs(activity[0.1] - 0.1) < 0.03 and activity[0.0] > 0.5


def test_layer_weights_pick_the_layers():
    """The default penalises the code alone; a weight of 0 takes a layer out."""
    _, x, _ = seeded(SparseAutoencoder((6, 5, 4)))
    penalties = {}
    for weights in (None, (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (2.0, 3.0)):
        model, _, _ = seeded(SparseAutoencoder((6, 5, 4), layer_weights=weights))
        penalties[weights] = model.loss(x)["sparsity"].item()
    first, code = penalties[1.0, 0.0], penalties[0.0, 1.0]
    assert penalties[None] == code and first > 0 and code > 0
    assert penalties[1.0, 1.0] == pytest.approx(first + code)
    assert penalties[2.0, 3.0] == pytest.approx(2 * first + 3 * code)


def test_activations_end_in_the_code():
    model, x, _ = seeded(SparseAutoencoder((6, 5, 4)))
    hidden, code = model.activations(x)
    assert hidden.shape == (4, 5) and code.shape == (4, 4)
    np.testing.assert_array_equal(code.detach().numpy(), model.encode(x).detach().numpy())


# ---------------------------------------------------------------- k-sparse


@pytest.mark.parametrize("k", [1, 5, 20])
def test_every_code_has_k_active_units(k):
    train, _ = digits(300)
    mg.manual_seed(0)
    model, records = trained(KSparseAutoencoder((784, 20), k=k), train, epochs=2)
    assert ((model.encode(train) != 0).sum(1) == k).all()
    assert records[-1]["loss"] < records[0]["loss"]


def test_decoding_sees_the_sparse_code():
    model, x, _ = seeded(KSparseAutoencoder((6, 5), k=2))
    h = model.encoder(x).detach()
    kept = h * _largest(h, k=2)
    expected = model.decode(kept).detach().numpy()
    np.testing.assert_array_equal(model(x).detach().numpy(), expected)


# ---------------------------------------------------------------- contractive


def test_the_decoder_goes_back_through_the_encoders_weights():
    model, x, _ = seeded(ContractiveAutoencoder((6, 5, 3)))
    first, second = model.encoder[0].weight, model.encoder[2].weight
    h = model.encode(x)
    expected = (h @ second + model.decoder[0].bias).sigmoid() @ first + model.decoder[2].bias
    np.testing.assert_allclose(
        model(x).detach().numpy(), expected.sigmoid().detach().numpy(), rtol=1e-12
    )
    names = [name for name, _ in model.named_parameters()]
    assert names == ["encoder.0.weight", "encoder.0.bias", "encoder.2.weight", "encoder.2.bias",
                     "decoder.0.bias", "decoder.2.bias"]  # fmt: skip


def test_a_tied_layer_is_the_transposed_map():
    linear = nn.Linear(5, 3).double()
    back = Transposed(linear).double()
    x, y = mg.rand(2, 5, dtype=mg.float64), mg.rand(2, 3, dtype=mg.float64)
    left = float(((linear(x) - linear.bias) * y).sum())
    assert left == pytest.approx(float((x * (back(y) - back.bias)).sum()), rel=1e-12)


def test_the_two_exact_ways_are_one_model():
    """One layer takes the closed form; it is the double backward that several layers take."""
    model, x, _ = seeded(ContractiveAutoencoder((6, 3)))
    double = contraction(model.encode, x).item()
    assert model.contraction(x).item() == pytest.approx(double, rel=1e-10)


def test_a_wide_enough_estimate_comes_near():
    model, x, _ = seeded(ContractiveAutoencoder((6, 5, 3), draws=400), n=8)
    exact = contraction(model.encode, x).item()
    model.generator = mg.Generator().manual_seed(0)
    assert model.contraction(x).item() == pytest.approx(exact, rel=0.05)


def test_the_penalty_makes_codes_move_less():
    train, test = digits(500)
    norms = []
    for weight in (0.0, 3e-3):
        mg.manual_seed(0)
        model, _ = trained(ContractiveAutoencoder((784, 32), weight=weight), train, epochs=12)
        norms.append(float(frobenius_norm(model.encode, test[:50]).mean()))
    assert norms[1] < 0.5 * norms[0]


def test_the_loss_has_a_value_without_recording():
    """As in the evaluation after each epoch of training."""
    for draws in (None, 2):
        model, x, _ = seeded(ContractiveAutoencoder((6, 5, 3), draws=draws))
        with mg.no_grad():
            found = model.loss(x)
        assert not found["loss"].requires_grad and found["contraction"].item() > 0


# ---------------------------------------------------------------- all of them

ALL = {
    "denoising": lambda: DenoisingAutoencoder((6, 9)),
    "sparse": lambda: SparseAutoencoder((6, 9)),
    "k-sparse": lambda: KSparseAutoencoder((6, 9), k=2),
    "contractive": lambda: ContractiveAutoencoder((6, 9)),
}


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_images_keep_their_shape_and_training_records_the_parts(make):
    """Also with more codes than pixels, and with labels beside the images."""
    mg.manual_seed(0)
    model, x = make(), mg.rand(5, 1, 2, 3)
    assert model(x).shape == x.shape and model.encode(x).shape == (5, 9)
    loader = DataLoader(TensorDataset(x, mg.arange(5)), 5)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    (record,) = fit(model, type(model).loss, optimizer, loader, 1, progress=False)
    penalty = {"SparseAutoencoder": "sparsity", "ContractiveAutoencoder": "contraction"}
    name = penalty.get(type(model).__name__)
    if name is None:
        assert math.isfinite(record["loss"])
    else:
        whole = record["reconstruction"] + model.weight * record[name]
        assert record["loss"] == pytest.approx(whole, rel=1e-6) and record[name] > 0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: DenoisingAutoencoder(noise="snow"), "corruption: got 'snow'"),
        (lambda: DenoisingAutoencoder((784,)), "sizes"),
        (lambda: SparseAutoencoder((6, 4), desired=0.0), "desired: got 0.0"),
        (lambda: SparseAutoencoder((6, 4), weight=-1.0), "SparseAutoencoder: weight: got -1.0"),
        (lambda: SparseAutoencoder((6, 4), weight=math.nan), "weight: got nan"),
        (lambda: SparseAutoencoder((6, 4), distance="l3"), "sparsity: got 'l3'"),
        (
            lambda: SparseAutoencoder((6, 4), per="batch"),
            "per: got 'batch'; expected .*example, un",
        ),
        (lambda: SparseAutoencoder((6, 5, 4), layer_weights=(1.0,)), "layer_weights: got 1; expec"),
        (lambda: SparseAutoencoder((6, 4), layer_weights=(-1.0,)), "weight: got -1.0"),
        (lambda: KSparseAutoencoder((6, 4), k=5), "k: got 5; expected from 1 to 4"),
        (lambda: KSparseAutoencoder((6, 4), k=0), "k: got 0"),
        (lambda: ContractiveAutoencoder((6, 4), weight=math.inf), "weight: got inf"),
        (lambda: ContractiveAutoencoder((6, 4), draws=0), "draws: got 0"),
        (lambda: ContractiveAutoencoder((6, 4), "softmax"), "output: got 'softmax'"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_a_wrong_level_and_a_wrong_noisy_image_are_refused():
    model = DenoisingAutoencoder((6, 4), noise="masking", level=2.0)
    with pytest.raises(ArgumentError, match="masking: level: got 2.0"):
        model.loss(mg.rand(2, 6))
    with pytest.raises(ShapeError, match="mse_loss"):
        model.loss(mg.rand(2, 6), noisy=mg.rand(3, 6))
