from __future__ import annotations

import pwd
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from supercloud.monitor.accounts import may_sign_in, read_state
from supercloud.monitor.shadow import Shadow, is_locked, read_shadow
from supercloud.monitor.wire import VERSION, AccountState, Task

TASK = Task(VERSION, 990, None, 1000, "", "/run/x", "/run/x/portal.sock", {})
TODAY = (datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
OPEN = Shadow(is_locked=False, expires=None)


class Database:
    """Accounts by name: alice; nick, who has alice's uid; Bob, whom the directory finds as "bob" too."""

    uids = {"root": 0, "daemon": 1, "alice": 1001, "nick": 1001, "Bob": 1002}
    passwords = {"alice": "x"}
    shells: dict[str, str] = {}

    def entry(self, name: str) -> pwd.struct_passwd:
        password = self.passwords.get(name, "x")
        return pwd.struct_passwd(
            (name, password, self.uids[name], self.uids[name], "", "/", self.shells.get(name, "/bin/sh"))
        )

    def getpwnam(self, name: str) -> pwd.struct_passwd:
        return self.entry("Bob" if name == "bob" else name)

    def getpwuid(self, uid: int) -> pwd.struct_passwd:
        for name, number in self.uids.items():
            if number == uid:
                return self.entry(name)
        raise KeyError(uid)


class SaysPam:
    def __init__(self, state: AccountState) -> None:
        self.state: AccountState = state
        self.asked: list[str] = []

    def account(self, login: str) -> AccountState:
        self.asked.append(login)
        return self.state


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    made = Database()
    monkeypatch.setattr(pwd, "getpwnam", made.getpwnam)
    monkeypatch.setattr(pwd, "getpwuid", made.getpwuid)
    return made


def state(uid: int, login: str | None = None, shadow: Shadow | None = OPEN, **fields: object) -> AccountState:
    fields = {"pam": None, "nologin": (), **fields}
    return read_state(TASK, uid, login, shadow=lambda _: shadow, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("uid", "login", "expected"),
    [
        (1001, "alice", "good"),
        (1001, None, "good"),
        (0, "root", "root"),
        (0, None, "root"),
        (1, "daemon", "below-minimum"),
        (999, "nobody-is", "below-minimum"),
        (1000, None, "unknown"),
        (1001, "bob", "renamed"),
        (1001, "nick", "renamed"),
        (1002, "bob", "renamed"),
        (1002, "Bob", "good"),
    ],
)
def test_who_somebody_is(uid: int, login: str | None, expected: str) -> None:
    assert state(uid, login) == expected


def test_a_uid_whose_name_leads_to_another_uid_is_renamed(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    monkeypatch.setattr(pwd, "getpwnam", lambda _: database.entry("Bob"))
    assert state(1001) == "renamed"


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("!$6$salt$hash", True),
        ("!!$6$salt$hash", True),
        ("!*", True),
        ("!", False),
        ("!!", False),
        ("*", False),
        ("", False),
        ("x", False),
        ("$6$salt$hash", False),
    ],
)
def test_an_account_without_a_password_is_not_a_locked_one(password: str, expected: bool) -> None:
    assert is_locked(password) is expected


def test_locked_and_expired() -> None:
    assert state(1001, shadow=Shadow(is_locked=True, expires=None)) == "locked"
    assert state(1001, shadow=Shadow(is_locked=False, expires=0)) == "expired"
    assert state(1001, shadow=Shadow(is_locked=False, expires=TODAY)) == "expired"
    assert state(1001, shadow=Shadow(is_locked=False, expires=TODAY + 2)) == "good"


def test_without_a_shadow_entry_the_password_field_counts(database: Database) -> None:
    assert state(1001, shadow=None) == "good"
    database.passwords = {"alice": "!$6$salt$hash"}
    assert state(1001, shadow=None) == "locked"


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/bin/false", "/opt/unlisted"])
def test_an_account_without_a_shell_is_not_let_in(database: Database, tmp_path: Path, shell: str) -> None:
    listed = tmp_path / "shells"
    listed.write_text("/bin/sh\n/usr/sbin/nologin\n")
    database.shells = {"alice": shell}
    pam = SaysPam("good")
    assert state(1001, pam=pam, listed_in=str(listed)) == "no-shell"
    assert pam.asked == []
    assert state(1001, shadow=Shadow(is_locked=True, expires=None), listed_in=str(listed)) == "locked"
    anybody = msgspec.structs.replace(TASK, shells="any")
    assert read_state(anybody, 1001, pam=pam, nologin=(), shadow=lambda _: OPEN, listed_in=str(listed)) == "good"


def test_whoever_runs_a_portal_for_themselves_needs_no_shell(database: Database, tmp_path: Path) -> None:
    """They are on this host already."""
    database.shells = {"alice": "/usr/sbin/nologin"}
    assert read_state(msgspec.structs.replace(TASK, only_uid=1001), 1001, pam=None) == "good"


def test_the_site_is_closed_while_a_file_is_there(tmp_path: Path) -> None:
    file = tmp_path / "nologin"
    assert state(1001, nologin=[str(file)]) == "good"
    file.symlink_to("/nonexistent")
    assert state(1001, nologin=["/nonexistent", str(file)]) == "closed"


def test_pam_has_the_last_word_and_only_that() -> None:
    pam = SaysPam("expired")
    assert state(1001, pam=pam) == "expired"
    assert state(1001, pam=SaysPam("good")) == "good"
    assert pam.asked == ["alice"]
    assert state(1001, pam=pam, shadow=Shadow(is_locked=True, expires=None)) == "locked"
    assert state(0, pam=SaysPam("good")) == "root"


def test_a_shadow_file_that_cannot_be_read_lets_nobody_in() -> None:
    def fail(login: str) -> Shadow | None:
        raise PermissionError(13, login)

    with pytest.raises(OSError):
        read_state(TASK, 1001, pam=None, nologin=(), shadow=fail)


@pytest.mark.parametrize(
    ("uid", "login", "expected"),
    [
        (1001, "alice", "good"),
        (1001, None, "good"),
        (1001, "bob", "renamed"),
        (0, None, "root"),
        (1002, None, "unknown"),
    ],
)
def test_the_embedded_portals_account_is_the_only_one(uid: int, login: str | None, expected: str) -> None:
    task = Task(VERSION, 1001, 1001, 5000, "", "/run/x", "/run/x/portal.sock", {})
    assert read_state(task, uid, login, pam=None, nologin=("/",)) == expected


def test_the_embedded_portals_account_may_be_root_or_have_no_entry() -> None:
    for only, expected in ((0, "good"), (4242, "unknown")):
        task = Task(VERSION, only, only, 1000, "", "/run/x", "/run/x/portal.sock", {})
        assert read_state(task, only, pam=None) == expected


@pytest.mark.parametrize(
    ("login", "uid"), [("alice", 1001), ("root", None), ("daemon", None), ("bob", None), ("nobody-is", None)]
)
def test_whose_password_may_be_right(login: str, uid: int | None) -> None:
    entry = may_sign_in(login, 1000)
    assert (entry.pw_uid if entry is not None else None) == uid


def test_an_account_that_is_not_there_has_no_shadow_entry() -> None:
    try:
        assert read_shadow("nobody-is-called-so") is None
    except PermissionError:
        pytest.skip("only root reads the shadow file")
