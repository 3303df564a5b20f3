"""What a `LockStore` does, said of the fake and of the real one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from supercloud.authn.lock_store import LockRow, LockStore, SqliteLockStore
from supercloud.authn.private import Exposed
from tests.fakes.locks import FakeLockStore

ROW = LockRow(1001, "alice", "Call the desk.", 1000.0)
BOBS = LockRow(1002, "bob", "", 900.0)


@pytest.fixture(params=["fake", "real"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LockStore]:
    if request.param == "fake":
        yield FakeLockStore()
        return
    real = SqliteLockStore(tmp_path / "locked.sqlite")
    real.open()
    yield real
    real.close()


def test_locks_are_listed_oldest_first(store: LockStore) -> None:
    store.lock(ROW)
    store.lock(BOBS)
    assert store.all() == [BOBS, ROW]


def test_locking_again_says_another_reason_and_keeps_the_time(store: LockStore) -> None:
    store.lock(ROW)
    store.lock(replace(ROW, reason="Another.", since=2000.0))
    assert store.all() == [replace(ROW, reason="Another.")]


def test_an_account_is_unlocked_once(store: LockStore) -> None:
    store.lock(ROW)
    assert store.unlock(1001)
    assert not store.unlock(1001)
    assert store.all() == []


def test_locks_are_there_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        store = SqliteLockStore(tmp_path / "locked.sqlite")
        store.open()
        store.lock(ROW)
        store.close()
    store.open()
    assert store.all() == [ROW]
    store.close()


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locked.sqlite").touch()
    (tmp_path / "locked.sqlite").chmod(0o666)
    with pytest.raises(Exposed):
        SqliteLockStore(tmp_path / "locked.sqlite").open()
