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
        expired = [one.id for one in self.of_account(row.uid) if one.ends <= row.created]
        for token in expired:
            del self.rows[token]
        if len(self.of_account(row.uid)) >= most:
            raise TooManyTokens(f"{row.login} has {most} tokens")
        self.rows[row.id] = row

    def find(self, digest: bytes) -> TokenRow | None:
        return next((row for row in self.rows.values() if row.digest == digest), None)

    def of_account(self, uid: int) -> list[TokenRow]:
        return sorted((row for row in self.rows.values() if row.uid == uid), key=lambda row: (row.created, row.id))

    def living(self, ids: Collection[str]) -> set[str]:
        return set(ids) & set(self.rows)

    def revoke(self, uid: int, token: str) -> bool:
        is_theirs = token in self.rows and self.rows[token].uid == uid
        if is_theirs:
            del self.rows[token]
        return is_theirs

    def used(self, times: Mapping[str, float]) -> None:
        for token, seconds in times.items():
            if token in self.rows:
                row = self.rows[token]
                self.rows[token] = replace(row, last_used=max(row.last_used, seconds))

    def forget(self, now: float) -> None:
        self.rows = {token: row for token, row in self.rows.items() if row.ends >= now - KEPT}
