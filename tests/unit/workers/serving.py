"""A worker's server in a thread of the test, on a unix socket in its own folder."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from supercloud.workers.server import Server

Start = Callable[..., Any]


class Conversation:
    """One connection to it, as bytes."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(path))
        self.received = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self) -> list[bytes]:
        """Lines of the next response's head."""
        lines = []
        while (line := self.received.readline()) not in (b"\r\n", b""):
            lines.append(line.rstrip())
        return lines

    def answer(self) -> tuple[int, bytes]:
        """Status and body of the next response that has a length."""
        lines = self.head()
        if not lines:
            return 0, b""
        length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length"))
        return int(lines[0].split()[1]), self.received.read(length)

    def rest(self) -> bytes:
        """All that comes until the other end closes."""
        try:
            return self.received.read()
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        self.received.close()
        self.socket.close()


@contextmanager
def serving(
    folder: Path, application: Callable[[dict[str, Any], Start], Iterable[bytes]], front_uid: int | None = None
) -> Iterator[Callable[[], Conversation]]:
    """Yields what connects to it."""
    path = folder / "worker.sock"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    uid = os.getuid() if front_uid is None else front_uid
    server = Server(listening, application, login="alice", front_uid=uid)
    server.expiration_interval = 0.01
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    made: list[Conversation] = []

    def connect() -> Conversation:
        made.append(Conversation(path))
        return made[-1]

    try:
        yield connect
    finally:
        for conversation in made:
            conversation.close()
        server.ready = False
        server._connections.stop()
        thread.join()
        server.finish(5)
        server._connections.close()
