"""What an administrator does to a running portal from the command line: lock, unlock, list, kick, ask why."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from lab.certificates import Certificates
from lab.portal import ROOT, until
from lab.processes import Processes
from lab.site import FRONT, Head

pytestmark = pytest.mark.root

_SUPERCLOUD = ROOT / ".venv" / "bin" / "supercloud"


@pytest.fixture(scope="module")
def site(accounts: Any, applications: Any, public_copies: Any) -> Iterator[SimpleNamespace]:
    """A portal, and an application of alice's."""
    processes = Processes()
    folder = public_copies.folder / "administration"
    head = Head(folder, Certificates(public_copies.folder), address="127.0.0.1")
    how: dict[str, Any] = {"ident2": 'socket = ""\nudp = ""\n', "nodes": '["localhost", "127.0.0.1/32"]'}

    def start() -> None:
        head.start(processes, logins=("alice", "bob"), **how)

    start()
    application = applications.start(login="alice")
    yield SimpleNamespace(head=head, start=start, port=application.port)
    head.portal.stop()
    processes.stop()


def admin(site: SimpleNamespace, *words: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    argv = [*before, str(_SUPERCLOUD), "admin", "--config", str(site.head.folder / "portal.toml"), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30)


def test_a_lock_ends_what_is_open_is_told_and_survives_a_restart(site: Any) -> None:
    curl = site.head.signed_in("alice")
    with curl.start(f"{site.head.together}/fw2/localhost:{site.port}/events/100000") as running:
        assert running.stdout.read(100)
        assert "alice  " in admin(site, "sessions").stdout
        since = time.monotonic()
        assert admin(site, "lock", "alice", "--reason", "Call the desk.").stdout == "alice is locked\n"
        assert running.wait(10) != 0, "curl sees a broken body"
        assert time.monotonic() - since < 4, "with the time that the command takes to start"
    for _ in range(2):
        refused = site.head.curl("alice")(f"https://{site.head.hostname}:{site.head.port}/login")
        assert refused.status == 403
        assert "locked this account for the portal. Call the desk." in refused.text
        site.head.portal.stop()
        site.start()
    assert "Call the desk." in admin(site, "locks").stdout
    assert "nobody is signed in" in admin(site, "sessions").stdout
    assert admin(site, "unlock", "alice").returncode == 0
    until(lambda: _may_sign_in(site), "alice may sign in again")


def _may_sign_in(site: SimpleNamespace) -> bool:
    try:
        site.head.signed_in("alice")
    except PermissionError:
        return False
    return True


def test_why_tells_what_the_portal_decides(site: Any) -> None:
    url = f"{site.head.together}/fw2/localhost:{site.port}/"
    told = admin(site, "why", "alice", url)
    assert (told.returncode, told.stdout.splitlines()[-1]) == (0, "allowed")
    listener = next(line for line in told.stdout.splitlines() if line.startswith("listener  127.0.0.1: pid "))
    assert listener.endswith(": same user")
    refused = admin(site, "why", "bob", url)
    assert refused.returncode == 1
    assert refused.stdout.splitlines()[-1].startswith("refused: 404 ")
    assert "somebody else's" in refused.stdout
    assert admin(site, "why", "nobody-there", url).returncode == 1


def test_only_root_and_the_portals_own_account_may_ask_why(site: Any, accounts: Any) -> None:
    script = (
        "import sys; from supercloud.desk.client import Desk; from supercloud.desk.why_wire import AskWhy, WhyTold\n"
        "print(Desk(sys.argv[1]).ask(AskWhy('bob', sys.argv[2]), WhyTold))"
    )
    argv = [str(_SUPERCLOUD.with_name("python")), "-c", script, str(site.head.folder / "run" / "portal.sock")]
    argv.append(f"{site.head.together}/fw2/localhost:{site.port}/")
    done = accounts.run_as("alice", argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said, error = done.communicate(timeout=30)
    assert (said, done.returncode) == ("", 1)
    assert "not-allowed: only root and the portal's own account may ask why" in error
    by_front = admin(site, "why", "alice", argv[-1], before=("setpriv", "--reuid", FRONT, "--clear-groups", "--"))
    assert by_front.stdout.splitlines()[-1] == "allowed", by_front


def test_a_thread_that_never_comes_back_does_not_keep_a_portal_that_stops(site: Any) -> None:
    processes = Processes()
    head = Head(site.head.folder.parent / "stuck", site.head.certificates, address="127.0.0.1")
    head.audit.parent.mkdir(parents=True)
    os.mkfifo(head.audit)  # nobody reads it: to open it takes for ever
    head.audit.chmod(0o666)
    how: dict[str, Any] = {
        "ident2": 'socket = ""\nudp = ""\n',
        "nodes": '["localhost"]',
        "front": 'stop_within = "1s"\n',
    }
    head.start(processes, logins=("alice",), **how)
    try:
        head.curl()(f"{head.url}/")
        head.portal.tell_to_stop()
        assert head.portal.process.wait(20) == 1
        until(lambda: any("in append" in line for line in head.portal.printed), "where it was stuck")
    finally:
        processes.stop()
