"""Functions of images: PyTorch's numbers at orders 0, 1 and 2, derivatives, memory, refusals."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad.engine import grad
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.gradcheck import check_grads
from minigrad.nn import functional as F
from minigrad.nn import fused
from tests.nn.image_cases import PYTORCH, wave


def along(x, k):
    """⟨x, wave⟩; 0 for a gradient that does not exist."""
    return 0.0 if x is None else float((x.array * wave(x.shape, k)).sum())


def numbers(fn, xs):
    """y, its gradient at a v, and the gradient of that one in all inputs and v: each ⟨·, wave⟩."""
    y = fn(F, *xs)
    v = Tensor(wave(y.shape, 5), requires_grad=True)
    first = grad(y, xs, v, create_graph=True)
    directions = [Tensor(wave(g.shape, 6)) for g in first]
    second = grad(first, [*xs, v], directions, allow_unused=True)
    return y.shape, [along(z, 7) for z in (y, *first, *second)]


every = pytest.mark.parametrize("name", PYTORCH)


def inputs(name, dtype=np.float64):
    shapes = PYTORCH[name][1]
    return [
        Tensor(wave(shape, k).astype(dtype), requires_grad=True) for k, shape in enumerate(shapes)
    ]


def gradients(fn, xs):
    y = fn(F, *xs)
    return [y.array, *(g.array for g in grad(y, xs, Tensor(wave(y.shape, 5).astype(y.dtype))))]


@every
def test_numbers_are_pytorchs(name):
    fn, _, shape, expected = PYTORCH[name]
    found_shape, found = numbers(fn, inputs(name))
    assert found_shape == shape
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@every
def test_derivatives_match_differences(name):
    fn = PYTORCH[name][0]
    check_grads(lambda *xs: fn(F, *xs), *inputs(name), order=2)


@every
def test_float32_stays_float32(name):
    fn = PYTORCH[name][0]
    exact = gradients(fn, inputs(name))
    for got, expected in zip(gradients(fn, inputs(name, np.float32)), exact, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def channels_last(x):
    return np.ascontiguousarray(np.moveaxis(x, 0, -1)).transpose(x.ndim - 1, *range(x.ndim - 1))


def backwards(x):
    return np.flip(np.flip(x).copy())


def every_other(x):
    wide = np.full([2 * n for n in x.shape], np.nan)
    wide[(slice(None, None, 2),) * x.ndim] = x
    return wide[(slice(None, None, 2),) * x.ndim]


@every
@pytest.mark.parametrize("layout", [channels_last, np.asfortranarray, backwards, every_other])
def test_layout_of_memory_does_not_matter(name, layout):
    fn = PYTORCH[name][0]
    plain = inputs(name)
    laid = [Tensor(layout(x.array), requires_grad=True) for x in plain]
    for got, expected in zip(gradients(fn, laid), gradients(fn, plain), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


IN_BATCHES = [n for n in PYTORCH if n != "batch_norm" and len(PYTORCH[n][1][0]) > 3]
IN_BATCHES += ["fold", "fold, all"]


@pytest.mark.parametrize("name", IN_BATCHES)
def test_a_batch_may_be_empty(name):
    """It stays one, and gradients of what does not depend on it are 0."""
    fn, shapes, shape, _ = PYTORCH[name]
    x, *others = inputs(name)
    x = Tensor(np.zeros((0, *shapes[0][1:])), requires_grad=True)
    y = fn(F, x, *others)
    assert y.shape == (0, *shape[1:])
    gx, *rest = grad(y, [x, *others], Tensor(np.zeros(y.shape)))
    assert gx.shape == x.shape and not any(g.array.any() for g in rest)


@pytest.mark.parametrize("name", [n for n in PYTORCH if n.endswith("one image")])
def test_one_image_is_a_batch_of_one(name):
    fn = PYTORCH[name][0]
    x, *others = inputs(name)
    np.testing.assert_array_equal(fn(F, x, *others).array, fn(F, x.unsqueeze(0), *others).array[0])


# ---------------------------------------------------------------- convolution


@pytest.mark.parametrize("lowering", ["im2col", "matrix", "stretched"])
@pytest.mark.parametrize("name", [n for n in PYTORCH if n.startswith("conv")])
def test_every_lowering_gives_pytorchs_numbers(name, lowering):
    fn, _, _, expected = PYTORCH[name]
    with mg.lowering(lowering), mg.crosscheck():
        np.testing.assert_allclose(numbers(fn, inputs(name))[1], expected, rtol=1e-10, atol=1e-10)


def test_lowering_is_passed_on():
    x, w = Tensor(wave((1, 1, 200, 200), 0)), Tensor(wave((1, 1, 3, 3), 1))
    for fn in (F.conv2d, F.conv_transpose2d):
        with pytest.raises(ArgumentError, match=r"conv2d_matrix: too large: got .* MB of float64"):
            fn(x, w, lowering="matrix")
        with pytest.raises(ArgumentError, match="lowering: got 'fft'; expected one of im2col, "):
            fn(x, w, lowering="fft")


def test_output_size_of_a_transposed_convolution():
    x, w = Tensor(wave((1, 2, 3, 3), 0)), Tensor(wave((2, 2, 3, 3), 1))
    by_size = F.conv_transpose2d(x, w, stride=3, output_size=(10, 11))
    by_padding = F.conv_transpose2d(x, w, stride=3, output_padding=(1, 2))
    np.testing.assert_array_equal(by_size.array, by_padding.array)
    with pytest.raises(ArgumentError, match=r"output_size: got \(9, 12\); expected \(9, 9\) to "):
        F.conv_transpose2d(x, w, stride=3, output_size=(9, 12))


# ---------------------------------------------------------------- pooling


def test_indices_of_the_largest_are_pytorchs():
    """F.max_pool2d(torch.tensor(x), 3, 2, 1, return_indices=True)[1], of the first among equals."""
    x = np.array([[[1, 1, 0, 2], [1, 1, 3, 2], [5, 3, 3, 3], [5, -1, 4, 4]]], float)
    y, indices = F.max_pool2d(Tensor(x), 3, 2, 1, return_indices=True)
    assert y.tolist() == [[[1.0, 3.0], [5.0, 4.0]]]
    assert indices.tolist() == [[[0, 6], [8, 14]]] and indices.dtype == mg.int64
    y, indices = F.max_pool2d(Tensor(x), 2, 1, 1, (3, 2), return_indices=True)
    assert indices.tolist() == [[[9, 8, 9, 10], [1, 12, 15, 14], [5, 6, 7, 6]]]


def test_gradient_goes_to_the_first_among_equals():
    x = Tensor(np.array([[[2.0, 2.0, 1.0, 1.0], [2.0, 0.0, 1.0, 1.0]]]), requires_grad=True)
    F.max_pool2d(x, 2).sum().backward()
    assert x.grad.tolist() == [[[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]


def test_a_nan_is_the_largest():
    x = np.array([[[1.0, np.nan, 2.0, -np.inf], [5.0, 0.0, -np.inf, -np.inf]]])
    x = Tensor(x, requires_grad=True)
    y = F.max_pool2d(x, (2, 2))
    np.testing.assert_array_equal(y.array, [[[np.nan, 2.0]]])
    y.sum().backward()
    assert x.grad.tolist() == [[[0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]
    assert F.max_pool2d(x[..., 3:], (2, 1)).tolist() == [[[-np.inf]]]


# ---------------------------------------------------------------- other sizes


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_a_constant_image_stays_constant(mode):
    x = Tensor(np.full((1, 1, 3, 5), 0.7))
    for size in ((1, 1), (2, 9), (7, 5)):
        np.testing.assert_allclose(F.interpolate(x, size, mode=mode).array, 0.7, rtol=1e-15)


def test_nearest_takes_any_numbers():
    """It computes nothing: integers and infinities stay what they are."""
    x = np.array([[[[1, 2, 3]]]], np.uint8)
    assert F.interpolate(Tensor(x), scale_factor=(1, 2)).tolist() == [[[[1, 1, 2, 2, 3, 3]]]]
    assert F.interpolate(Tensor(x), (1, 5)).tolist() == [[[[1, 1, 2, 2, 3]]]]
    x = Tensor(np.array([[[[np.inf, 0.0, -1.0]]]]))
    assert F.interpolate(x, (1, 4)).tolist() == [[[[np.inf, np.inf, 0.0, -1.0]]]]
    assert F.interpolate(x, (1, 6)).tolist() == [[[[np.inf, np.inf, 0.0, 0.0, -1.0, -1.0]]]]


def test_unshuffle_undoes_shuffle():
    x = Tensor(wave((2, 12, 3, 2), 0))
    np.testing.assert_array_equal(F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2).array, x.array)


def test_convolution_is_a_product_with_patches():
    """y = W unfold(x), as deck 000's matrix says"""
    x, w = Tensor(wave((2, 3, 6, 5), 0)), Tensor(wave((4, 3, 3, 2), 1))
    how = dict(dilation=(1, 2), padding=(1, 0), stride=(2, 1))
    patches = F.unfold(x, (3, 2), **how)
    y = (w.reshape(4, -1) @ patches).reshape(2, 4, 3, 3)
    np.testing.assert_allclose(F.conv2d(x, w, **how).array, y.array, rtol=1e-12)


# ---------------------------------------------------------------- normalisation, dropout


def test_instance_norm_moves_running_statistics_as_pytorch():
    """F.instance_norm(x, m, v, momentum=0.3), x = wave((2, 3, 3, 4), 0)"""
    x, m, v = Tensor(wave((2, 3, 3, 4), 0)), mg.zeros(3).double(), mg.ones(3).double()
    F.instance_norm(x, m, v, momentum=0.3)
    np.testing.assert_allclose(
        m.array, [-0.001792882012216, 0.02276645354865, -0.001761913269852], rtol=1e-10
    )
    np.testing.assert_allclose(
        v.array, [0.786975708765, 0.8610275484626, 0.8754420034375], rtol=1e-10
    )
    y = F.instance_norm(x, m, v, use_input_stats=False)
    assert along(y, 7) == pytest.approx(29.41326212081, rel=1e-10)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [np.asarray, channels_last])
def test_fused_batch_norm_equals_the_composed_one_at_orders_0_1_and_2(bias, layout):
    def derivatives(fn):
        x = Tensor(layout(wave((3, 2, 4, 5), 0)), requires_grad=True)
        w, b = (Tensor(wave((2,), k), requires_grad=True) for k in (1, 2))
        v, *u = (Tensor(wave(shape, 3)) for shape in (x.shape, x.shape, (2,), (2,)))
        v.requires_grad_()
        xs = [x, w, b] if bias else [x, w]
        y = fn(x, w, b if bias else None, moments=fused.Moments((0, 2, 3), 1e-3))
        fast = grad(y, xs, v, retain_graph=True)
        first = grad(y, xs, v, create_graph=True)
        second = grad(first, [*xs, v], u[: len(xs)], allow_unused=True)
        return [0.0 if z is None else z.array for z in (y, *fast, *first, *second)]

    found = derivatives(fused.batch_normalize)
    for one, other in zip(found, derivatives(fused.batch_normalize_composed), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "edit", [lambda v: v.mul_(2.0), lambda v: np.multiply(v.array, 2.0, v.array)]
)
def test_batch_norm_forgets_its_sums_when_the_incoming_gradient_was_edited(edit):
    """Through the tensor, or behind its back."""
    x, w, b = inputs("batch_norm")
    y = F.batch_norm(x, None, None, w, b, True)
    v = Tensor(wave(y.shape, 5))
    first = grad(y, [x, w, b], v, retain_graph=True)
    with mg.no_grad():
        edit(v)
    for one, two in zip(first, grad(y, [x, w, b], v), strict=True):
        np.testing.assert_allclose(two.array, 2.0 * one.array, rtol=1e-12)


def test_dropout2d_drops_channels():
    g = mg.Generator().manual_seed(1)
    x = Tensor(np.ones((50, 40, 2, 3)), requires_grad=True)
    y = F.dropout2d(x, 0.25, generator=g)
    np.testing.assert_allclose(np.unique(y.array), [0.0, 4 / 3], rtol=1e-15)
    y.sum().backward()
    assert (y.array == y.array[..., :1, :1]).all() and (x.grad.array == y.array).all()
    assert abs((y.array == 0).mean() - 0.25) < 0.04
    assert F.dropout2d(x, 0.5, training=False) is x and F.dropout2d(x, 0.0) is x
    assert not F.dropout2d(x, 1.0).array.any()


# ---------------------------------------------------------------- refusals

x, w = Tensor(np.zeros((2, 4, 8, 8))), Tensor(np.zeros((16, 3, 3, 3)))
t, one = Tensor(np.zeros((3, 16, 3, 3))), Tensor(np.zeros((1, 1, 4, 4)))
whole = Tensor(np.zeros((1, 1, 4, 4), int))

REFUSED = [
    (lambda: F.conv2d(x, w, stride=2, padding=1), ShapeError,
     "conv2d: weight expects 3 input channels, x has 4: x (2, 4, 8, 8), weight (16, 3, 3, 3), "
     "stride (2, 2), padding (1, 1)"),
    (lambda: F.conv_transpose2d(x, t), ShapeError,
     "conv_transpose2d: weight expects 3 input channels, x has 4: x (2, 4, 8, 8), "
     "weight (3, 16, 3, 3), stride (1, 1), padding (0, 0)"),
    (lambda: F.conv2d(x, w, groups=3), ShapeError, "3 groups do not divide the weight's 16"),
    (lambda: F.conv2d(x[:, :3], w, Tensor(np.zeros(3))), ShapeError,
     "conv2d: bias: got shape (3,); expected (16,) for weight (16, 3, 3, 3), groups 1"),
    (lambda: F.conv_transpose2d(x[:, :3], t, Tensor(np.zeros(3))), ShapeError,
     "conv_transpose2d: bias: got shape (3,); expected (16,)"),
    (lambda: F.conv2d(x[0, 0], w), ShapeError,
     "conv2d: input: got shape (8, 8); expected images (N, C, H, W), or one (C, H, W)"),
    (lambda: F.conv2d(x[:, :3], w.float()), DTypeError, "conv2d: got float64 and float32"),
    (lambda: F.conv2d(whole, whole), DTypeError, "conv2d: got int64; expected a float type"),
    (lambda: F.conv2d(one, w[:1, :1], stride=0), ArgumentError,
     "conv2d: stride: got 0; expected an integer of at least 1"),
    (lambda: F.conv2d(one, w[:1, :1], dilation=3), ShapeError,
     "conv2d: the kernel is larger than the padded input: got (7, 7) over (4, 4)"),
    (lambda: F.conv2d(one, w[:1, :1], padding="full"), ArgumentError, "conv2d: padding: got"),
    (lambda: F.conv2d(one, w[:1, :1], stride=2, padding="same"), ArgumentError,
     "conv2d: padding: got 'same' with stride (2, 2); expected stride 1"),
    (lambda: F.conv_transpose2d(one, one, stride=2, output_padding=2), ArgumentError,
     "conv_transpose2d: output_padding: got (2, 2); expected (0, 0) to (1, 1)"),
    (lambda: F.conv_transpose2d(one, one, padding=4), ShapeError,
     "conv_transpose2d: no output is left: got size (-1, -1)"),
    (lambda: F.max_pool2d(one, 3, padding=2), ArgumentError,
     "max_pool2d: padding: got (2, 2); expected at most (1, 1), half of kernel (3, 3)"),
    (lambda: F.avg_pool2d(one, 3, padding="same"), ArgumentError, "avg_pool2d: padding: got 'sam"),
    (lambda: F.max_pool2d(one, 0), ArgumentError, "max_pool2d: kernel_size: got 0; expected an in"),
    (lambda: F.max_pool2d(one, 5), ShapeError, "max_pool2d: the kernel is larger than"),
    (lambda: F.max_pool2d(one, (2, 2, 2)), ArgumentError, "max_pool2d: "),
    (lambda: F.max_pool2d(one[..., :1, :1], 2, 1, 1, 2), ShapeError,
     "max_pool2d: got a window without any pixel"),
    (lambda: F.max_pool2d(whole, 2), DTypeError, "max_pool2d: got int64; expected a float type"),
    (lambda: F.avg_pool2d(whole, 2), DTypeError, "avg_pool2d: got int64; expected a float type"),
    (lambda: F.avg_pool2d(one, 2, divisor_override=0), ArgumentError, "divisor_override: got 0"),
    (lambda: F.adaptive_avg_pool2d(one, (2, 0)), ArgumentError,
     "adaptive_avg_pool2d: output_size: got (2, 0) for images of (4, 4); expected integers"),
    (lambda: F.interpolate(one), ArgumentError,
     "interpolate: got size None and scale_factor None; expected one of them"),
    (lambda: F.interpolate(one, 2, 2), ArgumentError, "interpolate: got size 2 and scale_factor 2"),
    (lambda: F.interpolate(one, 2, mode="bicubic"), ArgumentError,
     "interpolate: mode: got 'bicubic'; expected 'nearest' or 'bilinear'"),
    (lambda: F.interpolate(one, 2, align_corners=True), ArgumentError, "align_corners: got it"),
    (lambda: F.interpolate(one, 2, recompute_scale_factor=True), ArgumentError,
     "interpolate: recompute_scale_factor: got it with size"),
    (lambda: F.interpolate(one, (2, 0)), ArgumentError, "interpolate: size: got (2, 0)"),
    (lambda: F.interpolate(one, scale_factor=-1.0), ArgumentError, "scale_factor: got (-1.0, -1."),
    (lambda: F.interpolate(one, scale_factor=0.1), ArgumentError,
     "interpolate: scale_factor: got 0.1 for images of (4, 4); expected at least a pixel"),
    (lambda: F.interpolate(one, 2.5), ArgumentError,
     "interpolate: size: got (2.5, 2.5); expected positive integers"),
    (lambda: F.interpolate(one, scale_factor="2"), ArgumentError,
     "interpolate: scale_factor: got ('2', '2'); expected positive numbers"),
    (lambda: F.interpolate(one[:, :, :0], 2), ShapeError,
     "interpolate: input: got shape (1, 1, 0, 4); expected (N, C, H, W), with some pixel"),
    (lambda: F.interpolate(one[0], 2), ShapeError, "got shape (1, 4, 4); expected (N, C, H, W)"),
    (lambda: F.interpolate(whole, 2, mode="bilinear"), DTypeError, "interpolate: got int64"),
    (lambda: F.pixel_shuffle(one, 2), ShapeError, "expected (…, C, H, W), C a multiple of 4"),
    (lambda: F.pixel_shuffle(one, 0), ArgumentError, "pixel_shuffle: upscale_factor: got 0"),
    (lambda: F.pixel_shuffle(one, 1.0), ArgumentError, "upscale_factor: got 1.0; expected an int"),
    (lambda: F.pixel_unshuffle(one, 3), ShapeError, "H and W multiples of downscale_factor, 3"),
    (lambda: F.pixel_unshuffle(one, 0), ArgumentError, "pixel_unshuffle: downscale_factor: got 0"),
    (lambda: F.unfold(one, 5), ShapeError, "unfold: the kernel is larger than the padded input"),
    (lambda: F.fold(Tensor(np.zeros((1, 4, 8))), 4, 2), ShapeError,
     "fold: input: got shape (1, 4, 8); expected (N, C · 4, 9), the patches of images (4, 4)"),
    (lambda: F.pad(one, (1, 1), "mirror"), ArgumentError, "pad: mode: got 'mirror'; expected"),
    (lambda: F.pad(one, (1, 1), "reflect", 1.0), ArgumentError, "pad: value: got 1.0 with mode"),
    (lambda: F.pad(one, (4, 1), "reflect"), ArgumentError,
     "pad: pad: got (4, 1) for an axis of 4 entries, of (1, 1, 4, 4); expected at most 3"),
    (lambda: F.pad(one, (1, 0, 0, 5), "circular"), ArgumentError, "expected at most 4 for mode"),
    (lambda: F.pad(one, (1, -1), "replicate"), ArgumentError, "two numbers, not negative, for"),
    (lambda: F.pad(one, 1), ArgumentError, "pad: pad: got (1,); expected two numbers for each"),
    (lambda: F.pad(one, (1.5, 1)), ArgumentError, "pad: pad: got (1.5, 1); expected integers"),
    (lambda: F.conv2d(x[:, :3], w.array), DTypeError, "conv2d: got Tensor, ndarray; expected"),
    (lambda: F.conv2d(x.array, w, w), DTypeError, "conv2d: got ndarray, Tensor, Tensor; expected"),
    (lambda: F.conv_transpose2d(x[:, :3], t, 0.5), DTypeError,
     "conv_transpose2d: got Tensor, Tensor, float; expected tensors. Use minigrad.tensor(...)"),
    (lambda: F.max_pool2d(x.array, 2), DTypeError, "max_pool2d: got ndarray; expected tensors"),
    (lambda: F.interpolate(x.array, 2), DTypeError, "interpolate: got ndarray; expected tensors"),
    (lambda: F.instance_norm(whole), DTypeError, "instance_norm: got int64; expected a float type"),
    (lambda: F.instance_norm(one[..., :1, :1]), ArgumentError, "at least 2 values per channel"),
    (lambda: F.instance_norm(one, weight=Tensor(np.ones(2))), ShapeError,
     "instance_norm: weight: got shape (2,); expected (1,) for (1, 1, 4, 4)"),
    (lambda: F.dropout2d(one[0, 0]), ShapeError, "dropout2d: input: got shape (4, 4)"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, message", REFUSED, ids=[m[:40] for _, _, m in REFUSED])
def test_what_is_refused(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
