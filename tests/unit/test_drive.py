"""Coroutines that go on as far as they can at once."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, succeed

from supercloud.drive import drive


def test_a_coroutine_that_never_waits_is_done_at_once() -> None:
    done: list[object] = []

    async def work() -> None:
        done.append(1)

    assert drive(work()) is None
    assert done == [1]


def test_answers_that_are_there_already_are_no_wait() -> None:
    done: list[object] = []

    async def work() -> None:
        done.extend([await succeed(number) for number in range(2000)])

    assert drive(work()) is None
    assert len(done) == 2000


def test_it_goes_on_when_the_answer_has_come() -> None:
    first: Deferred[int] = Deferred()
    second: Deferred[int] = Deferred()
    done: list[object] = []

    async def work() -> None:
        done.append(await first)
        done.append(await second)

    assert drive(work()) is not None
    second.callback(2)
    assert done == []
    first.callback(1)
    assert done == [1, 2]


def test_what_fails_is_raised_where_it_was_awaited() -> None:
    wait: Deferred[int] = Deferred()
    caught: list[object] = []

    async def work() -> None:
        try:
            await wait
        except ValueError as error:
            caught.append(error)

    drive(work())
    wait.errback(ValueError())
    assert len(caught) == 1


def test_cancelling_reaches_what_is_awaited_now() -> None:
    waits: list[Deferred[int]] = [Deferred(), Deferred()]
    caught: list[object] = []

    async def work() -> None:
        try:
            for wait in waits:
                await wait
        except CancelledError as error:
            caught.append(error)

    cancel = drive(work())
    waits[0].callback(1)
    assert cancel is not None
    cancel()
    cancel()
    assert len(caught) == 1
