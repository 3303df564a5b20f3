"""Who somebody is on this cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass

# What useradd and common directory services accept; NSS decides what exists.
_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,255}\$?")


def is_login(text: str) -> bool:
    """What an account can be called at all."""
    return _LOGIN.fullmatch(text) is not None


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
        if not is_login(self.login):
            raise ValueError(f"login {self.login!r} is not a POSIX account name")
        if self.uid < 0 or self.gid < 0:
            raise ValueError(f"{self.login}: uid {self.uid}, gid {self.gid}")

    def __str__(self) -> str:
        return self.login


class NoAccount(LookupError):
    """There is no such account, or the site does not let it in."""
