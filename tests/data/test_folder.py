"""Folders of pictures: every kind is read, the wrong ones are told of, and the cache is honest."""

import importlib.util
import json
import os
import re
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from minigrad.data import folder as module
from minigrad.data.folder import image_folder
from minigrad.errors import ArgumentError, DatasetError

SKY, GRASS, EARTH = (40, 120, 230), (40, 180, 60), (120, 70, 30)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache's folder, a new one for each test."""
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "folders"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "pictures"
    made.mkdir()
    return made


def plain(colour=SKY, size=(40, 30), mode="RGB") -> Image.Image:
    return Image.new("RGB", size, colour).convert(mode)


def landscape(size=(40, 30)) -> Image.Image:
    """Sky above, grass below at the left, earth below at the right."""
    width, height = size
    picture = plain(SKY, size)
    picture.paste(GRASS, (0, height // 2, width // 2, height))
    picture.paste(EARTH, (width // 2, height // 2, width, height))
    return picture


def near(pixel, colour, tolerance=3) -> bool:
    return np.abs(pixel.astype(int) - colour).max() <= tolerance


def corners(image) -> list:
    return [image[:, row, column] for row in (1, -2) for column in (1, -2)]


def read_count(monkeypatch) -> list:
    """A list that grows by one name for each picture that is read from now on."""
    names, read = [], module._square
    monkeypatch.setattr(module, "_square", lambda p, s: (names.append(p.name), read(p, s))[1])
    return names


# ----------------------------------------------------------------------------------- the pictures


def test_shape_type_and_order(folder):
    for name, colour in (("b.png", GRASS), ("a.png", SKY), ("c.png", EARTH)):
        plain(colour).save(folder / name)
    data = image_folder(folder, size=16)
    assert data.images.shape == (3, 3, 16, 16) and data.images.dtype == np.uint8
    assert data.files == ("a.png", "b.png", "c.png") and data.skipped == ()
    for image, colour in zip(data.images, (SKY, GRASS, EARTH), strict=True):
        assert (image == np.array(colour)[:, None, None]).all()


def test_subfolders_are_read_and_all_is_sorted_by_path(folder):
    for name in ("z.png", "day/2.png", "day/1.png", "day/late/0.png", "A/x.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        plain().save(folder / name)
    expected = ("A/x.png", "day/1.png", "day/2.png", "day/late/0.png", "z.png")
    assert image_folder(folder, 8).files == expected


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("a.jpg", 6), ("a.JPEG", 6), ("a.png", 0), ("a.webp", 12), ("a.bmp", 0), ("a.TIFF", 0),
     ("a.gif", 3), ("a.ppm", 0)],
)  # fmt: skip
def test_formats(folder, name, tolerance):
    landscape().save(folder / name)
    (image,) = image_folder(folder, size=32).images
    expected = SKY, SKY, GRASS, EARTH
    for pixel, colour in zip(corners(image), expected, strict=True):
        assert near(pixel, colour, tolerance)


def test_other_files_are_no_pictures(folder):
    plain().save(folder / "a.png")
    (folder / "notes.txt").write_text("not a picture")
    plain().save(folder / "._a.png")
    (folder / ".thumbnails").mkdir()
    plain().save(folder / ".thumbnails" / "b.png")
    (folder / "folder.png").mkdir()
    data = image_folder(folder, 8)
    assert data.files == ("a.png",) and data.skipped == ()


@pytest.mark.parametrize("size", [(90, 30), (30, 90)])
def test_the_middle_square_is_cut_out(folder, size):
    picture = plain(EARTH, size)
    left, top = (size[0] - 30) // 2, (size[1] - 30) // 2
    picture.paste(landscape((30, 30)), (left, top))
    picture.save(folder / "a.png")
    landscape((30, 30)).save(folder / "b.png")
    whole, middle = image_folder(folder, size=15).images
    assert np.array_equal(whole, middle)


def test_shrinking_averages_over_what_a_pixel_covers(folder):
    """Stripes a pixel wide become grey; taken at every 16th pixel, they would be black or white."""
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(folder / "a.png")
    (image,) = image_folder(folder, size=16).images
    assert np.abs(image.astype(int) - 127).max() <= 3


def test_small_pictures_are_enlarged(folder):
    landscape((4, 4)).save(folder / "a.png")
    (image,) = image_folder(folder, size=64).images
    assert near(image[:, 4, 32], SKY, 12) and near(image[:, 56, 60], EARTH, 12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(folder, orientation):
    """A camera held as EXIF says has stored the upright picture turned or mirrored."""
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    picture = landscape((60, 40))
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = picture if stored is None else picture.transpose(stored)
    turned.save(folder / "a.jpg", exif=exif, quality=95)
    (image,) = image_folder(folder, size=20).images
    for pixel, colour in zip(corners(image), (SKY, SKY, GRASS, EARTH), strict=True):
        assert near(pixel, colour, 8)


def test_grey_and_bits_become_rgb(folder):
    plain((90, 90, 90), mode="L").save(folder / "a.png")
    plain((255, 255, 255), mode="1").save(folder / "b.png")
    deep = np.full((20, 20), 90 * 257, np.uint16)
    Image.fromarray(deep).save(folder / "c.png")
    Image.fromarray(deep).save(folder / "d.tif")
    Image.fromarray(np.full((20, 20), 65535, np.uint16)).save(folder / "e.png")
    images = image_folder(folder, 8).images
    assert [np.unique(image).tolist() for image in images] == [[90], [255], [90], [90], [255]]


def test_cmyk_becomes_rgb(folder):
    plain(GRASS, mode="CMYK").save(folder / "a.jpg", quality=95)
    assert near(image_folder(folder, 8).images[0, :, 4, 4], GRASS, 8)


def test_palettes_become_rgb(folder):
    landscape().quantize(8).save(folder / "a.png")
    (image,) = image_folder(folder, size=32).images
    for pixel, colour in zip(corners(image), (SKY, SKY, GRASS, EARTH), strict=True):
        assert near(pixel, colour, 6)


def test_what_is_transparent_lies_on_white(folder):
    Image.new("RGBA", (20, 20), (*SKY, 0)).save(folder / "a.png")
    Image.new("RGBA", (20, 20), (0, 0, 0, 128)).save(folder / "b.png")
    Image.new("LA", (20, 20), (10, 0)).save(folder / "c.png")
    holed = plain().quantize(4)
    holed.save(folder / "d.png", transparency=holed.getpixel((0, 0)))
    images = image_folder(folder, 8).images
    assert (images[[0, 2, 3]] == 255).all() and (images[1] == 127).all()


def test_of_an_animation_the_first_image_is_taken(folder):
    frames = [plain(colour) for colour in (GRASS, SKY, EARTH)]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    assert near(image_folder(folder, 8).images[0, :, 4, 4], GRASS)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link_to_a_picture_counts_and_a_link_to_a_folder_does_not(folder):
    plain().save(folder / "a.png")
    (folder / "b.png").symlink_to(folder / "a.png")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "c.png").symlink_to(folder / "nowhere.png")
    assert image_folder(folder, 8).files == ("a.png", "b.png")


def test_limit_takes_the_first_files(folder):
    for name in "dacb":
        plain().save(folder / f"{name}.png")
    assert image_folder(folder, 8, limit=2).files == ("a.png", "b.png")
    assert image_folder(folder, 8, limit=np.int64(9)).files == ("a.png", "b.png", "c.png", "d.png")


# ------------------------------------------------------------------------------- what is not well


def test_unreadable_files_are_skipped_and_told(folder):
    for name, colour in (("a.png", SKY), ("d.png", GRASS), ("f.png", EARTH)):
        plain(colour).save(folder / name)
    (folder / "b.jpg").write_bytes(b"no picture")
    whole = (folder / "a.png").read_bytes()
    (folder / "c.png").write_bytes(whole[: len(whole) // 2])
    (folder / "e.png").write_bytes(b"")
    message = re.escape(f"image_folder: {folder}: skipped 3 of 6 files, the first b.jpg: ")
    with pytest.warns(UserWarning, match=f"^{message}.*cannot identify image file$") as told:
        data = image_folder(folder, 8)
    assert len(told) == 1 and "\n" not in str(told[0].message)
    assert told[0].filename == __file__
    assert data.files == ("a.png", "d.png", "f.png")
    assert [line.split(":")[0] for line in data.skipped] == ["b.jpg", "c.png", "e.png"]
    for image, colour in zip(data.images, (SKY, GRASS, EARTH), strict=True):
        assert near(image[:, 4, 4], colour, 0)
    with pytest.warns(UserWarning, match=f"^{message}"):
        again = image_folder(folder, 8)  # from the cache
    assert again.files == data.files and again.skipped == data.skipped
    assert np.array_equal(again.images, data.images)


@pytest.mark.parametrize("side", [11, 15])  # a warning of Pillow's, and an error
def test_decompression_bombs_are_skipped(folder, side, monkeypatch):
    plain(size=(10, 10)).save(folder / "a.png")
    plain(size=(side, side)).save(folder / "b.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.warns(
        UserWarning, match="skipped 1 of 2 files, the first b.png: DecompressionBomb"
    ):
        data = image_folder(folder, 8)
    assert data.files == ("a.png",)


def test_floats_have_no_range(folder):
    plain().save(folder / "a.png")
    Image.fromarray(np.ones((9, 9), np.float32)).save(folder / "b.tif")
    with pytest.warns(UserWarning, match="b.tif: ValueError: its grey values are floats"):
        assert image_folder(folder, 8).files == ("a.png",)


def test_a_picture_that_goes_away_is_skipped(folder, monkeypatch):
    for name in "ab":
        plain().save(folder / f"{name}.png")
    entries = module._listing(folder)
    (folder / "b.png").unlink()
    monkeypatch.setattr(module, "_listing", lambda _: entries)
    with pytest.warns(UserWarning, match="b.png: FileNotFoundError"):
        assert image_folder(folder, 8).files == ("a.png",)


def refusal(*args, **kwargs) -> str:
    with pytest.raises(DatasetError) as caught:
        image_folder(*args, **kwargs)
    return str(caught.value)


def test_no_such_folder(tmp_path, cache):
    path = tmp_path / "none"
    assert refusal(path) == (
        f"image_folder: {path}: got no such folder; expected a folder of pictures. Check the path."
    )
    assert not cache.exists()


def test_a_file_is_no_folder(folder):
    path = folder / "a.png"
    plain().save(path)
    assert f"{path}: got a file; expected a folder of pictures" in refusal(str(path))


def test_an_empty_folder(folder):
    assert "got an empty folder; expected pictures, there or in folders below: .bmp" in refusal(
        folder
    )


def test_a_folder_without_pictures_says_what_it_holds(folder):
    for name in ("faces.zip", "list.txt"):
        (folder / name).write_text("")
    message = refusal(folder)
    assert "got faces.zip, list.txt; expected pictures" in message
    assert message.endswith("Unpack archives first.")


def test_no_readable_picture(folder, cache):
    for name in "ab":
        (folder / f"{name}.jpg").write_bytes(b"no picture")
    assert refusal(folder) == (
        f"image_folder: {folder}: got 2 files, none of which can be read (the first a.jpg: "
        "UnidentifiedImageError: cannot identify image file); expected pictures."
    )
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(folder, tmp_path, monkeypatch):
    plain().save(folder / "a.png")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "file"))
    message = refusal(folder)
    assert message.startswith("image_folder: cannot keep the images: got ")
    assert message.endswith("Set MINIGRAD_DATA to a folder with space that you may write to.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 7}, "image_folder: size: got 7; expected an integer from 8 to 1024"),
        ({"size": 64.0}, "image_folder: size: got 64.0; expected an integer from 8 to 1024"),
        ({"size": 1025}, "image_folder: size: got 1025; expected an integer from 8 to 1024"),
        ({"limit": 0}, "image_folder: limit: got 0; expected an integer >= 1"),
        ({"limit": True}, "image_folder: limit: got True; expected an integer >= 1"),
        ({"limit": "9"}, "image_folder: limit: got '9'; expected an integer >= 1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        image_folder("no folder is looked at", **arguments)


def test_a_missing_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    spec = importlib.util.spec_from_file_location("folder_without", module.__file__)
    message = 'image_folder reads pictures with Pillow: pip install "minigrad-numpy[demos]"'
    with pytest.raises(ImportError, match=f"^{re.escape(message)}$"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_without_tqdm_there_is_no_bar(folder, monkeypatch):
    plain().save(folder / "a.png")
    monkeypatch.setattr(module, "tqdm", None)
    assert len(image_folder(folder, 8).images) == 1


# -------------------------------------------------------------------------------------- the cache


def test_the_second_time_nothing_is_read(folder, cache, monkeypatch):
    for name in "ab":
        landscape().save(folder / f"{name}.png")
    first = image_folder(folder, 16)
    names = read_count(monkeypatch)
    again = image_folder(str(folder), np.int64(16))
    assert names == [] and again.files == first.files
    assert np.array_equal(again.images, first.images)
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]


def test_the_images_are_a_map_of_the_file_that_cannot_be_written(folder):
    plain().save(folder / "a.png")
    for _ in range(2):
        images = image_folder(folder, 8).images
        assert isinstance(images, np.memmap) and not images.flags.writeable


def change_nothing(folder):
    """The folder as it was."""


def add(folder):
    plain(EARTH).save(folder / "c.png")


def remove(folder):
    (folder / "b.png").unlink()


def rename(folder):
    (folder / "b.png").rename(folder / "z.png")


def replace(folder):
    """Another picture of the same length in bytes, saved later."""
    path = folder / "b.bmp"
    length = path.stat().st_size
    plain(EARTH).save(path)
    assert path.stat().st_size == length
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize(
    ("change", "read"),
    [
        (change_nothing, []),
        (add, ["a.png", "b.bmp", "b.png", "c.png"]),
        (remove, ["a.png", "b.bmp"]),
        (rename, ["a.png", "b.bmp", "z.png"]),
        (replace, ["a.png", "b.bmp", "b.png"]),
    ],
)
def test_a_changed_folder_is_read_again(folder, cache, monkeypatch, change, read):
    for name in ("a.png", "b.bmp", "b.png"):
        plain().save(folder / name)
    image_folder(folder, 8)
    change(folder)
    names = read_count(monkeypatch)
    data = image_folder(folder, 8)
    assert names == read
    if change is replace:
        assert near(data.images[1, :, 4, 4], EARTH, 0)
    assert len(list(cache.iterdir())) == 2  # the old images do not stay behind


def test_other_settings_have_their_own_cache(folder, cache, monkeypatch):
    for name in "ab":
        plain().save(folder / f"{name}.png")
    calls = [dict(size=8), dict(size=16), dict(size=8, limit=1)]
    shapes = [image_folder(folder, **call).images.shape for call in calls]
    assert shapes == [(2, 3, 8, 8), (2, 3, 16, 16), (1, 3, 8, 8)]
    names = read_count(monkeypatch)
    assert [image_folder(folder, **call).images.shape for call in calls] == shapes
    assert names == [] and len(list(cache.iterdir())) == 6


def cut_off(npy, about):
    npy.write_bytes(npy.read_bytes()[:-1])


def fill_with_nonsense(npy, about):
    npy.write_bytes(b"\x93NUMPY nonsense")


def pickle_in(npy, about):
    np.save(npy, np.array([{}], dtype=object))


def other_shape(npy, about):
    np.save(npy, np.zeros((2, 3, 8, 9), np.uint8))


def other_type(npy, about):
    np.save(npy, np.zeros((2, 3, 8, 8), np.float32))


def no_listing(npy, about):
    about.unlink()


def broken_listing(npy, about):
    about.write_text("{")


def empty_listing(npy, about):
    about.write_text("[]")


def odd_listing(npy, about):
    about.write_text(json.dumps(json.loads(about.read_text()) | {"skipped": {"x": 1}}))


@pytest.mark.parametrize(
    "damage",
    [cut_off, fill_with_nonsense, pickle_in, other_shape, other_type,
     no_listing, broken_listing, empty_listing, odd_listing],
)  # fmt: skip
def test_a_damaged_cache_is_built_anew(folder, cache, monkeypatch, damage):
    for name in "ab":
        landscape().save(folder / f"{name}.png")
    expected = np.array(image_folder(folder, 8).images)
    about, npy = sorted(cache.iterdir())
    damage(npy, about)
    names = read_count(monkeypatch)
    assert np.array_equal(image_folder(folder, 8).images, expected)
    assert names == ["a.png", "b.png"]
    image_folder(folder, 8)
    assert len(names) == 2 and len(list(cache.iterdir())) == 2


def test_an_interrupted_run_leaves_nothing_behind(folder, cache, monkeypatch):
    for name in "ab":
        plain().save(folder / f"{name}.png")

    def interrupt(path, size):
        if path.name == "b.png":
            raise KeyboardInterrupt
        return np.zeros((3, size, size), np.uint8)

    monkeypatch.setattr(module, "_square", interrupt)
    with pytest.raises(KeyboardInterrupt):
        image_folder(folder, 8)
    assert list(cache.iterdir()) == []


def test_a_run_that_fails_half_way_leaves_no_wrong_pair(folder, cache, monkeypatch):
    """New images beside an old listing: were it to match again, they would be the wrong ones."""
    plain(SKY).save(folder / "a.png")
    image_folder(folder, 8)
    before = (folder / "a.png").stat()
    plain(EARTH).save(folder / "b.png")
    move = os.replace

    def fail(source, target):
        if target.suffix == ".json":
            raise OSError("the disk is gone")
        move(source, target)

    monkeypatch.setattr(os, "replace", fail)
    assert "cannot keep the images: got the disk is gone" in refusal(folder, 8)
    monkeypatch.setattr(os, "replace", move)
    assert [path.suffix for path in cache.iterdir()] == [".npy"]
    (folder / "b.png").unlink()
    assert (folder / "a.png").stat().st_mtime_ns == before.st_mtime_ns
    assert near(image_folder(folder, 8).images[0, :, 4, 4], SKY, 0)


def test_pillows_other_warnings_stay_silent(folder, monkeypatch):
    plain().save(folder / "a.png")
    read = module._square

    def warn(path, size):
        warnings.warn("odd EXIF data", UserWarning, stacklevel=1)
        return read(path, size)

    monkeypatch.setattr(module, "_square", warn)
    assert image_folder(folder, 8).skipped == ()


def test_names_may_hold_anything(tmp_path):
    folder = tmp_path / ("größe 1.5 " + "x" * 200)
    folder.mkdir()
    plain().save(folder / "été 100%.png")
    data = image_folder(folder, 8)
    assert data.files == ("été 100%.png",)
    assert np.array_equal(image_folder(folder, 8).images, data.images)


def test_the_header_keeps_its_length(tmp_path):
    """The number of images is written over when some were skipped: the images must not move."""
    ends = []
    for count in (1, 9, 10, 202_599):
        with open(tmp_path / "a.npy", "wb") as file:
            module._write_header(file, count, 64)
            ends.append(file.tell())
    assert len(set(ends)) == 1
