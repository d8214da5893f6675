r"""A convolution as the matrix C that it is, and the transposed convolution as Cᵀ.

Unroll an image into a vector, channel by channel, row by row. A convolution is linear, so there is
a matrix with one row for each output pixel and one column for each input pixel:

    vec(y) = C vec(x).

Where an output and an input pixel meet in the kernel element (i, j) it has w[i, j], else 0.
Deck 000's example, a kernel of 3×3 on an image of 4×4:

    >>> for row in conv2d_symbols(ConvGeometry.direct(4, kernel_size=3)):
    ...     print(" ".join(f"{entry:>3}" for entry in row))
    w00 w01 w02   · w10 w11 w12   · w20 w21 w22   ·   ·   ·   ·   ·
      · w00 w01 w02   · w10 w11 w12   · w20 w21 w22   ·   ·   ·   ·
      ·   ·   ·   · w00 w01 w02   · w10 w11 w12   · w20 w21 w22   ·
      ·   ·   ·   ·   · w00 w01 w02   · w10 w11 w12   · w20 w21 w22

A row names the input pixels that an output pixel looks at. Read the other way, a column names the
output pixels that an input pixel sends to, and is a row of Cᵀ: the transposed convolution is

    vec(x̄) = Cᵀ vec(y).

It has the shape of x, not its values, since CᵀC is not the identity. C is mostly zeros: it is here
to be looked at, and to check the faster ways by.
"""

import math

import numpy as np

from minigrad.backend import Array, array_module
from minigrad.engine import primitive
from minigrad.errors import ArgumentError
from minigrad.ops.conv.geometry import ConvGeometry

MAX_BYTES = 2**28  # that a matrix may take: 256 MiB


def conv(x: Array, w: Array, geometry: ConvGeometry) -> Array:
    """vec(y) = C vec(x), for each image of the batch."""
    C = unroll(w, geometry)
    y = x.reshape(len(x), C.shape[1]) @ C.T
    return y.reshape(len(x), len(w), *geometry.output_size)


def conv_transpose(y: Array, w: Array, geometry: ConvGeometry) -> Array:
    """vec(x) = Cᵀ vec(y)."""
    C = unroll(w, geometry)
    x = y.reshape(len(y), len(C)) @ C
    return x.reshape(len(y), geometry.groups * w.shape[1], *geometry.input_size)


def weight_grad(x: Array, y: Array, geometry: ConvGeometry) -> Array:
    """C̄ = Σ vec(y) vec(x)ᵀ over the batch; w[o, c, i, j] gets the sum of its copies in C̄."""
    rows, columns = _size(geometry, y.shape[1], x.shape[1], x.dtype)
    return roll_up(y.reshape(len(y), rows).T @ x.reshape(len(x), columns), geometry)


# ---------------------------------------------------------------- w ⇄ C


def unroll(w: Array, geometry: ConvGeometry, blank: float | str = 0) -> Array:
    """C (o·oh·ow, c·h·w) of w (o, c/groups, kh, kw), with `blank` where nothing meets."""
    xp, o, c = array_module(w), len(w), w.shape[1] * geometry.groups
    size = _size(geometry, o, c, w.dtype)
    element, meets = _elements(geometry, o, c, xp)
    return xp.where(meets, w[element], blank).reshape(size)


def roll_up(C: Array, geometry: ConvGeometry) -> Array:
    """The adjoint of `unroll`: w[o, c, i, j] is the sum of the entries where C has it."""
    xp, sizes = array_module(C), (geometry.output_size, geometry.input_size)
    o, c = (n // math.prod(size) for n, size in zip(C.shape, sizes, strict=True))
    element, meets = _elements(geometry, o, c, xp)
    w = xp.zeros((o, c // geometry.groups, *geometry.kernel_size), C.dtype)
    xp.add.at(w, element, xp.where(meets, C.reshape(meets.shape), 0))
    return w


def _elements(geometry: ConvGeometry, o: int, c: int, xp) -> tuple[tuple[Array, ...], Array]:
    """For each entry (o, oh, ow, c, h, w) of C the index (o, c, i, j) of its w, and if it has one.

    Along an axis, output pixel o and input pixel h meet in the element t = (h + p - s·o) / d.
    """
    out, oh, ow, channel, h, w = xp.ogrid[
        tuple(map(slice, (o, *geometry.output_size, c, *geometry.input_size)))
    ]
    (s, v), (d, e), (p, q), (kh, kw) = (
        geometry.stride, geometry.dilation, geometry.padding, geometry.kernel_size
    )  # fmt: skip
    i, j = (h + p - s * oh) // d, (w + q - v * ow) // e
    meets = (h + p == s * oh + d * i) & (0 <= i) & (i < kh)
    meets = meets & (w + q == v * ow + e * j) & (0 <= j) & (j < kw)
    g = geometry.groups
    meets = meets & (out // (o // g) == channel // (c // g))
    return (out, channel % (c // g), i.clip(0, kh - 1), j.clip(0, kw - 1)), meets


def _size(geometry: ConvGeometry, o: int, c: int, dtype: np.dtype) -> tuple[int, int]:
    """The rows and columns of C; ArgumentError if it would take more than MAX_BYTES."""
    rows, columns = o * math.prod(geometry.output_size), c * math.prod(geometry.input_size)
    if rows * columns * dtype.itemsize > MAX_BYTES:
        raise ArgumentError(
            f"conv2d_matrix: too large: got {rows} rows of {columns} columns, "
            f"{rows * columns * dtype.itemsize / 1e6:,.0f} MB of {dtype}; expected at most "
            f"{MAX_BYTES / 1e6:,.0f} MB. Use lowering='im2col'"
        )
    return rows, columns


@primitive
def conv2d_matrix(w, *, geometry):
    """C of the kernels w (o, c/groups, kh, kw), (o·oh·ow, c·h·w); linear in w."""
    return unroll(w, geometry)


@primitive
def conv2d_kernel(C, *, geometry):
    """w[o, c, i, j] = the sum of the entries of a matrix where C has w[o, c, i, j]."""
    return roll_up(C, geometry)


conv2d_matrix.vjp(lambda g, y, w, geometry: conv2d_kernel(g, geometry=geometry))
conv2d_kernel.vjp(lambda g, y, C, geometry: conv2d_matrix(g, geometry=geometry))


def conv2d_symbols(geometry: ConvGeometry, out_channels: int = 1, in_channels: int = 1) -> Array:
    """C as text: wij, or wocij if there are several channels, and · where nothing meets."""
    shape = out_channels, in_channels // geometry.groups, *geometry.kernel_size
    named = slice(2 if shape[:2] == (1, 1) else 0, None)
    names = ["w" + "".join(map(str, index[named])) for index in np.ndindex(shape)]
    return unroll(np.reshape(names, shape), geometry, blank="·")
