r"""Games on mixtures in the plane: the setting that keeps all modes, and the one that loses them.

With a generator ten times as fast as its judge the ring is lost: G moves to where D is wrong now,
all of it; D follows; G moves on.
"""

import math
from typing import NamedTuple

from minigrad import Generator, manual_seed, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.optim.lr_scheduler import CosineAnnealingLR
from models.game import Game
from models.gan import MLPGAN
from models.gan_scores import Coverage, mode_coverage
from models.toys import Mixture, ring

RING = ring(std=0.1)
BATCH = 128
ROUNDS = 100  # in an epoch
SAMPLES = 2_000  # judged at a time
BETAS = 0.5, 0.999


class Setting(NamedTuple):
    """What a game on points is played with; `falls`: both rates fall to 0 along a cosine."""

    loss: str
    hidden: tuple[int, ...]
    epochs: int  # of ROUNDS rounds
    d_lr: float = 5e-3
    g_lr: float = 5e-3
    r1: float = 0.0
    gradient_penalty: float = 0.0
    ema: float = 0.99
    falls: bool = True


RECOMMENDED = Setting("non_saturating", (64, 64, 64), epochs=30, r1=0.1)
COLLAPSING = Setting("minimax", (64, 64), 20, d_lr=1e-4, g_lr=1e-3, ema=0.0, falls=False)


def game_on(
    mixture: Mixture, setting: Setting, seed: int = 0, device: str = "cpu"
) -> tuple[Game, DataLoader]:
    """The game, its networks seeded, and a loader of ROUNDS batches."""
    manual_seed(seed)
    gan = MLPGAN((mixture.centres.shape[1],), hidden=setting.hidden).to(device)
    d = optim.Adam(gan.discriminator.parameters(), setting.d_lr, BETAS)
    g = optim.Adam(gan.generator.parameters(), setting.g_lr, BETAS)
    schedulers = [CosineAnnealingLR(o, setting.epochs) for o in (d, g)] if setting.falls else []
    penalties = dict(r1=setting.r1, gradient_penalty=setting.gradient_penalty)
    game = Game(gan, setting.loss, d, g, **penalties, ema=setting.ema, schedulers=schedulers)
    generator = Generator().manual_seed(seed)
    data = TensorDataset(mixture.sample(ROUNDS * BATCH, generator).to(device))
    return game, DataLoader(data, BATCH, shuffle=True, generator=generator)


def coverage(game: Game, mixture: Mixture = RING) -> Coverage:
    """Of SAMPLES samples: a mode is reached with 1 in 5 of its even share."""
    return mode_coverage(game.sample(SAMPLES), mixture, least=SAMPLES // 5 // len(mixture.centres))


def kinds(samples: object, mixture: Mixture = RING) -> float:
    """e^H of the share of samples nearest to each centre: how many modes are in use.

    All of them if samples are spread evenly, however rough; 1 if all are near one. It is the number
    that tells a collapse, and below a quarter of the modes it is plain.

    >>> kinds(RING.centres), round(kinds(RING.centres[[0, 0, 0]]), 6)
    (8.0, 1.0)
    """
    found = mode_coverage(samples, mixture, within=math.inf)
    return len(mixture.centres) * math.exp(-found.kl)
