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
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from minigrad.samples import ROWS
from minigrad.samples.checks import accuse
from minigrad.samples.kinds import KINDS
from minigrad.samples.large import LARGE, check_convolution
from minigrad.samples.planted import Mutant
from minigrad.samples.trials import DRAWS, Trial, judge, planned, wrong

SEEDS = 18  # of each row and kind: 239 · 6 · 18 = 25,812 checks

# ---------------------------------------------------------------- wrong rules


@functools.cache
def wrong_rules() -> list[Mutant]:
    """The mutants that make a difference."""
    return wrong(planned(tuple(ROWS)))


def _judge(k: int) -> Trial:
    return judge(wrong_rules()[k])


# ---------------------------------------------------------------- right rules


def _accuse(work: tuple[str, int]) -> Counter:
    (kind, seed), counts = work, Counter()
    with np.errstate(all="ignore"):
        for row in ROWS:
            report = accuse(row, kind, seed)
            counts[kind, report.verdict] += 1
            if report.verdict == "FAIL":
                print(f"\n{row.name}, {kind}, seed {seed}\n{report}", flush=True)
    return counts


# ---------------------------------------------------------------- large convolutions


def _large(work: tuple[int, str, int]) -> tuple[int, str, str]:
    size, name, seed = work
    shape = 2, 3, size, size
    return size, name, check_convolution(shape, LARGE.get(name), seed).verdict


# ---------------------------------------------------------------- the tables


def _table(title: str, head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    rows = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(f"\n{title}\n")
    for row in rows:
        cells = zip(row, widths, strict=True)
        print("  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(cells)))


def report_mutants(outcomes: list[Trial]) -> bool:
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
