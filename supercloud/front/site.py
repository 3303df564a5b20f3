"""The portal's own addresses, and what a refused exchange is answered with.

On the portal's origin: ``/login``, ``/logout``, ``/tokens``, ``/open/`` (what listens on this host) with all that is
below it, ``/healthz`` and ``/.portal/ticket``; and ``/``, where no worker has a better one. On an
application's origin only ``/.portal/enter``; see `supercloud.front.entrance`. ``/.portal/`` never reaches an
application.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NoReturn
from urllib.parse import quote

import msgspec

from supercloud import events
from supercloud.authn import provenance
from supercloud.authn.authenticate import SESSION_COOKIE, Authenticator, Viewer
from supercloud.authn.known import KNOWN_COOKIE, KnownBrowsers
from supercloud.authn.known import LIFE as KNOWN_FOR
from supercloud.authn.password import Passwords
from supercloud.authn.programs import looks_for_files
from supercloud.authn.scope import TOKEN, Need, needed
from supercloud.authn.session import Sessions
from supercloud.authn.throttle import Throttle
from supercloud.authn.token import Tokens
from supercloud.errors import (
    AccountClosed,
    Busy,
    Elsewhere,
    LedHere,
    MethodRefused,
    NotAuthenticated,
    NotFound,
    NothingListens,
    PlantedCookies,
    PortalError,
    UnderMaintenance,
)
from supercloud.front import pages
from supercloud.front.address import local, query_of
from supercloud.front.entrance import COOKIE_FLAGS, ENTER, READING, Entrance
from supercloud.front.exchange import Exchange
from supercloud.front.form import read_form
from supercloud.front.opening import PREFIX as OPEN
from supercloud.front.opening import Opening
from supercloud.front.origin_page import PATH as ORIGINS
from supercloud.front.origin_page import OriginPage
from supercloud.front.pages import Listed
from supercloud.front.planted import clearing
from supercloud.front.signin import SignIn
from supercloud.front.static_files import NO_WORKER, STATIC
from supercloud.front.token_page import TokenPage
from supercloud.identity import Principal
from supercloud.message.fields import cookie
from supercloud.message.head import SHOWN_IN, RequestHead
from supercloud.notice import Told
from supercloud.routing.homeward import home_of
from supercloud.routing.hosts import Hosts
from supercloud.target import Origin

_BY_SESSION: Final = b'Supercloud-Session realm="SuperCloud portal"'
_BASIC: Final = b'Basic realm="SuperCloud portal", charset="UTF-8"'


@dataclass(frozen=True, slots=True)
class Parts:
    """What the portal's own pages are made with.

    :ivar entrance: carries sessions to applications' origins.
    :ivar ways: to sign in, in the order in which they are tried.
    :ivar listing: the viewer's own listening sockets, for the first page.
    :ivar known: tells browsers in which somebody has signed in before.
    :ivar passwords: for the form of ``/login``; None where the site takes none.
    :ivar tokens: for ``/tokens``; None where the site takes none.
    :ivar opening: for ``/open/``; None where there are no workers.
    :ivar files: address of the viewer's files, for the first page.
    :ivar origins: says what the site's DNS and certificate lack.
    :ivar notices: what the site tells everybody now.
    :ivar links: on top of each page of somebody's; see `supercloud.links`.
    :ivar acts: leaves a line of what changes who is let in.
    """

    hosts: Hosts
    authenticator: Authenticator
    sessions: Sessions
    entrance: Entrance
    throttle: Throttle
    known: KnownBrowsers
    ways: tuple[SignIn, ...]
    listing: Callable[[Principal], Awaitable[list[Listed]]]
    acts: events.Acts
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
        self._token_page = None if parts.tokens is None else TokenPage(parts.tokens, parts.acts, parts.links)

    async def answer(self, exchange: Exchange, origin: Origin) -> None:
        """Answer one of the portal's own addresses; see `pipeline.OwnPages`."""
        head = exchange.head
        path = head.path
        if path in STATIC:
            STATIC[path].answer(exchange)
        elif not origin.is_portal:
            await self._answer_apart(exchange, origin)
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
        elif path == TOKEN and self._token_page is not None:
            self._token_page.tell(exchange, await self._viewer(exchange, origin, needed(head.method, path)))
        elif path.startswith(OPEN) and self._on.opening is not None:
            await self._on.opening.lead(exchange, await self._viewer(exchange, origin))
        elif path == ORIGINS and self._on.origins is not None:
            await self._on.origins.answer(exchange, (await self._viewer(exchange, origin)).principal)
        elif path == b"/.portal/ticket":
            await self._on.entrance.ticket(exchange, await self._viewer(exchange, origin))
        elif path == b"/healthz":
            exchange.is_told = False
            exchange.respond(200, [(b"Content-Type", b"text/plain"), (b"Cache-Control", b"no-store")], b"ok\n")
        else:
            _lead_home(head, origin)

    async def _answer_apart(self, exchange: Exchange, origin: Origin) -> None:
        """Answer one of the portal's own addresses on an application's origin."""
        head = exchange.head
        if head.path == ENTER:
            await self._on.entrance.enter(exchange, origin)
        elif head.path == b"/" and origin.is_shared and home_of(head, origin) is None:
            raise Elsewhere(f"{self._on.hosts.portal.url}/")
        else:
            _lead_home(head, origin)

    def end_service_worker(self, exchange: Exchange) -> None:
        """Answer with a script that ends the registration, old or new: a refusal would let an old one go on."""
        NO_WORKER.answer(exchange)

    def find_owner(self, head: RequestHead, origin: Origin) -> NoReturn:
        """:raises Elsewhere: to where a label without an owner leads."""
        self._on.entrance.find_owner(head, origin)

    def refuse(self, exchange: Exchange, error: PortalError) -> None:
        """Answer an exchange that a stage refused."""
        head = exchange.head
        if isinstance(error, Elsewhere):
            fields = [(b"Location", error.location.encode("ascii")), (b"Cache-Control", b"no-store"), *error.fields]
            exchange.respond(error.status.value, fields)
            return
        if isinstance(error, LedHere):
            address = self._on.hosts.of(head.host).url + head.target.decode("ascii")
            exchange.respond(error.status.value, pages.FIELDS, pages.led_here(error.public, address))
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
            fields.append((b"Allow", error.allow))
        title = error.status.phrase
        if isinstance(error, PlantedCookies):
            title = error.title
            fields += clearing(error, head)
        is_form = head.method == b"POST" and provenance.is_navigation(head)
        if provenance.wants_page(head) or is_form:
            name, login, home = exchange.audit.name, exchange.audit.principal, f"{self._on.hosts.portal.url}/"
            if waits and not is_form:  # a page that loads itself anew would send the form again
                fields += pages.waiting_fields(self._on.hosts.of(head.host).url)
                body = pages.waiting(error.public, name, home=home, login=login)
            else:
                fields += pages.FIELDS
                body = pages.refusal(title, error.public, name, home=home, login=login)
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
        return needed(head.method, head.path) is not None and self._on.hosts.of(head.host).is_portal

    def _may_sign_in(self, exchange: Exchange, head: RequestHead) -> bool:
        """Send whoever can follow to where they sign in; everybody else gets 401."""
        origin = self._on.hosts.of(head.host)  # it was read before anybody was asked who they are
        if not origin.is_portal:
            return self._on.entrance.begin(exchange, origin)
        is_refused_program = not head.first.keys().isdisjoint(SHOWN_IN) and self._takes_programs(head)
        if not provenance.wants_page(head) or is_refused_program:
            return False
        target = quote(head.target.decode("ascii"), safe="")
        exchange.respond(303, [(b"Location", f"/login?next={target}".encode()), (b"Cache-Control", b"no-store")])
        return True

    async def _viewer(
        self, exchange: Exchange, origin: Origin, need: Need | None = None, *, is_leaving: bool = False
    ) -> Viewer:
        viewer = await self._on.authenticator.authenticate(
            exchange.head, origin, exchange.memory, need=need, address=exchange.address, is_leaving=is_leaving
        )
        exchange.audit.principal, exchange.audit.credential = viewer.principal.login, viewer.credential.told
        return viewer

    async def _login(self, exchange: Exchange, query: dict[str, str]) -> None:
        if exchange.head.method == b"POST" and self._on.passwords is not None:
            await self._login_by_form(exchange, self._on.passwords)
            return
        if exchange.head.method not in READING:
            raise MethodRefused("/login is GET")
        refusal = None
        for way in self._on.ways:
            if not way.is_tried(exchange, query):
                continue
            try:
                principal = await (self._try(way, exchange, query) if way.is_guessed else way.sign_in(exchange, query))
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
        shown = cookie(exchange.head.fields, KNOWN_COOKIE)
        known = self._on.known.read(shown, login, origin=self._on.hosts.portal.host)
        try:
            password = await passwords.check(login, form.password, exchange.address, known)
            await self._on.authenticator.admit(password.principal)
        except (NotAuthenticated, AccountClosed, Busy, UnderMaintenance) as error:
            self._sign_in_page(exchange, error, login=login, onward=onward)
        else:
            await self._signed_in(exchange, password.principal, "password", onward)

    async def _signed_in(
        self, exchange: Exchange, principal: Principal, scheme: str, onward: str, certificate: bytes = b""
    ) -> NoReturn:
        await self._on.authenticator.admit(principal)
        session = await self._on.sessions.open(
            principal, scheme=scheme, address=exchange.address, certificate=certificate
        )
        events.signed_in(scheme, principal.login, exchange.address)
        exchange.audit.principal = principal.login
        # A host's cookies have no port: whichever listener asked for the certificate, one session serves the links.
        home = self._on.hosts.portal
        known = self._on.known.cookie(principal.login, origin=home.host).encode("ascii")
        fields = (
            self._on.entrance.cookie(session, home, principal.uid),
            (b"Set-Cookie", b"%b=%b; Max-Age=%d%b" % (KNOWN_COOKIE, known, KNOWN_FOR, COOKIE_FLAGS)),
        )
        raise Elsewhere(home.url + local(onward), fields=fields)

    def _sign_in_page(
        self, exchange: Exchange, refusal: PortalError | None, *, login: str = "", onward: str = "/"
    ) -> None:
        if refusal is not None:
            exchange.audit.outcome, exchange.audit.reason = refusal.outcome, str(refusal)
            exchange.audit.claimed = refusal.claimed
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
        attempt = await throttle.admit(address, account)
        over = attempt.failed
        try:
            principal = await way.sign_in(exchange, query)
            over = attempt.succeeded
        finally:
            over()
        return principal

    async def _logout(self, exchange: Exchange, origin: Origin) -> None:
        if exchange.head.method != b"POST":
            raise MethodRefused("/logout is POST", public="Signing out needs the button on the first page (POST).")
        viewer = await self._viewer(exchange, origin, is_leaving=True)
        await self._on.sessions.end_all(viewer.principal.uid, "signed out")
        gone = (b"Set-Cookie", SESSION_COOKIE + b"=; Max-Age=0" + COOKIE_FLAGS)
        self._page(exchange, 200, pages.signed_out(), gone)

    def _page(self, exchange: Exchange, status: int, body: bytes, *fields: tuple[bytes, bytes]) -> None:
        exchange.respond(status, [*pages.FIELDS, *fields], body)


def _lead_home(head: RequestHead, origin: Origin) -> NoReturn:
    """Whatever is no address of the portal's own may be one of an application's under a path prefix.

    :raises Elsewhere: it is.
    :raises NotFound: it is not.
    """
    if (home := home_of(head, origin)) is not None:
        raise Elsewhere(home, status=HTTPStatus.TEMPORARY_REDIRECT)
    raise NotFound(f"path {head.path[:100]!r}")
