"""Both convolutional autoencoders are PyTorch's, their gradients are right, and they learn."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.data.glyphs import glyphs
from minigrad.errors import ArgumentError, ShapeError
from minigrad.ops.conv import primitives
from minigrad.training import fit
from models.conv_autoencoder import DECODERS, ConvAutoencoder
from tests.models.endtoend import check_model

ENCODER = {
    "encoder.0.weight": (16, 1, 4, 4), "encoder.0.bias": (16,),
    "encoder.2.weight": (32, 16, 4, 4), "encoder.2.bias": (32,),
    "encoder.5.weight": (12, 1568), "encoder.5.bias": (12,),
    "decoder.0.weight": (1568, 12), "decoder.0.bias": (1568,),
}  # fmt: skip

# The state_dict of the same layers in PyTorch 2.13, and with the weights of `seeded` and its x,
# in float64: loss.item(), and p.grad.norm().item() of every parameter p.
TWINS = {
    "transposed": (
        {
            **ENCODER,
            "decoder.3.weight": (32, 16, 4, 4), "decoder.3.bias": (16,),
            "decoder.5.weight": (16, 1, 4, 4), "decoder.5.bias": (1,),
        },
        56_173,
        0.33560204271663474,
        [
            0.1063397270723996, 0.05365396118066894, 0.11032096269036257, 0.04517344787914882,
            0.11106388015233147, 0.013834875140472951, 0.045194704695463585, 0.014752908368035486,
            0.15635846222031316, 0.19559461202051262, 0.4596924040480779, 0.9607301827511516,
        ],
    ),
    "resize": (
        {
            **ENCODER,
            "decoder.4.weight": (16, 32, 3, 3), "decoder.4.bias": (16,),
            "decoder.7.weight": (1, 16, 3, 3), "decoder.7.bias": (1,),
        },
        52_477,
        0.30984601362365366,
        [
            0.1907109940811543, 0.08701097110382698, 0.30827425957657006, 0.11998051255403008,
            0.3126022220242911, 0.03922575954017022, 0.24859994853471754, 0.0882378489078556,
            0.8552559770147018, 0.42904594998215473, 1.698633596619979, 0.8606918658112973,
        ],
    ),
}  # fmt: skip


def seeded(model):
    """The model in float64 with weights from N(0, 0.1²), in the order of parameters(), and an x."""
    rng = np.random.default_rng(0)
    model.double()
    with mg.no_grad():
        for p in model.parameters():
            p.copy_(mg.tensor(rng.normal(0, 0.1, p.shape)))
    return model, mg.tensor(rng.random((3, 1, 28, 28)))


@pytest.mark.parametrize("decoder", DECODERS)
def test_it_is_pytorchs(decoder):
    state, count, loss, norms = TWINS[decoder]
    model, x = seeded(ConvAutoencoder(decoder=decoder))
    assert {key: value.shape for key, value in model.state_dict().items()} == state
    assert sum(p.numel() for p in model.parameters()) == count
    found = model.loss(x)
    found.backward()
    assert found.item() == pytest.approx(loss, rel=1e-12)
    assert [p.grad.norm().item() for p in model.parameters()] == pytest.approx(norms, rel=1e-10)


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_parameters_gradient_is_right(decoder):
    mg.manual_seed(1)
    model = ConvAutoencoder((2, 3, 4), code=3, decoder=decoder, size=8).double()
    x = mg.rand(2, 2, 8, 8, dtype=mg.float64)
    check_model(model, lambda *parameters: model.loss(x))


@pytest.mark.parametrize(
    "decoder, layer", [("transposed", "conv_transpose2d_affine"), ("resize", "conv2d_affine")]
)
def test_the_check_sees_a_wrong_rule(monkeypatch, decoder, layer):
    """If the layer forgot half of the gradient of its input, the check would fail."""
    mg.manual_seed(1)
    model = ConvAutoencoder((1, 2, 2), code=2, decoder=decoder, size=4).double()
    x = mg.rand(2, 1, 4, 4, dtype=mg.float64)
    primitive = getattr(primitives, layer)
    right, *others = primitive.rules
    monkeypatch.setattr(
        primitive, "rules", (lambda g, *of, **how: right(g, *of, **how) * 0.5, *others)
    )
    with pytest.raises(AssertionError):
        check_model(model, lambda *parameters: model.loss(x))


@pytest.mark.parametrize("decoder", DECODERS)
def test_shapes(decoder):
    model = ConvAutoencoder((3, 4, 5), code=6, decoder=decoder, size=12)
    x = mg.rand(2, 3, 12, 12)
    assert model.encode(x).shape == (2, 6)
    assert model.decode(model.encode(x)).shape == model(x).shape == (2, 3, 12, 12)


@pytest.mark.parametrize("decoder", DECODERS)
def test_it_learns_digits(decoder):
    """Three epochs on 800 glyphs beat by far the best constant image, the mean digit."""
    images = mg.tensor(glyphs(1000, seed=0).images[:, None])
    train, test = images[:800], images[800:]
    mean_image = float(((test - train.mean(0)) ** 2).mean())
    mg.manual_seed(0)
    model = ConvAutoencoder(decoder=decoder)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(train), 16, shuffle=True)
    fit(model, ConvAutoencoder.loss, optimizer, loader, 3, progress=False)
    with mg.no_grad():
        assert model.loss(test).item() < 0.6 * mean_image


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(channels=(1, 16)), r"channels, code: got \(1, 16\)"),
        (dict(channels=(1, 0, 4)), r"channels, code: got \(1, 0, 4\)"),
        (dict(code=0), "channels, code: got .*, 0"),
        (dict(decoder="bilinear"), "decoder: got 'bilinear'; expected one of transposed, resize"),
        (dict(size=30), "size: got 30; expected a multiple of 4"),
        (dict(size=0), "size: got 0"),
    ],
)
def test_wrong_architectures_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        ConvAutoencoder(**arguments)


def test_images_of_another_size_are_refused():
    with pytest.raises(ShapeError, match=r"x: got shape \(2, 1, 32, 32\); expected \('n', 1, 28"):
        ConvAutoencoder()(mg.zeros(2, 1, 32, 32))
