"""Questions and answers as bytes: the wire format of ident2, described in PROTOCOL.md.

Pure: bytes in, values out. Every integer is little-endian, as on x86-64; addresses are in network order.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

import msgspec

MAX_GROUPS: Final = 350  # QS_Max_Remote_SupGroups of the original: 1,400 bytes, one Ethernet frame
NO_ID: Final = 0xFFFFFFFF  # (uid_t)-1, which no account has: "several, and they differ"
QUESTION_SIZE: Final = 60  # bytes with the opcode
ANSWER_SIZE: Final = 34  # bytes with the opcode and no groups

TCP: Final = 6
UDP: Final = 17

_QUESTION = struct.Struct("<BQQBBBI16s16sHH")
_ANSWER = struct.Struct("<BQQBiIII")


class WireError(ValueError):
    """A message is not ident2; the text says what was wrong with it."""


class Opcode(IntEnum):
    """The first byte of a message."""

    GREETING = 0
    ASK_LOCAL = 1
    ANSWER_LOCAL = 2
    ASK_REMOTE = 3
    ANSWER_REMOTE = 4


class Flag(IntFlag):
    """In a question what is wanted, in an answer what is there."""

    ANSWERED = 1
    GID = 2
    PROCESS = 4
    GROUPS = 8
    EVEN_ROOT = 16


class State(IntFlag):
    """States of a TCP socket as bits ``1 << state``, numbered as in Linux' ``tcp_states.h``."""

    ESTABLISHED = 1 << 1
    SYN_SENT = 1 << 2
    SYN_RECV = 1 << 3
    FIN_WAIT1 = 1 << 4
    FIN_WAIT2 = 1 << 5
    TIME_WAIT = 1 << 6
    CLOSE = 1 << 7
    CLOSE_WAIT = 1 << 8
    LAST_ACK = 1 << 9
    LISTEN = 1 << 10
    CLOSING = 1 << 11
    NEW_SYN_RECV = 1 << 12


# Plain numbers of what is compared for each message: arithmetic on an IntFlag costs a microsecond.
ANSWERED: Final = int(Flag.ANSWERED)
GID: Final = int(Flag.GID)
PROCESS: Final = int(Flag.PROCESS)
GROUPS: Final = int(Flag.GROUPS)
EVEN_ROOT: Final = int(Flag.EVEN_ROOT)
DETAILS: Final = GID | PROCESS | GROUPS
ESTABLISHED: Final = int(State.ESTABLISHED)
LISTEN: Final = int(State.LISTEN)

_EVERY_FLAG = ANSWERED | DETAILS | EVEN_ROOT
_ASKS = {int(Opcode.ASK_LOCAL): Opcode.ASK_LOCAL, int(Opcode.ASK_REMOTE): Opcode.ASK_REMOTE}
_ANSWERS = {int(Opcode.ANSWER_LOCAL): Opcode.ANSWER_LOCAL, int(Opcode.ANSWER_REMOTE): Opcode.ANSWER_REMOTE}


# Addresses repeat, and making one costs more than packing the message around it.
_address = lru_cache(maxsize=4096)(ip_address)


@lru_cache(maxsize=4096)
def _unpacked(packed: bytes) -> IPv4Address | IPv6Address:
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


class SocketAddress(NamedTuple):
    """One end of a socket.

    :ivar host: the wildcard address where the end is bound to none.
    :ivar port: 0 to 65535.
    """

    host: IPv4Address | IPv6Address
    port: int

    @classmethod
    def parse(cls, host: str, port: int) -> SocketAddress:
        """Read an address literal; an IPv4 address in IPv6's clothes becomes plain IPv4.

        :raises ValueError: when it is no address literal.
        """
        address = _address(host)
        if address.version == 6 and address.ipv4_mapped is not None:
            return cls(address.ipv4_mapped, port)
        return cls(address, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.host.version == 6 else f"{self.host}:{self.port}"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds this socket?

    :ivar local: the end on the side of the node that is asked.
    :ivar remote: the other end; None for a listener (zeros on the wire).
    :ivar states: bits of :class:`State`; 0 for any, and always for UDP.
    :ivar flags: bits of :class:`Flag`.
    """

    local: SocketAddress
    remote: SocketAddress | None = None
    states: int = LISTEN
    protocol: int = TCP
    flags: int = ANSWERED | GID | PROCESS | EVEN_ROOT
    opcode: Opcode = Opcode.ASK_REMOTE
    client_id: int = 0
    question_id: int = 0

    def encode(self) -> bytes:
        """:raises WireError: when a number does not fit its field or the ends are of two address families."""
        host, port = self.local
        if self.remote is None:
            remote, remote_port = b"", 0
        else:
            remote, remote_port = self.remote.host.packed, self.remote.port
            if self.remote.host.version != host.version:
                raise WireError(f"{self.local} and {self.remote} are of two address families")
        try:
            return _QUESTION.pack(
                self.opcode, self.client_id, self.question_id, self.flags, host.version, self.protocol, self.states,
                host.packed, remote, port, remote_port,
            )  # fmt: skip
        except struct.error as error:
            raise WireError(f"question does not fit: {error}") from None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds it, or (without ``Flag.ANSWERED``) that there is no such socket.

    :ivar uid: effective; the socket's own uid without ``Flag.PROCESS``: nobody has accepted it yet, or the holder
        cannot be seen. :data:`NO_ID` with it: several processes hold the socket and are not of one account.
    :ivar gid: effective, with ``Flag.GID``.
    """

    flags: int = 0
    pid: int = 0
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    opcode: Opcode = Opcode.ANSWER_REMOTE
    client_id: int = 0
    question_id: int = 0

    def encode(self) -> bytes:
        """:raises WireError: when a number does not fit its field or there are more than 350 groups."""
        count = len(self.groups)
        if count > MAX_GROUPS:
            raise WireError(f"{count} groups, at most {MAX_GROUPS}")
        try:
            head = _ANSWER.pack(
                self.opcode, self.client_id, self.question_id, self.flags, self.pid, self.uid, self.gid, count
            )
            return head + struct.pack(f"<{count}I", *self.groups) if count else head
        except struct.error as error:
            raise WireError(f"answer does not fit: {error}") from None


@dataclass(frozen=True, slots=True)
class Greeting:
    """Opcode 0: logged and ignored."""

    text: bytes


def decode(data: bytes) -> Question | Answer | Greeting:
    """Read one message.

    :raises WireError: when it is anything but a whole, known one.
    """
    if not data:
        raise WireError("empty message")
    first = data[0]
    if first in _ASKS:
        return decode_question(data)
    if first in _ANSWERS:
        return decode_answer(data)
    if first == Opcode.GREETING:
        return Greeting(data[1:])
    raise WireError(f"unknown opcode {first}")


def decode_question(data: bytes) -> Question:
    """:raises WireError: says what was wrong."""
    if len(data) != QUESTION_SIZE:
        raise WireError(f"question of {len(data)} bytes, not {QUESTION_SIZE}")
    opcode, client_id, question_id, flags, version, protocol, states, local, remote, port, remote_port = (
        _QUESTION.unpack(data)
    )
    if opcode not in _ASKS:
        raise WireError(f"opcode {opcode} is not a question")
    _check_flags(flags)
    if protocol not in (TCP, UDP):
        raise WireError(f"protocol {protocol} is neither TCP nor UDP")
    if protocol == UDP and states:
        raise WireError(f"TCP states {states:#x} in a question about UDP")
    if version == 4:
        host, other = _unpacked(local[:4]), _unpacked(remote[:4])
    elif version == 6:
        host, other = _unpacked(local), _unpacked(remote)
    else:
        raise WireError(f"IP version {version}")
    unused = not remote_port and not int(other)
    return Question(
        opcode=_ASKS[opcode], client_id=client_id, question_id=question_id, flags=flags, protocol=protocol,
        states=states, local=SocketAddress(host, port), remote=None if unused else SocketAddress(other, remote_port),
    )  # fmt: skip


def decode_answer(data: bytes) -> Answer:
    """:raises WireError: says what was wrong."""
    if len(data) < ANSWER_SIZE:
        raise WireError(f"answer of {len(data)} bytes, at least {ANSWER_SIZE}")
    opcode, client_id, question_id, flags, pid, uid, gid, count = _ANSWER.unpack_from(data)
    if opcode not in _ANSWERS:
        raise WireError(f"opcode {opcode} is not an answer")
    _check_flags(flags)
    if count > MAX_GROUPS:
        raise WireError(f"{count} groups, at most {MAX_GROUPS}")
    if len(data) != ANSWER_SIZE + 4 * count:
        raise WireError(f"answer of {len(data)} bytes for {count} groups")
    return Answer(
        opcode=_ANSWERS[opcode], client_id=client_id, question_id=question_id, flags=flags, pid=pid, uid=uid, gid=gid,
        groups=struct.unpack_from(f"<{count}I", data, ANSWER_SIZE),
    )  # fmt: skip


def _check_flags(flags: int) -> None:
    if flags & ~_EVERY_FLAG:
        raise WireError(f"unknown flags {flags & ~_EVERY_FLAG:#x}")
