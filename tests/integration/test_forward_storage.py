"""Named forwards where the file system is as clusters have it, where somebody stalls it, and what their files keep."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab.forward_site import ForwardSite, forward_site, visit
from lab.portal import until
from lab.processes import Processes

pytestmark = pytest.mark.root

_SECRET = "c2VzYW1lOm9wZW4tbGVudGls"  # sesame:open-lentil


@pytest.fixture(scope="module")
def site(accounts: Any, public_copies: Any) -> Any:
    with forward_site(accounts, public_copies) as made:
        yield made


def test_root_reads_no_file_where_it_has_no_more_rights_than_others(accounts: Any, public_copies: Any) -> None:
    """What a file server with root_squash makes of root, a bounding set without these capabilities does here."""
    squashed = [
        shutil.which("setpriv") or "setpriv",
        "--inh-caps=-dac_override,-dac_read_search,-fowner",
        "--bounding-set=-dac_override,-dac_read_search,-fowner",
        "--",
    ]

    def start(argv: list[str], node: str | None = None, **popen: Any) -> Any:
        return processes.start([*squashed, *argv], **popen)

    processes = Processes()
    try:
        with forward_site(accounts, public_copies, start=start, account="") as site:
            listener = site.holders["alice"]
            name = site.write("alice", f"http://localhost:{listener.port}/")
            file = site.folder.path / name
            tried = processes.start([*squashed, "cat", str(file)], stdout=-3, stderr=-3)
            assert tried.wait(10) != 0, "root itself cannot"
            before = listener.bytes
            assert visit(site, "alice", name).status == 200
            assert visit(site, "bob", name).status == 404
            assert listener.bytes > before
            file.chmod(0o300)
            until(lambda: "chmod u+r" in visit(site, "alice", name).text, "the owner being told")
    finally:
        processes.stop()


def test_a_login_in_a_forward_goes_to_its_application_and_nowhere_else(site: ForwardSite) -> None:
    hers, his = site.holders["alice"], site.holders["alice:proj"]
    name = site.write("alice", f"http://sesame:open-lentil@localhost:{hers.port}/", 0o711)
    plain = site.write("alice", f"http://localhost:{hers.port}/")
    other = site.write("alice", f"http://localhost:{his.port}/")
    answers = [visit(site, who, name) for who in ("alice", "bob")]
    assert [one.status for one in answers] == [200, 200]
    assert f"Authorization: Basic {_SECRET}" in hers.last
    for one, listener in ((plain, hers), (other, his)):
        answers.append(visit(site, "alice", one))
        assert "Authorization" not in listener.last
    dead = site.write("alice", "http://sesame:open-lentil@localhost:1024/", 0o711)
    wrong = site.write("alice", "http://sesame:open-lentil@localhost:99999/", 0o711)
    answers += [visit(site, who, one) for who in ("alice", "bob") for one in (dead, wrong)]
    told = "".join(f"{one.fields}{one.text}" for one in answers) + site.head.audit.read_text()
    told += "".join(site.head.portal.printed)
    assert _SECRET not in told
    assert "lentil" not in told


def test_a_login_that_a_browser_brings_does_not_go_where_the_forward_has_one(site: ForwardSite) -> None:
    hers = site.holders["alice"]
    name = site.write("alice", f"http://sesame:open-lentil@localhost:{hers.port}/")
    assert visit(site, "alice", name, "/", "-H", "Authorization: Basic YWxpY2U6aGVycw==").status == 200
    assert hers.last.count("Authorization: ") == 1
    assert _SECRET in hers.last


def test_whoever_stalls_what_looks_at_their_files_delays_nobody_else(site: ForwardSite) -> None:
    """bob may stop every process that runs as him: his worker, and those that read his files."""
    port = site.holders["alice"].port
    mine = [site.write("bob", f"http://localhost:{port}/", 0o711) for _ in range(8)]
    hers = [site.write("alice", f"http://localhost:{port}/") for _ in range(20)]
    assert visit(site, "bob", mine[0]).status == 404
    assert visit(site, "alice", hers[0]).status == 200
    visits = [("alice", one) for one in mine] + [("bob", mine[0])]
    # Each with a browser of its own, as two may not write one cookie jar; bob's pages come from his worker.
    others = [replace(site, people={who: site.head.signed_in(who)}) for who, _ in visits]
    asked = [threading.Thread(target=visit, args=(at, *one)) for at, one in zip(others, visits, strict=True)]
    took = []
    with _stopping(site, site.accounts["bob"].uid) as stopped:
        until(lambda: stopped, "a process of bob's that he stops")
        for one in asked:
            one.start()
        for name in hers:
            began = time.monotonic()
            assert visit(site, "alice", name).status == 200
            took.append(time.monotonic() - began)
    for one in asked:
        one.join()
    assert sorted(took)[-2] < 1.0, took
    until(lambda: visit(site, "bob", mine[0]).status == 404, "an answer for bob again", within=20)


def test_who_stops_what_would_shut_them_out_is_shut_out(site: ForwardSite, applications: Any, accounts: Any) -> None:
    """Alice stops each process of the portal's that is about to ask, as her, whether she may use bob's forward."""
    port = applications.start("bob").port
    name = site.write("bob", f"http://localhost:{port}/", 0o711)
    assert visit(site, "alice", name, "/who").status == 200
    for _ in range(2):  # a state that was asked about once, and one that is settled
        with site.people["alice"].start(f"{site.head.url}/fw/{name}/events/100000") as stream:
            assert stream.stdout.read(100)
            with _stopping(site, accounts["alice"].uid):
                (site.folder.path / name).chmod(0o700)
                since = time.monotonic()
                assert stream.wait(10) != 0, "curl sees a broken body"
                assert time.monotonic() - since < 5, "before nobody would be waited for anyway"
        assert visit(site, "alice", name, "/who").status == 404
        (site.folder.path / name).chmod(0o711)
        until(lambda: visit(site, "alice", name, "/who").status == 200, "being let in again")
        time.sleep(2)


@contextmanager
def _stopping(site: ForwardSite, uid: int) -> Iterator[set[int]]:
    """Stop every process of this portal's that runs as an account, and let them go on at the end."""
    over, stopped = threading.Event(), set[int]()

    def stop_all() -> None:
        while not over.wait(0.001):
            for pid in _acting_as(site, uid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                    stopped.add(pid)

    thread = threading.Thread(target=stop_all, daemon=True)
    thread.start()
    try:
        yield stopped
    finally:
        over.set()
        thread.join()
        for pid in stopped & set(_acting_as(site, uid)):
            os.kill(pid, signal.SIGCONT)


def _acting_as(site: ForwardSite, uid: int) -> list[int]:
    """Processes that a portal has as an account; other portals on this machine may have some of the same."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if _real_uid(folder) == uid and str(site.head.folder).encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _real_uid(folder: Path) -> int:
    """The folder of a process that cannot be inspected is root's."""
    line = next(one for one in (folder / "status").read_text().splitlines() if one.startswith("Uid:"))
    return int(line.split()[1])
