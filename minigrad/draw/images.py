"""Pictures of tensors: images side by side in a grid, saved to a file."""

import math
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backend import CPU, to_device
from minigrad.creation import tensor
from minigrad.engine import Variable
from minigrad.errors import ArgumentError, ShapeError
from minigrad.tensor import Tensor


def make_grid(
    images: Tensor | Sequence[Tensor], nrow: int = 8, padding: int = 2, normalize: bool = False,
    value_range: tuple[float, float] | None = None, scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:  # fmt: skip
    """Images (n, c, h, w) as one image (3 or c, height, width), `nrow` of them in a row.

    `padding` pixels of `pad_value` surround each; grey images become RGB. `normalize` maps
    `value_range` (the smallest and largest value of all, or of each if `scale_each`) to [0, 1].
    The meaning is torchvision's.

    >>> make_grid(tensor(np.zeros((5, 1, 28, 28), np.float32)), nrow=3).shape
    (3, 62, 92)
    """
    if not isinstance(images, Variable):
        images = Tensor(np.stack([_pixels(image) for image in images]))
    pixels = _pixels(images)
    if not 2 <= pixels.ndim <= 4:
        raise ShapeError(f"make_grid: got shape {pixels.shape}; expected (n, c, h, w)")
    pixels = pixels.reshape((1,) * (4 - pixels.ndim) + pixels.shape)
    if pixels.shape[1] == 1:
        pixels = np.repeat(pixels, 3, axis=1)
    if normalize:
        whole = None if not scale_each else (1, 2, 3)
        low, high = value_range or (
            pixels.min(whole, keepdims=True), pixels.max(whole, keepdims=True)
        )  # fmt: skip
        pixels = (np.clip(pixels, low, high) - low) / np.maximum(np.subtract(high, low), 1e-5)
    n, c, h, w = pixels.shape
    if n == 1:
        return tensor(pixels[0])
    columns = min(nrow, n)
    rows = math.ceil(n / columns)
    size = c, rows * (h + padding) + padding, columns * (w + padding) + padding
    grid = np.full(size, pad_value, pixels.dtype)
    for i, image in enumerate(pixels):
        y, x = (i // columns) * (h + padding) + padding, (i % columns) * (w + padding) + padding
        grid[:, y : y + h, x : x + w] = image
    return tensor(grid)


def save_image(
    images: Tensor | Sequence[Tensor], fp: str | os.PathLike, format: str = "png", **options: Any
) -> None:
    """Write `make_grid(images, **options)` as a PNG; values are clipped to [0, 1].

    Raises ArgumentError if another format is asked for, or the images are neither grey nor RGB.
    """
    if format.lower() != "png" or Path(fp).suffix.lower() not in ("", ".png"):
        raise ArgumentError(f"save_image: got {os.fspath(fp)!r}, {format!r}; expected PNG")
    grid = make_grid(images, **options).numpy()
    if grid.shape[0] != 3:
        raise ArgumentError(f"save_image: got {grid.shape[0]} channels; expected 1 or 3")
    pixels = (np.clip(grid, 0, 1) * 255 + 0.5).astype(np.uint8)
    Path(fp).write_bytes(png(pixels.transpose(1, 2, 0)))


def png(pixels: np.ndarray) -> bytes:
    """Bytes (height, width, 3) as a PNG file: header, compressed rows, end, each with its CRC."""
    height, width, _ = pixels.shape
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (1, 0)))  # before each row: filter 0, none
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, colour type 2: RGB
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _pixels(image: Tensor) -> np.ndarray:
    return np.asarray(to_device(image.array, CPU))
