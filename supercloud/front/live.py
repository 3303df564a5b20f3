"""Live updates: open pages are told what changes, without each of them holding one of their worker's few threads.

The front asks the worker of each account that has a page open, once for all of its pages, and tells them what is new by
server-sent events (HTML Living Standard section 9.2). So an open page keeps its worker, as if somebody loaded it.
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from supercloud import events
from supercloud.authn.authenticate import Viewer
from supercloud.errors import MethodRefused, NotPassive, PortalError, TooMany
from supercloud.front.exchange import Exchange
from supercloud.identity import Principal
from supercloud.message.head import UNTIL_CLOSE, Field, ResponseHead

EVERY: Final = 2.0  # seconds between two questions
MOST_PATIENCE: Final = 30.0  # seconds between two questions to a worker that does not answer
# Pages of one account at once: each that does not read may hold a whole answer. The next ones ask by themselves.
MOST: Final = 32
KEEP_ALIVE: Final = 15.0  # seconds of silence, after which a proxy on the way could give up
_BEGIN: Final = b"retry: 3000\n\n"
_ALIVE: Final = b":\n\n"
_FIELDS: Final = (
    b"Content-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
    b"Content-Security-Policy: sandbox; default-src 'none'; frame-ancestors 'none'\r\n"
    b"Cross-Origin-Resource-Policy: same-origin\r\n"
)
_HEAD: Final = ResponseHead(200, b"OK", 1, [], UNTIL_CLOSE, True, b"", (), b"")
_BROKEN: Final = PortalError("mistake of the portal's own")


class WorkspaceAsk(Protocol):
    """Asks an account's worker; see workers.asking."""

    async def workspace(self, principal: Principal) -> bytes:
        """JSON.

        :raises PortalError: it does not answer.
        """
        ...


class Live:
    """The open pages of all accounts; see `stages.Updates`."""

    def __init__(self, ask: WorkspaceAsk, clock: IReactorTime) -> None:
        self._ask = ask
        self._clock = clock
        self._watches: dict[int, _Watch] = {}

    def begin(self, exchange: Exchange, viewer: Viewer) -> None:
        """Let an exchange be told from now on what changes.

        :raises TooMany: the account has `MOST` already.
        :raises PortalError: it is no page that listens.
        """
        head, principal = exchange.head, viewer.principal
        if head.method != b"GET" or head.length:
            raise MethodRefused("live updates are GET")
        if head.get(b"sec-fetch-dest") not in (None, b"empty"):
            raise NotPassive("live updates as a page or a part of one")
        exchange.audit.target = "live updates"
        if exchange.is_over:
            return
        watch = self._watches.get(principal.uid)
        if watch is None:
            watch = self._watches[principal.uid] = _Watch(self._ask, self._clock)
        elif len(watch) >= MOST:
            raise TooMany(f"{principal.login} has {MOST} pages that listen")
        watch.principal = principal
        exchange.on_over.append(lambda: self._over(principal.uid, watch, stream))
        stream = _Stream(exchange, viewer, self._clock)
        watch.add(stream)

    def __len__(self) -> int:
        """Accounts with a page open."""
        return len(self._watches)

    def _over(self, uid: int, watch: _Watch, stream: _Stream) -> None:
        if watch.remove(stream):
            del self._watches[uid]


class _Watch:
    """One account: what its pages know, and when its worker is asked again.

    :ivar principal: whose worker is asked; as of the page that was opened last.
    """

    principal: Principal

    def __init__(self, ask: WorkspaceAsk, clock: IReactorTime) -> None:
        self._ask = ask
        self._clock = clock
        self._streams: dict[_Stream, None] = {}
        self._news = b""
        self._asking: Deferred[None] | None = None
        self._due = 0.0
        self._patience = EVERY
        self._next: IDelayedCall | None = None

    def __len__(self) -> int:
        """Open pages."""
        return len(self._streams)

    def add(self, stream: _Stream) -> None:
        """A page is open."""
        self._streams[stream] = None
        stream.begin(self._news)
        if self._next is None:
            self._tick()

    def remove(self, stream: _Stream) -> bool:
        """A page is closed.

        :returns: whether it was the last, so that nothing of this is left.
        """
        self._streams.pop(stream, None)
        if self._streams:
            return False
        if self._next is not None and self._next.active():
            self._next.cancel()
        if self._asking is not None:
            self._asking.cancel()
        return True

    def _tick(self) -> None:
        self._next = self._clock.callLater(EVERY, self._tick)
        for stream in list(self._streams):
            stream.look()
        if self._streams and self._asking is None and self._clock.seconds() >= self._due:
            asking = self._asking = Deferred.fromCoroutine(self._look())
            asking.addErrback(_end_quietly)
            if asking.called:
                self._asking = None

    async def _look(self) -> None:
        self._due = self._clock.seconds() + EVERY
        try:
            said = await self._ask.workspace(self.principal)
        except PortalError as error:
            self._wait_longer(error)
        except CancelledError:
            raise
        except Exception:
            events.unexpected(f"asking for the workspace of {self.principal}")
            self._wait_longer(_BROKEN)
        else:
            self._patience = EVERY
            self._tell(b"workspace", said)
        finally:
            self._asking = None

    def _wait_longer(self, error: PortalError) -> None:
        self._patience = min(self._patience * 2, MOST_PATIENCE)
        self._due = self._clock.seconds() + self._patience
        self._tell(b"trouble", msgspec.json.encode({"message": error.public}))

    def _tell(self, event: bytes, data: bytes) -> None:
        # In JSON an end of line is nothing but space; here it would begin another field, or another event.
        line = data.replace(b"\r", b" ").replace(b"\n", b" ")
        news = b"event: %b\ndata: %b\n\n" % (event, line)
        if news != self._news:
            self._news = news
            for stream in list(self._streams):
                stream.tell(news)


def _end_quietly(failure: Failure) -> None:
    """The last page was closed."""
    failure.trap(CancelledError)  # type: ignore[no-untyped-call]


class _Stream:
    """One open page; see `exchange.Relay`. One that reads slowly gets the newest state and never a queue of them."""

    def __init__(self, exchange: Exchange, viewer: Viewer, clock: IReactorTime) -> None:
        self._exchange = exchange
        self._viewer = viewer
        self._clock = clock
        self._is_choked = False
        self._missed = b""
        self._written = 0.0

    def begin(self, news: bytes) -> None:
        """Answer, with what is known already."""
        self._exchange.outward = _told_fields
        self._exchange.carry(self)
        self._exchange.respond_head(_HEAD)
        self._write(_BEGIN + news)

    def tell(self, news: bytes) -> None:
        """Something changed."""
        if self._is_choked:
            self._missed = news
        else:
            self._write(news)

    def look(self) -> None:
        """End with the session, which an open page alone does not use; and say something once in a while."""
        viewer = self._viewer
        if not viewer.keeper.is_live(viewer.credential):
            self.portal_stops()
        elif not self._is_choked and self._clock.seconds() - self._written >= KEEP_ALIVE:
            self._write(_ALIVE)

    def _write(self, data: bytes) -> None:
        self._written = self._clock.seconds()
        self._exchange.respond_body(data)
        self._exchange.respond_flush()

    # From the exchange.

    def downstream_choked(self) -> None:
        """The browser reads slowly."""
        self._is_choked = True

    def downstream_drained(self) -> None:
        """The browser reads again."""
        self._is_choked = False
        missed, self._missed = self._missed, b""
        if missed:
            self._write(missed)

    def portal_stops(self) -> None:
        """The end; a browser that may asks again by itself."""
        self._exchange.respond_end(())

    def access_ended(self, reason: str) -> bool:
        """The page's session is over: it notices by itself that the stream broke off."""
        return False

    def downstream_lost(self) -> None:
        """`Exchange.on_over` follows."""

    def downstream_ended(self) -> None:
        """Whoever finished sending may still listen."""

    def request_body(self, payload: bytes) -> None:
        """There is none."""

    def request_ended(self, trailers: tuple[Field, ...]) -> None:
        """There is none."""

    def tunnel_sent(self, data: bytes) -> bytes:
        """There is no tunnel."""
        return b""


def _told_fields(head: ResponseHead) -> bytes:
    return _FIELDS
