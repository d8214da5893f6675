"""Which element type comes out, and what of it a gradient sees: PyTorch's rules, its answers."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import float32, float64, int32, int64, tensor, uint8
from minigrad.engine import grad
from minigrad.errors import DTypeError
from minigrad.ops import elementwise
from minigrad.ops.linear import linear

bool_ = np.dtype(bool)


def made(dtype, *shape):
    return tensor(np.ones(shape), dtype=dtype)


# ---------------------------------------------------------------- two tensors

PROMOTION = [  # a, b, a ∘ b of two tensors with axes
    (float32, float64, float64),
    (float32, int64, float32),
    (float64, int32, float64),
    (float32, bool_, float32),
    (int32, int64, int64),
    (uint8, int32, int32),
    (int64, bool_, int64),
]
OPERATIONS = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "maximum": mg.maximum,
    "where": lambda a, b: mg.where(tensor([True, False]), a, b),
    "cat": lambda a, b: mg.cat([a, b]),
    "stack": lambda a, b: mg.stack([a, b]),
}
by_operation = pytest.mark.parametrize("op", OPERATIONS.values(), ids=OPERATIONS)


@by_operation
@pytest.mark.parametrize("a, b, expected", PROMOTION, ids=str)
def test_two_tensors_promote(op, a, b, expected):
    assert op(made(a, 2), made(b, 2)).dtype == expected
    assert op(made(b, 2), made(a, 2)).dtype == expected


@pytest.mark.parametrize(
    "a, b, expected",
    [
        (float64, float32, float32),
        (int64, uint8, uint8),
        (float32, int64, float32),
        (float64, int64, float64),
        (int64, bool_, int64),
    ],
    ids=str,
)
def test_scalar_tensor_widens_only_what_is_of_a_lower_kind(a, b, expected):
    """`a` has no axes, `b` has: a float64 scalar leaves float32 alone, but makes floats of ints."""
    assert (made(a) + made(b, 2)).dtype == expected
    assert (made(b, 2) * made(a)).dtype == expected


def test_division_makes_floats():
    assert (made(int64, 2) / made(int32, 2)).dtype == float32
    assert (made(int64, 2) / 2).dtype == float32
    assert (1 / made(uint8, 2)).dtype == float32
    assert (made(float64) / made(int64, 2)).dtype == float64
    assert (made(int64, 2) / made(float64, 2)).dtype == float64


def test_each_gradient_has_the_type_of_its_input():
    a = tensor([1.0, 2.0], dtype=float32, requires_grad=True)
    b = tensor([3.0, 4.0], dtype=float64, requires_grad=True)
    y = a * b
    assert y.dtype == float64
    da, db = grad(y, [a, b], tensor([1.0, -2.0], dtype=float64))
    assert (da.dtype, da.tolist()) == (float32, [3.0, -8.0])
    assert (db.dtype, db.tolist()) == (float64, [1.0, -4.0])


def test_scalar_tensor_gets_a_gradient_of_its_own_type():
    a = tensor(np.float64(2.0), requires_grad=True)
    b = tensor([3.0, 4.0], requires_grad=True)
    y = a * b
    assert y.dtype == float32
    da, db = grad(y, [a, b], tensor([1.0, -2.0]))
    assert (da.dtype, da.item()) == (float64, -5.0)
    assert (db.dtype, db.tolist()) == (float32, [2.0, -4.0])


def test_gradient_passes_by_integers_and_masks():
    x = tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x * tensor([True, False, True]) * tensor([4, 5, 6])).backward(tensor([1.0, 1.5, -2.0]))
    assert (x.grad.dtype, x.grad.tolist()) == (float32, [4.0, 0.0, -12.0])


def test_cast_between_floats_is_differentiable():
    x = tensor([1.0, 2.0], requires_grad=True)
    (x.double() * 3.0).backward(tensor([1.0, -1.0], dtype=float64))
    assert (x.grad.dtype, x.grad.tolist()) == (float32, [3.0, -3.0])
    assert not x.long().requires_grad


# ---------------------------------------------------------------- a tensor and a number

NUMBERS = [3, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(3), np.array(2.5)]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{type(n).__name__}")
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_number_does_not_widen_a_float_tensor(number, dtype):
    x = made(dtype, 2)
    for y in (x + number, number - x, x * number, number / x, x**number, number**x):
        assert y.dtype == dtype
    assert mg.where(x > 0, x, number).dtype == dtype
    assert mg.maximum(x, number).dtype == dtype
    assert x.clamp(number).dtype == x.clamp(max=number).dtype == dtype
    assert elementwise.leaky_relu(x, number).dtype == elementwise.elu(x, number).dtype == dtype


def test_python_float_makes_integers_float32():
    x = tensor([1, 2])
    for y in (x + 0.5, x * 2.0, 1.0 - x, x**0.5, x.clamp(1.5), mg.where(x > 1, x, 0.5)):
        assert y.dtype == float32
    for y in (x + 1, x * 2, 1 - x, x**2, x.clamp(1), mg.where(x > 1, x, 0)):
        assert y.dtype == int64


@pytest.mark.parametrize("a, b", [(tensor([1.0]), np.ones(1)), (np.ones(1), tensor([1.0]))])
def test_float64_array_beside_a_float32_tensor_is_refused(a, b):
    with pytest.raises(DTypeError, match="multiply: got a float32 tensor and a float64 NumPy arr"):
        a * b


def test_array_operator_tensor_asks_the_tensor():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = np.array([3.0, 4.0], np.float32) * x
    assert isinstance(y, mg.Tensor)
    y.backward(tensor([1.0, -1.0]))
    assert x.grad.tolist() == [3.0, -4.0]


def test_what_is_no_number_is_refused():
    for other in ("1", None, [1.0], 1j):
        with pytest.raises(DTypeError, match="add: got .*; expected a tensor or a real number"):
            tensor([1.0]) + other


# ---------------------------------------------------------------- one tensor of integers

TO_FLOAT32 = {
    "exp": mg.exp, "expm1": mg.expm1, "log": mg.log, "log1p": mg.log1p, "sqrt": mg.sqrt,
    "reciprocal": mg.reciprocal, "sin": mg.sin, "cos": mg.cos, "tanh": mg.tanh, "erf": mg.erf,
    "sigmoid": mg.sigmoid, "softplus": elementwise.softplus, "logsigmoid": elementwise.logsigmoid,
    "silu": elementwise.silu, "gelu": elementwise.gelu, "elu": elementwise.elu,
    "leaky_relu": elementwise.leaky_relu, "norm": mg.norm,
    "softmax": lambda x: x.softmax(0), "log_softmax": lambda x: x.log_softmax(0),
    "logsumexp": lambda x: x.logsumexp(0),
}  # fmt: skip
KEEPING = {
    "abs": mg.abs, "sign": mg.sign, "relu": mg.relu, "square": mg.square, "negative": lambda x: -x,
    "clamp": lambda x: x.clamp(1, 2), "amax": mg.amax, "amin": lambda x: x.amin(0),
    "max": lambda x: x.max(0).values, "clone": mg.Tensor.clone, "flip": lambda x: x.flip(0),
    "getitem": lambda x: x[1:], "cat": lambda x: mg.cat([x, x]),
    "maximum": lambda x: mg.maximum(x, 2), "minimum": lambda x: mg.minimum(x, x.flip(0)),
}  # fmt: skip
TO_INT64 = {
    "sum": mg.sum, "sum over an axis": lambda x: x.sum(0), "cumsum": lambda x: x.cumsum(0),
    "argmax": mg.argmax, "argmin": lambda x: x.argmin(0), "max": lambda x: x.max(0).indices,
}  # fmt: skip
TO_BOOL = {
    "==": lambda x: x == 1, "<": lambda x: x < 2.5, "any": mg.any, "all": mg.all, "isnan": mg.isnan,
    "isfinite": mg.isfinite, "logical_not": mg.Tensor.logical_not, "!=": lambda x: x != x,
}  # fmt: skip
by_integer = pytest.mark.parametrize("dtype", [int64, int32, uint8], ids=str)


@by_integer
@pytest.mark.parametrize("op", TO_FLOAT32.values(), ids=TO_FLOAT32)
def test_integers_become_float32(op, dtype):
    y = op(tensor([1, 3, 2], dtype=dtype))
    assert y.dtype == float32
    expected = op(tensor([1.0, 3.0, 2.0], dtype=float32))
    np.testing.assert_array_equal(y.numpy(), expected.numpy())


@by_integer
@pytest.mark.parametrize("op", KEEPING.values(), ids=KEEPING)
def test_integers_stay_integers(op, dtype):
    assert op(tensor([1, 3, 2], dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("op", TO_INT64.values(), ids=TO_INT64)
@pytest.mark.parametrize("dtype", [int32, uint8, bool_], ids=str)
def test_sums_and_places_are_int64(op, dtype):
    assert op(tensor([1, 0, 1], dtype=dtype)).dtype == int64


@pytest.mark.parametrize("op", TO_BOOL.values(), ids=TO_BOOL)
@pytest.mark.parametrize("dtype", [float32, float64, int64], ids=str)
def test_comparisons_are_booleans(op, dtype):
    assert op(tensor([1, 3, 2], dtype=dtype)).dtype == bool_


def test_mean_of_integers_is_refused():
    for op in (mg.mean, mg.var, mg.std):
        with pytest.raises(DTypeError, match="mean: got int64; expected a float type"):
            op(tensor([1, 2]))


def test_bitwise_operators_take_booleans_alone():
    a, b = tensor([True, True, False]), tensor([True, False, False])
    assert (a & b).tolist() == [True, False, False]
    assert (a | b).tolist() == [True, True, False]
    assert (~a).tolist() == [False, False, True]
    for refused in (lambda: tensor([1]) & a, lambda: a | tensor([1]), lambda: ~tensor([1.0])):
        with pytest.raises(DTypeError, match="expected a tensor of booleans"):
            refused()


# ---------------------------------------------------------------- products


def test_product_of_two_types_is_refused():
    a, b = tensor([[1.0]]), tensor([[1.0]], dtype=float64)
    with pytest.raises(DTypeError, match="matmul: got float32 and float64; expected one type"):
        a @ b
    with pytest.raises(DTypeError, match="linear: got float64 and float32 and float32"):
        linear(b, a, tensor([1.0]))
