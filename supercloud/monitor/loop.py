"""The monitor's only loop: descriptors that become readable or have room, and moments that come.

Moments come in time in which it looks (`supercloud.attention`): nobody is killed because it stood still itself.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import time
from collections.abc import Callable
from contextlib import suppress

from supercloud.attention import BEAT, Attention


class Timer:
    """Something that will be called; see `Loop.after`."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """It will not be called; harmless when it was."""
        self.call = None


class Loop:
    """Calls back; whatever a callback raises ends it.

    :param monotonic: seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._attention = Attention(monotonic)
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()

    def watch(self, descriptor: int, is_readable: Callable[[], object]) -> None:
        """Call back whenever a descriptor is readable or at its end."""
        self._selector.register(descriptor, selectors.EVENT_READ, is_readable)

    def watch_room(self, descriptor: int, has_room: Callable[[], object]) -> None:
        """Call back whenever something can be sent, or nobody is there to read it; nothing is read meanwhile."""
        self._selector.register(descriptor, selectors.EVENT_WRITE, has_room)

    def unwatch(self, descriptor: int) -> None:
        """No more of it, if it was watched; before it is closed."""
        with suppress(KeyError):
            self._selector.unregister(descriptor)

    def after(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Call back once."""
        timer = Timer(call)
        heapq.heappush(self._timers, (self._attention.seconds() + seconds, next(self._count), timer))
        return timer

    def run(self) -> None:
        """Turn until something is raised."""
        while True:
            self.turn()

    def turn(self, patience: float | None = None) -> None:
        """Wait until something happens, and let it happen.

        :param patience: seconds to wait at most.
        """
        ready = self._selector.select(self._wait(patience))
        self._attention.look()
        for key, _ in ready:
            if self._selector.get_map().get(key.fd) is key:  # not unwatched by what was called just before
                key.data()
        self._attention.look()
        now = self._attention.seconds()
        while self._timers and self._timers[0][0] <= now:
            call = heapq.heappop(self._timers)[2].call
            if call is not None:
                call()

    def close(self) -> None:
        """Watch nothing any more."""
        self._selector.close()

    def _wait(self, patience: float | None) -> float | None:
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return patience
        due = min(BEAT, max(0.0, self._timers[0][0] - self._attention.seconds()))
        return due if patience is None else min(due, patience)
