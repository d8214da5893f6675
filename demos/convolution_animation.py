"""Animations of a convolution at work: what it reads lies below in blue, what it makes above."""

from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from demos.convolution_cases import Arrays, Case
from minigrad.ops.conv import im2col, stretched

DATA, INSERTED, FRAME = 0, 1, 2

# ---------------------------------------------------------------- what is to be seen


class Scene(NamedTuple):
    """A window that goes over a map and makes a pixel at each place."""

    title: str
    subtitle: str
    below: np.ndarray  # (h, w): what the window reads, the frame included
    kinds: np.ndarray  # (h, w): DATA, INSERTED zeros between them, or the FRAME around
    above: np.ndarray  # (oh, ow): what it makes
    kernel: np.ndarray  # (kh, kw), as it lies on the map
    stride: int
    dilation: int

    def places(self, row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows (kh, 1) and columns (1, kw) of the map that a pixel above is made from."""
        (kh, kw), s, d = self.kernel.shape, self.stride, self.dilation
        return s * row + d * np.arange(kh)[:, None], s * column + d * np.arange(kw)[None]

    def sum(self, row: int, column: int) -> str:
        """The products that make a pixel, those with zeros left out."""
        at = self.places(row, column)
        meets = self.kinds[at] == DATA
        terms = [
            f"{x:.0f}·{w:.0f}"
            for x, w in zip(self.below[at][meets], self.kernel[meets], strict=True)
        ]
        if len(terms) > 6:
            terms = [*terms[:2], "…", terms[-1]]
        return f"{' + '.join(terms) or '0'} = {self.above[row, column]:.0f}"

    def count(self, row: int, column: int) -> str:
        """How many of the products are with pixels."""
        meets = self.kinds[self.places(row, column)] == DATA
        return f"{meets.sum()} of {meets.size} not zero"


def direct_scene(case: Case, arrays: Arrays) -> Scene:
    """The convolution: its input in a frame of p zeros."""
    g, (p, q) = case.geometry, case.geometry.padding
    frame = (p, p), (q, q)
    o = g.output_size[0]
    return Scene(
        f"{case.name}: convolution, k = {case.k}" + _steps(case),
        f"i = {case.i}, p = {case.p}  →  o = {o}",
        np.pad(arrays.x[0, 0], frame), np.pad(np.full(g.input_size, DATA), frame,
        constant_values=FRAME), arrays.y[0, 0], arrays.w[0, 0], case.s, case.d,
    )  # fmt: skip


def transposed_scene(case: Case, arrays: Arrays) -> Scene:
    """The transposed convolution as `stretched` computes it: from these arrays, at stride 1."""
    g = case.geometry
    below = stretched.stretch(arrays.code, g)[0, 0]
    data = stretched.stretch(np.ones_like(arrays.code), g)[0, 0] > 0
    rows, columns = np.flatnonzero(data.any(1)), np.flatnonzero(data.any(0))
    kinds = np.full(data.shape, FRAME)
    kinds[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = INSERTED
    kinds[data] = DATA
    a = g.output_padding[0]
    stretch = f" stretched to {case.stretched_size}" if case.s > 1 else ""
    extra = f" + {a} at the end" if a else ""
    return Scene(
        f"{case.name}: transposed convolution, k = {case.k}" + _steps(case),
        f"i' = {g.output_size[0]}{stretch}, p' = {case.stretched_padding}{extra}  →  o' = {case.i}",
        below, kinds, arrays.decoded[0, 0], im2col.turn(arrays.w, g)[0, 0], 1, case.d,
    )  # fmt: skip


def _steps(case: Case) -> str:
    return (f", s = {case.s}" if case.s > 1 else "") + (f", d = {case.d}" if case.d > 1 else "")


# ---------------------------------------------------------------- how it is drawn

FINE = 2  # drawn so many times larger, then reduced
FLAT = 72  # pixels a cell of a plane that is not tilted yet
COLOURS = 32  # of a GIF
ALONG, ACROSS = (0.97, 0.10), (-0.36, 0.52)  # a step to the next column, row; in cells, downwards
BLUE, CYAN, INK, SHADE = (96, 165, 224), (92, 196, 186), (38, 50, 66), (18, 62, 118)
SHADOW = 120  # of 255: how dark the window is
PAPER, GREY, LIGHT = (255, 255, 255), (150, 160, 172), (238, 242, 246)
FACE = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FACE), size)


def _dashed(draw: ImageDraw.ImageDraw, start: tuple[int, int], end: tuple[int, int]) -> None:
    """A line of dashes that begins and ends with half a dash."""
    points = np.linspace(start, end, 13)
    for a, b in ((0, 1), (3, 5), (7, 9), (11, 12)):
        draw.line([tuple(points[a]), tuple(points[b])], GREY, 3)


def _flat(values: np.ndarray, fills: np.ndarray, dashed: np.ndarray) -> Image.Image:
    """A plane of cells seen from above: numbers on colours, some with dashed outlines."""
    (rows, columns), fonts = values.shape, (_font(FLAT // 2 - 4), _font(FLAT // 3 + 2))
    plane = Image.new("RGBA", (columns * FLAT + 4, rows * FLAT + 4), (*PAPER, 0))
    draw = ImageDraw.Draw(plane)
    for (r, c), value in np.ndenumerate(values):
        x, y = c * FLAT + 2, r * FLAT + 2
        box = x, y, x + FLAT, y + FLAT
        draw.rectangle(box, tuple(fills[r, c]))
        if dashed[r, c]:
            corners = (box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3])
            for i in range(4):
                _dashed(draw, corners[i - 1], corners[i])
        if value is not None:
            middle, text = (x + FLAT * 0.46, y + FLAT * 0.47), f"{value:.0f}"
            font = fonts[len(text) > 2]
            draw.text(middle, text, GREY if text == "0" else INK, font, anchor="mm")
    for (r, c), dash in np.ndenumerate(dashed):
        if not dash:
            x, y = c * FLAT + 2, r * FLAT + 2
            draw.rectangle((x, y, x + FLAT, y + FLAT), outline=INK, width=2)
    return plane


class Stage:
    """Where the planes of a scene are on the canvas, and how to draw on them."""

    def __init__(self, scene: Scene) -> None:
        """The map below and the plane above, middle over middle, with room for the captions."""
        self.scene = scene
        (h, w), (oh, ow) = scene.below.shape, scene.above.shape
        self.cell = FINE * min(54, 376 / (ALONG[0] - ACROSS[0]) / max(h, oh))
        a, b = np.multiply(ALONG, self.cell), np.multiply(ACROSS, self.cell)
        self.axes = np.stack([a, b])  # (column, row) @ axes = (x, y)
        below, above = self._box(h, w), self._box(oh, ow)
        width = FINE * 400
        top = FINE * 62
        gap = FINE * 26
        self.size = width, int(top + above[1] + gap + below[1] + FINE * 44)
        self.size = tuple(n - n % FINE for n in self.size)
        middle = width / 2
        self.above = np.array([middle - above[0] / 2 - oh * b[0], top])
        self.below = np.array([middle - below[0] / 2 - h * b[0], top + above[1] + gap])

    def _box(self, rows: int, columns: int) -> np.ndarray:
        """The width and the height of a tilted plane."""
        return abs(self.axes[0]) * columns + abs(self.axes[1]) * rows

    def point(self, origin: np.ndarray, row: float, column: float) -> tuple[float, float]:
        """A corner of a cell on the canvas."""
        return tuple(origin + (column, row) @ self.axes)

    def polygon(self, origin: np.ndarray, row: float, column: float, h: float, w: float) -> list:
        """The corners of h × w cells."""
        corners = (0, 0), (0, w), (h, w), (h, 0)
        return [self.point(origin, row + r, column + c) for r, c in corners]

    def lay(self, canvas: Image.Image, plane: Image.Image, origin: np.ndarray) -> None:
        """Tilt a flat plane and put it on the canvas."""
        inverse = np.linalg.inv(self.axes.T / FLAT)  # canvas to plane
        shift = 2 - inverse @ origin
        rows = np.column_stack([inverse, shift])
        tilted = plane.transform(
            canvas.size, Image.Transform.AFFINE, tuple(rows.ravel()), Image.Resampling.BICUBIC
        )
        canvas.alpha_composite(tilted)

    def backdrop(self) -> Image.Image:
        """What stays: the captions, the map below, and an empty plane above."""
        scene, empty = self.scene, np.full(self.scene.above.shape, None)
        colours = np.array([BLUE, PAPER, PAPER])
        canvas = Image.new("RGBA", self.size, (*PAPER, 255))
        draw = ImageDraw.Draw(canvas)
        draw.text((FINE * 14, FINE * 10), scene.title, INK, _font(FINE * 15))
        draw.text((FINE * 14, FINE * 32), scene.subtitle, INK, _font(FINE * 13))
        numbers = np.where(scene.kinds == FRAME, None, scene.below)
        self.lay(canvas, _flat(numbers, colours[scene.kinds], scene.kinds == FRAME), self.below)
        paper = np.broadcast_to(LIGHT, (*empty.shape, 3))
        self.lay(canvas, _flat(empty, paper, np.full(empty.shape, True)), self.above)
        return canvas

    def finished(self) -> Image.Image:
        """The canvas with all that is made above: its cells are uncovered one by one."""
        canvas = Image.new("RGBA", self.size, (*PAPER, 255))
        values = self.scene.above
        fills = np.broadcast_to(CYAN, (*values.shape, 3))
        self.lay(canvas, _flat(values, fills, np.full(values.shape, False)), self.above)
        return canvas

    def window(self) -> tuple[Image.Image, tuple[int, int]]:
        """The kernel, shaded and tilted, as it lies on the first place; and its corner there."""
        scene, d = self.scene, self.scene.dilation
        (kh, kw), font = scene.kernel.shape, _font(FLAT // 3 - 2)
        plane = Image.new("RGBA", (FLAT * (d * (kw - 1) + 1) + 4, FLAT * (d * (kh - 1) + 1) + 4))
        draw = ImageDraw.Draw(plane)
        for (i, j), weight in np.ndenumerate(scene.kernel):
            x, y = d * j * FLAT + 2, d * i * FLAT + 2
            draw.rectangle((x, y, x + FLAT, y + FLAT), (*SHADE, SHADOW), INK, 3)
            draw.text((x + FLAT - 5, y + FLAT - 5), f"{weight:.0f}", PAPER, font, anchor="rs")
        canvas = Image.new("RGBA", self.size)
        self.lay(canvas, plane, self.below)
        box = canvas.getbbox()
        return canvas.crop(box), box[:2]

    def beams(self, canvas: Image.Image, row: int, column: int) -> None:
        """Thin lines from the corners of the window to those of the pixel that it makes."""
        scene, draw = self.scene, ImageDraw.Draw(canvas, "RGBA")  # which blends
        rows, columns = scene.places(row, column)
        h, w = np.ptp(rows) + 1, np.ptp(columns) + 1
        window = self.polygon(self.below, rows.min(), columns.min(), h, w)
        pixel = self.polygon(self.above, row, column, 1, 1)
        for start, end in zip(window, pixel, strict=True):
            draw.line([start, end], (*SHADE, 110), FINE)
        draw.line([*pixel, pixel[0]], (*SHADE, 255), 2 * FINE)


def frames(scene: Scene) -> list[Image.Image]:
    """One picture for each pixel that is made."""
    stage, pictures = Stage(scene), []
    canvas, finished = stage.backdrop(), stage.finished()
    window, corner = stage.window()
    origin = np.array(stage.point(stage.below, 0, 0))
    for row, column in np.ndindex(scene.above.shape):
        mask = Image.new("1", stage.size)
        ImageDraw.Draw(mask).polygon(stage.polygon(stage.above, row, column, 1, 1), 1, 1)
        canvas.paste(finished, mask=mask)
        frame = canvas.copy()
        rows, columns = scene.places(row, column)
        shift = np.array(stage.point(stage.below, rows.min(), columns.min())) - origin
        frame.alpha_composite(window, tuple(np.add(corner, shift.round().astype(int)).tolist()))
        frame = frame.convert("RGB")
        stage.beams(frame, row, column)
        draw, bottom = ImageDraw.Draw(frame), stage.size[1] - FINE * 16
        draw.text((FINE * 14, bottom), scene.sum(row, column), INK, _font(FINE * 14), "ls")
        right = stage.size[0] - FINE * 14
        draw.text((right, bottom), scene.count(row, column), GREY, _font(FINE * 11), "rs")
        pictures.append(frame.reduce(FINE))
    return pictures


def _palette(pictures: list[Image.Image]) -> Image.Image:
    """An image with few colours: those named above as they are, and what the pictures need."""
    named = np.array([PAPER, BLUE, CYAN, LIGHT, INK])
    shaded = named[:2] + (SHADE - named[:2]) * SHADOW // 255
    named = np.concatenate([named, shaded])
    sheet = np.concatenate([np.asarray(picture) for picture in pictures])
    palette = Image.fromarray(sheet).quantize(COLOURS - len(named))
    found = np.array(palette.getpalette()).reshape(-1, 3)
    distance = abs(found[:, None] - named).max(2)
    near = distance.min(1) < 10
    found[near] = named[distance.argmin(1)[near]]
    palette.putpalette(np.concatenate([named, found]).ravel().tolist())
    return palette


def save_animation(scene: Scene, path: Path, seconds: float = 0.4) -> int:
    """Write the scene as an endless GIF of few colours; the number of its frames."""
    pictures = frames(scene)
    palette = _palette([pictures[0], pictures[len(pictures) // 2], pictures[-1]])
    pictures = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    durations = [round(1000 * seconds)] * (len(pictures) - 1) + [round(5000 * seconds)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    return len(pictures)
