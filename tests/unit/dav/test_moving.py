"""MOVE within one file system and across two, as far as no other account is needed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supercloud.dav import copying, moving
from supercloud.dav.moving import move
from supercloud.dav.removing import Failure
from supercloud.dav.tree import NotServed, Tree

Move = Callable[[str, str], list[Failure]]


@pytest.fixture
def carried() -> list[tuple[int, int]]:
    """How often a copy was given what its source is besides its bytes."""
    return []


@pytest.fixture
def move_(folder: Path, home: Path, carried: list[tuple[int, int]]) -> Move:
    tree = Tree({"/": str(folder)}, str(home))

    def call(source: str, target: str) -> list[Failure]:
        with tree.landing(tree.locate(source)) as one, tree.landing(tree.locate(target)) as other:
            return move(one, other, tree.kernel_devices, lambda *pair: carried.append(pair))

    return call


@pytest.fixture
def across(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rename from the folder "here" is possible, as to another file system."""

    def refusing(real: Any) -> Any:
        def call(from_folder: int, from_name: str, to_folder: int, to_name: str) -> None:
            if os.readlink(f"/proc/self/fd/{from_folder}").endswith("/here"):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            real(from_folder, from_name, to_folder, to_name)

        return call

    for module, name in ((moving, "rename_new"), (copying, "exchange")):
        monkeypatch.setattr(module, name, refusing(getattr(module, name)))


@pytest.fixture
def here(folder: Path) -> Path:
    for name in ("here", "there"):
        (folder / name).mkdir()
    return folder / "here"


@pytest.mark.usefixtures("across")
def test_a_file_is_copied_with_all_it_is_and_removed(move_: Move, here: Path, carried: list[tuple[int, int]]) -> None:
    (here / "file").write_bytes(b"content")
    os.utime(here / "file", (1_500_000_000,) * 2)

    assert move_("/here/file", "/there/file") == []

    moved = here.parent / "there" / "file"
    assert (moved.read_bytes(), moved.stat().st_mtime) == (b"content", 1_500_000_000)
    assert not (here / "file").exists()
    assert len(carried) == 1


@pytest.mark.usefixtures("across")
def test_a_link_stays_a_link(move_: Move, here: Path) -> None:
    (here / "link").symlink_to("nowhere")

    assert move_("/here/link", "/there/link") == []
    assert (here.parent / "there" / "link").readlink() == Path("nowhere")


@pytest.mark.usefixtures("across")
def test_a_tree_goes_whole(move_: Move, here: Path, carried: list[tuple[int, int]]) -> None:
    (here / "tree" / "sub").mkdir(parents=True)
    (here / "tree" / "sub" / "file").touch()

    assert move_("/here/tree", "/there/tree") == []
    assert (here.parent / "there" / "tree" / "sub" / "file").exists()
    assert not (here / "tree").exists()
    assert len(carried) == 3


@pytest.mark.usefixtures("across")
def test_a_tree_of_which_something_cannot_be_copied_stays(move_: Move, here: Path) -> None:
    (here / "tree").mkdir()
    (here / "tree" / "file").touch()
    os.mkfifo(here / "tree" / "pipe")

    [(path, _error)] = move_("/here/tree", "/there/tree")

    assert path == "/pipe"
    assert sorted(os.listdir(here / "tree")) == ["file", "pipe"]


@pytest.mark.usefixtures("across")
def test_a_fifo_is_not_moved_away(move_: Move, here: Path) -> None:
    os.mkfifo(here / "pipe")

    with pytest.raises((NotServed, OSError)):
        move_("/here/pipe", "/there/pipe")
    assert (here / "pipe").exists()
    assert os.listdir(here.parent / "there") == []


@pytest.mark.usefixtures("across")
def test_a_failure_leaves_no_part_behind(move_: Move, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (here / "file").touch()
    monkeypatch.setattr("supercloud.dav.moving.put", fail)

    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        move_("/here/file", "/there/file")
    assert os.listdir(here.parent / "there") == []
    assert (here / "file").exists()


def test_in_a_folder_that_hands_its_group_on_folders_do_so_too(move_: Move, here: Path) -> None:
    there = here.parent / "there"
    there.chmod(0o2775)
    (here / "tree" / "sub").mkdir(parents=True)
    (here / "tree" / "file").touch()

    move_("/here/tree", "/there/tree")

    assert all(made.stat().st_mode & stat.S_ISGID for made in (there / "tree", there / "tree" / "sub"))


def test_a_group_that_cannot_be_given_is_no_failure(move_: Move, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    (here.parent / "there").chmod(0o2775)
    (here / "tree").mkdir()
    monkeypatch.setattr(os, "fchmod", denied)

    assert move_("/here/tree", "/there/tree") == []
    assert (here.parent / "there" / "tree").exists()


def test_of_two_names_of_one_file_the_old_one_goes(move_: Move, here: Path) -> None:
    (here / "file").write_bytes(b"content")
    os.link(here / "file", here.parent / "there" / "file")

    assert move_("/here/file", "/there/file") == []
    assert not (here / "file").exists()
    assert (here.parent / "there" / "file").read_bytes() == b"content"


def test_nothing_is_there_to_be_moved(move_: Move, here: Path) -> None:
    with pytest.raises(FileNotFoundError):
        move_("/here/nothing", "/there/nothing")
