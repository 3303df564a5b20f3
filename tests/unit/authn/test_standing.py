"""Which accounts are kept out, as the lock store and the account database say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from supercloud.authn.lock_store import LockRow
from supercloud.authn.standing import CLOSED, LATELY, LOOK, POLL, SEEN, Standing
from supercloud.errors import AccountClosed
from supercloud.identity import Principal
from supercloud.monitor.wire import AccountState
from tests.fakes.accounts import ALICE, BOB, FakeAccounts
from tests.fakes.awaiting import run
from tests.fakes.locks import FakeLockStore
from tests.fakes.offload import FakeOffload
from tests.fakes.workers import FakeMonitor

LOCK = LockRow(ALICE.uid, "alice", "Call the desk.", 1000.0)


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.store = FakeLockStore()
        self.accounts = FakeAccounts()
        self.monitor = FakeMonitor()
        self.in_use: dict[int, str] = {}
        self.closed: list[tuple[int, str, bool]] = []
        self.standing = Standing(
            store=self.store,
            storage=FakeOffload(),
            accounts=self.accounts,
            state_of=self.monitor.read_account,
            clock=self.clock,
        )

    def start(self) -> None:
        self.standing.start(lambda: self.in_use, self._close)

    def _close(self, error: AccountClosed, uid: int, told: str, *, for_good: bool) -> None:
        assert str(error) == str(self.standing.refusal(uid))
        self.closed.append((uid, told, for_good))

    def public(self, uid: int = ALICE.uid) -> str | None:
        refusal = self.standing.refusal(uid)
        return None if refusal is None else refusal.public


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.standing.stop()
    assert made.clock.getDelayedCalls() == []


def test_a_lock_of_before_the_start_counts_from_the_first_request(bench: Bench) -> None:
    bench.store.lock(LOCK)
    bench.start()
    assert bench.public() == "An administrator has locked this account for the portal. Call the desk."
    assert bench.public(BOB.uid) is None


def test_a_new_lock_counts_within_half_a_second_and_closes_once_and_for_good(bench: Bench) -> None:
    bench.start()
    bench.store.lock(LOCK)
    bench.clock.pump([POLL] * 4)
    assert bench.closed == [(ALICE.uid, "locked by an administrator", True)]
    bench.store.unlock(ALICE.uid)
    bench.clock.advance(POLL)
    assert bench.public() is None


def test_a_lock_tells_its_reason_and_the_log_tells_whose_it_is(bench: Bench) -> None:
    bench.store.lock(LOCK)
    bench.start()
    refusal = bench.standing.refusal(ALICE.uid)
    assert refusal is not None
    assert str(refusal) == "alice is locked by an administrator: Call the desk."
    assert str(refusal) != refusal.public


@pytest.mark.parametrize("state", CLOSED)
def test_whoever_was_seen_and_may_not_be_used_any_more_is_kept_out(bench: Bench, state: AccountState) -> None:
    bench.start()
    bench.standing.seen(ALICE)
    bench.monitor.states[ALICE.uid] = state
    bench.clock.advance(LOOK)
    assert bench.public() == CLOSED[state]
    assert bench.closed == [(ALICE.uid, f"the account is {state}", False)]
    bench.clock.pump([LOOK] * 20)
    assert bench.public() == CLOSED[state], "however long nobody was let in"
    bench.monitor.states.clear()
    bench.clock.advance(LOOK)
    assert bench.public() is None
    assert len(bench.closed) == 1


def test_an_account_that_vanished_or_was_renamed_is_kept_out(bench: Bench) -> None:
    bench.start()
    bench.in_use = {ALICE.uid: "alice", BOB.uid: "bob"}
    bench.accounts.known = {BOB.uid: Principal("mallory", BOB.uid, 1002, frozenset({1002}))}
    bench.clock.advance(LOOK)
    assert (bench.public(), bench.public(BOB.uid)) == (CLOSED["unknown"], CLOSED["renamed"])


def test_nologin_and_what_nobody_can_answer_close_no_account(bench: Bench) -> None:
    bench.start()
    bench.in_use = {ALICE.uid: "alice"}
    for state in ("closed", "broken", "good"):
        bench.monitor.states[ALICE.uid] = state  # type: ignore[assignment]
        bench.clock.advance(LOOK)
    bench.monitor.is_silent = True
    bench.clock.advance(LOOK)
    assert bench.closed == []
    assert bench.public() is None


def test_what_nobody_can_answer_opens_no_account_that_is_closed(bench: Bench) -> None:
    bench.start()
    bench.standing.seen(ALICE)
    bench.monitor.states[ALICE.uid] = "locked"
    bench.clock.advance(LOOK)
    bench.monitor.is_silent = True
    bench.clock.advance(LOOK)
    assert bench.public() == CLOSED["locked"]


def test_whoever_has_nothing_here_any_more_is_not_asked_about(bench: Bench) -> None:
    bench.start()
    bench.standing.seen(ALICE)
    bench.clock.pump([LOOK] * int(SEEN / LOOK + 1))
    bench.monitor.states[ALICE.uid] = "locked"
    bench.clock.advance(LOOK)
    assert bench.closed == []


def test_a_store_that_cannot_be_read_for_a_moment_opens_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench.store.lock(LOCK)
    bench.start()

    def broken() -> list[LockRow]:
        raise OSError("disk")

    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "all", broken)
        bench.clock.pump([POLL] * 4)
    assert bench.public() is not None


def learn(bench: Bench) -> Deferred[None]:
    return Deferred.fromCoroutine(bench.standing.learn(ALICE))


@pytest.mark.parametrize("state", CLOSED)
def test_whoever_is_not_to_be_let_in_is_known_before_they_are(bench: Bench, state: AccountState) -> None:
    bench.monitor.states[ALICE.uid] = state
    run(bench.standing.learn(ALICE))
    assert bench.public() == CLOSED[state]


def test_an_account_is_asked_about_once_in_a_while_however_often_it_is_let_in(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    find = bench.accounts.find

    async def counting(key: int) -> Principal:
        asked.append(key)
        return await find(key)

    monkeypatch.setattr(bench.accounts, "find", counting)
    for _ in range(3):
        run(bench.standing.learn(ALICE))
    assert asked == [ALICE.uid]
    bench.clock.advance(LATELY - 0.1)
    run(bench.standing.learn(ALICE))
    assert asked == [ALICE.uid]
    bench.clock.advance(0.1)
    run(bench.standing.learn(ALICE))
    assert asked == [ALICE.uid] * 2


def test_what_nobody_can_say_lets_in_and_is_not_asked_at_once_again(bench: Bench) -> None:
    bench.monitor.is_silent = True
    run(bench.standing.learn(ALICE))
    assert bench.public() is None
    bench.monitor.is_silent = False
    bench.monitor.states[ALICE.uid] = "no-shell"
    run(bench.standing.learn(ALICE))
    assert bench.public() is None
    bench.clock.advance(LATELY)
    run(bench.standing.learn(ALICE))
    assert bench.public() == CLOSED["no-shell"]


def test_who_comes_first_may_leave_and_the_others_are_answered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    answer: Deferred[AccountState] = Deferred()

    async def slow(uid: int) -> AccountState:
        return await answer

    monkeypatch.setattr(bench.standing, "_state_of", slow)
    first, second = learn(bench), learn(bench)
    first.addErrback(lambda failure: failure.trap(CancelledError))
    first.cancel()
    assert not second.called
    answer.callback("no-shell")
    assert second.called
    assert bench.public() == CLOSED["no-shell"]
