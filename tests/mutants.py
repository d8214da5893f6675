"""Wrong rules that must be caught, and right ones that must not be accused: `make mutants`.

Every mutant of `minigrad.samples` gets three draws to be refused in. Every row of the table is
checked with its right rules on ordinary inputs, tiny and large ones, and on and beside its kinks.
Prints three tables; exit status 1 if a mutant survives or a right rule is accused.
"""

import argparse
import functools
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np

from minigrad import Tensor
from minigrad.errors import ArgumentError
from minigrad.gradcheck import GradcheckError, check_grads
from minigrad.ops.conv import primitives as conv
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.samples import ROWS, Row
from minigrad.samples.families import mutants
from minigrad.samples.kinds import KINDS, variant
from minigrad.samples.planted import Call, Mutant, planted

DRAWS = 3
SEEDS = 18  # of each row and kind: 191 · 6 · 18 = 20,628 checks

# ---------------------------------------------------------------- wrong rules


class Outcome(NamedTuple):
    """What became of a mutant."""

    name: str
    family: str
    caught: int  # in this draw, counted from 1; 0: in none
    cause: str  # that was named
    named: bool | None  # whether rightly; None if nothing is to be named


@functools.cache
def wrong_rules() -> list[Mutant]:
    """The mutants that make a difference."""
    with np.errstate(all="ignore"):
        return [mutant for mutant in mutants(ROWS) if mutant.is_wrong()]


def judge(mutant: Mutant) -> Outcome:
    """Draw until it is caught. An error of the engine's or an operation's catches it too."""
    for seed in range(DRAWS):
        with np.errstate(all="ignore"):
            found = mutant.check(seed)
        verdict = getattr(found, "verdict", "FAIL")
        if verdict == "FAIL":
            cause = getattr(found, "cause", "")
            named = cause in mutant.causes if cause and mutant.causes else None
            return _outcome(mutant, seed + 1, cause, named)
    return _outcome(mutant, 0, "", None)


def _outcome(mutant: Mutant, caught: int, cause: str, named: bool | None) -> Outcome:
    return Outcome(mutant.name, mutant.family.name, caught, cause, named)


def _judge(k: int) -> Outcome:
    return judge(wrong_rules()[k])


# ---------------------------------------------------------------- right rules


def accuse(row: Row, kind: str, seed: int) -> str:
    """The verdict on a row with its right rules; "refused" if it cannot be asked for one."""
    fn, xs = variant(row, kind, seed)
    order = 1 if seed % 4 else min(row.order, 2)
    known = row.slopeless or kind != "ordinary"
    try:
        return check_grads(fn, *xs, seed=seed, order=order, expect_zero=known).verdict
    except GradcheckError as error:
        if error.report.verdict == "FAIL":
            print(f"\n{row.name}, {kind}, seed {seed}\n{error}", flush=True)
        return error.report.verdict
    except ArgumentError:  # an output that is not finite, or no probabilities
        return "refused"


def _accuse(work: tuple[str, int]) -> Counter:
    with np.errstate(all="ignore"):
        return Counter((work[0], accuse(row, *work)) for row in ROWS)


# ---------------------------------------------------------------- large convolutions


def _column(a: np.ndarray) -> np.ndarray:
    return np.concatenate([a[..., :-1], 0.0 * a[..., -1:]], -1)


def _one(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flat[a.size // 2 + 7] *= 1.001
    return a


LARGE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "turned by 180°": lambda a: a[..., ::-1, ::-1],
    "last column 0": _column,
    "one entry × 1.001": _one,
    "rolled by one": lambda a: np.roll(a, 1, -1),
    "transposed": lambda a: a.swapaxes(-1, -2),
    "sign": lambda a: -a,
    "× 1.0001": lambda a: 1.0001 * a,
}


def large_convolution(size: int, change: Callable | None, seed: int) -> str:
    """The verdict on a convolution of 2×3 images of that size, its gradient changed so."""
    generator = np.random.default_rng(seed)
    geometry = ConvGeometry.direct(size, 3, padding=1)
    x = Tensor(generator.standard_normal((2, 3, size, size)), requires_grad=True)
    w = Tensor(generator.standard_normal((4, 3, 3, 3)), requires_grad=True)
    fn = lambda x, w: conv.conv2d(x, w, geometry=geometry)
    wrong = lambda call: Tensor(np.ascontiguousarray(change(call.right().array)))
    right: Callable[[Call], Tensor] = lambda call: call.right()
    with planted(conv.conv2d, 0, right if change is None else wrong):
        try:
            return check_grads(fn, x, w, seed=seed).verdict
        except GradcheckError as error:
            return error.report.verdict


def _large(work: tuple[int, str, int]) -> tuple[int, str, str]:
    size, name, seed = work
    return size, name, large_convolution(size, LARGE.get(name), seed)


# ---------------------------------------------------------------- the tables


def _table(title: str, head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    rows = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(f"\n{title}\n")
    for row in rows:
        cells = zip(row, widths, strict=True)
        print("  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(cells)))


def report_mutants(outcomes: list[Outcome]) -> bool:
    """Print what was caught; whether all was."""
    rows = []
    for family in dict.fromkeys(o.family for o in outcomes):
        of = [o for o in outcomes if o.family == family]
        asked = [o.named for o in of if o.named is not None]
        share = f"{100 * sum(asked) / len(asked):.0f} %" if asked else "–"
        once, thrice = sum(o.caught == 1 for o in of), sum(o.caught > 0 for o in of)
        rows.append([family, len(of), once, thrice, share])
    general = [row for row in rows if row[1] > 5]
    rare = [row[1:4] for row in rows if row[1] <= 5]
    general.append(["of particular rules", *map(sum, zip(*rare, strict=True)), "–"])
    head = "mistake", "planted", "1 draw", f"{DRAWS} draws", "cause named"
    _table("Wrong rules, and how many were caught", head, general)
    total, once = len(outcomes), sum(o.caught == 1 for o in outcomes)
    survivors = [o.name for o in outcomes if not o.caught]
    asked = [o.named for o in outcomes if o.named is not None]
    planted_in = Counter(mutant.site.primitive for mutant in wrong_rules())
    print(f"\nin 1 draw {once} of {total} ({100 * once / total:.2f} %), ", end="")
    print(f"in {DRAWS} draws {total - len(survivors)}")
    print(
        f"right cause named: {sum(asked)} of {len(asked)} ({100 * sum(asked) / len(asked):.1f} %)"
    )
    fewest = min(planted_in, key=lambda primitive: planted_in[primitive])
    print(f"primitives: {len(planted_in)}, least in {fewest.name}: {planted_in[fewest]}")
    for name in survivors:
        print(f"SURVIVED: {name}")
    return not survivors


def report_right(counts: Counter) -> bool:
    """Print how right rules fared; whether none was accused."""
    verdicts = "PASS", "KINK", "NOISY", "VACUOUS", "refused", "FAIL"
    rows = [[kind, *(counts[kind, v] for v in verdicts)] for kind in KINDS]
    rows.append(["all", *(sum(counts[kind, v] for kind in KINDS) for v in verdicts)])
    _table("Right rules, and what was said of them", ("inputs", *verdicts), rows)
    judged, wrong = sum(rows[-1][1:]) - rows[-1][5], rows[-1][6]
    ordinary = sum(counts["ordinary", v] for v in verdicts)
    undecided = sum(counts["ordinary", verdict] for verdict in ("KINK", "NOISY", "VACUOUS"))
    print(f"\nfalse alarms: {wrong} in {judged} checks; ", end="")
    print(f"undecided on ordinary inputs: {100 * undecided / ordinary:.2f} %")
    return not wrong


def main() -> int:
    """Run all, on all cores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS, help="draws for each right rule")
    seeds = parser.parse_args().seeds
    start = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        total = len(wrong_rules())
        caught = report_mutants(list(pool.map(_judge, range(total), chunksize=50)))
        work = [(size, name, s) for size in (28, 40) for name in (*LARGE, "none") for s in range(5)]
        large = Counter(pool.map(_large, work))
        rows = [
            [name, *(f"{large[size, name, 'FAIL']} of 5" for size in (28, 40))]
            for name in (*LARGE, "none")
        ]  # fmt: skip
        head = "gradient", "2×3×28×28", "2×3×40×40"
        _table("A large convolution's wrong gradient, refused in so many draws", head, rows)
        work = [(kind, seed) for seed in range(seeds) for kind in KINDS]
        clean = report_right(sum(pool.map(_accuse, work), Counter()))
    print(f"\n{time.perf_counter() - start:.0f} s")
    seen = all(large[size, name, "FAIL"] == 5 for size in (28, 40) for name in LARGE)
    quiet = not any(large[size, "none", "FAIL"] for size in (28, 40))
    return 0 if caught and clean and seen and quiet else 1


if __name__ == "__main__":
    sys.exit(main())
