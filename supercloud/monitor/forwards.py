"""Forward files: whether a viewer may use one, and what it holds. Root says neither: a process that became the viewer
asks the kernel, one that became the file's owner reads. Root need not be able to where a file system squashes it.

First a child finds the name, and in which state its file is; it may be asked for that alone. Another one, made for
this question, becomes the viewer; it reads too when the file is the viewer's own, and otherwise a third one becomes the
owner. Each looks at the file in the very state that was found, or refuses. Who can make that take long (by stopping
what runs as them, by a file whose server is dead) has a bound of their own, so that they delay nobody else.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from supercloud.accounts import read_account
from supercloud.monitor.children import Children, Kind, Missed
from supercloud.monitor.loop import Loop
from supercloud.monitor.wire import (
    MOST_FORWARD,
    FindForward,
    ForwardName,
    ForwardOutcome,
    ForwardRead,
    ReadForward,
    Task,
    Uid,
)
from supercloud.target import Reservation
from supercloud.workers import kernel
from supercloud.workers.become import become

_MISSED: Final[dict[Missed, ForwardOutcome]] = {Missed.FULL: "busy", Missed.SLOW: "slow", Missed.BROKEN: "broken"}
_ROOT: Final = 0
# Nothing of that name, or nothing that a forward may be: what is mounted there is not looked at.
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EXDEV, errno.ENAMETOOLONG})
_OPEN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_USES: Final = 1000
_MANY: Final = 64  # accounts whose children are kept account of before those without any are forgotten


class LookAs(msgspec.Struct, frozen=True):
    """Look at a file as an account.

    :ivar state: in which it was found.
    """

    name: ForwardName
    uid: Uid
    state: Reservation


class Looked(msgspec.Struct, frozen=True):
    """What one of the children says.

    :ivar against: why the file may not be used; None: nothing that this one can tell.
    :ivar state: in which it was found; None when it was not.
    :ivar data: what it holds; None when this one did not read it.
    """

    against: ForwardOutcome | None
    state: Reservation | None = None
    data: bytes | None = None


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

    def find(self, asked: FindForward, _: list[int]) -> Looked:
        """In which state the file is."""
        try:
            with self._found(asked.name) as found:
                status = os.fstat(found)
        except _NotRead as error:
            return Looked(error.outcome)
        state = _state(status)
        return Looked(_fault(status, state), state)

    def check_as(self, asked: LookAs, _: list[int]) -> Looked:
        """Become the viewer, for good, and ask whether they may execute the file; read it when it is theirs. In a child
        for this one question.
        """
        return self._look(asked, self._check)

    def read_as(self, asked: LookAs, _: list[int]) -> Looked:
        """Become the owner, for good, and read. In a child for this one question."""
        return self._look(asked, self._read)

    def _look(self, asked: LookAs, look: Callable[[int, LookAs], bytes | None]) -> Looked:
        try:
            self._become(asked.uid)
            with self._found(asked.name) as found:
                _refuse(os.fstat(found), asked.state)
                return Looked(None, asked.state, look(found, asked))
        except _NotRead as error:
            # What was there a moment ago and is not now, or not for this account.
            return Looked("changed" if error.outcome == "absent" else error.outcome, asked.state)

    def _check(self, found: int, asked: LookAs) -> bytes | None:
        # The link in /proc leads to the file of the descriptor, not to whatever bears its name by now. Root may look at
        # what it likes: it is no viewer, but in the portal that it runs for itself.
        if (asked.uid == _ROOT and self.only_uid is None) or not os.access(f"/proc/self/fd/{found}", os.X_OK):
            raise _NotRead("not-executable")
        return self._read(found, asked) if asked.uid == asked.state.uid else None

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

    def _read(self, found: int, asked: LookAs) -> bytes:
        try:
            opened = os.open(f"/proc/self/fd/{found}", _OPEN)
            try:
                data = _read_all(opened)
                _refuse(os.fstat(opened), asked.state)
            finally:
                os.close(opened)
        except OSError as error:
            raise _NotRead("changed" if error.errno == errno.ESTALE else "unreadable") from None
        return data

    @contextmanager
    def _found(self, name: str) -> Iterator[int]:
        """A descriptor by which nothing can be read."""
        if not self.path:
            raise _NotRead("absent")
        try:
            folder = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                found = kernel.find_in(folder, name)
            finally:
                os.close(folder)
        except OSError as error:
            raise _NotRead("absent" if error.errno in _ABSENT else "unreadable") from None
        try:
            yield found
        finally:
            os.close(found)


def _state(status: os.stat_result) -> Reservation:
    mode = stat.S_IMODE(status.st_mode)
    return Reservation(status.st_dev, status.st_ino, status.st_ctime_ns, status.st_uid, status.st_gid, mode)


def _fault(status: os.stat_result, state: Reservation) -> ForwardOutcome | None:
    """Why this is no forward in that state."""
    if not stat.S_ISREG(status.st_mode):
        return "not-regular"
    if status.st_nlink != 1:
        return "several-names" if status.st_nlink else "changed"
    return None if _state(status) == state else "changed"


def _refuse(status: os.stat_result, state: Reservation) -> None:
    fault = _fault(status, state)
    if fault is not None:
        raise _NotRead(fault)


def _read_all(opened: int) -> bytes:
    data = b""
    while len(data) <= MOST_FORWARD:
        more = os.read(opened, MOST_FORWARD + 1 - len(data))
        if not more:
            return data
        data += more
    raise _NotRead("too-long")


class ForwardReaders:
    """The children that look at forward files.

    :param seconds: for each of the three steps.
    :param of_one: children of one viewer at once, and of one owner; ``waiting`` more questions of theirs may wait.
    :param most: children of all viewers, and of all owners.
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
        def bounded(serve: Callable[[LookAs, list[int]], Looked]) -> _OfAccounts:
            kind = Kind("sc-forward", LookAs, Looked, serve, uses=1)
            return _OfAccounts(lambda: Children(loop, kind, seconds=seconds, most=of_one, waiting=waiting), most)

        find = Kind("sc-forwards", FindForward, Looked, folder.find, uses=_USES)
        self._finders = Children(loop, find, seconds=seconds, most=finders, waiting=finders_waiting)
        self._viewers = bounded(folder.check_as)
        self._owners = bounded(folder.read_as)

    @property
    def count(self) -> int:
        """How many there are that became an account."""
        return self._viewers.count + self._owners.count

    def find(self, asked: FindForward, done: Callable[[ForwardRead], object]) -> None:
        """Have a forward found; ``done`` is called once."""
        self._finders.ask(asked, lambda got: done(_answered(asked.id, got, "found", None)))

    def ask(self, asked: ReadForward, done: Callable[[ForwardRead], object]) -> None:
        """Have a forward looked at; ``done`` is called once."""
        state: Reservation | None = None

        def answer(got: Any) -> None:
            done(_answered(asked.id, got, "read", state))

        def found(got: Any) -> None:
            nonlocal state
            if isinstance(got, Missed) or got.against is not None:
                answer(got)
                return
            state = got.state
            self._viewers.ask(asked.uid, LookAs(asked.name, asked.uid, got.state), checked)

        def checked(got: Any) -> None:
            if isinstance(got, Missed) or got.against is not None or got.data is not None:
                answer(got)
            else:
                owner = got.state.uid
                self._owners.ask(owner, LookAs(asked.name, owner, got.state), answer)

        self._finders.ask(FindForward(asked.id, asked.name), found)


def _answered(number: int, got: Looked | Missed, outcome: ForwardOutcome, state: Reservation | None) -> ForwardRead:
    """:param outcome: when nothing speaks against it. :param state: that was found before."""
    if isinstance(got, Missed):
        return ForwardRead(number, _MISSED[got], state, None)
    return ForwardRead(number, got.against or outcome, got.state, got.data)


class _OfAccounts:
    """Children that became accounts, bounded for each.

    :param make: those of one account.
    :param most: of all.
    """

    def __init__(self, make: Callable[[], Children], most: int) -> None:
        self._make = make
        self._most = most
        self._by_uid: dict[int, Children] = {}

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(one.count for one in self._by_uid.values())

    def ask(self, uid: int, question: LookAs, done: Callable[[Any], object]) -> None:
        children = self._by_uid.get(uid)
        if children is None:
            if len(self._by_uid) >= _MANY:
                self._by_uid = {account: one for account, one in self._by_uid.items() if not one.is_idle}
            children = self._by_uid[uid] = self._make()
        if children.is_idle and self.count >= self._most:
            done(Missed.FULL)
        else:
            children.ask(question, done)
