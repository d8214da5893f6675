r"""Distributions of a real number: Normal, Laplace and Uniform.

Each draw is a function of its parameters and of noise that comes from outside, so it has a
derivative: x = location + scale · noise.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from minigrad.backend import Generator, array_module
from minigrad.distributions.distribution import (
    Constraint,
    Distribution,
    broadcast_all,
    check,
    only_one,
    positive,
    real,
    unit_interval,
)
from minigrad.distributions.quantile import probit
from minigrad.ops.arithmetic import where
from minigrad.ops.sampling import reparameterize, stream
from minigrad.tensor import Tensor

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class Normal(Distribution):
    r"""N(μ, σ²), the Gaussian: p(x) = e^(-½ z²) / (σ √(2π)) with z = (x - μ) / σ.

    Exactly one of `scale` σ, `log_scale` ln σ and `log_var` ln σ² is given; the others follow, and
    nothing is computed by way of another form: a log_var of ±50 does no harm. The logarithms are
    given by name only, for exp(log_var) in the place of exp(log_var / 2) is a common mistake.

    >>> import minigrad as mg
    >>> q = Normal(mg.tensor([0.0, 1.0]), log_var=mg.tensor([0.0, -2.0]))
    >>> q.scale
    tensor([1.0000, 0.3679])
    >>> q.log_prob(mg.tensor([0.0, 1.0]))
    tensor([-0.9189,  0.0811])

    Raises ArgumentError unless exactly one spread is given, σ > 0 and no number is NaN; ShapeError
    if the shapes do not broadcast. Course: V1; deck 000 takes μ = 0, σ = 0.1.
    """

    arg_constraints: ClassVar = {"loc": real, "scale": positive, "log_scale": real, "log_var": real}
    has_rsample = True

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float | None = None,
        *,
        log_scale: Tensor | float | None = None,
        log_var: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        spread = only_one("Normal", scale=scale, log_scale=log_scale, log_var=log_var)
        self._parameters = broadcast_all("Normal", loc=loc, **spread)
        self.loc = self._parameters["loc"]
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def scale(self) -> Tensor:
        """σ"""
        given = self._parameters.get("scale")
        return self.log_scale.exp() if given is None else given

    @property
    def log_scale(self) -> Tensor:
        """ln σ"""
        given = self._parameters
        if "log_var" in given:
            return given["log_var"] * 0.5
        return given["log_scale"] if "log_scale" in given else given["scale"].log()

    @property
    def log_var(self) -> Tensor:
        """ln σ²"""
        given = self._parameters.get("log_var")
        return self.log_scale * 2.0 if given is None else given

    @property
    def mean(self) -> Tensor:
        """μ"""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """σ²"""
        given = self._parameters.get("scale")
        return self.log_var.exp() if given is None else given.square()

    @property
    def stddev(self) -> Tensor:
        """σ"""
        return self.scale

    def in_scales(self, difference: Tensor) -> Tensor:
        """A difference divided by σ."""
        given = self._parameters.get("scale")
        return difference * (-self.log_scale).exp() if given is None else difference / given

    def rsample(
        self, sample_shape: Sequence[int] = (), *, generator: Generator | None = None
    ) -> Tensor:
        """x = μ + σ ε with ε ~ N(0, 1): ∂x/∂μ = 1, ∂x/∂σ = ε. Course: V7."""
        shape = self._extended_shape(sample_shape)
        eps = stream(generator, self.loc.device).normal(shape, self.loc.dtype)
        return reparameterize(self.loc, self.scale, Tensor(eps))

    def log_prob(self, value: Tensor) -> Tensor:
        """-½ z² - ln σ - ½ ln 2π"""
        self._check_value("log_prob", value)
        return self.in_scales(value - self.loc).square() * -0.5 - self.log_scale - HALF_LOG_2PI

    def cdf(self, value: Tensor) -> Tensor:
        """Φ(z) = ½ (1 + erf(z / √2))"""
        self._check_value("cdf", value)
        return (self.in_scales(value - self.loc) * math.sqrt(0.5)).erf() * 0.5 + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        """μ + σ Φ⁻¹(value); evenly spaced probabilities give the grid of a 2-D manifold (V11)."""
        self._check_value("icdf", value, unit_interval)
        return self.loc + self.scale * probit(value)

    def entropy(self) -> Tensor:
        """½ + ½ ln 2π + ln σ"""
        return self.log_scale + (0.5 + HALF_LOG_2PI)


class Laplace(Distribution):
    r"""p(x) = e^(-|x - μ| / b) / 2b: `loc` μ and `scale` b > 0; its logarithm is the L1 loss.

    >>> import minigrad as mg
    >>> Laplace(0.0, 1.0).log_prob(mg.tensor([-1.0, 0.0]))
    tensor([-1.6931, -0.6931])

    Raises ArgumentError unless b > 0 and μ is a number, ShapeError if they do not broadcast.
    """

    arg_constraints: ClassVar = {"loc": real, "scale": positive}
    has_rsample = True

    def __init__(
        self, loc: Tensor | float, scale: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self._parameters = broadcast_all("Laplace", loc=loc, scale=scale)
        self.loc, self.scale = self._parameters["loc"], self._parameters["scale"]
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """μ"""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """2 b²"""
        return self.scale.square() * 2.0

    @property
    def stddev(self) -> Tensor:
        """√2 b"""
        return self.scale * math.sqrt(2.0)

    def rsample(
        self, sample_shape: Sequence[int] = (), *, generator: Generator | None = None
    ) -> Tensor:
        """x = μ - b sign(u) ln(1 - |u|) with u ~ U(-1, 1)"""
        shape, xp = self._extended_shape(sample_shape), array_module(self.loc.array)
        u = stream(generator, self.loc.device).uniform(shape, self.loc.dtype) * 2.0 - 1.0
        u = xp.maximum(u, float(np.finfo(u.dtype).eps) - 1.0)  # ln 0 is not drawn
        return reparameterize(self.loc, self.scale, Tensor(-xp.sign(u) * xp.log1p(-xp.abs(u))))

    def log_prob(self, value: Tensor) -> Tensor:
        """-|x - μ| / b - ln 2b; its slope at x = μ is taken as 0"""
        self._check_value("log_prob", value)
        return (value - self.loc).abs() / -self.scale - (self.scale * 2.0).log()

    def cdf(self, value: Tensor) -> Tensor:
        """½ - ½ sign(x - μ) (e^(-|x - μ| / b) - 1)"""
        self._check_value("cdf", value)
        d = value - self.loc
        return 0.5 - 0.5 * d.sign() * (d.abs() / -self.scale).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        """μ - b sign(t) ln(1 - 2 |t|) with t = value - ½"""
        self._check_value("icdf", value, unit_interval)
        t = value - 0.5
        return self.loc - self.scale * t.sign() * (t.abs() * -2.0).log1p()

    def entropy(self) -> Tensor:
        """1 + ln 2b"""
        return (self.scale * 2.0).log() + 1.0


class Uniform(Distribution):
    r"""p(x) = 1 / (high - low) for low ≤ x < high, 0 elsewhere.

    >>> Uniform(0.0, 4.0).entropy().exp().item()
    4.0

    Raises ArgumentError unless low < high, ShapeError if they do not broadcast.
    """

    arg_constraints: ClassVar = {"low": real, "high": real}
    has_rsample = True

    def __init__(
        self, low: Tensor | float, high: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self._parameters = broadcast_all("Uniform", low=low, high=high)
        self.low, self.high = self._parameters["low"], self._parameters["high"]
        super().__init__(self.low.shape, validate_args=validate_args)
        if self._validate_args:
            above = Constraint(lambda x: x > self.low.array, "more than low")
            check("Uniform", "high", self.high, above)

    @property
    def support(self) -> Constraint:
        """[low, high]"""
        low, high = self.low.array, self.high.array
        return Constraint(lambda x: (low <= x) & (x <= high), "low ≤ value ≤ high")

    @property
    def mean(self) -> Tensor:
        """(low + high) / 2"""
        return (self.low + self.high) * 0.5

    @property
    def variance(self) -> Tensor:
        """(high - low)² / 12"""
        return (self.high - self.low).square() / 12.0

    @property
    def stddev(self) -> Tensor:
        """(high - low) / √12"""
        return (self.high - self.low) / math.sqrt(12.0)

    def rsample(
        self, sample_shape: Sequence[int] = (), *, generator: Generator | None = None
    ) -> Tensor:
        """x = low + (high - low) u with u ~ U[0, 1)"""
        shape = self._extended_shape(sample_shape)
        u = stream(generator, self.low.device).uniform(shape, self.low.dtype)
        return reparameterize(self.low, self.high - self.low, Tensor(u))

    def log_prob(self, value: Tensor) -> Tensor:
        """-ln(high - low), and -∞ where the density is 0"""
        self._check_value("log_prob", value)
        inside = (value >= self.low) & (value < self.high)
        return where(inside, -(self.high - self.low).log(), -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """(x - low) / (high - low), held between 0 and 1"""
        self._check_value("cdf", value)
        return ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)

    def icdf(self, value: Tensor) -> Tensor:
        """low + (high - low) value"""
        self._check_value("icdf", value, unit_interval)
        return self.low + (self.high - self.low) * value

    def entropy(self) -> Tensor:
        """ln(high - low)"""
        return (self.high - self.low).log()
