"""supercloud.dav.writing: a file is the old one or the new one."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supercloud.dav import kernel, part, writing
from supercloud.dav.attributes import take_over
from supercloud.dav.tree import NotServed, Tree
from supercloud.dav.writing import Claim, Draft, IsFolder, copy_range
from tests.fakes.wsgi import Broken, Caller

OLD = b"old content"


@pytest.fixture
def tree(folder: Path, home: Path) -> Tree:
    return Tree({"/": str(folder)}, str(home))


@pytest.fixture
def file(folder: Path) -> Path:
    made = folder / "file"
    made.write_bytes(OLD)
    return made


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without nameless files, as NFS and Lustre are."""
    opened = os.open

    def without(path: object, flags: int, *args: object, **named: object) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return opened(path, flags, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", without)


def test_a_new_file_has_the_mode_that_the_umask_leaves(dav: Caller, folder: Path, umask: None) -> None:
    assert dav.put("/new", b"x").status == 201
    assert stat.S_IMODE((folder / "new").stat().st_mode) == 0o640


def test_a_replaced_file_keeps_its_mode_and_is_another_inode(dav: Caller, file: Path) -> None:
    file.chmod(0o755)
    before = file.stat()

    assert dav.put("/file", b"new").status == 204
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o755
    assert file.stat().st_ino != before.st_ino


def test_setuid_does_not_survive_new_content(dav: Caller, file: Path) -> None:
    file.chmod(0o6755)

    dav.put("/file", b"new")

    assert stat.S_IMODE(file.stat().st_mode) == 0o755


def test_attributes_of_users_stay(dav: Caller, file: Path) -> None:
    try:
        os.setxattr(file, "user.note", b"mine")
    except OSError:
        pytest.skip("this file system has no attributes of users")

    dav.put("/file", b"new")

    assert os.getxattr(file, "user.note") == b"mine"


@pytest.mark.usefixtures("named")
def test_without_nameless_files_it_goes_by_a_part(dav: Caller, folder: Path, file: Path) -> None:
    assert dav.put("/file", b"new").status == 204
    assert dav.put("/other", b"new").status == 201
    assert sorted(path.name for path in folder.iterdir()) == ["file", "other"]
    assert file.read_bytes() == b"new"


@pytest.mark.usefixtures("named")
def test_a_part_is_never_more_open_than_what_it_replaces(tree: Tree, folder: Path, file: Path) -> None:
    file.chmod(0o600)

    with Draft(tree, tree.locate("/file")):
        (made,) = [path for path in folder.iterdir() if path != file]
        assert stat.S_IMODE(made.stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [None, ConnectionResetError, TimeoutError])
@pytest.mark.parametrize("kind", ["nameless", "named"])
def test_a_cut_upload_leaves_the_old_file_and_no_litter(
    dav: Caller,
    folder: Path,
    file: Path,
    error: type[OSError] | None,
    kind: str,
    request: pytest.FixtureRequest,
) -> None:
    if kind == "named":
        request.getfixturevalue("named")

    for path in ("/file", "/new"):
        answer = dav.ask("PUT", path, Broken(b"x" * 5000, error), length=10000)
        assert answer.status == 400

    assert [path.name for path in folder.iterdir()] == ["file"]
    assert file.read_bytes() == OLD


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EFBIG, 413)])
@pytest.mark.parametrize("at", ["write", "fdatasync", "rename"])
def test_a_full_disk_leaves_the_old_file_and_no_litter(
    dav: Caller, folder: Path, file: Path, number: int, status: int, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_named: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(writing, "keeps_order", lambda _handle: False)
    monkeypatch.setattr(os, at, full)

    assert dav.put("/file", b"new").status == status
    assert file.read_bytes() == OLD
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_more_than_the_disk_has_is_refused_before_it_is_sent(dav: Caller, folder: Path) -> None:
    answer = dav.ask("PUT", "/new", b"", length=10**17)

    assert answer.status == 507
    assert list(folder.iterdir()) == []


def test_hard_links_stay_one_file(dav: Caller, folder: Path, file: Path) -> None:
    os.link(file, folder / "link")

    assert dav.put("/file", b"new and longer content").status == 204
    assert (folder / "link").read_bytes() == b"new and longer content"
    assert dav.put("/file", b"short").status == 204
    assert (folder / "link").read_bytes() == b"short"
    assert file.stat().st_nlink == 2


def test_a_cut_upload_to_a_hard_link_leaves_the_old_content(dav: Caller, folder: Path, file: Path) -> None:
    os.link(file, folder / "link")

    dav.ask("PUT", "/file", Broken(b"x" * 5000), length=10000)

    assert file.read_bytes() == OLD


def test_no_room_for_a_hard_link_leaves_the_old_content(
    dav: Caller, folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int, _size: int) -> None:
        raise OSError(errno.EDQUOT, "quota")

    os.link(file, folder / "link")
    monkeypatch.setattr(writing, "reserve", full)

    assert dav.put("/file", b"new and longer content").status == 507
    assert file.read_bytes() == OLD


def test_what_cannot_be_given_to_a_new_file_keeps_the_old_one(
    dav: Caller, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "take_over", lambda *_args: False)
    before = file.stat().st_ino

    assert dav.put("/file", b"new").status == 204
    assert (file.stat().st_ino, file.read_bytes()) == (before, b"new")


def test_bits_that_the_file_system_drops_are_noticed(file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.chmod(0o644)
    (folder / "new").touch(0o600)
    handle = os.open(folder / "new", os.O_RDWR)
    monkeypatch.setattr(os, "fchmod", lambda *_args: None)

    try:
        assert not take_over(str(file), file.stat(), handle)
    finally:
        os.close(handle)


def test_a_link_is_followed_and_stays(dav: Caller, folder: Path, file: Path) -> None:
    (folder / "link").symlink_to("file")
    (folder / "dangling").symlink_to("made")

    assert dav.put("/link", b"through").status == 204
    assert dav.put("/dangling", b"made").status == 201
    assert (folder / "link").is_symlink()
    assert file.read_bytes() == b"through"
    assert (folder / "made").read_bytes() == b"made"


def test_a_link_out_of_the_root_is_not_written_through(dav: Caller, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(OLD)
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "new").symlink_to(tmp_path / "made")

    assert dav.put("/link", b"x").status == 403
    assert dav.put("/new", b"x").status == 403
    assert (tmp_path / "outside").read_bytes() == OLD
    assert not (tmp_path / "made").exists()


def test_a_fifo_is_not_written_to(dav: Caller, folder: Path) -> None:
    os.mkfifo(folder / "pipe")

    assert dav.put("/pipe", b"x").status == 403
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)


def test_a_folder_has_no_content(dav: Caller, tree: Tree, folder: Path) -> None:
    (folder / "sub").mkdir()

    assert dav.put("/sub", b"x").status == 405
    with pytest.raises(IsFolder):
        Draft(tree, tree.locate("/sub"))


def test_nothing_is_made_for_a_missing_folder(dav: Caller, folder: Path, file: Path) -> None:
    assert dav.put("/no/file", b"x").status == 409
    assert dav.put("/file/below", b"x").status == 409
    assert dav.put("/" + "x" * 300, b"x").status == 403


def test_somebody_who_was_faster_is_not_overwritten_by_a_creation(tree: Tree, folder: Path) -> None:
    with Draft(tree, tree.locate("/new")) as draft:
        draft.write(memoryview(b"mine"))
        (folder / "new").write_bytes(b"theirs")
        with pytest.raises(FileExistsError):
            draft.commit(None)

    assert (folder / "new").read_bytes() == b"theirs"
    assert [path.name for path in folder.iterdir()] == ["new"]


def test_somebody_who_was_faster_is_replaced_otherwise(tree: Tree, folder: Path) -> None:
    with Draft(tree, tree.locate("/new")) as draft:
        draft.write(memoryview(b"mine"))
        (folder / "new").write_bytes(b"theirs")
        draft.commit(Claim())

    assert (folder / "new").read_bytes() == b"mine"


def test_a_fifo_that_came_meanwhile_is_not_replaced(tree: Tree, folder: Path) -> None:
    with Draft(tree, tree.locate("/new")) as draft:
        os.mkfifo(folder / "new")
        with pytest.raises(NotServed):
            draft.commit(Claim())


def test_what_a_client_expected_is_held_against_the_end_of_the_upload(dav: Caller, file: Path) -> None:
    tag = dav.ask("HEAD", "/file").fields["etag"]

    class Slow(Broken):
        def readinto(self, buffer: Any) -> int:
            file.write_bytes(b"changed meanwhile")
            return super().readinto(buffer)

    answer = dav.ask("PUT", "/file", Slow(b"mine"), length=4, if_match=tag)

    assert answer.status == 412
    assert file.read_bytes() == b"changed meanwhile"


def test_litter_of_a_dead_worker_goes_with_the_next_write(dav: Caller, folder: Path) -> None:
    dead = part.part_name("file").replace(f"{os.getpid():06x}", "fffffe")
    (folder / dead).write_bytes(b"half")
    (folder / part.part_name("other")).write_bytes(b"being written")

    dav.put("/file", b"x")

    assert not (folder / dead).exists()
    assert len(list(folder.iterdir())) == 2


def test_data_is_durable_before_the_name_leads_to_it(dav: Caller, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    sync, rename = os.fdatasync, os.rename
    monkeypatch.setattr(writing, "keeps_order", lambda _handle: False)
    monkeypatch.setattr(os, "fdatasync", lambda handle: (calls.append("sync"), sync(handle))[1])
    monkeypatch.setattr(os, "rename", lambda *a, **n: (calls.append("rename"), rename(*a, **n))[1])

    dav.put("/file", b"new")

    assert calls == ["sync", "rename"]


@pytest.mark.parametrize("works", [True, False])
def test_a_range_is_copied_to_its_place(folder: Path, works: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_args: object) -> int:
        raise OSError(errno.EXDEV, "other file system")

    if not works:
        monkeypatch.setattr(os, "copy_file_range", refuses)
    (folder / "a").write_bytes(b"abc")
    (folder / "b").write_bytes(b"123")
    source, target = os.open(folder / "a", os.O_RDONLY), os.open(folder / "b", os.O_RDWR)
    copy_range(source, target, 3, 2)
    os.close(source)
    os.close(target)

    assert (folder / "b").read_bytes() == b"12abc"


def test_a_name_is_never_taken_from_another(folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a").write_bytes(b"a")
    handle = os.open(folder, os.O_PATH)

    def cannot(*_args: object) -> None:
        raise OSError(errno.EINVAL, "not supported")

    try:
        with pytest.raises(FileExistsError):
            kernel.rename_new(handle, "a", handle, "file")
        monkeypatch.setattr(kernel, "_renameat2", cannot)
        with pytest.raises(FileExistsError):
            kernel.rename_new(handle, "a", handle, "file")
        kernel.rename_new(handle, "a", handle, "b")
    finally:
        os.close(handle)
    assert file.read_bytes() == OLD
    assert (folder / "b").read_bytes() == b"a"
