"""Planted errors on trial: each has three draws to be refused in."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from minigrad.engine import history
from minigrad.samples.families import mutants
from minigrad.samples.planted import Mutant
from minigrad.samples.row import Row

DRAWS = 3


class Trial(NamedTuple):
    """What became of a mutant."""

    name: str
    family: str
    primitive: str
    caught: int  # in this draw, counted from 1; 0: in none
    cause: str  # that was named
    named: bool | None  # whether rightly; None if nothing is to be named


def judge(mutant: Mutant) -> Trial:
    """Draw until it is caught. An error of the engine's or an operation's catches it too."""
    caught, cause, named = 0, "", None
    for seed in range(DRAWS):
        with np.errstate(all="ignore"):
            found = mutant.check(seed)
        if getattr(found, "verdict", "FAIL") == "FAIL":
            caught, cause = seed + 1, getattr(found, "cause", "")
            named = cause in mutant.causes if cause and mutant.causes else None
            break
    return Trial(mutant.name, mutant.family.name, mutant.site.primitive.name, caught, cause, named)


@functools.cache
def planned(rows: tuple[Row, ...]) -> list[Mutant]:
    """All that can be planted in the rows; some make no difference."""
    with np.errstate(all="ignore"):
        return mutants(rows)


def wrong(found: Iterable[Mutant]) -> list[Mutant]:
    """Those that make a difference."""
    with np.errstate(all="ignore"):
        return [mutant for mutant in found if mutant.is_wrong()]


def met(row: Row) -> frozenset[str]:
    """The names of the primitives with a rule that the row's value is made of."""
    y = row.fn(*row.inputs())
    nodes = history([y]) if y.requires_grad else []
    return frozenset(node.primitive.name for node in nodes if node.primitive)
