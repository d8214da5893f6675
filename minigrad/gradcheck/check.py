"""The check: every gradient against differences, at every order.

A cotangent of ones is blind: the entries of a softmax sum to 1, all its slopes are 0. One that is
never negative cannot tell g from |g|. So it is drawn from N(0, 1). And if all slopes are 0, nothing
was tested: that is a verdict too.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.backend import Generator
from minigrad.engine import Variable, enable_grad
from minigrad.errors import ArgumentError
from minigrad.gradcheck.cause import Evidence, likely
from minigrad.gradcheck.contract import check_adjoint, check_contract, check_symmetry, refuse
from minigrad.gradcheck.function import Function, host, largest, several
from minigrad.gradcheck.numeric import EPS, Line, Verdict, best_step, glance, sweep
from minigrad.gradcheck.report import RANK, Finding, GradcheckError, Report, draw_map, summary

EVERY, SAMPLES, DIRECTIONS = 4096, 64, 8  # inputs with more than EVERY entries are sampled
OWN_STREAM = 0x6EAD  # cotangents must not be the inputs, drawn by the caller with the same seed
ODD = 1.1, 1.3, 1.5, 1.7  # what the steps of an accusation are multiplied by in a second look
DETAILS = 20  # bad entries after which no more are swept: the gradient is judged


def check_grads(
    fn: Callable[..., Variable | Sequence[Variable]],
    *inputs: Variable,
    seed: int = 0,
    order: int = 1,
    rtol: float = 1e-6,
    expect_zero: bool = False,
    linear: bool = False,
) -> Report:
    """Check the gradient of `fn(*inputs)`, a tensor or several, in each input that requires one.

    Everything is float64. With `order` 2 the gradient's gradient is checked too, and so on.
    `expect_zero` says that a derivative is known to vanish; `linear`, that fn is a linear map of
    all inputs together, whose rule is then held to be its adjoint as well.

    >>> from minigrad import tensor
    >>> x = tensor(np.array([0.3, -2.0]), requires_grad=True)
    >>> check_grads(lambda x: x.exp() * x, x, order=2).verdict
    'PASS'

    Raises GradcheckError if a gradient is wrong or cannot be judged; DTypeError, ArgumentError or
    GraphError if the inputs cannot be checked.
    """
    return _check(fn, inputs, seed, order, rtol, expect_zero, linear)


def gradcheck(
    func: Callable, inputs: Variable | Sequence[Variable], *, eps: float = 1e-6,
    atol: float = 1e-5, rtol: float = 1e-3, raise_exception: bool = True, nondet_tol: float = 0.0,
    check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
    check_batched_grad: bool = False, check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False, check_backward_ad: bool = True, fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:  # fmt: skip
    """PyTorch's name for `check_grads`: whether the gradients of func(*inputs) are right.

    The step and the bounds are this checker's own, stricter than any `eps`, `atol`, `rtol` or
    `nondet_tol`, and it has one mode; those are taken so that scripts run unchanged. Raises
    ArgumentError for what it does not have: forward mode, batched gradients, sparse tensors.
    """
    absent = dict(
        check_batched_grad=check_batched_grad, check_forward_ad=check_forward_ad, masked=masked,
        check_batched_forward_grad=check_batched_forward_grad,
    )  # fmt: skip
    _refuse_absent("gradcheck", absent, check_backward_ad)
    return _passes(func, inputs, 1, raise_exception)


def gradgradcheck(
    func: Callable, inputs: Variable | Sequence[Variable],
    grad_outputs: Variable | Sequence[Variable] | None = None, *, eps: float = 1e-6,
    atol: float = 1e-5, rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False, check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True, fast_mode: bool = False,
    masked: bool = False,
) -> bool:  # fmt: skip
    """PyTorch's name for `check_grads` of order 2, at the cotangents `grad_outputs` if given."""
    absent = dict(
        check_batched_grad=check_batched_grad, check_fwd_over_rev=check_fwd_over_rev, masked=masked
    )
    _refuse_absent("gradgradcheck", absent, check_rev_over_rev)
    v = None
    if grad_outputs is not None:
        v = np.concatenate([host(g).ravel() for g in several(grad_outputs)])
    return _passes(func, inputs, 2, raise_exception, v)


def _refuse_absent(op: str, absent: dict[str, Any], backward: bool) -> None:
    for name, wanted in absent.items():
        if wanted:
            raise ArgumentError(f"{op}: {name}: got {wanted}; expected False: there is none here")
    if not backward:
        raise ArgumentError(f"{op}: got nothing to check; expected the backward sweep at least")


def _passes(
    fn: Callable, inputs: Variable | Sequence[Variable], order: int, loud: bool,
    v: np.ndarray | None = None,
) -> bool:  # fmt: skip
    try:
        _check(fn, several(inputs), 0, order, 1e-6, v=v)
    except GradcheckError:
        if loud:
            raise
        return False
    return True


def _check(
    fn: Callable, inputs: Sequence[Variable], seed: int, order: int, rtol: float,
    expect_zero: bool = False, linear: bool = False, v: np.ndarray | None = None,
) -> Report:  # fmt: skip
    refuse(inputs, order)
    called = str(getattr(fn, "name", getattr(fn, "__name__", "fn"))).replace("<lambda>", "fn")
    options = dict(rtol=rtol, expect_zero=expect_zero, linear=linear)
    default = dict(rtol=1e-6, expect_zero=False, linear=False)
    names = [f"input {i}" for i in range(len(inputs))]
    generator = Generator().manual_seed(OWN_STREAM + seed)
    reports, terms = [], 0.0
    with enable_grad(), np.errstate(all="ignore"):
        if linear:
            check_adjoint(fn, *inputs, seed=seed)
        for n in range(1, order + 1):
            told = "".join(f", {key}={x}" for key, x in options.items() if x != default[key])
            again = f"check_grads({called}, *inputs, seed={seed}, order={n}{told})"
            f = Function(fn, inputs, names, generator, f"order {n}, seed {seed}", again, v, terms)
            check_contract(f)
            reports.append(_check_slopes(f, rtol, expect_zero or n > 1))
            if n < order:
                check_symmetry(f)
                fn, inputs, names = f.gradient()
                v, terms = None, f.sum_of_terms()
    return max(reports, key=lambda report: report.error)


# ---------------------------------------------------------------- the slopes


class _Probe(NamedTuple):
    """Where one slope is measured: along one entry, or along ±1 in all of them."""

    at: np.ndarray | slice  # entries of the flat input
    signs: np.ndarray | float
    step: float
    scale: float
    place: str
    entry: int = -1  # -1: a direction


def _check_slopes(f: Function, rtol: float, expect_zero: bool) -> Report:
    """Every entry of every gradient against its difference; of large inputs, a sample."""
    y, gradients = f.value(), f.pull_back(f.v)
    measured = [_measure(f, i, y, a, rtol) for i, a in zip(f.wanted, gradients, strict=True)]
    findings = [_judge(f, k, a, measured, expect_zero) for k, a in enumerate(gradients)]
    report = summary(f.setting, findings, f.again)
    if report.verdict != "PASS":
        raise GradcheckError(report)
    return report


def _measure(
    f: Function, i: int, y: np.ndarray, a: np.ndarray, rtol: float
) -> list[tuple[_Probe, Verdict]]:
    """A glance at every probe of input i; a sweep of those it leaves in doubt, the worst first."""
    probes = list(_probes(host(f.inputs[i]).ravel(), a, f.generator))
    lines = [_line(f, i, y, a.ravel(), probe) for probe in probes]
    found = [glance(line, rtol) for line in lines]
    doubtful = [k for k, seen in enumerate(found) if seen.verdict != "PASS"]
    bad = 0
    for k in sorted(doubtful, key=lambda k: -found[k].error):
        found[k] = sweep(lines[k], rtol)
        bad += found[k].verdict != "PASS"
        if bad == DETAILS:
            break
    for k in sorted(range(len(found)), key=lambda k: -found[k].error):
        if found[k].verdict == "FAIL":
            found[k] = _again(f, i, lines[k], probes[k], rtol)
            if found[k].verdict == "FAIL":
                break
    return list(zip(probes, found, strict=True))


def _again(f: Function, i: int, line: Line, probe: _Probe, rtol: float) -> Verdict:
    """An accusation is looked into: do sweeps by other steps make it too?

    Those by powers of 2 may all be rounded alike. And no rule is more exact than its own rounding.
    """
    jitter = 4 * float(f.jitter()[f.wanted.index(i)].ravel()[probe.at].sum())
    line = line._replace(rounding=line.rounding + jitter)
    for odd in ODD:
        found = sweep(line._replace(step=odd * line.step), rtol)
        if found.verdict != "FAIL":
            break
    return found


def _probes(x: np.ndarray, a: np.ndarray, generator: Generator) -> Iterator[_Probe]:
    """Every entry, up to EVERY; of more, the corners, SAMPLES others, and ±1 in all of them.

    With ±1 no single wrong entry hides in the sum, as one with a small factor might.
    """
    n, rms = x.size, math.sqrt(float(np.mean(x * x))) if x.size else 0.0
    finite = a[np.isfinite(a)]
    steepest, norm = largest(finite), float(np.linalg.norm(finite))
    entries = range(n)
    if n > EVERY:
        corners = itertools.product(*({0, size - 1} for size in a.shape))
        entries = {int(np.ravel_multi_index(c, a.shape)) for c in corners}
        entries = sorted(entries.union(generator.integers(0, n, (SAMPLES,)).tolist()))
    for j in entries:
        place = tuple(map(int, np.unravel_index(j, a.shape)))
        step = best_step(max(abs(float(x[j])), 1e-2 * rms))
        yield _Probe(slice(j, j + 1), 1.0, step, steepest, f"entry {place}", j)
    for k in range(DIRECTIONS if n > EVERY else 0):
        signs = 2.0 * generator.integers(0, 2, (n,)) - 1.0
        yield _Probe(slice(None), signs, best_step(rms), norm, f"direction {k}")


def _line(f: Function, i: int, y: np.ndarray, a: np.ndarray, probe: _Probe) -> Line:
    """⟨v, f⟩ along a probe of input i."""
    x = host(f.inputs[i]).ravel()

    def at(t: float) -> tuple[np.ndarray, float, float]:
        moved = x.copy()
        moved[probe.at] += t * probe.signs
        step = moved[probe.at] - x[probe.at]
        return f.value(i, moved), float(np.mean(step * probe.signs)), float(step @ a[probe.at])

    # rules add up terms of the size of v y / x, and round each: what is left may be far smaller
    size = min(probe.step / EPS ** (1 / 3), 1.0)
    rounding = 16 * EPS * float(np.abs(f.v) @ np.maximum(np.abs(y), f.terms)) / size
    single = probe.entry >= 0
    fine = best_step(abs(float(x[probe.entry])), 1e-280) if single else math.inf
    return Line(at, y, f.v, probe.step, probe.scale, rounding, f.terms, single, fine)


def _judge(
    f: Function, k: int, a: np.ndarray,
    measured: list[list[tuple[_Probe, Verdict]]], expect_zero: bool,
) -> Finding:  # fmt: skip
    """What the slopes of one input come to."""
    name, pairs = f.names[f.wanted[k]], measured[k]
    key = lambda pair: (RANK.index(pair[1].verdict), pair[1].error / (pair[0].scale or 1.0))
    if not pairs:
        return Finding(name, a.shape, "PASS", 0, 0, "", 0.0, 0.0, 0.0, 0.0)
    probe, worst = max(pairs, key=key)
    verdict = worst.verdict
    flat = not any(abs(found.slope) > found.bar for _, found in pairs)
    if verdict == "PASS" and flat and not expect_zero:
        verdict = "VACUOUS"
    wrong = sum(found.verdict != "PASS" for _, found in pairs)
    finding = Finding(
        name, a.shape, verdict, wrong, len(pairs), probe.place, worst.rule, worst.slope, worst.bar,
        worst.error / (probe.scale or 1.0),
    )  # fmt: skip
    if verdict in ("PASS", "VACUOUS"):
        return finding
    failed = any(found.verdict == "FAIL" for _, found in pairs)
    marks = {"PASS": ".", "FAIL": "x", "KINK": "?", "NOISY": "x" if failed else "?"}
    entries = {p.entry: marks[found.verdict] for p, found in pairs if p.entry >= 0}
    shown = draw_map(a.shape, entries, max(probe.entry, 0)) if wrong else ""
    cause, words = likely(_evidence(f, k, a, measured)) if verdict == "FAIL" else ("", "")
    return finding._replace(map=shown, cause=cause, words=words)


def _evidence(
    f: Function, k: int, a: np.ndarray, measured: list[list[tuple[_Probe, Verdict]]]
) -> Evidence:
    def entries(j: int) -> list[tuple[int, Verdict]]:
        pairs = ((p.entry, found) for p, found in measured[j] if p.entry >= 0)
        return [(at, found) for at, found in pairs if math.isfinite(found.slope)]

    columns = lambda j: (
        np.array([at for at, _ in entries(j)], int),
        np.array([found.slope for _, found in entries(j)], float),
    )
    at, slope = columns(k)
    shape = lambda j: f.inputs[f.wanted[j]].array.shape
    return Evidence(
        a, at, slope,
        bar=np.array([found.bar for _, found in entries(k)], float),
        wrong=np.array([found.verdict != "PASS" for _, found in entries(k)], bool),
        outputs=[host(y) for y in f.outputs],
        others={
            f.names[f.wanted[j]]: (shape(j), *columns(j)) for j in range(len(measured)) if j != k
        },
    )  # fmt: skip
