"""Clipping of gradients, and parameters as one vector."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import NonFiniteError, ShapeError
from minigrad.nn import utils


def pair():
    """Two parameters with gradients (3, -4) and (12), and one without."""
    a, b = nn.Parameter(mg.tensor([1.0, 2.0])), nn.Parameter(mg.tensor([[3.0]]))
    a.grad, b.grad = mg.tensor([3.0, -4.0]), mg.tensor([[12.0]])
    return [a, b, nn.Parameter(mg.ones(1))]


@pytest.mark.parametrize(
    "norm_type, norm, first, second",  # PyTorch 2.13, max_norm 2
    [
        (2.0, 13.0, [0.4615384260355, -0.6153845680473], 1.846153704142),
        (1.0, 19.0, [0.3157894570637, -0.4210526094183], 1.263157828255),
        (math.inf, 12.0, [0.4999999583333, -0.6666666111111], 1.999999833333),
        (3.0, 12.20705495382, [0.4915190052948, -0.6553586737264], 1.966076021179),
    ],
)
def test_clipped_gradients_are_pytorchs(norm_type, norm, first, second):
    a, b, c = pair()
    gradients = a.grad, b.grad
    total = utils.clip_grad_norm_([a, b, c], 2.0, norm_type)
    assert total.item() == pytest.approx(norm, rel=1e-6)
    np.testing.assert_allclose(a.grad.numpy(), first, rtol=1e-6)
    np.testing.assert_allclose(b.grad.numpy(), [[second]], rtol=1e-6)
    assert a.grad is gradients[0] and b.grad is gradients[1]
    assert c.grad is None


def test_short_gradients_stay_as_they_are():
    a, b, c = pair()
    assert utils.clip_grad_norm_(iter([a, b, c]), 14.0).item() == 13
    assert a.grad.tolist() == [3, -4]
    assert utils.clip_grad_norm_(a, 1.0).item() == 5  # a single parameter
    assert utils.clip_grad_norm_([c], 1.0).item() == 0  # no gradient at all


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_gradients_that_are_not_finite_are_an_error(value):
    a, b, _ = pair()
    b.grad = mg.tensor([[value]])
    with pytest.raises(NonFiniteError, match="clip_grad_norm_: got gradients of norm"):
        utils.clip_grad_norm_([a, b], 1.0)
    assert a.grad.tolist() == [3, -4]
    with np.errstate(invalid="ignore"):
        utils.clip_grad_norm_([a, b], 1.0, error_if_nonfinite=False)  # as PyTorch: 0 · ∞
    assert math.isnan(b.grad.item())


def test_huge_gradients_do_not_overflow():
    a = nn.Parameter(mg.zeros(2))
    a.grad = mg.tensor([3e30, 4e30])
    assert utils.clip_grad_norm_(a, 1.0).item() == pytest.approx(5e30)
    np.testing.assert_allclose(a.grad.numpy(), [0.6, 0.8], rtol=1e-6)


def test_clip_by_value():
    a, b, c = pair()
    utils.clip_grad_value_([a, b, c], 3.5)
    assert a.grad.tolist() == [3, -3.5] and b.grad.tolist() == [[3.5]]


def test_parameters_as_a_vector_and_back():
    net = nn.Linear(3, 2)
    vector = utils.parameters_to_vector(net.parameters())
    assert vector.tolist() == net.weight.reshape(-1).tolist() + net.bias.tolist()
    assert vector.requires_grad
    arrays = net.weight.array, net.bias.array
    utils.vector_to_parameters(mg.arange(8.0), net.parameters())
    assert net.weight.tolist() == [[0, 1, 2], [3, 4, 5]] and net.bias.tolist() == [6, 7]
    assert (net.weight.array is arrays[0]) and (net.bias.array is arrays[1])
    with pytest.raises(ShapeError, match=r"got \(9,\); expected \(8,\)"):
        utils.vector_to_parameters(mg.arange(9.0), net.parameters())
