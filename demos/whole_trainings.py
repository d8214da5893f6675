"""Whole trainings, timed epoch by epoch: what a step takes once a model has learned something."""

import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from demos.benchmark_cases import on_device
from demos.benchmark_workers import (
    library_named,
    processes,
    reply,
    requests,
    take_turns,
    wait_for,
)
from demos.foreign_load import ForeignLoad, marked
from demos.workloads import Alone, Products, Step, w1, w2
from minigrad.data.glyphs import glyphs


class Training(NamedTuple):
    """A model to be trained on drawn digits."""

    name: str
    batch: int
    make: Callable[..., tuple[Step, Products]]


TRAININGS = (
    Training("W1 dense autoencoder, batch 32", 32, w1),
    Training("W2 VAE 784-512-2, batch 50", 50, w2),
    Training("W2 VAE 784-512-2, batch 128", 128, w2),
)


class Times(NamedTuple):
    """Seconds per step of each library in each epoch, and the most foreign load."""

    training: Training
    steps: int  # of an epoch
    seconds: dict[str, list[float]]
    load: float

    def cells(self) -> list[str]:
        """Its row of the table."""
        whole = {library: sum(found) * self.steps for library, found in self.seconds.items()}
        row = [
            marked(self.training.name, self.load),
            f"{self.steps * len(self.seconds['minigrad']):,}",
        ]
        for library, found in self.seconds.items():
            row += [f"{1e3 * found[0]:.2f}", f"{1e3 * found[-1]:.2f}", f"{whole[library]:.1f}"]
        theirs = whole.pop("torch", None)
        return [*row, *(f"{ours / theirs:.2f}" if theirs else "-" for ours in whole.values())]


def headings(libraries: list[str]) -> list[str]:
    """What stands above the cells."""
    each = [f"{name}: {what}" for name in libraries for what in ("first", "last", "all, s")]
    ratios = [f"{name} / torch" for name in libraries if name != "torch"]
    return ["ms per step in an epoch", "steps", *each, *ratios]


def batches(lib: Any, images: np.ndarray, size: int) -> Iterator:
    """The images in full batches, shuffled anew for each epoch, without an end."""
    rng, x = np.random.default_rng(0), lib.tensor(images)
    while True:
        order = lib.tensor(rng.permutation(len(images)))
        for start in range(0, len(images) - size + 1, size):
            yield x[order[start : start + size]]


def work_whole(name: str, path: str, device: str) -> None:
    """Answer each training's number on standard input with the time of its next epoch."""
    images, library = np.load(path), library_named(name)
    library.manual_seed(0)
    lib = on_device(library, device)
    steps: dict[int, Step] = {}
    for number in requests():
        training = TRAININGS[number]
        if number not in steps:
            learned = batches(lib, images, training.batch)
            steps[number] = training.make(lib, Alone(), training.batch, learned)[0]
        count = len(images) // training.batch
        with ForeignLoad() as load:
            start = time.perf_counter()
            for _ in range(count):
                steps[number]()
            wait_for(lib)
            seconds = (time.perf_counter() - start) / count
        reply(seconds, load)


def measure_whole(libraries: list[str], device: str, images: int, epochs: int) -> list[Times]:
    """Every training on so many drawn digits, the libraries in turn, an epoch each."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/images.npy"
        np.save(path, glyphs(images, seed=0).images.reshape(images, -1).astype(np.float32))
        with processes(libraries, "--device", device, "--images", path) as workers:
            for number, training in enumerate(TRAININGS):
                turns = tqdm(range(epochs), training.name, leave=False)
                found = take_turns(workers, number, training.name, turns, tries=1)
                rows.append(Times(training, images // training.batch, *found))
    return rows
