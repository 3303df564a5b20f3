"""Messages with descriptors between processes: what comes is a whole, known message, or the connection ends."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from twisted.internet.task import Clock

from supercloud.packet_link import PacketLink, peer_of
from supercloud.packets import MOST_BYTES, MOST_DESCRIPTORS, Garbled, Gone, Packets, send


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ask"):
    text: str


class Tell(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="tell"):
    number: int


KIND = Ask | Tell


def descriptors() -> set[str]:
    gc.collect()  # what earlier tests left must not be closed between two looks
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def both(ends: tuple[socket.socket, socket.socket]) -> tuple[Packets[Any], Packets[Any]]:
    return Packets(ends[0], KIND), Packets(ends[1], KIND)


def test_messages_arrive_whole_and_apart(both: tuple[Packets[Any], Packets[Any]]) -> None:
    here, there = both
    here.send(Ask("one"))
    here.send(Tell(2))
    assert there.receive() == (Ask("one"), [])
    assert there.receive() == (Tell(2), [])


def test_a_descriptor_comes_along_and_is_not_inherited(both: tuple[Packets[Any], Packets[Any]]) -> None:
    here, there = both
    reading, writing = os.pipe()
    here.send(Ask("read"), [reading])
    os.close(reading)
    _, [came] = there.receive()
    os.write(writing, b"x")
    assert os.read(came, 1) == b"x"
    assert not os.get_inheritable(came)
    os.close(came)
    os.close(writing)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff", b"\x80", b"\xc1", msgspec.msgpack.encode({"type": "else"}), msgspec.msgpack.encode({"text": "x"}),
        msgspec.msgpack.encode({"type": "ask", "text": 1}), msgspec.msgpack.encode({"type": "ask", "text": "", "y": 1}),
        msgspec.msgpack.encode([1]), msgspec.msgpack.encode(Ask("x")) + b"\0",
        b"\x82\xa4type\xa3ask\xa4text\xa2\xff\xff", b"\x82\xa1x" + b"\x91" * 5000 + b"\xc0\xa4type\xa3ask",
    ],
)  # fmt: skip
def test_what_is_no_message_is_garbled_and_its_descriptors_are_closed(
    ends: tuple[socket.socket, socket.socket], data: bytes
) -> None:
    before = descriptors()
    send(ends[0], data, [0])
    with pytest.raises(Garbled):
        Packets[Any](ends[1], KIND).receive()
    assert descriptors() == before


def test_what_is_too_long_is_garbled(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].send(msgspec.msgpack.encode(Ask("x" * MOST_BYTES)))
    with pytest.raises(Garbled):
        Packets[Any](ends[1], KIND).receive()


def test_too_many_descriptors_are_garbled_and_closed(ends: tuple[socket.socket, socket.socket]) -> None:
    before = descriptors()
    socket.send_fds(ends[0], [msgspec.msgpack.encode(Ask("x"))], [0] * (MOST_DESCRIPTORS + 60))
    with pytest.raises(Garbled):
        Packets[Any](ends[1], KIND).receive()
    assert descriptors() == before


def test_nothing_over_the_bounds_is_sent(both: tuple[Packets[Any], Packets[Any]]) -> None:
    with pytest.raises(ValueError, match="bytes"):
        both[0].send(Ask("x" * MOST_BYTES))
    with pytest.raises(ValueError, match="descriptors"):
        both[0].send(Ask("x"), [0] * (MOST_DESCRIPTORS + 1))


def test_a_closed_end_is_gone_for_both_directions(both: tuple[Packets[Any], Packets[Any]]) -> None:
    both[1].close()
    with pytest.raises(Gone):
        both[0].send(Ask("x"))
    with pytest.raises(Gone):
        both[0].receive()


class Reactor(Clock):
    """Knows who reads and writes."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()

    def addReader(self, one: Any) -> None:
        self.readers.add(one)

    def removeReader(self, one: Any) -> None:
        self.readers.discard(one)

    def addWriter(self, one: Any) -> None:
        self.writers.add(one)

    def removeWriter(self, one: Any) -> None:
        self.writers.discard(one)


class Linked:
    """A link of the front's, and the other end of it."""

    def __init__(self, ends: tuple[socket.socket, socket.socket]) -> None:
        self.reactor = Reactor()
        self.got: list[tuple[Any, list[int]]] = []
        self.lost: list[str] = []
        self.there: Packets[Any] = Packets(ends[1], KIND)
        self.raw = ends[1]
        self.link = PacketLink(self.reactor, ends[0], KIND, self.received, self.lost.append)

    def received(self, message: Any, descriptors: list[int]) -> None:
        self.got.append((message, descriptors))


@pytest.fixture
def linked(ends: tuple[socket.socket, socket.socket]) -> Linked:
    return Linked(ends)


def test_a_link_hands_on_what_has_come_and_waits_for_nothing(linked: Linked) -> None:
    linked.there.send(Ask("one"))
    linked.there.send(Tell(2))
    linked.link.doRead()
    linked.link.doRead()
    assert linked.got == [(Ask("one"), []), (Tell(2), [])]
    assert linked.lost == []


def test_a_link_ends_with_the_other_end(linked: Linked) -> None:
    linked.there.close()
    linked.link.doRead()
    assert linked.lost == ["gone"]
    assert linked.link.fileno() == -1
    assert linked.reactor.readers == set()


def test_a_link_ends_at_what_is_garbled_and_hands_nothing_on(linked: Linked) -> None:
    linked.raw.send(b"\xff")
    linked.there.send(Ask("later"))
    linked.link.doRead()
    [why] = linked.lost
    assert why.startswith("garbled")
    assert linked.got == []


def test_a_mistake_of_the_callee_ends_the_link_and_closes_descriptors(linked: Linked) -> None:
    def fail(message: Any, descriptors: list[int]) -> None:
        raise RuntimeError("a mistake")

    linked.link._received = fail
    before = descriptors()
    linked.there.send(Ask("x"), [0])
    linked.link.doRead()
    assert linked.lost == ["mistake of the portal's own"]
    assert descriptors() < before  # the link's own socket is closed too


def test_an_end_that_does_not_read_gets_the_rest_in_order_when_it_does(linked: Linked) -> None:
    sent = 0
    while not linked.reactor.writers:
        linked.link.send(Tell(sent))
        sent += 1
    linked.link.send(Tell(sent))
    got = []
    for _ in range(sent + 1):
        got.append(linked.there.receive()[0].number)
        if linked.reactor.writers:
            linked.link.doWrite()
    assert got == list(range(sent + 1))
    assert linked.reactor.writers == set()


def test_descriptors_wait_with_their_message_and_are_closed_with_the_link(linked: Linked) -> None:
    before = descriptors()
    while not linked.reactor.writers:
        linked.link.send(Tell(0))
    linked.link.send(Ask("with"), [0])
    linked.link.send(Ask("never sent"), [0])
    assert linked.lost == []
    came: list[int] = []
    while not came:
        _, came = linked.there.receive()
        linked.link.doWrite()
    os.close(came[0])
    while not linked.reactor.writers:
        linked.link.send(Tell(0))
    linked.link.send(Ask("never sent"), [0])
    linked.link.close()
    assert descriptors() <= before


def test_an_end_that_never_reads_is_cut_off(linked: Linked) -> None:
    for number in range(5000):
        linked.link.send(Tell(number))
    assert linked.lost == ["does not read"]


def test_an_end_for_which_its_user_keeps_a_bound_is_not_cut_off(
    linked: Linked, ends: tuple[socket.socket, socket.socket]
) -> None:
    linked.link = PacketLink(linked.reactor, ends[0], KIND, linked.received, linked.lost.append, most_waiting=None)
    for number in range(5000):
        linked.link.send(Tell(number))
    for number in range(5000):
        assert linked.there.receive()[0] == Tell(number)
        linked.link.doWrite()
    assert linked.lost == []


def test_a_closed_link_says_so_once_and_sends_no_more(linked: Linked) -> None:
    linked.link.close()
    linked.link.close()
    linked.link.send(Tell(1))
    assert linked.lost == ["closed"]
    assert linked.link.peer == (-1, -1, -1)


def test_the_kernel_says_who_is_there(linked: Linked) -> None:
    assert linked.link.peer == (os.getpid(), os.geteuid(), os.getegid())
    assert peer_of(linked.raw) == linked.link.peer
