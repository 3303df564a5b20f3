"""Who holds a socket of this host, for a front that sees its own account's processes only. Runs in a child."""

from __future__ import annotations

import msgspec

from supercloud.ident2.processes import Process, Processes, SearchTooLong
from supercloud.monitor.wire import Holder, HoldersRead, ReadHolders
from supercloud.packets import MOST_BYTES


class Holders:
    """Looks as the responder of a node does: each holder is seen to be the same process before and after, by its start,
    and to have had its ids while it held the socket.
    """

    def __init__(self, proc: str = "/proc") -> None:
        self._processes = Processes(proc)

    def read(self, asked: ReadHolders, _: list[int]) -> HoldersRead:
        """Answer; not complete when it took too long, or is more than a packet holds."""
        inode, uid = asked.inode, asked.uid
        try:
            found = self._processes.remembered(inode, uid, groups=True) or self._processes.search(
                inode, uid, groups=True
            )
        except SearchTooLong:
            return HoldersRead(asked.id, (), is_complete=False)
        answer = HoldersRead(asked.id, _distinct(found), is_complete=True)
        if len(msgspec.msgpack.encode(answer)) > MOST_BYTES:
            return HoldersRead(asked.id, (), is_complete=False)
        return answer


def _distinct(found: list[Process]) -> tuple[Holder, ...]:
    """One for each set of ids: the processes of a server that forked are many, and all say the same."""
    by_ids = {(one.uid, one.gid, one.groups): one.pid for one in reversed(found)}
    return tuple(Holder(pid, uid, gid, tuple(sorted(groups))) for (uid, gid, groups), pid in by_ids.items())
