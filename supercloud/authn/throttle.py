"""Failed sign-ins make the next ones wait, by address and by account; nobody is ever locked out.

An address waits for its own failures: its attempts are spaced, also those that arrive at once. An account's failures
delay everybody by a little only, since whoever attacks an account must not keep its owner out.

Many people may come from one address, so its failures must not keep out who has none: an account's first attempts go
by, as long as they could be mistyping, whatever its address has earned; and a browser that is known to an account
counts by itself, as if it were an address.

What one may guess of one account in T seconds is therefore bounded: from an address ``UNDER_WAY + FREE + 1`` at once
and ``T / ADDRESS_CAP`` more, as much by each known browser, and from everywhere together what goes by: ``FREE`` and
``T / HALF_LIFE`` more. A test holds that.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from supercloud.authn.whence import shared_key, text_key
from supercloud.errors import Busy

FREE: Final = 2  # failures that cost nothing: people mistype
FIRST: Final = 0.5  # seconds after one more; then doubled
ADDRESS_CAP: Final = 8.0  # seconds between two attempts of an address at most
ACCOUNT_CAP: Final = 2.0  # seconds that an attack on an account can cost its owner
HALF_LIFE: Final = 300.0  # seconds after which half of the failures are forgotten
UNDER_WAY: Final = 8  # attempts of one address at once that are not held against it; a program's first
MAX_WAITING: Final = 1000  # attempts that wait at once, all together
MAX_WAITING_PER_ADDRESS: Final = 10  # so that one address does not take all places
MAX_KEYS: Final = 20_000  # addresses, and as many accounts, remembered; about 5 MB

_MOST_FAILURES: Final = 16  # counted: a long attack is forgotten in four half-lives
_CROWDED: Final = (
    "Many sign-ins from your network address have failed, and others wait for their turn. Try again in a minute."
)


@dataclass(slots=True)
class _Tally:
    """Failures of an address, a known browser or an account. Times are the clock's.

    :ivar under_way: attempts let in whose outcome is not known yet; an account's that wait are among them.
    :ivar going_by: those of them that did not wait though their address would have had to.
    :ivar free: before this time no other attempt begins.
    """

    failures: int = 0
    last: float = 0.0
    under_way: int = 0
    going_by: int = 0
    waiting: int = 0
    free: float = 0.0

    def remembered(self, now: float) -> int:
        return self.failures >> int(max(now - self.last, 0.0) / HALF_LIFE)

    def done(self, *, went_by: bool = False) -> None:
        self.under_way = max(self.under_way - 1, 0)  # it may have been forgotten meanwhile
        self.going_by = max(self.going_by - went_by, 0)

    def fail(self, now: float) -> None:
        self.failures = min(self.remembered(now) + 1, _MOST_FAILURES)
        self.last = now

    def is_blank(self, now: float) -> bool:
        """Whether there is nothing to remember."""
        return not (self.remembered(now) or self.under_way or self.waiting or self.free > now)


_Tallies = OrderedDict[bytes, _Tally]


class Attempt:
    """One that was let in; one of its methods is called once, when it is known what became of it."""

    __slots__ = ("_account", "_source", "_throttle", "_went_by")

    def __init__(self, throttle: Throttle, source: bytes, account: bytes, went_by: bool) -> None:
        self._throttle = throttle
        self._source = source
        self._account = account
        self._went_by = went_by

    def failed(self) -> None:
        """It was wrong."""
        self._throttle.over(self._source, self._account, went_by=self._went_by, failed=True)

    def succeeded(self) -> None:
        """It was right: the account's failures are forgotten.

        The address' are not: who has an account of their own would otherwise guess others' between two sign-ins.
        """
        self._throttle.over(self._source, self._account, went_by=self._went_by, failed=False)

    def undecided(self) -> None:
        """Nobody could say whether it was right: it counts neither way."""
        self._throttle.over(self._source, self._account, went_by=self._went_by, failed=None)


def delay_after(failures: int, cap: float) -> float:
    """Seconds that an attempt waits after so many failures: 0, 0, 0.5, 1, 2, … ``cap``."""
    return 0.0 if failures < FREE else min(FIRST * 2.0 ** min(failures - FREE, 30), cap)


class Throttle:
    """Counts failures and makes attempts wait."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._sources: _Tallies = OrderedDict()
        self._accounts: _Tallies = OrderedDict()
        self._waiting = 0

    def __len__(self) -> int:
        """Addresses and accounts that are remembered; at most twice `MAX_KEYS`."""
        return len(self._sources) + len(self._accounts)

    async def admit(self, address: str, account: str, known: bytes = b"") -> Attempt:
        """Wait until this attempt may begin. Cancelling the wait is fine.

        :param known: see `KnownBrowsers.read`: it counts instead of the address.
        :raises Busy: when too many attempts wait, of this address or at all.
        """
        source = b"known" + known if known else shared_key(address)
        attempt, seconds = self._reserve(source, text_key(account), is_known=bool(known))
        if seconds > 0:
            await self._wait(source, text_key(account), seconds)
        _recall(self._sources, source).under_way += 1
        return attempt

    def is_calm(self, account: str) -> bool:
        """Whether nobody seems to guess the account's credentials: no failure costs time, nor would those under way.

        What is remembered of an account may be compared without a wait only then. Otherwise guesses that are answered
        from memory were free.
        """
        attacked = self._accounts.get(text_key(account))
        if attacked is None:
            return True
        presumed = max(attacked.under_way - UNDER_WAY, 0)
        return delay_after(attacked.remembered(self._clock.seconds()) + presumed, ACCOUNT_CAP) == 0

    def _reserve(self, source: bytes, account: bytes, *, is_known: bool) -> tuple[Attempt, float]:
        now = self._clock.seconds()
        tally, attacked = _recall(self._sources, source), _recall(self._accounts, account)
        begin = max(now, tally.free)
        # What is under way or waits may fail as well; otherwise a thousand guesses at once would be free.
        presumed = max(tally.under_way + tally.waiting - UNDER_WAY, 0)
        spacing = delay_after(tally.remembered(now) + presumed, ADDRESS_CAP)
        pause = 0.0 if is_known else delay_after(attacked.remembered(now), ACCOUNT_CAP)
        seconds = max(begin - now, min(pause, attacked.last + pause - now))
        goes_by = seconds > 0 and attacked.remembered(now) + attacked.going_by < FREE
        if goes_by:
            seconds = 0.0
        elif seconds > 0 and (tally.waiting >= MAX_WAITING_PER_ADDRESS or self._waiting >= MAX_WAITING):
            _drop_blank(self._accounts, account, now)
            raise Busy(f"{tally.waiting} sign-ins of one address wait, {self._waiting} in all", public=_CROWDED)
        elif spacing:
            tally.free = begin + spacing
        attacked.under_way += 1
        attacked.going_by += goes_by
        return Attempt(self, source, account, goes_by), seconds

    async def _wait(self, source: bytes, account: bytes, seconds: float) -> None:
        tally = _recall(self._sources, source)
        tally.waiting += 1
        self._waiting += 1
        try:
            await deferLater(self._clock, seconds)
        except BaseException:
            _recall(self._accounts, account).done()
            _drop_blank(self._accounts, account, self._clock.seconds())
            raise
        finally:
            tally.waiting -= 1
            self._waiting -= 1

    def over(self, source: bytes, account: bytes, *, went_by: bool, failed: bool | None) -> None:
        """For attempts: what became of one."""
        now = self._clock.seconds()
        tally, attacked = _recall(self._sources, source), _recall(self._accounts, account)
        tally.done()
        attacked.done(went_by=went_by)
        if failed:
            tally.fail(now)
            tally.free = max(tally.free, now + delay_after(tally.failures, ADDRESS_CAP))
            attacked.fail(now)
        elif failed is not None:
            attacked.failures = 0
        # What nobody could be told about takes no place of what is remembered.
        _drop_blank(self._sources, source, now)
        _drop_blank(self._accounts, account, now)


def _recall(tallies: _Tallies, key: bytes) -> _Tally:
    tally = tallies.get(key)
    if tally is None:
        tally = tallies[key] = _Tally()
        if len(tallies) > MAX_KEYS:
            tallies.popitem(last=False)
    else:
        tallies.move_to_end(key)
    return tally


def _drop_blank(tallies: _Tallies, key: bytes, now: float) -> None:
    if tallies[key].is_blank(now):
        del tallies[key]
