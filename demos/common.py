"""What the demos share: their flags, their data, their tables, and how they fail."""

import argparse
import json
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

import minigrad
from minigrad import Tensor
from minigrad.data import ImageDataset, TensorDataset
from minigrad.data.faces import faces_from
from minigrad.data.folder import image_folder
from minigrad.data.glyphs import glyphs
from minigrad.data.mnist import mnist_splits
from minigrad.errors import (
    ArgumentError,
    CheckpointError,
    DatasetError,
    DeviceError,
    NonFiniteError,
    WorkerError,
)

DATASETS = "glyphs", "mnist", "fashion-mnist"
FACES = "faces", "folder"  # in colour: drawn, or a folder of pictures such as CelebA's
ALL = DATASETS + FACES
WHERE = {
    DATASETS: (
        "glyphs are drawn on the spot; the others are downloaded, or read from --data-dir",
        "a folder with the dataset's IDX files",
    ),
    FACES: (
        "faces are drawn on the spot, from known factors; folder: the pictures in --data-dir",
        "the folder of pictures, and those below it",
    ),
    ALL: (
        "glyphs and faces are drawn on the spot; MNIST is downloaded, or read from --data-dir",
        "a folder with the dataset's IDX files, or of pictures",
    ),
}
SETTINGS = "settings.json"  # what a run that may be resumed was asked for
PAINTED = 256  # faces at a time, so that few are in memory as floats


class Images(NamedTuple):
    """Images (n, channels, height, width) in [0, 1] and their labels (n,)."""

    images: Tensor
    labels: Tensor


def plain_parser(description: str, seed: str = "everything random") -> argparse.ArgumentParser:
    """A parser with the flags of every demo: --seed, --device, --out and --quick.

    `seed` says what is drawn from it; if nothing is, there is no --seed.
    """
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if seed:
        made.add_argument("--seed", type=int, default=0, help=f"of {seed} (default 0)")
    made.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:<number>")
    made.add_argument("--out", type=Path, default=Path("out"), help="where pictures go (out/)")
    made.add_argument("--quick", action="store_true", help="a few seconds, to see that it runs")
    return made


def parser(
    description: str, epochs: int, datasets: tuple[str, ...] = DATASETS
) -> argparse.ArgumentParser:
    """A parser with the flags of demos that learn from data: one of DATASETS, FACES or ALL."""
    dataset, data_dir = WHERE[datasets]
    made = plain_parser(description)
    made.add_argument("--dataset", choices=datasets, default=datasets[0], help=dataset)
    made.add_argument("--data-dir", type=Path, help=data_dir)
    made.add_argument("--epochs", type=int, default=epochs, help=f"passes (default {epochs})")
    return made


def expect_at_least(args: argparse.Namespace, **least: int) -> None:
    """Raise ArgumentError if a flag has a number below the least that it may have."""
    for name, number in least.items():
        if getattr(args, name) < number:
            raise ArgumentError(f"--{name}: got {getattr(args, name)}; expected at least {number}")


def refuse_data(args: argparse.Namespace) -> None:
    """Raise ArgumentError if a dataset was asked for: what this demo learns from it draws."""
    if args.dataset != "glyphs" or args.data_dir:
        raise ArgumentError("--dataset, --data-dir: got a dataset; expected none: points are drawn")


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


def resumes(folder: Path, settings: dict[str, str], resume: bool) -> bool:
    """Whether the run in this folder is to go on; ArgumentError if it had other settings."""
    path = folder / SETTINGS
    if not (resume and path.exists()):
        return False
    before = json.loads(path.read_text("utf-8"))
    changed = [name for name in settings if before.get(name) != settings[name]]
    if changed:
        raise ArgumentError(
            f"--resume: got {', '.join(f'{name} {settings[name]}' for name in changed)}; "
            f"expected {', '.join(f'{name} {before.get(name)}' for name in changed)}, "
            f"as the run in {folder} has. Leave out --resume to start anew."
        )
    return True


class Rows(TensorDataset):
    """Rows of a dataset, in an order that may be changed between passes; nothing is copied."""

    def __init__(self, data: TensorDataset, rows: np.ndarray) -> None:
        super().__init__(*data.tensors)
        self.data, self.rows = data, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return self.data[self.rows[index]]


def load_faces(
    args: argparse.Namespace, train: int, test: int, draw: Callable[[int, int], np.ndarray]
) -> tuple[TensorDataset, TensorDataset]:
    """Faces (n, 3, 64, 64) to train and to test on, kept as bytes.

    Drawn ones are labelled with their factors, draw(n, seed). Those of a folder have no labels;
    70 % of them are to train on and 30 % to test on, at most so many.
    """
    if args.dataset == "faces" and args.data_dir is None:
        factors = draw(train + test, args.seed)
        both = ImageDataset(paint(factors), factors, args.device)
        return Rows(both, np.arange(train)), Rows(both, np.arange(train, train + test))
    if args.data_dir is None:
        raise ArgumentError("dataset: got folder without --data-dir; expected the folder's path")
    images = image_folder(args.data_dir, limit=train + test if args.quick else None).images
    if len(images) < 10:
        raise ArgumentError(f"data-dir: got {len(images)} pictures; expected at least 10")
    every = ImageDataset(images, device=args.device)
    order = np.random.default_rng(args.seed).permutation(len(images))
    first, second = np.split(order, [round(0.7 * len(images))])
    return Rows(every, first[:train]), Rows(every, second[:test])


def paint(factors: np.ndarray, size: int = 64) -> np.ndarray:
    """The faces of these factors as bytes (n, 3, size, size)."""
    faces = np.empty((len(factors), 3, size, size), np.uint8)
    bar = tqdm(total=len(factors), desc="painting", unit=" faces", leave=False, delay=2)
    for start in range(0, len(factors), PAINTED):
        part = slice(start, start + PAINTED)
        faces[part] = np.rint(255 * faces_from(factors[part], size))
        bar.update(len(factors[part]))
    bar.close()
    return faces


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


def guide(folder: Path, seen: Mapping[str, str]) -> str:
    """Where the pictures are, and what there is to see in each.

    >>> print(guide(Path("out/x"), {"line.png": "A line.", "curve.gif": "It bends."}))
    pictures in out/x/:
      line.png   A line.
      curve.gif  It bends.
    """
    width = max(map(len, seen))
    lines = [
        textwrap.fill(text, 100, initial_indent=f"  {name:{width}}  ",
                      subsequent_indent=" " * (width + 4))
        for name, text in seen.items()
    ]  # fmt: skip
    return "\n".join([f"pictures in {folder}/:", *lines])


def run(main: Callable[[], None]) -> None:
    """Run a demo; what can go wrong from outside is one line and exit status 1."""
    try:
        main()
    except KeyboardInterrupt as stop:
        print(f"\n{stop or 'interrupted'}", file=sys.stderr)
        sys.exit(130)
    except (
        ArgumentError, CheckpointError, DatasetError, DeviceError, NonFiniteError, OSError,
        WorkerError,
    ) as error:  # fmt: skip
        sys.exit(f"error: {error}")
