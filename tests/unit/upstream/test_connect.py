"""Connecting to applications, over a reactor in memory."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectionRefusedError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
    UserError,
)
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from supercloud.errors import NothingListens, Unreachable
from supercloud.upstream.connect import TcpDialer
from supercloud.upstream.http11 import Connection
from tests.fakes.transport import FakeTransport


class Dialling:
    """One call of `dial` under way."""

    def __init__(self, address: str = "10.0.0.1") -> None:
        self.reactor = MemoryReactorClock()
        self.outcome: list[object] = []
        dialer = TcpDialer(self.reactor, timeout=2.5)
        self.waiting = Deferred.fromCoroutine(dialer.dial(address, 8080))
        self.waiting.addErrback(lambda failure: failure.value)
        self.waiting.addCallback(self.outcome.append)
        [self.asked] = self.reactor.tcpClients
        [self.connector] = self.reactor.connectors

    def fail(self, error: Exception) -> None:
        self.asked[2].clientConnectionFailed(self.connector, Failure(error))

    def connect(self) -> FakeTransport:
        protocol = self.asked[2].buildProtocol(None)
        transport = FakeTransport(self.reactor, protocol)
        protocol.makeConnection(transport)
        return transport

    def cancel(self) -> None:
        """As Twisted's own connectors do it: a connection that is given up has failed at once."""
        self.connector.disconnect = lambda: self.fail(UserError())
        self.waiting.cancel()


def test_the_address_the_port_and_the_time_are_those_that_were_given() -> None:
    assert Dialling("fd77::1").asked[:2] == ("fd77::1", 8080)
    assert Dialling().asked[3] == 2.5


def test_a_connection_is_told_once_it_stands() -> None:
    dialling = Dialling()
    assert dialling.outcome == []
    transport = dialling.connect()
    [connection] = dialling.outcome
    assert isinstance(connection, Connection)
    assert not transport.aborted


@pytest.mark.parametrize(
    ("error", "refusal", "said"),
    [
        (ConnectionRefusedError(), NothingListens, "10.0.0.1 port 8080 refused"),
        (TCPTimedOutError(), Unreachable, "10.0.0.1 port 8080: "),
        (TimeoutError(), Unreachable, "10.0.0.1 port 8080: "),
        (NoRouteError(), Unreachable, "10.0.0.1 port 8080: "),
        (ConnectError(), Unreachable, "10.0.0.1 port 8080: "),
    ],
)
def test_a_failed_connection_is_a_refusal_of_the_portal(error: Exception, refusal: type[Exception], said: str) -> None:
    dialling = Dialling()
    dialling.fail(error)
    [refused] = dialling.outcome
    assert type(refused) is refusal
    assert str(refused).startswith(said)


def test_a_cancelled_connection_is_given_up_at_once() -> None:
    dialling = Dialling()
    dialling.cancel()
    [cancelled] = dialling.outcome
    assert isinstance(cancelled, CancelledError)


def test_a_connection_that_stands_after_it_was_cancelled_is_aborted_and_nothing_sent() -> None:
    dialling = Dialling()
    dialling.cancel()
    transport = dialling.connect()
    assert transport.aborted
    assert transport.value() == b""
    assert len(dialling.outcome) == 1


def test_a_connection_fails_once() -> None:
    dialling = Dialling()
    dialling.fail(NoRouteError())
    dialling.fail(NoRouteError())
    assert len(dialling.outcome) == 1
