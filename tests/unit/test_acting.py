"""What the front asks of the monitor's process, and what the settings must have for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from supercloud import acting
from supercloud.acting import Acting
from supercloud.config import (
    Applications,
    Authn,
    Dav,
    Forwards,
    Front,
    PasswordScheme,
    Scheduler,
    Settings,
    Workers,
    WrongSettings,
)
from supercloud.identity import Principal
from supercloud.monitor.wire import Holder, HoldersRead, ReadHolders, Request, Task, Workspace
from supercloud.packets import Packets
from supercloud.shares import Shares
from supercloud.workers.way import WayToWorker
from tests.fakes.accounts import FakeAccounts
from tests.fakes.offload import FakeOffload

PORTAL = Principal("portal", os.geteuid(), os.getegid(), frozenset())


class Reactor(MemoryReactorClock):
    """Knows its descriptors."""

    def callFromThread(self, call: Any, *args: Any) -> None:
        call(*args)


class Process:
    """A monitor that ends when it is waited for."""

    pid = 77
    waited = 0

    def wait(self, seconds: float) -> int:
        self.waited += 1
        return 0


class Host:
    """A host whose monitor is the test."""

    def __init__(self, folder: Path, **changed: Any) -> None:
        self.settings = replace(Settings(state=folder / "state", run=folder / "run"), **changed)
        self.tasks: list[Task] = []
        self.lost: list[str] = []
        self.process = Process()
        self.reactor: Any = Reactor()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.theirs: Packets[Request] = Packets(theirs, Request)
        self._ours = ours

    def close(self) -> None:
        self._ours.close()
        self.theirs.close()

    def start(self, task: Task) -> Any:
        self.tasks.append(task)
        return self._ours, self.process

    def acting(self, **options: Any) -> Acting:
        options = {"account": PORTAL, "lost": self.lost.append, "start": self.start} | options
        return Acting(self.settings, Front(), self.reactor, **options)


Make = Callable[..., Host]


@pytest.fixture
def host_of(tmp_path: Path) -> Iterator[Make]:
    """Makes hosts with these settings."""
    hosts: list[Host] = []

    def make(**changed: Any) -> Host:
        hosts.append(Host(tmp_path, **changed))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda *_: None)


def test_the_monitor_is_told_what_the_settings_say(host_of: Make, tmp_path: Path, as_root: None) -> None:
    host = host_of(
        dav=Dav(roots={"/": "~"}),
        workers=Workers(umask="027"),
        authn=Authn(min_uid=500),
        forwards=Forwards(directory="/srv/fw"),
        scheduler=Scheduler(kind="local"),
        applications=Applications(folders=("/srv/apps",), shipped=False),
    )
    host.acting(portal="https://portal.test").start()
    (task,) = host.tasks
    assert (task.front_uid, task.only_uid, task.min_uid, task.pam_service) == (
        PORTAL.uid,
        None,
        500,
        "supercloud-portal",
    )
    assert (task.roots, task.umask, task.forwards) == ({"/": "~"}, 0o027, "/srv/fw")
    assert task.workspace == Workspace("https://portal.test", "local", ("/srv/apps",), 12 * 3600.0)
    assert msgspec.json.decode(msgspec.json.encode(task), type=Task) == task
    assert (task.run, task.desk) == (str(tmp_path / "run"), str(tmp_path / "run/portal.sock"))
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o755


def test_without_root_only_the_own_account_gets_a_worker(host_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    host = host_of()
    made = host.acting(account=None)
    made.start()
    assert (host.tasks[0].only_uid, host.tasks[0].front_uid) == (1234, 1234)
    assert not made.sees_all


def test_a_portal_of_root_for_itself_serves_root_only(host_of: Make, as_root: None) -> None:
    host = host_of()
    made = host.acting(account=None, only=0)
    made.start()
    assert host.tasks[0].only_uid == 0
    assert not made.sees_all


def test_a_folder_of_sockets_that_is_there_stays_as_it_is(host_of: Make, tmp_path: Path, as_root: None) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    host_of().acting().start()
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


def test_nothing_is_built_without_a_monitor(host_of: Make) -> None:
    with pytest.raises(RuntimeError):
        host_of().acting().build(FakeAccounts(), Shares(Clock()))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError):
        _ = host_of().acting().monitor
    with pytest.raises(RuntimeError):
        _ = host_of().acting().asking


def test_forwards_are_found_where_the_settings_have_a_folder_for_them(host_of: Make, as_root: None) -> None:
    for folder, is_there in (("/srv/fw", True), ("", False)):
        made = host_of(forwards=Forwards(directory=folder)).acting()
        assert made.forwards() is None, "there is no monitor to ask yet"
        made.start()
        made.build(FakeAccounts(), Shares(Clock()))  # type: ignore[arg-type]
        assert (made.forwards() is not None) is is_there


def test_the_holders_of_a_socket_are_those_that_the_monitor_sees(host_of: Make, as_root: None) -> None:
    host = host_of()
    made = host.acting()
    made.start()
    assert isinstance(made.build(FakeAccounts(), Shares(Clock())), WayToWorker)  # type: ignore[arg-type]
    looking = Deferred.fromCoroutine(made.find_holders(4711, 20001))
    asked, _ = host.theirs.receive()
    assert isinstance(asked, ReadHolders)
    assert (asked.inode, asked.uid) == (4711, 20001)
    host.theirs.send(HoldersRead(asked.id, (Holder(5, 20001, 20100, (20001,)),), is_complete=True))
    for reader in host.reactor.readers:
        reader.doRead()
    (found,) = looking.result
    assert (found.pid, found.uid, found.gid, found.groups) == (5, 20001, 20100, frozenset({20001}))


def test_a_monitor_that_is_gone_is_told_and_one_that_was_stopped_is_not(host_of: Make, as_root: None) -> None:
    host = host_of()
    made = host.acting()
    made.start()
    made.build(FakeAccounts(), Shares(Clock()))  # type: ignore[arg-type]
    host.theirs.close()
    for reader in list(host.reactor.readers):
        reader.doRead()
    assert host.lost == ["gone"]

    other = host_of()
    made = other.acting()
    made.start()
    made.build(FakeAccounts(), Shares(Clock()))  # type: ignore[arg-type]
    with pytest.raises(StopIteration):
        made.stop(FakeOffload()).send(None)  # type: ignore[arg-type]
    assert other.lost == []
    assert other.process.waited == 1
    assert other.reactor.getDelayedCalls() == []


def authn(*schemes: str, service: str = "site") -> Settings:
    return Settings(authn=Authn(schemes=schemes, password=PasswordScheme(pam_service=service)))


def test_passwords_need_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    with pytest.raises(WrongSettings, match="start as root"):
        acting.check(authn("session", "password"), folders=[str(tmp_path)])
    acting.check(authn("session", "certificate"), folders=[str(tmp_path)])


def test_passwords_need_a_service_of_pam(as_root: None, tmp_path: Path) -> None:
    with pytest.raises(WrongSettings, match="must name a service"):
        acting.check(authn("session", "password", service=""), folders=[str(tmp_path)])
    acting.check(authn("session", service=""), folders=[str(tmp_path)])


@pytest.mark.parametrize("service", ["site", "../site", "/etc/passwd"])
def test_a_service_of_pam_must_be_there(as_root: None, tmp_path: Path, service: str) -> None:
    with pytest.raises(WrongSettings, match=r"conf/pam\.example"):
        acting.check(authn("session", service=service), folders=[str(tmp_path)])


def test_a_service_of_pam_that_is_there_is_good(as_root: None, tmp_path: Path) -> None:
    (tmp_path / "site").write_text("auth required pam_unix.so\n")
    acting.check(authn("session", "password"), folders=["/nowhere", str(tmp_path)])


@pytest.mark.parametrize(("said", "is_refused"), [("0\n", False), ("1\n", True), ("2\n", False), (None, False)])
def test_nobody_acts_as_people_who_could_look_into_that(
    as_root: None, tmp_path: Path, said: str | None, is_refused: bool
) -> None:
    """Between becoming somebody and forbidding them to trace it a process would be theirs."""
    sysctl = tmp_path / "suid_dumpable"
    if said is not None:
        sysctl.write_text(said)
    if is_refused:
        with pytest.raises(WrongSettings, match=r"fs\.suid_dumpable=0"):
            acting.check(authn("session", service=""), dumpable=sysctl)
    else:
        acting.check(authn("session", service=""), dumpable=sysctl)
