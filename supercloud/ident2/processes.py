"""Who holds a socket: the processes with a descriptor of it, read from /proc.

Without privilege (``CAP_SYS_PTRACE`` and, under hidepid, ``CAP_DAC_READ_SEARCH``) only the own account's processes can
be seen; all others are skipped silently, so their sockets have no holder here.

What /proc shows is that of a process's first thread; a thread with credentials or descriptors of its own is not seen.
"""

# ruff: noqa: PTH115, PTH116, PTH208  -- pathlib takes four times as long, and this is the hot path

from __future__ import annotations

import os
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final

import msgspec

CACHED: Final = 512  # inodes whose holders are remembered
FRESH: Final = 10.0  # seconds after which a search is made anew, so that a new co-holder is noticed
FRESH_ANY: Final = 2.0  # seconds, for a search of all accounts' processes
SEARCH: Final = (
    0.3  # seconds of the thread's processor time; reading procfs waits for nothing, and load is nobody's fault
)
OPEN: Final = 64  # processes whose folders are kept open
GUESSES: Final = 4  # descriptor numbers that are tried before those of a process are listed
LIKELY: Final = 64  # descriptor numbers at which a process had connections
SEEN: Final = 1024  # descriptors of a process that were seen in passing
QUICK: Final = 256  # descriptors of a process that are looked at without a search, about 1 ms
LISTED: Final = 4096  # descriptors of a process that are listed without a search, about 5 ms
AT_ONCE: Final = 512  # descriptors between two looks at the clock
AGAIN: Final = 1.0  # seconds after a search that took too long until the next one for that account
_NO_GROUPS: Final[frozenset[int]] = frozenset()
_MOST = 8192  # bytes of a status file at the first read; only with very many groups is there more


Key = tuple[int, int]  # a socket's inode, and its uid as the kernel tells it


class Changed(Exception):
    """A process ended, or let go of the socket, while it was being looked at."""


class SearchTooLong(Exception):
    """Not all processes could be looked at in time, so nothing is known of the holders."""


class Process(msgspec.Struct, frozen=True):
    """A holder.

    :ivar uid: effective. :ivar gid: effective.
    :ivar groups: supplementary, if they were asked for.
    :ivar started: clock ticks after boot; with the pid it names a process for good.
    """

    pid: int
    uid: int
    gid: int
    groups: frozenset[int]
    started: int


@dataclass(frozen=True, slots=True)
class _Holding:
    """A descriptor as it was seen: ``fd/NUMBER`` of a process."""

    pid: int
    fd: str
    started: int


@dataclass(frozen=True, slots=True)
class _Found:
    holdings: tuple[_Holding, ...]
    until: float


class _Folder:
    """A process's folder of /proc, kept open.

    It stays that process's: what was opened belongs to one ``struct pid`` (proc_pid_make_inode in fs/proc/base.c), and
    once the process has ended nothing is found there, though another one bear its number. So the start time is read
    once, when the folder is opened, and not for each question: that would cost more than all else.

    :ivar fd: of the folder; closed when nobody refers to it any more.
    """

    __slots__ = ("__weakref__", "_likely", "_seen", "fd", "pid", "started")

    def __init__(self, proc: str, pid: int) -> None:
        """:raises OSError: or Changed, when there is no such process."""
        self.pid = pid
        self.fd = os.open(f"{proc}/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.fd)
        self.started = _started("stat", self.fd)
        self._seen: dict[str, str] = {}  # descriptors by where they led; only ever a hint
        self._likely: list[str] = []  # where connections were found, the one that was found last at the end

    def process(self, *, groups: bool) -> Process:
        """The ids as they are now.

        :raises Changed: when it has no status.
        """
        if groups:
            uid, gid, supplementary = _ids(_slurp("status", self.fd))
            return Process(self.pid, uid, gid, supplementary, self.started)
        # The owner of /proc/PID itself is always the effective ids, dumpable or not (task_dump_owner in
        # fs/proc/base.c); its status says the same and takes five times as long.
        status = os.fstat(self.fd)
        return Process(self.pid, status.st_uid, status.st_gid, _NO_GROUPS, self.started)

    def read(self, fd: str) -> str | None:
        """Where a descriptor leads now; None when it is not open.

        :raises OSError: when the process has ended, or may not be looked at.
        """
        try:
            return os.readlink(fd, dir_fd=self.fd)
        except FileNotFoundError:
            return None

    def guess(self, link: str) -> str | None:
        """A descriptor that leads there, if it is where it is likely to be.

        That is where it was seen while another was looked for, as several connections are mostly asked about at once;
        or at a number that is used again: a server closes connections in the order in which they came, or at once.
        """
        likely = self._likely
        seen = self._seen.get(link)
        return self.look_through((*(() if seen is None else (seen,)), *likely[:1], *likely[-1:-GUESSES:-1]), link)

    def look_through(self, fds: Iterable[str], link: str) -> str | None:
        """Which of these descriptors leads there.

        :raises OSError: when the process has ended.
        """
        for fd in fds:
            found = self.read(fd)
            if found is not None:
                self._see(found, fd)
            if found == link:
                self._expect(fd)
                return fd
        return None

    def _see(self, link: str, fd: str) -> None:
        if len(self._seen) >= SEEN:
            self._seen.clear()
        self._seen[link] = fd

    def _expect(self, fd: str) -> None:
        """Here was a connection; there may be another one later."""
        with suppress(ValueError):  # another thread may do the same
            self._likely.remove(fd)
        self._likely.append(fd)
        del self._likely[:-LIKELY]


class Processes:
    """Finds the holders of a socket; any thread may ask.

    A finding is remembered for a moment only, and never believed: each use reads the effective ids and then the
    descriptor's link again, in the folder of the very process that was found, so neither a pid that was used again nor
    a closed descriptor passes.

    :param proc: where procfs is mounted.
    :param monotonic: seconds.
    :param worked: seconds of processor time of this thread.
    """

    def __init__(
        self,
        proc: str = "/proc",
        *,
        monotonic: Callable[[], float] = time.monotonic,
        worked: Callable[[], float] = time.thread_time,
    ) -> None:
        self._proc = proc
        self._monotonic = monotonic
        self._worked = worked
        self._cache: OrderedDict[Key, _Found] = OrderedDict()
        self._folders: OrderedDict[int, _Folder] = OrderedDict()
        self._too_long: OrderedDict[int, float] = OrderedDict()

    def remembered(
        self, inode: int, uid: int, *, accepted_from: Key | None = None, groups: bool = False
    ) -> list[Process]:
        """The holders as far as they can be told without a search: nothing here costs time in the number of processes.

        :param accepted_from: the listener that the socket was probably accepted from. When one of the listener's
            holders holds the socket too and is of account ``uid``, no other process is looked at.
        :param groups: read the supplementary groups too.
        :return: empty when only a :meth:`search` can tell.
        """
        now = self._monotonic()
        known = self._cache.get((inode, uid))
        if known is not None and now < known.until:
            try:
                return [self._confirm(holding, inode, groups=groups) for holding in known.holdings]
            except (OSError, Changed):
                return []  # one is gone, or holds it by another number: the others are not all there is to say
        near = self._cache.get(accepted_from) if uid and accepted_from is not None else None
        if near is not None and now < near.until:
            # The one that started last first: of a server that forks it is not the first process that accepts.
            for look in (self._guess, self._list):
                for holding in reversed(near.holdings):
                    process = look(holding, inode, groups=groups)
                    if process is not None and process.uid == uid:
                        return [process]
        return []

    def search(self, inode: int, uid: int, *, groups: bool = False) -> list[Process]:
        """The processes of account ``uid`` that hold the socket ``inode``; those of all accounts if it has none.

        For uid 0 always those of all accounts: a service that opened its port as root and dropped its rights. Blocks
        until it has worked for :data:`SEARCH` seconds.

        :raises SearchTooLong: when not all processes that matter could be looked at; for a moment after that, too, so
            that an account whose processes have very many descriptors does not keep others' searches waiting.
        """
        now = self._monotonic()
        if now < self._too_long.get(uid, 0.0):
            raise SearchTooLong(f"socket {inode}: a search for uid {uid} took too long a moment ago")
        try:
            return self._search(inode, uid, groups=groups)
        except SearchTooLong:
            self._too_long[uid] = self._monotonic() + AGAIN
            self._too_long.move_to_end(uid)
            while len(self._too_long) > CACHED:
                self._too_long.popitem(last=False)
            raise

    def _search(self, inode: int, uid: int, *, groups: bool) -> list[Process]:
        deadline = self._worked() + SEARCH
        while True:
            holdings, fresh = tuple(self._holdings(inode, uid, deadline)) if uid else (), FRESH
            if not holdings:
                holdings, fresh = tuple(self._holdings(inode, None, deadline)), FRESH_ANY
            try:
                processes = [self._confirm(holding, inode, groups=groups) for holding in holdings]
                break
            except (OSError, Changed):
                continue  # one has just ended or let go
        if processes:
            self._cache[inode, uid] = _Found(holdings, self._monotonic() + fresh)
            while len(self._cache) > CACHED:
                self._cache.popitem(last=False)
        return processes

    def _holdings(self, inode: int, uid: int | None, deadline: float) -> Iterator[_Holding]:
        """Look through the processes of one account, or of all.

        :raises SearchTooLong: past the deadline: part of the holders would look like all of them.
        """
        link = f"socket:[{inode}]"
        for name in os.listdir(self._proc):
            if not name.isdigit():
                continue
            self._check(deadline)
            try:
                if uid is not None and os.stat(f"{self._proc}/{name}").st_uid != uid:
                    continue
                fd = self._descriptor(int(name), link, deadline)
                if fd is not None:
                    yield _Holding(int(name), fd, _started(f"{self._proc}/{name}/stat"))
            except (OSError, Changed):
                continue

    def _guess(self, near: _Holding, inode: int, *, groups: bool) -> Process | None:
        """See whether the process that holds another socket holds this one where it is likely to."""
        try:
            folder = self._folder(near)
            process = folder.process(groups=groups)
            return None if folder.guess(f"socket:[{inode}]") is None else process
        except (OSError, Changed):
            return None

    def _list(self, near: _Holding, inode: int, *, groups: bool) -> Process | None:
        """Look for the socket among all descriptors of such a process, if they are not very many."""
        try:
            folder = self._folder(near)
            with os.scandir(f"{self._proc}/{near.pid}/fd") as entries:
                names = [entry.name for entry in islice(entries, LISTED + 1)]
            if len(names) > LISTED:
                return None
            numbers = names[: -QUICK - 1 : -1]  # the newest are usually last
            fd = folder.look_through((f"fd/{number}" for number in numbers), f"socket:[{inode}]")
            if fd is None:
                return None
            return self._confirm(_Holding(near.pid, fd, near.started), inode, groups=groups)
        except (OSError, Changed):
            return None

    def _descriptor(self, pid: int, link: str, deadline: float) -> str | None:
        """:raises OSError: when the process is gone or may not be looked at.

        :raises SearchTooLong: it has so many that listing them takes too long.
        """
        folder = f"{self._proc}/{pid}/fd/"
        numbers: list[str] = []
        with os.scandir(folder) as entries:
            while len(some := [entry.name for entry in islice(entries, AT_ONCE)]) == AT_ONCE:
                numbers += some
                self._check(deadline)
        numbers += some
        for at, number in enumerate(reversed(numbers), 1):  # the newest are usually last
            if at % AT_ONCE == 0:
                self._check(deadline)
            if _read_link(folder + number) == link:
                return f"fd/{number}"
        return None

    def _check(self, deadline: float) -> None:
        if self._worked() > deadline:
            raise SearchTooLong(f"not all processes seen within {SEARCH} s of work")

    def _confirm(self, holding: _Holding, inode: int, *, groups: bool) -> Process:
        """Read the ids, then see that the same process holds the socket: it had those ids and was not another.

        :raises Changed: or OSError, when it does not.
        """
        folder = self._folder(holding)
        process = folder.process(groups=groups)
        if folder.read(holding.fd) != f"socket:[{inode}]":
            raise Changed
        return process

    def _folder(self, holding: _Holding) -> _Folder:
        """:raises Changed: or OSError, when the process that was seen has ended."""
        folder = self._folders.get(holding.pid)
        if folder is None or folder.started != holding.started:
            folder = _Folder(self._proc, holding.pid)
            if folder.started != holding.started:
                raise Changed
            self._folders[holding.pid] = folder
            while len(self._folders) > OPEN:
                self._folders.popitem(last=False)
        return folder


def _ids(status: bytes) -> tuple[int, int, frozenset[int]]:
    """Effective uid and gid and the supplementary groups, at one moment.

    :raises Changed: when it is no status.
    """
    try:
        # Uid: real effective saved file-system
        uid = int(status.split(b"\nUid:", 1)[1].split(None, 2)[1])
        gid = int(status.split(b"\nGid:", 1)[1].split(None, 2)[1])
        groups = status.split(b"\nGroups:", 1)[1].split(b"\n", 1)[0]
    except (IndexError, ValueError):
        raise Changed from None
    return uid, gid, frozenset(map(int, groups.split()))


def _started(path: str, folder: int | None = None) -> int:
    """Field 22 of stat (proc(5)); the name in field 2 may hold spaces and parentheses.

    :raises Changed: when there is no such field.
    """
    try:
        return int(_slurp(path, folder).rpartition(b")")[2].split(None, 20)[19])
    except (IndexError, ValueError):
        raise Changed from None


def _read_link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return None


def _slurp(path: str, folder: int | None = None) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        data = os.read(fd, _MOST)
        if len(data) == _MOST:
            while more := os.read(fd, 1 << 16):
                data += more
        return data
    finally:
        os.close(fd)
