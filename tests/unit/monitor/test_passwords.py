from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supercloud.monitor.passwords import MOST_PASSWORD, check_password, read_password
from supercloud.monitor.shadow import Shadow
from supercloud.monitor.wire import PasswordOutcome

UIDS = {"root": 0, "daemon": 1, "alice": 1001, "service": 1002}


class SaysPam:
    """Says the same to everybody, and notes what it was asked."""

    def __init__(self, outcome: PasswordOutcome = "good") -> None:
        self.outcome: PasswordOutcome = outcome
        self.asked: list[tuple[str, str, str]] = []

    def check(self, login: str, password: str, address: str) -> PasswordOutcome:
        self.asked.append((login, password, address))
        return self.outcome


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> pwd.struct_passwd:
        shell = "/usr/sbin/nologin" if name == "service" else "/bin/sh"
        return pwd.struct_passwd((name, "x", UIDS[name], UIDS[name], "", "/", shell))

    monkeypatch.setattr(pwd, "getpwnam", find)


@pytest.fixture
def pipe() -> Iterator[Callable[[bytes], int]]:
    made: list[int] = []

    def holding(data: bytes) -> int:
        reading, writing = os.pipe()
        os.write(writing, data)
        os.close(writing)
        made.append(reading)
        return reading

    yield holding
    for descriptor in made:
        os.close(descriptor)


def check(
    descriptor: int, pam: SaysPam, login: str = "alice", shadow: Shadow | None = None, nologin: tuple[str, ...] = ()
) -> PasswordOutcome:
    return check_password(
        login, "192.0.2.7", descriptor, pam=pam, min_uid=1000, nologin=nologin, shadow=lambda _: shadow
    )


def test_the_password_and_the_browsers_address_reach_pam(pipe: Callable[[bytes], int]) -> None:
    pam = SaysPam()
    assert check(pipe("rïght".encode()), pam) == "good"
    assert pam.asked == [("alice", "rïght", "192.0.2.7")]


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"right\0", b"right\0wrong", b"\xff\xfe", b"x" * (MOST_PASSWORD + 1), b"x" * 5000]
)
def test_what_is_no_password_never_reaches_pam(pipe: Callable[[bytes], int], data: bytes) -> None:
    pam = SaysPam()
    assert check(pipe(data), pam) == "bad"
    assert pam.asked == []


def test_the_longest_password_is_read_whole(pipe: Callable[[bytes], int]) -> None:
    assert read_password(pipe(b"x" * MOST_PASSWORD)) == "x" * MOST_PASSWORD


def test_a_descriptor_that_does_not_block_is_read_to_its_end(pipe: Callable[[bytes], int]) -> None:
    descriptor = pipe(b"right")
    os.set_blocking(descriptor, False)
    assert read_password(descriptor) == "right"


def test_a_file_is_no_pipe(tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("right")
    with open(tmp_path / "shadow") as file:
        assert read_password(file.fileno()) is None


@pytest.mark.parametrize("login", ["root", "daemon", "nobody-is"])
@pytest.mark.parametrize("outcome", ["good", "bad", "locked", "expired"])
def test_whether_it_was_roots_password_is_not_told(
    pipe: Callable[[bytes], int], login: str, outcome: PasswordOutcome
) -> None:
    """PAM works as for others, and never sees the password that was given: no answer and no time depends on it."""
    pam = SaysPam(outcome)
    assert check(pipe(b"right"), pam, login) == "bad"
    [(asked, password, _)] = pam.asked
    assert asked == login
    assert password != "right"
    assert len(password) == 32


@pytest.mark.parametrize("login", ["alice\0", "../alice", "-r", "alice root"])
def test_a_name_that_no_account_has_never_reaches_pam(pipe: Callable[[bytes], int], login: str) -> None:
    pam = SaysPam()
    assert check(pipe(b"right"), pam, login) == "bad"
    assert pam.asked == []


@pytest.mark.parametrize("outcome", ["bad", "locked", "expired", "broken"])
def test_what_pam_says_is_the_answer(pipe: Callable[[bytes], int], outcome: PasswordOutcome) -> None:
    assert check(pipe(b"right"), SaysPam(outcome)) == outcome


@pytest.mark.parametrize(("pam", "expected"), [("good", "no-shell"), ("bad", "bad")])
def test_an_account_without_a_shell_is_told_so_for_the_right_password_only(
    pipe: Callable[[bytes], int], pam: PasswordOutcome, expected: PasswordOutcome
) -> None:
    assert check(pipe(b"right"), SaysPam(pam), "service") == expected
    any_shell = check_password(
        "service", "", pipe(b"right"), pam=SaysPam(pam), min_uid=1000, shells="any", nologin=(), shadow=lambda _: None
    )
    assert any_shell == pam


def test_pam_that_is_broken_is_so_for_root_too(pipe: Callable[[bytes], int]) -> None:
    assert check(pipe(b"right"), SaysPam("broken"), "root") == "broken"


@pytest.mark.parametrize(
    ("shadow", "outcome"),
    [(Shadow(True, None), "locked"), (Shadow(False, 0), "expired"), (Shadow(False, None), "good")],
)
def test_a_lock_counts_though_another_directory_knows_the_password(
    pipe: Callable[[bytes], int], shadow: Shadow, outcome: PasswordOutcome
) -> None:
    assert check(pipe(b"right"), SaysPam(), shadow=shadow) == outcome


def test_while_the_site_is_closed_pam_is_not_asked(pipe: Callable[[bytes], int], tmp_path: Path) -> None:
    pam = SaysPam()
    assert check(pipe(b"right"), pam, nologin=(str(tmp_path),)) == "closed"
    assert pam.asked == []
