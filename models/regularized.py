r"""Autoencoders that may have more codes than pixels, and yet do not learn to copy (deck 003).

With as many codes as pixels g(f(x)) = x is easy, and teaches nothing. Each of these makes it hard
in another way: what comes in is spoilt, few codes may be active, or codes may not move much.

    denoising      reconstruct x from a corrupted copy of it
    sparse         reconstruction + λ · how far the activity of the units is from the desired one
    k-sparse       only the k largest codes are kept
    contractive    reconstruction + λ ‖∂f/∂x‖²_F

Reconstruction is the mean squared error over the pixels, as in `Autoencoder`. The deck sums it over
the D pixels of an image: its λ is λ / D here.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from minigrad import Generator, Tensor, nn, zeros
from minigrad.errors import ArgumentError
from minigrad.nn import functional as F
from models import corruption, sparsity
from models.autoencoder import OUTPUTS, Autoencoder
from models.jacobian import contraction, contraction_estimate, contraction_of_sigmoid_layer


def sigmoid_layers(sizes: Sequence[int]) -> nn.Sequential:
    """σ(W h + b) for each pair of sizes: activations between 0 and 1, and smooth."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.Sigmoid()]
    return nn.Sequential(*layers)


def _check_weight(model: nn.Module, weight: float) -> None:
    if not 0 <= weight < math.inf:
        raise ArgumentError(f"{type(model).__name__}: weight: got {weight}; expected 0 or more")


class DenoisingAutoencoder(Autoencoder):
    r"""Reconstructs x from a corrupted copy T x: E d(x, g(f(T x))). Course: A8.

    `noise` names one of `corruption.CORRUPTIONS`, `level` says how much of it. It is drawn by
    `generator`, or by the default one, which checkpoints of `fit` restore.

    >>> model = DenoisingAutoencoder((784, 64), noise="masking", level=0.5)
    >>> sum(p.numel() for p in model.parameters())
    101200
    """

    def __init__(
        self, sizes: Sequence[int] = (784, 256), output: str = "sigmoid",
        noise: str = "gaussian", level: float = 0.5, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(sizes, output)
        self.noise, self.level, self.generator = corruption.named(noise), level, generator

    def corrupt(self, x: Tensor) -> Tensor:
        """T x: a copy of x with fresh noise."""
        return self.noise(x, self.level, self.generator)

    def loss(self, x: Tensor, *labels: Tensor, noisy: Tensor | None = None) -> Tensor:
        """(1/N) Σ (g(f(T x)) - x)²: the target is the clean x. T x is drawn, or given, `noisy`."""
        noisy = self.corrupt(x) if noisy is None else noisy
        return F.mse_loss(self(noisy), x)


class SparseAutoencoder(Autoencoder):
    r"""Reconstruction + λ Σ w_k s(ρ̂, ρ_k), over the encoder's layers k. Course: A10, A11.

    Each layer of the encoder ends in a sigmoid: an activation is between 0 and 1. `weight` is λ,
    and `layer_weights` are the w_k: 1 for the code and 0 for the layers before it, unless given.
    `desired` is ρ̂; `distance` is s, one of "kl", "l1" and "l2"; `per` says which activity ρ_k is
    meant: that of a "unit" over the batch, as usual, or that of an "example" over its units, as in
    deck 003 (see models/sparsity.py).

    >>> model = SparseAutoencoder((784, 1024))  # more codes than pixels
    >>> sum(p.numel() for p in model.parameters())
    1607440
    """

    def __init__(
        self, sizes: Sequence[int] = (784, 1024), output: str = "sigmoid", desired: float = 0.05,
        weight: float = 1e-3, distance: str = "kl", per: str = "unit",
        layer_weights: Sequence[float] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(sizes, output)
        sparsity.named(distance)
        if per not in sparsity.PENALTIES:
            kinds = ", ".join(sparsity.PENALTIES)
            raise ArgumentError(f"SparseAutoencoder: per: got {per!r}; expected one of {kinds}")
        if not 0 < desired < 1:
            raise ArgumentError(
                f"SparseAutoencoder: desired: got {desired}; expected an activity between 0 and 1"
            )
        layers = len(sizes) - 1
        if layer_weights is None:
            layer_weights = [0.0] * (layers - 1) + [1.0]
        if len(layer_weights) != layers:
            raise ArgumentError(
                f"SparseAutoencoder: layer_weights: got {len(layer_weights)}; expected one for "
                f"each of the encoder's {layers} layers"
            )
        for each in (weight, *layer_weights):
            _check_weight(self, each)
        self.desired, self.distance, self.per = desired, distance, per
        self.weight, self.layer_weights = weight, tuple(layer_weights)
        self.encoder = sigmoid_layers(sizes)

    def activations(self, x: Tensor) -> list[Tensor]:
        """What each layer of the encoder answers; the last is the code."""
        h, found = x.flatten(1), []
        for linear, sigmoid in zip(self.encoder[::2], self.encoder[1::2], strict=True):
            h = sigmoid(linear(h))
            found.append(h)
        return found

    def loss(self, x: Tensor, *labels: Tensor) -> dict[str, Tensor]:
        """reconstruction + λ sparsity, and both parts; sparsity is without λ."""
        layers = self.activations(x)
        reconstruction = F.mse_loss(self.decode(layers[-1]).reshape(x.shape), x)
        penalty = sparsity.PENALTIES[self.per]
        sparse = sum(
            w * penalty(a, self.desired, self.distance)
            for w, a in zip(self.layer_weights, layers, strict=True)
        )
        return {
            "loss": reconstruction + self.weight * sparse,
            "reconstruction": reconstruction,
            "sparsity": sparse,
        }


class KSparseAutoencoder(Autoencoder):
    r"""Of each code only the k entries largest in |h| are kept: g(k_sparse(f(x), k)). Course: A9.

    No penalty, and nothing on the code but that choice: "a generalised ReLU", as deck 003 says.

    >>> import minigrad as mg
    >>> h = KSparseAutoencoder((784, 100), k=7).encode(mg.rand(2, 1, 28, 28))
    >>> (h != 0).sum(1)
    tensor([7, 7])
    """

    def __init__(
        self, sizes: Sequence[int] = (784, 1024), output: str = "sigmoid", k: int = 25
    ) -> None:
        super().__init__(sizes, output)
        if not 1 <= k <= sizes[-1]:
            raise ArgumentError(
                f"KSparseAutoencoder: k: got {k}; expected from 1 to {sizes[-1]}, the code's size"
            )
        self.k = k

    def encode(self, x: Tensor) -> Tensor:
        """The codes (n, code size), k entries of each kept, the others 0."""
        return sparsity.k_sparse(super().encode(x), k=self.k)


class Transposed(nn.Module):
    """y = x W + b: the way back through a Linear layer, with that layer's W and a b of its own."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.bias = nn.Parameter(zeros(linear.in_features))

    def forward(self, x: Tensor) -> Tensor:
        """x W + b: (n, out) → (n, in) of the layer"""
        return F.linear(x, self.linear.weight.T, self.bias)


class ContractiveAutoencoder(Autoencoder):
    r"""Reconstruction + λ (1/n) Σ ‖∂f/∂x‖²_F: codes that hardly move when x does. Course: A7.

    The encoder is layers of σ(W h + b); `weight` is λ. The norm is exact: of one layer in closed
    form, of several by one backward pass per code. If the code is wide, `draws` backward passes
    give an estimate.

    The decoder's W′ are the encoder's W transposed, as in Rifai et al. (ICML 2011). If they were
    free, f / 10 with a decoder ten times as steep would reconstruct as well, and for a hundredth of
    the penalty, without anything learned about x.

    >>> model = ContractiveAutoencoder((784, 64))
    >>> sum(p.numel() for p in model.parameters())
    51024
    """

    def __init__(
        self, sizes: Sequence[int] = (784, 64), output: str = "sigmoid",
        weight: float = 1e-3, draws: int | None = None, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(sizes, output)
        _check_weight(self, weight)
        if draws is not None and draws < 1:
            raise ArgumentError(
                f"ContractiveAutoencoder: draws: got {draws}; expected at least 1, or None"
            )
        self.weight, self.draws, self.generator = weight, draws, generator
        self.encoder = sigmoid_layers(sizes)
        back: list[nn.Module] = []
        for linear in self.encoder[::2]:
            back = [Transposed(linear), nn.Sigmoid(), *back]
        self.decoder = nn.Sequential(*back[:-1], OUTPUTS[output]())

    def contraction(self, x: Tensor, v: Tensor | None = None) -> Tensor:
        """(1/n) Σ ‖∂f/∂x‖²_F, or its estimate; its signs are drawn, or given as `v`."""
        if self.draws is not None:
            return contraction_estimate(self.encode, x, self.draws, self.generator, v=v)
        if len(self.encoder) == 2:
            return contraction_of_sigmoid_layer(self.encode(x), self.encoder[0].weight)
        return contraction(self.encode, x)

    def loss(self, x: Tensor, *labels: Tensor, v: Tensor | None = None) -> dict[str, Tensor]:
        """reconstruction + λ contraction, and both parts; contraction is without λ."""
        reconstruction = F.mse_loss(self(x), x)
        penalty = self.contraction(x, v)
        return {
            "loss": reconstruction + self.weight * penalty,
            "reconstruction": reconstruction,
            "contraction": penalty,
        }
