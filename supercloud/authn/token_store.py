"""Where the portal's processes share tokens: one SQLite file in the state folder. It holds no token's text."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from supercloud.authn.sqlite import SqliteFile

KEPT: Final = 7 * 86400.0  # seconds for which an expired token is still listed, so that its owner sees why

_VERSION: Final = 1
_SCHEMA = """
CREATE TABLE token (
    id TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, uid INTEGER NOT NULL, login TEXT NOT NULL, scope TEXT NOT NULL,
    name TEXT NOT NULL, created REAL NOT NULL, ends REAL NOT NULL, last_used REAL NOT NULL
);
CREATE INDEX token_of_account ON token (uid, created);
CREATE INDEX token_by_end ON token (ends);
"""
_COLUMNS = "id, digest, uid, login, scope, name, created, ends, last_used"
_ALL = f"SELECT {_COLUMNS} FROM token"  # noqa: S608
_OVER = "UPDATE token SET ends = -ends WHERE ends > 0"
_FORGET_OLDEST = """
DELETE FROM token WHERE id IN (
    SELECT id FROM token WHERE uid = ? AND ends <= 0 ORDER BY created DESC, id LIMIT -1 OFFSET ?
)
"""


class TooManyTokens(Exception):
    """The account has as many as it may."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as all processes of the portal share it. Times are Unix seconds.

    :ivar id: names it, and opens nothing.
    :ivar digest: SHA-256 of its text.
    :ivar scope: what it is for, as it was written then; see `authn.scope.stored_scopes`.
    :ivar name: the owner's note.
    :ivar ends: negative once it was revoked, or expired and made room; it is kept for a while so that whoever shows it
        can be told from somebody who made one up.
    :ivar last_used: 0 for never.
    """

    id: str
    digest: bytes
    uid: int
    login: str
    scope: str
    name: str
    created: float
    ends: float
    last_used: float = 0.0

    @property
    def told(self) -> str:
        """What is said of a new one in the audit."""
        ends = datetime.fromtimestamp(self.ends, UTC)
        name = f", called {self.name!r}" if self.name else ""
        return f"token {self.id} for {self.scope}{name}, until {ends:%Y-%m-%d %H:%M} UTC"


class TokenStore(Protocol):
    """What all processes of the portal share about tokens. Calls block, are atomic, and run beside the reactor."""

    def add(self, row: TokenRow, most: int) -> None:
        """Keep a token; those of the account that expired make room, and of those that are over ``most`` stay known.

        :raises TooManyTokens: the account has ``most`` that are good.
        """
        ...

    def find(self, digest: bytes) -> TokenRow | None:
        """The token whose text has that digest, also one that is over; None when there is none, or no longer."""
        ...

    def of_account(self, uid: int) -> list[TokenRow]:
        """Tokens of an account, oldest first."""
        ...

    def living(self, ids: Collection[str]) -> set[str]:
        """Which of these were not revoked."""
        ...

    def revoke(self, uid: int, token: str) -> bool:
        """Whether that was a token of the account; then it is no longer."""
        ...

    def used(self, times: Mapping[str, float]) -> None:
        """When tokens were last used; an earlier time than the known one changes nothing."""
        ...

    def forget(self, now: float) -> None:
        """Remove what expired, or would have, `KEPT` seconds ago."""
        ...


class SqliteTokenStore:
    """Keeps rows; see `SqliteFile`.

    :param owner: see `open_private`.
    """

    def __init__(self, path: Path, *, owner: int | None = None) -> None:
        self._file = SqliteFile(path, schema=_SCHEMA, version=_VERSION, cost="all tokens end", owner=owner)

    def open(self) -> None:
        """Open the file, or make it.

        :raises Exposed: when others could write it, or it is not ours; says what to do.
        """
        self._file.open()

    def close(self) -> None:
        """Close the file; nothing may be called afterwards but `open`."""
        self._file.close()

    def add(self, row: TokenRow, most: int) -> None:
        """See `TokenStore.add`."""
        with self._file.change() as connection:
            connection.execute(f"{_OVER} AND uid = ? AND ends <= ?", (row.uid, row.created))
            [count] = connection.execute("SELECT count(*) FROM token WHERE uid = ? AND ends > 0", (row.uid,)).fetchone()
            if count >= most:
                raise TooManyTokens(f"{row.login} has {count} tokens")
            connection.execute(_FORGET_OLDEST, (row.uid, most))
            connection.execute(f"INSERT INTO token ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(row))  # noqa: S608

    def find(self, digest: bytes) -> TokenRow | None:
        """See `TokenStore.find`."""
        with self._file.read() as connection:
            row = connection.execute(f"{_ALL} WHERE digest = ?", (digest,)).fetchone()
            return None if row is None else TokenRow(*row)

    def of_account(self, uid: int) -> list[TokenRow]:
        """See `TokenStore.of_account`."""
        with self._file.read() as connection:
            return [
                TokenRow(*row)
                for row in connection.execute(f"{_ALL} WHERE uid = ? AND ends > 0 ORDER BY created, id", (uid,))
            ]

    def living(self, ids: Collection[str]) -> set[str]:
        """See `TokenStore.living`."""
        with self._file.read() as connection:
            found = connection.execute(
                "SELECT id FROM token WHERE ends > 0 AND id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(ids)),),
            )
            return {one for (one,) in found}

    def revoke(self, uid: int, token: str) -> bool:
        """See `TokenStore.revoke`."""
        with self._file.change() as connection:
            return connection.execute(f"{_OVER} AND uid = ? AND id = ?", (uid, token)).rowcount == 1

    def revoke_all(self, uid: int) -> int:
        """No token of the account is good any longer; how many there were."""
        with self._file.change() as connection:
            return connection.execute(f"{_OVER} AND uid = ?", (uid,)).rowcount

    def used(self, times: Mapping[str, float]) -> None:
        """See `TokenStore.used`."""
        with self._file.change() as connection:
            connection.executemany(
                "UPDATE token SET last_used = max(last_used, ?) WHERE id = ?",
                [(seconds, token) for token, seconds in times.items()],
            )

    def forget(self, now: float) -> None:
        """See `TokenStore.forget`."""
        with self._file.change() as connection:
            connection.execute("DELETE FROM token WHERE abs(ends) < ?", (now - KEPT,))
