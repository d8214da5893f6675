"""The drawn digits: reproducible, readable, whole, and made as their factors say."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font

from minigrad.data import glyphs as module
from minigrad.data.glyphs import FACES, FACTORS, RANGES, Glyphs, glyphs
from minigrad.errors import ArgumentError


@pytest.fixture(scope="module")
def sample() -> Glyphs:
    return glyphs(2500, seed=11)


def column(data: Glyphs, name: str) -> np.ndarray:
    return data.factors[:, FACTORS.index(name)]


def moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Centre of the ink (x, y), in pixels from the image's; its covariance xy and variance y."""
    size = images.shape[-1]
    t = np.arange(size) - (size - 1) / 2
    ink = images / images.sum((1, 2), keepdims=True)
    x, y = (ink * t).sum((1, 2)), (ink * t[:, None]).sum((1, 2))
    dx, dy = t - x[:, None, None], t[:, None] - y[:, None, None]
    return x, y, (ink * dx * dy).sum((1, 2)), (ink * dy**2).sum((1, 2))


@pytest.mark.parametrize("size", [8, 28, 64])
def test_types_and_ranges(size):
    data = glyphs(40, size=size, seed=2)
    assert data.images.shape == (40, size, size) and data.images.dtype == np.float32
    assert data.labels.shape == (40,) and data.labels.dtype == np.int64
    assert data.factors.shape == (40, len(FACTORS)) and data.factors.dtype == np.float32
    assert data.images.min() == 0 and 0.9 < data.images.max() <= 1
    assert (data.images.max((1, 2)) > 0.25).all()


def test_seed_decides_everything():
    first, again, other = glyphs(60, seed=3), glyphs(60, seed=3), glyphs(60, seed=4)
    for a, b, c in zip(first, again, other, strict=True):
        assert np.array_equal(a, b)
        assert not np.array_equal(a, c)


def test_more_images_begin_with_the_same_ones():
    few, many = glyphs(90, seed=5), glyphs(203, seed=5)
    for a, b in zip(few, many, strict=True):
        assert np.array_equal(a, b[:90])


def test_another_size_shows_the_same_digits():
    small, large = glyphs(100, size=16, seed=6), glyphs(100, size=64, seed=6)
    assert np.array_equal(small.labels, large.labels)
    assert np.array_equal(small.factors, large.factors)
    averaged = large.images.reshape(100, 16, 4, 16, 4).mean((2, 4))
    assert np.abs(averaged - small.images).mean() < 0.03
    assert abs(averaged.mean() - small.images.mean()) < 0.005


def test_labels_and_factors_are_uniform(sample):
    counts = np.bincount(sample.labels, minlength=10)
    assert len(counts) == 10 and counts.min() > 180  # 250 expected, standard deviation 15
    for name, (low, high) in RANGES.items():
        values = column(sample, name)
        assert low <= values.min() and values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 0.05 * (high - low) + 0.5 * (name == "font")
    assert set(column(sample, "font")) == set(range(len(FACES)))


def test_ink_looks_like_a_pen_on_paper(sample):
    images = sample.images
    assert 0.11 < images.mean() < 0.15 and 0.28 < images.std() < 0.33
    assert (images.max((1, 2)) > 0.8).all()
    rim = np.concatenate([images[:, [0, -1]], images[:, :, [0, -1]].swapaxes(1, 2)], 1)
    assert rim.max() < 0.1
    inside = images[:, 4:-4, 4:-4].sum() / images.sum()
    assert inside > 0.97


def test_faces_have_ten_characters_that_their_fonts_know():
    folder = Path(get_data_path()) / "fonts" / "ttf"
    for file, characters in FACES:
        known = FT2Font(str(folder / file)).get_charmap()
        assert len(characters) == 10 and {ord(c) for c in characters} <= known.keys()
    assert len(set(FACES)) == len(FACES)


def test_every_centre_line_is_one_piece():
    lines = module._fields() < 1.5 * module.CELL
    reached = np.zeros_like(lines)
    first = lines.reshape(len(lines), -1).argmax(1)
    reached.reshape(len(lines), -1)[np.arange(len(lines)), first] = True
    before = 0
    while before != (before := np.count_nonzero(reached)):
        reached[:, 1:] |= reached[:, :-1] & lines[:, 1:]
        reached[:, :-1] |= reached[:, 1:] & lines[:, :-1]
        reached[:, :, 1:] |= reached[:, :, :-1] & lines[:, :, 1:]
        reached[:, :, :-1] |= reached[:, :, 1:] & lines[:, :, :-1]
    assert np.array_equal(reached, lines)


def test_thinning_keeps_the_holes_and_one_pixel_of_width():
    y, x = np.mgrid[-20:21, -20:21]
    radius = np.hypot(x, y)
    ring = module._thin((radius > 8) & (radius < 16))
    assert np.abs(radius[ring] - 12).max() < 2
    assert not ring[20, 20] and all(ring[20, :20].sum() == 1 for ring in (ring, ring.T))
    bar = np.zeros((30, 20), bool)
    bar[3:27, 8:13] = True
    assert module._thin(bar).sum(1).max() == 1 and module._thin(bar).sum() > 16


def test_distance_field_is_the_distance_to_the_line():
    line = np.array([[0.5, -1.0], [-2.0, 3.0]])
    t = (np.arange(module.CELLS) - (module.CELLS - 1) / 2) * module.CELL
    y, x = t[:, None], t
    expected = np.minimum(np.hypot(y - 0.5, x + 1.0), np.hypot(y + 2.0, x - 3.0))
    np.testing.assert_allclose(module._distance_field(line), expected, atol=1e-5)


def test_bilinear_sampling_is_exact_for_planes():
    t = (np.arange(module.CELLS) - (module.CELLS - 1) / 2) * module.CELL
    fields = np.stack([2 + 3 * t - 5 * t[:, None], 1 - t + 4 * t[:, None]])
    x, y = np.random.default_rng(0).uniform(t[0], t[-2], (2, 2, 6, 6))
    found = module._bilinear(fields, np.array([1, 0]), x, y)
    np.testing.assert_allclose(found, [1 - x[0] + 4 * y[0], 2 + 3 * x[1] - 5 * y[1]], atol=1e-9)
    rim = module._bilinear(fields, np.array([0]), *np.full((2, 1, 1, 1), -99.0))
    np.testing.assert_allclose(rim, 2 - 2 * t[0])


def test_digits_can_be_told_apart(sample):
    flat = sample.images.reshape(len(sample.images), -1)
    known, unknown = flat[:2200], flat[2200:]
    squared_distance = (known**2).sum(1) - 2 * unknown @ known.T
    nearest = sample.labels[squared_distance.argmin(1)]
    assert (nearest == sample.labels[2200:]).mean() > 0.9


def lean(images: np.ndarray) -> np.ndarray:
    """Regression of x on height: positive where the top is to the right of the bottom."""
    _, _, covariance, variance_y = moments(images)
    return -covariance / variance_y


def ink(images: np.ndarray) -> np.ndarray:
    return images.sum((1, 2))


def width(images: np.ndarray) -> np.ndarray:
    return (images.max(1) > 0.5).sum(1)


def height(images: np.ndarray) -> np.ndarray:
    return (images.max(2) > 0.5).sum(1)


def grey_share(images: np.ndarray) -> np.ndarray:
    return ((images > 0) & (images < 1)).sum((1, 2)) / ink(images)


# The expected rise from one end of the factor's range to the other; None where only its sign is
# known. Lengths are pixels of images of size 56, two to a unit.
EFFECTS = [
    ("weight", ink, None),
    ("slant", lean, 0.45),
    ("rotation", lambda images: -lean(images), None),
    ("scale_x", width, 2 * 0.3 * 10),
    ("scale_y", height, 2 * 0.18 * module.HEIGHT),
    ("shift_x", lambda images: moments(images)[0], 2 * 1.6),
    ("shift_y", lambda images: moments(images)[1], 2 * 1.6),
    ("blur", grey_share, None),
]


@pytest.mark.parametrize(("name", "measure", "rise"), EFFECTS, ids=[e[0] for e in EFFECTS])
def test_a_factor_changed_alone_has_its_effect(name, measure, rise):
    labels, factors, waves = module._draw_hands(80, seed=7)
    unmoved = (labels == 1) & (name == "scale_x")  # a bare stroke has no width to stretch
    if name == "rotation":  # a digit whose ink is spread wider than high leans more, not less
        inked = module._ink(labels, factors, waves, 56)
        unmoved = moments(inked.transpose(0, 2, 1))[3] > 0.9 * moments(inked)[3]
    measured = []
    for end in RANGES[name]:
        factors[:, FACTORS.index(name)] = end
        measured.append(measure(module._ink(labels, factors, waves, 56))[~unmoved])
    risen = measured[1] - measured[0]
    assert len(risen) > 50 and (risen > 0).all()
    if rise is not None:
        assert abs(risen.mean() / rise - 1) < 0.2


@pytest.mark.parametrize(
    ("name", "measure", "digits", "least"),
    [("weight", ink, range(10), 0.5), ("slant", lean, (1, 8), 0.6)],
)
def test_returned_factors_belong_to_the_images(sample, name, measure, digits, least):
    some = np.isin(sample.labels, digits)
    factor = sample.factors[some, FACTORS.index(name)]
    assert np.corrcoef(factor, measure(sample.images[some]))[0, 1] > least


def test_bent_paper_has_rms_one():
    _, _, waves = module._draw_hands(50, seed=1)
    t = (np.arange(32) + 0.5) / 32
    sines = np.sin(np.pi * np.arange(1, module.WAVES + 1) * t[:, None])
    fields = sines @ waves @ sines.T
    np.testing.assert_allclose((fields**2).mean((2, 3)), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": -3}, "glyphs: n: got -3; expected an integer >= 1"),
        ({"n": 0}, "glyphs: n: got 0; expected an integer >= 1"),
        ({"n": 2.0}, "glyphs: n: got 2.0; expected an integer >= 1"),
        ({"n": True}, "glyphs: n: got True; expected an integer >= 1"),
        ({"n": 2, "size": 7}, "glyphs: size: got 7; expected an integer from 8 to 128"),
        ({"n": 2, "size": 129}, "glyphs: size: got 129; expected an integer from 8 to 128"),
        ({"n": 2, "seed": "a"}, "glyphs: seed: got 'a'; expected an integer >= 0"),
        ({"n": 2, "seed": -1}, "glyphs: seed: got -1; expected an integer >= 0"),
        ({"n": 2, "seed": None}, "glyphs: seed: got None; expected an integer >= 0"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        glyphs(**arguments)


def test_numpy_integers_are_integers():
    assert glyphs(np.int64(2), size=np.int32(8), seed=np.uint8(1)).images.shape == (2, 8, 8)


@pytest.mark.parametrize("library", ["PIL", "matplotlib"])
def test_a_missing_library_says_what_to_install(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    spec = importlib.util.spec_from_file_location("glyphs_without", module.__file__)
    message = (
        'glyphs are drawn with Pillow from matplotlib\'s fonts: pip install "minigrad-numpy[demos]"'
    )
    with pytest.raises(ImportError, match=f"^{re.escape(message)}$"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
