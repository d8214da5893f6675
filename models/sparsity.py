r"""Sparse codes: few units active at a time, by force or by a penalty (deck 003).

By force: `k_sparse` keeps the k largest entries of a code and sets the others to 0.

By a penalty: s(ρ̂, ρ) says how far the activity ρ is from the desired one, ρ̂. An activity is a mean
of the activations h (n, units), and there are two:

    per example    ρᵢ = (1/units) Σⱼ hᵢⱼ    how much of the code one image lights up     (deck 003)
    per unit       ρⱼ = (1/n) Σᵢ hᵢⱼ        how often one unit is lit, over the batch    (usual)

They are not the same thing. One unit that is always on and nineteen that are always off have the
activity 1/20 per example, as desired, and are useless; per unit none has it.

In the deck ρ̂ is the desired activity; elsewhere, and in the deck's own formula for s, ρ is. Here
they are called `desired` and `actual`.
"""

import math
from collections.abc import Callable

from minigrad import Tensor, full_like, primitive
from minigrad.backend import array_module, can_look
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn import functional as F
from minigrad.ops.elementwise import Unary

# ---------------------------------------------------------------- by force


@primitive
def _largest(h, *, k):
    """[|hᵢ| is one of the k largest of its row]; of equal ones the first count"""
    xp = array_module(h)
    size = xp.abs(h)
    bound = xp.partition(size, -k, axis=-1)[..., -k, None]  # the k-th largest
    above, tied = size > bound, size == bound
    room = k - above.sum(-1, keepdims=True)
    return above | (tied & (tied.cumsum(-1) <= room))


@Unary
def k_sparse(h, *, k):
    r"""y = h ⊙ b, with bᵢ = 1 if |hᵢ| is one of the k largest of its row, else 0. Course: A9.

    A row is the last axis: the code of one example. Rule: the same mask, g ⊙ b. Where two entries
    are equally large and only one has room, the first is kept and gets the gradient, so that
    exactly k are kept always. Such a tie, like relu's 0, is a kink: the value jumps there.

    >>> import minigrad as mg
    >>> k_sparse(mg.tensor([[1.0, -3.0, 2.0], [5.0, 5.0, 5.0]]), k=2)
    tensor([[ 0., -3.,  2.],
            [ 5.,  5.,  0.]])

    Raises ArgumentError unless 1 ≤ k ≤ units. Source: deck 003; Makhzani and Frey, arXiv 1312.5663,
    who take the largest h, not |h|.
    """
    units = h.shape[-1] if h.ndim else 0
    if not 1 <= k <= units:
        raise ArgumentError(f"k_sparse: k: got {k} for {h.shape}; expected from 1 to {units} units")
    return h * _largest.forward(h, k=k)


k_sparse.vjp(lambda g, y, h, k: g * _largest(h, k=k))

# ---------------------------------------------------------------- how far from the desired activity


def kl(desired: float, actual: Tensor) -> Tensor:
    r"""KL(ρ̂ ‖ ρ) = ρ̂ ln ρ̂/ρ + (1 - ρ̂) ln (1 - ρ̂)/(1 - ρ), in nats: ρ̂ desired, ρ actual.

    Computed as a cross-entropy less the entropy of ρ̂. Its slope, (ρ - ρ̂) / (ρ (1 - ρ)), grows
    without bound towards ρ = 0: no unit may die. The other way round, KL(ρ ‖ ρ̂), a dead unit would
    cost no more than -ln(1 - ρ̂), next to nothing.
    """
    if not 0 < desired < 1:
        raise ArgumentError(f"kl: desired: got {desired}; expected an activity between 0 and 1")
    _check_range("kl", actual, 1.0)
    goal = full_like(actual, desired)
    entropy = F.binary_cross_entropy(goal, goal, reduction="none")
    return F.binary_cross_entropy(actual, goal, reduction="none") - entropy


def l1(desired: float, actual: Tensor) -> Tensor:
    """|ρ̂ - ρ|; its derivative at ρ = ρ̂ is 0"""
    return (desired - actual).abs()


def l2(desired: float, actual: Tensor) -> Tensor:
    """(ρ̂ - ρ)²"""
    return (desired - actual).square()


DISTANCES: dict[str, Callable[[float, Tensor], Tensor]] = {"kl": kl, "l1": l1, "l2": l2}


def named(name: str) -> Callable[[float, Tensor], Tensor]:
    """The s(desired, actual) of that name: "kl", "l1" or "l2"."""
    if name not in DISTANCES:
        raise ArgumentError(f"sparsity: got {name!r}; expected one of {', '.join(DISTANCES)}")
    return DISTANCES[name]


def _check_range(op: str, a: Tensor, highest: float) -> None:
    """Activations from 0 to `highest`: of both signs, a busy unit's mean may be 0."""
    if not can_look(a.array):
        return
    low, high = float(a.array.min()), float(a.array.max())
    if not (low >= 0 and high <= highest) and low == low:  # NaN is for the training loop to report
        rule = "from 0 to 1" if highest == 1 else "0 or more"
        raise ArgumentError(
            f"{op}: got activations from {low:.6g} to {high:.6g}; expected {rule}. End the layer "
            "with a Sigmoid"
        )


def _check_code(op: str, h: Tensor, desired: float) -> None:
    if h.ndim != 2 or not h.numel():
        raise ShapeError(f"{op}: h: got shape {h.shape}; expected (n, units), neither of them 0")
    if not 0 <= desired <= 1:
        raise ArgumentError(f"{op}: desired: got {desired}; expected an activity, from 0 to 1")
    _check_range(op, h, math.inf)


# ---------------------------------------------------------------- the two penalties


def sparsity_per_example(h: Tensor, desired: float, distance: str = "kl") -> Tensor:
    r"""(1/n) Σᵢ s(ρ̂, ρᵢ), with ρᵢ = (1/units) Σⱼ hᵢⱼ of each example: deck 003. Course: A10.

    Each image may light up a share ρ̂ of the units; which ones is left open.

    >>> import minigrad as mg
    >>> always_the_same = mg.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> sparsity_per_example(always_the_same, 0.5, "l1").item()
    0.0

    Raises ShapeError unless h is (n, units), ArgumentError for activations below 0 (with "kl" also
    above 1), or a desired activity that is none.
    """
    _check_code("sparsity_per_example", h, desired)
    return named(distance)(desired, h.mean(1)).mean()


def sparsity_per_unit(h: Tensor, desired: float, distance: str = "kl") -> Tensor:
    r"""Σⱼ s(ρ̂, ρⱼ), with ρⱼ = (1/n) Σᵢ hᵢⱼ of each unit over the batch: the usual one. Course: A10.

    Each unit is to be lit by a share ρ̂ of the images. It is a sum over the units, and knows the
    images of the batch only together: a larger batch measures ρⱼ better.

    >>> import minigrad as mg
    >>> always_the_same = mg.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> sparsity_per_unit(always_the_same, 0.5, "l1").item()
    1.0

    Raises what `sparsity_per_example` raises. Source: Ng, Sparse autoencoder, CS294A notes (2011).
    """
    _check_code("sparsity_per_unit", h, desired)
    return named(distance)(desired, h.mean(0)).sum()


PENALTIES: dict[str, Callable[[Tensor, float, str], Tensor]] = {
    "example": sparsity_per_example,
    "unit": sparsity_per_unit,
}
