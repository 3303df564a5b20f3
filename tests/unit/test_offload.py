from __future__ import annotations

import gc
import threading

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python import log

from supercloud.errors import Busy
from supercloud.offload import Offload


class FakeReactor:
    """Calls from threads, collected until the test's own thread makes them."""

    def __init__(self) -> None:
        self._calls: list[tuple[object, tuple[object, ...]]] = []
        self._came = threading.Semaphore(0)

    def callFromThread(self, call: object, *args: object) -> None:
        self._calls.append((call, args))
        self._came.release()

    def turn(self) -> None:
        assert self._came.acquire(timeout=5)
        call, args = self._calls.pop(0)
        call(*args)


@pytest.fixture
def reactor() -> FakeReactor:
    return FakeReactor()


def _result(deferred: Deferred[object]) -> object:
    results: list[object] = []
    deferred.addBoth(results.append)
    return results[0]


def test_a_call_runs_in_another_thread_and_answers_in_this_one(reactor: FakeReactor) -> None:
    offload = Offload(reactor, name="test", threads=1)
    offload.start()
    done = offload.run(threading.get_ident)
    reactor.turn()
    offload.stop()
    assert _result(done) != threading.get_ident()


def test_what_fails_there_fails_here(reactor: FakeReactor) -> None:
    offload = Offload(reactor, name="test", threads=1)
    offload.start()
    done = offload.run(int, "x")
    reactor.turn()
    offload.stop()
    assert _result(done).check(ValueError)


def test_one_call_more_of_an_account_than_may_wait_is_refused(reactor: FakeReactor) -> None:
    offload = Offload(reactor, name="test", threads=1, waiting=1)
    offload.start()
    gate = threading.Event()
    done = [offload.run_for("evil", gate.wait, 5), offload.run_for("evil", int)]
    with pytest.raises(Busy):
        offload.run_for("evil", int)
    done.append(offload.run_for("alice", int))
    done.append(offload.run(int, 7))
    gate.set()
    for _ in range(4):
        reactor.turn()
    offload.stop()
    assert [_result(one) for one in done] == [True, 0, 0, 7]


def test_calls_of_one_account_that_wait_for_ever_leave_threads_to_the_others(reactor: FakeReactor) -> None:
    """As look-ups of names whose DNS never answers do."""
    offload = Offload(reactor, name="test", threads=3, each=2, waiting=500)
    offload.start()
    gate = threading.Event()
    stuck = [offload.run_for("evil", gate.wait, 5) for _ in range(450)]
    done = offload.run_for("alice", int, 7)
    reactor.turn()
    assert _result(done) == 7
    assert not any(one.called for one in stuck)
    gate.set()
    for _ in stuck:
        reactor.turn()
    offload.stop()


def test_a_call_that_nobody_waits_for_keeps_its_thread_until_it_is_back(reactor: FakeReactor) -> None:
    offload = Offload(reactor, name="test", threads=2, each=1, waiting=5)
    offload.start()
    gate = threading.Event()
    gone = offload.run_for("evil", gate.wait, 5)
    gone.addErrback(lambda failure: failure.trap(CancelledError))
    gone.cancel()
    waits = offload.run_for("evil", int, 1)
    left = offload.run_for("evil", int, 2)
    left.addErrback(lambda failure: failure.trap(CancelledError))
    left.cancel()
    assert not waits.called
    gate.set()
    reactor.turn()
    reactor.turn()
    offload.stop()
    assert _result(waits) == 1


def test_who_left_is_told_nothing_when_the_call_is_back(reactor: FakeReactor) -> None:
    offload = Offload(reactor, name="test", threads=1)
    offload.start()
    gate = threading.Event()
    gone = offload.run_for("alice", gate.wait, 5)
    gone.addErrback(lambda failure: failure.trap(CancelledError))
    mistakes: list[str] = []
    log.addObserver(observe := lambda event: mistakes.append(str(event)) if event.get("isError") else None)
    try:
        gone.cancel()
        gate.set()
        reactor.turn()
        offload.stop()
        gc.collect()  # a mistake in a Deferred is told when that is gone
    finally:
        log.removeObserver(observe)
    assert mistakes == []


def test_it_may_be_stopped_twice_and_without_a_start(reactor: FakeReactor) -> None:
    offload = Offload(reactor, name="test")
    offload.stop()
    offload.start()
    offload.stop()
    offload.stop()
