from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred

from supercloud.errors import Busy
from supercloud.lane import Lane


@pytest.fixture
def lane() -> Lane:
    return Lane("things", most=3, of_one=2, waiting=4)


def entered(lane: Lane, *uids: int) -> list[Deferred[None]]:
    return [lane.enter(uid) for uid in uids]


def test_there_are_as_many_places_as_said_and_no_more_for_one(lane: Lane) -> None:
    assert [one.called for one in entered(lane, 1, 1, 1, 2, 2)] == [True, True, False, True, False]
    assert len(lane) == 3


def test_a_free_place_goes_to_accounts_by_turns(lane: Lane) -> None:
    entered(lane, 1, 2, 3)
    first = entered(lane, 4, 4, 4)
    other = lane.enter(5)
    lane.leave(1)
    assert [one.called for one in first] == [True, False, False]
    lane.leave(2)
    assert other.called
    lane.leave(3)
    assert [one.called for one in first] == [True, True, False]
    for uid in (4, 4, 5, 4):
        lane.leave(uid)
    assert (len(lane), lane._lines, lane._ready) == (0, {}, {})


def test_one_whose_own_places_are_taken_holds_up_no_other(lane: Lane) -> None:
    waiting = entered(lane, 1, 1, 1)
    assert lane.enter(2).called
    lane.leave(2)
    assert not waiting[2].called
    lane.leave(1)
    assert waiting[2].called


def test_who_stops_waiting_gets_no_place(lane: Lane) -> None:
    entered(lane, 1, 1)
    gone, next_ = entered(lane, 1, 1)
    gone.addErrback(lambda failure: failure.trap(CancelledError))
    gone.cancel()
    lane.leave(1)
    assert next_.called
    assert len(lane) == 2


def test_a_line_has_an_end(lane: Lane) -> None:
    entered(lane, *[1] * 6)
    with pytest.raises(Busy):
        lane.enter(1)
    assert lane.enter(2).called


def test_who_waits_is_told_of_the_end(lane: Lane) -> None:
    told: list[object] = []
    for one in entered(lane, 1, 1, 1, 1):
        one.addErrback(lambda failure: told.append(failure.value))
    error = Busy("the end")
    lane.close(error)
    assert told == [error, error]


def test_very_many_that_leave_at_once_are_let_in_one_after_the_other() -> None:
    lane = Lane("things", most=1, of_one=1, waiting=5000)
    lane.enter(1)
    left = 0

    def leave(_: object) -> None:
        nonlocal left
        left += 1
        lane.leave(1)

    for _ in range(5000):
        lane.enter(1).addCallback(leave)
    lane.leave(1)
    assert left == 5000


def test_who_ends_another_wait_when_told_of_the_end_keeps_nobody_from_being_told(lane: Lane) -> None:
    entered(lane, 1, 1)
    waiting = entered(lane, 1, 1, 1)
    waiting[0].addErrback(lambda _: waiting[1].cancel())
    for one in waiting[1:]:
        one.addErrback(lambda _: None)
    lane.close(Busy("closed"))
    assert [one.result for one in waiting] == [None] * 3
