"""The first autoencoders: a gradient by hand, layers trained one by one, codes drawn by chance.

1986  Rumelhart, Hinton and Williams train networks to return their input through a narrow layer:
      `models/one_layer.py`. Here its gradient, as written on paper, trains a model beside autograd.
1987  Ballard stacks autoencoders, each trained on the codes of the one below:
      `models/stacked.py`. Here against the same network trained at once, from two kinds of weights.
1989  Baldi and Hornik: one linear layer each way finds what principal components span:
      `models/linear_autoencoder.py`, `python -m demos.pca`.
1991  Kramer's nonlinear PCA has layers between: `models/autoencoder.py`, `demos.manifold`.
1993  Hinton and Zemel let the code be drawn, and ask what it costs to send: `models/stochastic.py`.
      Here an image is encoded more than once. With a price on codes it is a VAE: `demos.vae`.
2006  Hinton and Salakhutdinov stack restricted Boltzmann machines and train all as one.

(Deck 003 dates Ballard 1986; the paper, Modular Learning in Neural Networks, is of AAAI 1987.)

What to see: two curves of one line, the chain rule on paper and by machine. A deep network of small
random weights hardly passes anything on, and starts slowly; trained layer by layer first, it does
not, and that was the way in until weights were drawn with a size that suits the layers, which does
as well for nothing. Encoded twice, an image has two codes, and what is decoded of both must do: so
codes beside each other mean images alike.
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import Images, load_images, parser, run, table
from demos.pca import suit_relu
from demos.pictures import DIGIT_COLOURS, Panel, draw_panels, mosaic, shown
from minigrad import Generator, Tensor, nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError
from minigrad.nn import functional as F
from minigrad.training import fit
from models.autoencoder import Autoencoder
from models.one_layer import OneLayerAutoencoder
from models.stacked import StackedAutoencoder
from models.stochastic import StochasticAutoencoder

COURSE = "A17, A18, A26"
TIME = "20 seconds"

CODES = 32  # of the one-layer autoencoder
DEEP = 784, 256, 128, 64, 16
ALONE = 3  # epochs of each layer alone
DRAWS = 40  # codes of one image


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=12)
    made.add_argument("--std", type=float, default=0.1, help="σ of the random code (default 0.1)")
    args = made.parse_args()
    args.train, args.test = (800, 200) if args.quick else (4000, 1000)
    if args.quick:
        args.epochs = min(args.epochs, 4)
    if args.epochs <= ALONE:
        raise ArgumentError(f"--epochs: got {args.epochs}; expected more than {ALONE}")
    if not 0 < args.std < np.inf:
        raise ArgumentError(f"--std: got {args.std}; expected a number above 0")
    return args


# ---------------------------------------------------------------- the chain rule on paper


def gradients_apart(model: OneLayerAutoencoder, x: Tensor) -> dict[str, float]:
    """Of each parameter max |∂L by hand - by autograd| / max |∂L|, in float64."""
    double = OneLayerAutoencoder(x[0].numel(), CODES).to(x.device)
    double.load_state_dict(model.state_dict())
    double, x = double.double(), x.double()
    double.loss(x).backward()
    by_hand, apart = double.gradient_by_hand(x), {}
    for name, p in double.named_parameters():
        gap = (by_hand[name] - p.grad).abs().max() / p.grad.abs().max()
        apart[name] = gap.item()
    return apart


def train_one_layer(images: Tensor, args: argparse.Namespace, by_hand: bool) -> list[float]:
    """The loss of every step, by the gradient on paper or by autograd; all else is the same."""
    minigrad.manual_seed(args.seed)
    model = OneLayerAutoencoder(784, CODES).to(args.device)
    named = dict(model.named_parameters())
    optimizer, losses = optim.Adam(model.parameters(), lr=1e-2), []
    for _ in range(args.epochs):
        for (x,) in DataLoader(TensorDataset(images), 64, shuffle=True):
            optimizer.zero_grad()
            loss = model.loss(x)
            if by_hand:
                for name, gradient in model.gradient_by_hand(x).items():
                    named[name].grad = gradient
            else:
                loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def draw_one_layer(found: dict[str, list[float]], path: Path) -> None:
    """Both curves; one is drawn over the other, and dashed."""
    figure, axes = plt.subplots(figsize=(6.4, 4))
    for (name, losses), style in zip(found.items(), ("C0-", "C1--"), strict=True):
        axes.plot(losses, style, lw=2 if style == "C0-" else 1.4, label=name)
    axes.set(xlabel="step", ylabel="squared error of an image", yscale="log")
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


# ---------------------------------------------------------------- layers one by one


@minigrad.no_grad()
def error(model: Autoencoder, images: Tensor) -> float:
    """The mean squared error of the test images."""
    return F.mse_loss(model(images), images).item()


def train_deep(
    way: str, train: Tensor, test: Tensor, args: argparse.Namespace
) -> tuple[StackedAutoencoder, list[float]]:
    """A deep autoencoder, and its test error before the first epoch and after each.

    Layers alone take the first ALONE epochs: one of each layer costs what one of the whole does.
    """
    minigrad.manual_seed(args.seed)
    model = StackedAutoencoder(DEEP, "sigmoid").to(args.device)
    if way == "weights that suit ReLUs":
        model.apply(suit_relu)
    alone = ALONE if way == "layer by layer first" else 0
    errors = [error(model, test)] + [float("nan")] * alone
    if alone:
        model.pretrain(train, alone, lr=2e-3, batch_size=64, progress=False)
        errors[-1] = error(model, test)
    fit(
        model, StackedAutoencoder.loss, optim.Adam(model.parameters(), lr=2e-3),
        DataLoader(TensorDataset(train), 64, shuffle=True), args.epochs - alone,
        on_epoch=lambda epoch, record: errors.append(error(model, test)), progress=False,
    )  # fmt: skip
    return model, errors


WAYS = "usual weights", "layer by layer first", "weights that suit ReLUs"


def draw_deep(errors: dict[str, list[float]], path: Path) -> None:
    """Test errors over the epochs; while layers are trained alone there is none of the whole."""
    figure, axes = plt.subplots(figsize=(6.8, 4.2))
    axes.axvspan(0, ALONE, color="C1", alpha=0.12, lw=0)
    axes.text(ALONE / 2, 0.002, "each layer alone", ha="center", color="C1")
    for i, (way, values) in enumerate(errors.items()):
        known = np.flatnonzero(np.isfinite(values))
        axes.plot(known, np.array(values)[known], f"C{i}o-", lw=1.8, ms=4, label=way)
    axes.set(xlabel="epoch", ylabel="mean squared error of test images", ylim=(0, None))
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


@minigrad.no_grad()
def draw_outputs(models: dict[str, nn.Module], sample: Tensor, path: Path) -> None:
    """The same digits through each of the deep ones."""
    rows = [("input", sample), *((way, model(sample)) for way, model in models.items())]
    draw_panels([(n, [Panel(mosaic(x.cpu().numpy()[:, 0]))]) for n, x in rows], path)


# ---------------------------------------------------------------- a code drawn by chance


def train_stochastic(images: Tensor, args: argparse.Namespace) -> StochasticAutoencoder:
    """784-256-2 with Bernoulli pixels.

    From the usual small weights all images start at one code, and tanh sends it into a corner.
    """
    minigrad.manual_seed(args.seed)
    model = StochasticAutoencoder((784, 256, 2), args.std).apply(suit_relu).to(args.device)
    fit(
        model, StochasticAutoencoder.loss, optim.Adam(model.parameters(), lr=1e-3),
        DataLoader(TensorDataset(images), 64, shuffle=True), args.epochs, progress=False,
    )  # fmt: skip
    return model.eval()


@minigrad.no_grad()
def draw_clouds(
    model: StochasticAutoencoder, test: Images, sample: Tensor, seed: int, path: Path
) -> float:
    """The codes of ten images, DRAWS of each, over the means of all.

    Answers with the standard deviation of the draws around their means.
    """
    dice = Generator(sample.device).manual_seed(seed)
    means = model.encode(test.images).cpu().numpy()
    drawn = np.stack(
        [model.sample_code(sample, generator=dice).cpu().numpy() for _ in range(DRAWS)]
    )
    figure, axes = plt.subplots(figsize=(6.4, 6))
    labels = test.labels.cpu().numpy()
    axes.scatter(*means.T, c=labels, cmap=DIGIT_COLOURS, vmin=0, vmax=9, s=8, alpha=0.5, lw=0)
    for digit in range(len(sample)):
        axes.scatter(*drawn[:, digit].T, color=DIGIT_COLOURS(digit), s=14, ec="black", lw=0.4)
        axes.annotate(str(digit), drawn[:, digit].mean(0), ha="center", va="center", fontsize=15,
                      fontweight="bold")  # fmt: skip
    axes.set(xlabel="code 1", ylabel="code 2", title=f"{DRAWS} codes of each of ten images")
    figure.savefig(path)
    plt.close(figure)
    return float((drawn - model.encode(sample).cpu().numpy()).std())


@minigrad.no_grad()
def draw_twice(model: StochasticAutoencoder, sample: Tensor, seed: int, path: Path) -> float:
    """Each image encoded twice, and an image drawn from p(x|h) of the first of both codes.

    Answers with the mean squared difference of what is decoded of the two.
    """
    dice = Generator(sample.device).manual_seed(seed)
    codes = [model.sample_code(sample, generator=dice) for _ in range(2)]
    decoded = [model.likelihood.mean(model.decode(h)).reshape(sample.shape) for h in codes]
    drawn = model.sample_image(codes[0], dice).reshape(sample.shape)
    names = "input", "of one code", "of another code", "a draw of p(x|h)"
    rows = zip(names, (sample, *decoded, drawn), strict=True)
    draw_panels([(n, [Panel(mosaic(x.cpu().numpy()[:, 0]))]) for n, x in rows], path)
    return F.mse_loss(*decoded).item()


def main() -> None:
    """Train, draw, and print what was found."""
    args = flags()
    started = time.perf_counter()
    train, test = (
        Images(*(part[:n] for part in images))
        for images, n in zip(
            load_images(args, args.train, args.test), (args.train, args.test), strict=True
        )
    )
    folder = args.out / "first_autoencoders"
    folder.mkdir(parents=True, exist_ok=True)
    sample = shown(*test, each=1)
    with tqdm(total=6, desc="models", unit=" models") as bar:
        one_layer = {}
        for name in ("by autograd", "by hand"):
            one_layer[name] = train_one_layer(train.images, args, name == "by hand")
            bar.update()
        deep = {}
        for way in WAYS:
            deep[way] = train_deep(way, train.images, test.images, args)
            bar.update()
        stochastic = train_stochastic(train.images, args)
        bar.update()
    errors = {way: found for way, (_, found) in deep.items()}
    draw_one_layer(one_layer, folder / "one_layer.png")
    draw_deep(errors, folder / "layers.png")
    draw_outputs({way: model for way, (model, _) in deep.items()}, sample, folder / "deep.png")
    spread = draw_clouds(stochastic, test, sample, args.seed, folder / "clouds.png")
    twice = draw_twice(stochastic, sample, args.seed, folder / "twice.png")
    minigrad.manual_seed(args.seed)
    apart = gradients_apart(OneLayerAutoencoder(784, CODES).to(args.device), train.images[:64])
    print("\n" + in_words(apart, one_layer, errors))
    print(f"\ncodes of one image: σ {spread:.3f} around their mean; the mean squared difference of")
    print(
        f"what two of them are decoded to is {twice:.4f}, that of test images and what is made of"
    )
    print(f"them {error(stochastic, test.images):.4f}")
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; pictures in {folder}/")


def in_words(
    apart: dict[str, float], one_layer: dict[str, list[float]], errors: dict[str, list[float]]
) -> str:
    """The tables of both networks."""
    rows = [(name, f"{gap:.0e}") for name, gap in apart.items()]
    losses = ", ".join(f"{found[-1]:.5f} {name}" for name, found in one_layer.items())
    steps = len(one_layer["by hand"])
    last = len(errors[WAYS[0]]) - 1
    columns = "-".join(map(str, DEEP)), f"test MSE after {ALONE} epochs", f"after {last}"
    return f"""{table(("gradient by hand and by autograd, of", "apart"), rows)}

loss of the last of {steps:,} steps: {losses}

{table(columns, [(way, found[ALONE], found[-1]) for way, found in errors.items()])}"""


if __name__ == "__main__":
    run(main)
