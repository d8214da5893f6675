r"""Losses: how far an input x is from a target t, as one number.

They refuse to broadcast (ShapeError) and an empty batch (ArgumentError); input and target have one
float type (DTypeError), class indices apart. `reduction` is "mean", "sum" or "none". It is given by
name only: in PyTorch the abandoned size_average and reduce stand before it.
"""

import math
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.backend import Array, array_module, can_look
from minigrad.engine import Variable, primitive
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.nn.fused import Fused, beside
from minigrad.ops import reduction as reductions
from minigrad.ops.arithmetic import where
from minigrad.ops.elementwise import logsigmoid, sigmoid_array
from minigrad.ops.shape import broadcast_shape, getitem, reshape, sum_array, take_along
from minigrad.tensor import Tensor

# ---------------------------------------------------------------- reductions and checks


def _reduced(losses: Variable, reduction: str) -> Variable:
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def _reduced_array(losses: Array, reduction: str) -> Array:
    if reduction == "none":
        return losses
    total = sum_array(losses, tuple(range(losses.ndim)))
    return total / losses.size if reduction == "mean" else total


def _each(g: Array, x: Array, reduction: str) -> Array:
    """The gradient of each single loss, from that of the reduced loss."""
    return g / x.size if reduction == "mean" else g


def _check_batch(op: str, input: Tensor, reduction: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(f"{op}: reduction: got {reduction!r}; expected 'mean', 'sum' or 'none'")
    if not input.array.size:
        raise ArgumentError(f"{op}: empty batch: got shape {input.shape}; expected some entry")


def _check_tensors(op: str, **named: Any) -> None:
    for name, x in named.items():
        if not isinstance(x, Variable):
            raise DTypeError(f"{op}: {name}: got {type(x).__name__}; expected a tensor")


def _check_pair(op: str, input: Tensor, target: Tensor, reduction: str) -> None:
    _check_tensors(op, input=input, target=target)
    x, t = input.array, target.array
    if x.shape != t.shape:
        raise ShapeError(
            f"{op}: got an input of shape {x.shape} and a target of shape {t.shape}; expected one "
            "shape: a loss does not broadcast. Use .reshape or .expand_as"
        )
    if x.dtype != t.dtype or x.dtype.kind != "f":
        raise DTypeError(
            f"{op}: got an input of {x.dtype} and a target of {t.dtype}; expected one float type. "
            "Use target.to(input.dtype)"
        )
    _check_batch(op, input, reduction)


def _check_weight(op: str, name: str, weight: Tensor | None, input: Tensor) -> None:
    if weight is not None and broadcast_shape(op, weight.shape, input.shape) != input.shape:
        raise ShapeError(f"{op}: {name}: got {weight.shape}; expected one within {input.shape}")


# ---------------------------------------------------------------- differences


def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """(x - t)², reduced. Rule: 2 (x - t).

    >>> mse_loss(Tensor(np.array([1.0, 4.0])), Tensor(np.array([0.0, 2.0]))).item()
    2.5
    """
    _check_pair("mse_loss", input, target, reduction)
    return _mse_loss(input, target, reduction=reduction)


def mse_loss_composed(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """(x - t)², reduced: what `mse_loss` must equal, derivatives included."""
    return _reduced((input - target).square(), reduction)


@Fused
def _mse_loss(x, t, *, reduction):
    loss = x - t
    loss *= loss
    return _reduced_array(loss, reduction)


def _mse_slope(g, x, t, reduction):
    slope = x - t
    slope *= _each(g, x, reduction) * 2.0
    return slope


_mse_loss.name = "mse_loss"
_mse_loss.vjp_of(
    mse_loss_composed,
    lambda g, y, x, t, reduction: _mse_slope(g, x, t, reduction),
    lambda g, y, x, t, reduction: _mse_slope(g, t, x, reduction),
)


def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """|x - t|, reduced; its derivative at x = t is 0"""
    _check_pair("l1_loss", input, target, reduction)
    return _reduced((input - target).abs(), reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """|x - t| - β/2, and (x - t)² / 2β where |x - t| < β, reduced: L1 without its kink.

    Raises ArgumentError for a negative β.
    """
    _check_pair("smooth_l1_loss", input, target, reduction)
    if not beta >= 0:
        raise ArgumentError(f"smooth_l1_loss: beta: got {beta}; expected at least 0")
    difference = input - target
    size = difference.abs()
    if beta == 0:
        return _reduced(size, reduction)
    near = difference.square() * (0.5 / beta)
    return _reduced(where(size < float(beta), near, size - 0.5 * beta), reduction)


def huber_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """δ (|x - t| - δ/2), and (x - t)² / 2 where |x - t| < δ, reduced: δ times the smooth L1 loss.

    Raises ArgumentError unless δ > 0.
    """
    _check_pair("huber_loss", input, target, reduction)
    if not delta > 0:
        raise ArgumentError(f"huber_loss: delta: got {delta}; expected a positive number")
    return smooth_l1_loss(input, target, reduction=reduction, beta=delta) * float(delta)


# ---------------------------------------------------------------- probabilities


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None,
    *, reduction: str = "mean", pos_weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """-w (p t ln σ(x) + (1 - t) ln(1 - σ(x))), reduced: the nats to code t ∈ [0, 1] by σ(x).

    `weight` w and `pos_weight` p broadcast to the input. Without them it is computed as
    max(x, 0) - x t + ln(1 + e^-|x|), exact for any x. Rule: σ(x) - t.

    >>> x, t = Tensor(np.array([-1e4, 0.0, 1e4])), Tensor(np.array([0.0, 0.0, 0.0]))
    >>> binary_cross_entropy_with_logits(x, t, reduction="none").tolist()
    [0.0, 0.6931471805599453, 10000.0]
    """
    op = "binary_cross_entropy_with_logits"
    _check_pair(op, input, target, reduction)
    if weight is None and pos_weight is None:
        tail = _tail(input.array, reduction)
        return _bce_with_logits(input, target, reduction=reduction, tail=tail)
    _check_weight(op, "weight", weight, input)
    _check_weight(op, "pos_weight", pos_weight, input)
    return binary_cross_entropy_with_logits_composed(
        input, target, weight, reduction=reduction, pos_weight=pos_weight
    )


def binary_cross_entropy_with_logits_composed(
    input: Tensor, target: Tensor, weight: Tensor | None = None,
    *, reduction: str = "mean", pos_weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The definition, with 1 - σ(x) = σ(-x): what the fused loss must equal."""
    hit = target if pos_weight is None else target * pos_weight
    loss = -hit * logsigmoid(input) - (1.0 - target) * logsigmoid(-input)
    return _reduced(loss if weight is None else loss * weight, reduction)


def _tail(x: Array, reduction: str) -> Array | None:
    """e^-|x|, where there are kernels that make a sum of losses of it, and their slope."""
    bernoulli_tail = kernels.find("bernoulli_tail", array_module(x), x.dtype)
    return bernoulli_tail(x) if bernoulli_tail and reduction != "none" else None


@Fused
def _bce_with_logits(x, t, *, reduction, tail=None):
    """max(x, 0) - x t = |x| / 2 + x (½ - t) has no branch"""
    xp = array_module(x)
    if tail is not None:
        total = kernels.find("bernoulli_sum", xp, x.dtype)(x, t, tail)
        return total / x.size if reduction == "mean" else total
    if cross_entropy := kernels.find("cross_entropy", xp, x.dtype):
        return _reduced_array(cross_entropy(x, t), reduction)
    size = xp.abs(x)
    curve = xp.log1p(xp.exp(-size))
    size *= 0.5
    loss = 0.5 - t
    loss *= x
    loss += size
    loss += curve
    return _reduced_array(loss, reduction)


def _bce_with_logits_rule(g, y, x, t, reduction, tail=None):
    xp, each = array_module(x), _each(g, x, reduction)
    if tail is not None:
        return kernels.find("bernoulli_slope", xp, x.dtype)(x, t, tail, each)
    if cross_entropy_slope := kernels.find("cross_entropy_slope", xp, x.dtype):
        return cross_entropy_slope(x, t, each)
    slope = sigmoid_array(x)
    slope -= t
    slope *= each
    return slope


_bce_with_logits.name = "binary_cross_entropy_with_logits"
_bce_with_logits.vjp_of(
    lambda x, t, reduction, tail: binary_cross_entropy_with_logits_composed(
        x, t, reduction=reduction
    ),
    _bce_with_logits_rule,
    lambda g, y, x, t, reduction, tail: -_each(g, x, reduction) * x,
)


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """-w (t ln x + (1 - t) ln(1 - x)), reduced: x and t are probabilities, logarithms ≥ -100.

    Rule: (x - t) / (x (1 - x)), the divisor at least 1e-12. After a sigmoid it loses digits that
    `binary_cross_entropy_with_logits` keeps. Raises ArgumentError if x or t leaves [0, 1].
    """
    op = "binary_cross_entropy"
    _check_pair(op, input, target, reduction)
    loss = 0.0
    for name, p in (("input", input.array), ("target", target.array)):
        wrong = ~((p >= 0) & (p <= 1))
        if not can_look(p):
            loss = _spoiled(wrong, p.dtype) + loss
        elif wrong.any():
            raise ArgumentError(
                f"{op}: {name}: got {p[wrong][0]}; expected probabilities, from 0 to 1. For logits "
                "there is binary_cross_entropy_with_logits"
            )
    _check_weight(op, "weight", weight, input)
    loss = _bernoulli_nats(input, target) + loss
    return _reduced(loss if weight is None else loss * weight, reduction)


@primitive
def _bounded_log(x):
    xp = array_module(x)
    with np.errstate(divide="ignore"):
        return xp.maximum(xp.log(x), -100.0)


@primitive
def _bernoulli_nats(x, t):
    return -t * _bounded_log.forward(x) - (1.0 - t) * _bounded_log.forward(1.0 - x)


_bounded_log.vjp(lambda g, y, x: g / x.clamp(min=1e-12))
_bernoulli_nats.name = "binary_cross_entropy"
_bernoulli_nats.vjp(
    lambda g, y, x, t: g * ((x - t) / (x * (1.0 - x)).clamp(min=1e-12)),
    lambda g, y, x, t: g * (_bounded_log(1.0 - x) - _bounded_log(x)),
)


def kl_div(
    input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """t (ln t - x), reduced: x are log-probabilities of a model, t probabilities (or their logs).

    "mean" divides by the number of entries; "batchmean" by that of examples, and is KL(t ‖ model).

    >>> half, t = Tensor(np.log([[0.5, 0.5]])), Tensor(np.array([[1.0, 0.0]]))
    >>> kl_div(half, t, reduction="batchmean").exp().item()
    2.0
    """
    _check_pair("kl_div", input, target, "sum" if reduction == "batchmean" else reduction)
    if log_target:
        nats = target.exp() * (target - input)
    else:
        nats = target * (where(target == 0.0, 1.0, target).log() - input)
    if reduction == "batchmean":
        return nats.sum() / len(input) if input.ndim else nats
    return _reduced(nats, reduction)


# ---------------------------------------------------------------- classes


def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None,
    *, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """-Σ w_c t_c ln softmax(x)_c over the classes c, reduced: the nats to code t by softmax(x).

    x is (N, C), (N, C, …) or (C,). The target holds probabilities t in that shape, or the index of
    the class, (N,), (N, …) or (): then `ignore_index` marks what is left out, and the mean divides
    by the sum of the w of the target classes. `label_smoothing` ε makes t (1 - ε) t + ε / C.

    >>> cross_entropy(Tensor(np.log([[1.0, 3.0]])), Tensor(np.array([1]))).exp().item()
    1.3333333333333333

    Raises ArgumentError for an index that is no class, or a mean over nothing; on a device, where
    looking at the indices would make it wait, the loss is NaN instead.
    """
    op = "cross_entropy"
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"{op}: label_smoothing: got {label_smoothing}; expected 0 to 1")
    axis = _check_scores(op, input, target, weight, reduction)
    if target.dtype.kind != "f":
        log_p = reductions.log_softmax(input, dim=axis)
        return _pick(op, log_p, target, weight, ignore_index, reduction, label_smoothing)
    _check_pair(op, input, target, reduction)
    if ignore_index >= 0:
        raise ArgumentError(f"{op}: ignore_index: got {ignore_index}; expected class indices then")
    if label_smoothing:
        target = target * (1.0 - label_smoothing) + label_smoothing / input.shape[axis]
    nats = -target * reductions.log_softmax(input, dim=axis)
    return _reduced(_weighted(nats, weight, axis).sum(axis), reduction)


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None,
    *, ignore_index: int = -100, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """-w x_t, reduced: `cross_entropy` for class indices where x are log-probabilities already."""
    _check_scores("nll_loss", input, target, weight, reduction)
    return _pick("nll_loss", input, target, weight, ignore_index, reduction)


def _check_scores(
    op: str, input: Tensor, target: Tensor, weight: Tensor | None, reduction: str
) -> int:
    """The axis of the classes."""
    _check_tensors(op, input=input, target=target)
    if input.dtype.kind != "f":
        raise DTypeError(f"{op}: input: got {input.dtype}; expected a float type. Use .float()")
    if not input.ndim:
        raise ShapeError(f"{op}: input: got shape (); expected (N, C), (N, C, …) or (C,)")
    _check_batch(op, input, reduction)
    axis = min(input.ndim - 1, 1)
    classes = input.shape[axis : axis + 1]
    if weight is not None and weight.shape != classes:
        raise ShapeError(f"{op}: weight: got {weight.shape}; expected {classes}")
    if weight is not None and weight.dtype != input.dtype:
        raise DTypeError(f"{op}: weight: got {weight.dtype}; expected {input.dtype}")
    return axis


def _weighted(x: Tensor, weight: Tensor | None, axis: int) -> Tensor:
    if weight is None:
        return x
    return x * beside(weight, x.shape, tuple(i for i in range(x.ndim) if i != axis))


def _pick(
    op: str, log_p: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int,
    reduction: str, label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """-w log_p at the target classes, reduced; with probability ε at all classes alike."""
    axis = min(log_p.ndim - 1, 1)
    count, t = log_p.shape[axis], target.array
    expected = log_p.shape[:axis] + log_p.shape[axis + 1 :]
    if t.dtype.kind not in "iu":
        raise DTypeError(f"{op}: target: got {t.dtype}; expected class indices, integers")
    if t.shape != expected:
        raise ShapeError(f"{op}: target: got {t.shape}; expected {expected} for {log_p.shape}")
    kept = t != ignore_index
    t = t * kept
    wrong = check_classes(op, t, count)
    t = t if wrong is None else t.clip(0, count - 1)
    share = Tensor(kept.astype(log_p.dtype))
    places = t.reshape(*expected[:axis], 1, *expected[axis:])
    losses = -reshape(take_along(log_p, axis, places), shape=expected)
    if weight is not None:
        share = getitem(weight, index=t) * share
        losses = losses * share
    if label_smoothing:
        uniform = -_weighted(log_p, weight, axis).sum(axis) / count
        losses = losses * (1.0 - label_smoothing) + uniform * label_smoothing
    if not can_look(t) or not kept.all():
        losses = where(Tensor(kept), losses, 0.0)
    if wrong is not None:
        losses = losses + _spoiled(wrong, log_p.dtype)
    if reduction != "mean":
        return _reduced(losses, reduction)
    total = share.sum()
    if can_look(t) and not total.array:
        raise ArgumentError(f"{op}: got {t.size} targets of no weight; expected one that counts")
    return losses.sum() / total


def _spoiled(wrong: Array, dtype: Any) -> Tensor:
    """NaN where something is wrong, 0 elsewhere: what is added to a loss to stop the training."""
    return Tensor(array_module(wrong).where(wrong, math.nan, 0.0).astype(dtype))


def check_classes(op: str, classes: Array, count: int) -> Array | None:
    """Raise ArgumentError, with the place, unless all are class indices; on a device answer where
    they are not."""
    wrong = (classes < 0) | (classes >= count)
    if not can_look(classes):
        return wrong
    if wrong.any():
        row = int(wrong.reshape(-1).argmax())
        raise ArgumentError(
            f"{op}: got class {int(classes.reshape(-1)[row])} at row {row}; expected 0 to "
            f"{count - 1}, for {count} classes"
        )
    return None
