r"""A GAN on points in the plane: which modes it finds, what the judge sees, where samples are sent.

Data come from eight Gaussians on a ring, or 25 on a grid. The same networks play by five losses
with a generator as fast as its judge; and by the first loss with one ten times as fast. Further,
two small problems that show what a GAN is for. (Other failures: `python -m demos.failures`.)

ring       Modes reached and good samples as training goes on. The rates decide, not the loss: a
           generator that runs ahead goes where D is wrong now, all of it; D follows; G moves on.
           The number that tells is how many modes are in use, e^H of their shares.
landscape  D as contours, and at each sample the arrow along which its loss falls fastest: what G's
           gradient is made of. Where all modes are found D is flat over the data, near ½.
two modes  A Gaussian by maximum likelihood covers two modes, and puts most where there are no data.
           A network in a game has samples on the modes. The Gaussian in a game is as wide: it is
           the family that blurs. But without a likelihood, only a game could train the network.
two tasks  A mixture of Gaussians says how likely a point is, and makes points as well. A GAN only
           makes them: its ln p(x) is nowhere.

`--seeds N` plays the first game and the last from N seeds, and counts how often each ends so.
"""

import argparse
import time

import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import expect_at_least, parser, refuse_data, run, table
from demos.gan_2d_pictures import (
    Landscape,
    Played,
    draw_coverage,
    draw_landscapes,
    draw_two_modes,
    save_games,
)
from demos.ring import COLLAPSING, RECOMMENDED, ROUNDS, Setting, coverage, game_on, kinds
from demos.two_tasks import TWO, Choice, choose, fit_density
from minigrad import Generator, tensor
from minigrad.autograd import grad
from minigrad.training import train
from models.game import Game
from models.gan_scores import mode_coverage
from models.toys import Mixture, grid, ring

COURSE = "G1, G4, G11"
TIME = "two minutes"

MIXTURES = {"ring": ring(std=0.1), "grid": grid(spacing=1.0, std=0.06)}
EVEN = Setting("non_saturating", (64, 64, 64), epochs=30)  # G is as fast as D
GAMES = {
    "non-saturating, R1": RECOMMENDED,
    "minimax": EVEN._replace(loss="minimax"),
    "least squares": EVEN._replace(loss="least_squares"),
    "hinge": EVEN._replace(loss="hinge"),
    "Wasserstein, penalised": EVEN._replace(loss="wasserstein", gradient_penalty=1.0),
    "minimax, G ten times as fast": COLLAPSING,
}
REACH = 3.2  # of the pictures, from 0
HELD_OUT = 4_000  # points, and as many samples, that the two tasks are judged by


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=RECOMMENDED.epochs)
    made.add_argument("--points", choices=MIXTURES, default="ring", help="the data (ring)")
    made.add_argument("--seeds", type=int, default=0, help="play two games from so many seeds")
    args = made.parse_args()
    refuse_data(args)
    expect_at_least(args, epochs=1, seeds=0)
    args.steps, args.games = 1_000, list(GAMES)
    if args.quick:
        args.epochs, args.steps = min(args.epochs, 6), 250
        args.games = [args.games[0], args.games[-1]]
    return args


# ---------------------------------------------------------------- the games


def survey(game: Game, n: int = 120, fine: int = 81) -> Landscape:
    """D on the plane, and G's gradient by its samples."""
    device = next(iter(game.gan.parameters())).device
    along = np.linspace(-REACH, REACH, fine, dtype=np.float32)
    plane = np.stack(np.meshgrid(along, along), 2).reshape(-1, 2)
    answers = game.gan.score(tensor(plane, device=device))
    judged = answers.sigmoid() if game.loss.probabilities else answers
    x = game.sample(n).detach().requires_grad_()
    (slope,) = grad(game.loss.generator(game.gan.judge(x)) * n, x)
    return Landscape(
        judged.cpu().numpy().reshape(fine, fine), x.detach().cpu().numpy(), -slope.cpu().numpy()
    )


def play(name: str, mixture: Mixture, args: argparse.Namespace, bar: tqdm) -> Played:
    """One game from start to end."""
    started = time.perf_counter()
    setting = GAMES[name]._replace(epochs=args.epochs)
    game, loader = game_on(mixture, setting, args.seed, args.device)
    cloud = lambda: game.sample(600).cpu().numpy()
    covered, in_use, clouds = [], [], [cloud()]

    def look(*_: object) -> None:
        covered.append(coverage(game, mixture))
        in_use.append(kinds(game.sample(2_000), mixture))
        clouds.append(cloud())
        bar.update(ROUNDS)

    bar.set_description(name)
    train(game, loader, args.epochs, on_epoch=look, progress=False)
    return Played(name, covered, in_use, clouds, survey(game), time.perf_counter() - started)


def by_seeds(name: str, mixture: Mixture, args: argparse.Namespace) -> tuple:
    """A row: how a game from each of `args.seeds` seeds ends, and how often well or lost."""
    found = []
    for seed in tqdm(range(args.seed, args.seed + args.seeds), name, unit=" seeds", leave=False):
        game, loader = game_on(mixture, GAMES[name]._replace(epochs=args.epochs), seed, args.device)
        train(game, loader, args.epochs, progress=False)
        found.append((coverage(game, mixture), kinds(game.sample(2_000), mixture)))
    n, of = len(found), len(mixture.centres)
    modes = [c.modes for c, _ in found]
    good = [c.good for c, _ in found]
    well = sum(c.modes >= of - 1 and c.good >= 0.9 for c, _ in found)
    return (
        name, f"{min(modes)} to {max(modes)} of {of}", f"{min(good):.0%} to {max(good):.0%}",
        f"{well} of {n}", f"{sum(in_use < of / 4 for _, in_use in found)} of {n}",
    )  # fmt: skip


# ---------------------------------------------------------------- the two tasks


def two_tasks(mixture: Mixture, played: Played, args: argparse.Namespace) -> list[tuple]:
    """Rows: a model, ln p(x) of points that it never saw, and how good its samples are."""
    generator = Generator().manual_seed(args.seed + 1)
    x = mixture.sample(HELD_OUT, generator)
    density = fit_density(mixture, 2 * args.steps, args.seed, args.device)
    makers = {
        "the data's own": (mixture.log_prob(x.numpy()).mean(), mixture.sample(HELD_OUT, generator)),
        "mixture of Gaussians": (
            density.log_prob(x.to(args.device)).mean().item(), density.sample(HELD_OUT, generator),
        ),
        f"GAN: {played.name}": (None, played.clouds[-1]),
    }  # fmt: skip
    rows = []
    for name, (nats, samples) in makers.items():
        found = mode_coverage(samples, mixture, least=len(samples) // 5 // len(mixture.centres))
        says = "cannot say" if nats is None else f"{nats:.3f}"
        rows.append((name, says, f"{found.modes} of {found.of}", f"{found.good:.1%}"))
    return rows


def choice_rows(choice: Choice) -> list[tuple]:
    """Rows: a model of two modes, its mean and std, and the share of its samples near a mode."""
    noise = np.random.default_rng(0).normal(size=20_000)
    rows = []
    for name, samples in (
        ("Gaussian, most likely", choice.likely[0] + choice.likely[1] * noise),
        ("Gaussian, in a game", choice.played[0] + choice.played[1] * noise),
        ("network, in a game", choice.samples),
    ):
        found = mode_coverage(samples[:, None], TWO)
        rows.append((name, float(samples.mean()), float(samples.std()), f"{found.good:.1%}"))
    return rows


def main() -> None:
    """Play, draw, and print the tables."""
    args = flags()
    started = time.perf_counter()
    minigrad.device(args.device)  # refuse what it is not before anything is written
    folder = args.out / "gan_2d" / args.points
    folder.mkdir(parents=True, exist_ok=True)
    mixture = MIXTURES[args.points]
    with tqdm(total=len(args.games) * args.epochs * ROUNDS, unit=" rounds") as bar:
        played = [play(name, mixture, args, bar) for name in args.games]
    choice = choose(args.steps, args.seed, args.device)
    draw_coverage(played, mixture, folder / "coverage.png")
    draw_landscapes([played[0], played[-1]], mixture, REACH, folder / "landscape.png")
    draw_two_modes(choice, folder / "two_modes.png")
    save_games(played, mixture, REACH, folder / "games.gif")
    rows = [
        (p.name, f"{p.covered[-1].modes} of {p.covered[-1].of}", f"{p.covered[-1].good:.1%}",
         f"{p.in_use[-1]:.1f}", f"{min(p.in_use[len(p.in_use) // 2 :]):.1f}", f"{p.seconds:.0f}")
        for p in played
    ]  # fmt: skip
    columns = "game", "modes", "good samples", "modes in use", "least, 2nd half", "seconds"
    print(f"\n{args.points}: {len(mixture.centres)} modes\n{table(columns, rows)}")
    columns = "data with modes at ±2, std 0.3", "mean", "std", "on a mode"
    print(f"\ntwo modes\n{table(columns, choice_rows(choice))}")
    columns = "model", "ln p(x), nats", "modes", "good samples"
    print(
        f"\ntwo tasks, on the {args.points}\n{table(columns, two_tasks(mixture, played[0], args))}"
    )
    if args.seeds:
        rows = [by_seeds(p.name, mixture, args) for p in (played[0], played[-1])]
        columns = f"from {args.seeds} seeds", "modes", "good samples", "well", "lost"
        print(f"\n{table(columns, rows)}")
        print("well: at most one mode missing, and 90 % good; lost: under a quarter of them in use")
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; pictures in {folder}/")


if __name__ == "__main__":
    run(main)
