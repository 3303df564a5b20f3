from __future__ import annotations

import os
import socket
import stat
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from supercloud.closer import Closer
from supercloud.ident2.seqpacket import PacketConnection, PacketPort, SocketTaken, connect


class Pair:
    """A served connection and its other side."""

    def __init__(self, reactor: Any) -> None:
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.heard: list[bytes] = []
        self.losses = 0
        self.connection = PacketConnection(reactor, ours, Closer())
        self.connection.start(self.heard.append, self.lost)

    def lost(self) -> None:
        self.losses += 1


@pytest.fixture
def pair(reactor: Any) -> Any:
    made = Pair(reactor)
    yield made
    made.connection.close()
    made.theirs.close()


def test_messages_stay_apart(reactor: Any, pair: Pair) -> None:
    pair.theirs.send(b"one")
    pair.theirs.send(b"two")
    reactor.turn()
    assert pair.heard == [b"one", b"two"]
    pair.connection.send(b"three")
    pair.connection.send(b"four")
    assert (pair.theirs.recv(100), pair.theirs.recv(100)) == (b"three", b"four")


def test_the_end_is_told_once(reactor: Any, pair: Pair) -> None:
    pair.theirs.close()
    reactor.turn()
    pair.connection.close()
    pair.connection.connectionLost(Failure(OSError()))
    assert (pair.losses, pair.connection.fileno(), reactor.readers) == (1, -1, set())


def test_nothing_is_sent_after_the_end(pair: Pair) -> None:
    pair.connection.close()
    pair.connection.send(b"late")
    assert pair.theirs.recv(100) == b""


def test_who_does_not_read_is_cut_off(pair: Pair) -> None:
    for _ in range(10_000):
        pair.connection.send(b"x" * 1000)
    assert pair.losses == 1


def test_a_connection_that_is_closed_by_a_message_reads_no_more(reactor: Any, pair: Pair) -> None:
    pair.connection.start(lambda data: pair.connection.close(), pair.lost)
    pair.theirs.send(b"one")
    pair.theirs.send(b"two")
    reactor.turn()
    assert (pair.losses, pair.heard) == (1, [])


def test_they_are_what_the_reactor_reads(reactor: Any, pair: Pair, tmp_path: Path) -> None:
    port = PacketPort(reactor, str(tmp_path / "s"), lambda connection: None, gid=None)
    for each in (pair.connection, port):
        assert verifyObject(IReadDescriptor, each)
        assert each.logPrefix() == "ident2"
    port.connectionLost(Failure(OSError()))
    assert port.fileno() == -1


def test_the_path_is_for_its_group_only(reactor: Any, tmp_path: Path) -> None:
    path = tmp_path / "s"
    gid = os.getegid()
    port = PacketPort(reactor, str(path), lambda connection: None, gid=gid)
    status = path.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o770, gid)
    port.close()
    assert not path.exists()


def test_connections_are_accepted(reactor: Any, tmp_path: Path) -> None:
    accepted: list[PacketConnection] = []
    port = PacketPort(reactor, str(tmp_path / "s"), accepted.append, gid=None)
    port.start()
    first, second = connect(str(tmp_path / "s")), connect(str(tmp_path / "s"))
    reactor.turn()
    assert len(accepted) == 2
    for each in (*accepted, first, second, port):
        each.close()


def test_a_path_where_somebody_listens_is_left_alone(reactor: Any, tmp_path: Path) -> None:
    port = PacketPort(reactor, str(tmp_path / "s"), lambda connection: None, gid=None)
    with pytest.raises(SocketTaken):
        PacketPort(reactor, str(tmp_path / "s"), lambda connection: None, gid=None)
    connect(str(tmp_path / "s")).close()
    port.close()


def test_a_path_that_was_left_behind_is_used_again(reactor: Any, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(tmp_path / "s"))
    PacketPort(reactor, str(tmp_path / "s"), lambda connection: None, gid=None).close()


def test_a_file_on_the_path_is_not_removed(reactor: Any, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(OSError, match="in use"):
        PacketPort(reactor, str(tmp_path / "s"), lambda connection: None, gid=None)
    assert (tmp_path / "s").read_text() == "mine"


def test_another_ones_socket_is_not_removed_at_the_end(reactor: Any, tmp_path: Path) -> None:
    path = tmp_path / "s"
    port = PacketPort(reactor, str(path), lambda connection: None, gid=None)
    path.unlink()
    path.write_text("not ours")
    port.close()
    assert path.exists()
    gone = PacketPort(reactor, str(tmp_path / "t"), lambda connection: None, gid=None)
    (tmp_path / "t").unlink()
    gone.close()


def test_a_reset_is_an_end_like_any_other(reactor: Any, pair: Pair) -> None:
    pair.connection.send(b"never read")
    pair.theirs.close()
    reactor.turn()
    assert pair.losses == 1


class Slow:
    """A socket whose closing waits for ten seconds."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.given = socket.create_connection(listening.getsockname())
            self.peer, _ = listening.accept()
        self.given.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self.given.send(bytes(65536))
        self.given.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 10))

    def send(self, over: socket.socket) -> None:
        """So that nobody else has it."""
        socket.send_fds(over, [b"x"], [self.given.fileno()])
        self.given.detach()

    def end(self) -> None:
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()


def close_it(pair: Pair) -> None:
    pair.connection.close()


def read_it(pair: Pair) -> None:
    pair.connection.doRead()


@pytest.mark.parametrize("act", [close_it, read_it])
def test_a_descriptor_that_is_slow_to_close_holds_up_nobody(pair: Pair, act: Callable[[Pair], None]) -> None:
    """The kernel would close it within recv or close, in the reactor's thread."""
    slow = Slow()
    leftover = slow.given.fileno()
    slow.send(pair.theirs)
    os.close(leftover)
    began = time.monotonic()
    act(pair)
    assert time.monotonic() - began < 5
    assert (pair.losses, pair.heard) == (1, [])
    slow.end()


def test_no_descriptors_are_taken_from_local_clients(reactor: Any, tmp_path: Path) -> None:
    accepted: list[PacketConnection] = []
    port = PacketPort(reactor, str(tmp_path / "s"), accepted.append, gid=None)
    port.start()
    client = connect(str(tmp_path / "s"))
    with suppress(PermissionError):  # Linux 6.16
        socket.send_fds(client, [b"x"], [0])
    reactor.turn()
    heard: list[bytes] = []
    accepted[0].start(heard.append, lambda: heard.append(b"lost"))
    client.send(b"y")
    reactor.turn()
    assert heard in ([b"y"], [b"lost"]), "a client that sent one is cut off, where the kernel lets it"
    for each in (*accepted, client, port):
        each.close()
