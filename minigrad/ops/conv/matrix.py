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


def unroll(w: Array, geometry: ConvGeometry) -> Array:
    """C[o, oh, ow, c, h, w] = Σ w[o, c, i, j] R[i, oh, h] S[j, ow, w], as (o·oh·ow, c·h·w)."""
    xp, (o, c, *k), g = array_module(w), w.shape, geometry.groups
    size = _size(geometry, o, g * c, w.dtype)
    R, S, own = _meetings(w, o, geometry)
    w = (w[:, None] * own).reshape(o, g * c, *k)
    return xp.einsum("ocij,iph,jqw->opqchw", w, R, S, optimize=True).reshape(size)


def roll_up(C: Array, geometry: ConvGeometry) -> Array:
    """The adjoint of `unroll`: w[o, c, i, j] is the sum of the entries where C has it."""
    xp, sizes, g = array_module(C), (geometry.output_size, geometry.input_size), geometry.groups
    o, c = (n // math.prod(size) for n, size in zip(C.shape, sizes, strict=True))
    R, S, own = _meetings(C, o, geometry)
    C = C.reshape(o, *sizes[0], c, *sizes[1])
    w = xp.einsum("opqchw,iph,jqw->ocij", C, R, S, optimize=True)
    return (w.reshape(o, g, c // g, *w.shape[2:]) * own).sum(1)


def _meetings(like: Array, o: int, geometry: ConvGeometry) -> tuple[Array, Array, Array]:
    """What meets as 1, else 0: R (kh, oh, h), where h = s·oh + d·i - p; S, so for the columns; and
    for output channels and groups (o, g, 1, 1, 1)."""
    xp, found = array_module(like), []
    for axis in (0, 1):
        i, oh, h = xp.ogrid[
            : geometry.kernel_size[axis], : geometry.output_size[axis], : geometry.input_size[axis]
        ]
        s, d, p = geometry.stride[axis], geometry.dilation[axis], geometry.padding[axis]
        found.append((h == s * oh + d * i - p).astype(like.dtype))
    group = xp.arange(o) * geometry.groups // max(o, 1)
    own = group[:, None] == xp.arange(geometry.groups)
    return found[0], found[1], own[..., None, None, None].astype(like.dtype)


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
    return np.array(["·", *names])[unroll(1 + np.arange(len(names)).reshape(shape), geometry)]
