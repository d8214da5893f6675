"""The networks of the GANs are the published ones, and say what they are fed and make."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn.spectral_norm import SpectralNorm
from models.gan import DCGAN, MLPGAN, NORMS, ConditionalGAN

# ---------------------------------------------------------------- architectures

DIGITS = """DCGAN(
  (generator): Sequential(
    (0): Linear(in_features=100, out_features=6272, bias=False)
    (1): Unflatten(dim=1, unflattened_size=(128, 7, 7))
    (2): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    (3): ReLU()
    (4): ConvTranspose2d(128, 64, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1), bias=False)
    (5): BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    (6): ReLU()
    (7): ConvTranspose2d(64, 1, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1))
    (8): Tanh()
  )
  (discriminator): Sequential(
    (0): Conv2d(1, 64, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1))
    (1): LeakyReLU(negative_slope=0.2)
    (2): Conv2d(64, 128, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1), bias=False)
    (3): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    (4): LeakyReLU(negative_slope=0.2)
    (5): Flatten(start_dim=1, end_dim=-1)
    (6): Linear(in_features=6272, out_features=1, bias=True)
  )
)"""


def test_dcgan_is_the_published_plan():
    assert repr(DCGAN()) == DIGITS


def shapes(network, x):
    found = []
    for layer in network:
        x = layer(x)
        if not isinstance(layer, (nn.BatchNorm2d, nn.ReLU, nn.LeakyReLU, nn.LayerNorm)):
            found.append(x.shape[1:])
    return found


def test_faces_double_four_times():
    """1024 · 4 · 4 up to 3 · 64 · 64 with width 128: figure 1 of the paper. Here with 16."""
    gan = DCGAN((3, 64, 64), width=16)
    up = [(128, 4, 4), (64, 8, 8), (32, 16, 16), (16, 32, 32), (3, 64, 64)]
    assert shapes(gan.generator, mg.zeros(2, 100))[1:-1] == up
    down = [(16, 32, 32), (32, 16, 16), (64, 8, 8), (128, 4, 4)]
    assert shapes(gan.discriminator, mg.zeros(2, 3, 64, 64))[:4] == down
    assert DCGAN((3, 64, 64)).generator[0].weight.shape == (512 * 16, 100)


@pytest.mark.parametrize("side", [8, 10, 12, 14, 28, 32, 48])
def test_any_side_that_halves_down_to_4_to_7(side):
    gan = DCGAN((1, side, side), codes=3, width=2)
    assert gan.sample(2).shape == (2, 1, side, side)
    assert gan.score(mg.rand(2, 1, side, side)).shape == (2,)
    assert 4 <= gan.generator[1].unflattened_size[1] <= 7


def kinds(network):
    return {type(m).__name__ for m in network}


def test_norms_of_the_discriminator():
    for norm in NORMS:
        gan = DCGAN((1, 16, 16), width=2, norm=norm)
        assert ("BatchNorm2d" in kinds(gan.discriminator)) == (norm == "batch")
        assert ("LayerNorm" in kinds(gan.discriminator)) == (norm == "layer")
        assert "BatchNorm2d" in kinds(gan.generator)
        spectral = [
            isinstance(getattr(m, "spectral_norm", None), SpectralNorm)
            for m in gan.discriminator
            if isinstance(m, (nn.Conv2d, nn.Linear))
        ]
        assert spectral == [norm == "spectral"] * 3
        answers = gan.score(mg.rand(4, 1, 16, 16))
        assert answers.shape == (4,) and np.isfinite(answers.numpy()).all()


def test_weights_begin_as_published():
    mg.manual_seed(0)
    gan = DCGAN()
    for name, p in gan.named_parameters():
        values = p.detach().numpy()
        if name.endswith("bias"):
            assert not values.any()
        else:
            mean = 1.0 if values.ndim == 1 else 0.0  # batch norm's weights are vectors
            few = 4 * 0.02 / np.sqrt(values.size)
            assert abs(values.mean() - mean) < few and abs(values.std() - 0.02) < few


def test_a_critic_without_batch_norm_begins_as_its_layers_do():
    """Its signal would shrink to nothing with weights of 0.02 that no norm enlarges again."""
    mg.manual_seed(0)
    critic = DCGAN(norm="none").discriminator
    bound = 1 / np.sqrt(64 * 16)
    assert 0.95 * bound < critic[2].weight.abs().amax().item() <= bound
    assert critic[2].bias is not None


def test_dense_networks():
    gan = MLPGAN((2,), codes=3, hidden=(16, 8))
    assert [p.shape for p in gan.generator.parameters()][::2] == [(16, 3), (8, 16), (2, 8)]
    assert [p.shape for p in gan.discriminator.parameters()][::2] == [(16, 2), (8, 16), (1, 8)]
    assert kinds(gan.generator) == {"Linear", "ReLU"}
    assert kinds(gan.discriminator) == {"Linear", "LeakyReLU"}
    of_images = MLPGAN((1, 4, 5), codes=3, hidden=(6,))
    assert of_images.sample(2).shape == (2, 1, 4, 5)
    assert of_images.score(mg.rand(2, 1, 4, 5)).shape == (2,)
    assert isinstance(list(of_images.generator)[-1], nn.Tanh)


# ---------------------------------------------------------------- in use


def test_images_live_between_0_and_1_and_networks_between_minus_1_and_1():
    gan = MLPGAN((1, 2, 2), codes=3, hidden=(4,))
    with mg.no_grad():
        gan.generator[2].weight.mul_(100.0)
        z = gan.noise(200)
        inner, outer = gan.make(z).numpy(), gan.generate(z).numpy()
    assert inner.min() < -0.99 and inner.max() > 0.99
    np.testing.assert_allclose(outer, (inner + 1) / 2, atol=1e-7)
    np.testing.assert_allclose(gan.scaled(mg.tensor(outer)).numpy(), inner, atol=1e-6)
    assert (gan.score(mg.tensor(outer)) - gan.judge(mg.tensor(inner))).abs().amax().item() < 1e-5


def test_points_are_not_scaled():
    gan = MLPGAN()
    x = mg.randn(3, 2)
    assert gan.scaled(x) is x
    z = gan.noise(3)
    assert (gan.generate(z) == gan.make(z)).all()


def test_sampling_repeats_with_its_seed_and_leaves_no_graph():
    gan = DCGAN((1, 8, 8), codes=3, width=2).eval()
    first, again, other = (
        gan.sample(4, generator=mg.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert first.tolist() == again.tolist() != other.tolist()
    assert not first.requires_grad and gan.make(gan.noise(1)).requires_grad
    double = gan.double().sample(2)
    assert double.dtype == mg.float64
    assert gan.sample(0).shape == (0, 1, 8, 8)


def test_another_generator_can_make_the_samples():
    gan = MLPGAN()
    z = gan.noise(3)
    other = MLPGAN().generator
    assert (gan.generate(z, by=other) == other(z)).all()
    assert (gan.generate(z, by=other) != gan.generate(z)).any()


# ---------------------------------------------------------------- told the class


def test_the_class_comes_beside_noise_and_as_channels():
    gan = ConditionalGAN(3, image_shape=(2, 8, 8), codes=4, width=2)
    seen = []
    for network in (gan.generator, gan.discriminator):
        first, plain = network[0], type(network[0]).forward
        network[0].forward = lambda x, first=first, plain=plain: seen.append(x) or plain(first, x)
    z, x = mg.randn(2, 4), mg.rand(2, 2, 8, 8)
    labels = mg.tensor([2, 0])
    gan.make(z, labels)
    gan.judge(x, labels)
    onehot = np.array([[0, 0, 1], [1, 0, 0]], np.float32)
    assert (seen[0].numpy() == np.concatenate([z.numpy(), onehot], 1)).all()
    planes = np.broadcast_to(onehot[:, :, None, None], (2, 3, 8, 8))
    assert (seen[1].numpy() == np.concatenate([x.numpy(), planes], 1)).all()


@pytest.mark.parametrize("gan", [MLPGAN(classes=3), ConditionalGAN(3, image_shape=(1, 8, 8))])
def test_the_class_matters_to_both(gan):
    gan.eval()
    z, labels = gan.noise(2), mg.tensor([0, 1])
    made, others = gan.generate(z, labels), gan.generate(z, labels.flip(0))
    assert (made != others).any()
    assert (gan.score(made, labels) != gan.score(made, labels.flip(0))).all()


def test_plain_gans_do_not_look_at_labels():
    gan = MLPGAN()
    z = gan.noise(2)
    assert (gan.make(z, mg.tensor([5, 6, 7])) == gan.make(z)).all()


# ---------------------------------------------------------------- wrong inputs

SIDES = r"the side 4, 5, 6 or 7 doubled once or more"


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: MLPGAN((2, 2)), r"MLPGAN: shape, codes, classes: got \(2, 2\), 4, 0"),
        (lambda: MLPGAN(codes=0), r"MLPGAN: shape, codes, classes: got \(2,\), 0, 0"),
        (lambda: MLPGAN(classes=-1), r"got \(2,\), 4, -1; expected"),
        (lambda: MLPGAN(hidden=()), r"MLPGAN: hidden: got \(\); expected a layer or more"),
        (lambda: MLPGAN(hidden=(3, 0)), r"MLPGAN: hidden: got \(3, 0\)"),
        (lambda: MLPGAN(norm="batch"), "MLPGAN: norm: got 'batch'; expected 'none' or 'spectral'"),
        (lambda: MLPGAN((1, 4, 4), classes=2), "classes: got some for images.*ConditionalGAN"),
        (lambda: DCGAN((2,)), rf"DCGAN: image_shape: got \(2,\); .*{SIDES}"),
        (lambda: DCGAN((1, 28, 32)), r"DCGAN: image_shape: got \(1, 28, 32\)"),
        (lambda: DCGAN((1, 27, 27)), r"DCGAN: image_shape: got \(1, 27, 27\)"),
        (lambda: DCGAN((1, 7, 7)), r"DCGAN: image_shape: got \(1, 7, 7\)"),
        (lambda: DCGAN((0, 28, 28)), r"DCGAN: shape, codes, classes: got \(0, 28, 28\)"),
        (lambda: DCGAN(width=0), "DCGAN: width, norm: got 0, 'batch'"),
        (lambda: DCGAN(norm="instance"), "got 64, 'instance'; expected .* batch, layer, none"),
        (lambda: ConditionalGAN(1), "ConditionalGAN: classes: got 1; expected at least 2"),
    ],
)
def test_wrong_architectures_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_images_of_another_shape_are_refused():
    gan = DCGAN((1, 8, 8), width=2)
    for shape in ((2, 8, 8), (2, 64), (2, 3, 8, 8), (2, 1, 16, 16)):
        with pytest.raises(ShapeError, match=r"DCGAN: x: got \(2, .*; expected \('n', 1, 8, 8\)"):
            gan.score(mg.rand(*shape))


@pytest.mark.parametrize("method", ["sample", "score", "generate"])
def test_missing_labels_are_asked_for(method):
    gan = ConditionalGAN(3, image_shape=(1, 8, 8), codes=4)
    given = {"sample": 2, "score": mg.rand(2, 1, 8, 8), "generate": mg.zeros(2, 4)}[method]
    with pytest.raises(ShapeError, match=r"ConditionalGAN: labels: got none; expected \(2,\)"):
        getattr(gan, method)(given)
    with pytest.raises(ShapeError, match=r"labels: got shape \(3,\); expected \(2,\)"):
        getattr(gan, method)(given, mg.tensor([0, 1, 2]))
