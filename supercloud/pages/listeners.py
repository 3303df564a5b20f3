"""Programs of the person's own that listen, on this host and on the nodes of their jobs, whoever started them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

from supercloud.scheduler.interface import Job, Listener, Scheduler, SchedulerError
from supercloud.scheduler.listening import NO_APPLICATIONS, program_name

_LISTEN: Final = "0A"
_LEAST: Final = 1024
_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
# What localhost leads to; as /proc/net/tcp writes it, in the host's order.
_LOCAL: Final = frozenset(
    {
        *("00000000", "0100007F", "0" * 32, "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"),
    }
)
_MOST: Final = 100
MOST_JOBS: Final = 8
BELIEVED: Final = 30.0


def own_listeners(leave_out: set[int]) -> list[Listener]:
    """By port.

    :param leave_out: ports that are shown elsewhere.
    """
    sockets: dict[int, int] = {}
    for table in _TABLES:
        for port, inode in _listening(table):
            if port >= _LEAST and port not in leave_out:
                sockets.setdefault(inode, port)
    if not sockets:
        return []
    found: dict[int, str] = {}
    for pid in _own_processes():
        for inode in _inodes(pid):
            if inode in sockets:
                found.setdefault(sockets[inode], _command(pid))
    listeners = [Listener(node="localhost", port=port, name=found[port]) for port in sorted(found)]
    return [one for one in listeners if one.name not in NO_APPLICATIONS][:_MOST]


def _listening(table: str) -> Iterator[tuple[int, int]]:
    """Port and inode of this account's sockets; see proc(5)."""
    uid = str(os.geteuid())
    with suppress(OSError):
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            address, _, port = words[1].partition(":")
            if words[3] == _LISTEN and words[7] == uid and address in _LOCAL:
                yield int(port, 16), int(words[9])


def _own_processes() -> Iterator[int]:
    for entry in os.scandir("/proc"):
        with suppress(OSError):
            if entry.name.isdecimal() and entry.stat().st_uid == os.geteuid():
                yield int(entry.name)


def _inodes(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError, ValueError):
                target = os.readlink(entry.path)  # noqa: PTH115
                if target.startswith("socket:["):
                    yield int(target[8:-1])


def _command(pid: int) -> str:
    """How the process was called."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return "a program"
    return program_name(words)


class NodeListeners:
    """The same on the nodes of jobs. A look costs the scheduler a step of each job, so that nobody looks but who asks
    for it, and what was found is believed for `BELIEVED` seconds.
    """

    def __init__(self, scheduler: Scheduler, clock: Callable[[], float] = time.monotonic) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._known: dict[str, tuple[float, list[Listener]]] = {}
        self._looking = Lock()

    def of(self, jobs: Iterable[Job]) -> list[Listener]:
        """By node and port; a job that cannot be looked at now has none.

        :param jobs: the first `MOST_JOBS` that run are looked at.
        """
        running = [job.id for job in jobs if job.state == "running"][:MOST_JOBS]
        with self._looking:
            now = self._clock()
            known = self._known = {
                job_id: told for job_id, told in self._known.items() if job_id in running and now - told[0] < BELIEVED
            }
            new = [job_id for job_id in running if job_id not in known]
            if new:
                with ThreadPoolExecutor(max_workers=4) as threads:
                    known.update(zip(new, ((now, found) for found in threads.map(self._look, new)), strict=True))
        found = {(one.node, one.port): one for job_id in running for one in known[job_id][1]}
        return [found[at] for at in sorted(found)]

    def _look(self, job_id: str) -> list[Listener]:
        try:
            return self._scheduler.listeners(job_id)
        except SchedulerError:
            return []
