"""One HTTP exchange between a browser and a verified connection: both bodies stream, each at the other's pace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from supercloud.errors import PortalError, Unanswered, Unreachable
from supercloud.message.body import chunk, last_chunk
from supercloud.message.head import CHUNKED, Field, ResponseHead
from supercloud.relay.rewriting import Rewriters

# RFC 9110 section 9.2.2, RFC 4918: may be sent again when a kept connection turns out to be closed.
REPEATABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PROPFIND", b"REPORT", b"SEARCH"})


class Upstream(Protocol):
    """The application's side: a connection that carries one exchange at a time."""

    exchanges: int

    def begin(self, sink: Any, method: bytes, head: bytes) -> None: ...
    def write(self, data: bytes) -> None: ...
    def finish(self) -> None: ...
    def finish_tunnel(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def leave(self) -> None: ...
    def close(self) -> None: ...


class Downstream(Protocol):
    """The browser's side: an exchange on a downstream connection."""

    def carry(self, relay: Any) -> None: ...
    def start_request_body(self, relay: Any) -> None: ...
    def respond_head(self, head: ResponseHead) -> None: ...
    def respond_body(self, payload: bytes) -> None: ...
    def respond_end(self, trailers: Sequence[bytes]) -> None: ...
    def respond_flush(self) -> None: ...
    def pause_request(self) -> None: ...
    def resume_request(self) -> None: ...
    def begin_tunnel(self, head: ResponseHead) -> None: ...
    def enter_tunnel(self, head: bytes) -> None: ...
    def tunnel_write(self, data: bytes) -> None: ...
    def end_tunnel(self) -> None: ...
    def fail(self, error: PortalError) -> None: ...
    def break_off(self) -> None: ...


class Trailing(Protocol):
    """Which trailers pass, and as what lines; see routing.place.Trailers and routing.own_worker.Trailers."""

    def inward(self, trailers: tuple[Field, ...]) -> list[bytes]: ...
    def outward(self, trailers: tuple[Field, ...], head: ResponseHead) -> list[bytes]: ...


class HttpRelay:
    """Carries one exchange. The downstream starts it with `start`, and each side calls what concerns it.

    :param length: of the request's body, in bytes, or CHUNKED.
    :param upgrade: whether the request asks for another protocol, so that 101 may come.
    :param trailing: says what passes of trailers; without it none do.
    :param rewriters: step in where a response is to be rewritten; None where none is.
    :param retry: opens a fresh connection and carries the exchange again; called instead of failing when a kept
        connection turns out to be closed, and the application has answered with not one byte. None when the method is
        not idempotent or a body was sent (RFC 9110 section 9.2.2).
    """

    __slots__ = (
        "_downstream",
        "_head",
        "_length",
        "_retry",
        "_rewriters",
        "_trailing",
        "_tunnel",
        "_upgrade",
        "_upstream",
    )

    def __init__(
        self,
        downstream: Downstream,
        upstream: Upstream,
        *,
        length: int,
        upgrade: bool = False,
        trailing: Trailing | None = None,
        rewriters: Rewriters | None = None,
        retry: Callable[[], object] | None = None,
    ) -> None:
        self._downstream = downstream
        self._upstream: Upstream | None = upstream
        self._length = length
        self._upgrade = upgrade
        self._rewriters = rewriters
        self._retry = retry
        self._trailing = trailing
        self._head: ResponseHead | None = None
        self._tunnel = False

    def start(self, method: bytes, head: bytes) -> None:
        """Send the request's head and let its body follow."""
        upstream = self._upstream
        if upstream is None:
            return
        upstream.begin(self, method, head)
        if self._length == 0:
            upstream.finish()
        else:
            self._downstream.start_request_body(self)

    # From the downstream.

    def request_body(self, payload: bytes) -> None:
        """A part of the request's body; dropped once the application has answered and left."""
        upstream = self._upstream
        if upstream is None:
            return
        self._retry = None
        upstream.write(chunk(payload) if self._length == CHUNKED else payload)

    def request_ended(self, trailers: tuple[Field, ...]) -> None:
        """The request's body is complete."""
        upstream = self._upstream
        if upstream is None:
            return
        if self._length == CHUNKED:
            passing = self._trailing.inward(trailers) if trailers and self._trailing is not None else ()
            upstream.write(last_chunk(passing))
        upstream.finish()

    def tunnel_sent(self, data: bytes) -> bytes:
        """Bytes of the browser's through the tunnel; none is left over."""
        if self._upstream is not None:
            self._upstream.write(data)
        return b""

    def downstream_ended(self) -> None:
        """The browser finished sending through the tunnel (never over TLS: Twisted's cannot half-close)."""
        if self._upstream is not None and self._tunnel:
            self._upstream.finish_tunnel()

    def downstream_lost(self) -> None:
        """The browser is gone."""
        upstream, self._upstream = self._upstream, None
        if upstream is None:
            return
        if self._tunnel:
            upstream.close()
        else:
            upstream.leave()

    def downstream_choked(self) -> None:
        """The browser reads slowly: so does the portal."""
        if self._upstream is not None:
            self._upstream.pause()

    def downstream_drained(self) -> None:
        """The browser has room again."""
        if self._upstream is not None:
            self._upstream.resume()

    def portal_stops(self) -> None:
        """An exchange is finished first; a tunnel has no end of its own, so it ends now."""
        if self._tunnel:
            self.tunnel_ended()

    def access_ended(self, reason: str) -> bool:
        """What let the exchange in has ended.

        :returns: whether the browser is told in the exchange itself: HTTP has no way for that.
        """
        return False

    # From the upstream; see upstream.http11.Sink.

    def response_started(self, head: ResponseHead) -> None:
        """A head; after an interim one comes another."""
        if head.status == 101:
            if not self._upgrade:
                self._give_up(Unreachable("101 that nobody asked for"))
                return
            self._downstream.begin_tunnel(head)
            self._tunnel = True
            return
        self._head = head
        if self._rewriters is not None and not self._rewriters.passes(head):
            head, self._downstream = self._rewriters.begin(head, self, self._downstream)
        self._downstream.respond_head(head)

    def response_body(self, payload: bytes) -> None:
        """Some payload."""
        self._downstream.respond_body(payload)

    def response_pause(self) -> None:
        """Nothing more for now: what was held back to be written at once leaves."""
        self._downstream.respond_flush()

    def response_ended(self, trailers: tuple[Field, ...]) -> None:
        """The response is complete; the rest of the request, if any, has nowhere to go."""
        self._upstream = None
        passing: Sequence[bytes] = ()
        if trailers and self._trailing is not None and self._head is not None:
            passing = self._trailing.outward(trailers, self._head)
        self._downstream.respond_end(passing)

    def upstream_lost(self, error: PortalError) -> None:
        """The application is gone before its response was complete."""
        upstream, self._upstream = self._upstream, None
        if self._tunnel:
            self._downstream.end_tunnel()
        elif (
            isinstance(error, Unanswered)
            and self._retry is not None
            and upstream is not None
            and upstream.exchanges > 1
        ):
            self._retry()
        else:
            self._downstream.fail(error)

    def upstream_choked(self) -> None:
        """The application reads slowly: the browser waits."""
        self._downstream.pause_request()

    def upstream_drained(self) -> None:
        """The application has room again."""
        self._downstream.resume_request()

    def tunnel_received(self, data: bytes) -> bytes:
        """Bytes of the application's through the tunnel; none is left over."""
        self._downstream.tunnel_write(data)
        return b""

    def tunnel_ended(self) -> None:
        """The application finished sending: over TLS that ends the tunnel, once everything has left."""
        upstream, self._upstream = self._upstream, None
        self._downstream.end_tunnel()
        if upstream is not None:
            upstream.close()

    def _give_up(self, error: PortalError) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.leave()
        self._downstream.fail(error)
