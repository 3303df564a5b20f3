"""A stream transport in memory that closes as Twisted's do: a turn of the reactor after it was told to."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure


class FakeTransport(StringTransport):
    """One end of a connection.

    :param peer: the other end's address.
    :param room: bytes of the send buffer before its producer is paused; `drain` makes room again.
    :ivar half_closed: our side has finished sending.
    :ivar aborted: closed without waiting for what was written.
    """

    def __init__(
        self,
        clock: Clock,
        protocol: IProtocol,
        *,
        port: int = 50000,
        room: int | None = None,
        peer: str = "192.0.2.7",
    ) -> None:
        super().__init__(IPv4Address("TCP", "10.0.0.1", port), IPv4Address("TCP", peer, 40000), lenient=True)
        self._clock = clock
        self._protocol = protocol
        self._room = room
        self._unread = 0
        self.half_closed = False
        self.aborted = False

    def write(self, data: bytes) -> None:
        if not self.connected or self.half_closed:
            return
        super().write(data)
        self._unread += len(data)
        if self._room is not None and self._unread > self._room and self.producer is not None:
            self.producer.pauseProducing()

    def drain(self) -> None:
        """The other end has read everything."""
        self._unread = 0
        if self.producer is not None:
            self.producer.resumeProducing()

    @property
    def is_paused(self) -> bool:
        return self.producerState == "paused"

    def loseConnection(self) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            self._clock.callLater(0, self.lose)

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()

    def lose(self) -> None:
        """The connection ends, whoever wanted it."""
        if self.connected:
            self.connected = False
            self._protocol.connectionLost(Failure(ConnectionAborted() if self.aborted else ConnectionDone()))

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def unregisterProducer(self) -> None:
        self.producer = None

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass
