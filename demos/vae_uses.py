"""What codes are good for: groups without labels, guesses of ratings; and what the nats count.

clusters  k-means of test images: of their pixels, of their principal components, of a VAE's codes;
          each centre as a picture, under its most frequent digit and that digit's share. Groups are
          of shapes more than of digits: a 4 and a 9 written alike share one. In 10 codes they match
          the labels better than in 784 pixels, on MNIST clearly, but far from perfectly.
ratings   Who likes which film? An autoencoder reads the ratings that a user gave and guesses the
          others. The ratings are made up, from three tastes, so the error can be compared with the
          noise that nobody can guess, and the codes with the tastes: they contain them.
pixels    The same VAE for images made black and white, a draw with the grey as the chance of ink,
          and for grey ones, for which the cross-entropy is no -ln p(x): at best it is the entropy
          of the greys, not 0. (It is the mean over all such draws, so the two come out alike.)
          The continuous Bernoulli has the factor C that makes it a density. To leave it out is to
          leave out a thousand nats, and not the same for every image. With it, a background of
          exact zeros may become as likely as one likes, and so codes say much more.
"""

import argparse
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import Images, expect_at_least, load_images, parser, run, table
from demos.pictures import Panel, draw_panels, mosaic
from demos.ratings import (
    NOISE,
    RatingsAutoencoder,
    by_means,
    by_svd,
    draw_ratings,
    explained,
    mean_of_film,
    ratings,
    rmse,
)
from demos.vae_numbers import batches, flat
from minigrad import Generator, Tensor, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.training import fit
from models.clustering import Clusters, k_means, normalised_information, purity
from models.continuous_bernoulli import ContinuousBernoulli, log_normaliser
from models.evaluation import elbo_parts, log_evidence_of, posteriors
from models.likelihoods import Bernoulli, per_image
from models.linear_autoencoder import pca
from models.vae import VAE, DenseVAE

COURSE = "V19, V21"
TIME = "half a minute"

CODES, HIDDEN, BATCH, GROUPS = 10, 256, 128, 10


def flags() -> argparse.Namespace:
    """The command line."""
    args = parser(__doc__, epochs=15).parse_args()
    expect_at_least(args, epochs=1)
    args.train, args.test = (1500, 500) if args.quick else (6000, 2000)
    args.users, args.evidence = (600, 40) if args.quick else (2000, 200)
    args.rating_epochs = 3 * args.epochs  # of few users, and fast
    if args.quick:
        args.epochs = min(args.epochs, 4)
    args.folder = args.out / "vae_uses"
    return args


# ---------------------------------------------------------------- V19: what the nats count


class Pixels(NamedTuple):
    """A VAE, and the images that it is for."""

    name: str
    model: VAE
    test: Tensor


def black_and_white(images: Tensor, seed: int) -> Tensor:
    """Each pixel full with its grey as the chance, else empty; drawn once."""
    draws = np.random.default_rng(seed).random(images.shape)
    full = (draws < images.cpu().numpy()).astype(np.float32)
    return minigrad.tensor(full, device=images.device)


def train_vaes(train: Tensor, test: Tensor, args: argparse.Namespace) -> list[Pixels]:
    """From the same weights, with images in the same order."""
    made = []
    binary = [black_and_white(x, args.seed + i) for i, x in enumerate((train, test))]
    for name, data, likelihood in (
        ("grey, cross-entropy", (train, test), Bernoulli()),
        ("grey, continuous Bernoulli", (train, test), ContinuousBernoulli()),
        ("black and white, Bernoulli", binary, Bernoulli()),
    ):
        print(name)
        minigrad.manual_seed(args.seed)
        model = DenseVAE(HIDDEN, CODES, likelihood=likelihood).to(args.device)
        order = Generator().manual_seed(args.seed)
        loader = DataLoader(TensorDataset(data[0]), BATCH, shuffle=True, generator=order)
        fit(model, VAE.loss, optim.Adam(model.parameters(), lr=2e-3), loader, args.epochs)
        made.append(Pixels(name, model, data[1]))
    return made


def entropy_of_greys(x: Tensor) -> float:
    """-Σ x ln x + (1 - x) ln (1 - x), the mean over images: the least that cross-entropy can be."""
    grey = flat(x).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        nats = -grey * np.log(grey) - (1 - grey) * np.log1p(-grey)
    return float(np.where((grey > 0) & (grey < 1), nats, 0).sum(1).mean())  # 0 ln 0 = 0


@minigrad.no_grad()
def pixels(vaes: list[Pixels], args: argparse.Namespace) -> str:
    """The table of -ELBO, ln p(x), the floor and ln C, per image; the picture."""
    rows, pictures = [], []
    for name, model, test in tqdm(vaes, desc="measuring", unit=" models"):
        noise = Generator(args.device).manual_seed(args.seed)
        found = elbo_parts(model, batches(test), noise)
        evidence = log_evidence_of(model, batches(test[: args.evidence], 25), 50, noise).mean()
        output = model.decode(model.encode(test)[0])
        ln_c = per_image(log_normaliser(output)).cpu().numpy()
        grey = not name.startswith("black")
        rows.append((
            name, f"{found.reconstruction:.1f}", f"{found.kl:.1f}", f"{-found.elbo:.1f}",
            f"{-evidence:.1f}", f"{entropy_of_greys(test):.1f}",
            f"{ln_c.mean():.0f} ± {ln_c.std():.0f}" if grey else "-",
        ))  # fmt: skip
        images = test[:14]
        pictures += [] if name.endswith("continuous Bernoulli") else [(name.split(",")[0], images)]
        pictures.append((f"from {name.split(', ')[1]}", model.reconstruct(images)))
    draw_panels(
        [(title, [Panel(mosaic(x.cpu().numpy()[:, 0]))]) for title, x in pictures],
        args.folder / "pixels.png", width=9,
    )  # fmt: skip
    columns = "images, decoder", "reconstruction", "KL", "-ELBO", "-ln p(x)", "entropy", "ln C"
    return (
        f"{table(columns, rows)}\n\nnats per test image; -ln p(x) by 50 draws, "
        f"{args.evidence} images; entropy: the least reconstruction there could be with p = x;\n"
        "ln C: what the cross-entropy leaves out, mean and spread over the images, at z = μ"
    )


# ---------------------------------------------------------------- V21: clusters


def clusters(model: VAE, train: Tensor, test: Images, args: argparse.Namespace) -> str:
    """k-means in three spaces: its scores, and its centres as pictures."""
    components = pca(train, CODES)
    spaces = {
        "pixels": flat(test.images),
        "principal components": components.encode(test.images).cpu().numpy(),
        "VAE's codes": posteriors(model, batches(test.images)).mean,
    }
    found = {
        name: k_means(x, GROUPS, args.seed)
        for name, x in tqdm(spaces.items(), desc="grouping", unit=" spaces")
    }
    labels = test.labels.cpu().numpy()
    numbers = [
        (name, spaces[name].shape[1], purity(c.group, labels),
         normalised_information(c.group, labels)) for name, c in found.items()
    ]  # fmt: skip
    centres = {
        name: minigrad.tensor(c.centres.astype(np.float32), device=args.device)
        for name, c in found.items()
    }
    drawn = {
        "pixels": found["pixels"].centres,
        "principal components": components.decode(centres["principal components"]).cpu().numpy(),
        "VAE's codes": flat(model.generate(centres["VAE's codes"])),
    }
    rows = [_centres(name, drawn[name], found[name], labels) for name in spaces]
    draw_panels(rows, args.folder / "clusters.png", width=9)
    draw_groups(found["VAE's codes"], spaces["VAE's codes"], drawn["VAE's codes"], test, args)
    columns = "k-means of", "numbers", "purity", "NMI with the labels"
    return f"{table(columns, numbers)}\n\n{len(labels):,} test images, {GROUPS} groups"


def _centres(
    name: str, drawn: np.ndarray, found: Clusters, labels: np.ndarray
) -> tuple[str, list[Panel]]:
    """The pictures of the centres in the order of their most frequent digit, and its share."""
    panels = []
    for i in range(GROUPS):
        inside = labels[found.group == i]
        if len(inside):
            digit = int(np.bincount(inside).argmax())
            title = f"{digit}: {(inside == digit).mean():.0%}"
            panels.append((digit, -len(inside), i, title))
    return name, [Panel(drawn[i].reshape(28, 28), title) for *_, i, title in sorted(panels)]


def draw_groups(
    found: Clusters, codes: np.ndarray, drawn: np.ndarray, test: Images, args: argparse.Namespace
) -> None:
    """Each group of codes: its decoded centre, and the images nearest to it and drawn at random."""
    images, rows = test.images.cpu().numpy()[:, 0], []
    rng = np.random.default_rng(args.seed)
    for i in range(GROUPS):
        inside = np.flatnonzero(found.group == i)
        away = ((codes[inside] - found.centres[i]) ** 2).sum(1)
        nearest = inside[np.argsort(away)[:6]]
        some = rng.permutation(inside)[:10]
        if len(inside) >= 10:
            titles = ("centre", "nearest to it", "any of the group") if not rows else ("",) * 3
            parts = drawn[i].reshape(1, 28, 28), images[nearest], images[some]
            panels = [Panel(mosaic(p), t) for p, t in zip(parts, titles, strict=True)]
            rows.append((f"{len(inside)} images", panels))
    draw_panels(rows, args.folder / "groups.png", width=8)


# ---------------------------------------------------------------- V21: ratings


def recommend(args: argparse.Namespace) -> str:
    """The autoencoder against means and singular values; the table and the picture."""
    data = ratings(args.users, 60, args.seed)
    film = mean_of_film(data)
    apart = ((data.values - film) * data.known).astype(np.float32)
    rest = minigrad.tensor(apart, device=args.device)
    known = minigrad.tensor(data.known.astype(np.float32), device=args.device)
    minigrad.manual_seed(args.seed)
    model = RatingsAutoencoder(60).to(args.device)
    courses: list[float] = []

    @minigrad.no_grad()
    def measure(*_: object) -> dict[str, float]:
        courses.append(rmse(film + model(rest, known).cpu().numpy(), data))
        return {"rmse": courses[-1]}

    print("ratings")
    loader = DataLoader(TensorDataset(rest, known), 50, shuffle=True)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    falling = optim.lr_scheduler.CosineAnnealingLR(optimizer, args.rating_epochs, 1e-4)
    fit(
        model, RatingsAutoencoder.loss, optimizer, loader, args.rating_epochs,
        scheduler=falling, on_epoch=measure,
    )  # fmt: skip
    once = min(rmse(by_svd(data, rank), data) for rank in range(1, 9))
    again = min(rmse(by_svd(data, rank, 30), data) for rank in range(1, 9))
    found = {
        "the film's mean": rmse(np.broadcast_to(film, data.values.shape), data),
        "means of film and user": rmse(by_means(data), data),
        "truncated SVD": once,
        "SVD, filled 30 times": again,
        "autoencoder": courses[-1],
        "the noise itself": NOISE,
    }
    with minigrad.no_grad():
        codes = model.encode(rest, known).cpu().numpy()
    share, guess = explained(codes, data)
    draw_ratings(found, courses, (data.tastes[:, 0], guess[:, 0]), args.folder / "ratings.png")
    return (
        f"{table(('guess by', 'RMSE of the ratings asked for'), [*found.items()])}\n\n"
        f"{args.users:,} users, 60 films, {data.known.mean():.0%} of the ratings known; of the "
        "SVDs the best rank for the answers\n"
        f"a linear map of the codes explains {share:.0%} of the variance of the users' tastes"
    )


def main() -> None:
    """Train the VAEs, then the three parts."""
    args = flags()
    args.folder.mkdir(parents=True, exist_ok=True)
    train, test = load_images(args, args.train, args.test)
    train, test = (
        Images(*(x[:n] for x in part)) for part, n in ((train, args.train), (test, args.test))
    )
    vaes = train_vaes(train.images, test.images, args)
    print(f"\n{clusters(vaes[0].model, train.images, test, args)}\n")
    print(f"\n{recommend(args)}\n")
    print(f"\n{pixels(vaes, args)}")
    names = "clusters.png, groups.png, ratings.png, pixels.png"
    print(f"\npictures in {args.folder}/: {names}")


if __name__ == "__main__":
    run(main)
