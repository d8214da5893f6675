"""demos.image_search: neighbours are the nearest ones, and the tables count them."""

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos.common import Images
from demos.image_search import HITS, by_kind, nearest, search
from demos.image_search_pictures import tinted
from demos.vae_numbers import flat
from tests.demos.running import asked, assert_one_line, printed, rows_of


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    text = printed("image_search", "--quick", "--out", out)
    rows = rows_of(text)
    return rows, out / "image_search"


@pytest.fixture
def few():
    """Images to search among, and to search for."""
    rng = np.random.default_rng(0)
    return [
        Images(
            minigrad.tensor(rng.random((n, 1, 5, 5)).astype(np.float32)),
            minigrad.tensor(rng.integers(0, 3, n)),
        )
        for n in (60, 20)
    ]


def test_every_picture_is_drawn(quick):
    names = {path.name for path in quick[1].iterdir()}
    assert names == {"hits.png", "mistakes.png", "sizes.png"}
    for name in names:
        with Image.open(quick[1] / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 100 and pixels.std() > 10, name


def test_tables_agree_and_tell_the_story(quick):
    by_query = {r[0]: list(map(float, r[1:])) for r in quick[0] if len(r) == 5 and r[0] != "query"}
    by_space = {(r[0], int(r[1])): r[2:] for r in quick[0] if len(r) == 6 and r[0] != "space"}
    assert set(by_query) == {*"0123456789", "all"}
    spaces = "pixels", "PCA", "AE codes", "VAE means"
    at_eight = [by_space[name, 784 if name == "pixels" else 8] for name in spaces]
    assert by_query["all"] == [float(row[1]) for row in at_eight]
    assert [row[0] for row in at_eight] == ["3,136", "32", "32", "32"]
    assert by_query["all"][0] > 0.8 and min(by_query["all"]) > 0.3  # by chance: 0.1
    searching = {key: int(row[3].replace(",", "")) for key, row in by_space.items()}
    assert all(searching[key] < searching["pixels", 784] for key in by_space if key[1] < 784)
    for name in spaces[1:]:
        assert float(by_space[name, 8][1]) > float(by_space[name, 2][1])


def test_neighbours_are_the_nearest_in_order():
    rng = np.random.default_rng(0)
    asked, known = rng.normal(size=(30, 4)), rng.normal(size=(200, 4))
    away = np.linalg.norm(asked[:, None] - known, axis=2)
    np.testing.assert_array_equal(nearest(asked, known), np.argsort(away, axis=1)[:, :HITS])


def test_search_counts_hits_of_the_same_kind(few):
    train, test = few
    found = search(flat, train, test)
    labels, asked = train.labels.numpy(), test.labels.numpy()
    away = np.linalg.norm(flat(test.images)[:, None] - flat(train.images), axis=2)
    share = [
        [labels[j] == kind for j in np.argsort(row)[:5]]
        for row, kind in zip(away, asked, strict=True)
    ]
    np.testing.assert_array_equal(found.right, share)
    assert found.bytes == 25 * 4
    rows = by_kind({"pixels": found}, asked, ("a", "b", "c"))
    assert [row[0] for row in rows] == ["a", "b", "c", "all"]
    assert rows[1][1] == np.mean(np.array(share)[asked == 1])
    assert rows[3][1] == np.mean(share)


def test_wrong_hits_are_red():
    grey = np.random.default_rng(0).random((2, 3, 3))
    right, wrong = tinted(grey, np.array([True, False]))
    np.testing.assert_array_equal(right, np.repeat(grey[0][..., None], 3, axis=2))
    assert (wrong[..., 0] > wrong[..., 1]).all() and (wrong <= 1).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--code", "800"), "--code: got 800; expected at most 784, the pixels"),
        (("--epochs", "0"), "--epochs, --code: got 0, 8; expected at least 1"),
        (("--data-dir", "/nowhere"), "missing files in /nowhere"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path, arguments, message):
    done = asked("image_search", "--quick", *arguments, "--out", tmp_path)
    assert_one_line(done, message)
