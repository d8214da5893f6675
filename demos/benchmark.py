"""Milliseconds per training step, beside PyTorch's if that is installed.

The cases are the course's models with random data (forward, backward and an Adam step), their
convolutions alone, Adam alone, and what an operation costs beside arithmetic. The same lines run in
both libraries, each in a process of its own; they take turns, and a ratio is the median over the
rounds of one turn against the next. "minigrad" needs NumPy alone; "compiled" has Numba compile the
loops of `minigrad.kernels`, if it is installed (the extra `fast`); "threads" also splits the batch
over as many threads as there are processors, by `minigrad.parallel`. "products" is the time of the
step's matrix products alone, in NumPy: nothing that uses NumPy can be faster.

Each turn trains a new model: one that has long learned its only batch by heart has gradients of
1e-40, and an Intel processor multiplies such numbers a hundred times slower than others. A turn
also looks at what other programs do meanwhile. If they keep more than a tenth of a processor
busy the turn is taken again, twice at most; a row that was disturbed even so has a ~.

What to see: in ratios.png a bar that ends left of 1 is faster than PyTorch; whiskers are the
fastest and the slowest of the rounds. With --growth, growth.png: time and memory of a step against
batch size, depth and width. On logarithmic axes a line of slope 1 is cost that grows in proportion.
With --trainings, trainings.png: whole trainings on drawn digits, an epoch in turn. A step should
take the same time in all; on Intel's processors it does not where dead units leave tiny numbers.
"""

import argparse
import importlib.util
import json
from statistics import median
from typing import NamedTuple

from tqdm import tqdm

import minigrad
from demos.benchmark_cases import CASES, GROUPS, Case
from demos.benchmark_machine import machine
from demos.benchmark_pictures import draw_growth, draw_ratios, draw_trainings
from demos.benchmark_workers import library_named, processes, take_turns, work
from demos.common import plain_parser, run, table
from demos.foreign_load import disturbed, marked
from demos.growth import growth
from demos.whole_trainings import headings, measure_whole, work_whole
from minigrad.errors import ArgumentError
from minigrad.kernels.processor import numba

COURSE = ""
TIME = "8 minutes"

TRIES = 3
OURS = "minigrad", "compiled", "threads"


class Row(NamedTuple):
    """A case, measured: seconds of each library in each round, and the most foreign load."""

    case: Case
    seconds: dict[str, list[float]]
    load: float  # processors

    def ratios(self, ours: str, theirs: str) -> list[float]:
        """Of each round."""
        return [a / b for a, b in zip(self.seconds[ours], self.seconds[theirs], strict=True)]

    def cells(self, libraries: list[str]) -> list[str]:
        """Its row of the table."""
        times = [
            f"{1e3 * median(self.seconds[library]):.2f}" if library in self.seconds else "-"
            for library in libraries
        ]
        for ours in OURS if "torch" in libraries else ():
            if ours in libraries:
                found = self.ratios(ours, "torch") if ours in self.seconds else []
                times.append(
                    f"{median(found):.2f} ({min(found):.2f}-{max(found):.2f})" if found else "-"
                )
        return [marked(self.case.name, self.load), *times]


def measure(args: argparse.Namespace, libraries: list[str]) -> list[Row]:
    """Every case that was chosen, by every library in turn."""
    with processes(libraries, "--turn", f"{args.turn}", "--device", args.device) as workers:
        chosen = [(i, case) for i, case in enumerate(CASES) if case.group in args.only]
        if args.quick:  # one of each group
            chosen = list({case.group: (i, case) for i, case in chosen[::-1]}.values())[::-1]
        rows = []
        for number, case in tqdm(chosen, "cases", leave=False):
            able = {
                name: worker for name, worker in workers.items()
                if not (name == "threads" and not case.has_batch)
                and not (name == "products" and case.group in ("ops", "adam"))
            }  # fmt: skip
            turns = take_turns(able, number, case.name, range(args.rounds), args.tries)
            rows.append(Row(case, *turns))
    return rows


def flags() -> argparse.Namespace:
    """The command line."""
    made = plain_parser(__doc__, seed="")
    made.add_argument("--only", help=f"some of {','.join(GROUPS)} (default all)")
    made.add_argument("--growth", action="store_true", help="cost against batch, depth and width")
    made.add_argument("--trainings", action="store_true", help="whole trainings, ten epochs each")
    made.add_argument("--rounds", type=int, default=5, help="turns of each library (5)")
    made.add_argument("--turn", type=float, default=0.4, help="seconds of a turn (0.4)")
    made.add_argument("--worker", help=argparse.SUPPRESS)
    made.add_argument("--images", help=argparse.SUPPRESS)  # the file that a worker trains on
    args = made.parse_args()
    if args.rounds < 1 or args.turn <= 0:
        raise ArgumentError(
            f"--rounds, --turn: got {args.rounds}, {args.turn:g}; expected at least 1, and above 0"
        )
    few = ("W1", "W3", "ops", "conv", "adam") if args.quick else GROUPS
    args.only = tuple(args.only.split(",")) if args.only else few
    if unknown := set(args.only) - set(GROUPS):
        raise ArgumentError(f"--only: got {', '.join(unknown)}; expected some of {GROUPS}")
    args.tries = 1 if args.quick else TRIES
    if args.quick:
        args.rounds, args.turn = 1, 0.02
    return args


def libraries_on(device: str) -> tuple[list[str], list[str]]:
    """The columns of the table, and what is to be said of those that are missing.

    Raises DeviceError if minigrad has no such device.
    """
    minigrad.zeros(1, device=device)
    names, notes = [*OURS, "products"], []
    if device != "cpu":  # a GPU is busy with one batch, and has kernels of its own
        names = ["minigrad", "products"]
    elif not numba():
        names.remove("compiled")
        notes.append("Numba is not installed; with it, there is a column for what it compiles")
    if not importlib.util.find_spec("torch"):
        notes.append("PyTorch is not installed; with it, there is a column for it")
    elif device != "cpu" and not library_named("torch").cuda.is_available():
        notes.append("this PyTorch has no CUDA device; with one, there is a column for it")
    else:
        names.insert(-1, "torch")
    return names, notes


def save(args: argparse.Namespace, facts: dict[str, str], rows: list[Row]) -> None:
    """All times, with the machine and the versions."""
    found = {
        "machine": facts,
        "rounds": args.rounds,
        "seconds of a turn": args.turn,
    }
    found["seconds"] = {row.case.name: row.seconds for row in rows}
    found["foreign load"] = {row.case.name: row.load for row in rows}
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (args.folder / "results.json").write_text(text, "utf-8")


def main() -> None:
    """Measure, print and draw."""
    args = flags()
    if args.worker and args.images:
        work_whole(args.worker, args.images, args.device)
        return
    if args.worker:
        work(args.worker, args.turn, args.device)
        return
    args.folder = args.out / "benchmark"
    libraries, notes = libraries_on(args.device)
    args.folder.mkdir(parents=True, exist_ok=True)
    facts = machine(args.device, "torch" in libraries)
    rows = []
    if args.growth:
        lines = growth(args.device, args.quick)
        draw_growth(lines, args.folder / "growth.png")
        columns = "cost of a step", "against", "from", "to", "exponent", "at most", ""
        print(table(columns, [line.cells() for line in lines]))
    elif args.trainings:
        names = [name for name in libraries if name not in ("threads", "products")]
        rows = measure_whole(names, args.device, *((200, 2) if args.quick else (20_000, 10)))
        draw_trainings(rows, args.folder / "trainings.png")
        print(table(headings(names), [row.cells() for row in rows]))
    else:
        rows = measure(args, libraries)
        ratios = [f"{ours} / torch" for ours in OURS if ours in libraries and "torch" in libraries]
        print(table(["ms per step (median)", *libraries, *ratios],
                    [row.cells(libraries) for row in rows]))  # fmt: skip
        draw_ratios(rows, "torch" if ratios else "products", args.folder / "ratios.png")
        save(args, facts, rows)
    if any(disturbed(row.load) for row in rows):
        notes.append("~ other programs were busy in some turns of this row, however often")
    print("\n".join([*notes, ", ".join(f"{v}" for v in facts.values())]))


if __name__ == "__main__":
    run(main)
