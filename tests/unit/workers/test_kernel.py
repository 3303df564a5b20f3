"""Giving up rights, each in a child of its own; that root's are gone is shown by real workers."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
from pathlib import Path

import pytest

from supercloud.workers import kernel
from tests.unit.workers.test_become import in_child

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to have rights to give up")


def status(name: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))


def test_a_process_has_the_name_that_it_is_given() -> None:
    def task() -> str:
        kernel.name_process("sc-something")
        return Path("/proc/self/comm").read_text()

    assert in_child(task) == "sc-something\n"


def test_new_privileges_are_forbidden() -> None:
    def task() -> str:
        kernel.forbid_new_privileges()
        return status("NoNewPrivs")

    assert in_child(task) == "1"


def test_nobody_may_look_into_a_process_that_forbids_it() -> None:
    def task() -> str:
        kernel.forbid_inspection()
        return str(Path("/proc/self/environ").stat().st_uid)

    assert in_child(task) == "0"


def test_a_process_ends_with_its_parent() -> None:
    reader, writer = os.pipe()

    def task() -> str:
        parent = os.getpid()
        child = os.fork()
        if not child:
            os.close(reader)
            kernel.end_with(parent)
            os.write(writer, b"ready")
            signal.pause()
        os.read(reader, 5)
        return str(child)

    child = int(in_child(task))
    os.close(writer)
    with open(reader, "rb") as pipe:
        assert pipe.read() == b""  # both ends of it are gone
    assert child


def test_a_process_whose_parent_has_ended_already_does_not_go_on() -> None:
    def task() -> str:
        try:
            kernel.end_with(os.getppid() + 1)
        except ProcessLookupError:
            return "told"
        return "not told"

    assert in_child(task) == "told"


@root
@pytest.mark.parametrize("name", ["CapEff", "CapPrm", "CapInh", "CapAmb"])
def test_all_capabilities_are_dropped(name: str) -> None:
    def task() -> str:
        kernel.drop_capabilities()
        return status(name)

    assert in_child(task) == "0" * 16


@root
def test_the_bounding_set_is_emptied() -> None:
    def task() -> str:
        kernel.drop_bounding_set()
        return status("CapBnd")

    assert in_child(task) == "0" * 16


@root
def test_a_bounding_set_that_may_not_be_changed_stays() -> None:
    before = status("CapBnd")

    def task() -> str:
        kernel.drop_capabilities()
        kernel.drop_bounding_set()
        return status("CapBnd")

    assert in_child(task) == before


def test_roots_session_keyring_is_not_kept() -> None:
    keyctl = kernel._KEYCTL[os.uname().machine]

    def name_of_keyring() -> str:
        buffer = ctypes.create_string_buffer(1000)
        kernel._libc.syscall(keyctl, 6, -3, buffer, len(buffer))  # KEYCTL_DESCRIBE, the session's
        return buffer.value.decode().rpartition(";")[2]

    def task() -> str:
        kernel._libc.syscall(keyctl, 1, b"roots")
        before = name_of_keyring()
        kernel.leave_session_keyring()
        return f"{before} {name_of_keyring()}"

    if not Path("/proc/keys").exists():
        pytest.skip("this kernel has no keyrings")
    assert in_child(task) == "roots _ses"


def test_an_unknown_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel.platform, "machine", lambda: "pdp11")
    with pytest.raises(OSError, match="pdp11"):
        kernel.leave_session_keyring()


@pytest.mark.parametrize(("number", "is_raised"), [(38, False), (1, False), (122, True), (13, True)])
def test_a_keyring_that_cannot_be_left_is_an_error_unless_there_are_none(
    monkeypatch: pytest.MonkeyPatch, number: int, is_raised: bool
) -> None:
    def check(_: int) -> None:
        raise OSError(number, "as told")

    monkeypatch.setattr(kernel, "_check", check)
    monkeypatch.setattr(kernel, "_libc", type("Libc", (), {"syscall": staticmethod(lambda *_: -1)}))
    if is_raised:
        with pytest.raises(OSError, match="as told"):
            kernel.leave_session_keyring()
    else:
        kernel.leave_session_keyring()


def test_whatever_bears_a_name_is_found_and_nothing_is_followed(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "link").symlink_to("plain")
    os.mkfifo(tmp_path / "fifo")
    folder = os.open(tmp_path, os.O_PATH)
    for name in ("plain", "link", "fifo"):
        found = kernel.find_in(folder, name)
        assert os.fstat(found).st_ino == (tmp_path / name).lstat().st_ino
        assert not os.get_inheritable(found)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.read(found, 1)
        os.close(found)
    os.close(folder)


@pytest.mark.parametrize(("name", "number"), [("nothing", errno.ENOENT), ("..", errno.EXDEV), ("proc", errno.EXDEV)])
def test_what_is_not_in_the_folder_itself_is_not_found(name: str, number: int) -> None:
    """A file system of a user's own that is mounted there could keep whoever looks at it waiting for ever."""
    folder = os.open("/", os.O_PATH)
    with pytest.raises(OSError) as told:
        kernel.find_in(folder, name)
    os.close(folder)
    assert told.value.errno == number


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_where_the_kernel_cannot_say_so_at_once_the_name_is_still_not_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    monkeypatch.setattr(kernel, "_libc", type("Libc", (), {"syscall": staticmethod(lambda *_: -1)}))
    monkeypatch.setattr(ctypes, "get_errno", lambda: number)
    (tmp_path / "link").symlink_to("/etc/passwd")
    folder = os.open(tmp_path, os.O_PATH)
    found = kernel.find_in(folder, "link")
    assert stat.S_ISLNK(os.fstat(found).st_mode)
    os.close(found)
    os.close(folder)
