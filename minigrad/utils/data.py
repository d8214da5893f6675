"""`minigrad.utils.data`: the names of `torch.utils.data`."""

from minigrad.data.dataset import DataLoader, Dataset, TensorDataset

__all__ = ["DataLoader", "Dataset", "TensorDataset"]
