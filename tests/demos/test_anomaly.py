"""demos.anomaly: what it counts is what pairs of images say, and what it tells is printed."""

import re

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos.anomaly import SCORES, auc, costs, roc, standard_error
from models.evaluation import elbo_parts
from models.vae import DenseVAE
from tests.demos.running import asked, assert_one_line, printed, rows_of


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    text = printed("anomaly", "--quick", "--held-out", "1,4,8", "--out", out)
    return text, out / "anomaly"


def test_every_picture_is_drawn(quick):
    names = {path.name for path in quick[1].iterdir()}
    assert names == {"auc.png", "roc.png", "extremes.png", "scores.png"}
    for name in names:
        with Image.open(quick[1] / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 100 and pixels.std() > 10, name


def test_table_tells_the_story(quick):
    rows = rows_of(quick[0])
    found = {r[0]: dict(zip(SCORES, map(float, r[1:]), strict=True)) for r in rows if len(r) == 8
             and r[0] != "held out"}  # fmt: skip
    assert set(found) == {"1", "4", "8", "mean"}
    for score in SCORES:
        mean = np.mean([found[k][score] for k in "148"])
        assert found["mean"][score] == pytest.approx(mean, abs=1e-4)
    assert found["4"]["AE error"] > 0.8 and found["4"]["-ELBO"] > 0.75
    assert found["1"]["-ELBO"] < 0.5 and found["1"]["ink"] < 0.2
    assert found["1"]["AE error / ink"] > 0.8
    assert re.search(r"or more: 1\n", quick[0])


def test_area_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    scores, odd = rng.integers(0, 6, 200).astype(float), rng.random(200) < 0.2
    above = scores[odd][:, None] - scores[~odd]
    assert auc(scores, odd) == pytest.approx(((above > 0) + 0.5 * (above == 0)).mean(), abs=1e-12)
    assert auc(-scores, odd) == pytest.approx(1 - auc(scores, odd), abs=1e-12)
    for share in roc(scores, odd):
        assert share[0] == 0 and share[-1] == 1 and (np.diff(share) >= 0).all() and len(share) == 7


def test_standard_error_is_the_spread_of_areas():
    """Scores whose AUC is known: of two exponentials, P(odd > normal) = s / (1 + s)."""
    rng = np.random.default_rng(0)
    odd = np.arange(230) < 30
    scale = np.where(odd, 4.0, 1.0)
    areas = [auc(rng.exponential(scale), odd) for _ in range(2000)]
    assert np.mean(areas) == pytest.approx(0.8, abs=0.005)
    assert np.std(areas) == pytest.approx(standard_error(0.8, 30, 200), rel=0.06)


def test_costs_are_those_of_the_elbo():
    minigrad.manual_seed(0)
    model, images = DenseVAE(16, 3), minigrad.rand(40, 1, 28, 28)
    nats, kl = costs(model, images, seed=0)
    noise = minigrad.Generator().manual_seed(1)
    parts = [elbo_parts(model, [images], noise) for _ in range(50)]
    assert kl.mean() == pytest.approx(parts[0].kl, rel=1e-5)
    assert nats.mean() == pytest.approx(np.mean([p.reconstruction for p in parts]), rel=1e-3)
    assert nats.shape == kl.shape == (40,)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--held-out", "11"), "--held-out: got 11; expected kinds of the test images: 0,1,2"),
        (("--code", "0"), "--epochs, --code: got 8, 0; expected at least 1"),
        (("--data-dir", "/nowhere"), "missing files in /nowhere"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path, arguments, message):
    done = asked("anomaly", "--quick", *arguments, "--out", tmp_path)
    assert_one_line(done, message)
