"""What a check answers: a verdict for each input, the worst place, a map, a cause in words."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RANK = "PASS", "VACUOUS", "NOISY", "KINK", "FAIL"  # the verdict of several is the last of theirs
MAP_ROWS, MAP_COLUMNS = 24, 80  # of a larger map this much is shown, around the worst entry


class Finding(NamedTuple):
    """What was found out about the gradient of one input."""

    name: str
    shape: tuple[int, ...]
    verdict: str
    wrong: int  # entries that are wrong or cannot be judged,
    checked: int  # of so many
    place: str  # the worst of them
    rule: float  # there, what the rules say
    slope: float  # and what the differences say,
    bar: float  # give or take
    error: float  # |rule - slope|, relative to the steepest slope in this input
    cause: str = ""  # a key of `cause.RULES`
    words: str = ""  # the same in words
    map: str = ""

    def __str__(self) -> str:
        ratio = self.rule / self.slope if self.slope else math.inf
        values = f"rule {self.rule:.9g}, difference {self.slope:.9g} ± {self.bar:.1g}"
        if self.verdict == "PASS":
            return f"{self.name} {self.shape}: {self.checked} right, worst {self.place}: {values}"
        if self.verdict == "VACUOUS":
            return f"{self.name} {self.shape}: every slope is 0. Meant so? expect_zero=True"
        state = "wrong" if self.verdict == "FAIL" else "undecided"
        lines = [
            f"{self.name} {self.shape}: {self.wrong} of {self.checked} {state}, worst {self.place}",
            f"    {values}, ratio {ratio:.6g}",
            self.words and f"    likely cause: {self.words}",
            self.map,
        ]
        return "\n".join(line for line in lines if line)


class Report(NamedTuple):
    """What a check found. Only PASS is returned: the other verdicts are raised.

    FAIL: a rule is wrong. KINK: the function has none or several slopes there. NOISY: differences
    cannot tell. VACUOUS: every slope in some input is 0, which shows nothing. After these three
    nothing is known: draw other inputs.
    """

    verdict: str
    error: float  # the largest |rule - difference|, relative to the largest slope in that input
    message: str
    findings: tuple[Finding, ...] = ()
    cause: str = ""  # a key of `cause.RULES`, or of `contract.CAUSES`

    @property
    def undecided(self) -> bool:
        """Whether differences could not tell."""
        return self.verdict in ("KINK", "NOISY")

    def __str__(self) -> str:
        return f"{self.verdict}: {self.message}"


class GradcheckError(AssertionError, RuntimeError):
    """A gradient that is wrong, or cannot be judged; `.report` says which."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


def summary(setting: str, findings: Sequence[Finding], again: str) -> Report:
    """The report of all inputs at one order; `again` is the call that makes it once more."""
    worst = max(findings, key=lambda f: (RANK.index(f.verdict), f.error))
    lines = sorted(findings, key=lambda f: -RANK.index(f.verdict))
    message = "\n  ".join(f"{setting}: {lines[0]}".split("\n") + [str(f) for f in lines[1:]])
    if worst.verdict != "PASS":
        message += f"\n  to reproduce: {again}"
    return Report(worst.verdict, worst.error, message, tuple(findings), worst.cause)


def draw_map(shape: tuple[int, ...], marks: dict[int, str], worst: int) -> str:
    """A letter for each entry of the last two axes, through the worst one.

    >>> print(draw_map((2, 3), {0: "x", 1: ".", 2: ".", 3: "?", 4: "x"}, 0))
        map (x wrong, ? undecided, · not looked at)
        x..
        ?x·
    """
    if not shape:
        return ""
    grid = np.full(shape, "·")
    grid.flat[list(marks)] = list(marks.values())
    at = tuple(map(int, np.unravel_index(worst, shape)))
    page = np.atleast_2d(grid[at[:-2]])
    row, column = at[-2] if len(shape) > 1 else 0, at[-1]
    top, left = max(0, row - MAP_ROWS // 2), max(0, column - MAP_COLUMNS // 2)
    window = page[top : top + MAP_ROWS, left : left + MAP_COLUMNS]
    where = f" of [{', '.join(map(str, at[:-2]))}, :, :]" if len(shape) > 2 else ""
    if window.shape != page.shape:
        where += f" from row {top}, column {left}"
    legend = f"map{where} (x wrong, ? undecided, · not looked at)"
    return "\n".join(f"    {line}" for line in [legend, *map("".join, window)])
