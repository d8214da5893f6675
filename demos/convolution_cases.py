"""The cases of convolution arithmetic: their sizes, their arrays, and what is checked of them."""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from minigrad import Tensor
from minigrad.backend import CPU, Array, to_device
from minigrad.errors import ArgumentError
from minigrad.ops.conv import im2col, matrix, stretched
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.ops.conv.primitives import LOWERINGS, conv2d, conv_transpose2d

ROUNDING = 1e-12  # what three ways to compute the same float64 numbers may differ by


class Case(NamedTuple):
    """One row of the arithmetic: i, k, s, p and d of the direct convolution, a pixel a side."""

    name: str
    what: str
    i: int
    k: int
    s: int = 1
    p: int = 0
    d: int = 1

    @property
    def geometry(self) -> ConvGeometry:
        """All its sizes."""
        return ConvGeometry.direct(self.i, self.k, self.s, self.p, self.d)

    @property
    def stretched_size(self) -> int:
        """ĩ' = s(i' - 1) + 1: a side of the transposed convolution's input with its zeros in it."""
        return self.s * (self.geometry.output_size[0] - 1) + 1

    @property
    def stretched_padding(self) -> int:
        """p' = k̂ - 1 - p: the frame of the equivalent direct convolution."""
        return self.geometry.receptive_field[0] - 1 - self.p

    def sizes(self) -> str:
        """i, k, s, p and d."""
        return f"i = {self.i}, k = {self.k}, s = {self.s}, p = {self.p}, d = {self.d}"

    def row(self) -> tuple:
        """Its sizes, and the numbers of its relationships, for the table."""
        g = self.geometry
        (there, _), (o, _), (a, _) = g.relationships, g.output_size, g.output_padding
        back = g.relationships[1]
        made = self.s * (o - 1) + g.receptive_field[0] - 2 * self.p + a  # o'
        sizes = self.i, self.k, self.s, self.p, self.d, a
        return (
            self.name, *sizes, f"R{there}", o, f"R{back}", self.stretched_size,
            self.stretched_padding, made,
        )  # fmt: skip


SIZES = "case", "i", "k", "s", "p", "d", "a", "direct", "o=i'", "back", "ĩ'", "p'", "o'"

CASES = (
    Case("R8", "no padding, unit stride", 4, 3),
    Case("R9", "padding, unit stride", 5, 4, p=2),
    Case("R10", "half padding, unit stride", 5, 3, p=1),
    Case("R11", "full padding, unit stride", 5, 3, p=2),
    Case("R12", "no padding, stride 2", 5, 3, s=2),
    Case("R13", "padding, stride 2", 5, 3, s=2, p=1),
    Case("R14", "padding, stride 2, a row left over", 6, 3, s=2, p=1),
    Case("R15", "dilation 2", 7, 3, d=2),
    Case("6x6", "deck 001's figure", 6, 3),
    Case("VAE", "deck 000's VAE, a row left over", 13, 4, s=2),
)
DECK = "R8", "R9", "R13", "6x6"  # the decks draw these


class Arrays(NamedTuple):
    """What a case is shown with: a kernel, and images of one channel before and after it."""

    w: np.ndarray  # (1, 1, k, k)
    x: np.ndarray  # (1, 1, i, i)
    y: np.ndarray  # C x
    back: np.ndarray  # Cᵀ C x
    code: np.ndarray  # (1, 1, i', i'): small as well
    decoded: np.ndarray  # Cᵀ code


def small_arrays(case: Case, seed: int) -> Arrays:
    """Small whole numbers, so that a reader can add them up: the kernel's count from 1.

    None is 0. What is 0 in the pictures was put there.
    """
    rng, geometry = np.random.default_rng(seed), case.geometry
    x = rng.integers(1, 5, (1, 1, case.i, case.i)).astype(float)
    w = np.arange(1.0, case.k**2 + 1).reshape(1, 1, case.k, case.k)
    code = rng.integers(1, 5, (1, 1, *geometry.output_size)).astype(float)
    y, back = im2col.conv(x, w, geometry), partial(im2col.conv_transpose, w=w, geometry=geometry)
    return Arrays(w, x, y, back(y), code, back(code))


# ---------------------------------------------------------------- what is checked


class Check(NamedTuple):
    """Largest differences between arrays that ought to be equal, and one that ought not."""

    lowerings: float  # im2col, matrix and stretched, of the transposed convolution
    backward: float  # autograd's gradient of conv2d, and Cᵀ g
    backward_transposed: float  # autograd's gradient of conv_transpose2d, and C g
    unturned: float  # stretched, without the turn by 180°, as a share of the largest number

    @property
    def passed(self) -> bool:
        """Is all equal that ought to be?"""
        return max(self[:3]) <= ROUNDING


def check(case: Case, seed: int, device: str = "cpu") -> Check:
    """Two images of random numbers, two channels on one side and three on the other."""
    rng, g = np.random.default_rng(seed), case.geometry
    draw = lambda *shape: to_device(rng.standard_normal(shape), device)
    x, y = draw(2, 2, case.i, case.i), draw(2, 3, *g.output_size)
    w = draw(3, 2, case.k, case.k)
    back = [lowering.conv_transpose(y, w, g) for lowering in LOWERINGS.values()]
    C = matrix.unroll(w, g)
    there, home = gradient(conv2d, x, w, y, g), gradient(conv_transpose2d, y, w, x, g)
    return Check(
        max(gap(back[0], other) for other in back[1:]),
        gap(there.reshape(2, -1), y.reshape(2, -1) @ C),  # (Cᵀ g)ᵀ = gᵀ C
        gap(home.reshape(2, -1), x.reshape(2, -1) @ C.T),
        unturned(y, w, g),
    )


def unturned(y: Array, w: Array, geometry: ConvGeometry) -> float:
    """The error of `stretched` with the kernel as it is, as a share of the largest number."""
    right = stretched.conv_transpose(y, w, geometry)
    wrong = stretched.conv_transpose(y, w[..., ::-1, ::-1], geometry)  # turned twice: not at all
    return gap(wrong, right) / float(abs(right).max())


def gradient(
    convolution: Callable, x: Array, w: Array, g: Array, geometry: ConvGeometry
) -> Array:  # fmt: skip
    """∂⟨convolution(x, w), g⟩/∂x, by the engine."""
    leaf = Tensor(x, requires_grad=True)
    convolution(leaf, Tensor(w), geometry=geometry).backward(Tensor(g))
    return leaf.grad.array


def gap(a: Array, b: Array) -> float:
    """The largest difference of two arrays."""
    return float(abs(a - b).max())


class Recovery(NamedTuple):
    """What is left of x after C."""

    rank: int
    transposed: float  # ‖c CᵀC x - x‖ / ‖x‖, with the best number c
    unseen: float  # ‖C⁺C x - x‖ / ‖x‖: C makes 0 of that part of x
    seen: np.ndarray  # C⁺C x

    @property
    def says(self) -> str:
        """What follows from the rank."""
        if self.rank == self.seen.size:
            return "so there is a matrix that undoes it: C⁺, which is not Cᵀ"
        return f"and makes 0 of a part of x, of {self.unseen:.0%} of its length: that is lost"


def recovery(arrays: Arrays, geometry: ConvGeometry) -> Recovery:
    """How near to x the transposed convolution comes, and how much of x C saw at all."""
    C, x = matrix.unroll(arrays.w, geometry), arrays.x.ravel()
    back, seen = arrays.back.ravel(), np.linalg.pinv(C) @ (C @ x)
    scaled = back * (back @ x) / (back @ back)
    size = np.linalg.norm(x)
    return Recovery(
        int(np.linalg.matrix_rank(C)),
        float(np.linalg.norm(scaled - x) / size),
        float(np.linalg.norm(seen - x) / size),
        seen.reshape(arrays.x.shape),
    )


# ---------------------------------------------------------------- what it costs


class Cost(NamedTuple):
    """The time of one transposed convolution, by each lowering; and its zeros."""

    side: int
    milliseconds: dict[str, float | None]  # None: refused
    megabytes: float  # of C
    zeros: stretched.Waste


CHANNELS, BATCH = 32, 8


def cost(side: int, seed: int, seconds: float, device: str = "cpu") -> Cost:
    """An image of `side` pixels made from half as many by k 4, s 2, p 1; in float32.

    Each time is the least of those measured within so many seconds.
    """
    rng, g = np.random.default_rng(seed), ConvGeometry.direct(side, 4, 2, 1)
    draw = lambda *shape: to_device(rng.standard_normal(shape).astype(np.float32), device)
    y, w = draw(BATCH, CHANNELS, *g.output_size), draw(CHANNELS, CHANNELS, 4, 4)
    times = {
        name: milliseconds(partial(module.conv_transpose, y, w, g), seconds)
        for name, module in LOWERINGS.items()
    }
    megabytes = CHANNELS**2 * (side * side // 2) ** 2 * w.itemsize / 1e6
    return Cost(side, times, megabytes, stretched.waste(g))


def milliseconds(call: Callable[[], Array], seconds: float) -> float | None:
    """The least time till the images are made, or None if the call is refused."""
    times, end = [], time.perf_counter() + seconds
    while not times or (time.perf_counter() < end and len(times) < 200):
        start = time.perf_counter()
        try:
            to_device(call()[0, 0, 0, :1], CPU)  # a device answers when it has made them
        except ArgumentError:
            return None
        times.append(1000 * (time.perf_counter() - start))
    return min(times)
