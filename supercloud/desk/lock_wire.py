"""Locks at the desk (RFC 4918 sections 6 and 7): requests and answers.

A lock belongs to an account and lies on a file or folder, which is told by a `Key`. To lock something, a descriptor of
it comes with the request; what else is said about it would be worth nothing. Keys of the folders above it are named by
who asks, because nobody but the asker gains or loses by them: they say which folders' locks bind the request.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from supercloud.desk.wire import Key, Message, Number

MOST_SECONDS: Final = 7 * 24 * 3600
MOST_OWNER: Final = 4096  # bytes of a lock's owner element
MOST_KEYS: Final = 512  # in one request; a path of 4,096 bytes has hardly more folders
MOST_TOKENS: Final = 64
MOST_PAIRS: Final = 1500

Scope = Literal["exclusive", "shared"]
Depth = Literal["0", "infinity"]
Token = Annotated[str, msgspec.Meta(max_length=128)]
Href = Annotated[str, msgspec.Meta(max_length=16 * 1024)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=MOST_SECONDS)]
Keys = Annotated[tuple[Key, ...], msgspec.Meta(max_length=MOST_KEYS)]
Tokens = Annotated[tuple[Token, ...], msgspec.Meta(max_length=MOST_TOKENS)]
Id = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]  # as SQLite numbers rows
Ids = Annotated[tuple[Id, ...], msgspec.Meta(max_length=1024)]


class ActiveLock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lock that holds.

    :ivar id: the desk's number of it, never used again.
    :ivar uid: whose it is; nobody else may use, refresh or remove it.
    :ivar left: seconds.
    :ivar owner: the XML element that the client gave, as it was.
    :ivar href: the lock root, as it was addressed; empty for other accounts than its own.
    """

    id: int
    token: str
    key: Key
    uid: int
    scope: Scope
    depth: Depth
    left: int
    owner: bytes
    href: str


# Requests.


class AcquireLock(Message, frozen=True, tag="acquire-lock"):
    """Lock what the descriptor leads to; answered by `Granted` or `Conflict`.

    A file's descriptor was opened for writing; a folder's may be O_PATH.

    :ivar href: the address to name as the lock root, below /dav.
    :ivar above: keys of the folders that hold it.
    """

    scope: Scope
    depth: Depth
    seconds: Seconds
    owner: Annotated[bytes, msgspec.Meta(max_length=MOST_OWNER)]
    href: Href
    above: Keys


class RefreshLock(Message, frozen=True, tag="refresh-lock"):
    """Let an own lock hold for so long from now; answered by `Granted`."""

    token: Token
    seconds: Seconds


class ReleaseLock(Message, frozen=True, tag="release-lock"):
    """Remove an own lock; answered by `Done`."""

    token: Token


class ReadLock(Message, frozen=True, tag="read-lock"):
    """Which lock has this token? Answered by `Found`, with one or none."""

    token: Token


class FindLocks(Message, frozen=True, tag="find-locks"):
    """Locks that lie on these files themselves; answered by `Found`.

    :ivar after: number of the last lock of the answer before this one.
    """

    keys: Keys
    after: Number = 0


class FilterLocked(Message, frozen=True, tag="filter-locked"):
    """On which of these (device, inode) does a lock lie? Answered by `Locked`."""

    pairs: Annotated[tuple[tuple[Number, Number], ...], msgspec.Meta(max_length=MOST_PAIRS)]


class CheckWrite(Message, frozen=True, tag="check-write"):
    """May something be changed, by somebody who knows these tokens? Answered by `Free` or `Conflict`.

    With a descriptor of a folder, everything below it is changed too.

    :ivar key: what is changed itself; None when it is not there yet.
    """

    key: Key | None
    above: Keys
    tokens: Tokens


class DropLocks(Message, frozen=True, tag="drop-locks"):
    """Locks on what was removed or moved away, from `Free`; answered by `Done`. Only own ones go."""

    ids: Ids


class BeginWrite(Message, frozen=True, tag="begin-write"):
    """The same as `CheckWrite`; until `EndWrite` or the connection's end, what the descriptor leads to cannot be
    locked. Answered by `Begun` or `Conflict`. The descriptor is one of a file, opened for writing.
    """

    above: Keys
    tokens: Tokens


class ExpectWrite(Message, frozen=True, tag="expect-write"):
    """The file that the descriptor, opened for writing, leads to will take the name of the one that is written; until
    `EndWrite` nobody else may change it either. Answered by `Done`.

    :ivar write: number from `Begun`.
    """

    write: Number


class FollowWrite(Message, frozen=True, tag="follow-write"):
    """A file took the name of the one that was written: its locks and stored properties now lie on what the descriptor,
    opened for writing, leads to. Answered by `Done`. Shared locks of others follow only to the same path.

    :ivar write: number from `Begun`.
    """

    write: Number


class EndWrite(Message, frozen=True, tag="end-write"):
    """Answered by `Done`, also when there is no such write any more."""

    write: Number


LockRequest = (
    AcquireLock
    | RefreshLock
    | ReleaseLock
    | ReadLock
    | FindLocks
    | FilterLocked
    | CheckWrite
    | DropLocks
    | BeginWrite
    | ExpectWrite
    | FollowWrite
    | EndWrite
)


# Answers. `Refused` has the codes ``not-writable``, ``not-owner``, ``not-yours``, ``unknown-lock``, ``too-many``,
# ``full``, ``no-descriptor``, ``not-served``, ``unknown-write``, and those of the desk itself.


class Granted(Message, frozen=True, tag="granted"):
    """The lock as it is now."""

    lock: ActiveLock


class Obstacle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What forbids it.

    :ivar key: where it lies: on the file itself or on a folder above; None for something below, or for a write that
        goes on.
    """

    key: Key | None


class Conflict(Message, frozen=True, tag="conflict"):
    """It may not be done."""

    obstacles: tuple[Obstacle, ...]


class Free(Message, frozen=True, tag="free"):
    """It may be done.

    :ivar ids: locks on it and below it, for `DropLocks`.
    """

    ids: Ids


class Begun(Message, frozen=True, tag="begun"):
    """:ivar must_follow: locks or stored properties lie on the file itself, so what takes its name must be told
    (`FollowWrite`).
    """

    write: int
    key: Key
    must_follow: bool


class Found(Message, frozen=True, tag="found"):
    """:ivar is_complete: False when there are more, which are asked for by ``after``."""

    locks: tuple[ActiveLock, ...]
    is_complete: bool


class Locked(Message, frozen=True, tag="locked"):
    """Positions in the question's list."""

    positions: tuple[int, ...]
