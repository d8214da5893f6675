"""Optimisers with PyTorch's names, arguments and arithmetic."""

from minigrad.optim import lr_scheduler
from minigrad.optim.optimizer import SGD, Adam, AdamW, Optimizer, RMSprop

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler"]
