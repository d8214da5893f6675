"""Checkpoints: nested dicts and lists of tensors, numbers and strings in one .npz file.

The file is an ordinary NumPy archive, one array per tensor, named by its place ("model/0.weight"),
and one entry "structure" that says in JSON how they nest. Nothing is pickled, so nothing in a file
is ever executed; the archive's checksums detect damage.
"""

import contextlib
import glob
import io
import json
import math
import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from minigrad.backend import CPU, device_named, to_device
from minigrad.errors import CheckpointError, DeviceError
from minigrad.tensor import Tensor

ABANDONED = 3600.0  # seconds after which an unfinished file belongs to nobody


def save(obj: Any, path: str | os.PathLike) -> None:
    """Write `obj` to `path`, whole or not at all: a file that was there stays until the new is.

    `obj` consists of dicts, lists, tuples, tensors, NumPy arrays, numbers, strings and None.
    Raises CheckpointError on anything else, OSError if the file cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    structure = json.dumps(_describe(obj, "", arrays))
    path = Path(path)
    try:
        with _beside(path) as temporary:
            with open(temporary, "wb") as file:
                np.savez(file, structure=np.frombuffer(structure.encode(), np.uint8), **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        kept = "the file that was there is unchanged" if path.is_file() else "nothing was written"
        raise OSError(
            error.errno, f"save: cannot write {path}: {error.strerror or error}; {kept}"
        ) from error


def check_writable(path: str | os.PathLike) -> None:
    """Raise OSError now, not after hours of training, if nothing can be saved to `path`."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"save: {path} is a folder; expected the name of a file")
    with _beside(path) as temporary:
        temporary.touch()


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; that file is gone afterwards, as are abandoned ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for other in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - other.stat().st_mtime > ABANDONED:
                other.unlink()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have the new name on the disk, where folders can be opened, before going on."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def load(path: str | os.PathLike, map_location: Any = None) -> Any:
    """What `save` wrote to `path`, its tensors on the device `map_location` (the CPU).

    Raises OSError if the file cannot be read, CheckpointError if it is not a checkpoint, was cut
    short or damaged, or holds pickled objects, which are never read. No more memory is taken than
    the file has bytes, whatever it says of itself.
    """
    device = device_named(map_location or CPU)
    if not Path(path).exists():
        raise FileNotFoundError(f"load: there is no checkpoint at {path}")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            arrays = _entries(file, size)
            return _rebuild(json.loads(arrays["structure"].tobytes()), arrays, device)
        except DeviceError:
            raise
        except Exception as error:  # what damage makes the parsers raise is theirs to choose
            reason = f"it has no entry {error}" if isinstance(error, KeyError) else error
            raise CheckpointError(
                f"load: {path} ({size:,} bytes) is no checkpoint, or was damaged or cut short: "
                f"{reason}"
            ) from error


def _entries(file: IO[bytes], size: int) -> dict[str, np.ndarray]:
    """The arrays of an uncompressed .npz archive, each checked against the bytes that it has."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise CheckpointError("got compressed entries; expected them as save writes them")
        total = sum(entry.file_size for entry in entries)
        if total > size:
            raise CheckpointError(
                f"got entries of {total:,} bytes in all; expected at most {size:,}"
            )
        return {
            entry.filename.removesuffix(".npy"): _array(entry.filename, archive.read(entry))
            for entry in entries
        }


def _array(name: str, data: bytes) -> np.ndarray:
    """The array in the bytes of a .npy file; its header promises as many as there are."""
    stream = io.BytesIO(data)
    version = npy.read_magic(stream)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_column, dtype = read_header(stream)
    if dtype.kind not in "biuf":
        raise CheckpointError(f"{name}: got elements of type {dtype}; expected numbers")
    promised, there = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if promised != there:
        raise CheckpointError(f"{name}: got {there:,} bytes; expected {promised:,} for {shape}")
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if by_column else "C").copy()


def _describe(obj: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    """`obj` as JSON; its arrays go into `arrays`, named by their place."""
    if obj is None or isinstance(obj, (bool, int, float, str)):
        return obj.item() if isinstance(obj, np.generic) else obj
    if isinstance(obj, dict):
        return {"dict": [[k, _describe(v, f"{place}/{k}", arrays)] for k, v in obj.items()]}
    if isinstance(obj, (list, tuple)):
        kind = "tuple" if isinstance(obj, tuple) else "list"
        return {kind: [_describe(v, f"{place}/{i}", arrays) for i, v in enumerate(obj)]}
    array = obj.array if isinstance(obj, Tensor) else obj
    array = np.asarray(to_device(array, CPU)) if hasattr(array, "dtype") else array
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise CheckpointError(
            f"save: {place or 'the object'}: got {type(obj).__name__}; expected tensors, arrays of "
            "numbers, dicts, lists, numbers, strings or None"
        )
    name = place.lstrip("/") or "value"
    while name in arrays or name in ("structure", "file"):
        name += "_"
    arrays[name] = array
    return {"tensor" if isinstance(obj, Tensor) else "array": name}


def _rebuild(described: Any, arrays: dict[str, np.ndarray], device: Any) -> Any:
    if not isinstance(described, dict):
        return described
    ((kind, content),) = described.items()
    if kind == "dict":
        return {key: _rebuild(value, arrays, device) for key, value in content}
    if kind in ("list", "tuple"):
        values = [_rebuild(value, arrays, device) for value in content]
        return tuple(values) if kind == "tuple" else values
    if kind == "array":
        return arrays[content]
    return Tensor(to_device(arrays[content], device))
