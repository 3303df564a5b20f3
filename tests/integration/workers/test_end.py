"""Session holders of real accounts: how workers end, and what PAM is told."""

from __future__ import annotations

import http.client
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from lab.accounts import PROJ_GID, Accounts
from lab.workers import (
    APPLICATION,
    IN_A_NAMESPACE,
    Zygote,
    attempt,
    descendant_called,
    mounted,
    status_of,
    wait_for_end,
    zygote,
)

from supercloud.packets import Gone
from supercloud.workers.wire import Ended, Fork, Refused

root = pytest.mark.root


@root
def test_stop_ends_a_worker_and_its_session(site: Zygote) -> None:
    session = site.started(20002, "bob")
    session.stop()
    assert session.report() == Ended("stopped")
    assert session.is_over()
    assert not Path(f"/proc/{session.pid}").exists()


@root
def test_stop_lets_a_request_under_way_come_to_its_end(site: Zygote) -> None:
    session = site.started(20002, "bob")
    browser = session.browser()
    browser.request("GET", "/slow/0.5")
    time.sleep(0.1)
    session.stop()
    os.kill(session.pid, signal.SIGTERM)  # a service's end may signal all processes too
    answer = browser.getresponse()
    assert (answer.status, answer.read()) == (200, b'"done"')
    assert session.report() == Ended("stopped")
    browser.close()


@root
def test_stop_ends_a_worker_within_bounds_though_a_request_is_under_way(site: Zygote) -> None:
    session = site.started(20002, "bob")
    browser = session.browser()
    browser.request("GET", "/slow/60")
    time.sleep(0.1)
    began = time.monotonic()
    session.stop()
    assert session.report() == Ended("stopped")
    assert time.monotonic() - began < 4
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        browser.getresponse()
    browser.close()


@root
def test_a_user_who_stops_their_worker_does_not_keep_it(site: Zygote, accounts: Accounts) -> None:
    session = site.started(20002, "bob")
    assert accounts.run_as("bob", ["kill", "-STOP", str(session.pid)]).wait() == 0
    session.stop()
    assert session.report() == Ended("stopped")


@root
def test_the_end_of_the_status_socket_ends_the_worker(site: Zygote) -> None:
    session = site.started(20002, "bob")
    session.leave()
    wait_for_end(session.pid, 5)


@root
def test_a_worker_ends_with_its_holder(site: Zygote) -> None:
    session = site.started(20002, "bob")
    os.kill(int(status_of(session.pid)["PPid"]), signal.SIGKILL)
    wait_for_end(session.pid, 5)
    with pytest.raises(Gone):
        session.report()


@root
@pytest.mark.parametrize(("number", "how"), [("KILL", "signal 9"), ("TERM", "exit 0"), ("HUP", "signal 1")])
def test_a_user_who_ends_their_worker_is_told_about(site: Zygote, accounts: Accounts, number: str, how: str) -> None:
    session = site.started(20002, "bob")
    assert accounts.run_as("bob", ["kill", f"-{number}", str(session.pid)]).wait() == 0
    assert session.report() == Ended(how)
    assert session.is_over()


@root
@pytest.mark.parametrize(
    ("name", "reason"),
    [("stop-at-start", "the worker was not ready within 2 s"), ("kill-at-start", "ended before it listened: signal 9")],
)
def test_a_user_who_stops_or_kills_their_worker_at_its_start_gets_none(site: Zygote, name: str, reason: str) -> None:
    hook = Path(site.task.run, name)
    hook.touch()
    try:
        session = site.fork(20003, "carol")
        said = session.report()
    finally:
        hook.unlink()
    assert isinstance(said, Refused)
    assert said.reason.endswith(reason)
    assert session.is_over()


@root
def test_the_signals_of_a_services_end_do_not_end_a_holder_before_its_worker(site: Zygote) -> None:
    session = site.started(20002, "bob")
    holder = int(status_of(session.pid)["PPid"])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(holder, number)
        os.kill(site.process.pid, number)
    assert session.run("said = 'alive'") == "alive"
    session.stop()
    assert session.report() == Ended("stopped")


@root
def test_the_end_of_the_monitor_ends_everything(accounts: Accounts) -> None:
    with zygote() as site:
        pids = [site.started(uid, login).pid for uid, login in ((20001, "alice"), (20002, "bob"))]
        holders = [int(status_of(pid)["PPid"]) for pid in pids]
        assert site.close() == 0
        for pid in (*pids, *holders):
            assert not Path(f"/proc/{pid}").exists()


@root
def test_ended_holders_leave_no_zombies(site: Zygote) -> None:
    session = site.started(20002, "bob")
    holder = int(status_of(session.pid)["PPid"])
    watched = os.pidfd_open(holder)
    session.stop()
    session.report()
    select.select([watched], [], [], 5)
    os.close(watched)
    assert not Path(f"/proc/{holder}").exists()


@root
@pytest.mark.parametrize("what", ["garbage", "no descriptors", "one descriptor", "empty map"])
def test_anything_but_a_proper_order_ends_the_zygote(accounts: Accounts, what: str) -> None:
    with zygote() as site, socket.socket(socket.AF_UNIX) as some:
        if what == "garbage":
            site.link.socket.send(b"\xc1garbage")
        elif what == "empty map":
            site.link.socket.send(b"\x80")
        else:
            site.link.send(Fork(1, 20001, "alice"), [some.fileno()] if what == "one descriptor" else [])
        assert site.process.wait(10) == 1


# PAM.


@root
def test_a_pam_session_is_opened_and_closed_exactly_once(accounts: Accounts, service: str, tmp_path: Path) -> None:
    note = tmp_path / "sessions"
    with zygote(pam_service=service) as site:
        session = site.started(20001, "alice")
        assert note.read_text() == "open_session alice supercloud 0\n"
        session.stop()
        assert session.report() == Ended("stopped")
        assert note.read_text().splitlines()[1:] == ["close_session alice supercloud 0"]
        assert session.is_over()
    assert len(note.read_text().splitlines()) == 2


@root
@pytest.mark.parametrize("end", ["killed", "monitor gone"])
def test_a_pam_session_is_closed_however_the_worker_ends(
    accounts: Accounts, service: str, tmp_path: Path, end: str
) -> None:
    with zygote(pam_service=service) as site:
        session = site.started(20001, "alice")
        if end == "killed":
            os.kill(session.pid, signal.SIGKILL)
            assert session.report() == Ended("signal 9")
    lines = (tmp_path / "sessions").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["open_session", "close_session"]


@root
def test_a_session_that_pam_does_not_open_is_no_worker_and_is_not_closed(
    accounts: Accounts, service: str, tmp_path: Path
) -> None:
    with Path("/etc/pam.d", service).open("a") as lines:
        lines.write("session required pam_deny.so\n")
    with zygote(pam_service=service) as site:
        said = site.fork(20001, "alice").report()
        assert isinstance(said, Refused)
        assert said.reason.startswith("PAM open_session: ")
    assert "close_session" not in (tmp_path / "sessions").read_text()


@root
def test_pam_gives_environment_and_umask_but_does_not_say_who_one_is(accounts: Accounts, service: str) -> None:
    with zygote(pam_service=service) as site:
        worker = site.started(20001, "alice")
        environment = worker.run("import os; said = {**os.environ, 'umask': os.umask(0o77)}")
    assert environment["SITE_VARIABLE"] == "from-pam"
    assert environment["PATH"] == "/opt/site/bin:/usr/bin:/bin"
    assert (environment["HOME"], environment["USER"]) == (str(accounts["alice"].home), "alice")
    assert environment["umask"] == 0o077


@root
def test_the_limits_of_the_session_hold_in_the_worker_and_cannot_be_lifted(
    accounts: Accounts, service: str, tmp_path: Path
) -> None:
    rules = tmp_path / "limits.conf"
    given = ("hard nproc 7777", "soft nproc 6666", "hard fsize 123", "soft nofile 99", "hard nofile 321")
    rules.write_text("".join(f"alice {limit}\n" for limit in given))
    with Path("/etc/pam.d", service).open("a") as lines:
        lines.write(f"session required pam_limits.so conf={rules}\n")
    with zygote(pam_service=service) as site:
        worker = site.started(20001, "alice")
        limits = "import resource; said = [resource.getrlimit(which) for which in (6, 1, 7)]"  # NPROC, FSIZE, NOFILE
        assert worker.run(limits) == [[6666, 7777], [123 * 1024] * 2, [321, 321]]
        assert attempt(worker, "__import__('resource').setrlimit(6, (7778, 7778))") == "ValueError"


@root
def test_roots_groups_are_not_a_workers_though_pam_opens_its_session(accounts: Accounts, service: str) -> None:
    """Who only changes uid and gid leaves them to everybody."""
    as_usual = ("setpriv", "--groups", "0,4,1234", sys.executable, "-I", str(APPLICATION))
    with zygote(pam_service=service, command=as_usual) as site:
        worker = site.started(20001, "alice")
        assert worker.run("import os; said = sorted(os.getgroups())") == [20001, PROJ_GID]


@root
def test_a_group_that_pam_adds_is_the_workers(accounts: Accounts, service: str, tmp_path: Path) -> None:
    rules = tmp_path / "group.conf"
    rules.write_text(f"{service};*;carol;Al0000-2400;proj\n")
    with zygote(pam_service=service, command=IN_A_NAMESPACE) as site:
        site.started(20001, "alice").stop()
        with mounted(site, "--bind", str(rules), "/etc/security/group.conf"):
            carol = site.started(20003, "carol")
            assert carol.run("import os; said = sorted(os.getgroups())") == [20003, PROJ_GID]


@root
def test_a_pam_module_that_hangs_stands_in_nobodys_way(accounts: Accounts, service: str, tmp_path: Path) -> None:
    hang = tmp_path / "note"
    hang.write_text('#!/bin/sh\n[ "$PAM_USER" != bob ] || exec sleep 60\n')
    with zygote(pam_service=service) as site:
        hanging = site.fork(20002, "bob")
        assert site.started(20001, "alice").run("said = 1") == 1
        os.kill(descendant_called("sleep", site.process.pid), signal.SIGKILL)
        said = hanging.report()
        assert isinstance(said, Refused)
