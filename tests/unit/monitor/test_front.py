"""What the monitor reads from the front: requests of the table, and nothing else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import msgspec
import pytest

from supercloud.monitor import __main__ as monitor
from supercloud.monitor.__main__ import Front
from supercloud.monitor.breach import Breach, FrontEnded
from supercloud.monitor.wire import AccountRead, ReadAccount


@pytest.fixture
def ours() -> Iterator[socket.socket]:
    """The front's end; `front` is the monitor's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        _ENDS[ours] = theirs
        yield ours
        del _ENDS[ours]


_ENDS: dict[socket.socket, socket.socket] = {}


@pytest.fixture
def front(ours: socket.socket) -> Front:
    return Front(_ENDS[ours])


GARBAGE = {
    "unknown kind": msgspec.msgpack.encode({"type": "read-file", "id": 1, "path": "/etc/shadow"}),
    "no kind": msgspec.msgpack.encode({"id": 1, "uid": 1000}),
    "an answer's kind": msgspec.msgpack.encode(AccountRead(1, "good")),
    "a zygote's kind": msgspec.msgpack.encode({"type": "fork", "worker": 1, "uid": 0, "login": "root"}),
    "garbled bytes": b"\xc1\xff\x00",
    "two messages": msgspec.msgpack.encode(ReadAccount(1, 1)) * 2,
    "a negative uid": msgspec.msgpack.encode({"type": "read-account", "id": 1, "uid": -1}),
    "the uid that means none": msgspec.msgpack.encode({"type": "read-account", "id": 1, "uid": 2**32 - 1}),
    "a uid that wraps around": msgspec.msgpack.encode({"type": "read-account", "id": 1, "uid": 2**32}),
    "a uid in words": msgspec.msgpack.encode({"type": "read-account", "id": 1, "uid": "0"}),
    "a field too many": msgspec.msgpack.encode({"type": "read-account", "id": 1, "uid": 1, "as": "root"}),
    "a field too few": msgspec.msgpack.encode({"type": "start-worker", "id": 1, "uid": 1}),
    "an empty login": msgspec.msgpack.encode({"type": "start-worker", "id": 1, "uid": 1, "login": ""}),
    "a login too long": msgspec.msgpack.encode({"type": "start-worker", "id": 1, "uid": 1, "login": "x" * 257}),
    "inode 0": msgspec.msgpack.encode({"type": "read-holders", "id": 1, "inode": 0, "uid": 0}),
    "over-long": b"\x81" * (64 * 1024 + 1),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_not_in_the_table_is_a_breach_that_quotes_nothing(
    ours: socket.socket, front: Front, data: bytes
) -> None:
    ours.send(data)
    with pytest.raises(Breach) as breach:
        front.receive()
    assert str(breach.value) == "the front sent what is not in the table"


def test_more_descriptors_than_a_packet_has_are_a_breach_and_closed(ours: socket.socket, front: Front) -> None:
    reading, writing = os.pipe()
    socket.send_fds(ours, [msgspec.msgpack.encode(ReadAccount(1, 1))], [reading] * 5)
    os.close(reading)
    with pytest.raises(Breach):
        front.receive()
    with pytest.raises(BrokenPipeError):  # nobody has the other end
        os.write(writing, b"x")
    os.close(writing)


def test_a_request_is_read(ours: socket.socket, front: Front) -> None:
    ours.send(msgspec.msgpack.encode(ReadAccount(1, 1001)))
    assert front.receive() == (ReadAccount(1, 1001), [])


def test_the_fronts_end_is_no_breach(ours: socket.socket, front: Front) -> None:
    ours.close()
    with pytest.raises(FrontEnded):
        front.receive()
    with pytest.raises(FrontEnded):
        front.answer(AccountRead(1, "good"))


def test_a_front_that_takes_no_answers_is_a_breach(ours: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "FRONT_READS", 0.05)
    front = Front(_ENDS[ours])
    with pytest.raises(Breach):
        for _ in range(10_000):
            front.answer(AccountRead(1, "good"))
