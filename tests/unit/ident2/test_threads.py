from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from twisted.logger import globalLogPublisher

from supercloud.ident2.threads import SEARCHES, LookupThreads
from supercloud.ident2.wire import Answer, Question, SocketAddress

QUICK = Question(local=SocketAddress.parse("127.0.0.1", 1))
SLOW = Question(local=SocketAddress.parse("127.0.0.1", 2))
BROKEN = Question(local=SocketAddress.parse("127.0.0.1", 3))


class Kernel:
    """Quick about port 1, slow about port 2 until it is released, broken about port 3."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def quick(self, question: Question) -> Answer | None:
        if question == BROKEN:
            raise OSError("no kernel")
        return None if question == SLOW else Answer(pid=1)

    def answer(self, question: Question) -> Answer:
        self.released.wait(3)
        return Answer(pid=2)


@contextmanager
def running(kernel: Kernel, **options: Any) -> Iterator[LookupThreads]:
    threads = LookupThreads(kernel.quick, kernel.answer, **options)
    threads.start()
    threads.start()
    try:
        yield threads
    finally:
        kernel.released.set()
        threads.stop()


def test_a_slow_search_does_not_hold_up_the_quick() -> None:
    kernel, answers = Kernel(), SimpleQueue[Answer]()
    with running(kernel) as threads:
        assert threads.submit(SLOW, answers.put)
        assert threads.submit(QUICK, answers.put)
        assert answers.get(timeout=3).pid == 1
        kernel.released.set()
        assert answers.get(timeout=3).pid == 2


def test_a_failing_look_up_is_logged_and_the_next_answered() -> None:
    answers, events = SimpleQueue[Answer](), list[Any]()
    globalLogPublisher.addObserver(events.append)
    try:
        with running(Kernel()) as threads:
            threads.submit(BROKEN, answers.put)
            threads.submit(QUICK, answers.put)
            assert answers.get(timeout=3).pid == 1
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert [event["log_failure"].type for event in events if "log_failure" in event] == [OSError]


def test_a_full_queue_drops_one_more() -> None:
    threads = LookupThreads(Kernel().quick, Kernel().answer, waiting=2)
    assert [threads.submit(QUICK, print) for _ in range(3)] == [True, True, False]


def test_a_full_queue_of_searches_drops_one_more() -> None:
    kernel, answers, began = Kernel(), SimpleQueue[Answer](), threading.Event()

    def answer(question: Question) -> Answer:
        began.set()
        return Kernel.answer(kernel, question)

    threads = LookupThreads(kernel.quick, answer, searches=1)
    threads.start()
    threads.submit(SLOW, answers.put)
    assert began.wait(3)
    for _ in range(2):
        threads.submit(SLOW, answers.put)
    threads.submit(QUICK, answers.put)
    assert answers.get(timeout=3).pid == 1
    kernel.released.set()
    threads.stop()
    assert answers.qsize() == 2


def test_a_thousand_searches_for_one_accounts_sockets_cost_anothers_one_turn() -> None:
    kernel, searched, began = Kernel(), SimpleQueue[int](), threading.Event()

    def answer(question: Question) -> Answer:
        began.set()
        searched.put(question.local.port)
        return kernel.answer(question)

    threads = LookupThreads(lambda _: None, answer, whose=lambda question: question.local.port % 10)
    threads.start()
    assert threads.answer_here(Question(local=SocketAddress.parse("127.0.0.1", 10)), print)
    assert began.wait(3)
    evil = [Question(local=SocketAddress.parse("127.0.0.1", 10 * n)) for n in range(2, 1002)]
    assert [threads.answer_here(question, str) for question in evil].count(True) == SEARCHES
    assert threads.answer_here(Question(local=SocketAddress.parse("127.0.0.1", 7)), str)
    kernel.released.set()
    assert [searched.get(timeout=3) for _ in range(3)] == [10, 20, 7]
    threads.stop()


def test_somebody_else_may_search() -> None:
    kernel, searched = Kernel(), list[Question]()
    threads = LookupThreads(kernel.quick, kernel.answer, waiting=0)
    threads.elsewhere = lambda question, deliver: searched.append(question)
    assert threads.answer_here(SLOW, print)
    assert searched == [SLOW]


def test_what_needs_no_search_is_not_searched_elsewhere() -> None:
    kernel, answers = Kernel(), list[Answer]()
    threads = LookupThreads(kernel.quick, kernel.answer)
    threads.elsewhere = lambda question, deliver: answers.clear()
    assert threads.answer_here(QUICK, answers.append)
    assert [answer.pid for answer in answers] == [1]
