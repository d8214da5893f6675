r"""The convolutional autoencoder: down to a code by strides, and up again (decks 000, 001).

A dense layer has a weight for every pixel; a kernel is the same wherever it looks. The encoder
halves the image twice. Which layer doubles it again is the decoder's question, with two answers:
the transposed convolution, Cᵀ for an encoder's C, or enlarging first and convolving after.
"""

from collections.abc import Sequence

from minigrad import Tensor, nn
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn import functional as F

DECODERS = "transposed", "resize"


def enlarge(fan_in: int, fan_out: int, decoder: str) -> list[nn.Module]:
    """Layers that turn (n, fan_in, h, w) into (n, fan_out, 2h, 2w)."""
    if decoder == "transposed":
        return [nn.ConvTranspose2d(fan_in, fan_out, 4, stride=2, padding=1)]
    return [nn.Upsample(scale_factor=2), nn.Conv2d(fan_in, fan_out, 3, padding=1)]


class ConvAutoencoder(nn.Module):
    r"""Two convolutions, a dense code, and the way back. Course: A6.

        x (n, 1, 28, 28) → (n, 16, 14, 14) → (n, 32, 7, 7) → code (n, 12)
                         → (n, 32, 7, 7) → (n, 16, 14, 14) → reconstruction (n, 1, 28, 28)

    with a ReLU between layers and none on the code. `decoder="transposed"` mirrors the encoder's
    convolutions by transposed ones of the same sizes; "resize" repeats each pixel 2×2 and then
    convolves. A kernel of 4 with stride 2 covers every pixel equally often, so that neither leaves
    a checkerboard by its geometry (Odena et al., distill.pub, 2016).

    The last layer is linear, and reconstructions leave [0, 1] by a little. A sigmoid would not let
    them. But most pixels are 0, so the first steps push its input far below 0, where it has no
    slope left, and the resize decoder may stay black: with Adam 2e-3, for each of three seeds.

    `channels` are those of the image and of the two convolutions; `size` is the image's side, a
    multiple of 4.

    >>> model = ConvAutoencoder()
    >>> sum(p.numel() for p in model.parameters())
    56173
    """

    def __init__(
        self, channels: Sequence[int] = (1, 16, 32), code: int = 12, decoder: str = "transposed",
        size: int = 28,
    ) -> None:  # fmt: skip
        super().__init__()
        channels = tuple(channels)
        if len(channels) != 3 or min(*channels, code) < 1:
            raise ArgumentError(
                f"ConvAutoencoder: channels, code: got {channels}, {code}; expected the channels "
                "of the image and of two convolutions, and the code's size"
            )
        if decoder not in DECODERS:
            raise ArgumentError(
                f"ConvAutoencoder: decoder: got {decoder!r}; expected one of {', '.join(DECODERS)}"
            )
        if size < 4 or size % 4:
            raise ArgumentError(f"ConvAutoencoder: size: got {size}; expected a multiple of 4")
        c, c1, c2 = channels
        self.image_shape = c, size, size
        quarter = c2, size // 4, size // 4
        pixels = c2 * (size // 4) ** 2
        self.encoder = nn.Sequential(
            # (n, 1, 28, 28)
            nn.Conv2d(c, c1, 4, stride=2, padding=1),
            nn.ReLU(True),
            # (n, 16, 14, 14)
            nn.Conv2d(c1, c2, 4, stride=2, padding=1),
            nn.ReLU(True),
            # (n, 32, 7, 7)
            nn.Flatten(),
            nn.Linear(pixels, code),
        )
        self.decoder = nn.Sequential(
            # (n, 12)
            nn.Linear(code, pixels),
            nn.ReLU(True),
            nn.Unflatten(1, quarter),
            # (n, 32, 7, 7)
            *enlarge(c2, c1, decoder),
            nn.ReLU(True),
            # (n, 16, 14, 14)
            *enlarge(c1, c, decoder),
            # (n, 1, 28, 28)
        )

    def encode(self, x: Tensor) -> Tensor:
        """h = f(x): the codes (n, code). Raises ShapeError for images of another size."""
        if x.shape[1:] != self.image_shape:
            raise ShapeError(
                f"ConvAutoencoder: x: got shape {x.shape}; expected {('n', *self.image_shape)}"
            )
        return self.encoder(x)

    def decode(self, h: Tensor) -> Tensor:
        """r = g(h): reconstructions (n, 1, 28, 28)."""
        return self.decoder(h)

    def forward(self, x: Tensor) -> Tensor:
        """r = g(f(x)), in the shape of x."""
        return self.decode(self.encode(x))

    def loss(self, x: Tensor, *labels: Tensor) -> Tensor:
        """(1/N) Σ (r - x)² over all N pixels of the batch; labels are not looked at."""
        return F.mse_loss(self(x), x)
