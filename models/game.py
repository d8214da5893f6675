r"""The game of a GAN, one round at a time: D moves, then G.

    D's half   G(z) is only looked at: `detach` cuts it off from G, whose weights D's loss must not
               move, and whose gradients would be computed for nobody.
    G's half   D is only looked through: the gradient passes D on its way to G, but D's weights are
               not differentiated by: `backward(inputs=…)` names whose gradients are wanted.

Both halves use the same G(z); G is judged by the D that has just moved. (Goodfellow et al., arXiv
1406.2661, algorithm 1, which draws new noise for G. Deck 001.) The loop around the rounds is
`minigrad.training.train`.
"""

import math
from collections.abc import Sequence
from typing import Any

from minigrad import Generator, Tensor, set_grad_enabled
from minigrad.errors import ArgumentError, CheckpointError, GraphError
from minigrad.nn.spectral_norm import SpectralNorm
from minigrad.optim import Adam
from minigrad.optim.lr_scheduler import LRScheduler
from minigrad.optim.optimizer import Optimizer
from minigrad.training import Record, descend
from models import gan_losses
from models.ema import EMA
from models.gan import GAN
from models.gan_losses import clip_weights, gradient_penalty, r1_penalty, refuse_batch_norm


class Game:
    r"""Two players, their losses by name, and what keeps D smooth. Course: G1, G3.

        D descends   loss + gradient_penalty · E (‖∂a(x̂)/∂x̂‖ - 1)² + r1 · ½ E ‖∂a(x)/∂x‖²
        G descends   its loss, once every `critic_steps` rounds

    `loss` is a name of `gan_losses.LOSSES`. The optimisers are Adam 2e-4 with β₁ 0.5 unless given
    (Radford et al., arXiv 1511.06434). `clip` bounds D's weights after its every step, `smoothing`
    s makes D's label of data 1 - s, that of fakes stays 0 (Salimans et al., arXiv 1606.03498), and
    `ema` is the decay of a running average of G, `average`. Usual choices:

        Wasserstein, penalised   "wasserstein", gradient_penalty=10, critic_steps=5, Adam 1e-4, β₁ 0
        Wasserstein, clipped     "wasserstein", clip=0.01, critic_steps=5, RMSprop 5e-5

    A trainer for `minigrad.training.train`, which records "d_loss" and "g_loss", with the penalties
    before their weights, "real" and "fake": the means of D(x) and D(G(z)), or of D's answers where
    the loss knows no probabilities. Of Wasserstein's, real - fake estimates the distance.

    >>> from minigrad import manual_seed, tensor
    >>> from models.gan import MLPGAN
    >>> _ = manual_seed(0)
    >>> sorted(Game(MLPGAN()).step(tensor([[1.0, 0.0], [0.0, 1.0]])))
    ['d_loss', 'fake', 'g_loss', 'real']

    Raises ArgumentError if the loss is unknown or a number is out of range; if a penalty meets
    batch norm, a smoothed label a loss without labels; or if nothing keeps a Wasserstein critic
    smooth.
    """

    def __init__(
        self, gan: GAN, loss: str = "non_saturating", d_optimizer: Optimizer | None = None,
        g_optimizer: Optimizer | None = None, *, gradient_penalty: float = 0.0, r1: float = 0.0,
        clip: float = 0.0, smoothing: float = 0.0, critic_steps: int = 1, ema: float = 0.0,
        schedulers: Sequence[LRScheduler] = (),
    ) -> None:  # fmt: skip
        self.model = self.gan = gan
        self.loss = gan_losses.named(loss)
        self.gradient_penalty, self.r1, self.clip = gradient_penalty, r1, clip
        self.smoothing, self.critic_steps = smoothing, critic_steps
        self._check(loss)
        usual = dict(lr=2e-4, betas=(0.5, 0.999))
        self.d_optimizer = d_optimizer or Adam(gan.discriminator.parameters(), **usual)
        self.g_optimizer = g_optimizer or Adam(gan.generator.parameters(), **usual)
        self.average = EMA(gan.generator, ema) if ema else None
        self.schedulers = tuple(schedulers)
        self.rounds = 0

    def _check(self, loss: str) -> None:
        weights = {"gradient_penalty": self.gradient_penalty, "r1": self.r1, "clip": self.clip}
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ArgumentError(f"Game: {name}: got {weight}; expected 0, or more")
            if weight and name != "clip":
                refuse_batch_norm(self.gan.discriminator, name)
        if not 0 <= self.smoothing < 1 or (self.smoothing and not self.loss.labels):
            raise ArgumentError(
                f"Game: smoothing: got {self.smoothing} with {loss!r}; expected 0 ≤ smoothing < 1, "
                "and 0 where the loss has no labels to be smoothed"
            )
        if not isinstance(self.critic_steps, int) or self.critic_steps < 1:
            raise ArgumentError(f"Game: critic_steps: got {self.critic_steps}; expected at least 1")
        smooth = any(weights.values()) or any(
            isinstance(getattr(m, "spectral_norm", None), SpectralNorm)
            for m in self.gan.discriminator.modules()
        )
        if loss == "wasserstein" and not smooth:
            raise ArgumentError(
                "Game: loss: got 'wasserstein' and nothing that bounds the critic's slope, so that "
                "its loss would fall without end; expected gradient_penalty=10, clip=0.01, r1, or "
                "a discriminator with norm='spectral'"
            )

    # ------------------------------------------------------------ what each player minimises

    def discriminator_loss(
        self, x: Tensor, fake: Tensor, *labels: Tensor, eps: Tensor | None = None
    ) -> dict[str, Tensor]:
        """ "d_loss" and its parts, of data and fakes in the networks' units."""
        judge, fake = self.gan.judge, fake.detach()
        real, made = judge(x, *labels), judge(fake, *labels)
        loss = self.loss.discriminator(real, made, 1.0 - self.smoothing)
        parts = {"real": self._shown(real), "fake": self._shown(made)}
        if self.gradient_penalty:
            parts["gradient_penalty"] = gradient_penalty(judge, x, fake, *labels, eps=eps)
            loss = loss + self.gradient_penalty * parts["gradient_penalty"]
        if self.r1:
            parts["r1"] = r1_penalty(judge, x, *labels)
            loss = loss + self.r1 * parts["r1"]
        return {"d_loss": loss, **parts}

    def generator_loss(self, fake: Tensor, *labels: Tensor) -> dict[str, Tensor]:
        """ "g_loss", of fakes in the networks' units."""
        return {"g_loss": self.loss.generator(self.gan.judge(fake, *labels))}

    def _shown(self, answers: Tensor) -> Tensor:
        answers = answers.detach()
        return (answers.sigmoid() if self.loss.probabilities else answers).mean()

    # ------------------------------------------------------------ the moves

    def step(self, x: Tensor, *labels: Tensor) -> Record:
        """One round: D moves, and G if it is its turn; labels are read by conditional GANs.

        On a device the host waits once for each player that moves. G is judged by the D that has
        moved, and D moves when its loss is known to be a number: a single wait, after both, would
        find a NaN when D's weights, and all that G learned from them, are NaN too.

        Raises NonFiniteError at a loss or gradient that is NaN or infinite; that player has not
        moved.
        """
        x = self.gan.scaled(x)
        if not len(x):
            raise ArgumentError("Game: step: got an empty batch; expected an example")
        self.rounds += 1
        generator_plays = self.rounds % self.critic_steps == 0
        with set_grad_enabled(generator_plays):  # a graph that nobody sweeps need not be recorded
            fake = self.gan.make(self.gan.noise(len(x)), *labels)
        record = self.discriminator_step(x, fake, *labels)
        if generator_plays:
            record.update(self.generator_step(fake, *labels))
        return record

    def discriminator_step(self, x: Tensor, fake: Tensor, *labels: Tensor) -> Record:
        """D's half of a round; G's weights and their `.grad` stay as they are."""
        parts = self.discriminator_loss(x, fake, *labels)
        self.d_optimizer.zero_grad()
        values = descend("d_loss", parts, self.gan, self.d_optimizer, self.gan.discriminator)
        if self.clip:
            clip_weights(self.gan.discriminator, self.clip)
        return values

    def generator_step(self, fake: Tensor, *labels: Tensor) -> Record:
        """G's half, `fake` with its graph; D's weights and their `.grad` stay as they are."""
        if not fake.requires_grad:
            raise GraphError(
                "Game: generator_step: fake: got one without a graph; expected what G made, not "
                "detached and not under no_grad: its gradient is to reach G"
            )
        parts = self.generator_loss(fake, *labels)
        self.g_optimizer.zero_grad()
        values = descend("g_loss", parts, self.gan, self.g_optimizer, self.gan.generator)
        if self.average is not None:
            self.average.update(self.gan.generator)
        return values

    # ------------------------------------------------------------ around the moves

    def sample(self, n: int, *labels: Tensor, generator: Generator | None = None) -> Tensor:
        """n examples by the average of G, if there is one, else by G: see `GAN.sample`."""
        by = self.average.module if self.average is not None else None
        return self.gan.sample(n, *labels, generator=generator, by=by)

    def end_epoch(self) -> None:
        """The next epoch's learning rates."""
        for scheduler in self.schedulers:
            scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Both networks, G's average, both optimisers, the schedulers, and the rounds played."""
        return {
            "model": self.gan.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "d_optimizer": self.d_optimizer.state_dict(),
            "g_optimizer": self.g_optimizer.state_dict(),
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "rounds": self.rounds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from there."""
        if (state["average"] is None) != (self.average is None):
            has = "an" if state["average"] else "no"
            raise CheckpointError(
                f"Game: the state has {has} average of G; the game does not agree"
            )
        self.gan.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.d_optimizer.load_state_dict(state["d_optimizer"])
        self.g_optimizer.load_state_dict(state["g_optimizer"])
        for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)
        self.rounds = int(state["rounds"])
