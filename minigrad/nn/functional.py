r"""Layers and losses as functions of tensors, without state: PyTorch's `torch.nn.functional`.

`inplace` is accepted where PyTorch has it, and never acted on: a value that a derivative may still
need is not overwritten. In formulas x is `input` and t is `target`.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.backend import Generator, array_module, can_look, is_first_worker
from minigrad.engine import no_grad
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.nn import fused, images, losses
from minigrad.ops import elementwise, reduction, shape
from minigrad.ops import linear as products
from minigrad.ops.arguments import check_float_tensor
from minigrad.ops.arithmetic import greater, where
from minigrad.ops.sampling import stream
from minigrad.tensor import Tensor, int64

linear, linear_composed = products.linear, products.linear_composed

mse_loss, mse_loss_composed, l1_loss = losses.mse_loss, losses.mse_loss_composed, losses.l1_loss
smooth_l1_loss, huber_loss, kl_div = losses.smooth_l1_loss, losses.huber_loss, losses.kl_div
binary_cross_entropy = losses.binary_cross_entropy
binary_cross_entropy_with_logits = losses.binary_cross_entropy_with_logits
binary_cross_entropy_with_logits_composed = losses.binary_cross_entropy_with_logits_composed
cross_entropy, nll_loss = losses.cross_entropy, losses.nll_loss

conv2d, conv_transpose2d = images.conv2d, images.conv_transpose2d
max_pool2d, avg_pool2d = images.max_pool2d, images.avg_pool2d
adaptive_avg_pool2d, interpolate = images.adaptive_avg_pool2d, images.interpolate
pixel_shuffle, pixel_unshuffle = images.pixel_shuffle, images.pixel_unshuffle
unfold, fold = images.unfold, images.fold

# ---------------------------------------------------------------- activations

tanh, sigmoid, logsigmoid = elementwise.tanh, elementwise.sigmoid, elementwise.logsigmoid


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """y = max(x, 0); relu′(0) = 0"""
    return elementwise.relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """y = x if x > 0, else slope · x; its derivative at 0 is the slope"""
    return elementwise.leaky_relu(input, negative_slope=negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """y = x if x > 0, else α (eˣ - 1); its derivative at 0 is α"""
    return elementwise.elu(input, alpha=alpha)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """y = x Φ(x), Φ the cumulative distribution of N(0, 1); or by the "tanh" approximation"""
    return elementwise.gelu(input, approximate)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """y = x σ(x)"""
    return elementwise.silu(input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """y = ln(1 + e^(βx)) / β; x itself where βx > threshold, with derivative 1"""
    scaled = input if beta == 1 else input * float(beta)
    y = elementwise.softplus(scaled)
    y = y if beta == 1 else y / float(beta)
    return where(greater(scaled, float(threshold)), input, y)


def softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """y = eˣ / Σ eˣ along `dim`; with `dtype` the input is cast first"""
    return reduction.softmax(input if dtype is None else input.to(dtype), dim=dim)


def log_softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """y = x - ln Σ eˣ along `dim`; with `dtype` the input is cast first"""
    return reduction.log_softmax(input if dtype is None else input.to(dtype), dim=dim)


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False,
    *, generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """In training, each entry is 0 with probability p, else x / (1 - p): E[y] = x. Else y = x.

    Raises ArgumentError if p is no probability. Source: Srivastava et al., JMLR 15 (2014).
    """
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout: p: got {p}; expected a probability, from 0 to 1")
    if not training or p == 0:
        return input
    check_float_tensor("dropout", input)
    draws = stream(generator, input.device).uniform(input.shape, np.float32)
    kept = (draws >= p).astype(input.dtype)
    kept *= 1 / (1 - p) if p < 1 else 0.0
    return input * Tensor(kept)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False,
    *, generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Like dropout, of whole channels (N, C, …): neighbouring pixels say much the same.

    Source: Tompson et al., arXiv 1411.4280.
    """
    if input.ndim < 3:
        raise ShapeError(f"dropout2d: input: got shape {input.shape}; expected (N, C, H, W)")
    ones = array_module(input.array).ones((*input.shape[:2], *[1] * (input.ndim - 2)), input.dtype)
    kept = dropout(Tensor(ones), p, training, generator=generator)
    return input * kept if training and p else input


# ---------------------------------------------------------------- normalisation


def batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    r"""y = γ (x - μ) / √(σ² + eps) + β for each channel: x (N, C) or (N, C, …), γ and β (C,).

    In training μ and σ² are the mean and variance of the batch, over all axes but the second, and
    the running ones, if given, move towards them in place by `momentum`; σ² is divided by n there,
    and by n - 1 for the running variance. Otherwise μ and σ² are the running ones.

    In training the gradient is γ/√(σ² + eps) (g - mean(g) - x̂ mean(g x̂)), x̂ = (x - μ)/√(σ² + eps).
    A channel that is constant becomes β, with finite gradients.

    Raises ArgumentError for an empty batch, or one value per channel, in training; ShapeError or
    DTypeError if a vector does not fit x. Source: Ioffe and Szegedy, arXiv 1502.03167.
    """
    check_float_tensor("batch_norm", input)
    sizes = input.shape
    if len(sizes) < 2:
        raise ShapeError(f"batch_norm: input: got shape {sizes}; expected (N, C) or (N, C, …)")
    for name, v in dict(
        running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    ).items():
        _check_vector("batch_norm", name, v, input, sizes[1:2])
    axes = (0, *range(2, len(sizes)))
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "batch_norm: got no running_mean or running_var; expected both if not training"
            )
        rate = 1.0 / (running_var + eps).sqrt()
        slope = rate if weight is None else rate * weight
        shift = -running_mean * slope
        return _scaled(input, slope, shift if bias is None else shift + bias, axes)
    n = input.numel() // sizes[1] if sizes[1] else 0
    if n < 2:
        raise ArgumentError(
            f"batch_norm: values per channel: got {n}, in an input of shape {sizes}; expected at "
            "least 2 in training. Use a larger batch, or eval()"
        )
    moments = fused.Moments(axes, eps)
    if weight is not None:
        y = fused.batch_normalize(input, weight, bias, moments=moments)
    else:
        y = _scaled(fused.standardize(input, moments=moments), weight, bias, axes)
    if running_mean is not None:
        _move(running_mean, moments.mean, momentum)
    if running_var is not None:
        _move(running_var, moments.variance * (n / (n - 1)), momentum)
    return y


def instance_norm(
    input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
    weight: Tensor | None = None, bias: Tensor | None = None,
    use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    r"""y = γ (x - μ) / √(σ² + eps) + β for each channel of each image: x (N, C, …), γ and β (C,).

    μ and σ² are those of the channel in its image; the running ones, if given, move towards their
    means over the batch as in batch_norm, and are used instead unless `use_input_stats`.

    Raises ArgumentError for fewer than two values per channel and image, and what batch_norm
    raises. Source: Ulyanov et al., arXiv 1607.08022.
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    check_float_tensor("instance_norm", input)
    sizes = input.shape
    n = math.prod(sizes[2:])
    if len(sizes) < 3 or n < 2:
        raise ArgumentError(
            f"instance_norm: input: got shape {sizes}; expected (N, C, …) with at least 2 values "
            "per channel and image"
        )
    for name, v in dict(
        running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    ).items():
        _check_vector("instance_norm", name, v, input, sizes[1:2])
    moments = fused.Moments(tuple(range(2, len(sizes))), eps)
    y = _scaled(fused.standardize(input, moments=moments), weight, bias, (0, *moments.axes))
    if running_mean is not None:
        _move(running_mean, moments.mean.mean(0), momentum)
    if running_var is not None:
        _move(running_var, moments.variance.mean(0) * (n / (n - 1)), momentum)
    return y


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None, axes: tuple) -> Tensor:
    if weight is not None:
        return fused.scale_and_shift(x, weight, bias, axes=axes)
    return x if bias is None else x + fused.beside(bias, x.shape, axes)


def _move(running: Tensor, new: Any, momentum: float) -> None:
    """running ← (1 - momentum) running + momentum new, by the first worker if there are several"""
    if not is_first_worker():
        return
    with no_grad():
        running.copy_(Tensor(running.array * (1 - momentum) + new.reshape(-1) * momentum))


def _check_vector(op: str, name: str, v: Tensor | None, x: Tensor, expected: tuple) -> None:
    if v is None:
        return
    if v.shape != expected:
        raise ShapeError(f"{op}: {name}: got shape {v.shape}; expected {expected} for {x.shape}")
    if v.dtype != x.dtype:
        raise DTypeError(f"{op}: {name}: got {v.dtype}; expected the input's type, {x.dtype}")


def layer_norm(
    input: Tensor, normalized_shape: int | Sequence[int], weight: Tensor | None = None,
    bias: Tensor | None = None, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """y = γ (x - μ) / √(σ² + eps) + β, with μ and σ² over the last axes, `normalized_shape`.

    γ and β have that shape. Raises ShapeError if x does not end in it, or if they differ from it.
    Source: Ba, Kiros and Hinton, arXiv 1607.06450.
    """
    check_float_tensor("layer_norm", input)
    inner = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    lead = input.ndim - len(inner)
    if not inner or lead < 0 or input.shape[lead:] != inner:
        raise ShapeError(
            f"layer_norm: got an input of shape {input.shape}; expected it to end in {inner}"
        )
    for name, v in (("weight", weight), ("bias", bias)):
        _check_vector("layer_norm", name, v, input, inner)
    moments = fused.Moments(tuple(range(lead, input.ndim)), eps)
    standard = fused.standardize(input, moments=moments)
    return _scaled(standard, weight, bias, tuple(range(lead)))


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """y = x / max(‖x‖ₚ, eps) along `dim`"""
    return input / reduction.norm(input, p, dim, keepdim=True).clamp(min=eps)


# ---------------------------------------------------------------- rearranging


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """x framed by `value` (0): pad = (left, right, top, bottom, …), the last axis first.

    A negative number crops. Mode "reflect" mirrors x at its outermost entries, "replicate" repeats
    these, "circular" goes on at the other end.

    >>> pad(Tensor(np.ones((1, 2))), (1, 0, 0, 1)).tolist()
    [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    >>> pad(Tensor(np.array([1, 2, 3])), (1, 2), "reflect").tolist()
    [2, 1, 2, 3, 2, 1]

    Raises ArgumentError for another mode, or numbers that do not fit the axes.
    """
    pad = tuple(pad) if isinstance(pad, Iterable) else (pad,)
    if not all(isinstance(n, (int, np.integer)) for n in pad):
        raise ArgumentError(f"pad: pad: got {pad}; expected integers")
    if mode != "constant":
        return _extended(input, pad, mode, value)
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ArgumentError(
            f"pad: pad: got {pad}; expected two numbers for each of the last axes of {input.shape}"
        )
    pairs = [(0, 0)] * (input.ndim - len(pad) // 2) + list(zip(pad[-2::-2], pad[::-2], strict=True))
    if any(n + a + b < 0 for n, (a, b) in zip(input.shape, pairs, strict=True)):
        raise ArgumentError(f"pad: pad: got {pad}; expected to crop no more than {input.shape}")
    if min(pad, default=0) < 0:
        input = shape.crop(input, widths=[(max(-a, 0), max(-b, 0)) for a, b in pairs])
    if max(pad, default=0) <= 0:
        return input
    frame = [(max(a, 0), max(b, 0)) for a, b in pairs]
    return shape.pad(input, widths=frame, value=0.0 if value is None else value)


def _extended(input: Tensor, pad: tuple[int, ...], mode: str, value: float | None) -> Tensor:
    """Padding by entries of x itself, axis by axis: what comes before, x, what comes after."""
    if mode not in ("reflect", "replicate", "circular"):
        raise ArgumentError(
            f"pad: mode: got {mode!r}; expected 'constant', 'reflect', 'replicate' or 'circular'"
        )
    if value is not None:
        raise ArgumentError(f"pad: value: got {value} with mode {mode!r}; expected 'constant'")
    if len(pad) % 2 or len(pad) > 2 * input.ndim or min(pad, default=0) < 0:
        raise ArgumentError(
            f"pad: pad: got {pad}; expected two numbers, not negative, for each of the last axes "
            f"of {input.shape}"
        )
    for i, (a, b) in enumerate(zip(pad[::2], pad[1::2], strict=True)):
        axis = input.ndim - 1 - i
        n = input.shape[axis]
        most = {"reflect": n - 1, "circular": n}.get(mode, max(a, b) if n else 0)
        if max(a, b) > most:
            raise ArgumentError(
                f"pad: pad: got {a, b} for an axis of {n} entries, of {input.shape}; expected at "
                f"most {most} for mode {mode!r}"
            )
        ends = [_end(input, axis, mode, widths) for widths in ((a, 0), (0, b))]
        input = shape.cat([ends[0], input, ends[1]], axis)
    return input


def _end(x: Tensor, axis: int, mode: str, widths: tuple[int, int]) -> Tensor:
    """What is put before x along `axis`, widths = (a, 0), or after it, (0, b)."""
    (a, b), n = widths, x.shape[axis]
    start, stop = {
        "reflect": (1, a + 1) if a else (n - 1 - b, n - 1),
        "circular": (n - a, n) if a else (0, b),
        "replicate": (0, 1) if a else (n - 1, n),
    }[mode]
    part = x[(*[slice(None)] * axis, slice(start, stop))]
    if mode == "replicate":
        return part.expand(*x.shape[:axis], a + b, *x.shape[axis + 1 :])
    return part.flip(axis) if mode == "reflect" else part


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Classes (…) → rows (…, D) of the table (K, D); the row `padding_idx` gets no gradient.

    Raises DTypeError if the input holds no integers, IndexError for what is no row; on a device,
    which would have to be waited for, that becomes a row of NaN.
    """
    rows, count = input.array, len(weight)
    if rows.dtype.kind not in "iu":
        raise DTypeError(f"embedding: input: got {rows.dtype}; expected integers")
    if not can_look(rows):
        wrong = Tensor((rows < 0) | (rows >= count)).unsqueeze(-1)
        y = where(wrong, math.nan, weight[input.clamp(0, count - 1)])
    elif rows.size and not 0 <= rows.min() <= rows.max() < count:
        raise IndexError(
            f"embedding: input: got {rows.min()} to {rows.max()}; expected 0 to {count - 1}"
        )
    else:
        y = weight[input]
    if padding_idx is None:
        return y
    return where((input == padding_idx % count).unsqueeze(-1), y.detach(), y)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Classes (…) as rows (…, num_classes) of int64, 1 at the class; -1: as many as occur.

    >>> one_hot(Tensor(np.array([1, 0])), 3).tolist()
    [[0, 1, 0], [1, 0, 0]]
    """
    classes = tensor.array
    if classes.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: got {classes.dtype}; expected integers")
    if num_classes == -1:
        if not classes.size:
            raise ArgumentError("one_hot: got no classes; expected num_classes to be given")
        num_classes = int(classes.max()) + 1
    losses.check_classes("one_hot", classes, num_classes)
    xp = array_module(classes)
    return Tensor((classes[..., None] == xp.arange(num_classes)).astype(int64))
