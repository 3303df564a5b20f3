"""Whole messages with descriptors between processes of one host: msgspec structs over SOCK_SEQPACKET, for programs
that wait. The front's end, which never waits, is `supercloud.packet_link`.
"""

from __future__ import annotations

import os
import socket
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

# Bytes of one message, and descriptors that may come with it.
MOST_BYTES: Final = 64 * 1024
MOST_DESCRIPTORS: Final = 4
# For as many as can be sent (SCM_MAX_FD): what does not fit the kernel closes itself, in the middle of the call.
ROOM: Final = socket.CMSG_LEN(253 * array("i").itemsize)

Close = Callable[[Sequence[int]], object]

M = TypeVar("M")


class Gone(Exception):
    """The other end is closed."""


class Garbled(Exception):
    """A message that the other end must not send: too long, not decodable, unknown, or with too many descriptors."""


class Packets(Generic[M]):
    """One end of a connection.

    :param connected: a SOCK_SEQPACKET socket; closed with this.
    :param kind: what may be received: a tagged union of msgspec structs.
    :param close: closes descriptors that came with what is no message.
    """

    def __init__(self, connected: socket.socket, kind: Any, close: Close | None = None) -> None:
        self.socket = connected
        self._close = close or close_all
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def send(self, message: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
        """Send a message; the descriptors stay open here too.

        :raises Gone: nobody is there to read it.
        :raises BlockingIOError: on a socket that does not block, when the other end does not read.
        """
        send(self.socket, self._encode(message), descriptors)

    def receive(self) -> tuple[M, list[int]]:
        """Wait for a message. Its descriptors belong to the caller, and are not inherited by programs.

        :raises Gone: the other end is closed.
        :raises Garbled: what came is no message; its descriptors are closed.
        :raises BlockingIOError: on a socket that does not block, when nothing is there.
        """
        data, descriptors = receive(self.socket, self._close)
        try:
            return self._decode(data), descriptors
        except (ValueError, RecursionError) as error:  # of msgspec, which says so of letters and of depth
            self._close(descriptors)
            raise Garbled(str(error)) from None

    def close(self) -> None:
        """End it."""
        self.socket.close()


def send(connected: socket.socket, data: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send the bytes of one message; see `Packets.send`.

    :raises ValueError: longer than the other end takes.
    """
    if len(data) > MOST_BYTES or len(descriptors) > MOST_DESCRIPTORS:
        raise ValueError(f"a message of {len(data)} bytes with {len(descriptors)} descriptors")
    try:
        if descriptors:
            socket.send_fds(connected, [data], list(descriptors), socket.MSG_NOSIGNAL)
        else:
            connected.send(data, socket.MSG_NOSIGNAL)
    except (BrokenPipeError, ConnectionResetError, ConnectionRefusedError):
        raise Gone from None


def receive(connected: socket.socket, close: Close | None = None) -> tuple[bytes, list[int]]:
    """Take the bytes of one message and its descriptors; see `Packets.receive`."""
    try:
        # Not socket.recv_fds: it forgets the flags that it is given, and the descriptors would be inherited.
        data, ancillary, flags, _ = connected.recvmsg(MOST_BYTES + 1, ROOM, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        raise Gone from None
    descriptors = descriptors_in(ancillary)
    close = close or close_all
    is_truncated = flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(data) > MOST_BYTES
    if is_truncated or len(descriptors) > MOST_DESCRIPTORS:
        close(descriptors)
        raise Garbled("too long, or with too many descriptors")
    if not data:
        close(descriptors)
        raise Gone
    return data, descriptors


def descriptors_in(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    """Those that came with a message (recvmsg)."""
    found = array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return found.tolist()


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors that came with a message."""
    for descriptor in descriptors:
        os.close(descriptor)
