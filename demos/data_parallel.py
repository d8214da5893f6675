"""Data parallelism: the batch is split over workers, their gradients added, and all step alike.

One idea at three scales: the workers are threads of this process, or processes of MPI, on one
machine or many, or such processes with a GPU each.

    python -m demos.data_parallel                 threads; and how fast ranks are, if there is MPI
    mpiexec -n 4 python -m demos.data_parallel    this program four times: ranks

What to see: in one_step.png each worker has its images, and the gradient that they ask for; added
up, these are the gradient of the whole batch, to the last digits. In same_run.png a training with
workers is the training without: the weights differ by rounding, which training makes grow. In
scaling.png two workers on two processors are faster than one, but not twice: they share the memory.
More workers than processors gain nothing.
"""

import argparse
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import load_images, parser, run, table
from demos.data_parallel_pictures import OneStep, draw_one_step, draw_same_run, draw_scaling
from demos.mpi import is_first, is_rank, workers
from demos.scaling import Speed, alone, measure_ranks, measure_threads
from minigrad import Generator, Tensor, nn, optim
from minigrad.backend import processors
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError
from minigrad.nn import functional as F
from minigrad.parallel import Workers
from models.classifier import Classifier

COURSE = ""
TIME = "a minute"

BATCH = 50
Loss = Callable[[Tensor, Tensor], Tensor]


def flags() -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, epochs=3)
    made.add_argument("--threads", type=int, default=4, help="in how many (default 4)")
    args = made.parse_args()
    if args.threads < 1 or args.epochs < 1:
        raise ArgumentError(
            f"--threads, --epochs: got {args.threads}, {args.epochs}; expected at least 1"
        )
    args.images = 500 if args.quick else 2000
    args.counts = (1, 2) if args.quick else (1, 2, 4)
    args.rounds = 3 if args.quick else 15
    args.epochs = 1 if args.quick else args.epochs
    return args


# ---------------------------------------------------------------- all of it, by hand


def gradient(model: nn.Module, loss: Loss, x: Tensor, t: Tensor) -> np.ndarray:
    """∇L of all parameters in one flat array, by a tape of its own."""
    model.zero_grad()
    loss(x, t).backward()
    return np.concatenate([p.grad.cpu().numpy().ravel() for p in model.parameters()])


def added_by_hand(
    model: nn.Module, loss: Loss, x: Tensor, t: Tensor, parts: int
) -> tuple[np.ndarray, list[slice], list[np.ndarray]]:
    """Σ (nᵢ/n) ∇Lᵢ, with its parts. Here one worker does the work of all."""
    n = len(x)
    edges = [n * i // parts for i in range(parts + 1)]
    places = [slice(start, stop) for start, stop in pairwise(edges)]  # the split
    shares = []
    for place in places:  # what the workers do at the same time
        own = x[place], t[place]
        shares.append(len(own[0]) / n * gradient(model, loss, *own))
    return sum(shares), places, shares  # the flat buffers, added


def one_step(args: argparse.Namespace, x: Tensor, t: Tensor) -> OneStep:
    """The gradient of a linear classifier's weights, by parts and as a whole, in float64."""
    model = nn.Linear(28 * 28, 10, dtype=minigrad.float64, device=args.device)
    loss = lambda x, t: F.cross_entropy(model(x.flatten(1).double()), t)
    total, places, shares = added_by_hand(model, loss, x, t, parts=3)
    weights = lambda flat: flat[: model.weight.numel()].reshape(10, 28, 28)
    whole = gradient(model, loss, x, t)
    images = x.cpu().numpy()[:, 0]
    return OneStep(
        [images[place] for place in places], [weights(share) for share in shares],
        weights(total), weights(whole),
    )  # fmt: skip


# ---------------------------------------------------------------- a training


class Run(NamedTuple):
    """A training with workers beside the same one without: a number for each step."""

    name: str
    losses: np.ndarray  # (steps, 2), without and with
    apart: np.ndarray  # the largest difference of a weight


def batches(args: argparse.Namespace, data: TensorDataset) -> Iterator[tuple[Tensor, Tensor]]:
    """All batches of a training: the same for all that ask."""
    order = Generator().manual_seed(args.seed)
    loader = DataLoader(data, BATCH, shuffle=True, generator=order)
    for _ in range(args.epochs):
        yield from loader


def compare(args: argparse.Namespace, some: Workers, data: TensorDataset, dtype: str) -> Run:
    """Train with workers and without, from the same weights; after every step ranks are checked."""
    models, optimizers = [], []
    for _ in range(2):
        minigrad.manual_seed(args.seed)
        models.append(Classifier().to(args.device).to(getattr(minigrad, dtype)))
        optimizers.append(optim.Adam(models[-1].parameters(), lr=1e-3))
    losses, apart = [], []
    steps = args.epochs * -(-len(data) // BATCH)
    for x, t in tqdm(
        batches(args, data), dtype, steps, disable=not is_first(some), unit=" steps", leave=False
    ):
        x = x.to(getattr(minigrad, dtype))
        for optimizer in optimizers:
            optimizer.zero_grad()
        single = models[0].loss(x, t)
        single.backward()
        shared = some.backward(models[1].loss, (x, t), models[1].parameters())
        for optimizer in optimizers:
            optimizer.step()
        some.synchronise(models[1])
        losses.append((single.item(), shared.item()))
        weights = [[p.detach() for p in model.parameters()] for model in models]
        apart.append(max((a - b).abs().max().item() for a, b in zip(*weights, strict=True)))
    return Run(dtype, np.array(losses), np.array(apart))


def train(args: argparse.Namespace, some: Workers, data: TensorDataset) -> None:
    """Training with workers and without, in both precisions."""
    runs = [compare(args, some, data, dtype) for dtype in ("float64", "float32")]
    if not is_first(some):
        return
    kind = "threads" if type(some).__name__ == "Threads" else "ranks"
    draw_same_run(runs, f"{some.workers} {kind}", args.folder / "same_run.png")
    print(f"\ntraining by {some.workers} {kind}, and by none: {len(runs[0].apart)} steps of Adam")
    rows = [
        (r.name, f"{r.losses[-1, 0]:.6f}", f"{r.losses[-1, 1]:.6f}",
         f"{np.abs(np.diff(r.losses)).max():.1e}", f"{r.apart[0]:.1e}", f"{r.apart.max():.1e}")
        for r in runs
    ]  # fmt: skip
    columns = ["", "last loss, none", "workers", "losses apart", "weights, step 1", "at most"]
    print(table(columns, rows))
    if kind == "ranks":
        print(f"after every step the weights of all {some.workers} ranks had the same bits")


# ---------------------------------------------------------------- how fast


def scaling(args: argparse.Namespace) -> None:
    """Steps of the convolutional VAE by 1, 2 and 4 workers."""
    single = alone(args.rounds)
    found = [measure_threads(n, args.rounds) for n in args.counts]
    found += [s for s in (measure_ranks(n, args.rounds) for n in args.counts) if s is not None]
    draw_scaling(single, found, processors(), args.folder / "scaling.png")
    first = {speed.kind: speed for speed in reversed(found)}
    row = lambda s: (
        f"{s.workers} {s.kind}", f"{s.milliseconds:.1f}", f"{s.images_per_second:,.0f}",
        f"{s.images_per_second / first[s.kind].images_per_second:.2f}",
    )  # fmt: skip
    print(f"\na step of the convolutional VAE, batch {single.batch}: {processors()} processors")
    columns = "workers", "ms per step", "images per second", "times one worker"
    plain = Speed("none", 1, single.seconds, single.batch)
    print(table(columns, [("none", *row(plain._replace(kind=found[0].kind))[1:3], ""),
                          *map(row, found)]))  # fmt: skip
    if not any(speed.kind == "ranks" for speed in found):
        print('ranks are missing: pip install "minigrad-numpy[parallel]"')


def main() -> None:
    """One step in the open, a training twice, and the time."""
    args = flags()
    args.folder = args.out / "data_parallel"
    with workers(args.threads) as some:
        if args.device == "cuda" and hasattr(some, "local_rank"):
            args.device = f"cuda:{some.local_rank}"
        minigrad.manual_seed(args.seed)
        images, _ = load_images(args, args.images, 0)
        data = TensorDataset(*images)
        if is_first(some):
            args.folder.mkdir(parents=True, exist_ok=True)
            step = one_step(args, *data[:32])
            draw_one_step(step, args.folder / "one_step.png")
            sizes = " + ".join(str(len(part)) for part in step.parts)
            print(f"one step, {sizes} images: the sum of the workers' gradients and that of the")
            print(
                f"whole batch differ by {step.apart:.1e}; the largest entry is {step.largest:.2f}"
            )
        train(args, some, data)
    if not is_rank():  # ranks have no ranks of their own
        scaling(args)


if __name__ == "__main__":
    run(main)
