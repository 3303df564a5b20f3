from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from supercloud.monitor.loop import Loop


class Time:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def loop(time: Time) -> Iterator[Loop]:
    made = Loop(time)
    yield made
    made.close()


def test_what_comes_due_is_called_in_order_and_once(loop: Loop, time: Time) -> None:
    called: list[str] = []
    loop.after(0.8, lambda: called.append("second"))
    loop.after(0.4, lambda: called.append("first"))
    loop.after(1.2, lambda: called.append("third"))
    time.now += 0.8
    loop.turn(0)
    loop.turn(0)
    assert called == ["first", "second"]


def test_a_timer_that_was_cancelled_is_not_called(loop: Loop, time: Time) -> None:
    called: list[str] = []
    loop.after(1, lambda: called.append("it")).cancel()
    time.now += 2
    loop.turn(0)
    assert called == []


def test_time_in_which_it_stood_still_does_not_count(loop: Loop, time: Time) -> None:
    """Who was to answer within 10 s had no chance to be heard."""
    called: list[str] = []
    loop.after(10, lambda: called.append("late"))
    loop.turn(0)
    time.now += 3600
    loop.turn(0)
    assert called == []
    for _ in range(10):
        time.now += 1
        loop.turn(0)
    assert called == ["late"]


def test_a_busy_callback_makes_nobody_late(loop: Loop, time: Time) -> None:
    called: list[str] = []

    def work() -> None:
        time.now += 60

    loop.after(0, work)
    loop.after(10, lambda: called.append("late"))
    loop.turn(0)
    loop.turn(0)
    assert called == []


def test_where_there_is_room_is_called(loop: Loop) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    called: list[str] = []
    with ours, theirs:
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                ours.send(b"x")
        loop.watch_room(ours.fileno(), lambda: called.append("room"))
        loop.turn(0)
        assert called == []
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                theirs.recv(9)
        loop.turn(0)
        assert called == ["room"]


def test_what_is_readable_is_called(loop: Loop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop.watch(ours.fileno(), lambda: called.append(ours.recv(9)))
        called: list[bytes] = []
        theirs.send(b"hello")
        loop.turn()
        loop.unwatch(ours.fileno())
        loop.unwatch(ours.fileno())
        theirs.send(b"more")
        loop.turn(0)
        assert called == [b"hello"]


def test_what_was_unwatched_a_moment_before_is_not_called(loop: Loop) -> None:
    """Two became readable at once; the first one's callback closes the second, whose number is then another's."""
    pipes = [os.pipe() for _ in range(2)]
    called: list[int] = []

    def readable(own: int, other: int) -> None:
        called.append(own)
        loop.unwatch(other)
        os.close(other)
        again, writing = os.pipe()  # may get the other's number
        loop.watch(again, lambda: called.append(-1))
        pipes.append((again, writing))

    (first, one), (second, two) = pipes
    loop.watch(first, lambda: readable(first, second))
    loop.watch(second, lambda: readable(second, first))
    os.write(one, b"x")
    os.write(two, b"x")
    loop.turn()
    assert len(called) == 1 and called != [-1]
    for descriptor in {*sum(pipes, ())} - ({first, second} - {called[0]} - {pipes[2][0]}):
        os.close(descriptor)


def test_what_a_callback_raises_ends_the_loop(loop: Loop) -> None:
    class End(BaseException):
        pass

    def end() -> None:
        raise End

    loop.after(0, end)
    with pytest.raises(End):
        loop.run()
