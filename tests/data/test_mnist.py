"""MNIST and Fashion-MNIST from small folders, and the messages that unfit folders get."""

import gzip
import os
import re
import struct

import numpy as np
import pytest

from minigrad.data import mnist as module
from minigrad.data.mnist import fashion_mnist, mnist, mnist_splits
from minigrad.errors import ArgumentError, DatasetError

CHANCE = np.random.default_rng(0)


def save(path, array):
    """Write a uint8 array as IDX, gzipped if the name says so."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def save_set(folder, images_name, count, *, labels=None, shape=(28, 28)):
    """A set of random images under `images_name`, its labels beside it; the two arrays."""
    images = CHANCE.integers(0, 256, size=(count, *shape), dtype=np.uint8)
    labels = CHANCE.permutation(np.arange(count) % 10) if labels is None else np.array(labels)
    folder.mkdir(exist_ok=True, parents=True)
    save(folder / images_name, images)
    save(folder / images_name.replace("images", "labels").replace("idx3", "idx1"), labels)
    return images, labels


def assert_same(data, images, labels):
    assert data.images.dtype == np.float32 and data.labels.dtype == np.int64
    np.testing.assert_allclose(data.images, images / 255, rtol=1e-7)
    np.testing.assert_array_equal(data.labels, labels)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """An empty cache folder, and the list of the downloads that were asked for."""
    asked = []
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "download_files", lambda *request: asked.append(request))
    return asked


@pytest.mark.parametrize("idx", ["-idx3-ubyte", "-idx3-ubyte.gz", ".idx3-ubyte", ".idx3-ubyte.gz"])
@pytest.mark.parametrize("load", [mnist, fashion_mnist])
def test_usual_names(tmp_path, load, idx):
    train = save_set(tmp_path, f"train-images{idx}", 12)
    test = save_set(tmp_path, f"t10k-images{idx}", 7)
    assert_same(load(data_dir=tmp_path), *train)
    assert_same(load(train=False, data_dir=str(tmp_path)), *test)
    for data, expected in zip(mnist_splits(data_dir=tmp_path), (train, test), strict=True):
        assert_same(data, *expected)


def test_pixels_run_from_0_to_1(tmp_path):
    save(tmp_path / "t10k-images-idx3-ubyte", np.full((1, 28, 28), 255))
    save(tmp_path / "t10k-labels-idx1-ubyte", np.array([3]))
    images, labels = mnist(train=False, data_dir=tmp_path)
    assert images.max() == 1 and images.shape == (1, 28, 28) and labels.tolist() == [3]


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz"])
def test_one_set_is_split_in_file_order(tmp_path, name):
    images, labels = save_set(tmp_path, name, 23)
    train, test = mnist_splits(data_dir=tmp_path)
    assert_same(train, images[:18], labels[:18])
    assert_same(test, images[18:], labels[18:])


def test_undivided_set_answers_to_both(tmp_path):
    images, labels = save_set(tmp_path, "images-idx3-ubyte.gz", 20)
    assert_same(mnist(data_dir=tmp_path), images[:16], labels[:16])
    assert_same(mnist(train=False, data_dir=tmp_path), images[16:], labels[16:])
    assert_same(mnist_splits(data_dir=tmp_path)[0], images[:16], labels[:16])


def test_set_sorted_by_class_keeps_every_class_on_both_sides(tmp_path):
    images, labels = save_set(tmp_path, "images-idx3-ubyte", 50, labels=np.repeat(range(10), 5))
    train, test = mnist_splits("fashion-mnist", data_dir=tmp_path)
    assert_same(test, images[4::5], labels[4::5])
    assert np.bincount(train.labels).tolist() == [4] * 10


def test_only_the_other_set(tmp_path):
    save_set(tmp_path, "t10k-images-idx3-ubyte.gz", 5)
    with pytest.raises(DatasetError) as caught:
        mnist(data_dir=tmp_path)
    assert str(caught.value) == (
        f"mnist: missing files in {tmp_path}: got t10k-images-idx3-ubyte.gz, "
        "t10k-labels-idx1-ubyte.gz; expected train-images-idx3-ubyte and train-labels-idx1-ubyte, "
        "each as it is or with .gz. Pass train=False for the set that is there, or split it with "
        "mnist_splits."
    )


@pytest.mark.parametrize("load", [mnist, mnist_splits])
def test_folder_without_images(tmp_path, load):
    with pytest.raises(DatasetError, match="got no such folder; expected .* Check the folder"):
        load(data_dir=tmp_path / "absent")
    with pytest.raises(DatasetError, match="got an empty folder; expected "):
        load(data_dir=tmp_path)
    for number in range(9):
        (tmp_path / f"{number}.png").touch()
    with pytest.raises(DatasetError, match=r"got 0\.png, .*, 7\.png, \.\.\.; expected "):
        load(data_dir=tmp_path)


@pytest.mark.parametrize("load", [mnist, mnist_splits])
def test_images_without_labels(tmp_path, load):
    save_set(tmp_path, "train-images-idx3-ubyte", 5)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DatasetError, match="got train-images-idx3-ubyte; expected .* go together"):
        load(data_dir=tmp_path)


@pytest.mark.parametrize(
    "images, labels, message",
    [
        ((3, 28, 27), [1, 2, 3], r"images: got uint8 \(3, 28, 27\) in .*; expected uint8 \(n, 28"),
        ((28, 28), [1], r"images: got uint8 \(28, 28\) in .*; expected uint8 \(n, 28, 28\)"),
        ((3, 28, 28), [[1], [2], [3]], r"labels: got uint8 \(3, 1\) in .*; expected uint8 \(n,\)"),
        ((3, 28, 28), [1, 2], "got 3 and 2 in .*; expected as many of both"),
        ((0, 28, 28), [], "got 0 and 0 in .*; expected as many of both, at least one"),
        ((3, 28, 28), [1, 10, 3], "got label 10 in row 1 of .*; expected 0 to 9"),
    ],
)
def test_unfit_contents(tmp_path, images, labels, message):
    save(tmp_path / "t10k-images-idx3-ubyte", np.zeros(images))
    save(tmp_path / "t10k-labels-idx1-ubyte", np.array(labels))
    with pytest.raises(DatasetError, match=f"^fashion-mnist: .*{message}"):
        fashion_mnist(train=False, data_dir=tmp_path)


def test_too_few_to_split(tmp_path):
    save_set(tmp_path, "t10k-images-idx3-ubyte", 4)
    with pytest.raises(DatasetError, match="mnist: images to split: got 4; expected 5 or more"):
        mnist_splits(data_dir=tmp_path)


def test_damaged_file_keeps_the_reader_s_message(tmp_path):
    save_set(tmp_path, "t10k-images-idx3-ubyte", 4)
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetError, match="read_idx: .* got 3135 bytes .* expected 3136 bytes"):
        mnist(train=False, data_dir=tmp_path)


def test_unknown_name():
    with pytest.raises(ArgumentError, match="name: got 'emnist'; expected one of .*'mnist'"):
        mnist_splits("emnist")


def test_complete_cache_needs_no_download(offline, tmp_path):
    train = save_set(tmp_path / "cache" / "fashion-mnist", "train-images-idx3-ubyte.gz", 6)
    test = save_set(tmp_path / "cache" / "fashion-mnist", "t10k-images.idx3-ubyte", 5)
    for data, expected in zip(mnist_splits("fashion-mnist"), (train, test), strict=True):
        assert_same(data, *expected)
    assert_same(fashion_mnist(), *train)
    assert all(files == [] for _, files, _ in offline)


def test_only_missing_files_are_downloaded(offline, tmp_path):
    folder = tmp_path / "cache" / "mnist"
    save_set(folder, "train-images-idx3-ubyte", 6)
    (folder / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DatasetError):
        mnist()
    [(asked_folder, files, mirrors)] = offline
    assert asked_folder == folder and mirrors == module.MIRRORS["mnist"]
    assert [file.name for file in files] == ["train-labels-idx1-ubyte.gz"]


def test_download_can_be_declined(offline):
    with pytest.raises(DatasetError, match="no such folder.* Pass download=True, or put the files"):
        mnist(download=False)
    assert offline == []


def test_published_table_is_well_formed():
    assert module.MIRRORS.keys() == module.PUBLISHED.keys()
    for mirrors in module.MIRRORS.values():
        assert all(re.fullmatch(r"https://\S+/", mirror) for mirror in mirrors)
    for facts in module.PUBLISHED.values():
        assert len(facts) == len(module.FILE_NAMES)
        assert all(re.fullmatch("[0-9a-f]{64}", sha256) for _, sha256 in facts)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_real_images(name):
    folder = os.path.join(os.environ.get("MINIGRAD_DATA", ""), name)
    if not os.path.isdir(folder):
        pytest.skip("needs real files in the folders mnist, fashion-mnist of MINIGRAD_DATA")
    for images, labels in mnist_splits(name, data_dir=folder):
        assert images.shape == (len(labels), 28, 28)
        assert images.min() == 0 and images.max() == 1 and 0.05 < images.mean() < 0.5
        assert set(labels.tolist()) <= set(range(10))
