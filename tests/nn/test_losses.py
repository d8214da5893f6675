"""Losses: PyTorch's numbers, derivatives of both orders, extremes, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import minigrad as mg
from minigrad import Tensor
from minigrad.engine import grad
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.gradcheck import check_grads
from minigrad.nn import functional as F

X = np.array([[0.5, -1.2, 3.0], [-0.3, 0.8, -2.5]])
P = 1 / (1 + np.exp(-X))
T = np.array([[0.1, 0.9, 0.4], [1.0, 0.0, 0.7]])
W = np.array([[1.0, 2.0, 0.5], [0.3, 1.5, 1.0]])
V, C = np.array([0.5, 2.0, 1.5]), np.array([2, 0])

# What PyTorch 2.13 answers for X (binary_cross_entropy: P), and its gradient there.
# `t` makes tensors of the element type that is tested.
# fmt: off
PYTORCH = {
    "mse": (lambda x, t: F.mse_loss(x, t(T)), 3.983333333333,
        [[0.1333333333333, -0.7, 0.8666666666667],
         [-0.4333333333333, 0.2666666666667, -1.066666666667]]),
    "mse sum": (lambda x, t: F.mse_loss(x, t(T), reduction="sum"), 23.9,
        [[0.8, -4.2, 5.2], [-2.6, 1.6, -6.4]]),
    "l1": (lambda x, t: F.l1_loss(x, t(T)), 1.733333333333,
        [[1 / 6, -1 / 6, 1 / 6], [-1 / 6, 1 / 6, -1 / 6]]),
    "smooth l1": (lambda x, t: F.smooth_l1_loss(x, t(T), beta=0.5), 1.485,
        [[0.1333333333333, -1 / 6, 1 / 6], [-1 / 6, 1 / 6, -1 / 6]]),
    "huber": (lambda x, t: F.huber_loss(x, t(T), reduction="sum", delta=1.5), 9.72,
        [[0.4, -1.5, 1.5], [-1.3, 0.8, -1.5]]),
    "kl": (lambda x, t: F.kl_div(x, t(T)), 0.1564547121836,
        [[-0.01666666666667, -0.15, -0.06666666666667],
         [-0.1666666666667, 0.0, -0.1166666666667]]),
    "kl of logarithms, batchmean": (
        lambda x, t: F.kl_div(x, t(T), reduction="batchmean", log_target=True), 5.011064496617,
        [[-0.5525854590378, -1.229801555578, -0.7459123488206],
         [-1.35914091423, -0.5, -1.006876353735]]),
    "bce logits": (lambda x, t: F.binary_cross_entropy_with_logits(x, t(T)), 1.328382074633,
        [[0.08707655520031, -0.1114207972498, 0.09209568780374],
         [-0.09574041946861, 0.1149957468546, -0.1040236366631]]),
    "bce logits sum": (
        lambda x, t: F.binary_cross_entropy_with_logits(x, t(T), reduction="sum"), 7.970292447801,
        [[0.5224593312019, -0.668524783499, 0.5525741268224],
         [-0.5744425168117, 0.6899744811276, -0.6241418199788]]),
    "bce logits weights": (
        lambda x, t: F.binary_cross_entropy_with_logits(x, t(T), t(W), pos_weight=t(V)),
        1.961050724781,
        [[0.09022272744029, -0.4533990295494, 0.04525741268224],
         [-0.01436106292029, 0.1724936202819, -0.1579319094952]]),
    "bce": (lambda x, t: F.binary_cross_entropy(x, t(T), t(W)), 1.396130483533,
        [[0.3705326796098, -1.252661936424, 1.01928394388],
         [-0.1174929403788, 0.8063852321231, -1.483853378818]]),
    "ce": (lambda x, t: F.cross_entropy(x, t(C)), 0.753641987155,
        [[0.03741065171565, 0.006834309692524, -0.04424496140817],
         [-0.3784924071486, 0.3650289820957, 0.01346342505294]]),
    "ce weight": (lambda x, t: F.cross_entropy(x, t(C), t(V)), 0.4231473082374,
        [[0.05611597757347, 0.01025146453879, -0.06636744211225],
         [-0.1892462035743, 0.1825144910478, 0.006731712526469]]),
    "ce sum": (lambda x, t: F.cross_entropy(x, t(C), t(V), reduction="sum"), 0.8462946164748,
        [[0.1122319551469, 0.02050292907757, -0.1327348842245],
         [-0.3784924071486, 0.3650289820957, 0.01346342505294]]),
    "ce smoothing": (lambda x, t: F.cross_entropy(x, t(C), label_smoothing=0.2), 1.013641987155,
        [[0.004077318382312, -0.02649902364081, 0.0224217052585],
         [-0.3118257404819, 0.3316956487623, -0.01986990828039]]),
    "ce weight smoothing": (
        lambda x, t: F.cross_entropy(x, t(C), t(V), label_smoothing=0.2), 0.8978223764979,
        [[0.03820228918295, -0.05664301245097, 0.01844072326802],
         [-0.1356616047657, 0.1766859880638, -0.04102438329804]]),
    "ce ignore": (
        lambda x, t: F.cross_entropy(x, t(C), t(V), ignore_index=0, label_smoothing=0.2),
        0.5194825708905,
        [[0.05093638557726, -0.07552401660129, 0.02458763102403], [0.0, 0.0, 0.0]]),
    "ce probabilities": (lambda x, t: F.cross_entropy(x, t(T), t(V)), 6.207338763284,
        [[0.06665609670333, -0.8832559412533, 0.81659984455],
         [-0.06166323108034, 0.5657949222483, -0.5041316911679]]),
    "ce probabilities smoothing": (
        lambda x, t: F.cross_entropy(x, t(T), label_smoothing=0.3), 3.452698034782,
        [[-0.03711436580397, -0.3562520835936, 0.3933664493975],
         [-0.2189536866514, 0.4938931833225, -0.2749394966711]]),
    "nll": (lambda x, t: F.nll_loss(x, t(C), t(V)), -2.175, [[0, 0, -0.75], [-0.25, 0, 0]]),
}
# fmt: on


@pytest.mark.parametrize("dtype, tolerance", [(mg.float64, 1e-11), (mg.float32, 1e-6)])
@pytest.mark.parametrize("name", PYTORCH)
def test_numbers_are_pytorchs(name, dtype, tolerance):
    fn, value, gradient = PYTORCH[name]
    x = mg.tensor(P if name == "bce" else X, dtype=dtype, requires_grad=True)
    y = fn(x, lambda a: mg.tensor(a, dtype=dtype if a.dtype.kind == "f" else None))
    y.backward()
    assert y.shape == () and y.dtype == x.grad.dtype == dtype
    assert y.item() == pytest.approx(value, rel=tolerance)
    np.testing.assert_allclose(x.grad.numpy(), gradient, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- derivatives

PAIRS = {
    "mse": (F.mse_loss, F.mse_loss_composed),
    "bce logits": (
        F.binary_cross_entropy_with_logits,
        F.binary_cross_entropy_with_logits_composed,
    ),
    "l1": (F.l1_loss,),
    "smooth l1": (F.smooth_l1_loss,),
    "huber": (F.huber_loss,),
    "kl": (F.kl_div,),
    "bce": (F.binary_cross_entropy,),
}
by_reduction = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


def pair(name, seed=11):
    """An input and a target, both leaves, away from kinks and from the ends of [0, 1]."""
    rng = np.random.default_rng(seed)
    x, t = rng.standard_normal((3, 4)), rng.uniform(0.1, 0.9, (3, 4))
    x = rng.uniform(0.1, 0.9, (3, 4)) if name == "bce" else x
    return Tensor(x, requires_grad=True), Tensor(t, requires_grad=True)


@by_reduction
@pytest.mark.parametrize("name", PAIRS)
def test_derivatives_in_input_and_target_match_differences(name, reduction):
    x, t = pair(name)
    fn = lambda x, t: PAIRS[name][0](x, t, reduction=reduction)
    check_grads(fn, x, t, order=2, expect_zero=name == "l1")


@pytest.mark.parametrize("loss", [F.smooth_l1_loss, F.huber_loss], ids=lambda f: f.__name__)
def test_where_they_meet_a_smooth_loss_is_a_parabola(loss):
    """Its second derivative is 1 there, though that of |x - t|² written as such would be 0."""
    x = mg.ones(3, dtype=mg.float64, requires_grad=True)
    (g,) = grad(loss(x, mg.ones(3, dtype=mg.float64), reduction="sum"), x, create_graph=True)
    assert g.tolist() == [0.0] * 3 and grad(g.sum(), x)[0].tolist() == [1.0] * 3


def test_weights_have_derivatives_too():
    x, t = pair("bce logits")
    weight = Tensor(np.array([1.5]), requires_grad=True)
    pos_weight = Tensor(np.array([1.0, 2.0, 0.5, 3.0]), requires_grad=True)
    fn = lambda x, t, w, p: F.binary_cross_entropy_with_logits(x, t, w, pos_weight=p)
    check_grads(fn, x, t, weight, pos_weight, order=2)


LOGITS = {"(C,)": (4,), "(N, C)": (3, 4), "(N, C, L)": (2, 4, 3), "(N, C, H, W)": (2, 4, 1, 2)}


@by_reduction
@pytest.mark.parametrize("shape", LOGITS.values(), ids=LOGITS)
def test_cross_entropy_is_differentiable_in_everything(shape, reduction):
    rng = np.random.default_rng(12)
    x = Tensor(rng.standard_normal(shape), requires_grad=True)
    weight = Tensor(rng.uniform(0.5, 2, 4), requires_grad=True)
    classes = Tensor(
        np.asarray(rng.integers(0, 4, shape[:1] + shape[2:] if len(shape) > 1 else ()))
    )
    options = dict(reduction=reduction, label_smoothing=0.2)
    check_grads(lambda x, w: F.cross_entropy(x, classes, w, **options), x, weight, order=2)
    t = Tensor(rng.uniform(0.1, 0.9, shape), requires_grad=True)
    check_grads(lambda x, t, w: F.cross_entropy(x, t, w, **options), x, t, weight, order=2)


@by_reduction
@pytest.mark.parametrize("name", ["mse", "bce logits"])
def test_fused_equals_composed_at_orders_0_1_and_2(name, reduction):
    answers = []
    for fn in PAIRS[name]:
        x, t = pair(name, 13)
        y = fn(x, t, reduction=reduction)
        v = Tensor(np.random.default_rng(14).standard_normal(y.shape), requires_grad=True)
        first = grad(y, (x, t), v.detach(), retain_graph=True)  # by the fast rules
        slopes = grad(y, (x, t), v, create_graph=True)
        second = grad((slopes[0] * T[:1, :1].item() + slopes[1].square()).sum(), (x, t, v))
        answers.append([a.detach().numpy() for a in (y, *first, *slopes, *second)])
    for one, other in zip(*answers, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


# ---------------------------------------------------------------- extremes


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
def test_logits_of_any_size_are_exact(dtype):
    x = mg.tensor([1e4, -1e4, 1e4, -1e4, 0.0, 40.0], dtype=dtype, requires_grad=True)
    t = mg.tensor([1.0, 0.0, 0.0, 1.0, 0.5, 1.0], dtype=dtype)
    with np.errstate(all="raise", under="ignore"):
        y = F.binary_cross_entropy_with_logits(x, t, reduction="none")
        y.sum().backward()
    expected = [0, 0, 1e4, 1e4, math.log(2), math.exp(-40)]
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), [0, 0, 1, -1, 0, 0], atol=1e-15)


@given(
    arrays.arrays(
        np.float32, 6, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    ),
    arrays.arrays(np.float32, 6, elements=st.floats(0, 1, width=32)),
)
def test_bce_with_logits_is_finite_everywhere(x, t):
    x = Tensor(x, requires_grad=True)
    y = F.binary_cross_entropy_with_logits(x, Tensor(t), reduction="none")
    y.backward(mg.ones(6))
    value, slope = y.detach().numpy(), x.grad.numpy()
    assert np.isfinite(value).all() and (value >= -1e-6 * np.abs(x.detach().numpy())).all()
    assert (np.abs(slope) <= 1).all()
    exact = 1 / (1 + np.exp(-np.clip(x.detach().numpy().astype(np.float64), -700, 700))) - t
    np.testing.assert_allclose(slope, exact, rtol=1e-6, atol=1e-7)


def test_certain_probabilities_have_bounded_logarithms():
    """PyTorch's bounds: ln ≥ -100, and a divisor of at least 1e-12 in the gradient."""
    p = mg.tensor([0.0, 1.0, 0.0, 1.0], dtype=mg.float64, requires_grad=True)
    t = mg.tensor([0.0, 1.0, 1.0, 0.0], dtype=mg.float64)
    y = F.binary_cross_entropy(p, t, reduction="none")
    y.sum().backward()
    assert y.tolist() == [0, 0, 100, 100]
    np.testing.assert_allclose(p.grad.numpy(), [0, 0, -1e12, 1e12])


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
def test_cross_entropy_of_far_logits(dtype):
    x = mg.tensor([[1e4, 0.0, -1e4]], dtype=dtype, requires_grad=True)
    for target, value in ((0, 0), (1, 1e4), (2, 2e4)):
        assert F.cross_entropy(x, mg.tensor([target])).item() == value
    F.cross_entropy(x, mg.tensor([2])).backward()
    assert x.grad.tolist() == [[1, 0, -1]]


def test_an_ignored_row_cannot_spoil_the_others():
    x = mg.tensor([[-math.inf, 0.0], [1.0, 2.0]], requires_grad=True)
    y = F.cross_entropy(x, mg.tensor([-100, 1]))
    y.backward()
    assert y.item() == pytest.approx(math.log1p(math.exp(-1)))
    assert x.grad.numpy()[0].tolist() == [0, 0]


def test_a_loss_of_many_float32_terms_is_accurate():
    x, t = mg.full((1000, 1000), 0.1), mg.zeros(1000, 1000)
    assert F.mse_loss(x, t).item() == pytest.approx(0.01, rel=1e-6)
    y = F.binary_cross_entropy_with_logits(x, t, reduction="sum").item()
    assert y == pytest.approx(1e6 * math.log1p(math.exp(0.1)), rel=1e-6)


def test_single_numbers_and_classes_of_any_integer_type():
    one = mg.tensor(1.0, requires_grad=True)
    for loss in (F.mse_loss, F.l1_loss, F.binary_cross_entropy, F.binary_cross_entropy_with_logits):
        assert loss(one, mg.tensor(0.5)).shape == ()
    for dtype in (mg.uint8, mg.int32, mg.int64):
        y = F.cross_entropy(mg.zeros(2, 4), mg.tensor([0, 3], dtype=dtype), reduction="none")
        np.testing.assert_allclose(y.numpy(), math.log(4), rtol=1e-6)


# ---------------------------------------------------------------- refusals

x23 = mg.ones(2, 3) * 0.5
two = mg.tensor([0, 2])
REFUSED = {
    "beta": (lambda: F.smooth_l1_loss(x23, x23, beta=-1.0), ArgumentError,
             "smooth_l1_loss: beta: got -1.0; expected at least 0"),
    "delta": (lambda: F.huber_loss(x23, x23, delta=0.0), ArgumentError,
              "huber_loss: delta: got 0.0; expected a positive number"),
    "batchmean": (lambda: F.mse_loss(x23, x23, reduction="batchmean"), ArgumentError,
                  "reduction: got 'batchmean'"),
    "reduction": (
        lambda: F.mse_loss(x23, x23, reduction="avg"), ArgumentError,
        "mse_loss: reduction: got 'avg'; expected 'mean', 'sum' or 'none'",
    ),
    "probability": (
        lambda: F.binary_cross_entropy(x23 * 3, x23), ArgumentError,
        "binary_cross_entropy: input: got 1.5; expected probabilities.*with_logits",
    ),
    "target probability": (
        lambda: F.binary_cross_entropy(x23, -x23), ArgumentError, "target: got -0.5",
    ),
    "probability NaN": (
        lambda: F.binary_cross_entropy(x23 * math.nan, x23), ArgumentError, "input: got nan",
    ),
    "weight": (
        lambda: F.binary_cross_entropy(x23, x23, mg.ones(2)), ShapeError, "do not broadcast",
    ),
    "wide weight": (
        lambda: F.binary_cross_entropy_with_logits(x23[0], x23[0], pos_weight=x23), ShapeError,
        r"pos_weight: got \(2, 3\); expected one within \(3,\)",
    ),
    "class": (
        lambda: F.cross_entropy(x23, mg.tensor([0, 3])), ArgumentError,
        "cross_entropy: got class 3 at row 1; expected 0 to 2, for 3 classes",
    ),
    "negative class": (
        lambda: F.nll_loss(x23, mg.tensor([-1, 0])), ArgumentError,
        "nll_loss: got class -1 at row 0",
    ),
    "all ignored": (
        lambda: F.cross_entropy(x23, two * 0 - 100), ArgumentError, "2 targets of no weight",
    ),
    "class shape": (
        lambda: F.cross_entropy(x23, mg.tensor([[0, 1]])), ShapeError,
        r"target: got \(1, 2\); expected \(2,\) for \(2, 3\)",
    ),
    "class bool": (
        lambda: F.cross_entropy(x23, mg.tensor([True, False])), DTypeError, "target: got bool",
    ),
    "nll of probabilities": (lambda: F.nll_loss(x23, x23), DTypeError, "expected class indices"),
    "class weight": (
        lambda: F.cross_entropy(x23, two, mg.ones(2)), ShapeError,
        r"weight: got \(2,\); expected \(3,\)",
    ),
    "class weight type": (
        lambda: F.cross_entropy(x23, two, mg.ones(3, dtype=mg.float64)), DTypeError,
        "weight: got float64; expected float32",
    ),
    "smoothing": (
        lambda: F.cross_entropy(x23, two, label_smoothing=1.5), ArgumentError, "got 1.5",
    ),
    "ignored probability": (
        lambda: F.cross_entropy(x23, x23, ignore_index=1), ArgumentError, "ignore_index: got 1",
    ),
    "logits int": (lambda: F.cross_entropy(two, mg.tensor(0)), DTypeError, "input: got int64"),
    "logits scalar": (
        lambda: F.cross_entropy(mg.ones(()), mg.tensor(0)), ShapeError, r"got shape \(\)",
    ),
    "array": (lambda: F.mse_loss(x23, np.ones((2, 3))), DTypeError, "target: got ndarray"),
    "class list": (lambda: F.cross_entropy(x23, [0, 1]), DTypeError, "target: got list"),
    "no classes": (
        lambda: F.cross_entropy(mg.ones(2, 0), two), ArgumentError, "cross_entropy: empty batch",
    ),
}  # fmt: skip


@pytest.mark.parametrize("call, error, message", REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


PAIRED = (
    F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.kl_div, F.binary_cross_entropy,
    F.binary_cross_entropy_with_logits,
)  # fmt: skip
by_loss = pytest.mark.parametrize("loss", [*PAIRED, F.cross_entropy], ids=lambda f: f.__name__)


@by_loss
@pytest.mark.parametrize("shapes", [((3, 1), (3,)), ((2, 3), (1, 3)), ((2, 3), (3, 2))])
def test_a_loss_does_not_broadcast(loss, shapes):
    x, t = (mg.ones(*shape) for shape in shapes)
    with pytest.raises(ShapeError) as caught:
        loss(x, t)
    assert loss.__name__ in str(caught.value)
    assert all(str(shape) in str(caught.value) for shape in shapes)


@by_loss
@by_reduction
def test_an_empty_batch_is_refused(loss, reduction):
    with pytest.raises(ArgumentError, match=rf"{loss.__name__}: empty batch: got shape \(0, 3\)"):
        loss(mg.ones(0, 3), mg.ones(0, 3), reduction=reduction)


@pytest.mark.parametrize("loss", PAIRED, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [mg.float64, mg.int64, mg.bool])
def test_two_element_types_are_refused(loss, dtype):
    with pytest.raises(DTypeError, match=f"{loss.__name__}.*float32 and a target of {dtype}"):
        loss(mg.ones(3), mg.ones(3, dtype=dtype))
