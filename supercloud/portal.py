"""The front as one service: bound while twistd is root, run as an unprivileged account, stopped gently."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from supercloud import acting, events
from supercloud.accounts import Accounts, read_account
from supercloud.acting import Acting
from supercloud.authn.authenticate import Authenticator
from supercloud.authn.link import Links
from supercloud.authn.seal import Sealer, make_key
from supercloud.authn.session import Sessions
from supercloud.authn.store import SqliteStore
from supercloud.authn.throttle import Throttle
from supercloud.authn.ticket import Tickets
from supercloud.config import Front, Settings, WrongSettings
from supercloud.front import authority
from supercloud.front.admission import OwnAccountOnly
from supercloud.front.audit import AuditFile
from supercloud.front.door import Door
from supercloud.front.listing import Listing
from supercloud.front.signin import Book, CertificateSignIn, LinkSignIn
from supercloud.front.site import Parts, SignIn, Site
from supercloud.front.tls import BadMaterial, TlsFactory, TlsFiles, TlsMaterial
from supercloud.ident2.client import Ident2Client
from supercloud.ident2.lookup import HolderSearch
from supercloud.identity import NoAccount, Principal
from supercloud.offload import Offload
from supercloud.ownership.authorize import Authorizer, Grant
from supercloud.ownership.listeners import Listeners
from supercloud.ownership.owners import Owners
from supercloud.pipeline import Pipeline, Stages
from supercloud.relay.handshake import Handshakes
from supercloud.routing.hosts import Hosts
from supercloud.routing.nodes import Nodes
from supercloud.turns import quicken
from supercloud.upstream.connect import TcpDialer
from supercloud.upstream.pool import Pool
from supercloud.workers.become import become, failure_as


class _Demonstration(ProcessProtocol):
    """The demonstration's process; it ends when its standard input closes, as it does when the portal dies.

    :param ready: called once it listens, or has failed to.
    """

    def __init__(self, ready: Callable[[], object]) -> None:
        self._ready: Callable[[], object] | None = ready

    def outReceived(self, data: bytes) -> None:
        """It says its port."""
        self._is_ready()

    def processEnded(self, reason: Failure) -> None:
        """It is gone; the portal does without it."""
        self._is_ready()

    def end(self) -> None:
        """End it."""
        self._ready = None
        if self.transport is not None:
            self.transport.loseConnection()

    def _is_ready(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready()


class Portal(Service):
    """Listeners, and the stages behind them.

    :param own: this host's addresses.
    :param now: unix time.
    :param search_by: of this host's responder, which the monitor helps; None without one.
    """

    name = "portal"

    def __init__(
        self,
        settings: Settings,
        front: Front,
        reactor: Any,
        ident2: Ident2Client,
        own: Any,
        *,
        now: Callable[[], float],
        search_by: Callable[[HolderSearch], object] | None = None,
    ) -> None:
        self._settings = settings
        self._front = front
        self._reactor = reactor
        self._ident2 = ident2
        self._now = now
        self._search_by = search_by
        self._only: int | None = None
        self._links: Links | None = None
        self._materials: dict[bool, TlsMaterial] = {}
        # What SIGHUP reads again: each gives back what is wrong, and keeps what it had then.
        self._reloads: dict[str, Callable[[], Exception | None]] = {}
        self._ports: list[Any] = []  # IListeningPort, whose getHost() is an IPv4Address or IPv6Address
        self._own = Listeners(own)
        self._offload = Offload(reactor, name="supercloud-offload")
        # One thread: SQLite writes one after the other anyway, and nobody's DNS time-out shall delay a sign-in.
        self._storage = Offload(reactor, name="supercloud-storage", threads=1)
        self._doors: list[Door] = []
        self._audit = self._make_audit()
        self._stop: list[Callable[[], Any]] = []
        self._acting: Acting | None = None

    @staticmethod
    def check(settings: Settings) -> None:
        """Look at the files that the settings name.

        :raises WrongSettings: says which cannot be used, and why.
        """
        front = settings.front
        if front is None:
            return
        _look_at_files(settings, front)
        acting.check(settings)
        account = _account(front)
        _check_state(settings.state, account)
        if account is not None and (wrong := failure_as(account, lambda: _look_at_files(settings, front))):
            raise WrongSettings(f"{wrong}; {account} must be able to read it, for SIGHUP")

    def embed(self, uid: int) -> None:
        """Be the portal of one account: its links, its sockets, its throw-away authority; blocks.

        :raises WrongSettings: when the state folder cannot be used.
        """
        self._only = uid
        try:
            read_account(uid)
        except NoAccount as error:
            raise WrongSettings(f"{error} on this host; run the portal as an account that has an entry there") from None
        state = self._settings.state
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_state(state, None)
            authority.ensure(state / "tls", self._front.hostname)
        except OSError as error:
            raise WrongSettings(
                f"{error.filename or state}: {error.strerror}; name another folder by --state"
            ) from None
        if uid == 0:
            events.warned("this portal runs as root and opens root's applications; run it as yourself instead")

    def privilegedStartService(self) -> None:
        """Bind the listeners; twistd may still be root."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        for one in self._front.listen:
            asks = one.asks_certificate
            if asks not in self._materials:
                material = TlsMaterial(_tls_files(self._settings, self._front, asks_certificate=asks))
                self._materials[asks] = material
                self._reloads["the files of tls-cert listeners" if asks else "the files of tls listeners"] = (
                    material.reload
                )
            door = self._door()
            factory = TlsFactory(self._materials[asks], door, self._reactor)
            port = self._reactor.listenTCP(one.port, factory, interface=one.address, backlog=1024)
            self._ports.append(port)
            bound = port.getHost()
            self._own.add(bound.host, bound.port)
            self._doors.append(door)
        self._acting = Acting(
            self._settings,
            self._front,
            self._reactor,
            account=_account(self._front),
            only=self._only,
            lost=self._lost_monitor,
        )
        self._acting.start()

    def startService(self) -> None:
        """Leave root's rights behind, open the state, and begin to serve."""
        super().startService()  # type: ignore[no-untyped-call]
        quicken(self._reactor)
        self._leave_root()
        self._offload.start()
        self._storage.start()
        try:
            self._build()
        except BaseException:
            # Their threads would keep a process alive that serves nothing and holds its ports.
            self._offload.stop()
            self._storage.stop()
            raise
        for port in self._ports:
            events.listening(f"{port.getHost().host} port {port.getHost().port}")
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload))
        if self._links is not None:
            self._start_demonstration()

    def stopService(self) -> Deferred[Any]:
        """Close the listeners, let exchanges finish within a bound, then close everything else."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop_gently())

    async def _stop_gently(self) -> None:
        await gatherResults([_stopped(port) for port in self._ports])
        self._ports = []
        within = float(self._front.stop_within)
        await gatherResults([door.stop(within) for door in self._doors])
        for call in self._stop:
            result = call()
            if hasattr(result, "__await__"):
                await result
        if self._acting is not None:
            await self._acting.stop(self._offload)
        self._offload.stop()
        self._storage.stop()

    def reload(self) -> None:
        """Read certificates again; open connections go on as they are (SIGHUP)."""
        for what, read in self._reloads.items():
            events.watch(self._offload.run(read).addCallback(_reloaded, what), f"reading {what}")

    @property
    def url(self) -> str:
        """The portal's own address."""
        return self._hosts.portal.url

    def _door(self) -> Door:
        admits = None if self._only is None else self._admission()
        return Door(self._reactor, self._front.limits, self._audit, now=self._now, admits=admits)

    def _make_audit(self) -> events.Audit:
        if not self._front.audit:
            return events.Audit(self._reactor, events.audited)
        file = AuditFile(Path(self._front.audit), self._offload)
        return events.Audit(self._reactor, file.write)

    def _admission(self) -> Callable[[IAddress], bool]:
        ports = tuple(one.port for one in self._front.listen)
        return OwnAccountOnly(self._only or 0, ports).admits

    def _leave_root(self) -> None:
        account = _account(self._front)
        if account is not None:
            become(account)
            events.runs_as(account.login)

    def _build(self) -> None:
        """Make the stages from the settings."""
        settings, front, reactor = self._settings, self._front, self._reactor
        state = settings.state
        key = make_key(state / "sealing.key")
        sealer = Sealer([key])
        store = SqliteStore(state / "sessions.sqlite", now=self._now)
        store.open()
        accounts = Accounts(self._offload, min_uid=settings.authn.min_uid, only=self._only)
        sessions = Sessions(
            sealer=sealer, store=store, offload=self._storage, clock=reactor, now=self._now, life=settings.authn.session
        )
        sessions.start()
        tickets = Tickets(sealer=sealer, sessions=sessions, store=store, offload=self._storage, now=self._now)
        ports = tuple(dict.fromkeys(port.getHost().port for port in self._ports))
        public = (front.public_port, *ports) if front.public_port else ports
        hosts = self._hosts = Hosts(front.hostname, applications=front.applications, ports=public)
        nodes = Nodes(self._offload, reactor, allow=settings.nodes.allow, ports=settings.nodes.ports)
        authorizer = Authorizer(
            Owners(self._ident2, self._offload, reactor),
            accounts,
            reactor,
            own=self._own,
            shared_gids=frozenset(settings.firewall.shared_gids),
        )
        pool: Pool[Grant] = Pool(reactor, most=front.per_principal.connections)
        authenticator = Authenticator(sessions, accounts)
        listing = Listing(
            self._offload,
            hosts,
            is_own=self._own.is_own,
            ports=settings.nodes.ports,
            has_localhost="localhost" in settings.nodes.allow,
        )
        site = Site(
            Parts(
                hosts=hosts,
                authenticator=authenticator,
                sessions=sessions,
                tickets=tickets,
                throttle=Throttle(reactor),
                nodes=nodes,
                authorizer=authorizer,
                ways=tuple(self._ways(accounts)),
                listing=listing.of,
            )
        )
        worker = None
        if self._acting is not None:
            worker = self._acting.build(accounts)
            if self._acting.sees_all and self._search_by is not None:
                self._search_by(self._acting.find_holders)
        pipeline = Pipeline(
            Stages(
                hosts=hosts,
                authenticator=authenticator,
                nodes=nodes,
                authorizer=authorizer,
                dialer=TcpDialer(reactor, timeout=float(front.limits.connect)),
                pool=pool,
                pages=site,
                handshakes=Handshakes(reactor),
                clock=reactor,
                pseudonym=b"supercloud-" + sha256(b"via" + key).hexdigest()[:12].encode(),
                streams=front.per_principal.streams,
                ping=float(front.limits.ping),
                worker=worker,
                paths_for_others=frozenset(front.paths_for_others),
            )
        )
        for door in self._doors:
            door.open(pipeline, site)
        self._stop = [pool.close, self._audit.flush, sessions.stop, store.close]

    def _lost_monitor(self, why: str) -> None:
        """Nobody would look after accounts and workers: the portal stops."""
        events.monitor_lost(why)
        self._reactor.stop()

    def _ways(self, accounts: Accounts) -> list[SignIn]:
        ways: list[SignIn] = []
        settings = self._settings
        if self._only is not None and "link" in settings.authn.schemes:
            self._links = Links(self._only, now=self._now)
            ways.append(LinkSignIn(self._links, accounts, self._print_link))
        if "certificate" in settings.authn.schemes and settings.authn.certificate.map:
            certificates = CertificateSignIn(settings.authn.certificate, accounts, now=self._now)
            self._reloads["the map of certificates"] = certificates.reload
            ways.append(certificates)
        return ways

    def _print_link(self) -> None:
        """On the terminal of whoever started the portal, past the log."""
        if self._links is None or sys.__stdout__ is None:
            return
        try:
            sys.__stdout__.write(f"Open {self.url}/login?link={self._links.make()}\n")
            sys.__stdout__.flush()
        except (OSError, ValueError):
            events.warned("no terminal to print the sign-in link on; run twistd with -n")

    def _start_demonstration(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        command = [sys.executable, "-m", "supercloud.demo"]
        demonstration = _Demonstration(self._print_link)
        self._reactor.spawnProcess(demonstration, command[0], command, environment, path="/")
        self._stop.append(demonstration.end)


def _look_at_files(settings: Settings, front: Front) -> None:
    """Read what the settings name; blocks.

    :raises WrongSettings: says which file cannot be used, and why.
    """
    for asks in sorted({one.asks_certificate for one in front.listen}):
        try:
            TlsMaterial(_tls_files(settings, front, asks_certificate=asks))
        except BadMaterial as error:
            raise WrongSettings(f"front.certificate, front.private_key or authn.certificate: {error}") from None
    if settings.authn.certificate.map:
        Book.read(settings.authn.certificate)


def _account(front: Front) -> Principal | None:
    """Whom the front becomes; None when it stays who it is.

    :raises WrongSettings: there is no such account.
    """
    if os.geteuid() != 0 or not front.account:
        return None
    try:
        return read_account(front.account)
    except NoAccount as error:
        raise WrongSettings(f"front.account: {error}; make a system account, or name another") from None


def _check_state(state: Path, account: Principal | None) -> None:
    """The state folder must be the front's own, before anything is bound."""
    uid = os.geteuid() if account is None else account.uid
    login = account.login if account is not None else str(uid)
    remedy = f"make it with: install -d -m 700 -o {login} {state}"
    try:
        found = state.stat()
    except OSError as error:
        raise WrongSettings(f"state: {state}: {error.strerror}; {remedy}") from None
    if not S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise WrongSettings(f"state: {state}: must be a folder of uid {uid} with mode 0700; {remedy}")


def _tls_files(settings: Settings, front: Front, *, asks_certificate: bool) -> TlsFiles:
    scheme = settings.authn.certificate
    return TlsFiles(
        certificate=front.certificate,
        private_key=front.private_key,
        client_ca=Path(scheme.ca) if asks_certificate and scheme.ca else None,
        crl=Path(scheme.crl) if asks_certificate and scheme.crl else None,
    )


def _stopped(port: Any) -> Deferred[Any]:
    return maybeDeferred(port.stopListening)


def _reloaded(wrong: Exception | None, what: str) -> None:
    if wrong is None:
        events.reloaded(what)
    else:
        events.reload_failed(str(wrong))
