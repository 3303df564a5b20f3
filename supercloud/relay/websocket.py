"""A WebSocket between a browser and an application (RFC 6455).

Once both opening handshakes are done (`relay.handshake`) the frames pass as they are, and `relay.frames` follows them:
the two ends give each other the verdicts that they would give directly.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from supercloud.deadline import Deadline
from supercloud.errors import PortalError, Unreachable
from supercloud.message.head import Field, RequestHead, ResponseHead
from supercloud.relay.frames import (
    CLOSE,
    GOING_AWAY,
    INTERNAL_ERROR,
    PING,
    POLICY_VIOLATION,
    SERVICE_RESTART,
    Frames,
    close_payload,
    control,
)
from supercloud.relay.handshake import ClientLeg, Handshakes, ServerLeg
from supercloud.relay.http import Downstream, Upstream

# Seconds for the other end's answer to a close frame.
CLOSE_WITHIN: Final = 5.0
# Seconds for the end of the frame under way when access has ended: a close frame fits behind it only.
LAST_FRAME_WITHIN: Final = 0.5
# Pings in a row that stay without an answer before an end counts as dead.
MAX_UNANSWERED: Final = 2


class WebSocketRelay:
    """Carries one WebSocket; both sides call it as they call `relay.http.HttpRelay`.

    :param extra: fields of the application's 101 for the browser's.
    :param is_used: called now and then while the browser sends something: its session is not idle.
    :param ping: seconds between pings to both ends.
    """

    __slots__ = (
        "_client",
        "_clock",
        "_closing",
        "_deadline",
        "_down",
        "_downstream",
        "_extra",
        "_farewell",
        "_handshakes",
        "_has_moved",
        "_is_choked",
        "_is_open",
        "_is_used",
        "_ping",
        "_secret",
        "_server",
        "_unanswered",
        "_up",
        "_upstream",
    )

    def __init__(
        self,
        downstream: Downstream,
        upstream: Upstream,
        *,
        handshakes: Handshakes,
        extra: Callable[[ResponseHead], bytes],
        is_used: Callable[[], object],
        clock: IReactorTime,
        ping: float,
    ) -> None:
        self._downstream = downstream
        self._upstream: Upstream | None = upstream
        self._handshakes = handshakes
        self._extra = extra
        self._is_used = is_used
        self._has_moved = False
        self._clock = clock
        self._ping = ping
        self._secret = secrets.token_bytes(8)
        self._up = Frames(self._secret)
        self._down = Frames(self._secret)
        self._unanswered = [0, 0]  # pings to the browser, to the application
        self._is_choked = [False, False]
        self._is_open = False
        self._closing = False
        self._farewell = ""  # why the browser is being refused, while its last frame passes
        self._server: ServerLeg | None = None
        self._client: ClientLeg | None = None
        self._deadline = Deadline(clock, self._tick)

    def start(self, head: RequestHead, request: bytes) -> None:
        """Begin both handshakes.

        :param request: the head for the application, as for plain HTTP.
        :raises BadMessage: the browser's handshake is none.
        """
        upstream = self._upstream
        if upstream is None:
            return
        self._server = self._handshakes.server(head)
        self._client, handshake = self._handshakes.client(request, self._server.offered)
        upstream.begin(self, b"GET", handshake)
        upstream.finish()

    # From the browser's side.

    def request_body(self, payload: bytes) -> None:
        """A handshake has no body."""

    def request_ended(self, trailers: tuple[Field, ...]) -> None:
        """A handshake has no body."""

    def tunnel_sent(self, data: bytes) -> bytes:
        """Frames of the browser's; those that are too many for one turn are left over."""
        if self._upstream is None or self._farewell:
            return b""
        self._unanswered[0] = 0
        self._has_moved = True
        passed, rest = self._up.feed(data)
        if passed:
            self._upstream.write(passed)
        self._look_for_close(self._up)
        return rest

    def downstream_ended(self) -> None:
        """A WebSocket has no half-closed state: the browser's end is gone."""
        self.downstream_lost()

    def downstream_lost(self) -> None:
        """The browser is gone; the application is told by a close frame, where one fits."""
        upstream = self._end()
        if upstream is None:
            return
        if not self._is_open:
            upstream.leave()
            return
        if not self._farewell:
            self._say_gone(upstream)
        upstream.close()

    def downstream_choked(self) -> None:
        """The browser reads slowly: so does the portal."""
        self._is_choked[0] = True
        if self._upstream is not None:
            self._upstream.pause()

    def downstream_drained(self) -> None:
        """The browser has room again."""
        self._is_choked[0] = False
        if self._upstream is not None:
            self._upstream.resume()

    def portal_stops(self) -> None:
        """A WebSocket has no end of its own: both ends are told. After a restart browsers' programs may come back;
        JupyterLab for one does not when the other end went away on purpose.
        """
        self.going_away()

    def going_away(
        self, reason: str = "the portal stops", *, down: int = SERVICE_RESTART, up: int = GOING_AWAY
    ) -> None:
        """Close both ends, each with a code; what their answers still bring is not waited for."""
        upstream = self._upstream
        if upstream is None or not self._is_open:
            self._downstream.fail(Unreachable(reason))
            return
        if self._down.is_between and self._down.close is None:
            self._downstream.tunnel_write(control(CLOSE, close_payload(down, reason)))
        if self._up.is_between and self._up.close is None:
            self._send_up(upstream, CLOSE, close_payload(up, reason))
        self._close_both()

    def access_ended(self, reason: str) -> bool:
        """What let the WebSocket in has ended: the browser is told behind the frame under way, the application at once.

        :returns: whether the browser can be told.
        """
        upstream = self._upstream
        if upstream is None or not self._is_open or self._down.close is not None:
            return False
        if self._farewell:
            return True
        self._farewell = reason
        self._say_gone(upstream)
        if self._down.is_between:
            self._refuse_browser()
        else:
            self._deadline.set(LAST_FRAME_WITHIN)
        return True

    # From the application's side; see upstream.http11.Sink.

    def response_started(self, head: ResponseHead) -> None:
        """The application's answer to the handshake; any but 101 passes as a response like another."""
        if head.status != 101:
            self._downstream.respond_head(head)
            return
        server, client = self._server, self._client
        self._server = self._client = None
        if server is None or client is None:
            return
        client.dataReceived(head.raw)
        if client.refused is not None:
            self._give_up(Unreachable(f"WebSocket handshake: {client.refused}"))
            return
        fields: dict[str, list[str]] = {}
        for line in self._extra(head).split(b"\r\n")[:-1]:
            name, _, value = line.partition(b": ")
            if not name.lower().startswith(b"sec-websocket-"):
                fields.setdefault(name.decode("ascii"), []).append(value.decode("utf-8", "replace"))
        server.chosen.callback((client.websocket_protocol_in_use, fields))
        if server.refused is not None:
            self._give_up(Unreachable(f"WebSocket handshake: {server.refused[0]}"))
            return
        self._is_open = True
        self._deadline.set(self._ping)
        self._downstream.enter_tunnel(server.transport.written)

    def response_body(self, payload: bytes) -> None:
        """Of a refusal."""
        self._downstream.respond_body(payload)

    def response_pause(self) -> None:
        """Of a refusal."""
        self._downstream.respond_flush()

    def response_ended(self, trailers: tuple[Field, ...]) -> None:
        """A refusal is complete; its trailers are nobody's business."""
        self._end()
        self._downstream.respond_end(())

    def tunnel_received(self, data: bytes) -> bytes:
        """Frames of the application's; those that are too many for one turn are left over."""
        if self._upstream is None:
            return b""
        self._unanswered[1] = 0
        passed, rest = self._down.feed(data[: self._down.left] if self._farewell else data)
        if passed:
            self._downstream.tunnel_write(passed)
        if not self._farewell:
            self._look_for_close(self._down)
            return rest
        if self._down.is_between:
            self._refuse_browser()
        return b""

    def tunnel_ended(self) -> None:
        """A WebSocket has no half-closed state: the application's end is gone."""
        upstream = self._end()
        self._tell_browser()
        if upstream is not None:
            upstream.close()

    def upstream_lost(self, error: PortalError) -> None:
        """The application is gone."""
        self._end()
        if self._is_open:
            self._tell_browser()
        else:
            self._downstream.fail(error)

    def upstream_choked(self) -> None:
        """The application reads slowly: the browser waits."""
        self._is_choked[1] = True
        self._downstream.pause_request()

    def upstream_drained(self) -> None:
        """The application has room again."""
        self._is_choked[1] = False
        self._downstream.resume_request()

    def _tell_browser(self) -> None:
        if self._down.is_between and self._down.close is None:
            self._downstream.tunnel_write(control(CLOSE, close_payload(INTERNAL_ERROR, "the application went away")))
        self._downstream.end_tunnel()

    def _say_gone(self, upstream: Upstream) -> None:
        if self._up.is_between and self._up.close is None:
            self._send_up(upstream, CLOSE, close_payload(GOING_AWAY, "the browser went away"))

    def _refuse_browser(self) -> None:
        self._downstream.tunnel_write(control(CLOSE, close_payload(POLICY_VIOLATION, self._farewell)))
        self._close_both()

    def _look_for_close(self, frames: Frames) -> None:
        if frames.close is None:
            return
        if self._up.close is not None and self._down.close is not None:
            self._close_both()
        elif not self._closing:
            self._closing = True
            self._deadline.set(CLOSE_WITHIN)

    def _tick(self) -> None:
        upstream = self._upstream
        if upstream is None:
            return
        if self._farewell:
            self._downstream.break_off()  # which leaves the application too
            return
        if self._closing:
            self._close_both()
            return
        if self._has_moved:
            self._has_moved = False
            self._is_used()
        if max(self._unanswered) >= MAX_UNANSWERED:
            dead = "browser" if self._unanswered[0] >= MAX_UNANSWERED else "application"
            self.going_away(f"the {dead} does not answer", down=INTERNAL_ERROR, up=INTERNAL_ERROR)
            return
        # An end that reads slowly gets none: its pong would stand behind all that it has not read yet.
        if self._down.is_between and not self._is_choked[0]:
            self._unanswered[0] += 1
            self._downstream.tunnel_write(control(PING, self._secret))
        if self._up.is_between and not self._is_choked[1]:
            self._unanswered[1] += 1
            self._send_up(upstream, PING, self._secret)
        self._deadline.set(self._ping)

    def _send_up(self, upstream: Upstream, opcode: int, payload: bytes) -> None:
        upstream.write(control(opcode, payload, secrets.token_bytes(4)))

    def _close_both(self) -> None:
        upstream = self._end()
        self._downstream.end_tunnel()
        if upstream is not None:
            upstream.close()

    def _end(self) -> Upstream | None:
        self._deadline.cancel()
        upstream, self._upstream = self._upstream, None
        return upstream

    def _give_up(self, error: PortalError) -> None:
        upstream = self._end()
        if upstream is not None:
            upstream.leave()
        self._downstream.fail(error)
