"""The VAEs are the decks', their losses PyTorch's, their gradients right, and they learn."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.data.glyphs import glyphs
from minigrad.errors import ArgumentError, ShapeError
from minigrad.ops.sampling import _draw
from minigrad.training import fit
from models.likelihoods import Bernoulli, Gaussian
from models.vae import VAE, ConvVAE, DenseVAE, FaceVAE, kl_per_code, warm_up
from tests.models.endtoend import check_model
from tests.models.vae_cases import CONV, DENSE, FACE, SMALL, TWINS, seeded

# ---------------------------------------------------------------- architectures


@pytest.mark.parametrize(
    "model, state, count",
    [(DenseVAE, DENSE, 807_700), (ConvVAE, CONV, 182_761), (FaceVAE, FACE, 2_957_251)],
)
def test_it_is_the_decks(model, state, count):
    model = model()
    assert {key: value.shape for key, value in model.state_dict().items()} == state
    assert sum(p.numel() for p in model.parameters()) == count


def test_the_convolutional_sizes_are_the_decks():
    """28 → 13 → 5 → 13 → 28, and with the encoder's kernel of 4 the way back would miss 13."""
    model = ConvVAE()
    down = [mg.rand(2, 1, 28, 28)]
    for layer in (model.conv1, model.conv2):
        down.append(layer(down[-1]))
    assert [h.shape for h in down] == [(2, 1, 28, 28), (2, 32, 13, 13), (2, 64, 5, 5)]
    up = [down[-1]]
    for layer in (model.deconv2, model.deconv1):
        up.append(layer(up[-1]))
    assert [h.shape for h in up] == [(2, 64, 5, 5), (2, 32, 13, 13), (2, 1, 28, 28)]
    assert nn.ConvTranspose2d(64, 32, 4, stride=2)(up[0]).shape == (2, 32, 12, 12)


def test_one_row_and_column_of_13_are_left_over():
    """The last of conv1's 13 rows and columns reaches no output of conv2."""
    conv2 = ConvVAE().conv2
    h = mg.rand(1, 32, 13, 13, requires_grad=True)
    conv2(h).sum().backward()
    touched = (h.grad != 0).numpy().any((0, 1))
    assert touched[:12, :12].all() and not touched[12].any() and not touched[:, 12].any()


def test_face_sizes_halve_and_double():
    model = FaceVAE()
    x = mg.rand(1, 3, 64, 64)
    sides = [x.shape[2]]
    for layer in list(model.encoder.children())[:-1:2]:
        x = layer(x)
        sides.append(x.shape[2])
    assert sides == [64, 32, 16, 8, 4]
    assert model.decode(mg.zeros(2, 128)).shape == (2, 3, 64, 64)


@pytest.mark.parametrize("model", [DenseVAE, ConvVAE, FaceVAE])
def test_a_likelihood_with_two_numbers_per_pixel_gets_them(model):
    model = model(likelihood=Gaussian("learned"))
    c, *size = model.image_shape
    assert model.decode(mg.zeros(2, model.codes)).shape == (2, 2 * c, *size)
    assert model.sample(3).shape == (3, c, *size)


# ---------------------------------------------------------------- PyTorch's numbers


@pytest.mark.parametrize("make, scale, reconstruction, kl, norms", TWINS.values(), ids=TWINS)
def test_the_loss_is_pytorchs(make, scale, reconstruction, kl, norms):
    model, x, eps = seeded(make(), scale)
    parts = model.loss(x, eps=eps)
    parts["loss"].backward()
    assert parts["reconstruction"].item() == pytest.approx(reconstruction, rel=1e-12)
    assert parts["kl"].item() == pytest.approx(kl, rel=1e-12)
    assert parts["loss"].item() == pytest.approx(reconstruction + model.beta * kl, rel=1e-12)
    assert [p.grad.norm().item() for p in model.parameters()] == pytest.approx(norms, rel=1e-10)


# ---------------------------------------------------------------- every parameter's gradient

TINY = dict(codes=2, channels=(1, 3, 3))


def narrow():
    """ConvVAE with 5 channels between its two convolutions, where the deck has 32."""
    model = ConvVAE(z_dim=3)
    model.conv1 = nn.Conv2d(1, 5, kernel_size=4, stride=2)
    model.conv2 = nn.Conv2d(5, 64, kernel_size=4, stride=2)
    model.deconv2 = nn.ConvTranspose2d(64, 5, kernel_size=5, stride=2)
    model.deconv1 = nn.ConvTranspose2d(5, 1, kernel_size=4, stride=2)
    return model


COPIES = {
    "dense, Bernoulli": (lambda: DenseVAE(**SMALL), 0.5),
    "dense, Gaussian": (lambda: DenseVAE(**SMALL, likelihood=Gaussian(0.3), beta=0.5), 0.5),
    "dense, shared": (lambda: DenseVAE(**SMALL, likelihood=Gaussian("shared"), beta=3.0), 0.5),
    "dense, learned": (lambda: DenseVAE(**SMALL, likelihood=Gaussian("learned")), 0.5),
    "face, Bernoulli": (lambda: FaceVAE(**TINY, likelihood=Bernoulli(), beta=2.0), 0.3),
    "face, Gaussian": (lambda: FaceVAE(**TINY), 0.3),
    "face, shared": (lambda: FaceVAE(**TINY, likelihood=Gaussian("shared")), 0.3),
    "face, learned": (lambda: FaceVAE(**TINY, likelihood=Gaussian("learned"), beta=0.1), 0.3),
    "conv, Bernoulli": (narrow, 0.2),
}


@pytest.mark.parametrize("make, scale", COPIES.values(), ids=COPIES)
def test_every_parameters_gradient_is_right(make, scale):
    """Of the loss, the reconstruction and the KL at once, each with a cotangent of its own."""
    model, x, eps = seeded(make(), scale, n=2)
    check_model(model, lambda *parameters: list(model.loss(x, eps=eps).values()))


def test_free_bits_gradient_is_right():
    """Of two codes one pays and one does not; neither is near the bend."""
    model, x, eps = seeded(DenseVAE(**SMALL, beta=2.0), 0.5)
    kl = kl_per_code(*model.encode(x)).mean(0).tolist()
    model.free_bits = sum(kl) / 2
    assert abs(kl[0] - kl[1]) > 0.2
    check_model(model, lambda *parameters: list(model.loss(x, eps=eps).values()))
    parts = {name: part.item() for name, part in model.loss(x, eps=eps).items()}
    assert parts["kl"] == pytest.approx(sum(kl))
    paid = max(kl) + model.free_bits
    assert parts["loss"] == pytest.approx(parts["reconstruction"] + 2.0 * paid)


def test_a_code_below_the_floor_is_not_pushed():
    """With a floor above every code's KL the KL has no gradient; without one it has."""
    for floor, moved in ((1e3, False), (0.0, True)):
        model, x, _ = seeded(DenseVAE(**SMALL, free_bits=floor), 0.5)
        with mg.no_grad():  # z does not reach the image: only the KL moves the encoder
            model.decoder[0].weight.zero_()
        model.loss(x)["loss"].backward()
        assert bool((model.mean.weight.grad != 0).any()) is moved


def test_the_check_sees_a_wrong_rule(monkeypatch):
    """If the draw forgot σ's gradient, the same check would fail."""
    model, x, eps = seeded(DenseVAE(**SMALL), 0.5)
    to_mean, _, to_eps = _draw.rules
    forgets = (to_mean, lambda g, y, mean, std, eps: 0.0 * g * eps, to_eps)
    monkeypatch.setattr(_draw, "rules", forgets)
    with pytest.raises(AssertionError):
        check_model(model, lambda *parameters: model.loss(x, eps=eps)["loss"])


# ---------------------------------------------------------------- learning


@pytest.fixture(scope="module")
def digits():
    images = mg.tensor(glyphs(2400, seed=0).images[:, None])
    return images[:2000], images[2000:]


def trained(train, **settings):
    mg.manual_seed(0)
    model = DenseVAE(hidden=128, codes=8, **settings)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(train), 20, shuffle=True)
    fit(model, VAE.loss, optimizer, loader, 2, progress=False)
    return model


@mg.no_grad()
def measured(model, x):
    """The parts of the loss as numbers."""
    return {name: part.item() for name, part in model.loss(x).items()}


def test_it_learns_digits(digits):
    """Two epochs beat an untrained model, and the best image that is the same for all."""
    train, test = digits
    p = train.mean(0).clamp(1e-6, 1 - 1e-6)
    constant = -(test * p.log() + (1.0 - test) * (1.0 - p).log()).sum().item() / len(test)
    before = measured(DenseVAE(hidden=128, codes=8), test)["loss"]
    after = measured(trained(train), test)["loss"]
    assert after < 0.9 * constant < constant < 0.5 * before


def test_free_bits_are_used(digits):
    """Up to 2 nats in each of 8 codes are free, so that about as many are used."""
    train, test = digits
    plain, floored = (measured(trained(train, free_bits=floor), test)["kl"] for floor in (0.0, 2.0))
    assert plain < 0.8 * 16 and floored > 0.9 * 16


def test_beta_trades_the_code_for_the_image(digits):
    train, test = digits
    cheap, dear = (measured(trained(train, beta=beta), test) for beta in (0.2, 5.0))
    assert cheap["kl"] > 2 * dear["kl"] and cheap["reconstruction"] < dear["reconstruction"]


def test_a_shared_variance_finds_the_mean_squared_error(digits):
    """-ln p is smallest in σ² where σ² is the mean squared error: its slope there is 0."""
    model = DenseVAE(hidden=16, likelihood=Gaussian("shared"))
    x = digits[1][:50]
    eps = mg.zeros(50, 2)
    squares = (model.reconstruct(x) - x).square().mean()
    with mg.no_grad():
        model.likelihood.log_var.copy_(squares.log())
    model.loss(x, eps=eps)["loss"].backward()
    assert abs(model.likelihood.log_var.grad.item()) < 1e-2  # of 392 nats per unit of ln σ²
    assert model.likelihood.implied_variance() == pytest.approx(squares.item(), rel=1e-5)


@pytest.mark.parametrize(
    "beta, epoch, epochs, expected",
    [(1.0, 1, 4, 0.25), (4.0, 2, 4, 2.0), (4.0, 4, 4, 4.0), (4.0, 9, 4, 4.0), (3.0, 1, 0, 3.0)],
)
def test_warm_up(beta, epoch, epochs, expected):
    assert warm_up(beta, epoch, epochs) == expected


# ---------------------------------------------------------------- in use


def test_sampling_repeats_with_its_seed():
    model = DenseVAE(**SMALL)
    first, again, other = (
        model.sample(4, mg.Generator().manual_seed(seed)).tolist() for seed in (1, 1, 2)
    )
    assert first == again != other
    z = mg.randn(4, 2, generator=mg.Generator().manual_seed(1))
    assert model.generate(z).tolist() == first
    assert model.sample(0).shape == (0, 1, 3, 4)


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
def test_what_is_not_trained_on_leaves_no_graph(dtype):
    model = DenseVAE(**SMALL).to(dtype)
    x = mg.rand(3, 1, 3, 4, dtype=dtype)
    made = [model.reconstruct(x), model.generate(mg.zeros(3, 2, dtype=dtype)), model.sample(3)]
    assert [y.shape for y in made] == [x.shape] * 3
    for y in (*made, model.log_evidence(x, 2)):
        assert not y.requires_grad and y.primitive is None and y.dtype == dtype
    assert all((0 < y.numpy()).all() and (y.numpy() < 1).all() for y in made)
    assert model.loss(x)["loss"].requires_grad  # the graph is recorded again


def test_labels_are_not_read():
    model, x, eps = seeded(DenseVAE(**SMALL), 0.5)
    with_labels = model.loss(x, mg.arange(3), eps=eps)
    assert with_labels["loss"].item() == model.loss(x, eps=eps)["loss"].item()


def test_explain_loss_adds_up():
    model, x, _ = seeded(DenseVAE(**SMALL, beta=3.0, likelihood=Gaussian(0.2)), 0.5)
    mg.manual_seed(0)
    told = model.explain_loss(x)
    mg.manual_seed(0)
    assert told.loss == model.loss(x)["loss"].item()
    assert told.loss == pytest.approx(told.reconstruction + 3.0 * told.kl, rel=1e-12)
    bits = (told.reconstruction + told.kl) / (12 * math.log(2))
    assert told.bits_per_dimension == pytest.approx(bits, rel=1e-12)
    assert told.implied_variance == pytest.approx(0.6)
    words = str(told)
    for number in (told.reconstruction, told.kl, told.loss, told.reconstruction + told.kl):
        assert f"{number:10.2f}" in words
    assert f"{told.bits_per_dimension:.4f} bits" in words and "0.6 : with β = 1" in words


def test_implied_variance_makes_the_weights_equal():
    """The gradient of the loss with β is β times that with β = 1 and the implied variance."""
    directions = []
    for variance, beta in ((0.2, 3.0), (0.6, 1.0)):
        model = DenseVAE(**SMALL, likelihood=Gaussian(variance), beta=beta)
        model, x, eps = seeded(model, 0.5)
        model.loss(x, eps=eps)["loss"].backward()
        directions.append(np.concatenate([p.grad.numpy().ravel() for p in model.parameters()]))
    np.testing.assert_allclose(directions[0], 3.0 * directions[1], rtol=1e-10, atol=1e-12)


def test_deck_002s_weight_means_a_variance_of_1_47():
    assert round(FaceVAE().likelihood.implied_variance(), 2) == 1.47
    small = FaceVAE(codes=2, channels=(3, 2))  # 8×8 pixels: the weight is per pixel
    assert small.explain_loss(mg.rand(2, 3, 8, 8)).implied_variance == 0.00024 * 192 / 2
    assert DenseVAE(**SMALL).explain_loss(mg.rand(2, 1, 3, 4)).implied_variance is None
    free = DenseVAE(**SMALL, likelihood=Gaussian(1.0), beta=0.0)
    assert free.explain_loss(mg.rand(2, 1, 3, 4)).implied_variance is None


# ---------------------------------------------------------------- wrong inputs


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: DenseVAE(codes=0), r"DenseVAE: image_shape, codes: got \(1, 28, 28\), 0"),
        (lambda: DenseVAE(image_shape=(28, 28)), r"image_shape, codes: got \(28, 28\), 2"),
        (lambda: DenseVAE(hidden=0), "DenseVAE: hidden: got 0; expected at least 1"),
        (lambda: DenseVAE(beta=-1.0), "beta, free_bits: got -1.0, 0.0; expected neither below"),
        (lambda: ConvVAE(beta=math.nan), "ConvVAE: beta, free_bits: got nan"),
        (lambda: ConvVAE(free_bits=-0.1), "beta, free_bits: got 1.0, -0.1"),
        (lambda: ConvVAE(h_dim=1024), "ConvVAE: h_dim: got 1024; expected 1600, 64 channels"),
        (lambda: ConvVAE(z_dim=0), "ConvVAE: image_shape, codes: got .*, 0"),
        (lambda: FaceVAE(channels=(3,)), r"FaceVAE: channels: got \(3,\); expected those of"),
        (lambda: FaceVAE(channels=(3, 0)), r"FaceVAE: channels: got \(3, 0\)"),
    ],
)
def test_wrong_architectures_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


@pytest.mark.parametrize("method", ["__call__", "loss", "reconstruct", "log_evidence"])
def test_images_of_another_shape_are_refused(method):
    """Also those of as many pixels, which a dense layer would take."""
    model = DenseVAE(**SMALL, likelihood=Gaussian(1.0))
    for shape in ((2, 3, 4), (2, 12), (2, 1, 4, 3), (2, 2, 3, 4)):
        with pytest.raises(ShapeError, match=r"DenseVAE: x: got \(2, .*; expected \('n', 1, 3, 4"):
            getattr(model, method)(mg.rand(*shape))


def test_an_empty_batch_has_no_loss():
    with pytest.raises(ArgumentError, match="DenseVAE: loss: got an empty batch"):
        DenseVAE(**SMALL).loss(mg.zeros(0, 1, 3, 4))


def test_no_draws_are_refused():
    with pytest.raises(ArgumentError, match="log_evidence: draws: got 0; expected at least 1"):
        DenseVAE(**SMALL).log_evidence(mg.rand(2, 1, 3, 4), draws=0)


def test_eps_of_another_shape_is_refused():
    with pytest.raises(ShapeError):
        DenseVAE(**SMALL).loss(mg.rand(3, 1, 3, 4), eps=mg.zeros(3, 3))
