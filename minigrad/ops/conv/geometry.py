r"""The sizes of a convolution, and which pixels meet in it.

An image of i pixels a side, framed by p zeros at each end, is read by a kernel of k elements that
lie d pixels apart, at steps of s pixels. Output pixel o and kernel element t meet input pixel

    h = s·o + d·t - p,                                                              (contact)

and all else follows from that line. Numbers are those of the guide to convolution arithmetic
(Dumoulin and Visin, arXiv 1603.07285; deck 000 has 8, 9, 12 and 13). A dilated kernel reaches as
far as one of k̂ = d(k - 1) + 1 elements, so the output has

    o = ⌊(i + 2p - k̂) / s⌋ + 1                                           (relationships 1 to 7, 15)

pixels a side: 1 to 6 are cases of this, and 7 is pooling. The floor leaves a = (i + 2p - k̂) mod s
rows at the end that nothing reads. The transposed convolution goes back, from i' = o pixels to

    o' = s(i' - 1) + k̂ - 2p + a                                             (relationships 8 to 14)

pixels. It must be told a, for o does not say it; PyTorch calls it output_padding.
"""

import functools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minigrad.errors import ArgumentError, ShapeError
from minigrad.ops.arguments import Pair, pair, whole


class Tap(NamedTuple):
    """A kernel element (i, j) and what meets in it: pixels x[inside] and y[outside], in order."""

    i: int
    j: int
    inside: tuple[slice, slice]
    outside: tuple[slice, slice]


@dataclass(frozen=True)
class ConvGeometry:
    """All sizes of a convolution but the channels; each a pair (height, width).

    It remembers the input's size and the output's: either is had from the other, so shapes close in
    derivatives of any order. Made by `direct` or `transposed`, which take an integer or a pair for
    each size, or the whole shape (N, C, H, W) of an array.

    >>> layer = ConvGeometry.direct((64, 3, 28, 28), kernel_size=4, stride=2, padding=1)
    >>> layer.output_size
    (14, 14)
    >>> layer == ConvGeometry.transposed(14, kernel_size=4, stride=2, padding=1)
    True
    """

    input_size: Pair
    output_size: Pair
    kernel_size: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @staticmethod
    def direct(
        input_size: Any, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, op: str = "conv2d",
    ) -> "ConvGeometry":  # fmt: skip
        """The geometry of a convolution over an input of that size.

        padding="valid" is 0. padding="same" makes the output as large as the input, for stride 1;
        if that takes an odd number of zeros, the end gets one more than the start, as in PyTorch.

        Raises ArgumentError for a parameter out of range, ShapeError for too large a kernel.
        """
        if not isinstance(padding, str):
            padding = pair(op, "padding", padding, 0)
        given = _settings(op, input_size, kernel_size, stride, dilation, groups)
        return _direct(op, *given, padding)

    @staticmethod
    def transposed(
        input_size: Any, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, dilation: Any = 1, output_size: Any = None,
        op: str = "conv_transpose2d",
    ) -> "ConvGeometry":  # fmt: skip
        """The geometry of the convolution whose transpose takes an image of that size.

        So `input_size` becomes its output_size. What the transposed convolution makes is its
        input_size, told by `output_size`, or by how much that exceeds the least, `output_padding`.

        Raises ArgumentError for a parameter out of range, ShapeError if nothing is left to make.
        """
        given = _settings(op, input_size, kernel_size, stride, dilation, groups)
        p, a = pair(op, "padding", padding, 0), pair(op, "output_padding", output_padding, 0)
        size = None if output_size is None else _size(op, "output", output_size)
        return _transposed(op, *given, p, a, size)

    @functools.cached_property
    def receptive_field(self) -> Pair:
        """k̂ = d(k - 1) + 1: the input pixels, end to end, that one output pixel looks at."""
        return _each(_reach, self.kernel_size, self.dilation)

    @functools.cached_property
    def output_padding(self) -> Pair:
        """a = i + 2p - k̂ - s(o - 1): the rows and columns at the end that no output pixel reads.

        It is -1 where padding="same" puts one zero more at the end than at the start.

        >>> ConvGeometry.direct(13, kernel_size=4, stride=2).output_padding  # 13 → 5 in deck 000
        (1, 1)
        """
        return _each(
            lambda i, o, k, s, p: i + 2 * p - k - s * (o - 1),
            self.input_size, self.output_size, self.receptive_field, self.stride, self.padding,
        )  # fmt: skip

    @functools.cached_property
    def taps(self) -> tuple[Tap, ...]:
        """Which pixels meet, by kernel element, as slices along (height, width).

        Meetings with the frame of zeros are left out: here, element 0 of output pixel 0.

        >>> line = ConvGeometry.direct((1, 6), kernel_size=(1, 4), stride=2, padding=(0, 1))
        >>> line.taps[0].inside[1], line.taps[0].outside[1]
        (slice(1, 5, 2), slice(1, 3, None))
        """
        rows, columns = (list(self._meetings(axis)) for axis in (0, 1))
        return tuple(Tap(i, j, (h, w), (oh, ow)) for i, h, oh in rows for j, w, ow in columns)

    def _meetings(self, axis: int) -> Iterator[tuple[int, slice, slice]]:
        """For each kernel element t along an axis: the h and the o with h = s·o + d·t - p."""
        for t in range(self.kernel_size[axis]):
            shift = self.dilation[axis] * t - self.padding[axis]
            h, o = aligned(self.input_size[axis], self.output_size[axis], self.stride[axis], shift)
            if o.start < o.stop:
                yield t, h, o

    def overlap(self) -> np.ndarray:
        """How many pixels add up in each pixel that the transposed convolution makes.

        Unless s divides k the counts alternate: the checkerboard of decoders.

        >>> ConvGeometry.transposed((1, 4), kernel_size=(1, 3), stride=2).overlap()
        array([[1, 1, 2, 1, 2, 1, 2, 1, 1]])
        >>> ConvGeometry.transposed((1, 4), kernel_size=(1, 4), stride=2, padding=(0, 1)).overlap()
        array([[1, 2, 2, 2, 2, 2, 2, 1]])
        """
        counts = np.zeros(self.input_size, int)
        for tap in self.taps:
            counts[tap.inside] += 1
        return counts


def aligned(i: int, o: int, s: int, shift: int) -> tuple[slice, slice]:
    """The places s·n + shift from 0 to i - 1, and the n from 0 to o - 1 that have them."""
    first = max(0, -(shift // s))
    stop = max(first, min(o, (i - 1 - shift) // s + 1))
    return slice(s * first + shift, s * stop + shift, s), slice(first, stop)


# ---------------------------------------------------------------- the arithmetic


def _each(formula: Callable[..., int], *pairs: Pair) -> Pair:
    """The formula for the height, and for the width."""
    return tuple(map(formula, *pairs))


def _reach(k: int, d: int) -> int:
    return d * (k - 1) + 1


@functools.lru_cache(maxsize=4096)
def _direct(op: str, i: Pair, k: Pair, s: Pair, d: Pair, groups: int, p: Any) -> ConvGeometry:
    reach = _each(_reach, k, d)
    if p == "same" and s == (1, 1):
        return ConvGeometry(i, i, k, s, _each(lambda k: (k - 1) // 2, reach), d, groups)
    if isinstance(p, str) and p != "valid":
        rule = "stride 1" if p == "same" else "'same', 'valid', an integer or a pair"
        raise ArgumentError(f"{op}: padding: got {p!r} with stride {s}; expected {rule}")
    p = (0, 0) if p == "valid" else p
    padded = _each(lambda i, p: i + 2 * p, i, p)
    if reach[0] > padded[0] or reach[1] > padded[1]:
        raise ShapeError(
            f"{op}: the kernel is larger than the padded input: got {reach} over {padded}; "
            f"expected at most that: input {i}, kernel {k}, padding {p}, dilation {d}"
        )
    o = _each(lambda i, k, s: (i - k) // s + 1, padded, reach, s)
    return ConvGeometry(i, o, k, s, p, d, groups)


@functools.lru_cache(maxsize=4096)
def _transposed(
    op: str, i: Pair, k: Pair, s: Pair, d: Pair, groups: int, p: Pair, a: Pair, size: Pair | None
) -> ConvGeometry:
    least = _each(lambda i, k, s, p: s * (i - 1) + k - 2 * p, i, _each(_reach, k, d), s, p)
    formula = f"{least} = s(i' - 1) + d(k - 1) + 1 - 2p for i' {i}, k {k}, s {s}, p {p}, d {d}"
    free = _each(lambda s, d: max(s, d) - 1, s, d)
    if size is None and (a[0] > free[0] or a[1] > free[1]):
        raise ArgumentError(
            f"{op}: output_padding: got {a}; expected (0, 0) to {free}, less than stride {s} or "
            f"dilation {d}"
        )
    most = _each(operator.add, least, free)
    size = size or _each(operator.add, least, a)
    if min(size) < 1:
        raise ShapeError(
            f"{op}: no output is left: got size {size}; expected at least 1: the least is {formula}"
        )
    if not (least[0] <= size[0] <= most[0] and least[1] <= size[1] <= most[1]):
        raise ArgumentError(
            f"{op}: output_size: got {size}; expected {least} to {most}: the least is {formula}"
        )
    return ConvGeometry(size, i, k, s, p, d, groups)


def _settings(
    op: str, input_size: Any, kernel_size: Any, stride: Any, dilation: Any, groups: Any
) -> tuple[Pair, Pair, Pair, Pair, int]:
    """What both directions are given, checked."""
    return (
        _size(op, "input", input_size), _size(op, "kernel", kernel_size),
        pair(op, "stride", stride, 1), pair(op, "dilation", dilation, 1),
        whole(op, "groups", groups, 1),
    )  # fmt: skip


def _size(op: str, name: str, value: Any) -> Pair:
    """A size that may be given as the shape of an image or a weight."""
    if isinstance(value, (tuple, list)) and len(value) != 2:
        if len(value) != 4:
            raise ShapeError(
                f"{op}: {name}: got {len(value)} axes, {tuple(value)}; expected 4 of an image "
                "(N, C, H, W) or a weight, or a size (H, W)"
            )
        value = value[2:]
    return pair(op, f"{name} size", value, 1)
