"""Blocking calls (NSS, /proc, DNS, files) beside the reactor's thread: by turns over accounts, so many of each."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from supercloud.lines import Shares

P = ParamSpec("P")
R = TypeVar("R")


class Offload:
    """A small thread pool. What one account has called waits behind what it had called before, and nobody else's does.

    :param threads: most threads at once.
    :param each: threads for one account at once; None: all of them, where no call takes long.
    :param waiting: calls that wait, for each account; one more raises.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        *,
        name: str,
        threads: int = 4,
        each: int | None = None,
        waiting: int = 500,
    ) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, threads, name)
        self._shares = Shares(name, places=threads, each=each, waiting=waiting)

    def start(self) -> None:
        """Let threads start; they do when they are first needed."""
        self._pool.start()

    def stop(self) -> None:
        """Wait for running calls and end the threads."""
        if self._pool.started and not self._pool.joined:
            self._pool.stop()

    def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        """Run ``call`` in a thread, for the portal itself: it goes before what accounts have called.

        :raises Busy: when as many calls of the portal's own wait as are allowed.
        """
        return self._run((), lambda: call(*args, **kwargs))

    def run_for(self, account: Hashable, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        """Run ``call`` in a thread, for an account.

        Whoever stops waiting while it runs leaves the thread taken until it comes back.

        :param account: whose request it is, or whatever else could call much.
        :raises Busy: when as many calls of that account wait as are allowed.
        """
        return self._run((account,), lambda: call(*args, **kwargs))

    def _run(self, path: tuple[Hashable, ...], call: Callable[[], R]) -> Deferred[R]:
        entered = self._shares.enter(*path)
        answered: Deferred[R] = Deferred(lambda _: entered.cancel())

        def begin(_: None) -> None:
            deferToThreadPool(self._reactor, self._pool, call).addBoth(end)

        def end(result: R | Failure) -> None:
            self._shares.leave(*path)
            if not answered.called:  # or nobody waits any more
                answered.callback(result)

        entered.addCallbacks(begin, answered.errback)
        return answered
