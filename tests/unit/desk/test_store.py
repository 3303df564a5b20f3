"""The desk's file."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from supercloud.authn.private import Exposed
from supercloud.desk.store import Store, from_blob, to_blob
from supercloud.desk.wire import Key


def test_nobody_else_can_read_it(store: Store, store_path: Path) -> None:
    for made in store_path.parent.glob("desk.sqlite*"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o600, made


def test_a_file_that_others_could_write_is_not_used(store_path: Path) -> None:
    store_path.touch(mode=0o600)
    store_path.chmod(0o620)

    with pytest.raises(Exposed, match="mode 020"):
        Store(store_path).open()


def test_a_link_in_its_place_is_not_followed(store_path: Path, tmp_path: Path) -> None:
    store_path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic"):
        Store(store_path).open()
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_no_database_is_told_with_what_to_do(store_path: Path) -> None:
    store_path.write_bytes(b"not a database, whatever it is" * 100)
    store_path.chmod(0o600)

    with pytest.raises(Exposed, match="move it away"):
        Store(store_path).open()


def test_a_file_of_a_later_version_is_not_touched(store: Store, store_path: Path) -> None:
    with store.change() as connection:
        connection.execute("PRAGMA user_version = 2")
    store.close()

    with pytest.raises(Exposed, match="version 2"):
        Store(store_path).open()


def test_a_change_happens_whole_or_not_at_all(store: Store) -> None:
    row = (b"k", "{x}y", b"v", 1, 0.0)
    with pytest.raises(ZeroDivisionError), store.change() as connection:
        connection.execute("INSERT INTO property VALUES (?, ?, ?, ?, ?)", row)
        raise ZeroDivisionError

    with store.read() as connection:
        assert connection.execute("SELECT count(*) FROM property").fetchone() == (0,)


def test_a_closed_store_says_so_and_opens_again(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(sqlite3.ProgrammingError), store.read():
        pass
    with pytest.raises(sqlite3.ProgrammingError), store.change():
        pass

    store.open()
    with store.read() as connection:
        assert connection.execute("SELECT count(*) FROM lock").fetchone() == (0,)


def test_opening_leaves_no_descriptor_behind_when_it_fails(store_path: Path) -> None:
    store_path.write_bytes(b"not a database, whatever it is" * 100)
    store_path.chmod(0o600)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(Exposed):
            Store(store_path).open()

    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "key", [Key(0, 0, 0), Key(2**64 - 1, 2**64 - 1, 2**64 - 1), Key(2049, 12, 1_700_000_000 * 10**9)]
)
def test_the_largest_numbers_of_the_kernel_are_kept(key: Key) -> None:
    assert from_blob(to_blob(key)) == key


def test_keys_are_kept_in_order_so_that_ranges_of_them_can_be_asked_for() -> None:
    keys = [Key(1, 2, 3), Key(1, 2, 4), Key(1, 3, 0), Key(2, 0, 0)]

    assert sorted(map(to_blob, reversed(keys))) == list(map(to_blob, keys))
