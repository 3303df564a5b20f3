"""The front as one service: bound while twistd is root, run as an unprivileged account, stopped gently."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress

from supercloud import events, preflight
from supercloud.accounts import Accounts, read_account
from supercloud.acting import Acting
from supercloud.activation import given_sockets
from supercloud.assembly import Surroundings, assemble, make_hosts
from supercloud.authn.link import Links
from supercloud.config import Front, Settings, WrongSettings
from supercloud.config_values import Listen, TcpAddress
from supercloud.front import authority
from supercloud.front.admission import OwnAccountOnly
from supercloud.front.audit import AuditFile
from supercloud.front.demonstration import Demonstration
from supercloud.front.door import Door
from supercloud.front.metrics import Metrics
from supercloud.front.places import Places
from supercloud.front.signin import CertificateSignIn, LinkSignIn, SignIn
from supercloud.front.tls import TlsFactory, TlsMaterial
from supercloud.ident2.client import Ident2Client
from supercloud.ident2.lookup import HolderSearch
from supercloud.identity import NoAccount, Principal
from supercloud.offload import Offload
from supercloud.ownership.listeners import Listeners
from supercloud.shares import Shares
from supercloud.turns import quicken, take_turns
from supercloud.workers.become import become

LINGER: Final = 10.0  # seconds for workers and threads to end, once connections have
_STDERR: Final = 2


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
        # Each request of an account may wait for a thread, in the account's own line.
        room = front.per_principal.streams
        self._offload = Offload(reactor, name="supercloud-offload", each=2, waiting=room)
        # One thread: SQLite writes one after the other anyway, and nobody's DNS time-out shall delay a sign-in.
        self._storage = Offload(reactor, name="supercloud-storage", threads=1, waiting=room)
        self._doors: list[Door] = []
        self._shares = Shares(reactor)
        self._audit = self._make_audit()
        self._stop: list[Callable[[], Any]] = []
        self._metrics: Any = None  # its IListeningPort
        self._account: Principal | None = None  # whom the front becomes
        self._started_as = os.geteuid()
        self._acting: Acting | None = None

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
            preflight.check_state(state, None)
            authority.ensure(state / "tls", self._front.hostname)
        except OSError as error:
            raise WrongSettings(
                f"{error.filename or state}: {error.strerror}; name another folder by --state"
            ) from None
        if uid == 0:
            events.warned("this portal runs as root and opens root's applications; run it as yourself instead")

    def privilegedStartService(self) -> None:
        """Bind the listeners; twistd may still be root.

        :raises WrongSettings: one cannot be bound, or another portal runs with this state.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        preflight.check_alone(self._settings.run, "state and run" if self._only is None else "--state")
        given = given_sockets(self._reactor)
        places = self._make_places()
        for one in self._front.listen:
            asks = one.asks_certificate
            if asks not in self._materials:
                material = TlsMaterial(preflight.tls_files(self._settings, self._front, asks_certificate=asks))
                self._materials[asks] = material
                self._reloads["the files of tls-cert listeners" if asks else "the files of tls listeners"] = (
                    material.reload
                )
            door = self._door(places)
            factory = TlsFactory(self._materials[asks], door, self._reactor)
            port = self._listen(one, factory, given.pop((one.address, one.port), None))
            take_turns(port)
            self._ports.append(port)
            bound = port.getHost()
            self._own.add(bound.host, bound.port)
            self._doors.append(door)
        if given:
            unused = ", ".join(f"{address} {port}" for address, port in given)
            raise WrongSettings(f"the service manager bound {unused}, where front.listen has no listener")
        if self._front.metrics:
            self._bind_metrics(self._front.metrics)
        self._account = preflight.account_of(self._front)
        hosts = self._hosts = make_hosts(self._front, self._bound())
        self._acting = Acting(
            self._settings,
            self._front,
            self._reactor,
            account=self._account,
            only=self._only,
            portal=hosts.portal.url,
            applications=hosts.patterns,
            lost=self._lost_monitor,
        )
        self._acting.start()

    def startService(self) -> None:
        """Leave root's rights behind, open the state, and begin to serve.

        :raises WrongSettings: twistd has become another account.
        """
        super().startService()  # type: ignore[no-untyped-call]
        quicken(self._reactor, self._shares)
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
        within = float(self._front.stop_within)
        # A thread that never comes back, as from a dead file server, must not keep a portal that serves nobody.
        faulthandler.dump_traceback_later(within + LINGER, exit=True, file=_STDERR)
        ports = [*self._ports, self._metrics] if self._metrics is not None else self._ports
        await _at_stop(gatherResults, [maybeDeferred(port.stopListening) for port in ports])
        self._ports = []
        await _at_stop(gatherResults, [maybeDeferred(door.stop, within) for door in self._doors])
        for call in self._stop:
            await _at_stop(call)
        if self._acting is not None:
            await _at_stop(self._acting.stop, self._offload)
        await _at_stop(self._offload.stop)
        await _at_stop(self._storage.stop)
        faulthandler.cancel_dump_traceback_later()

    def reload(self) -> None:
        """Read certificates again; open connections go on as they are (SIGHUP)."""
        for what, read in self._reloads.items():
            events.watch(self._offload.run(read).addCallback(_reloaded, what), f"reading {what}")

    @property
    def url(self) -> str:
        """The portal's own address."""
        return self._hosts.portal.url

    def _listen(self, one: Listen, factory: TlsFactory, given: socket.socket | None) -> Any:
        """:raises WrongSettings: it cannot be bound."""
        if given is not None:
            with given:
                return self._reactor.adoptStreamPort(given.fileno(), given.family, factory)
        try:
            return self._reactor.listenTCP(one.port, factory, interface=one.address, backlog=1024)
        except CannotListenError as error:
            remedy = "name another by front.listen" if self._only is None else "name another by --port"
            raise WrongSettings(f"{one.address} port {one.port}: {error.socketError.strerror}; {remedy}") from None

    def _bound(self) -> list[tuple[Listen, int]]:
        return [(one, port.getHost().port) for one, port in zip(self._front.listen, self._ports, strict=True)]

    def _door(self, places: Places) -> Door:
        admits = None if self._only is None else self._admission()
        return Door(
            self._reactor,
            self._front.limits,
            self._audit,
            now=self._now,
            shares=self._shares,
            places=places,
            admits=admits,
        )

    def _make_places(self) -> Places:
        """As many as the settings say, and as there are descriptors for: each may need one more, to an application."""
        limits = self._front.limits
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        most = min(limits.connections, hard // 2)
        if most < limits.connections:
            events.warned(
                f"front.limits.connections: there are {hard} descriptors, so {most} connections may be open; "
                "raise LimitNOFILE of the service, or ulimit -n"
            )
        return Places(most=most, greeting=limits.handshakes)

    def _bind_metrics(self, at: TcpAddress) -> None:
        """A portal that cannot be measured serves all the same."""
        metrics = Metrics(self._reactor, self._audit.outcomes, lambda: sum(door.connections for door in self._doors))
        try:
            self._metrics = self._reactor.listenTCP(at.port, metrics, interface=at.address)
        except CannotListenError as error:
            events.warned(f"front.metrics: {at}: {error.socketError.strerror}; there is no /metrics")
            return
        self._own.add(at.address, at.port)

    def _make_audit(self) -> events.Audit:
        if not self._front.audit:
            return events.Audit(self._reactor, events.audited)
        file = AuditFile(Path(self._front.audit), self._offload)
        return events.Audit(self._reactor, file.write)

    def _admission(self) -> Callable[[IAddress], bool]:
        ports = tuple(one.port for one in self._front.listen)
        return OwnAccountOnly(self._only or 0, ports).admits

    def _leave_root(self) -> None:
        account, uid = self._account, os.geteuid()
        if account is None:
            if uid != self._started_as:
                raise WrongSettings('front.account: is "", but twistd has become another account; leave out its --uid')
        elif uid == 0:
            become(account)
            events.runs_as(account.login)
        elif (uid, os.getegid()) != (account.uid, account.gid):
            raise WrongSettings(
                f"front.account: is {account}, and twistd has become somebody else; leave out its --uid"
            )

    def _build(self) -> None:
        """Make the stages from the settings."""
        if self._acting is None:
            raise RuntimeError("privilegedStartService comes first")
        surroundings = Surroundings(
            reactor=self._reactor,
            now=self._now,
            ident2=self._ident2,
            own=self._own,
            hosts=self._hosts,
            offload=self._offload,
            storage=self._storage,
            acting=self._acting,
            shares=self._shares,
            only=self._only,
            ways=self._ways,
            acts=events.Acts(self._audit, self._now),
        )
        made = assemble(self._settings, self._front, surroundings)
        if self._acting.sees_all and self._search_by is not None:
            self._search_by(self._acting.find_holders)
        for door in self._doors:
            door.open(made.pipeline, made.site)
        self._stop = [*made.stop, self._audit.flush]
        self._reloads.update(made.reloads)

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
        demonstration = Demonstration(self._print_link)
        demonstration.start(self._reactor)
        self._stop.append(demonstration.end)


async def _at_stop(call: Callable[..., Any], *arguments: Any) -> None:
    """What fails is told, and keeps nothing else from stopping."""
    try:
        result = call(*arguments)
        if hasattr(result, "__await__"):
            await result
    except Exception:
        events.unexpected("stopping")


def _reloaded(wrong: Exception | None, what: str) -> None:
    if wrong is None:
        events.reloaded(what)
    else:
        events.reload_failed(str(wrong))
