"""Locks (RFC 4918 sections 6 and 7): which file is meant, and what the portal's lock service is asked about it.

The service (`supercloud.desk.lock_wire`) serves the workers of all accounts, so a lock of alice's binds bob. It knows
files by device, inode and birth; a descriptor opened for writing goes with what only those may do who can write.
Nothing is written while it does not answer.

wsgidav's LOCK, UNLOCK and lockdiscovery call what has its names (``acquire`` to ``get_url_lock_list``).
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import unquote_to_bytes
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from wsgidav.dav_error import DAVError

from supercloud.dav.asking import Asking, asked
from supercloud.dav.failures import refused
from supercloud.dav.places import Place, found
from supercloud.dav.tree import Landing, Located, NotServed, Tree
from supercloud.dav.writing import Claim
from supercloud.desk import lock_wire as wire
from supercloud.desk.client import DeskGone
from supercloud.desk.wire import Done, Refusal

_DEFAULT_SECONDS: Final = 3600  # of a lock whose client names no time; it may refresh it
_MOST_ELEMENTS: Final = 100  # in a lock's owner element
_LONGEST_TOKEN: Final = 128
_TRIES: Final = 5  # for a file that others replace at the same time
_TO_WRITE: Final = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SUBMITTED: Final = "{DAV:}lock-token-submitted"
_CONFLICTING: Final = "{DAV:}no-conflicting-lock"
_MISMATCH: Final = "{DAV:}lock-token-matches-request-uri"
_log = logging.getLogger("supercloud.dav")
T = TypeVar("T")
Lock = dict[str, Any]  # as wsgidav's lock manager has it


class Locked(Exception):
    """A lock forbids it: answered 423.

    :ivar condition: which condition of RFC 4918 section 16 does not hold, in Clark's notation.
    :ivar urls: quoted, below /dav: where the locks lie, as far as the asker may know.
    """

    def __init__(self, condition: str, urls: Sequence[str]) -> None:
        super().__init__(f"{condition}: {', '.join(urls)}")
        self.condition = condition
        self.urls = urls


class Locks:
    """The locks of one worker's account and of all others.

    :param now: the time of day: locks outlive processes.
    """

    def __init__(self, tree: Tree, desk: Asking, *, now: Callable[[], float] = time.time) -> None:  # noqa: TID251
        self._tree = tree
        self._desk = desk
        self._now = now

    def check(self, located: Located, tokens: Collection[str], *, members: bool = False) -> tuple[int, ...]:
        """May it be changed, by who knows these tokens?

        :param members: everything below it changes too.
        :return: for `drop`, when it was removed or moved away.
        :raises Locked: no.
        :raises DAVError: 503.
        """
        with found(self._tree, located) as place:
            request = wire.CheckWrite(key=place.key, above=place.above, tokens=_fitting(tokens))
            shown = () if place.handle is None or not (members and place.is_folder) else (place.handle,)
            answer = asked(self._desk, request, wire.Free, wire.Conflict, descriptors=shown)
        if isinstance(answer, wire.Conflict):
            raise _locked(_SUBMITTED, place, answer)
        return answer.ids

    def drop(self, ids: Sequence[int]) -> None:
        """Locks go with what was removed or moved away (RFC 4918 sections 7.6 and 9.6).

        It was done already, so a portal that does not answer is no failure: the locks expire.
        """
        if not ids:
            return
        try:
            self._desk.ask(wire.DropLocks(tuple(ids)), Done)
        except (DeskGone, Refusal) as error:
            _log.warning("locks stay on what is gone: %s", error)

    @contextmanager
    def writing(self, located: Located, tokens: Collection[str]) -> Iterator[Claim]:
        """While a file's new content comes, nobody else gets a lock on it.

        :raises Locked: it may not be written.
        :raises OSError: the kernel does not let the account write it.
        """
        try:
            begun = _again_while_replaced(lambda: self._begin(located, tokens))
        except OSError as error:
            if error.errno != errno.ETXTBSY:
                raise
            self.check(located, tokens)  # a program that runs, which cannot be locked now anyway
            yield Claim()
            return
        try:
            yield _Claim(self._desk, begun)
        finally:
            self._end(begun.write)

    def tokens_on(self, located: Located) -> set[str]:
        """The tokens of the locks that cover it, for the If field.

        :raises DAVError: 503.
        """
        with found(self._tree, located) as place:
            return {lock.token for lock in self._covering(place)}

    def locked_among(self, pairs: Sequence[tuple[int, int]]) -> set[int]:
        """Positions of those (device, inode) that a lock lies on.

        What is only shown does not fail when the portal does not answer: nothing is shown then.
        """
        positions: set[int] = set()
        try:
            for at in range(0, len(pairs), wire.MOST_PAIRS):
                some = tuple(pairs[at : at + wire.MOST_PAIRS])
                positions.update(at + one for one in self._desk.ask(wire.FilterLocked(some), wire.Locked).positions)
        except (DeskGone, Refusal) as error:
            _log.warning("locks are not shown: %s", error)
        return positions

    def get_url_lock_list(self, url: str) -> list[Lock]:
        """The locks that cover a resource, for lockdiscovery; see `locked_among` for failures.

        :param url: quoted, below /dav.
        """
        try:
            with found(self._tree, self._located(url)) as place:
                return [self._told(lock, place.url_of(lock.key)) for lock in self._covering(place)]
        except (OSError, NotServed, DAVError) as error:
            _log.warning("locks are not shown: %s", error)
            return []

    get_indirect_url_lock_list = get_url_lock_list

    def acquire(
        self, *, url: str, lock_scope: str, lock_depth: str, lock_owner: bytes, timeout: float | None, **_rest: Any
    ) -> Lock:
        """LOCK.

        :raises Locked: other locks stand against it, or something is being written.
        :raises DAVError: 403, 409, 413, 503, 507.
        """
        if len(lock_owner) > wire.MOST_OWNER:
            raise refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "This owner element is too long.")
        located = self._located(url)

        def acquire() -> wire.ActiveLock:
            with found(self._tree, located) as place:
                request = wire.AcquireLock(
                    scope="exclusive" if lock_scope == "exclusive" else "shared",
                    depth="infinity" if place.is_folder and lock_depth == "infinity" else "0",
                    seconds=_seconds(timeout),
                    owner=lock_owner,
                    href=url,
                    above=place.above,
                )
                return self._acquire(located, place, request)

        return self._told(_again_while_replaced(acquire), url)

    def refresh(self, token: str, *, timeout: float | None = None) -> Lock:
        """LOCK without a body.

        :raises DAVError: 403, 412, 503.
        """
        lock = asked(self._desk, wire.RefreshLock(token, _seconds(timeout)), wire.Granted).lock
        try:
            with found(self._tree, self._located(lock.href)) as place:
                if place.key == lock.key:
                    return self._told(lock, lock.href)
        except (OSError, NotServed):
            pass
        raise refused(HTTPStatus.PRECONDITION_FAILED, "What was locked is elsewhere now.", condition=_MISMATCH)

    def release(self, token: str) -> None:
        """UNLOCK.

        :raises DAVError: 403, 412, 503.
        """
        asked(self._desk, wire.ReleaseLock(token), Done)

    def is_url_locked_by_token(self, url: str, token: str) -> bool:
        """Whether that lock covers the resource.

        :raises DAVError: 503.
        """
        lock = self._read(token)
        if lock is None:
            return False
        with found(self._tree, self._located(url)) as place:
            return lock.key == place.key or (lock.depth == "infinity" and lock.key in place.above)

    def is_token_locked_by_user(self, token: str, _login: str) -> bool:
        """Whether that lock is this account's.

        :raises DAVError: 503.
        """
        lock = self._read(token)
        return lock is not None and lock.uid == os.geteuid()

    def _acquire(self, located: Located, place: Place, request: wire.AcquireLock) -> wire.ActiveLock:
        with self._opened(located, os.O_PATH if place.is_folder else os.O_WRONLY) as handle:
            answer = asked(self._desk, request, wire.Granted, wire.Conflict, descriptors=(handle,))
        if isinstance(answer, wire.Conflict):
            raise _locked(_CONFLICTING, place, answer)
        with found(self._tree, located) as now:
            if now.key == answer.lock.key:
                return answer.lock
        # A lock on what bears the name no more would bind nobody.
        self.release(answer.lock.token)
        raise refused(HTTPStatus.CONFLICT, "It was replaced in the meantime.")

    def _begin(self, located: Located, tokens: Collection[str]) -> wire.Begun:
        with self._opened(located, os.O_WRONLY) as handle, found(self._tree, located) as place:
            request = wire.BeginWrite(above=place.above, tokens=_fitting(tokens))
            answer = asked(self._desk, request, wire.Begun, wire.Conflict, descriptors=(handle,))
        if isinstance(answer, wire.Conflict):
            raise _locked(_SUBMITTED, place, answer)
        return answer

    @contextmanager
    def _opened(self, located: Located, flags: int) -> Iterator[int]:
        handle = self._tree.open(located, flags)
        try:
            yield handle
        finally:
            os.close(handle)

    def _read(self, token: str) -> wire.ActiveLock | None:
        if len(token) > _LONGEST_TOKEN:
            return None
        return next(iter(asked(self._desk, wire.ReadLock(token), wire.Found).locks), None)

    def _end(self, write: int) -> None:
        try:
            self._desk.ask(wire.EndWrite(write), Done)
        except (DeskGone, Refusal) as error:
            _log.warning("a write was not ended: %s", error)  # it ends with the connection

    def _covering(self, place: Place) -> list[wire.ActiveLock]:
        locks: list[wire.ActiveLock] = []
        is_complete = False
        while not is_complete:
            answer = asked(self._desk, wire.FindLocks(place.keys, locks[-1].id if locks else 0), wire.Found)
            locks += answer.locks
            is_complete = answer.is_complete
        return [lock for lock in locks if lock.key == place.key or lock.depth == "infinity"]

    def _told(self, lock: wire.ActiveLock, root: str) -> Lock:
        return {
            "type": "write",
            "scope": lock.scope,
            "depth": lock.depth,
            "owner": lock.owner if _is_owner(lock.owner) else b"",
            "timeout": lock.left,
            "expire": self._now() + lock.left,
            "token": lock.token,
            "root": root,
            "principal": str(lock.uid),
        }

    def _located(self, url: str) -> Located:
        return self._tree.locate(unquote_to_bytes(url).decode("utf-8", "surrogateescape"))


class _Claim(Claim):
    """On the file that a write was begun for; locks on it go over to what takes its name."""

    def __init__(self, desk: Asking, begun: wire.Begun) -> None:
        self._desk = desk
        self._begun = begun
        self.file = begun.key.device, begun.key.inode

    def expect(self, draft: int) -> None:
        if self._begun.must_follow:
            asked(self._desk, wire.ExpectWrite(self._begun.write), Done, descriptors=(draft,))

    def follow(self, landing: Landing) -> None:
        if not self._begun.must_follow:
            return
        try:
            # By its name: what was opened without one has none in the kernel's eyes, and locks below a folder are
            # found by paths.
            named = os.open(landing.name, _TO_WRITE, dir_fd=landing.folder)
            try:
                self._desk.ask(wire.FollowWrite(self._begun.write), Done, descriptors=(named,))
            finally:
                os.close(named)
        except (DeskGone, Refusal, OSError) as error:
            why = "It was written, but its locks and properties may be lost. Lock it again."
            raise refused(HTTPStatus.SERVICE_UNAVAILABLE, why) from error


def _again_while_replaced(ask: Callable[[], T]) -> T:
    """Ask again when the file was replaced between opening it and asking.

    :raises DAVError: 409 when that happens all the time.
    """
    for _ in range(_TRIES):
        try:
            return ask()
        except DAVError as error:
            if error.value != HTTPStatus.CONFLICT:
                raise
    return ask()


def _locked(condition: str, place: Place, conflict: wire.Conflict) -> Locked:
    return Locked(condition, list(dict.fromkeys(place.url_of(obstacle.key) for obstacle in conflict.obstacles)))


def _fitting(tokens: Collection[str]) -> tuple[str, ...]:
    """Those that could be a lock's."""
    return tuple(token for token in dict.fromkeys(tokens) if len(token) <= _LONGEST_TOKEN)[: wire.MOST_TOKENS]


def _seconds(timeout: float | None) -> int:
    if timeout is None:
        return _DEFAULT_SECONDS
    return wire.MOST_SECONDS if timeout < 0 else max(1, min(wire.MOST_SECONDS, int(timeout)))


def _is_owner(owner: bytes) -> bool:
    """Whether it may stand in an answer: another account's program may have given anything."""
    if owner.count(b"<") > _MOST_ELEMENTS:
        return False
    try:
        return bool(fromstring(owner, forbid_dtd=True).tag == "{DAV:}owner")
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return False
