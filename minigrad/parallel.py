r"""Data parallelism: workers take parts of the batch, and their gradients are added.

A loss that is a mean over n examples is Σ (nᵢ/n) Lᵢ over parts of nᵢ examples each; and so is its
gradient,

    ∇L = Σ (nᵢ / n) ∇Lᵢ.

Each worker runs the model on its part, on a tape of its own; the gradients are added, and the
optimiser steps once. That is all there is to it, be the workers threads or machines.

Here they are threads. NumPy's matrix products run on all processors, everything else on one. With a
thread for each processor, and products held to one thread, everything runs on all of them.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from itertools import pairwise
from typing import Any

from minigrad.backend import as_worker, default_generator, processors
from minigrad.engine import Variable, grad
from minigrad.errors import ArgumentError, ShapeError
from minigrad.tensor import Tensor

try:
    from threadpoolctl import threadpool_limits
except ImportError as error:
    raise ImportError(
        "minigrad.parallel holds matrix products to one thread with threadpoolctl: "
        'pip install "minigrad-numpy[parallel]"'
    ) from error

Loss = Callable[..., "Tensor | dict[str, Tensor]"]


class Threads:
    """Worker threads, by default one for each processor; to be used in a `with` statement.

    >>> import minigrad as mg
    >>> model, x = mg.nn.Linear(3, 2), mg.ones(8, 3)
    >>> with Threads(2) as workers:
    ...     loss = workers.backward(lambda x: model(x).square().mean(), (x,), model.parameters())
    >>> model.weight.grad.shape
    (2, 3)

    The gradient is that of the whole batch, to rounding, with two exceptions. Batch normalisation
    sees a worker's part as its batch, and its running statistics are those of the first part, as
    in PyTorch's DataParallel. And each worker draws at random from a stream of its own: all are
    seeded from the default generator, so that one seed and as many workers make the same run.
    """

    def __init__(self, workers: int | None = None) -> None:
        workers = processors() if workers is None else workers
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise ArgumentError(f"Threads: workers: got {workers!r}; expected at least 1")
        self.workers = workers

    def __enter__(self) -> "Threads":
        self._limits = threadpool_limits(1, user_api="blas")
        self._pool = ThreadPoolExecutor(self.workers)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        self._limits.restore_original_limits()

    def backward(
        self, loss: Loss, batch: Sequence[Tensor], parameters: Iterable[Tensor]
    ) -> Tensor | dict[str, Tensor]:
        """Add ∇loss(*batch) to the `.grad` of the parameters; the loss, without its graph.

        `loss` is called with parts of the batch, at the same time. It must answer with a mean over
        its examples, or a dict of means of which "loss" is differentiated.

        Raises ShapeError if the tensors of the batch are not of one length, ArgumentError if they
        are empty; and what a worker raises.
        """
        sizes = {len(x) for x in batch}
        if len(sizes) != 1:
            raise ShapeError(f"Threads: batch: got lengths {sorted(sizes)}; expected one for all")
        n = sizes.pop()
        if not n:
            raise ArgumentError("Threads: batch: got no examples; expected at least one")
        wanted = [p for p in parameters if p.requires_grad]
        parts = min(self.workers, n)
        edges = [n * i // parts for i in range(parts + 1)]
        seeds = default_generator(batch[0].device).integers(0, 2**31, (parts,)).tolist()
        jobs = [
            self._pool.submit(
                copy_context().run, _part, loss, [x[start:stop] for x in batch], (stop - start) / n,
                wanted, number, seeds[number],
            )
            for number, (start, stop) in enumerate(pairwise(edges))
        ]  # fmt: skip
        results = [job.result() for job in jobs]
        for p, *gradients in zip(wanted, *(found for _, found in results), strict=True):
            _add(p, [g for g in gradients if g is not None])
        return _summed([values for values, _ in results])


Part = tuple[Any, list[Variable | None]]


def _part(
    loss: Loss, batch: list[Tensor], share: float, wanted: list[Tensor], number: int, seed: int
) -> Part:
    """A worker's part: its share nᵢ/n of the loss, and of the gradients."""
    with as_worker(number, seed):
        found = loss(*batch)
        named = found if isinstance(found, dict) else {"loss": found}
        weighted = {name: value * share for name, value in named.items()}
        gradients = grad(weighted["loss"], wanted, allow_unused=True)
    values = {name: value.detach() for name, value in weighted.items()}
    return (values if isinstance(found, dict) else values["loss"]), list(gradients)


def _add(p: Tensor, gradients: list[Variable]) -> None:
    """p.grad + Σ gradients; the first is written to, for it is nobody else's."""
    if not gradients:
        return
    total = gradients[0].array
    for g in gradients[1:]:
        total += g.array
    p.grad = Tensor(total) if p.grad is None else p.grad + Tensor(total)


def _summed(values: list) -> Any:
    if isinstance(values[0], dict):
        return {name: _summed([v[name] for v in values]) for name in values[0]}
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
