"""The drawn faces: reproducible, smooth in their factors, and changed where a factor says."""

import re

import numpy as np
import pytest

from minigrad.data import faces as module
from minigrad.data.faces import (
    FACTORS,
    RANGES,
    WHOLE,
    Faces,
    draw_factors,
    faces,
    faces_from,
)
from minigrad.data.portrait import STYLE_COLUMNS, STYLES, Portrait
from minigrad.errors import ArgumentError, DTypeError, ShapeError

SMOOTH = [name for name in FACTORS if name not in WHOLE]


@pytest.fixture(scope="module")
def sample() -> Faces:
    return faces(300, seed=11)


def index(name: str) -> int:
    return FACTORS.index(name)


def plain(n: int = 1, **changed: float) -> np.ndarray:
    """n rows of factors of one person with short hair, in the middle of every range."""
    row = {name: (low + high) / 2 for name, (low, high) in RANGES.items()}
    row |= dict(hair_style=2, glasses=0, beard=0, age=0.1, eyes_open=0.8, mouth_open=0.1) | changed
    return np.tile([row[name] for name in FACTORS], (n, 1))


def ends(name: str, **changed: float) -> tuple[np.ndarray, np.ndarray]:
    """The images of size 64 at the two ends of a factor's range."""
    factors = plain(2, **changed)
    factors[:, index(name)] = RANGES[name]
    return tuple(faces_from(factors))


@pytest.mark.parametrize("size", [16, 64, 100])
def test_types_and_ranges(size):
    data = faces(20, size=size, seed=2)
    assert data.images.shape == (20, 3, size, size) and data.images.dtype == np.float32
    assert data.factors.shape == (20, len(FACTORS)) and data.factors.dtype == np.float32
    assert 0 <= data.images.min() < 0.1 and 0.9 < data.images.max() <= 1


def test_seed_decides_everything():
    first, again, other = faces(20, seed=3), faces(20, seed=3), faces(20, seed=4)
    for a, b, c in zip(first, again, other, strict=True):
        assert np.array_equal(a, b)
        assert not np.array_equal(a, c)


def test_more_faces_begin_with_the_same_ones():
    few, many = faces(21, seed=5), faces(50, seed=5)
    for a, b in zip(few, many, strict=True):
        assert np.array_equal(a, b[:21])


def test_a_face_is_made_by_its_own_factors_alone(sample):
    order = np.random.default_rng(0).permutation(40)
    assert np.array_equal(faces_from(sample.factors[order]), sample.images[order])
    assert np.array_equal(faces_from(sample.factors[7:8]), sample.images[7:8])


def test_faces_are_the_two_steps(sample):
    factors = draw_factors(300, seed=11)
    assert np.array_equal(factors, sample.factors)
    assert np.array_equal(faces_from(factors[:30]), sample.images[:30])


def test_another_size_shows_the_same_faces():
    small, large = faces(30, size=32, seed=6), faces(30, size=128, seed=6)
    assert np.array_equal(small.factors, large.factors)
    averaged = large.images.reshape(30, 3, 32, 4, 32, 4).mean((3, 5))
    assert np.abs(averaged - small.images).mean() < 0.01


def test_factors_fill_their_ranges_as_told():
    factors = draw_factors(20_000, seed=1)
    for name, column in zip(FACTORS, factors.T, strict=True):
        low, high = RANGES[name]
        assert column.min() >= low and column.max() <= high
        if name not in (*WHOLE, "beard"):
            counts, _ = np.histogram(column, 10, (low, high))
            assert abs(counts - 2000).max() < 250  # standard deviation 42
    styles = np.bincount(factors[:, index("hair_style")].astype(int))
    assert len(styles) == len(STYLES) and abs(styles - 20_000 / 9).max() < 270
    assert abs((factors[:, index("glasses")] == 1).mean() - 1 / 4) < 0.02
    beard = factors[:, index("beard")]
    assert abs((beard == 0).mean() - 2 / 3) < 0.02
    assert abs(beard[beard > 0].mean() - 1 / 2) < 0.02


def test_factors_are_independent():
    correlation = np.corrcoef(draw_factors(20_000, seed=2).T)
    assert abs(correlation - np.eye(len(FACTORS))).max() < 0.04  # standard deviation 0.007


def test_every_style_is_a_full_row():
    assert {len(row) for row in STYLES.values()} == {len(STYLE_COLUMNS)}
    assert RANGES["hair_style"] == (0, len(STYLES) - 1)


# ----------------------------------------------------------------------------- what a factor does


@pytest.mark.parametrize("name", SMOOTH)
def test_images_change_smoothly(name, sample):
    """No pixel jumps: a step a hundred times smaller changes it about a hundred times less."""
    low, high = RANGES[name]
    factors = sample.factors[:40].astype(np.float64)
    column = factors[:, index(name)]
    column[:] = low + (high - low) * (0.05 + 0.9 * (column - low) / (high - low))
    before = faces_from(factors)
    column += 0.001 * (high - low)
    change = np.abs(faces_from(factors) - before)
    assert 0 < change.max() < 0.05


@pytest.mark.parametrize("name", FACTORS)
def test_every_factor_is_seen(name):
    first, second = ends(name)
    assert np.abs(first - second).max() > 0.1


def test_whole_factors_change_the_picture_too():
    styles = plain(len(STYLES))
    styles[:, index("hair_style")] = range(len(STYLES))
    images = faces_from(styles)
    apart = np.abs(images[:, None] - images).mean((2, 3, 4))
    assert apart[~np.eye(len(STYLES), dtype=bool)].min() > 0.002


def test_pose_shows_the_left_or_the_right():
    """The two poses are each other's mirror image: exactly so for a symmetrical head."""
    left, right = ends("pose", hair_style=0)
    np.testing.assert_allclose(left, right[:, :, ::-1], atol=1e-5)
    (straight,) = faces_from(plain(hair_style=0))
    np.testing.assert_allclose(straight, straight[:, :, ::-1], atol=1e-5)
    darkness = (1 - right).mean(0)[24:36]  # the rows of the eyes
    columns = np.arange(64) - 31.5
    skin = right[0, 40, 32]
    assert skin > 0.4 and (darkness**4 @ columns).sum() / (darkness**4).sum() > 2


def test_nod_lowers_the_eyes_and_tilt_moves_the_top():
    pupils = [image.mean(0)[18:46, 36:42].min(1).argmin() for image in ends("nod", hair_style=0)]
    assert pupils[1] > pupils[0] + 4
    buns = [
        np.abs(image[:, 6] - image[:, 6, :1]).sum(0) > 0.5 for image in ends("tilt", hair_style=8)
    ]
    left, right = (np.flatnonzero(bun).mean() for bun in buns)
    assert right > left + 10


def test_gaze_moves_the_pupils():
    left, right = (image.mean(0)[28:35, 34:46].min(0).argmin() for image in ends("gaze"))
    assert right >= left + 2


def test_colours_follow_their_path_from_end_to_end():
    first, last = (image[:, 2, 32] for image in ends("backdrop"))
    assert first[0] > first[1] > first[2] and last[2] > last[0] > last[1]  # peach; lilac
    path = plain(21)
    path[:, index("backdrop")] = np.linspace(0, 1, 21)
    steps = np.abs(np.diff(faces_from(path)[:, :, 2, 32], axis=0)).max(1)
    assert 0.01 < steps.min() and steps.max() < 0.08


BOXES = {  # rows and columns within which alone a factor acts on a face seen from the front
    "smile": (slice(26, 56), slice(10, 54)),
    "mouth_open": (slice(38, 56), slice(18, 46)),
    "eyes_open": (slice(22, 40), slice(12, 52)),
    "gaze": (slice(22, 40), slice(12, 52)),
    "eye_colour": (slice(22, 40), slice(12, 52)),
    "brows": (slice(18, 34), slice(12, 52)),
    "beard": (slice(26, 60), slice(12, 52)),
    "glasses": (slice(20, 42), slice(8, 56)),
    "hair_colour": (slice(0, 42), slice(8, 56)),
    "shirt": (slice(52, 64), slice(0, 64)),
}


@pytest.mark.parametrize("name", BOXES)
def test_a_factor_acts_where_it_should(name):
    first, second = ends(name)
    changed = np.abs(first - second).max(0)
    inside = np.zeros_like(changed, dtype=bool)
    inside[BOXES[name]] = True
    assert changed[inside].max() > 0.1 and changed[~inside].max() < 1e-5


def test_a_smile_lifts_the_corners_of_the_mouth():
    """Lips are redder than skin: how much lower is the red near a corner than in the middle?"""
    lower = []
    for smile in (-1, 1):
        (image,) = faces_from(plain(smile=smile, mouth_open=0), size=128)
        red = image[0] - image[1] > 0.33
        corner, middle = (
            np.flatnonzero(red[84:104, column])[[0, -1]].mean() for column in (56, 64)
        )
        lower.append(corner - middle)
    assert lower[0] >= 0.5 and lower[1] <= -0.5


def test_light_comes_from_its_side():
    left, right = (image[:, 14:52].mean((0, 1)) for image in ends("light", hair_style=0))
    inner = slice(19, 45)
    slope = np.arange(64)[inner] - 31.5
    assert slope @ left[inner] < 0 < slope @ right[inner]
    np.testing.assert_allclose(left, right[::-1], atol=1e-5)


def test_skin_darkens_and_hair_brightens():
    shades = plain(9, hair_style=0)
    shades[:, index("skin")] = np.linspace(0, 1, 9)
    assert (np.diff(faces_from(shades)[:, :, 44, 32].mean(1)) < 0).all()
    dark, blond = ends("hair_colour")
    assert blond[:, 10, 32].mean() > dark[:, 10, 32].mean() + 0.3


def test_a_wide_face_and_a_square_jaw_cover_more():
    for name, row in (("face_width", 32), ("jaw", 48)):
        narrow, wide = ends(name, hair_style=0)
        widths = [(np.abs(image[:, row] - image[:, row, :1]).sum(0) > 0.3).sum() for image in
                  (narrow, wide)]  # fmt: skip
        assert widths[1] >= widths[0] + 2


def test_edges_are_antialiased():
    """Along the outline of a dark head on a bright backdrop, every share of a pixel is seen."""
    (image,) = faces_from(plain(hair_style=0, skin=1))
    rows = image[0, 12:28]
    contrast = np.abs(rows - rows[:, :1])
    share = contrast / contrast[:, 20:44].min(1, keepdims=True)
    edge = share[(share > 0.1) & (share < 0.9)]
    assert len(edge) > 16 and np.histogram(edge, 4, (0.1, 0.9))[0].min() >= 2


def test_a_biased_set_is_made_by_editing_the_factors():
    factors = draw_factors(200, seed=9)
    dark = np.arange(200) < 10
    factors[:, index("skin")] = 0.5 * factors[:, index("skin")] + 0.5 * dark
    brightness = faces_from(factors, size=16)[:, :, 7:10, 6:10].mean((1, 2, 3))
    assert brightness[~dark].mean() > brightness[dark].mean() + 0.1


# ---------------------------------------------------------------------------------- wrong arguments


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: faces(0), "faces: n: got 0; expected an integer >= 1"),
        (lambda: faces(2.0), "faces: n: got 2.0; expected an integer >= 1"),
        (lambda: faces(True), "faces: n: got True; expected an integer >= 1"),
        (lambda: faces(2, 15), "faces: size: got 15; expected an integer from 16 to 256"),
        (lambda: faces(2, 257), "faces: size: got 257; expected an integer from 16 to 256"),
        (lambda: faces(2, seed=-1), "faces: seed: got -1; expected an integer >= 0"),
        (lambda: faces(2, seed=None), "faces: seed: got None; expected an integer >= 0"),
        (lambda: draw_factors("9"), "draw_factors: n: got '9'; expected an integer >= 1"),
        (lambda: draw_factors(2, 1.5), "draw_factors: seed: got 1.5; expected an integer >= 0"),
        (
            lambda: faces_from(plain(), 64.0),
            "faces_from: size: got 64.0; expected an integer from 16 to 256",
        ),
        (
            lambda: faces_from(np.vstack([plain(), plain(smile=1.5)])),
            "faces_from: factors: smile: got 1.5 in row 1; expected -1.0 to 1.0",
        ),
        (
            lambda: faces_from(plain(skin=np.nan)),
            "faces_from: factors: skin: got nan in row 0; expected 0.0 to 1.0",
        ),
        (
            lambda: faces_from(plain(glasses=0.5)),
            "faces_from: factors: glasses: got 0.5 in row 0; expected a whole number from 0 to 1",
        ),
        (
            lambda: faces_from(plain(hair_style=9)),
            "faces_from: factors: hair_style: got 9.0 in row 0; expected a whole number from 0 to"
            " 8",
        ),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        call()


@pytest.mark.parametrize("shape", [(20,), (0, 20), (2, 19), (2, 20, 1), ()])
def test_wrong_shapes(shape):
    message = (
        f"faces_from: factors: got shape {shape}; expected (n, 20), a column for each of FACTORS"
    )
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        faces_from(np.zeros(shape))


@pytest.mark.parametrize("dtype", [bool, complex, str, object])
def test_wrong_types(dtype):
    with pytest.raises(DTypeError, match="^faces_from: factors: got .*; expected real numbers$"):
        faces_from(plain().astype(dtype))


def test_wrong_factors_are_refused_before_painting(monkeypatch):
    monkeypatch.setattr(module, "Portrait", None)
    with pytest.raises(ArgumentError):
        faces_from(plain(300, pose=2))


def test_lists_and_numpy_integers_are_taken():
    assert faces_from(plain().tolist(), size=np.int32(16)).shape == (1, 3, 16, 16)
    assert faces(np.int64(2), size=np.int16(16), seed=np.uint8(1)).images.shape == (2, 3, 16, 16)


# ------------------------------------------------------------------------------ the painter's tools


@pytest.fixture
def portrait() -> Portrait:
    factors = draw_factors(6, seed=8).T[:, :, None, None]
    return Portrait(dict(zip(FACTORS, factors, strict=True)), 64)


def test_bells_are_their_formula_and_its_slopes(portrait):
    """One bell, and finite differences along u and v on a fine grid."""
    portrait.window(-0.4, 0.4, -0.4, 0.4)
    bells = [(portrait.place(0.1, 0.2), 0.3, 0.2, 0.7), (portrait.place(-0.3, 0), 0.25, 0.3, -0.4)]
    value, along_u, along_v = portrait.bells(bells)
    h = np.float32(0.5 * portrait.pixel)
    for axis, slope in (("u", along_u), ("v", along_v)):
        original = getattr(portrait, axis)
        sides = []
        for sign in (-1, 1):
            setattr(portrait, axis, original + sign * h)
            sides.append(portrait.bells(bells)[0])
        setattr(portrait, axis, original)
        np.testing.assert_allclose((sides[1] - sides[0]) / (2 * h), slope, atol=0.02)
    u, v = portrait.u[portrait.columns], portrait.v[portrait.rows]
    expected = 0
    for (px, py, narrow), width, height, high in bells:
        pu = portrait.cos_roll * px - portrait.sin_roll * (py - 0.75)
        pv = portrait.sin_roll * px + portrait.cos_roll * (py - 0.75) + 0.75
        bell = np.exp(-(((u - pu) / (width * narrow)) ** 2) - ((v - pv) / height) ** 2)
        expected = expected + high * bell
    np.testing.assert_allclose(value, expected, atol=1e-6)


def test_place_turns_the_point_of_the_ellipsoid(portrait):
    hx, hy = 0.3, -0.2
    x, y, width = portrait.place(hx, hy)
    longitude = np.arctan2(hx, np.sqrt(1 - hx**2 - hy**2))
    turned = longitude + np.arctan2(portrait.sin, portrait.cos)
    np.testing.assert_allclose(x, portrait.a * np.sqrt(1 - hy**2) * np.sin(turned), rtol=1e-5)
    for further, nearer in zip(portrait.place(hx, hy, 1.1), (1.1 * x, 1.1 * y, width), strict=True):
        np.testing.assert_allclose(further, nearer, rtol=1e-6)
    nearby = (portrait.place(hx + 1e-2, hy)[0] - portrait.place(hx - 1e-2, hy)[0]) / 2e-2
    np.testing.assert_allclose(nearby, portrait.a * width, rtol=1e-3)


def test_cover_is_the_covered_share_of_a_pixel(portrait):
    portrait.window(-1, 1, -1, 1)
    distance = np.array([-2, -0.5, -0.25, 0, 0.5, 3]) * portrait.pixel
    np.testing.assert_allclose(portrait.cover(distance), [1, 1, 0.75, 0.5, 0, 0], atol=1e-6)


def test_everything_stays_float32(portrait):
    portrait.painted()
    wide = {
        name
        for name, value in vars(portrait).items()
        if isinstance(value, np.ndarray) and value.dtype != np.float32
    }
    assert wide == set()
