"""The pictures of `demos.vae_faces`: faces in colour, and what was measured on them."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from demos.face_debiasing import GROUPS, SETS, Debiased
from demos.face_roads import ROADS, Road, Walk
from demos.pictures import Panel, draw_panels, in_few_colours

COLOURS = "C0", "C1", "C2"


def tiles(images: np.ndarray, columns: int | None = None, gap: int = 2) -> np.ndarray:
    """Images (n, 3, h, w) as one picture (height, width, 3), white between them.

    >>> tiles(np.zeros((3, 3, 4, 4)), columns=2).shape
    (10, 10, 3)
    """
    n, _, h, w = images.shape
    columns = columns or n
    rows = -(-n // columns)
    picture = np.ones((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), np.float32)
    for i, image in enumerate(images):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        picture[top : top + h, left : left + w] = image.transpose(1, 2, 0).clip(0, 1)
    return picture


def draw_faces(rows: Sequence[tuple[str, Sequence[Panel]]], path: Path) -> None:
    """`draw_panels` for colour, with 2 × 2 dots for each pixel."""
    _, panels = rows[0]
    dots = 2 * sum(panel.pixels.shape[1] for panel in panels)
    draw_panels(rows, path, dots / plt.rcParams["figure.dpi"] + 0.12 * (len(panels) - 1))
    in_few_colours(path)


# ---------------------------------------------------------------- three kinds of pixels


def draw_reconstructions(images: np.ndarray, outputs: dict[str, np.ndarray], path: Path) -> None:
    """Faces over what each model makes of them."""
    rows = [("test faces", [Panel(tiles(images))])]
    rows += [(name, [Panel(tiles(faces))]) for name, faces in outputs.items()]
    draw_faces(rows, path)


def draw_samples(samples: dict[str, np.ndarray], path: Path) -> None:
    """Each model's faces of codes drawn from N(0, 1), a block each."""
    panels = [Panel(tiles(faces, 4), name) for name, faces in samples.items()]
    draw_faces([("", panels)], path)


def draw_curves(records: dict[str, list[dict[str, float]]], pixels: int, path: Path) -> None:
    """-ELBO of each model on a scale of its own, then PSNR and KL of all on one."""
    figure, axes = plt.subplots(1, len(records) + 2, figsize=(3.1 * (len(records) + 2), 3.1))
    for ax, colour, (name, found) in zip(axes, COLOURS, records.items(), strict=False):
        epochs = [r["epoch"] for r in found]
        train = [(r["reconstruction"] + r["kl"]) / pixels / np.log(2) for r in found]
        ax.plot(epochs, train, colour, ls="--", label="training")
        ax.plot(epochs, [r["test_bits"] for r in found], colour, marker="o", ms=4, label="test")
        ax.set(title=name, xlabel="epoch", ylabel="-ELBO, bits per dimension")
        ax.legend()
    shared = (
        ("psnr", "PSNR of test faces", "decibels"),
        ("test_kl", "KL of test faces", "nats per face"),
    )
    for ax, (key, title, unit) in zip(axes[len(records) :], shared, strict=True):
        for colour, (name, found) in zip(COLOURS, records.items(), strict=False):
            ax.plot([r["epoch"] for r in found], [r[key] for r in found], colour, marker="o", ms=4,
                    label=name)  # fmt: skip
        ax.set(title=title, xlabel="epoch", ylabel=unit)
    axes[-1].set_ylim(0, 1.4 * axes[-1].get_ylim()[1])
    axes[-1].legend(fontsize=8)
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def draw_codes(kl: dict[str, np.ndarray], active: dict[str, int], path: Path) -> None:
    """What each code costs, the dearest first."""
    figure, axes = plt.subplots(figsize=(6.4, 4))
    for colour, (name, nats) in zip(COLOURS, kl.items(), strict=False):
        label = f"{name}: {nats.sum():.0f} nats, {active[name]} of {len(nats)} codes active"
        axes.plot(np.arange(1, len(nats) + 1), nats, colour, marker="o", ms=4, label=label)
    axes.set(title="What a face's code says", xlabel="code, the dearest first", ylabel="KL, nats")
    axes.set_ylim(0, 1.3 * max(nats.max() for nats in kl.values()))
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


def draw_rows(rows: Sequence[tuple[str, np.ndarray]], path: Path, columns: int = 7) -> None:
    """Named rows of faces; of more than `columns`, several rows under one name."""
    lines = []
    for name, faces in rows:
        starts = range(0, len(faces), columns)
        lines += [(name if not i else "", [Panel(tiles(faces[i : i + columns]))]) for i in starts]
    draw_faces(lines, path)


# ---------------------------------------------------------------- roads


def draw_roads(found: Sequence[Road], path: Path) -> None:
    """Each person's walks, drawn and decoded, a block of columns for each road."""
    rows = []
    for person in range(len(found[0].strips)):
        walks = [road.strips[person] for road in found]
        titles = [ROADS[road.name] if not person else "" for road in found]
        for name, images in (("drawn", 0), ("walked", 1)):
            panels = [
                Panel(tiles(walk[images]), title if name == "drawn" else "")
                for walk, title in zip(walks, titles, strict=True)
            ]
            rows.append((name, panels))
    draw_faces(rows, path)


def save_roads(found: Sequence[Road], path: Path) -> None:
    """The walks as an animation, there and back."""
    forth = [_frame(found, i) for i in range(len(found[0].frames[0].drawn))]
    few = [Image.fromarray(frame) for frame in forth]
    palette = Image.fromarray(np.concatenate(forth[:: max(1, len(forth) // 3)])).quantize(64)
    few = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in few]
    back = few[-2:0:-1]
    durations = [120] * (len(few) + len(back))
    durations[0] = durations[len(few) - 1] = 500
    few[0].save(path, save_all=True, append_images=[*few[1:], *back], duration=durations, loop=0)


def _frame(found: Sequence[Road], i: int, gap: int = 4, title: int = 34) -> np.ndarray:
    """The i-th picture of the animation: a block for each road, a row for each person."""
    blocks = [np.concatenate([_pair(walk, i, gap) for walk in road.frames]) for road in found]
    aside = np.full((len(blocks[0]), 4 * gap, 3), 255, np.uint8)
    faces = np.concatenate([x for block in blocks for x in (aside, block)][1:], axis=1)
    picture = Image.new("RGB", (faces.shape[1], faces.shape[0] + title), "white")
    picture.paste(Image.fromarray(faces), (0, title))
    pen = ImageDraw.Draw(picture)
    big, small = (
        ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", n) for n in (13, 10)
    )
    for block, road in enumerate(found):
        left, wide = block * (blocks[0].shape[1] + 4 * gap), blocks[0].shape[1]
        pen.text((left + wide / 2, 8), ROADS[road.name], "black", big, "mm")
        for j, name in enumerate(("drawn", "walked")):
            pen.text((left + wide * (2 * j + 1) / 4, 25), name, "#555555", small, "mm")
    return np.asarray(picture)


def _pair(walk: Walk, i: int, gap: int) -> np.ndarray:
    """A person drawn and decoded, half as large again, as bytes."""
    picture = tiles(np.stack([walk.drawn[i], walk.decoded[i]]), gap=gap // 2)
    pixels = np.rint(255 * np.pad(picture, ((0, gap // 2), (0, 0), (0, 0)), constant_values=1))
    large = Image.fromarray(pixels.astype(np.uint8))
    size = 3 * large.width // 2, 3 * large.height // 2
    return np.asarray(large.resize(size, Image.Resampling.BICUBIC))


# ---------------------------------------------------------------- debiasing


def draw_debiasing(found: Debiased, path: Path) -> None:
    """Bars of each group's error, a dot for each seed; rare faces over what becomes of them."""
    figure = plt.figure(figsize=(12, 3.9))
    axes = figure.add_axes((0.0, 0.08, 0.37, 0.8))
    error = 1000 * found.error
    for g, (group, colour) in enumerate(zip(GROUPS, ("#e8b189", "#82543a"), strict=True)):
        at = np.arange(len(SETS)) + 0.4 * (g - 0.5)
        mean = error[:, :, g].mean(1)
        axes.bar(at, mean, 0.36, color=colour, label=group)
        for x, y, each in zip(at, mean, error[:, :, g], strict=True):
            axes.plot(np.full(len(each), x), each, "o", color="black", ms=3, alpha=0.6)
            axes.annotate(f"{y:.2f}", (x, each.max()), (0, 4), textcoords="offset points",
                          ha="center", fontsize=9)  # fmt: skip
    axes.set_xticks(range(len(SETS)), SETS)
    axes.set_ylim(0, 1.3 * error.max())
    axes.set(title="Error on test faces, a dot for each seed", ylabel="mean squared error, × 1000")
    axes.legend(loc="upper center", ncols=2)
    axes.grid(False, axis="x")
    faces = figure.add_axes((0.53, 0.0, 0.47, 1.0))
    faces.imshow(tiles(np.concatenate([found.faces, *found.outputs]), len(found.faces), gap=1))
    faces.axis("off")
    for i, name in enumerate(("rare test faces", *SETS)):
        faces.text(-2, 33 * i + 16, name, ha="right", va="center")
    figure.savefig(path)
    plt.close(figure)
    in_few_colours(path)
