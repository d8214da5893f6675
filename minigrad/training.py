"""The training loop: epochs with a progress bar, checkpoints that continue bit for bit.

`fit` is all that the autoencoders and the VAEs need: what differs between them is the loss.
Where a step is more than one loss and one optimiser, as in the game of two networks, `train` is
the same loop around any `Trainer`.
"""

import contextlib
import copy
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, Protocol

from minigrad.backend import Generator, default_generator
from minigrad.data.dataset import DataLoader
from minigrad.errors import ArgumentError, CheckpointError, NonFiniteError
from minigrad.nn.module import Module
from minigrad.nonfinite import first_nonfinite, nonfinite_gradient
from minigrad.optim.lr_scheduler import LRScheduler
from minigrad.optim.optimizer import Optimizer
from minigrad.parallel import Workers
from minigrad.serialization import check_writable, load, save
from minigrad.tensor import Tensor

try:
    from tqdm import tqdm
except ImportError as error:
    raise ImportError(
        'minigrad.training draws its progress with tqdm: pip install "minigrad-numpy[demos]"'
    ) from error

Record = dict[str, float]
Loss = Callable[..., "Tensor | dict[str, Tensor]"]


def fit(
    model: Module,
    loss: Loss,
    optimizer: Optimizer,
    loader: DataLoader,
    epochs: int,
    *,
    scheduler: LRScheduler | None = None,
    on_epoch: Callable[[int, Record], Record | None] | None = None,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
    progress: bool = True,
    workers: Workers | None = None,
) -> list[Record]:
    """Minimise `loss(model, *batch)` over `epochs` passes through `loader`: see `train`.

    The loss is a scalar, or a dict of scalars of which "loss" is minimised and all are recorded.
    A checkpoint holds the model, the optimiser and the scheduler.

    With `workers` in their `with` statement, `parallel.Threads` or `parallel.ranks.Ranks`, each
    batch is split between them; the loss must then be a mean over examples. Ranks all call this
    alike; those after the first do without `progress`.

    Raises NonFiniteError at the first loss or gradient that is NaN or infinite, with the step and
    the operation that made it, or the parameter; the weights are those of the last finite step.
    Under `minigrad.anomaly()` it also names the line.
    """
    return train(
        Descent(model, loss, optimizer, scheduler, workers), loader, epochs,
        on_epoch=on_epoch, checkpoint=checkpoint, resume=resume, progress=progress,
    )  # fmt: skip


# ---------------------------------------------------------------- what a step is


class Trainer(Protocol):
    """A way to learn, as `train` sees it: what a step is, and all that the steps depend on."""

    model: Module  # is put into training mode for the steps, into evaluation mode for `on_epoch`

    def step(self, *batch: Tensor) -> Record:
        """Learn from one batch; numbers to be recorded, not necessarily the same every time."""

    def end_epoch(self) -> None:
        """What is due after a pass through the data, such as a scheduler's step."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold to continue as if nothing had happened."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from such a state, which holds other keys too."""


class Descent:
    """The trainer of `fit`: down the slope of one loss, by one optimiser."""

    def __init__(
        self, model: Module, loss: Loss, optimizer: Optimizer,
        scheduler: LRScheduler | None = None, workers: Workers | None = None,
    ) -> None:  # fmt: skip
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.scheduler, self.workers = scheduler, workers
        if workers is not None:
            workers.synchronise(model)

    def step(self, *batch: Tensor) -> Record:
        """One step of the optimiser; the loss before it, and its parts."""
        self.optimizer.zero_grad()
        with telling_rate(self.optimizer):
            if self.workers is None:
                parts = self._finite(*batch)
                parts["loss"].backward()
            else:
                parts = self.workers.backward(self._finite, batch, self.model.parameters())
            values = {name: float(part) for name, part in parts.items()}
            check_gradients(self.model)
        self.optimizer.step()
        return values

    def _finite(self, *batch: Tensor) -> dict[str, Tensor]:
        """The loss by its parts; NonFiniteError if it is no number."""
        found = self.loss(self.model, *batch)
        parts = found if isinstance(found, dict) else {"loss": found}
        check_loss("loss", parts["loss"], self.model)
        return parts

    def end_epoch(self) -> None:
        """The next epoch's learning rate; workers see that they have one model."""
        if self.workers is not None:
            self.workers.synchronise(self.model)
        if self.scheduler is not None:
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Model, optimiser and scheduler."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from there."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])


def check_loss(name: str, loss: Tensor, model: Module) -> None:
    """Raise NonFiniteError, with the cause, if the loss is NaN or infinite: before its gradient."""
    value = float(loss)
    if not math.isfinite(value):
        cause = first_nonfinite(loss, model)
        raise NonFiniteError(f"{name}: got {value}; expected a number. {cause}")


def check_gradients(model: Module) -> None:
    """Raise NonFiniteError if a parameter's gradient is not finite: before the optimiser's step."""
    cause = nonfinite_gradient(model)
    if cause:
        raise NonFiniteError(cause)


@contextlib.contextmanager
def telling_rate(optimizer: Optimizer) -> Iterator[None]:
    """Within it a NonFiniteError also tells the learning rate: often it is too high."""
    try:
        yield
    except NonFiniteError as error:
        rate = optimizer.param_groups[0]["lr"]
        raise NonFiniteError(f"learning rate {rate:g}: {error}") from error


# ---------------------------------------------------------------- the loop


def train(
    trainer: Trainer,
    loader: DataLoader,
    epochs: int,
    *,
    on_epoch: Callable[[int, Record], Record | None] | None = None,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
    progress: bool = True,
) -> list[Record]:
    """Call `trainer.step(*batch)` for every batch of `epochs` passes through `loader`.

    Returns a record for each epoch: the epoch's number, its seconds, images per second, and the
    mean of every number that the steps answered, over the examples of those steps that answered
    it. `on_epoch(epoch, record)` runs after each (epoch 1 is the first); what it returns is added
    to the record.

    With `checkpoint`, a path, everything is saved after each epoch and at Ctrl-C, which is obeyed
    after the step under way (a second one at once): the trainer's state, random generators, and
    the place in the data. With `resume` training continues from that file as if it had never
    stopped, to the last bit.

    A step that raises NonFiniteError ends it, and the message says which step it was.
    """
    if epochs < 0:
        raise ArgumentError(f"fit: epochs: got {epochs}; expected at least 0")
    run = _Run(trainer, loader)
    if resume:
        if checkpoint is None:
            raise ArgumentError("fit: resume: needs the path of a checkpoint")
        run.restore(load(checkpoint))
    if checkpoint is not None:
        check_writable(checkpoint)
    model = trainer.model
    model.train()
    with _CtrlC() as interrupt:
        while run.epoch < epochs:
            with _bar(run, loader, epochs, progress) as bar:
                for batch in run.batches():
                    bar.set_postfix(_shown(run.train_step(batch)), refresh=False)
                    bar.update(len(batch[0]))
                    if interrupt.asked:
                        run.stop(checkpoint)
                record = run.close_epoch()
                if on_epoch is not None:
                    model.eval()
                    record.update(on_epoch(run.epoch, record) or {})
                    model.train()
                bar.set_postfix(_shown(record), refresh=True)
            if checkpoint is not None:
                save(run.state(), checkpoint)
    return run.records


def _bar(run: "_Run", loader: DataLoader, epochs: int, progress: bool) -> tqdm:
    size = loader.batch_size
    total = len(loader) * size if loader.drop_last else len(loader.dataset)
    return tqdm(
        desc=f"epoch {run.epoch + 1:{len(str(epochs))}d}/{epochs}", total=total,
        initial=run.step * size, unit=" images", disable=not progress, mininterval=0.2,
    )  # fmt: skip


def _shown(record: Record) -> dict[str, str]:
    aside = ("epoch", "seconds", "images_per_second")
    return {key: f"{value:.4f}" for key, value in record.items() if key not in aside}


class _Run:
    """Where training stands: all that a checkpoint holds."""

    def __init__(self, trainer: Trainer, loader: DataLoader) -> None:
        self.trainer, self.loader = trainer, loader
        self.epoch = 0  # epochs completed
        self.step = 0  # batches completed in the epoch under way
        self.examples = 0  # in them
        self.sums: dict[str, tuple[float, int]] = {}  # Σ over the examples that have it, and these
        self.seconds = 0.0  # spent on it so far
        self.records: list[Record] = []
        self.at_start: list[Any] | None = None  # the generators' states when it began

    def _generators(self) -> list[Generator]:
        own = [self.loader.generator] if self.loader.generator is not None else []
        return [default_generator(), *own]

    def batches(self) -> Iterator[tuple]:
        """The batches of the epoch under way that have not been seen yet."""
        now = [g.get_state() for g in self._generators()]
        seen = self.step
        if not seen:
            self.at_start = now
        else:  # the order was drawn when the epoch began: draw it again, then come back
            self._set_generators(self.at_start)
        self._started = time.perf_counter() - self.seconds
        unseen = iter(self.loader)
        for _ in range(seen):
            next(unseen)
        if seen:
            self._set_generators(now)
        for batch in unseen:
            yield batch if isinstance(batch, tuple) else (batch,)

    def _set_generators(self, states: Iterable[Any]) -> None:
        for generator, state in zip(self._generators(), states, strict=True):
            generator.set_state(state)

    def train_step(self, batch: tuple) -> Record:
        """One step of the trainer; what it answered."""
        try:
            values = self.trainer.step(*batch)
        except NonFiniteError as error:
            place = f"step {self.step + 1} of epoch {self.epoch + 1}"
            raise NonFiniteError(f"fit: {place}, {error}") from error
        self.step += 1
        n = len(batch[0])
        self.examples += n
        for name, value in values.items():
            total, examples = self.sums.get(name, (0.0, 0))
            self.sums[name] = total + value * n, examples + n
        self.seconds = time.perf_counter() - self._started
        return values

    def close_epoch(self) -> Record:
        """The record of the epoch that was just completed."""
        self.epoch += 1
        record = {"epoch": self.epoch, "seconds": self.seconds}
        record["images_per_second"] = self.examples / max(self.seconds, 1e-9)
        record.update({name: total / max(n, 1) for name, (total, n) in self.sums.items()})
        self.records.append(record)
        self.step, self.examples, self.sums, self.seconds = 0, 0, {}, 0.0
        self.trainer.end_epoch()
        return record

    def state(self) -> dict[str, Any]:
        """Everything that training depends on."""
        return {
            **self.trainer.state_dict(),
            "generators": [g.get_state() for g in self._generators()],
            "generators_at_start": self.at_start,
            "epoch": self.epoch, "step": self.step, "examples": self.examples,
            "sums": self.sums, "seconds": self.seconds, "records": self.records,
        }  # fmt: skip

    def stop(self, checkpoint: str | os.PathLike | None) -> NoReturn:
        """Save if there is a place, and give way to Ctrl-C."""
        place = f"interrupted after step {self.step} of epoch {self.epoch + 1}"
        if checkpoint is None:
            raise KeyboardInterrupt(place)
        save(self.state(), checkpoint)
        raise KeyboardInterrupt(f"{place}; saved to {checkpoint}, from where training can resume")

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`; CheckpointError, and no change, if it is not of such a run."""
        before = copy.deepcopy(self.state())
        try:
            self._take(state)
        except (KeyError, TypeError, ValueError) as error:
            self._take(before)
            raise CheckpointError(f"fit: not a checkpoint of this training: {error}") from error

    def _take(self, state: dict[str, Any]) -> None:
        self.trainer.load_state_dict(state)
        self._set_generators(state["generators"])
        self.at_start = state["generators_at_start"]
        self.epoch, self.step, self.examples = state["epoch"], state["step"], state["examples"]
        self.sums, self.seconds = state["sums"], state["seconds"]
        self.records = state["records"]


class _CtrlC:
    """Within it, Ctrl-C sets `asked`; a second one interrupts at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "_CtrlC":
        self._ours = threading.current_thread() is threading.main_thread()
        if self._ours:
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, self._before)
