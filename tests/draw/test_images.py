"""Grids of images and the PNG files that they are saved to."""

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from minigrad.errors import ArgumentError, ShapeError
from minigrad.utils import make_grid, save_image


def test_images_stand_in_rows_with_padding_between():
    images = mg.arange(5).reshape(5, 1, 1, 1).float().expand(5, 1, 2, 3)
    grid = make_grid(images, nrow=2, padding=1, pad_value=9.0)
    assert grid.shape == (3, 3 * 3 + 1, 2 * 4 + 1)
    assert (grid[0] == grid[2]).all()
    assert grid[0, 1].tolist() == [9, 0, 0, 0, 9, 1, 1, 1, 9]
    assert grid[0, 8].tolist() == [9, 4, 4, 4, 9, 9, 9, 9, 9]


def test_normalize_maps_the_range_to_0_1():
    images = mg.tensor([[-1.0, 0.0], [1.0, 3.0]]).reshape(2, 1, 1, 2)
    whole = make_grid(images, padding=0, normalize=True)
    np.testing.assert_allclose(whole[0, 0].numpy(), [0, 0.25, 0.5, 1])
    each = make_grid(images, padding=0, normalize=True, scale_each=True)
    np.testing.assert_allclose(each[0, 0].numpy(), [0, 1, 0, 1])
    given = make_grid(images, padding=0, normalize=True, value_range=(0.0, 2.0))
    np.testing.assert_allclose(given[0, 0].numpy(), [0, 0, 0.5, 1])


def test_a_saved_picture_has_the_pixels(tmp_path):
    pixels = np.random.default_rng(0).random((6, 3, 5, 4)).astype(np.float32) * 1.5 - 0.2
    save_image(mg.tensor(pixels), tmp_path / "a.png", nrow=3)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG" and picture.mode == "RGB"
        found = np.asarray(picture)
    expected = make_grid(mg.tensor(pixels), nrow=3).numpy().clip(0, 1).transpose(1, 2, 0)
    assert np.abs(found / 255 - expected).max() <= 0.5 / 255 + 1e-6


def test_one_image_is_no_grid():
    image = mg.rand(3, 5, 4, generator=mg.Generator().manual_seed(0))
    assert (make_grid(image) == image).all()
    assert make_grid([image, image]).shape == (3, 9, 14)


def test_wrong_input_is_refused(tmp_path):
    with pytest.raises(ShapeError, match=r"make_grid: got shape \(3,\)"):
        make_grid(mg.zeros(3))
    with pytest.raises(ArgumentError, match="got 2 channels; expected 1 or 3"):
        save_image(mg.zeros(4, 2, 3, 3), tmp_path / "a.png")
    with pytest.raises(ArgumentError, match="expected PNG"):
        save_image(mg.zeros(4, 1, 3, 3), tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []
