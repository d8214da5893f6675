r"""What every distribution shares: its shapes, the checks of what it is given, and draws.

A distribution is a batch of them, one for each entry of `batch_shape`; a draw from one has
`event_shape`, which is () for a number and (n,) for a vector:

    sample(sample_shape)   sample_shape + batch_shape + event_shape
    log_prob(value)        the shape of the value without its event, broadcast with the batch
    entropy()              batch_shape

Logarithms are natural: log_prob, entropy and divergences are in nats.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np

from minigrad.backend import CPU, Array, Generator, array_module, to_device
from minigrad.engine import Variable, no_grad
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.ops.reduction import sum as total
from minigrad.ops.shape import broadcast_shape, result_type
from minigrad.tensor import Tensor, float32

Shape = tuple[int, ...]

# ---------------------------------------------------------------- what an argument must be


class Constraint(NamedTuple):
    """A property of numbers, tested entry by entry, and the words for it in a message."""

    holds: Callable[[Array], Array]
    words: str


real = Constraint(lambda x: x == x, "numbers, not NaN")
positive = Constraint(lambda x: x > 0, "positive numbers")
unit_interval = Constraint(lambda x: (x >= 0) & (x <= 1), "numbers from 0 to 1")
boolean = Constraint(lambda x: (x == 0) | (x == 1), "0 or 1")


def check(op: str, name: str, x: Tensor, constraint: Constraint) -> None:
    """Raise ArgumentError with the first entry of x that is not as it must be."""
    array = x.array
    wrong = ~constraint.holds(array)
    if wrong.any():
        place = tuple(map(int, np.unravel_index(int(wrong.argmax()), wrong.shape)))
        where = f" at {place}" if place else ""
        got = array_module(array).broadcast_to(array, wrong.shape)[place].item()
        raise ArgumentError(f"{op}: {name}: got {got}{where}; expected {constraint.words}")


def as_tensors(op: str, **values: Any) -> dict[str, Tensor]:
    """Tensors and numbers as tensors of one float type; a number takes that of the tensors."""
    tensors = [v for v in values.values() if isinstance(v, Variable)]
    kinds = [v.dtype for v in tensors if v.dtype.kind == "f"]
    made = {}
    for name, v in values.items():
        if isinstance(v, (int, float, np.number)):
            number = np.asarray(v, kinds[0] if kinds else float32)
            v = Tensor(to_device(number, tensors[0].device if tensors else CPU))
        if not isinstance(v, Variable):
            raise DTypeError(
                f"{op}: {name}: got {type(v).__name__}; expected a tensor or a number. "
                "Use minigrad.tensor(...)"
            )
        if v.dtype.kind != "f":
            raise DTypeError(f"{op}: {name}: got {v.dtype}; expected a float type. Use .float()")
        made[name] = v
    dtype = result_type(*(v.array for v in made.values()))
    return {name: v.to(dtype) for name, v in made.items()}


def broadcast_all(op: str, **values: Any) -> dict[str, Tensor]:
    """Tensors and numbers as float tensors of one shape; ShapeError if there is none."""
    made = as_tensors(op, **values)
    shape = broadcast_shape(op, *(v.shape for v in made.values()))
    return {name: v if v.shape == shape else v.expand(shape) for name, v in made.items()}


def only_one(op: str, **values: Any) -> dict[str, Any]:
    """Of several ways to say the same thing, the one that was chosen."""
    given = {name: v for name, v in values.items() if v is not None}
    if len(given) != 1:
        *others, last = values
        raise ArgumentError(
            f"{op}: got {' and '.join(given) or 'none'}; expected exactly one of "
            f"{', '.join(others)} and {last}"
        )
    return given


def sum_rightmost(x: Tensor, n: int) -> Tensor:
    """The sum over the last n axes."""
    return total(x, dim=tuple(range(-n, 0))) if n else x


# ---------------------------------------------------------------- the base class


class Distribution:
    """A batch of distributions with their densities or probabilities, moments and draws.

    A subclass states `arg_constraints` and `support`, sets the parameters as `self._parameters`,
    and calls this class's constructor, which checks them unless `validate_args` is False; to know
    the numbers on a device is to wait for it.
    `has_rsample` says whether a draw has a derivative, `is_discrete` whether log_prob is of
    probabilities and not of densities.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    has_rsample = False
    is_discrete = False
    _parameters: Mapping[str, Tensor] = MappingProxyType({})

    def __init__(
        self,
        batch_shape: Shape = (),
        event_shape: Shape = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = tuple(batch_shape), tuple(event_shape)
        self._validate_args = validate_args is not False
        if self._validate_args:
            for name, x in self._parameters.items():
                if name in self.arg_constraints:
                    check(type(self).__name__, name, x, self.arg_constraints[name])

    @property
    def batch_shape(self) -> Shape:
        """The shape of the batch: one distribution for each entry."""
        return self._batch_shape

    @property
    def event_shape(self) -> Shape:
        """The shape of one draw from one of them."""
        return self._event_shape

    @property
    def support(self) -> Constraint:
        """What a draw can be."""
        return real

    @property
    def mean(self) -> Tensor:
        """E[x]"""
        raise NotImplementedError(self._lacks("mean"))

    @property
    def variance(self) -> Tensor:
        """E[(x - E[x])²], entry by entry"""
        raise NotImplementedError(self._lacks("variance"))

    @property
    def stddev(self) -> Tensor:
        """The root of the variance."""
        return self.variance.sqrt()

    def log_prob(self, value: Tensor) -> Tensor:
        """ln p(value), the density's or the probability's logarithm, in nats.

        Raises ShapeError if the value does not broadcast with the batch and event, ArgumentError if
        it lies outside the support.
        """
        raise NotImplementedError(self._lacks("log_prob"))

    def cdf(self, value: Tensor) -> Tensor:
        """P(x ≤ value)"""
        raise NotImplementedError(self._lacks("cdf"))

    def icdf(self, value: Tensor) -> Tensor:
        """The x with cdf(x) = value, a probability."""
        raise NotImplementedError(self._lacks("icdf"))

    def entropy(self) -> Tensor:
        """-E[ln p(x)], in nats"""
        raise NotImplementedError(self._lacks("entropy"))

    def rsample(
        self, sample_shape: Sequence[int] = (), *, generator: Generator | None = None
    ) -> Tensor:
        """Draws that are functions of the parameters and of noise, so that they have a derivative.

        The noise comes from `generator`, or from the default one.
        """
        raise NotImplementedError(
            f"{type(self).__name__}: rsample: a draw is no smooth function of the parameters. Use "
            "sample, and log_prob for a gradient"
        )

    def sample(
        self, sample_shape: Sequence[int] = (), *, generator: Generator | None = None
    ) -> Tensor:
        """Draws without a derivative, `sample_shape` of them."""
        with no_grad():
            return self.rsample(sample_shape, generator=generator)

    def expand(self, batch_shape: Sequence[int]) -> "Distribution":
        """The same, repeated to a larger batch; no memory is copied."""
        lead = len(self._batch_shape)
        wider = {
            name: x.expand(*batch_shape, *x.shape[lead:]) for name, x in self._parameters.items()
        }
        return type(self)(**wider, validate_args=False)

    def __repr__(self) -> str:
        given = (
            f"{name}: {x.item() if x.numel() == 1 else x.shape}"
            for name, x in self._parameters.items()
        )
        return f"{type(self).__name__}({', '.join(given)})"

    # ------------------------------------------------------------ for subclasses

    def _lacks(self, what: str) -> str:
        return f"{type(self).__name__}: {what}: there is none"

    def _extended_shape(self, sample_shape: Sequence[int]) -> Shape:
        """The shape of `sample_shape` draws."""
        sizes = isinstance(sample_shape, Sequence) and not isinstance(sample_shape, str)
        if not sizes or not all(isinstance(n, (int, np.integer)) and n >= 0 for n in sample_shape):
            raise ArgumentError(
                f"{type(self).__name__}: sample_shape: got {sample_shape!r}; expected a tuple of "
                "sizes, such as (5,)"
            )
        return tuple(int(n) for n in sample_shape) + self._batch_shape + self._event_shape

    def _check_shape(self, op: str, value: Tensor) -> None:
        """Raise unless the value ends in an event, and broadcasts with the batch."""
        if not isinstance(value, Variable):
            raise DTypeError(
                f"{op}: value: got {type(value).__name__}; expected a tensor. "
                "Use minigrad.tensor(...)"
            )
        n = len(self._event_shape)
        event = value.shape[value.ndim - n :] if value.ndim >= n else None
        if event != self._event_shape:
            raise ShapeError(
                f"{op}: value: got shape {value.shape}; expected it to end in {self._event_shape}, "
                "the event"
            )
        broadcast_shape(op, value.shape, self._batch_shape + self._event_shape)

    def _check_value(self, op: str, value: Tensor, constraint: Constraint | None = None) -> None:
        """Raise unless the value fits the shapes and, if arguments are validated, the support."""
        op = f"{type(self).__name__}.{op}"
        self._check_shape(op, value)
        if self._validate_args:
            check(op, "value", value, constraint or self.support)


def filled(like: Tensor, shape: Shape, value: float) -> Tensor:
    """A tensor of one value, of the type and on the device of another."""
    return Tensor(array_module(like.array).full(shape, value, like.dtype))
