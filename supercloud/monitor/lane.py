"""How many questions of one kind the monitor has at once, and who is next: each account has a line of its own."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from functools import partial

from twisted.internet.defer import Deferred

from supercloud.errors import Busy


class Lane:
    """Places, which accounts take by turns.

    :param what: is asked about, for the log.
    :param most: places; below what the monitor lets wait.
    :param per_uid: places of one account; one that makes its questions take long keeps room for others.
    :param waiting: of one account; more are refused.
    """

    def __init__(self, what: str, *, most: int, per_uid: int, waiting: int) -> None:
        self._what = what
        self._most = most
        self._per_uid = per_uid
        self._waiting = waiting
        self._inside: Counter[int] = Counter()
        self._count = 0
        self._lines: dict[int, deque[Deferred[None]]] = {}
        self._ready: OrderedDict[int, None] = OrderedDict()  # accounts with a line and fewer places than they may have

    def __len__(self) -> int:
        """Places that are taken."""
        return self._count

    def enter(self, uid: int) -> Deferred[None]:
        """Wait for a place; `leave` must follow, unless the wait is cancelled or fails.

        :raises Busy: too many of the account wait.
        """
        line = self._lines.setdefault(uid, deque())
        if len(line) >= self._waiting:
            raise Busy(
                f"{len(line)} questions about {self._what} of uid {uid} wait",
                public="Too many requests of yours wait for the same. Send fewer at once, and try again in a moment.",
            )
        waiting: Deferred[None] = Deferred(partial(self._left_line, uid))
        line.append(waiting)
        self._mark(uid)
        self._go_on()
        return waiting

    def leave(self, uid: int) -> None:
        """A place is free."""
        self._inside[uid] -= 1
        if not self._inside[uid]:
            del self._inside[uid]
        self._count -= 1
        self._mark(uid)
        self._go_on()

    def close(self, error: Exception) -> None:
        """Tell whoever waits that there will be no place."""
        lines, self._lines = self._lines, {}
        self._ready.clear()
        for waiting in [one for line in lines.values() for one in line]:
            waiting.errback(error)

    def _left_line(self, uid: int, waiting: Deferred[None]) -> None:
        self._lines[uid].remove(waiting)
        self._mark(uid)

    def _mark(self, uid: int) -> None:
        """Note whether the account is to be thought of."""
        if not self._lines.get(uid):
            self._lines.pop(uid, None)
            self._ready.pop(uid, None)
        elif self._inside[uid] < self._per_uid:
            self._ready.setdefault(uid)

    def _go_on(self) -> None:
        while self._ready and self._count < self._most:
            uid, _ = self._ready.popitem(last=False)
            waiting = self._lines[uid].popleft()
            self._inside[uid] += 1
            self._count += 1
            self._mark(uid)
            waiting.callback(None)
