"""Uncertain weights: three ways to draw them, and how noisy each leaves the gradient.

Every weight of a small classifier of digits (14×14 pixels, 196-64-10) is N(μ, σ²), its μ and σ
learned. The noise is drawn once per weight for the whole minibatch (shared), anew for each example
(each), or not for the weights at all but for the activations they lead to (local).

What to see: all three gradients have the same expectation. With `shared` larger minibatches help
less and less: its variance levels off, while the other two fall as 1 / batch size. The gradient of
ln σ² is some twenty times less noisy with `local` than with `each`. So its bound is the best, at
about the price of `shared`; `each` draws 178 times more numbers, and takes the time. Where no digit
ever has ink the weights learn nothing: they go back to the prior, σ = s.
"""

import argparse
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import Images, expect_at_least, load_images, parser, run, table
from demos.pictures import Panel, draw_panels
from minigrad import Generator, Tensor, nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F
from minigrad.training import Record, fit
from models.variational_dropout import ESTIMATORS, GaussianClassifier

COURSE = "V23"
TIME = "a minute"

BATCH, TRAIN, TEST = 50, 4000, 1000
PIXELS, HIDDEN = 14 * 14, 64
PRIOR, LOG_VAR = 0.3, -4.0  # s, and ln σ² to begin with
COLOURS = dict(zip(ESTIMATORS, ("C3", "C0", "C2"), strict=True))
KINDS = {"μ": "weight", "ln σ²": "log_var"}  # the parameters whose gradients are measured


def flags() -> argparse.Namespace:
    """The command line."""
    args = parser(__doc__, epochs=10).parse_args()
    expect_at_least(args, epochs=1)
    args.train, args.test = (1000, 400) if args.quick else (TRAIN, TEST)
    args.draws = 40 if args.quick else 200
    args.sizes = (1, 8, 64) if args.quick else (1, 2, 4, 8, 16, 32, 64)
    if args.quick:
        args.epochs = min(args.epochs, 2)
    return args


def halved(data: Images, n: int) -> Images:
    """The first n images at half the size, (n, 196): averages of 2×2 pixels."""
    return Images(F.avg_pool2d(data.images[:n], 2).flatten(1), data.labels[:n])


# ---------------------------------------------------------------- training


class Trained(NamedTuple):
    """A classifier trained with one estimator, and its curves."""

    model: GaussianClassifier
    records: list[Record]

    def last(self, name: str) -> float:
        """What the last epoch recorded."""
        return self.records[-1][name]

    def seconds(self) -> np.ndarray:
        """Spent up to the end of each epoch."""
        return np.cumsum([r["seconds"] for r in self.records])


def train(estimator: str, data: Images, test: Images, args: argparse.Namespace) -> Trained:
    """Adam at 3e-3, from the same weights and with the same order of the images."""
    minigrad.manual_seed(args.seed)
    model = GaussianClassifier(
        PIXELS, HIDDEN, 10, estimator, len(data.images), PRIOR, LOG_VAR
    ).to(args.device)  # fmt: skip
    order = Generator().manual_seed(args.seed)
    loader = DataLoader(TensorDataset(*data), BATCH, shuffle=True, generator=order)

    @minigrad.no_grad()
    def measure(epoch: int, record: Record) -> Record:
        """With the weights at their means."""
        logits = model(test.images)
        right = (logits.argmax(1) == test.labels).float().mean()
        return {
            "test_nll": F.cross_entropy(logits, test.labels).item(),
            "test_accuracy": right.item(),
        }

    print(estimator)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    loss = GaussianClassifier.loss
    return Trained(model, fit(model, loss, optimizer, loader, args.epochs, on_epoch=measure))


def closing(trained: dict[str, Trained]) -> str:
    """The table of the trainings."""
    rows = []
    for name, t in trained.items():
        layers = t.model.first, t.model.last
        noise = sum(int(np.prod(layer.noise_shape(BATCH))) for layer in layers)
        rows.append((
            name, noise, *(t.last(part) for part in ("loss", "nll", "kl", "test_nll")),
            f"{t.last('test_accuracy'):.1%}", f"{t.seconds()[-1]:.1f}",
        ))  # fmt: skip
    columns = "noise", "drawn a step", "loss", "nll", "KL / N", "test nll", "test right", "seconds"
    return table(columns, rows)


# ---------------------------------------------------------------- the gradient's variance


def gradients(model: GaussianClassifier, x: Tensor, labels: Tensor) -> dict[str, np.ndarray]:
    """The gradient of E -ln p(y|x, W) in all μ, and in all ln σ², by one draw."""
    model.zero_grad()
    model.loss(x, labels)["nll"].backward()
    layers = model.first, model.last
    return {
        kind: np.concatenate(
            [getattr(layer, name).grad.cpu().numpy().ravel() for layer in layers]
        ).astype(np.float64)
        for kind, name in KINDS.items()
    }  # fmt: skip


class Moments:
    """Mean and variance of gradients, one draw at a time."""

    def __init__(self) -> None:
        self.n, self.sum, self.squares = 0, {}, {}

    def add(self, drawn: dict[str, np.ndarray]) -> None:
        """One more draw."""
        self.n += 1
        for kind, g in drawn.items():
            self.sum[kind] = self.sum.get(kind, 0.0) + g
            self.squares[kind] = self.squares.get(kind, 0.0) + g**2

    def mean(self, kind: str) -> np.ndarray:
        """Of each entry."""
        return self.sum[kind] / self.n

    def variance(self, kind: str) -> np.ndarray:
        """Of each entry, unbiased."""
        return np.maximum(self.squares[kind] / self.n - self.mean(kind) ** 2, 0) * (
            self.n / (self.n - 1)
        )


def many(size: int, args: argparse.Namespace) -> int:
    """How many draws: more of small batches, where they differ most."""
    return args.draws * max(1, 8 // size)


Variances = dict[str, dict[str, list[float]]]


def variances(model: GaussianClassifier, data: Images, args: argparse.Namespace) -> Variances:
    """By kind and estimator, for each batch size: Σ over the entries of the gradient's variance.

    Every draw has its own minibatch and its own noise, as in training.
    """
    found: Variances = {kind: {name: [] for name in ESTIMATORS} for kind in KINDS}
    rng = np.random.default_rng(args.seed)
    bar = tqdm(
        total=len(ESTIMATORS) * sum(many(size, args) for size in args.sizes),
        desc="drawing", unit=" gradients",
    )  # fmt: skip
    for size in args.sizes:
        for name in ESTIMATORS:
            moments = Moments()
            for _ in range(many(size, args)):
                rows = rng.choice(len(data.images), size, replace=False)
                x, labels = data.images[rows], data.labels[rows]
                moments.add(gradients(model.use(name), x, labels))
                bar.update()
            for kind in KINDS:
                found[kind][name].append(float(moments.variance(kind).sum()))
    bar.close()
    return found


def variance_table(found: Variances, sizes: tuple[int, ...]) -> str:
    """Variances at the smallest and the largest batch, relative to `local` there."""
    rows = []
    for kind, by in found.items():
        for name, values in by.items():
            ratios = [f"{values[i] / by['local'][i]:.2f}" for i in (0, -1)]
            rows.append((f"{kind}, {name}", *(f"{values[i]:.2e}" for i in (0, -1)),
                         f"{values[0] / values[-1]:.1f}", *ratios))  # fmt: skip
    ends = f"batch {sizes[0]}", f"batch {sizes[-1]}"
    return table(("gradient of", *ends, "falls by", *(f"/ local, {e}" for e in ends)), rows)


def same_expectation(model: GaussianClassifier, data: Images, args: argparse.Namespace) -> str:
    """How many standard errors the means of two estimators are apart, on one minibatch."""
    x, labels = data.images[:BATCH], data.labels[:BATCH]
    moments = {name: Moments() for name in ESTIMATORS}
    for name in tqdm(ESTIMATORS, desc="averaging", unit=" estimators"):
        for _ in range(2 * args.draws):
            moments[name].add(gradients(model.use(name), x, labels))
    said = []
    for name in ("shared", "each"):
        for kind in KINDS:
            a, b = moments[name], moments["local"]
            error = np.sqrt((a.variance(kind) + b.variance(kind)) / a.n)
            seen = error > 0
            apart = (a.mean(kind) - b.mean(kind))[seen] / error[seen]
            said.append(f"{name} {kind} {np.sqrt((apart**2).mean()):.2f}")
    return (
        f"means over {2 * args.draws:,} draws, {BATCH} images; distance from local's mean in "
        "standard errors,\nroot mean square over the weights (1 if the expectations are equal): "
        f"{', '.join(said)}"
    )


# ---------------------------------------------------------------- pictures


def draw_variance(found: Variances, args: argparse.Namespace) -> None:
    """A panel for each kind of parameter."""
    figure, all_axes = plt.subplots(1, 2, figsize=(10, 4))
    sizes = np.array(args.sizes)
    for axes, (kind, by) in zip(all_axes, found.items(), strict=True):
        for name, values in by.items():
            axes.loglog(sizes, values, "o-", color=COLOURS[name], lw=1.8, ms=5, label=name)
        for name in ("each", "local"):
            guide = by[name][-1] * sizes[-1] / sizes
            axes.loglog(sizes, guide, "k:", lw=1, label="1 / batch size" if name == "each" else "")
        axes.set_xticks(sizes, sizes)
        axes.minorticks_off()
        axes.set(xlabel="batch size", title=f"gradient of {kind}")
    all_axes[0].set_ylabel("variance, summed over all weights")
    all_axes[0].legend()
    figure.tight_layout()
    figure.savefig(args.folder / "variance.png")
    plt.close(figure)


def draw_training(trained: dict[str, Trained], args: argparse.Namespace) -> None:
    """The loss by epochs, and by seconds."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    for name, t in trained.items():
        losses = [r["loss"] for r in t.records]
        style = dict(color=COLOURS[name], lw=1.8, ms=4, label=name)
        left.plot(range(1, len(losses) + 1), losses, "o-", **style)
        right.semilogx(t.seconds(), losses, "o-", **style)
    left.set(xlabel="epoch", ylabel="-bound / N, nats per training image")
    left.xaxis.get_major_locator().set_params(integer=True)
    right.set_xlabel("seconds of training")
    left.legend()
    figure.tight_layout()
    figure.savefig(args.folder / "training.png")
    plt.close(figure)


def draw_weights(layer: nn.Module, data: Images, args: argparse.Namespace) -> float:
    """How sure the first layer is at each pixel; mean σ / s where there is never any ink."""
    ink = data.images.cpu().numpy().mean(0)
    std = np.exp(layer.log_var.detach().cpu().numpy() / 2).mean(0) / PRIOR
    size = np.abs(layer.weight.detach().cpu().numpy()).mean(0)
    panels = [
        Panel(ink.reshape(14, 14) / ink.max(), "ink: mean training image"),
        Panel(std.reshape(14, 14), "σ / s: 1 (white) as before any data"),
        Panel(size.reshape(14, 14) / size.max(), "|μ|: what was learned"),
    ]
    draw_panels([("", panels)], args.folder / "weights.png", width=9)
    return float(std[ink == 0].mean()) if (ink == 0).any() else float("nan")


def main() -> None:
    """Train three times, then measure gradients in the model that `local` trained."""
    args = flags()
    args.folder = args.out / "variational_dropout"
    args.folder.mkdir(parents=True, exist_ok=True)
    first, second = load_images(args, args.train, args.test)
    data, test = halved(first, args.train), halved(second, args.test)
    trained = {name: train(name, data, test, args) for name in ESTIMATORS}
    table_of_trainings = closing(trained)
    model = trained["local"].model.train()
    empty = draw_weights(model.first, data, args)
    found = variances(model, data, args)
    expectation = same_expectation(model, data, args)
    draw_variance(found, args)
    draw_training(trained, args)
    print(f"\n{expectation}\n\n{variance_table(found, args.sizes)}\n\n{table_of_trainings}")
    print(f"\nwhere no training image has ink, σ / s is {empty:.2f} on average")
    print(f"\npictures in {args.folder}/: variance.png, training.png, weights.png")


if __name__ == "__main__":
    run(main)
