"""Layers are trained one by one, each on what the one below answers, and that helps the whole."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.data.glyphs import glyphs
from minigrad.errors import ArgumentError
from minigrad.training import fit
from models.autoencoder import Autoencoder
from models.stacked import Layer, StackedAutoencoder
from tests.models.endtoend import check_model
from tests.models.family_cases import seeded


def values(module):
    return [p.detach().numpy().copy() for p in module.parameters()]


def test_it_is_the_same_network():
    mg.manual_seed(0)
    plain = Autoencoder((6, 5, 4, 2), "sigmoid")
    mg.manual_seed(0)
    stacked = StackedAutoencoder((6, 5, 4, 2), "sigmoid")
    assert repr(stacked) == repr(plain).replace("Autoencoder", "StackedAutoencoder", 1)
    x = mg.rand(3, 6)
    assert stacked.loss(x).item() == plain.loss(x).item()


def test_the_layers_make_up_the_whole():
    """Up through all layers and down again is the whole autoencoder; none is a copy."""
    model, x, _ = seeded(StackedAutoencoder((6, 5, 4, 2), "sigmoid"))
    assert model.depth == 3
    h = x
    for k in range(3):
        np.testing.assert_array_equal(model.below(x, k).detach().numpy(), h.detach().numpy())
        h = model.layer(k).encoder(h)
    for k in (2, 1, 0):
        h = model.layer(k).decoder(h)
        h = h.relu() if k else h
    np.testing.assert_array_equal(h.detach().numpy(), model(x).detach().numpy())
    parameters = [p for k in range(3) for p in model.layer(k).parameters()]
    assert {id(p) for p in parameters} == {id(p) for p in model.parameters()}
    assert len(parameters) == 12


def test_each_layer_has_the_activations_of_its_place():
    model = StackedAutoencoder((6, 5, 4, 2), "sigmoid")
    kinds = [
        [[type(m) for m in half] for half in (model.layer(k).encoder, model.layer(k).decoder)]
        for k in range(3)
    ]
    assert kinds == [
        [[nn.Linear, nn.ReLU], [nn.Linear, nn.Sigmoid]],  # of images, whose range the output has
        [[nn.Linear, nn.ReLU], [nn.Linear]],  # an inner ReLU is not in between
        [[nn.Linear], [nn.Linear]],  # the code
    ]


@pytest.mark.parametrize("k", range(3))
def test_every_layers_gradient_is_right(k):
    model, x, _ = seeded(StackedAutoencoder((6, 5, 4, 2), "sigmoid"), n=3, scale=0.7)
    layer, h = model.layer(k), model.below(x, k).detach() + 0.1
    check_model(layer, lambda *parameters: layer.loss(h))
    assert layer.loss(h).item() == pytest.approx(float(((layer(h) - h) ** 2).mean()))


def test_every_parameters_gradient_is_right():
    model, x, _ = seeded(StackedAutoencoder((6, 5, 4, 2), "sigmoid"), n=3)
    check_model(model, lambda *parameters: model.loss(x))


def test_only_its_own_layer_moves_while_it_is_trained(monkeypatch):
    """And its input is what the trained layers below answer, not the image."""
    mg.manual_seed(0)
    model, seen = StackedAutoencoder((6, 5, 4, 2), "sigmoid"), []
    x = mg.rand(20, 6)

    def watched(layer, loss, optimizer, loader, epochs, progress):
        k = len(seen)
        before = [values(model.layer(j)) for j in range(3)]
        data = loader.dataset.tensors[0]
        np.testing.assert_array_equal(data.numpy(), model.below(x, k).detach().numpy())
        records = fit(layer, loss, optimizer, loader, epochs, progress=progress)
        for j in range(3):
            pairs = zip(before[j], values(model.layer(j)), strict=True)
            moved = any(not np.array_equal(a, b) for a, b in pairs)
            assert moved == (j == k)
        seen.append(data.shape)
        return records

    monkeypatch.setattr("models.stacked.fit", watched)
    records = model.pretrain(x, epochs=3, progress=False)
    assert seen == [(20, 6), (20, 5), (20, 4)]
    assert [len(r) for r in records] == [3, 3, 3]


def test_pretraining_repeats_with_its_seed():
    ends = []
    for _ in range(2):
        mg.manual_seed(0)
        model = StackedAutoencoder((6, 5, 2), "sigmoid")
        x = mg.rand(20, 6, generator=mg.Generator().manual_seed(1))
        model.pretrain(x, 2, generator=mg.Generator().manual_seed(2), progress=False)
        ends.append(np.concatenate([v.ravel() for v in values(model)]))
    np.testing.assert_array_equal(ends[0], ends[1])


def test_pretraining_lowers_the_loss_for_the_same_steps():
    """8 epochs of each layer and 20 of the whole beat 28 of the whole, which cost as much.

    For the weights of the layers together are those of the whole. Over four seeds it is 0.024 to
    0.031 against 0.040 to 0.042; the mean image leaves 0.056.
    """
    images = mg.tensor(glyphs(500, seed=0).images[:, None])
    losses = {}
    for pretrained in (True, False):
        mg.manual_seed(0)
        model = StackedAutoencoder((784, 128, 64, 32, 16, 8), "sigmoid")
        order = mg.Generator().manual_seed(0)
        if pretrained:
            model.pretrain(images, 8, 3e-3, generator=order, progress=False)
        loader = DataLoader(TensorDataset(images), 32, shuffle=True, generator=order)
        optimizer = optim.Adam(model.parameters(), lr=3e-3)
        epochs = 20 if pretrained else 28
        fit(model, StackedAutoencoder.loss, optimizer, loader, epochs, progress=False)
        with mg.no_grad():
            losses[pretrained] = model.loss(images).item()
    assert losses[True] < 0.9 * losses[False], losses


@pytest.mark.parametrize("k", [-1, 2])
def test_layers_that_are_not_there_are_refused(k):
    with pytest.raises(ArgumentError, match=f"layer: k: got {k}; expected from 0 to 1"):
        StackedAutoencoder((6, 4, 2)).layer(k)


def test_labels_are_not_looked_at():
    layer = Layer(nn.Identity(), nn.Identity())
    assert layer.loss(mg.rand(3, 2), mg.arange(3)).item() == 0.0
