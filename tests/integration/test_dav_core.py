"""/dav as real accounts: what the kernel allows, whose files come of it, and what a kill or a full disk leaves."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.accounts import PROJ_GID, Account, Accounts
from lab.dav import Dav, serve
from lab.portal import until
from lab.processes import Processes

pytestmark = pytest.mark.root
OLD = b"old content"


@pytest.fixture(scope="module")
def alice(accounts: Accounts) -> Account:
    return accounts["alice"]


@pytest.fixture(scope="module")
def bob(accounts: Accounts) -> Account:
    return accounts["bob"]


@pytest.fixture(scope="module")
def dav(processes: Processes, alice: Account) -> Dav:
    """The whole file system, as alice."""
    return serve(processes, alice.login)


@pytest.fixture
def shared(alice: Account) -> Iterator[Path]:
    """A group folder: setgid, of proj."""
    made = Path(tempfile.mkdtemp(prefix="supercloud-proj-", dir="/tmp"))
    os.chown(made, 0, PROJ_GID)
    made.chmod(0o2770)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def own(alice: Account) -> Iterator[Path]:
    """A folder of alice's."""
    made = Path(tempfile.mkdtemp(prefix="supercloud-alice-", dir="/tmp"))
    os.chown(made, alice.uid, alice.gid)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def small(own: Path) -> Iterator[Path]:
    """A file system of 2 MB that is alice's."""
    made = own / "small"
    made.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=777", "none", str(made)], capture_output=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    yield made
    subprocess.run(["umount", str(made)], check=True)


@pytest.fixture
def limited(own: Path, alice: Account) -> Iterator[Path]:
    """A folder of alice's in which a quota lets 2 MB be written, on a file system with room for more."""
    made, image = own / "limited", own / "image"
    made.mkdir()
    with image.open("wb") as file:
        file.truncate(130 * 1024 * 1024)
    steps = [
        ["mkfs.btrfs", "-q", str(image)],
        ["mount", "-o", "loop", str(image), str(made)],
        ["btrfs", "quota", "enable", str(made)],
        ["btrfs", "subvolume", "create", str(made / "sub")],
        ["btrfs", "qgroup", "limit", "2M", str(made / "sub")],
    ]
    try:
        for step in steps:
            if shutil.which(step[0]) is None or subprocess.run(step, capture_output=True).returncode:
                pytest.skip(f"no quota can be had here: {' '.join(step)} does not work")
        os.chown(made / "sub", alice.uid, alice.gid)
        yield made / "sub"
    finally:
        subprocess.run(["umount", str(made)], capture_output=True)


def belongs(path: Path, account: Account, content: bytes = OLD, mode: int = 0o644, gid: int | None = None) -> Path:
    """A file of somebody."""
    path.write_bytes(content)
    os.chown(path, account.uid, account.gid if gid is None else gid)
    path.chmod(mode)
    return path


def whose(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


def test_what_alice_makes_is_hers(dav: Dav, own: Path, alice: Account) -> None:
    assert dav.put(own / "file") == 201
    assert dav.ask("MKCOL", f"{own}/sub").status == 201
    assert dav.to("COPY", own / "file", own / "copy").status == 201

    assert whose(own / "file") == whose(own / "copy") == (alice.uid, alice.gid, 0o644)
    assert whose(own / "sub") == (alice.uid, alice.gid, 0o755)


def test_the_umask_of_the_worker_counts(processes: Processes, own: Path, alice: Account) -> None:
    dav = serve(processes, alice.login, umask=0o007)

    dav.put(own / "file")
    dav.ask("MKCOL", f"{own}/sub")

    assert whose(own / "file")[2] == 0o660
    assert whose(own / "sub")[2] == 0o770


def test_a_group_folder_hands_its_group_on(dav: Dav, shared: Path, own: Path, alice: Account) -> None:
    (own / "tree").mkdir()
    belongs(own / "tree" / "file", alice)
    os.chown(own / "tree", alice.uid, alice.gid)

    assert dav.put(shared / "file") == 201
    assert dav.ask("MKCOL", f"{shared}/sub").status == 201
    assert dav.put(shared / "sub" / "file") == 201
    assert dav.to("COPY", own / "tree", shared / "copied").status == 201
    assert dav.to("MOVE", own / "tree", shared / "moved").status == 201

    for made in shared.rglob("*"):
        assert made.stat().st_gid == PROJ_GID, made
        assert made.is_file() or made.stat().st_mode & stat.S_ISGID, made


def test_a_replaced_file_keeps_the_group_that_it_had(dav: Dav, own: Path, alice: Account) -> None:
    file = belongs(own / "file", alice, mode=0o664, gid=PROJ_GID)

    assert dav.put(file, b"new") == 204
    assert whose(file) == (alice.uid, PROJ_GID, 0o664)


def test_bobs_file_that_alice_may_write_stays_bobs(dav: Dav, shared: Path, bob: Account) -> None:
    file = belongs(shared / "file", bob, mode=0o664, gid=PROJ_GID)
    before = file.stat().st_ino

    assert dav.put(file, b"alice wrote this") == 204
    assert file.read_bytes() == b"alice wrote this"
    assert whose(file) == (bob.uid, PROJ_GID, 0o664)
    assert file.stat().st_ino == before


def test_a_file_in_a_folder_that_takes_no_new_ones_is_written_in_place(dav: Dav, own: Path, alice: Account) -> None:
    file = belongs(own / "file", alice)
    own.chmod(0o555)

    assert dav.put(file, b"new content that is longer") == 204
    assert file.read_bytes() == b"new content that is longer"
    assert dav.put(own / "other") == 403
    assert dav.ask("DELETE", str(file)).status == 403
    assert dav.to("MOVE", file, own / "moved").status == 403
    assert dav.ask("MKCOL", f"{own}/sub").status == 403


def test_a_file_that_may_not_be_written_is_not_replaced_either(dav: Dav, own: Path, alice: Account) -> None:
    file = belongs(own / "file", alice, mode=0o444)

    assert dav.put(file, b"new") == 403
    assert file.read_bytes() == OLD


def test_a_program_that_runs_is_replaced(dav: Dav, own: Path, alice: Account) -> None:
    shutil.copy("/bin/sleep", own / "sleep")
    os.chown(own / "sleep", alice.uid, alice.gid)
    running = subprocess.Popen([str(own / "sleep"), "60"])
    try:
        assert dav.put(own / "sleep", b"new") == 204
        assert (own / "sleep").read_bytes() == b"new"
        assert whose(own / "sleep")[2] == 0o755
    finally:
        running.kill()
        running.wait()


def test_what_alice_may_not_over_ssh_she_may_not_here(dav: Dav, own: Path, bob: Account) -> None:
    private = bob.home / "private"
    belongs(private, bob)
    unreadable = belongs(own / "unreadable", bob, mode=0o600)
    try:
        for path in (private, unreadable, Path("/etc/shadow")):
            assert dav.ask("GET", str(path)).status in (403, 404)
            assert dav.put(path) == 403
        for method in ("GET", "PROPFIND", "DELETE"):
            assert dav.ask(method, str(private), depth="0" if method == "PROPFIND" else "infinity").status == 403
        assert dav.to("COPY", unreadable, own / "copy").status == 403
        assert dav.to("COPY", own / "nothing", own / "copy").status == 404
        assert dav.to("MOVE", "/etc/passwd", own / "passwd").status == 403
        assert dav.to("COPY", "/etc/passwd", "/etc/copy").status == 403
        assert dav.ask("DELETE", "/etc/passwd").status == 403
        assert dav.ask("MKCOL", "/etc/new").status == 403
        assert private.read_bytes() == OLD
        assert not (own / "copy").exists()
    finally:
        private.unlink()


def test_in_a_sticky_folder_only_ones_own_goes(dav: Dav, own: Path, alice: Account, bob: Account) -> None:
    os.chown(own, 0, 0)
    own.chmod(0o1777)
    theirs, mine = belongs(own / "theirs", bob, mode=0o666), belongs(own / "mine", alice)

    assert dav.ask("DELETE", str(theirs)).status == 403
    assert dav.to("MOVE", mine, theirs).status == 403
    assert theirs.read_bytes() == OLD
    assert dav.ask("DELETE", str(mine)).status == 204


def test_a_member_that_alice_may_not_remove_is_named(dav: Dav, own: Path, alice: Account, bob: Account) -> None:
    (own / "tree" / "theirs").mkdir(parents=True)
    belongs(own / "tree" / "theirs" / "file", bob)
    belongs(own / "tree" / "mine", alice)
    os.chown(own / "tree", alice.uid, alice.gid)
    os.chown(own / "tree" / "theirs", bob.uid, bob.gid)

    answer = dav.ask("DELETE", f"{own}/tree")

    assert answer.status == 207
    assert answer.body.count(b"<D:response>") == 1
    assert f"/dav{own}/tree/theirs/file</D:href><D:status>HTTP/1.1 403".encode() in answer.body
    assert not (own / "tree" / "mine").exists()


def test_an_access_list_stays_with_the_file(dav: Dav, own: Path, alice: Account, bob: Account) -> None:
    file = belongs(own / "file", alice, mode=0o600)
    _allow(file, "access", bob)
    before = os.getxattr(file, "system.posix_acl_access")

    assert dav.put(file, b"new") == 204
    assert os.getxattr(file, "system.posix_acl_access") == before


def test_a_default_access_list_counts_for_new_files_only(dav: Dav, own: Path, alice: Account, bob: Account) -> None:
    file = belongs(own / "file", alice, mode=0o600)
    _allow(own, "default", bob)

    dav.put(file, b"new")
    dav.put(own / "made", b"new")

    assert "system.posix_acl_access" not in os.listxattr(file)
    assert whose(file)[2] == 0o600
    assert "system.posix_acl_access" in os.listxattr(own / "made")


def test_no_fifo_makes_the_worker_wait(dav: Dav, own: Path) -> None:
    os.mkfifo(own / "pipe", 0o666)
    (own / "pipe").chmod(0o666)
    began = time.monotonic()

    assert dav.ask("GET", f"{own}/pipe").status == 404
    assert dav.put(own / "pipe") == 403
    assert dav.to("COPY", own / "pipe", own / "x").status == 403
    assert dav.ask("PROPFIND", str(own), depth="1").status == 207
    assert time.monotonic() - began < 5


def test_a_kill_during_an_upload_leaves_the_old_file_and_nothing_else(
    processes: Processes, own: Path, alice: Account
) -> None:
    file = belongs(own / "file", alice)
    dav = serve(processes, alice.login)
    with socket.create_connection(("127.0.0.1", dav.port)) as client:
        client.sendall(f"PUT /dav{file} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n".encode())
        client.sendall(b"x" * 5_000_000)
        until(lambda: _written_by(dav.process.pid) > 1_000_000, "the worker writes")
        os.kill(dav.process.pid, signal.SIGKILL)
        dav.process.wait()

    assert [path.name for path in own.iterdir()] == ["file"]
    assert file.read_bytes() == OLD


def test_a_full_file_system_leaves_the_old_file(dav: Dav, small: Path, alice: Account) -> None:
    file = belongs(small / "file", alice)
    os.link(file, small / "link")
    for target in (small / "file", small / "new"):
        assert dav.put(target, b"x" * 3_000_000) == 507
        chunks = dav.ask("PUT", str(target), iter([b"x" * 1_000_000] * 3))  # type: ignore[arg-type]
        assert chunks.status == 507
    dav.put(small / "filler", b"x" * 1_500_000)
    assert dav.to("COPY", small / "filler", small / "copy").status == 507

    assert sorted(path.name for path in small.iterdir()) == ["file", "filler", "link"]
    assert file.read_bytes() == (small / "link").read_bytes() == OLD


def test_a_used_up_quota_leaves_the_old_file(dav: Dav, limited: Path, own: Path, alice: Account) -> None:
    file = belongs(limited / "file", alice)
    large = belongs(own / "large", alice, b"x" * 5_000_000)
    for target in (limited / "file", limited / "new"):
        assert dav.put(target, b"x" * 5_000_000) == 507
    for method in ("COPY", "MOVE"):
        answer = dav.to(method, large, limited / "file")
        assert answer.status == 507
        assert b"quota is used up" in answer.body

    assert sorted(path.name for path in limited.iterdir()) == ["file"]
    assert file.read_bytes() == OLD
    assert large.stat().st_size == 5_000_000


def test_trees_move_from_one_file_system_to_another(dav: Dav, small: Path, own: Path, alice: Account) -> None:
    (own / "tree" / "sub").mkdir(parents=True)
    for folder in (own / "tree", own / "tree" / "sub"):
        os.chown(folder, alice.uid, alice.gid)
    belongs(own / "tree" / "sub" / "file", alice, mode=0o640)
    os.utime(own / "tree" / "sub" / "file", (1_500_000_000,) * 2)

    assert dav.to("MOVE", own / "tree", small / "tree").status == 201
    assert not (own / "tree").exists()
    moved = small / "tree" / "sub" / "file"
    assert (moved.read_bytes(), moved.stat().st_mtime, whose(moved)[2]) == (OLD, 1_500_000_000, 0o640)
    assert dav.to("MOVE", moved, own / "file").status == 201
    belongs(own / "large", alice, b"x" * 3_000_000)
    assert dav.to("MOVE", own / "large", small / "large").status == 507
    assert (own / "large").stat().st_size == 3_000_000


def test_a_limit_on_file_sizes_is_told(processes: Processes, own: Path, alice: Account) -> None:
    file = belongs(own / "file", alice)
    dav = serve(processes, alice.login, largest=100_000)

    assert dav.put(file, b"x" * 200_000) == 413
    assert file.read_bytes() == OLD


def test_a_connection_stays_in_step_after_a_refused_upload(dav: Dav, own: Path) -> None:
    with socket.create_connection(("127.0.0.1", dav.port), timeout=10) as client:
        body = b"DELETE / HTTP/1.1\r\n" * 10
        head = f"PUT /dav{own}/no/file HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body + f"OPTIONS /dav{own} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 2 or not answers.endswith(b"\r\n\r\n"):
            block = client.recv(65536)
            assert block, answers
            answers += block

    assert b"409 Conflict" in answers
    assert b"405" not in answers
    assert b"DAV: 1, 3" in answers


def test_a_refused_upload_of_gigabytes_is_not_taken_into_memory(
    processes: Processes, own: Path, alice: Account
) -> None:
    dav = serve(processes, alice.login)
    with socket.create_connection(("127.0.0.1", dav.port), timeout=10) as client:
        head = f"PUT /dav{own}/no/file HTTP/1.1\r\nHost: x\r\nContent-Length: {10**9}\r\n\r\n"
        client.sendall(head.encode())
        answer = client.recv(65536)

    assert b"409" in answer
    assert b"Connection: close" in answer
    assert dav.ask("OPTIONS", "/").status == 200


@pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed")
def test_rclone_keeps_times_and_finds_nothing_to_do_again(
    dav: Dav, own: Path, alice: Account, tmp_path: Path, accounts: Accounts
) -> None:
    source = tmp_path / "source"
    (source / "sub é #%").mkdir(parents=True)
    (source / "sub é #%" / "a&b").write_bytes(b"x" * 100_000)
    (source / "file").write_bytes(OLD)
    os.utime(source / "file", (1_500_000_000,) * 2)
    remote = f":webdav,url='{dav.url}{own}',vendor=nextcloud:"
    config = ["--config", str(tmp_path / "none"), "--use-mmap=false"]

    for _ in range(2):
        done = subprocess.run(
            ["rclone", "sync", str(source), f"{remote}to", "-v", *config], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
    assert "There was nothing to transfer" in done.stderr
    assert (own / "to" / "file").stat().st_mtime == 1_500_000_000
    assert whose(own / "to" / "file")[0] == alice.uid
    check = ["rclone", "check", str(source), f"{remote}to", "--download", *config]
    assert subprocess.run(check, capture_output=True, timeout=60).returncode == 0


def _written_by(pid: int) -> int:
    """Bytes that a process wrote (/proc/PID/io)."""
    lines = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(lines["wchar"])


def _allow(path: Path, kind: str, account: Account) -> None:
    """Let an account read and write, by an access list (linux/posix_acl_xattr.h: version; tag, permissions, id)."""
    nobody = 0xFFFFFFFF
    entries = [(1, 6, nobody), (2, 6, account.uid), (4, 0, nobody), (16, 6, nobody), (32, 0, nobody)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(path, f"system.posix_acl_{kind}", packed)
    except OSError as error:
        pytest.skip(f"this file system has no access lists: {error}")
