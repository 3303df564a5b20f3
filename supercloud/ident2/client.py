"""What the rest of the portal asks: who holds this socket, wherever it is."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReactorFromThreads, IReactorTime
from twisted.logger import Logger
from twisted.python.threadable import isInIOThread

from supercloud.closer import Closer
from supercloud.ident2.outstanding import NoAnswer, Outstanding, Reason
from supercloud.ident2.seqpacket import PacketConnection, connect
from supercloud.ident2.wire import ANSWERED, GID, PROCESS, TCP, Answer, Opcode, Question, WireError, decode_answer

_log = Logger()

__all__ = ["DaemonConnection", "Ident2Client", "InProcess", "NoAnswer", "Reason", "Reply"]


class Reply(msgspec.Struct, frozen=True):
    """An answer and when it came.

    :ivar received: seconds of the clock that the client was given.
    """

    answer: Answer
    received: float

    @property
    def exists(self) -> bool:
        """There is such a socket, and ``uid`` is its uid."""
        return bool(self.answer.flags & ANSWERED)

    @property
    def is_held(self) -> bool:
        """A process holds it, and ``uid`` is that process's effective one; else nobody has accepted it yet."""
        return bool(self.answer.flags & PROCESS)

    @property
    def uid(self) -> int:
        """Meaningless unless ``exists``."""
        return self.answer.uid

    @property
    def gid(self) -> int | None:
        """The effective gid of all holders; None when unknown, or when they differ."""
        return self.answer.gid if self.answer.flags & GID else None

    def age(self, now: float) -> float:
        """Seconds since it came, by the same clock."""
        return now - self.received


class Way(Protocol):
    """One way to have a question answered."""

    def ask(self, question: Question) -> Deferred[Answer]: ...


class Ident2Client:
    """Asks whoever can know: this process about its own host, other nodes by UDP, or a daemon on this host.

    Any question without an answer is :class:`NoAnswer`, never a guess.

    :param own: the addresses of this host.
    :param here: asked about own addresses.
    :param elsewhere: asked about all others; None refuses them.
    """

    def __init__(self, clock: IReactorTime, *, own: Container[object], here: Way, elsewhere: Way | None) -> None:
        self._clock = clock
        self._own = own
        self._here = here
        self._elsewhere = elsewhere

    async def ask(self, question: Question) -> Reply:
        """Ask, and wait for the answer; may be cancelled.

        :param question: about TCP it says the states, since the answer does not.
        :raises NoAnswer: with the reason.
        :raises ValueError: when ``states`` is 0 in a question about TCP.
        """
        if question.protocol == TCP and not question.states:
            raise ValueError("a question about any state: the answer would not say which")
        if question.local.host in self._own:
            answer = await self._here.ask(replace(question, opcode=Opcode.ASK_LOCAL))
        elif self._elsewhere is not None:
            answer = await self._elsewhere.ask(question)
        else:
            raise NoAnswer(Reason.REFUSED, question)
        return Reply(answer, self._clock.seconds())


class InProcess:
    """Looks up in this process.

    What can be told at once is told at once, in the reactor's thread: an exact look-up and the status of a process that
    is known already take 45 us and wait for nothing, where handing them to a thread and back costs the reactor's thread
    150 us and thirty changes of context (measured). What needs a search of /proc goes to a thread.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        outstanding: Outstanding,
        submit: Callable[[Question, Callable[[Answer], object]], bool],
    ) -> None:
        self._reactor = reactor
        self._outstanding = outstanding
        self._submit = submit

    def ask(self, question: Question) -> Deferred[Answer]:
        """Queue the look-up; tried again if there is no room.

        :raises NoAnswer: when too many questions wait.
        """
        return self._outstanding.ask(question, self._send, self)

    def _send(self, question: Question) -> None:
        self._submit(question, self._deliver)

    def _deliver(self, answer: Answer) -> None:
        if isInIOThread():  # type: ignore[no-untyped-call]
            self._outstanding.answered(answer, self)
        else:
            self._reactor.callFromThread(self._outstanding.answered, answer, self)


class DaemonConnection:
    """Asks the responder of this host, ours or the original, through its unix socket.

    Connects with the first question and again after the connection was lost.
    """

    def __init__(self, reactor: IReactorFDSet, outstanding: Outstanding, path: str) -> None:
        self._reactor: Any = reactor
        self._outstanding = outstanding
        self._path = path
        self._connection: PacketConnection | None = None

    def ask(self, question: Question) -> Deferred[Answer]:
        """Ask the daemon, which asks the other nodes.

        :raises NoAnswer: at once, when nobody listens.
        """
        try:
            self._connected()
        except OSError as error:
            _log.warn("no ident2 responder on {path}: {error}", path=self._path, error=error)
            raise NoAnswer(Reason.REFUSED, question) from error
        return self._outstanding.ask(question, self._send, self)

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()

    def _connected(self) -> PacketConnection:
        if self._connection is None:
            self._connection = PacketConnection(self._reactor, connect(self._path), Closer())
            self._connection.start(self._received, self._lost)
        return self._connection

    def _send(self, question: Question) -> None:
        try:
            self._connected().send(question.encode())
        except OSError as error:
            _log.debug("question not sent: {error}", error=error)

    def _received(self, data: bytes) -> None:
        try:
            answer = decode_answer(data)
        except WireError as error:
            _log.warn("the responder on {path} does not speak ident2: {error}", path=self._path, error=error)
            self.close()
            return
        self._outstanding.answered(answer, self)

    def _lost(self) -> None:
        self._connection = None
