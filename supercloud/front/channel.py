"""HTTP/1.1 from one browser connection: heads in, exchanges out, one after the other (RFC 9112).

The channel cuts what arrives into heads and bodies and hands each head on as an `Exchange`. What it may do next is a
method: ``_at_head``, ``_in_body``, ``_in_wait``, ``_in_tunnel``, ``_at_end``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IProtocol, IPushProducer
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from supercloud.deadline import Deadline
from supercloud.errors import BadMessage, HeadTooLarge, PlantedCookies, PortalError, TooSlow
from supercloud.front.exchange import Exchange
from supercloud.front.listener import Door
from supercloud.message.body import Body, Malformed, reader_for
from supercloud.message.glimpse import glimpse
from supercloud.message.head import UNREADABLE, RequestHead, parse_like, parse_request
from supercloud.relay.leg import Transport, charge
from supercloud.secret import wipe
from supercloud.shares import Later, Share, network_of

# Pipelined bytes that are kept while an exchange is under way; beyond it the browser waits.
MAX_AHEAD: Final = 64 * 1024
# Seconds for the rest of a request that was answered early, and for a browser to close after we did.
LINGER: Final = 5.0

# Requests that were sent ahead and are begun in one turn.
MAX_HEADS: Final = 8

# Bytes of a request's head that a connection remembers, to know the next one again.
MAX_REMEMBERED: Final = 8 * 1024

_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")


@implementer(IProtocol, IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class Channel(TwistedProtocol):
    """One downstream connection.

    :ivar address: of the browser, as text.
    :ivar share: whose time it takes: that of the account that signed in on it last, or of its address's network.
    :ivar memory: what stages remember about this connection, each under a key of its own, to save looking twice.
    """

    transport: Transport  # type: ignore[assignment]
    share: Share

    def __init__(self, door: Door) -> None:
        self.door = door
        self.address = ""
        self.memory: dict[str, object] = {}
        self.is_open = False
        self.is_choked = False
        self._buffer = b""
        self._step: Callable[[], bool] = self._at_head
        self._is_working = False
        self._is_partial = False  # a head has begun
        self._seen = 0  # bytes of it that were looked at
        self._holds = False  # the exchange takes no body for now
        self._is_ahead = False  # more was sent ahead than is kept
        self._is_paused = False  # nothing is read
        self._turn: Later | None = None  # in which it goes on
        self._heads = 0  # begun in this turn
        self._last = UNREADABLE
        self._exchange: Exchange | None = None
        self._body: Body | None = None
        self._deadline = Deadline(door.clock, self._expired)

    # What Twisted calls.

    def connectionMade(self) -> None:
        """A connection, whose handshake is still under way."""
        self.is_open = True
        self.address = self.transport.getPeer().host
        network = network_of(self.address)
        self.share = self.door.shares.of(network)
        # Handshakes cost most, and anybody may begin them: who has done with theirs does not wait behind others'.
        charge(self.transport, self.door.shares.of(("handshakes", network)))
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self.transport.registerProducer(self, True)
        self._deadline.set(self.door.limits.handshake_time)
        self.door.opened(self)

    def handshakeCompleted(self) -> None:
        """TLS has begun."""
        charge(self.transport, self.share)
        self._deadline.set(self.door.limits.head_time)
        self.door.places.idle(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the browser."""
        held, self._buffer = self._buffer, data
        if held:
            self._buffer = held + data
            wipe(held)
        if not self._is_working and self._turn is None:
            self._work()

    def readConnectionLost(self) -> None:
        """The browser finished sending (plain TCP only)."""
        if self._step == self._in_tunnel and self._exchange is not None:
            self._hear_out()
            self._exchange.tunnel_finished()
        elif self._exchange is None:
            self.close()
        elif self._step != self._in_wait:
            self.abort()

    def writeConnectionLost(self) -> None:
        """We finished sending; nothing to do."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self.is_open = False
        self._deadline.cancel()
        self._hear_out()
        self._end()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandoned()
        self.door.closed(self)

    def pauseProducing(self) -> None:
        """The send buffer is full."""
        self.is_choked = True
        if self._exchange is not None:
            self._exchange.choked()

    def resumeProducing(self) -> None:
        """The send buffer has room."""
        self.is_choked = False
        if self._exchange is not None:
            self._exchange.drained()
        elif self._is_ahead:
            self._go_on()

    def stopProducing(self) -> None:
        """The transport is closing; connectionLost follows."""

    # What an exchange calls.

    def charge(self, uid: int) -> None:
        """A request of an account's is under way on it."""
        if self.share.key != uid:
            self.share = charge(self.transport, self.door.shares.of(uid))
        self.door.places.busy(self)

    def hold_body(self) -> None:
        """Take no more of the request's body for now."""
        if not self._holds:
            self._holds = True
            self._pause()

    def take_body(self) -> None:
        """Go on with the request's body."""
        if self._holds:
            self._holds = False
            self._read_on()

    def exchange_over(self, *, keep: bool) -> None:
        """The response is written.

        :param keep: whether the connection may carry another exchange.
        """
        self._exchange = None
        self.door.places.idle(self)
        if not keep or self.door.is_stopping:
            self.close()
            return
        self._deadline.set(self.door.limits.idle)
        if self._step == self._in_body:
            self._deadline.set(LINGER)  # answered early: what is left of the request is dropped as it comes
        else:
            self._step = self._at_head
        self._go_on()

    def exchange_aborted(self) -> None:
        """The response cannot be completed; the browser must not take what it has for the whole."""
        self._exchange = None
        self.abort()

    def enter_tunnel(self) -> None:
        """From here on bytes are the tunnel's."""
        self._step = self._in_tunnel
        self._last = UNREADABLE
        self.memory.clear()
        self._deadline.clear()
        self._is_ahead = False
        self._read_on()

    def close(self) -> None:
        """End the connection once what was written has left; what still arrives is dropped."""
        self._end()
        if self.is_open:
            # A browser that reads slowly has the end of its response still before it.
            self._deadline.set(self.door.limits.idle if self.is_choked else LINGER)
            self.transport.resumeProducing()
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self) -> None:
        """End the connection at once, so that the browser sees a broken response and not a short one."""
        self._end()
        if self.is_open:
            self.transport.unregisterProducer()
            self.transport.abortConnection()

    def stop(self) -> None:
        """The portal stops: close now, or after the exchange that is under way."""
        if self._exchange is None:
            self.close()
        else:
            self._exchange.stop()

    def moved(self) -> None:
        """Something was sent or received: the exchange is not silent."""
        self._deadline.set(self.door.limits.silence)

    def _drop(self) -> None:
        """What came is not read; it may be a password."""
        held, self._buffer = self._buffer, b""
        wipe(held)

    # What it may do next.

    def _work(self) -> None:
        self._is_working = True
        self._heads = 0
        try:
            while self._buffer and self._step():
                pass
        finally:
            self._is_working = False

    def _go_on(self) -> None:
        self._holds = self._is_ahead = False
        self._read_on()

    def _read_on(self) -> None:
        """Take what the browser sends, unless something stands against it."""
        if self._holds or self._is_ahead or self._turn is not None:
            return
        if self._is_paused:
            self._is_paused = False
            self.transport.resumeProducing()
        if self._buffer and not self._is_working:
            self._work()

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self.transport.pauseProducing()

    def _wait(self) -> bool:
        """Leave the rest of what came for a later turn."""
        if self._turn is None:
            self._pause()
            self._turn = self.share.later(self._take_turn)
        return False

    def _take_turn(self) -> None:
        self._turn = None
        self._read_on()

    def _hear_out(self) -> None:
        """Nothing more comes: take what a tunnel left for later turns."""
        while self._buffer and self._step == self._in_tunnel and self._exchange is not None:
            self._buffer = self._exchange.tunnel_received(self._buffer)

    def _end(self) -> None:
        self._step = self._at_end
        self._drop()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _at_head(self) -> bool:
        if self.is_choked:  # who reads no answers gets no more of them
            self._is_ahead = True
            self._pause()
            return False
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):
            buffer = buffer[2:]  # RFC 9112 section 2.2: one empty line before a request is forgiven
            if not buffer:
                self._buffer = b""
                return False
        limits = self.door.limits
        # What was looked at before is not looked at again: a head may come byte by byte.
        seen = max(self._seen - 3, 0)
        end = buffer.find(b"\r\n\r\n", seen)
        if end + 4 > limits.head or (end < 0 and len(buffer) > limits.head):
            self._refuse(HeadTooLarge(f"head over {limits.head} bytes"), buffer)
            return False
        if end < 0:
            self._buffer = buffer
            self._seen = len(buffer)
            if _BARE_LINE_END.search(buffer, seen):
                self._refuse(BadMessage("a bare CR or LF"), buffer)
            elif not self._is_partial:
                self._is_partial = True
                self._deadline.set(limits.head_time)
            return False
        if self._heads >= MAX_HEADS:
            self._buffer = buffer
            return self._wait()
        self._heads += 1
        self._is_partial = False
        self._seen = 0
        raw, self._buffer = buffer[: end + 4], buffer[end + 4 :]
        wipe(buffer)
        head = parse_like(raw, self._last)
        if head is None:
            try:
                head = parse_request(raw, most_fields=limits.fields)
            except PortalError as error:
                self._refuse(error, raw)
                return False
        self._last = head if len(raw) <= MAX_REMEMBERED and not head.shows_password else UNREADABLE
        del raw, buffer
        self._begin(head)
        return True

    def _begin(self, head: RequestHead) -> None:
        exchange = self._exchange = Exchange(self, head)
        if head.length:
            self._body = reader_for(head.length)
            self._step = self._in_body
            self.hold_body()  # until somebody takes it
        else:
            self._step = self._in_wait
        self._deadline.set(self.door.limits.silence)
        self.door.serve(exchange)

    def _in_body(self) -> bool:
        body, exchange = self._body, self._exchange
        if self._holds or body is None:
            return False
        came, self._buffer = self._buffer, b""
        try:
            payload, self._buffer = body.feed(came)
        except Malformed as error:
            if exchange is None:
                self.close()
            else:
                exchange.fail_request(BadMessage(f"request body: {error}"))
            return False
        wipe(came)
        del came  # mostly the payload itself
        if exchange is not None:
            if payload:
                self._deadline.set(self.door.limits.silence)
                exchange.body_received(payload)
            if body.is_done and self._step == self._in_body:
                self._step = self._in_wait
                exchange.body_ended(body.trailers)
        wipe(payload)
        if not body.is_done:
            return self._wait() if self._buffer and self._step == self._in_body else False
        if self._exchange is None and self._step != self._at_end:
            self._step = self._at_head
        return True

    def _in_wait(self) -> bool:
        if len(self._buffer) > MAX_AHEAD:
            self._is_ahead = True
            self._pause()
        return False

    def _in_tunnel(self) -> bool:
        data, self._buffer = self._buffer, b""
        if self._exchange is not None:
            self._buffer = self._exchange.tunnel_received(data)
        return self._wait() if self._buffer else True

    def _at_end(self) -> bool:
        self._drop()
        return False

    def _refuse(self, error: PortalError, received: bytes) -> None:
        """Answer a message that cannot be read, and close: where the next one begins is anybody's guess."""
        self._step = self._at_end
        self._drop()
        seen = glimpse(received)
        is_too_large = isinstance(error, HeadTooLarge) and seen.has_many_cookies(self.door.limits.head)
        if is_too_large or seen.has_odd_cookies:
            error = PlantedCookies(f"{error}; planted cookies", seen.cookie_names, error.status)
        exchange = self._exchange = Exchange(self, seen.head)
        exchange.fail(error)

    def _expired(self) -> None:
        if self._step == self._at_end or not self.is_open:
            if self.is_open:
                self.transport.abortConnection()
        elif self._exchange is not None:
            self._exchange.fail(TooSlow("silent for too long"))
        elif self._step == self._at_head and self._buffer:
            self._refuse(TooSlow("head not complete in time"), self._buffer)
        else:
            self.close()
