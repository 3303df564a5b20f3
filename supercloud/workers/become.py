"""Becoming an account, for good, and proving that there is no way back. The only module that changes ids."""

from __future__ import annotations

import os
from typing import Final

from supercloud.identity import Principal

_ROOT: Final = 0


class StillPrivileged(Exception):
    """Rights that should be gone are still there; the process must end."""


def become(account: Principal) -> None:
    """Take an account's groups, gid and uid, in that order, and prove that root's cannot be had again.

    :raises StillPrivileged: when the ids are not what they should be; the caller ends the process.
    :raises OSError: when the process may not change its ids.
    """
    if account.uid == _ROOT:
        raise StillPrivileged(f"{account} is root")
    os.setgroups(sorted(account.groups))
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)  # noqa: TID251 - this is the module
    if os.getresuid() != (account.uid,) * 3 or os.getresgid() != (account.gid,) * 3:
        raise StillPrivileged(f"{account}: ids are {os.getresuid()}, {os.getresgid()}")
    if frozenset(os.getgroups()) - {account.gid} != account.groups - {account.gid}:
        raise StillPrivileged(f"{account}: groups are {os.getgroups()}")
    try:
        os.setresuid(_ROOT, _ROOT, _ROOT)  # noqa: TID251 - must fail
    except PermissionError:
        return
    raise StillPrivileged(f"{account} became root again")
