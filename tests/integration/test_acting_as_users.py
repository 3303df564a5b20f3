"""A portal with its monitor and workers, entered over TLS: files as the user, and never more than the user's."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lab.accounts import PROJ_GID, Account
from lab.certificates import Certificates
from lab.portal import Answer, Curl, until
from lab.processes import Processes
from lab.site import Head

pytestmark = pytest.mark.root

HOST_ONLY = {"ident2": 'socket = ""\nudp = ""\n', "nodes": '["localhost", "127.0.0.1/32", "::1/128"]'}


@pytest.fixture(scope="module")
def certificates_for_front(public_copies: Any) -> Certificates:
    """Where the front's account can read them."""
    return Certificates(public_copies.folder)


Start = Callable[..., Head]


@pytest.fixture(scope="module")
def start(accounts: Any, public_copies: Any, certificates_for_front: Certificates) -> Iterator[Start]:
    """Starts portals of this host; those that still run are stopped in the end."""
    processes = Processes()
    heads: list[Head] = []

    def make(name: str, **how: Any) -> Head:
        head = Head(public_copies.folder / name, certificates_for_front, address="127.0.0.1")
        head.start(processes, logins=("alice", "bob", "carol"), **(HOST_ONLY | how))
        heads.append(head)
        return head

    yield make
    for head in heads:
        if head.portal.process.poll() is None:
            head.portal.stop()
    processes.stop()


@pytest.fixture(scope="module")
def site(start: Start, accounts: Any) -> SimpleNamespace:
    """A portal, and alice, bob and carol signed in."""
    head = start("files")
    made = SimpleNamespace(head=head)
    made.alice, made.bob, made.carol = (Person(head, accounts[login]) for login in ("alice", "bob", "carol"))
    return made


class Person:
    """Somebody who is signed in, and their files."""

    def __init__(self, head: Head, account: Account) -> None:
        self.account = account
        self.curl: Curl = head.signed_in(account.login)
        self._url = f"https://{head.hostname}:{head.port}/dav"

    def __call__(self, method: str, path: object, *options: str, data: bytes | None = None) -> Answer:
        how = ["--head"] if method == "HEAD" else ["--request", method]
        return self.curl(self._url + str(path), *how, *options, data=data, follow=False)

    def home(self, name: str) -> Path:
        return self.account.home / name

    def start(self, path: object, *options: str) -> subprocess.Popen[bytes]:
        return self.curl.start(self._url + str(path), *options)


def below(pid: int) -> dict[int, str]:
    """All descendants of a process, by what they call themselves."""
    found = {}
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        with contextlib.suppress(FileNotFoundError):
            found[child] = Path(f"/proc/{child}/comm").read_text().strip()
            found |= below(child)
    return found


def worker_of(head: Head, account: Account) -> int:
    """The one process that is the account's worker."""
    mine = [
        pid
        for pid, name in below(head.portal.process.pid).items()
        if name == "sc-worker"
        and os.stat(f"/proc/{pid}").st_uid in (account.uid, 0)
        and status(pid)["Uid"].split()[0] == str(account.uid)
    ]
    assert len(mine) == 1, mine
    return mine[0]


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def is_gone(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def owned(path: Path, account: Account, text: str = "text", mode: int = 0o600) -> Path:
    """A file of an account's."""
    path.write_text(text)
    os.chown(path, account.uid, account.gid)
    path.chmod(mode)
    return path


@pytest.fixture
def project(tmp_path: Path, accounts: Any) -> Iterator[Path]:
    """A folder of the group proj that hands its group on, as sites make them."""
    folder = Path("/tmp") / f"supercloud-proj-{os.getpid()}"
    folder.mkdir()
    os.chown(folder, 0, PROJ_GID)
    folder.chmod(0o2770)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_the_front_is_not_root_and_the_worker_is_exactly_its_user(site: Any) -> None:
    assert site.alice("PROPFIND", "/~/", "-H", "Depth: 0").status == 207
    front = status(site.head.portal.process.pid)
    assert "0" not in front["Uid"].split() + front["Gid"].split()
    assert front["CapEff"] == front["CapPrm"] == "0" * 16
    worker = status(worker_of(site.head, site.alice.account))
    assert worker["Uid"].split() == [str(site.alice.account.uid)] * 4
    assert worker["Gid"].split() == [str(site.alice.account.gid)] * 4
    assert sorted(map(int, worker["Groups"].split())) == [site.alice.account.gid, PROJ_GID]
    assert worker["NoNewPrivs"] == "1"
    assert {worker[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}


def test_a_private_file_opens_for_its_owner_only(site: Any) -> None:
    file = owned(site.alice.home("private.txt"), site.alice.account, "mine")
    assert site.alice("GET", file).body == b"mine"
    assert site.alice("GET", "/~/private.txt").body == b"mine"
    refused = site.bob("GET", file)
    assert refused.status in (403, 404)
    assert b"mine" not in refused.body


def test_what_is_written_is_the_users(site: Any) -> None:
    name = f"written-{os.getpid()}.txt"
    answer = site.alice("PUT", f"/~/{name}", data=b"words")
    assert answer.status == 201
    made = site.alice.home(name).stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o7777) == (
        site.alice.account.uid,
        site.alice.account.gid,
        0o644,
    )


def test_a_project_folder_hands_its_group_on(site: Any, project: Path) -> None:
    assert site.alice("PUT", project / "shared.txt", data=b"ours").status == 201
    assert site.alice("MKCOL", project / "folder").status == 201
    assert (project / "shared.txt").stat().st_gid == PROJ_GID
    assert (project / "folder").stat().st_mode & 0o2000
    assert site.bob("GET", project / "shared.txt").body == b"ours"
    assert site.carol("GET", project / "shared.txt").status in (403, 404)
    assert site.carol("PUT", project / "hers.txt", data=b"x").status in (403, 404, 409)
    assert sorted(one.name for one in project.iterdir()) == ["folder", "shared.txt"]


@pytest.mark.parametrize("path", ["/etc/shadow", "/root/", "/proc/1/environ", "/dev/null", "/sys/kernel/"])
def test_what_is_roots_or_the_kernels_is_not_served(site: Any, path: str) -> None:
    assert site.alice("GET", path).status in (403, 404)
    assert site.alice("PUT", path.rstrip("/") + "-x", data=b"x").status in (403, 404, 409)


def test_nobody_gets_anything_without_signing_in(site: Any) -> None:
    stranger = site.head.curl()
    answer = stranger(f"https://{site.head.hostname}:{site.head.plain}/dav/etc/passwd", follow=False)
    assert answer.status == 401
    assert b"root:" not in answer.body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "MKCOL", "POST", "PROPFIND", "LOCK"])
@pytest.mark.parametrize("source", ["cross-site", "same-site"])
def test_another_sites_page_writes_nothing(site: Any, method: str, source: str) -> None:
    kept = owned(site.alice.home("kept.txt"), site.alice.account, "kept")
    fields = ["-H", f"Sec-Fetch-Site: {source}", "-H", "Sec-Fetch-Mode: cors", "-H", "Origin: https://evil.example"]
    assert site.alice(method, kept, *fields, data=b"evil").status == 403
    assert kept.read_text() == "kept"


def test_an_upload_that_its_worker_does_not_survive_leaves_the_old_file(site: Any, tmp_path: Path) -> None:
    old = owned(site.alice.home("large.bin"), site.alice.account, "old")
    big = tmp_path / "big"
    big.write_bytes(bytes(64 * 1024 * 1024))
    assert site.alice("GET", "/~/large.bin").body == b"old"
    worker = worker_of(site.head, site.alice.account)
    before = written(worker)
    upload = site.alice.start("/~/large.bin", "--upload-file", str(big), "--limit-rate", "20M", "-w", "%{http_code}")
    until(lambda: written(worker) > before + 4 * 1024 * 1024, "the upload's begin")
    os.kill(worker, signal.SIGKILL)
    said, _ = upload.communicate(timeout=20)
    assert said[-3:] in (b"502", b"000")
    assert old.read_text() == "old"
    assert site.alice("GET", "/~/large.bin").body == b"old"  # another worker's answer
    assert [one.name for one in site.alice.account.home.iterdir() if "part" in one.name] == []


def written(pid: int) -> int:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def test_a_socket_that_root_opened_for_a_user_is_the_users(site: Any, applications: Any, accounts: Any) -> None:
    """The front sees no other account's processes; the monitor does."""
    running = applications.start("alice", gid="proj")
    url = f"{site.head.together}/fw2/localhost:{running.port}/who"
    assert site.alice.curl(url).status == 200
    line = site.head.audited(f":{running.port}/who")
    assert line["pid"] == running.process.pid
    label = f"https://localhost-{running.port}-u{accounts['alice'].uid}.fh.{site.head.hostname}:{site.head.port}/who"
    assert site.bob.curl(label).status == 200  # under proj on purpose, which he is in
    assert site.carol.curl(f"{url}?carol").status == 404


def test_a_portal_without_its_monitor_stops_and_so_do_the_workers(start: Start, accounts: Any) -> None:
    head = start("dies")
    alice = Person(head, accounts["alice"])
    assert alice("PROPFIND", "/~/", "-H", "Depth: 0").status == 207
    pids = below(head.portal.process.pid)
    assert sorted(pids.values()) == ["sc-accounts", "sc-holder", "sc-monitor", "sc-worker", "sc-zygote"]
    monitor = next(pid for pid, name in pids.items() if name == "sc-monitor")
    os.kill(monitor, signal.SIGKILL)
    head.portal.wait_for("the monitor is gone")
    head.portal.process.wait(15)
    until(lambda: all(map(is_gone, pids)), "the end of zygote, holder and worker")


def test_a_front_that_is_killed_leaves_no_process(start: Start, accounts: Any) -> None:
    head = start("killed")
    alice = Person(head, accounts["alice"])
    assert alice("PROPFIND", "/~/", "-H", "Depth: 0").status == 207
    pids = below(head.portal.process.pid)
    head.portal.process.kill()
    head.portal.process.wait(15)
    began = time.monotonic()
    until(lambda: all(map(is_gone, pids)), "the end of monitor, zygote, holder and worker")
    assert time.monotonic() - began < 10
