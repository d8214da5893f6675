r"""A GAN on a line, half-step by half-step: D learns to tell, G moves up its slope, and again.

Data come from N(1.5, 0.5²); the generator is the simplest there is, G(z) = a z + b, so that its
density is known, and so is the best judge of it, D*(x) = p_data(x) / (p_data(x) + p_g(x)), dashed.
D is a dense network. The animation shows one half of a round a frame: D moves while the samples
stand still, then the samples move while D stands still. Each half is several steps of Adam.

What to see: D bends towards D*, high over the data, low over the samples; then G's samples climb
D. On the way they draw together, for all climb to one top; there D finds them out, and they spread.
When they lie as the data do D* is ½ everywhere, and D has nothing left to find.

The second picture: a judge that is sure of its fakes has D(G(z)) near 0, where ln (1 - D) is flat.
While D alone learns, the saturating loss leaves G less and less gradient; the other loss does not.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import expect_at_least, parser, refuse_data, run, table
from demos.pictures import drawn, save_gif
from minigrad import Tensor, nn, optim, tensor
from minigrad.autograd import grad
from models import gan_losses
from models.game import Game
from models.gan import MLPGAN
from models.toys import Mixture

COURSE = "G2, G3"
TIME = "half a minute"

DATA = Mixture(np.array([[1.5]]), 0.5)
START = 0.5, -2.0  # a and b of G(z) = a z + b
MOVES = {"D": 25, "G": 5}  # steps of Adam in each half
BATCH = 128
LINE = np.linspace(-4.5, 4.5, 300)
LOSSES = "minimax", "non_saturating"


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=40)
    args = made.parse_args()
    refuse_data(args)
    expect_at_least(args, epochs=1)
    args.overtrained = 400
    if args.quick:
        args.epochs, args.overtrained = min(args.epochs, 25), 150
    return args


# ---------------------------------------------------------------- the game


def new_game(args: argparse.Namespace) -> Game:
    """The players: G(z) = a z + b far from the data, and a dense D."""
    minigrad.manual_seed(args.seed)
    gan = MLPGAN((1,), codes=1, hidden=(32, 32))
    gan.generator = nn.Linear(1, 1)
    state = {"weight": tensor([[START[0]]]), "bias": tensor([START[1]])}
    gan.generator.load_state_dict(state)
    gan.to(args.device)
    players = gan.discriminator, gan.generator
    rates = 1e-2, 3e-2
    adams = (optim.Adam(p.parameters(), lr, (0.5, 0.999))
             for p, lr in zip(players, rates, strict=True))  # fmt: skip
    return Game(gan, "non_saturating", *adams, r1=0.02)


def best_judge(x: np.ndarray, a: float, b: float) -> np.ndarray:
    """D*(x) = p_data / (p_data + p_g) at x (n,), of G(z) = a z + b."""
    ours = Mixture(np.array([[b]]), abs(a)).log_prob(x[:, None])
    return 1 / (1 + np.exp(np.clip(ours - DATA.log_prob(x[:, None]), -700, 700)))


class Frame(NamedTuple):
    """The board after half a round."""

    rounds: int
    mover: str  # "", "D" or "G"
    a: float
    b: float
    judged: np.ndarray  # D on LINE

    def error(self) -> float:
        """√E (D - D*)², x from the data and the samples alike: how far D is from the best."""
        x = LINE[:, None]
        ours = Mixture(np.array([[self.b]]), abs(self.a)).log_prob(x)
        p = np.exp(DATA.log_prob(x)) + np.exp(ours)
        off = self.judged - best_judge(LINE, self.a, self.b)
        return float(np.sqrt((p * off**2).sum() / p.sum()))


def frame(game: Game, rounds: int, mover: str) -> Frame:
    """The board as it is."""
    a, b = (p.item() for p in game.gan.generator.parameters())
    x = tensor(LINE[:, None].astype(np.float32), device=game.gan.generator.weight.device)
    return Frame(rounds, mover, a, b, game.gan.score(x).sigmoid().cpu().numpy())


def play(args: argparse.Namespace) -> list[Frame]:
    """All half-rounds of the game."""
    game = new_game(args)
    frames = [frame(game, 0, "")]
    for i in tqdm(range(1, args.epochs + 1), desc="the game", unit=" rounds"):
        for _ in range(MOVES["D"]):
            with minigrad.no_grad():
                fake = game.gan.make(game.gan.noise(BATCH))
            game.discriminator_step(DATA.sample(BATCH).to(args.device), fake)
        frames.append(frame(game, i, "D"))
        for _ in range(MOVES["G"]):
            game.generator_step(game.gan.make(game.gan.noise(BATCH)))
        frames.append(frame(game, i, "G"))
    return frames


# ---------------------------------------------------------------- whose gradient is left


def norm(loss: str, game: Game, z: Tensor) -> float:
    """‖∂ loss/∂(a, b)‖ of G."""
    value = gan_losses.named(loss).generator(game.gan.judge(game.gan.make(z)))
    found = grad(value, list(game.gan.generator.parameters()))
    return float(np.sqrt(sum(float(g.square().sum()) for g in found)))


def overtrain(args: argparse.Namespace) -> dict[str, list[float]]:
    """D learns alone: D(G(z)) and the norm of G's gradient by either loss, before each step."""
    game = new_game(args)
    game.r1 = 0.0  # nothing holds D back
    z = game.gan.noise(1_000)
    found = {name: [] for name in ("fake", *LOSSES)}
    for _ in tqdm(range(args.overtrained), desc="D alone", unit=" steps"):
        with minigrad.no_grad():
            fake = game.gan.make(z)
        found["fake"].append(float(game.gan.score(fake).sigmoid().mean()))
        for loss in LOSSES:
            found[loss].append(norm(loss, game, z))
        game.discriminator_step(DATA.sample(BATCH).to(args.device), fake[:BATCH])
    return found


def slopes(logits: np.ndarray) -> dict[str, np.ndarray]:
    """|∂ loss/∂f| at each logit f of a fake, by automatic differentiation."""
    f = tensor(logits, requires_grad=True)
    losses = {name: gan_losses.named(name).generator(f) * len(f) for name in LOSSES}
    return {name: abs(grad(loss, f)[0].numpy()) for name, loss in losses.items()}


# ---------------------------------------------------------------- pictures


def draw_board(shown: Frame, data: np.ndarray, z: np.ndarray) -> np.ndarray:
    """One frame of the animation, as bytes."""
    figure, axes = plt.subplots(figsize=(6.6, 3.9), dpi=80)
    axes.plot(LINE, shown.judged, "k", lw=2, label="D(x)")
    best = best_judge(LINE, shown.a, shown.b)
    axes.plot(LINE, best, "k--", lw=1, label="D*(x), the best possible")
    axes.plot(data, np.full(len(data), -0.08), "o", color="C2", ms=6, alpha=0.6, label="data")
    samples = shown.a * z + shown.b
    axes.plot(samples, np.full(len(z), -0.18), "o", color="C1", ms=6, alpha=0.6, label="G(z)")
    axes.set(xlim=(-4.5, 4.5), ylim=(-0.25, 1.4), xlabel="x", yticks=(0, 0.5, 1))
    who = {"": "before the game", "D": "D has moved: it tells them apart",
           "G": "G has moved: its samples climb D"}  # fmt: skip
    axes.set_title(f"round {shown.rounds}: {who[shown.mover]}", loc="left")
    axes.legend(loc="upper left", fontsize=8, ncols=2)
    figure.tight_layout()
    return drawn(figure)


def draw_gradients(found: dict[str, list[float]], path: Path) -> None:
    """Slopes by the logit, and G's gradient while D alone learns."""
    logits = np.linspace(-8, 8, 200).astype(np.float32)
    figure, axes = plt.subplots(1, 2, figsize=(11, 4))
    names = {"minimax": "saturating: ln (1 - D)", "non_saturating": "non-saturating: -ln D"}
    for (loss, slope), colour in zip(slopes(logits).items(), ("C3", "C0"), strict=True):
        axes[0].plot(logits, slope, colour, lw=2, label=names[loss])
        axes[1].semilogy(found[loss], colour, lw=2, label=f"‖gradient of G‖, {names[loss]}")
    axes[0].set(xlabel="logit f of a fake, D(G(z)) = σ(f)", ylabel="|∂ loss/∂f|",
                title="left: D is sure that it is a fake")  # fmt: skip
    axes[1].semilogy(found["fake"], "k:", label="mean D(G(z))")
    axes[1].set(xlabel="steps of D, while G stands still", title="a judge too good")
    axes[0].legend(fontsize=8)
    axes[1].legend(fontsize=8, loc="lower left")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    """Play, draw, and print the table."""
    args = flags()
    started = time.perf_counter()
    folder = args.out / "gan_1d"
    minigrad.device(args.device)  # refuse what it is not before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    frames = play(args)
    rng = np.random.default_rng(args.seed)
    data, z = DATA.centres[0, 0] + DATA.std * rng.normal(size=40), rng.normal(size=40)
    save_gif([draw_board(f, data, z) for f in frames], folder / "game.gif", seconds=0.4)
    found = overtrain(args)
    draw_gradients(found, folder / "gradients.png")
    rows = [
        (f"{f.rounds}", f.mover or "-", f.b, abs(f.a), f.error())
        for f in (frames[0], *frames[1:5], *frames[-2:])
    ]
    columns = "round", "moved", "mean of G(z)", "std of G(z)", "D from D*"
    print(f"\n{table(columns, rows)}\n\ndata: mean {DATA.centres[0, 0]}, std {DATA.std}\n")
    rows = [
        (f"{i}", *(f"{found[name][i]:.2g}" for name in ("fake", *LOSSES)))
        for i in (0, args.overtrained // 4, args.overtrained - 1)
    ]
    print(table(("steps of D alone", "D(G(z))", "gradient, saturating", "non-saturating"), rows))
    print(f"\ngame.gif: data, samples and D, a half of a round a frame, in {folder}/")
    print("gradients.png: left what each loss passes on of D's answer, right what is left for G")
    print(f"in all {time.perf_counter() - started:.0f} seconds")


if __name__ == "__main__":
    run(main)
