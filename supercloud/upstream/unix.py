"""Connections to a user's worker: a unix socket whose listener must be that user (SO_PEERCRED, unix(7))."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorUNIX
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from supercloud.errors import NoWorker
from supercloud.packet_link import peer_of
from supercloud.upstream.http11 import Connection


class WorkerDialer(Protocol):
    """Opens connections to workers."""

    async def dial(self, path: str, uid: int) -> Connection:
        """:raises NoWorker: nobody listens there, or not that account."""


class _WorkerConnection(Connection):
    """Tells its factory once it stands and its other end is who it must be."""

    def __init__(self, dial: _Dial) -> None:
        super().__init__()
        self._dial = dial

    def set_no_delay(self) -> None:
        """Unix sockets delay nothing."""

    def connectionMade(self) -> None:
        super().connectionMade()
        transport: Any = self.transport
        self._dial.connected(self, peer_of(transport.socket)[1])


class _Dial(ClientFactory):
    noisy = False

    def __init__(self, uid: int, done: Deferred[Connection]) -> None:
        self._uid = uid
        self._done = done

    def buildProtocol(self, addr: object) -> Connection:
        return _WorkerConnection(self)

    def connected(self, connection: Connection, listener: int) -> None:
        if listener == self._uid:
            self._done.callback(connection)
        else:
            connection.abort()
            self._done.errback(NoWorker(f"uid {listener} listens where the worker of uid {self._uid} should"))

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self._done.errback(NoWorker(f"worker of uid {self._uid}: {reason.getErrorMessage()}"))


class UnixDialer:
    """Connects to workers.

    :param timeout: seconds; a worker whose queue is full does not answer at once.
    """

    def __init__(self, reactor: IReactorUNIX, *, timeout: float) -> None:
        self._reactor = reactor
        self._timeout = timeout

    async def dial(self, path: str, uid: int) -> Connection:
        """See `WorkerDialer.dial`; nothing was sent yet."""
        done: Deferred[Connection] = Deferred(lambda _: connector.disconnect())
        connector = self._reactor.connectUNIX(path, _Dial(uid, done), timeout=self._timeout)
        return await done
