"""From the portal's origin onto an application's, by a ticket that is good once (design: Origins).

An origin that has no session sends the browser to ``/.portal/ticket`` on the portal's, with the hash of a nonce that it
gave it as a cookie; there it is made sure that the viewer may see what lives on that origin, and the ticket leads to
``/.portal/enter`` on it, where it becomes a session of that origin alone.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, NoReturn
from urllib.parse import quote

from supercloud.access import Access
from supercloud.authn import provenance
from supercloud.authn.authenticate import Viewer, session_cookie
from supercloud.authn.session import Session, Sessions
from supercloud.authn.ticket import Redeemed, Tickets, hash_nonce
from supercloud.errors import Elsewhere, NotAuthenticated, NotFound, NothingListens
from supercloud.front import pages
from supercloud.front.address import local, query_of
from supercloud.front.exchange import Exchange
from supercloud.message.fields import cookie
from supercloud.message.head import RequestHead
from supercloud.routing.hosts import Hosts
from supercloud.routing.origin_rule import OriginRule
from supercloud.target import Origin

NONCE_COOKIE: Final = b"__Host-Http-supercloud-nonce"
VIEWER_COOKIE: Final = b"__Host-Http-supercloud-viewer"
COOKIE_FLAGS: Final = b"; Path=/; Secure; HttpOnly; SameSite=Lax"
READING: Final = (b"GET", b"HEAD")
ENTER: Final = b"/.portal/enter"


class Entrance:
    """Leads sessions to where applications live.

    :param rule: says where that is.
    """

    def __init__(self, hosts: Hosts, sessions: Sessions, tickets: Tickets, access: Access, rule: OriginRule) -> None:
        self._hosts = hosts
        self._sessions = sessions
        self._tickets = tickets
        self._access = access
        self._rule = rule

    def begin(self, exchange: Exchange, origin: Origin) -> bool:
        """Send whoever can follow from an application's origin to where tickets are.

        :returns: whether they can.
        """
        head = exchange.head
        target = head.target.decode("ascii")
        if head.path == ENTER:
            target = local(query_of(head).get("next", "/"))  # not here again with a ticket that is used up
        # A program may be sent there too: it leads to no sign-in page, but to 401.
        is_program = head.get(b"sec-fetch-mode") is None and head.method in READING and not head.upgrade
        if not is_program and not provenance.wants_page(head):
            return False
        known = (cookie(head.fields, NONCE_COOKIE) or b"").decode("latin-1")
        nonce = known if self._tickets.is_nonce(known, origin.host) else self._tickets.make_nonce(origin.host)
        location = f"{self._ticket_url(origin, target)}&nonce={quote(hash_nonce(nonce), safe='')}"
        fields = [
            (b"Location", location.encode("ascii")),
            (b"Cache-Control", b"no-store"),
            (b"Set-Cookie", NONCE_COOKIE + b"=" + nonce.encode("latin-1") + b"; Max-Age=600" + COOKIE_FLAGS),
        ]
        exchange.respond(303, fields)
        return True

    def find_owner(self, head: RequestHead, origin: Origin) -> NoReturn:
        """A label that names no owner leads to the one that does; whose it is the portal's origin finds out.

        :raises Elsewhere: always.
        """
        status = HTTPStatus.SEE_OTHER if provenance.wants_page(head) else HTTPStatus.TEMPORARY_REDIRECT
        raise Elsewhere(self._ticket_url(origin, head.target.decode("ascii")), status=status)

    async def ticket(self, exchange: Exchange, viewer: Viewer) -> NoReturn:
        """Carry the viewer's session to an application's origin, once it is sure that they may see what lives there.

        :raises Elsewhere: always, unless another refusal comes before it.
        """
        query = query_of(exchange.head)
        to = self._hosts.of(query.get("to", "").lower().encode("ascii", "replace"))
        onward, nonce, uid = local(query.get("next", "/")), query.get("nonce", ""), viewer.principal.uid
        if to.is_portal:
            raise NotFound("ticket to no application")
        # Where only the viewer's own are shown, each request finds out whether this is one.
        owner = uid if to.is_shared else await self._owner(viewer, to, onward, exchange.head.method)
        if not nonce:
            raise NotFound("ticket without a nonce")
        text = self._tickets.issue(viewer.session, origin=to.host, owner=owner, nonce_hash=nonce)
        raise Elsewhere(f"{to.url}{ENTER.decode()}?ticket={quote(text, safe='')}&next={quote(onward, safe='')}")

    async def _owner(self, viewer: Viewer, to: Origin, onward: str, method: bytes) -> int:
        """Whose the application is that lives on an own origin.

        :raises Elsewhere: it lives on another one.
        """
        access, uid = self._access, viewer.principal.uid
        forward = None if to.forward is None else await access.find(viewer.principal, to.forward)
        application = to.application if forward is None else forward.application
        if application is None:
            raise NotFound("ticket to no application")
        try:
            owner = (await access.permit(viewer.principal, application, forward)).owner.uid
        except NothingListens:  # who waits for it waits where it will be
            owner = (uid if forward is None else forward.reservation.uid) if to.owner is None else to.owner
            if owner != uid and forward is None:
                raise
        if to.owner == owner:
            return owner
        proper = self._rule.proper(application, forward, onward, owner=owner, viewer=uid)
        # The nonce belongs to the origin that asked; the proper one asks for a ticket of its own.
        raise Elsewhere(proper, status=HTTPStatus.SEE_OTHER if method in READING else HTTPStatus.TEMPORARY_REDIRECT)

    async def enter(self, exchange: Exchange, origin: Origin) -> None:
        """Turn a ticket into a session of this origin."""
        query, fields = query_of(exchange.head), exchange.head.fields
        nonce = cookie(fields, NONCE_COOKIE) or b""
        redeemed = await self._tickets.redeem(
            query.get("ticket", ""), origin=origin.host, nonce=nonce.decode("latin-1")
        )
        if not isinstance(redeemed, Redeemed):
            raise NotAuthenticated(f"ticket {redeemed.value}", public="This way into the application was used already.")
        session, onward = redeemed.session, local(query.get("next", "/"))
        exchange.audit.principal = session.login
        cookies = [
            self.cookie(session, origin, redeemed.owner),
            (b"Set-Cookie", NONCE_COOKIE + b"=; Max-Age=0" + COOKIE_FLAGS),
        ]
        if not origin.is_shared:
            raise Elsewhere(origin.url + onward, fields=tuple(cookies))
        known = (cookie(fields, VIEWER_COOKIE) or b"").decode("latin-1")
        if self._tickets.is_viewer_mark(known, origin.host, session.uid):
            raise Elsewhere(origin.url + onward, fields=tuple(cookies))
        # Somebody else's applications may have lived here, and what they keep in a browser must not meet this viewer's.
        mark = self._tickets.make_viewer_mark(origin.host, session.uid).encode("ascii")
        cookies += [
            (b"Set-Cookie", VIEWER_COOKIE + b"=" + mark + b"; Max-Age=34560000" + COOKIE_FLAGS),
            (b"Clear-Site-Data", b'"cache", "storage"'),
        ]
        if not provenance.wants_page(exchange.head):
            raise Elsewhere(origin.url + onward, fields=tuple(cookies))
        # WebKit clears nothing on a redirect. A page that goes on by itself is this origin's own to who looks whence
        # the next request comes: whom another's link led here goes on by a click.
        is_led = provenance.is_led(exchange.head, origin, self._hosts.portal)
        exchange.respond(200, [*pages.FIELDS, *cookies], pages.entered(onward, session.login, goes_on=not is_led))

    def cookie(self, session: Session, origin: Origin, owner: int) -> tuple[bytes, bytes]:
        """The field that makes a browser keep a session of an origin."""
        sealed = self._sessions.cookie(session, origin=origin.host, owner=owner)
        return (b"Set-Cookie", session_cookie(origin) + b"=" + sealed.encode("ascii") + COOKIE_FLAGS)

    def _ticket_url(self, origin: Origin, target: str) -> str:
        to, onward = quote(origin.host, safe=""), quote(target, safe="")
        return f"{self._hosts.portal.url}/.portal/ticket?to={to}&next={onward}"
