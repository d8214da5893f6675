"""Datasets: the loader here; the images in `data.glyphs`, `data.mnist` (extra `demos`)."""

from minigrad.data.dataset import DataLoader, Dataset, ImageDataset, TensorDataset

__all__ = ["DataLoader", "Dataset", "ImageDataset", "TensorDataset"]
