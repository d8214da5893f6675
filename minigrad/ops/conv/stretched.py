r"""A transposed convolution as a direct one, of an image stretched with zeros.

Deck 000: "It is always possible to emulate a transposed convolution with a normal convolution."
Pixel h of its result is the sum of y[o] w[t] over all o and t with h = s·o + d·t - p. Put y[o] at
place s·o, with s - 1 zeros between neighbours, and what is summed are neighbours: a kernel that
runs backwards reads them at stride 1,

    ĩ' = s(i' - 1) + 1,      p' = k̂ - 1 - p,      o' = ĩ' + 2p' - k̂ + 1 + a,

with a frame of p' zeros, and a more at the end (relationships 8 to 14). If p' < 0, the frame cuts
pixels off. What the decks leave out: it takes the kernel turned by 180°, with its input and output
channels exchanged. The other thing the deck says, "much less efficient", is what `waste` counts.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from minigrad.backend import Array, array_module
from minigrad.ops.conv import im2col
from minigrad.ops.conv.geometry import ConvGeometry, aligned
from minigrad.ops.conv.im2col import turn


def conv(x: Array, w: Array, geometry: ConvGeometry) -> Array:
    """A convolution is direct as it is."""
    return im2col.conv(x, w, geometry)


def conv_transpose(y: Array, w: Array, geometry: ConvGeometry) -> Array:
    """x = the direct convolution of the stretched y with the turned w, at stride 1."""
    y, w = stretch(y, geometry), turn(w, geometry)
    direct = ConvGeometry.direct(
        y.shape[2:], geometry.kernel_size, dilation=geometry.dilation, groups=geometry.groups
    )
    return im2col.conv(y, w, direct)


def weight_grad(x: Array, y: Array, geometry: ConvGeometry) -> Array:
    """w = the direct convolution of x with the kernel y, batch and channels exchanged.

    In h = s·o + d·t - p, output pixels and stride have the same part as kernel elements and
    dilation: let them change places, and what was the kernel's gradient is an output.
    """
    (n, channels, h, w), g = x.shape, geometry.groups
    exchanged = replace(
        geometry, output_size=geometry.kernel_size, kernel_size=geometry.output_size,
        stride=geometry.dilation, dilation=geometry.stride,
    )  # fmt: skip
    x = x.reshape(n, g, channels // g, h, w).transpose(2, 1, 0, 3, 4)
    x = x.reshape(channels // g, g * n, h, w)
    return im2col.conv(x, y.swapaxes(0, 1), exchanged).swapaxes(0, 1)


def stretch(y: Array, geometry: ConvGeometry) -> Array:
    """y with s - 1 zeros between its pixels, in a frame of p' = k̂ - 1 - p zeros.

    >>> import numpy as np
    >>> y = np.arange(1, 5).reshape(1, 1, 2, 2)
    >>> stretch(y, ConvGeometry.transposed(2, kernel_size=3, stride=2, padding=1))
    array([[[[0, 0, 0, 0, 0],
             [0, 1, 0, 2, 0],
             [0, 0, 0, 0, 0],
             [0, 3, 0, 4, 0],
             [0, 0, 0, 0, 0]]]])
    """
    size = tuple(map(lambda i, k: i + k - 1, geometry.input_size, geometry.receptive_field))
    (h, oh), (w, ow) = map(
        lambda i, o, s, k, p: aligned(i, o, s, k - 1 - p),
        size, geometry.output_size, geometry.stride, geometry.receptive_field, geometry.padding,
    )  # fmt: skip
    stretched = array_module(y).zeros((*y.shape[:2], *size), y.dtype)
    stretched[:, :, h, w] = y[:, :, oh, ow]
    return stretched


class Waste(NamedTuple):
    """What is zero in a transposed convolution by stretching: a share of the whole, each."""

    pixels: float  # of the stretched and framed image
    products: float  # of a pixel with a kernel element


def waste(geometry: ConvGeometry) -> Waste:
    """How much of what the transposed convolution reads and multiplies is a zero put there.

    >>> waste(ConvGeometry.transposed(3, kernel_size=3, stride=2, padding=1)).pixels  # 9 of 7 × 7
    0.8163265306122449
    """
    pixels = stretch(np.ones((1, 1, *geometry.output_size), bool), geometry)
    products = math.prod(geometry.input_size) * math.prod(geometry.kernel_size)
    return Waste(1 - float(pixels.mean()), 1 - int(geometry.overlap().sum()) / products)
