"""The administrator's command line, on a state folder like a portal's."""

from __future__ import annotations

import pwd
from collections.abc import Callable
from os import geteuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from supercloud.authn.store import SessionRow, SqliteStore
from supercloud.cli import main

LOGIN = pwd.getpwuid(geteuid()).pw_name
Run = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    opened = SqliteStore(tmp_path / "sessions.sqlite", now=lambda: 1000.0)
    opened.open()
    for name in ("first", "second"):
        opened.add(SessionRow(name, geteuid(), LOGIN, "link", "127.0.0.1", 900.0, 9e9, 950.0), 10)
    return opened


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda *words: CliRunner().invoke(main, ["admin", "--state", str(tmp_path), *words])


def test_sessions_are_listed_with_their_scheme_and_address(store: SqliteStore, run: Run) -> None:
    shown = run("sessions", LOGIN)
    assert shown.exit_code == 0
    assert "first  link  from 127.0.0.1  last used 1970-01-01 00:15" in shown.output


def test_kick_ends_all_sessions_of_an_account(store: SqliteStore, run: Run) -> None:
    assert run("kick", LOGIN).output == "ended 2\n"
    assert store.of_account(geteuid()) == []
    assert run("sessions", LOGIN).output == f"{LOGIN} is not signed in\n"


def test_kick_can_end_one_session(store: SqliteStore, run: Run) -> None:
    assert run("kick", LOGIN, "--session", "first").exit_code == 0
    assert [row.id for row in store.of_account(geteuid())] == ["second"]


def test_a_session_of_somebody_else_is_not_ended(store: SqliteStore, run: Run) -> None:
    refused = run("kick", LOGIN, "--session", "third")
    assert refused.exit_code == 1
    assert "has no session 'third'; see: supercloud admin sessions" in refused.output


def test_an_account_that_does_not_exist_is_said_so(store: SqliteStore, run: Run) -> None:
    assert "no account 'nobody-there'" in run("sessions", "nobody-there").output


def test_a_folder_without_sessions_is_said_so(run: Run) -> None:
    refused = run("sessions", LOGIN)
    assert refused.exit_code == 1
    assert "holds no sessions; name the portal's settings by --config" in refused.output
