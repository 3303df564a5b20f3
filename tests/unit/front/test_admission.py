"""Whose sockets may connect to the embedded portal."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress

from supercloud.front import admission
from supercloud.front.admission import OwnAccountOnly
from supercloud.ident2.sockets import KernelSilent, Socket
from supercloud.ident2.wire import ESTABLISHED, TCP, SocketAddress

ALICE, BOB = 1001, 1002
HERE = IPv4Address("TCP", "127.0.0.1", 40000)


class Kernel:
    """Knows sockets by their two ends."""

    def __init__(self) -> None:
        self.uids: dict[tuple[str, str], int] = {}
        self.is_silent = False

    def find(self, protocol: int, local: SocketAddress, remote: SocketAddress, *, states: int) -> Socket | None:
        if self.is_silent:
            raise KernelSilent(11, "sock_diag: no answer")
        uid = self.uids.get((str(local), str(remote)))
        if uid is None or (protocol, states) != (TCP, ESTABLISHED):
            return None
        return Socket(ESTABLISHED, uid, 1, 2, local, remote)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(admission, "Sockets", lambda: made)
    return made


def admits(address: IAddress = HERE) -> bool:
    return OwnAccountOnly(ALICE, (8443, 9443)).admits(address)


@pytest.mark.parametrize(("uid", "is_let_in"), [(ALICE, True), (0, True), (BOB, False), (65534, False)])
def test_the_account_and_root_may_connect_and_nobody_else(kernel: Kernel, uid: int, is_let_in: bool) -> None:
    kernel.uids["127.0.0.1:40000", "127.0.0.1:8443"] = uid
    assert admits() is is_let_in


def test_a_connection_to_any_of_the_listeners_is_found(kernel: Kernel) -> None:
    kernel.uids["127.0.0.1:40000", "127.0.0.1:9443"] = ALICE
    assert admits()


def test_ipv6_is_asked_about_as_ipv6(kernel: Kernel) -> None:
    kernel.uids["[::1]:40000", "[::1]:8443"] = ALICE
    assert admits(IPv6Address("TCP", "::1", 40000))


def test_a_connection_from_another_host_is_not_let_in(kernel: Kernel) -> None:
    kernel.uids["127.0.0.1:40000", "127.0.0.1:8443"] = ALICE
    assert not admits(IPv4Address("TCP", "192.0.2.7", 40000))


def test_a_socket_of_the_account_to_another_port_lets_nobody_in(kernel: Kernel) -> None:
    kernel.uids["127.0.0.1:40000", "127.0.0.1:22"] = ALICE
    assert not admits()


def test_a_kernel_that_does_not_answer_lets_nobody_in(kernel: Kernel) -> None:
    kernel.is_silent = True
    assert not admits()
