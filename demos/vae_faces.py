"""Faces from a VAE: three likelihoods, heads that turn and smile, and a bias undone.

The same network for three kinds of pixels: Gaussian with σ² = 1.47, which is deck 002's loss, the
mean squared error plus 0.00024 KL; Bernoulli, as in its extra experiment; Gaussian with a σ² that
is learned. Of the drawn faces' twenty factors eight vary: pose, smile, light, skin, hair, its
colour, the eyes' colour and the shirt. A smile is so small a part of the pixels that nod,
tilt, gaze, beards and glasses would drown it in a few minutes of training: they are held still.
Heads turn by 9° at most, and so eyes lie at nearly the same place, as in CelebA's aligned pictures:
at σ² = 1.47 it does not pay to tell where eyes are, and where heads turn by 31° all wear a bar.

What to see: a likelihood is above all the price of an error. The dearer errors are, the more the
codes tell and the sharper are reconstructions; and the more room lies between the codes of faces,
where a z drawn from p(z) decodes to no face. A Gaussian's density and a Bernoulli's cross-entropy
are not one currency; so the table also counts all three models in the same one. Codes of faces
whose pose is known show a road on which a head turns, and another on which it smiles: for these a
model is trained on faces that differ in pose, smile and skin alone, or it would miss the mouth.
Of a set with 5 % dark skin those faces are learned worse. Drawing faces with rare codes more often
turns that round, at a price for the others. There faces differ in skin, pose and light alone: where
hair varies as well, other codes are as rare as the skin's, and much less is gained.

`--dataset folder --data-dir DIR` takes any folder of pictures, such as CelebA's. It has no factors:
there is no road, and no group, and only the three likelihoods and single codes are shown.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import FACES, Rows, guide, load_faces, parser, run, table
from demos.face_debiasing import GROUPS, RARE, SETS, TESTED, Debiased, debias
from demos.face_model import adam, face_vae
from demos.face_pictures import (
    draw_codes,
    draw_curves,
    draw_debiasing,
    draw_reconstructions,
    draw_roads,
    draw_rows,
    draw_samples,
    save_roads,
)
from demos.face_roads import ROADS, Road, Walker
from minigrad import Generator, tensor
from minigrad.data import DataLoader, TensorDataset
from minigrad.data.faces import FACTORS, draw_factors
from minigrad.errors import ArgumentError
from minigrad.training import fit
from models.evaluation import active_units, elbo_parts, kl_by_code, posteriors
from models.likelihoods import Bernoulli, Gaussian, Likelihood, variance_of_weighted_loss
from models.scores import psnr
from models.vae import FaceVAE

COURSE = "V12, V14, V17"
TIME = "five minutes"

STILL = {  # of all faces
    "nod": 0, "tilt": 0, "gaze": 0, "brows": 0, "mouth_open": 0.1, "eyes_open": 0.7,
    "face_width": 0, "jaw": 0, "age": 0.15, "beard": 0, "glasses": 0,
    "backdrop": 0.55,
}  # fmt: skip
PLAIN = {"hair_style": 2, "hair_colour": 0.45, "eye_colour": 0.3, "shirt": 0.4}
NARROW = 0.3  # of all poses: the faces look nearly ahead, as CelebA's aligned ones do
AHEAD = np.where(np.array(FACTORS) == "pose", np.float32(NARROW), np.float32(1))
PIXELS = 3 * 64 * 64
DECK = variance_of_weighted_loss(0.00024, PIXELS)  # σ² = 1.47


SEEN = {
    "reconstructions.png": "Downwards errors are dearer and faces sharper: shirts, and eyes.",
    "samples.png": "Faces of codes from N(0, 1): the fewer nats a code has, the more are faces.",
    "curves.png": "-ELBO, each in its own currency, and PSNR and KL, which can be compared.",
    "codes.png": "How many nats each code has: where errors are dear, codes tell much more.",
    "single_codes.png": "One code changes, and with it what it tells: skin, hair, light.",
}
SEEN_OF_DRAWN = {  # whose factors are known
    "roads.png": "Walks in code space under the faces as drawn: heads turn, and smile.",
    "roads.gif": "The same as they move.",
    "faces.png": "All of it small.",
    "debiasing.png": "Drawn more often, rare faces come out better and the others worse.",
}


class Kind(NamedTuple):
    """A likelihood, under the name that it has in pictures and in files."""

    name: str
    file: str
    make: Callable[[], Likelihood]


KINDS = (
    Kind("Gaussian, σ² = 1.47", "gaussian", lambda: Gaussian(DECK)),
    Kind("Bernoulli", "bernoulli", Bernoulli),
    Kind("Gaussian, σ² learned", "learned", lambda: Gaussian("shared")),
)
TURNING = Kind("heads that turn and smile", "heads", lambda: Gaussian("shared"))


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=5, datasets=FACES)
    made.add_argument(
        "--faces", type=int,
        help="to train on: drawn ones (default 2500), or of a folder at most so many (default all)",
    )  # fmt: skip
    made.add_argument("--width", type=int, default=16, help="channels after the first layer (16)")
    made.add_argument("--codes", type=int, default=24, help="numbers in the code (default 24)")
    made.add_argument("--batch-size", type=int, default=8)
    made.add_argument("--resume", action="store_true", help="continue an interrupted run")
    args = made.parse_args()
    args.drawn = args.dataset == "faces" and args.data_dir is None
    if args.faces is None:
        args.faces = 2500 if args.drawn else sys.maxsize
    numbers = args.epochs, args.faces, args.width, args.codes, args.batch_size
    if min(numbers) < 1:
        raise ArgumentError(
            "epochs, faces, width, codes, batch size: got "
            f"{', '.join(map(str, numbers))}; expected at least 1"
        )
    if args.quick:
        args.epochs, args.faces, args.width = min(args.epochs, 2), min(args.faces, 64), 4
    return args


def held(n: int, seed: int, still: dict[str, float]) -> np.ndarray:
    """Factors of n faces that differ in all but those that are still."""
    factors = draw_factors(n, seed)
    for name, value in still.items():
        factors[:, FACTORS.index(name)] = value
    return factors


def calm(n: int, seed: int) -> np.ndarray:
    """Factors of n faces that differ in eight of the twenty, in pose but little."""
    return held(n, seed, STILL) * AHEAD


def heads(n: int, seed: int) -> np.ndarray:
    """Factors of n faces that differ in three: pose, smile and skin."""
    return held(n, seed, STILL | PLAIN | {"light": 0.3})


def lit(n: int, seed: int) -> np.ndarray:
    """Factors of n faces that differ in deck 001's three, skin, pose and light; little in pose."""
    return held(n, seed, STILL | PLAIN | {"smile": 0}) * AHEAD


# ---------------------------------------------------------------- three kinds of pixels


class Training:
    """One likelihood: its model, its curves, its scores."""

    def __init__(
        self, kind: Kind, args: argparse.Namespace, data: tuple[TensorDataset, TensorDataset],
        epochs: int,
    ) -> None:  # fmt: skip
        self.kind, self.args, self.epochs = kind, args, epochs
        self.train, self.test = data
        minigrad.manual_seed(args.seed)
        self.model = face_vae(args.codes, args.width, kind.make()).to(args.device)

    def run(self, folder: Path) -> None:
        """Train, from the beginning or from where an earlier run was interrupted."""
        args, checkpoint = self.args, folder / f"{self.kind.file}.npz"
        minigrad.manual_seed(args.seed)
        print(self.kind.name)
        optimizer, scheduler = adam(self.model, self.epochs)
        self.records = fit(
            self.model,
            FaceVAE.loss,
            optimizer,
            DataLoader(self.train, args.batch_size, shuffle=True),
            self.epochs,
            scheduler=scheduler,
            on_epoch=lambda epoch, record: self.tested(),
            checkpoint=checkpoint,
            resume=args.resume and checkpoint.exists(),
        )
        self.model.eval()

    def batches(self, data: TensorDataset) -> DataLoader:
        """A pass through the data, in order."""
        return DataLoader(data, 100)

    def dice(self) -> Generator:
        """The same draws for every evaluation, and none from the training's generator."""
        return Generator(self.args.device).manual_seed(self.args.seed)

    def tested(self) -> dict[str, float]:
        """Scores on the test faces after an epoch."""
        parts = elbo_parts(self.model, self.batches(self.test), self.dice())
        return {"test_bits": parts.bits_per_dimension, "test_kl": parts.kl, "psnr": self.psnr()}

    def psnr(self) -> float:
        """The mean PSNR of the test faces' reconstructions, decibels."""
        each = [psnr(self.model.reconstruct(x), x) for x, *_ in self.batches(self.test)]
        return float(np.concatenate(each).mean())

    def score(self) -> "Score":
        """What the table tells."""
        parts = elbo_parts(self.model, self.batches(self.test), self.dice())
        codes = posteriors(self.model, self.batches(self.test))
        kl = np.sort(kl_by_code(codes))[::-1]
        variance = self.squared_error(first(self.train, 1000))
        error = self.squared_error(self.test)
        nats = 0.5 * PIXELS * (math.log(2 * math.pi * variance) + error / variance) + parts.kl
        return Score(
            parts.reconstruction, parts.kl, parts.bits_per_dimension, self.psnr(), kl,
            int(active_units(codes).sum()), error, variance, nats / PIXELS / math.log(2),
        )  # fmt: skip

    @minigrad.no_grad()
    def squared_error(self, data: TensorDataset) -> float:
        """The mean of (x - E[x|z])² over pixels and faces, one draw z ~ q(z|x) for each."""
        dice, total = self.dice(), 0.0
        for x, *_ in self.batches(data):
            mean = self.model.likelihood.mean(self.model(x, generator=dice).output)
            total += float((x - mean).square().mean()) * len(x)
        return total / len(data)


def first(data: TensorDataset, n: int) -> Rows:
    """The first n of them."""
    return Rows(data, np.arange(min(n, len(data))))


class Score(NamedTuple):
    """How good a model is on the test faces."""

    reconstruction: float  # nats per face, of its own likelihood
    kl: float  # nats per face
    bits: float  # -ELBO per pixel and channel, of its own likelihood
    psnr: float  # decibels, of reconstructions from z = μ
    kl_by_code: np.ndarray  # sorted, the largest first
    active: int  # codes
    error: float  # the mean squared error from a draw z
    variance: float  # the best σ² on the training faces: their mean squared error
    gaussian_bits: float  # -ELBO per pixel and channel, if pixels are N(E[x|z], variance)


def cross_entropies(training: Training) -> tuple[float, float]:
    """Of the test faces, nats per pixel and channel: the mean one of a model, and the least.

    The least is the entropy of the greys x themselves, which no reconstruction can undercut.
    """
    likelihood, floor, total, n = Bernoulli(), 0.0, 0.0, 0
    with minigrad.no_grad():
        for x, *_ in training.batches(training.test):
            output = training.model(x, generator=training.dice()).output
            ink = training.model.likelihood.mean(output).clamp(1e-6, 1 - 1e-6)
            total += float(likelihood.nll((ink / (1 - ink)).log(), x).sum())
            inner = x.clamp(1e-6, 1 - 1e-6)
            floor += float(likelihood.nll((inner / (1 - inner)).log(), inner).sum())
            n += x.numel()
    return total / n, floor / n


def scores_in_words(trainings: list[Training], scores: list[Score]) -> str:
    """The table of the three, and the deck's units."""
    columns = (
        "pixels", "PSNR dB", "KL nats", "active codes", "-ELBO nats", "bits/dim",
        "best σ²", "bits/dim with it",
    )  # fmt: skip
    rows = [
        (t.kind.name, s.psnr, s.kl, f"{s.active} of {t.args.codes}", s.reconstruction + s.kl,
         s.bits, s.variance, s.gaussian_bits)
        for t, s in zip(trainings, scores, strict=True)
    ]  # fmt: skip
    entropy, floor = cross_entropies(trainings[1])
    gaussian = scores[0]
    return f"""{table(columns, rows)}

-ELBO and bits/dim are in each model's own currency: a Gaussian's are of a density of pixels between
0 and 1, which may be below 0 (add 8 bits for bytes), a Bernoulli's are a cross-entropy, which may
not. They cannot be compared. PSNR can, and so can the last column: the same codes and means, as if
every pixel were Gaussian around its mean, with the σ² that suits that model's training faces best.

In deck 002's units, per pixel: MSE + 0.00024 KL = {gaussian.error:.4f} + \
{0.00024 * gaussian.kl:.4f} = {gaussian.error + 0.00024 * gaussian.kl:.4f} (Gaussian);
cross-entropy {entropy:.4f}, of which {floor:.4f} is the greys' own entropy (Bernoulli).
The deck prints a "mean of ELBO" of 0.5657 and of 0.5364. The second is of a cross-entropy's size.
The first cannot be MSE + 0.00024 KL of pixels between 0 and 1 after any training: a decoder that
ignores its code and answers with the mean picture has KL 0 and an MSE of ¼ at most. Neither is an
ELBO in nats."""


# ---------------------------------------------------------------- pictures and words


def draw_three(trainings: list[Training], scores: list[Score], folder: Path) -> None:
    """Everything that compares the likelihoods."""
    faces = first(trainings[0].test, 10)[:][0]
    outputs = {
        f"{t.kind.name}\n{s.psnr:.1f} dB": t.model.reconstruct(faces).cpu().numpy()
        for t, s in zip(trainings, scores, strict=True)
    }
    draw_reconstructions(faces.cpu().numpy(), outputs, folder / "reconstructions.png")
    samples = {t.kind.name: t.model.sample(16, t.dice()).cpu().numpy() for t in trainings}
    draw_samples(samples, folder / "samples.png")
    records = {t.kind.name: t.records for t in trainings}
    draw_curves(records, PIXELS, folder / "curves.png")
    kl = {t.kind.name: s.kl_by_code for t, s in zip(trainings, scores, strict=True)}
    active = {t.kind.name: s.active for t, s in zip(trainings, scores, strict=True)}
    draw_codes(kl, active, folder / "codes.png")


def vary_single_codes(training: Training, path: Path, most: int = 5) -> None:
    """The dearest codes, one after the other, from -2.5 to 2.5, the others as they are.

    They are those of the most usual test face, whose code is nearest to 0.
    """
    codes = posteriors(training.model, training.batches(training.test))
    nats = kl_by_code(codes)
    usual, strips = np.square(codes.mean).sum(1).argmin(), []
    for j in np.argsort(-nats)[:most]:
        z = np.repeat(codes.mean[[usual]], 7, axis=0)
        z[:, j] = np.linspace(-2.5, 2.5, 7)
        faces = training.model.generate(tensor(z.astype(np.float32), device=training.args.device))
        strips.append((f"code {j + 1}\n{nats[j]:.1f} nats", faces.cpu().numpy()))
    draw_rows(strips, path)


def draw_overview(trainings: list[Training], found: list[Road], path: Path) -> None:
    """Reconstructions at their best, new faces at theirs, and walks, seven faces in a row."""
    simple, _, sharp = trainings
    faces = first(sharp.test, 7)[:][0]
    rows = [
        ("test faces", faces.cpu().numpy()),
        ("reconstructed,\nσ² learned", sharp.model.reconstruct(faces).cpu().numpy()),
        ("new faces,\nσ² = 1.47", simple.model.sample(14, simple.dice()).cpu().numpy()),
    ]
    people = len(found[0].strips)
    walks = [(ROADS[road.name], road.strips[i % people].decoded) for i, road in enumerate(found)]
    draw_rows([*rows, *walks], path)


def roads_in_words(found: list[Road]) -> str:
    """The table of the roads."""
    columns = "road", "R² of the codes", "walked dB", "encoded dB", "stayed dB"
    rows = [(f"{r.name}: {ROADS[r.name]}", r.r2, r.walked, r.encoded, r.stayed) for r in found]
    return f"""{table(columns, rows)}

R²: how well a linear guess from the codes tells the factor of a test face. Then PSNRs against the
faces as they are drawn at every stop: of walking there in code space; of encoding the drawn face,
which walking can hardly beat; and of staying where the face was."""


def debiasing_in_words(found: Debiased) -> str:
    """The table of the debiasing."""
    columns = "faces to train on", *(f"{name}, MSE × 1000" for name in GROUPS), "ratio", "in dB"
    rows = [
        (name, 1000 * light, 1000 * dark, dark / light, f"{10 * math.log10(dark / light):.2f}")
        for name, (light, dark) in zip(SETS, found.error.mean(1).tolist(), strict=True)
    ]
    gains = 1 - found.error[1] / found.error[0]
    spread = "; ".join(
        f"{name} {', '.join(f'{x:+.1%}' for x in of_group)}"
        for name, of_group in zip(GROUPS, gains.T, strict=True)
    )
    return f"""{table(columns, rows)}

Of {TESTED // 2} test faces of each group, over {found.error.shape[1]} seeds. Resampling is not \
told of groups: of the faces it
draws {found.drawn.mean():.1%} are dark, where there are {RARE:.0%}.
By how much it lowers the error, seed by seed: {spread}."""


def main() -> None:
    """Train, draw, and print the tables."""
    args = flags()
    started = time.perf_counter()
    tested = 40 if args.quick else 200
    data = load_faces(args, args.faces, tested, calm)
    folder = args.out / "vae_faces"
    folder.mkdir(parents=True, exist_ok=True)
    trainings = [Training(kind, args, data, args.epochs) for kind in KINDS]
    for training in trainings:
        training.run(folder)
    scores = [training.score() for training in trainings]
    draw_three(trainings, scores, folder)
    vary_single_codes(trainings[0], folder / "single_codes.png")
    print("\n" + scores_in_words(trainings, scores))
    if args.drawn:
        data = load_faces(args, 4 * args.faces // 5, tested, heads)
        turning = Training(TURNING, args, data, 4 * args.epochs)
        turning.run(folder)
        walker = Walker(turning.model, *data)
        found = [walker.road(name, 4 if args.quick else 40) for name in ROADS]
        draw_roads(found, folder / "roads.png")
        save_roads(found, folder / "roads.gif")
        draw_overview(trainings, found, folder / "faces.png")
        print("\n" + roads_in_words(found))
        debiased = run_debiasing(args)
        draw_debiasing(debiased, folder / "debiasing.png")
        print("\n" + debiasing_in_words(debiased))
    else:
        print("\nthese faces have no known factors: no road is looked for, and no group is rare")
    seen = SEEN | SEEN_OF_DRAWN if args.drawn else SEEN
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; {guide(folder, seen)}")


def run_debiasing(args: argparse.Namespace) -> Debiased:
    """The experiment, with a bar: nine models in the default setting."""
    seeds = range(args.seed, args.seed + (1 if args.quick else 3))
    n, epochs = (100, 1) if args.quick else (2500, 4)
    with tqdm(total=len(seeds) * len(SETS), desc="debiasing", unit=" models") as bar:
        return debias(n, epochs, seeds, lit, args.device, each=bar.update)


if __name__ == "__main__":
    run(main)
