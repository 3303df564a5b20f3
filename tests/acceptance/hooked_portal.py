"""``twistd`` with a portal that waits at two points of a request until the test lets it go on.

usage: hooked_portal.py SOCKET twistd's arguments…

At each point it connects to SOCKET, says "listener" (who listens was just told) or "connection" (it is connected and
is about to ask whose the connection is), and goes on when that connection is closed.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.scripts.twistd import run

from supercloud import assembly
from supercloud.ownership.owners import Owners
from supercloud.ownership.rule import SocketOwner

_SOCKET = sys.argv.pop(1)


class _Pause(Protocol):
    def __init__(self, point: bytes) -> None:
        self._point = point
        self.over: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(self._point + b"\n")

    def connectionLost(self, reason: Any = None) -> None:
        self.over.callback(None)


async def _pause(point: bytes) -> None:
    from twisted.internet import reactor

    pause = _Pause(point)
    await connectProtocol(UNIXClientEndpoint(reactor, _SOCKET), pause)
    await pause.over


class Hooked(Owners):
    """Asks as always."""

    async def listener(self, address: str, port: int) -> SocketOwner | None:
        told = await super().listener(address, port)
        if told is not None:
            await _pause(b"listener")
        return told

    async def connection(self, address: str, port: int, peer: str, peer_port: int) -> SocketOwner | None:
        await _pause(b"connection")
        return await super().connection(address, port, peer, peer_port)


assembly.Owners = Hooked
run()
