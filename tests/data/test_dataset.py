"""Datasets and batches."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import DataLoader, Dataset, ImageDataset, TensorDataset
from minigrad.data.mnist import LabelledImages
from minigrad.errors import ArgumentError, ShapeError


class Squares(Dataset):
    def __len__(self):
        return 7

    def __getitem__(self, index):
        return float(index), np.array([index, index**2], np.float32)


def numbers(n):
    return TensorDataset(mg.arange(n), mg.arange(n) * 10)


@pytest.mark.parametrize(
    "n, batch_size, drop_last, sizes",
    [(7, 3, False, [3, 3, 1]), (7, 3, True, [3, 3]), (6, 3, True, [3, 3]), (2, 5, True, [])],
)
def test_batches_have_their_sizes(n, batch_size, drop_last, sizes):
    loader = DataLoader(numbers(n), batch_size, drop_last=drop_last)
    assert [len(x) for x, _ in loader] == sizes
    assert len(loader) == len(sizes)


def test_in_order_a_batch_is_a_slice_of_the_tensors_memory():
    data = numbers(7)
    for i, (x, _) in enumerate(DataLoader(data, 3)):
        assert x.tolist() == list(range(7))[3 * i : 3 * i + 3]
        assert np.shares_memory(x.numpy(), data.tensors[0].numpy())


def test_shuffled_every_row_comes_once_and_columns_stay_together():
    loader = DataLoader(numbers(50), 8, shuffle=True, generator=mg.Generator().manual_seed(1))
    orders = []
    for _ in range(2):
        rows = [(a, b) for x, y in loader for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        assert sorted(rows) == [(i, 10 * i) for i in range(50)]
        orders.append(rows)
    assert orders[0] != orders[1] != sorted(orders[1])


def test_the_generator_decides_the_order():
    def order(seed):
        generator = mg.Generator().manual_seed(seed)
        return [x.tolist() for x, _ in DataLoader(numbers(20), 4, True, generator=generator)]

    assert order(3) == order(3) != order(4)


def test_a_batch_has_the_form_of_an_item():
    items = [[1, 2.0, "a"], [3, 4.0, "b"]]
    (batch,) = DataLoader(items, 2)
    assert type(batch) is list and batch[0].tolist() == [1, 3] and batch[2] == ["a", "b"]
    (pair,) = DataLoader([{"x": (mg.ones(2), 1)}] * 2, 2)
    assert type(pair["x"]) is tuple and pair["x"][0].shape == (2, 2)
    found = DataLoader([LabelledImages(np.ones((2, 2)), np.int64(3))] * 2, 2)
    (batch,) = found
    assert type(batch) is LabelledImages and batch.labels.tolist() == [3, 3]


def test_a_batch_is_outside_the_graph():
    x = mg.ones(2, requires_grad=True) * 2.0
    (batch,) = DataLoader([x, x], 2)
    assert batch.tolist() == [[2.0, 2.0]] * 2 and not batch.requires_grad


def test_items_of_any_dataset_are_stacked():
    batches = list(DataLoader(Squares(), 4))
    assert batches[1][0].tolist() == [4.0, 5.0, 6.0]
    assert batches[1][1].tolist() == [[4, 16], [5, 25], [6, 36]]
    assert batches[0][0].dtype == batches[0][1].dtype == mg.float32
    shuffled = DataLoader(Squares(), 7, shuffle=True, generator=mg.Generator().manual_seed(0))
    ((first, _),) = shuffled
    assert sorted(first.tolist()) == list(range(7))


def test_images_are_floats_in_0_1_with_a_channel():
    data = ImageDataset(np.array([[[0, 255], [51, 102]]], np.uint8), [7])
    image, label = data[0]
    np.testing.assert_allclose(image.numpy(), [[[0, 1], [0.2, 0.4]]], rtol=1e-6)
    assert image.dtype == mg.float32 and label.item() == 7
    assert ImageDataset(np.zeros((2, 3, 4, 4), np.float32))[1][0].shape == (3, 4, 4)


def test_bytes_stay_bytes_and_in_their_file_until_a_batch_is_asked_for(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 3, 4, 4), np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    data = ImageDataset(mapped, np.arange(9))
    assert data.tensors[0].dtype == np.uint8 and np.shares_memory(data.tensors[0].numpy(), mapped)
    for loader in (DataLoader(data, 4), DataLoader(data, 4, shuffle=True)):
        batches = list(loader)
        assert [len(x) for x, _ in batches] == [4, 4, 1]
        for x, rows in batches:
            assert x.dtype == mg.float32
            np.testing.assert_array_equal(x.numpy(), pixels[rows.numpy()] / np.float32(255))


def test_workers_and_pinned_memory_are_taken_for_what_they_are():
    loader = DataLoader(numbers(3), 2, num_workers=4, pin_memory=True)
    assert [len(x) for x, *_ in loader] == [2, 1]


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: ImageDataset(np.full((1, 2, 2), 3.0)), ArgumentError, "values from 3.0 to 3.0"),
        (lambda: ImageDataset(np.full((1, 2, 2), np.nan)), ArgumentError, "expected \\[0, 1\\]"),
        (lambda: ImageDataset(np.zeros((2, 2))), ShapeError, r"got shape \(2, 2\)"),
        (lambda: TensorDataset(mg.zeros(2), mg.zeros(3)), ShapeError, r"got \(2,\), \(3,\)"),
        (lambda: TensorDataset(), ShapeError, "got nothing"),
        (lambda: DataLoader(numbers(2), 0), ArgumentError, "batch_size: got 0; expected"),
    ],
)
def test_wrong_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
