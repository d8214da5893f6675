"""The experiments on a VAE's loss run, and what they print is so."""

import re

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos.short_trainings import RANGES, SOFT, Data, DeepVAE, Recipe, discs, draw_discs, train_all
from demos.vae_objectives import SEEN, gradient, small_vae
from models.likelihoods import Gaussian
from tests.demos.running import asked, assert_guided, assert_one_line, printed


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick")
    text = printed("vae_objectives", "--quick", "--out", folder)
    return text, folder / "vae_objectives"


def row(text, start):
    """The cells of the line that starts so."""
    lines = [line for line in text.splitlines() if line.startswith(start)]
    assert len(lines) == 1, (start, lines)
    return re.split(r"\s{2,}", lines[0].strip())


def test_every_picture_is_drawn(quick):
    seen = {name: text for of_one in SEEN.values() for name, text in of_one.items()}
    assert_guided(*quick, seen)
    for name in seen:
        with Image.open(quick[1] / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 20, name
            assert (quick[1] / name).stat().st_size < 300_000, name


def test_what_is_minimised_gets_small(quick):
    text = quick[0]
    by = {name: row(text, name) for name in ("reconstruction only", "KL only", "both ")}
    reconstruction, kl = ({k: float(v[i]) for k, v in by.items()} for i in (1, 2))
    assert kl["KL only"] < 0.1 * min(kl["both "], kl["reconstruction only"])
    assert max(reconstruction["both "], reconstruction["reconstruction only"]) < (
        0.7 * reconstruction["KL only"]
    )
    assert kl["both "] < kl["reconstruction only"]


def test_variance_is_beta_as_printed(quick):
    text = quick[0]
    for c in ("0.01 ", "0.1 ", "1.5 ", "10 "):
        section = text[text.index("gradients differ by") :]
        _, gradients, moved, apart, without = row(section, c)
        assert float(gradients) < 1e-13 and float(apart) < 1e-13
        assert float(moved) > 1e-3 and float(without) > 1e-3


def test_too_much_noise_silences_every_code(quick):
    text = quick[0]
    _, _, kl, tell, active, _, variance = row(text, "σ² = 8, 1 hidden layer     as it is")
    assert float(kl) < 0.1 and (tell, active, variance) == ("0", "0", "8")
    assert "\n0 principal directions of the digits vary by more than σ² = 8" in text
    learned = row(text, "σ² = 8, 1 hidden layer     σ² learned")
    assert float(learned[-1]) < 8
    free = row(text, "σ² = 8, 1 hidden layer     free bits")
    assert float(free[2]) > 0.1


@pytest.mark.parametrize("c", [0.02, 3.0])
def test_gradients_are_proportional(c):
    x = minigrad.tensor(discs(8, 1)[0]).double()
    eps = minigrad.randn(8, 4, dtype=minigrad.float64)
    g, h = (
        gradient(small_vae(0, variance, b), x, eps) for variance, b in ((c, 1.0), (1.0, c))
    )  # fmt: skip
    np.testing.assert_allclose(c * g, h, rtol=1e-9, atol=1e-13 * np.abs(h).max())
    assert np.abs(g - h).max() > 0.1 * np.abs(h).max()


def test_discs_show_their_factors():
    images, factors = discs(500, seed=3)
    assert images.shape == (500, 1, 16, 16) and images.dtype == np.float32
    assert 0 <= images.min() and images.max() <= 1
    backdrop = factors[:, [*RANGES].index("backdrop")]
    ink = (images[:, 0] - backdrop[:, None, None]) / (1 - backdrop)[:, None, None]
    at = (np.arange(16) + 0.5) / 8 - 1
    centre = [(ink * a).sum((1, 2)) / ink.sum((1, 2)) for a in (at, at[:, None])]
    # ∫ 2πr sigmoid((R - r) / s) dr = π (R² + π² s² / 3), up to e^(-R/s)
    radius = np.sqrt(ink.sum((1, 2)) / 64 / np.pi - np.pi**2 * SOFT**2 / 3)
    inside = np.abs(factors[:, 0]) + factors[:, 2] < 0.75  # the others lose ink over the edge
    for measured, name in zip((*centre, radius), ("x", "y", "radius"), strict=True):
        factor = factors[:, [*RANGES].index(name)]
        assert np.abs(measured - factor)[inside].max() < 0.002, name
    assert np.abs(np.corrcoef(factors.T) - np.eye(4)).max() < 0.15


def test_disc_pixels():
    """Half white at the rim, white within, the backdrop without."""
    image = draw_discs(np.array([[1 / 16, 1 / 16, 0.5, 0.2]]))[0, 0]
    assert image[8, 8] == pytest.approx(1, abs=1e-3)
    assert image[8, 12] == pytest.approx(0.6, abs=1e-6)
    assert image[0, 0] == pytest.approx(0.2, abs=1e-3)


@pytest.fixture
def few(tmp_path):
    def make(epochs, resume=False):
        x = minigrad.tensor(discs(64, 0)[0])
        args = type("args", (), dict(
            seed=0, device="cpu", epochs=epochs, resume=resume, folder=tmp_path,
        ))  # fmt: skip
        recipe = Recipe("a", lambda: DeepVAE((16,), 3, (1, 16, 16), Gaussian("shared")), warm=4)
        return train_all("test", {"a": recipe}, Data(x, x[:10], np.zeros(10)), args)["a"]

    return make


def test_resumed_training_ends_the_same(few):
    """β included, which grows while training."""
    straight = few(4)
    few(2)
    resumed = few(4, resume=True)
    for name, value in straight.model.state_dict().items():
        np.testing.assert_array_equal(value, resumed.model.state_dict()[name], err_msg=name)
    np.testing.assert_array_equal(straight.course(), resumed.course())
    assert straight.course().shape == (4, 3)


def test_warm_up_weighs_the_kl(few):
    records = few(4).records
    paid = [(r["loss"] - r["reconstruction"]) / r["kl"] for r in records]
    np.testing.assert_allclose(paid, [0.25, 0.5, 0.75, 1.0], rtol=1e-2)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--epochs", "0"), "epochs, seeds: got 0, 3"),
        (("--data-dir", "/nowhere", "--only", "trio"), "missing files in /nowhere"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path, arguments, message):
    done = asked("vae_objectives", "--quick", "--out", tmp_path, *arguments)
    assert_one_line(done, message)
