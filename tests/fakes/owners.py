"""Who holds sockets, as ident2 would tell."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from supercloud.errors import Undecided
from supercloud.ownership.rule import SocketOwner


class FakeOwners:
    """Implements `ownership.authorize.OwnerLookup` from two tables.

    :ivar listeners: by port; a connection is its listener's unless `connections` names another.
    :ivar is_silent: no node answers.
    :ivar before_connection: called when it is asked about a connection, before the answer is made.
    :ivar asked: every question, in order.
    :ivar waiting: None answers at once; a list keeps those who ask until a test fires them.
    """

    def __init__(self) -> None:
        self.listeners: dict[int, SocketOwner] = {}
        self.connections: dict[int, SocketOwner | None] = {}
        self.is_silent = False
        self.before_connection: Callable[[], object] = lambda: None
        self.asked: list[tuple[str, str, int]] = []
        self.waiting: list[Deferred[None]] | None = None

    async def listener(self, address: str, port: int) -> SocketOwner | None:
        self.asked.append(("listener", address, port))
        if self.is_silent:
            raise Undecided("no node answers")
        return self.listeners.get(port)

    async def connection(self, address: str, port: int, peer: str, peer_port: int) -> SocketOwner | None:
        self.asked.append(("connection", address, port))
        self.before_connection()
        if self.waiting is not None:
            waiting: Deferred[None] = Deferred()
            self.waiting.append(waiting)
            await waiting
        if self.is_silent:
            raise Undecided("no node answers")
        return self.connections.get(port, self.listeners.get(port))

    async def with_group(self, owner: SocketOwner) -> SocketOwner:
        return owner
