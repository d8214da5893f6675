"""The myth of the cave: a VAE sees shadows of a turning jug, and finds the angle nobody told it.

A jug stands on a turntable before a wall, in level light. The VAE sees its shadows alone, 28×28
pixels in no order. All that changes from one to the next is the angle: one number, which comes
back to where it began. Two codes are enough to hold such a ring.

What to see: the codes lie on a closed loop, in the order of the hidden angle. Walk along it, and
the decoder turns the jug. A shadow's angle is read from its code, by the nearest of the known ones,
to a fraction of a degree; but so it is from two principal directions, for the ring is there in the
pixels. What the VAE adds is the way back: a shadow drawn from two numbers. Nobody told it either
that the ring should be round: other seeds bend it otherwise, or stretch it over a gap.

And what cannot be seen: an ordinary jug's handle is opposite its spout. Turned to θ or to -θ it
throws one and the same shadow, pixel by pixel, for a shadow does not tell front from back. Its
codes lie on a line with two ends, walked there and back, and no learner can read which of the two
angles it was. The odd jug has its handle a quarter turn from the spout: no two shadows are equal.
The shadow from behind (θ + 180°) is always the mirror image, of any object, but not the same one.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from tqdm import tqdm

import minigrad
from demos.common import expect_at_least, plain_parser, run, table
from demos.pictures import mosaic, save_gif
from minigrad import optim, tensor
from minigrad.data import DataLoader, TensorDataset
from minigrad.training import fit
from models.vae import DenseVAE

COURSE = "V24"
TIME = "20 seconds"

WHITE = {"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1}
SIZE = 28  # pixels a side; the wall is 2.4 wide
ODD, ORDINARY = "odd jug", "ordinary jug"
HANDLE = {ODD: 90.0, ORDINARY: 180.0}  # degrees from the spout
RING = plt.get_cmap("hsv")
WALL = LinearSegmentedColormap.from_list("wall", ["#f3dfb8", "#2a1a0f"]).with_extremes(bad="white")


# ---------------------------------------------------------------- the jug and its shadows


def arc(points: np.ndarray, radii: tuple[float, float], balls: int) -> np.ndarray:
    """Balls (x, y, radius) along the Bézier curve of four points (4, 2), thinning evenly."""
    t = np.linspace(0, 1, balls)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    return np.column_stack([weights @ points, np.linspace(*radii, balls)])


def jug(handle: float) -> np.ndarray:
    """A jug as balls (n, 4): x to the spout, y up, z, and the radius; handle in degrees from it."""
    belly = arc(np.array([[0, -0.72], [0, -0.4], [0, 0], [0, 0.2]]), (0.3, 0.3), 9)
    belly[:, 2] = [0.26, 0.36, 0.44, 0.47, 0.46, 0.41, 0.33, 0.26, 0.22]
    spout = arc(np.array([[0, 0.1], [0.4, 0.15], [0.6, 0.3], [0.92, 0.78]]), (0.24, 0.13), 16)
    loop = arc(np.array([[0.1, -0.45], [1.5, -0.6], [0.95, 1.35], [0, 0.62]]), (0.09, 0.07), 34)
    neck = arc(np.array([[0, 0.2], [0, 0.35], [0, 0.5], [0, 0.62]]), (0.17, 0.13), 8)
    parts = [(belly, 0.0), (neck, 0.0), (spout, 0.0), (loop, np.deg2rad(handle))]
    return np.vstack([
        np.column_stack([x * np.cos(turn), y, x * np.sin(turn), r])
        for (x, y, r), turn in ((part.T, turn) for part, turn in parts)
    ])  # fmt: skip


def shadows(balls: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """The shadows (n, 28, 28) of the object turned by each angle (n,), in degrees.

    Level light from far away throws a ball's shadow as a disc, at x cos θ + z sin θ and at y. A
    pixel that the edge crosses is as dark as the edge's distance from its middle says.
    """
    place = (np.arange(SIZE) - (SIZE - 1) / 2) * 2.4 / SIZE
    x, y, z, radius = balls.T.astype(np.float32)
    out = np.empty((len(angles), SIZE, SIZE), np.float32)
    for i, angle in enumerate(np.deg2rad(angles)):
        across = (place[:, None] - (x * np.cos(angle) + z * np.sin(angle))) ** 2  # (28, balls)
        up = (-place[:, None] - y + 0.02) ** 2
        inside = (radius - np.sqrt(up[:, None] + across[None])).max(2)
        out[i] = np.clip(inside * SIZE / 2.4 + 0.5, 0, 1)
    return out


# ---------------------------------------------------------------- what the codes know


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The angle between two directions in degrees, at most 180.

    >>> apart(np.array([350.0, 10.0]), np.array([10.0, 200.0]))
    array([ 20., 170.])
    """
    return np.abs((a - b + 180) % 360 - 180)


def read(known: np.ndarray, angles: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The angle of the nearest known code, for each code; both (n, k)."""
    off = (codes**2).sum(1)[:, None] - 2 * codes @ known.T + (known**2).sum(1)
    return angles[off.argmin(1)]


def winding(loop: np.ndarray) -> float:
    """How often codes (n, 2) go round their middle, anticlockwise, on their way back to the first.

    >>> turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    >>> round(winding(np.column_stack([np.cos(turn), np.sin(turn)])), 6)
    1.0
    """
    x, y = (loop - loop.mean(0)).T
    turns = np.arctan2(y, x)
    steps = np.angle(np.exp(1j * (np.roll(turns, -1) - turns)))  # the short way
    return float(steps.sum() / (2 * np.pi))


class Seen(NamedTuple):
    """Shadows (n, 28, 28) and the angles (n,) that they hide; the VAE is given the first alone."""

    shadows: np.ndarray
    angles: np.ndarray


class Cave:
    """One object, the VAE that sees its shadows, and what it made of them."""

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        self.name, self.args = name, args
        rng = np.random.default_rng(args.seed)
        balls = jug(HANDLE[name])
        angles = rng.uniform(0, 360, args.shadows + 500)
        bar = tqdm(np.array_split(angles, 20), desc=f"shadows of the {name}", leave=False)
        seen = np.concatenate([shadows(balls, part) for part in bar])
        self.train = Seen(seen[: args.shadows], angles[: args.shadows])
        self.test = Seen(seen[args.shadows :], angles[args.shadows :])
        self.round = np.arange(0, 360, 5.0)
        self.true = shadows(balls, self.round)
        minigrad.manual_seed(args.seed)
        self.model = DenseVAE(hidden=256, image_shape=(1, SIZE, SIZE)).to(args.device)
        self.untrained = [self.codes(part.shadows) for part in (self.train, self.test)]

    def run(self) -> None:
        """Train on shadows; then encode one of every five degrees, and decode again."""
        x = tensor(self.train.shadows[:, None], device=self.model.mean.weight.device)
        optimizer = optim.Adam(self.model.parameters(), lr=2e-3)
        half = optim.lr_scheduler.StepLR(optimizer, max(1, self.args.epochs * 2 // 3), gamma=0.2)
        loader = DataLoader(TensorDataset(x), len(x) // 30, shuffle=True)
        records = fit(
            self.model, DenseVAE.loss, optimizer, loader, self.args.epochs, scheduler=half
        )
        self.record = records[-1]
        self.loop = self.codes(self.true)
        self.drawn = self.decode(self.loop)

    @minigrad.no_grad()
    def codes(self, images: np.ndarray) -> np.ndarray:
        """The middle of q(z|x), (n, 2)."""
        x = tensor(images[:, None], device=self.model.mean.weight.device)
        return self.model.encode(x)[0].cpu().numpy()

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """The shadows (n, 28, 28) of codes (n, 2)."""
        z = tensor(codes, device=self.model.mean.weight.device)
        return self.model.generate(z).cpu().numpy()[:, 0]

    def rows(self) -> list[tuple]:
        """What each description of a shadow knows of its angle, and what can be drawn from it."""
        pixels = [part.shadows.reshape(len(part.shadows), -1) for part in (self.train, self.test)]
        middle = pixels[0].mean(0)
        plane = np.linalg.eigh(np.cov((pixels[0] - middle).T))[1][:, -2:]
        flat = [(part - middle) @ plane for part in pixels]
        codes = [self.codes(part.shadows) for part in (self.train, self.test)]
        kinds = {
            "2 codes of the VAE": (codes, self.decode(codes[1]).reshape(pixels[1].shape)),
            "2 codes before training": (self.untrained, None),
            "2 principal directions": (flat, flat[1] @ plane.T + middle),
            "all 784 pixels": (pixels, None),
        }
        out = []
        for kind, ((known, new), drawn) in kinds.items():
            found = read(known, self.train.angles, new)
            off = apart(found, self.test.angles)
            either = np.minimum(off, apart(found, -self.test.angles))
            miss = "-" if drawn is None else f"{np.square(drawn - pixels[1]).sum(1).mean():.2f}"
            share = f"{np.mean(off > 10):.1%}"
            degrees = (f"{np.quantile(part, 0.99):.1f}°" for part in (off, either))
            out.append((self.name, kind, share, *degrees, miss))
        return out


# ---------------------------------------------------------------- pictures


def hue(angles: np.ndarray) -> np.ndarray:
    """A colour (n, 4) for each angle; 0° and 360° have the same."""
    return RING(angles % 360 / 360)


def draw_codes(axes: plt.Axes, cave: Cave) -> None:
    """The codes of the test shadows, coloured by the angle that the VAE was not told."""
    codes = cave.codes(cave.test.shadows)
    axes.scatter(*codes.T, c=hue(cave.test.angles), s=14, lw=0)
    some = np.arange(0, len(cave.round), 9)  # every 45°
    near = np.hypot(*(cave.loop[some, None] - cave.loop[None, some]).T) < 0.15
    for i, same in zip(some, near, strict=True):
        if i == some[same][0]:  # one label where shadows are equal
            out = cave.loop[i] - cave.loop.mean(0)
            place = cave.loop[i] + 0.4 * out / np.hypot(*out).clip(1e-9)
            label = " = ".join(f"{angle:.0f}°" for angle in cave.round[some[same]])
            axes.annotate(label, place, ha="center", va="center", bbox=WHITE)
    axes.set(xlabel="code 1", ylabel="code 2", aspect="equal")
    axes.margins(0.16)


def draw_cave(caves: list[Cave], path: Path) -> None:
    """Each object: the codes, and twelve shadows over what their codes decode to."""
    figure = plt.figure(figsize=(12.5, 4.6 * len(caves)), layout="constrained")
    grid = figure.add_gridspec(len(caves), 2, width_ratios=[1, 1.62])
    for i, cave in enumerate(caves):
        axes = figure.add_subplot(grid[i, 0])
        draw_codes(axes, cave)
        axes.set_title(f"{cave.name}: codes of {len(cave.test.angles)} test shadows")
        axes = figure.add_subplot(grid[i, 1])
        some = np.arange(0, len(cave.round), len(cave.round) // 12)
        half = [
            cave.true[some[:6]],
            cave.drawn[some[:6]],
            cave.true[some[6:]],
            cave.drawn[some[6:]],
        ]
        axes.imshow(mosaic(np.concatenate(half), 6, gap=2), WALL, vmin=0, vmax=1)
        step = SIZE + 2
        for j, k in enumerate(some):
            x, y = j % 6 * step, j // 6 * 2 * step + SIZE - 3
            axes.text(x + 2, y, f"{cave.round[k]:.0f}°", va="center", fontsize=7)
            axes.plot(x + 0.8, y, "o", color=hue(cave.round[k]), ms=5)
        axes.set_yticks(np.arange(4) * step + SIZE / 2, ["shadow", "decoded"] * 2)
        axes.set_title("shadows over what their codes decode to")
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
    figure.savefig(path)
    plt.close(figure)


def animate(caves: list[Cave], path: Path) -> None:
    """Once round: the true shadow, the one decoded from its place on the loop, and the place."""
    figure, axes = plt.subplots(
        len(caves), 3, figsize=(6.6, 2.35 * len(caves)), dpi=66, layout="constrained"
    )
    moving = []
    for row, cave in zip(axes, caves, strict=True):
        for ax, images, title in zip(
            row, (cave.true, cave.drawn), ("shadow", "decoded"), strict=False
        ):
            moving.append((ax.imshow(images[0], WALL, vmin=0, vmax=1).set_data, images))
            ax.set_title(title)
            ax.axis("off")
        row[2].plot(*np.vstack([cave.loop, cave.loop[:1]]).T, color="0.6", lw=1.5)
        dot = row[2].plot([], [], "o", color="#b3261e", ms=8)[0]
        moving.append((lambda place, dot=dot: dot.set_data(*place[:, None]), cave.loop))
        row[2].set(title=f"codes, {cave.name}", aspect="equal", xticks=[], yticks=[])
        row[2].margins(0.15)
    figure.canvas.draw()
    figure.set_layout_engine("none")
    frames = []
    for i in tqdm(range(0, len(caves[0].round), 2), desc="animation", leave=False, delay=2):
        for show, values in moving:
            show(values[i])
        figure.canvas.draw()
        frames.append(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
    plt.close(figure)
    save_gif(frames, path, seconds=0.14)


# ---------------------------------------------------------------- the demo


def flags() -> argparse.Namespace:
    """The command line."""
    made = plain_parser(__doc__)
    made.add_argument("--shadows", type=int, help="to train on, of each object (3000)")
    made.add_argument("--epochs", type=int, help="passes (60)")
    args = made.parse_args()
    args.shadows = args.shadows or (600 if args.quick else 3000)
    args.epochs = args.epochs or (20 if args.quick else 60)
    expect_at_least(args, shadows=100, epochs=1, seed=0)
    return args


def main() -> None:
    """Train on the shadows of both jugs, draw, and print the table."""
    args = flags()
    started = time.perf_counter()
    caves = [Cave(name, args) for name in HANDLE]
    folder = args.out / "cave"
    folder.mkdir(parents=True, exist_ok=True)
    for cave in caves:
        cave.run()
    draw_cave(caves, folder / "cave.png")
    animate(caves, folder / "walk.gif")
    columns = "object", "a shadow as", "off > 10°", "99 % within", "or the twin's", "squared error"
    print("\nthe hidden angle, from the nearest of the known shadows; and the shadow drawn again")
    print(table(columns, [row for cave in caves for row in cave.rows()]) + "\n")
    for cave in caves:
        same = np.abs(cave.true - cave.true[-np.arange(72) % 72]).max()
        print(
            f"{cave.name}: -ELBO {cave.record['reconstruction'] + cave.record['kl']:.1f} nats, KL "
            f"{cave.record['kl']:.1f}; the codes go round {abs(winding(cave.loop)):.0f} times; "
            f"shadows at θ and -θ differ by {same:.3f} at most"
        )
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; pictures in {folder}/")


if __name__ == "__main__":
    run(main)
