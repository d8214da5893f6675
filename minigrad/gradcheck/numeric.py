r"""Differences: how they fail, and how wrong one of them can be.

The slope of φ at x is asked of two values of φ, h before x and h after it:

    D(h) = (φ(x + h) - φ(x - h)) / 2h  =  φ′  +  h² φ‴/6  +  O(ε |φ| / h).

**A large step sees the curvature, a small one the rounding of φ.** With x = 1 and φ = exp:

    >>> D = lambda h: (math.exp(1 + h) - math.exp(1 - h)) / (2 * h)
    >>> for k in (1, 3, 5, 9, 12, 15):
    ...     print(f"h = 1e-{k:<2}  {-math.log10(abs(D(10.0**-k) / math.e - 1)):.0f} digits")
    h = 1e-1   3 digits
    h = 1e-3   7 digits
    h = 1e-5   11 digits
    h = 1e-9   9 digits
    h = 1e-12  4 digits
    h = 1e-15  1 digits

The two balance at h = (3 ε |φ / φ‴|)^⅓, about ε^⅓ = 6e-6 of the size of x. That leaves 11 digits in
float64, and would leave 5 in float32. Three remedies cost nothing: h is a power of 2, so that x ± h
is rounded little; the difference is divided by the step really taken; and where many outputs are
weighed together, each is subtracted first, so that those which did not move cancel exactly.

**Beside a kink the slopes to the left and to the right, D⁻ and D⁺, differ.** For a smooth φ their
gap D⁺ - D⁻ = h φ″ + O(h³) goes to 0 with h, at a kink to the jump of the slope. Both are seen from
two steps, 4h and h:

    jump  = (4 gap(h) - gap(4h)) / 3        what is left of the gap at h = 0
    slope = D(h) + (D(h) - D(4h)) / 15      D at h = 0: Richardson's extrapolation

So an estimate comes with a bar, three errors added up: half of the jump, since any slope between
D⁻ and D⁺ may be meant; a third of |D(4h) - D(h)|, which is what the curvature still does; and the
rounding, that of the outputs and what finer steps show of more: it is divided by h, so if D changes
from h to a finer h′ by rounding, at h it does h′/h as much. No single step is good for every φ: a
doubtful entry is swept with 16, from 1024 h to h/2²⁰, and the shortest bar speaks. And since h is
of the size of the whole input, an entry that is far smaller is swept with 16 of its own size too:
a / b beside its pole, or a mod b, which jumps wherever b changes by b²/a, looks smooth from afar.

**Two witnesses.** A rule is accused if it lies three bars away from that estimate, and if also the
finest step that can tell the two apart, rounding considered, sees the rule outside [D⁻, D⁺] and the
slope near the estimate. Kinks on both sides of x can deceive the one, unforeseen rounding the
other, but hardly both. And if some other pair of steps stands by the rule, bar against bar, nobody
is believed: the verdict is NOISY, as where bars are too long, or where y may be a saw whose teeth
all steps leap over. KINK it is where the gap stays and the rule lies between D⁻ and D⁺.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

EPS = float(np.finfo(np.float64).eps)  # ε
SWEEP = tuple(4.0**k for k in range(5, -11, -1))  # 1024 … 2⁻²⁰, in units of h
FLOOR = 1e-7  # of the steepest slope in an input: what is smaller there counts as 0
FINE, COARSE = 1e-5, 0.02  # of the slope: bars with which one may say right, or wrong
ROUGH = 30  # times the rounding: what more is seen at a fine step has another reason
BEND = 0.05  # of the slope: the gap between D⁻ and D⁺ that one step may leave unexplained


def best_step(size: float, least: float = 1e-8) -> float:
    """h = ε^⅓ · size, rounded to a power of 2; 0 and what is as good as 0 has size 1.

    >>> best_step(1.0) == 2.0**-17, best_step(1e-187) == 2.0**-17
    (True, True)
    """
    return 2.0 ** round(math.log2(EPS ** (1 / 3) * (size if size > least else 1.0)))


class Line(NamedTuple):
    """A function along a direction: t ↦ φ(t) = ⟨v, f(x + t d)⟩, and what the rules say of it."""

    at: Callable[[float], tuple[np.ndarray, float, float]]  # t ↦ f(x + t d), the t really taken,
    # and the change of φ if the rules are right
    y: np.ndarray  # f(x)
    v: np.ndarray  # the weight of each output
    step: float  # the h to begin with
    scale: float  # the size that a slope along it may have
    rounding: float  # of the rule's own result
    terms: float = 0.0  # the outputs are sums of terms of this size, which may cancel
    single: bool = True  # whether d is one entry, not a sum in which a small error could hide
    fine: float = math.inf  # the h of that entry's own size

    def slack(self, steep: float, rtol: float) -> float:
        """What a rule may be off by, beside the error of the difference."""
        if self.single:
            return FLOOR * self.scale + rtol * steep
        return FLOOR * self.scale * max(1.0, rtol / 1e-6)

    def steps(self) -> list[float]:
        """Those of a sweep, from the largest to the smallest."""
        closer = round(math.log(min(self.fine / self.step, 1.0), 4))
        factors = {factor * 4.0**k for k in (0, closer) for factor in SWEEP}
        return [self.step * factor for factor in sorted(factors, reverse=True)]


class Difference(NamedTuple):
    """The slope of φ from one step to either side, beside the rule's."""

    h: float
    slope: float  # D
    rule: float
    noise: float  # the rounding in D
    gaps: np.ndarray  # v (D⁺ - D⁻), output by output
    low: float  # the least and the greatest slope between D⁻ and D⁺ of each output:
    high: float  # if φ has a kink at x, its subgradients
    touched: np.ndarray  # whether an output moved, at this step or at a coarser one
    moved: float  # Σ |v| |change of y| to either side; 0 if that may be rounding

    @property
    def error(self) -> float:
        """D - rule"""
        return self.slope - self.rule

    @property
    def bend(self) -> float:
        """Σ |v (D⁺ - D⁻)|: gaps of opposite sign do not cancel"""
        return float(np.abs(self.gaps).sum())

    def excludes(self, margin: float) -> bool:
        """Whether the rule lies outside [D⁻, D⁺], by more than the margin."""
        return self.rule < self.low - margin or self.rule > self.high + margin


class Verdict(NamedTuple):
    """What was found along one line: PASS, FAIL, KINK or NOISY, and the slope ± bar."""

    verdict: str
    rule: float
    slope: float
    bar: float

    @property
    def error(self) -> float:
        """|rule - slope|; ∞ if one of them is not finite"""
        error = abs(self.rule - self.slope)
        return error if math.isfinite(error) else math.inf


def difference(line: Line, h: float, touched: np.ndarray | bool = False) -> Difference:
    """D(h), with all that can be learnt from f(x - h d), f(x) and f(x + h d).

    Most outputs, often, depend on other entries of x: they do not move, and their rounding does not
    count. But one that a coarser step has moved may stand still for its rounding.
    """
    high, after, gain = line.at(h)
    low, before, loss = line.at(-h)
    width = after - before
    touched = (high != line.y) | (low != line.y) | touched
    v, y, up, down = line.v[touched], line.y[touched], high[touched], low[touched]
    left, right = v * ((y - down) / -before), v * ((up - y) / after)
    gaps = np.zeros(line.v.shape)
    gaps[touched] = right - left
    rounded = np.maximum(np.abs(up), line.terms) + np.maximum(np.abs(down), line.terms)
    size = float(np.abs(v) @ rounded)
    moved = float(np.abs(v) @ (np.abs(up - y) + np.abs(y - down)))
    moved = moved if moved > 4 * EPS * size else 0.0
    still = 0.0 if touched.any() else EPS * float(np.abs(line.v).sum())
    noise = 4 * EPS * size / h + line.rounding + still
    return Difference(
        h, float(v @ (up - down)) / width, (gain - loss) / width, noise, gaps,
        float(np.minimum(left, right).sum()), float(np.maximum(left, right).sum()), touched, moved,
    )  # fmt: skip


def glance(line: Line, rtol: float) -> Verdict:
    """One step, which is enough for most entries: PASS, or NOISY if it takes a closer look."""
    d = difference(line, line.step)
    steep = max(abs(d.rule), abs(d.slope))
    right = abs(d.error) <= line.slack(steep, rtol) + d.noise
    quiet = d.noise <= FINE * line.scale or steep <= d.noise
    smooth = d.bend <= BEND * line.scale + d.noise
    return Verdict("PASS" if right and quiet and smooth else "NOISY", d.rule, d.slope, d.noise)


def sweep(line: Line, rtol: float) -> Verdict:
    """All steps, and the verdict of the best of them."""
    steps: list[Difference] = []
    for h in line.steps():
        steps.append(difference(line, h, steps[-1].touched if steps else False))
    steps = [d for d in steps if math.isfinite(d.slope + d.noise + d.low + d.high)]
    estimates = [
        _estimate(coarse, fine, steps[k + 2 :])
        for k, (coarse, fine) in enumerate(itertools.pairwise(steps))
        if coarse.h == 4 * fine.h
    ]
    if not estimates:
        return Verdict("NOISY", line.at(line.step)[2] / line.step, math.nan, math.inf)
    best = min(estimates, key=lambda e: e.bar)
    found = lambda verdict: Verdict(verdict, best.rule, best.slope, best.bar)
    if not math.isfinite(best.rule):
        known = best.bar <= max(COARSE * abs(best.slope), 3 * best.noise)
        return found("FAIL" if known else "NOISY")
    steep = max(abs(best.rule), abs(best.slope))
    size, slack = max(line.scale, steep), line.slack(steep, rtol)
    resolved = [d for d in steps if d.noise <= COARSE * max(size, d.bend)]
    # right: within a short bar, and the finest step does not object, as it would beside a pole
    sharp = best.bar <= FINE * size or max(steep, best.bar) <= 3 * best.noise
    if best.gap <= slack + best.bar and sharp:
        finest = resolved[-1:]
        if not any(d.excludes(BEND * max(size, abs(d.slope)) + 3 * d.noise) for d in finest):
            return found("PASS")
    long = best.gap > slack + 3 * best.bar and best.bar <= COARSE * size
    if long and _convicted(best, estimates, steps, slack):
        return found("FAIL")
    return _kink(resolved[-2:], size, slack) or found("NOISY")


def _convicted(
    best: "_Estimate", estimates: list["_Estimate"], steps: list[Difference], slack: float
) -> bool:
    """Whether a second witness says so too, nothing speaks for the rule, and all steps can tell."""
    near = COARSE * abs(best.slope) + 3 * best.bar
    agrees = lambda d: abs(d.slope - best.slope) <= near + ROUGH * d.noise
    telling = [d for d in steps if 6 * d.noise <= best.gap][-1:]
    witnessed = any(agrees(d) and d.excludes(slack + 3 * d.noise) for d in telling)
    defended = any(
        e.gap <= slack + e.bar and abs(e.slope - best.slope) > slack + 3 * e.bar for e in estimates
    )
    # a saw: were the rule right, the finest step would move y further than any step does
    saw = steps[-1].h * abs(best.rule) > max(d.moved for d in steps) > 0
    return witnessed and not (defended or saw)


def _kink(last: list[Difference], size: float, slack: float) -> Verdict | None:
    """The verdict if the gap between D⁻ and D⁺ does not shrink over the last two steps."""
    if len(last) < 2 or last[1].bend <= max(BEND * size, last[0].bend / 2):
        return None
    coarse, fine = last
    edge = abs(fine.low - coarse.low) + abs(fine.high - coarse.high) + slack
    stays = fine.bend <= 2 * coarse.bend  # at a jump, or in noise, it grows as 1/h
    wrong = stays and all(d.excludes(edge + 3 * d.noise) for d in last)
    middle, half = (fine.low + fine.high) / 2, (fine.high - fine.low) / 2
    return Verdict("FAIL" if wrong else "KINK", fine.rule, middle, half)


class _Estimate(NamedTuple):
    """The slope at h = 0, from two steps, and what it is held against."""

    slope: float
    bar: float
    rule: float
    noise: float

    @property
    def gap(self) -> float:
        """|rule - slope|"""
        return abs(self.rule - self.slope)


def _estimate(coarse: Difference, fine: Difference, finer: list[Difference]) -> _Estimate:
    """From the steps 4h and h; the finer ones show what rounding, foreseen or not, does at h.

    The errors are compared, not the slopes: so the rounding of the steps themselves drops out.
    """
    value = lambda d: d.error if math.isfinite(fine.rule) else d.slope
    drift = value(fine) - value(coarse)
    jump = float(np.abs(4 * fine.gaps - coarse.gaps).sum()) / 3
    unforeseen = max((abs(value(d) - value(fine)) * d.h / fine.h for d in finer), default=0.0)
    bar = jump / 2 + abs(drift) / 3 + fine.noise + unforeseen
    return _Estimate(fine.slope + drift / 15, bar, fine.rule, fine.noise)
