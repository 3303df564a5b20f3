"""Where the portal's processes share sessions and used tickets; by default one SQLite file in the state folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final, Protocol

from supercloud.authn.sqlite import SqliteFile

_VERSION: Final = 2
_SCHEMA = """
CREATE TABLE session (
    id TEXT PRIMARY KEY, uid INTEGER NOT NULL, login TEXT NOT NULL, scheme TEXT NOT NULL, address TEXT NOT NULL,
    created REAL NOT NULL, ends REAL NOT NULL, last_seen REAL NOT NULL, certificate BLOB NOT NULL
);
CREATE INDEX session_of_account ON session (uid, created);
CREATE INDEX session_by_end ON session (ends);
CREATE INDEX session_by_use ON session (last_seen);
-- AUTOINCREMENT: a number is never used again, even when the newest row was removed, so no reader misses one.
CREATE TABLE ended (
    number INTEGER PRIMARY KEY AUTOINCREMENT, session TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL
);
CREATE INDEX ended_by_time ON ended (at);
CREATE TABLE used_ticket (id TEXT PRIMARY KEY, ends REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX used_ticket_by_end ON used_ticket (ends);
"""
_UPGRADES = {1: "ALTER TABLE session ADD COLUMN certificate BLOB NOT NULL DEFAULT x''"}
# Rows outlive their use by this many seconds: other processes write last_seen late, and a clock may be set back.
_MARGIN: Final = 600.0
# Seconds for which a process that stands still may not have heard of an end; it looks twice a second.
_HEARD: Final = 86400.0
# Ends that are kept, some 6 MB: an account that signs in and out all day must not fill the disk for everybody. Who has
# not heard of older ones is told so.
MOST_ENDED: Final = 50_000

_COLUMNS = "id, uid, login, scheme, address, created, ends, last_seen, certificate"


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as all processes of the portal share it. Times are Unix seconds.

    :ivar id: 192 random bits as text; worth nothing without the sealing key.
    :ivar address: where it was opened from.
    :ivar ends: absolute end, whatever happens.
    :ivar certificate: by which it was opened, DER; empty for another way.
    """

    id: str
    uid: int
    login: str
    scheme: str
    address: str
    created: float
    ends: float
    last_seen: float
    certificate: bytes = b""


class Store(Protocol):
    """What all processes of the portal share about sessions. Calls block, are atomic, and run beside the reactor."""

    def add(self, row: SessionRow, most: int) -> list[str]:
        """Keep a session; the account's oldest beyond ``most`` end, and are named."""
        ...

    def find(self, session: str) -> tuple[SessionRow | None, int]:
        """A session that was not ended, and the `changes` position at which that was so."""
        ...

    def of_account(self, uid: int) -> list[SessionRow]:
        """Sessions of an account, oldest first."""
        ...

    def seen(self, times: Mapping[str, float]) -> None:
        """When sessions were last used; an earlier time than the known one changes nothing."""
        ...

    def end(self, session: str, reason: str) -> None:
        """A session is over; unknown ones as well."""
        ...

    def end_all(self, uid: int, reason: str) -> None:
        """Every session of an account is over."""
        ...

    def changes(self, since: int) -> tuple[int, list[tuple[str, str]], bool]:
        """Newest position, (session, reason) of what ended after ``since``, and whether that is all of it."""
        ...

    def forget(self, now: float, idle: float) -> None:
        """Remove what expired: ends before ``now``, or was not seen for ``idle`` seconds."""
        ...


class SqliteStore:
    """Keeps rows in one file; see `SqliteFile`.

    :param now: Unix seconds, for the age of what ended.
    :param owner: see `open_private`.
    """

    def __init__(self, path: Path, *, now: Callable[[], float], owner: int | None = None) -> None:
        self._now = now
        cost = "everybody signs in again"
        self._file = SqliteFile(path, schema=_SCHEMA, version=_VERSION, cost=cost, owner=owner, upgrades=_UPGRADES)

    def open(self) -> None:
        """Open the file, or make it.

        :raises Exposed: when others could write it, or it is not ours; says what to do.
        """
        self._file.open()

    def close(self) -> None:
        """Close the file; nothing may be called afterwards but `open`."""
        self._file.close()

    def add(self, row: SessionRow, most: int) -> list[str]:
        """Keep a session; the account's oldest beyond ``most`` end, and are named."""
        with self._file.change() as connection:
            connection.execute(f"INSERT INTO session ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(row))  # noqa: S608
            oldest = connection.execute(
                "SELECT id FROM session WHERE uid = ? ORDER BY created DESC, rowid DESC LIMIT -1 OFFSET ?",
                (row.uid, most),
            ).fetchall()
            self._end(connection, [session for (session,) in oldest], "too many sessions of this account")
        return [session for (session,) in oldest]

    def find(self, session: str) -> tuple[SessionRow | None, int]:
        """A session that was not ended, and the `changes` position at which that was so."""
        with self._file.read() as connection:
            row = connection.execute(f"SELECT {_COLUMNS} FROM session WHERE id = ?", (session,)).fetchone()  # noqa: S608
            return (None if row is None else SessionRow(*row)), self._position(connection)

    def of_account(self, uid: int) -> list[SessionRow]:
        """Sessions of an account, oldest first."""
        with self._file.read() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM session WHERE uid = ? ORDER BY created, rowid",  # noqa: S608
                (uid,),
            )
            return [SessionRow(*row) for row in rows]

    def all(self) -> list[SessionRow]:
        """Sessions of all accounts, by account, the oldest first."""
        with self._file.read() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM session ORDER BY login, created, rowid")  # noqa: S608
            return [SessionRow(*row) for row in rows]

    def seen(self, times: Mapping[str, float]) -> None:
        """When sessions were last used; an earlier time than the known one changes nothing."""
        with self._file.change() as connection:
            connection.executemany(
                "UPDATE session SET last_seen = max(last_seen, ?) WHERE id = ?",
                [(seconds, session) for session, seconds in times.items()],
            )

    def end(self, session: str, reason: str) -> None:
        """A session is over; unknown ones as well."""
        with self._file.change() as connection:
            self._end(connection, [session], reason)

    def end_all(self, uid: int, reason: str) -> None:
        """Every session of an account is over."""
        with self._file.change() as connection:
            found = connection.execute("SELECT id FROM session WHERE uid = ?", (uid,)).fetchall()
            self._end(connection, [session for (session,) in found], reason)

    def changes(self, since: int) -> tuple[int, list[tuple[str, str]], bool]:
        """Newest position, (session, reason) of what ended after ``since``, and whether that is all of it."""
        with self._file.read() as connection:
            rows = connection.execute(
                "SELECT session, reason FROM ended WHERE number > ? ORDER BY number", (since,)
            ).fetchall()
            position = self._position(connection)
            return position, rows, len(rows) == max(position - since, 0)

    def use_ticket(self, ticket: str, ends: float) -> bool:
        """True for the first caller of all processes, False ever after, until the ticket is long past its end."""
        with self._file.change() as connection:
            cursor = connection.execute("INSERT OR IGNORE INTO used_ticket (id, ends) VALUES (?, ?)", (ticket, ends))
            return cursor.rowcount == 1

    def forget(self, now: float, idle: float) -> None:
        """Remove what expired: ends before ``now``, or was not seen for ``idle`` seconds; each with a margin."""
        with self._file.change() as connection:
            connection.execute("DELETE FROM session WHERE ends < ?", (now - _MARGIN,))
            connection.execute("DELETE FROM session WHERE last_seen < ?", (now - idle - _MARGIN,))
            connection.execute("DELETE FROM used_ticket WHERE ends < ?", (now - _MARGIN,))
            connection.execute("DELETE FROM ended WHERE at < ?", (now - _HEARD,))

    def _end(self, connection: sqlite3.Connection, sessions: list[str], reason: str) -> None:
        rows = [(session, reason, self._now()) for session in sessions]
        connection.executemany("INSERT INTO ended (session, reason, at) VALUES (?, ?, ?)", rows)
        connection.executemany("DELETE FROM session WHERE id = ?", [(session,) for session in sessions])
        connection.execute("DELETE FROM ended WHERE number <= ?", (self._position(connection) - MOST_ENDED,))

    def _position(self, connection: sqlite3.Connection) -> int:
        found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'ended'").fetchone()
        return 0 if found is None else int(found[0])
