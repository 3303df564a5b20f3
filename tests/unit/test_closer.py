"""Being rid of other accounts' descriptors without waiting for what they make one wait for."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from supercloud import closer as module
from supercloud.closer import MOST, MOST_PROCESSES, Closer, take_descriptors

EVIL, OTHER = 1001, 1002


class Lingerings:
    """Sockets whose closing waits, as their peers read nothing, until this is left."""

    def __init__(self) -> None:
        self._peers: list[socket.socket] = []

    def make(self) -> int:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            made = socket.create_connection(listening.getsockname())
            self._peers.append(listening.accept()[0])
        made.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                made.send(bytes(65536))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
        return made.detach()

    def end(self) -> None:
        for peer in self._peers:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()


@pytest.fixture
def lingering() -> Iterator[Callable[[], int]]:
    made = Lingerings()
    yield made.make
    made.end()


def eventually(is_true: Callable[[], bool]) -> bool:
    ends = time.monotonic() + 10
    while not is_true() and time.monotonic() < ends:
        time.sleep(0.005)
    return is_true()


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def test_the_thread_that_closes_ends_when_nothing_more_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE", 0.01)
    made = Closer()
    made.close(7, [])
    assert made._queues == {}
    made.close(7, [987654, os.dup(0)])

    assert eventually(lambda: made._queues == {})


def test_one_accounts_slow_descriptors_hold_up_no_other_accounts(lingering: Callable[[], int]) -> None:
    made, theirs, his = Closer(), os.dup(0), os.dup(0)
    made.close(EVIL, [lingering(), theirs])
    made.close(OTHER, [his])
    assert eventually(lambda: not is_open(his))
    assert is_open(theirs)


def test_beyond_the_bound_a_process_takes_over_what_waits(lingering: Callable[[], int]) -> None:
    made = Closer()
    made.close(EVIL, [lingering()])
    assert eventually(lambda: made._queues[EVIL].qsize() == 0)
    waiting = [lingering(), *(os.dup(0) for _ in range(MOST))]
    made.close(EVIL, waiting)
    assert not any(is_open(descriptor) for descriptor in waiting)
    [pid] = made._processes[EVIL]
    assert eventually(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None)
    assert module._is_over(pid)
    assert module._is_over(pid), "also when somebody else has waited for it"


def test_without_room_for_a_process_it_goes_on_waiting(
    lingering: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Closer()
    monkeypatch.setattr(module, "_ENDS_WITH_ITS_INPUT", "/none")
    made.close(EVIL, [lingering()])
    assert eventually(lambda: made._queues[EVIL].qsize() == 0)
    made.close(EVIL, [os.dup(0) for _ in range(MOST + 1)])
    assert made._queues[EVIL].qsize() == MOST + 1
    monkeypatch.setattr(module, "_is_over", lambda _: False)
    made._processes[EVIL] = [1] * MOST_PROCESSES
    made.close(EVIL, [os.dup(0)])
    assert made._queues[EVIL].qsize() == MOST + 2
    assert made.is_behind(EVIL)
    assert not made.is_behind(OTHER)


@pytest.mark.parametrize("messages", [[], [b"x"], [b"", b""], [b"", b"x", b"y" * 1000]])
def test_a_connection_without_descriptors_is_closed_at_once(messages: list[bytes]) -> None:
    made = Closer()
    ours, theirs = pair()
    for message in messages:
        theirs.send(message)
    made.end(EVIL, ours)
    assert made._queues == {}
    assert theirs.recv(10) == b"", "the end, and no reset"
    theirs.close()


@pytest.mark.parametrize("before", [[], [b""], [b"x"] * 8, [b""] * 9])
def test_one_that_holds_some_is_closed_in_a_thread(lingering: Callable[[], int], before: list[bytes]) -> None:
    made = Closer()
    ours, theirs = pair()
    given = lingering()
    for message in before:
        theirs.send(message)
    socket.send_fds(theirs, [b"x"], [given])
    os.close(given)
    began = time.monotonic()
    made.end(EVIL, ours)
    assert time.monotonic() - began < 5
    assert EVIL in made._queues
    theirs.close()


def test_where_the_kernel_can_descriptors_are_refused_to_the_sender() -> None:
    ours, theirs = pair()
    take_descriptors(ours, False)
    try:
        socket.send_fds(theirs, [b"x"], [0])
    except PermissionError:
        take_descriptors(ours, True)
        socket.send_fds(theirs, [b"x"], [0])
    else:
        pytest.skip("this kernel is older than 6.16")
    finally:
        ours.close()
        theirs.close()
