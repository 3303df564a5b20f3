"""Named forwards: whether a viewer may use one, and where its file leads.

The viewer's own worker says whether the kernel lets them execute the file, the file's owner (a short-lived process of
the monitor's) what it holds. Both name the state of the file that they looked at; a file that was exchanged or changed
in between is asked about once more, and then refused.
"""

from __future__ import annotations

import shlex
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from supercloud.errors import (
    BadAddress,
    Busy,
    ForwardDisabled,
    ForwardUnusable,
    NotAuthorized,
    NotFound,
    NothingListens,
    PortalError,
    Undecided,
)
from supercloud.identity import Principal
from supercloud.monitor.wire import ForwardFile, ForwardOutcome, ForwardRead
from supercloud.routing.forward_url import ForwardUrl, Unreadable, read_forward
from supercloud.target import Forward, Reservation
from supercloud.workers.forward_check import Checked
from supercloud.workers.job_told import JobAt

# Seconds that a yes is believed: a page asks for seventy things at once, and who is refused is asked about anew.
BELIEVED: Final = 1.0
_MOST_BELIEVED: Final = 4096
_TRIES: Final = 2
_WRITABLE_BY_OTHERS: Final = 0o022

# What the owner is told about a file that was not read; the command mends it.
_MENDING: Final[dict[ForwardOutcome, str]] = {
    "not-regular": "it is not a plain file. Remove it and write it anew: rm {file}",
    "several-names": "its file has several names (hard links). Remove it and write it anew: rm {file}",
    "unreadable": "you may not read its file yourself: chmod u+r {file}",
    "too-long": "its file is longer than 1,024 bytes. Write it anew: echo http://NODE:PORT/ > {file}",
}


class ForwardReader(Protocol):
    """Has forward files read by their owners; see monitor.client."""

    async def read_forward(self, name: str, *, asker: int) -> ForwardRead:
        """:raises PortalError: the monitor does not answer."""


class WorkerAsk(Protocol):
    """Asks viewers' workers; see workers.asking."""

    async def may_execute(self, principal: Principal, name: str) -> Checked | None:
        """:raises PortalError: the worker does not answer."""

    async def job_at(self, principal: Principal, node: str) -> JobAt | None:
        """:raises PortalError: the worker does not answer."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Where a viewer was let go.

    :ivar is_settled: the file was read a while after it had come to this state, so that whatever is written to it
        later shows in its ctime: two changes within one tick of the file system's clock have the same.
    """

    when: float
    forward: Forward
    is_settled: bool


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

    async def look(self, principal: Principal, name: str) -> Checked | None:
        """What the viewer's worker says about a forward's file, whether or not the viewer may use it.

        :raises PortalError: there is no worker for this account now, or it does not answer.
        """
        return await self._worker.may_execute(principal, name)

    async def again(self, principal: Principal, forward: Forward) -> Forward:
        """Where a forward leads now that the viewer was let use before; whatever was believed about it is forgotten.

        As long as the file is in the same state as then, nobody reads it.

        :raises PortalError: as `find` does.
        """
        key, reservation = (principal.uid, forward.name), forward.reservation
        checked = await self._worker.may_execute(principal, forward.name)
        if checked is not None and checked.allowed and _is_same(checked, reservation):
            known = self._believed.get(key)
            self._believe(key, forward, is_settled=known is not None and known.is_settled)
            return forward
        self._believed.pop(key, None)
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
        if isinstance(result, Forward):
            known = self._believed.get(key)
            self._believe(key, result, is_settled=known is not None and known.forward == result)
        else:
            self._believed.pop(key, None)
        for one in waiting:
            if not one.called:  # or its exchange is over
                one.callback(result)  # a Failure fails it

    def _believe(self, key: tuple[int, str], forward: Forward, *, is_settled: bool) -> None:
        self._believed[key] = _Known(self._clock.seconds(), forward, is_settled)
        self._believed.move_to_end(key)
        if len(self._believed) > _MOST_BELIEVED:
            self._believed.popitem(last=False)

    async def _ask(self, principal: Principal, name: str) -> Forward:
        for _ in range(_TRIES):
            checked = await self._worker.may_execute(principal, name)
            if checked is None:
                raise NotFound(f"there is no forward {name}")
            is_owner = checked.uid == principal.uid
            if not checked.allowed:
                raise self._not_allowed(principal, name, checked, is_owner=is_owner)
            known = self._believed.get((principal.uid, name))
            if known is not None and known.is_settled and _is_same(checked, known.forward.reservation):
                return known.forward
            read = await self._reader.read_forward(name, asker=principal.uid)
            if read.file is None:
                if read.outcome not in ("changed", "absent"):
                    raise self._not_read(name, read.outcome, is_owner=is_owner)
            elif _is_same(checked, read.file):
                return self._forward(principal, name, read.file)
        raise NotFound(f"forward {name} is not the same for two looks at it")

    def _not_allowed(self, principal: Principal, name: str, checked: Checked, *, is_owner: bool) -> PortalError:
        log = f"{principal} may not execute forward {name}"
        if not is_owner:
            return NotFound(log)
        if not checked.regular:
            return self._not_read(name, "not-regular", is_owner=True)
        return ForwardDisabled(
            log,
            public=f"Your forward {name} is there, but its file is not executable, so it is switched off. "
            f"To switch it on: chmod u+x {self._file(name)}",
        )

    def _not_read(self, name: str, outcome: ForwardOutcome, *, is_owner: bool) -> PortalError:
        log = f"forward {name}: {outcome}"
        if outcome == "busy":
            return Busy(log)
        if outcome in ("slow", "broken"):
            return Undecided(log)
        if not is_owner:
            return NotFound(log)
        words = _MENDING[outcome].format(file=self._file(name))
        return ForwardUnusable(log, public=f"Your forward {name} cannot be used: {words}")

    def _forward(self, principal: Principal, name: str, file: ForwardFile) -> Forward:
        is_owner = file.uid == principal.uid
        write = f"echo http://NODE:PORT/ > {self._file(name)}"
        try:
            url = read_forward(file.data)
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
        return _made(name, file, url)

    def _file(self, name: str) -> str:
        return shlex.quote(f"{self._folder}/{name}")


def _is_same(checked: Checked, file: ForwardFile | Reservation) -> bool:
    return (checked.device, checked.inode, checked.ctime) == (file.device, file.inode, file.ctime)


def _made(name: str, file: ForwardFile, url: ForwardUrl) -> Forward:
    reservation = Reservation(file.device, file.inode, file.ctime, file.uid, file.gid, file.mode)
    return Forward(name, reservation, url.application, url.base, url.is_tls, url.authorization, url.lines)
