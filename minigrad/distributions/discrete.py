r"""Distributions of a choice: Bernoulli between 0 and 1, Categorical between K classes.

Either probabilities or logits are given, and each follows from the other. As in PyTorch, the
logarithm of a probability holds it between ε and 1 - ε, the machine's precision: an outcome of
probability 0 costs 36 nats in float64 and 16 in float32, not ∞. Logits are not bounded.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from minigrad.backend import Array, Generator, array_module
from minigrad.distributions.distribution import (
    Constraint,
    Distribution,
    as_tensors,
    boolean,
    filled,
    only_one,
    real,
    unit_interval,
)
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn import functional as F
from minigrad.ops.arithmetic import equal, where
from minigrad.ops.elementwise import log, log1p, sigmoid
from minigrad.ops.reduction import log_softmax, softmax
from minigrad.ops.sampling import stream
from minigrad.ops.shape import broadcast_shape, getitem
from minigrad.tensor import Tensor, int64


def _bounded(probs: Tensor) -> Tensor:
    """Probabilities, held between ε and 1 - ε."""
    eps = float(np.finfo(probs.dtype).eps)
    return probs.clamp(eps, 1.0 - eps)


class Bernoulli(Distribution):
    r"""x = 1 with probability p, else 0: `probs` p, or `logits` l = ln(p / (1 - p)).

    >>> import minigrad as mg
    >>> Bernoulli(logits=mg.tensor([-1e4, 1.0])).log_prob(mg.tensor([1.0, 0.0]))
    tensor([-1.0000e+04, -1.3133e+00])

    Raises ArgumentError unless exactly one is given and 0 ≤ p ≤ 1. Course: V6, V19.
    """

    arg_constraints: ClassVar = {"probs": unit_interval, "logits": real}
    is_discrete = True

    def __init__(
        self,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        chosen = only_one("Bernoulli", probs=probs, logits=logits)
        self._parameters = as_tensors("Bernoulli", **chosen)
        (given,) = self._parameters.values()
        super().__init__(given.shape, validate_args=validate_args)

    @property
    def probs(self) -> Tensor:
        """p = σ(l)"""
        return self.chance(1)

    @property
    def logits(self) -> Tensor:
        """l = ln p - ln(1 - p)"""
        if "logits" in self._parameters:
            return self._parameters["logits"]
        p = _bounded(self._parameters["probs"])
        return log(p) - log1p(-p)

    def chance(self, value: int) -> Tensor:
        """The probability of `value`, 0 or 1: p or 1 - p = σ(-l)."""
        if "probs" in self._parameters:
            p = self._parameters["probs"]
            return p if value else 1.0 - p
        l = self._parameters["logits"]
        return sigmoid(l if value else -l)

    def never(self, value: int) -> Tensor:
        """Whether `value`, 0 or 1, has probability 0: exactly, not because σ(l) rounds to it."""
        if "probs" in self._parameters:
            return equal(self._parameters["probs"], 1.0 - value)
        return equal(self._parameters["logits"], math.inf if value == 0 else -math.inf)

    @property
    def support(self) -> Constraint:
        """0 and 1"""
        return boolean

    @property
    def mean(self) -> Tensor:
        """p"""
        return self.probs

    @property
    def variance(self) -> Tensor:
        """p (1 - p)"""
        return self.chance(1) * self.chance(0)

    def sample(
        self, sample_shape: Sequence[int] = (), *, generator: Generator | None = None
    ) -> Tensor:
        """1.0 where a draw from U[0, 1) lies below p, else 0.0."""
        shape, p = self._extended_shape(sample_shape), self.probs
        u = stream(generator, p.device).uniform(shape, p.dtype)
        return Tensor((u < p.array).astype(p.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        """x ln p + (1 - x) ln(1 - p) = x l - ln(1 + eˡ)

        With validate_args=False x may be any number from 0 to 1, as the grey of a pixel is in decks
        001 and 004; then e^log_prob is neither a probability nor a density.
        """
        self._check_value("log_prob", value)
        l = self.logits
        shape = broadcast_shape("Bernoulli.log_prob", l.shape, value.shape)
        return -_nats(l.expand(shape), value.to(l.dtype).expand(shape))

    def entropy(self) -> Tensor:
        """-p ln p - (1 - p) ln(1 - p)"""
        return _nats(self.logits, self.probs)


def _nats(logits: Tensor, target: Tensor) -> Tensor:
    """ln(1 + eˡ) - t l, entry by entry; a loss refuses an empty batch, a distribution does not."""
    if logits.numel():
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return F.binary_cross_entropy_with_logits_composed(logits, target, reduction="none")


class Categorical(Distribution):
    r"""x = k with probability p_k, one of K classes 0 … K - 1, along the last axis.

    `probs` are divided by their sum; from `logits` l, p = softmax(l). The attributes `probs` and
    `logits` are both normalised: Σ p = 1 and logits = ln p.

    >>> import minigrad as mg
    >>> Categorical(mg.tensor([1.0, 3.0])).log_prob(mg.tensor([0, 1])).exp()
    tensor([0.2500, 0.7500])

    Raises ArgumentError unless exactly one is given, p ≥ 0 with a positive sum, and logits are
    below ∞; ShapeError without an axis of classes.
    """

    is_discrete = True

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        op = "Categorical"
        ((name, given),) = as_tensors(op, **only_one(op, probs=probs, logits=logits)).items()
        if not given.ndim or not given.shape[-1]:
            raise ShapeError(f"{op}: {name}: got shape {given.shape}; expected (…, K), K classes")
        if validate_args is not False:
            _check_classes(name, given.array)
        if name == "probs":
            given = given / given.sum(-1, keepdim=True)
        else:
            given = log_softmax(given, dim=-1)
        self._parameters = {name: given}
        self.num_classes = given.shape[-1]
        super().__init__(given.shape[:-1], validate_args=validate_args)

    @property
    def probs(self) -> Tensor:
        """p"""
        given = self._parameters.get("probs")
        return softmax(self.logits, dim=-1) if given is None else given

    @property
    def logits(self) -> Tensor:
        """ln p"""
        if "logits" in self._parameters:
            return self._parameters["logits"]
        return log(_bounded(self._parameters["probs"]))

    def never(self) -> Tensor:
        """Whether a class has probability 0: exactly, not because e^logit rounds to it."""
        if "probs" in self._parameters:
            return equal(self._parameters["probs"], 0.0)
        return equal(self._parameters["logits"], -math.inf)

    @property
    def support(self) -> Constraint:
        """0 … K - 1"""
        last = self.num_classes - 1
        return Constraint(
            lambda x: (x >= 0) & (x <= last) & (x % 1 == 0), f"a class, from 0 to {last}"
        )

    @property
    def mean(self) -> Tensor:
        """NaN: classes are names, not numbers."""
        return filled(self.probs, self.batch_shape, math.nan)

    @property
    def variance(self) -> Tensor:
        """NaN: classes are names, not numbers."""
        return filled(self.probs, self.batch_shape, math.nan)

    def sample(
        self, sample_shape: Sequence[int] = (), *, generator: Generator | None = None
    ) -> Tensor:
        """The first class k with u < p_0 + … + p_k for u ~ U[0, 1), as int64."""
        shape, p = self._extended_shape(sample_shape), self.probs.array
        upto = p.cumsum(-1, dtype=np.float64)
        upto /= upto[..., -1:]  # the last is 1, whatever was rounded: u is below it
        u = stream(generator, self.probs.device).uniform((*shape, 1), np.float64)
        return Tensor((u >= upto).sum(-1).astype(int64))

    def log_prob(self, value: Tensor) -> Tensor:
        """ln p_x"""
        self._check_value("log_prob", value)
        shape = broadcast_shape("Categorical.log_prob", value.shape, self.batch_shape)
        xp = array_module(value.array)
        classes = xp.broadcast_to(value.array, shape).astype(int64)
        index = [xp.arange(n).reshape(-1, *[1] * (len(shape) - i - 1)) for i, n in enumerate(shape)]
        spread = self.logits.expand(*shape, self.num_classes)
        return getitem(spread, index=(*index, classes))

    def entropy(self) -> Tensor:
        """-Σ p ln p, where 0 ln 0 = 0"""
        logits = self.logits
        return -(self.probs * where(equal(logits, -math.inf), 0.0, logits)).sum(-1)


def _check_classes(name: str, x: Array) -> None:
    """Raise ArgumentError unless every row is one of weights, or of logits."""
    xp = array_module(x)
    if name == "logits":
        wrong, words = (xp.isnan(x) | (x == math.inf)).any(-1), "numbers below ∞"
        wrong |= (x == -math.inf).all(-1)
        words += ", not all of them -∞"
    else:
        total = x.sum(-1)
        wrong = ~((x >= 0).all(-1) & (total > 0) & (total < math.inf))
        words = "finite numbers ≥ 0 with a positive sum"
    if wrong.any():
        place = tuple(map(int, np.unravel_index(int(wrong.argmax()), wrong.shape)))
        raise ArgumentError(f"Categorical: {name}: got {x[place].tolist()}; expected {words}")
