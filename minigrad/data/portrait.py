"""The painter of `minigrad.data.faces`: from factors to pixels.

A portrait is painted back to front, one method of `Portrait` a layer. Four ideas carry it:

1. A shape is a signed distance d(x, y), negative inside. `cover` turns it into the share of each
   pixel that the shape covers, so that edges are smooth, and move smoothly.
2. The head is an ellipsoid. A feature has its point on it; `place` turns the head, and says where
   in the picture the point comes to lie, and how much narrower the feature is seen there.
3. The skin's relief (nose, cheeks, the eyes' sockets) is a sum of bells. Its slope tilts the
   ellipsoid's normal, and light falls on the result: the nose is not painted, it is lit.
4. Hair is a larger ellipsoid, cut off along a hairline drawn on the turned head. A style is a row
   of numbers in STYLES, not a drawing.

Lengths: the head is 1.2 high. Its centre is the origin; x goes to the right and y down. A batch of
portraits is painted at once, and every array begins with the batch's axis.
"""

from typing import Any

import numpy as np

# Paths through the colours (red, green, blue): a factor goes from the first to the last.
PALETTES = {
    "skin": ("f6d2b8", "f3c3a2", "e8b189", "cb936a", "a8734f", "82543a", "61402d"),
    "hair_colour": ("17151a", "3a241a", "683d24", "a84f26", "d69447", "f0d598"),
    "eye_colour": ("3d2112", "6b421f", "61753d", "4d808f", "5c8fcc"),
    "backdrop": ("f8c9b4", "fae0a8", "c8e3bd", "b0dde8", "bcc6f0", "e6c4e8"),
    "shirt": ("d14d47", "ed9e40", "599466", "2e808c", "385794", "6b4785", "edebe6"),
}

# The geometry of hair: how opaque; how far it stands off the skull on top and at the sides; where
# the hairline lies in front, how it slants, how steeply it falls to the ears; how far down hair
# hangs (0 = it does not) and how much it spreads there; the height of its waves; a bun's radius.
STYLE_COLUMNS = (
    "opaque", "top", "side", "line", "slant", "drop", "hang", "spread", "wave", "bun",
)  # fmt: skip
STYLES = {
    "bald": (0.0, 0.02, 0.00, -0.70, 0.00, 1.7, 0.00, 0.00, 0.000, 0.00),
    "cropped": (0.75, 0.03, 0.02, -0.60, 0.00, 1.5, 0.00, 0.00, 0.000, 0.00),
    "short": (1.0, 0.10, 0.04, -0.56, 0.16, 1.7, 0.00, 0.00, 0.004, 0.00),
    "quiff": (1.0, 0.17, 0.03, -0.62, -0.08, 1.6, 0.00, 0.00, 0.010, 0.00),
    "bob": (1.0, 0.09, 0.08, -0.34, 0.00, 1.3, 0.42, 0.05, 0.000, 0.00),
    "long": (1.0, 0.08, 0.06, -0.55, 0.14, 1.9, 1.10, 0.08, 0.000, 0.00),
    "wavy": (1.0, 0.10, 0.09, -0.52, -0.18, 1.8, 0.86, 0.13, 0.016, 0.00),
    "curly": (1.0, 0.20, 0.22, -0.50, 0.00, 1.6, 0.00, 0.00, 0.020, 0.00),
    "bun": (1.0, 0.05, 0.03, -0.60, 0.05, 1.7, 0.00, 0.00, 0.000, 0.15),
}
STYLE_TABLE = np.array([*STYLES.values()], np.float32)

FRAME, MIDDLE = 0.85, -0.03  # half of the picture's side; the height of its middle
NECK = 0.75  # the height about which the head tilts
EYE = 0.41  # how far an eye lies from the middle of the face, as a share of its half width


def _rgb(code: str) -> np.ndarray:
    """Six hexadecimal digits as (3, 1, 1) numbers from 0 to 1."""
    return (np.frombuffer(bytes.fromhex(code), np.uint8) / np.float32(255)).reshape(3, 1, 1)


def _palette(name: str, share: np.ndarray) -> np.ndarray:
    """The colours (b, 3, 1, 1) at the shares (b, 1, 1) of a path."""
    stops = np.stack([_rgb(code) for code in PALETTES[name]])
    at = share[..., None] * (len(stops) - 1)
    left = np.minimum(np.floor(at), len(stops) - 2)
    which = left[:, 0, 0, 0].astype(np.int64)
    return _mix(stops[which], stops[which + 1], at - left)


def _mix(a: Any, b: Any, share: Any) -> Any:
    return a + share * (b - a)


def _step(low: Any, high: Any, x: np.ndarray) -> np.ndarray:
    """0 up to low, 1 from high on (or the other way round), smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _bell(dx: Any, dy: Any, width: Any, height: Any) -> np.ndarray:
    return np.exp(-((dx / width) ** 2) - (dy / height) ** 2)


class Portrait:
    """A batch of b pictures while they are painted.

    `factors` maps each name in `faces.FACTORS` to an array (b, 1, 1) of float32.
    """

    def __init__(self, factors: dict[str, np.ndarray], size: int) -> None:
        self.factor = f = factors
        self.image = np.empty((len(f["pose"]), 3, size, size), np.float32)
        self.pixel = np.float32(2 * FRAME / size)  # the side of a pixel
        self.u = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * self.pixel - FRAME
        self.v = (self.u + MIDDLE)[:, None]  # (u, v): where on the canvas
        roll, up = 0.11 * f["tilt"], self.v - NECK
        self.cos_roll, self.sin_roll = np.cos(roll), np.sin(roll)
        self.x = self.cos_roll * self.u + self.sin_roll * up  # (x, y): the tilted head's own axes
        self.y = self.cos_roll * up - self.sin_roll * self.u + NECK
        self.cos, self.sin = np.cos(0.54 * f["pose"]), np.sin(0.54 * f["pose"])
        self.cos_nod, self.sin_nod = np.cos(0.17 * f["nod"]), np.sin(0.17 * f["nod"])
        self.a, self.b = 0.46 + 0.045 * f["face_width"], np.float32(0.60)  # half width, height
        side = 0.9 * f["light"]
        length = np.sqrt(side**2 + 0.45**2 + 0.8**2)
        self.light = side / length, -0.45 / length, 0.8 / length  # a unit vector towards it
        style = STYLE_TABLE[f["hair_style"][:, 0, 0].astype(np.int64)]
        self.style = dict(zip(STYLE_COLUMNS, style.T[:, :, None, None], strict=True))
        self.skin = _palette("skin", f["skin"])
        self.dark = self.skin * _rgb("73524d")  # lines and shadows on the skin
        self.lips = self.skin * _rgb("db8f8f") + _rgb("0f0003")
        grey = (0.8 * f["age"] ** 2)[..., None]
        self.hair = _mix(_palette("hair_colour", f["hair_colour"]), _rgb("c7c7cc"), grey)

    def painted(self) -> np.ndarray:
        """The pictures (b, 3, size, size)."""
        self.paint_backdrop()
        self.comb()
        self.paint_hair_behind()
        self.paint_body()
        self.paint_ears(in_front=False)
        self.paint_head()
        self.paint_nose()
        self.paint_lines()
        self.paint_beard()
        self.paint_mouth()
        for side in (-1, 1):
            self.paint_eye(side)
            self.paint_brow(side)
        self.paint_hair()
        self.paint_bun()
        self.paint_ears(in_front=True)
        self.paint_glasses()
        return np.clip(self.image, 0, 1)

    # ---------------------------------------------------------------------------------- tools

    def window(self, top: float, bottom: float, left: float, right: float) -> Any:
        """Paint only inside of this box from now on; the coordinates (x, y) in it."""
        side = self.image.shape[-1]

        def cut(low: float, high: float, middle: float) -> slice:
            ends = ((end - middle + FRAME) / self.pixel for end in (low, high))
            return slice(*(min(max(round(float(end)), 0), side) for end in ends))

        self.rows, self.columns = cut(top, bottom, MIDDLE), cut(left, right, 0)
        return self.cropped(self.x), self.cropped(self.y)

    def cropped(self, whole: np.ndarray) -> np.ndarray:
        return whole[..., self.rows, self.columns]

    def uncropped(self, part: np.ndarray) -> np.ndarray:
        whole = np.zeros_like(self.x)
        self.cropped(whole)[:] = part
        return whole

    def cover(self, distance: np.ndarray, soft: float = 1.0) -> np.ndarray:
        """The share of each pixel inside of a shape whose edge is `soft` pixels wide."""
        return np.clip(0.5 - distance / (soft * self.pixel), 0, 1)

    def paint(self, share: np.ndarray, colour: np.ndarray) -> None:
        part = self.cropped(self.image)
        change = colour - part
        change *= share[:, None]
        part += change

    def paint_face(self, share: np.ndarray, colour: np.ndarray) -> None:
        """The same on the face alone: what the head's turn hides is not seen."""
        self.paint(share * self.cropped(self.head), colour)

    def place(self, hx: float, hy: float, out: float = 1.0) -> Any:
        """Where the head's point (hx, hy) is seen: x, y, and the width there as a share.

        hx and hy are shares of the half width and height, before the head turns; `out` = 1 is on
        the ellipsoid. Turned by θ, the point of the unit sphere lies at hx cos θ + hz sin θ.
        """
        hz = np.sqrt(1 - hx**2 - hy**2)
        x = self.a * out * (hx * self.cos + hz * self.sin)
        y = self.b * out * (hy * self.cos_nod + 0.8 * hz * self.sin_nod)
        return x, y, np.maximum(self.cos - hx / hz * self.sin, 0.25)

    def at(self, x: np.ndarray, y: np.ndarray, *point: float) -> Any:
        """The coordinates (dx, dy) of a feature at `place(*point)`, foreshortened like it."""
        px, py, width = self.place(*point)
        return (x - px) / width, y - py

    def bells(self, bells: list) -> Any:
        """The sum of some bells, and its slope along u and along v.

        Bell k, of height cₖ, is cₖ exp(−(u − uₖ)²/wₖ²) exp(−(v − vₖ)²/hₖ²): a column times a row.
        So the sum is a product of matrices, and so is each slope.
        """
        columns = []
        for (px, py, narrow), width, height, high in bells:
            u = self.cos_roll * px - self.sin_roll * (py - NECK)  # back on the canvas
            v = self.sin_roll * px + self.cos_roll * (py - NECK) + NECK
            columns.append(np.broadcast_arrays(u, v, width * narrow, np.float32(height), high))
        u, v, width, height, high = np.concatenate(columns, -1, dtype=np.float32)
        du, dv = (self.u[self.columns, None] - u) / width, (self.v[self.rows] - v) / height
        across, down = high * np.exp(-du * du), np.exp(-dv * dv)
        rows, row_slopes = across.mT, (-2 * du / width * across).mT
        return down @ rows, down @ row_slopes, (-2 * dv / height * down) @ rows

    # ------------------------------------------------------------------------- behind the head

    def paint_backdrop(self) -> None:
        self.window(-1, 1, -1, 1)
        u, v = self.u, self.v
        glow = 0.92 + 0.14 * np.exp(-1.5 * (u**2 + (v + 0.1) ** 2)) - 0.06 * v
        glow = glow + 0.06 * self.factor["light"] * u
        self.image[:] = _palette("backdrop", self.factor["backdrop"]) * glow[:, None]

    def comb(self) -> None:
        """`shell`, the distance from the hair's outline; nx across it, -1 to 1; `wave`, its curls.

        An egg around the skull; hair that hangs goes straight down from the egg's widest line.
        """
        s, widest, round_off = self.style, -0.12, 0.07
        x, y = self.x + 0.04 * self.sin, self.y
        hangs = s["hang"] > 0
        above, below = 1 / (self.b + s["top"] + widest), np.where(hangs, 0, np.float32(1 / 0.44))
        ny = (y - widest) * np.where(y > widest, below, above)
        self.nx = x / (self.a + s["side"] + s["spread"] * _step(-0.2, 0.6, y))
        self.wave = s["wave"] * (np.sin(17 * x + 2) * np.sin(19 * y) + 0.6 * np.sin(31 * x + 9 * y))
        sides = (np.sqrt(self.nx**2 + ny**2) - 1) * 0.55 + self.wave
        ends = np.where(hangs, y - s["hang"] + 0.5 * x**2, -1)
        sides, ends = np.maximum(sides + round_off, 0), np.maximum(ends + round_off, 0)
        self.shell = np.sqrt(sides**2 + ends**2) - round_off  # inside of both, corners rounded

    def paint_hair_behind(self) -> None:
        x, y = self.window(-1, 1, -1, 1)
        tone = 0.60 + 0.10 * np.sin(34 * x + 2 * np.sin(5 * y))
        self.paint(self.cover(self.shell) * self.style["opaque"], self.hair * tone[:, None])

    def paint_body(self) -> None:
        self.window(0.3, 1, -1, 1)
        u, v, light = self.u, self.v[self.rows], self.factor["light"]
        neck = np.abs(u) - 0.19 - 0.02 * self.factor["jaw"] - 0.25 * np.maximum(v - 0.55, 0) ** 1.5
        tone = 0.82 + 0.5 * light * u - 0.20 * _step(0.75, 0.55, v) - 0.5 * u**2
        self.paint(self.cover(neck), self.skin * _rgb("fff2ed") * tone[:, None])
        shoulder = 0.63 + 0.10 * _step(0.1, 0.5, np.abs(u)) + 0.10 * u**2
        shoulder = shoulder + 0.45 * np.maximum(np.abs(u) - 0.5, 0) ** 1.4
        neckline = 0.29 - np.sqrt((u / 0.9) ** 2 + ((v - 0.57) / 0.85) ** 2)
        cover = self.cover(np.maximum(shoulder - v, neckline))
        tone = 0.92 + 0.12 * light * u - 0.25 * (np.abs(u) - 0.35) ** 2 + 0.25 * (v - 0.75)
        colour = _palette("shirt", self.factor["shirt"])
        self.paint(cover[None], colour * tone[:, None])
        rim = np.minimum(self.cover(np.abs(neckline + 0.022) - 0.02), cover)
        self.paint(rim[None], colour * 0.78)

    def paint_ears(self, in_front: bool) -> None:
        """Behind the head, and again before the hair the ear that the turn brings forward."""
        for side in (-1, 1):
            x, y = self.window(-0.3, 0.35, *sorted((side * 0.12, side * 0.78)))
            nearer = np.maximum(-side * self.sin, 0)
            dx = x - side * (self.a * self.cos + 0.015) + 0.02 * self.sin + side * 0.12 * (y - 0.05)
            dy = y - 0.04 + 0.12 * self.sin_nod
            r = np.sqrt((dx / (0.075 + 0.02 * nearer)) ** 2 + (dy / 0.13) ** 2)
            cover = self.cover((r - 1) * 0.085)
            if in_front:
                cover = cover * _step(0.05, 0.35, nearer) * (self.style["hang"] == 0)
            tone = 0.88 + 0.16 * self.light[0] * side - 0.22 * _bell(dx, dy, 0.03, 0.075)
            self.paint(cover, self.skin * _rgb("ffe6e3") * tone[:, None])

    # ------------------------------------------------------------------------------- the face

    def paint_head(self) -> None:
        f = self.factor
        x, y = self.window(-0.8, 0.8, -0.7, 0.7)
        yn = y / self.b
        w = self.a * (1 - (0.11 - 0.10 * f["jaw"]) * np.maximum(yn, 0) ** 2)
        xn = (x - self.sin * self.a * (0.34 * _step(0, 1, yn) - 0.08)) / w
        x2, y2 = xn**2, yn**2
        q = x2 + y2 - (0.22 + 0.18 * f["jaw"] * (yn > 0)) * x2 * y2  # rounder than an ellipse
        outline = (np.sqrt(q) - 1) * 0.53
        cover = self.cover(outline)
        gx, gy = self.relief()
        # The face is flatter than the ellipsoid: 0.85² ≈ 0.72.
        nx, ny, nz2 = 0.85 * xn - gx, 0.85 * yn - gy, np.maximum(1 - 0.72 * q, 0.08)
        norm = 1 / np.sqrt(nx**2 + ny**2 + nz2)
        nx, ny, nz = nx * norm, ny * norm, np.sqrt(nz2) * norm
        lx, ly, lz = self.light
        shade = _step(-0.35, 1.0, nx * lx + ny * ly + nz * lz)
        gloss = np.maximum(0.6 * (nx * lx + ny * ly) + nz * (0.5 + 0.5 * lz), 0)
        gloss = ((gloss**2 * gloss) ** 2) ** 2  # its 12th power: a small spot
        colour = _mix(self.skin * _rgb("9a7b78"), self.skin * 1.03, shade[:, None])
        colour += 0.08 * gloss[:, None]
        blush = 0.22 + 0.10 * np.maximum(f["smile"], 0)
        cheeks = [(self.place(side * 0.52, 0.30), 0.13, 0.09, blush) for side in (-1, 1)]
        blushing = self.bells(cheeks)[0][:, None]
        self.paint(cover, _mix(colour, 1.15 * self.lips, blushing))
        self.head, self.outline, self.shade = (self.uncropped(c) for c in (cover, outline, shade))

    def relief(self) -> tuple[np.ndarray, np.ndarray]:
        """The slope (∂h/∂x, ∂h/∂y) of the skin's height h over the ellipsoid."""
        cheek = 0.045 + 0.035 * self.factor["smile"]
        tip, bridge = self.place(0, 0.24, 1.14), self.place(0, -0.10)
        ridge = _mix(bridge[0], tip[0], 0.55), _mix(bridge[1], tip[1], 0.55), tip[2]
        bells = [  # where, half width, half height, how high
            (tip, 0.075, 0.075, 0.060),
            (ridge, 0.05, 0.17, 0.040),
            (self.place(EYE, -0.06), 0.15, 0.09, -0.055),
            (self.place(-EYE, -0.06), 0.15, 0.09, -0.055),
            (self.place(0.52, 0.30), 0.15, 0.12, cheek),
            (self.place(-0.52, 0.30), 0.15, 0.12, cheek),
            (self.place(0, 0.86), 0.14, 0.09, 0.04),
            (self.place(0, 0.72), 0.14, 0.05, -0.03),
        ]
        return self.bells(bells)[1:]

    def paint_nose(self) -> None:
        """What the light leaves out: the shadow under the tip, and the nostrils."""
        dx, dy = self.at(*self.window(-0.05, 0.55, -0.5, 0.5), 0, 0.33, 1.10)
        under = _bell(dx, dy + 0.25 * np.abs(dx) - 0.005, 0.085, 0.022)
        holes = _bell(np.abs(dx) - 0.042, dy, 0.022, 0.014)
        self.paint_face(np.maximum(0.45 * under, 0.7 * holes), 0.8 * self.dark)

    def paint_lines(self) -> None:
        """Age: bags under the eyes, wrinkles on the forehead, folds beside the mouth."""
        deep = 0.5 * _step(0.25, 1.0, self.factor["age"])
        self.window(-0.5, 0.35, -0.6, 0.6)
        bags = [(self.place(side * EYE, 0.115), 0.09, 0.014, 0.7 * deep) for side in (-1, 1)]
        wrinkles = [(self.place(0, hy), 0.17, 0.011, 0.6 * deep) for hy in (-0.50, -0.36)]
        self.paint_face(self.bells(bags + wrinkles)[0], self.dark)
        dx, dy = self.at(*self.window(0, 0.55, -0.6, 0.6), 0, 0.45)
        wide = np.maximum(self.factor["smile"], 0)
        fold = _bell(np.abs(dx) - 0.19 - 0.03 * wide - 0.5 * dy, dy, 0.016, 0.085)
        self.paint_face((deep + 0.12 * wide) * fold, self.dark)

    def paint_beard(self) -> None:
        beard = self.factor["beard"]
        x, y = self.window(-0.2, 0.8, -0.7, 0.7)
        dx, dy = self.at(x, y, 0, 0.56)  # from the mouth
        dx2 = dx * dx
        soft = 0.07 + np.minimum(0.6 * dx2, 0.08)
        chin = _step(-soft, soft, dy - 0.05 + np.minimum(2.6 * dx2, 0.26))
        lip = _bell(dx2, dy + 0.085 - dx2, 0.0225, 0.035)
        free = 1 - _bell(dx2, (dy - 0.01) ** 2, 0.0144, 0.002)
        share = np.maximum(chin, lip) * free * np.minimum(1.4 * beard, 0.92)
        grown = self.cover(self.cropped(self.outline) - 0.03 * beard, 1.5)
        tone = 0.70 + 0.35 * self.cropped(self.shade)
        self.paint(share * grown, self.hair * 0.9 * tone[:, None])

    def paint_mouth(self) -> None:
        """Everything is a curve over t = dx / half, from corner to corner: the arch is 1 − t²."""
        dx, dy = self.at(*self.window(0.05, 0.65, -0.6, 0.6), 0, 0.57)
        wide, gape = np.maximum(self.factor["smile"], 0), self.factor["mouth_open"]
        smile = 0.15 + 0.7 * self.factor["smile"] + 0.2 * wide
        half = 0.178 + 0.045 * smile - 0.02 * gape
        gape = 0.09 * gape + 0.04 * wide**2
        t2 = (dx / half) ** 2
        arch, ends = 1 - t2, np.abs(dx) - half
        line = dy - 0.085 * smile * (0.55 - t2)
        top, bottom = line + 0.25 * gape * arch, line - 0.9 * gape * arch  # of the opening
        bow = arch * (0.033 + 0.014 * np.minimum(np.abs(dx) / 0.05, 1)) * (1 - 0.25 * wide)
        upper = np.maximum(np.maximum(-top - bow, top), ends)
        lower = np.maximum(np.maximum(-bottom, bottom - 0.050 * arch * (1 - 0.2 * wide)), ends)
        self.paint_face(self.cover(upper), 0.86 * self.lips)
        shine = 1.04 + 0.1 * _bell(dx, bottom - 0.02, 0.07, 0.012)
        self.paint_face(self.cover(lower), self.lips * shine[:, None])
        hole = self.cover(np.maximum(np.maximum(-top, bottom), ends))
        self.paint_face(hole, _rgb("521217"))
        tongue = self.cover(0.05 * np.sqrt((dx / 0.10) ** 2 + (bottom / 0.05) ** 2) - 0.05)
        self.paint_face(np.minimum(tongue, hole), _rgb("cc5c61"))
        teeth = self.cover(top - 0.022 - 0.016 * self.factor["smile"])
        self.paint_face(np.minimum(teeth, hole), _rgb("f7f5ed"))
        seam = self.cover(np.maximum(np.abs(line) - 0.007, ends - 0.012))
        corners = _bell(ends - 0.008, dy + 0.038 * smile, 0.014, 0.02)
        closed = 0.75 * _step(0.03, 0.0, gape)
        self.paint_face(np.maximum(closed * seam, 0.4 * corners), 0.6 * self.dark)

    def paint_eye(self, side: int) -> None:
        """The eye at the picture's left (side −1) or right (1)."""
        f = self.factor
        box = self.window(-0.35, 0.25, *sorted((side * 0.68, -side * 0.34)))
        dx, dy = self.at(*box, side * EYE, -0.03)
        shut = 1 - f["eyes_open"]
        half = 0.118
        arch, ends = 1 - (dx / half) ** 2, np.abs(dx) - half
        slanted = dy + 0.06 * side * dx
        # Either is how far below the edge of a lid a point lies.
        upper = slanted + (0.078 - 0.112 * shut**2 * shut) * arch
        lower = slanted - (0.040 - 0.012 * np.maximum(f["smile"], 0)) * arch
        white = self.cover(np.maximum(np.maximum(-upper, lower), ends))
        self.paint_face(0.45 * _bell(dx**2, upper + 0.035, 0.01, 0.013), self.dark)  # the crease
        shadow = 0.80 + 0.2 * _step(0.0, 0.05, upper)
        self.paint_face(white, _rgb("f7f5f2") * shadow[:, None])
        gx, gy = dx - 0.042 * f["gaze"], dy + 0.015
        r = np.sqrt(gx**2 + gy**2)
        depth = np.clip(0.75 + 6 * np.maximum(r - 0.03, 0) + 4 * gy, 0.5, 1.3)
        iris = _palette("eye_colour", f["eye_colour"]) * depth[:, None]
        self.paint_face(np.minimum(self.cover(r - 0.070), white), iris)
        self.paint_face(np.minimum(self.cover(r - 0.034), white), _rgb("0a0a0a"))
        glint = np.sqrt((gx - 0.022 * f["light"]) ** 2 + (gy + 0.023) ** 2) - 0.018
        self.paint_face(np.minimum(self.cover(glint), white), _rgb("ffffff"))
        lash = np.maximum(np.abs(upper) - 0.011, ends - 0.012)
        self.paint_face(0.9 * self.cover(lash), 0.35 * self.dark)

    def paint_brow(self, side: int) -> None:
        brows = self.factor["brows"]
        box = self.window(-0.5, 0.1, *sorted((side * 0.70, -side * 0.36)))
        dx, dy = self.at(*box, side * EYE, -0.27)
        out = side * dx  # away from the nose
        curve = dy + 0.03 + 0.035 * brows - 1.7 * out**2 - (0.03 + 0.09 * brows) * out
        thick = 0.018 - 0.05 * np.maximum(out - 0.02, 0)
        d = np.maximum(np.abs(curve) - thick, np.abs(out) - 0.14)
        self.paint_face(0.85 * self.cover(d, 1.3), _mix(0.75 * self.hair, 0.6 * self.dark, 0.4))

    # --------------------------------------------------------------------- in front of the face

    def paint_hair(self) -> None:
        s = self.style
        _, y = self.window(-1, 1, -1, 1)
        # The point (nx, hy, nz) of the unit sphere is seen here; turned back, it is (hx, hy, hz).
        nx, hy = self.nx, np.where(s["hang"] > 0, np.minimum(y, 0), y) / (self.b + s["top"])
        nz = np.sqrt(np.maximum(1 - nx * nx - hy * hy, 0) + 0.03)  # not steep even at the rim
        hx, hz = nx * self.cos - nz * self.sin, nz * self.cos + nx * self.sin
        t = 1 - hz / np.sqrt(np.maximum(1 - hy * hy, 0.05))  # 0 in front, 1 at the ears
        line = s["line"] + s["slant"] * hx + s["drop"] * t * t + 0.1 * self.sin_nod
        inside = (hy - line) * 0.5 + 0.6 * self.wave
        cover = self.cover(np.maximum(self.shell, inside), 1.2) * s["opaque"]
        lx, ly, lz = self.light
        lit = nx * lx + hy * ly + nz * lz
        strand = 0.07 * np.sin(26 * hx + 4 * hy + 2 * np.sin(9 * hx)) * (1 - 20 * s["wave"])
        tone = 0.60 + 0.45 * _step(-0.5, 1, lit) + strand + 4 * self.wave
        ring = 0.16 * _bell(hy + 0.52 - 0.15 * nx * nx, 0, 0.13, 1) * _step(0.2, 0.9, lit)
        self.paint(cover, self.hair * (tone + ring)[:, None] + 0.35 * ring[:, None])

    def paint_bun(self) -> None:
        x, y = self.window(-1, -0.4, -0.5, 0.5)
        bun, (lx, ly, _) = self.style["bun"], self.light
        dx, dy = x + 0.3 * self.sin * self.a, y + self.b + 0.11
        r = np.sqrt(dx**2 + dy**2)
        tone = 0.8 + 1.5 * (dx * lx + dy * ly) + 0.06 * np.sin(60 * r)
        self.paint(self.cover(r - bun) * (bun > 0), self.hair * tone[:, None])

    def paint_glasses(self) -> None:
        x, y = self.window(-0.34, 0.34, -0.72, 0.72)
        dx, dy = self.at(x, y, 0, 0.0, 1.08)
        frame = np.maximum(np.abs(dy + 0.03), np.abs(dx) - 0.06) - 0.012  # the bridge
        for side in (-1, 1):
            dx, dy = self.at(x, y, side * EYE, 0.0, 1.08)
            dx2, dy2 = (dx / 0.165) ** 2, (dy / 0.135) ** 2
            rim = 0.15 * (np.sqrt(np.sqrt(dx2**2 + dy2**2)) - 1)
            frame = np.minimum(frame, np.abs(rim) - 0.014)
        self.paint(0.9 * self.factor["glasses"] * self.cover(frame), _rgb("212126"))
