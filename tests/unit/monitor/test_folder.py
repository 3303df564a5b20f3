from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from supercloud.monitor.breach import Breach
from supercloud.monitor.folder import Folder
from supercloud.monitor.wire import VERSION, Task


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task(VERSION, os.geteuid(), os.geteuid(), 1000, "", str(tmp_path), "/x", {})


@pytest.fixture
def folder(task: Task) -> Iterator[Folder]:
    made = Folder(task)
    yield made
    made.close()


def test_only_its_owner_enters_it(folder: Folder, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "workers").stat().st_mode) == 0o700


def test_a_socket_is_bound_closed_to_others_and_without_a_listener(folder: Folder, tmp_path: Path) -> None:
    name, made = folder.bind(1001, 3)
    assert folder.full(name) == str(tmp_path / "workers" / "1001-3.sock")
    assert stat.S_IMODE(os.stat(folder.full(name)).st_mode) == 0o600
    with made, socket.socket(socket.AF_UNIX) as connecting:
        with pytest.raises(ConnectionRefusedError):
            connecting.connect(folder.full(name))
        made.listen()
        connecting.connect(folder.full(name))
    folder.remove(name)
    folder.remove(name)
    assert os.listdir(tmp_path / "workers") == []


def test_sockets_are_made_in_the_folder_that_was_checked(folder: Folder, tmp_path: Path) -> None:
    """Whoever owns ``run`` may put another folder in its place."""
    (tmp_path / "workers").rename(tmp_path / "moved")
    (tmp_path / "workers").mkdir()
    _, made = folder.bind(1001, 1)
    made.close()
    assert os.listdir(tmp_path / "moved") == ["1001-1.sock"]
    assert os.listdir(tmp_path / "workers") == []


def test_a_name_that_is_taken_is_no_socket_of_ours(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "workers" / "1001-1.sock").touch()
    with pytest.raises(OSError):
        folder.bind(1001, 1)


def test_what_an_earlier_run_left_is_removed_and_nothing_else(folder: Folder, task: Task, tmp_path: Path) -> None:
    for name in ("1001-1.sock", "x1001-1.sock", "1001-1.sock.old", "README"):
        (tmp_path / "workers" / name).touch()
    Folder(task).close()
    assert sorted(os.listdir(tmp_path / "workers")) == ["1001-1.sock.old", "README", "x1001-1.sock"]


def test_a_folder_that_is_a_link_is_not_taken(task: Task, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "workers").symlink_to("elsewhere")
    with pytest.raises(OSError):
        Folder(task)


def test_a_folder_of_somebody_else_is_not_taken(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "workers").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(Breach):
        Folder(task)


def test_a_path_that_is_too_long_is_refused_before_anything_is_made(task: Task, tmp_path: Path) -> None:
    run = tmp_path / ("x" * 120)
    run.mkdir()
    folder = Folder(msgspec.structs.replace(task, run=str(run)))
    with pytest.raises(ValueError):
        folder.bind(1001, 1)
    assert os.listdir(run / "workers") == []
    folder.close()
