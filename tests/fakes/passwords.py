"""Passwords of a few people, and who asked about them."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from supercloud.errors import PortalError
from supercloud.monitor.wire import PasswordOutcome

_LOGIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")


class FakePasswordCheck:
    """Implements `authn.password.PasswordCheck`: everybody's password is ``LOGIN-secret``.

    :ivar outcomes: of accounts whose right password does not let them in, or for whom nobody can say.
    :ivar asked: login and address of each question.
    :ivar breaks: raised instead of an answer.
    """

    def __init__(self, *logins: str) -> None:
        self.passwords = {login: f"{login}-secret".encode() for login in logins or ("alice", "bob", "carol")}
        self.outcomes: dict[str, PasswordOutcome] = {}
        self.asked: list[tuple[str, str]] = []
        self.breaks: PortalError | None = None
        self._waiting: list[Deferred[None]] | None = None

    async def check_password(self, login: str, password: bytes | bytearray, address: str) -> PasswordOutcome:
        if not login or not _LOGIN.issuperset(login) or not 0 < len(password) <= 1024 or b"\0" in password:
            return "bad"
        self.asked.append((login, address))
        if self._waiting is not None:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting
        if self.breaks is not None:
            raise self.breaks
        outcome = self.outcomes.get(login, "good")
        if outcome in ("busy", "slow", "broken", "closed"):
            return outcome
        return outcome if self.passwords.get(login) == password else "bad"

    def hold(self) -> None:
        """Answer nobody until `release`."""
        self._waiting = []

    def release(self) -> None:
        waiting, self._waiting = self._waiting or [], None
        for one in waiting:
            one.callback(None)
