"""What can be seen of a request's head that cannot be read: enough to answer whoever sent it, and for nothing else.

Nothing of it is passed on or believed. It tells whether a person waits for a page, and whether it is their cookies that
made the head what it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from supercloud.message.head import UNREADABLE, Field, RequestHead, is_host

_LINES: Final = 200  # as many are looked at
_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST"})
_TARGET: Final = re.compile(rb"/[!\x22\x24-~]{0,2000}")
_SHOWN: Final = frozenset({b"accept", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"origin"})
# What no field may have; a line end is no letter of a cookie's, so whoever sent one sent no cookie.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Of the bytes that came.

    :ivar head: method, target, ``Host`` and what tells of a page, each only if it is of the usual form.
    :ivar cookies: what stands in Cookie fields, the last one perhaps in part.
    :ivar others: bytes of all else.
    """

    head: RequestHead
    cookies: tuple[bytes, ...]
    others: int

    @property
    def has_odd_cookies(self) -> bool:
        """Whether a cookie has a letter that no field may have."""
        return any(_CONTROL.search(value) for value in self.cookies)

    def has_many_cookies(self, most: int) -> bool:
        """Whether it is for its cookies alone that the head is over a limit, in bytes: others could not be told from a
        long address that somebody else's link has led to.
        """
        return sum(map(len, self.cookies)) > most // 2 >= self.others

    @property
    def cookie_names(self) -> tuple[bytes, ...]:
        """Of the cookies, as far as they are of the usual form."""
        pairs = (pair.partition(b"=") for value in self.cookies for pair in value.split(b";"))
        found = (name.strip(b" \t") for name, equals, _ in pairs if equals)
        return tuple(dict.fromkeys(name for name in found if _NAME.fullmatch(name)))


def glimpse(received: bytes) -> Glimpse:
    """Look at what came of a head."""
    start, *lines = received.split(b"\r\n", _LINES)
    fields: list[Field] = []
    cookies: list[bytes] = []
    host = b""
    for text in lines:
        name, colon, value = text.partition(b":")
        lower, value = name.lower(), value.strip(b" \t")
        if lower == b"cookie" and colon:
            cookies.append(value)
        elif lower == b"host" and is_host(value.lower()):
            host = value.lower()
        elif lower in _SHOWN:
            fields.append((lower, name, value))
    method, _, rest = start.partition(b" ")
    target = rest.partition(b" ")[0]
    head = replace(
        UNREADABLE,
        method=method if method in _METHODS else b"",
        target=target if _TARGET.fullmatch(target) else b"/",
        host=host,
        fields=fields,
        first={lower: value for lower, _, value in reversed(fields)},
    )
    return Glimpse(head, tuple(cookies), len(received) - sum(map(len, cookies)))
