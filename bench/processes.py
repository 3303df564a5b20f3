"""What a process and its children use: time, memory, descriptors."""

from __future__ import annotations

import os
import resource
import threading
import time
from pathlib import Path

MB = 1e6
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def raise_descriptors() -> int:
    """Allow this process, and what it starts, as many descriptors as the machine lets it; says how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children that live."""
    return sum(_times(one) for one in _family(pid)) / _TICK


def rss(pid: int) -> int:
    """Bytes in memory, without children."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def descriptors(pid: int) -> int:
    """Number of open descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


class Watch:
    """Samples a process's memory while a block runs.

    :ivar before: bytes when the block began.
    :ivar most: the most that was seen.
    """

    def __init__(self, pid: int, *, every: float = 0.05) -> None:
        self._pid = pid
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.before = self.most = 0

    def __enter__(self) -> Watch:
        self.before = self.most = rss(self._pid)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(self._every):
            self.most = max(self.most, rss(self._pid))


def settle(pid: int, *, descriptors_at_most: int, within: float) -> None:
    """Wait until a process has closed what it is about to close."""
    end = time.monotonic() + within
    while descriptors(pid) > descriptors_at_most and time.monotonic() < end:
        time.sleep(0.1)


def _family(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _stat(int(entry))):
            parents.setdefault(int(stat[1]), []).append(int(entry))
    found, at = [pid], 0
    while at < len(found):
        found += parents.get(found[at], [])
        at += 1
    return found


def _times(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[11]) + int(stat[12]) if stat else 0


def _stat(pid: int) -> list[str]:
    """The fields after the name, which may hold spaces; none when the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
