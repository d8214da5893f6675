"""`nn.functional` but for the losses: PyTorch's numbers, derivatives, extremes, refusals."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad.engine import grad
from minigrad.errors import ArgumentError, DeviceError, DTypeError, ShapeError
from minigrad.gradcheck import check_grads
from minigrad.nn import functional as F
from minigrad.nn import fused

X = np.array([[0.5, -1.2, 3.0], [-0.3, 0.8, -2.5]])
G = np.array([[1.0, -2.0, 0.5], [0.7, -0.4, 1.5]])
W = np.array([[1.0, 2.0, 0.5], [0.3, 1.5, 1.0]])
V, B, M = np.array([0.5, 2.0, 1.5]), np.array([0.3, -0.1, 0.2]), np.array([0.2, 0.1, -0.4])

# What PyTorch 2.13 answers for X, and its gradient of ⟨G, y⟩ in X.
# fmt: off
PYTORCH = {
    "relu": (lambda x, t: F.relu(x, inplace=True),
        [[0.5, 0.0, 3.0], [0.0, 0.8, 0.0]],
        [[1.0, 0.0, 0.5], [0.0, -0.4, 0.0]]),
    "leaky_relu": (lambda x, t: F.leaky_relu(x, 0.2),
        [[0.5, -0.24, 3.0], [-0.06, 0.8, -0.5]],
        [[1.0, -0.4, 0.5], [0.14, -0.4, 0.3]]),
    "elu": (lambda x, t: F.elu(x, 0.5),
        [[0.5, -0.3494028940439, 3.0], [-0.1295908896591, 0.8, -0.4589575006881]],
        [[1.0, -0.3011942119122, 0.5], [0.2592863772386, -0.4, 0.06156374896792]]),
    "gelu": (lambda x, t: F.gelu(x),
        [[0.345731230637, -0.138083604266, 2.995950305905],
         [-0.1146265733433, 0.6305156811333, -0.01552416331444]],
        [[0.8674951246562, 0.2359071915163, 0.5059728236021],
         [0.187370563221, -0.4079591374503, -0.05641662886222]]),
    "gelu tanh": (lambda x, t: F.gelu(x, approximate="tanh"),
        [[0.3457140098251, -0.1382972308621, 2.996362607918],
         [-0.1146290764572, 0.6304316914364, -0.01508426609]],
        [[0.8673699035346, 0.2354522694662, 0.5057920833155],
         [0.1873931838528, -0.4078334924229, -0.056927364319]]),
    "silu": (lambda x, t: F.silu(x),
        [[0.3112296656009, -0.2777702598012, 2.857722380467],
         [-0.1276672449565, 0.5519795849021, -0.1896454500531]],
        [[0.7399611873027, -0.03600377544963, 0.5440520530076],
         [0.2465539927768, -0.3444408953375, -0.1491016670123]]),
    "softplus": (lambda x, t: F.softplus(x),
        [[0.9740769841801, 0.263282467338, 3.048587351574],
         [0.5543552444685, 1.171100665948, 0.07888973429255]],
        [[0.6224593312019, -0.462950433002, 0.4762870634112],
         [0.2978902382318, -0.275989792451, 0.1137872700319]]),
    "softplus beta": (lambda x, t: F.softplus(x, beta=2, threshold=1),
        [[0.6566308437591, 0.04341807607697, 3.0], [0.2187439752429, 0.8, 0.003357674244559]],
        [[0.73105857863, -0.1663453929878, 0.5], [0.2480405856419, -0.4, 0.01003927638643]]),
    "tanh": (lambda x, t: F.tanh(x),
        [[0.46211715726, -0.8336546070122, 0.9950547536867],
         [-0.2913126124516, 0.6640367702678, -0.9866142981514]],
        [[0.7864477329659, -0.6100399924148, 0.00493301858272],
         [0.6405958732786, -0.2236220670929, 0.03988834002474]]),
    "sigmoid": (lambda x, t: F.sigmoid(x),
        [[0.6224593312019, 0.231475216501, 0.9525741268224],
         [0.4255574831883, 0.6899744811276, 0.07585818002124]],
        [[0.2350037122016, -0.3557888812936, 0.02258832986546],
         [0.1711208181835, -0.08556387860812, 0.1051555748177]]),
    "logsigmoid": (lambda x, t: F.logsigmoid(x),
        [[-0.4740769841801, -1.463282467338, -0.04858735157374],
         [-0.8543552444685, -0.3711006659478, -2.578889734293]],
        [[0.3775406687981, -1.537049566998, 0.02371293658878],
         [0.4021097617682, -0.124010207549, 1.386212729968]]),
    "softmax": (lambda x, t: F.softmax(x, 1),
        [[0.07482130343129, 0.01366861938505, 0.9115100771837],
         [0.2430151857028, 0.7300579641913, 0.02692685010588]],
        [[0.03716829778831, -0.03421582253213, -0.002952475256173],
         [0.1899217821328, -0.2325071955197, 0.04258541338682]]),
    "log_softmax": (lambda x, t: F.log_softmax(x, dim=0),
        [[-0.3711006659478, -2.126928011043, -0.004078443270571],
         [-1.171100665948, -0.126928011043, -5.504078443271]],
        [[-0.1729566179169, -1.713912987147, -1.491859724568],
         [0.1729566179169, 1.713912987147, 1.491859724568]]),
    "normalize": (lambda x, t: F.normalize(x),
        [[0.1529259375517, -0.367022250124, 0.9175556253099],
         [-0.1135516746157, 0.3028044656418, -0.9462639551306]],
        [[0.2429076164291, -0.4606375293885, -0.2247396144936],
         [0.1953262330304, 0.03427156559556, -0.01247224697307]]),
    "normalize 1": (lambda x, t: F.normalize(x, p=1.0, dim=0),
        [[0.625, -0.6, 0.5454545454545], [-0.375, 0.4, -0.4545454545455]],
        [[0.796875, -0.48, 0.1652892561983], [1.328125, -0.72, 0.198347107438]]),
    "layer_norm": (lambda x, t: F.layer_norm(x, (3,), t(V), t(B)),
        [[0.2227045419351, -2.380216012913, 2.14204838388],
         [0.4336302659766, 2.038084255626, -1.80445398965]],
        [[0.9841960546314, -0.5858353491446, -0.3983607054868],
         [0.06247518793919, -0.04165619219225, -0.02081899574695]]),
    "batch_norm": (lambda x, t: F.batch_norm(x, None, None, t(V), t(B), training=True),
        [[0.7999843757324, -2.099990000075, 1.699999008265],
         [-0.1999843757324, 1.899990000075, -1.299999008265]],
        [[1.171765145302e-05, -1.599976000296e-05, -3.606303890788e-07],
         [-1.171765145302e-05, 1.599976000274e-05, 3.606303890788e-07]]),
    "batch_norm eval": (lambda x, t: F.batch_norm(x, t(M), t(V), t(V), t(B), eps=0.1),
        [[0.4936491673104, -1.89417045429, 4.231904016715],
         [-0.02274861218395, 0.8660917830793, -2.290293657383]],
        [[0.6454972243679, -2.760262237369, 0.5929270612816],
         [0.4518480570575, -0.5520524474739, 1.778781183845]]),
    "linear": (lambda x, t: F.linear(x, t(W), t(B[:2])),
        [[-0.1, 1.25], [0.35, -1.49]],
        [[0.4, -1.0, -1.5], [0.58, 0.8, -0.05]]),
}
# fmt: on


@pytest.mark.parametrize("dtype, tolerance", [(mg.float64, 1e-11), (mg.float32, 1e-6)])
@pytest.mark.parametrize("fn, value, gradient", PYTORCH.values(), ids=PYTORCH)
def test_numbers_are_pytorchs(fn, value, gradient, dtype, tolerance):
    x = mg.tensor(X, dtype=dtype, requires_grad=True)
    y = fn(x, lambda a: mg.tensor(a, dtype=dtype))
    (g,) = grad(y, x, mg.tensor(G[:, : y.shape[1]], dtype=dtype))
    assert y.dtype == g.dtype == dtype
    np.testing.assert_allclose(y.detach().numpy(), value, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(g.numpy(), gradient, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- derivatives


def leaves(*shapes, seed=11):
    rng = np.random.default_rng(seed)
    return [mg.tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]


def trained(x, weight=None, bias=None):
    return F.batch_norm(x, None, None, weight, bias, training=True)


DIFFERENTIABLE = {
    "relu": (F.relu, (3, 4)),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.3), (3, 4)),
    "elu": (lambda x: F.elu(x, 1.5), (3, 4)),
    "gelu": (F.gelu, (3, 4)),
    "gelu tanh": (lambda x: F.gelu(x, "tanh"), (3, 4)),
    "silu": (F.silu, (3, 4)),
    "softplus": (lambda x: F.softplus(x, 3.0, 1.0), (3, 4)),
    "tanh": (F.tanh, (3, 4)),
    "sigmoid": (F.sigmoid, (3, 4)),
    "logsigmoid": (F.logsigmoid, (3, 4)),
    "softmax": (lambda x: F.softmax(x, -1), (3, 4)),
    "log_softmax": (lambda x: F.log_softmax(x, 0), (3, 4)),
    "normalize": (F.normalize, (3, 4)),
    "pad": (lambda x: F.pad(x, (1, -1, 0, 2)), (3, 4)),
    "linear": (F.linear, (2, 3, 4), (5, 4), (5,)),
    "batch_norm": (trained, (5, 3), (3,), (3,)),
    "batch_norm (N, C, L)": (trained, (4, 2, 3), (2,), (2,)),
    "batch_norm (N, C, H, W)": (trained, (2, 2, 3, 2), (2,), (2,)),
    "batch_norm, no weight": (lambda x, b: trained(x, None, b), (5, 3), (3,)),
    "batch_norm, no bias": (trained, (5, 3), (3,)),
    "batch_norm, bare": (trained, (5, 3)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, 4, w, b), (3, 4), (4,), (4,)),
    "layer_norm, two axes": (
        lambda x, w, b: F.layer_norm(x, (3, 4), w, b), (2, 3, 4), (3, 4), (3, 4),
    ),
    "layer_norm, all axes": (lambda x, w, b: F.layer_norm(x, 4, w, b), (4,), (4,), (4,)),
    "layer_norm, bare": (lambda x: F.layer_norm(x, (4,)), (3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("fn, shapes", [(f, s) for f, *s in DIFFERENTIABLE.values()],
                         ids=DIFFERENTIABLE)  # fmt: skip
def test_first_and_second_derivative_match_differences(fn, shapes):
    check_grads(fn, *leaves(*shapes), order=2)


def test_eval_batch_norm_is_differentiable_in_what_it_is_given():
    mean, var = Tensor(M), Tensor(V)
    fn = lambda x, w, b: F.batch_norm(x, mean, var, w, b)
    check_grads(fn, *leaves((2, 3), (3,), (3,)), order=2)


def images(*shape, nhwc=False):
    a = np.random.default_rng(1).standard_normal(shape)
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if nhwc else a


def standardize(fn, *axes):
    return lambda x: fn(x, moments=fused.Moments(axes, 1e-3))


def rescale(fn, *axes):
    return lambda *xs: fn(*xs, axes=axes)


# name: (what makes the fused and the composed function, its arguments), inputs
TWINS = {
    "standardize channels": (standardize, (0,), images(6, 3)),
    "standardize rows": (standardize, (1,), images(6, 3)),
    "standardize images": (standardize, (0, 2, 3), images(3, 2, 4, 5)),
    "standardize NHWC images": (standardize, (0, 2, 3), images(3, 2, 4, 5, nhwc=True)),
    "standardize each image": (standardize, (2, 3), images(3, 2, 4, 5)),
    "rescale channels": (rescale, (0,), images(6, 3), V, B),
    "rescale NHWC images": (rescale, (0, 2, 3), images(2, 3, 4, 5, nhwc=True), V, B),
    "rescale rows": (rescale, (0,), images(6, 3), V, B),
    "rescale, no bias": (rescale, (0,), images(6, 3), V, None),
    "rescale one": (rescale, (), images(3), V, B),
}


@pytest.mark.parametrize("make, axes, arrays", [(m, a, xs) for m, a, *xs in TWINS.values()],
                         ids=TWINS)  # fmt: skip
def test_fused_equals_composed_at_orders_0_1_and_2(make, axes, arrays):
    pairs = {
        standardize: (fused.standardize, fused.standardize_composed),
        rescale: (fused.scale_and_shift, fused.scale_and_shift_composed),
    }
    answers = [derivatives(make(fn, *axes), arrays) for fn in pairs[make]]
    for one, other in zip(*answers, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


def derivatives(fn, arrays):
    """The value, the gradients by the fast rules, and a gradient of theirs, as arrays."""
    rng = np.random.default_rng(5)
    xs = [a if a is None else Tensor(a, requires_grad=True) for a in arrays]
    leaves = [x for x in xs if x is not None]
    y = fn(*xs)
    v = Tensor(rng.standard_normal(y.shape), requires_grad=True)
    first = grad(y, leaves, v.detach(), retain_graph=True)
    slopes = grad(y, leaves, v, create_graph=True)
    total = sum((g * Tensor(rng.standard_normal(g.shape))).sum() for g in slopes)
    second = grad(total, [*leaves, v], allow_unused=True)
    return [a.detach().numpy() for a in (y, *first, *slopes, *second) if a is not None]


def test_a_rule_gives_the_derivative_in_its_own_input_alone():
    """Where one input is computed from another, the twin must not follow that path too."""
    x = mg.tensor([0.3, -1.0, 2.0], dtype=mg.float64, requires_grad=True)

    def slope(create_graph):
        y = F.mse_loss(x, x * x, reduction="sum")
        return grad(y, x, create_graph=create_graph)[0].detach().numpy()

    np.testing.assert_allclose(slope(True), slope(False), rtol=1e-14)
    check_grads(lambda x: F.mse_loss(x, x * x), x, order=2)


# ---------------------------------------------------------------- batch norm at its extremes


def test_running_statistics_follow_pytorchs():
    mean, var = mg.zeros(3, dtype=mg.float64), mg.ones(3, dtype=mg.float64)
    for x in (X, 2 * X + 1):
        F.batch_norm(Tensor(x), mean, var, training=True)
    np.testing.assert_allclose(mean.numpy(), [0.129, 0.042, 0.1725], rtol=1e-12)
    np.testing.assert_allclose(var.numpy(), [0.9668, 1.79, 8.22125], rtol=1e-12)


def test_evaluation_leaves_the_running_statistics_alone():
    mean, var = Tensor(M.copy()), Tensor(V.copy())
    F.batch_norm(Tensor(X), mean, var)
    assert (mean.numpy() == M).all() and (var.numpy() == V).all()


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e4, 1e30])
def test_constant_batch_gives_beta_and_finite_gradients(value, dtype):
    x = mg.full((8, 2, 3), value, dtype=dtype, requires_grad=True)
    weight, bias = mg.ones(2, dtype=dtype, requires_grad=True), mg.tensor([1.0, 2.0], dtype=dtype)
    y = trained(x, weight, bias)
    # The mean of equal numbers may be off by its last digit, which 1/√eps enlarges.
    slack = 1e3 * abs(value) * np.finfo(dtype).eps
    if value < 1e30:
        np.testing.assert_allclose(y.detach().numpy(), np.ones((8, 2, 3)) * [[1], [2]], atol=slack)
    (y * mg.randn(8, 2, 3, dtype=dtype)).sum().backward()
    assert np.isfinite(x.grad.numpy()).all() and np.isfinite(weight.grad.numpy()).all()


def test_variance_of_large_numbers_in_float32():
    """E[x²] - E[x]² would be off by several units, and may be negative."""
    x = (1e4 + np.random.default_rng(0).standard_normal((64, 2, 10, 10))).astype(np.float32)
    var = mg.zeros(2)
    F.batch_norm(Tensor(x), None, var, training=True, momentum=1.0)
    exact = x.astype(np.float64).var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(var.numpy(), exact, rtol=1e-6)


@pytest.mark.parametrize("nhwc", [False, True])
def test_a_million_terms_per_channel_are_added_accurately(nhwc):
    """The gradient of β, the plain sum of g; of γ, that of g x̂; and the running mean."""
    x = np.abs(images(100, 2, 100, 100, nhwc=nhwc)).astype(np.float32)
    weight, bias, mean = (
        mg.ones(2, requires_grad=True),
        mg.zeros(2, requires_grad=True),
        mg.zeros(2),
    )
    y = F.batch_norm(Tensor(x), mean, None, weight, bias, training=True, momentum=1.0)
    y.backward(mg.full(y.shape, 0.1))
    wide = x.astype(np.float64)
    np.testing.assert_allclose(bias.grad.numpy(), [1e5, 1e5], rtol=1e-6)
    np.testing.assert_allclose(mean.numpy(), wide.mean((0, 2, 3)), rtol=1e-6)
    products = fused.sum_product(x, x, (0, 2, 3))
    np.testing.assert_allclose(products, (wide * wide).sum((0, 2, 3)), rtol=1e-6)
    assert products.dtype == np.float32


# ---------------------------------------------------------------- dropout


def test_dropout_keeps_the_mean_and_drops_a_share_p():
    x = mg.ones(100_000, requires_grad=True)
    y = F.dropout(x, 0.3, generator=mg.Generator().manual_seed(0))
    kept = y.detach().numpy()
    assert set(np.unique(kept)) == {0, np.float32(1 / 0.7)}
    sigma = np.sqrt(0.3 / 0.7 / x.numel())
    assert abs(kept.mean(dtype=np.float64) - 1) < 5 * sigma
    y.sum().backward()
    assert (x.grad.numpy() == kept).all()


def test_dropout_at_its_ends():
    x = mg.randn(5, requires_grad=True)
    assert F.dropout(x, 0.0) is x
    assert F.dropout(x, 0.7, training=False) is x
    y = F.dropout(x, 1.0)
    assert not y.detach().numpy().any()
    assert not grad(y.sum(), x)[0].numpy().any()


def test_dropout_is_reproduced_by_its_generator():
    x = mg.ones(50, dtype=mg.float64)
    one, two = (F.dropout(x, generator=mg.Generator().manual_seed(3)) for _ in range(2))
    assert one.dtype == mg.float64
    assert one.tolist() == two.tolist()


# ---------------------------------------------------------------- rearranging, and the rest


@pytest.mark.parametrize(
    "widths, value, expected",
    [
        ((1, 2), 0.0, [[0, 1, 2, 3, 0, 0], [0, 4, 5, 6, 0, 0]]),
        ((0, 0, 1, 0), 7.0, [[7, 7, 7], [1, 2, 3], [4, 5, 6]]),
        ((-1, 1, 0, -1), 9.0, [[2, 3, 9]]),
        ((-2, -1), None, [[], []]),
        ((0, 0), 5.0, [[1, 2, 3], [4, 5, 6]]),
    ],
)
def test_pad(widths, value, expected):
    x = mg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert F.pad(x, widths, value=value).tolist() == expected


def test_one_hot():
    y = F.one_hot(mg.tensor([[0, 2], [1, 1]]))
    assert y.dtype == mg.int64
    assert y.tolist() == [[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]]]


def test_normalize_of_zero_is_zero_with_a_finite_gradient():
    x = mg.zeros(1, 3, requires_grad=True)
    y = F.normalize(x)
    y.sum().backward()
    assert y.tolist() == [[0, 0, 0]] and np.isfinite(x.grad.numpy()).all()


def test_softmax_casts_first():
    assert F.softmax(mg.tensor([1, 1]), 0, dtype=mg.float64).dtype == mg.float64
    assert F.log_softmax(mg.tensor([1.0]), 0, mg.float64).dtype == mg.float64


def test_nothing_is_done_in_place():
    x = mg.tensor([-1.0, 1.0])
    for fn in (F.relu, F.leaky_relu, F.elu, F.silu):
        fn(x, inplace=True)
    F.dropout(x, inplace=True)
    assert x.tolist() == [-1, 1]


x23 = mg.ones(2, 3)
REFUSED = {
    "dropout p": (lambda: F.dropout(x23, 1.5), ArgumentError, "dropout: p: got 1.5; expected"),
    "dropout p NaN": (lambda: F.dropout(x23, float("nan")), ArgumentError, "got nan"),
    "generator elsewhere": (
        lambda: F.dropout(mg.ones(1), generator=type("G", (), {"device": "mars"})()),
        DeviceError, "mars",
    ),
    "batch norm of a vector": (
        lambda: F.batch_norm(mg.ones(3), None, None, training=True),
        ShapeError, r"batch_norm: input: got shape \(3,\); expected \(N, C\)",
    ),
    "batch norm of one": (
        lambda: trained(mg.ones(1, 3)), ArgumentError, r"got 1, in an input of shape \(1, 3\)",
    ),
    "batch norm of none": (lambda: trained(mg.ones(0, 3)), ArgumentError, "channel: got 0"),
    "batch norm of no channel": (lambda: trained(mg.ones(4, 0)), ArgumentError, "channel: got 0"),
    "batch norm without running": (
        lambda: F.batch_norm(x23, None, mg.ones(3)), ArgumentError, "no running_mean",
    ),
    "batch norm weight": (
        lambda: trained(x23, mg.ones(2)), ShapeError, r"weight: got shape \(2,\); expected \(3,\)",
    ),
    "batch norm running": (
        lambda: F.batch_norm(x23, mg.ones(4), mg.ones(3)), ShapeError, "running_mean",
    ),
    "batch norm types": (
        lambda: trained(x23, mg.ones(3, dtype=mg.float64)), DTypeError, "weight: got float64",
    ),
    "layer norm shape": (
        lambda: F.layer_norm(x23, 2), ShapeError, r"shape \(2, 3\); expected it to end in \(2,\)",
    ),
    "layer norm no axes": (lambda: F.layer_norm(x23, ()), ShapeError, "expected it to end in"),
    "layer norm bias": (
        lambda: F.layer_norm(x23, 3, None, mg.ones(2)), ShapeError, "layer_norm: bias",
    ),
    "pad mode": (lambda: F.pad(x23, (1, 1), "mirror"), ArgumentError, "mode: got 'mirror'"),
    "pad odd": (lambda: F.pad(x23, (1,)), ArgumentError, "two numbers for each"),
    "pad axes": (lambda: F.pad(x23, (1,) * 6), ArgumentError, "two numbers for each"),
    "pad crops too much": (lambda: F.pad(x23, (-2, -2)), ArgumentError, "crop no more"),
    "one_hot floats": (lambda: F.one_hot(x23), DTypeError, "got float32; expected integers"),
    "one_hot class": (
        lambda: F.one_hot(mg.tensor([0, 4]), 3), ArgumentError, "class 4 at row 1; expected 0 to 2",
    ),
    "one_hot of none": (lambda: F.one_hot(mg.zeros(0, dtype=mg.int64)), ArgumentError, "no class"),
    "norm of integers": (
        lambda: F.batch_norm(mg.ones(2, 3).long(), mg.ones(3), mg.ones(3)),
        DTypeError, "batch_norm: got int64; expected a float type",
    ),
    "layer norm of an array": (
        lambda: F.layer_norm(x23.array, 3), DTypeError, "layer_norm: got ndarray; expected tensors",
    ),
    "dropout of integers": (
        lambda: F.dropout(mg.ones(2).long()), DTypeError, "dropout: got int64; expected a float",
    ),
    "linear": (lambda: F.linear(x23, mg.ones(2, 4)), ShapeError, "linear: weight expects 4"),
}  # fmt: skip


@pytest.mark.parametrize("call, error, message", REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_refused_batch_moves_no_running_statistics():
    mean = mg.zeros(3)
    with pytest.raises(ArgumentError):
        F.batch_norm(mg.ones(1, 3), mean, None, training=True)
    assert mean.tolist() == [0, 0, 0]
