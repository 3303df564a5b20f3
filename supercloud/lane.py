"""How much of one kind is done at once, and who is next: each account, or each address, has a line of its own."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Hashable
from functools import partial

from twisted.internet.defer import Deferred

from supercloud.errors import Busy


class Lane:
    """Places, which are taken by turns.

    :param what: is asked about, for the log.
    :param most: places.
    :param of_one: places of one account; one that makes its questions take long keeps room for others.
    :param waiting: of one account; more are refused.
    """

    def __init__(self, what: str, *, most: int, of_one: int, waiting: int) -> None:
        self._what = what
        self._most = most
        self._of_one = of_one
        self._waiting = waiting
        self._inside: Counter[Hashable] = Counter()
        self._count = 0
        self._is_going_on = False
        self._lines: dict[Hashable, deque[Deferred[None]]] = {}
        # Accounts with a line and fewer places than they may have.
        self._ready: OrderedDict[Hashable, None] = OrderedDict()

    def __len__(self) -> int:
        """Places that are taken."""
        return self._count

    def enter(self, who: Hashable) -> Deferred[None]:
        """Wait for a place; `leave` must follow, unless the wait is cancelled or fails.

        :raises Busy: too many of the account wait.
        """
        line = self._lines.setdefault(who, deque())
        if len(line) >= self._waiting:
            raise Busy(
                f"{len(line)} questions about {self._what} of {who!r} wait",
                public="Too many requests of yours wait for the same. Send fewer at once, and try again in a moment.",
            )
        waiting: Deferred[None] = Deferred(partial(self._left_line, who))
        line.append(waiting)
        self._mark(who)
        self._go_on()
        return waiting

    def leave(self, who: Hashable) -> None:
        """A place is free."""
        self._inside[who] -= 1
        if not self._inside[who]:
            del self._inside[who]
        self._count -= 1
        self._mark(who)
        self._go_on()

    def close(self, error: Exception) -> None:
        """Tell whoever waits that there will be no place."""
        lines, self._lines = self._lines, {}
        self._ready.clear()
        for waiting in [one for line in lines.values() for one in line]:
            if not waiting.called:  # or whoever was told before has ended it
                waiting.errback(error)

    def _left_line(self, who: Hashable, waiting: Deferred[None]) -> None:
        if who in self._lines:  # or it is being closed
            self._lines[who].remove(waiting)
            self._mark(who)

    def _mark(self, who: Hashable) -> None:
        """Note whether the account is to be thought of."""
        if not self._lines.get(who):
            self._lines.pop(who, None)
            self._ready.pop(who, None)
        elif self._inside[who] < self._of_one:
            self._ready.setdefault(who)

    def _go_on(self) -> None:
        if self._is_going_on:  # whoever got a place has left it again already
            return
        self._is_going_on = True
        try:
            self._let_in()
        finally:
            self._is_going_on = False

    def _let_in(self) -> None:
        while self._ready and self._count < self._most:
            who, _ = self._ready.popitem(last=False)
            waiting = self._lines[who].popleft()
            self._inside[who] += 1
            self._count += 1
            self._mark(who)
            waiting.callback(None)
