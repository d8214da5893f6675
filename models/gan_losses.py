r"""What the two players of a GAN minimise, and what keeps the discriminator smooth.

D answers an image x with one number a(x), the larger the more real: a logit, D(x) = σ(a), where the
loss speaks of probabilities; a score without bounds where it does not, and then D is often called
the critic. With r = a(x) for data, f = a(G(z)) for what the generator made, and means over both:

    name            the discriminator minimises              the generator minimises
    minimax         -E ln σ(r) - E ln (1 - σ(f))             E ln (1 - σ(f))
    non_saturating  -E ln σ(r) - E ln (1 - σ(f))             -E ln σ(f)
    least_squares   ½ E (r - 1)² + ½ E f²                    ½ E (f - 1)²
    hinge           E max(0, 1 - r) + E max(0, 1 + f)        -E f
    wasserstein     E f - E r                                -E f

The first is the game of deck 001, min over G of max over D. It has a flaw: early, D tells the fakes
easily, f → -∞, and there ln (1 - σ(f)) is flat, for its slope by f is -σ(f) = -D(G(z)). The second
asks the same of G by another curve, of slope -(1 - D(G(z))): steepest where G is worst.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from minigrad import Generator, Tensor, full_like, nn, no_grad, rand
from minigrad.autograd import grad
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn import functional as F

cross_entropy = F.binary_cross_entropy_with_logits  # -t ln σ(a) - (1 - t) ln (1 - σ(a))


def _labelled(a: Tensor, label: float) -> Tensor:
    """The cross-entropy of the answers with one label for all, averaged."""
    return cross_entropy(a, full_like(a, label))


# ---------------------------------------------------------------- the losses


class AdversarialLoss(NamedTuple):
    """The two losses of a game, scalars. Answers are (n,) or (n, 1)."""

    discriminator: Callable[[Tensor, Tensor, float], Tensor]  # of r, f, and the label of real data
    generator: Callable[[Tensor], Tensor]  # of f
    labels: bool = True  # whether data and fakes have labels, 1 and 0
    probabilities: bool = True  # whether D(x) = σ(a)


def _tell_apart(real: Tensor, fake: Tensor, label: float) -> Tensor:
    """-E ln σ(r) - E ln (1 - σ(f)), if the label is 1"""
    return _labelled(real, label) + _labelled(fake, 0.0)


LOSSES = {
    # Goodfellow et al., arXiv 1406.2661, eq. 1, and the remark below it
    "minimax": AdversarialLoss(_tell_apart, lambda f: -_labelled(f, 0.0)),
    "non_saturating": AdversarialLoss(_tell_apart, lambda f: _labelled(f, 1.0)),
    # Mao et al., arXiv 1611.04076, eq. 9
    "least_squares": AdversarialLoss(
        lambda r, f, label: 0.5 * ((r - label).square().mean() + f.square().mean()),
        lambda f: 0.5 * (f - 1.0).square().mean(),
        probabilities=False,
    ),
    # Lim and Ye, arXiv 1705.02894; at the bend the slope is that of the flat side
    "hinge": AdversarialLoss(
        lambda r, f, _: (1.0 - r).relu().mean() + (1.0 + f).relu().mean(),
        lambda f: -f.mean(),
        labels=False, probabilities=False,
    ),
    # Arjovsky et al., arXiv 1701.07875, eq. 2
    "wasserstein": AdversarialLoss(
        lambda r, f, _: f.mean() - r.mean(), lambda f: -f.mean(),
        labels=False, probabilities=False,
    ),
}  # fmt: skip


def named(name: str) -> AdversarialLoss:
    """The losses of that name.

    >>> from minigrad import tensor
    >>> a = tensor([-20.0], requires_grad=True)  # D is sure that it sees a fake
    >>> for name in ("minimax", "non_saturating"):
    ...     print(f"{name}: {grad(named(name).generator(a), a)[0].item():.2g}")
    minimax: -2.1e-09
    non_saturating: -1

    Raises ArgumentError if there are none.
    """
    if name not in LOSSES:
        raise ArgumentError(f"GAN: loss: got {name!r}; expected one of {', '.join(LOSSES)}")
    return LOSSES[name]


# ---------------------------------------------------------------- smoothness

Critic = Callable[..., Tensor]


def slopes(critic: Critic, x: Tensor, *labels: Tensor) -> Tensor:
    """∂a(xᵢ)/∂xᵢ of every example, (n, …), to be differentiated again.

    One sweep for all: an example's answer depends on no other example. With batch norm it would.
    """
    x = x.detach().requires_grad_()
    return grad(critic(x, *labels).sum(), x, create_graph=True)[0]


def gradient_penalty(
    critic: Critic, real: Tensor, fake: Tensor, *labels: Tensor,
    eps: Tensor | None = None, generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    r"""E (‖∂a(x̂)/∂x̂‖₂ - 1)², x̂ = ε x + (1 - ε) G(z), ε ~ U[0, 1]: one ε and one norm an example.

    The best critic of the Wasserstein loss has slope 1 almost everywhere between data and fakes
    that belong together; this asks for it on the lines between chance pairs. eps (n,), if given,
    is ε. At a slope of exactly 0 the norm counts as flat. (Gulrajani et al., arXiv 1704.00028.)

    Raises ShapeError if real and fake differ in shape.
    """
    if real.shape != fake.shape:
        raise ShapeError(
            f"gradient_penalty: got real {real.shape}, fake {fake.shape}; expected one shape"
        )
    n = len(real)
    if eps is None:
        eps = rand(n, dtype=real.dtype, device=real.device, generator=generator)
    eps = eps.reshape(n, *(1,) * (real.ndim - 1))
    between = eps * real.detach() + (1.0 - eps) * fake.detach()
    norms = slopes(critic, between, *labels).reshape(n, -1).norm(dim=1)
    return (norms - 1.0).square().mean()


def r1_penalty(critic: Critic, real: Tensor, *labels: Tensor) -> Tensor:
    """½ E ‖∂a(x)/∂x‖² on data: where the data are, D may not slope once the fakes are there too.

    (Mescheder et al., arXiv 1801.04406, eq. 9, without γ.)
    """
    return 0.5 * slopes(critic, real, *labels).reshape(len(real), -1).square().sum(1).mean()


@no_grad()
def clip_weights(network: nn.Module, limit: float) -> None:
    """Hold every parameter between -limit and limit, in place.

    Then the network's slopes are bounded, by something. (Arjovsky et al., arXiv 1701.07875.)
    """
    if not 0 < limit < math.inf:
        raise ArgumentError(f"clip_weights: limit: got {limit}; expected it above 0")
    for p in network.parameters():
        p.clamp_(-limit, limit)


def refuse_batch_norm(network: nn.Module, penalty: str) -> None:
    """Raise ArgumentError if the network has batch norm: its slopes are not those of one example.

    Instance norm and layer norm are of one example, and may stay.
    """
    for name, module in network.named_modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            raise ArgumentError(
                f"GAN: {penalty}: got a discriminator with batch norm, at {name!r}; expected none. "
                "The penalty is on the slope of D's answer to an example by that example, and with "
                "batch norm each answer depends on the whole batch. Use norm='layer' or 'none'"
            )
