"""What a channel needs of the listener that it came through; see front.door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IReactorTime

from supercloud.config import Limits
from supercloud.errors import PortalError
from supercloud.front.exchange import Exchange
from supercloud.front.places import Places
from supercloud.shares import Shares

if TYPE_CHECKING:
    from supercloud.front.channel import Channel


class Door(Protocol):
    """Whom it lets in, what it knows about them, and how it closes."""

    limits: Limits
    clock: IReactorTime
    shares: Shares
    places: Places
    is_stopping: bool

    def serve(self, exchange: Exchange) -> None: ...
    def refuse(self, exchange: Exchange, error: PortalError) -> None: ...
    def exchange_over(self, exchange: Exchange) -> None: ...
    def opened(self, channel: Channel) -> None: ...
    def closed(self, channel: Channel) -> None: ...
