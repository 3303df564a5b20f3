"""Links in style sheets: ``url()`` and the strings of ``@import`` (CSS Syntax Module Level 3, section 4).

A scanner that knows comments, strings, escapes and both kinds of ``url()``, and takes its text in pieces cut anywhere.
What is no link passes as it came. A letter stands for a byte; see `rewrite.html`.
"""

from __future__ import annotations

import re
from typing import Final

from supercloud.rewrite.links import MAX_LINK, Links

# Letters of white space or of a comment between "url(" or "@import" and what it names.
_MAX_SPACE: Final = 256
_NAME: Final = r"(?<![\w\-\\\x80-\xff])"
_MARK = re.compile(rf"""/\*|["'\\]|{_NAME}(?:url\(|@import(?![\w-]))""", re.IGNORECASE)
# The end of a piece where one of these may have begun.
_BEGUN = re.compile(rf"(?:/|\\|{_NAME}(?:u|ur|url|@|@i|@im|@imp|@impo|@impor|@import))\Z", re.IGNORECASE)
# Atomic groups and no possessive ones below: Python 3.11's do not take back a last round that failed half way.
# What holds no mark, at one go; it stops before anything whose end has not come.
_PLAIN = re.compile(
    r"""(?>(?:[^"'/\\uU@]++|/(?=[^*])|[uU](?=[^rR])|[uU][rR](?=[^lL])|@(?=[^iI])"""
    r"""|/\*(?>(?:[^*]++|\*(?!/))*)\*/|"(?>(?:[^"\\\n\r\f]++|\\.)*)"|'(?>(?:[^'\\\n\r\f]++|\\.)*)')*)""",
    re.DOTALL,
)
_OPENING = re.compile(r"url\([ \t\n\r\f]*([\"']?)", re.IGNORECASE)
_ENDS: Final = {
    '"': re.compile(r'(?>(?:[^"\\\n\r\f]++|\\.)*)', re.DOTALL),
    "'": re.compile(r"(?>(?:[^'\\\n\r\f]++|\\.)*)", re.DOTALL),
    "": re.compile(r"(?>(?:[^ \t\n\r\f\"'()\\]++|\\.)*)", re.DOTALL),
}
_RAW_END = re.compile(r"(?>(?:[^)\\]++|\\.)*)", re.DOTALL)
_LEADS: Final = frozenset("/\\hHwW")
_ESCAPE = re.compile(r"\\(?:([0-9A-Fa-f]{1,6})(?:\r\n|[ \t\n\r\f])?|\r\n|(.))", re.DOTALL)


class CssScanner:
    """Rewrites one style sheet, or the text of one attribute."""

    __slots__ = ("_expects", "_held", "_inside", "_links", "_out")

    def __init__(self, links: Links) -> None:
        self._links = links
        self._out: list[str] = []
        self._held = " "  # one letter that left already, for what must not stand before a mark; then what waits
        self._inside = ""  # "/" in a comment, a quote in a string, ")" in a url() that is no link
        self._expects = False  # after @import

    def feed(self, text: str) -> str:
        """Take a piece; give what can leave."""
        text = self._held + text
        at, end = 1, len(text)
        while at < end:
            following = self._skip(text, at) if self._inside else self._look(text, at)
            if following == at:
                break
            at = following
        self._held = text[at - 1 :]
        out, self._out = "".join(self._out), []
        return out

    def end(self) -> str:
        """What waits when nothing more comes."""
        held, self._held = self._held[1:], " "
        return held

    def whole(self, text: str) -> str:
        """A text that is complete."""
        return self.feed(text) + self.end()

    def _pass(self, text: str, at: int, to: int) -> int:
        self._out.append(text[at:to])
        return to

    def _skip(self, text: str, at: int) -> int:
        """Pass what is no link, to its end."""
        inside = self._inside
        if inside == "/":
            found = text.find("*/", at)
            if found < 0:
                return self._pass(text, at, len(text) - text.endswith("*"))
            self._inside = ""
            return self._pass(text, at, found + 2)
        to = self._end_of(_RAW_END if inside == ")" else _ENDS[inside], text, at)
        if to == len(text) or text[to:] == "\\":
            return self._pass(text, at, to)
        self._inside = ""
        return self._pass(text, at, to + 1)

    @staticmethod
    def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
        found = pattern.match(text, at)
        return found.end() if found else at

    def _look(self, text: str, at: int) -> int:
        """Pass text up to the next mark, and take that."""
        if not self._expects and (plain := _PLAIN.match(text, at)) and plain.end() > at:
            return self._pass(text, at, plain.end())
        found = _MARK.search(text, at)
        if found is None:
            begun = _BEGUN.search(text, max(at, len(text) - 8))
            to = begun.start() if begun else len(text)
            self._expects = self._expects and not text[at:to].strip()
            return self._pass(text, at, to)
        start, mark = found.start(), found[0]
        self._expects = self._expects and not text[at:start].strip()
        if start > at:
            return self._pass(text, at, start)
        if mark == "/*":
            self._inside = "/"
            return self._pass(text, at, at + 2)
        if mark == "\\":
            return self._pass(text, at, at + 2) if len(text) > at + 1 else at
        if mark in "\"'":
            return self._string(text, at, mark)
        if mark[0] == "@":
            if found.end() == len(text):
                return at  # its name may go on
            self._expects = True
            return self._pass(text, at, found.end())
        return self._url(text, at)

    def _string(self, text: str, at: int, quote: str) -> int:
        if not self._expects:
            self._inside = quote
            return self._pass(text, at, at + 1)
        following = self._link(text, at, at + 1, quote)
        self._expects = following == at
        return following

    def _url(self, text: str, at: int) -> int:
        self._expects = False
        found = _OPENING.match(text, at)
        if found is None or (found.end() == len(text) and found.end() - at < _MAX_SPACE):
            return at
        return self._link(text, at, found.end(), found[1])

    def _link(self, text: str, at: int, start: int, quote: str) -> int:
        """Rewrite what begins at ``start``, or pass its beginning when it leads nowhere; ``at`` when more must come."""
        if start == len(text) and start - at < _MAX_SPACE:
            return at
        if text[start : start + 1] not in _LEADS:
            self._inside = quote or ")"
            return self._pass(text, at, start)
        end = self._end_of(_ENDS[quote], text, start)
        if end == len(text) or text[end:] == "\\":
            if end - start <= MAX_LINK:
                return at
            self._inside = quote or ")"
            return self._pass(text, at, end)
        self._out.append(text[at:start] + self._written(text[start:end]))
        self._inside = quote or ")"
        return end

    def _written(self, raw: str) -> str:
        if "\\" not in raw:
            return self._links.text(raw)
        plain = _ESCAPE.sub(_unescape, raw)
        written = self._links.text(plain)
        if written == plain:
            return raw
        return re.sub(r"[\\\"'()\s]", lambda found: f"\\{ord(found[0]):x} ", written)


def _unescape(found: re.Match[str]) -> str:
    if found[1]:
        number = int(found[1], 16)
        return chr(number) if 0 < number < 0x80 else found[0]
    return "" if found[2] in (None, "\n", "\r", "\f") else found[2]
