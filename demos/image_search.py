"""Find images like this one: nearest neighbours in pixels, and in the codes of autoencoders.

A query is compared with all training images, and the five nearest are the hits: by Euclidean
distance of the pixels, or of eight numbers. These are PCA's, an autoencoder's codes, or the means
of a VAE's q(z|x). Precision@5 is the share of the hits that show what the query shows; no model
has seen a label.

What to see: eight numbers lose some of the pixels' precision, and sixteen hardly any; they are
searched thirty times faster, from a hundredth of the memory. Of four numbers a network's find more
than PCA's, which are the best linear ones; with sixteen there is little to choose. In the pictures
the wrong hits are red: pixels find ink in the same places, codes what the code does not tell apart.
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from demos.common import Images, parser, run, table
from demos.image_search_pictures import draw_hits, draw_sizes, draw_wrong
from demos.short_encoders import checked, codes_of, named_images, plain, trained, variational
from demos.vae_numbers import flat, squares
from minigrad import Tensor
from minigrad.errors import ArgumentError
from models.linear_autoencoder import PCA, pca

COURSE = "A21"
TIME = "half a minute"

HITS = 5
SIZES = 2, 4, 8, 16  # of the code
TIMED = 50  # queries


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=6)
    made.add_argument("--code", type=int, default=8, help="numbers in the code (default 8)")
    args = checked(made.parse_args(), quick_epochs=3)
    if args.code > 784:
        raise ArgumentError(f"--code: got {args.code}; expected at most 784, the pixels")
    args.sizes = sorted({args.code, *((2,) if args.quick else SIZES)})
    return args


# ---------------------------------------------------------------- spaces


Encode = Callable[[Tensor], np.ndarray]


def spaces(
    code: int, components: PCA, images: Tensor, args: argparse.Namespace
) -> dict[str, Encode]:
    """What makes `code` numbers of an image, by name."""
    autoencoder = trained(lambda: plain(code), images, args)
    vae = trained(lambda: variational(code), images, args)
    plane = components.first(code)
    return {
        "PCA": lambda x: plane.encode(x).cpu().numpy(),
        "AE codes": lambda x: codes_of(autoencoder, x),
        "VAE means": lambda x: codes_of(vae, x),
    }


# ---------------------------------------------------------------- search


def nearest(asked: np.ndarray, known: np.ndarray, hits: int = HITS) -> np.ndarray:
    """Which `hits` known vectors (n, d) are nearest to each asked (m, d), nearest first: (m, hits).

    >>> nearest(np.array([[0.0, 0.1]]), np.array([[5.0, 5.0], [0.0, 1.0], [0.0, 0.0]]), 2)
    array([[2, 1]])
    """
    away = squares(asked, known)
    near = np.argpartition(away, hits - 1, axis=1)[:, :hits]
    order = np.argsort(np.take_along_axis(away, near, 1), axis=1, kind="stable")
    return np.take_along_axis(near, order, 1)


class Search(NamedTuple):
    """What a space finds for every query."""

    hits: np.ndarray  # (queries, HITS), places among the training images
    right: np.ndarray  # (queries, HITS), booleans: of the query's kind
    microseconds: tuple[float, float]  # per query: to encode it, to search
    bytes: int  # per training image


def search(encode: Encode, train: Images, test: Images) -> Search:
    """The nearest training images of every test image."""
    known, asked = encode(train.images), encode(test.images)
    hits = nearest(asked, known)
    right = train.labels.cpu().numpy()[hits] == test.labels.cpu().numpy()[:, None]
    return Search(hits, right, _timed(encode, known, test.images), known[0].nbytes)


def _timed(encode: Encode, known: np.ndarray, images: Tensor) -> tuple[float, float]:
    """The median microseconds to encode one image alone, and to find its neighbours."""
    lengths = (known**2).sum(1)  # an index would keep them
    spent = []
    for i in range(min(TIMED, len(images))):
        start = time.perf_counter()
        code = encode(images[i : i + 1])[0]
        middle = time.perf_counter()
        np.argpartition(lengths - 2 * (known @ code), HITS - 1)[:HITS]
        spent.append((middle - start, time.perf_counter() - middle))
    encoding, searching = 1e6 * np.median(spent, axis=0)
    return float(encoding), float(searching)


def by_kind(found: dict[str, Search], labels: np.ndarray, names: tuple[str, ...]) -> list[tuple]:
    """Precision@5 of each kind of query, and of all: a row for each."""
    kinds = [(names[kind], labels == kind) for kind in np.unique(labels)]
    return [
        (name, *(float(space.right[some].mean()) for space in found.values()))
        for name, some in [*kinds, ("all", np.full(len(labels), True))]
    ]


def main() -> None:
    """Train codes of every size, search, draw, and print the tables."""
    args = flags()
    started = time.perf_counter()
    train, test, names = named_images(args, *((1500, 200) if args.quick else (8_000, 1_000)))
    folder = args.out / "image_search"
    folder.mkdir(parents=True, exist_ok=True)
    pixels = search(flat, train, test)
    components = pca(train.images, max(args.sizes))
    sizes: dict[int, dict[str, Search]] = {}
    for code in (bar := tqdm(args.sizes, desc="codes", unit="size")):
        bar.set_postfix_str(f"{code} numbers")
        made = spaces(code, components, train.images, args)
        sizes[code] = {name: search(encode, train, test) for name, encode in made.items()}
    found = {"pixels": pixels, **sizes[args.code]}
    pictures, labels = (part.cpu().numpy() for part in test)
    firsts = [int(np.flatnonzero(labels == kind)[0]) for kind in np.unique(labels)]
    both = train.images.cpu().numpy()[:, 0], pictures[:, 0]
    draw_hits(found, *both, firsts, folder / "hits.png")
    draw_wrong(found, *both, folder / "mistakes.png")
    precision = {size: {n: s.right.mean() for n, s in row.items()} for size, row in sizes.items()}
    draw_sizes(precision, float(pixels.right.mean()), folder / "sizes.png")
    print(f"\nprecision@5 by kind, codes of {args.code} numbers\n")
    print(table(("query", *found), by_kind(found, labels, names)))
    rows = [("pixels", 784, pixels)]
    rows += [(name, size, s) for size, row in sizes.items() for name, s in row.items()]
    columns = "space", "numbers", "bytes/image", "precision@5", "encode µs", "search µs"
    print(f"\nper query, among {len(train.images):,} images, each number in float32\n")
    print(table(columns, [
        (name, size, s.bytes, float(s.right.mean()), *(round(t) for t in s.microseconds))
        for name, size, s in rows
    ]))  # fmt: skip
    spread = float(pixels.right.mean(1).std() / np.sqrt(len(pixels.right)))
    print(f"\nprecision ± {spread:.3f} for the number of queries (standard error, of pixels)")
    print(f"in all {time.perf_counter() - started:.0f} seconds; pictures in {folder}/")


if __name__ == "__main__":
    run(main)
