"""Cookies that somebody planted in a viewer's browser, for the portal's host or one above it: how it is rid of them.

A script on any page below the portal's parent domain may set cookies for all of it: so many that no request can be
read, or one by the name of a cookie of the portal's, as WebKit keeps the ``__Host-`` names from no script.
``Clear-Site-Data`` ends all cookies of the site; ``Set-Cookie`` fields end these where a browser does not heed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from supercloud.errors import PlantedCookies
from supercloud.message.head import RequestHead

_MOST: Final = 32 * 1024  # bytes of these fields; browsers take heads of 256 KiB and more
_MOST_PATH: Final = 1024  # bytes that a cookie's path can have (RFC 6265bis section 5.6)
_FLAGS: Final = b"; Secure; HttpOnly"


def clearing(error: PlantedCookies, head: RequestHead) -> list[tuple[bytes, bytes]]:
    """The fields of an answer that rids the browser of them."""
    fields = [(b"Clear-Site-Data", b'"cookies"')]
    left = _MOST
    for value in _endings(error.names, head):
        left -= len(value)
        if left < 0:
            break
        fields.append((b"Set-Cookie", value))
    return fields


def _endings(names: tuple[bytes, ...], head: RequestHead) -> Iterator[bytes]:
    """The cookie is another one for each path and each domain; all that reach this address are ended."""
    domains = [b"", *(b"; Domain=" + domain for domain in _domains(head.host))]
    for path in _paths(head.path):
        for name in names:
            for domain in domains:
                yield name + b"=; Max-Age=0; Path=" + path + domain + _FLAGS


def _domains(host: bytes) -> Iterator[bytes]:
    """The host, and those above it that are no registry's; a browser ignores what it is not at."""
    name = b"" if host.startswith(b"[") else host.partition(b":")[0]
    labels = name.split(b".") if name else []
    for start in range(max(len(labels) - 1, 1 if labels else 0)):
        yield b".".join(labels[start:])


def _paths(path: bytes) -> Iterator[bytes]:
    """All that a cookie which is sent to this one may have, the root first (RFC 6265 section 5.1.4)."""
    yield b"/"
    end = 0
    while 0 <= (end := path.find(b"/", end + 1)) <= _MOST_PATH and b";" not in path[:end]:
        yield path[:end]
        yield path[: end + 1]
    if not path.endswith(b"/") and len(path) <= _MOST_PATH and b";" not in path:
        yield path
