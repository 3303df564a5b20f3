"""Places for connections: when they run out, whoever has most gives up the one that was idle longest.

A place is given up by who has signed in as an account, or by a network from which nobody has. What cannot be given up
is a request of an account's that is under way; of those each account has so many at most (`front.per_principal`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from supercloud.shares import Share


class Guest(Protocol):
    """A connection; see front.channel."""

    share: Share

    def abort(self) -> None: ...


@dataclass(slots=True)
class _Held:
    """What one account or network could give up, each the longest first.

    :ivar greeting: connections without a finished handshake.
    :ivar idle: those on which nothing of an account's is under way.
    """

    greeting: dict[Guest, None] = field(default_factory=dict)
    idle: dict[Guest, None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.greeting) + len(self.idle)


class Places:
    """Of all listeners together.

    :param most: connections.
    :param greeting: those of them whose handshake is not finished.
    """

    def __init__(self, *, most: int, greeting: int) -> None:
        self._most = most
        self._most_greeting = greeting
        self._guests: dict[Guest, Share] = {}
        self._greeting = 0
        # The order is that in which they came to hold anything, so that the longest idle goes where all hold as much.
        self._held: dict[Share, _Held] = {}

    def __len__(self) -> int:
        """Connections that have a place."""
        return len(self._guests)

    def make_room(self) -> bool:
        """Whether another connection may come; somebody else's may go for it."""
        if self._greeting >= self._most_greeting:
            self._give_up(lambda held: len(held.greeting))
        return len(self._guests) < self._most or self._give_up(len)

    def enter(self, guest: Guest) -> None:
        """A connection has begun its handshake."""
        self._guests[guest] = guest.share
        self._held_by(guest.share).greeting[guest] = None
        self._greeting += 1

    def idle(self, guest: Guest) -> None:
        """Nothing of an account's is under way on it, from now on."""
        if guest in self._guests:
            self._leave_order(guest)
            self._guests[guest] = guest.share
            self._held_by(guest.share).idle[guest] = None

    def busy(self, guest: Guest) -> None:
        """Something of an account's is under way on it."""
        if guest in self._guests:
            self._leave_order(guest)
            self._guests[guest] = guest.share

    def leave(self, guest: Guest) -> None:
        """It is gone."""
        if guest in self._guests:
            self._leave_order(guest)
            del self._guests[guest]

    def _give_up(self, size: Callable[[_Held], int]) -> bool:
        """End one connection of whoever has most; a handshake before anything else.

        :returns: whether there was one.
        """
        held = max(self._held.values(), key=size, default=None)
        if held is None:
            return False
        guest = next(iter(held.greeting or held.idle))
        self.leave(guest)
        guest.abort()
        return True

    def _held_by(self, share: Share) -> _Held:
        held = self._held.get(share)
        if held is None:
            held = self._held[share] = _Held()
        return held

    def _leave_order(self, guest: Guest) -> None:
        share = self._guests[guest]
        held = self._held.get(share)
        if held is None:
            return
        if guest in held.greeting:
            del held.greeting[guest]
            self._greeting -= 1
        held.idle.pop(guest, None)
        if not held.greeting and not held.idle:
            del self._held[share]
