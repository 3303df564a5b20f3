"""What a descriptor proves."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from supercloud.desk.proof import Proof, Prover
from supercloud.desk.service import Asker
from supercloud.desk.wire import Refusal
from tests.fakes.awaiting import run
from tests.fakes.offload import FakeOffload

OWN = os.geteuid()
Prove = Callable[..., Proof]


def asker(uid: int = OWN, groups: frozenset[int] = frozenset()) -> Asker:
    return Asker(pid=1, uid=uid, gid=uid, groups=groups)


@pytest.fixture
def prove() -> Iterator[Prove]:
    """Opens a path and proves it."""
    with ExitStack() as held:

        def prove(path: Path | str, flags: int, uid: int = OWN, *, is_nameless: bool = False) -> Proof:
            descriptor = os.open(path, flags)
            held.callback(os.close, descriptor)
            return run(Prover(FakeOffload()).prove(asker(uid), [descriptor], is_nameless=is_nameless))

        yield prove


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.touch()
    return made


def refused(code: str, call: Callable[[], object]) -> None:
    with pytest.raises(Refusal) as caught:
        call()
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("flags", "may_read", "may_write"),
    [(os.O_RDONLY, True, False), (os.O_WRONLY, False, True), (os.O_RDWR, True, True), (os.O_PATH, False, False)],
)
def test_a_file_is_writable_by_who_opened_it_for_writing(
    file: Path, prove: Prove, flags: int, may_read: bool, may_write: bool
) -> None:
    proof = prove(file, flags)

    assert (proof.may_read, proof.may_write, proof.is_folder) == (may_read, may_write, False)
    assert proof.path == os.fsencode(os.path.realpath(file))


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_PATH])
def test_a_folder_is_judged_by_its_mode_for_who_asks(tmp_path: Path, prove: Prove, flags: int) -> None:
    tmp_path.chmod(0o755)
    if OWN != 0:
        assert prove(tmp_path, flags).may_write
    assert not prove(tmp_path, flags, OWN + 5000).may_write
    tmp_path.chmod(0o777)
    assert prove(tmp_path, flags, OWN + 5000).may_write


def test_an_access_list_lets_in_who_the_mode_does_not(tmp_path: Path, prove: Prove) -> None:
    entries = [(1, 7, 0xFFFFFFFF), (2, 7, OWN + 5000), (4, 0, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(tmp_path, "system.posix_acl_access", packed)
    except OSError as error:
        pytest.skip(f"this file system has no access lists: {error}")

    assert prove(tmp_path, os.O_PATH, OWN + 5000).may_write
    assert not prove(tmp_path, os.O_PATH, OWN + 5001).may_write


def test_an_access_list_that_cannot_be_read_lets_nobody_in(
    tmp_path: Path, prove: Prove, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setattr(os, "getxattr", lambda *_: b"nonsense")
    assert not prove(tmp_path, os.O_PATH, OWN + 5000).may_write

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "getxattr", fail)
    assert not prove(tmp_path, os.O_PATH, OWN + 5000).may_write


def test_whose_it_is_and_whether_all_share_it_is_seen(tmp_path: Path, prove: Prove) -> None:
    tmp_path.chmod(0o1777)

    assert prove(tmp_path, os.O_PATH).is_own
    assert prove(tmp_path, os.O_PATH).is_sticky
    assert not prove(tmp_path, os.O_PATH, OWN + 5000).is_own


def test_nothing_but_files_and_folders_is_proven(tmp_path: Path, prove: Prove) -> None:
    os.mkfifo(tmp_path / "pipe")

    refused("not-served", lambda: prove(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK))
    refused("not-served", lambda: prove("/dev/null", os.O_RDWR))


def test_what_was_deleted_is_not_proven_unless_it_never_had_a_name(file: Path, prove: Prove) -> None:
    descriptor = os.open(file, os.O_RDWR)
    file.unlink()
    again = f"/proc/self/fd/{descriptor}"

    refused("not-served", lambda: prove(again, os.O_RDWR))
    assert prove(again, os.O_RDWR, is_nameless=True).may_write
    os.close(descriptor)


@pytest.mark.parametrize("count", [0, 2])
def test_one_descriptor_is_wanted(file: Path, count: int) -> None:
    descriptor = os.open(file, os.O_RDWR)
    refused("no-descriptor", lambda: run(Prover(FakeOffload()).prove(asker(), [descriptor] * count)))
    os.close(descriptor)


def test_a_file_server_that_does_not_answer_holds_threads_of_that_accounts_share_only(file: Path) -> None:
    offload = FakeOffload()
    prover = Prover(offload)
    descriptor = os.open(file, os.O_RDWR)
    for uid in (OWN, OWN + 1, OWN):
        run(prover.prove(asker(uid), [descriptor]))

    assert offload.shares == [OWN, OWN + 1, OWN]
    os.close(descriptor)
