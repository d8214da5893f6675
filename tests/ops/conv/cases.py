"""What the convolution's tests share: geometries of every kind, and a loop nest to compare with."""

import itertools
from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st

from minigrad.ops.conv.geometry import ConvGeometry

LOWERINGS = "im2col", "matrix", "stretched"


@st.composite
def axes(draw: st.DrawFn) -> tuple[int, ...]:
    """i, o, k, s, p, d along one axis, any that fit: k < s, p ≥ k, leftovers, k = i + 2p."""
    k, s, d = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    reach = d * (k - 1) + 1
    p, left = draw(st.integers(0, reach + 1)), draw(st.integers(0, s - 1))
    least = max(1, 1 + -(-(1 - reach + 2 * p - left) // s))  # the o from which i is at least 1
    o = draw(st.integers(least, least + 3))
    return s * (o - 1) + reach - 2 * p + left, o, k, s, p, d


@st.composite
def geometries(draw: st.DrawFn) -> ConvGeometry:
    """Any geometry with at most a few pixels a side, height and width drawn apart."""
    (i, o, k, s, p, d), across = draw(axes()), draw(axes())
    sizes = zip((i, o, k, s, p, d), across, strict=True)
    return ConvGeometry(*sizes, groups=draw(st.integers(1, 3)))


@st.composite
def problems(draw: st.DrawFn) -> tuple[ConvGeometry, tuple[int, ...], tuple[int, ...]]:
    """A geometry with the shapes of an x and a w that it fits."""
    geometry = draw(geometries())
    n, c, o = (draw(st.sampled_from(sizes)) for sizes in ((1, 3), (1, 2, 5), (1, 3, 6)))
    g = geometry.groups
    return geometry, (n, g * c, *geometry.input_size), (g * o, c, *geometry.kernel_size)


def arrays(
    geometry: ConvGeometry, x: tuple[int, ...], w: tuple[int, ...], seed: int = 0
) -> list[np.ndarray]:
    """x, w and a y, drawn from N(0, 1)."""
    generator = np.random.default_rng(seed)
    shapes = x, w, (x[0], w[0], *geometry.output_size)
    return [generator.standard_normal(shape) for shape in shapes]


def meetings(geometry: ConvGeometry) -> Iterator[tuple[int, ...]]:
    """Every (oh, ow, i, j, h, w) with h = s·oh + d·i - p and w likewise, one by one."""
    (s, t), (d, e), (p, q) = geometry.stride, geometry.dilation, geometry.padding
    ranges = map(range, (*geometry.output_size, *geometry.kernel_size))
    for oh, ow, i, j in itertools.product(*ranges):
        h, w = s * oh + d * i - p, t * ow + e * j - q
        if 0 <= h < geometry.input_size[0] and 0 <= w < geometry.input_size[1]:
            yield oh, ow, i, j, h, w


def loop_nest(
    geometry: ConvGeometry, x: np.ndarray, w: np.ndarray, y: np.ndarray
) -> dict[str, np.ndarray]:
    """The three tasks from the definition: T = Σ x[n, c, h, w] w[o, c, i, j] y[n, o, oh, ow]."""
    tasks = {"conv": y, "conv_transpose": x, "weight_grad": w}
    made = {task: np.zeros_like(like) for task, like in tasks.items()}
    outs, ins = len(w) // geometry.groups, w.shape[1]
    for oh, ow, i, j, h, v in meetings(geometry):
        for o, c in itertools.product(range(len(w)), range(ins)):
            channel = o // outs * ins + c
            made["conv"][:, o, oh, ow] += x[:, channel, h, v] * w[o, c, i, j]
            made["conv_transpose"][:, channel, h, v] += y[:, o, oh, ow] * w[o, c, i, j]
            made["weight_grad"][o, c, i, j] += x[:, channel, h, v] @ y[:, o, oh, ow]
    return made
