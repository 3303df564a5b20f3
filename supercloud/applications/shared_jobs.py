"""What the scheduler said last about an account's jobs: one answer for all pages of the account, and one question at a
time, so that what is asked of a cluster's one scheduler is in the number of people and not of their pages.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from supercloud.scheduler.interface import Job, Scheduler, SchedulerError

# Seconds that an answer is shared by all pages of the account.
SHARED: Final = 2.0
# Who waits for a change is told of it within a tenth of the time for which there was none, and of these seconds.
MOST_WATCHED: Final = 15.0
_WATCHED: Final = 0.1


class SharedJobs:
    """Asks a scheduler, and remembers what it said.

    :param clock: seconds since the epoch.
    """

    def __init__(self, scheduler: Scheduler, clock: Callable[[], float]) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._asking = threading.Lock()
        self._said: list[Job] | SchedulerError | None = None
        self._at = 0.0
        self._last: list[Job] | None = None
        self._changed = 0.0

    def get(self) -> list[Job]:
        """All jobs, as of the last two seconds.

        :raises SchedulerError: nobody could say; that is shared, too.
        """
        with self._asking:
            return self._get(SHARED)

    def watch(self) -> list[Job]:
        """The same for whoever only waits for a change, from an answer that is the older the longer nothing changed.

        :raises SchedulerError: nobody could say.
        """
        with self._asking:
            return self._get(min(MOST_WATCHED, max(SHARED, _WATCHED * (self._clock() - self._changed))))

    def forget(self) -> None:
        """Ask anew next time, and watch closely: something was started or stopped."""
        with self._asking:
            self._said = None
            self._changed = self._clock()

    def _get(self, believed: float) -> list[Job]:
        if self._said is None or not 0 <= self._clock() - self._at < believed:
            self._ask()
        if isinstance(self._said, SchedulerError):
            raise type(self._said)(*self._said.args)  # one of its own for each, as it takes along whence it was raised
        return self._said or []

    def _ask(self) -> None:
        try:
            self._said = self._scheduler.jobs()
        except SchedulerError as error:
            self._said = error
        self._at = self._clock()
        if not isinstance(self._said, SchedulerError) and self._said != self._last:
            self._last, self._changed = self._said, self._at
