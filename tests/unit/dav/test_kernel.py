"""What Python's os does not offer."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supercloud.dav import kernel
from supercloud.dav.kernel import close_read, exchange, is_kernels, is_within, keeps_order, magic, rename_new, reserve


@pytest.fixture
def handle(folder: Path) -> Iterator[int]:
    """An O_PATH descriptor of a folder with the files a and b."""
    for name in "ab":
        (folder / name).write_text(name)
    opened = os.open(folder, os.O_PATH)
    yield opened
    os.close(opened)


def unsupported(*_: Any) -> None:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def test_two_names_are_exchanged_at_once(folder: Path, handle: int) -> None:
    exchange(handle, "a", handle, "b")

    assert ((folder / "a").read_text(), (folder / "b").read_text()) == ("b", "a")
    with pytest.raises(FileNotFoundError):
        exchange(handle, "a", handle, "c")


@pytest.mark.parametrize("is_old", [False, True])
def test_a_new_name_is_given_and_an_old_one_never_taken(
    folder: Path, handle: int, is_old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_old:
        monkeypatch.setattr(kernel, "_renameat2", unsupported)

    rename_new(handle, "a", handle, "c")
    assert (folder / "c").read_text() == "a"
    with pytest.raises(FileExistsError):
        rename_new(handle, "c", handle, "b")
    assert (folder / "b").read_text() == "b"


def test_other_failures_of_a_rename_are_told(handle: int) -> None:
    with pytest.raises(FileNotFoundError):
        rename_new(handle, "nothing", handle, "c")


def test_room_is_taken_without_a_change_of_size(folder: Path) -> None:
    with (folder / "file").open("wb") as file:
        reserve(file.fileno(), 100_000)
        assert os.fstat(file.fileno()).st_size == 0
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            reserve(file.fileno(), 2**62)


def test_a_pipe_has_no_room_to_take() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError):
            reserve(writing, 1)
    finally:
        os.close(reading)
        os.close(writing)


def test_file_systems_of_the_kernels_own_are_told() -> None:
    proc = os.open("/proc/self", os.O_PATH)
    root = os.open("/", os.O_PATH)
    try:
        assert magic(proc) in kernel.KERNEL_MAGIC
        assert magic(root) not in kernel.KERNEL_MAGIC
        assert not keeps_order(proc)
    finally:
        close_read(proc)
        close_read(root)
    with pytest.raises(OSError, match="descriptor"):
        magic(987654)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/proc", True),
        ("/proc/1/mem", True),
        ("/process", False),
        ("/dev/shm", True),
        ("/home/dev", False),
        ("/", False),
    ],
)
def test_the_kernels_folders_are_known_by_their_names(path: str, expected: bool) -> None:
    assert is_kernels(path) is expected


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [("/a/b", "/a", True), ("/a", "/a", True), ("/ab", "/a", False), ("/a", "/", True), ("/", "/a", False)],
)
def test_within_counts_whole_names(path: str, folder: str, expected: bool) -> None:
    assert is_within(path, folder) is expected
