"""Messages between the portal's processes that are almost right: whoever reads them answers or ends, as it must, and
keeps nothing of them. Each test prints its seed; ``FUZZ_SEED=`` repeats it.
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from supercloud.errors import PortalError
from supercloud.monitor.__main__ import Front
from supercloud.monitor.breach import Breach
from supercloud.monitor.client import Monitor
from supercloud.monitor.kinds import Kinds
from supercloud.monitor.loop import Loop
from supercloud.monitor.table import Table
from supercloud.monitor.wire import (
    AccountRead,
    Answer,
    CheckPassword,
    FindForward,
    ForwardRead,
    Holder,
    HoldersRead,
    PasswordChecked,
    ReadAccount,
    ReadForward,
    ReadHolders,
    StartWorker,
    StopWorker,
    WorkerEnded,
    WorkerRefused,
    WorkerStarted,
)
from supercloud.packets import close_all
from supercloud.target import Reservation
from supercloud.upstream.http11 import Connection
from supercloud.workers.wire import Born, Ended, Ready, Refused
from tests.fakes.holders import Site as Holders
from tests.fakes.mutations import Mutations, encoded
from tests.fakes.transport import FakeTransport

ROUNDS = 3000
REQUESTS = (
    CheckPassword(1, "alice", "192.0.2.7"),
    ReadAccount(2, 1001),
    StartWorker(3, 1001, "alice"),
    StopWorker(4, 1),
    ReadHolders(5, 4711, 1001),
    ReadForward(6, "alice-tb", 1001),
    FindForward(7, "alice-tb"),
)
ANSWERS = (
    PasswordChecked(1, "good"),
    AccountRead(2, "locked"),
    WorkerStarted(3, 1, "/run/1001-1.sock", 4711),
    WorkerRefused(3, "good", "no room"),
    WorkerEnded(3, 1, "signal 9"),
    HoldersRead(5, (Holder(1, 1001, 1001, (5,)),), is_complete=True),
    ForwardRead(6, "read", Reservation(1, 2, 3, 1001, 1001, 0o700), b"http://node1:8080/"),
)
REPORTS = (Born(os.getpid()), Ready(4711), Refused("locked", "no"), Ended("exit 0"))
RESPONSES = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\n\r\ngone",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi",
)


def leaves_nothing_open(test: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **named: Any) -> None:
        before = len(os.listdir("/proc/self/fd"))
        test(*args, **named)
        assert len(os.listdir("/proc/self/fd")) == before

    return run


class Answers:
    """Answers at once, for children."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self._answer = answer

    def ask(self, asked: Any, done: Callable[[Any], object], descriptors: Sequence[int] = ()) -> None:
        close_all(descriptors)
        done(self._answer(asked))

    find = ask


class Workers:
    def __init__(self, answer: Callable[[Answer], object]) -> None:
        self._answer = answer

    def start(self, request: StartWorker) -> None:
        self._answer(WorkerRefused(request.id, "good", "none here"))

    def stop(self, number: int) -> None:
        if number != 1:
            raise Breach("stop-worker for a worker that never was")


class MonitorPlayed:
    """A monitor whose children answer at once, and the front's end of its socket."""

    def __init__(self) -> None:
        self.ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setblocking(False)
        self.loop = Loop()
        front = Front(self._theirs, self.loop)
        kinds = Kinds(
            Answers(lambda asked: PasswordChecked(asked.id, "bad")),  # type: ignore[arg-type]
            Answers(lambda asked: AccountRead(asked.id, "good")),  # type: ignore[arg-type]
            Answers(lambda asked: HoldersRead(asked.id, (), is_complete=True)),  # type: ignore[arg-type]
            Answers(lambda asked: ForwardRead(asked.id, "absent", None, None)),  # type: ignore[arg-type]
        )
        front.start(Table(kinds, Workers(front.answer), front.answer).serve)

    def close(self) -> None:
        self.loop.close()
        self.ours.close()
        self._theirs.close()


@leaves_nothing_open
def test_a_front_that_sends_anything_is_answered_by_the_table_or_ends_the_monitor() -> None:
    mutate = Mutations(*encoded(REQUESTS))
    monitor, ends, answers = MonitorPlayed(), 0, 0
    with open(os.devnull) as shown:
        for _ in range(ROUNDS):
            descriptors = [shown.fileno()] * mutate.random.choice((0, 0, 0, 1, 2, 5))
            with suppress(OSError):  # longer than the kernel takes
                socket.send_fds(monitor.ours, [mutate()], descriptors)
            try:
                monitor.loop.turn(0)
            except Breach:
                ends += 1
                monitor.close()
                monitor = MonitorPlayed()
                continue
            with suppress(BlockingIOError):
                msgspec.msgpack.decode(monitor.ours.recv(65536), type=Answer)
                answers += 1
    monitor.close()
    assert ends > ROUNDS / 10
    assert answers > ROUNDS / 100


class Reactor(Clock):
    """Reads when the test says so."""

    def addReader(self, reader: Any) -> None: ...
    def removeReader(self, reader: Any) -> None: ...
    def addWriter(self, writer: Any) -> None: ...
    def removeWriter(self, writer: Any) -> None: ...


@leaves_nothing_open
def test_a_monitor_that_answers_anything_is_heard_or_lost_and_never_taken_for_a_yes() -> None:
    mutate = Mutations(*encoded(ANSWERS))
    lost_ones = 0
    for _ in range(ROUNDS // 10):
        reactor = Reactor()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lost: list[str] = []
        monitor = Monitor(reactor, ours, lambda *_: None, lost.append)
        got: list[Any] = []
        for asking in (
            monitor.check_password("alice", b"right", ""),
            monitor.read_account(1001),
            monitor.start_worker(1001, "alice"),
            monitor.read_holders(4711, 1001),
            monitor.read_forward(1001, "alice-tb"),
        ):
            Deferred.fromCoroutine(asking).addBoth(got.append)
        with theirs:
            for _ in range(10):
                with suppress(OSError):
                    theirs.send(mutate())
                monitor._link.doRead()
            reactor.advance(100)
        lost_ones += len(lost)
        monitor._link.doRead()
        monitor.close()
        assert len(got) == 5
        assert reactor.getDelayedCalls() == []
    assert lost_ones > ROUNDS / 100


@leaves_nothing_open
def test_a_session_holder_that_reports_anything_ends_its_own_worker_only(tmp_path: Path) -> None:
    mutate = Mutations(*encoded(REPORTS))
    site = Holders(tmp_path, most=50)
    try:
        for _ in range(ROUNDS // 10):
            holder = site.start()
            with open(os.devnull) as shown:
                for _ in range(3):
                    descriptors = [shown.fileno()] * mutate.random.choice((0, 0, 1, 2))
                    with suppress(OSError):
                        socket.send_fds(holder.status.socket, [mutate()[:60_000]], descriptors)
            site.turn()
            site.turn()
            site.turn()
            holder.close()
            site.turn()
            site.answers.clear()
        assert site.sockets == []
    finally:
        site.close()


class Sink:
    """Hears all of a response, for whoever relays it."""

    def __init__(self) -> None:
        self.ends = 0

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None

    def response_ended(self, *_: Any) -> None:
        self.ends += 1

    def upstream_lost(self, error: Exception) -> None:
        assert isinstance(error, PortalError)
        self.ends += 1


@leaves_nothing_open
def test_a_worker_that_answers_anything_ends_its_own_exchange_only() -> None:
    mutate = Mutations(*RESPONSES)
    for _ in range(ROUNDS):
        connection, sink, clock = Connection(), Sink(), Clock()
        connection.released = connection.closed = lambda _: None
        transport = FakeTransport(clock, connection)
        connection.makeConnection(transport)
        connection.begin(sink, mutate.random.choice((b"GET", b"HEAD", b"POST")), b"head")
        connection.finish()
        data = mutate()
        for at in range(0, len(data), size := mutate.random.choice((1, 7, 100_000))):
            if not connection.is_open:
                break
            connection.dataReceived(data[at : at + size])
        connection.close()
        assert sink.ends <= 1
