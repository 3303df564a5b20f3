"""Forward files: who may use them, what is read, what is refused, and that whoever stalls delays nobody else."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from supercloud.monitor.forwards import ForwardFolder, ForwardReaders, LookAs, Looked
from supercloud.monitor.loop import Loop
from supercloud.monitor.wire import MOST_FORWARD, FindForward, ForwardRead, ReadForward
from supercloud.target import Reservation

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")

ME = os.geteuid()


@pytest.fixture
def folder(tmp_path: Path) -> ForwardFolder:
    return ForwardFolder(str(tmp_path), only_uid=ME)


def state_of(file: Path, **other: int) -> Reservation:
    """As a file is now, or is not."""
    status = file.lstat()
    now = Reservation(
        status.st_dev, status.st_ino, status.st_ctime_ns, status.st_uid, status.st_gid, status.st_mode & 0o7777
    )
    return replace(now, **other)


def find(folder: ForwardFolder, name: str) -> Looked:
    return folder.find(FindForward(7, name), [])


def read(folder: ForwardFolder, name: str, uid: int = ME) -> Looked:
    """As the owner, in the state that it has now."""
    return folder.read_as(LookAs(name, uid, state_of(Path(folder.path, name), uid=uid)), [])


def check(folder: ForwardFolder, name: str, **other: int) -> Looked:
    """As the viewer, who is whoever runs this."""
    return folder.check_as(LookAs(name, ME, state_of(Path(folder.path, name), **other)), [])


def test_a_file_is_read_in_the_state_in_which_it_was_found(folder: ForwardFolder, tmp_path: Path) -> None:
    file = tmp_path / "alice-tb"
    file.write_text("http://node1:8080/\n")
    file.chmod(0o1751)
    state = state_of(file)
    assert (state.uid, state.mode) == (ME, 0o1751)
    assert find(folder, "alice-tb") == Looked(None, state)
    assert read(folder, "alice-tb") == Looked(None, state, b"http://node1:8080/\n")
    assert check(folder, "alice-tb") == Looked(None, state, b"http://node1:8080/\n"), "the viewer's own is read at once"


@pytest.mark.parametrize(
    ("mode", "against"), [(0o700, None), (0o500, None), (0o600, "not-executable"), (0o000, "not-executable")]
)
def test_it_is_the_kernel_that_allows(folder: ForwardFolder, tmp_path: Path, mode: int, against: str | None) -> None:
    file = tmp_path / "x"
    file.touch()
    file.chmod(mode)
    assert check(folder, "x").against == against


@pytest.mark.parametrize("look", [ForwardFolder.check_as, ForwardFolder.read_as])
@pytest.mark.parametrize("change", ["device", "inode", "ctime", "uid", "gid", "mode"])
def test_another_state_than_that_in_which_it_was_found_is_refused(
    folder: ForwardFolder, tmp_path: Path, look: Any, change: str
) -> None:
    """What was found, what the viewer may execute and what the owner reads is one file in one state."""
    file = tmp_path / "x"
    file.touch()
    file.chmod(0o700)
    state = state_of(file)
    other = replace(state, **{change: getattr(state, change) ^ 1})
    assert look(folder, LookAs("x", ME, other), []) == Looked("changed", other)
    assert look(folder, LookAs("x", ME, state), []).against is None


@pytest.mark.parametrize("look", [ForwardFolder.check_as, ForwardFolder.read_as])
def test_a_file_that_is_gone_since_is_changed(folder: ForwardFolder, tmp_path: Path, look: Any) -> None:
    (tmp_path / "x").touch()
    state = state_of(tmp_path / "x")
    (tmp_path / "x").unlink()
    assert look(folder, LookAs("x", ME, state), []).against == "changed"


def test_root_is_no_viewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel lets root execute what anybody may."""
    (tmp_path / "x").touch()
    (tmp_path / "x").chmod(0o755)
    monkeypatch.setattr(ForwardFolder, "_become", lambda *_: None)
    looked = ForwardFolder(str(tmp_path), only_uid=None).check_as(LookAs("x", 0, state_of(tmp_path / "x")), [])
    assert looked.against == "not-executable"


def _link(path: Path) -> None:
    path.with_name("other").touch()
    os.link(path.with_name("other"), path)


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
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
    assert read(folder, "x").against == outcome
    assert check(folder, "x").data is None
    found = find(folder, "x")
    assert found.against == (None if outcome == "too-long" else outcome)
    assert found.state == state_of(tmp_path / "x")


def test_as_much_as_a_forward_may_hold_is_read(folder: ForwardFolder, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * MOST_FORWARD)
    assert read(folder, "x").data == b"x" * MOST_FORWARD


def test_a_file_that_went_to_somebody_else_since_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert read(ForwardFolder(str(tmp_path), only_uid=ME + 1), "x", ME + 1).against == "changed"


def test_an_embedded_portal_reads_files_of_its_own_account_only(folder: ForwardFolder, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert read(folder, "x", ME + 1).against == "unreadable"
    looked = folder.check_as(LookAs("x", ME + 1, state_of(tmp_path / "x")), [])
    assert looked.against == "unreadable", "and asks for no other viewer"


def test_a_lease_that_somebody_holds_keeps_nobody_waiting(folder: ForwardFolder, tmp_path: Path) -> None:
    """A write lease (fcntl(2), F_SETLEASE) makes an open wait until it is given back, or for lease-break-time."""
    (tmp_path / "x").touch()
    with open(tmp_path / "x", "r+b") as held:
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        before, ignored = time.monotonic(), signal.signal(signal.SIGIO, signal.SIG_IGN)
        try:
            assert read(folder, "x").against == "unreadable"
            assert time.monotonic() - before < 1
        finally:
            signal.signal(signal.SIGIO, ignored)


@pytest.mark.parametrize("path", ["", "/nonexistent/folder", __file__])
def test_without_a_folder_there_are_no_forwards(path: str) -> None:
    folder = ForwardFolder(path, only_uid=ME)
    assert find(folder, "x") == Looked("absent")


class Stalling:
    """A folder in which each name begins with its owner's uid; what runs as uid 1 or 3 never ends."""

    def find(self, asked: FindForward, _: list[int]) -> Looked:
        return Looked(None, Reservation(1, 1, 1, int(asked.name.partition("-")[0]), 1, 0o700))

    def check_as(self, asked: LookAs, _: list[int]) -> Looked:
        if asked.uid == 3:
            signal.pause()
        return Looked(None, asked.state)

    def read_as(self, asked: LookAs, _: list[int]) -> Looked:
        if asked.uid == 1:
            signal.pause()
        return Looked(None, asked.state, asked.name.encode())


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

    def ask(self, number: int, name: str, uid: int = 2) -> None:
        def done(answer: ForwardRead) -> None:
            self.answers[number] = answer

        self.readers.ask(ReadForward(number, name, uid), done)

    def wait_for(self, *numbers: int, within: float = 10) -> None:
        end = time.monotonic() + within
        while not self.answers.keys() >= set(numbers):
            assert time.monotonic() < end, self.answers
            self.loop.turn(0.1)

    def wait_for_nobody(self) -> None:
        """Until all that became an account have ended."""
        end = time.monotonic() + 10
        while self.readers.count:
            assert time.monotonic() < end
            self.loop.turn(0.1)

    def stop(self) -> None:
        """End the children: those that stall, those that wait for a turn, and those that wait for a question."""
        end = time.monotonic() + 10
        while self.readers.count + self.readers._finders.count:
            assert time.monotonic() < end
            for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            self.loop.turn(0.1)


@pytest.mark.parametrize(("name", "viewer"), [("1-{}", 2), ("2-{}", 3)])
def test_whoever_stalls_delays_nobody_else(loop: Loop, name: str, viewer: int) -> None:
    """An owner who stops whatever reads their files, a viewer who stops whatever asks for them."""
    reading = Reading(loop, Stalling(), seconds=30)
    for number in range(5):
        reading.ask(number, name.format(number), viewer)
    for number in range(100, 110):
        reading.ask(number, f"4-{number}", 4)
        reading.wait_for(number)
    assert not reading.answers.keys() & set(range(5))
    assert {answer.outcome for answer in reading.answers.values()} == {"read"}
    assert reading.answers[104].data == b"4-104"
    reading.stop()


@pytest.mark.parametrize(("name", "viewer"), [("1-{}", 2), ("2-{}", 3)])
def test_one_account_has_a_bound_and_so_have_all(loop: Loop, name: str, viewer: int) -> None:
    reading = Reading(loop, Stalling(), seconds=30, most=2)
    for number in range(6):
        reading.ask(number, name.format(number), viewer)
    reading.wait_for(5)  # two are looked at, three wait
    assert reading.answers[5].outcome == "busy"
    reading.ask(6, "4-x", 4)
    reading.wait_for(6)
    assert reading.answers[6].outcome == "busy"
    reading.stop()


@pytest.mark.parametrize(("name", "viewer"), [("1-x", 2), ("2-x", 3)])
def test_who_takes_too_long_is_ended_and_that_is_told(loop: Loop, name: str, viewer: int) -> None:
    """With the state that was found: whoever knows another one can tell that it is not what it was."""
    reading = Reading(loop, Stalling(), seconds=0.8)
    reading.ask(1, name, viewer)
    reading.wait_for(1)
    assert reading.answers[1] == ForwardRead(1, "slow", Reservation(1, 1, 1, int(name[0]), 1, 0o700), None)
    reading.wait_for_nobody()
    reading.stop()


def test_the_state_alone_is_found_while_all_whom_it_concerns_stall(loop: Loop) -> None:
    reading = Reading(loop, Stalling(), seconds=30)
    for number in range(5):
        reading.ask(number, f"1-{number}", 3)
    found: list[ForwardRead] = []
    reading.readers.find(FindForward(9, "1-9"), found.append)
    while not found:
        loop.turn(0.1)
    assert found == [ForwardRead(9, "found", Reservation(1, 1, 1, 1, 1, 0o700), None)]
    assert not reading.answers
    reading.stop()


def test_a_name_that_nothing_bears_makes_no_reader(loop: Loop, tmp_path: Path) -> None:
    reading = Reading(loop, ForwardFolder(str(tmp_path), only_uid=ME), seconds=10)
    reading.ask(1, "x")
    reading.wait_for(1)
    assert reading.answers[1] == ForwardRead(1, "absent", None, None)
    assert not reading.readers.count
    reading.stop()
