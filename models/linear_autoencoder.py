r"""The linear autoencoder, and the principal components that it finds (decks 001, 003).

With f and g linear and the mean squared error as loss, the best that k codes can do is to project
an image onto the k directions in which the data varies most: those of principal component analysis
(Baldi and Hornik, Neural Networks 2, 1989). The autoencoder finds their span, and no more: f can be
followed by any invertible matrix M, and g preceded by M⁻¹. So its weights are not the components,
neither orthogonal nor in order, yet the angles between the two subspaces are 0.
"""

from typing import NamedTuple

from minigrad import Tensor, no_grad
from minigrad.backend import array_module
from minigrad.errors import ArgumentError, ShapeError
from models.autoencoder import Autoencoder


class LinearAutoencoder(Autoencoder):
    r"""h = W x + b, r = W′ h + b′, and nothing else. Course: A12.

    >>> LinearAutoencoder(784, 32)
    LinearAutoencoder(
      (encoder): Sequential(
        (0): Linear(in_features=784, out_features=32, bias=True)
      )
      (decoder): Sequential(
        (0): Linear(in_features=32, out_features=784, bias=True)
        (1): Identity()
      )
    )
    """

    def __init__(self, pixels: int = 784, codes: int = 32) -> None:
        super().__init__((pixels, codes), output="identity")

    def directions(self) -> Tensor:
        """The columns of W′, as rows (codes, pixels): reconstructions are b′ and a mix of them."""
        return self.decoder[0].weight.detach().T


class PCA(NamedTuple):
    """Principal components: orthonormal directions, in the order of the variance along them."""

    mean: Tensor  # (pixels,)
    components: Tensor  # (k, pixels)
    variances: Tensor  # (k,), divided by n

    def first(self, k: int) -> "PCA":
        """The first k of them."""
        return PCA(self.mean, self.components[:k], self.variances[:k])

    def encode(self, x: Tensor) -> Tensor:
        """The coordinates (n, k) of images along the components."""
        return (x.flatten(1) - self.mean) @ self.components.T

    def decode(self, h: Tensor) -> Tensor:
        """Flat images (n, pixels) from their coordinates."""
        return h @ self.components + self.mean

    def reconstruct(self, x: Tensor) -> Tensor:
        """The nearest images that k components can make, in the shape of x."""
        return self.decode(self.encode(x)).reshape(x.shape)


@no_grad()
def pca(x: Tensor, k: int) -> PCA:
    r"""The k principal components of the images x (n, …), from the singular values of x - mean.

    Their reconstructions have the least squared error that k codes can have by linear maps: per
    image, the sum of the variances left out. Raises ArgumentError unless 1 ≤ k ≤ min(n, pixels).
    """
    flat = x.flatten(1)
    if not 1 <= k <= min(flat.shape):
        raise ArgumentError(
            f"pca: k: got {k} for x {x.shape}; expected from 1 to {min(flat.shape)} components"
        )
    mean = flat.mean(0)
    xp = array_module(flat.array)
    _, sizes, rows = xp.linalg.svd((flat - mean).array, full_matrices=False)
    return PCA(mean, Tensor(rows[:k]), Tensor(sizes[:k] ** 2 / len(flat)))


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    r"""The angles between the spans of the rows of a (k, pixels) and of b (k, pixels), in radians.

    k of them, the largest first; all 0 where the spans are one. They are the arcsines of the
    singular values of (1 - A Aᵀ) B with orthonormal bases A and B, which unlike the arccosines of
    those of AᵀB are exact for small angles. Computed in float64.

    >>> from minigrad import tensor
    >>> x, y = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    >>> principal_angles(tensor([x, y]), tensor([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0]])).tolist()
    [0.0, 0.0]
    >>> principal_angles(tensor([x]), tensor([[1.0, 1.0, 0.0]])).item()  # 45°
    0.785398...

    Raises ShapeError unless both are (k, pixels) with k ≤ pixels. Source: Björck and Golub,
    Mathematics of Computation 27 (1973).
    """
    if a.shape != b.shape or a.ndim != 2 or not 0 < a.shape[0] <= a.shape[1]:
        raise ShapeError(
            f"principal_angles: got {a.shape} and {b.shape}; expected (k, pixels) twice"
        )
    xp = array_module(a.array)
    basis = [xp.linalg.qr(m.detach().double().array.T)[0] for m in (a, b)]
    apart = basis[1] - basis[0] @ (basis[0].T @ basis[1])
    return Tensor(xp.arcsin(xp.minimum(xp.linalg.svd(apart, compute_uv=False), 1.0)))
