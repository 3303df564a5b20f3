"""One check of a password, in a child that was made for it. The password is nowhere else in the monitor."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from supercloud.identity import is_login
from supercloud.monitor.accounts import NOLOGIN, is_closed, may_sign_in, state_of_entry
from supercloud.monitor.shadow import Shadow, read_shadow
from supercloud.monitor.shells import Shells
from supercloud.monitor.wire import PasswordOutcome

MOST_PASSWORD: Final = 1024  # bytes; a pipe holds that without anybody reading it
_WORDS: Final[dict[str, PasswordOutcome]] = {
    "locked": "locked",
    "expired": "expired",
    "no-shell": "no-shell",
    "good": "good",
}


class PasswordCheck(Protocol):
    """Asks PAM; see monitor.pam."""

    def check(self, login: str, password: str, address: str) -> PasswordOutcome: ...


def check_password(
    login: str,
    address: str,
    descriptor: int,
    *,
    pam: PasswordCheck,
    min_uid: int,
    shells: Shells = "etc-shells",
    nologin: Sequence[str] = NOLOGIN,
    shadow: Callable[[str], Shadow | None] = read_shadow,
) -> PasswordOutcome:
    """Read the password from the descriptor and check it.

    Whoever may not sign in at all, and whoever is unknown, is answered ``bad`` after the same work of PAM, with a
    password that cannot be right: neither time nor answer tells that the one that was given was root's.

    :raises OSError: the account database does not answer.
    """
    password = read_password(descriptor)
    if is_closed(nologin):
        return "closed"
    if password is None or not is_login(login):
        return "bad"
    entry = may_sign_in(login, min_uid)
    outcome = pam.check(login, password if entry is not None else secrets.token_hex(16), address)
    if entry is None:
        return "broken" if outcome == "broken" else "bad"
    if outcome != "good":
        return outcome
    return _WORDS[state_of_entry(entry, shells, shadow)]


def read_password(descriptor: int) -> str | None:
    """Everything up to the pipe's end, at most `MOST_PASSWORD` bytes.

    :return: None when it is no password: none, too long, not UTF-8, or with a NUL, after which the C library would
        not read on. An empty one is "nobody" to a directory (RFC 4513 section 5.1.2), and is then never wrong.
    """
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return None
    os.set_blocking(descriptor, True)
    data = b""
    while len(data) <= MOST_PASSWORD:
        more = os.read(descriptor, MOST_PASSWORD + 1 - len(data))
        if not more:
            break
        data += more
    if not data or len(data) > MOST_PASSWORD or b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
