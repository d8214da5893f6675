"""Each loss of each player, and each penalty: PyTorch's numbers, and every gradient right."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.autograd import grad
from minigrad.errors import ArgumentError, ShapeError
from minigrad.gradcheck import check_grads
from minigrad.ops.reduction import _euclid
from models.gan_losses import (
    LOSSES,
    clip_weights,
    gradient_penalty,
    named,
    r1_penalty,
    refuse_batch_norm,
    slopes,
)
from tests.models.endtoend import check_model
from tests.models.gan_cases import ADAM, GAMES, NUMBERS, drawn, fakes, points, sgd

# ---------------------------------------------------------------- PyTorch's numbers


def norms(tensors):
    return [x.norm().item() for x in tensors]


@pytest.mark.parametrize("key", GAMES)
def test_losses_and_gradients_are_pytorchs(key):
    d_loss, g_loss, d_norms, g_norms, _, _ = NUMBERS[key]
    game = GAMES[key]()
    x, z, eps, labels = drawn(game)
    fake = game.gan.make(z, *labels)
    of_d = game.discriminator_loss(x, fake, *labels, eps=eps)["d_loss"]
    of_g = game.generator_loss(fake, *labels)["g_loss"]
    assert of_d.item() == pytest.approx(d_loss, rel=1e-12)
    assert of_g.item() == pytest.approx(g_loss, rel=1e-12)
    found = grad(of_d, list(game.gan.discriminator.parameters()), retain_graph=True)
    assert norms(found) == pytest.approx(d_norms, rel=1e-10)
    found = grad(of_g, list(game.gan.generator.parameters()))
    assert norms(found) == pytest.approx(g_norms, rel=1e-10)


@pytest.mark.parametrize("key", GAMES)
def test_three_rounds_are_pytorchs(key):
    *_, d_norms, g_norms = NUMBERS[key]
    game = sgd(GAMES[key]())
    x, _, _, labels = drawn(game)
    if len(game.gan.shape) == 3:
        x = 0.5 * (x + 1.0)  # `step` takes images as data are
    mg.manual_seed(0)
    for _ in range(3):
        game.step(x, *labels)
    assert norms(game.gan.discriminator.parameters()) == pytest.approx(d_norms, rel=1e-10)
    assert norms(game.gan.generator.parameters()) == pytest.approx(g_norms, rel=1e-10)


@pytest.mark.parametrize("key", ADAM)
def test_a_penalised_critic_after_five_steps_by_adam_is_pytorchs(key):
    """The size of each parameter, and its direction."""
    game = GAMES[key]()
    critic = game.gan.discriminator
    adam = optim.Adam(critic.parameters(), 1e-2, (0.0, 0.9))
    x, _, _, _ = drawn(game)
    for fake, eps in fakes(x):
        adam.zero_grad()
        game.discriminator_loss(x, fake, eps=eps)["d_loss"].backward()
        adam.step()
    along = [(w.flatten() * mg.arange(w.numel()).double().cos()).sum() for w in critic.parameters()]
    assert norms(critic.parameters()) == pytest.approx(ADAM[key][0], rel=1e-10)
    assert [sum.item() for sum in along] == pytest.approx(ADAM[key][1], rel=1e-10)


# ---------------------------------------------------------------- every parameter's gradient


def test_the_games_that_are_checked_have_every_loss():
    """Of points and of images; and each penalty, through a convolutional critic too."""
    games = [make() for make in GAMES.values()]
    for conv in (False, True):
        some = [game for game in games if (len(game.gan.shape) == 3) is conv]
        assert {game.loss for game in some} == set(LOSSES.values())
        assert any(game.gradient_penalty for game in some) and any(game.r1 for game in some)


@pytest.mark.parametrize("key", GAMES)
def test_every_gradient_of_the_discriminator_is_right(key):
    """Of its loss and each penalty at once: that of a penalty is a second derivative.

    And of the answers, for Wasserstein's loss and the penalties do not depend on the last bias.
    """
    game = GAMES[key]()
    x, z, eps, labels = drawn(game)
    with mg.no_grad():
        fake = game.gan.make(z, *labels)

    def losses(*parameters):
        parts = game.discriminator_loss(x, fake, *labels, eps=eps)
        losses = [part for name, part in parts.items() if name not in ("real", "fake")]
        return [*losses, game.gan.judge(x, *labels)]

    check_model(game.gan.discriminator, losses)


@pytest.mark.parametrize("key", GAMES)
def test_every_gradient_of_the_generator_is_right(key):
    game = GAMES[key]()
    _, z, _, labels = drawn(game)

    def loss(*parameters):
        return game.generator_loss(game.gan.make(z, *labels), *labels)["g_loss"]

    check_model(game.gan.generator, loss)


def test_the_penaltys_gradient_can_itself_be_differentiated():
    """A third derivative of a critic whose layers have one: of the penalty to order 2."""
    mg.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    x, fake, eps = (mg.randn(*shape, dtype=mg.float64) for shape in ((3, 2), (3, 2), (3,)))
    both = lambda *p: [gradient_penalty(critic, x, fake, eps=eps), critic(x)]
    check_model(critic, both, order=2)


def test_the_check_sees_a_wrong_second_derivative(monkeypatch):
    """With a norm whose rule forgets to divide, the penalty's check fails."""
    game = GAMES["penalised"]()
    x, z, eps, _ = drawn(game)
    fake = game.gan.make(z).detach()
    wrong = (lambda g, y, x, dim, keepdim: g.reshape(-1, 1) * x,)
    monkeypatch.setattr(_euclid, "rules", wrong)
    with pytest.raises(AssertionError):
        check_model(
            game.gan.discriminator,
            lambda *p: [gradient_penalty(game.gan.judge, x, fake, eps=eps), game.gan.judge(x)],
        )


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_right_in_the_answers(name):
    """To order 2; no answer is at the hinge's bend."""
    loss = named(name)
    r, f = (
        mg.tensor(np.array(a), requires_grad=True)
        for a in ([-2.0, 0.3, 1.7, 0.9], [0.4, -3.0, -0.8, 2.2])
    )
    straight = name in ("hinge", "wasserstein")
    check_grads(lambda r, f: loss.discriminator(r, f, 1.0), r, f, order=1 if straight else 2)
    check_grads(loss.generator, f, order=1 if straight else 2)


# ---------------------------------------------------------------- formulas

LOGITS = np.array([-1e4, -100.0, -20.0, -1.0, 0.0, 1.0, 20.0, 100.0, 1e4])


def sigmoid(a):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-a))


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
@pytest.mark.parametrize(
    "name, slope, rounding",
    [("minimax", lambda f: -sigmoid(f), 0), ("non_saturating", lambda f: sigmoid(f) - 1, 1)],
)
def test_the_generators_slope_by_formula(name, slope, rounding, dtype):
    """-D(G(z)) of the saturating loss, -(1 - D(G(z))) of the other, over the whole range.

    The second is a difference of numbers up to 1, so it is exact to the last digit of 1.
    """
    f = mg.tensor(LOGITS.astype(dtype), requires_grad=True)
    loss = named(name).generator(f) * float(len(LOGITS))
    (found,) = grad(loss, f)
    assert math.isfinite(loss.item())
    eps = np.finfo(dtype).eps
    expected = slope(LOGITS)
    np.testing.assert_allclose(found.numpy(), expected, rtol=8 * eps, atol=rounding * eps + 1e-37)


def test_where_d_is_sure_only_one_loss_teaches():
    """As D(G(z)) → 0 one slope vanishes with it, the other reaches 1."""
    f = mg.tensor(np.linspace(-40, 0, 41), requires_grad=True)
    saturating, other = (
        np.abs(grad(named(name).generator(f) * 41.0, f)[0].numpy())
        for name in ("minimax", "non_saturating")
    )
    d = sigmoid(f.detach().numpy())
    np.testing.assert_allclose(saturating, d, rtol=1e-12)
    assert saturating[0] < 1e-17 and (other >= 0.5).all() and other[0] == 1.0


def test_losses_by_hand():
    r, f = mg.tensor(np.array([2.0, 0.0])), mg.tensor(np.array([-1.5, 0.5]))
    ln = lambda a: np.log(sigmoid(np.array(a))).mean()
    expected = {
        "minimax": (-ln([2.0, 0.0]) - ln([1.5, -0.5]), ln([1.5, -0.5])),
        "non_saturating": (-ln([2.0, 0.0]) - ln([1.5, -0.5]), -ln([-1.5, 0.5])),
        "least_squares": ((1 + 1) / 4 + (2.25 + 0.25) / 4, (6.25 + 0.25) / 4),
        "hinge": ((0 + 1) / 2 + (0 + 1.5) / 2, 0.5),
        "wasserstein": (-0.5 - 1.0, 0.5),
    }
    for name, pair in expected.items():
        told = named(name).discriminator(r, f, 1.0), named(name).generator(f)
        assert [x.item() for x in told] == pytest.approx(pair, rel=1e-12)
    assert expected.keys() == LOSSES.keys()


def test_a_smoothed_label_moves_the_best_answer():
    """With label 1 - s for data D's loss on them is least at D(x) = 1 - s; fakes stay at 0."""
    f = mg.tensor(np.array([0.0]))
    for s in (0.1, 0.25):
        best = mg.tensor(np.array([math.log((1 - s) / s)]), requires_grad=True)
        (slope,) = grad(named("non_saturating").discriminator(best, f, 1 - s), best)
        assert abs(slope.item()) < 1e-15
    (slope,) = grad(
        named("non_saturating").discriminator(f, f.requires_grad_(), 0.9), f
    )  # of r and f together: (½ - 0.9) + (½ - 0)
    assert slope.item() == pytest.approx(0.1)


# ---------------------------------------------------------------- penalties


def linear_critic(w):
    return lambda x, *labels: (x.reshape(len(x), -1) * w).sum(1)


def test_the_penalty_of_a_linear_critic():
    """a(x) = w·x has slope w everywhere: (‖w‖ - 1)² and ½ ‖w‖²."""
    w = mg.tensor(np.array([3.0, 0.0, 4.0, 0.0]))
    x, fake = mg.randn(5, 1, 2, 2, dtype=mg.float64), mg.randn(5, 1, 2, 2, dtype=mg.float64)
    assert gradient_penalty(linear_critic(w), x, fake).item() == pytest.approx(16.0, rel=1e-12)
    assert r1_penalty(linear_critic(w), x).item() == pytest.approx(12.5, rel=1e-12)
    assert slopes(linear_critic(w), x).shape == x.shape


def test_the_norm_is_of_each_example():
    """a(x) = ½ ‖x‖² has slope x: E (‖x̂‖ - 1)², not the norm of all slopes together."""
    half_square = lambda x: 0.5 * x.square().flatten(1).sum(1)
    real = mg.tensor(np.array([[[3.0, 4.0]], [[0.0, 2.0]]]))
    fake = -real
    eps = mg.tensor(np.array([1.0, 0.75]))  # x̂ = real, and real / 2
    found = gradient_penalty(half_square, real, fake, eps=eps)
    assert found.item() == pytest.approx(((5 - 1) ** 2 + (1 - 1) ** 2) / 2, rel=1e-12)
    assert r1_penalty(half_square, real).item() == pytest.approx((25 + 4) / 4, rel=1e-12)


def test_each_example_has_a_place_of_its_own_between():
    """One ε an example, from U[0, 1], the same for all its pixels; the generator repeats it."""
    seen = []

    def critic(x):
        seen.append(x.detach().numpy())
        return x.flatten(1).sum(1)

    real, fake = mg.ones(500, 1, 2, 2), mg.zeros(500, 1, 2, 2)
    for _ in range(2):
        gradient_penalty(critic, real, fake, generator=mg.Generator().manual_seed(3))
    eps = seen[0].reshape(500, 4)
    assert (eps == eps[:, :1]).all() and len(np.unique(eps)) > 490
    assert 0 <= eps.min() < 0.02 and 0.98 < eps.max() <= 1 and abs(eps.mean() - 0.5) < 0.05
    assert (seen[0] == seen[1]).all()


def test_a_flat_critic_has_a_penalty_and_no_nan():
    """Where the slope is 0 the norm counts as flat: 1, with gradient 0."""
    w = mg.zeros(4, dtype=mg.float64, requires_grad=True)
    x = mg.randn(2, 4, dtype=mg.float64)
    penalty = gradient_penalty(linear_critic(w), x, -x)
    assert penalty.item() == 1.0 and grad(penalty, w)[0].tolist() == [0.0] * 4


def test_penalties_reach_the_critic_alone():
    """Neither data nor fakes get a gradient, though they may be made of something that has one."""
    game = points("wasserstein", gradient_penalty=10.0)
    x, z, eps, _ = drawn(game)
    fake = game.gan.make(z)
    gradient_penalty(game.gan.judge, x, fake, eps=eps).backward()
    assert all(p.grad is None for p in game.gan.generator.parameters())
    assert game.gan.discriminator[0].weight.grad is not None


def test_clipping():
    network = nn.Linear(3, 2)
    with mg.no_grad():
        network.weight.copy_(mg.tensor([[-5.0, 0.005, 5.0], [0.01, -0.01, 0.0]]))
    clip_weights(network, 0.01)
    expected = np.array([[-0.01, 0.005, 0.01], [0.01, -0.01, 0.0]], np.float32)
    assert (network.weight.detach().numpy() == expected).all()
    assert np.abs(network.bias.detach().numpy()).max() <= np.float32(0.01)


# ---------------------------------------------------------------- wrong inputs


def test_batch_norm_is_found_and_other_norms_are_not():
    for norm in (nn.BatchNorm1d(3), nn.BatchNorm2d(3)):
        inner = nn.Sequential(nn.Linear(2, 2), nn.Sequential(norm))
        with pytest.raises(ArgumentError, match="r1: got a discriminator with batch norm, at '1.0"):
            refuse_batch_norm(inner, "r1")
    refuse_batch_norm(nn.Sequential(nn.LayerNorm(3), nn.InstanceNorm2d(3)), "r1")


def test_with_batch_norm_the_slopes_would_be_others():
    """Why it is refused: alone and in a batch, an example has two slopes; with layer norm, one."""
    for norm, same in ((nn.BatchNorm1d(3), False), (nn.LayerNorm(3), True)):
        mg.manual_seed(0)
        critic = nn.Sequential(nn.Linear(2, 3), norm, nn.Tanh(), nn.Linear(3, 1)).double()
        x = mg.randn(4, 2, dtype=mg.float64)
        two, four = (slopes(critic, x[:n]).detach().numpy()[:2] for n in (2, 4))
        assert np.allclose(two, four, rtol=1e-12) is same


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: named("saturating"), ArgumentError, "GAN: loss: got 'saturating'; expected one"),
        (
            lambda: gradient_penalty(len, mg.zeros(3, 2), mg.zeros(2, 2)),
            ShapeError, r"gradient_penalty: got real \(3, 2\), fake \(2, 2\); expected one shape",
        ),
        (lambda: clip_weights(nn.Linear(1, 1), 0.0), ArgumentError, "limit: got 0.0; expected it"),
        (lambda: clip_weights(nn.Linear(1, 1), math.nan), ArgumentError, "limit: got nan"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
