"""The pictures of demos.image_search."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import matplotlib.pyplot as plt
import numpy as np

COLOURS = {"PCA": "0.45", "AE codes": "C0", "VAE means": "C1"}
WRONG = np.array([1.0, 0.42, 0.35])  # what white becomes in a wrong hit
SHOWN = 10  # queries


class Found(Protocol):
    """The hits of every query, and which of them are right."""

    hits: np.ndarray  # (queries, hits)
    right: np.ndarray  # (queries, hits)


def tinted(images: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Grey images (n, h, w) as colours (n, h, w, 3): those that are wrong in red."""
    colour = np.where(right[:, None], 1.0, WRONG)
    pixels = images[..., None] * colour[:, None, None]
    back = np.where(right[:, None], 0.0, [0.28, 0.0, 0.0])[:, None, None]
    return back + (1 - back) * pixels


def draw_hits(
    found: dict[str, Found], known: np.ndarray, asked: np.ndarray, queries: Sequence[int],
    path: Path,
) -> None:  # fmt: skip
    """A row for each query: itself, then its hits in each space, nearest first."""
    _, h, w = asked.shape
    gap, between = 2, 12
    count = next(iter(found.values())).hits.shape[1]
    block = count * (w + gap) - gap
    width = w + len(found) * (between + block)
    picture = np.ones((len(queries) * (h + gap) - gap, width, 3))
    for row, query in enumerate(queries):
        top = row * (h + gap)
        picture[top : top + h, :w] = asked[query, ..., None]
        for column, space in enumerate(found.values()):
            hits = tinted(known[space.hits[query]], space.right[query])
            for i, hit in enumerate(hits):
                left = w + between + column * (block + between) + i * (w + gap)
                picture[top : top + h, left : left + w] = hit
    inches = 11.0
    figure = plt.figure(figsize=(inches, inches * picture.shape[0] / width))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, interpolation="nearest")
    axes.text(w / 2, -6, "query", ha="center")
    for column, name in enumerate(found):
        middle = w + between + column * (block + between) + block / 2
        axes.text(middle, -6, f"nearest in {name}", ha="center")
    axes.axis("off")
    figure.savefig(path)
    plt.close(figure)


def draw_wrong(
    found: dict[str, Found], known: np.ndarray, asked: np.ndarray, path: Path
) -> None:  # fmt: skip
    """The same, of the queries where the spaces differ most: pixels err in half of them."""
    right = np.stack([space.right.sum(1) for space in found.values()])
    lead = right[1:].mean(0) - right[0]
    order = np.argsort(lead, kind="stable")
    half = SHOWN // 2
    draw_hits(found, known, asked, [*order[: -half - 1 : -1], *order[:half][::-1]], path)


def draw_sizes(precision: dict[int, dict[str, float]], pixels: float, path: Path) -> None:
    """Precision@5 against the size of the code."""
    figure, axes = plt.subplots(figsize=(6.4, 4))
    sizes = list(precision)
    axes.axhline(pixels, color="k", ls=":", lw=1.4)
    axes.text(sizes[0], pixels + 0.012, "784 pixels", fontsize=9)
    for name in precision[sizes[0]]:
        values = [precision[size][name] for size in sizes]
        axes.plot(sizes, values, "o-", color=COLOURS[name], lw=1.8, ms=4, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, map(str, sizes))
    axes.minorticks_off()
    axes.set(xlabel="numbers in the code", ylabel="precision@5", ylim=(0, 1.04))
    axes.legend(loc="lower right")
    figure.savefig(path)
    plt.close(figure)
