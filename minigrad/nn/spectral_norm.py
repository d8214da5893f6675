r"""Spectral normalisation: a layer whose weight is divided by its largest singular value.

A layer x ↦ W x stretches no vector by more than σ(W), the largest singular value of W. Divided by
it, W / σ(W) stretches none at all: the layer is 1-Lipschitz, whatever is learned. σ is estimated by
power iteration on two vectors that are kept from step to step,

    v ← Wᵀ u / ‖Wᵀ u‖,    u ← W v / ‖W v‖,    σ = uᵀ W v,

one round at every forward pass in training: W changes little in a step, so the vectors keep up.
(Miyato et al., ICLR 2018, arXiv 1802.05957.)
"""

import functools
from typing import Any, TypeVar

from minigrad.creation import randn
from minigrad.engine import no_grad
from minigrad.errors import ArgumentError
from minigrad.nn.functional import normalize
from minigrad.nn.image_layers import ConvTranspose2d
from minigrad.nn.module import Module, Parameter
from minigrad.tensor import Tensor

M = TypeVar("M", bound=Module)


class SpectralNorm:
    """How the weight `name` of a module is computed from the parameter `name`_orig."""

    def __init__(self, name: str, n_power_iterations: int, eps: float, dim: int) -> None:
        self.name, self.n_power_iterations, self.eps, self.dim = name, n_power_iterations, eps, dim

    def matrix(self, weight: Tensor) -> Tensor:
        """The weight as a matrix, with a row for each entry of the axis `dim`."""
        others = (i for i in range(weight.ndim) if i != self.dim)
        return weight.permute(self.dim, *others).reshape(weight.shape[self.dim], -1)

    def vectors(self, module: Module) -> tuple[Tensor, Tensor]:
        """u and v: the estimates of the first singular vectors, left and right."""
        return getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")

    @no_grad()
    def iterate(self, module: Module) -> None:
        """So many rounds of power iteration, written into the module's u and v."""
        matrix = self.matrix(getattr(module, f"{self.name}_orig"))
        u, v = self.vectors(module)
        for _ in range(self.n_power_iterations):
            v.copy_(normalize(matrix.T @ u, dim=0, eps=self.eps))
            u.copy_(normalize(matrix @ v, dim=0, eps=self.eps))

    def weight(self, module: Module) -> Tensor:
        """W / σ, σ = uᵀ W v. u and v count as constants: σ's gradient by W is u vᵀ."""
        original = getattr(module, f"{self.name}_orig")
        u, v = (x.clone() for x in self.vectors(module))  # they change before backward does
        return original / (u @ (self.matrix(original) @ v))


@functools.cache
def _normalised(kind: type[Module], name: str) -> type[Module]:
    """A subclass of `kind` whose attribute `name` is W / σ."""

    def forward(self: Module, *inputs: Any, **options: Any) -> Any:
        if self.training:
            self.spectral_norm.iterate(self)
        return kind.forward(self, *inputs, **options)

    weight = property(lambda self: self.spectral_norm.weight(self))
    members = {name: weight, "forward": forward, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), members)


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
    dim: int | None = None,
) -> M:  # fmt: skip
    r"""Let the module compute with W / σ(W) in place of its parameter W = `name`; σ by u and v.

    Answers the same module. Its parameter is now `name`_orig, of which `name` is computed; u and v
    are buffers, saved with it. W counts as a matrix with a row for each entry of the axis `dim`:
    the outputs, which are axis 1 of a transposed convolution and axis 0 of others. In evaluation
    mode u and v stay. (`torch.nn.utils.spectral_norm`, but for the attribute `name` itself: it is
    computed whenever it is read, so never older than `name`_orig.)

    Of a convolution this is the norm of its kernel as a matrix, as in the paper; that of the map
    of images may be larger, up to √(kh kw) times at stride 1.

    >>> from minigrad import nn, tensor
    >>> layer = spectral_norm(nn.Linear(2, 2, bias=False), n_power_iterations=20)
    >>> _ = layer.load_state_dict({**layer.state_dict(), "weight_orig": tensor([[3.0, 0], [0, 1]])})
    >>> layer(tensor([[1.0, 1.0]])).detach()
    tensor([[1.0000, 0.3333]])

    Raises ArgumentError if there is no such parameter with two axes or more, if it is normalised
    already, or if n_power_iterations is below 1.
    """
    weight = vars(module).get(name)
    if hasattr(module, "spectral_norm"):
        raise ArgumentError(
            f"spectral_norm: got a {type(module).__name__} that has it already, on "
            f"{module.spectral_norm.name!r}; expected one without. Use remove_spectral_norm"
        )
    if not isinstance(weight, Parameter) or weight.ndim < 2:
        shape = getattr(weight, "shape", None)
        raise ArgumentError(
            f"spectral_norm: name: got {name!r} of {type(module).__name__}, "
            f"{'no parameter' if shape is None else f'of shape {shape}'}; expected a parameter "
            "with two axes or more"
        )
    if n_power_iterations < 1:
        raise ArgumentError(
            f"spectral_norm: n_power_iterations: got {n_power_iterations}; expected at least 1"
        )
    if dim is None:
        dim = 1 if isinstance(module, ConvTranspose2d) else 0
    if not -weight.ndim <= dim < weight.ndim:
        raise ArgumentError(
            f"spectral_norm: dim: got {dim}; expected an axis of {name!r}, {weight.shape}"
        )
    how = SpectralNorm(name, n_power_iterations, eps, dim % weight.ndim)
    rows, columns = how.matrix(weight).shape
    delattr(module, name)
    module.__class__ = _normalised(type(module), name)
    module.spectral_norm = how
    module.register_parameter(f"{name}_orig", weight)
    for letter, size in (("u", rows), ("v", columns)):
        start = normalize(randn(size, dtype=weight.dtype, device=weight.device), dim=0, eps=eps)
        module.register_buffer(f"{name}_{letter}", start)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make the present W / σ(W) a parameter again: undoes `spectral_norm`, but for the division.

    Raises ArgumentError if the module's `name` is not normalised.
    """
    how = getattr(module, "spectral_norm", None)
    if how is None or how.name != name:
        raise ArgumentError(
            f"remove_spectral_norm: name: got {name!r} of {type(module).__name__}, which has no "
            "spectral norm; expected one that spectral_norm made"
        )
    weight = Parameter(how.weight(module).detach())
    buffers = {f"{name}_u", f"{name}_v"}
    module.__class__ = type(module).__mro__[1]
    for part in ("spectral_norm", f"{name}_orig", *buffers):
        delattr(module, part)
    module._buffers = {k: kept for k, kept in module._buffers.items() if k not in buffers}
    module.register_parameter(name, weight)
    return module
