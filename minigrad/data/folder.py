"""Any folder of pictures (CelebA, a camera's) as one array of small square images.

The pictures are read once. What comes of it is kept in `minigrad.data.download.cache_folder()` as
an `.npy` file beside a `.json` file that says which listing of the folder it was made from, and
the array that is returned is that file, mapped into memory: 200,000 images of size 64 are 2.5 GB
on the disk, and next to nothing in memory. A folder that has changed is read again.
"""

import hashlib
import json
import os
import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from minigrad.data.download import cache_folder
from minigrad.errors import ArgumentError, DatasetError

try:
    from PIL import Image, ImageOps
except ImportError as missing:
    raise ImportError(
        'image_folder reads pictures with Pillow: pip install "minigrad-numpy[demos]"'
    ) from missing
try:  # the progress bar is optional: it comes with the extra `demos`
    from tqdm import tqdm
except ImportError:
    tqdm = None

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"))
FORMAT = 1  # of the cache: raise it when the same files come to give other images


class FolderImages(NamedTuple):
    """The images of a folder, the files they come from, and the files that gave none."""

    images: np.ndarray  # uint8 (n, 3, size, size), read-only; red, green, blue
    files: tuple[str, ...]  # n paths relative to the folder, sorted
    skipped: tuple[str, ...]  # "path: what is wrong with it"


class Entry(NamedTuple):
    """A file as the folder lists it."""

    name: str  # the path relative to the folder, with "/"
    size: int  # bytes
    modified: int  # nanoseconds


def image_folder(path: str | PathLike, size: int = 64, *, limit: int | None = None) -> FolderImages:
    """The pictures in a folder and its subfolders, as square images of one size.

    Of each picture, turned upright as its EXIF data says, the middle square is cut out and shrunk
    (or enlarged) to size × size pixels with Lanczos's filter, which averages over what a pixel
    covers. Grey becomes RGB, what is transparent lies on white, and of an animation the first
    image is taken. A picture's name ends in .jpg, .jpeg, .png, .webp, .bmp, .gif, .tif, .tiff or
    .ppm, in capitals too. What begins with a dot is left out; links to folders are not followed.

    A file that cannot be read is skipped: damaged, cut off, of another format than its name, or
    with more pixels than Pillow thinks safe. A warning tells how many there were, and `skipped`
    which, and why.

    Args:
        path: the folder.
        size: pixels of a side, from 8 to 1024.
        limit: take only the first `limit` files, sorted by their paths.

    Raises:
        ArgumentError: `size` or `limit` is no such number.
        DatasetError: there is no such folder, it holds no picture or none that can be read, or
            the cache cannot be written.

    Course: V12, the folder of CelebA's aligned faces. `ImageDataset(images)` takes the bytes.
    """
    _check_integer("size", size, 8, 1024)
    if limit is not None:
        _check_integer("limit", limit, 1)
    folder = Path(path).expanduser().resolve()
    entries = _listing(folder)[:limit]
    settings = f"{FORMAT} {int(size)} {limit} {folder}"
    name = f"{folder.name[:40]}-{_digest(settings)[:16]}"
    target = cache_folder() / "folders" / f"{name}.npy"
    listing = _digest(json.dumps(entries))
    found = _cached(target, listing, len(entries), int(size))
    if found is None:
        found = _build(folder, entries, int(size), target, listing)
    images, skipped = found
    if skipped:
        warnings.warn(
            f"image_folder: {folder}: skipped {len(skipped)} of {len(entries)} files, "
            f"the first {_name_and_reason(entries, skipped)[0]}",
            stacklevel=2,
        )
    files = tuple(entry.name for i, entry in enumerate(entries) if i not in skipped)
    return FolderImages(images, files, _name_and_reason(entries, skipped))


def _check_integer(name: str, value: object, low: int, high: int | None = None) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        rule = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"
        raise ArgumentError(f"image_folder: {name}: got {value!r}; expected {rule}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _name_and_reason(entries: Sequence[Entry], skipped: dict[int, str]) -> tuple[str, ...]:
    return tuple(f"{entries[i].name}: {reason}" for i, reason in skipped.items())


# ------------------------------------------------------------------------------------- the folder


def _listing(folder: Path) -> list[Entry]:
    """The folder's pictures, sorted by name."""
    if not folder.is_dir():
        got = "a file" if folder.exists() else "no such folder"
        raise DatasetError(
            f"image_folder: {folder}: got {got}; expected a folder of pictures. Check the path."
        )
    try:
        entries = sorted(_walk(folder, ""))
    except OSError as error:
        raise DatasetError(
            f"image_folder: {folder}: got {error}; expected a folder that you may read."
        ) from error
    if not entries:
        names = sorted(path.name for path in folder.iterdir())
        found = ", ".join(names[:8]) + (", ..." if names[8:] else "") or "an empty folder"
        raise DatasetError(
            f"image_folder: {folder}: got {found}; expected pictures, there or in folders below: "
            f"{', '.join(sorted(SUFFIXES))}. Unpack archives first."
        )
    return entries


def _walk(folder: Path, prefix: str) -> Iterator[Entry]:
    with os.scandir(folder) as items:
        for item in items:
            if item.name.startswith("."):
                continue
            if item.is_dir(follow_symlinks=False):
                yield from _walk(Path(item.path), f"{prefix}{item.name}/")
            elif os.path.splitext(item.name)[1].lower() in SUFFIXES and item.is_file():
                about = item.stat()
                yield Entry(prefix + item.name, about.st_size, about.st_mtime_ns)


# -------------------------------------------------------------------------------------- one picture


def _square(path: Path, size: int) -> np.ndarray:
    """A picture as uint8 (3, size, size)."""
    with Image.open(path) as opened:
        # A JPEG can be decoded at ½, ¼ or ⅛ of its size, which is much faster.
        opened.draft(None, (2 * size, 2 * size))
        image = _rgb(ImageOps.exif_transpose(opened))
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    middle = image.crop((left, top, left + side, top + side))
    small = middle.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(small).transpose(2, 0, 1)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, of which Pillow would keep the lower 8
        grey = np.clip(np.asarray(image), 0, 65535) / 257
        image = Image.fromarray(grey.round().astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its grey values are floats, of no known range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


# ---------------------------------------------------------------------------------------- the cache


def _cached(
    target: Path, listing: str, count: int, size: int
) -> tuple[np.ndarray, dict[int, str]] | None:
    """The images and the skipped files' reasons by index, if they were made from this listing."""
    try:
        about = json.loads(target.with_suffix(".json").read_text("utf-8"))
        skipped = {int(i): str(reason) for i, reason in about["skipped"].items()}
        images = np.load(target, mmap_mode="r", allow_pickle=False)
        expected = (count - len(skipped), 3, size, size)
        whole = images.dtype == np.uint8 and images.shape == expected
        return (images, skipped) if whole and about["listing"] == listing else None
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError):
        return None  # none there, or damaged


def _build(
    folder: Path, entries: Sequence[Entry], size: int, target: Path, listing: str
) -> tuple[np.ndarray, dict[int, str]]:
    """Read every picture into a new cache file, which takes its name only when it is whole."""
    about = target.with_suffix(".json")
    part = f"{secrets.token_hex(4)}.part"  # two processes keep out of each other's way
    partial, partial_about = target.with_suffix(f".{part}"), about.with_suffix(f".json.{part}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            skipped = _write_images(file, folder, entries, size)
        if len(skipped) == len(entries):
            raise DatasetError(
                f"image_folder: {folder}: got {len(entries)} files, none of which can be read "
                f"(the first {_name_and_reason(entries, skipped)[0]}); expected pictures."
            )
        partial_about.write_text(json.dumps({"listing": listing, "skipped": skipped}), "utf-8")
        about.unlink(missing_ok=True)  # no moment shows new images beside an old listing
        os.replace(partial, target)
        os.replace(partial_about, about)
        return np.load(target, mmap_mode="r", allow_pickle=False), skipped
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(
            f"image_folder: cannot keep the images: got {error}; expected a writable folder "
            f"{target.parent}. Set MINIGRAD_DATA to a folder with space that you may write to."
        ) from error
    finally:  # on Ctrl-C too
        for path in (partial, partial_about):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _write_images(
    file: BinaryIO, folder: Path, entries: Sequence[Entry], size: int
) -> dict[int, str]:
    """An .npy file of all pictures that can be read; the others' reasons, by index."""
    skipped: dict[int, str] = {}
    _write_header(file, len(entries), size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd but legible
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for i, entry in enumerate(_with_progress_bar(entries, folder)):
            try:
                image = _square(folder / entry.name, size)
            except Exception as error:  # a damaged file may raise anything in Pillow's decoders
                reason = str(error).replace(f" {str(folder / entry.name)!r}", "")
                skipped[i] = " ".join(f"{type(error).__name__}: {reason}".split())
            else:
                file.write(image.tobytes())
    if skipped:
        file.seek(0)
        _write_header(file, len(entries) - len(skipped), size)
    file.flush()
    os.fsync(file.fileno())  # on the disk before it takes its name
    return skipped


def _write_header(file: BinaryIO, count: int, size: int) -> None:
    # NumPy pads the header so that its length does not depend on the first axis.
    about = {"descr": "|u1", "fortran_order": False, "shape": (count, 3, size, size)}
    np.lib.format.write_array_header_1_0(file, about)


def _with_progress_bar(entries: Sequence[Entry], folder: Path) -> Iterator[Entry]:
    if tqdm is None:
        yield from entries
        return
    yield from tqdm(entries, unit=" images", desc=folder.name, delay=0.5)
