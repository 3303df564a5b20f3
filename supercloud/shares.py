"""Shares of the reactor's time: so much of one turn for each account, and the accounts by turns.

Whatever costs time belongs to somebody: the events of a connection (`turns` serves them), and work that does not fit
into one event (`Share.later`). Who has used up their share of a turn goes on in a later one. Nothing is taken from a
socket for that, and so nothing has to be kept: what is not read stays with the kernel, which tells of it again.

Who was never over their share comes first; so however many accounts ask for all they can get, the others wait for what
is left of one turn. A clock decides about nothing but an order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from ipaddress import ip_address
from time import perf_counter
from typing import Any, Final
from weakref import WeakValueDictionary

from twisted.internet.interfaces import IReactorTime

from supercloud import events

BUDGET: Final = 0.001  # seconds of one turn for one account
ROUND: Final = 0.003  # seconds of one turn for all those who were over their share
_RECENT: Final = 2  # turns for which that counts

_Ready = tuple[int, int, Any]  # descriptor, what is ready about it, what it is to the reactor
Find = Callable[[int], Any]
Do = Callable[[Any, int, int], object]


class Later:
    """Work that waits for a turn; ``cancel`` forgets it."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Do not do it; nothing when it was done."""
        self.call = None


class Share:
    """What one account may have; or one network address, for whoever has not signed in.

    :ivar pages: of this account whose links are being rewritten.
    """

    __slots__ = (
        "__weakref__",
        "_is_waiting",
        "_left",
        "_over",
        "_queue",
        "_served",
        "_shares",
        "_spent",
        "_turn",
        "key",
        "pages",
    )

    def __init__(self, shares: Shares, key: Hashable) -> None:
        self.key = key
        self.pages = 0
        self._shares = shares
        self._turn = 0
        self._spent = 0.0  # of that turn
        self._over = -_RECENT - 1  # the last turn in which it was used up
        self._served = 0  # the last turn in which what had waited was served
        self._left: dict[int, int] = {}  # descriptors that were not, each with its place in the line
        self._queue: deque[Later] = deque()
        self._is_waiting = False

    def later(self, call: Callable[[], object]) -> Later:
        """Have work done in a later turn, behind what this account has waiting already."""
        later = Later(call)
        self._queue.append(later)
        if not self._is_waiting:
            self._is_waiting = True
            self._shares.add(self)
        return later

    def spend(self, seconds: float) -> None:
        """Count time that was used in this turn."""
        turn = self._shares.turn
        if self._turn != turn:
            self._turn, self._spent = turn, 0.0
        self._spent += seconds
        if self._spent >= BUDGET:
            self._over = turn

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left in this turn."""
        return self._over == self._shares.turn

    def work(self, seconds: Callable[[], float], now: float) -> float:
        """Do what waits, as far as the share goes.

        :returns: the time after it.
        """
        queue = self._queue
        while queue and not self.is_spent:
            call, queue[0].call = queue[0].call, None
            queue.popleft()
            if call is None:
                continue
            try:
                call()
            except Exception:
                events.unexpected(f"going on with the work of {self.key}")
            then = seconds()
            self.spend(then - now)
            now = then
        self._is_waiting = bool(queue)
        return now


class Shares:
    """Of all accounts.

    :param clock: calls for the next turn.
    :param seconds: any clock that runs evenly.
    :ivar turn: number of the turn.
    """

    def __init__(self, clock: IReactorTime, seconds: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._seconds = seconds
        self._known: WeakValueDictionary[Hashable, Share] = WeakValueDictionary()
        self._waiting: deque[Share] = deque()
        self._is_called = False
        self.turn = 0

    def of(self, key: Hashable) -> Share:
        """The share of a uid, or of a network; see `network_of`."""
        share = self._known.get(key)
        if share is None:
            share = self._known[key] = Share(self, key)
        return share

    def add(self, share: Share) -> None:
        """Work of a share waits."""
        self._waiting.append(share)
        self._call()

    def serve(self, ready: Iterable[tuple[int, int]], find: Find, do: Do) -> None:
        """Serve the events of one turn, except those for which their share does not last.

        :param ready: descriptors, each with what is ready about it.
        :param find: what a descriptor is to the reactor now; whose it is says its ``share``. What has none is the
            portal's own, and always served.
        """
        self.turn += 1
        seconds, recent = self._seconds, self.turn - _RECENT
        late: dict[Share, list[_Ready]] = {}
        before = seconds()
        for descriptor, event in ready:
            what = find(descriptor)
            if what is None:
                continue  # it ended in this very turn
            share: Share | None = getattr(what, "share", None)
            if share is None:
                do(what, descriptor, event)
                before = seconds()
            elif share._over >= recent:
                late.setdefault(share, []).append((descriptor, event, what))
            else:
                do(what, descriptor, event)
                now = seconds()
                share.spend(now - before)
                before = now
        if late:
            self._serve_late(late, find, do)

    def _serve_late(self, late: dict[Share, list[_Ready]], find: Find, do: Do) -> None:
        """Whoever waits longest first, and of their events those that were left the last time."""
        seconds = self._seconds
        before = seconds()
        end = before + ROUND
        for share in sorted(late, key=lambda one: one._served):
            if before >= end:
                share._over = self.turn  # and goes on waiting
                continue
            share._served = self.turn
            left, last = share._left, len(share._left)
            waiting = deque(sorted(late[share], key=lambda one: left.get(one[0], last)))
            while waiting and not share.is_spent:
                descriptor, event, what = waiting.popleft()
                if find(descriptor) is what:
                    do(what, descriptor, event)
                now = seconds()
                share.spend(now - before)
                before = now
            share._left = {one[0]: place for place, one in enumerate(waiting)}

    def _call(self) -> None:
        if not self._is_called:
            self._is_called = True
            self._clock.callLater(0, self._go_on)

    def _go_on(self) -> None:
        """A turn of the work that waits, account by account."""
        self._is_called = False
        self.turn += 1
        waiting, now = self._waiting, self._seconds()
        end = now + ROUND
        for _ in range(len(waiting)):
            if now >= end:
                break
            share = waiting.popleft()
            now = share.work(self._seconds, now)
            if share._is_waiting:
                waiting.append(share)
        if waiting:
            self._call()


def network_of(address: str) -> str:
    """Whom an address stands for: itself, its /64 in IPv6, and this host for all of loopback."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 6:
        mapped = found.ipv4_mapped
        if mapped is None:
            return "loopback" if found.is_loopback else f"{ip_address(int(found) >> 64 << 64)}/64"
        found = mapped
    return "loopback" if found.is_loopback else str(found)
