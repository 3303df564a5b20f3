"""The monitor with the real zygote, session holders and workers."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest
from lab.accounts import Accounts
from lab.monitor import (
    HANGING,
    ME,
    SERVICE,
    WITH_A_DESCRIPTOR,
    ZYGOTE,
    Running,
    Start,
    below,
    is_alive,
    name_of,
    of_root,
    until,
)
from lab.processes import PYTHON
from lab.workers import readable_memory, status_of

from supercloud.monitor.sessions import Patience
from supercloud.monitor.wire import StartWorker, StopWorker, WorkerEnded, WorkerRefused, WorkerStarted


@pytest.fixture
def real(start: Start, tmp_path: Path, services: None) -> Running:
    """A monitor with root's rights, the real zygote and real PAM."""
    return start(of_root(tmp_path, SERVICE), zygote=ZYGOTE, patience=Patience())


def parent_of(pid: int) -> int:
    return int(status_of(pid)["PPid"])


def names(pid: int) -> tuple[str, set[str]]:
    """Its own, and those of its variables."""
    variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return name_of(pid), {one.split("=")[0] for one in variables if one}


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
def test_a_real_worker_is_its_account_and_ends_with_the_monitor(real: Running, erin: str) -> None:
    account = pwd.getpwnam(erin)
    first, second = real.start(account.pw_uid, erin), real.start(account.pw_uid, erin)
    assert _creds(first) == (first.pid, account.pw_uid)
    status = status_of(first.pid)
    assert (status["Uid"].split(), status["CapEff"]) == ([str(account.pw_uid)] * 4, "0" * 16)
    os.kill(first.pid, signal.SIGKILL)
    assert real.next() == WorkerEnded(5, first.worker, "signal 9")
    everything = {real.process.pid, *below(real.process.pid)}
    assert {second.pid, parent_of(second.pid), parent_of(parent_of(second.pid))} < everything
    real.process.kill()
    real.process.wait()
    until(lambda: not any(map(is_alive, everything)))


@pytest.mark.root
def test_nothing_of_the_front_or_of_root_is_left_below_the_monitor(start: Start, tmp_path: Path, erin: str) -> None:
    """No variable, no descriptor, no folder: what the front has open when it starts the monitor, say."""
    zygote = (*WITH_A_DESCRIPTOR, *ZYGOTE)
    real = start(of_root(tmp_path, SERVICE), zygote=zygote, patience=Patience())
    worker = real.start(pwd.getpwnam(erin).pw_uid, erin)
    holder = parent_of(worker.pid)
    assert names(real.process.pid) == ("sc-monitor", {"PATH", "LANG"})
    assert names(parent_of(holder)) == ("sc-zygote", {"PATH", "LANG"})
    assert names(holder) == ("sc-holder", {"PATH", "LANG"})
    for pid, most in ((parent_of(holder), ["socket"]), (holder, ["anon_inode", "socket", "socket"])):
        links = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert links[0] == links[1] == "/dev/null"
        assert sorted(link.split(":")[0] for fd, link in links.items() if fd > 2) == most
        assert os.readlink(f"/proc/{pid}/cwd") == "/"


@pytest.mark.root
def test_a_password_that_was_checked_is_in_no_process_that_stays(real: Running, erin: str) -> None:
    secret = b"correct-horse-battery-staple"
    before = real.start(pwd.getpwnam(erin).pw_uid, erin)
    assert real.check(erin, secret) == "bad"
    assert real.check(erin, b"right") == "good"
    after = real.start(pwd.getpwnam(erin).pw_uid, erin)
    for pid in {real.process.pid, *below(real.process.pid)}:
        memory = b"".join(readable_memory(pid))
        assert b"supercloud" in memory
        assert secret not in memory, name_of(pid)
    assert {before.pid, after.pid} < below(real.process.pid)


@pytest.mark.root
@pytest.mark.parametrize(
    ("command", "state"),
    [
        (["usermod", "-L"], "locked"),
        (["chage", "-E", "0"], "expired"),
        (["chage", "-d", "0"], "expired"),
        (["usermod", "-l", f"erin-{os.getpid()}-renamed"], "renamed"),
        (["usermod", "-o", "-u", "999"], "unknown"),
    ],
)
def test_no_worker_for_an_account_that_was_locked_expired_or_renamed_since_sign_in(
    real: Running, erin: str, command: list[str], state: str
) -> None:
    uid = pwd.getpwnam(erin).pw_uid
    assert real.check(erin, b"right") == "good"
    subprocess.run([*command, erin], check=True)
    refused = real.ask(StartWorker(5, uid, erin))
    assert isinstance(refused, WorkerRefused)
    assert refused.state == state


@pytest.mark.root
@pytest.mark.parametrize("part", ["account", "open"])
def test_a_pam_module_that_hangs_is_killed_with_its_holder(start: Start, tmp_path: Path, erin: str, part: str) -> None:
    monitor = start(of_root(tmp_path, HANGING[part]), zygote=ZYGOTE, patience=Patience(start=3.0))
    monitor.packets.send(StartWorker(5, pwd.getpwnam(erin).pw_uid, erin))
    until(lambda: "sleep" in map(name_of, below(monitor.process.pid)))
    found = {pid for pid in below(monitor.process.pid) if name_of(pid) in ("sc-holder", "sleep")}
    assert len(found) == {"account": 3, "open": 2}[part]
    assert monitor.next() == WorkerRefused(5, "good", "no report within 3 s")
    until(lambda: not any(map(is_alive, found)))


@pytest.mark.root
def test_a_session_that_is_not_closed_in_time_is_killed(start: Start, tmp_path: Path, erin: str) -> None:
    monitor = start(of_root(tmp_path, HANGING["close"]), zygote=ZYGOTE, patience=Patience(stop=3.0))
    worker = monitor.start(pwd.getpwnam(erin).pw_uid, erin)
    holder = parent_of(worker.pid)
    monitor.packets.send(StopWorker(6, worker.worker))
    until(lambda: "sleep" in map(name_of, below(holder)))
    found = below(holder) | {holder}
    assert monitor.next() == WorkerEnded(5, worker.worker, "stopped")
    until(lambda: not any(map(is_alive, found)))


@pytest.mark.root
def test_a_worker_cannot_reach_the_sockets_of_workers_nor_put_one_in_their_place(
    start: Start, accounts: Accounts, services: None
) -> None:
    run = Path(tempfile.mkdtemp(prefix="supercloud-run-", dir="/tmp"))
    run.chmod(0o755)
    try:
        monitor = start(of_root(run, SERVICE), zygote=ZYGOTE, patience=Patience())
        path = monitor.start(accounts["bob"].uid, "bob").path
        tried = accounts.run_as("alice", [PYTHON, "-c", ATTEMPTS, path], stdout=subprocess.PIPE, text=True)
        said, _ = tried.communicate(timeout=10)
        assert said.split() == ["PermissionError"] * 6
    finally:
        shutil.rmtree(run)


ATTEMPTS = """
import os, socket, sys
path = sys.argv[1]
for attempt in (
    lambda: socket.socket(socket.AF_UNIX).connect(path),
    lambda: os.listdir(os.path.dirname(path)),
    lambda: os.stat(path),
    lambda: os.unlink(path),
    lambda: os.rename(os.path.dirname(path), os.path.dirname(path) + "-mine"),
    lambda: socket.socket(socket.AF_UNIX).bind(path + ".sock"),
):
    try:
        attempt()
    except OSError as error:
        print(type(error).__name__)
    else:
        print("worked")
"""


@pytest.mark.root
def test_a_real_worker_that_its_user_stopped_is_ended_all_the_same(real: Running, erin: str) -> None:
    worker = real.start(pwd.getpwnam(erin).pw_uid, erin)
    os.kill(worker.pid, signal.SIGSTOP)
    assert real.ask(StopWorker(6, worker.worker)) == WorkerEnded(5, worker.worker, "stopped")
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
def test_whom_no_worker_is_started_for(real: Running, accounts: Accounts, uid: int, login: str, state: str) -> None:
    refused = real.ask(StartWorker(5, uid, login))
    assert isinstance(refused, WorkerRefused)
    assert refused.state == state
    assert os.listdir(Path(real.task.run, "workers")) == []


def test_the_embedded_portal_has_workers_of_its_own_account_only(start: Start) -> None:
    monitor = start(zygote=ZYGOTE, patience=Patience())
    for uid, login, state in ((ME.pw_uid + 1, "daemon", "unknown"), (ME.pw_uid, "somebody", "renamed")):
        refused = monitor.ask(StartWorker(5, uid, login))
        assert isinstance(refused, WorkerRefused)
        assert refused.state == state
    assert monitor.check(ME.pw_name, b"whatever") == "broken"
