"""What opens applications is kept for their owners, and no longer than somebody of theirs is there."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from supercloud.authn.handed import LIFE, MOST, Handed
from supercloud.authn.session import Session
from supercloud.target import Application
from tests.fakes.accounts import ALICE, BOB
from tests.fakes.sessions import FakeSessions

LAB = Application("node1", 8888)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def handed(clock: Clock) -> Handed:
    return Handed(clock)


@pytest.fixture
def alices() -> Session:
    return FakeSessions().begin(ALICE)


def test_it_is_given_for_the_same_account_node_and_port_only(handed: Handed, alices: Session) -> None:
    handed.hand(alices, LAB, "token abc")
    assert handed.given(ALICE.uid, LAB) == b"token abc"
    assert handed.given(BOB.uid, LAB) == b""
    assert handed.given(ALICE.uid, Application("node2", 8888)) == b""
    assert handed.given(ALICE.uid, Application("node1", 8889)) == b""


def test_the_last_one_counts(handed: Handed, alices: Session) -> None:
    handed.hand(alices, LAB, "token abc")
    handed.hand(alices, LAB, "token def")
    assert handed.given(ALICE.uid, LAB) == b"token def"
    assert len(handed) == 1


def test_an_application_that_needs_none_forgets_the_one_before_it(handed: Handed, alices: Session) -> None:
    handed.hand(alices, LAB, "token abc")
    handed.hand(alices, LAB, "")
    assert handed.given(ALICE.uid, LAB) == b""
    assert len(handed) == 0


def test_it_ends_with_the_session(handed: Handed, alices: Session) -> None:
    handed.hand(alices, LAB, "token abc")
    alices.end("signed out")
    assert handed.given(ALICE.uid, LAB) == b""
    assert len(handed) == 0


def test_it_lives_as_long_as_one_of_the_sessions_that_opened_it(handed: Handed) -> None:
    sessions = FakeSessions()
    first, second = sessions.begin(ALICE), sessions.begin(ALICE)
    handed.hand(first, LAB, "token abc")
    handed.hand(second, LAB, "token abc")
    second.end("idle")
    assert handed.given(ALICE.uid, LAB) == b"token abc"
    first.end("idle")
    assert handed.given(ALICE.uid, LAB) == b""


def test_a_session_that_has_ended_hands_nothing(handed: Handed, alices: Session) -> None:
    alices.end("kicked")
    handed.hand(alices, LAB, "token abc")
    assert len(handed) == 0


def test_it_is_forgotten_after_a_day(clock: Clock, handed: Handed, alices: Session) -> None:
    handed.hand(alices, LAB, "token abc")
    clock.advance(LIFE / 2)
    handed.hand(alices, Application("node1", 9999), "token def")
    clock.advance(LIFE / 2 - 1)
    assert handed.given(ALICE.uid, LAB) == b"token abc"
    clock.advance(1)
    assert handed.given(ALICE.uid, LAB) == b""
    assert len(handed) == 1
    clock.advance(LIFE / 2)
    assert len(handed) == 0
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(("number", "is_kept"), [(MOST, True), (MOST + 1, False)])
def test_one_account_crowds_out_its_own_only(handed: Handed, alices: Session, number: int, is_kept: bool) -> None:
    handed.hand(FakeSessions().begin(BOB), LAB, "token bob")
    for port in range(2000, 2000 + number):
        handed.hand(alices, Application("node1", port), "token abc")
    assert (handed.given(ALICE.uid, Application("node1", 2000)) != b"") is is_kept
    assert handed.given(BOB.uid, LAB) == b"token bob"
    assert len(handed) == MOST + 1


def test_every_change_is_another_version(handed: Handed, alices: Session) -> None:
    seen = [handed.version]
    for authorization in ("token abc", "token def", ""):
        handed.hand(alices, LAB, authorization)
        seen.append(handed.version)
    handed.hand(alices, LAB, "token abc")
    seen.append(handed.version)
    alices.end("signed out")
    seen.append(handed.version)
    assert sorted(set(seen)) == seen


def test_a_stop_leaves_nothing(clock: Clock, handed: Handed, alices: Session) -> None:
    handed.hand(alices, LAB, "token abc")
    handed.stop()
    assert len(handed) == 0
    assert clock.getDelayedCalls() == []


def test_it_is_in_no_text(handed: Handed, alices: Session) -> None:
    handed.hand(alices, LAB, "token secret")
    assert "secret" not in repr(vars(handed))
