"""What the front itself asks of a viewer's worker: one short answer, in time."""

from __future__ import annotations

from typing import Final

import msgspec
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from supercloud.errors import NoWorker, PortalError
from supercloud.identity import Principal
from supercloud.message.head import ResponseHead
from supercloud.upstream.http11 import Connection
from supercloud.workers.forward_check import METHOD, Checked
from supercloud.workers.pool import Workers
from supercloud.workers.way import WayToWorker

# Seconds for an answer: the file's server may be slow.
WITHIN: Final = 5.0
MOST: Final = 1024  # bytes of an answer
_decode: Final = msgspec.json.Decoder(Checked).decode


class Asking:
    """Asks workers; implements `routing.forwards.ExecuteCheck`."""

    def __init__(self, workers: Workers, way: WayToWorker, clock: IReactorTime) -> None:
        self._workers = workers
        self._way = way
        self._clock = clock

    async def may_execute(self, principal: Principal, name: str) -> Checked | None:
        """What the kernel tells the viewer's worker about a forward's file; None when there is none.

        :param name: of the grammar of forwards.
        :raises PortalError: there is no worker for this account now, or it does not answer.
        """
        one = await self._workers.of(principal)
        self._workers.begin(one)
        try:
            for afresh in (False, True):  # a kept connection may have been closed in this moment
                kept, is_kept = await self._way.connection_to(one, afresh=afresh, must_be_fresh=False)
                try:
                    return await _Question(kept.connection, name).answered.addTimeout(WITHIN, self._clock)
                except TimeoutError:
                    raise NoWorker(f"the worker of {principal} does not say who may execute {name}") from None
                except NoWorker:
                    if not is_kept:
                        raise
        finally:
            self._workers.done(one)
        raise NoWorker(f"the worker of {principal} closes its connections")


class _Question:
    """One exchange; see `upstream.http11.Sink`.

    :ivar answered: may be cancelled.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._status = 0
        self._body = b""
        self._is_over = False
        self.answered: Deferred[Checked | None] = Deferred(lambda _: self._leave())
        method = METHOD.encode("ascii")
        connection.begin(self, method, b"%b /%b HTTP/1.1\r\nHost: worker\r\n\r\n" % (method, name.encode("ascii")))
        connection.finish()

    def response_started(self, head: ResponseHead) -> None:
        """A head."""
        self._status = head.status

    def response_body(self, payload: bytes) -> None:
        """Some of the answer."""
        self._body += payload
        if len(self._body) > MOST:
            self._fail("says too much")

    def response_ended(self, trailers: tuple[bytes, ...]) -> None:
        """All of it."""
        if self._is_over:
            return
        self._is_over = True
        try:
            answer = None if self._status == 404 else self._read()
        except ValueError as error:  # msgspec's are
            self.answered.errback(NoWorker(f"the worker answers otherwise: {error}"))
        else:
            self.answered.callback(answer)

    def upstream_lost(self, error: PortalError) -> None:
        """The worker closed the connection."""
        if not self._is_over:
            self._is_over = True
            self.answered.errback(NoWorker(str(error)))

    def response_pause(self) -> None:
        """Nothing waits for a part of it."""

    def upstream_choked(self) -> None:
        """All was written already."""

    def upstream_drained(self) -> None:
        """All was written already."""

    def tunnel_received(self, data: bytes) -> None:
        """Nobody asked for another protocol."""
        self._fail("changes the protocol")

    def tunnel_ended(self) -> None:
        """Nobody asked for another protocol."""
        self._fail("changes the protocol")

    def _read(self) -> Checked:
        """:raises ValueError: it is no answer."""
        if self._status != 200:
            raise ValueError(f"status {self._status}")
        return _decode(self._body)

    def _fail(self, what: str) -> None:
        if not self._is_over:
            self._leave()
            self.answered.errback(NoWorker(f"the worker {what}"))

    def _leave(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._connection.leave()
