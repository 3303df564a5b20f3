"""Puts the portal's own socket together: locks, dead properties, and what other parts answer there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from supercloud.accounts import Offloaded
from supercloud.desk.lock_service import LockService
from supercloud.desk.locks import LockBook
from supercloud.desk.proof import Prover
from supercloud.desk.properties import PropertyBook
from supercloud.desk.property_service import PropertyService
from supercloud.desk.service import Desk, Handler
from supercloud.desk.store import Store
from supercloud.desk.wire import Message

FILE: Final = "desk.sqlite"  # in the state folder

Handlers = Mapping[type[Message], Handler]


class PortalDesk:
    """The socket and the file behind it."""

    def __init__(self, desk: Desk, store: Store) -> None:
        self._desk = desk
        self._store = store

    def bind(self) -> None:
        """Make the socket, as root where its folder is root's; nobody is let in before ``start``.

        :raises OSError: as the kernel says.
        """
        self._desk.bind()

    def start(self) -> None:
        """Let programs in, as the account that the portal runs as: they see it as the other end's. Blocks for a moment.

        :raises Exposed, OSError, sqlite3.Error: the file or the socket cannot be used.
        """
        self._store.open()
        self._desk.start()

    def stop(self) -> None:
        """End all connections; locks stay."""
        self._desk.stop()
        self._store.close()


def make_desk(
    reactor: Any,
    path: str,
    state: Path,
    *,
    offload: Offloaded,
    storage: Offloaded,
    now: Callable[[], float],
    handlers: Handlers | None = None,
) -> PortalDesk:
    """Make it; see `PortalDesk`.

    :param path: of the socket, to which everybody may connect.
    :param state: the portal's folder of its own, on a local file system.
    :param offload: several threads of its own, few for each account: a file server that does not answer holds them.
    :param storage: one thread of its own: an account can give it much to do, some 0.1 s for a hard question.
    :param now: Unix seconds.
    :param handlers: what others answer here, by kind of message.
    """
    store = Store(state / FILE)
    prover = Prover(offload)
    return PortalDesk(Desk(reactor, path, {**own_handlers(store, prover, storage, now), **(handlers or {})}), store)


def own_handlers(store: Store, prover: Prover, storage: Offloaded, now: Callable[[], float]) -> Handlers:
    """Locks and dead properties."""
    properties = PropertyBook(store, now=now)
    locks = LockService(LockBook(store, properties, now=now), prover, storage)
    return {**locks.handlers, **PropertyService(properties, prover, storage).handlers}
