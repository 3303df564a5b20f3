"""Where locks are kept, and the dead properties of files whose file system takes none: one SQLite file in the state
folder. Every call blocks, and belongs in one thread beside the reactor's.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from supercloud.authn.private import Exposed, open_private
from supercloud.desk.wire import Key

_VERSION: Final = 1
_BUSY: Final = 5.0  # seconds that a call waits for another process' write, such as a backup's
_SCHEMA: Final = """
CREATE TABLE lock (
    id INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT NOT NULL UNIQUE, key BLOB NOT NULL, device BLOB NOT NULL,
    path BLOB NOT NULL, uid INTEGER NOT NULL, scope TEXT NOT NULL, depth TEXT NOT NULL, owner BLOB NOT NULL,
    href TEXT NOT NULL, ends REAL NOT NULL
);
CREATE INDEX lock_by_key ON lock (key);
CREATE INDEX lock_by_path ON lock (device, path);
CREATE INDEX lock_by_account ON lock (uid);
CREATE INDEX lock_by_end ON lock (ends);
CREATE TABLE property (
    key BLOB NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, uid INTEGER NOT NULL, used REAL NOT NULL,
    PRIMARY KEY (key, name)
) WITHOUT ROWID;
CREATE INDEX property_by_account ON property (uid, used)
"""
_KEY: Final = struct.Struct(">QQQ")


class Store:
    """The file, made with mode 0600.

    All use raises `sqlite3.Error` when the file cannot be used.

    :param owner: see `open_private`.
    """

    def __init__(self, path: Path, *, owner: int | None = None) -> None:
        self._path = path
        self._owner = owner
        self._guard = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, or make it.

        :raises Exposed: when others could write it, or it is not ours; says what to do.
        """
        # Closed before SQLite opens it: closing a descriptor drops the locks that the process holds on the file.
        os.close(open_private(self._path, os.O_RDWR | os.O_CREAT, owner=self._owner))
        connection = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except sqlite3.DatabaseError as error:
            connection.close()
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise Exposed(f"{self._path}: {error}; move it away: all locks end") from None
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def close(self) -> None:
        """Close the file; nothing may be called afterwards but ``open``."""
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction, all of which happens or nothing."""
        with self._guard:
            if self._connection is None:
                raise sqlite3.ProgrammingError(f"{self._path} is not open")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """For single queries."""
        with self._guard:
            if self._connection is None:
                raise sqlite3.ProgrammingError(f"{self._path} is not open")
            yield self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # NORMAL: what was confirmed survives the end of the process; a power failure may cost the last moment's locks.
        connection.execute("PRAGMA synchronous = NORMAL")
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise Exposed(f"{self._path}: the state folder must be on a local file system")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise Exposed(
                f"{self._path}: is of version {version}, and this portal knows {_VERSION}; move it away: all locks end"
            )
        if version == 0:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.execute("COMMIT")


def to_blob(key: Key) -> bytes:
    """A key as it is kept; SQLite's integers are too short for some inode numbers."""
    return _KEY.pack(key.device, key.inode, key.born)


def from_blob(blob: bytes) -> Key:
    """The key again."""
    return Key(*_KEY.unpack(blob))
