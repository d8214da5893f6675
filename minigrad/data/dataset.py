"""Datasets and the loader that cuts them into batches."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigrad.backend import CPU, Generator, default_generator, to_device
from minigrad.creation import tensor
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.ops.shape import stack
from minigrad.tensor import Tensor


class Dataset:
    """Anything with a length and an item for each index, as in PyTorch."""

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError


class TensorDataset(Dataset):
    """Rows of tensors of equal length: item i is (tensor_0[i], tensor_1[i], …).

    >>> data = TensorDataset(tensor([[1.0], [2.0]]), tensor([0, 1]))
    >>> data[1]
    (tensor([2.]), tensor(1))
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not all(isinstance(x, Tensor) for x in tensors):
            kinds = ", ".join(type(x).__name__ for x in tensors)
            raise DTypeError(f"TensorDataset: got {kinds}; expected tensors")
        if not tensors or len({x.shape[:1] for x in tensors}) != 1 or not tensors[0].ndim:
            shapes = ", ".join(str(x.shape) for x in tensors) or "nothing"
            raise ShapeError(f"TensorDataset: got {shapes}; expected tensors of one length")
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(x[index] for x in self.tensors)


class ImageDataset(TensorDataset):
    """Images in [0, 1] as (n, channels, height, width), with labels if there are any.

    Takes bytes (0 … 255, divided by 255) or floats; (n, height, width) gets one channel.
    An item is (image,) or (image, label). Bytes are kept as they are, not even copied, so that an
    array mapped from a file stays there; a batch of them becomes floats when it is asked for.
    `device` is where the images are kept, and where batches are.

    Raises ArgumentError if a value lies outside [0, 1], ShapeError on any other shape.

    >>> data = ImageDataset(np.array([[[0, 255]]], np.uint8))
    >>> data.tensors[0].dtype, data[0]
    (dtype('uint8'), (tensor([[[0., 1.]]]),))
    """

    def __init__(self, images: Any, labels: Any = None, device: Any = None) -> None:
        pixels = np.asarray(images)
        if pixels.ndim == 3:
            pixels = pixels[:, None]
        if pixels.ndim != 4:
            raise ShapeError(f"ImageDataset: got shape {pixels.shape}; expected (n, [c,] h, w)")
        if pixels.dtype != np.uint8:
            low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 1.0)
            if not 0 <= low <= high <= 1:
                raise ArgumentError(
                    f"ImageDataset: got values from {low} to {high}; expected [0, 1]"
                )
            pixels = pixels.astype(np.float32, copy=False)
        kept = [Tensor(to_device(pixels, device or CPU))]
        if labels is not None:
            kept.append(tensor(np.asarray(labels), device=device))
        super().__init__(*kept)

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        image, *label = super().__getitem__(index)
        return (image.float() / 255 if image.dtype == np.uint8 else image), *label


class DataLoader:
    """The batches of a dataset, in order or shuffled anew for every pass.

    A batch has the form of an item, with a leading axis. From a `TensorDataset` in order it is a
    slice of the tensors, without a copy. The last batch may be shorter, or is dropped if
    `drop_last`. The order is drawn from `generator`, or from the default one. `num_workers` and
    `pin_memory` are accepted for PyTorch's sake: batches are made here, one after the other.

    >>> loader = DataLoader(TensorDataset(tensor([1.0, 2.0, 3.0])), batch_size=2)
    >>> [x for (x,) in loader]
    [tensor([1., 2.]), tensor([3.])]
    """

    def __init__(
        self, dataset: Dataset, batch_size: int = 1, shuffle: bool = False,
        *, drop_last: bool = False, generator: Generator | None = None,
        num_workers: int = 0, pin_memory: bool = False,
    ) -> None:  # fmt: skip
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ArgumentError(f"DataLoader: batch_size: got {batch_size!r}; expected at least 1")
        self.dataset, self.batch_size = dataset, batch_size
        self.shuffle, self.drop_last, self.generator = shuffle, drop_last, generator

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        n = len(self.dataset)
        order = (self.generator or default_generator()).permutation(n) if self.shuffle else None
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            rows = slice(start, min(start + self.batch_size, n))
            yield self._batch(rows if order is None else order[rows])

    def _batch(self, rows: slice | np.ndarray) -> Any:
        if isinstance(self.dataset, TensorDataset):
            return self.dataset[rows]
        index = range(rows.start, rows.stop) if isinstance(rows, slice) else rows.tolist()
        return collate([self.dataset[i] for i in index])


def collate(items: Sequence[Any]) -> Any:
    """Items of one form as a batch of that form: tensors, arrays and numbers are stacked.

    >>> collate([(1.0, 2, "a"), (3.0, 4, "b")])
    (tensor([1., 3.]), tensor([2, 4]), ['a', 'b'])

    Raises ShapeError for items of different shapes or lengths.
    """
    first = items[0]
    if isinstance(first, (tuple, list)):
        lengths = sorted({*map(len, items)})
        if len(lengths) > 1:
            raise ShapeError(f"DataLoader: got items of {lengths} parts; expected one number")
        columns = map(collate, zip(*items, strict=True))
        return getattr(first, "_make", type(first))(columns)
    if isinstance(first, dict):
        return {key: collate([item[key] for item in items]) for key in first}
    if isinstance(first, str):
        return list(items)
    if isinstance(first, np.ndarray):
        items = [Tensor(np.asarray(item)) for item in items]
    if not isinstance(items[0], Tensor):
        return tensor(list(items))
    shapes = {x.shape for x in items}
    if len(shapes) > 1:
        raise ShapeError(f"DataLoader: got items of shapes {sorted(shapes)}; expected one shape")
    return stack([x.detach() for x in items])
