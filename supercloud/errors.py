"""The refusals: a status, a text for the person, an outcome word for the log.

``str(error)`` is for the log and may name accounts, nodes and numbers; ``public`` is for the person in front of the
browser and says what to do next. They are never the same text.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus


class PortalError(Exception):
    """A stage refused an exchange.

    :cvar status: what HTTP says.
    :cvar public: what the page says; holds nothing that the viewer may not know.
    :cvar outcome: the last word of the audit line.
    :cvar retry_after: seconds until it may be worth trying again, where the status is 503.
    :ivar claimed: who was refused says, or showed, that they are this account; for the audit. It is an account's name,
        or what `authn.claim` made of a text that may be anything; empty where nobody said.
    """

    status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR
    public: str = "The portal made a mistake. It was logged; try again, and tell the site if it stays."
    outcome: str = "broken"
    retry_after: int = 2

    def __init__(self, log: str = "", *, public: str | None = None, claimed: str = "") -> None:
        super().__init__(log or type(self).__name__)
        self.claimed = claimed
        if public is not None:
            self.public = public


class BadMessage(PortalError):
    """The downstream's message is ambiguous or malformed (RFC 9112); the connection closes after the answer."""

    status = HTTPStatus.BAD_REQUEST
    public = "The portal could not read this request, so it was not passed on."
    outcome = "refused"


class HeadTooLarge(BadMessage):
    """The request's head is over a limit."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    public = "The head of this request is too large. Clearing this site's cookies usually helps."


class PlantedCookies(BadMessage):
    """The request came with cookies that its viewer did not get here; the answer ends them.

    :ivar names: of those to be ended, as far as they were seen.
    """

    title = "Cookies of this site were cleared"
    public = (
        "A page of somebody else's has left cookies for this site in your browser with which no request of yours can "
        "be read. All cookies of this site were cleared, so you are signed out here. Sign in again. If this comes "
        "back, clear them in your browser's settings, and tell the site which application you had open."
    )

    def __init__(self, log: str, names: tuple[bytes, ...], status: HTTPStatus) -> None:
        super().__init__(log)
        self.names = names
        self.status = status


class CookieTwice(PlantedCookies):
    """Several cookies of the portal's by one name: one may name somebody else as the viewer."""

    public = (
        "Your browser has sent two cookies by the same name, of which the portal has set one. The other was planted by "
        "a page of somebody else's, to have you act as them, so nothing was done. All cookies of this site were "
        "cleared. Sign in again, and look as whom you are signed in. If this comes back, clear them in your browser's "
        "settings, and tell the site which application you had open."
    )

    def __init__(self, names: tuple[bytes, ...]) -> None:
        told = ", ".join(name[:80].decode("ascii", "backslashreplace") for name in names[:3])
        super().__init__(f"several cookies {told}", names, HTTPStatus.BAD_REQUEST)


class TooSlow(BadMessage):
    """The head did not arrive in time."""

    status = HTTPStatus.REQUEST_TIMEOUT
    public = "The request did not arrive in time."
    outcome = "timed-out"


class MethodRefused(PortalError):
    """A method that a gateway does not carry (CONNECT, TRACE), or that is not taken at this address.

    :ivar allow: those that are.
    """

    status = HTTPStatus.METHOD_NOT_ALLOWED
    public = "This method is not carried by the portal."
    outcome = "refused"
    allow: bytes = b"GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"


class Misdirected(PortalError):
    """The ``Host`` is none of the portal's (RFC 9110 section 15.5.20)."""

    status = HTTPStatus.MISDIRECTED_REQUEST
    public = "This portal does not serve that host name."
    outcome = "refused"


class NotAuthenticated(PortalError):
    """Nobody is signed in on this origin."""

    status = HTTPStatus.UNAUTHORIZED
    public = "Sign in first."
    outcome = "refused"


class OutOfScope(PortalError):
    """A token that is good, but not for this address (RFC 6750 section 3.1)."""

    status = HTTPStatus.FORBIDDEN
    public = "This token is not for this address."
    outcome = "refused"

    def __init__(self, log: str, need: Sequence[str], *, claimed: str = "") -> None:
        """:param need: what would do, the least first. What the token is for is its owner's to know."""
        super().__init__(
            log,
            public=f"This token is for something else; this address takes one for {' or '.join(need)}. Make it on the "
            f"portal's page /tokens, or on a login node: supercloud token create --for {need[0]}",
            claimed=claimed,
        )


class BodyTooLarge(PortalError):
    """More was sent than a page of the portal's own takes."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    public = "This form holds more than the portal takes."
    outcome = "refused"


class WrongMediaType(PortalError):
    """A page of the portal's own was sent something else than a form."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    public = "The portal takes forms here: application/x-www-form-urlencoded."
    outcome = "refused"


class NotFound(PortalError):
    """Nothing is at this address, or not for this viewer."""

    status = HTTPStatus.NOT_FOUND
    public = "There is nothing at this address, or it is not yours."
    outcome = "refused"


class BadAddress(NotFound):
    """The address is of a known form, but cannot be read or leads outside what the site allows."""


class NotAuthorized(NotFound):
    """The principal may not reach the listener; who may not reach it does not learn that it is there."""


class CrossSite(PortalError):
    """A browser sent this for a page of another origin (Fetch Metadata)."""

    status = HTTPStatus.FORBIDDEN
    public = "Another site's page asked for this in your name, so it was not passed on."
    outcome = "refused"


class LedHere(PortalError):
    """A link of another site's leads to an address of the portal's own; a page asks first whether to go on."""

    status = HTTPStatus.FORBIDDEN
    public = "Another site's page led here. Go on if you meant to open this address of the portal."
    outcome = "refused"


class NotPassive(PortalError):
    """A page wants to run one of the viewer's files, or to have it as a part (Sec-Fetch-Dest)."""

    status = HTTPStatus.FORBIDDEN
    public = "Files are shown, but no page may run them or hold them."
    outcome = "refused"


class NothingListens(PortalError):
    """No process waits at this node and port (yet)."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    public = (
        "Nothing listens there now. If the application is starting, this page opens it by itself as soon as it "
        "answers; if it has ended, start it again from your workspace."
    )
    outcome = "unreachable"


class ForwardDisabled(PortalError):
    """A forward that its owner has switched off: its file is empty, or may not be executed."""

    status = HTTPStatus.GONE
    public = "This forward is switched off."
    outcome = "refused"


class ForwardUnusable(PortalError):
    """A forward that leads nowhere as it is written; told to its owner only, with what mends it."""

    status = HTTPStatus.BAD_GATEWAY
    public = "This forward cannot be used as it is written."
    outcome = "refused"


class ForwardChanged(PortalError):
    """A forward leads elsewhere than when the request was let in, or is another file's."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    public = "This forward was changed while the request was under way. Try again."
    outcome = "refused"


class Unreachable(PortalError):
    """The application could not be reached, or what it said could not be read."""

    status = HTTPStatus.BAD_GATEWAY
    public = "The application did not answer as it should. Its own log may say why."
    outcome = "unreachable"


class Unanswered(Unreachable):
    """The connection closed before a single byte of an answer came: the application need not have seen the request."""


class Undecided(Unreachable):
    """Nobody could say who owns the listener, so nobody is let through."""

    public = "The portal could not find out whose application this is, so it did not connect. Try again in a moment."


class Busy(PortalError):
    """A limit on work at the same time is reached."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    public = "The portal is busy. Try again in a moment."
    outcome = "refused"


class NoWorker(PortalError):
    """The process that would act as the user could not be started, or ended before its answer."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    public = "The portal could not start the process that works as you. Try again in a moment."
    outcome = "unreachable"


class AccountClosed(PortalError):
    """The account is there, and may not be used now; ``public`` says why."""

    status = HTTPStatus.FORBIDDEN
    public = "This account may not be used now."
    outcome = "refused"


class UnderMaintenance(PortalError):
    """The site has closed the portal for a while; ``public`` is what it says about that."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    public = "The portal is closed for maintenance."
    outcome = "refused"


class TooMany(PortalError):
    """This principal has as many connections or streams open as the site allows."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    public = "Too many connections of yours are open at once. Close some pages and try again."
    outcome = "refused"


class LoopNoticed(PortalError):
    """The request has passed this portal already (``Via``, RFC 9110 section 7.6.3)."""

    status = HTTPStatus.LOOP_DETECTED
    public = "This address leads back to the portal itself."
    outcome = "refused"


class Elsewhere(PortalError):
    """Not a failure: the viewer is sent to another address.

    :ivar location: an absolute URL made by the portal.
    :ivar fields: further response fields (cookies, ``Clear-Site-Data``).
    """

    status = HTTPStatus.SEE_OTHER
    public = "The portal sends you on."
    outcome = "served"

    def __init__(
        self,
        location: str,
        *,
        status: HTTPStatus = HTTPStatus.SEE_OTHER,
        fields: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(f"sent on to {location.partition('?')[0]}")
        self.status = status
        self.location = location
        self.fields = fields


class NeedsOrigin(PortalError):
    """Somebody else's application on the portal's own origin, and no origin of its own to send the viewer to."""

    status = HTTPStatus.FORBIDDEN
    public = (
        "This application is somebody else's. It could act in your name under the portal's own address, so it is only "
        "shown at an address of its own. The site can make one: a DNS record and a certificate for *.fh and *.fn under "
        "the portal's name (/.portal/origins says what is lacking), and a node or forward whose name is of lower-case "
        "letters, digits and dashes."
    )
    outcome = "refused"
