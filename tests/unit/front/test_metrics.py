"""What monitoring is told."""

from __future__ import annotations

from collections import Counter

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from supercloud.front.metrics import Metrics


class Asked:
    """A connection to a portal with three connections and some exchanges behind it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics(self.clock, Counter(served=7, refused=2), lambda: 3)
        self.transport = self.connect()

    def connect(self) -> StringTransportWithDisconnection:
        protocol = self.metrics.buildProtocol(None)
        assert protocol is not None
        transport = StringTransportWithDisconnection()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return transport

    def send(self, data: bytes) -> bytes:
        self.transport.protocol.dataReceived(data)
        return self.transport.value()


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_numbers_are_told_as_prometheus_reads_them(asked: Asked) -> None:
    asked.send(b"GET /metrics HTTP/1.1\r\nHost: local")
    head, _, body = asked.send(b"host\r\n\r\n").decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert f"Content-Length: {len(body)}" in head
    told = dict(line.rsplit(" ", 1) for line in body.splitlines() if not line.startswith("#"))
    assert told['supercloud_exchanges_total{outcome="served"}'] == "7"
    assert told["supercloud_connections"] == "3"
    assert not asked.transport.connected


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST /metrics HTTP/1.1", b"nonsense"])
def test_nothing_else_is_there(asked: Asked, line: bytes) -> None:
    assert asked.send(line + b"\r\n\r\n").startswith(b"HTTP/1.1 404 ")
    assert asked.metrics.open == 0


def test_who_sends_slowly_or_much_is_cut_off(asked: Asked) -> None:
    asked.send(b"GET ")
    asked.clock.advance(6)
    assert not asked.transport.connected
    asked.transport = asked.connect()
    asked.send(b"x" * 10_000)
    assert not asked.transport.connected
    assert asked.metrics.open == 0
    assert asked.clock.getDelayedCalls() == []


def test_few_are_served_at_once(asked: Asked) -> None:
    for _ in range(15):
        asked.connect()
    assert asked.metrics.buildProtocol(None) is None
