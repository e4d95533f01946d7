"""A headless Chromium, asked over a pipe by its own protocol: no driver, no package.

What a test evaluates runs in the page as if the page did it.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium")
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


class Page:
    """One page of a browser of its own; use it as a context manager.

    `requests` has the address of each request and WebSocket that the page began.
    """

    def __init__(self, address: str, *flags: str, width: int = 1100, height: int = 900) -> None:
        assert BROWSER is not None
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self._in = os.pipe()
        self._out, theirs_out = os.pipe()
        words = [
            *(BROWSER, "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", *flags),
            *(f"--user-data-dir={self._profile.name}", f"--window-size={width},{height}"),
        ]
        # The protocol is spoken on the descriptors 3 and 4.
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *words],
            pass_fds=(theirs_in, theirs_out),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._heard = b""
        self._number = 0
        self._session: str | None = None
        self.requests: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Network", "Page", "Runtime"):
            self._call(f"{domain}.enable")
        self._call("Page.navigate", url=address)
        self.wait("location.href !== 'about:blank' && document.readyState === 'complete'")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {} if self._session is None else {"sessionId": self._session}
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == self._number:
                assert "error" not in heard, heard["error"]
                return heard["result"]
            if heard.get("method") == "Network.requestWillBeSent":
                self.requests.append(heard["params"]["request"]["url"])
            if heard.get("method") == "Network.webSocketCreated":
                self.requests.append(heard["params"]["url"])

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._heard:
            ready, _, _ = select.select([self._out], [], [], 60)
            data = os.read(self._out, 1 << 20) if ready else b""
            assert data, "the browser is gone"
            self._heard += data
        message, self._heard = self._heard.split(b"\0", 1)
        return json.loads(message)

    def run(self, script: str) -> Any:
        """Return what an expression of JavaScript gives; a promise is awaited."""
        done = self._call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, script: str, seconds: float = 30.0) -> Any:
        """Return what an expression gives, once it is true."""
        until = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < until, f"not in {seconds} s: {script}"
            select.select([], [], [], 0.05)
        return value

    def picture(self, path: Path, width: int, height: int) -> None:
        """Write what the page looks like, as the ending of the path says."""
        kind = {".jpg": "jpeg"}.get(path.suffix, path.suffix[1:])
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self._call("Page.captureScreenshot", format=kind, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()
