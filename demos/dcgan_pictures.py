"""The pictures of `demos.dcgan`: what the generator makes, and how the game went."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from demos.face_pictures import tiles
from demos.pictures import GREY, Panel, draw_panels, in_few_colours, save_gif

SMOOTH = 40  # rounds that a point of a curve is the mean of
REAL, FAKE, FLOOR = "C0", "C3", "0.45"  # colours


def pixels_of(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Images (n, c, h, w) as the bytes of one picture, those of 28 pixels with 2 × 2 dots each."""
    times = max(1, 56 // images.shape[2])
    picture = (tiles(images, columns, gap) * 255 + 0.5).astype(np.uint8)
    return np.kron(picture, np.ones((times, times, 1), np.uint8))


def captioned(picture: np.ndarray, caption: str) -> np.ndarray:
    """A picture in bytes, with a line of text above it."""
    height, width, _ = picture.shape
    page = Image.new("RGB", (width + 16, height + 36), "white")
    page.paste(Image.fromarray(picture), (8, 28))
    font = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", 14)
    ImageDraw.Draw(page).text((8, 6), caption, "#1c2733", font)
    return np.asarray(page)


def save_forming(frames: Sequence[tuple[np.ndarray, str]], path: Path, columns: int) -> None:
    """The same noise through the generator as it learns: an animation of pictures and captions."""
    grey = frames[0][0].shape[1] == 1
    shots = [captioned(pixels_of(images, columns), caption) for images, caption in frames]
    save_gif(shots, path, seconds=0.6, colours=8 if grey else 128)


def draw_blocks(blocks: dict[str, np.ndarray], columns: int, path: Path) -> None:
    """Images in blocks side by side, each with its title."""
    panels = [Panel(tiles(images, columns), title) for title, images in blocks.items()]
    draw_panels([("", panels)], path, width=12)
    in_few_colours(path)


def draw_strips(rows: dict[str, np.ndarray], path: Path, width: float = 11.0) -> None:
    """Rows of images, each after its name."""
    draw_panels([(name, [Panel(tiles(images))]) for name, images in rows.items()], path, width)
    in_few_colours(path)


# ---------------------------------------------------------------- curves


class History(NamedTuple):
    """How the game went."""

    answers: np.ndarray  # (rounds, 2): means of D(x) and D(G(z))
    rounds: np.ndarray  # (epochs,): how many had been played
    distance: np.ndarray  # (epochs,): Fréchet's, then
    floor: float  # that of data from data
    shares: np.ndarray  # (2, classes): of test images and of samples, what they are taken for
    names: Sequence[str]  # of the classes; empty if there are none


def draw_answers(axes: plt.Axes, history: History) -> None:
    """D(x) and D(G(z)), smoothed, over how they spread from round to round."""
    n = len(history.answers)
    kernel = np.ones(min(SMOOTH, n)) / min(SMOOTH, n)
    for values, colour, name in zip(
        history.answers.T, (REAL, FAKE), ("D(x), data", "D(G(z)), made"), strict=True
    ):
        smooth = np.convolve(values, kernel, "valid")
        axes.plot(np.arange(1, n + 1), values, colour, lw=0.4, alpha=0.25)
        axes.plot(np.arange(len(smooth)) + len(kernel) / 2 + 0.5, smooth, colour, lw=2, label=name)
    axes.axhline(0.5, color=FLOOR, lw=1, ls=":")
    axes.set(xlabel="round", ylim=(0, 1), title="how real D finds them: ½ cannot tell")
    axes.legend(loc="upper right", ncols=2, fontsize=9)


def draw_distance(axes: plt.Axes, history: History) -> None:
    """The Fréchet distance on a scale of factors, and that of data from data."""
    axes.plot(history.rounds, history.distance, "C2o-", lw=1.8, ms=4, label="samples, test images")
    axes.axhline(history.floor, color=FLOOR, ls="--", lw=1.4, label="training images, test images")
    axes.set_yscale("log")
    axes.set(xlabel="round", title="Fréchet distance of the classifier's features")
    axes.legend(loc="upper right", fontsize=9)


def draw_shares(axes: plt.Axes, history: History) -> None:
    """What the classifier takes images for."""
    k = np.arange(len(history.names))
    for shift, values, colour, name in (
        (-0.2, history.shares[0], REAL, "test images"),
        (0.2, history.shares[1], FAKE, "samples"),
    ):
        axes.bar(k + shift, 100 * values, 0.38, color=colour, label=name)
    long = max(map(len, history.names)) > 1
    turn = dict(rotation=35, ha="right", fontsize=8) if long else {}
    axes.set_xticks(k, history.names, **turn)
    axes.set(title="what the classifier takes them for, %", ylim=(0, 140 * history.shares.max()))
    axes.legend(loc="upper right", ncols=2, fontsize=9)
    axes.grid(axis="x")


def draw_curves(history: History, path: Path) -> None:
    """The panels in a row."""
    panels = [draw_answers, draw_distance, *[draw_shares] * bool(len(history.names))]
    figure, axes = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 3.7))
    for ax, draw in zip(axes, panels, strict=True):
        draw(ax, history)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


# ---------------------------------------------------------------- the picture for the README


class Overview(NamedTuple):
    """What the composite shows."""

    samples: np.ndarray  # (n, c, h, w)
    columns: int
    early: dict[str, np.ndarray]  # some of the same noise, earlier
    paths: np.ndarray  # (rows · 11, c, h, w): interpolations
    history: History


def draw_overview(of: Overview, path: Path) -> None:
    """Samples large; beside them how they came, ways between them, and the two curves."""
    figure = plt.figure(figsize=(14, 6.4))
    left, right = figure.add_gridspec(1, 2, width_ratios=(1, 1.2), wspace=0.2)
    _picture(figure.add_subplot(left), tiles(of.samples, of.columns), "made from noise")
    upper, middle, lower = right.subgridspec(3, 1, height_ratios=(0.95, 1.05, 1.5), hspace=0.25)
    early = figure.add_subplot(upper)
    _picture(early, tiles(np.concatenate([*of.early.values()]), len(next(iter(of.early.values())))))
    h = of.samples.shape[2] + 2
    early.axis("on")
    early.set_yticks(h * np.arange(len(of.early)) + h / 2, of.early)
    early.set_xticks([])
    early.tick_params(length=0)
    for side in early.spines.values():
        side.set_visible(False)
    early.set_title("the same noise as G learns")
    _picture(figure.add_subplot(middle), tiles(of.paths, 11), "from one noise to another")
    for cell, draw in zip(
        lower.subgridspec(1, 2, wspace=0.3), (draw_answers, draw_distance), strict=True
    ):
        axes = figure.add_subplot(cell)
        draw(axes, of.history)
        axes.title.set_fontsize(8.5)
        axes.get_legend().remove() if draw is draw_distance else axes.legend(fontsize=8, ncols=2)
    figure.savefig(path)
    plt.close(figure)
    in_few_colours(path)


def _picture(axes: plt.Axes, pixels: np.ndarray, title: str = "") -> None:
    axes.imshow(pixels, GREY, vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title)
    axes.axis("off")
