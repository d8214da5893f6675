"""The report card of all derivatives, how differences fail, and a turned gradient that is missed.

Every primitive and layer is asked for its values, its first derivatives and those of higher order,
for broadcasting, ties and kinks, float32, odd layouts of memory, sizes of 0; and thousands of wrong
rules are planted, to see whether the checker refuses each of them. Exit status 1 if anything fails.

What to see: in the table, errors of 1e-11 to 1e-9, which is what differences can tell; in
v_curve.png why: a larger step sees the curvature, a smaller one the rounding. flipped_kernel.png
shows what a checker lets pass that looks along one direction only, with vectors that are never
negative. `report.html` has every row; `make mutants` checks the checker further. With `--device
cuda` there is one more question: are value and gradients there what they are on the CPU?
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from tqdm import tqdm

import minigrad
from demos.common import expect_at_least, plain_parser, run
from demos.gradcheck_cases import CORRECT, MISTAKES, Duel, duel, portrait
from demos.gradcheck_pictures import draw_flipped_kernel, draw_v_curve
from demos.report_card import GRADIENTS, Card, Line, markdown, page, terminal
from minigrad.backend import CPU
from minigrad.samples import GROUPS, ROWS, Row
from minigrad.samples.card import (
    DEVICE,
    FAIL,
    PASS,
    PLANTED,
    Cell,
    answers,
    ask,
    verdict_on_planted,
)
from minigrad.samples.checks import elsewhere
from minigrad.samples.trials import DRAWS, Trial, judge, planned, wrong

COURSE = ""
TIME = "a minute"

SOME, FEW = 8, 20  # with --quick: one row in so many, and of what can be planted in these
SHOWN = "turned by 180°", "last column 0", "one entry × 1.001"
SIZES = 28, 40  # pixels a side


def flags() -> argparse.Namespace:
    """The command line."""
    made = plain_parser(__doc__, seed="the inputs drawn")
    made.add_argument("--all", action="store_true", help="print every row")
    args = made.parse_args()
    expect_at_least(args, seed=0)
    return args


# ---------------------------------------------------------------- the work, in processes

_rows: tuple[Row, ...] = ()


def _begin(quick: bool) -> None:
    """Once in each process: the rows that are asked."""
    global _rows
    _rows = tuple(ROWS[::SOME] if quick else ROWS)


def _answer(work: tuple[int, int]) -> dict[str, Cell]:
    k, seed = work
    return answers(_rows[k], seed)


def _try(k: int) -> Trial | None:
    """The trial of a planted error; None if it makes no difference."""
    found = wrong([planned(_rows)[k]])
    return judge(found[0]) if found else None


def _duel(work: tuple[str, int, range]) -> Duel:
    return duel(*work)


Map = Callable[..., Iterable[Any]]


def measure(args: argparse.Namespace, each: Map) -> tuple[list[Line], list[Trial], list[Duel]]:
    """The rows, the planted errors, the two checkers."""
    group_of = {row.name: group for group, rows in GROUPS.items() for row in rows}
    bar = lambda found, words, n: list(tqdm(found, words, n, leave=False))
    work = [(k, args.seed) for k in range(len(_rows))]
    cells = bar(each(_answer, work, chunksize=2), "rows", len(work))
    numbers = range(0, len(planned(_rows)), FEW if args.quick else 1)
    trials = bar(each(_try, numbers, chunksize=50), "planted errors", len(numbers))
    seeds = range(args.seed, args.seed + (1 if args.quick else 10))
    names = [name for name in MISTAKES if name in (*SHOWN, CORRECT) or not args.quick]
    work = [(name, size, seeds) for size in SIZES for name in names]
    duels = bar(each(_duel, work), "large convolutions", len(work))
    found = [trial for trial in trials if trial]
    there = on_device(args.device)
    lines = [
        Line(
            group_of[row.name], row.name,
            own | there.get(row.name, {}) | {PLANTED: verdict_on_planted(row, found)},
        )
        for row, own in zip(_rows, cells, strict=True)
    ]  # fmt: skip
    return lines, found, duels


def on_device(device: str) -> dict[str, dict[str, Cell]]:
    """For each row whether another device, if one is asked for, computes what the CPU does."""
    if minigrad.device(device) == CPU:
        return {}
    compared = lambda row, seed: elsewhere(row, device)
    rows = tqdm(_rows, f"rows on {device}", leave=False)
    return {row.name: {DEVICE: ask(compared, row, 0)} for row in rows}


def serial(work: Callable, items: Sequence[Any], chunksize: int = 1) -> Iterable[Any]:
    """`map` with the signature of a pool's."""
    return map(work, items)


# ---------------------------------------------------------------- what is said


def summary(lines: list[Line], trials: list[Trial], duels: list[Duel]) -> list[str]:
    """A few sentences."""
    cells, questions = [c for line in lines for c in line.cells.values()], len(lines[0].cells)
    marks = [cell.mark for cell in cells]
    worst = max(lines, key=lambda line: line.worst)
    order = next(name for name in GRADIENTS if worst.cells[name].error == worst.worst)
    caught = sum(trial.caught > 0 for trial in trials)
    once = sum(trial.caught == 1 for trial in trials)
    asked = [trial.named for trial in trials if trial.named is not None]
    turned = {d.size: d for d in duels if d.name == SHOWN[0]}
    accepts = ", ".join(
        f"{sum(j.accepts for j in d.fast)} of {len(d.fast)} at {size}×{size}"
        for size, d in turned.items()
    )
    ours = sum(j.accepts for d in turned.values() for j in d.ours)
    return [
        f"{len(lines)} rows, {questions} questions: {marks.count(PASS)} passed, "
        f"{marks.count(FAIL)} failed, {len(marks) - marks.count(PASS) - marks.count(FAIL)} "
        "did not apply.",
        f"Largest error of a derivative in float64: {worst.worst:.1e}, in {worst.name}, {order}.",
        f"Planted errors caught in {DRAWS} draws: {caught:,} of {len(trials):,} "
        f"(in one draw {once:,}); the cause named rightly in {sum(asked):,} of {len(asked):,}.",
        f"A convolution's gradient turned by 180°: a checker of one projection with non-negative "
        f"vectors accepts it in {accepts} draws; this one in {ours}.",
    ]


def misjudged(duels: list[Duel]) -> list[str]:
    """The large convolutions of which this checker said the wrong thing."""
    return [
        f"FAIL: a large convolution, {d.name}, {d.size}×{d.size}: accepted in "
        f"{sum(j.accepts for j in d.ours)} of {len(d.ours)} draws"
        for d in duels
        if any(j.accepts != (d.name == CORRECT) for j in d.ours)
    ]


def main() -> None:
    """Ask, draw, write; exit status 1 if anything is red."""
    args, start = flags(), time.perf_counter()
    folder = args.out / "gradcheck"
    minigrad.zeros(1, device=args.device)  # one that is missing is told before all the work
    folder.mkdir(parents=True, exist_ok=True)
    _begin(args.quick)
    if args.quick:
        lines, trials, duels = measure(args, serial)
    else:
        cores = os.cpu_count() or 1
        with ProcessPoolExecutor(cores, get_context("spawn"), _begin, (args.quick,)) as pool:
            lines, trials, duels = measure(args, pool.map)
    draw_v_curve(folder / "v_curve.png", args.seed)
    portraits = {name: portrait(name, SIZES[0], args.seed) for name in SHOWN}
    draw_flipped_kernel(portraits, duels, folder / "flipped_kernel.png")
    pictures = {
        "Errors of differences against the step": folder / "v_curve.png",
        "A convolution's gradient turned by 180°, and two checkers": folder / "flipped_kernel.png",
    }
    missed = misjudged(duels)
    card = Card(lines, summary(lines, trials, duels) + missed, pictures)
    (folder / "report.md").write_text(markdown(card), encoding="utf-8")
    (folder / "report.html").write_text(page(card), encoding="utf-8")
    print(terminal(card, args.all))
    seconds = time.perf_counter() - start
    print(
        f"\nin {folder}/: report.html, report.md, v_curve.png, flipped_kernel.png; {seconds:.0f} s"
    )
    if card.failed or missed:
        n = len(card.failed) + len(missed)
        sys.exit(f"error: {n} row{'s' * (n > 1)} failed; expected none")


if __name__ == "__main__":
    run(main)
