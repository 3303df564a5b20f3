"""The stages of a request, made from the settings once the front has left root behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from supercloud.access import Access
from supercloud.accounts import Accounts
from supercloud.acting import Acting
from supercloud.authn import lock_store
from supercloud.authn.authenticate import Authenticator
from supercloud.authn.handed import Handed
from supercloud.authn.known import KnownBrowsers
from supercloud.authn.lock_store import SqliteLockStore
from supercloud.authn.notices import Board
from supercloud.authn.recurring import Recurring
from supercloud.authn.seal import Sealer, make_key
from supercloud.authn.session import Session, Sessions
from supercloud.authn.standing import LOOK, Standing
from supercloud.authn.store import SqliteStore
from supercloud.authn.throttle import Throttle
from supercloud.authn.ticket import Tickets
from supercloud.closing import Closing
from supercloud.config import Front, Settings
from supercloud.config_values import Listen
from supercloud.credentials import Credentials
from supercloud.desk.make import make_desk
from supercloud.events import Acts
from supercloud.forward_files import is_there
from supercloud.front.entrance import Entrance
from supercloud.front.listing import Listing
from supercloud.front.live import Live
from supercloud.front.opening import Opening
from supercloud.front.origin_page import OriginPage
from supercloud.front.signin import SignIn
from supercloud.front.site import Parts, Site
from supercloud.ident2.client import Ident2Client
from supercloud.identity import Principal
from supercloud.links import navigation
from supercloud.membership import Membership
from supercloud.message.claims import Claims
from supercloud.offload import Offload
from supercloud.origin_check import Name, advice, has_wildcards, look
from supercloud.ownership.authorize import Authorizer, Grant
from supercloud.ownership.listeners import Listeners
from supercloud.ownership.owners import Owners
from supercloud.pipeline import Pipeline
from supercloud.relay.handshake import Handshakes
from supercloud.routing.always import Always
from supercloud.routing.dns import NodeNames
from supercloud.routing.hosts import Hosts
from supercloud.routing.names import PLACES
from supercloud.routing.nodes import Nodes
from supercloud.routing.origin_rule import OriginRule
from supercloud.shares import Shares
from supercloud.stages import Stages
from supercloud.upstream.connect import TcpDialer
from supercloud.upstream.pool import Pool
from supercloud.upstream.secure import Tls, from_settings
from supercloud.watch import Watch
from supercloud.why import Why


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the stages are made of that was there before them.

    :ivar now: unix time.
    :ivar own: the portal's own listeners.
    :ivar shares: of the reactor's time.
    :ivar storage: one thread, for what is kept in the state folder.
    :ivar only: the embedded portal's one account.
    :ivar ways: to sign in, for these accounts.
    :ivar acts: leaves a line of what changes who is let in.
    """

    reactor: Any
    now: Callable[[], float]
    ident2: Ident2Client
    own: Listeners
    hosts: Hosts
    offload: Offload
    storage: Offload
    acting: Acting
    shares: Shares
    only: int | None
    ways: Callable[[Accounts], list[SignIn]]
    acts: Acts


@dataclass(frozen=True, slots=True)
class Assembled:
    """The stages.

    :ivar stop: to be called in this order when the portal stops; what they return may be awaited.
    :ivar reloads: what SIGHUP reads again, in a thread; each gives back what is wrong.
    """

    pipeline: Pipeline
    site: Site
    stop: tuple[Callable[[], Any], ...]
    reloads: Mapping[str, Callable[[], Exception | None]]


def assemble(settings: Settings, front: Front, on: Surroundings) -> Assembled:
    """Make them; blocks while the state is opened.

    :raises Exception: when the state cannot be used; says what to do.
    """
    reactor = on.reactor
    key = make_key(settings.state / "sealing.key")
    accounts = Accounts(on.offload, min_uid=settings.authn.min_uid, only=on.only)
    board = Board(Path(front.notices) if front.notices else None, offload=on.offload, clock=reactor, now=on.now)
    board.start()
    worker = on.acting.build(accounts, on.shares, board.field)
    forwards = on.acting.forwards()
    sealer = Sealer([key])
    store = SqliteStore(settings.state / "sessions.sqlite", now=on.now)
    store.open()
    sessions = Sessions(
        sealer=sealer, store=store, offload=on.storage, clock=reactor, now=on.now, life=settings.authn.session
    )
    sessions.start()
    throttle = Throttle(reactor)
    credentials = Credentials(
        settings.authn,
        check=on.acting.monitor if on.acting.sees_all else None,
        accounts=accounts,
        throttle=throttle,
        state=settings.state,
        storage=on.storage,
        acts=on.acts,
        clock=reactor,
        now=on.now,
    )
    locks = SqliteLockStore(settings.state / lock_store.FILE)
    locks.open()
    standing = Standing(
        store=locks, storage=on.storage, accounts=accounts, state_of=on.acting.monitor.read_account, clock=reactor
    )
    authenticator = Authenticator(sessions, accounts, standing, credentials.programs, board.refusal)
    hosts = on.hosts
    # Whoever may ask for a name in a domain of theirs decides how long its look-up takes.
    names = Offload(reactor, name="supercloud-names", threads=PLACES)
    sites = Offload(reactor, name="supercloud-sites", threads=2, each=1, waiting=5)
    listed = Offload(reactor, name="supercloud-listing", threads=2, each=1)
    nodes = Nodes(NodeNames(names, reactor).addresses, reactor, allow=settings.nodes.allow, ports=settings.nodes.ports)
    authorizer = Authorizer(
        Owners(on.ident2, on.offload, reactor),
        accounts,
        reactor,
        own=on.own,
        shared_gids=frozenset(settings.firewall.shared_gids),
    )
    tls = from_settings(reactor, settings.forwards, timeout=float(front.limits.connect))
    access = Access(nodes, authorizer, forwards)
    rule = OriginRule(hosts, frozenset(front.paths_for_others))
    why = Why(
        hosts=hosts,
        accounts=accounts,
        standing=standing,
        state_of=on.acting.monitor.read_account,
        access=access,
        rule=rule,
        uid=os.geteuid(),
    )
    looks = Offload(reactor, name="supercloud-desk", threads=64, each=4)
    books = Offload(reactor, name="supercloud-books", threads=1)
    beside = (looks, books, names, sites, listed)
    for one in beside:
        one.start()
    desk = make_desk(
        reactor,
        str(settings.run / "portal.sock"),
        settings.state,
        offload=looks,
        storage=books,
        now=on.now,
        handlers={**credentials.handlers, **why.handlers},
    )
    desk.start()
    pool: Pool[Grant] = Pool(reactor, on.shares, most=front.per_principal.connections)
    handed = Handed(reactor)
    watch = Watch(reactor, forwards=access, pool=pool, refusal=standing.refusal)
    watch.start()
    membership = Membership(reactor, authorizer=authorizer, watch=watch, pool=pool)
    membership.start()
    closing = Closing(sessions, (credentials,), watch, on.acting.end_workers)
    standing.start(lambda: on.acting.in_use | watch.in_use, closing)
    listing = Listing(
        listed,
        hosts,
        is_own=on.own.is_own,
        ports=settings.nodes.ports,
        has_localhost="localhost" in settings.nodes.allow,
    )
    ways = tuple(on.ways(accounts))
    by_name = {way.name: way for way in ways}

    def doubt(session: Session) -> str | None:
        return by_name[session.scheme].doubt(session) if session.scheme in by_name else None

    certificates = Recurring(reactor, LOOK, lambda: sessions.end_doubted(doubt), "looking after certificates")
    certificates.start()

    def on_sites(who: Principal) -> Any:
        return sites.run_for(who.uid, _look_at_origins, front, on.now())

    opening = Opening(on.acting.asking, nodes, hosts, handed)
    links = navigation(has_forwards=is_there(settings.forwards.directory))
    tickets = Tickets(sealer=sealer, sessions=sessions, store=store, offload=on.storage, now=on.now)
    site = Site(
        Parts(
            hosts=hosts,
            authenticator=authenticator,
            sessions=sessions,
            entrance=Entrance(hosts, sessions, tickets, access, rule),
            throttle=throttle,
            known=KnownBrowsers(sealer, on.now),
            ways=ways,
            listing=listing.of,
            acts=on.acts,
            passwords=credentials.passwords,
            tokens=credentials.tokens,
            opening=opening,
            files=files_of(settings.dav.roots),
            origins=OriginPage(on_sites, links),
            links=links,
            notices=board.shown,
        )
    )
    pipeline = Pipeline(
        Stages(
            hosts=hosts,
            always=Always(front.hostname, hsts=float(front.hsts)),
            authenticator=authenticator,
            access=access,
            authorizer=authorizer,
            dialer=TcpDialer(reactor, timeout=float(front.limits.connect)),
            tls=tls,
            pool=pool,
            watch=watch,
            pages=site,
            handshakes=Handshakes(reactor),
            clock=reactor,
            pseudonym=b"supercloud-" + sha256(b"via" + key).hexdigest()[:12].encode(),
            streams=front.per_principal.streams,
            ping=float(front.limits.ping),
            handed=handed,
            worker=worker,
            updates=Live(on.acting.asking, reactor),
            recalling=opening,
            rule=rule,
            claims=Claims(front.identity_fields),
        )
    )
    looking = (board.stop, standing.stop, certificates.stop, membership.stop, watch.stop)
    keeping = (pool.close, sessions.stop, store.close, credentials.stop, locks.close, handed.stop)
    reloads: dict[str, Callable[[], Exception | None]] = {}
    if isinstance(tls, Tls):
        reloads["the certificates of forwards"] = tls.reload
    reloads["where applications live"] = partial(_look_at_wildcards, hosts, front)
    return Assembled(pipeline, site, (desk.stop, *(one.stop for one in beside), *looking, *keeping), reloads)


def make_hosts(front: Front, bound: Sequence[tuple[Listen, int]]) -> Hosts:
    """The addresses that the portal knows as its own; blocks.

    :param bound: listeners, each with its port.
    """
    own = tuple(dict.fromkeys(port for listen, port in bound if not listen.is_shared))
    return Hosts(
        front.hostname,
        applications=front.applications,
        ports=(front.public_port, *own) if front.public_port else own,
        shared_host=front.applications_host,
        shared_ports=tuple(dict.fromkeys(port for listen, port in bound if listen.is_shared)),
        has_wildcards=has_wildcards(front),
        serves_prefixes=front.paths == "portal",
    )


def _look_at_origins(front: Front, now: float) -> tuple[list[Name], list[str]]:
    return look(front, datetime.fromtimestamp(now, UTC)), advice(front)


def _look_at_wildcards(hosts: Hosts, front: Front) -> None:
    """A renewed certificate may have other names; blocks."""
    hosts.has_wildcards = has_wildcards(front)


def files_of(roots: Mapping[str, str]) -> str:
    """Where somebody's files begin: at home, where all is served; else at the first root."""
    if roots.get("/") == "/":
        return "/dav/~/"
    return f"/dav{min(roots).rstrip('/')}/" if roots else ""
