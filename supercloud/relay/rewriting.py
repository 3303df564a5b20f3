"""A response that is rewritten on its way: between the relay of an exchange and the browser's side.

Slices of bounded size are rewritten in turns of their own, and nothing is read from the application while some wait or
the browser is choked; so a page of any size, or a few bytes that unpack to gigabytes, take little memory and hold
nobody up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from supercloud.errors import PortalError, TooMany, Unreachable
from supercloud.message.head import Field, ResponseHead
from supercloud.rewrite.body import Body
from supercloud.rewrite.coding import BadCoding
from supercloud.rewrite.response import Responses, kept_trailers
from supercloud.shares import Later, Share

# Pages and style sheets of one account at once. One takes 40 KB as a rule and 1 MB at most, and a browser asks for six.
MAX_PAGES: Final = 64
_TOO_MANY: Final = (
    f"{MAX_PAGES} pages of yours are loading at once through an address where the portal rewrites links. "
    "Close some, or open the application at an address of its own."
)


class Browser(Protocol):
    """The browser's side; see relay.http.Downstream.

    :ivar share: whose time the rewriting takes.
    """

    @property
    def share(self) -> Share: ...
    def carry(self, relay: Any) -> None: ...
    def respond_head(self, head: ResponseHead) -> None: ...
    def respond_body(self, payload: bytes) -> None: ...
    def respond_end(self, trailers: Sequence[bytes]) -> None: ...
    def respond_flush(self) -> None: ...
    def pause_request(self) -> None: ...
    def resume_request(self) -> None: ...
    def fail(self, error: PortalError) -> None: ...
    def break_off(self) -> None: ...


class Carried(Protocol):
    """The relay that brings the response; see relay.http.HttpRelay."""

    def request_body(self, payload: bytes) -> None: ...
    def request_ended(self, trailers: tuple[Field, ...]) -> None: ...
    def downstream_lost(self) -> None: ...
    def downstream_choked(self) -> None: ...
    def downstream_drained(self) -> None: ...
    def portal_stops(self) -> None: ...
    def access_ended(self, reason: str) -> bool: ...


class Rewriters:
    """Steps in where a response is to be rewritten.

    :param responses: says which, for requests with the same fields.
    """

    __slots__ = ("_responses",)

    def __init__(self, responses: Responses) -> None:
        self._responses = responses

    def passes(self, head: ResponseHead) -> bool:
        """Whether a response is known to be one that is not rewritten."""
        passed = self._responses.passed
        return passed is not None and (head is passed or head.raw == passed.raw)

    def begin(self, head: ResponseHead, relay: Carried, browser: Any) -> tuple[ResponseHead, Any]:
        """The head that the browser gets, and to whom the relay hands the body.

        :raises TooMany: the account has `MAX_PAGES` under way.
        :raises Unreachable: see `Responses`.
        """
        if head.is_interim:
            return head, browser
        rewritten = self._responses(head)
        if rewritten is None:
            return head, browser
        if rewritten.body is None:
            return rewritten.head, browser
        if browser.share.pages >= MAX_PAGES:
            raise TooMany(f"{MAX_PAGES} pages are being rewritten", public=_TOO_MANY)
        return rewritten.head, Rewriting(rewritten.body, relay, browser)


class Rewriting:
    """Rewrites one response: the relay's downstream, and the browser's relay."""

    def __init__(self, body: Body, relay: Carried, browser: Browser) -> None:
        self._body = body
        self._relay = relay
        self._browser = browser
        self._share = browser.share
        self._share.pages += 1
        self._turn: Later | None = None
        self._is_choked = False
        self._is_held = False  # the application waits
        self._is_over = False
        self._trailers: Sequence[bytes] = ()
        self.request_body = relay.request_body
        self.request_ended = relay.request_ended
        self.portal_stops = relay.portal_stops
        self.access_ended = relay.access_ended
        browser.carry(self)

    # From the relay.

    def respond_head(self, head: ResponseHead) -> None:
        """The response begins."""
        self._browser.respond_head(head)

    def respond_body(self, payload: bytes) -> None:
        """A part of the application's body."""
        self._body.take(payload)
        if self._turn is None and not self._is_choked:
            self._step()

    def respond_flush(self) -> None:
        """Nothing more for now: what can be shown leaves, unless more is on its way anyway."""
        if self._turn is None and not self._is_choked and not self._is_over:
            self._send(self._body.flush())
            self._browser.respond_flush()

    def respond_end(self, trailers: Sequence[bytes]) -> None:
        """The application's body is complete."""
        self._trailers = kept_trailers(trailers)
        self._body.finish()
        if self._turn is None and not self._is_choked:
            self._step()

    def pause_request(self) -> None:
        """The application reads slowly."""
        self._browser.pause_request()

    def resume_request(self) -> None:
        """The application reads again."""
        self._browser.resume_request()

    def fail(self, error: PortalError) -> None:
        """The response cannot be completed."""
        self._stop()
        self._browser.fail(error)

    def break_off(self) -> None:
        """The browser is not to take it for a whole response."""
        self._stop()
        self._browser.break_off()

    # From the browser's side.

    def downstream_lost(self) -> None:
        """The browser is gone."""
        self._stop()
        self._relay.downstream_lost()

    def downstream_choked(self) -> None:
        """The browser reads slowly."""
        self._is_choked = True
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._hold()

    def downstream_drained(self) -> None:
        """The browser has room again."""
        self._is_choked = False
        if self._turn is None and not self._is_over:
            self._turn = self._share.later(self._later)

    # One slice after the other.

    def _later(self) -> None:
        self._turn = None
        self._step()
        if not self._is_over and self._turn is None and not self._is_choked:
            self._send(self._body.flush())
        if not self._is_over:
            self._browser.respond_flush()

    def _step(self) -> None:
        try:
            out, has_more = self._body.step()
        except BadCoding as error:
            self.fail(Unreachable(f"response body: {error}"))
            return
        self._send(out)
        if self._body.is_done:
            self._stop()
            self._browser.respond_end(self._trailers)
        elif self._is_choked:
            self._hold()
        elif has_more:
            self._hold()
            self._turn = self._share.later(self._later)
        else:
            self._release()

    def _send(self, out: bytes) -> None:
        if out:
            self._browser.respond_body(out)

    def _hold(self) -> None:
        if not self._is_held:
            self._is_held = True
            self._relay.downstream_choked()

    def _release(self) -> None:
        if self._is_held:
            self._is_held = False
            self._relay.downstream_drained()

    def _stop(self) -> None:
        if not self._is_over:
            self._share.pages -= 1
        self._is_over = True
        self._body.leave()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
