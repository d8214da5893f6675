"""demos.few_labels: the same few labels for all, and tables that agree."""

import re

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos.common import Images
from demos.few_labels import WAYS, Ways, accuracy, learn, some_of_each
from minigrad import nn
from minigrad.errors import ArgumentError
from models.vae import DenseVAE
from tests.demos.running import asked, assert_one_line, printed


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    text = printed("few_labels", "--quick", "--out", out)
    return text, out / "few_labels"


@pytest.fixture
def ways():
    """A VAE that knows nothing, and two kinds of image: light and dark."""
    minigrad.manual_seed(0)
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    images = rng.random((80, 1, 28, 28)) * 0.1 + 0.8 * labels[:, None, None, None]
    both = Images(minigrad.tensor(images.astype(np.float32)), minigrad.tensor(labels))
    return Ways(DenseVAE(256, 3), both, both, seed=0)


def test_every_picture_is_drawn(quick):
    names = {path.name for path in quick[1].iterdir()}
    assert names == {"accuracy.png", "gains.png"}
    for name in names:
        with Image.open(quick[1] / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 100 and pixels.std() > 10, name


def test_tables_agree_and_labels_help(quick):
    rows = [re.split(r"\s{2,}", line) for line in quick[0].splitlines() if "±" in line]
    rows = [[r[0], *(float(cell.split(" ± ")[0]) for cell in r[1:])] for r in rows if len(r) == 6]
    assert [r[0] for r in rows] == ["10", "100", "10", "100"]
    scratch = 1 + WAYS.index("from scratch")
    for accuracies, gains in zip(rows[:2], rows[2:], strict=True):
        for found, gain in zip(accuracies[1:], gains[1:], strict=True):
            assert gain == pytest.approx(100 * (found - accuracies[scratch]), abs=0.16)
    assert all(many > few + 0.1 for few, many in zip(rows[0][1:], rows[1][1:], strict=True))
    assert rows[1][scratch] > 0.65 and rows[1][1 + WAYS.index("fine-tuned")] > 0.65


def test_as_many_of_each_kind_none_twice():
    labels = np.array([3, 7, 3, 3, 7, 7, 7, 9, 9, 9])
    rng = np.random.default_rng(0)
    chosen = [some_of_each(labels, 6, rng) for _ in range(20)]
    for places in chosen:
        assert labels[places].tolist() == [3, 3, 7, 7, 9, 9] and len(set(places)) == 6
    assert len({tuple(places) for places in chosen}) > 1
    with pytest.raises(ArgumentError, match="got 3 images of a kind; expected 4"):
        some_of_each(labels, 12, rng)


def test_fine_tuning_begins_with_the_layer_that_was_learned(ways):
    x = ways.train.images
    before = ways.hidden(x)
    pretrained, scratch = ways.network(True), ways.network(False)
    np.testing.assert_array_equal(pretrained[0](x).detach().numpy(), before)
    assert np.abs(scratch[0](x).detach().numpy() - before).max() > 0.01
    learn(pretrained, x, ways.train.labels, 1e-3, np.random.default_rng(0))
    assert np.abs(pretrained[0](x).detach().numpy() - before).max() > 0.01
    np.testing.assert_array_equal(ways.hidden(x), before)  # the VAE's own is not touched


def test_spaces_are_centred_and_of_variance_1(ways):
    for known, _ in ways.spaces.values():
        assert np.abs(known.numpy().mean(0)).max() < 1e-3
        assert known.numpy().var(0).mean() == pytest.approx(1, abs=1e-2)


def test_light_and_dark_are_told_apart_the_same_way_twice(ways):
    found = ways.accuracies(10, 0)
    assert found[0] == found[3] == found[4] == 1.0
    assert found == ways.accuracies(10, 0)


def test_accuracy_counts():
    model = nn.Identity()
    logits = minigrad.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 2.0]])
    assert accuracy(model, logits, np.array([0, 1, 1])) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--runs", "1"), "--runs: got 1; expected at least 2, to see the spread"),
        (("--code", "0"), "--epochs, --code: got 10, 0; expected at least 1"),
        (("--data-dir", "/nowhere"), "missing files in /nowhere"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path, arguments, message):
    done = asked("few_labels", "--quick", *arguments, "--out", tmp_path)
    assert_one_line(done, message)
