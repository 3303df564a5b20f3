"""Requests about locks, with real descriptors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from supercloud.desk import lock_wire as wire
from supercloud.desk.identity import look_at
from supercloud.desk.wire import Done, Message, Refusal
from tests.fakes.desk import FakeAsker, FakeDesk

ALICE, BOB = os.geteuid(), os.geteuid() + 5000
Open = Callable[..., int]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[FakeDesk]:
    made = FakeDesk(tmp_path)
    yield made
    made.close()


@pytest.fixture
def alice(desk: FakeDesk) -> FakeAsker:
    return desk.asker(ALICE)


@pytest.fixture
def bob(desk: FakeDesk) -> FakeAsker:
    return desk.asker(BOB)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "proj"
    made.mkdir()
    (made / "file").touch()
    return made


@pytest.fixture
def opened() -> Iterator[Open]:
    with ExitStack() as held:

        def open_(path: Path, flags: int = os.O_WRONLY) -> int:
            descriptor = os.open(path, flags)
            held.callback(os.close, descriptor)
            return descriptor

        yield open_


def lock(asker: FakeAsker, descriptor: int, depth: wire.Depth = "0") -> Message:
    request = wire.AcquireLock("exclusive", depth, 60, b"", "/proj/file", ())
    answer: Message = asker.ask(request, wire.Granted, wire.Conflict, descriptors=(descriptor,))
    return answer


def check(asker: FakeAsker, path: Path, *tokens: str, descriptors: tuple[int, ...] = ()) -> Message:
    request = wire.CheckWrite(look_at(str(path)).key, (), tokens)
    answer: Message = asker.ask(request, wire.Free, wire.Conflict, descriptors=descriptors)
    return answer


def test_a_lock_is_taken_seen_used_refreshed_and_released(
    alice: FakeAsker, bob: FakeAsker, folder: Path, opened: Open
) -> None:
    granted = lock(alice, opened(folder / "file"))
    assert isinstance(granted, wire.Granted)
    token, key = granted.lock.token, granted.lock.key

    assert isinstance(check(bob, folder / "file"), wire.Conflict)
    assert isinstance(check(alice, folder / "file", token), wire.Free)
    assert bob.ask(wire.ReadLock(token), wire.Found).locks[0].uid == ALICE
    assert bob.ask(wire.FindLocks((key,)), wire.Found).locks[0].token == token
    assert bob.ask(wire.FilterLocked(((key.device, key.inode),)), wire.Locked).positions == (0,)
    assert alice.ask(wire.RefreshLock(token, 600), wire.Granted).lock.left == 600
    alice.ask(wire.ReleaseLock(token), Done)
    assert isinstance(check(bob, folder / "file"), wire.Free)


def test_bob_cannot_lock_what_he_opened_for_reading(bob: FakeAsker, folder: Path, opened: Open) -> None:
    with pytest.raises(Refusal, match="not-writable"):
        lock(bob, opened(folder / "file", os.O_RDONLY))


def test_bob_cannot_lock_alices_folder(bob: FakeAsker, folder: Path, opened: Open) -> None:
    with pytest.raises(Refusal, match="not-writable"):
        lock(bob, opened(folder, os.O_PATH))


def test_a_request_without_its_descriptor_is_refused(alice: FakeAsker) -> None:
    for request in (wire.AcquireLock("shared", "0", 60, b"", "/", ()), wire.BeginWrite((), ())):
        with pytest.raises(Refusal, match="no-descriptor"):
            alice.ask(request, Done)


def test_a_folders_descriptor_asks_for_all_that_is_below(
    alice: FakeAsker, bob: FakeAsker, folder: Path, opened: Open
) -> None:
    granted = lock(alice, opened(folder / "file"))
    assert isinstance(granted, wire.Granted)

    assert isinstance(check(bob, folder), wire.Free)
    assert isinstance(check(bob, folder, descriptors=(opened(folder, os.O_PATH),)), wire.Conflict)
    free = check(alice, folder, granted.lock.token, descriptors=(opened(folder, os.O_PATH),))
    assert free == wire.Free((granted.lock.id,))
    alice.ask(wire.DropLocks((granted.lock.id,)), Done)
    assert isinstance(check(bob, folder / "file"), wire.Free)


def test_a_write_is_guarded_until_it_ends(alice: FakeAsker, bob: FakeAsker, folder: Path, opened: Open) -> None:
    begun = alice.ask(wire.BeginWrite((), ()), wire.Begun, descriptors=(opened(folder / "file"),))

    assert isinstance(lock(bob, opened(folder / "file")), wire.Conflict)
    alice.ask(wire.EndWrite(begun.write), Done)
    assert isinstance(lock(bob, opened(folder / "file")), wire.Granted)


def test_a_write_ends_with_the_connection(alice: FakeAsker, bob: FakeAsker, folder: Path, opened: Open) -> None:
    alice.ask(wire.BeginWrite((), ()), wire.Begun, descriptors=(opened(folder / "file"),))
    alice.close()

    assert isinstance(lock(bob, opened(folder / "file")), wire.Granted)


def test_a_lock_follows_the_file_that_takes_the_name(
    alice: FakeAsker, bob: FakeAsker, folder: Path, opened: Open
) -> None:
    granted = lock(alice, opened(folder / "file"))
    assert isinstance(granted, wire.Granted)
    begun = alice.ask(wire.BeginWrite((), (granted.lock.token,)), wire.Begun, descriptors=(opened(folder / "file"),))
    (folder / "new").touch()
    draft = opened(folder / "new", os.O_RDWR)

    alice.ask(wire.ExpectWrite(begun.write), Done, descriptors=(draft,))
    (folder / "new").rename(folder / "file")
    assert isinstance(check(bob, folder / "file"), wire.Conflict)
    alice.ask(wire.FollowWrite(begun.write), Done, descriptors=(draft,))
    alice.ask(wire.EndWrite(begun.write), Done)

    assert isinstance(check(bob, folder / "file"), wire.Conflict)
    assert isinstance(check(alice, folder / "file", granted.lock.token), wire.Free)


def test_bob_cannot_meddle_with_a_write_of_alices(alice: FakeAsker, bob: FakeAsker, folder: Path, opened: Open) -> None:
    begun = alice.ask(wire.BeginWrite((), ()), wire.Begun, descriptors=(opened(folder / "file"),))

    for request in (wire.ExpectWrite(begun.write), wire.FollowWrite(begun.write)):
        with pytest.raises(Refusal, match="unknown-write"):
            bob.ask(request, Done, descriptors=(opened(folder / "file"),))
    bob.ask(wire.EndWrite(begun.write), Done)
    assert isinstance(lock(bob, opened(folder / "file")), wire.Conflict)
