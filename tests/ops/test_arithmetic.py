"""Whole division and its remainder, powers of 0, masks, comparison: PyTorch's conventions."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import tensor
from minigrad.engine import grad
from minigrad.errors import ArgumentError, DTypeError, GraphError, ShapeError

A, B = [5.0, -5.0, 5.5, -5.5], [3.0, 3.0, -2.0, -2.0]


def test_whole_division_rounds_down_and_the_remainder_has_the_divisors_sign():
    a, b = tensor(A, requires_grad=True), tensor(B, requires_grad=True)
    assert (a // b).tolist() == [1.0, -2.0, -3.0, 2.0]
    assert (a % b).tolist() == [2.0, 1.0, -0.5, -1.5]
    assert not (a // b).requires_grad
    ga, gb = grad((a % b).sum(), [a, b])
    assert ga.tolist() == [1.0] * 4 and gb.tolist() == [-1.0, 2.0, 3.0, -2.0]


def test_integers_stay_integers():
    x = tensor([7, -7])
    assert (x // 2).tolist() == [3, -4] and (x % 2).tolist() == [1, 1]
    assert (7 // x).tolist() == [1, -1] and (7 % x).tolist() == [0, 0]
    assert (x // 2).dtype == (x % 2).dtype == mg.int64
    assert (x // 2.0).dtype == (x % 2.0).dtype == mg.float32


@pytest.mark.parametrize("op", [mg.floor_divide, mg.remainder], ids=lambda op: op.name)
def test_integers_are_not_divided_by_0(op):
    for a, b in ((tensor([1]), 0), (1, tensor([0])), (tensor([1]), tensor([0]))):
        with pytest.raises(ZeroDivisionError, match=f"{op.name}: got a divisor of 0"):
            op(a, b)
    with np.errstate(all="ignore"):
        assert not op(tensor([1.0]), 0).isfinite().item()


def test_halves_are_rounded_to_even_numbers():
    x = tensor([-1.5, -0.5, 0.5, 2.5, 1.2])
    assert x.round().tolist() == [-2.0, 0.0, 0.0, 2.0, 1.0]
    assert tensor([3]).round().dtype == mg.int64


def test_slope_in_the_exponent_where_the_base_is_0():
    """0 for exponents from 0 on; 0ᵇ = ∞ below, and falls without bound."""
    b = tensor([-1.0, 0.0, 2.0], requires_grad=True)
    with np.errstate(divide="ignore"):
        (g,) = grad((mg.zeros(3) ** b).sum(), b)
    assert g.tolist() == [-math.inf, 0.0, 0.0]


@pytest.mark.parametrize("power", [lambda x: x**-1, lambda x: 2**x, lambda x: x**x])
def test_integers_have_no_negative_powers(power):
    with pytest.raises(DTypeError, match="pow: got int.* to the power .*; expected floats"):
        power(tensor([-2, 1]))


def test_a_mask_is_filled_in_the_tensors_own_type():
    x, mask = tensor([1.0, 2.0], requires_grad=True), tensor([True, False])
    y = x.masked_fill(mask, -math.inf)
    assert y.tolist() == [-math.inf, 2.0] and grad(y[1:].sum(), x)[0].tolist() == [0.0, 1.0]
    assert tensor([1, 2]).masked_fill(mask, 5.0).tolist() == [5, 2]
    assert tensor([1, 2]).masked_fill(mask, 5.0).dtype == mg.int64


def test_nothing_but_numbers_equals_a_tensor():
    x = tensor([1.0])
    for other in (None, "1", (1.0,)):
        assert (x == other) is False and (x != other) is True
    assert (x == np.ones(1, np.float32)).tolist() == (x == np.float64(1)).tolist() == [True]


def test_larger_of_two_by_the_name_of_the_reduction():
    a, b = tensor([1.0, 4.0]), tensor([3.0, 2.0])
    assert a.max(b).tolist() == mg.max(b, a).tolist() == [3.0, 4.0]
    assert a.min(b).tolist() == mg.min(b, a).tolist() == [1.0, 2.0]
    for name in ("max", "min", "argmax"):
        with pytest.raises(ArgumentError, match=r"dim: got \(0, 1\); expected one axis"):
            getattr(mg.zeros(2, 2), name)((0, 1))


# ---------------------------------------------------------------- x += y


def test_augmented_assignment_writes_to_the_tensor():
    """So that gradient descent written by hand moves the parameters."""
    x = tensor([2.0, 3.0])
    same, view = x, x[:1]
    x += 1.0
    x *= tensor([2.0, 0.5])
    x -= 1
    x /= 2
    assert same is x and x.tolist() == [2.5, 0.5] and view.tolist() == [2.5]
    w = tensor([1.0], requires_grad=True)
    (w * w).sum().backward()
    with mg.no_grad():
        for p in [w]:
            p -= 0.25 * p.grad
    assert w.tolist() == [0.5] and w.is_leaf


def test_augmented_assignment_of_what_a_graph_computed_is_a_new_tensor():
    x = tensor([3.0], requires_grad=True)
    total = mg.zeros(1)
    total += x * x
    total *= 2.0
    assert grad(total.sum(), x)[0].tolist() == [12.0]


def test_augmented_assignment_refuses_what_it_cannot_write():
    leaf = tensor([1.0], requires_grad=True)
    with pytest.raises(GraphError, match="add: writes in place to, or from, a tensor that req"):
        leaf += 1.0
    n = tensor([1, 2])
    with pytest.raises(DTypeError, match="multiply: got float32 to keep in int64"):
        n *= 0.5
    with pytest.raises(DTypeError, match="add_: got float32 to keep in int64"):
        n.add_(0.5)
    n += 1
    assert n.tolist() == [2, 3]
    with pytest.raises(ShapeError, match=r"add: got a value of shape \(2, 2\) for \(2,\)"):
        n += mg.zeros(2, 2).long()
