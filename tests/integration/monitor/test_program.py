"""The monitor as a program: what it answers, and what ends it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lab.monitor import (
    FAKES,
    ME,
    WITH_A_DESCRIPTOR,
    Start,
    embedded,
    is_alive,
    until,
)

from supercloud.monitor.__main__ import Surroundings
from supercloud.monitor.sessions import Patience
from supercloud.monitor.wire import (
    VERSION,
    CheckPassword,
    HoldersRead,
    ReadAccount,
    ReadHolders,
    Request,
    StartWorker,
    StopWorker,
    WorkerEnded,
    WorkerRefused,
)
from supercloud.packets import Gone

# What it is.


def test_it_is_a_bare_process(start: Start, tmp_path: Path) -> None:
    with open(os.devnull) as inherited:
        os.set_inheritable(inherited.fileno(), True)
        monitor = start(prefix=WITH_A_DESCRIPTOR)
        assert monitor.state(ME.pw_uid) == "good"
    proc = Path(f"/proc/{monitor.process.pid}")
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines())
    assert status["Umask"] == "0077"
    assert status["Threads"] == "1"
    if os.geteuid() == 0:
        assert os.readlink(proc / "cwd") == "/"
        names = {entry.split(b"=")[0] for entry in (proc / "environ").read_bytes().split(b"\0") if entry}
        assert names == {b"PATH", b"LANG"}
        links = {int(fd): os.readlink(proc / "fd" / fd) for fd in os.listdir(proc / "fd")}
        kinds = sorted(link.split(":")[0] for fd, link in links.items() if fd > 2)
        # The front, the zygote, its end; a child and its end; the loop's; the folder.
        anonymous, sockets = ["anon_inode"] * 3, ["socket"] * 3
        assert kinds == sorted([str(tmp_path / "workers"), *anonymous, *sockets])
        assert links[0] == links[1] == "/dev/null"
    assert monitor.pid_of("zygote")
    assert Path(monitor.task.run, "zygote").read_text().endswith(" / ['LANG', 'PATH']")


def test_no_part_of_twisted_is_in_it_nor_in_the_zygote() -> None:
    modules = "monitor.__main__ monitor.pam workers.zygote workers.session"
    lines = [f"import supercloud.{name}" for name in modules.split()]
    found = "[name for name in sys.modules if name.startswith(('twisted', 'zope', 'OpenSSL'))]"
    code = "; ".join(["import sys", *lines, f"print({found})"])
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_another_process_of_the_account_cannot_look_into_it(start: Start, tmp_path: Path) -> None:
    task, prefix = embedded(tmp_path), ()
    if os.geteuid() == 0:  # everything of root's is root's: let it run as somebody else
        nobody = pwd.getpwnam("nobody").pw_uid
        prefix = ("setpriv", f"--reuid={nobody}", "--clear-groups", "--")
        if subprocess.run([*prefix, sys.executable, "-c", "import supercloud.monitor"], capture_output=True).returncode:
            pytest.skip("the checkout is closed to other accounts")
        folder = Path(tempfile.mkdtemp(dir="/tmp"))
        os.chown(folder, nobody, -1)
        task = msgspec.structs.replace(task, front_uid=nobody, only_uid=nobody, run=str(folder))
    monitor = start(task, prefix=prefix)
    assert monitor.state(task.front_uid) == "good"
    assert os.stat(f"/proc/{monitor.process.pid}").st_uid == task.front_uid
    # What is not dumpable is root's in /proc (proc(5), /proc/PID).
    assert os.lstat(f"/proc/{monitor.process.pid}/environ").st_uid == 0
    shutil.rmtree(task.run, ignore_errors=True)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_signals_to_the_whole_portal_do_not_end_it_before_the_front(start: Start, number: signal.Signals) -> None:
    monitor = start()
    assert monitor.state(ME.pw_uid) == "good"
    monitor.process.send_signal(number)
    assert monitor.state(ME.pw_uid) == "good"


@pytest.mark.parametrize(
    "arguments",
    [[], ["7"], ["x", "{}"], ["0", "{}"], ["0", '{"version": 1}'], ["999", "{}"], ["1", "2", "3"]],
)
def test_it_does_not_start_in_another_way(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "supercloud.monitor", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("supercloud monitor: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "changes",
    [
        {"version": VERSION + 1},
        {"run": "relative"},
        {"only_uid": os.geteuid() + 1},
        {"front_uid": os.geteuid() + 1},
    ],
)
def test_it_does_not_start_for_a_task_that_does_not_fit(start: Start, tmp_path: Path, changes: dict[str, Any]) -> None:
    assert start(msgspec.structs.replace(embedded(tmp_path), **changes)).ends() == 1


# What ends it.


GARBAGE = {
    "unknown kind": msgspec.msgpack.encode({"type": "read-file", "id": 1, "path": "/etc/shadow"}),
    "garbled bytes": b"\xc1\xff\x00",
    "a worker that never was": msgspec.msgpack.encode(StopWorker(1, 1)),
    "over-long": b"\x81" * (64 * 1024 + 1),
    "a password without its pipe": msgspec.msgpack.encode(CheckPassword(1, "alice", "192.0.2.7")),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_not_in_the_table_ends_it(start: Start, data: bytes) -> None:
    monitor = start()
    zygote = monitor.pid_of("zygote")
    monitor.socket.send(data)
    assert monitor.ends() == 1
    until(lambda: not is_alive(zygote))


@pytest.mark.parametrize(
    ("request_", "count"),
    [
        (ReadAccount(1, 1), 1),
        (StartWorker(1, 1, "x"), 1),
        (ReadHolders(1, 1, 1), 4),
        (CheckPassword(1, "x", ""), 2),
        (CheckPassword(1, "x", ""), 4),
        (CheckPassword(1, "x", "not an address"), 1),
    ],
)
def test_descriptors_and_addresses_that_a_request_does_not_have_end_it(
    start: Start, request_: Request, count: int
) -> None:
    monitor = start()
    with open(os.devnull) as one:
        monitor.packets.send(request_, [one.fileno()] * count)
        assert monitor.ends() == 1


def test_more_descriptors_than_a_packet_has_end_it(start: Start) -> None:
    monitor = start()
    with open(os.devnull) as one:
        socket.send_fds(monitor.socket, [msgspec.msgpack.encode(ReadAccount(1, 1))], [one.fileno()] * 5)
        assert monitor.ends() == 1


def test_it_says_why_and_quotes_nothing(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        surroundings = Surroundings(zygote=(sys.executable, str(FAKES / "zygote.py"), "serves"))
        process = subprocess.Popen(
            [
                sys.executable,
                str(FAKES / "monitor.py"),
                msgspec.json.encode(surroundings).decode(),
                str(theirs.fileno()),
                msgspec.json.encode(embedded(tmp_path)).decode(),
            ],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()
        ours.send(msgspec.msgpack.encode({"type": "hunter2", "hunter2": "hunter2"}))
        _, said = process.communicate(timeout=10)
    assert said == "supercloud monitor: the front sent what is not in the table\n"
    assert process.returncode == 1


def test_when_the_front_dies_everything_below_dies(start: Start) -> None:
    monitor = start()
    worker = monitor.start()
    zygote = monitor.pid_of("zygote")
    monitor.socket.close()
    assert monitor.process.wait(10) == 0
    until(lambda: not is_alive(zygote))
    until(lambda: not is_alive(worker.pid))
    assert not os.path.lexists(worker.path)


def test_when_it_is_killed_everything_below_dies(start: Start) -> None:
    monitor = start()
    worker = monitor.start()
    zygote = monitor.pid_of("zygote")
    monitor.process.kill()
    with pytest.raises(Gone):
        monitor.next()
    until(lambda: not is_alive(zygote))
    until(lambda: not is_alive(worker.pid))


def test_when_the_zygote_dies_it_ends(start: Start) -> None:
    monitor = start()
    os.kill(monitor.pid_of("zygote"), signal.SIGKILL)
    assert monitor.ends() == 1


def test_a_zygote_that_cannot_be_started_ends_it(start: Start) -> None:
    assert start(zygote=("/nonexistent/zygote",)).ends() == 1


def test_a_folder_that_is_a_link_ends_it(start: Start, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "workers").symlink_to("elsewhere")
    assert start().ends() == 1


# Workers.


def test_a_worker_is_started_stopped_and_gone(start: Start) -> None:
    monitor = start()
    worker = monitor.start()
    assert worker.path == str(Path(monitor.task.run, "workers", f"{ME.pw_uid}-1.sock"))
    assert stat.S_IMODE(os.stat(worker.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(worker.path)).st_mode) == 0o700
    with socket.socket(socket.AF_UNIX) as connecting:
        connecting.connect(worker.path)
    assert monitor.ask(StopWorker(6, worker.worker)) == WorkerEnded(5, 1, "stopped")
    assert not os.path.lexists(worker.path)
    until(lambda: not is_alive(worker.pid))
    monitor.packets.send(StopWorker(7, worker.worker))  # it has ended meanwhile: no mistake
    assert monitor.start().worker == 2


def test_a_worker_that_crashes_is_told_once(start: Start) -> None:
    monitor = start(habit="crashes")
    worker = monitor.start()
    assert monitor.next() == WorkerEnded(5, worker.worker, "signal 9")
    assert monitor.state(ME.pw_uid) == "good"


def test_a_worker_that_does_not_stop_is_killed(start: Start) -> None:
    monitor = start(habit="does-not-stop")
    worker = monitor.start()
    before = time.monotonic()
    assert monitor.ask(StopWorker(6, worker.worker)) == WorkerEnded(5, worker.worker, "stopped")
    assert 0.9 < time.monotonic() - before < 5
    until(lambda: not is_alive(worker.pid))


@pytest.mark.parametrize(
    ("habit", "state", "reason"),
    [
        ("refuses", "locked", "the session says no"),
        ("ends-at-once", "good", "its holder ended"),
        ("sends-garbage", "good", "its holder sent what cannot be read"),
    ],
)
def test_a_worker_that_does_not_begin_is_refused(start: Start, habit: str, state: str, reason: str) -> None:
    monitor = start(habit=habit)
    refused = monitor.ask(StartWorker(5, ME.pw_uid, ME.pw_name))
    assert refused == WorkerRefused(5, state, reason)  # type: ignore[arg-type]
    assert os.listdir(Path(monitor.task.run, "workers")) == []
    assert monitor.state(ME.pw_uid) == "good"


def test_a_holder_that_says_ready_twice_is_cut_off(start: Start) -> None:
    monitor = start(habit="is-ready-twice")
    worker = monitor.start()
    assert monitor.next() == WorkerEnded(5, worker.worker, "its holder said Ready out of turn")
    until(lambda: not is_alive(worker.pid))


@pytest.mark.root
def test_a_holder_that_hangs_is_killed_even_when_it_is_stopped(start: Start) -> None:
    monitor = start(habit="hangs", patience=Patience(start=1.0, stop=1.0))
    monitor.packets.send(StartWorker(5, ME.pw_uid, ME.pw_name))
    holder = monitor.pid_of("holder-1")
    os.kill(holder, signal.SIGSTOP)
    assert monitor.next() == WorkerRefused(5, "good", "no report within 1 s")
    until(lambda: not is_alive(holder))
    assert is_alive(monitor.pid_of("zygote"))


def test_a_front_that_starts_workers_without_end_gets_refusals_and_ends_nothing(start: Start) -> None:
    """Each takes two of the monitor's descriptors: out of those, it could not answer anybody."""
    monitor = start(prefix=("prlimit", "--nofile=332:332"))
    for _ in range(6):
        last = monitor.start()
    refused = monitor.ask(StartWorker(5, ME.pw_uid, ME.pw_name))
    assert refused == WorkerRefused(5, "good", "6 workers are as many as there can be")
    assert monitor.state(ME.pw_uid) == "good"
    assert monitor.ask(StopWorker(6, last.worker)) == WorkerEnded(5, last.worker, "stopped")
    assert monitor.start().worker == last.worker + 1


def test_a_zygote_that_dies_while_it_forks_ends_it(start: Start) -> None:
    monitor = start(habit="zygote-dies")
    monitor.packets.send(StartWorker(5, ME.pw_uid, ME.pw_name))
    with suppress(Gone):  # whichever it sees first, the end of the holder's socket or that of the zygote
        assert monitor.next() == WorkerRefused(5, "good", "its holder ended")
    assert monitor.process.wait(10) == 1


def test_sockets_of_an_earlier_run_are_removed(start: Start, tmp_path: Path) -> None:
    (tmp_path / "workers").mkdir(mode=0o700)
    (tmp_path / "workers" / "1000-7.sock").touch()
    (tmp_path / "workers" / "README").touch()
    assert start().state(ME.pw_uid) == "good"
    assert os.listdir(tmp_path / "workers") == ["README"]


# Holders.


def test_it_names_the_processes_that_hold_a_socket(start: Start) -> None:
    monitor = start()
    with socket.socket() as held:
        inode = os.fstat(held.fileno()).st_ino
        answer = monitor.ask(ReadHolders(9, inode, os.geteuid()))
    assert isinstance(answer, HoldersRead)
    assert answer.is_complete
    [holder] = answer.holders
    assert (holder.pid, holder.uid, holder.gid) == (os.getpid(), os.geteuid(), os.getegid())
    assert set(holder.groups) == set(os.getgroups())


def test_nobody_holds_a_socket_that_is_not_there(start: Start) -> None:
    assert start().ask(ReadHolders(9, 2**62, 0)) == HoldersRead(9, (), is_complete=True)
