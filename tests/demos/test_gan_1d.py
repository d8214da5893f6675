"""demos.gan_1d: G comes to the data, D to the best judge, and one loss leaves G nothing."""

import re

import numpy as np
import pytest
from PIL import Image

from demos.gan_1d import DATA, LINE, best_judge, slopes
from tests.demos.running import asked, assert_one_line, printed


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The quick run's folder, and its two tables, the numbers of each row."""
    out = tmp_path_factory.mktemp("out")
    text = printed("gan_1d", "--quick", "--out", out)
    rows = [re.split(r"\s+", line) for line in text.splitlines()]
    rounds = [[float(cell) for cell in row[2:]] for row in rows if row[1:2] in (["D"], ["G"])]
    alone = [[float(c) for c in row] for row in rows if len(row) == 4 and row[0].isdecimal()]
    return out / "gan_1d", rounds, alone


def test_samples_come_to_the_data_and_the_judge_to_the_best(quick):
    first, last = quick[1][0], quick[1][-1]
    assert first[0] == -2.0
    assert abs(last[0] - 1.5) < 0.4 and abs(last[1] - 0.5) < 0.15 and last[2] < 0.1


def test_saturating_loss_leaves_little_gradient(quick):
    first, *_, last = quick[2]
    assert last[1] < 0.01 < first[1]  # D(G(z))
    assert last[2] < 0.3 * first[2] and last[3] > 10 * first[3]


def test_pictures_are_drawn(quick):
    with Image.open(quick[0] / "gradients.png") as picture:
        assert np.asarray(picture.convert("RGB")).std() > 10
    with Image.open(quick[0] / "game.gif") as animation:
        assert animation.n_frames == 51


def test_slopes_are_those_of_the_formulas():
    """-σ(f) of ln (1 - σ(f)), and σ(f) - 1 of -ln σ(f)."""
    f = np.array([-6.0, -1.0, 0.0, 2.5])
    sigma = 1 / (1 + np.exp(-f))
    found = slopes(f)
    assert found["minimax"] == pytest.approx(sigma, abs=1e-12)
    assert found["non_saturating"] == pytest.approx(1 - sigma, abs=1e-12)


def test_best_judge_is_undecided_where_samples_lie_as_data_do():
    assert best_judge(LINE, 0.5, 1.5) == pytest.approx(np.full(len(LINE), 0.5))
    at_the_data = best_judge(DATA.centres[:, 0], 0.5, -2.0)
    assert at_the_data[0] == pytest.approx(1 / (1 + np.exp(-0.5 * (3.5 / 0.5) ** 2)))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--dataset", "mnist"], "points are drawn"),
        (["--epochs", "0"], "expected at least 1"),
        (["--device", "tpu"], "expected 'cpu', 'cuda'"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path, arguments, message):
    assert_one_line(asked("gan_1d", *arguments, "--out", tmp_path), message)
