r"""A dense layer that is unsure of its weights, and three ways to draw from it.

Every weight has a distribution of its own, q(W) = N(μ, σ²), and training bounds the evidence of all
N examples at once, as a VAE's ELBO does for one:

    ln p(y | x) ≥ N · E ln p(yᵢ | xᵢ, W) - KL(q(W) ‖ p(W)),    W ~ q

Where the noise is drawn changes no expectation, but how far each estimate of the gradient is off.
Over a minibatch of M examples, with Lᵢ the gradient of example i, its variance is

    Var (1/M) Σ Lᵢ = (1/M) Var Lᵢ + (1 - 1/M) Cov(Lᵢ, Lⱼ)

    shared     one W for the batch: what it does to one example it does to all, and Cov(Lᵢ, Lⱼ)
               stays however large the batch is
    each       a W for every example: no covariance, but M · in · out numbers to draw
    local      no W at all: given x, the activations x Wᵀ + b are normal and independent, so they
               are drawn themselves: M · out numbers, no covariance, and less variance besides

The last is the local reparameterisation (Kingma, Salimans and Welling, arXiv 1506.02557, to which
deck 004 refers). Its gradient is that of `each` averaged over all W that give the same activations,
and so never further off.

Dropout with Gaussian noise is this layer with σ² = α μ². The paper's prior, for which α alone is
paid, is uniform in ln |w|: it has no integral, so no bound either (Hron et al., arXiv 1711.02989),
and its KL is known by approximations. Here p(W) = N(0, s²), whose KL is exact.
"""

import math
from collections.abc import Sequence

from minigrad import Generator, Tensor, full, nn, reparameterize, tensor, where
from minigrad.distributions import Normal, kl_divergence
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn import functional as F

ESTIMATORS = "shared", "each", "local"


class GaussianLinear(nn.Module):
    r"""y = x Wᵀ + b with W ~ N(μ, σ²): (n, in_features) → (n, out_features). Course: V23.

        shared     W = μ + σ ε                              ε (out, in)
        each       Wᵢ = μ + σ εᵢ                            ε (n, out, in)
        local      y = x μᵀ + b + √(x² σ²ᵀ) ε               ε (n, out)

    `weight` is μ, begun as PyTorch's Linear; `log_var` is ln σ², begun as `log_var` everywhere; b
    is certain. After `eval()` nothing is drawn: y = x μᵀ + b. Where x is 0 throughout, √ has no
    derivative at its 0: nothing is drawn there, and the gradient of that term counts as 0.

    >>> layer = GaussianLinear(784, 100)
    >>> layer
    GaussianLinear(in_features=784, out_features=100, estimator='local', prior_std=1.0)
    >>> layer.noise_shape(50)
    (50, 100)

    Raises ArgumentError for another estimator or a prior_std not above 0.
    """

    def __init__(
        self, in_features: int, out_features: int, estimator: str = "local",
        prior_std: float = 1.0, log_var: float = -8.0,
    ) -> None:  # fmt: skip
        super().__init__()
        if estimator not in ESTIMATORS:
            raise ArgumentError(
                f"GaussianLinear: estimator: got {estimator!r}; expected one of "
                f"{', '.join(ESTIMATORS)}"
            )
        if min(in_features, out_features) < 1 or not 0 < prior_std < math.inf:
            raise ArgumentError(
                f"GaussianLinear: got {in_features}, {out_features} features, prior_std "
                f"{prior_std}; expected all above 0"
            )
        self.in_features, self.out_features = in_features, out_features
        self.estimator, self.prior_std = estimator, prior_std
        like = nn.Linear(in_features, out_features)
        self.weight, self.bias = like.weight, like.bias
        self.log_var = nn.Parameter(full((out_features, in_features), float(log_var)))

    def noise_shape(self, n: int) -> tuple[int, ...]:
        """How much noise n examples take."""
        out, fan_in = self.weight.shape
        return {"shared": (out, fan_in), "each": (n, out, fan_in), "local": (n, out)}[
            self.estimator
        ]

    def forward(
        self, x: Tensor, eps: Tensor | None = None, generator: Generator | None = None
    ) -> Tensor:
        """x Wᵀ + b; in training with noise ε ~ N(0, 1), drawn or given. ShapeError for others."""
        if x.ndim != 2 or x.shape[1] != self.in_features:
            raise ShapeError(f"GaussianLinear: x: got {x.shape}; expected (n, {self.in_features})")
        if not self.training:
            return F.linear(x, self.weight, self.bias)
        shape = self.noise_shape(len(x))
        if eps is not None and eps.shape != shape:
            raise ShapeError(
                f"GaussianLinear: eps: got {eps.shape}; expected {shape} for {self.estimator}"
            )
        if self.estimator == "local":
            return self._activations(x, eps, generator)
        std = (0.5 * self.log_var).exp().expand(*shape)
        weight = reparameterize(self.weight, std, eps, generator=generator)
        if self.estimator == "shared":
            return F.linear(x, weight, self.bias)
        return (weight @ x.unsqueeze(2)).squeeze(2) + self.bias

    def _activations(self, x: Tensor, eps: Tensor | None, generator: Generator | None) -> Tensor:
        """Draws from N(x μᵀ + b, x² σ²ᵀ)."""
        mean = F.linear(x, self.weight, self.bias)
        variance = F.linear(x.square(), self.log_var.exp())
        still = variance.detach() == 0
        std = where(still, 0.0, where(still, 1.0, variance).sqrt())
        return reparameterize(mean, std, eps, generator=generator)

    def kl(self) -> Tensor:
        """KL(q(W) ‖ p(W)) = Σ ln s/σ + (σ² + μ²) / 2s² - ½, in nats, of all weights together."""
        zero, std = (
            tensor(v, dtype=self.weight.dtype, device=self.weight.device)
            for v in (0.0, self.prior_std)
        )
        prior = Normal(zero, std, validate_args=False)  # a look at them may be a wait
        drawn_from = Normal(self.weight, log_var=self.log_var, validate_args=False)
        return kl_divergence(drawn_from, prior).sum()

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"estimator={self.estimator!r}, prior_std={self.prior_std}"
        )


class GaussianClassifier(nn.Module):
    r"""Two such layers with a ReLU between them, for images of so many pixels. Course: V23.

        x (n, …) → (n, pixels) → h (n, hidden) → logits (n, classes)

    `examples` is N, the number of training examples, over which the KL is shared out.

    >>> sum(p.numel() for p in GaussianClassifier(196, 64).parameters())
    26442
    """

    def __init__(
        self, pixels: int, hidden: int, classes: int = 10, estimator: str = "local",
        examples: int = 1, prior_std: float = 1.0, log_var: float = -8.0,
    ) -> None:  # fmt: skip
        super().__init__()
        if examples < 1:
            raise ArgumentError(f"GaussianClassifier: examples: got {examples}; expected 1 or more")
        self.examples = examples
        settings = estimator, prior_std, log_var
        self.first = GaussianLinear(pixels, hidden, *settings)
        self.last = GaussianLinear(hidden, classes, *settings)

    def use(self, estimator: str) -> "GaussianClassifier":
        """The same distributions of weights, drawn from in another way."""
        if estimator not in ESTIMATORS:
            raise ArgumentError(
                f"use: estimator: got {estimator!r}; expected one of {', '.join(ESTIMATORS)}"
            )
        self.first.estimator = self.last.estimator = estimator
        return self

    def forward(
        self, x: Tensor, eps: Sequence[Tensor] | None = None, generator: Generator | None = None
    ) -> Tensor:
        """The logits (n, classes); ε of both layers is drawn, or given."""
        first, last = (None, None) if eps is None else eps
        h = self.first(x.flatten(1), first, generator).relu()
        return self.last(h, last, generator)

    def loss(
        self, x: Tensor, labels: Tensor, eps: Sequence[Tensor] | None = None,
        generator: Generator | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """-(bound) / N in nats per example: E -ln p(y|x, W) + KL / N, the first by one draw."""
        nll = F.cross_entropy(self(x, eps, generator), labels)
        kl = (self.first.kl() + self.last.kl()) / self.examples
        return {"loss": nll + kl, "nll": nll, "kl": kl}
