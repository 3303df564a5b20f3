"""Who connects to the portal's own socket, and what they get."""

from __future__ import annotations

import os
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import LogEvent
from zope.interface.verify import verifyObject

from supercloud import closer
from supercloud.desk import service
from supercloud.desk.client import Desk as Client
from supercloud.desk.service import MOST_UNREAD, Asker, Desk, peer_groups
from supercloud.desk.wire import VERSION, Done, Hello, Message, Refusal, Refused
from supercloud.errors import Busy
from supercloud.packets import Gone, Packets, send
from tests.fakes.reactor import TurnedReactor


class Ask(Message, frozen=True, tag="test-ask"):
    text: str


class Told(Message, frozen=True, tag="test-told"):
    text: str


class Site:
    """A desk that answers `Ask` as the test says, and programs that connect to it."""

    def __init__(self, path: Path, **limits: int) -> None:
        self.reactor = TurnedReactor()
        self.answer: Callable[[Asker, Ask, Sequence[int]], Any] = lambda asker, ask, _: Told(f"{asker.uid}:{ask.text}")
        self.desk = Desk(self.reactor, str(path), {Ask: lambda *given: self.answer(*given)}, **limits)
        self.path = path
        self.desk.start()
        self.programs: list[Packets[Any]] = []

    def connect(self, *, greets: bool = True) -> Packets[Any]:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        made.connect(str(self.path))
        made.settimeout(5)
        program: Packets[Any] = Packets(made, Told | Refused | Done)
        self.programs.append(program)
        if greets:
            program.send(Hello(VERSION))
        self.reactor.settle()
        return program

    def ask(self, program: Packets[Any], text: str = "x", descriptors: Sequence[int] = ()) -> Any:
        program.send(Ask(text), descriptors)
        self.reactor.settle()
        return program.receive()[0]

    def is_open(self, program: Packets[Any]) -> bool:
        program.socket.setblocking(False)
        try:
            while True:  # some are told why first
                program.receive()
        except BlockingIOError:
            return True
        except Gone:
            return False
        finally:
            program.socket.settimeout(5)
        return True

    def close(self) -> None:
        self.desk.stop()
        for program in self.programs:
            program.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "portal.sock")
    yield made
    made.close()


def test_it_is_what_the_reactor_reads(site: Site) -> None:
    assert verifyObject(IReadDescriptor, site.desk)
    assert site.desk.logPrefix() == "desk"
    site.desk.connectionLost(None)  # type: ignore[arg-type]
    assert site.desk.fileno() == -1


def test_who_asks_is_what_the_kernel_says(site: Site) -> None:
    assert site.ask(site.connect()) == Told(f"{os.getuid()}:x")


def test_everybody_may_connect(site: Site) -> None:
    assert stat.S_IMODE(site.path.stat().st_mode) == 0o666


def test_groups_come_with_who_connects(site: Site) -> None:
    site.answer = lambda asker, ask, _: Told(",".join(map(str, sorted(asker.groups))))

    assert site.ask(site.connect()) == Told(",".join(map(str, sorted({*os.getgroups(), os.getgid()}))))


def test_many_groups_are_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = socket.socketpair()
    with here, there:
        assert peer_groups(here) == frozenset(os.getgroups())
    with pytest.raises(OSError, match="descriptor"):
        peer_groups(here)


def test_requests_of_one_program_are_answered_in_their_order(site: Site) -> None:
    waiting: list[Deferred[Message]] = [Deferred(), Deferred()]
    given = iter(waiting)
    site.answer = lambda *_: next(given)
    program = site.connect()
    program.send(Ask("a"))
    program.send(Ask("b"))
    site.reactor.settle()

    waiting[0].callback(Told("a"))
    waiting[1].callback(Told("b"))

    assert [program.receive()[0] for _ in range(2)] == [Told("a"), Told("b")]


def test_who_asks_without_waiting_for_answers_is_cut_off(site: Site) -> None:
    site.answer = lambda *_: Deferred()
    program = site.connect()
    for _ in range(3):
        program.send(Ask("x"))
    site.reactor.settle()

    assert not site.is_open(program)


def test_who_does_not_read_answers_is_cut_off(site: Site) -> None:
    site.answer = lambda *_: Told("x" * 60_000)
    program = site.connect()
    program.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10**6)
    asked = 0
    try:
        while asked < 3 * MOST_UNREAD // 60_000 + 3:
            program.send(Ask("x"))
            site.reactor.settle()
            asked += 1
    except Gone:
        pass

    assert asked < 3 * MOST_UNREAD // 60_000 + 3


@pytest.mark.parametrize("first", [Ask("x"), Hello(VERSION + 1)])
def test_who_does_not_greet_or_speaks_another_version_is_sent_away(site: Site, first: Message) -> None:
    program = site.connect(greets=False)
    program.send(first)
    site.reactor.settle()

    if isinstance(first, Hello):
        assert program.receive()[0].code == "version"
    assert not site.is_open(program)


@pytest.mark.parametrize("data", [b"\xff", msgspec.msgpack.encode({"type": "acquire-everything"}), b"x" * 70_000])
def test_what_is_no_request_ends_the_connection(site: Site, data: bytes) -> None:
    program = site.connect()
    program.socket.send(data)
    site.reactor.settle()

    assert not site.is_open(program)
    assert site.ask(site.connect())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def eventually(is_so: Callable[[], bool]) -> bool:
    """Whether it comes about, in a thread."""
    ends = time.monotonic() + 10
    while not (is_there := is_so()) and time.monotonic() < ends:
        time.sleep(0.005)
    return is_there


def comes_down_to(count: int) -> bool:
    return eventually(lambda: descriptors() <= count)


def test_descriptors_are_closed_after_the_answer_and_never_before(site: Site) -> None:
    waiting: Deferred[Message] = Deferred()
    came: list[int] = []
    site.answer = lambda _asker, _ask, given: (came.extend(given), waiting)[1]
    program = site.connect()
    before = descriptors()
    program.send(Ask("x"), [0])
    site.reactor.settle()
    assert os.fstat(came[0])

    waiting.callback(Done())
    assert comes_down_to(before)


def test_descriptors_of_what_is_never_answered_are_closed_too(site: Site) -> None:
    site.answer = lambda *_: Deferred()
    program = site.connect()
    before = descriptors()
    program.send(Ask("x"))
    program.send(Ask("x"), [0])
    site.reactor.settle()
    assert descriptors() == before + 1
    site.desk.stop()

    assert comes_down_to(before)


def test_an_answer_to_who_has_left_goes_nowhere(site: Site, logged: list[LogEvent]) -> None:
    waiting: Deferred[Message] = Deferred()
    site.answer = lambda *_: waiting
    program = site.connect()
    program.send(Ask("x"))
    site.reactor.settle()
    program.close()
    site.reactor.settle()

    waiting.callback(Done())
    assert not [event for event in logged if "log_failure" in event]


@pytest.mark.parametrize(
    ("error", "code"),
    [(Refusal("not-yours", "why"), "not-yours"), (Busy("full"), "busy"), (ValueError("inner"), "failed")],
)
def test_what_goes_wrong_is_told_by_a_code(site: Site, error: Exception, code: str, logged: list[LogEvent]) -> None:
    def fail(*_: object) -> Message:
        raise error

    site.answer = fail
    answer = site.ask(site.connect())

    assert answer.code == code
    assert "inner" not in answer.reason
    assert bool([event for event in logged if "log_failure" in event]) is (code == "failed")


def test_an_answer_that_is_too_long_is_a_failure_and_not_the_end(site: Site, logged: list[LogEvent]) -> None:
    site.answer = lambda *_: Told("x" * 70_000)
    program = site.connect()
    assert site.ask(program) == Refused("failed")
    site.answer = lambda *_: Told("fine")
    assert site.ask(program) == Told("fine")


def test_one_account_cannot_take_all_connections(tmp_path: Path) -> None:
    site = Site(tmp_path / "portal.sock", per_uid=2)
    first, second, third = (site.connect() for _ in range(3))

    assert [site.is_open(one) for one in (first, second, third)] == [True, True, False]
    first.close()
    site.reactor.settle()
    assert site.is_open(site.connect())
    site.close()


def test_all_accounts_together_have_a_bound(tmp_path: Path) -> None:
    site = Site(tmp_path / "portal.sock", in_all=1)

    assert [site.is_open(site.connect()) for _ in range(2)] == [True, False]
    site.close()


def test_who_leaves_is_told_to_whoever_wants_to_know_once(site: Site) -> None:
    gone: list[Asker] = []

    def answer(asker: Asker, *_: object) -> Message:
        asker.at_end(gone.append)
        asker.at_end(gone.append)
        return Done()

    site.answer = answer
    program = site.connect()
    site.ask(program)
    assert gone == []
    program.close()
    site.reactor.settle()
    assert len(gone) == 1
    gone[0].at_end(gone.append)
    assert len(gone) == 2


def test_used_up_descriptors_are_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, listening: socket.socket) -> None:
            self._listening = listening

        def accept(self) -> Any:
            raise OSError(24, "Too many open files")

        def __getattr__(self, name: str) -> Any:
            return getattr(self._listening, name)

    listening = site.desk._socket
    monkeypatch.setattr(site.desk, "_socket", Full(listening))  # type: ignore[arg-type]
    program = site.connect()
    assert site.desk not in site.reactor.readers
    monkeypatch.setattr(site.desk, "_socket", listening)
    site.reactor.advance(service._PAUSE)
    site.reactor.settle()

    assert site.ask(program)


def test_an_old_socket_goes_and_anything_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "portal.sock"
    first = Site(path)
    first.close()
    again = Site(path)
    assert again.ask(again.connect())
    again.close()

    path.unlink()
    path.write_text("a file of somebody's")
    with pytest.raises(FileExistsError):
        Desk(TurnedReactor(), str(path), {}).bind()
    assert path.read_text() == "a file of somebody's"


def test_before_it_starts_nobody_gets_in(tmp_path: Path) -> None:
    desk = Desk(TurnedReactor(), str(tmp_path / "portal.sock"), {Ask: lambda *_: Done()})
    desk.bind()
    program = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    with program, pytest.raises(ConnectionRefusedError):
        program.connect(str(tmp_path / "portal.sock"))
    desk.start()
    desk.stop()


def test_a_stopped_desk_ends_all_connections(site: Site) -> None:
    program = site.connect()
    site.desk.stop()

    assert not site.is_open(program)


def test_a_program_that_only_sends_descriptors_leaves_none(site: Site) -> None:
    before = descriptors()
    program = site.connect()
    send(program.socket, msgspec.msgpack.encode(Hello(VERSION)), [0, 0, 0, 0])
    site.reactor.settle()
    program.close()
    site.reactor.settle()

    assert comes_down_to(before + 1)


class Lingering:
    """A socket whose closing waits, as its peer reads nothing, until this is left."""

    def __enter__(self) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        made = socket.create_connection(listening.getsockname())
        self._peer, _ = listening.accept()
        listening.close()
        made.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                made.send(bytes(65536))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
        return made.detach()

    def __exit__(self, *_: object) -> None:
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._peer.close()


def asked(site: Site, program: Packets[Any], given: int) -> None:
    program.send(Ask("x"), [given])
    os.close(given)


def without_greeting(site: Site, _program: Packets[Any], given: int) -> None:
    asked(site, site.connect(greets=False), given)


def garbled(site: Site, program: Packets[Any], given: int) -> None:
    socket.send_fds(program.socket, [b"\xc1"], [given])
    os.close(given)


def too_many(site: Site, program: Packets[Any], given: int) -> None:
    socket.send_fds(program.socket, [msgspec.msgpack.encode(Ask("x"))], [0] * 100 + [given])
    os.close(given)


def unread(site: Site, program: Packets[Any], given: int) -> None:
    program.socket.send(b"\xc1")
    asked(site, program, given)


def one_connection_too_many(site: Site, _program: Packets[Any], given: int) -> None:
    while len(site.desk._connections) < service.PER_UID:
        site.connect()
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.connect(str(site.path))
    try:
        asked(site, Packets(made, Told), given)
    except PermissionError:  # of a kernel that takes none before one is let in
        kept = socket.socket(fileno=given)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        kept.close()
    made.close()


@pytest.mark.parametrize("attack", [asked, without_greeting, garbled, too_many, unread, one_connection_too_many])
def test_what_is_slow_to_close_holds_up_nobody(site: Site, attack: Callable[..., None]) -> None:
    program, other = site.connect(), site.connect()
    with Lingering() as given:
        began = time.monotonic()
        attack(site, program, given)
        site.reactor.settle()
        assert site.ask(other, "other") == Told(f"{os.getuid()}:other")
        assert time.monotonic() - began < 5


def test_whose_descriptors_are_slow_to_close_is_let_in_no_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closer, "PER_ACCOUNT", 2)
    program = site.connect()
    with Lingering() as given:
        asked(site, program, given)
        site.reactor.settle()
        program.receive()
        while not site.desk.closer.is_behind(os.getuid()):
            site.ask(program, descriptors=[0])

        program.send(Ask("x"), [0])
        site.reactor.settle()
        assert not site.is_open(program)
        assert not site.is_open(site.connect())
    assert eventually(lambda: not site.desk.closer.is_behind(os.getuid()))
    assert site.ask(site.connect())


@pytest.fixture(params=["refuses", "passes"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One that refuses descriptors to who is not let in (6.16), and one before."""
    if request.param == "passes":
        monkeypatch.setattr(closer, "_PASS_RIGHTS", 0x7FFF)
    return str(request.param)


def test_a_lingering_socket_and_a_thousand_connections_keep_nobody_else_out(
    kernel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the attacker's that is to be closed waits behind one socket that lingers for a minute."""
    uids = [1001]
    monkeypatch.setattr(service, "peer_of", lambda _: (1, uids[0], uids[0]))
    site = Site(tmp_path / "portal.sock")
    attacker = site.connect()
    sent = 0
    with Lingering() as given:
        asked(site, attacker, given)
        site.reactor.settle()
        for _ in range(service.PER_UID - 1):
            site.connect()
        for _ in range(1_130):
            made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            made.connect(str(site.path))
            with suppress(PermissionError):
                socket.send_fds(made, [b"x"], [0])
                sent += 1
            made.close()
            site.reactor.turn()
        site.reactor.settle()
        before = descriptors()
        uids[0] = 1002
        began = time.monotonic()
        assert site.ask(site.connect()) == Told("1002:x")
        assert time.monotonic() - began < 5
        assert sent == (1_130 if kernel == "passes" else 0)
        assert before < closer.MOST + 3 * service.PER_UID
    site.close()


def test_who_has_too_many_connections_is_told_so(tmp_path: Path) -> None:
    site = Site(tmp_path / "portal.sock", per_uid=1)
    site.connect()
    asking = Client(str(site.path))
    with pytest.raises(Refusal, match="too many connections"):
        site.reactor.turn_while(lambda: asking.ask(Ask("x"), Told))
    asking.close()
    site.close()


def test_a_descriptor_that_comes_before_one_is_let_in_is_taken_afterwards(site: Site) -> None:
    asking = Client(str(site.path))
    assert site.reactor.turn_while(lambda: asking.ask(Ask("x"), Told, descriptors=[0])) == Told(f"{os.getuid()}:x")
    asking.close()
