"""Windows: their sizes, every primitive against a loop over its pixels, adjoints, refusals."""

import numpy as np
import pytest

from minigrad import Tensor
from minigrad.engine import grad
from minigrad.errors import ArgumentError, ShapeError
from minigrad.ops import window
from minigrad.ops.window import pooling

# Size, kernel, stride, padding, dilation, ceil_mode, and the size that PyTorch's max_pool2d makes.
SIZES = [
    ((8, 8), 2, None, 0, 1, False, (4, 4)),
    ((5, 7), 2, None, 0, 1, False, (2, 3)),
    ((5, 7), 2, None, 0, 1, True, (3, 4)),
    ((6, 8), 3, 2, 1, 1, False, (3, 4)),
    ((6, 8), 3, 2, 1, 1, True, (4, 5)),
    ((7, 9), (2, 3), (3, 1), (1, 0), 1, True, (3, 7)),
    ((7, 9), (3, 2), 1, 1, (2, 3), False, (5, 8)),
    ((7, 8), 2, 3, 0, 1, True, (3, 3)),  # the fourth window would start beyond the image
    ((5, 4), 2, 3, 1, 1, True, (2, 2)),
    ((2, 4), 3, 2, 0, 1, True, (1, 2)),  # larger than the image
    ((1, 1), 1, 1, 0, 1, False, (1, 1)),
    ((4, 1), (2, 1), 3, 0, 1, True, (2, 1)),
]


@pytest.mark.parametrize("size, k, s, p, d, ceil_mode, expected", SIZES)
def test_sizes_are_pytorchs(size, k, s, p, d, ceil_mode, expected):
    geometry = pooling("max_pool2d", size, k, s, p, d, ceil_mode)
    assert geometry.output_size == expected and geometry.input_size == size


GEOMETRIES = [pooling("max_pool2d", *setting[:-1]) for setting in SIZES]
each = pytest.mark.parametrize("geometry", GEOMETRIES, ids=[str(s[:-1]) for s in SIZES])


def pixels(geometry):
    """For each window (oh, ow), in order, its elements (i, j) with their pixels (h, w)."""
    (H, W), (s, t), (d, e), (p, q) = (
        geometry.input_size, geometry.stride, geometry.dilation, geometry.padding
    )  # fmt: skip
    for oh, ow in np.ndindex(geometry.output_size):
        found = []
        for i, j in np.ndindex(geometry.kernel_size):
            h, w = s * oh + d * i - p, t * ow + e * j - q
            if 0 <= h < H and 0 <= w < W:
                found.append((i, j, h, w))
        yield oh, ow, found


def images(size, seed=0, n=2, c=3):
    return np.random.default_rng(seed).standard_normal((n, c, *size))


def transform(fn, x, **params):
    return fn(Tensor(x), **params).array


@each
def test_windows_by_loops(geometry):
    """The largest, its place, the sum and the patches of each window."""
    x = np.round(images(geometry.input_size), 1)  # with equal entries here and there
    y = transform(window.max_pool, x, geometry=geometry)
    places = window.positions(window.winners(x, y, geometry), geometry)
    sums = transform(window.add_up, x, geometry=geometry)
    columns = transform(window.unfold, x, geometry=geometry)
    columns = columns.reshape(2, 3, *geometry.kernel_size, *geometry.output_size)
    for oh, ow, found in pixels(geometry):
        patch = np.array([x[:, :, h, w] for _, _, h, w in found])
        first = np.array([h * geometry.input_size[1] + w for _, _, h, w in found])
        np.testing.assert_array_equal(y[:, :, oh, ow], patch.max(0))
        np.testing.assert_array_equal(places[:, :, oh, ow], first[patch.argmax(0)])
        np.testing.assert_allclose(sums[:, :, oh, ow], patch.sum(0), rtol=1e-12, atol=1e-14)
        expected = np.zeros((*geometry.kernel_size, 2, 3))
        for i, j, h, w in found:
            expected[i, j] = x[:, :, h, w]
        np.testing.assert_array_equal(columns[..., oh, ow], expected.transpose(2, 3, 0, 1))


@pytest.mark.parametrize("geometry", [g for g in GEOMETRIES if g.dilation == (1, 1)])
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_divisor_counts_pixels(geometry, count_include_pad):
    """Those of the window on the image, and on its frame of p if that counts."""
    (H, W), (p, q) = geometry.input_size, geometry.padding if count_include_pad else (0, 0)
    divisor = np.broadcast_to(window.divisor(geometry, count_include_pad), geometry.output_size)
    (s, t), (k, l), (top, left) = geometry.stride, geometry.kernel_size, geometry.padding
    for oh, ow in np.ndindex(geometry.output_size):
        rows = [h for h in range(s * oh - top, s * oh - top + k) if -p <= h < H + p]
        columns = [w for w in range(t * ow - left, t * ow - left + l) if -q <= w < W + q]
        assert divisor[oh, ow] == len(rows) * len(columns)


def test_divisor_is_a_number_where_all_are_alike():
    assert window.divisor(pooling("avg_pool2d", (6, 6), 2), True) == 4
    assert window.divisor(pooling("avg_pool2d", (6, 6), 3, 1, 1), True) == 9
    uneven = window.divisor(pooling("avg_pool2d", (3, 3), 2, ceil_mode=True), True)
    assert uneven.tolist() == [[4, 2], [2, 1]]


# ---------------------------------------------------------------- adjoints


def pairs(geometry):
    """A, Aᵀ, and the shapes of what they take."""
    n, c, k = 2, 3, geometry.kernel_size[0] * geometry.kernel_size[1]
    big, small = (n, c, *geometry.input_size), (n, c, *geometry.output_size)
    columns = n, c * k, small[2] * small[3]
    how = dict(geometry=geometry)
    x = images(geometry.input_size, 5)
    won = window.winners(x, window.max_pool.forward(x, **how), geometry)
    return [
        (window.add_up, window.spread, big, small, how),
        (window.unfold, window.fold, big, columns, how),
        (window.pick, window.place, big, small, dict(how, winners=won)),
    ]


@each
def test_each_is_the_others_transpose(geometry):
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩, of the primitives and of their rules"""
    rng = np.random.default_rng(1)
    for forth, back, big, small, how in pairs(geometry):
        x, y = rng.standard_normal(big), rng.standard_normal(small)
        left, right = (transform(forth, x, **how) * y).sum(), (x * transform(back, y, **how)).sum()
        assert abs(left - right) <= 1e-12 * np.linalg.norm(x) * np.linalg.norm(y)
        for fn, other, a, b in ((forth, back, x, y), (back, forth, y, x)):
            leaf = Tensor(a, requires_grad=True)
            (pulled,) = grad(fn(leaf, **how), leaf, Tensor(b))
            np.testing.assert_array_equal(pulled.array, transform(other, b, **how))


@each
def test_max_pool_is_pick_by_its_winners(geometry):
    x = images(geometry.input_size, 5)
    how = pairs(geometry)[2][-1]
    y = transform(window.max_pool, x, geometry=geometry)
    np.testing.assert_array_equal(y, transform(window.pick, x, **how))
    leaf, g = Tensor(x, requires_grad=True), images(geometry.output_size, 6)
    (pulled,) = grad(window.max_pool(leaf, geometry=geometry), leaf, Tensor(g))
    np.testing.assert_array_equal(pulled.array, transform(window.place, g, **how))


@each
def test_second_derivative_of_max_pool_is_pick(geometry):
    """The gradient is linear in g, with the winners fixed."""
    x = Tensor(images(geometry.input_size, 5), requires_grad=True)
    g = Tensor(images(geometry.output_size, 6), requires_grad=True)
    (first,) = grad(window.max_pool(x, geometry=geometry), x, g, create_graph=True)
    u = images(geometry.input_size, 7)
    (second,) = grad(first, g, Tensor(u))
    expected = transform(window.pick, u, **pairs(geometry)[2][-1])
    np.testing.assert_array_equal(second.array, expected)


# ---------------------------------------------------------------- ties, many taps, memory


def test_many_taps():
    """More than fit into a byte."""
    geometry = pooling("max_pool2d", (30, 30), 20, 5)
    x = images((30, 30), n=1, c=1)
    y = transform(window.max_pool, x, geometry=geometry)
    places = window.positions(window.winners(x, y, geometry), geometry)
    np.testing.assert_array_equal(x.ravel()[places.ravel()], y.ravel())
    assert places[0, 0, 2, 2] // 30 >= 10 and places[0, 0, 2, 2] % 30 >= 10


def test_order_of_memory_is_kept():
    """Images of which the channels come last in memory stay such."""
    x = np.ascontiguousarray(images((6, 6)).transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    geometry = pooling("max_pool2d", (6, 6), 2)
    won = window.winners(x, window.max_pool.forward(x, geometry=geometry), geometry)
    made = [
        window.max_pool.forward(x, geometry=geometry),
        window.add_up.forward(x, geometry=geometry),
        window.pick.forward(x, winners=won, geometry=geometry),
    ]
    made += [window.spread.forward(made[0], geometry=geometry)]
    made += [window.place.forward(made[0], winners=won, geometry=geometry)]
    for y in made:
        assert y.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("n, c", [(0, 3), (2, 0)])
def test_no_images_or_no_channels(n, c):
    geometry = pooling("max_pool2d", (4, 4), 2)
    for fn, back, shape in (
        (window.max_pool, None, (n, c, 2, 2)),
        (window.add_up, window.spread, (n, c, 2, 2)),
        (window.unfold, window.fold, (n, 4 * c, 4)),
    ):
        x = Tensor(np.zeros((n, c, 4, 4)), requires_grad=True)
        y = fn(x, geometry=geometry)
        assert y.shape == shape
        assert grad(y, x, Tensor(np.zeros(shape)))[0].shape == x.shape
        assert back is None or back(y, geometry=geometry).shape == x.shape


# ---------------------------------------------------------------- refusals

REFUSED = [
    (dict(kernel_size=3, padding=2), ArgumentError,
     "op: padding: got (2, 2); expected at most (1, 1), half of kernel (3, 3)"),
    (dict(kernel_size=(4, 2), padding=(2, 2)), ArgumentError, "expected at most (2, 1), half of"),
    (dict(kernel_size=2, padding="valid"), ArgumentError, "op: padding: got 'valid'; expected an"),
    (dict(kernel_size=2, padding=-1), ArgumentError, "op: padding: got -1; expected an integer"),
    (dict(kernel_size=2, stride=0), ArgumentError, "got 0; expected an integer of at least 1"),
    (dict(kernel_size=2, dilation=0), ArgumentError, "op: dilation: got 0; expected an integer"),
    (dict(kernel_size=6), ShapeError, "op: the kernel is larger than the padded input: got (6, 6)"),
    (dict(kernel_size=3, dilation=3), ShapeError, "op: the kernel is larger than the padded input"),
]  # fmt: skip


@pytest.mark.parametrize("setting, error, message", REFUSED, ids=[m[:40] for _, _, m in REFUSED])
def test_what_is_refused(setting, error, message):
    with pytest.raises(error) as caught:
        pooling("op", (5, 5), **setting)
    assert message in str(caught.value)


def test_a_window_must_see_a_pixel():
    """Its elements, d apart, must not all lie on the frame."""
    assert pooling("op", (2, 2), 2, 1, 1, 2).output_size == (2, 2)
    with pytest.raises(ShapeError, match="op: got a window without any pixel"):
        pooling("op", (2, 1), 2, 1, 1, 2)
