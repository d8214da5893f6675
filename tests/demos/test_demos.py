"""Every demo runs, draws what it says, and fails in one plain line."""

import numpy as np
import pytest
from PIL import Image

from demos.__main__ import demos
from demos.common import table
from tests.demos.running import asked, assert_one_line, printed, python

NAMES = [demo.name for demo in demos()]


def test_the_list_names_every_demo():
    done = python("-m", "demos")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in NAMES) and "autoencoder" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_help_says_what_to_see(name):
    done = asked(name, "--help")
    assert done.returncode == 0 and "--quick" in done.stdout and "--device" in done.stdout


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    """Where a quick run of two autoencoders left its pictures, and what it printed."""
    out = tmp_path_factory.mktemp("autoencoder")
    return out, printed("autoencoder", "--quick", "--sizes", "784,64,2", "--out", out)


def test_autoencoder_draws_its_pictures(autoencoder):
    out, text = autoencoder
    folder = out / "autoencoder"
    assert "784-128-64-12-3" in text and "test MSE" in text
    found = {str(path.relative_to(folder)) for path in folder.rglob("*.*")}
    pictures = "first_and_last.png", "loss.png", "codes.png", "reconstructions.gif"
    for name in ("784-128-64-12-3", "784-64-2"):
        assert {f"{name}/{picture}" for picture in pictures} <= found
        assert {f"{name}/epochs/epoch_{i:02d}.png" for i in range(3)} <= found
        with Image.open(folder / name / "reconstructions.gif") as animation:
            assert animation.n_frames == 3
    assert "compared.png" in found
    with Image.open(folder / "784-64-2" / "epochs" / "epoch_02.png") as picture:
        assert np.asarray(picture).std() > 20  # not an empty page


def test_autoencoder_takes_up_where_it_was(autoencoder):
    out, text = autoencoder
    again = printed("autoencoder", "--quick", "--out", out, "--resume")
    rows = lambda text: [line.split()[:4] for line in text.splitlines() if "784-128" in line]
    assert len(rows(text)) > 0 and rows(again) == rows(text)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--data-dir", "/nowhere"), "missing files in /nowhere"),
        (("--device", "tpu"), "got 'tpu'; expected 'cpu', 'cuda'"),
        (("--sizes", "784"), "sizes: got (784,)"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path, arguments, message):
    done = asked("autoencoder", "--quick", "--out", tmp_path, *arguments)
    assert_one_line(done, message)


def test_table_sets_numbers_to_the_right():
    lines = table(("name", "count"), [("a", 1234), ("b", 5)]).splitlines()
    assert lines == ["name  count", "a     1,234", "b         5"]
