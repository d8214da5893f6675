"""The three estimators agree on average, differ in noise as told, and each learns."""

import re

import numpy as np
import pytest
from PIL import Image

from tests.demos.running import asked, printed


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick")
    text = printed("variational_dropout", "--quick", "--out", folder)
    return text, folder / "variational_dropout"


def row(text, start):
    """The cells of the line that starts so, after its name."""
    lines = [line for line in text.splitlines() if line.startswith(start + "  ")]
    assert len(lines) == 1, (start, lines)
    return [cell.replace(",", "") for cell in lines[0].removeprefix(start).split()]


def test_every_picture_is_drawn(quick):
    for name in ("variance.png", "training.png", "weights.png"):
        with Image.open(quick[1] / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 20, name
            assert (quick[1] / name).stat().st_size < 300_000, name


def test_expectations_are_equal(quick):
    apart = re.findall(r"(?:shared|each) (?:μ|ln σ²) (\d+\.\d+)", quick[0])
    assert len(apart) == 4 and all(0.7 < float(value) < 1.4 for value in apart)


def test_a_shared_draw_stops_profiting_from_the_batch(quick):
    for kind in ("μ", "ln σ²"):
        falls = {name: float(row(quick[0], f"{kind}, {name}")[2]) for name in
                 ("shared", "each", "local")}  # fmt: skip
        assert falls["shared"] < 0.7 * min(falls["each"], falls["local"])
        assert 64 / 1.8 < falls["each"] < 64 * 1.8 and 64 / 1.8 < falls["local"] < 64 * 1.8


def test_local_is_the_least_noisy(quick):
    for name in ("shared", "each"):
        first, last = map(float, row(quick[0], f"ln σ², {name}")[3:])
        assert min(first, last) > 5
    assert float(row(quick[0], "μ, shared")[4]) > 2


def test_each_learns_and_local_most(quick):
    found = {name: row(quick[0], name) for name in ("shared", "each", "local")}
    noise = [int(cells[0]) for cells in found.values()]
    weights = 14 * 14 * 64 + 64 * 10
    assert noise == [weights, 50 * weights, 50 * (64 + 10)]
    for _, loss, nll, kl, test_nll, right, _ in found.values():
        assert abs(float(loss) - float(nll) - float(kl)) < 2e-4
        assert float(test_nll) < np.log(10) and float(right.rstrip("%")) > 20
    assert float(found["local"][1]) < min(float(found[name][1]) for name in ("shared", "each"))


@pytest.mark.parametrize(
    "arguments, message",
    [(("--epochs", "0"), "--epochs: got 0"), (("--data-dir", "nowhere"), "missing files")],
)
def test_refuses(arguments, message, tmp_path):
    done = asked("variational_dropout", *arguments, "--out", tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and message in done.stderr
