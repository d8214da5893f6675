"""The pictures of demos.anomaly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import matplotlib.pyplot as plt
import numpy as np

from demos.pictures import Panel, draw_panels, mosaic

SHOWN = 6  # images of each sort
COLOURS = "C0", "C2", "C1"
PAPER = dict(facecolor="white", edgecolor="none", alpha=0.7, pad=0.5)


class Scored(Protocol):
    """The test images, which of them are odd, and what each scores."""

    odd: np.ndarray  # (n,), booleans
    images: np.ndarray  # (n, 1, h, w)
    outputs: np.ndarray  # (n, 1, h, w), their reconstructions
    scores: dict[str, np.ndarray]  # (n,) each


def draw_table(
    names: Sequence[str], scores: Sequence[str], areas: np.ndarray, path: Path
) -> None:  # fmt: skip
    """AUC (kinds, scores) as a table whose cells are orange above 0.5 and blue below."""
    rows = np.vstack([areas, areas.mean(0)])
    labels = [name.replace(" ", "\n", 1).replace("nst", "n-\nst") for name in scores]
    figure, axes = plt.subplots(figsize=(7.4, 0.42 * len(rows) + 1.3))
    shown = axes.imshow(rows, "PuOr_r", vmin=0, vmax=1, aspect="auto")
    for (i, j), area in np.ndenumerate(rows):
        ink = "white" if abs(area - 0.5) > 0.36 else "black"
        axes.text(j, i, f"{area:.2f}", ha="center", va="center", color=ink)
    axes.axhline(len(areas) - 0.5, color="white", lw=3)
    axes.axvline(4.5, color="white", lw=3)
    axes.set_xticks(range(len(scores)), labels, fontsize=9)
    axes.set_yticks(range(len(rows)), [*names, "mean"])
    axes.set(ylabel="held out", title="AUC: is an image of the held-out kind told from the others?")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    bar = figure.colorbar(shown, ticks=[0, 0.5, 1], pad=0.02)
    bar.ax.set_yticklabels(["0  upside down", "0.5  a coin", "1  always"])
    bar.outline.set_visible(False)
    figure.savefig(path)
    plt.close(figure)


def draw_roc(
    names: Sequence[str], curves: Sequence[dict], areas: np.ndarray, path: Path
) -> None:  # fmt: skip
    """A panel for each kind: the share that is found, against the share of false alarms.

    Numbers are the areas (kinds, scores), of which the first are those of the curves.
    """
    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(2.3 * columns + 0.4, 2.45 * rows + 0.5), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name, lines, area in zip(grid.flat, names, curves, areas, strict=False):
        axes.plot([0, 1], [0, 1], color="0.75", lw=1)
        for i, (score, curve) in enumerate(lines.items()):
            axes.plot(*curve, COLOURS[i], lw=1.6, label=score)
            height = 0.05 + 0.11 * (len(lines) - 1 - i)
            axes.text(
                0.97,
                height,
                f"{area[i]:.2f}",
                color=COLOURS[i],
                ha="right",
                weight="bold",
                bbox=PAPER,
            )
        axes.set_title(f"{name} held out")
        axes.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1], aspect="equal")
    for axes in grid[-1]:
        axes.set_xlabel("false alarms")
    for axes in grid[:, 0]:
        axes.set_ylabel("found")
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(), loc="lower center", ncols=3,
        bbox_to_anchor=(0.5, 1.0),
    )  # fmt: skip
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def draw_extremes(
    names: Sequence[str], found: Sequence[Scored], score: str, path: Path
) -> None:  # fmt: skip
    """Each kind's most and least normal images over their reconstructions, and false alarms."""
    rows = []
    for name, held in zip(names, found, strict=True):
        order = np.argsort(held.scores[score], kind="stable")
        odd, normal = order[held.odd[order]], order[~held.odd[order]]
        sorts = {
            "held out, lowest error: missed": odd[:SHOWN],
            "held out, highest error: found": odd[: -SHOWN - 1 : -1],
            "known, highest error: false alarms": normal[: -SHOWN - 1 : -1],
        }
        panels = []
        for title, some in sorts.items():
            both = np.concatenate([held.images[some, 0], held.outputs[some, 0]])
            panels.append(Panel(mosaic(both, len(some)), title if not rows else ""))
        rows.append((name, panels))
    draw_panels(rows, path, width=11.0)


def draw_scores(pairs: Sequence[tuple[str, Scored]], path: Path) -> None:
    """How -ELBO and the AE's error are spread, of the known kinds and of the held-out one."""
    figure, grid = plt.subplots(len(pairs), 2, figsize=(9.6, 2.7 * len(pairs)), squeeze=False)
    for row, (name, held) in zip(grid, pairs, strict=True):
        for axes, score, unit in zip(
            row, ("AE error", "-ELBO"), ("squared error per pixel", "nats"), strict=True
        ):
            values = held.scores[score]
            bins = np.linspace(values.min(), np.percentile(values, 99.5), 45)
            for some, colour, label in (
                (~held.odd, "0.6", "the nine known kinds"), (held.odd, "C3", f"{name}, held out"),
            ):  # fmt: skip
                axes.hist(
                    np.minimum(values[some], bins[-1]), bins, density=True, color=colour,
                    alpha=0.6, label=label,
                )  # fmt: skip
            axes.set(xlabel=f"{score}, {unit}", yticks=[], title=f"{name} held out: {score}")
        row[0].legend()
        row[0].set_ylabel("density")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
