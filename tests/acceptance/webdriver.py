"""WebDriver's wire protocol (W3C), as geckodriver and WebKitWebDriver speak it: a session is a browser of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.processes import free_port, wait_until_listening

# What an element is called in JSON (section 12.1 of the recommendation).
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_SECONDS = 130  # that a command may take: loading a page on a busy machine is the longest


class WebDriverError(Exception):
    """A command failed.

    :ivar error: what kind it is, in the recommendation's words.
    """

    def __init__(self, error: str, message: str) -> None:
        super().__init__(f"{error}: {message.splitlines()[0] if message else ''}")
        self.error = error


class Session:
    """A driver and the browser that it started, with a profile of its own.

    :param argv: starts the driver, but for ``--port``.
    :param capabilities: what must be so.
    :param log: what both print goes there.
    """

    def __init__(self, argv: list[str], env: Mapping[str, str], capabilities: Mapping[str, Any], log: Path) -> None:
        self._port = free_port()
        with log.open("wb") as output:
            self._driver = subprocess.Popen(
                [*argv, f"--port={self._port}"], env=env, stdout=output, stderr=subprocess.STDOUT, cwd="/"
            )
        self._path = ""
        try:
            wait_until_listening("127.0.0.1", self._port, process=self._driver, within=30)
            made = self("POST", "/session", {"capabilities": {"alwaysMatch": dict(capabilities)}})
        except BaseException:
            self._end()
            raise
        self._path = f"/session/{made['sessionId']}"

    def __call__(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Give a command; its value comes back.

        :param path: below the session's.
        :raises WebDriverError: it says no.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_SECONDS)
        try:
            text = json.dumps(body or {}) if method == "POST" else None
            connection.request(method, self._path + path, text, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            value = json.loads(answer.read())["value"]
        finally:
            connection.close()
        if answer.status != 200:
            raise WebDriverError(value["error"], value.get("message", ""))
        return value

    def close(self) -> None:
        """End the browser and its driver."""
        with contextlib.suppress(WebDriverError, OSError, http.client.HTTPException):
            self("DELETE", "")
        self._end()

    def _end(self) -> None:
        self._driver.terminate()
        try:
            self._driver.wait(10)
        except subprocess.TimeoutExpired:
            self._driver.kill()
            self._driver.wait()


def until(find: Any, what: str, within: float) -> Any:
    """What ``find`` gives, once it is true; errors of the browser (a page is just going) count as false.

    :raises TimeoutError: it is not in time.
    """
    end = time.monotonic() + within
    last: Exception | None = None
    while True:
        try:
            if found := find():
                return found
        except WebDriverError as error:
            last = error
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not after {within} s ({last})")
        time.sleep(0.05)
