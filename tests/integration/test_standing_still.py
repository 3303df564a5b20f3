"""A part of the portal that stands still for a while (stopped, swapped out, a paused machine) ends nothing, and refuses
nobody once it goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
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
LONG = 18.0
SIZE = 200 * 2**20


@pytest.fixture(scope="module")
def head(accounts: Any, public_copies: Any) -> Iterator[Head]:
    processes = Processes()
    made = Head(public_copies.folder / "standing-still", Certificates(public_copies.folder), address="127.0.0.1")
    made.start(processes, logins=("alice", "bob", "carol"), **HOST_ONLY)
    yield made
    if made.portal.process.poll() is None:
        made.portal.stop()
    processes.stop()


def dav(head: Head, curl: Curl, path: str, *options: str) -> subprocess.Popen[bytes]:
    return curl.start(f"https://{head.hostname}:{head.port}/dav{path}", "--write-out", "%{stderr}%{http_code}", *options)


def ask(head: Head, login: str, path: str, *options: str) -> int:
    return head.signed_in(login)(f"https://{head.hostname}:{head.port}/dav{path}", *options).status


def children(pid: int) -> dict[str, int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {Path(f"/proc/{child}/comm").read_text().strip(): int(child) for child in found}


def stand_still(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(LONG)
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)


def big(account: Account) -> Path:
    """A file of theirs that nobody has read to its end in a moment."""
    file = account.home / f"big-{os.getpid()}"
    with file.open("wb") as made:
        made.truncate(SIZE)
    os.chown(file, account.uid, account.gid)
    return file


@pytest.mark.parametrize("who", ["front", "monitor", "zygote", "everything"])
def test_what_is_under_way_goes_on_afterwards(head: Head, accounts: Any, who: str) -> None:
    front = head.portal.process.pid
    monitor = children(front)["sc-monitor"]
    zygote = children(monitor)["sc-zygote"]
    pids = {"front": [front], "monitor": [monitor], "zygote": [zygote], "everything": [front, monitor, zygote]}[who]
    alice = head.signed_in("alice")
    file = big(accounts["alice"])
    try:
        download = dav(head, alice, f"/~/{file.name}", "--limit-rate", "50M")
        assert download.stdout is not None
        first = download.stdout.read(1000)
        stand_still(*pids)
        # What nobody waited for meanwhile: a first request of somebody's, who needs the monitor and the zygote.
        assert ask(head, "carol", "/~/", "--request", "PROPFIND", "--header", "Depth: 0") == 207
        assert len(first) + len(download.stdout.read()) == SIZE
        assert download.wait(10) == 0
        assert ask(head, "alice", f"/~/{file.name}", "--head") == 200
    finally:
        file.unlink()
    assert head.portal.process.poll() is None
    assert is_calm(head)


def test_who_asks_while_the_front_stands_still_is_answered(head: Head) -> None:
    front = head.portal.process.pid
    bob, url = head.signed_in("bob"), f"https://{head.hostname}:{head.port}/dav/~/"
    waiting = []
    os.kill(front, signal.SIGSTOP)
    try:
        fields = ("--request", "PROPFIND", "--header", "Depth: 0", "--write-out", "\n%{http_code}")
        waiting = [bob.start(url, *fields) for _ in range(20)]
        time.sleep(LONG)
    finally:
        os.kill(front, signal.SIGCONT)
    assert [one.communicate()[0].rpartition(b"\n")[2] for one in waiting] == [b"207"] * 20


def is_calm(head: Head) -> bool:
    """Nothing is left of it: the next one is answered as ever."""
    began = time.monotonic()
    until(lambda: ask(head, "bob", "/~/", "--request", "PROPFIND", "--header", "Depth: 0") == 207, "an answer")
    return time.monotonic() - began < LONG
