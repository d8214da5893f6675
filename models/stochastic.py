r"""The autoencoder with a random code and a random image: p(h|x) and p(x|h) (deck 003).

The functions f and g become distributions: an image has a cloud of codes, of which one is drawn,
and a code has a distribution of images. Shown the same image twice, the encoder answers twice
differently, and both answers must do. So nearby codes must mean nearby images.

What it lacks of a VAE is a price on the codes: nothing holds the clouds of all images together, and
no code can be drawn without an image. (The deck calls both halves p_encoder; p(x|h) is the
decoder's.)
"""

import math
from collections.abc import Sequence

from minigrad import Generator, Tensor, full_like, nn, no_grad, reparameterize
from minigrad.errors import ArgumentError, ShapeError
from models.autoencoder import Autoencoder
from models.likelihoods import Bernoulli, Gaussian


class StochasticAutoencoder(Autoencoder):
    r"""p(h|x) = N(tanh f(x), σ²), p(x|h) a distribution of pixels around g(h). Course: A18.

        loss = -E ln p(x|h),  h = tanh f(x) + σ ε,  ε ~ N(0, 1)        nats per image

    σ, `std`, is a setting: learned, it would go to 0. And the mean is held between -1 and 1 by the
    tanh: free, it would grow until σ is nothing beside it. With σ = 0 only p(x|h) is random.

    >>> import minigrad as mg
    >>> model = StochasticAutoencoder((784, 64, 2))
    >>> x = mg.rand(1, 1, 28, 28)
    >>> bool((model.sample_code(x) == model.sample_code(x)).any())
    False
    """

    def __init__(
        self, sizes: Sequence[int] = (784, 128, 16), std: float = 0.1,
        likelihood: Bernoulli | Gaussian | None = None,
    ) -> None:  # fmt: skip
        super().__init__(sizes, output="identity")
        if not 0 <= std < math.inf:
            raise ArgumentError(f"StochasticAutoencoder: std: got {std}; expected 0 or more")
        self.std = std
        self.likelihood = Bernoulli() if likelihood is None else likelihood
        if self.likelihood.outputs != 1:
            raise ArgumentError(
                "StochasticAutoencoder: likelihood: got one with "
                f"{self.likelihood.outputs} numbers per pixel; expected one with 1"
            )
        self.encoder.append(nn.Tanh())

    def sample_code(
        self, x: Tensor, eps: Tensor | None = None, generator: Generator | None = None
    ) -> Tensor:
        """A code drawn from p(h|x), (n, codes); ε is drawn, or given."""
        mean = self.encode(x)
        if eps is not None and eps.shape != mean.shape:
            raise ShapeError(f"sample_code: eps: got shape {eps.shape}; expected {mean.shape}")
        return reparameterize(mean, full_like(mean, self.std), eps, generator=generator)

    @no_grad()
    def sample_image(self, h: Tensor, generator: Generator | None = None) -> Tensor:
        """A flat image drawn from p(x|h), (n, pixels)."""
        return self.likelihood.sample(self.decode(h), generator)

    def forward(self, x: Tensor) -> Tensor:
        """E[x|h] at the middle of the cloud, h = tanh f(x), in the shape of x."""
        return self.likelihood.mean(self.decode(self.encode(x))).reshape(x.shape)

    def loss(self, x: Tensor, *labels: Tensor, eps: Tensor | None = None) -> Tensor:
        """-ln p(x|h) in nats per image, with one h drawn from p(h|x), averaged over the batch."""
        if not len(x):
            raise ArgumentError("StochasticAutoencoder: loss: got an empty batch")
        a = self.decode(self.sample_code(x, eps))
        return self.likelihood.nll(a, x.flatten(1)).mean()
