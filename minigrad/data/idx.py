"""IDX, the file format of MNIST: a magic number, the sizes, then the numbers.

    byte 0, 1    zero
    byte 2       the element type, one of `ELEMENT_TYPES`
    byte 3       the number of dimensions d
    4 d bytes    the sizes, each a big-endian unsigned 32-bit integer
    the rest     the elements, big-endian, last axis fastest (C order)

Nothing in a downloaded file is believed: a size is compared with the bytes that are really there
before anything is made of it.
"""

import gzip
import math
import zlib
from contextlib import nullcontext
from os import PathLike
from typing import IO

import numpy as np

from minigrad.errors import DatasetError

ELEMENT_TYPES = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
MAX_DIMENSIONS = 4
MAX_BYTES = 1 << 30  # 1 GiB: the largest set in the format, EMNIST, holds 0.64 GB
CHUNK_BYTES = 1 << 20


def read_idx(path: str | PathLike) -> np.ndarray:
    """The array in an IDX file, plain or gzipped: its first bytes tell, not its name.

    The array has the file's shape (1 to 4 axes) and element type, in native byte order.

    Raises:
        DatasetError: no such file; not an IDX file (a web page saved under its name, say);
            truncated or damaged gzip data; sizes that do not match the number of bytes, or that
            ask for more than `MAX_BYTES`.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "two-labels")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 3]))
    ...     read_idx(path)
    array([7, 3], dtype=uint8)
    """
    try:
        with open(path, "rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.open(file) if gzipped else nullcontext(file) as stream:
                return _parse(stream, path)
    except DatasetError:
        raise
    except EOFError as error:
        raise _error(path, "truncated", str(error), "complete gzip data") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _error(path, "damaged", str(error), "gzip data with matching checksums") from error
    except OSError as error:
        raise DatasetError(
            f"read_idx: cannot read the file: got {error}; expected a readable IDX file. "
            "Check the path."
        ) from error


def _parse(stream: IO[bytes], path: str | PathLike) -> np.ndarray:
    shape, dtype = _header(stream, path)
    expected = math.prod(shape) * dtype.itemsize
    # An empty set may not hide an absurd size behind its zero, hence max(n, 1).
    if math.prod(max(n, 1) for n in shape) * dtype.itemsize > MAX_BYTES:
        limit = f"at most {MAX_BYTES} bytes"
        raise _error(path, "sizes too large", f"{dtype.name} {shape}, {expected} bytes", limit)

    # Memory grows with the data that arrives, never with what the header promises.
    payload, received = bytearray(), 0
    while received <= MAX_BYTES and (chunk := stream.read(CHUNK_BYTES)):
        received += len(chunk)
        if received <= expected:
            payload += chunk
    if received != expected:
        what = "truncated" if received < expected else "too long"
        rule = f"{expected} bytes for {dtype.name} {shape}"
        raise _error(path, what, f"{received} bytes after the header", rule)
    array = np.frombuffer(payload, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _header(stream: IO[bytes], path: str | PathLike) -> tuple[tuple[int, ...], np.dtype]:
    magic = stream.read(4)
    if not magic:
        raise _error(path, "empty", "0 bytes", "an IDX file")
    if magic.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":  # past a byte-order mark, and blanks
        start = (magic + stream.read(16)).decode("ascii", "replace")
        raise _error(path, "a web page, not data", repr(start), "an IDX file")
    if len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in ELEMENT_TYPES:
        dtype, dimensions = ELEMENT_TYPES[magic[2]], magic[3]
    else:
        codes = " ".join(f"{code:02x}" for code in ELEMENT_TYPES)
        rule = f"00 00, a type code out of {codes}, the number of dimensions"
        raise _error(path, "not an IDX file", f"first bytes [{magic.hex(' ')}]", rule)
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise _error(path, "dimensions", dimensions, f"1 to {MAX_DIMENSIONS}")
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        rule = f"{4 * dimensions} bytes for {dimensions} sizes"
        raise _error(path, "truncated in the header", f"{len(sizes)} bytes", rule)
    return tuple(np.frombuffer(sizes, ">u4").tolist()), dtype


def _error(path: str | PathLike, what: str, got: object, expected: str) -> DatasetError:
    return DatasetError(
        f"read_idx: {path}: {what}: got {got}; expected {expected}. "
        "Delete the file and download it again."
    )
