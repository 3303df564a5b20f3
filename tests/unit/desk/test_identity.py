"""Which file a descriptor leads to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from supercloud.desk import identity
from supercloud.desk.identity import is_reading, is_writing, look, look_at, path_of

Open = Callable[..., int]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens; closes at the end."""
    with ExitStack() as held:

        def open_(path: Path, flags: int = os.O_RDONLY) -> int:
            descriptor = os.open(path, flags)
            held.callback(os.close, descriptor)
            return descriptor

        yield open_


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.touch(mode=0o640)
    return made


def test_a_file_is_the_same_by_each_of_its_ways(file: Path, tmp_path: Path, opened: Open) -> None:
    os.link(file, tmp_path / "link")
    (tmp_path / "symbolic").symlink_to("file")

    keys = {look(opened(file)).key, look(opened(file, os.O_PATH)).key, look(opened(tmp_path / "link", os.O_WRONLY)).key}

    assert keys == {look_at(str(file)).key} == {look_at(str(tmp_path / "symbolic")).key}


def test_it_is_told_as_stat_tells_it(file: Path, tmp_path: Path, opened: Open) -> None:
    seen, status = look(opened(file)), file.stat()

    assert (seen.key.device, seen.key.inode) == (status.st_dev, status.st_ino)
    assert (seen.mode, seen.uid, seen.gid, seen.links) == (status.st_mode, status.st_uid, status.st_gid, 1)
    assert seen.is_file and not seen.is_folder
    assert look(opened(tmp_path)).is_folder


def test_a_file_that_gets_the_inode_of_a_removed_one_is_another(tmp_path: Path, opened: Open) -> None:
    first = look_at(str(_made(tmp_path / "first"))).key
    for number in range(200):
        (tmp_path / "first").unlink(missing_ok=True)
        made = _made(tmp_path / f"file-{number}")
        key = look_at(str(made)).key
        if key.inode == first.inode:
            assert key != first
            return
    pytest.skip("this file system did not use an inode number again")


def _made(path: Path) -> Path:
    path.touch()
    return path


def test_without_a_time_of_birth_the_file_handle_tells(
    file: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    born = look_at(str(file)).key.born
    monkeypatch.setattr(identity, "_BIRTH", 0)
    by_handle = look_at(str(file)).key

    assert by_handle.born not in (0, born)
    assert look(opened(file)).key == by_handle


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        look_at(str(tmp_path / "nothing"))
    with pytest.raises(OSError, match="descriptor"):
        look(987654)


@pytest.mark.parametrize(
    ("flags", "reads", "writes"),
    [
        (os.O_RDONLY, True, False),
        (os.O_WRONLY, False, True),
        (os.O_RDWR, True, True),
        (os.O_PATH, False, False),
        (os.O_PATH | os.O_RDWR, False, False),
    ],
)
def test_how_it_was_opened_is_the_kernels_word(file: Path, opened: Open, flags: int, reads: bool, writes: bool) -> None:
    descriptor = opened(file, flags)

    assert (is_reading(descriptor), is_writing(descriptor)) == (reads, writes)


def test_the_path_has_no_link_in_it(file: Path, tmp_path: Path, opened: Open) -> None:
    (tmp_path / "symbolic").symlink_to(tmp_path, target_is_directory=True)
    descriptor = opened(tmp_path / "symbolic" / "file")

    assert path_of(descriptor, look(descriptor)) == os.path.realpath(file)


def test_a_path_of_a_mount_that_is_not_ours_is_not_believed(
    file: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "_mounts", lambda: frozenset({1}))
    descriptor = opened(file)

    assert path_of(descriptor, look(descriptor)) == ""
