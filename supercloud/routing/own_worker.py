"""The fields of a request on its way to its viewer's worker, and of the worker's answer.

The worker is the portal's own program, but it runs as the user, who may do anything to it: it is told no credential,
and what it answers binds the portal's origin no more than an application's answer does.
"""

from __future__ import annotations

from typing import Final

from supercloud.message.fields import HOP_BY_HOP, line, without_reserved
from supercloud.message.head import CHUNKED, RequestHead, ResponseHead
from supercloud.routing.place import GUARD, PORTAL_DROPPED, TOLD_BEGINNINGS, TOLD_BY_US

_DROPPED: Final = HOP_BY_HOP | TOLD_BY_US | {b"content-length", b"authorization", b"x-request-id", b"via"}
_PREFIX: Final = b"/dav"


def leads_to_worker(path: bytes) -> bool:
    """Whether a path on the portal's own origin is answered by its viewer's worker."""
    return path == _PREFIX or path.startswith(_PREFIX + b"/")


def inward(head: RequestHead, *, address: str) -> bytes:
    """The head that the worker gets: the target and ``Host`` as the browser wrote them, for ``Destination`` names them.

    :param address: the browser's.
    """
    out = [b"%b %b HTTP/1.1\r\n" % (head.method, head.target)]
    for lower, name, value in head.fields:
        if lower in _DROPPED or lower in head.options or lower.startswith(TOLD_BEGINNINGS):
            continue
        if lower == b"cookie":
            value = without_reserved(value)
            if not value:
                continue
        out.append(line(name, value))
    if head.length == CHUNKED:
        out.append(b"Transfer-Encoding: chunked\r\n")
    elif head.length or b"content-length" in head.first:
        out.append(b"Content-Length: %d\r\n" % head.length)
    out.append(b"X-Forwarded-Proto: https\r\nX-Forwarded-For: %b\r\n\r\n" % address.encode("ascii"))
    return b"".join(out)


def outward(head: ResponseHead) -> bytes:
    """The field lines that the browser gets, without those of the framing."""
    kept = [
        line(name, value)
        for lower, name, value in head.fields
        if lower not in PORTAL_DROPPED
        and lower != b"set-cookie"
        and (lower not in head.options or lower == b"content-length")
    ]
    return b"".join(kept) + GUARD
