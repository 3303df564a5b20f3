"""Links in JSON that a page is started by: its strings are found and replaced, everything else stays as it came."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import islice
from typing import Final

from supercloud.rewrite.links import Links

# Letters of one text; what is longer holds data rather than addresses, and passes.
MAX_JSON: Final = 128 * 1024
# Strings of one text that are looked at, and those of them that may be links; what is behind them passes. Addresses
# that a page starts with are few.
_MAX_STRINGS: Final = 4000
_MAX_LINKS: Final = 800

# A string, its end unless it has none, and whether it names a member. Each letter is looked at once.
_STRING = re.compile(r'"((?>(?:[^"\\\x00-\x1f]++|\\.)*))("?)(?=(?:[ \t\n\r]*+(:))?)')
# Members that hold the address of an application's root, or one that has that root in front. Others that look like
# paths are joined to these by the application (JupyterLab's appUrl), or name files.
_ROOTS = re.compile(
    r"(?:base|full\w*)[-_]?(?:url|uri|href|path)|(?:public|assets?|static)[-_]?(?:path|url|prefix)"
    r"|(?:routes?|requests?)_pathname_prefix|(?:url|path|root|mount)[-_]?prefix|url_base_pathname",
    re.IGNORECASE,
)


def rewrite_all(text: str, links: Links) -> str:
    """Import maps, speculation rules, manifests: whatever looks like a link is one, names of members too."""
    return _rewrite(text, links, lambda name: True)


def rewrite_roots(text: str, links: Links) -> str:
    """Settings that a page reads at its start: links with the application's own authority, and its root."""
    return _rewrite(text, links, lambda name: _ROOTS.fullmatch(name) is not None)


def _rewrite(text: str, links: Links, holds_path: Callable[[str], bool]) -> str:
    out: list[str] = []
    at, name, name_end, links_seen = 0, "", 0, 0
    for found in islice(_STRING.finditer(text), _MAX_STRINGS):
        if not found[2]:
            return text  # no JSON
        if found[3]:
            name, name_end = found[1], found.end()
        elif name and text[name_end : found.start()].strip() != ":":
            name = ""  # an item of an array
        raw = found[1]
        if not raw.startswith(("/", "\\", "h", "H", "w", "W")):
            continue
        links_seen += 1
        if links_seen > _MAX_LINKS:
            break
        plain = _plain(raw)
        if plain[:1] == "/" and plain[1:2] != "/" and not holds_path(name):
            continue
        written = links.text(plain)
        if written != plain:
            out += [text[at : found.start()], json.dumps(written, ensure_ascii=False).replace("</", "<\\/")]
            at = found.end()
    return "".join([*out, text[at:]])


def _plain(raw: str) -> str:
    """What a string says; as it is written when that cannot be said in bytes."""
    if "\\" not in raw:
        return raw
    try:
        plain = str(json.loads(f'"{raw}"'))
    except ValueError:
        return raw
    return plain if plain.isascii() else raw
