"""Distributions against PyTorch: log_prob, entropy and KL, with derivatives of both orders.

And the same derivatives against differences.
"""

import math

import numpy as np
import pytest

from minigrad import Tensor, float32, float64
from minigrad import distributions as D
from minigrad.engine import grad
from minigrad.gradcheck import check_grads
from minigrad.ops.decomposition import transposed, tril

V = [1.0, -2.0]


def _symmetric(x):
    return (x + transposed(x)) * 0.5


MAKE = {
    "Normal": D.Normal,
    "Normal, log_scale": lambda m, s: D.Normal(m, log_scale=s),
    "Normal, log_var": lambda m, s: D.Normal(m, log_var=s),
    "Laplace": D.Laplace,
    "Uniform": D.Uniform,
    "Bernoulli, probs": D.Bernoulli,
    "Bernoulli, logits": lambda l: D.Bernoulli(logits=l),
    "Categorical, probs": D.Categorical,
    "Categorical, logits": lambda l: D.Categorical(logits=l),
    "MultivariateNormal, covariance_matrix": lambda m, c: D.MultivariateNormal(m, _symmetric(c)),
    "MultivariateNormal, precision_matrix": (
        lambda m, c: D.MultivariateNormal(m, precision_matrix=_symmetric(c))
    ),
    "MultivariateNormal, scale_tril": lambda m, c: D.MultivariateNormal(m, scale_tril=tril(c)),
    "Independent": lambda m, s: D.Independent(D.Normal(m, s), 1),
}

# What PyTorch 2.13 answers, T being torch.distributions and `make` the same constructors, with
# Normal(m, s.exp()) for log_scale, Normal(m, (s / 2).exp()) for log_var:
#     params = [torch.tensor(a, requires_grad=True) for a in ...]    # torch.float64
#     d = make(*params)
#     nats, entropy = d.log_prob(torch.tensor(x)), d.entropy()
#     loss = (nats * torch.tensor(V)).sum() + entropy.sum()
#     slopes = torch.autograd.grad(loss, params, create_graph=True)
#     bends = torch.autograd.grad(sum((s * s).sum() for s in slopes), params)
# A row is: the parameters, x, nats, entropy, slopes, bends.
# fmt: off
PYTORCH = {
    "Normal": (
        [[0.5, -1.0], [0.8, 2.0]], [0.3, -1.2], [-0.7270449818905, -1.617085713765],
        [1.19579498189, 2.112085713765], [[-0.3125, 0.1], [0.078125, 1.49]], [[1.0986328125,
        -0.198], [-0.5340576171875, -2.2103]],
    ),
    "Normal, log_scale": (
        [[0.5, -1.0], [-0.2, 0.7]], [0.3, -1.2], [-0.7487750271575, -1.623870472484],
        [1.218938533205, 2.118938533205], [[-0.2983649395283, 0.09863878557664], [0.05967298790565,
        2.980272242885]], [[0.9614336811087, -1.078585638703], [-0.3703300105011, 0.1962579077006]],
    ),
    "Normal, log_var": (
        [[0.5, -1.0], [-0.4, 1.4]], [0.3, -1.2], [-0.7487750271575, -1.623870472484],
        [1.218938533205, 2.118938533205], [[-0.2983649395283, 0.09863878557664], [0.02983649395283,
        1.490136121442]], [[0.9080206988249, -0.1966743345256], [-0.1798237070222,
        0.009937823432522]],
    ),
    "Laplace": (
        [[0.5, -1.0], [0.8, 2.0]], [0.3, -1.2], [-0.7200036292457, -1.48629436112],
        [1.470003629246, 2.38629436112], [[-1.25, 1.0], [0.3125, 1.4]], [[0.9765625, -1.4],
        [-4.39453125, -2.82]],
    ),
    "Uniform": (
        [[-0.5, -2.0], [0.8, 2.0]], [0.3, -1.2], [-0.2623642644675, -1.38629436112],
        [0.2623642644675, 1.38629436112], [[0.0, -0.75], [0.0, 0.75]], [[0.0, 0.5625], [0.0,
        -0.5625]],
    ),
    "Bernoulli, probs": (
        [[0.3, 0.9]], [1.0, 0.0], [-1.203972804326, -2.302585092994], [0.6108643020549,
        0.3250829733914], [[4.180631193721, 17.80277542266]], [[-132.7184505943, 6725.492937451]],
    ),
    "Bernoulli, logits": (
        [[-0.8, 2.5]], [1.0, 0.0], [-1.171100665948, -2.578889734293], [0.6191210810457,
        0.2685351843457], [[0.8611022383438, 1.673024348595]], [[-0.6248150595647,
        0.7320261360521]],
    ),
    "Categorical, probs": (
        [[[0.2, 1.0, 0.6], [2.0, 0.1, 0.4]]], [2, 0], [-1.098612288668, -0.2231435513142],
        [0.936888307539, 0.6004829082458], [[[0.1446312609984, -0.7495009125761, 1.200957767294],
        [-0.3509357427726, 1.847357166649, 1.292839422201]]], [[[-0.9252693116058, 1.303218221856,
        -8.613505194005], [-2.866304589287, -20.10848167232, -6.677947477095]]],
    ),
    "Categorical, logits": (
        [[[0.2, 1.0, -0.6], [2.0, 0.1, 0.4]]], [2, 0], [-2.101517728667, -0.30118929078],
        [0.9148456523686, 0.7504904148657], [[[-0.1668978607747, -0.8559266672014, 1.022824527976],
        [-0.852579446402, 0.3818938809523, 0.4706855654498]]], [[[-0.4264775559025,
        0.8015569417915, -0.375079385889], [-0.9023857731185, 0.3940727617706, 0.5083130113478]]],
    ),
    "MultivariateNormal, covariance_matrix": (
        [[[0.5, -1.0], [0.0, 0.2]], [[2.0, 0.6], [0.6, 1.5]]], [[0.3, -1.2], [1.0, 0.4]],
        [-2.340690767413, -2.577054403776], [3.323266524988, 3.323266524988], [[[-0.06818181818182,
        -0.1060606060606], [-1.045454545455, 0.1515151515152]], [[0.5813533057851,
        -0.2976928374656], [-0.2976928374656, 1.136248852158]]], [[[-0.007117935000519,
        0.2778799860509], [-1.552141456672, 0.380385990614]], [[-1.780619290767, 1.391783827507],
        [1.391783827507, -2.412260232241]]],
    ),
    "MultivariateNormal, precision_matrix": (
        [[[0.5, -1.0], [0.0, 0.2]], [[2.0, 0.6], [0.6, 1.5]]], [[0.3, -1.2], [1.0, 0.4]],
        [-1.44648760783, -2.50248760783], [2.35248760783, 2.35248760783], [[[-0.52, -0.42], [-4.24,
        -1.8]], [[0.1277272727273, 0.5209090909091], [0.5209090909091, -1.116363636364]]],
        [[[2.324545454545, 2.122181818182], [-39.16763636364, -22.16654545455]], [[16.71511565552,
        6.76453390308], [6.76453390308, -0.8324504758327]]],
    ),
    "MultivariateNormal, scale_tril": (
        [[[0.5, -1.0], [0.0, 0.2]], [[1.2, 0.0], [-0.4, 0.7]]], [[0.3, -1.2], [1.0, 0.4]],
        [-1.74997492643, -2.300995334593], [2.663523679265, 2.663523679265], [[[-0.3202947845805,
        -0.5442176870748], [-2.114512471655, -2.176870748299]], [[0.7912887377173, 0.0],
        [-1.72335600907, 2.834467120181]]], [[[2.980237546974, 10.47882079802], [-6.904073207706,
        1.80532386442]], [[-14.91658327801, 0.0], [-5.931463966407, -51.6935469193]]],
    ),
    "Independent": (
        [[[0.5, -1.0], [0.0, 0.2]], [0.8, 2.0]], [[0.3, -1.2], [1.0, 0.4]], [-2.344130695655,
        -3.094130695655], [3.307880695655, 3.307880695655], [[[-0.3125, -0.05], [-3.125, -0.1]],
        [-0.078125, 1.495]], [[[0.8544921875, 0.1745], [-20.751953125, 0.199]], [-50.82702636719,
        -2.245075]],
    ),
}

# And with kl = T.kl_divergence(make(*params[:n]), make(*params[n:])), loss = (kl * V).sum(): a row
# is the parameters of p and then of q, kl, slopes, bends.
PYTORCH_KL = {
    "Normal": (
        [[0.5, -1.0], [0.8, 2.0], [0.0, 1.0], [1.0, 1.5]], [0.1681435513142, 0.990095705326],
        [[0.5, 1.777777777778], [-0.45, -0.7777777777778], [-0.5, -1.777777777778], [0.11,
        3.407407407407]], [[1.78, -22.47462277092], [-2.65825, 18.31412894376], [-1.78,
        22.47462277092], [-0.1926, -79.10013717421]],
    ),
    "Normal, log_var": (
        [[0.5, -1.0], [-0.4, 1.4], [0.0, 1.0], [0.0, 0.8]], [0.1601600230178, 1.00971732843],
        [[0.5, 1.797315856469], [-0.1648399769822, -0.8221188003905], [-0.5, -1.797315856469],
        [0.03983997698218, 2.619434656859]], [[1.960160023018, -15.87659146334], [-0.137201076164,
        12.54183851401], [-1.960160023018, 15.87659146334], [-0.8528389295905, -34.87911855318]],
    ),
    "Laplace": (
        [[0.5, -1.0], [0.8, 2.0], [0.0, 1.0], [1.0, 1.5]], [0.1513526941294, 0.5361571824435],
        [[0.464738571481, 0.8428274117714], [-0.3802001786566, 0.01898815687615], [-0.464738571481,
        -0.8428274117714], [0.07179085718481, 1.09845233986]], [[1.495034089265, -2.070545132789],
        [-2.289114189117, 0.5816673730928], [-1.495034089265, 2.070545132789], [-0.07956565868002,
        -7.039848921327]],
    ),
    "Uniform": (
        [[0.5, -1.0], [0.8, 2.0], [0.0, -1.5], [1.0, 2.5]], [1.203972804326, 0.2876820724518],
        [[3.333333333333, -0.6666666666667], [-3.333333333333, 0.6666666666667], [-1.0, 0.5], [1.0,
        -0.5]], [[148.1481481481, 0.5925925925926], [-148.1481481481, -0.5925925925926], [4.0,
        0.25], [-4.0, -0.25]],
    ),
    "Bernoulli, probs": (
        [[0.3, 0.9], [0.6, 0.2]], [0.1837868973868, 1.145725502931], [[-1.252762968495,
        -7.167037876912], [1.25, 8.75]], [[-22.3477425571, 537.2850167517], [23.46052473746,
        -972.1446969228]],
    ),
    "Bernoulli, logits": (
        [[-0.8, 2.5], [0.4, -1.0]], [0.1698839638053, 0.9688683231513], [[-0.2566916358244,
        -0.4907260158158], [0.2886621412401, 1.310400797218]], [[-0.1832427948253,
        0.0965089361001], [0.2485260224803, -1.168168606305]],
    ),
    "Categorical, probs": (
        [[[0.2, 1.0, 0.6], [2.0, 0.1, 0.4]], [[1.0, 1.0, 1.0], [0.3, 0.4, 0.1]]], [0.1617239811291,
        0.5446170280547], [[[-0.700186816554, 0.1939453570205, -0.08984665618283],
        [-0.1704549389142, 2.45627653789, 0.2382055600986]], [[0.2222222222222, -0.2222222222222,
        0.0], [2.833333333333, -2.3, 0.7]]], [[[-4.937870571274, 0.2535799251511,
        -0.5631723555376], [-1.201123093187, -70.25297603132, -7.026596554503]], [[0.753776942379,
        -0.8303640483662, -0.1209437582103], [-104.7106829603, 19.42959513944, -39.74188723232]]],
    ),
    "Categorical, logits": (
        [[[0.2, 1.0, -0.6], [2.0, 0.1, 0.4]], [[0.0, 0.0, 0.0], [-1.0, 0.5, 0.3]]],
        [0.1837666362995, 1.103155902578], [[[-0.1052206166742, 0.2503158582397, -0.1450952415654],
        [-1.197983416307, 0.5733851992893, 0.6245982170176]], [[0.06121485588437, -0.2722774756284,
        0.211062619744], [1.261319702446, -0.7581557270507, -0.5031639753948]]],
        [[[-0.2217744303645, 0.3150785728466, -0.09330414248217], [0.7621190462852,
        -0.2376895572106, -0.5244294890746]], [[0.1553397999454, -0.3572608103275,
        0.2019210103821], [-2.127681374104, 1.209458939037, 0.9182224350672]]],
    ),
    "MultivariateNormal, covariance_matrix": (
        [[[0.5, -1.0], [0.0, 0.2]], [[2.0, 0.6], [0.6, 1.5]], [0.2, 0.1], [[1.0, -0.3], [-0.3,
        0.8]]], [1.543365386947, 0.8011118658207], [[[-0.1267605633803, -1.422535211268],
        [0.3661971830986, -0.112676056338]], [[-0.2792893725992, -0.3249039692702],
        [-0.3249039692702, -0.3254374733248]], [-0.2394366197183, 1.535211267606], [[1.1512596707,
        1.140349137076], [1.140349137076, 0.3105534616148]]], [[[2.234397637842, -5.090655750007],
        [-0.9282825484863, 6.934828908013]], [[2.625965153068, 2.810775285168], [2.810775285168,
        2.268205746403]], [-1.306115089356, -1.844173158006], [[-18.25143654115, -16.86278132592],
        [-16.86278132592, -26.13001218003]]],
    ),
    "MultivariateNormal, precision_matrix": (
        [[[0.5, -1.0], [0.0, 0.2]], [[2.0, 0.6], [0.6, 1.5]], [0.2, 0.1], [[1.0, -0.3], [-0.3,
        0.8]]], [0.9399376433555, 0.3419376433555], [[[0.63, -0.97], [0.46, -0.28]],
        [[-0.06327479338843, -0.09211432506887], [-0.09211432506887, -0.07174012855831]], [-1.09,
        1.25], [[0.2842893725992, 0.1799039692702], [0.1799039692702, 0.9204374733248]]],
        [[[4.546784891165, -6.501020059752], [-7.880530089629, 6.531748186086]],
        [[0.07612319564673, -0.1056763742155], [-0.1056763742155, 0.4637120956822]],
        [3.333745198464, -0.03072812633376], [[1.575092114721, -4.504629311218], [-4.504629311218,
        3.39249097379]]],
    ),
    "MultivariateNormal, scale_tril": (
        [[[0.5, -1.0], [0.0, 0.2]], [[1.2, 0.0], [-0.4, 0.7]], [0.2, 0.1], [[0.9, 0.0], [0.3,
        1.1]]], [1.17073096681, 0.5563038675345], [[[0.7009488827671, -0.9917355371901],
        [0.5856545250485, -0.2754820936639]], [[-0.8685338230793, 0.0], [0.6611570247934,
        0.8500590318772]], [-1.286603407816, 1.267217630854], [[1.054540919861, 0.0],
        [-0.6121824303642, -1.100258786209]]], [[[3.803082074835, -8.265790411992],
        [-14.40639898848, 6.768689689373]], [[12.06018642653, 0.0], [-1.049950374555,
        -7.189278943099]], [10.60331691364, 1.497100722619], [[-30.229534461, 0.0],
        [13.89648042428, -18.3148539944]]],
    ),
    "Independent": (
        [[[0.5, -1.0], [0.0, 0.2]], [0.8, 2.0], [0.0, 1.0], [1.0, 1.5]], [1.15823925664,
        0.2865725899735], [[[0.5, -0.8888888888889], [-0.0, 0.7111111111111]], [0.45,
        -0.3888888888889], [-0.5, 0.1777777777778], [-0.61, -0.2874074074074]], [[[3.22,
        -1.629410150892], [-2.0, -0.4031385459534]], [-4.25825, -0.1411385459534], [-1.22,
        2.032548696845], [-0.3526, -4.281029355281]],
    ),
}
# fmt: on

by_row = pytest.mark.parametrize("name", PYTORCH)
by_pair = pytest.mark.parametrize("name", PYTORCH_KL)


def leaves(arrays, dtype=float64):
    return [Tensor(np.array(a, dtype), requires_grad=True) for a in arrays]


def pair(name, params):
    n = len(params) // 2
    return D.kl_divergence(MAKE[name](*params[:n]), MAKE[name](*params[n:]))


def assert_derivatives(loss, params, slopes, bends):
    """The gradient, and the gradient of its squares."""
    found = grad(loss, params, create_graph=True)
    squares = sum((s * s).sum() for s in found)
    for g, slope in zip(found, slopes, strict=True):
        np.testing.assert_allclose(g.detach(), slope, rtol=1e-11, atol=1e-12)
    for g, bend in zip(grad(squares, params, allow_unused=True), bends, strict=True):
        g = np.zeros(np.shape(bend)) if g is None else g
        np.testing.assert_allclose(g, bend, rtol=1e-11, atol=1e-12)


@by_row
def test_numbers_are_pytorchs(name):
    arrays, x, nats, entropy, slopes, bends = PYTORCH[name]
    params = leaves(arrays)
    d = MAKE[name](*params)
    log_p, h = d.log_prob(Tensor(np.array(x))), d.entropy()
    np.testing.assert_allclose(log_p.detach(), nats, rtol=1e-12)
    np.testing.assert_allclose(h.detach(), entropy, rtol=1e-12)
    loss = (log_p * Tensor(np.array(V))).sum() + h.sum()
    assert_derivatives(loss, params, slopes, bends)


@by_pair
def test_divergence_is_pytorchs(name):
    arrays, nats, slopes, bends = PYTORCH_KL[name]
    params = leaves(arrays)
    kl = pair(name, params)
    np.testing.assert_allclose(kl.detach(), nats, rtol=1e-12)
    assert_derivatives((kl * Tensor(np.array(V))).sum(), params, slopes, bends)


@by_row
def test_float32_stays_float32(name):
    """In the numbers and in their gradients, to its digits."""
    arrays, x, nats, entropy, slopes, _ = PYTORCH[name]
    params = leaves(arrays, float32)
    d = MAKE[name](*params)
    value = np.array(x)
    value = Tensor(value.astype(float32) if value.dtype == float64 else value)
    log_p, h = d.log_prob(value), d.entropy()
    assert {log_p.dtype, h.dtype, d.mean.dtype, d.variance.dtype} == {float32}
    if d.has_rsample:
        assert d.rsample().dtype == float32
    np.testing.assert_allclose(log_p.detach(), nats, rtol=2e-6)
    np.testing.assert_allclose(h.detach(), entropy, rtol=2e-6)
    loss = (log_p * Tensor(np.array(V, float32))).sum() + h.sum()
    for g, slope in zip(grad(loss, params), slopes, strict=True):
        np.testing.assert_allclose(g, slope, rtol=1e-5, atol=1e-6)


@by_pair
def test_divergence_of_float32_is_float32(name):
    arrays, nats, _, _ = PYTORCH_KL[name]
    kl = pair(name, leaves(arrays, float32))
    assert kl.dtype == float32
    np.testing.assert_allclose(kl.detach(), nats, rtol=1e-5)


# ---------------------------------------------------------------- derivatives against differences

# The density is flat inside, and the rest of the support is no place for differences.
FLAT = "Uniform"


@by_row
def test_derivatives_of_log_prob(name):
    """In the parameters, and in the value of a continuous distribution."""
    arrays, x, *_ = PYTORCH[name]
    value = Tensor(np.array(x))
    fn = lambda *params: MAKE[name](*params).log_prob(value)
    check_grads(fn, *leaves(arrays), order=2)
    if value.dtype == float64 and not MAKE[name](*leaves(arrays)).is_discrete and name != FLAT:
        fn = lambda x, *params: MAKE[name](*params).log_prob(x)
        check_grads(fn, *leaves([x, *arrays]), order=2)


@by_row
def test_derivatives_of_entropy(name):
    arrays = PYTORCH[name][0]
    params = leaves(arrays)
    if params[0].ndim and not name.startswith(("Bern", "Cat", FLAT)):
        params[0].requires_grad = False  # the entropy does not depend on the location
    check_grads(lambda *params: MAKE[name](*params).entropy(), *params, order=2)


@by_pair
def test_derivatives_of_the_divergence(name):
    check_grads(lambda *params: pair(name, params), *leaves(PYTORCH_KL[name][0]), order=2)


# ---------------------------------------------------------------- moments and quantiles


MOMENTS = {  # mean, variance and standard deviation by PyTorch
    "Normal": (D.Normal(0.5, 0.8), 0.5, 0.64, 0.8),
    "Normal, log_scale": (D.Normal(0.5, log_scale=math.log(0.8)), 0.5, 0.64, 0.8),
    "Normal, log_var": (D.Normal(0.5, log_var=math.log(0.64)), 0.5, 0.64, 0.8),
    "Laplace": (D.Laplace(0.5, 0.8), 0.5, 1.28, 1.1313708498984762),
    "Uniform": (D.Uniform(-2.0, 3.0), 0.5, 2.0833333333333335, 1.4433756729740645),
    "Bernoulli": (D.Bernoulli(0.3), 0.3, 0.21, 0.458257569495584),
    "Bernoulli, logits": (
        D.Bernoulli(logits=math.log(3 / 7)), 0.3, 0.21, 0.458257569495584,
    ),
}  # fmt: skip


@pytest.mark.parametrize("d, mean, variance, stddev", MOMENTS.values(), ids=MOMENTS)
def test_moments_are_pytorchs(d, mean, variance, stddev):
    found = [d.mean.item(), d.variance.item(), d.stddev.item()]
    np.testing.assert_allclose(found, [mean, variance, stddev], rtol=1e-6)


QUANTILES = {  # cdf at -1.5, 0.3, 2.0 and icdf at 0.01, 0.5, 0.8, by PyTorch
    "Normal": (D.Normal, (0.5, 0.8), [0.006209665325776, 0.4012936743171, 0.9696036382347],
               [-1.361078299233, 0.5, 1.173296986858]),
    "Laplace": (D.Laplace, (0.5, 0.8), [0.04104249931195, 0.3894003915357, 0.9233225165775],
                [-2.629618404343, 0.5, 1.233032585499]),
    "Uniform": (D.Uniform, (-2.0, 3.0), [0.1, 0.46, 0.8], [-1.95, 0.5, 2.0]),
}  # fmt: skip


@pytest.mark.parametrize("make, numbers, cdf, icdf", QUANTILES.values(), ids=QUANTILES)
def test_quantiles_are_pytorchs(make, numbers, cdf, icdf):
    d = make(*leaves(numbers))
    x, u = Tensor(np.array([-1.5, 0.3, 2.0])), Tensor(np.array([0.01, 0.5, 0.8]))
    np.testing.assert_allclose(d.cdf(x).detach(), cdf, rtol=1e-12)
    np.testing.assert_allclose(d.icdf(u).detach(), icdf, rtol=1e-12)
    np.testing.assert_allclose(d.icdf(d.cdf(x)).detach(), x, rtol=1e-12)


@pytest.mark.parametrize("make, numbers, cdf, icdf", QUANTILES.values(), ids=QUANTILES)
def test_derivatives_of_quantiles(make, numbers, cdf, icdf):
    x, u = np.array([-1.5, 0.3, 2.0]), np.array([0.01, 0.45, 0.8])
    check_grads(lambda x, *params: make(*params).cdf(x), *leaves([x, *numbers]), order=2)
    check_grads(lambda u, *params: make(*params).icdf(u), *leaves([u, *numbers]), order=2)
