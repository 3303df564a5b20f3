"""What applications say of themselves, in files that anybody of the account may have written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from supercloud.applications.announcement import MOST_BYTES, jupyter_servers, read_announcement


def write(file: Path, **more: Any) -> Path:
    file.touch(0o600)
    file.write_text(json.dumps({"node": "node1", "port": 12001, "path": "/lab", "token": "abc", **more}))
    return file


def test_a_proper_one(tmp_path: Path) -> None:
    told = read_announcement(write(tmp_path / "7.json", forward="alice-lab"))
    assert told is not None
    assert (told.node, told.port, told.path, told.token, told.forward) == ("node1", 12001, "/lab", "abc", "alice-lab")
    assert told.written == pytest.approx((tmp_path / "7.json").stat().st_mtime)


@pytest.mark.parametrize(
    "wrong",
    [
        {"node": "node1/../x"}, {"node": "a\nb"}, {"node": ""}, {"node": "-x"}, {"port": 80}, {"port": 70000},
        {"port": "12001"}, {"path": "//evil.example"}, {"path": "/\\evil"}, {"path": "lab"}, {"path": "/a b"},
        {"path": "/a\r\nSet-Cookie: x"}, {"path": "/" + "a" * 2000}, {"token": "a\r\nb"}, {"token": "a b"},
        {"token": "x" * 513}, {"token": 5}, {"forward": "../x"}, {"node": "node1\n"}, {"token": "abc\n"},
    ],
)  # fmt: skip
def test_what_is_not_proper_is_nothing(tmp_path: Path, wrong: dict[str, Any]) -> None:
    assert read_announcement(write(tmp_path / "7.json", **wrong)) is None


def test_what_is_no_plain_file_is_nothing_and_stalls_nobody(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(write(tmp_path / "7.json"))
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "big").write_text(" " * (MOST_BYTES + 1))
    (tmp_path / "text").write_text("not json")
    for name in ("link", "fifo", "folder", "big", "text", "missing"):
        assert read_announcement(tmp_path / name) is None


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o604])
def test_what_others_may_read_or_write_is_nothing(tmp_path: Path, mode: int) -> None:
    file = write(tmp_path / "7.json")
    file.chmod(mode)
    assert read_announcement(file) is None


def test_servers_that_jupyter_wrote_down(tmp_path: Path) -> None:
    told = {
        "url": "http://node2:8899/base/",
        "port": 8899,
        "pid": 42,
        "base_url": "/base/",
        "token": "t",
        "hostname": "x",
    }
    (tmp_path / "jpserver-42.json").write_text(json.dumps(told))
    (tmp_path / "jpserver-43.json").write_text(json.dumps({**told, "url": "http://[bad/", "pid": 43}))
    (tmp_path / "jpserver-44.json").write_text(json.dumps({**told, "port": 22, "pid": 44}))
    (tmp_path / "other.json").write_text(json.dumps(told))
    for file in tmp_path.iterdir():
        file.chmod(0o600)
    [(pid, place)] = list(jupyter_servers(tmp_path))
    assert (pid, place.node, place.port, place.path, place.token) == (42, "node2", 8899, "/base/", "t")
    assert list(jupyter_servers(tmp_path / "missing")) == []
