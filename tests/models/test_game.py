"""A round of the game moves whom it should, learns a ring, and continues bit for bit."""

import math
import os
import signal

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError, CheckpointError, GraphError, NonFiniteError, ShapeError
from minigrad.nn.spectral_norm import spectral_norm
from minigrad.ops.conv.primitives import conv2d
from minigrad.ops.linear import _affine
from minigrad.serialization import load
from minigrad.training import train
from models.ema import EMA
from models.game import Game
from models.gan import DCGAN, MLPGAN, ConditionalGAN
from models.gan_scores import mode_coverage
from models.toys import ring
from tests.models.gan_cases import GAMES, IMAGES, POINTS, drawn, images, points

# ---------------------------------------------------------------- who moves


def weights(network):
    return [p.detach().numpy().copy() for p in network.parameters()]


def moved(network, before):
    return [bool((p != q).any()) for p, q in zip(weights(network), before, strict=True)]


def marked(network):
    """Give every parameter a gradient that can be recognised."""
    for p in network.parameters():
        p.grad = mg.full_like(p, 7.0)
    return network


def untouched(network):
    return all((p.grad == 7.0).all().item() for p in network.parameters())


@pytest.mark.parametrize("key", GAMES)
def test_each_half_moves_its_own_player_alone(key):
    """Weights and `.grad` of the other stay, bit for bit; every own parameter is differentiated."""
    game = GAMES[key]()
    d, g = game.gan.discriminator, game.gan.generator
    x, z, _, labels = drawn(game)
    fake = game.gan.make(z, *labels)
    before_d, before_g = weights(d), weights(g)
    marked(g)
    game.discriminator_step(x, fake, *labels)
    assert untouched(g) and not any(moved(g, before_g))
    assert all(p.grad is not None for p in d.parameters()) and any(moved(d, before_d))
    before_d = weights(d)
    marked(d)
    game.generator_step(fake, *labels)
    assert untouched(d) and not any(moved(d, before_d))
    assert all(moved(g, before_g))


def test_detach_is_what_keeps_g_out_of_ds_loss(monkeypatch):
    """By a plain backward, which asks for nobody in particular; without detach it would reach G."""
    for planted in (False, True):
        if planted:
            monkeypatch.setattr(mg.Tensor, "detach", lambda self: self)
        game = points("non_saturating")
        x, z, _, _ = drawn(game)
        game.discriminator_loss(x, game.gan.make(z))["d_loss"].backward()
        reached = [p.grad is not None for p in game.gan.generator.parameters()]
        assert reached == [planted] * len(reached)


def test_detach_in_gs_half_is_refused():
    """It would leave G without a gradient, and so without a word where it was."""
    game = points("non_saturating")
    _, z, _, _ = drawn(game)
    with pytest.raises(GraphError, match=r"generator_step: fake: got one without a graph"):
        game.generator_step(game.gan.make(z).detach())


def counted(monkeypatch, primitive, i, calls):
    """Let `calls` grow by one whenever the rule of input i of a primitive runs."""
    rules = list(primitive.rules)

    def rule(*args, **params):
        calls.append(primitive.name)
        return primitive_rule(*args, **params)

    primitive_rule, rules[i] = rules[i], rule
    monkeypatch.setattr(primitive, "rules", tuple(rules))


def test_gs_half_computes_none_of_ds_weight_gradients(monkeypatch):
    """Nor does D's half compute any of G's: the rules of weights run once per own layer."""
    calls = []
    counted(monkeypatch, _affine, 1, calls)
    game = points("non_saturating")
    x, z, _, _ = drawn(game)
    fake = game.gan.make(z)
    game.discriminator_step(x, fake)
    assert len(calls) == 2 * 3  # three layers, of data and of fakes
    calls.clear()
    game.generator_step(fake)
    assert len(calls) == 3


def test_images_are_differentiated_as_sparingly(monkeypatch):
    """G's half runs no weight rule of a convolution; D's half no rule for the image."""
    weight, image = [], []
    game = images("non_saturating", "batch")
    x, z, _, _ = drawn(game)
    fake = game.gan.make(z)
    counted(monkeypatch, conv2d, 1, weight)  # the convolution with a bias uses its rules
    counted(monkeypatch, conv2d, 0, image)
    game.discriminator_step(x, fake)
    assert (len(weight), len(image)) == (2 * 2, 2 * 1)  # two layers; the second's input only
    weight.clear()
    image.clear()
    game.generator_step(fake)
    assert (len(weight), len(image)) == (0, 2)


def test_no_graph_of_g_is_recorded_when_it_does_not_play():
    game = points("wasserstein", gradient_penalty=10.0, critic_steps=3)
    x, _, _, _ = drawn(game)
    seen = []
    game.discriminator_step = lambda x, fake: seen.append(fake.requires_grad) or {}
    game.generator_step = lambda fake: {"g_loss": 0.0}
    told = [game.step(x) for _ in range(6)]
    assert seen == [False, False, True] * 2
    assert ["g_loss" in record for record in told] == seen


def test_both_halves_use_one_fake_and_d_moves_first():
    game = points("non_saturating")
    x, _, _, _ = drawn(game)
    calls = []
    game.discriminator_step = lambda x, fake: calls.append(("d", fake)) or {}
    game.generator_step = lambda fake: calls.append(("g", fake)) or {}
    game.step(x)
    assert [who for who, _ in calls] == ["d", "g"] and calls[0][1] is calls[1][1]


def test_images_are_scaled_for_the_networks_once():
    game = images("hinge")
    seen = []
    game.discriminator_step = lambda x, fake: seen.append(x) or {}
    game.generator_step = lambda fake: {}
    game.step(mg.rand(4, 1, 16, 16, dtype=mg.float64))
    assert -1 <= seen[0].amin().item() < -0.9 and 0.9 < seen[0].amax().item() <= 1


def test_clipping_follows_every_step_of_d():
    game = points("wasserstein", clip=0.1)
    x, z, _, _ = drawn(game)
    game.discriminator_step(x, game.gan.make(z))
    largest = [p.abs().amax().item() for p in game.gan.discriminator.parameters()]
    assert max(largest) == 0.1
    assert max(p.abs().amax().item() for p in game.gan.generator.parameters()) > 0.1


def test_a_record_tells_probabilities_or_scores():
    for loss, like in (("non_saturating", lambda a: a.sigmoid()), ("hinge", lambda a: a)):
        game = points(loss)
        x, z, _, _ = drawn(game)
        with mg.no_grad():
            real, fake = (like(game.gan.judge(a)).mean() for a in (x, game.gan.make(z)))
        told = game.discriminator_step(x, game.gan.make(z))
        assert told["real"] == real.item() and told["fake"] == fake.item()


def test_the_usual_optimisers_are_dcgans():
    game = Game(DCGAN(**IMAGES))
    for optimizer, network in (
        (game.d_optimizer, game.gan.discriminator), (game.g_optimizer, game.gan.generator),
    ):  # fmt: skip
        (group,) = optimizer.param_groups
        assert isinstance(optimizer, optim.Adam)
        assert (group["lr"], group["betas"]) == (2e-4, (0.5, 0.999))
        assert {id(p) for p in group["params"]} == {id(p) for p in network.parameters()}


# ---------------------------------------------------------------- the average


def test_the_average_follows_g():
    game = points("non_saturating", ema=0.9)
    x, _, _, _ = drawn(game)
    mean = weights(game.gan.generator)
    for t in (1, 2, 3):
        game.step(x)
        beta = t / (9 + t)
        mean = [
            beta * a + (1 - beta) * b
            for a, b in zip(mean, weights(game.gan.generator), strict=True)
        ]
    for a, b in zip(weights(game.average.module), mean, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_samples_are_the_averages_if_there_is_one():
    for ema in (0.9, 0.0):
        game = points("non_saturating", ema=ema)
        x, _, _, _ = drawn(game)
        for _ in range(3):
            game.step(x)
        of_game, of_g = (
            who.sample(5, generator=mg.Generator().manual_seed(0)).numpy()
            for who in (game, game.gan)
        )
        assert (of_game == of_g).all() == (not ema)


# ---------------------------------------------------------------- learning


def ring_game(seed, lr=2e-3, **settings):
    """A small game on 8 Gaussians, and its loader."""
    mg.manual_seed(seed)
    generator = mg.Generator().manual_seed(seed)
    data = TensorDataset(ring(std=0.1).sample(6400, generator))
    gan = MLPGAN(hidden=(64, 64))
    optimizers = (
        optim.Adam(p.parameters(), lr, (0.5, 0.999)) for p in (gan.discriminator, gan.generator)
    )
    return Game(gan, "non_saturating", *optimizers, **settings), DataLoader(
        data, 128, shuffle=True, generator=generator
    )


def test_it_learns_all_modes_of_a_ring():
    """Every mode has 1 in 40 samples or more, where the middle or one place would have none."""
    game, loader = ring_game(0, ema=0.99)
    records = train(game, loader, 20, progress=False)
    found = mode_coverage(game.sample(2000), ring(std=0.1), least=50)
    assert found.modes == 8 and found.good > 0.4 and found.kl < 0.3
    assert 0.4 < records[-1]["fake"] < records[-1]["real"] < 0.6
    untrained = mode_coverage(ring_game(0)[0].sample(2000), ring(std=0.1), least=50)
    assert untrained.modes == 0


# ---------------------------------------------------------------- the loop


def two_epochs(seed=0, n=50):
    """A game with every kind of state: batch norm, averages, turns, schedulers, labels."""
    mg.manual_seed(seed)
    generator = mg.Generator().manual_seed(seed)
    data = TensorDataset(
        mg.rand(n, 1, 16, 16, generator=generator), mg.randint(0, 3, (n,), generator=generator)
    )
    gan = ConditionalGAN(3, **IMAGES)
    optimizers = [optim.Adam(p.parameters(), 1e-2) for p in (gan.discriminator, gan.generator)]
    schedulers = [optim.lr_scheduler.StepLR(optimizer, 1, 0.7) for optimizer in optimizers]
    game = Game(gan, "hinge", *optimizers, critic_steps=2, ema=0.9, schedulers=schedulers)
    return game, DataLoader(data, 8, shuffle=True, generator=generator)


def state(game):
    everything = {**game.gan.state_dict(), **game.average.module.state_dict(prefix="average.")}
    return {name: x.numpy().copy() for name, x in everything.items()}


def assert_same_bits(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def without_times(records):
    return [
        {k: v for k, v in r.items() if k not in ("seconds", "images_per_second")} for r in records
    ]


def test_the_same_seed_gives_the_same_bits():
    runs = []
    for seed in (0, 0, 1):
        game, loader = two_epochs(seed)
        train(game, loader, 1, progress=False)
        runs.append(state(game))
    assert_same_bits(*runs[:2])
    assert any((runs[0][k] != runs[2][k]).any() for k in runs[0])


@pytest.mark.parametrize("step", [1, 4, 7, 10])
def test_resumed_after_ctrl_c_it_is_as_if_never_stopped(tmp_path, step):
    """7 rounds an epoch, G plays every second: stopped with either to play next."""
    straight, straight_loader = two_epochs()
    expected = train(straight, straight_loader, 2, progress=False)
    stopped, loader = two_epochs()
    play = stopped.step

    def step_and_stop(*batch):
        if stopped.rounds + 1 == step:
            os.kill(os.getpid(), signal.SIGINT)
        return play(*batch)

    stopped.step = step_and_stop
    with pytest.raises(KeyboardInterrupt, match=r"saved to .*c\.npz"):
        train(stopped, loader, 2, checkpoint=tmp_path / "c.npz", progress=False)
    assert load(tmp_path / "c.npz")["rounds"] == step
    resumed, loader = two_epochs(seed=9)  # everything comes from the file
    loader.dataset = straight_loader.dataset
    records = train(resumed, loader, 2, checkpoint=tmp_path / "c.npz", resume=True, progress=False)
    assert_same_bits(state(resumed), state(straight))
    assert without_times(records) == without_times(expected)
    rates = [o.param_groups[0]["lr"] for o in (resumed.d_optimizer, resumed.g_optimizer)]
    assert rates == pytest.approx([1e-2 * 0.7**2] * 2)


def test_a_record_holds_the_mean_of_the_rounds_that_have_it():
    """G plays rounds 2, 4 and 6 of 7; the seventh, of 2 examples, is D's alone."""
    game, loader = two_epochs()
    told = []
    play = game.step
    game.step = lambda *batch: told.append((len(batch[0]), play(*batch))) or told[-1][1]
    (record,) = train(game, loader, 1, progress=False)
    for name, rounds in (("d_loss", told), ("g_loss", told[1:6:2])):
        total = sum(n * values[name] for n, values in rounds)
        assert record[name] == pytest.approx(total / sum(n for n, _ in rounds), rel=1e-12)
    assert sum(n for n, _ in told) == 50


def test_a_loss_that_is_not_finite_stops_with_its_cause():
    game, loader = ring_game(0)
    with mg.no_grad():
        game.gan.generator[2].weight.fill_(math.nan)
    before = weights(game.gan.discriminator)
    with pytest.raises(NonFiniteError) as caught:
        train(game, loader, 1, progress=False)
    assert "step 1 of epoch 1, learning rate 0.002: d_loss: got nan; expected" in str(caught.value)
    assert not any(moved(game.gan.discriminator, before))


def test_a_checkpoint_of_another_game_is_refused(tmp_path):
    game, loader = ring_game(0)
    train(game, loader, 1, checkpoint=tmp_path / "c.npz", progress=False)
    other = Game(MLPGAN(**POINTS))
    with pytest.raises(CheckpointError, match="not a checkpoint of this training"):
        train(other, loader, 2, checkpoint=tmp_path / "c.npz", resume=True, progress=False)
    averaged, _ = ring_game(0, ema=0.9)
    with pytest.raises(CheckpointError, match="this training: Game: the state has no average of G"):
        train(averaged, loader, 2, checkpoint=tmp_path / "c.npz", resume=True, progress=False)


# ---------------------------------------------------------------- wrong settings

BOUNDLESS = "loss: got 'wasserstein' and nothing that bounds the critic's slope"


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(loss="saturating"), "GAN: loss: got 'saturating'; expected one of minimax"),
        (dict(loss="wasserstein"), BOUNDLESS),
        (dict(gradient_penalty=-1.0), "Game: gradient_penalty: got -1.0; expected 0, or more"),
        (dict(r1=math.nan), "Game: r1: got nan"),
        (dict(clip=math.inf), "Game: clip: got inf"),
        (dict(smoothing=1.0), "Game: smoothing: got 1.0 with 'non_saturating'"),
        (dict(loss="hinge", smoothing=0.1), "got 0.1 with 'hinge'; .* no labels to be smoothed"),
        (dict(critic_steps=0), "Game: critic_steps: got 0; expected at least 1"),
        (dict(critic_steps=2.5), "Game: critic_steps: got 2.5"),
        (dict(ema=1.0), "EMA: decay: got 1.0; expected 0 ≤ decay < 1"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        Game(MLPGAN(**POINTS), **settings)


@pytest.mark.parametrize("penalty", ["gradient_penalty", "r1"])
def test_a_penalty_with_batch_norm_is_refused_and_explained(penalty):
    message = f"GAN: {penalty}: got a discriminator with batch norm, at '3'.*whole batch"
    with pytest.raises(ArgumentError, match=message):
        Game(DCGAN(**IMAGES), "wasserstein", **{penalty: 10.0})
    for norm in ("none", "layer", "spectral"):
        Game(DCGAN(**IMAGES, norm=norm), "wasserstein", **{penalty: 10.0})


def test_any_bound_on_the_slope_will_do_for_wasserstein():
    for settings in (dict(clip=0.01), dict(gradient_penalty=10.0), dict(r1=1.0)):
        Game(MLPGAN(**POINTS), "wasserstein", **settings)
    Game(MLPGAN(**POINTS, norm="spectral"), "wasserstein")
    in_g_only = MLPGAN(**POINTS)
    spectral_norm(in_g_only.generator[0])
    with pytest.raises(ArgumentError, match=BOUNDLESS):
        Game(in_g_only, "wasserstein")


def test_wrong_batches_are_refused():
    game = points("hinge")
    with pytest.raises(ShapeError, match=r"MLPGAN: x: got \(4, 3\); expected \('n', 2\)"):
        game.step(mg.zeros(4, 3, dtype=mg.float64))
    with pytest.raises(ArgumentError, match="Game: step: got an empty batch"):
        game.step(mg.zeros(0, 2, dtype=mg.float64))
    assert game.rounds == 0


# ---------------------------------------------------------------- the average by itself


def test_ema_by_hand():
    """0 → 1: w̄ is 0.9 after the first update, β₁ = 0.1, and 0.9 + 9/11 · 0.1 after the second."""
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    with mg.no_grad():
        network[0].weight.zero_()
    average = EMA(network, 0.999)
    with mg.no_grad():
        network[0].weight.fill_(1.0)
        network[1].running_mean.fill_(5.0)
        network[1].num_batches_tracked.add_(3)
    found = []
    for _ in range(2):
        average.update(network)
        found.append(average.module[0].weight.item())
    assert found == pytest.approx([0.9, 2 / 11 * 0.9 + 9 / 11], rel=1e-6)
    assert average.module[1].running_mean.item() == 5.0  # copied, not averaged
    assert average.module[1].num_batches_tracked.item() == 3


def test_ema_reaches_its_decay_and_keeps_out_of_the_graph():
    network = nn.Linear(1, 1)
    average = EMA(network, 0.5)
    for _ in range(20):
        average.update(network)
    before = average.module.weight.item()
    with mg.no_grad():
        network.weight.add_(1.0)
    average.update(network)
    assert average.module.weight.item() - before == pytest.approx(0.5, abs=1e-6)
    assert not average.module.training and network.training
    assert not any(p.requires_grad for p in average.module.parameters())
    assert all(p.requires_grad for p in network.parameters())


def test_ema_continues_from_its_state():
    network = nn.Linear(2, 1)
    first = EMA(network)
    for _ in range(3):
        first.update(network)
    second = EMA(nn.Linear(2, 1))
    second.load_state_dict(first.state_dict())
    with mg.no_grad():
        network.weight.add_(1.0)
    for average in (first, second):
        average.update(network)
    assert (first.module.weight == second.module.weight).all() and second.updates == 4
