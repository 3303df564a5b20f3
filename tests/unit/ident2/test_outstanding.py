from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from supercloud.ident2.outstanding import NoAnswer, Outstanding, Reason
from supercloud.ident2.wire import Answer, Question, SocketAddress

QUESTION = Question(local=SocketAddress.parse("10.77.0.11", 8888), question_id=1, client_id=2)
NODE, OTHER = ("10.77.0.11", 99), ("10.77.0.12", 99)


class Script:
    """Questions as they were sent, and what became of the answers."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.sent: list[Question] = []
        self.outstanding = Outstanding(self.clock, **({"timeout": 0.5, "tries": 3, "limit": 10} | options))

    def ask(self, source: object = NODE) -> list[Any]:
        return self.results(self.outstanding.ask(QUESTION, self.sent.append, source))

    @staticmethod
    def results(waiting: Deferred[Answer]) -> list[Any]:
        results: list[Any] = []
        waiting.addCallbacks(results.append, lambda failure: results.append(failure.value))
        return results

    def answer(self, question_id: int | None = None, source: object = NODE) -> bool:
        answer = Answer(flags=1, uid=7, question_id=self.sent[-1].question_id if question_id is None else question_id)
        return self.outstanding.answered(answer, source)


@pytest.fixture
def script() -> Script:
    return Script()


def test_an_answer_reaches_whoever_asked(script: Script) -> None:
    results = script.ask()
    assert script.answer()
    assert [result.uid for result in results] == [7]
    assert len(script.outstanding) == 0


def test_ids_are_fresh_and_not_the_callers(script: Script) -> None:
    for _ in range(3):
        script.ask()
    assert len({question.question_id for question in script.sent} - {QUESTION.question_id}) == 3
    assert max(question.question_id for question in script.sent) > 2**48


def test_an_answer_from_another_source_is_not_believed(script: Script) -> None:
    results = script.ask()
    assert not script.answer(source=OTHER)
    assert not script.answer(source=("10.77.0.11", 1099))
    assert results == []
    assert script.answer()


def test_an_answer_with_another_id_is_not_believed(script: Script) -> None:
    results = script.ask()
    assert not script.answer(script.sent[-1].question_id ^ 1)
    assert results == []


def test_a_duplicate_answer_is_ignored(script: Script) -> None:
    results = script.ask()
    assert script.answer()
    assert not script.answer()
    assert len(results) == 1


def test_a_question_is_asked_again_under_its_id_and_then_given_up(script: Script) -> None:
    results = script.ask()
    for sent in (1, 2, 3):
        assert len(script.sent) == sent
        assert results == []
        script.clock.advance(0.5)
    assert [result.reason for result in results] == [Reason.TIMED_OUT]
    assert len({question.question_id for question in script.sent}) == 1
    assert script.clock.getDelayedCalls() == []


def test_the_late_answer_to_the_first_try_is_as_good_as_any(script: Script) -> None:
    results = script.ask()
    script.clock.advance(0.5)
    assert script.answer(script.sent[0].question_id)
    assert len(results) == 1


def test_an_answer_after_the_last_try_is_stale(script: Script) -> None:
    results = script.ask()
    script.clock.pump([0.5] * 3)
    assert not script.answer()
    assert len(results) == 1


def test_questions_wait_each_for_its_own_time(script: Script) -> None:
    first = script.ask()
    script.clock.advance(0.25)
    second = script.ask()
    script.clock.pump([0.25] * 5)
    assert (len(first), len(second)) == (1, 0)
    script.clock.advance(0.25)
    assert len(second) == 1


def test_a_cancelled_question_is_forgotten(script: Script) -> None:
    waiting = script.outstanding.ask(QUESTION, script.sent.append, NODE)
    results = script.results(waiting)
    waiting.cancel()
    assert [type(result) for result in results] == [CancelledError]
    assert not script.answer()
    script.clock.pump([0.5] * 3)
    assert len(script.sent) == 1


def test_at_the_limit_one_more_is_refused() -> None:
    script = Script(limit=2)
    script.ask()
    script.ask()
    with pytest.raises(NoAnswer) as refusal:
        script.ask()
    assert refusal.value.reason is Reason.BUSY
    assert script.answer()
    script.ask()


def test_all_that_wait_are_given_up_at_the_end(script: Script) -> None:
    results = script.ask()
    script.outstanding.stop()
    assert [result.reason for result in results] == [Reason.REFUSED]
    assert script.clock.getDelayedCalls() == []


def test_the_timer_is_left_alone_while_answers_come(script: Script) -> None:
    for _ in range(5):
        script.ask()
        script.answer()
    assert len(script.clock.getDelayedCalls()) == 1
    script.clock.advance(1)
    assert script.clock.getDelayedCalls() == []
    assert "10.77.0.11:8888" in str(NoAnswer(Reason.TIMED_OUT, QUESTION))
