"""The viewer's own listening sockets."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from supercloud.front import listing
from supercloud.front.listing import Listing
from supercloud.front.pages import Listed
from supercloud.ident2.processes import Process, SearchTooLong
from supercloud.ident2.sockets import Socket
from supercloud.ident2.wire import LISTEN, SocketAddress
from supercloud.routing.hosts import Hosts
from tests.fakes.accounts import ALICE
from tests.fakes.awaiting import run
from tests.fakes.offload import FakeOffload


class Host:
    """Its sockets by account, and what holds them."""

    def __init__(self) -> None:
        self.sockets: dict[int, list[Socket]] = {}
        self.pids: dict[int, int] = {}

    def add(self, address: str, port: int, *, uid: int = 1001, pid: int | None = None) -> None:
        inode = 1 + sum(map(len, self.sockets.values()))
        self.sockets.setdefault(uid, []).append(Socket(LISTEN, uid, inode, 2, SocketAddress.parse(address, port), None))
        if pid is not None:
            self.pids[inode] = pid

    def listeners(self, uid: int) -> list[Socket]:
        return self.sockets.get(uid, [])

    def search(self, inode: int, uid: int) -> list[Process]:
        return [Process(self.pids[inode], uid, uid, frozenset(), 0)] if inode in self.pids else []


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(listing, "Sockets", lambda: made)
    monkeypatch.setattr(listing, "Processes", lambda: made)
    return made


def listed(*, own: tuple[str, int] | None = None, has_localhost: bool = True) -> list[Listed]:
    made = Listing(
        FakeOffload(),
        Hosts("portal.test"),
        is_own=lambda *address: address == own,
        ports=(1024, 9000),
        has_localhost=has_localhost,
    )
    return run(made.of(ALICE))


def ports() -> list[str]:
    return [one.where for one in listed()]


def test_an_application_is_listed_with_its_addresses(host: Host) -> None:
    host.add("127.0.0.1", 8080)
    origin = "https://localhost-8080-u1001.fh.portal.test/"
    assert listed() == [Listed("a program", "localhost:8080", origin)]


def test_applications_are_listed_by_port_and_each_port_once(host: Host) -> None:
    for address, port in (("::1", 8888), ("127.0.0.1", 8080), ("127.0.0.1", 8888), ("0.0.0.0", 2000)):
        host.add(address, port)
    assert ports() == ["localhost:2000", "localhost:8080", "localhost:8888"]


def test_a_port_at_several_addresses_is_called_as_the_first_that_the_kernel_told(host: Host) -> None:
    host.add("127.0.0.1", 8080, pid=os.getpid())
    host.add("::1", 8080)
    assert [one.name for one in listed()] != ["a program"]


@pytest.mark.parametrize(("port", "is_listed"), [(1023, False), (1024, True), (9000, True), (9001, False)])
def test_ports_that_may_not_be_opened_are_left_out(host: Host, port: int, is_listed: bool) -> None:
    host.add("127.0.0.1", port)
    assert bool(ports()) is is_listed


def test_what_localhost_does_not_lead_to_is_left_out(host: Host) -> None:
    host.add("10.0.0.1", 8080)
    assert ports() == []


def test_the_portals_own_listeners_are_left_out(host: Host) -> None:
    host.add("127.0.0.1", 8443)
    assert listed(own=("127.0.0.1", 8443)) == []


def test_listeners_of_other_accounts_are_not_told(host: Host) -> None:
    host.add("127.0.0.1", 8080, uid=1002)
    assert ports() == []


def test_where_this_host_may_not_be_opened_nothing_is_listed(host: Host) -> None:
    host.add("127.0.0.1", 8080)
    assert listed(has_localhost=False) == []


def test_a_process_that_has_ended_meanwhile_is_a_program(host: Host) -> None:
    host.add("127.0.0.1", 8080, pid=2**22 + 1)
    assert [one.name for one in listed()] == ["a program"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (b"/usr/bin/jupyter-lab\0--no-browser\0", "jupyter-lab"),
        (b"/usr/bin/python3\0-m\0http.server\0008000\0", "http.server"),
        (b"python3.11\0-u\0/home/alice/app.py\0", "app.py"),
        (b"python3\0", "python3"),
        (b"nginx: master process /usr/sbin/nginx\0", "nginx"),
        (b"", "a program"),
        (b"\xff\xfe\0", "\ufffd\ufffd"),
    ],
)
def test_a_process_is_called_as_a_person_would(
    host: Host, monkeypatch: pytest.MonkeyPatch, words: bytes, name: str
) -> None:
    host.add("127.0.0.1", 8080, pid=7)
    monkeypatch.setattr(Path, "read_bytes", lambda path: {"/proc/7/cmdline": words}[str(path)])
    assert [one.name for one in listed()] == [name]


def test_a_real_process_has_a_name(host: Host) -> None:
    host.add("127.0.0.1", 8080, pid=os.getpid())
    [one] = listed()
    assert one.name not in ("", "a program", Path(sys.executable).parent.name)


def test_programs_that_take_long_to_find_have_no_name(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of a million descriptors takes all the time that a search has, for each listener."""
    searched: list[int] = []

    def search(inode: int, _: int) -> list[Process]:
        searched.append(inode)
        raise SearchTooLong

    monkeypatch.setattr(host, "search", search)
    times = itertools.count(0.0, 0.3)
    monkeypatch.setattr(listing, "time", SimpleNamespace(monotonic=lambda: next(times)))
    for port in range(2000, 2050):
        host.add("127.0.0.1", port)
    shown = listed()
    assert [one.name for one in shown] == ["a program"] * 50
    assert len(searched) == 3
