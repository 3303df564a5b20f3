"""Becoming an account, for good, and proving that there is no way back. The only module that changes ids."""

from __future__ import annotations

import os
from collections.abc import Callable
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


def enter_groups(login: str, gid: int) -> None:
    """Take the groups that the account database gives a login, as login programs do before PAM may add more.

    Root's own are gone then: whoever changes only uid and gid leaves them to everybody.

    :param gid: the account's primary group, which becomes one of the supplementary ones.
    :raises OSError: when the process may not.
    """
    os.initgroups(login, gid)


def failure_as(account: Principal, call: Callable[[], object]) -> str | None:
    """What goes wrong when an account does something, tried in a child that becomes it; None when nothing does.

    Blocks, and forks: only before the reactor runs and before any thread is started.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            become(account)
            call()
        except BaseException as error:  # the child must end here, whatever happens in it
            os.write(writing, (str(error) or repr(error)).encode()[:4000])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        text = told.read().decode("utf-8", "replace")
    os.waitpid(child, 0)
    return text or None
