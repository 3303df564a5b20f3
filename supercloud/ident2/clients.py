"""Local clients of the responder: other programs of this host, over a unix socket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from typing import Final

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from supercloud.ident2.client import Way
from supercloud.ident2.occasional import Occasional
from supercloud.ident2.outstanding import NoAnswer, Reason
from supercloud.ident2.seqpacket import PacketConnection
from supercloud.ident2.wire import Answer, Greeting, Opcode, Question, WireError, decode

_log = Logger()

CONNECTIONS: Final = 1024  # of local clients
PER_UID: Final = 256  # of them of one account; each thread of a web server may have one
QUESTIONS: Final = 256  # of one connection that wait at once


class LocalClients:
    """Serves the connections of a unix socket.

    :param here: asked about this host; :param elsewhere: about others, None if there are none.
    :param own: the addresses of this host.
    """

    def __init__(self, clock: IReactorTime, *, own: Container[object], here: Way, elsewhere: Way | None) -> None:
        self.own = own
        self.here = here
        self.elsewhere = elsewhere
        self.full = Occasional(clock, _full)
        self._clients: set[_Client] = set()
        self._by_uid: Counter[int] = Counter()

    def accepted(self, connection: PacketConnection) -> None:
        """Serve one more, if there is room."""
        if len(self._clients) >= CONNECTIONS or self._by_uid[connection.uid] >= PER_UID:
            connection.close()
            self.full.note("a new connection")
            return
        client = _Client(self, connection)
        self._by_uid[connection.uid] += 1
        self._clients.add(client)
        connection.start(client.received, client.lost)

    def gone(self, client: _Client) -> None:
        """The client's connection is lost."""
        if client in self._clients:
            self._clients.remove(client)
            self._by_uid -= Counter((client.connection.uid,))

    def close(self) -> None:
        """End all connections."""
        for client in list(self._clients):
            client.connection.close()


class _Client:
    """One connection and the questions of it that wait."""

    def __init__(self, clients: LocalClients, connection: PacketConnection) -> None:
        self._clients = clients
        self.connection = connection
        self._waiting: dict[tuple[int, int], Deferred[Answer]] = {}

    def received(self, data: bytes) -> None:
        """Serve one message; who does not speak ident2 is cut off, as by the original."""
        try:
            message = decode(data)
        except WireError as error:
            _log.warn("a local client does not speak ident2: {error}", error=error)
            self.connection.close()
            return
        match message:
            case Question():
                self._ask(message)
            case Greeting():
                _log.info("greeting from a local client: {text!r}", text=message.text[:80])
            case _:
                _log.warn("a local client sent an answer")
                self.connection.close()

    def lost(self) -> None:
        """Nobody waits any more."""
        self._clients.gone(self)
        for waiting in list(self._waiting.values()):
            waiting.cancel()

    def _ask(self, question: Question) -> None:
        """Have it answered, once: clients ask again after 150 ms (the original's), and so does the way itself."""
        key = question.client_id, question.question_id
        if key in self._waiting:
            return
        if len(self._waiting) >= QUESTIONS:
            self._clients.full.note("a question")
            return
        try:
            answer = self._way(question).ask(replace(question, opcode=Opcode.ASK_REMOTE))
        except NoAnswer as refusal:
            self._refused(question, refusal)
            return
        self._waiting[key] = answer
        answer.addCallbacks(self._answered, self._failed, callbackArgs=(question,), errbackArgs=(question,))

    def _way(self, question: Question) -> Way:
        """:raises NoAnswer: when this host asks no others."""
        if question.opcode == Opcode.ASK_LOCAL or question.local.host in self._clients.own:
            return self._clients.here
        if self._clients.elsewhere is None:
            raise NoAnswer(Reason.OUTSIDE, question)
        return self._clients.elsewhere

    def _answered(self, answer: Answer, question: Question) -> None:
        self._waiting.pop((question.client_id, question.question_id), None)
        self.connection.send(_addressed(answer, question))

    def _failed(self, failure: Failure, question: Question) -> None:
        self._waiting.pop((question.client_id, question.question_id), None)
        if isinstance(failure.value, NoAnswer):
            self._refused(question, failure.value)
        elif not isinstance(failure.value, CancelledError):
            _log.failure("no answer for a local client", failure=failure)

    def _refused(self, question: Question, refusal: NoAnswer) -> None:
        """Outside the networks: answered at once, without ``ANSWERED``. Else silence, which the client knows."""
        if refusal.reason is Reason.OUTSIDE:
            self.connection.send(_addressed(Answer(), question))


def _addressed(answer: Answer, question: Question) -> bytes:
    """The answer under the ids and the opcode of the client's own question."""
    local = question.opcode == Opcode.ASK_LOCAL
    return replace(
        answer,
        opcode=Opcode.ANSWER_LOCAL if local else Opcode.ANSWER_REMOTE,
        client_id=question.client_id,
        question_id=question.question_id,
    ).encode()


def _full(count: int, last: str) -> None:
    _log.warn("{count} times too much of local clients, last {last}", count=count, last=last)
