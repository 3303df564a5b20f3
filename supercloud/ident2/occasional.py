"""Counts what happens often and says so seldom."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime


class Occasional:
    """Says the first of its kind, and how many more there were after each interval in which there were some.

    :param say: called with how many have happened since it was last called, and the last one's description.
    :param interval: seconds.
    """

    def __init__(self, clock: IReactorTime, say: Callable[[int, str], object], *, interval: float = 10.0) -> None:
        self._clock = clock
        self._say = say
        self._interval = interval
        self._silent_until = float("-inf")
        self._count = 0
        self.total = 0

    def note(self, description: str) -> None:
        """One more; the reactor's thread only."""
        self.total += 1
        self._count += 1
        now = self._clock.seconds()
        if now >= self._silent_until:
            self._silent_until = now + self._interval
            count, self._count = self._count, 0
            self._say(count, description)
