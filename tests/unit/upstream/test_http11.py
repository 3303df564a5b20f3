"""One connection toward an application; see also tests/scenario/test_smuggling_corpus.py."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from supercloud.errors import Unreachable
from supercloud.upstream.http11 import MAX_HEAD, MAX_INTERIM, Connection
from tests.fakes.transport import FakeTransport


class FakeSink:
    """Writes down what a relay would hear."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self.heard.append((name, *args))

    def response_started(self, head: Any) -> None:
        self.heard.append(("head", head.status))

    def names(self) -> list[str]:
        return [what[0] for what in self.heard]


class Open:
    def __init__(self, method: bytes = b"GET", *, finished: bool = True) -> None:
        self.clock = Clock()
        self.connection, self.sink = Connection(), FakeSink()
        self.released: list[object] = []
        self.closed: list[object] = []
        self.connection.released = self.released.append
        self.connection.closed = self.closed.append
        self.transport = FakeTransport(self.clock, self.connection)
        self.connection.makeConnection(self.transport)
        self.connection.begin(self.sink, method, b"head")
        if finished:
            self.connection.finish()

    def feed(self, *parts: bytes) -> list[Any]:
        for part in parts:
            self.connection.dataReceived(part)
        return self.sink.heard


def test_it_is_what_twisted_calls() -> None:
    for interface in (IProtocol, IHalfCloseableProtocol, IPushProducer):
        assert verifyObject(interface, Connection())


def test_a_response_cut_anywhere_is_heard_once() -> None:
    data = b"HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    one = Open()
    one.feed(*(data[place : place + 1] for place in range(len(data))))
    heard = [what for what in one.sink.heard if what[0] != "response_pause"]
    assert heard == [
        ("head", 103), ("head", 200), ("response_body", b"a"), ("response_body", b"b"), ("response_body", b"c"),
        ("response_ended", ()),
    ]  # fmt: skip
    assert one.released == [one.connection]
    assert one.connection.is_idle


def test_a_connection_is_kept_only_when_nothing_is_left_on_it() -> None:
    for response, finished in [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nX", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False),
    ]:
        one = Open(finished=finished)
        one.feed(response)
        assert one.sink.names() == ["head", "response_ended"]
        assert one.released == []
        assert one.transport.disconnecting
        assert not one.connection.is_idle


def test_a_response_head_at_the_limit_and_one_more() -> None:
    def head(size: int) -> bytes:
        start = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: "
        return start + b"y" * (size - len(start)) + b"\r\n\r\n"

    assert Open().feed(head(MAX_HEAD))[0] == ("head", 200)
    [(what, error)] = Open().feed(head(MAX_HEAD + 1))
    assert what == "upstream_lost"
    assert isinstance(error, Unreachable)


def test_interim_responses_at_the_limit_and_one_more() -> None:
    final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    assert Open().feed(b"HTTP/1.1 102 X\r\n\r\n" * MAX_INTERIM + final)[-1] == ("response_ended", ())
    assert Open().feed(b"HTTP/1.1 102 X\r\n\r\n" * (MAX_INTERIM + 1) + final)[-1][0] == "upstream_lost"


def test_a_body_until_the_end_ends_with_it() -> None:
    one = Open()
    one.feed(b"HTTP/1.1 200 OK\r\n\r\nabc")
    one.transport.lose()
    assert one.sink.names()[-1] == "response_ended"
    assert one.closed == [one.connection]


def test_any_other_end_is_a_loss_that_is_told_once() -> None:
    for data in (b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"):
        one = Open()
        one.feed(*filter(None, [data]))
        one.connection.readConnectionLost()
        one.transport.lose()
        assert one.sink.names().count("upstream_lost") == 1
        assert one.closed == [one.connection]


def test_a_malformed_body_is_a_loss() -> None:
    one = Open()
    one.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n")
    assert one.sink.names()[-1] == "upstream_lost"
    assert one.transport.aborted


def test_bytes_after_101_are_the_tunnels() -> None:
    one = Open()
    one.feed(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nab", b"cd")
    heard = [what for what in one.sink.heard if what[0] != "response_pause"]
    assert heard == [("head", 101), ("tunnel_received", b"ab"), ("tunnel_received", b"cd")]
    one.connection.readConnectionLost()
    assert one.sink.names()[-1] == "tunnel_ended"
    one.connection.finish_tunnel()
    assert one.transport.half_closed
    one.connection.writeConnectionLost()


def test_who_speaks_unasked_is_cut_off() -> None:
    one = Open()
    one.connection.leave()
    assert one.transport.aborted
    one.feed(b"late")
    assert one.sink.heard == []


def test_pace_is_told_to_the_relay_and_taken_from_it() -> None:
    one = Open()
    one.connection.pauseProducing()
    one.connection.resumeProducing()
    assert one.sink.names() == ["upstream_choked", "upstream_drained"]
    one.connection.pause()
    assert one.transport.is_paused
    one.connection.resume()
    assert not one.transport.is_paused
    one.connection.stopProducing()


def test_a_connection_that_is_gone_can_be_told_anything() -> None:
    one = Open()
    one.transport.lose()
    for call in ("pause", "resume", "close", "abort", "leave", "pauseProducing", "resumeProducing"):
        getattr(one.connection, call)()
    assert not one.connection.is_idle


def test_the_pace_of_one_exchange_is_not_that_of_the_next() -> None:
    one = Open()
    one.connection.pause()
    one.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert one.released == [one.connection]
    assert not one.transport.is_paused
