"""A UDP socket of a service: shares its address with nobody, and answers from the address that was asked."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_log = Logger()

Peer = tuple[str, int]  # address literal as the kernel writes it, port
Ancillary = list[tuple[int, int, bytes]]

_IP_PKTINFO = 8  # linux/in.h; the socket module has no name for it
_BATCH: Final = 64  # datagrams read before the reactor turns to other descriptors
_LARGEST: Final = 9216  # bytes; the original's buffer
_QUEUE: Final = 1 << 20  # bytes of receive buffer asked for: bursts of some thousand questions
_LOOK_UP: Final = struct.pack("@ll", 0, 500_000)  # SO_RCVTIMEO: half a second
_IN_PKTINFO = struct.Struct("=i4s4s")
_IN6_PKTINFO = struct.Struct("=16sI")


@implementer(IReadDescriptor)
class DatagramSocket:
    """One bound UDP socket.

    Neither SO_REUSEADDR nor SO_REUSEPORT: a second process on the same port could take answers for itself.

    :param received: called with the bytes, the sender, and what :meth:`send` needs to answer from the same address.
    """

    def __init__(
        self,
        reactor: IReactorFDSet,
        host: str,
        port: int,
        received: Callable[[bytes, Peer, Ancillary], None],
    ) -> None:
        self._reactor = reactor
        self._received = received
        self._thread: threading.Thread | None = None
        self.version = ip_address(host).version
        family = socket.AF_INET6 if self.version == 6 else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if self.version == 6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            else:
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]

    def start(self) -> None:
        """Begin to read."""
        self._reactor.addReader(self)

    def start_thread(self) -> None:
        """Begin to read in a thread of its own, in which ``received`` is then called.

        For a host that does nothing but answer: a question that is answered where it was read saves the hand-over
        between threads, a third of the whole.
        """
        self._socket.setblocking(True)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _LOOK_UP)
        self._thread = threading.Thread(target=self._read, name="ident2-datagrams", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading and give the port back."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            thread.join(1.0)
        else:
            self._reactor.removeReader(self)
        self._socket.close()

    def _read(self) -> None:
        while self._thread is not None:
            try:
                self._hand_on(*self._socket.recvmsg(_LARGEST, 64))
            except BlockingIOError:
                continue  # time to see whether the service ends
            except OSError:
                continue  # an ICMP error about something that was sent
            except Exception:  # the thread serves everybody: it must outlive one datagram
                _log.failure("a datagram was not understood")

    def _hand_on(self, data: bytes, ancillary: Ancillary, flags: int, peer: Peer) -> None:
        self._received(data, peer[:2], ancillary)

    def send(self, data: bytes, peer: Peer, ancillary: Ancillary | None = None) -> None:
        """Send one datagram; any thread may. What cannot be sent is lost, as datagrams are.

        :param ancillary: of the datagram that this answers.
        """
        try:
            if ancillary:
                self._socket.sendmsg([data], [_reversed(*item) for item in ancillary], 0, peer)
            else:
                self._socket.sendto(data, peer)
        except OSError as error:
            _log.debug("datagram to {peer} not sent: {error}", peer=peer, error=error)

    def fileno(self) -> int:
        """For the reactor."""
        return self._socket.fileno()

    def doRead(self) -> None:
        """Hand on what has come, a batch at a time.

        All is read before anything is handed on: each system call lets another thread have the interpreter, and one
        that was just given work would take it.
        """
        batch: list[tuple[bytes, Ancillary, int, Peer]] = []
        try:
            while len(batch) < _BATCH:
                batch.append(self._socket.recvmsg(_LARGEST, 64))
        except OSError:  # nothing more, or an ICMP error about something that was sent
            pass
        for datagram in batch:
            self._hand_on(*datagram)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""
        self._socket.close()

    def logPrefix(self) -> str:
        """For the reactor's log."""
        return "ident2"


def same_host(text: str) -> IPv4Address | IPv6Address:
    """Read the kernel's spelling of an address, without its zone."""
    return ip_address(text.partition("%")[0])


@lru_cache(maxsize=256)
def _reversed(level: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
    """Make "it came to this address" into "send from this address"; the route, not the interface, decides the way."""
    if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(data) == _IN_PKTINFO.size:
        _interface, _local, destination = _IN_PKTINFO.unpack(data)
        return level, kind, _IN_PKTINFO.pack(0, destination, b"")
    if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(data) == _IN6_PKTINFO.size:
        destination, interface = _IN6_PKTINFO.unpack(data)
        return level, kind, _IN6_PKTINFO.pack(destination, interface if destination[:2] == b"\xfe\x80" else 0)
    return level, kind, data
