"""Named forwards with real accounts: who is led where, told by what reaches the application; attacks on the folder."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.forward_site import ForwardSite, forward_site, visit
from lab.portal import until

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def site(accounts: Any, public_copies: Any) -> Iterator[ForwardSite]:
    with forward_site(accounts, public_copies) as made:
        yield made


A, B, C, R, P = "alice", "bob", "carol", "root", "proj"
# Owner and group of the file, its mode, its ACL; who looks; whose listener; the status. 200 reaches the application.
CASES: list[tuple[str, str, int, str, str, str, int]] = [
    (A, A, 0o700, "", A, A, 200),
    (A, A, 0o500, "", A, A, 200),
    (A, A, 0o755, "", A, A, 200),
    (A, A, 0o600, "", A, A, 410),
    (A, A, 0o300, "", A, A, 502),  # not even its owner may read it
    (A, A, 0o644, "", A, A, 410),
    (A, A, 0o070, "", A, A, 410),  # the kernel takes the owner's bits for the owner
    (A, A, 0o000, "", A, A, 410),
    (A, A, 0o1700, "", A, A, 200),  # the sticky bit is root's to use
    (A, A, 0o4700, "", A, A, 200),
    # Others
    (A, A, 0o700, "", B, A, 404),
    (A, A, 0o711, "", B, A, 200),
    (A, A, 0o711, "", C, A, 200),
    (A, A, 0o701, "", C, A, 200),
    (A, A, 0o744, "", B, A, 404),
    (A, A, 0o666, "", B, A, 404),
    (A, P, 0o710, "", B, A, 200),
    (A, P, 0o710, "", C, A, 404),
    (A, P, 0o701, "", B, A, 404),  # bob is in the group, whose bits count for him
    (A, P, 0o701, "", C, A, 200),
    # ACLs
    (A, A, 0o700, "u:bob:x", B, A, 200),
    (A, A, 0o700, "u:bob:x", C, A, 404),
    (A, A, 0o700, "u:bob:rw", B, A, 404),
    (A, A, 0o711, "u:bob:-", B, A, 404),
    (A, A, 0o700, "g:proj:x", B, A, 200),
    (A, A, 0o700, "g:proj:x", C, A, 404),
    (A, A, 0o700, "u:carol:rx,m::r", C, A, 404),  # the mask takes it away again
    # Others may write it
    (A, P, 0o770, "", A, A, 404),
    (A, P, 0o772, "", A, A, 404),
    (A, P, 0o702, "", A, A, 404),
    (A, P, 0o770, "", A, "alice:proj", 200),
    (A, P, 0o770, "", B, "alice:proj", 200),
    (A, A, 0o770, "", A, A, 200),  # by her own private group
    (A, A, 0o700, "u:bob:rwx", A, "alice:proj", 404),  # an ACL that lets bob write shows as the group's bits
    # Somebody else's listener
    (A, A, 0o700, "", A, B, 404),
    (A, A, 0o711, "", B, B, 404),
    (A, A, 0o700, "", A, "bob:proj", 404),
    (A, P, 0o750, "", A, "bob:proj", 200),
    (A, P, 0o750, "", B, "bob:proj", 200),
    (A, P, 0o751, "", C, "bob:proj", 200),
    (A, P, 0o750, "", A, B, 404),
    (A, A, 0o700, "", A, R, 404),
    (A, P, 0o750, "", A, R, 404),
    (B, B, 0o700, "", B, B, 200),
    (B, B, 0o711, "", A, A, 404),
    (B, B, 0o711, "", A, B, 200),
    # What root publishes
    (R, R, 0o1755, "", A, A, 200),
    (R, R, 0o1755, "", A, B, 200),
    (R, R, 0o1755, "", C, R, 200),
    (R, R, 0o1700, "", A, A, 404),
    (R, P, 0o1750, "", B, A, 200),
    (R, P, 0o1750, "", C, A, 404),
    (R, R, 0o755, "", A, A, 404),
    (R, R, 0o755, "", A, R, 200),
    (R, R, 0o777, "", A, R, 404),
    (R, P, 0o755, "", A, "bob:proj", 200),
    (A, R, 0o700, "", A, R, 404),
]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: "-".join(oct(one) if isinstance(one, int) else one for one in case[:6])
)
def test_bytes_reach_the_application_as_the_table_says(
    site: Any, case: tuple[str, str, int, str, str, str, int]
) -> None:
    owner, group, mode, acl, viewer, holder, status = case
    listener = site.holders[holder]
    uid = 0 if owner == R else site.accounts[owner].uid
    name = site.folder.write(f"http://localhost:{listener.port}/\n", mode, uid, grp.getgrnam(group).gr_gid, acl)
    before = listener.bytes
    answer = visit(site, viewer, name)
    assert (answer.status, listener.bytes > before) == (status, status == 200), answer


def test_the_table_is_long_enough() -> None:
    assert len(CASES) >= 40


def owned_by(site: Any, login: str, name: str, make: Callable[[Path], object], mode: int = 0o711) -> str:
    """Something in the folder that is somebody's; its name."""
    path = site.folder.path / name
    make(path)
    account = site.accounts[login]
    os.chown(path, account.uid, account.gid, follow_symlinks=False)
    with contextlib.suppress(NotImplementedError):
        if not path.is_symlink():
            path.chmod(mode)
    return name


def alices(site: Any, **more: Any) -> str:
    account = site.accounts["alice"]
    return str(
        site.folder.write(f"http://localhost:{site.holders[A].port}/\n", 0o711, account.uid, account.gid, **more)
    )


def device(path: Path) -> None:
    os.mknod(path, 0o020666, os.makedev(1, 5))  # /dev/zero: never ends


def big(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 30)


THINGS: dict[str, Callable[[Path], object]] = {
    "fifo": os.mkfifo,
    "device": device,
    "directory": Path.mkdir,
    "symlink to a forward of alice's": lambda path: path.symlink_to("alice-link-target"),
    "symlink to a file of root's": lambda path: path.symlink_to("/etc/shadow"),
    "symlink to nothing": lambda path: path.symlink_to("/nonexistent"),
    "1 GB file": big,
    "1025 bytes": lambda path: path.write_text("http://localhost:8080/".ljust(1025)),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "unix socket": lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("thing", THINGS)
def test_what_is_no_forward_is_refused_and_keeps_nobody_waiting(site: Any, thing: str) -> None:
    name = owned_by(site, "bob", site.folder.name(), THINGS[thing])
    before = {key: one.bytes for key, one in site.holders.items()}
    started = time.monotonic()
    assert visit(site, "alice", name).status == 404
    assert visit(site, "bob", name).status in (404, 410, 502)
    assert time.monotonic() - started < 2
    assert {key: one.bytes for key, one in site.holders.items()} == before


def test_a_hard_link_to_somebodys_executable_is_refused(site: Any) -> None:
    """The sysctl protected_hardlinks forbids it, where it is on; here root makes it for bob."""
    name = alices(site)
    os.link(site.folder.path / name, site.folder.path / f"{name}-link")
    before = site.holders[A].bytes
    for one in (name, f"{name}-link"):
        assert visit(site, "bob", one).status == 404
    assert visit(site, "alice", name).status == 502
    assert site.holders[A].bytes == before


def test_a_file_of_alices_is_not_reachable_by_a_link_of_bobs(site: Any) -> None:
    name = alices(site)
    link = owned_by(site, "bob", site.folder.name(), lambda path: path.symlink_to(site.folder.path / name))
    before = site.holders[A].bytes
    assert visit(site, "bob", link).status in (404, 502)
    assert visit(site, "alice", link).status == 404
    assert site.holders[A].bytes == before


def test_bob_cannot_take_replace_read_or_disable_alices_name(site: Any) -> None:
    """First come, first served, as in /tmp."""
    account = site.accounts["alice"]
    name = site.folder.write(f"http://localhost:{site.holders[A].port}/\n", 0o700, account.uid, account.gid)
    path = site.folder.path / name
    for command in (f"echo x > {path}", f"rm -f {path}", f"mv {path} {path}-2", f"chmod a-x {path}", f"cat {path}",
                    f"ln {path} {path}-3", f"set -C; : > {path}"):  # fmt: skip
        assert site.accounts.run_as("bob", ["/bin/sh", "-c", command], stderr=subprocess.DEVNULL).wait(10) != 0, command
    assert visit(site, "alice", name).status == 200


def test_files_exchanged_all_the_time_never_lead_bob_to_alices_application(site: Any) -> None:
    """Whoever races the check against the reading wins nothing: both name the file that they looked at."""
    target, mine = alices(site), site.folder.name()
    account = site.accounts["bob"]
    site.folder.write(f"http://localhost:{site.holders[A].port}/\n", 0o700, account.uid, account.gid, name=mine)
    swapped, stop = site.folder.path / mine, threading.Event()
    closed = site.folder.path / site.folder.write(
        f"http://localhost:{site.holders[A].port}/\n", 0o700, site.accounts["alice"].uid, site.accounts["alice"].gid
    )

    def swap() -> None:
        other = swapped.with_name(f"{mine}-x")
        while not stop.is_set():
            os.rename(swapped, other)
            os.rename(closed, swapped)
            os.rename(swapped, closed)
            os.rename(other, swapped)

    swapping = threading.Thread(target=swap)
    before = site.holders[A].bytes
    swapping.start()
    try:
        statuses = {visit(site, "bob", mine).status for _ in range(30)}
    finally:
        stop.set()
        swapping.join()
    assert statuses <= {404, 410, 502}
    assert site.holders[A].bytes == before
    assert visit(site, "bob", target).status == 200, "the same application, where bob may"


def test_a_folder_that_was_exchanged_for_another_is_looked_at_as_it_is_now(site: Any) -> None:
    """Only root can do that; what is refused in the new one is not remembered from the old one."""
    name = alices(site)
    assert visit(site, "bob", name).status == 200
    path, aside = site.folder.path, site.folder.path.with_name("aside")
    path.rename(aside)
    path.mkdir()
    path.chmod(0o1777)
    try:
        until(lambda: visit(site, "bob", name).status == 404, "the other folder", within=2)
    finally:
        path.rmdir()
        aside.rename(path)
    assert visit(site, "bob", name).status == 200


def test_the_owner_is_told_and_the_scripts_of_the_field_work(site: Any) -> None:
    """As users' job scripts write them: appended twice, a range of ports, no slash, upper case."""
    account, port = site.accounts["alice"], site.holders[A].port
    for text in (
        f"http://old:1/\nhttp://localhost:{port}/\n",
        f"http://localhost:{port}-{port + 3}/\n",
        f"http://localhost:{port}\n",
        f"HTTP://LOCALHOST:{port}/\r\n\n",
    ):
        name = site.folder.write(text, 0o600, account.uid, account.gid)
        told = visit(site, "alice", name)
        assert (told.status, f"chmod u+x {site.folder.path}/{name}" in told.text) == (410, True)
        (site.folder.path / name).chmod(0o700)
        assert visit(site, "alice", name).status == 200


def test_a_removed_x_bit_counts_within_two_seconds(site: Any) -> None:
    name = alices(site)
    assert visit(site, "bob", name).status == 200
    (site.folder.path / name).chmod(0o700)
    until(lambda: visit(site, "bob", name).status == 404, "the refusal", within=2)


def test_the_audit_line_says_which_forward_and_by_which_rule(site: Any) -> None:
    name = alices(site)
    assert visit(site, "bob", name, "/audited").status == 200

    def served() -> dict[str, Any] | None:
        lines = map(json.loads, site.head.audit.read_text().splitlines())
        return next((one for one in lines if one.get("path", "").endswith("/audited") and one["status"] == 200), None)

    line: Any = until(served, "the audit line")
    assert (line["principal"], line["verdict"]) == ("bob", "same user as the forward's file")
    assert line["target"] == f"forward {name} to localhost:{site.holders[A].port}"
