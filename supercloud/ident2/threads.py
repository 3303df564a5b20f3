"""Look-ups beside the reactor's thread, behind a queue that has an end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from twisted.logger import Logger

from supercloud.ident2.wire import Answer, Question

_log = Logger()

WAITING: Final = 2000  # questions; at 100 us each the last one waits less than a try's patience

_Work = tuple[Question, Callable[[Answer], object]]


class LookupThreads:
    """Two threads: one for what can be told at once, one for what needs a search.

    So a slow search (a process with very many descriptors) holds up other searches only. Cheaper than Twisted's thread
    pool by half the cost of a look-up, and bounded.

    :ivar elsewhere: who searches instead of the second thread, from any thread; it delivers later. For a process that
        cannot see other accounts' processes.
    :param quick: answers, or returns None for what needs a search.
    :param answer: answers; both block, and what they raise is logged, and the question stays without an answer.
    :param waiting: questions in each queue; one more is dropped.
    """

    def __init__(
        self,
        quick: Callable[[Question], Answer | None],
        answer: Callable[[Question], Answer],
        *,
        waiting: int = WAITING,
    ) -> None:
        self._quick = quick
        self._answer = answer
        self._limit = waiting
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._searches: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self.elsewhere: Callable[[Question, Callable[[Answer], object]], object] | None = None

    def start(self) -> None:
        """Start the threads: after the last fork and after rights were dropped."""
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._work, args=work, name=f"ident2-{name}", daemon=True)
                for name, work in (("quick", (self._queue, self._quick)), ("search", (self._searches, self._answer)))
            ]
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        """Answer what is queued, and end; waits for at most a second each."""
        for queue, thread in zip((self._queue, self._searches), self._threads, strict=False):
            queue.put(None)
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
        if self.elsewhere is not None:
            self.elsewhere(question, deliver)
        elif self._searches.qsize() < self._limit:
            self._searches.put((question, deliver))
        else:
            return False
        return True

    def _work(self, queue: SimpleQueue[_Work | None], look: Callable[[Question], Answer | None]) -> None:
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
