"""Connections toward applications that a test plays."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from supercloud.errors import PortalError
from supercloud.upstream.http11 import Connection
from tests.fakes.transport import FakeTransport


class FakeUpstream:
    """The application's end of one connection."""

    def __init__(self, clock: Clock, port: int, room: int | None) -> None:
        self.connection = Connection()
        self.transport = FakeTransport(clock, self.connection, port=port, room=room)
        self.connection.makeConnection(self.transport)

    @property
    def received(self) -> bytes:
        """All bytes that reached the application over this connection."""
        return self.transport.value()

    def take(self) -> bytes:
        """What has reached the application since the last `take`."""
        data = self.transport.value()
        self.transport.clear()
        return data

    def send(self, data: bytes) -> None:
        if self.transport.connected:
            self.connection.dataReceived(data)

    def finish(self) -> None:
        """The application finishes sending; it may still read."""
        self.connection.readConnectionLost()

    def die(self) -> None:
        self.transport.lose()

    @property
    def is_closing(self) -> bool:
        return self.transport.disconnecting or not self.transport.connected


class FakeDialer:
    """Implements `upstream.connect.Dialer`.

    :ivar upstreams: every connection that was made.
    :ivar refuses: raised instead of connecting.
    :ivar room: of the send buffers toward applications.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.upstreams: list[FakeUpstream] = []
        self.dialled: list[tuple[str, int]] = []
        self.refuses: PortalError | None = None
        self.room: int | None = None
        self.waiting: list[Deferred[None]] | None = None

    async def dial(self, address: str, port: int) -> Connection:
        self.dialled.append((address, port))
        if self.waiting is not None:
            done: Deferred[None] = Deferred()
            self.waiting.append(done)
            await done
        if self.refuses is not None:
            raise self.refuses
        made = FakeUpstream(self._clock, 50000 + len(self.upstreams), self.room)
        self.upstreams.append(made)
        return made.connection

    def __iter__(self) -> Iterator[FakeUpstream]:
        return iter(self.upstreams)

    def __getitem__(self, index: int) -> FakeUpstream:
        return self.upstreams[index]

    def __len__(self) -> int:
        return len(self.upstreams)

    @property
    def received(self) -> bytes:
        """All bytes that reached any application."""
        return b"".join(one.received for one in self.upstreams)
