"""Named forwards: whether a viewer may use one, and where its file leads.

Short-lived processes of the monitor's say both: one that became the viewer, whether the kernel lets them execute the
file; one that became its owner, what it holds. Both looked at the file in one state; one that was exchanged or changed
in between is asked about once more, and then refused. No worker is asked: it is its user's process.
"""

from __future__ import annotations

import shlex
from collections import OrderedDict
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from supercloud.errors import (
    BadAddress,
    ForwardDisabled,
    ForwardUnusable,
    NotAuthorized,
    NotFound,
    NothingListens,
    PortalError,
    Undecided,
)
from supercloud.identity import Principal
from supercloud.monitor.wire import ForwardOutcome, ForwardRead
from supercloud.routing.forward_url import Unreadable, read_forward
from supercloud.target import Forward, Reservation
from supercloud.workers.job_told import JobAt

# Seconds that a yes is believed: a page asks for seventy things at once, and who is refused is asked about anew.
BELIEVED: Final = 1.0
# Seconds for which the kernel's yes to a viewer holds while the file stays in that state: what is changed about the
# file shows there, and groups are looked at as often elsewhere (membership.LOOK).
CHECKED: Final = 10.0
_MOST_BELIEVED: Final = 4096
_WRITABLE_BY_OTHERS: Final = 0o022

# What the owner is told about a file that was not read; the command mends it.
_MENDING: Final[dict[ForwardOutcome, str]] = {
    "not-regular": "it is not a plain file. Remove it and write it anew: rm {file}",
    "several-names": "its file has several names (hard links). Remove it and write it anew: rm {file}",
    "unreadable": "you may not read its file yourself: chmod u+r {file}",
    "too-long": "its file is longer than 1,024 bytes. Write it anew: echo http://NODE:PORT/ > {file}",
}

# Nobody could say it in time.
_UNSAID: Final[frozenset[ForwardOutcome]] = frozenset({"busy", "slow", "broken"})


class Look(Enum):
    """A forward's file now, seen from where a viewer was let use it."""

    SAME = "as it was"
    DUE = "as it was, but it is time to ask about the viewer again"
    CHANGED = "in another state"


class ForwardReader(Protocol):
    """Asks as viewers and as files' owners; see monitor.client."""

    async def find_forward(self, name: str) -> ForwardRead:
        """:raises PortalError: the monitor does not answer."""

    async def read_forward(self, uid: int, name: str) -> ForwardRead:
        """:raises PortalError: the monitor does not answer."""


class WorkerAsk(Protocol):
    """Asks viewers' workers about what is theirs; see workers.asking."""

    async def job_at(self, principal: Principal, node: str) -> JobAt | None:
        """:raises PortalError: the worker does not answer."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Where a viewer was let go.

    :ivar when: it was asked whether the file is still so.
    :ivar since: all was asked for the first time in this state, and when it was so last (``checked``).
    """

    when: float
    since: float
    checked: float
    forward: Forward

    def holds(self, now: float) -> bool:
        """Whether this is true while the file stays as it is. Not before all was asked a while after the file had come
        to this state: two changes within one tick of a file system's clock have the same ctime.
        """
        return self.checked - self.since >= BELIEVED and now - self.checked < CHECKED


class Forwards:
    """The site's forwards.

    :param folder: where their files are, for what owners are told.
    """

    def __init__(self, reader: ForwardReader, worker: WorkerAsk, clock: IReactorTime, *, folder: str) -> None:
        self._reader = reader
        self._worker = worker
        self._clock = clock
        self._folder = folder
        self._believed: OrderedDict[tuple[int, str], _Known] = OrderedDict()
        self._asking: dict[tuple[int, str], list[Deferred[Forward]]] = {}

    async def find(self, principal: Principal, name: str) -> Forward:
        """Where a forward leads that the viewer may use.

        Who asks while the same is being asked shares the answer; a refusal is not kept beyond that.

        :param name: of the grammar of forwards.
        :raises NotFound: there is none, or not for this viewer.
        :raises ForwardDisabled: it is switched off; said to its owner and to whoever may execute its file.
        :raises ForwardUnusable: said to its owner only.
        :raises PortalError: nobody could say.
        """
        key = (principal.uid, name)
        if known := self._fresh(key):
            return known
        waiting: Deferred[Forward] = Deferred()
        others = self._asking.setdefault(key, [])
        others.append(waiting)
        if len(others) == 1:
            # On its own: whoever asked first may leave before the others.
            Deferred.fromCoroutine(self._ask(principal, name)).addBoth(self._tell, key)
        return await waiting

    async def look(self, principal: Principal, name: str) -> ForwardRead:
        """What is to be said about a forward's file, whether or not the viewer may use it.

        :raises PortalError: the monitor does not answer.
        """
        return await self._reader.read_forward(principal.uid, name)

    async def look_again(self, principal: Principal, forward: Forward) -> Look:
        """How the file is now of a forward that the viewer was let use before. No process is asked that somebody could
        stop.

        :raises PortalError: nobody can say.
        """
        key, asked = (principal.uid, forward.name), self._clock.seconds()
        if not await self._is_so(forward):
            self._believed.pop(key, None)
            return Look.CHANGED
        known = self._believed.get(key)
        if known is None or known.forward != forward or not known.holds(asked):
            return Look.DUE
        self._believe(key, replace(known, when=asked))
        return Look.SAME

    async def find_again(self, principal: Principal, forward: Forward) -> Forward:
        """Where a forward leads now that the viewer was let use before, asked anew.

        :raises PortalError: as `find` does.
        """
        key = (principal.uid, forward.name)
        if key in self._believed:
            self._believed[key] = replace(self._believed[key], when=-BELIEVED)
        return await self.find(principal, forward.name)

    def believes(self, uid: int, forward: Forward) -> bool:
        """Whether a viewer was let use this very forward a moment ago."""
        return self._fresh((uid, forward.name)) == forward

    async def explained(self, error: PortalError, forward: Forward, principal: Principal) -> PortalError:
        """What went wrong behind a forward, in words for its owner; as it is for anybody else."""
        if forward.reservation.uid != principal.uid:
            return error
        note = " Its file has several lines; the last one is used." if forward.lines > 1 else ""
        to = f"Your forward {forward.name} leads to {forward.application}"
        if isinstance(error, NothingListens):
            return NothingListens(
                str(error),
                public=f"{to}, where nothing listens yet. {await self._about_job(forward, principal)}"
                f"This page opens it by itself as soon as it answers.{note}",
            )
        if isinstance(error, NotAuthorized):
            # That somebody listens is no secret: where nobody does, the answer is another one for everybody.
            return NotAuthorized(
                str(error), public=f"{to}, and what listens there is not yours.{self._whose(forward)}{note}"
            )
        if isinstance(error, BadAddress):
            return ForwardUnusable(
                str(error),
                public=f"{to}, which is no node and port of this cluster that the portal opens.{note} "
                f"Write another one: echo http://NODE:PORT/ > {self._file(forward.name)}",
            )
        return error

    def _whose(self, forward: Forward) -> str:
        if forward.reservation.mode & _WRITABLE_BY_OTHERS:
            return (
                " Or it is, but others may write the forward's file, so that it does not count as yours: "
                f"chmod go-w {self._file(forward.name)}"
            )
        return f" Write the port that your program has: echo http://NODE:PORT/ > {self._file(forward.name)}"

    async def _about_job(self, forward: Forward, principal: Principal) -> str:
        """What became of the job, where somebody knows it."""
        try:
            job = await self._worker.job_at(principal, forward.application.node)
        except PortalError:
            return ""  # it is only to help
        return "" if job is None else f"{job.words} "

    def _fresh(self, key: tuple[int, str]) -> Forward | None:
        known = self._believed.get(key)
        return known.forward if known is not None and self._clock.seconds() - known.when < BELIEVED else None

    def _tell(self, result: Forward | Failure, key: tuple[int, str]) -> None:
        waiting = self._asking.pop(key)
        if not isinstance(result, Forward):
            self._believed.pop(key, None)
        for one in waiting:
            if not one.called:  # or its exchange is over
                one.callback(result)  # a Failure fails it

    def _believe(self, key: tuple[int, str], known: _Known) -> Forward:
        self._believed[key] = known
        self._believed.move_to_end(key)
        if len(self._believed) > _MOST_BELIEVED:
            self._believed.popitem(last=False)
        return known.forward

    async def _is_so(self, forward: Forward) -> bool:
        found = await self._reader.find_forward(forward.name)
        if found.outcome in _UNSAID:
            raise Undecided(f"{forward}: {found.outcome}")
        return found.outcome == "found" and found.state == forward.reservation

    async def _ask(self, principal: Principal, name: str) -> Forward:
        key, asked = (principal.uid, name), self._clock.seconds()
        known = self._believed.get(key)
        if known is not None and known.holds(asked) and await self._is_so(known.forward):
            return self._believe(key, replace(known, when=asked))
        read = await self._reader.read_forward(principal.uid, name)
        if read.outcome == "changed":
            read = await self._reader.read_forward(principal.uid, name)
        if read.data is None or read.state is None:
            raise self._not_read(principal, name, read)
        forward = self._forward(principal, name, read.state, read.data)
        since = known.since if known is not None and known.forward == forward else asked
        return self._believe(key, _Known(asked, since, asked, forward))

    def _not_read(self, principal: Principal, name: str, read: ForwardRead) -> PortalError:
        outcome, file = read.outcome, self._file(name)
        log = f"forward {name} for {principal}: {outcome}"
        if outcome in _UNSAID:
            return Undecided(log)
        if read.state is None or read.state.uid != principal.uid:
            return NotFound(log)
        if outcome == "not-executable":
            return ForwardDisabled(
                log,
                public=f"Your forward {name} is there, but its file is not executable, so it is switched off. "
                f"To switch it on: chmod u+x {file}",
            )
        words = _MENDING.get(outcome)
        if words is None:
            return NotFound(log)
        return ForwardUnusable(log, public=f"Your forward {name} cannot be used: {words.format(file=file)}")

    def _forward(self, principal: Principal, name: str, state: Reservation, data: bytes) -> Forward:
        is_owner = state.uid == principal.uid
        write = f"echo http://NODE:PORT/ > {self._file(name)}"
        try:
            url = read_forward(data)
        except Unreadable as error:
            log = f"forward {name}: {error}"
            if not is_owner:
                raise NotFound(log) from None
            raise ForwardUnusable(log, public=f"Your forward {name} cannot be used: {error}. Try: {write}") from None
        if url is None:
            public = (
                f"Your forward {name} is empty, so it is switched off. To switch it on: {write}" if is_owner else None
            )
            raise ForwardDisabled(f"forward {name} is empty", public=public)
        return Forward(name, state, url.application, url.base, url.is_tls, url.authorization, url.lines)

    def _file(self, name: str) -> str:
        return shlex.quote(f"{self._folder}/{name}")
