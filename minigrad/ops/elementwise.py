r"""Functions of one tensor, entry by entry: y = f(x), gradient g f′(x).

Where f has a kink, its convention stands in its docstring. Every form is the one that is finite
and accurate at the extremes.
"""

import math
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.backend import array_module
from minigrad.engine import Primitive, Variable, primitive
from minigrad.errors import ArgumentError, DTypeError
from minigrad.ops.arithmetic import Binary, equal, greater_equal, less_equal, where
from minigrad.ops.shape import cast


class Unary(Primitive):
    """A primitive of one float tensor; integers become float32 first, as in PyTorch."""

    def __call__(self, x: Any, *args: Any, **params: Any) -> Variable:
        if isinstance(x, Variable):
            if x.array.dtype.kind != "f":
                x = cast(x, dtype=np.dtype(np.float32))
            if not (self.parameters or args or params):
                return self.output(self.forward(x.array), x.family, x.requires_grad, (x,))
        return super().__call__(x, *args, **params)


# ---------------------------------------------------------------- exponentials and powers


@Unary
def exp(x):
    """y = eˣ"""
    return array_module(x).exp(x)


@Unary
def expm1(x):
    """y = eˣ - 1, accurate near 0"""
    return array_module(x).expm1(x)


@Unary
def log(x):
    """y = ln x; -∞ at 0, NaN below"""
    return array_module(x).log(x)


@Unary
def log1p(x):
    """y = ln(1 + x), accurate near 0"""
    return array_module(x).log1p(x)


exp.vjp(lambda g, y, x: g * y)
expm1.vjp(lambda g, y, x: g * (y + 1.0))
log.vjp(lambda g, y, x: g / x)
log1p.vjp(lambda g, y, x: g / (x + 1.0))


@Unary
def sqrt(x):
    """y = √x; its derivative at 0 is ∞"""
    return array_module(x).sqrt(x)


@primitive
def square(x):
    """y = x²"""
    return x * x


@Unary
def reciprocal(x):
    """y = 1 / x"""
    return 1.0 / x


sqrt.vjp(lambda g, y, x: g / (y * 2.0))
square.vjp(lambda g, y, x: g * (x * 2.0))
reciprocal.vjp(lambda g, y, x: -g * (y * y))


@Binary
def power(a, b):
    """y = aᵇ; 0⁰ = 1"""
    try:
        return a**b
    except ValueError:  # of integers, to negative powers
        kind = getattr(a, "dtype", type(a).__name__)
        power = b if isinstance(b, int) else "of negative integers"
        raise DTypeError(
            f"pow: got {kind} to the power {power}; expected floats. Use .float()"
        ) from None


def _power_rule_base(g, y, a, b):
    """∂aᵇ/∂a = b aᵇ⁻¹, and 0 where b = 0"""
    if not isinstance(b, Variable):
        return g * (a ** (b - 1) * b) if b != 0 else zeros_like(g)
    constant = equal(b, 0.0)
    return where(constant, 0.0, g * b * a ** (b - where(constant, 0.0, 1.0)))


def _power_rule_exponent(g, y, a, b):
    """∂aᵇ/∂b = aᵇ ln a, and 0 where a = 0 and b ≥ 0"""
    if not isinstance(a, Variable):
        return g * y * math.log(a) if a > 0 else g * (0.0 if a == 0 else math.nan)
    constant = equal(a, 0.0) * greater_equal(b, 0.0)
    return where(constant, 0.0, g * y * log(where(constant, 1.0, a)))


power.vjp(_power_rule_base, _power_rule_exponent)

# ---------------------------------------------------------------- size, sign and waves


@primitive
def zeros_like(x):
    """y = 0, of the shape and type of x; no derivative"""
    return array_module(x).zeros_like(x)


@primitive
def isfinite(x):
    """y = [x is neither infinite nor NaN]"""
    return array_module(x).isfinite(x)


@primitive
def isnan(x):
    """y = [x is NaN]"""
    return array_module(x).isnan(x)


@primitive
def round(x):
    """y = the whole number next to x, the even one of two; its derivative is 0 everywhere"""
    return array_module(x).rint(x).astype(x.dtype, copy=False)


@primitive
def sign(x):
    """y = -1, 0 or 1; its derivative is 0 everywhere, at 0 too"""
    return array_module(x).sign(x)


@primitive
def abs(x):
    """y = |x|; |0|′ = 0"""
    return array_module(x).abs(x)


@Unary
def sin(x):
    """y = sin x"""
    return array_module(x).sin(x)


@Unary
def cos(x):
    """y = cos x"""
    return array_module(x).cos(x)


round.vjp(lambda g, y, x: zeros_like(g))
sign.vjp(lambda g, y, x: zeros_like(g))
abs.vjp(lambda g, y, x: g * sign(x))
sin.vjp(lambda g, y, x: g * cos(x))
cos.vjp(lambda g, y, x: -g * sin(x))


@primitive
def clamp(x, min=None, max=None):
    """y = x held between the numbers min and max; the derivative is 1 on the bounds, 0 beyond"""
    if min is None and max is None:
        raise ArgumentError("clamp: got neither min nor max; expected at least one of them")
    if x.dtype.kind != "f" and (isinstance(min, float) or isinstance(max, float)):
        x = x.astype(np.float32)
    y = array_module(x).clip(x, min, max)
    return y.astype(x.dtype, copy=False)  # NumPy's scalars would widen float32


@primitive
def _between(x, min=None, max=None):
    inside = True if min is None else x >= min
    return inside if max is None else inside & (x <= max)


clamp.vjp(lambda g, y, x, min, max: g * _between(x, min=min, max=max))

# ---------------------------------------------------------------- sigmoids


@Unary
def tanh(x):
    """y = tanh x"""
    return array_module(x).tanh(x)


def sigmoid_array(x):
    """σ(x) of an array; where e⁻ˣ overflows to ∞, 1 / ∞ = 0 is right.

    It errs as NumPy's exponential does, in float32 by 2.5 units in the last place at most, and by
    half a unit each for the sum and the quotient.
    """
    xp = array_module(x)
    y = -x
    with np.errstate(over="ignore"):
        y = xp.exp(y)
    y += 1.0
    return xp.reciprocal(y)


@Unary
def sigmoid(x):
    """y = σ(x) = 1 / (1 + e⁻ˣ)"""
    return sigmoid_array(x)


@Unary
def logsigmoid(x):
    """y = ln σ(x) = min(x, 0) - ln(1 + e^-|x|)"""
    xp = array_module(x)
    return xp.minimum(x, 0.0) - xp.log1p(xp.exp(-xp.abs(x)))


@Unary
def softplus(x):
    """y = ln(1 + eˣ) = max(x, 0) + ln(1 + e^-|x|)"""
    xp = array_module(x)
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))


@Binary
def _tanh_slope(g, y):
    return g - g * (y * y)


@Binary
def _sigmoid_slope(g, y):
    return g * (y - y * y)


tanh.vjp(lambda g, y, x: _tanh_slope(g, y))
_tanh_slope.vjp(lambda h, z, g, y: _tanh_slope(h, y), lambda h, z, g, y: h * g * y * -2.0)
sigmoid.vjp(lambda g, y, x: _sigmoid_slope(g, y))
_sigmoid_slope.vjp(
    lambda h, z, g, y: _sigmoid_slope(h, y), lambda h, z, g, y: h * g * (1.0 - 2.0 * y)
)
logsigmoid.vjp(lambda g, y, x: g * sigmoid(-x))
softplus.vjp(lambda g, y, x: g * sigmoid(x))


@Unary
def silu(x):
    """y = x σ(x)"""
    return x * sigmoid_array(x)


def _silu_rule(g, y, x):
    """(x σ)′ = σ + x σ (1 - σ) = σ + y (1 - σ)"""
    s = sigmoid(x)
    return g * (s + y * (1.0 - s))


silu.vjp(_silu_rule)

# ---------------------------------------------------------------- rectifiers


@primitive
def relu(x):
    """y = max(x, 0); relu′(0) = 0"""
    return array_module(x).maximum(x, 0)


@Binary
def _gate(g, y):
    """g if y > 0, else 0"""
    if gate := kernels.find("gate", array_module(g), g.dtype):
        return gate(g, y, 0.0)
    return g * (y > 0)


relu.vjp(lambda g, y, x: _gate(g, y))
_gate.vjp(lambda h, z, g, y: _gate(h, y), lambda h, z, g, y: zeros_like(h))


@Unary
def leaky_relu(x, negative_slope=0.01):
    """y = x if x > 0, else slope · x; its derivative at 0 is the slope"""
    xp = array_module(x)
    slope = float(negative_slope)
    if not 0 < slope <= 1:
        return xp.maximum(x, 0.0) + slope * xp.minimum(x, 0.0)
    y = xp.multiply(x, slope, out=xp.empty_like(x))
    return xp.maximum(x, y, out=y)  # the larger of the two


@primitive
def _leaky_gate(g, x, *, negative_slope):
    """g if x > 0, else slope · g"""
    if gate := kernels.find("gate", array_module(g), g.dtype):
        return gate(g, x, negative_slope)
    slope = array_module(x).multiply(x > 0, 1.0 - negative_slope, dtype=x.dtype)
    slope += negative_slope
    slope *= g
    return slope


@Unary
def elu(x, alpha=1.0):
    """y = x if x > 0, else α (eˣ - 1); its derivative at 0 is α"""
    xp = array_module(x)
    return xp.maximum(x, 0.0) + float(alpha) * xp.expm1(xp.minimum(x, 0.0))


leaky_relu.vjp(lambda g, y, x, **slope: _leaky_gate(g, x, **slope))
_leaky_gate.vjp(
    lambda h, z, g, x, **slope: _leaky_gate(h, x, **slope),
    lambda h, z, g, x, **slope: zeros_like(h),
)
elu.vjp(lambda g, y, x, alpha: g * where(less_equal(x, 0.0), y + alpha, 1.0))

# ---------------------------------------------------------------- the Gaussian's integral


@Unary
def erf(x):
    """erf x = 2/√π ∫₀ˣ e^-t² dt, to the last digits of float64.

    Rational approximations of W. J. Cody, Mathematics of Computation 23 (1969), 631-637.
    """
    xp = array_module(x)
    z = xp.abs(x.astype(np.float64))
    small = z <= 0.46875
    near = xp.where(small, z, 0.0)
    far = xp.clip(z, 0.46875, 6.0)  # 1 - erf 6 = 2e-17
    y = xp.where(small, near * _ratio(_NEAR, near * near), 1.0 - _erfc(far))
    return xp.copysign(y, x).astype(x.dtype)


def _erfc(z):
    """1 - erf z for 0.46875 ≤ z ≤ 6"""
    xp = array_module(z)
    middle = _ratio(_MIDDLE, xp.minimum(z, 4.0))
    w = 1.0 / (xp.maximum(z, 4.0) ** 2)
    tail = (1.0 / math.sqrt(math.pi) - w * _ratio(_TAIL, w)) / z
    return xp.exp(-z * z) * xp.where(z <= 4.0, middle, tail)


def _ratio(coefficients, z):
    """P(z) / Q(z), both by Horner's rule, highest power first; Q begins with 1"""
    p, q = coefficients
    top, bottom = p[0], 1.0
    for a, b in zip(p[1:], q, strict=True):
        top, bottom = top * z + a, bottom * z + b
    return top / bottom


_NEAR = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2,
     3.20937758913846947e3),
    (2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)  # fmt: skip
_MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
     2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
     1.23033935479799725e3),
    (1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip
_TAIL = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1,
     1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4),
    (2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)  # fmt: skip

erf.vjp(lambda g, y, x: g * (exp(-(x * x)) * (2.0 / math.sqrt(math.pi))))


def gelu(x: Variable, approximate: str = "none") -> Variable:
    """y = x Φ(x), Φ the cumulative distribution of N(0, 1): ½ (1 + erf(x / √2)).

    With `approximate="tanh"`: y = ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))).
    Source: Hendrycks and Gimpel, arXiv 1606.08415.
    """
    if approximate == "none":
        return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))
    if approximate == "tanh":
        return 0.5 * x * (1.0 + tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))
    raise ArgumentError(f"gelu: approximate: got {approximate!r}; expected 'none' or 'tanh'")
