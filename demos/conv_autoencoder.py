"""Dense or convolutional, and which layers in the decoder: four autoencoders with the same code.

The same images, epochs, seed and optimiser (Adam 2e-3, batches of 64); only the layers differ. The
dense one has as many parameters as the convolutional ones, the wide one four times as many.

What to see: with the same code the convolutional ones err half as much as the dense one, and keep
the stroke of each hand where that draws what is usual. Between the two decoders there is little to
choose but time: of images that are enlarged first, a convolution has four times the pixels to read.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import minigrad
from demos.common import Images, load_images, parser, run, table
from demos.pictures import Panel, curves, draw_panels, each_by_its_largest, mosaic, shown
from minigrad import Tensor, nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError
from minigrad.training import fit
from models.autoencoder import Autoencoder
from models.conv_autoencoder import ConvAutoencoder

COURSE = "A6"
TIME = "a minute"


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=6)
    made.add_argument("--code", type=int, default=12, help="numbers in the code (default 12)")
    made.add_argument("--batch-size", type=int, default=64)
    made.add_argument("--resume", action="store_true", help="continue an interrupted run")
    args = made.parse_args()
    if args.epochs < 1 or args.code < 1 or args.batch_size < 1:
        raise ArgumentError(
            f"epochs, code, batch size: got {args.epochs}, {args.code}, {args.batch_size}; "
            "expected at least 1"
        )
    if args.quick:
        args.epochs = min(args.epochs, 2)
    return args


def size(model: nn.Module) -> int:
    """The number of parameters."""
    return sum(p.numel() for p in model.parameters())


def makers(code: int) -> dict[str, Callable[[], nn.Module]]:
    """What makes each model, by the name it has in the pictures."""
    # 784 → h → code → h → 784 has h (2·784 + 2·code + 2) + code + 784 parameters
    like = size(ConvAutoencoder(code=code)) - code - 784
    hidden = round(like / (2 * 784 + 2 * code + 2))
    return {
        "dense": lambda: Autoencoder((784, hidden, code), "identity"),
        "wide": lambda: Autoencoder((784, 128, 64, code), "identity"),
        "transposed": lambda: ConvAutoencoder(code=code, decoder="transposed"),
        "resize": lambda: ConvAutoencoder(code=code, decoder="resize"),
    }


class Training:
    """One model trained: its curve, its reconstructions, its row of the table."""

    def __init__(
        self, name: str, make: Callable[[], nn.Module], args: argparse.Namespace, data: list[Images]
    ):
        self.name, self.args = name, args
        self.train, self.test = data
        minigrad.manual_seed(args.seed)
        self.model = make().to(args.device)

    def run(self, folder: Path) -> None:
        """Train, from the beginning or from where an earlier run was interrupted."""
        args, checkpoint = self.args, folder / f"{self.name}.npz"
        minigrad.manual_seed(args.seed)
        print(self.name)
        self.records = fit(
            self.model,
            type(self.model).loss,
            optim.Adam(self.model.parameters(), lr=2e-3),
            DataLoader(TensorDataset(*self.train), args.batch_size, shuffle=True),
            args.epochs,
            on_epoch=lambda epoch, record: {"test": self.test_loss()},
            checkpoint=checkpoint,
            resume=args.resume and checkpoint.exists(),
        )

    @minigrad.no_grad()
    def test_loss(self) -> float:
        """The mean squared error on the test images."""
        batches = DataLoader(TensorDataset(*self.test), 250)
        return sum(self.model.loss(*b).item() * len(b[0]) for b in batches) / len(self.test.images)

    @minigrad.no_grad()
    def outputs(self, images: Tensor) -> np.ndarray:
        """What the model makes of images, as pictures (n, 28, 28)."""
        return self.model(images).cpu().numpy()[:, 0]

    def lines(self, colour: str) -> dict[str, tuple[list[float], str]]:
        """The loss curves."""
        return {
            f"{self.name}, {part}": ([r[key] for r in self.records], f"{colour}{style}")
            for part, key, style in (("training", "loss", "--"), ("test", "test", "o-"))
        }

    def row(self) -> tuple:
        """The row of the closing table."""
        speed = np.median([r["images_per_second"] for r in self.records])
        last, seconds = self.records[-1], sum(r["seconds"] for r in self.records)
        return self.name, size(self.model), last["loss"], last["test"], seconds, int(speed)


# ---------------------------------------------------------------- pictures


def draw_reconstructions(trainings: list[Training], images: Tensor, path: Path) -> None:
    """The images over what each model makes of them."""
    rows = [("input", [Panel(mosaic(images.cpu().numpy()[:, 0]))])]
    for training in trainings:
        name = f"{training.name}\n{training.records[-1]['test']:.4f}"
        rows.append((name, [Panel(mosaic(training.outputs(images)))]))
    draw_panels(rows, path)


def kernels(layer: nn.Module, title: str) -> Panel:
    """The kernels of a layer that has one grey image at one end."""
    weight = layer.weight.detach().cpu().numpy()
    return Panel(mosaic(weight.reshape(-1, *weight.shape[2:]), 4), title, signed=True)


def maps(x: Tensor, columns: int) -> Panel:
    """Feature maps (1, c, h, w), each with its largest value white."""
    pictures = each_by_its_largest(x.cpu().numpy()[0])
    c, h, w = pictures.shape
    return Panel(mosaic(pictures, columns), f"{c} maps {h} × {w}")


@minigrad.no_grad()
def way_through(model: ConvAutoencoder, x: Tensor) -> tuple[list[Panel], list[Panel]]:
    """An image (1, 1, 28, 28) between the layers of the encoder, and of the decoder.

    Beside it the kernels that work on pixels, the first layer's and the last one's.
    """
    down = [Panel(x.cpu().numpy()[0, 0], "input"), kernels(model.encoder[0], "its first kernels")]
    up = []
    for panels, layers in ((down, model.encoder), (up, model.decoder)):
        for layer in layers:
            x = layer(x)
            if isinstance(layer, nn.ReLU | nn.Unflatten) and x.ndim == 4:
                panels.append(maps(x, 8 if x.shape[1] > 16 else 4))
        if panels is down:
            code = x.cpu().numpy().reshape(-1, 1, 1)
            down.append(Panel(mosaic(code, 3, gap=0), f"code {len(code)}", signed=True))
    up += [kernels(model.decoder[-1], "its last kernels"), Panel(x.cpu().numpy()[0, 0], "output")]
    return down, up


def draw_layers(trainings: list[Training], image: Tensor, path: Path) -> None:
    """One image's way through each convolutional model."""
    rows = []
    for training in trainings:
        down, up = way_through(training.model, image)
        rows += [(f"{training.name}:\nencoder", down), (f"{training.name}:\ndecoder", up)]
    draw_panels(rows, path)


@minigrad.no_grad()
def answers_to_ones() -> dict[str, np.ndarray]:
    """What decoders of two layers, all weights 1, make of 7 × 7 pixels that are all 1.

    A kernel of 3 at stride 2 covers the pixels between two others twice: a checkerboard, which the
    weights would have to learn away. A kernel of 4 covers all equally often, but for the edges.
    """
    thrice = dict(kernel_size=3, stride=2, padding=1, output_padding=1, bias=False)
    layers = {
        "transposed, kernel 3": lambda: [nn.ConvTranspose2d(1, 1, **thrice)],
        "transposed, kernel 4": lambda: [nn.ConvTranspose2d(1, 1, 4, 2, 1, bias=False)],
        "enlarged, kernel 3": lambda: [
            nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3, padding=1, bias=False),
        ],
    }  # fmt: skip
    answers = {}
    for name, make in layers.items():
        model = nn.Sequential(*make(), *make())
        for p in model.parameters():
            nn.init.ones_(p)
        answers[name] = model(minigrad.ones(1, 1, 7, 7)).numpy()[0, 0]
    return answers


def main() -> None:
    """Train the four, draw, and print the table."""
    args = flags()
    started = time.perf_counter()
    data = list(load_images(args, *((1000, 400) if args.quick else (10_000, 2_000))))
    folder = args.out / "conv_autoencoder"
    folder.mkdir(parents=True, exist_ok=True)
    trainings = [Training(name, make, args, data) for name, make in makers(args.code).items()]
    for training in trainings:
        training.run(folder)
    sample = shown(*data[1], each=2)
    draw_reconstructions(trainings, sample, folder / "reconstructions.png")
    lines = {k: v for i, t in enumerate(trainings) for k, v in t.lines(f"C{i}").items()}
    curves(lines, "mean squared error", folder / "loss.png")
    draw_layers(trainings[2:], sample[3:4], folder / "layers.png")
    even = [Panel(y / y.max(), name) for name, y in answers_to_ones().items()]
    draw_panels([("", even)], folder / "evenness.png", width=7)
    columns = "model", "parameters", "train MSE", "test MSE", "seconds", "images/s"
    print("\n" + table(columns, [t.row() for t in trainings]))
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; pictures in {folder}/")


if __name__ == "__main__":
    run(main)
