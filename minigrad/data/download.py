"""Downloads that arrive whole and unchanged, or not at all.

A file is received under a temporary name beside its place; its length and its SHA-256 are compared
with the published ones; only then does it take its name, in one step (`os.replace`). So whatever
happens (no network, a server that stops half-way, Ctrl-C), the name holds a good file or none.
"""

import hashlib
import http.client
import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from minigrad.errors import DatasetError

try:  # the progress bar is optional: it comes with the extra `demos`
    from tqdm import tqdm
except ImportError:
    tqdm = None

CHUNK_BYTES = 1 << 16
TIMEOUT_SECONDS = 30


class RemoteFile(NamedTuple):
    """A published file: its name, its length in bytes, and its SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


def cache_folder() -> Path:
    """Where downloaded data lives: `MINIGRAD_DATA`, else `minigrad` in the user's cache folder."""
    if chosen := os.environ.get("MINIGRAD_DATA"):
        return Path(chosen)
    home = Path.home()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base) / "minigrad"


class HttpsRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirection to https only: no server may lead a download back to plain http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        try:
            _require_https(newurl)
        except DatasetError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_https(url: str) -> IO[bytes]:
    """The response to a GET request, over https only."""
    _require_https(url)
    opener = urllib.request.build_opener(HttpsRedirects())
    return opener.open(url, timeout=TIMEOUT_SECONDS)


def _require_https(url: str) -> None:
    if not url.lower().startswith("https://"):
        raise DatasetError(f"protocol: got {url}; expected an https:// address.")


def download_files(
    folder: Path,
    files: Sequence[RemoteFile],
    mirrors: Sequence[str],
    *,
    open_url: Callable[[str], IO[bytes]] = open_https,
) -> None:
    """Place `files` in `folder`, each from the first of the `mirrors` that has a good copy.

    A mirror is an address that ends in "/". Each file replaces an older one of its name only when
    it is complete and verified; bytes of the right length but another SHA-256 are kept as
    `NAME.bad`, to look at, until a good copy has come.

    Raises:
        DatasetError: no mirror gave a good copy of a file (with each mirror's reason, and the files
            to place by hand), or the folder cannot be written.
    """
    for index, file in enumerate(files):
        failures = []
        for mirror in mirrors:
            try:
                _download_one(mirror + file.name, folder, file, open_url)
                break
            except DatasetError as failure:
                failures.append(failure)
            except OSError as error:
                raise DatasetError(
                    f"download: cannot write: got {error}; expected a writable folder {folder}. "
                    "Set MINIGRAD_DATA to a folder with space that you may write to."
                ) from error
        else:
            reasons = "".join(f"\n  {failure}" for failure in failures)
            names = ", ".join(missing.name for missing in files[index:])
            raise DatasetError(
                f"download: {file.name}: got no good copy:{reasons}\n"
                f"expected {file.size} bytes with SHA-256 {file.sha256}. Check the network and run "
                f"again (finished files are kept), or place these in {folder} by hand: {names}"
            ) from failures[-1]


def _download_one(
    url: str, folder: Path, file: RemoteFile, open_url: Callable[[str], IO[bytes]]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    quarantine = folder / f"{file.name}.bad"
    # The random part keeps two processes that want the same file out of each other's way.
    partial = folder / f"{file.name}.{secrets.token_hex(4)}.part"
    try:
        received, sha256 = _receive(_chunks(url, open_url), partial, file)
        if received != file.size:
            got = f"at least {received}" if received > file.size else received
            raise DatasetError(f"{url}: wrong length: got {got} bytes; expected {file.size}.")
        if sha256 != file.sha256:
            os.replace(partial, quarantine)
            raise DatasetError(
                f"{url}: wrong SHA-256: got {sha256}; expected {file.sha256}. "
                f"What came is kept as {quarantine}."
            )
        os.replace(partial, folder / file.name)
        quarantine.unlink(missing_ok=True)
    finally:  # on Ctrl-C too
        partial.unlink(missing_ok=True)


def _receive(chunks: Iterator[bytes], path: Path, file: RemoteFile) -> tuple[int, str]:
    """Write the chunks to `path`; the number of bytes and their SHA-256."""
    received, digest = 0, hashlib.sha256()
    with open(path, "wb") as target:
        for chunk in _with_progress_bar(chunks, file):
            target.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            if received > file.size:
                break  # no server may fill the disk
        target.flush()
        os.fsync(target.fileno())  # on the disk before it takes its name
    return received, digest.hexdigest()


def _with_progress_bar(chunks: Iterator[bytes], file: RemoteFile) -> Iterator[bytes]:
    if tqdm is None:
        yield from chunks
        return
    # The delay keeps a mirror that does not answer from leaving an empty bar behind.
    with tqdm(total=file.size, unit="B", unit_scale=True, desc=file.name, delay=0.1) as bar:
        for chunk in chunks:
            bar.update(len(chunk))
            yield chunk


def _chunks(url: str, open_url: Callable[[str], IO[bytes]]) -> Iterator[bytes]:
    """The body of the response, piece by piece; whatever the network does is a DatasetError."""
    try:
        with open_url(url) as response:
            while chunk := response.read(CHUNK_BYTES):
                yield chunk
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise DatasetError(f"{url}: {str(error) or type(error).__name__}") from error
