"""Connections to workers, which are their users' processes and may send what nobody asked for."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from supercloud import closer
from supercloud.errors import NoWorker
from supercloud.upstream.http11 import Connection
from supercloud.upstream.unix import UnixDialer
from tests.fakes.reactor import TurnedReactor


class Worker:
    """Listens; a socket of its own waits for ten seconds when it is closed."""

    def __init__(self, path: Path) -> None:
        self.reactor = TurnedReactor()
        self.dialer = UnixDialer(self.reactor, timeout=5)
        self.path = path
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._open: list[socket.socket] = [self._listening]
        self._dialled: list[Deferred[Connection]] = []

    def dial(self, uid: int) -> Deferred[Connection]:
        made = Deferred.fromCoroutine(self.dialer.dial(str(self.path), uid))
        self.reactor.advance(0)
        self.reactor.turn()
        self._dialled.append(made)
        return made

    def accept(self) -> socket.socket:
        made, _ = self._listening.accept()
        self._open.append(made)
        return made

    def send_slow(self, over: socket.socket) -> bool:
        """Whether the kernel let it send one."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            slow = socket.create_connection(listening.getsockname())
            self._open.append(listening.accept()[0])
        slow.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                slow.send(bytes(65536))
        try:
            socket.send_fds(over, [b"HTTP/1.1 200 OK\r\n"], [slow.fileno()])
        except PermissionError:
            slow.close()
            return False
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 10))
        os.close(slow.detach())
        return True

    def close(self) -> None:
        for made in self._dialled:
            made.addCallback(lambda connection: connection.abort())
        self.reactor.advance(0)
        for one in self._open:
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path / "worker.sock")
    yield made
    made.close()


@pytest.fixture(params=["refuses", "passes"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One that refuses descriptors where none are wanted (Linux 6.16), and one before."""
    if request.param == "passes":
        monkeypatch.setattr(closer, "_PASS_RIGHTS", 0x7FFF)
    return str(request.param)


def test_who_listens_must_be_the_account(worker: Worker) -> None:
    assert isinstance(worker.dial(os.getuid()).result, Connection)
    other = worker.dial(os.getuid() + 1)
    assert other.result.type is NoWorker  # type: ignore[attr-defined]
    other.addErrback(lambda _: None)


def test_a_descriptor_that_is_slow_to_close_holds_up_nobody_when_it_is_read(kernel: str, worker: Worker) -> None:
    connection = worker.dial(os.getuid()).result
    assert worker.send_slow(worker.accept()) is (kernel == "passes")
    began = time.monotonic()
    worker.reactor.turn()
    worker.reactor.advance(0)
    assert time.monotonic() - began < 5
    assert connection.is_open is (kernel == "refuses")


def test_nor_when_the_connection_is_closed_before(kernel: str, worker: Worker) -> None:
    connection = worker.dial(os.getuid()).result
    worker.send_slow(worker.accept())
    began = time.monotonic()
    connection.abort()
    worker.reactor.advance(0)
    assert time.monotonic() - began < 5
    assert not connection.is_open
