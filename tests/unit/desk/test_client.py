"""Asking the portal, with a portal that the test plays."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from supercloud.desk.client import Desk, DeskGone
from supercloud.desk.lock_wire import Begun, EndWrite, Found, ReadLock
from supercloud.desk.wire import VERSION, Done, Hello, Message, Refusal, Refused
from supercloud.packets import Gone, Packets

ASK = ReadLock("urn:uuid:1")
NOTHING = Found((), True)
Answer = Callable[[Packets[Any], Message], None]


def answering(*answers: Message) -> Answer:
    """Answers one after the other."""
    left = list(answers)
    return lambda packets, _: packets.send(left.pop(0))


class Portal:
    """Listens in a thread; ``answer`` says what becomes of a request."""

    def __init__(self, path: Path, answer: Answer) -> None:
        path.unlink(missing_ok=True)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.bind(str(path))
        self._listening.listen(5)
        self._answer = answer
        self.connections: list[Packets[Any]] = []
        self.received: list[Message] = []
        self.greetings = 0
        self._threads = [threading.Thread(target=self._let_in)]
        self._threads[0].start()

    def _let_in(self) -> None:
        with suppress(OSError):
            while True:
                connected, _ = self._listening.accept()
                packets: Packets[Any] = Packets(connected, Hello | ReadLock | EndWrite)
                self.connections.append(packets)
                thread = threading.Thread(target=self._serve, args=(packets,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, packets: Packets[Any]) -> None:
        with suppress(Gone, OSError, IndexError):
            while True:
                message, descriptors = packets.receive()
                for descriptor in descriptors:
                    os.close(descriptor)
                if isinstance(message, Hello):
                    assert message.version == VERSION
                    self.greetings += 1
                else:
                    self.received.append(message)
                    self._answer(packets, message)

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        for packets in self.connections:
            with suppress(OSError):
                packets.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listening.close()
        for packets in self.connections:
            packets.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "portal.sock"


@pytest.fixture
def portal(path: Path) -> Iterator[Callable[..., Portal]]:
    made: list[Portal] = []

    def start(*answers: Message, answer: Answer | None = None) -> Portal:
        made.append(Portal(path, answer or answering(*answers)))
        return made[-1]

    yield start
    for one in made:
        with suppress(OSError):
            one.stop()


@pytest.fixture
def desk(path: Path) -> Iterator[Desk]:
    made = Desk(str(path), deadline=5)
    yield made
    made.close()


def test_a_thread_greets_once_and_asks_many_times(portal: Callable[..., Portal], desk: Desk) -> None:
    served = portal(NOTHING, NOTHING)

    assert desk.ask(ASK, Found) == desk.ask(ASK, Found) == NOTHING
    assert (served.greetings, served.received) == (1, [ASK, ASK])


def test_every_thread_has_a_connection_of_its_own(portal: Callable[..., Portal], desk: Desk) -> None:
    served = portal(NOTHING, NOTHING)
    desk.ask(ASK, Found)
    thread = threading.Thread(target=lambda: desk.ask(ASK, Found))
    thread.start()
    thread.join()

    assert served.greetings == 2


def test_a_refusal_is_raised_and_the_connection_goes_on(portal: Callable[..., Portal], desk: Desk) -> None:
    served = portal(Refused("not-yours", "why"), NOTHING)

    with pytest.raises(Refusal) as caught:
        desk.ask(ASK, Found)
    assert (caught.value.code, caught.value.reason) == ("not-yours", "why")
    assert desk.ask(ASK, Found) == NOTHING
    assert served.greetings == 1


def test_without_a_portal_it_is_gone(desk: Desk) -> None:
    with pytest.raises(DeskGone):
        desk.ask(ASK, Found)


def test_a_portal_that_was_restarted_is_asked_again(portal: Callable[..., Portal], desk: Desk) -> None:
    first = portal(NOTHING)
    desk.ask(ASK, Found)
    first.stop()
    again = portal(NOTHING)

    assert desk.ask(ASK, Found) == NOTHING
    assert again.received == [ASK]


def test_what_may_have_been_done_is_not_asked_twice(portal: Callable[..., Portal], desk: Desk) -> None:
    served = portal(answer=lambda packets, _: packets.socket.shutdown(socket.SHUT_RDWR))

    with pytest.raises(DeskGone):
        desk.ask(EndWrite(1), Done)
    assert served.received == [EndWrite(1)]


def test_a_portal_that_does_not_answer_is_given_up(portal: Callable[..., Portal], path: Path) -> None:
    portal(answer=lambda *_: None)
    desk = Desk(str(path), deadline=0.05)

    with pytest.raises(DeskGone):
        desk.ask(ASK, Found)


def test_a_late_answer_is_not_taken_for_the_next_ones(portal: Callable[..., Portal], path: Path) -> None:
    waiting: list[Packets[Any]] = []
    served = portal(answer=lambda packets, _: waiting.append(packets) if not waiting else packets.send(NOTHING))
    desk = Desk(str(path), deadline=0.2)
    with pytest.raises(DeskGone):
        desk.ask(ASK, Found)
    with suppress(Gone):
        waiting[0].send(Found((), False))

    assert desk.ask(ASK, Found) == NOTHING
    assert served.greetings == 2
    desk.close()


@pytest.mark.parametrize("answer", [Done(), Begun(1, (1, 2, 3), False)])  # type: ignore[arg-type]
def test_an_answer_of_another_kind_is_none(portal: Callable[..., Portal], desk: Desk, answer: Message) -> None:
    portal(answer)

    with pytest.raises(DeskGone):
        desk.ask(ASK, Found)


@pytest.mark.parametrize("data", [b"\xff", msgspec.msgpack.encode({"type": "found"})])
def test_what_is_no_answer_is_none(portal: Callable[..., Portal], desk: Desk, data: bytes) -> None:
    portal(answer=lambda packets, _: packets.socket.send(data))

    with pytest.raises(DeskGone):
        desk.ask(ASK, Found)


def test_descriptors_with_an_answer_are_not_kept(portal: Callable[..., Portal], desk: Desk) -> None:
    portal(answer=lambda packets, _: packets.send(NOTHING, [0]))

    with pytest.raises(DeskGone, match="descriptors"):
        desk.ask(ASK, Found)


def test_a_portal_of_another_version_is_gone(portal: Callable[..., Portal], desk: Desk) -> None:
    portal(Refused("version", "the portal speaks version 2"))

    with pytest.raises(DeskGone, match="version 2"):
        desk.ask(ASK, Found)


def test_the_descriptor_that_is_shown_stays_open(portal: Callable[..., Portal], desk: Desk, tmp_path: Path) -> None:
    portal(NOTHING)
    with (tmp_path / "file").open("wb") as file:
        desk.ask(ASK, Found, descriptors=(file.fileno(),))
        assert os.fstat(file.fileno())
