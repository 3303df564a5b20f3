"""Connections to a user's worker: a unix socket whose listener must be that user (SO_PEERCRED, unix(7)).

A worker is its user's process, and could send descriptors that are slow to close: see `supercloud.closer`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet import unix
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IFileDescriptorReceiver
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from supercloud.closer import Closer, take_descriptors
from supercloud.errors import NoWorker
from supercloud.packet_link import peer_of
from supercloud.upstream.http11 import Connection


class WorkerDialer(Protocol):
    """Opens connections to workers."""

    async def dial(self, path: str, uid: int) -> Connection:
        """:raises NoWorker: nobody listens there, or not that account."""


@implementer(IFileDescriptorReceiver)
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

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """No worker of ours sends any."""
        self._dial.close(descriptor)
        self.abort()


class _Transport(unix.Client):
    """Takes no descriptors, and is closed where it holds up nobody: some may have come all the same."""

    def __init__(self, connector: Any) -> None:
        self._close: Callable[[int], None] = connector.factory.close
        super().__init__(connector.address, connector, connector.reactor, False)  # type: ignore[no-untyped-call]

    def createInternetSocket(self) -> socket.socket:
        made: socket.socket = super().createInternetSocket()  # type: ignore[no-untyped-call]
        take_descriptors(made, False)
        return made

    def _closeSocket(self, orderly: bool) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self._close(self.socket.detach())


class _Connector(unix.Connector):
    def _makeTransport(self) -> Any:
        return _Transport(self)


class _Dial(ClientFactory):
    noisy = False

    def __init__(self, uid: int, done: Deferred[Connection], closer: Closer) -> None:
        self._uid = uid
        self._done = done
        self._closer = closer

    def close(self, descriptor: int) -> None:
        self._closer.close(self._uid, [descriptor])

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

    def __init__(self, reactor: Any, *, timeout: float) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._closer = Closer()

    async def dial(self, path: str, uid: int) -> Connection:
        """See `WorkerDialer.dial`; nothing was sent yet."""
        done: Deferred[Connection] = Deferred(lambda _: connector.disconnect())
        dial = _Dial(uid, done, self._closer)
        connector: Any = _Connector(path, dial, self._timeout, self._reactor, False)  # type: ignore[no-untyped-call]
        connector.connect()
        return await done
