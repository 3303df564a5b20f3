"""Ends all that an account has, once it may not be used any more."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from supercloud import events
from supercloud.errors import AccountClosed
from supercloud.watch import Watch


class Remembering(Protocol):
    """Remembers what accounts showed."""

    def forget(self, uid: int, reason: str) -> None: ...


class EndingSessions(Remembering, Protocol):
    """Sessions, of which the store has more than memory."""

    def end_all(self, uid: int, reason: str) -> Coroutine[Any, Any, None]: ...


@dataclass(frozen=True, slots=True)
class Closing:
    """See the module; called as an `authn.standing.Close`.

    :ivar end_workers: of an account, at once: after what goes to them has been told why.
    """

    sessions: EndingSessions
    credentials: tuple[Remembering, ...]
    watch: Watch
    end_workers: Callable[[int], object]

    def __call__(self, error: AccountClosed, uid: int, told: str, *, for_good: bool) -> None:
        """End it.

        :param for_good: sessions do not come back when the account may be used again.
        """
        for one in (self.sessions, *self.credentials):
            one.forget(uid, told)
        if for_good:
            # Somebody may have signed in since the administrator ended the sessions.
            events.watch(Deferred.fromCoroutine(self.sessions.end_all(uid, told)), "ending a locked account's sessions")
        self.watch.end_account(uid, error, told, lambda: self.end_workers(uid))
