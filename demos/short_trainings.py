"""What demos.vae_objectives trains: many small VAEs, for a short time each, on digits and discs."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import minigrad
from minigrad import Tensor, nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.serialization import load
from minigrad.training import Record, fit
from models.autoencoder import dense
from models.evaluation import Posteriors, kl_by_code, posteriors
from models.likelihoods import Likelihood
from models.vae import VAE, warm_up

# ---------------------------------------------------------------- discs

SIDE = 16  # pixels
SOFT = 0.06  # of the disc's edge
# The image reaches from -1 to 1. The factors differ in how much of the image they move: of two
# that move it equally, like x and y in the same range, any rotation of the codes does as well.
RANGES = {"x": (-0.6, 0.6), "y": (-0.3, 0.3), "radius": (0.2, 0.45), "backdrop": (0.0, 0.5)}


def draw_discs(factors: np.ndarray) -> np.ndarray:
    """White discs on grey, (n, 1, 16, 16), of factors (n, 4), named by RANGES.

    backdrop + (1 - backdrop) · sigmoid((radius - distance from (x, y)) / 0.06)

    >>> draw_discs(np.array([[0.0, 0.0, 0.3, 0.5]])).shape
    (1, 1, 16, 16)
    """
    at = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    x, y, radius, backdrop = factors.T[:, :, None, None]
    distance = np.hypot(at - x, at[:, None] - y)
    disc = 1 / (1 + np.exp((distance - radius) / SOFT))
    return (backdrop + (1 - backdrop) * disc)[:, None].astype(np.float32)


def discs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n discs and their factors (n, 4), independent, each uniform over its range."""
    low, high = np.array([*RANGES.values()]).T
    factors = low + (high - low) * np.random.default_rng(seed).random((n, len(RANGES)))
    return draw_discs(factors), factors


# ---------------------------------------------------------------- trainings


class DeepVAE(VAE):
    r"""Dense layers of given sizes, and their mirror image.

        x (n, 1, 28, 28) → 128 → 128 → 64 → mean, log_var (n, codes) and back

    with a ReLU after each but the last.
    """

    def __init__(
        self, sizes: tuple[int, ...], codes: int, image_shape: tuple[int, int, int],
        likelihood: Likelihood | None = None, beta: float = 1.0, free_bits: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(image_shape, codes, likelihood, beta, free_bits)
        pixels = int(np.prod(image_shape))
        self.encoder = nn.Sequential(nn.Flatten(), *dense((pixels, *sizes)), nn.ReLU())
        self.mean = nn.Linear(sizes[-1], codes)
        self.log_var = nn.Linear(sizes[-1], codes)
        back = dense((codes, *sizes[::-1], pixels))
        self.decoder = nn.Sequential(*back, nn.Unflatten(1, image_shape))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and log_var of q(z|x), each (n, codes)."""
        h = self.encoder(x)
        return self.mean(h), self.log_var(h)

    def decode(self, z: Tensor) -> Tensor:
        """What the likelihood makes p(x|z) of."""
        return self.decoder(z)


class Data(NamedTuple):
    """Images to train on and to test on, and what is known of the latter."""

    train: Tensor
    test: Tensor
    known: np.ndarray  # labels (n,) or factors (n, k) of the test images


class Recipe(NamedTuple):
    """A model and how it is trained."""

    name: str  # of its checkpoint
    make: Callable[[], VAE]
    minimise: str = "loss"  # which part of the loss
    lr: float = 2e-3
    batch: int = 64
    warm: int = 0  # epochs over which β grows
    seed: int = 0


class Training:
    """A model trained by its recipe, and its records: the loss's parts, and the KL of each code."""

    def __init__(self, recipe: Recipe, data: Data, args: argparse.Namespace) -> None:
        self.recipe, self.data, self.args = recipe, data, args
        minigrad.manual_seed(args.seed + recipe.seed)
        self.model = recipe.make().to(args.device)
        self.beta = self.model.beta

    def run(self, bar: tqdm) -> "Training":
        """Train, from the beginning or from where an earlier run was interrupted."""
        args, recipe = self.args, self.recipe
        checkpoint = args.folder / "checkpoints" / f"{recipe.name}.npz"
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        resume = args.resume and checkpoint.exists()
        done = load(checkpoint)["epoch"] if resume else 0
        bar.set_postfix_str(recipe.name)
        bar.update(min(done, args.epochs))
        self.set_beta(done + 1)

        def on_epoch(epoch: int, record: Record) -> Record:
            bar.update()
            self.set_beta(epoch + 1)
            return {f"kl of code {j}": float(kl) for j, kl in enumerate(self.kl_by_code())}

        self.records = fit(
            self.model, self.loss, self.optimizer(),
            DataLoader(TensorDataset(self.data.train), recipe.batch, shuffle=True), args.epochs,
            on_epoch=on_epoch, checkpoint=checkpoint, resume=resume, progress=False,
        )  # fmt: skip
        self.model.beta = self.beta
        self.model.eval()
        return self

    def set_beta(self, epoch: int) -> None:
        """β of that epoch."""
        self.model.beta = warm_up(self.beta, epoch, self.recipe.warm)

    def loss(self, model: VAE, x: Tensor) -> dict[str, Tensor]:
        """The parts of the loss, of which the recipe's is minimised."""
        parts = model.loss(x)
        return {**parts, "loss": parts[self.recipe.minimise]}

    def optimizer(self) -> optim.Adam:
        """Adam, ten times as fast for a σ² of the decoder: it is one number, and has far to go."""
        of_decoder = [*self.model.likelihood.parameters()]
        slow = [p for p in self.model.parameters() if all(p is not q for q in of_decoder)]
        groups = [{"params": slow}]
        if of_decoder:
            groups.append({"params": of_decoder, "lr": 10 * self.recipe.lr})
        return optim.Adam(groups, lr=self.recipe.lr)

    # ------------------------------------------------------------ measured on the test images

    def loader(self) -> DataLoader:
        """The test images."""
        return DataLoader(TensorDataset(self.data.test), 500)

    def posteriors(self) -> Posteriors:
        """q(z|x) of the test images."""
        return posteriors(self.model, self.loader())

    def kl_by_code(self) -> np.ndarray:
        """KL(q(z|x) ‖ p(z)) of each code, (codes,)."""
        return kl_by_code(self.posteriors())

    def course(self) -> np.ndarray:
        """The same after each epoch, (epochs, codes)."""
        names = [f"kl of code {j}" for j in range(self.model.codes)]
        return np.array([[record[name] for name in names] for record in self.records])

    def draws(self) -> np.ndarray:
        """One z ~ q(z|x) for each test image, (n, codes)."""
        mean, log_var = self.posteriors()
        noise = np.random.default_rng(self.args.seed).standard_normal(mean.shape)
        return mean + np.exp(log_var / 2) * noise

    def mse(self) -> float:
        """The mean squared error of the reconstructions."""
        squares = [((self.model.reconstruct(x) - x) ** 2).sum().item() for (x,) in self.loader()]
        return sum(squares) / self.data.test.numel()

    def pictures(self, images: Tensor) -> np.ndarray:
        """The reconstructions of images, (n, h, w)."""
        return self.model.reconstruct(images).cpu().numpy()[:, 0]

    def samples(self, n: int) -> np.ndarray:
        """n new images, (n, h, w)."""
        generator = minigrad.Generator(device=self.args.device).manual_seed(self.args.seed)
        return self.model.sample(n, generator).cpu().numpy()[:, 0]


def train_all(
    title: str, recipes: dict[str, Recipe], data: Data, args: argparse.Namespace
) -> dict[str, Training]:
    """Each recipe's training, by the recipe's key, under one progress bar."""
    with tqdm(desc=title, total=len(recipes) * args.epochs, unit=" epochs") as bar:
        return {key: Training(recipe, data, args).run(bar) for key, recipe in recipes.items()}


def folder_of(args: argparse.Namespace) -> Path:
    """Where the pictures go, made if need be."""
    folder = args.out / "vae_objectives"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
