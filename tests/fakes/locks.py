"""Accounts that an administrator locked, without a file."""

from __future__ import annotations

from supercloud.authn.lock_store import LockRow


class FakeLockStore:
    """Implements `authn.lock_store.LockStore`."""

    def __init__(self) -> None:
        self._rows: dict[int, LockRow] = {}

    def all(self) -> list[LockRow]:
        return sorted(self._rows.values(), key=lambda row: (row.since, row.uid))

    def lock(self, row: LockRow) -> None:
        known = self._rows.get(row.uid, row)
        self._rows[row.uid] = LockRow(row.uid, row.login, row.reason, known.since)

    def unlock(self, uid: int) -> bool:
        return self._rows.pop(uid, None) is not None
