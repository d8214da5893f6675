"""How few bytes an image needs: an autoencoder's codes, PCA's, and JPEG at equal bytes.

Deep autoencoders with 4 to 32 codes, 784-256-128-64-d, and PCA with 4 to 64 components learn from
training images. Of the test images each code is then rounded to 2, 4 or 8 bits, evenly between the
values that one training code in 200 lies beyond, and decoded. JPEG, by Pillow, has quality 1 to 95.

What to see: in 2 or 4 bytes the autoencoder writes a digit, if not always the right one, and better
than PCA does. JPEG cannot write so little: whole files of its least quality have two hundred bytes,
most of them tables and markers, and the picture alone thirty or forty. With 32 bytes PCA is better
than these autoencoders; with about twice the bytes JPEG, which knows nothing of digits and writes
any picture, reaches it. The others know nothing else, and both sides must own the decoder: its
bytes, as float32, are in the table and not in the curves. Four bits a code lose little against
eight; two lose much, though for PCA as many more components are worth it.
"""

import argparse
import io
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import minigrad
from demos.common import Images, expect_at_least, load_images, parser, run, table
from demos.pca import codes_of, components_of, flat, train_deep
from demos.pictures import Panel, draw_panels, mosaic, shown
from models.autoencoder import Autoencoder
from models.scores import psnr

COURSE = "A24"
TIME = "a minute"

TRAIN, TEST = 12_000, 1_000  # images, of any dataset
DEEP = 4, 8, 16, 32  # codes
COMPONENTS = 4, 8, 16, 32, 64
BITS = 2, 4, 8  # a code
QUALITIES = 1, 5, 10, 20, 30, 50, 70, 85, 95  # of JPEG


def flags() -> argparse.Namespace:
    """The command line."""
    args = parser(__doc__, epochs=10).parse_args()
    expect_at_least(args, epochs=1)
    args.train, args.test, args.deep = TRAIN, TEST, DEEP
    if args.quick:
        args.train, args.test, args.deep = 1_000, 200, (4, 16)
        args.epochs = min(args.epochs, 3)
    return args


# ---------------------------------------------------------------- bytes


class Quantiser:
    """Rounds each code to 2ᵇ values, evenly spaced over 99 % of the training codes.

    >>> q = Quantiser(np.linspace(0, 1, 1001)[:, None], bits=1)
    >>> q.write(np.array([[0.2], [0.9], [7.0]])).ravel()
    array([0, 1, 1])
    """

    def __init__(self, codes: np.ndarray, bits: int) -> None:
        self.low, high = np.percentile(codes, [0.5, 99.5], axis=0)
        self.last = 2**bits - 1
        self.step = (high - self.low) / self.last

    def write(self, codes: np.ndarray) -> np.ndarray:
        """Whole numbers from 0 to 2ᵇ - 1; what lies outside goes to the nearest end."""
        places = (codes - self.low) / np.where(self.step > 0, self.step, 1)
        return np.clip(np.rint(places), 0, self.last).astype(np.int64)

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """The codes that these numbers stand for."""
        return self.low + numbers * self.step


def jpeg(image: np.ndarray, quality: int, measured: bool) -> bytes:
    """The file of a grey image of bytes (h, w), its Huffman tables made to measure or not."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, optimize=measured)
    return file.getvalue()


def scan_bytes(file: bytes) -> int:
    """The bytes of a JPEG file that hold the picture, and no tables or markers.

    The segments before it begin with ff, a marker and their length, two bytes that count
    themselves; after the segment da comes the picture, and at the end the marker ff d9.
    """
    at = 2
    while file[at + 1] != 0xDA:
        at += 2 + int.from_bytes(file[at + 2 : at + 4], "big")
    at += 2 + int.from_bytes(file[at + 2 : at + 4], "big")
    return len(file) - at - 2


# ---------------------------------------------------------------- ways to write an image


class Way(NamedTuple):
    """One way to write images, and what comes back."""

    kind: str
    detail: str
    size: float  # mean bytes per image
    pictures: np.ndarray  # (n, 784), in [0, 1]
    quality: float  # mean PSNR, dB
    decoder: int  # bytes that the reader must own beforehand


def way(kind: str, detail: str, size: float, rows: np.ndarray, x: np.ndarray, decoder: int) -> Way:
    """With its PSNR: the mean of that of each image."""
    rows = rows.clip(0, 1)
    return Way(kind, detail, size, rows, float(psnr(x, rows).mean()), decoder)


@minigrad.no_grad()
def decoded(model: Autoencoder, codes: np.ndarray) -> np.ndarray:
    """What the decoder makes of codes, as rows."""
    device = model.decoder[0].weight.device
    return model.decode(minigrad.tensor(codes.astype(np.float32), device=device)).cpu().numpy()


def by_autoencoder(args: argparse.Namespace, train: Images, test: Images) -> list[Way]:
    """Every size of the code with every number of bits."""
    found, x = [], flat(test.images)
    for d in args.deep:
        model = train_deep(args, d, train)
        known, codes = codes_of(model, train.images), codes_of(model, test.images)
        decoder = 4 * sum(p.numel() for p in model.decoder.parameters())
        for bits in BITS:
            quantiser = Quantiser(known, bits)
            rows = decoded(model, quantiser.read(quantiser.write(codes)))
            name = f"{d} codes, {bits} bits"
            found.append(way("autoencoder", name, d * bits / 8, rows, x, decoder))
    return found


def by_pca(train: Images, test: Images) -> list[Way]:
    """The same for principal components."""
    found, x = [], flat(test.images)
    asked, known = (minigrad.tensor(flat(part.images)) for part in (test, train))
    components = components_of(train.images)
    for d in COMPONENTS:
        plane = components.first(d)
        codes, known_codes = plane.encode(asked).numpy(), plane.encode(known).numpy()
        for bits in BITS:
            quantiser = Quantiser(known_codes, bits)
            numbers = quantiser.read(quantiser.write(codes))
            rows = plane.decode(minigrad.tensor(numbers)).numpy()
            name = f"{d} components, {bits} bits"
            found.append(way("PCA", name, d * bits / 8, rows, x, 4 * 784 * (d + 1)))
    return found


def by_jpeg(test: Images) -> list[Way]:
    """Whole files, the smallest that Pillow makes, and the picture alone.

    Tables made to measure are part of the message. So the picture alone is that of the standard
    Huffman tables, which with the quality are the same for every image.
    """
    x = flat(test.images)
    pictures = np.rint(x * 255).astype(np.uint8).reshape(-1, 28, 28)
    whole, bare = [], []
    for quality in QUALITIES:
        files = [jpeg(picture, quality, measured=True) for picture in pictures]
        rows = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
        rows = rows.reshape(len(x), -1) / 255
        scans = [scan_bytes(jpeg(picture, quality, measured=False)) for picture in pictures]
        name = f"quality {quality}"
        whole.append(way("JPEG, whole file", name, np.mean([*map(len, files)]), rows, x, 0))
        bare.append(way("JPEG, picture alone", name, np.mean(scans), rows, x, 0))
    return whole + bare


def best(ways: list[Way], kind: str, size: float) -> Way | None:
    """The best way of a kind that needs no more bytes than that."""
    fitting = [w for w in ways if w.kind == kind and w.size <= size]
    return max(fitting, key=lambda w: w.quality, default=None)


def frontier(ways: list[Way], kind: str) -> list[Way]:
    """The ways of a kind that no other beats with as few bytes, by their bytes."""
    own = sorted((w for w in ways if w.kind == kind), key=lambda w: w.size)
    return [w for w in own if best(own, kind, w.size).quality <= w.quality]


# ---------------------------------------------------------------- pictures

COLOURS = {
    "autoencoder": "C3", "PCA": "C0", "JPEG, picture alone": "C2", "JPEG, whole file": "0.4",
}  # fmt: skip


def draw_curves(ways: list[Way], path: Path) -> None:
    """PSNR over bytes: every way a point, and a line through the best of each kind."""
    figure, axes = plt.subplots(figsize=(8, 5))
    for kind, colour in COLOURS.items():
        own = [w for w in ways if w.kind == kind]
        axes.plot([w.size for w in own], [w.quality for w in own], ".", color=colour, alpha=0.5)
        line = frontier(ways, kind)
        axes.plot(
            [w.size for w in line], [w.quality for w in line], "o-", color=colour, label=kind, ms=4
        )
    axes.set_xscale("log", base=2)
    axes.axvline(784, color="black", ls=":", lw=1)
    axes.text(784, axes.get_ylim()[0], " the pixels", rotation=90, va="bottom", ha="right")
    ticks = [2**i for i in range(11)]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.set(xlabel="bytes per image", ylabel="PSNR of test images, dB")
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


def draw_examples(ways: list[Way], test: Images, path: Path) -> None:
    """The same digits, written in different ways."""
    x = flat(test.images)
    sample = flat(shown(*test, each=1))
    rows = [int(np.abs(x - one).sum(1).argmin()) for one in sample]

    def strip(pictures: np.ndarray) -> list[Panel]:
        return [Panel(mosaic(pictures[rows].reshape(-1, 28, 28)))]

    chosen = [best(ways, "autoencoder", size) for size in (2, 4, 8)]
    chosen += [best(ways, "PCA", size) for size in (8, 32)]
    bare = sorted((w for w in ways if w.kind == "JPEG, picture alone"), key=lambda w: w.size)
    chosen += [bare[0], bare[3], bare[5]]
    named = [("input\n784 bytes", strip(x))]
    for w in chosen:
        if w:
            name = f"{w.kind}\n{w.size:.0f} bytes, {w.quality:.1f} dB"
            named.append((name, strip(w.pictures)))
    draw_panels(named, path)


def main() -> None:
    """Train, write, draw, and print the tables."""
    args = flags()
    started = time.perf_counter()
    data = load_images(args, args.train, args.test)
    train, test = (
        Images(part.images[:n], part.labels[:n])
        for part, n in zip(data, (args.train, args.test), strict=True)
    )
    folder = args.out / "compression"
    folder.mkdir(parents=True, exist_ok=True)
    ways = by_autoencoder(args, train, test) + by_pca(train, test) + by_jpeg(test)
    draw_curves(ways, folder / "curves.png")
    draw_examples(ways, test, folder / "examples.png")
    columns = "way", "detail", "bytes/image", "PSNR, dB", "decoder, bytes"
    rows = [(w.kind, w.detail, w.size, w.quality, w.decoder) for w in ways]
    print("\n" + table(columns, rows))
    small = best(ways, "autoencoder", 8)
    as_good = [w for w in ways if w.kind == "JPEG, whole file" and w.quality >= small.quality]
    least = min(as_good, key=lambda w: w.size)
    pays = int(np.ceil(small.decoder / (least.size - small.size)))
    print(
        f"\nautoencoder, {small.detail}: {small.size:.0f} bytes, {small.quality:.1f} dB; JPEG as "
        f"good or better: {least.detail}, {least.size:.0f} bytes\n"
        f"its decoder of {small.decoder:,} bytes is paid for after {pays:,} images"
    )
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; pictures in {folder}/")


if __name__ == "__main__":
    run(main)
