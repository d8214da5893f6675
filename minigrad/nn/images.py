r"""Functions of images (N, C, H, W): convolution, pooling, other sizes; a single (C, H, W) will do.

A size is an integer or a pair (height, width). Which pixels meet is said by `ConvGeometry`
(minigrad/ops/conv/geometry.py), and so are the sizes of what comes out.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.errors import ArgumentError, ShapeError
from minigrad.ops import resize, window
from minigrad.ops.arguments import Pair, both, check_float, check_tensors, is_whole, pair, whole
from minigrad.ops.conv import primitives as conv
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.ops.resize import Axis
from minigrad.tensor import Tensor

Size = int | Sequence[int]


def on_images(op: str, function: Callable[[Tensor], Tensor], input: Tensor) -> Tensor:
    """function(input), which takes batches; a single image is made a batch of one, and back.

    Raises ShapeError unless the input has 3 or 4 axes, DTypeError unless it is a tensor.
    """
    check_tensors(op, input)
    if input.ndim == 4:
        return function(input)
    if input.ndim != 3:
        raise ShapeError(
            f"{op}: input: got shape {input.shape}; expected images (N, C, H, W), or one (C, H, W)"
        )
    return function(input.unsqueeze(0)).squeeze(0)


# ---------------------------------------------------------------- convolution


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1,
    padding: Size | str = 0, dilation: Size = 1, groups: int = 1, *, lowering: str | None = None,
) -> Tensor:  # fmt: skip
    r"""y[n, o, oh, ow] = b[o] + Σ x[n, c, s·oh + d·i - p, s·ow + d·j - p] w[o, c, i, j]

    over the channels c and the kernel elements i, j:
    x (N, C, H, W), w (O, C/groups, kh, kw), b (O,) → y (N, O, OH, OW), with
    OH = ⌊(H + 2p - d(kh - 1) - 1) / s⌋ + 1. `padding` may also be "valid", 0, or "same", for
    which OH = H. With groups, o-th and c-th belong together if they are in the same group.
    `lowering` is how it is computed, "im2col", "matrix" or "stretched": the numbers are the same.

    Rules: ∂L/∂x = conv_transpose2d(g, w), ∂L/∂w = conv2d_weight_grad(x, g), ∂L/∂b = Σ g.

    >>> from minigrad import ones
    >>> conv2d(ones(1, 1, 3, 4), ones(1, 1, 2, 2), stride=(1, 2)).tolist()
    [[[[4.0, 4.0], [4.0, 4.0]]]]

    Raises ShapeError if weight, bias or kernel do not fit x, ArgumentError for a parameter out of
    range, DTypeError for different element types. Source: deck 000; arXiv 1603.07285.
    """
    check_tensors("conv2d", input, weight, optional=bias)

    def batch(x):
        geometry = ConvGeometry.direct(x.shape, weight.shape, stride, padding, dilation, groups)
        if bias is None:
            return conv.conv2d(x, weight, geometry=geometry, lowering=lowering)
        return conv.conv2d_affine(x, weight, bias, geometry=geometry, lowering=lowering)

    return on_images("conv2d", batch, input)


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1, padding: Size = 0,
    output_padding: Size = 0, groups: int = 1, dilation: Size = 1,
    *, output_size: Size | None = None, lowering: str | None = None,
) -> Tensor:  # fmt: skip
    r"""y[n, o, oh, ow] = b[o] + Σ x[n, c, h, w] w[c, o, i, j] where oh = s·h + d·i - p, and so ow

    The transpose of the convolution with the same weight, which takes images of y's size to x's:
    x (N, C, H, W), w (C, O/groups, kh, kw), b (O,) → y (N, O, OH, OW), with
    OH = s(H - 1) + d(kh - 1) + 1 - 2p + output_padding. `output_size` says OH and OW instead.

    Rules: ∂L/∂x = conv2d(g, w), ∂L/∂w = conv2d_weight_grad(g, x), ∂L/∂b = Σ g.

    >>> from minigrad import ones
    >>> conv_transpose2d(ones(1, 1, 1, 3), ones(1, 1, 1, 2)).tolist()
    [[[[1.0, 2.0, 2.0, 1.0]]]]

    Raises what conv2d raises, and ArgumentError for an output_padding of max(s, d) or more.
    Source: deck 000; arXiv 1603.07285, relationships 8 to 14.
    """
    check_tensors("conv_transpose2d", input, weight, optional=bias)

    def batch(x):
        geometry = ConvGeometry.transposed(
            x.shape, weight.shape, stride, padding, output_padding, groups, dilation, output_size
        )
        if bias is None:
            return conv.conv_transpose2d(x, weight, geometry=geometry, lowering=lowering)
        return conv.conv_transpose2d_affine(x, weight, bias, geometry=geometry, lowering=lowering)

    return on_images("conv_transpose2d", batch, input)


# ---------------------------------------------------------------- pooling


def max_pool2d(
    input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    dilation: Size = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    """y = the largest entry of each window, which moves by `stride`, by default its own size.

    The derivative goes to the largest entry, of equal ones to the first; a NaN counts as larger
    than any number. With `ceil_mode` the last window may reach over the end. With `return_indices`
    there is a second output, where in its image (as h · W + w) each entry was.

    >>> from minigrad import arange
    >>> max_pool2d(arange(16.0).reshape(1, 4, 4), 2).tolist()
    [[[5.0, 7.0], [13.0, 15.0]]]

    Raises ArgumentError for a parameter out of range, such as a padding over half of the window,
    ShapeError if no window fits, DTypeError for integers. Source: arXiv 1603.07285, relationship 7.
    """

    def windows(x):
        check_float("max_pool2d", x.array)
        return window.pooling(
            "max_pool2d", x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode
        )

    def indices(x):
        geometry = windows(x)
        y = window.max_pool.forward(x.array, geometry=geometry)
        return Tensor(window.positions(window.winners(x.array, y, geometry), geometry))

    y = on_images("max_pool2d", lambda x: window.max_pool(x, geometry=windows(x)), input)
    return (y, on_images("max_pool2d", indices, input)) if return_indices else y


def avg_pool2d(
    input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """y = the mean of each window, which moves by `stride`, by default its own size.

    The sum is divided by the number of pixels: with those of the frame, unless `count_include_pad`
    is false, but never those that `ceil_mode` lets it reach beyond; or by `divisor_override`.

    >>> from minigrad import arange
    >>> avg_pool2d(arange(16.0).reshape(1, 4, 4), 2).tolist()
    [[[2.5, 4.5], [10.5, 12.5]]]

    Raises what max_pool2d raises, and ArgumentError if the divisor is 0.
    """
    if divisor_override == 0:
        raise ArgumentError("avg_pool2d: divisor_override: got 0; expected another number")

    def batch(x):
        check_float("avg_pool2d", x.array)
        geometry = window.pooling(
            "avg_pool2d", x.shape[2:], kernel_size, stride, padding, ceil_mode=ceil_mode
        )
        count = divisor_override or window.divisor(geometry, count_include_pad)
        sums = window.add_up(x, geometry=geometry)
        return sums * (Tensor(1 / count).to(x) if isinstance(count, np.ndarray) else 1 / count)

    return on_images("avg_pool2d", batch, input)


def adaptive_avg_pool2d(input: Tensor, output_size: int | Sequence[int | None]) -> Tensor:
    """y = means of windows that cover the image, as many as `output_size`; None: as many as pixels.

    Row o of the output averages the rows ⌊o H / OH⌋ to ⌈(o + 1) H / OH⌉ - 1.

    >>> from minigrad import arange
    >>> adaptive_avg_pool2d(arange(12.0).reshape(1, 3, 4), (2, 1)).tolist()
    [[[3.5], [7.5]]]

    Raises ArgumentError for a size below 1.
    """
    sizes = both("adaptive_avg_pool2d", "output_size", output_size)

    def batch(x):
        check_float("adaptive_avg_pool2d", x.array)
        new = tuple(old if n is None else n for n, old in zip(sizes, x.shape[2:], strict=True))
        if not all(is_whole(n, 1) for n in new):
            raise ArgumentError(
                f"adaptive_avg_pool2d: output_size: got {output_size} for images of "
                f"{x.shape[2:]}; expected integers of at least 1, or None"
            )
        if new == (1, 1):
            return x.mean((2, 3), keepdim=True)
        axes = map(Axis, x.shape[2:], new)
        rows, columns = map(resize.averages, axes)
        return resize.resample(x, rows=rows, columns=columns)

    return on_images("adaptive_avg_pool2d", batch, input)


# ---------------------------------------------------------------- other sizes


def interpolate(
    input: Tensor, size: Size | None = None, scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:  # fmt: skip
    """The images (N, C, H, W) at the size given, or ⌊H · scale_factor⌋ by ⌊W · scale_factor⌋.

    "nearest" takes the pixel at ⌊o · step⌋, "bilinear" draws straight lines between the pixels
    beside (o + ½) step - ½. The step is 1 / scale_factor, or H / OH if only the size is known, or
    `recompute_scale_factor`. With `align_corners` corner pixels are kept: o (H - 1) / (OH - 1).
    An axis that stays as long is copied.

    >>> from minigrad import tensor
    >>> interpolate(tensor([[[[1.0, 2.0]]]]), scale_factor=2).tolist()
    [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]

    Raises ShapeError for other than 4 axes, ArgumentError for another mode, unless exactly one of
    size and scale_factor is given, or for align_corners with "nearest".
    """
    check_tensors("interpolate", input)
    if input.ndim != 4 or 0 in input.shape[2:]:
        raise ShapeError(
            f"interpolate: input: got shape {input.shape}; expected (N, C, H, W), with some pixel"
        )
    if mode not in ("nearest", "bilinear"):
        raise ArgumentError(f"interpolate: mode: got {mode!r}; expected 'nearest' or 'bilinear'")
    if mode == "nearest" and align_corners is not None:
        raise ArgumentError("interpolate: align_corners: got it with 'nearest'; expected bilinear")
    rows, columns = _resized(input.shape[2:], size, scale_factor, recompute_scale_factor)
    if mode == "bilinear":
        check_float("interpolate", input.array)
        rows, columns = (resize.bilinear(axis, bool(align_corners)) for axis in (rows, columns))
        return resize.resample(input, rows=rows, columns=columns)
    return _nearest(input, rows, columns)


def _resized(size: Pair, new: Any, factor: Any, recompute: bool | None) -> tuple[Axis, Axis]:
    """The height and the width that images are resized by."""
    if (new is None) == (factor is None):
        raise ArgumentError(
            f"interpolate: got size {new} and scale_factor {factor}; expected one of them"
        )
    if new is not None and recompute:
        raise ArgumentError("interpolate: recompute_scale_factor: got it with size; expected None")
    name = "scale_factor" if new is None else "size"
    sizes = both("interpolate", name, factor if new is None else new)
    kinds = (int, float, np.number) if new is None else (int, np.integer)
    if not all(isinstance(n, kinds) and n > 0 for n in sizes):
        kind = "numbers" if new is None else "integers"
        raise ArgumentError(f"interpolate: {name}: got {sizes}; expected positive {kind}")
    if new is not None:
        return tuple(Axis(old, int(n)) for old, n in zip(size, sizes, strict=True))
    axes = tuple(Axis(old, int(old * f), float(f)) for old, f in zip(size, sizes, strict=True))
    if not all(axis.new for axis in axes):
        raise ArgumentError(
            f"interpolate: scale_factor: got {factor} for images of {size}; expected at least a "
            "pixel to be left"
        )
    return tuple(axis._replace(scale=None) for axis in axes) if recompute else axes


def _nearest(input: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """x[…, the nearest rows, the nearest columns]; a whole number of times each is told apart."""
    h, w = resize.nearest(rows), resize.nearest(columns)
    times = max(rows.new // rows.old, 1), max(columns.new // columns.old, 1)
    repeated = map(lambda axis, n: np.repeat(np.arange(axis.old), n), (rows, columns), times)
    if all(map(np.array_equal, (h, w), repeated)):
        size = ConvGeometry.transposed(input.shape, kernel_size=times, stride=times)
        return window.spread(input, geometry=size)
    return resize.take(input, rows=h, columns=w)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(…, C·r², H, W) → (…, C, H·r, W·r): y[c, r·h + i, r·w + j] = x[r²·c + r·i + j, h, w]

    Raises ShapeError if r² does not divide the channels. Source: Shi et al., arXiv 1609.05158.
    """
    r = whole("pixel_shuffle", "upscale_factor", upscale_factor, 1)
    if input.ndim < 3 or input.shape[-3] % (r * r):
        raise ShapeError(
            f"pixel_shuffle: input: got shape {input.shape}; expected (…, C, H, W), C a multiple "
            f"of {r * r}, the square of upscale_factor"
        )
    *lead, c, h, w = input.shape
    parts = input.reshape(-1, c // (r * r), r, r, h, w).permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(*lead, c // (r * r), h * r, w * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(…, C, H·r, W·r) → (…, C·r², H, W), which pixel_shuffle undoes.

    Raises ShapeError if r does not divide the height and the width.
    """
    r = whole("pixel_unshuffle", "downscale_factor", downscale_factor, 1)
    if input.ndim < 3 or input.shape[-2] % r or input.shape[-1] % r:
        raise ShapeError(
            f"pixel_unshuffle: input: got shape {input.shape}; expected (…, C, H, W), H and W "
            f"multiples of downscale_factor, {r}"
        )
    *lead, c, h, w = input.shape
    parts = input.reshape(-1, c, h // r, r, w // r, r).permute(0, 1, 3, 5, 2, 4)
    return parts.reshape(*lead, c * r * r, h // r, w // r)


# ---------------------------------------------------------------- patches as columns


def unfold(
    input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Tensor:
    """(N, C, H, W) → (N, C·kh·kw, OH·OW): the patch that each output pixel of conv2d looks at.

    >>> from minigrad import arange
    >>> unfold(arange(6.0).reshape(1, 2, 3), 2).tolist()
    [[0.0, 1.0], [1.0, 2.0], [3.0, 4.0], [4.0, 5.0]]

    Raises ArgumentError for a parameter out of range, ShapeError for too large a kernel.
    """

    def batch(x):
        size = pair("unfold", "kernel_size", kernel_size, 1)
        geometry = ConvGeometry.direct(x.shape, size, stride, padding, dilation, op="unfold")
        return window.unfold(x, geometry=geometry)

    return on_images("unfold", batch, input)


def fold(
    input: Tensor, output_size: Size, kernel_size: Size,
    dilation: Size = 1, padding: Size = 0, stride: Size = 1,
) -> Tensor:  # fmt: skip
    """(N, C·kh·kw, OH·OW) → (N, C, *output_size): patches put back, and added where they overlap.

    It is the transpose of unfold, and not its inverse: ⟨unfold(x), y⟩ = ⟨x, fold(y)⟩.

    >>> from minigrad import ones
    >>> fold(ones(1, 4, 2), (2, 3), 2).tolist()
    [[[[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]]]

    Raises ShapeError if the input is not what unfold makes of images of that size.
    """
    size = pair("fold", "output_size", output_size, 1)
    kernel = pair("fold", "kernel_size", kernel_size, 1)
    geometry = ConvGeometry.direct(size, kernel, stride, padding, dilation, op="fold")
    k, patches = math.prod(geometry.kernel_size), math.prod(geometry.output_size)
    if input.ndim not in (2, 3) or input.shape[-2] % k or input.shape[-1] != patches:
        raise ShapeError(
            f"fold: input: got shape {input.shape}; expected (N, C · {k}, {patches}), the patches "
            f"of images {geometry.input_size}, kernel {geometry.kernel_size}"
        )
    if input.ndim == 2:
        return window.fold(input.unsqueeze(0), geometry=geometry).squeeze(0)
    return window.fold(input, geometry=geometry)
