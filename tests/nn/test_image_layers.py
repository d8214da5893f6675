"""Layers for images: their printed form, attributes, state, initial values, and their functions."""

import copy
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.errors import ArgumentError, ShapeError
from minigrad.gradcheck import check_grads
from minigrad.nn import functional as F
from minigrad.ops.conv import im2col
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.parallel import Threads
from tests.nn.image_cases import wave

# What PyTorch 2.13 prints.
PRINTED = [
    (nn.Conv2d(3, 16, 3), "Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1))"),
    (
        nn.Conv2d(4, 6, (3, 2), [2, 1], 1, 2, 2, False),
        "Conv2d(4, 6, kernel_size=(3, 2), stride=(2, 1), padding=(1, 1), dilation=(2, 2), "
        "groups=2, bias=False)",
    ),
    (
        nn.Conv2d(3, 4, 3, padding="same"),
        "Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), padding=same)",
    ),
    (nn.ConvTranspose2d(3, 16, 4), "ConvTranspose2d(3, 16, kernel_size=(4, 4), stride=(1, 1))"),
    (
        nn.ConvTranspose2d(4, 4, 3, 2, 1, 1, 2, True, 2),
        "ConvTranspose2d(4, 4, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), "
        "dilation=(2, 2), output_padding=(1, 1), groups=2)",
    ),
    (
        nn.BatchNorm2d(3),
        "BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
    ),
    (
        nn.InstanceNorm2d(3),
        "InstanceNorm2d(3, eps=1e-05, momentum=0.1, affine=False, bias=False, "
        "track_running_stats=False)",
    ),
    (nn.Dropout2d(0.3), "Dropout2d(p=0.3, inplace=False)"),
    (nn.MaxPool2d(2), "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
    (
        nn.MaxPool2d((3, 2), 2, (1, 0), return_indices=True),
        "MaxPool2d(kernel_size=(3, 2), stride=2, padding=(1, 0), dilation=1, ceil_mode=False)",
    ),
    (nn.AvgPool2d(2), "AvgPool2d(kernel_size=2, stride=2, padding=0)"),
    (
        nn.AvgPool2d((3, 2), (2, 1), 1, True, False, 3),
        "AvgPool2d(kernel_size=(3, 2), stride=(2, 1), padding=1)",
    ),
    (nn.AdaptiveAvgPool2d((None, 3)), "AdaptiveAvgPool2d(output_size=(None, 3))"),
    (nn.Upsample(scale_factor=2), "Upsample(scale_factor=2.0, mode='nearest')"),
    (
        nn.Upsample(scale_factor=(2, 3.5), mode="bilinear"),
        "Upsample(scale_factor=(2.0, 3.5), mode='bilinear')",
    ),
    (nn.Upsample(3, mode="bilinear", align_corners=True), "Upsample(size=3, mode='bilinear')"),
    (nn.PixelShuffle(2), "PixelShuffle(upscale_factor=2)"),
    (nn.PixelUnshuffle(2), "PixelUnshuffle(downscale_factor=2)"),
    (nn.Unfold(2), "Unfold(kernel_size=2, dilation=1, padding=0, stride=1)"),
    (
        nn.Fold(4, (2, 2), padding=1),
        "Fold(output_size=4, kernel_size=(2, 2), dilation=1, padding=1, stride=1)",
    ),
    (nn.ZeroPad2d(2), "ZeroPad2d((2, 2, 2, 2))"),
    (nn.ZeroPad2d((1, 2, 3, 4)), "ZeroPad2d((1, 2, 3, 4))"),
]


@pytest.mark.parametrize("module, text", PRINTED, ids=[text for _, text in PRINTED])
def test_it_is_printed_as_pytorch_prints_it(module, text):
    assert repr(module) == text
    assert repr(copy.deepcopy(module)) == text


def test_lowering_is_printed_last():
    text = repr(nn.Conv2d(1, 1, 2, bias=False, lowering="matrix"))
    assert text.endswith("stride=(1, 1), bias=False, lowering='matrix')")


def leaf(*shape, seed=11):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


# ---------------------------------------------------------------- modules are their functions

FUNCTIONS = [
    (
        nn.BatchNorm2d(4, eps=0.1).double(),
        lambda x: F.batch_norm(x, None, None, training=True, eps=0.1),
    ),
    (nn.InstanceNorm2d(4, eps=0.1), lambda x: F.instance_norm(x, eps=0.1)),
    (nn.MaxPool2d(2), lambda x: F.max_pool2d(x, 2)),
    (nn.MaxPool2d(2, 3, 1, 1, False, True), lambda x: F.max_pool2d(x, 2, 3, 1, 1, True)),
    (nn.AvgPool2d(2), lambda x: F.avg_pool2d(x, 2)),
    (
        nn.AvgPool2d((3, 2), (2, 1), 1, True, False, 3),
        lambda x: F.avg_pool2d(x, (3, 2), (2, 1), 1, True, False, 3),
    ),
    (nn.AdaptiveAvgPool2d((None, 2)), lambda x: F.adaptive_avg_pool2d(x, (None, 2))),
    (nn.Upsample(scale_factor=2), lambda x: F.interpolate(x, scale_factor=2)),
    (
        nn.Upsample((7, 3), mode="bilinear", align_corners=True),
        lambda x: F.interpolate(x, (7, 3), mode="bilinear", align_corners=True),
    ),
    (
        nn.Upsample(scale_factor=1.7, recompute_scale_factor=True),
        lambda x: F.interpolate(x, scale_factor=1.7, recompute_scale_factor=True),
    ),
    (nn.PixelShuffle(2), lambda x: F.pixel_shuffle(x, 2)),
    (nn.PixelUnshuffle(2), lambda x: F.pixel_unshuffle(x, 2)),
    (nn.Unfold((2, 3), 1, (1, 0), 2), lambda x: F.unfold(x, (2, 3), 1, (1, 0), 2)),
    (nn.ZeroPad2d((1, 2, 0, -1)), lambda x: F.pad(x, (1, 2, 0, -1))),
]


@pytest.mark.parametrize("module, fn", FUNCTIONS, ids=[repr(m) for m, _ in FUNCTIONS])
def test_forward_is_the_function(module, fn):
    x = leaf(2, 4, 6, 6)
    assert module(x).tolist() == fn(x).tolist()


def test_fold_is_the_function():
    x = leaf(2, 8, 12)
    expected = F.fold(x, (5, 4), 2, 1, 0, 1)
    assert nn.Fold((5, 4), 2)(x).tolist() == expected.tolist()


def test_max_pool_returns_indices():
    x = leaf(2, 4, 6, 6)
    y, indices = nn.MaxPool2d(2, return_indices=True)(x)
    assert y.tolist() == x.flatten(2).array[
        np.arange(2)[:, None, None, None], np.arange(4)[:, None, None], indices.array
    ].tolist()  # fmt: skip


# ---------------------------------------------------------------- convolution


def test_conv2d_is_the_function_of_its_parameters():
    x = mg.randn(2, 4, 7, 6)
    conv = nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2)
    expected = F.conv2d(x, conv.weight, conv.bias, (2, 1), (1, 0), (1, 2), 2)
    assert conv(x).tolist() == expected.tolist()
    conv = nn.Conv2d(4, 6, 3, padding="same", bias=False)
    y = conv(x)
    assert y.tolist() == F.conv2d(x, conv.weight, padding="same").tolist()
    y.sum().backward()
    assert all(p.grad.shape == p.shape for p in conv.parameters())


def test_conv_transpose2d_is_the_function_of_its_parameters():
    x = mg.randn(2, 4, 3, 5)
    up = nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, True, (1, 2))
    expected = F.conv_transpose2d(x, up.weight, up.bias, (2, 3), (1, 0), (1, 2), 2, (1, 2))
    assert up(x).tolist() == expected.tolist()
    up = nn.ConvTranspose2d(4, 6, 2, stride=3, bias=False)
    y = up(x)
    assert y.tolist() == F.conv_transpose2d(x, up.weight, stride=3).tolist()
    y.sum().backward()
    assert all(p.grad.shape == p.shape for p in up.parameters())


def test_output_size_may_be_that_of_the_image_or_of_the_array():
    up = nn.ConvTranspose2d(2, 3, 2, stride=2)
    x = mg.randn(4, 2, 3, 3)
    assert up(x).shape == (4, 3, 6, 6)
    assert up(x, [7, 6]).shape == up(x, output_size=(4, 3, 7, 6)).shape == (4, 3, 7, 6)
    assert up(x[0], (3, 7, 6)).shape == (3, 7, 6)
    with pytest.raises(ArgumentError, match=r"output_size: got \(8, 6\); expected \(6, 6\) to "):
        up(x, (8, 6))


def test_attributes_are_pytorchs():
    conv = nn.Conv2d(4, 6, 3, 2, [1, 0], (1, 2), 2)
    names = "in_channels out_channels kernel_size stride padding dilation groups transposed"
    assert [getattr(conv, name) for name in names.split()] == [
        4, 6, (3, 3), (2, 2), (1, 0), (1, 2), 2, False,
    ]  # fmt: skip
    assert conv.padding_mode == "zeros" and conv.output_padding == (0, 0)
    assert conv.weight.shape == (6, 2, 3, 3) and conv.bias.shape == (6,)
    up = nn.ConvTranspose2d(4, 6, (3, 2), 3, output_padding=(2, 1), groups=2)
    assert up.weight.shape == (4, 3, 3, 2) and up.bias.shape == (6,)
    assert up.output_padding == (2, 1) and up.padding == (0, 0) and up.transposed
    assert nn.Conv2d(1, 1, 2, padding="valid").padding == "valid"
    pool = nn.MaxPool2d(3, padding=(1, 0))
    assert (pool.kernel_size, pool.stride, pool.padding) == (3, 3, (1, 0))


def test_state_is_pytorchs():
    for layer in (nn.Conv2d(1, 2, 3), nn.ConvTranspose2d(1, 2, 3)):
        assert list(layer.state_dict()) == ["weight", "bias"]
    assert list(nn.Conv2d(1, 2, 3, bias=False).state_dict()) == ["weight"]
    assert nn.Conv2d(1, 2, 3, bias=False).bias is None
    tracked = ["running_mean", "running_var", "num_batches_tracked"]
    assert list(nn.BatchNorm2d(2).state_dict()) == ["weight", "bias", *tracked]
    assert list(nn.InstanceNorm2d(2).state_dict()) == []
    assert list(nn.InstanceNorm2d(2, affine=True).state_dict()) == ["weight", "bias"]
    assert list(nn.InstanceNorm2d(2, track_running_stats=True).state_dict()) == tracked
    conv = nn.Conv2d(1, 2, 3, device="cpu", dtype=mg.float64)
    assert conv.weight.dtype == conv.bias.dtype == mg.float64


@pytest.mark.parametrize(
    "layer, fan_in",
    [(nn.Conv2d, 3 * 4 * 5), (nn.ConvTranspose2d, 60 * 4 * 5)],  # weight (120, 3, …), (6, 60, …)
)
def test_weights_begin_with_draws_as_wide_as_pytorchs(layer, fan_in):
    make = lambda: layer(6, 120, (4, 5), groups=2, generator=mg.Generator().manual_seed(0))
    conv, twin = make(), make()
    bound = 1 / math.sqrt(fan_in)
    for p in (conv.weight, conv.bias):
        draws = p.detach().numpy()
        assert 0.95 * bound < np.abs(draws).max() <= bound
        assert draws.std() == pytest.approx(bound / math.sqrt(3), rel=0.15)
    assert twin.weight.tolist() == conv.weight.tolist() and twin.bias.tolist() == conv.bias.tolist()
    conv.reset_parameters()
    assert twin.weight.tolist() != conv.weight.tolist()


@pytest.mark.parametrize("lowering", ["im2col", "matrix", "stretched"])
def test_layers_compute_by_the_lowering_they_are_given(lowering):
    """It is theirs, whatever the one in force; a wrong name is only known when it is needed."""
    x = mg.randn(2, 2, 5, 5)
    for layer in (nn.Conv2d, nn.ConvTranspose2d):
        one = layer(2, 3, 3, 2, 1, generator=mg.Generator().manual_seed(0))
        other = layer(2, 3, 3, 2, 1, lowering=lowering, generator=mg.Generator().manual_seed(0))
        np.testing.assert_allclose(other(x).array, one(x).array, rtol=1e-4, atol=1e-5)
        other.lowering = "fft"
        with pytest.raises(ArgumentError, match="lowering: got 'fft'"):
            other(x)


@pytest.mark.parametrize("module", [nn.Conv2d(2, 3, 3, 2, 1), nn.ConvTranspose2d(2, 3, 3, 2, 1)])
def test_derivatives_in_parameters_match_differences(module):
    module = module.double()

    def fn(x, weight, bias):
        module.weight.array, module.bias.array = weight.array, bias.array
        if isinstance(module, nn.Conv2d):
            return F.conv2d(x, weight, bias, module.stride, module.padding)
        return F.conv_transpose2d(x, weight, bias, module.stride, module.padding)

    check_grads(fn, leaf(2, 2, 5, 4), leaf(*module.weight.shape), leaf(3), order=2)


# ---------------------------------------------------------------- normalisation, dropout


def test_norms_track_as_pytorch_does():
    """After the layer has seen wave((2, 2, 3, 2), 0) and wave((2, 2, 3, 2), 1), in float64."""
    bn = nn.BatchNorm2d(2, dtype=mg.float64)
    norm = nn.InstanceNorm2d(2, affine=True, track_running_stats=True, dtype=mg.float64)
    for k in (0, 1):
        bn(Tensor(wave((2, 2, 3, 2), k)))
        norm(Tensor(wave((2, 2, 3, 2), k)))
    norm(Tensor(wave((2, 3, 2), 5)))  # and one image
    close = lambda x, expected: np.testing.assert_allclose(x.numpy(), expected, rtol=1e-11)
    close(bn.running_mean, [-0.0238360555806, 0.0407723115908])
    close(bn.running_var, [0.9217946348838, 0.8907448944023])
    close(norm.running_mean, [-0.0199142019310, -0.0040552514857])
    close(norm.running_var, [0.8839123928227, 0.8637303446463])
    assert int(bn.num_batches_tracked) == 2
    assert int(norm.num_batches_tracked) == 0  # PyTorch's instance norm does not count


def test_instance_norm_in_evaluation():
    """It uses what it tracked; if it tracks nothing, each image's own statistics as in training."""
    x = mg.randn(4, 3, 5, 5)
    norm = nn.InstanceNorm2d(3, track_running_stats=True)
    y = norm(x)
    expected = F.instance_norm(x, norm.running_mean, norm.running_var, use_input_stats=False)
    assert norm.eval()(x).tolist() == expected.tolist() != y.tolist()
    norm = nn.InstanceNorm2d(3)
    assert norm(x).tolist() == norm.eval()(x).tolist() == y.tolist()


@pytest.mark.parametrize(
    "module", [nn.BatchNorm2d(3), nn.InstanceNorm2d(3, affine=True), nn.InstanceNorm2d(3)]
)
def test_derivatives_of_norms_match_differences(module):
    check_grads(module.double(), leaf(2, 3, 2, 3), order=2)


def test_dropout2d_works_in_training_only():
    layer = nn.Dropout2d(0.5, generator=mg.Generator().manual_seed(0))
    x = mg.ones(20, 50, 2, 2)
    y = layer(x).array
    assert 400 < (y[..., 0, 0] == 0).sum() < 600
    assert (y == y[..., :1, :1]).all()
    assert layer.eval()(x) is x


# ---------------------------------------------------------------- refusals

REFUSED = [
    (lambda: nn.Conv2d(3, 4, 3, groups=3), ArgumentError,
     "Conv2d: groups: got 3; expected a divisor of in_channels 3 and of out_channels 4"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, groups=2), ArgumentError, "ConvTranspose2d: groups: got"),
    (lambda: nn.Conv2d(3, 4, 3, groups=0), ArgumentError,
     "Conv2d: groups: got 0; expected an integer of at least 1"),
    (lambda: nn.Conv2d("3", 4, 3), ArgumentError, "Conv2d: in_channels: got '3'; expected an in"),
    (lambda: nn.ConvTranspose2d(3, 4.0, 3), ArgumentError, "out_channels: got 4.0; expected an"),
    (lambda: nn.Conv2d(3, 4, 0), ArgumentError, "Conv2d: kernel_size: got 0; expected an integer"),
    (lambda: nn.Conv2d(3, 4, (3, 3, 3, 3)), ArgumentError,
     "Conv2d: kernel_size: got (3, 3, 3, 3); expected an integer, or a pair of them"),
    (lambda: nn.Conv2d(3, 4, 3, stride=1.5), ArgumentError, "Conv2d: stride: got 1.5; expected"),
    (lambda: nn.Conv2d(3, 4, 3, padding="full"), ArgumentError, "Conv2d: padding: got 'full'"),
    (lambda: nn.Conv2d(3, 4, 3, 2, "same"), ArgumentError, "Conv2d: padding: got 'same' with str"),
    (lambda: nn.Conv2d(3, 4, 3, padding_mode="reflect"), ArgumentError,
     "Conv2d: padding_mode: got 'reflect'; expected 'zeros'. Use F.pad before it"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="zero"), ArgumentError,
     "ConvTranspose2d: padding_mode: got 'zero'; expected 'zeros'"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, padding="same"), ArgumentError,
     "ConvTranspose2d: padding: got 'same'"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, 2, output_padding=2), ArgumentError,
     "ConvTranspose2d: output_padding: got (2, 2); expected (0, 0) to (1, 1), less than stride"),
    (lambda: nn.Conv2d(3, 16, 3, 2, 1)(mg.zeros(2, 4, 8, 8)), ShapeError,
     "conv2d: weight expects 3 input channels, x has 4: x (2, 4, 8, 8), weight (16, 3, 3, 3), "
     "stride (2, 2), padding (1, 1)"),
    (lambda: nn.BatchNorm2d(3)(mg.zeros(3, 4, 4)), ShapeError,
     "BatchNorm2d: got an input of shape (3, 4, 4); expected 4 axes"),
    (lambda: nn.InstanceNorm2d(3)(mg.zeros(1, 2, 4, 4)), ShapeError,
     "InstanceNorm2d: got an input of shape (1, 2, 4, 4); expected 3 channels"),
    (lambda: nn.InstanceNorm2d(3)(mg.zeros(4, 4)), ShapeError,
     "InstanceNorm2d: input: got shape (4, 4); expected images (N, C, H, W), or one (C, H, W)"),
    (lambda: nn.Dropout2d(1.5), ArgumentError, "Dropout2d: p: got 1.5; expected a probability"),
    (lambda: nn.ZeroPad2d((1, 2)), ArgumentError, "ZeroPad2d: padding: got (1, 2); expected a "),
    (lambda: nn.Upsample()(mg.zeros(1, 1, 2, 2)), ArgumentError, "expected one of them"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, message", REFUSED, ids=[m[:50] for _, _, m in REFUSED])
def test_what_is_refused(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
def test_kernels_stay_side_by_side_in_memory(layer):
    """The matrix of a convolution is a view of its weight, in training too; so is its gradient."""
    model = layer(6, 8, (4, 3), 2, groups=2)
    x, geometry = mg.randn(4, 6, 9, 9), ConvGeometry.direct((9, 9), (4, 3), 2, groups=2)
    model.load_state_dict(layer(6, 8, (4, 3), 2, groups=2).state_dict())
    model = copy.deepcopy(model)
    adam = mg.optim.Adam(model.parameters())
    for workers in (1, 2):
        with Threads(workers) as threads:
            model.zero_grad()
            threads.backward(lambda x: model(x).square().mean(), (x,), model.parameters())
        adam.step()
        for w in (model.weight.array, adam.state[model.weight]["exp_avg"]):
            assert np.shares_memory(w, im2col._kernels(w, geometry))
        assert model.weight.grad.array.strides == model.weight.array.strides
    model.zero_grad()
    model(x).sum().backward()
    assert model.weight.grad.array.strides == model.weight.array.strides
