"""Where the first NaN or infinity came from: the operation, and the line that called it.

A NaN spreads: once there is one, soon everything is NaN, and the loss tells nothing of its origin.
An operation is at fault if its output is NaN though no input was, or infinite though no input was;
a rule likewise, with the incoming gradient among its inputs. An infinity that was given passes: it
may be meant, as in a mask of -∞ before a softmax. A NaN that was given does not.
"""

import contextlib
import linecache
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from minigrad import engine
from minigrad.backend import array_module
from minigrad.engine import Primitive, Variable, history
from minigrad.errors import NonFiniteError
from minigrad.nn.module import Module
from minigrad.watching import watch, watched_by

Names = Mapping[Variable, str]
_NO_NAMES: Names = {}

_PACKAGE = str(Path(__file__).parent) + os.sep
_SWEEP = engine._sweep.__code__


# ---------------------------------------------------------------- the mode


@contextlib.contextmanager
def anomaly() -> Iterator[None]:
    """Within `with anomaly():` the first NaN or infinity raises, in this thread.

    The NonFiniteError names the operation that made it, the entry, and the line outside minigrad
    that called the operation: in a backward sweep, the operation whose rule it was.

    >>> from minigrad import tensor
    >>> x = tensor([4.0, 0.0], requires_grad=True)
    >>> with anomaly():  # doctest: +ELLIPSIS
    ...     x.sqrt().sum().backward()
    Traceback (most recent call last):
        ...
    minigrad.errors.NonFiniteError: backward of sqrt: gradient of input 0, (2,): got 1 infinite ...
      File "<doctest minigrad.nonfinite.anomaly[2]>", line 2, in <module>
        x.sqrt().sum().backward()

    It looks at every array, which about doubles the time; outside it costs nothing.
    """
    with np.errstate(all="ignore"), watched_by(_Detective()):  # its error says more than a warning
        yield


@contextlib.contextmanager
def detect_anomaly(check_nan: bool = True) -> Iterator[None]:
    """PyTorch's mode: `anomaly` in backward sweeps only, and for NaN only."""
    with watched_by(_Detective(forward=False, infinite=False, check=check_nan)):
        yield


class set_detect_anomaly:
    """`detect_anomaly` from now on, or no longer; as a context manager, until it ends."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        detective = _Detective(forward=False, infinite=False, check=check_nan)
        self._before = watch(detective if mode else None)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        watch(self._before)


class _Detective:
    """Looks at every array that is made; keeps nothing but the line, on the output itself."""

    def __init__(self, forward: bool = True, infinite: bool = True, check: bool = True) -> None:
        self.forward, self.infinite, self.check = forward, infinite, check

    def made(self, y: Variable, op: Primitive, inputs: Iterable, params: Mapping) -> None:
        """Leave on y the line that called op; raise if op is at fault."""
        y.place, sweeps = _called_from(sys._getframe(1))
        if self.forward and not sweeps:  # what a rule computes on the way may be masked yet
            fault = _fault(y, op, inputs, params)
            if fault:
                raise NonFiniteError(f"{fault}. Called in{_line(y)}")

    def flowed(self, y: Variable, i: int, g: Variable, gᵢ: Variable, total: Variable) -> None:
        """Raise if the rule of input i, or adding up what reached it, is at fault."""
        if not self.check or _called_from(sys._getframe(1))[1] > 1:
            return
        found = _Flaws(gᵢ.array)
        given = {"g": g, "the output": y, **_numbered(y.inputs), **y.params}
        what = f"gradient of input {i}"
        if not found and total is not gᵢ:
            found, given = _Flaws(total.array), {}
            what = f"sum of the gradients that reach input {i}"
        if found.blame(given.values(), self.infinite):
            name, line = y.primitive.name, _line(y)
            called = (
                f"{name} was called in{line}"
                if line
                else (
                    f"Compute the output of {name} in this mode too to see the line that called it"
                )
            )
            raise NonFiniteError(
                f"backward of {name}: {what}, {gᵢ.array.shape}: {found.text(given)}. {called}"
            )


def first_nonfinite(loss: Variable, module: Module | None = None) -> str:
    """What made the first NaN or infinity in the graph of `loss`, in words.

    A leaf that holds one is named by its name among the module's parameters. The line of the call
    is known if the graph was made under `anomaly`.
    """
    names = {} if module is None else {p: name for name, p in module.named_parameters()}
    nodes = history([loss])
    for meant in (True, False):  # an infinity that was given is the last to be suspected
        for y in nodes:
            fault = _fault(y, y.primitive, y.inputs, y.params, names, meant)
            if fault:
                return fault + _line(y)
    return "the graph holds no operation"


def squared_gradients(module: Module) -> Any:
    """Σ g² over all gradients, a number or an array with no axes; finite only if they all are."""
    gradients = [p.grad.array.reshape(-1) for p in module.parameters() if p.grad is not None]
    with np.errstate(all="ignore"):
        return sum(g.dot(g) for g in gradients)


def nonfinite_gradient(module: Module, squares: float | None = None) -> str | None:
    """The first parameter whose gradient holds a NaN or an infinity, in words; None if none does.

    `squares` is what `squared_gradients` answered, if that is known: one number for all of them.
    """
    if math.isfinite(squared_gradients(module) if squares is None else squares):
        return None
    gradients = {n: p.grad.array for n, p in module.named_parameters() if p.grad is not None}
    for name, g in gradients.items():
        flaws = _Flaws(g)
        if flaws:
            return (
                f"gradient of parameter {name}, {g.shape}: {flaws.text({})}. "
                "minigrad.anomaly() names the operation whose rule made it"
            )
    return None  # so large that the squares overflow


# ---------------------------------------------------------------- who is at fault


class _Flaws:
    """The NaNs and infinities of an array, if any."""

    def __init__(self, x: Any) -> None:
        array = x.array if isinstance(x, Variable) else x
        self.array = array if getattr(array, "dtype", np.dtype(object)).kind == "f" else None
        if isinstance(array, float):
            self.array = np.asarray(array)
        xp = array_module(self.array)
        self.nan = self.infinite = False
        if self.array is not None and not xp.isfinite(self.array).all():
            self.nan = bool(xp.isnan(self.array).any())
            self.infinite = bool(xp.isinf(self.array).any())

    def __bool__(self) -> bool:
        return self.nan or self.infinite

    def blame(self, given: Iterable, infinite: bool = True) -> bool:
        """Whether a NaN is here, or an infinity that is in nothing of what was given."""
        if self.nan or not (self.infinite and infinite):
            return self.nan
        return not any(_Flaws(x).infinite for x in given)

    def text(self, given: Mapping[str, Any]) -> str:
        """How many of which, the first place, and what was given there."""
        xp, a = array_module(self.array), self.array
        kind = "NaN" if self.nan else "infinite"
        flawed = xp.isnan(a) if self.nan else xp.isinf(a)
        first = np.unravel_index(int(flawed.argmax()), a.shape)
        first = tuple(int(n) for n in first)
        there = [
            f"{name} = {float(x.array[first]):g}" for name, x in given.items()
            if isinstance(x, Variable) and x.array.shape == a.shape and x.array.dtype.kind == "f"
        ]  # fmt: skip
        place = f", the first at {first}" if first else ""
        place += f", where {', '.join(there)}" if there else ""
        return f"got {int(flawed.sum())} {kind} of {a.size} entries{place}; expected finite numbers"


def _fault(
    y: Variable, op: Primitive, inputs: Iterable, params: Mapping,
    names: Names = _NO_NAMES, meant: bool = True,
) -> str | None:  # fmt: skip
    """What is wrong with the output y or already with an input; None if op is not at fault."""
    found = _Flaws(y)
    if not found:
        return None
    given = {**_numbered(inputs), **params}
    for name, x in given.items():
        flaws = _Flaws(x)
        known = names.get(x) if isinstance(x, Variable) else None
        if flaws.nan or (flaws.infinite and (known or not meant)):
            name = f"parameter {known}" if known else name
            shape = f", {x.array.shape}" if isinstance(x, Variable) else ""
            return f"{op.name}: {name}{shape}, as it was given: {flaws.text({})}"
    if found.blame(given.values()):
        return f"{op.name}: output, {y.array.shape}: {found.text(given)}"
    return None


def _numbered(inputs: Iterable) -> dict[str, Any]:
    return {f"input {i}": x for i, x in enumerate(inputs)}


# ---------------------------------------------------------------- whose line it was


def _called_from(frame: FrameType | None) -> tuple[tuple | None, int]:
    """(file, line, function) of the innermost call outside minigrad, and the sweeps around it."""
    place, sweeps = None, 0
    while frame is not None:
        code = frame.f_code
        if code is _SWEEP:
            sweeps += 1
        elif place is None and not code.co_filename.startswith(_PACKAGE):
            place = code.co_filename, frame.f_lineno, code.co_name
        frame = frame.f_back
    return place, sweeps


def _line(y: Variable) -> str:
    """The place of y as Python's tracebacks write it."""
    place = getattr(y, "place", None)
    if place is None:
        return ""
    file, line, function = place
    text = linecache.getline(file, line).strip()
    return f'\n  File "{file}", line {line}, in {function}' + (f"\n    {text}" if text else "")
