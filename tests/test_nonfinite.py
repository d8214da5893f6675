"""Anomaly mode names the operation, the entry and the line that made the first NaN or infinity."""

import math
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import autograd, nn, no_grad, primitive, tensor
from minigrad.engine import grad
from minigrad.errors import NonFiniteError
from minigrad.nonfinite import first_nonfinite

INF, NAN = math.inf, math.nan
HERE = __file__


def leaf(*values, dtype=mg.float64):
    return tensor(values, dtype=dtype, requires_grad=True)


def backward(y, g=None):
    return grad(y, X, tensor(np.ones(y.shape)) if g is None else g, retain_graph=True)


X = leaf(0.0, -1.0, 2.0)
FAULTS = {  # what is computed, and how the message begins
    "made NaN": (lambda: (X - 1).log(), r"log: output, \(3,\): got 2 NaN of 3 .* first at \(0,\)"),
    "made inf": (lambda: 1 / X, r"divide: output, \(3,\): got 1 infinite .* where input 1 = 0"),
    "overflow": (lambda: (X * 1e3).exp(), r"exp: .* first at \(2,\), where input 0 = 2000"),
    "NaN of ∞": (
        lambda: tensor([INF], dtype=mg.float64) - INF, "subtract: .*1 NaN .* where input 0 = inf",
    ),
    "given NaN": (lambda: X * tensor([1.0, NAN, 1.0], dtype=mg.float64),
                  r"multiply: input 1, \(3,\), as it was given: got 1 NaN of 3 .*first at \(1,\)"),
    "a number": (lambda: X * NAN, "multiply: input 1, as it was given: got 1 NaN of 1"),
    "no graph": (no_grad()(lambda: X.detach().log()), r"log: output, \(3,\): got 1 NaN"),
    "a reduction": (lambda: (X * 1e200).square().sum(), "square: .* where input 0 = -1e.200"),
    "√ at 0": (lambda: backward(X.abs().sqrt()),
               "backward of sqrt: gradient of input 0.* where g = 1, the output = 0, input 0 = 0;"),
    "g is NaN": (lambda: backward(X * X, tensor([1.0, NAN, 1.0], dtype=mg.float64)),
                 r"backward of multiply: .*first at \(1,\), where g = nan"),
}  # fmt: skip


@pytest.mark.parametrize("fn, message", FAULTS.values(), ids=FAULTS)
def test_the_fault_is_named(fn, message):
    with pytest.raises(NonFiniteError, match=message) as caught, mg.anomaly():
        fn()
    assert f'File "{HERE}", line ' in str(caught.value)


def test_the_line_is_where_the_operation_was_called_and_not_where_backward_was():
    def model(x):
        h = nn.functional.relu(x)
        h = h.sqrt()  # this one
        return h.sum()

    with pytest.raises(NonFiniteError) as caught, mg.anomaly():
        model(leaf(0.0, 4.0)).backward()
    first = model.__code__.co_firstlineno
    assert str(caught.value).endswith(
        f'sqrt was called in\n  File "{HERE}", line {first + 2}, in model\n'
        "    h = h.sqrt()  # this one"
    )


def test_a_graph_made_outside_has_no_lines():
    y = leaf(0.0, 4.0).sqrt().sum()
    message = "of sqrt: .* Compute the output of sqrt in this mode"
    with pytest.raises(NonFiniteError, match=message), mg.anomaly():
        y.backward()


def test_gradients_that_add_up_to_infinity():
    x = leaf(1.0, dtype=mg.float32)
    y = x * 2.0 + x * 2.0
    with (
        pytest.raises(NonFiniteError, match="of multiply: sum of the grad.*got 1 inf"),
        mg.anomaly(),
    ):
        y.backward(tensor([1e38]))


def test_a_rule_may_hold_infinities_that_it_masks():
    """0² has the slope 0 in its exponent, though ln 0 is not finite; and so at order 2."""
    a, b = leaf(0.0, 2.0), leaf(2.0, 2.0)
    with mg.anomaly():
        da, db = grad((a**b).sum(), [a, b], create_graph=True)
        (da.sum() + db.sum()).backward()
        leaf(0.0, 0.0).norm().backward()
        y = leaf(-INF, 0.0).log_softmax(0).exp()
        y.backward(tensor([1.0, 2.0], dtype=mg.float64))
    assert db[0].item() == 0.0


def test_a_rule_may_differentiate_what_it_masks():
    """A sweep within a rule, as those of fused operations run, is the rule's own affair."""

    @primitive
    def root(x):
        return np.sqrt(x)

    def rule(g, y, x):
        inner = x.detach().requires_grad_()
        with mg.enable_grad():
            (slope,) = grad(inner.sqrt().sum(), inner)
        return g * mg.where(slope.isfinite(), slope, 0.0)

    root.vjp(rule)
    x = leaf(0.0, 4.0)
    with mg.anomaly():
        root(x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


def test_the_fault_may_be_of_order_2():
    """The second sweep goes through operations that the first sweep made."""
    x = leaf(0.0, 1.0)
    with mg.anomaly():
        (g,) = grad((x**1.5).sum(), x, create_graph=True)
        with pytest.raises(NonFiniteError, match="backward of power: gradient of input 0"):
            g.sum().backward()


def test_what_was_not_chosen_is_named():
    """Of where(x > 0, ln x, 0) at 0 the gradient is 0 · ∞: PyTorch's mode sees that, ours ln 0."""
    fn = lambda x: mg.where(x > 0, x.log(), 0.0).sum()
    with pytest.raises(NonFiniteError, match="log: output"), mg.anomaly():
        fn(leaf(0.0, 1.0))
    with np.errstate(all="ignore"), autograd.detect_anomaly():
        y = fn(leaf(0.0, 1.0))
        with pytest.raises(NonFiniteError, match="backward of log: .*1 NaN"):
            y.backward()


def test_an_infinity_that_was_given_passes():
    mask = tensor([0.0, -INF], dtype=mg.float64)
    with mg.anomaly():
        x = leaf(1.0, 2.0)
        (x + mask).softmax(0).sum().backward()
        padded = nn.functional.pad(x, (1, 1), value=-INF)
    assert x.grad.tolist() == [0.0, 0.0] and padded[0].item() == -INF


def test_outside_nothing_is_said():
    with np.errstate(divide="ignore"):
        with pytest.raises(NonFiniteError), mg.anomaly():
            leaf(0.0).log()
        assert leaf(0.0).log().item() == -INF

        @mg.anomaly()
        def f(x):
            return x.log()

        with pytest.raises(NonFiniteError):
            f(leaf(0.0))
        assert leaf(0.0).log().item() == -INF


def test_it_is_of_its_own_thread():
    found = []

    def other():
        with np.errstate(divide="ignore"):
            found.append(leaf(0.0).log().item())

    with mg.anomaly():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with pytest.raises(NonFiniteError):
            leaf(0.0).log()
    assert found == [-INF]


@pytest.mark.parametrize(
    "mode", [autograd.detect_anomaly, lambda: autograd.set_detect_anomaly(True)]
)
def test_pytorchs_mode_looks_for_nan_in_backward_alone(mode):
    with np.errstate(divide="ignore", invalid="ignore"):
        with mode():
            leaf(0.0, -1.0).log()
            leaf(0.0).sqrt().backward()
            x = leaf(0.0)
            with pytest.raises(NonFiniteError, match="backward of sqrt: .*1 NaN"):
                (x.sqrt() * 0.0).backward()
        (x.sqrt() * 0.0).backward()
    assert math.isnan(x.grad.item())


def test_pytorchs_mode_can_be_switched():
    x = leaf(0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        autograd.set_detect_anomaly(True)
        try:
            with autograd.set_detect_anomaly(False):
                (x.sqrt() * 0.0).backward()
            with pytest.raises(NonFiniteError), autograd.detect_anomaly():
                (x.sqrt() * 0.0).backward()
            with autograd.detect_anomaly(check_nan=False):
                (x.sqrt() * 0.0).backward()
        finally:
            autograd.set_detect_anomaly(False)
        (x.sqrt() * 0.0).backward()


def test_a_rule_of_the_user():
    """The line is the call's, not the rule's."""

    @primitive
    def f(x):
        return x * 1.0

    f.vjp(lambda g, y, x: g / 0.0)
    message = "backward of f: gradient of input 0.*\n.*\n +f.X..sum.* # Called"
    with pytest.raises(NonFiniteError, match=message), mg.anomaly():
        f(X).sum().backward()  # Called


def test_first_nonfinite_of_a_graph():
    model = nn.Linear(2, 1)
    x = tensor([[1.0, -1.0]])
    with np.errstate(all="ignore"):
        loss = (model(x) * 0.0).log().square().sum()
        assert first_nonfinite(loss, model).startswith("log: output, (1, 1): got 1 infinite of 1")
        with no_grad():
            model.bias.fill_(INF)
        assert first_nonfinite(model(x).sum(), model) == (
            "linear: parameter bias, (1,), as it was given: got 1 infinite of 1 entries, the first "
            "at (0,); expected finite numbers"
        )
    assert first_nonfinite(leaf(1.0)) == "the graph holds no operation"
