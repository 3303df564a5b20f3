"""Look-ups beside the reactor's thread, behind a queue that has an end."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable
from queue import SimpleQueue
from typing import Final, Protocol

from twisted.logger import Logger

from supercloud.ident2.wire import Answer, Question
from supercloud.lines import Line

_log = Logger()

WAITING: Final = 2000  # questions; at 100 us each the last one waits less than a try's patience

SEARCHES: Final = 100  # that wait, for sockets of one account

_Work = tuple[Question, Callable[[Answer], object]]


class _Works(Protocol):
    def get(self) -> _Work | None: ...


class _Searches:
    """Searches that wait, by turns over the accounts whose sockets they are; for several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._line: Line[tuple[Hashable, _Work]] = Line()
        self._waits: Counter[Hashable] = Counter()
        self._is_over = False
        self._changed = threading.Condition()

    def put(self, account: Hashable, work: _Work) -> bool:
        """Whether there is room."""
        with self._changed:
            if self._waits[account] >= self._most:
                return False
            self._waits[account] += 1
            self._line.put((account,), (account, work))
            self._changed.notify()
        return True

    def end(self) -> None:
        """After what waits."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def get(self) -> _Work | None:
        """Wait for the next; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._line or self._is_over)
            if not self._line:
                return None
            account, work = self._line.take()
            self._waits -= Counter((account,))
            return work


class LookupThreads:
    """Two threads: one for what can be told at once, one for what needs a search.

    So a slow search (a process with very many descriptors) holds up other searches only. Cheaper than Twisted's thread
    pool by half the cost of a look-up, and bounded.

    :ivar elsewhere: who searches instead of the second thread, from any thread; it delivers later. For a process that
        cannot see other accounts' processes.
    :param quick: answers, or returns None for what needs a search.
    :param answer: answers; both block, and what they raise is logged, and the question stays without an answer.
    :param whose: the account whose search it would be: searches take turns by it.
    :param waiting: questions in the first queue; one more is dropped.
    """

    def __init__(
        self,
        quick: Callable[[Question], Answer | None],
        answer: Callable[[Question], Answer],
        *,
        whose: Callable[[Question], Hashable] = lambda _: None,
        waiting: int = WAITING,
        searches: int = SEARCHES,
    ) -> None:
        self._quick = quick
        self._answer = answer
        self._whose = whose
        self._limit = waiting
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._searches = _Searches(searches)
        self._threads: list[threading.Thread] = []
        self.elsewhere: Callable[[Question, Callable[[Answer], object]], object] | None = None

    def start(self) -> None:
        """Start the threads: after the last fork and after rights were dropped."""
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._work, args=(self._queue, self._quick), name="ident2-quick", daemon=True),
                threading.Thread(
                    target=self._work, args=(self._searches, self._answer), name="ident2-search", daemon=True
                ),
            ]
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        """Answer what is queued, and end; waits for at most a second each."""
        self._queue.put(None)
        self._searches.end()
        for thread in self._threads:
            thread.join(1.0)
        self._threads = []

    def submit(self, question: Question, deliver: Callable[[Answer], object]) -> bool:
        """Queue a question.

        :param deliver: called with the answer, in the look-up's thread.
        :return: False when the queue is full, and the question was dropped.
        """
        if self._queue.qsize() >= self._limit:
            return False
        self._queue.put((question, deliver))
        return True

    def answer_here(self, question: Question, deliver: Callable[[Answer], object]) -> bool:
        """Answer in the caller's thread, unless it needs a search; see `submit`."""
        try:
            answer = self._quick(question)
        except Exception:
            _log.failure("no answer about {local}", local=str(question.local))
            return True
        if answer is None:
            return self._have_searched(question, deliver)
        deliver(answer)
        return True

    def _have_searched(self, question: Question, deliver: Callable[[Answer], object]) -> bool:
        if self.elsewhere is None:
            return self._searches.put(self._whose(question), (question, deliver))
        self.elsewhere(question, deliver)
        return True

    def _work(self, queue: _Works, look: Callable[[Question], Answer | None]) -> None:
        while (work := queue.get()) is not None:
            question, deliver = work
            try:
                answer = look(question)
                if answer is not None:
                    deliver(answer)
                else:
                    self._have_searched(question, deliver)
            except Exception:  # the thread serves everybody: it must outlive one question
                _log.failure("no answer about {local}", local=str(question.local))
