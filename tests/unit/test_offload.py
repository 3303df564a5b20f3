from __future__ import annotations

import threading

import pytest
from twisted.internet.defer import Deferred

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


def test_one_call_more_than_may_wait_is_refused(reactor: FakeReactor) -> None:
    offload = Offload(reactor, name="test", threads=1, waiting=2)
    offload.start()
    gate = threading.Event()
    done = [offload.run(gate.wait, 5), offload.run(int)]
    with pytest.raises(Busy):
        offload.run(int)
    gate.set()
    reactor.turn()
    reactor.turn()
    done.append(offload.run(int))
    reactor.turn()
    offload.stop()
    assert [_result(one) for one in done] == [True, 0, 0]


def test_it_may_be_stopped_twice_and_without_a_start(reactor: FakeReactor) -> None:
    offload = Offload(reactor, name="test")
    offload.stop()
    offload.start()
    offload.stop()
    offload.stop()
