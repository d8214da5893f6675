"""A page in headless Chromium, driven as a reader would: by mouse and keys.

Through a pair of pipes, in the browser's own protocol (DevTools): each message is JSON and a 0.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
# The browser listens at 3 and answers at 4, which our ends may not be numbered.
BEGIN = """
import os, sys
read, write = (os.dup(int(end)) for end in sys.argv[1:3])
os.dup2(read, 3), os.dup2(write, 4)
os.set_inheritable(3, True), os.set_inheritable(4, True)  # if they were 3 and 4 already
os.execv(sys.argv[3], sys.argv[3:])
"""
KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Enter": 13, "Tab": 9}


class Page:
    """A file opened in a browser of its own; to be used in a `with` statement."""

    def __init__(self, file: Path, width: int = 900, height: int = 900, dark: bool = False) -> None:
        self.file, self.size, self.dark = file, (width, height), dark
        self.number, self.session, self.rest = 0, None, b""
        self.asked: list[str] = []  # addresses that the page wanted, its own apart

    def __enter__(self) -> "Page":
        self.home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self.write = os.pipe()
        self.read, theirs_out = os.pipe()
        command = [CHROMIUM, *QUIET, f"--user-data-dir={self.home.name}", "about:blank"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", BEGIN, str(theirs_in), str(theirs_out), *command],
            pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in), os.close(theirs_out)
        try:
            self.open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.read), os.close(self.write)
        self.home.cleanup()

    def open(self) -> None:
        """Show the file, and note what it asks the network for."""
        tab = self.send("Target.createTarget", url="about:blank")["targetId"]
        found = self.send("Target.attachToTarget", targetId=tab, flatten=True)
        self.session = found["sessionId"]
        width, height = self.size
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip
        theme = {"name": "prefers-color-scheme", "value": "dark" if self.dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[theme])
        self.send("Network.enable")
        self.send("Page.navigate", url=self.file.resolve().as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """What the browser answers to a command; AssertionError if it refuses."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while (answer := self.receive()).get("id") != self.number:
            if answer.get("method") == "Network.requestWillBeSent":
                url = answer["params"]["request"]["url"]
                if not url.startswith(("data:", self.file.resolve().as_uri())):
                    self.asked.append(url)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def receive(self, patience: float = 60) -> dict[str, Any]:
        """The next message."""
        while b"\0" not in self.rest:
            assert select.select([self.read], [], [], patience)[0], "the browser does not answer"
            part = os.read(self.read, 1 << 20)
            assert part, "the browser went away"
            self.rest += part
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is worth in the page."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str, patience: float = 30) -> None:
        """Until it is true."""
        end = time.monotonic() + patience
        while not self.value(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """A key down and up, to whatever has the focus."""
        how = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **how, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **how)

    def click(self, selector: str) -> None:
        """The left button, in the middle of an element, scrolled to where it is seen."""
        self.value(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        x, y = self.value(
            f"(b => [b.x + b.width / 2, b.y + b.height / 2])"
            f"(document.querySelector({selector!r}).getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """What is seen, or the whole page, as a PNG."""
        found = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))
