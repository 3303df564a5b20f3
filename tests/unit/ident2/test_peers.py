from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from twisted.internet.task import Clock

from supercloud.ident2.datagram import Ancillary, Peer
from supercloud.ident2.outstanding import NoAnswer, Outstanding, Reason
from supercloud.ident2.peers import Peers
from supercloud.ident2.wire import Answer, Opcode, Question, SocketAddress, decode

ABOUT_NODE = Question(local=SocketAddress.parse("10.77.0.11", 8888), question_id=5, client_id=6)
ABOUT_US = Question(local=SocketAddress.parse("10.77.0.1", 40000), question_id=5, client_id=6)
NODE = "10.77.0.11"
TO_US: Ancillary = [(0, 8, b"destination")]


class FakeDatagrams:
    def __init__(self, version: int = 4) -> None:
        self.version = version
        self.sent: list[tuple[bytes, Peer, Ancillary | None]] = []

    def send(self, data: bytes, peer: Peer, ancillary: Ancillary | None = None) -> None:
        self.sent.append((data, peer, ancillary))


class Script:
    """A portal among its peers: what it is told, what it sends."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.asked: list[Question] = []
        self.has_room = True
        self.datagrams, self.datagrams6 = FakeDatagrams(), FakeDatagrams(6)
        self.outstanding = Outstanding(self.clock, timeout=0.5, tries=3, limit=10)
        self.peers = Peers(
            self.clock,
            networks=[ip_network("10.77.0.0/24"), ip_network("fd77::/64")],
            port=99,
            outstanding=self.outstanding,
            submit=self.submit,
        )
        self.peers.use(self.datagrams)

    def submit(self, question: Question, deliver: Callable[[Answer], object]) -> bool:
        if self.has_room:
            self.asked.append(question)
            deliver(Answer(flags=1, uid=7, question_id=question.question_id, client_id=question.client_id))
        return self.has_room

    def hear(self, data: bytes, host: str = NODE, port: int = 99) -> None:
        self.peers.received(self.datagrams, data, (host, port), TO_US)

    def ask(self, question: Question = ABOUT_NODE) -> list[Any]:
        results: list[Any] = []
        self.peers.ask(question).addCallbacks(results.append, lambda failure: results.append(failure.value))
        return results


@pytest.fixture
def script() -> Script:
    return Script()


def test_a_peers_question_is_answered_to_where_it_came_from_and_from_where_it_went(script: Script) -> None:
    script.hear(ABOUT_US.encode())
    assert script.asked == [ABOUT_US]
    data, peer, ancillary = script.datagrams.sent[0]
    assert decode(data) == Answer(flags=1, uid=7, question_id=5, client_id=6)
    assert (peer, ancillary) == ((NODE, 99), TO_US)


def test_loopback_is_always_a_peer(script: Script) -> None:
    script.hear(ABOUT_US.encode(), host="127.0.0.1")
    script.hear(ABOUT_US.encode(), host="::1")
    assert len(script.asked) == 2


@pytest.mark.parametrize(
    ("host", "port"),
    [("10.77.1.11", 99), ("192.0.2.1", 99), ("fd78::11", 99), ("fe80::1%eth0", 99), (NODE, 1024), (NODE, 40000)],
)
def test_a_stranger_or_an_unprivileged_port_gets_no_answer(script: Script, host: str, port: int) -> None:
    script.hear(ABOUT_US.encode(), host=host, port=port)
    assert (script.asked, script.datagrams.sent) == ([], [])


def test_a_privileged_port_other_than_ours_may_ask(script: Script) -> None:
    script.hear(ABOUT_US.encode(), port=1023)
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x09",
        ABOUT_US.encode()[:-1],
        Question(local=ABOUT_US.local, opcode=Opcode.ASK_LOCAL).encode(),
        Answer(opcode=Opcode.ANSWER_LOCAL).encode(),
        b"\0hello",
    ],
)
def test_what_is_no_question_between_nodes_gets_no_answer(script: Script, data: bytes) -> None:
    script.hear(data)
    assert (script.asked, script.datagrams.sent) == ([], [])


def test_a_question_without_room_is_dropped(script: Script) -> None:
    script.has_room = False
    script.hear(ABOUT_US.encode())
    assert script.datagrams.sent == []


def test_a_question_about_a_node_goes_to_that_node(script: Script) -> None:
    results = script.ask()
    data, peer, ancillary = script.datagrams.sent[0]
    question = decode(data)
    assert isinstance(question, Question)
    assert (question.opcode, question.local, question.client_id) == (Opcode.ASK_REMOTE, ABOUT_NODE.local, 0)
    assert question.question_id != ABOUT_NODE.question_id
    assert (peer, ancillary) == ((NODE, 99), None)
    script.hear(Answer(flags=1, uid=20001, question_id=question.question_id).encode())
    assert [result.uid for result in results] == [20001]


@pytest.mark.parametrize(("host", "port"), [("10.77.0.12", 99), ("127.0.0.1", 99), (NODE, 98), (NODE, 5099)])
def test_an_answer_from_another_address_or_port_is_not_believed(script: Script, host: str, port: int) -> None:
    results = script.ask()
    question = decode(script.datagrams.sent[0][0])
    assert isinstance(question, Question)
    forged = Answer(flags=7, uid=0, question_id=question.question_id).encode()
    script.hear(forged, host=host, port=port)
    assert results == []


def test_a_local_answer_between_nodes_is_not_believed(script: Script) -> None:
    results = script.ask()
    question = decode(script.datagrams.sent[0][0])
    assert isinstance(question, Question)
    script.hear(Answer(opcode=Opcode.ANSWER_LOCAL, flags=1, question_id=question.question_id).encode())
    assert results == []


def test_a_node_outside_the_networks_is_not_asked(script: Script) -> None:
    with pytest.raises(NoAnswer) as refusal:
        script.peers.ask(Question(local=SocketAddress.parse("192.0.2.1", 80)))
    assert refusal.value.reason is Reason.OUTSIDE
    assert script.datagrams.sent == []


def test_ipv6_nodes_are_asked_by_ipv6(script: Script) -> None:
    about = Question(local=SocketAddress.parse("fd77::11", 8888))
    with pytest.raises(NoAnswer) as refusal:
        script.peers.ask(about)
    assert refusal.value.reason is Reason.REFUSED
    script.peers.use(script.datagrams6)
    script.ask(about)
    assert [peer for _, peer, _ in script.datagrams6.sent] == [("fd77::11", 99)]


def test_very_many_addresses_do_not_fill_the_memory(script: Script) -> None:
    for number in range(5000):
        script.hear(ABOUT_US.encode(), host=f"192.0.{number >> 8}.{number & 255}")
    assert len(script.peers._texts) <= 4096
    assert len(script.peers.networks._known) <= 4096
