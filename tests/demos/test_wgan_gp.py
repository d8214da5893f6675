"""What demos.wgan_gp prints of critics is so."""

import math
import re
from functools import partial

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos.wgan_gp import AWAY, gaussian, js_curve, moved, ring_moved, slopes_between, widened
from models.distances import wasserstein_line, wasserstein_points
from models.gan import MLPGAN
from tests.demos.running import assert_one_line, printed, run_demo

PICTURES = "distance.png", "learning.png", "slopes.png", "weights.png", "digits.png"


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick")
    return printed("wgan_gp", "--quick", "--out", folder), folder / "wgan_gp"


def rows(text, heading):
    """The rows under a heading that begins so, cell by cell."""
    lines = text[text.index(f"\n{heading}") + 1 :].splitlines()[1:]
    return [re.split(r"\s{2,}", line.strip()) for line in lines[: lines.index("")]]


def test_every_picture_is_drawn(quick):
    for name in PICTURES:
        with Image.open(quick[1] / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 20, name
            assert (quick[1] / name).stat().st_size < 300_000, name


def test_a_penalised_critic_tells_the_distance(quick):
    """Over its slope; as it stands it is W₁ + W₁²/2λ. A clipped one tells another number."""
    found = rows(quick[0], "pair ")
    assert len(found) == 3
    for *_, exact, estimate, priced, slope, over_slope, clipped in found:
        exact, estimate, priced = float(exact), float(estimate), float(priced)
        assert priced == pytest.approx(exact + exact**2 / 20, abs=1e-4)
        assert estimate == pytest.approx(priced, rel=0.08)
        assert float(slope) == pytest.approx(1 + exact / 20, rel=0.03)
        assert float(over_slope) == pytest.approx(exact, rel=0.08)
        assert float(clipped) < 0.01


def test_a_slope_on_a_line_cannot_turn(quick):
    """Both critics that are paid for from the first step slope the wrong way."""
    assert "2 of 2 critics on a line trapped" in quick[0]


def test_slopes_are_near_1_by_the_penalty_alone(quick):
    by = {name: [float(x) for x in cells[:3]] for name, *cells in rows(quick[0], "critic ")}
    low, middle, high = by["penalised"]
    assert 0.5 < low <= middle <= high < 2.5
    assert by["clipped"][2] < 0.01 and by["unbounded"][0] > 100


def test_clipped_weights_gather_at_the_limit(quick):
    near = {name: cells[3] for name, *cells in rows(quick[0], "critic ")}
    assert near["penalised"] == near["unbounded"] == "0%" and int(near["clipped"][:-1]) > 25


def test_the_estimate_falls_where_js_is_full(quick):
    """W₁ is halved nearly, and the estimate with it; JS has 0.693 to lose and loses a tenth."""
    first, second, *_ = ([float(x) for x in row[1:]] for row in rows(quick[0], "pass      W₁"))
    assert second[0] < first[0] and abs(first[2] - math.log(2)) < 0.03 > abs(second[2] - first[2])


def test_batch_norm_is_refused_and_why_is_shown(quick):
    found = {name: (answer, float(change)) for name, answer, change in rows(quick[0], "norm ")}
    assert found["none"] == ("accepted", 0.0) and found["layer"][0] == "accepted"
    assert found["layer"][1] < 1e-5 and found["batch"][0] == "refused" and found["batch"][1] > 1e-3
    assert "with batch norm, at '3'; expected none. The penalty is on the slope" in quick[0]


@pytest.mark.parametrize("pair", [moved(2.0), widened((1, 0.5), (0, 2))])
def test_the_exact_distance_is_that_of_the_draws(pair):
    minigrad.manual_seed(0)
    x, y = (draw(50_000).numpy()[:, 0] for draw in (pair.first, pair.second))
    assert wasserstein_line(x, y) == pytest.approx(pair.exact, rel=0.02)


def test_a_moved_ring_is_as_far_as_it_was_moved():
    circle = ring_moved(3.0, "cpu")
    minigrad.manual_seed(0)
    x, y = circle.first(300), circle.second(300)
    assert wasserstein_points(x, y) == pytest.approx(3.0, rel=0.05)
    assert np.linalg.norm(AWAY) > 3  # so that the generator of `learning` begins far off


def test_js_begins_at_0_and_ends_full():
    d, js = js_curve()
    assert d[0] == 0 and abs(js[0]) < 1e-12 and js[-1] == pytest.approx(math.log(2), abs=1e-3)
    assert (np.diff(js) > 0).all()


def test_slopes_between_are_those_of_a_linear_critic():
    gan = MLPGAN((2,), hidden=(4,)).double()
    gan.judge = lambda x: x[:, 0] * 3.0 - x[:, 1] * 4.0
    x = minigrad.randn(5, 2, dtype=minigrad.float64)
    assert slopes_between(gan, x, -x) == pytest.approx([5.0] * 5)
    assert gaussian(1.0, 2.0).std == 2.0


demo = partial(run_demo, "wgan_gp", "--quick")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--epochs", "1"), "--epochs: got 1; expected at least 2"),
        (("--images", "5"), "--images: got 5; expected at least 128"),
        (("--data-dir", "/nowhere", "--only", "digits"), "missing files in /nowhere"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path, arguments, message):
    assert_one_line(demo("--out", tmp_path, *arguments), message)
