"""Files that nobody else may read."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import pytest

from supercloud.authn.private import Exposed, open_private


def _open(path: Path, owner: int | None = None) -> None:
    os.close(open_private(path, os.O_RDONLY, owner=owner))


def test_what_it_makes_only_its_owner_can_read_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        os.close(open_private(tmp_path / "made", os.O_WRONLY | os.O_CREAT))
    finally:
        os.umask(before)
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").touch(0o600)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OSError, match="symbolic links"):
        _open(tmp_path / "link")


def test_a_fifo_is_refused_and_stalls_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(Exposed, match="not a regular file"):
        _open(tmp_path / "fifo")


@pytest.mark.parametrize("mode", [0o601, 0o620, 0o640, 0o666])
def test_a_file_that_others_have_rights_to_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(mode)
    with pytest.raises(Exposed, match=f"mode {mode & 0o077:03o}"):
        _open(tmp_path / "file")


def test_a_file_of_somebody_else_is_refused_unless_the_portal_will_run_as_them(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(0o600)
    status = os.stat_result((0o100600, 0, 0, 1, 12345, 0, 0, 0, 0, 0))
    with mock.patch("os.fstat", return_value=status):
        with pytest.raises(Exposed, match="uid 12345"):
            _open(path)
        _open(path, owner=12345)
