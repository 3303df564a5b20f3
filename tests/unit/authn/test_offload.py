"""What authentication relies on when it asks the store: the same of the fake and of the real thread pool."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from supercloud.offload import Offload
from tests.fakes.offload import FakeOffload


class _Reactor:
    """As much of a reactor as a thread pool needs."""

    def __init__(self) -> None:
        self.calls: queue.Queue[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]] = queue.Queue()

    def callFromThread(self, call: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        self.calls.put((call, args, kwargs))

    def wait(self, fired: list[object]) -> None:
        while not fired:
            call, args, kwargs = self.calls.get(timeout=5)
            call(*args, **kwargs)


@pytest.fixture(params=["fake", "real"])
def answer(request: pytest.FixtureRequest) -> Iterator[Callable[..., object]]:
    reactor = _Reactor()
    real = Offload(reactor, name="store", threads=1)
    offload = real if request.param == "real" else FakeOffload()

    def ask(call: Callable[..., object], *args: object) -> object:
        fired: list[object] = []
        made: Deferred[object] = offload.run(call, *args)
        made.addBoth(fired.append)
        reactor.wait(fired)
        return fired[0]

    real.start()
    yield ask
    real.stop()


def test_the_calls_value_is_the_answer(answer: Callable[..., object]) -> None:
    assert answer(divmod, 7, 2) == (3, 1)


def test_the_calls_exception_is_the_answer(answer: Callable[..., object]) -> None:
    assert answer(divmod, 7, 0).type is ZeroDivisionError
