"""Half of an image is missing: fill it in by decoding and encoding, again and again.

Start with the mean of the training images where pixels are missing. Then repeat

    x ← known pixels of x, and where they are missing decode(encode(x)),

so that each time the encoder is told the truth where it is known, and its own guess elsewhere. An
autoencoder and a VAE do so that have seen whole images only; and a denoising autoencoder that was
trained to restore images of which one half, of any side, was filled with the mean.

What to see: the denoising autoencoder has learned the task, and only it fills in much better than
the mean. The others take the mean for part of the image. To repeat makes strokes firmer and the
error larger, for all three: a stroke in the wrong place costs more than the grey mean does, which
hedges, and the kind of digit is lost more often. `nearest image` takes the missing half from the
training image whose known half is most alike: no network, firm strokes that cost as much, and yet
it keeps the kind as often as any.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import Images, expect_at_least, parser, run, table
from demos.pictures import Panel, draw_panels, mosaic, shown
from demos.short_encoders import checked, named_images, plain, restored, trained, variational
from demos.vae_numbers import KNOWN, flat, squares, votes
from minigrad import Tensor, nn, tensor, where
from minigrad.nn import functional as F

COURSE = "A23"
TIME = "20 seconds"

SIDES = "lower", "upper", "left", "right"
COLOURS = {"autoencoder": "C0", "denoising": "C2", "VAE": "C1"}


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=10)
    made.add_argument("--code", type=int, default=16, help="numbers in the code (default 16)")
    made.add_argument("--missing", choices=SIDES, default="lower", help="half (default lower)")
    made.add_argument("--passes", type=int, default=20, help="through each model (default 20)")
    args = checked(made.parse_args(), quick_epochs=3)
    expect_at_least(args, passes=1)
    return args


def known_pixels(missing: str, size: int = 28) -> np.ndarray:
    """Which pixels (size, size) are known if that half is missing.

    >>> known_pixels("right", 2).tolist()
    [[True, False], [True, False]]
    """
    first = np.arange(size) < size // 2
    known = first if missing in ("lower", "right") else ~first
    shape = (size, 1) if missing in ("lower", "upper") else (1, size)
    return np.broadcast_to(known.reshape(shape), (size, size))


def denoising_loss(mean: Tensor) -> Callable[[nn.Module, Tensor], Tensor]:
    """The mean squared error of an image whose one half, of any side, was filled with the mean."""
    halves = tensor(np.stack([known_pixels(side) for side in SIDES])[:, None], device=mean.device)

    def loss(model: nn.Module, x: Tensor) -> Tensor:
        known = halves[minigrad.randint(0, len(SIDES), (len(x),)).numpy()]
        return F.mse_loss(model(where(known, x, mean)), x)

    return loss


# ---------------------------------------------------------------- filling in


def fill(model: nn.Module, start: np.ndarray, known: np.ndarray, passes: int) -> list[np.ndarray]:
    """The images (n, 1, h, w) after 0, 1, … passes, known pixels as they are."""
    device = next(model.parameters()).device
    filled = [start]
    for _ in range(passes):
        guess = restored(model, tensor(filled[-1], device=device))
        filled.append(np.where(known, start, guess))
    return filled


def from_nearest(images: np.ndarray, train: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The missing pixels of the training image that is nearest where pixels are known."""
    nearest = squares(images[:, 0, known], train[:, 0, known]).argmin(1)
    return np.where(known, images, train[nearest])


def error(filled: np.ndarray, images: np.ndarray, known: np.ndarray) -> float:
    """The mean squared error of the missing pixels."""
    return float(((filled - images)[:, 0, ~known] ** 2).mean())


def right_kind(filled: np.ndarray, train: Images, test: Images) -> float:
    """The share of filled images that the nearest training images say to be of their own kind."""
    known, labels = flat(train.images[:KNOWN]), train.labels[:KNOWN].cpu().numpy()
    said = votes(known, labels, filled.reshape(len(filled), -1))
    return float((said == test.labels.cpu().numpy()).mean())


def decibels(mse: float) -> float:
    """PSNR = -10 log₁₀ MSE of pixels in [0, 1], here of the mean MSE of all images."""
    return float(-10 * np.log10(mse))


# ---------------------------------------------------------------- pictures


def draw_errors(errors: dict[str, list[float]], lines: dict[str, float], path: Path) -> None:
    """The error on missing pixels against the passes; without a network, a level."""
    figure, axes = plt.subplots(figsize=(6.8, 4.2))
    for (name, level), style in zip(lines.items(), ("--", ":"), strict=True):
        axes.axhline(level, color="0.35", ls=style, lw=1.5, label=name)
    for name, values in errors.items():
        axes.plot(values, "o-", color=COLOURS[name], lw=1.8, ms=4, label=name)
    axes.set(xlabel="passes through decode(encode(x))", ylabel="MSE of the missing pixels")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    figure.savefig(path)
    plt.close(figure)


def draw_filled(rows: dict[str, np.ndarray], path: Path) -> None:
    """Images (n, h, w) in rows with names."""
    draw_panels([(name, [Panel(mosaic(row))]) for name, row in rows.items()], path, width=11)


def report(
    filled: dict[str, list[np.ndarray]], errors: dict[str, list[float]], train: Images, test: Images
) -> str:
    """The closing table: what each way made after its first pass and its last."""
    rows = []
    for name, passes in filled.items():
        values, first = errors[name], min(1, len(passes) - 1)
        kinds = [right_kind(passes[i], train, test) for i in (first, -1)]
        rows.append((
            name, values[first], values[-1], decibels(min(values)), str(int(np.argmin(values))),
            *(f"{share:.0%}" for share in kinds),
        ))  # fmt: skip
    last = f"{max(map(len, filled.values())) - 1} passes"
    columns = (
        "filled by", "MSE, 1 pass", f"MSE, {last}", "best PSNR", "after", "right kind, 1",
        f"right kind, {last}",
    )  # fmt: skip
    return table(columns, rows)


def main() -> None:
    """Train the three, fill in the test images, draw, and print the table."""
    args = flags()
    started = time.perf_counter()
    train, test, _ = named_images(args, *((1500, 300) if args.quick else (8_000, 1_000)))
    folder = args.out / "imputation"
    folder.mkdir(parents=True, exist_ok=True)
    known = known_pixels(args.missing)
    mean = train.images.mean(0, keepdim=True)
    losses = {"autoencoder": None, "denoising": denoising_loss(mean), "VAE": None}
    sample = shown(*test, each=2).cpu().numpy()
    images = np.concatenate([sample, test.images.cpu().numpy()])  # the sample is drawn
    start = np.where(known, images, mean.cpu().numpy())
    filled = {}
    for name, loss in (bar := tqdm(losses.items(), desc="models", unit="model")):
        bar.set_postfix_str(name)
        make = variational if name == "VAE" else plain
        model = trained(lambda make=make: make(args.code), train.images, args, loss)
        filled[name] = fill(model, start, known, args.passes)
    nearest = from_nearest(images, train.images.cpu().numpy(), known)
    n = len(sample)
    errors = {
        name: [error(x[n:], images[n:], known) for x in passes] for name, passes in filled.items()
    }
    levels = {
        "mean": error(start[n:], images[n:], known),
        "nearest image": error(nearest[n:], images[n:], known),
    }
    draw_errors(errors, levels, folder / "errors.png")
    rows = {"image": sample, "known": np.where(known, sample, 0.35), "mean": start[:n]}
    rows["nearest image"] = nearest[:n]
    for name, passes in filled.items():
        rows[f"{name},\n1 pass"], rows[f"{name},\n{args.passes} passes"] = passes[1], passes[-1]
    draw_filled({name: row[:n, 0] for name, row in rows.items()}, folder / "filled.png")
    print(f"\nthe {args.missing} half is missing: MSE of its pixels, and PSNR in dB\n")
    ends = {"mean": [start], "nearest image": [nearest], **filled}
    measured = {**{name: [level] for name, level in levels.items()}, **errors}
    print(report({k: [x[n:] for x in v] for k, v in ends.items()}, measured, train, test))
    print("\nright kind: most of the ten training images nearest to the filled one are of its kind")
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; pictures in {folder}/")


if __name__ == "__main__":
    run(main)
