"""A password as somebody typed it: kept in one place, and overwritten there; and the copies that were made on its way.

CPython overwrites nothing that it frees. So what may hold a password is overwritten before it is let go of: a `Secret`
at once, bytes only where nobody else has them.
"""

from __future__ import annotations

import ctypes
import re
import sys
from typing import Final

# Where the letters of a bytes object begin (Include/cpython/bytesobject.h): behind the header, before the last byte.
_HEADER: Final = bytes.__basicsize__ - 1
# RFC 3629 section 4; to decode it would make a text, which nobody can overwrite.
_UTF_8: Final = re.compile(
    rb"(?:[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}"
    rb"|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}"
    rb"|\xf4[\x80-\x8f][\x80-\xbf]{2})*"
)
SMALL: Final = 32 * 1024  # bytes; what is longer holds no password: a form is shorter (front.form)


class Secret:
    """Overwritten by whoever used it.

    :ivar data: in the one place where it is.
    """

    __slots__ = ("data",)

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self.data = bytearray(data)

    def __repr__(self) -> str:
        return "<secret>"

    @property
    def is_text(self) -> bool:
        """Whether it is UTF-8."""
        return _UTF_8.fullmatch(self.data) is not None

    def wipe(self) -> None:
        """Overwrite it; what is left is as long."""
        self.data[:] = bytes(len(self.data))


def wipe(data: bytes) -> None:
    """Overwrite bytes that nobody has but the one variable of the caller's that is given; leave any others alone."""
    # A single byte's object is everybody's; interpreters that are not CPython keep bytes elsewhere.
    if sys.getrefcount(data) <= _ALONE and 1 < len(data) <= SMALL and type(data) is bytes:
        ctypes.memset(id(data) + _HEADER, 0, len(data))


def _references(data: bytes) -> int:
    return sys.getrefcount(data)


def _alone() -> int:
    """What is counted for an object that one variable of a caller's has; none, where nothing may be overwritten."""
    if sys.implementation.name != "cpython":
        return -1
    probe = bytes(bytearray(100))
    return _references(probe)


_ALONE: Final = _alone()
