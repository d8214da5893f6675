"""demos.imputation: known pixels stay, the missing ones are measured, and the table is printed."""

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos.common import Images
from demos.imputation import (
    SIDES,
    decibels,
    denoising_loss,
    error,
    fill,
    from_nearest,
    known_pixels,
    right_kind,
)
from models.autoencoder import Autoencoder
from tests.demos.running import asked, assert_one_line, printed, rows_of


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    text = printed("imputation", "--quick", "--out", out, "--missing", "left", "--passes", "3")
    return text, out / "imputation"


def test_every_picture_is_drawn(quick):
    names = {path.name for path in quick[1].iterdir()}
    assert names == {"errors.png", "filled.png"}
    for name in names:
        with Image.open(quick[1] / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 100 and pixels.std() > 10, name


def test_table_is_consistent(quick):
    assert "the left half is missing" in quick[0]
    rows = rows_of(quick[0])
    found = {r[0]: r[1:] for r in rows if len(r) == 7 and r[0] != "filled by"}
    assert set(found) == {"mean", "nearest image", "autoencoder", "denoising", "VAE"}
    for first, last, best, after, *kinds in found.values():
        assert 0 < float(first) < 0.15 and 0 < float(last) < 0.15
        least = 10 ** (-float(best) / 10)
        assert least <= min(float(first), float(last)) * 1.02 and 0 <= int(after) <= 3
        assert all(int(kind.removesuffix("%")) > 15 for kind in kinds)
    start = float(found["mean"][0])
    for name in ("autoencoder", "denoising", "VAE"):  # all start there
        assert 10 ** (-float(found[name][2]) / 10) <= 1.02 * start


def test_halves_are_halves():
    upper_left = {side: known_pixels(side)[0, 0] for side in SIDES}
    assert upper_left == {"lower": True, "upper": False, "left": False, "right": True}
    assert (known_pixels("upper") == ~known_pixels("lower")).all()
    assert (known_pixels("left") == known_pixels("upper").T).all()
    assert all(known_pixels(side).sum() == 28 * 14 for side in SIDES)


def test_filling_repeats_decode_of_encode_and_keeps_what_is_known():
    minigrad.manual_seed(0)
    model = Autoencoder((784, 8, 4), "sigmoid")
    images = np.random.default_rng(0).random((6, 1, 28, 28)).astype(np.float32)
    known = known_pixels("right")
    filled = fill(model, images, known, 3)
    assert len(filled) == 4
    x = images
    for found in filled[1:]:
        with minigrad.no_grad():
            guess = model(minigrad.tensor(x)).numpy()
        x = np.concatenate([images[..., :14], guess[..., 14:]], axis=-1)
        np.testing.assert_allclose(found, x, atol=1e-6)


def test_errors_are_of_missing_pixels_alone():
    known, images = known_pixels("lower"), np.zeros((2, 1, 28, 28))
    wrong = images.copy()
    wrong[:, :, :14] = 9.0
    assert error(wrong, images, known) == 0.0
    wrong[0, :, 14:] = 0.2
    assert error(wrong, images, known) == pytest.approx(0.02)
    assert decibels(0.01) == pytest.approx(20.0)


def test_nearest_by_what_is_known():
    train = np.random.default_rng(0).random((30, 1, 28, 28))
    known = known_pixels("upper")
    asked = np.where(known, train[[4, 17]], 0.0)
    np.testing.assert_array_equal(from_nearest(asked, train, known), train[[4, 17]])


def test_kind_is_what_the_neighbours_say():
    labels = np.arange(60) % 2
    pictures = np.random.default_rng(0).random((60, 1, 28, 28)) * 0.1 + labels[:, None, None, None]
    both = Images(minigrad.tensor(pictures.astype(np.float32)), minigrad.tensor(labels))
    assert right_kind(pictures, both, both) == 1.0
    assert right_kind(1.1 - pictures, both, both) == 0.0


def test_denoising_is_asked_for_the_whole_of_half_an_image():
    """A model that answers with its input errs where that was the mean, in half the pixels."""
    minigrad.manual_seed(0)
    x, seen = minigrad.ones(400, 1, 28, 28), []

    def echo(given):
        seen.append(given.numpy()[:, 0])
        return given

    loss = denoising_loss(minigrad.zeros(1, 1, 28, 28))(echo, x)
    assert loss.item() == pytest.approx(0.5)
    for side in SIDES:
        share = np.mean([(image == known_pixels(side)).all() for image in seen[0]])
        assert 0.15 < share < 0.35


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--passes", "0"), "--passes: got 0; expected at least 1"),
        (("--code", "0"), "--epochs, --code: got 10, 0; expected at least 1"),
        (("--data-dir", "/nowhere"), "missing files in /nowhere"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path, arguments, message):
    done = asked("imputation", "--quick", *arguments, "--out", tmp_path)
    assert_one_line(done, message)
