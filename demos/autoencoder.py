"""Deck 000's first autoencoder: ten digits squeezed through three numbers and back.

Exercise 3.2 with its numbers: 784-128-64-12-3 and the mirror image, ReLU, a final Tanh, mean
squared error, Adam 1e-3 with weight decay 1e-5, batches of 32 in order, 10 epochs.

What to see: after one epoch the reconstructions are blurred averages of similar digits; after ten
most are one digit, mostly the right one, though three numbers do not always tell 3, 5 and 8 apart.
The codes of a class lie together, and nobody told the network what a digit is.
`--sizes 784,256,32,2` trains a second architecture too and lays the curves over each other.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import minigrad
from demos.common import Images, expect_at_least, load_images, parser, run, table
from demos.pictures import (
    before_and_after,
    curves,
    input_over_output,
    load_png,
    save_gif,
    save_png,
    scatter_codes,
    shown,
)
from minigrad import Tensor, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError
from minigrad.training import fit
from models.autoencoder import OUTPUTS, Autoencoder

COURSE = "A1, A2, A3"
TIME = "half a minute"

DECK = (784, 128, 64, 12, 3)


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=10)
    made.add_argument(
        "--sizes", type=sizes, default=DECK,
        help="layer sizes from image to code; others than the deck's are compared with it",
    )  # fmt: skip
    made.add_argument("--output", choices=OUTPUTS, default="tanh", help="last layer (tanh)")
    made.add_argument("--batch-size", type=int, default=32)
    made.add_argument("--shuffle", action="store_true", help="the deck keeps the order")
    made.add_argument("--resume", action="store_true", help="continue an interrupted run")
    args = made.parse_args()
    expect_at_least(args, epochs=1)
    if args.sizes[0] != DECK[0]:
        raise ArgumentError(f"--sizes: got {args.sizes[0]} first; expected {DECK[0]}, an image")
    if args.quick:
        args.epochs = min(args.epochs, 2)
    return args


def sizes(text: str) -> tuple[int, ...]:
    """784,256,32,2 as numbers."""
    return tuple(map(int, text.split(",")))


class Training:
    """One architecture trained: its curves, its pictures of every epoch, its row of the table."""

    def __init__(self, sizes: tuple[int, ...], args: argparse.Namespace, data: list[Images]):
        self.args = args
        self.name = "-".join(map(str, sizes))
        self.train, self.test = data
        self.sample = shown(*self.test)
        self.folder = args.out / "autoencoder" / self.name
        minigrad.manual_seed(args.seed)
        self.model = Autoencoder(sizes, args.output).to(args.device)

    def run(self) -> None:
        """Train, from the beginning or from where an earlier run was interrupted."""
        args, checkpoint = self.args, self.folder / "checkpoint.npz"
        (self.folder / "epochs").mkdir(parents=True, exist_ok=True)
        self.draw_epoch(0)
        minigrad.manual_seed(args.seed)
        started = time.perf_counter()
        self.records = fit(
            self.model,
            Autoencoder.loss,
            optim.Adam(self.model.parameters(), lr=1e-3, weight_decay=1e-5),
            DataLoader(TensorDataset(*self.train), args.batch_size, args.shuffle),
            args.epochs,
            on_epoch=self.on_epoch,
            checkpoint=checkpoint,
            resume=args.resume and checkpoint.exists(),
        )
        self.seconds = time.perf_counter() - started

    def on_epoch(self, epoch: int, record: dict[str, float]) -> dict[str, float]:
        """Measure on images that were not trained on, and draw."""
        self.draw_epoch(epoch)
        return {"test": self.test_loss()}

    @minigrad.no_grad()
    def test_loss(self) -> float:
        """The mean squared error on the test images."""
        batches = DataLoader(TensorDataset(*self.test), 1000)
        total = sum(self.model.loss(x).item() * len(x) for x, _ in batches)
        return total / len(self.test.images)

    @minigrad.no_grad()
    def draw_epoch(self, epoch: int) -> None:
        """The sample over its reconstructions, as a file and as a frame of the animation."""
        save_png(input_over_output(self.sample, self.model(self.sample)), self.picture(epoch))

    def picture(self, epoch: int) -> Path:
        """Where the reconstructions after that epoch are drawn."""
        return self.folder / "epochs" / f"epoch_{epoch:02d}.png"

    @minigrad.no_grad()
    def codes(self) -> Tensor:
        """The codes of the test images."""
        return self.model.encode(self.test.images)

    def draw(self) -> None:
        """The pictures of the whole run."""
        last = self.records[-1]["epoch"]
        frames = [load_png(self.picture(epoch)) for epoch in range(last + 1)]
        before_and_after(
            frames[1], frames[-1], ("epoch 1", f"epoch {last}"), self.folder / "first_and_last.png"
        )
        save_gif(frames, self.folder / "reconstructions.gif")
        curves(self.lines("C0"), "mean squared error", self.folder / "loss.png")
        scatter_codes(
            self.codes().cpu().numpy(), self.test.labels.cpu().numpy(),
            f"codes of {len(self.test.images):,} test images", self.folder / "codes.png",
        )  # fmt: skip

    def lines(self, colour: str) -> dict[str, tuple[list[float], str]]:
        """The loss curves."""
        return {
            f"{self.name}, {part}": ([r[key] for r in self.records], f"{colour}{style}")
            for part, key, style in (("training", "loss", "--"), ("test", "test", "o-"))
        }

    def row(self) -> tuple:
        """The row of the closing table."""
        parameters = sum(p.numel() for p in self.model.parameters())
        speed = np.median([r["images_per_second"] for r in self.records])
        last = self.records[-1]
        return self.name, parameters, last["loss"], last["test"], self.seconds, int(speed)


def main() -> None:
    """Train, draw, and print the table."""
    args = flags()
    data = list(load_images(args, *((1000, 400) if args.quick else (40_000, 4_000))))
    architectures = [DECK] if args.sizes == DECK else [DECK, args.sizes]
    trainings = [Training(sizes, args, data) for sizes in architectures]
    for training in trainings:
        training.run()
        training.draw()
    if len(trainings) > 1:
        lines = {k: v for i, t in enumerate(trainings) for k, v in t.lines(f"C{i}").items()}
        curves(lines, "mean squared error", Path(args.out) / "autoencoder" / "compared.png")
    columns = "architecture", "parameters", "train MSE", "test MSE", "seconds", "images/s"
    print("\n" + table(columns, [t.row() for t in trainings]))
    print(f"\npictures in {args.out / 'autoencoder'}/: first_and_last.png, reconstructions.gif, …")


if __name__ == "__main__":
    run(main)
