r"""A museum of failures: seven ways in which a generative model goes wrong, each beside its cure.

Each exhibit is trained twice, sick and cured, and one number tells the two apart: it is computed
the same way on both. `--only NAME` shows one of them; `--seeds N` repeats each with so many seeds,
and counts how often the sick one was found sick, and the cured one well.

mode_collapse         The generator makes a few kinds of the data, whatever the noise.
vanishing_generator   D is so sure that the minimax loss is flat where G stands: it cannot learn.
checkerboard          A transposed convolution paints squares: its stride divides not its kernel.
posterior_collapse    A VAE's codes say nothing: its decoder takes all that varies for noise.
dead_relus            Units that answer to no image, and never will: no gradient reaches them.
identity_autoencoder  More codes than pixels: it copies noise as well as digits, so learned neither.
exploding_loss        Each step lands higher than the last, and soon there is no number for it.
"""

import argparse
import time
from pathlib import Path

from tqdm import tqdm

from demos.common import expect_at_least, load_images, parser, run, table
from demos.failure_exhibits import EXHIBITS, Exhibit
from demos.failure_pictures import Case, Shown, draw_exhibit, draw_sheet, number

COURSE = "G1, G3, C7, V18, A15"
TIME = "a minute"


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=8)
    made.add_argument(
        "--only", nargs="+", choices=EXHIBITS, default=tuple(EXHIBITS), metavar="NAME",
        help=f"of {', '.join(EXHIBITS)} (default: all)",
    )  # fmt: skip
    made.add_argument("--seeds", type=int, default=1, help="runs of each exhibit (default 1)")
    args = made.parse_args()
    expect_at_least(args, epochs=1, seeds=1)
    if args.quick:
        args.epochs = min(args.epochs, 3)
    args.folder = args.out / "failures"
    args.folder.mkdir(parents=True, exist_ok=True)
    return args


class Runs:
    """An exhibit's cases, by seed: the first is shown."""

    def __init__(self, name: str, exhibit: Exhibit) -> None:
        self.name, self.exhibit = name, exhibit
        self.sick: list[Case] = []
        self.cured: list[Case] = []

    def add(self, args: argparse.Namespace, seed: int) -> None:
        """One more of each."""
        self.sick.append(self.exhibit.train(args, seed, False))
        self.cured.append(self.exhibit.train(args, seed, True))

    def shown(self) -> Shown:
        """What hangs on the wall."""
        e = self.exhibit
        return Shown(e.title, e.number, e.cause, e.cure, self.sick[0], self.cured[0])

    def row(self) -> tuple:
        """Its row of the table: the first seed's numbers, and how often each was found so."""
        e, n = self.exhibit, len(self.sick)
        ill = sum(e.is_sick(case.value) for case in self.sick)
        well = sum(not e.is_sick(case.value) for case in self.cured)
        values = (number(cases[0].value) for cases in (self.sick, self.cured))
        return (self.name, e.number, e.rule(), *values, f"{ill} of {n}", f"{well} of {n}", e.cure)

    def span(self) -> tuple:
        """From which to which value each went, over the seeds."""
        ends = (f(case.value for case in of) for of in (self.sick, self.cured) for f in (min, max))
        return (self.name, *map(number, ends))


def main() -> None:
    """Walk through the museum."""
    args = flags()
    started = time.perf_counter()
    load_images(args, 1, 1)  # what cannot be read is told before the bar
    everything = [Runs(name, EXHIBITS[name]) for name in args.only]
    with tqdm(total=len(everything) * args.seeds, unit=" exhibits") as bar:
        for runs in everything:
            bar.set_description(runs.name)
            for seed in range(args.seed, args.seed + args.seeds):
                runs.add(args, seed)
                bar.update()
    walls = [runs.shown() for runs in everything]
    paths: list[Path] = []
    for runs, wall in zip(everything, walls, strict=True):
        paths.append(args.folder / f"{runs.name}.png")
        draw_exhibit(wall, paths[-1])
    if len(walls) > 1:
        draw_sheet(walls, args.folder / "sheet.png")
    columns = "exhibit", "number", "sick if", "sick", "cured", "found sick", "healed", "by"
    print("\n" + table(columns, [runs.row() for runs in everything]))
    if args.seeds > 1:
        columns = "exhibit", "sick from", "to", "cured from", "to"
        print("\n" + table(columns, [runs.span() for runs in everything]))
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; pictures in {args.folder}/")
    for runs, path in zip(everything, paths, strict=True):
        print(f"  {path.name:24} {runs.exhibit.see}")
    if len(walls) > 1:
        print(f"  {'sheet.png':24} all of them")


if __name__ == "__main__":
    run(main)
