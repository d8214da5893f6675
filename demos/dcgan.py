"""A convolutional GAN: digits, garments or faces out of noise, two networks against each other.

DCGAN's plan, with fewer channels so that it learns in minutes: G makes an image of 100 numbers of
noise, D says whether an image is one of the data. Digits are 28×28, faces 64×64 in colour and take
longer. D has no batch normalisation but pays for its slope on data, R1, and so stays beatable;
`--published` plays as the paper does, and so does `--conditional`, where both players are told the
class, for then they learn it sooner. What is shown is made by G's running average.

What to see. forming.gif: the same noise as G learns, strokes first, then digits. samples.png: the
last of it beside data; with `--conditional` a row for each class, the same noise down a column.
interpolation.png: one digit bends into another, often by way of a third, without a jump.
curves.png: D is right a little more often than not, and neither player wins; the Fréchet distance
falls; that of training images is the dashed line. nearest.png: the training image nearest to each
sample is another one: nothing is learned by heart. overview.png: all of it small. The table says
how sure a classifier is of the samples, which digits there are least of, and whether they lie
nearer to the training images than new data do. About a quarter of the samples are no digit that the
classifier would swear to; of MNIST, whose digits differ more, two in five, and of MNIST's own
images one in eight.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import minigrad
from demos import dcgan_pictures as draw
from demos.common import ALL, DATASETS, SETTINGS, Rows, parser, resumes, run, table
from demos.dcgan_numbers import SURE, Data, Judge, load_data, size_of
from demos.pictures import load_png, save_png
from minigrad import Generator, Tensor, optim, tensor
from minigrad.data import DataLoader
from minigrad.errors import ArgumentError
from minigrad.optim.lr_scheduler import CosineAnnealingLR
from minigrad.training import Record, train
from models.game import Game
from models.gan import DCGAN, ConditionalGAN
from models.gan_scores import nearest

COURSE = "G5"
TIME = "five minutes"

COLUMNS = 10  # of the grid of samples
MOVING = 60  # of them in the animation
EARLY = 0, 1 / 8, 1 / 4, 1 / 2  # of the first epoch: the frames before those of the epochs
STEPS = 11  # from one noise to another
STATE = "game.npz"  # the checkpoint's name
USUAL = ("images", 28_000, 6_000), ("width", 32, 16)  # digits, faces
R1 = 3.0, 0.2  # the weight of D's slope: digits, faces
CHOICES = (
    "dataset", "data_dir", "conditional", "published", "width", "images", "epochs", "rate",
    "seed", "quick", "tested",
)  # fmt: skip


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=8, datasets=ALL)
    made.add_argument("--conditional", action="store_true", help="tell both players the class")
    made.add_argument(
        "--published", action="store_true", help="D with batch normalisation, without R1"
    )
    made.add_argument("--images", type=int, help="in an epoch (28,000; of faces 6,000)")
    made.add_argument("--width", type=int, help="channels at the largest size (32; of faces 16)")
    made.add_argument(
        "--rate", type=float, help="Adam's, at first (2e-3; 5e-4 of faces, or as published)"
    )
    made.add_argument("--resume", action="store_true", help="continue an interrupted run")
    return filled(made.parse_args())


def filled(args: argparse.Namespace) -> argparse.Namespace:
    """The flags, and what they leave open."""
    digits = args.dataset in DATASETS
    if args.dataset == "glyphs" and args.data_dir:
        args.dataset = "mnist"
    for name, of_digits, of_faces in USUAL:
        if getattr(args, name) is None:
            setattr(args, name, of_digits if digits else of_faces)
    args.published = args.published or args.conditional
    if args.rate is None:
        args.rate = 5e-4 if args.published or not digits else 2e-3
    args.batch = 64 if args.published and digits else 32
    of_digits, of_faces = R1
    args.r1 = 0.0 if args.published else of_digits if digits else of_faces
    args.tested = 2000 if digits else 500
    if min(args.epochs, args.images, args.width) < 1 or not args.rate > 0:
        raise ArgumentError(
            f"--epochs, --images, --width, --rate: got {args.epochs}, {args.images}, "
            f"{args.width}, {args.rate:g}; expected all above 0"
        )
    if args.quick:
        args.epochs, args.width = min(args.epochs, 2), min(args.width, 8)
        args.images, args.tested = min(args.images, 640 if digits else 128), 200 if digits else 60
    return args


class Watched(Game):
    """The game; it keeps D's answers of every round, and calls `each` after some of them."""

    def __init__(self, gan: DCGAN, settings: dict[str, str], **rules: Any) -> None:
        super().__init__(gan, **rules)
        self.settings = settings
        self.answers: list[list[float]] = []
        self.each = lambda: None

    def step(self, x: Tensor, *labels: Tensor) -> Record:
        """One round."""
        record = super().step(x, *labels)
        self.answers.append([record["real"], record["fake"]])
        self.each()
        return record

    def state_dict(self) -> dict[str, Any]:
        """And what `gan_of` must know to make the networks anew."""
        answers = np.array(self.answers).reshape(-1, 2)
        return {**super().state_dict(), "answers": answers, "settings": self.settings}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from there."""
        super().load_state_dict(state)
        self.answers = np.asarray(state["answers"]).tolist()


def gan_of(settings: dict[str, str]) -> DCGAN:
    """Untrained networks of the settings that a checkpoint has."""
    shape = tuple(int(n) for n in settings["shape"].split("×"))
    width, classes = int(settings["width"]), int(settings["classes"])
    norm = "batch" if settings["published"] == "True" else "none"
    if classes:
        return ConditionalGAN(classes, image_shape=shape, width=width, norm=norm)
    return DCGAN(shape, width=width, norm=norm)


class Training:
    """The players, the game, and what is kept of it."""

    def __init__(self, args: argparse.Namespace, data: Data, folder: Path) -> None:
        self.args, self.data, self.folder = args, data, folder
        self.classes = len(data.names) if args.conditional else 0
        if args.conditional and not self.classes:
            raise ArgumentError("--conditional: got pictures of a folder; expected labelled images")
        if args.images < args.batch:
            raise ArgumentError(f"--images: got {args.images}; expected a batch of {args.batch}")
        settings = {name: str(getattr(args, name)) for name in CHOICES}
        settings |= {"shape": "×".join(map(str, data.shape)), "classes": str(self.classes)}
        minigrad.manual_seed(args.seed)
        self.gan = gan_of(settings).to(args.device)
        players = self.gan.discriminator, self.gan.generator
        adams = [optim.Adam(p.parameters(), lr=args.rate, betas=(0.5, 0.999)) for p in players]
        self.game = Watched(
            self.gan, settings, d_optimizer=adams[0], g_optimizer=adams[1], ema=0.995,
            r1=args.r1,
            schedulers=[CosineAnnealingLR(adam, args.epochs) for adam in adams],
        )  # fmt: skip
        rows = np.arange(args.images) % len(data.train)  # fewer images come again
        epoch = Rows(data.train, rows)
        self.loader = DataLoader(epoch, args.batch, shuffle=True, drop_last=True)
        self.frames = {round(share * len(self.loader)) for share in EARLY}
        self.frames |= {epoch * len(self.loader) for epoch in range(1, args.epochs + 1)}
        self.rows = self.classes or (10 if data.shape[1] < 64 else 5)
        self.labels = tensor(self.row_labels(), device=args.device)
        self.z = self.noise(COLUMNS if self.classes else COLUMNS * self.rows, 0)
        if self.classes:
            self.z = minigrad.cat([self.z] * self.classes)

    def row_labels(self) -> np.ndarray:
        """The class of each image of the grid; looked at by conditional GANs alone."""
        return np.repeat(np.arange(self.rows) % max(1, self.classes), COLUMNS)

    def noise(self, n: int, stream: int) -> Tensor:
        """The same z every time, and none from the training's generator."""
        dice = Generator(self.args.device).manual_seed(1000 * self.args.seed + stream)
        return self.gan.noise(n, dice)

    def made(self, z: Tensor, labels: Tensor, averaged: bool = True) -> Tensor:
        """The images of noise, by G's average or by G itself, which must be in evaluation mode."""
        by = self.game.average.module if averaged else None
        parts = range(0, len(z), 250)
        return minigrad.cat(
            [self.gan.generate(z[i : i + 250], labels[i : i + 250], by=by) for i in parts]
        )

    def many(self, averaged: bool = True) -> tuple[Tensor, Tensor]:
        """As many samples as there are test images, of all classes, and their classes."""
        n = len(self.data.test)
        labels = tensor(np.arange(n) % max(1, self.classes), device=self.args.device)
        return self.made(self.noise(n, 1), labels, averaged), labels

    # ------------------------------------------------------------ the game

    @property
    def checkpoint(self) -> Path:
        """From where an interrupted game continues."""
        return self.folder / STATE

    def run(self, judge: Judge) -> None:
        """Play, from the beginning or from where an earlier game was interrupted; keep it all."""
        self.game.each = self.watch
        resume = self.args.resume and self.checkpoint.exists()
        if not resume:
            self.watch()
        self.records = train(
            self.game, self.loader, self.args.epochs,
            on_epoch=lambda *_: {"frechet": judge.score(*self.many()).distance},
            checkpoint=self.checkpoint, resume=resume,
        )  # fmt: skip
        self.gan.eval()

    def watch(self) -> None:
        """Keep what the animation shows, if it shows this round."""
        if self.game.rounds in self.frames:
            c, _, w = self.data.shape
            images = self.made(self.z, self.labels).cpu().numpy().transpose(0, 2, 3, 1)
            column = np.broadcast_to(images.reshape(-1, w, c), (images.size // (w * c), w, 3))
            save_png((column * 255 + 0.5).astype(np.uint8), self.frame_file(self.game.rounds))

    def frame_file(self, rounds: int) -> Path:
        """Where the grid after so many rounds is: one image below the other."""
        return self.folder / "frames" / f"round_{rounds:06d}.png"

    def kept(self) -> dict[int, np.ndarray]:
        """The grids that were kept, (n, c, h, w) by the number of rounds."""
        c, size, _ = self.data.shape
        found = {}
        for file in sorted((self.folder / "frames").glob("*.png")):
            column = load_png(file)[..., :c].astype(np.float32) / 255
            images = column.reshape(-1, size, size, c).transpose(0, 3, 1, 2)
            found[int(file.stem.split("_")[1])] = images
        return found


def prepare(folder: Path, settings: dict[str, str], resume: bool) -> None:
    """Make room for a run, or see to it that a resumed one has the settings that it had."""
    if resumes(folder, {name: settings[name] for name in CHOICES}, resume):
        return
    for old in (*folder.glob("*.npz"), *folder.glob("frames/*.png")):
        old.unlink()
    (folder / "frames").mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS).write_text(json.dumps(settings), "utf-8")


# ---------------------------------------------------------------- pictures


def slerp(a: np.ndarray, b: np.ndarray, steps: int) -> np.ndarray:
    r"""Noise (steps, codes) from a to b on an arc: as long as noise is, all the way.

        z(t) = (sin((1 - t) θ) a + sin(t θ) b) / sin θ,   θ the angle between a and b

    Half way along the straight line z is shorter by √½, and such noise G has hardly ever seen.
    (White, arXiv 1609.04468.)

    >>> np.linalg.norm(slerp(np.array([3.0, 0.0]), np.array([0.0, 3.0]), 5), axis=1)
    array([3., 3., 3., 3., 3.])
    """
    angle = np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))
    t = np.linspace(0, 1, steps)[:, None]
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


class Pictures:
    """The pictures of a game that was played."""

    def __init__(self, training: Training, judge: Judge) -> None:
        self.training, self.data, self.folder = training, training.data, training.folder
        self.frames = training.kept()
        self.samples = training.made(training.z, training.labels).cpu().numpy()
        sets = training.data.test[:][0], training.many()[0]
        distances = np.array([record["frechet"] for record in training.records])
        self.history = draw.History(
            np.array(training.game.answers),
            (np.arange(len(distances)) + 1) * len(training.loader),
            distances, judge.floor().distance,
            np.stack([judge.shares(images) for images in sets]), training.data.names,
        )  # fmt: skip

    def draw_all(self) -> None:
        """Every picture, into the folder."""
        makers = {
            "overview.png": self.overview,
            "forming.gif": self.forming,
            "samples.png": self.grids,
            "interpolation.png": self.interpolation,
            "nearest.png": self.nearest,
            "curves.png": lambda path: draw.draw_curves(self.history, path),
        }
        for name, maker in (bar := tqdm(makers.items(), desc="pictures", leave=False)):
            bar.set_postfix_str(name)
            maker(self.folder / name)

    def forming(self, path: Path) -> None:
        """The frames that the game kept."""
        each = len(self.training.loader)
        shots = []
        known = dict(zip(self.history.rounds, self.history.distance, strict=True))
        shown = slice(None) if self.training.classes else slice(MOVING)
        for rounds, images in self.frames.items():
            caption = f"{rounds:5,} rounds, {rounds / each:5.2f} epochs"
            far = f", Fréchet distance {known[rounds]:.2f}" if rounds in known else ""
            shots.append((images[shown], caption + far))
        draw.save_forming(shots, path, COLUMNS)

    def of_data(self) -> np.ndarray:
        """As many training images as there are in the grid, with its classes if it has some."""
        images, labels = (part.cpu().numpy() for part in self.data.train[:2000])
        if not self.training.classes:
            return images[: len(self.samples)]
        rows = [np.flatnonzero(labels == k)[:COLUMNS] for k in range(self.training.classes)]
        blank = np.ones((COLUMNS, *images.shape[1:]), images.dtype)
        return np.concatenate([np.concatenate([images[row], blank])[:COLUMNS] for row in rows])

    def grids(self, path: Path) -> None:
        """Made ones beside data."""
        blocks = {"made from noise": self.samples, "data": self.of_data()}
        draw.draw_blocks(blocks, COLUMNS, path)

    def paths(self, rows: int) -> list[np.ndarray]:
        """Images along arcs between noises, one array a row; a row has one class."""
        ends = self.training.noise(2 * rows, 2).cpu().numpy().reshape(rows, 2, -1)
        arcs = [slerp(a, b, STEPS) for a, b in ends]
        found = []
        for k, arc in enumerate(arcs):
            label = np.full(STEPS, k % max(1, self.training.classes))
            device = self.training.args.device
            z = tensor(arc.astype(np.float32), device=device)
            found.append(self.training.made(z, tensor(label, device=device)).cpu().numpy())
        return found

    def interpolation(self, path: Path) -> None:
        """From one noise to another."""
        rows = {f"{k + 1}": images for k, images in enumerate(self.paths(8))}
        if self.training.classes:
            names = (self.data.names[k % self.training.classes] for k in range(len(rows)))
            rows = {f"{name} ({k})": x for name, (k, x) in zip(names, rows.items(), strict=True)}
        draw.draw_strips(rows, path)

    def nearest(self, path: Path) -> None:
        """Samples, and test images for comparison, each above the nearest training image."""
        train = self.data.train[:][0].cpu().numpy()
        samples = self.training.many()[0][:14].cpu().numpy()
        rows = {}
        for name, images in (("samples", samples), ("test", self.data.test[:14][0].cpu().numpy())):
            found = nearest(images, train)
            rows[name] = images
            rows[f"nearest training\nimages, {found.distance.mean():.1f} off"] = train[found.index]
        draw.draw_strips(rows, path)

    def overview(self, path: Path) -> None:
        """The picture for those who have read nothing yet."""
        each = len(self.training.loader)
        wanted = [0, *(each * k for k in (1, 3)), max(self.frames)]
        some = slice(None, None, COLUMNS) if self.training.classes else slice(COLUMNS)
        early = {f"{n:,} rounds": self.frames[n][some] for n in sorted(set(wanted))
                 if n in self.frames}  # fmt: skip
        paths = np.concatenate(self.paths(4))
        of = draw.Overview(self.samples, COLUMNS, early, paths, self.history)
        draw.draw_overview(of, path)


# ---------------------------------------------------------------- words


def in_words(training: Training, judge: Judge) -> str:
    """The closing table."""
    floor, averaged, last = (
        (name, judge.score(images, labels), judge.copying(images))
        for name, (images, labels) in (
            ("training images", judge.data.train[: len(judge.data.test)]),
            ("samples, G's average", training.many()),
            ("samples, G itself", training.many(averaged=False)),
        )
    )
    columns = ["images", "Fréchet distance", "nearer to training"]
    rows = [[name, s.distance, f"{copies:.0%}"] for name, s, copies in (floor, averaged, last)]
    rows[0][2] = "-"  # of itself
    if judge.data.names:
        columns += ["confidence", f"surer than {SURE:.0%}", "rarest class", "commonest"]
        for row, (_, s, _) in zip(rows, (floor, averaged, last), strict=True):
            row += [f"{share:.1%}" for share in s[1:5]]
    if training.classes:
        columns.append("as told")
        for row, (_, s, _) in zip(rows, (floor, averaged, last), strict=True):
            row.append(f"{s.as_told:.1%}")
    return table(columns, rows)


def main() -> None:
    """Play, draw, and print the tables."""
    args = flags()
    started = time.perf_counter()
    data = load_data(args, args.images, args.tested)
    kind = f"{args.dataset}-conditional" if args.conditional else args.dataset
    training = Training(args, data, args.out / "dcgan" / kind)
    prepare(training.folder, training.game.settings, args.resume)
    print("a classifier, to judge by")
    judge = Judge(data, args.seed)
    print(f"G has {size_of(training.gan.generator):,} parameters, "
          f"D {size_of(training.gan.discriminator):,}")  # fmt: skip
    training.run(judge)
    Pictures(training, judge).draw_all()
    what = (
        f"tells {judge.accuracy:.1%} of the test images rightly" if data.names else "is told none"
    )
    print(f"\nthe classifier {what}; {len(data.test):,} images in each row\n")
    print(in_words(training, judge))
    seconds = sum(r["seconds"] for r in training.records)
    rounds = training.game.rounds
    print(f"\n{rounds:,} rounds of {args.batch} images in {seconds:.0f} seconds, "
          f"{1000 * seconds / rounds:.0f} ms each")  # fmt: skip
    print(f"in all {time.perf_counter() - started:.0f} seconds; pictures in {training.folder}/")


if __name__ == "__main__":
    run(main)
