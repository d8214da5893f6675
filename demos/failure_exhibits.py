"""The exhibits of demos.failures: how each failure is brought about, measured and cured.

Each has a function `(args, seed, cured)` that trains once and answers a Case.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

import minigrad
from demos.autoencoder_zoo import kept, scrambled
from demos.common import Images, load_images
from demos.failure_pictures import Case, Draw, course, firing, image, points
from demos.image_filters import DOUBLINGS, checkerboard, load_photograph
from demos.pictures import mosaic, shown
from demos.ring import BATCH, COLLAPSING, RECOMMENDED, RING, SAMPLES, coverage, game_on, kinds
from demos.short_encoders import trained
from minigrad import Tensor, nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F
from minigrad.training import fit, train
from models.autoencoder import Autoencoder, dense
from models.evaluation import active_units, kl_by_code, posteriors
from models.game import Game
from models.gan import MLPGAN
from models.likelihoods import Gaussian
from models.regularized import DenoisingAutoencoder
from models.vae import DenseVAE

PIXELS = 28 * 28
CODES = 512  # of an autoencoder for 196 pixels


class Exhibit(NamedTuple):
    """A failure: how to see it, from which value on it is there, and what helps."""

    title: str
    number: str
    limit: float
    above: bool  # whether it is sick above the limit, or below it
    cause: str
    cure: str
    see: str  # what the picture shows
    train: Callable[[argparse.Namespace, int, bool], Case]

    def is_sick(self, value: float) -> bool:
        """Whether a case with that value has the failure."""
        return value > self.limit if self.above else value < self.limit

    def rule(self) -> str:
        """When it is sick, in characters."""
        return f"{'>' if self.above else '<'} {self.limit:g}"


def own(args: argparse.Namespace, seed: int, **changed: int) -> argparse.Namespace:
    """The flags with another seed, and what else is to be changed."""
    return argparse.Namespace(**{**vars(args), "seed": seed, **changed})


def digits(args: argparse.Namespace, seed: int) -> tuple[Images, Images]:
    """Some digits to train on, and others."""
    sizes = (800, 200) if args.quick else (3000, 500)
    both = load_images(own(args, seed), *sizes)
    return tuple(Images(*(a[:n] for a in of)) for of, n in zip(both, sizes, strict=True))


# ---------------------------------------------------------------- games


def mode_collapse(args: argparse.Namespace, seed: int, cured: bool) -> Case:
    """A ring of 8 Gaussians; the generator runs from one to the next, with all that it makes."""
    setting = RECOMMENDED if cured else COLLAPSING
    setting = setting._replace(epochs=4) if args.quick else setting
    game, loader = game_on(RING, setting, seed, args.device)
    train(game, loader, setting.epochs, progress=False)
    samples, found = game.sample(SAMPLES), coverage(game)
    said = f"{found.modes} of 8 modes reached, {found.good:.0%} of the samples within 3 σ of one"
    return Case(kinds(samples), said, points(samples.cpu().numpy(), RING.centres))


def vanishing_generator(args: argparse.Namespace, seed: int, cured: bool) -> Case:
    """D has learned long before G begins: every D(G(z)) is near 0. From here on D stands still."""
    minigrad.manual_seed(seed)
    gan = MLPGAN(hidden=(64, 64)).to(args.device)
    players = (
        optim.Adam(gan.discriminator.parameters(), 1e-3, (0.5, 0.999)),
        optim.SGD(gan.generator.parameters(), 0.05),
    )
    game = Game(gan, "non_saturating" if cured else "minimax", *players)
    ahead, rounds = (400, 100) if args.quick else (1000, 100)
    for _ in range(ahead):
        game.discriminator_step(RING.sample(BATCH).to(args.device), gan.sample(BATCH))
    z = gan.noise(1000)
    before, value = gan.generate(z), gradient_norm(game, z)
    fooled = gan.score(before).sigmoid().mean().item()
    for _ in range(rounds):
        game.generator_step(gan.make(gan.noise(BATCH)))
    after = gan.generate(z)
    way = (after - before).norm(dim=1).mean().item()
    said = f"D(G(z)) was {fooled:.1e}; in {rounds} steps the samples moved by {way:.2g}"
    return Case(value, said, points(after.cpu().numpy(), RING.centres))


def gradient_norm(game: Game, z: Tensor) -> float:
    """‖∂L/∂θ‖ of the generator's loss."""
    parameters = list(game.gan.generator.parameters())
    loss = game.generator_loss(game.gan.make(z))["g_loss"]
    found = minigrad.autograd.grad(loss, parameters)
    return math.sqrt(sum(g.square().sum().item() for g in found))


# ---------------------------------------------------------------- images


def checkered(args: argparse.Namespace, seed: int, cured: bool) -> Case:
    """A photograph twice as large, by a transposed convolution and by one of repeated pixels.

    The value is the mean over 100 random kernels of how uneven each makes a flat 1.
    """
    small = minigrad.tensor(load_photograph(None, 120))
    uneven, even, resized = DOUBLINGS
    board = checkerboard(resized if cured else uneven, small, seed)
    if cured:
        value = checkerboard(even, small, seed).spread_random
        said = f"a transposed kernel of 4, which 2 divides: {value:.2f}"
    else:
        inside = board.overlap[2:-2, 2:-2]
        said = f"{inside.min():.0f} to {inside.max():.0f} products meet in a pixel"
    photograph = np.clip(board.photograph[0].transpose(1, 2, 0), 0, 1)
    return Case(board.spread_random, said, image(photograph))


def identity_autoencoder(args: argparse.Namespace, seed: int, cured: bool) -> Case:
    """More codes than pixels of digits halved to 14×14, and nothing that keeps it from copying."""
    first, second = digits(args, seed)
    small, test = (F.avg_pool2d(part.images, 2) for part in (first, second))
    sizes, end = (small[0].numel(), CODES), "identity"
    make = lambda: DenoisingAutoencoder(sizes, end) if cured else Autoencoder(sizes, end)
    model = trained(make, small, own(args, seed, epochs=7 * args.epochs))
    noise = scrambled(test, seed)
    with minigrad.no_grad():
        rows = [a for x in (shown(test, second.labels, 1)[:5], noise[:5]) for a in (x, model(x))]
    said = f"of digits {kept(model, test):.0%}; below them scrambled images, and theirs"
    return Case(kept(model, noise), said, pictures(rows))


def posterior_collapse(args: argparse.Namespace, seed: int, cured: bool) -> Case:
    """A decoder that takes for noise all that varies, and codes that say nothing."""
    first, second = digits(args, seed)
    variance = 0.05 if cured else 8.0
    make = lambda: DenseVAE(256, 16, likelihood=Gaussian(variance))
    model = trained(make, first.images, own(args, seed))
    of = posteriors(model, DataLoader(TensorDataset(second.images), 500))
    x = shown(*second, each=1)
    rows = [a for part in (x[:5], x[5:10]) for a in (part, model.reconstruct(part))]
    said = f"σ² {variance:g}: all codes together say {kl_by_code(of).sum():.2g} nats"
    return Case(float(active_units(of).sum()), said, pictures(rows))


def pictures(rows: Sequence[Tensor]) -> Draw:
    """Rows of images (n, 1, h, w), one below the other."""
    grid = mosaic(np.concatenate([a.cpu().numpy()[:, 0] for a in rows]), len(rows[0]))
    return image(np.clip(grid, 0, 1))


# ---------------------------------------------------------------- any network


def dead_relus(args: argparse.Namespace, seed: int, cured: bool) -> Case:
    """A rate so high that biases are thrown far below 0, from where no gradient leads back."""
    first, second = digits(args, seed)
    minigrad.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), *dense((PIXELS, 128, 128, 10))).to(args.device)
    rate = 1e-3 if cured else 0.1
    fit(
        model, lambda model, x, labels: F.cross_entropy(model(x), labels),
        optim.Adam(model.parameters(), rate), DataLoader(TensorDataset(*first), 64, shuffle=True),
        args.epochs, progress=False,
    )  # fmt: skip
    shares = fires(model, second.images)
    right = (model(second.images).argmax(1) == second.labels).float().mean().item()
    said = f"Adam {rate:g}: {right:.0%} of test digits right"
    return Case(float((shares == 0).mean()), said, firing(shares))


@minigrad.no_grad()
def fires(model: nn.Sequential, x: Tensor) -> np.ndarray:
    """For each unit after a ReLU, the share of examples that it answers to: 0 of a dead one."""
    found = []
    for layer in model:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            found.append((x > 0).float().mean(0).cpu().numpy())
    return np.concatenate(found)


def exploding_loss(args: argparse.Namespace, seed: int, cured: bool) -> Case:
    """Steps so long that each lands higher than the last, until there is no number for it."""
    first, _ = digits(args, seed)
    minigrad.manual_seed(seed)
    model = Autoencoder((PIXELS, 128, 32), "identity").to(args.device)
    optimizer = optim.SGD(model.parameters(), 0.2, momentum=0.9)
    losses = []
    with np.errstate(over="ignore", invalid="ignore"):
        for x, _ in DataLoader(TensorDataset(*first), 64, shuffle=True):
            loss = PIXELS * model.loss(x)  # the squared error of an image, summed over its pixels
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                break
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0 if cured else math.inf)
            optimizer.step()
    largest = max(loss if math.isfinite(loss) else math.inf for loss in losses) / losses[0]
    said = f"after {len(losses)} steps {losses[-1]:.3g}, at first {losses[0]:.3g}"
    return Case(largest, said, course(losses, "squared error of an image"))


EXHIBITS = {
    "mode_collapse": Exhibit(
        "mode collapse", "kinds of 8", 3, False,
        "G learns ten times as fast as D", "as fast as D; -ln D(G(z)), R1, G averaged",
        "all samples in one place; cured, at all eight", mode_collapse,
    ),
    "vanishing_generator": Exhibit(
        "vanishing generator", "‖∂L/∂θ‖ of G", 1e-2, False,
        "ln (1 - D(G(z))) is flat where D is sure", "minimise -ln D(G(z))",
        "samples where they began; cured, on their way to the ring", vanishing_generator,
    ),
    "checkerboard": Exhibit(
        "checkerboard", "unevenness of a flat grey", 0.1, True,
        "a kernel of 3 at stride 2", "repeat pixels, then convolve",
        "a photograph in squares; cured, a smooth one", checkered,
    ),
    "posterior_collapse": Exhibit(
        "posterior collapse", "active codes of 16", 1, False,
        "σ² above what any direction varies", "σ² near the error",
        "the same grey cloud for every digit; cured, the digit", posterior_collapse,
    ),
    "dead_relus": Exhibit(
        "dead ReLUs", "share of dead units", 0.25, True,
        "Adam with a rate of 0.1", "a rate of 0.001",
        "the red units answer to nothing; cured, nearly all answer to some", dead_relus,
    ),
    "identity_autoencoder": Exhibit(
        "identity autoencoder", "share of noise kept", 0.5, True,
        "512 codes for 196 pixels", "noise on its input, not on its target",
        "noise comes out as it went in; cured, digits alone do", identity_autoencoder,
    ),
    "exploding_loss": Exhibit(
        "exploding loss", "largest loss / first", 10, True,
        "a rate of 0.2 is too long a step", "the gradient's norm clipped at 1",
        "a wall, and the end; cured, down", exploding_loss,
    ),
}  # fmt: skip
