r"""To say how likely a point is, and to make new points: two tasks, and models for each.

A density p(x) can be asked for both. By maximum likelihood it pays -ln p(x) for every point,
without bound: what it cannot follow, it covers. A GAN is never asked how likely a point is. It
makes points, and pays where a judge sees that they are none of the data's. So a generator may be
any network, and need not blur; and nobody can tell how likely it finds a point. (Deck 001.)
"""

from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import minigrad
from demos.ring import RECOMMENDED, ROUNDS, game_on
from minigrad import Generator, Tensor, logsumexp, nn, optim, tensor
from minigrad.distributions import Normal
from minigrad.training import train
from models.game import Game
from models.gan import MLPGAN
from models.likelihoods import LN_2PI
from models.toys import Mixture, bimodal

TWO = bimodal(std=0.3)
BATCH = 128


class Gaussian1d(nn.Module):
    """N(b, a²) on a line, to be had by its density or by its samples G(z) = a z + b."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(tensor([2.0]))
        self.b = nn.Parameter(tensor([0.0]))

    def forward(self, z: Tensor) -> Tensor:
        """G(z), (n, 1)."""
        return self.a * z + self.b

    def nll(self, x: Tensor) -> Tensor:
        """E -ln p(x), in nats."""
        return -Normal(self.b, scale=self.a).log_prob(x).mean()

    def numbers(self) -> tuple[float, float]:
        """Its mean and its standard deviation."""
        return self.b.item(), abs(self.a.item())


class Choice(NamedTuple):
    """What was made of data with two modes; a density is known of the two Gaussians alone."""

    likely: tuple[float, float]  # mean and std of the Gaussian by maximum likelihood
    played: tuple[float, float]  # and of the one that played a game
    samples: np.ndarray  # (n,) of a generator that could follow both modes


def likely_gaussian(steps: int, seed: int, device: str) -> tuple[float, float]:
    """Mean and std of the Gaussian that makes data of TWO most likely, by gradient descent."""
    generator = Generator().manual_seed(seed)
    model = Gaussian1d().to(device)
    optimizer = optim.Adam(model.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        model.nll(TWO.sample(BATCH, generator).to(device)).backward()
        optimizer.step()
    return model.numbers()


def playing_gaussian(steps: int, seed: int, device: str) -> tuple[float, float]:
    """Mean and std of the Gaussian that a game on data of TWO ends with."""
    generator = Generator().manual_seed(seed)
    gan = MLPGAN((1,), codes=1, hidden=(32, 32))
    gan.generator = Gaussian1d()
    gan.to(device)
    players = gan.discriminator, gan.generator
    adams = (optim.Adam(player.parameters(), 5e-3, (0.5, 0.999)) for player in players)
    game = Game(gan, "non_saturating", *adams, r1=0.1)
    for _ in range(steps):
        game.step(TWO.sample(BATCH, generator).to(device))
    return gan.generator.numbers()


def playing_network(steps: int, seed: int, device: str, samples: int) -> np.ndarray:
    """Samples (n,) of a network after a game on data of TWO."""
    setting = RECOMMENDED._replace(epochs=max(1, steps // ROUNDS))
    game, loader = game_on(TWO, setting, seed, device)
    train(game, loader, setting.epochs, progress=False)
    return game.sample(samples).cpu().numpy()[:, 0]


def choose(steps: int, seed: int, device: str, samples: int = 4_000) -> Choice:
    """The most likely Gaussian; the Gaussian that a game ends with; and a network's samples."""
    minigrad.manual_seed(seed)
    return Choice(
        likely_gaussian(steps, seed, device), playing_gaussian(steps, seed, device),
        playing_network(steps, seed, device, samples),
    )  # fmt: skip


# ---------------------------------------------------------------- a density in the plane


class GaussianMixture(nn.Module):
    """p(x) = Σ πₖ N(x; μₖ, σₖ²), its π, μ and σ learned. It has both: ln p(x), and samples."""

    def __init__(self, points: Tensor, modes: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(minigrad.zeros(modes))
        self.mean = nn.Parameter(points[:modes].clone())
        self.log_std = nn.Parameter(minigrad.zeros(modes))

    def log_prob(self, x: Tensor) -> Tensor:
        """ln p(x) of points (n, d), in nats, (n,)."""
        d = x.shape[1]
        away = (x.unsqueeze(1) - self.mean).square().sum(2) * (-2.0 * self.log_std).exp()
        each = -0.5 * away - d * self.log_std - 0.5 * d * LN_2PI
        return logsumexp(each + nn.functional.log_softmax(self.logits, 0), 1)

    def sample(self, n: int, generator: Generator) -> np.ndarray:
        """n points (n, d)."""
        share = nn.functional.softmax(self.logits, 0).detach().cpu().numpy()
        edges = np.cumsum(share)
        k = np.searchsorted(edges / edges[-1], generator.uniform((n,), "float64"), side="right")
        mean, std = (p.detach().cpu().numpy()[k] for p in (self.mean, self.log_std.exp()))
        return mean + std[:, None] * generator.normal(mean.shape, "float64")


def fit_density(
    mixture: Mixture, steps: int, seed: int, device: str, modes: int = 32
) -> GaussianMixture:
    """The mixture of Gaussians, begun at points of the data, that makes the data likely."""
    generator = Generator().manual_seed(seed)
    model = GaussianMixture(mixture.sample(modes, generator), modes).to(device)
    optimizer = optim.Adam(model.parameters(), 0.02)
    for _ in tqdm(range(steps), desc="density", unit=" steps", mininterval=0.2):
        optimizer.zero_grad()
        (-model.log_prob(mixture.sample(2 * BATCH, generator).to(device)).mean()).backward()
        optimizer.step()
    return model
