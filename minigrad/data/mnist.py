"""MNIST (LeCun, Cortes, Burges 1998) and Fashion-MNIST (Xiao, Rasul, Vollgraf 2017).

Each is 60,000 training and 10,000 test images, 28×28 grey pixels in ten classes, in four IDX files
of the same names. They are read from a folder of your own, or else from the cache folder, and
downloaded to it where they are missing (MNIST 11 MB, Fashion-MNIST 30 MB).
"""

from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minigrad.data.download import RemoteFile, cache_folder, download_files
from minigrad.data.idx import read_idx
from minigrad.errors import ArgumentError, DatasetError

MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
}
FILE_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
# Bytes and SHA-256 of the files in that order, as tensorflow/datasets lists them (url_checksums/).
PUBLISHED = {
    "mnist": (
        (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    "fashion-mnist": (
        (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
}


class LabelledImages(NamedTuple):
    """Images and what they show."""

    images: np.ndarray  # float32 (n, 28, 28), 0 = background, 1 = full ink
    labels: np.ndarray  # int64 (n,), 0 to 9


def mnist(
    train: bool = True, *, data_dir: str | PathLike | None = None, download: bool = True
) -> LabelledImages:
    """Handwritten digits: the 60,000 training images, or with `train=False` the 10,000 test images.

    Args:
        train: which of the two sets.
        data_dir: a folder that holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the
            same with `t10k-`; or one set for both, `images-idx3-ubyte` and `labels-idx1-ubyte`,
            split as `mnist_splits` does. Each may end in `.gz`; `.idx3-ubyte` is also accepted.
            None is the folder `mnist` in `minigrad.data.download.cache_folder()`.
        download: fetch missing files into the cache folder (never into `data_dir`).

    Raises:
        DatasetError: a file is missing and cannot be downloaded, is damaged, or does not hold
            labelled 28×28 images. The message says what was found, and what to do.
    """
    return _load("mnist", train, data_dir, download)


def fashion_mnist(
    train: bool = True, *, data_dir: str | PathLike | None = None, download: bool = True
) -> LabelledImages:
    """Photographs of clothes, as many as in `mnist`, with the same arguments and errors.

    The classes: 0 T-shirt, 1 trousers, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker,
    8 bag, 9 ankle boot. The cache folder is `fashion-mnist`.
    """
    return _load("fashion-mnist", train, data_dir, download)


def mnist_splits(
    name: str = "mnist", *, data_dir: str | PathLike | None = None, download: bool = True
) -> tuple[LabelledImages, LabelledImages]:
    """`(train, test)` of the set `name`, "mnist" or "fashion-mnist".

    Without `data_dir`, the two published sets. With it, whatever the folder holds: if both sets are
    there, these; if there is only one (the test images alone, say), its first 80 % are train and
    its last 20 % test, unshuffled: of 10,000 images, the first 8,000 and the last 2,000. A file
    sorted by class would leave its last classes to test alone, so there it is every fifth image
    that is test.
    Arguments and errors as in `mnist`; `ArgumentError` for an unknown name.
    """
    if name not in PUBLISHED:
        raise ArgumentError(f"mnist_splits: name: got {name!r}; expected one of {[*PUBLISHED]}.")
    if data_dir is None:
        return _load(name, True, None, download), _load(name, False, None, download)
    folder = Path(data_dir)
    train, test, undivided = (_find_set(name, folder, part) for part in ("train-", "t10k-", ""))
    if train and test:
        return _read(name, *train), _read(name, *test)
    only = train or test or undivided
    if only is None:
        raise _missing(name, folder, "t10k-", "Check the folder.")
    return _split(name, _read(name, *only))


def _load(
    name: str, train: bool, data_dir: str | PathLike | None, download: bool
) -> LabelledImages:
    part, other = ("train-", "t10k-") if train else ("t10k-", "train-")
    folder = cache_folder() / name if data_dir is None else Path(data_dir)
    if data_dir is None and download:
        _complete(name, folder, part)
    if found := _find_set(name, folder, part):
        return _read(name, *found)
    if data_dir is None:
        raise _missing(name, folder, part, "Pass download=True, or put the files there by hand.")
    if _find_set(name, folder, other):
        fix = f"Pass train={not train} for the set that is there, or split it with mnist_splits."
        raise _missing(name, folder, part, fix)
    if undivided := _find_set(name, folder, ""):
        return _split(name, _read(name, *undivided))[0 if train else 1]
    raise _missing(name, folder, part, "Check the folder.")


def _complete(name: str, folder: Path, part: str) -> None:
    """Download the files of this part ("train-" or "t10k-") that the cache folder lacks."""
    facts = zip(FILE_NAMES, PUBLISHED[name], strict=True)
    files = [RemoteFile(file, size, sha256) for file, (size, sha256) in facts]
    wanted = [file for file in files if file.name.startswith(part)]
    missing = [file for file in wanted if not _find(folder, file.name.removesuffix(".gz"))]
    download_files(folder, missing, MIRRORS[name])


def _find_set(name: str, folder: Path, part: str) -> tuple[Path, Path] | None:
    """The files of images and of labels, or None where there is neither."""
    images = _find(folder, f"{part}images-idx3-ubyte")
    labels = _find(folder, f"{part}labels-idx1-ubyte")
    if images and labels:
        return images, labels
    if images or labels:
        raise _missing(name, folder, part, "Images and labels go together.")
    return None


def _find(folder: Path, file: str) -> Path | None:
    dotted = file.replace("-idx", ".idx")
    candidates = (folder / f"{stem}{end}" for stem in (file, dotted) for end in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _missing(name: str, folder: Path, part: str, fix: str) -> DatasetError:
    if folder.is_dir():
        names = sorted(path.name for path in folder.iterdir())
        found = ", ".join(names[:8]) + (", ..." if names[8:] else "") or "an empty folder"
    else:
        found = "no such folder"
    return DatasetError(
        f"{name}: missing files in {folder}: got {found}; expected {part}images-idx3-ubyte and "
        f"{part}labels-idx1-ubyte, each as it is or with .gz. {fix}"
    )


def _read(name: str, images_path: Path, labels_path: Path) -> LabelledImages:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28):
        got = f"{images.dtype} {images.shape} in {images_path}"
        raise DatasetError(f"{name}: images: got {got}; expected uint8 (n, 28, 28).")
    if labels.dtype != np.uint8 or labels.ndim != 1:
        got = f"{labels.dtype} {labels.shape} in {labels_path}"
        raise DatasetError(f"{name}: labels: got {got}; expected uint8 (n,).")
    if len(images) != len(labels) or len(images) == 0:
        raise DatasetError(
            f"{name}: numbers of images and labels: got {len(images)} and {len(labels)} in "
            f"{images_path.parent}; expected as many of both, at least one. "
            "Do the two files come from the same set?"
        )
    if labels.max() > 9:
        row = int(labels.argmax())
        got = f"got label {labels[row]} in row {row} of {labels_path}"
        raise DatasetError(f"{name}: labels: {got}; expected 0 to 9.")
    return LabelledImages(np.divide(images, 255, dtype=np.float32), labels.astype(np.int64))


def _split(name: str, data: LabelledImages) -> tuple[LabelledImages, LabelledImages]:
    """The train and test parts of a set that has no split of its own: see `mnist_splits`."""
    images, labels = data
    count = len(labels)
    if count < 5:
        raise DatasetError(f"{name}: images to split: got {count}; expected 5 or more.")
    row = np.arange(count)
    sorted_by_class = np.all(labels[:-1] <= labels[1:])
    test = row % 5 == 4 if sorted_by_class else row >= count * 4 // 5
    return LabelledImages(images[~test], labels[~test]), LabelledImages(images[test], labels[test])
