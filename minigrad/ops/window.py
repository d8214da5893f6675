r"""What a window sees as it moves over an image: pooling, and patches as columns.

A window is a kernel without weights. Its sizes are a convolution's, and so are the pixels that meet
in it: element (i, j) of window (oh, ow) is pixel (s·oh + d·i - p, s·ow + d·j - p). The frame of p
pixels holds nothing here: it is never the largest, and counts as 0 in a sum.

    primitive              rule                    with
    max_pool(x)            place(g)                the winners, which element was largest, fixed
    pick(x) ⇄ place(y)     place(g), pick(g)       winners that are given
    add_up(x) ⇄ spread(y)  spread(g), add_up(g)    every element in turn
    unfold(x) ⇄ fold(y)    fold(g), unfold(g)      every element in turn, kept apart

Each computes by elements, k² of them: a slice of the image against a slice of the windows.
Images are (n, c, h, w) in any order of memory; what is made from them has the same order.
"""

import math
import operator
from dataclasses import replace
from typing import Any

import numpy as np

from minigrad.backend import Array, array_module
from minigrad.engine import primitive
from minigrad.errors import ArgumentError, ShapeError
from minigrad.ops.arguments import Pair, pair
from minigrad.ops.conv.geometry import ConvGeometry


def pooling(
    op: str, size: Pair, kernel_size: Any, stride: Any = None, padding: Any = 0,
    dilation: Any = 1, ceil_mode: bool = False,
) -> ConvGeometry:  # fmt: skip
    """The windows of a pooling layer over an image (relationship 7); `stride` None is the kernel's.

    With `ceil_mode` o = ⌈(i + 2p - k̂) / s⌉ + 1: the last window may reach over the end, if it
    starts on the image or on the frame before it.

    >>> pooling("max_pool2d", (5, 5), 2).output_size
    (2, 2)
    >>> pooling("max_pool2d", (5, 5), 2, ceil_mode=True).output_size
    (3, 3)

    Raises ArgumentError for a parameter out of range, also a padding of more than k / 2, and
    ShapeError if no window fits, or one sees no pixel.
    """
    k = pair(op, "kernel_size", kernel_size, 1)
    s = k if stride is None else pair(op, "stride", stride, 1)
    p, half = pair(op, "padding", padding, 0), (k[0] // 2, k[1] // 2)
    if p[0] > half[0] or p[1] > half[1]:
        raise ArgumentError(f"{op}: padding: got {p}; expected at most {half}, half of kernel {k}")
    more = (s[0] - 1, s[1] - 1) if ceil_mode else (0, 0)  # ⌈a / s⌉ = ⌊(a + s - 1) / s⌋
    larger = (size[0] + more[0], size[1] + more[1])
    geometry = ConvGeometry.direct(larger, k, s, p, dilation, op=op)
    if ceil_mode:
        output_size = tuple(  # without a last window that starts beyond the image
            o - 1 if s * (o - 1) >= i + p else o
            for o, s, i, p in zip(geometry.output_size, s, size, p, strict=True)
        )
        geometry = replace(geometry, input_size=tuple(size), output_size=output_size)
    if any(p) and geometry.dilation != (1, 1):
        seen = np.zeros(geometry.output_size, bool)
        for tap in geometry.taps:
            seen[tap.outside] = True
        if not seen.all():
            raise ShapeError(f"{op}: got a window without any pixel; expected none: {geometry}")
    return geometry


def _like(x: Array, size: Pair, value: float = 0, dtype: Any = None) -> Array:
    """Images like those of x, of another size, in the same order of memory."""
    return array_module(x).full_like(x, value, dtype, shape=(*x.shape[:2], *size))


# ---------------------------------------------------------------- the largest


@primitive
def max_pool(x, *, geometry):
    """y = the largest in each window; the derivative goes to the first one that is as large"""
    y = _like(x, geometry.output_size, -math.inf)
    for _, _, (h, w), (oh, ow) in geometry.taps:
        largest = y[:, :, oh, ow]
        array_module(x).maximum(largest, x[:, :, h, w], out=largest)
    return y


def winners(x: Array, y: Array, geometry: ConvGeometry) -> Array:
    """Which tap gave each entry of y = max_pool(x): the first that is as large, or is NaN."""
    xp, taps = array_module(x), geometry.taps
    won = _like(y, geometry.output_size, 0, np.uint8 if len(taps) < 256 else np.int32)
    sought = xp.ones_like(y, bool)
    for _, _, (h, w), (oh, ow) in taps:
        part = x[:, :, h, w]
        sought[:, :, oh, ow] &= (part != y[:, :, oh, ow]) & (part == part)
        won += sought  # the number of taps before the one
    return won


def positions(won: Array, geometry: ConvGeometry) -> Array:
    """Where in the image, as a number in row-major order, each winner is: PyTorch's indices."""
    xp = array_module(won)
    (s, t), (d, e), (p, q) = geometry.stride, geometry.dilation, geometry.padding
    oh, ow = xp.ogrid[tuple(map(slice, geometry.output_size))]
    i, j = (xp.asarray([tap[axis] for tap in geometry.taps])[won] for axis in (0, 1))
    return (s * oh + d * i - p) * geometry.input_size[1] + (t * ow + e * j - q)


@primitive
def pick(x, *, winners, geometry):
    """y = the entry of each window that the winners name"""
    y = _like(x, geometry.output_size)
    for t, (_, _, (h, w), (oh, ow)) in enumerate(geometry.taps):
        named = winners[:, :, oh, ow] == t
        array_module(x).copyto(y[:, :, oh, ow], x[:, :, h, w], where=named)
    return y


@primitive
def place(y, *, winners, geometry):
    """x = 0, but for the pixels that the winners name: to these y is added"""
    x = _like(y, geometry.input_size)
    for t, (_, _, (h, w), (oh, ow)) in enumerate(geometry.taps):
        x[:, :, h, w] += y[:, :, oh, ow] * (winners[:, :, oh, ow] == t)
    return x


max_pool.vjp(
    lambda g, y, x, geometry: place(
        g, winners=winners(x.array, y.array, geometry), geometry=geometry
    )
)
pick.vjp(lambda g, y, x, **how: place(g, **how))
place.vjp(lambda g, x, y, **how: pick(g, **how))

# ---------------------------------------------------------------- the sum


@primitive
def add_up(x, *, geometry):
    """y = the sum over each window"""
    y = _like(x, geometry.output_size)
    for _, _, (h, w), (oh, ow) in geometry.taps:
        y[:, :, oh, ow] += x[:, :, h, w]
    return y


@primitive
def spread(y, *, geometry):
    """x = for each pixel the sum of y over the windows that it is in"""
    x = _like(y, geometry.input_size)
    apart = all(map(operator.ge, geometry.stride, geometry.receptive_field))
    for _, _, (h, w), (oh, ow) in geometry.taps:
        if apart:
            x[:, :, h, w] = y[:, :, oh, ow]  # nothing else is added there
        else:
            x[:, :, h, w] += y[:, :, oh, ow]
    return x


add_up.vjp(lambda g, y, x, geometry: spread(g, geometry=geometry))
spread.vjp(lambda g, x, y, geometry: add_up(g, geometry=geometry))


def divisor(geometry: ConvGeometry, count_include_pad: bool) -> np.ndarray | int:
    """How many pixels each window of average pooling counts: (oh, ow), or one number for all.

    The frame counts if `count_include_pad`; what is beyond it, with `ceil_mode`, never does.
    """
    counts = []
    for i, o, k, s, p in zip(
        geometry.input_size, geometry.output_size, geometry.kernel_size, geometry.stride,
        geometry.padding, strict=True,
    ):  # fmt: skip
        start = s * np.arange(o) - p
        first, last = (-p, i + p) if count_include_pad else (0, i)
        counts.append(np.minimum(start + k, last) - np.maximum(start, first))
    table = np.outer(*counts)
    return int(table[0, 0]) if (table == table[0, 0]).all() else table


# ---------------------------------------------------------------- patches as columns


@primitive
def unfold(x, *, geometry):
    """y (n, c·kh·kw, oh·ow) = the windows as columns, of x (n, c, h, w)"""
    n, c = x.shape[:2]
    y = array_module(x).zeros((n, c, *geometry.kernel_size, *geometry.output_size), x.dtype)
    for i, j, (h, w), (oh, ow) in geometry.taps:
        y[:, :, i, j, oh, ow] = x[:, :, h, w]
    return y.reshape(n, c * math.prod(geometry.kernel_size), math.prod(geometry.output_size))


@primitive
def fold(y, *, geometry):
    """x (n, c, h, w) = for each pixel the sum of its places in the columns y"""
    n, c = len(y), y.shape[1] // math.prod(geometry.kernel_size)
    y = y.reshape(n, c, *geometry.kernel_size, *geometry.output_size)
    x = array_module(y).zeros((n, c, *geometry.input_size), y.dtype)
    for i, j, (h, w), (oh, ow) in geometry.taps:
        x[:, :, h, w] += y[:, :, i, j, oh, ow]
    return x


unfold.vjp(lambda g, y, x, geometry: fold(g, geometry=geometry))
fold.vjp(lambda g, x, y, geometry: unfold(g, geometry=geometry))
