r"""Arithmetic, entry by entry, on two tensors or a tensor and a Python number.

The primitives see inputs of one shape and one element type: `Binary` makes them so beforehand with
`broadcast_to` and `cast`, whose own rules undo it on the way back. So no rule below knows of
broadcasting.
"""

from typing import Any

import numpy as np

from minigrad.backend import array_module
from minigrad.engine import Primitive, Variable, primitive
from minigrad.errors import DTypeError
from minigrad.ops.arguments import check_tensors
from minigrad.ops.shape import broadcast_shape, broadcast_to, cast, result_type


class Binary(Primitive):
    """A primitive of two inputs with PyTorch's broadcasting and type promotion.

    Two float tensors give the wider type, except that a 0-d tensor does not widen one with axes;
    an integer tensor takes the float type of the other. A Python or NumPy number never widens a
    float tensor; a Python float makes an integer tensor float32.
    """

    def __call__(self, a: Any, b: Any) -> Variable:
        if isinstance(a, Variable):
            p = a.array
            if isinstance(b, Variable):
                q = b.array
                if p.shape == q.shape and p.dtype is q.dtype and type(p) is type(q):
                    requires_grad = a.requires_grad or b.requires_grad
                    return self.output(self.forward(p, q), a.family, requires_grad, (a, b))
                a, b = _alike(self.name, a, b)
            elif type(b) is float and p.dtype.kind == "f":
                return self.output(self.forward(p, b), a.family, a.requires_grad, (a, b))
            else:
                a, b = _with_number(self.name, a, b)
        elif isinstance(b, Variable):
            q = b.array
            if type(a) is float and q.dtype.kind == "f":
                return self.output(self.forward(a, q), b.family, b.requires_grad, (a, b))
            b, a = _with_number(self.name, b, a)
        return super().__call__(a, b)


class FloatBinary(Binary):
    """A `Binary` that turns integers into float32 first, where no float gives them its type."""

    def __call__(self, a: Any, b: Any) -> Variable:
        if not (_is_float(a) or _is_float(b)):
            a, b = (
                cast(x, dtype=np.dtype(np.float32)) if isinstance(x, Variable) else x
                for x in (a, b)
            )
        return super().__call__(a, b)


def _is_float(a: Any) -> bool:
    return isinstance(a, Variable) and a.array.dtype.kind == "f"


def _alike(op: str, a: Variable, b: Variable) -> tuple[Variable, Variable]:
    """Two tensors broadcast to one shape and cast to one type.

    Booleans are left as they are beside floats: NumPy multiplies a mask without a copy of it.
    """
    dtype = result_type(a.array, b.array)
    shape = broadcast_shape(op, a.array.shape, b.array.shape)
    made = []
    for x in (a, b):
        if x.array.dtype != dtype and not (x.array.dtype == bool and dtype.kind == "f"):
            x = cast(x, dtype=dtype)
        made.append(x if x.array.shape == shape else broadcast_to(x, shape=shape))
    return made[0], made[1]


def _with_number(op: str, a: Variable, b: Any) -> tuple[Variable, Any]:
    """A tensor and a number (or a constant array, which becomes a tensor)."""
    if isinstance(b, np.ndarray) and b.ndim:
        if b.dtype.kind == "f" and b.dtype != a.array.dtype:
            raise DTypeError(
                f"{op}: got a {a.array.dtype} tensor and a {b.dtype} NumPy array; expected one "
                "type. Use minigrad.tensor(array, dtype=...)"
            )
        return _alike(op, a, a.family(b))
    b = _number(op, b)
    if isinstance(b, float) and a.array.dtype.kind != "f":
        a = cast(a, dtype=np.dtype(np.float32))
    return a, b


def _number(op: str, b: Any) -> int | float:
    """A number as Python's, for NumPy's scalars would widen float32."""
    if getattr(b, "shape", None) == () and hasattr(b, "item"):
        b = b.item()
    if not isinstance(b, (int, float)):
        raise DTypeError(f"{op}: got {type(b).__name__}; expected a tensor or a real number")
    return b


# ---------------------------------------------------------------- the four operations and powers


@Binary
def add(a, b):
    """y = a + b"""
    return a + b


@Binary
def subtract(a, b):
    """y = a - b"""
    return a - b


@Binary
def multiply(a, b):
    """y = a b"""
    return a * b


@FloatBinary
def divide(a, b):
    """y = a / b"""
    return a / b


@primitive
def negative(x):
    """y = -x"""
    return -x


add.vjp(lambda g, y, a, b: g, lambda g, y, a, b: g)
subtract.vjp(lambda g, y, a, b: g, lambda g, y, a, b: -g)
multiply.vjp(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)
divide.vjp(lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b)
negative.vjp(lambda g, y, x: -g)


@Binary
def divide_or_zero(a, b):
    """y = a / b, but 0 where b = 0: the direction x / ‖x‖ at x = 0"""
    xp = array_module(b)
    return xp.where(b == 0, 0, a / xp.where(b == 0, 1, b)).astype(b.dtype, copy=False)


divide_or_zero.vjp(
    lambda g, y, a, b: divide_or_zero(g, b),
    lambda g, y, a, b: -divide_or_zero(g * y, b),
)


@Binary
def floor_divide(a, b):
    """y = ⌊a / b⌋; no derivative"""
    _refuse_zero("floor_divide", a, b)
    return a // b


@Binary
def remainder(a, b):
    """y = a - b ⌊a / b⌋, which has the sign of b; where a / b is whole it jumps, by b"""
    _refuse_zero("remainder", a, b)
    return a % b


def _refuse_zero(op, a, b):
    """Integers have no ∞ to answer a division by 0 with."""
    floats = "f" in (np.dtype(getattr(x, "dtype", type(x))).kind for x in (a, b))
    if not floats and not array_module(b).all(b):
        raise ZeroDivisionError(f"{op}: got a divisor of 0; expected other integers. Use .float()")


remainder.vjp(lambda g, y, a, b: g, lambda g, y, a, b: -g * floor_divide(a, b))


# ---------------------------------------------------------------- comparison


@Binary
def equal(a, b):
    """y = [a = b]"""
    return a == b


@Binary
def not_equal(a, b):
    """y = [a ≠ b]"""
    return a != b


@Binary
def greater(a, b):
    """y = [a > b]"""
    return a > b


@Binary
def greater_equal(a, b):
    """y = [a ≥ b]"""
    return a >= b


@Binary
def less(a, b):
    """y = [a < b]"""
    return a < b


@Binary
def less_equal(a, b):
    """y = [a ≤ b]"""
    return a <= b


# ---------------------------------------------------------------- choice


@primitive
def _choose(condition, a, b):
    return array_module(condition).where(condition, a, b)


_choose.name = "where"
_choose.vjp(
    None,
    lambda g, y, condition, a, b: where(condition, g, 0.0),
    lambda g, y, condition, a, b: where(condition, 0.0, g),
)


def where(condition: Variable, a: Any, b: Any) -> Variable:
    """y = a where the condition holds, b elsewhere, all broadcast to one shape.

    Only the chosen entries get a gradient; a NaN in what was not chosen stays out of y, but its
    own derivative still meets a zero g, and 0 · ∞ is NaN: choose before, not after, a singularity.
    """
    check_tensors("where", condition)
    if condition.array.dtype != bool:
        raise DTypeError(f"where: condition: got {condition.array.dtype}; expected bool")
    if isinstance(a, Variable) and isinstance(b, Variable):
        a, b = _alike("where", a, b)
    elif isinstance(a, Variable):
        a, b = _with_number("where", a, b)
    elif isinstance(b, Variable):
        b, a = _with_number("where", b, a)
    else:
        a, b = _number("where", a), _number("where", b)
        number = np.float32 if isinstance(a, float) or isinstance(b, float) else np.int64
        a, b = condition.family(array_module(condition.array).asarray(a, number)), b
    parts = condition, a, b
    shape = broadcast_shape("where", *(x.array.shape for x in parts if isinstance(x, Variable)))
    return _choose(*(
        broadcast_to(x, shape=shape) if isinstance(x, Variable) and x.array.shape != shape else x
        for x in parts
    ))  # fmt: skip


def masked_fill(input: Variable, mask: Variable, value: Any) -> Variable:
    """y = the number `value`, in the type of x, where the mask holds, and x elsewhere."""
    if isinstance(value, float) and input.array.dtype.kind != "f":
        value = int(value)
    return where(mask, value, input)


@primitive
def _share(a, b):
    """The part of y's gradient that goes to a if y = max(a, b): 1, 0, or ½ at a tie."""
    xp = array_module(a if hasattr(a, "dtype") else b)
    dtype = a.dtype if hasattr(a, "dtype") else b.dtype
    return xp.add(a > b, 0.5 * (a == b), dtype=dtype)


@Binary
def maximum(a, b):
    """y = max(a, b); at a tie each gets half of the gradient"""
    return array_module(a if hasattr(a, "dtype") else b).maximum(a, b)


@Binary
def minimum(a, b):
    """y = min(a, b); at a tie each gets half of the gradient"""
    return array_module(a if hasattr(a, "dtype") else b).minimum(a, b)


maximum.vjp(lambda g, y, a, b: g * _share(a, b), lambda g, y, a, b: g * _share(b, a))
minimum.vjp(lambda g, y, a, b: g * _share(b, a), lambda g, y, a, b: g * _share(a, b))
