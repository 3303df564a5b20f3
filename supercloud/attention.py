"""Time in which a process looks at what comes: deadlines are held against it.

A process can stand still (SIGSTOP, swapping, a machine that is paused), or be busy with one thing for long. What it
waits for has come meanwhile, or could not come. By the clock on the wall all deadlines would pass in that moment,
before anything was read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

BEAT: Final = 0.5  # seconds that a loop waits at most while there are deadlines, so that standing still is noticed
MOST: Final = 1.0  # seconds that count between two looks


class Attention:
    """A clock for one loop, which says when it looks.

    :param monotonic: seconds.
    """

    __slots__ = ("_last", "_lost", "_monotonic")

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lost = 0.0
        self._last = monotonic()

    def seconds(self) -> float:
        """Seconds that counted, from some moment on."""
        return self._monotonic() - self._lost

    def look(self) -> None:
        """For the loop, around whatever takes time: what is over `MOST` since the last call does not count."""
        now = self._monotonic()
        elapsed = now - self._last
        if elapsed > MOST:
            self._lost += elapsed - MOST
        self._last = now
