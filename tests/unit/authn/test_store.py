"""The store that the portal's processes share: one file, several connections."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from supercloud.authn import store as module
from supercloud.authn.private import Exposed
from supercloud.authn.store import SessionRow, SqliteStore

NOW = 1_000_000.0
ROW = SessionRow("one", 1001, "alice", "link", "192.0.2.1", NOW, NOW + 1000, NOW)


class Opened(SqliteStore):
    def __enter__(self) -> Opened:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _connect(path: Path, now: float = NOW) -> Opened:
    return Opened(path, now=lambda: now)


@pytest.fixture
def store(store_path: Path) -> Iterator[SqliteStore]:
    with _connect(store_path) as opened:
        yield opened


@pytest.fixture
def other(store: SqliteStore, store_path: Path) -> Iterator[SqliteStore]:
    with _connect(store_path) as opened:
        yield opened


def test_what_one_process_keeps_another_finds(store: SqliteStore, other: SqliteStore) -> None:
    store.add(ROW, 10)
    assert other.find("one") == (ROW, 0)


def test_an_unknown_session_is_not_found(store: SqliteStore) -> None:
    assert store.find("one") == (None, 0)


def test_what_one_process_ends_another_no_longer_finds_and_hears_of(store: SqliteStore, other: SqliteStore) -> None:
    store.add(ROW, 10)
    other.end("one", "logout")
    assert store.find("one") == (None, 1)
    assert store.changes(0) == (1, [("one", "logout")], True)
    assert store.changes(1) == (1, [], True)


def test_all_sessions_of_an_account_end_and_nobody_elses(store: SqliteStore) -> None:
    for session, uid in (("one", 1001), ("two", 1001), ("bobs", 1002)):
        store.add(replace(ROW, id=session, uid=uid), 10)
    store.end_all(1001, "kicked")
    assert store.changes(0) == (2, [("one", "kicked"), ("two", "kicked")], True)
    assert [row.id for row in store.of_account(1002)] == ["bobs"]


def test_positions_go_on_when_old_news_is_removed(store: SqliteStore) -> None:
    """A position that is used twice would make a reader miss an end."""
    store.end("one", "logout")
    store.forget(NOW + 1e6, 10)
    store.end("two", "logout")
    assert store.changes(1) == (2, [("two", "logout")], True)


def test_ends_without_end_do_not_fill_the_disk_and_who_missed_some_is_told(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ENDED", 10)
    for number in range(100):
        store.end(str(number), "logout")
    assert store.changes(95) == (100, [(str(number), "logout") for number in range(95, 100)], True)
    position, ended, is_all = store.changes(50)
    assert (position, len(ended), is_all) == (100, 10, False)


def test_an_account_keeps_as_many_sessions_as_allowed_and_the_oldest_end(store: SqliteStore) -> None:
    ended = [store.add(replace(ROW, id=str(n), created=NOW + n), 2) for n in range(4)]
    assert ended == [[], [], ["0"], ["1"]]
    assert [row.id for row in store.of_account(1001)] == ["2", "3"]
    assert [session for session, _ in store.changes(0)[1]] == ["0", "1"]


def test_the_later_use_of_a_session_counts(store: SqliteStore, other: SqliteStore) -> None:
    store.add(ROW, 10)
    store.seen({"one": NOW + 50, "unknown": NOW})
    other.seen({"one": NOW + 40})
    found, _ = store.find("one")
    assert found == replace(ROW, last_seen=NOW + 50)


def test_a_ticket_is_used_once_over_all_processes(store: SqliteStore, other: SqliteStore) -> None:
    assert [one.use_ticket("t", NOW + 60) for one in (store, other, store)] == [True, False, False]


def test_one_of_many_at_once_uses_a_ticket(store: SqliteStore, other: SqliteStore) -> None:
    won: list[bool] = []
    threads = [threading.Thread(target=lambda s=s: won.append(s.use_ticket("t", NOW + 60))) for s in (store, other) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


def test_expired_rows_are_removed_and_no_others(store: SqliteStore) -> None:
    store.add(replace(ROW, id="over", ends=NOW - 1000), 10)
    store.add(replace(ROW, id="idle", last_seen=NOW - 5000), 10)
    store.add(ROW, 10)
    store.use_ticket("old", NOW - 1000)
    store.use_ticket("new", NOW + 60)
    store.forget(NOW, 3600)
    assert [row.id for row in store.of_account(1001)] == ["one"]
    assert (store.use_ticket("old", NOW), store.use_ticket("new", NOW)) == (True, False)


def test_a_used_ticket_is_remembered_beyond_its_end(store: SqliteStore) -> None:
    """Otherwise it were good again when the clock is set back."""
    store.use_ticket("t", NOW)
    store.forget(NOW + 1, 3600)
    assert not store.use_ticket("t", NOW)


def test_everything_is_there_after_a_restart(store_path: Path) -> None:
    with _connect(store_path) as first:
        first.add(ROW, 10)
        first.end("other", "logout")
    with _connect(store_path) as second:
        assert second.find("one") == (ROW, 1)


def test_the_file_is_made_with_mode_0600_and_so_are_its_companions(tmp_path: Path) -> None:
    with _connect(tmp_path / "s") as store:
        store.add(ROW, 10)
        assert {(one.name, one.stat().st_mode & 0o777) for one in tmp_path.iterdir()} == {
            ("s", 0o600),
            ("s-wal", 0o600),
            ("s-shm", 0o600),
        }


def test_a_file_that_others_can_write_is_refused(store_path: Path) -> None:
    store_path.chmod(0o622)
    with pytest.raises(Exposed, match="mode 022"):
        _connect(store_path).open()


def test_a_file_of_another_version_is_refused_and_left_as_it_is(store_path: Path) -> None:
    connection = sqlite3.connect(store_path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(Exposed, match=r"version 9.*move it away"):
        _connect(store_path).open()


def test_a_file_that_is_no_database_is_refused(store_path: Path) -> None:
    store_path.write_bytes(b"x" * 5000)
    with pytest.raises(Exposed, match=r"not a database.*move it away"):
        _connect(store_path).open()


def test_several_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    stores = [_connect(tmp_path / "s") for _ in range(4)]
    threads = [threading.Thread(target=store.open) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stores[0].add(ROW, 10)
    assert [store.find("one")[0] for store in stores] == [ROW] * 4
    for store in stores:
        store.close()


def test_a_failed_change_leaves_nothing_behind(store: SqliteStore) -> None:
    store.add(ROW, 10)
    with pytest.raises(sqlite3.IntegrityError):
        store.add(ROW, 0)
    assert store.find("one") == (ROW, 0)


def test_a_closed_store_says_so_and_closing_twice_is_fine(store_path: Path) -> None:
    store = _connect(store_path)
    store.open()
    store.close()
    store.close()
    with pytest.raises(sqlite3.ProgrammingError, match="is not open"):
        store.find("one")


def test_a_file_of_before_certificates_were_kept_goes_on_with_its_sessions(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite"
    with _connect(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE session DROP COLUMN certificate")
    connection.execute("INSERT INTO session VALUES ('old', 1001, 'alice', 'certificate', '::1', 1.0, 9e9, 2.0)")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    for _ in range(2):
        store = SqliteStore(path, now=lambda: 0.0)
        store.open()
        assert store.of_account(1001) == [SessionRow("old", 1001, "alice", "certificate", "::1", 1.0, 9e9, 2.0)]
        store.close()


def test_everybodys_sessions_are_listed_by_account(store: SqliteStore) -> None:
    rows = [replace(ROW, id=name, uid=uid, login=login) for name, uid, login in (("b", 2, "bob"), ("a", 1, "alice"))]
    for row in rows:
        store.add(row, 10)
    assert [row.login for row in store.all()] == ["alice", "bob"]
