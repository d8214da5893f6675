"""How wrong a difference is said to be, against functions whose slope is known."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad import Tensor
from minigrad.gradcheck import GradcheckError, check_grads
from minigrad.gradcheck.numeric import EPS, SWEEP, Line, best_step, difference, sweep
from minigrad.ops import elementwise


def line(f, x, rule, scale=None, rounding=0.0):
    """f of one number, at x, with a rule that says that its slope is `rule`."""

    def at(t):
        moved = x + t
        return np.array([f(moved)]), moved - x, rule * (moved - x)

    scale = abs(rule) if scale is None else scale
    return Line(at, np.array([f(x)]), np.ones(1), best_step(abs(x)), scale, rounding)


def verdict(f, x, rule, scale=None):
    with np.errstate(all="ignore"):
        return sweep(line(f, x, rule, scale), 1e-6).verdict


SMOOTH = {
    "exp": (np.exp, 1.0, math.e),
    "far out": (np.sin, 100.0, math.cos(100.0)),
    "close in": (np.sqrt, 1e-6, 500.0),
    "an inflection": (lambda x: x**3 + x, 0.0, 1.0),
    "steep": (lambda x: np.exp(50 * x), 1.0, 50 * math.exp(50)),
    "rough": (lambda x: np.tanh(1e4 * (x - 1)), 1.0, 1e4),
    "lifted": (lambda x: x * x + 1e6, 3.0, 6.0),
}


@pytest.mark.parametrize("f, x, slope", SMOOTH.values(), ids=SMOOTH)
def test_right_slope_passes_and_a_wrong_one_fails(f, x, slope):
    assert verdict(f, x, slope) == "PASS"
    for wrong in (-1.0, 0.5, 0.99, 1.0002, 2.0):
        assert verdict(f, x, wrong * slope) == "FAIL", wrong


@pytest.mark.parametrize("f, x, slope", SMOOTH.values(), ids=SMOOTH)
def test_the_truth_is_within_three_bars(f, x, slope):
    found = sweep(line(f, x, 0.0, abs(slope)), 1e-6)
    assert abs(found.slope - slope) <= 3 * found.bar <= 1e-3 * abs(slope)


@pytest.mark.parametrize("between", [-1.0, -0.5, 0.0, 1.0])
def test_subgradient_at_a_kink_is_undecided(between):
    assert verdict(abs, 0.0, between) == "KINK"


@pytest.mark.parametrize("outside", [-1.5, -1.01, 1.01, 30.0])
def test_what_is_no_subgradient_is_wrong(outside):
    assert verdict(abs, 0.0, outside) == "FAIL"


@pytest.mark.parametrize("distance", [10.0**-k for k in range(3, 10)])
def test_beside_a_kink_the_step_shrinks(distance):
    assert verdict(lambda x: max(x, 0.0), distance, 1.0) == "PASS"
    assert verdict(lambda x: max(x, 0.0), -distance, 0.0, 1.0) == "PASS"
    assert verdict(lambda x: max(x, 0.0), distance, 0.5) == "FAIL"


@pytest.mark.parametrize("half", [1e-3, 1e-6, 1e-8])
def test_kinks_on_both_sides_do_not_accuse(half):
    """D⁻ = D⁺ = 0 at large steps: the fine ones know better."""
    assert verdict(lambda x: min(max(x, -half), half), 0.0, 1.0) == "PASS"


def test_step_across_a_pole_convinces_nobody():
    """1/(x + h) - 1/(x - h) is small and smooth in h where h is much larger than x."""
    assert verdict(lambda x: 1 / x, 1e-10, -1e20) in ("PASS", "NOISY")
    assert verdict(lambda x: 1 / x, 1e-10, 0.0, 1e20) == "NOISY"


@pytest.mark.parametrize("power", range(3, 13))
def test_unforeseen_rounding_does_not_accuse(power):
    """x + c has steps of ε c, which x + c - c does not show."""
    c = 10.0**power
    assert verdict(lambda x: math.sin((x + c) - c), 1.0, math.cos(1.0)) in ("PASS", "NOISY")
    assert verdict(lambda x: math.sin(x) + c, 1.0, math.cos(1.0)) in ("PASS", "NOISY")


def test_saturation_does_not_accuse():
    """1 - tanh² x is 1e-12 here, in steps of 1e-16."""
    for x in (12.0, 14.0, 16.0):
        slope = -2 * math.tanh(x) / math.cosh(x) ** 2
        assert verdict(lambda x: 1 - math.tanh(x) ** 2, x, slope) in ("PASS", "NOISY")


def test_infinite_slope_is_not_judged():
    assert verdict(np.sqrt, 0.0, math.inf, 1.0) == "NOISY"
    assert verdict(np.cbrt, 0.0, math.inf, 1.0) == "NOISY"
    assert verdict(np.exp, 0.0, math.inf, 1.0) == "FAIL"
    assert verdict(np.exp, 0.0, math.nan, 1.0) == "FAIL"
    assert verdict(np.sign, 2.0, math.nan, 0.0) == "FAIL"


def test_the_best_step_is_near_the_best():
    """Of all powers of 2 none is much better for exp at 1, and Richardson's is better still."""
    error = lambda h: abs(difference(line(np.exp, 1.0, math.e), h).error)
    best = min(error(2.0**-k) for k in range(5, 30))
    h = best_step(1.0)
    assert h == 2.0**-17 and error(h) < 30 * best + 1e-10
    assert error(2.0**-8) > 1000 * error(h) and error(2.0**-40) > 1000 * error(h)


def test_sweep_has_sixteen_steps_of_ratio_four():
    assert len(SWEEP) == 16 and SWEEP[0] == 1024 and SWEEP[-1] == 2.0**-20
    assert all(a == 4 * b for a, b in itertools.pairwise(SWEEP))


def test_step_is_a_power_of_two_of_the_size_of_x():
    for size in (1e-7, 1e-3, 1.0, 1e5, 1e100):
        h = best_step(size)
        assert math.log2(h).is_integer() and 0.7 < h / (EPS ** (1 / 3) * size) < 1.42


# ---------------------------------------------------------------- right rules that look wrong


def verdict_on(fn, *arrays, seed=0):
    xs = [Tensor(np.array(x, float), requires_grad=True) for x in arrays]
    try:
        return check_grads(fn, *xs, seed=seed, expect_zero=True).verdict
    except GradcheckError as error:
        return error.report.verdict


@pytest.mark.parametrize(
    "power, lifted", [*((k, 0.0) for k in range(6, 13)), *((k, 1e3) for k in range(6, 9))]
)
def test_remainder_of_a_tiny_divisor_is_not_accused(power, lifted):
    """a mod b jumps wherever b changes by b²/a: within every step that suits the other entries."""
    for seed in range(5):
        generator = np.random.default_rng(seed)
        a, b = generator.standard_normal((2, 3, 4))
        found = verdict_on(lambda a, b: a % b + lifted, a, b * 10.0**-power, seed=seed)
        assert found != "FAIL", seed


def test_an_entry_far_smaller_than_the_others_has_steps_of_its_own():
    assert verdict_on(lambda a, b: a % b, [0.5, 0.7, 0.9], [1.0, 3e-8, -7e-7]) == "PASS"
    assert verdict_on(lambda x: 1.0 / x, [1.0, 1e-8]) == "PASS"


def test_rounding_that_is_alike_at_all_powers_of_two_does_not_accuse():
    """The entries of xᵀx are 1e8; from the next multiple of 0.7 only fine steps can be taken."""
    for seed in (0, 1, 13, 26):
        generator = np.random.default_rng(seed)
        x = generator.standard_normal((3, 3)) * 10.0 ** generator.integers(-9, 1, (3, 3)) - 1e4
        assert verdict_on(lambda x: (x.T @ x) % 0.7, x, seed=seed) != "FAIL", seed


def test_what_cancels_in_the_rule_is_no_slope():
    """Both rows of max(x, x turned over) are alike: less their mean they are 0, exactly."""
    x = np.random.default_rng(0).standard_normal((2, 3))

    def nothing(x):
        top = x.maximum(x.flip(0))
        return (top - top.mean(0, keepdim=True)).cumsum(0)

    assert all(verdict_on(nothing, x, seed=seed) == "PASS" for seed in range(8))
    assert verdict_on(lambda x: (-x.square()).exp(), [-30.0, 30.0]) == "PASS"  # 1e-390


def test_a_remainder_of_what_has_no_digits_left_is_not_accused():
    for seed in range(5):
        assert verdict_on(lambda x: (x + 400.0).expm1() % 0.7, [0.5, 1.0], seed=seed) != "FAIL"


# ---------------------------------------------------------------- no array makes a right rule wrong

FUNCTIONS = {
    "tanh": elementwise.tanh, "softplus": elementwise.softplus, "relu": elementwise.relu,
    "abs": elementwise.abs, "sin": elementwise.sin, "clamp": lambda x: x.clamp(-1.0, 1.0),
    "softmax": lambda x: x.softmax(0), "amax": lambda x: x.amax(0), "norm": lambda x: x.norm(),
    "product": lambda x: x * x.flip(0), "var": lambda x: x.var(0),
    "reciprocal": lambda x: 1.0 / (x * x + 1e-3),
}  # fmt: skip
numbers = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, -1.0, 1e-9, 1e-187, 1e3, 0.5])


@pytest.mark.parametrize("fn", FUNCTIONS.values(), ids=FUNCTIONS)
@given(st.lists(numbers, min_size=2, max_size=5), st.integers(0, 9))
def test_right_rule_is_never_accused(fn, values, seed):
    x = Tensor(np.array(values), requires_grad=True)
    try:
        check_grads(fn, x, seed=seed, order=1 + seed % 2, expect_zero=True)
    except GradcheckError as error:
        if error.report.verdict == "FAIL":
            raise
