"""The monitor with everything around it: real workers, the front's client, and whatever else may come."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import struct
import sys
from pathlib import Path

import msgspec
import pytest
import pytest_twisted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lab.monitor import (
    FAKES,
    ME,
    QUICK,
    SERVICE,
    ZYGOTE,
    Running,
    Start,
    embedded,
    is_alive,
    of_root,
    until,
)
from twisted.internet.defer import Deferred

from supercloud.errors import NoWorker
from supercloud.monitor.__main__ import Surroundings
from supercloud.monitor.client import Monitor
from supercloud.monitor.sessions import Patience
from supercloud.monitor.wire import (
    CheckPassword,
    Request,
    StartWorker,
    StopWorker,
    WorkerEnded,
    WorkerRefused,
    WorkerStarted,
)

# With the real zygote, holders and workers.


def _creds(worker: WorkerStarted) -> tuple[int, int]:
    """Who listens, as the kernel notes it: pid and uid."""
    with socket.socket(socket.AF_UNIX) as connecting:
        connecting.connect(worker.path)
        raw = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, _ = struct.unpack("iII", raw)
    return pid, uid


def test_a_real_worker_of_this_account(start: Start) -> None:
    monitor = start(zygote=ZYGOTE, patience=Patience())
    worker = monitor.start()
    assert _creds(worker) == (worker.pid, ME.pw_uid)
    assert monitor.ask(StopWorker(6, worker.worker)) == WorkerEnded(5, worker.worker, "stopped")
    until(lambda: not is_alive(worker.pid))


@pytest.mark.root
def test_a_real_worker_is_its_account_and_ends_with_the_monitor(start: Start, tmp_path: Path, erin: str) -> None:
    monitor = start(of_root(tmp_path, SERVICE), zygote=ZYGOTE, patience=Patience())
    account = pwd.getpwnam(erin)
    first, second = monitor.start(account.pw_uid, erin), monitor.start(account.pw_uid, erin)
    assert _creds(first) == (first.pid, account.pw_uid)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{first.pid}/status").read_text().splitlines())
    assert (status["Uid"], status["CapEff"]) == ("\t".join([str(account.pw_uid)] * 4), "0" * 16)
    os.kill(first.pid, signal.SIGKILL)
    assert monitor.next() == WorkerEnded(5, first.worker, "signal 9")
    monitor.process.kill()
    until(lambda: not is_alive(second.pid))


@pytest.mark.root
def test_a_real_worker_that_its_user_stopped_is_ended_all_the_same(start: Start, tmp_path: Path, erin: str) -> None:
    monitor = start(of_root(tmp_path, SERVICE), zygote=ZYGOTE, patience=Patience())
    worker = monitor.start(pwd.getpwnam(erin).pw_uid, erin)
    os.kill(worker.pid, signal.SIGSTOP)
    assert monitor.ask(StopWorker(6, worker.worker)) == WorkerEnded(5, worker.worker, "stopped")
    until(lambda: not is_alive(worker.pid))


@pytest.mark.root
@pytest.mark.parametrize(
    ("uid", "login", "state"),
    [
        (0, "root", "root"),
        (0, "alice", "root"),
        (1, "daemon", "below-minimum"),
        (999999, "alice", "unknown"),
        (20001, "bob", "renamed"),
        (20001, "ALICE", "renamed"),
        (20001, "root", "renamed"),
    ],
)
def test_whom_no_worker_is_started_for(
    start: Start, tmp_path: Path, erin: str, uid: int, login: str, state: str
) -> None:
    monitor = start(of_root(tmp_path, SERVICE), zygote=ZYGOTE, patience=Patience())
    refused = monitor.ask(StartWorker(5, uid, login))
    assert isinstance(refused, WorkerRefused)
    assert refused.state == state
    assert os.listdir(Path(monitor.task.run, "workers")) == []


def test_the_embedded_portal_has_workers_of_its_own_account_only(start: Start) -> None:
    monitor = start(zygote=ZYGOTE, patience=Patience())
    for uid, login, state in ((ME.pw_uid + 1, "daemon", "unknown"), (ME.pw_uid, "somebody", "renamed")):
        refused = monitor.ask(StartWorker(5, uid, login))
        assert isinstance(refused, WorkerRefused)
        assert refused.state == state
    assert monitor.check(ME.pw_name, b"whatever") == "broken"


# With the front's client.


@pytest_twisted.ensureDeferred
async def test_the_client_asks_and_learns_of_the_monitors_death(start: Start) -> None:
    from twisted.internet import reactor

    monitor = start()
    ended: Deferred[tuple[int, str]] = Deferred()
    lost: Deferred[str] = Deferred()
    client = Monitor(reactor, monitor.socket, lambda *what: ended.callback(what), lost.callback)
    assert await client.read_account(ME.pw_uid) == "good"
    assert await client.check_password(ME.pw_name, b"right", "192.0.2.7") == "broken"  # embedded: no PAM
    worker = await client.start_worker(ME.pw_uid, ME.pw_name)
    assert isinstance(worker, WorkerStarted)
    with socket.socket() as held:
        found = await client.read_holders(os.fstat(held.fileno()).st_ino, os.geteuid())
        assert [holder.pid for holder in found.holders] == [os.getpid()]
    client.stop_worker(worker.worker)
    assert await ended == (worker.worker, "stopped")
    monitor.process.kill()
    assert await lost == "gone"
    with pytest.raises(NoWorker):
        await client.read_account(ME.pw_uid)


# Whatever comes.

_ids = st.integers(0, 2**63 - 1)
_fields = st.dictionaries(
    st.sampled_from(["id", "uid", "login", "address", "worker", "inode", "path"]),
    st.one_of(st.integers(-(2**63), 2**64 - 1), st.text(max_size=300), st.none(), st.binary(max_size=20)),
)
_kinds = st.sampled_from(["check-password", "read-account", "start-worker", "stop-worker", "read-holders", "fork", ""])
_maps = st.builds(lambda kind, fields: msgspec.msgpack.encode({"type": kind, **fields}), _kinds, _fields)
_anything = st.one_of(st.binary(min_size=1, max_size=200), _maps)


def test_whatever_comes_it_answers_by_the_table_or_ends(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One monitor serves until it ends; a message that the table's decoder refuses must end it, without an answer."""
    decode = msgspec.msgpack.Decoder(Request).decode
    running: list[Running] = []

    def current() -> Running:
        if not running:
            folder = tmp_path_factory.mktemp("run")
            zygote = (sys.executable, str(FAKES / "zygote.py"), "refuses")
            running.append(Running(embedded(folder), Surroundings(zygote=zygote, bounds=QUICK)))
        return running[-1]

    def finish() -> None:
        monitor = running.pop()
        monitor.packets.close()
        monitor.process.wait(10)

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_anything)
    def send(data: bytes) -> None:
        monitor = current()
        monitor.socket.send(data)
        try:
            request = decode(data)
        except msgspec.MsgspecError:
            assert monitor.ends() == 1
            finish()
            return
        if isinstance(request, CheckPassword | StopWorker):  # without its pipe; no worker ever was
            assert monitor.ends() == 1
            finish()
            return
        assert monitor.next().id == request.id

    try:
        send()
    finally:
        if running:
            finish()
