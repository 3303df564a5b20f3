"""Workers as the front knows them: who gets one, when it ends, and who is told."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from supercloud.errors import AccountClosed, Busy, NoWorker
from supercloud.identity import Principal
from supercloud.monitor.wire import WorkerRefused
from supercloud.workers.pool import LOOK, One, Workers
from tests.fakes.accounts import ALICE, BOB, CAROL, FakeAccounts
from tests.fakes.awaiting import run
from tests.fakes.workers import FakeMonitor


class Site:
    """Workers with everything around them."""

    def __init__(self, *, limit: int = 10, idle: float = 600.0) -> None:
        self.clock = Clock()
        self.monitor = FakeMonitor()
        self.accounts = FakeAccounts()
        self.workers = Workers(self.monitor, self.accounts, self.clock, limit=limit, idle=idle)
        self.workers.start()

    def of(self, principal: Principal) -> One:
        return run(self.workers.of(principal))

    def ask(self, principal: Principal) -> list[One | Failure]:
        got: list[One | Failure] = []
        Deferred.fromCoroutine(self.workers.of(principal)).addBoth(got.append)
        return got

    def look(self, seconds: float = LOOK) -> None:
        self.clock.advance(seconds)


@pytest.fixture
def site() -> Site:
    return Site()


def test_each_account_has_one_worker(site: Site) -> None:
    first = site.of(ALICE)
    assert site.of(ALICE) is first
    assert site.of(BOB) is not first
    assert site.monitor.started == [(1001, "alice"), (1002, "bob")]
    assert first.facts.path == "/run/1001-1.sock"


def test_requests_that_come_together_start_one_worker(site: Site) -> None:
    site.monitor.is_slow = True
    first, second = site.ask(ALICE), site.ask(ALICE)
    assert first == second == []
    site.monitor.answer()
    assert first == second
    assert len(site.monitor.started) == 1


def test_all_who_wait_are_told_why_there_is_none(site: Site) -> None:
    site.monitor.is_slow = True
    first, second = site.ask(ALICE), site.ask(ALICE)
    site.monitor.refuses = WorkerRefused(1, "locked", "shadow")
    site.monitor.answer()
    for got in (*first, *second):
        assert isinstance(got, Failure)
        assert got.check(AccountClosed)
    assert site.workers.count == 0


@pytest.mark.parametrize(
    ("refusal", "error", "says"),
    [
        (WorkerRefused(1, "locked", "x"), AccountClosed, "locked"),
        (WorkerRefused(1, "expired", "x"), AccountClosed, "expired"),
        (WorkerRefused(1, "closed", "x"), AccountClosed, "nologin"),
        (WorkerRefused(1, "renamed", "x"), AccountClosed, "renamed"),
        (WorkerRefused(1, "root", "x"), AccountClosed, "root"),
        (WorkerRefused(1, "below-minimum", "x"), AccountClosed, "system"),
        (WorkerRefused(1, "unknown", "x"), AccountClosed, "not exist"),
        (WorkerRefused(1, "broken", "PAM said 4"), NoWorker, "could not start"),
        (WorkerRefused(1, "good", "no memory"), NoWorker, "could not start"),
        (NoWorker("no monitor"), NoWorker, "could not start"),
    ],
)
def test_a_refusal_says_what_the_person_may_know(site: Site, refusal: Any, error: type[Exception], says: str) -> None:
    site.monitor.refuses = refusal
    with pytest.raises(error) as raised:
        site.of(ALICE)
    assert says in getattr(raised.value, "public", "")
    assert "PAM" not in getattr(raised.value, "public", "")
    site.monitor.refuses = None
    assert site.of(ALICE).worker.is_serving()


def test_a_worker_that_died_is_replaced(site: Site) -> None:
    first = site.of(ALICE)
    site.workers.ended(first.facts.number, "signal 9")
    second = site.of(ALICE)
    assert second is not first
    assert site.workers.count == 1


def test_the_end_of_an_unknown_worker_is_nothing(site: Site) -> None:
    site.workers.ended(99, "exit 0")
    site.of(ALICE)
    site.workers.ended(99, "exit 0")
    assert site.workers.count == 1


def test_an_unused_worker_ends_after_its_time(site: Site) -> None:
    one = site.of(ALICE)
    site.workers.begin(one)
    site.look(700)
    assert site.monitor.stopped == []
    site.workers.done(one)
    site.look()
    assert site.monitor.stopped == []
    for _ in range(50):
        site.look()
    assert site.monitor.stopped == [1]
    site.workers.ended(1, "exit 0")
    assert site.workers.count == 0
    assert site.of(ALICE).facts.number == 2


def test_a_worker_whose_groups_changed_gets_no_new_requests_and_ends_after_those_it_has(site: Site) -> None:
    old = site.of(BOB)
    site.workers.begin(old)
    site.accounts.known[1002] = Principal("bob", 1002, 1002, frozenset({1002}))
    site.look()
    new = site.of(site.accounts.known[1002])
    assert new is not old
    assert site.monitor.stopped == []
    site.workers.done(old)
    assert site.monitor.stopped == [1]
    assert site.of(site.accounts.known[1002]) is new


def test_an_account_that_nobody_can_read_keeps_its_worker(site: Site) -> None:
    """Whether it may be used at all others look after."""
    site.of(ALICE)
    del site.accounts.known[1001]
    site.look()
    assert site.monitor.stopped == []
    assert site.workers.in_use == {1001: "alice"}


def test_an_accounts_workers_end_at_once(site: Site) -> None:
    one = site.of(ALICE)
    site.workers.begin(one)
    site.of(BOB)
    site.workers.end(1001)
    assert site.monitor.stopped == [1]
    assert not one.worker.is_serving()
    assert site.workers.in_use == {1002: "bob"}


def test_the_limit_displaces_the_one_unused_for_longest(site: Site) -> None:
    site = Site(limit=2)
    site.of(ALICE)
    site.clock.advance(1)
    site.of(BOB)
    with pytest.raises(Busy):
        site.of(CAROL)
    assert site.monitor.stopped == [1]
    site.workers.ended(1, "stopped")
    assert site.of(CAROL).worker.is_serving()


def test_workers_in_use_are_not_displaced(site: Site) -> None:
    site = Site(limit=1)
    site.workers.begin(site.of(ALICE))
    with pytest.raises(Busy):
        site.of(BOB)
    assert site.monitor.stopped == []


def test_one_that_is_ended_while_it_starts_never_serves(site: Site) -> None:
    site.monitor.is_slow = True
    got = site.ask(ALICE)
    site.workers.end(1001)
    [failure] = got
    assert isinstance(failure, Failure)
    assert failure.check(NoWorker)
    site.monitor.answer()
    assert site.monitor.stopped == [1]
    site.workers.ended(1, "stopped")
    assert site.workers.count == 0


def test_who_leaves_while_it_starts_harms_nobody(site: Site) -> None:
    site.monitor.is_slow = True
    leaving: Deferred[One] = Deferred.fromCoroutine(site.workers.of(ALICE))
    leaving.addErrback(lambda _: None)
    staying = site.ask(ALICE)
    leaving.cancel()
    site.monitor.answer()
    [one] = staying
    assert isinstance(one, One)


def test_a_portal_that_stops_starts_none(site: Site) -> None:
    site.workers.stop()
    with pytest.raises(Busy):
        site.of(ALICE)
    assert site.clock.getDelayedCalls() == []


def test_a_viewer_of_before_the_groups_changed_has_the_worker_replaced_once(site: Site) -> None:
    site.of(BOB)
    site.accounts.known[1002] = Principal("bob", 1002, 1002, frozenset({1002}))
    site.look()
    new = site.of(BOB)
    site.look()
    site.look()
    assert site.of(BOB) is new
    assert len(site.monitor.started) == 2
