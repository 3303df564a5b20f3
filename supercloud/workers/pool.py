"""Workers as the front knows them: at most one that new requests of an account go to, started when it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from supercloud import events
from supercloud.authn.standing import CLOSED
from supercloud.errors import AccountClosed, Busy, NoWorker, PortalError
from supercloud.identity import NoAccount, Principal
from supercloud.monitor.wire import WorkerRefused, WorkerStarted
from supercloud.workers.lifecycle import Facts, Worker, make_worker

# Seconds between two looks at all workers: what changed about an account's groups counts within half a minute.
LOOK: Final = 15.0

_REFUSED: Final = CLOSED | {"closed": "The cluster is closed to users for now (/etc/nologin). Try again later."}


class Starts(Protocol):
    """Has workers started and stopped; see monitor.client."""

    async def start_worker(self, uid: int, login: str) -> WorkerStarted | WorkerRefused:
        """:raises PortalError: the monitor does not answer."""

    def stop_worker(self, worker: int) -> object: ...


class PrincipalLookup(Protocol):
    """Reads an account afresh."""

    async def find(self, key: str | int) -> Principal: ...


class One:
    """One worker and what is known about it."""

    __slots__ = ("facts", "worker")

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.worker: Worker = make_worker(facts)


class Workers:
    """The workers of all accounts.

    :param limit: at once, those that are starting or ending included.
    :param idle: seconds after which an unused one ends.
    """

    def __init__(
        self, monitor: Starts, accounts: PrincipalLookup, clock: IReactorTime, *, limit: int, idle: float
    ) -> None:
        self._monitor = monitor
        self._accounts = accounts
        self._clock = clock
        self._limit = limit
        self._idle = idle
        self._current: dict[int, One] = {}  # by uid; new requests go there
        self._all: set[One] = set()
        self._by_number: dict[int, One] = {}
        self._next_look: IDelayedCall | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Begin to look after them."""
        self._next_look = self._clock.callLater(LOOK, self._look)

    def stop(self) -> None:
        """Start no more; those that are there end with the monitor."""
        self._is_stopped = True
        if self._next_look is not None and self._next_look.active():
            self._next_look.cancel()

    async def of(self, principal: Principal) -> One:
        """A worker that serves; started when there is none.

        :raises AccountClosed: the account may have none.
        :raises Busy: as many as the site allows, and all in use.
        :raises NoWorker: it could not be started.
        """
        one = self._current.get(principal.uid)
        if one is not None and one.worker.is_serving():
            return one
        waiting: Deferred[None] = Deferred()
        if one is not None and one.worker.is_starting():
            one.facts.waiting.append(waiting)
        else:
            one = self._start(principal, waiting)
        await waiting
        return one

    def begin(self, one: One) -> None:
        """A request is on its way to it; `done` must follow."""
        one.worker.begin()

    def done(self, one: One) -> None:
        """A request is over."""
        one.worker.done(self._clock.seconds())

    def ended(self, number: int, how: str) -> None:
        """The monitor says that a worker's process is gone."""
        one = self._by_number.pop(number, None)
        if one is not None:
            events.worker_ended(one.facts.uid, number, how)
            one.worker.gone()
            self._forget(one)

    def end(self, uid: int) -> None:
        """End an account's workers at once, whatever they do."""
        for one in [one for one in self._all if one.facts.uid == uid]:
            one.worker.end()
            self._leave(one)

    @property
    def in_use(self) -> dict[int, str]:
        """Uid and login of whoever has one."""
        return {uid: one.facts.login for uid, one in self._current.items()}

    @property
    def count(self) -> int:
        """All that are there."""
        return len(self._all)

    def _start(self, principal: Principal, waiting: Deferred[None]) -> One:
        if self._is_stopped:
            raise Busy("the portal stops")
        self._make_room()
        uid, login, groups = principal.uid, principal.login, principal.groups
        one = One(Facts(uid, login, groups, self._monitor.stop_worker, waiting=[waiting]))
        self._all.add(one)
        self._current[principal.uid] = one
        starting = Deferred.fromCoroutine(self._have_started(one, principal))
        events.watch(starting, f"starting a worker of {principal}")
        return one

    async def _have_started(self, one: One, principal: Principal) -> None:
        with suppress(NoAccount, PortalError):  # the monitor says what is wrong
            # Whoever asks may have signed in before the groups changed; the worker gets those of now.
            one.facts.groups = (await self._accounts.find(principal.uid)).groups
        try:
            answer = await self._monitor.start_worker(principal.uid, principal.login)
        except PortalError as error:
            self._refused(one, error)
            return
        if isinstance(answer, WorkerRefused):
            self._refused(one, _why(principal, answer))
            return
        one.facts.unused_since = self._clock.seconds()
        self._by_number[answer.worker] = one
        events.worker_started(principal.login, answer.worker, answer.pid)
        one.worker.started(answer.worker, answer.path)

    def _refused(self, one: One, error: PortalError) -> None:
        self._forget(one)
        one.worker.refused(error)

    def _make_room(self) -> None:
        if len(self._all) < self._limit:
            return
        unused = [one for one in self._current.values() if one.worker.is_serving() and not one.facts.in_use]
        if unused:
            self._retire(min(unused, key=lambda one: one.facts.unused_since))
        # Its process is there until the monitor says otherwise: whoever asks in a moment finds room.
        raise Busy(f"{len(self._all)} workers, of {self._limit}")

    def _retire(self, one: One) -> None:
        one.worker.retire()
        self._leave(one)

    def _leave(self, one: One) -> None:
        """No new request goes to it."""
        if self._current.get(one.facts.uid) is one:
            del self._current[one.facts.uid]

    def _forget(self, one: One) -> None:
        self._all.discard(one)
        self._leave(one)

    def _look(self) -> None:
        looking = Deferred.fromCoroutine(self._look_at_all())
        looking.addBoth(self._look_again)
        events.watch(looking, "looking after workers")

    def _look_again(self, result: Any) -> Any:
        if not self._is_stopped:
            self._next_look = self._clock.callLater(LOOK, self._look)
        return result

    async def _look_at_all(self) -> None:
        """One account after the other, so that thousands of workers make no burst of look-ups."""
        for one in self._serving():
            if not one.facts.in_use and self._clock.seconds() - one.facts.unused_since > self._idle:
                self._retire(one)
                continue
            try:
                principal = await self._accounts.find(one.facts.uid)
            except (NoAccount, PortalError):
                continue  # whether it may be used at all others look after; see authn.standing
            if principal.groups != one.facts.groups:
                self._retire(one)

    def _serving(self) -> Iterator[One]:
        return (one for one in list(self._current.values()) if one.worker.is_serving())


def _why(principal: Principal, answer: WorkerRefused) -> PortalError:
    log = f"no worker for {principal}: {answer.state}: {answer.reason}"
    public = _REFUSED.get(answer.state)
    return NoWorker(log) if public is None else AccountClosed(log, public=public)
