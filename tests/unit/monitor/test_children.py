from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from supercloud.monitor.children import Children, Missed
from supercloud.monitor.loop import Loop

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


class Told(msgspec.Struct, frozen=True):
    text: str


class Other(msgspec.Struct, frozen=True):
    number: int


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


class Got(list[Any]):
    """What was answered."""

    def within(self, loop: Loop, count: int, seconds: float = 10) -> Got:
        end = time.monotonic() + seconds
        while len(self) < count:
            assert time.monotonic() < end, f"only {self}"
            loop.turn(0.1)
        return self


def children(loop: Loop, *, seconds: float = 10, most: int = 4, waiting: int = 0) -> Children:
    return Children(loop, Told, seconds=seconds, most=most, waiting=waiting)


def _link(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return "the-listing"


def hang() -> Told:
    signal.pause()
    return Told("never")


def test_an_answer_comes_from_another_process(loop: Loop) -> None:
    got = Got()
    children(loop).run(lambda: Told(str(os.getppid())), got.append)
    assert got.within(loop, 1) == [Told(str(os.getpid()))]


@pytest.mark.parametrize(
    "call",
    [
        lambda: Other(1),
        lambda: os._exit(0),
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        lambda: os.open("/nonexistent", os.O_RDONLY),
    ],
    ids=["another kind", "no answer", "killed", "raises"],
)
def test_a_child_without_an_answer_is_broken(loop: Loop, call: Callable[[], Any]) -> None:
    got = Got()
    children(loop).run(call, got.append)
    assert got.within(loop, 1) == [Missed.BROKEN]


def test_what_went_wrong_is_not_quoted(loop: Loop, capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> Told:
        raise ValueError("hunter2")

    got = Got()
    children(loop).run(fail, got.append)
    got.within(loop, 1)
    assert capfd.readouterr().err == "supercloud monitor: a child ended by ValueError\n"


def test_a_child_that_hangs_is_slow_and_dead(loop: Loop) -> None:
    pid_of, pid_to = os.pipe()

    def tell_and_hang() -> Told:
        os.write(pid_to, str(os.getpid()).encode())
        return hang()

    got = Got()
    children(loop, seconds=0.3).run(tell_and_hang, got.append, pid_to)
    assert got.within(loop, 1) == [Missed.SLOW]
    pid = int(os.read(pid_of, 20))
    loop.turn(1)  # it is waited for
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    os.close(pid_of)


def test_what_a_child_started_in_another_session_ends_with_it(loop: Loop) -> None:
    reading, writing = os.pipe()

    def start() -> Told:
        subprocess.Popen(["/bin/sleep", "60"], start_new_session=True, pass_fds=[writing])
        return hang()

    got = Got()
    children(loop, seconds=0.5).run(start, got.append, writing)
    assert got.within(loop, 1) == [Missed.SLOW]
    loop.turn(1)  # it is waited for
    assert os.read(reading, 1) == b""  # at its end: nobody has the writing end any more
    os.close(reading)


def test_more_than_may_wait_are_refused_at_once(loop: Loop) -> None:
    got = Got()
    few = children(loop, seconds=0.3, most=1, waiting=1)
    few.run(hang, got.append)
    few.run(lambda: Told("waited"), got.append)
    few.run(lambda: Told("too many"), got.append)
    assert got == [Missed.FULL]
    assert got.within(loop, 3) == [Missed.FULL, Missed.SLOW, Told("waited")]


@pytest.mark.parametrize("most", [0, 1])
def test_its_descriptor_is_closed_here_whether_it_runs_or_not(loop: Loop, most: int) -> None:
    reading, writing = os.pipe()
    got = Got()
    children(loop, most=most).run(lambda: Told(""), got.append, reading)
    with pytest.raises(BrokenPipeError):  # nobody can read it any more, once the child has ended
        got.within(loop, 1)
        os.write(writing, b"x")
    os.close(writing)


def test_a_child_has_no_descriptor_but_its_own(loop: Loop) -> None:
    """A copy of the front's socket, or of a worker's, would keep it open after the monitor's end."""
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    got = Got()
    children(loop).run(lambda: Told("\n".join(map(_link, os.listdir("/proc/self/fd")))), got.append, reading)
    [told] = got.within(loop, 1)
    links = told.text.splitlines()
    assert len(links) <= 3 + 3  # the standard ones; for its answer, its own, and the listing's
    assert f"pipe:[{os.fstat(writing).st_ino}]" in links  # both ends of a pipe are called the same
    assert not {f"socket:[{os.fstat(one.fileno()).st_ino}]" for one in (ours, theirs)} & set(links)
    ours.close()
    theirs.close()
    os.close(writing)
