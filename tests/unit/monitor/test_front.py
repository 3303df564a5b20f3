"""What the monitor reads from the front: requests of the table, and nothing else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import msgspec
import pytest

from supercloud.monitor.__main__ import Front
from supercloud.monitor.breach import Breach, FrontEnded
from supercloud.monitor.loop import Loop
from supercloud.monitor.wire import AccountRead, ReadAccount, Request


class Site:
    """The front's end, and the monitor's, whose requests are noted."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setblocking(False)
        self.loop = Loop()
        self.served: list[tuple[Request, list[int]]] = []
        self.front = Front(theirs, self.loop)
        self.front.start(lambda *asked: self.served.append(asked))
        self._theirs = theirs

    def turn(self) -> None:
        self.loop.turn(0)

    def ask(self, number: int) -> None:
        self.ours.send(msgspec.msgpack.encode(ReadAccount(number, 1001)))

    def answers(self) -> list[int]:
        """Numbers of what has come."""
        found = []
        while True:
            try:
                found.append(msgspec.msgpack.decode(self.ours.recv(65536))["id"])
            except BlockingIOError:
                return found

    def close(self) -> None:
        self.ours.close()
        self.loop.close()
        self._theirs.close()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


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
def test_what_is_not_in_the_table_is_a_breach_that_quotes_nothing(site: Site, data: bytes) -> None:
    site.ours.send(data)
    with pytest.raises(Breach) as breach:
        site.turn()
    assert str(breach.value) == "the front sent what is not in the table"


def test_more_descriptors_than_a_packet_has_are_a_breach_and_closed(site: Site) -> None:
    reading, writing = os.pipe()
    socket.send_fds(site.ours, [msgspec.msgpack.encode(ReadAccount(1, 1))], [reading] * 5)
    os.close(reading)
    with pytest.raises(Breach):
        site.turn()
    with pytest.raises(BrokenPipeError):  # nobody has the other end
        os.write(writing, b"x")
    os.close(writing)


def test_a_request_is_read(site: Site) -> None:
    site.ask(1)
    site.turn()
    assert site.served == [(ReadAccount(1, 1001), [])]


def test_the_fronts_end_is_no_breach(site: Site) -> None:
    site.ours.close()
    with pytest.raises(FrontEnded):
        site.turn()
    with pytest.raises(FrontEnded):
        site.front.answer(AccountRead(1, "good"))


def test_a_front_that_takes_no_answers_gets_them_in_order_when_it_does(site: Site) -> None:
    for number in range(5000):
        site.front.answer(AccountRead(number, "good"))
    got = []
    while len(got) < 5000:
        some = site.answers()
        assert some
        got += some
        site.turn()
    assert got == list(range(5000))


def test_nothing_is_read_from_a_front_that_takes_no_answers(site: Site) -> None:
    """What waits for it stays within what it has asked."""
    for number in range(5000):
        site.front.answer(AccountRead(number, "good"))
    site.ask(7)
    site.turn()
    assert site.served == []
    while site.answers():
        site.turn()
    site.turn()
    assert [asked.id for asked, _ in site.served] == [7]


def test_a_front_that_ends_while_answers_wait_is_no_breach(site: Site) -> None:
    for number in range(5000):
        site.front.answer(AccountRead(number, "good"))
    site.ours.close()
    with pytest.raises(FrontEnded):
        site.turn()
