"""Questions that wait for their answers: asked again when nothing comes, matched exactly, then given up."""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from supercloud.ident2.wire import Answer, Question


class Reason(Enum):
    """Why there is no answer."""

    TIMED_OUT = "no answer in time"
    OUTSIDE = "the node is outside the networks"
    REFUSED = "nobody to ask"
    BUSY = "too many questions wait"


class NoAnswer(Exception):
    """A question found no answer, which never means yes.

    :ivar reason: for the rule and the audit line.
    """

    def __init__(self, reason: Reason, question: Question) -> None:
        super().__init__(f"{question.local}: {reason.value}")
        self.reason = reason


@dataclass(slots=True)
class _Waiting:
    question: Question
    send: Callable[[Question], object]
    source: object
    answer: Deferred[Answer]
    tries: int


class Outstanding:
    """Asks, and asks again; used in the reactor's thread only.

    All tries of a question bear one unguessable id, so that the late answer to the first try is as good as any.

    :param timeout: seconds that each try waits.
    :param tries: questions sent before giving up, at least 1.
    :param limit: most questions that wait at once.
    """

    def __init__(self, clock: IReactorTime, *, timeout: float, tries: int, limit: int) -> None:
        self._clock = clock
        self._timeout = timeout
        self._tries = tries
        self._limit = limit
        self._waiting: dict[int, _Waiting] = {}
        self._ids: list[int] = []
        # Every try waits equally long, so the first to be asked is the first to be asked again: one timer for all.
        self._due: deque[tuple[float, int]] = deque()
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, question: Question, send: Callable[[Question], object], source: object) -> Deferred[Answer]:
        """Send ``question`` under a fresh id until ``source`` answers it.

        :return: fires with the answer, or fails with :class:`NoAnswer`; may be cancelled.
        :raises NoAnswer: at once, when too many questions wait.
        """
        if len(self._waiting) >= self._limit:
            raise NoAnswer(Reason.BUSY, question)
        identity = self._fresh_id()
        question = replace(question, question_id=identity, client_id=0)

        def forget(_: Deferred[Answer]) -> None:
            self._waiting.pop(identity, None)

        waiting = _Waiting(question, send, source, Deferred(forget), self._tries)
        self._waiting[identity] = waiting
        self._send(waiting)
        self._arm()
        return waiting.answer

    def _fresh_id(self) -> int:
        if not self._ids:
            self._ids += struct.unpack("<64Q", os.urandom(512))  # one call of the kernel for many
        return self._ids.pop()

    def answered(self, answer: Answer, source: object) -> bool:
        """Take an answer in.

        :return: whether it was waited for; a stale, duplicate or invented one, or one from elsewhere, was not.
        """
        waiting = self._waiting.get(answer.question_id)
        if waiting is None or waiting.source != source:
            return False
        del self._waiting[answer.question_id]
        waiting.answer.callback(answer)
        return True

    def stop(self) -> None:
        """Give every question up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due.clear()
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            each.answer.errback(NoAnswer(Reason.REFUSED, each.question))

    def _send(self, waiting: _Waiting) -> None:
        waiting.tries -= 1
        self._due.append((self._clock.seconds() + self._timeout, waiting.question.question_id))
        waiting.send(waiting.question)

    def _arm(self) -> None:
        if self._timer is None and self._due:
            self._timer = self._clock.callLater(max(0.0, self._due[0][0] - self._clock.seconds()), self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        while self._due and (self._due[0][0] <= now or self._due[0][1] not in self._waiting):
            waiting = self._waiting.get(self._due.popleft()[1])
            if waiting is None:
                continue
            if waiting.tries > 0:
                self._send(waiting)
            else:
                del self._waiting[waiting.question.question_id]
                waiting.answer.errback(NoAnswer(Reason.TIMED_OUT, waiting.question))
        self._arm()
