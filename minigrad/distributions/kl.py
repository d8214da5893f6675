r"""The Kullback-Leibler divergence, KL(p ‖ q) = E_p[ln p(x) - ln q(x)] ≥ 0, in nats.

It is 0 if p = q and only then, it is not symmetric, and it is ∞ where q rules out what p can draw.
A closed form is registered for a pair of classes; without one there is an estimate by random
draws, which has to be asked for and says how far off it may be.

The four forms of the course (V3) are these functions, at p = N(μ, σ²) or N(μ, Σ):

    decks 000, 001      ½ (tr Σ + μᵀμ - n - ln det Σ)          q = N(0, I), MultivariateNormal
    all decks           ½ Σ (σ² + μ² - 1 - ln σ²)              q = N(0, 1), Normal, summed
    deck 004            ½ Σ (e^log_var + μ² - 1 - log_var)     the same, Normal(μ, log_var=…)
    deck 001            ln σ₂/σ₁ + (σ₁² + (μ₁ - μ₂)²) / 2σ₂² - ½     two Normals
"""

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from minigrad.backend import Generator, array_module
from minigrad.distributions.continuous import Laplace, Normal, Uniform
from minigrad.distributions.discrete import Bernoulli, Categorical
from minigrad.distributions.distribution import Distribution, sum_rightmost
from minigrad.distributions.multivariate import Independent, MultivariateNormal
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.ops.arithmetic import where
from minigrad.ops.decomposition import solve_triangular
from minigrad.ops.elementwise import logsigmoid
from minigrad.ops.shape import broadcast_shape
from minigrad.tensor import Tensor

ClosedForm = Callable[[Distribution, Distribution], Tensor]
Form = TypeVar("Form", bound=Callable)

_closed_forms: dict[tuple[type, type], ClosedForm] = {}


class MonteCarlo(NamedTuple):
    """An average over random draws, and its standard error: the root of its own variance.

    Two times in three the truth lies within one standard error of the estimate, 95 times in 100
    within two.
    """

    estimate: Tensor
    standard_error: Tensor
    samples: int


def register_kl(type_p: type, type_q: type) -> Callable[[Form], Form]:
    """Decorate a function of (p, q) as the closed form for these two classes and their heirs."""
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise DTypeError(f"register_kl: {name}: got {kind!r}; expected a Distribution class")

    def register(form: Form) -> Form:
        _closed_forms[type_p, type_q] = form
        return form

    return register


def kl_divergence(
    p: Distribution, q: Distribution, *, samples: int | None = None,
    generator: Generator | None = None,
) -> Tensor | MonteCarlo:  # fmt: skip
    """KL(p ‖ q) = E_p[ln p(x) - ln q(x)] for each entry of the batch, in nats.

    By the closed form that is registered for the classes of p and q; or, if `samples` is given, as
    a `MonteCarlo` estimate from so many draws of p, made by `generator`. Both are differentiable:
    the estimate through the draws if these have a derivative (`has_rsample`), else with the weight
    p(x) / p(x), the lower one held fixed: it is 1, and its slope is that of ln p.

    >>> import minigrad as mg
    >>> q = Normal(mg.tensor([0.0, 1.0]), log_var=mg.tensor([-2.0, 0.0]))
    >>> kl_divergence(q, Normal(0.0, 1.0))
    tensor([0.5677, 0.5000])

    Raises NotImplementedError if there is no closed form and `samples` is not given; ShapeError if
    the shapes do not fit; ArgumentError if one is discrete and the other is not, or if draws of p
    lie where q has none.
    """
    for name, d in (("p", p), ("q", q)):
        if not isinstance(d, Distribution):
            raise DTypeError(
                f"kl_divergence: {name}: got {type(d).__name__}; expected a Distribution"
            )
    if p.event_shape != q.event_shape:
        raise ShapeError(
            f"kl_divergence: got events of shape {p.event_shape} and {q.event_shape}; expected one"
        )
    broadcast_shape("kl_divergence", p.batch_shape, q.batch_shape)
    return _closed_form(p, q)(p, q) if samples is None else _estimate(p, q, samples, generator)


def _closed_form(p: Distribution, q: Distribution) -> ClosedForm:
    """The form of the classes nearest to those of p and q, p counting first."""
    kinds_p, kinds_q = type(p).__mro__, type(q).__mro__
    by_p = [(a, b) for a in kinds_p for b in kinds_q if (a, b) in _closed_forms]
    by_q = [(a, b) for b in kinds_q for a in kinds_p if (a, b) in _closed_forms]
    names = f"{type(p).__name__} and {type(q).__name__}"
    if not by_p:
        raise NotImplementedError(
            f"kl_divergence: {names}: no closed form is registered. For an estimate by random "
            "draws pass samples=10_000; for a form of your own there is register_kl"
        )
    found = _closed_forms[by_p[0]]
    if found is not _closed_forms[by_q[0]]:
        warnings.warn(
            f"kl_divergence: {names}: two registered forms are as near. Use register_kl for this "
            "pair",
            RuntimeWarning,
            stacklevel=3,
        )
    return found


def _estimate(
    p: Distribution, q: Distribution, samples: int, generator: Generator | None
) -> MonteCarlo:
    """The mean of ln p(x) - ln q(x) over draws x of p."""
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 2:
        raise ArgumentError(f"kl_divergence: samples: got {samples!r}; expected at least 2 draws")
    if p.is_discrete != q.is_discrete:
        raise ArgumentError(
            f"kl_divergence: got {type(p).__name__} and {type(q).__name__}; expected two "
            "densities or two discrete distributions: a density is no probability"
        )
    batch = broadcast_shape("kl_divergence", p.batch_shape, q.batch_shape)
    p = p if p.batch_shape == batch else p.expand(batch)  # independent draws for every entry
    draw = p.rsample if p.has_rsample else p.sample
    x = draw((samples,), generator=generator)
    outside = ~q.support.holds(x.array)
    if outside.any():
        raise ArgumentError(
            f"kl_divergence: {int(outside.sum())} of {outside.size} draws of {type(p).__name__} "
            f"lie where {type(q).__name__} has none; expected p within the support of q. The "
            "divergence is ∞"
        )
    log_p = p.log_prob(x)
    nats = log_p - q.log_prob(x)
    xp = array_module(nats.array)
    error = nats.array.std(0, ddof=1) / math.sqrt(samples)
    if not p.has_rsample:
        nats = nats * (log_p - log_p.detach()).exp()
    return MonteCarlo(nats.mean(0), Tensor(xp.asarray(error, nats.dtype)), samples)


# ---------------------------------------------------------------- the closed forms


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    """½ (e^u - 1 - u + d²), u = ln σ_p² - ln σ_q², d = (μ_p - μ_q) / σ_q

    The variances meet as a difference of logarithms: no ratio overflows, and where p is nearly q,
    nothing cancels but u in e^u - 1 - u. With q = N(0, 1), u is p's log_var itself.
    """
    u = p.log_var - q.log_var
    return (u.expm1() - u + q.in_scales(p.loc - q.loc).square()) * 0.5


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    """½ (tr Σ_q⁻¹ Σ_p + dᵀ Σ_q⁻¹ d - n - ln det Σ_p + ln det Σ_q), d = μ_p - μ_q

    tr Σ_q⁻¹ Σ_p = ‖L_q⁻¹ L_p‖², the sum of the squares of all entries.
    """
    (n,) = p.event_shape
    trace = solve_triangular(q.factor, p.factor, upper=False).square().sum((-2, -1))
    distance = q.squared_distance(p.loc - q.loc)
    return (trace + distance - float(n)) * 0.5 + q.half_log_det() - p.half_log_det()


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    """p ln(p / q) + (1 - p) ln((1 - p) / (1 - q)), where 0 ln 0 = 0"""
    nats = 0.0
    for value, sign in ((1, 1.0), (0, -1.0)):
        costs = p.chance(value) * (logsigmoid(p.logits * sign) - logsigmoid(q.logits * sign))
        nats = nats + where(p.never(value), 0.0, where(q.never(value), math.inf, costs))
    return nats


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    """Σ p (ln p - ln q), where 0 ln 0 = 0"""
    if p.num_classes != q.num_classes:
        raise ShapeError(
            f"kl_divergence: got {p.num_classes} and {q.num_classes} classes; expected as many"
        )
    never_p, never_q = p.never(), q.never()
    costs = p.probs * (where(never_p, 0.0, p.logits) - where(never_q, 0.0, q.logits))
    return where(never_p, 0.0, where(never_q, math.inf, costs)).sum(-1)


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    """ln(b_q / b_p) + d / b_q + (b_p / b_q) e^(-d / b_p) - 1, d = |μ_p - μ_q|"""
    d = (p.loc - q.loc).abs()
    ratio = p.scale / q.scale
    return q.scale.log() - p.scale.log() + d / q.scale + ratio * (d / -p.scale).exp() - 1.0


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    """ln of the ratio of lengths, ∞ if p reaches beyond q"""
    within = (q.low <= p.low) & (p.high <= q.high)
    return where(within, (q.high - q.low).log() - (p.high - p.low).log(), math.inf)


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    """Σ KL(p_i ‖ q_i) over the entries of the event"""
    n = p.reinterpreted_batch_ndims
    if n != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            f"kl_divergence: got Independent distributions of {n} and "
            f"{q.reinterpreted_batch_ndims} axes; expected as many. For an estimate pass "
            "samples=10_000"
        )
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), n)
