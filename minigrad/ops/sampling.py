r"""Drawing a sample so that the draw has a derivative.

A draw z ~ N(μ, σ²) has no gradient; written as z = μ + σ ε with ε ~ N(0, 1) it has one: ε comes
from outside, and z is a plain function of μ and σ (deck 004; Kingma and Welling, arXiv 1312.6114).
"""

from minigrad.backend import Device, Generator, default_generator, device_of
from minigrad.engine import Variable, primitive
from minigrad.errors import ArgumentError, DeviceError
from minigrad.ops.arguments import check_tensors
from minigrad.ops.shape import broadcast_shape, broadcast_to


def stream(generator: Generator | None, where: Device) -> Generator:
    """The generator given, or the default one of the device; DeviceError if it is elsewhere."""
    if generator is None:
        return default_generator(where)
    if not hasattr(generator, "device"):
        raise ArgumentError(f"generator: got {generator!r}; expected a minigrad.Generator")
    if generator.device != where:
        raise DeviceError(
            f"generator: got one on {generator.device} for a tensor on {where}; expected one "
            f"made by Generator(device={str(where)!r})"
        )
    return generator


@primitive
def _draw(mean, std, eps):
    """z = μ + σ ⊙ ε"""
    return mean + std * eps


_draw.name = "reparameterize"
_draw.vjp(
    lambda g, y, mean, std, eps: g,
    lambda g, y, mean, std, eps: g * eps,
    lambda g, y, mean, std, eps: g * std,
)

STOCHASTIC = (_draw,)  # the primitives whose output is a draw; their last input is the noise


def reparameterize(
    mean: Variable,
    std: Variable,
    eps: Variable | None = None,
    *,
    generator: Generator | None = None,
) -> Variable:
    """z = μ + σ ⊙ ε: a draw from N(μ, σ²), one for each entry of the broadcast shape.

    ε is drawn from N(0, 1) by `generator`, or given (it may have further leading axes: several
    draws). Rules: ∂L/∂μ = g, ∂L/∂σ = g ⊙ ε.
    """
    check_tensors("reparameterize", mean, std, optional=eps)
    shape = broadcast_shape("reparameterize", mean.array.shape, std.array.shape)
    if eps is None:
        source = stream(generator, device_of(mean.array))
        eps = mean.family(source.normal(shape, mean.array.dtype))
    shape = broadcast_shape("reparameterize", shape, eps.array.shape)
    return _draw(
        *(x if x.array.shape == shape else broadcast_to(x, shape=shape) for x in (mean, std, eps))
    )
