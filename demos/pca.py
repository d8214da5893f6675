"""A linear autoencoder finds the plane of PCA; a deep one with as many codes does better.

First an autoencoder of one linear layer each way, 784-7-784 with mean squared error, is trained on
centred images, all of them in every step, by Adam with a rate that falls to 0. Every step measures
the principal angles between what its decoder's columns span and the first 7 principal directions.
Then deep autoencoders with three hidden layers, 784-256-128-64-d, beside PCA with d components,
both of the same images, for d from 1 to 64.

What to see: the columns look nothing like the principal components, and are not orthogonal; yet
they span the same space, to a ten-thousandth of a radian, and what they reconstruct is the same.
The loss cannot tell one basis of that space from another. With layers between, two codes part the
classes that two principal components leave on top of each other. Up to 32 codes the layers gain
much: with 8 or 16 about half of the error is left. Ten epochs make little use of 64, where PCA,
exact at once, is ahead: a deep autoencoder that copies well takes longer to train than one that
sums up.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import Images, load_images, parser, run, table
from demos.pictures import DIGIT_COLOURS, Panel, draw_panels, each_by_its_largest, mosaic, shown
from minigrad import Tensor, nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError
from minigrad.optim.lr_scheduler import CosineAnnealingLR
from minigrad.training import fit
from models.autoencoder import Autoencoder
from models.linear_autoencoder import PCA, LinearAutoencoder, pca, principal_angles
from models.scores import knn_accuracy

COURSE = "A12, A13, A14"
TIME = "two minutes"

TRAIN, TEST = 12_000, 2_000  # images, of any dataset
LINEAR = 2_500  # of them for the linear autoencoder, all in one batch
STEPS = 1_000
HIDDEN = 256, 128, 64
SIZES = 1, 2, 3, 5, 8, 16, 32, 64  # codes


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=10)
    made.add_argument("--codes", type=int, default=7, help="of the linear autoencoder (7)")
    args = made.parse_args()
    if args.epochs < 1 or not 1 <= args.codes <= 100:
        raise ArgumentError(
            f"--epochs, --codes: got {args.epochs}, {args.codes}; expected at least 1, and 1 to 100"
        )
    args.train, args.test, args.linear, args.steps = TRAIN, TEST, LINEAR, STEPS
    args.sizes = SIZES
    if args.quick:
        args.train, args.test, args.linear, args.steps = 1_000, 400, 600, 200
        args.epochs, args.sizes = min(args.epochs, 2), (1, 2, 5, 16)
    return args


# ---------------------------------------------------------------- principal components


def flat(images: Tensor) -> np.ndarray:
    """Images (n, 1, 28, 28) as rows (n, 784) of float64."""
    return images.cpu().numpy().reshape(len(images), -1).astype(np.float64)


def components_of(images: Tensor) -> PCA:
    """All principal components of images, in float64."""
    rows = flat(images)
    return pca(minigrad.tensor(rows), min(rows.shape))


def through(components: PCA, x: np.ndarray, k: int) -> np.ndarray:
    """The nearest points of the plane of the first k components to rows x (n, 784)."""
    return components.first(k).reconstruct(minigrad.tensor(x)).numpy()


def mse(x: np.ndarray, y: np.ndarray) -> float:
    """The mean of all (x - y)²."""
    return float(np.mean((x - y) ** 2, dtype=np.float64))


# ---------------------------------------------------------------- one linear layer each way


class Linear:
    """The linear autoencoder beside the PCA of the images that it is trained on."""

    def __init__(self, args: argparse.Namespace, images: Tensor) -> None:
        self.args, self.k = args, args.codes
        self.pca = components_of(images)
        self.components = self.pca.first(self.k).components.numpy().T  # (784, k)
        self.x = self.centred(images)
        minigrad.manual_seed(args.seed)
        self.model = LinearAutoencoder(self.x.shape[1], self.k).to(args.device)
        self.angles = [self.angles_now()]  # (steps + 1, k) in the end

    def centred(self, images: Tensor) -> Tensor:
        """The images as rows, less the mean image of the training images."""
        rows = (flat(images) - self.pca.mean.numpy()).astype(np.float32)
        return minigrad.tensor(rows, device=images.device)

    def columns(self) -> np.ndarray:
        """The decoder's columns (784, k): one image for each code."""
        return self.model.directions().T.cpu().numpy().astype(np.float64)

    def angles_now(self) -> np.ndarray:
        """The principal angles between the columns and the components, (k,), smallest first."""
        columns, components = (minigrad.tensor(x.T) for x in (self.columns(), self.components))
        return principal_angles(columns, components).numpy()[::-1]

    def run(self) -> None:
        """Train on all images at once, `steps` times."""
        steps = self.args.steps
        optimizer = optim.Adam(self.model.parameters(), lr=2e-2)
        with tqdm(total=steps, desc="linear autoencoder", unit=" steps", mininterval=0.2) as bar:

            def measure(step: int, record: dict[str, float]) -> None:
                self.angles.append(self.angles_now())
                bar.set_postfix(angle=f"{self.angles[-1][-1]:.1e}", refresh=False)
                bar.update()

            records = fit(
                self.model,
                LinearAutoencoder.loss,
                optimizer,
                DataLoader(TensorDataset(self.x), len(self.x)),
                steps,
                scheduler=CosineAnnealingLR(optimizer, steps),
                on_epoch=measure,
                progress=False,
            )
        self.losses = [r["loss"] for r in records]  # before each step

    @minigrad.no_grad()
    def error(self, images: Tensor) -> float:
        """The mean squared error of the model."""
        x = self.centred(images)
        return mse(self.model(x).cpu().numpy(), x.cpu().numpy())

    def nearest(self) -> np.ndarray:
        """The mix of columns that comes nearest to each component, (784, k)."""
        w = self.columns()
        return w @ np.linalg.lstsq(w, self.components, rcond=None)[0]

    def least(self) -> float:
        """The mean squared error of PCA on the training images: the variances left out."""
        return float(self.pca.variances[self.k :].sum()) / self.x.shape[1]

    def report(self, test: Tensor) -> str:
        """What is equal and what is not."""
        w = self.columns()
        unit = w / np.linalg.norm(w, axis=0)
        between = np.abs(unit.T @ unit - np.eye(self.k)).max()
        alike = np.abs(unit.T @ self.components).max(1)
        train = self.x.cpu().numpy()
        of_test = mse(through(self.pca, flat(test), self.k), flat(test))
        errors = [
            (f"PCA, {self.k} components", f"{self.least():.7f}", f"{of_test:.7f}", "0"),
            (
                f"linear autoencoder, {self.k} codes",
                f"{mse(self.model_output(self.x), train):.7f}",
                f"{self.error(test):.7f}",
                f"{between:.3f}",
            ),
        ]
        columns = "", "train MSE", "test MSE", "largest cosine between two columns"
        angles = " ".join(f"{angle:.1e}" for angle in self.angles[-1])
        return (
            f"{table(columns, errors)}\n\n"
            f"principal angles of the two spans: {angles} rad\n"
            f"largest angle: {self.angles[0][-1]:.3f} rad before training, "
            f"{self.angles[-1][-1]:.1e} rad after {self.args.steps:,} steps\n"
            f"a column and the component that is most like it: cosine {alike.min():.2f} to "
            f"{alike.max():.2f}"
        )

    @minigrad.no_grad()
    def model_output(self, x: Tensor) -> np.ndarray:
        """What the model makes of centred rows."""
        return self.model(x).cpu().numpy()


def draw_directions(linear: Linear, path: Path) -> None:
    """Components, the decoder's columns, and the columns mixed to match the components."""

    def strip(columns: np.ndarray) -> list[Panel]:
        images = each_by_its_largest(columns.T.reshape(-1, 28, 28)[:12])
        return [Panel(mosaic(images, gap=2), signed=True)]

    draw_panels(
        [
            ("principal\ncomponents", strip(linear.components)),
            ("the decoder's\ncolumns", strip(linear.columns())),
            ("columns mixed to\nmatch components", strip(linear.nearest())),
        ],
        path,
    )


def draw_angles(linear: Linear, path: Path) -> None:
    """The angles, and how much more the model errs than PCA, over the steps."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    angles = np.array(linear.angles)
    for i, angle in enumerate(angles.T):
        last = i == angles.shape[1] - 1
        left.semilogy(angle, color="C3" if last else "0.6", lw=1.8 if last else 1)
    left.plot([], [], color="C3", label="largest")
    left.plot([], [], color="0.6", label="the others")
    left.axhline(1e-3, color="black", ls=":", lw=1, label="0.001 rad")
    left.set(xlabel="step", ylabel="radians", title="principal angles to the plane of PCA")
    left.legend()
    least = linear.least()
    more = np.array(linear.losses) - least
    right.semilogy(np.where(more > 1e-8, more, np.nan), color="C0", lw=1.8)
    right.set(xlabel="step", title=f"mean squared error above that of PCA, {least:.4f}")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


# ---------------------------------------------------------------- layers between


class Deep(NamedTuple):
    """A deep autoencoder with d codes, trained, and what it and PCA make of the test images."""

    model: Autoencoder
    error: float  # test MSE
    pca_error: float
    seconds: float


def suit_relu(layer: nn.Module) -> None:
    """Weights with which a signal keeps its size through ReLUs (He et al., arXiv 1502.01852).

    PyTorch's leave a sixth of its mean square after each layer: of eight layers little comes out.
    """
    if isinstance(layer, nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)


def train_deep(args: argparse.Namespace, d: int, train: Images) -> Autoencoder:
    """784-256-128-64-d and back, with a sigmoid at the end."""
    minigrad.manual_seed(args.seed)
    model = Autoencoder((784, *HIDDEN, d), "sigmoid").apply(suit_relu).to(args.device)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(train.images), 64, shuffle=True)
    with tqdm(total=args.epochs, desc=f"{d:2d} codes", unit=" epochs") as bar:
        fit(
            model,
            Autoencoder.loss,
            optimizer,
            loader,
            args.epochs,
            scheduler=CosineAnnealingLR(optimizer, args.epochs),
            on_epoch=lambda epoch, record: bar.update() and None,
            progress=False,
        )
    return model.eval()


@minigrad.no_grad()
def outputs(model: Autoencoder, images: Tensor) -> np.ndarray:
    """What the model makes of images, as rows."""
    return flat(model(images.to(next(model.parameters()).device)))


@minigrad.no_grad()
def codes_of(model: Autoencoder, images: Tensor) -> np.ndarray:
    """Their codes (n, d)."""
    return model.encode(images).cpu().numpy().astype(np.float64)


def sweep(
    args: argparse.Namespace, train: Images, test: Images, components: PCA
) -> dict[int, Deep]:
    """Deep autoencoders of every size of the code."""
    found, x = {}, flat(test.images)
    for d in args.sizes:
        started = time.perf_counter()
        model = train_deep(args, d, train)
        seconds = time.perf_counter() - started
        error = mse(outputs(model, test.images), x)
        found[d] = Deep(model, error, mse(through(components, x, d), x), seconds)
    return found


class Codes(NamedTuple):
    """Two codes of the test images, and the share of them that their neighbours name rightly."""

    name: str
    codes: np.ndarray
    accuracy: float


def two_codes(model: Autoencoder, components: PCA, train: Images, test: Images) -> list[Codes]:
    """The two principal components and the two codes of the deep autoencoder."""
    two = components.first(2)
    ways = {
        "2 principal components": lambda x: two.encode(minigrad.tensor(flat(x))).numpy(),
        "2 codes of a deep autoencoder": lambda x: codes_of(model, x),
    }
    labels, test_labels = train.labels.cpu().numpy(), test.labels.cpu().numpy()
    found = []
    for name, way in ways.items():
        codes = way(test.images)
        found.append(
            Codes(name, codes, knn_accuracy(way(train.images), labels, codes, test_labels))
        )
    return found


def draw_scatters(ways: list[Codes], labels: np.ndarray, path: Path) -> None:
    """Side by side, coloured by class; axes end where one code in a hundred lies beyond."""
    figure, axes = plt.subplots(1, 2, figsize=(12.5, 5.6))
    for ax, way in zip(axes, ways, strict=True):
        low, high = np.percentile(way.codes, [0.5, 99.5], axis=0)
        seen = ((way.codes >= low) & (way.codes <= high)).all(1)
        points = ax.scatter(
            *way.codes[seen].T, c=labels[seen], cmap=DIGIT_COLOURS, vmin=0, vmax=9,
            s=11, alpha=0.8, lw=0,
        )  # fmt: skip
        ax.set(title=f"{way.name}\n10 neighbours name {way.accuracy:.0%} rightly")
        ax.set(xlabel=f"{'component' if 'principal' in way.name else 'code'} 1")
        ax.set(ylabel=f"{'component' if 'principal' in way.name else 'code'} 2")
    figure.legend(
        *points.legend_elements(alpha=1), loc="center left", bbox_to_anchor=(1, 0.5), title="class"
    )
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def draw_rows(found: dict[int, Deep], components: PCA, sample: Tensor, path: Path) -> None:
    """The same images through fewer and more codes, deep and by PCA."""
    x = flat(sample)

    def strip(rows: np.ndarray) -> list[Panel]:
        return [Panel(mosaic(rows.reshape(-1, 28, 28)))]

    rows = [("input", strip(x))]
    for d in (d for d in (2, 5, 16, 64) if d in found):
        rows += [
            (f"{d} codes, deep", strip(outputs(found[d].model, sample))),
            (f"{d} components", strip(through(components, x, d).clip(0, 1))),
        ]
    draw_panels(rows, path)


def draw_quality(found: dict[int, Deep], components: PCA, x: np.ndarray, path: Path) -> None:
    """Test MSE over the size of the code."""
    figure, axes = plt.subplots(figsize=(6.8, 4.4))
    every = range(1, max(found) + 1)
    by_pca = [mse(through(components, x, d), x) for d in every]
    axes.loglog(every, by_pca, "C0-", lw=1.8, label="PCA")
    axes.loglog(list(found), [deep.error for deep in found.values()], "C3o-", lw=1.8, label="deep")
    axes.set(xlabel="codes", ylabel="mean squared error of test images")
    axes.set_xticks(list(found), [str(d) for d in found])
    axes.xaxis.minorticks_off()
    ticks = [t for t in (0.005, 0.01, 0.02, 0.03, 0.05, 0.07) if t < 1.1 * max(by_pca)]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.yaxis.minorticks_off()
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    """Train, draw, and print the tables."""
    args = flags()
    started = time.perf_counter()
    data = load_images(args, args.train, args.test)
    train, test = (
        Images(part.images[:n], part.labels[:n])
        for part, n in zip(data, (args.train, args.test), strict=True)
    )
    folder = args.out / "pca"
    folder.mkdir(parents=True, exist_ok=True)

    linear = Linear(args, train.images[: args.linear])
    linear.run()
    draw_directions(linear, folder / "directions.png")
    draw_angles(linear, folder / "angles.png")

    components = components_of(train.images)
    found = sweep(args, train, test, components)
    two = two_codes(found[2].model, components, train, test)
    draw_scatters(two, test.labels.cpu().numpy(), folder / "two_codes.png")
    draw_rows(found, components, shown(*test, each=1), folder / "reconstructions.png")
    draw_quality(found, components, flat(test.images), folder / "quality.png")

    print("\n" + linear.report(test.images))
    print("\ntest images whose 10 nearest training codes name their class, of two codes")
    print(table(("", "share"), [(way.name, f"{way.accuracy:.1%}") for way in two]))
    print("\nmean squared error of the test images, by the size of the code")
    rows = [(d, f.error, f.pca_error, f.error / f.pca_error, f.seconds) for d, f in found.items()]
    print(table(("codes", "deep", "PCA", "deep / PCA", "seconds"), rows))
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; pictures in {folder}/")


if __name__ == "__main__":
    run(main)
