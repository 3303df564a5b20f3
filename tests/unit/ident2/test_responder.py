from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IService
from twisted.internet.defer import ensureDeferred
from zope.interface.verify import verifyObject

from supercloud.ident2.outstanding import NoAnswer, Reason
from supercloud.ident2.responder import DaemonService, Responder, UnsafePort
from supercloud.ident2.seqpacket import SocketTaken, connect
from supercloud.ident2.wire import ESTABLISHED, Answer, Opcode, Question, SocketAddress, decode

ABOUT_US = Question(local=SocketAddress.parse("127.0.0.1", 8888), question_id=5, client_id=6)


def canned(question: Question) -> Answer:
    return Answer(flags=7, pid=1, uid=20001, gid=20001, question_id=question.question_id, client_id=question.client_id)


@contextmanager
def running(reactor: Any, **options: Any) -> Iterator[Responder]:
    responder = Responder(reactor, **({"allow_any_port": True, "answer": canned} | options))
    responder.startService()
    try:
        yield responder
    finally:
        responder.stopService()


@pytest.fixture
def start(tmp_path: Path) -> Path:
    file = tmp_path / "ip_unprivileged_port_start"
    file.write_text("1024\n")
    return file


def test_it_is_a_service(reactor: Any) -> None:
    assert verifyObject(IService, Responder(reactor))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_datagram_is_answered(reactor: Any, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with running(reactor, udp=[(host, 0)]) as responder, socket.socket(family, socket.SOCK_DGRAM) as asker:
        asker.settimeout(3)
        asker.sendto(ABOUT_US.encode(), (host, responder.udp_ports[0]))
        reactor.turn()
        assert decode(asker.recv(4096)) == canned(ABOUT_US)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_host_that_only_answers_needs_no_turn_of_the_reactor(reactor: Any, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        running(reactor, udp=[(host, 0)], only_answers=True) as responder,
        socket.socket(family, socket.SOCK_DGRAM) as asker,
    ):
        asker.settimeout(3)
        asker.sendto(b"nonsense", (host, responder.udp_ports[0]))
        asker.sendto(ABOUT_US.encode(), (host, responder.udp_ports[0]))
        assert decode(asker.recv(4096)) == canned(ABOUT_US)


def test_a_host_that_only_answers_still_refuses_unprivileged_ports(reactor: Any) -> None:
    with running(reactor, udp=[("127.0.0.1", 0)], only_answers=True) as responder:
        responder.peers._lowest_untrusted = 1024
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.sendto(ABOUT_US.encode(), ("127.0.0.1", responder.udp_ports[0]))
            responder.stopService()
            asker.setblocking(False)
            with pytest.raises(BlockingIOError):
                asker.recv(100)


def test_both_address_families_may_have_the_same_port(reactor: Any, start: Path) -> None:
    with running(reactor, udp=[("0.0.0.0", 0), ("::", 0)]) as responder:
        assert len(responder.udp_ports) == 2


@pytest.mark.parametrize(("port", "unprivileged"), [(99, 99), (99, 0), (1024, 2000), (5099, 1024), (0, 1024)])
def test_a_port_that_anybody_may_bind_is_refused(reactor: Any, start: Path, port: int, unprivileged: int) -> None:
    start.write_text(f"{unprivileged}\n")
    responder = Responder(reactor, udp=[("127.0.0.1", port)], unprivileged_start=start)
    with pytest.raises(UnsafePort):
        responder.privilegedStartService()
    assert responder.udp_ports == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a privileged port")
def test_a_privileged_port_is_bound_before_rights_are_dropped(reactor: Any, start: Path) -> None:
    start.write_text("1024\n")
    responder = Responder(reactor, udp=[("127.0.0.77", 99)], unprivileged_start=start)
    responder.privilegedStartService()
    assert responder.udp_ports == [99]
    responder.stopService()


def test_the_source_port_must_be_privileged(reactor: Any) -> None:
    with running(reactor, udp=[("127.0.0.1", 0)]) as responder:
        responder.peers._lowest_untrusted = 1024
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.sendto(ABOUT_US.encode(), ("127.0.0.1", responder.udp_ports[0]))
            reactor.turn()
            asker.setblocking(False)
            responder._threads.stop()
            with pytest.raises(BlockingIOError):
                asker.recv(100)


def test_local_clients_are_answered(reactor: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with running(reactor, socket_path=path, socket_gid=os.getegid()), connect(path) as client:
        client.send(Question(local=ABOUT_US.local, opcode=Opcode.ASK_LOCAL, question_id=5, client_id=6).encode())
        heard: list[bytes] = []

        def has_answer() -> bool:
            try:
                heard.append(client.recv(4096))
            except BlockingIOError:
                return False
            return True

        reactor.until(has_answer)
        answer = decode(heard[0])
        assert isinstance(answer, Answer)
        assert (answer.opcode, answer.question_id, answer.client_id, answer.uid) == (Opcode.ANSWER_LOCAL, 5, 6, 20001)


def test_a_taken_path_stops_it_and_gives_the_port_back(reactor: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with running(reactor, socket_path=path):
        second = Responder(reactor, udp=[("127.0.0.1", 0)], socket_path=path, allow_any_port=True)
        with pytest.raises(SocketTaken):
            second.privilegedStartService()
        assert second.udp_ports == []


def test_own_addresses_are_looked_up_in_process_by_this_hosts_kernel(reactor: Any) -> None:
    with running(reactor, answer=None) as responder, socket.create_server(("127.0.0.1", 0)) as listener:
        local = SocketAddress.parse(*listener.getsockname())
        reply = reactor.result(ensureDeferred(responder.client.ask(Question(local=local))))
        assert (reply.is_held, reply.uid, reply.gid) == (True, os.geteuid(), os.getegid())
        nobody = Question(local=local, remote=SocketAddress.parse("127.0.0.1", 1), states=ESTABLISHED)
        assert not reactor.result(ensureDeferred(responder.client.ask(nobody))).exists


def test_another_node_is_asked_by_udp(reactor: Any) -> None:
    with (
        running(reactor, udp=[("127.0.0.1", 0)]) as node,
        running(reactor, udp=[("127.0.0.1", 0)], peer_port=node.udp_ports[0]) as portal,
    ):
        answer = reactor.result(portal.peers.ask(ABOUT_US))
        assert (answer.opcode, answer.uid) == (Opcode.ANSWER_REMOTE, 20001)


def test_a_node_outside_the_networks_is_not_asked(reactor: Any) -> None:
    with running(reactor, udp=[("127.0.0.1", 0)], networks=[ip_network("10.77.0.0/24")]) as responder:
        outside = Question(local=SocketAddress.parse("192.0.2.1", 80))
        with pytest.raises(NoAnswer) as refusal:
            reactor.result(ensureDeferred(responder.client.ask(outside)))
        assert refusal.value.reason is Reason.OUTSIDE


def test_a_daemon_of_this_host_is_asked_instead(reactor: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with running(reactor, socket_path=path):
        daemon = DaemonService(reactor, socket_path=path)
        daemon.startService()
        reply = reactor.result(ensureDeferred(daemon.client.ask(ABOUT_US)))
        daemon.stopService()
    assert (reply.uid, reply.answer.opcode) == (20001, Opcode.ANSWER_LOCAL)
    assert reactor.readers == set()


def test_at_its_end_it_reads_nothing_and_waits_for_nothing(reactor: Any, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with running(reactor, udp=[("127.0.0.1", 0)], socket_path=str(path)) as responder:
        results: list[Any] = []
        responder.peers.ask(ABOUT_US).addErrback(lambda failure: results.append(failure.value.reason))
    assert results == [Reason.REFUSED]
    assert (reactor.readers, reactor.getDelayedCalls(), path.exists()) == (set(), [], False)
