"""May an account be used now? Everything here blocks, and runs in a child of its own."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from supercloud.monitor.shadow import Shadow, is_locked, read_shadow
from supercloud.monitor.shells import LISTED_IN, Shells, has_shell
from supercloud.monitor.wire import AccountState, Task

# Where pam_nologin(8) looks; systemd makes the second one while the host starts and stops.
NOLOGIN: Final = ("/etc/nologin", "/run/nologin")


class AccountCheck(Protocol):
    """Asks PAM whether an account may be used; see monitor.pam."""

    def account(self, login: str) -> AccountState: ...


def read_state(
    task: Task,
    uid: int,
    login: str | None = None,
    *,
    pam: AccountCheck | None,
    nologin: Sequence[str] = NOLOGIN,
    shadow: Callable[[str], Shadow | None] = read_shadow,
    listed_in: str = LISTED_IN,
) -> AccountState:
    """Judge an account by NSS, the shadow file, /etc/shells, /etc/nologin and PAM.

    :param login: under which it signed in; None: whatever it is called.
    :raises OSError: nobody can say.
    """
    if task.only_uid is not None:
        return _state_of_only(task.only_uid, uid, login)
    if uid == 0:
        return "root"
    if uid < task.min_uid:
        return "below-minimum"
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return "unknown"
    if not is_named(entry, login or entry.pw_name):
        return "renamed"
    if is_closed(nologin):
        return "closed"
    state = state_of_entry(entry, task.shells, shadow, listed_in=listed_in)
    if state != "good" or pam is None:
        return state
    return pam.account(entry.pw_name)


def _state_of_only(only: int, uid: int, login: str | None) -> AccountState:
    """Whoever runs the embedded portal is on this host already: only who they are is looked at."""
    if uid != only:
        return "root" if uid == 0 else "unknown"
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return "unknown"
    return "good" if login is None or login == entry.pw_name else "renamed"


def is_named(entry: pwd.struct_passwd, login: str) -> bool:
    """That login, and the other way round: a directory may fold case, or have two names for a uid."""
    if entry.pw_name != login:
        return False
    try:
        return pwd.getpwnam(login).pw_uid == entry.pw_uid
    except KeyError:
        return False


def is_closed(nologin: Sequence[str]) -> bool:
    """Nobody is let in for now."""
    return any(map(os.path.lexists, nologin))


def state_of_entry(
    entry: pwd.struct_passwd,
    shells: Shells,
    shadow: Callable[[str], Shadow | None] = read_shadow,
    *,
    listed_in: str = LISTED_IN,
) -> AccountState:
    """Locked, expired or without a shell, by this host's files and the account database alone.

    :raises OSError: nobody can say.
    """
    state = _state_of_shadow(entry, shadow)
    if state == "good" and not has_shell(entry.pw_shell, shells, listed_in=listed_in):
        return "no-shell"
    return state


def _state_of_shadow(entry: pwd.struct_passwd, shadow: Callable[[str], Shadow | None]) -> AccountState:
    found = shadow(entry.pw_name)
    if found is None:
        return "locked" if is_locked(entry.pw_passwd) else "good"
    if found.is_locked:
        return "locked"
    # pam_unix counts the same way (check_shadow_expiry): days of UTC, and the day itself is too late.
    today = (datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    return "expired" if found.expires is not None and today >= found.expires else "good"


def may_sign_in(login: str, min_uid: int) -> pwd.struct_passwd | None:
    """The account that a password may be for; None: unknown, renamed, root or the system's."""
    try:
        entry = pwd.getpwnam(login)
    except KeyError:
        return None
    if entry.pw_name != login or entry.pw_uid == 0 or entry.pw_uid < min_uid:
        return None
    return entry
