r"""The whole of automatic differentiation, and not one operation.

A primitive is a function y = f(x₁, …, xₙ) on arrays. Beside it stands one rule per input, the
vector-Jacobian product

    gᵢ = (∂y/∂xᵢ)ᵀ g,        where g = ∂L/∂y is the incoming gradient of a scalar L.

Calling a primitive on variables computes y and, if an input requires a gradient, leaves on the
output which primitive made it from which inputs: that is the graph. The sweep walks the graph from
the latest output to the earliest, runs the rules and adds up what reaches each variable.
Rules compute with variables, not arrays: a gradient is itself an output of primitives, so a
derivative of any order is one more sweep.
"""

import contextlib
import functools
import inspect
import itertools
import operator
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from minigrad.backend import Array, array_module, device_of, memory_owner
from minigrad.errors import DeviceError, DTypeError, GraphError, ShapeError
from minigrad.watching import current, watchers

# ---------------------------------------------------------------- whether the graph is recorded

_recording: ContextVar[bool] = ContextVar("recording", default=True)


def is_grad_enabled() -> bool:
    """Whether primitives record the graph, in this thread, now."""
    return _recording.get()


class set_grad_enabled(contextlib.ContextDecorator):
    """Within `with set_grad_enabled(mode):` primitives record the graph if `mode` is true."""

    def __init__(self, mode: bool) -> None:
        self._mode = mode
        self._tokens: list = []

    def __enter__(self) -> None:
        self._tokens.append(_recording.set(self._mode))

    def __exit__(self, *error: object) -> None:
        _recording.reset(self._tokens.pop())

    def _recreate_cm(self) -> "set_grad_enabled":
        return set_grad_enabled(self._mode)  # a decorated function may run in several threads


class no_grad(set_grad_enabled):
    """Within `with no_grad():`, or in a function decorated `@no_grad()`, no graph is recorded."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(set_grad_enabled):
    """Within `with enable_grad():` the graph is recorded, inside a `no_grad` block too."""

    def __init__(self) -> None:
        super().__init__(True)


# ---------------------------------------------------------------- what rules share

_shared: ContextVar[dict | None] = ContextVar("shared", default=None)


class _Sharing:
    """Within it the rules of a node share what they compute: in a dict, to be cleared for each."""

    def __enter__(self) -> dict:
        self._token = _shared.set(found := {})
        return found

    def __exit__(self, *error: object) -> None:
        _shared.reset(self._token)


def once(function: Callable[..., Any], *args: Any) -> Any:
    """function(*args), computed once for all rules of a node, none of which may change it."""
    found = _shared.get()
    if found is None:
        return function(*args)
    key = function, *map(id, args)
    if key not in found:
        found[key] = function(*args), args  # while these live, nothing else has their ids
    return found[key][0]


# ---------------------------------------------------------------- variables and primitives

_births = itertools.count(1)
_birth = operator.attrgetter("birth")
_new = object.__new__
_NO_PARAMS: dict[str, Any] = {}


class Variable:
    """An array in a graph of derivatives.

    A leaf was made by hand; any other variable is the output of `primitive` for `inputs` and
    `params`, and so is a node of the graph. `birth` counts up over all variables: an output is
    born after its inputs. A watcher may leave on it the `place` where the primitive was called.
    """

    __slots__ = (
        "array", "requires_grad", "grad", "primitive", "inputs", "params", "birth", "place",
        "__weakref__",
    )  # fmt: skip
    __array_ufunc__ = None  # numpy_array * variable asks the variable, not NumPy
    family: type["Variable"]  # the class of what primitives make of such variables

    def __init__(self, array: Array, requires_grad: bool = False) -> None:
        if requires_grad and array.dtype.kind != "f":
            raise DTypeError(
                f"requires_grad: got element type {array.dtype}; expected a float type: "
                "only real numbers have derivatives. Use .float()"
            )
        self.array = array
        self.requires_grad = requires_grad
        self.grad: Variable | None = None
        self.primitive: Primitive | None = None
        self.inputs: tuple = ()
        self.params: dict[str, Any] = _NO_PARAMS
        self.birth = next(_births)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded primitive made it; only leaves that require a gradient keep one."""
        return self.primitive is None

    def backward(
        self,
        gradient: "Variable | None" = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: "Sequence[Variable] | None" = None,
    ) -> None:
        """Add ∂L/∂x to `x.grad` of every leaf x that this variable was computed from.

        L is this variable if it is a scalar, else ⟨gradient, this variable⟩. The graph is freed
        on the way unless `retain_graph`; `create_graph` records the sweep itself, so that `.grad`
        can be differentiated again. `inputs` restricts the leaves.

        Raises GraphError if there is no graph, if it was freed, if a value that a rule needs
        was edited in place, or if this variable is no scalar and `gradient` is missing.
        """
        retain_graph = create_graph if retain_graph is None else retain_graph
        wanted = None if inputs is None else list(inputs)
        found = _sweep([self], [gradient], wanted, retain_graph, create_graph)
        for leaf, total in found.items():
            if create_graph:
                total = total + 0.0  # in memory of its own, and still with its graph
            leaf.grad = total if leaf.grad is None else leaf.grad + total


Variable.family = Variable


class Primitive:
    """A function on arrays with a derivative rule for each of its inputs.

    The function's positional parameters without default are its inputs, variables at a call; the
    others are its parameters, and the rules get them by name. Made by the decorator `primitive`:

        @primitive
        def exp(x):
            return array_module(x).exp(x)

        exp.vjp(lambda g, y, x: g * y)
    """

    def __init__(self, forward: Callable[..., Array]) -> None:
        functools.update_wrapper(self, forward)
        self.name = forward.__name__
        self.forward = forward
        self.rules: Sequence[Callable] = ()
        is_input = lambda p: p.default is p.empty and p.kind is not p.KEYWORD_ONLY
        described = inspect.signature(forward).parameters.values()
        variadic = any(p.kind is p.VAR_POSITIONAL for p in described)
        self.arity = None if variadic else sum(map(is_input, described))
        self.parameters = [p.name for p in described if not is_input(p)]
        self._defaults = {p.name: p.default for p in described if p.default is not p.empty}

    def vjp(self, *rules: Callable[..., Variable]) -> None:
        """State the rules, one per input, each called as rule(g, y, *inputs, **params)."""
        self.rules = rules

    def vjp_for_each(self, rule: Callable[..., Variable]) -> None:
        """State one rule for any number of inputs, called as rule(i, g, y, *inputs, **params)."""
        self.rules = _RuleForEach(rule)

    def __call__(self, *inputs: Any, **params: Any) -> Variable:
        if self.parameters:
            if self.arity is not None and len(inputs) > self.arity:
                if len(inputs) > self.arity + len(self.parameters):
                    raise TypeError(f"{self.name}: got {len(inputs)} arguments; expected fewer")
                params.update(zip(self.parameters, inputs[self.arity :], strict=False))
                inputs = inputs[: self.arity]
            params = {**self._defaults, **params}
        arrays = []
        family = None
        requires_grad = False
        for x in inputs:
            if isinstance(x, Variable):
                arrays.append(x.array)
                family = x.family
                if x.requires_grad:
                    requires_grad = True
            else:
                arrays.append(x)
        if family is None:
            raise DTypeError(
                f"{self.name}: got {', '.join(type(x).__name__ for x in inputs)}; "
                "expected a tensor. Use minigrad.tensor(...)"
            )
        try:
            array = self.forward(*arrays, **params)
        except (TypeError, ValueError, AttributeError):  # as arrays of two libraries may raise
            self._check_devices(arrays)
            raise
        return self.output(array, family, requires_grad, inputs, params)

    def output(
        self, array: Array, family: type, requires_grad: bool, inputs: tuple,
        params: dict[str, Any] = _NO_PARAMS,
    ) -> Variable:  # fmt: skip
        """A variable that holds `array`; a node of the graph if it is to be differentiated."""
        y = _new(family)
        y.array = array
        y.grad = None
        y.birth = next(_births)
        if requires_grad and self.rules and _recording.get():
            y.requires_grad = True
            y.primitive, y.inputs, y.params = self, inputs, params
        else:
            y.requires_grad = False
            y.primitive, y.inputs, y.params = None, (), _NO_PARAMS
        if watchers and (watcher := current.get()) is not None:
            watcher.made(y, self, inputs, params)
        return y

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """A primitive in a class body is a method: `Tensor.exp = exp` makes `x.exp()`."""
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def _check_devices(self, arrays: Iterable[Array]) -> None:
        places = {i: device_of(a) for i, a in enumerate(arrays) if hasattr(a, "shape")}
        elsewhere = [str(where) for where in places.values() if where.type != "cpu"]
        if len(set(places.values())) > 1:
            got = ", ".join(f"input {i} on {where}" for i, where in places.items())
            raise DeviceError(
                f"{self.name}: inputs on different devices: got {got}; expected one. "
                f'Use .to("{elsewhere[0].removesuffix(":0")}")'
            )


class _RuleForEach:
    """The rules of a primitive with any number of inputs: one rule that is told which."""

    def __init__(self, rule: Callable[..., Variable]) -> None:
        self.rule = rule

    def __getitem__(self, i: int) -> Callable[..., Variable]:
        return functools.partial(self.rule, i)


def primitive(forward: Callable[..., Array]) -> Primitive:
    """Make a function on arrays a primitive; its rules are stated by `.vjp(...)`."""
    return Primitive(forward)


# ---------------------------------------------------------------- the sweep


def grad(
    outputs: "Variable | Sequence[Variable]",
    inputs: "Variable | Sequence[Variable]",
    grad_outputs: "Variable | Sequence[Variable | None] | None" = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> "tuple[Variable | None, ...]":
    """∂(Σ ⟨grad_output, output⟩)/∂x for each x in `inputs`; no `.grad` is touched.

    Only what lies between inputs and outputs is computed. An input that the outputs do not depend
    on is an error, or None if `allow_unused`. The other arguments are those of `backward`.
    """
    outputs, inputs = _tensors("output", outputs), _tensors("input", inputs)
    if grad_outputs is None or isinstance(grad_outputs, Variable):
        grad_outputs = [grad_outputs] * len(outputs)
    if len(grad_outputs) != len(outputs):
        raise GraphError(
            f"grad: grad_outputs: got {len(grad_outputs)}; expected one per output, {len(outputs)}"
        )
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            raise GraphError(f"grad: input {i} does not require a gradient: {_whence(x)}")
    retain_graph = create_graph if retain_graph is None else retain_graph
    found = _sweep(outputs, grad_outputs, inputs, retain_graph, create_graph)
    for i, x in enumerate(inputs):
        if x not in found and not allow_unused:
            raise GraphError(
                f"grad: the outputs do not depend on input {i}; "
                "pass allow_unused=True to get None for it"
            )
    return tuple(found.get(x) for x in inputs)


def _tensors(name: str, given: Any) -> list[Variable]:
    """One variable or several as a list."""
    found = list(given) if isinstance(given, (list, tuple, Iterator)) else [given]
    for i, x in enumerate(found):
        if not isinstance(x, Variable):
            raise DTypeError(f"grad: {name} {i}: got {type(x).__name__}; expected a tensor")
    return found


def history(outputs: Iterable[Variable]) -> list[Variable]:
    """The recorded nodes that `outputs` depend on, inputs before outputs.

    An output is born after its inputs, so the order of birth is a topological order.
    """
    stack = [y for y in outputs if y.primitive is not None]
    seen = set(stack)
    while stack:
        y = stack.pop()
        if not y.inputs:
            raise GraphError(
                f"backward: the graph was freed by an earlier sweep (at {y.primitive.name}). "
                "Pass retain_graph=True to that sweep, or compute the outputs again"
            )
        for x in y.inputs:
            if isinstance(x, Variable) and x.primitive is not None and x not in seen:
                seen.add(x)
                stack.append(x)
    return sorted(seen, key=_birth)


def _sweep(
    outputs: Sequence[Variable],
    gradients: Sequence[Variable | None],
    inputs: Sequence[Variable] | None,
    retain_graph: bool,
    create_graph: bool,
) -> dict[Variable, Variable]:
    """∂(Σ ⟨gradient, output⟩)/∂x for each x in `inputs`, or for each leaf if that is None."""
    totals: dict[Variable, Variable] = {}  # what has reached each variable so far: Σ of its gᵢ
    starts = [_incoming(y, g) for y, g in zip(outputs, gradients, strict=True)]
    watcher = current.get()
    with set_grad_enabled(create_graph), _Sharing() as shared:
        for y, g in zip(outputs, starts, strict=True):
            totals[y] = totals[y] + g if y in totals else g
        given = list(totals.values())
        nodes = history(outputs)
        ends = set(inputs or ())
        nodes, wanted = (nodes, None) if inputs is None else _computed_from(ends, nodes)
        while nodes:
            y = nodes.pop()
            g = totals.get(y) if y in ends else totals.pop(y, None)
            if g is None:
                continue
            if y.birth < _last_edit:
                _check_unedited(y)
            for i, x in enumerate(y.inputs):
                if not isinstance(x, Variable) or not x.requires_grad:
                    continue
                if wanted is None or x in wanted:
                    gᵢ = y.primitive.rules[i](g, y, *y.inputs, **y.params)
                    a, b = gᵢ.array, x.array
                    if a.shape != b.shape or a.dtype is not b.dtype or type(a) is not type(b):
                        _check_gradient(y, i, x, gᵢ)
                    reached = totals.get(x)
                    totals[x] = total = gᵢ if reached is None else reached + gᵢ
                    if watcher is not None:
                        watcher.flowed(y, i, g, gᵢ, total)
            shared.clear()
            if not retain_graph:
                y.inputs, y.params = (), _NO_PARAMS  # freed; `history` says so to the next sweep
    found = totals if inputs is None else {x: totals[x] for x in inputs if x in totals}
    if not create_graph:
        _give_own_memory(found, given)
    return found


def _computed_from(
    ends: set[Variable], nodes: Iterable[Variable]
) -> tuple[list[Variable], set[Variable]]:
    """Those of `nodes` (earliest first) that depend on one of `ends`; the set of both."""
    found, wanted = [], set(ends)
    for y in nodes:
        for x in y.inputs:
            if isinstance(x, Variable) and x in wanted:
                found.append(y)
                wanted.add(y)
                break
    return found, wanted


def _give_own_memory(found: dict[Variable, Variable], given: Iterable[Variable]) -> None:
    """Copy the gradients that are views, or that are one array with another's or the caller's.

    A rule may answer with g itself (that of addition does), yet who changes one `.grad` in place
    must not change a second.
    """
    taken = {id(g.array) for g in given}
    for x, g in found.items():
        if id(g.array) in taken or getattr(g.array, "base", None) is not None:
            found[x] = g = x.family(g.array.copy("K"))
        taken.add(id(g.array))


# ---------------------------------------------------------------- what a sweep refuses


def _incoming(y: Variable, g: Variable | None) -> Variable:
    """The gradient that a sweep starts from at the output `y`."""
    if not y.requires_grad:
        raise GraphError(f"backward: the output does not require a gradient: {_whence(y)}")
    shape = y.array.shape
    if g is None:
        if shape != () and y.array.size != 1:
            raise GraphError(
                f"backward: the output has shape {shape}, and only a scalar has a gradient of its "
                "own. Reduce it, or pass the gradient of a scalar with respect to it"
            )
        return y.family(array_module(y.array).ones_like(y.array))
    if not isinstance(g, Variable):
        raise DTypeError(f"backward: gradient: got {type(g).__name__}; expected a tensor")
    if g.array.shape != shape:
        raise ShapeError(f"backward: gradient: got shape {g.array.shape}; expected {shape}")
    if g.array.dtype != y.array.dtype:
        raise DTypeError(f"backward: gradient: got {g.array.dtype}; expected {y.array.dtype}")
    return g


def _whence(x: Variable) -> str:
    if not is_grad_enabled():
        return "no graph is recorded under no_grad"
    return (
        "it was computed under no_grad, detached, or made of constants only; "
        "set requires_grad=True on the leaves that it should be differentiated by"
    )


def _check_gradient(y: Variable, i: int, x: Variable, g: Variable) -> None:
    """What a rule answers has its input's shape, element type and device."""
    a, b = g.array, x.array
    if a.shape != b.shape or a.dtype != b.dtype or array_module(a) is not array_module(b):
        raise GraphError(
            f"{y.primitive.name}: the rule of input {i} gave a gradient of shape {a.shape}, "
            f"{a.dtype} on {device_of(a)}; expected {b.shape}, {b.dtype} on {device_of(b)}"
        )


# In-place edits, each stamped on the array that owns the memory, so that all its views share the
# stamp: owner's id → (weak reference that forgets it, the edit's birth).
_edits: dict[int, tuple[weakref.ref, int]] = {}
_last_edit = 0


def mark_edited(array: Array) -> None:
    """Note that the memory of `array` was changed in place: graphs recorded earlier are stale."""
    global _last_edit
    owner = memory_owner(array)
    key = id(owner)
    _last_edit = next(_births)
    _edits[key] = (weakref.ref(owner, lambda _: _edits.pop(key, None)), _last_edit)


def _check_unedited(y: Variable) -> None:
    for what, x in (("output", y), *((f"input {i}", x) for i, x in enumerate(y.inputs))):
        if isinstance(x, Variable):
            _, edited = _edits.get(id(memory_owner(x.array)), (None, 0))
            if edited > y.birth:
                raise GraphError(
                    f"backward: the {what} of {y.primitive.name}, shape {x.array.shape}, was "
                    "edited in place after the graph recorded it. Edit a .clone(), or compute "
                    "the output again"
                )
