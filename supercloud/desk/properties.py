"""Dead properties that are kept here, because the file's file system does not; bounded for each file and account."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from supercloud.desk.proof import Proof
from supercloud.desk.property_wire import MOST_BYTES
from supercloud.desk.store import Store, to_blob
from supercloud.desk.wire import Key, Refusal

PER_UID: Final = 32 * 1024 * 1024  # bytes that an account wrote
_FRESH: Final = 86400.0  # seconds for which another reading is not noted


class PropertyBook:
    """All of them.

    Nobody tells when a file is removed by other ways than the portal's, so an account that wrote its full share loses
    the properties that were read and written longest ago.

    :param now: Unix seconds.
    :param per_uid: bytes.
    """

    def __init__(self, store: Store, *, now: Callable[[], float], per_uid: int = PER_UID) -> None:
        self._store = store
        self._now = now
        self._per_uid = per_uid

    def read(self, proof: Proof) -> dict[str, bytes]:
        """All properties of a file or folder.

        :raises Refusal: ``not-readable``.
        """
        if not proof.may_read:
            raise Refusal("not-readable")
        key, now = to_blob(proof.key), self._now()
        with self._store.change() as connection:
            rows = connection.execute("SELECT name, value, used FROM property WHERE key = ?", (key,)).fetchall()
            if any(used < now - _FRESH for _name, _value, used in rows):
                connection.execute("UPDATE property SET used = ? WHERE key = ?", (now, key))
        return {name: value for name, value, _used in rows}

    def has(self, key: Key) -> bool:
        """Whether there is one."""
        with self._store.read() as connection:
            found = connection.execute("SELECT 1 FROM property WHERE key = ? LIMIT 1", (to_blob(key),)).fetchone()
        return found is not None

    def filter(self, pairs: Sequence[tuple[int, int]]) -> tuple[int, ...]:
        """Positions of those (device, inode) that have any."""
        query, last = "SELECT 1 FROM property WHERE key >= ? AND key <= ? LIMIT 1", 2**64 - 1
        with self._store.read() as connection:
            return tuple(
                at
                for at, pair in enumerate(pairs)
                if connection.execute(query, (to_blob(Key(*pair, 0)), to_blob(Key(*pair, last)))).fetchone()
            )

    def replace(self, uid: int, proof: Proof, properties: Mapping[str, bytes]) -> None:
        """Let there be these and no others.

        :raises Refusal: ``not-writable``, ``too-large``.
        """
        if not proof.may_write:
            raise Refusal("not-writable")
        key, now = to_blob(proof.key), self._now()
        with self._store.change() as connection:
            connection.execute("DELETE FROM property WHERE key = ?", (key,))
            connection.executemany(
                "INSERT INTO property (key, name, value, uid, used) VALUES (?, ?, ?, ?, ?)",
                [(key, name, value, uid, now) for name, value in properties.items()],
            )
            if _size(connection, "key = ?", key) > MOST_BYTES:
                raise Refusal("too-large")
            self._make_room(connection, uid, key)

    def move(self, old: Key, new: Key) -> None:
        """The new file took the old one's name."""
        if old == new:
            return
        with self._store.change() as connection:
            connection.execute("DELETE FROM property WHERE key = ?", (to_blob(new),))
            connection.execute("UPDATE property SET key = ? WHERE key = ?", (to_blob(new), to_blob(old)))

    def _make_room(self, connection: sqlite3.Connection, uid: int, kept: bytes) -> None:
        while _size(connection, "uid = ?", uid) > self._per_uid:
            oldest = connection.execute(
                "SELECT key FROM property WHERE uid = ? AND key <> ? ORDER BY used LIMIT 1", (uid, kept)
            ).fetchone()
            if oldest is None:
                raise Refusal("too-large")
            connection.execute("DELETE FROM property WHERE key = ? AND uid = ?", (oldest[0], uid))


def _size(connection: sqlite3.Connection, where: str, value: object) -> int:
    query = f"SELECT coalesce(sum(length(value) + length(name)), 0) FROM property WHERE {where}"  # noqa: S608
    return int(connection.execute(query, (value,)).fetchone()[0])
