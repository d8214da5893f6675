r"""A critic whose loss is a distance: Wasserstein GANs, penalised against clipped.

Four experiments; `--only` names those to run.

distance  Critics learn to tell two known distributions apart. A penalised one has slope
          1 + W₁/2λ, for the penalty is a price and no bound; its loss is the distance W₁ times
          that, and over its slope the distance itself. A clipped one has a slope that nobody chose.
          The usual loss is full at ln 2: near or far, it says only that the two are told apart. On
          a line the penalty is also a trap: a critic that begins sloping the wrong way must pass
          slope 0 to turn, which costs λ, and stays. Here λ grows from 0, and they turn in time.
learning  A generator learns a ring of Gaussians that stands far from where it begins. The critic's
          loss falls with the exact distance of the samples, from the start; what the usual loss
          would say of the same samples stays full until they overlap with the data. (Where samples
          overtake the data, the critic has to turn round, and says too little for a while.) Slopes
          are held near 1 by the penalty alone, and clipped weights gather at the limits.
digits    The same with a convolutional critic, through which the penalty differentiates twice.
refused   A critic with batch norm: the slope of its answer by an image depends on the others.
"""

import argparse
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import Images, expect_at_least, load_images, parser, run, table
from demos.wgan_gp_pictures import (
    Shift,
    draw_digits,
    draw_distance,
    draw_learning,
    draw_slopes,
    draw_weights,
)
from minigrad import Tensor, nn, optim
from minigrad.backend import default_generator
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError
from minigrad.training import Record, fit, train
from models.classifier import Classifier
from models.distances import jensen_shannon, wasserstein_gaussians, wasserstein_points
from models.game import Game
from models.gan import DCGAN, GAN, MLPGAN
from models.gan_losses import slopes
from models.gan_scores import features_of, frechet_distance
from models.toys import Mixture, ring

COURSE = "G1, G5"
TIME = "two minutes"

PENALTY = 10.0  # λ, as published
HIDDEN = (64, 64)
BATCH = 128
LIMIT = 0.01  # of clipped weights, as published
NO_LIMIT = 1e6  # so far away that it is none


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=60)
    made.add_argument(
        "--only", nargs="+", choices=EXPERIMENTS, default=tuple(EXPERIMENTS), metavar="NAME",
        help=f"of {', '.join(EXPERIMENTS)} (default: all)",
    )  # fmt: skip
    made.add_argument("--passes", type=int, default=12, help="through the digits (default 12)")
    made.add_argument("--images", type=int, default=4000, help="digits to train on (default 4000)")
    args = made.parse_args()
    expect_at_least(args, epochs=2, passes=1, images=BATCH)
    args.steps, args.draws = 500, 100_000  # of a critic that tells two distributions apart
    args.points = 256  # whose distance is computed exactly
    if args.quick:
        args.epochs, args.passes = min(args.epochs, 3), min(args.passes, 2)
        args.steps, args.draws, args.points = 100, 20_000, 100
        args.images = min(args.images, 400)
    args.folder = args.out / "wgan_gp"
    args.folder.mkdir(parents=True, exist_ok=True)
    return args


def show(columns: tuple[str, ...], rows: list[tuple]) -> None:
    """Print a table between empty lines."""
    print(f"\n{table(columns, rows)}\n")


def adam(network: nn.Module, rate: float) -> optim.Adam:
    """β₁ 0, as published: the other player moves what the gradient was of."""
    return optim.Adam(network.parameters(), rate, (0.0, 0.9))


def slopes_between(gan: GAN, real: Tensor, fake: Tensor) -> np.ndarray:
    """‖∂a(x̂)/∂x̂‖ at a chance place on the line from each example to its fake, (n,)."""
    eps = minigrad.rand(len(real), *(1,) * (real.ndim - 1), device=real.device)
    found = slopes(gan.judge, eps * real + (1.0 - eps) * fake)
    return np.linalg.norm(found.detach().cpu().numpy().reshape(len(real), -1), axis=1)


# ---------------------------------------------------------------- known distances

Draw = Callable[[int], Tensor]


class Pair(NamedTuple):
    """Two distributions and their exact distance."""

    kind: str
    name: str
    first: Draw
    second: Draw
    exact: float


def gaussian(mean: float, std: float) -> Mixture:
    """N(mean, std²), on a line."""
    return Mixture(np.array([[mean]]), std)


def draws(of: Mixture, device: str) -> Draw:
    """So many points of it, on the device."""
    return lambda n: of.sample(n).to(device)


def moved(shift: float, device: str = "cpu") -> Pair:
    """N(shift, 1) and N(0, 1)."""
    both = (draws(gaussian(mean, 1.0), device) for mean in (shift, 0.0))
    exact = wasserstein_gaussians(shift, 1.0, 0.0, 1.0)
    return Pair("Gaussians, moved", f"by {shift:g}", *both, exact)


def widened(
    first: tuple[float, float], second: tuple[float, float], device: str = "cpu"
) -> Pair:  # fmt: skip
    """Two Gaussians on a line, each a mean and a standard deviation."""
    name = "{:g} ± {:g}, {:g} ± {:g}".format(*first, *second)
    both = (draws(gaussian(*of), device) for of in (first, second))
    return Pair("Gaussians, others", name, *both, wasserstein_gaussians(*first, *second))


def ring_moved(shift: float, device: str = "cpu") -> Pair:
    """A ring of Gaussians in the plane, and the same ring elsewhere."""
    circle, way = ring(std=0.1), shift * np.array([0.6, 0.8])
    there = circle._replace(centres=circle.centres + way)
    both = (draws(of, device) for of in (there, circle))
    return Pair("rings, moved", f"by {shift:g}", *both, shift)


class Told(NamedTuple):
    """A critic that has learned to tell two distributions apart."""

    apart: float  # E a(x) - E a(y), of fresh draws
    slope: float  # the mean of ‖∂a(x̂)/∂x̂‖
    loss: float  # without the penalty


def tell_apart(
    pair: Pair, args: argparse.Namespace, loss: str, grows: bool = True, **settings: float
) -> Told:
    """Train a critic on fresh draws from both; with `grows`, λ comes from 0 in 2 of 5 steps."""
    minigrad.manual_seed(args.seed)
    gan = MLPGAN((pair.first(1).shape[1],), hidden=HIDDEN).to(args.device)
    make = optim.RMSprop if "clip" in settings else adam
    critic = gan.discriminator
    optimizer = make(critic.parameters(), 1e-3) if make is optim.RMSprop else make(critic, 2e-3)
    game = Game(gan, loss, optimizer, **settings)
    rate = optim.lr_scheduler.CosineAnnealingLR(optimizer, args.steps)
    for step in range(args.steps):
        if game.gradient_penalty and grows:
            game.gradient_penalty = PENALTY * min(1.0, (step + 1) / (0.4 * args.steps)) ** 2
        game.discriminator_step(pair.first(2 * BATCH), pair.second(2 * BATCH))
        rate.step()
    x, y = pair.first(args.draws), pair.second(args.draws)
    with minigrad.no_grad():
        real, fake = gan.judge(x), gan.judge(y)
    return Told(
        (real.mean() - fake.mean()).item(),
        float(slopes_between(gan, x[:2000], y[:2000]).mean()),
        game.loss.discriminator(real, fake, 1.0).item(),
    )  # fmt: skip


def distance(args: argparse.Namespace) -> None:
    """Critics before pairs whose distance is known: what their loss says of it."""
    shifts = (1.0, 4.0) if args.quick else (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    line = [moved(shift, args.device) for shift in shifts]
    others = () if args.quick else (((0, 3), (0, 1)), ((1, 0.5), (0, 1)), ((2, 1.5), (0, 0.3)))
    rings = [ring_moved(shift, args.device) for shift in (shifts[1:] if args.quick else shifts)]
    pairs = [*line, *(widened(*two, args.device) for two in others), *rings]
    rows, shown, trapped = [], [], []
    bar = tqdm(total=2 * len(pairs) + 2 * len(line), desc="distance", unit=" critics")
    for pair in pairs:
        good = tell_apart(pair, args, "wasserstein", gradient_penalty=PENALTY)
        clipped = tell_apart(pair, args, "wasserstein", clip=LIMIT)
        bar.update(2)
        price = pair.exact * (1 + pair.exact / (2 * PENALTY))
        found = good.apart, price, good.slope, good.apart / good.slope
        rows.append((
            pair.kind, pair.name, pair.exact, *found, f"{clipped.apart / pair.exact:.1e}",
        ))  # fmt: skip
        shown.append(Shift(pair.kind, pair.exact, good.apart, good.slope, clipped.apart))
    for pair in line:
        trapped.append(tell_apart(pair, args, "wasserstein", False, gradient_penalty=PENALTY).apart)
        bar.update()
    told = []
    for pair in line:
        told.append(math.log(2) - tell_apart(pair, args, "non_saturating").loss / 2)
        bar.update()
    bar.close()
    draw_distance(shown, (shifts, trapped, told), js_curve(), PENALTY, args.folder / "distance.png")
    columns = "pair", "", "W₁", "estimate", "W₁ + W₁²/2λ", "slope", "estimate / slope"
    show((*columns, "clipped / W₁"), rows)
    wrong = sum(apart < 0 for apart in trapped)
    print(f"λ = {PENALTY:g} from the first step: {wrong} of {len(line)} critics on a line trapped")
    apart = max(abs(row[6] / row[2] - 1) for row in rows)
    print(f"estimate / slope is W₁ to {apart:.1%} or better")
    print(
        f"the usual loss says JS = {told[-1]:.3f} at shift {shifts[-1]:g}, of ln 2 = 0.693 at most"
    )


def js_curve() -> tuple[np.ndarray, list[float]]:
    """The exact JS of N(d, 1) and N(0, 1) for some d."""
    t, d = np.arange(-12, 21, 0.01)[:, None], np.linspace(0, 8, 81)
    of = lambda mean: gaussian(mean, 1.0).log_prob(t)
    return d, [jensen_shannon(of(mean), of(0.0), 0.01) for mean in d]


# ---------------------------------------------------------------- a generator learns

CRITICS = {  # what bounds the slope, and the optimiser
    "penalised": (dict(gradient_penalty=3.0), lambda d: adam(d, 4e-3)),
    "clipped": (dict(clip=LIMIT), lambda d: optim.RMSprop(d.parameters(), 2e-4)),
    "unbounded": (dict(clip=NO_LIMIT), lambda d: adam(d, 4e-3)),
}
AWAY = np.array([3.0, 2.0])  # where the ring's middle is
ASKED = 1, 2, 3, 4, 6, 8, 10, 13, 17, 23, 30, 42, 60  # after which passes JS is asked for


class Watched:
    """A game on the ring, and what is measured after each pass."""

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        minigrad.manual_seed(args.seed)
        self.name, self.args = name, args
        self.mixture = ring()._replace(centres=ring().centres + AWAY)
        settings, optimizer = CRITICS[name]
        gan = MLPGAN(hidden=HIDDEN).to(args.device)
        self.game = Game(
            gan, "wasserstein", optimizer(gan.discriminator), adam(gan.generator, 5e-4),
            critic_steps=5, **settings,
        )  # fmt: skip
        self.data = self.draw(50 * BATCH)
        self.held = self.draw(args.points)
        self.estimates, self.exact, self.slopes, self.js = [], [], [], {}

    def draw(self, n: int) -> Tensor:
        """n points of the ring."""
        return self.mixture.sample(n).to(self.args.device)

    def run(self, bar: tqdm) -> "Watched":
        """Train and measure."""
        bar.set_description(self.name)

        def on_epoch(epoch: int, record: Record) -> None:
            self.estimates.append(record["real"] - record["fake"])
            self.exact.append(wasserstein_points(self.game.sample(self.args.points), self.held))
            sample = self.game.sample(1000)
            self.slopes.append(slopes_between(self.game.gan, self.draw(1000), sample))
            if self.name == "penalised" and epoch in ASKED:
                pair = Pair("", "", self.draw, self.game.sample, math.nan)
                self.js[epoch] = self.untouched(lambda: self.told(pair))
            bar.update()

        loader = DataLoader(TensorDataset(self.data), BATCH, shuffle=True)
        train(self.game, loader, self.args.epochs, on_epoch=on_epoch, progress=False)
        return self

    def told(self, pair: Pair) -> float:
        """JS as an ordinary D finds it that has learned long enough."""
        return math.log(2) - tell_apart(pair, self.args, "non_saturating").loss / 2

    def untouched(self, measure: Callable[[], float]) -> float:
        """What `measure` answers; the run goes on as if it had not been asked."""
        source = default_generator()
        state = source.get_state()
        answer = measure()
        source.set_state(state)
        return answer

    def weights(self) -> np.ndarray:
        """All of the critic's weights."""
        found = [p.detach().cpu().numpy().ravel() for p in self.game.gan.discriminator.parameters()]
        return np.concatenate(found)

    def row(self) -> tuple:
        """Its row of the table."""
        low, middle, high = np.percentile(self.slopes[-1], [5, 50, 95])
        at = (np.abs(self.weights()) > 0.9 * self.game.clip).mean() if self.game.clip else 0.0
        together = np.corrcoef(self.estimates, self.exact)[0, 1]
        return (
            self.name, f"{low:.2g}", f"{middle:.2g}", f"{high:.2g}", f"{at:.0%}",
            f"{self.estimates[-1]:.3g}", f"{self.exact[-1]:.2f}", f"{together:.2f}",
        )  # fmt: skip


def learning(args: argparse.Namespace) -> None:
    """Three critics, each with its own generator, on a ring of 8 Gaussians."""
    with tqdm(total=len(CRITICS) * args.epochs, unit=" passes") as bar:
        watched = {name: Watched(name, args).run(bar) for name in CRITICS}
    good = watched["penalised"]
    floor = wasserstein_points(good.draw(args.points), good.held)
    by_slope = np.array(good.estimates) / [s.mean() for s in good.slopes]
    draw_learning(
        (good.estimates, by_slope, good.exact), good.js, floor, good.game.gradient_penalty,
        args.folder / "learning.png",
    )  # fmt: skip
    draw_slopes({name: w.slopes for name, w in watched.items()}, args.folder / "slopes.png")
    draw_weights(
        {name: watched[name].weights() for name in ("penalised", "clipped")}, LIMIT,
        args.folder / "weights.png",
    )  # fmt: skip
    columns = "critic", "slope, 5 %", "median", "95 %", "weights near the limit", "estimate", "W₁"
    show((*columns, "correlation"), [w.row() for w in watched.values()])
    print(f"W₁ of {args.points} samples to as many of the data; of data to data it is {floor:.2f}")
    first, last = (good.exact[i] for i in (0, -1))
    print(f"penalised: W₁ {first:.2f} → {last:.2f}; what the usual loss would say of its samples:")
    rows = [(f"{i}", good.exact[i - 1], good.estimates[i - 1], js) for i, js in good.js.items()]
    show(("pass", "W₁", "the critic's estimate", "JS by an ordinary D"), rows)


# ---------------------------------------------------------------- digits


def digits(args: argparse.Namespace) -> None:
    """A convolutional critic without batch norm, penalised; its generator draws digits."""
    tested = 200 if args.quick else 1000
    first, second = load_images(args, args.images, tested)
    x, held = first.images[: args.images], second.images[:tested]
    measure = frechet(first, held, args)
    minigrad.manual_seed(args.seed)
    gan = DCGAN(width=8 if args.quick else 16, codes=32, norm="none").to(args.device)
    game = Game(
        gan, "wasserstein", adam(gan.discriminator, 1e-3), adam(gan.generator, 1e-3),
        gradient_penalty=PENALTY, critic_steps=3, ema=0.99,
    )  # fmt: skip
    z = gan.noise(20)
    strips, found, norms = [], [], []

    def on_epoch(epoch: int, record: Record) -> None:
        found.append(measure(game.sample(len(held))))
        norms.append(slopes_between(gan, gan.scaled(held), gan.scaled(gan.sample(len(held)))))
        strips.append(gan.generate(z, by=game.average.module).cpu().numpy()[:, 0])

    loader = DataLoader(TensorDataset(x), 32, shuffle=True, drop_last=True)
    records = train(game, loader, args.passes, on_epoch=on_epoch)
    floor = measure(x[: len(held)])
    estimates = [record["real"] - record["fake"] for record in records]
    draw_digits(strips, (estimates, found, floor), norms, args.folder / "digits.png")
    rows = [
        (f"{i + 1}", estimates[i], found[i], *np.percentile(norms[i], [5, 50, 95]))
        for i in sorted({0, len(records) // 4, len(records) // 2, len(records) - 1})
    ]
    show(("pass", "estimate", "Fréchet distance", "slope, 5 %", "median", "95 %"), rows)
    print(f"of the training digits themselves the Fréchet distance is {floor:.3f}")
    seconds = sum(record["seconds"] for record in records)
    print(f"{len(loader) * len(records):,} rounds in {seconds:.0f} seconds")


def frechet(first: Images, held: Tensor, args: argparse.Namespace) -> Callable[[Tensor], float]:
    """What measures images against `held`, seen through a classifier trained on `first`."""
    minigrad.manual_seed(args.seed)
    model = Classifier().to(args.device)
    part = TensorDataset(*(a[: args.images] for a in first))
    optimizer, loader = optim.Adam(model.parameters(), 2e-3), DataLoader(part, 64, shuffle=True)
    fit(model, Classifier.loss, optimizer, loader, 2, progress=False)
    model.eval()
    features = lambda images: features_of(model, DataLoader(TensorDataset(images), 250))
    known = features(held)
    return lambda images: frechet_distance(features(images), known)


# ---------------------------------------------------------------- batch norm


def refused(args: argparse.Namespace) -> None:
    """Ask for the penalty with each norm; and how an image's slope depends on its companions."""
    rows = []
    for norm in ("none", "layer", "batch"):
        minigrad.manual_seed(args.seed)
        gan = DCGAN(width=8, codes=8, norm=norm).to(args.device)
        with minigrad.no_grad():
            for p in gan.discriminator.parameters():
                if p.ndim > 1:
                    nn.init.kaiming_uniform_(p)
        x = minigrad.rand(16, 1, 28, 28, device=args.device)
        alone, among = (
            np.linalg.norm(
                slopes(gan.judge, part).detach().cpu().numpy()[:8].reshape(8, -1), axis=1
            )
            for part in (x[:8], x)
        )
        try:
            Game(gan, "wasserstein", gradient_penalty=PENALTY)
            answer = "accepted"
        except ArgumentError as error:
            answer = "refused"
            why = error
        rows.append((norm, answer, f"{np.abs(among / alone - 1).max():.1e}"))
    show(("norm", "penalty", "8 images' slopes, with 8 more in the batch, change by"), rows)
    print(why)


EXPERIMENTS = {"distance": distance, "learning": learning, "digits": digits, "refused": refused}
SEE = {
    "distance": {
        "distance.png": "penalised: on its curve, and over the slope W₁ itself; the usual: full",
    },
    "learning": {
        "learning.png": "the critic's loss falls with W₁ from the start; JS only once they overlap",
        "slopes.png": "one bright line near 1 is the penalty's doing; clipped below, free above",
        "weights.png": "penalised weights are spread as a bell, clipped ones stand at both limits",
    },
    "digits": {"digits.png": "digits appear as the estimate falls, with slopes held near 1"},
}


def main() -> None:
    """Run the experiments."""
    args = flags()
    started = time.perf_counter()
    for name in args.only:
        print(f"\n{name}: {EXPERIMENTS[name].__doc__}")
        EXPERIMENTS[name](args)
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; pictures in {args.folder}/")
    for name, sentences in SEE.items():
        if name in args.only:
            print("\n".join(f"  {picture:13} {said}" for picture, said in sentences.items()))


if __name__ == "__main__":
    run(main)
