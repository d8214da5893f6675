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

Pair = tuple[int, int]


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
        return _direct(
            op, _size(op, "input", input_size), _size(op, "kernel", kernel_size),
            _pair(op, "stride", stride, 1),
            padding if padding in ("same", "valid") else _pair(op, "padding", padding, 0),
            _pair(op, "dilation", dilation, 1), _whole(op, "groups", groups, 1),
        )  # fmt: skip

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
        return _transposed(
            op, _size(op, "input", input_size), _size(op, "kernel", kernel_size),
            _pair(op, "stride", stride, 1), _pair(op, "padding", padding, 0),
            _pair(op, "output_padding", output_padding, 0), _pair(op, "dilation", dilation, 1),
            _whole(op, "groups", groups, 1),
            None if output_size is None else _size(op, "output", output_size),
        )  # fmt: skip

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

    @property
    def relationships(self) -> Pair:
        """The numbers of the relationships that give the sizes of this and of its transpose.

        Dilated, the transpose has that of k̂ for k; an uneven "same" counts as half padding.

        >>> ConvGeometry.direct(5, kernel_size=3, stride=2, padding=1).relationships
        (6, 13)
        """
        p, a = self.padding, self.output_padding
        if self.stride == (1, 1):  # no padding, half of it, full or any
            k = self.receptive_field
            half, full = (2 * p[0] + 1, 2 * p[1] + 1), (p[0] + 1, p[1] + 1)
            case = 0 if not any(p) else 2 if half == k or min(a) < 0 else 3 if full == k else 1
            direct, transposed = 1 + case, 8 + case
        else:
            direct, transposed = (6, 13) if any(p) else (5, 12)
        return 15 if self.dilation != (1, 1) else direct, 14 if any(a) else transposed

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
def _direct(op: str, i: Pair, k: Pair, s: Pair, p: Any, d: Pair, groups: int) -> ConvGeometry:
    reach = _each(_reach, k, d)
    if p == "same":
        if s != (1, 1):
            raise ArgumentError(f"{op}: padding: got 'same' with stride {s}; expected stride 1")
        return ConvGeometry(i, i, k, s, _each(lambda k: (k - 1) // 2, reach), d, groups)
    p = (0, 0) if p == "valid" else p
    padded = _each(lambda i, p: i + 2 * p, i, p)
    if reach[0] > padded[0] or reach[1] > padded[1]:
        raise ShapeError(
            f"{op}: the kernel is larger than the padded input: got {reach} over {padded}; "
            f"expected at most that: input {i}, kernel {k}, padding {p}, dilation {d}"
        )
    o = _each(lambda i, k, s, p: (i + 2 * p - k) // s + 1, i, reach, s, p)
    return ConvGeometry(i, o, k, s, p, d, groups)


@functools.lru_cache(maxsize=4096)
def _transposed(
    op: str, i: Pair, k: Pair, s: Pair, p: Pair, a: Pair, d: Pair, groups: int, size: Pair | None
) -> ConvGeometry:
    least = _each(lambda i, k, s, p: s * (i - 1) + k - 2 * p, i, _each(_reach, k, d), s, p)
    formula = f"{least} = s(i' - 1) + d(k - 1) + 1 - 2p for i' {i}, k {k}, s {s}, p {p}, d {d}"
    free = _each(lambda s, d: max(s, d) - 1, s, d)
    name, got, low, high = "output_padding", a, (0, 0), free
    if size is not None:
        name, got, low, high = "output_size", size, least, _each(operator.add, least, free)
    if not (low[0] <= got[0] <= high[0] and low[1] <= got[1] <= high[1]):
        raise ArgumentError(
            f"{op}: {name}: got {got}; expected {low} to {high}: the least output is {formula}"
        )
    size = size or _each(operator.add, least, a)
    if min(size) < 1:
        raise ShapeError(
            f"{op}: no output is left: got size {size}; expected at least 1: the least is {formula}"
        )
    return ConvGeometry(size, i, k, s, p, d, groups)


# ---------------------------------------------------------------- arguments


def _whole(op: str, name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ArgumentError(f"{op}: {name}: got {value!r}; expected an integer of at least {least}")
    return int(value)


def _pair(op: str, name: str, value: Any, least: int) -> Pair:
    if not isinstance(value, (tuple, list)):
        n = _whole(op, name, value, least)
        return n, n
    if len(value) != 2:
        raise ArgumentError(f"{op}: {name}: got {value!r}; expected an integer, or a pair of them")
    return _whole(op, name, value[0], least), _whole(op, name, value[1], least)


def _size(op: str, name: str, value: Any) -> Pair:
    """A size that may be given as the shape of an image or a weight."""
    if isinstance(value, (tuple, list)) and len(value) != 2:
        if len(value) != 4:
            raise ShapeError(
                f"{op}: {name}: got {len(value)} axes, {tuple(value)}; expected 4 of an image "
                "(N, C, H, W) or a weight, or a size (H, W)"
            )
        value = value[2:]
    return _pair(op, f"{name} size", value, 1)
