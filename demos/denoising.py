"""Noise taken away: an autoencoder for each kind of noise, tried on every other kind.

One autoencoder for each way to spoil an image (models/corruption.py), and a plain one, which never
saw noise. All have the same layers, 784-512-128-512-784, and the same images, epochs and seed. Each
is then given images spoilt in every way, and images that are not.

What to see: the diagonal. Against each noise that model is best which was trained on it, and clean
images are best left to the plain one. Gaussian noise is the best school for the others, where a
model that has only seen missing ink makes salt and pepper worse than the plain one does: it takes
every bright pixel for ink. The plain one is not helpless, for 128 codes have no room for all noise.

PSNR is 10 log₁₀ (1 / MSE) in decibels, the mean over the test images: +3 dB is half the error.
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import Images, expect_at_least, load_images, parser, run, table
from demos.pictures import Panel, draw_panels, mosaic, shown
from minigrad import Generator, Tensor, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError
from minigrad.training import fit
from models.autoencoder import Autoencoder
from models.corruption import CORRUPTIONS
from models.regularized import DenoisingAutoencoder
from models.scores import psnr

COURSE = "A8"
TIME = "half a minute"

PIXELS = 28 * 28
NAMES = {
    "none": "none", "gaussian": "Gaussian", "masking": "masking",
    "salt_and_pepper": "salt and pepper", "dropout": "dropout",
}  # fmt: skip


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=10)
    made.add_argument("--images", type=int, default=4000, help="to train on (default 4000)")
    made.add_argument("--hidden", type=int, default=512, help="units between (default 512)")
    made.add_argument("--code", type=int, default=128, help="numbers in the code (default 128)")
    made.add_argument("--sigma", type=float, default=0.5, help="of the Gaussian noise (0.5)")
    made.add_argument(
        "--share", type=float, default=0.5, help="of pixels that the other three spoil (0.5)"
    )
    args = made.parse_args()
    if args.quick:
        args.images = min(args.images, 2500)
        args.hidden, args.code = min(args.hidden, 128), min(args.code, 64)
    expect_at_least(args, epochs=1, images=1, hidden=1, code=1)
    if not 0 < args.share < 1 or not 0 < args.sigma < np.inf:
        raise ArgumentError(
            f"--sigma, --share: got {args.sigma}, {args.share}; expected σ above 0, and a share "
            "between 0 and 1"
        )
    return args


def level(name: str, args: argparse.Namespace) -> float:
    """How much of that noise."""
    return args.sigma if name == "gaussian" else args.share


class Trainings:
    """A model for each noise, and one for none: all from the same seed, on the same images."""

    def __init__(self, args: argparse.Namespace, images: Images) -> None:
        self.args, self.models = args, {}
        sizes = PIXELS, args.hidden, args.code
        with tqdm(total=(1 + len(CORRUPTIONS)) * args.epochs, unit=" epochs") as self.bar:
            for name in ("none", *CORRUPTIONS):
                self.bar.set_description(name)
                minigrad.manual_seed(args.seed)
                model = (
                    Autoencoder(sizes, "sigmoid") if name == "none"
                    else DenoisingAutoencoder(sizes, "sigmoid", name, level(name, args))
                )  # fmt: skip
                self.models[name] = self.train(model.to(args.device), images)

    def train(self, model: Autoencoder, images: Images) -> Autoencoder:
        """All epochs of one of them."""
        fit(
            model, type(model).loss, optim.Adam(model.parameters(), lr=2e-3),
            DataLoader(TensorDataset(*images), 64, shuffle=True), self.args.epochs,
            on_epoch=self.advance, progress=False,
        )  # fmt: skip
        return model.eval()

    def advance(self, epoch: int, record: dict[str, float]) -> None:
        """One epoch of one model is done."""
        self.bar.update()


def spoilt(images: Tensor, args: argparse.Namespace) -> dict[str, Tensor]:
    """The images as they are and spoilt in each way, the same for every model."""
    views = {"none": images}
    for name, corruption in CORRUPTIONS.items():
        noise = Generator(images.device).manual_seed(args.seed + 1)
        views[name] = corruption(images, level(name, args), noise)
    return views


@minigrad.no_grad()
def restored_psnr(
    models: dict[str, Autoencoder], views: dict[str, Tensor], clean: Tensor
) -> np.ndarray:
    """The mean PSNR against the clean images: a row for no model at all, then one for each model.

    Columns are the views. No model: the spoilt image itself, with pixels beyond [0, 1] cut off.
    """
    with np.errstate(divide="ignore"):
        rows = [[psnr(x.clamp(0, 1), clean).mean() for x in views.values()]]
    rows += [[psnr(model(x), clean).mean() for x in views.values()] for model in models.values()]
    return np.array(rows)


# ---------------------------------------------------------------- pictures


@minigrad.no_grad()
def draw_restored(
    models: dict[str, Autoencoder], clean: Tensor, args: argparse.Namespace, path: Path
) -> None:
    """For each noise: clean images, spoilt ones, what the plain model and its own make of them."""

    def row(name: str, images: Tensor) -> tuple[str, list[Panel]]:
        return name, [Panel(mosaic(images.cpu().numpy()[:, 0]))]

    rows = [row("clean", clean)]
    views = spoilt(clean, args)
    for name, label in list(NAMES.items())[1:]:
        rows += [
            row(label, views[name]),
            row("by the plain model", models["none"](views[name])),
            row("by its own model", models[name](views[name])),
        ]
    draw_panels(rows, path)


@minigrad.no_grad()
def draw_crossed(
    models: dict[str, Autoencoder], image: Tensor, args: argparse.Namespace, path: Path
) -> None:
    """One image: every model on every noise."""
    views = spoilt(image, args)
    rows = [("input", [Panel(x.cpu().numpy()[0, 0], NAMES[name]) for name, x in views.items()])]
    for name, model in models.items():
        panels = [Panel(model(x).cpu().numpy()[0, 0]) for x in views.values()]
        rows.append((f"trained on\n{NAMES[name]}", panels))
    draw_panels(rows, path, width=7.0)


def draw_heat_map(decibels: np.ndarray, path: Path) -> None:
    """PSNR of each model (row) on each noise (column); the best of a column is framed."""
    figure, axes = plt.subplots(figsize=(7.4, 5.2))
    finite = np.where(np.isfinite(decibels), decibels, np.nan)
    shades = axes.imshow(finite, "viridis", aspect="auto", vmax=np.nanmax(decibels[1:]))
    middle = (np.nanmin(finite) + np.nanmax(decibels[1:])) / 2
    for (i, j), value in np.ndenumerate(decibels):
        text = f"{value:.1f}" if np.isfinite(value) else "∞"
        dark = np.isfinite(value) and value < middle
        axes.text(j, i, text, ha="center", va="center", color="white" if dark else "black")
    for j, i in enumerate(decibels[1:].argmax(0) + 1):
        frame = plt.Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, fill=False, ec="#ff5a1f", lw=2.5)
        axes.add_patch(frame)
    axes.set_xticks(range(len(NAMES)), [name.replace(" and", "\nand") for name in NAMES.values()])
    axes.set_yticks(range(1 + len(NAMES)), ["not restored", *NAMES.values()])
    axes.set(
        xlabel="noise on the test images", ylabel="noise in training",
        title="PSNR in dB, the best model of each column framed",
    )  # fmt: skip
    axes.grid(False)
    figure.colorbar(shades)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    """Train one model for each noise, restore, draw, and print the table."""
    args = flags()
    started = time.perf_counter()
    tested = 200 if args.quick else 1000
    train, test = (
        Images(*(part[:n] for part in images))
        for images, n in zip(
            load_images(args, args.images, tested), (args.images, tested), strict=True
        )
    )
    folder = args.out / "denoising"
    folder.mkdir(parents=True, exist_ok=True)
    models = Trainings(args, train).models
    decibels = restored_psnr(models, spoilt(test.images, args), test.images)
    sample = shown(*test, each=1)
    draw_restored(models, sample, args, folder / "restored.png")
    draw_crossed(models, sample[3:4], args, folder / "crossed.png")
    draw_heat_map(decibels, folder / "psnr.png")
    names = "not restored", *NAMES.values()
    print(f"\nPSNR in dB of {len(test.images):,} test images; columns: the noise on them,")
    print(
        f"rows: the noise in training. Gaussian σ {args.sigma}, of the others {args.share:.0%}.\n"
    )
    rows = [(name, *(f"{v:.2f}" for v in row)) for name, row in zip(names, decibels, strict=True)]
    print(table(("trained on", *NAMES.values()), rows))
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; pictures in {folder}/")


if __name__ == "__main__":
    run(main)
