"""The stages of one request, in order: authenticate, route, authorize, connect and verify, relay.

Each stage hands on a value that only it makes; what refuses raises a `PortalError`. A request on a kept, verified
connection runs the same lines without waiting once, so that it is done before `drive` returns.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from msgspec.structs import replace as replace_of
from twisted.internet.defer import CancelledError, Deferred

from supercloud import events
from supercloud.authn import provenance
from supercloud.authn.authenticate import Viewer
from supercloud.authn.programs import is_program, looks_for_files, shows_token
from supercloud.authn.scope import EVENTS, TOKEN, Need, forward_scope, needed
from supercloud.authn.session import Session
from supercloud.drive import drive
from supercloud.errors import (
    CookieTwice,
    CrossSite,
    Elsewhere,
    LoopNoticed,
    MethodRefused,
    NotAuthenticated,
    NotAuthorized,
    PortalError,
    TooMany,
    Unreachable,
)
from supercloud.message.fields import reserved_twice
from supercloud.message.head import RequestHead
from supercloud.ownership.authorize import Grant, Permit
from supercloud.relay.http import REPEATABLE, HttpRelay
from supercloud.relay.rewriting import Rewriters
from supercloud.relay.websocket import WebSocketRelay
from supercloud.rewrite.response import Responses
from supercloud.routing.homeward import home_of
from supercloud.routing.locate import ByName, leads_into, place_of
from supercloud.routing.origin_rule import inside
from supercloud.routing.own_worker import is_of_workspace, leads_to_worker
from supercloud.routing.place import Outward, Place, Trailers, inward_fields, inward_target, names_via
from supercloud.stages import Exchange, Recalling, Stages, Trodden
from supercloud.target import Application, Forward, Origin
from supercloud.upstream.pool import Kept, Key

_NEVER: Final = frozenset({b"CONNECT", b"TRACE"})


class Pipeline:
    """Carries exchanges through the stages."""

    def __init__(self, stages: Stages) -> None:
        self._on = stages
        self._streams: dict[int, int] = {}
        self._running = stages.watch.running

    def serve(self, exchange: Exchange) -> None:
        """Carry one exchange; whatever is raised on the way becomes its answer."""
        if not self._serve_like_last(exchange):
            self._drive(exchange, self._serve(exchange))

    def _serve_like_last(self, exchange: Exchange) -> bool:
        """Carry a request that can take the way of the last one on its connection: nothing is found out anew.

        :returns: whether it could.
        """
        trodden = exchange.memory.get("trodden")
        if not isinstance(trodden, Trodden):
            return False
        head, viewer, place = exchange.head, trodden.viewer, trodden.place
        if head.fields is not trodden.fields or not leads_into(head.target, place):
            return False
        uid = viewer.principal.uid
        if self._streams.get(uid, 0) >= self._on.streams or not self._on.authenticator.is_live(viewer):
            return False
        if trodden.version != self._on.handed.version or not self._on.access.believes(viewer.principal, place.forward):
            return False
        kept = self._on.pool.take(trodden.key, must_be_fresh=not trodden.may_repeat)
        if kept is not None and kept.grant.permit.owner.uid != trodden.owner:
            kept.connection.released(kept.connection)
            return False
        audit = exchange.audit
        audit.origin, audit.target = place.origin.host, trodden.target
        exchange.always = self._on.always.of(place.origin)
        audit.principal, audit.credential = viewer.principal.login, viewer.credential.told
        self._count_stream(exchange, uid)
        if kept is None:
            self._drive(exchange, self._carry(exchange, viewer, place, afresh=True))
        else:
            _note(exchange, kept.grant, "kept")
            self._relay(exchange, kept, trodden, is_kept=True)
        return True

    def _drive(self, exchange: Exchange, carrying: Coroutine[Deferred[Any], Any, None]) -> None:
        cancel = drive(self._guarded(exchange, carrying))
        if cancel is not None and not exchange.is_over:
            exchange.pending = cancel

    async def _guarded(self, exchange: Exchange, carrying: Coroutine[Deferred[Any], Any, None]) -> None:
        try:
            await carrying
        except PortalError as error:
            exchange.fail(error)
        except CancelledError:
            pass  # The browser is gone, and with it whoever would read an answer.
        except Exception:
            events.unexpected(f"carrying {exchange.audit.name}")
            exchange.fail(PortalError("mistake of the portal's own"))
        finally:
            exchange.pending = None

    async def _serve(self, exchange: Exchange) -> None:
        on, head = self._on, exchange.head
        if head.method in _NEVER:
            raise MethodRefused(head.method.decode("ascii"))
        if twice := reserved_twice(head.fields):
            raise CookieTwice(twice)
        origin = on.hosts.of(head.host)
        exchange.audit.origin = origin.host
        exchange.always = on.always.of(origin)
        provenance.check(head, origin)
        if head.get(b"service-worker") is not None and (origin.is_portal or origin.is_shared or origin.is_unowned):
            on.pages.end_service_worker(exchange)
            return
        place = place_of(head, origin, exchange.memory)
        if place is None:
            await self._serve_own(exchange, origin)
            return
        exchange.audit.target = f"forward {place.name}" if isinstance(place, ByName) else str(place.application)
        if names_via(head, on.pseudonym):
            raise LoopNoticed(f"Via names {on.pseudonym.decode()}")
        if not origin.has_prefixes and origin.owner is None and not is_program(head):
            await self._lead_apart(exchange, origin, place)
            return
        provenance.hold_together(head, origin, on.hosts.portal)
        if isinstance(place, ByName):
            need = Need((forward_scope(place.name),)) if shows_token(head) else None
            viewer = await self._viewer(exchange, origin, need)
            place = place.leading_to(await on.access.find(viewer.principal, place.name))
            self._running[exchange] = viewer, place.forward, None
            exchange.audit.target = str(place.forward)
        else:
            viewer = await self._viewer(exchange, origin)
        await self._carry(exchange, viewer, place)

    async def _lead_apart(self, exchange: Exchange, origin: Origin, place: Place | ByName) -> None:
        """No application lives on the portal's own origin, nor at a label without an owner: both are addresses that
        lead to where it does.

        :raises Elsewhere: always, unless another refusal comes before it.
        """
        on, head = self._on, exchange.head
        if not origin.is_portal:
            on.pages.find_owner(head, origin)
        viewer = await self._viewer(exchange, origin)
        address = on.rule.apart(place, head.target, viewer.principal.uid)
        raise Elsewhere(address, status=HTTPStatus.TEMPORARY_REDIRECT)

    async def _serve_own(self, exchange: Exchange, origin: Origin) -> None:
        """Answer what leads to no application: from the viewer's worker, or from here."""
        on, path = self._on, exchange.head.path
        provenance.hold(exchange.head, origin)
        is_own = path == TOKEN or looks_for_files(exchange.head)
        if on.worker is None or not origin.is_portal or not leads_to_worker(path) or is_own:
            await on.pages.answer(exchange, origin)
            return
        # An application's script that asks for /api/x means its own; the workspace's pages are under no prefix.
        if path != b"/" and is_of_workspace(path) and (home := home_of(exchange.head, origin)) is not None:
            raise Elsewhere(home, status=HTTPStatus.TEMPORARY_REDIRECT)
        viewer = await self._viewer(exchange, origin, needed(exchange.head.method, path))
        if path == EVENTS and on.updates is not None:
            on.updates.begin(exchange, viewer)
        else:
            await on.worker.carry(exchange, viewer, lambda carrying: self._drive(exchange, carrying))

    async def _viewer(self, exchange: Exchange, origin: Origin, need: Need | None = None) -> Viewer:
        viewer = await self._on.authenticator.authenticate(
            exchange.head, origin, exchange.memory, need=need, address=exchange.address
        )
        exchange.audit.principal, exchange.audit.credential = viewer.principal.login, viewer.credential.told
        self._count_stream(exchange, viewer.principal.uid)
        self._running[exchange] = viewer, None, None
        return viewer

    async def _carry(self, exchange: Exchange, viewer: Viewer, place: Place, *, afresh: bool = False) -> None:
        on, head = self._on, exchange.head
        # The handshake of a WebSocket could be sent again, but its relay does not; few are sent, and each lasts.
        must_be_fresh = not _may_repeat(head) or bool(head.upgrade)
        key, version = self._key(viewer, place), on.handed.version
        kept = None if afresh else on.pool.take(key, must_be_fresh=must_be_fresh)
        is_kept = kept is not None
        if kept is None:
            permit = await on.access.permit(viewer.principal, place.application, place.forward)
            _note(exchange, permit, "listener")
            self._settle(head, viewer, place, permit.owner.uid)
            kept = await self._connect(permit, key, place.forward)
        else:
            try:
                self._settle(head, viewer, place, kept.grant.permit.owner.uid)
            except PortalError:
                kept.connection.close()  # its owner is not what was expected: the next request asks anew
                raise
        grant = kept.grant
        _note(exchange, grant, "kept" if is_kept else grant.basis)
        if on.recalling is not None and self._may_be_handed(viewer, place, grant):
            await self._recall(on.recalling, kept, viewer, place.application)
            if not key.shown:  # nothing was shown on it so far; perhaps it was remembered what to show
                kept.key, version = self._key(viewer, place), on.handed.version
        if exchange.is_over:
            kept.connection.released(kept.connection)
            return
        trodden = self._tread(exchange, viewer, place, kept, version)
        if head.upgrade == b"websocket":
            self._relay_websocket(exchange, kept, trodden)
        else:
            exchange.memory["trodden"] = trodden
            self._relay(exchange, kept, trodden, is_kept=is_kept)

    def _tread(self, exchange: Exchange, viewer: Viewer, place: Place, kept: Kept[Grant], version: int) -> Trodden:
        """What a request's fields come to; the last one's if it took the very same way."""
        on, head, last, key, grant = self._on, exchange.head, exchange.memory.get("trodden"), kept.key, kept.grant
        owner = grant.permit.owner.uid
        handed = b""
        if isinstance(key.shown, bytes) and self._may_be_handed(viewer, place, grant):
            handed = key.shown
        if isinstance(last, Trodden) and last.goes(head.fields, viewer, place, key, owner) and last.handed == handed:
            return last if last.version == version else replace_of(last, version=version)
        login, via = viewer.principal.login, b"1.1 " + on.pseudonym
        inward = inward_fields(
            head, place, login=login, address=exchange.address, via=via, handed=handed, claims=on.claims
        )
        rewriters = Rewriters(Responses(place.links, head)) if place.has_links_rewritten else None
        shown = place
        if owner != viewer.principal.uid:
            shown = replace(place, is_foreign=True)
        return Trodden(
            head.fields, viewer, place, key, owner, _may_repeat(head), inward, Outward(shown),
            Trailers(shown, head.options, on.claims), rewriters,
            str(place.forward or place.application), handed, version,
        )  # fmt: skip

    def _key(self, viewer: Viewer, place: Place) -> Key:
        """Whose a connection is: sessions of an account share theirs, with what lets it into its application."""
        uid, application, shown = viewer.principal.uid, place.application, viewer.credential
        is_session = isinstance(shown, Session)
        return Key(
            uid, application.node, application.port, place.forward,
            self._on.handed.given(uid, application) if is_session else shown,
        )  # fmt: skip

    def _may_be_handed(self, viewer: Viewer, place: Place, grant: Grant) -> bool:
        """Whether all of it is the viewer's: session, listener, connection, forward. Only then what lets the viewer
        into the application goes there.
        """
        uid, forward = viewer.principal.uid, place.forward
        if not isinstance(viewer.credential, Session) or not uid == grant.owner.uid == grant.permit.owner.uid:
            return False
        # A forward's owner says below which path of the application requests end up.
        return forward is None or forward.reservation.uid == uid

    async def _recall(self, recalling: Recalling, kept: Kept[Grant], viewer: Viewer, application: Application) -> None:
        """After a restart, pages that are open go on without being opened anew."""
        if not recalling.is_needed(viewer.session, application):
            return
        try:
            await recalling.recall(viewer, application)
        except BaseException:
            kept.connection.released(kept.connection)  # the browser is gone
            raise
        if not kept.connection.is_open:
            raise Unreachable(f"{application} closed the connection before it was asked anything")

    def _relay(self, exchange: Exchange, kept: Kept[Grant], trodden: Trodden, *, is_kept: bool) -> None:
        head, viewer, place = exchange.head, trodden.viewer, trodden.place
        self._running[exchange] = viewer, place.forward, kept.grant
        exchange.outward = trodden.outward
        retry = (lambda: self._again(exchange, viewer, place)) if trodden.may_repeat and is_kept else None
        if not is_kept:
            kept.connection.remember(head.method, trodden.outward.last)
        relay = HttpRelay(
            exchange, kept.connection, length=head.length, upgrade=bool(head.upgrade), trailing=trodden.trailing,
            rewriters=trodden.rewriters, retry=retry,
        )  # fmt: skip
        exchange.carry(relay)
        relay.start(head.method, head.method + b" " + inward_target(head.target, place) + trodden.inward)

    def _relay_websocket(self, exchange: Exchange, kept: Kept[Grant], trodden: Trodden) -> None:
        on, head = self._on, exchange.head
        self._running[exchange] = trodden.viewer, trodden.place.forward, kept.grant
        exchange.outward = trodden.outward
        relay = WebSocketRelay(
            exchange,
            kept.connection,
            handshakes=on.handshakes,
            extra=trodden.outward,
            is_used=lambda: on.authenticator.touch(trodden.viewer),
            clock=on.clock,
            ping=on.ping,
        )
        exchange.carry(relay)
        relay.start(head, head.method + b" " + inward_target(head.target, trodden.place) + trodden.inward)

    def _again(self, exchange: Exchange, viewer: Viewer, place: Place) -> None:
        """The kept connection was closed by the application before it saw the request."""
        self._drive(exchange, self._carry(exchange, viewer, place, afresh=True))

    def _settle(self, head: RequestHead, viewer: Viewer, place: Place, owner: int) -> None:
        """An origin belongs to one owner: show an application only where its owner's pages may live."""
        on, origin = self._on, place.origin
        if not isinstance(viewer.credential, Session):
            return  # a program: nothing of one origin stays with it for another
        rule, uid = on.rule, viewer.principal.uid
        if rule.is_shown(origin, place.application, owner=owner, viewer=uid):
            if owner != uid and head.get(b"service-worker") is not None:
                raise CrossSite("service worker on another owner's origin")
            if not origin.has_prefixes and viewer.owner != owner:
                raise NotAuthenticated(f"session on {origin.host} is for uid {viewer.owner}, owner is {owner}")
            return
        if provenance.is_browser(head) and not provenance.is_navigation(head):
            raise NotAuthorized(f"{place.application} is uid {owner}'s, asked for by a page on {origin.host}")
        path = inside(head.target, place).decode("ascii")
        status = HTTPStatus.SEE_OTHER if head.method in (b"GET", b"HEAD") else HTTPStatus.TEMPORARY_REDIRECT
        raise Elsewhere(rule.proper(place.application, place.forward, path, owner=owner, viewer=uid), status=status)

    async def _connect(self, permit: Permit, key: Key, forward: Forward | None) -> Kept[Grant]:
        """Connect, then ask about this very connection; nothing is sent before the answer."""
        on, uid = self._on, permit.principal.uid
        on.pool.reserve(uid)
        connection = None
        try:
            connection = await on.dialer.dial(permit.address, permit.target.application.port)
            here = connection.transport.getHost()
            grant = await on.authorizer.verify(permit, here.host, here.port)
            if not connection.is_open:
                raise Unreachable(f"{permit.target} closed the connection before it was verified")
            if forward is not None and forward.is_tls:
                await on.tls.secure(connection, forward.application.node)
        except BaseException:
            if connection is not None:
                connection.abort()
            on.pool.unreserve(uid)
            raise
        return on.pool.add(key, connection, grant)

    def _count_stream(self, exchange: Exchange, uid: int) -> None:
        streams = self._streams
        if streams.get(uid, 0) >= self._on.streams:
            raise TooMany(f"uid {uid} has {self._on.streams} requests under way")
        streams[uid] = streams.get(uid, 0) + 1
        exchange.charge(uid)

        def over() -> None:
            streams[uid] -= 1
            if not streams[uid]:
                del streams[uid]
            self._running.pop(exchange, None)

        exchange.on_over.append(over)


def _may_repeat(head: RequestHead) -> bool:
    return head.method in REPEATABLE and head.length == 0


def _note(exchange: Exchange, about: Permit | Grant, rule: str) -> None:
    line, owner = exchange.audit, about.owner
    line.verdict, line.rule = about.verdict.value, rule
    line.pid, line.uid, line.gid = owner.pid, owner.uid, owner.gid
    line.age = owner.age
