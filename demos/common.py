"""What the demos share: their flags, their data, their tables, and how they fail."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad
from minigrad import Tensor
from minigrad.data.glyphs import glyphs
from minigrad.data.mnist import mnist_splits
from minigrad.errors import (
    ArgumentError,
    CheckpointError,
    DatasetError,
    DeviceError,
    NonFiniteError,
)

DATASETS = "glyphs", "mnist", "fashion-mnist"


class Images(NamedTuple):
    """Images (n, 1, 28, 28) in [0, 1] and their labels (n,)."""

    images: Tensor
    labels: Tensor


def parser(description: str, epochs: int) -> argparse.ArgumentParser:
    """A parser with the flags that every demo has."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--dataset", choices=DATASETS, default="glyphs",
        help="glyphs are drawn on the spot; the others are downloaded, or read from --data-dir",
    )  # fmt: skip
    made.add_argument("--data-dir", type=Path, help="a folder with the dataset's IDX files")
    made.add_argument("--epochs", type=int, default=epochs, help=f"passes (default {epochs})")
    made.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    made.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:<number>")
    made.add_argument("--out", type=Path, default=Path("out"), help="where pictures go (out/)")
    made.add_argument("--quick", action="store_true", help="a few seconds, to see that it runs")
    return made


def load_images(args: argparse.Namespace, train: int, test: int) -> tuple[Images, Images]:
    """The training and the test images that the flags ask for: of glyphs, so many of each."""
    if args.dataset == "glyphs" and args.data_dir is None:
        drawn = glyphs(train + test, seed=args.seed)
        sets = [(x[:train], x[train:]) for x in (drawn.images, drawn.labels)]
        parts = [(images, labels) for images, labels in zip(*sets, strict=True)]
    else:
        name = "mnist" if args.dataset == "glyphs" else args.dataset
        parts = list(mnist_splits(name, data_dir=args.data_dir))
        if args.quick:
            parts = [(p[0][:n], p[1][:n]) for p, n in zip(parts, (train, test), strict=True)]
    device = minigrad.device(args.device)
    first, second = (
        Images(
            minigrad.tensor(images[:, None].astype(np.float32), device=device),
            minigrad.tensor(labels, device=device),
        )
        for images, labels in parts
    )
    return first, second


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows under headings, numbers to the right.

    >>> print(table(("model", "loss"), [("a", 0.25), ("long", 12)]))
    model    loss
    a      0.2500
    long       12
    """
    text = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *text, strict=True)]
    numeric = [not isinstance(value, str) for value in (rows[0] if rows else columns)]
    lines = [
        "  ".join(
            f"{cell:>{width}}" if right else f"{cell:<{width}}"
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in [list(columns), *text]
    ]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float) and abs(value) < 10 else (
        f"{value:,.1f}" if isinstance(value, float) else str(value)
    )  # fmt: skip


def run(main: Callable[[], None]) -> None:
    """Run a demo; what can go wrong from outside is one line and exit status 1."""
    try:
        main()
    except KeyboardInterrupt as stop:
        print(f"\n{stop or 'interrupted'}", file=sys.stderr)
        sys.exit(130)
    except (
        ArgumentError, CheckpointError, DatasetError, DeviceError, NonFiniteError, OSError,
    ) as error:  # fmt: skip
        sys.exit(f"error: {error}")
