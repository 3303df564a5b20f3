"""Blocking calls, made at once in the test's own thread."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from twisted.internet.defer import Deferred, execute


class FakeOffload:
    """Calls at once; between ``hold()`` and ``release()`` answers are made at once and arrive later.

    :ivar shares: for whom something was called, in order; None is the portal itself.
    """

    def __init__(self) -> None:
        self.shares: list[Hashable] = []
        self._held: list[tuple[Deferred[Any], Any]] | None = None

    def run(self, call: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return self.run_for(None, call, *args)

    def run_for(self, account: Hashable, call: Callable[..., Any], *args: Any) -> Deferred[Any]:
        self.shares.append(account)
        made = execute(call, *args)
        if self._held is None:
            return made
        later: Deferred[Any] = Deferred()
        made.addBoth(lambda result, held=self._held: held.append((later, result)))
        return later

    def hold(self) -> None:
        self._held = []

    def release(self, *, newest_first: bool = False) -> None:
        held, self._held = self._held or [], None
        for later, result in reversed(held) if newest_first else held:
            later.callback(result)
