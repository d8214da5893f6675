"""What a wrong gradient looks like tells what is wrong with its rule.

Each function below knows one mistake, and how it shows where the gradient `rule` is held against
the measured slopes. The first that recognises its own is named in the report.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Evidence(NamedTuple):
    """The gradient of one input by the rules, in full, and the slopes where they were measured."""

    rule: np.ndarray
    at: np.ndarray  # the entries of the flat input that were measured
    slope: np.ndarray  # there, by differences
    bar: np.ndarray  # give or take
    wrong: np.ndarray  # there, whether it is wrong
    outputs: list[np.ndarray]
    others: dict[str, tuple[tuple[int, ...], np.ndarray, np.ndarray]]  # name: (shape, at, slope)

    def here(self, array: np.ndarray) -> np.ndarray:
        """The entries of an array of the input's shape where slopes were measured."""
        return np.ravel(array)[self.at]

    @property
    def size(self) -> float:
        """The steepest slope"""
        return float(np.abs(self.slope).max(initial=0.0))

    def fits(self, rule: np.ndarray, keep: np.ndarray | slice = slice(None)) -> bool:
        """Whether these entries, in place of the rule's, would have been right."""
        off = np.abs(rule - self.slope) <= 1e-5 * self.size + 3 * self.bar
        return bool(np.all(off[keep])) and bool(np.any(np.abs(self.slope[keep]) > 0))

    def ratio(self) -> float | None:
        """rule / slope, if it is the same everywhere."""
        a, steep = self.here(self.rule), np.abs(self.slope) >= 0.03 * self.size
        if self.size == 0 or not np.any(steep):
            return None
        ratio = float(np.median(a[steep] / self.slope[steep]))
        slack = 1e-7 * max(1.0, abs(ratio)) * self.size + 3 * abs(ratio) * self.bar
        return ratio if np.all(np.abs(a - ratio * self.slope) <= slack) else None

    def counts(self) -> set[int]:
        """Numbers of entries that a sum or a mean may run over."""
        shapes = [self.rule.shape, *(y.shape for y in self.outputs)]
        some = (
            c for s in shapes for n in range(1, len(s) + 1) for c in itertools.combinations(s, n)
        )
        return {math.prod(c) for c in some} - {0, 1}


def not_finite(e: Evidence) -> str:
    """NaN or ∞ where the slope is a number"""
    return "" if np.all(np.isfinite(e.rule)) else "it is NaN or ∞ where the slope is a number"


def zero(e: Evidence) -> str:
    """All 0: what leads there was not connected"""
    if np.any(e.rule) or e.size == 0:
        return ""
    return "it is 0 everywhere: not connected, or detached on the way"


def hidden(e: Evidence) -> str:
    """All right that was looked at one by one, but not a sum over all"""
    return "" if np.any(e.wrong) else "few entries are wrong, none of those that were sampled"


def sign(e: Evidence) -> str:
    """rule = -slope"""
    return "the sign is wrong" if _near(e.ratio(), -1.0) else ""


def factor(e: Evidence) -> str:
    """rule = 2 slope, or ½ slope"""
    for number, words in ((2.0, "twice"), (0.5, "half of")):
        if _near(e.ratio(), number):
            return f"it is {words} what it should be"
    return ""


def mean_for_sum(e: Evidence) -> str:
    """rule = slope / N or N slope, where N entries are summed"""
    for n in sorted(e.counts()):
        if _near(e.ratio(), 1 / n):
            return (
                f"a mean over {n} entries in place of their sum: it is 1/{n} of what it should be"
            )
        if _near(e.ratio(), n):
            return f"a sum over {n} entries in place of their mean: it is {n} times too large"
    return ""


def variance(e: Evidence) -> str:
    """rule = N/(N - 1) slope or the inverse, as between the two variances"""
    for n in sorted(e.counts() - {2}):
        if _near(e.ratio(), n / (n - 1)) or _near(e.ratio(), (n - 1) / n):
            return f"{n} and {n - 1} are mixed up, as in the variance of {n} entries"
    return ""


def scale(e: Evidence) -> str:
    """rule = c slope"""
    ratio = e.ratio()
    return f"every entry is {ratio:.8g} times what it should be" if ratio is not None else ""


def one_entry(e: Evidence) -> str:
    """All right but one"""
    if e.wrong.sum() != 1 or e.wrong.size < 3:
        return ""
    place = np.unravel_index(int(e.at[e.wrong][0]), e.rule.shape)
    return f"one entry alone is wrong, {tuple(map(int, place))}"


def transposed(e: Evidence) -> str:
    """rule = slopeᵀ along two axes"""
    for i, j in itertools.combinations(reversed(range(e.rule.ndim)), 2):
        if e.rule.shape[i] == e.rule.shape[j] and e.fits(e.here(e.rule.swapaxes(i, j))):
            return f"axes {j} and {i} are exchanged: it is the transpose of what it should be"
    return ""


def flipped(e: Evidence) -> str:
    """rule[i] = slope[n - 1 - i] along an axis"""
    for axis in _axes(e):
        if e.fits(e.here(np.flip(e.rule, axis))):
            return f"it is flipped along axis {axis}"
    return ""


def turned(e: Evidence) -> str:
    """rule = slope turned by 180°: a convolution that forgot to turn its kernel"""
    n = e.rule.ndim
    for axes in {tuple(range(n))[-2:], tuple(range(n))}:
        if n > 1 and e.fits(e.here(np.flip(e.rule, axes))):
            return (
                f"it is turned by 180°, in axes {', '.join(map(str, axes))}: is a kernel flipped?"
            )
    return ""


def rolled(e: Evidence) -> str:
    """rule[i] = slope[i ± 1]: off by one"""
    for axis in _axes(e):
        index, n = np.unravel_index(e.at, e.rule.shape)[axis], e.rule.shape[axis]
        for shift in (-1, 1):
            inside = (index - shift >= 0) & (index - shift < n)
            moved = e.here(np.roll(e.rule, shift, axis))
            if inside.sum() > 1 and (e.fits(moved) or e.fits(moved, inside)):
                return f"it is off by one along axis {axis}: a padding or an index?"
    return ""


def another_input(e: Evidence) -> str:
    """rule = the slope of another input: two rules are swapped"""
    for name, (shape, at, slope) in e.others.items():
        if shape == e.rule.shape and np.any(slope):
            slack = 1e-5 * float(np.abs(slope).max())
            if np.all(np.abs(np.ravel(e.rule)[at] - slope) <= slack):
                return f"it is the gradient of {name}: are two rules swapped?"
    return ""


def permuted(e: Evidence) -> str:
    """The same numbers in another order"""
    if e.at.size != e.rule.size or e.rule.size < 3:
        return ""
    order = np.argsort(e.slope)
    in_order = e._replace(slope=e.slope[order], bar=e.bar[order])
    if in_order.fits(np.sort(np.ravel(e.rule))):
        return "the numbers are right, but stand in another order: an index or a reshape?"
    return ""


def edge(e: Evidence) -> str:
    """Wrong only at the border"""
    places = np.unravel_index(e.at, e.rule.shape) if e.rule.ndim else ()
    border = np.zeros(e.at.shape, bool)
    for axis in _axes(e)[:2]:
        for index in (0, e.rule.shape[axis] - 1):
            line = places[axis] == index
            border |= line
            if np.any(e.wrong) and not np.any(e.wrong & ~line) and not np.all(line):
                return f"wrong only at index {index} of axis {axis}: a padding?"
    if np.any(e.wrong) and not np.any(e.wrong & ~border) and not np.all(border):
        return "wrong only at the border: a padding?"
    return ""


def offset(e: Evidence) -> str:
    """rule = slope + c"""
    extra = e.here(e.rule) - e.slope
    c = float(np.mean(extra))
    if e.at.size > 2 and e.fits(e.here(e.rule) - c):
        return f"the same number, {c:.4g}, is added everywhere"
    return ""


def cross_terms(e: Evidence) -> str:
    """rule - slope is the same, or a multiple of the output, along axes that share a sum"""
    if e.at.size != e.rule.size or e.rule.size < 3:
        return ""
    extra = (e.here(e.rule) - e.slope).reshape(e.rule.shape)
    outputs = [y for y in e.outputs if y.shape == e.rule.shape]
    with np.errstate(all="ignore"):
        factors = [np.ones(e.rule.shape), *outputs, *map(np.exp, outputs)]
    n = e.rule.ndim
    for axes in (c for k in range(1, n + 1) for c in itertools.combinations(range(n), k)):
        if math.prod(e.rule.shape[i] for i in axes) < 2:
            continue
        for factor in factors:
            square = np.sum(factor * factor, axes, keepdims=True)
            if not np.all(np.isfinite(square) & (square > 0)):
                continue
            share = np.sum(extra * factor, axes, keepdims=True) / square * factor
            if e.fits(e.here(e.rule - share)):
                return f"a sum over axes {axes} is missing or extra: entries there share a term"
    return ""


def unknown(e: Evidence) -> str:
    """None of these"""
    return "none that is known"


RULES: dict[str, Callable[[Evidence], str]] = {
    rule.__name__: rule
    for rule in (
        not_finite, zero, hidden, sign, factor, mean_for_sum, variance, scale, one_entry,
        transposed, flipped, turned, rolled, another_input, permuted, edge, offset, cross_terms,
        unknown,
    )
}  # fmt: skip


def likely(e: Evidence) -> tuple[str, str]:
    """The key of the first rule that recognises its mistake, and its words."""
    return next((key, words) for key, rule in RULES.items() if (words := rule(e)))


def _near(ratio: float | None, number: float) -> bool:
    return ratio is not None and abs(ratio - number) <= 1e-5 * abs(number)


def _axes(e: Evidence) -> list[int]:
    """The axes with more than one entry, the last first."""
    return [i for i in reversed(range(e.rule.ndim)) if e.rule.shape[i] > 1]
