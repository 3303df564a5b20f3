"""Verified connections that are kept for the next request of the same principal to the same application.

Nothing is shared between principals, nor between a person's sessions and the programs that show tokens of theirs.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from twisted.internet.interfaces import IReactorTime

from supercloud.deadline import Deadline
from supercloud.errors import TooMany
from supercloud.shares import Shares
from supercloud.upstream.http11 import Connection

# Seconds that an unused connection is kept. What was verified a minute ago is asked again by connecting anew.
KEPT: Final = 60.0
# Seconds after which a kept connection is not trusted with a request that must not be sent twice: servers close
# unused connections at their own time (uvicorn and node.js after 5 s).
FRESH: Final = 2.0

G = TypeVar("G")


class Key(NamedTuple):
    """Whose a connection is, and where it leads; no request goes over one of another key.

    :ivar uid: of the principal.
    :ivar forward: by which the principal was let in, in that state of its file; None by node and port.
    :ivar shown: by what. An application may take whoever has shown something on a connection for whoever is at its
        other end, so what one credential has opened serves no other.
    """

    uid: int
    node: str
    port: int
    forward: object = None
    shown: object = None


@dataclass(slots=True, eq=False)
class Kept(Generic[G]):
    """A connection and what was verified about it.

    :ivar key: written by whoever uses the connection, before anything is shown on it that the old one does not say.
    """

    connection: Connection
    grant: G
    key: Key
    since: float = 0.0


class Pool(Generic[G]):
    """Open connections toward applications, counted for each principal, whose time each takes.

    :param most: connections of one principal, in use and kept.
    """

    def __init__(self, clock: IReactorTime, shares: Shares, *, most: int) -> None:
        self._clock = clock
        self._shares = shares
        self._most = most
        self._kept: dict[Key, deque[Kept[G]]] = {}
        # All kept connections, the longest unused first.
        self._unused: OrderedDict[Connection, Kept[G]] = OrderedDict()
        self._open: dict[int, int] = {}
        self._all: dict[Connection, Kept[G]] = {}
        self._sweep = Deadline(clock, self._drop_old)

    def take(self, key: Key, *, must_be_fresh: bool) -> Kept[G] | None:
        """A kept connection for another exchange, the one used last; None when there is none.

        :param must_be_fresh: for a request that must not be sent twice.
        """
        while kept := self._kept.get(key):
            if must_be_fresh and self._clock.seconds() - kept[-1].since > FRESH:
                return None
            found = kept.pop()
            if not kept:
                del self._kept[key]
            del self._unused[found.connection]
            if found.connection.is_idle:  # not one that the application has finished with in this very turn
                return found
        return None

    def reserve(self, uid: int) -> None:
        """Count a connection that is about to be made.

        :raises TooMany: the principal has as many as allowed, and none that is unused.
        """
        if self._open.get(uid, 0) >= self._most:
            unused = next((one for one, kept in self._unused.items() if kept.key.uid == uid), None)
            if unused is None:
                raise TooMany(f"uid {uid} has {self._most} connections")
            self._drop(unused)
            unused.close()
        self._open[uid] = self._open.get(uid, 0) + 1

    def unreserve(self, uid: int) -> None:
        """A connection that was counted is gone, or was never made."""
        left = self._open[uid] - 1
        if left:
            self._open[uid] = left
        else:
            del self._open[uid]

    def add(self, key: Key, connection: Connection, grant: G) -> Kept[G]:
        """Have a verified connection, which `reserve` counted, kept whenever it is not in use."""
        kept = Kept(connection, grant, key)
        connection.charge(self._shares.of(key[0]))
        self._all[connection] = kept
        connection.released = lambda _: self._keep(kept)
        connection.closed = lambda _: self._forget(kept)
        return kept

    def close(self) -> None:
        """Close what is unused; for the end of the portal."""
        self._sweep.cancel()
        for connection in list(self._unused):
            self._drop(connection)
            connection.close()

    def revoke(self, is_meant: Callable[[Key, G], bool]) -> None:
        """Have no other request use connections of a key or a grant that counts no more: what is kept closes now, what
        is in use as soon as its exchange is over.
        """
        for connection, kept in list(self._all.items()):
            if not is_meant(kept.key, kept.grant):
                continue
            if connection in self._unused:
                self._drop(connection)
                connection.close()
            else:
                connection.released = Connection.close

    @property
    def grants(self) -> list[G]:
        """Of all open connections, in use and kept."""
        return [kept.grant for kept in self._all.values()]

    @property
    def open_connections(self) -> int:
        """In use and kept, all principals together."""
        return sum(self._open.values())

    def _keep(self, kept: Kept[G]) -> None:
        kept.since = self._clock.seconds()
        self._kept.setdefault(kept.key, deque()).append(kept)
        if not self._unused:
            self._sweep.set(KEPT)
        self._unused[kept.connection] = kept

    def _forget(self, kept: Kept[G]) -> None:
        self._drop(kept.connection)
        del self._all[kept.connection]
        self.unreserve(kept.key.uid)

    def _drop(self, connection: Connection) -> None:
        """It is not for the next exchange; it counts until it is closed."""
        kept = self._unused.pop(connection, None)
        if kept is not None:
            others = self._kept[kept.key]
            others.remove(kept)
            if not others:
                del self._kept[kept.key]

    def _drop_old(self) -> None:
        now = self._clock.seconds()
        while self._unused:
            connection, kept = next(iter(self._unused.items()))
            left = kept.since + KEPT - now
            if left > 0:
                self._sweep.set(left)
                return
            self._drop(connection)
            connection.close()
