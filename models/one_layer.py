r"""The smallest autoencoder, with its gradient written out by hand (deck 003).

Rumelhart, Hinton and Williams had their networks return their own input through a narrow layer in
1986, by this gradient. It is the chain rule from the loss back to the first layer; automatic
differentiation does the same, one operation at a time, and comes to the same numbers.
"""

from minigrad import Tensor, no_grad
from models.autoencoder import Autoencoder
from models.regularized import sigmoid_layers


class OneLayerAutoencoder(Autoencoder):
    r"""z = σ(W x + b), x′ = σ(W′ z + b′). Course: A1, A17.

    >>> model = OneLayerAutoencoder(784, 32)
    >>> list(model.state_dict())
    ['encoder.0.weight', 'encoder.0.bias', 'decoder.0.weight', 'decoder.0.bias']
    """

    def __init__(self, pixels: int = 784, codes: int = 32) -> None:
        super().__init__((pixels, codes), output="sigmoid")
        self.encoder = sigmoid_layers((pixels, codes))

    def loss(self, x: Tensor, *labels: Tensor) -> Tensor:
        """(1/N) Σᵢ ‖xᵢ - σ(W′ σ(W xᵢ + b) + b′)‖²: the deck's, summed over the pixels."""
        return (self(x) - x).square().sum() / len(x)

    @no_grad()
    def gradient_by_hand(self, x: Tensor) -> dict[str, Tensor]:
        r"""∂loss/∂p of every parameter p, by name, as the chain rule has it on paper.

            a = W x + b      z = σ(a)      a′ = W′ z + b′      x′ = σ(a′)      σ′ = σ (1 - σ)

            δ′ = ∂L/∂a′ = (2/N) (x′ - x) ⊙ x′ (1 - x′)        ∂L/∂W′ = Σ δ′ zᵀ    ∂L/∂b′ = Σ δ′
            δ  = ∂L/∂a  = (W′ᵀ δ′) ⊙ z (1 - z)                ∂L/∂W  = Σ δ xᵀ     ∂L/∂b  = Σ δ

        In code an example is a row, so the sums over the examples are matrix products.
        """
        x = x.flatten(1)
        z = self.encode(x)
        r = self.decode(z)
        delta_out = (2.0 / len(x)) * (r - x) * r * (1.0 - r)  # δ′
        delta = (delta_out @ self.decoder[0].weight) * z * (1.0 - z)  # δ
        return {
            "encoder.0.weight": delta.T @ x,
            "encoder.0.bias": delta.sum(0),
            "decoder.0.weight": delta_out.T @ z,
            "decoder.0.bias": delta_out.sum(0),
        }
