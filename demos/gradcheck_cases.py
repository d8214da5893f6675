"""What the pictures of `demos.gradcheck` show: differences at every step, and two checkers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad import Tensor
from minigrad.data.glyphs import glyphs
from minigrad.engine import grad
from minigrad.gradcheck.numeric import FLOOR, best_step
from minigrad.samples.large import LARGE, Shape, changed, check_convolution, convolution

# ---------------------------------------------------------------- differences at every step

Function = Callable[[Tensor], Tensor]
FUNCTIONS: dict[str, Function] = {
    "exp x": lambda x: x.exp(),
    "tanh x": lambda x: x.tanh(),
    "log x": lambda x: x.log(),
    "exp x + 1000": lambda x: x.exp() + 1000.0,
}
POINTS = 0.9, 1.7  # here 2⁻¹⁷ is the checker's step everywhere
KINK = 1e-4  # how far away it is in |sin x|
STEPS = 2.0 ** np.arange(-1.0, -49.0, -1.0)


class Curve(NamedTuple):
    """The error of a difference quotient, relative to the slope, at each step."""

    steps: np.ndarray
    errors: np.ndarray  # the median over many x
    chosen: float  # the checker's step

    @property
    def at_chosen(self) -> float:
        """The error there"""
        return float(self.errors[np.argmin(np.abs(np.log2(self.steps / self.chosen)))])


def derivative(fn: Function, order: int) -> Callable[[np.ndarray], np.ndarray]:
    """fn's derivative of that order, entry by entry, by the rules."""

    def call(x: np.ndarray) -> np.ndarray:
        leaf = Tensor(x, requires_grad=True)
        y = fn(leaf)
        for _ in range(order):
            (y,) = grad(y, [leaf], Tensor(np.ones_like(x)), create_graph=True)
        return y.array

    return call


def forward(f: Callable, x: np.ndarray, h: Any) -> np.ndarray:
    """(f(x + h) - f(x)) / h: off by h f″/2"""
    return (f(x + h) - f(x)) / ((x + h) - x)


def central(f: Callable, x: np.ndarray, h: Any) -> np.ndarray:
    """(f(x + h) - f(x - h)) / 2h: off by h² f‴/6"""
    return (f(x + h) - f(x - h)) / ((x + h) - (x - h))


def richardson(f: Callable, x: np.ndarray, h: Any) -> np.ndarray:
    """(4 D(h/2) - D(h)) / 3 of central differences D: off by a multiple of h⁴"""
    return (4 * central(f, x, h / 2) - central(f, x, h)) / 3


def curve(
    fn: Function, order: int = 1, difference: Callable = central, dtype: Any = np.float64,
    points: tuple[float, float] = POINTS, seed: int = 0, count: int = 201,
) -> Curve:  # fmt: skip
    """How far differences of the derivative of order - 1 are from the rule of this order."""
    x = np.random.default_rng(seed).uniform(*points, count).astype(dtype)
    rule = derivative(fn, order)(x.astype(np.float64))
    below = derivative(fn, order - 1)
    steps = STEPS[STEPS > np.finfo(dtype).eps * points[0]]
    errors = [np.abs(difference(below, x, dtype(h)) / rule - 1) for h in steps]
    return Curve(steps, np.median(errors, axis=1), best_step(float(np.median(x))))


# ---------------------------------------------------------------- two checkers


class Judgement(NamedTuple):
    """What a checker found, the most that it lets pass, and whether it lets this pass."""

    error: float
    allowed: float
    accepts: bool

    @property
    def ratio(self) -> float:
        """error / allowed"""
        return self.error / self.allowed


def one_projection(shape: Shape, change: Callable | None, seed: int) -> Judgement:
    """A checker of one projection with non-negative vectors: ⟨v, J u⟩ by a difference and by rule.

    u and v are drawn from [0, 1), the same at every call, and |error| ≤ 1e-5 Σu Σv + 1e-3 |⟨v, Ju⟩|
    is let pass.
    """
    fn, x, w = convolution(shape, seed)
    generator = np.random.default_rng(0)
    y = fn(x, w)
    u, v = (generator.random(t.shape) for t in (x, y))
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    with changed(change):
        (g,) = grad(y, [x], Tensor(v))
    by_rule = float(np.sum(g.array * u))
    f = lambda t: float(np.sum(fn(Tensor(x.array + t * u), w).array * v))
    by_difference = (f(1e-6) - f(-1e-6)) / 2e-6
    allowed = 1e-5 * float(u.sum() * v.sum()) + 1e-3 * abs(by_difference)
    error = abs(by_rule - by_difference)
    return Judgement(error, allowed, error <= allowed)


def every_entry(shape: Shape, change: Callable | None, seed: int) -> Judgement:
    """This project's checker: entry by entry, and along ±1 in all, with cotangents of both signs.

    It lets pass 1e-7 of the steepest slope and, of single entries, 1e-6 of their own.
    """
    report = check_convolution(shape, change, seed)
    worst = max(report.findings, key=lambda found: found.error)
    allowed = FLOOR + (1e-6 if worst.place.startswith("entry") else 0.0)
    return Judgement(worst.error, allowed, report.verdict == "PASS")


class Duel(NamedTuple):
    """One mistake, one size, all draws: what either checker found."""

    name: str
    size: int
    fast: list[Judgement]
    ours: list[Judgement]


CORRECT = "none: it is right"
MISTAKES = (*LARGE, CORRECT)


def duel(name: str, size: int, seeds: range) -> Duel:
    """Both checkers on 2 images of 3 channels and size × size pixels."""
    shape, change = (2, 3, size, size), LARGE.get(name)
    return Duel(
        name, size, [one_projection(shape, change, s) for s in seeds],
        [every_entry(shape, change, s) for s in seeds],
    )  # fmt: skip


class Portrait(NamedTuple):
    """One image's gradient, right and wrong, and the checker's report on the wrong one."""

    right: np.ndarray
    wrong: np.ndarray
    verdict: str
    counts: tuple[int, int]  # entries that are wrong, of so many
    where: np.ndarray  # 1 wrong, 0 right; NaN outside the part that the report shows
    words: str
    value: str  # the worst entry, as the report tells it


def portrait(name: str, size: int, seed: int) -> Portrait:
    """One image of one channel, so that every entry is looked at.

    The gradients shown are those that a drawn digit gives, coming in.
    """
    shape, change = (1, 1, size, size), LARGE[name]
    fn, x, w = convolution(shape, seed)
    y = fn(x, w)
    drawn = glyphs(50, size=size, seed=seed)
    digit = drawn.images[np.flatnonzero(drawn.labels == 7)[0]]
    v = Tensor(np.broadcast_to(digit.astype(np.float64), y.shape))
    (right,) = grad(y, [x], v)
    report = check_convolution(shape, change, seed)
    found = report.findings[0]
    told = [line.strip() for line in str(found).split("\n")]
    return Portrait(
        right.array[0, 0], change(right.array)[0, 0], report.verdict,
        (found.wrong, found.checked), picture_of(found.map, size), found.words, told[1],
    )  # fmt: skip


def picture_of(drawn: str, size: int) -> np.ndarray:
    """A report's map, of letters, as an image (size, size)."""
    legend, *rows = (line.strip() for line in drawn.split("\n"))
    top = int(legend.split("from row ")[1].split(",")[0]) if "from row" in legend else 0
    picture = np.full((size, size), np.nan)
    for k, row in enumerate(rows):
        picture[top + k] = [letter == "x" for letter in row]
    return picture
