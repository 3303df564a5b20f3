"""A reactor whose turns a test takes: ready descriptors are read and written, the clock stands still."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock


class Turning(Clock):
    """A clock that keeps apart what Twisted's lumps together: calls for the next turn, and those for the one after."""

    def turn(self) -> None:
        """Do what was due before this turn began."""
        due = [call for call in self.calls if call.getTime() <= self.seconds()]
        for call in due:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)


class TurnedReactor(Clock):
    """Implements what sockets of ours need of a reactor."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()

    def addReader(self, one: Any) -> None:
        self.readers.add(one)

    def removeReader(self, one: Any) -> None:
        self.readers.discard(one)

    def addWriter(self, one: Any) -> None:
        self.writers.add(one)

    def removeWriter(self, one: Any) -> None:
        self.writers.discard(one)

    def turn(self, wait: float = 0.0) -> bool:
        """One turn; whether anything was ready within ``wait`` seconds."""
        ready, writable, _ = select.select(list(self.readers), list(self.writers), [], wait)
        for one in ready:
            if one in self.readers:
                one.doRead()
        for one in writable:
            if one in self.writers:
                one.doWrite()
        return bool(ready or writable)

    def settle(self) -> None:
        """Turns until nothing is ready."""
        while self.turn():
            pass

    def turn_while(self, call: Callable[[], Any], within: float = 10.0) -> Any:
        """Run a call that waits in a thread, and turn until it is done; what it returns or raises."""
        result: list[Any] = []

        def run() -> None:
            try:
                result.append(call())
            except BaseException as error:
                result.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        ends = time.monotonic() + within
        while thread.is_alive() and time.monotonic() < ends:
            self.turn(0.005)
        thread.join(1)
        if isinstance(result[0], BaseException):
            raise result[0]
        return result[0]
