"""The sweep told as text is the sweep that runs."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import draw, nn, primitive, tensor
from minigrad.draw.steps import rule_text
from minigrad.errors import DTypeError, GraphError
from minigrad.ops import arithmetic, linear, shape


def test_a_sweep_by_hand():
    """L = Σ v (a b + a), with v = (1, 10)."""
    a = tensor([2.0, -1.0], requires_grad=True)
    b = tensor([3.0, 0.5], requires_grad=True)
    text = draw.backward_steps(a * b + a, tensor([1.0, 10.0]), {"a": a, "b": b})
    assert text == "\n".join([
        "backward from #2 add (2,): g = [1, 10]",
        "",
        " 1. #2 add (2,)           y = a + b",
        "    g = [1, 10]",
        "    to #1 multiply (2,)   g = [1, 10]",
        "    to a (2,)             g = [1, 10]",
        " 2. #1 multiply (2,)      y = a b",
        "    g = [1, 10]",
        "    to a (2,)             g * b = [3, 5], in all = [4, 15]",
        "    to b (2,)             g * a = [2, -10]",
    ])  # fmt: skip


def test_large_arrays_have_a_norm_and_parameters_their_names():
    model, x = nn.Linear(4, 3), mg.ones(5, 4)
    y = model(x).sum()
    text = draw.backward_steps(y, module=model)
    assert f"to weight (3, 4)      _transposed_matmul(g, x) of norm {np.sqrt(12 * 25):.4g}" in text
    assert "to bias (3,)          sum_to(g, shape=bias.shape) = [5, 5, 5]" in text
    assert "constant" not in text  # what needs no gradient gets none


def test_it_changes_nothing():
    x = tensor(2.0, requires_grad=True)
    y = x.exp()
    first = draw.backward_steps(y)
    assert first == draw.backward_steps(y) and x.grad is None
    y.backward()
    assert x.grad.item() == pytest.approx(np.exp(2.0))
    with pytest.raises(GraphError, match="freed by an earlier sweep"):
        draw.backward_steps(y)


def test_a_limit():
    x = tensor(2.0, requires_grad=True)
    text = draw.backward_steps(x.exp().sin().tanh(), limit=1)
    assert text.count(" g = ") == 2 and text.endswith("… and 2 more steps")


def test_what_has_no_gradient_is_refused():
    with pytest.raises(GraphError, match="does not require a gradient"):
        draw.backward_steps(tensor(2.0).exp())
    with pytest.raises(GraphError, match=r"shape \(2,\), and only a scalar"):
        draw.backward_steps(tensor([2.0, 1.0], requires_grad=True).exp())


def test_the_text_of_a_rule_is_that_of_the_right_input():
    assert [rule_text(arithmetic.divide, i) for i in (0, 1)] == ["g / b", "-g * y / b"]
    assert [rule_text(arithmetic.subtract, i) for i in (0, 1)] == ["g", "-g"]
    assert rule_text(linear._affine, 2) == "sum_to(g, shape=bias.shape)"
    assert rule_text(arithmetic._choose, 2) == "where(condition, 0.0, g)"
    assert rule_text(nn.fused.scale_and_shift, 1) == "sum_product(g, x, axes)"
    assert rule_text(nn.fused.standardize, 0).startswith("rate (g - mean(g) - x̂ mean(g x̂))")


def test_the_text_of_one_rule_for_any_number_of_inputs():
    x = tensor([1.0], requires_grad=True)
    text = draw.backward_steps(mg.cat([x, x]).sum(), names={"x": x})
    assert text.count("to x (1,)") == 2 and rule_text(shape._join, 0) == rule_text(shape._join, 1)


def test_the_text_of_a_rule_without_a_file():
    """As typed into Python: only the name is known."""
    scope = {"primitive": primitive}
    exec("@primitive\ndef f(x):\n    return x\nf.vjp(lambda g, y, x: g)", scope)
    assert rule_text(scope["f"], 0) == "<lambda>"


def test_what_is_no_tensor_is_refused():
    with pytest.raises(DTypeError, match="backward_steps: got ndarray; expected tensors"):
        draw.backward_steps(np.ones(3))
    with pytest.raises(DTypeError, match="backward_steps: got Tensor, float; expected tensors"):
        draw.backward_steps(tensor(2.0, requires_grad=True).exp(), 1.0)
