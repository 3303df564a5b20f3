"""A part of the portal that stands still for a while (stopped, swapped out, a paused machine) ends nothing, and refuses
nobody once it goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.accounts import Account
from lab.certificates import Certificates
from lab.portal import Curl, until
from lab.processes import Processes
from lab.site import Head

pytestmark = pytest.mark.root

HOST_ONLY = {"ident2": 'socket = ""\nudp = ""\n', "nodes": '["localhost", "127.0.0.1/32", "::1/128"]'}
# Seconds: longer than any answer of the monitor's, of a worker's or of the portal's socket may take (15 at most).
LONG = 16.0
SIZE = 200 * 2**20
LOOK = ("--request", "PROPFIND", "--header", "Depth: 0", "--write-out", "\n%{http_code}")
Asked = list[subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def head(accounts: Any, public_copies: Any) -> Iterator[Head]:
    processes = Processes()
    made = Head(public_copies.folder / "standing-still", Certificates(public_copies.folder), address="127.0.0.1")
    made.start(processes, logins=("alice", "bob", "carol"), **HOST_ONLY)
    yield made
    if made.portal.process.poll() is None:
        made.portal.stop()
    processes.stop()


def start(head: Head, curl: Curl, path: str, *options: str) -> subprocess.Popen[bytes]:
    return curl.start(f"https://{head.hostname}:{head.port}/dav{path}", "--max-time", "300", *options)


def children(pid: int) -> dict[str, int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {Path(f"/proc/{child}/comm").read_text().strip(): int(child) for child in found}


def stand_still(pids: list[int], ask: Callable[[], Asked]) -> Asked:
    """Have these stand still, and ask something meanwhile."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        asked = ask()
        time.sleep(LONG)
    finally:
        for pid in reversed(pids):
            os.kill(pid, signal.SIGCONT)
    return asked


def big(account: Account) -> Path:
    """A file of theirs that nobody has read to its end in a moment."""
    file = account.home / f"big-{os.getpid()}"
    with file.open("wb") as made:
        made.truncate(SIZE)
    os.chown(file, account.uid, account.gid)
    return file


@pytest.mark.parametrize("who", ["front", "monitor", "everything"])
def test_what_is_under_way_goes_on_and_who_asks_meanwhile_is_answered(head: Head, accounts: Any, who: str) -> None:
    front = head.portal.process.pid
    monitor = until(lambda: children(front).get("sc-monitor"), "the monitor")
    zygote = until(lambda: children(monitor).get("sc-zygote"), "the zygote")
    pids = {"front": [front], "monitor": [monitor], "everything": [front, monitor, zygote]}[who]
    alice, bob = head.signed_in("alice"), head.signed_in("bob")
    shown = ("--header", f"Cookie: {bob.cookie_header(head.hostname)}")
    file = big(accounts["alice"])
    try:
        with start(head, alice, f"/~/{file.name}", "--limit-rate", "50M") as download:
            assert download.stdout is not None
            first = download.stdout.read(1000)
            # One jar for all would be read while another writes it.
            asked = stand_still(pids, lambda: [start(head, head.curl(), "/~/", *LOOK, *shown) for _ in range(10)])
            assert [one.communicate()[0].rpartition(b"\n")[2] for one in asked] == [b"207"] * 10
            assert len(first) + len(download.stdout.read()) == SIZE
        assert download.returncode == 0
        # Who needs the monitor and the zygote.
        assert start(head, head.signed_in("carol"), "/~/", *LOOK).communicate()[0].endswith(b"\n207")
    finally:
        file.unlink()
    assert head.portal.process.poll() is None
