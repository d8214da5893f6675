r"""What a pixel of a layer's output sees of the image: its receptive field, all that it depends on.

One pixel of a convolution's output sees k̂ = d(k - 1) + 1 pixels, end to end, and its neighbour sees
those s further on. Where pixels see fields r wide, j apart, those of the next convolution see

    r′ = r + (k̂ - 1) j,        j′ = j s.

A transposed convolution goes the other way, j′ = j / s. Its pixel h sees the pixels o with
h = s·o + d·t - p for some kernel element t, and those are more for one h than for the next. If
d = 1, n pixels in a row see at most

    n′ = ⌊(n + k - 2) / s⌋ + 1

of them in a row, where a direct convolution makes n′ = s(n - 1) + k̂ of n. So a field is found on
the way back: from one pixel to those that it sees, layer by layer, down to the image; and, as the
pixels differ, from each pixel in turn until they repeat. The widest field counts. The frame of
zeros counts as image, as in the formulas, so a field may be wider than the image.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from minigrad.engine import Variable
from minigrad.ops import reduction, resize, shape, window
from minigrad.ops.arguments import Pair
from minigrad.ops.conv import primitives as conv
from minigrad.ops.conv.geometry import ConvGeometry

CONVOLUTIONS = conv.conv2d, conv.conv2d_affine
TRANSPOSED = conv.conv_transpose2d, conv.conv_transpose2d_affine
POOLING = window.max_pool, window.pick, window.add_up


class Step(NamedTuple):
    """What the pixels of an image see of the image that it was computed from."""

    look: Callable[[np.ndarray, int], np.ndarray]  # (pixels, axis) → the pixels that they see
    jump: tuple[Fraction, Fraction]  # how far the seen ones move from pixel to pixel
    period: Pair  # after so many pixels it is the same again, moved


Path = tuple[Step, ...]  # from the image to a tensor


def direct(geometry: ConvGeometry) -> Step:
    """Pixel o sees the h = s·o + d·t - p."""

    def look(pixels: np.ndarray, axis: int) -> np.ndarray:
        s, d, p = geometry.stride[axis], geometry.dilation[axis], geometry.padding[axis]
        return s * pixels[:, None] + d * np.arange(geometry.kernel_size[axis]) - p

    return Step(look, tuple(map(Fraction, geometry.stride)), (1, 1))


def transposed(geometry: ConvGeometry) -> Step:
    """Pixel h sees the o with h = s·o + d·t - p."""

    def look(pixels: np.ndarray, axis: int) -> np.ndarray:
        s, d, p = geometry.stride[axis], geometry.dilation[axis], geometry.padding[axis]
        places = pixels[:, None] + p - d * np.arange(geometry.kernel_size[axis])
        return places[places % s == 0] // s

    return Step(look, tuple(Fraction(1, s) for s in geometry.stride), geometry.stride)


def _resampled(rows: np.ndarray, columns: np.ndarray) -> Step:
    """Pixel o sees the i with R[o, i] ≠ 0."""
    matrices = rows, columns

    def look(pixels: np.ndarray, axis: int) -> np.ndarray:
        inside = pixels[(0 <= pixels) & (pixels < len(matrices[axis]))]
        return np.flatnonzero(matrices[axis][inside].any(0))

    sizes = [m.shape for m in matrices]
    return Step(look, tuple(Fraction(old, new) for new, old in sizes), (len(rows), len(columns)))


def _moved(widths: Sequence[Pair], sign: int) -> Step:
    """Pixel h sees the pixel h ∓ the frame's width before it."""
    return Step(
        lambda pixels, axis: pixels + sign * widths[2 + axis][0], (Fraction(1),) * 2, (1, 1)
    )


def step_of(y: Variable) -> Step | None:
    """The step that a node is, if it is one."""
    op, params = y.primitive, y.params
    if op in (*CONVOLUTIONS, *POOLING):
        return direct(params["geometry"])
    if op in (*TRANSPOSED, window.spread):
        return transposed(params["geometry"])
    if op is resize.resample:
        return _resampled(params["rows"], params["columns"])
    if op is reduction.mean and y.array.shape[2:] == (1, 1):
        return _resampled(*(np.ones((1, n)) for n in y.inputs[0].array.shape[2:]))
    if op is shape.pad or op is shape.crop:
        return _moved(params["widths"], -1 if op is shape.pad else 1)
    return None


def paths(
    images: Iterable[Variable], nodes: Iterable[Variable],
    known: Mapping[Variable, tuple[Variable, Step]] | None = None,
) -> dict[Variable, Path | None]:  # fmt: skip
    """The path from the image to each node that depends on one; None where it was lost.

    `nodes` have their inputs before them, as in `engine.history`. Any operation that keeps height
    and width counts as one on single pixels; one that does not, and that is no step, loses the
    path. `known` are nodes whose source and step are given.
    """
    found: dict[Variable, Path | None] = dict.fromkeys(images, ())
    for y in nodes:
        sources = [x for x in y.inputs if isinstance(x, Variable) and x in found]
        step = step_of(y)
        if known and y in known:
            source, step = known[y]
            sources = [source] if source in found else []
        if not sources:
            continue
        before = [found[x] for x in sources]
        size = y.array.shape[2:]
        if None in before:
            found[y] = None
        elif step is not None:
            found[y] = (*before[0], step) if len(before) == 1 else None
        elif all(x.array.shape[2:] == size for x in sources):
            found[y] = _either(before)
        else:
            found[y] = None
    return found


def _either(ways: list[Path]) -> Path:
    """One path for several to the same tensor: a pixel sees what it sees by any of them.

    Its jump is that of the first; they can differ where a size was rounded.
    """
    ways = list(dict.fromkeys(ways))
    if len(ways) == 1:
        return ways[0]
    common = 0
    while len({way[common : common + 1] for way in ways}) == 1:
        common += 1
    tails = [way[common:] for way in ways]
    period = tuple(math.lcm(*(_period(tail, axis) for tail in tails)) for axis in (0, 1))
    look = lambda pixels, axis: np.concatenate([_seen(tail, pixels, axis) for tail in tails])
    return (*ways[0][:common], Step(look, jump(tails[0]), period))


def jump(path: Path) -> tuple[Fraction, Fraction]:
    """How far a field moves from one pixel to the next, in pixels of the image."""
    return tuple(
        math.prod((step.jump[axis] for step in path), start=Fraction(1)) for axis in (0, 1)
    )


def field(path: Path, size: Pair) -> Pair:
    """The most pixels of the image, end to end, that one of `size` pixels sees."""
    widest = [0, 0]
    for axis in (0, 1):
        for pixel in range(min(_period(path, axis), size[axis])):
            seen = _seen(path, np.array([pixel]), axis)
            if len(seen):
                widest[axis] = max(widest[axis], int(seen.max() - seen.min()) + 1)
    return tuple(widest)


def _seen(path: Path, pixels: np.ndarray, axis: int) -> np.ndarray:
    """The pixels of the image that some pixels see, by the way back."""
    for step in reversed(path):
        pixels = np.unique(step.look(pixels, axis))
    return pixels


def _period(path: Path, axis: int) -> int:
    return math.prod(step.period[axis] for step in path)
