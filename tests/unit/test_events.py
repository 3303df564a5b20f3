"""Audit lines, and what the log is told."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure

from supercloud import events
from supercloud.events import FLUSH_AFTER, Audit, AuditLine
from tests.fakes.portal import OK, FakePortal, get

KEYS = [
    "time",
    "id",
    "principal",
    "claimed",
    "credential",
    "address",
    "method",
    "origin",
    "path",
    "target",
    "verdict",
    "rule",
    "pid",
    "uid",
    "gid",
    "age",
    "status",
    "up",
    "down",
    "seconds",
    "outcome",
    "reason",
]


class Written:
    """An audit whose writes are kept one by one."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.writes: list[bytes] = []
        self.audit = Audit(self.clock, self.writes.append)


@pytest.fixture
def written() -> Written:
    return Written()


def test_an_audit_line_is_one_whole_line_of_json_with_every_key(written: Written) -> None:
    written.audit.add(AuditLine(0.0, "x-1", reason='two\nlines, "quoted", \u2028 and ä'))
    written.audit.flush()
    [data] = written.writes
    assert data.count(b"\n") == 1
    assert data.endswith(b"\n")
    line = json.loads(data)
    assert list(line) == KEYS
    assert line["reason"] == 'two\nlines, "quoted", \u2028 and ä'


def test_the_time_is_rfc_3339_in_utc(written: Written) -> None:
    written.audit.add(AuditLine(datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), "x-1"))
    written.audit.flush()
    assert json.loads(written.writes[0])["time"] == "2026-01-02T03:04:05.678901Z"


def test_lines_are_written_in_batches_and_in_order(written: Written) -> None:
    for number in range(3):
        written.audit.add(AuditLine(0.0, f"x-{number}"))
    written.clock.advance(FLUSH_AFTER / 2)
    assert written.writes == []
    written.clock.advance(0.01)
    [data] = written.writes
    assert [json.loads(line)["id"] for line in data.splitlines()] == ["x-0", "x-1", "x-2"]


def test_a_batch_follows_a_batch(written: Written) -> None:
    for number in range(2):
        written.audit.add(AuditLine(0.0, f"x-{number}"))
        written.clock.advance(FLUSH_AFTER)
    assert len(written.writes) == 2


def test_a_flush_at_the_end_writes_everything_and_leaves_no_timer(written: Written) -> None:
    written.audit.add(AuditLine(0.0, "x-1"))
    written.audit.flush()
    assert len(written.writes) == 1
    assert written.clock.getDelayedCalls() == []


def test_where_nothing_was_collected_nothing_is_written(written: Written) -> None:
    written.audit.flush()
    assert written.writes == []


def test_secrets_in_a_query_are_in_no_audit_line() -> None:
    portal = FakePortal()
    browser = portal.browser()
    browser.send(get(portal, b"/tree?token=hunter2&x=1"))
    portal.dialer[0].send(OK)
    browser.send(b"GET /login?link=hunter2 HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    lines = portal.lines()
    assert [line["path"] for line in lines][:1] == ["/tree"]
    assert "hunter2" not in json.dumps(lines)


def test_nobody_fills_the_disk_with_long_paths() -> None:
    portal = FakePortal()
    portal.browser().send(b"GET /" + b"x" * 50_000 + b" HTTP/1.1\r\nHost: portal.test\r\n\r\n")
    [line] = portal.lines()
    assert len(json.dumps(line)) < 5000


def test_secrets_in_fields_and_bodies_are_in_no_audit_line() -> None:
    portal = FakePortal()
    browser = portal.browser()
    browser.send(get(portal, b"/", b"Authorization: Bearer hunter2\r\nReferer: https://x/?hunter2\r\n"))
    portal.dialer[0].send(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=hunter2\r\nContent-Length: 7\r\n\r\nhunter2")
    assert "hunter2" not in json.dumps(portal.lines())


def test_no_two_exchanges_have_one_name() -> None:
    made = [AuditLine().name for _ in range(100)]
    assert len(set(made)) == 100
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", one) for one in made)


def test_audit_lines_without_a_file_go_to_the_log(logged: list[LogEvent]) -> None:
    events.audited(b'{"id":"{x}"}\n')
    assert formatEvent(logged[-1]) == '{"id":"{x}"}'


@pytest.mark.parametrize(
    ("tell", "arguments", "level", "text"),
    [
        (events.listening, ("10.0.0.1 port 443",), LogLevel.info, "listens at 10.0.0.1 port 443"),
        (events.runs_as, ("supercloud",), LogLevel.info, "runs as supercloud"),
        (events.warned, ("disk {full}",), LogLevel.warn, "disk {full}"),
        (
            events.login_failed,
            ("link", "192.0.2.7", "link refused"),
            LogLevel.warn,
            "sign-in by link from 192.0.2.7 failed: link refused",
        ),
        (events.signed_in, ("link", "alice", "192.0.2.7"), LogLevel.info, "alice signed in by link from 192.0.2.7"),
        (events.reloaded, ("the map",), LogLevel.info, "read again: the map"),
        (events.reload_failed, ("no key",), LogLevel.error, "not read again, going on as before: no key"),
        (events.stopping, (3, 10.0), LogLevel.info, "stops: 3 connections, at most 10 s"),
    ],
)
def test_an_event_is_a_sentence_of_its_level(
    logged: list[LogEvent], tell: Any, arguments: tuple[object, ...], level: object, text: str
) -> None:
    tell(*arguments)
    assert (logged[-1]["log_level"], formatEvent(logged[-1])) == (level, text)


def test_a_deferred_that_nobody_waits_for_has_its_failure_logged(logged: list[LogEvent]) -> None:
    waiting: Deferred[None] = Deferred()
    events.watch(waiting, "writing a file")
    waiting.errback(Failure(OSError("disk full")))
    assert formatEvent(logged[-1]) == "while writing a file"
    assert logged[-1]["log_failure"].check(OSError)


def test_the_exception_that_is_being_handled_is_logged_with_its_traceback(logged: list[LogEvent]) -> None:
    try:
        raise ValueError("x")
    except ValueError:
        events.unexpected("serving")
    assert logged[-1]["log_failure"].check(ValueError)
    assert logged[-1]["log_level"] is LogLevel.critical
