"""What the front itself asks of a viewer's worker: one short answer, in time."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from supercloud.errors import NoWorker, PortalError, Unanswered
from supercloud.identity import Principal
from supercloud.message.head import Field, ResponseHead
from supercloud.upstream.http11 import Connection
from supercloud.workers import job_told, session_told
from supercloud.workers.job_told import JobAt
from supercloud.workers.pool import Workers
from supercloud.workers.session_told import Told
from supercloud.workers.way import WayToWorker

# Seconds for an answer: the file's server may be slow.
WITHIN: Final = 5.0
# Bytes of an answer: about a job's end, about a job that listens, and about all that somebody has.
MOST: Final = 1024
MOST_TOLD: Final = 16 * 1024
MOST_WORKSPACE: Final = 256 * 1024
_read_told: Final = msgspec.json.Decoder(Told).decode
_read_job: Final = msgspec.json.Decoder(JobAt).decode


class Asking:
    """Asks workers about what is their users' own: for forwards that lead nowhere (`routing.forwards.WorkerAsk`), for
    opening applications (`SessionAsk`) and for open pages (`WorkspaceAsk`). A worker is its user's process, and nobody
    else's things depend on what it says.

    All raise `PortalError` when there is no worker for this account now, or it does not answer as it should.
    """

    def __init__(self, workers: Workers, way: WayToWorker, clock: IReactorTime) -> None:
        self._workers = workers
        self._way = way
        self._clock = clock

    async def session(self, principal: Principal, job: str) -> Told | None:
        """What a job of the viewer's has announced; None when it has not.

        :param job: of the grammar of jobs, or node and port of an application.
        """
        answer = await self._ask(principal, session_told.METHOD, f"/{job}", most=MOST_TOLD)
        return None if answer is None else _read(_read_told, answer)

    async def job_at(self, principal: Principal, node: str) -> JobAt | None:
        """The last job of the viewer's on a node; None when nobody knows of one.

        :param node: of the grammar of nodes.
        """
        answer = await self._ask(principal, job_told.METHOD, f"/{node}", most=MOST)
        return None if answer is None else _read(_read_job, answer)

    async def workspace(self, principal: Principal) -> bytes:
        """What the viewer has, as the worker's pages know it."""
        answer = await self._ask(principal, "GET", "/api/workspace", most=MOST_WORKSPACE)
        if answer is None:
            raise NoWorker(f"the worker of {principal} has no workspace")
        return answer

    async def _ask(self, principal: Principal, method: str, target: str, *, most: int) -> bytes | None:
        one = await self._workers.of(principal)
        self._workers.begin(one)
        try:
            for afresh in (False, True):  # a kept connection may have been closed in this moment
                kept, is_kept = await self._way.connection_to(one, afresh=afresh, must_be_fresh=False)
                question = _Question(kept.connection, method, target, most, self._way.notices())
                try:
                    return await question.answered.addTimeout(WITHIN, self._clock)
                except TimeoutError:
                    raise NoWorker(f"the worker of {principal} does not answer {method} {target}") from None
                except NoWorker:
                    if not (is_kept and question.is_lost):
                        raise
        finally:
            self._workers.done(one)
        raise NoWorker(f"the worker of {principal} closes its connections")


def _read(decode: Any, answer: bytes) -> Any:
    try:
        return decode(answer)
    except ValueError as error:  # msgspec's are
        raise NoWorker(f"the worker answers otherwise: {error}") from None


class _Question:
    """One exchange; see `upstream.http11.Sink`.

    :ivar answered: the body, or None for 404; may be cancelled.
    :ivar is_lost: the connection was closed before a byte of the answer.
    """

    def __init__(self, connection: Connection, method: str, target: str, most: int, notices: bytes) -> None:
        self._connection = connection
        self._most = most
        self._status = 0
        self._body = bytearray()
        self._is_over = False
        self.is_lost = False
        self.answered: Deferred[bytes | None] = Deferred(lambda _: self._leave())
        name, path = method.encode("ascii"), target.encode("ascii")
        connection.begin(self, name, b"%b %b HTTP/1.1\r\nHost: worker\r\n%b\r\n" % (name, path, notices))
        connection.finish()

    def response_started(self, head: ResponseHead) -> None:
        """A head."""
        self._status = head.status

    def response_body(self, payload: bytes) -> None:
        """Some of the answer."""
        self._body += payload
        if len(self._body) > self._most:
            self._fail("says too much")

    def response_ended(self, trailers: tuple[Field, ...]) -> None:
        """All of it."""
        if self._is_over:
            return
        self._is_over = True
        if self._status in (200, 404):
            self.answered.callback(bytes(self._body) if self._status == 200 else None)
        else:
            self.answered.errback(NoWorker(f"the worker answers with status {self._status}"))

    def upstream_lost(self, error: PortalError) -> None:
        """The worker closed the connection."""
        if not self._is_over:
            self._is_over, self.is_lost = True, isinstance(error, Unanswered)
            self.answered.errback(NoWorker(str(error)))

    def response_pause(self) -> None:
        """Nothing waits for a part of it."""

    def upstream_choked(self) -> None:
        """All was written already."""

    def upstream_drained(self) -> None:
        """All was written already."""

    def tunnel_received(self, data: bytes) -> bytes:
        """Nobody asked for another protocol."""
        self._fail("changes the protocol")
        return b""

    def tunnel_ended(self) -> None:
        """Nobody asked for another protocol."""
        self._fail("changes the protocol")

    def _fail(self, what: str) -> None:
        if not self._is_over:
            self._leave()
            self.answered.errback(NoWorker(f"the worker {what}"))

    def _leave(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._connection.leave()
