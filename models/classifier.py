r"""A tiny convolutional network that tells digits apart: something to look into.

Convolution, ReLU and max pooling, twice, then one dense layer. What its units answer to is drawn
by `demos/feature_visualisation.py`.
"""

from collections.abc import Sequence

from minigrad import Tensor, nn
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn import functional as F


class Classifier(nn.Module):
    r"""Two convolutions k5, each pooled by 2, and a dense layer. Course: C13.

        x (n, 1, 28, 28) → (n, 8, 14, 14) → (n, 16, 7, 7) → logits (n, 10)

    `channels` are those of the image and of the two convolutions; `size` is the image's side, a
    multiple of 4. A unit of the second convolution looks at 14×14 pixels.

    >>> model = Classifier()
    >>> sum(p.numel() for p in model.parameters())
    11274
    """

    def __init__(
        self, channels: Sequence[int] = (1, 8, 16), classes: int = 10, size: int = 28
    ) -> None:
        super().__init__()
        channels = tuple(channels)
        if len(channels) != 3 or min(*channels, classes) < 1:
            raise ArgumentError(
                f"Classifier: channels, classes: got {channels}, {classes}; expected the channels "
                "of the image and of two convolutions, and the number of classes"
            )
        if size < 4 or size % 4:
            raise ArgumentError(f"Classifier: size: got {size}; expected a multiple of 4")
        c, c1, c2 = channels
        self.image_shape = c, size, size
        self.features = nn.Sequential(
            # (n, 1, 28, 28)
            nn.Conv2d(c, c1, 5, padding=2),
            nn.ReLU(True),
            nn.MaxPool2d(2),
            # (n, 8, 14, 14)
            nn.Conv2d(c1, c2, 5, padding=2),
            nn.ReLU(True),
            nn.MaxPool2d(2),
            # (n, 16, 7, 7)
        )
        self.head = nn.Linear(c2 * (size // 4) ** 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The logits (n, classes). Raises ShapeError for images of another size."""
        if x.shape[1:] != self.image_shape:
            raise ShapeError(
                f"Classifier: x: got shape {x.shape}; expected {('n', *self.image_shape)}"
            )
        return self.head(self.features(x).flatten(1))

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """-ln softmax(logits) of the right class, in nats, averaged over the batch."""
        return F.cross_entropy(self(x), labels)

    def accuracy(self, x: Tensor, labels: Tensor) -> float:
        """The share of images whose largest logit is that of their label."""
        return (self(x).argmax(1) == labels).float().mean().item()
