"""Few places for many accounts: who asks for much waits behind their own, and is the one who is refused."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred, succeed

from supercloud.errors import Busy

T = TypeVar("T")

_MINE = "You have asked for too much at once, and most of it still waits. Try again in a moment."


class Line(Generic[T]):
    """A line that is served by turns: one item of each account, again and again.

    A path says whose an item is, as in ``(account,)``, or ``(address, account)``: addresses take turns, and so do the
    accounts at each. The empty path goes before all. Not for several threads at once.
    """

    def __init__(self) -> None:
        self._first: deque[T] = deque()
        self._below: OrderedDict[Hashable, Line[T]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, path: tuple[Hashable, ...], item: T) -> None:
        """At the end of that account's."""
        self._length += 1
        if not path:
            self._first.append(item)
            return
        line = self._below.get(path[0])
        if line is None:
            line = self._below[path[0]] = Line()
        line.put(path[1:], item)

    def take(self, may: Callable[[Hashable], bool] = lambda _: True) -> T:
        """Whose turn it is.

        :param may: whether it can be the turn of what begins with that.
        :raises LookupError: nobody's.
        """
        if self._first:
            self._length -= 1
            return self._first.popleft()
        for key, line in self._below.items():
            if may(key):
                item = line.take()
                self._length -= 1
                self._below.move_to_end(key)
                self._leave(key)
                return item
        raise LookupError

    def remove(self, path: tuple[Hashable, ...], item: T) -> None:
        """Who does not wait any more.

        :raises ValueError, KeyError: it is not there.
        """
        if path:
            self._below[path[0]].remove(path[1:], item)
            self._leave(path[0])
        else:
            self._first.remove(item)
        self._length -= 1

    def _leave(self, key: Hashable) -> None:
        if not self._below[key]:
            del self._below[key]


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    path: tuple[Hashable, ...]
    entered: Deferred[None]


class Shares:
    """Places, and a line for them.

    What comes without a path is the portal's own: it goes before all accounts and has no share.

    :param what: that the places are for, in the log.
    :param places: taken at once.
    :param each: of them by one account, which is the path's first part; None: all.
    :param waiting: in the line, for each account.
    :param public: told to who is refused.
    """

    def __init__(self, what: str, *, places: int, each: int | None = None, waiting: int, public: str = _MINE) -> None:
        self._what = what
        self._places = places
        self._each = places if each is None else each
        self._most = waiting
        self._public = public
        self._line: Line[_Waiting] = Line()
        self._inside = 0
        self._is_calling = False
        self._held: Counter[tuple[Hashable, ...]] = Counter()
        self._waits: Counter[tuple[Hashable, ...]] = Counter()

    def has_room(self, *path: Hashable) -> bool:
        """Whether `enter` would not wait."""
        return self._inside < self._places and self._may(path[:1])

    def enter(self, *path: Hashable) -> Deferred[None]:
        """Wait for a place; once there is one, `leave` gives it back. Cancelling the wait is fine.

        :raises Busy: as many of that account's wait as may.
        """
        if self.has_room(*path):
            self._take(path)
            return succeed(None)
        if self._waits[path[:1]] >= self._most:
            raise Busy(f"{self._waits[path[:1]]} of {path[:1]!a} wait for {self._what}", public=self._public)
        waiting = _Waiting(path, Deferred(lambda _: self._give_up(waiting)))
        self._waits[path[:1]] += 1
        self._line.put(path, waiting)
        return waiting.entered

    def leave(self, *path: Hashable) -> None:
        """Give a place back."""
        self._inside -= 1
        _less(self._held, path[:1])
        if self._is_calling:  # whoever got a place has given it back already; calls in calls would have no end
            return
        self._is_calling = True
        try:
            while (waiting := self._next()) is not None:
                waiting.entered.callback(None)
        finally:
            self._is_calling = False

    def _next(self) -> _Waiting | None:
        """Who gets a place now, if there is one and anybody may have it."""
        if self._inside >= self._places:
            return None
        try:
            waiting = self._line.take(lambda key: self._may((key,)))
        except LookupError:
            return None
        _less(self._waits, waiting.path[:1])
        self._take(waiting.path)
        return waiting

    def _may(self, account: tuple[Hashable, ...]) -> bool:
        return not account or self._held[account] < self._each

    def _take(self, path: tuple[Hashable, ...]) -> None:
        self._inside += 1
        self._held[path[:1]] += 1

    def _give_up(self, waiting: _Waiting) -> None:
        self._line.remove(waiting.path, waiting)
        _less(self._waits, waiting.path[:1])


def _less(counter: Counter[tuple[Hashable, ...]], key: tuple[Hashable, ...]) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
