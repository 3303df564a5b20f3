"""Who holds a socket of this host, for a front that sees its own account's processes only. Runs in a child."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from contextlib import suppress

import msgspec

from supercloud.ident2.processes import Process, Processes, SearchTooLong
from supercloud.monitor.wire import Holder, HoldersRead, ReadHolders
from supercloud.packets import MOST_BYTES


def read_holders(request: ReadHolders, proc: str = "/proc") -> HoldersRead:
    """Search as the responder of a node does: each holder is seen to be the same process, by its start, before and
    after, and to have had its ids while it held the socket.
    """
    try:
        found = Processes(proc).search(request.inode, request.uid, groups=True)
    except SearchTooLong:
        return HoldersRead(request.id, (), is_complete=False)
    answer = HoldersRead(request.id, _distinct(found), is_complete=True)
    if len(msgspec.msgpack.encode(answer)) > MOST_BYTES:
        return HoldersRead(request.id, (), is_complete=False)
    return answer


def _distinct(found: list[Process]) -> tuple[Holder, ...]:
    """One for each set of ids: the processes of a server that forked are many, and all say the same."""
    by_ids = {(one.uid, one.gid, one.groups): one.pid for one in reversed(found)}
    return tuple(Holder(pid, uid, gid, tuple(sorted(groups))) for (uid, gid, groups), pid in by_ids.items())


class Killed(msgspec.Struct, frozen=True):
    """:ivar pids: of the processes that were killed."""

    pids: tuple[int, ...]


def kill_holders(inode: int, spared: Collection[int], proc: str = "/proc") -> Killed:
    """Kill whoever holds a status socket's other end: a session holder that does not report in time."""
    killed = []
    with suppress(SearchTooLong):
        for process in Processes(proc).search(inode, 0):
            if process.pid not in spared and _kill(process, inode, proc):
                killed.append(process.pid)
    return Killed(tuple(killed))


def _kill(process: Process, inode: int, proc: str) -> bool:
    """Kill it if it still holds the socket, so that no other process bears its number by now."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        again = Processes(proc).search(inode, 0)
        if (process.pid, process.started) not in [(one.pid, one.started) for one in again]:
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except (ProcessLookupError, SearchTooLong):
        return False
    finally:
        os.close(pidfd)
    return True
