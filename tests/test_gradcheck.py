"""Tests of the tester: every planted wrong rule is caught, and no right one is accused."""

import contextlib

import numpy as np
import pytest

from minigrad import no_grad, primitive, tensor
from minigrad.autograd import gradcheck, gradgradcheck
from minigrad.errors import ArgumentError, DTypeError, GraphError
from minigrad.gradcheck import GradcheckError, Report, check_grads
from minigrad.ops.shape import cast, flip, permute, sum_to

SEEDS = range(3)
CAUGHT = GradcheckError, GraphError  # GraphError: the engine itself refuses a wrong shape or type


def draw(*shape, seed=0, low=None):
    """A float64 leaf from N(0, 1), or from U(low, low + 1)."""
    generator = np.random.default_rng(1000 + seed)
    x = generator.standard_normal(shape) if low is None else generator.random(shape) + low
    return tensor(x, requires_grad=True)


class Undecided(Exception):
    """A check that did not accuse, and did not pass."""


def check(fn, *inputs):
    """check_grads, where what differences cannot judge is no accusation."""
    try:
        check_grads(fn, *inputs)
    except GradcheckError as error:
        raise Undecided if error.report.undecided else error from error


def verdict(fn, *inputs, **options):
    with pytest.raises(GradcheckError) as caught:
        check_grads(fn, *inputs, **options)
    return caught.value.report.verdict


# ---------------------------------------------------------------- a right rule, then wronged


def cubic(rule):
    """y = x³ with that rule in place of g · 3x²."""

    @primitive
    def f(x):
        return x**3

    f.vjp(rule)
    return f


def right(g, x):
    return g * (3.0 * x * x)


def one_entry(x, factor):
    weight = np.ones(x.shape)
    weight[-1, -1] = factor
    return x * tensor(weight)


def rolled(x):
    return tensor(np.roll(x.array, 1, axis=-1)) + 0.0 * x


def overwrite(g):
    g.array *= 2.0
    return g


class Flaky:
    """A rule that is right at every other call."""

    calls = 0

    def __call__(self, g, y, x):
        self.calls += 1
        return right(g, x) * (1.0 if self.calls % 2 else 1.0 + 1e-12)


WRONG = {
    "sign": lambda g, y, x: -right(g, x),
    "twice": lambda g, y, x: 2.0 * right(g, x),
    "half": lambda g, y, x: 0.5 * right(g, x),
    "1 %": lambda g, y, x: 1.01 * right(g, x),
    "1e-4": lambda g, y, x: 1.0001 * right(g, x),
    "zero": lambda g, y, x: 0.0 * g,
    "an offset": lambda g, y, x: right(g, x) + 0.01 * g,
    "one entry": lambda g, y, x: one_entry(right(g, x), 1.01),
    "one entry dropped": lambda g, y, x: one_entry(right(g, x), 0.0),
    "roll": lambda g, y, x: rolled(right(g, x)),
    "flip": lambda g, y, x: flip(right(g, x), dims=1),
    "half a turn": lambda g, y, x: flip(right(g, x), dims=(0, 1)),
    "transposed": lambda g, y, x: permute(right(g, x), dims=(1, 0)),
    "g ignored": lambda g, y, x: 3.0 * x * x,
    "|g|": lambda g, y, x: right(g.abs(), x),
    "g²": lambda g, y, x: right(g * g, x),
    "mean of g": lambda g, y, x: right(g.mean() + 0.0 * g, x),
    "not linear in g": lambda g, y, x: right(g.tanh(), x),
    "in float32": lambda g, y, x: cast(cast(right(g, x), dtype=np.float32), dtype=np.float64),
    "g in float32": lambda g, y, x: right(cast(cast(g, dtype=np.float32), dtype=np.float64), x),
    "float32 answered": lambda g, y, x: cast(right(g, x), dtype=np.float32),
    "an axis too many": lambda g, y, x: right(g, x).unsqueeze(0),
    "summed away": lambda g, y, x: right(g, x).sum(0),
    "g changed": lambda g, y, x: right(overwrite(g), x),
    "x changed": lambda g, y, x: right(g, overwrite(x)),
    "x answered": lambda g, y, x: x,
    "g answered": lambda g, y, x: g,
    "flaky": Flaky(),
    "NaN": lambda g, y, x: right(g, x) * float("nan"),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rule", WRONG.values(), ids=WRONG)
def test_wrong_rule_is_caught(rule, seed):
    with pytest.raises(CAUGHT):
        check_grads(cubic(rule), draw(3, 3, seed=seed), seed=seed)


@pytest.mark.parametrize("rule", WRONG.values(), ids=WRONG)
def test_wrong_rule_is_caught_inside_a_function(rule):
    wrong = cubic(rule)
    with pytest.raises(CAUGHT):
        check_grads(lambda x, w: (wrong(x @ w) * x).softmax(1), draw(3, 3), draw(3, 3, seed=1))


@pytest.mark.parametrize("seed", range(20))
def test_right_rule_passes(seed):
    f = cubic(lambda g, y, x: right(g, x))
    report = check_grads(f, draw(3, 3, seed=seed), seed=seed, order=3)
    assert report.verdict == "PASS" and report.error < 1e-7


def test_cotangents_have_both_signs_and_no_pattern():
    """With one that is never negative, g is not told from |g|; by ones, a softmax not from 1/n."""
    seen = []
    f = cubic(lambda g, y, x: seen.append(g.detach().numpy()) or right(g, x))
    check_grads(f, draw(3, 3))
    first = seen[0]
    assert first.min() < 0 < first.max() and len(np.unique(np.abs(first))) == first.size
    check_grads(f, draw(3, 3), seed=1)
    assert not any(np.array_equal(first, g) for g in seen[len(seen) // 2 :])


def test_swapped_inputs_are_caught():
    @primitive
    def product(a, b):
        return a * b

    product.vjp(lambda g, y, a, b: g * a, lambda g, y, a, b: g * b)
    assert verdict(product, draw(3), draw(3, seed=1)) == "FAIL"


def test_dropped_broadcast_sum_is_caught():
    @primitive
    def shifted(x, b):
        return x + b

    shifted.vjp(lambda g, y, x, b: g, lambda g, y, x, b: g)
    with pytest.raises(GradcheckError, match="rule of input 1 gave a gradient of shape") as caught:
        check_grads(shifted, draw(4, 3), draw(3, seed=1))
    assert caught.value.report.cause == "unreduced"
    shifted.vjp(lambda g, y, x, b: g, lambda g, y, x, b: sum_to(g, shape=b.shape))
    check_grads(shifted, draw(4, 3), draw(3, seed=1))
    shifted.vjp(lambda g, y, x, b: g, lambda g, y, x, b: g.mean(0))
    assert verdict(shifted, draw(4, 3), draw(3, seed=1)) == "FAIL"


def test_missing_cross_terms_of_softmax_are_caught():
    @primitive
    def softmax(x):
        e = np.exp(x)
        return e / e.sum(-1, keepdims=True)

    softmax.vjp(lambda g, y, x: g * y * (1.0 - y))
    assert verdict(softmax, draw(2, 3)) == "FAIL"


# ---------------------------------------------------------------- the second order

WRONG_AT_SECOND = {
    "y detached": lambda g, y, x: g * y.detach(),
    "x detached": lambda g, y, x: g * x.detach().exp(),
    "g detached": lambda g, y, x: g.detach() * y,
    "half detached": lambda g, y, x: g * (0.5 * y + 0.5 * y.detach()),
}


@pytest.mark.parametrize("rule", WRONG_AT_SECOND.values(), ids=WRONG_AT_SECOND)
def test_error_of_second_order_alone_is_caught_at_order_2(rule):
    @primitive
    def f(x):
        return np.exp(x)

    f.vjp(rule)
    assert check_grads(f, draw(3, 2)).verdict == "PASS"
    assert verdict(f, draw(3, 2), order=2) == "FAIL"


def test_asymmetric_hessian_is_caught():
    """y = a b, where only ∂y/∂a can be differentiated again: ∂²y/∂b∂a = 0 is not ∂²y/∂a∂b = 1."""

    @primitive
    def product(a, b):
        return a * b

    product.vjp(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a.detach())
    with pytest.raises(GradcheckError, match="not symmetric"):
        check_grads(product, draw(3), draw(3, seed=1), order=2)


# ---------------------------------------------------------------- what else can be wrong


def test_random_function_is_caught():
    generator = np.random.default_rng(0)
    dropout = lambda x: x * tensor(1.0 * (generator.random(x.shape) > 0.5))
    assert verdict(dropout, draw(8)) == "FAIL"


def test_function_that_writes_to_its_input_is_caught():
    def f(x):
        y = x * 2.0
        with no_grad():
            x.add_(0.0 if x.grad else 1.0)
        return y

    assert verdict(f, draw(3)) == "FAIL"


def test_every_slope_zero_is_vacuous():
    assert verdict(lambda x: x.softmax(0).sum(), draw(5)) == "VACUOUS"
    assert verdict(lambda x: x.sign(), draw(5)) == "VACUOUS"
    assert verdict(lambda x, w: x * 2.0, draw(5), draw(5, seed=1)) == "VACUOUS"
    assert check_grads(lambda x: x.sign(), draw(5), expect_zero=True).verdict == "PASS"


def test_zero_that_is_expected_but_not_answered_is_caught():
    f = cubic(lambda g, y, x: right(g, x))
    sign_with_slope = lambda x: x.sign() + f(x) - f(x).detach()
    assert verdict(sign_with_slope, draw(5), expect_zero=True) == "FAIL"


@pytest.mark.parametrize("f", [lambda x: x.relu(), lambda x: x.abs(), lambda x: x.amax(0)])
def test_kink_is_undecided(f):
    assert verdict(f, tensor(np.zeros((3, 2)), requires_grad=True)) == "KINK"


def test_no_subgradient_at_a_kink_is_wrong():
    @primitive
    def relu(x):
        return np.maximum(x, 0.0)

    relu.vjp(lambda g, y, x: g * (1.5 * (x >= 0.0).double()))
    assert verdict(relu, tensor(np.zeros(3), requires_grad=True)) == "FAIL"


@pytest.mark.parametrize("distance", [1e-9, 1e-10, 1e-11, 1e-12, 1e-13])
@pytest.mark.parametrize("f", [lambda x: 1.0 / x, lambda x: x.log(), lambda x: x.sqrt()])
def test_right_rule_beside_a_pole_is_not_accused(f, distance):
    x = tensor(np.array([1.0, distance]), requires_grad=True)
    with contextlib.suppress(Undecided):
        check(f, x)


def test_infinite_slope_is_undecided():
    """√x has no slope at 0, and no values to the left of it."""
    x = tensor(np.array([1.0, 0.0]), requires_grad=True)
    assert verdict(lambda x: x.sqrt(), x) == "NOISY"


@pytest.mark.parametrize("distance", [1e-3, 1e-4, 1e-5, 1e-6])
def test_near_a_kink_the_step_shrinks(distance):
    x = np.array([1.0, -1.0, distance, -distance])
    assert check_grads(lambda x: x.relu() + 0.1 * x, tensor(x, requires_grad=True))


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e2, 1e5])
def test_scale_of_the_input_does_not_matter(scale):
    x = tensor(draw(6).detach().numpy() * scale, requires_grad=True)
    assert check_grads(lambda x: (x / scale).exp(), x).error < 1e-7
    assert verdict(cubic(WRONG["1e-4"]), x) == "FAIL"


def test_offset_of_the_output_does_not_matter():
    assert check_grads(lambda x: x * x + 1e6, draw(6))
    assert verdict(lambda x: cubic(WRONG["1 %"])(x) + 1e6, draw(6)) == "FAIL"


# ---------------------------------------------------------------- large inputs

LARGE = 2, 3, 40, 40


def test_large_input_is_sampled():
    calls = []
    check_grads(lambda x: (calls.append(1), x * x)[1], draw(*LARGE))
    assert len(calls) < 500


def test_one_wrong_entry_of_a_large_input_is_caught():
    """With every seed, though the one entry of 1 % may have a small slope in some draw."""
    verdicts = []
    for seed in SEEDS:
        weight = np.ones(LARGE)
        weight[np.unravel_index(4321 + seed, LARGE)] = 1.01
        f = cubic(lambda g, y, x, w=weight: right(g, x) * tensor(w))
        verdicts.append(verdict(f, draw(*LARGE, low=0.5, seed=seed), seed=seed))
    assert "PASS" not in verdicts and "FAIL" in verdicts


def test_large_input_that_is_right_passes():
    assert check_grads(lambda x: x.tanh() * x, draw(*LARGE)).error < 1e-7
    assert check_grads(lambda x: x.relu(), draw(*LARGE)).error < 1e-7


# ---------------------------------------------------------------- refusals, doors, the report


def test_refuses_what_cannot_be_checked():
    x = draw(3)
    double = lambda *xs: xs[0] * 2.0
    with pytest.raises(DTypeError, match="input 0: got float32; expected float64"):
        check_grads(double, tensor([1.0], requires_grad=True))
    with pytest.raises(DTypeError, match="output: got float32"):
        check_grads(lambda x: x.float(), x)
    with pytest.raises(DTypeError, match="expected a tensor"):
        check_grads(double, x, 2.0)
    with pytest.raises(ArgumentError, match="got NaN or ∞"):
        check_grads(double, tensor(np.array([1.0, np.inf]), requires_grad=True))
    with pytest.raises(ArgumentError, match="inputs 0 and 1 share memory"):
        check_grads(double, x, x)
    with pytest.raises(ArgumentError, match="its entries share memory"):
        check_grads(double, x.detach().expand(2, 3).requires_grad_())
    with pytest.raises(GraphError, match="no input requires a gradient"):
        check_grads(double, x.detach())
    with pytest.raises(ArgumentError, match="order: got 0"):
        check_grads(double, x, order=0)
    with pytest.raises(ArgumentError, match="the output is not finite"):
        check_grads(lambda x: x.log(), tensor(np.array([1.0, 0.0]), requires_grad=True))


def test_inputs_that_are_not_floats_are_left_alone():
    index = tensor([2, 0, 0])
    assert check_grads(lambda x, i: x[i] * 2.0, draw(3), index, order=2)


def test_several_outputs():
    both = lambda x, y: (x * y, x.sin(), y)
    assert check_grads(both, draw(3), draw(3, seed=1), order=2)
    wrong = cubic(WRONG["one entry"])
    assert verdict(lambda x: (x.sin(), wrong(x)), draw(2, 2)) == "FAIL"


def test_works_under_no_grad_and_leaves_the_inputs_alone():
    x = draw(3)
    before = x.detach().clone()
    with no_grad():
        check_grads(lambda x: x * x, x, order=2)
    assert x.grad is None and x.is_leaf and (x == before).all()


def test_message_names_place_values_and_seed():
    weight = np.array([1.0, 0.5, 1.0])
    f = cubic(lambda g, y, x: right(g, x) * tensor(weight))
    with pytest.raises(GradcheckError) as caught:
        check_grads(lambda a, x: f(x) + a, draw(3), draw(3, seed=1), seed=7)
    message = str(caught.value)
    assert message.startswith("FAIL: order 1, seed 7: input 1 (3,): 1 of 3 wrong, worst entry (1,)")
    assert "ratio 0.5" in message and "one entry alone is wrong, (1,)" in message
    assert "\n      .x.\n" in message and "input 0 (3,): 3 right" in message
    assert message.endswith("to reproduce: check_grads(fn, *inputs, seed=7, order=1)")
    assert isinstance(caught.value, AssertionError) and isinstance(caught.value.report, Report)


def test_error_is_measured_as_well_as_judged():
    f = cubic(lambda g, y, x: 1.0001 * right(g, x))
    report = check_grads(f, draw(3), rtol=1e-3)
    assert 2e-5 < report.error < 2e-4


def test_doors_have_pytorchs_names():
    x = draw(3)
    assert gradcheck(lambda x: x.exp(), (x,)) and gradgradcheck(lambda x: x.exp(), x)
    wrong = cubic(WRONG["sign"])
    assert not gradcheck(wrong, (x,), raise_exception=False)
    with pytest.raises(GradcheckError):
        gradgradcheck(wrong, (x,))


def test_many_entries_may_need_a_closer_look():
    """What is added rounds more than one step can bear, in all 60 entries; larger ones can tell."""
    x = tensor(np.linspace(0.5, 1.5, 60), requires_grad=True)
    assert check_grads(lambda x: x.sin().sum() + 1e6, x).verdict == "PASS"
