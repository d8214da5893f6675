"""A photograph through a convolution and back up through a fractionally strided one.

Deck 000's exercise 3-1. A designed kernel goes over each colour channel at stride s, and a second
kernel, by a transposed convolution with the same sizes, makes an image as large as the first again:
"box" repeats pixels, "bilinear" draws straight lines between them, and "learned" is trained for
some seconds, on this one photograph, to undo the first kernel.

What to see: the learned kernel has negative numbers around a high middle, and sharpens what the
blur took. Then the checkerboard (Odena et al. 2016, "Deconvolution and checkerboard artifacts"):
where the stride does not divide the kernel, pixels are sums of different numbers of products, and
a flat grey comes out in squares.
"""

import argparse
import math
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

import minigrad
import minigrad.nn.functional as F
from demos.common import expect_at_least, plain_parser, run, table
from demos.filter_pictures import draw_checkerboards, draw_sheet, draw_up_kernels
from minigrad import Tensor, nn, optim
from minigrad.errors import ArgumentError, DatasetError, ShapeError
from minigrad.ops.conv.geometry import ConvGeometry

COURSE = "C11"
TIME = "10 seconds"

CENTRED = "sharpen", "edge", "emboss", "gabor"  # which have a middle pixel
KERNELS = "blur", *CENTRED, "random"
UP_KERNELS = "box", "bilinear", "learned"
SMALLEST = 16  # pixels a side of a photograph
MAX_BYTES = 2**29  # that the patches of a training step may take


def flags() -> argparse.Namespace:
    """The command line."""
    made = plain_parser(__doc__)
    made.add_argument("--image", type=Path, help="any picture; default: matplotlib's photograph")
    made.add_argument("--side", type=int, help="larger images are scaled to this (320)")
    made.add_argument("--kernel", choices=KERNELS, default="blur", help="of the way down (blur)")
    made.add_argument("--k", type=int, default=5, help="its pixels a side (5)")
    made.add_argument("--stride", type=int, default=2, help="of both ways (2)")
    made.add_argument("--padding", type=int, help="default: d(k - 1) / 2, which keeps the middle")
    made.add_argument("--dilation", type=int, default=1, help="of the way down (1)")
    made.add_argument("--up-kernel", choices=UP_KERNELS, default="learned", help="on the sheet")
    made.add_argument("--steps", type=int, help="of training the learned kernel (500)")
    args = made.parse_args()
    args.side = args.side if args.side is not None else 128 if args.quick else 320
    args.steps = args.steps if args.steps is not None else 60 if args.quick else 500
    expect_at_least(args, side=32, k=1, stride=1, dilation=1, steps=1, seed=0)
    return args


# ---------------------------------------------------------------- the photograph


def load_photograph(path: Path | None, side: int) -> np.ndarray:
    """The picture, or the one that matplotlib brings, as (1, 3, h, w) in [0, 1], no side longer.

    Raises DatasetError if there is no such file, or no picture in it.
    """
    if path is None:
        path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    if not path.is_file():
        raise DatasetError(f"--image: got {path}; expected a file. Name any picture: --image FILE")
    try:
        with Image.open(path) as picture:
            picture = ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(f"--image: {path} is no picture that can be read: {error}") from None
    shrink = side / max(picture.size)
    if shrink < 1:
        size = tuple(max(1, round(n * shrink)) for n in picture.size)
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    if min(picture.size) < SMALLEST:
        raise DatasetError(
            f"--image: {path} is {picture.size[0]} × {picture.size[1]} pixels at --side {side}; "
            f"expected at least {SMALLEST} each way"
        )
    return np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 255


# ---------------------------------------------------------------- kernels, pixels (k, k)


def down_kernel(name: str, k: int, seed: int) -> np.ndarray:
    """A designed kernel. The numbers of blur, sharpen and emboss sum to 1, of edge and gabor to 0.

    Raises ArgumentError for a size that has no such kernel.
    """
    if name in CENTRED and (k < 3 or k % 2 == 0):
        raise ArgumentError(f"--k: got {k}; expected an odd number, 3 or more, for {name}")
    row = np.ones(1)
    for _ in range(k - 1):
        row = np.convolve(row, [0.5, 0.5])  # Pascal's triangle: a bell
    blur = np.outer(row, row)
    middle = np.zeros((k, k))
    middle[k // 2, k // 2] = 1
    v, u = np.mgrid[:k, :k] - (k - 1) / 2
    if name == "gabor":
        wave = np.cos(3 * np.pi * (u + v) / k) * blur
        wave -= blur * wave.sum()  # blur sums to 1
        return 2 * wave / abs(wave).sum()
    if name == "random":
        draw = np.random.default_rng(seed).standard_normal((k, k))
        return draw / abs(draw).sum()
    return {
        "blur": blur,
        "sharpen": 2 * middle - blur,
        "edge": 4 * (middle - blur),
        "emboss": middle + (u + v) * blur / blur.max(),
    }[name]


def box(k: int, s: int) -> np.ndarray:
    """Each pixel repeated s × s times: ones, in the middle, or half a pixel before it."""
    row = np.zeros(k)
    row[(k - s) // 2 : (k - s) // 2 + s] = 1
    return np.outer(row, row)


def bilinear(k: int, s: int) -> np.ndarray:
    """Straight lines between pixels: max(0, 1 - |t| / s) for t from the middle, both ways."""
    row = np.maximum(0, 1 - abs(np.arange(k) - (k - 1) / 2) / s)
    return np.outer(row, row)


# ---------------------------------------------------------------- down and up


class Plan(NamedTuple):
    """The sizes of the way down and of the way up, which is the transpose of `up`."""

    down: ConvGeometry
    up: ConvGeometry


def plan(size: tuple[int, int], args: argparse.Namespace) -> Plan:
    """The sizes that the flags ask for.

    The kernel of the way up has the reach of the one of the way down, so that middles lie over
    middles, and as many pixels more on each side as 2s + 3 in all may take: a straight line between
    two pixels has 2s - 1.

    Raises ArgumentError for a kernel larger than the image, or more than memory should be asked.
    """
    reach = args.dilation * (args.k - 1) + 1
    padding = (reach - 1) // 2 if args.padding is None else args.padding
    try:
        down = ConvGeometry.direct(size, args.k, args.stride, padding, args.dilation)
    except ShapeError as error:
        raise ArgumentError(f"--k: {error}") from None
    more = max(0, -(-(2 * args.stride + 3 - reach) // 2))
    up = ConvGeometry.direct(size, reach + 2 * more, args.stride, padding + more)
    size = 12 * math.prod(up.kernel_size) * math.prod(up.output_size)  # three float32
    if size > MAX_BYTES:
        raise ArgumentError(
            f"--k: the way up, by {up.kernel_size[0]} × {up.kernel_size[0]} pixels, would take "
            f"{size / 1e6:,.0f} MB; expected at most {MAX_BYTES / 1e6:,.0f}. Use a smaller --side"
        )
    return Plan(down, up)


def alike(kernel: Tensor) -> Tensor:
    """A kernel (k, k) for each of three channels: the weight (3, 1, k, k) of three groups."""
    return kernel.expand(3, 1, *kernel.shape)


class Up(nn.Module):
    """A fractionally strided convolution, one kernel for all channels."""

    def __init__(self, kernel: np.ndarray, geometry: ConvGeometry) -> None:
        super().__init__()
        self.kernel = nn.Parameter(minigrad.tensor(kernel.astype(np.float32)))
        self.geometry = geometry

    def forward(self, y: Tensor) -> Tensor:
        """(1, 3, oh, ow) → (1, 3, h, w)"""
        g = self.geometry
        return F.conv_transpose2d(
            y, alike(self.kernel), stride=g.stride, padding=g.padding, groups=3,
            output_size=g.input_size,
        )  # fmt: skip


def learn(up: Up, y: Tensor, x: Tensor, steps: int) -> None:
    """Train the kernel to make x of y, by Adam on the mean squared error."""
    optimizer = optim.Adam(up.parameters(), lr=0.02)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    bar = tqdm(range(steps), "learning a kernel", leave=False)
    for _ in bar:
        loss = F.mse_loss(up(y), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        bar.set_postfix(mse=f"{loss.item():.5f}", refresh=False)


def psnr(result: np.ndarray, original: np.ndarray) -> float:
    """The peak signal-to-noise ratio in decibels: -10 log₁₀ of the mean squared error."""
    error = float(np.square(result.astype(float) - original).mean())
    return -10 * np.log10(error) if error else float("inf")


class Result(NamedTuple):
    """What an up-kernel makes."""

    kernel: np.ndarray
    image: np.ndarray  # (1, 3, h, w)
    decibels: float
    seconds: float


def results(x: Tensor, y: Tensor, geometry: ConvGeometry, steps: int) -> dict[str, Result]:
    """The way up by each of the up-kernels."""
    k, s = geometry.kernel_size[0], geometry.stride[0]
    starts = {"box": box(k, s), "bilinear": bilinear(k, s), "learned": bilinear(k, s)}
    found = {}
    for name in UP_KERNELS:
        up, start = Up(starts[name], geometry).to(x.device), time.perf_counter()
        if name == "learned":
            learn(up, y, x, steps)
        with minigrad.no_grad():
            image = up(y).cpu().numpy()
        seconds = time.perf_counter() - start
        decibels = psnr(image, x.cpu().numpy())
        found[name] = Result(up.kernel.detach().cpu().numpy(), image, decibels, seconds)
    return found


# ---------------------------------------------------------------- the checkerboard


class Doubling(NamedTuple):
    """A way to make an image twice as large."""

    name: str
    k: int
    geometry: ConvGeometry | None  # None: resize by repeating pixels, then convolve

    def __call__(self, y: Tensor, kernel: Tensor) -> Tensor:
        """(1, 3, h, w) → (1, 3, 2h, 2w)"""
        if self.geometry is None:
            larger = F.interpolate(y, scale_factor=2)
            return F.conv2d(larger, alike(kernel), padding=self.k // 2, groups=3)
        size = 2 * y.shape[2], 2 * y.shape[3]
        return F.conv_transpose2d(y, alike(kernel), stride=2, padding=1, groups=3, output_size=size)

    def kernel(self, draws: np.ndarray | None = None) -> np.ndarray:
        """All ones, or the draws, scaled so that a grey stays as light as it is on average."""
        w = np.ones((self.k, self.k)) if draws is None else np.exp(draws / 2)
        return w * (1 if self.geometry is None else 4) / w.sum()

    def overlap(self) -> np.ndarray:
        """How many products add up in each pixel of a small image."""
        if self.geometry is not None:
            return self.geometry.overlap()
        ones = minigrad.ones(1, 1, 10, 10)
        return F.conv2d(ones, minigrad.ones(1, 1, self.k, self.k), padding=1).numpy()[0, 0]


DOUBLINGS = (
    Doubling("transposed, k 3, s 2", 3, ConvGeometry.direct(10, 3, 2, 1)),
    Doubling("transposed, k 4, s 2", 4, ConvGeometry.direct(10, 4, 2, 1)),
    Doubling("resize, then k 3", 3, None),
)


class Checkerboard(NamedTuple):
    """What a way of doubling makes of a flat grey, and of a photograph."""

    name: str
    overlap: np.ndarray
    flat: np.ndarray  # by the kernel of ones
    flat_random: np.ndarray
    photograph: np.ndarray  # (1, 3, h, w), by the random kernel
    spread: float  # the standard deviation of what is made of 1, away from the border
    spread_random: float  # on average over many random kernels


def checkerboard(way: Doubling, photograph: Tensor, seed: int, draws: int = 100) -> Checkerboard:
    """Double a flat grey and a photograph, by a kernel of ones and by random ones."""
    rng, flat = np.random.default_rng(seed), minigrad.ones(1, 3, 12, 12)

    def made(kernel: np.ndarray, image: Tensor = flat) -> np.ndarray:
        return way(image, minigrad.tensor(kernel.astype(np.float32))).numpy()

    inside = np.s_[0, 0, 4:-4, 4:-4]
    kernels = [way.kernel(rng.standard_normal((way.k, way.k))) for _ in range(draws)]
    ones = made(way.kernel())[inside]
    return Checkerboard(
        way.name, way.overlap(), ones, made(kernels[0])[inside], made(kernels[0], photograph),
        float(ones.std()), float(np.mean([made(kernel)[inside].std() for kernel in kernels])),
    )  # fmt: skip


# ---------------------------------------------------------------- all of it


def main() -> None:
    """Down, up, and the checkerboard."""
    args = flags()
    device = minigrad.device(args.device)
    x = minigrad.tensor(load_photograph(args.image, args.side), device=device)
    sizes = plan(x.shape[2:], args)
    kernel = down_kernel(args.kernel, args.k, args.seed)
    down = minigrad.tensor(kernel.astype(np.float32), device=device)
    y = F.conv2d(
        x, alike(down), stride=args.stride, padding=sizes.down.padding, dilation=args.dilation,
        groups=3,
    )  # fmt: skip
    found = results(x, y, sizes.up, args.steps)
    folder = args.out / "image_filters"
    folder.mkdir(parents=True, exist_ok=True)
    original, between = x.cpu().numpy(), y.cpu().numpy()
    draw_sheet(
        original, (args.kernel, kernel), between, (args.up_kernel, found[args.up_kernel]),
        sizes.down, folder / "sheet.png",
    )  # fmt: skip
    draw_up_kernels(original, between, found, folder / "up_kernels.png")
    print(
        f"{args.kernel}, k {args.k}, stride {args.stride}, padding {sizes.down.padding[0]}, "
        f"dilation {args.dilation}: {_size(x)} → {_size(y)} → {_size(x)}\n"
    )
    k = sizes.up.kernel_size[0]
    rows = [(name, f"{k} × {k}", r.decibels, r.seconds) for name, r in found.items()]
    print(table(("up-kernel", "size", "PSNR dB", "seconds"), rows))

    small = minigrad.tensor(load_photograph(args.image, 120))
    boards = [checkerboard(way, small, args.seed) for way in DOUBLINGS]
    draw_checkerboards(boards, folder / "checkerboard.png")
    columns = "doubling a flat 1", "products a pixel", "std, kernel of ones", "std, random kernels"
    rows = [(b.name, _range(b.overlap), b.spread, b.spread_random) for b in boards]
    print("\n" + table(columns, rows))
    print(f"\npictures in {folder}/: sheet.png, up_kernels.png, checkerboard.png")


def _size(images: Tensor) -> str:
    return f"{images.shape[2]} × {images.shape[3]}"


def _range(overlap: np.ndarray) -> str:
    inside = overlap[2:-2, 2:-2]
    low, high = int(inside.min()), int(inside.max())
    return f"{low}" if low == high else f"{low} to {high}"


if __name__ == "__main__":
    run(main)
