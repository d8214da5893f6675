"""The pictures that the demos share, in one style."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image

from minigrad import Tensor, cat
from minigrad.draw import make_grid

plt.rcParams.update({
    "figure.dpi": 110, "savefig.bbox": "tight", "font.size": 10, "axes.titlesize": 11,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.alpha": 0.25, "legend.frameon": False,
})  # fmt: skip
DIGIT_COLOURS = plt.get_cmap("tab10")
GREY = plt.get_cmap("gray").with_extremes(bad="white")
SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#bfe4ff", "#2f8fe0", "black", "#f08a1c", "#ffe9b8"]
).with_extremes(bad="white")  # black at 0
MOST_BYTES = 300_000  # of a picture for the README


def input_over_output(images: Tensor, outputs: Tensor, columns: int = 10) -> np.ndarray:
    """Each row of images above the row of what became of them, as bytes (height, width, 3)."""
    rows = []
    for start in range(0, len(images) - len(images) % columns, columns):
        rows += [images[start : start + columns], outputs[start : start + columns]]
    grid = make_grid(cat(rows).detach().cpu(), nrow=columns, padding=2, pad_value=0.25)
    pixels = (grid.clamp(0.0, 1.0).numpy().transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8)
    return np.kron(pixels, np.ones((2, 2, 1), np.uint8))


def save_png(pixels: np.ndarray, path: Path) -> None:
    """Write bytes (height, width, 3) as they are."""
    Image.fromarray(pixels).save(path)


def load_png(path: Path) -> np.ndarray:
    """The bytes (height, width, 3) of a picture."""
    return np.asarray(Image.open(path).convert("RGB"))


def drawn(figure: plt.Figure) -> np.ndarray:
    """A figure as bytes (height, width, 3), one frame of an animation; the figure is closed."""
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
    plt.close(figure)
    return pixels


def save_figure(figure: plt.Figure, path: Path) -> None:
    """Write a figure as "savefig.bbox" asks, but drawn once and not twice, and close it.

    For figures in which nothing is moved while drawing: no layout engine, no 3-D axes.
    """
    box = figure.get_tightbbox().padded(plt.rcParams["savefig.pad_inches"])
    figure.savefig(path, bbox_inches=box)
    plt.close(figure)


def save_gif(
    frames: Sequence[np.ndarray], path: Path, seconds: float = 0.5, colours: int = 64
) -> None:
    """Write frames as an endless animation; the last one stays three times as long.

    All share one palette, picked from a dozen of them, so that what stands still does not flicker.
    """
    sample = np.concatenate(frames[:: -(-len(frames) // 12)])
    palette = Image.fromarray(sample).quantize(colours)
    pictures = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    ]
    durations = [round(1000 * seconds)] * (len(pictures) - 1) + [round(3000 * seconds)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)


def in_few_colours(path: Path) -> None:
    """Write a picture anew in 256 colours of its own if it is large, in 64 if it still is."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    for colours in (256, 64):
        if path.stat().st_size > MOST_BYTES:
            few = picture.quantize(colours, dither=Image.Dither.NONE)
            few.save(path, optimize=True)


def curves(lines: dict[str, tuple[Sequence[float], str]], ylabel: str, path: Path) -> None:
    """One line for each name: (a value for each epoch, a matplotlib style such as "C0-")."""
    figure, axes = plt.subplots(figsize=(6.4, 4))
    for name, (values, style) in lines.items():
        axes.plot(range(1, len(values) + 1), values, style, label=name, lw=1.8, ms=4)
    axes.set(xlabel="epoch", ylabel=ylabel)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


def scatter_codes(codes: np.ndarray, labels: np.ndarray, title: str, path: Path) -> None:
    """Codes (n, k) as points coloured by digit, in 3-D if k ≥ 3; of 1-D codes, a row per digit.

    Three and more dimensions are turned to their principal directions, and of more than three the
    first three are shown. Axes end where one code in a hundred lies beyond.
    """
    if codes.shape[1] >= 3:
        centred = codes - codes.mean(0)
        codes = centred @ np.linalg.svd(centred, full_matrices=False)[2][:3].T
        axis_name = "principal direction {}"
    else:
        axis_name = "code {}"
        if codes.shape[1] == 1:
            codes = np.column_stack([codes, labels])
    figure = plt.figure(figsize=(7, 6))
    axes = figure.add_subplot(projection="3d" if codes.shape[1] == 3 else None)
    low, high = np.percentile(codes, [0.5, 99.5], axis=0)
    seen = ((codes >= low) & (codes <= high)).all(1)
    points = axes.scatter(*codes[seen].T, c=labels[seen], cmap=DIGIT_COLOURS, s=10, alpha=0.8, lw=0)
    axes.set(title=title, xlabel=axis_name.format(1), ylabel=axis_name.format(2))
    if codes.shape[1] == 3:
        axes.set_zlabel(axis_name.format(3))
        axes.view_init(elev=28, azim=-62)
        axes.set_box_aspect((1.15, 1.15, 1), zoom=0.9)
    axes.legend(
        *points.legend_elements(alpha=1),
        loc="center left",
        bbox_to_anchor=(1.1, 0.5),
        title="digit",
    )
    figure.savefig(path)
    plt.close(figure)


def before_and_after(
    first: np.ndarray, last: np.ndarray, titles: tuple[str, str], path: Path
) -> None:
    """Two pictures side by side under their titles."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 12 * first.shape[0] / first.shape[1] / 2 + 0.5))
    for ax, pixels, title in zip(axes, (first, last), titles, strict=True):
        ax.imshow(pixels)
        ax.set_title(title)
        ax.axis("off")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def shown(images: Tensor, labels: Tensor, each: int = 3) -> Tensor:
    """`each` images of every class, class by class along a row: what the grids show."""
    kinds = labels.cpu().numpy()
    rows = [np.flatnonzero(kinds == kind)[:each] for kind in np.unique(kinds)]
    order = [row[i] for i in range(each) for row in rows if i < len(row)]
    return images[order]


class Panel(NamedTuple):
    """Grey pixels (h, w), black at 0 and white at 1; NaN leaves a gap.

    `signed` pixels are blue below 0 and orange above, to their largest |value|. `box` is a frame
    (top, left, height, width) to draw over them.
    """

    pixels: np.ndarray
    title: str = ""
    signed: bool = False
    box: tuple[int, int, int, int] | None = None


def mosaic(images: np.ndarray, columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Images (n, h, w) as one picture, `columns` in a row (all of them), NaN between them.

    >>> mosaic(np.ones((3, 2, 2)), columns=2).shape
    (5, 5)
    """
    n, h, w = images.shape
    columns = columns or n
    rows = -(-n // columns)
    picture = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap), np.nan, np.float32)
    for i, image in enumerate(images):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        picture[top : top + h, left : left + w] = image
    return picture


def each_by_its_largest(images: np.ndarray) -> np.ndarray:
    """Images (n, h, w), each divided by its largest |value|."""
    largest = np.abs(images).max((1, 2), keepdims=True)
    return images / np.where(largest > 0, largest, 1)


def draw_panels(
    rows: Sequence[tuple[str, Sequence[Panel]]], path: Path, width: float = 10.0
) -> None:
    """Rows of panels of one height, each row after its name; the longest is `width` inches wide."""
    gap, title = 0.12, 0.24  # inches
    height = min(
        (width - gap * (len(panels) - 1)) / sum(map(_aspect, panels)) for _, panels in rows
    )
    above = [title if any(p.title for p in panels) else 0.0 for _, panels in rows]
    total = (height + gap) * len(rows) - gap + sum(above)
    figure = plt.figure(figsize=(width, total))
    axes = figure.add_axes((0, 0, 1, 1))  # one for all, in inches: each would take its time
    top = total
    for (name, panels), space in zip(rows, above, strict=True):
        top -= space
        axes.text(-0.1, top - height / 2, name, ha="right", va="center")
        left = 0.0
        for panel in panels:
            across = height * _aspect(panel)
            _draw_panel(axes, panel, (left, left + across, top - height, top))
            left += across + gap
        top -= height + gap
    axes.set(xlim=(0, width), ylim=(0, total))
    axes.axis("off")
    save_figure(figure, path)


def _aspect(panel: Panel) -> float:
    return panel.pixels.shape[1] / panel.pixels.shape[0]


def _draw_panel(axes: plt.Axes, panel: Panel, extent: tuple[float, float, float, float]) -> None:
    """A panel whose sides are at (left, right, bottom, top)."""
    low, high, colours = 0.0, 1.0, GREY
    if panel.signed:
        high = float(np.nanmax(np.abs(panel.pixels))) or 1.0
        low, colours = -high, SIGNED
    axes.imshow(
        panel.pixels, colours, vmin=low, vmax=high, aspect="auto", interpolation="nearest",
        extent=extent,
    )  # fmt: skip
    left, right, _, top = extent
    axes.text((left + right) / 2, top + 0.055, panel.title, ha="center", fontsize=9)
    if panel.box:
        pixel = (right - left) / panel.pixels.shape[1]
        y, x, h, w = (pixel * length for length in panel.box)
        place = left + x, top - y - h
        axes.add_patch(plt.Rectangle(place, w, h, fill=False, ec="#ff9a1f", lw=1.5))
