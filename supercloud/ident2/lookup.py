"""A question becomes an answer, for the sockets of this host. Blocks: runs beside the reactor's thread."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from supercloud.ident2.processes import Key, Process, SearchTooLong
from supercloud.ident2.sockets import Socket
from supercloud.ident2.wire import (
    ANSWERED,
    DETAILS,
    ESTABLISHED,
    EVEN_ROOT,
    GID,
    GROUPS,
    LISTEN,
    MAX_GROUPS,
    NO_ID,
    PROCESS,
    TCP,
    Answer,
    Opcode,
    Question,
    SocketAddress,
)

_REMEMBERED: Final = 1024  # listeners that were asked for lately


class SocketFinder(Protocol):
    """The kernel's side; :class:`supercloud.ident2.sockets.Sockets`."""

    def find(
        self, protocol: int, local: SocketAddress, remote: SocketAddress | None = None, *, states: int = 0
    ) -> Socket | None: ...


class HolderFinder(Protocol):
    """The side of /proc; :class:`supercloud.ident2.processes.Processes`."""

    def remembered(
        self, inode: int, uid: int, *, accepted_from: Key | None = None, groups: bool = False
    ) -> list[Process]: ...

    def search(self, inode: int, uid: int, *, groups: bool = False) -> list[Process]: ...


HolderSearch = Callable[[int, int], Awaitable[list[Process]]]  # inode and uid, as `HolderFinder.search`


class Lookup:
    """Answers questions about this host's sockets; several threads may ask.

    What is answered when a socket has several holders: only what is true of all of them. Of one account but with
    different effective groups: no ``GID``, and gid :data:`NO_ID`. Of several accounts: uid :data:`NO_ID` with
    ``PROCESS``, so that neither is let in, and nobody takes it for a connection that is not accepted yet. The groups
    are those that all have. Which processes are holders: see :meth:`.processes.Processes.search`.
    """

    def __init__(self, sockets: SocketFinder, processes: HolderFinder) -> None:
        self._sockets = sockets
        self._processes = processes
        self._listeners: OrderedDict[SocketAddress, Key] = OrderedDict()

    def quick(self, question: Question) -> Answer | None:
        """The answer, or None when only a search of all processes can tell.

        :raises KernelSilent: when the kernel does not answer: there is no answer then, not "no such socket".
        """
        return self._look(question, patient=False)

    def whose(self, question: Question) -> int:
        """The account that has the socket; `NO_ID` where there is none.

        :raises KernelSilent: when the kernel does not answer.
        """
        found = self._sockets.find(question.protocol, question.local, question.remote, states=question.states)
        return NO_ID if found is None else found.uid

    def answer(self, question: Question) -> Answer:
        """The answer, after a search if need be.

        :raises KernelSilent: when the kernel does not answer.
        """
        try:
            return self._look(question, patient=True) or _answer(question)
        except SearchTooLong:
            return _answer(question, flags=ANSWERED | PROCESS, uid=NO_ID, gid=NO_ID)

    async def answer_by(self, find: HolderSearch, question: Question) -> Answer:
        """The answer, with the holders searched by somebody else.

        :raises KernelSilent: when the kernel does not answer; or whatever ``find`` raises.
        """
        found = self._sockets.find(question.protocol, question.local, question.remote, states=question.states)
        if found is None or not found.inode:
            return self._look(question, patient=False) or _answer(question)
        return describe(question, found.uid, await find(found.inode, found.uid))

    def _look(self, question: Question, *, patient: bool) -> Answer | None:
        found = self._sockets.find(question.protocol, question.local, question.remote, states=question.states)
        if found is None:
            return _answer(question)
        if found.state == LISTEN:
            self._remember(question.local, found)
        uid = found.uid
        if not found.inode:
            return _answer(question, flags=ANSWERED, uid=self._uid_to_be(found, question))
        if not question.flags & DETAILS or not (uid or question.flags & EVEN_ROOT):
            return _answer(question, flags=ANSWERED, uid=uid)
        listener = self._listener_of(question.local) if found.state == ESTABLISHED else None
        groups = bool(question.flags & GROUPS)
        holders = self._processes.remembered(found.inode, uid, accepted_from=listener, groups=groups)
        if not holders and patient:
            holders = self._processes.search(found.inode, uid, groups=groups)
            if listener is not None and holders:
                self._learn(listener)
        elif not holders:
            return None
        return describe(question, uid, holders)

    def _uid_to_be(self, found: Socket, question: Question) -> int:
        """Nobody has accepted it yet. Old kernels show uid 0 then; the uid that counts is the listener's."""
        if found.uid or found.state != ESTABLISHED:
            return found.uid
        listener = self._sockets.find(TCP, question.local, states=LISTEN)
        return listener.uid if listener is not None else found.uid

    def _learn(self, listener: Key) -> None:
        """See who holds the listener, so that its next connection needs no search."""
        if listener[1] and not self._processes.remembered(*listener):
            with suppress(SearchTooLong):
                self._processes.search(*listener)

    def _listener_of(self, local: SocketAddress) -> Key | None:
        known = self._listeners.get(local)
        if known is not None:  # perhaps outlived: only ever a hint where to look first
            return known
        found = self._sockets.find(TCP, local, states=LISTEN)
        if found is None:
            return None
        self._remember(local, found)
        return found.inode, found.uid

    def _remember(self, local: SocketAddress, listener: Socket) -> None:
        self._listeners[local] = (listener.inode, listener.uid)
        while len(self._listeners) > _REMEMBERED:
            self._listeners.popitem(last=False)


def describe(question: Question, uid: int, holders: list[Process]) -> Answer:
    """What is true of all holders; pure.

    :param uid: the socket's own, answered alone when no holder is seen.
    """
    if not holders:
        return _answer(question, flags=ANSWERED, uid=uid)
    first, *others = holders
    if others and any(other.uid != first.uid for other in others):
        return _answer(question, flags=ANSWERED | PROCESS, uid=NO_ID, gid=NO_ID)
    if not first.uid and not question.flags & EVEN_ROOT:
        return _answer(question, flags=ANSWERED, uid=0)
    flags, gid = ANSWERED | PROCESS, NO_ID
    if not others or all(other.gid == first.gid for other in others):
        flags, gid = flags | GID, first.gid
    groups: tuple[int, ...] = ()
    if question.flags & GROUPS:
        flags |= GROUPS
        groups = tuple(sorted(frozenset.intersection(*(holder.groups for holder in holders)))[:MAX_GROUPS])
    return _answer(question, flags=flags, pid=first.pid, uid=first.uid, gid=gid, groups=groups)


def _answer(
    question: Question, *, flags: int = 0, pid: int = 0, uid: int = 0, gid: int = 0, groups: tuple[int, ...] = ()
) -> Answer:
    opcode = Opcode.ANSWER_LOCAL if question.opcode == Opcode.ASK_LOCAL else Opcode.ANSWER_REMOTE
    return Answer(
        opcode=opcode, client_id=question.client_id, question_id=question.question_id,
        flags=flags, pid=pid, uid=uid, gid=gid, groups=groups,
    )  # fmt: skip
