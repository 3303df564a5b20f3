"""Which addresses are this host's own: read once, and again when the kernel says that they changed."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

_NETLINK_ROUTE = 0
_GROUPS = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_RTM_NEWADDR = 20
_RTM_GETADDR = 22
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_HEADER = struct.Struct("=IHHII")
_IFADDRMSG = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_BUFFER: Final = 1 << 16
_REMEMBERED: Final = 4096  # addresses of which it is known whether they are own
_PATIENCE: Final = struct.pack("@ll", 2, 0)

Address = IPv4Address | IPv6Address


@implementer(IReadDescriptor)
class OwnAddresses:
    """Tells own addresses from others: a set look-up, with no system call.

    Loopback is always own. The set follows the kernel's notifications; reading it again takes some 50 us, seldom.
    """

    def __init__(self, reactor: IReactorFDSet) -> None:
        self._reactor = reactor
        self._own: frozenset[Address] = frozenset()
        self._known: dict[object, bool] = {}
        self._socket: socket.socket | None = None

    def __contains__(self, address: object) -> bool:
        known = self._known.get(address)
        if known is None:
            known = address in self._own or (isinstance(address, IPv4Address | IPv6Address) and address.is_loopback)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[address] = known
        return known

    def start(self) -> None:
        """Read the addresses and follow their changes."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_ROUTE)
        self._socket.bind((0, _GROUPS))
        self._reactor.addReader(self)
        self._read()

    def stop(self) -> None:
        """Follow no more."""
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None

    def fileno(self) -> int:
        """For the reactor."""
        return self._socket.fileno() if self._socket is not None else -1

    def doRead(self) -> None:
        """Something changed, perhaps more than fits the queue (ENOBUFS): read all anew."""
        try:
            while self._socket is not None and self._socket.recv(_BUFFER):
                pass
        except OSError:
            pass
        self._read()

    def _read(self) -> None:
        self._own = read_addresses()
        self._known.clear()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""
        self.stop()

    def logPrefix(self) -> str:
        """For the reactor's log."""
        return "ident2"


def read_addresses() -> frozenset[Address]:
    """The addresses of all interfaces of this network name space.

    :raises OSError: when the kernel refuses.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as netlink:
        netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
        netlink.bind((0, 0))
        size = _HEADER.size + _IFADDRMSG.size
        netlink.send(_HEADER.pack(size, _RTM_GETADDR, _DUMP, 1, 0) + _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
        own: set[Address] = set()
        while True:
            data = netlink.recv(_BUFFER)
            for kind, body in _messages(data):
                if kind == _NLMSG_DONE:
                    return frozenset(own)
                if kind == _NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", body)[0], "the addresses cannot be read")
                if kind == _RTM_NEWADDR:
                    own.update(_addresses(body))


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        size, kind, _flags, _sequence, _port = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : size]
        data = data[max(_HEADER.size, (size + 3) & ~3) :]


def _addresses(body: bytes) -> Iterator[Address]:
    """One interface address. IFA_LOCAL is the own one of a point-to-point link, where IFA_ADDRESS is the other's."""
    family = body[0]
    found: dict[int, bytes] = {}
    rest = body[_IFADDRMSG.size :]
    while len(rest) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(rest)
        found[kind] = rest[_ATTRIBUTE.size : size]
        rest = rest[max(_ATTRIBUTE.size, (size + 3) & ~3) :]
    packed = found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS, b""))
    if family == socket.AF_INET and len(packed) == 4:
        yield IPv4Address(packed)
    elif family == socket.AF_INET6 and len(packed) == 16:
        yield IPv6Address(packed)
