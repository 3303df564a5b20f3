"""Where locks are kept, and the dead properties of files whose file system takes none: one SQLite file in the state
folder. Every call blocks, and belongs in one thread beside the reactor's.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from supercloud.authn.sqlite import SqliteFile
from supercloud.desk.wire import Key

_VERSION: Final = 1
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
CREATE INDEX property_by_account ON property (uid, used);
"""
_KEY: Final = struct.Struct(">QQQ")


class Store(SqliteFile):
    """The file.

    :param owner: see `open_private`.
    """

    def __init__(self, path: Path, *, owner: int | None = None) -> None:
        super().__init__(
            path,
            schema=_SCHEMA,
            version=_VERSION,
            cost="all locks end",
            owner=owner,
            survives_power_failure=False,  # a lock of the last moment
        )


def to_blob(key: Key) -> bytes:
    """A key as it is kept; SQLite's integers are too short for some inode numbers."""
    return _KEY.pack(key.device, key.inode, key.born)


def from_blob(blob: bytes) -> Key:
    """The key again."""
    return Key(*_KEY.unpack(blob))
