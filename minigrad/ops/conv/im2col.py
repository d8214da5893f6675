r"""A convolution as a matrix product: im2col gathers patches, col2im scatters and adds them.

Let a row of X (n·oh·ow, kh·kw·c) be the patch of x that one output pixel looks at, a row of
W (o, kh·kw·c) a kernel, a row of Y (n·oh·ow, o) an output pixel. Then a convolution is a dense
layer on patches, with a dense layer's derivatives:

    Y = X Wᵀ,        X̄ = Y W,        W̄ = Yᵀ X.

A row of X̄ is what an output pixel sends to its patch; where patches overlap, col2im adds. With
groups there are so many X, Y and W, in stacks, and the products are of stacks. Both rules of a
transposed convolution want the patches of the incoming gradient: they are gathered once.

At stride 1 a convolution is also the transpose of one from y's size to x's, with the kernel turned
by 180°. So there is a choice of the image that goes in patches: that with fewer channels does.

Arrays are (n, c, h, w) to everybody. In memory the channels come last, so that a patch consists of
long runs; if there are FEW channels the runs would be short, and the pixels come last instead.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product

from minigrad import kernels
from minigrad.backend import Array, array_module
from minigrad.engine import once
from minigrad.ops.conv.geometry import ConvGeometry

FEW = 4  # channels of a group up to which that is faster


def conv(x: Array, w: Array, geometry: ConvGeometry) -> Array:
    """y[n, o, oh, ow] = Σ x[n, c, s·oh + d·i - p, s·ow + d·j - p] w[o, c, i, j] over c, i, j.

    Strictly this is a cross-correlation: the kernel is not turned round.
    """
    if len(w) < x.shape[1] and (mirrored := mirror(geometry)):
        return scatter(x, turn(w, geometry), mirrored)
    return gather(x, w, geometry)


def conv_transpose(y: Array, w: Array, geometry: ConvGeometry) -> Array:
    """x[n, c, s·oh + d·i - p, s·ow + d·j - p] += Σ y[n, o, oh, ow] w[o, c, i, j] over o."""
    if len(w) < geometry.groups * w.shape[1] and (mirrored := mirror(geometry)):
        return gather(y, turn(w, geometry), mirrored)
    return scatter(y, w, geometry)


def weight_grad(x: Array, y: Array, geometry: ConvGeometry) -> Array:
    """w[o, c, i, j] = Σ x[n, c, s·oh + d·i - p, s·ow + d·j - p] y[n, o, oh, ow] over n, oh, ow."""
    if y.shape[1] < x.shape[1] and (mirrored := mirror(geometry)):
        return turn(products(y, x, mirrored), mirrored)
    return products(x, y, geometry)


def mirror(geometry: ConvGeometry) -> ConvGeometry | None:
    """The geometry from y's size to x's that has this one's meetings; None if there is none.

    At stride 1, h = o + d·t - p is o = h + d·t' - p', with t' = k - 1 - t and p' = k̂ - 1 - p.
    """
    (k, l), (p, q) = geometry.receptive_field, geometry.padding
    if geometry.stride != (1, 1) or p >= k or q >= l:
        return None
    return replace(
        geometry, input_size=geometry.output_size, output_size=geometry.input_size,
        padding=(k - 1 - p, l - 1 - q),
    )  # fmt: skip


def turn(w: Array, geometry: ConvGeometry) -> Array:
    """w (g·o, c, kh, kw) turned by 180°, its channels exchanged: (g·c, o, kh, kw)."""
    (o, c, kh, kw), g = w.shape, geometry.groups
    w = w.reshape(g, o // g, c, kh, kw).swapaxes(1, 2)[..., ::-1, ::-1]
    return w.reshape(g * c, o // g, kh, kw)


# ---------------------------------------------------------------- the three products


def gather(x: Array, w: Array, geometry: ConvGeometry) -> Array:
    """Y = X Wᵀ"""
    Y = once(im2col, x, geometry) @ _kernels(w, geometry).swapaxes(1, 2)  # X Wᵀ
    g, n, (oh, ow), o = geometry.groups, len(x), geometry.output_size, len(w)
    y = Y.reshape(g, n, oh, ow, o // g).transpose(1, 2, 3, 0, 4).reshape(n, oh, ow, o)
    return y.transpose(0, 3, 1, 2)


def scatter(y: Array, w: Array, geometry: ConvGeometry) -> Array:
    """X̄ = Y W, and every patch added to its place.

    Kernel elements less than a stride apart send to different pixels: a block of s × t of them is
    added in one go. Its columns are made when asked for, and added up while they are in the cache.
    """
    n, c, (kh, kw) = len(y), w.shape[1], geometry.kernel_size
    if col2im := kernels.find("col2im", array_module(y), y.dtype):
        return col2im(_sent(y, w, geometry), n, geometry)
    columns, frame = _columns(y, w, geometry), _frame(y, n, c, geometry)
    patches = _patches(frame, geometry)
    s, t = geometry.stride if c > FEW and geometry.dilation == (1, 1) else (1, 1)
    for i, j in product(range(0, kh, s), range(0, kw, t)):
        block = (..., slice(i, i + s), slice(j, j + t), slice(None))
        patches[block] += columns(block)  # col2im
    (p, q), (h, v) = geometry.padding, geometry.input_size
    x = frame[:, :, p : p + h, q : q + v].transpose(1, 0, 4, 2, 3)
    return x.reshape(n, geometry.groups * c, h, v)


def products(x: Array, y: Array, geometry: ConvGeometry) -> Array:
    """W̄ᵀ = Xᵀ Y; with FEW channels image by image, so that it stays in the cache."""
    X, Y = once(im2col, x, geometry), _rows(y, geometry)
    Xᵀ = X.swapaxes(1, 2)
    if X.flags.c_contiguous:
        Wᵀ = Xᵀ @ Y
    else:
        (g, length, rows), n = Xᵀ.shape, len(x)
        Xᵀ = Xᵀ.reshape(g, length, n, rows // n).swapaxes(1, 2)
        Wᵀ = (Xᵀ @ Y.reshape(g, n, rows // n, -1)).sum(1)
    Wᵀ = Wᵀ.swapaxes(0, 1).reshape(*geometry.kernel_size, -1, y.shape[1])
    return Wᵀ.transpose(3, 2, 0, 1)


# ---------------------------------------------------------------- patches


def im2col(x: Array, geometry: ConvGeometry) -> Array:
    """X (g, n·oh·ow, kh·kw·c): the patches of x (n, g·c, h, w) as rows."""
    pixels = _pixels(x, geometry)
    g, n, h, v, c = pixels.shape
    gathered = kernels.find("im2col", array_module(x), x.dtype)
    if gathered and _are_rows(c, x):
        return gathered(x, geometry)
    rows, length = n * math.prod(geometry.output_size), math.prod(geometry.kernel_size) * c
    if c > FEW:
        frame, (p, q) = pixels, geometry.padding
        if _framed_size(geometry) != (h, v) or pixels.strides[-1] != pixels.itemsize:
            frame = _frame(x, n, c, geometry)
            frame[:, :, p : p + h, q : q + v] = pixels
        return _patches(frame, geometry).reshape(g, rows, length)
    shape = g, *geometry.kernel_size, c, n, *geometry.output_size
    columns = array_module(x).zeros(shape, x.dtype)
    patches = columns.transpose(0, 4, 5, 6, 1, 2, 3)
    for i, j, (ih, iw), (oh, ow) in geometry.taps:
        patches[:, :, oh, ow, i, j] = pixels[:, :, ih, iw]
    return columns.reshape(g, length, rows).swapaxes(1, 2)


def _framed_size(geometry: ConvGeometry) -> tuple[int, int]:
    """The rows and columns of an image and of what kernels read before and after it."""
    (h, v), (p, q), (s, t) = geometry.input_size, geometry.padding, geometry.stride
    (k, l), (oh, ow) = geometry.receptive_field, geometry.output_size
    return max(h + p, s * (oh - 1) + k), max(v + q, t * (ow - 1) + l)


def _frame(like: Array, n: int, c: int, geometry: ConvGeometry) -> Array:
    """Zeros (g, n, rows, columns, c) for n framed images."""
    size, g, zeros = _framed_size(geometry), geometry.groups, array_module(like).zeros
    if c > FEW:
        return zeros((n, *size, g, c), like.dtype).transpose(3, 0, 1, 2, 4)
    return zeros((n, g, c, *size), like.dtype).transpose(1, 0, 3, 4, 2)


def _patches(frame: Array, geometry: ConvGeometry) -> Array:
    """The patches of a frame as a view (g, n, oh, ow, kh, kw, c), to be read or added to.

    A step along oh, and one along kh, is a step of s, or of d, rows in the same memory.
    """
    group, image, row, pixel, channel = frame.strides
    (s, t), (d, e) = geometry.stride, geometry.dilation
    return array_module(frame).lib.stride_tricks.as_strided(
        frame,
        (*frame.shape[:2], *geometry.output_size, *geometry.kernel_size, frame.shape[4]),
        (group, image, s * row, t * pixel, d * row, e * pixel, channel),
    )


def _are_rows(c: int, like: Array) -> bool:
    """Whether patches are in order in memory by rows; of FEW channels columns are, but for CUDA."""
    return c > FEW or kernels.has_kernels(array_module(like))


def _sent(y: Array, w: Array, geometry: ConvGeometry) -> Array:
    """X̄ = Y W"""
    Y, W = _rows(y, geometry), _kernels(w, geometry)
    if _are_rows(w.shape[1], y):
        return Y @ W
    return (W.swapaxes(1, 2) @ Y.swapaxes(1, 2)).swapaxes(1, 2)


def _columns(y: Array, w: Array, geometry: ConvGeometry) -> Callable[[tuple], Array]:
    """X̄ as a function: a block of the kernel gives its columns (g, n, oh, ow, …, c).

    FEW are made at once.
    """
    g, n, c, (oh, ow) = geometry.groups, len(y), w.shape[1], geometry.output_size
    if c <= FEW:
        X = _sent(y, w, geometry).reshape(g, n, oh, ow, *geometry.kernel_size, c)
        return lambda block: X[block]
    Y, W = _rows(y, geometry), _kernels(w, geometry)
    elements = W.reshape(*W.shape[:2], *geometry.kernel_size, c)

    def made(block: tuple) -> Array:
        some = elements[block]
        size = some.shape[2:]
        X = Y @ some.reshape(*W.shape[:2], math.prod(size))
        return X.reshape(g, n, oh, ow, *size)

    return made


# ---------------------------------------------------------------- arrays as stacks of matrices


def _pixels(x: Array, geometry: ConvGeometry) -> Array:
    """x (n, g·c, h, w) as a view (g, n, h, w, c)."""
    n, channels, h, w = x.shape
    g = geometry.groups
    return x.reshape(n, g, channels // g, h, w).transpose(1, 0, 3, 4, 2)


def _rows(y: Array, geometry: ConvGeometry) -> Array:
    """Y (g, n·oh·ow, o) of y (n, g·o, oh, ow)."""
    g, n, oh, ow, o = (pixels := _pixels(y, geometry)).shape
    return pixels.reshape(g, n * oh * ow, o)


def _kernels(w: Array, geometry: ConvGeometry) -> Array:
    """W (g, o, kh·kw·c) of w (g·o, c, kh, kw); a view if in memory the kernels lie side by side."""
    (o, c, kh, kw), g = w.shape, geometry.groups
    Wᵀ = w.reshape(g, o // g, c, kh, kw).transpose(0, 3, 4, 2, 1).reshape(g, kh * kw * c, o // g)
    return Wᵀ.swapaxes(1, 2)
