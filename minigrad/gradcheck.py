r"""Derivatives against differences: do the rules give the derivative of what is computed?

For y = f(x) and a cotangent v the rules give the gradient Jᵀv of ⟨v, f(x)⟩. Its entry i must be

    D = Σ v · (f(x + h eᵢ) - f(x - h eᵢ)) / 2h  =  (Jᵀv)ᵢ + O(h² f‴/6) + O(ε |f| / h).

This file is a lesson in how such a comparison fails:

- A large step sees the curvature (h² f‴), a small one the rounding of f (ε |f| / h). They balance
  at h ≈ ε^⅓ |x|, and leave 11 digits in float64, but 5 in float32: so that is refused.
- A cotangent of ones is blind: the entries of a softmax sum to 1, all its slopes are 0. One that is
  never negative cannot tell g from |g|. Here v is drawn from N(0, 1).
- Beside a kink the slopes D⁺ and D⁻ to either side differ, and any value between is a subgradient.
- If all slopes are 0, nothing was tested.
- A function that is not pure, or a rule that is not linear in g, can agree at one v. That needs no
  difference to be found out, and no tolerance.

The gradient is itself a function, (x, v) ↦ Jᵀv: its check is the check of the second order.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, NoReturn

import numpy as np

from minigrad.backend import CPU, Generator, array_module, device_of, to_device
from minigrad.engine import Variable, enable_grad, grad
from minigrad.errors import ArgumentError, DTypeError, GraphError

EPS = float(np.finfo(np.float64).eps)  # ε
STEPS = 1.0, 1 / 64, 1 / 4096, 64.0  # h; smaller beside a kink or pole; larger if f is rough
EVERY, SAMPLES, DIRECTIONS = 4096, 64, 8  # inputs with more than EVERY entries are sampled
OWN_STREAM = 0x6EAD  # cotangents must not be the inputs, drawn by the caller with the same seed
DETAILS = 20  # wrong entries after which no more are looked for


class Report(NamedTuple):
    """What a check found. Only PASS is returned: the other verdicts are raised.

    FAIL: a rule is wrong. UNDECIDED: the differences cannot tell, for a kink or for noise; draw
    other inputs. VACUOUS: every slope in some input is 0, which shows nothing.
    """

    verdict: str
    error: float  # the largest |rule - difference|, relative to the largest slope in that input
    message: str  # where that is


class GradcheckError(AssertionError):
    """A gradient that is wrong, or cannot be judged; `.report` says which."""

    def __init__(self, report: Report) -> None:
        super().__init__(f"{report.verdict}: {report.message}")
        self.report = report


def check_grads(
    fn: Callable[..., Variable | Sequence[Variable]],
    *inputs: Variable,
    seed: int = 0,
    order: int = 1,
    rtol: float = 1e-6,
    expect_zero: bool = False,
) -> Report:
    """Check the gradient of `fn(*inputs)`, a tensor or several, in each input that requires one.

    Everything is float64. With `order` 2 the gradient's gradient is checked too, and so on.
    `expect_zero` says that a derivative is known to vanish.

    >>> from minigrad import tensor
    >>> x = tensor(np.array([0.3, -2.0]), requires_grad=True)
    >>> check_grads(lambda x: x.exp() * x, x, order=2).verdict
    'PASS'

    Raises GradcheckError if a gradient is wrong; DTypeError, ArgumentError or GraphError if the
    inputs cannot be checked.
    """
    _refuse(inputs, order)
    names = [f"input {i}" for i in range(len(inputs))]
    generator = Generator().manual_seed(OWN_STREAM + seed)
    reports = []
    with enable_grad(), np.errstate(all="ignore"):
        for n in range(1, order + 1):
            f = _Map(fn, inputs, names, generator, f"order {n}, seed {seed}")
            _check_contract(f)
            reports.append(_check_slopes(f, rtol, expect_zero or n > 1))
            if n < order:
                _check_symmetry(f)
                fn, inputs, names = f.gradient()
    return max(reports, key=lambda report: report.error)


def gradcheck(
    fn: Callable, inputs: Variable | Sequence[Variable], raise_exception: bool = True
) -> bool:
    """PyTorch's name for `check_grads`: whether the gradients of fn(*inputs) are right."""
    return _passes(fn, inputs, 1, raise_exception)


def gradgradcheck(
    fn: Callable, inputs: Variable | Sequence[Variable], raise_exception: bool = True
) -> bool:
    """PyTorch's name for `check_grads` of order 2."""
    return _passes(fn, inputs, 2, raise_exception)


def _passes(fn: Callable, inputs: Variable | Sequence[Variable], order: int, loud: bool) -> bool:
    try:
        check_grads(fn, *_several(inputs), order=order)
    except GradcheckError:
        if loud:
            raise
        return False
    return True


# ---------------------------------------------------------------- what is checked


def _refuse(inputs: Sequence[Variable], order: int) -> None:
    """Inputs at which a difference would mean nothing."""
    if order < 1:
        raise ArgumentError(f"check_grads: order: got {order}; expected at least 1")
    for i, x in enumerate(inputs):
        if not isinstance(x, Variable):
            raise DTypeError(f"check_grads: input {i}: got {type(x).__name__}; expected a tensor")
        a = _host(x)
        if a.dtype.kind == "f" and a.dtype != np.float64:
            raise DTypeError(f"check_grads: input {i}: got {a.dtype}; expected float64")
        if not np.all(np.isfinite(a)):
            raise ArgumentError(f"check_grads: input {i}: got NaN or ∞; expected finite numbers")
        if any(stride == 0 and n > 1 for stride, n in zip(a.strides, a.shape, strict=True)):
            raise ArgumentError(f"check_grads: input {i}: its entries share memory. Use .clone()")
    for (i, x), (j, z) in itertools.combinations(enumerate(inputs), 2):
        if np.shares_memory(_host(x), _host(z)):
            raise ArgumentError(f"check_grads: inputs {i} and {j} share memory. Use .clone()")
    if not any(x.requires_grad for x in inputs):
        raise GraphError("check_grads: no input requires a gradient. Use requires_grad=True")


class _Map:
    """fn as a map from private copies of the inputs to one vector y, and a cotangent v of it."""

    def __init__(
        self, fn: Callable, inputs: Sequence[Variable], names: Sequence[str],
        generator: Generator, setting: str,
    ) -> None:  # fmt: skip
        self.fn, self.names, self.generator, self.setting = fn, names, generator, setting
        self.inputs = [x.family(_copy(x.array), x.requires_grad) for x in inputs]
        self.wanted = [i for i, x in enumerate(inputs) if x.requires_grad]
        self.outputs = [y.family(_copy(y.array)) for y in _several(fn(*self.inputs))]
        self.v = self.draw()

    def draw(self) -> np.ndarray:
        """A cotangent from N(0, 1)."""
        return self.generator.normal((sum(y.array.size for y in self.outputs),), np.float64)

    def value(self, i: int | None = None, x: np.ndarray | None = None) -> np.ndarray:
        """All outputs as one vector; input i, if given, has the values x instead of its own."""
        inputs = list(self.inputs)
        if i is not None:
            inputs[i] = _like(inputs[i], x, requires_grad=True)
        ys = _several(self.fn(*inputs))
        if [y.array.shape for y in ys] != [y.array.shape for y in self.outputs]:
            self.stop("FAIL", "the shape of the output changes from call to call")
        if any(y.array.dtype != np.float64 for y in ys):
            types = ", ".join(str(y.array.dtype) for y in ys)
            raise DTypeError(f"check_grads: output: got {types}; expected float64 alone")
        return np.concatenate([_host(y).ravel() for y in ys])

    def pull_back(self, v: np.ndarray) -> list[np.ndarray]:
        """Jᵀv by the rules, for each input that requires a gradient."""
        return [_host(g) for g in _pull_back(self.fn, self.inputs, self.split(v), False)]

    def split(self, v: np.ndarray, requires_grad: bool = False) -> list[Variable]:
        """The vector v as cotangents of the outputs."""
        parts = np.split(v, np.cumsum([y.array.size for y in self.outputs])[:-1])
        return [_like(y, part, requires_grad) for y, part in zip(self.outputs, parts, strict=True)]

    def gradient(self) -> tuple[Callable, list[Variable], list[str]]:
        """The map (x, v) ↦ Jᵀv, its inputs, and their names."""
        fn, n, order = self.fn, len(self.inputs), self.setting.split(",")[0]
        vs = self.split(self.v, requires_grad=True)
        names = [f"the cotangent of output {j} at {order}" for j in range(len(vs))]
        function = lambda *xv: _pull_back(fn, xv[:n], xv[n:], True)
        return function, [*self.inputs, *vs], [*self.names, *names]

    def stop(self, verdict: str, message: str, error: float = math.inf) -> NoReturn:
        raise GradcheckError(Report(verdict, error, f"{self.setting}: {message}"))


def _pull_back(
    fn: Callable, xs: Sequence[Variable], vs: Sequence[Variable], create_graph: bool
) -> list[Variable]:
    """The gradient of Σ ⟨v, fn(xs)⟩ in each x that requires one; zeros where nothing connects."""
    pairs = [(y, v) for y, v in zip(_several(fn(*xs)), vs, strict=True) if y.requires_grad]
    wanted = [x for x in xs if x.requires_grad]
    found = grad(
        [y for y, _ in pairs], wanted, [v for _, v in pairs],
        create_graph=create_graph, allow_unused=True,
    )  # fmt: skip
    zeros = (_like(x, np.zeros(x.array.shape)) for x in wanted)
    return [zero if g is None else g for zero, g in zip(zeros, found, strict=True)]


def _several(x: Variable | Sequence[Variable]) -> list[Variable]:
    return [x] if isinstance(x, Variable) else list(x)


def _host(x: Variable) -> np.ndarray:
    return np.asarray(to_device(x.array, CPU))


def _copy(array: np.ndarray) -> np.ndarray:
    return array_module(array).array(array, order="C")


def _like(x: Variable, values: np.ndarray, requires_grad: bool = False) -> Variable:
    """A leaf with these values, of x's shape, on x's device."""
    return x.family(to_device(values.reshape(x.array.shape), device_of(x.array)), requires_grad)


def _largest(*arrays: np.ndarray) -> float:
    return max(float(np.abs(a).max(initial=0.0)) for a in arrays)


# ---------------------------------------------------------------- without differences


def _check_contract(f: _Map) -> None:
    """fn and its rules are pure; the gradient is finite, the caller's own, and linear in g."""
    before = [_host(x).copy() for x in f.inputs]
    v, w, y = f.v.copy(), f.draw(), f.value()
    if not np.all(np.isfinite(y)):
        f.stop("FAIL", "the output is not finite")
    if not np.array_equal(y, f.value()):
        f.stop("FAIL", "two calls give two outputs: draw its random numbers outside")
    bv, again = f.pull_back(f.v), f.pull_back(f.v)
    if not np.array_equal(f.v, v):
        f.stop("FAIL", "a rule changes the incoming gradient g in place")
    for x, a, name in zip(f.inputs, before, f.names, strict=True):
        if not np.array_equal(_host(x), a):
            f.stop("FAIL", f"{name} is changed in place")
    doubled, negated, zero = f.pull_back(2.0 * v), f.pull_back(-v), f.pull_back(0.0 * v)
    bw, mixed = f.pull_back(w), f.pull_back(2.0 * v - 3.0 * w)
    for k, i in enumerate(f.wanted):
        wrong = lambda what, i=i: f.stop("FAIL", f"the gradient of {f.names[i]} {what}")
        if not np.all(np.isfinite(bv[k])):
            wrong("is not finite")
        if any(np.may_share_memory(bv[k], a) for a in (f.v, *map(_host, f.inputs))):
            wrong("is memory of g or of an input")
        if not np.array_equal(again[k], bv[k]):
            wrong("differs from sweep to sweep")
        sum_ = 2.0 * bv[k] - 3.0 * bw[k]
        slack = 1e-10 * _largest(2.0 * bv[k], 3.0 * bw[k]) + 64 * EPS * _largest(v, w)
        if not (
            # bit for bit: a factor of ±2 rounds nothing that is not as tiny as 1e-308
            _largest(doubled[k] - 2.0 * bv[k], negated[k] + bv[k], zero[k]) < 1e-300
            and _largest(mixed[k] - sum_) <= slack
        ):
            wrong("is not linear in g, to the digits of float64")


def _check_symmetry(f: _Map) -> None:
    """⟨u, H w⟩ = ⟨w, H u⟩ for the Hessian H of ⟨v, f(x)⟩."""
    gradient, inputs, _ = f.gradient()
    xs = [f.inputs[i] for i in f.wanted]
    u, w = ([f.generator.normal(x.array.shape, np.float64) for x in xs] for _ in range(2))

    def form(left: list[np.ndarray], right: list[np.ndarray]) -> np.ndarray:
        """The terms of ⟨left, H right⟩."""
        directions = [_like(x, d) for x, d in zip(xs, right, strict=True)]
        product = _pull_back(gradient, inputs, directions, False)[: len(xs)]
        return np.concatenate([(d * _host(h)).ravel() for d, h in zip(left, product, strict=True)])

    a, b = form(u, w), form(w, u)
    rounding = 64 * EPS * _largest(*f.pull_back(f.v)) * sum(np.abs(d).sum() for d in u)
    if abs(a.sum() - b.sum()) > 1e-10 * float(np.abs(a).sum() + np.abs(b).sum()) + rounding:
        f.stop("FAIL", f"the Hessian is not symmetric: ⟨u, Hw⟩ = {a.sum()}, ⟨w, Hu⟩ = {b.sum()}")


# ---------------------------------------------------------------- with differences


class _Probe(NamedTuple):
    """A direction in an input, of ±1 at some entries, along which the slope is measured."""

    at: np.ndarray | slice  # entries of the flat input
    signs: np.ndarray | float
    step: float
    scale: float  # the size that a slope along it may have
    name: str


class _Slope(NamedTuple):
    """The slope along a probe: what the rules say, and what the difference says, give or take."""

    verdict: str
    rule: float
    difference: float
    noise: float
    why: str = ""


def _check_slopes(f: _Map, rtol: float, expect_zero: bool) -> Report:
    """Every entry of every gradient against its difference; of large inputs, a sample."""
    y, best = f.value(), Report("PASS", 0.0, "")
    for i, a in zip(f.wanted, f.pull_back(f.v), strict=True):
        x, steep, bad = _host(f.inputs[i]).ravel(), False, []
        for probe in _probes(x, a, f.generator):
            slope = _measure(f, i, x, y, a.ravel(), probe, rtol)
            verdict, rule, difference, noise, why = slope
            steep |= abs(difference) > noise
            error = abs(rule - difference) / (probe.scale or 1.0)
            text = f"{f.names[i]}, {probe.name}: rule {rule:.9g}, difference {difference:.9g} ± "
            text += f"{noise:.1g}, ratio {rule / difference if difference else math.inf:.6g}{why}"
            if verdict != "PASS":
                bad.append(Report(verdict, error, text))
            elif error >= best.error:
                best = Report("PASS", error, f"{f.setting}: {text}")
            if len(bad) == DETAILS:
                break
        if bad:
            verdict, error, text = min(bad)  # FAIL comes before UNDECIDED
            f.stop(verdict, f"{text}; {len(bad)} such in {a.shape}", error)
        if a.size and not (steep or expect_zero):
            f.stop("VACUOUS", f"every slope in {f.names[i]} is 0. Meant so? expect_zero=True")
    return best


def _probes(x: np.ndarray, a: np.ndarray, generator: Generator) -> Iterator[_Probe]:
    """Every entry, up to EVERY; of more, the corners, SAMPLES others, and ±1 in all of them.

    With ±1 no single wrong entry hides in the sum, as one with a small factor might.
    """
    n, rms = x.size, math.sqrt(float(np.mean(x * x))) if x.size else 0.0
    entries = range(n)
    if n > EVERY:
        corners = itertools.product(*({0, size - 1} for size in a.shape))
        entries = {int(np.ravel_multi_index(c, a.shape)) for c in corners}
        entries = sorted(entries.union(generator.integers(0, n, (SAMPLES,)).tolist()))
    for j in entries:
        place = tuple(map(int, np.unravel_index(j, a.shape)))
        step = _step(max(abs(float(x[j])), 1e-2 * rms))
        yield _Probe(slice(j, j + 1), 1.0, step, _largest(a), f"entry {place}")
    for k in range(DIRECTIONS if n > EVERY else 0):
        signs = 2.0 * generator.integers(0, 2, (n,)) - 1.0
        yield _Probe(slice(None), signs, _step(rms), float(np.linalg.norm(a)), f"direction {k}")


def _step(size: float) -> float:
    """h = ε^⅓ · size, as a power of 2: then x ± h is rounded little."""
    return 2.0 ** round(math.log2(EPS ** (1 / 3) * (size if size > 1e-8 else 1.0)))


def _measure(
    f: _Map, i: int, x: np.ndarray, y: np.ndarray, a: np.ndarray, probe: _Probe, rtol: float
) -> _Slope:
    """The slope of input i along a probe, at the first of STEPS where rule and difference agree."""
    floor = 16 * EPS ** (4 / 3) * float(np.abs(f.v) @ np.abs(y)) / probe.step  # the rule's rounding
    against: list[_Slope] = []  # the steps at which the rule is not between D⁻ and D⁺
    unclear = None
    for factor in STEPS:
        h = factor * probe.step
        high, low = x.copy(), x.copy()
        high[probe.at] += h * probe.signs
        low[probe.at] -= h * probe.signs
        y_high, y_low = f.value(i, high), f.value(i, low)
        moved = (y_high != y) | (y_low != y)  # most outputs, often, depend on other entries
        v, up, down = f.v[moved], y_high[moved], y_low[moved]
        rule = float(np.sum(a * (high - low))) / (2 * h)  # high - low: the step really taken
        difference = float(v @ (up - down)) / (2 * h)  # first subtract, then weight
        noise = 4 * EPS * float(np.abs(v) @ (np.abs(up) + np.abs(down))) / h + floor
        bend = abs(float(v @ (up - 2 * y[moved] + down))) / h  # |D⁺ - D⁻|
        gap, size = abs(rule - difference), max(abs(rule), abs(difference))
        slack = rtol * (0.1 * probe.scale + size) + noise
        smooth, quiet = bend <= 0.05 * probe.scale + noise, noise <= 1e-5 * probe.scale
        if gap <= slack and smooth and (quiet or size <= noise):
            return _Slope("PASS", rule, difference, noise)
        if gap > slack + bend / 2:
            against.append(_Slope("FAIL", rule, difference, noise))
        why = " (rounding hides the slope)" if smooth else " (a kink is closer than the step)"
        unclear = unclear or _Slope("UNDECIDED", rule, difference, noise, why)
    for s, t in itertools.combinations(against, 2):  # two witnesses that agree with one another
        close = 0.05 * abs(s.difference) + s.noise + t.noise
        if abs(s.difference - t.difference) <= min(close, 0.5 * abs(s.rule - s.difference)):
            return s
    return unclear
