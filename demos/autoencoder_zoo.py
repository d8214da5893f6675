r"""Autoencoders that cannot copy: corrupted input, few active codes, codes that hold still.

Seven models with the same images, epochs, seed and optimiser (Adam 2e-3, batches of 64), one layer
from image to code and one back. Then sparse codes of 1,024 units, by three penalties on two
activities. Then the failures: a code as large as the image, a larger one, and
so many weights that the training images are learned by heart. Then a sweep over code size, depth,
width and loss.

What to see:
- Who copies? Scrambled images are noise: each pixel is that of another image, so that mean and
  variance of every pixel are those of digits, and nothing else is. A model that has learned digits
  cannot keep them; one that has learned to copy can.
- The plain model has the best reconstructions of the zoo, and copies most. Of noisy images it keeps
  the noise; the denoising one errs less than a third as much there.
- Sparse codes: few units answer, and others to another image. Of k-sparse ones exactly k.
- A penalty per example asks each image to light few units, and does not ask which: 20 to 40 of the
  1,024 are lit by most images, and say little of any; the others hardly answer. Per unit, as usual,
  each unit's mean is near the desired one, and hardly any is lit by most images. KL, L1 and L2
  differ less than the two activities do. After so few epochs many units are lit by no image yet.
- The contractive codes have the smallest ‖J‖_F. Part of that is the layer's doing: with λ = 0 the
  codes are sigmoids and the weights tied too, and that alone helps against noise. λ does the rest:
  not in the direction in which codes move most, for digits are told apart by it, but in the many
  that reconstruction can spare.
- ‖f(x+δ) - f(x)‖ ≤ ‖J‖_F ‖δ‖ holds to first order in δ, and exactly if f is linear. It is far from
  tight: a random δ uses a 28th of it, for it meets all 784 directions alike.
- The sweep has one budget for all: deeper networks would need more of it.
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import minigrad
from demos.autoencoder_zoo_pictures import (
    draw_bound,
    draw_codes,
    draw_copying,
    draw_filters,
    draw_heart,
    draw_reconstructions,
)
from demos.common import Images, expect_at_least, load_images, parser, run, table
from demos.pictures import shown
from demos.sparse_codes import (
    NONE,
    SPARSE_COLUMNS,
    WEIGHTS,
    draw_activations,
    draw_active,
    name_of,
    sparse_makers,
    sparse_row,
)
from minigrad import Generator, Tensor, nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError
from minigrad.nn import functional as F
from minigrad.training import fit
from models.autoencoder import Autoencoder
from models.corruption import gaussian
from models.jacobian import frobenius_norm
from models.regularized import (
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    SparseAutoencoder,
)
from models.sparsity import DISTANCES, PENALTIES

COURSE = "A7, A8, A9, A10, A11, A15, A16"
TIME = "a minute and a half"

PIXELS = 28 * 28
NOISE = 0.5  # standard deviation of the noise on images
LIT = 0.1  # a unit is active where |h| is more
BY_HEART = 40  # images for the model that has too many weights

Makers = dict[str, Callable[[], Autoencoder]]


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=8)
    made.add_argument("--images", type=int, default=4000, help="to train on (default 4000)")
    made.add_argument("--code", type=int, default=256, help="units in every code (default 256)")
    made.add_argument("-k", type=int, default=20, help="units of the k-sparse code (default 20)")
    made.add_argument("--contraction", type=float, default=5e-3, help="λ of ‖J‖²_F (5e-3)")
    made.add_argument("--sparsity", type=float, default=1e-3, help="λ of the sparse code (1e-3)")
    made.add_argument("--distance", choices=DISTANCES, default="kl", help="of activities (kl)")
    made.add_argument("--per", choices=PENALTIES, default="unit", help="which activity (unit)")
    args = made.parse_args()
    if args.quick:
        args.epochs, args.images = min(args.epochs, 4), min(args.images, 640)
    expect_at_least(args, epochs=1, images=2 * BY_HEART, code=2)
    if not 1 <= args.k <= args.code:
        raise ArgumentError(f"-k: got {args.k}; expected from 1 to {args.code}, the code's size")
    return args


def kinds(args: argparse.Namespace) -> Makers:
    """What makes each model of the zoo, by its name.

    No sigmoid at the end, which would leave little room for copying anything but ink on paper.
    """
    sizes, end = (PIXELS, args.code), "identity"
    few = (PIXELS, max(2, args.code // 8))
    return {
        f"plain, {few[-1]} codes": lambda: Autoencoder(few, end),
        "plain": lambda: Autoencoder(sizes, end),
        "denoising": lambda: DenoisingAutoencoder(sizes, end, "gaussian", NOISE),
        "sparse": lambda: SparseAutoencoder(
            sizes, end, weight=args.sparsity, distance=args.distance, per=args.per
        ),
        "k-sparse": lambda: KSparseAutoencoder(sizes, end, k=args.k),
        "contractive, λ = 0": lambda: ContractiveAutoencoder(sizes, end, weight=0.0),
        "contractive": lambda: ContractiveAutoencoder(sizes, end, weight=args.contraction),
    }


def copiers() -> Makers:
    """Nothing keeps these from copying."""
    return {
        "as large as the image": lambda: Autoencoder((PIXELS, PIXELS), "identity"),
        "overcomplete": lambda: Autoencoder((PIXELS, 1024), "identity"),
    }


class Sweep(Autoencoder):
    """An autoencoder with either loss: both are for pixels in [0, 1]."""

    def __init__(self, sizes: tuple[int, ...], criterion: str) -> None:
        super().__init__(sizes, "sigmoid")
        self.sizes, self.criterion = sizes, criterion

    def loss(self, x: Tensor, *labels: Tensor) -> Tensor:
        """The mean over the pixels of (r - x)², or of -x ln r - (1 - x) ln (1 - r)."""
        measure = {"MSE": F.mse_loss, "BCE": F.binary_cross_entropy}[self.criterion]
        return measure(self(x), x)


def sweep() -> Makers:
    """Around 784-128-16 with MSE one thing at a time is changed. Course: A16."""
    base = (PIXELS, 128, 16)
    plans = {
        "as it is": (base, "MSE"),
        "code 4": ((PIXELS, 128, 4), "MSE"),
        "code 64": ((PIXELS, 128, 64), "MSE"),
        "1 layer": ((PIXELS, 16), "MSE"),
        "3 layers": ((PIXELS, 128, 128, 16), "MSE"),
        "4 layers": ((PIXELS, 128, 128, 128, 16), "MSE"),
        "width 32": ((PIXELS, 32, 16), "MSE"),
        "width 512": ((PIXELS, 512, 16), "MSE"),
        "loss BCE": (base, "BCE"),
    }
    return {name: (lambda plan=plan: Sweep(*plan)) for name, plan in plans.items()}


# ---------------------------------------------------------------- training and measuring


def train(make: Callable[[], Autoencoder], images: Images, args: argparse.Namespace, bar: tqdm,
          epochs: int | None = None) -> Autoencoder:  # fmt: skip
    """One model, from the same seed as all others."""
    minigrad.manual_seed(args.seed)
    model = make().to(args.device)

    def advance(epoch: int, record: dict[str, float]) -> None:
        bar.update()

    fit(
        model, type(model).loss, optim.Adam(model.parameters(), lr=2e-3),
        DataLoader(TensorDataset(*images), 64, shuffle=True), epochs or args.epochs,
        on_epoch=advance, progress=False,
    )  # fmt: skip
    model.eval()
    return model


def half(args: argparse.Namespace) -> argparse.Namespace:
    """The same with half the epochs."""
    return argparse.Namespace(**{**vars(args), "epochs": -(-args.epochs // 2)})


def train_all(makers: Makers, images: Images, args: argparse.Namespace) -> dict[str, Autoencoder]:
    """Every model, with a bar for all of them."""
    trained = {}
    with tqdm(total=len(makers) * args.epochs, unit=" epochs") as bar:
        for name, make in makers.items():
            bar.set_description(name)
            trained[name] = train(make, images, args, bar)
    return trained


def scrambled(images: Tensor, seed: int) -> Tensor:
    """Noise with the mean and variance of `images` at each pixel: each comes from another image."""
    generator, flat = np.random.default_rng(seed), images.cpu().numpy().reshape(len(images), -1)
    mixed = generator.permuted(flat, axis=0).reshape(images.shape)
    return minigrad.tensor(mixed, device=images.device)


class Views(NamedTuple):
    """The test images as they are, with noise, and scrambled."""

    clean: Tensor
    noisy: Tensor
    scrambled: Tensor


def views(images: Tensor, seed: int) -> Views:
    """The same for every model."""
    noise = Generator(images.device).manual_seed(seed)
    return Views(images, gaussian(images, NOISE, noise), scrambled(images, seed))


@minigrad.no_grad()
def error(model: nn.Module, x: Tensor, target: Tensor) -> float:
    """The mean squared error of what the model makes of x."""
    return F.mse_loss(model(x), target).item()


def kept(model: nn.Module, x: Tensor) -> float:
    """1 - MSE / variance, the share of x that is kept: 1 of a copy, 0 of the mean of all images.

    Of scrambled images this is the identity score: there is nothing to know about them, so that
    what is kept was copied.
    """
    return 1 - error(model, x, x) / x.var(0, correction=0).mean().item()


@minigrad.no_grad()
def codes(model: Autoencoder, images: Tensor) -> np.ndarray:
    """The codes (n, units) of images."""
    return model.encode(images).cpu().numpy()


def row(name: str, model: Autoencoder, on: Views) -> tuple:
    """The model's row of the table."""
    h = codes(model, on.clean)
    lit = f"{100 * (np.abs(h) > LIT).mean():.1f} %"
    steep = frobenius_norm(model.encode, on.clean[:10]).mean().item()
    noisy = error(model, on.noisy, on.clean)
    return name, h.shape[1], error(model, on.clean, on.clean), noisy, lit, steep, kept(
        model, on.clean), kept(model, on.scrambled)  # fmt: skip


def sweep_row(name: str, model: Sweep, test: Tensor) -> tuple:
    """The model's row in the table of the sweep; both losses, whichever it was trained with."""
    with minigrad.no_grad():
        r = model(test)
        losses = F.mse_loss(r, test).item(), F.binary_cross_entropy(r, test).item()
    shape = "-".join(map(str, model.sizes))
    return name, shape, model.criterion, sum(p.numel() for p in model.parameters()), *losses


# ---------------------------------------------------------------- the three parts


def few(sample: Tensor, on: Views) -> Views:
    """The three views for a picture; what is scrambled comes from all test images."""
    noise = Generator(sample.device).manual_seed(0)
    return Views(sample, gaussian(sample, NOISE, noise), on.scrambled[: len(sample)])


def zoo(args: argparse.Namespace, train_set: Images, test: Images) -> dict[str, Autoencoder]:
    """All kinds side by side, and their table."""
    folder, on = args.out / "autoencoder_zoo", views(test.images, args.seed)
    models = train_all(kinds(args), train_set, args)
    sample = shown(*test, each=1)
    draw_reconstructions(models, few(sample, on), folder / "reconstructions.png")
    draw_codes(models, sample, folder / "codes.png")
    draw_filters(models, test.images, folder / "filters.png")
    highest = draw_bound(
        {name: models[name] for name in ("plain", "contractive, λ = 0", "contractive")},
        test.images[: 2 if args.quick else 12], args.seed, folder / "bound.png",
    )  # fmt: skip
    columns = "model", "codes", "test MSE", "noisy MSE", "active", "‖J‖_F", "kept", "copied"
    print("\n" + table(columns, [row(name, model, on) for name, model in models.items()]))
    used = (codes(models["k-sparse"], test.images) != 0).sum(1)
    print(f"\nnoisy: σ = {NOISE} added. active: |h| > {LIT}. kept: share of the images' variance.")
    print("copied: the same of scrambled images, which hold nothing that could be learned.")
    print(f"k-sparse codes that are not 0: {used.min()} to {used.max()} of {args.code}")
    print("‖f(x+δ) - f(x)‖ / (‖J‖_F ‖δ‖), the largest seen: first at ‖δ‖ = 0.01, then at any")
    for name, (near, anywhere) in highest.items():
        print(f"  {name:18}  {near:.3f}  {anywhere:.3f}")
    return models


def penalties(args: argparse.Namespace, train_set: Images, test: Images) -> None:
    """Sparse codes with more units than pixels: three penalties, two activities. Course: A10, A11.

    Half the epochs, for four times the units.
    """
    folder = args.out / "autoencoder_zoo"
    print("\nsparse and overcomplete")
    models = train_all(sparse_makers(), train_set, half(args))
    found = {name: codes(model, test.images) for name, model in models.items()}
    draw_activations(found, folder / "activations.png")
    sample = shown(*test, each=1)
    answers = {name: codes(model, sample) for name, model in models.items()}
    draw_active(answers, sample.cpu().numpy()[:, 0], folder / "active.png")
    weights = {NONE: 0.0} | {name_of(*kind): weight for kind, weight in WEIGHTS.items()}
    rows = [
        sparse_row(name, weights[name], error(model, test.images, test.images), found[name])
        for name, model in models.items()
    ]
    print("\n" + table(SPARSE_COLUMNS, rows))


def failures(
    args: argparse.Namespace, plain: dict[str, Autoencoder], train_set: Images, test: Images
) -> None:
    """Code as large as the image, or larger; and more weights than the images need. Course: A15."""
    folder, on = args.out / "autoencoder_zoo", views(test.images, args.seed)
    print("\nwhat goes wrong")
    models = plain | train_all(copiers(), train_set, args)
    seen = Images(*(part[:BY_HEART] for part in train_set))
    epochs = 60 if args.quick else 400
    with tqdm(total=epochs, desc="by heart", unit=" epochs") as bar:
        heart = train(
            lambda: Autoencoder((PIXELS, 512, 512, 2), "identity"), seen, args, bar, epochs
        )
    sample = shown(*test, each=1)
    draw_copying(models, few(sample, on), folder / "copying.png")
    draw_heart(heart, seen.images[:10], sample, folder / "by_heart.png")
    rows = [
        (name, model.decoder[0].weight.shape[1], error(model, on.clean, on.clean),
         kept(model, on.clean), kept(model, on.scrambled)) for name, model in models.items()
    ]  # fmt: skip
    print("\n" + table(("model", "codes", "test MSE", "kept", "copied"), rows))
    known = error(heart, seen.images, seen.images)
    new = error(heart, test.images, test.images)
    print(f"\n784-512-512-2, trained on {BY_HEART} images: MSE {known:.4f} on them,", end=" ")
    print(f"{new:.4f} on others; variance of the images {test.images.var(0).mean().item():.4f}")


def hyperparameters(args: argparse.Namespace, train_set: Images, test: Images) -> None:
    """The sweep's table."""
    print("\none thing at a time")
    models = train_all(sweep(), train_set, half(args) if args.quick else args)
    columns = "changed", "layers", "loss", "parameters", "test MSE", "test BCE"
    print("\n" + table(columns, [sweep_row(n, m, test.images) for n, m in models.items()]))


def main() -> None:
    """Train the zoo, what fails, and the sweep; draw, and print the tables."""
    args = flags()
    started = time.perf_counter()
    tested = 200 if args.quick else 1000
    train_set, test = (
        Images(*(part[:n] for part in images))
        for images, n in zip(
            load_images(args, args.images, tested), (args.images, tested), strict=True
        )
    )
    folder = args.out / "autoencoder_zoo"
    folder.mkdir(parents=True, exist_ok=True)
    models = zoo(args, train_set, test)
    plain = dict(list(models.items())[:2])
    penalties(args, train_set, test)
    failures(args, plain, train_set, test)
    hyperparameters(args, train_set, test)
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; pictures in {folder}/")


if __name__ == "__main__":
    run(main)
