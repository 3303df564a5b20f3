"""What the front asks of a worker itself."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from supercloud.errors import NoWorker
from supercloud.shares import Shares
from supercloud.upstream.pool import Pool
from supercloud.workers.asking import MOST, MOST_WORKSPACE, WITHIN, Asking
from supercloud.workers.job_told import JobAt
from supercloud.workers.pool import One, Workers
from supercloud.workers.session_told import Told
from supercloud.workers.way import WayToWorker
from tests.fakes.accounts import ALICE, FakeAccounts
from tests.fakes.workers import FakeMonitor, FakeWorkerDialer

BODY = b'{"id":"42","ended":null}'
FOUND = JobAt("42", None)


def response(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


class Asked:
    def __init__(self) -> None:
        self.clock = Clock()
        self.dialer = FakeWorkerDialer(self.clock)
        self.workers = Workers(FakeMonitor(), FakeAccounts(), self.clock, limit=2, idle=60.0)
        pool: Pool[One] = Pool(self.clock, Shares(self.clock), most=3)
        self.asking = Asking(self.workers, WayToWorker(self.workers, self.dialer, pool), self.clock)

    def ask(self) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.asking.job_at(ALICE, "node1"))


@pytest.fixture
def asked() -> Asked:
    return Asked()


def failed(deferred: Deferred[Any]) -> BaseException:
    found: list[Any] = []
    deferred.addErrback(found.append)
    [failure] = found
    return failure.value  # type: ignore[no-any-return]


def test_the_workers_answer_is_the_answer(asked: Asked) -> None:
    answered = asked.ask()
    assert asked.dialer[0].received == b"JOB-AT /node1 HTTP/1.1\r\nHost: worker\r\n\r\n"
    asked.dialer[0].send(response(BODY)[:50])
    asked.dialer[0].send(response(BODY)[50:])
    assert answered.result == FOUND


def test_nothing_is_there(asked: Asked) -> None:
    answered = asked.ask()
    asked.dialer[0].send(response(b"", b"404 Not Found"))
    assert answered.result is None


def test_one_connection_serves_one_question_after_the_other(asked: Asked) -> None:
    for _ in range(3):
        answered = asked.ask()
        asked.dialer[0].send(response(BODY))
        assert answered.result == FOUND
    assert len(asked.dialer) == 1


def test_a_kept_connection_that_the_worker_closes_is_no_answer(asked: Asked) -> None:
    asked.ask()
    asked.dialer[0].send(response(BODY))
    answered = asked.ask()
    asked.dialer[0].die()
    asked.dialer[1].send(response(BODY))
    assert answered.result == FOUND


@pytest.mark.parametrize("answer", [b"H", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
def test_a_worker_that_has_answered_with_a_byte_is_not_asked_again(asked: Asked, answer: bytes) -> None:
    asked.ask()
    asked.dialer[0].send(response(BODY))
    answered = asked.ask()
    asked.dialer[0].send(answer)
    asked.dialer[0].die()
    assert len(asked.dialer) == 1
    assert isinstance(failed(answered), NoWorker)


@pytest.mark.parametrize(
    "answer",
    [
        response(b"{}"),
        response(BODY.replace(b"null", b"-1")),
        response(BODY, b"500 Internal Server Error"),
        response(b"x" * (MOST + 1)),
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nx",
        b"nonsense\r\n\r\n",
    ],
)
def test_what_is_no_answer_lets_nobody_in(asked: Asked, answer: bytes) -> None:
    answered = asked.ask()
    asked.dialer[0].send(answer)
    assert isinstance(failed(answered), NoWorker)


def test_a_worker_that_ends_lets_nobody_in(asked: Asked) -> None:
    answered = asked.ask()
    asked.dialer[0].die()
    assert isinstance(failed(answered), NoWorker)


def test_a_worker_that_does_not_answer_is_waited_for_until_its_time_is_up(asked: Asked) -> None:
    """A user can stop a process that runs as them."""
    answered = asked.ask()
    asked.clock.advance(WITHIN - 0.1)
    assert not answered.called
    asked.clock.advance(0.1)
    assert isinstance(failed(answered), NoWorker)
    assert asked.dialer[0].is_closing
    asked.ask()
    assert len(asked.dialer) == 2, "its connection is not used again"


def test_a_job_tells_where_it_listens(asked: Asked) -> None:
    answered = Deferred.fromCoroutine(asked.asking.session(ALICE, "42"))
    assert asked.dialer[0].received == b"SESSION /42 HTTP/1.1\r\nHost: worker\r\n\r\n"
    asked.dialer[0].send(response(b'{"node":"node1","port":8888,"path":"/lab","authorization":"token abc"}'))
    assert answered.result == Told("node1", 8888, "/lab", "token abc")


def test_a_job_that_has_not_announced_itself_tells_nothing(asked: Asked) -> None:
    answered = Deferred.fromCoroutine(asked.asking.session(ALICE, "42"))
    asked.dialer[0].send(response(b"", b"404 Not Found"))
    assert answered.result is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"node":"n","port":22,"path":"/","authorization":""}',
     b'{"node":"n","port":8888,"path":"//evil","authorization":""}',
     b'{"node":"n","port":8888,"path":"/","authorization":"token a\\r\\nX-Evil: 1"}'],
)  # fmt: skip
def test_a_worker_that_was_taken_over_tells_nothing_of_another_form(asked: Asked, body: bytes) -> None:
    answered = Deferred.fromCoroutine(asked.asking.session(ALICE, "42"))
    asked.dialer[0].send(response(body))
    assert isinstance(failed(answered), NoWorker)


def test_the_workspace_is_what_its_page_says(asked: Asked) -> None:
    answered = Deferred.fromCoroutine(asked.asking.workspace(ALICE))
    assert asked.dialer[0].received == b"GET /api/workspace HTTP/1.1\r\nHost: worker\r\n\r\n"
    asked.dialer[0].send(response(b'{"jobs":[]}'))
    assert answered.result == b'{"jobs":[]}'


@pytest.mark.parametrize(("length", "is_taken"), [(MOST_WORKSPACE, True), (MOST_WORKSPACE + 1, False)])
def test_a_workspace_has_its_limit(asked: Asked, length: int, is_taken: bool) -> None:
    answered = Deferred.fromCoroutine(asked.asking.workspace(ALICE))
    asked.dialer[0].send(response(b"x" * length))
    if is_taken:
        assert len(answered.result) == length
    else:
        assert isinstance(failed(answered), NoWorker)


def test_a_worker_without_a_workspace_is_none(asked: Asked) -> None:
    answered = Deferred.fromCoroutine(asked.asking.workspace(ALICE))
    asked.dialer[0].send(response(b"", b"404 Not Found"))
    assert isinstance(failed(answered), NoWorker)
