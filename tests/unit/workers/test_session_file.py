"""How a job announces itself, and what is not believed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from supercloud.workers.session_file import FOLDER, MOST, read_session
from supercloud.workers.session_told import Told

SAID = {"node": "node1", "port": 8888, "path": "/lab", "token": "abc", "forward": "alice-lab"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    return folder / "42.json"


def write(file: Path, said: Any = SAID, mode: int = 0o600) -> None:
    file.write_text(said if isinstance(said, str) else json.dumps(said))
    file.chmod(mode)


def read(file: Path, job: str = "42") -> Told | None:
    return read_session(str(file.parents[4]), job)


def test_a_jobs_file_tells_where_it_listens(file: Path) -> None:
    write(file)
    assert read(file) == Told("node1", 8888, "/lab", "token abc")


def test_path_and_token_may_be_left_out(file: Path) -> None:
    write(file, {"node": "node1", "port": 8888})
    assert read(file) == Told("node1", 8888, "/", "")


@pytest.mark.parametrize(
    "said",
    ["", "{", "[]", "null", json.dumps({"node": "node1"}), json.dumps(SAID | {"token": "a\r\nX-Evil: 1"}),
     json.dumps(SAID | {"port": 22}), json.dumps(SAID | {"path": "//evil.test"}), json.dumps(SAID | {"token": 1})],
)  # fmt: skip
def test_what_cannot_be_read_tells_nothing(file: Path, said: str) -> None:
    write(file, said)
    assert read(file) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_what_others_may_read_or_write_tells_nothing(file: Path, mode: int) -> None:
    write(file, mode=mode)
    assert read(file) is None


def test_a_link_leads_nowhere(file: Path, tmp_path: Path) -> None:
    write(tmp_path / "other")
    file.symlink_to(tmp_path / "other")
    assert read(file) is None


def test_a_fifo_keeps_nobody_waiting(file: Path) -> None:
    os.mkfifo(file, 0o600)
    assert read(file) is None


def test_a_folder_is_no_file(file: Path) -> None:
    file.mkdir(0o700)
    assert read(file) is None


@pytest.mark.parametrize(("length", "is_told"), [(MOST, True), (MOST + 1, False)])
def test_a_file_has_its_limit(file: Path, length: int, is_told: bool) -> None:
    said = json.dumps(SAID)
    write(file, said + " " * (length - len(said)))
    assert (read(file) is not None) is is_told


@pytest.mark.parametrize("job", ["../42", "43", "", "42.json", "./42"])
def test_no_other_file_is_read(file: Path, job: str) -> None:
    write(file)
    assert read(file, job) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_somebody_elses_file_tells_nothing(file: Path) -> None:
    write(file)
    os.chown(file, 1002, -1)
    assert read(file) is None
