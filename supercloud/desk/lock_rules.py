"""Which locks bind, and which may stand beside each other (RFC 4918 sections 6.1, 7.4 to 7.7 and 9.10.4); no I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from supercloud.desk.lock_wire import Depth, Scope
from supercloud.desk.wire import Key

Place = Literal["here", "above", "below"]


@dataclass(frozen=True, slots=True)
class Held:
    """A lock, as far as it binds others.

    :ivar place: where its root is, seen from what a request is about.
    """

    id: int
    token: str
    uid: int
    scope: Scope
    depth: Depth
    key: Key
    place: Place


def binding(held: Iterable[Held], *, below: bool) -> list[Held]:
    """Those that bind a request: on the resource itself, of infinite depth on a folder above, and, when all members are
    meant too, any below.
    """
    return [
        lock
        for lock in held
        if lock.place == "here"
        or (lock.place == "above" and lock.depth == "infinity")
        or (lock.place == "below" and below)
    ]


def hindering(held: Iterable[Held], scope: Scope, depth: Depth) -> list[Held]:
    """Those that a new lock cannot stand beside, whoever's they are (the table of section 6.2)."""
    bound = binding(held, below=depth == "infinity")
    return [lock for lock in bound if scope == "exclusive" or lock.scope == "exclusive"]


def forbidding(held: Iterable[Held], uid: int, tokens: Collection[str], *, below: bool) -> list[Held]:
    """Those that forbid a change to who knows these tokens.

    Each locked resource needs one lock that is the account's own and named by its token: of several shared locks on the
    same one, any will do (section 7.4 speaks of "the lock token of one").

    :param below: the change is to all members too.
    """
    bound = binding(held, below=below)
    passed = {lock.key for lock in bound if lock.uid == uid and lock.token in tokens}
    return [lock for lock in bound if lock.key not in passed]
