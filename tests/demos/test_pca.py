"""The demo of PCA: the linear autoencoder ends in the plane of PCA, and what is printed is true."""

import argparse
import re

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos.pca import Linear, components_of, suit_relu, through
from minigrad import nn
from tests.demos.running import asked, printed

PICTURES = "directions.png", "angles.png", "two_codes.png", "reconstructions.png", "quality.png"


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    out = tmp_path_factory.mktemp("pca")
    text = printed("pca", "--quick", "--codes", 3, "--out", out)
    return text, out / "pca"


def numbers(text, name):
    line = next(line for line in text.splitlines() if line.strip().startswith(name))
    return [float(cell) for cell in line.strip().removeprefix(name).split()]


def test_no_linear_autoencoder_errs_less_than_pca(quick):
    text, _ = quick
    pca = numbers(text, "PCA, 3 components")
    model = numbers(text, "linear autoencoder, 3 codes")
    assert pca[0] <= model[0] < 1.3 * pca[0]
    angles = re.search(r"principal angles of the two spans: (.+) rad", text).group(1).split()
    assert len(angles) == 3 and sorted(map(float, angles)) == list(map(float, angles))
    assert float(angles[0]) < 0.1


def test_linear_autoencoder_ends_in_the_plane_of_pca(tmp_path):
    """Images that vary in three directions, much more than in all the others."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.standard_normal((784, 3)))[0].T
    x = rng.standard_normal((100, 3)) * [2.5, 2.0, 1.5] @ directions
    x = (x + 0.02 * rng.standard_normal(x.shape) + 0.5).astype(np.float32)
    images = minigrad.tensor(x.reshape(-1, 1, 28, 28))
    linear = Linear(argparse.Namespace(codes=3, steps=1000, seed=0, device="cpu"), images)
    linear.run()
    assert linear.angles[0][0] > 0.5 and linear.angles[-1][-1] < 1e-3
    assert linear.error(images) == pytest.approx(linear.least(), rel=1e-3)
    assert linear.nearest() == pytest.approx(linear.components, abs=1e-3)
    alike = np.abs(linear.columns().T @ linear.components) / np.linalg.norm(linear.columns())
    assert alike.max() < 0.99  # the same plane, other columns


def test_what_pca_leaves_out_is_its_error():
    x = np.random.default_rng(0).random((50, 784)).astype(np.float32)
    images = minigrad.tensor(x.reshape(-1, 1, 28, 28))
    components = components_of(images)
    variances = components.variances.numpy()
    assert variances.dtype == np.float64 and (np.diff(variances) <= 0).all()
    for k in (1, 5, 49):
        left = ((through(components, x.astype(np.float64), k) - x) ** 2).sum(1).mean()
        assert left == pytest.approx(variances[k:].sum(), abs=1e-12)


def test_layers_that_suit_relus_keep_the_size_of_a_signal():
    minigrad.manual_seed(0)
    suited, usual = (nn.Sequential(*(nn.Linear(400, 400) for _ in range(6))) for _ in range(2))
    suited.apply(suit_relu)
    x = minigrad.randn(100, 400)
    size = {}
    for layers in (suited, usual):
        h = x
        for layer in layers:
            h = layer(h).relu()
        size[layers] = h.square().mean().item()
    assert 0.5 < size[suited] < 2 and size[usual] < 0.01


def test_more_components_err_less(quick):
    rows = {d: numbers(quick[0], f"{d}  ") for d in (1, 2, 5, 16)}
    assert all(
        deep / pca == pytest.approx(share, abs=0.01) for deep, pca, share, _ in rows.values()
    )
    by_pca = [row[1] for row in rows.values()]
    assert by_pca == sorted(by_pca, reverse=True) and by_pca[-1] < 0.5 * by_pca[0]


def test_draws_its_pictures(quick):
    for name in PICTURES:
        with Image.open(quick[1] / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 100 and pixels.std() > 10, name


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--codes", "0"), "--epochs, --codes: got 10, 0; expected at least 1, and 1 to 100"),
        (("--epochs", "0"), "--epochs, --codes: got 0, 7"),
        (("--device", "tpu"), "got 'tpu'"),
    ],
)
def test_refuses(tmp_path, arguments, message):
    done = asked("pca", "--quick", *arguments, "--out", tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and message in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "pca").exists()
