"""A real portal and a real zygote that get messages which are almost right: from accounts at the portal's own socket,
from local clients of ident2, and from a front and a monitor that went mad. Bounded in time; each prints its seed.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lab.accounts import Accounts
from lab.certificates import Certificates
from lab.monitor import Start, below, is_alive, monitors, until
from lab.processes import Processes
from lab.site import Head
from lab.workers import acting_as, zygote

from supercloud.desk import lock_wire as locks
from supercloud.desk.property_wire import FilterStored, ReadProperties, ReplaceProperties
from supercloud.desk.token_wire import CreateToken, ListTokens, RevokeToken
from supercloud.desk.wire import VERSION, Hello, Key
from supercloud.ident2.wire import Opcode, Question, SocketAddress
from supercloud.monitor.wire import (
    Answer,
    CheckPassword,
    ReadAccount,
    ReadForward,
    ReadHolders,
    StartWorker,
    StopWorker,
)
from supercloud.workers.wire import Fork
from tests.fakes.mutations import Mutations, encoded

pytestmark = pytest.mark.root

SECONDS = 8.0  # of each
KEY = Key(1, 2, 3)
AT_THE_DESK = (
    Hello(VERSION),
    locks.AcquireLock("exclusive", "0", 60, b"<o/>", "/x", (KEY,)),
    locks.RefreshLock("urn:uuid:1", 60),
    locks.ReleaseLock("urn:uuid:1"),
    locks.ReadLock("urn:uuid:1"),
    locks.FindLocks((KEY,)),
    locks.FilterLocked(((1, 2),)),
    locks.CheckWrite(KEY, (KEY,), ("urn:uuid:1",)),
    locks.DropLocks((1,)),
    locks.BeginWrite((KEY,), ()),
    locks.ExpectWrite(1),
    locks.FollowWrite(1),
    locks.EndWrite(1),
    ReadProperties(),
    ReplaceProperties({"{x}y": b"<y/>"}),
    FilterStored(((1, 2),)),
    CreateToken("dav", 60.0, "fuzzed"),
    ListTokens(),
    RevokeToken("0123456789"),
)


@pytest.fixture(scope="module")
def head(accounts: Accounts, public_copies: Any) -> Iterator[Head]:
    processes = Processes()
    made = Head(public_copies.folder / "fuzzed", Certificates(public_copies.folder), address="127.0.0.1")
    own = f'socket = "{made.folder}/run/ident2.sock"\nudp = ""\n'
    made.start(processes, logins=("alice",), tokens=True, ident2=own, nodes='["localhost", "127.0.0.1/32", "::1/128"]')
    yield made
    made.portal.stop()  # with nothing critical in its log
    processes.stop()


def statm(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def assert_nothing_grows(head: Head, fuzz: Callable[[float], None]) -> None:
    """Fuzz for a while, twice: what is made once is there after the first time."""
    pid, curl = head.portal.process.pid, head.signed_in("alice")
    listing = f"https://{head.hostname}:{head.port}/dav/tmp/"
    fuzz(SECONDS / 4)
    assert curl(listing, "--head").status == 200
    descriptors, memory = len(os.listdir(f"/proc/{pid}/fd")), statm(pid)
    fuzz(SECONDS)
    assert curl(listing, "--head").status == 200
    until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= descriptors + 3)
    assert statm(pid) - memory < 24 * 2**20
    assert head.portal.process.poll() is None


def test_an_account_may_send_anything_to_the_portals_socket(head: Head, accounts: Accounts, tmp_path: Path) -> None:
    mutate = Mutations(*encoded(AT_THE_DESK))
    file = accounts["alice"].home / "fuzzed"
    file.touch()
    os.chown(file, accounts["alice"].uid, -1)

    def fuzz(seconds: float) -> None:
        ends = time.monotonic() + seconds
        with file.open("r+b") as shown:
            while time.monotonic() < ends:
                connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                connected.settimeout(0.05)
                with connected, suppress(OSError):
                    with acting_as(accounts["alice"].uid):
                        connected.connect(str(head.folder / "run" / "portal.sock"))
                    if mutate.random.random() < 0.9:
                        connected.send(msgspec.msgpack.encode(Hello(VERSION)))
                    for _ in range(mutate.random.randrange(20)):
                        descriptors = [shown.fileno()] * mutate.random.choice((0, 0, 1, 1, 2, 5))
                        socket.send_fds(connected, [mutate()[:70_000]], descriptors)
                        if mutate.random.random() < 0.7:
                            connected.recv(65536)

    try:
        assert_nothing_grows(head, fuzz)
    finally:
        file.unlink()


def test_a_client_of_ident2_may_send_anything(head: Head) -> None:
    here, there = SocketAddress.parse("127.0.0.1", head.port), SocketAddress.parse("127.0.0.1", 40_000)
    question = Question(
        opcode=Opcode.ASK_LOCAL, client_id=1, question_id=2, flags=31, protocol=6, states=2, local=here, remote=there
    )
    mutate = Mutations(question.encode(), b"\0" + bytes(59))

    def fuzz(seconds: float) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            connected.settimeout(0.02)
            with connected, suppress(OSError):
                connected.connect(str(head.folder / "run" / "ident2.sock"))
                for _ in range(20):
                    connected.send(mutate()[:5000])
                    if mutate.random.random() < 0.5:
                        connected.recv(65536)

    assert_nothing_grows(head, fuzz)


def test_a_front_that_went_mad_gets_answers_or_ends_the_monitor(tmp_path: Path) -> None:
    mutate = Mutations(
        *encoded(
            [
                CheckPassword(1, "alice", ""),
                ReadAccount(2, 1001),
                StartWorker(3, 1001, "alice"),
                StopWorker(4, 1),
                ReadHolders(5, 4711, 1001),
                ReadForward(6, "alice-tb", 1001),
            ]
        )
    )
    ends = time.monotonic() + SECONDS
    decode = msgspec.msgpack.Decoder(Answer).decode
    with monitors(tmp_path) as start:
        while time.monotonic() < ends:
            monitor = _started(start, tmp_path)
            monitor.socket.settimeout(0.05)
            is_over = False
            while not is_over and time.monotonic() < ends:
                with suppress(TimeoutError):
                    try:
                        monitor.socket.send(mutate()[:60_000])
                        data = monitor.socket.recv(65536)
                        is_over = not data
                        if data:
                            decode(data)
                    except (BrokenPipeError, ConnectionResetError):
                        is_over = True
            if is_over:
                assert monitor.process.wait(10) == 1
            monitor.packets.close()
            monitor.process.wait(10)
            assert not any(map(is_alive, below(monitor.process.pid)))


def _started(start: Start, folder: Path) -> Any:
    """One that serves; each has a folder of its own."""
    own = folder / str(time.monotonic_ns())
    own.mkdir()
    from lab.monitor import embedded

    return start(embedded(own), habit="refuses")


def test_a_monitor_that_went_mad_ends_the_zygote_and_gets_no_worker_but_as_ordered(accounts: Accounts) -> None:
    mutate = Mutations(*encoded([Fork(1, accounts["alice"].uid, "alice"), Fork(2, 0, "root"), Fork(3, 7, "nobody")]))
    ends = time.monotonic() + SECONDS
    with zygote(stderr=subprocess.DEVNULL) as made, open(os.devnull) as shown:
        link = made.link.socket
        link.settimeout(1)
        while time.monotonic() < ends and made.process.poll() is None:
            with suppress(OSError):
                descriptors = [shown.fileno()] * mutate.random.choice((0, 1, 2, 2, 2, 5))
                socket.send_fds(link, [mutate()[:60_000]], descriptors)
        if made.process.poll() is not None:
            assert made.process.returncode == 1
        until(lambda: not [pid for pid in below(made.process.pid) if uid_of(pid) == 0])


def uid_of(pid: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        return os.stat(f"/proc/{pid}").st_uid
    return -1
