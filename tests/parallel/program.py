"""What `mpiexec -n 3 python -m tests.parallel.program FOLDER` runs: each rank writes what it found.

Nothing is judged here. A rank's findings go to FOLDER/<rank>.npz; test_ranks.py reads them.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError, DatasetError, NonFiniteError, WorkerError
from minigrad.nn import functional as F
from minigrad.parallel import Workers
from minigrad.parallel.ranks import Ranks
from minigrad.training import fit
from tests.parallel.models import batch, network

SIZES = 22, 3, 2, 1  # parts of 7 and 8; one example for each rank; fewer examples than ranks


def broken() -> None:
    """A mistake."""
    raise KeyError("broken")


def lacking() -> None:
    """No mistake of the program's."""
    raise DatasetError("mnist: no such folder")


ENDS = {  # how a rank can end
    "raise": broken,
    "lack": lacking,
    "exit": lambda: sys.exit("had enough"),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


def flat(model: nn.Module) -> np.ndarray:
    """All weights."""
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])


def steps(workers: Ranks | None, single: bool = False) -> dict[str, np.ndarray]:
    """Adam on one batch after the other; the weights and their hash after every step."""
    model = network()
    model = model.float() if single else model
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    losses, weights, hashes = [], [], []
    for n in SIZES * 2:
        x, t = batch(n)
        x = x.float() if single else x
        optimizer.zero_grad()
        loss = lambda x, t: F.cross_entropy(model(x), t)
        if workers is None:
            found = loss(x, t)
            found.backward()
        else:
            found = workers.backward(loss, (x, t), model.parameters())
            hashes.append(workers.check(model.parameters()))
        optimizer.step()
        losses.append(float(found))
        weights.append(flat(model))
    return {"losses": np.array(losses), "weights": np.array(weights), "hashes": np.array(hashes)}


def noisy(workers: Workers) -> dict[str, np.ndarray]:
    """Steps that draw at random, with a parameter that only the second part of a batch uses."""
    model, (x, t), extra = network(), batch(9), nn.Linear(4, 4).double()
    mg.manual_seed(3)
    gradients = []
    for _ in range(2):
        model.zero_grad()
        extra.zero_grad()

        def loss(x: mg.Tensor, t: mg.Tensor) -> dict[str, mg.Tensor]:
            logits = model(x + 0.1 * mg.randn_like(x))
            if t[0].item() == 3:
                logits = extra(logits)
            return {"loss": F.cross_entropy(logits, t), "mean": logits.mean()}

        found = workers.backward(loss, (x, t), [*model.parameters(), *extra.parameters()])
        gradients += [p.grad.numpy().ravel() for p in [*model.parameters(), *extra.parameters()]]
        gradients.append(np.array([float(found["loss"]), float(found["mean"])]))
    return {"noisy": np.concatenate(gradients)}


def trained(workers: Workers) -> dict[str, np.ndarray]:
    """Training by `fit`, and batch normalisation's running statistics then."""
    first, *others = network()
    model, (x, t) = nn.Sequential(first, nn.BatchNorm2d(3).double(), *others), batch(22)
    loss = lambda model, x, t: {"loss": F.cross_entropy(model(x), t), "mean": model(x).mean()}
    loader = DataLoader(TensorDataset(x, t), 8, shuffle=True)
    mg.manual_seed(5)
    optimizer = optim.SGD(model.parameters(), lr=0.2)
    records = fit(model, loss, optimizer, loader, 3, progress=False, workers=workers)
    return {
        "records": np.array([(r["loss"], r["mean"]) for r in records]),
        "fitted": flat(model),
        "buffers": np.concatenate([b.numpy().ravel() for b in model.buffers()]),
    }


def failures(workers: Ranks) -> dict[str, np.ndarray]:
    """What each rank is told when something is wrong on one of them; then all is well again."""
    model, (x, t) = network(), batch(9)
    said = {}

    def attempt(name: str, act: object) -> None:
        try:
            act()
        except (KeyError, ArgumentError, NonFiniteError, WorkerError) as error:
            said[name] = np.array(f"{type(error).__name__}: {error}")

    def fails(x: mg.Tensor, t: mg.Tensor) -> mg.Tensor:
        if t[0].item() == 3:  # the second part
            raise KeyError("broken")
        return F.cross_entropy(model(x), t)

    backward = lambda loss, batch: workers.backward(loss, batch, model.parameters())
    attempt("raises", lambda: backward(fails, (x, t)))
    said["untouched"] = np.array(all(p.grad is None for p in model.parameters()))
    sound = lambda x, t: F.cross_entropy(model(x), t)
    ragged = batch(9 + workers.rank)
    attempt("batches", lambda: backward(sound, ragged))
    mg.manual_seed(workers.rank)
    attempt("seeds", lambda: backward(sound, (x, t)))
    attempt("copies", lambda: workers.check(nn.Linear(3, 3).parameters()))
    mg.manual_seed(0)
    bad = x.numpy().copy()
    bad[-1] = np.nan  # in the last part
    data = DataLoader(TensorDataset(mg.tensor(bad), t), 9)
    step = optim.SGD(model.parameters())
    nan = lambda model, x, t: F.cross_entropy(model(x), t)
    attempt("nan", lambda: fit(model, nan, step, data, 1, progress=False, workers=workers))
    said["after"] = np.array(float(backward(sound, (x, t))))
    return said


def main() -> None:
    """All of it, or what ends the ranks."""
    with Ranks() as workers:
        if sys.argv[1] in ENDS:
            if workers.rank == 1:
                ENDS[sys.argv[1]]()
            steps(workers)  # waits for rank 1
        found = {
            **steps(workers), **{f"{k}32": v for k, v in steps(workers, single=True).items()},
            **noisy(workers), **trained(workers), **failures(workers),
        }  # fmt: skip
        np.savez(Path(sys.argv[1]) / f"{workers.rank}.npz", **found)


if __name__ == "__main__":
    main()
