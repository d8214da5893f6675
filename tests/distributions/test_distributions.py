"""Distributions: their shapes, that they are ones, draws and the derivatives of draws."""

import itertools
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import Generator, Tensor, float32, float64
from minigrad import distributions as D
from minigrad.engine import grad
from minigrad.gradcheck import check_grads


def t(values, dtype=float64):
    return Tensor(np.array(values, dtype))


def leaf(values, dtype=float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def seeded(seed=0):
    return Generator().manual_seed(seed)


def within(found, expected, errors=4.0):
    """Whether the mean over the first axis is the expected one, to so many standard errors."""
    found, expected = np.asarray(found), np.asarray(expected)
    error = found.std(0, ddof=1) / math.sqrt(len(found))
    return bool(np.all(np.abs(found.mean(0) - expected) <= errors * error + 1e-12))  # and rounding


EVERY = {  # a batch of two of each
    "Normal": D.Normal(t([0.5, -1.0]), t([0.8, 2.0])),
    "Normal, log_scale": D.Normal(t([0.5, -1.0]), log_scale=t([-0.2, 0.7])),
    "Normal, log_var": D.Normal(t([0.5, -1.0]), log_var=t([-0.4, 1.4])),
    "Laplace": D.Laplace(t([0.5, -1.0]), t([0.8, 2.0])),
    "Uniform": D.Uniform(t([-0.5, -2.0]), t([0.8, 2.0])),
    "Bernoulli, probs": D.Bernoulli(t([0.3, 0.9])),
    "Bernoulli, logits": D.Bernoulli(logits=t([-0.8, 2.5])),
    "Categorical, probs": D.Categorical(t([[0.2, 1.0, 0.6], [2.0, 0.0, 0.4]])),
    "Categorical, logits": D.Categorical(logits=t([[0.2, 1.0, -0.6], [2.0, 0.1, 0.4]])),
    "MultivariateNormal": D.MultivariateNormal(
        t([[0.5, -1.0], [0.0, 0.2]]), t([[2.0, 0.6], [0.6, 1.5]])
    ),
    "MultivariateNormal, precision_matrix": D.MultivariateNormal(
        t([0.5, -1.0]), precision_matrix=t([[[2.0, 0.6], [0.6, 1.5]], [[1.0, -0.3], [-0.3, 0.8]]])
    ),
    "Independent": D.Independent(D.Laplace(t([[0.5, -1.0], [0.0, 0.2]]), t([0.8, 2.0])), 1),
}
by_each = pytest.mark.parametrize("d", EVERY.values(), ids=EVERY)
SCALARS = [k for k in EVERY if not k.startswith(("M", "I"))]
DENSITIES = [k for k in SCALARS if not EVERY[k].is_discrete]

# ---------------------------------------------------------------- shapes


@by_each
def test_shapes(d):
    assert d.batch_shape == (2,)
    x = d.sample((5, 3), generator=seeded())
    assert x.shape == (5, 3, 2, *d.event_shape) and not x.requires_grad
    assert d.sample(generator=seeded()).shape == (2, *d.event_shape)
    assert d.log_prob(x).shape == (5, 3, 2) and d.entropy().shape == (2,)
    assert d.mean.shape == d.variance.shape == d.stddev.shape == (2, *d.event_shape)
    assert d.log_prob(x[:, :, :1]).shape == (5, 3, 2)  # one value for both
    assert d.log_prob(x[0, 0, 0]).shape == (2,)
    assert d.sample((0,)).shape == (0, 2, *d.event_shape)
    assert d.log_prob(d.sample((0,))).shape == (0, 2)


@by_each
def test_expand_repeats(d):
    wide = d.expand((3, 2))
    assert wide.batch_shape == (3, 2) and wide.event_shape == d.event_shape
    x = d.sample(generator=seeded())
    np.testing.assert_allclose(wide.log_prob(x)[1], d.log_prob(x), rtol=1e-12)
    np.testing.assert_allclose(wide.entropy()[2], d.entropy(), rtol=1e-12)


def test_parameters_broadcast():
    assert D.Normal(t([[0.0], [1.0]]), t([1.0, 2.0, 3.0])).batch_shape == (2, 3)
    assert D.Normal(0.0, 1.0).batch_shape == () and D.Normal(0.0, 1.0).loc.dtype == float32
    assert D.Normal(0, t([1.0, 2.0])).loc.dtype == float64
    assert D.Uniform(0.0, t([1.0], float32)).low.dtype == float32
    assert D.Bernoulli(0.5).batch_shape == ()


def test_types_are_promoted():
    """As in arithmetic, and each gradient has the type of its parameter."""
    loc, scale = leaf([0.5], float32), leaf([0.8])
    d = D.Normal(loc, scale)
    x = d.rsample(generator=seeded())
    assert x.dtype == d.entropy().dtype == float64
    slopes = grad((x + d.log_prob(t([0.3], float32))).sum(), [loc, scale])
    assert [g.dtype for g in slopes] == [float32, float64]


def test_what_prints():
    assert repr(D.Normal(t([0.5, 1.0]), t(2.0))) == "Normal(loc: (2,), scale: (2,))"
    assert repr(D.Distribution()) == "Distribution()"
    assert repr(D.Laplace(0.5, 2.0)) == "Laplace(loc: 0.5, scale: 2.0)"
    assert repr(D.Independent(D.Normal(t([0.5, 1.0]), log_var=0.0), 1)) == (
        "Independent(Normal(loc: (2,), log_var: (2,)), 1)"
    )


# ---------------------------------------------------------------- that they are distributions


def integral(d, of, ends=(-60.0, 60.0)):
    """∫ of(x) dx by Gauss and Legendre, between the places where a density may have a kink."""
    places = [p for key, p in d._parameters.items() if key in ("loc", "low", "high")]
    bounds = sorted({*ends, *(float(v) for p in places for v in np.ravel(p.array))})
    bounds = sorted({*bounds, *(b + s for b in bounds[1:-1] for s in (-8.0, 8.0))})
    x, w = np.polynomial.legendre.leggauss(100)
    total = 0.0
    for a, b in itertools.pairwise(bounds):
        at = (a + b) / 2 + (b - a) / 2 * x
        total = total + (b - a) / 2 * (w[:, None] * of(Tensor(at[:, None]))).sum(0)
    return total


def density(d, x):
    free = d.expand(d.batch_shape)  # without the check of the support
    return free.log_prob(x).exp().numpy()


@pytest.mark.parametrize("name", DENSITIES)
def test_density_integrates_to_1_and_has_its_moments(name):
    d = EVERY[name]
    p = lambda x: density(d, x)
    np.testing.assert_allclose(integral(d, p), [1.0, 1.0], rtol=1e-10)
    mean = integral(d, lambda x: x.numpy() * p(x))
    np.testing.assert_allclose(d.mean, mean, rtol=1e-9, atol=1e-12)
    variance = integral(d, lambda x: (x.numpy() - mean) ** 2 * p(x))
    np.testing.assert_allclose(d.variance, variance, rtol=1e-9)
    np.testing.assert_allclose(d.stddev**2, variance, rtol=1e-9)
    nats = integral(d, lambda x: -p(x) * np.log(np.maximum(p(x), 1e-300)))
    np.testing.assert_allclose(d.entropy(), nats, rtol=1e-9)


@pytest.mark.parametrize("name", [k for k in SCALARS if EVERY[k].is_discrete])
def test_probabilities_add_up_to_1(name):
    d = EVERY[name]
    outcomes = range(3) if name.startswith("Cat") else range(2)
    p = np.stack([d.log_prob(t([float(k)])).exp().numpy() for k in outcomes])
    np.testing.assert_allclose(p.sum(0), [1.0, 1.0], rtol=1e-12)
    np.testing.assert_allclose(d.entropy(), -(p * np.log(p)).sum(0), rtol=1e-12, atol=1e-14)


@by_each
def test_entropy_is_the_mean_of_minus_log_prob(d):
    assert within(-d.log_prob(d.sample((20_000,), generator=seeded(1))).numpy(), d.entropy())


def test_vector_density_integrates_to_1():
    d = D.MultivariateNormal(t([0.5, -1.0]), t([[2.0, 0.6], [0.6, 1.5]]))
    x, w = np.polynomial.legendre.leggauss(80)
    grid = np.stack(np.meshgrid(12 * x + 0.5, 12 * x - 1.0, indexing="ij"), -1)
    p = d.log_prob(t(grid)).exp().numpy() * 144 * np.outer(w, w)
    assert p.sum() == pytest.approx(1.0, rel=1e-10)
    centred = grid - np.array([0.5, -1.0])
    found = np.einsum("ij,ija,ijb->ab", p, centred, centred)
    np.testing.assert_allclose(found, d.covariance_matrix, rtol=1e-9)


# ---------------------------------------------------------------- draws


@by_each
def test_draws_have_the_mean_and_the_variance(d):
    x = d.sample((20_000,), generator=seeded(2)).numpy().astype(float64)
    if isinstance(d, D.Categorical):
        return
    assert within(x, d.mean)
    assert within((x - d.mean.numpy()) ** 2, d.variance)


@pytest.mark.parametrize("name", DENSITIES)
def test_draws_follow_the_cdf(name):
    """cdf(x) is uniform: Kolmogorov's distance exceeds 1.63 / √n once in a hundred times."""
    d, n = EVERY[name], 10_000
    u = np.sort(d.cdf(d.sample((n,), generator=seeded(3))).numpy(), axis=0)
    assert np.abs(u - (np.arange(n)[:, None] + 0.5) / n).max() < 1.63 / math.sqrt(n)


@pytest.mark.parametrize("name", ["Categorical, probs", "Categorical, logits"])
def test_classes_are_drawn_as_often_as_they_should(name):
    d = EVERY[name]
    x = d.sample((20_000,), generator=seeded(4))
    assert x.dtype == np.int64
    for k in range(3):
        assert within(x.numpy() == k, d.probs[:, k])


def test_what_has_no_probability_is_not_drawn():
    d = D.Categorical(t([0.0, 1.0, 0.0, 3.0, 0.0]))
    assert set(d.sample((5000,), generator=seeded()).tolist()) == {1, 3}
    assert D.Bernoulli(t([0.0, 1.0])).sample((1000,)).mean(0).tolist() == [0.0, 1.0]
    assert D.Bernoulli(logits=t([-1e4, 1e4])).sample((1000,)).mean(0).tolist() == [0.0, 1.0]


@by_each
def test_same_seed_same_draws(d):
    first, again = (d.sample((7,), generator=seeded(5)).tolist() for _ in range(2))
    assert first == again
    assert d.sample((7,), generator=seeded(6)).tolist() != first
    mg.manual_seed(5)
    assert d.sample((7,)).tolist() == first  # the default generator


class Always(Generator):
    """A generator whose every draw from U[0, 1) is the same."""

    def __init__(self, u):
        super().__init__()
        self.u = u

    def uniform(self, shape, dtype):
        return np.full(shape, self.u, dtype)


def test_ends_of_the_uniform_draws():
    """Its least is 0 and its largest just below 1: no infinity, nothing impossible, no class K."""
    for dtype in (float32, float64):
        assert D.Laplace(t(0.0, dtype), 1.0).sample((3,), generator=Always(0.0)).isfinite().all()
    assert D.Bernoulli(t([0.0, 0.1])).sample(generator=Always(0.0)).tolist() == [0.0, 1.0]
    least, largest = Always(0.0), Always(np.nextafter(1.0, 0.0))
    assert D.Categorical(t([0.0, 1.0, 0.0])).sample(generator=least).item() == 1
    assert D.Categorical(t([0.0, 1.0, 0.0])).sample(generator=largest).item() == 1
    assert np.cumsum([0.1] * 10)[-1] < 1
    assert D.Categorical(t([0.1] * 10)).sample(generator=largest).item() == 9


def test_sample_has_no_derivative():
    x, l = leaf([0.5, 0.7]), leaf([[1.0, 0.0], [0.5, 1.0]])
    for d in (
        D.Normal(x, x), D.Laplace(x, x), D.Uniform(x, x + 1.0), D.Bernoulli(x), D.Categorical(x),
        D.MultivariateNormal(x, l @ l.T), D.Independent(D.Normal(x, x), 1),
    ):  # fmt: skip
        assert not d.sample((2,)).requires_grad
        assert not d.has_rsample or d.rsample((2,)).requires_grad


# ---------------------------------------------------------------- draws with a derivative


@by_each
def test_rsample_is_there_where_it_can_be(d):
    if d.has_rsample:
        x = d.rsample((4,), generator=seeded(7))
        np.testing.assert_array_equal(x, d.sample((4,), generator=seeded(7)))
    else:
        with pytest.raises(NotImplementedError, match="rsample: a draw is no smooth function"):
            d.rsample()


PATHS = {
    "Normal": (D.Normal, ([0.5, -1.0], [0.8, 2.0])),
    "Normal, log_var": (lambda m, s: D.Normal(m, log_var=s), ([0.5, -1.0], [-0.4, 1.4])),
    "Laplace": (D.Laplace, ([0.5, -1.0], [0.8, 2.0])),
    "Uniform": (D.Uniform, ([-0.5, -2.0], [0.8, 2.0])),
    "MultivariateNormal": (
        lambda m, c: D.MultivariateNormal(m, c @ c.T),
        ([0.5, -1.0], [[1.2, 0.3], [-0.4, 0.7]]),
    ),
    "Independent": (
        lambda m, s: D.Independent(D.Normal(m, s), 1), ([[0.5, -1.0]], [[0.8, 2.0]]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("make, arrays", PATHS.values(), ids=PATHS)
def test_derivatives_of_draws(make, arrays):
    """With the noise held, the draw is a plain function of the parameters."""
    draw = lambda *params: make(*params).rsample((3,), generator=seeded(8))
    check_grads(draw, *map(leaf, arrays), order=2)


def slopes_of_a_quadratic(make, params, a, c, draws=20_000):
    """The gradient of (x - c)ᵀ A (x - c) at each of many draws x."""
    n = len(c)
    wide = [p.expand(draws, *p.shape).clone().detach().requires_grad_() for p in params]
    x = make(*wide).rsample(generator=seeded(9)) - t(c)
    grads = grad((x * (x @ t(a))).sum(), wide)
    assert x.shape == (draws, n)
    return [g.numpy() for g in grads]


A, CENTRE = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([0.3, -0.7])


def test_gradient_through_draws_is_that_of_the_expectation():
    """E[(x - c)ᵀ A (x - c)] = tr(A Σ) + (μ - c)ᵀ A (μ - c), so 2 A (μ - c) for μ. Course: V7."""
    mu, log_var = np.array([0.5, -1.0]), np.array([-0.4, 1.4])
    to_mu, to_log_var = slopes_of_a_quadratic(
        lambda m, s: D.Normal(m, log_var=s), [t(mu), t(log_var)], A, CENTRE
    )
    assert within(to_mu, 2 * A @ (mu - CENTRE))
    assert within(to_log_var, np.diag(A) * np.exp(log_var))  # of A_ii e^log_var


def test_gradient_through_draws_of_a_vector_is_that_of_the_expectation():
    """tr(A L Lᵀ) has the gradient 2 A L, in the lower triangle."""
    mu, factor = np.array([0.5, -1.0]), np.array([[1.2, 0.0], [-0.4, 0.7]])
    to_mu, to_factor = slopes_of_a_quadratic(
        lambda m, l: D.MultivariateNormal(m, scale_tril=l), [t(mu), t(factor)], A, CENTRE
    )
    assert within(to_mu, 2 * A @ (mu - CENTRE))
    assert within(np.tril(to_factor), np.tril(2 * A @ factor))


# ---------------------------------------------------------------- three ways to give a spread


def test_scale_log_scale_and_log_var_are_one_normal():
    scale = np.array([0.01, 0.8, 30.0])
    x = t([0.3, -1.2, 5.0])
    three = [
        D.Normal(0.5, t(scale)),
        D.Normal(0.5, log_scale=t(np.log(scale))),
        D.Normal(0.5, log_var=t(2 * np.log(scale))),
    ]
    for d in three:
        np.testing.assert_allclose(d.scale, scale, rtol=1e-13)
        np.testing.assert_allclose(d.log_scale, np.log(scale), rtol=1e-13)
        np.testing.assert_allclose(d.log_var, 2 * np.log(scale), rtol=1e-13)
        np.testing.assert_allclose(d.variance, scale**2, rtol=1e-13)
        np.testing.assert_allclose(d.log_prob(x), three[0].log_prob(x), rtol=1e-12)
        draws, others = (e.sample(generator=seeded()) for e in (d, three[0]))
        np.testing.assert_allclose(draws, others, rtol=1e-12)


def test_log_var_is_no_log_scale():
    """exp(log_var) ε for exp(log_var / 2) ε is the error of deck 001."""
    given = t([-2.0])
    assert D.Normal(0.0, log_var=given).scale.item() == pytest.approx(math.exp(-1.0))
    assert D.Normal(0.0, log_scale=given).scale.item() == pytest.approx(math.exp(-2.0))


def test_logarithms_are_given_by_name_only():
    with pytest.raises(TypeError):
        D.Normal(0.0, None, 1.0)
