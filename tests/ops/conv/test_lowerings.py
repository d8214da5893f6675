"""Three ways to compute three tasks: each against a loop nest, and all against each other."""

import numpy as np
import pytest
from hypothesis import given

from minigrad.errors import ArgumentError
from minigrad.ops.conv import im2col, matrix, stretched
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.ops.conv.primitives import LOWERINGS
from tests.ops.conv.cases import arrays, loop_nest, problems

TASKS = "conv", "conv_transpose", "weight_grad"
by_lowering = pytest.mark.parametrize("lowering", LOWERINGS)


def results(lowering: str, geometry: ConvGeometry, x, w, y) -> dict[str, np.ndarray]:
    module = LOWERINGS[lowering]
    inputs = {"conv": (x, w), "conv_transpose": (y, w), "weight_grad": (x, y)}
    return {task: getattr(module, task)(*inputs[task], geometry) for task in TASKS}


@by_lowering
@given(problem=problems())
def test_it_is_the_loop_nest(lowering, problem):
    x, w, y = arrays(*problem)
    expected = loop_nest(problem[0], x, w, y)
    for task, found in results(lowering, problem[0], x, w, y).items():
        assert found.shape == expected[task].shape
        np.testing.assert_allclose(found, expected[task], rtol=1e-12, atol=1e-12, err_msg=task)


def random_problem(generator: np.random.Generator):
    """A geometry of a size met in practice, and shapes for it."""
    while True:
        i, k, s, p, d = (generator.integers(*b, 2).tolist() for b in SIZES)
        reach = [d_ * (k_ - 1) + 1 for d_, k_ in zip(d, k, strict=True)]
        if all(r <= i_ + 2 * p_ for r, i_, p_ in zip(reach, i, p, strict=True)):
            break
    g, c, o, n = (int(m) for m in generator.integers(1, (4, 7, 6, 4)))
    geometry = ConvGeometry.direct(i, k, s, p, d, groups=g)
    return geometry, (n, g * c, *i), (g * o, c, *k)


SIZES = (1, 15), (1, 6), (1, 5), (0, 4), (1, 4)  # of i, k, s, p, d


def test_forward_and_backward_are_adjoint_and_all_ways_agree():
    """⟨C x, y⟩ = ⟨x, Cᵀ y⟩ = ⟨w, weight_grad(x, y)⟩ to 1e-12 on 600 geometries."""
    generator = np.random.default_rng(0)
    leftovers = 0
    for seed in range(600):
        problem = random_problem(generator)
        geometry = problem[0]
        leftovers += any(geometry.output_padding)
        x, w, y = arrays(*problem, seed)
        first = results("im2col", geometry, x, w, y)
        for lowering in LOWERINGS:
            found = results(lowering, geometry, x, w, y)
            size = np.linalg.norm(x) * np.linalg.norm(w) * np.linalg.norm(y)
            forms = np.vdot(found["conv"], y), np.vdot(found["conv_transpose"], x)
            forms = *forms, np.vdot(found["weight_grad"], w)
            assert max(forms) - min(forms) <= 1e-12 * size, (lowering, problem)
            for task in TASKS:
                gap = abs(found[task] - first[task]).max()
                assert gap <= 1e-12 * max(1.0, abs(first[task]).max()), (lowering, task, problem)
    assert leftovers > 200


@by_lowering
@pytest.mark.parametrize("channels", [2, 6])
def test_float32_stays_float32(lowering, channels):
    geometry = ConvGeometry.direct(7, 3, stride=2, padding=1)
    x, w, y = (
        a.astype(np.float32) for a in arrays(geometry, (2, channels, 7, 7), (3, channels, 3, 3))
    )
    exact = results(lowering, geometry, *(a.astype(float) for a in (x, w, y)))
    for task, found in results(lowering, geometry, x, w, y).items():
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, exact[task], rtol=1e-5, atol=1e-5)


@by_lowering
@pytest.mark.parametrize("channels", [2, 6])
def test_layout_of_memory_does_not_matter(lowering, channels):
    geometry = ConvGeometry.direct(7, 3, stride=2, padding=1)
    x, w, y = arrays(geometry, (2, channels, 7, 7), (3, channels, 3, 3))
    expected = results(lowering, geometry, x, w, y)
    last = [np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for a in (x, w, y)]
    turned = [np.ascontiguousarray(a[:, :, ::-1, ::-1])[:, :, ::-1, ::-1] for a in (x, w, y)]
    spread = [np.repeat(a, 2, axis=3)[..., ::2] for a in (x, w, y)]
    for layout in (last, turned, spread):
        for task, found in results(lowering, geometry, *layout).items():
            np.testing.assert_allclose(found, expected[task], rtol=1e-12, atol=1e-12)


@by_lowering
def test_a_batch_may_be_empty(lowering):
    geometry = ConvGeometry.direct(7, 3, stride=2, padding=1)
    x, w, y = arrays(geometry, (0, 6, 7, 7), (3, 6, 3, 3))
    found = results(lowering, geometry, x, w, y)
    assert found["conv"].shape == (0, 3, 4, 4) and found["conv_transpose"].shape == (0, 6, 7, 7)
    assert found["weight_grad"].shape == (3, 6, 3, 3) and not found["weight_grad"].any()


@by_lowering
def test_inputs_are_not_written_to(lowering):
    geometry = ConvGeometry.direct(7, 3, padding=1)
    inputs = arrays(geometry, (2, 6, 7, 7), (3, 6, 3, 3))
    copies = [a.copy() for a in inputs]
    for a in inputs:
        a.flags.writeable = False
    results(lowering, geometry, *inputs)
    for a, copy in zip(inputs, copies, strict=True):
        np.testing.assert_array_equal(a, copy)


# ---------------------------------------------------------------- im2col


def test_patches_are_rows():
    x = np.arange(2 * 3 * 3).reshape(1, 2, 3, 3)
    X = im2col.im2col(x, ConvGeometry.direct(3, kernel_size=2))
    assert X.shape == (1, 4, 8)
    #                     channels 0 and 1 of pixels (0, 0), (0, 1), (1, 0), (1, 1)
    assert sorted(X[0, 0]) == sorted([0, 9, 1, 10, 3, 12, 4, 13])


# ---------------------------------------------------------------- the matrix


@given(problem=problems())
def test_the_matrix_times_an_unrolled_image(problem):
    x, w, y = arrays(*problem)
    C = matrix.unroll(w, problem[0])
    for image, expected in zip(x, loop_nest(problem[0], x, w, y)["conv"], strict=True):
        np.testing.assert_allclose(C @ image.ravel(), expected.ravel(), rtol=1e-12, atol=1e-12)


def test_symbols_of_several_channels_and_groups():
    geometry = ConvGeometry.direct((1, 2), kernel_size=(1, 2), groups=2)
    C = matrix.conv2d_symbols(geometry, out_channels=2, in_channels=2)
    assert C.tolist() == [["w0000", "w0001", "·", "·"], ["·", "·", "w1000", "w1001"]]


def test_the_matrix_recovers_the_shape_and_not_the_values():
    w = np.random.default_rng(0).standard_normal((1, 1, 3, 3))
    C = matrix.unroll(w, ConvGeometry.direct(4, 3))
    assert C.shape == (4, 16) and (C.T @ C).shape == (16, 16)
    assert np.linalg.matrix_rank(C.T @ C) == 4


def test_a_matrix_too_large_is_refused_with_the_number():
    geometry = ConvGeometry.direct(128, kernel_size=3, padding=1)
    w = np.zeros((1, 1, 3, 3), np.float32)
    with pytest.raises(
        ArgumentError, match=r"16384 rows of 16384 columns, 1,074 MB of float32; .*"
    ):
        matrix.unroll(w, geometry)
    y = np.zeros((1, 1, 128, 128), np.float32)
    with pytest.raises(ArgumentError, match="Use lowering='im2col'"):
        matrix.weight_grad(y, y, geometry)


# ---------------------------------------------------------------- stretching

STRETCHED = [  # deck 000's figures: i', k, s, p → the frame p', the stretched and framed side
    (2, 3, 1, 0, 2, 6),
    (6, 4, 1, 2, 1, 8),
    (2, 3, 2, 0, 2, 7),
    (3, 3, 2, 1, 1, 7),
]


@pytest.mark.parametrize(("i", "k", "s", "p", "frame", "side"), STRETCHED)
def test_stretched_images_of_the_deck(i, k, s, p, frame, side):
    geometry = ConvGeometry.transposed(i, kernel_size=k, stride=s, padding=p)
    y = np.arange(1.0, i * i + 1).reshape(1, 1, i, i)
    found = stretched.stretch(y, geometry)
    assert found.shape == (1, 1, side, side)
    inner = slice(frame, frame + s * (i - 1) + 1, s)
    np.testing.assert_array_equal(found[:, :, inner, inner], y)
    assert np.count_nonzero(found) == i * i
    assert stretched.waste(geometry).pixels == pytest.approx(1 - i * i / side**2)


def test_the_kernel_is_turned_and_its_channels_exchanged():
    w = np.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    turned = im2col.turn(w, ConvGeometry.direct(4, 2))
    assert turned.shape == (3, 2, 2, 2)
    assert turned[2, 1].tolist() == w[1, 2, ::-1, ::-1].tolist()


def test_without_the_turn_it_is_wrong():
    geometry = ConvGeometry.transposed(3, kernel_size=3, stride=2, padding=1)
    _, w, y = arrays(geometry, (1, 1, 5, 5), (1, 1, 3, 3))
    right = stretched.conv_transpose(y, w, geometry)
    direct = ConvGeometry.direct(7, 3)
    unturned = im2col.conv(stretched.stretch(y, geometry), w.swapaxes(0, 1), direct)
    assert abs(right - unturned).max() > 0.5 * abs(right).max()


def test_the_share_of_zeros_is_most_of_it_at_stride_2():
    """Deck 000's "much less efficient" in numbers: of a large image three products in four."""
    waste = stretched.waste(ConvGeometry.transposed(64, kernel_size=4, stride=2, padding=1))
    assert 0.75 < waste.products < 0.76 and 0.75 < waste.pixels < 0.77
