"""The report card: every question of `checks` put to every row, and what became of the planted
errors there.

A cell is a pass, a FAIL with its reason, or empty with the reason why the question makes no sense.
"""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from minigrad.gradcheck import GradcheckError
from minigrad.samples import BROADCAST, checks
from minigrad.samples.checks import LAYOUTS
from minigrad.samples.row import Inapplicable, Row
from minigrad.samples.trials import Trial, met

PASS, NONE, FAIL = "pass", "–", "FAIL"
REDRAWS = 20  # of inputs at which differences cannot tell


class Cell(NamedTuple):
    """One answer: PASS, NONE or FAIL."""

    mark: str
    error: float = math.nan  # the largest seen, relative to the largest entry
    note: str = ""  # the reason, or what is worth knowing of a pass


Answer = float | tuple[float, str]
Question = Callable[[Row, int], Answer]


def _value(row: Row, seed: int) -> Answer:
    return checks.value(row)


def _order(order: int) -> Question:
    def ask(row: Row, seed: int) -> Answer:
        for draw in range(1, REDRAWS):
            try:
                error = checks.derivatives(row, order, seed + 1000 * (draw - 1))
                return error, f"differences could tell at draw {draw}" * (draw > 1)
            except GradcheckError as found:
                if not found.report.undecided:
                    raise
        return checks.derivatives(row, order, seed + 1000 * REDRAWS)

    return ask


def _broadcasting(row: Row, seed: int) -> Answer:
    variants = [other for other in BROADCAST if other.name.startswith(f"{row.name}, ")]
    error = checks.spread(row, variants)
    own = "its own inputs are of unlike shapes"
    return error, f"{len(variants)} pairs of shapes" if variants else own


def _kinks(row: Row, seed: int) -> Answer:
    found = checks.kinks(row)
    of = f"of {sum(found)} draws"
    if found.kinks:
        return math.nan, f"on a kink in {found.kinks} {of}: its slope is between those beside it"
    return math.nan, f"undecided in {found.undecided} {of}" * bool(found.undecided)


def _float32(row: Row, seed: int) -> Answer:
    error = checks.float32(row)
    if not row.slopeless:
        checks.float32_twice(row)
    return error


def _memory(row: Row, seed: int) -> Answer:
    return max(checks.laid_out(row, layout) for layout in LAYOUTS.values())


def _size_0(row: Row, seed: int) -> Answer:
    return checks.without_entries(row)


QUESTIONS: dict[str, Question] = {
    "value": _value,
    "order 1": _order(1),
    "order 2": _order(2),
    "order 3": _order(3),
    "broadcasting": _broadcasting,
    "ties, kinks": _kinks,
    "float32": _float32,
    "memory": _memory,
    "size 0": _size_0,
}
PLANTED, DEVICE = "planted errors", "device"
COLUMNS = *QUESTIONS, PLANTED

ABOUT = {
    "value": "equal to NumPy's, summed term by term where that is another way; to 1e-13",
    "order 1": "the gradient against differences, in every entry",
    "order 2": "the gradient of the gradient, and the symmetry of the Hessian",
    "order 3": "where the second derivative has rules of its own",
    "broadcasting": "inputs of unlike shapes: value, derivatives, types, layouts",
    "ties, kinks": "on and beside them the rule answers a slope between those to either side",
    "float32": "value and gradients stay float32, at both orders, and are right",
    "memory": "inputs transposed, backwards, every other entry, repeated: the same result",
    "size 0": "an axis of 0 entries; entry by entry, also scalars and single entries",
    DEVICE: "value and gradients computed on another device are what they are on the CPU, to 1e-9",
    PLANTED: "wrong rules, planted in what the row is made of, that were refused in three draws",
}


def ask(question: Question, row: Row, seed: int) -> Cell:
    """One question put to one row."""
    try:
        with np.errstate(all="ignore"):
            answer = question(row, seed)
    except Inapplicable as reason:
        return Cell(NONE, note=_line(reason))
    except Exception as reason:  # whatever else is raised is a fault of the row
        return Cell(FAIL, math.inf, _line(reason))
    error, note = answer if isinstance(answer, tuple) else (answer, "")
    return Cell(PASS, float(error), note)


def _line(reason: Exception) -> str:
    """What was raised, on one line, without the map of what is wrong."""
    lines = [line for line in str(reason).split("\n") if set(line) - set(" x.?·")]
    lines = [line.strip() for line in lines if not line.lstrip().startswith("map")]
    text = " ".join(" ".join(lines).split()) or type(reason).__name__
    known = isinstance(reason, (AssertionError, Inapplicable))
    return text if known else f"{type(reason).__name__}: {text}"


def answers(row: Row, seed: int = 0) -> dict[str, Cell]:
    """All questions put to one row."""
    return {name: ask(question, row, seed) for name, question in QUESTIONS.items()}


def verdict_on_planted(row: Row, trials: Iterable[Trial]) -> Cell:
    """How the errors fared that were planted in the primitives of this row."""
    own = met(row)
    found = [trial for trial in trials if trial.primitive in own]
    if not found:
        return Cell(NONE, note="none was planted in what it is made of")
    escaped = [trial.name for trial in found if not trial.caught]
    if escaped:
        return Cell(FAIL, math.inf, f"{len(escaped)} of {len(found)} escaped: {escaped[0]}")
    return Cell(PASS, note=f"{len(found)} of {len(found)}")
