"""The divergence: closed forms against quadrature and random draws, bounds, extremes, estimates."""

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad import Generator, Tensor, float32, float64
from minigrad import distributions as D
from minigrad.distributions import kl as module
from minigrad.distributions import kl_divergence, register_kl
from minigrad.distributions.distribution import Constraint
from minigrad.engine import grad
from minigrad.errors import ArgumentError, DTypeError, ShapeError

INF = math.inf


def t(values, dtype=float64):
    return Tensor(np.array(values, dtype))


def leaf(values, dtype=float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def seeded(seed=0):
    return Generator().manual_seed(seed)


def strictly():
    return np.errstate(all="raise", under="ignore")


# ---------------------------------------------------------------- the four forms of the course (V3)

MU = np.array([[0.3, -1.0, 0.0], [2.0, 0.5, -0.4]])
LOG_VAR = np.array([[-2.0, 0.4, 0.0], [1.0, -0.3, -5.0]])


def test_form_with_log_var():
    """Deck 004: ½ Σ (e^log_var + μ² - 1 - log_var)"""
    q = D.Independent(D.Normal(t(MU), log_var=t(LOG_VAR)), 1)
    p = D.Independent(D.Normal(t(np.zeros(3)), 1.0), 1)
    expected = 0.5 * (np.exp(LOG_VAR) + MU**2 - 1 - LOG_VAR).sum(1)
    np.testing.assert_allclose(kl_divergence(q, p), expected, rtol=1e-13)


def test_form_with_variances():
    """All decks: ½ Σ (σ² + μ² - 1 - ln σ²)"""
    sigma = np.exp(0.5 * LOG_VAR)
    kl = kl_divergence(D.Normal(t(MU), t(sigma)), D.Normal(0.0, 1.0))
    np.testing.assert_allclose(kl, 0.5 * (sigma**2 + MU**2 - 1 - np.log(sigma**2)), rtol=1e-13)


def test_form_with_a_matrix():
    """Decks 000 and 001: ½ (tr Σ + μᵀμ - k - ln det Σ)"""
    mu, sigma = np.array([0.3, -1.0]), np.array([[2.0, 0.6], [0.6, 1.5]])
    p = D.MultivariateNormal(t([0.0, 0.0]), t(np.eye(2)))
    kl = kl_divergence(D.MultivariateNormal(t(mu), t(sigma)), p)
    expected = 0.5 * (np.trace(sigma) + mu @ mu - 2 - math.log(np.linalg.det(sigma)))
    assert kl.item() == pytest.approx(expected, rel=1e-13)


def test_form_of_two_normals():
    """Deck 001: ln σ₂/σ₁ + (σ₁² + (μ₁ - μ₂)²) / 2σ₂² - ½"""
    kl = kl_divergence(D.Normal(t(0.5), 0.8), D.Normal(t(-0.3), 1.7))
    expected = math.log(1.7 / 0.8) + (0.8**2 + 0.8**2) / (2 * 1.7**2) - 0.5
    assert kl.item() == pytest.approx(expected, rel=1e-13)


def test_independent_normals_are_a_multivariate_one():
    sigma = np.exp(0.5 * LOG_VAR)
    narrow = [D.Independent(D.Normal(t(m), t(s)), 1) for m, s in zip(MU, sigma, strict=True)]
    wide = [
        D.MultivariateNormal(t(m), scale_tril=t(np.diag(s))) for m, s in zip(MU, sigma, strict=True)
    ]
    found, expected = kl_divergence(*narrow), kl_divergence(*wide)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)


def test_cost_of_taking_log_var_for_log_scale():
    """Deck 001 draws with σ = e^log_var: at log_var = -2 its KL reads 0.57 nats where 1.51 are due.

    What is drawn has ln σ = -2, and so log_var = -4.
    """
    standard = D.Normal(0.0, 1.0)
    read = kl_divergence(D.Normal(t(0.0), log_var=-2.0), standard)
    due = kl_divergence(D.Normal(t(0.0), log_scale=-2.0), standard)
    assert round(read.item(), 2) == 0.57 and round(due.item(), 2) == 1.51


# ---------------------------------------------------------------- closed form, integral, draws

PAIRS = {
    "Normal": (D.Normal(t([0.5, -1.0]), t([0.8, 2.0])), D.Normal(t([0.0, 1.0]), t([1.0, 1.5]))),
    "Normal, log_var": (
        D.Normal(t([0.5, -1.0]), log_var=t([-0.4, 1.4])), D.Normal(t(0.0), 1.0),
    ),
    "Laplace": (D.Laplace(t([0.5, -1.0]), t([0.8, 2.0])), D.Laplace(t([0.0, 1.0]), t([1.0, 1.5]))),
    "Uniform": (D.Uniform(t([0.5, -1.0]), t([0.8, 2.0])), D.Uniform(t([0.0, -1.5]), t([1.0, 2.5]))),
    "Bernoulli": (D.Bernoulli(t([0.3, 0.9])), D.Bernoulli(logits=t([0.4, -1.0]))),
    "Categorical": (
        D.Categorical(t([[0.2, 1.0, 0.6], [2.0, 0.0, 0.4]])),
        D.Categorical(logits=t([0.0, 0.3, -1.0])),
    ),
    "MultivariateNormal": (
        D.MultivariateNormal(t([[0.5, -1.0], [0.0, 0.2]]), t([[2.0, 0.6], [0.6, 1.5]])),
        D.MultivariateNormal(t([0.2, 0.1]), t([[1.0, -0.3], [-0.3, 0.8]])),
    ),
    "Independent": (
        D.Independent(D.Laplace(t([[0.5, -1.0], [0.0, 0.2]]), t([0.8, 2.0])), 1),
        D.Independent(D.Laplace(t([0.0, 1.0]), t([1.0, 1.5])), 1),
    ),
}  # fmt: skip
by_pair = pytest.mark.parametrize("p, q", PAIRS.values(), ids=PAIRS)


@pytest.mark.parametrize("name", [k for k in PAIRS if k[0] in "NLU"])
def test_closed_form_is_the_integral(name):
    """∫ p (ln p - ln q) by Gauss and Legendre, between the places where a density has a kink."""
    p, q = PAIRS[name]
    closed = kl_divergence(p, q)
    x, w = np.polynomial.legendre.leggauss(100)
    for i in range(2):
        one = [type(d)(**{key: v.expand(2)[i] for key, v in d._parameters.items()}) for d in (p, q)]
        if name == "Uniform":
            bounds = [one[0].low.item(), one[0].high.item()]
        else:
            places = sorted(d.loc.item() for d in one)
            bounds = [places[0] - 70, places[0] - 8, *places, places[1] + 8, places[1] + 70]
        total = 0.0
        for a, b in itertools.pairwise(bounds):
            at = t((a + b) / 2 + (b - a) / 2 * x)
            log_p, log_q = (d.log_prob(at).numpy() for d in one)
            total += (b - a) / 2 * float(w @ (np.exp(log_p) * (log_p - log_q)))
        assert closed[i].item() == pytest.approx(total, rel=1e-9)


@by_pair
def test_closed_form_is_the_mean_over_draws(p, q):
    found = kl_divergence(p, q, samples=20_000, generator=seeded(1))
    exact = kl_divergence(p, q).numpy()
    error = found.standard_error.numpy()
    assert found.samples == 20_000 and found.estimate.shape == error.shape == exact.shape == (2,)
    assert np.all(np.abs(found.estimate.numpy() - exact) <= 4 * error + 1e-12)
    assert np.all(error < 0.03)


@by_pair
def test_nothing_diverges_from_itself(p, q):
    for d in (p, q):
        kl = kl_divergence(d, d)
        assert kl.shape == d.batch_shape
        np.testing.assert_allclose(kl, np.zeros(kl.shape), atol=2e-15)


# ---------------------------------------------------------------- never below 0

numbers = st.floats(-20.0, 20.0)
logs = st.floats(-20.0, 20.0)
chances = st.floats(0.0, 1.0)
rows = st.lists(numbers, min_size=3, max_size=3)
weights = st.lists(chances, min_size=3, max_size=3).filter(lambda p: sum(p) > 1e-6)


def assert_not_negative(p, q):
    """To rounding: the terms that nearly cancel may be as large as 1 plus the sum."""
    with strictly():
        kl = kl_divergence(p, q).item()
    assert kl >= -1e-14


@given(numbers, logs, numbers, logs)
def test_normals_are_not_nearer_than_0(a, b, c, d):
    assert_not_negative(D.Normal(t(a), log_var=b), D.Normal(t(c), log_var=d))
    assert_not_negative(D.Normal(t(a), math.exp(b)), D.Normal(t(c), math.exp(d)))


@given(numbers, st.floats(-5, 5), numbers, st.floats(-5, 5))
def test_laplaces_are_not_nearer_than_0(a, b, c, d):
    assert_not_negative(D.Laplace(t(a), math.exp(b)), D.Laplace(t(c), math.exp(d)))


@given(chances, chances, st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_bernoullis_are_not_nearer_than_0(a, b, c, d):
    assert_not_negative(D.Bernoulli(t(a)), D.Bernoulli(t(b)))
    assert_not_negative(D.Bernoulli(logits=t(c)), D.Bernoulli(logits=t(d)))


@given(weights, weights, rows, rows)
def test_categoricals_are_not_nearer_than_0(a, b, c, d):
    assert_not_negative(D.Categorical(t(a)), D.Categorical(t(b)))
    assert_not_negative(D.Categorical(logits=t(c)), D.Categorical(logits=t(d)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_vectors_are_not_nearer_than_0(seed, n):
    r = np.random.default_rng(seed)
    mus, factors = r.standard_normal((2, n)), np.tril(r.standard_normal((2, n, n)))
    along = np.arange(n)
    factors[:, along, along] = np.exp(factors[:, along, along])
    p, q = (D.MultivariateNormal(t(m), scale_tril=t(l)) for m, l in zip(mus, factors, strict=True))
    assert_not_negative(p, q)


# ---------------------------------------------------------------- extremes


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_normals_far_apart_in_log_var(dtype):
    """½ (e^u - 1 - u) at u = ∓50"""
    x = leaf([-50.0, 50.0], dtype)
    standard = D.Normal(0.0, 1.0)
    with strictly():
        kl = kl_divergence(D.Normal(0.0, log_var=x), standard)
        back = kl_divergence(standard, D.Normal(0.0, log_var=x))
        (slope,) = grad(kl.sum(), x)
    np.testing.assert_allclose(kl.detach(), [24.5, 2.592352764293536e21], rtol=1e-6)
    np.testing.assert_allclose(back.detach(), [2.592352764293536e21, 24.5], rtol=1e-6)
    np.testing.assert_allclose(slope, [-0.5, 2.592352764293536e21], rtol=1e-6)


def test_normals_that_nearly_agree():
    """½ (e^u - 1 - u) = u² / 4 + …: of a ratio of variances nothing would be left."""
    kl = kl_divergence(D.Normal(t(0.0), log_var=1e-6), D.Normal(0.0, 1.0))
    assert kl.item() == pytest.approx(2.5e-13, rel=1e-5, abs=0)


def test_scales_whose_squares_are_0():
    for make, nats in ((D.Normal, 68.57755278982137), (D.Laplace, 68.07755278982137)):
        scale = leaf([1e-30], float32)
        with strictly():
            kl = kl_divergence(make(0.0, scale), make(0.0, 1.0))
            (slope,) = grad(kl.sum(), scale)
        assert kl.item() == pytest.approx(nats, rel=1e-6)
        assert slope.item() == pytest.approx(-1e30, rel=1e-6)


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_bernoullis_with_far_logits(dtype):
    """Finite, as the truth is: PyTorch says ∞ where σ(l) rounds to 0 or 1."""
    l, m = leaf([0.0, -1e4, 1e4, 1e4], dtype), leaf([1e4, -1e4, 1e4, -1e4], dtype)
    with strictly():
        kl = kl_divergence(D.Bernoulli(logits=l), D.Bernoulli(logits=m))
        slopes = grad(kl.sum(), [l, m])
    np.testing.assert_allclose(kl.detach(), [5000 - math.log(2), 0.0, 0.0, 1e4], rtol=1e-6)
    np.testing.assert_allclose(slopes[0], [-2500.0, 0.0, 0.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(slopes[1], [0.5, 0.0, 0.0, -1.0], rtol=1e-6)


def test_bernoullis_at_0_and_1():
    """0 ln 0 = 0, and ∞ where q rules out what p does not, as in PyTorch."""
    p, q = leaf([0, 1, 0, 1, 0.5, 0.5, 0, 1]), leaf([0, 1, 1, 0, 0, 1, 0.5, 0.5])
    with strictly():
        kl = kl_divergence(D.Bernoulli(p), D.Bernoulli(q))
        slopes = grad(kl.sum(), [p, q])
    log_2 = math.log(2)
    np.testing.assert_allclose(kl.detach(), [0, 0, INF, INF, INF, INF, log_2, log_2], atol=1e-15)
    some = 1 - log_2  # PyTorch's slopes
    expected = [0.0, 0.0, 0.0, 0.0, -some, some, -log_2, log_2]
    np.testing.assert_allclose(slopes[0], expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(slopes[1], [0, 0, 0, 0, 0, 0, 2, -2], atol=1e-12)


def test_categoricals_without_a_class():
    p, q = D.Categorical(t([0.0, 1.0, 0.0])), D.Categorical(t([1.0, 1.0, 0.0]))
    with strictly():
        assert kl_divergence(p, q).item() == pytest.approx(math.log(2))
        assert kl_divergence(q, p).item() == INF
        never = D.Categorical(logits=t([-INF, 0.0, -INF]))
        assert kl_divergence(never, q).item() == pytest.approx(math.log(2))
        assert kl_divergence(q, never).item() == INF
        far = D.Categorical(logits=t([0.0, -1e4])), D.Categorical(logits=t([-1e4, 0.0]))
        assert kl_divergence(*far).item() == 1e4


def test_uniform_beyond_the_other():
    wide, narrow = D.Uniform(t([0.0, 0.0]), 2.0), D.Uniform(t([0.5, 1.5]), t([1.0, 2.5]))
    assert kl_divergence(narrow, wide).tolist() == [math.log(4), INF]
    assert kl_divergence(wide, narrow).tolist() == [INF, INF]


# ---------------------------------------------------------------- estimates

# T.kl_divergence(T.Normal(0.5, 0.8), T.Laplace(0.0, 1.5)), and back; PyTorch has these forms.
NORMAL, LAPLACE = D.Normal(t(0.5), 0.8), D.Laplace(t(0.0), 1.5)


@pytest.mark.parametrize(
    "p, q, nats", [(NORMAL, LAPLACE, 0.40886532053225), (LAPLACE, NORMAL, 2.30812019322235)]
)
def test_pair_without_a_form_has_an_estimate(p, q, nats):
    found = kl_divergence(p, q, samples=20_000, generator=seeded())
    assert isinstance(found, D.MonteCarlo) and "standard_error" in repr(found)
    assert abs(found.estimate.item() - nats) <= 4 * found.standard_error.item()


def test_estimate_has_to_be_asked_for():
    with pytest.raises(NotImplementedError, match="Normal and Laplace: no closed form.*samples="):
        kl_divergence(NORMAL, LAPLACE)


def test_standard_error_is_what_estimates_scatter_by():
    runs = [kl_divergence(*PAIRS["Normal"], samples=200, generator=seeded(s)) for s in range(300)]
    scatter = np.std([run.estimate.numpy() for run in runs], axis=0, ddof=1)
    claimed = np.sqrt(np.mean([run.standard_error.numpy() ** 2 for run in runs], axis=0))
    np.testing.assert_allclose(scatter / claimed, 1.0, atol=4 / math.sqrt(2 * 300))


GRADIENTS = {
    "Normal": (lambda m, s: D.Normal(m, log_var=s), ([0.5], [-0.4]), ([0.0], [0.8])),
    "Bernoulli": (lambda l: D.Bernoulli(logits=l), ([-0.8],), ([0.4],)),
    "Categorical": (lambda l: D.Categorical(logits=l), ([0.2, 1.0, -0.6],), ([0.0, 0.3, -1.0],)),
}


@pytest.mark.parametrize("make, a, b", GRADIENTS.values(), ids=GRADIENTS)
def test_gradient_of_an_estimate_is_that_of_the_divergence(make, a, b):
    """In p too where its draws have no derivative: there it takes that of ln p."""
    p, q = list(map(leaf, a)), list(map(leaf, b))
    runs = []
    for seed in range(100):
        found = kl_divergence(make(*p), make(*q), samples=100, generator=seeded(seed)).estimate
        runs.append(np.concatenate([np.ravel(g.array) for g in grad(found.sum(), [*p, *q])]))
    exact = grad(kl_divergence(make(*p), make(*q)).sum(), [*p, *q])
    exact = np.concatenate([np.ravel(g.array) for g in exact])
    runs = np.array(runs)
    error = runs.std(0, ddof=1) / math.sqrt(len(runs))
    assert np.all(np.abs(runs.mean(0) - exact) <= 4 * error)
    assert np.all(error < 0.1 * np.abs(exact).max())


class Exponential(D.Distribution):
    """p(x) = e^-x for x ≥ 0: a distribution of one's own, with the least that an estimate needs."""

    has_rsample = True
    support = Constraint(lambda x: x >= 0, "numbers from 0 on")

    def rsample(self, sample_shape=(), *, generator=None):
        u = D.Uniform(t(0.0), 1.0).sample(sample_shape, generator=generator)
        return -(1.0 - u).log()

    def log_prob(self, value):
        self._check_value("log_prob", value)
        return -value


def test_estimate_for_a_distribution_of_ones_own():
    """KL(Exponential ‖ Laplace(0, 2)) = E[-x + ln 4 + x / 2] = ln 4 - ½"""
    found = kl_divergence(Exponential(), D.Laplace(t(0.0), 2.0), samples=20_000, generator=seeded())
    gap = abs(found.estimate.item() - (math.log(4) - 0.5))
    assert gap <= 4 * found.standard_error.item() < 0.02
    with pytest.raises(ArgumentError, match="Laplace lie where Exponential has none"):
        kl_divergence(D.Laplace(t(0.0), 2.0), Exponential(), samples=100)


def test_batches_of_estimates_broadcast():
    p, q = D.Normal(t(0.5), 0.8), D.Laplace(t([[0.0], [1.0]]), t([1.0, 2.0, 3.0]))
    found = kl_divergence(p, q, samples=50, generator=seeded())
    assert found.estimate.shape == found.standard_error.shape == (2, 3)
    assert kl_divergence(p, D.Normal(t([0.0, 1.0]), 1.0)).shape == (2,)


# ---------------------------------------------------------------- the registry


@pytest.fixture
def registry(monkeypatch):
    """A registry that is forgotten after the test."""
    monkeypatch.setattr(module, "_closed_forms", dict(module._closed_forms))


@pytest.mark.usefixtures("registry")
def test_own_form_is_registered():
    @register_kl(D.Normal, D.Laplace)
    def form(p, q):
        return p.loc * 0.0 + 7.0

    assert kl_divergence(NORMAL, LAPLACE).item() == 7.0
    with pytest.raises(NotImplementedError):
        kl_divergence(LAPLACE, NORMAL)


class Narrow(D.Normal):
    """A heir of Normal."""


@pytest.mark.usefixtures("registry")
def test_nearest_form_is_taken():
    p, q = Narrow(t(0.5), 0.8), Narrow(t(0.0), 1.5)
    base = kl_divergence(D.Normal(t(0.5), 0.8), D.Normal(t(0.0), 1.5)).item()
    assert kl_divergence(p, q).item() == base  # inherited
    register_kl(Narrow, D.Normal)(lambda p, q: p.loc * 0.0 + 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kl_divergence(p, q).item() == 1.0
    register_kl(D.Normal, Narrow)(lambda p, q: p.loc * 0.0 + 2.0)
    with pytest.warns(RuntimeWarning, match="Narrow and Narrow: two registered forms are as near"):
        assert kl_divergence(p, q).item() == 1.0
    register_kl(Narrow, Narrow)(lambda p, q: p.loc * 0.0 + 3.0)
    assert kl_divergence(p, q).item() == 3.0


# ---------------------------------------------------------------- what is refused

TWO = D.Independent(D.Normal(t([[0.0, 1.0]]), 1.0), 2)
ONE = D.Independent(D.MultivariateNormal(t([[0.0, 1.0]]), t(np.eye(2))), 1)
REFUSED = {
    "a tensor": (lambda: kl_divergence(NORMAL, t(0.0)), DTypeError,
                 "kl_divergence: q: got Tensor; expected a Distribution"),
    "events": (lambda: kl_divergence(NORMAL, TWO), ShapeError,
               r"got events of shape \(\) and \(1, 2\); expected one"),
    "batches": (lambda: kl_divergence(D.Normal(t([0.0, 1.0]), 1.0), D.Normal(t([0.0] * 3), 1.0)),
                ShapeError, r"kl_divergence: shapes do not broadcast: got \(2,\) and \(3,\)"),
    "classes": (lambda: kl_divergence(D.Categorical(t([1.0, 1.0])), D.Categorical(t([1.0] * 3))),
                ShapeError, "got 2 and 3 classes; expected as many"),
    "axes": (lambda: kl_divergence(TWO, ONE), NotImplementedError, "of 2 and 1 axes"),
    "one draw": (lambda: kl_divergence(NORMAL, LAPLACE, samples=1), ArgumentError,
                 "kl_divergence: samples: got 1; expected at least 2 draws"),
    "half a draw": (lambda: kl_divergence(NORMAL, LAPLACE, samples=10.5), ArgumentError,
                    "samples: got 10.5"),
    "density and probability": (
        lambda: kl_divergence(D.Bernoulli(t(0.5)), NORMAL, samples=10), ArgumentError,
        "got Bernoulli and Normal; expected two densities or two discrete distributions"),
    "outside": (lambda: kl_divergence(NORMAL, D.Uniform(0.0, 0.1), samples=100), ArgumentError,
                "of 100 draws of Normal lie where Uniform has none.*The divergence is ∞"),
    "registered": (lambda: register_kl(D.Normal, float), DTypeError,
                   "register_kl: type_q: got <class 'float'>; expected a Distribution class"),
}  # fmt: skip


@pytest.mark.parametrize("make, error, message", REFUSED.values(), ids=REFUSED)
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
