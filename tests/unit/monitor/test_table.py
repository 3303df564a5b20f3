"""What each request leads to, without processes: children answer when the test says so."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from supercloud.monitor.breach import Breach
from supercloud.monitor.children import Missed
from supercloud.monitor.kinds import Kinds
from supercloud.monitor.table import DESCRIPTORS, Table
from supercloud.monitor.wire import (
    AccountRead,
    AccountState,
    Answer,
    CheckPassword,
    FindForward,
    ForwardRead,
    Holder,
    HoldersRead,
    PasswordChecked,
    PasswordOutcome,
    ReadAccount,
    ReadForward,
    ReadHolders,
    Request,
    StartWorker,
    StopWorker,
)
from supercloud.packets import close_all


class FakeChildren:
    """Runs nothing."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self._done: list[Callable[[Any], object]] = []

    def ask(self, question: Request, done: Callable[[Any], object], descriptors: Sequence[int] = ()) -> None:
        close_all(descriptors)
        self.asked.append(question)
        self._done.append(done)

    def answer(self, answer: Any) -> None:
        self._done.pop()(answer)


class FakeSessions:
    def __init__(self) -> None:
        self.started: list[StartWorker] = []
        self.stopped: list[int] = []

    def start(self, request: StartWorker) -> None:
        self.started.append(request)

    def stop(self, number: int) -> None:
        self.stopped.append(number)


class Served:
    def __init__(self) -> None:
        self.passwords, self.accounts, self.searches = FakeChildren(), FakeChildren(), FakeChildren()
        self.forwards = FakeChildren()
        self.sessions = FakeSessions()
        self.answers: list[Answer] = []
        kinds = Kinds(self.passwords, self.accounts, self.searches, self.forwards)  # type: ignore[arg-type]
        self.table = Table(kinds, self.sessions, self.answers.append)


@pytest.fixture
def served() -> Served:
    return Served()


def a_pipe() -> tuple[int, int]:
    """The reading end, and its inode."""
    reading, writing = os.pipe()
    os.close(writing)
    return reading, os.fstat(reading).st_ino


def is_open(inode: int) -> bool:
    links = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            continue
    return f"pipe:[{inode}]" in links


REQUESTS: list[Request] = [
    CheckPassword(1, "alice", "192.0.2.7"),
    ReadAccount(1, 1001),
    StartWorker(1, 1001, "alice"),
    StopWorker(1, 1),
    ReadHolders(1, 4711, 0),
    FindForward(1, "alice-tb"),
    ReadForward(1, "alice-tb", 1001),
]


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_a_wrong_number_of_descriptors_is_a_breach_and_leaves_none_open(
    served: Served, request_: Request, count: int
) -> None:
    if count == DESCRIPTORS[type(request_)]:
        count += 1
    pipes = [a_pipe() for _ in range(count)]
    with pytest.raises(Breach):
        served.table.serve(request_, [reading for reading, _ in pipes])
    assert not any(is_open(inode) for _, inode in pipes)
    assert (served.answers, served.sessions.started, served.sessions.stopped) == ([], [], [])


@pytest.mark.parametrize("address", ["example.org", "192.0.2.7 ", "1", "192.0.2.7\n", "%s"])
def test_an_address_that_is_none_is_a_breach(served: Served, address: str) -> None:
    reading, inode = a_pipe()
    with pytest.raises(Breach):
        served.table.serve(CheckPassword(1, "alice", address), [reading])
    assert not is_open(inode)


@pytest.mark.parametrize("address", ["", "192.0.2.7", "2001:db8::7", "fe80::1%eth0"])
@pytest.mark.parametrize(
    ("child", "outcome"),
    [
        (PasswordChecked(1, "good"), "good"),
        (PasswordChecked(1, "locked"), "locked"),
        (Missed.FULL, "busy"),
        (Missed.SLOW, "slow"),
        (Missed.BROKEN, "broken"),
    ],
)
def test_a_check_is_answered_with_its_number(
    served: Served, address: str, child: PasswordChecked | Missed, outcome: PasswordOutcome
) -> None:
    reading, inode = a_pipe()
    served.table.serve(CheckPassword(9, "alice", address), [reading])
    assert not is_open(inode)
    served.passwords.answer(child)
    assert served.answers == [PasswordChecked(9, outcome)]


@pytest.mark.parametrize(("child", "state"), [(AccountRead(1, "good"), "good"), *[(one, "broken") for one in Missed]])
def test_an_account_is_answered_with_its_number(
    served: Served, child: AccountRead | Missed, state: AccountState
) -> None:
    served.table.serve(ReadAccount(9, 1001), [])
    served.accounts.answer(child)
    assert served.answers == [AccountRead(9, state)]


def test_a_worker_is_ordered_whose_holder_judges_the_account(served: Served) -> None:
    request = StartWorker(9, 1001, "alice")
    served.table.serve(request, [])
    assert (served.sessions.started, served.answers, served.accounts.asked) == ([request], [], [])


def test_a_worker_is_stopped_without_an_answer(served: Served) -> None:
    served.table.serve(StopWorker(9, 3), [])
    assert (served.sessions.stopped, served.answers) == ([3], [])


def test_holders_are_answered_with_their_number(served: Served) -> None:
    found = (Holder(1, 2, 3, (4,)),)
    served.table.serve(ReadHolders(9, 4711, 1001), [])
    served.searches.answer(HoldersRead(1, found, is_complete=True))
    assert served.answers == [HoldersRead(9, found, is_complete=True)]


@pytest.mark.parametrize("missed", Missed)
def test_a_search_that_failed_is_not_complete(served: Served, missed: Missed) -> None:
    served.table.serve(ReadHolders(9, 4711, 1001), [])
    served.searches.answer(missed)
    assert served.answers == [HoldersRead(9, (), is_complete=False)]


def test_a_forward_is_read_by_children_and_their_answer_is_the_answer(served: Served) -> None:
    served.table.serve(ReadForward(7, "alice-tb", 1001), [])
    assert served.forwards.asked == [ReadForward(7, "alice-tb", 1001)]
    served.forwards.answer(ForwardRead(7, "absent", None, None))
    assert served.answers == [ForwardRead(7, "absent", None, None)]
