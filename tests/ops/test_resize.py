"""Other sizes: the matrices are PyTorch's, the product is a product, the rule its transpose."""

import numpy as np
import pytest

from minigrad import Tensor
from minigrad.engine import grad
from minigrad.gradcheck import check_grads
from minigrad.ops import resize
from minigrad.ops.resize import Axis

THIRD, SIXTH = 1 / 3, 1 / 6

# Pixels before and after, the factor, and interpolate(arange(float(old)).reshape(1, 1, 1, old), …).
NEAREST = [
    (Axis(3, 5), [0, 0, 1, 1, 2]),
    (Axis(5, 3), [0, 1, 3]),
    (Axis(4, 4), [0, 1, 2, 3]),
    (Axis(2, 7), [0, 0, 0, 0, 1, 1, 1]),
    (Axis(7, 2), [0, 3]),
    (Axis(1, 3), [0, 0, 0]),
    (Axis(3, 6, 2.3), [0, 0, 1, 1, 2, 2]),
    (Axis(4, 4, 1.2), [0, 1, 2, 3]),
    (Axis(5, 8, 1.7), [0, 0, 1, 1, 2, 2, 3, 4]),
    (Axis(9, 6, 0.7), [0, 1, 2, 4, 5, 7]),
]

# The same, align_corners, and interpolate(eye(old).reshape(1, 1, old, old), …, mode="bilinear").
BILINEAR = [
    (Axis(2, 4), False, [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]),
    (Axis(2, 4), True, [[1, 0], [2 * THIRD, THIRD], [THIRD, 2 * THIRD], [0, 1]]),
    (Axis(4, 3), False, [[5 * SIXTH, SIXTH, 0, 0], [0, 0.5, 0.5, 0], [0, 0, SIXTH, 5 * SIXTH]]),
    (Axis(4, 3), True, [[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1]]),
    (Axis(3, 1), False, [[0, 1, 0]]),
    (Axis(3, 1), True, [[1, 0, 0]]),
    (Axis(1, 3), False, [[1], [1], [1]]),
    (
        Axis(3, 4, 1.5), False,
        [[1, 0, 0], [0.5, 0.5, 0], [0, 5 * SIXTH, SIXTH], [0, SIXTH, 5 * SIXTH]],
    ),
    (
        Axis(3, 4, 1.5), True,
        [[1, 0, 0], [THIRD, 2 * THIRD, 0], [0, 2 * THIRD, THIRD], [0, 0, 1]],
    ),
    (Axis(3, 3, 1.2), False, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    (Axis(5, 2, 0.5), False, [[0.5, 0.5, 0, 0, 0], [0, 0, 0.5, 0.5, 0]]),
]  # fmt: skip

# The same, and adaptive_avg_pool2d(eye(old).reshape(1, 1, old, old), (new, old)).
AVERAGES = [
    (Axis(4, 2), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]),
    (Axis(5, 3), [[0.5, 0.5, 0, 0, 0], [0, THIRD, THIRD, THIRD, 0], [0, 0, 0, 0.5, 0.5]]),
    (Axis(2, 3), [[1, 0], [0.5, 0.5], [0, 1]]),
    (Axis(3, 3), [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    (Axis(3, 1), [[THIRD, THIRD, THIRD]]),
]


@pytest.mark.parametrize("axis, expected", NEAREST)
def test_nearest_pixels_are_pytorchs(axis, expected):
    assert resize.nearest(axis).tolist() == expected


@pytest.mark.parametrize("axis, align_corners, expected", BILINEAR)
def test_bilinear_shares_are_pytorchs(axis, align_corners, expected):
    found = resize.bilinear(axis, align_corners)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("axis, expected", AVERAGES)
def test_averages_are_pytorchs(axis, expected):
    np.testing.assert_allclose(resize.averages(axis), expected, rtol=1e-14)


@pytest.mark.parametrize("old", [1, 2, 5, 9])
@pytest.mark.parametrize("new", [1, 2, 5, 12])
def test_shares_of_a_new_pixel_add_up_to_1(old, new):
    axis = Axis(old, new)
    made = resize.bilinear(axis, True), resize.bilinear(axis, False), resize.averages(axis)
    for matrix in made:
        assert matrix.shape == (new, old) and matrix.min() >= 0
        np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-14)


# ---------------------------------------------------------------- the primitives

RNG = np.random.default_rng(0)
R, C = RNG.standard_normal((4, 3)), RNG.standard_normal((2, 5))
PICKED = dict(rows=np.array([0, 2, 2, 1]), columns=np.array([4, 0]))


def plain(x):
    return np.ascontiguousarray(x)


def channels_last(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def backwards(x):
    return np.flip(np.flip(x).copy())


def repeated(x):
    return np.broadcast_to(x[..., :1], x.shape)


@pytest.mark.parametrize("layout", [plain, channels_last, backwards, repeated])
@pytest.mark.parametrize("c", [1, 2, 7])
def test_values_in_any_order_of_memory(layout, c):
    x = layout(RNG.standard_normal((3, c, 3, 5)))
    y = resize.resample(Tensor(x), rows=R, columns=C).array
    np.testing.assert_allclose(y, np.einsum("oh,pw,nchw->ncop", R, C, x), rtol=1e-12, atol=1e-13)
    y = resize.take(Tensor(x), **PICKED).array
    assert y.tolist() == x[:, :, PICKED["rows"]][..., PICKED["columns"]].tolist()


def test_channels_that_come_last_stay_last():
    y = resize.resample.forward(channels_last(RNG.standard_normal((3, 6, 3, 5))), rows=R, columns=C)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("fn, how", [(resize.resample, dict(rows=R, columns=C)),
                                     (resize.take, PICKED)])  # fmt: skip
def test_rule_is_the_transpose(fn, how):
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩, and A again for the rule of the rule"""
    x = Tensor(RNG.standard_normal((3, 2, 3, 5)), requires_grad=True)
    y = Tensor(RNG.standard_normal((3, 2, 4, 2)), requires_grad=True)
    ax = fn(x, **how)
    (back,) = grad(ax, x, y, create_graph=True)
    left, right = (ax * y).sum().item(), (x * back).sum().item()
    assert abs(left - right) <= 1e-12 * (x.norm() * y.norm()).item()
    (again,) = grad(back, y, Tensor(x.array))
    np.testing.assert_allclose(again.array, ax.array, rtol=1e-12, atol=1e-13)
    check_grads(lambda x: fn(x, **how), x, order=2)


def test_element_type_is_that_of_the_images():
    for dtype in (np.float32, np.float64):
        x = Tensor(RNG.standard_normal((1, 2, 3, 5)).astype(dtype), requires_grad=True)
        for y in (resize.resample(x, rows=R, columns=C), resize.take(x, **PICKED)):
            assert y.dtype == dtype
            assert grad(y, x, Tensor(np.ones(y.shape, dtype)))[0].dtype == dtype


def test_no_images():
    x = Tensor(np.zeros((0, 2, 3, 5)), requires_grad=True)
    for y in (resize.resample(x, rows=R, columns=C), resize.take(x, **PICKED)):
        assert y.shape == (0, 2, 4, 2)
        assert grad(y, x, Tensor(np.zeros(y.shape)))[0].shape == x.shape
