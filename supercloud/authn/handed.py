"""What opens applications to their owners: told by the owner's worker, kept in memory only, and given to nobody else.

A link bears no credential: browsers keep links, and pages tell them to others. So the front adds the field itself, to
what goes from that account to a listener of that account.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.interfaces import IReactorTime

from supercloud.authn.credential import Farewell
from supercloud.authn.session import Session
from supercloud.deadline import Deadline
from supercloud.target import Application

LIFE: Final = 24 * 3600.0  # seconds; jobs that listen longer are opened anew from their page
MOST: Final = 64  # applications of one account; beyond it the one opened first is forgotten


@dataclass(slots=True, eq=False)
class _Entry:
    """:ivar sessions: that opened the application, with what each calls at its end."""

    authorization: bytes = field(repr=False)
    until: float
    sessions: dict[Session, Farewell] = field(default_factory=dict)


class Handed:
    """The credentials of all accounts' applications.

    :ivar version: another number whenever anything changed, so that who remembers an answer knows when to ask again.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._of_account: dict[int, OrderedDict[Application, _Entry]] = {}
        self._deadline = Deadline(clock, self._drop_old)
        self._is_waiting = False
        self.version = 0

    def hand(self, session: Session, application: Application, authorization: str) -> None:
        """Remember what lets a session's account into its application, until all sessions that opened it have ended.

        :param authorization: value of the field; ``""``: it needs none, so what was known is forgotten.
        """
        uid = session.uid
        entries = self._of_account.setdefault(uid, OrderedDict())
        known = entries.get(application)
        sessions = {} if known is None else known.sessions
        entries[application] = _Entry(authorization.encode("ascii"), self._clock.seconds() + LIFE, sessions)
        entries.move_to_end(application)
        self.version += 1
        if not authorization:
            self._forget(uid, application)
            return
        if len(entries) > MOST:
            self._forget(uid, next(iter(entries)))
        if not self._is_waiting:  # else it waits for one that was handed before
            self._is_waiting = True
            self._deadline.set(LIFE)
        if session not in sessions:
            self._await_end(session, uid, application)

    def given(self, uid: int, application: Application) -> bytes:
        """The field's value for the account's own requests; empty for none."""
        entries = self._of_account.get(uid)
        entry = None if entries is None else entries.get(application)
        return b"" if entry is None else entry.authorization

    def stop(self) -> None:
        """Forget all, and leave no timer behind."""
        self._deadline.cancel()
        for uid, entries in list(self._of_account.items()):
            for application in list(entries):
                self._forget(uid, application)

    def __len__(self) -> int:
        return sum(len(entries) for entries in self._of_account.values())

    def _await_end(self, session: Session, uid: int, application: Application) -> None:
        def over(reason: str) -> None:
            entries = self._of_account.get(uid)
            entry = None if entries is None else entries.get(application)
            if entry is not None and entry.sessions.pop(session, None) is not None and not entry.sessions:
                self._forget(uid, application)

        self._of_account[uid][application].sessions[session] = over
        session.on_end(over)

    def _forget(self, uid: int, application: Application) -> None:
        entries = self._of_account[uid]
        for session, farewell in entries.pop(application).sessions.items():
            session.no_longer(farewell)
        if not entries:
            del self._of_account[uid]
        self.version += 1

    def _drop_old(self) -> None:
        now = self._clock.seconds()
        old = [(uid, one) for uid, entries in self._of_account.items() for one, e in entries.items() if e.until <= now]
        for uid, application in old:
            self._forget(uid, application)
        left = [entry.until for entries in self._of_account.values() for entry in entries.values()]
        self._is_waiting = bool(left)
        if left:
            self._deadline.set(min(left) - now)
