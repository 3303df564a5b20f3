"""Runs a coroutine that awaits Deferreds, and makes nothing for one that never waits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


def drive(coroutine: Coroutine[Deferred[Any], Any, None]) -> Callable[[], object] | None:
    """Run a coroutine up to its first real wait, and on from there when what it waits for has come.

    :returns: None when it is done already; else what cancels it. Nothing but the coroutine itself is made for one
        that never waits (a Deferred for each request costs 4 microseconds).
    """
    try:
        waiting: Deferred[Any] | None = coroutine.send(None)
    except StopIteration:
        return None
    return _drive_on(coroutine, waiting)


def _drive_on(
    coroutine: Coroutine[Deferred[Any], Any, None], waiting: Deferred[Any] | None
) -> Callable[[], object] | None:
    is_stepping = False
    result: list[tuple[Callable[..., Any], Any]] = []

    def step() -> None:
        nonlocal waiting, is_stepping
        is_stepping = True
        while result:
            send, value = result.pop()
            try:
                waiting = send(value)
            except StopIteration:
                waiting = None
                break
            waiting.addCallbacks(came, failed)
        is_stepping = False

    def came(value: Any) -> None:
        result.append((coroutine.send, value))
        if not is_stepping:
            step()

    def failed(failure: Failure) -> None:
        result.append((coroutine.throw, failure.value))
        if not is_stepping:
            step()

    def cancel() -> None:
        if waiting is not None:
            waiting.cancel()

    if waiting is not None:
        waiting.addCallbacks(came, failed)
    return None if waiting is None else cancel
