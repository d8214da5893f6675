"""Wrong rules, planted in place of right ones: whoever checks gradients should see each of them.

A family is one mistake that can be made in any rule, such as a wrong sign; `handmade` has those of
a particular one. A mutant is a family at a site, which is a primitive with inputs that it is called
with somewhere in the table, and one of its rules.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minigrad.engine import Primitive, Variable, grad, history
from minigrad.errors import GraphError
from minigrad.gradcheck import GradcheckError, Report, check_grads
from minigrad.samples.row import Inapplicable, Row
from minigrad.tensor import Tensor

GENERIC = 100, 101, 102  # seeds of the draws on which a wrong rule must differ from the right one


class Call(NamedTuple):
    """A rule about to be run: rule(g, y, *inputs, **params)."""

    rule: Callable[..., Variable]
    i: int
    g: Tensor
    y: Tensor
    inputs: tuple
    params: dict[str, Any]
    rules: Any

    def right(self, g: Variable | None = None) -> Tensor:
        """What the right rule answers, to this g if one is given."""
        return self.rule(self.g if g is None else g, self.y, *self.inputs, **self.params)

    def other(self) -> Tensor:
        """What the rule of another input answers."""
        for j, x in enumerate(self.inputs):
            if j != self.i and isinstance(x, Variable) and x.array.dtype.kind == "f":
                return self.rules[j](self.g, self.y, *self.inputs, **self.params)
        raise Inapplicable


Wrong = Callable[[Call], Variable]


class Family(NamedTuple):
    """A mistake, and the causes by which a report may rightly name it."""

    name: str
    wrong: Wrong
    causes: frozenset[str] = frozenset()
    order: int = 1  # at which it shows


@contextlib.contextmanager
def planted(primitive: Primitive, i: int, wrong: Wrong) -> Iterator[None]:
    """Within it, rule i of the primitive is the wrong one."""
    right = primitive.rules
    primitive.rules = _Rules(right, i, wrong)
    try:
        yield
    finally:
        primitive.rules = right


class _Rules:
    """The rules of a primitive, one of them replaced."""

    def __init__(self, right: Any, i: int, wrong: Wrong) -> None:
        self.right, self.i, self.wrong = right, i, wrong

    def __getitem__(self, j: int) -> Callable[..., Variable]:
        if j != self.i:
            return self.right[j]
        return lambda g, y, *inputs, **params: self.wrong(
            Call(self.right[j], j, g, y, inputs, params, self.right)
        )


# ---------------------------------------------------------------- where


class Site(NamedTuple):
    """A primitive as it is called in a row of the table, by itself.

    Or together with the `whole` row, if it asks something of its input that single entries break
    when they are moved: a Cholesky factor is that of a symmetric matrix.
    """

    primitive: Primitive
    row: Row
    number: int  # of the node in the history of the row
    wanted: tuple[int, ...]  # the inputs that are differentiated by
    whole: bool = False

    def draw(self, seed: int) -> tuple[Callable[..., Variable], list[Tensor]]:
        """The function of the inputs that are wanted, and values for them."""
        if self.whole:
            return self.row.fn, self.row.inputs(seed)
        node = _history(self.row, seed)[self.number]
        fixed = list(node.inputs)
        xs = [Tensor(np.array(fixed[i].array), requires_grad=True) for i in self.wanted]

        def call(*xs: Variable) -> Variable:
            for i, x in zip(self.wanted, xs, strict=True):
                fixed[i] = x
            return self.primitive(*fixed, **node.params)

        return call, xs


def _history(row: Row, seed: int) -> list[Variable]:
    """The nodes of a row, those of its gradients too."""
    xs = row.inputs(seed)
    y = row.fn(*xs)
    if not y.requires_grad:
        return []
    v = np.random.default_rng(1000 + seed).standard_normal(y.shape)
    return history([y, *grad(y, xs, Tensor(v, requires_grad=True), create_graph=True)])


def site(row: Row, primitive: Primitive) -> Site | None:
    """The primitive's first call in the row, with the inputs at which its right rules pass."""
    nodes = _history(row, 0)
    number = next((k for k, node in enumerate(nodes) if node.primitive is primitive), None)
    if number is None:
        return None
    wanted = [
        i for i, x in enumerate(nodes[number].inputs)
        if isinstance(x, Variable) and x.array.dtype == np.float64 and x.array.size
    ]  # fmt: skip
    found = Site(primitive, row, number, tuple(wanted))
    passes = [i for i in wanted if all(_passes(found._replace(wanted=(i,)), s) for s in range(3))]
    if passes:
        return found._replace(wanted=tuple(passes))
    found = found._replace(whole=True)
    return found if wanted and _passes(found, 0) else None


def _passes(place: Site, seed: int) -> bool:
    fn, xs = place.draw(seed)
    try:
        return check_grads(fn, *xs, seed=seed, expect_zero=True).verdict == "PASS"
    except (GradcheckError, GraphError):
        return False


def sites(rows: Iterable[Row]) -> dict[Primitive, Site]:
    """One site for each primitive that is met in the rows: of its own row if it has one."""
    rows, best = list(rows), {}
    for row in rows:
        for k, node in enumerate(_history(row, 0)):
            sizes = [x.array.size for x in node.inputs if isinstance(x, Variable)]
            shapes = [x.array.ndim for x in node.inputs if isinstance(x, Variable)]
            own = row.name.split(",")[0] == node.primitive.name
            rank = (own, max(shapes) > 1 and 4 < max(sizes) <= 60, -max(sizes), -k)
            if node.primitive not in best or rank > best[node.primitive][0]:
                best[node.primitive] = rank, row
    made = ((p, site(row, p)) for p, (_, row) in best.items())
    return {p: place for p, place in made if place is not None}


# ---------------------------------------------------------------- whether


class Mutant(NamedTuple):
    """A mistake in one rule of a primitive, there where it is called."""

    site: Site
    i: int
    family: Family

    @property
    def name(self) -> str:
        """Where and what"""
        place = f"{self.site.primitive.name} ({self.site.row.name})"
        return f"{place}, input {self.i}: {self.family.name}"

    @property
    def causes(self) -> frozenset[str]:
        """What a report may call it; nothing if other operations lie between it and the inputs."""
        return frozenset() if self.site.whole else self.family.causes

    def check(self, seed: int) -> Report | Exception:
        """What check_grads says of it, or what was raised instead."""
        fn, xs = self.site.draw(seed)
        try:
            with planted(self.site.primitive, self.i, self.family.wrong):
                return check_grads(fn, *xs, seed=seed, order=self.family.order, expect_zero=True)
        except GradcheckError as error:
            return error.report
        except Exception as error:  # what a wrong rule may do is anything
            return error

    def is_wrong(self) -> bool:
        """Whether anything differs from what the right rule does, in some generic draw."""
        for seed in GENERIC:
            fn, xs = self.site.draw(seed)
            right = _observe(fn, xs, seed, self.family.order)
            with planted(self.site.primitive, self.i, self.family.wrong):
                try:
                    wrong = _observe(fn, xs, seed, self.family.order)
                except Inapplicable:
                    return False
                except Exception:  # a rule that raises is wrong
                    return True
            if not all(map(_same, right, wrong)):
                return True
        return False


def _observe(fn: Callable, xs: list[Tensor], seed: int, order: int) -> list[np.ndarray]:
    """All that can be seen of a gradient: two sweeps, and what has become of g and the inputs."""
    xs = [Tensor(x.array.copy(), requires_grad=True) for x in xs]
    generator, seen = np.random.default_rng(seed), []
    y = fn(*xs)
    v = Tensor(generator.standard_normal(y.shape), requires_grad=True)
    if order == 1:
        for _ in range(2):
            seen += [g.array.copy() for g in grad(y, xs, v, retain_graph=True)]
    else:
        first = grad(y, xs, v, create_graph=True)
        seen += [g.array for g in first]
        first = [g for g in first if g.requires_grad]
        ws = [Tensor(generator.standard_normal(g.shape)) for g in first]
        second = grad(first, [*xs, v], ws, allow_unused=True) if first else [None] * (len(xs) + 1)
        zeros = (np.zeros(x.shape) for x in [*xs, v])
        seen += [z if h is None else h.array for z, h in zip(zeros, second, strict=True)]
    return [*seen, v.array, *(x.array for x in xs)]


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """To the last digits: a formula that only rounds otherwise is not wrong."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(np.all(np.abs(a - b) <= 1e-12 * np.abs(a).max(initial=0.0)))
