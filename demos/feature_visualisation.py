r"""What a unit of a convolutional network looks for: its activation carried back to the pixels.

A small network learns to tell digits apart. One activation of its last convolution is then kept,
all others set to 0, and the layers are run backwards: Cᵀ for C, and each number of a pooled map
back to the place that won its window.

What to see: every unit answers to a piece of stroke, a corner, an end or a crossing, wherever in
the image it lies, and different digits excite it by the same piece.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import minigrad
from demos.common import Images, load_images, parser, run, table
from demos.pictures import Panel, draw_panels, each_by_its_largest, mosaic
from minigrad import Tensor, nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError
from minigrad.nn import functional as F
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.ops.shape import scatter_add
from minigrad.training import fit
from models.classifier import Classifier

COURSE = "C13"
TIME = "half a minute"

# ---------------------------------------------------------------- back through the layers

RULES = {
    "deconvnet": lambda g, x: F.relu(g),
    "gradient": lambda g, x: g * (x > 0),
    "guided": lambda g, x: F.relu(g) * (x > 0),
}


class Step(NamedTuple):
    """A layer, and what went into it."""

    layer: nn.Module
    x: Tensor


def forward(layers: Sequence[nn.Module], x: Tensor) -> tuple[Tensor, list[Step]]:
    """What the layers make of x one after the other, and every step."""
    steps = []
    for layer in layers:
        steps.append(Step(layer, x))
        x = layer(x)
    return x, steps


@minigrad.no_grad()
def project(steps: Sequence[Step], g: Tensor, rule: str) -> Tensor:
    r"""g, in the shape of the last layer's output, carried back to the pixels.

    A convolution is y = C x + b. Backward it is Cᵀ g: a transposed convolution with the same
    weights. Pooling remembers which pixel won each window, and sends g there. What is left is the
    ReLU, and in its rule alone the three ways differ:

        gradient     g · [x > 0]           what passed forward, passes
        deconvnet    max(g, 0)             what is positive going back, passes
        guided       max(g, 0) · [x > 0]   both

    The first is the chain rule, so it gives ∂⟨g, y⟩/∂x: how the pixels should change to excite the
    unit more, and by its negative parts what should not be there. The second asks instead which
    pattern of pixels, all parts of it wanted, would make these activations; its ReLU does not look
    at the image, which comes in by the pooling's switches only.

    Source: Zeiler and Fergus, arXiv 1311.2901; guided: Springenberg et al., arXiv 1412.6806.
    """
    for layer, x in reversed(steps):
        if isinstance(layer, nn.Conv2d):
            a = geometry(layer, x).output_padding
            how = layer.stride, layer.padding, a, layer.groups, layer.dilation
            g = F.conv_transpose2d(g, layer.weight, None, *how)
        elif isinstance(layer, nn.MaxPool2d):
            g = unpool(g, layer, x)
        elif isinstance(layer, nn.ReLU):
            g = RULES[rule](g, x)
        else:
            raise ArgumentError(f"project: layer: got {layer}; expected Conv2d, MaxPool2d or ReLU")
    return g


def unpool(g: Tensor, layer: nn.MaxPool2d, x: Tensor) -> Tensor:
    """Each number of g at the place in x that won its window, the switch; 0 elsewhere."""
    _, switches = F.max_pool2d(
        x, layer.kernel_size, layer.stride, layer.padding, return_indices=True
    )
    n, c, h, w = x.shape
    image, channel = minigrad.arange(n, device=x.device), minigrad.arange(c, device=x.device)
    place = image.array[:, None, None], channel.array[:, None], switches.flatten(2).array
    return scatter_add(g.flatten(2), index=place, shape=(n, c, h * w)).reshape(n, c, h, w)


def geometry(layer: nn.Conv2d | nn.MaxPool2d, x: Tensor) -> ConvGeometry:
    """Which pixels of x meet in the layer's output."""
    groups = getattr(layer, "groups", 1)
    sizes = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    return ConvGeometry.direct(x.shape, *sizes, groups)


def receptive_field(steps: Sequence[Step], row: int, column: int) -> tuple[int, int, int, int]:
    """The pixels that one output pixel looks at: (top, left, height, width), beyond the image too.

    Of a layer, output rows first to last look at input rows s·first - p to s·last - p + k̂ - 1.
    """
    first, last = (row, column), (row, column)
    for layer, x in reversed(steps):
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            sizes = geometry(layer, x)
            s, p, k = sizes.stride, sizes.padding, sizes.receptive_field
            first = tuple(s[i] * first[i] - p[i] for i in (0, 1))
            last = tuple(s[i] * last[i] - p[i] + k[i] - 1 for i in (0, 1))
    return *first, last[0] - first[0] + 1, last[1] - first[1] + 1


# ---------------------------------------------------------------- what excites a unit


class Peaks(NamedTuple):
    """Where each channel answers most strongly: arrays (images, channels), strongest image first.

    `values` are the activations, `images` says in which image, `places` where in its map.
    """

    values: np.ndarray
    images: np.ndarray
    places: np.ndarray


@minigrad.no_grad()
def peaks(layers: Sequence[nn.Module], data: Images, most: int = 100) -> Peaks:
    """The images that excite each channel of the last layer most, one place in each."""
    found = [forward(layers, x)[0].flatten(2).max(2) for x, _ in batches(data)]
    values, places = (
        np.concatenate([getattr(part, what).cpu().numpy() for part in found])
        for what in ("values", "indices")
    )
    order = np.argsort(-values, axis=0, kind="stable")[:most]
    return Peaks(np.take_along_axis(values, order, 0), order, np.take_along_axis(places, order, 0))


def batches(data: Images) -> DataLoader:
    """The images in order, as many at a time as are quick to compute."""
    return DataLoader(TensorDataset(*data), 250)


class Unit:
    """A channel, the images that excite it most, and what its activations are back in pixels."""

    def __init__(
        self, channel: int, layers: Sequence[nn.Module], data: Images, found: Peaks, shown: int = 9
    ):
        self.channel = channel
        rows = found.images[:, channel]
        self.strength = float(found.values[:, channel].max())
        counts = np.bincount(data.labels.cpu().numpy()[rows], minlength=10)
        self.kind, self.share = int(counts.argmax()), float(counts.max() / counts.sum())
        x = data.images[minigrad.tensor(rows[:shown], device=data.images.device)]
        y, steps = forward(layers, x)
        n, c, h, w = y.shape
        places = found.places[:shown, channel]
        alone = np.zeros((n, c, h * w), np.float32)
        alone[np.arange(n), channel, places] = found.values[:shown, channel]
        g = minigrad.tensor(alone.reshape(y.shape), device=x.device)
        self.images = x.cpu().numpy()[:, 0]
        self.boxes = [receptive_field(steps, *divmod(int(place), w)) for place in places]
        self.patches = self.cut(self.images)
        self.projections = {
            rule: self.cut(project(steps, g, rule).cpu().numpy()[:, 0]) for rule in RULES
        }

    def cut(self, images: np.ndarray) -> np.ndarray:
        """What the unit looks at in each of its images; beyond their edges nothing, 0."""
        pieces = []
        for image, (top, left, h, w) in zip(images, self.boxes, strict=True):
            framed = np.pad(image, ((h, h), (w, w)))
            pieces.append(framed[top + h : top + 2 * h, left + w : left + 2 * w])
        return np.stack(pieces)

    def likeness(self, rule: str) -> float:
        """The cosine between patch and projection, averaged over the images."""
        a, b = (x.reshape(len(x), -1) for x in (self.patches, self.projections[rule]))
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return float(((a * b).sum(1) / np.maximum(norms, 1e-12)).mean())

    def row(self) -> tuple:
        """The row of the closing table."""
        alike = [self.likeness(rule) for rule in RULES]
        first = str(self.channel), f"{self.strength:.1f}", str(self.kind), f"{self.share:.0%}"
        return *first, *alike


# ---------------------------------------------------------------- pictures


def draw_ways(units: Sequence[Unit], path: Path) -> None:
    """A column for each unit: its best image, what it looks at there, and the three ways back."""
    *_, h, w = units[0].boxes[0]
    images = [Panel(u.images[0], f"unit {u.channel}", box=u.boxes[0]) for u in units]
    rows = [("image", images), (f"it looks at\n{h} × {w}", [Panel(u.patches[0]) for u in units])]
    for rule in RULES:
        rows.append((rule, [Panel(u.projections[rule][0], signed=True) for u in units]))
    draw_panels(rows, path)


def draw_best(units: Sequence[Unit], path: Path, across: int = 4) -> None:
    """For each unit the nine pieces of image that excite it most, and what it saw in each."""
    panels = []
    for unit in units:
        seen = each_by_its_largest(unit.projections["deconvnet"])
        panels.append(Panel(mosaic(unit.patches, 3), f"unit {unit.channel}"))
        panels.append(Panel(mosaic(seen, 3), f"most often {unit.kind} ({unit.share:.0%})", True))
        panels.append(Panel(np.full((len(panels[-1].pixels), 5), np.nan)))  # before the next unit
    step = 3 * across
    rows = [("", panels[i : i + step][:-1]) for i in range(0, len(panels), step)]
    draw_panels(rows, path, width=12)


# ---------------------------------------------------------------- the demo


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=5)
    made.add_argument("--units", type=int, default=8, help="how many to show (default 8)")
    made.add_argument("--batch-size", type=int, default=64)
    args = made.parse_args()
    if args.epochs < 1 or args.batch_size < 1 or args.units < 1:
        raise ArgumentError(
            f"epochs, batch size, units: got {args.epochs}, {args.batch_size}, {args.units}; "
            "expected at least 1"
        )
    if args.quick:
        args.epochs = min(args.epochs, 2)
    return args


@minigrad.no_grad()
def accuracy(model: Classifier, data: Images) -> float:
    """The share of images that the model tells rightly."""
    return sum(model.accuracy(*b) * len(b[0]) for b in batches(data)) / len(data.images)


def main() -> None:
    """Train, find the strongest units, draw what they look for, and print the tables."""
    args = flags()
    train, test = load_images(args, *((2000, 400) if args.quick else (10_000, 2_000)))
    folder = args.out / "feature_visualisation"
    folder.mkdir(parents=True, exist_ok=True)
    minigrad.manual_seed(args.seed)
    model = Classifier().to(args.device)
    records = fit(
        model,
        Classifier.loss,
        optim.Adam(model.parameters(), lr=2e-3),
        DataLoader(TensorDataset(*train), args.batch_size, shuffle=True),
        args.epochs,
        on_epoch=lambda epoch, record: {"accuracy": accuracy(model, test)},
    )
    layers = list(model.features)[:-1]  # to the last ReLU: the pooling after it only loses places
    found = peaks(layers, test)
    strongest = np.argsort(-found.values[:9].mean(0), kind="stable")[: args.units]
    units = [Unit(int(channel), layers, test, found) for channel in strongest]
    draw_ways(units, folder / "ways.png")
    draw_best(units, folder / "best.png")
    last, seconds = records[-1], sum(r["seconds"] for r in records)
    speed = int(np.median([r["images_per_second"] for r in records]))
    parameters = sum(p.numel() for p in model.parameters())
    columns = "model", "parameters", "train loss", "test accuracy", "seconds", "images/s"
    row = "classifier", parameters, last["loss"], last["accuracy"], seconds, speed
    print("\n" + table(columns, [row]))
    *_, h, w = units[0].boxes[0]
    print(f"\na unit of the last convolution looks at {h} × {w} pixels; the strongest units:\n")
    columns = "unit", "strongest", "digit", "share of 100", *(f"cos {rule}" for rule in RULES)
    print(table(columns, [unit.row() for unit in units]))
    print(f"\npictures in {folder}/: best.png, ways.png")


if __name__ == "__main__":
    run(main)
