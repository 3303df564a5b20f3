"""The file of audit lines."""

from __future__ import annotations

import gc
import os
from pathlib import Path

from twisted.logger import LogEvent, formatEvent

from supercloud.front.audit import AuditFile
from tests.fakes.offload import FakeOffload


def test_lines_are_appended_in_order(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit.log", FakeOffload())
    file.write(b"1\n2\n")
    file.write(b"3\n")
    assert (tmp_path / "audit.log").read_bytes() == b"1\n2\n3\n"


def test_what_was_in_the_file_stays(tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_bytes(b"0\n")
    AuditFile(tmp_path / "audit.log", FakeOffload()).write(b"1\n")
    assert (tmp_path / "audit.log").read_bytes() == b"0\n1\n"


def test_nobody_else_may_read_a_new_file(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        AuditFile(tmp_path / "audit.log", FakeOffload()).write(b"1\n")
    finally:
        os.umask(before)
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_rotated_away_is_made_anew(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit.log", FakeOffload())
    file.write(b"1\n")
    (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
    file.write(b"2\n")
    assert (tmp_path / "audit.log").read_bytes() == b"2\n"
    assert (tmp_path / "audit.log.1").read_bytes() == b"1\n"


def test_a_file_that_cannot_be_written_is_told_to_the_log(tmp_path: Path, logged: list[LogEvent]) -> None:
    AuditFile(tmp_path / "none" / "audit.log", FakeOffload()).write(b"1\n")
    assert formatEvent(logged[-1]) == f"while writing {tmp_path}/none/audit.log"


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit.log", FakeOffload())
    file.write(b"1\n")
    gc.collect()  # what earlier tests left must not be closed between the two looks
    before = len(os.listdir("/proc/self/fd"))
    file.write(b"2\n")
    assert len(os.listdir("/proc/self/fd")) == before
