"""Work that is done again and again, and goes on when it fails."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from supercloud import events


class Recurring:
    """Does one thing every so many seconds, one time after the other.

    A failure is logged once, not each time; the next one after a success is said again.

    :param doing: names it in the log.
    """

    def __init__(
        self, clock: IReactorTime, seconds: float, work: Callable[[], Coroutine[Any, Any, None]], doing: str
    ) -> None:
        self._seconds = seconds
        self._work = work
        self._doing = doing
        self._is_failing = False
        self._loop = LoopingCall(self._turn)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin, now."""
        self._loop.start(self._seconds, now=True)

    def stop(self) -> None:
        """Leave no timer behind; does nothing when it was never started."""
        if self._loop.running:
            self._loop.stop()

    def _turn(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._work()).addCallbacks(self._went_well, self._failed)

    def _went_well(self, _: None) -> None:
        self._is_failing = False

    def _failed(self, failure: Failure) -> None:
        if not self._is_failing:
            self._is_failing = True
            events.unexpected(doing=self._doing, failure=failure)
