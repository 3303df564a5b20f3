from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from typing import Any

import pytest
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from supercloud.ident2 import addresses
from supercloud.ident2.addresses import OwnAddresses, read_addresses


def test_the_kernel_tells_the_addresses_of_this_host() -> None:
    assert ip_address("127.0.0.1") in read_addresses()


def test_loopback_is_own_and_another_host_is_not(reactor: Any) -> None:
    own = OwnAddresses(reactor)
    own.start()
    assert ip_address("127.0.0.1") in own
    assert ip_address("127.9.9.9") in own
    assert ip_address("::1") in own
    assert ip_address("192.0.2.1") not in own
    assert "localhost" not in own
    own.stop()
    own.stop()


def test_a_change_is_noticed(reactor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnAddresses(reactor)
    own.start()
    new = ip_address("192.0.2.1")
    monkeypatch.setattr(addresses, "read_addresses", lambda: frozenset([new]))
    own.doRead()
    assert new in own
    assert own.fileno() >= 0
    own.connectionLost(Failure(OSError()))
    assert (own.fileno(), reactor.readers) == (-1, set())


def test_it_is_what_the_reactor_reads(reactor: Any) -> None:
    own = OwnAddresses(reactor)
    assert verifyObject(IReadDescriptor, own)
    assert own.logPrefix() == "ident2"


def attribute(kind: int, text: str) -> bytes:
    packed = ip_address(text).packed
    return struct.pack("=HH", 4 + len(packed), kind) + packed


@pytest.mark.parametrize(
    ("family", "attributes", "expected"),
    [
        (socket.AF_INET, attribute(1, "192.0.2.9") + attribute(2, "192.0.2.1"), ["192.0.2.1"]),
        (socket.AF_INET6, attribute(1, "2001:db8::1"), ["2001:db8::1"]),
        (socket.AF_INET6, b"", []),
        (socket.AF_PACKET, attribute(1, "192.0.2.9"), []),
    ],
)
def test_the_own_end_of_a_link_is_taken(family: int, attributes: bytes, expected: list[str]) -> None:
    body = struct.pack("=BBBBI", family, 24, 0, 0, 1) + attributes
    assert [str(address) for address in addresses._addresses(body)] == expected


def test_a_refusal_of_the_kernel_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_RTM_GETADDR", 9998)
    with pytest.raises(OSError, match="cannot be read"):
        read_addresses()
