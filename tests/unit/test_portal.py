"""The front as a service, over a reactor in memory; on real sockets: tests/integration."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from supercloud import assembly, preflight
from supercloud import portal as module
from supercloud.authn.store import SqliteStore
from supercloud.config import Settings, WrongSettings, embedded
from supercloud.config_values import Duration, TcpAddress
from supercloud.identity import NoAccount, Principal
from supercloud.portal import Portal
from tests.fakes.accounts import ALICE
from tests.fakes.offload import FakeOffload
from tests.fakes.settings import settings
from tests.fakes.transport import FakeTransport

ME = os.geteuid()


class Port:
    """A bound listener."""

    def __init__(self, address: str, port: int) -> None:
        self._host = IPv4Address("TCP", address, port)

    def getHost(self) -> IPv4Address:
        return self._host

    def stopListening(self) -> None:
        """At once."""


class Reactor(MemoryReactorClock):
    """Starts no process and has one thread."""

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[tuple[ProcessProtocol, list[str], dict[str, str]]] = []
        self.searched_by: list[Any] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        super().listenTCP(port, factory, backlog, interface)
        return Port(interface, port)

    def callFromThread(self, call: Callable[..., object], *args: object) -> None:
        call(*args)

    def spawnProcess(
        self, protocol: ProcessProtocol, executable: str, words: list[str], environment: dict[str, str], path: str
    ) -> None:
        self.spawned.append((protocol, words, environment))


class Offload(FakeOffload):
    """Has no threads to start."""

    stopped = 0

    def __init__(self, *_: object, waiting: int = 500, **__: object) -> None:
        super().__init__()
        self.waiting = waiting

    def start(self) -> None:
        """At once."""

    def stop(self) -> None:
        Offload.stopped += 1


class NoMonitor:
    """Acting as users without processes.

    :ivar made: the last one, with what it was made with.
    """

    made: NoMonitor
    sees_all = True
    steps: tuple[str, ...] = ()
    worker: Any = object()
    asking: Any = object()
    in_use: Mapping[int, str] = {}

    async def read_account(self, uid: int) -> str:
        return "good"

    def end_workers(self, uid: int) -> None:
        """There are none."""

    def __init__(self, settings: Settings, *_: object, **options: Any) -> None:
        NoMonitor.made = self
        self.options = options
        self._run = settings.run

    def start(self) -> None:
        self._run.mkdir(exist_ok=True)
        self.steps += ("started",)

    @property
    def monitor(self) -> Any:
        return self

    def forwards(self) -> None:
        """There are none."""

    def build(self, accounts: object, shares: object, notices: object) -> Any:
        self.steps += ("built",)
        return self.worker

    async def find_holders(self, inode: int, uid: int) -> list[Any]:
        raise NotImplementedError

    async def stop(self, offload: object) -> None:
        self.steps += ("stopped",)


@pytest.fixture(autouse=True)
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Offload", Offload)
    monkeypatch.setattr(Offload, "stopped", 0)
    monkeypatch.setattr(module, "Acting", NoMonitor)
    monkeypatch.setattr(module, "read_account", {ME: ALICE}.__getitem__)
    monkeypatch.setattr(signal, "signal", lambda *_: None)


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    made = io.StringIO()
    monkeypatch.setattr(sys, "__stdout__", made)
    return made


@pytest.fixture
def logged() -> Iterator[list[str]]:
    found: list[str] = []

    def keep(event: LogEvent) -> None:
        found.append(formatEvent(event))

    globalLogPublisher.addObserver(keep)
    yield found
    globalLogPublisher.removeObserver(keep)


def portal_of(chosen: Settings, reactor: Reactor) -> Portal:
    assert chosen.front is not None
    client: Any = None
    return Portal(chosen, chosen.front, reactor, client, (), now=reactor.seconds, search_by=reactor.searched_by.append)


def start(made: Portal) -> Portal:
    made.privilegedStartService()
    made.startService()
    return made


def stop(made: Portal, reactor: Reactor) -> Deferred[Any]:
    done = made.stopService()
    reactor.advance(0)
    return done


@pytest.fixture
def is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_each_request_of_an_account_may_wait_for_a_thread_and_its_line_is_its_own(
    state: Path, reactor: Reactor
) -> None:
    made: Any = portal_of(settings(state), reactor)
    streams = made._settings.front.per_principal.streams
    assert min(made._storage.waiting, made._offload.waiting) >= streams


def test_a_port_that_is_taken_is_named(state: Path, reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise CannotListenError("127.0.0.1", 8443, OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)))

    monkeypatch.setattr(reactor, "listenTCP", refuse)
    with pytest.raises(WrongSettings, match=r"port .*: Address already in use; name another by front\.listen"):
        portal_of(settings(state), reactor).privilegedStartService()


@pytest.mark.usefixtures("is_root")
def test_roots_rights_are_left_behind_before_the_state_is_opened(
    state: Path, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[tuple[Principal, list[Path]]] = []

    def become(account: Principal) -> None:
        became.append((account, list(state.iterdir())))
        monkeypatch.setattr(os, "geteuid", lambda: ME)

    monkeypatch.setattr(preflight, "read_account", {"alice": ALICE}.__getitem__)
    monkeypatch.setattr(module, "become", become)
    made = start(portal_of(settings(state, account="alice"), reactor))
    assert became == [(ALICE, [])]
    stop(made, reactor)


@pytest.mark.usefixtures("is_root")
@pytest.mark.parametrize(("account", "said"), [("alice", "front.account: is alice"), ("", 'front.account: is ""')])
def test_a_twistd_that_became_somebody_else_serves_nothing(
    state: Path, reactor: Reactor, monkeypatch: pytest.MonkeyPatch, account: str, said: str
) -> None:
    monkeypatch.setattr(preflight, "read_account", {"alice": ALICE}.__getitem__)
    made = portal_of(settings(state, account=account), reactor)
    made.privilegedStartService()
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with pytest.raises(WrongSettings, match=f"{said}.*leave out its --uid"):
        made.startService()
    assert list(state.iterdir()) == []


@pytest.mark.usefixtures("is_root")
def test_a_twistd_that_became_the_account_serves(
    state: Path, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "read_account", {"alice": ALICE}.__getitem__)
    made = portal_of(settings(state, account="alice"), reactor)
    made.privilegedStartService()
    monkeypatch.setattr(os, "geteuid", lambda: ALICE.uid)
    monkeypatch.setattr(os, "getegid", lambda: ALICE.gid)
    made._leave_root()
    stop(made, reactor)


def test_listeners_are_bound_where_the_settings_say_and_serve_nobody_until_they_may(
    state: Path, reactor: Reactor
) -> None:
    made = portal_of(settings(state), reactor)
    made.privilegedStartService()
    (port, factory, _, address), _ = reactor.tcpServers
    assert (address, port) == ("127.0.0.1", 443)
    assert factory.wrappedFactory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40000)) is None
    made.startService()
    assert factory.wrappedFactory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 40000)) is not None
    assert made.url == "https://localhost"
    stop(made, reactor)


def test_a_started_portal_says_where_it_listens(state: Path, reactor: Reactor, logged: list[str]) -> None:
    stop(start(portal_of(settings(state), reactor)), reactor)
    assert "listens at 127.0.0.1 port 443" in logged


def test_a_public_port_stands_in_the_portals_own_address(state: Path, reactor: Reactor) -> None:
    made = start(portal_of(settings(state, public_port=8443), reactor))
    assert made.url == "https://localhost:8443"
    stop(made, reactor)


def test_names_whose_look_up_takes_long_hold_up_no_sign_in(
    state: Path, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside: dict[str, object] = {}

    def noted(name: str) -> None:
        real = getattr(assembly, name)

        def make(offload: Any, *args: Any, **more: Any) -> Any:
            beside[name] = offload
            return real(offload, *args, **more)

        monkeypatch.setattr(assembly, name, make)

    noted("Nodes")
    noted("Accounts")
    stop(start(portal_of(settings(state), reactor)), reactor)
    assert beside["Nodes"] is not beside["Accounts"]


def test_a_stopped_portal_leaves_no_timer_and_no_thread(state: Path, reactor: Reactor) -> None:
    done = stop(start(portal_of(settings(state, stop_within=Duration(1)), reactor)), reactor)
    assert done.called
    assert reactor.getDelayedCalls() == []
    assert Offload.stopped == 2


def test_what_cannot_be_stopped_is_told_and_keeps_nothing_else_from_it(
    state: Path, reactor: Reactor, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(SqliteStore, "close", broken)
    made = start(portal_of(settings(state), reactor))
    done = stop(made, reactor)
    assert done.called
    assert Offload.stopped == 2
    assert NoMonitor.made.steps[-1] == "stopped"
    assert reactor.getDelayedCalls() == []
    assert logged[-1].startswith("while stopping")


def test_a_state_that_cannot_be_opened_leaves_no_thread_behind(state: Path, reactor: Reactor) -> None:
    made = portal_of(settings(state), reactor)
    made.privilegedStartService()
    (state / "sessions.sqlite").mkdir()
    with pytest.raises(Exception, match=r"sessions\.sqlite"):
        made.startService()
    assert Offload.stopped == 2


def test_sighup_reads_certificates_and_the_map_again(state: Path, reactor: Reactor, logged: list[str]) -> None:
    made = start(portal_of(settings(state, asks_certificate=True), reactor))
    made.reload()
    assert [line for line in logged if "read again" in line] == [
        "read again: the files of tls-cert listeners",
        "read again: the map of certificates",
        "read again: where applications live",
    ]
    stop(made, reactor)


def test_files_that_are_wrong_at_sighup_are_told_and_change_nothing(
    state: Path, reactor: Reactor, logged: list[str]
) -> None:
    made = start(portal_of(settings(state), reactor))
    (state.parent / "key.pem").write_text("nonsense")
    made.reload()
    assert any(line.startswith("not read again, going on as before: ") for line in logged)
    stop(made, reactor)


def test_exchanges_and_connections_are_counted_for_monitoring(state: Path, reactor: Reactor) -> None:
    made = start(portal_of(settings(state), reactor))
    (_, factory, _, _), (port, metrics, _, address) = reactor.tcpServers
    assert (address, port) == ("127.0.0.1", 9446)
    channel = factory.wrappedFactory.buildProtocol(None)
    transport = FakeTransport(reactor, channel)
    channel.makeConnection(transport)
    channel.dataReceived(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b'supercloud_exchanges_total{outcome="served"} 1\n' in metrics.text()
    assert b"supercloud_connections 1\n" in metrics.text()
    transport.lose()
    assert b"supercloud_connections 0\n" in metrics.text()
    stop(made, reactor)


def test_a_portal_that_cannot_be_measured_serves_all_the_same(
    state: Path, reactor: Reactor, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = reactor.listenTCP

    def refuse(port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if port == 9446:
            raise CannotListenError(interface, port, OSError(errno.EADDRINUSE, "Address already in use"))
        return listen(port, factory, backlog, interface)

    monkeypatch.setattr(reactor, "listenTCP", refuse)
    made = start(portal_of(settings(state), reactor))
    assert "front.metrics: 127.0.0.1:9446: Address already in use; there is no /metrics" in logged
    assert "listens at 127.0.0.1 port 443" in logged
    stop(made, reactor)


def test_a_site_need_not_be_measured(state: Path, reactor: Reactor) -> None:
    made = start(portal_of(settings(state, metrics=TcpAddress.parse("")), reactor))
    assert len(reactor.tcpServers) == 1
    stop(made, reactor)


def test_audit_lines_go_to_the_file_that_the_settings_name(state: Path, reactor: Reactor) -> None:
    made = start(portal_of(settings(state, audit=str(state / "audit.log")), reactor))
    (_, factory, _, _), _ = reactor.tcpServers
    channel = factory.wrappedFactory.buildProtocol(None)
    transport = FakeTransport(reactor, channel)
    channel.makeConnection(transport)
    channel.dataReceived(b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n")
    transport.lose()
    stop(made, reactor)
    assert b'"path":"/login"' in (state / "audit.log").read_bytes()


def start_embedded(state: Path, reactor: Reactor) -> Portal:
    made = portal_of(embedded(state, port=9443), reactor)
    made.embed(ME)
    return start(made)


def test_the_embedded_portal_prints_its_link_once_the_demonstration_listens(
    tmp_path: Path, reactor: Reactor, terminal: io.StringIO
) -> None:
    made = start_embedded(tmp_path / "state", reactor)
    [(process, words, environment)] = reactor.spawned
    assert words == [sys.executable, "-m", "supercloud.demo"]
    assert environment.keys() <= {"PATH", "HOME", "LANG"}
    assert terminal.getvalue() == ""
    process.outReceived(b"40000\n")
    assert terminal.getvalue().startswith("Open https://localhost:9443/login?link=")
    process.processEnded(Failure(Exception()))
    assert terminal.getvalue().count("\n") == 1
    stop(made, reactor)


def test_a_demonstration_that_fails_to_start_does_not_keep_the_link_back(
    tmp_path: Path, reactor: Reactor, terminal: io.StringIO
) -> None:
    made = start_embedded(tmp_path / "state", reactor)
    reactor.spawned[0][0].processEnded(Failure(Exception()))
    assert "login?link=" in terminal.getvalue()
    stop(made, reactor)


def test_the_demonstration_ends_with_the_portal(tmp_path: Path, reactor: Reactor, terminal: io.StringIO) -> None:
    made = start_embedded(tmp_path / "state", reactor)
    process = reactor.spawned[0][0]
    transport = process.transport = StringTransport()
    stop(made, reactor)
    assert transport.disconnecting
    process.processEnded(Failure(Exception()))
    assert terminal.getvalue() == ""


def test_without_a_terminal_the_log_says_what_to_do(
    tmp_path: Path, reactor: Reactor, logged: list[str], terminal: io.StringIO
) -> None:
    made = start_embedded(tmp_path / "state", reactor)
    terminal.close()
    reactor.spawned[0][0].outReceived(b"40000\n")
    assert logged[-1] == "no terminal to print the sign-in link on; run twistd with -n"
    stop(made, reactor)


def test_the_embedded_portals_authority_is_its_own_accounts_only(tmp_path: Path, reactor: Reactor) -> None:
    portal_of(embedded(tmp_path / "deep" / "state"), reactor).embed(ME)
    assert (tmp_path / "deep" / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "deep" / "state" / "tls" / "key.pem").stat().st_mode & 0o077 == 0


def test_a_state_folder_that_cannot_be_made_is_said_so(tmp_path: Path, reactor: Reactor) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WrongSettings, match="Not a directory; name another folder by --state"):
        portal_of(embedded(tmp_path / "file" / "state"), reactor).embed(ME)


def test_an_account_without_an_entry_cannot_run_the_embedded_portal(
    tmp_path: Path, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(uid: int) -> Principal:
        raise NoAccount(f"no account {uid}")

    monkeypatch.setattr(module, "read_account", none)
    with pytest.raises(WrongSettings, match="no account 4242 on this host; run the portal as an account that has"):
        portal_of(embedded(tmp_path / "state"), reactor).embed(4242)


def test_an_embedded_portal_of_root_is_warned_about(
    tmp_path: Path, reactor: Reactor, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    monkeypatch.setattr(module, "read_account", {0: ALICE}.__getitem__)
    portal_of(embedded(tmp_path / "state"), reactor).embed(0)
    assert "this portal runs as root and opens root's applications; run it as yourself instead" in logged


def test_the_monitor_is_started_with_root_and_asked_once_the_front_has_left_it(state: Path, reactor: Reactor) -> None:
    made = portal_of(settings(state), reactor)
    made.privilegedStartService()
    assert NoMonitor.made.steps == ("started",)
    made.startService()
    assert NoMonitor.made.steps == ("started", "built")
    assert reactor.searched_by == [NoMonitor.made.find_holders]
    stop(made, reactor)
    assert NoMonitor.made.steps == ("started", "built", "stopped")


def test_without_root_nobody_else_searches_for_holders(
    state: Path, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NoMonitor, "sees_all", False)
    made = start(portal_of(settings(state), reactor))
    assert reactor.searched_by == []
    stop(made, reactor)


def test_a_portal_without_its_monitor_stops(state: Path, reactor: Reactor, logged: list[str]) -> None:
    made = start(portal_of(settings(state), reactor))
    NoMonitor.made.options["lost"]("gone")
    assert reactor.hasStopped
    assert any("the monitor is gone (gone)" in line for line in logged)
    stop(made, reactor)
