"""Chromium without a window, driven over the WebDriver protocol (https://www.w3.org/TR/webdriver2/).

It resolves no name: a page that asks for anything but this machine's 127.0.0.1 gets no answer.
"""

import atexit
import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
# A mouse, as at a desk: without one, charts show their tools all the time.
MOUSE = "availableHoverTypes=2,primaryHoverType=2,availablePointerTypes=4,primaryPointerType=4"
OFFLINE = ["--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--no-first-run", "--disable-extensions"]
MISSING = "no Chromium with its driver here: Debian's packages chromium and chromium-driver bring both"
ARROW_LEFT, ARROW_RIGHT = "\ue012", "\ue014"  # https://www.w3.org/TR/webdriver2/#keyboard-actions
APPEARS_WITHIN = 60.0  # seconds; far more than a page needs on a machine that is not busy
ANSWERS_WITHIN = 120.0


class Browser:
    """One window of Chromium."""

    def __init__(self, address: str) -> None:
        self._session = address

    def open(self, address: str) -> None:
        """Goes to a page. What its scripts fetch may come later: see `wait_for`."""
        self._ask("POST", "url", {"url": address})

    def script(self, body: str, *arguments: Any) -> Any:
        """What the body of a function gives back; its arguments are in `arguments`."""
        return self._ask("POST", "execute/sync", {"script": body, "args": list(arguments)})

    def enter(self, selector: str) -> None:
        """Goes into the frame of this selector, until the next `open`; it may be closed to the page's own scripts."""
        self._ask("POST", "frame", {"id": self.wait_for(f"document.querySelector({selector!r})")})

    def wait_for(self, expression: str, *arguments: Any) -> Any:
        """The value of a JavaScript expression, as soon as it is true.

        Raises:
            AssertionError: when it does not become true in time, with what the page says.
        """
        until = time.monotonic() + APPEARS_WITHIN
        while time.monotonic() < until:
            if found := self.script(f"return {expression}", *arguments):
                return found
            time.sleep(0.3)
        said = self.script("return location.href + '\\n' + document.body.innerText")
        raise AssertionError(f"not on the page: {expression} {arguments or ''}\n{said}")

    def resize(self, width: int, height: int) -> None:
        """Sets the size of the page, in pixels; no window of Chromium's own is narrower than 500."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._ask("POST", "goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})

    def save_downloads(self, folder: Path) -> None:
        """Lets the page save files in a folder."""
        params = {"behavior": "allow", "downloadPath": str(folder)}
        self._ask("POST", "goog/cdp/execute", {"cmd": "Browser.setDownloadBehavior", "params": params})

    def press(self, key: str) -> None:
        """Presses a key, on what has the focus: WebDriver's character for it, or a letter."""
        strokes = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._ask("POST", "actions", {"actions": [{"type": "key", "id": "keys", "actions": strokes}]})

    def picture(self) -> bytes:
        """What the window shows, as a PNG file."""
        return base64.b64decode(self._ask("GET", "screenshot"))

    def close(self) -> None:
        """Ends Chromium."""
        self._ask("DELETE", "")

    def _ask(self, method: str, command: str, content: Any = None) -> Any:
        return _ask(method, f"{self._session}/{command}".rstrip("/"), content)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Chromium and its driver, which end with the context; the folder is for the profile."""
    assert CHROMIUM
    assert DRIVER, MISSING
    arguments = [*FLAGS, *OFFLINE, f"--blink-settings={MOUSE}", f"--user-data-dir={folder / 'profile'}"]
    options = {"binary": CHROMIUM, "args": arguments}
    wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
    with subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True, start_new_session=True) as driver:
        # The driver's group is Chromium's too, and has to go even where nothing unwinds this context.
        end = partial(_kill_group, driver.pid)
        atexit.register(end)
        try:
            address = f"http://127.0.0.1:{_port(driver)}/session"
            session = Browser(f"{address}/{_ask('POST', address, wanted)['sessionId']}")
            session.resize(1280, 900)
            yield session
            session.close()
        finally:
            end()
            atexit.unregister(end)


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _port(driver: "subprocess.Popen[str]") -> int:
    assert driver.stdout
    for line in driver.stdout:
        if "started successfully on port" in line:
            return int(line.strip(" .\n").rpartition(" ")[2])
    raise AssertionError("chromedriver does not start")


def _ask(method: str, address: str, content: Any = None) -> Any:
    body = None if content is None else json.dumps(content).encode()
    request = Request(address, body, {"Content-Type": "application/json"}, method=method)
    try:
        # A proxy of the machine's has no part in this.
        with build_opener(ProxyHandler({})).open(request, timeout=ANSWERS_WITHIN) as answer:
            return json.load(answer)["value"]
    except HTTPError as error:
        with error:
            said = json.load(error)["value"]
        raise AssertionError(f"{said['error']}: {said['message']}") from None
