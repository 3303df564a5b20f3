"""One request and its response on a downstream connection, with what the stages found out on its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from twisted.internet.interfaces import IReactorTime

from supercloud.errors import PortalError
from supercloud.events import AuditLine
from supercloud.message.body import chunk, last_chunk
from supercloud.message.fields import line
from supercloud.message.head import Field, RequestHead, ResponseHead
from supercloud.routing.always import APART
from supercloud.shares import Share

if TYPE_CHECKING:
    from supercloud.front.channel import Channel

_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


class Relay(Protocol):
    """Who carries the exchange; see relay.http and relay.websocket."""

    def request_body(self, payload: bytes) -> None: ...
    def request_ended(self, trailers: tuple[Field, ...]) -> None: ...
    def tunnel_sent(self, data: bytes) -> bytes: ...
    def downstream_ended(self) -> None: ...
    def downstream_lost(self) -> None: ...
    def downstream_choked(self) -> None: ...
    def downstream_drained(self) -> None: ...
    def portal_stops(self) -> None: ...
    def access_ended(self, reason: str) -> bool: ...


class Exchange:
    """A request under way.

    :ivar head: a glimpse for a message that could not be read, which is refused at once.
    :ivar audit: filled in by the stages; written when the exchange is over.
    :ivar always: field lines that go with whatever is answered, set once the origin is known; see routing.always.
    :ivar outward: rewrites an application's fields for the browser; set by the pipeline.
    :ivar is_told: whether it leaves a line in the audit.
    :ivar on_over: called once when the exchange is over, whatever happened.
    """

    __slots__ = (
        "_channel",
        "_chunked",
        "_is_over",
        "_is_tunnel",
        "_keep",
        "_out",
        "_relay",
        "_responding",
        "_started",
        "always",
        "audit",
        "head",
        "is_told",
        "on_over",
        "outward",
        "pending",
    )

    def __init__(self, channel: Channel, head: RequestHead) -> None:
        self._channel = channel
        self._relay: Relay | None = None
        self._out: list[bytes] = []
        self._started = channel.door.clock.seconds()
        self._responding = False
        self._chunked = False
        self._is_tunnel = False
        self._is_over = False
        self._keep = head.keep_alive and not head.upgrade
        self.head = head
        self.always = APART
        self.is_told = True
        self.outward: Callable[[ResponseHead], bytes] | None = None
        self.on_over: list[Callable[[], object]] = []
        self.pending: Callable[[], object] | None = None
        self.audit = AuditLine(address=channel.address, method=head.method, path=head.target)

    @property
    def address(self) -> str:
        """Of the browser."""
        return self._channel.address

    @property
    def share(self) -> Share:
        """Whose time it takes."""
        return self._channel.share

    @property
    def memory(self) -> dict[str, object]:
        """What stages remember about this connection."""
        return self._channel.memory

    @property
    def clock(self) -> IReactorTime:
        """For time limits of the portal's own."""
        return self._channel.door.clock

    @property
    def transport(self) -> object:
        """The connection's transport, for its certificate."""
        return self._channel.transport

    @property
    def is_over(self) -> bool:
        """Nothing can be answered any more."""
        return self._is_over

    # From the pipeline.

    def carry(self, relay: Relay) -> None:
        """Let ``relay`` have the exchange."""
        self._relay = relay
        if self._channel.is_choked:
            relay.downstream_choked()

    def charge(self, uid: int) -> None:
        """The request is an account's, and from here on the connection is."""
        self._channel.charge(uid)

    def respond(self, status: int, fields: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
        """Answer with a page of the portal's own."""
        if self._is_over:
            return
        head = self.head
        has_body = status not in (204, 304)
        lines = [b"HTTP/1.1 %d %b\r\n" % (status, _REASONS.get(status, b""))]
        lines += [line(name, value) for name, value in fields]
        lines.append(self.always)
        if has_body:
            lines.append(b"Content-Length: %d\r\n" % len(body))
        self._keep = self._keep and head.length == 0
        lines.append(self._connection_field())
        lines.append(b"\r\n")
        if has_body and head.method != b"HEAD":
            lines.append(body)
            self.audit.down = len(body)
        self.audit.status = status
        self._responding = True
        self._channel.transport.write(b"".join(lines))
        self._end(self.audit.outcome or "served")

    def fail(self, error: PortalError) -> None:
        """Answer with a refusal; or break off, when a response has begun."""
        if self._is_over:
            return
        self.audit.outcome = error.outcome
        self.audit.reason = str(error)
        if not self.audit.principal:
            self.audit.claimed = error.claimed
        if self._responding:
            self.audit.outcome = "timed-out" if error.outcome == "timed-out" else "broken"
            self.break_off()
            return
        self._leave_relay()
        self._channel.door.refuse(self, error)

    def break_off(self) -> None:
        """End the connection in the midst of a response, so that the browser does not take it for a whole one."""
        self._leave_relay()
        self._out.clear()
        self._end(self.audit.outcome, abort=True)

    def end_access(self, error: PortalError, told: str) -> None:
        """What let this exchange in has ended: answer as a fresh request is answered, or break off.

        :param told: why, in a few words that a WebSocket's browser may read.
        """
        if self._is_over:
            return
        if not self._responding:
            self.fail(error)
            return
        self.audit.outcome, self.audit.reason = "refused", str(error)
        relay = self._relay
        # A browser that reads slowly would have the close frame behind all that it has not read.
        if relay is None or self._channel.is_choked or not relay.access_ended(told):
            self.break_off()

    # From the relay; see relay.http.Downstream.

    def start_request_body(self, relay: object) -> None:
        """The upstream takes the body now."""
        self._channel.take_body()

    def respond_head(self, head: ResponseHead) -> None:
        """A head of the application's."""
        request = self.head
        if self._is_over:
            return
        if head.is_interim:
            if request.minor == 1:
                fields = self.outward(head) if self.outward is not None and head.fields else b""
                self._channel.transport.write(b"HTTP/1.1 %d %b\r\n%b\r\n" % (head.status, head.reason, fields))
            return
        fields = self.outward(head) if self.outward is not None else b""  # refuses what takes too long
        self._responding = True
        self.audit.status = head.status
        out = self._out
        out.append(b"HTTP/1.1 %d %b\r\n%b%b" % (head.status, head.reason, fields, self.always))
        if head.length < 0:
            if request.minor == 1:
                self._chunked = True
                out.append(b"Transfer-Encoding: chunked\r\n")
            else:
                self._keep = False
        out.append(self._connection_field())
        out.append(b"\r\n")

    def respond_body(self, payload: bytes) -> None:
        """A part of the response's body."""
        self._out.append(chunk(payload) if self._chunked else payload)
        self.audit.down += len(payload)

    def respond_flush(self) -> None:
        """What was collected leaves."""
        out = self._out
        if out and not self._is_over:
            self._channel.transport.write(out[0] if len(out) == 1 else b"".join(out))
            self._out = []
            self._channel.moved()

    def respond_end(self, trailers: Sequence[bytes]) -> None:
        """The response is complete."""
        if self._is_over:
            return
        out = self._out
        if self._chunked:
            out.append(last_chunk(trailers))
        if out:
            self._channel.transport.write(out[0] if len(out) == 1 else b"".join(out))
            self._out = []
        self._end("served")

    def pause_request(self) -> None:
        """The application reads slowly."""
        if not self._is_over:
            self._channel.hold_body()

    def resume_request(self) -> None:
        """The application reads again."""
        if not self._is_over:
            self._channel.take_body()

    def begin_tunnel(self, head: ResponseHead) -> None:
        """101: from here on bytes pass as they are."""
        fields = self.outward(head) if self.outward is not None else b""
        start = b"HTTP/1.1 101 Switching Protocols\r\n"
        self.enter_tunnel(start + fields + b"Connection: upgrade\r\nUpgrade: %b\r\n\r\n" % head.upgrade)

    def enter_tunnel(self, head: bytes) -> None:
        """Send a 101 head that somebody else made, and pass bytes from here on."""
        self._responding = True
        self._is_tunnel = True
        self.audit.status = 101
        self._channel.transport.write(head)
        self._channel.enter_tunnel()

    def tunnel_write(self, data: bytes) -> None:
        """Bytes toward the browser."""
        if not self._is_over:
            self.audit.down += len(data)
            self._channel.transport.write(data)

    def end_tunnel(self) -> None:
        """Nothing more comes from the application."""
        self._keep = False
        self._end(self.audit.outcome or "served")

    # From the channel.

    def body_received(self, payload: bytes) -> None:
        """A part of the request's body."""
        self.audit.up += len(payload)
        if self._relay is not None:
            self._relay.request_body(payload)

    def body_ended(self, trailers: tuple[Field, ...]) -> None:
        """The request's body is complete."""
        if self._relay is not None:
            self._relay.request_ended(trailers)

    def fail_request(self, error: PortalError) -> None:
        """The request's body is malformed: neither side of it can be trusted to end where it should."""
        self._keep = False
        self.fail(error)

    def tunnel_received(self, data: bytes) -> bytes:
        """Bytes of the browser's; what is to be told again in a later turn comes back."""
        rest = b"" if self._relay is None else self._relay.tunnel_sent(data)
        self.audit.up += len(data) - len(rest)
        return rest

    def tunnel_finished(self) -> None:
        """The browser finished sending (plain TCP only)."""
        if self._relay is not None:
            self._relay.downstream_ended()

    def choked(self) -> None:
        """The browser reads slowly."""
        if self._relay is not None:
            self._relay.downstream_choked()

    def drained(self) -> None:
        """The browser reads again."""
        if self._relay is not None:
            self._relay.downstream_drained()

    def abandoned(self) -> None:
        """The browser is gone."""
        if self._is_over:
            return
        self._leave_relay()
        self._over(self.audit.outcome or ("served" if self._is_tunnel else "abandoned"))

    def stop(self) -> None:
        """The portal stops: this exchange is the connection's last."""
        self._keep = False
        if self._relay is not None:
            self._relay.portal_stops()

    def _connection_field(self) -> bytes:
        if self._channel.door.is_stopping:
            self._keep = False
        if not self._keep:
            return b"Connection: close\r\n"
        return b"" if self.head.minor == 1 else b"Connection: keep-alive\r\n"

    def _leave_relay(self) -> None:
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.downstream_lost()

    def _end(self, outcome: str, *, abort: bool = False) -> None:
        if self._is_over:
            return
        self._relay = None
        self._over(outcome)
        if abort:
            self._channel.exchange_aborted()
        else:
            self._channel.exchange_over(keep=self._keep)

    def _over(self, outcome: str) -> None:
        self._is_over = True
        pending, self.pending = self.pending, None
        if pending is not None:
            pending()
        self.audit.outcome = outcome
        self.audit.seconds = self._channel.door.clock.seconds() - self._started
        for call in self.on_over:
            call()
        self._channel.door.exchange_over(self)
