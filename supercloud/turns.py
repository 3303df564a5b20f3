"""The reactor's turn: a share of it for each account, no logging context around each event, and no time in it that
nobody looked.

Twisted sets such a context, with the name of the transport, for the old ``twisted.python.log``: four calls and a
dictionary an event, two events a request. Nothing here logs in that way. Measured with `make bench`: 115 µs of user
time a request before, 90 after.

Deadlines pass in time in which the reactor looks (`supercloud.attention`): a front that was stopped or busy for a
minute reads what came before it takes anybody for silent.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.tcp import Port

from supercloud import events
from supercloud.attention import BEAT, Attention
from supercloud.shares import Shares

# Connections that one listener takes in a turn; each costs as much as a request. Twisted takes 20 more each time.
ACCEPTS: Final = 8


def quicken(reactor: Any, shares: Shares) -> None:
    """Have an epoll reactor, before or while it runs, take its turns in this way; leave any other as it is.

    Relies on EPollReactor's ``_poller``, ``_selectables``, ``_doReadOrWrite``, ``doIteration``, ``runUntilCurrent`` and
    ``seconds`` (Twisted is pinned; a test holds this), and on epoll to tell again of what was not served.

    :param shares: `relay.leg.charge` says whose a connection is.
    """
    if not isinstance(reactor, EPollReactor):
        return
    chosen: Any = reactor
    poll, selectables, serve = chosen._poller.poll, chosen._selectables, chosen._doReadOrWrite
    attention = Attention()
    look = attention.look

    def do(selectable: Any, descriptor: int, event: int) -> None:
        try:
            serve(selectable, descriptor, event)
        except Exception:
            events.unexpected(f"serving {selectable}")

    def turn(timeout: float | None) -> None:
        look()
        try:
            ready = poll(-1 if timeout is None else min(timeout, BEAT), max(len(selectables), 1))
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            raise
        look()
        shares.serve(ready, selectables.get, do)

    run_due = chosen.runUntilCurrent

    def run_until_current() -> None:
        look()
        run_due()

    chosen.doIteration = turn
    chosen.runUntilCurrent = run_until_current
    chosen.seconds = attention.seconds


def take_turns(port: Any) -> None:
    """Have a listener of Twisted's take `ACCEPTS` connections in a turn at most (relies on its ``numberAccepts``)."""
    if not isinstance(port, Port):
        return
    accept: Callable[[], Any] = port.doRead

    def accept_some() -> Any:
        port.numberAccepts = min(port.numberAccepts, ACCEPTS)
        return accept()

    port.doRead = accept_some  # type: ignore[method-assign]
