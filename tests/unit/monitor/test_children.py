from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from supercloud.monitor.children import Children, Kind, Missed
from supercloud.monitor.loop import Loop
from supercloud.packets import Gone, Packets

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


class Question(msgspec.Struct, frozen=True):
    word: str


class Told(msgspec.Struct, frozen=True):
    text: str


class Other(msgspec.Struct, frozen=True):
    number: int


HANG, ME = Question("hang"), Question("pid")


def serve(question: Question, descriptors: list[int]) -> Told:
    """Who one is; or never."""
    for descriptor in descriptors:
        os.write(descriptor, str(os.getpid()).encode())
    if question == HANG:
        signal.pause()
    return Told(str(os.getpid()) if question == ME else question.word)


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def make(loop: Loop) -> Iterator[Callable[..., Children]]:
    """Makes children; none is left when the test ends."""
    made: list[Children] = []

    def make(
        serve: Callable[[Any, list[int]], Any] = serve,
        *,
        uses: int = 1,
        seconds: float = 10,
        most: int = 4,
        waiting: int = 0,
    ) -> Children:
        kind = Kind("sc-test", Question, Told, serve, uses)
        made.append(Children(loop, kind, seconds=seconds, most=most, waiting=waiting))
        return made[-1]

    yield make
    end = time.monotonic() + 10
    while any(one.count for one in made):
        assert time.monotonic() < end
        for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        loop.turn(0.1)


class Got(list[Any]):
    """What was answered."""

    def within(self, loop: Loop, count: int, seconds: float = 10) -> Got:
        end = time.monotonic() + seconds
        while len(self) < count:
            assert time.monotonic() < end, f"only {self}"
            loop.turn(0.1)
        return self


Make = Callable[..., Children]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_answer_comes_from_another_process(loop: Loop, make: Make) -> None:
    got = Got()
    make(lambda *_: Told(str(os.getppid()))).ask(ME, got.append)
    assert got.within(loop, 1) == [Told(str(os.getpid()))]


def test_each_question_has_a_child_of_its_own_where_it_must(loop: Loop, make: Make) -> None:
    """A password stays in the memory of nobody who sees another one."""
    got, alone = Got(), make(uses=1, most=1, waiting=2)
    for _ in range(3):
        alone.ask(ME, got.append)
    assert len({told.text for told in got.within(loop, 3)}) == 3


def test_a_child_that_may_stay_answers_the_next_question_too_until_its_uses_are_over(loop: Loop, make: Make) -> None:
    got, staying = Got(), make(uses=2, most=1, waiting=3)
    for _ in range(3):
        staying.ask(ME, got.append)
    first, second, third = (told.text for told in got.within(loop, 3))
    assert first == second != third
    staying.ask(ME, got.append)
    assert got.within(loop, 4)[3].text == third


@pytest.mark.parametrize("uses", [1, 5])
@pytest.mark.parametrize(
    "serve",
    [
        lambda *_: Other(1),
        lambda *_: os._exit(0),
        lambda *_: os.kill(os.getpid(), signal.SIGKILL),
        lambda *_: os.open("/nonexistent", os.O_RDONLY),
    ],
    ids=["another kind", "no answer", "killed", "raises"],
)
def test_a_child_without_an_answer_is_broken_and_not_asked_again(
    loop: Loop, make: Make, serve: Callable[..., Any], uses: int
) -> None:
    got, failing = Got(), make(serve, uses=uses, most=1, waiting=1)
    failing.ask(ME, got.append)
    failing.ask(ME, got.append)
    assert got.within(loop, 2) == [Missed.BROKEN, Missed.BROKEN]


def test_a_child_that_died_while_nobody_asked_is_replaced(loop: Loop, make: Make) -> None:
    got, staying = Got(), make(uses=5)
    staying.ask(ME, got.append)
    [first] = got.within(loop, 1)
    os.kill(int(first.text), signal.SIGKILL)
    while staying.count:
        loop.turn(1)
    staying.ask(ME, got.append)
    assert got.within(loop, 2)[1].text != first.text


def test_what_went_wrong_is_not_quoted(loop: Loop, make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    def fail(*_: Any) -> Told:
        raise ValueError("hunter2")

    got = Got()
    make(fail).ask(ME, got.append)
    got.within(loop, 1)
    assert capfd.readouterr().err == "supercloud monitor: a child ended by ValueError\n"


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_child_that_hangs_is_slow_and_dead_also_when_it_is_stopped(loop: Loop, make: Make, is_stopped: bool) -> None:
    pid_of, pid_to = os.pipe()
    got, hanging = Got(), make(seconds=0.3)
    hanging.ask(HANG, got.append, [pid_to])
    pid = int(os.read(pid_of, 20))
    if is_stopped:
        os.kill(pid, signal.SIGSTOP)
    assert got.within(loop, 1) == [Missed.SLOW]
    while hanging.count:
        loop.turn(1)
    assert not is_alive(pid)
    os.close(pid_of)


def test_a_late_answer_is_no_answer_to_the_next_question(loop: Loop, make: Make) -> None:
    got, few = Got(), make(uses=9, seconds=0.3, most=1, waiting=1)
    few.ask(HANG, got.append)
    few.ask(Question("next"), got.append)
    assert got.within(loop, 2) == [Missed.SLOW, Told("next")]


def test_what_a_child_started_in_another_session_ends_with_it(loop: Loop, make: Make) -> None:
    reading, writing = os.pipe()

    def start(_: Question, descriptors: list[int]) -> Told:
        subprocess.Popen(["/bin/sleep", "60"], start_new_session=True, pass_fds=descriptors)
        signal.pause()
        return Told("never")

    got, starting = Got(), make(start, seconds=0.5)
    starting.ask(ME, got.append, [writing])
    assert got.within(loop, 1) == [Missed.SLOW]
    while starting.count:
        loop.turn(1)
    assert select.select([reading], [], [], 10)[0]  # at its end: nobody has the writing end any more
    os.close(reading)


def test_more_than_may_wait_are_refused_at_once(loop: Loop, make: Make) -> None:
    got, few = Got(), make(seconds=0.3, most=1, waiting=1)
    few.ask(HANG, got.append)
    few.ask(Question("waited"), got.append)
    few.ask(Question("too many"), got.append)
    assert got == [Missed.FULL]
    assert got.within(loop, 3) == [Missed.FULL, Missed.SLOW, Told("waited")]


@pytest.mark.parametrize("most", [0, 1])
def test_its_descriptor_is_closed_here_whether_it_runs_or_not(loop: Loop, make: Make, most: int) -> None:
    reading, writing = os.pipe()
    got, few = Got(), make(lambda *_: Told(""), most=most)
    few.ask(ME, got.append, [reading])
    got.within(loop, 1)
    while few.count:
        loop.turn(1)
    with pytest.raises(BrokenPipeError):  # nobody can read it any more
        os.write(writing, b"x")
    os.close(writing)


@pytest.mark.parametrize("call", ["fork", "pidfd_open"])
def test_where_no_more_processes_can_be_made_the_question_fails_and_nothing_ends(
    loop: Loop, make: Make, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: int) -> int:
        raise BlockingIOError(11, "not now")

    reading, writing = os.pipe()
    got, failing = Got(), make()
    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        failing.ask(ME, got.append, [reading])
    assert got == [Missed.BROKEN]
    with pytest.raises(BrokenPipeError):  # no copy of it is left, and no child
        os.write(writing, b"x")
    os.close(writing)
    failing.ask(Question("again"), got.append)
    assert got.within(loop, 2)[1] == Told("again")


@pytest.mark.parametrize("error", [Gone(), OSError(109, "too many references")])
def test_a_child_that_a_question_does_not_reach_makes_room_for_another(
    loop: Loop, make: Make, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    got, alone = Got(), make(uses=9, most=1)
    with monkeypatch.context() as patched:
        patched.setattr(Packets, "send", fail)
        alone.ask(ME, got.append)
    assert got == [Missed.BROKEN]
    while alone.count:
        loop.turn(1)
    alone.ask(Question("again"), got.append)
    assert got.within(loop, 2)[1] == Told("again")


def test_a_child_has_no_descriptor_but_its_own(loop: Loop, make: Make) -> None:
    """A copy of the front's socket, or of a worker's, would keep it open after the monitor's end."""

    def links(_: Question, descriptors: list[int]) -> Told:
        numbers = {int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2}
        return Told("\n".join(_link(number) for number in sorted(numbers)))

    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    got = Got()
    make(links).ask(ME, got.append, [reading])
    [told] = got.within(loop, 1)
    found = [link for link in told.text.splitlines() if link]
    assert f"pipe:[{os.fstat(writing).st_ino}]" in found  # both ends of a pipe are called the same
    assert len(found) == 2  # and that for its answer
    ours.close()
    theirs.close()
    os.close(writing)


def _link(number: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except FileNotFoundError:  # the listing's own
        return ""
