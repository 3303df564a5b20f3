"""A time limit that is moved on every message and costs one timer for its whole life."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadline:
    """Calls ``expired`` once the limit passes; moving the limit is two assignments.

    The timer is left where it is when the limit moves on, and looks again when it fires: a limit is set for each
    request, a timer fires once in a while.
    """

    __slots__ = ("_call", "_clock", "_due", "_expired")

    def __init__(self, clock: IReactorTime, expired: Callable[[], object]) -> None:
        self._clock = clock
        self._expired = expired
        self._due: float | None = None
        self._call: IDelayedCall | None = None

    def set(self, seconds: float) -> None:
        """Expire ``seconds`` from now, whatever was set before."""
        due = self._due = self._clock.seconds() + seconds
        if self._call is None:
            self._call = self._clock.callLater(seconds, self._look)
        elif self._call.getTime() > due:
            self._call.reset(seconds)

    def clear(self) -> None:
        """No limit for now; the timer may still fire, and does nothing."""
        self._due = None

    def cancel(self) -> None:
        """No limit, and no timer left behind."""
        self._due = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        if self._due is None:
            return
        left = self._due - self._clock.seconds()
        if left > 0.001:
            self._call = self._clock.callLater(left, self._look)
        else:
            self._due = None
            self._expired()
