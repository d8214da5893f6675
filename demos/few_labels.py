"""Many images, few labels: does it help a classifier that a VAE has seen the others?

A VAE learns all training images without labels. Then only some labels are known, as many of each
kind, and five classifiers learn from these images: a linear one on the pixels; one on the VAE's
codes; one on the hidden layer that the codes are computed from; a network with such a hidden layer
from scratch; and the same network with the VAE's hidden layer to begin with, all of it trained on.
Each is trained several times, from other labelled images each time.

What to see: the network that begins with what the VAE has learned is better than from scratch at
any number of labels, but by a point or two. A linear classifier does about as well on the hidden
layer as a network from scratch, with nothing below it trained; on the pixels it is mostly worse,
and the eight codes are soon too few for it. With few labels it matters more which images they
belong to than how one learns: compare ways by the second table, where all have the same labels.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import Images, parser, run, table
from demos.short_encoders import checked, codes_of, named_images, trained, variational
from demos.vae_numbers import batches, flat
from minigrad import Tensor, nn, optim, tensor
from minigrad.errors import ArgumentError
from minigrad.nn import functional as F
from models.vae import VAE

COURSE = "A20"
TIME = "a minute"

LABELS = 10, 30, 100, 300, 1_000
STEPS = 300
BATCH = 50
WAYS = "pixels, linear", "codes, linear", "hidden, linear", "from scratch", "fine-tuned"
STYLES = dict(zip(WAYS, ("k:", "C2s-", "C0o-", "C7^--", "C1D-"), strict=True))


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=10)
    made.add_argument("--code", type=int, default=8, help="numbers in the code (default 8)")
    made.add_argument("--runs", type=int, default=5, help="for each number of labels (default 5)")
    args = checked(made.parse_args(), quick_epochs=3)
    if args.runs < 2:
        raise ArgumentError(f"--runs: got {args.runs}; expected at least 2, to see the spread")
    args.labels = LABELS
    if args.quick:
        args.runs, args.labels = 2, (10, 100)
    return args


def some_of_each(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` places, or as many as divide evenly, with equally many of every kind.

    >>> some_of_each(np.array([0, 0, 0, 1, 1]), 4, np.random.default_rng(0)).shape
    (4,)

    Raises ArgumentError if a kind has too few images.
    """
    kinds, there = np.unique(labels, return_counts=True)
    each = max(1, count // len(kinds))
    if each > there.min():
        raise ArgumentError(f"labels: got {there.min()} images of a kind; expected {each}")
    return np.concatenate([
        rng.choice(np.flatnonzero(labels == kind), each, replace=False) for kind in kinds
    ])  # fmt: skip


# ---------------------------------------------------------------- five ways


def learn(
    model: nn.Module, x: Tensor, labels: Tensor, rate: float, rng: np.random.Generator
) -> nn.Module:
    """Minimise the cross-entropy of x (n, …) by STEPS steps of Adam."""
    optimizer = optim.Adam(model.parameters(), lr=rate)
    for _ in range(STEPS):
        batch = rng.choice(len(x), min(BATCH, len(x)), replace=False)
        optimizer.zero_grad()
        F.cross_entropy(model(x[batch]), labels[batch]).backward()
        optimizer.step()
    return model


@minigrad.no_grad()
def accuracy(model: nn.Module, x: Tensor, labels: np.ndarray) -> float:
    """The share of x whose largest logit is that of its label."""
    said = np.concatenate([model(part).argmax(1).cpu().numpy() for (part,) in batches(x)])
    return float((said == labels).mean())


class Ways:
    """The five ways to learn from the same few labels."""

    def __init__(self, vae: VAE, train: Images, test: Images, seed: int):
        self.vae, self.train, self.test, self.seed = vae, train, test, seed
        self.labels, self.asked = (part.labels.cpu().numpy() for part in (train, test))
        self.classes = int(self.labels.max()) + 1
        self.spaces = {
            "pixels, linear": self.space(flat),
            "codes, linear": self.space(lambda x: codes_of(vae, x)),
            "hidden, linear": self.space(self.hidden),
        }

    @minigrad.no_grad()
    def hidden(self, images: Tensor) -> np.ndarray:
        """The VAE's hidden layer: (n, 256)."""
        return np.concatenate([self.vae.encoder(x).cpu().numpy() for (x,) in batches(images)])

    def space(self, encode: Callable[[Tensor], np.ndarray]) -> tuple[Tensor, Tensor]:
        """Training and test images there, centred, and of variance 1 on average."""
        known, asked = encode(self.train.images), encode(self.test.images)
        middle, scale = known.mean(0), np.sqrt(known.var(0).mean()) + 1e-6
        device = self.train.images.device
        return tuple(tensor((part - middle) / scale, device=device) for part in (known, asked))

    def network(self, pretrained: bool) -> nn.Module:
        """784-256-10 with a ReLU, from scratch or with the VAE's hidden layer."""
        hidden = variational(self.vae.codes).encoder
        if pretrained:
            hidden.load_state_dict(self.vae.encoder.state_dict())
        size = self.vae.mean.in_features
        return nn.Sequential(hidden, nn.Linear(size, self.classes)).to(self.train.images.device)

    def accuracies(self, count: int, run: int) -> list[float]:
        """The test accuracy of each way with `count` labels; the same labels for all."""
        seed = self.seed + 1000 * run
        chosen = some_of_each(self.labels, count, np.random.default_rng([seed, count]))
        labels = self.train.labels[chosen]
        found = []
        for way in WAYS:
            minigrad.manual_seed(seed)
            if way in self.spaces:
                known, asked = self.spaces[way]
                model = nn.Linear(known.shape[1], self.classes).to(known.device)
                rate = 1e-2
            else:
                known, asked = self.train.images, self.test.images
                model, rate = self.network(way == "fine-tuned"), 1e-3
            learn(model, known[chosen], labels, rate, np.random.default_rng(seed))
            found.append(accuracy(model, asked, self.asked))
        return found


# ---------------------------------------------------------------- pictures, tables


def draw(labels: tuple[int, ...], found: np.ndarray, path: Path) -> None:
    """Accuracies (labels, runs, ways): the mean of the runs, and one standard deviation."""
    figure, axes = plt.subplots(figsize=(7, 4.6))
    for i, way in enumerate(WAYS):
        shift = 1.04 ** (i - 2)  # so that the bars do not hide each other
        axes.errorbar(
            np.array(labels) * shift, found[..., i].mean(1), found[..., i].std(1, ddof=1),
            fmt=STYLES[way], lw=1.6, ms=5, capsize=2, label=way,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(labels, [f"{n:,}" for n in labels])
    axes.minorticks_off()
    axes.set(xlabel="labels", ylabel="test accuracy (± standard deviation)")
    axes.legend(loc="lower right")
    figure.savefig(path)
    plt.close(figure)


def draw_gains(labels: tuple[int, ...], found: np.ndarray, path: Path) -> None:
    """What each way gains over the network from scratch: a dot for each run, the mean a line."""
    figure, axes = plt.subplots(figsize=(7, 3.8))
    gains = 100 * (found - found[..., WAYS.index("from scratch"), None])
    axes.axhline(0, color="0.6", lw=1)
    for i, way in enumerate(WAYS):
        if way != "from scratch":
            at = np.array(labels) * 1.05 ** (i - 2)
            colour = STYLES[way][:-1].rstrip("-").rstrip("osD") or "k"
            axes.plot(at, gains[..., i].mean(1), STYLES[way], lw=1.6, ms=5, label=way)
            axes.plot(at, gains[..., i], ".", color=colour, ms=4, alpha=0.5)
    axes.set_xscale("log")
    axes.set_xticks(labels, [f"{n:,}" for n in labels])
    axes.minorticks_off()
    axes.set(xlabel="labels", ylabel="points gained over from scratch")
    axes.legend(ncols=2)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    """Train the VAE, then every classifier; draw, and print the tables."""
    args = flags()
    started = time.perf_counter()
    train, test, _ = named_images(args, *((1500, 500) if args.quick else (6_000, 2_000)))
    folder = args.out / "few_labels"
    folder.mkdir(parents=True, exist_ok=True)
    total = 1 + len(args.labels) * args.runs
    with tqdm(total=total, desc="VAE, no labels") as bar:
        ways = Ways(trained(lambda: variational(args.code), train.images, args), train, test,
                    args.seed)  # fmt: skip
        bar.update()
        rows = []
        for count in args.labels:
            bar.set_description(f"{count:,} labels")
            for i in range(args.runs):
                rows.append(ways.accuracies(count, i))
                bar.update()
    found = np.array(rows).reshape(len(args.labels), args.runs, len(WAYS))
    draw(args.labels, found, folder / "accuracy.png")
    draw_gains(args.labels, found, folder / "gains.png")
    means, spreads = found.mean(1), found.std(1, ddof=1)
    print(f"\ntest accuracy, mean ± standard deviation of {args.runs} runs\n")
    print(table(("labels", *WAYS), [
        (f"{count:,}", *(f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True)))
        for count, mean, spread in zip(args.labels, means, spreads, strict=True)
    ]))  # fmt: skip
    gains = 100 * (found - found[..., WAYS.index("from scratch"), None])
    errors = gains.std(1, ddof=1) / np.sqrt(args.runs)
    print("\ngained over from scratch with the same labels, in points, mean ± standard error\n")
    print(table(("labels", *WAYS), [
        (f"{count:,}", *(f"{m:+.1f} ± {e:.1f}" for m, e in zip(mean, error, strict=True)))
        for count, mean, error in zip(args.labels, gains.mean(1), errors, strict=True)
    ]))  # fmt: skip
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; pictures in {folder}/")


if __name__ == "__main__":
    run(main)
