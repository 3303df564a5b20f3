"""The whole front over fakes: real channels, parsers, stages and relays; fake owners, connections and sessions."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from typing import Any

import h11
from twisted.internet.task import Clock

from supercloud.access import Access
from supercloud.authn.authenticate import Authenticator, session_cookie
from supercloud.authn.handed import Handed
from supercloud.authn.known import KnownBrowsers
from supercloud.authn.notices import Board
from supercloud.authn.password import Passwords
from supercloud.authn.programs import Programs
from supercloud.authn.scope import DAV, Scope
from supercloud.authn.seal import Sealer
from supercloud.authn.standing import Standing
from supercloud.authn.throttle import Throttle
from supercloud.authn.ticket import Tickets
from supercloud.authn.token import Tokens
from supercloud.closing import Closing
from supercloud.config import Limits
from supercloud.errors import PortalError
from supercloud.events import Acts, Audit
from supercloud.front.door import Door
from supercloud.front.entrance import Entrance
from supercloud.front.live import Live
from supercloud.front.opening import Opening
from supercloud.front.origin_page import OriginPage
from supercloud.front.pages import Listed
from supercloud.front.places import Places
from supercloud.front.signin import SignIn
from supercloud.front.site import Parts, Site
from supercloud.identity import Principal
from supercloud.membership import Membership
from supercloud.message.claims import Claims
from supercloud.origin_check import Name
from supercloud.ownership.authorize import Authorizer, Grant
from supercloud.ownership.listeners import Listeners
from supercloud.ownership.rule import SocketOwner
from supercloud.pipeline import Pipeline
from supercloud.relay.handshake import Handshakes
from supercloud.routing.always import Always
from supercloud.routing.forwards import Forwards
from supercloud.routing.hosts import Hosts
from supercloud.routing.nodes import Nodes
from supercloud.routing.origin_rule import OriginRule
from supercloud.shares import Shares
from supercloud.stages import Stages
from supercloud.upstream.http11 import Connection
from supercloud.upstream.pool import Pool
from supercloud.watch import Watch
from supercloud.workers.asking import Asking
from supercloud.workers.pool import One, Workers
from supercloud.workers.way import WayToWorker
from tests.fakes.accounts import ALICE, FakeAccounts
from tests.fakes.awaiting import run
from tests.fakes.dialer import FakeDialer, FakeUpstream
from tests.fakes.forwards import FakeForwards
from tests.fakes.locks import FakeLockStore
from tests.fakes.names import by_nobody
from tests.fakes.offload import FakeOffload
from tests.fakes.owners import FakeOwners
from tests.fakes.passwords import FakePasswordCheck
from tests.fakes.sessions import FakeSessions
from tests.fakes.tokens import FakeTokenStore
from tests.fakes.transport import FakeTransport
from tests.fakes.workers import FakeMonitor, FakeWorkerDialer

PORT = 8080  # alice's application
HIS_PORT = 9090  # bob's, closed to others
SHARED_PORT = 9191  # alice's, run under group 2000, which bob is in
ORIGIN = "localhost-8080-u1001.fh.portal.test"
TOGETHER = "apps.portal.test"  # where the applications of one viewer are under path prefixes


_LIMITS = Limits()


class FakeStore:
    """Remembers used tickets."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def use_ticket(self, ticket: str, ends: float) -> bool:
        is_first = ticket not in self._used
        self._used.add(ticket)
        return is_first


@cache
def handshakes() -> Handshakes:
    return Handshakes(Clock())


class FakeTls:
    """Implements `upstream.secure.Securing`: nodes that speak TLS, and to which it was begun before any byte."""

    def __init__(self) -> None:
        self.secured: list[str] = []
        self.refuses: PortalError | None = None

    async def secure(self, connection: Connection, node: str) -> None:
        assert connection.exchanges == 0
        if self.refuses is not None:
            raise self.refuses
        self.secured.append(node)


class Browser:
    """The other end of one downstream connection."""

    def __init__(self, portal: FakePortal, room: int | None, peer: str) -> None:
        channel = portal.door.buildProtocol(None)
        assert channel is not None
        self.channel = channel
        self.transport = FakeTransport(portal.clock, channel, room=room, peer=peer)
        channel.makeConnection(self.transport)
        channel.handshakeCompleted()
        self._clock = portal.clock

    def send(self, data: bytes) -> None:
        if self.transport.connected:
            self.channel.dataReceived(data)

    def take(self) -> bytes:
        """What has arrived since the last `take`."""
        data = self.transport.value()
        self.transport.clear()
        return data

    @property
    def received(self) -> bytes:
        return self.transport.value()

    @property
    def status(self) -> int:
        """Of the first response that has not been taken; 0 for none."""
        return int(self.received.split(b" ")[1]) if self.received.startswith(b"HTTP/1.1 ") else 0

    def field(self, name: bytes) -> bytes | None:
        """The first such field of the first response."""
        lines = self.received.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        return next((line.partition(b": ")[2] for line in lines if line.lower().startswith(name.lower() + b":")), None)

    def fields(self, name: bytes) -> list[bytes]:
        lines = self.received.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        return [line.partition(b": ")[2] for line in lines if line.lower().startswith(name.lower() + b":")]

    def finish(self) -> None:
        """Finish sending, as plain TCP can."""
        self.channel.readConnectionLost()

    def leave(self) -> None:
        self.transport.lose()

    @property
    def is_closing(self) -> bool:
        return self.transport.disconnecting or not self.transport.connected


class FakePortal:
    """A portal at ``https://portal.test`` for alice, bob and carol.

    :param takes_programs: it takes passwords and tokens, at its form and from programs.
    :param shares: of the reactor's time; without any, work that waits is done in the next `settle`.
    :param has_workers: it has workers, which answer ``/`` among others.
    :param has_wildcards, shared_host, shared_ports, serves_prefixes: see `Hosts`.
    """

    def __init__(
        self,
        *,
        limits: Limits = _LIMITS,
        connections: int = 200,
        streams: int = 500,
        ways: tuple[SignIn, ...] = (),
        paths_for_others: frozenset[str] = frozenset(),
        own: tuple[tuple[str, int], ...] = (),
        takes_programs: bool = False,
        has_workers: bool = True,
        recalls: bool = False,
        has_wildcards: bool = True,
        shared_host: str = TOGETHER,
        shared_ports: tuple[int, ...] = (),
        serves_prefixes: bool = False,
        shares: Shares | None = None,
        identity_fields: tuple[str, ...] = (),
        hsts: float = 0.0,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.shares = shares or Shares(self.clock)
        self.owners = FakeOwners()
        self.owners.listeners = {
            PORT: SocketOwner(1001, 1001, 11, 1001, True),
            HIS_PORT: SocketOwner(1002, 1002, 12, 1002, True),
            SHARED_PORT: SocketOwner(1001, 2000, 13, 1001, True),
        }
        self.dialer = FakeDialer(self.clock)
        self.sessions = FakeSessions()
        self.accounts = FakeAccounts()
        self.offload = FakeOffload()
        self.audit: list[dict[str, Any]] = []
        audit = Audit(self.clock, self._write)
        sessions: Any = self.sessions
        self.hosts = Hosts(
            "portal.test",
            has_wildcards=has_wildcards,
            shared_host=shared_host,
            shared_ports=shared_ports,
            serves_prefixes=serves_prefixes,
        )
        listeners = Listeners(())
        for address, port in own:
            listeners.add(address, port)
        nodes = Nodes(by_nobody, self.clock, allow=("localhost",), ports=(1024, 65535))
        authorizer = Authorizer(self.owners, self.accounts, self.clock, own=listeners)
        self.forwards = FakeForwards()
        self.tls = FakeTls()
        access = Access(nodes, authorizer, Forwards(self.forwards, self.forwards, self.clock, folder="/forwards"))
        self.access = access
        throttle = Throttle(self.clock)
        self.password_check = FakePasswordCheck()
        self.passwords = Passwords(
            check=self.password_check, accounts=self.accounts, throttle=throttle, clock=self.clock
        )
        self.token_store = FakeTokenStore()
        self.tokens = Tokens(store=self.token_store, offload=self.offload, clock=self.clock, now=self.clock.seconds)
        programs = Programs(self.accounts, passwords=self.passwords, tokens=self.tokens) if takes_programs else None
        self.monitor = FakeMonitor()
        self.locks = FakeLockStore()
        self.standing = Standing(
            store=self.locks,
            storage=self.offload,
            accounts=self.accounts,
            state_of=self.monitor.read_account,
            clock=self.clock,
        )
        self.board = Board(None, offload=self.offload, clock=self.clock, now=self.clock.seconds)
        authenticator = Authenticator(sessions, self.accounts, self.standing, programs, self.board.refusal)
        self.tickets = Tickets(
            sealer=Sealer([bytes(32)]),
            sessions=self.sessions,
            store=FakeStore(),
            offload=self.offload,
            now=self.clock.seconds,
        )
        self.pool: Pool[Grant] = Pool(self.clock, self.shares, most=connections)
        self.watch = Watch(self.clock, forwards=access, pool=self.pool, refusal=self.standing.refusal)
        self.watch.start()
        self.worker_dialer = FakeWorkerDialer(self.clock)
        self.workers = Workers(self.monitor, self.accounts, self.clock, limit=10, idle=600.0)
        self.membership = Membership(self.clock, authorizer=authorizer, watch=self.watch, pool=self.pool)
        self.membership.start()
        closing = Closing(sessions, (self.tokens, self.passwords), self.watch, self.workers.end)
        self.standing.start(lambda: self.workers.in_use | self.watch.in_use, closing)
        self.workers_pool: Pool[One] = Pool(self.clock, self.shares, most=connections)
        way = WayToWorker(
            self.workers, self.worker_dialer, self.workers_pool, applications=self.hosts.patterns,
            notices=self.board.field, claims=Claims(identity_fields),
        )  # fmt: skip
        asking = Asking(self.workers, way, self.clock)
        self.handed = Handed(self.clock)
        self.live = Live(asking, self.clock)
        self.listed: list[Listed] = []
        self.lacking: list[Name] = []
        self.advised: list[str] = []
        rule = OriginRule(self.hosts, paths_for_others)
        opening = Opening(asking, nodes, self.hosts, self.handed)
        self.site = Site(
            Parts(
                hosts=self.hosts,
                authenticator=authenticator,
                sessions=sessions,
                entrance=Entrance(self.hosts, sessions, self.tickets, access, rule),
                throttle=throttle,
                known=KnownBrowsers(Sealer([bytes(32)]), self.clock.seconds),
                ways=ways,
                listing=self._listing,
                acts=Acts(audit, self.clock.seconds),
                passwords=self.passwords if takes_programs else None,
                tokens=self.tokens if takes_programs else None,
                opening=opening,
                files="/dav/~/" if has_workers else "",
                origins=OriginPage(self._look),
                notices=self.board.shown,
            )
        )
        self.pipeline = Pipeline(
            Stages(
                hosts=self.hosts,
                always=Always("portal.test", hsts=hsts),
                authenticator=authenticator,
                access=access,
                authorizer=authorizer,
                dialer=self.dialer,
                tls=self.tls,
                pool=self.pool,
                watch=self.watch,
                pages=self.site,
                pseudonym=b"supercloud-test",
                handshakes=handshakes(),
                clock=self.clock,
                streams=streams,
                ping=25.0,
                handed=self.handed,
                worker=way if has_workers else None,
                updates=self.live,
                recalling=opening if recalls else None,
                rule=rule,
                claims=Claims(identity_fields),
            )
        )
        self.places = Places(most=limits.connections, greeting=limits.handshakes)
        self.door = Door(self.clock, limits, audit, now=self.clock.seconds, shares=self.shares, places=self.places)
        self.door.open(self.pipeline, self.site)

    def stop(self) -> None:
        """Leave no timer behind."""
        self.standing.stop()
        self.membership.stop()
        self.watch.stop()
        self.pool.close()

    async def _look(self, _: Principal) -> tuple[list[Name], list[str]]:
        return self.lacking, self.advised

    async def _listing(self, principal: Principal) -> list[Listed]:
        return self.listed

    def _write(self, lines: bytes) -> None:
        self.audit += [json.loads(line) for line in lines.splitlines()]

    def browser(self, *, room: int | None = None, peer: str = "192.0.2.7") -> Browser:
        return Browser(self, room, peer)

    def cookie(self, principal: Principal = ALICE, *, origin: str = "portal.test", owner: int | None = None) -> bytes:
        """A Cookie field line of somebody who is signed in on an origin."""
        session = self.sessions.begin(principal)
        sealed = self.sessions.cookie(session, origin=origin, owner=principal.uid if owner is None else owner)
        return b"Cookie: " + session_cookie(self.hosts.of(origin.encode())) + b"=" + sealed.encode() + b"\r\n"

    def token(self, principal: Principal = ALICE, *scopes: Scope, life: float = 3600.0) -> str:
        """The text of a new token of somebody's."""
        text, _ = run(self.tokens.create(principal, scopes or (DAV,), life=life))
        return text

    def settle(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)

    def lines(self) -> list[dict[str, Any]]:
        """Audit lines so far."""
        self.clock.advance(0.2)
        return self.audit

    def open_websocket(self, browser: Browser, extra: bytes = b"") -> FakeUpstream:
        """Both handshakes, done; what they wrote is taken."""
        browser.send(websocket_request(self, extra))
        upstream = self.dialer.upstreams[-1]
        upstream.send(accept(upstream.take()))
        assert browser.status == 101
        browser.take()
        return upstream


def websocket_request(portal: FakePortal, extra: bytes = b"", *, origin: str = ORIGIN) -> bytes:
    return (
        b"GET /socket HTTP/1.1\r\nHost: " + origin.encode() + b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        + extra + portal.cookie(origin=origin) + b"\r\n"
    )  # fmt: skip


def accept(handshake: bytes, extra: bytes = b"") -> bytes:
    """An application's answer to a WebSocket handshake."""
    [key] = [line.partition(b": ")[2] for line in handshake.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: ")]
    digest = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: " + digest + b"\r\n" + extra + b"\r\n"
    )


def requests_in(data: bytes) -> list[tuple[h11.Request, bytes]]:
    """The whole requests in some bytes, as another implementation reads them; raises when it cannot."""
    found: list[tuple[h11.Request, bytes]] = []
    while data:
        judge = h11.Connection(h11.SERVER)
        judge.receive_data(data)
        request, body = judge.next_event(), b""
        assert isinstance(request, h11.Request), "not a whole head"
        while not isinstance(event := judge.next_event(), h11.EndOfMessage):
            assert isinstance(event, h11.Data), "not a whole body"
            body += event.data
        found.append((request, body))
        data = judge.trailing_data[0]
    return found


def get(portal: FakePortal, path: bytes = b"/", extra: bytes = b"", *, origin: str = ORIGIN) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: " + origin.encode() + b"\r\n" + extra + portal.cookie(
        origin=origin
    ) + b"\r\n"  # fmt: skip


def basic(login: str, password: str, name: bytes = b"Authorization") -> bytes:
    """A field line as programs send it."""
    return name + b": Basic " + base64.b64encode(f"{login}:{password}".encode()) + b"\r\n"


def bearer(token: str, name: bytes = b"Authorization") -> bytes:
    """A field line as programs send it."""
    return name + b": Bearer " + token.encode() + b"\r\n"


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
