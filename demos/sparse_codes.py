r"""Three penalties on two activities: what each makes of a code with more units than pixels.

The distances KL, L1 and L2 from the desired activity ρ̂ = 0.05, each of the activity per unit over
the batch, and of the activity per example over the units (models/sparsity.py): six models, and one
without a penalty. Each λ is such that the six reconstruct about equally well. Course: A10, A11.
"""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from demos.autoencoder_zoo_pictures import enlarged
from demos.pictures import Panel, draw_panels, mosaic, save_figure
from models.regularized import SparseAutoencoder

PIXELS, UNITS = 28 * 28, 1024
DESIRED = 0.05
LIT = 0.5  # a unit answers to an image with an h above it, or does not
NONE = "no penalty"
WEIGHTS = {
    ("unit", "kl"): 2e-4, ("unit", "l1"): 2e-4, ("unit", "l2"): 1e-3,
    ("example", "kl"): 1e-1, ("example", "l1"): 3e-1, ("example", "l2"): 2.0,
}  # fmt: skip
COLOURS = {"unit": "C0", "example": "C1"}
Codes = dict[str, np.ndarray]  # of each model: the activations (n, UNITS) of test images


def name_of(per: str, distance: str) -> str:
    """What a model is called."""
    return f"{distance.upper()} per {per}"


def sparse_makers() -> dict[str, Callable[[], SparseAutoencoder]]:
    """What makes each model, by its name."""

    def maker(per: str, distance: str, weight: float) -> Callable[[], SparseAutoencoder]:
        return lambda: SparseAutoencoder(
            (PIXELS, UNITS), "identity", DESIRED, weight, distance, per
        )

    made = {NONE: maker("unit", "kl", 0.0)}
    return made | {name_of(*kind): maker(*kind, weight) for kind, weight in WEIGHTS.items()}


def sparse_row(name: str, weight: float, error: float, h: np.ndarray) -> tuple:
    """The model's row of the table."""
    often = (h > LIT).mean(0)  # of the images, for each unit
    shares = (h > LIT).mean(), (often > 0.5).mean(), (often == 0).mean()
    return name, f"{weight:g}", error, float(h.mean()), *(f"{100 * s:.1f} %" for s in shares)


SPARSE_COLUMNS = (
    "penalty", "λ", "test MSE", "mean h", "h > ½", "units lit by most images", "by none",
)  # fmt: skip


def draw_activations(codes: Codes, path: Path) -> None:
    """Histograms: of all activations, of each unit's activity, and of each image's.

    A column for each distance; beside the two activities that it may be of, the code without it.
    """
    figure, axes = plt.subplots(
        3, 3, figsize=(11, 8), sharex="row", sharey="row",
        gridspec_kw={"hspace": 0.38, "wspace": 0.08},
    )  # fmt: skip
    kinds = {
        "activations h": np.ravel,
        "activity of a unit, ρⱼ": lambda h: h.mean(0),
        "activity of an image, ρᵢ": lambda h: h.mean(1),
    }
    for row, (what, values) in zip(axes, kinds.items(), strict=True):
        end = max(float(values(h).max()) for h in codes.values())
        bins = np.linspace(0, end, 41)
        for ax, distance in zip(row, ("kl", "l1", "l2"), strict=True):
            _histogram(ax, values(codes[NONE]), bins, "0.8", NONE, filled=True)
            for per, colour in COLOURS.items():
                _histogram(ax, values(codes[name_of(per, distance)]), bins, colour, f"per {per}")
            ax.axvline(DESIRED, color="black", ls=":", lw=1, label="ρ̂, desired")
            ax.set(xlabel=what, yscale="log")
            ax.minorticks_off()
    for ax, distance in zip(axes[0], ("KL", "L1", "L2"), strict=True):
        ax.set_title(distance)
    for ax in axes[:, 0]:
        ax.set_ylabel("share")
    axes[0, 2].legend(fontsize=9)
    save_figure(figure, path)


def _histogram(
    axes: plt.Axes, values: np.ndarray, bins: np.ndarray, colour: str, label: str,
    filled: bool = False,
) -> None:  # fmt: skip
    axes.hist(
        values, bins, weights=np.full(values.shape, 1 / values.size), label=label,
        color=colour, histtype="stepfilled" if filled else "step", lw=1.6,
    )  # fmt: skip


def draw_active(codes: Codes, images: np.ndarray, path: Path) -> None:
    """Images (n, h, w), and of each model which units answer to them: light, and the others dark.

    A unit keeps its place. `codes` are those of these images.
    """
    side = int(UNITS**0.5)
    # All of one size, a multiple of `side`, so that all gaps are of one width.
    rows = [("input", [Panel(mosaic(enlarged(images, 4 * side), gap=4))])]
    for name, h in codes.items():
        lit = np.where(h > LIT, np.float32(1), np.float32(0.12)).reshape(-1, side, side)
        each = (h > LIT).sum(1)
        label = f"{name},\n{each.min()} to {each.max()} of {UNITS:,}"
        rows.append((label, [Panel(mosaic(enlarged(lit, 4 * side), gap=4))]))
    draw_panels(rows, path)
