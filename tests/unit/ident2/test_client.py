from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock

from supercloud.ident2.client import DaemonConnection, Ident2Client, InProcess, NoAnswer, Reason, Reply
from supercloud.ident2.outstanding import Outstanding
from supercloud.ident2.seqpacket import PacketConnection, PacketPort
from supercloud.ident2.wire import Answer, Flag, Opcode, Question, SocketAddress, decode_question

OURS = Question(local=SocketAddress.parse("10.77.0.1", 8888))
THEIRS = Question(local=SocketAddress.parse("10.77.0.11", 8888))
OWN = {ip_address("10.77.0.1")}


class FakeWay:
    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.answers: list[Deferred[Answer]] = []

    def ask(self, question: Question) -> Deferred[Answer]:
        self.asked.append(question)
        self.answers.append(Deferred())
        return self.answers[-1]


def run(client: Ident2Client, question: Question) -> tuple[Deferred[Reply], list[Any]]:
    results: list[Any] = []
    waiting = ensureDeferred(client.ask(question))
    waiting.addCallbacks(results.append, lambda failure: results.append(failure.value))
    return waiting, results


def test_own_addresses_are_asked_about_here_and_others_elsewhere() -> None:
    here, elsewhere = FakeWay(), FakeWay()
    client = Ident2Client(Clock(), own=OWN, here=here, elsewhere=elsewhere)
    run(client, OURS)
    run(client, THEIRS)
    assert [(each.local, each.opcode) for each in here.asked] == [(OURS.local, Opcode.ASK_LOCAL)]
    assert [(each.local, each.opcode) for each in elsewhere.asked] == [(THEIRS.local, Opcode.ASK_REMOTE)]


def test_a_reply_knows_its_age() -> None:
    clock, here = Clock(), FakeWay()
    _, results = run(Ident2Client(clock, own=OWN, here=here, elsewhere=None), OURS)
    clock.advance(5)
    here.answers[0].callback(Answer())
    clock.advance(2)
    assert results[0].age(clock.seconds()) == 2


def test_a_reply_says_what_is_known() -> None:
    nothing = Reply(Answer(), 0)
    waiting = Reply(Answer(flags=Flag.ANSWERED, uid=7), 0)
    held = Reply(Answer(flags=1 | 2 | 4, uid=7, gid=8), 0)
    assert (nothing.exists, nothing.is_held, nothing.gid) == (False, False, None)
    assert (waiting.exists, waiting.is_held, waiting.uid, waiting.gid) == (True, False, 7, None)
    assert (held.exists, held.is_held, held.uid, held.gid) == (True, True, 7, 8)


def test_without_a_way_elsewhere_it_is_refused() -> None:
    _, results = run(Ident2Client(Clock(), own=OWN, here=FakeWay(), elsewhere=None), THEIRS)
    assert [result.reason for result in results] == [Reason.REFUSED]


def test_a_question_about_any_state_is_a_mistake() -> None:
    _, results = run(
        Ident2Client(Clock(), own=OWN, here=FakeWay(), elsewhere=None), Question(local=OURS.local, states=0)
    )
    assert [type(result) for result in results] == [ValueError]


def test_a_cancelled_question_is_cancelled_on_its_way() -> None:
    here = FakeWay()
    waiting, results = run(Ident2Client(Clock(), own=OWN, here=here, elsewhere=None), OURS)
    waiting.cancel()
    assert [type(result) for result in results] == [CancelledError]
    assert here.answers[0].called


def make_outstanding(clock: Clock) -> Outstanding:
    return Outstanding(clock, timeout=0.5, tries=3, limit=10)


def test_in_process_answers_come_back_to_the_reactors_thread(reactor: Any) -> None:
    def submit(question: Question, deliver: Callable[[Answer], object]) -> bool:
        deliver(Answer(uid=7, question_id=question.question_id))
        return True

    way = InProcess(reactor, make_outstanding(reactor), submit)
    assert reactor.result(way.ask(OURS)).uid == 7


def test_in_process_a_full_queue_is_tried_again_and_then_given_up(reactor: Any) -> None:
    way = InProcess(reactor, make_outstanding(reactor), lambda question, deliver: False)
    results: list[Any] = []
    way.ask(OURS).addErrback(lambda failure: results.append(failure.value.reason))
    reactor.pump([0.5] * 3)
    assert results == [Reason.TIMED_OUT]


class Daemon:
    """A responder that writes down what it hears."""

    def __init__(self, reactor: Any, path: Path) -> None:
        self.reactor = reactor
        self.connections: list[PacketConnection] = []
        self.heard: list[Question] = []
        self.port = PacketPort(reactor, str(path), self.accepted, gid=None)
        self.port.start()

    def accepted(self, connection: PacketConnection) -> None:
        self.connections.append(connection)
        connection.start(lambda data: self.heard.append(decode_question(data)), lambda: None)

    def hears(self, count: int = 1) -> Question:
        self.reactor.until(lambda: len(self.heard) >= count)
        return self.heard[count - 1]

    def says(self, data: bytes) -> None:
        self.connections[-1].send(data)

    def close(self) -> None:
        for each in self.connections:
            each.close()
        self.port.close()


@pytest.fixture
def daemon(reactor: Any, tmp_path: Path) -> Any:
    made = Daemon(reactor, tmp_path / "s")
    yield made
    made.close()


@pytest.fixture
def way(reactor: Any, tmp_path: Path) -> Any:
    made = DaemonConnection(reactor, make_outstanding(reactor), str(tmp_path / "s"))
    yield made
    made.close()


def test_a_daemon_is_asked_and_answers(reactor: Any, daemon: Daemon, way: DaemonConnection) -> None:
    waiting = way.ask(THEIRS)
    question = daemon.hears()
    assert (question.local, question.opcode, question.client_id) == (THEIRS.local, Opcode.ASK_REMOTE, 0)
    daemon.says(Answer(uid=9, question_id=question.question_id ^ 1).encode())
    daemon.says(Answer(uid=7, question_id=question.question_id, client_id=77).encode())
    daemon.says(Answer(uid=8, question_id=question.question_id).encode())
    assert reactor.result(waiting).uid == 7


def test_without_a_daemon_it_is_refused_at_once(way: DaemonConnection) -> None:
    with pytest.raises(NoAnswer) as refusal:
        way.ask(THEIRS)
    assert refusal.value.reason is Reason.REFUSED


def test_a_lost_connection_is_made_again_by_the_next_try(reactor: Any, daemon: Daemon, way: DaemonConnection) -> None:
    waiting = way.ask(THEIRS)
    daemon.hears()
    daemon.connections[0].close()
    reactor.turn()
    reactor.advance(0.5)
    daemon.says(Answer(uid=7, question_id=daemon.hears(2).question_id).encode())
    assert reactor.result(waiting).uid == 7
    assert len(daemon.connections) == 2


def test_a_daemon_that_went_away_is_given_up(reactor: Any, daemon: Daemon, way: DaemonConnection) -> None:
    results: list[Any] = []
    way.ask(THEIRS).addErrback(lambda failure: results.append(failure.value.reason))
    daemon.hears()
    daemon.close()
    reactor.turn()
    reactor.pump([0.5] * 3)
    assert results == [Reason.TIMED_OUT]


def test_a_daemon_that_does_not_speak_ident2_is_left(reactor: Any, daemon: Daemon, way: DaemonConnection) -> None:
    results: list[Any] = []
    way.ask(THEIRS).addErrback(lambda failure: results.append(failure.value.reason))
    daemon.hears()
    daemon.says(b"HTTP/1.1 200 OK")
    reactor.turn()
    assert len(reactor.readers) == 2
    reactor.pump([0.5] * 3)
    assert results == [Reason.TIMED_OUT]
