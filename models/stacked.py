r"""The stacked autoencoder, trained one layer at a time before all together (deck 003).

A deep network that starts at random passes little of the error back to its first layers. So each
layer is first trained alone, as an autoencoder of what the layer below it answers, from the bottom
up; then the halves are stacked and all of it is trained (fine-tuned) as one. An epoch of each layer
costs no more arithmetic than one epoch of the whole. (Ballard, AAAI 1987; Bengio, Lamblin, Popovici
and Larochelle, NeurIPS 2006.)
"""

from minigrad import Generator, Tensor, nn, no_grad, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError
from minigrad.nn import functional as F
from minigrad.training import Record, fit
from models.autoencoder import Autoencoder


class Layer(nn.Module):
    """One layer of a stack and the layer that undoes it: an autoencoder of what comes from below.

    Its two halves are those of the stack themselves, not copies.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, h: Tensor) -> Tensor:
        """g(f(h))"""
        return self.decoder(self.encoder(h))

    def loss(self, h: Tensor, *labels: Tensor) -> Tensor:
        """(1/N) Σ (g(f(h)) - h)² over all N entries of the batch"""
        return F.mse_loss(self(h), h)


class StackedAutoencoder(Autoencoder):
    r"""An autoencoder whose layers can be trained one by one. Course: A17.

        x → 784 → 128 → 64 → 12 → 3 → 12 → 64 → 128 → 784        Autoencoder
        layer 0:  784 → 128 → 784    of images
        layer 1:        128 → 64 → 128    of what layer 0 makes of them, and so on

    >>> model = StackedAutoencoder((784, 64, 8))
    >>> model.layer(1)
    Layer(
      (encoder): Sequential(
        (2): Linear(in_features=64, out_features=8, bias=True)
      )
      (decoder): Sequential(
        (0): Linear(in_features=8, out_features=64, bias=True)
      )
    )
    """

    @property
    def depth(self) -> int:
        """How many layers the encoder has."""
        return len(self.decoder) // 2

    def layer(self, k: int) -> Layer:
        """Layer k with the activation that follows it, and its mirror image.

        What an inner layer returns is compared before the ReLU that follows it in the stack. Its
        target is 0 or more, so the ReLU can but bring it nearer; and an entry that the ReLU holds
        at 0 for every image would have no gradient, and stay there.
        """
        if not 0 <= k < self.depth:
            raise ArgumentError(f"layer: k: got {k}; expected from 0 to {self.depth - 1}")
        mirrored = 2 * (self.depth - 1 - k)
        back = self.decoder[mirrored : mirrored + (1 if k else 2)]
        return Layer(self.encoder[2 * k : 2 * k + 2], back)

    def below(self, x: Tensor, k: int) -> Tensor:
        """What layer k is given: the images x after the layers before it."""
        return self.encoder[: 2 * k](x.flatten(1))

    def pretrain(
        self, x: Tensor, epochs: int, lr: float = 1e-3, batch_size: int = 32,
        generator: Generator | None = None, progress: bool = True,
    ) -> list[list[Record]]:  # fmt: skip
        """Train each layer alone on the images x, by Adam, from the bottom up; no other moves.

        The records of `fit` for each layer. What is left is to `fit` the whole.
        """
        records = []
        for k in range(self.depth):
            with no_grad():
                h = self.below(x, k)
            layer = self.layer(k)
            loader = DataLoader(TensorDataset(h), batch_size, shuffle=True, generator=generator)
            optimizer = optim.Adam(layer.parameters(), lr=lr)
            records.append(fit(layer, Layer.loss, optimizer, loader, epochs, progress=progress))
        return records
