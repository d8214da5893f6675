"""What a VAE's loss does: its two parts alone, β, the decoder's σ², and codes that collapse.

Four experiments, each of many short trainings; `--only` names those to run.

trio      Two codes for digits. By reconstruction alone the clouds of codes shrink to points,
          anywhere in the plane, and what is drawn from N(0, 1) comes from a corner or a gap. By
          the KL alone every cloud is N(0, 1), and no code says which digit it is. By both the
          clouds fill N(0, 1) side by side, and what is drawn from it is mostly a digit.
beta      Discs with four known factors. As β grows the codes say less, and code and factor come
          to match one to one (MIG), until factors are given up. The traversals show each code.
sigma     A Gaussian decoder's σ² is β in disguise: N(f(z), c) with β = 1 trains like N(f(z), 1)
          with β = c, step by step. Learned, σ² becomes the mean squared error, and no fixed one
          has the better ELBO.
collapse  Sixteen codes, and most say nothing. If the assumed noise σ² is more than any direction
          of the data varies, that is the optimum: warm-up only delays it, free bits keep every
          code just at its free quarter of a nat, and a learned σ² cures it. In the deep network
          many codes would pay, and few are used: a bad start. With each of the three the error
          falls, with none as far as it could.
"""

import argparse
import math
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

import minigrad
from demos.common import guide, load_images, parser, run, table
from demos.pictures import Panel, draw_panels, mosaic, shown
from demos.short_trainings import (
    RANGES,
    SIDE,
    Data,
    DeepVAE,
    Recipe,
    Training,
    discs,
    folder_of,
    train_all,
)
from demos.vae_objectives_pictures import (
    Course,
    Objective,
    draw_courses,
    draw_sweep,
    draw_trio,
    draw_variances,
)
from minigrad import Tensor, optim
from minigrad.errors import ArgumentError
from models.evaluation import active_units, elbo_parts
from models.likelihoods import Gaussian
from models.scores import Gap, mig
from models.vae import VAE, DenseVAE

COURSE = "V13, V15, V18"
TIME = "three minutes"

DISC_NOISE = 0.01  # σ² of the discs' decoder

SEEN = {  # of each experiment
    "trio": {
        "trio.png": "By reconstruction alone the codes scatter, by the KL alone they say nothing, "
        "by both the clouds fill N(0, 1) side by side.",
    },
    "beta": {
        "beta.png": "As β grows MIG rises and then falls, when codes are given up; the KL falls "
        "all the way, and the error rises.",
        "traversals.png": "Each code changes one thing about the disc: place, size or grey.",
    },
    "sigma": {
        "sigma.png": "The star, σ² learned, has the least -ELBO, and lies where σ² is the error.",
        "sigma_images.png": "The larger σ², the more test images blur, and the more new images are "
        "digits.",
    },
    "collapse": {
        "collapse.png": "Lines near 0 are codes that say nothing. Where σ² is too large, learning "
        "it cures them; where the start was bad, each of the three helps.",
    },
}


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=20)
    made.add_argument(
        "--only", nargs="+", choices=EXPERIMENTS, default=tuple(EXPERIMENTS), metavar="NAME",
        help=f"of {', '.join(EXPERIMENTS)} (default: all)",
    )  # fmt: skip
    made.add_argument("--seeds", type=int, default=3, help="runs for each β (default 3)")
    made.add_argument("--resume", action="store_true", help="continue an interrupted run")
    args = made.parse_args()
    if args.epochs < 1 or args.seeds < 1:
        raise ArgumentError(f"epochs, seeds: got {args.epochs}, {args.seeds}; expected at least 1")
    if args.quick:
        args.epochs, args.seeds = min(args.epochs, 2), 1
    args.folder = folder_of(args)
    return args


def digits(args: argparse.Namespace, train: int) -> Data:
    """So many digits to train on, and 1000 to test on; a few in a quick run."""
    train, test = (400, 200) if args.quick else (train, 1000)
    first, second = load_images(args, train, test)
    return Data(first.images[:train], second.images[:test], second.labels[:test].cpu().numpy())


def show(columns: tuple[str, ...], rows: list[tuple]) -> None:
    """Print a table between empty lines."""
    print(f"\n{table(columns, rows)}\n")


def few(data: Data, each: int = 1) -> Tensor:
    """`each` test images of every class."""
    return shown(data.test, minigrad.tensor(data.known), each)


# ---------------------------------------------------------------- V13: the parts of the loss

TRIO = {
    "reconstruction only": ("reconstruction", "clouds shrink to points, anywhere in the plane"),
    "KL only": ("kl", "every cloud is N(0, 1), whatever the digit"),
    "both": ("loss", "clouds lie side by side and fill N(0, 1)"),
}


def trio(args: argparse.Namespace) -> None:
    """The same model and seed, and three things to minimise."""
    data = digits(args, 8_000)
    trainings = train_all(
        "trio", {
            name: Recipe(f"trio_{part}", partial(DenseVAE, 256), part, batch=128)
            for name, (part, _) in TRIO.items()
        }, data, args,
    )  # fmt: skip
    rows, columns = [], []
    for name, training in trainings.items():
        parts = elbo_parts(training.model, training.loader())
        of = training.posteriors()
        sigma = float(np.median(np.exp(of.log_var / 2)))
        spread = float(training.draws().std(0).mean())
        rows.append((
            name, parts.reconstruction, f"{parts.kl:.2f}", -parts.elbo, f"{sigma:.4f}",
            f"{spread:.2f}",
        ))  # fmt: skip
        images = few(data)
        columns.append(Objective(
            name, TRIO[name][1], training.draws(), data.known, images.cpu().numpy()[:, 0],
            training.pictures(images), training.samples(20),
        ))  # fmt: skip
    draw_trio(columns, args.folder / "trio.png")
    show(("minimised", "reconstruction", "KL", "-ELBO", "σ of a cloud", "σ of all codes"), rows)


# ---------------------------------------------------------------- V15: β


def beta(args: argparse.Namespace) -> None:
    """Discs with known factors: which code tells which, as β grows?"""
    betas = (1.0, 16.0) if args.quick else (1.0, 4.0, 16.0, 64.0, 256.0)
    device = minigrad.device(args.device)
    train, test = (400, 400) if args.quick else (5_000, 5_000)
    images, factors = discs(train + test, args.seed)
    x = minigrad.tensor(images, device=device)
    data = Data(x[:train], x[train:], factors[train:])
    trainings = train_all(
        "beta", {
            (b, seed): Recipe(f"beta_{b:g}_{seed}", disc_vae(b), lr=3e-3, seed=seed)
            for b in betas for seed in range(args.seeds)
        }, data, args,
    )  # fmt: skip
    gaps = {key: mig(t.draws(), data.known) for key, t in trainings.items()}
    found = {
        "MIG": {key: gap.mig for key, gap in gaps.items()},
        "KL, nats": {key: t.kl_by_code().sum() for key, t in trainings.items()},
        "active codes": {key: active_units(t.posteriors()).sum() for key, t in trainings.items()},
        "mean squared error": {key: t.mse() for key, t in trainings.items()},
    }
    grids = {
        name: np.array([[of[b, seed] for seed in range(args.seeds)] for b in betas], float)
        for name, of in found.items()
    }
    draw_sweep(betas, grids, args.folder / "beta.png")
    middle = {name: np.median(grid, 1) for name, grid in grids.items()}
    rows = []
    for i, b in enumerate(betas):
        score, kl, active, mse = (of[i] for of in middle.values())
        spread = f"{grids['MIG'][i].min():.3f} … {grids['MIG'][i].max():.3f}"
        rows.append((
            f"{b:g}", f"{b * DISC_NOISE:g}", f"{mse:.4f}", f"{active:g}", f"{kl:.2f}",
            f"{score:.3f}", spread,
        ))  # fmt: skip
    show(("β", "β σ²", "test MSE", "active codes", "KL", "MIG", "from … to"), rows)
    best = betas[int(middle["MIG"].argmax())]
    seed = max(range(args.seeds), key=lambda seed: gaps[best, seed].mig)
    draw_traversals(trainings[best, seed], gaps[best, seed], best, args)
    says = [f"{name} {gap:.2f}" for name, gap in zip(RANGES, gaps[best, seed].gaps, strict=True)]
    print(f"best β {best:g}; the gaps of its best run: {', '.join(says)}")
    print("medians over seeds; MIG is of draws z ~ q(z|x), whose noise keeps it well below 1")


def disc_vae(b: float) -> Callable[[], VAE]:
    """What makes a VAE for discs with that β."""
    return lambda: DeepVAE((128, 64), 6, (1, SIDE, SIDE), Gaussian(DISC_NOISE), b)


def draw_traversals(training: Training, gap: Gap, b: float, args: argparse.Namespace) -> None:
    """A row for each code that says something: it alone goes from -2.5 to 2.5."""
    kl = training.kl_by_code()
    span = np.linspace(-2.5, 2.5, 11)
    rows = [("some of the\ndiscs", [Panel(mosaic(training.data.test.cpu().numpy()[:11, 0]))])]
    for j in np.argsort(-kl)[: max(2, int((kl > 0.05).sum()))]:
        z = np.zeros((len(span), len(kl)), np.float32)
        z[:, j] = span
        images = training.model.generate(minigrad.tensor(z, device=training.data.test.device))
        k = int((gap.information[j] / gap.entropy).argmax())
        name = f"{[*RANGES][k]}: {gap.information[j, k]:.2f} nats\nof code {j + 1}'s {kl[j]:.2f}"
        title = f"each code from -2.5 to 2.5, the others 0; β = {b:g}" if len(rows) == 1 else ""
        rows.append((name, [Panel(mosaic(images.cpu().numpy()[:, 0]), title)]))
    draw_panels(rows, args.folder / "traversals.png", width=9)


# ---------------------------------------------------------------- V18: σ²


def sigma(args: argparse.Namespace) -> None:
    """A Gaussian decoder, its σ² fixed or learned; and the same loss by β."""
    show_equivalence(args)
    data = digits(args, 6_000)
    fixed = (0.1, 1.0) if args.quick else (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    trainings = train_all(
        "sigma", {
            c: Recipe(f"sigma_{c}", gaussian_vae(c), batch=128) for c in (*fixed, "shared")
        }, data, args,
    )  # fmt: skip
    rows, pictures = [], {}
    images = few(data)
    for c, training in trainings.items():
        variance = training.model.likelihood.implied_variance()
        parts = elbo_parts(training.model, training.loader())
        of = training.posteriors()
        rows.append((
            "learned" if c == "shared" else "fixed", f"{variance:.4g}",
            f"{2 * variance / math.prod(data.test.shape[1:]):.2g}",
            f"{training.mse():.5f}", f"{parts.kl:.1f}", int(active_units(of).sum()), -parts.elbo,
        ))  # fmt: skip
        pictures[variance] = [
            Panel(mosaic(training.pictures(images))), Panel(mosaic(training.samples(10))),
        ]  # fmt: skip
    show(("σ²", "σ² = β", "w", "test MSE", "KL", "active codes", "-ELBO"), rows)
    print("w: the loss is MSE + w KL, scaled; β: the loss is that of σ² = 1 and this β, scaled")
    numbers = [(float(row[1]), float(row[3]), row[6]) for row in rows]
    variances, mse, cost = zip(*numbers[:-1], strict=True)
    draw_variances(variances, mse, cost, numbers[-1], args.folder / "sigma.png")
    draw_sigma_images(pictures, float(rows[-1][1]), images, args)


def draw_sigma_images(
    pictures: dict[float, list[Panel]], learned: float, images: Tensor, args: argparse.Namespace
) -> None:
    """What each σ² makes of test images, and what it draws from p(z)."""
    original = Panel(mosaic(images.cpu().numpy()[:, 0]), "test images, and what becomes of them")
    nothing = Panel(np.full_like(original.pixels, np.nan), "new images, of codes from N(0, 1)")
    rows = [("input", [original, nothing])]
    for variance in sorted(pictures):
        is_learned = math.isclose(variance, learned, rel_tol=1e-3)
        name = f"learned:\nσ² = {variance:.4f}" if is_learned else f"σ² = {variance:g}"
        rows.append((name, pictures[variance]))
    draw_panels(rows, args.folder / "sigma_images.png", width=11)


def gaussian_vae(variance: float | str) -> Callable[[], VAE]:
    """What makes a VAE for digits whose decoder is so noisy."""
    return lambda: DenseVAE(256, 10, likelihood=Gaussian(variance))


def show_equivalence(args: argparse.Namespace) -> None:
    """N(f(z), c) with β = 1 and N(f(z), 1) with β = c: the same gradients, the same training.

    -ln p(x|z) is SSE / 2c and a constant, so c times the one loss is the other and a constant. SGD
    with a learning rate c times as high therefore takes the same steps. The last column is what
    is missed where β is left at 1.
    """
    x = minigrad.tensor(discs(64, args.seed)[0]).double()
    rows = []
    for c in (0.01, 0.1, 1.5, 10.0):
        noisy, weighted, neither = (
            small_vae(args.seed, variance, b) for variance, b in ((c, 1.0), (1.0, c), (1.0, 1.0))
        )
        eps = minigrad.randn(64, 4, dtype=minigrad.float64)
        g, h = gradient(noisy, x, eps), gradient(weighted, x, eps)
        before = weights(weighted)
        for _ in range(100):
            eps = minigrad.randn(64, 4, dtype=minigrad.float64)
            for model, rate in ((noisy, c), (weighted, 1.0), (neither, 1.0)):
                sgd = optim.SGD(model.parameters(), lr=1e-2 * rate)
                gradient(model, x, eps)
                sgd.step()
        after = weights(weighted)
        others = before, weights(noisy), weights(neither)
        apart = np.abs(h - c * g).max() / np.abs(h).max()
        found = apart, *(np.abs(after - other).max() for other in others)
        rows.append((f"{c:g}", *(f"{value:.1e}" for value in found)))
    print("\nσ² = c, β = 1, learning rate c η   against   σ² = 1, β = c, learning rate η")
    columns = "c", "gradients differ by", "100 steps move weights by", "they differ by"
    show((*columns, "without β by"), rows)


def small_vae(seed: int, variance: float, b: float) -> VAE:
    """A VAE for discs, in float64."""
    minigrad.manual_seed(seed)
    return DenseVAE(32, 4, (1, SIDE, SIDE), Gaussian(variance), b).double()


def gradient(model: VAE, x: Tensor, eps: Tensor) -> np.ndarray:
    """The gradient of the loss by all weights, which have it as their .grad."""
    model.zero_grad()
    model.loss(x, eps=eps)["loss"].backward()
    return np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])


def weights(model: VAE) -> np.ndarray:
    """All weights in a row."""
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])


# ---------------------------------------------------------------- collapse

CURES = "as it is", "warm-up", "free bits", "σ² learned"
FREE = 0.25  # nats of each code
TELLS = 0.1  # nats of KL, from which on a code counts as saying something


class Setting(NamedTuple):
    """What makes codes collapse."""

    variance: float
    layers: str
    model: Callable[..., VAE]

    def make(self, cure: str) -> Callable[[], VAE]:
        """What makes a model of sixteen codes with that cure."""
        free = FREE if cure == "free bits" else 0.0
        if cure != "σ² learned":
            return lambda: self.model(likelihood=Gaussian(self.variance), free_bits=free)
        return lambda: self.model(likelihood=learned_from(self.variance))


def learned_from(variance: float) -> Gaussian:
    """A decoder's likelihood that learns σ² and begins with that."""
    likelihood = Gaussian("shared")
    with minigrad.no_grad():
        likelihood.log_var.fill_(math.log(variance))
    return likelihood


SETTINGS = (
    Setting(8.0, "1 hidden layer", partial(DenseVAE, 256, 16)),
    Setting(0.2, "3 hidden layers", partial(DeepVAE, (128, 128, 64), 16, (1, 28, 28))),
)


def collapse(args: argparse.Namespace) -> None:
    """Sixteen codes, too much noise or a bad start, and what helps."""
    data = digits(args, 4_000)
    flat = data.train.flatten(1).cpu().numpy().astype(np.float64)
    directions = np.linalg.eigvalsh(np.cov(flat.T))
    trainings = train_all(
        "collapse", {
            (setting, cure): Recipe(
                f"collapse_{setting.variance:g}_{i}", setting.make(cure), lr=3e-3,
                warm=round(0.7 * args.epochs) if cure == "warm-up" else 0,
            )
            for setting in SETTINGS for i, cure in enumerate(CURES)
        }, data, args,
    )  # fmt: skip
    rows, courses = [], {setting: [] for setting in SETTINGS}
    for (setting, cure), training in trainings.items():
        model, kl, mse = training.model, training.kl_by_code(), training.mse()
        tell = int((kl > TELLS).sum())
        rows.append((
            f"σ² = {setting.variance:g}, {setting.layers}", cure, f"{kl.sum():.2f}", tell,
            int(active_units(training.posteriors()).sum()), f"{mse:.4f}",
            f"{model.likelihood.implied_variance():.3g}",
        ))  # fmt: skip
        found = f", {rows[-1][-1]}" if cure == "σ² learned" else ""
        courses[setting].append(Course(
            f"{cure}{found}\n{tell} of {model.codes} codes tell, MSE {mse:.3f}",
            training.course(), training.recipe.warm, model.free_bits,
        ))  # fmt: skip
    draw_courses(
        [(f"σ² = {setting.variance:g}, {setting.layers}", of) for setting, of in courses.items()],
        args.folder / "collapse.png",
    )
    columns = "setting", "cure", "KL", f"codes over {TELLS} nats", "active", "test MSE", "σ²"
    show(columns, rows)
    for setting in SETTINGS:
        more = int((directions > setting.variance).sum())
        print(
            f"{more} principal directions of the digits vary by more than σ² = "
            f"{setting.variance:g}: so many codes would pay, were f linear"
        )
    print(f"a code that is {TELLS} nats from p(z) or less has collapsed")


EXPERIMENTS = {"trio": trio, "beta": beta, "sigma": sigma, "collapse": collapse}


def main() -> None:
    """Run the experiments."""
    args = flags()
    started = time.perf_counter()
    for name in args.only:
        EXPERIMENTS[name](args)
    seconds = time.perf_counter() - started
    seen = {picture: text for name in args.only for picture, text in SEEN[name].items()}
    print(f"\nin all {seconds:.0f} seconds; {guide(args.folder, seen)}")


if __name__ == "__main__":
    run(main)
