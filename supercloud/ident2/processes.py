"""Who holds a socket: the processes with a descriptor of it, read from /proc.

Without privilege (``CAP_SYS_PTRACE`` and, under hidepid, ``CAP_DAC_READ_SEARCH``) only the own account's processes can
be seen; all others are skipped silently, so their sockets have no holder here.

What /proc shows is that of a process's first thread; a thread with credentials or descriptors of its own is not seen.
"""

# ruff: noqa: PTH115, PTH116, PTH208  -- pathlib takes four times as long, and this is the hot path

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

CACHED: Final = 512  # inodes whose holders are remembered
FRESH: Final = 10.0  # seconds after which a search is made anew, so that a new co-holder is noticed
FRESH_ANY: Final = 2.0  # seconds, for a search of all accounts' processes
SEARCH: Final = 0.3  # seconds a search may take: the asker's patience is 0.5 s a try
GUESSES: Final = 4  # descriptor numbers that are tried before those of a process are listed
QUICK: Final = 256  # descriptors of a process that are looked at without a search, about 1 ms
_MOST = 8192  # bytes of a status file at the first read; only with very many groups is there more


Key = tuple[int, int]  # a socket's inode, and its uid as the kernel tells it


class Changed(Exception):
    """A process ended, or let go of the socket, while it was being looked at."""


class SearchTooLong(Exception):
    """Not all processes could be looked at in time, so nothing is known of the holders."""


@dataclass(frozen=True, slots=True)
class Process:
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
    pid: int
    fd: str
    started: int


@dataclass(frozen=True, slots=True)
class _Found:
    holdings: tuple[_Holding, ...]
    until: float


class Processes:
    """Finds the holders of a socket; any thread may ask.

    A finding is remembered for a moment only, and never believed: each use reads the effective ids, then the
    descriptor's link and the start time again, so neither a pid that was used again nor a closed descriptor passes.

    :param proc: where procfs is mounted.
    :param monotonic: seconds.
    """

    def __init__(self, proc: str = "/proc", *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._proc = proc
        self._monotonic = monotonic
        self._cache: OrderedDict[Key, _Found] = OrderedDict()
        self._likely: OrderedDict[int, tuple[str, ...]] = OrderedDict()

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
            for holding in near.holdings:
                process = self._try(holding, inode, groups=groups)
                if process is not None and process.uid == uid:
                    return [process]
        return []

    def search(self, inode: int, uid: int, *, groups: bool = False) -> list[Process]:
        """The processes of account ``uid`` that hold the socket ``inode``; those of all accounts if it has none.

        For uid 0 always those of all accounts: a service that opened its port as root and dropped its rights. Blocks
        for at most :data:`SEARCH` seconds.

        :raises SearchTooLong: when not all processes that matter could be looked at.
        """
        now = self._monotonic()
        deadline = now + SEARCH
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
            self._cache[inode, uid] = _Found(holdings, now + fresh)
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
            if self._monotonic() > deadline:
                raise SearchTooLong(f"socket {inode}: not all processes seen within {SEARCH} s")
            try:
                if uid is not None and os.stat(f"{self._proc}/{name}").st_uid != uid:
                    continue
                fd = self._descriptor(int(name), link)
                if fd is not None:
                    yield _Holding(int(name), fd, self._started(int(name)))
            except (OSError, Changed):
                continue

    def _try(self, near: _Holding, inode: int, *, groups: bool) -> Process | None:
        """Look for the socket among the descriptors of a process that holds another one."""
        likely = self._likely.get(near.pid, ())
        try:
            fd = self._descriptor(near.pid, f"socket:[{inode}]", likely, most=QUICK)
            if fd is None:
                return None
            process = self._confirm(_Holding(near.pid, fd, near.started), inode, groups=groups)
        except (OSError, Changed):
            return None
        if fd not in likely[:1]:
            self._likely[near.pid] = (fd, *(other for other in likely if other != fd))[:GUESSES]
            while len(self._likely) > CACHED:
                self._likely.popitem(last=False)
        return process

    def _descriptor(self, pid: int, link: str, guesses: Iterable[str] = (), *, most: int | None = None) -> str | None:
        """:raises OSError: when the process is gone or may not be looked at."""
        folder = f"{self._proc}/{pid}/fd/"
        for fd in guesses:
            if _read_link(folder + fd) == link:
                return fd
        for fd in os.listdir(folder)[: -most - 1 if most else None : -1]:  # the newest are usually last
            if _read_link(folder + fd) == link:
                return fd
        return None

    def _confirm(self, holding: _Holding, inode: int, *, groups: bool) -> Process:
        """Read the ids, then see that the process holds the socket, and then that it was one process all the time.

        :raises Changed: or OSError, when it is not.
        """
        folder = f"{self._proc}/{holding.pid}"
        if groups:
            uid, gid, supplementary = self._status(holding.pid)
        else:
            # The owner of /proc/PID itself is always the effective ids, dumpable or not (task_dump_owner in
            # fs/proc/base.c); its status says the same and takes five times as long.
            status = os.stat(folder)
            uid, gid, supplementary = status.st_uid, status.st_gid, frozenset()
        if os.readlink(f"{folder}/fd/{holding.fd}") != f"socket:[{inode}]":
            raise Changed
        if self._started(holding.pid) != holding.started:
            raise Changed
        return Process(holding.pid, uid, gid, supplementary, holding.started)

    def _status(self, pid: int) -> tuple[int, int, frozenset[int]]:
        """Effective uid and gid and the supplementary groups, at one moment.

        :raises Changed: when it is no status.
        """
        text = _slurp(f"{self._proc}/{pid}/status")
        try:
            # Uid: real effective saved file-system
            uid = int(text.split(b"\nUid:", 1)[1].split(None, 2)[1])
            gid = int(text.split(b"\nGid:", 1)[1].split(None, 2)[1])
            groups = text.split(b"\nGroups:", 1)[1].split(b"\n", 1)[0]
        except (IndexError, ValueError):
            raise Changed from None
        return uid, gid, frozenset(map(int, groups.split()))

    def _started(self, pid: int) -> int:
        """Field 22 of stat (proc(5)); the name in field 2 may hold spaces and parentheses.

        :raises Changed: when there is no such field.
        """
        try:
            return int(_slurp(f"{self._proc}/{pid}/stat").rpartition(b")")[2].split(None, 20)[19])
        except (IndexError, ValueError):
            raise Changed from None


def _read_link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return None


def _slurp(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.read(fd, _MOST)
        if len(data) == _MOST:
            while more := os.read(fd, 1 << 16):
                data += more
        return data
    finally:
        os.close(fd)
