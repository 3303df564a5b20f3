"""Dead properties (RFC 4918 section 4): in one extended attribute of the file, so that they go where it goes.

Where its file system has none (NFSv3), or not enough room for them, the portal keeps them
(`supercloud.desk.property_wire`); an empty attribute says so. wsgidav calls what has its names.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from wsgidav.dav_error import DAVError

from supercloud.dav import failures
from supercloud.dav.asking import Asking, asked
from supercloud.dav.attributes import copy_users
from supercloud.dav.failures import refused
from supercloud.dav.tree import NotServed, Tree
from supercloud.desk.identity import is_reading, is_writing
from supercloud.desk.property_wire import (
    MOST_BYTES,
    MOST_NAME,
    MOST_NUMBER,
    MOST_PAIRS,
    MOST_VALUE,
    FilterStored,
    Properties,
    ReadProperties,
    ReplaceProperties,
    Stored,
)
from supercloud.desk.wire import Done

ATTRIBUTE: Final = "user.dav.properties"  # of freedesktop.org's kind; packed by msgpack, name to XML element
_ELSEWHERE: Final = b""
_NO_ATTRIBUTES: Final = frozenset({errno.EOPNOTSUPP, errno.ENOSYS})
# ext4 has about 4,000 bytes for all attributes of a file, and says ENOSPC when they are used up.
_TOO_MUCH: Final = frozenset({errno.E2BIG, errno.ERANGE, errno.ENOSPC})
_PLANNED: Final = "supercloud.properties"
_decode = msgspec.msgpack.Decoder(dict[str, bytes]).decode
Values = dict[str, bytes]  # name in Clark's notation to XML element


class DeadProperties:
    """Those of every file that the account reaches.

    :param desk: None where there is no portal; nothing is kept elsewhere then.
    """

    _alone: Final = threading.Lock()  # one for all of them in a process, which may reach the same files

    def __init__(self, tree: Tree, desk: Asking | None) -> None:
        self._tree = tree
        self._desk = desk

    def get_properties(self, url: str, _environ: Mapping[str, Any]) -> list[str]:
        """Names of what a resource has; none of what the account may not read."""
        return list(self._of(url))

    def get_property(self, url: str, name: str, _environ: Mapping[str, Any]) -> bytes | None:
        """An XML element, or None. Whoever may write the file may have stored anything: it is not trusted."""
        return self._of(url).get(name)

    def bearers_among(self, url: str, names: Sequence[str]) -> list[int]:
        """Positions of those members of a folder that may have any: few are asked about one by one then.

        :raises DAVError: 503 when the portal keeps them, and does not answer.
        :raises OSError, NotServed: the folder cannot be looked at.
        """
        bearers: list[int] = []
        elsewhere: list[tuple[int, os.stat_result]] = []
        with self._seen(url) as folder:
            for at, name in enumerate(names):
                try:
                    kept = _kept(f"{_path(folder)}/{name}")
                    if kept:
                        bearers.append(at)
                    elif kept == _ELSEWHERE:
                        elsewhere.append((at, os.stat(name, dir_fd=folder)))
                except OSError:
                    continue  # gone, or closed to this account
        return sorted([*bearers, *self._kept_elsewhere(elsewhere)])

    def write_property(self, url: str, name: str, value: bytes, dry_run: bool, environ: dict[str, Any]) -> None:
        """Set one.

        :raises DAVError: 403, 503, 507; what is too much is told in the dry run of all, so that nothing is set then.
        """
        self._change(url, {name: value}, dry_run, environ)

    def remove_property(self, url: str, name: str, dry_run: bool, environ: dict[str, Any]) -> None:
        """Remove one; one that is not there is no error (section 14.23)."""
        self._change(url, {name: None}, dry_run, environ)

    def carry(self, source: int, target: int) -> None:
        """Give a copy the user's attributes and dead properties of a file or folder, as far as they can be kept there.

        :param source: a descriptor opened for reading.
        :param target: one of something new, opened for writing; of a folder, for reading.
        """
        copy_users(source, target)
        try:
            if held := self._read(source):
                self._write(target, held)
        except (OSError, DAVError):
            return  # RFC 4918 section 9.8.2: they should be copied, and the copy is made

    def clear(self, handle: int) -> None:
        """Remove all, of what gets another file's content.

        :param handle: opened for writing.
        """
        try:
            self._write(handle, {})
        except (OSError, DAVError):
            return

    def _kept_elsewhere(self, members: list[tuple[int, os.stat_result]]) -> Iterator[int]:
        for start in range(0, len(members), MOST_PAIRS):
            some = members[start : start + MOST_PAIRS]
            pairs = tuple((status.st_dev, status.st_ino) for _at, status in some)
            if self._desk is not None:
                answer = asked(self._desk, FilterStored(pairs), Stored)
                yield from (some[position][0] for position in answer.positions)

    def _of(self, url: str) -> Values:
        try:
            with self._seen(url) as handle:
                return self._read(handle)
        except (OSError, NotServed):
            return {}

    def _change(self, url: str, changes: Mapping[str, bytes | None], dry_run: bool, environ: dict[str, Any]) -> None:
        try:
            with self._alone, self._seen(url) as handle:
                planned: Values | None = environ.get(_PLANNED) if dry_run else None
                held = {**(self._read(handle) if planned is None else planned), **changes}
                stored = {name: value for name, value in held.items() if value is not None}
                if not _fits(stored):
                    raise refused(HTTPStatus.INSUFFICIENT_STORAGE, "These properties take too much room.")
                if dry_run:
                    environ[_PLANNED] = stored
                else:
                    self._write(handle, stored)
        except (OSError, NotServed) as error:
            raise failures.of_any(error, writing=True) from error

    def _read(self, handle: int) -> Values:
        packed = _kept(_path(handle))
        if packed is None:
            return {}
        if packed != _ELSEWHERE:
            return _unpacked(packed)
        if self._desk is None:
            return {}
        with _opened(handle, os.O_RDONLY) as shown:
            return asked(self._desk, ReadProperties(), Properties, descriptors=(shown,)).properties

    def _write(self, handle: int, stored: Values) -> None:
        before = _kept(_path(handle))
        if not stored and before is None:
            return
        try:
            if stored:
                os.setxattr(_path(handle), ATTRIBUTE, msgspec.msgpack.encode(stored))
            else:
                os.removexattr(_path(handle), ATTRIBUTE)
        except OSError as error:
            if self._desk is None or error.errno not in _NO_ATTRIBUTES | _TOO_MUCH:
                raise
            if error.errno in _TOO_MUCH:
                os.setxattr(_path(handle), ATTRIBUTE, _ELSEWHERE)
        else:
            if before != _ELSEWHERE:
                return
            stored = {}
        self._keep(handle, stored)

    def _keep(self, handle: int, stored: Values) -> None:
        """At the portal. A file's descriptor must be one for writing, a folder's may be any."""
        if self._desk is not None:
            flags = os.O_PATH if stat.S_ISDIR(os.fstat(handle).st_mode) else os.O_WRONLY
            with _opened(handle, flags) as shown:
                asked(self._desk, ReplaceProperties(stored), Done, descriptors=(shown,))

    @contextmanager
    def _seen(self, url: str) -> Iterator[int]:
        path = unquote_to_bytes(url).decode("utf-8", "surrogateescape")
        with self._tree.seen(self._tree.locate(path)) as (handle, _status):
            yield handle


@contextmanager
def _opened(handle: int, flags: int) -> Iterator[int]:
    """The same file, opened so; the descriptor itself when it is so already."""
    if flags & os.O_PATH or (is_writing(handle) if flags & os.O_WRONLY else is_reading(handle)):
        yield handle
        return
    opened = os.open(_path(handle), flags | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield opened
    finally:
        os.close(opened)


def _path(handle: int) -> str:
    """By this, attributes of O_PATH descriptors can be used too."""
    return f"/proc/self/fd/{handle}"


def _kept(path: str) -> bytes | None:
    """The attribute of a file; None where nothing is kept.

    :raises OSError: when it may not be read.
    """
    try:
        return os.getxattr(path, ATTRIBUTE)
    except OSError as error:
        if error.errno == errno.ENODATA:
            return None
        if error.errno in _NO_ATTRIBUTES:
            return _ELSEWHERE
        raise


def _unpacked(packed: bytes) -> Values:
    """Whoever may write the file may have put anything there."""
    try:
        stored = _decode(packed)
    except (ValueError, RecursionError):  # of msgspec, which says so of letters and of depth
        return {}
    return stored if _fits(stored) else {}


def _fits(stored: Values) -> bool:
    size = sum(len(name) + len(value) for name, value in stored.items())
    longest = max(map(len, stored), default=0), max(map(len, stored.values()), default=0)
    return len(stored) <= MOST_NUMBER and size <= MOST_BYTES and longest[0] <= MOST_NAME and longest[1] <= MOST_VALUE
