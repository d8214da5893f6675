r"""Generative adversarial networks: two networks that learn from one another.

The generator G makes an example G(z) of noise z ~ N(0, 1). The discriminator D looks at examples
and says which are data. D learns to tell; G learns to be taken for data:

    min over G, max over D of   E ln D(x) + E ln (1 - D(G(z))).

Nowhere is it said how likely an example is: there is no density, only samples, and a judge that
learns what to look at. If D were the best possible at each moment, G would minimise the
Jensen-Shannon divergence of its samples from the data, which is least, -ln 4, where they agree and
D(x) = ½. (Deck 001; Goodfellow et al., arXiv 1406.2661. Other losses: `models/gan_losses.py`.)

Here are the players; `models/game.py` is the game.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from minigrad import Generator, Tensor, cat, nn, no_grad, randn
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.spectral_norm import spectral_norm

# ---------------------------------------------------------------- what the networks share


class GAN(nn.Module):
    """What all GANs share. A model adds the networks `generator` and `discriminator`.

    `shape` is that of an example: (2,) of points, (channels, height, width) of images. Images have
    pixels from 0 to 1, as everywhere here; the networks see and make them from -1 to 1, the range
    of Tanh: see `scaled`. `codes` numbers of noise make an example.

    With `classes` the GAN is conditional: both networks are told the class as well, one-hot, as
    further numbers beside z and beside a point, and as further channels beside an image.
    """

    generator: nn.Module  # (n, codes) → (n, *shape)
    discriminator: nn.Module  # (n, *shape) → (n, 1): logits, or scores

    def __init__(self, shape: Sequence[int], codes: int, classes: int = 0) -> None:
        super().__init__()
        self.shape = tuple(shape)
        if len(self.shape) not in (1, 3) or min(*self.shape, codes) < 1 or classes < 0:
            raise ArgumentError(
                f"{self._name}: shape, codes, classes: got {self.shape}, {codes}, {classes}; "
                "expected (numbers,) or (channels, height, width), at least one code, and no "
                "classes or some"
            )
        self.codes, self.classes = codes, classes

    @property
    def _name(self) -> str:
        return type(self).__name__

    def noise(self, n: int, generator: Generator | None = None) -> Tensor:
        """z ~ N(0, 1), (n, codes)."""
        like = next(iter(self.parameters()))
        return randn(n, self.codes, dtype=like.dtype, device=like.device, generator=generator)

    def make(self, z: Tensor, *labels: Tensor, by: nn.Module | None = None) -> Tensor:
        """G(z), (n, *shape), in the networks' units; `by` is another generator, G's average say."""
        network = self.generator if by is None else by
        return network(self._told(z, labels))

    def judge(self, x: Tensor, *labels: Tensor) -> Tensor:
        """D's answers a(x), (n,), to examples in the networks' units: logits, or scores."""
        return self.discriminator(self._told(x, labels)).reshape(len(x))

    def _told(self, x: Tensor, labels: Sequence[Tensor]) -> Tensor:
        """x, and beside it the class, if the GAN is conditional; else labels are not looked at."""
        if not self.classes:
            return x
        if not labels or labels[0].shape != (len(x),):
            got = f"shape {labels[0].shape}" if labels else "none"
            raise ShapeError(
                f"{self._name}: labels: got {got}; expected {(len(x),)}, the class of each example"
            )
        y = F.one_hot(labels[0], self.classes).to(x.dtype)
        y = y.reshape(*y.shape, *(1,) * (x.ndim - 2)).expand(*y.shape, *x.shape[2:])
        return cat([x, y], 1)

    # ------------------------------------------------------------ in the data's units

    def scaled(self, x: Tensor) -> Tensor:
        """Data as the networks see them: 2x - 1 of images, points as they are.

        Raises ShapeError for examples of another shape.
        """
        if x.shape[1:] != self.shape:
            raise ShapeError(f"{self._name}: x: got {x.shape}; expected {('n', *self.shape)}")
        return 2.0 * x - 1.0 if len(self.shape) == 3 else x

    @no_grad()
    def generate(self, z: Tensor, *labels: Tensor, by: nn.Module | None = None) -> Tensor:
        """The examples (n, *shape) of noise (n, codes); images from 0 to 1."""
        made = self.make(z, *labels, by=by)
        return 0.5 * (made + 1.0) if len(self.shape) == 3 else made

    def sample(
        self, n: int, *labels: Tensor, generator: Generator | None = None,
        by: nn.Module | None = None,
    ) -> Tensor:  # fmt: skip
        """n new examples; `generator` draws their noise. For batch norm's sake use eval mode."""
        return self.generate(self.noise(n, generator), *labels, by=by)

    @no_grad()
    def score(self, x: Tensor, *labels: Tensor) -> Tensor:
        """D's answers (n,) to data, or to samples: the larger the more real."""
        return self.judge(self.scaled(x), *labels)


def _dense(sizes: Sequence[int], activation: Callable[[], nn.Module]) -> list[nn.Module]:
    """Dense layers of these sizes, an activation between one and the next."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), activation()]
    return layers[:-1]


def _leaky() -> nn.Module:
    return nn.LeakyReLU(0.2)


def _normalised(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        spectral_norm(module)


# ---------------------------------------------------------------- dense


class MLPGAN(GAN):
    r"""Two dense networks, for points or small images. Course: G1, G2, G4.

        z (n, 4) → (n, 128) → (n, 128) → (n, 2)        ReLU between layers
        x (n, 2) → (n, 128) → (n, 128) → (n, 1)        LeakyReLU 0.2

    Images end in a Tanh. norm="spectral" divides each of D's weights by its largest singular value.

    >>> sum(p.numel() for p in MLPGAN().parameters())
    34435
    """

    def __init__(
        self, shape: Sequence[int] = (2,), codes: int = 4, hidden: Sequence[int] = (128, 128),
        norm: str = "none", classes: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(shape, codes, classes)
        hidden = tuple(hidden)
        if not hidden or min(hidden) < 1:
            raise ArgumentError(f"MLPGAN: hidden: got {hidden}; expected a layer or more")
        if norm not in ("none", "spectral"):
            raise ArgumentError(f"MLPGAN: norm: got {norm!r}; expected 'none' or 'spectral'")
        is_image, numbers = len(self.shape) == 3, math.prod(self.shape)
        if is_image and classes:
            raise ArgumentError(
                "MLPGAN: classes: got some for images; expected points. Use ConditionalGAN"
            )
        made = [nn.Unflatten(1, self.shape), nn.Tanh()] if is_image else []
        self.generator = nn.Sequential(*_dense((codes + classes, *hidden, numbers), nn.ReLU), *made)
        seen = [nn.Flatten()] if is_image else []
        judged = _dense((numbers + classes, *hidden, 1), _leaky)
        self.discriminator = nn.Sequential(*seen, *judged)
        if norm == "spectral":
            self.discriminator.apply(_normalised)


# ---------------------------------------------------------------- convolutional

NORMS = "batch", "layer", "none", "spectral"


class DCGAN(GAN):
    r"""Strided convolutions down to one answer, transposed ones up from noise. Course: G5.

        z (n, 100) → (n, 128, 7, 7) → (n, 64, 14, 14) → x (n, 1, 28, 28)
        x (n, 1, 28, 28) → (n, 64, 14, 14) → (n, 128, 7, 7) → (n, 1)

    or, for 64×64, 512 channels of 4×4 and halved four times. The plan of Radford et al.
    (arXiv 1511.06434): no pooling and no dense layer between; batch norm everywhere but on G's
    output and D's input; ReLU in G and a Tanh at its end, LeakyReLU 0.2 in D; weights from
    N(0, 0.02²), batch norm's from N(1, 0.02²). `width` is the number of channels at the largest
    size: 64, and 128 is the paper's generator. Its kernels are 5×5; those here are 4×4, which with
    stride 2 cover every pixel equally often. z is normal, where the paper's is uniform.

    `norm` is what D has between its layers: "batch"; "layer" or "none", for a critic with a
    gradient penalty, which batch norm would spoil; or "spectral", on every layer. Then D's weights
    begin as its layers' usually do.

    The image's side must be 4, 5, 6 or 7, doubled once or more.

    >>> sum(p.numel() for p in DCGAN().parameters())
    898370
    """

    def __init__(
        self, image_shape: Sequence[int] = (1, 28, 28), codes: int = 100, width: int = 64,
        norm: str = "batch", classes: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(image_shape, codes, classes)
        self._check(width, norm)
        c, side, _ = self.shape
        widths = [width]
        while side // 2 > 7:
            widths.append(2 * widths[-1])
            side //= 2
        smallest = widths[-1], side // 2, side // 2
        self.generator = nn.Sequential(*_up(codes + classes, smallest, [*widths[::-1], c]))
        self.discriminator = nn.Sequential(*_down([c + classes, *widths], self.shape[1], norm))
        (self if norm == "batch" else self.generator).apply(_published)
        if norm == "spectral":
            self.discriminator.apply(_normalised)

    def _check(self, width: int, norm: str) -> None:
        sides = {k << n for k in (4, 5, 6, 7) for n in range(1, 12)}
        if len(self.shape) != 3 or self.shape[1] != self.shape[2] or self.shape[1] not in sides:
            raise ArgumentError(
                f"{self._name}: image_shape: got {self.shape}; expected (channels, side, side), "
                "the side 4, 5, 6 or 7 doubled once or more, such as 28, 32 or 64"
            )
        if width < 1 or norm not in NORMS:
            raise ArgumentError(
                f"{self._name}: width, norm: got {width}, {norm!r}; expected at least 1, and one "
                f"of {', '.join(NORMS)}"
            )


def _up(inputs: int, smallest: Sequence[int], widths: Sequence[int]) -> list[nn.Module]:
    """From noise to an image: no bias where batch norm follows, which would take it away again."""
    twice = dict(kernel_size=4, stride=2, padding=1)
    layers: list[nn.Module] = [
        nn.Linear(inputs, math.prod(smallest), bias=False), nn.Unflatten(1, smallest),
        nn.BatchNorm2d(widths[0]), nn.ReLU(),
    ]  # fmt: skip
    for fan_in, fan_out in pairwise(widths[:-1]):
        layers += [nn.ConvTranspose2d(fan_in, fan_out, **twice, bias=False)]
        layers += [nn.BatchNorm2d(fan_out), nn.ReLU()]
    return [*layers, nn.ConvTranspose2d(*widths[-2:], **twice), nn.Tanh()]


def _down(widths: Sequence[int], side: int, norm: str) -> list[nn.Module]:
    """From an image to one number."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        first, side = not layers, side // 2
        between = {"batch": nn.BatchNorm2d(fan_out), "layer": nn.LayerNorm((fan_out, side, side))}
        has_norm = norm in between and not first
        layers.append(nn.Conv2d(fan_in, fan_out, 4, stride=2, padding=1, bias=not has_norm))
        layers += [between[norm], _leaky()] if has_norm else [_leaky()]
    return [*layers, nn.Flatten(), nn.Linear(widths[-1] * side * side, 1)]


def _published(module: nn.Module) -> None:
    """Initial weights as in the paper."""
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        init.normal_(module.weight, 1.0, 0.02)


class ConditionalGAN(DCGAN):
    r"""A DCGAN that is told the class: G makes an example of it, D asks if it is one. Course: G5.

        min over G, max over D of   E ln D(x, y) + E ln (1 - D(G(z, y), y))

    where y is the class of x. To G it comes one-hot beside the noise, to D as so many further
    channels, one of them all 1 and the others 0. (Mirza and Osindero, arXiv 1411.1784, whose
    networks are dense.)

    >>> from minigrad import arange
    >>> ConditionalGAN().eval().sample(10, arange(10)).shape
    (10, 1, 28, 28)
    """

    def __init__(self, classes: int = 10, **settings: Any) -> None:
        if classes < 2:
            raise ArgumentError(f"ConditionalGAN: classes: got {classes}; expected at least 2")
        super().__init__(**settings, classes=classes)
