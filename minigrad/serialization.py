"""Checkpoints: nested dicts and lists of tensors, numbers and strings in one .npz file.

The file is an ordinary NumPy archive, one array per tensor, named by its place ("model/0.weight"),
and one entry "structure" that says in JSON how they nest. Nothing is pickled, so nothing in a file
is ever executed; the archive's checksums detect damage.
"""

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backend import CPU, to_device
from minigrad.errors import CheckpointError
from minigrad.tensor import Tensor


def save(obj: Any, path: str | os.PathLike) -> None:
    """Write `obj` to `path`, whole or not at all: a file that was there stays until the new is.

    `obj` consists of dicts, lists, tuples, tensors, NumPy arrays, numbers, strings and None.
    Raises CheckpointError on anything else, OSError if the file cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    structure = json.dumps(_describe(obj, "", arrays))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, structure=np.frombuffer(structure.encode(), np.uint8), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike, map_location: Any = None) -> Any:
    """What `save` wrote to `path`, its tensors on the device `map_location` (the CPU).

    Raises FileNotFoundError if there is no such file, CheckpointError if it is not a checkpoint,
    was cut short or damaged, or holds pickled objects, which are never read.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        structure = json.loads(arrays["structure"].tobytes())
        return _rebuild(structure, arrays, map_location or CPU)
    except FileNotFoundError:
        raise FileNotFoundError(f"load: there is no checkpoint at {path}") from None
    except (
        ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, MemoryError,
        zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError,
    ) as error:  # fmt: skip
        size = path.stat().st_size if path.is_file() else 0
        raise CheckpointError(
            f"load: {path} ({size:,} bytes) is no checkpoint, or was damaged or cut short: {error}"
        ) from error


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
