"""Locks and dead properties between real accounts: each has a worker, the portal's own socket is a third one's."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.accounts import PROJ_GID, Account, Accounts
from lab.dav import Answer, Dav, PortalDesk, portal_desk, serve
from lab.processes import Processes

from supercloud.desk.permission import may_change, read_list

pytestmark = pytest.mark.root
OLD = b"old content"
LOCK = (
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)
MOOD = (
    b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><n:mood xmlns:n="urn:n">calm</n:mood></D:prop></D:set>'
    b"</D:propertyupdate>"
)
ASK_MOOD = b'<D:propfind xmlns:D="DAV:"><D:prop><n:mood xmlns:n="urn:n"/></D:prop></D:propfind>'


@pytest.fixture(scope="module")
def desk(processes: Processes, accounts: Accounts) -> Iterator[PortalDesk]:
    """The portal's own socket, as an account that may read none of the files."""
    with portal_desk(processes, accounts["dave"].login) as made:
        yield made


@pytest.fixture(scope="module")
def alice(processes: Processes, accounts: Accounts, desk: PortalDesk) -> Dav:
    return serve(processes, accounts["alice"].login, umask=0o002, desk=desk.path)


@pytest.fixture(scope="module")
def bob(processes: Processes, accounts: Accounts, desk: PortalDesk) -> Dav:
    return serve(processes, accounts["bob"].login, umask=0o002, desk=desk.path)


@pytest.fixture
def shared(accounts: Accounts) -> Iterator[Path]:
    """A group folder: setgid, of proj, which alice and bob are in; with a file of alice's that both may write."""
    made = Path(tempfile.mkdtemp(prefix="supercloud-proj-", dir="/tmp"))
    os.chown(made, 0, PROJ_GID)
    made.chmod(0o2770)
    (made / "file").write_bytes(OLD)
    os.chown(made / "file", accounts["alice"].uid, PROJ_GID)
    (made / "file").chmod(0o664)
    yield made
    shutil.rmtree(made)


def lock(dav: Dav, path: Path, **fields: str) -> str:
    """The token."""
    answer = dav.ask("LOCK", str(path), LOCK, **fields)
    assert answer.status in (200, 201), answer
    return answer.fields["lock-token"]


def refusals(dav: Dav, path: Path) -> list[int]:
    """What becomes of all that could change it."""
    asked: list[Answer] = [
        dav.ask("PUT", str(path), b"x"),
        dav.ask("DELETE", str(path)),
        dav.to("MOVE", path, f"{path}-moved"),
        dav.ask("LOCK", str(path), LOCK),
        dav.ask("PROPPATCH", str(path), MOOD),
    ]
    return [answer.status for answer in asked]


def test_alices_lock_on_a_shared_file_binds_bob(alice: Dav, bob: Dav, shared: Path) -> None:
    token = lock(alice, shared / "file")

    assert refusals(bob, shared / "file") == [423] * 5
    assert bob.ask("GET", f"{shared}/file").body == OLD
    assert bob.ask("PUT", f"{shared}/file", b"x", **{"if": f"({token})"}).status == 423
    assert bob.ask("UNLOCK", f"{shared}/file", lock_token=token).status == 403
    assert alice.ask("PUT", f"{shared}/file", b"alice's", **{"if": f"({token})"}).status == 204
    assert bob.put(shared / "file") == 423

    assert alice.ask("UNLOCK", f"{shared}/file", lock_token=token).status == 204
    assert bob.put(shared / "file", b"bob's") == 204
    assert (shared / "file").read_bytes() == b"bob's"


def test_bobs_lock_on_alices_file_binds_alice_when_he_may_write_it(alice: Dav, bob: Dav, shared: Path) -> None:
    token = lock(bob, shared / "file")

    assert alice.put(shared / "file") == 423
    assert bob.ask("UNLOCK", f"{shared}/file", lock_token=token).status == 204


def test_bob_cannot_lock_what_he_cannot_write(alice: Dav, bob: Dav, shared: Path, accounts: Accounts) -> None:
    (shared / "file").chmod(0o644)
    private = accounts["alice"].home / "private"
    private.write_bytes(OLD)

    assert bob.ask("LOCK", f"{shared}/file", LOCK).status == 403
    assert bob.ask("LOCK", str(private), LOCK).status == 403
    assert bob.ask("LOCK", "/etc/passwd", LOCK).status == 403
    assert bob.ask("LOCK", f"{accounts['alice'].home}/new", LOCK).status == 403
    assert alice.put(shared / "file") == 204
    private.unlink()


def test_bob_cannot_close_a_folder_that_all_share(alice: Dav, bob: Dav, shared: Path) -> None:
    assert bob.ask("LOCK", "/tmp/", LOCK, depth="infinity").status == 403
    assert bob.ask("LOCK", "/tmp/", LOCK, depth="0").status == 403
    assert bob.ask("LOCK", f"{shared}/", LOCK, depth="infinity").status == 403


def test_a_file_that_only_alice_may_enter_is_locked_too(alice: Dav, accounts: Accounts) -> None:
    home = accounts["alice"].home
    answer = alice.ask("LOCK", f"{home}/deep", LOCK)

    assert answer.status == 201
    assert alice.put(home / "deep") == 423
    deep = alice.ask("DELETE", f"{home}/deep", **{"if": f"({answer.fields['lock-token']})"})
    assert deep.status == 204


ATTACK = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from supercloud.desk import lock_wire as wire
from supercloud.desk.client import Desk, DeskGone
from supercloud.desk.property_wire import ReplaceProperties
from supercloud.desk.wire import Done, Refusal
desk, file, token, number = Desk(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
acquire = wire.AcquireLock("exclusive", "infinity", 60, b"", "/", ())
def said(request, *descriptors):
    try:
        return type(desk.ask(request, wire.Granted, wire.Conflict, wire.Begun, Done, descriptors=descriptors)).__name__
    except Refusal as error:
        return error.code
    except DeskGone:
        return "gone"
reading, folder = os.open(file, os.O_RDONLY), os.open(os.path.dirname(file), os.O_PATH)
print(json.dumps([
    said(acquire, reading),
    said(acquire, folder),
    said(acquire, os.open("/etc/passwd", os.O_PATH)),
    said(wire.BeginWrite((), ()), reading),
    said(ReplaceProperties({"{x}y": b""}), reading),
    said(wire.ReleaseLock(token)),
    said(wire.RefreshLock(token, 600)),
    said(wire.DropLocks(tuple(range(1, 1001)))),
    said(wire.EndWrite(number)),
    said(wire.AcquireLock("exclusive", "0", 10**9, b"", "/", ()), reading),
]))
"""


def test_bobs_own_program_at_the_portals_socket_gets_no_further(
    alice: Dav, shared: Path, accounts: Accounts, desk: PortalDesk
) -> None:
    (shared / "file").chmod(0o644)
    shared.chmod(0o2750)
    token = lock(alice, shared / "file")
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-c", ATTACK, str(root), str(desk.path), f"{shared}/file", token.strip("<>"), "1"]
    done = accounts.run_as("bob", argv, stdout=subprocess.PIPE, text=True)

    out, _ = done.communicate(timeout=30)

    writable = "not-writable"
    assert re.findall(r'"([^"]+)"', out) == [
        *[writable] * 5, "not-yours", "not-yours", "Done", "Done", "gone",
    ]  # fmt: skip
    assert alice.put(shared / "file") == 423


def test_a_lock_outlives_the_portal_and_the_worker(
    alice: Dav, bob: Dav, shared: Path, desk: PortalDesk, processes: Processes
) -> None:
    token = lock(alice, shared / "file")
    desk.kill()
    desk.start()
    assert bob.put(shared / "file") == 423
    another = serve(processes, "alice", desk=desk.path)
    another.process.kill()
    another = serve(processes, "alice", desk=desk.path)

    assert another.ask("PUT", f"{shared}/file", b"x", **{"if": f"({token})"}).status == 204
    assert bob.put(shared / "file") == 423


def test_without_the_portal_nothing_is_changed_and_everything_is_read(
    alice: Dav, bob: Dav, shared: Path, desk: PortalDesk
) -> None:
    desk.kill()
    try:
        assert refusals(bob, shared / "file") == [503] * 5
        assert bob.put(shared / "new") == 503
        assert bob.ask("MKCOL", f"{shared}/new").status == 503
        assert bob.ask("GET", f"{shared}/file").body == OLD
        assert [made.name for made in shared.iterdir()] == ["file"]
    finally:
        desk.start()
    assert bob.put(shared / "file") == 204


def test_two_who_contend_never_write_at_once(alice: Dav, bob: Dav, shared: Path) -> None:
    (shared / "file").write_bytes(b"0")
    rounds, failed = 15, []

    def count(dav: Dav) -> None:
        for _ in range(rounds):
            for attempt in itertools.count():
                answer = dav.ask("LOCK", f"{shared}/file", LOCK)
                if answer.status == 200:
                    break
                if answer.status != 423 or attempt > 5000:
                    failed.append(answer)
                    return
            token = answer.fields["lock-token"]
            number = int(dav.ask("GET", f"{shared}/file").body)
            written = dav.ask("PUT", f"{shared}/file", str(number + 1).encode(), **{"if": f"({token})"})
            done = dav.ask("UNLOCK", f"{shared}/file", lock_token=token)
            if (written.status, done.status) != (204, 204):
                failed.append(written)

    threads = [threading.Thread(target=count, args=(dav,)) for dav in (alice, bob)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert (shared / "file").read_bytes() == str(2 * rounds).encode()


@pytest.fixture
def bare(shared: Path) -> Iterator[Path]:
    """A file system without extended attributes in it."""
    made = shared / "bare"
    made.mkdir()
    done = subprocess.run(["mount", "-t", "ramfs", "none", str(made)], capture_output=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    os.chown(made, 0, PROJ_GID)
    made.chmod(0o2770)
    yield made
    subprocess.run(["umount", str(made)], check=True)


def mood(dav: Dav, path: Path) -> bool:
    return b"calm" in dav.ask("PROPFIND", str(path), ASK_MOOD, depth="0").body


def test_properties_are_kept_where_there_are_no_attributes_and_follow_the_file(
    alice: Dav, bob: Dav, shared: Path, bare: Path
) -> None:
    assert alice.put(bare / "file") == 201
    assert alice.ask("PROPPATCH", f"{bare}/file", MOOD).status == 207

    assert mood(alice, bare / "file") and mood(bob, bare / "file")
    assert bob.put(bare / "file", b"new") == 204
    assert mood(alice, bare / "file")
    assert alice.to("COPY", bare / "file", shared / "copy").status == 201
    assert mood(bob, shared / "copy")
    assert alice.to("MOVE", shared / "copy", bare / "moved").status == 201
    assert mood(bob, bare / "moved")
    assert alice.to("MOVE", bare / "moved", bare / "again").status == 201
    assert mood(bob, bare / "again")


def test_a_lock_follows_a_file_where_files_have_no_birth(alice: Dav, bob: Dav, bare: Path) -> None:
    token = alice.ask("LOCK", f"{bare}/new", LOCK).fields["lock-token"]
    (bare / "new").chmod(0o664)

    assert alice.ask("PUT", f"{bare}/new", b"x", **{"if": f"({token})"}).status == 204
    assert bob.put(bare / "new") == 423


def test_who_may_write_a_folder_is_judged_as_the_kernel_judges(accounts: Accounts, shared: Path) -> None:
    who, folders = accounts["alice"], []
    groups = frozenset(os.getgrouplist(who.login, who.gid))
    shared.chmod(0o755)
    for number, (owner, group, mode) in enumerate(
        itertools.product((who.uid, 0), (PROJ_GID, 0), (0o700, 0o070, 0o007, 0o755, 0o770, 0o1777, 0o050, 0o730))
    ):
        folders.append(_folder(shared / str(number), owner, group, mode))
    folders += list(_with_lists(shared, who))

    script = "import os, sys; print(*[int(os.access(f, os.W_OK | os.X_OK)) for f in sys.argv[1:]])"
    asked = accounts.run_as("alice", [sys.executable, "-c", script, *map(str, folders)], stdout=subprocess.PIPE)
    out, _ = asked.communicate(timeout=30)

    assert [bool(int(word)) for word in out.split()] == [_judged(folder, who.uid, groups) for folder in folders]


def _folder(path: Path, owner: int, group: int, mode: int) -> Path:
    path.mkdir()
    os.chown(path, owner, group)
    path.chmod(mode)
    return path


def _with_lists(shared: Path, who: Account) -> Iterator[Path]:
    nobody = 0xFFFFFFFF
    for number, (named, group, mask, other) in enumerate(itertools.product((0, 7), (0, 7), (0, 5, 7), (0, 7))):
        path = _folder(shared / f"list-{number}", 0, 0, 0o700)
        tags = [(1, 7, nobody), (4, 0, nobody), (8, group, PROJ_GID), (16, mask, nobody), (32, other, nobody)]
        if number % 2:
            tags.insert(1, (2, named, who.uid))
        packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *tag) for tag in tags)
        try:
            os.setxattr(path, "system.posix_acl_access", packed)
        except OSError as error:
            pytest.skip(f"this file system has no access lists: {error}")
        yield path


def _judged(folder: Path, uid: int, groups: frozenset[int]) -> bool:
    status = folder.stat()
    try:
        entries = read_list(os.getxattr(folder, "system.posix_acl_access"))
    except OSError:
        entries = ()
    return may_change(uid, groups, owner=status.st_uid, group=status.st_gid, mode=status.st_mode, entries=entries)
