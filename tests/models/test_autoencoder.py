"""The autoencoder is the deck's, its gradient is right in every parameter, and it learns."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.data.glyphs import glyphs
from minigrad.errors import ArgumentError
from minigrad.ops.elementwise import relu
from minigrad.training import fit
from models.autoencoder import OUTPUTS, Autoencoder
from tests.models.endtoend import check_model

DECK = """Autoencoder(
  (encoder): Sequential(
    (0): Linear(in_features=784, out_features=128, bias=True)
    (1): ReLU(inplace=True)
    (2): Linear(in_features=128, out_features=64, bias=True)
    (3): ReLU(inplace=True)
    (4): Linear(in_features=64, out_features=12, bias=True)
    (5): ReLU(inplace=True)
    (6): Linear(in_features=12, out_features=3, bias=True)
  )
  (decoder): Sequential(
    (0): Linear(in_features=3, out_features=12, bias=True)
    (1): ReLU(inplace=True)
    (2): Linear(in_features=12, out_features=64, bias=True)
    (3): ReLU(inplace=True)
    (4): Linear(in_features=64, out_features=128, bias=True)
    (5): ReLU(inplace=True)
    (6): Linear(in_features=128, out_features=784, bias=True)
    (7): Tanh()
  )
)"""


def test_it_is_the_decks():
    model = Autoencoder()
    assert repr(model) == DECK
    assert sum(p.numel() for p in model.parameters()) == 219_891
    keys = [f"{half}.{i}.{what}" for half in ("encoder", "decoder") for i in (0, 2, 4, 6)
            for what in ("weight", "bias")]  # fmt: skip
    assert list(model.state_dict()) == keys


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_every_parameters_gradient_is_right(output, weight_decay):
    """Also with ½ λ ‖w‖², whose gradient is what coupled weight decay adds."""
    mg.manual_seed(3)
    model = Autoencoder((6, 5, 4, 2), output).double()
    x = mg.rand(3, 1, 2, 3, dtype=mg.float64)

    def loss(*parameters):
        return model.loss(x) + 0.5 * weight_decay * sum((p**2).sum() for p in parameters)

    check_model(model, loss)


def test_the_check_sees_a_wrong_rule(monkeypatch):
    """With relu's rule turned round somewhere in the middle, the same check fails."""
    mg.manual_seed(3)
    model = Autoencoder((6, 5, 4, 2)).double()
    x = mg.rand(3, 6, dtype=mg.float64)
    monkeypatch.setattr(relu, "rules", (lambda g, y, x: g * (y >= 0),))
    with pytest.raises(AssertionError):
        check_model(model, lambda *parameters: model.loss(x))


def test_weight_decay_is_the_gradient_of_the_penalty():
    """One SGD step with weight decay λ equals one on the loss with ½ λ ‖w‖² added."""
    x = mg.rand(4, 6, dtype=mg.float64, generator=mg.Generator().manual_seed(0))
    moved = []
    for decay, penalty in ((0.1, 0.0), (0.0, 0.1)):
        mg.manual_seed(0)
        model = Autoencoder((6, 3)).double()
        optimizer = optim.SGD(model.parameters(), lr=0.5, weight_decay=decay)
        squares = sum((p**2).sum() for p in model.parameters())
        (model.loss(x) + 0.5 * penalty * squares).backward()
        optimizer.step()
        moved.append(np.concatenate([p.detach().numpy().ravel() for p in model.parameters()]))
    np.testing.assert_allclose(moved[0], moved[1], rtol=1e-12)


def test_images_keep_their_shape_and_codes_are_flat():
    model = Autoencoder((784, 16, 2), "sigmoid")
    x = mg.rand(5, 1, 28, 28)
    assert model(x).shape == (5, 1, 28, 28)
    assert model.encode(x).shape == (5, 2)
    assert model.decode(model.encode(x)).shape == (5, 784)
    y = model(x).detach().numpy()
    assert 0 < y.min() and y.max() < 1


def test_it_learns_digits():
    """Two epochs on 1,500 glyphs beat by far the best constant image, the mean digit."""
    images = mg.tensor(glyphs(2000, seed=0).images[:, None])
    train, test = images[:1500], images[1500:]
    mean_image = float(((test - train.mean(0)) ** 2).mean())
    mg.manual_seed(0)
    model = Autoencoder((784, 64, 16))
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    fit(model, Autoencoder.loss, optimizer, DataLoader(TensorDataset(train), 32), 4, progress=False)
    with mg.no_grad():
        assert model.loss(test).item() < 0.6 * mean_image


@pytest.mark.parametrize(
    "arguments, message",
    [
        (((784,),), "sizes"),
        (((784, 0),), "sizes"),
        (((784, 3), "softmax"), "output: got 'softmax'"),
    ],
)
def test_wrong_architectures_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        Autoencoder(*arguments)
