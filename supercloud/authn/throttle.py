"""Failed sign-ins make the next ones wait, by address and by account; nobody is ever locked out.

An address waits for its own failures: its attempts are spaced, also those that arrive at once. An account's failures
delay everybody by a little only, since whoever attacks an account must not keep its owner out.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

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


@dataclass(slots=True)
class _Tally:
    """Failures of an address or account. Times are the clock's.

    :ivar under_way: attempts let in whose outcome is not known yet; an account's that wait are among them.
    :ivar free: before this time no other attempt begins.
    """

    failures: int = 0
    last: float = 0.0
    under_way: int = 0
    waiting: int = 0
    free: float = 0.0

    def remembered(self, now: float) -> int:
        return self.failures >> int(max(now - self.last, 0.0) / HALF_LIFE)

    def done(self) -> None:
        self.under_way = max(self.under_way - 1, 0)  # it may have been forgotten meanwhile

    def fail(self, now: float) -> None:
        self.failures = min(self.remembered(now) + 1, _MOST_FAILURES)
        self.last = now


def delay_after(failures: int, cap: float) -> float:
    """Seconds that an attempt waits after so many failures: 0, 0, 0.5, 1, 2, … ``cap``."""
    return 0.0 if failures < FREE else min(FIRST * 2.0 ** min(failures - FREE, 30), cap)


class Throttle:
    """Counts failures and makes attempts wait.

    Each `admit` that returned is followed by one of `failed`, `succeeded` and `undecided`.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._addresses: OrderedDict[bytes, _Tally] = OrderedDict()
        self._accounts: OrderedDict[bytes, _Tally] = OrderedDict()
        self._waiting = 0

    def __len__(self) -> int:
        """Addresses and accounts that are remembered; at most twice `MAX_KEYS`."""
        return len(self._addresses) + len(self._accounts)

    async def admit(self, address: str, account: str) -> None:
        """Wait until this attempt may begin. Cancelling the wait is fine.

        :raises Busy: when too many attempts wait, of this address or at all.
        """
        tally, attacked, seconds = self._reserve(address, account)
        attacked.under_way += 1
        if seconds > 0:
            tally.waiting += 1
            self._waiting += 1
            try:
                await deferLater(self._clock, seconds)
            except BaseException:
                attacked.done()
                raise
            finally:
                tally.waiting -= 1
                self._waiting -= 1
        tally.under_way += 1

    def is_calm(self, account: str) -> bool:
        """Whether nobody seems to guess the account's credentials: no failure costs time, nor would those under way.

        What is remembered of an account may be compared without a wait only then. Otherwise guesses that are answered
        from memory were free.
        """
        attacked = self._accounts.get(_account_key(account))
        if attacked is None:
            return True
        presumed = max(attacked.under_way - UNDER_WAY, 0)
        return delay_after(attacked.remembered(self._clock.seconds()) + presumed, ACCOUNT_CAP) == 0

    def _reserve(self, address: str, account: str) -> tuple[_Tally, _Tally, float]:
        now = self._clock.seconds()
        tally = _recall(self._addresses, _address_key(address))
        attacked = _recall(self._accounts, _account_key(account))
        begin = max(now, tally.free)
        # What is under way or waits may fail as well; otherwise a thousand guesses at once would be free.
        presumed = max(tally.under_way + tally.waiting - UNDER_WAY, 0)
        spacing = delay_after(tally.remembered(now) + presumed, ADDRESS_CAP)
        pause = delay_after(attacked.remembered(now), ACCOUNT_CAP)
        seconds = max(begin - now, min(pause, attacked.last + pause - now))
        if seconds > 0 and tally.waiting >= MAX_WAITING_PER_ADDRESS:
            raise Busy(f"{tally.waiting} sign-ins from {address} wait")
        if seconds > 0 and self._waiting >= MAX_WAITING:
            raise Busy(f"{self._waiting} sign-ins wait")
        if spacing:
            tally.free = begin + spacing
        return tally, attacked, seconds

    def failed(self, address: str, account: str) -> None:
        """An attempt that was admitted failed."""
        now = self._clock.seconds()
        tally, attacked = self._done(address, account)
        tally.fail(now)
        tally.free = max(tally.free, now + delay_after(tally.failures, ADDRESS_CAP))
        attacked.fail(now)

    def succeeded(self, address: str, account: str) -> None:
        """An attempt that was admitted succeeded: the account's failures are forgotten.

        The address' are not: who has an account of their own would otherwise guess others' between two sign-ins.
        """
        _, attacked = self._done(address, account)
        attacked.failures = 0
        if not attacked.under_way:
            del self._accounts[_account_key(account)]

    def undecided(self, address: str, account: str) -> None:
        """Nobody could say whether an attempt that was admitted was right: it counts neither way."""
        self._done(address, account)

    def _done(self, address: str, account: str) -> tuple[_Tally, _Tally]:
        tally = _recall(self._addresses, _address_key(address))
        attacked = _recall(self._accounts, _account_key(account))
        tally.done()
        attacked.done()
        return tally, attacked


def _recall(tallies: OrderedDict[bytes, _Tally], key: bytes) -> _Tally:
    tally = tallies.get(key)
    if tally is None:
        tally = tallies[key] = _Tally()
        if len(tallies) > MAX_KEYS:
            tallies.popitem(last=False)
    else:
        tallies.move_to_end(key)
    return tally


def _address_key(address: str) -> bytes:
    """An IPv4 address, or the /64 that one IPv6 customer has at least (RFC 6177); anything else by its hash."""
    try:
        read = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return _account_key(address)
    if isinstance(read, ipaddress.IPv6Address):
        return read.ipv4_mapped.packed if read.ipv4_mapped else read.packed[:8]
    return read.packed


def _account_key(account: str) -> bytes:
    """Of one length, whatever length an attacker chooses."""
    return hashlib.blake2b(account.encode("utf-8", "surrogatepass"), digest_size=16).digest()
