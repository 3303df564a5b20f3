"""COPY and MOVE of files and trees."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supercloud.dav import copying, moving
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


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every rename crossed from one file system to another, but those of parts."""
    rename_new, rename = moving.rename_new, os.rename

    def crosses(name: str) -> bool:
        return not name.startswith(".")

    def new(from_folder: int, from_name: str, to_folder: int, to_name: str) -> None:
        if crosses(from_name):
            raise OSError(errno.EXDEV, "another file system")
        rename_new(from_folder, from_name, to_folder, to_name)

    def over(source: str, target: str, **folders: int) -> None:
        if crosses(source):
            raise OSError(errno.EXDEV, "another file system")
        rename(source, target, **folders)

    def swap(_folder: int, _name: str, _target: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(moving, "rename_new", new)
    monkeypatch.setattr(moving, "swap", swap)
    monkeypatch.setattr(os, "rename", over)


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


def test_a_copied_tree_is_the_same_tree(dav: Caller, folder: Path, tree: Path) -> None:
    assert ask(dav, "COPY", "/tree", "/copy").status == 201
    copy = folder / "copy"
    assert listed(copy) == listed(tree)
    assert (copy / "a").stat().st_mtime_ns == TIME
    assert (copy / "sub").stat().st_mtime_ns == TIME
    assert stat.S_IMODE((copy / "sub" / "run").stat().st_mode) == 0o750


def test_a_copy_without_members_is_an_empty_folder(dav: Caller, folder: Path, tree: Path) -> None:
    assert ask(dav, "COPY", "/tree", "/copy", depth="0").status == 201
    assert listed(folder / "copy") == {}


def test_a_copied_file_is_another_file(dav: Caller, folder: Path, tree: Path) -> None:
    assert ask(dav, "COPY", "/tree/a", "/copy").status == 201
    assert (folder / "copy").read_bytes() == b"a"
    assert (folder / "copy").stat().st_mtime_ns == TIME
    assert (folder / "copy").stat().st_ino != (tree / "a").stat().st_ino


def test_a_link_that_is_copied_itself_becomes_what_it_leads_to(dav: Caller, folder: Path, tree: Path) -> None:
    (folder / "link").symlink_to("tree")

    assert ask(dav, "COPY", "/tree/link", "/file").status == 201
    assert ask(dav, "COPY", "/link", "/copy").status == 201
    assert (folder / "file").read_bytes() == b"b" * 100_000
    assert not (folder / "copy").is_symlink()
    assert listed(folder / "copy") == listed(tree)


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
@pytest.mark.parametrize("source", ["file", "folder"])
@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_what_is_there_is_replaced_whole(
    dav: Caller, folder: Path, tree: Path, method: str, source: str, there: str
) -> None:
    target = folder / "target"
    if there == "file":
        target.write_bytes(b"old")
    elif there == "folder":
        (target / "old").mkdir(parents=True)
        (target / "old" / "file").touch()
    else:
        target.symlink_to("tree/sub/run")
    path, wanted = ("/tree", listed(tree)) if source == "folder" else ("/tree/a", b"a")

    assert ask(dav, method, path, "/target", overwrite="F").status == 412
    assert ask(dav, method, path, "/target").status == 204

    assert (listed(target) if source == "folder" else target.read_bytes()) == wanted
    assert (folder / path.lstrip("/")).exists() == (method == "COPY")
    assert not [name for name in listed(folder) if "supercloud" in name]


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_nothing_is_put_onto_into_or_around_itself(dav: Caller, folder: Path, tree: Path, method: str) -> None:
    before = listed(folder)
    (folder / "link").symlink_to("tree")

    for path, to in [("/tree", "/tree"), ("/tree", "/tree/sub/x"), ("/tree/sub", "/tree"), ("/tree", "/link/sub/x")]:
        assert ask(dav, method, path, to).status == 403
    (folder / "link").unlink()
    assert listed(folder) == before


@pytest.mark.parametrize(
    ("destination", "status"),
    [
        ("", 400),
        ("https://other.test/dav/x", 502),
        ("http://portal.test/dav/x", 502),
        ("https://portal.test/elsewhere/x", 502),
        ("https://portal.test/dav/no/x", 409),
        ("https://portal.test/dav/tree/a/x", 409),
        ("https://portal.test/dav/../etc/x", 403),
        ("https://portal.test/dav/%2e%2e/%2e%2e/x", 403),
        ("https://portal.test/davx", 502),
        ("https://portal.test/dav/", 403),
        ("https://PORTAL.test:443/dav/x", 201),
        ("/dav/x", 201),
        ("/dav/100%25%3F%23%20x", 201),
    ],
)
@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_the_destination_is_on_this_server_and_served(
    dav: Caller, folder: Path, tree: Path, method: str, destination: str, status: int
) -> None:
    assert dav.ask(method, "/tree/a", destination=destination).status == status
    if "100" in destination:
        assert (folder / "100%?# x").exists()


def test_overwrite_is_t_or_f(dav: Caller, tree: Path) -> None:
    assert ask(dav, "COPY", "/tree/a", "/x", overwrite="maybe").status == 400


def test_a_link_out_of_the_root_is_no_destination(dav: Caller, folder: Path, tree: Path, tmp_path: Path) -> None:
    (folder / "out").symlink_to(tmp_path)

    for method in ("COPY", "MOVE"):
        assert ask(dav, method, "/tree/a", "/out/x").status == 403
    assert not (tmp_path / "x").exists()


def test_a_member_that_cannot_be_read_is_named_and_the_rest_is_copied(
    dav: Caller, folder: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tree / "pipe")
    monkeypatch.setattr(os, "open", denying(os.open, "b"))

    answer = ask(dav, "COPY", "/tree", "/copy")

    assert answer.status == 207
    assert b"/dav/tree/sub/b<" in answer.body
    assert b"/dav/tree/pipe<" in answer.body
    assert set(listed(folder / "copy")) == {"a", "link", "sub", "sub/deep", "sub/run"}


@pytest.mark.parametrize("there", [True, False])
def test_a_full_disk_leaves_what_was_there_and_no_half_tree(
    dav: Caller, folder: Path, tree: Path, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    if there:
        (folder / "copy").mkdir()
        (folder / "copy" / "old").touch()
    before = listed(folder)
    monkeypatch.setattr(copying, "copy_range", full)

    assert ask(dav, "COPY", "/tree", "/copy").status == 507
    assert ask(dav, "COPY", "/tree/a", "/copied").status == 507
    assert listed(folder) == before


def test_a_folder_that_cannot_be_removed_is_not_replaced(
    dav: Caller, folder: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "copy").mkdir()
    (folder / "copy" / "old").touch()
    before = listed(folder)
    monkeypatch.setattr(os, "access", lambda *_args, **_named: False)

    for method in ("COPY", "MOVE"):
        assert ask(dav, method, "/tree", "/copy").status == 403
    assert listed(folder) == before


def test_a_rename_keeps_the_file(dav: Caller, folder: Path, tree: Path) -> None:
    before = (tree / "a").stat()

    assert ask(dav, "MOVE", "/tree/a", "/A").status == 201
    after = (folder / "A").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_names_that_differ_in_case_or_composition_only_are_different(dav: Caller, folder: Path) -> None:
    dav.put("/a", b"lower")

    assert ask(dav, "MOVE", "/a", "/A").status == 201
    assert [path.name for path in folder.iterdir()] == ["A"]
    dav.put("/caf%C3%A9", b"nfc")
    dav.put("/cafe%CC%81", b"nfd")
    assert dav.ask("GET", "/caf%C3%A9").body == b"nfc"
    assert dav.ask("GET", "/cafe%CC%81").body == b"nfd"


def test_a_name_that_is_not_utf8_can_be_written_moved_and_removed(dav: Caller, folder: Path) -> None:
    assert dav.put("/caf%E9", b"x").status == 201
    assert ask(dav, "MOVE", "/caf%E9", "/%FF").status == 201
    assert os.listdir(os.fsencode(folder)) == [b"\xff"]
    assert dav.ask("DELETE", "/%FF").status == 204


def test_one_of_two_names_of_a_file_is_moved_onto_the_other(dav: Caller, folder: Path, tree: Path) -> None:
    os.link(tree / "a", folder / "other")

    assert ask(dav, "MOVE", "/tree/a", "/other").status == 204
    assert not (tree / "a").exists()
    assert (folder / "other").read_bytes() == b"a"


def test_a_link_is_moved_itself(dav: Caller, folder: Path, tree: Path) -> None:
    assert ask(dav, "MOVE", "/tree/link", "/tree/sub/link").status == 201
    assert (tree / "sub" / "link").readlink() == Path("sub/b")


def test_swapping_in_two_steps_where_it_cannot_be_done_at_once(
    dav: Caller, folder: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*_args: object) -> None:
        raise OSError(errno.EINVAL, "not supported")

    (folder / "target").mkdir()
    (folder / "target" / "old").touch()
    wanted = listed(tree)
    monkeypatch.setattr(copying, "exchange", cannot)

    assert ask(dav, "MOVE", "/tree", "/target").status == 204
    assert listed(folder / "target") == wanted
    assert [path.name for path in folder.iterdir()] == ["target"]


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("what", ["/tree", "/tree/a", "/tree/link"])
def test_a_move_to_another_file_system_copies_and_removes(
    dav: Caller, folder: Path, tree: Path, there: bool, what: str
) -> None:
    if there:
        (folder / "target").write_bytes(b"old")
    wanted = {"x": listed(tree)[what[6:]]} if what != "/tree" else listed(tree)

    assert ask(dav, "MOVE", what, "/target").status == (204 if there else 201)

    assert not os.path.lexists(folder / what.lstrip("/"))
    if what == "/tree":
        assert listed(folder / "target") == wanted
        assert (folder / "target" / "a").stat().st_mtime_ns == TIME
    else:
        assert listed(folder)["target"] == wanted["x"]


@pytest.mark.usefixtures("elsewhere")
def test_a_move_to_another_file_system_that_fails_keeps_the_source(
    dav: Caller, folder: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listed(tree)
    monkeypatch.setattr(os, "open", denying(os.open, "b"))

    answer = ask(dav, "MOVE", "/tree", "/target")

    assert answer.status == 207
    assert b"/dav/tree/sub/b<" in answer.body
    monkeypatch.undo()
    assert listed(tree) == before


@pytest.mark.usefixtures("elsewhere")
def test_a_pipe_is_not_moved_to_another_file_system(dav: Caller, folder: Path, tree: Path) -> None:
    os.mkfifo(tree / "pipe")

    assert ask(dav, "MOVE", "/tree", "/target").status == 207
    assert (tree / "pipe").exists()


def test_the_time_can_be_given_with_a_copy(dav: Caller, folder: Path, tree: Path) -> None:
    answer = ask(dav, "COPY", "/tree/a", "/x", x_oc_mtime="1500000000.5")

    assert answer.fields["x-oc-mtime"] == "accepted"
    assert (folder / "x").stat().st_mtime_ns == 1_500_000_000_500_000_000
    assert ask(dav, "COPY", "/tree/a", "/y", x_oc_mtime="soon").status == 400


def test_dead_properties_go_where_the_file_goes(dav: Caller, folder: Path, tree: Path) -> None:
    set_it = (
        b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><n:mood xmlns:n="urn:n">calm</n:mood></D:prop></D:set>'
        b"</D:propertyupdate>"
    )
    find_it = b'<D:propfind xmlns:D="DAV:"><D:prop><n:mood xmlns:n="urn:n"/></D:prop></D:propfind>'

    def mood(path: str) -> bool:
        return b"calm" in dav.ask("PROPFIND", path, find_it, depth="0").body

    for path in ("/tree", "/tree/sub/b"):
        assert dav.ask("PROPPATCH", path, set_it).status == 207
    ask(dav, "COPY", "/tree", "/copy")
    ask(dav, "MOVE", "/tree/sub/b", "/moved")

    assert mood("/copy/")
    assert mood("/copy/sub/b")
    assert mood("/moved")
    dav.put("/tree/sub/b")
    assert not mood("/tree/sub/b")


def denying(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The same call, but the kernel forbids one name."""

    def denies(path: Any, *args: Any, **named: Any) -> Any:
        if path == name:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return call(path, *args, **named)

    return denies


def test_what_is_moved_and_is_somebody_elses_keeps_its_time(
    dav: Caller, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "theirs").write_text("x")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("supercloud.dav.methods.os.utime", refuse)
    answer = ask(dav, "MOVE", "/theirs", "/hers", x_oc_mtime="1500000000")
    assert (answer.status, "x-oc-mtime" in answer.fields) == (201, False)
    assert (folder / "hers").read_text() == "x"
