"""From a permit to a verified connection: connect to the pinned address, then ask who holds that connection.

Not by way of Twisted's connectors: a factory, a connector, a client, a timer and two turns of the reactor for each
connection cost as much as both questions about it (measured with `make bench`).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from errno import EALREADY, EINPROGRESS, EISCONN
from typing import Any, Final, NamedTuple, Protocol

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IWriteDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure
from zope.interface import implementer

from supercloud.errors import NothingListens, Unreachable
from supercloud.upstream.http11 import Connection

_KIND = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC


# Seconds that an application has to answer the end of TLS before the connection is broken off; and to take what was
# written before it was closed, as one that never reads would keep it, and its place among its viewer's, for ever.
_LINGER: Final = 5.0
_TAKES_WITHIN: Final = 30.0
_DONE = Failure(ConnectionDone())  # type: ignore[no-untyped-call]


class End(NamedTuple):
    """Address literal and port of one end of a connection."""

    host: str
    port: int


class Dialer(Protocol):
    """Opens TCP connections."""

    async def dial(self, address: str, port: int) -> Connection: ...


class TcpDialer:
    """Connects over TCP.

    :param reactor: IReactorTime and IReactorFDSet in one.
    :param timeout: seconds for one connection.
    :param open_socket: of an address family and a kind.
    """

    def __init__(
        self, reactor: Any, *, timeout: float, open_socket: Callable[[int, int], socket.socket] = socket.socket
    ) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._open = open_socket

    async def dial(self, address: str, port: int) -> Connection:
        """Connect to an address literal; may be cancelled.

        :raises NothingListens: refused.
        :raises Unreachable: no route, or no answer in time.
        """
        try:
            connected = await self._connect(address, port)
        except ConnectionRefusedError:
            raise NothingListens(f"{address} port {port} refused") from None
        except OSError as error:
            raise Unreachable(f"{address} port {port}: {error}") from None
        connection = Connection()
        Transport(connected, connection, self._reactor).start()
        return connection

    async def _connect(self, address: str, port: int) -> socket.socket:
        """:raises OSError: why not."""
        opened = self._open(socket.AF_INET6 if ":" in address else socket.AF_INET, _KIND)
        try:
            code = opened.connect_ex((address, port))
            if code == EINPROGRESS:
                # Within one machine the handshake is over by now; no turn of the reactor is needed to hear of it.
                code = opened.connect_ex((address, port))
            if code == EALREADY:
                await _Handshake(self._reactor, opened, self._timeout).over
                code = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code not in (0, EISCONN):
                raise OSError(code, os.strerror(code))
        except BaseException:
            opened.close()
            raise
        return opened


@implementer(IWriteDescriptor)
class _Handshake:
    """Waits until a socket is connected, or cannot be.

    :ivar over: fails with TimeoutError when it takes too long; may be cancelled.
    """

    def __init__(self, reactor: Any, connecting: socket.socket, timeout: float) -> None:
        self._reactor = reactor
        self._fd = connecting.fileno()
        self.over: Deferred[None] = Deferred(lambda _: self._leave())
        self._limit = reactor.callLater(timeout, self._expired, timeout)
        reactor.addWriter(self)

    def fileno(self) -> int:
        """For the reactor; the same after the socket was closed in its turn."""
        return self._fd

    def doWrite(self) -> None:
        """It is over, well or not."""
        self._leave()
        self.over.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor's word for a handshake that failed; or the reactor ends."""
        self.doWrite()

    def logPrefix(self) -> str:
        """For the reactor's log."""
        return "upstream"

    def _expired(self, seconds: float) -> None:
        self._leave()
        self.over.errback(TimeoutError(f"not connected within {seconds} s"))

    def _leave(self) -> None:
        self._reactor.removeWriter(self)
        if self._limit.active():
            self._limit.cancel()


class Transport(tcp.Connection):
    """A connected socket, as the reactor serves it.

    One that is closed by what was just read from it is closed in that turn, where nothing waits to be written: the
    stock transport asks the reactor to call it when it may write nothing. Relies on FileDescriptor's buffers and
    ``_aborting``, and on ``_shouldShutdown`` (Twisted is pinned; a test holds this).
    """

    protocol: Connection
    logstr = "upstream"
    _shouldShutdown = False  # before close(2) it is only for sockets that other processes have too
    _tlsClientDefault = True

    def __init__(self, connected: socket.socket, protocol: Connection, reactor: Any) -> None:
        super().__init__(connected, protocol, reactor)
        self._clock: IReactorTime = reactor
        self._is_reading = False
        self._lingering: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to read, and tell the protocol that the connection stands."""
        self.connected = 1
        self.startReading()  # type: ignore[no-untyped-call]
        self.protocol.makeConnection(self)  # type: ignore[no-untyped-call]

    def getHost(self) -> End:
        """Our end.

        :raises OSError: when the connection is gone.
        """
        return End(*self.socket.getsockname()[:2])

    def getPeer(self) -> End:
        """The application's end.

        :raises OSError: when the connection is gone.
        """
        return End(*self.socket.getpeername()[:2])

    def doRead(self) -> ConnectionDone | ConnectionLost | None:  # type: ignore[override]
        """Hand on what came."""
        try:
            data = self.socket.recv(self.bufferSize)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self._is_reading = True
        self.protocol.dataReceived(data)
        self._is_reading = False
        if not self.disconnecting or self._aborting or self.TLS:
            return None
        if self._has_unsent():
            self.stopReading()  # type: ignore[no-untyped-call]
            self._linger(_TAKES_WITHIN)
        else:
            self._finish()
        return None

    def loseConnection(self) -> None:
        """Close when what was written has left: at the end of `doRead` if that is all."""
        if self.TLS:
            super().loseConnection()  # type: ignore[no-untyped-call]
            self._linger(_LINGER)
        elif self._is_reading and self.connected and not self._writeDisconnected and not self._has_unsent():
            self.disconnecting = 1
        else:
            super().loseConnection()  # type: ignore[no-untyped-call]
            if self._has_unsent():
                self._linger(_TAKES_WITHIN)

    def _linger(self, seconds: float) -> None:
        if self.connected and self._lingering is None:
            self._lingering = self._clock.callLater(seconds, self.abortConnection)

    def connectionLost(self, reason: Failure) -> None:
        """It is gone."""
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        super().connectionLost(reason)

    def _finish(self) -> None:
        """Close: nothing is to be written.

        The reactor knows of it as a writer too when somebody closed it earlier in this very turn, before its data was
        read: a descriptor left there would break whoever gets its number next.
        """
        self.stopReading()  # type: ignore[no-untyped-call]
        self.stopWriting()  # type: ignore[no-untyped-call]
        self.connected, self.disconnected = 0, 1
        protocol, closing = self.protocol, self.socket
        del self.protocol, self.socket, self.fileno
        closing.close()
        protocol.connectionLost(_DONE)

    def _has_unsent(self) -> bool:
        return bool(self.dataBuffer or self._tempDataBuffer)
