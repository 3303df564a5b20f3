"""The kernel's word on a socket: exact look-ups through NETLINK_SOCK_DIAG, never a dump of all sockets.

What the kernel does, measured on Linux 6.18 and older behaviour where it is known:

* A four-tuple that does not exist is answered with the *listener* of the local end: the state must be looked at.
* A connection that nobody has accepted yet is ESTABLISHED with inode 0 and its listener's uid (older kernels: uid 0).
* A listener on the exact address is found before one on the wildcard; a dual-stack listener answers for IPv4, and its
  accepted connections show IPv4 addresses in IPv6's clothes.
* For UDP the two ends are swapped in the request, "for historical reasons" (``net/ipv4/udp_diag.c``).
* A socket bound to a device is not found: it is nobody's, so nobody is let in.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import msgspec

from supercloud.ident2.wire import LISTEN, TCP, UDP, SocketAddress

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST = 1
_NLM_F_DUMP = 0x300
_ENOENT = 2

# linux/inet_diag.h: struct nlmsghdr, then struct inet_diag_req_v2; the cookie ~0 means "any".
_REQUEST = struct.Struct("=IHHII BBxxI 2s2s16s16sI8s")
_HEADER = struct.Struct("=IHHII")
# struct inet_diag_msg up to and with the inode.
_REPLY = struct.Struct("=BBBB 2s2s16s16sI8s IIIII")
_End = tuple[bytes, bytes]
_NOWHERE: Final[_End] = (b"", b"")
_ANY_COOKIE = b"\xff" * 8
_BUFFER: Final = 1 << 16  # bytes; the kernel fills dumps in pieces of at most 32 KB
_ONE: Final = 4096  # bytes of one socket, with attributes that nobody asked for: about 200
_PATIENCE: Final = struct.pack("@ll", 2, 0)  # seconds for a reply that the kernel has already queued


class KernelSilent(OSError):
    """The kernel refused a look-up, or has no sock_diag."""


class Socket(msgspec.Struct, frozen=True):
    """What the kernel tells of a socket.

    :ivar state: one bit of :class:`State`.
    :ivar uid: of whoever created it, or accepted it.
    :ivar inode: 0 when no process can hold it yet, or any more.
    :ivar remote: None for one that is connected to nobody.
    """

    state: int
    uid: int
    inode: int
    family: int
    local: SocketAddress
    remote: SocketAddress | None


class Sockets:
    """Look-ups in the network name space of this process; any thread may ask. Needs no privilege.

    The netlink socket is opened with the first look-up (so that a service can be made before it forks) and kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._netlink: socket.socket | None = None
        self._sequence = 0

    def find(
        self, protocol: int, local: SocketAddress, remote: SocketAddress | None = None, *, states: int = 0
    ) -> Socket | None:
        """The one socket with these ends, or None.

        :param remote: None asks for a listener, or an unconnected UDP socket.
        :param states: bits that the socket's state must be among; 0 for any. With ``LISTEN`` alone the remote end is
            not used (contract of ident2).
        :raises KernelSilent: when the kernel does not answer.
        """
        if states == LISTEN:
            remote = None
        here = _packed(local)
        there = _NOWHERE if remote is None else _packed(remote)
        source, destination = (there, here) if protocol == UDP else (here, there)
        family = socket.AF_INET if len(here[0]) == 4 else socket.AF_INET6
        found = self._ask(family, protocol, 0xFFFFFFFF, source, destination, dump=False)
        if not found or (states and not found[0].state & states):
            return None
        return found[0]

    def listeners(self, uid: int) -> list[Socket]:
        """The listening TCP sockets that were opened by ``uid``.

        A dump, filtered by the kernel for the state only: it costs time in the number of listeners of the host. It is
        meant for a person's own first page, beside the reactor's thread, and never for a decision.

        :raises KernelSilent: when the kernel does not answer.
        """
        return [
            found
            for family in (socket.AF_INET, socket.AF_INET6)
            for found in self._ask(family, TCP, LISTEN, _NOWHERE, _NOWHERE, dump=True)
            if found.uid == uid
        ]

    def close(self) -> None:
        """Close the netlink socket; a later look-up opens it again."""
        with self._lock:
            self._forget()

    def _ask(
        self, family: int, protocol: int, states: int, source: _End, destination: _End, *, dump: bool
    ) -> list[Socket]:
        with self._lock:
            self._sequence = (self._sequence + 1) & 0xFFFFFFFF
            request = _REQUEST.pack(
                _REQUEST.size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | (_NLM_F_DUMP if dump else 0), self._sequence, 0,
                family, protocol, states, source[1], destination[1], source[0], destination[0], 0, _ANY_COOKIE,
            )  # fmt: skip
            try:
                netlink = self._netlink or self._open()
                netlink.send(request)
                return list(self._replies(netlink, dump=dump))
            except OSError as error:
                self._forget()  # whatever is still queued belongs to no later question
                raise KernelSilent(error.errno, f"sock_diag: {error.strerror}") from error

    def _replies(self, netlink: socket.socket, *, dump: bool) -> Iterator[Socket]:
        while True:
            data = netlink.recv(_BUFFER if dump else _ONE)
            offset = 0
            while offset + _HEADER.size <= len(data):
                size, kind, _flags, sequence, _port = _HEADER.unpack_from(data, offset)
                if size < _HEADER.size or offset + size > len(data):
                    raise OSError(0, "a truncated reply")
                if sequence != self._sequence:
                    raise OSError(0, "a reply to another question")
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    code = -struct.unpack_from("=i", data, offset + _HEADER.size)[0]
                    if code == _ENOENT:
                        return
                    raise OSError(code, os.strerror(code))
                yield _read(data, offset + _HEADER.size)
                if not dump:
                    return
                offset += (size + 3) & ~3

    def _open(self) -> socket.socket:
        self._netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
        self._netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
        self._netlink.bind((0, 0))
        return self._netlink

    def _forget(self) -> None:
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None


def _read(data: bytes, offset: int) -> Socket:
    """Take one ``struct inet_diag_msg`` apart."""
    (family, state, _timer, _retransmits, port, remote_port, local, remote, _device, _cookie,
     _expires, _received, _sent, uid, inode) = _REPLY.unpack_from(data, offset)  # fmt: skip
    there = _address(family, remote, remote_port)
    connected = there.port or int(there.host)
    return Socket(1 << state, uid, inode, family, _address(family, local, port), there if connected else None)


def _address(family: int, packed: bytes, port: bytes) -> SocketAddress:
    return SocketAddress(_host(family, packed), int.from_bytes(port, "big"))


@lru_cache(maxsize=4096)
def _host(family: int, packed: bytes) -> IPv4Address | IPv6Address:
    """Addresses repeat, and making one costs as much as the rest of a reply."""
    if family == socket.AF_INET:
        return IPv4Address(packed[:4])
    host = IPv6Address(packed)
    return host.ipv4_mapped or host


def _packed(address: SocketAddress) -> _End:
    """Address and port in network order; an IPv4 address in IPv6's clothes is plain IPv4."""
    host = address.host
    if isinstance(host, IPv6Address):
        host = host.ipv4_mapped or host
    return host.packed, address.port.to_bytes(2, "big")
