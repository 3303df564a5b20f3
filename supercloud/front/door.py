"""The listener's side of all channels: whom it lets in, what it knows about them, how it closes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory

from supercloud import events
from supercloud.config import Limits
from supercloud.deadline import Deadline
from supercloud.errors import PortalError
from supercloud.front.channel import Channel
from supercloud.front.exchange import Exchange
from supercloud.front.places import Places
from supercloud.shares import Shares

ABORTED: Final = 1.0  # seconds for connections that were broken off to be gone


class Serves(Protocol):
    """Carries an exchange; see pipeline."""

    def serve(self, exchange: Exchange) -> None: ...


class Refuses(Protocol):
    """Answers a refused exchange; see front.site."""

    def refuse(self, exchange: Exchange, error: PortalError) -> None: ...


class Door(Factory):
    """Makes a channel for each connection.

    :param shares: of the reactor's time.
    :param places: for connections, of all listeners together.
    :param admits: asked about the peer before a byte is read; the embedded portal lets in its own account only.
    :param now: unix time, for audit lines.
    """

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        limits: Limits,
        audit: events.Audit,
        *,
        now: Callable[[], float],
        shares: Shares,
        places: Places,
        admits: Callable[[IAddress], bool] | None = None,
    ) -> None:
        self.clock = clock
        self.limits = limits
        self.shares = shares
        self.places = places
        self.is_stopping = False
        self._audit = audit
        self._pipeline: Serves | None = None
        self._site: Refuses | None = None
        self._now = now
        self._admits = admits
        self._channels: set[Channel] = set()
        self._emptied: Deferred[None] | None = None
        self._bound = Deadline(clock, self._break_off)
        self._is_broken_off = False

    def open(self, pipeline: Serves, site: Refuses) -> None:
        """Let connections in: until the stages are made, nobody gets further than TCP."""
        self._pipeline = pipeline
        self._site = site

    def buildProtocol(self, addr: IAddress | None) -> Channel | None:
        """A channel; None, which closes the connection, for whoever is not let in."""
        if self._pipeline is None or self.is_stopping:
            return None
        if self._admits is not None and (addr is None or not self._admits(addr)):
            return None
        return Channel(self) if self.places.make_room() else None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._channels)

    # What channels call.

    def serve(self, exchange: Exchange) -> None:
        """Carry an exchange."""
        if self._pipeline is not None:
            self._pipeline.serve(exchange)

    def refuse(self, exchange: Exchange, error: PortalError) -> None:
        """Answer a refusal."""
        if self._site is not None:
            self._site.refuse(exchange, error)

    def exchange_over(self, exchange: Exchange) -> None:
        """Write what became of it."""
        line = exchange.audit
        line.time = self._now() - line.seconds
        self._audit.add(line, is_told=exchange.is_told)

    def opened(self, channel: Channel) -> None:
        """A connection."""
        self._channels.add(channel)
        self.places.enter(channel)

    def closed(self, channel: Channel) -> None:
        """A connection is gone."""
        self._channels.discard(channel)
        self.places.leave(channel)
        if not self._channels:
            self._fire()

    def stop(self, within: float) -> Deferred[None]:
        """Let exchanges finish; fires when all connections are gone, `ABORTED` after ``within`` seconds at last."""
        self.is_stopping = True
        done: Deferred[None] = Deferred()
        if not self._channels:
            done.callback(None)
            return done
        events.stopping(len(self._channels), within)
        self._emptied = done
        self._bound.set(within)
        for channel in list(self._channels):
            channel.stop()
        return done

    def _break_off(self) -> None:
        if not self._is_broken_off:
            self._is_broken_off = True
            self._bound.set(ABORTED)
            for channel in list(self._channels):
                channel.abort()
        elif self._emptied is not None:
            events.warned(f"{len(self._channels)} connections do not end, though they were broken off")
            self._fire()

    def _fire(self) -> None:
        self._bound.cancel()
        emptied, self._emptied = self._emptied, None
        if emptied is not None:
            emptied.callback(None)
