"""Convolutions, and the matrices that they are; what they should be is summed term by term."""

import itertools
from collections.abc import Iterator

import numpy as np

from minigrad.creation import tensor
from minigrad.ops.conv import matrix, primitives
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.samples.row import Row

Index = tuple[int, ...]


def terms(geometry: ConvGeometry, out: int, channels: int) -> Iterator[tuple[Index, ...]]:
    """Which entries of x (c, h, w), w (o, c, i, j) and y (o, oh, ow) meet: h = s·oh + d·i - p."""
    (s, t), (p, q), (d, e) = geometry.stride, geometry.padding, geometry.dilation
    (ih, iw), g = geometry.input_size, geometry.groups
    sizes = (out, *geometry.output_size, channels // g, *geometry.kernel_size)
    for o, oh, ow, c, i, j in itertools.product(*map(range, sizes)):
        h, w = s * oh + d * i - p, t * ow + e * j - q
        if 0 <= h < ih and 0 <= w < iw:
            yield (o // (out // g) * (channels // g) + c, h, w), (o, c, i, j), (o, oh, ow)


def direct_terms(geometry: ConvGeometry):
    """y = C x + bias, term by term."""

    def reference(x, w, bias=0.0):
        y = np.zeros((len(x), len(w), *geometry.output_size))
        for at, k, to in terms(geometry, len(w), x.shape[1]):
            y[(..., *to)] += x[(..., *at)] * w[k]
        return y + np.reshape(bias, (-1, 1, 1))

    return reference


def transposed_terms(geometry: ConvGeometry):
    """x = Cᵀ y + bias, term by term."""

    def reference(y, w, bias=0.0):
        channels = w.shape[1] * geometry.groups
        x = np.zeros((len(y), channels, *geometry.input_size))
        for at, k, to in terms(geometry, len(w), channels):
            x[(..., *at)] += y[(..., *to)] * w[k]
        return x + np.reshape(bias, (-1, 1, 1))

    return reference


def _weight_grad(geometry: ConvGeometry):
    def reference(x, y):
        out, channels = y.shape[1], x.shape[1]
        w = np.zeros((out, channels // geometry.groups, *geometry.kernel_size))
        for at, k, to in terms(geometry, out, channels):
            w[k] += (x[(..., *at)] * y[(..., *to)]).sum()
        return w

    return reference


def _matrix(w):
    out, channels = len(w), w.shape[1]
    ys, xs = (out, *_small.output_size), (channels, *_small.input_size)
    C = np.zeros((*ys, *xs))
    for at, k, to in terms(_small, out, channels):
        C[(*to, *at)] += w[k]
    return C.reshape(np.prod(ys), np.prod(xs))


def _kernel(C):
    w = np.zeros((2, 1, *_small.kernel_size))
    C = C.reshape(2, *_small.output_size, 1, *_small.input_size)
    for at, k, to in terms(_small, 2, 1):
        w[k] += C[(*to, *at)]
    return w


def _row(name: str, primitive, geometry: ConvGeometry, reference, *shapes, **options) -> Row:
    how = {key: options.pop(key) for key in ("lowering",) if key in options}
    fn = lambda *xs: primitive(*xs, geometry=geometry, **how)
    return Row(name, fn, shapes, reference(geometry), order=3, **options)


_plain = ConvGeometry.direct((4, 4), 3, padding=1)
_leftover = ConvGeometry.direct((6, 4), (3, 2), stride=2, padding=1)
_grouped = ConvGeometry.direct((5, 5), 2, stride=(1, 2), dilation=2, groups=2)
_small = ConvGeometry.direct((3, 4), 2)

_x, _y, _w = (1, 2, 6, 4), (1, 2, 3, 3), (2, 2, 3, 2)  # of _leftover
_gx, _gy, _gw = (1, 2, 5, 5), (1, 2, 3, 2), (2, 1, 2, 2)  # of _grouped
_kernels = np.random.default_rng(3).standard_normal(_w)


def _of_images(name: str, primitive, reference, shape) -> Row:
    """With its kernels fixed a convolution is linear, and its rule is its adjoint."""
    fn = lambda x: primitive(x, tensor(_kernels).to(x), geometry=_leftover)
    value = lambda x: reference(_leftover)(x, _kernels)
    return Row(f"{name}, of images", fn, (shape,), value, linear=True)


CONVOLUTIONS = [
    _row("conv2d", primitives.conv2d, _plain, direct_terms, (1, 2, 4, 4), (2, 2, 3, 3)),
    _row("conv2d, leftover", primitives.conv2d, _leftover, direct_terms, _x, _w),
    _row("conv2d, groups", primitives.conv2d, _grouped, direct_terms, _gx, _gw),
    _row("conv2d, matrix", primitives.conv2d, _leftover, direct_terms, _x, _w, lowering="matrix"),
    _row("conv2d, stretched", primitives.conv2d, _leftover, direct_terms, _x, _w,
         lowering="stretched"),
    _row("conv2d and bias", primitives.conv2d_affine, _leftover, direct_terms, _x, _w, (2,)),
    _of_images("conv2d", primitives.conv2d, direct_terms, _x),
    _of_images("conv_transpose2d", primitives.conv_transpose2d, transposed_terms, _y),
    _row("conv_transpose2d", primitives.conv_transpose2d, _plain, transposed_terms,
         (1, 2, 4, 4), (2, 2, 3, 3)),
    _row("conv_transpose2d, leftover", primitives.conv_transpose2d, _leftover, transposed_terms,
         _y, _w),
    _row("conv_transpose2d, groups", primitives.conv_transpose2d, _grouped, transposed_terms,
         _gy, _gw),
    _row("conv_transpose2d, stretched", primitives.conv_transpose2d, _leftover, transposed_terms,
         _y, _w, lowering="stretched"),
    _row("conv_transpose2d and bias", primitives.conv_transpose2d_affine, _leftover,
         transposed_terms, _y, _w, (2,)),
    _row("conv2d_weight_grad", primitives.conv2d_weight_grad, _leftover, _weight_grad, _x, _y),
    _row("conv2d_weight_grad, groups", primitives.conv2d_weight_grad, _grouped, _weight_grad,
         _gx, _gy),
    Row("conv2d_matrix", lambda w: matrix.conv2d_matrix(w, geometry=_small), ((2, 1, 2, 2),),
        _matrix, linear=True),
    Row("conv2d_kernel", lambda C: matrix.conv2d_kernel(C, geometry=_small), ((12, 12),),
        _kernel, linear=True),
]  # fmt: skip
