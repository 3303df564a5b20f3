"""A request's way to its viewer's own worker: the worker, a connection to it that was verified, the relay."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from supercloud.authn.authenticate import Viewer
from supercloud.errors import NoWorker
from supercloud.message.claims import USUAL, Claims
from supercloud.ownership.rule import Verdict
from supercloud.relay.http import REPEATABLE, HttpRelay
from supercloud.routing.own_worker import Trailers, check_path, check_use, inward, outward
from supercloud.upstream.pool import Kept, Key, Pool
from supercloud.upstream.unix import WorkerDialer
from supercloud.workers.pool import One, Workers

Again = Callable[[Coroutine[Deferred[Any], Any, None]], object]


class WayToWorker:
    """Carries requests to workers.

    :param pool: of connections to workers; a worker's number is in the key, so that none outlives its worker.
    :param applications: their origins, as a policy names them.
    :param notices: the line that tells pages what the site tells everybody.
    :param claims: what is not believed of a request.
    """

    def __init__(
        self,
        workers: Workers,
        dialer: WorkerDialer,
        pool: Pool[One],
        *,
        applications: tuple[str, ...] = (),
        notices: Callable[[], bytes] = bytes,
        claims: Claims = USUAL,
    ) -> None:
        self._workers = workers
        self._dialer = dialer
        self._pool = pool
        self._applications = applications
        self._claims = claims
        self.notices = notices

    async def carry(self, exchange: Any, viewer: Viewer, again: Again, *, afresh: bool = False) -> None:
        """Carry one exchange.

        :param again: has this carried once more, when the kept connection was closed before the worker saw it.
        :raises PortalError: there is no worker for this account now, or it does not answer.
        """
        head, principal = exchange.head, viewer.principal
        check_path(head.path)
        check_use(head)
        exchange.audit.target = "worker"
        one = await self._workers.of(principal)
        if exchange.is_over:
            return
        self._workers.begin(one)
        exchange.on_over.append(lambda: self._workers.done(one))
        may_repeat = head.method in REPEATABLE and head.length == 0
        kept, is_kept = await self.connection_to(one, afresh=afresh, must_be_fresh=not may_repeat)
        _note(exchange, principal.uid, is_kept=is_kept)
        if exchange.is_over:
            kept.connection.released(kept.connection)
            return
        exchange.outward = partial(outward, path=head.path, host=head.host, applications=self._applications)
        retry = None
        if may_repeat and is_kept:

            def retry() -> object:
                return again(self.carry(exchange, viewer, again, afresh=True))

        trailing = Trailers(head.path, head.options, self._claims)
        relay = HttpRelay(exchange, kept.connection, length=head.length, trailing=trailing, retry=retry)
        exchange.carry(relay)
        told = inward(head, address=exchange.address, notices=self.notices(), claims=self._claims)
        relay.start(head.method, told)

    async def connection_to(self, one: One, *, afresh: bool, must_be_fresh: bool) -> tuple[Kept[One], bool]:
        """A verified connection for one exchange with a worker, and whether it is a kept one.

        :raises PortalError: there is none.
        """
        key = Key(one.facts.uid, "worker", one.facts.number)
        kept = None if afresh else self._pool.take(key, must_be_fresh=must_be_fresh)
        return (await self._connect(key, one), False) if kept is None else (kept, True)

    def close(self) -> None:
        """Close what is unused."""
        self._pool.close()

    async def _connect(self, key: Key, one: One) -> Kept[One]:
        uid = key.uid
        self._pool.reserve(uid)
        try:
            connection = await self._dialer.dial(one.facts.path, uid)
        except BaseException:
            self._pool.unreserve(uid)
            raise
        if not connection.is_open:
            self._pool.unreserve(uid)
            raise NoWorker(f"worker {one.facts.number} of uid {uid} closed the connection")
        return self._pool.add(key, connection, one)


def _note(exchange: Any, uid: int, *, is_kept: bool) -> None:
    line = exchange.audit
    line.verdict, line.rule, line.uid = Verdict.SAME_USER.value, "kept" if is_kept else "connection", uid
