"""Which one is real? A quiz page of data and samples, where the visitor plays beside D.

Each question shows an image of the data and one that a generator made of noise. The page tells
which was which, what the discriminator D said of both, and counts: you, and D on the same pairs. D
names the one that it finds more real. The real images are test images, which neither G nor D has
seen; samples are not picked. The generator is trained for the page, in less time than
`demos.dcgan` takes, or is that of a finished run: `--checkpoint out/dcgan/glyphs/game.npz`.

What to see: open quiz.html in a browser. Well trained, samples pass at a glance; a loose end or a
stroke of uneven strength gives them away. D does better than chance, for all its life it has done
nothing else; but it looks for other things than people do, and may fail where they do not.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

import minigrad
from demos.common import ALL, parser, run, table
from demos.dcgan import Training, filled, gan_of
from demos.dcgan_numbers import Data, load_data
from demos.quiz_page import Pair, Words, page
from minigrad import Generator, nn
from minigrad.errors import ArgumentError, CheckpointError
from minigrad.training import train
from models.ema import EMA
from models.gan import DCGAN

COURSE = "G10"
TIME = "two minutes"

KINDS = {"fashion-mnist": "garment", "faces": "face", "folder": "picture"}
SOURCES = {
    "glyphs": "The real digits were drawn from fonts and bent.",
    "mnist": "The real digits were written by people.",
    "fashion-mnist": "The real garments were photographed for a shop.",
    "faces": "The real faces were drawn by a program.",
    "folder": "The real pictures come from a folder.",
}


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=4, datasets=ALL)
    made.add_argument("--checkpoint", type=Path, help="of a run of demos.dcgan: its game.npz")
    made.add_argument("--pairs", type=int, default=12, help="questions of the quiz (default 12)")
    args = made.parse_args()
    if not 1 <= args.pairs <= 60:
        raise ArgumentError(f"--pairs: got {args.pairs}; expected 1 to 60")
    args.conditional = args.published = False
    args.images = args.width = args.rate = None
    return filled(args)


class Players(NamedTuple):
    """A trained GAN in evaluation mode, the generator that is shown, and their data."""

    gan: DCGAN
    shown: nn.Module
    data: Data
    dataset: str


def trained(args: argparse.Namespace) -> Players:
    """Players who have just learned."""
    data = load_data(args, args.images, args.tested)
    training = Training(args, data, args.out)
    train(training.game, training.loader, args.epochs)
    return Players(training.gan.eval(), training.game.average.module, data, args.dataset)


def loaded(args: argparse.Namespace) -> Players:
    """The players of a run of demos.dcgan; CheckpointError if the file is none of it."""
    state = minigrad.load(args.checkpoint)
    try:
        settings = state["settings"]
        gan = gan_of(settings).to(args.device).eval()
        gan.load_state_dict(state["model"])
        average = EMA(gan.generator)
        average.load_state_dict(state["average"])
        args.dataset = settings["dataset"]
        args.images, args.tested = int(settings["images"]), int(settings["tested"])
        args.seed, args.quick = int(settings["seed"]), settings["quick"] == "True"
        if args.data_dir is None and settings["data_dir"] != "None":
            args.data_dir = Path(settings["data_dir"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{args.checkpoint}: not a game of demos.dcgan: {error}") from error
    return Players(gan, average.module, load_data(args, args.images, args.tested), args.dataset)


def pairs_of(players: Players, n: int, seed: int) -> list[Pair]:
    """n test images, drawn at random, each beside a sample; of one class if G is told it."""
    gan, data = players.gan, players.data
    rows = np.random.default_rng(seed).permutation(len(data.test))[:n]
    x, labels = data.test[rows]
    dice = Generator(x.device).manual_seed(seed + 1)
    made = gan.sample(len(x), labels, generator=dice, by=players.shown)
    answers = (gan.score(images, labels).sigmoid().cpu().numpy() for images in (x, made))
    return [
        Pair(real, fake, float(d_real), float(d_made))
        for real, fake, d_real, d_made in zip(
            x.cpu().numpy(), made.cpu().numpy(), *answers, strict=True
        )
    ]


def words_of(players: Players) -> Words:
    """What the page says."""
    return Words(
        KINDS.get(players.dataset, "digit"), SOURCES[players.dataset],
        "The others a generator made of noise: it has never seen a real one, it was only told "
        "how real its own were found.",
    )  # fmt: skip


def in_words(chosen: list[Pair], many: list[Pair]) -> str:
    """How D does."""
    columns = "pairs", "D is right", "D(x), data", "D(G(z)), made"
    rows = []
    for name, pairs in ((f"the quiz's {len(chosen)}", chosen), (f"{len(many):,} others", many)):
        right = sum(pair.d_real > pair.d_made for pair in pairs)
        means = [float(np.mean(values)) for values in zip(*(p[2:] for p in pairs), strict=True)]
        rows.append((name, f"{right / len(pairs):.1%}", *means))
    return table(columns, rows)


def main() -> None:
    """Train or load, write the page, and print how D does."""
    args = flags()
    started = time.perf_counter()
    players = loaded(args) if args.checkpoint else trained(args)
    if args.pairs > len(players.data.test):
        raise ArgumentError(f"--pairs: got {args.pairs}; there are {len(players.data.test)} images")
    chosen = pairs_of(players, args.pairs, args.seed)
    many = pairs_of(players, 1000, args.seed + 2)
    folder = args.out / "which_is_real"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "quiz.html"
    file.write_text(page(chosen, words_of(players)), "utf-8")
    print("\n" + in_words(chosen, many))
    size = file.stat().st_size // 1000
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; open {file} ({size} kB)")


if __name__ == "__main__":
    run(main)
