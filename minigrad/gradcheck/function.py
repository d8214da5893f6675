"""A function of tensors as the checker sees it: arrays in, one long vector out, and its gradient.

The gradient is itself a function, (x, v) ↦ Jᵀv, and can be checked like any other: that is the
check of the second order.
"""

import re
from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from minigrad.backend import CPU, Generator, array_module, device_of, to_device
from minigrad.engine import Variable, grad
from minigrad.errors import DTypeError, GraphError
from minigrad.gradcheck.report import GradcheckError, Report

JITTERS = 6  # sweeps from which the rounding of a rule is estimated


class Function:
    """fn as a map from private copies of the inputs to one vector y, and a cotangent v of it."""

    def __init__(
        self, fn: Callable, inputs: Sequence[Variable], names: Sequence[str],
        generator: Generator, setting: str, again: str, v: np.ndarray | None = None,
        terms: float = 0.0,
    ) -> None:  # fmt: skip
        self.fn, self.names, self.generator = fn, names, generator
        self.setting, self.again = setting, again
        self.inputs = [_private(x) for x in inputs]
        self.wanted = [i for i, x in enumerate(inputs) if x.requires_grad]
        self.outputs = [y.family(_copy(y.array)) for y in several(fn(*self.inputs))]
        self.v = self.draw() if v is None else v
        self.terms = terms  # the outputs are sums of terms of this size, which may cancel

    def draw(self) -> np.ndarray:
        """A cotangent from N(0, 1): of both signs, for else g is not told from |g|."""
        return self.generator.normal((sum(y.array.size for y in self.outputs),), np.float64)

    def value(self, i: int | None = None, x: np.ndarray | None = None) -> np.ndarray:
        """All outputs as one vector; input i, if given, has the values x instead of its own."""
        inputs = list(self.inputs)
        if i is not None:
            inputs[i] = like(inputs[i], x, requires_grad=True)
        ys = several(self.fn(*inputs))
        if [y.array.shape for y in ys] != [y.array.shape for y in self.outputs]:
            self.stop("FAIL", "the shape of the output changes from call to call", "impure")
        if any(y.array.dtype != np.float64 for y in ys):
            types = ", ".join(str(y.array.dtype) for y in ys)
            raise DTypeError(f"check_grads: output: got {types}; expected float64 alone")
        return np.concatenate([host(y).ravel() for y in ys])

    def sum_of_terms(self) -> float:
        """√Σ (v y)²: the size of what a gradient adds up, and rounds."""
        y = np.concatenate([host(y).ravel() for y in self.outputs])
        return float(np.linalg.norm(self.v * np.maximum(np.abs(y), self.terms)))

    def pull_back(self, v: np.ndarray) -> list[np.ndarray]:
        """Jᵀv by the rules, for each input that requires a gradient."""
        try:
            return [host(g) for g in pull_back(self.fn, self.inputs, self.split(v), False)]
        except GraphError as error:
            cause, words = _refused(str(error))
            self.stop("FAIL", f"{error}{words}", cause, error)

    def jitter(self) -> list[np.ndarray]:
        """How much Jᵀv changes by the last digits of x and v: what the rules' own rounding is."""
        exact, inputs = self.pull_back(self.v), self.inputs
        last = lambda a: a * (1.0 + 2.0**-37 * self.generator.normal(a.shape, np.float64))
        found = [np.zeros(a.shape) for a in exact]
        for _ in range(JITTERS):
            self.inputs = list(inputs)
            for i in self.wanted:
                self.inputs[i] = like(inputs[i], last(host(inputs[i])), requires_grad=True)
            changes = map(np.subtract, self.pull_back(last(self.v)), exact)
            found = list(map(np.fmax, found, map(np.abs, changes)))
        self.inputs = inputs
        return found

    def split(self, v: np.ndarray, requires_grad: bool = False) -> list[Variable]:
        """The vector v as cotangents of the outputs."""
        parts = np.split(v, np.cumsum([y.array.size for y in self.outputs])[:-1])
        return [like(y, part, requires_grad) for y, part in zip(self.outputs, parts, strict=True)]

    def gradient(self) -> tuple[Callable, list[Variable], list[str]]:
        """The map (x, v) ↦ Jᵀv, its inputs, and their names."""
        fn, n, order = self.fn, len(self.inputs), self.setting.split(",")[0]
        vs = self.split(self.v, requires_grad=True)
        names = [f"the cotangent of output {j} at {order}" for j in range(len(vs))]
        function = lambda *xv: pull_back(fn, xv[:n], xv[n:], True)
        return function, [*self.inputs, *vs], [*self.names, *names]

    def stop(
        self, verdict: str, what: str, cause: str = "", by: Exception | None = None,
    ) -> NoReturn:  # fmt: skip
        """Raise GradcheckError with that verdict."""
        message = f"{self.setting}: {what}\n  to reproduce: {self.again}"
        raise GradcheckError(Report(verdict, float("inf"), message, cause=cause)) from by


def _refused(message: str) -> tuple[str, str]:
    """What the engine's refusal of a gradient means: a key, and words."""
    found = re.search(r"gradient of shape \((.*?)\), (\w+) .*expected \((.*?)\), (\w+) ", message)
    if found is None:
        return "refused", ""
    got, got_type, expected, type_ = found.groups()
    got, expected = ([int(n) for n in re.findall(r"\d+", shape)] for shape in (got, expected))
    if got_type != type_:
        return "type", f"\n    likely cause: the rule computes in {got_type}"
    pad = [1] * (len(got) - len(expected)) + expected
    if len(pad) == len(got) and all(a == b or b == 1 for a, b in zip(got, pad, strict=True)):
        return "unreduced", "\n    likely cause: the sum over the broadcast axes is missing"
    return "shape", ""


def pull_back(
    fn: Callable, xs: Sequence[Variable], vs: Sequence[Variable], create_graph: bool
) -> list[Variable]:
    """The gradient of Σ ⟨v, fn(xs)⟩ in each x that requires one; zeros where nothing connects."""
    pairs = [(y, v) for y, v in zip(several(fn(*xs)), vs, strict=True) if y.requires_grad]
    wanted = [x for x in xs if x.requires_grad]
    found = grad(
        [y for y, _ in pairs], wanted, [v for _, v in pairs],
        create_graph=create_graph, allow_unused=True,
    )  # fmt: skip
    zeros = (like(x, np.zeros(x.array.shape, x.array.dtype)) for x in wanted)
    return [zero if g is None else g for zero, g in zip(zeros, found, strict=True)]


def several(x: Variable | Sequence[Variable]) -> list[Variable]:
    """One tensor, or several, as a list."""
    return [x] if isinstance(x, Variable) else list(x)


def host(x: Variable) -> np.ndarray:
    """The values of x, on the CPU."""
    return np.asarray(to_device(x.array, CPU))


def like(x: Variable, values: np.ndarray, requires_grad: bool = False) -> Variable:
    """A leaf with these values, of x's shape, on x's device."""
    return x.family(to_device(values.reshape(x.array.shape), device_of(x.array)), requires_grad)


def largest(*arrays: np.ndarray) -> float:
    """The largest |entry|"""
    return max(float(np.abs(a).max(initial=0.0)) for a in arrays)


def _private(x: Variable) -> Variable:
    return x.family(_copy(x.array), x.requires_grad)


def _copy(array: np.ndarray) -> np.ndarray:
    return array_module(array).array(array, order="C")
