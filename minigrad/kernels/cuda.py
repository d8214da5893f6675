r"""What a CUDA device does in one kernel of our own, where array code would take many.

CuPy runs the array code too, but starts a kernel for each operation, and reads and writes all of
memory in each. For the random bits the array code stands here.

A kernel here is the body of a loop over the entries i of its outputs, in C, which CuPy compiles
when it is first called. `T` is the element type; a `raw` array is indexed by hand, in row-major
order. The tests compile the bodies for the processor and hold them against the array code.
"""

import functools
import math
from typing import Any

import numpy as np

Array = Any


def has_kernels(xp: Any) -> bool:
    """Whether arrays of the library xp are computed with by CUDA kernels."""
    return hasattr(xp, "ElementwiseKernel")


@functools.cache
def _kernel(xp: Any, name: str) -> Any:
    inputs, outputs, body = BODIES[name]
    return xp.ElementwiseKernel(inputs, outputs, body, f"minigrad_{name}")


BODIES: dict[str, tuple[str, str, str]] = {}  # name: (inputs, outputs, body)

# ---------------------------------------------------------------- random bits

# Philox 4×64 with 10 rounds: four words from a counter and a key, by multiplication alone.
# Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
BODIES["philox"] = "uint64 key, uint64 first", "raw uint64 bits", """
    unsigned long long a = first + i, b = 0, c = 0, d = 0, k = key, l = 0;
    for (int round = 0; round < 10; ++round) {
        unsigned long long u = 0xD2E7470EE14C6C93ULL, v = 0xCA5A826395121157ULL;
        unsigned long long high = __umul64hi(v, c) ^ b ^ k, low = __umul64hi(u, a) ^ d ^ l;
        b = v * c; d = u * a; a = high; c = low;
        k += 0x9E3779B97F4A7C15ULL; l += 0xBB67AE8584CAA73BULL;
    }
    bits[4 * i] = a; bits[4 * i + 1] = b; bits[4 * i + 2] = c; bits[4 * i + 3] = d;
"""  # fmt: skip


def random_bits(xp: Any, key: int, block: int, n: int) -> Array:
    """n numbers of 64 bits from block `block`, of four, of the `numpy.random.Philox` of `key`."""
    blocks = math.ceil(n / 4)
    if has_kernels(xp):
        bits = xp.empty(4 * blocks, np.uint64)
        _kernel(xp, "philox")(np.uint64(key), np.uint64(block + 1), bits, size=blocks)
        return bits[:n]
    words = np.array([key, 0, block, 0, 0, 0], np.uint64)
    return xp.asarray(np.random.Philox(key=words[:2], counter=words[2:]).random_raw(n))


# ---------------------------------------------------------------- patches of images

_SIZES = (
    "int32 g, int32 n, int32 c, int32 h, int32 w, int32 oh, int32 ow, int32 kh, int32 kw, "
    "int32 s, int32 t, int32 d, int32 e, int32 p, int32 q"
)

BODIES["im2col"] = f"raw T x, {_SIZES}", "T y", """
    ptrdiff_t r = i;
    int channel = r % c; r /= c;
    int v = r % kw; r /= kw; int u = r % kh; r /= kh;
    int b = r % ow; r /= ow; int a = r % oh; r /= oh;
    ptrdiff_t image = r % n * g + r / n;  // r is group · n + image
    int row = s * a + d * u - p, column = t * b + e * v - q;
    bool inside = 0 <= row && row < h && 0 <= column && column < w;
    y = inside ? x[((image * c + channel) * h + row) * w + column] : T(0);
"""  # fmt: skip

BODIES["col2im"] = f"raw T y, {_SIZES}", "T x", """
    ptrdiff_t r = i;
    int column = r % w + q; r /= w; int row = r % h + p; r /= h;
    int channel = r % c; r /= c;
    ptrdiff_t image = r % g * n + r / g;  // r is image · g + group
    T total = 0;
    for (int u = 0; u < kh; ++u) {
        int a = row - d * u; if (a < 0 || a % s || a / s >= oh) continue;
        for (int v = 0; v < kw; ++v) {
            int b = column - e * v; if (b < 0 || b % t || b / t >= ow) continue;
            total += y[((((image * oh + a / s) * ow + b / t) * kh + u) * kw + v) * c + channel];
        }
    }
    x = total;
"""  # fmt: skip


def _sizes(n: int, c: int, geometry: Any) -> tuple[int, ...]:
    return (
        geometry.groups, n, c, *geometry.input_size, *geometry.output_size, *geometry.kernel_size,
        *geometry.stride, *geometry.dilation, *geometry.padding,
    )  # fmt: skip


def im2col(xp: Any, x: Array, geometry: Any) -> Array:
    """X (g, n·oh·ow, kh·kw·c): the patches of x (n, g·c, h, w) as rows."""
    n, c = len(x), x.shape[1] // geometry.groups
    length = math.prod(geometry.kernel_size) * c
    X = xp.empty((geometry.groups, n * math.prod(geometry.output_size), length), x.dtype)
    return _kernel(xp, "im2col")(x, *_sizes(n, c, geometry), X)


def col2im(xp: Any, X: Array, n: int, geometry: Any) -> Array:
    """x (n, g·c, h, w): every patch, a row of X (g, n·oh·ow, kh·kw·c), added to its place."""
    c = X.shape[2] // math.prod(geometry.kernel_size)
    x = xp.empty((n, geometry.groups * c, *geometry.input_size), X.dtype)
    return _kernel(xp, "col2im")(X, *_sizes(n, c, geometry), x)


# ---------------------------------------------------------------- entry by entry

BODIES["adam"] = "T g, T rate, T root, T beta_1, T beta_2, T eps", "T w, T m, T s", """
    m += (g - m) * (1 - beta_1);
    s = s * beta_2 + g * g * (1 - beta_2);
    w -= rate * m / (sqrt(s) / root + eps);
"""  # fmt: skip

BODIES["cross_entropy"] = (
    "T x, T t", "T loss", "loss = x * (T(0.5) - t) + abs(x) * T(0.5) + log1p(exp(-abs(x)));"
)  # fmt: skip
BODIES["cross_entropy_slope"] = "T x, T t, T g", "T slope", "slope = (1 / (1 + exp(-x)) - t) * g;"


def adam(
    xp: Any, w: Array, g: Array, m: Array, s: Array, lr: float, betas: tuple, eps: float, t: int
) -> None:
    """Step t of Adam: w, m and s are changed in place."""
    rate, root = lr / (1 - betas[0] ** t), math.sqrt(1 - betas[1] ** t)
    _kernel(xp, "adam")(g, rate, root, *betas, eps, w, m, s)


def cross_entropy(xp: Any, x: Array, t: Array) -> Array:
    """-t ln σ(x) - (1 - t) ln(1 - σ(x)), entry by entry."""
    return _kernel(xp, "cross_entropy")(x, t)


def cross_entropy_slope(xp: Any, x: Array, t: Array, g: Array) -> Array:
    """(σ(x) - t) g, entry by entry."""
    return _kernel(xp, "cross_entropy_slope")(x, t, g)


KERNELS = {k.__name__: k for k in (im2col, col2im, adam, cross_entropy, cross_entropy_slope)}
