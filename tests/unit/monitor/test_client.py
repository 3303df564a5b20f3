"""The front's client, with a monitor that the test plays."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Coroutine, Iterator
from typing import Any, NoReturn, TypeVar

import msgspec
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from supercloud.errors import Busy, NoWorker, Undecided
from supercloud.monitor.client import (
    ACCOUNT_WITHIN,
    AT_ONCE,
    FORWARD_WITHIN,
    HOLDERS_WITHIN,
    OF_ONE,
    OF_ONE_WAITING,
    PASSWORD_WITHIN,
    PASSWORDS,
    PASSWORDS_WAITING,
    WORKER_WITHIN,
    Monitor,
)
from supercloud.monitor.wire import (
    AccountRead,
    CheckPassword,
    FindForward,
    ForwardRead,
    Holder,
    HoldersRead,
    PasswordChecked,
    ReadAccount,
    ReadForward,
    ReadHolders,
    Request,
    StartWorker,
    StopWorker,
    WorkerEnded,
    WorkerRefused,
    WorkerStarted,
)
from supercloud.packets import Gone, Packets
from supercloud.target import Reservation
from tests.fakes.awaiting import run

T = TypeVar("T")


class FakeReactor(Clock):
    """A clock that stands still, and descriptors that are read when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def addWriter(self, writer: Any) -> None:
        pass

    def removeWriter(self, writer: Any) -> None:
        pass


class Site:
    def __init__(self) -> None:
        self.reactor = FakeReactor()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.theirs: Packets[Request] = Packets(theirs, Request)
        self.ended: list[tuple[int, str]] = []
        self.lost: list[str] = []
        self.monitor = Monitor(self.reactor, ours, lambda *what: self.ended.append(what), self.lost.append)

    def ask(self, coroutine: Coroutine[Any, Any, T]) -> list[T | Failure]:
        got: list[T | Failure] = []
        Deferred.fromCoroutine(coroutine).addBoth(got.append)
        return got

    def asked(self) -> Request:
        request, descriptors = self.theirs.receive()
        assert descriptors == []
        return request

    def answer(self, answer: msgspec.Struct, *descriptors: int) -> None:
        self.theirs.send(answer, descriptors)
        self.turn()

    def turn(self) -> None:
        for reader in list(self.reactor.readers):
            reader.doRead()

    def close(self) -> None:
        self.monitor.close()
        self.theirs.close()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()
    assert made.reactor.getDelayedCalls() == []


def error_of(got: list[Any]) -> BaseException:
    [failure] = got
    assert isinstance(failure, Failure)
    return failure.value


def test_a_password_goes_by_a_pipe_and_not_by_the_message(site: Site) -> None:
    got = site.ask(site.monitor.check_password("alice", b"right", "192.0.2.7"))
    data, [reading], _, _ = socket.recv_fds(site.theirs.socket, 65536, 4)
    assert b"right" not in data
    request = msgspec.msgpack.decode(data, type=Request)
    assert request == CheckPassword(1, "alice", "192.0.2.7")
    assert (os.read(reading, 2000), os.read(reading, 1)) == (b"right", b"")  # the writing end is closed
    os.close(reading)
    site.answer(PasswordChecked(1, "expired"))
    assert got == ["expired"]


def test_no_end_of_the_pipe_stays_open_here(site: Site) -> None:
    before = len(os.listdir("/proc/self/fd"))
    site.ask(site.monitor.check_password("alice", b"x" * 1024, "192.0.2.7"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_very_many_passwords_at_once_wait_for_their_turn_and_end_nothing(site: Site) -> None:
    before = len(os.listdir("/proc/self/fd"))
    got = [site.ask(site.monitor.check_password(f"guess{number}", b"x", "192.0.2.7")) for number in range(500)]

    assert site.lost == []
    assert [one for one in got if one] == [["busy"]] * (500 - PASSWORDS - PASSWORDS_WAITING)
    for number in range(1, PASSWORDS + PASSWORDS_WAITING + 1):
        request, [reading] = site.theirs.receive()
        os.close(reading)
        assert request == CheckPassword(number, f"guess{number - 1}", "192.0.2.7")
        site.answer(PasswordChecked(number, "bad"))
    assert [len(one) for one in got] == [1] * 500
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("call", ["pipe2", "dup"])
def test_a_password_for_which_no_descriptor_is_left_keeps_no_place(
    site: Site, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def used_up(*_: object) -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")

    for uid in range(AT_ONCE):  # more than the socket takes: descriptors behind them are kept as copies
        site.ask(site.monitor.read_account(uid))
    with monkeypatch.context() as patched:
        patched.setattr(os, call, used_up)
        for _ in range(2 * PASSWORDS):
            assert site.ask(site.monitor.check_password("alice", b"x", "192.0.2.7")) == ["busy"]
    assert len(site.monitor._passwords) == 0
    assert not site.ask(site.monitor.check_password("alice", b"x", "192.0.2.7"))


def test_a_password_behind_very_much_else_ends_nothing(site: Site) -> None:
    for number in range(400):
        site.ask(site.monitor.read_account(number))
    site.ask(site.monitor.check_password("alice", b"right", "192.0.2.7"))
    assert site.lost == []
    for number in range(400):
        assert site.asked() == ReadAccount(number + 1, number)
        site.monitor._link.doWrite()

    _, [reading] = site.theirs.receive()
    assert os.read(reading, 100) == b"right"
    os.close(reading)


@pytest.mark.parametrize("login", ["", "x" * 257, "x" * 100_000, "a\0b", "../a", "-r", "a b", "\ud800"])
def test_a_login_that_no_account_has_does_not_end_the_monitor(site: Site, login: str) -> None:
    assert run(site.monitor.check_password(login, b"right", "192.0.2.7")) == "bad"
    with pytest.raises(BlockingIOError):
        site.theirs.receive()


@pytest.mark.parametrize("password", [b"", b"x" * 1025, b"x" * 10**6, b"right\0"])
def test_what_is_no_password_is_bad_without_asking(site: Site, password: bytes) -> None:
    assert run(site.monitor.check_password("alice", password, "192.0.2.7")) == "bad"
    with pytest.raises(BlockingIOError):
        site.theirs.receive()


@pytest.mark.parametrize("login", ["", "x" * 257, "\ud800"])
def test_a_request_that_would_end_the_monitor_is_not_sent(site: Site, login: str) -> None:
    for call in (
        site.monitor.start_worker(1001, login),
        site.monitor.read_account(-1),
        site.monitor.read_account(2**32 - 1),
        site.monitor.read_holders(0, 1),
        site.monitor.check_password("alice", b"right", "x" * 65),
    ):
        with pytest.raises(ValueError):
            run(call)
    with pytest.raises(BlockingIOError):
        site.theirs.receive()


def test_answers_may_come_in_any_order(site: Site) -> None:
    first, second = site.ask(site.monitor.read_account(1001)), site.ask(site.monitor.read_account(1002))
    assert (site.asked(), site.asked()) == (ReadAccount(1, 1001), ReadAccount(2, 1002))
    site.answer(AccountRead(2, "locked"))
    assert (first, second) == ([], ["locked"])
    site.answer(AccountRead(1, "good"))
    assert first == ["good"]


def test_a_worker_starts_ends_and_is_stopped(site: Site) -> None:
    got = site.ask(site.monitor.start_worker(1001, "alice"))
    assert site.asked() == StartWorker(1, 1001, "alice")
    started = WorkerStarted(1, 7, "/run/7.sock", 4711)
    site.answer(started)
    assert got == [started]
    site.monitor.stop_worker(7)
    assert site.asked() == StopWorker(2, 7)
    site.answer(WorkerEnded(1, 7, "stopped"))
    assert site.ended == [(7, "stopped")]


def test_a_refusal_is_an_answer(site: Site) -> None:
    got = site.ask(site.monitor.start_worker(1001, "alice"))
    site.answer(WorkerRefused(1, "locked", "why"))
    assert got == [WorkerRefused(1, "locked", "why")]


def test_holders(site: Site) -> None:
    got = site.ask(site.monitor.read_holders(4711, 1001))
    assert site.asked() == ReadHolders(1, 4711, 1001)
    answer = HoldersRead(1, (Holder(1, 1001, 1001, (5,)),), is_complete=True)
    site.answer(answer)
    assert got == [answer]


def test_a_search_that_is_not_complete_decides_nothing(site: Site) -> None:
    got = site.ask(site.monitor.read_holders(4711, 1001))
    site.answer(HoldersRead(1, (), is_complete=False))
    assert isinstance(error_of(got), Undecided)


def test_a_forward_is_read(site: Site) -> None:
    state = Reservation(1, 2, 4, 1001, 1001, 0o700)
    got = site.ask(site.monitor.read_forward(1002, "alice-tb"))
    assert site.asked() == ReadForward(1, "alice-tb", 1002)
    answer = ForwardRead(1, "read", state, b"http://node1:8080/")
    site.answer(answer)
    assert got == [answer]
    found = site.ask(site.monitor.find_forward("alice-tb"))
    assert site.asked() == FindForward(2, "alice-tb")
    site.answer(ForwardRead(2, "found", state, None))
    assert found == [ForwardRead(2, "found", state, None)]


def test_a_forward_that_is_not_read_in_time_is_slow(site: Site) -> None:
    got = site.ask(site.monitor.read_forward(1001, "alice-tb"))
    site.reactor.advance(FORWARD_WITHIN)
    assert [one.outcome for one in got] == ["slow"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\n", "a" * 256, "é", "a\0"])
def test_a_name_that_is_no_forwards_does_not_reach_the_monitor(site: Site, name: str) -> None:
    """It would end the monitor, and so the portal."""
    with pytest.raises(ValueError):
        run(site.monitor.read_forward(1001, name))
    with pytest.raises(ValueError):
        run(site.monitor.find_forward(name))
    with pytest.raises(BlockingIOError):
        site.theirs.receive()


def test_no_answer_in_time_is_a_no(site: Site) -> None:
    password = site.ask(site.monitor.check_password("alice", b"right", ""))
    account = site.ask(site.monitor.read_account(1001))
    worker = site.ask(site.monitor.start_worker(1001, "alice"))
    holders = site.ask(site.monitor.read_holders(4711, 1001))
    site.reactor.advance(HOLDERS_WITHIN)
    assert isinstance(error_of(holders), Undecided)
    site.reactor.advance(max(PASSWORD_WITHIN, ACCOUNT_WITHIN) - HOLDERS_WITHIN)
    assert password == ["slow"]
    assert isinstance(error_of(account), NoWorker)
    assert worker == []
    site.reactor.advance(WORKER_WITHIN)
    assert isinstance(error_of(worker), NoWorker)
    assert site.lost == []


def test_a_worker_that_starts_too_late_is_stopped_again(site: Site) -> None:
    site.ask(site.monitor.start_worker(1001, "alice"))
    site.asked()
    site.reactor.advance(WORKER_WITHIN)
    site.answer(WorkerStarted(1, 7, "/run/7.sock", 4711))
    assert site.asked() == StopWorker(2, 7)


def test_a_worker_that_nobody_waits_for_any_more_is_stopped_again(site: Site) -> None:
    waiting = Deferred.fromCoroutine(site.monitor.start_worker(1001, "alice"))
    waiting.addErrback(lambda _: None)
    site.asked()
    waiting.cancel()
    site.answer(WorkerStarted(1, 7, "/run/7.sock", 4711))
    assert site.asked() == StopWorker(2, 7)


def test_a_late_answer_is_no_answer(site: Site) -> None:
    got = site.ask(site.monitor.check_password("alice", b"right", ""))
    site.reactor.advance(PASSWORD_WITHIN)
    site.answer(PasswordChecked(1, "good"))
    assert (got, site.lost) == (["slow"], [])


def test_what_is_answered_twice_was_not_asked(site: Site) -> None:
    site.ask(site.monitor.read_account(1001))
    site.answer(AccountRead(1, "good"))
    site.answer(AccountRead(1, "locked"))
    assert site.lost == ["the monitor answered what was not asked"]


# Many at once.


def drained(site: Site) -> list[Request]:
    """All that the monitor can read now."""
    found = []
    while True:
        try:
            found.append(site.asked())
        except BlockingIOError:
            if not site.monitor._link._waiting:
                return found
            site.monitor._link.doWrite()


def test_questions_of_three_accounts_in_one_turn_do_not_end_the_portal(site: Site) -> None:
    """500 requests of each (front.per_principal): more than the kernel holds, and than a link of others' lets wait."""
    got = {
        (uid, number): site.ask(site.monitor.read_forward(uid, f"of-{uid}-{number}"))
        for uid in (1001, 1002, 1003)
        for number in range(500)
    }
    assert site.lost == []
    while waiting := drained(site):
        for request in waiting:
            site.answer(ForwardRead(request.id, "absent", None, None))
    assert site.lost == []
    assert all([one.outcome for one in answers] == ["absent"] for answers in got.values())


def test_nobody_waits_behind_all_that_another_one_asks(site: Site) -> None:
    for number in range(500):
        site.ask(site.monitor.read_forward(1001, f"alices-{number}"))
    bobs = site.ask(site.monitor.read_forward(1002, "bobs"))
    [*_, last] = asked = drained(site)
    assert len(asked) == OF_ONE + 1
    site.answer(ForwardRead(last.id, "absent", None, None))
    assert len(bobs) == 1


def test_whose_line_is_full_is_told_what_to_do(site: Site) -> None:
    got = [site.ask(site.monitor.read_forward(1001, "x")) for _ in range(OF_ONE + OF_ONE_WAITING + 1)]
    error = error_of(got[-1])
    assert isinstance(error, Busy)
    assert "Send fewer at once" in error.public
    assert site.ask(site.monitor.read_forward(1002, "x")) == []


def test_a_monitor_that_stands_still_is_asked_no_more_than_its_places(site: Site) -> None:
    """Whoever gives up waiting leaves its place taken: the monitor has not answered yet."""
    for _ in range(20):
        for uid in range(1000, 1100):
            Deferred.fromCoroutine(site.monitor.read_forward(uid, "x")).addErrback(lambda _: None).cancel()
            site.ask(site.monitor.read_forward(uid, "x"))
        site.reactor.advance(FORWARD_WITHIN)
    assert len(site.monitor._asked) == AT_ONCE
    waiting = site.ask(site.monitor.read_account(1001))
    for request in drained(site):
        site.answer(
            AccountRead(request.id, "good")
            if isinstance(request, ReadAccount)
            else ForwardRead(request.id, "absent", None, None)
        )
    assert waiting == ["good"]
    assert site.lost == []


def test_who_waits_for_a_turn_hears_that_the_monitor_is_gone(site: Site) -> None:
    got = [site.ask(site.monitor.read_forward(1001, "x")) for _ in range(OF_ONE + 50)]
    site.theirs.socket.close()
    site.turn()
    assert all(isinstance(error_of(one), NoWorker) for one in got)


def test_a_worker_is_told_to_stop_once(site: Site) -> None:
    for _ in range(3):
        site.monitor.stop_worker(7)
    assert site.asked() == StopWorker(1, 7)
    with pytest.raises(BlockingIOError):
        site.theirs.receive()


def test_when_the_monitor_is_killed_everything_is_lost(site: Site) -> None:
    password = site.ask(site.monitor.check_password("alice", b"right", ""))
    account = site.ask(site.monitor.read_account(1001))
    site.theirs.socket.close()
    site.turn()
    assert isinstance(error_of(password), NoWorker)
    assert isinstance(error_of(account), NoWorker)
    assert site.lost == ["gone"]
    with pytest.raises(NoWorker):
        run(site.monitor.read_account(1001))


def test_a_request_that_finds_the_monitor_gone_says_so(site: Site) -> None:
    site.theirs.socket.close()
    assert isinstance(error_of(site.ask(site.monitor.check_password("alice", b"right", ""))), NoWorker)
    assert site.lost == ["gone"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (AccountRead(2, "good"), "what was not asked"),
        (PasswordChecked(1, "good"), "something else"),
        (WorkerStarted(1, 1, "/x", 1), "something else"),
        (ReadAccount(1, 1001), "garbled"),
    ],
)
def test_a_monitor_that_says_what_it_must_not_is_lost(site: Site, answer: msgspec.Struct, why: str) -> None:
    got = site.ask(site.monitor.read_account(1001))
    site.answer(answer)
    assert isinstance(error_of(got), NoWorker)
    [lost] = site.lost
    assert why in lost


def test_a_monitor_that_sends_a_descriptor_is_lost(site: Site) -> None:
    got = site.ask(site.monitor.read_account(1001))
    reading, writing = os.pipe()
    site.answer(AccountRead(1, "good"), reading)
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        os.write(writing, b"x")
    os.close(writing)
    assert isinstance(error_of(got), NoWorker)
    assert len(site.lost) == 1


def test_closing_it_ends_the_monitor_and_is_no_loss(site: Site) -> None:
    got = site.ask(site.monitor.read_account(1001))
    site.asked()
    site.monitor.close()
    assert isinstance(error_of(got), NoWorker)
    assert site.lost == []
    with pytest.raises(Gone):
        site.theirs.receive()
