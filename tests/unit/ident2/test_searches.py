"""Searches for holders that take long: they hold up whose sockets they are for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from supercloud.errors import Busy, Undecided
from supercloud.ident2.processes import Process
from supercloud.ident2.searches import PATIENCE, WAITING, Searches

EVIL, ALICE = 1001, 1002
HOLDER = [Process(7, ALICE, ALICE, frozenset(), started=0)]


class Monitor:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.asked: list[tuple[int, int, Deferred[list[Process]]]] = []
        self.searches = Searches(self._find, self.clock)

    async def _find(self, inode: int, uid: int) -> list[Process]:
        answered: Deferred[list[Process]] = Deferred()
        self.asked.append((inode, uid, answered))
        return await answered

    def ask(self, inode: int, uid: int) -> Deferred[list[Process]]:
        return Deferred.fromCoroutine(self.searches.find(inode, uid))


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    made = Monitor()
    yield made
    for _, _, answered in made.asked:
        if not answered.called:
            answered.callback([])


def test_slow_searches_for_one_accounts_sockets_leave_a_place_to_another(monitor: Monitor) -> None:
    evil = [monitor.ask(inode, EVIL) for inode in range(WAITING + 1)]
    mine = monitor.ask(4711, ALICE)
    assert [one[:2] for one in monitor.asked] == [(0, EVIL), (4711, ALICE)]
    monitor.asked[1][2].callback(HOLDER)
    assert mine.result == HOLDER
    with pytest.raises(Busy):
        monitor.searches.find(9999, EVIL).send(None)
    assert not any(one.called for one in evil)
    monitor.clock.advance(PATIENCE)
    assert [one.called for one in evil] == [False] + [True] * WAITING
    for one in evil[1:]:
        assert one.result.type is Undecided
        one.addErrback(lambda _: None)
    monitor.asked[0][2].callback([])
    assert evil[0].result == []
    assert monitor.clock.getDelayedCalls() == []


def test_one_socket_is_searched_for_once_at_a_time(monitor: Monitor) -> None:
    """As when an answer takes longer than a try's patience."""
    asked = [monitor.ask(4711, ALICE) for _ in range(3)]
    assert len(monitor.asked) == 1
    asked[1].addErrback(lambda _: None)
    asked[1].cancel()
    monitor.asked[0][2].callback(HOLDER)
    assert asked[0].result == asked[2].result == HOLDER
    monitor.ask(4711, ALICE)
    assert len(monitor.asked) == 2


def test_a_search_that_fails_gives_its_place_back(monitor: Monitor) -> None:
    for number in range(3):
        asked = monitor.ask(4711, ALICE)
        monitor.asked[number][2].errback(Undecided("not all processes were seen in time"))
        assert asked.result.type is Undecided
        asked.addErrback(lambda _: None)
