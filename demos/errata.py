"""What decks and peers get wrong, as pairs of lines that run: the wrong one, its price, the right.

The decks are good teachers; these are the slips that a reader would copy. Each is a line of ours
that does what the deck's does, a number measured here, and the line that is right. Two well-known
repositories have such a line too, DeZero and PyTorch-VAE.

What to see: deck 001's line makes a VAE whose loss looks better than the right one's, and which is
worse: its codes cost more than it says. No eye sees that in its images. Where the kernel is not
turned by 180° the picture is another one. A loss with the bound's sign teaches the negative. And an
ELBO of densities is moved past that of a probability by a change of units: from [0, 1] to 0…255 it
falls by 784 ln 255 = 4,344 nats.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import minigrad
from demos import errata_pairs as pairs
from demos.common import Images, expect_at_least, guide, load_images, parser, run, table
from demos.errata_pairs import Erratum, line_of
from demos.errata_pictures import draw_formulas, draw_kernel, draw_pictures, draw_sigma
from demos.pictures import shown
from minigrad import Tensor, nn, optim, tensor
from minigrad.data import DataLoader, TensorDataset
from minigrad.distributions import Normal
from minigrad.nn import functional as F
from minigrad.training import fit
from models.autoencoder import Autoencoder
from models.likelihoods import Gaussian
from models.vae import VAE, DenseVAE, Pass

COURSE = "V3, V4, V7, V19, C4, C6, A2, A10"
TIME = "half a minute"

SEEN = {
    "sigma.png": "By deck 001's line the loss that is read lies below what is true; of the new "
    "images no eye can tell which line drew them.",
    "kernel.png": "The kernel turned by 180° gives the transposed convolution; left as it is, "
    "another picture.",
    "pictures.png": "By Tanh some ink lies below 0; trained on the bound instead of its negative, "
    "every image turns black and white, and wrong.",
    "formulas.png": "At ln σ² = -2 the KL that is read is 0.57 nats where 1.51 are due; 2σ for 2σ² "
    "is no density; a swapped KL hardly punishes a dead neuron; units move a density's ELBO alone.",
}

HIDDEN, CODES = 256, 10
VARIANCES = 0.1, 0.03  # of two Gaussian decoders


def flags() -> argparse.Namespace:
    """The command line."""
    args = parser(__doc__, epochs=6).parse_args()
    expect_at_least(args, epochs=1)
    if args.quick:
        args.epochs = min(args.epochs, 2)
    return args


# ---------------------------------------------------------------- deck 001's VAE


class Deck001VAE(DenseVAE):
    """z = μ + σ² ε, while the KL takes log_var for what it is."""

    def forward(
        self, x: Tensor, eps: Tensor | None = None, generator: minigrad.Generator | None = None
    ) -> Pass:
        """Encode, draw by the wrong line, decode."""
        mean, log_var = self.encode(x)
        eps = minigrad.randn_like(mean) if eps is None else eps
        z = pairs.draw_with_variance(mean, log_var, eps)
        return Pass(self.decode(z), mean, log_var, z)


class AsDrawn(DenseVAE):
    """The same weights, read as they are used: what was drawn had σ = e^log_var."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """ln σ² is twice what the encoder calls so."""
        mean, log_var = super().encode(x)
        return mean, 2.0 * log_var


def gaussian_name(variance: float) -> str:
    """What a VAE with that decoder is called."""
    return f"Gaussian, σ² = {variance:g}"


def as_drawn(model: Deck001VAE) -> AsDrawn:
    """That reading of a model."""
    honest = AsDrawn(HIDDEN, CODES).to(next(iter(model.parameters())).device)
    honest.load_state_dict(model.state_dict())
    return honest


# ---------------------------------------------------------------- training


class Trainings:
    """All models of this demo, each from the same seed."""

    def __init__(self, args: argparse.Namespace, train: Images, test: Images) -> None:
        self.args, self.train, self.test = args, train, test
        self.read: dict[str, list[float]] = {}  # -ELBO on the test images, an epoch each
        self.true: list[float] = []  # that of deck 001's, as drawn
        makers: dict[str, Callable[[], DenseVAE]] = {
            "right": lambda: DenseVAE(HIDDEN, CODES),
            "deck 001": lambda: Deck001VAE(HIDDEN, CODES),
        }
        for variance in (1.0, *VARIANCES):
            makers[gaussian_name(variance)] = lambda variance=variance: DenseVAE(
                HIDDEN, CODES, likelihood=Gaussian(variance)
            )
        self.models = {name: self.vae(name, make) for name, make in makers.items()}

    def _fit(
        self, name: str, make: Callable[[], nn.Module], loader: DataLoader,
        note: Callable[[nn.Module], None] = lambda model: None,
    ) -> nn.Module:  # fmt: skip
        print(name)
        minigrad.manual_seed(self.args.seed)
        model = make().to(self.args.device)
        optimizer = optim.Adam(model.parameters(), lr=1e-3)
        fit(
            model, type(model).loss, optimizer, loader, self.args.epochs,
            on_epoch=lambda epoch, record: note(model),
        )  # fmt: skip
        return model.eval()

    def vae(self, name: str, make: Callable[[], DenseVAE]) -> DenseVAE:
        """A VAE trained, its -ELBO noted after each epoch."""
        self.read[name] = []

        def note(model: DenseVAE) -> None:
            self.read[name].append(self.loss(model))
            if isinstance(model, Deck001VAE):
                self.true.append(self.loss(as_drawn(model)))

        loader = DataLoader(TensorDataset(*self.train), 100, shuffle=True)
        return self._fit(f"VAE, {name}", make, loader, note)

    def autoencoder(self, name: str, output: str, loader: DataLoader) -> Autoencoder:
        """Deck 000's autoencoder trained."""
        return self._fit(f"autoencoder, {name}", lambda: Autoencoder(output=output), loader)

    @minigrad.no_grad()
    def loss(self, model: VAE) -> float:
        """-ELBO on the test images, with the same draws for every model."""
        generator = minigrad.Generator(device=self.args.device).manual_seed(self.args.seed)
        shape = len(self.test.images), CODES
        eps = minigrad.randn(*shape, device=self.args.device, generator=generator)
        parts = model.loss(self.test.images, eps=eps)
        return (parts["reconstruction"] + parts["kl"]).item()


# ---------------------------------------------------------------- errata that take training


@minigrad.no_grad()
def trained_draw(done: Trainings) -> list[Erratum]:
    """What deck 001's VAE says of itself, and what is so."""
    wrong, right = done.models["deck 001"], done.models["right"]
    images = done.test.images
    draws = 20 if done.args.quick else 100
    evidence = [
        model.log_evidence(images, draws).mean().item() for model in (as_drawn(wrong), right)
    ]
    pair = "001, 003", "the same, in training", pairs.draw_with_variance, pairs.draw_with_std
    reads = done.read["deck 001"][-1], done.read["right"][-1]
    trues = done.true[-1], reads[1]
    return [
        Erratum(*pair, "-ELBO, nats per image: as read / true",
                tuple(f"{r:.1f} / {t:.1f}" for r, t in zip(reads, trues, strict=True))),
        Erratum(*pair, f"-ln p(x), nats, from {draws} draws",
                tuple(f"{-nats:.1f}" for nats in evidence)),
    ]  # fmt: skip


@minigrad.no_grad()
def likelihoods(done: Trainings) -> list[Erratum]:
    """Cross-entropy under a Gaussian's name; ELBOs of densities and of probabilities."""
    x, n = done.test.images, len(done.test.images)
    p = done.models["right"].reconstruct(x)
    said = [line(p, x).item() / n for line in (pairs.cross_entropy, pairs.gaussian)]
    kept = [
        done.models[name].loss(x)["kl"].item() for name in ("right", gaussian_name(1.0))
    ]  # fmt: skip
    first = Erratum(
        "001", "cross-entropy called N(μ, I)", pairs.cross_entropy, pairs.gaussian,
        "-ln p(x|z) / KL of a VAE so trained",
        tuple(f"{a:.0f} / {b:.1f}" for a, b in zip(said, kept, strict=True)),
    )  # fmt: skip
    bounds = elbos(done)
    verdicts = [
        [line(*unit) for unit in bounds] for line in (pairs.of_two_kinds, pairs.of_one_kind)
    ]
    second = Erratum(
        "002", "ELBOs of two likelihoods compared", pairs.of_two_kinds, pairs.of_one_kind,
        "pixels in [0, 1] / in 0…255", tuple(f"{a} / {b}" for a, b in verdicts),
    )  # fmt: skip
    return [first, second]


@minigrad.no_grad()
def elbos(done: Trainings) -> list[tuple[float, float, float]]:
    """ELBO of a Gaussian, of the Bernoulli and of the narrow Gaussian: in [0, 1], in 0…255.

    In 0…255 each pixel of a Gaussian is N(255 μ, 255² σ²), at 255 x. Of Bernoulli pixels there are
    no units, only empty and full.
    """
    x, rows = done.test.images, []
    for unit in (1.0, 255.0):
        row = []
        for variance in VARIANCES:
            model = done.models[gaussian_name(variance)]
            minigrad.manual_seed(done.args.seed)
            output, mean, log_var, _ = model(x)
            pixels = Normal(unit * model.likelihood.mean(output), unit * math.sqrt(variance))
            kl = pairs.kl_read(mean, log_var).sum(1)
            row.append((pixels.log_prob(unit * x).flatten(1).sum(1) - kl).mean().item())
        rows.append((row[0], -done.read["right"][-1], row[1]))
    return rows


def outputs(done: Trainings) -> tuple[list[Erratum], dict[str, Autoencoder]]:
    """Tanh or sigmoid for pixels in [0, 1]; the file's order or another."""
    train, x = done.train, done.test.images
    order = tensor(np.argsort(train.labels.cpu().numpy(), kind="stable"), device=x.device)
    ordered = TensorDataset(train.images[order], train.labels[order])
    models = {
        "Tanh": done.autoencoder("Tanh", "tanh", pairs.mixed(TensorDataset(*train))),
        "Sigmoid": done.autoencoder("Sigmoid", "sigmoid", pairs.mixed(TensorDataset(*train))),
        "in order": done.autoencoder(
            "sorted by digit, in order", "sigmoid", pairs.in_order(ordered)
        ),
        "mixed": done.autoencoder("sorted by digit, mixed", "sigmoid", pairs.mixed(ordered)),
    }
    with minigrad.no_grad():
        below = [(models[name](x) < 0).float().mean().item() for name in ("Tanh", "Sigmoid")]
        errors = [models[name].loss(x).item() for name in ("in order", "mixed")]
    found = [
        Erratum("000", "Tanh for pixels in [0, 1]", pairs.last_layer_tanh,
                pairs.last_layer_sigmoid, "pixels with negative ink",
                tuple(f"{share:.0%}" for share in below)),
        Erratum("000", "shuffle=False", pairs.in_order, pairs.mixed,
                "test MSE, digits sorted by class",
                tuple(f"{error:.4f}" for error in errors)),
    ]  # fmt: skip
    return found, models


def sign(done: Trainings) -> tuple[Erratum, dict[str, Tensor]]:
    """25 steps down Deck 002's Loss, and down its negative."""
    outputs, costs = {}, []
    steps = 25
    for name, line in (("deck 002", pairs.bound_as_loss), ("right", pairs.negative_bound)):
        minigrad.manual_seed(done.args.seed)
        model = DenseVAE(HIDDEN, CODES).to(done.args.device)
        optimizer = optim.Adam(model.parameters(), lr=1e-3)
        batches = iter(())
        for _ in range(steps):
            batch = next(batches, None)
            if batch is None:
                batches = iter(DataLoader(TensorDataset(*done.train), 100, shuffle=True))
                batch = next(batches)
            x = batch[0]
            output, mean, log_var, _ = model(x)
            loss = line(output.sigmoid() - x, mean, log_var) / float(len(x))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        outputs[name] = model.reconstruct(done.test.images)
        costs.append(f"{F.mse_loss(outputs[name], done.test.images).item():.3f}")
    found = Erratum(
        "002", "the loss has the bound's sign", pairs.bound_as_loss, pairs.negative_bound,
        f"MSE after {steps} steps", tuple(costs),
    )  # fmt: skip
    return found, outputs


# ---------------------------------------------------------------- the whole


def report(errata: Sequence[Erratum]) -> str:
    """Every pair of lines, and the table of what they cost."""
    text, seen = [], set()
    for e in sorted(errata, key=lambda e: e.deck.split(",")[0]):
        if e.wrong not in seen:
            seen.add(e.wrong)
            text += [f"{e.deck}: {e.what}", f"    wrong  {line_of(e.wrong)}",
                     f"    right  {line_of(e.right)}"]  # fmt: skip
    columns = "deck", "what is wrong", "what is measured", "wrong line", "right line"
    rows = [
        (e.deck, e.what, e.measure, *e.costs)
        for e in sorted(errata, key=lambda e: e.deck.split(",")[0])
    ]
    return "\n".join(text) + "\n\n" + table(columns, rows)


def draw(done: Trainings, coders: dict, negatives: dict[str, Tensor], folder: Path) -> None:
    """The pictures."""
    test = done.test
    sample = shown(*test, each=1)
    with minigrad.no_grad():
        clouds = done.models["deck 001"].encode(sample)
        draw_sigma(
            done.read, done.true, tuple(c.cpu().numpy() for c in clouds),
            {name: done.models[name].sample(
                30, minigrad.Generator(device=done.args.device).manual_seed(1)
            ).cpu().numpy()[:, 0] for name in ("deck 001", "right")},
            folder / "sigma.png",
        )  # fmt: skip
        kinds = test.labels.cpu().numpy()
        which = [int(np.flatnonzero(kinds == kind)[0]) for kind in np.unique(kinds)]
        rebuilt = {name: coders[name](sample) for name in ("Tanh", "Sigmoid")}
        for name in ("deck 001", "right"):
            rebuilt[name] = done.models[name].reconstruct(sample)
        turned = {name: value[which] for name, value in negatives.items()}
    draw_kernel(sample[3:4].cpu().double(), folder / "kernel.png")
    draw_pictures(sample, rebuilt, turned, folder / "pictures.png")
    draw_formulas(elbos(done), VARIANCES, folder / "formulas.png")


def main() -> None:
    """Measure the formulas, train what must be trained, print and draw."""
    args = flags()
    folder = args.out / "errata"
    folder.mkdir(parents=True, exist_ok=True)
    minigrad.manual_seed(args.seed)
    errata = [formula() for formula in pairs.FORMULAS]
    done = Trainings(args, *load_images(args, *((1000, 300) if args.quick else (10_000, 1_000))))
    of_layers, coders = outputs(done)
    of_sign, negatives = sign(done)
    errata += [*of_layers, *trained_draw(done), *likelihoods(done), of_sign]
    draw(done, coders, negatives, folder)
    print(f"\n{report(errata)}\n\nELBO, nats per image:\n")
    first, second = map(gaussian_name, VARIANCES)
    rows = [
        (unit, a, b, c) for unit, (a, b, c) in zip(("[0, 1]", "0…255"), elbos(done), strict=True)
    ]  # fmt: skip
    print(table(("pixels", first, "Bernoulli", second), rows))
    print("\nslips of the pen, which cost no number:\n\n" + "\n".join(pairs.SLIPS))
    print(f"\n{guide(folder, SEEN)}")


if __name__ == "__main__":
    run(main)
