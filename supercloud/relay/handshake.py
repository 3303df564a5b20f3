"""Opening handshakes of WebSockets by autobahn (RFC 6455 section 4), the only module that imports it.

autobahn is a server toward the browser and a client toward the application, so that each key is answered by whom it
was made for. It is given no transport of its own: what it writes is carried by our connections, and once a handshake is
over nothing of it is kept. No extension is offered on either side: what one end compresses, the other would have to be
kept from reading.
"""

from __future__ import annotations

import copy
from typing import Any

from autobahn.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.types import ConnectingRequest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred

from supercloud.errors import BadMessage
from supercloud.message.head import RequestHead

_HANDSHAKE = frozenset({b"host", b"connection", b"upgrade", b"content-length"})
_NOWHERE = IPv4Address("TCP", "0.0.0.0", 0)  # noqa: S104 - told to autobahn, which only logs it


class _Paper:
    """A transport that keeps what is written; autobahn's handshakes are carried by our own connections."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def getPeer(self) -> IPv4Address:
        return _NOWHERE

    def getHost(self) -> IPv4Address:
        return _NOWHERE

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Ours has it set."""

    def loseConnection(self) -> None:
        """Ours to close."""

    def abortConnection(self) -> None:
        """Ours to close."""


class _Fields:
    """Fields for autobahn, which takes pairs from ``items()``; unlike a dict it keeps repeats."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    def items(self) -> list[tuple[str, str]]:
        return self._pairs


class ServerLeg(WebSocketServerProtocol):  # type: ignore[misc]
    """The opening handshake with the browser, answered when the application has chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.offered: list[str] = []
        self.chosen: Deferred[tuple[str | None, dict[str, list[str]]]] = Deferred()
        self.refused: tuple[str, int] | None = None

    def onConnect(self, request: Any) -> Deferred[tuple[str | None, dict[str, list[str]]]]:
        self.offered = request.protocols
        return self.chosen

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: object = None) -> None:
        self.refused = (reason, code)


class ClientLeg(WebSocketClientProtocol):  # type: ignore[misc]
    """The opening handshake with the application."""

    def __init__(self, request: ConnectingRequest) -> None:
        super().__init__()
        self.request = request
        self.refused: str | None = None

    def onConnecting(self, transport_details: object) -> ConnectingRequest:
        return self.request

    def failHandshake(self, reason: str) -> None:
        self.refused = reason


def _settled(factory: Any) -> Any:
    """Timers, limits and pings are the relay's; compression is nobody's."""
    factory.setProtocolOptions(openHandshakeTimeout=0, closeHandshakeTimeout=0, autoPingInterval=0)
    factory.noisy = False
    return factory


class Handshakes:
    """autobahn's factories, made once.

    :param reactor: autobahn wants one, though it is given no timer to keep.
    """

    def __init__(self, reactor: Any) -> None:
        self._server = _settled(WebSocketServerFactory(reactor=reactor, server=None))
        self._client = _settled(WebSocketClientFactory(reactor=reactor, useragent=None))

    def server(self, head: RequestHead) -> ServerLeg:
        """Take the browser's handshake; no field but its own reaches autobahn.

        :raises BadMessage: it is none.
        """
        leg = ServerLeg()
        leg.factory = self._server
        leg.makeConnection(_Paper())
        fields = [b"Host: portal\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"]
        fields += [
            b"%b: %b\r\n" % (name, value)
            for lower, name, value in head.fields
            if lower.startswith(b"sec-websocket-") and lower != b"sec-websocket-extensions"
        ]
        leg.dataReceived(b"%b / HTTP/1.1\r\n%b\r\n" % (head.method, b"".join(fields)))
        if leg.refused is not None:
            raise BadMessage(
                f"WebSocket handshake: {leg.refused[0]}", public="This is not a WebSocket handshake of version 13."
            )
        return leg

    def client(self, request: bytes, protocols: list[str]) -> tuple[ClientLeg, bytes]:
        """The handshake for the application.

        :param request: the head as it would be sent for plain HTTP.
        :param protocols: sub-protocols offered by the browser, in its order.
        :returns: the leg, and what is to be sent, in one piece.
        """
        first, *lines = request.rstrip(b"\r\n").split(b"\r\n")
        pairs: list[tuple[str, str]] = []
        host = ""
        for line in lines:
            name, _, value = line.partition(b": ")
            lower = name.lower()
            if lower == b"host":
                host = value.decode("ascii")
            elif lower not in _HANDSHAKE and not lower.startswith(b"sec-websocket-"):
                try:
                    pairs.append((name.decode("ascii"), value.decode("utf-8")))
                except UnicodeDecodeError:
                    continue  # autobahn writes UTF-8; what is none would arrive as something else
        node, _, port = host.rpartition(":")
        resource = first.split(b" ")[1].decode("ascii")
        leg = ClientLeg(ConnectingRequest(node, int(port), resource, _Fields(pairs), None, None, protocols))
        leg.factory = copy.copy(self._client)
        leg.factory.protocols = protocols
        paper = _Paper()
        leg.makeConnection(paper)
        return leg, paper.written
