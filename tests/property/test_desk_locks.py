"""Locks in a tree, held against a model: a dict of who holds what where."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from supercloud.desk.lock_wire import AcquireLock, Depth, Free, Granted, Scope
from supercloud.desk.locks import LockBook
from supercloud.desk.proof import Proof
from supercloud.desk.properties import PropertyBook
from supercloud.desk.store import Store
from supercloud.desk.wire import Key

PATHS = ("/", "/a", "/a/b", "/a/b/x", "/a/y", "/ab", "/ab/z")
FOLDERS = frozenset({"/", "/a", "/a/b", "/ab"})
KEYS = {path: Key(1, number, 7) for number, path in enumerate(PATHS, 1)}
UIDS = (1001, 1002)

nodes, folders, uids = st.sampled_from(PATHS), st.sampled_from(sorted(FOLDERS)), st.sampled_from(UIDS)
scopes, depths = st.sampled_from(("exclusive", "shared")), st.sampled_from(("0", "infinity"))


def above(path: str) -> list[str]:
    return [folder for folder in PATHS if folder != path and path.startswith(folder.rstrip("/") + "/")]


def proof(path: str) -> Proof:
    return Proof(KEYS[path], path.encode(), path in FOLDERS, True, True, is_own=True, is_sticky=False)


@dataclass(frozen=True)
class Lock:
    uid: int
    path: str
    scope: Scope
    depth: Depth
    ends: float

    def touches(self, path: str, *, members: bool) -> bool:
        """Whether it binds a change there."""
        if path == self.path or (self.depth == "infinity" and self.path in above(path)):
            return True
        return members and path in above(self.path)


class Locks(RuleBasedStateMachine):
    """Two accounts in one tree."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.folder.name) / "desk.sqlite")
        self.store.open()
        self.now = 1000.0
        self.book = LockBook(self.store, PropertyBook(self.store, now=self.time), now=self.time)
        self.held: dict[str, Lock] = {}

    def time(self) -> float:
        return self.now

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(uid=uids, path=nodes, scope=scopes, depth=depths, seconds=st.integers(1, 50))
    def lock(self, uid: int, path: str, scope: Scope, depth: Depth, seconds: int) -> None:
        depth = depth if path in FOLDERS else "0"
        keys = tuple(KEYS[folder] for folder in above(path))
        answer = self.book.acquire(uid, proof(path), AcquireLock(scope, depth, seconds, b"", path, keys))
        against = [
            lock
            for lock in self.held.values()
            if lock.touches(path, members=depth == "infinity") and "exclusive" in (lock.scope, scope)
        ]

        assert isinstance(answer, Granted) == (not against)
        if isinstance(answer, Granted):
            self.held[answer.lock.token] = Lock(uid, path, scope, depth, self.now + seconds)

    @rule(uid=uids, path=nodes, members=st.booleans(), shown=st.sets(st.integers(0, 5), max_size=4))
    def change(self, uid: int, path: str, members: bool, shown: set[int]) -> None:
        members = members and path in FOLDERS
        tokens = [token for number, token in enumerate(self.held) if number in shown] or ["none"]
        answer = self.book.check(
            self,
            uid,
            KEYS[path],
            [KEYS[folder] for folder in above(path)],
            tokens=tokens,
            within=proof(path) if members else None,
        )
        bound = {token: lock for token, lock in self.held.items() if lock.touches(path, members=members)}
        passed = {lock.path for token, lock in bound.items() if lock.uid == uid and token in tokens}

        assert isinstance(answer, Free) == all(lock.path in passed for lock in bound.values())

    @rule(number=st.integers(0, 5))
    def unlock(self, number: int) -> None:
        # By its place among them: tokens are made anew in each run, so that their order is none to draw from.
        if number < len(self.held):
            token = list(self.held)[number]
            self.book.release(self.held.pop(token).uid, token)

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.held = {token: lock for token, lock in self.held.items() if lock.ends > self.now}

    @invariant()
    def every_lock_is_found_where_it_lies_and_no_other(self) -> None:
        found = self.book.find(UIDS[0], list(KEYS.values()), 0).locks
        assert {lock.token: lock.uid for lock in found} == {token: lock.uid for token, lock in self.held.items()}

    @invariant()
    def an_exclusive_lock_stands_alone(self) -> None:
        locks = list(self.held.values())
        for at, one in enumerate(locks):
            for other in locks[at + 1 :]:
                if one.touches(other.path, members=False) or other.touches(one.path, members=False):
                    assert (one.scope, other.scope) == ("shared", "shared")


TestLocks = Locks.TestCase
TestLocks.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
