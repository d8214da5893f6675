"""A training step of every model on a device: nothing leaves it, and the host waits for it once."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import minigrad as mg
import models
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import NonFiniteError
from minigrad.training import Descent, fit
from models import (
    autoencoder,
    classifier,
    conv_autoencoder,
    gan,
    linear_autoencoder,
    one_layer,
    regularized,
    stacked,
    stochastic,
    vae,
    variational_dropout,
)
from models.continuous_bernoulli import ContinuousBernoulli
from models.corruption import CORRUPTIONS
from models.game import Game
from models.likelihoods import Gaussian
from models.sparsity import DISTANCES
from tests import strict
from tests.models.gan_cases import GAMES

SMALL = dict(hidden=5, codes=2, image_shape=(1, 3, 4))
FACES = dict(codes=3, channels=(2, 3, 4))
ROWS, IMAGES = (4, 6), (3, 1, 28, 28)


def _sparse(distance, per):
    return lambda: regularized.SparseAutoencoder((6, 5, 4), distance=distance, per=per)


# The model, and the shape of a batch.
MODELS = {
    "dense": (lambda: autoencoder.Autoencoder((6, 4, 2)), ROWS),
    "linear": (lambda: linear_autoencoder.LinearAutoencoder(6, 2), ROWS),
    "one layer": (lambda: one_layer.OneLayerAutoencoder(6, 3), ROWS),
    "stacked": (lambda: stacked.StackedAutoencoder((6, 4, 2)), ROWS),
    "layer of it": (lambda: stacked.StackedAutoencoder((6, 4, 2)).layer(0), ROWS),
    "conv": (lambda: conv_autoencoder.ConvAutoencoder((1, 2, 3), 4, size=8), (2, 1, 8, 8)),
    "conv, upsampling": (
        lambda: conv_autoencoder.ConvAutoencoder((1, 2, 3), 4, "resize", 8), (2, 1, 8, 8)),
    **{f"denoising, {name}": (
        lambda name=name: regularized.DenoisingAutoencoder((6, 4), noise=name, level=0.3), ROWS)
       for name in CORRUPTIONS},
    **{f"sparse, {name} per {per}": (_sparse(name, per), ROWS)
       for name in DISTANCES for per in ("unit", "example")},
    "k-sparse": (lambda: regularized.KSparseAutoencoder((6, 5), k=2), ROWS),
    "contractive": (lambda: regularized.ContractiveAutoencoder((6, 3)), ROWS),
    "contractive, deep": (lambda: regularized.ContractiveAutoencoder((6, 4, 3)), ROWS),
    "contractive, estimated": (
        lambda: regularized.ContractiveAutoencoder((6, 4, 3), draws=2), ROWS),
    "stochastic": (lambda: stochastic.StochasticAutoencoder((6, 5, 2)), ROWS),
    "classifier": (lambda: classifier.Classifier((1, 2, 3), 4, 8), (5, 1, 8, 8)),
    "dense VAE": (lambda: vae.DenseVAE(**SMALL), (3, 1, 3, 4)),
    "dense VAE, free bits": (lambda: vae.DenseVAE(**SMALL, free_bits=0.1), (3, 1, 3, 4)),
    "dense VAE, continuous": (
        lambda: vae.DenseVAE(**SMALL, likelihood=ContinuousBernoulli()), (3, 1, 3, 4)),
    **{f"dense VAE, Gaussian {variance}": (
        lambda variance=variance: vae.DenseVAE(**SMALL, likelihood=Gaussian(variance)),
        (3, 1, 3, 4)) for variance in (0.3, "shared", "learned")},
    "conv VAE": (lambda: vae.ConvVAE(), (2, 1, 28, 28)),
    "face VAE": (lambda: vae.FaceVAE(**FACES), (2, 2, 16, 16)),
    **{f"weights unsure, {estimator}": (
        lambda estimator=estimator: variational_dropout.GaussianClassifier(6, 4, 4, estimator),
        ROWS) for estimator in variational_dropout.ESTIMATORS},
}  # fmt: skip
LABELLED = classifier.Classifier, variational_dropout.GaussianClassifier


def is_stand_in(module):
    """Whether it is on the stand-in for a device, which counts how often it is waited for."""
    return type(next(iter(module.parameters())).array) is strict.ndarray


def loss_of(model, *batch):
    return model.loss(*batch)


def batch_for(model, shape, device):
    x = mg.tensor(np.random.default_rng(0).random(shape).astype(np.float32), device=device)
    return (
        (x, mg.tensor([0, 3, 1, 2, 0][: len(x)], device=device))
        if isinstance(model, LABELLED)
        else (x,)
    )


def check_on(device, module, *optimizers):
    """All that the module has is on the device, gradients and the optimisers' state too."""
    kept = [*module.parameters(), *module.buffers()]
    kept += [p.grad for p in module.parameters() if p.grad is not None]
    kept += [mg.Tensor(v) for o in optimizers for s in o.state.values() for v in s.values()
             if not isinstance(v, int)]  # fmt: skip
    assert {x.device.type for x in kept} == {device}


@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_waits_once(name, device):
    make, shape = MODELS[name]
    mg.manual_seed(0)
    model = make().to(device)
    optimizer = optim.Adam(model.parameters(), 1e-3)
    trainer, batch = Descent(model, loss_of, optimizer), batch_for(model, shape, device)
    first = trainer.step(*batch)
    strict.waits.clear()
    before = [p.cpu().tolist() for p in model.parameters()]
    strict.waits.clear()
    second = trainer.step(*batch)
    assert len(strict.waits) == is_stand_in(model), strict.waits
    assert set(second) == set(first) and all(map(np.isfinite, second.values()))
    assert before != [p.cpu().tolist() for p in model.parameters()]
    check_on(device, model, optimizer)


@pytest.mark.parametrize("name", [*GAMES, "spectral", "images, spectral", "ema"])
def test_a_round_of_the_game_waits_once_for_each_player(name, device):
    mg.manual_seed(0)
    if name in GAMES:
        game = GAMES[name]()
        network = game.gan
    elif name == "ema":
        network, game = gan.MLPGAN((2,), 2, (5, 4)), None
    else:
        network = (
            gan.DCGAN((1, 16, 16), 3, 2, "spectral") if "images" in name
            else gan.MLPGAN((2,), 2, (5, 4), "spectral")
        )  # fmt: skip
        game = None
    network.to(device)
    game = game or Game(network, "hinge", ema=0.9)
    dtype = next(network.parameters()).dtype
    drawn = np.random.default_rng(1).random((3, *network.shape))
    batch = [mg.tensor(drawn, dtype=dtype, device=device)]
    batch += [mg.arange(3, device=device)] if network.classes else []
    game.step(*batch)
    game.critic_steps = 2
    for players in (2, 1):
        strict.waits.clear()
        record = game.step(*batch)
        assert len(strict.waits) == players * is_stand_in(network), strict.waits
        assert ("g_loss" in record) == (players == 2) and all(map(np.isfinite, record.values()))
    check_on(device, network, game.d_optimizer, game.g_optimizer)


@pytest.mark.parametrize("player", ["d_loss", "g_loss"])
def test_a_round_that_is_not_finite_does_not_move_that_player(player, device):
    network = gan.MLPGAN((2,), 2, (5, 4)).to(device)
    game = Game(network)
    if player == "g_loss":
        game.loss = game.loss._replace(generator=lambda made: (made * 0.0 - 1.0).log().mean())
    spoiled = network.discriminator if player == "d_loss" else network.generator
    before = [p.tolist() for p in spoiled.parameters()]
    x = mg.full((3, 2), np.nan if player == "d_loss" else 0.5, device=device)
    with pytest.raises(NonFiniteError, match=f"learning rate 0.0002: {player}: got nan"):
        game.step(x)
    assert before == [p.tolist() for p in spoiled.parameters()]


def test_a_game_goes_on_elsewhere(device, tmp_path):
    """Both players, G's average and both optimisers, from there to here and back."""
    x = mg.full((3, 2), 0.5)
    for first, then in ((device, "cpu"), ("cpu", device)):
        games = [Game(gan.MLPGAN((2,), 2, (5, 4)).to(at), ema=0.9) for at in (first, then)]
        games[0].step(x.to(first))
        mg.save(games[0].state_dict(), tmp_path / "game.npz")
        games[1].load_state_dict(mg.load(tmp_path / "game.npz"))
        codes = mg.randn(4, 2)
        by = [game.gan.make(codes.to(at), by=game.average.module).tolist()
              for game, at in zip(games, (first, then), strict=True)]  # fmt: skip
        np.testing.assert_allclose(*by, rtol=1e-5)
        games[1].step(x.to(then))
        check_on(then, games[1].gan, games[1].d_optimizer, games[1].g_optimizer)


def test_an_epoch_waits_once_for_every_step(device):
    """The loop around the steps, its bar and its loader, waits for nothing."""
    mg.manual_seed(0)
    model = autoencoder.Autoencoder((6, 4, 2)).to(device)
    x = mg.rand(22, 6, device=device)
    loader = DataLoader(TensorDataset(x), 4, shuffle=True)
    strict.waits.clear()
    (record,) = fit(model, loss_of, optim.Adam(model.parameters()), loader, 1, progress=False)
    assert len(strict.waits) == 6 * is_stand_in(model) and np.isfinite(record["loss"])


def test_every_model_is_here():
    found = set()
    for info in pkgutil.iter_modules(models.__path__, "models."):
        module = importlib.import_module(info.name)
        found |= {
            kind for kind in vars(module).values()
            if inspect.isclass(kind) and issubclass(kind, nn.Module)
            and kind.__module__ == info.name and "loss" in vars(kind)
        }  # fmt: skip
    trained = {type(make()) for make, _ in MODELS.values()}
    met = {base for kind in trained for base in kind.__mro__}
    assert {kind.__name__ for kind in found - met} == set()
