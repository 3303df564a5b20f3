"""Zygotes and session holders: who gets a worker, and what it needs to start."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from lab.accounts import Accounts
from lab.dav import portal_desk
from lab.processes import Processes
from lab.workers import (
    APPLICATION,
    PROJECT,
    REAL,
    Zygote,
    inside,
    mounted,
    status_of,
    zygote,
)

from supercloud.workers.wire import Refused

root = pytest.mark.root


@root
@pytest.mark.parametrize(
    ("uid", "login", "state"),
    [
        (0, "root", "root"),
        (0, "alice", "root"),
        (1, "daemon", "below-minimum"),
        (20001, "bob", "renamed"),
        (20001, "Alice", "renamed"),
        (20001, "root", "renamed"),
        (29999, "nobody-there", "unknown"),
    ],
)
def test_no_worker_for_root_system_accounts_renamed_and_unknown_ones(
    site: Zygote, uid: int, login: str, state: str
) -> None:
    session = site.fork(uid, login)
    said = session.report()
    assert isinstance(said, Refused)
    assert said.state == state
    assert session.is_over()


@root
def test_no_worker_while_the_host_is_closed(apart: Zygote) -> None:
    with mounted(apart, "-t", "tmpfs", "none", "/run"):
        inside(apart, "touch", "/run/nologin")
        said = apart.fork(20001, "alice").report()
        assert isinstance(said, Refused)
        assert said.state == "closed"


@root
def test_no_worker_for_whom_pam_does_not_let_in(accounts: Accounts, service: str) -> None:
    Path("/etc/pam.d", service).write_text("account required pam_deny.so\n")
    with zygote(pam_service=service) as site:
        said = site.fork(20001, "alice").report()
        assert isinstance(said, Refused)
        assert said.state == "locked"


@root
def test_no_worker_without_the_pam_service_of_the_settings(accounts: Accounts) -> None:
    with zygote(pam_service="supercloud-there-is-none") as site:
        said = site.fork(20001, "alice").report()
        assert isinstance(said, Refused)
        assert said.state == "broken"


# What may be missing.


@root
def test_a_home_that_cannot_be_entered_leaves_the_worker_in_the_root(apart: Zygote, accounts: Accounts) -> None:
    homes = str(accounts["alice"].home.parent)
    with mounted(apart, "-t", "tmpfs", "-o", "mode=0700", "none", homes):
        worker = apart.started(20001, "alice")
        assert worker.run("import os; said = [os.getcwd(), os.environ['HOME']]") == ["/", f"{homes}/alice"]
    with mounted(apart, "-t", "tmpfs", "-o", "mode=0755", "none", homes):
        worker = apart.started(20001, "alice")
        assert worker.run("import os; said = os.getcwd()") == "/"


@root
def test_a_worker_needs_nothing_of_the_interpreters_files(apart: Zygote) -> None:
    """They may lie under a home that the account cannot enter."""
    code = """
import bz2, calendar, codecs, email.utils, grp, http.client, io, locale, lzma, mimetypes, os, pwd, shutil, socket
import subprocess, tempfile, time, traceback, urllib.parse, uuid, xml.etree.ElementTree as ET
try:
    open(os.__file__)
    said = "the interpreter's files can be read: this test tells nothing"
except PermissionError:
    said = [
        time.strptime("2026", "%Y").tm_year,
        "bücher.example".encode("idna").decode(),
        ET.fromstring("<a xmlns='DAV:'><b/></a>").tag,
        mimetypes.guess_type("x.html")[0],
        pwd.getpwuid(os.getuid()).pw_name,
        grp.getgrgid(os.getgid()).gr_name,
        len(codecs.encode(b"ab", "base64")),
        socket.getaddrinfo("127.0.0.1", 80)[0][4][0],
        subprocess.check_output(["/bin/echo", "hi"]).decode().strip(),
        len(uuid.uuid4().hex),
        locale.getpreferredencoding().lower(),
    ]
    try:
        1 / 0
    except ZeroDivisionError:
        said.append(traceback.format_exc().splitlines()[-1])
"""
    hide = ("-t", "tmpfs", "-o", "mode=0700", "none")
    with mounted(apart, *hide, sysconfig.get_path("stdlib")), mounted(apart, *hide, str(PROJECT)):
        worker = apart.started(20001, "alice")
        assert worker.run(code) == [
            *(2026, "xn--bcher-kva.example", "{DAV:}a", "text/html", "alice", "alice", 5, "127.0.0.1", "hi", 32),
            *("utf-8", "ZeroDivisionError: division by zero"),
        ]
        assert worker.ask("GET", "/broken")[0] == 500
        assert worker.ask("PUT", "/size", b"x" * 1000) == (200, 1000)


@root
def test_the_file_system_needs_nothing_of_the_interpreters_files(
    accounts: Accounts, service: str, processes: Processes
) -> None:
    """The same with what workers serve, as the monitor starts it."""
    command = ("unshare", "--mount", *REAL)
    roots = {"/": "/", "/home": "~"}
    with (
        portal_desk(processes) as desk,
        zygote(command=command, pam_service=service, roots=roots, umask=0o022, desk=str(desk.path)) as site,
    ):
        site.started(20002, "bob").stop()
        hide = ("-t", "tmpfs", "-o", "mode=0700", "none")
        with mounted(site, *hide, sysconfig.get_path("stdlib")), mounted(site, *hide, str(PROJECT)):
            alice = site.started(20001, "alice")
            new = f"/dav{accounts['alice'].home}/new-{os.getpid()}"  # two runs may share a home
            assert alice.ask("PUT", f"{new}.txt", b"hello")[0] == 201
            assert alice.ask("PUT", f"{new}.txt", (piece for piece in (b"by ", b"chunks")))[0] in (200, 204)
            assert alice.ask("GET", f"{new}.txt") == (200, b"by chunks")
            status, listing = alice.ask("PROPFIND", f"/dav{accounts['alice'].home}/", headers={"Depth": "1"})
            assert status == 207
            assert f"new-{os.getpid()}.txt".encode() in listing
            assert alice.ask("GET", "/dav/etc/shadow")[0] in (403, 404)
            assert alice.ask("PUT", "/dav/etc/new", b"x")[0] == 403
            assert alice.ask("DELETE", f"{new}.txt")[0] == 204
            assert alice.ask("GET", f"{new}.txt")[0] == 404
            assert alice.ask("GET", "/elsewhere")[0] == 404
        assert site.log.read_text() == ""


# Embedded.


def test_the_embedded_portals_worker_is_its_account_as_it_is() -> None:
    with zygote(front_uid=os.getuid(), only_uid=os.getuid(), min_uid=10**6, pam_service="not-asked") as site:
        worker = site.started(os.getuid(), subprocess.check_output(["id", "-un"], text=True).strip())
        status = status_of(worker.pid)
        assert worker.run("import os; said = [*os.getresuid(), *os.getresgid()]") == [*os.getresuid(), *os.getresgid()]
        assert sorted(worker.run("import os; said = os.getgroups()")) == sorted(os.getgroups())
        assert status["NoNewPrivs"] == "1"


@root
def test_the_embedded_worker_of_an_ordinary_account_cannot_be_looked_into_by_its_other_processes() -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    as_nobody = ("setpriv", f"--reuid={nobody}", "--clear-groups", "--")
    if subprocess.run([*as_nobody, sys.executable, "-c", "import supercloud"], capture_output=True).returncode:
        pytest.skip("the checkout is closed to other accounts")
    command = (*as_nobody, sys.executable, "-I", str(APPLICATION))
    with zygote(command=command, front_uid=nobody, only_uid=nobody) as site:
        worker = site.started(nobody, "nobody")
        assert int(status_of(worker.pid)["Uid"].split()[0]) == nobody
        # What is not dumpable is root's in /proc (proc(5), /proc/PID).
        assert Path(f"/proc/{worker.pid}/environ").stat().st_uid == 0


def test_the_embedded_portal_has_no_worker_for_anybody_else() -> None:
    with zygote(front_uid=os.getuid(), only_uid=os.getuid()) as site:
        said = site.fork(1, "daemon").report()
        assert isinstance(said, Refused)
        assert said.state == "unknown"


# Speed and memory.


@root
def test_the_first_request_of_a_new_user_is_answered_soon_and_their_worker_is_small(
    accounts: Accounts, service: str
) -> None:
    """With what workers really serve, and a PAM session. 25 ms and 5.5 MB when this was written."""
    with zygote(command=REAL, pam_service=service) as site:
        site.started(20002, "bob")
        taken = []
        for _ in range(3):
            began = time.monotonic()
            worker = site.started(20001, "alice")
            assert worker.ask("PROPFIND", "/dav/etc/", headers={"Depth": "1"})[0] == 207
            taken.append(time.monotonic() - began)
        assert min(taken) < 1.5
        assert private_memory(worker.pid) < 12 * 1024 * 1024


def private_memory(pid: int) -> int:
    """Bytes that are this process' alone."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))
