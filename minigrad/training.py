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
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Protocol

from minigrad.backend import CPU, Generator, array_module, default_generator, to_device
from minigrad.data.dataset import DataLoader
from minigrad.errors import ArgumentError, CheckpointError, NonFiniteError
from minigrad.nn.module import Module
from minigrad.nonfinite import first_nonfinite, nonfinite_gradient, squared_gradients
from minigrad.ops.arguments import whole
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
        if self.workers is None:
            with telling_rate(self.optimizer):
                parts = self._parts(*batch)
            return descend("loss", parts, self.model, self.optimizer)
        with telling_rate(self.optimizer):
            parts = self.workers.backward(self._finite, batch, self.model.parameters())
            check_gradients(self.model)
        self.optimizer.step()
        return {name: float(part) for name, part in parts.items()}

    def _parts(self, *batch: Tensor) -> dict[str, Tensor]:
        found = self.loss(self.model, *batch)
        parts = found if isinstance(found, dict) else {"loss": found}
        loss = parts.get("loss")
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            got = f"shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ArgumentError(f"fit: loss: got {got}; expected a scalar, or a dict with 'loss'")
        return parts

    def _finite(self, *batch: Tensor) -> dict[str, Tensor]:
        """The loss by its parts; NonFiniteError if it is no number."""
        parts = self._parts(*batch)
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


def descend(
    name: str, parts: dict[str, Tensor], model: Module, optimizer: Optimizer,
    player: Module | None = None,
) -> Record:  # fmt: skip
    """One step of the optimiser down the slope of parts[name]; all parts as numbers.

    Of the model only the parameters of `player` are moved, if one is given; their gradients are
    taken to be forgotten. On a device the host waits once, for all the numbers together.

    Raises NonFiniteError, and does not step, if the loss or a gradient is not finite.
    """
    loss, on_device = parts[name], parts[name].device != CPU
    with telling_rate(optimizer):
        if not on_device:  # a look at the loss costs nothing
            check_loss(name, loss, model)
        moved = list(player.parameters()) if player is not None else None
        loss.backward(inputs=moved, retain_graph=on_device)  # the cause is looked for in it
        values = _numbers(parts, squared_gradients(player or model))
        squares = values.pop("")
        if on_device:
            check_loss(name, loss, model, values[name])
        check_gradients(player or model, squares)
    optimizer.step()
    return values


def _numbers(parts: dict[str, Tensor], squares: Any) -> Record:
    """The parts as numbers, and with no name Σ g²: read from a device all at once."""
    arrays = {**{name: part.array for name, part in parts.items()}, "": squares}
    first = next(iter(parts.values()))
    if first.device == CPU:
        return {name: float(x) for name, x in arrays.items()}
    xp = array_module(first.array)
    together = xp.concatenate([xp.asarray(x, "float64").reshape(1) for x in arrays.values()])
    return dict(zip(arrays, to_device(together, CPU).tolist(), strict=True))


def check_loss(name: str, loss: Tensor, model: Module, value: float | None = None) -> None:
    """Raise NonFiniteError, with the cause, if the loss is NaN or infinite; `value` if known."""
    value = float(loss) if value is None else value
    if not math.isfinite(value):
        cause = first_nonfinite(loss, model)
        raise NonFiniteError(f"{name}: got {value}; expected a number. {cause}")


def check_gradients(model: Module, squares: float | None = None) -> None:
    """Raise NonFiniteError if a parameter's gradient is not finite; `squares` is Σ g², if known."""
    cause = nonfinite_gradient(model, squares)
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
    stopped, to the last bit; on another device, from the same place.

    A step that raises NonFiniteError ends it, and the message says which step it was.
    """
    epochs = whole("fit", "epochs", epochs, 0)
    if not len(loader):
        raise ArgumentError(
            f"fit: loader: got no batch, of {len(loader.dataset)} examples in batches of "
            f"{loader.batch_size}; expected at least one"
        )
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
        self.at_start: dict[str, Any] | None = None  # the generators' states when it began

    def _generators(self) -> dict[str, Generator]:
        """The default ones of the CPU and of the model's device, and the loader's own."""
        places = {CPU, *(x.device for x in self.trainer.model.parameters())}
        found = {str(where): default_generator(where) for where in sorted(places, key=str)}
        if self.loader.generator is not None:
            found["loader"] = self.loader.generator
        return found

    def _states(self) -> dict[str, Any]:
        return {name: g.get_state() for name, g in self._generators().items()}

    def batches(self) -> Iterator[tuple]:
        """The batches of the epoch under way that have not been seen yet."""
        now = self._states()
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

    def _set_generators(self, states: dict[str, Any]) -> None:
        """Those of a device that was not in use then stay as they are."""
        for name, generator in self._generators().items():
            if name in states or not name.startswith("cuda"):
                generator.set_state(states[name])

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
            "generators": self._states(),
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
        if self.step > len(self.loader):
            raise ValueError(
                f"it is at batch {self.step} of an epoch, and here are no more than "
                f"{len(self.loader)}"
            )
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
