"""Exchanges that are under way, and what became of them."""

from __future__ import annotations

from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import CloseConnection

from supercloud.authn.authenticate import session_cookie
from supercloud.authn.session import Session
from tests.fakes.accounts import ALICE
from tests.fakes.dialer import FakeUpstream
from tests.fakes.portal import ORIGIN, Browser, FakePortal, accept
from tests.fakes.portal import websocket_request as handshake

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"


def pass_time(portal: FakePortal, seconds: float = 2.0) -> None:
    """As a reactor does: in small steps."""
    portal.clock.pump([0.125] * int(seconds * 8))


def session_of(portal: FakePortal, origin: str = ORIGIN) -> tuple[Session, bytes]:
    """One more session of alice's, and the field line that shows it."""
    session = portal.sessions.begin(ALICE)
    sealed = portal.sessions.cookie(session, origin=origin, owner=ALICE.uid)
    return session, b"Cookie: " + session_cookie(portal.hosts.of(origin.encode())) + b"=" + sealed.encode() + b"\r\n"


def stream(portal: FakePortal, request: bytes) -> tuple[Browser, FakeUpstream]:
    """A response under way."""
    browser = portal.browser()
    browser.send(request)
    upstream = portal.dialer[-1]
    upstream.send(CHUNKED)
    assert browser.status == 200
    return browser, upstream


def ask(field: bytes, origin: str = ORIGIN) -> bytes:
    return b"GET /stream HTTP/1.1\r\nHost: " + origin.encode() + b"\r\n" + field + b"\r\n"


def last(portal: FakePortal) -> tuple[str, str]:
    line = portal.lines()[-1]
    return line["outcome"], line["reason"]


class Socket:
    """An open WebSocket of a session's."""

    def __init__(self, portal: FakePortal, room: int | None = None) -> None:
        self.session, field = session_of(portal)
        self.browser = portal.browser(room=room)
        request = handshake(portal)
        start = request.index(b"Cookie: ")
        self.browser.send(request[:start] + field + b"\r\n")
        self.upstream = portal.dialer[-1]
        self.upstream.send(accept(self.upstream.take()))
        assert self.browser.status == 101
        self.browser.take()

    def down(self) -> CloseConnection:
        return closing(ConnectionType.CLIENT, self.browser.take())

    def up(self) -> CloseConnection:
        return closing(ConnectionType.SERVER, self.upstream.take())


def closing(kind: ConnectionType, data: bytes) -> CloseConnection:
    """The close frame at the end of what an end has got."""
    connection = Connection(kind)
    connection.receive_data(data)
    found = list(connection.events())[-1]
    assert isinstance(found, CloseConnection)
    return found
