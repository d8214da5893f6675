"""A variational autoencoder of digits: where it puts them, and what it draws in between.

Deck 004's dense model 784-512-2 with batches of 50, or by `--model conv` deck 000's convolutional
one with 20 codes and batches of 128; Adam 1e-3, 10 epochs, of 20,000 glyphs, or 12,000. Beside it
the same layers, from the same weights, learn to be a plain autoencoder: no noise, no KL.

What to see: nobody told the network what a digit is, and yet most kinds have a region of their own,
and between two regions one digit turns into the other. So a code drawn from N(0, 1) is a digit, or
half way between two. The plain autoencoder's codes lie elsewhere, and from the same draws it makes
worse digits; of 20 codes, none at all. Where regions meet the VAE errs as deck 004 says: what it
makes of a 5 is often taken for a 3 or an 8. With 20 codes it hardly errs any more.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

import minigrad
from demos import vae_pictures as draw
from demos.common import SETTINGS, Images, guide, load_images, parser, resumes, run, table
from demos.pictures import load_png, mosaic, save_png, shown
from demos.vae_numbers import NEIGHBOURS, batches, confusion, distances
from minigrad import Generator, Tensor, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.draw import graph
from minigrad.errors import ArgumentError
from minigrad.training import fit
from models.evaluation import elbo_parts, kl_by_code, log_evidence_of, posteriors
from models.vae import VAE, ConvVAE, DenseVAE

COURSE = "V8, V9, V10, V11, V14, V16, V20"
TIME = "a minute"

BATCH = {"dense": 50, "conv": 128}
CODES = {"dense": 2, "conv": 20}
GLYPHS = {"dense": 20_000, "conv": 12_000}
FRAMES = 16  # of the animation
DRAWS = 100  # for ln p(x)
PAIRS = (0, 1), (2, 4), (3, 6), (5, 9)  # kinds of images to go between

SEEN = {
    "overview.png": "All of it small.",
    "manifold.png": "Neighbours on the map look alike; most kinds have a region of their own.",
    "forming.gif": "The map while it learns: one grey blot parts into kinds.",
    "scatter.png": "Where test images are put; the colour is what they show, which nobody told.",
    "reconstructions.png": "The same images after each epoch, sharper and sharper.",
    "samples.png": "Of the same draws from N(0, 1) the VAE makes more than a plain autoencoder.",
    "traversals.png": "One code changes, the other ones stay, and the image changes smoothly.",
    "interpolation.png": "Ten steps in a straight line between two codes, by both models.",
    "clouds.png": "One image has many codes: what 20 of them draw differs little, or much.",
    "loss.png": "The KL is what the code costs; reconstruction pays for it.",
    "graph.svg": "The loss down to the weights; what is drawn at random is dashed.",
}


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=10)
    made.add_argument("--model", choices=BATCH, default="dense", help="dense (default) or conv")
    made.add_argument("--codes", type=int, help="numbers in the code (dense 2, conv 20)")
    made.add_argument("--beta", type=float, default=1.0, help="weight of the KL (default 1)")
    made.add_argument("--resume", action="store_true", help="continue an interrupted run")
    args = made.parse_args()
    args.codes = CODES[args.model] if args.codes is None else args.codes
    if args.epochs < 1 or args.codes < 2:
        raise ArgumentError(
            f"--epochs, --codes: got {args.epochs}, {args.codes}; expected at least 1 and 2"
        )
    if args.dataset == "glyphs" and args.data_dir:
        args.dataset = "mnist"
    args.evidence = 60 if args.quick else 300  # test images whose ln p(x) is estimated
    if args.quick:
        args.epochs = min(args.epochs, 2)
    return args


def make(args: argparse.Namespace) -> VAE:
    """The model that the flags ask for; the same seed gives the same weights."""
    minigrad.manual_seed(args.seed)
    if args.model == "conv":
        return ConvVAE(z_dim=args.codes, beta=args.beta).to(args.device)
    return DenseVAE(codes=args.codes, beta=args.beta).to(args.device)


def pixels(images: Tensor) -> np.ndarray:
    """Images (n, 1, 28, 28) as pictures (n, 28, 28)."""
    return images.cpu().numpy()[:, 0]


class Training:
    """A model trained: its curves, and its row of the table."""

    name = "VAE"

    def __init__(self, args: argparse.Namespace, data: tuple[Images, Images], folder: Path):
        self.args, self.folder = args, folder
        self.train, self.test = data
        self.sample = shown(*self.test, each=2)
        self.model = make(args)
        self.loader = DataLoader(TensorDataset(*self.train), BATCH[args.model], shuffle=True)
        total = args.epochs * len(self.loader)
        # Early on most happens: the frames lie as the cubes do.
        self.frames = {round(total * (i / (FRAMES - 1)) ** 3) for i in range(FRAMES)}
        self.steps = 0

    @property
    def checkpoint(self) -> Path:
        """From where an interrupted training continues."""
        return self.folder / f"{self.name.replace(' ', '_').lower()}.npz"

    def run(self) -> None:
        """Train, from the beginning or from where an earlier run was interrupted."""
        resume = self.args.resume and self.checkpoint.exists()
        if resume:
            state = minigrad.load(self.checkpoint)
            self.steps = state["epoch"] * len(self.loader) + state["step"]
        else:
            self.watch_epoch(0)
        print(self.name)
        self.records = fit(
            self.model,
            lambda model, x, labels: self.step(x),
            optim.Adam(self.model.parameters(), lr=1e-3),
            self.loader,
            self.args.epochs,
            on_epoch=self.on_epoch,
            checkpoint=self.checkpoint,
            resume=resume,
        )
        self.watch_step()

    def step(self, x: Tensor) -> dict[str, Tensor]:
        """The loss of the next step."""
        self.watch_step()
        self.steps += 1
        return self.loss(x)

    def on_epoch(self, epoch: int, record: dict[str, float]) -> dict[str, float]:
        """Measure on images that were not trained on, and draw."""
        self.watch_epoch(epoch)
        return {f"test_{name}": value for name, value in self.measure(self.test).items()}

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        """-ELBO, or what β makes of it, and its parts."""
        return self.model.loss(x)

    def measure(self, part: Images, limit: int = 10_000) -> dict[str, float]:
        """Reconstruction and KL of images in nats per image, with the same noise each time."""
        noise = Generator(self.args.device).manual_seed(self.args.seed)
        found = elbo_parts(self.model, batches(part.images[:limit]), noise)
        return {"reconstruction": found.reconstruction, "kl": found.kl}

    @minigrad.no_grad()
    def watch_epoch(self, epoch: int) -> None:
        """Keep what becomes of the sample: a row of pictures."""
        row = mosaic(pixels(self.model.reconstruct(self.sample)), gap=0)
        grey = (row * 255 + 0.5).astype(np.uint8)
        save_png(np.repeat(grey[..., None], 3, axis=2), self.epoch_file(epoch))

    def epoch_file(self, epoch: int) -> Path:
        """Where the row of that epoch is."""
        return self.folder / "epochs" / f"epoch_{epoch:02d}.png"

    @minigrad.no_grad()
    def watch_step(self) -> None:
        """Keep what the animation shows, if it shows this step."""
        if self.steps in self.frames:
            means = self.model.encode(self.test.images[:800])[0].cpu().numpy()
            drawn = pixels(self.generate(frame_codes(self.args)))
            path = self.folder / "frames" / f"step_{self.steps:06d}.npz"
            minigrad.save({"means": means, "drawn": drawn}, path)

    def generate(self, codes: np.ndarray) -> Tensor:
        """The images of codes (…, codes)."""
        flat = codes.reshape(-1, self.args.codes).astype(np.float32)
        return self.model.generate(minigrad.tensor(flat, device=self.args.device))

    def pictures(self, codes: np.ndarray) -> np.ndarray:
        """The pictures (…, 28, 28) of codes (…, codes)."""
        return pixels(self.generate(codes)).reshape(*codes.shape[:-1], 28, 28)

    def row(self) -> tuple:
        """The row of the closing table."""
        train, test = self.measure(self.train), self.measure(self.test)
        self.gap = self.estimate()
        elbo = -sum(test.values())
        return (
            self.name, sum(p.numel() for p in self.model.parameters()), sum(train.values()),
            -elbo, test["reconstruction"], test["kl"], -(elbo + self.gap), *self.speed(),
        )  # fmt: skip

    def speed(self) -> tuple[int, float]:
        """Images per second, and the seconds of all."""
        speed = np.median([r["images_per_second"] for r in self.records])
        return int(speed), sum(r["seconds"] for r in self.records)

    def estimate(self) -> float:
        """ln p(x) - ELBO, averaged over test images: of the gap fewer do than of either."""
        every = max(1, len(self.test.images) // self.args.evidence)
        some = self.test.images[::every][: self.args.evidence]
        noise = Generator(self.args.device).manual_seed(self.args.seed)
        bar = tqdm(batches(some, 25), desc=f"ln p(x), {DRAWS} draws", leave=False)
        evidence = log_evidence_of(self.model, bar, DRAWS, noise)
        elbo = [elbo_parts(self.model, batches(some), noise).elbo for _ in range(20)]
        return float(evidence.mean() - np.mean(elbo))


class PlainTraining(Training):
    """The same layers and the same weights to begin with, but z = μ, and nothing is paid for it."""

    name = "plain autoencoder"

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        """What the reconstruction costs."""
        output = self.model.decode(self.model.encode(x)[0])
        return {"loss": self.model.likelihood.nll(output, x).mean()}

    @minigrad.no_grad()
    def measure(self, part: Images, limit: int = 10_000) -> dict[str, float]:
        """The reconstruction's nats per image."""
        total = sum(self.loss(x)["loss"].item() * len(x) for (x,) in batches(part.images[:limit]))
        return {"reconstruction": total / min(limit, len(part.images))}

    def watch_epoch(self, epoch: int) -> None:
        """Nothing is kept of it."""

    def watch_step(self) -> None:
        """Nor of it."""

    def row(self) -> tuple:
        """The row of the closing table: no distribution, no ELBO."""
        unused = "log_var", "fc2"  # the layer that answers with ln σ²
        size = sum(
            p.numel() for name, p in self.model.named_parameters() if not name.startswith(unused)
        )
        cost = self.measure(self.test)["reconstruction"]
        return self.name, size, "-", "-", cost, "-", "-", *self.speed()


def frame_codes(args: argparse.Namespace) -> np.ndarray:
    """What the animation's frames show: of two codes the manifold, of more some draws."""
    if args.codes == 2:
        return draw.manifold_codes(10, np.eye(2))
    return np.random.default_rng(args.seed).standard_normal((100, args.codes))


def prepare(folder: Path, args: argparse.Namespace) -> None:
    """Make room for a run, or see to it that a resumed one has the settings that it had."""
    names = "dataset", "data_dir", "codes", "beta", "seed", "quick"
    settings = {name: str(getattr(args, name)) for name in names}
    if resumes(folder, settings, args.resume):
        return
    for old in (*folder.glob("*.npz"), *folder.glob("frames/*.npz"), *folder.glob("epochs/*.png")):
        old.unlink()
    for part in ("frames", "epochs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS).write_text(json.dumps(settings), "utf-8")


# ---------------------------------------------------------------- pictures


class Pictures:
    """The pictures of a pair of trained models."""

    def __init__(self, vae: Training, plain: Training):
        self.vae, self.plain, self.args, self.folder = vae, plain, vae.args, vae.folder
        self.images, self.labels = (part.cpu().numpy() for part in vae.test)
        self.images = self.images[:, 0]
        self.names = draw.NAMES.get(self.args.dataset, draw.DIGITS)
        self.posteriors = posteriors(vae.model, batches(vae.test.images))
        self.places = self.places_of(self.posteriors.mean)
        self.plain_places = self.places_of(posteriors(plain.model, batches(vae.test.images)).mean)
        self.rng = np.random.default_rng(self.args.seed)
        self.noise = self.rng.standard_normal((160, self.args.codes))
        self.kind = 5 if (self.labels == 5).any() else int(self.labels[0])
        self.firsts = [int(np.flatnonzero(self.labels == k)[0]) for k in np.unique(self.labels)]

    def places_of(self, means: np.ndarray) -> draw.Places:
        """The test images' places in a model's code space."""
        return draw.Places(means, self.labels, self.names, draw.plane_of(means))

    def draw_all(self) -> None:
        """Every picture, into the folder."""
        makers: dict[str, Callable[[Path], None]] = {
            "overview.png": self.overview,
            "manifold.png": self.manifold,
            "forming.gif": self.forming,
            "scatter.png": lambda path: draw.draw_scatter(self.places, path),
            "reconstructions.png": self.reconstructions,
            "samples.png": self.samples,
            "traversals.png": self.traversals,
            "interpolation.png": self.interpolation,
            "clouds.png": self.clouds,
            "loss.png": self.loss,
            "graph.svg": self.graph,
        }
        for name, maker in (bar := tqdm(makers.items(), desc="pictures", leave=False)):
            bar.set_postfix_str(name)
            maker(self.folder / name)

    def manifold(self, path: Path) -> None:
        """V11: the decoder all over the plane, by inverse CDF, beside the scatter."""
        codes = draw.map_codes(20, self.places)
        draw.draw_manifold(self.vae.pictures(codes), self.places, path)

    def forming(self, path: Path) -> None:
        """The frames that training kept."""
        per_epoch, shots = len(self.vae.loader), []
        for file in sorted((self.folder / "frames").glob("*.npz")):
            kept, step = minigrad.load(file), int(file.stem.split("_")[1])
            labels = self.labels[: len(kept["means"])]
            places = self.places._replace(means=kept["means"], labels=labels)
            drawn = "codes in turn" if self.args.codes == 2 else "codes from N(0, 1)"
            caption = f"{step:5,} steps, {step / per_epoch:5.2f} epochs: {drawn}, and test images"
            shots.append(draw.frame(kept["drawn"], places, caption))
        draw.save_animation(shots, path)

    def reconstructions(self, path: Path) -> None:
        """The sample after each epoch."""
        rows = {}
        for epoch in range(self.args.epochs + 1):
            file = self.vae.epoch_file(epoch)
            if file.exists():
                row = load_png(file)[..., 0].astype(np.float32) / 255
                outputs = row.reshape(28, -1, 28).transpose(1, 0, 2)
                rows[f"epoch {epoch}" if epoch else "untrained"] = outputs
        draw.draw_epochs(pixels(self.vae.sample), rows, path)

    def samples(self, path: Path) -> None:
        """The same codes from N(0, 1) through both models."""
        groups = {
            "VAE: z drawn from N(0, 1)": self.vae.pictures(self.noise),
            "plain autoencoder: the same z": self.plain.pictures(self.noise),
        }
        draw.draw_samples(groups, 16, path)

    def traversals(self, path: Path) -> None:
        """V14: one code changed, the others kept. Of many codes the eight with most KL."""
        cost = kl_by_code(self.posteriors)
        if self.args.codes == 2:
            rows = [
                (self.names[self.labels[i]], [self.traversal(i, code) for code in (0, 1)])
                for i in self.firsts
            ]
            titles = [f"code {code} from -2.5 to 2.5; framed where it is" for code in (1, 2)]
        else:
            images = [self.firsts[len(self.firsts) // part] for part in (4, 2)]
            rows = [
                (
                    f"code {code + 1}\n{cost[code]:.2f} nats",
                    [self.traversal(i, code) for i in images],
                )
                for code in np.argsort(-cost)[:8]
            ]
            titles = ["one code from -2.5 to 2.5; framed where it is", "the same of another image"]
        name, strips = rows[0]
        rows[0] = name, [s._replace(title=t) for s, t in zip(strips, titles, strict=True)]
        draw.draw_strips(rows, path)

    def traversal(self, image: int, code: int) -> draw.Strip:
        """A test image with other values of one code; framed the one nearest to its own."""
        values = np.linspace(-2.5, 2.5, 11)
        line = np.repeat(self.posteriors.mean[image][None], len(values), axis=0)
        near = int(np.abs(values - line[0, code]).argmin())
        line[:, code] = values
        return draw.Strip(self.vae.pictures(line), framed=near)

    def ends(self) -> np.ndarray:
        """The pairs of images between which to go."""
        return np.array(self.firsts)[np.array(PAIRS) % len(self.firsts)]

    def paths(self, name: str, training: Training, places: draw.Places) -> draw.Paths:
        """V16: ten steps in a straight line between the codes of two images."""
        t = np.linspace(0, 1, 10)[:, None]
        lines = np.stack([(1 - t) * places.means[i] + t * places.means[j] for i, j in self.ends()])
        return draw.Paths(name, places, lines, training.pictures(lines))

    def interpolation(self, path: Path) -> None:
        """V16: the same pairs of images, both models."""
        models = [
            self.paths("VAE", self.vae, self.places),
            self.paths("plain autoencoder", self.plain, self.plain_places),
        ]
        draw.draw_interpolation(models, self.images[self.ends()], path)

    def clouds(self, path: Path) -> None:
        """V8: three images, each encoded 20 times: the decodings of the first differ least.

        They differ more than those of 2, 50 and 98 % of the images.
        """
        mean, log_var = (part[:200, None] for part in self.posteriors)
        noise = self.rng.standard_normal((len(mean), 20, self.args.codes))
        z = mean + np.exp(log_var / 2) * noise
        pictures = self.vae.pictures(z)
        order = np.argsort(pictures.var(1).mean((1, 2)))
        chosen = [order[round(share * (len(order) - 1))] for share in (0.02, 0.5, 0.98)]
        clouds = [draw.Cloud(self.images[i], z[i], pictures[i]) for i in chosen]
        draw.draw_clouds(clouds, self.places, path)

    def loss(self, path: Path) -> None:
        """-ELBO and its two parts, of both sets."""
        records = self.vae.records
        parts = {}
        for title, names in (
            ("-ELBO", ("reconstruction", "kl")),
            ("reconstruction", ("reconstruction",)),
            ("KL(q(z|x) ‖ p(z))", ("kl",)),
        ):
            parts[title] = {
                "while training": [sum(r[name] for name in names) for r in records],
                "test": [sum(r[f"test_{name}"] for name in names) for r in records],
            }
        draw.draw_loss(parts, path)

    def graph(self, path: Path) -> None:
        """V20: the loss down to the parameters; what is drawn at random is dashed."""
        x = self.vae.test.images[:1]
        parts = self.vae.model.loss(x)
        graph(parts["loss"], {"x": x, **parts}, self.vae.model).save(path)

    def overview(self, path: Path) -> None:
        """The picture for those who have read nothing yet."""
        sample = self.firsts[:10]
        inputs = self.images[sample]
        of = draw.Overview(
            self.vae.pictures(draw.map_codes(16, self.places)),
            self.places, inputs, self.vae.pictures(self.posteriors.mean[sample]),
            self.vae.pictures(self.noise[:30]),
            self.paths("", self.vae, self.places).pictures.reshape(-1, 28, 28),
        )  # fmt: skip
        draw.draw_overview(of, path)


def main() -> None:
    """Train both, draw, and print the tables."""
    args = flags()
    started = time.perf_counter()
    folder = args.out / "vae" / f"{args.model}-{args.dataset}"
    sizes = (1000, 400) if args.quick else (GLYPHS[args.model], 2000)
    if args.dataset == "glyphs":
        print(f"drawing {sum(sizes):,} glyphs")
    data = load_images(args, *sizes)
    vae = Training(args, data, folder)
    prepare(folder, args)
    vae.run()
    plain = PlainTraining(args, data, folder)
    plain.run()
    pictures = Pictures(vae, plain)
    pictures.draw_all()
    name = pictures.names[pictures.kind]
    print(f"\nwhat the {NEIGHBOURS} nearest training images say of the test images of {name}")
    print(table(("", *pictures.names), confusion(vae.model, *data, pictures.kind)))
    print("\nhow far what is drawn lies from the nearest training image, √Σ (x - y)²")
    places = "codes of test images", "half way between two", "z from N(0, 1)"
    print(
        table(("", *places), distances({t.name: t.model for t in (vae, plain)}, *data, args.seed))
        + "\n"
    )
    columns = (
        "model", "parameters", "-ELBO train", "-ELBO test", "reconstruction", "KL", "-ln p(x)",
        "images/s", "seconds",
    )  # fmt: skip
    print(table(columns, [vae.row(), plain.row()]))
    print(
        f"\nln p(x) - ELBO = {vae.gap:.2f} nats, measured on {args.evidence} test images "
        f"with {DRAWS} draws each"
    )
    print(f"\nin all {time.perf_counter() - started:.0f} seconds; {guide(folder, SEEN)}")


if __name__ == "__main__":
    run(main)
