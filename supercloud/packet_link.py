"""The front's end of a SOCK_SEQPACKET connection: messages with descriptors, without ever waiting."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from supercloud import events
from supercloud.packets import Close, Garbled, Gone, Packets, close_all

_BATCH: Final = 16  # messages of one connection before the reactor turns to others
MOST_WAITING: Final = 1000  # messages that the other end has not read yet; more means that it does not read


@implementer(IReadDescriptor, IWriteDescriptor)
class PacketLink:
    """One connected SOCK_SEQPACKET socket under the reactor.

    :param kind: what may be received: a tagged union of msgspec structs; anything else ends the connection.
    :param received: called with each message and its descriptors, which are then the callee's to close.
    :param lost: called once, with a word that says why, when the connection is gone from either side.
    :param close: closes descriptors that nobody takes, and the connection itself, which may hold unread ones.
    :param most_waiting: see `MOST_WAITING`; None where whoever sends keeps a bound.
    """

    def __init__(
        self,
        reactor: IReactorFDSet,
        connected: socket.socket,
        kind: Any,
        received: Callable[[Any, list[int]], object],
        lost: Callable[[str], object],
        close: Close = close_all,
        *,
        most_waiting: int | None = MOST_WAITING,
    ) -> None:
        connected.setblocking(False)
        self._reactor = reactor
        self._close = close
        self._packets: Packets[Any] | None = Packets(connected, kind, close)
        self._fileno = connected.fileno()
        self._received = received
        self._lost = lost
        self._most_waiting = most_waiting
        self._waiting: deque[tuple[msgspec.Struct, Sequence[int]]] = deque()
        reactor.addReader(self)

    @property
    def peer(self) -> tuple[int, int, int]:
        """pid, uid and gid of whoever made the other end, as the kernel noted them then (SO_PEERCRED)."""
        return peer_of(self._packets.socket) if self._packets is not None else (-1, -1, -1)

    def send(self, message: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
        """Send a message now or when the other end has room; who does not read so many is cut off.

        :param descriptors: stay the caller's, who may close them at once.
        """
        if self._packets is None:
            return
        if self._waiting:
            self._wait(message, descriptors)
            return
        try:
            self._packets.send(message, descriptors)
        except BlockingIOError:
            self._wait(message, descriptors)
            self._reactor.addWriter(self)
        except (Gone, OSError):
            self.close("gone")

    def close(self, why: str = "closed") -> None:
        """End it, from this side."""
        if self._packets is None:
            return
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        connected, self._packets = self._packets.socket, None
        with suppress(OSError):  # the other end is told now, whenever it is closed
            connected.shutdown(socket.SHUT_RDWR)
        self._close([connected.detach()])
        for _, descriptors in self._waiting:
            close_all(descriptors)
        self._waiting.clear()
        self._lost(why)

    def fileno(self) -> int:
        """For the reactor; -1 once closed."""
        return self._fileno if self._packets is not None else -1

    def doRead(self) -> None:
        """Hand on what has come."""
        for _ in range(_BATCH):
            if self._packets is None:
                return
            try:
                message, descriptors = self._packets.receive()
            except BlockingIOError:
                return
            except Garbled as error:
                self.close(f"garbled: {error}")
                return
            except (Gone, OSError):
                self.close("gone")
                return
            try:
                self._received(message, descriptors)
            except Exception:
                self._close(descriptors)
                events.unexpected(f"answering {type(message).__name__}")
                self.close("mistake of the portal's own")

    def doWrite(self) -> None:
        """Send what waited."""
        while self._waiting and self._packets is not None:
            try:
                self._packets.send(*self._waiting[0])
            except BlockingIOError:
                return
            except (Gone, OSError):
                self.close("gone")
                return
            close_all(self._waiting.popleft()[1])
        if self._packets is not None:
            self._reactor.removeWriter(self)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends, or the descriptor is broken."""
        self.close("gone")

    def logPrefix(self) -> str:
        """For the reactor's log."""
        return "packets"

    def _wait(self, message: msgspec.Struct, descriptors: Sequence[int]) -> None:
        if self._most_waiting is not None and len(self._waiting) >= self._most_waiting:
            self.close("does not read")
        else:
            self._waiting.append((message, [os.dup(descriptor) for descriptor in descriptors]))


def peer_of(connected: socket.socket) -> tuple[int, int, int]:
    """pid, uid and gid of whoever connected, or listened when we connected (SO_PEERCRED, unix(7))."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, gid = (int.from_bytes(raw[at : at + 4], "little", signed=at == 0) for at in (0, 4, 8))
    return pid, uid, gid
