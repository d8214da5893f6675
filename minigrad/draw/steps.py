"""A backward sweep told step by step: what came in, the rule, what went out."""

import ast
import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from minigrad.backend import CPU, to_device
from minigrad.draw.diagram import named
from minigrad.engine import Primitive, Variable, grad, history
from minigrad.nn.module import Module
from minigrad.ops.arguments import check_tensors
from minigrad.watching import watched_by

FEW = 6  # so many numbers are written out


def backward_steps(
    y: Variable,
    gradient: Variable | None = None,
    names: Mapping[str, Variable] | None = None,
    module: Module | None = None,
    limit: int = 50,
) -> str:
    """The sweep from `y`, operation by operation, as text; the graph stays, no `.grad` is touched.

    Each step names the operation and its formula, the gradient g that came in, and for each input
    that requires a gradient the rule and what it gave; small arrays are written out, of others the
    shape and the norm. What has reached an input in several parts is added up. After `limit` steps
    the rest is counted. Arguments as in `backward` and in `graph`.

    >>> from minigrad import tensor
    >>> x = tensor(3.0, requires_grad=True)
    >>> print(backward_steps(x.exp() * x, names={"x": x}))
    backward from #2 multiply (): g = 1
    <BLANKLINE>
     1. #2 multiply ()   y = a b
        g = 1
        to #1 exp ()     g * b = 3
        to x ()          g * a = 20.09
     2. #1 exp ()        y = eˣ
        g = 3
        to x ()          g * y = 60.26, in all = 80.34

    Raises GraphError if there is no graph, it was freed, or y is no scalar and has no gradient;
    DTypeError for what is no tensor.
    """
    check_tensors("backward_steps", y, optional=gradient)
    operations = history([y])
    labels = _Labels(named(names, module), {x: i + 1 for i, x in enumerate(operations)})
    leaves = {x: None for node in operations for x in node.inputs if _is_learned(x)} or {y: None}
    teller = _Teller(labels, limit)
    with watched_by(teller):
        grad(y, list(leaves), gradient, retain_graph=True, allow_unused=True)
    start = "= 1" if gradient is None else _is(gradient)
    width = max((len(left) for left, _ in teller.rows), default=0) + 2
    lines = [f"backward from {labels(y)}: g {start}", ""]
    lines += [f"{left:{width}s} {right}".rstrip() if right else left for left, right in teller.rows]
    if teller.steps > limit:
        lines.append(f"… and {teller.steps - limit:,} more steps")
    return "\n".join(lines)


def _is_learned(x: Variable) -> bool:
    return isinstance(x, Variable) and x.is_leaf and x.requires_grad


class _Labels:
    """Names for variables: the given one, or the operation with its number in the graph."""

    def __init__(self, names: Mapping[Variable, str], numbers: Mapping[Variable, int]) -> None:
        self._names, self._numbers = names, numbers

    def __call__(self, x: Variable) -> str:
        name = self._names.get(x, "" if x in self._numbers else "leaf")
        if x in self._numbers:
            name = f"#{self._numbers[x]} {x.primitive.name}" + (f" = {name}" if name else "")
        return f"{name} {x.array.shape}"


class _Teller:
    """Writes down what a sweep does, up to `limit` operations."""

    def __init__(self, labels: _Labels, limit: int) -> None:
        self.labels, self.limit = labels, limit
        self.rows: list[tuple[str, str]] = []
        self.steps = 0
        self._now: Variable | None = None

    def made(self, *_: object) -> None:
        """Operations are of no interest here."""

    def flowed(self, y: Variable, i: int, g: Variable, gᵢ: Variable, total: Variable) -> None:
        """Write down the gradient of one input."""
        if y is not self._now:
            self._now = y
            self.steps += 1
            if self.steps <= self.limit:
                formula = inspect.cleandoc(y.primitive.__doc__ or "").split("\n")[0]
                self.rows.append((f"{self.steps:2d}. {self.labels(y)}", formula))
                self.rows.append((f"    g {_is(g)}", ""))
        if self.steps <= self.limit:
            added = "" if total is gᵢ else f", in all {_is(total)}"
            given = f"{rule_text(y.primitive, i)} {_is(gᵢ)}{added}"
            self.rows.append((f"    to {self.labels(y.inputs[i])}", given))


def _is(x: Variable) -> str:
    """A few numbers as they are, of more their norm."""
    array = np.asarray(to_device(x.array, CPU))
    if array.size > FEW:
        return f"of norm {np.linalg.norm(array.astype(np.float64)):.4g}"
    return "= " + np.array2string(
        array, separator=", ", formatter={"float_kind": "{:.4g}".format}
    ).replace("\n", "")  # fmt: skip


# ---------------------------------------------------------------- the text of a rule


def rule_text(op: Primitive, i: int) -> str:
    """The rule of input i as it stands in the source, or its docstring, or its name.

    >>> from minigrad.ops.elementwise import square
    >>> rule_text(square, 0)
    'g * (x * 2.0)'
    """
    rule = _innermost(op.rules[i])
    lambdas = _lambdas(rule.__code__.co_filename).get(rule.__code__.co_firstlineno, [])
    if rule.__name__ == "<lambda>" and lambdas:
        try:
            of_this_line = [r for r in map(_innermost, op.rules) if _place(r) == _place(rule)]
        except TypeError:  # one rule for any number of inputs
            of_this_line = [rule]
        if len(of_this_line) == len(lambdas):
            return lambdas[of_this_line.index(rule)]
    return inspect.cleandoc(rule.__doc__ or rule.__name__).split("\n")[0]


def _innermost(rule: Callable | None) -> Callable | None:
    rule = rule.func if isinstance(rule, functools.partial) else rule
    return inspect.unwrap(rule) if rule is not None else None


def _place(rule: Callable | None) -> tuple | None:
    return rule and (rule.__code__.co_filename, rule.__code__.co_firstlineno)


@functools.lru_cache
def _lambdas(file: str) -> dict[int, list[str]]:
    """The bodies of the lambdas of a file, by line, from left to right."""
    found: dict[int, list[str]] = {}
    if not Path(file).is_file():
        return found
    text = Path(file).read_text("utf-8")
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Lambda)]
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
        body = ast.get_source_segment(text, node.body) or ""
        found.setdefault(node.lineno, []).append(" ".join(body.split()))
    return found
