"""A toy of molecular design: a VAE whose examples are strings, and what share of its strings parse.

A TOY. The strings look like SMILES, but the chemistry is three atoms (C binds four times, N three
times, O twice), double bonds (=), branches in parentheses and rings closed by a digit, at most one
digit an atom, drawn at random. Nothing here is a drug, and nothing predicts a property of one.

    molecule → chain        chain → atom | atom rest        atom → C | N | O, with a digit or not
    rest → chain | = chain | ( chain ) rest | ( = chain ) rest | ( chain ) | ( = chain )

Digits come in pairs, which no context-free grammar can say; so a checker reads from left to right,
with a stack of open branches, and knows which symbols may follow.

A string is 14 places of nine symbols, the last the empty one. The VAE's decoder gives a softmax at
each place: -ln p(x|z) is the cross-entropy summed over places. Given z, the places know nothing of
each other: only z can make them agree.

What to see: strings of the right letters at each place hardly ever parse. The VAE's do far more
often, but by no means always: what is continuous between two strings is not a string. With the
checker as a mask, which leaves the decoder only symbols that can still be completed, all of them
parse; so do strings of the mask alone, but their sizes are off. The codes keep a string's size and
something of its shape. Which atoms are N or O they hardly keep: no rule needs it.

Deck 003; after Gómez-Bombarelli et al., arXiv 1610.02415, and for the mask Kusner et al., arXiv
1703.01925.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import expect_at_least, plain_parser, run, table
from demos.molecule_grammar import LENGTH, SYMBOLS, VALENCE, State, legal, valid
from demos.pictures import plt
from minigrad import Tensor, nn, optim, tensor
from minigrad.data import DataLoader, TensorDataset
from minigrad.nn import functional as F
from minigrad.training import fit
from models.vae import DenseVAE

COURSE = "V22"
TIME = "25 seconds"

# ---------------------------------------------------------------- strings and places


def guided(weights: Callable[[int, State], np.ndarray], pick: Callable) -> str:
    """A string, place by place, of legal symbols alone: pick(their weights) is the one's number."""
    state, string = State(), ""
    for place in range(LENGTH):
        choices = legal(state, LENGTH - place)
        symbols = list(choices)
        found = weights(place, state)[[SYMBOLS.index(s) for s in symbols]]
        string += symbols[pick(found)]
        state = choices[string[-1]]
    return string.rstrip()


def liking(place: int, state: State) -> np.ndarray:
    """How likely each symbol is in the training strings, before the illegal ones are left out."""
    one = 3.0 if "1" in state.rings else 0.8
    two = 3.0 if "2" in state.rings else 0.2 if "1" in state.rings else 0.0
    return np.array([4.0, 0.8, 0.8, 0.5, 0.5, 3.0, one, two, 0.12 * place])


def draw(rng: np.random.Generator, n: int, weights: Callable = liking) -> list[str]:
    """Strings drawn at random by these weights."""
    bar = tqdm(range(n), desc="strings", leave=False, delay=2)
    return [guided(weights, lambda w: rng.choice(len(w), p=w / w.sum())) for _ in bar]


def one_hot(strings: list[str]) -> np.ndarray:
    """(n, 1, 14, 9): at each place a 1 for its symbol."""
    numbers = [[SYMBOLS.index(s) for s in string.ljust(LENGTH)] for string in strings]
    return np.eye(len(SYMBOLS), dtype=np.float32)[np.array(numbers)][:, None]


def spelled(numbers: np.ndarray) -> list[str]:
    """The strings of symbols' numbers (n, 14); what is empty at the end is left out."""
    return ["".join(SYMBOLS[i] for i in row).rstrip() for row in numbers]


class Categorical(nn.Module):
    r"""At each place one of nine symbols, by a softmax: p(x|z) = Π softmax(a)[symbol]."""

    outputs = 1

    def nll(self, a: Tensor, x: Tensor) -> Tensor:
        """-ln p(x|z) = -Σ x log_softmax(a) of each string, (n,), in nats."""
        return -(x * F.log_softmax(a, dim=-1)).flatten(1).sum(1)

    def mean(self, a: Tensor) -> Tensor:
        """E[x|z], the probabilities."""
        return F.softmax(a, dim=-1)

    def implied_variance(self) -> None:
        """None: there is no variance to set."""


# ---------------------------------------------------------------- the demo


class Toy:
    """The strings, the VAE that learned them, and what it writes."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.rng = args, np.random.default_rng(args.seed)
        strings = draw(self.rng, args.strings + 1000)
        self.train, self.test = strings[: args.strings], strings[args.strings :]
        minigrad.manual_seed(args.seed)
        shape = 1, LENGTH, len(SYMBOLS)
        self.model = DenseVAE(512, 16, shape, Categorical()).to(args.device)

    def run(self) -> None:
        """Train; strings are all that it sees, never the grammar."""
        x = tensor(one_hot(self.train), device=self.args.device)
        optimizer = optim.Adam(self.model.parameters(), lr=2e-3)
        loader = DataLoader(TensorDataset(x), 100, shuffle=True)
        self.record = fit(self.model, DenseVAE.loss, optimizer, loader, self.args.epochs)[-1]

    @minigrad.no_grad()
    def codes(self, strings: list[str]) -> np.ndarray:
        """The middle of q(z|x), (n, 16)."""
        x = tensor(one_hot(strings), device=self.args.device)
        return self.model.encode(x)[0].cpu().numpy()

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """The probability of each symbol at each place, (n, 14, 9)."""
        z = tensor(codes.astype(np.float32), device=self.args.device)
        return self.model.generate(z).cpu().numpy()[:, 0]

    def any_letters(self, n: int, shares: np.ndarray) -> list[str]:
        """Strings whose letters are drawn at each place from its shares (n or 1, 14, 9)."""
        sums = shares.cumsum(-1) / shares.sum(-1, keepdims=True)
        found = (self.rng.random((n, LENGTH, 1)) > sums).sum(-1)
        return spelled(found.clip(max=len(SYMBOLS) - 1))

    def written(self, n: int) -> dict[str, list[str]]:
        """n strings of every source."""
        letters = one_hot(self.train).mean(0)
        drawn = self.decode(self.rng.standard_normal((n, 16)))
        flat = np.ones(len(SYMBOLS))
        return {
            "training strings": self.train[:n],
            "any symbols": self.any_letters(n, np.ones_like(letters)),
            "right letters at each place": self.any_letters(n, letters),
            "VAE, each place drawn": self.any_letters(n, drawn),
            "VAE, likeliest symbols": spelled(drawn.argmax(-1)),
            "VAE, masked": [masked(p) for p in drawn],
            "the mask alone": draw(self.rng, n, lambda place, state: flat),
        }

    def rows(self) -> list[tuple]:
        """What share parses, how many of those differ, how many are new, and whether sizes fit."""
        out, known, usual = [], set(self.train), sizes(self.train)
        n = self.args.samples
        for name, strings in self.written(n).items():
            good = [s for s in strings if valid(s)]
            kinds = set(good)
            parse = sum(valid(s, valence=False) for s in strings)
            counts = (parse, n), (len(good), n), (len(kinds), len(good))
            counts = *counts, (len(kinds - known), len(kinds))
            shares = (f"{part / of:.1%}" if of else "-" for part, of in counts)
            off = f"{0.5 * np.abs(sizes(good) - usual).sum():.2f}" if good else "-"
            out.append((name, *shares, off))
        return out

    def between(self, first: str, last: str, steps: int = 7) -> list[tuple[str, str, str]]:
        """The straight way from one string's code to another's, decoded freely and masked."""
        t = np.linspace(0, 1, steps)[:, None]
        one, other = self.codes([first, last])
        found = self.decode((1 - t) * one + t * other)
        free = spelled(found.argmax(-1))
        said = ["yes" if valid(string) else "no" for string in free]
        return list(zip(free, said, map(masked, found), strict=True))

    def readable(self, quantity: Callable[[str], int]) -> float:
        """R² on test strings of a linear reading of that quantity from the codes."""
        known, new = (
            np.column_stack([self.codes(part), np.ones(len(part))])
            for part in (self.train, self.test)
        )
        y, truth = (np.array([quantity(s) for s in part]) for part in (self.train, self.test))
        found = new @ np.linalg.lstsq(known, y, rcond=None)[0]
        return float(1 - np.square(truth - found).mean() / truth.var())


def masked(probabilities: np.ndarray) -> str:
    """The likeliest legal symbol at each place, by (14, 9)."""
    return guided(lambda place, state: probabilities[place], np.argmax)


def atoms(string: str) -> int:
    """How many atoms it has.

    >>> atoms("CC(=O)N"), others("CC(=O)N")
    (4, 2)
    """
    return sum(string.count(atom) for atom in VALENCE)


def others(string: str) -> int:
    """How many of its atoms are N or O."""
    return string.count("N") + string.count("O")


def features(string: str) -> int:
    """How many branches, ends of rings and double bonds it has."""
    return sum(string.count(symbol) for symbol in "(12=")


def sizes(strings: list[str]) -> np.ndarray:
    """The share of strings of each number of atoms, 0 to 14."""
    return np.bincount([atoms(s) for s in strings], minlength=LENGTH + 1) / max(1, len(strings))


def draw_plane(toy: Toy, path: Path) -> None:
    """The codes' two principal directions, coloured by two quantities, with strings written in."""
    codes = toy.codes(toy.test)
    middle = codes.mean(0)
    plane = np.linalg.svd(codes - middle, full_matrices=False)[2][:2]
    flat = (codes - middle) @ plane.T
    figure, axes = plt.subplots(1, 2, figsize=(13, 6.2), layout="constrained")
    for ax, (title, quantity) in zip(axes, list(QUANTITIES.items())[:2], strict=True):
        colour = [quantity(s) for s in toy.test]
        points = ax.scatter(*flat.T, c=colour, cmap="viridis", s=14, alpha=0.7, lw=0)
        figure.colorbar(points, ax=ax, shrink=0.7)
        ax.set(title=title, xlabel="principal direction 1", ylabel="principal direction 2")
        low, high = np.quantile(flat, [0.03, 0.97], axis=0)
        for x in np.linspace(low[0], high[0], 4):
            for y in np.linspace(low[1], high[1], 6):
                i = np.square((flat - [x, y]) / (high - low)).sum(1).argmin()
                if np.abs((flat[i] - [x, y]) / (high - low)).max() < 0.08:
                    ax.text(
                        *flat[i], toy.test[i], fontsize=8, family="monospace", ha="center",
                        bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1},
                    )  # fmt: skip
    figure.suptitle("codes of test strings (a toy grammar: no real chemistry)")
    figure.savefig(path)
    plt.close(figure)


QUANTITIES = {
    "atoms": atoms,
    "branches, rings and double bonds": features,
    "atoms that are N or O": others,
}


def flags() -> argparse.Namespace:
    """The command line."""
    made = plain_parser(__doc__)
    made.add_argument("--strings", type=int, help="to train on (20000)")
    made.add_argument("--samples", type=int, help="strings written to be counted (2000)")
    made.add_argument("--epochs", type=int, help="passes (30)")
    args = made.parse_args()
    for name, short, usual in (
        ("strings", 3000, 20_000),
        ("samples", 300, 2000),
        ("epochs", 12, 30),
    ):
        if getattr(args, name) is None:
            setattr(args, name, short if args.quick else usual)
    expect_at_least(args, strings=100, samples=10, epochs=1, seed=0)
    return args


def main() -> None:
    """Train, count what parses, walk between two strings, and draw."""
    args = flags()
    started = time.perf_counter()
    toy = Toy(args)
    folder = args.out / "molecules"
    folder.mkdir(parents=True, exist_ok=True)
    toy.run()
    draw_plane(toy, folder / "plane.png")
    print(
        "\nA toy grammar, not chemistry. Half way between two strings lies what may be no string:"
    )
    print(table(("likeliest symbols", "parses", "masked"), toy.between("CCCC=O", "NC1CCOCC1")))
    exact = spelled(toy.decode(toy.codes(toy.test)).argmax(-1))
    share = np.mean([a == b for a, b in zip(exact, toy.test, strict=True)])
    print(
        f"\n-ELBO {toy.record['reconstruction'] + toy.record['kl']:.2f} nats, KL "
        f"{toy.record['kl']:.2f}; test strings that come back letter by letter: {share:.1%}"
    )
    for name, quantity in QUANTITIES.items():
        print(f"{name}: a line through the codes explains {toy.readable(quantity):.0%} of test")
    columns = "strings", "grammar", "and valence", "of them different", "and new", "sizes off"
    print("\n" + table(columns, toy.rows()))
    print("(sizes off: total variation distance to the training strings' numbers of atoms)")
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; pictures in {folder}/")


if __name__ == "__main__":
    run(main)
