"""What a token is for, and which addresses of the portal take one: it opens those of its scopes and no others.

The scopes are kept apart so that a token which got about does not do more than it was made for. Three of them are worth
as much as the account all the same, to who knows how: whoever writes its files (``dav``) can write a key or a start-up
file, whoever starts its jobs (``jobs``) runs programs as it, and a key (``keys``) lets in by ssh.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NewType

from supercloud.api_scopes import methods_of
from supercloud.message.paths import has_dots

Scope = NewType("Scope", str)

READ: Final = Scope("read")
JOBS: Final = Scope("jobs")
FORWARDS: Final = Scope("forwards")
KEYS: Final = Scope("keys")
DAV: Final = Scope("dav")

# What each lets a program do, as it is shown where a token is made: the least first.
ABOUT: Final[dict[Scope, str]] = {
    READ: "read what the workspace tells and jobs print, and change nothing",
    JOBS: "start, watch and end jobs, as the commands at a workstation do",
    FORWARDS: "make, share and remove forwards",
    KEYS: "add and remove SSH keys, which go on when the token is over",
    DAV: "read and change files (WebDAV)",
}
# Where a page is told what changes; only for people at their browsers.
EVENTS: Final = b"/api/events"
TOKEN: Final = b"/api/token"  # what a token is for

MOST_TEXT: Final = 300  # characters of a token's scopes; a list of all tokens fits into one packet of the desk
# Tokens of that name were for launching, and the only ones for the API.
_OLD: Final = {"launch": JOBS}
# As forwards are called; see the site's forward directory.
_FORWARD = re.compile(r"forward:(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,255}")


@dataclass(frozen=True, slots=True)
class Need:
    """What a program's token must be for.

    :ivar scopes: of which it must have one, the least first; empty where no token will do.
    :ivar methods: that tokens are taken with at this address; empty where they are with none.
    """

    scopes: tuple[Scope, ...]
    methods: tuple[str, ...] = ()


_FILES: Final = Need((DAV,))


def read_scopes(text: str) -> tuple[Scope, ...]:
    """Read words with commas between them: ``dav``, ``jobs,read``, ``forward:NAME``.

    :returns: each once, in the order in which they are shown.
    :raises ValueError: says what would be right.
    """
    words = [_OLD.get(word, Scope(word)) for word in (one.strip(" ") for one in text.split(","))]
    for word in words:
        if word not in ABOUT and not _FORWARD.fullmatch(word):
            known = ", ".join(ABOUT)
            raise ValueError(
                f"{word[:80]!r} is not what a token can be for; write {known} or forward:NAME, several with commas "
                "between them"
            )
    scopes = (*(one for one in ABOUT if one in words), *sorted(set(words) - ABOUT.keys()))
    if len(write_scopes(scopes)) > MOST_TEXT:
        raise ValueError("that is more than one token can be for; make several")
    return scopes


def write_scopes(scopes: tuple[Scope, ...]) -> str:
    """As `read_scopes` reads it."""
    return ",".join(scopes)


def stored_scopes(text: str) -> tuple[Scope, ...]:
    """What a token of the store is for; nothing when that cannot be read, as after a newer portal wrote it."""
    try:
        return read_scopes(text)
    except ValueError:
        return ()


def shown_scopes(text: str) -> str:
    """What a token of the store is for, by the names of today."""
    return write_scopes(stored_scopes(text)) or text


def describe(scope: Scope) -> str:
    """What it lets a program do, in words."""
    return ABOUT.get(scope) or f"use the application of the forward {scope.partition(':')[2]}"


def forward_scope(name: str) -> Scope:
    """For a named forward."""
    return Scope(f"forward:{name}")


def needed(method: bytes, path: bytes) -> Need | None:
    """What a program must be let in for, on the portal's own origin.

    :returns: None where only a session counts. A path with ``.`` or ``..`` in any spelling is such a one: whoever
        resolves it could come to an address of another scope. So is the stream of live updates.
    """
    first = path.split(b"/", 2)[1]
    if path == EVENTS or first not in (b"dav", b"api"):
        return None
    if has_dots(path):
        return None
    if first == b"dav":
        return _FILES
    taken = methods_of(path.decode("ascii"))
    asked = "GET" if method == b"HEAD" else method.decode("ascii")
    return Need(tuple(map(Scope, taken.get(asked, ()))), tuple(taken))
