"""The monitor as root, with real accounts and real PAM."""

from __future__ import annotations

import os
import pwd
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from lab.accounts import Accounts
from lab.monitor import (
    SERVICE,
    SLOW_SERVICE,
    Running,
    Start,
    below,
    is_alive,
    name_of,
    of_root,
    until,
)

from supercloud.monitor.kinds import Bounds
from supercloud.monitor.wire import (
    CheckPassword,
    HoldersRead,
    PasswordChecked,
    ReadHolders,
)


@pytest.mark.root
def test_the_right_password_is_good_and_another_is_bad(site: Running, erin: str) -> None:
    assert site.check(erin, b"right") == "good"
    assert site.check(erin, b"wrong") == "bad"
    assert site.check("nobody-is-called-so", b"right") == "bad"


@pytest.mark.root
@pytest.mark.parametrize("password", [b"", b"right\0", b"right\0x", b"\xff", b"x" * 1025, b"right\n"])
def test_what_is_no_password_is_bad(site: Running, erin: str, password: bytes) -> None:
    assert site.check(erin, password) == "bad"


@pytest.mark.root
def test_a_password_of_the_greatest_length_is_read_whole(site: Running, erin: str) -> None:
    # pam_unix takes 511 bytes; whoever shortened it would find the password right.
    assert site.check(erin, b"right" + b"x" * 1019) == "bad"


@pytest.mark.root
def test_an_account_without_a_password_is_not_let_in_by_an_empty_one(site: Running, erin: str) -> None:
    subprocess.run(["passwd", "-d", erin], check=True, capture_output=True)
    assert site.check(erin, b"") == "bad"
    assert site.check(erin, b"x") == "bad"


@pytest.mark.root
@pytest.mark.parametrize("login", ["root", "daemon", "ALICE", "alice\0root", "../alice", "alice\n", "-r"])
def test_root_the_systems_accounts_and_strange_names_are_bad(site: Running, erin: str, login: str) -> None:
    assert site.check(login, b"right") == "bad"


@pytest.mark.root
def test_a_locked_account_is_told_only_as_a_wrong_password(site: Running, erin: str) -> None:
    uid = pwd.getpwnam(erin).pw_uid
    subprocess.run(["usermod", "-L", erin], check=True)
    assert site.check(erin, b"right") == "bad"
    assert site.state(uid) == "locked"
    subprocess.run(["usermod", "-p", "*", erin], check=True)
    assert site.state(uid) == "good"


@pytest.mark.root
def test_an_expired_account_is_told_to_whoever_knows_the_password(site: Running, erin: str) -> None:
    uid = pwd.getpwnam(erin).pw_uid
    subprocess.run(["chage", "-E", "0", erin], check=True)
    assert (site.check(erin, b"right"), site.check(erin, b"wrong"), site.state(uid)) == ("expired", "bad", "expired")
    subprocess.run(["chage", "-E", "-1", "-d", "0", erin], check=True)  # the password must be changed
    assert (site.check(erin, b"right"), site.state(uid)) == ("expired", "expired")


@pytest.mark.root
def test_without_pam_the_expiry_counts_too_and_no_password_does(start: Start, tmp_path: Path, erin: str) -> None:
    monitor = start(of_root(tmp_path))
    uid = pwd.getpwnam(erin).pw_uid
    assert (monitor.state(uid), monitor.check(erin, b"right")) == ("good", "broken")
    subprocess.run(["chage", "-E", "0", erin], check=True)
    assert monitor.state(uid) == "expired"


@pytest.mark.root
def test_nobody_comes_in_while_the_site_is_closed(site: Running, erin: str, tmp_path: Path) -> None:
    uid = pwd.getpwnam(erin).pw_uid
    (tmp_path / "nologin").touch()
    assert (site.check(erin, b"right"), site.state(uid)) == ("closed", "closed")
    (tmp_path / "nologin").unlink()
    assert site.check(erin, b"right") == "good"


@pytest.mark.root
def test_a_workers_socket_is_the_fronts_in_a_folder_that_is_not(site: Running, erin: str) -> None:
    front = pwd.getpwnam("nobody")
    worker = site.start(pwd.getpwnam(erin).pw_uid, erin)
    made, folder = os.stat(worker.path), os.stat(os.path.dirname(worker.path))
    assert (made.st_uid, stat.S_IMODE(made.st_mode)) == (front.pw_uid, 0o600)
    assert (folder.st_uid, folder.st_gid, stat.S_IMODE(folder.st_mode)) == (0, front.pw_gid, 0o750)


@pytest.mark.root
def test_a_folder_that_the_front_made_ends_it(start: Start, tmp_path: Path) -> None:
    (tmp_path / "workers").mkdir()
    os.chown(tmp_path / "workers", pwd.getpwnam("nobody").pw_uid, -1)
    assert start(of_root(tmp_path)).ends() == 1


@pytest.mark.root
def test_a_pam_service_that_is_not_there_ends_it(start: Start, tmp_path: Path) -> None:
    assert start(of_root(tmp_path, "supercloud-typo")).ends() == 1


@pytest.mark.root
def test_a_pipe_that_is_never_closed_is_slow_and_holds_nobody_up(start: Start, tmp_path: Path, erin: str) -> None:
    monitor = start(of_root(tmp_path, SERVICE), bounds=Bounds(password=1.0))
    reading, writing = os.pipe()
    monitor.packets.send(CheckPassword(1, erin, ""), [reading])
    assert monitor.check(erin, b"right", 2) == "good"
    assert monitor.next() == PasswordChecked(1, "slow")
    os.close(reading)
    with pytest.raises(BrokenPipeError):  # nobody holds the other end any more
        until(lambda: not os.write(writing, b"x"), 5)
    os.close(writing)


@pytest.mark.root
def test_nine_checks_at_once_are_one_too_many(start: Start, tmp_path: Path, erin: str) -> None:
    monitor = start(of_root(tmp_path, SERVICE), bounds=Bounds(password=1.0))
    pipes = [os.pipe() for _ in range(8)]
    for number, (reading, _) in enumerate(pipes):
        monitor.packets.send(CheckPassword(number, erin, ""), [reading])
    assert monitor.check(erin, b"right", 9) == "busy"
    slow = [monitor.next() for _ in pipes]
    assert slow == [PasswordChecked(number, "slow") for number in range(8)]
    for pipe in pipes:
        for end in pipe:
            os.close(end)
    until(lambda: monitor.check(erin, b"right", 10) == "good")


@pytest.mark.root
def test_a_check_that_is_stopped_is_killed_with_what_it_started(start: Start, tmp_path: Path, erin: str) -> None:
    monitor = start(of_root(tmp_path, SLOW_SERVICE), bounds=Bounds(password=1.0))
    monitor.packets.send(CheckPassword(1, erin, ""), monitor.pipe(b"right"))
    until(lambda: "sleep" in map(name_of, below(monitor.process.pid)))
    found = below(monitor.process.pid) - {monitor.pid_of("zygote")}
    assert len(found) == 2
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    assert monitor.next() == PasswordChecked(1, "slow")
    for pid in found:
        until(lambda pid=pid: not is_alive(pid))  # type: ignore[misc]


@pytest.mark.root
def test_a_check_dies_with_the_monitor(start: Start, tmp_path: Path, erin: str) -> None:
    monitor = start(of_root(tmp_path, SERVICE))
    zygote = monitor.pid_of("zygote")
    reading, writing = os.pipe()
    monitor.packets.send(CheckPassword(1, erin, ""), [reading])
    assert monitor.state(pwd.getpwnam(erin).pw_uid) == "good"  # it has read the request before, too
    until(lambda: len(below(monitor.process.pid)) == 3)  # the zygote, who judges accounts, and who checks
    found = below(monitor.process.pid)
    assert zygote in found
    monitor.process.kill()
    for pid in found:
        until(lambda pid=pid: not is_alive(pid))  # type: ignore[misc]
    os.close(reading)
    os.close(writing)


@pytest.mark.root
def test_sockets_of_another_account_are_found(site: Running, accounts: Accounts) -> None:
    code = "import socket, os; s = socket.socket(); print(os.fstat(s.fileno()).st_ino, flush=True); input()"
    process = accounts.run_as(
        "bob", ["/usr/bin/python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    inode = int(process.stdout.readline())
    for uid in (accounts["bob"].uid, 0):
        answer = site.ask(ReadHolders(9, inode, uid))
        assert isinstance(answer, HoldersRead)
        [holder] = answer.holders
        assert (holder.pid, holder.uid, holder.gid) == (process.pid, accounts["bob"].uid, accounts["bob"].gid)
        assert 20100 in holder.groups
    process.communicate("\n", timeout=10)
