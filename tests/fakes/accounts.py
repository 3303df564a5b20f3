"""An account database of a few people."""

from __future__ import annotations

from supercloud.identity import NoAccount, Principal

ALICE = Principal("alice", 1001, 1001, frozenset({1001}))
BOB = Principal("bob", 1002, 1002, frozenset({1002, 2000}))
CAROL = Principal("carol", 1003, 1003, frozenset({1003}))


class FakeAccounts:
    """Implements `PrincipalLookup`."""

    def __init__(self, *principals: Principal) -> None:
        self.known = {one.uid: one for one in principals or (ALICE, BOB, CAROL)}

    async def find(self, key: str | int) -> Principal:
        for one in self.known.values():
            if key in (one.uid, one.login):
                return one
        raise NoAccount(f"no account {key!r}")

    async def exists(self, login: str) -> bool:
        return login == "root" or any(one.login == login for one in self.known.values())
