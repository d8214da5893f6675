r"""Learning rates that change with the epoch: call `scheduler.step()` at the end of each."""

import math
from typing import Any

from minigrad.errors import ArgumentError
from minigrad.optim.optimizer import Optimizer


class LRScheduler:
    """Changes each group's `lr` as `rate` changes from the epoch before to this one.

    Alone, it makes it `rate`. What else has changed it stays in effect, be it by hand or by another
    scheduler, as in PyTorch: the part above `eta_min` keeps its proportion to what it would be.
    With `last_epoch`, it goes on after that epoch; the optimiser's groups know their start then.
    """

    eta_min = 0.0

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch >= 0 and "initial_lr" not in group:
                raise ArgumentError(
                    f"{type(self).__name__}: last_epoch: got {last_epoch}; expected -1, or the "
                    f"state of a scheduled optimiser: group {i} has no initial_lr"
                )
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def rate(self, initial: float, epoch: int) -> float:
        """The learning rate in that epoch (0 is the first)."""
        raise NotImplementedError

    def step(self) -> None:
        """Begin the next epoch."""
        self.last_epoch += 1
        if self.last_epoch == 0:
            return
        for group, initial in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            before, now = (self.rate(initial, self.last_epoch - i) for i in (1, 0))
            if before == self.eta_min:
                group["lr"] += now - before
            else:
                part = (group["lr"] - self.eta_min) / (before - self.eta_min)
                group["lr"] = self.eta_min + part * (now - self.eta_min)

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands."""
        return {
            "last_epoch": self.last_epoch, "base_lrs": self.base_lrs, "_last_lr": self.get_last_lr()
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from where `state_dict` was taken, with the learning rates of then."""
        self.base_lrs = list(state_dict["base_lrs"])
        self.last_epoch = int(state_dict["last_epoch"])
        rates = state_dict.get("_last_lr", self.get_last_lr())  # older ones do not have it
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = float(lr)


class StepLR(LRScheduler):
    r"""η_t = η₀ γ^⌊t / step_size⌋"""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if step_size < 1:
            raise ArgumentError(f"StepLR: step_size: got {step_size}; expected at least 1")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, initial: float, epoch: int) -> float:
        return initial * self.gamma ** (epoch // self.step_size)


class CosineAnnealingLR(LRScheduler):
    r"""η_t = η_min + ½ (η₀ - η_min) (1 + cos(π t / T_max)). Source: arXiv 1608.03983."""

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_max < 1:
            raise ArgumentError(f"CosineAnnealingLR: T_max: got {T_max}; expected at least 1")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, initial: float, epoch: int) -> float:
        fall = (1 + math.cos(math.pi * epoch / self.T_max)) / 2
        return self.eta_min + (initial - self.eta_min) * fall
