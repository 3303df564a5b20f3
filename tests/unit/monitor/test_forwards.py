"""Reading forward files: what is read, what is refused, and that whoever stalls delays nobody else."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supercloud.monitor.forwards import ForwardFolder, ForwardOwner, ForwardReaders, ReadAs
from supercloud.monitor.loop import Loop
from supercloud.monitor.wire import MOST_FORWARD, ForwardFile, ForwardRead, ReadForward

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")

ME = os.geteuid()


@pytest.fixture
def folder(tmp_path: Path) -> ForwardFolder:
    return ForwardFolder(str(tmp_path), only_uid=ME)


def read(folder: ForwardFolder, name: str, uid: int = ME) -> ForwardRead:
    return folder.read_as(ReadAs(7, name, uid), [])


def test_a_file_is_read_with_what_tells_its_state(folder: ForwardFolder, tmp_path: Path) -> None:
    file = tmp_path / "alice-tb"
    file.write_text("http://node1:8080/\n")
    file.chmod(0o1751)
    status = file.stat()
    assert folder.find_owner(ReadForward(7, "alice-tb"), []) == ForwardOwner("read", ME)
    assert read(folder, "alice-tb") == ForwardRead(
        7,
        "read",
        ForwardFile(
            status.st_dev, status.st_ino, status.st_ctime_ns, ME, status.st_gid, 0o1751, b"http://node1:8080/\n"
        ),
    )


def _link(path: Path) -> None:
    path.with_name("other").touch()
    os.link(path.with_name("other"), path)


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (lambda path: None, "absent"),
        (os.mkfifo, "not-regular"),
        (Path.mkdir, "not-regular"),
        (lambda path: path.symlink_to("/etc/passwd"), "not-regular"),
        (lambda path: path.write_bytes(b"x" * (MOST_FORWARD + 1)), "too-long"),
        (_link, "several-names"),
    ],
)
def test_what_is_no_forward_is_not_read(
    folder: ForwardFolder, tmp_path: Path, make: Callable[[Path], object], outcome: str
) -> None:
    make(tmp_path / "x")
    assert read(folder, "x") == ForwardRead(7, outcome, None)  # type: ignore[arg-type]


def test_as_much_as_a_forward_may_hold_is_read(folder: ForwardFolder, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * MOST_FORWARD)
    assert read(folder, "x").file.data == b"x" * MOST_FORWARD  # type: ignore[union-attr]


def test_a_file_that_went_to_somebody_else_since_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert read(ForwardFolder(str(tmp_path), only_uid=ME + 1), "x", ME + 1).outcome == "changed"


def test_an_embedded_portal_reads_files_of_its_own_account_only(folder: ForwardFolder, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert read(folder, "x", ME + 1).outcome == "unreadable"


def test_a_lease_that_somebody_holds_keeps_nobody_waiting(folder: ForwardFolder, tmp_path: Path) -> None:
    """A write lease (fcntl(2), F_SETLEASE) makes an open wait until it is given back, or for lease-break-time."""
    (tmp_path / "x").touch()
    with open(tmp_path / "x", "r+b") as held:
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        before, ignored = time.monotonic(), signal.signal(signal.SIGIO, signal.SIG_IGN)
        try:
            assert read(folder, "x").outcome == "unreadable"
            assert time.monotonic() - before < 1
        finally:
            signal.signal(signal.SIGIO, ignored)


@pytest.mark.parametrize("path", ["", "/nonexistent/folder", __file__])
def test_without_a_folder_there_are_no_forwards(path: str) -> None:
    folder = ForwardFolder(path, only_uid=ME)
    assert folder.find_owner(ReadForward(7, "x"), []) == ForwardOwner("absent", None)
    assert read(folder, "x").outcome == "absent"


class Stalling:
    """A folder in which each name begins with its owner's uid; reading those of uid 1 never ends."""

    def find_owner(self, asked: ReadForward, _: list[int]) -> ForwardOwner:
        return ForwardOwner("read", int(asked.name.partition("-")[0]))

    def read_as(self, asked: ReadAs, _: list[int]) -> ForwardRead:
        if asked.uid == 1:
            signal.pause()
        return ForwardRead(asked.id, "read", ForwardFile(1, 1, 1, asked.uid, 1, 0o700, asked.name.encode()))


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


class Reading:
    """Readers of a folder, and their answers."""

    def __init__(self, loop: Loop, folder: Any, *, seconds: float, most: int = 8) -> None:
        self.loop = loop
        self.readers = ForwardReaders(
            loop, folder, seconds=seconds, finders=1, finders_waiting=100, of_one=2, waiting=3, most=most
        )
        self.answers: dict[int, ForwardRead] = {}

    def ask(self, number: int, name: str) -> None:
        def done(answer: ForwardRead) -> None:
            self.answers[number] = answer

        self.readers.ask(ReadForward(number, name), done)

    def wait_for(self, *numbers: int, within: float = 10) -> None:
        end = time.monotonic() + within
        while not self.answers.keys() >= set(numbers):
            assert time.monotonic() < end, self.answers
            self.loop.turn(0.1)

    def wait_for_nobody(self) -> None:
        """Until all that read have ended."""
        end = time.monotonic() + 10
        while any(one.count for one in self.readers._by_owner.values()):
            assert time.monotonic() < end
            self.loop.turn(0.1)

    def stop(self) -> None:
        """End the children: those that stall, those that wait for a turn, and those that wait for a question."""
        end = time.monotonic() + 10
        while any(one.count for one in (self.readers._finders, *self.readers._by_owner.values())):
            assert time.monotonic() < end
            for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            self.loop.turn(0.1)


def test_whoever_stalls_delays_nobody_else(loop: Loop) -> None:
    reading = Reading(loop, Stalling(), seconds=30)
    for number in range(5):
        reading.ask(number, f"1-{number}")
    started = time.monotonic()
    for number in range(100, 110):
        reading.ask(number, f"2-{number}")
        reading.wait_for(number)
    assert time.monotonic() - started < 5
    assert {answer.outcome for answer in reading.answers.values()} == {"read"}
    assert reading.answers[104].file.data == b"2-104"  # type: ignore[union-attr]
    reading.stop()


def test_one_owner_has_a_bound_and_so_have_all(loop: Loop) -> None:
    reading = Reading(loop, Stalling(), seconds=30, most=2)
    for number in range(6):
        reading.ask(number, f"1-{number}")
    reading.wait_for(5)  # two are read, three wait
    assert reading.answers[5].outcome == "busy"
    reading.ask(6, "2-x")
    reading.wait_for(6)
    assert reading.answers[6].outcome == "busy"
    reading.stop()


def test_who_takes_too_long_is_ended_and_that_is_told(loop: Loop) -> None:
    reading = Reading(loop, Stalling(), seconds=0.05)
    reading.ask(1, "1-x")
    reading.wait_for(1)
    assert reading.answers[1] == ForwardRead(1, "slow", None)
    reading.wait_for_nobody()
    reading.stop()


def test_a_name_that_nothing_bears_makes_no_reader(loop: Loop, tmp_path: Path) -> None:
    reading = Reading(loop, ForwardFolder(str(tmp_path), only_uid=ME), seconds=10)
    reading.ask(1, "x")
    reading.wait_for(1)
    assert reading.answers[1] == ForwardRead(1, "absent", None)
    assert not reading.readers._by_owner
    reading.stop()
