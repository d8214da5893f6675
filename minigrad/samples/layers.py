"""Layers and losses, their parameters being inputs like any other."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import nn
from minigrad.backend import Generator
from minigrad.creation import tensor
from minigrad.samples.row import Draw, Row, Shape, nonzero, normal, probability
from minigrad.tensor import Tensor


def with_parameters(module: nn.Module, values: tuple[Tensor, ...]) -> Callable[..., Tensor]:
    """The module as a function of its input, its parameters having these values."""
    places = [
        (vars(m), name, value)
        for m in module.modules() for name, value in vars(m).items()
        if isinstance(value, nn.Parameter)
    ]  # fmt: skip

    def call(*inputs: Tensor) -> Tensor:
        try:
            for (own, name, _), value in zip(places, values, strict=True):
                own[name] = value
            return module(*inputs)
        finally:
            for own, name, kept in places:
                own[name] = kept

    return call


def layer(
    name: str, make: Callable[[], nn.Module], shapes: tuple[Shape, ...], reference: Callable,
    draw: Draw = normal, targets: tuple[Any, ...] = (), **options: Any,
) -> Row:  # fmt: skip
    """A row of a layer: made anew at each call, so that it has no past.

    Its inputs, of the `shapes`, come first, then its parameters; `targets` are constants.
    """
    parameters = tuple(p.shape for p in make().parameters())

    def fn(*xs: Tensor) -> Tensor:
        module = make().to(xs[0])
        constants = (tensor(x, device=xs[0].device) for x in targets)
        return with_parameters(module, xs[len(shapes) :])(*xs[: len(shapes)], *constants)

    return Row(f"nn.{name}", fn, (*shapes, *parameters), reference, draw, **options)


def standard(x, axes, eps=1e-5):
    """(x - mean) / √(variance + eps)"""
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def _thinned(x):
    draws = Generator().manual_seed(5).uniform(x.shape, np.float32)
    return x * (draws >= 0.25) / 0.75


def _dropout() -> nn.Module:
    return nn.Dropout(0.25, generator=Generator().manual_seed(5))


def _smooth(d, beta):
    return np.where(np.abs(d) < beta, d * d / (2 * beta), np.abs(d) - beta / 2)


def _nats(x, axis=-1):
    return np.log(np.exp(x).sum(axis, keepdims=True)) - x


def _entropy(x, t):
    return -(t * np.log(x) + (1 - t) * np.log(1 - x))


_sigmoid = lambda x: 1 / (1 + np.exp(-x))
_erf = np.vectorize(math.erf, otypes=[float])
_one, _pair = ((3, 4),), ((3, 4), (3, 4))
_classes = np.array([2, 0, 3])

LAYERS = [
    layer("Linear", lambda: nn.Linear(4, 2), _one, lambda x, w, b: x @ w.T + b),
    layer("Linear, no bias", lambda: nn.Linear(4, 2, bias=False), _one, lambda x, w: x @ w.T),
    layer("Embedding", lambda: nn.Embedding(4, 2), (), lambda w: w[_classes],
          targets=(_classes,), linear=True),
    layer("Embedding, padding", lambda: nn.Embedding(4, 2, padding_idx=1), (),
          lambda w: w[_classes], targets=(_classes,), linear=True),
    layer("Identity", nn.Identity, _one, np.copy, linear=True),
    layer("Flatten", nn.Flatten, ((2, 3, 2),), lambda x: x.reshape(2, 6), linear=True),
    layer("Unflatten", lambda: nn.Unflatten(1, (2, 3)), ((2, 6),),
          lambda x: x.reshape(2, 2, 3), linear=True),
    layer("Dropout", _dropout, _one, _thinned, linear=True),
    layer("BatchNorm1d", lambda: nn.BatchNorm1d(3), ((5, 3),),
          lambda x, w, b: standard(x, 0) * w + b),
    layer("BatchNorm1d, with length", lambda: nn.BatchNorm1d(2), ((3, 2, 4),),
          lambda x, w, b: standard(x, (0, 2)) * w[:, None] + b[:, None]),
    layer("BatchNorm1d, eval", lambda: nn.BatchNorm1d(3).eval(), ((4, 3),),
          lambda x, w, b: x / np.sqrt(1 + 1e-5) * w + b),
    layer("BatchNorm1d, not affine", lambda: nn.BatchNorm1d(3, affine=False), ((4, 3),),
          lambda x: standard(x, 0)),
    layer("LayerNorm", lambda: nn.LayerNorm(4), ((3, 4),),
          lambda x, w, b: standard(x, -1) * w + b),
    layer("LayerNorm, two axes", lambda: nn.LayerNorm((2, 3)), ((2, 2, 3),),
          lambda x, w, b: standard(x, (1, 2)) * w + b),
    layer("ReLU", nn.ReLU, _one, lambda x: x * (x > 0), nonzero),
    layer("LeakyReLU", lambda: nn.LeakyReLU(0.2), _one,
          lambda x: np.where(x > 0, x, 0.2 * x), nonzero),
    layer("ELU", lambda: nn.ELU(0.5), _one,
          lambda x: np.where(x > 0, x, 0.5 * (np.exp(x) - 1)), nonzero),
    layer("GELU", nn.GELU, _one, lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2)))),
    layer("SiLU", nn.SiLU, _one, lambda x: x * _sigmoid(x)),
    layer("Softplus", lambda: nn.Softplus(2.0), _one, lambda x: np.log(1 + np.exp(2 * x)) / 2),
    layer("Softmax", lambda: nn.Softmax(1), _one, lambda x: np.exp(-_nats(x))),
    layer("LogSoftmax", lambda: nn.LogSoftmax(-1), _one, lambda x: -_nats(x)),
    layer("Tanh", nn.Tanh, _one, np.tanh),
    layer("Sigmoid", nn.Sigmoid, _one, _sigmoid),
    layer("LogSigmoid", nn.LogSigmoid, _one, lambda x: np.log(_sigmoid(x))),
    layer("MSELoss", nn.MSELoss, _pair, lambda x, t: ((x - t) ** 2).mean()),
    layer("MSELoss, each", lambda: nn.MSELoss(reduction="none"), _pair, lambda x, t: (x - t) ** 2),
    layer("L1Loss", nn.L1Loss, _pair, lambda x, t: np.abs(x - t).mean()),
    layer("SmoothL1Loss", lambda: nn.SmoothL1Loss(beta=0.5), _pair,
          lambda x, t: _smooth(x - t, 0.5).mean()),
    layer("HuberLoss", lambda: nn.HuberLoss(reduction="sum", delta=2.0), _pair,
          lambda x, t: 2.0 * _smooth(x - t, 2.0).sum()),
    layer("KLDivLoss", lambda: nn.KLDivLoss(reduction="batchmean"), _pair,
          lambda x, t: (t * (np.log(t) - x)).sum() / len(x), probability),
    layer("KLDivLoss, logarithms", lambda: nn.KLDivLoss(log_target=True), _pair,
          lambda x, t: (np.exp(t) * (t - x)).mean()),
    layer("BCELoss", nn.BCELoss, _pair, lambda x, t: _entropy(x, t).mean(), probability),
    layer("BCEWithLogitsLoss", nn.BCEWithLogitsLoss, _pair,
          lambda x, t: _entropy(_sigmoid(x), t).mean(), nonzero),
    layer("BCEWithLogitsLoss, sum", lambda: nn.BCEWithLogitsLoss(reduction="sum"), _pair,
          lambda x, t: _entropy(_sigmoid(x), t).sum(), nonzero),
    layer("CrossEntropyLoss", nn.CrossEntropyLoss, _one,
          lambda x: _nats(x)[range(3), _classes].mean(), targets=(_classes,)),
    layer("CrossEntropyLoss, probabilities", nn.CrossEntropyLoss, _pair,
          lambda x, t: (t * _nats(x)).sum(1).mean()),
    layer("NLLLoss", nn.NLLLoss, _one, lambda x: -x[range(3), _classes].mean(),
          targets=(_classes,), linear=True),
]  # fmt: skip
