"""Links in HTML, by lol_html's tokenizer, in pieces as they come.

lol_html reads UTF-8 and hands text on decoded. Documents are therefore given to it with a letter for each byte (as if they
were Latin-1), so that whatever the character set, the bytes that are no link come out as they were.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from lolhtml import ContentType, Element, HTMLRewriter, TextChunk

from supercloud.rewrite.css import CssScanner
from supercloud.rewrite.json_text import MAX_JSON, rewrite_all, rewrite_roots
from supercloud.rewrite.links import Links

# Bytes that may wait for the end of a tag: pictures stand in pages as data: with megabytes.
MAX_TAG: Final = 16 * 1024 * 1024
# The same for the tags at which lol_html may give up; see `_AMBIGUOUS`.
_MAX_AMBIGUOUS: Final = 4 * 1024

_LINKS: Final = frozenset(
    ["href", "src", "action", "formaction", "poster", "data", "background", "cite", "longdesc", "manifest",
     "xlink:href", "hx-get", "hx-post", "hx-put", "hx-patch", "hx-delete", "hx-push-url", "hx-replace-url"]
)
_SETS: Final = frozenset({"srcset", "imagesrcset", "data-srcset"})
# What names a file of the application's host rather than an address.
_NO_ADDRESS = re.compile(r"data-(?:.*[-_])?(?:root|dir|directory|folder|file|filename|cwd|home|pattern|regex|format)")
_CANDIDATE = re.compile(r"([\s,]*)(\S*[^\s,])([^,(]*(?:\([^)]*\)[^,(]*)*)")
_MAY_LEAD: Final = frozenset("/\\hHwW& \t\n\r\f")
# What a link or a style is made of; decoding nothing else keeps the rest as it was written.
_ENTITY = re.compile(
    r"&(?:#0*(\d{1,3})|#[xX]0*([0-9A-Fa-f]{1,2})|(sol|colon|period|bsol|quest|quot|apos|Tab|NewLine));"
)
_NAMED: Final = {"sol": "/", "colon": ":", "period": ".", "bsol": "\\", "quest": "?", "quot": '"', "apos": "'",
                 "Tab": "\t", "NewLine": "\n"}  # fmt: skip
_SIGNS: Final = frozenset("/:.\\?\"'\t\n\r (),")
# In a <select> or a frame set a browser ignores these, and a reader without a tree cannot tell: lol_html gives up.
_NAMES: Final = rb"textarea|title|plaintext|script|style|iframe|xmp|noembed|noframes|noscript"
_AMBIGUOUS = re.compile(rb"<(?:%b)(?=[\s/>])" % _NAMES, re.IGNORECASE)
_MAY_BE_AMBIGUOUS = re.compile(rb"<(?:[a-zA-Z]{0,9}|(?:%b)[\s/][^>]*)\Z" % _NAMES, re.IGNORECASE)


class HtmlRewriter:
    """Rewrites one document."""

    __slots__ = ("_held", "_is_raw", "_links", "_out", "_parser", "_unseen")

    def __init__(self, links: Links) -> None:
        self._links = links
        self._out = bytearray()
        self._held = b""
        self._unseen = 0  # bytes since something came out
        self._is_raw = False
        self._parser = self._make_parser()

    def feed(self, data: bytes) -> bytes:
        """Take a piece; give what can leave."""
        if self._is_raw:
            return data
        data = self._held + data if self._held else data
        begun = _MAY_BE_AMBIGUOUS.search(data, max(0, len(data) - _MAX_AMBIGUOUS))
        end = begun.start() if begun else len(data)
        self._held = data[end:]
        self._feed_parts(data[:end])
        if self._unseen > MAX_TAG:
            return self.end()
        return self._take()

    def end(self) -> bytes:
        """What waits when nothing more comes; what comes nevertheless passes as it is."""
        if self._is_raw:
            return b""
        self._feed_parts(self._held)
        self._held = b""
        self._parser.end()
        self._is_raw = True
        return self._take()

    def _feed_parts(self, data: bytes) -> None:
        """Cut before each tag at which the parser may give up, so that it is known where it did."""
        at = 0
        for found in _AMBIGUOUS.finditer(data):
            self._feed_part(data[at : found.start()])
            at = found.start()
        self._feed_part(data[at:])

    def _feed_part(self, data: bytes) -> None:
        if not data:
            return
        before = len(self._out)
        try:
            self._parser.write(data if data.isascii() else data.decode("latin-1").encode())
        except RuntimeError:
            # The tag passes, and a new parser goes on behind it, outside of what made it ambiguous.
            end = data.find(b">") + 1
            del self._out[before:]
            self._out += self._encoded(data[:end])
            self._parser = self._make_parser()
            if end:
                self._feed_part(data[end:])
        self._unseen = 0 if len(self._out) > before else self._unseen + len(data)

    @staticmethod
    def _encoded(data: bytes) -> bytes:
        return data.decode("latin-1").encode()

    def _take(self) -> bytes:
        out = bytes(self._out)
        self._out.clear()
        return out if out.isascii() else out.decode().encode("latin-1")

    def _make_parser(self) -> HTMLRewriter:
        parser = HTMLRewriter(self._out.extend)
        elements = _Elements(self._links)
        parser.on("base[href]", _Base(elements))
        parser.on("link[integrity]", _Integrity(self._links))
        parser.on("meta[http-equiv][content]", _Refresh(self._links))
        parser.on("*", elements)
        parser.on("style", _Style(self._links))
        parser.on('script[type="application/json" i]', _Block(self._links, rewrite_roots))
        parser.on('script[type="importmap" i]', _Block(self._links, rewrite_all))
        parser.on('script[type="speculationrules" i]', _Block(self._links, rewrite_all))
        return parser


class _Elements:
    """Attributes of all elements.

    :ivar is_based_elsewhere: paths are of another site, as the document's base is.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self.is_based_elsewhere = False
        self._ways: dict[str, Callable[[str], str]] = {
            **dict.fromkeys(_LINKS, self._link),
            **dict.fromkeys(_SETS, self._set),
            "style": self._style,
            "ping": self._pings,
        }

    def element(self, element: Element) -> None:
        ways = self._ways
        for name, value in element.attributes:
            way = ways.get(name)
            if way is None:
                if name[:5] != "data-" or _NO_ADDRESS.fullmatch(name):
                    continue
                way = self._link
            written = way(value)
            if written is not value:
                element.set_attribute(name, written)

    def _link(self, value: str) -> str:
        if value[:1] not in _MAY_LEAD:
            return value
        url = _without_entities(value) if "&" in value[:64] else value
        written = self._links.text(url)
        if written is url or (self.is_based_elsewhere and url.lstrip()[:1] in "/\\"):
            return value
        return written

    def _pings(self, value: str) -> str:
        written = " ".join(self._link(url) for url in value.split())
        return value if written.split() == value.split() else written

    def _set(self, value: str) -> str:
        written = _CANDIDATE.sub(lambda found: found[1] + self._link(found[2]) + found[3], value)
        return value if written == value else written

    def _style(self, value: str) -> str:
        if "(" not in value:
            return value
        text = _without_entities(value) if "&" in value else value
        written = CssScanner(self._links).whole(text)
        return value if written == text else written


class _Base:
    def __init__(self, elements: _Elements) -> None:
        self._elements = elements

    def element(self, element: Element) -> None:
        href = element.get_attribute("href") or ""
        self._elements.is_based_elsewhere = self._elements._links.is_of_another_site(href)


class _Integrity:
    """A style sheet of the application's own is rewritten and no longer what its digest says."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def element(self, element: Element) -> None:
        kinds = (element.get_attribute("rel") or "").lower().split()
        is_style = "stylesheet" in kinds or (element.get_attribute("as") or "").lower() == "style"
        if is_style and not self._links.is_of_another_site(element.get_attribute("href") or ""):
            element.remove_attribute("integrity")


class _Refresh:
    def __init__(self, links: Links) -> None:
        self._links = links

    def element(self, element: Element) -> None:
        if (element.get_attribute("http-equiv") or "").strip().lower() != "refresh":
            return
        value = _without_entities(element.get_attribute("content") or "")
        plain = value.encode("latin-1")
        written = self._links.refresh(plain)
        if written != plain:
            element.set_attribute("content", written.decode("latin-1"))


class _Style:
    def __init__(self, links: Links) -> None:
        self._links = links
        self._scanner = CssScanner(links)

    def element(self, element: Element) -> None:
        self._scanner = CssScanner(self._links)

    def text(self, text: TextChunk) -> None:
        written = self._scanner.feed(text.text)
        if text.last_in_text_node:
            written += self._scanner.end()
        if written != text.text:
            text.replace(written, ContentType.HTML)


class _Block:
    """A script that holds data: it is seen whole, or not at all."""

    def __init__(self, links: Links, rewrite: Callable[[str, Links], str]) -> None:
        self._links = links
        self._rewrite = rewrite
        self._parts: list[str] = []
        self._length = 0

    def text(self, text: TextChunk) -> None:
        self._length += len(text.text)
        if self._length > MAX_JSON:
            held, self._parts = "".join(self._parts), []
            if held:
                text.before(held, ContentType.HTML)
        elif text.last_in_text_node:
            whole = "".join([*self._parts, text.text])
            text.replace(self._rewrite(whole, self._links), ContentType.HTML)
        else:
            self._parts.append(text.text)
            text.remove()
        if text.last_in_text_node:
            self._parts, self._length = [], 0


def _without_entities(value: str) -> str:
    return _ENTITY.sub(_sign, value)


def _sign(found: re.Match[str]) -> str:
    sign = _NAMED[found[3]] if found[3] else chr(int(found[1]) if found[1] else int(found[2], 16))
    return sign if sign in _SIGNS else found[0]
