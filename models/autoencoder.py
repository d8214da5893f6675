r"""The autoencoder: h = f(x), r = g(h), trained to return its input (decks 000, 001, 003).

The code h is smaller than x, so f must keep what g needs: no labels, the input is the target.

`demos/first_autoencoders.py` tells its history, with a file for each step of it. Course: A26.
"""

from collections.abc import Sequence
from itertools import pairwise

from minigrad import Tensor, nn
from minigrad.errors import ArgumentError
from minigrad.nn import functional as F

OUTPUTS = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "identity": nn.Identity}


def dense(sizes: Sequence[int]) -> list[nn.Module]:
    """Dense layers of these sizes, a ReLU between one and the next."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU(True)]
    return layers[:-1]


class Autoencoder(nn.Module):
    r"""A dense encoder and its mirror image. Course: A1, A2, A3, A4; with one layer A17.

        x (n, 784) → 128 → 64 → 12 → code (n, 3) → 12 → 64 → 128 → reconstruction (n, 784)

    with a ReLU between layers and none on the code. The default is deck 000's exercise 3.2, its
    final Tanh included: an odd choice for pixels in [0, 1], since Tanh can answer with negative
    ink. `output="sigmoid"` has the range of the data; "identity" has no bounds.

    Images (n, 1, 28, 28) are flattened on the way in and come back in their own shape.

    >>> model = Autoencoder((784, 32, 2))
    >>> sum(p.numel() for p in model.parameters())
    51154
    """

    def __init__(self, sizes: Sequence[int] = (784, 128, 64, 12, 3), output: str = "tanh") -> None:
        super().__init__()
        sizes = tuple(sizes)
        if len(sizes) < 2 or min(sizes) < 1:
            raise ArgumentError(
                f"Autoencoder: sizes: got {sizes}; expected the sizes from input to code"
            )
        if output not in OUTPUTS:
            raise ArgumentError(
                f"Autoencoder: output: got {output!r}; expected one of {', '.join(OUTPUTS)}"
            )
        self.encoder = nn.Sequential(*dense(sizes))
        self.decoder = nn.Sequential(*dense(sizes[::-1]), OUTPUTS[output]())

    def encode(self, x: Tensor) -> Tensor:
        """h = f(x): the codes (n, code size)."""
        return self.encoder(x.flatten(1))

    def decode(self, h: Tensor) -> Tensor:
        """r = g(h): flat reconstructions (n, input size)."""
        return self.decoder(h)

    def forward(self, x: Tensor) -> Tensor:
        """r = g(f(x)), in the shape of x."""
        return self.decode(self.encode(x)).reshape(x.shape)

    def loss(self, x: Tensor, *labels: Tensor) -> Tensor:
        """(1/N) Σ (r - x)² over all N pixels of the batch; labels are not looked at."""
        return F.mse_loss(self(x), x)
