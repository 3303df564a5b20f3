"""What a worker says of itself."""

from __future__ import annotations

import logging
import os
import sys
import syslog

import pytest

from supercloud.workers import log
from supercloud.workers.log import SystemLog
from tests.unit.workers.test_become import in_child


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, text: found.append((priority, text)))
    return found


def test_each_line_is_a_message(said: list[tuple[int, str]]) -> None:
    print("one\n\ntwo", file=SystemLog())
    assert said == [(syslog.LOG_ERR, "one"), (syslog.LOG_ERR, "two")]


def test_a_line_cannot_be_forged_nor_steer_a_terminal(said: list[tuple[int, str]]) -> None:
    SystemLog().write("a name\r\x1b[2Jü\0\ud800")
    assert said == [(syslog.LOG_ERR, "a name"), (syslog.LOG_ERR, "\\x1b[2J\\xfc\\x00\\ud800")]


def test_what_libraries_log_goes_there_too(said: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", SystemLog())
    logging.lastResort.handle(logging.makeLogRecord({"msg": "from a library", "levelno": logging.ERROR}))  # type: ignore[union-attr]
    assert said == [(syslog.LOG_ERR, "from a library")]


def test_standard_error_leads_nowhere_any_more() -> None:
    def task() -> str:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        log.leave_standard_error()
        return f"{os.readlink('/proc/self/fd/2')} {type(sys.stderr).__name__}"

    assert in_child(task) == "/dev/null SystemLog"
