"""Reading forward files, each by a process that became the file's owner: root reads nobody's file, and need not be able
to where the file system squashes it.

First a child finds out whose the name is, then another one, made for this question, becomes that account and reads. Who
can make reading take long (a file whose server is dead) has a bound of their own, so that they delay nobody else.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from supercloud.accounts import read_account
from supercloud.monitor.children import Children, Kind, Missed
from supercloud.monitor.loop import Loop
from supercloud.monitor.wire import (
    MOST_FORWARD,
    ForwardFile,
    ForwardName,
    ForwardOutcome,
    ForwardRead,
    Id,
    ReadForward,
    Task,
    Uid,
)
from supercloud.workers import kernel
from supercloud.workers.become import become

_MISSED: Final[dict[Missed, ForwardOutcome]] = {Missed.FULL: "busy", Missed.SLOW: "slow", Missed.BROKEN: "broken"}
_ROOT: Final = 0
# Nothing of that name, or nothing that a forward may be: what is mounted there is not looked at.
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EXDEV, errno.ENAMETOOLONG})
_OPEN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_USES: Final = 1000
_MANY: Final = 64  # owners whose children are kept account of before those without any are forgotten


class ForwardOwner(msgspec.Struct, frozen=True):
    """:ivar uid: whose the name is; None where the outcome says that there is nothing to read."""

    outcome: ForwardOutcome
    uid: int | None


class ReadAs(msgspec.Struct, frozen=True):
    """Read a file as its owner."""

    id: Id
    name: ForwardName
    uid: Uid


class _NotRead(Exception):
    def __init__(self, outcome: ForwardOutcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class ForwardFolder:
    """The folder; its methods run in children.

    :ivar path: ``""``: there is none, and so no forwards.
    :ivar only_uid: of an embedded portal, which reads its own account's files only, as itself.
    """

    path: str
    only_uid: int | None

    @classmethod
    def of(cls, task: Task) -> ForwardFolder:
        """The one that the monitor was started with."""
        return cls(task.forwards, task.only_uid)

    def find_owner(self, asked: ReadForward, _: list[int]) -> ForwardOwner:
        """Whose the name is."""
        try:
            found = self._find(asked.name)
        except _NotRead as error:
            return ForwardOwner(error.outcome, None)
        try:
            return ForwardOwner("read", os.fstat(found).st_uid)
        finally:
            os.close(found)

    def read_as(self, asked: ReadAs, _: list[int]) -> ForwardRead:
        """Become the owner, for good, and read. In a child for this one question."""
        try:
            self._become(asked.uid)
            return ForwardRead(asked.id, "read", self._read(asked.name, asked.uid))
        except _NotRead as error:
            return ForwardRead(asked.id, error.outcome, None)

    def _become(self, uid: int) -> None:
        if self.only_uid is not None:
            if uid != self.only_uid:
                raise _NotRead("unreadable")
            return
        kernel.forbid_new_privileges()
        kernel.forbid_inspection()
        if uid == _ROOT:  # root's own files, and only where that is what was found
            return
        try:
            account = read_account(uid)
        except LookupError:
            raise _NotRead("unreadable") from None
        parent = os.getppid()
        kernel.drop_bounding_set()
        become(account)
        kernel.drop_capabilities()
        kernel.forbid_inspection()
        kernel.end_with(parent)

    def _read(self, name: str, uid: int) -> ForwardFile:
        found = self._find(name)
        try:
            _check(os.fstat(found), uid)
            # The very file that was looked at: the name may lead to another one by now.
            opened = os.open(f"/proc/self/fd/{found}", _OPEN)
            try:
                status = os.fstat(opened)
                _check(status, uid)
                data = _read_all(opened)
            finally:
                os.close(opened)
        except OSError as error:
            raise _NotRead("changed" if error.errno == errno.ESTALE else "unreadable") from None
        finally:
            os.close(found)
        mode = stat.S_IMODE(status.st_mode)
        return ForwardFile(status.st_dev, status.st_ino, status.st_ctime_ns, status.st_uid, status.st_gid, mode, data)

    def _find(self, name: str) -> int:
        """A descriptor by which nothing can be read."""
        if not self.path:
            raise _NotRead("absent")
        try:
            folder = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                return kernel.find_in(folder, name)
            finally:
                os.close(folder)
        except OSError as error:
            raise _NotRead("absent" if error.errno in _ABSENT else "unreadable") from None


def _check(status: os.stat_result, uid: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _NotRead("not-regular")
    if status.st_nlink != 1:
        raise _NotRead("several-names" if status.st_nlink else "changed")
    if status.st_uid != uid:
        raise _NotRead("changed")


def _read_all(opened: int) -> bytes:
    data = b""
    while len(data) <= MOST_FORWARD:
        more = os.read(opened, MOST_FORWARD + 1 - len(data))
        if not more:
            return data
        data += more
    raise _NotRead("too-long")


class ForwardReaders:
    """The children that read, bounded for each owner.

    :param seconds: for each of the two steps.
    :param of_one: children of one owner at once; ``waiting`` more questions of theirs may wait.
    :param most: children of all owners that read.
    """

    def __init__(
        self,
        loop: Loop,
        folder: ForwardFolder,
        *,
        seconds: float,
        finders: int,
        finders_waiting: int,
        of_one: int,
        waiting: int,
        most: int,
    ) -> None:
        find = Kind("sc-forwards", ReadForward, ForwardOwner, folder.find_owner, uses=_USES)
        self._finders = Children(loop, find, seconds=seconds, most=finders, waiting=finders_waiting)
        self._kind = Kind("sc-forward", ReadAs, ForwardRead, folder.read_as, uses=1)
        self._loop = loop
        self._seconds = seconds
        self._of_one = of_one
        self._waiting = waiting
        self._most = most
        self._by_owner: dict[int, Children] = {}

    def ask(self, asked: ReadForward, done: Callable[[ForwardRead], object]) -> None:
        """Have a forward's file read; ``done`` is called once."""

        def read(got: Any) -> None:
            done(_missed(asked.id, got) if isinstance(got, Missed) else ForwardRead(asked.id, got.outcome, got.file))

        def found(got: Any) -> None:
            if isinstance(got, Missed):
                done(_missed(asked.id, got))
            elif got.uid is None:
                done(ForwardRead(asked.id, got.outcome, None))
            else:
                self._readers_of(got.uid, read, ReadAs(asked.id, asked.name, got.uid))

        self._finders.ask(asked, found)

    def _readers_of(self, uid: int, read: Callable[[Any], object], question: ReadAs) -> None:
        readers = self._by_owner.get(uid)
        if readers is None:
            if len(self._by_owner) >= _MANY:
                self._by_owner = {owner: one for owner, one in self._by_owner.items() if not one.is_idle}
            readers = self._by_owner[uid] = Children(
                self._loop, self._kind, seconds=self._seconds, most=self._of_one, waiting=self._waiting
            )
        if readers.is_idle and sum(one.count for one in self._by_owner.values()) >= self._most:
            read(Missed.FULL)
            return
        readers.ask(question, read)


def _missed(number: int, missed: Missed) -> ForwardRead:
    return ForwardRead(number, _MISSED[missed], None)
