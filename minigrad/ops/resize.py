r"""Images of another size, by one small matrix for the rows and one for the columns.

Interpolation and adaptive averaging are linear, and do the same to every row and to every column of
every channel:

    y = R x Cᵀ,        R (oh, h), C (ow, w),

so the rule is the same primitive with Rᵀ and Cᵀ. Entry R[o, i] says how much of row i is in row o.
As 0 · ∞ is NaN, one infinite pixel spoils its row and its column; where R and C only pick, as for
the nearest pixel, `take` does it without a product.
"""

from typing import NamedTuple

import numpy as np

from minigrad.backend import array_module
from minigrad.engine import primitive


@primitive
def resample(x, *, rows, columns):
    """y = R x Cᵀ for every channel of the images x (n, c, h, w)"""
    xp = array_module(x)
    R, C = (xp.asarray(matrix, x.dtype) for matrix in (rows, columns))
    n, c, h, w = x.shape
    if x.strides[1] != x.itemsize:
        return (R @ x) @ C.T
    y = R @ x.transpose(0, 2, 3, 1).reshape(n, h, w * c)  # the channels are last in memory
    return (C @ y.reshape(n, len(R), w, c)).transpose(0, 3, 1, 2)


resample.vjp(lambda g, y, x, rows, columns: resample(g, rows=rows.T, columns=columns.T))


@primitive
def take(x, *, rows, columns):
    """y[…, o, p] = x[…, rows[o], columns[p]] of images x (n, c, h, w)"""
    xp = array_module(x)
    return x[:, :, xp.asarray(rows)][..., xp.asarray(columns)]


def _take_rule(g, y, x, rows, columns):
    """Rᵀ g C, where R[o, rows[o]] = 1, C[p, columns[p]] = 1, and all else is 0"""
    old = zip((rows, columns), x.shape[2:], strict=True)
    R, C = (np.arange(n)[:, None] == index for index, n in old)
    return resample(g, rows=R, columns=C)


take.vjp(_take_rule)


class Axis(NamedTuple):
    """An axis of `old` pixels that becomes `new` long; `scale` is the factor that was asked for.

    In units of old pixels the new ones lie old / new apart, or 1 / scale if the factor was given:
    new = ⌊old · scale⌋ may have cut off a part of a pixel. An axis that stays as long is copied.
    """

    old: int
    new: int
    scale: float | None = None

    @property
    def step(self) -> float:
        """The distance of new pixels, in old ones."""
        given = self.scale is not None and self.new != self.old
        return 1.0 / self.scale if given else self.old / self.new


def nearest(axis: Axis) -> np.ndarray:
    """The old pixel that each new one takes, ⌊o · step⌋, rounded in float32 as PyTorch does.

    An axis that becomes twice as long doubles every pixel, whatever the factor was.

    >>> nearest(Axis(3, 5)).tolist()
    [0, 0, 1, 1, 2]
    """
    step = 0.5 if axis.new == 2 * axis.old else axis.step
    places = np.arange(axis.new, dtype=np.float32) * np.float32(step)
    return np.minimum(np.floor(places).astype(np.int64), axis.old - 1)


def bilinear(axis: Axis, align_corners: bool) -> np.ndarray:
    """The matrix (new, old) that draws straight lines between neighbouring old pixels.

    New pixel o lies at (o + ½) step - ½, and not before pixel 0; with `align_corners` the first
    and last pixels are the old ones, and it lies at o (old - 1) / (new - 1).

    >>> bilinear(Axis(2, 4), align_corners=False).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    o = np.arange(axis.new)
    if align_corners:
        places = o * ((axis.old - 1) / max(axis.new - 1, 1))
    else:
        places = np.maximum((o + 0.5) * axis.step - 0.5, 0.0)
    low = np.minimum(np.floor(places).astype(np.int64), axis.old - 1)
    high = np.minimum(low + 1, axis.old - 1)
    share = np.clip(places - low, 0.0, 1.0)
    matrix = np.zeros((axis.new, axis.old))
    np.add.at(matrix, (o, low), 1.0 - share)
    np.add.at(matrix, (o, high), share)
    return matrix


def averages(axis: Axis) -> np.ndarray:
    """The matrix (new, old) whose row o averages the old pixels ⌊o · step⌋ to ⌈(o + 1) step⌉ - 1.

    >>> averages(Axis(5, 2)).round(2).tolist()
    [[0.33, 0.33, 0.33, 0.0, 0.0], [0.0, 0.0, 0.33, 0.33, 0.33]]
    """
    o, pixel = np.arange(axis.new)[:, None], np.arange(axis.old)
    first, stop = o * axis.old // axis.new, -(-(o + 1) * axis.old // axis.new)
    inside = (first <= pixel) & (pixel < stop)
    return inside / (stop - first)
