"""Find the odd one out: train on nine kinds of image, and tell the tenth by how badly it fits.

Ten times one kind is held out, and an autoencoder and a VAE learn the other nine, without labels.
Then each test image gets a score: the squared error of its reconstruction; or -ELBO, and the two
parts of it. The AUC is the chance that an image of the held-out kind scores higher than another:
1 is perfect, 0.5 is a coin, and below 0.5 the unknown looks more normal than the known.

What to see: a 0 or a 2 that was never seen comes back as something else, and is found out. But a
1 is one stroke: whatever a network has learned, so little white costs few nats, and -ELBO takes a 1
for as normal as the known digits, or more. `ink`, how much of an image is white, shows it: a score
that goes along with it measures the pen. The error divided by the ink finds the 1s as well. And
`nearest image`, the distance to the training images, needs no network; with all of them at hand
it is hard to beat. Of MNIST a 9 cannot be told either: between 4 and 7 there is room for it.
"""

import argparse
import time
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import minigrad
from demos.anomaly_pictures import draw_extremes, draw_roc, draw_scores, draw_table
from demos.common import Images, parser, run, table
from demos.short_encoders import checked, named_images, plain, restored, trained, variational
from demos.vae_numbers import batches, flat, squares
from minigrad import Generator, Tensor
from minigrad.errors import ArgumentError
from models.vae import VAE, kl_per_code

COURSE = "A22"
TIME = "a minute"

DRAWS = 8  # from q(z|x), for the ELBO of one image
KNOWN = 4_000  # training images that are compared with
SCORES = "AE error", "AE error / ink", "-ELBO", "reconstruction", "KL", "nearest image", "ink"


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=8)
    made.add_argument("--code", type=int, default=8, help="numbers in the code (default 8)")
    made.add_argument(
        "--held-out", type=lambda text: tuple(map(int, text.split(","))),
        help="kinds to hold out, one after the other, such as 1,4,8 (default: all)",
    )  # fmt: skip
    args = checked(made.parse_args(), quick_epochs=6)
    if args.quick and args.held_out is None:
        args.held_out = 1, 8
    return args


# ---------------------------------------------------------------- how well a score tells


class Curve(NamedTuple):
    """What a threshold can do, from the highest score to the lowest."""

    false_alarms: np.ndarray  # the share of normal images above the threshold
    found: np.ndarray  # the share of odd images above it


def roc(scores: np.ndarray, odd: np.ndarray) -> Curve:
    """The receiver operating characteristic: a point for each different score, from (0, 0).

    >>> roc(np.array([3.0, 1.0, 2.0]), np.array([True, False, False])).found
    array([0., 1., 1., 1.])
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # images of equal score go together
    found, alarms = (np.cumsum(kind[order])[last] / kind.sum() for kind in (odd, ~odd))
    return Curve(*(np.append(0.0, share) for share in (alarms, found)))


def auc(scores: np.ndarray, odd: np.ndarray) -> float:
    """The area under that curve: P(odd > normal) + ½ P(odd = normal).

    >>> auc(np.array([3.0, 1.0, 2.0, 2.0]), np.array([True, False, True, False]))
    0.875
    """
    false_alarms, found = roc(scores, odd)
    return float(np.sum(np.diff(false_alarms) * (found[1:] + found[:-1]) / 2))


def standard_error(area: float, odd: int, normal: int) -> float:
    """Of an AUC from so many images (Hanley and McNeil, Radiology 143, 1982).

    >>> round(standard_error(0.9, 200, 1800), 3)
    0.015
    """
    both, twice = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (odd - 1) * (both - area**2) + (normal - 1) * (twice - area**2)
    return float(np.sqrt((area * (1 - area) + spread) / (odd * normal)))


# ---------------------------------------------------------------- scores


@minigrad.no_grad()
def costs(model: VAE, images: Tensor, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """E -ln p(x|z) and KL(q(z|x) ‖ p(z)) of each image in nats, (n,) each; E is over DRAWS."""
    noise = Generator(images.device).manual_seed(seed)
    nats, kl = [], []
    for (x,) in batches(images):
        mean, log_var = model.encode(x)
        drawn = [model.likelihood.nll(model(x, generator=noise).output, x) for _ in range(DRAWS)]
        nats.append(np.mean([nll.cpu().numpy() for nll in drawn], axis=0))
        kl.append(kl_per_code(mean, log_var).sum(1).cpu().numpy())
    return np.concatenate(nats), np.concatenate(kl)


class HeldOut:
    """One kind held out: what was learned of the others, and what the test images score."""

    def __init__(self, kind: int, args: argparse.Namespace, train: Images, test: Images):
        self.kind = kind
        others = minigrad.tensor(
            train.images.cpu().numpy()[train.labels.cpu().numpy() != kind], device=args.device
        )
        self.odd = test.labels.cpu().numpy() == kind
        self.images = test.images.cpu().numpy()
        autoencoder = trained(lambda: plain(args.code), others, args)
        vae = trained(lambda: variational(args.code), others, args)
        self.outputs = restored(autoencoder, test.images)
        nats, kl = costs(vae, test.images, args.seed)
        error = ((self.outputs - self.images) ** 2).mean((1, 2, 3))
        ink = np.mean(self.images, (1, 2, 3))
        nearest = squares(flat(test.images), flat(others[:KNOWN])).min(1)
        values = error, error / np.maximum(ink, 1e-6), nats + kl, nats, kl, nearest, ink
        self.scores = dict(zip(SCORES, values, strict=True))

    def areas(self) -> list[float]:
        """The AUC of each score."""
        return [auc(score, self.odd) for score in self.scores.values()]

    def curves(self) -> dict[str, Curve]:
        """The ROC of the scores that are drawn."""
        return {name: roc(self.scores[name], self.odd) for name in SCORES[:3]}

    def margin(self) -> float:
        """The largest standard error of its AUCs."""
        odd = int(self.odd.sum())
        return max(standard_error(area, odd, len(self.odd) - odd) for area in self.areas())


def kinds_to_hold_out(args: argparse.Namespace, train: Images, test: Images) -> list[int]:
    """Those asked for, or all; ArgumentError if there is no such kind, or no other."""
    there = np.unique(test.labels.cpu().numpy()).tolist()
    asked = list(dict.fromkeys(there if args.held_out is None else args.held_out))
    if not asked or not set(asked) <= set(there) or len(there) < 2:
        raise ArgumentError(
            f"--held-out: got {','.join(map(str, asked))}; expected kinds of the test images: "
            f"{','.join(map(str, there))}, of which there must be two"
        )
    return asked


def main() -> None:
    """Hold out each kind in turn, draw, and print the table."""
    args = flags()
    started = time.perf_counter()
    train, test, names = named_images(args, *((1500, 500) if args.quick else (6_000, 2_000)))
    kinds = kinds_to_hold_out(args, train, test)
    folder = args.out / "anomaly"
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for kind in (bar := tqdm(kinds, desc="held out", unit="kind")):
        bar.set_postfix_str(names[kind])
        found.append(HeldOut(kind, args, train, test))
    said = [names[kind] for kind in kinds]
    areas = np.array([held.areas() for held in found])
    draw_table(said, SCORES, areas, folder / "auc.png")
    draw_roc(said, [held.curves() for held in found], areas, folder / "roc.png")
    draw_extremes(said, found, "AE error", folder / "extremes.png")
    elbo = areas[:, SCORES.index("-ELBO")]
    best, worst = elbo.argmax(), elbo.argmin()
    draw_scores([(said[i], found[i]) for i in dict.fromkeys((best, worst))], folder / "scores.png")
    rows = [(name, *(float(a) for a in row)) for name, row in zip(said, areas, strict=True)]
    print("\nAUC of each held-out kind: 1 is always told, 0.5 is a coin\n")
    print(table(("held out", *SCORES), [*rows, ("mean", *map(float, areas.mean(0)))]))
    margin = max(held.margin() for held in found)
    print(f"\neach ± {margin:.2f} at most, for the number of test images (standard error)")
    print("held out, and by -ELBO as normal as the known, or more:", end=" ")
    print(", ".join(n for n, area in zip(said, elbo, strict=True) if area < 0.5) or "none")
    print(f"in all {time.perf_counter() - started:.0f} seconds; pictures in {folder}/")


if __name__ == "__main__":
    run(main)
