from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from supercloud.ident2 import sockets as module
from supercloud.ident2.sockets import KernelSilent, Sockets
from supercloud.ident2.wire import ESTABLISHED, LISTEN, TCP, UDP, SocketAddress, State

ELSEWHERE = SocketAddress.parse("127.0.0.1", 1)


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    with closing(Sockets()) as finder:
        yield finder


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def inode(opened: socket.socket) -> int:
    return os.fstat(opened.fileno()).st_ino


def here(opened: socket.socket) -> SocketAddress:
    return SocketAddress.parse(*opened.getsockname()[:2])


def listen(stack: ExitStack, host: str, port: int = 0, **options: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return stack.enter_context(socket.create_server((host, port), family=family, **options))


def dial(stack: ExitStack, address: SocketAddress) -> socket.socket:
    return stack.enter_context(socket.create_connection((str(address.host), address.port)))


def datagrams(stack: ExitStack, host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
    opened.bind((host, 0))
    return opened


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_is_found_with_its_uid_and_inode(sockets: Sockets, stack: ExitStack, host: str) -> None:
    listener = listen(stack, host)
    found = sockets.find(TCP, here(listener), states=LISTEN)
    assert found is not None
    assert (found.state, found.uid, found.inode) == (LISTEN, os.geteuid(), inode(listener))
    assert (found.local, found.remote) == (here(listener), None)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_sides_of_an_accepted_connection_are_found(sockets: Sockets, stack: ExitStack, host: str) -> None:
    listener = listen(stack, host)
    client = dial(stack, here(listener))
    accepted = stack.enter_context(listener.accept()[0])
    at_server = sockets.find(TCP, here(listener), here(client), states=ESTABLISHED)
    at_client = sockets.find(TCP, here(client), here(listener), states=ESTABLISHED)
    assert at_server is not None and at_client is not None
    assert (at_server.inode, at_client.inode) == (inode(accepted), inode(client))
    assert (at_client.local, at_client.remote, at_client.uid) == (here(client), here(listener), os.geteuid())


def test_a_connection_that_nobody_accepted_has_no_inode(sockets: Sockets, stack: ExitStack) -> None:
    listener = listen(stack, "127.0.0.1")
    client = dial(stack, here(listener))
    found = sockets.find(TCP, here(listener), here(client), states=ESTABLISHED)
    assert found is not None
    assert (found.state, found.inode) == (ESTABLISHED, 0)


def test_a_four_tuple_that_does_not_exist_is_not_taken_for_its_listener(sockets: Sockets, stack: ExitStack) -> None:
    listener = listen(stack, "127.0.0.1")
    assert sockets.find(TCP, here(listener), ELSEWHERE, states=ESTABLISHED) is None
    any_state = sockets.find(TCP, here(listener), ELSEWHERE)
    assert any_state is not None and any_state.state == LISTEN


def test_a_question_about_a_listener_does_not_find_a_connection(sockets: Sockets, stack: ExitStack) -> None:
    listener = listen(stack, "127.0.0.1")
    client = dial(stack, here(listener))
    found = sockets.find(TCP, here(listener), here(client), states=LISTEN)
    assert found is not None and found.inode == inode(listener)


def test_nobody_listens_there(sockets: Sockets, stack: ExitStack) -> None:
    closed = listen(stack, "127.0.0.1")
    address = here(closed)
    closed.close()
    assert sockets.find(TCP, address, states=LISTEN) is None


@pytest.mark.parametrize("states", [1 << 31, State.SYN_SENT, 1])
def test_unknown_and_other_states_match_nothing(sockets: Sockets, stack: ExitStack, states: int) -> None:
    assert sockets.find(TCP, here(listen(stack, "127.0.0.1")), states=states) is None


@pytest.mark.parametrize(("exact", "wildcard"), [("127.0.0.1", "0.0.0.0"), ("::1", "::")])
def test_the_exact_address_comes_before_the_wildcard(
    sockets: Sockets, stack: ExitStack, exact: str, wildcard: str
) -> None:
    everywhere = listen(stack, wildcard, reuse_port=True)
    port = here(everywhere).port
    only_here = listen(stack, exact, port, reuse_port=True)
    found = sockets.find(TCP, SocketAddress.parse(exact, port), states=LISTEN)
    assert found is not None and found.inode == inode(only_here)


def test_a_wildcard_listener_answers_for_any_address(sockets: Sockets, stack: ExitStack) -> None:
    listener = listen(stack, "0.0.0.0")
    found = sockets.find(TCP, SocketAddress.parse("127.0.0.5", here(listener).port), states=LISTEN)
    assert found is not None and found.inode == inode(listener)


@pytest.mark.parametrize("host", ["127.0.0.1", "::ffff:127.0.0.1", "::1"])
def test_a_dual_stack_listener_answers_for_both_families(sockets: Sockets, stack: ExitStack, host: str) -> None:
    listener = listen(stack, "::", dualstack_ipv6=True)
    found = sockets.find(TCP, SocketAddress.parse(host, here(listener).port), states=LISTEN)
    assert found is not None and found.inode == inode(listener)


def test_an_ipv4_connection_to_a_dual_stack_listener_is_found_as_ipv4(sockets: Sockets, stack: ExitStack) -> None:
    listener = listen(stack, "::", dualstack_ipv6=True)
    server = SocketAddress.parse("127.0.0.1", here(listener).port)
    client = dial(stack, server)
    accepted = stack.enter_context(listener.accept()[0])
    found = sockets.find(TCP, server, here(client), states=ESTABLISHED)
    assert found is not None
    assert (found.inode, found.local, found.remote) == (inode(accepted), server, here(client))


def test_an_ipv6_only_listener_does_not_answer_for_ipv4(sockets: Sockets, stack: ExitStack) -> None:
    listener = listen(stack, "::")
    assert sockets.find(TCP, SocketAddress.parse("127.0.0.1", here(listener).port), states=LISTEN) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_unconnected_udp_socket_is_found(sockets: Sockets, stack: ExitStack, host: str) -> None:
    opened = datagrams(stack, host)
    found = sockets.find(UDP, here(opened))
    assert found is not None
    assert (found.uid, found.inode, found.remote) == (os.geteuid(), inode(opened), None)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connected_udp_socket_is_found_by_both_its_ends(sockets: Sockets, stack: ExitStack, host: str) -> None:
    server, client = datagrams(stack, host), datagrams(stack, host)
    client.connect(server.getsockname())
    found = sockets.find(UDP, here(client), here(server))
    assert found is not None and found.inode == inode(client)
    assert sockets.find(UDP, here(client)) is None


def test_the_listeners_of_an_account_are_listed(sockets: Sockets, stack: ExitStack) -> None:
    mine = {inode(listen(stack, "127.0.0.1")), inode(listen(stack, "::1"))}
    connected = dial(stack, here(listen(stack, "127.0.0.1")))
    found = {each.inode for each in sockets.listeners(os.geteuid())}
    assert mine <= found
    assert inode(connected) not in found
    assert not mine & {each.inode for each in sockets.listeners(4_000_000)}


def test_many_listeners_fill_several_replies(sockets: Sockets, stack: ExitStack) -> None:
    mine = {inode(listen(stack, "127.0.0.1")) for _ in range(600)}
    assert mine <= {each.inode for each in sockets.listeners(os.geteuid())}


def test_a_refusal_of_the_kernel_is_no_answer_and_the_next_question_is_answered(
    sockets: Sockets, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = listen(stack, "127.0.0.1")
    with monkeypatch.context() as other, pytest.raises(KernelSilent):
        other.setattr(module, "_SOCK_DIAG_BY_FAMILY", 99)
        sockets.find(TCP, here(listener))
    assert sockets.find(TCP, here(listener), states=LISTEN) is not None


def test_a_reply_to_another_question_is_not_believed(sockets: Sockets, stack: ExitStack) -> None:
    listener = listen(stack, "127.0.0.1")
    sockets.find(TCP, here(listener), states=LISTEN)
    late = module._REQUEST.pack(72, 20, 1, 12345, 0, 2, 6, -1 & 0xFFFFFFFF, b"\0\1", b"\0\0", b"", b"", 0, b"\xff" * 8)
    assert sockets._netlink is not None
    sockets._netlink.send(late)
    with pytest.raises(KernelSilent):
        sockets.find(TCP, here(listener), states=LISTEN)
    assert sockets.find(TCP, here(listener), states=LISTEN) is not None


def test_an_address_whose_look_ups_were_closed_opens_them_again(sockets: Sockets, stack: ExitStack) -> None:
    listener = listen(stack, "127.0.0.1")
    sockets.find(TCP, here(listener))
    sockets.close()
    assert sockets.find(TCP, here(listener)) is not None
