r"""How codes answer to images, and images to codes: the Jacobians of encoder and decoder.

Of an encoder h = f(x), J = ∂f/∂x of one example is a matrix, codes × pixels. Its squared norm
‖J‖²_F = Σ (∂hⱼ/∂xₖ)² is what a contractive autoencoder pays for: small J, and what is near x has
nearly its code, since to first order

    ‖f(x + δ) - f(x)‖ ≤ ‖J‖_F ‖δ‖.

A backward pass gives Jᵀv, a row of J for each v = eⱼ. It is itself differentiable, so that the
penalty can be trained through (double backward). Examples go through f side by side and independent
of one another; hence one pass gives that row for all of them. Batch norm in training is no such f.

Of a decoder r = g(h), the columns ∂g/∂hⱼ are the tangent vectors of the surface that g draws in the
space of images.
"""

from collections.abc import Callable

from minigrad import Generator, Tensor, enable_grad, is_grad_enabled, stack, zeros_like
from minigrad.autograd import grad
from minigrad.errors import ArgumentError, ShapeError
from minigrad.ops.sampling import stream

Map = Callable[[Tensor], Tensor]


def _open(op: str, f: Map, x: Tensor) -> tuple[Tensor, Tensor]:
    """x as something to differentiate by, and y = f(x) as (n, outputs)."""
    if x.ndim < 2 or not x.numel():
        raise ShapeError(f"{op}: x: got shape {x.shape}; expected a batch, (n, …), of one or more")
    x = x if x.requires_grad else x.detach().requires_grad_()
    y = f(x)
    if y.ndim < 2 or len(y) != len(x):
        raise ShapeError(f"{op}: got {y.shape} for {x.shape}; expected {len(x)} rows of outputs")
    return x, y.flatten(1)


def _rows(x: Tensor, h: Tensor, create_graph: bool) -> list[Tensor]:
    """∂hⱼ/∂x of every example, for each code j: one backward pass each."""
    rows = []
    for j in range(h.shape[1]):
        e = zeros_like(h)
        e[:, j] = 1.0
        rows += grad(h, x, e, retain_graph=True, create_graph=create_graph)
    return rows


# ---------------------------------------------------------------- the matrices themselves


def jacobian(f: Map, x: Tensor) -> Tensor:
    """∂f/∂x of each example: (n, codes, *x.shape[1:]), without a graph. One backward per code.

    >>> from minigrad import nn, zeros
    >>> layer = nn.Linear(3, 2)
    >>> bool((jacobian(layer, zeros(5, 3)) == layer.weight).all())
    True
    """
    with enable_grad():
        x, h = _open("jacobian", f, x)
        return stack(_rows(x, h, create_graph=False), 1)


def frobenius_norm(f: Map, x: Tensor) -> Tensor:
    """‖∂f/∂x‖_F of each example, (n,), without a graph."""
    return jacobian(f, x).flatten(1).norm(dim=1)


def tangents(g: Map, h: Tensor) -> Tensor:
    r"""∂g/∂hⱼ at each code, for each j: (n, codes, *g(h).shape[1:]), without a graph. Course: A25.

    The direction in which the image moves when code j grows. These are columns of ∂g/∂h, of which a
    backward pass gives rows, one for each pixel. But Jᵀv is linear in v; its derivative in v,
    by a second backward pass, is J. That makes one pass for each code.
    """
    with enable_grad():
        if h.ndim != 2 or not h.numel():
            raise ShapeError(f"tangents: h: got shape {h.shape}; expected (n, codes)")
        h = h.detach().requires_grad_()
        r = g(h)
        v = zeros_like(r).requires_grad_()
        (pulled,) = grad(r, h, v, create_graph=True)  # Jᵀv
        return stack(_rows(v, pulled, create_graph=False), 1)


# ---------------------------------------------------------------- the penalty


def contraction(f: Map, x: Tensor) -> Tensor:
    r"""(1/n) Σᵢ ‖∂f/∂x at xᵢ‖²_F, to be trained through; any f. Course: A7.

    One backward pass per code, recorded: the gradient of the penalty needs second derivatives of f.
    Those of a ReLU are 0, for the jump of its slope at 0 is not seen.
    """
    recorded = is_grad_enabled()
    with enable_grad():
        rows = _rows(*_open("contraction", f, x), create_graph=recorded)
    return sum(row.square().sum() for row in rows) / len(x)


def contraction_estimate(
    f: Map, x: Tensor, draws: int = 1, generator: Generator | None = None,
    *, v: Tensor | None = None,
) -> Tensor:  # fmt: skip
    r"""An unbiased estimate of `contraction`, one backward pass per draw. Course: A7.

        E ‖Jᵀv‖² = E vᵀ J Jᵀ v = tr J Jᵀ = ‖J‖²_F    where E v vᵀ = 1: each vⱼ is ±1, as likely

    The signs are drawn for every example apart, or given, `v` (draws, n, codes). Signs have the
    least variance of all independent v: the diagonal of J Jᵀ comes out exactly, for vⱼ² = 1.
    Source: Hutchinson, Communications in Statistics 18 (1989), 1059-1076.
    """
    if draws < 1:
        raise ArgumentError(f"contraction_estimate: draws: got {draws}; expected at least 1")
    recorded = is_grad_enabled()
    with enable_grad():
        x, h = _open("contraction_estimate", f, x)
    if v is None:
        coins = stream(generator, x.device).integers(0, 2, (draws, *h.shape))
        v = Tensor((2 * coins - 1).astype(h.dtype))
    if v.ndim != 3 or not len(v) or v.shape[1:] != h.shape:
        raise ShapeError(f"contraction_estimate: v: got {v.shape}; expected {('draws', *h.shape)}")
    total = 0.0
    for i in range(len(v)):
        (pulled,) = grad(h, x, v[i], retain_graph=True, create_graph=recorded)  # Jᵀv
        total = total + pulled.square().sum()
    return total / (len(x) * len(v))


def contraction_of_sigmoid_layer(h: Tensor, weight: Tensor) -> Tensor:
    r"""`contraction` of f(x) = σ(W x + b) in closed form, from its codes h. Course: A7.

        ∂hⱼ/∂xₖ = hⱼ (1 - hⱼ) Wⱼₖ        (1/n) Σᵢ Σⱼ (hᵢⱼ (1 - hᵢⱼ))² Σₖ Wⱼₖ²

    h is (n, codes), W (codes, pixels). Source: Rifai et al., ICML 2011.
    """
    if h.ndim != 2 or weight.ndim != 2 or h.shape[1] != len(weight) or not len(h):
        raise ShapeError(
            f"contraction_of_sigmoid_layer: got h {h.shape}, weight {weight.shape}; expected "
            "(n, codes) and (codes, pixels)"
        )
    slope = h * (1.0 - h)
    return (slope.square() @ weight.square().sum(1)).mean()
