"""The command line: an administrator's on a state folder like a portal's, a user's with a desk that the test plays."""

from __future__ import annotations

import json
import pwd
from collections.abc import Callable, Iterator
from dataclasses import replace
from os import geteuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from supercloud import cli, cli_acts
from supercloud.authn.lock_store import LockRow, SqliteLockStore
from supercloud.authn.store import SessionRow, SqliteStore
from supercloud.authn.token_store import SqliteTokenStore, TokenRow
from supercloud.cli import main
from supercloud.desk.client import DeskGone
from supercloud.desk.token_wire import CreateToken, Listed, RevokeToken, TokenCreated, TokensListed
from supercloud.desk.why_wire import AskWhy, WhyTold
from supercloud.desk.wire import Done, Message, Refusal
from supercloud.identity import Principal

LOGIN = pwd.getpwuid(geteuid()).pw_name
Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def syslogged(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Lines that were left in the system's log."""
    left: list[dict[str, Any]] = []
    monkeypatch.setattr(cli_acts.syslog, "syslog", lambda _priority, line: left.append(json.loads(line)))
    return left


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


def test_whoever_may_not_enter_the_folder_is_told_whose_it_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "exists", refuse)
    refused = run("tokens", LOGIN)
    assert refused.exit_code == 1
    assert "is for root and the portal's own account" in refused.output


TOKEN = TokenRow("one", b"1" * 32, geteuid(), LOGIN, "dav", "laptop", 900.0, 9e9, 950.0)


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[SqliteTokenStore]:
    opened = SqliteTokenStore(tmp_path / "tokens.sqlite")
    opened.open()
    for name in ("one", "two"):
        opened.add(replace(TOKEN, id=name, digest=name.encode()), 10)
    yield opened
    opened.close()


def test_an_administrator_lists_the_tokens_of_an_account(tokens: SqliteTokenStore, run: Run) -> None:
    shown = run("tokens", LOGIN).output.splitlines()
    assert shown[0] == ("one  dav  made 1970-01-01 00:15  used 1970-01-01 00:15  ends 2255-03-14 16:00 UTC  laptop")
    assert len(shown) == 2


def test_an_administrator_ends_all_tokens_of_an_account(tokens: SqliteTokenStore, run: Run) -> None:
    assert run("revoke-tokens", LOGIN).output == "revoked 2\n"
    assert run("tokens", LOGIN).output == f"{LOGIN} has no tokens\n"


def test_kick_leaves_tokens_alone_and_says_so(store: SqliteStore, tokens: SqliteTokenStore, run: Run) -> None:
    run("kick", LOGIN)
    assert tokens.living(["one", "two"]) == {"one", "two"}
    assert "revoke-tokens" in run("kick", "--help").output


def test_a_folder_without_tokens_is_said_so(run: Run) -> None:
    assert "holds no tokens" in run("tokens", LOGIN).output


def test_a_state_folder_that_is_not_there_is_said_so() -> None:
    refused = CliRunner().invoke(main, ["admin", "--state", "/nowhere", "tokens", LOGIN])
    assert refused.exit_code == 1
    assert "/nowhere" in refused.output


def test_root_becomes_the_folders_owner_before_it_opens_anything(
    tokens: SqliteTokenStore, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = Principal("front", 4711, 4711, frozenset())
    became: list[Principal] = []
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)
    monkeypatch.setattr(cli, "become", became.append)
    monkeypatch.setattr(cli, "read_account", lambda key: owner)
    monkeypatch.setattr(cli.Path, "stat", lambda self, **_: SimpleNamespace(st_uid=4711, st_mode=0))
    run("tokens", LOGIN)
    assert became == [owner]


def test_what_an_administrator_does_leaves_a_line_each(
    store: SqliteStore, tokens: SqliteTokenStore, run: Run, syslogged: list[dict[str, Any]]
) -> None:
    run("kick", LOGIN, "--session", "first")
    run("lock", LOGIN, "--reason", "left")
    run("unlock", LOGIN)
    run("revoke-tokens", LOGIN)
    for refused in (("kick", LOGIN, "--session", "none"), ("unlock", LOGIN), ("lock", "nobody-there")):
        assert run(*refused).exit_code == 1
    run("locks")
    assert [(line["act"], line["what"]) for line in syslogged] == [
        ("kicked", "sessions: first"),
        ("locked", "left"),
        ("unlocked", ""),
        ("tokens-revoked", "tokens: one, two"),
    ]
    for line in syslogged:
        assert (line["account"], line["by"], line["by_uid"], line["way"]) == (LOGIN, LOGIN, geteuid(), "command")


def test_they_are_in_the_portals_audit_where_it_has_a_file(
    store: SqliteStore, tmp_path: Path, syslogged: list[dict[str, Any]]
) -> None:
    audit, settings = tmp_path / "audit.jsonl", tmp_path / "portal.toml"
    settings.write_text(f'state = "{tmp_path}"\nrun = "{tmp_path}"\n[front]\naudit = "{audit}"\n')
    assert CliRunner().invoke(main, ["admin", "--config", str(settings), "kick", LOGIN]).exit_code == 0
    [line] = map(json.loads, audit.read_text().splitlines())
    assert (line["act"], line["what"]) == ("kicked", "sessions: first, second")
    assert syslogged == []


def test_where_no_line_can_be_left_that_is_said_and_the_deed_is_done(store: SqliteStore, tmp_path: Path) -> None:
    settings = tmp_path / "portal.toml"
    settings.write_text(f'state = "{tmp_path}"\nrun = "{tmp_path}"\n[front]\naudit = "{tmp_path}"\n')
    done = CliRunner().invoke(main, ["admin", "--config", str(settings), "kick", LOGIN])
    assert (done.exit_code, done.stdout) == (0, "ended 2\n")
    assert f"done, but no line of it is in {tmp_path}" in done.stderr


class FakeDesk:
    """Implements `desk.client.Desk`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.asked: list[Message] = []
        self.answer: Message | Exception = Done()

    def ask(self, request: Message, *answers: type[Message]) -> Message:
        self.asked.append(msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=type(request)))
        if isinstance(self.answer, Exception):
            raise self.answer
        assert isinstance(self.answer, answers)
        return self.answer

    def close(self) -> None:
        pass


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> FakeDesk:
    made = FakeDesk("")

    def connect(path: str) -> FakeDesk:
        made.path = path
        return made

    monkeypatch.setattr(cli, "Desk", connect)
    return made


def ask(*words: str) -> Result:
    return CliRunner().invoke(main, ["token", *words])


def test_a_token_alone_is_on_standard_output_so_that_a_script_can_take_it(desk: FakeDesk) -> None:
    desk.answer = TokenCreated("one", "dav", "scp_abc", 9e9)
    made = ask("create", "--for", "dav", "--expires", "12h", "--name", "laptop")
    assert made.exit_code == 0
    assert made.stdout == "scp_abc\n"
    assert "token one for dav, ends 2255-03-14 16:00 UTC" in made.stderr
    assert desk.asked == [CreateToken("dav", 43200.0, "laptop")]


def test_a_token_is_good_for_thirty_days_unless_told_otherwise(desk: FakeDesk) -> None:
    desk.answer = TokenCreated("one", "jobs", "scp_abc", 9e9)
    ask("create", "--for", "jobs")
    assert desk.asked == [CreateToken("jobs", 30 * 86400.0, "")]


def test_a_token_changes_nothing_unless_told_otherwise(desk: FakeDesk) -> None:
    desk.answer = TokenCreated("one", "read", "scp_abc", 9e9)
    ask("create")
    assert desk.asked == [CreateToken("read", 30 * 86400.0, "")]


def test_it_is_told_what_a_token_opens_when_it_is_made(desk: FakeDesk) -> None:
    desk.answer = TokenCreated("one", "jobs,forward:alice-tb", "scp_abc", 9e9)
    said = ask("create", "--for", "launch,forward:alice-tb").stderr
    assert "it lets a program start, watch and end jobs, as the commands at a workstation do (jobs)" in said
    assert "it lets a program use the application of the forward alice-tb (forward:alice-tb)" in said
    assert "token one for jobs,forward:alice-tb, ends" in said


def test_a_time_without_a_unit_is_refused_before_anybody_is_asked(desk: FakeDesk) -> None:
    refused = ask("create", "--for", "dav", "--expires", "30")
    assert refused.exit_code == 1
    assert "write a number with a unit" in refused.output
    assert desk.asked == []


def test_ones_tokens_are_listed(desk: FakeDesk) -> None:
    desk.answer = TokensListed((Listed("one", "dav", "laptop", 900.0, 9e9, 0.0),))
    assert ask("list").output == "one  dav  made 1970-01-01 00:15  used never  ends 2255-03-14 16:00 UTC  laptop\n"
    desk.answer = TokensListed((Listed("old", "launch", "", 900.0, 9e9, 0.0),))
    assert ask("list").output.startswith("old  jobs  made")
    desk.answer = TokensListed(())
    assert ask("list").output == "you have no tokens\n"


def test_a_token_is_revoked(desk: FakeDesk) -> None:
    assert ask("revoke", "one").output == "revoked\n"
    assert desk.asked == [RevokeToken("one")]


def test_a_refusal_says_why(desk: FakeDesk) -> None:
    desk.answer = Refusal("not-found", "alice has no token 'x'")
    refused = ask("revoke", "x")
    assert (refused.exit_code, refused.output) == (1, "Error: alice has no token 'x'\n")
    desk.answer = Refusal("busy")
    assert "the portal refuses: busy" in ask("list").output


def test_without_a_portal_it_is_said_where_it_was_looked_for(desk: FakeDesk) -> None:
    desk.answer = DeskGone("/x.sock: No such file or directory")
    refused = ask("--socket", "/x.sock", "list")
    assert refused.exit_code == 1
    assert "no portal answers at /x.sock" in refused.output
    assert desk.path == "/x.sock"


def test_ones_own_portal_is_asked_where_the_host_has_none(
    desk: FakeDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(cli, "_SOCKET", str(tmp_path / "none"))
    ask("revoke", "one")
    assert desk.path == str(tmp_path / "none")
    own = tmp_path / "supercloud" / "run" / "portal.sock"
    own.parent.mkdir(parents=True)
    own.touch()
    ask("revoke", "one")
    assert desk.path == str(own)


def test_a_lock_ends_the_sessions_and_is_listed_until_it_is_taken_back(store: SqliteStore, run: Run) -> None:
    assert run("lock", LOGIN, "--reason", "Call the desk.").output == f"{LOGIN} is locked\n"
    assert store.of_account(geteuid()) == []
    assert "Call the desk." in run("locks").output
    assert run("unlock", LOGIN).output == f"{LOGIN} is not locked any more\n"
    assert run("locks").output == "nobody is locked\n"
    refused = run("unlock", LOGIN)
    assert (refused.exit_code, refused.output) == (
        1,
        f"Error: {LOGIN} is not locked; see: supercloud admin locks\n",
    )


def test_an_account_that_is_gone_by_now_can_be_unlocked(store: SqliteStore, run: Run, tmp_path: Path) -> None:
    locks = SqliteLockStore(tmp_path / "locked.sqlite")
    locks.open()
    locks.lock(LockRow(4711, "gone", "", 950.0))
    assert run("unlock", "gone").exit_code == 0
    assert locks.all() == []
    locks.close()


@pytest.mark.parametrize("reason", ["x" * 201, "two\nlines"])
def test_a_reason_that_no_page_could_show_is_refused(store: SqliteStore, run: Run, reason: str) -> None:
    assert run("lock", LOGIN, "--reason", reason).exit_code == 1
    assert "holds no locks" in run("locks").output


def test_a_folder_that_is_no_portals_gets_no_lock(run: Run, tmp_path: Path) -> None:
    assert "holds no sessions" in run("lock", LOGIN).output
    assert list(tmp_path.iterdir()) == []


def test_everybodys_sessions_are_listed_with_their_names(store: SqliteStore, run: Run) -> None:
    lines = run("sessions").output.splitlines()
    assert [line.split()[:2] for line in lines] == [[LOGIN, "first"], [LOGIN, "second"]]
    run("kick", LOGIN)
    assert run("sessions").output == "nobody is signed in\n"


@pytest.fixture
def asked_why(desk: FakeDesk, store: SqliteStore) -> FakeDesk:
    return desk


def test_why_prints_one_aligned_line_a_stage_and_the_verdict(asked_why: FakeDesk, run: Run, tmp_path: Path) -> None:
    asked_why.answer = WhyTold((("node", "node1 is allowed"), ("listener", "pid 7")), "")
    shown = run("why", "alice", "https://portal.test/")
    assert (shown.exit_code, shown.output) == (0, "node      node1 is allowed\nlistener  pid 7\nallowed\n")
    assert asked_why.asked == [AskWhy("alice", "https://portal.test/")]
    assert asked_why.path == str(tmp_path / "run" / "portal.sock")


def test_why_ends_with_one_when_it_would_be_refused(asked_why: FakeDesk, run: Run) -> None:
    asked_why.answer = WhyTold((("account", "refused: bob is locked"),), "403 bob is locked")
    shown = run("why", "bob", "https://portal.test/")
    assert (shown.exit_code, shown.output.splitlines()[-1]) == (1, "refused: 403 bob is locked")
