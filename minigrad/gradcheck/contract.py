"""What needs no difference to be found out, and no tolerance, or next to none.

Inputs at which a difference would mean nothing are refused. A function must be pure: twice the same
bits, nothing changed in place. Its gradient must be linear in the incoming g, bit for bit where the
factor is a power of 2. Two gradients must fit together: a linear map's rule is its adjoint, and the
matrix of second derivatives is symmetric.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from minigrad.backend import Generator
from minigrad.engine import Variable, enable_grad
from minigrad.errors import ArgumentError, DTypeError, GraphError
from minigrad.gradcheck.function import Function, host, largest, like, pull_back, several
from minigrad.gradcheck.numeric import EPS
from minigrad.gradcheck.report import GradcheckError, Report

ADJOINT = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}  # of ‖x‖ ‖Aᵀy‖

CAUSES = {
    "g ignored": "it does not depend on the incoming gradient g",
    "|g|": "it depends on |g|, not on g",
    "g squared": "it grows with the square of the incoming gradient g",
    "g offset": "something that does not depend on the incoming gradient g is added",
    "float32": "a part of it is computed in float32",
    "g bent": "it is not proportional to the incoming gradient g",
}


def refuse(inputs: Sequence[Variable], order: int) -> None:
    """Raise DTypeError, ArgumentError or GraphError for inputs that cannot be checked."""
    if order < 1:
        raise ArgumentError(f"check_grads: order: got {order}; expected at least 1")
    for i, x in enumerate(inputs):
        if not isinstance(x, Variable):
            raise DTypeError(f"check_grads: input {i}: got {type(x).__name__}; expected a tensor")
        a = host(x)
        if a.dtype.kind == "f" and a.dtype != np.float64:
            raise DTypeError(
                f"check_grads: input {i}: got {a.dtype}; expected float64: in {a.dtype} a "
                "difference keeps too few digits. Use .double()"
            )
        if not np.all(np.isfinite(a)):
            raise ArgumentError(f"check_grads: input {i}: got NaN or ∞; expected finite numbers")
        if any(stride == 0 and n > 1 for stride, n in zip(a.strides, a.shape, strict=True)):
            raise ArgumentError(f"check_grads: input {i}: its entries share memory. Use .clone()")
    for (i, x), (j, z) in itertools.combinations(enumerate(inputs), 2):
        if np.shares_memory(host(x), host(z)):
            raise ArgumentError(f"check_grads: inputs {i} and {j} share memory. Use .clone()")
    if not any(x.requires_grad for x in inputs):
        raise GraphError("check_grads: no input requires a gradient. Use requires_grad=True")


# ---------------------------------------------------------------- pure, and linear in g


def check_contract(f: Function) -> None:
    """fn and its rules are pure; the gradient is the caller's own, and linear in g."""
    before = [host(x).copy() for x in f.inputs]
    v, w, y = f.v.copy(), f.draw(), f.value()
    if not np.all(np.isfinite(y)):
        raise ArgumentError(
            f"check_grads: {f.setting}: the output is not finite; expected inputs where it is. "
            "Draw others"
        )
    if not np.array_equal(y, f.value()):
        what = "two calls give two outputs: draw its random numbers outside, or seed them inside"
        f.stop("FAIL", what, "impure")
    bv, again = f.pull_back(f.v), f.pull_back(f.v)
    if not np.array_equal(f.v, v):
        f.stop("FAIL", "a rule changes the incoming gradient g in place", "g changed")
    for x, a, name in zip(f.inputs, before, f.names, strict=True):
        if not np.array_equal(host(x), a):
            f.stop("FAIL", f"{name} is changed in place", "input changed")
    swept = [f.pull_back(factor * v) for factor in (2.0, -1.0, 0.0)]
    bw, mixed = f.pull_back(w), f.pull_back(2.0 * v - 3.0 * w)
    for k, i in enumerate(f.wanted):
        name = f"the gradient of {f.names[i]}"
        if any(np.may_share_memory(bv[k], a) for a in (f.v, *map(host, f.inputs))):
            f.stop("FAIL", f"{name} is memory of g or of an input", "aliased")
        if not np.array_equal(again[k], bv[k], equal_nan=True):
            f.stop("FAIL", f"{name} differs from sweep to sweep", "impure")
        if not np.all(np.isfinite(bv[k])):
            continue  # whether the slope is a number there, differences will show
        doubled, negated, zero = (backs[k] for backs in swept)
        slack = 1e-10 * largest(2.0 * bv[k], 3.0 * bw[k]) + 64 * EPS * largest(v, w)
        if not (
            # bit for bit: a factor of ±2 rounds nothing that is not as tiny as 1e-308
            largest(doubled - 2.0 * bv[k], negated + bv[k], zero) < 1e-300
            and largest(mixed[k] - (2.0 * bv[k] - 3.0 * bw[k])) <= slack
        ):
            cause = _why_not_linear(bv[k], doubled, negated, zero, mixed[k], bw[k])
            f.stop("FAIL", f"{name} is not linear in g: {CAUSES[cause]}", cause)


def _why_not_linear(
    b: np.ndarray, doubled: np.ndarray, negated: np.ndarray, zero: np.ndarray,
    mixed: np.ndarray, bw: np.ndarray,
) -> str:  # fmt: skip
    """Which of CAUSES explains what back(v), back(2v), back(-v), back(0) and back(2v - 3w) are."""
    near = lambda p, q: largest(p - q) <= 1e-6 * largest(b)
    if near(doubled, 2.0 * b) and near(negated, -b) and not np.any(zero):
        size = largest(2.0 * b, 3.0 * bw)
        return "float32" if largest(mixed - (2.0 * b - 3.0 * bw)) <= 1e-5 * size else "g bent"
    if near(doubled, b) and near(zero, b):
        return "g ignored"
    if np.any(zero):
        return "g offset"
    if near(doubled, 4.0 * b):
        return "g squared"
    return "|g|" if near(doubled, 2.0 * b) and near(negated, b) else "g bent"


# ---------------------------------------------------------------- symmetry, and the adjoint


def check_symmetry(f: Function) -> None:
    """⟨u, H w⟩ = ⟨w, H u⟩ for the Hessian H of ⟨v, f(x)⟩."""
    gradient, inputs, _ = f.gradient()
    xs = [f.inputs[i] for i in f.wanted]
    u, w = ([f.generator.normal(x.array.shape, np.float64) for x in xs] for _ in range(2))

    def form(left: list[np.ndarray], right: list[np.ndarray]) -> np.ndarray:
        """The terms of ⟨left, H right⟩."""
        directions = [like(x, d) for x, d in zip(xs, right, strict=True)]
        product = pull_back(gradient, inputs, directions, False)[: len(xs)]
        return np.concatenate([(d * host(h)).ravel() for d, h in zip(left, product, strict=True)])

    a, b = form(u, w), form(w, u)
    terms = largest(*f.pull_back(f.v)) + f.sum_of_terms()
    rounding = 64 * EPS * terms * sum(float(np.abs(d).sum()) for d in u)
    if abs(a.sum() - b.sum()) > 1e-10 * float(np.abs(a).sum() + np.abs(b).sum()) + rounding:
        what = f"the Hessian is not symmetric: ⟨u, Hw⟩ = {a.sum()}, ⟨w, Hu⟩ = {b.sum()}"
        f.stop("FAIL", f"{what}. Is a part of a rule detached?", "asymmetric")


def check_adjoint(fn: Callable[..., Variable], *inputs: Variable, seed: int = 0) -> Report:
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for a linear fn(x) = A x, to 1e-12 ‖x‖ ‖Aᵀy‖; in float32 to 1e-5.

    All inputs together are x: fn(a + b) = fn(a) + fn(b). For a product of two inputs, fix one.

    >>> from minigrad import ones
    >>> check_adjoint(lambda x: x.cumsum(0), ones(5).requires_grad_()).verdict
    'PASS'

    Raises GradcheckError if a rule is not the adjoint of its map.
    """
    generator = Generator().manual_seed(seed)
    xs = [x for x in inputs if x.requires_grad]
    with enable_grad():
        ys = several(fn(*inputs))
        vs = [like(y, generator.normal(y.array.shape, y.array.dtype)) for y in ys]
        pulled = pull_back(fn, inputs, vs, False)
    inner = lambda ps, qs: sum(
        float(np.sum(host(p).astype(float) * host(q))) for p, q in zip(ps, qs, strict=True)
    )
    size = sum(
        float(np.linalg.norm(host(x)) * np.linalg.norm(host(g)))
        for x, g in zip(xs, pulled, strict=True)
    )
    left, right = inner(ys, vs), inner(xs, pulled)
    slack = max(ADJOINT[y.array.dtype] for y in ys)
    error = abs(left - right) / size if size else abs(left)
    message = f"adjoint, seed {seed}: ⟨Ax, y⟩ = {left:.17g}, ⟨x, Aᵀy⟩ = {right:.17g}"
    report = Report("PASS" if error <= slack else "FAIL", error, message, cause="not adjoint")
    if report.verdict == "FAIL":
        raise GradcheckError(report)
    return report._replace(cause="")
