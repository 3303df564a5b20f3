"""Passwords and tokens of one portal: what the settings say, put together from its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from twisted.internet.interfaces import IReactorTime

from supercloud.accounts import Accounts, Offloaded
from supercloud.authn.password import PasswordCheck, Passwords
from supercloud.authn.programs import Programs
from supercloud.authn.throttle import Throttle
from supercloud.authn.token import Tokens
from supercloud.authn.token_store import SqliteTokenStore
from supercloud.config import Authn
from supercloud.desk.service import Handler
from supercloud.desk.token_service import TokenService
from supercloud.desk.wire import Message
from supercloud.events import Acts

FILE: Final = "tokens.sqlite"  # in the state folder


class Credentials:
    """What beside a session may say who somebody is; opens the file of tokens, and blocks for that.

    :ivar passwords: None where the site takes none, or nobody could check one; for `front.site.Parts`.
    :ivar tokens: None where the site takes none; for `front.site.Parts`.
    :ivar programs: None where it takes neither; for `Authenticator`.
    :param check: the monitor that is root; None without one.
    :param state: the state folder.
    :param storage: where the file of tokens is used.
    :param acts: leaves a line of each token that is made or revoked at the desk.
    :param now: Unix seconds.
    :raises Exposed: see `SqliteTokenStore.open`.
    """

    def __init__(
        self,
        authn: Authn,
        *,
        check: PasswordCheck | None,
        accounts: Accounts,
        throttle: Throttle,
        state: Path,
        storage: Offloaded,
        acts: Acts,
        clock: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        self.passwords: Passwords | None = None
        self.tokens: Tokens | None = None
        self.programs: Programs | None = None
        self._accounts = accounts
        self._acts = acts
        self._store: SqliteTokenStore | None = None
        if "password" in authn.schemes and check is not None:
            self.passwords = Passwords(check=check, accounts=accounts, throttle=throttle, clock=clock)
        if "token" in authn.schemes:
            self._store = SqliteTokenStore(state / FILE)
            self._store.open()
            self.tokens = Tokens(store=self._store, offload=storage, clock=clock, now=now)
            self.tokens.start()
        if self.passwords is not None or self.tokens is not None:
            self.programs = Programs(accounts, passwords=self.passwords, tokens=self.tokens)

    @property
    def handlers(self) -> Mapping[type[Message], Handler]:
        """For the desk."""
        return {} if self.tokens is None else TokenService(self.tokens, self._accounts, self._acts).handlers

    def forget(self, uid: int, reason: str) -> None:
        """End what memory has of an account, and what depends on it."""
        if self.tokens is not None:
            self.tokens.forget(uid, reason)
        if self.passwords is not None:
            self.passwords.forget(uid, reason)

    async def stop(self) -> None:
        """Write what is due, and close the file."""
        if self.tokens is not None:
            await self.tokens.stop()
        if self._store is not None:
            self._store.close()
