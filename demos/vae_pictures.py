"""The pictures of `demos.vae`: where the digits lie in code space, and what is drawn from there.

Two codes are shown as they are. More are seen along two directions, `plane_of` the test images'
means; p(z) = N(0, 1) is round, so along any two directions it is N(0, 1) again.

Some pictures show the square of probabilities instead of the codes: the place (u, v) is the code
(Φ⁻¹(u), Φ⁻¹(v)). There p(z) is uniform, and the centre is not crowded.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import get_data_path
from matplotlib.patheffects import withStroke
from PIL import Image, ImageDraw, ImageFont

from demos.pictures import DIGIT_COLOURS as COLOURS
from demos.pictures import GREY, Panel, draw_panels, mosaic
from minigrad import tensor
from minigrad.distributions import Normal

DIGITS = tuple("0123456789")
NAMES = {
    "fashion-mnist": (
        "T-shirt", "trousers", "pullover", "dress", "coat",
        "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )
}  # fmt: skip


class Places(NamedTuple):
    """Where images lie in code space, and what they show."""

    means: np.ndarray  # (n, codes): μ of q(z|x)
    labels: np.ndarray  # (n,)
    names: Sequence[str]  # of the labels
    plane: np.ndarray  # (2, codes): the directions that are seen

    @property
    def points(self) -> np.ndarray:
        """Where they are seen, (n, 2)."""
        return self.means @ self.plane.T

    @property
    def axes(self) -> tuple[str, str]:
        """What the axes are called."""
        kind = "code" if self.means.shape[1] == 2 else "principal direction"
        return f"{kind} 1", f"{kind} 2"


def plane_of(means: np.ndarray) -> np.ndarray:
    """The two orthonormal directions (2, codes) along which means (n, codes) vary most.

    Of two codes, the codes themselves.

    >>> plane_of(np.array([[0, 3, 0], [0, -3, 0], [0, 0, -1], [0, 0, 1]])) @ np.array([5, 6, 7])
    array([6., 7.])
    """
    if means.shape[1] == 2:
        return np.eye(2, dtype=means.dtype)
    directions = np.linalg.svd(means - means.mean(0), full_matrices=False)[2][:2]
    largest = directions[[0, 1], np.abs(directions).argmax(1)]
    return directions * np.sign(largest)[:, None]  # either sign would do


def quantiles(n: int) -> np.ndarray:
    """Φ⁻¹ of the middles of n equal parts of [0, 1]: values as N(0, 1) has them, evenly likely."""
    middles = tensor((np.arange(n) + 0.5) / n)
    return Normal(0.0, 1.0).icdf(middles).numpy()


def manifold_codes(n: int, plane: np.ndarray) -> np.ndarray:
    """The codes (n², codes) at the middles of the square of probabilities, top row first."""
    across, up = np.meshgrid(quantiles(n), quantiles(n)[::-1])
    return np.stack([across.ravel(), up.ravel()], 1) @ plane


def map_codes(n: int, places: Places) -> np.ndarray:
    """What is drawn in the n × n fields of the square of probabilities: codes (n², codes).

    Of two codes those of the middles. Of more, a plane would pass by all that the decoder knows,
    so there it is for each field the code of the image whose place is nearest.
    """
    if places.means.shape[1] == 2:
        return manifold_codes(n, places.plane)
    middles = (np.arange(n) + 0.5) / n
    across, up = np.meshgrid(middles, middles[::-1])
    fields = np.stack([across.ravel(), up.ravel()], 1)
    away = ((fields[:, None] - probabilities(places.points)) ** 2).sum(2)
    return places.means[away.argmin(1)]


def probabilities(points: np.ndarray) -> np.ndarray:
    """Φ of points (n, 2): where they lie in the square of probabilities."""
    return Normal(0.0, 1.0).cdf(tensor(np.asarray(points, np.float64))).numpy()


# ---------------------------------------------------------------- parts of pictures


def scatter(axes: plt.Axes, points: np.ndarray, places: Places, **style) -> None:
    """Points coloured by what the images show."""
    style = {"s": 9, "alpha": 0.75, "lw": 0, **style}
    axes.scatter(*points.T, c=places.labels, cmap=COLOURS, vmin=-0.5, vmax=9.5, **style)


def legend(axes: plt.Axes, places: Places, **options) -> None:
    """The names of the colours."""
    present = np.unique(places.labels)
    handles = [plt.Line2D([], [], marker="o", ls="", ms=6, color=COLOURS(int(k))) for k in present]
    axes.legend(handles, [places.names[k] for k in present], handletextpad=0.2, **options)


def name_clusters(axes: plt.Axes, points: np.ndarray, places: Places) -> None:
    """Each name at the middle of its points in the square of probabilities."""
    long = max(map(len, places.names)) > 1
    for k in np.unique(places.labels):
        u, v = np.median(points[places.labels == k], axis=0).clip(0.03, 0.97)
        side = "left" if u < 0.15 else "right" if u > 0.85 else "center"
        axes.text(
            u, v, places.names[k], ha=side if long else "center", va="center", weight="bold",
            size=12 if long else 17, color="white",
            path_effects=[withStroke(linewidth=4, foreground=COLOURS(int(k)))],
        )  # fmt: skip


def rings(axes: plt.Axes) -> None:
    """Circles within which half, and 95 %, of p(z) = N(0, 1) lie in two dimensions."""
    for share in (0.5, 0.95):
        radius = np.sqrt(-2 * np.log(1 - share))  # P(|z| < r) = 1 - e^(-r²/2)
        axes.add_patch(plt.Circle((0, 0), radius, fill=False, ec="0.35", lw=1, ls="--"))
        axes.annotate(
            f"{share:.0%} of p(z)", (0, radius), (0, 2), textcoords="offset points",
            ha="center", va="bottom", size=8, color="0.35",
        )  # fmt: skip


def code_space(axes: plt.Axes, places: Places, **style) -> None:
    """The scatter in code space, both axes alike; they end beyond the most, not beyond all."""
    scatter(axes, places.points, places, **style)
    low, high = np.percentile(places.points, [0.3, 99.7], axis=0)
    low, high = np.minimum(low, -2.7), np.maximum(high, 2.7)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axes.set(xlabel=places.axes[0], ylabel=places.axes[1])


def include(axes: plt.Axes, points: np.ndarray, margin: float = 0.03) -> None:
    """Widen the axes until they hold points (n, 2)."""
    for values, ends, widen in (
        (points[:, 0], axes.get_xlim(), axes.set_xlim),
        (points[:, 1], axes.get_ylim(), axes.set_ylim),
    ):
        more = margin * (ends[1] - ends[0])
        widen(min(ends[0], values.min() - more), max(ends[1], values.max() + more))


def probability_square(axes: plt.Axes, places: Places | None = None, **style) -> None:
    """Axes of the square of probabilities; with places, these, on black as the digits are."""
    if places is not None:
        points = probabilities(places.points)
        axes.set_facecolor("black")
        scatter(axes, points, places, **{"alpha": 1, **style})
        name_clusters(axes, points, places)
    axes.grid(False)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=[], yticks=[])


def mark_codes(axes: plt.Axes, names: tuple[str, str]) -> None:
    """Mark the square of probabilities with the codes."""
    z = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    ticks = dict(ticks=probabilities(z[:, None])[:, 0], labels=["-2", "-1", "0", "1", "2"])
    axes.set_xticks(**ticks)
    axes.set_yticks(**ticks)
    axes.set(xlabel=names[0], ylabel=names[1])


def picture(axes: plt.Axes, pixels: np.ndarray, **options) -> None:
    """Grey pixels; NaN leaves a gap."""
    axes.imshow(pixels, GREY, vmin=0, vmax=1, interpolation="nearest", **options)
    axes.grid(False)


def finish(figure: plt.Figure, path: Path) -> None:
    """Save and close."""
    figure.savefig(path)
    plt.close(figure)


# ---------------------------------------------------------------- pictures


def draw_scatter(places: Places, path: Path) -> None:
    """The means of q(z|x), coloured by label."""
    figure, axes = plt.subplots(figsize=(7.4, 6.6))
    code_space(axes, places)
    rings(axes)
    title = f"where the encoder puts {len(places.means):,} test images: the means of q(z|x)"
    if places.means.shape[1] > 2:
        variance = places.means.var(0).sum()
        share = places.points.var(0).sum() / variance
        title += (
            f"\n{places.means.shape[1]} codes along two directions: {share:.0%} of the variance"
        )
    axes.set_title(title)
    legend(axes, places, loc="center left", bbox_to_anchor=(1.0, 0.5))
    finish(figure, path)


def draw_manifold(pictures: np.ndarray, places: Places, path: Path) -> None:
    """What the decoder draws all over the square of probabilities, beside the test images' means.

    The pictures (n², 28, 28) are those of `map_codes`.
    """
    n = round(len(pictures) ** 0.5)
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 7))
    picture(left, mosaic(pictures, n, gap=0), extent=(0, 1, 0, 1))
    if places.means.shape[1] == 2:
        left.set_title(f"what the decoder draws at {n} × {n} codes, evenly likely under p(z)")
    else:
        left.set_title("what the decoder makes of the test image nearest to each place")
    probability_square(left)
    probability_square(right, places, s=12)
    right.set_title(f"the same square: where the encoder puts {len(places.means):,} test images")
    for axes in (left, right):
        mark_codes(axes, places.axes)
    figure.tight_layout()
    finish(figure, path)


def draw_epochs(inputs: np.ndarray, rows: dict[str, np.ndarray], path: Path) -> None:
    """The inputs (n, 28, 28) over what became of them after each epoch, by name."""
    panels = [("input", [Panel(mosaic(inputs))])]
    panels += [(name, [Panel(mosaic(outputs))]) for name, outputs in rows.items()]
    draw_panels(panels, path)


def draw_samples(groups: dict[str, np.ndarray], columns: int, path: Path) -> None:
    """Pictures side by side in groups, each with its title."""
    panels = [Panel(mosaic(pictures, columns), title) for title, pictures in groups.items()]
    draw_panels([("", panels)], path, width=12)


class Strip(NamedTuple):
    """Pictures (n, 28, 28) in a row, of which one may be framed."""

    pictures: np.ndarray
    title: str = ""
    framed: int | None = None

    @property
    def panel(self) -> Panel:
        """The row as a panel."""
        h, w = self.pictures.shape[1:]
        box = None if self.framed is None else (0, self.framed * (w + 1), h, w)
        return Panel(mosaic(self.pictures), self.title, box=box)


def draw_strips(rows: Sequence[tuple[str, Sequence[Strip]]], path: Path) -> None:
    """Rows of strips, each after its name."""
    draw_panels([(name, [s.panel for s in strips]) for name, strips in rows], path, width=11)


class Paths(NamedTuple):
    """Straight lines through the codes of one model, and what it draws along them."""

    title: str
    places: Places
    codes: np.ndarray  # (paths, steps, codes)
    pictures: np.ndarray  # (paths, steps, 28, 28)


def draw_interpolation(models: Sequence[Paths], ends: np.ndarray, path: Path) -> None:
    """For each model its paths in code space, and beside them the pictures along the way.

    ends (paths, 2, 28, 28) are the two images of each path.
    """
    figure, grid = plt.subplots(
        len(models), 2, figsize=(13.5, 4.4 * len(models)), width_ratios=(1, 2), squeeze=False
    )
    for (left, right), model in zip(grid, models, strict=True):
        code_space(left, model.places, alpha=0.3)
        for number, line in enumerate(model.codes @ model.places.plane.T, 1):
            include(left, line)
            left.plot(*line.T, "o-", color="black", ms=3.5, lw=1)
            left.text(
                *line[0], f"{number}", weight="bold", size=13, ha="center", va="center",
                path_effects=[withStroke(linewidth=4, foreground="white")],
            )  # fmt: skip
        left.set_title(f"{model.title}: four straight lines")
        legend(
            left, model.places, loc="center right", bbox_to_anchor=(-0.17, 0.5), labelspacing=0.2
        )
        whole = np.concatenate([ends[:, :1], model.pictures, ends[:, 1:]], axis=1)
        rows, columns, h, w = whole.shape
        picture(right, mosaic(whole.reshape(-1, h, w), columns, gap=2))
        right.set_title(
            f"what it draws at {columns - 2} steps along each line, between the two images"
        )
        right.set_yticks((h + 2) * np.arange(rows) + h / 2, [f"{i + 1}" for i in range(rows)])
        right.set_xticks([w / 2, (columns - 1) * (w + 2) + w / 2], ["image", "image"])
        right.tick_params(length=0)
        for side in right.spines.values():
            side.set_visible(False)
    figure.tight_layout()
    finish(figure, path)


class Cloud(NamedTuple):
    """An image, codes drawn from q(z|x), and their pictures."""

    image: np.ndarray  # (28, 28)
    codes: np.ndarray  # (n, codes)
    pictures: np.ndarray  # (n, 28, 28)


def draw_clouds(clouds: Sequence[Cloud], places: Places, path: Path) -> None:
    """The same image encoded several times: the cloud over the scatter, and its decodings."""
    figure = plt.figure(figsize=(14, 5.9))
    grid = figure.add_gridspec(len(clouds), 2, width_ratios=(1, 1.35), wspace=0.08)
    axes = figure.add_subplot(grid[:, 0])
    code_space(axes, places, alpha=0.25)
    rings(axes)
    axes.set_title("the same image, encoded again and again: z drawn from q(z|x)")
    legend(axes, places, loc="center right", bbox_to_anchor=(-0.14, 0.5), labelspacing=0.2)
    for letter, cloud in zip("ABCDEFGH", clouds, strict=False):
        points = cloud.codes @ places.plane.T
        include(axes, points)
        axes.scatter(*points.T, c="black", s=14, lw=0.6, ec="white", zorder=3)
        axes.text(
            *points.max(0), letter, weight="bold", size=15, zorder=4,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip
    for row, (letter, cloud) in enumerate(zip("ABCDEFGH", clouds, strict=False)):
        right = figure.add_subplot(grid[row, 1])
        h, w = cloud.image.shape
        decodings = mosaic(cloud.pictures, -(-len(cloud.pictures) // 2))
        blank = np.full((len(decodings), w + 8), np.nan, np.float32)
        blank[(len(decodings) - h) // 2 :][:h, :w] = cloud.image
        picture(right, np.hstack([blank, decodings]))
        right.set_title(f"{letter}: the image, and the decodings of {len(cloud.codes)} draws")
        right.axis("off")
    finish(figure, path)


def draw_loss(parts: dict[str, dict[str, Sequence[float]]], path: Path) -> None:
    """For each part of the loss a panel; in it a line for each set of images, a value an epoch."""
    figure, grid = plt.subplots(1, len(parts), figsize=(13, 3.9))
    for axes, (title, lines) in zip(grid, parts.items(), strict=True):
        for (name, values), style in zip(lines.items(), ("C0--", "C0o-"), strict=True):
            axes.plot(range(1, len(values) + 1), values, style, label=name, lw=1.8, ms=4)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    grid[0].set_ylabel("nats per image")
    grid[0].legend()
    figure.tight_layout()
    finish(figure, path)


# ---------------------------------------------------------------- the animation


GREYS = 8
KINDS = [tuple(round(255 * part) for part in COLOURS(kind)[:3]) for kind in range(10)]


def greys(n: int) -> list[tuple[int, int, int]]:
    """n colours from black to white."""
    return [(round(255 * i / (n - 1)),) * 3 for i in range(n)]


PALETTE = greys(GREYS) + KINDS


def frame(pictures: np.ndarray, places: Places, caption: str) -> Image.Image:
    """One picture of the animation, in the colours of PALETTE alone.

    On the left pictures (n², 28, 28), on the right the places in the square of probabilities.
    """
    n = round(len(pictures) ** 0.5)
    side, margin, head = 28 * n, 8, 24
    page = Image.new("RGB", (2 * side + 3 * margin, head + side + margin))
    grey = (mosaic(pictures, n, gap=0) * 255 + 0.5).astype(np.uint8)
    page.paste(Image.fromarray(grey), (margin, head))
    pen, left = ImageDraw.Draw(page), side + 2 * margin
    pen.rectangle((left, head, left + side - 1, head + side - 1), outline=PALETTE[2])
    for (u, v), kind in zip(probabilities(places.points), places.labels, strict=True):
        x, y = round(left + 2 + u * (side - 6)), round(head + 2 + (1 - v) * (side - 6))
        pen.rectangle((x, y, x + 1, y + 1), fill=PALETTE[GREYS + kind])
    font = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", 13)
    pen.text((margin, 5), caption, PALETTE[GREYS - 1], font)
    return in_colours(page, PALETTE)


def in_colours(page: Image.Image, colours: Sequence[tuple[int, int, int]]) -> Image.Image:
    """A picture in the nearest of some colours: a smaller file."""
    r, g, b = np.asarray(page.convert("RGB"), np.int64).reshape(-1, 3).T
    present, where = np.unique(r << 16 | g << 8 | b, return_inverse=True)
    present = np.stack([present >> 16, present >> 8 & 255, present & 255], axis=1)
    away = ((present[:, None] - np.array(colours)) ** 2).sum(2)
    indices = away.argmin(1).astype(np.uint8)[where]
    picture = Image.frombytes("P", page.size, indices.tobytes())
    picture.putpalette([part for colour in colours for part in colour])
    return picture


def save_animation(frames: Sequence[Image.Image], path: Path) -> None:
    """Write frames as an endless animation; the last one stays longer."""
    durations = [350] * (len(frames) - 1) + [2500]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


# ---------------------------------------------------------------- the picture for the README


class Overview(NamedTuple):
    """What the composite shows."""

    manifold: np.ndarray  # (n², 28, 28)
    places: Places
    inputs: np.ndarray  # (k, 28, 28)
    outputs: np.ndarray  # (k, 28, 28), their reconstructions
    samples: np.ndarray  # (3 k, 28, 28)
    path: np.ndarray  # (k, 28, 28), from one image to another


def draw_overview(of: Overview, path: Path) -> None:
    """Manifold, scatter, reconstructions, samples and an interpolation on one page of few kB."""
    n, k, codes = round(len(of.manifold) ** 0.5), len(of.inputs), of.places.means.shape[1]
    side, gap, head = 4.9, 0.2, 0.3  # inches
    width, height = 3 * side + 2 * gap, side + head
    figure = plt.figure(figsize=(width, height))

    def place(column: int, above: float, tall: float) -> plt.Axes:
        left, bottom = column * (side + gap), side - above - tall
        return figure.add_axes((left / width, bottom / height, side / width, tall / height))

    axes = place(0, 0, side)
    picture(axes, mosaic(of.manifold, n, gap=0), extent=(0, 1, 0, 1))
    axes.set_title("what the decoder draws, code by code" if codes == 2 else
                   "what the decoder makes of the nearest image")  # fmt: skip
    probability_square(axes)
    axes = place(1, 0, side)
    probability_square(axes, of.places, s=9)
    axes.set_title("where the encoder puts images it never saw")
    stacks = (
        (f"images, and what {codes} numbers keep of them", np.concatenate([of.inputs, of.outputs])),
        ("drawn from noise", of.samples),
        ("from one image to another", of.path),
    )
    rows = [-(-len(pictures) // k) for _, pictures in stacks]
    cell = (side - head * (len(stacks) - 1)) / sum(rows)
    above = 0.0
    for (title, pictures), count in zip(stacks, rows, strict=True):
        axes = place(2, above, count * cell)
        picture(axes, mosaic(pictures, k, gap=0), aspect="auto")
        axes.set_title(title)
        axes.axis("off")
        above += count * cell + head
    finish(figure, path)
    # points and letters are smooth at their edges: each colour on its way to black, and to white
    shades = [tuple(round(s * part) for part in kind) for kind in KINDS for s in (1, 0.7, 0.4)]
    shades += [tuple(round((part + 255) / 2) for part in kind) for kind in KINDS]
    with Image.open(path) as page:
        in_colours(page, greys(48) + shades).save(path, optimize=True)
