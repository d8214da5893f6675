"""A convolution of images as large as those that are trained on, and mistakes in its gradient."""

from collections.abc import Callable

import numpy as np

from minigrad.gradcheck import GradcheckError, Report, check_grads
from minigrad.ops.conv import primitives as conv
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.samples.planted import Call, planted
from minigrad.tensor import Tensor

Change = Callable[[np.ndarray], np.ndarray]
Shape = tuple[int, int, int, int]  # of the images: (n, channels, height, width)


def _column(a: np.ndarray) -> np.ndarray:
    return np.concatenate([a[..., :-1], 0.0 * a[..., -1:]], -1)


def _one(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flat[a.size // 2 + 7] *= 1.001
    return a


LARGE: dict[str, Change] = {
    "turned by 180°": lambda a: a[..., ::-1, ::-1],
    "last column 0": _column,
    "one entry × 1.001": _one,
    "rolled by one": lambda a: np.roll(a, 1, -1),
    "transposed": lambda a: a.swapaxes(-1, -2),
    "sign": lambda a: -a,
    "× 1.0001": lambda a: 1.0001 * a,
}


def convolution(shape: Shape, seed: int) -> tuple[Callable[..., Tensor], Tensor, Tensor]:
    """conv2d of images x with 3×3 kernels w, one pixel of padding: the function, x and w."""
    generator = np.random.default_rng(seed)
    geometry = ConvGeometry.direct(shape[2:], 3, padding=1)
    x = Tensor(generator.standard_normal(shape), requires_grad=True)
    w = Tensor(generator.standard_normal((4, shape[1], 3, 3)), requires_grad=True)
    return lambda x, w: conv.conv2d(x, w, geometry=geometry), x, w


def changed(change: Change | None):
    """Within it, the gradient in the images of every convolution is changed so."""

    def wrong(call: Call) -> Tensor:
        right = call.right()
        return right if change is None else Tensor(np.ascontiguousarray(change(right.array)))

    return planted(conv.conv2d, 0, wrong)


def check_convolution(shape: Shape, change: Change | None, seed: int) -> Report:
    """What the checker says of the convolution, its gradient changed so."""
    fn, x, w = convolution(shape, seed)
    with changed(change):
        try:
            return check_grads(fn, x, w, seed=seed)
        except GradcheckError as error:
            return error.report
