"""Where administrators' locks of accounts are kept: one SQLite file in the state folder, for all of the portal's
processes. It is a file of its own, so that moving the sessions away lets nobody in.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final, Protocol

from supercloud.authn.sqlite import SqliteFile

FILE: Final = "locked.sqlite"  # in the state folder
MAX_REASON: Final = 200  # characters
_VERSION: Final = 1
_SCHEMA = """
CREATE TABLE locked (uid INTEGER PRIMARY KEY, login TEXT NOT NULL, reason TEXT NOT NULL, since REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class LockRow:
    """An account that an administrator keeps out.

    :ivar login: as it was called then.
    :ivar reason: told to the person; may be empty.
    :ivar since: Unix seconds.
    """

    uid: int
    login: str
    reason: str
    since: float


class LockStore(Protocol):
    """What all processes of the portal share about locked accounts. Calls block, and run beside the reactor."""

    def all(self) -> list[LockRow]:
        """All locks, the oldest first."""
        ...

    def lock(self, row: LockRow) -> None:
        """Keep an account out; a lock that is there already gets the new reason."""
        ...

    def unlock(self, uid: int) -> bool:
        """Whether the account was locked; it is no longer."""
        ...


class SqliteLockStore:
    """Keeps rows; see `SqliteFile`."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, schema=_SCHEMA, version=_VERSION, cost="no account is locked any more")

    def open(self) -> None:
        """Open the file, or make it.

        :raises Exposed: when others could write it, or it is not ours; says what to do.
        """
        self._file.open()

    def close(self) -> None:
        """Close the file; nothing may be called afterwards but `open`."""
        self._file.close()

    def all(self) -> list[LockRow]:
        """See `LockStore.all`."""
        with self._file.read() as connection:
            rows = connection.execute("SELECT uid, login, reason, since FROM locked ORDER BY since, uid")
            return [LockRow(*row) for row in rows]

    def lock(self, row: LockRow) -> None:
        """See `LockStore.lock`."""
        with self._file.change() as connection:
            connection.execute(
                "INSERT INTO locked (uid, login, reason, since) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (uid) DO UPDATE SET login = excluded.login, reason = excluded.reason",
                astuple(row),
            )

    def unlock(self, uid: int) -> bool:
        """See `LockStore.unlock`."""
        with self._file.change() as connection:
            return connection.execute("DELETE FROM locked WHERE uid = ?", (uid,)).rowcount == 1
