"""Closing what accounts have sent, beside the reactor's thread.

Whoever sent a descriptor says how long closing it takes: a file is flushed first (NFS, FUSE), whose server may be dead,
and a socket may linger. That goes for a connection too, as it may hold descriptors that nobody has read.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Final

from supercloud.packets import close_all

MOST: Final = 1000  # descriptors that wait, of all accounts
PER_UID: Final = 200
_IDLE: Final = 5.0  # seconds that a thread waits for more


class Closer:
    """One thread for each account that has something to close: none waits for another account's."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._queues: dict[int, SimpleQueue[int]] = {}

    def close(self, uid: int, descriptors: Sequence[int]) -> None:
        """Have them closed, in their order; at once for whoever does not wait."""
        if not descriptors:
            return
        with self._guard:
            queue = self._queues.get(uid)
            if queue is None:
                queue = self._queues[uid] = SimpleQueue()
                threading.Thread(target=self._work, args=(uid, queue), name="desk-close", daemon=True).start()
            for descriptor in descriptors:
                queue.put(descriptor)

    def is_behind(self, uid: int) -> bool:
        """Whether very many of an account's wait."""
        queue = self._queues.get(uid)
        return queue is not None and queue.qsize() > PER_UID

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more of anybody's."""
        with self._guard:
            return sum(queue.qsize() for queue in self._queues.values()) > MOST

    def _work(self, uid: int, queue: SimpleQueue[int]) -> None:
        while True:
            try:
                close_all([queue.get(timeout=_IDLE)])
            except OSError:
                continue  # it is closed all the same; this was its server's last word on what was written
            except Empty:
                with self._guard:
                    if queue.empty():
                        del self._queues[uid]
                        return
