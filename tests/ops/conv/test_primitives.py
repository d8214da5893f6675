"""The closed set: derivatives of orders 1 to 3, the ways to choose a lowering, what is refused."""

import contextlib
import threading

import numpy as np
import pytest
from hypothesis import given

import minigrad
from minigrad import Tensor
from minigrad.engine import grad, history
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.gradcheck import check_grads
from minigrad.ops.conv import im2col, matrix, primitives, stretched
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.ops.conv.primitives import (
    LOWERINGS,
    CrosscheckError,
    conv2d,
    conv2d_affine,
    conv2d_weight_grad,
    conv_transpose2d,
    conv_transpose2d_affine,
    crosscheck,
    lowering,
)
from tests.ops.conv.cases import arrays, problems

# A geometry with everything: leftovers, groups, an axis like no other; shapes of its x and w.
EVERYTHING = ConvGeometry.direct((5, 7), (2, 3), (3, 2), (1, 2), (2, 1), groups=2)
PROBLEM = EVERYTHING, (2, 4, 5, 7), (2, 2, 2, 3)
SET = {conv2d: (0, 1), conv_transpose2d: (2, 1), conv2d_weight_grad: (0, 2)}  # of (x, w, y)

by_lowering = pytest.mark.parametrize("name", LOWERINGS)
by_primitive = pytest.mark.parametrize("primitive", SET, ids=lambda p: p.name)


def tensors(problem=PROBLEM, seed: int = 0) -> list[Tensor]:
    """x, w and y, to be differentiated by."""
    return [Tensor(a, requires_grad=True) for a in arrays(*problem, seed)]


def inputs_of(primitive, problem=PROBLEM, seed: int = 0) -> list[Tensor]:
    made = tensors(problem, seed)
    return [made[i] for i in SET[primitive]]


# ---------------------------------------------------------------- derivatives


def test_both_rules_of_a_transposed_convolution_gather_the_patches_of_g_once(monkeypatch):
    gathered = []
    monkeypatch.setattr(
        im2col, "im2col", lambda x, g, f=im2col.im2col: (gathered.append(x), f(x, g))[1]
    )
    x, w, y = tensors()
    image = conv_transpose2d(y, w, geometry=EVERYTHING)
    grad(image, [y, w], x, retain_graph=True)
    assert len(gathered) == 1 and gathered[0] is x.array
    grad(image, [y, w], x)
    assert len(gathered) == 2


@by_lowering
@by_primitive
def test_derivatives_of_orders_1_to_3(primitive, name):
    fn = lambda a, b: primitive(a, b, geometry=EVERYTHING, lowering=name)
    assert EVERYTHING.output_padding == (1, 0)
    check_grads(fn, *inputs_of(primitive), order=3)


@by_lowering
@by_primitive
@given(problem=problems())
def test_derivatives_of_any_geometry(primitive, name, problem):
    """That of order 1 is linear in each input and of order 2 constant: one step tells it all."""
    a, b = inputs_of(primitive, problem)
    u, v = inputs_of(primitive, problem, seed=1)
    fn = lambda a, b: primitive(a, b, geometry=problem[0], lowering=name)
    y = fn(a, b)
    g = Tensor(np.random.default_rng(2).standard_normal(y.shape))
    ga, gb = grad(y, (a, b), g, create_graph=True)
    size = 1.0 + sum((z * z).sum().item() for z in (a, b, u, v, g))
    bilinear = lambda p, q: (fn(p, q) * g).sum().item()
    assert abs((ga * u).sum().item() - bilinear(u, b)) <= 1e-12 * size**1.5
    assert abs((gb * v).sum().item() - bilinear(a, v)) <= 1e-12 * size**1.5
    (second,) = grad((ga * u).sum(), (b,))
    assert abs((second * v).sum().item() - bilinear(u, v)) <= 1e-12 * size**1.5


@by_primitive
def test_derivatives_of_any_order_stay_in_the_set(primitive):
    a, b = inputs_of(primitive)
    found = primitive(a, b, geometry=EVERYTHING)
    for _ in range(3):
        g = Tensor(np.random.default_rng(0).standard_normal(found.shape), requires_grad=True)
        found = sum((z * z).sum() for z in grad(found, (a, b), g, create_graph=True))
    names = {y.primitive.name for y in history([found]) if "conv" in y.primitive.name}
    assert len(names) > 1 and names <= {p.name for p in SET}


def test_the_backward_pass_is_the_transposed_matrix():
    """Forward C, backward Cᵀ; and for the transposed convolution the other way round."""
    x, w, y = tensors((ConvGeometry.direct(5, 3, 2, 1), (1, 2, 5, 5), (3, 2, 3, 3)))
    geometry = ConvGeometry.direct(5, 3, 2, 1)
    C = matrix.unroll(w.array, geometry)
    (down,) = grad(conv2d(x, w, geometry=geometry), x, y)
    np.testing.assert_allclose(down.array.ravel(), C.T @ y.array.ravel(), rtol=1e-12, atol=1e-13)
    (up,) = grad(conv_transpose2d(y, w, geometry=geometry), y, x)
    np.testing.assert_allclose(up.array.ravel(), C @ x.array.ravel(), rtol=1e-12, atol=1e-13)


def test_only_what_is_needed_is_computed(monkeypatch):
    """A first layer does not compute the gradient of its images."""
    x, w, y = tensors()
    x = x.detach()
    out = conv2d(x, w, geometry=EVERYTHING)
    monkeypatch.setattr(LOWERINGS["im2col"], "conv_transpose", None)
    grad(out, w, y)


# ---------------------------------------------------------------- the bias


AFFINE = {conv2d_affine: conv2d, conv_transpose2d_affine: conv_transpose2d}


@pytest.mark.parametrize("fused", AFFINE, ids=lambda p: p.name)
def test_a_fused_bias_is_an_added_one(fused):
    product = AFFINE[fused]
    a, w = inputs_of(product)
    plain = product(a, w, geometry=EVERYTHING)
    bias = Tensor(np.random.default_rng(1).standard_normal(plain.shape[1]), requires_grad=True)
    fn = lambda a, w, bias: fused(a, w, bias, geometry=EVERYTHING)
    expected = plain + bias.reshape(-1, 1, 1)
    np.testing.assert_array_equal(fn(a, w, bias).array, expected.array)
    check_grads(fn, a, w, bias, order=2)


@pytest.mark.parametrize("fused", AFFINE, ids=lambda p: p.name)
def test_a_bias_of_another_length_is_refused(fused):
    a, w = inputs_of(AFFINE[fused])
    with pytest.raises(
        ShapeError, match=rf"^{fused.name}: bias: got shape \(3,\); expected \(\d,\)"
    ):
        fused(a, w, Tensor(np.zeros(3)), geometry=EVERYTHING)


# ---------------------------------------------------------------- choosing a lowering


def counted(monkeypatch, module) -> list[str]:
    """The names of the tasks that a lowering is asked for, as it happens."""
    calls = []
    for task in ("conv", "conv_transpose", "weight_grad"):
        real = getattr(module, task)
        seen = lambda *args, task=task, real=real: (calls.append(task), real(*args))[1]
        monkeypatch.setattr(module, task, seen)
    return calls


def test_a_lowering_holds_within_its_block(monkeypatch):
    calls = counted(monkeypatch, matrix)
    x, w, y = tensors()
    with minigrad.lowering("matrix"):
        out = conv2d(x, w, geometry=EVERYTHING)
        assert calls == ["conv"]
        conv2d(x, w, geometry=EVERYTHING, lowering="im2col")
        with lowering("im2col"):
            conv2d(x, w, geometry=EVERYTHING)
        assert calls == ["conv"]
        grad(out, (x, w), y)
        assert sorted(calls) == ["conv", "conv_transpose", "weight_grad"]
    with contextlib.suppress(KeyError), lowering("matrix"):
        raise KeyError
    conv2d(x, w, geometry=EVERYTHING)
    assert len(calls) == 3


def test_a_lowering_named_at_the_call_holds_for_its_derivatives(monkeypatch):
    calls = counted(monkeypatch, matrix)
    x, w, y = tensors()
    grad(conv2d(x, w, geometry=EVERYTHING, lowering="matrix"), (x, w), y)
    assert sorted(calls) == ["conv", "conv_transpose", "weight_grad"]


def test_a_lowering_holds_in_its_own_thread(monkeypatch):
    calls = counted(monkeypatch, matrix)
    x, w, _ = tensors()
    with lowering("matrix"):
        thread = threading.Thread(target=lambda: conv2d(x, w, geometry=EVERYTHING))
        thread.start()
        thread.join()
    assert calls == []


@pytest.mark.parametrize("choose", [lambda: lowering("fft"), lambda: conv(lowering="fft")])
def test_an_unknown_lowering_is_refused(choose):
    with pytest.raises(ArgumentError, match="got 'fft'; expected one of im2col, matrix, stretched"):
        choose()


def conv(**how):
    x, w, _ = tensors()
    return conv2d(x, w, geometry=EVERYTHING, **how)


# ---------------------------------------------------------------- crosscheck


@by_primitive
def test_crosscheck_runs_all_and_passes(primitive, monkeypatch):
    calls = [counted(monkeypatch, module) for module in LOWERINGS.values()]
    a, b = inputs_of(primitive)
    with minigrad.crosscheck():
        y = primitive(a, b, geometry=EVERYTHING)
        grad(y, (a, b), y.detach())
    for made in calls:
        assert {"conv", "conv_transpose", "weight_grad"} <= set(made)
    before = list(map(len, calls))
    primitive(a, b, geometry=EVERYTHING)
    assert [len(made) - n for made, n in zip(calls, before, strict=True)] == [1, 0, 0]


@by_primitive
@given(problem=problems())
def test_crosscheck_raises_no_false_alarm(primitive, problem):
    for dtype in (np.float64, np.float32):
        a, b = (Tensor(z.array.astype(dtype)) for z in inputs_of(primitive, problem))
        with crosscheck():
            primitive(a * 1e3, b, geometry=problem[0])


def test_crosscheck_sees_a_kernel_that_is_not_turned(monkeypatch):
    swapped = lambda w, geometry: w.swapaxes(0, 1)
    monkeypatch.setattr(stretched, "turn", swapped)
    geometry = ConvGeometry.direct(5, 3, padding=1)
    x, w, y = (Tensor(a) for a in arrays(geometry, (1, 2, 5, 5), (2, 2, 3, 3)))
    with crosscheck():
        conv2d(x, w, geometry=geometry)
        with pytest.raises(
            CrosscheckError, match="conv_transpose: .* between im2col and stretched"
        ):
            conv_transpose2d(y, w, geometry=geometry)


# ---------------------------------------------------------------- what is refused

SMALL = ConvGeometry.direct(8, 3, stride=2, padding=1)


def zeros(*shape: int, dtype=np.float32) -> Tensor:
    return Tensor(np.zeros(shape, dtype))


REFUSED = [
    (
        conv2d, (zeros(2, 4, 8, 8), zeros(16, 3, 3, 3)), SMALL, ShapeError,
        "conv2d: weight expects 3 input channels, x has 4: x (2, 4, 8, 8), weight (16, 3, 3, 3), "
        "stride (2, 2), padding (1, 1)",
    ),
    (
        conv_transpose2d, (zeros(2, 4, 4, 4), zeros(3, 16, 3, 3)), SMALL, ShapeError,
        "conv_transpose2d: weight expects 3 input channels, x has 4: x (2, 4, 4, 4), "
        "weight (3, 16, 3, 3), stride (2, 2), padding (1, 1)",
    ),
    (conv2d, (zeros(4, 8, 8), zeros(16, 3, 3, 3)), SMALL, ShapeError, "expected 4 axes each"),
    (conv2d, (zeros(1, 3, 8, 8), zeros(3, 3, 3)), SMALL, ShapeError, "expected 4 axes each"),
    (
        conv2d, (zeros(1, 3, 9, 8), zeros(2, 3, 3, 3)), SMALL, ShapeError,
        "conv2d: the geometry is of x (8, 8), weight (3, 3): x (1, 3, 9, 8)",
    ),
    (
        conv2d, (zeros(1, 4, 8, 8), zeros(3, 2, 3, 3)), ConvGeometry.direct(8, 3, groups=2),
        ShapeError, "2 groups do not divide the weight's 3 channels",
    ),
    (
        conv2d, (zeros(1, 3, 8, 8), zeros(2, 3, 3, 3, dtype=float)), SMALL, DTypeError,
        "conv2d: got float32 and float64; expected one type. Use .to(dtype)",
    ),
    (
        conv2d, (zeros(1, 3, 8, 8, dtype=int), zeros(2, 3, 3, 3, dtype=int)), SMALL, DTypeError,
        "conv2d: got int64; expected a float type. Use .float()",
    ),
    (
        conv2d_weight_grad, (zeros(1, 3, 8, 8), zeros(1, 2, 5, 4)), SMALL, ShapeError,
        "conv2d_weight_grad: got x (1, 3, 8, 8) and y (1, 2, 5, 4); expected what fits",
    ),
    (
        conv2d_weight_grad, (zeros(1, 3, 8, 8), zeros(2, 2, 4, 4)), SMALL, ShapeError,
        "conv2d_weight_grad: got x (1, 3, 8, 8) and y (2, 2, 4, 4); expected what fits",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("primitive", "inputs", "geometry", "error", "message"), REFUSED)
def test_what_does_not_fit_is_refused(primitive, inputs, geometry, error, message):
    with pytest.raises(error) as caught:
        primitive(*inputs, geometry=geometry)
    assert message in str(caught.value)
    assert str(caught.value).startswith(primitive.name)


# ---------------------------------------------------------------- C as a function of w


def test_the_matrix_is_differentiable():
    w = tensors()[1]
    fn = lambda w: matrix.conv2d_matrix(w, geometry=EVERYTHING)
    C = fn(w)
    assert C.shape == (2 * 2 * 5, 4 * 5 * 7) and C.shape[0] == 2 * 2 * 5
    check_grads(fn, w, order=2)


def test_the_matrix_of_the_kernel_of_a_matrix():
    """conv2d_kernel adds the copies of w that conv2d_matrix makes."""
    w = tensors()[1]
    ones = matrix.conv2d_matrix(w * 0.0 + 1.0, geometry=EVERYTHING)
    copies = matrix.conv2d_kernel(ones, geometry=EVERYTHING)
    again = matrix.conv2d_kernel(matrix.conv2d_matrix(w, geometry=EVERYTHING), geometry=EVERYTHING)
    np.testing.assert_allclose(again.array, (copies * w).array, rtol=1e-13)
    C = matrix.conv2d_matrix(w, geometry=EVERYTHING)
    check_grads(lambda C: matrix.conv2d_kernel(C, geometry=EVERYTHING), C.detach().requires_grad_())


def test_crosscheck_error_is_an_arithmetic_error():
    assert issubclass(primitives.CrosscheckError, ArithmeticError)
