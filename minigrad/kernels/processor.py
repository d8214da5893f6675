r"""Loops for the processor, which Numba compiles.

A function here brings its arrays into the order that a loop runs through, and the loop below it is
the formula, entry by entry. It rounds as NumPy does, for nothing is rearranged within an entry, but
sums are taken in another order.

Numba is the extra `fast`. It is imported, and a loop compiled, when first needed; that takes a
second or so, once, for the machine code is kept on disk. While a loop runs other Python threads can
too. `MINIGRAD_KERNELS=0` in the environment is as if Numba were not installed.
"""

import functools
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any

LINE = 16  # numbers of float32 that come into the cache together
LANES = 128  # sums that are taken side by side: several fill a register, and none waits for itself
FACTORS = 512  # numbers from 1 to 2 whose product is taken: it is below 2¹⁰²⁴, as float64 must be
STRETCH = 64  # terms that float32 adds one after the other; the sums of stretches are in float64


@functools.cache
def numba() -> Any:
    """Numba, or None if it is not installed or not wanted."""
    if os.environ.get("MINIGRAD_KERNELS") == "0":
        return None
    try:
        import numba
    except ImportError:  # also if it is too old for this NumPy
        return None
    return numba


class Loop:
    """A function that fills in some of the arrays it is given, compiled at its first call."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function

    @functools.cached_property
    def compiled(self) -> Callable[..., None]:
        """The function as machine code."""
        options = {"nogil": True, "error_model": "numpy"}
        try:
            return numba().njit(cache=True, **options)(self.function)
        except RuntimeError:  # there is no folder that the machine code could be kept in
            return numba().njit(**options)(self.function)

    def __call__(self, *args: Any) -> None:
        try:
            self.compiled(*args)
        except numba().TypingError as error:  # some array is of another library
            raise TypeError(f"{self.function.__name__}: not for these arguments") from error


KERNELS: dict[str, Callable] = {}


def kernel(function: Callable) -> Callable:
    """Let `find` find it, by its name."""
    KERNELS[function.__name__] = function
    return function


# ---------------------------------------------------------------- patches of images


@kernel
def im2col(x: Array, geometry: Any) -> Array:
    """X (g, n·oh·ow, kh·kw·c): the patches of x (n, g·c, h, w) as rows."""
    (n, channels, h, w), g = x.shape, geometry.groups
    c, k = channels // g, geometry.kernel_size
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(n, h, w, g, c)
    X = np.empty((g, n, *geometry.output_size, *k, c), x.dtype)
    _meet(X, x, False, *geometry.stride, *geometry.dilation, *geometry.padding)
    return X.reshape(g, n * math.prod(geometry.output_size), math.prod(k) * c)


@kernel
def col2im(X: Array, n: int, geometry: Any) -> Array:
    """x (n, g·c, h, w): every patch, a row of X (g, n·oh·ow, kh·kw·c), added to its place."""
    (h, w), g, k = geometry.input_size, geometry.groups, geometry.kernel_size
    c = X.shape[2] // math.prod(k)
    x = np.zeros((n, h, w, g, c), X.dtype)
    steps = *geometry.stride, *geometry.dilation, *geometry.padding
    if X.flags.c_contiguous:
        _meet(X.reshape(g, n, *geometry.output_size, *k, c), x, True, *steps)
    else:  # the columns are in order: FEW channels
        X = np.ascontiguousarray(X.swapaxes(1, 2))
        _add_columns(X.reshape(g, *k, c, n, *geometry.output_size), x, *steps)
    return x.reshape(n, h, w, g * c).transpose(0, 3, 1, 2)


@Loop
def _meet(X, x, back, s, t, d, e, p, q):
    """X = the pixels of x that kernel elements meet, and 0 on the frame; or back: x += X"""
    groups, images, oh, ow, kh, kw, channels = X.shape
    for g in range(groups):
        for n in range(images):
            for a in range(oh):
                for b in range(ow):
                    for i in range(kh):
                        h = s * a + d * i - p
                        for j in range(kw):
                            w = t * b + e * j - q
                            inside = 0 <= h < x.shape[1] and 0 <= w < x.shape[2]
                            if inside and back:
                                for c in range(channels):
                                    x[n, h, w, g, c] += X[g, n, a, b, i, j, c]
                            elif inside:
                                for c in range(channels):
                                    X[g, n, a, b, i, j, c] = x[n, h, w, g, c]
                            elif not back:
                                for c in range(channels):
                                    X[g, n, a, b, i, j, c] = 0


@Loop
def _add_columns(X, x, s, t, d, e, p, q):
    groups, kh, kw, channels, images, oh, ow = X.shape
    for g in range(groups):
        for n in range(images):
            for i in range(kh):
                for j in range(kw):
                    for c in range(channels):
                        for a in range(oh):
                            h = s * a + d * i - p
                            for b in range(ow):
                                w = t * b + e * j - q
                                if 0 <= h < x.shape[1] and 0 <= w < x.shape[2]:
                                    x[n, h, w, g, c] += X[g, i, j, c, n, a, b]


# ---------------------------------------------------------------- entry by entry


@kernel
def turned_plus(x: Array, b: Array) -> Array:
    """y = xᵀ + b: x (m, n), and b (m,) for each row of y (n, m)."""
    y = np.empty(x.shape[::-1], x.dtype)
    _turned_plus(x, b, y)
    return y


@Loop
def _turned_plus(x, b, y):
    """Written line by line of the cache, and read from so many rows at once"""
    m, n = x.shape
    for start in range(0, m, LINE):
        for i in range(n):
            if start + LINE <= m:
                for j in range(start, start + LINE):
                    y[i, j] = x[j, i] + b[j]
            else:
                for j in range(start, m):
                    y[i, j] = x[j, i] + b[j]


@kernel
def adam(
    w: Array, g: Array, m: Array, s: Array, lr: float, betas: tuple, eps: float, t: int
) -> None:
    """Step t of Adam: w, m and s are changed in place."""
    root = math.sqrt(1 - betas[1] ** t)
    of_g = 1 - betas[0], 1 - betas[1]
    numbers = *betas, *of_g, eps * root, lr * root / (1 - betas[0] ** t)
    _adam(w, g, m, s, *map(w.dtype.type, numbers))


@Loop
def _adam(w, g, m, s, beta_1, beta_2, of_g, of_square, eps, rate):
    for i in range(w.size):
        m[i] = m[i] * beta_1 + g[i] * of_g
        s[i] = s[i] * beta_2 + g[i] * of_square * g[i]
        w[i] -= m[i] / (math.sqrt(s[i]) + eps) * rate


@kernel
def forget(a: Array, least: float) -> None:
    """a ← 0 where |a| < least."""
    _forget(a, a.dtype.type(least))


@Loop
def _forget(a, least):
    for i in range(a.size):
        a[i] = 0 if abs(a[i]) < least else a[i]


def _in_order(y: Array, *others: Array) -> tuple[Array, ...]:
    """Arrays of one shape as vectors, the entries of all in the order that y has in memory."""
    others = (a if a.strides == y.strides else _copied(a, y) for a in others)
    return tuple(a.ravel("K") for a in (y, *others))


def _copied(a: Array, like: Array) -> Array:
    copy = np.empty_like(like)
    copy[...] = a
    return copy


@kernel
def gate(g: Array, x: Array, slope: float) -> Array:
    """g where x > 0, else slope · g: what a rectifier lets through of the incoming gradient."""
    y = np.empty_like(x)
    _gate(*_in_order(y, g, x), x.dtype.type(slope))
    return y


@Loop
def _gate(y, g, x, slope):
    for i in range(y.size):
        y[i] = g[i] if x[i] > 0 else slope * g[i]


@kernel
def bernoulli_tail(x: Array) -> Array:
    """e^-|x|, of which the loss and its slope are made; the exponential is NumPy's."""
    y = np.abs(x, out=np.empty_like(x))
    return np.exp(np.negative(y, out=y), out=y)


@kernel
def bernoulli_sum(x: Array, t: Array, tail: Array) -> Array:
    """-Σ t ln σ(x) + (1 - t) ln(1 - σ(x))"""
    total = np.zeros(1)
    _bernoulli_sum(*_in_order(tail, x, t), x.dtype.type(0.5), total)
    return x.dtype.type(total[0])


@Loop
def _bernoulli_sum(tail, x, t, half, total):
    """Σ x (½ - t) + |x| / 2 + ln(1 + tail): a sum of logarithms is the logarithm of a product"""
    for start in range(0, x.size, FACTORS * LANES):
        sums, products = np.zeros(LANES), np.ones(LANES)
        for first in range(start, min(start + FACTORS * LANES, x.size), LANES):
            stretch = slice(first, first + LANES)
            of_x, of_t, of_tail = x[stretch], t[stretch], tail[stretch]
            for i in range(of_x.size):
                sums[i] += of_x[i] * (half - of_t[i]) + abs(of_x[i]) * half
                products[i] *= 1.0 + of_tail[i]
        for i in range(LANES):
            total[0] += sums[i] + math.log(products[i])


@kernel
def bernoulli_slope(x: Array, t: Array, tail: Array, g: float) -> Array:
    """(σ(x) - t) g, entry by entry; σ(x) is 1 or, for x < 0, the tail, divided by 1 + tail."""
    y = np.empty_like(tail)
    _bernoulli_slope(*_in_order(y, x, t, tail), x.dtype.type(1), x.dtype.type(g))
    return y


@Loop
def _bernoulli_slope(y, x, t, tail, one, g):
    for i in range(y.size):
        y[i] = ((tail[i] if x[i] < 0 else one) / (one + tail[i]) - t[i]) * g


# ---------------------------------------------------------------- batch normalisation


def _rows(x: Array) -> Array:
    """x (n, c, …) as (entries of a channel, c), the channels last in memory too."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1)).reshape(-1, x.shape[1])


def _image(rows: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `_rows`: a view (n, c, …)."""
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


@kernel
def batch_normalize(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, ...]:
    """y = γ x̂ + β, x̂ = (x - mean) rate, the mean, the variance, and rate = 1/√(variance + eps)."""
    rows = _rows(x)
    mean, variance = np.zeros((2, rows.shape[1]), x.dtype)
    standard, y = np.empty_like(rows), np.empty_like(rows)
    _mean(rows, mean, False, mean)  # from 0 so far
    _mean(rows, mean, True, variance)
    rate = 1.0 / np.sqrt(variance + eps)
    _normalize(rows, mean, rate, weight, bias, standard, y)
    return _image(y, x.shape), _image(standard, x.shape), mean, variance, rate


@Loop
def _mean(x, center, square, mean):
    """The mean of x - center down the columns, or of its square"""
    n, channels = x.shape
    total = np.zeros(channels)
    for start in range(0, n, STRETCH):
        part = np.zeros_like(mean)
        for i in range(start, min(start + STRETCH, n)):
            for c in range(channels):
                d = x[i, c] - center[c]
                part[c] += d * d if square else d
        total += part
    mean[:] = total / n


@Loop
def _normalize(x, mean, rate, weight, bias, standard, y):
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            standard[i, c] = (x[i, c] - mean[c]) * rate[c]
            y[i, c] = weight[c] * standard[i, c] + bias[c]


@kernel
def batch_sums(g: Array, standard: Array) -> tuple[Array, Array]:
    """Σ g and Σ g x̂, a number for each channel."""
    of_g, of_product = np.empty((2, g.shape[1]), g.dtype)
    _sums(_rows(g), _rows(standard), of_g, of_product)
    return of_g, of_product


@Loop
def _sums(g, standard, of_g, of_product):
    n, channels = g.shape
    totals = np.zeros((2, channels))
    for start in range(0, n, STRETCH):
        part, product = np.zeros_like(of_g), np.zeros_like(of_g)
        for i in range(start, min(start + STRETCH, n)):
            for c in range(channels):
                part[c] += g[i, c]
                product[c] += g[i, c] * standard[i, c]
        totals[0] += part
        totals[1] += product
    of_g[:] = totals[0]
    of_product[:] = totals[1]


@kernel
def batch_slope(g: Array, standard: Array, scale: Array, mean: Array, along: Array) -> Array:
    """scale (g - mean - x̂ along): g without its parts along 1 and along x̂."""
    rows = _rows(g)
    y = np.empty_like(rows)
    _slope(rows, _rows(standard), scale, mean, along, y)
    return _image(y, g.shape)


@Loop
def _slope(g, standard, scale, mean, along, y):
    for i in range(g.shape[0]):
        for c in range(g.shape[1]):
            y[i, c] = scale[c] * (g[i, c] - mean[c] - standard[i, c] * along[c])
