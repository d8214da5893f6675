"""`FaceVAE` made ready to learn in minutes: batch normalisation, and weights that suit ReLUs.

As FaceVAE comes, its layers start with PyTorch's weights, and after each a third or less is left of
a signal's variance. Deck 002 does not tell its layers; the code that it refers to normalises too.
"""

import math

from minigrad import nn, no_grad, optim
from minigrad.optim.lr_scheduler import CosineAnnealingLR
from models.likelihoods import Likelihood
from models.vae import FaceVAE

VARIANCE = 0.05  # about that of a pixel over faces


def face_vae(codes: int, width: int, likelihood: Likelihood, size: int = 64) -> FaceVAE:
    """A FaceVAE for pictures of that size, each layer normalised except the first and the last.

    64 → 32 → 16 → 8 → 4 pixels a side; `width` channels after the first layer, twice as many after
    each further one.
    """
    layers = int(math.log2(size)) - 2
    model = FaceVAE(codes, (3, *(width * 2**i for i in range(layers))), likelihood)
    model.apply(suit_relu)
    with no_grad():
        for log_var in likelihood.parameters():  # of "shared": σ² = 1 is far off, and far to go
            log_var.fill_(math.log(VARIANCE))
    model.encoder = nn.Sequential(*normalised(model.encoder))
    model.decoder = nn.Sequential(*normalised(model.decoder)[:-1])
    return model


def suit_relu(layer: nn.Module) -> None:
    """Weights with which a signal keeps its size through ReLUs (He et al., arXiv 1502.01852).

    A pixel of a transposed convolution k4 s2 hears 4 of the 16 weights of each channel.
    """
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    elif isinstance(layer, nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / (4 * layer.weight.shape[0])))


def normalised(layers: nn.Sequential) -> list[nn.Module]:
    """The layers, with a batch normalisation after each that gives feature maps."""
    found: list[nn.Module] = []
    for layer in layers:
        found.append(layer)
        if isinstance(layer, nn.Conv2d):
            found.append(nn.BatchNorm2d(layer.weight.shape[0]))
        elif isinstance(layer, nn.ConvTranspose2d):
            found.append(nn.BatchNorm2d(layer.weight.shape[1]))
        elif isinstance(layer, nn.Unflatten):
            found.append(nn.BatchNorm2d(layer.unflattened_size[0]))
    return found


def adam(model: FaceVAE, epochs: int) -> tuple[optim.Adam, CosineAnnealingLR]:
    """Adam 2e-3, slower and slower; ten times that for the one number ln σ² of "shared"."""
    own = list(model.likelihood.parameters())
    rest = [p for p in model.parameters() if all(p is not q for q in own)]
    groups = [{"params": rest}, {"params": own, "lr": 2e-2}]
    optimizer = optim.Adam(groups if own else rest, lr=2e-3)
    return optimizer, CosineAnnealingLR(optimizer, epochs)
