"""What `demos.dcgan` plays with, and how its samples are judged: data, classifier, scores.

The judge is a small classifier that is trained here, on the labels that the data have: digits or
garments, the nine hair styles of drawn faces. Pictures of a folder have none; there it learns to
tell by how many quarter turns a picture was turned, and only what it sees on the way is used.
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import minigrad
from demos.common import DATASETS, load_faces, load_images
from demos.vae_faces import calm
from demos.vae_pictures import DIGITS, NAMES
from minigrad import Tensor, nn, optim, tensor
from minigrad.data import DataLoader, ImageDataset, TensorDataset
from minigrad.data.faces import FACTORS
from minigrad.data.portrait import STYLES
from minigrad.optim.lr_scheduler import CosineAnnealingLR
from minigrad.training import fit
from models.classifier import Classifier
from models.gan_scores import data_copying, features_of, frechet_distance, taken_for

SURE = 0.9  # a confidence above this
LESSONS = 3  # the classifier's passes through the data
COPIES = 500  # samples whose nearest training images are looked for


class Data(NamedTuple):
    """Images to train on and to test with, and what their labels say."""

    train: TensorDataset
    test: TensorDataset
    names: tuple[str, ...]  # of the labels; empty if there are none

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, height, width)"""
        return self.train[:1][0].shape[1:]


def load_data(args: argparse.Namespace, train: int, test: int) -> Data:
    """At most so many of each, of the dataset that the flags ask for."""
    if args.dataset in DATASETS:
        parts = load_images(args, train, test)
        pair = (TensorDataset(x[:n], y[:n]) for (x, y), n in zip(parts, (train, test), strict=True))
        return Data(*pair, NAMES.get(args.dataset, DIGITS))
    parts = load_faces(args, train, test, calm)
    drawn = args.dataset == "faces" and args.data_dir is None
    sets = []
    for rows in parts:
        pixels = rows.data.tensors[0].cpu().numpy()[rows.rows]
        labels = np.zeros(len(pixels), np.int64)
        if drawn:
            labels = rows.data.tensors[1].cpu().numpy()[rows.rows, FACTORS.index("hair_style")]
        sets.append(ImageDataset(pixels, labels.astype(np.int64), args.device))
    return Data(*sets, tuple(STYLES) if drawn else ())


def batches(images: Tensor, size: int = 250) -> Iterator[Tensor]:
    """Images in batches, in order."""
    for start in range(0, len(images), size):
        yield images[start : start + size]


def turned(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Images each turned by 0 to 3 quarters, in turn, and by how many."""
    quarters = np.arange(len(x)) % 4
    pixels = x.cpu().numpy()
    found = np.stack([np.rot90(a, k, axes=(1, 2)) for a, k in zip(pixels, quarters, strict=True)])
    return tensor(found, device=x.device), tensor(quarters, device=x.device)


def trained_classifier(data: Data, seed: int) -> Classifier:
    """A classifier of the training images, in evaluation mode."""
    minigrad.manual_seed(seed)
    c, size, _ = data.shape
    told = bool(data.names)
    device = data.test[:1][0].device
    model = Classifier((c, 8, 16), len(data.names) if told else 4, size).to(device)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    fit(
        model,
        lambda model, x, y: model.loss(*((x, y) if told else turned(x, y))),
        optimizer,
        DataLoader(data.train, 64, shuffle=True),
        LESSONS,
        scheduler=CosineAnnealingLR(optimizer, LESSONS),
    )
    return model.eval()


class Score(NamedTuple):
    """How good a set of images is."""

    distance: float  # Fréchet's, from the test images
    confidence: float  # of the classifier, averaged
    sure: float  # the share of images of which it is surer than SURE
    rarest: float  # the share of images taken for the rarest class
    commonest: float  # and for the commonest
    as_told: float  # the share of images taken for the class that they were made for


class Judge:
    """A trained classifier, and what it sees in the test images."""

    def __init__(self, data: Data, seed: int) -> None:
        self.data = data
        self.classifier = trained_classifier(data, seed)
        images, labels = data.test[:]
        self.test = features_of(self.classifier, batches(images))
        taken = taken_for(self.classifier, batches(images))
        self.accuracy = float((taken.labels == labels.cpu().numpy()).mean())

    def score(self, images: Tensor, labels: Tensor) -> Score:
        """Of images as many as there are test images; labels are what they were made for."""
        distance = frechet_distance(self.test, features_of(self.classifier, batches(images)))
        if not self.data.names:
            return Score(distance, *[float("nan")] * 5)
        taken = taken_for(self.classifier, batches(images))
        share = self.shares(images)
        return Score(
            distance, float(taken.confidence.mean()), float((taken.confidence > SURE).mean()),
            float(share.min()), float(share.max()),
            float((taken.labels == labels.cpu().numpy()).mean()),
        )  # fmt: skip

    def shares(self, images: Tensor) -> np.ndarray:
        """Which share of the images is taken for each class, (classes,); empty without names."""
        if not self.data.names:
            return np.zeros(0)
        found = taken_for(self.classifier, batches(images)).labels
        return np.bincount(found, minlength=len(self.data.names)) / len(images)

    def floor(self) -> Score:
        """The score of training images: data against data."""
        return self.score(*self.data.train[: len(self.data.test)])

    def copying(self, samples: Tensor) -> float:
        """P(a sample is nearer to the training images than a test image is)."""
        flat = [x.cpu().numpy() for x in (samples[:COPIES], self.data.train[:][0])]
        return data_copying(*flat, self.data.test[:COPIES][0])


def size_of(network: nn.Module) -> int:
    """How many parameters it has."""
    return sum(p.numel() for p in network.parameters())
