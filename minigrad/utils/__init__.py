"""Doors with PyTorch's and torchvision's names: `utils.data`, `utils.make_grid`, `save_image`."""

from minigrad.draw import make_grid, save_image
from minigrad.utils import data

__all__ = ["data", "make_grid", "save_image"]
