"""Layers: modules that hold the parameters and options of a function in `functional`."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from minigrad.backend import Generator, is_first_worker
from minigrad.creation import empty, ones, tensor, zeros
from minigrad.engine import no_grad
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.module import Module, Parameter
from minigrad.tensor import Tensor, int64

# ---------------------------------------------------------------- dense, shape, dropout


class Linear(Module):
    """y = x Wᵀ + b: (…, in_features) → (…, out_features), W (out, in), b (out,).

    W and b begin as draws from U(-1/√in, 1/√in), by `generator`.

    >>> Linear(784, 32)
    Linear(in_features=784, out_features=32, bias=True)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True,
        device: Any = None, dtype: Any = None, *, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in_features, device=device, dtype=dtype))
        self.bias = Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw the initial values again."""
        reset_affine(self.weight, self.bias, generator)

    def forward(self, input: Tensor) -> Tensor:
        """x Wᵀ + b"""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


def reset_affine(weight: Tensor, bias: Tensor | None, generator: Generator | None) -> None:
    """Weights and bias from U(-1/√fan_in, 1/√fan_in), which is `kaiming_uniform_` with a = √5."""
    if not weight.numel():
        return
    init.kaiming_uniform_(weight, math.sqrt(5), generator=generator)
    if bias is not None:
        bound = 1 / math.sqrt(init.fans(weight)[0])
        init.uniform_(bias, -bound, bound, generator)


class Identity(Module):
    """y = x, whatever the arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """x"""
        return input


class Embedding(Module):
    """Classes (…) → vectors (…, embedding_dim), the rows of a table that is learned.

    The table begins as draws from N(0, 1) by `generator`, its row `padding_idx` as zeros, which
    they stay.

    >>> Embedding(10, 3)(tensor([[1, 2]])).shape
    (1, 2, 3)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None,
        *, device: Any = None, dtype: Any = None, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ArgumentError(
                f"Embedding: padding_idx: got {padding_idx}; expected one of {num_embeddings} rows"
            )
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw the initial values again."""
        init.normal_(self.weight, generator=generator)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    def forward(self, input: Tensor) -> Tensor:
        """The rows that x names"""
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"


class Flatten(Module):
    """The axes from start_dim to end_dim as one: by default (N, …) → (N, entries)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """x, reshaped"""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """The axis `dim` as several, of the sizes `unflattened_size`, one of which may be -1."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        """x, reshaped"""
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Dropout(Module):
    """In training, entries become 0 with probability p and the others grow by 1 / (1 - p)."""

    def __init__(
        self, p: float = 0.5, inplace: bool = False, *, generator: Generator | None = None
    ) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            name = type(self).__name__
            raise ArgumentError(f"{name}: p: got {p}; expected a probability, from 0 to 1")
        self.p = p
        self.inplace = inplace
        self.generator = generator

    def forward(self, input: Tensor) -> Tensor:
        """x, thinned out in training"""
        return F.dropout(input, self.p, self.training, generator=self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


# ---------------------------------------------------------------- normalisation


class BatchNorm(Module):
    """What the batch norms of each dimension share: see `functional.batch_norm`."""

    dims: tuple[int, ...]  # the numbers of axes that the input may have

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, track_running_stats: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        where = dict(device=device, dtype=dtype)
        self.weight = Parameter(ones(num_features, **where)) if affine else None
        self.bias = Parameter(zeros(num_features, **where)) if affine and bias else None
        track = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **where) if track else None)
        self.register_buffer("running_var", ones(num_features, **where) if track else None)
        count = tensor(0, dtype=int64, device=device) if track else None
        self.register_buffer("num_batches_tracked", count)

    def forward(self, input: Tensor) -> Tensor:
        """γ (x - μ) / √(σ² + eps) + β, μ and σ² those of the batch or the running ones"""
        if input.ndim not in self.dims:
            raise ShapeError(
                f"{type(self).__name__}: got an input of shape {input.shape}; expected "
                f"{' or '.join(map(str, self.dims))} axes"
            )
        counted = self.training and self.num_batches_tracked is not None
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / (int(self.num_batches_tracked) + 1) if counted else 0.0
        running = counted or not self.training
        y = F.batch_norm(
            input,
            self.running_mean if running else None,
            self.running_var if running else None,
            self.weight, self.bias, self.training or self.running_mean is None, momentum, self.eps,
        )  # fmt: skip
        if counted and is_first_worker():
            with no_grad():
                self.num_batches_tracked.add_(1)
        return y

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(BatchNorm):
    """Each channel of (N, C) or (N, C, L) with mean β and standard deviation γ over the batch.

    With `momentum=None` the running statistics are the averages of all batches so far.
    """

    dims = (2, 3)


class BatchNorm2d(BatchNorm):
    """Each channel of (N, C, H, W) with mean β and standard deviation γ over the batch.

    >>> BatchNorm2d(16)
    BatchNorm2d(16, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    dims = (4,)


class LayerNorm(Module):
    """The last axes, of the sizes `normalized_shape`, standardised in each example, times γ plus β.

    >>> LayerNorm(32)
    LayerNorm((32,), eps=1e-05, elementwise_affine=True, bias=True)
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5,
        elementwise_affine: bool = True, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        sizes = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape = tuple(sizes)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        where = dict(device=device, dtype=dtype)
        affine = elementwise_affine
        self.weight = Parameter(ones(self.normalized_shape, **where)) if affine else None
        self.bias = Parameter(zeros(self.normalized_shape, **where)) if affine and bias else None

    def forward(self, input: Tensor) -> Tensor:
        """γ (x - μ) / √(σ² + eps) + β"""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


# ---------------------------------------------------------------- functions without parameters


class Function(Module):
    """A function of `functional` as a module, with its options as attributes."""

    function: Callable[..., Tensor]

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = tuple(options)
        vars(self).update(options)

    def forward(self, *inputs: Tensor) -> Tensor:
        """function(*inputs, **options)"""
        return self.function(*inputs, **{name: vars(self)[name] for name in self._options})


class Activation(Function):
    """An activation shows its options; `inplace` is accepted, shown, and never done."""

    def extra_repr(self) -> str:
        shown = [name for name in self._options if name != "inplace" or self.inplace]
        return ", ".join(f"{name}={vars(self)[name]!r}" for name in shown)


class ReLU(Activation):
    """y = max(x, 0); relu′(0) = 0"""

    function = staticmethod(F.relu)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(inplace=inplace)


class LeakyReLU(Activation):
    """y = x if x > 0, else slope · x; its derivative at 0 is the slope"""

    function = staticmethod(F.leaky_relu)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(negative_slope=negative_slope, inplace=inplace)


class ELU(Activation):
    """y = x if x > 0, else α (eˣ - 1); its derivative at 0 is α"""

    function = staticmethod(F.elu)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(alpha=alpha, inplace=inplace)


class GELU(Activation):
    """y = x Φ(x), Φ the cumulative distribution of N(0, 1); or by the "tanh" approximation"""

    function = staticmethod(F.gelu)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__(approximate=approximate)


class SiLU(Activation):
    """y = x σ(x)"""

    function = staticmethod(F.silu)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(inplace=inplace)


class Softplus(Activation):
    """y = ln(1 + e^(βx)) / β; x itself where βx > threshold"""

    function = staticmethod(F.softplus)

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__(beta=beta, threshold=threshold)


class Softmax(Activation):
    """y = eˣ / Σ eˣ along `dim`"""

    function = staticmethod(F.softmax)

    def __init__(self, dim: int) -> None:
        super().__init__(dim=dim)


class LogSoftmax(Activation):
    """y = x - ln Σ eˣ along `dim`"""

    function = staticmethod(F.log_softmax)

    def __init__(self, dim: int) -> None:
        super().__init__(dim=dim)


class Tanh(Activation):
    """y = tanh x"""

    function = staticmethod(F.tanh)


class Sigmoid(Activation):
    """y = σ(x) = 1 / (1 + e⁻ˣ)"""

    function = staticmethod(F.sigmoid)


class LogSigmoid(Activation):
    """y = ln σ(x)"""

    function = staticmethod(F.logsigmoid)
