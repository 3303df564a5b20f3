"""PAM, through pamela. Blocks, up to seconds; runs in a child of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pamela

from supercloud.monitor.wire import AccountState, PasswordOutcome

# security/_pam_types.h of Linux-PAM.
_SUCCESS: Final = 0
_PERM_DENIED: Final = 6
_AUTH_ERR: Final = 7
_CRED_INSUFFICIENT: Final = 8
_USER_UNKNOWN: Final = 10
_MAXTRIES: Final = 11
_NEW_AUTHTOK_REQD: Final = 12
_ACCT_EXPIRED: Final = 13
_CRED_EXPIRED: Final = 16
_AUTHTOK_EXPIRED: Final = 27
_DISALLOW_NULL_AUTHTOK: Final = 0x1
_SILENT: Final = 0x8000

_EXPIRED: Final = frozenset({_NEW_AUTHTOK_REQD, _ACCT_EXPIRED, _CRED_EXPIRED, _AUTHTOK_EXPIRED})
_BAD: Final = frozenset({_PERM_DENIED, _AUTH_ERR, _CRED_INSUFFICIENT, _USER_UNKNOWN, _MAXTRIES})
# pam.d(5): where a service's file may be.
_FOLDERS: Final = ("/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d")
# What modules say that judge an account (pam_access, pam_time: the first; pam_listfile, pam_succeed_if: the second).
_NOT_NOW: Final = frozenset({_PERM_DENIED, _AUTH_ERR})


class Pam:
    """One service of the site.

    :param service: name of its file in /etc/pam.d.
    """

    def __init__(self, service: str, folders: Sequence[str] = _FOLDERS) -> None:
        """:raises FileNotFoundError: the site has no such service. PAM would take the one that is called "other",
        without the limits that the site's own sets.
        """
        if "/" in service or not any(Path(folder, service).is_file() for folder in folders):
            raise FileNotFoundError(f"no PAM service {service!r} in {', '.join(folders)}")
        self._service = service

    def check(self, login: str, password: str, address: str) -> PasswordOutcome:
        """Authenticate, then ask whether the account may be used.

        The password answers prompts without echo only, and one of them; a second one (another factor) fails.

        :param address: of the browser; ``""``: not known.
        """
        answers = pamela.new_simple_password_conv((password,), "utf-8")
        try:
            handle = pamela.pam_start(self._service, login, conv_func=answers)
            if address:
                handle.set_item(pamela.PAM_RHOST, address)
        except pamela.PAMError:
            return "broken"
        code: int = pamela.PAM_AUTHENTICATE(handle, _DISALLOW_NULL_AUTHTOK | _SILENT)
        if code == _SUCCESS:
            outcome = _outcome(_account(handle, login))
        elif code in _EXPIRED:
            outcome = "expired"
        else:
            outcome = "bad" if code in _BAD else "broken"
        pamela.PAM_END(handle, code)
        return outcome

    def account(self, login: str) -> AccountState:
        """Ask whether the account may be used, without a password."""
        answers = pamela.new_simple_password_conv((), "utf-8")  # to any question: nobody is there
        try:
            handle = pamela.pam_start(self._service, login, conv_func=answers)
        except pamela.PAMError:
            return "broken"
        state = _account(handle, login)
        pamela.PAM_END(handle, _SUCCESS)
        return state


def _account(handle: Any, login: str) -> AccountState:
    code: int = pamela.PAM_ACCT_MGMT(handle, _DISALLOW_NULL_AUTHTOK | _SILENT)
    if code in _EXPIRED:
        return "expired"
    if code in _NOT_NOW:
        return "locked"
    if code == _USER_UNKNOWN:
        return "unknown"
    if code != _SUCCESS:
        return "broken"
    # A module may have put another account in the place of the one that was asked for.
    return "good" if handle.get_item(pamela.PAM_USER) == login else "renamed"


def _outcome(state: AccountState) -> PasswordOutcome:
    match state:
        case "good" | "locked" | "expired" | "broken":
            return state
        case _:
            return "bad"
