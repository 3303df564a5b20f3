"""The locks themselves: granted, checked, refreshed and removed; kept in the store. No I/O but the store's."""

from __future__ import annotations

import secrets
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from supercloud.desk.lock_rules import Held, binding, forbidding, hindering
from supercloud.desk.lock_wire import (
    AcquireLock,
    ActiveLock,
    Begun,
    Conflict,
    Found,
    Free,
    Granted,
    Locked,
    Obstacle,
)
from supercloud.desk.proof import Proof
from supercloud.desk.properties import PropertyBook
from supercloud.desk.store import Store, from_blob, to_blob
from supercloud.desk.wire import Key, Message, Refusal
from supercloud.desk.writes import Write, Writes

PER_UID: Final = 10_000
BYTES: Final = 8 * 1024 * 1024  # of one account's locks: what clients wrote into them, and paths
# Of all accounts. In a book that is full everybody may still have so many: ten who fill it hold up nobody else.
IN_ALL: Final = 100_000
SHARE: Final = 1_000
_MOST_IDS: Final = 1024
_FEW: Final = 2000  # locks that are looked through faster than a question is asked for each file
_MOST_OBSTACLES: Final = 16
_ROOM: Final = 48 * 1024  # bytes of locks in one answer
_BINDING: Final = "id, token, key, uid, scope, depth"
_COLUMNS: Final = f"{_BINDING}, ends, owner, href"
_Row = tuple[int, str, bytes, int, str, str, float, bytes, str]
_Binding = tuple[int, str, bytes, int, str, str]  # of ten thousand locks the rest would be 200 MB


class LockBook:
    """Every lock of every account.

    :param now: Unix seconds: locks outlive the process.
    """

    def __init__(
        self,
        store: Store,
        properties: PropertyBook,
        *,
        now: Callable[[], float],
        per_uid: int = PER_UID,
        most_bytes: int = BYTES,
        in_all: int = IN_ALL,
        share: int = SHARE,
    ) -> None:
        self._store = store
        self._properties = properties
        self._now = now
        self._limits = per_uid, most_bytes, in_all, share
        self.writes = Writes()

    def acquire(self, uid: int, proof: Proof, wanted: AcquireLock) -> Message:
        """Lock what is proven, unless other locks or a write stand against it.

        Nobody holds others up more than by ssh: who may write a file can empty it, and who may write a folder can
        remove the names in it; but only a folder's owner can close it with all that is below, and in a sticky one
        everybody's names are their own.

        :raises Refusal: ``not-writable``, ``not-owner``, ``too-many``, ``full``.
        """
        if not proof.may_write:
            raise Refusal("not-writable")
        if proof.is_folder and not proof.is_own and (proof.is_sticky or wanted.depth == "infinity"):
            raise Refusal("not-owner")
        with self._store.change() as connection:
            connection.execute("DELETE FROM lock WHERE ends <= ?", (self._now(),))
            held = self._held(connection, proof.key, wanted.above, within=proof if wanted.depth == "infinity" else None)
            against = hindering(held, wanted.scope, wanted.depth)
            if against:
                return _conflict(against)
            if self.writes.hinder_lock(proof, members=wanted.depth == "infinity"):
                return Conflict((Obstacle(proof.key),))
            self._refuse_too_many(connection, uid, len(wanted.owner) + len(wanted.href.encode()) + len(proof.path))
            # RFC 4918 section 6.5: unique for all time. 122 random bits.
            token = f"urn:uuid:{uuid.UUID(bytes=secrets.token_bytes(16), version=4)}"
            ends = self._now() + wanted.seconds
            connection.execute(
                "INSERT INTO lock (token, key, device, path, uid, scope, depth, owner, href, ends)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    token,
                    *_place(proof),
                    uid,
                    wanted.scope,
                    wanted.depth,
                    wanted.owner,
                    wanted.href,
                    ends,
                ),
            )
            return Granted(self._own(connection, uid, token))

    def refresh(self, uid: int, token: str, seconds: int) -> Granted:
        """Let an own lock hold for so long from now.

        :raises Refusal: ``unknown-lock``, ``not-yours``.
        """
        with self._store.change() as connection:
            lock = self._own(connection, uid, token)
            connection.execute("UPDATE lock SET ends = ? WHERE id = ?", (self._now() + seconds, lock.id))
            return Granted(self._own(connection, uid, token))

    def release(self, uid: int, token: str) -> None:
        """Remove an own lock.

        :raises Refusal: ``unknown-lock``, ``not-yours``.
        """
        with self._store.change() as connection:
            lock = self._own(connection, uid, token)
            connection.execute("DELETE FROM lock WHERE id = ?", (lock.id,))

    def drop(self, uid: int, ids: Sequence[int]) -> None:
        """Remove own locks; others' stay, unknown ones are nothing."""
        with self._store.change() as connection:
            connection.executemany("DELETE FROM lock WHERE id = ? AND uid = ?", [(number, uid) for number in ids])

    def read(self, uid: int, token: str) -> Found:
        """The lock of that token, if there is one."""
        with self._store.read() as connection:
            rows = self._rows(connection, "token = ?", (token,))
        return Found(tuple(self._shown(row, uid) for row in rows), True)

    def find(self, uid: int, keys: Sequence[Key], after: int) -> Found:
        """Locks on these files, by number, as many as an answer holds."""
        taken: list[ActiveLock] = []
        size = 0
        with self._store.read() as connection:
            rows = [row for key in set(keys) for row in self._binding(connection, "key = ?", (to_blob(key),))]
            for number in sorted(row[0] for row in rows if row[0] > after):
                for lock in self._rows(connection, "id = ?", (number,)):  # none, if it has just ended
                    size += 512 + len(lock[7]) + len(lock[8])
                    if size > _ROOM and taken:
                        return Found(tuple(taken), False)
                    taken.append(self._shown(lock, uid))
        return Found(tuple(taken), True)

    def filter(self, pairs: Sequence[tuple[int, int]]) -> Locked:
        """Positions of those (device, inode) that a lock lies on."""
        query = "SELECT DISTINCT key FROM lock WHERE ends > ? AND key >= ? AND key <= ? LIMIT ?"
        now, last = self._now(), 2**64 - 1

        def locked(first: Key, until: Key, most: int) -> set[tuple[int, int]]:
            rows = connection.execute(query, (now, to_blob(first), to_blob(until), most)).fetchall()
            return {(key.device, key.inode) for (blob,) in rows for key in (from_blob(blob),)}

        with self._store.read() as connection:
            found = locked(Key(0, 0, 0), Key(last, last, last), _FEW + 1)
            if len(found) > _FEW:
                found = {pair for pair in pairs if locked(Key(*pair, 0), Key(*pair, last), 1)}
        return Locked(tuple(at for at, pair in enumerate(pairs) if pair in found))

    def check(
        self,
        asker: object,
        uid: int,
        key: Key | None,
        above: Sequence[Key],
        *,
        tokens: Sequence[str],
        within: Proof | None = None,
    ) -> Message:
        """May it be changed?

        :param within: a folder whose members are changed too; then ``key`` is that folder's.
        """
        with self._store.read() as connection:
            held = self._held(connection, key, above, within=within)
        against = forbidding(held, uid, tokens, below=within is not None)
        if against:
            return _conflict(against)
        if self.writes.forbid(asker, key):
            return Conflict((Obstacle(key),))
        ids = [lock.id for lock in binding(held, below=within is not None) if lock.place != "above"]
        return Free(tuple(ids[:_MOST_IDS]))

    def begin(self, asker: object, uid: int, proof: Proof, above: Sequence[Key], tokens: tuple[str, ...]) -> Message:
        """Check, and hold locks off.

        :raises Refusal: ``not-writable``, ``too-many``.
        """
        if not proof.may_write or proof.is_folder:
            raise Refusal("not-writable")
        # The order matters: a lock that is granted after the check is held off already.
        write = self.writes.begin(asker, proof, tokens)
        try:
            verdict = self.check(asker, uid, proof.key, above, tokens=tokens)
        except BaseException:
            self.writes.end(asker, write.number)
            raise
        if not isinstance(verdict, Free):
            self.writes.end(asker, write.number)
            return verdict
        must_follow = bool(verdict.ids) or self._properties.has(proof.key)
        return Begun(write.number, proof.key, must_follow)

    def expect(self, write: Write, proof: Proof) -> None:
        """What will take the name of the written file is nobody else's to change.

        :raises Refusal: ``not-writable``.
        """
        if not proof.may_write or proof.is_folder:
            raise Refusal("not-writable")
        write.guarded = {proof.key}

    def follow(self, write: Write, uid: int, proof: Proof) -> None:
        """What lay on the written file lies on this one.

        :raises Refusal: ``not-writable``.
        """
        if not proof.may_write or proof.is_folder:
            raise Refusal("not-writable")
        old = write.proof
        is_same_place = bool(proof.path) and proof.path == old.path and proof.key.device == old.key.device
        with self._store.change() as connection:
            for lock in self._rows(connection, "key = ?", (to_blob(old.key),)):
                if is_same_place or (lock[3] == uid and lock[1] in write.tokens):
                    connection.execute(
                        "UPDATE lock SET key = ?, device = ?, path = ? WHERE id = ?", (*_place(proof), lock[0])
                    )
        self._properties.move(old.key, proof.key)
        write.proof = proof

    def _held(
        self, connection: sqlite3.Connection, key: Key | None, above: Iterable[Key], *, within: Proof | None
    ) -> list[Held]:
        found = []
        if key is not None:
            found += [_held(row, "here") for row in self._binding(connection, "key = ?", (to_blob(key),))]
        for folder in set(above) - {key}:
            rows = self._binding(connection, "key = ? AND depth = 'infinity'", (to_blob(folder),))
            found += [_held(row, "above") for row in rows]
        if within is not None and within.path:
            # "0" follows "/": everything that begins with the path and a slash.
            path, device = within.path.rstrip(b"/"), within.key.device.to_bytes(8, "big")
            rows = self._binding(connection, "device = ? AND path > ? AND path < ?", (device, path + b"/", path + b"0"))
            known = {lock.id for lock in found}
            found += [_held(row, "below") for row in rows if row[0] not in known]
        return found

    def _rows(self, connection: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[_Row]:
        return self._select(connection, _COLUMNS, where, values)

    def _binding(self, connection: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[_Binding]:
        return self._select(connection, _BINDING, where, values)

    def _select(
        self, connection: sqlite3.Connection, columns: str, where: str, values: tuple[object, ...]
    ) -> list[Any]:
        query = f"SELECT {columns} FROM lock WHERE {where} AND ends > ? ORDER BY id"  # noqa: S608 - our own words
        return connection.execute(query, (*values, self._now())).fetchall()

    def _own(self, connection: sqlite3.Connection, uid: int, token: str) -> ActiveLock:
        rows = self._rows(connection, "token = ?", (token,))
        if not rows:
            raise Refusal("unknown-lock")
        if rows[0][3] != uid:
            raise Refusal("not-yours")
        return self._shown(rows[0], uid)

    def _shown(self, row: _Row, uid: int) -> ActiveLock:
        number, token, blob, owner_uid, scope, depth, ends, owner, href = row
        return ActiveLock(
            id=number,
            token=token,
            key=from_blob(blob),
            uid=owner_uid,
            scope="exclusive" if scope == "exclusive" else "shared",
            depth="infinity" if depth == "infinity" else "0",
            left=max(0, round(ends - self._now())),
            owner=owner,
            href=href if owner_uid == uid else "",
        )

    def _refuse_too_many(self, connection: sqlite3.Connection, uid: int, size: int) -> None:
        """:param size: bytes of the lock that shall be one more."""
        per_uid, most_bytes, in_all, share = self._limits
        own, written = connection.execute(
            "SELECT count(*), coalesce(sum(length(owner) + length(CAST(href AS BLOB)) + length(path)), 0) FROM lock"
            " WHERE uid = ?",
            (uid,),
        ).fetchone()
        if own >= per_uid or written + size > most_bytes:
            raise Refusal("too-many", f"{own} locks of {written} bytes")
        if own >= share and connection.execute("SELECT count(*) FROM lock").fetchone()[0] >= in_all:
            raise Refusal("full", f"{own} locks, in a book of {in_all}")


def _place(proof: Proof) -> tuple[bytes, bytes, bytes]:
    return to_blob(proof.key), proof.key.device.to_bytes(8, "big"), proof.path


def _held(row: _Binding, place: str) -> Held:
    return Held(
        id=row[0],
        token=row[1],
        uid=row[3],
        scope="exclusive" if row[4] == "exclusive" else "shared",
        depth="infinity" if row[5] == "infinity" else "0",
        key=from_blob(row[2]),
        place="here" if place == "here" else "above" if place == "above" else "below",
    )


def _conflict(against: Sequence[Held]) -> Conflict:
    """What lies below is not named: it may be in folders that the asker cannot read."""
    keys = dict.fromkeys(None if lock.place == "below" else lock.key for lock in against)
    return Conflict(tuple(Obstacle(key) for key in list(keys)[:_MOST_OBSTACLES]))
