r"""A running average of a network's weights: the network that is shown, while the other learns.

Two players circle around where they want to be; the average of their places is nearer to it than
any of them (Yazıcı et al., arXiv 1806.04498).
"""

import copy
from typing import Any

from minigrad import nn, no_grad
from minigrad.errors import ArgumentError


class EMA:
    r"""The exponential moving average of a network: w̄ ← βₜ w̄ + (1 - βₜ) w at the t-th update.

        βₜ = min(decay, t / (9 + t))

    so that it does not dwell on how the weights began: β₁ = 0.1, β₁₀₀ = 0.92. Buffers, the running
    statistics of batch norm, are not averaged again but copied. `module` is the averaged network;
    it begins as a copy, in evaluation mode, and requires no gradients.

    >>> from minigrad import tensor
    >>> network = nn.Linear(1, 1, bias=False)
    >>> _ = network.load_state_dict({"weight": tensor([[0.0]])})
    >>> average = EMA(network)
    >>> _ = network.load_state_dict({"weight": tensor([[1.0]])})
    >>> average.update(network)
    >>> average.module.weight.detach()
    tensor([[0.9000]])

    Raises ArgumentError if decay is not from 0 to below 1.
    """

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ArgumentError(f"EMA: decay: got {decay}; expected 0 ≤ decay < 1")
        self.decay = decay
        self.updates = 0
        self.module = copy.deepcopy(network).eval().requires_grad_(False)

    @no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network as it is now."""
        self.updates += 1
        beta = min(self.decay, self.updates / (9 + self.updates))
        for mean, w in zip(self.module.parameters(), network.parameters(), strict=True):
            mean.mul_(beta).add_(w, alpha=1 - beta)
        for kept, new in zip(self.module.buffers(), network.buffers(), strict=True):
            kept.copy_(new)

    def state_dict(self) -> dict[str, Any]:
        """The averaged network's state, and how often it was updated."""
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from there."""
        self.module.load_state_dict(state["module"])
        self.updates = int(state["updates"])
