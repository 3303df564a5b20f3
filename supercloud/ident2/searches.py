"""Searches for holders, which somebody else makes and which may take long: whose socket it is, waits for it alone.

How long a search takes is up to the account that has the socket: a process of a million descriptors takes all the time
that is allowed. So the shares are those accounts', whoever asks.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from supercloud import events
from supercloud.errors import Undecided
from supercloud.ident2.lookup import HolderSearch
from supercloud.ident2.processes import Process
from supercloud.lines import Shares

AT_ONCE: Final = 2  # the monitor's own bound (kinds.Bounds)
WAITING: Final = 100  # of one account
PATIENCE: Final = 2.0  # seconds that one waits for its turn; whoever asked has given up by then (ident2.outstanding)


class Searches:
    """Few at once, by turns over accounts, and one socket is searched for once at a time.

    :param find: makes one.
    """

    def __init__(self, find: HolderSearch, clock: IReactorTime) -> None:
        self._find = find
        self._clock = clock
        self._shares = Shares("searches for holders", places=AT_ONCE, each=1, waiting=WAITING)
        self._asked: dict[tuple[int, int], list[Deferred[list[Process]]]] = {}

    async def find(self, inode: int, uid: int) -> list[Process]:
        """See `HolderFinder.search`.

        :raises Busy: too many of that account's sockets are searched for.
        :raises Undecided: its turn did not come in time; or what ``find`` raises.
        """
        answered: Deferred[list[Process]] = Deferred()
        if (inode, uid) in self._asked:
            self._asked[inode, uid].append(answered)
            return await answered
        entered = self._shares.enter(uid)
        self._asked[inode, uid] = [answered]
        events.watch(Deferred.fromCoroutine(self._search(entered, inode, uid)), "searching for holders")
        return await answered

    async def _search(self, entered: Deferred[None], inode: int, uid: int) -> None:
        found: list[Process] | Failure
        try:
            await entered.addTimeout(PATIENCE, self._clock, _too_slow)
            try:
                found = await self._find(inode, uid)
            finally:
                self._shares.leave(uid)
        except Exception:
            found = Failure()  # type: ignore[no-untyped-call]
        for one in self._asked.pop((inode, uid)):
            if not one.called:
                one.callback(found)


def _too_slow(_: object, seconds: float) -> None:
    raise Undecided(f"the search's turn did not come within {seconds} s")
