"""What the codes are said to be good for, they are; and the made-up ratings are as told."""

import re

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos.ratings import (
    NOISE,
    RatingsAutoencoder,
    by_means,
    by_svd,
    explained,
    mean_of_film,
    ratings,
    rmse,
)
from demos.vae_uses import black_and_white, entropy_of_greys
from minigrad.data.glyphs import glyphs
from tests.demos.running import asked, printed
from tests.models.endtoend import check_model


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick")
    text = printed("vae_uses", "--quick", "--out", folder)
    return text, folder / "vae_uses"


def row(text, start):
    """The cells of the line that starts so, after its name."""
    lines = [line for line in text.splitlines() if line.startswith(start + "  ")]
    assert len(lines) == 1, (start, lines)
    return re.split(r"\s{2,}", lines[0].removeprefix(start).strip())


# ---------------------------------------------------------------- what it prints


def test_every_picture_is_drawn(quick):
    for name in ("clusters.png", "groups.png", "ratings.png", "pixels.png"):
        with Image.open(quick[1] / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 20, name
            assert (quick[1] / name).stat().st_size < 300_000, name


def test_groups_match_digits_better_than_chance(quick):
    for name, numbers in (("pixels", 784), ("principal components", 10), ("VAE's codes", 10)):
        cells = row(quick[0], name)
        assert int(cells[0]) == numbers and 0.25 < float(cells[1]) <= 1
        assert 0.15 < float(cells[2]) < 1


def test_the_autoencoder_guesses_better_than_means(quick):
    found = {
        name: float(row(quick[0], name)[0])
        for name in ("the film's mean", "means of film and user", "truncated SVD", "autoencoder")
    }
    assert NOISE < found["autoencoder"] < 0.9 * found["means of film and user"]
    assert found["means of film and user"] < found["the film's mean"]
    share = re.search(r"explains (\d+)% of the variance of the users' tastes", quick[0]).group(1)
    assert int(share) > 50


def test_grey_cross_entropy_has_a_floor_and_lacks_its_normaliser(quick):
    rows = {
        name: row(quick[0], name)
        for name in ("grey, cross-entropy", "black and white, Bernoulli",
                     "grey, continuous Bernoulli")
    }  # fmt: skip
    for cells in rows.values():
        reconstruction, kl, cost = map(float, cells[:3])
        assert cost == pytest.approx(reconstruction + kl, abs=0.11) and kl > 1
        assert reconstruction < 784 * np.log(2)
    grey, binary, density = rows.values()
    assert 20 < float(grey[4]) < float(grey[0]) and float(binary[4]) == 0 and binary[5] == "-"
    middle, spread = map(int, grey[5].split(" ± "))
    assert middle > 784 * np.log(2) and spread > 10  # C is at least 2
    assert float(density[0]) < float(grey[0]) - middle  # trained for it, it is the better density
    for cells in (grey, binary):
        assert 60 < float(cells[0]) < 250


@pytest.mark.parametrize(
    "arguments, message",
    [(("--epochs", "0"), "--epochs: got 0"), (("--data-dir", "nowhere"), "missing files")],
)
def test_refuses(arguments, message, tmp_path):
    done = asked("vae_uses", *arguments, "--out", tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and message in done.stderr


# ---------------------------------------------------------------- its parts


def test_black_and_white_keeps_the_grey_on_average():
    images = minigrad.tensor(np.full((200, 1, 28, 28), 0.3, np.float32))
    drawn = black_and_white(images, 0).numpy()
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert drawn.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / drawn.size))
    digits = minigrad.tensor(glyphs(5, seed=0).images[:, None].astype(np.float32))
    assert entropy_of_greys(black_and_white(digits, 0)) == 0 < entropy_of_greys(digits)


def test_entropy_by_hand():
    """784 (-0.25 ln 0.25 - 0.75 ln 0.75)"""
    images = minigrad.tensor(np.full((2, 1, 28, 28), 0.25, np.float32))
    assert entropy_of_greys(images) == pytest.approx(784 * 0.5623351446188083)


def test_ratings_are_as_told():
    data = ratings(1500, 40, seed=1)
    assert not (data.known & data.asked).any()
    assert data.known.mean() == pytest.approx(0.25, abs=0.01)
    least = np.column_stack([data.tastes, np.ones(1500)])
    fit = least @ np.linalg.lstsq(least, data.values, rcond=None)[0]
    rest = data.values - fit  # noise, and how mild the user is
    assert (rest - rest.mean(1, keepdims=True)).std() == pytest.approx(NOISE, rel=0.03)
    assert rmse(data.values + np.float32(0.5), data) == pytest.approx(0.5, rel=1e-5)


def test_guesses_of_ratings():
    """Of ratings without noise and all known, rank 3 + 1 is everything; means are means."""
    data = ratings(300, 20, seed=2, share=1.0)
    film = data.values.mean(0)
    np.testing.assert_allclose(mean_of_film(data), film, rtol=1e-5)
    expected = film + (data.values - film).mean(1, keepdims=True)
    np.testing.assert_allclose(by_means(data), expected, rtol=1e-5)
    np.testing.assert_allclose(by_svd(data, 20), data.values, rtol=1e-4)
    assert np.abs(by_svd(data, 3) - data.values).std() < NOISE
    assert explained(data.tastes @ np.array([[1.0, 2, 0], [0, 1, 1], [1, 0, 3]]), data)[
        0
    ] == pytest.approx(1)


def test_gradients_of_the_ratings_autoencoder():
    rng = np.random.default_rng(0)
    model = RatingsAutoencoder(4, codes=2, hidden=3).double()
    rest = minigrad.tensor(rng.standard_normal((5, 4)))
    known = minigrad.tensor((rng.random((5, 4)) < 0.6).astype(float))

    def loss(*_):
        minigrad.manual_seed(3)  # the same ratings are hidden
        return model.loss(rest, known)

    check_model(model, loss)


def test_unknown_ratings_are_not_read():
    rng = np.random.default_rng(0)
    model = RatingsAutoencoder(4).double()
    known = minigrad.tensor((rng.random((5, 4)) < 0.5).astype(float))
    rest = rng.standard_normal((5, 4))
    other = np.where(known.numpy() > 0, rest, 9.0)
    losses = []
    for values in (rest, other):
        minigrad.manual_seed(0)
        losses.append(model.loss(minigrad.tensor(values), known).item())
    assert losses[0] == losses[1]
