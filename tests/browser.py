"""A real browser under a test's hand: headless Chromium through its debugging pipe, without a driver or a socket.

Messages of the Chrome DevTools Protocol go over two file descriptors (`--remote-debugging-pipe`), each ended by a zero
byte. Nothing is asked of the network: the browser knows no host but this machine.
"""

from __future__ import annotations

import base64
import json
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WHY = "needs chromium (apt-get install chromium): only a browser shows that a page and its scripts work"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)
PATIENCE = 60.0
"""Seconds for one answer; a busy machine starts a browser slowly."""


class Browser:
    """One Chromium with one page."""

    def __init__(self, folder: Path) -> None:
        """Starts it with a fresh profile in `folder`."""
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        for end in (to_browser, from_browser):
            os.set_inheritable(end, True)

        def wire() -> None:  # the browser reads from descriptor 3 and writes to 4
            first, second = os.dup(to_browser), os.dup(from_browser)
            os.dup2(first, 3)
            os.dup2(second, 4)

        self._process = subprocess.Popen(
            [str(BROWSER), *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            preexec_fn=wire,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._read, selectors.EVENT_READ)
        self._buffer, self._number = b"", 0
        self.events: list[dict[str, Any]] = []
        targets = self.send("Target.getTargets")["targetInfos"]
        page = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session: str | None = None
        self._session = self.send("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    _session: str | None = None

    def close(self) -> None:
        """Ends the browser."""
        self._process.kill()
        self._process.wait()
        self._selector.close()
        os.close(self._read)
        os.close(self._write)

    def send(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol and its result; events that come before it are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError("the browser does not answer")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise ConnectionError("the browser has gone")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, address: str, width: int = 1280, height: int = 900) -> None:
        """Loads a page in a window of that size, with all its scripts."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.events.clear()
        self.send("Page.navigate", url=address)
        self.wait("location.href !== 'about:blank' && document.readyState === 'complete'")

    def await_event(self, name: str) -> None:
        """Waits for an event of the protocol, in pages whose scripts cannot be asked."""
        deadline = time.monotonic() + PATIENCE
        while all(event.get("method") != name for event in self.events):
            self.events.append(self._next(deadline))

    def run(self, script: str) -> Any:
        """The value of an expression in the page; promises are awaited. A fault in the page is a fault of the test."""
        done = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, condition: str, patience: float = 20.0) -> Any:
        """Waits until an expression is true in the page, and returns its value."""
        deadline = time.monotonic() + patience
        asked = f"(() => {{ const value = ({condition}); return value instanceof Node ? true : value; }})()"
        while not (value := self.run(asked)):
            assert time.monotonic() < deadline, f"never true: {condition}"
            time.sleep(0.03)
        return value

    def click(self, selector: str) -> None:
        """A real click in the middle of the first element of that kind."""
        self.mouse("mousePressed", *self.middle(selector))
        self.mouse("mouseReleased", *self.middle(selector))

    def middle(self, selector: str) -> tuple[float, float]:
        """The middle of an element, scrolled into view, in pixels of the window."""
        place = self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            " one.scrollIntoView({block: 'center', behavior: 'instant'}); const box = one.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        return place[0], place[1]

    def mouse(self, kind: str, x: float, y: float) -> None:
        """A mouse event: mouseMoved, mousePressed, mouseReleased."""
        button = "none" if kind == "mouseMoved" else "left"
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    def key(self, name: str) -> None:
        """A key is pressed and released."""
        text = {"text": name} if len(name) == 1 else {"text": "\r"} if name == "Enter" else {}
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, "End": 35, "Home": 36}
        code = {"windowsVirtualKeyCode": codes[name]} if name in codes else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=name, code=name, **text, **code)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=name, code=name, **code)

    def media(self, *, dark: bool = False, kind: str = "screen") -> None:
        """What the page is told of its reader: a dark or a light system, a screen or paper."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", media=kind, features=features)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """The page as PNG, all of it or what the window shows."""
        given: dict[str, Any] = {"format": "png"}
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 16000), "scale": 1}
            given |= {"captureBeyondViewport": True, "clip": clip}
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", **given)["data"]))

    def pdf(self, path: Path) -> None:
        """The page on A4 paper."""
        done = self.send("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69)
        path.write_bytes(base64.b64decode(done["data"]))

    def faults(self) -> list[str]:
        """What the page complained about since it was opened: exceptions, console errors and warnings."""
        self.run("1")
        found: list[str] = []
        for event in self.events:
            method, given = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(json.dumps(given["exceptionDetails"])[:500])
            elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
                found.append(json.dumps(given["args"])[:500])
            elif method == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
                found.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")
        return found

    def requests(self) -> list[str]:
        """The addresses that the page has asked for since it was opened."""
        self.run("1")
        sent = (event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [one["request"]["url"] for one in sent]


def violations(browser: Browser) -> list[tuple[str, str, list[str]]]:
    """What axe-core calls serious or critical in the page: rule, effect, the elements."""
    browser.run(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8") + ";0")
    found: Any = browser.run("axe.run(document, {resultTypes: ['violations']}).then((done) => done.violations)")
    return [
        (one["id"], one["impact"], [node["html"][:200] for node in one["nodes"]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser for the time of the block."""
    browser = Browser(folder)
    try:
        yield browser
    finally:
        browser.close()
