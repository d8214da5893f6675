"""Faces drawn from known factors: nothing to download, and every cause of a pixel is known.

`draw_factors` rolls the dice, `faces_from` paints what they say, and `faces` does both. How a face
is painted is told in `minigrad.data.portrait`.
"""

from typing import Any, NamedTuple

import numpy as np

from minigrad.data.portrait import STYLES, Portrait
from minigrad.errors import ArgumentError, DTypeError, ShapeError

# Each factor's lowest and highest value. hair_style and glasses are whole numbers.
RANGES = {
    "pose": (-1.0, 1.0),
    "nod": (-1.0, 1.0),
    "tilt": (-1.0, 1.0),
    "smile": (-1.0, 1.0),
    "mouth_open": (0.0, 1.0),
    "eyes_open": (0.0, 1.0),
    "gaze": (-1.0, 1.0),
    "brows": (-1.0, 1.0),
    "face_width": (-1.0, 1.0),
    "jaw": (-1.0, 1.0),
    "skin": (0.0, 1.0),
    "age": (0.0, 1.0),
    "hair_style": (0, len(STYLES) - 1),
    "hair_colour": (0.0, 1.0),
    "beard": (0.0, 1.0),
    "glasses": (0, 1),
    "eye_colour": (0.0, 1.0),
    "light": (-1.0, 1.0),
    "backdrop": (0.0, 1.0),
    "shirt": (0.0, 1.0),
}
FACTORS = tuple(RANGES)  # the columns of Faces.factors
WHOLE = "hair_style", "glasses"

BATCH_PIXELS = 2**16  # so few that a layer stays in the processor's cache


class Faces(NamedTuple):
    """Portraits, and what they were drawn from."""

    images: np.ndarray  # float32 (n, 3, size, size), red, green, blue from 0 to 1
    factors: np.ndarray  # float32 (n, 20), the columns named by FACTORS


def faces(n: int, size: int = 64, seed: int = 0) -> Faces:
    """n portraits of people who do not exist, with the factors they were drawn from.

    The factors are those of `draw_factors(n, seed)`, independent of each other, and the images
    those of `faces_from(factors, size)`. The same seed gives the same faces, and more of them
    begin with the same ones; another size shows the same faces. By column of `factors`:

    ===========  =========  =====================================================================
    pose         −1 … 1     the head turns to the picture's left … right, by 31° at most
    nod          −1 … 1     the head looks up … down
    tilt         −1 … 1     the head leans to the left … right, by 6° at most
    smile        −1 … 1     frown … laugh
    mouth_open   0 … 1      lips closed … apart
    eyes_open    0 … 1      closed … wide open
    gaze         −1 … 1     the eyes look to the left … right
    brows        −1 … 1     lowered … raised
    face_width   −1 … 1     narrow … wide
    jaw          −1 … 1     pointed … square
    skin         0 … 1      light … dark
    age          0 … 1      wrinkles come, hair greys
    hair_style   0, …, 8    index into `tuple(STYLES)`: bald, cropped, short, …, bun
    hair_colour  0 … 1      black, brown, red, blond
    beard        0 … 1      none, stubble, full; 0 for two thirds of the faces drawn
    glasses      0 or 1     without or with; 1 for a quarter of the faces drawn
    eye_colour   0 … 1      brown, green, blue
    light        −1 … 1     it falls from the picture's left … right
    backdrop     0 … 1      peach, yellow, green, blue, lilac
    shirt        0 … 1      red, orange, green, blue, violet, white
    ===========  =========  =====================================================================

    n ≥ 1 faces, size from 16 to 256 pixels, seed ≥ 0; anything else raises ArgumentError. A face
    of size 64 takes 49 kB and about a millisecond.

    Course: V12, V14, V15, V17.

    >>> data = faces(5, size=32, seed=1)
    >>> data.images.shape, data.factors.shape
    ((5, 3, 32, 32), (5, 20))
    >>> bool((data.images == faces(9, size=32, seed=1).images[:5]).all())
    True
    """
    _check_integer("faces", "size", size, 16, 256)
    factors = _drawn("faces", n, seed)
    return Faces(_painted(factors, int(size)), factors)


def draw_factors(n: int, seed: int = 0) -> np.ndarray:
    """The factors of n faces, float32 (n, 20), independent of each other.

    Each is uniform over RANGES[name]; but `beard` is 0 with probability ⅔ and else uniform, and
    `glasses` is 1 with probability ¼. For a biased set, change them before `faces_from` paints:

    >>> factors = draw_factors(1000, seed=1)  # 5 % of dark skin, 95 % of light
    >>> skin = FACTORS.index("skin")
    >>> dark = np.arange(1000) < 50
    >>> factors[:, skin] = 0.5 * factors[:, skin] + 0.5 * dark
    >>> float((factors[:, skin] > 0.5).mean())
    0.05

    n ≥ 1 and seed ≥ 0; anything else raises ArgumentError.
    """
    return _drawn("draw_factors", n, seed)


def _drawn(operation: str, n: int, seed: int) -> np.ndarray:
    _check_integer(operation, "n", n, 1)
    _check_integer(operation, "seed", seed, 0)
    # One row of dice for each face: the first rows are the same for every n.
    dice = np.random.default_rng(seed).random((n, len(FACTORS)))
    low, high = np.array([*RANGES.values()]).T
    factors = low + (high - low) * dice
    style, glasses, beard = (FACTORS.index(name) for name in ("hair_style", "glasses", "beard"))
    factors[:, style] = np.floor(len(STYLES) * dice[:, style])
    factors[:, glasses] = dice[:, glasses] > 0.75
    factors[:, beard] = np.maximum(3 * dice[:, beard] - 2, 0)
    return factors.astype(np.float32)


def faces_from(factors: Any, size: int = 64) -> np.ndarray:
    """The images, float32 (n, 3, size, size) in [0, 1], of given factors (n, 20).

    An image depends on its row of factors alone, and changes smoothly with each of them, except
    for `hair_style` and `glasses`, which must be whole numbers. The columns are named by FACTORS.

    Raises:
        ShapeError: the factors are not (n, 20) with n ≥ 1.
        DTypeError: they are not numbers.
        ArgumentError: one lies outside its range (`RANGES`), or the size outside 16 … 256.

    >>> turned = np.repeat(draw_factors(1, seed=4), 5, axis=0)
    >>> turned[:, FACTORS.index("pose")] = np.linspace(-1, 1, 5)  # one head, five poses
    >>> faces_from(turned).shape
    (5, 3, 64, 64)
    """
    _check_integer("faces_from", "size", size, 16, 256)
    given = np.asarray(factors)
    if given.dtype.kind not in "fiu":
        raise DTypeError(f"faces_from: factors: got {given.dtype}; expected real numbers")
    if given.ndim != 2 or given.shape[1] != len(FACTORS) or not len(given):
        rule = f"(n, {len(FACTORS)}), a column for each of FACTORS"
        raise ShapeError(f"faces_from: factors: got shape {given.shape}; expected {rule}")
    for name, column in zip(FACTORS, given.T, strict=True):
        low, high = RANGES[name]
        wrong = ~((low <= column) & (column <= high))  # NaN is wrong
        rule = f"{low} to {high}"
        if name in WHOLE:
            wrong |= column != np.round(column)
            rule = f"a whole number from {rule}"
        if wrong.any():
            row = int(wrong.argmax())
            got = f"got {column[row]} in row {row}"
            raise ArgumentError(f"faces_from: factors: {name}: {got}; expected {rule}")
    return _painted(given.astype(np.float32), int(size))


def _painted(factors: np.ndarray, size: int) -> np.ndarray:
    images = np.empty((len(factors), 3, size, size), np.float32)
    batch = max(1, BATCH_PIXELS // size**2)
    for start in range(0, len(factors), batch):
        part = slice(start, start + batch)
        columns = dict(zip(FACTORS, factors[part].T[:, :, None, None], strict=True))
        images[part] = Portrait(columns, size).painted()
    return images


def _check_integer(operation: str, name: str, value: object, low: int, high: int = 0) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < low or (high and value > high):
        rule = f"an integer from {low} to {high}" if high else f"an integer >= {low}"
        raise ArgumentError(f"{operation}: {name}: got {value!r}; expected {rule}")
