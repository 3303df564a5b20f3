"""What children are asked to do."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator

import pytest

from supercloud.monitor.children import Children
from supercloud.monitor.kinds import Bounds, Judge, Kinds, pam_of
from supercloud.monitor.loop import Loop
from supercloud.monitor.wire import (
    VERSION,
    AccountRead,
    AccountState,
    CheckPassword,
    PasswordChecked,
    PasswordOutcome,
    ReadAccount,
    Task,
)

ME = pwd.getpwuid(os.getuid())
OWN = Task(VERSION, ME.pw_uid, ME.pw_uid, 1000, "portal", "/run/x", "/x", {})
SITE = Task(VERSION, 990, None, 1000, "", "/run/x", "/x", {})


class Pam:
    """Says no to everybody."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    def check(self, login: str, password: str, address: str) -> PasswordOutcome:
        self.asked.append((login, password, address))
        return "locked"

    def account(self, login: str) -> AccountState:
        return "locked"


@pytest.fixture
def password() -> Iterator[list[int]]:
    """A pipe that holds one."""
    reading, writing = os.pipe()
    os.write(writing, b"right")
    os.close(writing)
    yield [reading]
    os.close(reading)


def test_a_password_is_checked_for_whom_it_was_asked(password: list[int]) -> None:
    pam = Pam()
    judge = Judge(SITE, pam, nologin=())
    assert judge.check_password(CheckPassword(9, "nobody-is-called-so", "192.0.2.7"), password) == PasswordChecked(
        9, "bad"
    )
    [(login, shown, address)] = pam.asked
    assert (login, address) == ("nobody-is-called-so", "192.0.2.7")
    assert shown != "right"


def test_without_pam_no_password_is_good(password: list[int]) -> None:
    judge = Judge(OWN, None, nologin=())
    assert judge.check_password(CheckPassword(9, ME.pw_name, ""), password) == PasswordChecked(9, "broken")


def test_an_account_is_judged_by_its_uid() -> None:
    judge = Judge(OWN, None, nologin=())
    assert judge.read_account(ReadAccount(9, ME.pw_uid), []) == AccountRead(9, "good")
    assert judge.read_account(ReadAccount(9, ME.pw_uid + 1), []) == AccountRead(9, "unknown")


def test_a_child_that_saw_a_password_sees_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    uses = {}

    def note(self: Children, loop: Loop, kind: object, **bounds: float) -> None:
        uses[kind.question] = kind.uses  # type: ignore[attr-defined]

    monkeypatch.setattr(Children, "__init__", note)
    Kinds.of(Loop(), Judge(OWN, None), Bounds())
    assert uses[CheckPassword] == 1


@pytest.mark.parametrize("task", [SITE, OWN])
def test_there_is_no_pam_without_a_service_or_without_root(task: Task) -> None:
    assert pam_of(task) is None
