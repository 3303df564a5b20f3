"""Threads of a worker: as many as there are requests at once, up to a bound; what is too much waits."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import Any, Final

from cheroot.workers.threadpool import WorkerThread

# The front sends at most one request a connection; a browser opens six, and rclone and other clients four to sixteen
# transfers at once. A blocked thread (a slow disk, a paused download) keeps none of the others from working.
MOST: Final = 16


class Threads:
    """cheroot's pool of threads (its contract: start, put, get, stop), grown on demand: most workers never need more
    than one or two, and each costs memory and time to start.
    """

    def __init__(self, server: Any, most: int = MOST) -> None:
        self._server = server
        self._most = most
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._started = 0
        # Threads that wait for work or are on their way to, less the connections that wait for a thread.
        self._free = 0
        self._on_their_way = 0

    def start(self) -> None:
        """The first thread: where none can be started, there is no worker.

        :raises RuntimeError: the account's limit of processes is reached.
        """
        with self._changed:
            self._start_one()

    def put(self, connection: Any) -> None:
        """Have a connection served."""
        with self._changed:
            if self._free <= 0 and self._started < self._most:
                with suppress(RuntimeError):  # the account's limit of processes: it waits for one that is there
                    self._start_one()
            self._free -= 1
        self._queue.put(connection)

    def get(self) -> Any:
        """Called by a thread that has nothing to do: waits for a connection."""
        with self._changed:
            if self._on_their_way:
                self._on_their_way -= 1
            else:
                self._free += 1
                self._changed.notify_all()
        return self._queue.get()

    def stop(self, timeout: float) -> bool:
        """Wait until nothing is under way.

        :param timeout: seconds.
        :return: whether that is so.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._free == self._started, timeout)

    def _start_one(self) -> None:
        thread = WorkerThread(self._server)  # type: ignore[no-untyped-call]
        thread.daemon = True
        thread.start()
        self._started += 1
        self._on_their_way += 1
        self._free += 1
