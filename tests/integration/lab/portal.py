"""Portals as real processes, and what talks to them: curl with a cookie jar, a client certificate, an account."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lab.processes import Processes, enter, wait_until_listening

ROOT = Path(__file__).parents[3]
TWISTD = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "supercloud-portal"]
_LINK = re.compile(r"^Open (https://\S+/login\?link=\S+)$")

T = TypeVar("T")


def until(find: Callable[[], T], what: str, *, within: float = 10) -> T:
    """What ``find`` gives, once it is true.

    :raises TimeoutError: when it is not in time.
    """
    end = time.monotonic() + within
    while not (found := find()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not after {within} s")
        time.sleep(0.01)
    return found


class Twistd:
    """A portal or a node's responder under twistd; what it prints is kept.

    :ivar printed: lines of standard output and error, in order.
    """

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self.process = process
        self.printed: list[str] = []
        self._is_told = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.printed.append(line.rstrip("\n"))

    def wait_for(self, text: str, *, within: float = 15) -> str:
        """The first line that holds ``text``."""

        def find() -> str | None:
            found = next((line for line in self.printed if text in line), None)
            if found is None and self.process.poll() is not None:
                self._reader.join(1)
                raise ChildProcessError("\n".join(["it ended:", *self.printed]))
            return found

        return until(find, f"{text!r} in {self.printed[-5:]}", within=within)

    def links(self) -> list[str]:
        """The sign-in links printed so far."""
        return [found[1] for line in list(self.printed) if (found := _LINK.match(line))]

    def link(self, number: int = 1) -> str:
        """The nth link, once it is printed."""

        def find() -> list[str]:
            if self.process.poll() is not None:
                self._reader.join(1)
                raise ChildProcessError("\n".join([f"it ended with {self.process.returncode}:", *self.printed]))
            return self.links()[number - 1 : number]

        try:
            return until(find, f"link {number}", within=20)[0]
        except TimeoutError as error:
            raise TimeoutError("\n".join([str(error), *self.printed[-20:]])) from None

    def tell_to_stop(self) -> None:
        """Send it the signal of a service manager, once."""
        if not self._is_told:
            self._is_told = True
            self.process.terminate()

    def stop(self, *, within: float = 15) -> None:
        """End it as a service manager does.

        :raises ChildProcessError: when it does not shut down in order, or its log tells of a mistake of its own.
        """
        self.tell_to_stop()
        status = self.process.wait(within)
        self._reader.join(within)
        # twistd ends by the signal that stopped it, once everything is closed.
        in_order = status in (0, -signal.SIGTERM) and any("Server Shut Down" in line for line in self.printed)
        if not in_order or any("#critical]" in line or "Traceback" in line for line in self.printed):
            raise ChildProcessError("\n".join([f"status {status}:", *self.printed[-60:]]))


def start_twistd(
    processes: Processes,
    options: Sequence[object],
    *,
    node: str | None = None,
    start: Callable[..., subprocess.Popen[Any]] | None = None,
) -> Twistd:
    """Start ``twistd -n supercloud-portal`` with options.

    :param start: how; default: as whoever runs the tests, on ``node``.
    """
    argv = [*TWISTD, *map(str, options)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    if start is not None:
        return Twistd(start(argv, node=node, **pipes))
    return Twistd(processes.start([*enter(node), *argv], cwd="/", **pipes))


def start_embedded(processes: Processes, port: int, state: Path, **how: Any) -> Twistd:
    """An embedded portal that has printed its link."""
    portal = start_twistd(processes, ["--port", port, "--state", state], **how)
    portal.link()
    return portal


def start_configured(processes: Processes, file: Path, listens: Sequence[tuple[str, int]], **how: Any) -> Twistd:
    """A portal with a settings file, once it listens."""
    portal = start_twistd(processes, ["--config", file], **how)
    for address, port in listens:
        try:
            wait_until_listening(address, port, process=portal.process, within=15)
        except ChildProcessError as error:
            raise ChildProcessError("\n".join([str(error), *portal.printed])) from None
    portal.wait_for("listens at")
    return portal


class Answer:
    """What curl got: the last response of those that it followed.

    :ivar code: of curl itself; 0 when the transfer went well.
    """

    def __init__(self, done: subprocess.CompletedProcess[bytes], heads: bytes) -> None:
        self.code = done.returncode
        self.body = done.stdout
        self.error = done.stderr.decode()
        blocks = [block for block in heads.replace(b"\r\n", b"\n").split(b"\n\n") if block]
        self.statuses = [int(block.split()[1]) for block in blocks]
        self.status = self.statuses[-1] if blocks else 0
        lines = blocks[-1].split(b"\n")[1:] if blocks else []
        self.fields = [tuple(part.strip().decode() for part in line.split(b":", 1)) for line in lines if b":" in line]

    def field(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key.lower() == name.lower()), None)

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<{self.code} {self.statuses} {self.body[:300]!r} {self.error}>"


class Curl:
    """One person's curl: a cookie jar, an authority that it trusts.

    :param certificate: and key of the person, PEM files.
    :param before: how to run it, as ``["setpriv", …]``.
    :param resolve: names that stand for other addresses: ``*.portal.test`` does not resolve.
    """

    def __init__(
        self,
        folder: Path,
        ca: Path,
        *,
        certificate: tuple[Path, Path] | None = None,
        before: Sequence[str] = (),
        resolve: Sequence[str] = (),
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.jar = folder / "cookies"
        self._heads = folder / "heads"
        self._argv = [*before, "curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "30"]
        self._argv += ["--cacert", str(ca), "--cookie", str(self.jar), "--cookie-jar", str(self.jar)]
        if certificate is not None:
            self._argv += ["--cert", str(certificate[0]), "--key", str(certificate[1])]
        for name in resolve:
            self._argv += ["--resolve", name]

    def __call__(self, url: str, *options: str, follow: bool = True, data: bytes | None = None) -> Answer:
        self._heads.unlink(missing_ok=True)
        argv = [*self._argv, "--dump-header", str(self._heads), *(["--location"] if follow else []), *options, url]
        if data is not None:
            argv[-1:-1] = ["--data-binary", "@-"]
        done = subprocess.run(argv, capture_output=True, input=data)
        return Answer(done, self._heads.read_bytes() if self._heads.exists() else b"")

    def start(self, url: str, *options: str) -> subprocess.Popen[bytes]:
        """Begin a transfer; the body comes on standard output as it arrives."""
        argv = [*self._argv, "--no-buffer", "--location", *options, url]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def cookie_header(self, host: str) -> str:
        """The cookies for a host, for clients that have no jar."""
        found = []
        for line in self.jar.read_text().splitlines():
            words = line.removeprefix("#HttpOnly_").split("\t")
            if len(words) == 7 and words[0] == host:
                found.append(f"{words[5]}={words[6]}")
        return "; ".join(found)


def is_readable_by_all(path: Path) -> bool:
    """Whether every account can read a file: the checkout may lie under somebody's home."""
    path = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in path.parents) and bool(os.stat(path).st_mode & 0o004)
