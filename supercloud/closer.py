"""Descriptors that other accounts' processes send, and how to be rid of them without waiting.

Whoever sends a descriptor (SCM_RIGHTS, unix(7)) says how long closing it takes: a file is flushed first (NFS, FUSE),
whose server may be dead, and a socket may linger for as long as its owner likes. The kernel closes what nobody takes
within the reader's own ``recv`` or ``close``: 3 s of linger were 3 s there (measured). So:

- Linux 6.16 and later refuses them to the sender where we want none, also on connections that wait to be accepted.
- What has come is closed in a thread for each account, and so is a connection that holds some unread.
- Where very much of one account's waits, a process takes it over and ends, for what ends does not linger (0.7 ms),
  and what waits for a dead file server waits there.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Hashable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from supercloud.packets import close_all

PER_ACCOUNT: Final = 200  # descriptors of one account that wait: it is let do nothing that makes more
MOST: Final = 400  # of one account; then a process takes them over
MOST_PROCESSES: Final = 8  # of one account that have not ended
_IDLE: Final = 5.0  # seconds that a thread waits for more
_LOOKS: Final = 16  # messages that are looked through before a connection is closed
_PASS_RIGHTS: Final = 83  # SO_PASSRIGHTS, asm-generic/socket.h
_ENDS_WITH_ITS_INPUT: Final = "/bin/cat"


def take_descriptors(connected: socket.socket, take: bool) -> None:
    """Say whether descriptors may be sent to a unix socket. A connection has what its listener had; by default, yes.

    Linux before 6.16 does not know that: they may always.
    """
    with suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, _PASS_RIGHTS, int(take))


class Closer:
    """One thread for each account that has something to close: none waits for another account's.

    Used in one thread only.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._queues: dict[Hashable, SimpleQueue[int]] = {}
        self._processes: dict[Hashable, list[int]] = {}

    def close(self, account: Hashable, descriptors: Sequence[int]) -> None:
        """Have them closed, in their order; at once for whoever does not wait."""
        if not descriptors:
            return
        with self._guard:
            queue = self._queues.get(account)
            if queue is None:
                queue = self._queues[account] = SimpleQueue()
                threading.Thread(target=self._work, args=(account, queue), name="closer", daemon=True).start()
            for descriptor in descriptors:
                queue.put(descriptor)
        if queue.qsize() > MOST:
            self._hand_over(account, queue)

    def end(self, account: Hashable, connected: socket.socket) -> None:
        """End a SOCK_SEQPACKET connection: at once, unless it holds descriptors that nobody has read."""
        with suppress(OSError):  # from here on nothing more comes
            connected.shutdown(socket.SHUT_RDWR)
        if _holds_descriptors(connected):
            self.close(account, [connected.detach()])
        else:
            connected.close()

    def is_behind(self, account: Hashable) -> bool:
        """Whether very many of an account's wait."""
        queue = self._queues.get(account)
        return queue is not None and queue.qsize() > PER_ACCOUNT

    def _work(self, account: Hashable, queue: SimpleQueue[int]) -> None:
        while True:
            try:
                close_all([queue.get(timeout=_IDLE)])
            except OSError:
                continue  # it is closed all the same; this was its server's last word on what was written
            except Empty:
                with self._guard:
                    if queue.empty():
                        del self._queues[account]
                        return

    def _hand_over(self, account: Hashable, queue: SimpleQueue[int]) -> None:
        """Give what waits to a process that ends then. Without room for one more it goes on waiting."""
        processes = self._processes[account] = [pid for pid in self._processes.get(account, ()) if not _is_over(pid)]
        if len(processes) >= MOST_PROCESSES:
            return
        descriptors = []
        with suppress(Empty):
            while True:
                descriptors.append(queue.get_nowait())
        try:
            processes.append(_last_holder(descriptors))
        except OSError:
            for descriptor in descriptors:
                queue.put(descriptor)


def _holds_descriptors(connected: socket.socket) -> bool:
    """Whether a connection to which nothing is sent any more may hold some; its other messages are dropped."""
    for _ in range(_LOOKS):
        with suppress(OSError):  # of the connection's own, told once
            has_bytes, has_control = _next(connected)
            if has_control:
                return True
            if not has_bytes and _is_at_end(connected):
                return False
            connected.recv(1, socket.MSG_DONTWAIT)
    return True


def _next(connected: socket.socket) -> tuple[bool, bool]:
    """Whether the next message has a byte, and whether anything beside: looked at without a buffer, it stays there."""
    data, _, flags, _ = connected.recvmsg(1, 0, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    return bool(data), bool(flags & socket.MSG_CTRUNC)


def _is_at_end(connected: socket.socket) -> bool:
    """Whether nothing comes any more, or there is a message of no bytes: that can say who sent it, an end cannot."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    try:
        return not _next(connected)[1]
    finally:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)


def _last_holder(descriptors: Sequence[int]) -> int:
    """A process that holds them last, and ends; its id.

    :raises OSError: there can be none now; they are open still.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, reading, 0), *((os.POSIX_SPAWN_DUP2, one, one) for one in descriptors)]
        pid = os.posix_spawn(_ENDS_WITH_ITS_INPUT, [_ENDS_WITH_ITS_INPUT], {}, file_actions=actions)
        close_all(descriptors)  # not for the last time: the process waits for the pipe's end
    finally:
        os.close(reading)
        os.close(writing)
    return pid


def _is_over(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True  # somebody else has waited for it
