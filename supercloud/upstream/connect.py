"""From a permit to a verified connection: connect to the pinned address, then ask who holds that connection."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionRefusedError, TimeoutError, UserError
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from supercloud.errors import NothingListens, Unreachable
from supercloud.upstream.http11 import Connection


class Dialer(Protocol):
    """Opens TCP connections."""

    async def dial(self, address: str, port: int) -> Connection: ...


class _Dial(ClientFactory):
    noisy = False

    def __init__(self, done: Deferred[Connection]) -> None:
        self._done: Deferred[Connection] | None = done

    def buildProtocol(self, addr: object) -> Connection:
        return _Announced(self)

    def connected(self, connection: Connection) -> None:
        done, self._done = self._done, None
        if done is not None:
            done.callback(connection)
        else:
            connection.abort()

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        done, self._done = self._done, None
        if done is not None:
            done.errback(reason)


class _Announced(Connection):
    """A connection that tells its factory once it stands."""

    def __init__(self, dial: _Dial) -> None:
        super().__init__()
        self._dial: _Dial | None = dial

    def connectionMade(self) -> None:
        super().connectionMade()
        dial, self._dial = self._dial, None
        if dial is not None:
            dial.connected(self)


class TcpDialer:
    """Connects over TCP.

    :param timeout: seconds for one connection.
    """

    def __init__(self, reactor: IReactorTCP, *, timeout: float) -> None:
        self._reactor = reactor
        self._timeout = timeout

    async def dial(self, address: str, port: int) -> Connection:
        """Connect to an address literal; may be cancelled.

        :raises NothingListens: refused.
        :raises Unreachable: no route, or no answer in time.
        """

        def cancel(_: object) -> None:
            connector.disconnect()

        done: Deferred[Connection] = Deferred(cancel)
        connector = self._reactor.connectTCP(address, port, _Dial(done), timeout=self._timeout)
        try:
            return await done
        except ConnectionRefusedError:
            raise NothingListens(f"{address} port {port} refused") from None
        except UserError as error:
            if isinstance(error, TimeoutError):  # Twisted's is one of UserError's
                raise Unreachable(f"{address} port {port}: {error}") from None
            raise CancelledError from None
        except ConnectError as error:
            raise Unreachable(f"{address} port {port}: {error}") from None
