"""Writes that leave at once, on Twisted's own TCP transport with a socket of the test's."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock

from supercloud.relay.leg import send


class Socket:
    """Takes as many bytes as it has room for."""

    def __init__(self, room: int | Exception) -> None:
        self.room = room
        self.taken = b""

    def send(self, data: Any) -> int:
        if isinstance(self.room, Exception):
            raise self.room
        took = bytes(data[: self.room])
        self.taken += took
        return len(took)

    def setblocking(self, flag: bool) -> None:
        """Never blocks."""

    def fileno(self) -> int:
        return 99


def transport(room: int | Exception) -> tuple[Connection, Socket, MemoryReactorClock]:
    reactor, socket = MemoryReactorClock(), Socket(room)
    made = Connection(socket, Protocol(), reactor)
    made.connected = True
    return made, socket, reactor


def test_what_fits_leaves_at_once_and_asks_the_reactor_for_nothing() -> None:
    tcp, socket, reactor = transport(100)
    send(tcp, b"hello")
    assert socket.taken == b"hello"
    assert not reactor.getWriters()


def test_what_does_not_fit_leaves_later_and_in_order() -> None:
    tcp, socket, reactor = transport(3)
    send(tcp, b"hello")
    send(tcp, b" world")
    assert socket.taken == b"hel"
    assert list(reactor.getWriters()) == [tcp]
    socket.room = 100
    tcp.doWrite()
    assert socket.taken == b"hello world"


@pytest.mark.parametrize("error", [BlockingIOError(), ConnectionResetError()])
def test_an_error_is_left_to_the_reactors_next_turn(error: Exception) -> None:
    tcp, _, reactor = transport(error)
    send(tcp, b"hello")
    assert list(reactor.getWriters()) == [tcp]


def test_a_view_of_memory_that_changes_is_copied_before_it_waits() -> None:
    tcp, socket, _ = transport(2)
    memory = bytearray(b"hello")
    send(tcp, memoryview(memory))
    memory[:] = b"XXXXX"
    socket.room = 100
    tcp.doWrite()
    assert socket.taken == b"hello"


def test_nothing_is_sent_after_the_connection_was_asked_to_close() -> None:
    tcp, socket, _ = transport(100)
    tcp.disconnecting = True
    send(tcp, b"late")
    assert socket.taken == b""


def test_any_other_transport_is_written_to() -> None:
    class Other:
        def __init__(self) -> None:
            self.written: list[bytes] = []

        def write(self, data: bytes) -> None:
            self.written.append(data)

    other = Other()
    send(other, b"hello")
    assert other.written == [b"hello"]


def test_nothing_passes_tls_by() -> None:
    """Once TLS has begun on a transport, its own write encrypts; the socket takes what it gets."""
    tcp, socket, _ = transport(100)
    written: list[bytes] = []
    tcp.TLS = True
    tcp.protocol = type("Tls", (), {"write": staticmethod(written.append)})()
    send(tcp, b"hello")
    assert (socket.taken, written) == (b"", [b"hello"])
