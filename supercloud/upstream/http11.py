"""HTTP/1.1 toward an application: one exchange at a time on one verified connection (RFC 9112)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocol,
    IPushProducer,
)
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from supercloud.errors import PortalError, Unanswered, Unreachable
from supercloud.message.body import Body, Malformed, UntilClose, reader_for
from supercloud.message.head import Field, ResponseHead, parse_response
from supercloud.relay.leg import Transport, charge, send
from supercloud.shares import Later, Share

# Bytes of a response head; applications with many large cookies reach 32 KiB (nginx proxy_buffer_size 4k to 8k).
MAX_HEAD: Final = 128 * 1024
# Bytes of a response head that a connection remembers: an application repeats itself within the second of its Date.
MAX_REMEMBERED: Final = 2 * 1024
# 1xx responses before a final one; a hint page sends one or two.
MAX_INTERIM: Final = 16


class Sink(Protocol):
    """What an exchange's upstream side tells its relay."""

    def response_started(self, head: ResponseHead) -> None:
        """A head; after an interim one comes another."""

    def response_body(self, payload: bytes) -> None:
        """Some payload; never empty."""

    def response_ended(self, trailers: tuple[Field, ...]) -> None:
        """The response is complete."""

    def response_pause(self) -> None:
        """For now that is all that was received."""

    def upstream_lost(self, error: PortalError) -> None:
        """The connection ended before the response was complete; nothing more is called."""

    def upstream_choked(self) -> None:
        """The send buffer toward the application is full."""

    def upstream_drained(self) -> None:
        """The send buffer toward the application has room again."""

    def tunnel_received(self, data: bytes) -> bytes:
        """Bytes after 101.

        :returns: what is to be told again in a later turn.
        """
        ...

    def tunnel_ended(self) -> None:
        """The application finished sending after 101; it may still listen."""


@implementer(IProtocol, IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class Connection(TwistedProtocol):
    """One TCP connection to an application.

    :param released: called with the connection whenever it is ready for another exchange.
    :param closed: called once with the connection when it is gone.
    :param secured: called once with the connection when TLS has begun on it.
    :ivar why: why it is gone.
    :ivar exchanges: how many were begun.
    """

    transport: Transport  # type: ignore[assignment]

    def __init__(self) -> None:
        self.released: Callable[[Connection], object] = _nobody
        self.closed: Callable[[Connection], object] = _nobody
        self.secured: Callable[[Connection], object] = _nobody
        self.why: Failure | None = None
        self.exchanges = 0
        self.is_open = False
        self._is_closing = False
        self._is_paused = False
        self._sink: Sink | None = None
        self._held = b""
        self._method = b""
        self._last: ResponseHead | None = None
        self._last_method = b""
        self._head: ResponseHead | None = None
        self._body: Body | None = None
        self._interim = 0
        self._request_finished = False
        self._is_tunnel = False
        self._is_hurried = False
        self._share: Share | None = None
        self._rest = b""  # was received, and waits for a later turn
        self._turn: Later | None = None

    # What Twisted calls.

    def connectionMade(self) -> None:
        """The connection stands."""
        self.is_open = True
        self.transport.registerProducer(self, True)

    def handshakeCompleted(self) -> None:
        """TLS has begun."""
        secured, self.secured = self.secured, _nobody
        secured(self)

    def set_no_delay(self) -> None:
        """Have small writes leave at once, also behind others that are not acknowledged yet."""
        self.transport.setTcpNoDelay(True)

    def _hurry(self) -> None:
        """The first write of a connection leaves at once anyway, and many a connection carries no other."""
        if not self._is_hurried:
            self._is_hurried = True
            self.set_no_delay()

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the application, for the exchange under way."""
        sink = self._sink
        if sink is None:
            self.abort()  # Nobody asked: what it says can belong to no exchange.
        elif self._rest:
            self._rest += data
        else:
            self._read(sink, data)

    def _read(self, sink: Sink, data: bytes) -> None:
        """Read what came, as far as that may go in one turn."""
        try:
            while data and self._sink is sink and not self._is_tunnel:
                body = self._body
                if body is None:
                    data = self._read_head(sink, data)
                    continue
                payload, data = body.feed(data)
                if payload:
                    sink.response_body(payload)
                if body.is_done:
                    self._end(sink, body.trailers, behind=data)
                    return
                break
        except Malformed as error:
            self._fail(Unreachable(f"response body: {error}"))
            return
        except PortalError as error:
            self._fail(error)
            return
        if self._sink is not sink:
            return
        if self._is_tunnel:
            data = sink.tunnel_received(data) if data else b""
        else:
            sink.response_pause()
        if data and self._sink is sink:
            self._wait(data)

    def _wait(self, rest: bytes) -> None:
        """Leave the rest for a later turn."""
        self._rest = rest
        if self.is_open:
            self.transport.pauseProducing()
        if self._is_paused:
            return  # until the other leg has room
        if self._share is None:
            self._go_on()
        else:
            self._turn = self._share.later(self._go_on)

    def _go_on(self) -> None:
        """The turn has come."""
        self._forget_turn()
        sink, (rest, self._rest) = self._sink, (self._rest, b"")
        if sink is not None and rest:
            self._read(sink, rest)
        if not self._rest and not self._is_paused and self.is_open:
            self.transport.resumeProducing()

    def _hear_out(self) -> None:
        """Nothing more comes: read what was left for later turns."""
        while self._rest and self._sink is not None:
            self._go_on()
        self._forget()

    def _forget(self) -> None:
        self._rest = b""
        self._forget_turn()

    def _forget_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.cancel()

    def readConnectionLost(self) -> None:
        """The application finished sending."""
        self._hear_out()
        if self._is_tunnel and self._sink is not None:
            self._sink.tunnel_ended()
        else:
            self._upstream_finished()
            self.close()

    def writeConnectionLost(self) -> None:
        """We finished sending; nothing to do."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self.is_open = False
        self.why = reason
        self._hear_out()
        self._upstream_finished()
        closed, self.closed, self.released = self.closed, _nobody, _nobody
        closed(self)

    def pauseProducing(self) -> None:
        """The send buffer is full."""
        if self._sink is not None:
            self._sink.upstream_choked()

    def resumeProducing(self) -> None:
        """The send buffer has room."""
        if self._sink is not None:
            self._sink.upstream_drained()

    def stopProducing(self) -> None:
        """The transport is closing; connectionLost follows."""

    # What the relay calls.

    @property
    def is_idle(self) -> bool:
        """Whether another exchange may begin."""
        return self._sink is None and self.is_open and not self._is_closing

    def charge(self, share: Share) -> None:
        """Have what this connection costs count as an account's."""
        self._share = charge(self.transport, share)

    def remember(self, method: bytes, head: ResponseHead | None) -> None:
        """A head that answered such a request: the same bytes need not be read again."""
        if head is not None and len(head.raw) <= MAX_REMEMBERED:
            self._last, self._last_method = head, method

    def begin(self, sink: Sink, method: bytes, head: bytes) -> None:
        """Send a request's head; ``sink`` hears of the response."""
        self._sink = sink
        self._method = method
        self._held = b""
        self._head = None
        self._body = None
        self._interim = 0
        self._request_finished = False
        if self.exchanges:
            self._hurry()
        self.exchanges += 1
        send(self.transport, head)

    def write(self, data: bytes) -> None:
        """Send a part of the request's body, framed, or of a tunnel."""
        self._hurry()
        send(self.transport, data)

    def finish(self) -> None:
        """The request is complete."""
        self._request_finished = True

    def finish_tunnel(self) -> None:
        """Nothing more will be sent through the tunnel; the application may still speak."""
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()

    def pause(self) -> None:
        """Read no further for now: the other leg is choked."""
        if self.is_open:
            self._is_paused = True
            self._forget_turn()
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        if self.is_open:
            self._is_paused = False
            if not self._rest:
                self.transport.resumeProducing()
            elif self._turn is None:
                self._wait(self._rest)

    def leave(self) -> None:
        """The relay needs no more of this exchange; the connection cannot be used again."""
        self._sink = None
        self.abort()

    def close(self) -> None:
        """End the connection once what was written has left."""
        self._forget()
        if self.is_open:
            self._is_closing = True
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self) -> None:
        """End the connection at once."""
        self._forget()
        if self.is_open:
            self._is_closing = True
            self.transport.unregisterProducer()
            self.transport.abortConnection()

    def _read_head(self, sink: Sink, data: bytes) -> bytes:
        """Take a head, or a part of one; give what lies behind it."""
        seen = max(len(self._held) - 3, 0)
        data = self._held + data if self._held else data
        end = data.find(b"\r\n\r\n", seen)
        if end > MAX_HEAD or (end < 0 and len(data) > MAX_HEAD):
            raise Unreachable(f"response head over {MAX_HEAD} bytes")
        if end < 0:
            self._held = data
            return b""
        self._held = b""
        raw, rest = data[: end + 4], data[end + 4 :]
        head = self._last
        if head is None or head.raw != raw or self._last_method != self._method:
            head = parse_response(raw, method=self._method)
            self.remember(self._method, head)
        if head.is_interim:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise Unreachable(f"more than {MAX_INTERIM} interim responses")
            sink.response_started(head)
            return rest
        self._head = head
        if head.status == 101:
            self._is_tunnel = True
            self.transport.setTcpKeepAlive(True)  # a tunnel may be silent for ever: a dead host is noticed in the end
            sink.response_started(head)
            return rest
        body = self._body = reader_for(head.length)
        sink.response_started(head)
        if body.is_done and self._sink is sink:
            self._end(sink, (), behind=rest)
            return b""
        return rest

    def _end(self, sink: Sink, trailers: tuple[Field, ...], *, behind: bytes) -> None:
        head = self._head
        self._sink = None
        # Answered before the whole request was sent: the rest of it has nowhere to go.
        is_reusable = self._request_finished and head is not None and head.keep_alive and not behind and self.is_open
        if is_reusable:
            if self._is_paused:
                self.resume()  # by this browser's pace, which is none of the next exchange's
            self.released(self)
        else:
            self.close()
        sink.response_ended(trailers)

    def _upstream_finished(self) -> None:
        sink = self._sink
        if sink is None:
            return
        if isinstance(self._body, UntilClose):
            self._end(sink, (), behind=b"\0")
            return
        self._sink = None
        if self._head is not None or self._held or self._interim:
            sink.upstream_lost(Unreachable("connection lost in a response"))
        else:
            sink.upstream_lost(Unanswered("connection lost before a response"))

    def _fail(self, error: PortalError) -> None:
        sink, self._sink = self._sink, None
        self.abort()
        if sink is not None:
            sink.upstream_lost(error)


def _nobody(connection: Connection) -> None:
    """Nobody waits for this connection."""
