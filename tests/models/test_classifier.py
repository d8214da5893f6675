"""The classifier is PyTorch's, its gradient is right in every parameter, and it learns."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.data.glyphs import glyphs
from minigrad.errors import ArgumentError, ShapeError
from minigrad.ops.window import max_pool
from minigrad.training import fit
from models.classifier import Classifier
from tests.models.endtoend import check_model

# What PyTorch 2.13 prints of the same layers.
PRINTED = """Classifier(
  (features): Sequential(
    (0): Conv2d(1, 8, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))
    (1): ReLU(inplace=True)
    (2): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    (3): Conv2d(8, 16, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))
    (4): ReLU(inplace=True)
    (5): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
  )
  (head): Linear(in_features=784, out_features=10, bias=True)
)"""
STATE = {
    "features.0.weight": (8, 1, 5, 5), "features.0.bias": (8,),
    "features.3.weight": (16, 8, 5, 5), "features.3.bias": (16,),
    "head.weight": (10, 784), "head.bias": (10,),
}  # fmt: skip
# With weights from N(0, 0.1²) as below, in float64: PyTorch's loss.item(), and
# p.grad.norm().item() of every parameter p.
LOSS = 2.463450666781389
NORMS = [
    3.6654192684348694, 1.274233322147936, 3.132693459626629, 0.9925552836835305,
    3.3927906285352396, 0.4421217199393015,
]  # fmt: skip


def test_it_is_pytorchs():
    model = Classifier()
    assert repr(model) == PRINTED
    assert {key: value.shape for key, value in model.state_dict().items()} == STATE
    assert sum(p.numel() for p in model.parameters()) == 11_274
    rng = np.random.default_rng(0)
    model.double()
    with mg.no_grad():
        for p in model.parameters():
            p.copy_(mg.tensor(rng.normal(0, 0.1, p.shape)))
    loss = model.loss(mg.tensor(rng.random((3, 1, 28, 28))), mg.tensor([3, 1, 4]))
    loss.backward()
    assert loss.item() == pytest.approx(LOSS, rel=1e-12)
    assert [p.grad.norm().item() for p in model.parameters()] == pytest.approx(NORMS, rel=1e-10)


def small():
    mg.manual_seed(2)
    model = Classifier((2, 3, 3), classes=4, size=8).double()
    x, labels = mg.rand(3, 2, 8, 8, dtype=mg.float64), mg.tensor([3, 0, 1])
    return model, lambda *parameters: model.loss(x, labels)


def test_every_parameters_gradient_is_right():
    check_model(*small())


def test_the_check_sees_a_wrong_rule(monkeypatch):
    """If pooling sent its gradient to every pixel of a window, the check would fail."""

    def everywhere(g, y, x, geometry):
        return x * 0.0 + mg.nn.functional.interpolate(g, size=geometry.input_size)

    monkeypatch.setattr(max_pool, "rules", (everywhere,))
    with pytest.raises(AssertionError):
        check_model(*small())


def test_accuracy_is_the_share_that_is_right():
    """Of logits written by hand the largest are those of classes 2, 0 and 1."""
    model = Classifier((1, 1, 1), classes=3, size=4)
    rows = mg.tensor([[0.0, 1.0, 2.0], [5.0, -1.0, 0.0], [0.0, 3.0, 2.9]])
    model.forward = lambda x: rows
    x = mg.zeros(3, 1, 4, 4)
    assert model.accuracy(x, mg.tensor([2, 0, 1])) == 1
    assert model.accuracy(x, mg.tensor([2, 1, 2])) == pytest.approx(1 / 3)


def test_it_learns_digits():
    """Two epochs on 2,000 glyphs; guessing would be right once in ten."""
    data = glyphs(2400, seed=0)
    images, labels = mg.tensor(data.images[:, None]), mg.tensor(data.labels)
    mg.manual_seed(0)
    model = Classifier()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(images[:2000], labels[:2000]), 32, shuffle=True)
    fit(model, Classifier.loss, optimizer, loader, 2, progress=False)
    with mg.no_grad():
        assert model.accuracy(images[2000:], labels[2000:]) > 0.85


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(channels=(1, 8, 16, 32)), r"channels, classes: got \(1, 8, 16, 32\), 10"),
        (dict(channels=(1, 8, 0)), r"channels, classes: got \(1, 8, 0\), 10"),
        (dict(classes=0), "channels, classes: got .*, 0"),
        (dict(size=27), "size: got 27; expected a multiple of 4"),
    ],
)
def test_wrong_architectures_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        Classifier(**arguments)


def test_images_of_another_size_are_refused():
    with pytest.raises(ShapeError, match=r"x: got shape \(2, 3, 28, 28\); expected \('n', 1, 28"):
        Classifier()(mg.zeros(2, 3, 28, 28))
