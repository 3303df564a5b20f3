"""The WebDAV application as a process of an account, and a client that sends one request a connection."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.processes import Processes

_SCRIPT = Path(__file__).with_name("dav_server.py")
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
) -> Dav:
    """Start a server as an account; "" is whoever runs the tests.

    :param largest: RLIMIT_FSIZE in bytes.
    """
    argv = [sys.executable, str(_SCRIPT), login, json.dumps(dict(roots or {"/": "/"})), f"{umask:o}"]
    if largest is not None:
        argv.append(str(largest))
    env = {**os.environ, "PYTHONPATH": str(_ROOT)}
    return Dav(processes.start(argv, stdout=subprocess.PIPE, text=True, env=env, cwd=cwd))
