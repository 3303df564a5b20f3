"""The WebDAV application and the portal's own socket as processes, and a client with one request a connection."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.processes import Processes

_SCRIPT = Path(__file__).with_name("dav_server.py")
_DESK = Path(__file__).with_name("desk_server.py")
_ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; field names in lower case."""

    status: int
    fields: Mapping[str, str]
    body: bytes


class Dav:
    """A server on loopback."""

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self.process = process
        said = process.stdout.readline()
        if not said:
            raise ChildProcessError(f"the server ended with {process.wait()}")
        self.port = int(said)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dav"

    def ask(self, method: str, path: str, body: bytes | None = None, **fields: str) -> Answer:
        """One request; ``path`` is quoted and begins below /dav; fields as ``if_match``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            named = {name.replace("_", "-"): value for name, value in fields.items()}
            connection.request(method, f"/dav{path}", body, named)
            answer = connection.getresponse()
            return Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def put(self, path: str | Path, body: bytes = b"content", **fields: str) -> int:
        """The status of a PUT."""
        return self.ask("PUT", str(path), body, **fields).status

    def to(self, method: str, path: str | Path, target: str | Path, **fields: str) -> Answer:
        """COPY or MOVE."""
        return self.ask(method, str(path), destination=f"{self.url}{target}", **fields)


def serve(
    processes: Processes,
    login: str = "",
    roots: Mapping[str, str] | None = None,
    *,
    umask: int = 0o022,
    largest: int | None = None,
    cwd: Path | None = None,
    desk: Path | None = None,
) -> Dav:
    """Start a server as an account; "" is whoever runs the tests.

    :param desk: the portal's own socket; without it there are no locks.
    :param largest: RLIMIT_FSIZE in bytes.
    """
    told = [login, json.dumps(dict(roots or {"/": "/"})), str(desk or ""), f"{umask:o}"]
    argv = [sys.executable, str(_SCRIPT), *told]
    if largest is not None:
        argv.append(str(largest))
    return Dav(processes.start(argv, stdout=subprocess.PIPE, text=True, env=_environ(), cwd=cwd))


class PortalDesk:
    """The portal's own socket, in a process that can be killed and started again.

    :ivar path: of the socket.
    """

    def __init__(self, processes: Processes, folder: Path, login: str) -> None:
        self._processes = processes
        self._argv = [sys.executable, str(_DESK), str(folder / "portal.sock"), str(folder / "state"), login]
        self.path = folder / "portal.sock"
        self.start()

    def start(self) -> None:
        self.process = self._processes.start(self._argv, stdout=subprocess.PIPE, text=True, env=_environ())
        if self.process.stdout.readline() != "ready\n":
            raise ChildProcessError(f"the desk ended with {self.process.wait()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def portal_desk(processes: Processes, login: str = "") -> Iterator[PortalDesk]:
    """Start the portal's own socket as an account; "" is whoever runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="supercloud-desk-", dir="/tmp"))
    folder.chmod(0o755)
    (folder / "state").mkdir(mode=0o700)
    if login:
        shutil.chown(folder / "state", login)
    try:
        desk = PortalDesk(processes, folder, login)
        yield desk
        desk.kill()
    finally:
        shutil.rmtree(folder)


def _environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(_ROOT)}
