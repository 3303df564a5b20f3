"""What descriptors would prove, without files."""

from __future__ import annotations

from typing import Any

from supercloud.desk.lock_wire import AcquireLock, ActiveLock, Depth, Granted, Scope
from supercloud.desk.locks import LockBook
from supercloud.desk.proof import Proof
from supercloud.desk.wire import Key

ALICE, BOB = 1001, 1002
ROOT, PROJ, FILE, OTHER = (Key(1, inode, 7) for inode in (2, 3, 4, 5))
PATHS = {ROOT: b"/", PROJ: b"/proj", FILE: b"/proj/file", OTHER: b"/proj/other"}
ABOVE = {ROOT: (), PROJ: (ROOT,), FILE: (PROJ, ROOT), OTHER: (PROJ, ROOT)}


class Clock:
    """Unix seconds."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def proof(key: Key = FILE, **changes: Any) -> Proof:
    """What a good descriptor of one of these proves."""
    given: dict[str, Any] = {
        "key": key,
        "path": PATHS.get(key, b""),
        "is_folder": key in (ROOT, PROJ),
        "may_write": True,
        "may_read": True,
        "is_own": True,
        "is_sticky": False,
    }
    return Proof(**{**given, **changes})


def wanted(key: Key = FILE, scope: Scope = "exclusive", depth: Depth = "0", **changes: Any) -> AcquireLock:
    """A request for a lock."""
    given: dict[str, Any] = {"seconds": 60, "owner": b"<owner/>", "href": "/x", "above": ABOVE[key]}
    return AcquireLock(scope=scope, depth=depth, **{**given, **changes})


def granted(
    book: LockBook, uid: int, key: Key = FILE, scope: Scope = "exclusive", depth: Depth = "0", **changes: Any
) -> ActiveLock:
    """A lock that is granted."""
    answer = book.acquire(uid, proof(key), wanted(key, scope, depth, **changes))
    assert isinstance(answer, Granted)
    return answer.lock
