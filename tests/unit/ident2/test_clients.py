from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher

from supercloud.closer import Closer
from supercloud.ident2 import clients as module
from supercloud.ident2 import seqpacket
from supercloud.ident2.clients import LocalClients
from supercloud.ident2.outstanding import NoAnswer, Reason
from supercloud.ident2.seqpacket import PacketConnection
from supercloud.ident2.wire import Answer, Opcode, Question, SocketAddress, decode

OURS = Question(local=SocketAddress.parse("10.77.0.1", 8888), question_id=1, client_id=2)
THEIRS = Question(local=SocketAddress.parse("10.77.0.11", 8888), question_id=3, client_id=4)
FULL = Answer(flags=7, pid=1, uid=20001, gid=20001, question_id=99)


class FakeWay:
    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.answers: list[Deferred[Answer]] = []
        self.cancelled = 0
        self.refusal: Reason | None = None

    def ask(self, question: Question) -> Deferred[Answer]:
        if self.refusal is not None:
            raise NoAnswer(self.refusal, question)
        self.asked.append(question)
        self.answers.append(Deferred(self._cancel))
        return self.answers[-1]

    def _cancel(self, _: object) -> None:
        self.cancelled += 1


class Script:
    """A local client and the responder that serves it."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.here, self.elsewhere = FakeWay(), FakeWay()
        self.clients = LocalClients(reactor, own={ip_address("10.77.0.1")}, here=self.here, elsewhere=self.elsewhere)
        self.socket = self.connect()

    def connect(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.clients.accepted(PacketConnection(self.reactor, ours, Closer()))
        return theirs

    def say(self, *messages: bytes) -> None:
        for message in messages:
            self.socket.send(message)
        self.reactor.turn()

    def hear(self) -> object:
        return decode(self.socket.recv(4096))

    def hears_nothing(self) -> bool:
        with pytest.raises(BlockingIOError):
            self.socket.recv(1)
        return True

    def is_cut_off(self) -> bool:
        return self.socket.recv(1) == b""


@pytest.fixture
def script(reactor: Any) -> Any:
    made = Script(reactor)
    yield made
    made.socket.close()
    made.clients.close()


def test_a_local_question_is_answered_under_the_clients_ids(script: Script) -> None:
    script.say(Question(local=THEIRS.local, opcode=Opcode.ASK_LOCAL, question_id=5, client_id=6).encode())
    assert len(script.here.asked) == 1
    script.here.answers[0].callback(FULL)
    assert script.hear() == Answer(
        opcode=Opcode.ANSWER_LOCAL, flags=7, pid=1, uid=20001, gid=20001, question_id=5, client_id=6
    )


def test_a_remote_question_is_asked_elsewhere_and_answered_under_the_clients_ids(script: Script) -> None:
    script.say(THEIRS.encode())
    assert [each.local for each in script.elsewhere.asked] == [THEIRS.local]
    script.elsewhere.answers[0].callback(FULL)
    assert script.hear() == Answer(
        opcode=Opcode.ANSWER_REMOTE, flags=7, pid=1, uid=20001, gid=20001, question_id=3, client_id=4
    )


def test_a_remote_question_about_an_own_address_is_answered_here(script: Script) -> None:
    script.say(OURS.encode())
    assert (len(script.here.asked), script.elsewhere.asked) == (1, [])


def test_a_node_outside_the_networks_is_answered_at_once_without_an_answer(script: Script) -> None:
    script.elsewhere.refusal = Reason.OUTSIDE
    script.say(THEIRS.encode())
    assert script.hear() == Answer(question_id=3, client_id=4)


def test_without_peers_every_other_node_is_outside(script: Script) -> None:
    script.clients.elsewhere = None
    script.say(THEIRS.encode())
    assert script.hear() == Answer(question_id=3, client_id=4)


def test_a_question_that_is_not_answered_in_time_is_left_to_the_client(script: Script) -> None:
    script.say(THEIRS.encode())
    script.elsewhere.answers[0].errback(NoAnswer(Reason.TIMED_OUT, THEIRS))
    script.elsewhere.refusal = Reason.BUSY
    script.say(THEIRS.encode())
    assert script.hears_nothing()


def test_the_same_question_again_is_not_asked_twice(script: Script) -> None:
    script.say(THEIRS.encode(), THEIRS.encode())
    assert len(script.elsewhere.asked) == 1
    script.elsewhere.answers[0].callback(FULL)
    script.say(THEIRS.encode())
    assert len(script.elsewhere.asked) == 2


@pytest.mark.parametrize("data", [b"\x07", THEIRS.encode()[:-1], FULL.encode()])
def test_who_does_not_speak_ident2_is_cut_off(script: Script, data: bytes) -> None:
    script.say(data)
    assert script.is_cut_off()


def test_a_greeting_is_ignored(script: Script) -> None:
    script.say(b"\0hello")
    assert script.hears_nothing()


def test_the_questions_of_a_client_that_left_are_cancelled(script: Script) -> None:
    script.say(THEIRS.encode(), OURS.encode())
    script.socket.close()
    script.reactor.turn()
    assert (script.here.cancelled, script.elsewhere.cancelled) == (1, 1)


def test_one_question_too_many_is_dropped(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUESTIONS", 1)
    script.say(THEIRS.encode(), OURS.encode())
    assert (len(script.elsewhere.asked), script.here.asked, script.clients.full.total) == (1, [], 1)


def test_one_client_too_many_is_cut_off(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS", 1)
    with script.connect() as second:
        assert second.recv(1) == b""
    script.say(THEIRS.encode())
    assert len(script.elsewhere.asked) == 1


def test_one_accounts_clients_leave_room_for_anothers(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PER_UID", 1)
    with script.connect() as second:
        assert second.recv(1) == b""
    monkeypatch.setattr(seqpacket, "peer_of", lambda _: (1, 4711, 4711))
    with script.connect() as theirs:
        theirs.send(OURS.encode())
        script.reactor.turn()
        assert len(script.here.asked) == 1
    script.reactor.turn()
    assert script.clients._by_uid[4711] == 0


def test_an_unexpected_failure_is_logged(script: Script) -> None:
    events: list[Any] = []
    script.say(THEIRS.encode())
    globalLogPublisher.addObserver(events.append)
    try:
        script.elsewhere.answers[0].errback(ZeroDivisionError())
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert [event["log_failure"].type for event in events if "log_failure" in event] == [ZeroDivisionError]
    assert script.hears_nothing()
