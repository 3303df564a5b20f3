from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock


class FakeReactor(Clock):
    """A clock that stands still, and real descriptors that are read when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._woken, self._waker = socket.socketpair()

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def callFromThread(self, call: Callable[..., object], *args: Any) -> None:
        self._calls.append((call, args))
        self._waker.send(b"x")

    def turn(self, seconds: float = 3.0) -> None:
        """Wait for something to happen, and let it happen."""
        ready, _, _ = select.select([self._woken, *self.readers], [], [], seconds)
        assert ready, "nothing happens"
        for each in ready:
            if each is self._woken:
                self._woken.recv(4096)
                while self._calls:
                    call, args = self._calls.popleft()
                    call(*args)
            elif each in self.readers:
                each.doRead()

    def until(self, done: Callable[[], object]) -> None:
        """Let things happen until it is done."""
        while not done():
            self.turn()

    def result(self, waiting: Deferred[Any]) -> Any:
        """Let things happen until it fires; its failure is raised."""
        results: list[Any] = []
        waiting.addBoth(results.append)
        self.until(lambda: results)
        if hasattr(results[0], "raiseException"):
            results[0].raiseException()
        return results[0]

    def close(self) -> None:
        self._woken.close()
        self._waker.close()


@pytest.fixture
def reactor() -> Iterator[FakeReactor]:
    made = FakeReactor()
    yield made
    made.close()
