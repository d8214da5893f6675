"""What a report says: the place, the map, the cause in words, and how to see it again."""

import numpy as np
import pytest

from minigrad import Tensor, primitive
from minigrad.errors import ArgumentError
from minigrad.gradcheck import (
    GradcheckError,
    check_adjoint,
    check_grads,
    gradcheck,
    gradgradcheck,
)


def draw(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def report(fn, *inputs, **options):
    with pytest.raises(GradcheckError) as caught:
        check_grads(fn, *inputs, **options)
    return caught.value.report


def doubled(change):
    """y = x² / 2, whose gradient g x is changed so."""

    @primitive
    def half_square(x):
        return 0.5 * x * x

    half_square.vjp(lambda g, y, x: Tensor(np.array(change((g * x).array))))
    return half_square


def one(a):
    a = a.copy()
    a[1, 2] *= 1.1
    return a


def shifted(a):
    return np.concatenate([0 * a[:, :1], a[:, :-1]], 1)


def bordered(a):
    a = a.copy()
    a[:, 0] = 0.0
    return a


CAUSES = {
    "sign": (lambda a: -a, "the sign is wrong"),
    "factor": (lambda a: a / 2, "half of what it should be"),
    "mean_for_sum": (lambda a: a / 12, "a mean over 12 entries in place of their sum"),
    "variance": (lambda a: a * 12 / 11, "12 and 11 are mixed up"),
    "scale": (lambda a: 1.0001 * a, "every entry is 1.0001 times"),
    "zero": (lambda a: 0 * a, "0 everywhere: not connected"),
    "not_finite": (lambda a: np.nan * a, "NaN or ∞"),
    "one_entry": (one, "one entry alone is wrong, (1, 2)"),
    "flipped": (lambda a: a[:, ::-1], "flipped along axis 1"),
    "turned": (lambda a: a[::-1, ::-1], "turned by 180°"),
    "rolled": (shifted, "off by one along axis 1"),
    "permuted": (lambda a: a.ravel()[[5, 3, 7, 1, 0, 2, 4, 6, 11, 9, 10, 8]].reshape(3, 4),
                 "stand in another order"),
    "edge": (bordered, "only at index 0 of axis 1"),
    "offset": (lambda a: a + a.mean(), "is added everywhere"),
    "cross_terms": (lambda a: a - a.mean(1, keepdims=True), "a sum over axes (1,) is missing"),
    "unknown": (np.exp2, ""),
}  # fmt: skip


@pytest.mark.parametrize("cause", [c for c in CAUSES if c != "unknown"])
def test_cause_is_named(cause):
    change, words = CAUSES[cause]
    found = report(doubled(change), draw(3, 4))
    assert found.cause == cause and words in found.message


def test_transposed_is_named():
    assert report(doubled(np.transpose), draw(3, 3)).cause == "transposed"


def test_swapped_rules_are_named():
    @primitive
    def product(a, b):
        return a * b

    product.vjp(lambda g, y, a, b: g * a, lambda g, y, a, b: g * b)
    found = report(product, draw(3), draw(3, seed=1))
    assert found.cause == "another_input" and "the gradient of input 1" in found.message


def test_no_cause_is_invented():
    noise = np.random.default_rng(3).standard_normal((3, 4))
    found = report(doubled(lambda a: a * (1 + 0.1 * noise)), draw(3, 4))
    assert found.cause == "unknown" and "none that is known" in found.message


UPSTREAM = {
    "g ignored": lambda g, y, x: x,
    "|g|": lambda g, y, x: g.abs() * x,
    "g squared": lambda g, y, x: g * g * x,
    "g offset": lambda g, y, x: g * x + 0.1 * x,
    "float32": lambda g, y, x: (g * x).float().double(),
    "g bent": lambda g, y, x: g.tanh() * x,
}


@pytest.mark.parametrize("cause", UPSTREAM)
def test_what_is_done_to_g_is_named(cause):
    @primitive
    def half_square(x):
        return 0.5 * x * x

    half_square.vjp(lambda g, y, x: UPSTREAM[cause](g, y, x + 0.0))
    found = report(half_square, draw(3, 4))
    assert (found.verdict, found.cause) == ("FAIL", cause)


def test_every_input_is_reported():
    @primitive
    def product(a, b):
        return a * b

    product.vjp(lambda g, y, a, b: -g * b, lambda g, y, a, b: g * a)
    found = report(product, draw(2, 3), draw(2, 3, seed=1), seed=5)
    first, second = found.findings
    assert (first.verdict, first.wrong, first.checked, first.cause) == ("FAIL", 6, 6, "sign")
    assert (second.verdict, second.wrong, second.checked) == ("PASS", 0, 6)
    assert first.error == pytest.approx(2.0) and first.rule == pytest.approx(-first.slope)
    assert 0 < first.bar < 1e-6 and first.shape == (2, 3)
    assert found.message.endswith("check_grads(product, *inputs, seed=5, order=1)")


def test_map_shows_the_worst_page():
    weight = np.ones((2, 3, 4))
    weight[1, 0, 2] = weight[1, 2, 3] = 5.0
    found = report(doubled(lambda a: a * weight), draw(2, 3, 4))
    lines = [line.strip() for line in found.message.split("\n")]
    top = lines.index("map of [1, :, :] (x wrong, ? undecided, · not looked at)")
    assert lines[top + 1 : top + 4] == ["..x.", "....", "...x"]


def test_map_of_a_large_input_is_cut_out():
    found = report(doubled(lambda a: -a), draw(100, 200))
    assert "from row" in found.message and max(map(len, found.message.split("\n"))) < 120


def test_right_report_names_the_worst():
    found = check_grads(lambda x: x.exp(), draw(2, 2))
    assert "4 right" in found.message and not found.undecided
    assert found.findings[0].error == found.error < 1e-8


# ---------------------------------------------------------------- adjoint, doors


def test_adjoint_finds_what_differences_cannot():
    """A factor of 1 + 1e-9 in one entry is below what a difference resolves."""

    @primitive
    def double(x):
        return 2.0 * x

    weight = np.ones(6)
    weight[3] += 1e-9
    double.vjp(lambda g, y, x: 2.0 * g * Tensor(weight))
    assert check_grads(double, draw(6)).verdict == "PASS"
    with pytest.raises(GradcheckError, match="adjoint"):
        check_grads(double, draw(6), linear=True)
    with pytest.raises(GradcheckError, match="adjoint"):
        check_adjoint(double, draw(6))
    assert check_adjoint(lambda x: 2.0 * x, draw(6)).error < 1e-15


def test_adjoint_in_float32():
    x = Tensor(draw(50, 4).array.astype(np.float32), requires_grad=True)
    assert check_adjoint(lambda x: x.cumsum(0), x).error < 1e-6
    with pytest.raises(GradcheckError):
        check_adjoint(lambda x: x * x, x)


def test_doors_take_pytorchs_arguments():
    x, f = draw(3), lambda x: x * x * x
    assert gradcheck(f, (x,), eps=1e-6, atol=1e-4, rtol=1e-3, nondet_tol=0.0, fast_mode=True)
    assert gradgradcheck(f, [x], [draw(3, seed=1)], eps=1e-6, atol=1e-4)
    with pytest.raises(ArgumentError, match="check_forward_ad: got True; expected False"):
        gradcheck(f, x, check_forward_ad=True)
    with pytest.raises(ArgumentError, match="check_batched_grad"):
        gradgradcheck(f, x, check_batched_grad=True)
    with pytest.raises(ArgumentError, match="nothing to check"):
        gradcheck(f, x, check_backward_ad=False)


def test_gradgradcheck_looks_at_the_cotangents_that_it_is_given():
    """A rule that is wrong where g is 0 alone."""

    @primitive
    def f(x):
        return x**3

    gated = lambda g, y, x: g * 3.0 * x * x + (g * g).detach() * 0.0
    f.vjp(lambda g, y, x: gated(g, y, x) if np.all(g.array) else gated(g, y, x.detach()))
    assert gradgradcheck(f, draw(3))
    zero = Tensor(np.array([1.0, 0.0, 1.0]), requires_grad=True)
    assert not gradgradcheck(f, draw(3), zero, raise_exception=False)


def test_error_is_pytorchs_too():
    """PyTorch's GradcheckError is a RuntimeError."""
    with pytest.raises(RuntimeError):
        check_grads(doubled(lambda a: -a), draw(3))
