r"""Sizes backwards: which settings of a convolution make images of one size of those of another.

Relationships 5, 6, 14 and 15 of the guide to convolution arithmetic (arXiv 1603.07285), see
minigrad/ops/conv/geometry.py, solved for k, s and p: s(o - 1) + k̂ - 2p + a = i, with 0 ≤ a < s.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from minigrad.errors import ArgumentError
from minigrad.ops.arguments import Pair, pair
from minigrad.ops.conv.geometry import ConvGeometry

MAX_KERNEL, MAX_STRIDE = 11, 8


def solve(
    input_size: int | Pair, output_size: int | Pair, kernel_size: int | Pair | None = None,
    stride: int | Pair | None = None, padding: int | Pair | None = None, dilation: int | Pair = 1,
    transposed: bool = False,
) -> list[dict[str, int | Pair]]:  # fmt: skip
    """The settings with which a convolution makes images of one size of images of another.

    Each is a dictionary of keyword arguments for `nn.Conv2d`, or for `nn.ConvTranspose2d` if
    `transposed`. What is given is kept; else kernels up to 11, strides up to 8 and paddings below
    the kernel's reach k̂ are tried. No answer is an empty list.

    The plainest come first. No pixel is left out or without a product (k ≥ s); there is no
    leftover, and none to be told (output_padding 0); all pixels count equally often (s divides k);
    height and width are treated alike; then by small padding, small kernel, small stride. If both
    axes ask for the same, only answers that treat them alike are listed; if the output is one pixel
    wide, there is no step, and only stride 1 is.

    Deck 000's encoder makes 5 of 13 by k4 s2; its decoder has k5, for the way back of k4 s2 makes
    12, and needs a leftover to make 13:

    >>> for answer in solve(5, 13, stride=2, padding=0, transposed=True):
    ...     print(answer)
    {'kernel_size': 5, 'stride': 2, 'padding': 0, 'output_padding': 0}
    {'kernel_size': 4, 'stride': 2, 'padding': 0, 'output_padding': 1}
    >>> solve((28, 32), (14, 8))[0]
    {'kernel_size': (2, 4), 'stride': (2, 4), 'padding': 0}

    Raises ArgumentError for what is not an integer, or too small a one.
    """
    given = [
        _both("input_size", input_size, 1), _both("output_size", output_size, 1),
        _both("kernel_size", kernel_size, 1), _both("stride", stride, 1),
        _both("padding", padding, 0), _both("dilation", dilation, 1),
    ]  # fmt: skip
    if not isinstance(transposed, bool):
        raise ArgumentError(f"solve: transposed: got {transposed!r}; expected True or False")
    if None in (input_size, output_size, dilation):
        raise ArgumentError("solve: input_size, output_size, dilation: got None; expected a number")
    rows, columns = ([*_settings(*axis, transposed)] for axis in zip(*given, strict=True))
    alike = len({*zip(*given, strict=True)}) == 1
    pairs = zip(rows, rows, strict=True) if alike else itertools.product(rows, columns)
    found = sorted(pairs, key=_plainness)
    return [_keywords(*pair, transposed) for pair in found]


class _Setting(NamedTuple):
    """What a layer does along one axis."""

    kernel: int
    stride: int
    padding: int
    dilation: int
    leftover: int


def _settings(
    i: int, o: int, k: int | None, s: int | None, p: int | None, d: int, transposed: bool
) -> Iterator[_Setting]:
    """All settings that make o pixels of i, or the transposes that do."""
    large, small = (o, i) if transposed else (i, o)
    steps = [1] if small == 1 else range(1, MAX_STRIDE + 1)
    for k_ in [k] if k else range(1, MAX_KERNEL + 1):
        reach = d * (k_ - 1) + 1
        for s_, p_ in itertools.product([s] if s else steps, range(reach) if p is None else [p]):
            leftover = large + 2 * p_ - reach - s_ * (small - 1)  # of relationships 5, 6, 14, 15
            if 0 <= leftover < s_:
                yield _Setting(k_, s_, p_, d, leftover)


def _plainness(pair: tuple[_Setting, _Setting]) -> tuple:
    """The smaller, the plainer."""
    ratios = [_landed(x.kernel, x.stride, x.dilation) for x in pair]
    return (
        math.inf in ratios,
        any(x.leftover for x in pair),
        max(ratios) > 1,
        pair[0] != pair[1],
        *(pair[0][n] + pair[1][n] for n in (2, 0, 1)),
        pair,
    )


def _keywords(row: _Setting, column: _Setting, transposed: bool) -> dict[str, int | Pair]:
    names = ["kernel_size", "stride", "padding", "dilation", "output_padding"]
    both = {name: a if a == b else (a, b) for name, a, b in zip(names, row, column, strict=True)}
    if not transposed:
        del both["output_padding"]
    if both["dilation"] == 1:
        del both["dilation"]
    return both


def _both(name: str, value: Any, least: int) -> tuple:
    """An integer or a pair as a pair; None as two."""
    return (None, None) if value is None else pair("solve", name, value, least)


def relationships(geometry: ConvGeometry) -> Pair:
    """The numbers of the relationships that give the sizes of a convolution and its transpose.

    Dilated, the transpose has that of k̂ for k; an uneven "same" counts as half padding.

    >>> relationships(ConvGeometry.direct(5, kernel_size=3, stride=2, padding=1))
    (6, 13)
    """
    p, a = geometry.padding, geometry.output_padding
    if geometry.stride == (1, 1):  # no padding, half of it, full or any
        k = geometry.receptive_field
        half, full = (2 * p[0] + 1, 2 * p[1] + 1), (p[0] + 1, p[1] + 1)
        case = 0 if not any(p) else 2 if half == k or min(a) < 0 else 3 if full == k else 1
        direct, transposed = 1 + case, 8 + case
    else:
        direct, transposed = (6, 13) if any(p) else (5, 12)
    return 15 if geometry.dilation != (1, 1) else direct, 14 if any(a) else transposed


def unevenness(geometry: ConvGeometry) -> float:
    """Most / fewest of the pixels that add up in one, where a transposed convolution has no edge.

    Kernel element t of every input pixel lands on the output pixels d·t (mod s). If s divides k,
    and d = 1, as many land on each, and the ratio is 1; it is ∞ if nothing lands on some.

    >>> unevenness(ConvGeometry.transposed(8, kernel_size=3, stride=2))  # 2² against 1²
    4.0
    """
    axes = zip(geometry.kernel_size, geometry.stride, geometry.dilation, strict=True)
    return math.prod(_landed(*axis) for axis in axes)


def _landed(k: int, s: int, d: int) -> float:
    landed = np.bincount(d * np.arange(k) % s, minlength=s)
    return float(landed.max() / landed.min()) if landed.min() else math.inf
