"""Convolution arithmetic: C, Cᵀ, and a transposed convolution three ways, printed and animated.

The relationships 8 to 15 of the guide to convolution arithmetic (Dumoulin and Visin, arXiv
1603.07285), deck 001's 6×6 figure, and the decoder of deck 000's VAE. A convolution is a matrix C;
its gradient is Cᵀ; the transposed convolution is the same pair turned round.

What to see: Cᵀ gives back the shape of x, not its values. A direct convolution does what Cᵀ does,
if the input is stretched with zeros and the kernel turned by 180°, which the decks leave out: try
without, and all is wrong. Open the animations: blue is read, cyan is made, the zeros are white.

`--case R13` shows one case at full length, `--own 7,3,2,1` one of your own: i, k, s, p and d.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from demos.common import expect_at_least, plain_parser, run, table
from demos.convolution_animation import direct_scene, frames, save_animation, transposed_scene
from demos.convolution_cases import (
    CASES,
    DECK,
    ROUNDING,
    SIZES,
    Arrays,
    Case,
    Check,
    check,
    cost,
    recovery,
    small_arrays,
    unturned,
)
from demos.convolution_pictures import (
    contact_sheet,
    draw_connectivity,
    draw_costs,
    draw_matrix,
    draw_recovery,
    draw_turn,
)
from minigrad.errors import ArgumentError, ShapeError
from minigrad.ops.conv import matrix, stretched

COURSE = "C1-C10, C12"
TIME = "half a minute"

WIDE, LONG = 100, 40  # characters and rows of a matrix up to which it is printed
LARGEST = 9  # pixels a side up to which a case is animated
MOST = 24  # pixels a side, framed, of one's own case
SIDES = 4, 8, 16, 32, 64  # that are timed


def flags() -> argparse.Namespace:
    """The command line."""
    made = plain_parser(__doc__, seed="the numbers shown")
    names = [case.name for case in CASES]
    made.add_argument("--case", choices=names, help="show and draw this one alone, in full")
    made.add_argument("--own", metavar="i,k,s,p,d", help="likewise your own; s, p, d may be left")
    args = made.parse_args()
    expect_at_least(args, seed=0)
    return args


def own_case(text: str) -> Case:
    """The case that --own describes."""
    words = text.split(",")
    if not (2 <= len(words) <= 5 and all(word.strip().isdecimal() for word in words)):
        raise ArgumentError(f"--own: got {text!r}; expected 2 to 5 whole numbers: i,k,s,p,d")
    case = Case("own", "your own", *map(int, words))
    if case.i + 2 * case.p > MOST:
        raise ArgumentError(
            f"--own: got {case.i} pixels framed by {case.p}; expected at most {MOST} in all"
        )
    try:
        case.row()
    except ShapeError as error:
        raise ArgumentError(f"--own: {error}") from None
    return case


# ---------------------------------------------------------------- what is printed


def lines_of(array: np.ndarray) -> list[str]:
    """The rows of a matrix of words or whole numbers; a dot for nothing."""
    words = [[f"{v:.0f}" if isinstance(v, float) else str(v) for v in row] for row in array]
    words = [["·" if word == "0" else word for word in row] for row in words]
    width = max(len(word) for row in words for word in row)
    return [" ".join(f"{word:>{width}}" for word in row) for row in words]


def beside(*blocks: list[str], between: str = "    ") -> str:
    """Blocks of lines side by side, first line by first line."""
    height = max(map(len, blocks))
    padded = [[*block, *[""] * (height - len(block))] for block in blocks]
    padded = [[f"{line:<{max(map(len, block))}}" for line in block] for block in padded]
    return "\n".join(between.join(row).rstrip() for row in zip(*padded, strict=True))


def matrices(case: Case, arrays: Arrays) -> dict[str, list[str]]:
    """C with its elements, C in numbers, and Cᵀ both ways, under their names."""
    C, symbols = matrix.unroll(arrays.w, case.geometry), matrix.conv2d_symbols(case.geometry)
    (o, i), w = C.shape, lines_of(arrays.w[0, 0])
    return {
        f"C, {o} × {i}: a row for each output pixel, a column for each input pixel": lines_of(
            symbols
        ),
        f"C with w = [{' | '.join(' '.join(row.split()) for row in w)}]": lines_of(C),
        f"Cᵀ, {i} × {o}": lines_of(symbols.T),
        "Cᵀ in numbers": lines_of(C.T),
    }


def write(case: Case, arrays: Arrays, folder: Path) -> None:
    """Its matrices as a text file."""
    parts = ["\n".join([name, "", *lines]) for name, lines in matrices(case, arrays).items()]
    text = f"{case.name}, {case.what}: {case.sizes()}\n\n" + "\n\n".join(parts) + "\n"
    (folder / "matrix.txt").write_text(text, encoding="utf-8")


def show(case: Case, arrays: Arrays, folder: Path) -> None:
    """A case at full length; what is too wide for a terminal stands in the file."""
    g, found = case.geometry, matrices(case, arrays)
    print(f"{case.name}, {case.what}: {case.sizes()}\n")
    names = list(found)
    for pair in (names[:1], names[1:2], names[2:]):
        block = beside(*([name, *found[name]] for name in pair))
        lines = block.splitlines()
        if max(map(len, lines)) <= WIDE and len(lines) <= LONG:
            print(block + "\n")
        else:
            print(f"{pair[0]}: too large for here; it is in {folder / 'matrix.txt'}\n")
    lost = recovery(arrays, g)
    x, y, back = (lines_of(a[0, 0]) for a in (arrays.x, arrays.y, arrays.back))
    print(beside(["x", *x], ["y = C x", *y], ["Cᵀ y", *back]))
    print(f"""
Cᵀ y has the shape of x, not its values: scaled to fit best, it is still {lost.transposed:.0%} off.
C has rank {lost.rank} of {arrays.x.size}, {lost.says}.
""")
    wrong = unturned(arrays.code, arrays.w, g)
    blur = unturned(arrays.code, np.ones_like(arrays.w), g)
    size, frame = case.stretched_size, case.stretched_padding
    print(f"""A direct convolution makes the same of y stretched to {size}, framed by {frame} zeros,
if the kernel is turned by 180°. If not, errors are up to {wrong:.0%} of the largest number. With a
kernel of ones, the same either way round, they are {blur:.0%}: so the mistake hides.
""")


def check_table(cases: list[Case], checks: list[Check]) -> str:
    """The differences that ought to be rounding, that without the turn, and the zeros."""
    columns = (
        "case", "three ways", "∂conv2d - Cᵀg", "∂conv_transpose2d - Cg", "not turned",
        "zero pixels", "zero products",
    )  # fmt: skip
    rows = []
    for case, found in zip(cases, checks, strict=True):
        waste = stretched.waste(case.geometry)
        rounding = (f"{value:.0e}" for value in found[:3])
        rows.append((case.name, *rounding, *(f"{v:.0%}" for v in (found.unturned, *waste))))
    return table(columns, rows)


def show_costs(args: argparse.Namespace, folder: Path) -> None:
    """Time the lowerings; print and draw."""
    sides, seconds = (SIDES[:3], 0.02) if args.quick else (SIDES, 0.4)
    found = [
        cost(side, args.seed, seconds, args.device) for side in tqdm(sides, "timing", leave=False)
    ]
    columns = "pixels a side", "im2col ms", "stretched ms", "matrix ms", "zeros read", "C takes MB"
    rows = [
        (
            c.side, c.milliseconds["im2col"], c.milliseconds["stretched"],
            "refused" if c.milliseconds["matrix"] is None else f"{c.milliseconds['matrix']:.4f}",
            f"{c.zeros.pixels:.0%}", c.megabytes,
        )
        for c in found
    ]  # fmt: skip
    print(f"""The time of one transposed convolution: k 4, s 2, p 1, 32 channels, 8 images:

{table(columns, rows)}

matrix refuses a C of more than {matrix.MAX_BYTES / 1e6:.0f} MB.
""")
    draw_costs(found, folder / "timing.png")


# ---------------------------------------------------------------- what is drawn


def draw(case: Case, arrays: Arrays, folder: Path, direct: bool) -> None:
    """The pictures of a case, and its animations if it is small."""
    draw_matrix(case, folder / "matrix.png")
    draw_connectivity(case, folder / "connectivity.png")
    draw_recovery(case, arrays, folder / "values.png")
    draw_turn(case, arrays, folder / "turn.png")
    if case.i <= LARGEST:
        save_animation(transposed_scene(case, arrays), folder / "transposed.gif")
        if direct:
            save_animation(direct_scene(case, arrays), folder / "direct.gif")


def middle_frames(cases: list[Case], arrays: dict[str, Arrays], path: Path) -> None:
    """A frame of each animation of a transposed convolution, on one sheet."""
    scenes = [transposed_scene(case, arrays[case.name]) for case in cases if case.i <= LARGEST]
    pictures = [frames(scene) for scene in scenes]
    contact_sheet([shots[len(shots) // 2] for shots in pictures], path)


def refuse(cases: list[Case], checks: list[Check]) -> None:
    """End with exit status 1 if something differs that should be equal."""
    failed = [c.name for c, found in zip(cases, checks, strict=True) if not found.passed]
    if failed:
        worst = max(max(found[:3]) for found in checks)
        sys.exit(
            f"error: {', '.join(failed)}: what should be equal differs by {worst:.1e}; "
            f"expected at most {ROUNDING:.0e}"
        )


def main() -> None:
    """Print, check, draw."""
    args = flags()
    cases, folder = list(CASES), args.out / "conv_arithmetic"
    if args.own:
        cases.append(own_case(args.own))
    chosen = "own" if args.own else args.case
    alone = [case for case in cases if case.name == chosen]
    drawn = alone or [case for case in cases if case.name in ("R8", "R13") or not args.quick]
    checks = [check(case, args.seed, args.device) for case in cases]
    arrays = {case.name: small_arrays(case, args.seed) for case in cases}
    for case in drawn:
        (folder / case.name).mkdir(parents=True, exist_ok=True)
        write(case, arrays[case.name], folder / case.name)
    show(drawn[0], arrays[drawn[0].name], folder / drawn[0].name)
    print(table(SIZES, [case.row() for case in cases]) + "\n")
    print("""Largest differences, on random numbers with channels, between Cᵀy by im2col, matrix and
stretched; between autograd's gradient of conv2d and Cᵀg, of conv_transpose2d and Cg; and if the
stretched way does not turn the kernel. Then how much of what that reads and multiplies is 0.
""")
    print(check_table(cases, checks) + "\n")
    if not alone:
        show_costs(args, folder)
        middle_frames(drawn, arrays, folder / "transposed.png")
    for case in tqdm(drawn, "drawing", leave=False):
        draw(case, arrays[case.name], folder / case.name, case in alone or case.name in DECK)
    print(f"in {folder}/, for each case: matrix.txt, matrix.png, transposed.gif, turn.png, …")
    refuse(cases, checks)


if __name__ == "__main__":
    run(main)
