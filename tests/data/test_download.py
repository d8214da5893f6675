"""The download, against a small server here: a good file takes its name, or nothing does.

The rule "https only" is part of `open_https`, so the tests hand `download_files` an opener of their
own that speaks http to 127.0.0.1 and follows redirections by the same rule.
"""

import hashlib
import io
import socket
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from minigrad.data import download
from minigrad.data.download import (
    HttpsRedirects,
    RemoteFile,
    cache_folder,
    download_files,
    open_https,
)
from minigrad.errors import DatasetError

BODY = bytes(range(256)) * 1000
FILE = RemoteFile("digits.gz", len(BODY), hashlib.sha256(BODY).hexdigest())


def open_http(url):
    return urllib.request.build_opener(HttpsRedirects()).open(url, timeout=5)


class Handler(BaseHTTPRequestHandler):
    """Serves BODY, with the fault that the first part of the path names."""

    def do_GET(self):
        fault = self.path.split("/")[1]
        if fault == "absent":
            self.send_error(404)
            return
        if fault == "moved":
            self.send_response(302)
            self.send_header("Location", f"http://{self.headers['Host']}/good/digits.gz")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = {
            "altered": b"!" + BODY[1:],
            "short": BODY[:-7],
            "long": 3 * BODY,
            "page": b"<html>Please log in</html>",
        }.get(fault, BODY)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:100_000] if fault == "broken" else body)

    def log_message(self, *args):
        """Keeps the requests out of the test report."""


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(folder, *mirrors, open_url=open_http):
    with pytest.raises(DatasetError) as caught:
        download_files(folder, [FILE], mirrors, open_url=open_url)
    return str(caught.value)


def test_good_file(server, tmp_path):
    folder = tmp_path / "new" / "folder"
    download_files(folder, [FILE], [server + "good/"], open_url=open_http)
    assert contents(folder) == {"digits.gz": BODY}


def test_without_tqdm(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "tqdm", None)
    download_files(tmp_path, [FILE], [server + "good/"], open_url=open_http)
    assert contents(tmp_path) == {"digits.gz": BODY}


def test_next_mirror_is_tried(server, tmp_path):
    mirrors = [server + fault for fault in ("absent/", "broken/", "altered/", "good/")]
    download_files(tmp_path, [FILE], mirrors, open_url=open_http)
    assert contents(tmp_path) == {"digits.gz": BODY}  # and digits.gz.bad is gone


@pytest.mark.parametrize(
    "fault, reason",
    [
        ("absent", "HTTP Error 404"),
        ("broken", f"wrong length: got 100000 bytes; expected {len(BODY)}."),
        ("short", f"wrong length: got {len(BODY) - 7} bytes; expected {len(BODY)}."),
        ("page", f"wrong length: got 26 bytes; expected {len(BODY)}."),
        # 256,000 bytes were promised: the fourth piece of 65,536 is the last that is read.
        ("long", f"wrong length: got at least {4 * 65_536} bytes; expected {len(BODY)}."),
        ("moved", "expected an https:// address"),
    ],
)
def test_failure_leaves_no_litter_and_the_old_file(server, tmp_path, fault, reason):
    (tmp_path / "digits.gz").write_bytes(b"an older good file")
    message = refusal(tmp_path, f"{server}{fault}/")
    assert message.startswith("download: digits.gz: got no good copy:")
    assert f"{server}{fault}/digits.gz: " in message and reason in message
    assert f"expected {len(BODY)} bytes with SHA-256 {FILE.sha256}." in message
    assert f"place these in {tmp_path} by hand: digits.gz" in message
    assert contents(tmp_path) == {"digits.gz": b"an older good file"}


def test_wrong_checksum_is_quarantined(server, tmp_path):
    (tmp_path / "digits.gz").write_bytes(b"an older good file")
    altered = b"!" + BODY[1:]
    message = refusal(tmp_path, server + "altered/")
    got = hashlib.sha256(altered).hexdigest()
    assert f"wrong SHA-256: got {got}; expected {FILE.sha256}." in message
    assert f"kept as {tmp_path / 'digits.gz.bad'}" in message
    assert contents(tmp_path) == {"digits.gz": b"an older good file", "digits.gz.bad": altered}


def test_nobody_listens(tmp_path):
    with socket.socket() as reserved:  # bound but not listening: connections are refused
        reserved.bind(("127.0.0.1", 0))
        mirror = f"http://127.0.0.1:{reserved.getsockname()[1]}/"
        with pytest.raises(DatasetError) as caught:
            download_files(tmp_path, [FILE], [mirror], open_url=open_http)
    assert "Connection refused" in str(caught.value) and mirror in str(caught.value)
    assert isinstance(caught.value.__cause__.__cause__, urllib.error.URLError)
    assert contents(tmp_path) == {}


def test_message_names_every_file_that_is_still_to_come(server, tmp_path):
    absent = [FILE._replace(name=name) for name in ("images.gz", "labels.gz")]

    def only_digits(url):
        return open_http(url if "digits" in url else url.replace("good", "absent"))

    with pytest.raises(DatasetError, match="by hand: images.gz, labels.gz$"):
        download_files(tmp_path, [FILE, *absent], [server + "good/"], open_url=only_digits)
    assert contents(tmp_path) == {"digits.gz": BODY}  # finished before, and kept


class InterruptedResponse(io.BytesIO):
    """A response that gives one piece, then Ctrl-C."""

    def read(self, size):
        if self.tell():
            raise KeyboardInterrupt
        return super().read(size)


def test_interrupt_leaves_no_litter_and_the_old_file(tmp_path):
    (tmp_path / "digits.gz").write_bytes(b"an older good file")
    with pytest.raises(KeyboardInterrupt):
        download_files(tmp_path, [FILE], ["any/"], open_url=lambda url: InterruptedResponse(BODY))
    assert contents(tmp_path) == {"digits.gz": b"an older good file"}


def test_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    message = refusal(tmp_path / "file", server + "good/")
    assert message.startswith("download: cannot write: got ")
    assert f"expected a writable folder {tmp_path / 'file'}. Set MINIGRAD_DATA" in message


@pytest.mark.parametrize("url", ["http://127.0.0.1/a", "file:///etc/hostname", "ftp://127.0.0.1/a"])
def test_only_https(url):
    with pytest.raises(DatasetError, match=f"protocol: got {url}; expected an https:// address"):
        open_https(url)


@pytest.mark.parametrize(
    "platform, variables, folder",
    [
        ("linux", {"MINIGRAD_DATA": "/data"}, "/data"),
        ("linux", {"XDG_CACHE_HOME": "/cache"}, "/cache/minigrad"),
        ("linux", {}, "/home/ada/.cache/minigrad"),
        ("darwin", {}, "/home/ada/Library/Caches/minigrad"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/minigrad"),
        ("win32", {}, "/home/ada/AppData/Local/minigrad"),
    ],
)
def test_cache_folder(monkeypatch, platform, variables, folder):
    for name in ("MINIGRAD_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(download.sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    assert cache_folder() == Path(folder)
