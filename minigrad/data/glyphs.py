"""Digits that look written, drawn from the fonts that matplotlib ships: nothing to download.

Print becomes handwriting in four steps, one function each:

1. `_thin` wears a printed digit down to the line that the middle of a pen would follow;
2. `_distance_field` keeps how far each point of the paper lies from that line;
3. `_draw_hands` rolls the dice for each writer: slant, size, weight of the pen, and so on;
4. `_ink` bends the paper below each pixel, and inks what lies within the pen's radius.

Because the pen is a radius and not a picture, no stroke breaks, and every factor acts smoothly.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigrad.errors import ArgumentError

try:
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFilter, ImageFont
except ImportError as missing:
    raise ImportError(
        'glyphs are drawn with Pillow from matplotlib\'s fonts: pip install "minigrad-numpy[demos]"'
    ) from missing

# A face: a font file, and its ten characters for 0 to 9. Letters lend the shapes that hands write
# and type does not: a bare stroke for 1, an open 4, a round 0, a 9 with a tail. The last three
# are the sans, bold sans and typewriter digits for mathematics, which lie above U+FFFF.
# Faces that merely lean are left out: the factor "slant" makes them.
FACES = (
    ("DejaVuSans.ttf", "0123456789"),
    ("DejaVuSans.ttf", "ol23Ч5б78g"),
    ("DejaVuSans.ttf", "Ol2ЗЧ5678q"),
    ("DejaVuSans-Bold.ttf", "O|2ЗЧ56789"),
    ("DejaVuSansMono.ttf", "O|23Ч56789"),
    ("DejaVuSansMono-Bold.ttf", "o|23456789"),
    ("DejaVuSerif.ttf", "0|23456789"),
    ("DejaVuSerif-Bold.ttf", "012З456789"),
    ("DejaVuSerif-Italic.ttf", "0123456789"),
    ("STIXGeneral.ttf", "0|23456789"),
    ("STIXGeneralBol.ttf", "0123456789"),
    ("STIXGeneralItalic.ttf", "0|23456789"),
    ("STIXGeneralBolIta.ttf", "0123456789"),
    ("cmr10.ttf", "0123456789"),
    ("cmb10.ttf", "0123456789"),
    ("cmss10.ttf", "0l23456789"),
    ("cmtt10.ttf", "0123456789"),
    ("STIXGeneral.ttf", "𝟢|𝟤𝟥𝟦𝟧𝟨𝟩𝟪𝟫"),
    ("STIXGeneralBol.ttf", "𝟬|𝟮𝟯𝟰𝟱𝟲𝟳𝟴𝟵"),
    ("STIXGeneral.ttf", "𝟶𝟷𝟸𝟹𝟺𝟻𝟼𝟽𝟾𝟿"),
)

# Lengths are in units of 1/28 of the image's side: a factor means the same at every size, and at
# size 28 a unit is a pixel. Every factor is uniform between its two ends.
SIDE = 28.0
RANGES = {
    "font": (0, len(FACES)),
    "weight": (0.9, 1.7),
    "slant": (-0.1, 0.35),
    "rotation": (-7.0, 7.0),
    "scale_x": (0.85, 1.15),
    "scale_y": (0.9, 1.08),
    "shift_x": (-0.8, 0.8),
    "shift_y": (-0.8, 0.8),
    "blur": (0.0, 0.6),
    "warp": (0.2, 0.85),
}
FACTORS = tuple(RANGES)  # the columns of Glyphs.factors

HEIGHT = 17.0  # of a centre line where scale_y = 1; the pen adds its diameter
WIDEST = 0.72 * HEIGHT  # wider letters are squeezed
TREMBLE = 0.12  # the pen's radius varies along a stroke by this share of itself (rms)
WAVES = 4  # half waves along a side of the bent paper
TRACE = 96  # pixels of height at which a printed digit is traced
CELL, CELLS = 0.32, 90  # side of a distance field's cell, in units; cells along its side


class Glyphs(NamedTuple):
    """Images of digits, what they show, and how they were made."""

    images: np.ndarray  # float32 (n, size, size), 0 = paper, 1 = full ink
    labels: np.ndarray  # int64 (n,), 0 to 9
    factors: np.ndarray  # float32 (n, 10), the columns named by FACTORS


def glyphs(n: int, size: int = 28, seed: int = 0) -> Glyphs:
    """n grey images of digits, each as if by another hand: white ink on black.

    With A = rotation · slant · scale, a pixel p shows the point q = A⁻¹(p − shift − warp·u(p)) of
    the paper, and D(q) is how far q lies from the digit's centre line. The ink there is

        clip((weight·(1 + 0.12·w(p)) − D(q)·√(scale_x·scale_y)) / edge + ½, 0, 1),

    edge = one pixel + blur: without blur, the share of the pixel that a straight stroke covers.
    The bend of the paper u(p) ∈ ℝ² and the tremble of the pen w(p) ∈ ℝ are smooth random fields,
    each of rms 1.

    Labels are uniform over 0…9; so is each factor over its range, RANGES[name]. A unit is 1/28
    of the image's side. `factors` holds, by column:

    ====================  =======================================================================
    font                  index into FACES
    weight                the pen's radius, units
    slant                 tangent of the lean: positive to the right
    rotation              degrees, positive anticlockwise
    scale_x, scale_y      width and height, 1 = a centre line 17 units high
    shift_x, shift_y      units to the right, units down
    blur                  width of the stroke's soft edge beyond antialiasing, units
    warp                  how far the paper is bent: rms displacement along each axis, units
    ====================  =======================================================================

    n ≥ 1 images; size from 8 to 128 pixels; seed ≥ 0. The same seed gives the same images, and
    more of them begin with the same ones; another size shows the same digits. Anything else
    raises ArgumentError.

    >>> data = glyphs(5, size=16, seed=1)
    >>> data.images.shape, data.factors.shape
    ((5, 16, 16), (5, 10))
    >>> bool((data.images == glyphs(9, size=16, seed=1).images[:5]).all())
    True
    """
    _check_integer("n", n, 1)
    _check_integer("size", size, 8, 128)
    _check_integer("seed", seed, 0)
    labels, factors, waves = _draw_hands(n, seed)
    images = np.empty((n, size, size), np.float32)
    batch = max(1, 2**16 // size**2)  # so few that they stay in the processor's cache
    for start in range(0, n, batch):
        part = slice(start, start + batch)
        images[part] = _ink(labels[part], factors[part], waves[part], size)
    return Glyphs(images, labels, factors)


def _check_integer(name: str, value: object, low: int, high: int | None = None) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        rule = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"
        raise ArgumentError(f"glyphs: {name}: got {value!r}; expected {rule}")


def _draw_hands(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (n,), factors (n, 10), and the waves (n, 3, WAVES, WAVES) of the fields u and w."""
    # One row of dice for each image: the first rows are the same for every n.
    dice = np.random.default_rng(seed).random((n, 1 + len(FACTORS) + 3 * WAVES**2))
    digit, factor, wave = np.split(dice, [1, 1 + len(FACTORS)], axis=1)
    labels = np.floor(10 * digit[:, 0]).astype(np.int64)
    low, high = np.array([*RANGES.values()]).T
    factors = low + (high - low) * factor
    factors[:, 0] = np.floor(factors[:, 0])
    k = np.arange(1, WAVES + 1)
    waves = (2 * wave - 1).reshape(n, 3, WAVES, WAVES) / (k[:, None] ** 2 + k**2)  # long ones lead
    # The mean square of Σ cₖₗ sin(πky) sin(πlx) over the unit square is Σ c²ₖₗ/4: make it 1.
    waves *= 2 / np.sqrt((waves**2).sum((2, 3), keepdims=True))
    return labels, factors.astype(np.float32), waves.astype(np.float32)


def _ink(labels: np.ndarray, factors: np.ndarray, waves: np.ndarray, size: int) -> np.ndarray:
    """The images (b, size, size) of a batch: the formula of `glyphs`."""
    factor = dict(zip(FACTORS, factors.T[:, :, None, None], strict=True))
    scale_x, scale_y = factor["scale_x"], factor["scale_y"]
    t = (np.arange(size, dtype=np.float32) + 0.5) / size  # the pixels' centres
    # Sines are 0 at the image's border: no bend carries ink out of it.
    sines = np.sin(np.pi * np.arange(1, WAVES + 1, dtype=np.float32) * t[:, None])
    u_x, u_y, w = np.moveaxis(sines @ waves @ sines.T, 1, 0)
    x = SIDE * (t - 0.5) - factor["shift_x"] - factor["warp"] * u_x  # to the right
    y = SIDE * (t[:, None] - 0.5) - factor["shift_y"] - factor["warp"] * u_y  # down
    angle = np.deg2rad(factor["rotation"])
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = cos * x - sin * y, sin * x + cos * y
    x += factor["slant"] * y
    which = 10 * factors[:, 0].astype(np.int64) + labels
    distance = _bilinear(_fields(), which, x / scale_x, y / scale_y) * np.sqrt(scale_x * scale_y)
    radius = factor["weight"] * (1 + TREMBLE * w)
    edge = SIDE / size + factor["blur"]
    return np.clip((radius - distance) / edge + 0.5, 0, 1)


def _bilinear(fields: np.ndarray, which: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """fields[which] at the points (x, y) in units, each (b, size, size)."""
    # Beyond the field is paper as at its rim: too far from any line to be inked.
    column, row = (np.clip(c / CELL + (CELLS - 1) / 2, 0, CELLS - 1.001) for c in (x, y))
    left, top = column.astype(np.int64), row.astype(np.int64)
    right_share, lower_share = column - left, row - top
    at = (which[:, None, None] * CELLS + top) * CELLS + left
    values = fields.ravel()
    upper = values[at] + right_share * (values[at + 1] - values[at])
    at += CELLS
    lower = values[at] + right_share * (values[at + 1] - values[at])
    return upper + lower_share * (lower - upper)


@cache
def _fields() -> np.ndarray:
    """The distance fields of all faces' digits, (10·faces, CELLS, CELLS), made at first use."""
    folder = Path(get_data_path()) / "fonts" / "ttf"
    return np.stack(
        [
            _distance_field(_centre_line(str(folder / file), character))
            for file, characters in FACES
            for character in characters
        ]
    )


def _distance_field(line: np.ndarray) -> np.ndarray:
    """D(q) = minₚ ‖q − p‖ over the points p of a centre line, at the cells' centres q."""
    q = (np.arange(CELLS) - (CELLS - 1) / 2) * CELL
    dy2, dx2 = ((q[:, None] - p) ** 2 for p in line.T)
    return np.sqrt([(dx2 + row).min(1) for row in dy2]).astype(np.float32)


def _centre_line(file: str, character: str) -> np.ndarray:
    """The points (y, x) along a character's centre line, in units from the centre of its box."""
    _, top, _, bottom = ImageFont.truetype(file, TRACE).getbbox(character)
    font = ImageFont.truetype(file, round(TRACE * TRACE / (bottom - top)))
    left, top, right, bottom = font.getbbox(character)
    margin = 8  # pixels of paper around the print
    paper = Image.new("L", (right - left + 2 * margin, bottom - top + 2 * margin))
    ImageDraw.Draw(paper).text((margin - left, margin - top), character, font=font, fill=255)
    # Blurred, corners are round: a sharp one would leave a whisker on the line. Less than half of
    # the full ink, 255, still counts as ink, so that hairlines survive.
    mask = np.asarray(paper.filter(ImageFilter.GaussianBlur(2))) > 110
    pixels = np.argwhere(_thin(mask)).astype(np.float32)
    near = ((pixels[:, None] - pixels) ** 2).sum(2) < 4.5**2
    line = near @ pixels / near.sum(1, keepdims=True)  # each the mean of those near: no stairs
    low, high = line.min(0), line.max(0)
    height, width = high - low
    unit = HEIGHT / height
    return (line - (low + high) / 2) * (unit, min(unit, WIDEST / max(width, 1)))


def _thin(mask: np.ndarray) -> np.ndarray:
    """A shape (bool) worn down to lines one pixel wide, connected as it was.

    Zhang and Suen (1984): in turn from the south-east and from the north-west, take away every
    pixel of the rim that neither ends a line nor holds two parts together, until none goes.
    """
    ink = np.pad(mask, 1).astype(np.uint8)
    width = ink.shape[1]
    around = -width, 1 - width, 1, 1 + width, width, width - 1, -1, -1 - width  # N NE E … NW
    bits = np.arange(256)[:, None] >> np.arange(8) & 1  # every way the neighbours can be inked
    rims = _removable(bits), _removable(np.roll(bits, 4, 1))  # the second: turned by half a turn
    pixels = ink.ravel()
    left = np.flatnonzero(pixels)  # where there is ink: only there is something to take away
    count = -1
    while count != (count := len(left)):
        for removable in rims:
            code = sum(pixels[left + step] << bit for bit, step in enumerate(around))
            goes = removable[code]
            pixels[left[goes]] = 0
            left = left[~goes]
    return ink[1:-1, 1:-1] > 0


def _removable(neighbours: np.ndarray) -> np.ndarray:
    """For rows of 8 neighbours, clockwise from the north: may the pixel in their midst go?"""
    north, east, south, west = neighbours.T[::2]
    count = neighbours.sum(1)
    runs = (neighbours < np.roll(neighbours, -1, 1)).sum(1)  # 0 → 1 steps on the way round
    on_rim = (north & east & south == 0) & (east & south & west == 0)
    return (count >= 2) & (count <= 6) & (runs == 1) & on_rim
