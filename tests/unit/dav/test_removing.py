"""MKCOL and DELETE."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supercloud.dav.removing import MAX_DEPTH
from tests.fakes.wsgi import Answer, Caller

TIME = 1_600_000_000_123_456_789


@pytest.fixture
def tree(folder: Path) -> Path:
    """A folder with a file, a folder, a link and an executable."""
    made = folder / "tree"
    (made / "sub" / "deep").mkdir(parents=True)
    (made / "a").write_bytes(b"a")
    (made / "sub" / "b").write_bytes(b"b" * 100_000)
    (made / "sub" / "run").touch(0o750)
    (made / "link").symlink_to("sub/b")
    os.utime(made / "a", ns=(TIME, TIME))
    os.utime(made / "sub", ns=(TIME, TIME))
    return made


def listed(folder: Path) -> dict[str, bytes | str | None]:
    """What is in a folder: content, target of a link, None for folders."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


def ask(dav: Caller, method: str, path: str, to: str, **fields: str) -> Answer:
    return dav.ask(method, path, destination=f"https://portal.test/dav{to}", **fields)


def test_a_folder_is_made_once(dav: Caller, folder: Path) -> None:
    assert dav.ask("MKCOL", "/new").status == 201
    assert dav.ask("MKCOL", "/new").status == 405
    assert dav.ask("MKCOL", "/new/").status == 405
    assert dav.ask("MKCOL", "/no/new").status == 409
    assert dav.ask("MKCOL", "/with", b"<x/>").status == 415
    assert dav.ask("MKCOL", "/timed/", x_oc_mtime="1600000000").fields["x-oc-mtime"] == "accepted"
    assert (folder / "timed").stat().st_mtime == 1600000000
    assert sorted(path.name for path in folder.iterdir()) == ["new", "timed"]


def test_a_folder_below_a_file_is_a_conflict(dav: Caller, folder: Path) -> None:
    (folder / "file").touch()

    assert dav.ask("MKCOL", "/file/new").status == 409


def test_a_folder_inherits_the_group_bit(dav: Caller, folder: Path) -> None:
    folder.chmod(0o2775)

    dav.ask("MKCOL", "/new")

    assert (folder / "new").stat().st_mode & stat.S_ISGID


def test_a_tree_is_removed_without_following_links(dav: Caller, folder: Path, tree: Path) -> None:
    (folder / "kept").mkdir()
    (folder / "kept" / "file").touch()
    (tree / "to-kept").symlink_to("../kept")
    os.mkfifo(tree / "pipe")

    assert dav.ask("DELETE", "/tree").status == 204
    assert listed(folder) == {"kept": None, "kept/file": b""}


def test_a_link_is_removed_itself(dav: Caller, folder: Path, tree: Path) -> None:
    (folder / "link").symlink_to("tree")

    assert dav.ask("DELETE", "/link").status == 204
    assert (tree / "a").exists()


def test_removing_nothing_or_a_root(dav: Caller, folder: Path) -> None:
    assert dav.ask("DELETE", "/nothing").status == 404
    assert dav.ask("DELETE", "/").status == 403
    assert folder.is_dir()


def test_a_depth_that_does_not_fit_is_refused(dav: Caller, tree: Path) -> None:
    assert dav.ask("DELETE", "/tree", depth="0").status == 400
    assert ask(dav, "MOVE", "/tree", "/x", depth="0").status == 400
    assert ask(dav, "COPY", "/tree", "/x", depth="1").status == 400
    assert dav.ask("DELETE", "/tree/a", depth="1").status == 400
    assert ask(dav, "COPY", "/tree/a", "/x", depth="0").status == 201


def test_what_cannot_be_removed_stays_with_what_holds_it(
    dav: Caller, folder: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "unlink", denying(os.unlink, "b"))

    answer = dav.ask("DELETE", "/tree")

    assert answer.status == 207
    assert answer.body.count(b"<D:response>") == 1
    assert b"<D:href>/dav/tree/sub/b</D:href><D:status>HTTP/1.1 403 Forbidden</D:status>" in answer.body
    assert set(listed(tree)) == {"sub", "sub/b"}


def test_a_file_that_cannot_be_removed_is_one_error(dav: Caller, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "unlink", denying(os.unlink, "a"))

    assert dav.ask("DELETE", "/tree/a").status == 403


def test_a_tree_that_is_too_deep_is_an_error_not_a_crash(dav: Caller, folder: Path) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(MAX_DEPTH + 5):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)

    assert dav.ask("DELETE", "/d").status == 207
    assert ask(dav, "COPY", "/d", "/copy").status == 207


def test_names_of_members_are_escaped_in_errors(
    dav: Caller, folder: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "<&>").touch()
    monkeypatch.setattr(os, "unlink", denying(os.unlink, "<&>"))

    assert b"<D:href>/dav/tree/%3C%26%3E</D:href>" in dav.ask("DELETE", "/tree").body


def denying(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The same call, but the kernel forbids one name."""

    def denies(path: Any, *args: Any, **named: Any) -> Any:
        if path == name:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return call(path, *args, **named)

    return denies
