"""Coroutines to their end without a reactor."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that awaits nothing but Deferreds that have fired; raises what it raises."""
    results: list[T | Failure] = []
    deferred = Deferred.fromCoroutine(coroutine)
    deferred.addBoth(results.append)
    if not results:
        deferred.addErrback(lambda _: None)
        deferred.cancel()
        raise AssertionError("the coroutine waits for something")
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result
