"""Workers for the demos: threads, or the ranks that mpiexec started."""

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from minigrad.parallel import Threads, Workers


def mpiexec() -> str | None:
    """The program that starts ranks, that of this Python first; None if something is missing."""
    if importlib.util.find_spec("mpi4py") is None:
        return None
    here = str(Path(sys.executable).parent)
    return shutil.which("mpiexec", path=os.pathsep.join([here, os.environ.get("PATH", "")]))


def is_rank() -> bool:
    """Whether mpiexec started this process (MPICH and Intel, or Open MPI)."""
    return not {"PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK"}.isdisjoint(os.environ)


def workers(threads: int) -> Workers:
    """This process and its like if mpiexec started it, else so many threads of it."""
    if is_rank():  # importing it starts MPI
        return importlib.import_module("minigrad.parallel.ranks").Ranks()
    return Threads(threads)


def is_first(some: Workers) -> bool:
    """Whether it is this process that prints and draws."""
    return getattr(some, "rank", 0) == 0


def run_ranks(
    ranks: int, *arguments: object, cwd: Path | None = None, timeout: float = 120
) -> subprocess.CompletedProcess:
    """What `mpiexec -n RANKS python …` answers; where there is an mpiexec."""
    return subprocess.run(
        [mpiexec(), "-n", str(ranks), sys.executable, *map(str, arguments)],
        cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
