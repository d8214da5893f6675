"""How long a training step takes by 1, 2, … workers: threads of this process, or ranks of MPI.

mpiexec -n 2 python -m demos.scaling 15      prints the seconds of a step, by 15 of them
"""

import importlib
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import minigrad
from demos.mpi import is_first, mpiexec, run_ranks
from demos.workloads import Alone, w3
from minigrad.errors import WorkerError
from minigrad.parallel import Threads

BATCH = 128


class Speed(NamedTuple):
    """How long a step takes so many workers."""

    kind: str
    workers: int
    seconds: tuple[float, ...]  # of each of some steps
    batch: int = BATCH

    @property
    def milliseconds(self) -> float:
        """The median."""
        return 1e3 * median(self.seconds)

    @property
    def images_per_second(self) -> float:
        """By the median."""
        return self.batch / median(self.seconds)


def timed(by: Any, rounds: int) -> tuple[float, ...]:
    """Seconds of steps of the convolutional VAE; so many on all ranks, after two to warm up."""
    minigrad.manual_seed(0)
    step, _ = w3(minigrad, by, BATCH)
    found = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        step()
        found.append(time.perf_counter() - start)
    return tuple(found[2:])


def alone(rounds: int) -> Speed:
    """No workers: matrix products on all processors, the rest on one."""
    return Speed("none", 1, timed(Alone(), rounds))


def measure_threads(workers: int, rounds: int) -> Speed:
    """Threads of this process, each with one thread for its products."""
    with Threads(workers) as threads:
        return Speed("threads", workers, timed(threads, rounds))


def measure_ranks(workers: int, rounds: int) -> Speed | None:
    """Processes, likewise; None where there is no MPI."""
    if mpiexec() is None:
        return None
    root = Path(__file__).resolve().parents[1]
    done = run_ranks(workers, "-m", "demos.scaling", rounds, cwd=root)
    if done.returncode:
        raise WorkerError(f"mpiexec -n {workers}: {done.stderr.strip().splitlines()[-1:]}")
    return Speed("ranks", workers, tuple(map(float, done.stdout.split())))


def main() -> None:
    """What each rank does."""
    ranks = importlib.import_module("minigrad.parallel.ranks").Ranks(threads=1)
    with ranks as workers:
        seconds = timed(workers, int(sys.argv[1]))
        if is_first(workers):
            print(*seconds)


if __name__ == "__main__":
    main()
