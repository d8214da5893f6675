"""Mistakes that can be made in any rule, and those of particular rules."""

import itertools
import math
from collections.abc import Callable, Iterable

import numpy as np

from minigrad.engine import Variable
from minigrad.ops import linear, reduction, shape
from minigrad.samples.planted import Call, Family, Mutant, site, sites
from minigrad.samples.row import Inapplicable, Row
from minigrad.tensor import Tensor

Change = Callable[[np.ndarray], np.ndarray]

# Where an axis has 2 entries, rolled is flipped; so these count for one another.
MOVED = frozenset({"rolled", "flipped", "turned", "transposed", "permuted"})
SCALED = frozenset({"factor", "mean_for_sum", "variance"})  # of 2 entries they are one


def _value(name: str, change: Change, *causes: str) -> Family:
    """The right gradient, changed."""

    def wrong(call: Call) -> Variable:
        a = call.right().array
        return Tensor(np.array(change(a), dtype=a.dtype))

    return Family(name, wrong, frozenset(causes))


def _needs(ndim: int, change: Change) -> Change:
    def changed(a: np.ndarray) -> np.ndarray:
        if a.ndim < ndim:
            raise Inapplicable
        return change(a)

    return changed


def _entry(which: int, factor: float) -> Change:
    """One of the entries that are not 0, times a factor."""

    def changed(a: np.ndarray) -> np.ndarray:
        a, places = a.copy(), np.flatnonzero(a)
        if places.size:
            a.flat[places[which]] *= factor
        return a

    return changed


def _keep(*inside: slice) -> Change:
    """0 outside these slices of the last axes."""

    def changed(a: np.ndarray) -> np.ndarray:
        kept = np.zeros_like(a)
        kept[(..., *inside)] = a[(..., *inside)]
        return kept

    return changed


def _shifted(a: np.ndarray) -> np.ndarray:
    """By one along the last axis, with a 0 for what comes in."""
    moved = np.roll(a, 1, -1)
    moved[..., 0] = 0.0
    return moved


def _shuffled(a: np.ndarray) -> np.ndarray:
    return np.random.default_rng(3).permutation(a.ravel()).reshape(a.shape)


VALUES = [
    _value("sign", lambda a: -a, "sign"),
    _value("twice", lambda a: 2 * a, "factor"),
    _value("half", lambda a: a / 2, "factor"),
    _value("1 % too large", lambda a: 1.01 * a, "scale"),
    _value("1e-4 too large", lambda a: 1.0001 * a, "scale"),
    _value("zero", lambda a: 0 * a, "zero"),
    _value("mean for sum", lambda a: a / a.size, *SCALED),
    _value("sum for mean", _needs(1, lambda a: a * a.shape[-1]), *SCALED),
    _value("n for n - 1", lambda a: a * a.size / max(a.size - 1, 1), *SCALED),
    _value("first entry dropped", _entry(0, 0.0), "one_entry", "edge"),
    _value("last entry 1 % too large", _entry(-1, 1.01), "one_entry", "edge"),
    _value("one entry 1e-3 too large", _entry(-1, 1.001), "one_entry", "edge"),
    _value("rolled", _needs(1, lambda a: np.roll(a, 1, -1)), *MOVED),
    _value("rolled along the first axis", _needs(2, lambda a: np.roll(a, -1, 0)), *MOVED),
    _value("flipped", _needs(1, lambda a: a[..., ::-1]), *MOVED),
    _value("flipped along the first axis", _needs(2, lambda a: a[::-1]), *MOVED),
    _value("turned by 180°", _needs(2, lambda a: a[..., ::-1, ::-1]), *MOVED),
    _value("transposed", _needs(2, lambda a: a.swapaxes(-1, -2).reshape(a.shape)), *MOVED),
    _value("permuted", _shuffled, *MOVED),
    _value("padding off by one", _needs(1, _shifted), "rolled"),
    _value("last column dropped", _needs(2, _keep(slice(-1))), "edge", "one_entry", "zero"),
    _value("first row dropped", _needs(2, _keep(slice(1, None), slice(None))),
           "edge", "one_entry", "zero"),
    _value("border dropped", _needs(2, _keep(slice(1, -1), slice(1, -1))), "edge", "zero"),
    _value("an offset", lambda a: a + 0.1 * a.mean() + 0.01 * a.flat[0], "offset"),
    _value("mean of rows taken off", _needs(1, lambda a: a - a.mean(-1, keepdims=True)),
           "cross_terms", "offset", "zero"),
    _value("NaN", lambda a: a * math.nan, "not_finite"),
    _value("one NaN", _entry(0, math.nan), "not_finite"),
    Family("the rule of another input", lambda call: call.other(),
           frozenset({"another_input", "unreduced", "shape"})),
]  # fmt: skip


def _upstream(name: str, change: Callable[[Tensor], Variable], *causes: str) -> Family:
    """The right rule, of a changed g."""
    return Family(name, lambda call: call.right(change(call.g)), frozenset(causes))


def _drawn(shape_: tuple[int, ...]) -> Tensor:
    return Tensor(np.random.default_rng(5).standard_normal(shape_))


UPSTREAM = [
    _upstream("g ignored", lambda g: Tensor(np.ones(g.shape)), "g ignored"),
    _upstream("|g|", lambda g: g.abs(), "|g|"),
    _upstream("g²", lambda g: g * g, "g squared"),
    _upstream("g + 1", lambda g: g + 1.0, "g offset"),
    _upstream("tanh g", lambda g: g.tanh(), "g bent"),
    _upstream("sign of g", lambda g: g.sign(), "g bent"),
    _upstream("max(g, 0)", lambda g: g.relu(), "g bent"),
    _upstream("g clipped", lambda g: g.clamp(-1.0, 1.0), "g bent"),
    _upstream("mean of g", lambda g: g.mean() + 0.0 * g),
    _upstream("g masked", lambda g: g * (_drawn(g.shape) > 0.0).to(g.dtype)),
    _upstream("g in float32", lambda g: g.float().double(), "float32"),
    _upstream("g rolled", lambda g: Tensor(np.roll(g.array, 1))),
]


def _float32(call: Call) -> Variable:
    return call.right().float().double()


def _g_changed(call: Call) -> Variable:
    answer = Tensor(call.right().array.copy())
    call.g.array[...] *= 2.0
    return answer


def _input_changed(call: Call) -> Variable:
    answer = Tensor(call.right().array.copy())
    call.inputs[call.i].array[...] *= 2.0
    return answer


_calls = itertools.count()


def _flaky(call: Call) -> Variable:
    return call.right() * (1.0 + 1e-9 * (next(_calls) % 2))


def _same_shape(x: Variable, call: Call) -> Variable:
    """x, if it could be the gradient."""
    if x.array.shape != call.inputs[call.i].array.shape:
        raise Inapplicable
    return x


def _last_entry(call: Call) -> Variable:
    a = call.right().array.copy()
    a.flat[-1] += call.g.array.flat[-1]
    return Tensor(a)


CONTRACT = [
    Family("answer in float32", lambda call: call.right().float(), frozenset({"type"})),
    Family("computed in float32", _float32, frozenset({"float32"})),
    Family("an axis too many", lambda call: Tensor(np.stack([call.right().array] * 2)),
           frozenset({"unreduced", "shape"})),
    Family("an axis summed away", lambda call: call.right().sum(0),
           frozenset({"shape", "unreduced"})),
    Family("g changed in place", _g_changed, frozenset({"g changed"})),
    Family("an input changed in place", _input_changed, frozenset({"input changed", "impure"})),
    Family("differs from call to call", _flaky, frozenset({"impure"})),
    Family("the input answered", lambda call: call.inputs[call.i],
           frozenset({"g ignored", "aliased"})),
    Family("g answered", lambda call: _same_shape(call.g, call)),
    Family("g added", lambda call: call.right() + 0.01 * _same_shape(call.g, call)),
    Family("1e-4 g added", lambda call: call.right() + 1e-4 * _same_shape(call.g, call)),
    Family("g x added",
           lambda call: call.right() + call.inputs[call.i] * _same_shape(call.g, call)),
    Family("g y added", lambda call: call.right() + call.y * _same_shape(call.g, call)),
    Family("g taken off", lambda call: call.right() - _same_shape(call.g, call)),
    Family("|g| added", lambda call: call.right() + _same_shape(call.g, call).abs()),
    Family("g² added", lambda call: call.right() + _same_shape(call.g * call.g, call)),
    Family("1 added", lambda call: call.right() + 1.0, frozenset({"g offset", "g ignored"})),
    Family("the input added", lambda call: call.right() + call.inputs[call.i],
           frozenset({"g offset", "g ignored"})),
    Family("last g added to the last entry", _last_entry, frozenset({"one_entry", "edge"})),
    Family("sum of g added", lambda call: call.right() + call.g.sum(), frozenset({"offset"})),
    Family("mean of g added", lambda call: call.right() + call.g.mean(), frozenset({"offset"})),
    Family("first g added", lambda call: call.right() + call.g.reshape(-1)[0],
           frozenset({"offset"})),
]  # fmt: skip

_detached = lambda x: type(x)(x.array) if isinstance(x, Variable) else x


def _with(call: Call, **changed) -> Variable:
    call = call._replace(**changed)
    return call.rule(call.g, call.y, *call.inputs, **call.params)


SECOND = [
    Family("g detached", lambda call: _with(call, g=_detached(call.g)), order=2),
    Family("inputs and output detached", lambda call: _with(
        call, y=_detached(call.y), inputs=tuple(map(_detached, call.inputs))), order=2),
    Family("half detached", lambda call: 0.5 * call.right() + 0.5 * _detached(call.right()),
           order=2),
]  # fmt: skip

FAMILIES: list[Family] = [*VALUES, *UPSTREAM, *CONTRACT, *SECOND]

# ---------------------------------------------------------------- of particular rules


def _conv_turned(call: Call) -> Variable:
    """The rule for the images, with the kernels turned by 180°."""
    x, w = call.inputs[:2]
    return _with(call, inputs=(x, shape.flip(w, dims=(2, 3)), *call.inputs[2:]))


def _assigned(call: Call) -> Variable:
    """y[index] = g, where y[index] += g is right: it forgets entries that were read twice."""
    x = np.zeros(call.inputs[0].array.shape)
    x[call.params["index"]] = call.g.array
    return Tensor(x)


def _last(x: Variable) -> Variable:
    return reduction.sum(x, dim=-1, keepdim=True)


def _in_order(call: Call) -> Variable:
    """The first entries of g, whichever input it is."""
    x = call.inputs[call.i].array
    return Tensor(call.g.array[tuple(map(slice, x.shape))])


def _moments(call: Call) -> tuple[np.ndarray, np.ndarray, np.ndarray, Callable]:
    moments = call.params["moments"]
    mean = lambda a: a.mean(moments.axes, keepdims=True)
    return call.g.array, call.y.array, moments.rate, mean


def _no_mean(call: Call) -> Variable:
    g, y, rate, mean = _moments(call)
    return Tensor(rate * (g - y * mean(g * y)))


def _no_variance(call: Call) -> Variable:
    g, _, rate, mean = _moments(call)
    return Tensor(rate * (g - mean(g)))


def _constants(call: Call) -> Variable:
    g, _, rate, _ = _moments(call)
    return Tensor(rate * g)


def _rule(name: str, wrong: Callable[..., Variable], *causes: str) -> Family:
    """wrong(g, y, *inputs) in place of the rule."""
    return Family(name, lambda call: wrong(call.g, call.y, *call.inputs), frozenset(causes))


# row of the table: (input, mistake)
HANDMADE: dict[str, list[tuple[int, Family]]] = {
    "softmax": [(0, _rule("cross terms missing", lambda g, y, x: g * y, "cross_terms")),
                (0, _rule("the diagonal alone", lambda g, y, x: g * y * (1.0 - y))),
                (0, _rule("summed over the other axis", lambda g, y, x: y * (g - _last(g * y))))],
    "log_softmax": [(0, _rule("cross terms missing", lambda g, y, x: g, "cross_terms")),
                    (0, _rule("y for eʸ", lambda g, y, x: g - y * _last(g), "cross_terms")),
                    (0, _rule("mean for sum",
                              lambda g, y, x: g - y.exp() * g.mean(-1, keepdim=True)))],
    "logsumexp": [(0, _rule("1/n for softmax",
                            lambda g, y, x: 0.25 * g.unsqueeze(1) + 0.0 * x))],
    "nn.BatchNorm1d, not affine": [
        (0, Family("term of the mean missing", _no_mean, frozenset({"cross_terms"}))),
        (0, Family("term of the variance missing", _no_variance, frozenset({"cross_terms"}))),
        (0, Family("mean and variance taken as constants", _constants)),
    ],
    "conv2d": [(0, Family("kernel turned", _conv_turned)),
               (1, Family("gradient of the kernel turned",
                          lambda call: shape.flip(call.right(), dims=(2, 3)), MOVED))],
    "conv_transpose2d": [(0, Family("kernel turned", _conv_turned))],
    "getitem, repeated": [(0, Family("repeats assigned, not added", _assigned))],
    "sum_to": [(0, _rule("spread as a mean", lambda g, y, x: shape.broadcast_to(
        g / (x.array.size / g.array.size), shape=x.array.shape), *SCALED))],
    "broadcast_to": [(0, _rule("not summed", lambda g, y, x: g, "unreduced")),
                     (0, _rule("mean for sum", lambda g, y, x: shape.sum_to(
                         g, shape=x.array.shape) / (g.array.size / x.array.size), *SCALED))],
    "mean": [(0, _rule("not divided", lambda g, y, x: g + 0.0 * x, *SCALED)),
             (0, _rule("divided by n - 1", lambda g, y, x: g / 11.0 + 0.0 * x, *SCALED))],
    "matmul": [(0, _rule("b for bᵀ", lambda g, y, a, b: linear.matmul(g, b))),
               (1, _rule("a for aᵀ", lambda g, y, a, b: linear.matmul(a, g))),
               (1, _rule("gᵀ a for aᵀ g", lambda g, y, a, b: linear.matmul(g.T, a)))],
    "linear": [(2, _rule("mean for sum", lambda g, y, x, w, b: g.mean(0), *SCALED)),
               (2, _rule("not summed", lambda g, y, x, w, b: g, "unreduced"))],
    "maximum": [(0, _rule("both get all", lambda g, y, a, b: g)),
                (1, _rule("the smaller gets it", lambda g, y, a, b: g * (b < a).double()))],
    "amax": [(0, _rule("all entries get it",
                       lambda g, y, x: g.unsqueeze(0).unsqueeze(2) + 0.0 * x))],
    "norm": [(0, _rule("not divided by the norm", lambda g, y, x: g * x, "scale"))],
    "tanh": [(0, _rule("1 - x²", lambda g, y, x: g * (1.0 - x * x))),
             (0, _rule("1 - y", lambda g, y, x: g * (1.0 - y)))],
    "sigmoid": [(0, _rule("y (1 + y)", lambda g, y, x: g * y * (1.0 + y))),
                (0, _rule("x (1 - x)", lambda g, y, x: g * x * (1.0 - x)))],
    "exp": [(0, _rule("x for y", lambda g, y, x: g * x)), (0, _rule("1", lambda g, y, x: g))],
    "expm1": [(0, _rule("y for eˣ", lambda g, y, x: g * y))],
    "log": [(0, _rule("x for 1/x", lambda g, y, x: g * x))],
    "log1p": [(0, _rule("1/x", lambda g, y, x: g / x))],
    "sqrt": [(0, _rule("½ missing", lambda g, y, x: g / y, "factor")),
             (0, _rule("½ y", lambda g, y, x: 0.5 * g * y))],
    "square": [(0, _rule("2 missing", lambda g, y, x: g * x, "factor"))],
    "reciprocal": [(0, _rule("sign missing", lambda g, y, x: g * y * y, "sign")),
                   (0, _rule("y for y²", lambda g, y, x: -g * y))],
    "power": [(0, _rule("exponent not lowered", lambda g, y, a, b: g * b * y)),
              (0, _rule("exponent not in front", lambda g, y, a, b: g * y / a)),
              (1, _rule("logarithm missing", lambda g, y, a, b: g * y)),
              (1, _rule("logarithm of b", lambda g, y, a, b: g * y * b.log()))],
    "divide": [(1, _rule("sign missing", lambda g, y, a, b: g * y / b, "sign")),
               (1, _rule("1/b² without a", lambda g, y, a, b: -g / (b * b)))],
    "multiply": [(0, _rule("a for b", lambda g, y, a, b: g * a, "another_input"))],
    "abs": [(0, _rule("sign missing", lambda g, y, x: g))],
    "sin": [(0, _rule("sign", lambda g, y, x: -g * x.cos(), "sign")),
            (0, _rule("sin", lambda g, y, x: g * y))],
    "cos": [(0, _rule("sign missing", lambda g, y, x: g * x.sin(), "sign"))],
    "clamp": [(0, _rule("not cut off", lambda g, y, x: g))],
    "relu": [(0, _rule("not cut off", lambda g, y, x: g)),
             (0, _rule("cut off at 1", lambda g, y, x: g * (x > 1.0).double()))],
    "leaky_relu 0.2": [(0, _rule("another slope",
                                 lambda g, y, x: g * (0.01 + 0.99 * (x > 0.0).double())))],
    "elu 0.5": [(0, _rule("α missing", lambda g, y, x: g * x.clamp(max=0.0).exp()))],
    "silu": [(0, _rule("second term missing", lambda g, y, x: g * x.sigmoid()))],
    "erf": [(0, _rule("2/√π missing", lambda g, y, x: g * (-x * x).exp(), "scale"))],
    "softplus": [(0, _rule("σ(-x)", lambda g, y, x: g * (-x).sigmoid()))],
    "logsigmoid": [(0, _rule("σ(x)", lambda g, y, x: g * x.sigmoid()))],
    "cumsum": [(0, _rule("forwards", lambda g, y, x: reduction.cumsum(g, dim=1)))],
    "flip": [(0, _rule("not flipped back", lambda g, y, x: g, *MOVED))],
    "permute": [(0, _rule("permuted once more", lambda g, y, x: shape.permute(
        g, dims=(2, 0, 1)), "shape"))],
    "reshape": [(0, _rule("column by column", lambda g, y, x: Tensor(
        g.array.reshape(x.array.shape, order="F")), *MOVED))],
    "cat": [(1, Family("the first entries", _in_order))],
    "pad": [(0, _rule("the other side cut off", lambda g, y, x: g[:, 2:5]))],
    "crop": [(0, _rule("the other side padded", lambda g, y, x: shape.pad(
        g, widths=((0, 1), (2, 0)))))],
    "where": [(1, _rule("condition inverted",
                        lambda g, y, c, a, b: g * (1.0 - Tensor(c.array.astype(float)))))],
    "nn.MSELoss": [(0, _rule("2 missing", lambda g, y, x, t: g * (x - t) / 12.0, "factor")),
                   (0, _rule("mean missing", lambda g, y, x, t: g * 2.0 * (x - t), *SCALED)),
                   (1, _rule("sign of the target", lambda g, y, x, t: g * (x - t) / 6.0, "sign"))],
    "nn.BCEWithLogitsLoss": [(0, _rule("sigmoid missing", lambda g, y, x, t: g * (x - t) / 12.0)),
                             (1, _rule("sign", lambda g, y, x, t: g * x / 12.0, "sign"))],
    "reparameterize": [(1, _rule("ε missing", lambda g, y, mean, std, eps: g))],
}  # fmt: skip


def mutants(rows: Iterable[Row]) -> list[Mutant]:
    """Every family in every rule of every primitive that is met in the rows, and the handmade.

    Those that make no difference, or cannot be made, are among them: `Mutant.is_wrong` tells.
    """
    rows = list(rows)
    found = [
        Mutant(place, i, family)
        for place in sites(rows).values() for i in place.wanted for family in FAMILIES
    ]  # fmt: skip
    for row in rows:
        for i, family in HANDMADE.get(row.name, ()):
            place = site(row, row.fn(*row.inputs()).primitive)
            found.append(Mutant(place, i, family))
    return found
