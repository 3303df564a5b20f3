"""What a worker finds out about a forward's file, as whoever it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from supercloud.workers.forward_check import Checked, check


@pytest.mark.parametrize(("mode", "allowed"), [(0o700, True), (0o100, True), (0o600, False), (0o000, False)])
def test_it_is_the_kernel_that_allows(tmp_path: Path, mode: int, allowed: bool) -> None:
    file = tmp_path / "alice-tb"
    file.touch()
    file.chmod(mode)
    status = file.stat()
    assert check(str(tmp_path), "alice-tb") == Checked(
        status.st_dev, status.st_ino, status.st_ctime_ns, os.geteuid(), True, allowed
    )


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/bin/sh")])
def test_what_is_no_plain_file_is_not_allowed_and_not_followed(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "x")
    found = check(str(tmp_path), "x")
    assert found is not None
    assert (found.inode, found.regular, found.allowed) == ((tmp_path / "x").lstat().st_ino, False, False)


@pytest.mark.parametrize(
    ("folder", "name"), [("", "x"), ("/nonexistent", "x"), (".", "nonexistent"), ("/etc", "../etc/passwd"), ("/", "..")]
)
def test_nothing_is_there(folder: str, name: str) -> None:
    assert check(folder, name) is None


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    before = len(os.listdir("/proc/self/fd"))
    for name in ("x", "y"):
        check(str(tmp_path), name)
    assert len(os.listdir("/proc/self/fd")) == before
