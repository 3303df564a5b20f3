"""How often a scheduler is asked."""

from __future__ import annotations

import threading

import pytest

from supercloud.applications.shared_jobs import MOST_WATCHED, SHARED, SharedJobs
from supercloud.scheduler.interface import Job, Silent
from tests.fakes.scheduler import FakeScheduler


class Here:
    def __init__(self) -> None:
        self.scheduler = FakeScheduler()
        self.now = 1000.0
        self.jobs = SharedJobs(self.scheduler, lambda: self.now)

    def watch_for(self, seconds: float) -> int:
        """Watch twice a second; how often the scheduler was asked."""
        before = self.scheduler.asked
        for _ in range(round(seconds * 2)):
            self.now += 0.5
            self.jobs.watch()
        return self.scheduler.asked - before


@pytest.fixture
def here() -> Here:
    return Here()


def test_pages_share_an_answer_for_two_seconds(here: Here) -> None:
    here.jobs.get()
    here.now += SHARED - 0.1
    here.jobs.get()
    assert here.scheduler.asked == 1
    here.now += 0.1
    here.jobs.get()
    assert here.scheduler.asked == 2


def test_the_longer_nothing_changes_the_more_rarely_who_watches_asks(here: Here) -> None:
    here.scheduler.has("7")
    here.jobs.watch()
    assert here.watch_for(20) == 10
    assert here.watch_for(60) <= 20
    here.watch_for(100)
    assert here.watch_for(10 * MOST_WATCHED) == 10


def test_a_change_has_it_watched_closely_again(here: Here) -> None:
    here.scheduler.has("7", state="pending")
    here.watch_for(300)
    here.scheduler.has("7", state="running")
    assert here.watch_for(MOST_WATCHED) >= 1
    assert here.jobs.watch()[0].state == "running"
    assert here.watch_for(10) >= 4


def test_a_page_that_somebody_opens_is_not_older_for_all_that(here: Here) -> None:
    here.watch_for(300)
    here.scheduler.has("7")
    here.now += SHARED
    assert [job.id for job in here.jobs.get()] == ["7"]


def test_what_was_started_is_seen_at_once_and_watched_closely(here: Here) -> None:
    here.watch_for(300)
    here.scheduler.has("7")
    here.jobs.forget()
    assert [job.id for job in here.jobs.watch()] == ["7"]
    assert here.watch_for(10) == 5


def test_a_clock_that_was_set_back_holds_nothing_up(here: Here) -> None:
    here.jobs.get()
    here.now -= 1000
    here.scheduler.has("7")
    assert here.jobs.get()


def test_that_nobody_answers_is_shared_and_asked_again(here: Here) -> None:
    here.scheduler.trouble = Silent("no")
    for _ in range(3):
        with pytest.raises(Silent):
            here.jobs.get()
    here.scheduler.trouble = None
    with pytest.raises(Silent):
        here.jobs.get()
    here.now += SHARED
    assert here.jobs.get() == []


def test_who_comes_while_it_is_being_asked_shares_the_answer(here: Here) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def jobs() -> list[Job]:
        here.scheduler.asked += 1
        asked.set()
        assert may_answer.wait(10)
        return []

    here.scheduler.jobs = jobs  # type: ignore[method-assign]
    threads = [threading.Thread(target=here.jobs.get) for _ in range(5)]
    threads[0].start()
    assert asked.wait(10)
    for thread in threads[1:]:
        thread.start()
    may_answer.set()
    for thread in threads:
        thread.join()
    assert here.scheduler.asked == 1
