"""A headless Chromium with no network, driven through its DevTools pipe: what a page becomes in a real browser."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def found() -> str | None:
    """Return the browser's path: $HARNESS_BROWSER, or the first Chromium or Chrome on the PATH."""
    return os.environ.get("HARNESS_BROWSER") or next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """A tab; `requests`, `problems` are the addresses asked for and the errors of console, scripts and policy."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._buffer, self._last = write, read, b"", 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.problems: list[str] = []
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])

    def open(self, path: Path, width: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self._loaded = False
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not self._loaded:
            self._next()
        self.evaluate("Promise.all([...document.images].map(i => i.decode().catch(() => 0))).then(() => 1)")

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])

    def _next(self, seconds: float = 600) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            data = os.read(self._read, 1 << 20) if ready else b""
            assert data, "the browser is silent"
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.problems.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown" or (
            method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning")
        ):
            self.problems.append(json.dumps(params))


@contextmanager
def page(folder: Path) -> Iterator[Page]:
    """Start a browser with its profile in `folder`, and end it; skip the test if there is none."""
    browser = found()
    if browser is None:
        pytest.skip("no Chromium or Chrome on the PATH, and HARNESS_BROWSER names none")
    there_read, here_write = os.pipe()
    here_read, there_write = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (there_read, there_write)]

    def as_three_and_four() -> None:  # the numbers that Chromium's pipe has
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    command = [
        browser,
        "--headless",
        "--remote-debugging-pipe",
        "--no-first-run",
        "--disable-gpu",
        "--hide-scrollbars",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND",  # no name leads anywhere: no network
        f"--user-data-dir={folder}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # root has no sandbox, and CI is root
    ]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command, preexec_fn=as_three_and_four, pass_fds=(3, 4), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        for end in (there_read, there_write, *high):
            os.close(end)
        try:
            yield Page(here_write, here_read)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(here_write)
            os.close(here_read)
