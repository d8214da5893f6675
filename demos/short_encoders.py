"""What the demos of an autoencoder's uses train: small dense models, for a short time each."""

import argparse
from collections.abc import Callable

import numpy as np

import minigrad
from demos.common import Images, load_images
from demos.vae_numbers import batches
from demos.vae_pictures import DIGITS, NAMES
from minigrad import Tensor, nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError
from minigrad.training import fit
from models.autoencoder import Autoencoder
from models.vae import VAE, DenseVAE

BATCH = 64
RATE = 2e-3  # of Adam


def checked(args: argparse.Namespace, quick_epochs: int) -> argparse.Namespace:
    """The flags, if these can be trained with: --data-dir alone means MNIST, and --quick is short.

    Raises ArgumentError if epochs or the code's size are below 1.
    """
    if args.epochs < 1 or args.code < 1:
        raise ArgumentError(
            f"--epochs, --code: got {args.epochs}, {args.code}; expected at least 1"
        )
    if args.dataset == "glyphs" and args.data_dir:
        args.dataset = "mnist"
    if args.quick:
        args.epochs = min(args.epochs, quick_epochs)
    return args


def named_images(
    args: argparse.Namespace, train: int, test: int
) -> tuple[Images, Images, tuple[str, ...]]:
    """The images to train on and to test on, and what their labels are called."""
    return *load_images(args, train, test), NAMES.get(args.dataset, DIGITS)


def plain(code: int) -> Autoencoder:
    """784-128-code and its mirror image, with a sigmoid."""
    return Autoencoder((784, 128, code), "sigmoid")


def variational(code: int) -> VAE:
    """784-256-code and its mirror image, Bernoulli pixels."""
    return DenseVAE(256, code)


def trained(
    make: Callable[[], nn.Module], images: Tensor, args: argparse.Namespace,
    loss: Callable[..., Tensor | dict[str, Tensor]] | None = None,
) -> nn.Module:  # fmt: skip
    """A model trained on images alone, without a label; the same seed gives the same one."""
    minigrad.manual_seed(args.seed)
    model = make().to(args.device)
    fit(
        model,
        loss or type(model).loss,
        optim.Adam(model.parameters(), lr=RATE),
        DataLoader(TensorDataset(images), BATCH, shuffle=True),
        args.epochs,
        progress=False,
    )
    model.eval()
    return model


@minigrad.no_grad()
def codes_of(model: nn.Module, images: Tensor) -> np.ndarray:
    """The codes (n, code) of images; of a VAE the means of q(z|x)."""
    found = [model.encode(x) for (x,) in batches(images)]
    return np.concatenate([(h[0] if isinstance(h, tuple) else h).cpu().numpy() for h in found])


@minigrad.no_grad()
def restored(model: nn.Module, images: Tensor) -> np.ndarray:
    """What a model makes of images, decode(encode(x)): pixels of their shape."""
    through = model.reconstruct if isinstance(model, VAE) else model
    return np.concatenate([through(x).cpu().numpy() for (x,) in batches(images)])
