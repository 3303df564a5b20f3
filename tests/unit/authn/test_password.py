"""Passwords: asked about once, remembered for a while, and never when they are wrong."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.python.failure import Failure

from supercloud.authn import password as module
from supercloud.authn import throttle
from supercloud.authn.password import REMEMBERED, WRONG, Password, Passwords
from supercloud.authn.throttle import FREE, Throttle
from supercloud.errors import AccountClosed, Busy, NotAuthenticated, NoWorker
from supercloud.monitor.wire import PasswordOutcome
from supercloud.secret import Secret
from tests.fakes.accounts import ALICE, BOB, FakeAccounts
from tests.fakes.awaiting import run
from tests.fakes.passwords import FakePasswordCheck

HOME, EVIL = "192.0.2.7", "198.51.100.1"


class Desk:
    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.check = FakePasswordCheck()
        self.accounts = FakeAccounts()
        self.throttle = Throttle(self.clock)
        self.passwords = Passwords(check=self.check, accounts=self.accounts, throttle=self.throttle, clock=self.clock)

    def verify(self, login: str = "alice", password: str | None = None, address: str = HOME) -> Password:
        typed = Secret((f"{login}-secret" if password is None else password).encode())
        try:
            return run(self.passwords.verify(login, typed, address))
        finally:
            assert not any(typed.data)

    def start(self, login: str, password: str, address: str = HOME) -> tuple[Deferred[Any], list[Any]]:
        got: list[Any] = []
        asking = Deferred.fromCoroutine(self.passwords.verify(login, Secret(password.encode()), address))
        asking.addBoth(got.append)
        return asking, got


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_right_password_is_its_account(desk: Desk) -> None:
    assert desk.verify().principal == ALICE
    assert desk.check.asked == [("alice", HOME)]


def test_it_is_asked_about_once_for_a_while(desk: Desk) -> None:
    first = desk.verify()
    desk.clock.advance(REMEMBERED - 1)
    assert desk.verify() is first
    desk.clock.advance(1)
    assert desk.verify() is not first
    assert len(desk.check.asked) == 2


def test_using_it_does_not_make_it_good_for_longer(desk: Desk) -> None:
    password = desk.verify()
    desk.clock.advance(REMEMBERED - 1)
    desk.passwords.touch(password)
    desk.clock.advance(1)
    assert not desk.passwords.is_live(password)


def test_whoever_signs_in_is_asked_about_though_it_is_remembered(desk: Desk) -> None:
    desk.verify()
    run(desk.passwords.check("alice", Secret(b"alice-secret"), HOME))
    assert len(desk.check.asked) == 2


@pytest.mark.parametrize("password", ["wrong", "", "alice-secret ", "Alice-secret", "bob-secret", "x" * 2000, "a\0b"])
def test_a_wrong_password_is_refused_and_not_remembered(desk: Desk, password: str) -> None:
    for _ in range(2):
        with pytest.raises(NotAuthenticated):
            desk.verify(password=password)
    assert len(desk.passwords) == 0


def test_a_wrong_password_is_not_taken_for_the_right_one_that_is_remembered(desk: Desk) -> None:
    desk.verify("alice")
    for login, password in [("alice", "wrong"), ("bob", "alice-secret"), ("alic", "e-alice-secret"), ("", "alice")]:
        with pytest.raises(NotAuthenticated):
            desk.verify(login, password)
        desk.clock.advance(60)


def test_a_nul_that_moves_between_login_and_password_is_another_credential(desk: Desk) -> None:
    shown = [("a", b"b\0c"), ("a\0b", b"c"), ("1:a", b""), ("1", b":a")]
    digests = {desk.passwords._digest(login, Secret(typed), HOME) for login, typed in shown}
    assert len(digests) == 4


def test_a_changed_password_is_good_until_it_is_forgotten_and_no_longer(desk: Desk) -> None:
    desk.verify()
    desk.check.passwords["alice"] = b"new"
    desk.verify()
    desk.clock.advance(REMEMBERED)
    with pytest.raises(NotAuthenticated):
        desk.verify()


def test_neither_memory_nor_its_keys_hold_the_password(desk: Desk) -> None:
    desk.verify()
    held = repr(vars(desk.passwords)) + repr([repr(one) for one in desk.passwords._right.values()])
    assert "alice-secret" not in held
    assert Desk().passwords._digest("alice", Secret(b"x"), HOME) != desk.passwords._digest("alice", Secret(b"x"), HOME)


def test_memory_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 2)
    for login in ("alice", "bob", "carol"):
        desk.verify(login)
    assert len(desk.passwords) == 2
    desk.verify("carol")
    desk.verify("alice")
    assert [login for login, _ in desk.check.asked] == ["alice", "bob", "carol", "alice"]


def test_what_is_no_longer_good_is_dropped_when_something_is_added(desk: Desk) -> None:
    desk.verify("alice")
    desk.clock.advance(REMEMBERED)
    desk.verify("bob")
    assert len(desk.passwords) == 1


def test_many_requests_at_once_ask_once_and_have_one_answer(desk: Desk) -> None:
    desk.check.hold()
    answers = [desk.start("alice", "alice-secret")[1] for _ in range(50)]
    assert len(desk.check.asked) == 1
    desk.check.release()
    assert len({id(one) for [one] in answers}) == 1
    assert answers[0][0].principal == ALICE


def test_many_wrong_ones_at_once_are_one_failure_and_all_refused(desk: Desk) -> None:
    desk.check.hold()
    answers = [desk.start("alice", "wrong")[1] for _ in range(50)]
    desk.check.release()
    assert [type(one.value) for [one] in answers] == [NotAuthenticated] * 50
    assert len(desk.check.asked) == 1


def test_a_different_password_for_the_same_account_is_a_question_of_its_own(desk: Desk) -> None:
    desk.check.hold()
    _, right = desk.start("alice", "alice-secret")
    _, wrong = desk.start("alice", "wrong")
    desk.check.release()
    assert right[0].principal == ALICE
    assert isinstance(wrong[0], Failure)


def test_who_leaves_does_not_take_the_answer_from_the_others(desk: Desk) -> None:
    desk.check.hold()
    first, gone = desk.start("alice", "alice-secret")
    _, stays = desk.start("alice", "alice-secret")
    first.cancel()
    assert gone[0].check(CancelledError)
    desk.check.release()
    assert stays[0].principal == ALICE
    assert len(desk.passwords) == 1


def test_leaving_before_the_answer_leaves_no_failure_uncounted(desk: Desk) -> None:
    desk.check.hold()
    for n in range(3):
        asking, _ = desk.start("alice", f"guess {n}", EVIL)
        asking.cancel()
    desk.check.release()
    _, waits = desk.start("alice", "alice-secret", EVIL)
    assert waits == []
    desk.clock.advance(10)
    assert waits[0].principal == ALICE


def test_failures_delay_the_next_attempt_for_all_that_have_mistyped_enough(desk: Desk) -> None:
    for _ in range(3):
        desk.start("alice", "wrong", EVIL)
        desk.clock.advance(10)
    for n in range(FREE):
        desk.start("bob", f"guess {n}", EVIL)
    desk.check.asked.clear()
    _, got = desk.start("bob", "guess", EVIL)
    assert desk.check.asked == []
    desk.clock.advance(10)
    assert desk.check.asked == [("bob", EVIL)]
    assert isinstance(got[0], Failure)


def test_wrong_passwords_from_an_address_keep_nobody_elses_right_one_out(desk: Desk) -> None:
    """14 clients keep at it; each wrong one keeps PAM busy until it is released."""
    for _ in range(20):
        for n in range(14):
            desk.start(f"account{n}", "wrong", EVIL)
        desk.clock.advance(1)
    desk.check.hold()
    for n in range(14):
        desk.start(f"account{n}", "wrong", EVIL)
    _, got = desk.start("bob", "bob-secret", EVIL)
    desk.check.release()
    assert got[0].principal == BOB


def test_names_that_can_be_nobodys_do_not_make_it_forget_whom_one_attacks(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are refused at once, so a million of them could push all others out of memory."""
    monkeypatch.setattr(throttle, "MAX_KEYS", 10)
    for n in range(4):
        desk.start("alice", f"guess {n}", EVIL)
        desk.clock.advance(10)
    for n in range(100):
        desk.start(f"../{n}", "x", f"10.0.0.{n}")
    assert not desk.throttle.is_calm("alice")


def test_guesses_from_elsewhere_are_not_answered_from_memory(desk: Desk) -> None:
    """Memory answers without a wait; whoever guesses must not get at it."""
    desk.verify(address=HOME)
    desk.verify(address=EVIL)
    assert desk.check.asked == [("alice", HOME), ("alice", EVIL)]


def test_guesses_at_the_address_of_the_account_itself_soon_are_not_either(desk: Desk) -> None:
    """A host that many people work on: bob guesses there what alice's drive has shown."""
    desk.verify()
    for n in range(3):
        desk.start("alice", f"guess {n}")
        desk.clock.advance(10)
    desk.check.asked.clear()
    desk.start("alice", "alice-secret")
    desk.clock.advance(10)
    assert desk.check.asked == [("alice", HOME)]


def test_a_burst_of_guesses_is_not_answered_from_memory_before_the_first_has_failed(desk: Desk) -> None:
    desk.verify()
    desk.check.hold()
    for n in range(30):
        desk.start("alice", f"guess {n}")
    _, right = desk.start("alice", "alice-secret")
    assert [one for one in right if isinstance(one, Password)] == []
    desk.check.release()
    desk.clock.pump([10] * 20)


def test_a_burst_of_guesses_does_not_join_the_question_of_the_account_itself(desk: Desk) -> None:
    for n in range(3):
        desk.start("alice", f"guess {n}")
        desk.clock.advance(10)
    desk.check.hold()
    desk.start("alice", "alice-secret")
    asked = len(desk.check.asked)
    _, joined = desk.start("alice", "alice-secret")
    desk.clock.advance(10)
    assert joined == []
    assert len(desk.check.asked) == asked + 1
    desk.check.release()
    assert joined[0].principal == ALICE


def test_guesses_of_one_account_leave_what_is_remembered_of_others_alone(desk: Desk) -> None:
    desk.verify("bob")
    for n in range(10):
        desk.start("alice", f"guess {n}")
        desk.clock.advance(10)
    desk.check.asked.clear()
    assert desk.verify("bob").principal == BOB
    assert desk.check.asked == []


@pytest.mark.parametrize("outcome", ["locked", "expired"])
def test_why_an_account_is_closed_is_told_to_who_has_its_password_only(desk: Desk, outcome: PasswordOutcome) -> None:
    desk.check.outcomes["alice"] = outcome
    with pytest.raises(AccountClosed) as right:
        desk.verify()
    assert outcome in right.value.public
    with pytest.raises(NotAuthenticated) as wrong:
        desk.verify(password="wrong")
    assert wrong.value.public == WRONG
    assert len(desk.passwords) == 0


def test_an_account_that_is_none_sounds_like_a_wrong_password(desk: Desk) -> None:
    desk.check.passwords["root"] = b"root-secret"
    publics = []
    for login, password in [("alice", "wrong"), ("nobody", "x"), ("root", "root-secret"), ("../x", "x"), ("", "")]:
        with pytest.raises(NotAuthenticated) as caught:
            desk.verify(login, password)
        publics.append(caught.value.public)
        desk.clock.advance(60)
    assert publics == [WRONG] * 5
    assert len(desk.passwords) == 0


@pytest.mark.parametrize("outcome", ["busy", "slow", "broken"])
def test_when_nobody_can_say_nobody_is_let_in_and_nothing_is_counted(desk: Desk, outcome: PasswordOutcome) -> None:
    desk.check.outcomes["alice"] = outcome
    for _ in range(10):
        with pytest.raises(Busy):
            desk.verify()
    assert len(desk.passwords) == 0
    del desk.check.outcomes["alice"]
    assert desk.verify().principal == ALICE


def test_busy_answers_do_not_wash_failures_away(desk: Desk) -> None:
    """Otherwise whoever can make PAM busy guesses without delay."""
    for _ in range(4):
        desk.start("alice", "wrong", EVIL)
        desk.clock.advance(10)
    desk.check.outcomes["alice"] = "busy"
    desk.start("alice", "guess", EVIL)
    desk.clock.advance(10)
    assert not desk.throttle.is_calm("alice")


def test_closed_for_everybody_is_said_to_everybody(desk: Desk) -> None:
    desk.check.outcomes["alice"] = "closed"
    with pytest.raises(AccountClosed, match="closed") as caught:
        desk.verify(password="wrong")
    assert "Try again later" in caught.value.public


def test_without_a_monitor_nobody_is_let_in(desk: Desk) -> None:
    desk.check.breaks = NoWorker("the monitor is gone")
    with pytest.raises(NoWorker):
        desk.verify()
    desk.check.breaks = None
    assert desk.verify("bob").principal == BOB


def test_a_login_of_a_megabyte_does_not_fill_the_log(desk: Desk, logged: list[LogEvent]) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        desk.verify("x" * 10**6, "guess")
    [event] = logged
    assert len(event["reason"]) < 100
    assert len(str(caught.value)) < 100


def test_a_login_cannot_write_lines_of_its_own_into_the_log(desk: Desk, logged: list[LogEvent]) -> None:
    with pytest.raises(NotAuthenticated):
        desk.verify("x\nalice signed in\x1b[2J\u2028", "guess")
    assert logged[0]["reason"].isprintable()
    assert logged[0]["reason"].isascii()


def test_no_password_is_logged(desk: Desk, logged: list[LogEvent]) -> None:
    desk.verify()
    with pytest.raises(NotAuthenticated) as caught:
        desk.verify(password="hunter2")
    told = repr(logged) + repr(caught.value) + caught.value.public
    assert "hunter2" not in told
    assert "secret" not in told


def test_what_is_forgotten_ends_and_is_asked_about_again(desk: Desk) -> None:
    hers, his = desk.verify(), desk.verify("bob")
    desk.passwords.forget(ALICE.uid, "the account is locked")
    assert (hers.ended, his.ended) == ("the account is locked", None)
    assert desk.verify() is not hers
    assert desk.verify("bob") is his


def test_an_account_with_very_many_addresses_makes_nobody_elses_be_forgotten(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 40)
    desk.verify("bob")
    for number in range(100):
        desk.verify("alice", address=f"2001:db8::{number:x}")
    asked = len(desk.check.asked)
    desk.verify("bob")
    assert len(desk.check.asked) == asked
    assert len(desk.passwords) == module.MAX_OF_ONE + 1
    desk.clock.advance(REMEMBERED)
    desk.verify("bob")
    assert list(desk.passwords._of) == [BOB.uid]


def test_only_who_is_admitted_has_a_name_looked_up() -> None:
    """Guesses that have to wait must not ask the account database meanwhile, which others need."""
    asked: list[str] = []

    class Accounts(FakeAccounts):
        async def exists(self, login: str) -> bool:
            asked.append(login)
            return True

    clock = Clock()
    passwords = Passwords(check=FakePasswordCheck(), accounts=Accounts(), throttle=Throttle(clock), clock=clock)
    waiting = [
        Deferred.fromCoroutine(passwords.check("alice", Secret(b"guess-%d" % n), "192.0.2.9")) for n in range(40)
    ]
    for one in waiting:
        one.addErrback(lambda _failure: None)
    at_once = len(asked)
    assert 0 < at_once < 20
    clock.advance(600.0)
    assert len(asked) > at_once
