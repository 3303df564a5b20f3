from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from typing import Any

import pytest
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from supercloud.ident2.datagram import Ancillary, DatagramSocket, Peer, _reversed, same_host


def open_socket(reactor: Any, host: str) -> tuple[DatagramSocket, list[tuple[bytes, Peer, Ancillary]]]:
    heard: list[tuple[bytes, Peer, Ancillary]] = []
    opened = DatagramSocket(reactor, host, 0, lambda *what: heard.append(what))
    opened.start()
    return opened, heard


def test_it_is_what_the_reactor_reads(reactor: Any) -> None:
    opened, _ = open_socket(reactor, "127.0.0.1")
    assert verifyObject(IReadDescriptor, opened)
    assert opened.logPrefix() == "ident2"
    opened.connectionLost(Failure(OSError()))
    assert opened.fileno() == -1


def test_the_address_is_shared_with_nobody_even_if_they_offer_it(reactor: Any) -> None:
    opened, _ = open_socket(reactor, "127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            second.bind(("127.0.0.1", opened.port))
    opened.close()


def test_an_address_in_use_is_an_error_and_leaks_nothing(reactor: Any) -> None:
    opened, _ = open_socket(reactor, "127.0.0.1")
    with pytest.raises(OSError, match="in use"):
        DatagramSocket(reactor, "127.0.0.1", opened.port, lambda *what: None)
    opened.close()


@pytest.mark.parametrize(("wildcard", "asked"), [("0.0.0.0", "127.0.0.7"), ("::", "::1")])
def test_the_answer_comes_from_the_address_that_was_asked(reactor: Any, wildcard: str, asked: str) -> None:
    opened, heard = open_socket(reactor, wildcard)
    family = socket.AF_INET6 if ":" in asked else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asker:
        asker.settimeout(3)
        asker.sendto(b"question", (asked, opened.port))
        reactor.until(lambda: heard)
        data, peer, ancillary = heard[0]
        opened.send(b"answer", peer, ancillary)
        answer, source = asker.recvfrom(100)
    assert (data, answer, source[:2]) == (b"question", b"answer", (asked, opened.port))
    opened.close()


def test_both_families_have_the_same_port_to_themselves(reactor: Any) -> None:
    opened, _ = open_socket(reactor, "0.0.0.0")
    second = DatagramSocket(reactor, "::", opened.port, lambda *what: None)
    assert (opened.version, second.version) == (4, 6)
    second.close()
    opened.close()


def test_what_cannot_be_sent_is_lost(reactor: Any) -> None:
    opened, _ = open_socket(reactor, "127.0.0.1")
    opened.send(b"x", ("::1", 9))
    opened.send(b"x" * 70_000, ("127.0.0.1", 9))
    opened.close()
    opened.send(b"x", ("127.0.0.1", 9))


def test_a_link_local_address_is_read_without_its_zone() -> None:
    assert same_host("fe80::1%eth0") == ip_address("fe80::1")


def test_the_interface_is_kept_for_link_local_addresses_only() -> None:
    def reversed_(address: str) -> bytes:
        data = ip_address(address).packed + struct.pack("=I", 3)
        return _reversed(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, data)[2]

    assert reversed_("fe80::1")[16:] == struct.pack("=I", 3)
    assert reversed_("fd77::1")[16:] == struct.pack("=I", 0)


def test_other_ancillary_data_is_not_touched() -> None:
    assert _reversed(1, 2, b"three") == (1, 2, b"three")
