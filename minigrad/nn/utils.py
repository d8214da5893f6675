"""What acts on the parameters of a model, or on their gradients, as a whole."""

import math
from collections.abc import Iterable

from minigrad.creation import zeros
from minigrad.engine import no_grad
from minigrad.errors import ArgumentError, NonFiniteError, ShapeError
from minigrad.nn.spectral_norm import remove_spectral_norm as remove_spectral_norm
from minigrad.nn.spectral_norm import spectral_norm as spectral_norm
from minigrad.ops.reduction import norm
from minigrad.ops.shape import cat, stack
from minigrad.tensor import Tensor


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]


@no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0,
    error_if_nonfinite: bool = True,
) -> Tensor:  # fmt: skip
    """Scale all gradients by one factor so that their norm, taken as one vector, is ≤ max_norm.

    Answers the norm before. A norm that is NaN or infinite raises NonFiniteError and changes
    nothing; with `error_if_nonfinite=False`, PyTorch's default, it spoils every gradient.
    """
    if not max_norm >= 0:
        raise ArgumentError(f"clip_grad_norm_: max_norm: got {max_norm}; expected at least 0")
    gradients = _gradients(parameters)
    if not gradients:
        return zeros(())
    total = norm(stack([norm(g, norm_type) for g in gradients]), norm_type)
    if error_if_nonfinite and not math.isfinite(value := total.item()):
        raise NonFiniteError(
            f"clip_grad_norm_: got gradients of norm {value}; expected a finite norm. "
            "Look for the first loss that is not finite, or lower the learning rate"
        )
    scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
    for g in gradients:
        g.mul_(scale)
    return total


@no_grad()
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Hold every entry of every gradient between -clip_value and clip_value."""
    for g in _gradients(parameters):
        g.clamp_(-clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All entries, one parameter after the other, as one vector."""
    return cat([p.reshape(-1) for p in parameters])


@no_grad()
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the stretches of a vector into the parameters: undoes `parameters_to_vector`."""
    parameters = list(parameters)
    sizes = [p.numel() for p in parameters]
    if vec.shape != (sum(sizes),):
        raise ShapeError(f"vector_to_parameters: got {vec.shape}; expected {(sum(sizes),)}")
    for p, part in zip(parameters, vec.split(sizes), strict=True):
        p.copy_(part.reshape(p.shape))
