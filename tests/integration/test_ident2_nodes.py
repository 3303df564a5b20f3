"""Real responders on nodes of their own, real accounts, UDP port 99: who holds what, asked from the head."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from supercloud.ident2.client import Ident2Client, NoAnswer, Reason, Reply
from supercloud.ident2.responder import Responder
from supercloud.ident2.wire import ESTABLISHED, LISTEN, NO_ID, UDP, Question, SocketAddress

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
NETWORKS = [ip_network("10.77.0.0/24"), ip_network("fd77::/64")]

# Listens, prints its port, and does with each line of its input what the line says.
APPLICATION = """
import os, signal, socket, sys
host = sys.argv[1]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
if sys.argv[2:] == ["udp"]:
    listener = socket.socket(family, socket.SOCK_DGRAM)
    listener.bind((host, 0))
else:
    listener = socket.create_server((host, int(sys.argv[2]) if sys.argv[2:] else 0), family=family)
kept = []
print(listener.getsockname()[1], flush=True)
for line in sys.stdin:
    match line.split():
        case ["accept"]:
            kept.append(listener.accept()[0])
        case ["become", uid]:
            os.setgroups([])
            os.setresgid(*[int(uid)] * 3)
            os.setresuid(*[int(uid)] * 3)
        case ["fork"] if not os.fork():
            os.close(0)
            signal.pause()
        case ["close"]:
            listener.close()
            kept.clear()
    print("done", flush=True)
"""

NODE = """
import sys
from ipaddress import ip_network
from twisted.internet import reactor
from supercloud.ident2.responder import Responder
networks = [ip_network("10.77.0.0/24"), ip_network("fd77::/64")]
responder = Responder(reactor, udp=[("0.0.0.0", 99), ("::", 99)], networks=networks, only_answers=True)
responder.privilegedStartService()
reactor.callWhenRunning(responder.startService)
reactor.callWhenRunning(print, "ready", flush=True)
reactor.run()
responder.stopService()
"""

PIPES: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


class Application:
    """Something that listens, and does as it is told."""

    def __init__(self, process: subprocess.Popen[Any], host: str) -> None:
        self.process = process
        self.address = SocketAddress.parse(host, int(process.stdout.readline()))

    def tell(self, order: str) -> None:
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture(scope="module")
def node1(cluster: Any) -> Any:
    """The responder of node1; node2 has none."""
    argv = [sys.executable, "-c", NODE]
    process = cluster.exec("node1", argv, env={**os.environ, "PYTHONPATH": str(ROOT)}, **PIPES)
    assert process.stdout.readline() == "ready\n"
    yield process
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def portal(cluster: Any) -> Iterator[Responder]:
    """The front's side, on the head."""
    from twisted.internet import reactor

    udp = [(cluster.address("head"), 99), (cluster.address6("head"), 99)]
    responder = Responder(reactor, udp=udp, networks=NETWORKS, timeout=0.1)
    responder.startService()
    yield responder
    responder.stopService()


@pytest.fixture
def ask(portal: Responder, node1: Any) -> Callable[[Question], Awaitable[Reply]]:
    client: Ident2Client = portal.client
    return client.ask


@pytest.fixture
def application(accounts: Any, cluster: Any) -> Callable[..., Application]:
    def start(login: str, node: str | None = "node1", *options: str, host: str = "", gid: str | None = None) -> Any:
        host = host or (cluster.address(node) if node else "127.0.0.1")
        argv = ["/usr/bin/python3", "-c", APPLICATION, host, *options]
        if login == "root":
            return Application(cluster.exec(node, argv, **PIPES), host)
        return Application(accounts.run_as(login, argv, node=node, gid=gid, **PIPES), host)

    return start


def dial(address: SocketAddress) -> tuple[socket.socket, SocketAddress]:
    opened = socket.create_connection((str(address.host), address.port), 3)
    return opened, SocketAddress.parse(*opened.getsockname()[:2])


@pytest.mark.parametrize("family", ["address", "address6"])
@pytest_twisted.ensureDeferred
async def test_a_listener_and_its_connection_belong_to_their_account(
    family: str, ask: Any, application: Any, accounts: Any, cluster: Any
) -> None:
    alice = application("alice", host=getattr(cluster, family)("node1"))
    listener = await ask(Question(local=alice.address, states=LISTEN))
    assert (listener.is_held, listener.uid, listener.gid) == (True, accounts["alice"].uid, accounts["alice"].gid)
    connection, here = dial(alice.address)
    with connection:
        question = Question(local=alice.address, remote=here, states=ESTABLISHED)
        waiting = await ask(question)
        assert (waiting.exists, waiting.is_held, waiting.uid) == (True, False, accounts["alice"].uid)
        alice.tell("accept")
        accepted = await ask(question)
        assert (accepted.is_held, accepted.uid, accepted.answer.pid) == (
            True,
            accounts["alice"].uid,
            listener.answer.pid,
        )
        other = here._replace(port=here.port ^ 1)
        assert not (await ask(Question(local=alice.address, remote=other, states=ESTABLISHED))).exists


@pytest_twisted.ensureDeferred
async def test_the_effective_group_is_that_of_the_process(ask: Any, application: Any, accounts: Any) -> None:
    shared = application("alice", gid="proj")
    reply = await ask(Question(local=shared.address, states=LISTEN))
    assert (reply.uid, reply.gid) == (accounts["alice"].uid, 20100)


@pytest_twisted.ensureDeferred
async def test_a_service_that_root_opened_belongs_to_whom_it_runs_as(ask: Any, application: Any, accounts: Any) -> None:
    service = application("root")
    question = Question(local=service.address, states=LISTEN)
    assert (await ask(question)).uid == 0
    service.tell(f"become {accounts['bob'].uid}")
    reply = await ask(question)
    assert (reply.is_held, reply.uid, reply.gid) == (True, accounts["bob"].uid, accounts["bob"].gid)


@pytest_twisted.ensureDeferred
async def test_a_service_held_by_two_accounts_is_nobodys(ask: Any, application: Any, accounts: Any) -> None:
    service = application("root")
    service.tell("fork")
    service.tell(f"become {accounts['bob'].uid}")
    reply = await ask(Question(local=service.address, states=LISTEN))
    assert (reply.is_held, reply.uid, reply.gid) == (True, NO_ID, None)


@pytest_twisted.ensureDeferred
async def test_a_port_that_changed_hands_is_the_new_holders_at_once(ask: Any, application: Any, accounts: Any) -> None:
    alice = application("alice")
    question = Question(local=alice.address, states=LISTEN)
    assert (await ask(question)).uid == accounts["alice"].uid
    alice.tell("close")
    assert not (await ask(question)).exists
    application("bob", "node1", str(alice.address.port))
    assert (await ask(question)).uid == accounts["bob"].uid


@pytest_twisted.ensureDeferred
async def test_the_exact_address_comes_before_the_wildcard(
    ask: Any, application: Any, accounts: Any, cluster: Any
) -> None:
    wildcard = application("alice", host="0.0.0.0")
    port = wildcard.address.port
    reply = await ask(Question(local=SocketAddress.parse(cluster.address("node1"), port), states=LISTEN))
    assert reply.uid == accounts["alice"].uid


@pytest_twisted.ensureDeferred
async def test_a_udp_socket_belongs_to_its_account(ask: Any, application: Any, accounts: Any) -> None:
    bob = application("bob", "node1", "udp")
    reply = await ask(Question(local=bob.address, protocol=UDP, states=0))
    assert (reply.is_held, reply.uid) == (True, accounts["bob"].uid)


@pytest_twisted.ensureDeferred
async def test_a_node_without_a_responder_gives_no_answer(ask: Any, application: Any) -> None:
    alice = application("alice", "node2")
    with pytest.raises(NoAnswer) as refusal:
        await ask(Question(local=alice.address, states=LISTEN))
    assert refusal.value.reason is Reason.TIMED_OUT


@pytest_twisted.ensureDeferred
async def test_who_connects_on_loopback_is_told_by_this_host(ask: Any, application: Any, accounts: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = SocketAddress.parse(*listener.getsockname())
        script = f"import socket, sys; c = socket.create_connection(('127.0.0.1', {here.port})); sys.stdin.read()"
        accounts.run_as("carol", ["/usr/bin/python3", "-c", script], stdin=subprocess.PIPE)
        accepted, there = listener.accept()
        with accepted:
            reply = await ask(Question(local=SocketAddress.parse(*there), remote=here, states=ESTABLISHED, flags=1))
            assert (reply.exists, reply.uid) == (True, accounts["carol"].uid)


@pytest_twisted.ensureDeferred
async def test_an_unprivileged_account_on_a_peer_gets_no_answer(
    ask: Any, application: Any, accounts: Any, cluster: Any
) -> None:
    alice = application("alice")
    question = Question(local=alice.address, states=LISTEN).encode()
    script = (
        "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.3)\n"
        f"s.sendto(bytes.fromhex({question.hex()!r}), ({cluster.address('node1')!r}, 99))\n"
        "try: print('answered', s.recv(100))\n"
        "except TimeoutError: print('silence')"
    )
    asker = accounts.run_as("bob", ["/usr/bin/python3", "-c", script], node="node2", **PIPES)
    assert asker.communicate()[0] == "silence\n"
    assert (await ask(Question(local=alice.address, states=LISTEN))).exists
