r"""Initial values: functions that fill a tensor in place, under `no_grad`, and answer with it.

The random ones take a `generator`. With a weight of shape (out, in, *kernel), one output adds up
fan_in = in · ∏kernel numbers, and one input reaches fan_out = out · ∏kernel outputs. To keep the
size of the signal, weights are drawn with variance gain² / fan.
"""

import math

import numpy as np

from minigrad.backend import Generator, array_module
from minigrad.engine import no_grad
from minigrad.errors import ArgumentError, ShapeError
from minigrad.ops.sampling import stream
from minigrad.tensor import Tensor


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Draws from U[a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Draws from N(mean, std²)."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every entry `val`."""
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Every entry 0."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Every entry 1."""
    return constant_(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix, with zeros beyond the square. Raises ShapeError without two axes."""
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: got shape {tensor.shape}; expected two axes")
    with no_grad():
        return tensor.copy_(Tensor(np.eye(*tensor.shape, dtype=tensor.dtype)).to(tensor.device))


# ---------------------------------------------------------------- variance by fan

_GAINS = {
    "linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0, "conv_transpose3d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3,
    "relu": math.sqrt(2.0), "selu": 3 / 4,
}  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights are enlarged to make up for a nonlinearity.

    `param` is the slope of a leaky ReLU, 0.01 by default: its gain is √(2 / (1 + slope²)).

    >>> calculate_gain("tanh"), calculate_gain("leaky_relu", 1.0)
    (1.6666666666666667, 1.0)

    Raises ArgumentError if there is no gain of that name.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        raise ArgumentError(
            f"calculate_gain: nonlinearity: got {nonlinearity!r}; expected one of "
            f"{', '.join(map(repr, [*_GAINS, 'leaky_relu']))}"
        )
    return _GAINS[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, *kernel); ShapeError with fewer than two axes."""
    if tensor.ndim < 2:
        raise ShapeError(f"init: got shape {tensor.shape}; expected (out, in, …): a fan needs both")
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """U(-a, a) with a = gain √(6 / (fan_in + fan_out)). Source: Glorot and Bengio (2010)."""
    bound = gain * math.sqrt(6.0 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(0, gain² · 2 / (fan_in + fan_out)). Source: Glorot and Bengio (2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"kaiming: mode: got {mode!r}; expected 'fan_in' or 'fan_out'")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """U(-b, b) with b = gain √(3 / fan), a the slope of a leaky ReLU.

    Source: He et al., arXiv 1502.01852.
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """N(0, gain² / fan), a the slope of a leaky ReLU. Source: He et al., arXiv 1502.01852."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Draws from N(mean, std²) given that they lie in [a, b]; a draw outside is drawn again.

    Raises ArgumentError if [a, b] is not within reach: it must come to 2 std of the mean.
    """
    if not (a < b and a <= mean + 2 * std and b >= mean - 2 * std):
        raise ArgumentError(
            f"trunc_normal_: got mean {mean}, std {std}, bounds {a} and {b}; expected a < b, and "
            "bounds within 2 std of the mean"
        )
    source = stream(generator, tensor.device)
    with no_grad():
        normal_(tensor, mean, std, source)
        outside = (tensor < a).array | (tensor > b).array
        while outside.any():
            draws = source.normal((int(outside.sum()),), tensor.dtype) * std + mean
            tensor[outside] = Tensor(draws.astype(tensor.dtype, copy=False))
            outside = (tensor < a).array | (tensor > b).array
    return tensor


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A matrix whose rows, or columns if they are fewer, are orthogonal, of length `gain`.

    Further axes count as columns. It is the Q of the QR decomposition of a Gaussian matrix, with
    signs that make it uniform. Source: Saxe et al., arXiv 1312.6120.
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: got shape {tensor.shape}; expected at least two axes")
    if not tensor.numel():
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    draws = stream(generator, tensor.device).normal((rows, columns), tensor.dtype)
    q, r = array_module(draws).linalg.qr(draws if rows >= columns else draws.T)
    q = q * array_module(draws).sign(array_module(draws).diagonal(r))
    with no_grad():
        return tensor.copy_(Tensor((q if rows >= columns else q.T).reshape(tensor.shape) * gain))
