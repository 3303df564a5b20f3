"""What a leg needs of its transport: plain TCP, or TLS as Twisted wraps it."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.tcp import Connection

from supercloud.shares import Share


class Transport(Protocol):
    """The part of Twisted's stream transports that legs use; see ITCPTransport, IConsumer and IPushProducer."""

    def write(self, data: bytes) -> None: ...
    def loseConnection(self) -> None: ...
    def abortConnection(self) -> None: ...
    def loseWriteConnection(self) -> None: ...
    def registerProducer(self, producer: Any, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def setTcpNoDelay(self, enabled: bool) -> None: ...
    def setTcpKeepAlive(self, enabled: bool) -> None: ...
    def getPeer(self) -> Any: ...
    def getHost(self) -> Any: ...


def charge(transport: Any, share: Share) -> Share:
    """Have the events of a connection's socket count as an account's; see `turns`.

    :param transport: of its protocol; TLS is looked through.
    :returns: that share.
    """
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    transport.share = share
    return share


def send(transport: Any, data: bytes | memoryview) -> None:
    """Write to a TCP transport, at once if nothing waits there.

    Twisted's own ``write`` asks the reactor to call when the socket has room, which costs two calls of epoll_ctl and
    a turn of the reactor for bytes that nearly always fit. What does not fit, and every error, is left to ``write``:
    nothing is called back from here. Relies on FileDescriptor's buffers (Twisted is pinned; a test holds this).

    :param data: may be a view of memory that changes after this call.
    """
    if (
        isinstance(transport, Connection)
        and not transport.TLS  # or it would leave as it is
        and not transport.dataBuffer
        and not transport._tempDataBuffer
        and transport.connected
        and not transport.disconnecting
        and not transport._writeDisconnected
    ):
        try:
            sent = transport.socket.send(data)
        except OSError:
            sent = 0
        if sent == len(data):
            return
        data = data[sent:]
    transport.write(bytes(data))
