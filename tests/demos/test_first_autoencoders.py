"""The demo of the first autoencoders: both gradients are one, and what is printed is true."""

import re
from functools import partial

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos.first_autoencoders import ALONE, WAYS, gradients_apart
from models.one_layer import OneLayerAutoencoder
from tests.demos.running import assert_one_line, printed, run_demo

PICTURES = "one_layer.png", "layers.png", "deep.png", "clouds.png", "twice.png"

demo = partial(run_demo, "first_autoencoders", "--quick")


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    out = tmp_path_factory.mktemp("first")
    text = printed("first_autoencoders", "--quick", "--out", out)
    return text, out / "first_autoencoders"


def test_both_gradients_train_the_same_model(quick):
    text, _ = quick
    gaps = [float(x) for x in re.findall(r"^(?:en|de)coder\.0\.\w+ +(\S+)$", text, re.M)]
    assert len(gaps) == 4 and max(gaps) < 1e-12
    by_autograd, by_hand = re.search(r"steps: (\S+) by autograd, (\S+) by hand", text).groups()
    assert float(by_autograd) == pytest.approx(float(by_hand), rel=1e-4)


def test_a_wrong_gradient_is_seen(monkeypatch):
    right = OneLayerAutoencoder.gradient_by_hand

    def wrong(model, x):
        found = right(model, x)
        return {**found, "encoder.0.weight": 1.01 * found["encoder.0.weight"]}

    monkeypatch.setattr(OneLayerAutoencoder, "gradient_by_hand", wrong)
    minigrad.manual_seed(0)
    apart = gradients_apart(OneLayerAutoencoder(784, 32), minigrad.rand(4, 1, 28, 28))
    assert apart.pop("encoder.0.weight") == pytest.approx(0.01)
    assert max(apart.values()) < 1e-12


def test_weights_of_the_right_size_learn_sooner(quick):
    rows = {way: re.search(rf"^{way} +(\S+) +(\S+)$", quick[0], re.M).groups() for way in WAYS}
    last = {way: float(errors[1]) for way, errors in rows.items()}
    assert last["weights that suit ReLUs"] < 0.8 * last["usual weights"]
    assert all(0 < float(error) < 0.3 for errors in rows.values() for error in errors)


def test_codes_are_drawn_with_the_std_that_was_asked_for(quick):
    spread = float(re.search(r"codes of one image: σ (\S+) around", quick[0]).group(1))
    assert spread == pytest.approx(0.1, abs=0.006)
    twice, made = (
        float(re.search(rf"{words} (0\.\d+)", quick[0]).group(1))
        for words in ("decoded to is", "\nthem")
    )
    assert 0 < twice < made


def test_draws_its_pictures(quick):
    for name in PICTURES:
        with Image.open(quick[1] / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 100 and pixels.std() > 10, name


def test_what_goes_wrong_is_one_line(tmp_path):
    done = demo("--epochs", ALONE, "--out", tmp_path)
    assert_one_line(done, f"--epochs: got {ALONE}; expected more than {ALONE}")
    assert_one_line(
        demo("--std", -1, "--out", tmp_path), "--std: got -1.0; expected a number above 0"
    )
