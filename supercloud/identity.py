"""Who somebody is on this cluster: a POSIX account, looked up through NSS beside the reactor's thread."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

# What useradd and common directory services accept; NSS decides what exists.
_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,255}\$?")


@dataclass(frozen=True, slots=True)
class Principal:
    """The POSIX account that was authenticated.

    :ivar groups: gids of the primary and all supplementary groups when it was looked up.
    """

    login: str
    uid: int
    gid: int
    groups: frozenset[int]

    def __post_init__(self) -> None:
        if not _LOGIN.fullmatch(self.login):
            raise ValueError(f"login {self.login!r} is not a POSIX account name")
        if self.uid < 0 or self.gid < 0:
            raise ValueError(f"{self.login}: uid {self.uid}, gid {self.gid}")

    def __str__(self) -> str:
        return self.login


class NoAccount(LookupError):
    """There is no such account, or the site does not let it in."""


class Offloaded(Protocol):
    """Runs a blocking call elsewhere and answers with an awaitable."""

    def run(self, call: Callable[..., Any], *args: Any) -> Any: ...


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


def read_primary_gid(uid: int) -> int | None:
    """Primary group of an account in the account database, None without an account; blocks."""
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return None


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
        principal: Principal = await self._offload.run(read_account, key)
        if self._only is not None:
            if principal.uid != self._only:
                raise NoAccount(f"{principal} is not the account that runs this portal")
        elif principal.uid == 0 or principal.uid < self._min_uid:
            raise NoAccount(f"{principal} has uid {principal.uid}, below {self._min_uid}")
        return principal
