"""Workers that are threads of one process.

NumPy's matrix products run on all processors, everything else on one. With a thread for each
processor, and products held to one thread, everything runs on all of them.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from functools import partial
from typing import Any

from minigrad.backend import processors, share_out, shared_by
from minigrad.errors import ArgumentError
from minigrad.nn.module import Module
from minigrad.parallel.parts import (
    Batch,
    FlatGradient,
    Loss,
    Parts,
    added,
    cut,
    part_gradient,
    part_output,
)
from minigrad.tensor import Tensor

try:
    from threadpoolctl import threadpool_limits
except ImportError as error:
    raise ImportError(
        "minigrad.parallel holds matrix products to one thread with threadpoolctl: "
        'pip install "minigrad-numpy[parallel]"'
    ) from error


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
        self._open = ExitStack()
        self._open.enter_context(threadpool_limits(1, user_api="blas"))
        self._pool = self._open.enter_context(ThreadPoolExecutor(self.workers))
        self._open.enter_context(shared_by(self.workers, self._each))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def backward(
        self, loss: Loss, batch: Batch, parameters: Iterable[Tensor]
    ) -> Tensor | dict[str, Tensor]:
        """Add ∇loss(*batch) to the `.grad` of the parameters; the loss, without its graph.

        `loss` is called with parts of the batch, at the same time. It must answer with a mean over
        its examples, or a dict of means of which "loss" is differentiated.

        Raises ShapeError if the tensors of the batch are not of one length, ArgumentError if they
        are empty; and what a worker raises.
        """
        wanted = [p for p in parameters if p.requires_grad]
        found = self._each(lambda part: part_gradient(loss, part, wanted), cut(batch, self.workers))
        values, gradients = zip(*found, strict=True)
        total = FlatGradient(wanted)
        share_out(partial(total.write_sum, gradients))
        total.hand_out(any(g is not None for g in found) for found in zip(*gradients, strict=True))
        return added(values)

    def forward(self, function: Callable[..., Any], batch: Batch) -> Parts:
        """function(*batch) in parts, each with its graph; they can be a batch of `backward`.

        So a GAN's images are made once, and both players' losses are computed of them.
        """
        return Parts(self._each(lambda part: part_output(function, part), cut(batch, self.workers)))

    def _each(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """function(item) of each, at the same time."""
        jobs = [self._pool.submit(copy_context().run, function, item) for item in items]
        return [job.result() for job in jobs]

    def synchronise(self, model: Module) -> None:
        """Nothing is to be done: threads share one model."""
