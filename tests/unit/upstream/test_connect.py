"""Connecting to applications: sockets that a test plays, and the machine's own where the kernel's word counts."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import ITCPTransport, IWriteDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from supercloud.errors import NothingListens, Unreachable
from supercloud.message.head import ResponseHead
from supercloud.upstream import connect
from supercloud.upstream.connect import TcpDialer, Transport, _Handshake
from supercloud.upstream.http11 import Connection


class Reactor(Clock):
    """A clock that stands still, and descriptors that are served when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def addWriter(self, writer: Any) -> None:
        self.writers.add(writer)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def removeWriter(self, writer: Any) -> None:
        self.writers.discard(writer)


class FakeSocket:
    """Connects as it is told to.

    :param codes: what ``connect`` gives, one after the other.
    :ivar error: SO_ERROR.
    """

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.error = 0
        self.opened: tuple[int, int] | None = None
        self.asked: list[tuple[str, int]] = []
        self.options: list[tuple[int, int, int]] = []
        self.is_closed = False

    def __call__(self, family: int, kind: int) -> FakeSocket:
        self.opened = family, kind
        return self

    def connect_ex(self, to: tuple[str, int]) -> int:
        self.asked.append(to)
        return self.codes.pop(0)

    def getsockopt(self, level: int, option: int) -> int:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR)
        return self.error

    def setsockopt(self, *option: int) -> None:
        self.options.append(option)

    def send(self, data: bytes) -> int:
        return len(data)

    def setblocking(self, is_blocking: bool) -> None:
        assert not is_blocking

    def fileno(self) -> int:
        return -1 if self.is_closed else 7

    def close(self) -> None:
        self.is_closed = True


class Dialling:
    """One call of `dial` under way."""

    def __init__(self, *codes: int, address: str = "10.0.0.1") -> None:
        self.reactor = Reactor()
        self.socket = FakeSocket(*codes)
        self.outcome: list[object] = []
        dialer = TcpDialer(self.reactor, timeout=2.5, open_socket=self.socket)  # type: ignore[arg-type]
        self.waiting = Deferred.fromCoroutine(dialer.dial(address, 8080))
        self.waiting.addErrback(lambda failure: failure.value)
        self.waiting.addCallback(self.outcome.append)

    @property
    def handshake(self) -> Any:
        [waiting] = self.reactor.writers
        return waiting

    @property
    def is_over(self) -> bool:
        return not self.reactor.writers and not self.reactor.getDelayedCalls()


SLOW = errno.EINPROGRESS, errno.EALREADY


@pytest.mark.parametrize(("address", "family"), [("10.0.0.1", socket.AF_INET), ("fd77::1", socket.AF_INET6)])
def test_the_address_and_the_port_are_those_that_were_given(address: str, family: int) -> None:
    dialling = Dialling(0, address=address)
    assert dialling.socket.asked == [(address, 8080)]
    assert dialling.socket.opened is not None
    assert dialling.socket.opened[0] == family
    assert dialling.socket.opened[1] & socket.SOCK_NONBLOCK and dialling.socket.opened[1] & socket.SOCK_CLOEXEC


@pytest.mark.parametrize("codes", [(0,), (errno.EINPROGRESS, 0), (errno.EINPROGRESS, errno.EISCONN)])
def test_a_handshake_that_is_over_at_once_waits_for_nothing(codes: tuple[int, ...]) -> None:
    dialling = Dialling(*codes)
    [connection] = dialling.outcome
    assert isinstance(connection, Connection)
    assert connection.is_open
    assert {one.protocol for one in dialling.reactor.readers} == {connection}
    assert dialling.is_over


def test_a_connection_is_told_once_it_stands() -> None:
    dialling = Dialling(*SLOW)
    assert dialling.outcome == []
    dialling.handshake.doWrite()
    [connection] = dialling.outcome
    assert isinstance(connection, Connection)
    assert dialling.is_over


class Deaf:
    """A sink that hears of heads and does nothing."""

    def response_started(self, head: ResponseHead) -> None:
        pass

    def response_pause(self) -> None:
        pass


def test_a_tunnel_is_kept_alive_and_nothing_else_is() -> None:
    dialling = Dialling(0)
    [connection] = dialling.outcome
    assert isinstance(connection, Connection)
    connection.begin(Deaf(), b"GET", b"GET / HTTP/1.1\r\n\r\n")  # type: ignore[arg-type]
    connection.dataReceived(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    assert dialling.socket.options == []
    connection.dataReceived(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
    assert dialling.socket.options == [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)]


def test_writes_behind_the_first_do_not_wait_for_each_other() -> None:
    dialling = Dialling(0)
    [connection] = dialling.outcome
    assert isinstance(connection, Connection)
    connection.begin(None, b"POST", b"POST / HTTP/1.1\r\n\r\n")  # type: ignore[arg-type]
    assert dialling.socket.options == []
    connection.write(b"body")
    connection.write(b"body")
    assert dialling.socket.options == [(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)]


REFUSALS = pytest.mark.parametrize(
    ("code", "refusal", "said"),
    [
        (errno.ECONNREFUSED, NothingListens, "10.0.0.1 port 8080 refused"),
        (errno.ETIMEDOUT, Unreachable, "10.0.0.1 port 8080: "),
        (errno.EHOSTUNREACH, Unreachable, "10.0.0.1 port 8080: "),
        (errno.ENETUNREACH, Unreachable, "10.0.0.1 port 8080: "),
        (errno.EACCES, Unreachable, "10.0.0.1 port 8080: "),
    ],
)


@REFUSALS
@pytest.mark.parametrize("is_at_once", [True, False])
def test_a_failed_connection_is_a_refusal_of_the_portal(
    code: int, refusal: type[Exception], said: str, is_at_once: bool
) -> None:
    dialling = Dialling(code) if is_at_once else Dialling(errno.EINPROGRESS, code)
    [refused] = dialling.outcome
    assert type(refused) is refusal
    assert str(refused).startswith(said)
    assert dialling.socket.is_closed


@REFUSALS
def test_a_handshake_that_fails_is_a_refusal_too(code: int, refusal: type[Exception], said: str) -> None:
    dialling = Dialling(*SLOW)
    dialling.socket.error = code
    dialling.handshake.connectionLost(Failure(CONNECTION_LOST))
    [refused] = dialling.outcome
    assert type(refused) is refusal
    assert str(refused).startswith(said)
    assert dialling.socket.is_closed and dialling.is_over


def test_a_handshake_that_takes_too_long_is_given_up() -> None:
    dialling = Dialling(*SLOW)
    dialling.reactor.advance(2.4)
    assert dialling.outcome == []
    dialling.reactor.advance(0.1)
    [refused] = dialling.outcome
    assert type(refused) is Unreachable
    assert str(refused) == "10.0.0.1 port 8080: not connected within 2.5 s"
    assert dialling.socket.is_closed and dialling.is_over


def test_a_cancelled_connection_is_given_up_at_once() -> None:
    dialling = Dialling(*SLOW)
    dialling.waiting.cancel()
    [cancelled] = dialling.outcome
    assert isinstance(cancelled, CancelledError)
    assert dialling.socket.is_closed and dialling.is_over


def test_a_host_without_descriptors_to_spare_is_no_application_that_refuses() -> None:
    def none_left(family: int, kind: int) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    outcome: list[object] = []
    dialer = TcpDialer(Reactor(), timeout=2.5, open_socket=none_left)
    Deferred.fromCoroutine(dialer.dial("10.0.0.1", 8080)).addErrback(lambda failure: outcome.append(failure.value))
    assert [type(one) for one in outcome] == [Unreachable]


def test_a_handshake_is_what_the_reactor_writes_to() -> None:
    handshake = _Handshake(Reactor(), FakeSocket(), 1.0)  # type: ignore[arg-type]
    assert verifyObject(IWriteDescriptor, handshake)
    assert (handshake.fileno(), handshake.logPrefix()) == (7, "upstream")
    handshake.doWrite()


class Pair:
    """A connection over the machine's own loopback, and the application's end of it."""

    def __init__(self, host: str) -> None:
        self.reactor = Reactor()
        self.listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        dialled: list[Connection] = []
        dialer = TcpDialer(self.reactor, timeout=2.5)
        Deferred.fromCoroutine(dialer.dial(host, self.listener.getsockname()[1])).addCallback(dialled.append)
        for waiting in list(self.reactor.writers):
            select.select([], [waiting], [], 3)
            waiting.doWrite()
        [self.connection] = dialled
        self.transport: Any = self.connection.transport
        self.application, _ = self.listener.accept()
        self.application.settimeout(3)
        self.reason: Any = None

    def says(self, data: bytes) -> Any:
        """The application says something; what reading it gives the reactor."""
        self.application.sendall(data)
        select.select([self.transport], [], [], 3)
        return self.transport.doRead()

    def on_data(self, *calls: Any) -> None:
        """Do this with whatever is read."""
        self.connection.dataReceived = lambda data: [call() for call in calls]  # type: ignore[method-assign, assignment]

    def close(self) -> None:
        if hasattr(self.transport, "socket"):
            self.transport.connectionLost(Failure(CONNECTION_DONE))
        self.application.close()
        self.listener.close()


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    made = Pair(request.param)
    yield made
    made.close()


def test_both_ends_of_a_connection_are_told_as_the_node_sees_them(pair: Pair) -> None:
    assert verifyObject(ITCPTransport, pair.transport)
    here, there = pair.transport.getHost(), pair.transport.getPeer()
    assert (here.host, here.port) == pair.application.getpeername()[:2]
    assert (there.host, there.port) == pair.listener.getsockname()[:2]


def test_a_closed_port_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(NothingListens):
        TcpDialer(Reactor(), timeout=2.5).dial("127.0.0.1", port).send(None)


def test_what_is_closed_by_what_was_read_is_closed_in_that_turn(pair: Pair) -> None:
    pair.on_data(pair.connection.close)
    assert pair.says(b"x") is None
    assert not pair.connection.is_open
    assert (pair.application.recv(1), pair.reactor.writers, pair.reactor.readers) == (b"", set(), set())


def test_what_was_written_leaves_before_the_connection_closes(pair: Pair) -> None:
    pair.on_data(lambda: pair.transport.write(b"last words"), pair.connection.close)
    assert pair.says(b"x") is None
    assert pair.reactor.readers == set()
    assert pair.transport.doWrite() is CONNECTION_DONE
    assert pair.application.recv(100) == b"last words"


def test_what_is_written_after_closing_leaves_too(pair: Pair) -> None:
    pair.on_data(pair.connection.close, lambda: pair.transport.write(b"last words"))
    assert pair.says(b"x") is None
    assert pair.reactor.readers == set()
    assert pair.transport.doWrite() is CONNECTION_DONE
    assert pair.application.recv(100) == b"last words"


@pytest.mark.parametrize("is_reading", [False, True])
def test_an_application_that_never_reads_does_not_keep_a_closed_connection(pair: Pair, *, is_reading: bool) -> None:
    pair.transport.write(bytes(20_000_000))
    pair.transport.doWrite()
    if is_reading:
        pair.on_data(pair.connection.close)
        pair.says(b"x")
    else:
        pair.connection.close()
    pair.reactor.advance(connect._TAKES_WITHIN - 1)
    pair.transport.doWrite()
    assert pair.connection.is_open
    pair.reactor.pump([1, 0])

    assert not pair.connection.is_open
    assert (pair.reactor.writers, pair.reactor.readers) == (set(), set())


def test_a_connection_whose_last_words_were_taken_leaves_no_timer(pair: Pair) -> None:
    pair.on_data(pair.connection.close, lambda: pair.transport.write(b"last words"))
    pair.says(b"x")
    pair.transport.connectionLost(Failure(pair.transport.doWrite()))
    assert pair.reactor.getDelayedCalls() == []


def test_an_abort_in_that_turn_is_an_abort(pair: Pair) -> None:
    pair.on_data(pair.transport.loseConnection, pair.transport.abortConnection)
    assert pair.says(b"x") is None
    pair.reactor.advance(0)
    assert not pair.connection.is_open
    with pytest.raises(ConnectionResetError):
        pair.application.recv(1)


def test_outside_of_reading_a_connection_closes_as_twisteds_do(pair: Pair) -> None:
    pair.connection.close()
    assert pair.reactor.writers == {pair.transport}
    assert pair.transport.doWrite() is CONNECTION_DONE


def test_closed_by_its_browser_and_read_in_one_turn_it_leaves_no_descriptor_with_the_reactor(pair: Pair) -> None:
    """The number of a descriptor that is left there is the next connection's, which then cannot be served."""
    pair.on_data()
    pair.connection.close()
    assert pair.says(b"x") is None
    assert not pair.connection.is_open
    assert (pair.reactor.writers, pair.reactor.readers) == (set(), set())


def test_reading_tells_the_reactor_what_it_met(pair: Pair) -> None:
    assert pair.transport.doRead() is None
    heard: list[bytes] = []
    pair.connection.dataReceived = heard.append  # type: ignore[method-assign]
    assert pair.says(b"hello") is None
    assert heard == [b"hello"]
    pair.application.shutdown(socket.SHUT_WR)
    select.select([pair.transport], [], [], 3)
    assert pair.transport.doRead() is CONNECTION_DONE


def test_a_reset_connection_is_lost(pair: Pair) -> None:
    pair.application.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    pair.application.close()
    select.select([pair.transport], [], [], 3)
    assert pair.transport.doRead() is CONNECTION_LOST


def test_an_application_that_finishes_sending_is_heard_of(pair: Pair) -> None:
    told: list[bool] = []
    pair.connection.readConnectionLost = lambda: told.append(True)  # type: ignore[method-assign]
    pair.transport.readConnectionLost(Failure(CONNECTION_DONE))
    assert told == [True]


@pytest.mark.parametrize(
    "name", ["dataBuffer", "_tempDataBuffer", "_aborting", "_writeDisconnected", "_shouldShutdown"]
)
def test_twisted_still_has_what_the_transport_relies_on(name: str) -> None:
    assert hasattr(Transport(FakeSocket(), Connection(), Reactor()), name)  # type: ignore[arg-type]
