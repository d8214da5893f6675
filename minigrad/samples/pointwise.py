"""Functions entry by entry: of one tensor, of two, and of two spread over one another."""

import math

import numpy as np

from minigrad.creation import tensor
from minigrad.ops import arithmetic, elementwise, reduction, sampling, shape
from minigrad.samples.row import Row, Shape, apart, nonzero, of_one, of_two, positive
from minigrad.tensor import Tensor

_sigmoid = lambda x: 1.0 / (1.0 + np.exp(-x))
_erf = np.vectorize(math.erf, otypes=[float])
MASK = np.array([[True, False, False, True], [False] * 4, [True, True, False, True]])
_tanh_gelu = lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
_mask = lambda x: tensor(MASK, device=x.device)
_where = lambda a, b: arithmetic.where(_mask(b), a, b)

ARITHMETIC = [
    of_two("add", lambda a, b: a + b, np.add, linear=True),
    of_one("add a number", lambda a: 2.0 + a + 1, lambda a: a + 3),
    of_two("subtract", lambda a, b: a - b, np.subtract, linear=True),
    of_one("subtract from a number", lambda a: 2 - a, lambda a: 2 - a),
    of_two("multiply", lambda a, b: a * b, np.multiply),
    of_one("multiply by a number", lambda a: 3 * a * -0.5, lambda a: -1.5 * a, linear=True),
    of_two("divide", lambda a, b: a / b, np.divide, nonzero),
    of_one("divide a number", lambda a: 2.0 / a, lambda a: 2.0 / a, nonzero),
    of_one("divide by a number", lambda a: a / 4, lambda a: a / 4, linear=True),
    of_one("negative", lambda a: -a, np.negative, linear=True),
    of_two("remainder", lambda a, b: a % b, np.remainder, positive),
    of_one("remainder by a number", lambda a: a % 2 + 3.0 % a, lambda a: a % 2 + 3 % a, positive),
    of_two("divide_or_zero", arithmetic.divide_or_zero, np.divide, nonzero),
    of_two("power", lambda a, b: a**b, np.power, positive),
    of_one("power 3", lambda a: a**3, lambda a: a * a * a, nonzero),
    of_one("power -2", lambda a: a**-2.0, lambda a: 1 / (a * a), nonzero),
    of_one("power ½", lambda a: a**0.5, np.sqrt, positive),
    of_one("power of a number", lambda b: 2.0**b, np.exp2),
    of_two("maximum", Tensor.maximum, np.maximum),
    of_two("minimum", Tensor.minimum, np.minimum),
    of_one("maximum with a number", lambda a: arithmetic.maximum(a, 0.0),
           lambda a: a * (a > 0), nonzero),
    of_one("minimum with a number", lambda a: arithmetic.minimum(0, a),
           lambda a: a * (a < 0), nonzero),
    Row("where", _where, ((3, 4), (3, 4)),
        lambda a, b: np.where(MASK, a, b), linear=True),
    Row("where, spread", _where, ((1, 4), (3, 1)),
        lambda a, b: np.where(MASK, a, b), linear=True),
    Row("where, a masked fill", lambda a: a.masked_fill(_mask(a), 2.0), ((3, 4),),
        lambda a: np.where(MASK, 2.0, a)),
    Row("where, a number", lambda a: _where(2.0, a) + a.where(_mask(a), 1), ((3, 4),),
        lambda a: np.where(MASK, 2.0, a) + np.where(MASK, a, 1.0)),
]  # fmt: skip

ELEMENTWISE = [
    of_one("exp", Tensor.exp, np.exp),
    of_one("expm1", Tensor.expm1, np.expm1),
    of_one("log", Tensor.log, np.log, positive),
    of_one("log1p", Tensor.log1p, np.log1p, positive),
    of_one("sqrt", Tensor.sqrt, np.sqrt, positive),
    of_one("sqrt_or_zero", reduction.sqrt_or_zero, np.sqrt, positive),
    of_one("square", Tensor.square, np.square),
    of_one("reciprocal", Tensor.reciprocal, np.reciprocal, nonzero),
    of_one("round", Tensor.round, np.round, apart, slopeless=True),
    of_one("sign", Tensor.sign, np.sign, nonzero, slopeless=True),
    of_one("abs", Tensor.abs, np.abs, nonzero),
    of_one("sin", Tensor.sin, np.sin),
    of_one("cos", Tensor.cos, np.cos),
    of_one("clamp", lambda x: x.clamp(-1.0, 1.0), lambda x: np.clip(x, -1, 1), apart),
    of_one("clamp from below", lambda x: x.clamp(min=0), lambda x: np.maximum(x, 0), apart),
    of_one("clamp from above", lambda x: x.clamp(max=1), lambda x: np.minimum(x, 1), apart),
    of_one("tanh", Tensor.tanh, np.tanh, order=3),
    of_one("sigmoid", Tensor.sigmoid, _sigmoid, order=3),
    of_one("logsigmoid", elementwise.logsigmoid, lambda x: np.log(_sigmoid(x))),
    of_one("softplus", elementwise.softplus, lambda x: np.log(1.0 + np.exp(x))),
    of_one("silu", elementwise.silu, lambda x: x * _sigmoid(x)),
    of_one("relu", Tensor.relu, lambda x: x * (x > 0), nonzero, order=3),
    of_one("leaky_relu", elementwise.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x), nonzero),
    of_one("leaky_relu 0.2", lambda x: elementwise.leaky_relu(x, 0.2),
            lambda x: np.where(x > 0, x, 0.2 * x), nonzero),
    of_one("elu", elementwise.elu, lambda x: np.where(x > 0, x, np.exp(x) - 1), nonzero),
    of_one("elu 0.5", lambda x: elementwise.elu(x, alpha=0.5),
            lambda x: np.where(x > 0, x, 0.5 * (np.exp(x) - 1)), nonzero),
    of_one("erf", Tensor.erf, _erf),
    of_one("gelu", elementwise.gelu, lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2)))),
    of_one("gelu tanh", lambda x: elementwise.gelu(x, approximate="tanh"), _tanh_gelu),
    of_one("clone", Tensor.clone, np.copy, linear=True),
    of_one("cast", lambda x: shape.cast(x, dtype=x.dtype), np.copy, linear=True),
    Row("reparameterize", sampling.reparameterize, ((4,), (3, 1), (2, 3, 4)),
        lambda mean, std, eps: mean + std * eps),
]  # fmt: skip

# ---------------------------------------------------------------- spread over one another


def _broadcast(name: str, *shapes: Shape) -> list[Row]:
    """Every operation of two tensors, on tensors that are spread over one another."""
    of_two = [row for row in ARITHMETIC if row.pointwise and len(row.shapes) == 2]
    return [row._replace(name=f"{row.name}, {name}", shapes=shapes) for row in of_two]


BROADCAST = [
    *_broadcast("a vector to rows", (3, 4), (4,)),
    *_broadcast("a column and a row", (3, 1), (1, 4)),
    *_broadcast("a scalar", (), (2, 3)),
    *_broadcast("three axes and two", (2, 1, 3), (4, 1)),
]
