"""The portal's own addresses, and what a refused exchange is answered with.

On the portal's origin: ``/login``, ``/logout``, ``/tokens``, ``/open/`` (what listens on this host) with all that is
below it, ``/healthz`` and ``/.portal/ticket``; and ``/``, where no worker has a better one. On an
application's origin only ``/.portal/enter``, where a ticket becomes a session of that origin. ``/.portal/`` never
reaches an application.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NoReturn
from urllib.parse import quote

import msgspec

from supercloud import events
from supercloud.access import Access
from supercloud.authn import provenance
from supercloud.authn.authenticate import SESSION_COOKIE, Authenticator, Viewer
from supercloud.authn.password import Passwords
from supercloud.authn.programs import SHOWN_IN, looks_for_files
from supercloud.authn.scope import needed_scope
from supercloud.authn.session import Session, Sessions
from supercloud.authn.throttle import Throttle
from supercloud.authn.ticket import Redeemed, Tickets, hash_nonce, make_nonce
from supercloud.authn.token import Tokens
from supercloud.errors import (
    AccountClosed,
    Busy,
    Elsewhere,
    MethodRefused,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    NothingListens,
    PortalError,
    UnderMaintenance,
)
from supercloud.front import pages
from supercloud.front.address import local, query_of
from supercloud.front.exchange import Exchange
from supercloud.front.form import read_form
from supercloud.front.opening import PREFIX as OPEN
from supercloud.front.opening import Opening
from supercloud.front.origin_page import PATH as ORIGINS
from supercloud.front.origin_page import OriginPage
from supercloud.front.pages import Listed
from supercloud.front.signin import SignIn
from supercloud.front.static_files import STATIC
from supercloud.front.token_page import TokenPage
from supercloud.identity import Principal
from supercloud.message.fields import cookie
from supercloud.message.head import RequestHead
from supercloud.notice import Told
from supercloud.routing.homeward import home_of
from supercloud.routing.hosts import Hosts
from supercloud.target import Origin

NONCE_COOKIE: Final = b"__Host-Http-supercloud-nonce"
OWNER_COOKIE: Final = b"__Host-Http-supercloud-owner"
_BY_SESSION: Final = b'Supercloud-Session realm="SuperCloud portal"'
_BASIC: Final = b'Basic realm="SuperCloud portal", charset="UTF-8"'
_COOKIE_FLAGS: Final = b"; Path=/; Secure; HttpOnly; SameSite=Lax"
_READING = (b"GET", b"HEAD")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the portal's own pages are made with.

    :ivar ways: to sign in, in the order in which they are tried.
    :ivar listing: the viewer's own listening sockets, for the first page.
    :ivar passwords: for the form of ``/login``; None where the site takes none.
    :ivar tokens: for ``/tokens``; None where the site takes none.
    :ivar opening: for ``/open/``; None where there are no workers.
    :ivar files: address of the viewer's files, for the first page.
    :ivar origins: says what the site's DNS and certificate lack.
    :ivar notices: what the site tells everybody now.
    :ivar links: on top of each page of somebody's; see `supercloud.links`.
    """

    hosts: Hosts
    authenticator: Authenticator
    sessions: Sessions
    tickets: Tickets
    throttle: Throttle
    access: Access
    ways: tuple[SignIn, ...]
    listing: Callable[[Principal], Awaitable[list[Listed]]]
    passwords: Passwords | None = None
    tokens: Tokens | None = None
    opening: Opening | None = None
    files: str = ""
    origins: OriginPage | None = None
    notices: Callable[[], Sequence[Told]] = tuple
    links: str = ""


class Site:
    """Answers what leads to no application."""

    def __init__(self, parts: Parts) -> None:
        self._on = parts
        self._token_page = None if parts.tokens is None else TokenPage(parts.tokens, parts.links)

    async def answer(self, exchange: Exchange, origin: Origin) -> None:
        """Answer one of the portal's own addresses; see `pipeline.OwnPages`."""
        head = exchange.head
        path = head.path
        if path in STATIC:
            STATIC[path].answer(exchange)
        elif path == b"/.portal/enter" and not origin.is_portal:
            await self._enter(exchange, origin, query_of(head))
        elif not origin.is_portal:
            raise NotFound(f"path {path[:100]!r}")
        elif self._on.files and looks_for_files(head):
            exchange.respond(200, [(b"DAV", b"1, 2, 3"), (b"MS-Author-Via", b"DAV"), (b"Allow", b"OPTIONS, GET, HEAD")])
        elif path in (b"/", OPEN):
            viewer = await self._viewer(exchange, origin)
            listed = await self._on.listing(viewer.principal)
            body = pages.home(
                viewer.principal.login,
                listed,
                files=self._on.files,
                has_tokens=self._token_page is not None,
                links=self._on.links,
            )
            self._page(exchange, 200, body)
        elif path == b"/login":
            await self._login(exchange, query_of(head))
        elif path == b"/logout":
            await self._logout(exchange, origin)
        elif path == b"/tokens" and self._token_page is not None:
            await self._token_page.answer(exchange, await self._viewer(exchange, origin), origin)
        elif path.startswith(OPEN) and self._on.opening is not None:
            await self._on.opening.lead(exchange, await self._viewer(exchange, origin))
        elif path == ORIGINS and self._on.origins is not None:
            await self._on.origins.answer(exchange, (await self._viewer(exchange, origin)).principal)
        elif path == b"/.portal/ticket":
            await self._ticket(exchange, origin, query_of(head))
        elif path == b"/healthz":
            exchange.respond(200, [(b"Content-Type", b"text/plain"), (b"Cache-Control", b"no-store")], b"ok\n")
        elif (home := home_of(head, origin)) is not None:
            raise Elsewhere(home, status=HTTPStatus.TEMPORARY_REDIRECT)
        else:
            raise NotFound(f"path {path[:100]!r}")

    def refuse(self, exchange: Exchange, error: PortalError) -> None:
        """Answer an exchange that a stage refused."""
        head = exchange.head
        if isinstance(error, Elsewhere):
            fields = [(b"Location", error.location.encode("ascii")), (b"Cache-Control", b"no-store"), *error.fields]
            exchange.respond(error.status.value, fields)
            return
        if isinstance(error, NotAuthenticated) and self._may_sign_in(exchange, head):
            return
        fields = []
        if isinstance(error, NotAuthenticated):
            fields.append((b"WWW-Authenticate", _BASIC if self._takes_programs(head) else _BY_SESSION))
        waits = isinstance(error, NothingListens)
        if waits or error.status.value == 503:
            fields.append((b"Retry-After", b"%d" % error.retry_after))
        if isinstance(error, MethodRefused):
            fields.append((b"Allow", b"GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"))
        is_form = head.method == b"POST" and provenance.is_navigation(head)
        if provenance.wants_page(head) or is_form:
            name, home = exchange.audit.name, f"{self._on.hosts.portal.url}/"
            if waits and not is_form:  # a page that loads itself anew would send the form again
                fields += pages.waiting_fields(self._on.hosts.of(head.host).url)
                body = pages.waiting(error.public, name, home=home)
            else:
                fields += pages.FIELDS
                body = pages.refusal(error.status.phrase, error.public, name, home=home)
            exchange.respond(error.status.value, fields, body)
            return
        fields.append((b"Cache-Control", b"no-store"))
        if self._is_of_api(head):
            fields.append((b"Content-Type", b"application/problem+json"))
            told = {"title": error.status.phrase, "status": error.status.value, "detail": error.public}
            text = msgspec.json.encode({**told, "request": exchange.audit.name})
        else:
            fields.append((b"Content-Type", b"text/plain; charset=utf-8"))
            text = f"{error.public}\nRequest {exchange.audit.name}\n".encode()
        exchange.respond(error.status.value, fields, text)

    def _is_of_api(self, head: RequestHead) -> bool:
        """Whether the answer is for a program that asks the API: refusals have one form there (RFC 9457)."""
        try:
            return head.path.startswith(b"/api/") and self._on.hosts.of(head.host).is_portal
        except PortalError:
            return False

    def _takes_programs(self, head: RequestHead) -> bool:
        """Whether a program is asked for a password or token. A browser is not: it would remember what was typed."""
        if not self._on.authenticator.takes_programs or provenance.is_browser(head):
            return False
        return needed_scope(head.path) is not None and self._on.hosts.of(head.host).is_portal

    def _may_sign_in(self, exchange: Exchange, head: RequestHead) -> bool:
        """Send whoever can follow to where they sign in; everybody else gets 401."""
        origin = self._on.hosts.of(head.host)  # it was read before anybody was asked who they are
        target = head.target.decode("ascii")
        if head.path == b"/.portal/enter":
            target = local(query_of(head).get("next", "/"))  # not here again with a ticket that is used up
        target = quote(target, safe="")
        if origin.is_portal:
            is_refused_program = not head.first.keys().isdisjoint(SHOWN_IN) and self._takes_programs(head)
            if not provenance.wants_page(head) or is_refused_program:
                return False
            exchange.respond(303, [(b"Location", f"/login?next={target}".encode()), (b"Cache-Control", b"no-store")])
            return True
        # A program may be sent to the ticket address too: it leads to no sign-in page, but to 401.
        is_program = head.get(b"sec-fetch-mode") is None and head.method in _READING and not head.upgrade
        if not is_program and not provenance.wants_page(head):
            return False
        known = cookie(head.fields, NONCE_COOKIE)
        nonce = known.decode("latin-1") if known else make_nonce()
        location = (
            f"{self._on.hosts.portal.url}/.portal/ticket?to={quote(origin.host, safe='')}"
            f"&nonce={quote(hash_nonce(nonce), safe='')}&next={target}"
        )
        exchange.respond(
            303,
            [
                (b"Location", location.encode("ascii")),
                (b"Cache-Control", b"no-store"),
                (b"Set-Cookie", NONCE_COOKIE + b"=" + nonce.encode("latin-1") + b"; Max-Age=600" + _COOKIE_FLAGS),
            ],
        )
        return True

    async def _viewer(self, exchange: Exchange, origin: Origin, *, is_leaving: bool = False) -> Viewer:
        viewer = await self._on.authenticator.authenticate(
            exchange.head, origin, exchange.memory, is_leaving=is_leaving
        )
        exchange.audit.principal = viewer.principal.login
        return viewer

    async def _login(self, exchange: Exchange, query: dict[str, str]) -> None:
        if exchange.head.method == b"POST" and self._on.passwords is not None:
            await self._login_by_form(exchange, self._on.passwords)
            return
        if exchange.head.method not in _READING:
            raise MethodRefused("/login is GET")
        refusal = None
        for way in self._on.ways:
            if not way.is_tried(exchange, query):
                continue
            try:
                principal = await self._try(way, exchange, query)
            except NotAuthenticated as error:
                events.login_failed(way.name, exchange.address, str(error))
                refusal = error
                continue
            certificate = way.certificate(exchange)
            await self._signed_in(exchange, principal, way.name, query.get("next", "/"), certificate)
        self._sign_in_page(exchange, refusal, onward=query.get("next", "/"))

    async def _login_by_form(self, exchange: Exchange, passwords: Passwords) -> None:
        form = await read_form(exchange)
        login, onward = form.get("login", "").strip(), form.get("next", "/")
        try:
            password = await passwords.check(login, form.get("password", ""), exchange.address)
            self._on.authenticator.admit(password.principal)
        except (NotAuthenticated, AccountClosed, Busy, UnderMaintenance) as error:
            self._sign_in_page(exchange, error, login=login, onward=onward)
        else:
            await self._signed_in(exchange, password.principal, "password", onward)

    async def _signed_in(
        self, exchange: Exchange, principal: Principal, scheme: str, onward: str, certificate: bytes = b""
    ) -> NoReturn:
        self._on.authenticator.admit(principal)
        session = await self._on.sessions.open(
            principal, scheme=scheme, address=exchange.address, certificate=certificate
        )
        events.signed_in(scheme, principal.login, exchange.address)
        exchange.audit.principal = principal.login
        # A host's cookies have no port: whichever listener asked for the certificate, one session serves the links.
        home = self._on.hosts.portal
        raise Elsewhere(home.url + local(onward), fields=(self._session_cookie(session, home, principal.uid),))

    def _sign_in_page(
        self, exchange: Exchange, refusal: PortalError | None, *, login: str = "", onward: str = "/"
    ) -> None:
        if refusal is not None:
            exchange.audit.outcome, exchange.audit.reason = refusal.outcome, str(refusal)
        names = {way.name for way in self._on.ways}
        body = pages.sign_in(
            has_link="link" in names,
            has_certificate="certificate" in names,
            has_password=self._on.passwords is not None,
            note=refusal.public if refusal is not None else "",
            notices=self._on.notices(),
            login=login,
            onward=local(onward),
        )
        # Chromium holds redirects that follow a form against form-action too, and these may end at an application.
        fields = pages.fields(" ".join(["'self'", *self._on.hosts.patterns]))
        status = 401 if refusal is None else refusal.status.value
        exchange.respond(status, [*fields, (b"WWW-Authenticate", _BY_SESSION)] if status == 401 else fields, body)

    async def _try(self, way: SignIn, exchange: Exchange, query: dict[str, str]) -> Principal:
        """Try one way, after whatever delay earlier failures have earned."""
        throttle, address = self._on.throttle, exchange.address
        account = f"at {address}"  # these credentials name no account before they are checked
        await throttle.admit(address, account)
        has_succeeded = False
        try:
            principal = await way.sign_in(exchange, query)
            has_succeeded = True
        finally:
            (throttle.succeeded if has_succeeded else throttle.failed)(address, account)
        return principal

    async def _logout(self, exchange: Exchange, origin: Origin) -> None:
        if exchange.head.method != b"POST":
            raise MethodRefused("/logout is POST", public="Signing out needs the button on the first page (POST).")
        viewer = await self._viewer(exchange, origin, is_leaving=True)
        await self._on.sessions.end_all(viewer.principal.uid, "signed out")
        gone = (b"Set-Cookie", SESSION_COOKIE + b"=; Max-Age=0" + _COOKIE_FLAGS)
        self._page(exchange, 200, pages.signed_out(), gone)

    async def _ticket(self, exchange: Exchange, origin: Origin, query: dict[str, str]) -> None:
        """Carry the viewer's session to an application's origin, once it is sure that they may see it."""
        viewer = await self._viewer(exchange, origin)
        to = self._on.hosts.of(query.get("to", "").lower().encode("ascii", "replace"))
        nonce = query.get("nonce", "")
        if to.is_portal or not nonce:
            raise NotFound("ticket to no application")
        access = self._on.access
        uid = viewer.principal.uid
        owner = uid if to.owner is None else to.owner
        forward = None if to.forward is None else await access.find(viewer.principal, to.forward)
        application = to.application if forward is None else forward.application
        if application is None:
            raise NotFound("ticket to no application")
        try:
            permit = await access.permit(viewer.principal, application, forward)
        except NothingListens:
            if owner != uid:
                raise
        else:
            if permit.owner.uid != owner:
                owner = permit.owner.uid
                proper = self._on.hosts.proper(application, forward, owner=None if owner == uid else owner)
                if proper is None:
                    raise NotAuthorized(f"no label for {forward or application} of uid {owner}")
                # The nonce belongs to the origin that asked; the proper one asks for a ticket of its own.
                raise Elsewhere(proper.url + local(query.get("next", "/")))
        ticket = self._on.tickets.issue(viewer.session, origin=to.host, owner=owner, nonce_hash=nonce)
        raise Elsewhere(
            f"{to.url}/.portal/enter?ticket={quote(ticket, safe='')}&next={quote(query.get('next', '/'), safe='')}"
        )

    async def _enter(self, exchange: Exchange, origin: Origin, query: dict[str, str]) -> None:
        """Turn a ticket into a session of this origin."""
        head = exchange.head
        nonce = cookie(head.fields, NONCE_COOKIE) or b""
        redeemed = await self._on.tickets.redeem(
            query.get("ticket", ""), origin=origin.host, nonce=nonce.decode("latin-1")
        )
        if not isinstance(redeemed, Redeemed):
            raise NotAuthenticated(f"ticket {redeemed.value}", public="This way into the application was used already.")
        session = redeemed.session
        exchange.audit.principal = session.login
        fields = [
            self._session_cookie(session, origin, redeemed.owner),
            (b"Set-Cookie", NONCE_COOKIE + b"=; Max-Age=0" + _COOKIE_FLAGS),
            (b"Set-Cookie", b"%b=%d; Max-Age=34560000%b" % (OWNER_COOKIE, redeemed.owner, _COOKIE_FLAGS)),
        ]
        if cookie(head.fields, OWNER_COOKIE) != b"%d" % redeemed.owner:
            # Somebody else's pages may have lived here: their service workers and caches must not see this owner's.
            fields.append((b"Clear-Site-Data", b'"cache", "storage"'))
        raise Elsewhere(origin.url + local(query.get("next", "/")), fields=tuple(fields))

    def _session_cookie(self, session: Session, origin: Origin, owner: int) -> tuple[bytes, bytes]:
        sealed = self._on.sessions.cookie(session, origin=origin.host, owner=owner)
        return (b"Set-Cookie", SESSION_COOKIE + b"=" + sealed.encode("ascii") + _COOKIE_FLAGS)

    def _page(self, exchange: Exchange, status: int, body: bytes, *fields: tuple[bytes, bytes]) -> None:
        exchange.respond(status, [*pages.FIELDS, *fields], body)
