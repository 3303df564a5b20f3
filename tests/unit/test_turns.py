"""The reactor's turn: what Twisted's own does with events and errors, ours does too."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.abstract import FileDescriptor
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.task import Clock
from twisted.internet.tcp import Port
from twisted.logger import LogEvent
from twisted.python.failure import Failure

from supercloud import attention
from supercloud.shares import BUDGET, Shares
from supercloud.turns import ACCEPTS, quicken, take_turns


class Reader(FileDescriptor):
    """Reads from a socket; ``doing`` is what it does then."""

    def __init__(self, reactor: Any, end: socket.socket, doing: Any) -> None:
        super().__init__(reactor)
        self.end, self.doing = end, doing
        self.lost: list[Failure] = []
        self.connected = True

    def fileno(self) -> int:
        return self.end.fileno()

    def doRead(self) -> Any:
        return self.doing(self.end.recv(100))

    def connectionLost(self, reason: Failure) -> None:
        self.lost.append(reason)
        self.reactor.removeReader(self)


@pytest.fixture
def reactor(ends: tuple[socket.socket, socket.socket]) -> Iterator[Any]:
    made = EPollReactor()
    quicken(made, Shares(Clock()))
    yield made
    for each in list(made._selectables.values()):
        made.removeReader(each)
    made._poller.close()
    for waker in made._internalReaders:
        waker.connectionLost(None)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_turns_are_ours_and_serve_what_is_ready(reactor: Any, ends: tuple[socket.socket, socket.socket]) -> None:
    assert "supercloud" in reactor.doIteration.__module__
    got: list[bytes] = []
    reactor.addReader(Reader(reactor, ends[0], got.append))
    ends[1].send(b"x")
    reactor.doIteration(1)
    assert got == [b"x"]


def test_what_came_while_the_front_stood_still_is_read_before_a_deadline_passes(
    reactor: Any, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped for an hour while an answer was to come within 10 s; the answer lies in the socket."""
    stopped = 0.0
    monotonic = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + stopped)
    monkeypatch.setattr(attention.Attention.__init__, "__defaults__", (time.monotonic,))
    quicken(reactor, Shares(Clock()))
    got: list[object] = []
    deadline = reactor.callLater(10, got.append, "too late")
    reactor.addReader(Reader(reactor, ends[0], got.append))
    reactor.doIteration(0)
    ends[1].send(b"x")
    stopped = 3600.0
    for _ in range(3):
        reactor.runUntilCurrent()
        reactor.doIteration(0)
    assert "supercloud" in reactor.runUntilCurrent.__module__
    assert got == [b"x"]
    deadline.cancel()


def test_a_reader_that_says_why_is_told_that_it_is_lost(
    reactor: Any, ends: tuple[socket.socket, socket.socket]
) -> None:
    reader = Reader(reactor, ends[0], lambda data: CONNECTION_DONE)
    reactor.addReader(reader)
    ends[1].send(b"x")
    reactor.doIteration(1)
    assert [reason.type for reason in reader.lost] == [ConnectionDone]


def test_a_mistake_in_one_reader_is_logged_and_ends_that_one_only(
    reactor: Any, ends: tuple[socket.socket, socket.socket]
) -> None:
    def fail(data: bytes) -> None:
        raise RuntimeError("a mistake")

    got: list[bytes] = []
    others = socket.socketpair()
    broken, whole = Reader(reactor, ends[0], fail), Reader(reactor, others[0], got.append)
    with others[0], others[1]:
        reactor.addReader(broken)
        reactor.addReader(whole)
        ends[1].send(b"x")
        others[1].send(b"y")
        reactor.doIteration(1)
        reactor.removeReader(whole)
    assert got == [b"y"]
    assert broken.lost[0].check(RuntimeError)


def test_a_reader_whose_loss_fails_stops_nobody(
    reactor: Any, ends: tuple[socket.socket, socket.socket], logged: list[LogEvent]
) -> None:
    class Stubborn(Reader):
        def connectionLost(self, reason: Failure) -> None:
            super().connectionLost(reason)
            raise RuntimeError("cannot let go")

    reactor.addReader(Stubborn(reactor, ends[0], lambda data: CONNECTION_DONE))
    ends[1].send(b"x")
    reactor.doIteration(1)
    assert any("cannot let go" in str(event.get("log_failure", "")) for event in logged)


def test_one_that_was_removed_in_the_same_turn_is_not_served(
    reactor: Any, ends: tuple[socket.socket, socket.socket]
) -> None:
    others = socket.socketpair()
    got: list[str] = []
    readers: list[Reader] = []

    def first(name: str) -> Any:
        def read(data: bytes) -> None:
            got.append(name)
            for each in readers:
                reactor.removeReader(each)

        return read

    with others[0], others[1]:
        readers += [Reader(reactor, ends[0], first("one")), Reader(reactor, others[0], first("two"))]
        for each in readers:
            reactor.addReader(each)
        ends[1].send(b"x")
        others[1].send(b"y")
        reactor.doIteration(1)
    assert len(got) == 1


def test_a_signal_ends_a_turn_early_and_nothing_else(reactor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def poll(self, *_: Any) -> Any:
            raise InterruptedError(4, os.strerror(4))

    monkeypatch.setattr(reactor, "_poller", Interrupted())
    quicken(reactor, Shares(Clock()))
    reactor.doIteration(0)
    monkeypatch.undo()


def test_other_reactors_are_left_alone() -> None:
    clock = Clock()
    quicken(clock, Shares(clock))
    assert not hasattr(clock, "doIteration")


def test_who_has_used_up_a_turn_is_told_again_in_the_next_one(ends: tuple[socket.socket, socket.socket]) -> None:
    """Forty downloads of one account, each with its event in the same turn, are not served in that turn."""
    now = [0.0]
    shares = Shares(Clock(), lambda: now[0])
    reactor: Any = EPollReactor()
    quicken(reactor, shares)
    got: list[str] = []

    def costly(name: str) -> Any:
        def read(data: bytes) -> None:
            now[0] += 2 * BUDGET
            got.append(name)

        return read

    pairs = [socket.socketpair() for _ in range(4)]
    readers = [Reader(reactor, pair[0], costly(f"greedy {number}")) for number, pair in enumerate(pairs)]
    modest = Reader(reactor, ends[0], costly("modest"))
    greedy = shares.of(1001)
    for each in readers:
        each.share = greedy  # type: ignore[attr-defined]
        reactor.addReader(each)
    modest.share = shares.of(1002)  # type: ignore[attr-defined]
    reactor.addReader(modest)
    for pair in (*pairs, ends):
        pair[1].send(b"x")
    counts = []
    for _ in range(4):
        got.clear()
        reactor.doIteration(0)
        counts.append((sum(one.startswith("greedy") for one in got), "modest" in got))
    assert counts == [(1, True), (1, False), (1, False), (1, False)]
    for each in list(reactor._selectables.values()):
        reactor.removeReader(each)
    reactor._poller.close()
    for waker in reactor._internalReaders:
        waker.connectionLost(None)
    for pair in pairs:
        pair[0].close()
        pair[1].close()


def test_a_listener_takes_a_few_connections_in_a_turn_however_many_wait() -> None:
    taken: list[int] = []

    class Listening(Port):
        def __init__(self) -> None:
            self.numberAccepts = 100

        def doRead(self) -> None:
            taken.append(self.numberAccepts)
            self.numberAccepts += 20  # as Twisted does when it took all

    port = Listening()
    take_turns(port)
    port.doRead()
    port.doRead()
    assert taken == [ACCEPTS, ACCEPTS]
    take_turns(object())


def test_twisted_asks_a_listener_how_many_it_takes() -> None:
    assert "numberAccepts" in Port.doRead.__code__.co_names
