"""demos.gan_2d: the balance of the players decides; families blur; a GAN knows no likelihood."""

from argparse import Namespace

import numpy as np
import pytest
from PIL import Image

from demos.gan_2d import MIXTURES, by_seeds, survey
from demos.ring import COLLAPSING, RECOMMENDED, game_on
from demos.two_tasks import TWO, fit_density, likely_gaussian
from minigrad import Generator, tensor
from models.gan_scores import mode_coverage
from tests.demos.running import asked, assert_one_line, printed, rows_of

RING = MIXTURES["ring"]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The quick run's folder, and the cells of every row by its name."""
    out = tmp_path_factory.mktemp("out")
    text = printed("gan_2d", "--quick", "--out", out)
    lines = rows_of(text)
    return out / "gan_2d" / "ring", {line[0]: line[1:] for line in lines if len(line) > 3}


def test_a_generator_too_fast_loses_the_modes(quick):
    modes, good, in_use, *_ = quick[1]["non-saturating, R1"]
    assert modes == "8 of 8" and float(good.rstrip("%")) > 50 and float(in_use) > 7
    modes, _, in_use, *_ = quick[1]["minimax, G ten times as fast"]
    assert int(modes[0]) <= 2 and float(in_use) < 3


def test_seeds_tell_how_often_a_game_is_lost():
    """G ten times as fast as D leaves the modes within 600 rounds; an even game keeps them."""
    args = Namespace(seed=0, seeds=2, epochs=6, device="cpu")
    _, modes, _, well, lost = by_seeds("minimax, G ten times as fast", RING, args)
    assert (well, lost) == ("0 of 2", "2 of 2") and int(modes.split()[2]) <= 2
    _, modes, good, _, lost = by_seeds("non-saturating, R1", RING, args)
    assert lost == "0 of 2" and modes == "8 to 8 of 8"
    assert 40 < int(good.split("%")[0]) <= 100


def test_gaussians_blur_and_the_network_does_not(quick):
    for name in ("Gaussian, most likely", "Gaussian, in a game"):
        mean, std, on_a_mode = quick[1][name]
        assert abs(float(mean)) < 0.5 and float(std) > 1.6 and float(on_a_mode.rstrip("%")) < 55
    assert float(quick[1]["network, in a game"][2].rstrip("%")) > 70


def test_only_the_density_says_how_likely(quick):
    most, density = quick[1]["the data's own"], quick[1]["mixture of Gaussians"]
    assert float(most[0]) - 0.15 < float(density[0]) < float(most[0])
    assert quick[1]["GAN: non-saturating, R1"][0] == "cannot say"


def test_pictures_are_drawn(quick):
    for name in ("coverage.png", "landscape.png", "two_modes.png"):
        with Image.open(quick[0] / name) as picture:
            assert np.asarray(picture.convert("RGB")).std() > 10, name
    with Image.open(quick[0] / "games.gif") as animation:
        assert animation.n_frames == 7


def test_most_likely_gaussian_has_the_mean_and_the_variance_of_the_data():
    mean, std = likely_gaussian(400, 0, "cpu")
    assert mean == pytest.approx(0, abs=0.25)
    assert std == pytest.approx(np.sqrt(TWO.std**2 + 4), abs=0.15)


def test_density_integrates_to_one_and_samples_as_it_says():
    density = fit_density(RING, 60, 0, "cpu", modes=8)
    along = np.linspace(-6, 6, 241, dtype=np.float32)
    plane = np.stack(np.meshgrid(along, along), 2).reshape(-1, 2)
    p = density.log_prob(tensor(plane)).exp().detach()
    assert float(p.sum()) * 0.05**2 == pytest.approx(1, abs=1e-3)
    samples = density.sample(20_000, Generator().manual_seed(1))
    share = float(p.numpy()[plane[:, 0] > 0.7].sum()) * 0.05**2  # a line with no mode near it
    assert (samples[:, 0] > 0.7).mean() == pytest.approx(share, abs=0.02)


def test_arrows_point_to_where_the_loss_falls():
    """A small step along them makes each sample look more real."""
    game, _ = game_on(RING, RECOMMENDED)
    found = survey(game, n=40, fine=5)
    before, after = (
        game.gan.score(tensor(found.samples + step * found.arrows)).numpy() for step in (0, 1e-2)
    )
    assert (after > before).all()


def test_settings_are_seeded():
    first, again, other = (
        game_on(RING, COLLAPSING, seed)[0].sample(50, generator=Generator().manual_seed(5)).numpy()
        for seed in (0, 0, 1)
    )
    assert (first == again).all() and not (first == other).all()
    assert mode_coverage(first, RING).of == 8


@pytest.mark.parametrize(
    "arguments, message",
    [(["--data-dir", "."], "points are drawn"), (["--epochs", "0"], "expected at least 1")],
)
def test_what_goes_wrong_is_one_line(tmp_path, arguments, message):
    assert_one_line(asked("gan_2d", *arguments, "--out", tmp_path), message)
