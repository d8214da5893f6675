"""The demo of manifolds: points are where they should be, deep follows where linear fails."""

import argparse
import re

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos.manifold import (
    HIDDEN,
    Training,
    draw_points,
    order_kept,
    spiral,
    spiral_tangent,
    swiss_roll,
)
from tests.demos.running import asked, printed


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    out = tmp_path_factory.mktemp("manifold")
    text = printed("manifold", "--quick", "--out", out)
    return text, out / "manifold"


def test_deep_follows_where_linear_fails(quick):
    for name in ("spiral", "Swiss roll"):
        (linear,) = re.findall(rf"{name} +linear +\d +\S+ +(\S+)%", quick[0])
        (deep,) = re.findall(rf"{name} +deep +\d +\S+ +(\S+)%", quick[0])
        assert float(deep) < 0.2 * float(linear) and float(linear) > 15


def test_draws_its_pictures(quick):
    for name in ("spiral.png", "swiss_roll.png"):
        with Image.open(quick[1] / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 300 and pixels.std() > 10, name
    with Image.open(quick[1] / "spiral.gif") as animation:
        assert animation.n_frames > 10


def test_tangent_is_the_derivative_of_the_spiral():
    t, step = np.linspace(0.1, 0.9, 7)[:, None], 1e-6
    slope = (spiral(t + step) - spiral(t - step)) / (2 * step)
    slope /= np.linalg.norm(slope, axis=1, keepdims=True)
    np.testing.assert_allclose(spiral_tangent(t), slope, atol=1e-8)


def test_the_roll_is_a_spiral_along_one_coordinate_and_straight_along_the_other():
    t = np.random.default_rng(0).random((50, 2))
    points = swiss_roll(t)
    radius = np.hypot(points[:, 0], points[:, 2])
    np.testing.assert_allclose(radius, (0.5 + t[:, 0]) / 1.5)
    np.testing.assert_allclose(points[:, 1], 1.2 * t[:, 1] - 0.6)


def test_jacobian_is_that_of_the_decoder():
    args = argparse.Namespace(points=50, seed=0, device="cpu", epochs=1, batch_size=50)
    training = Training("deep", HIDDEN, draw_points("roll", swiss_roll, 2, args), args, 0)
    codes = np.random.default_rng(1).standard_normal((5, 2))
    training.model.double()
    training.tensor = minigrad.tensor
    y, jacobian = training.tangents(codes)
    assert y.shape == (5, 3) and jacobian.shape == (5, 3, 2)
    for k in range(2):
        step = 1e-6 * np.eye(2)[k]
        high, low = (training.tangents(codes + sign * step)[0] for sign in (1, -1))
        np.testing.assert_allclose(jacobian[..., k], (high - low) / 2e-6, rtol=1e-4, atol=1e-8)


def test_order_kept_sees_direction_and_disorder():
    t = np.linspace(0, 1, 100)
    assert order_kept(-(t**3), t) == pytest.approx(1)
    assert order_kept(np.where(t < 0.5, t + 1, t), t) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--epochs", "0"), "--epochs: got 0; expected at least 1"),
        (("--dataset", "mnist"), "--dataset, --data-dir: got a dataset; expected none"),
        (("--device", "tpu"), "got 'tpu'"),
    ],
)
def test_refuses(tmp_path, arguments, message):
    done = asked("manifold", "--quick", *arguments, "--out", tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and message in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "manifold").exists()
