"""How what is under way is looked through: in pieces, each question once, and nothing for what is over in a moment."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from supercloud.authn.authenticate import Viewer
from supercloud.authn.credential import Credential
from supercloud.errors import (
    AccountClosed,
    Busy,
    ForwardChanged,
    ForwardDisabled,
    NotAuthenticated,
    PortalError,
    TooMany,
    Undecided,
)
from supercloud.identity import Principal
from supercloud.ownership.authorize import Grant
from supercloud.routing.forwards import Look
from supercloud.shares import Shares
from supercloud.target import Application, Forward, Reservation
from supercloud.upstream.pool import Pool
from supercloud.watch import AT_ONCE, GRACE, PATIENCE, TICK, Watch
from tests.fakes.accounts import ALICE, BOB

FORWARD = Forward("tb", Reservation(1, 2, 3, 1001, 1001, 0o700), Application("node1", 8080))


class Exchange:
    """:ivar ended: the error and the words, once it was told; it leaves the watch then, as real ones do."""

    def __init__(self, watch: Watch) -> None:
        self.ended: tuple[PortalError, str] | None = None
        self._watch = watch

    def end_access(self, error: PortalError, told: str) -> None:
        self.ended = error, told
        del self._watch.running[self]


class Bench:
    """Implements `watch.ForwardLook` too.

    :ivar asked: logins and forwards whose state was asked for, in order; None as ``answer`` keeps them waiting.
    :ivar look: what is seen of a file.
    :ivar answer: what is found then, or raised.
    :ivar judged: forwards about which viewers were asked; those of ``stalled`` have no answer.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.asked: list[tuple[str, str]] = []
        self._waiting: list[Deferred[None]] = []
        self.answer: Forward | PortalError | None = FORWARD
        self.look = Look.DUE
        self.judged: list[str] = []
        self.stalled: set[str] = set()
        self.refused: dict[int, AccountClosed] = {}
        self.pool: Pool[Grant] = Pool(self.clock, Shares(self.clock), most=10)
        self.watch = Watch(self.clock, forwards=self, pool=self.pool, refusal=self.refused.get)
        self.watch.start()

    async def look_again(self, principal: Principal, forward: Forward) -> Look:
        self.asked.append((principal.login, forward.name))
        if self.answer is None:
            await self._wait()
        if isinstance(self.answer, Busy):
            raise self.answer
        return self.look

    async def _wait(self) -> None:
        # Kept, as a reactor keeps what is waited for: otherwise the collector may end the question.
        self._waiting.append(Deferred())
        await self._waiting[-1]

    async def find_again(self, principal: Principal, forward: Forward) -> Forward:
        self.judged.append(forward.name)
        if forward.name in self.stalled:
            await self._wait()
        if isinstance(self.answer, PortalError):
            raise self.answer
        assert self.answer is not None
        return replace(self.answer, name=forward.name)

    def begin(self, principal: Principal = ALICE, forward: Forward | None = None) -> tuple[Exchange, Credential]:
        exchange, credential, keeper = Exchange(self.watch), Credential(), Any
        viewer = Viewer(principal, credential, principal.uid, keeper)  # type: ignore[arg-type]
        self.watch.running[exchange] = viewer, forward, None
        return exchange, credential

    def turn(self, seconds: float) -> None:
        self.clock.pump([0.125] * int(seconds * 8))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_exchange_is_told_why_its_credential_ended(bench: Bench) -> None:
    exchange, credential = bench.begin()
    credential.end("signed out")
    bench.turn(2 * TICK)
    assert exchange.ended is not None
    error, told = exchange.ended
    assert (type(error), str(error), told) == (NotAuthenticated, "alice: signed out", "signed out")


def test_whose_account_is_closed_is_answered_as_a_fresh_request(bench: Bench) -> None:
    exchange, credential = bench.begin()
    bench.refused[ALICE.uid] = AccountClosed("alice is locked")
    credential.end("the account is locked")
    bench.turn(2 * TICK)
    assert exchange.ended == (bench.refused[ALICE.uid], "the account is locked")


def test_what_is_over_within_a_tick_is_never_looked_at(bench: Bench) -> None:
    for _ in range(20):
        exchange, _ = bench.begin(forward=FORWARD)
        bench.turn(TICK)
        del bench.watch.running[exchange]
    assert bench.asked == []


def test_thousands_end_in_many_turns_of_the_reactor(bench: Bench) -> None:
    made = [bench.begin() for _ in range(3000)]
    for _, credential in made:
        credential.end("signed out")
    counts = []
    bench.turn(TICK)
    bench.clock.advance(TICK)
    for _ in range(400):
        counts.append(len(bench.watch.running))
        bench.clock.advance(0)
    assert counts[-1] == 0
    assert max(before - after for before, after in itertools.pairwise(counts)) <= 20


def test_one_viewer_is_asked_one_question_after_the_other(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.begin(forward=replace(FORWARD, name=name))
    bench.answer = None
    bench.turn(5)
    assert len(bench.asked) == 1


def test_only_so_many_viewers_are_asked_at_once(bench: Bench) -> None:
    bench.answer = None
    for number in range(AT_ONCE + 10):
        bench.begin(replace(ALICE, login=f"u{number}", uid=2000 + number), FORWARD)
    bench.turn(3)
    assert len(bench.asked) == AT_ONCE


def test_what_nobody_answers_about_ends_after_a_time(bench: Bench) -> None:
    exchange, _ = bench.begin(forward=FORWARD)
    bench.answer = Busy("busy")
    bench.turn(PATIENCE)
    assert exchange.ended is None
    bench.turn(2)
    assert exchange.ended is not None
    assert "nobody could say" in str(exchange.ended[0])


def test_a_question_that_hangs_ends_it_too(bench: Bench) -> None:
    exchange, _ = bench.begin(forward=FORWARD)
    bench.answer = None
    bench.turn(PATIENCE + 2)
    assert exchange.ended is not None


def test_a_file_that_is_as_it_was_has_nobody_asked_what_it_means(bench: Bench) -> None:
    exchange, _ = bench.begin(forward=FORWARD)
    bench.look = Look.SAME
    bench.turn(2 * PATIENCE)
    assert exchange.ended is None
    assert bench.judged == []
    assert len(bench.asked) >= PATIENCE


def test_who_stops_what_would_say_that_a_change_shuts_them_out_gains_a_second(bench: Bench) -> None:
    """And delays none of their other forwards, of which somebody says so."""
    stalled = [bench.begin(forward=replace(FORWARD, name=f"stalled{number}"))[0] for number in range(20)]
    other, _ = bench.begin(forward=FORWARD)
    bench.turn(1)
    bench.stalled = {f"stalled{number}" for number in range(20)}
    bench.look, bench.answer = Look.CHANGED, ForwardDisabled("off")
    bench.turn(2 * TICK)
    assert other.ended == (bench.answer, "the forward may not be used any more")
    bench.turn(GRACE)
    assert all(isinstance(one.ended and one.ended[0], ForwardChanged) for one in stalled)


def test_a_file_that_is_as_it_was_is_not_taken_for_changed_when_nobody_can_say_more(bench: Bench) -> None:
    exchange, _ = bench.begin(forward=FORWARD)
    bench.stalled = {FORWARD.name}
    bench.turn(PATIENCE)
    assert exchange.ended is None
    assert bench.judged == [FORWARD.name], "one question at a time"
    bench.turn(2)
    assert exchange.ended is not None


def test_a_change_is_seen_while_somebody_keeps_the_answer_to_an_earlier_question_back(bench: Bench) -> None:
    exchange, _ = bench.begin(forward=FORWARD)
    bench.stalled = {FORWARD.name}
    bench.turn(2)
    assert bench.judged == [FORWARD.name]
    bench.look = Look.CHANGED
    bench.turn(2 * TICK + GRACE)
    assert exchange.ended is not None
    assert isinstance(exchange.ended[0], ForwardChanged)


@pytest.mark.parametrize("error", [Undecided("slow"), TooMany("busy")])
def test_a_changed_file_of_which_nobody_can_say_more_lets_nobody_go_on(bench: Bench, error: PortalError) -> None:
    exchange, _ = bench.begin(forward=FORWARD)
    bench.look, bench.answer = Look.CHANGED, error
    bench.turn(2)
    assert exchange.ended is not None
    assert isinstance(exchange.ended[0], ForwardChanged)


def test_another_state_with_the_same_meaning_is_what_is_compared_with_from_then_on(bench: Bench) -> None:
    exchange, _ = bench.begin(forward=FORWARD)
    bench.answer = replace(FORWARD, reservation=Reservation(1, 2, 99, 1001, 1001, 0o700), lines=2)
    bench.turn(5)
    assert exchange.ended is None
    bench.answer = replace(FORWARD, application=Application("node2", 8080))
    bench.turn(2)
    assert exchange.ended is not None
    assert isinstance(exchange.ended[0], ForwardChanged)


def test_a_forward_ends_for_whoever_was_refused_and_for_nobody_else(bench: Bench) -> None:
    hers, _ = bench.begin(ALICE, FORWARD)
    other, _ = bench.begin(ALICE, replace(FORWARD, name="other"))
    direct, _ = bench.begin(ALICE)
    bench.turn(2)
    refusal = ForwardDisabled("off")

    async def refuse(principal: Principal, forward: Forward) -> Forward:
        if forward.name == "tb":
            raise refusal
        return forward

    bench.find_again = refuse  # type: ignore[method-assign]
    bench.turn(2)
    assert hers.ended == (refusal, "the forward may not be used any more")
    assert other.ended is None
    assert direct.ended is None


def test_all_of_an_account_ends_before_what_follows(bench: Bench) -> None:
    hers = [bench.begin()[0] for _ in range(100)]
    his, _ = bench.begin(BOB)
    ended_then: list[bool] = []
    error = AccountClosed("locked")
    bench.watch.end_account(ALICE.uid, error, "locked", lambda: ended_then.append(all(one.ended for one in hers)))
    assert not all(one.ended for one in hers), "not in one turn"
    bench.turn(1)
    assert ended_then == [True]
    assert his.ended is None


def test_who_is_in_is_told(bench: Bench) -> None:
    bench.begin(ALICE)
    bench.begin(BOB)
    assert bench.watch.in_use == {1001: "alice", 1002: "bob"}


def test_no_timer_stays_behind(bench: Bench) -> None:
    for _ in range(2000):
        bench.begin()
    bench.watch.end_account(ALICE.uid, AccountClosed("locked"), "locked")
    bench.watch.stop()
    assert bench.clock.getDelayedCalls() == []


def test_an_exchange_that_cannot_be_ended_keeps_no_other_from_its_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("supercloud.watch.events.unexpected", said.append)
    broken, credential = bench.begin()
    monkeypatch.setattr(broken, "end_access", None)
    credential.end("signed out")
    bench.turn(2 * TICK)
    exchange, credential = bench.begin()
    credential.end("signed out")
    bench.turn(2 * TICK)
    assert said[0] == "ending an exchange"
    assert exchange.ended is not None


def test_a_look_that_fails_is_not_the_last_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("supercloud.watch.events.unexpected", said.append)
    exchange, credential = bench.begin()
    credential.end("signed out")

    def broken() -> None:
        raise OSError("a mistake")

    with monkeypatch.context() as patch:
        patch.setattr(bench.watch, "_ask_about", lambda used: broken())
        other, _ = bench.begin(forward=FORWARD)
        bench.turn(3)
        assert said
    bench.answer = ForwardDisabled("off")
    bench.turn(3)
    assert exchange.ended is not None
    assert other.ended is not None
