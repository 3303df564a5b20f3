"""The shadow entry of an account, from the C library: Python's own module for it ends with 3.12."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from typing import Final

_ROOM: Final = 64 * 1024  # bytes for the strings of an entry
_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Spwd(ctypes.Structure):
    """``struct spwd`` of shadow.h."""

    _fields_ = [
        ("sp_namp", ctypes.c_char_p),
        ("sp_pwdp", ctypes.c_char_p),
        ("sp_lstchg", ctypes.c_long),
        ("sp_min", ctypes.c_long),
        ("sp_max", ctypes.c_long),
        ("sp_warn", ctypes.c_long),
        ("sp_inact", ctypes.c_long),
        ("sp_expire", ctypes.c_long),
        ("sp_flag", ctypes.c_ulong),
    ]


@dataclass(frozen=True, slots=True)
class Shadow:
    """What counts of an entry.

    :ivar is_locked: by ``usermod -L`` or ``passwd -l``: a ``!`` before something else. An entry that is only ``!``,
        ``!!`` or ``*`` is an account without a password, whose people come by key or certificate.
    :ivar expires: day after 1970-01-01 from which on the account is closed; None: never.
    """

    is_locked: bool
    expires: int | None


def is_locked(password: str) -> bool:
    """See `Shadow`; ``!*`` is locked: it is what ``usermod -L`` makes of ``*``."""
    return password.startswith("!") and password.strip("!") != ""


def read_shadow(login: str) -> Shadow | None:
    """Ask NSS (getspnam_r); blocks.

    :return: None when there is no entry.
    :raises OSError: nobody can say, as for whoever is not root.
    """
    entry, room, found = _Spwd(), ctypes.create_string_buffer(_ROOM), ctypes.POINTER(_Spwd)()
    code = _libc.getspnam_r(login.encode(), ctypes.byref(entry), room, ctypes.c_size_t(_ROOM), ctypes.byref(found))
    if code:
        raise OSError(code, f"shadow entry of {login}: {os.strerror(code)}")
    if not found:
        return None
    password = (entry.sp_pwdp or b"").decode("utf-8", "surrogateescape")
    return Shadow(is_locked(password), None if entry.sp_expire == -1 else entry.sp_expire)
