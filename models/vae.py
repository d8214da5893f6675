r"""The variational autoencoder: an encoder of distributions, a decoder of distributions.

An autoencoder's code is a point. Here the encoder answers an image x with a cloud of codes,
q(z|x) = N(μ, σ²), the decoder answers a code z with a distribution of images, p(x|z), and codes are
meant to be spread as p(z) = N(0, 1). Then new images can be drawn: a z from p(z), an x from p(x|z).

How likely is an image under that? ln p(x) = ln ∫ p(x|z) p(z) dz cannot be computed, but bounded:

    ln p(x) = ELBO + KL(q(z|x) ‖ p(z|x)) ≥ ELBO = E ln p(x|z) - KL(q(z|x) ‖ p(z)),    z ~ q(z|x).

The loss is -ELBO, in nats per image: what the reconstruction costs, and what the code costs. One
draw z = μ + σ ε, ε ~ N(0, 1), stands for the expectation; it is differentiable in μ and σ. The KL
is known in closed form. (Kingma and Welling, arXiv 1312.6114; decks 000 to 004.)

The encoder gives ln σ², `log_var`, which may be any real number. So σ = e^(log_var / 2): deck 001's
line has e^log_var, which is σ².
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from minigrad import Generator, Tensor, cat, logsumexp, nn, no_grad, randn, reparameterize
from minigrad.errors import ArgumentError, ShapeError
from models.likelihoods import LN_2PI, Bernoulli, Gaussian, Likelihood, variance_of_weighted_loss


class Pass(NamedTuple):
    """An image's way through a VAE."""

    output: Tensor  # of the decoder; the likelihood says what it means
    mean: Tensor  # μ and ln σ² of q(z|x), (n, codes)
    log_var: Tensor
    z: Tensor  # the draw from it


def kl_per_code(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² - 1 - ln σ²) of every code of every image, in nats.

    σ² - 1 is e^log_var - 1 without the rounding: a code that carries nothing costs nothing.
    """
    return 0.5 * (mean.square() + log_var.expm1() - log_var)


def warm_up(beta: float, epoch: int, epochs: int) -> float:
    """β in that epoch (the first is 1) if it grows evenly from 0 over so many: β · epoch / epochs.

    >>> [warm_up(1.0, epoch, 4) for epoch in (1, 2, 4, 9)]
    [0.25, 0.5, 1.0, 1.0]
    """
    return beta * min(1.0, epoch / epochs) if epochs > 0 else beta


class VAE(nn.Module):
    """What all VAEs share. A model adds `encode` and `decode`.

    `beta` weighs the KL (Higgins et al., ICLR 2017); `free_bits` is the number of nats of KL, per
    code and on average over the batch, that cost nothing (Kingma et al., arXiv 1606.04934).
    """

    def __init__(
        self, image_shape: Sequence[int], codes: int, likelihood: Likelihood | None = None,
        beta: float = 1.0, free_bits: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.image_shape = tuple(image_shape)
        if len(self.image_shape) != 3 or min(*self.image_shape, codes) < 1:
            raise ArgumentError(
                f"{self._name}: image_shape, codes: got {self.image_shape}, {codes}; expected "
                "(channels, height, width) and the number of codes"
            )
        if not (0 <= beta < math.inf and 0 <= free_bits < math.inf):
            raise ArgumentError(
                f"{self._name}: beta, free_bits: got {beta}, {free_bits}; expected neither below 0"
            )
        self.codes, self.beta, self.free_bits = codes, beta, free_bits
        self.likelihood = Bernoulli() if likelihood is None else likelihood

    @property
    def _name(self) -> str:
        return type(self).__name__

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and log_var of q(z|x), each (n, codes)."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """What the likelihood makes p(x|z) of: (n, likelihood.outputs · channels, h, w)."""
        raise NotImplementedError

    def check(self, x: Tensor) -> Tensor:
        """x, if it has the shape of this model's images; else ShapeError."""
        if x.shape[1:] != self.image_shape:
            raise ShapeError(f"{self._name}: x: got {x.shape}; expected {('n', *self.image_shape)}")
        return x

    def forward(
        self, x: Tensor, eps: Tensor | None = None, generator: Generator | None = None
    ) -> Pass:
        """Encode, draw z = μ + σ ε, decode; ε is drawn, or given (n, codes)."""
        mean, log_var = self.encode(self.check(x))
        z = reparameterize(mean, (0.5 * log_var).exp(), eps, generator=generator)
        return Pass(self.decode(z), mean, log_var, z)

    def loss(self, x: Tensor, *labels: Tensor, eps: Tensor | None = None) -> dict[str, Tensor]:
        """-ELBO and its parts, in nats per image, averaged over the batch; labels are not read.

        "loss" is what to minimise: reconstruction + β · KL, where a code's KL counts as at least
        `free_bits`. "kl" is the KL itself.
        """
        if not len(x):
            raise ArgumentError(f"{self._name}: loss: got an empty batch; expected an image")
        output, mean, log_var, _ = self(x, eps)
        reconstruction = self.likelihood.nll(output, x).mean()
        kl = kl_per_code(mean, log_var).mean(0)
        paid = kl.clamp(min=self.free_bits) if self.free_bits else kl
        return {
            "loss": reconstruction + self.beta * paid.sum(),
            "reconstruction": reconstruction,
            "kl": kl.sum(),
        }

    # ------------------------------------------------------------ after training

    @no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x|z] at the middle of the cloud, z = μ."""
        return self.likelihood.mean(self.decode(self.encode(self.check(x))[0]))

    @no_grad()
    def generate(self, z: Tensor) -> Tensor:
        """E[x|z]: the images (n, c, h, w) of codes (n, codes)."""
        return self.likelihood.mean(self.decode(z))

    @no_grad()
    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """E[x|z] of n codes drawn from N(0, 1): images that were never seen."""
        like = next(iter(self.parameters()))
        z = randn(n, self.codes, dtype=like.dtype, device=like.device, generator=generator)
        return self.generate(z)

    @no_grad()
    def log_evidence(
        self, x: Tensor, draws: int = 100, generator: Generator | None = None
    ) -> Tensor:
        r"""A lower bound on ln p(x) of each image, (n,), the tighter the more draws. Course: V5.

            ln (1/K) Σ p(x|zₖ) p(zₖ) / q(zₖ|x),    zₖ ~ q(z|x)

        With one draw its expectation is the ELBO; as K grows it reaches ln p(x) (Burda et al.,
        arXiv 1509.00519).
        """
        if draws < 1:
            raise ArgumentError(f"log_evidence: draws: got {draws}; expected at least 1")
        mean, log_var = self.encode(self.check(x))
        std = (0.5 * log_var).exp()
        weights = []
        for _ in range(draws):
            z = reparameterize(mean, std, generator=generator)
            prior = -0.5 * (z.square() + LN_2PI).sum(1)
            posterior = -0.5 * (((z - mean) / std).square() + log_var + LN_2PI).sum(1)
            likelihood = -self.likelihood.nll(self.decode(z), x)
            weights.append((likelihood + prior - posterior).reshape(1, -1))
        return logsumexp(cat(weights), dim=0) - math.log(draws)

    @no_grad()
    def explain_loss(self, x: Tensor) -> "Explanation":
        """What the loss on these images is made of, and what it amounts to."""
        parts = {name: float(value) for name, value in self.loss(x).items()}
        variance = self.likelihood.implied_variance()
        return Explanation(
            parts["reconstruction"], parts["kl"], self.beta, parts["loss"],
            (parts["reconstruction"] + parts["kl"]) / math.prod(self.image_shape) / math.log(2),
            None if variance is None or not self.beta else self.beta * variance,
        )  # fmt: skip


class Explanation(NamedTuple):
    """A VAE's loss in numbers; printed, in words."""

    reconstruction: float  # E -ln p(x|z), nats per image
    kl: float  # KL(q(z|x) ‖ p(z)), nats per image
    beta: float
    loss: float  # reconstruction + β kl, of which free bits are not paid
    bits_per_dimension: float  # of -ELBO, per pixel and channel; of a density it may be negative
    implied_variance: float | None  # σ² of the Gaussian decoder whose ELBO is so weighted

    def __str__(self) -> str:
        lines = [
            f"reconstruction  {self.reconstruction:10.2f} nats per image, E -ln p(x|z)",
            f"KL              {self.kl:10.2f} nats per image, KL(q(z|x) ‖ p(z))",
            f"loss            {self.loss:10.2f} = reconstruction + β KL, β = {self.beta:g}",
            f"-ELBO           {self.reconstruction + self.kl:10.2f} nats per image, "
            f"{self.bits_per_dimension:.4f} bits per dimension",
        ]
        if self.implied_variance is not None:
            lines.append(
                f"decoder's σ²    {self.implied_variance:10.4g} : with β = 1 and that variance the "
                "two would be weighed the same"
            )
        return "\n".join(lines)


class DenseVAE(VAE):
    r"""Deck 004's model, 784-512-2, exactly. Course: V10, V11.

        x (n, 1, 28, 28) → h (n, 512) → mean, log_var (n, 2)
        z (n, 2) → h (n, 512) → x (n, 1, 28, 28)

    with a ReLU on each h and Bernoulli pixels.

    >>> sum(p.numel() for p in DenseVAE().parameters())
    807700
    """

    def __init__(
        self, hidden: int = 512, codes: int = 2, image_shape: Sequence[int] = (1, 28, 28),
        likelihood: Likelihood | None = None, beta: float = 1.0, free_bits: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(image_shape, codes, likelihood, beta, free_bits)
        if hidden < 1:
            raise ArgumentError(f"DenseVAE: hidden: got {hidden}; expected at least 1")
        pixels = math.prod(self.image_shape)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU())
        self.mean = nn.Linear(hidden, codes)
        self.log_var = nn.Linear(hidden, codes)
        c, *size = self.image_shape
        shape = self.likelihood.outputs * c, *size
        self.decoder = nn.Sequential(
            nn.Linear(codes, hidden), nn.ReLU(),
            nn.Linear(hidden, math.prod(shape)), nn.Unflatten(1, shape),
        )  # fmt: skip

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and log_var of q(z|x), each (n, codes)."""
        h = self.encoder(x)
        return self.mean(h), self.log_var(h)

    def decode(self, z: Tensor) -> Tensor:
        """What the likelihood makes p(x|z) of: (n, outputs · channels, 28, 28), here logits."""
        return self.decoder(z)


class ConvVAE(VAE):
    r"""Deck 000's convolutional model, exactly, layer names included. Course: V9.

        28 —conv1 k4 s2→ 13 —conv2 k4 s2→ 5    64 · 5 · 5 = 1600 —fc1, fc2→ mean, log_var (n, 20)
        z (n, 20) —fc3→ 1600    5 —deconv2 k5 s2→ 13 —deconv1 k4 s2→ 28

    A convolution gives o = ⌊(i - k)/s⌋ + 1: 13 from 28, and 5 from 13, with one row left over that
    no output looks at. The way back is o' = s (i' - 1) + k: with the same kernel of 4, 5 would give
    12. The deck's kernel of 5 gives 13, and output_padding=1 would do it too.

    >>> sum(p.numel() for p in ConvVAE().parameters())
    182761
    """

    def __init__(
        self, image_channels: int = 1, h_dim: int = 1600, z_dim: int = 20,
        likelihood: Likelihood | None = None, beta: float = 1.0, free_bits: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__((image_channels, 28, 28), z_dim, likelihood, beta, free_bits)
        if h_dim != 1600:
            raise ArgumentError(
                f"ConvVAE: h_dim: got {h_dim}; expected 1600, 64 channels of the 5×5 pixels that "
                "two convolutions leave of 28×28"
            )
        self.conv1 = nn.Conv2d(image_channels, 32, kernel_size=4, stride=2)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=4, stride=2)
        self.fc1 = nn.Linear(h_dim, z_dim)
        self.fc2 = nn.Linear(h_dim, z_dim)
        self.fc3 = nn.Linear(z_dim, h_dim)
        outputs = self.likelihood.outputs * image_channels
        self.deconv2 = nn.ConvTranspose2d(64, 32, kernel_size=5, stride=2)
        self.deconv1 = nn.ConvTranspose2d(32, outputs, kernel_size=4, stride=2)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and log_var of q(z|x), each (n, 20)."""
        h = self.conv2(self.conv1(x).relu()).relu().flatten(1)
        return self.fc1(h), self.fc2(h)

    def decode(self, z: Tensor) -> Tensor:
        """What the likelihood makes p(x|z) of: (n, outputs · channels, 28, 28), here logits."""
        h = self.fc3(z).relu().reshape(-1, 64, 5, 5)
        return self.deconv1(self.deconv2(h).relu())


class FaceVAE(VAE):
    r"""A VAE for faces of 64×64×3. Course: V12.

        64 → 32 → 16 → 8 → 4 pixels a side, 3 → 32 → 64 → 128 → 256 channels, codes, and back

    by convolutions k4 s2 p1, which halve exactly, and their transposes. Deck 002 tells the loss,
    the mean squared error plus 0.00024 KL, but not the layers: these are the usual ones. The loss
    is that of Gaussian pixels with σ² = 1.47, the default here.

    >>> sum(p.numel() for p in FaceVAE().parameters())
    2957251
    """

    def __init__(
        self, codes: int = 128, channels: Sequence[int] = (3, 32, 64, 128, 256),
        likelihood: Likelihood | None = None, beta: float = 1.0, free_bits: float = 0.0,
    ) -> None:  # fmt: skip
        channels = tuple(channels)
        if len(channels) < 2 or min(channels) < 1:
            raise ArgumentError(
                f"FaceVAE: channels: got {channels}; expected those of the image and of one "
                "convolution or more"
            )
        side = 4 * 2 ** (len(channels) - 1)
        image_shape = channels[0], side, side
        if likelihood is None:
            likelihood = Gaussian(variance_of_weighted_loss(0.00024, math.prod(image_shape)))
        super().__init__(image_shape, codes, likelihood, beta, free_bits)
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for fan_in, fan_out in pairwise(channels):
            down += [nn.Conv2d(fan_in, fan_out, 4, stride=2, padding=1), nn.ReLU()]
            back = fan_in * self.likelihood.outputs if not up else fan_in
            up = [nn.ReLU(), nn.ConvTranspose2d(fan_out, back, 4, stride=2, padding=1), *up]
        smallest = channels[-1], 4, 4
        self.encoder = nn.Sequential(*down, nn.Flatten())
        self.mean = nn.Linear(math.prod(smallest), codes)
        self.log_var = nn.Linear(math.prod(smallest), codes)
        self.decoder = nn.Sequential(
            nn.Linear(codes, math.prod(smallest)), nn.Unflatten(1, smallest), *up
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and log_var of q(z|x), each (n, codes)."""
        h = self.encoder(x)
        return self.mean(h), self.log_var(h)

    def decode(self, z: Tensor) -> Tensor:
        """What the likelihood makes p(x|z) of: (n, outputs · 3, 64, 64)."""
        return self.decoder(z)
