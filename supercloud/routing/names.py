"""Looking up what names of nodes stand for: few at once for each account, and no name twice at once.

Whoever may make a name in a domain of theirs decides how long its look-up takes: up to a minute with the C library.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from supercloud import events
from supercloud.errors import Undecided
from supercloud.lines import Shares

# Seconds that a look-up is believed: long enough for the seventy requests of a page, far below a job's life.
BELIEVED: Final = 5.0
PATIENCE: Final = 15.0  # seconds that a request waits for a name: its turn, and its look-up
PLACES: Final = 96  # look-ups at once
EACH: Final = 3  # of them for one account
WAITING: Final = 20  # more names of one account that wait for their turn
_MOST_REMEMBERED: Final = 4096
_TOO_MANY: Final = (
    "Many names of nodes that you asked for are still being looked up. Check them, and try again in a minute."
)
_SLOW: Final = "The name of this node could not be looked up in time. Check it, or tell the site if it is right."

Addresses = tuple[str, ...]
Resolve = Callable[[str], Awaitable[Addresses]]


class Names:
    """Names and their addresses, as they were found a moment ago.

    :param resolve: looks one up, however long that takes; never fails for the name's sake.
    """

    def __init__(self, resolve: Resolve, clock: IReactorTime) -> None:
        self._resolve = resolve
        self._clock = clock
        self._shares = Shares("names of nodes", places=PLACES, each=EACH, waiting=WAITING, public=_TOO_MANY)
        self._remembered: OrderedDict[str, tuple[float, Addresses]] = OrderedDict()
        self._running: dict[str, list[Deferred[Addresses]]] = {}
        self._queued: dict[tuple[str, int], list[Deferred[Addresses]]] = {}

    def believed(self, name: str) -> Addresses | None:
        """What a name was found to stand for a moment ago; None when it must be asked."""
        known = self._remembered.get(name)
        return known[1] if known is not None and self._clock.seconds() - known[0] < BELIEVED else None

    async def addresses(self, name: str, uid: int) -> Addresses:
        """What a name stands for; nothing when nobody knows it.

        :param uid: in whose share it is looked up.
        :raises Busy: too many names of that account wait; it was not looked up.
        :raises Undecided: it takes too long.
        """
        known = self.believed(name)
        if known is not None:
            return known
        answered: Deferred[Addresses] = Deferred()
        # What another account has asked for and what waits is not waited for: its turn may be long in coming.
        waiting = self._running.get(name) or self._queued.get((name, uid))
        if waiting is not None:
            waiting.append(answered)
        else:
            self._ask(name, uid, answered)
        answered.addTimeout(PATIENCE, self._clock, lambda result, _: self._too_slow(result, name))
        return await answered

    def _ask(self, name: str, uid: int, answered: Deferred[Addresses]) -> None:
        """:raises Busy: there is no room for another of that account."""
        entered = self._shares.enter(uid)
        waiting = self._queued[name, uid] = [answered]
        events.watch(entered.addCallback(lambda _: self._begin(name, uid, waiting)), "looking up a name")

    def _begin(self, name: str, uid: int, waiting: list[Deferred[Addresses]]) -> None:
        del self._queued[name, uid]
        known = self.believed(name)
        if known is not None:
            self._shares.leave(uid)
            _tell(waiting, known)
        elif name in self._running:  # another account's turn came first
            self._shares.leave(uid)
            self._running[name] += waiting
        elif all(one.called for one in waiting):  # nobody waits any more
            self._shares.leave(uid)
        else:
            self._running[name] = waiting
            events.watch(Deferred.fromCoroutine(self._look_up(name, uid)), "looking up a name")

    async def _look_up(self, name: str, uid: int) -> None:
        found: Addresses | Failure
        try:
            found = await self._resolve(name)
            self._remember(name, found)
        except Exception:
            found = Failure()  # type: ignore[no-untyped-call]
        waiting = self._running.pop(name)
        self._shares.leave(uid)
        _tell(waiting, found)

    def _remember(self, name: str, found: Addresses) -> None:
        self._remembered[name] = (self._clock.seconds(), found)
        self._remembered.move_to_end(name)
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)

    def _too_slow(self, result: Addresses | Failure, name: str) -> Addresses | Failure:
        if isinstance(result, Failure):
            raise Undecided(f"the name {name!a} takes long to look up", public=_SLOW)
        return result


def _tell(waiting: list[Deferred[Addresses]], found: Addresses | Failure) -> None:
    for one in waiting:
        if not one.called:
            one.callback(found)
