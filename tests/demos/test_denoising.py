"""demos.denoising: its table is right, and says that training against a noise helps against it."""

from types import SimpleNamespace

import numpy as np
import pytest

import minigrad
from demos.denoising import NAMES, restored_psnr, spoilt
from minigrad import nn
from models.corruption import CORRUPTIONS
from tests.demos.running import asked, printed, rows_of

ARGS = SimpleNamespace(sigma=0.3, share=0.4, seed=0)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The quick run's folder, and the table: a row of decibels for each name."""
    out = tmp_path_factory.mktemp("out")
    text = printed("denoising", "--quick", "--out", out)
    cells = rows_of(text)
    rows = {c[0]: c[1:] for c in cells if len(c) == 6}
    assert rows.pop("trained on") == list(NAMES.values())
    return out / "denoising", {name: np.array(row, float) for name, row in rows.items()}


@pytest.fixture
def images():
    return minigrad.rand(20, 1, 28, 28, generator=minigrad.Generator().manual_seed(3))


def test_every_picture_is_drawn(shown):
    assert {path.name for path in shown[0].iterdir()} == {"restored.png", "crossed.png", "psnr.png"}


def test_every_noise_has_its_row():
    assert list(NAMES) == ["none", *CORRUPTIONS]


def test_who_was_trained_against_a_noise_is_better_against_it_than_who_was_not(shown):
    decibels = shown[1]
    assert list(decibels) == ["not restored", *NAMES.values()]
    plain = decibels["none"]
    for column, name in list(enumerate(NAMES.values()))[1:]:
        own = decibels[name][column]
        assert own > plain[column]
        assert own > decibels["not restored"][column] + 2
        assert decibels[name][0] < plain[0]  # and pays for it on clean images


# ---------------------------------------------------------------- its measures


def test_spoilt_images_are_as_the_flags_ask_and_always_the_same(images):
    views = spoilt(images, ARGS)
    assert views["none"] is images
    assert (views["gaussian"] - images).numpy().std() == pytest.approx(0.3, rel=0.05)
    for name in ("masking", "dropout"):
        assert (views[name].numpy() == 0).mean() == pytest.approx(0.4, abs=0.02)
    changed = np.isin(views["salt_and_pepper"].numpy(), (0, 1)).mean()
    assert changed == pytest.approx(0.4, abs=0.02)
    for name, again in spoilt(images, ARGS).items():
        np.testing.assert_array_equal(again.numpy(), views[name].numpy())


def test_the_first_row_is_no_model_and_the_others_are_the_models(images):
    half = images * 0.5
    views = {"none": images, "half": half, "beyond": images + 5.0}
    models = {"identity": nn.Identity(), "relu": nn.ReLU()}
    found = restored_psnr(models, {k: v for k, v in views.items() if k != "none"}, images)
    squares = (half.numpy().astype(float) - images.numpy()) ** 2
    expected = (-10 * np.log10(squares.mean((1, 2, 3)))).mean()
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(found[1:, 1], -10 * np.log10(25), rtol=1e-5)
    assert found[0, 1] > 0  # cut off at 1
    assert restored_psnr({}, views, images)[0, 0] == np.inf


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--epochs", 0), "--epochs: got 0; expected at least 1"),
        (
            ("--share", 1),
            "--sigma, --share: got 0.5, 1.0; expected σ above 0, and a share between 0 and 1",
        ),
    ],
)
def test_what_goes_wrong_is_one_line(flags, message):
    done = asked("denoising", *flags)
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")
