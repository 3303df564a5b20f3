"""What a token is for, and which addresses of the portal take one: it opens those of its scope and no others."""

from __future__ import annotations

import re
from typing import Final, NewType

from supercloud.message.paths import has_dots

Scope = NewType("Scope", str)

DAV: Final = Scope("dav")  # the files under /dav/
LAUNCH: Final = Scope("launch")  # jobs, under /api/

# As forwards are called; see the site's forward directory.
_FORWARD = re.compile(r"forward:(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,255}")
_BY_PREFIX: Final = {b"dav": DAV, b"api": LAUNCH}
# Where a page is told what changes; only for people at their browsers.
EVENTS: Final = b"/api/events"


def parse_scope(text: str) -> Scope:
    """Read ``dav``, ``launch`` or ``forward:NAME``.

    :raises ValueError: says what would be right.
    """
    if text in (DAV, LAUNCH) or _FORWARD.fullmatch(text):
        return Scope(text)
    raise ValueError(f"{text[:80]!r} is not what a token can be for; write dav, launch or forward:NAME")


def forward_scope(name: str) -> Scope:
    """For a named forward."""
    return Scope(f"forward:{name}")


def needed_scope(path: bytes) -> Scope | None:
    """What a program must be let in for to reach a path on the portal's own origin.

    :returns: None where only a session counts. A path with ``.`` or ``..`` in any spelling is such a one: whoever
        resolves it could come to an address of another scope. So is the stream of live updates.
    """
    if path == EVENTS:
        return None
    scope = _BY_PREFIX.get(path.split(b"/", 2)[1])
    if scope is None or has_dots(path):
        return None
    return scope
