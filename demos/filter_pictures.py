"""Pictures of images on their way through kernels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from demos.pictures import plt  # in the style of all demos
from minigrad.ops.conv.geometry import ConvGeometry

DIVERGING = "RdBu_r"


def shown(images: np.ndarray) -> np.ndarray:
    """The first of images (n, 3, h, w) as pixels (h, w, 3); with negative numbers, 0 is grey."""
    pixels = images[0].transpose(1, 2, 0)
    if pixels.min() < -0.25:
        pixels = 0.5 + pixels / (2 * np.percentile(abs(pixels), 99.5))
    return pixels.clip(0, 1)


def _image(axes: Axes, pixels: np.ndarray, title: str = "") -> None:
    axes.imshow(pixels, interpolation="nearest", cmap="gray", vmin=0, vmax=1)
    _bare(axes, title)


def _bare(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _kernel(axes: Axes, kernel: np.ndarray, title: str) -> None:
    """A kernel, red above 0 and blue below, its numbers in it if there is room."""
    most = abs(kernel).max() or 1.0
    axes.imshow(kernel, DIVERGING, vmin=-most, vmax=most, interpolation="nearest")
    _bare(axes, title)
    k = len(kernel)
    if k > 9:
        return
    for (i, j), value in np.ndenumerate(kernel):
        text = f"{value:.2f}".replace("0.", ".").replace("-", "−")
        text = "0" if text.strip("−") == ".00" else text
        colour = "white" if abs(value) > 0.65 * most else "black"
        axes.text(j, i, text, ha="center", va="center", fontsize=46 / k - 1, color=colour)


# ---------------------------------------------------------------- down and up


def draw_sheet(
    original: np.ndarray, down: tuple[str, np.ndarray], between: np.ndarray, up: tuple[str, Any],
    geometry: ConvGeometry, path: Path,
) -> None:  # fmt: skip
    """The original, what the kernel makes of it, and the way back: all at one scale."""
    (name, kernel), (up_name, result) = down, up
    h, w = original.shape[2:]
    inch, side, gap = 4.2 / max(h, w), 1.9, 0.35
    parts = [("image", original), (name, kernel), ("image", between), (up_name, result.kernel),
             ("image", result.image)]  # fmt: skip
    width = sum(side if a.ndim == 2 else a.shape[3] * inch for _, a in parts) + 4 * gap
    height, left = h * inch, 0.0
    figure = plt.figure(figsize=(width, height))
    g = geometry
    titles = iter((
        f"original, {h} × {w}",
        f"{name}, {g.kernel_size[0]} × {g.kernel_size[1]}\nstride {g.stride[0]}, "
        f"padding {g.padding[0]}" + (f"\ndilation {g.dilation[0]}" if g.dilation[0] > 1 else ""),
        f"{between.shape[2]} × {between.shape[3]}",
        f"{up_name}, {len(result.kernel)} × {len(result.kernel)}\ntransposed, stride "
        f"{g.stride[0]}",
        f"back to {h} × {w}: {result.decibels:.1f} dB",
    ))  # fmt: skip
    for _, array in parts:
        high, wide = (side, side) if array.ndim == 2 else (
            array.shape[2] * inch, array.shape[3] * inch
        )  # fmt: skip
        box = left / width, (height - high) / 2 / height, wide / width, high / height
        axes = figure.add_axes(box)
        title = next(titles)
        if array.ndim == 2:
            _kernel(axes, array, title)
        else:
            _image(axes, shown(array), title)
        left += wide + gap
    figure.savefig(path)
    plt.close(figure)


def busiest(image: np.ndarray, side: int) -> tuple[int, int]:
    """The corner of the square of `side` pixels in which neighbours differ most."""
    grey = image[0].mean(0)
    change = abs(np.diff(grey, axis=0))[:, 1:] + abs(np.diff(grey, axis=1))[1:]
    sums = np.pad(change.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    n = side - 1
    inside = sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]
    return tuple(int(at) for at in np.unravel_index(inside.argmax(), inside.shape))


def draw_up_kernels(
    original: np.ndarray, between: np.ndarray, results: dict[str, Any], path: Path
) -> None:
    """A detail of the original and of what each up-kernel makes, over the kernels."""
    h, w = original.shape[2:]
    side = min(h, w, max(24, min(h, w) // 3))
    top, left = busiest(original, side)
    part = np.s_[:, :, top : top + side, left : left + side]
    figure, axes = plt.subplots(
        2, 1 + len(results), figsize=(3.1 * (1 + len(results)), 5.3), height_ratios=[3, 2]
    )
    _image(axes[0, 0], shown(original)[part[2:]], "original")
    rows, columns = (between.shape[axis] / original.shape[axis] for axis in (2, 3))
    small = np.s_[
        round(top * rows) : max(round(top * rows) + 1, round((top + side) * rows)),
        round(left * columns) : max(round(left * columns) + 1, round((left + side) * columns)),
    ]
    _image(axes[1, 0], shown(between)[small], "what was left of it")
    for (name, result), (above, below) in zip(results.items(), axes.T[1:], strict=True):
        _image(above, shown(result.image)[part[2:]], f"{name}: {result.decibels:.2f} dB")
        _kernel(below, result.kernel, "")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


# ---------------------------------------------------------------- the checkerboard


def draw_checkerboards(boards: Sequence[Any], path: Path) -> None:
    """Rows: ways of doubling. Columns: how many products meet, flat greys, a photograph."""
    figure, axes = plt.subplots(len(boards), 4, figsize=(13, 3.5 * len(boards)))
    most = max(board.overlap.max() for board in boards)
    for row, board in zip(axes, boards, strict=True):
        _counts(row[0], board.overlap, most)
        row[0].set_ylabel(board.name, fontsize=12, labelpad=10)
        _image(row[1], board.flat / 2, f"std {board.spread:.3f}")
        _image(row[2], board.flat_random / 2, f"std {board.flat_random.std():.3f}")
        h, w = board.photograph.shape[2:]
        side = min(h, w) // 2
        detail = shown(board.photograph)[: h // 8 + side, (w - side) // 2 : (w + side) // 2]
        _image(row[3], detail[h // 8 :])
    for ax, heading in zip(
        axes[0],
        ("products added up in each pixel", "flat grey, kernel of ones", "flat grey, random kernel",
         "photograph, random kernel"), strict=True,
    ):  # fmt: skip
        ax.set_title(f"{heading}\n{ax.get_title()}")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _counts(axes: Axes, counts: np.ndarray, most: int) -> None:
    axes.imshow(counts, "YlGnBu", vmin=0, vmax=1.3 * most, interpolation="nearest")
    _bare(axes, "")
    for (r, c), count in np.ndenumerate(counts):
        colour = "white" if count > 0.75 * most else "black"
        axes.text(c, r, f"{count:.0f}", ha="center", va="center", fontsize=9, color=colour)
