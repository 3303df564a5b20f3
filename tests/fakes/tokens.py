"""Tokens without a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from supercloud.authn.token_store import KEPT, TokenRow, TooManyTokens


class FakeTokenStore:
    """Implements `authn.token_store.TokenStore`; several processes may share one."""

    def __init__(self) -> None:
        self.rows: dict[str, TokenRow] = {}

    def add(self, row: TokenRow, most: int) -> None:
        for one in self.of_account(row.uid):
            if one.ends <= row.created:
                self.revoke(row.uid, one.id)
        if len(self.of_account(row.uid)) >= most:
            raise TooManyTokens(f"{row.login} has {most} tokens")
        over = sorted(
            (one for one in self.rows.values() if one.uid == row.uid and one.ends < 0), key=lambda one: -one.created
        )
        for one in over[most:]:
            del self.rows[one.id]
        self.rows[row.id] = row

    def find(self, digest: bytes) -> TokenRow | None:
        return next((row for row in self.rows.values() if row.digest == digest), None)

    def of_account(self, uid: int) -> list[TokenRow]:
        return sorted(
            (row for row in self.rows.values() if row.uid == uid and row.ends > 0),
            key=lambda row: (row.created, row.id),
        )

    def living(self, ids: Collection[str]) -> set[str]:
        return {one for one in ids if one in self.rows and self.rows[one].ends > 0}

    def revoke(self, uid: int, token: str) -> bool:
        is_theirs = token in self.rows and self.rows[token].uid == uid and self.rows[token].ends > 0
        if is_theirs:
            self.rows[token] = replace(self.rows[token], ends=-self.rows[token].ends)
        return is_theirs

    def used(self, times: Mapping[str, float]) -> None:
        for token, seconds in times.items():
            if token in self.rows:
                row = self.rows[token]
                self.rows[token] = replace(row, last_used=max(row.last_used, seconds))

    def forget(self, now: float) -> None:
        self.rows = {token: row for token, row in self.rows.items() if abs(row.ends) >= now - KEPT}
