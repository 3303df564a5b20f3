"""Work that is done again and again."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from supercloud.authn.recurring import Recurring


class Work:
    def __init__(self) -> None:
        self.done = 0
        self.fails = False
        self.clock = Clock()
        self.recurring = Recurring(self.clock, 0.5, self._do, "doing it")

    async def _do(self) -> None:
        self.done += 1
        if self.fails:
            raise RuntimeError("a mistake")


@pytest.fixture
def work() -> Work:
    return Work()


def test_it_is_done_at_once_and_then_again(work: Work) -> None:
    work.recurring.start()
    assert work.done == 1
    work.clock.advance(0.5)
    assert work.done == 2


def test_stopping_leaves_no_timer_behind(work: Work) -> None:
    work.recurring.start()
    work.recurring.stop()
    work.recurring.stop()
    assert work.clock.getDelayedCalls() == []


def test_it_goes_on_after_failures_and_says_so_once_until_it_went_well(work: Work, logged: list[LogEvent]) -> None:
    work.fails = True
    work.recurring.start()
    work.clock.pump([0.5] * 3)
    assert (work.done, len(logged)) == (4, 1)
    work.fails = False
    work.clock.advance(0.5)
    work.fails = True
    work.clock.advance(0.5)
    assert (work.done, len(logged)) == (6, 2)
