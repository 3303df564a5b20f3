"""Accounts through NSS, always beside the reactor's thread."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Hashable
from typing import Any, Protocol

from supercloud.identity import NoAccount, Principal


class Offloaded(Protocol):
    """Runs a blocking call elsewhere and answers with an awaitable."""

    def run(self, call: Callable[..., Any], *args: Any) -> Any:
        """For the portal itself."""

    def run_for(self, account: Hashable, call: Callable[..., Any], *args: Any) -> Any:
        """For an account, in its share."""


def read_account(key: str | int) -> Principal:
    """Ask NSS; blocks.

    :param key: a login or a uid.
    :raises NoAccount: when NSS knows none, or names another than was asked for (a directory that folds case).
    """
    try:
        entry = pwd.getpwuid(key) if isinstance(key, int) else pwd.getpwnam(key)
    except KeyError:
        raise NoAccount(f"no account {key!r}") from None
    if isinstance(key, str) and entry.pw_name != key:
        raise NoAccount(f"{key!r} is called {entry.pw_name!r} here")
    groups = frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))
    try:
        return Principal(entry.pw_name, entry.pw_uid, entry.pw_gid, groups)
    except ValueError as error:
        raise NoAccount(str(error)) from None


class Accounts:
    """Accounts as the site admits them.

    :param min_uid: accounts below it are not let in; uid 0 never is, except by ``only``.
    :param only: the embedded portal's one account, whoever that is; nobody else is let in.
    """

    def __init__(self, offload: Offloaded, *, min_uid: int = 1000, only: int | None = None) -> None:
        self._offload = offload
        self._min_uid = min_uid
        self._only = only

    async def find(self, key: str | int) -> Principal:
        """The principal for a login or uid, read afresh.

        :raises NoAccount: see `read_account`; or the account is not admitted.
        """
        principal: Principal = await self._offload.run_for(key, read_account, key)
        if self._only is not None:
            if principal.uid != self._only:
                raise NoAccount(f"{principal} is not the account that runs this portal")
        elif principal.uid == 0 or principal.uid < self._min_uid:
            raise NoAccount(f"{principal} has uid {principal.uid}, below {self._min_uid}")
        return principal

    async def exists(self, login: str) -> bool:
        """Whether this host has such an account, admitted or not; in one share for all who give names."""
        try:
            await self._offload.run_for("names that were given", read_account, login)
        except NoAccount:
            return False
        return True
