"""Workers that are processes, each with a copy of the model: the ranks of MPI.

    mpiexec -n 4 python train.py

starts the same program four times. Each process has its number, the rank, and does what the others
do, except for its part of the batch:

    with Ranks() as workers:
        minigrad.manual_seed(0)                         # all ranks alike
        model = …
        fit(model, loss, optimizer, loader, 10, workers=workers)

All have the same weights and see the same batches. A rank computes the gradient of its own part;
MPI's all-reduce then replaces each rank's flat gradient by the sum of all of them, so that all take
the same step. Tensors on a CUDA device, one device for each rank, are summed there by NCCL.
"""

import hashlib
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from minigrad import errors
from minigrad.backend import (
    CPU,
    Array,
    Device,
    device_of,
    flattened,
    memory_order,
    nccl_sum,
    processors,
    to_device,
)
from minigrad.creation import tensor
from minigrad.errors import ArgumentError, WorkerError
from minigrad.nn.module import Module
from minigrad.parallel.parts import FlatGradient, Gradients, Loss, added, cut, part_gradient
from minigrad.parallel.threads import threadpool_limits
from minigrad.tensor import Tensor

try:
    from mpi4py import MPI
except (ImportError, RuntimeError) as error:  # without mpi4py, without the MPI library
    raise ImportError(
        f'ranks are processes of MPI: pip install "minigrad-numpy[parallel]" ({error})'
    ) from error


class Ranks:
    """The processes that `mpiexec` started; to be used in a `with` statement by all of them.

    The gradient is that of the whole batch, to rounding, with the exceptions of `Threads`: batch
    normalisation sees a rank's part, and each rank draws from a stream of its own. One seed and as
    many workers make the same run, be they ranks or threads.

    If a rank's part of a step fails, all ranks raise: it, what happened; the others, WorkerError.
    A rank that fails elsewhere within the `with` statement ends the others, for they would wait
    for it forever. It says what happened, and where unless that is an error of minigrad's or of a
    file.

    `threads` is how many of them a rank's matrix products may use; by default all ranks of a
    machine share its processors evenly.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._world = MPI.COMM_WORLD
        self.rank, self.workers = self._world.rank, self._world.size
        here = self._world.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank = here.rank  # among those of this machine: the CUDA device to use
        self._threads = threads or max(1, processors() // here.size)
        self._failed_together = False
        self._sums: dict[Device, Callable[[Array], None]] = {CPU: self._mpi_sum}

    def __enter__(self) -> "Ranks":
        self._limits = threadpool_limits(self._threads, user_api="blas")
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._limits.restore_original_limits()
        if error is not None and self.workers > 1 and not self._failed_together:
            from_outside = isinstance(error, OSError) or kind.__module__ == errors.__name__
            tell = traceback.format_exception_only if from_outside else traceback.format_exception
            told = "".join(tell(error))
            print(f"{told}rank {self.rank} failed and ends the others", file=sys.stderr, flush=True)
            time.sleep(1)  # mpiexec passes that on, but not once there is an abort
            self._world.Abort(1)

    def backward(
        self, loss: Loss, batch: Sequence[Tensor], parameters: Iterable[Tensor]
    ) -> Tensor | dict[str, Tensor]:
        """Add ∇loss(*batch) to the `.grad` of the parameters; the loss in float64, with no graph.

        All ranks call this at the same time with the same batch; `loss` is called with a part of
        it. It must answer with a mean over its examples, or a dict of means of which "loss" is
        differentiated.

        Raises what happened in this rank's part; WorkerError if another rank failed, ArgumentError
        if the ranks' batches, random numbers or parameters differ in what is quickly seen.
        """
        wanted = [p for p in parameters if p.requires_grad]
        try:
            plan, values, gradients = self._my_part(loss, batch, wanted)
        except Exception as error:
            self._tell_all(failure=f"{type(error).__name__}: {error}")
            raise
        used = [g is not None for g in gradients]
        reports = self._tell_all(plan=plan, values=values, used=used)
        total = FlatGradient(wanted)
        total.write_sum([gradients])
        for buffer in total.buffers.values():
            self._sum(buffer)
        total.hand_out(map(any, zip(*(r["used"] for r in reports), strict=True)))
        values = added([r["values"] for r in reports if r["values"] is not None])
        if isinstance(values, dict):
            return {name: tensor(value, dtype=np.float64) for name, value in values.items()}
        return tensor(values, dtype=np.float64)

    def _my_part(
        self, loss: Loss, batch: Sequence[Tensor], wanted: list[Tensor]
    ) -> tuple[tuple, Any, Gradients]:
        """What all ranks should have alike; this rank's share of the loss and of the gradient."""
        parts = cut(batch, self.workers)
        plan = len(batch[0]), parts[0].seed, sum(p.array.size for p in wanted)
        if self.rank >= len(parts):  # fewer examples than ranks
            return plan, None, [None] * len(wanted)
        values, gradients = part_gradient(loss, parts[self.rank], wanted)
        if isinstance(values, dict):
            return plan, {name: float(value) for name, value in values.items()}, gradients
        return plan, float(values), gradients

    def _tell_all(self, **report: Any) -> list[dict]:
        """What every rank reports; raises if one of the others failed, or has another plan."""
        reports = self._world.allgather(report)
        failed = [rank for rank, r in enumerate(reports) if "failure" in r]
        self._failed_together = bool(failed)
        if "failure" in report:
            return reports
        if failed:
            raise WorkerError(f"rank {failed[0]} failed: {reports[failed[0]]['failure']}")
        plans = [r["plan"] for r in reports]
        if len(set(plans)) > 1:
            self._failed_together = True
            raise ArgumentError(
                f"Ranks: got (examples, seed, parameters) = {plans} on the ranks; expected the "
                "same on all: seed them alike, and give them the same batches"
            )
        return reports

    # ------------------------------------------------------------ sums, and copies

    def _sum(self, buffer: Array) -> None:
        """The sum of all ranks' buffers, in place: on all of them, to the last bit the same."""
        where = device_of(buffer)
        if where not in self._sums:
            self._sums[where] = nccl_sum(where, self.rank, self.workers)
        self._sums[where](buffer)

    def _mpi_sum(self, buffer: Array) -> None:
        self._world.Allreduce(MPI.IN_PLACE, buffer)

    def check(self, parameters: Iterable[Tensor]) -> str:
        """The hash of the parameters as they are in memory.

        Raises WorkerError unless it is that of all ranks.
        """
        found = hashlib.blake2b(digest_size=16)
        for p in parameters:
            order = memory_order(p.array)
            found.update(bytes(order))
            found.update(flattened(to_device(p.array, CPU), order))
        hashes = self._world.allgather(found.hexdigest())
        different = [rank for rank, other in enumerate(hashes) if other != hashes[0]]
        self._failed_together = bool(different)
        if different:
            raise WorkerError(
                f"Ranks: the parameters of ranks {different} differ from those of rank 0; "
                "expected the same on all: seed them alike before the model is made"
            )
        return hashes[0]

    def synchronise(self, model: Module) -> None:
        """Check that the parameters are the same, and take over rank 0's buffers.

        Buffers are such as the running statistics of batch normalisation: as with threads, those
        of the first part.
        """
        self.check(model.parameters())
        for buffer in model.buffers():
            values = self._world.bcast(to_device(buffer.array, CPU), root=0)
            buffer.copy_(tensor(values, device=buffer.device))
