"""A spiral through one code and a rolled-up sheet through two: a deep autoencoder follows.

Points (x, y) on a curve have one degree of freedom, points of a Swiss roll in space have two. An
autoencoder of one linear layer each way has that many codes, and so has a deep one, 64-64-64, with
ReLU between. Both learn the mean squared error, by Adam with a rate that falls to 0. The deep one
starts three times, and the start that ends with the least training loss is kept.

What to see: the linear one can but project onto a line, or a plane. The deep one bends: what it
draws for all values of its code is the curve itself, and ∂g/∂h, by automatic differentiation, is
the curve's tangent. The animation shows a line that folds itself onto the spiral. Where the order
along the curve is kept, from end to end, the autoencoder has found the manifold's coordinate; in a
worse minimum it cuts the curve into pieces and codes them in some other order.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import expect_at_least, parser, refuse_data, run, table
from demos.pictures import drawn, save_gif
from minigrad import optim
from minigrad.autograd import grad
from minigrad.data import DataLoader, TensorDataset
from minigrad.optim.lr_scheduler import CosineAnnealingLR
from minigrad.training import fit
from models.autoencoder import Autoencoder

COURSE = "A4, A25"
TIME = "15 seconds"

TURNS = 1.0  # of the spiral and of the roll
POINTS = 1_000  # to learn from, and as many to test with
HIDDEN = 64, 64, 64
STARTS = 3
FRAMES = 36


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=150)
    args = made.parse_args()
    refuse_data(args)
    expect_at_least(args, epochs=1)
    args.points, args.starts, args.batch_size = POINTS, STARTS, 100
    if args.quick:
        args.points, args.starts, args.batch_size = 400, 1, 50
        args.epochs = min(args.epochs, 60)
    return args


# ---------------------------------------------------------------- the manifolds


def spiral(t: np.ndarray) -> np.ndarray:
    """The points (n, 2) of r = a / a_max, a from a quarter turn on, at t (n, 1) in [0, 1]."""
    angle = 2 * np.pi * (0.25 + TURNS * t[:, 0])
    radius = angle / (2 * np.pi * (0.25 + TURNS))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def spiral_tangent(t: np.ndarray) -> np.ndarray:
    """The unit tangent (n, 2): (cos a - a sin a, sin a + a cos a) / √(1 + a²)."""
    a = 2 * np.pi * (0.25 + TURNS * t[:, 0])
    along = np.stack([np.cos(a) - a * np.sin(a), np.sin(a) + a * np.cos(a)], 1)
    return along / np.sqrt(1 + a**2)[:, None]


def swiss_roll(t: np.ndarray) -> np.ndarray:
    """The points (n, 3) of a sheet at t (n, 2) in [0, 1]²: rolled up along t₁, flat along t₂."""
    angle = 2 * np.pi * (0.5 + TURNS * t[:, 0])
    radius = angle / (2 * np.pi * (0.5 + TURNS))
    return np.stack([radius * np.cos(angle), 1.2 * t[:, 1] - 0.6, radius * np.sin(angle)], 1)


class Manifold(NamedTuple):
    """Coordinates t (n, k) and their points (n, p), to learn from and to test with."""

    name: str
    t: np.ndarray
    points: np.ndarray
    test_t: np.ndarray
    test_points: np.ndarray


def draw_points(
    name: str, embed: Callable[[np.ndarray], np.ndarray], k: int, args: argparse.Namespace
) -> Manifold:
    """Points whose coordinates are uniform in [0, 1]."""
    rng = np.random.default_rng(args.seed)
    t, test_t = rng.random((2, args.points, k))
    return Manifold(name, t, embed(t), test_t, embed(test_t))


def order_kept(codes: np.ndarray, t: np.ndarray) -> float:
    """|rank correlation| of codes (n,) and t (n,): 1 if one rises or falls with the other.

    >>> order_kept(np.array([9.0, 4.0, 1.0]), np.array([0.1, 0.2, 0.9])).round(6)
    np.float64(1.0)
    """
    ranks = [np.argsort(np.argsort(values)) for values in (codes, t)]
    return abs(np.corrcoef(*ranks)[0, 1])


# ---------------------------------------------------------------- the models


class Frame(NamedTuple):
    """What the decoder makes of every code, at one moment of the training."""

    epoch: int
    error: float
    curve: np.ndarray  # (m, p)


class Training:
    """One autoencoder of a manifold."""

    def __init__(self, name: str, hidden: tuple[int, ...], data: Manifold, args, seed: int) -> None:
        self.name, self.data, self.args = name, data, args
        p, k = data.points.shape[1], data.t.shape[1]
        minigrad.manual_seed(seed)
        self.model = Autoencoder((p, *hidden, k), "identity").to(args.device)
        self.x, self.test = (self.tensor(x) for x in (data.points, data.test_points))
        self.frames: list[Frame] = []

    def tensor(self, x: np.ndarray) -> minigrad.Tensor:
        """As the model takes it."""
        return minigrad.tensor(x.astype(np.float32), device=self.args.device)

    def run(self, bar: tqdm) -> None:
        """Train, and keep frames: many at the beginning, where most happens."""
        epochs = self.args.epochs
        moments = {round(epochs * (i / FRAMES) ** 3) for i in range(FRAMES + 1)}

        def watch(epoch: int, record: dict[str, float]) -> None:
            bar.update()
            if epoch in moments:
                self.frames.append(self.frame(epoch))

        self.frames.append(self.frame(0))
        optimizer = optim.Adam(self.model.parameters(), lr=3e-3)
        self.records = fit(
            self.model,
            Autoencoder.loss,
            optimizer,
            DataLoader(TensorDataset(self.x), self.args.batch_size, shuffle=True),
            epochs,
            scheduler=CosineAnnealingLR(optimizer, epochs),
            on_epoch=watch,
            progress=False,
        )
        self.model.eval()

    @minigrad.no_grad()
    def codes(self, x: minigrad.Tensor) -> np.ndarray:
        """The codes (n, k) of points."""
        return self.model.encode(x).cpu().numpy()

    @minigrad.no_grad()
    def through(self, x: minigrad.Tensor) -> np.ndarray:
        """What the model makes of points."""
        return self.model(x).cpu().numpy()

    @minigrad.no_grad()
    def error(self) -> float:
        """The mean squared error of the test points."""
        return self.model.loss(self.test).item()

    @minigrad.no_grad()
    def frame(self, epoch: int) -> Frame:
        """The decoder's curve between the least and the greatest code; of two codes, no curve."""
        if self.data.t.shape[1] > 1:
            return Frame(epoch, self.error(), np.zeros((0, 3)))
        codes = self.codes(self.x)
        line = np.linspace(codes.min(), codes.max(), 600)[:, None]
        return Frame(epoch, self.error(), self.model.decode(self.tensor(line)).cpu().numpy())

    def tangents(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """g(h) (n, p) and its Jacobian ∂g/∂h (n, p, k), a row of it for each coordinate of g."""
        h = self.tensor(codes).requires_grad_()
        y = self.model.decode(h)
        rows = [
            grad(y[:, i].sum(), h, retain_graph=True)[0].cpu().numpy() for i in range(y.shape[1])
        ]
        return y.detach().cpu().numpy(), np.stack(rows, 1)

    def tangent_error(self) -> float:
        """The median angle between ∂g/∂h at test points' codes and the spiral's tangent, degrees.

        A tangent has no sign: the code may grow the other way.
        """
        _, jacobian = self.tangents(self.codes(self.test))
        found = jacobian[..., 0] / np.linalg.norm(jacobian[..., 0], axis=1, keepdims=True)
        cosine = np.abs((found * spiral_tangent(self.data.test_t)).sum(1))
        return float(np.degrees(np.median(np.arccos(np.clip(cosine, 0, 1)))))


def train(data: Manifold, args: argparse.Namespace) -> tuple[Training, Training]:
    """The linear autoencoder, and the best of the deep ones."""
    starts = range(args.seed, args.seed + args.starts)
    linear = Training("linear", (), data, args, args.seed)
    deep = [Training("deep", HIDDEN, data, args, seed) for seed in starts]
    total = (1 + len(deep)) * args.epochs
    with tqdm(total=total, desc=data.name, unit=" epochs", mininterval=0.2) as bar:
        for training in (linear, *deep):
            training.run(bar)
    return linear, min(deep, key=lambda training: training.records[-1]["loss"])


# ---------------------------------------------------------------- pictures


def plain(axes: plt.Axes, title: str) -> None:
    """A square of the plane."""
    axes.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", title=title)


def draw_spiral(linear: Training, deep: Training, path: Path) -> None:
    """The points and where each model puts them; the deep one's tangents; its code over t."""
    data = deep.data
    figure, axes = plt.subplots(1, 4, figsize=(17, 4.3))
    for ax, training in zip(axes, (linear, deep), strict=False):
        ax.scatter(*data.test_points.T, c=data.test_t[:, 0], cmap="viridis", s=8, alpha=0.5)
        ax.plot(*training.frames[-1].curve.T, "C3", lw=1.8)
        some = slice(0, 60)
        for x, y in zip(data.test_points[some], training.through(training.test)[some], strict=True):
            ax.plot(*np.stack([x, y]).T, color="0.5", lw=0.7)
        plain(ax, f"{training.name}: mean squared error {training.error():.1e}")
    codes = deep.codes(deep.test)[:, 0]
    places = np.quantile(codes, np.linspace(0.02, 0.98, 16))[:, None]
    y, jacobian = deep.tangents(places)
    along = jacobian[..., 0] / np.linalg.norm(jacobian[..., 0], axis=1, keepdims=True)
    axes[2].plot(*deep.frames[-1].curve.T, "0.6", lw=1.2)
    axes[2].quiver(*y.T, *along.T, color="C3", angles="xy", scale_units="xy", scale=3, width=0.008)
    plain(axes[2], f"∂g/∂h, {deep.tangent_error():.1f}° off the true tangent")
    axes[3].scatter(data.test_t[:, 0], codes, c=data.test_t[:, 0], cmap="viridis", s=8)
    axes[3].set(xlabel="place along the spiral", ylabel="code", title="code of the deep one")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def draw_roll(linear: Training, deep: Training, path: Path) -> None:
    """The roll, what each model makes of it, and the deep one's two codes."""
    data = deep.data
    figure = plt.figure(figsize=(16, 4.6))
    shown = {
        "test points": data.test_points,
        f"linear: mean squared error {linear.error():.1e}": linear.through(linear.test),
        f"deep: mean squared error {deep.error():.1e}": deep.through(deep.test),
    }
    for i, (title, points) in enumerate(shown.items()):
        axes = figure.add_subplot(1, 4, i + 1, projection="3d")
        axes.scatter(*points.T, c=data.test_t[:, 0], cmap="viridis", s=8)
        axes.set(title=title, xlim=(-1, 1), ylim=(-0.7, 0.7), zlim=(-1, 1))
        axes.view_init(elev=12, azim=-78)
        axes.set_box_aspect((1, 0.8, 1), zoom=1.15)
        axes.set(xticklabels=[], yticklabels=[], zticklabels=[])
    axes = figure.add_subplot(1, 4, 4)
    axes.scatter(*deep.codes(deep.test).T, c=data.test_t[:, 0], cmap="viridis", s=8)
    axes.set(title="the deep one's two codes", xlabel="code 1", ylabel="code 2")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def draw_frame(training: Training, frame: Frame) -> np.ndarray:
    """The points and the decoder's curve, as bytes."""
    figure, axes = plt.subplots(figsize=(4.4, 4.6), dpi=80)
    axes.plot(*training.data.points.T, ".", color="0.75", ms=4)
    axes.plot(*frame.curve.T, "C3", lw=2)
    plain(axes, f"epoch {frame.epoch}: mean squared error {frame.error:.1e}")
    return drawn(figure)


def main() -> None:
    """Train, draw, and print the table."""
    args = flags()
    started = time.perf_counter()
    folder = args.out / "manifold"
    minigrad.device(args.device)  # refuse what it is not before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    curve = train(draw_points("spiral", spiral, 1, args), args)
    roll = train(draw_points("Swiss roll", swiss_roll, 2, args), args)
    draw_spiral(*curve, folder / "spiral.png")
    draw_roll(*roll, folder / "swiss_roll.png")
    frames = [draw_frame(curve[1], frame) for frame in curve[1].frames]
    save_gif(frames, folder / "spiral.gif", seconds=0.25)
    rows = [
        (t.data.name, t.name, t.data.t.shape[1], f"{t.error():.1e}",
         f"{t.error() / float(t.data.test_points.var(0).mean()):.1%}")
        for t in (*curve, *roll)
    ]  # fmt: skip
    print("\n" + table(("points", "autoencoder", "codes", "test MSE", "of the variance"), rows))
    kept = order_kept(curve[1].codes(curve[1].test)[:, 0], curve[1].data.test_t[:, 0])
    print(
        f"\nspiral, deep: ∂g/∂h is {curve[1].tangent_error():.1f} degrees off the tangent "
        f"(median); order along the curve kept: {kept:.3f}"
    )
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; pictures in {folder}/")


if __name__ == "__main__":
    run(main)
