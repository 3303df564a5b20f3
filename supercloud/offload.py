"""Blocking calls (NSS, /proc, files, DNS) beside the reactor's thread, with a bound on how many wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from supercloud.errors import Busy

P = ParamSpec("P")
R = TypeVar("R")


class Offload:
    """A small thread pool that refuses work rather than queueing without end.

    :param threads: most threads at once.
    :param waiting: most calls in the pool, running or queued; one more raises.
    """

    def __init__(self, reactor: IReactorFromThreads, *, name: str, threads: int = 4, waiting: int = 500) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, threads, name)
        self._name = name
        self._waiting = waiting
        self._inside = 0

    def start(self) -> None:
        """Let threads start; they do when they are first needed."""
        self._pool.start()

    def stop(self) -> None:
        """Wait for running calls and end the threads."""
        if self._pool.started and not self._pool.joined:
            self._pool.stop()

    def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        """Run ``call`` in a thread.

        :raises Busy: when as many calls wait as are allowed.
        """
        if self._inside >= self._waiting:
            raise Busy(f"{self._inside} calls wait for {self._name}")
        self._inside += 1
        return deferToThreadPool(self._reactor, self._pool, call, *args, **kwargs).addBoth(self._leave)

    def _leave(self, result: R) -> R:
        self._inside -= 1
        return result
