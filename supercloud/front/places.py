"""Places for connections: when they run out, whoever has most gives up the one that was idle longest.

A place is given up by who has signed in as an account, or by a network from which nobody has. What cannot be given up
is a request of an account's that is under way; of those each account has so many at most (`front.per_principal`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from supercloud.shares import Share


class Guest(Protocol):
    """A connection; see front.channel."""

    share: Share

    def abort(self) -> None: ...


@dataclass(slots=True, eq=False)
class _Held:
    """What one account or network has, each in the order of becoming it, with its number in the order of all.

    :ivar greeting: connections without a finished handshake.
    :ivar idle: those on which nothing of an account's is under way.
    :ivar guests: all of its connections.
    """

    share: Share
    greeting: dict[Guest, int] = field(default_factory=dict)
    idle: dict[Guest, int] = field(default_factory=dict)
    guests: int = 0

    @property
    def size(self) -> int:
        """Connections that it could give up."""
        return len(self.greeting) + len(self.idle)

    @property
    def first(self) -> Guest | None:
        """Which of them it gives up first."""
        return next(iter(self.greeting or self.idle), None)


class Places:
    """Of all listeners together.

    :param most: connections.
    :param greeting: those of them whose handshake is not finished.
    """

    def __init__(self, *, most: int, greeting: int) -> None:
        self._most = most
        self._most_greeting = greeting
        self._guests: dict[Guest, _Held] = {}
        self._held: dict[Share, _Held] = {}
        self._greeting = 0
        self._number = count()

    def __len__(self) -> int:
        """Connections that have a place."""
        return len(self._guests)

    def make_room(self) -> bool:
        """Whether another connection may come; somebody else's may go for it."""
        if self._greeting >= self._most_greeting:
            self._give_up(lambda held: (len(held.greeting), -next(iter(held.greeting.values()), 0)))
        return len(self._guests) < self._most or self._give_up(_by_size)

    def enter(self, guest: Guest) -> None:
        """A connection has begun its handshake."""
        self._join(guest).greeting[guest] = next(self._number)
        self._greeting += 1

    def idle(self, guest: Guest) -> None:
        """Nothing of an account's is under way on it, from now on."""
        held = self._take_out(guest)
        if held is not None:
            held.idle[guest] = next(self._number)

    def busy(self, guest: Guest) -> None:
        """Something of an account's is under way on it."""
        self._take_out(guest)

    def leave(self, guest: Guest) -> None:
        """It is gone."""
        if self._take_out(guest) is not None:
            self._part(guest)

    def _give_up(self, key: Callable[[_Held], tuple[int, int]]) -> bool:
        """End one connection of whoever has most; a handshake before anything else.

        :returns: whether there was one.
        """
        held = max(self._held.values(), key=key, default=None)
        guest = None if held is None else held.first
        if guest is None:
            return False
        self.leave(guest)
        guest.abort()
        return True

    def _take_out(self, guest: Guest) -> _Held | None:
        """Out of what could be given up; None for one that has no place."""
        held = self._guests.get(guest)
        if held is None:
            return None
        held.idle.pop(guest, None)
        if held.greeting and held.greeting.pop(guest, None) is not None:
            self._greeting -= 1
        if held.share is not guest.share:
            self._part(guest)
            held = self._join(guest)
        return held

    def _join(self, guest: Guest) -> _Held:
        held = self._held.get(guest.share)
        if held is None:
            held = self._held[guest.share] = _Held(guest.share)
        held.guests += 1
        self._guests[guest] = held
        return held

    def _part(self, guest: Guest) -> None:
        held = self._guests.pop(guest)
        held.guests -= 1
        if not held.guests:
            del self._held[held.share]


def _by_size(held: _Held) -> tuple[int, int]:
    """Of those that have as many, the one whose first has waited longest."""
    return held.size, -next(iter((held.greeting or held.idle).values()), 0)
