from __future__ import annotations

from twisted.internet.task import Clock

from supercloud.deadline import Deadline


class Expiries:
    def __init__(self) -> None:
        self.clock = Clock()
        self.times: list[float] = []
        self.deadline = Deadline(self.clock, lambda: self.times.append(self.clock.seconds()))


def test_it_expires_once_when_its_time_has_come() -> None:
    one = Expiries()
    one.deadline.set(5)
    one.clock.pump([4.9, 0.1, 100])
    assert one.times == [5.0]


def test_moving_it_on_costs_no_timer_and_delays_it() -> None:
    one = Expiries()
    one.deadline.set(5)
    one.clock.advance(4)
    one.deadline.set(5)
    assert len(one.clock.getDelayedCalls()) == 1
    one.clock.pump([1, 3.9])
    assert one.times == []
    one.clock.advance(0.1)
    assert one.times == [9.0]


def test_moving_it_nearer_brings_it_forward() -> None:
    one = Expiries()
    one.deadline.set(50)
    one.deadline.set(5)
    one.clock.advance(5)
    assert one.times == [5.0]


def test_cleared_it_does_not_expire_and_can_be_set_again() -> None:
    one = Expiries()
    one.deadline.set(5)
    one.deadline.clear()
    one.clock.advance(10)
    assert one.times == []
    one.deadline.set(5)
    one.clock.advance(5)
    assert one.times == [15.0]


def test_cancelled_it_leaves_no_timer_behind() -> None:
    one = Expiries()
    one.deadline.set(5)
    one.deadline.cancel()
    one.deadline.cancel()
    assert one.clock.getDelayedCalls() == []


def test_it_may_be_set_again_while_it_expires() -> None:
    clock, count = Clock(), [0]

    def expired() -> None:
        count[0] += 1
        deadline.set(1)

    deadline = Deadline(clock, expired)
    deadline.set(1)
    clock.pump([1, 1, 1])
    assert count == [3]
