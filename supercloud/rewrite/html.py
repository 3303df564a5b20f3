"""Links in HTML, by lol_html's tokenizer, in pieces as they come.

lol_html reads UTF-8 and hands text on decoded. Documents are therefore given to it with a letter for each byte (as if
they were Latin-1), so that whatever the character set, the bytes that are no link come out as they were.

It keeps a note of each open element, and HTML lets most be closed by nothing: after many elements a new parser goes on
from a place where the old one is known to be outside of everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from lolhtml import ContentType, Element, HTMLRewriter, TextChunk

from supercloud.rewrite.css import CssScanner
from supercloud.rewrite.json_text import MAX_JSON, rewrite_all, rewrite_roots
from supercloud.rewrite.links import Links

# Bytes of a tag; a longer one (a picture as data:) passes as it is.
MAX_TAG: Final = 64 * 1024
# White space, slashes and quotes of a tag that comes in several pieces: each may end an attribute, which costs 1 µs
# even where nobody looks at it. A tag with more passes as it is.
MAX_SEPARATORS: Final = 2 * 1024
_SEPARATORS: Final = (b" ", b"\n", b"\t", b"\r", b"\f", b"/", b'"', b"'")
# Attributes of an element that are looked at, and letters of all of those that are lists, styles or hold entities; a
# style counts twice.
_MAX_ATTRIBUTES: Final = 64
_MAX_LETTERS: Final = 4 * 1024
# Tags at which lol_html may give up before the rest of a document passes as it is: a parser costs 30 µs.
MAX_PARSERS: Final = 64
# Elements that one parser sees; it takes 340 bytes for each that is not closed.
MAX_ELEMENTS: Final = 2 * 1024
# Tags that are tried for a place to change parsers, in each piece.
_TRIES: Final = 32
# Bytes of a tag at which lol_html may give up; see `_AMBIGUOUS`.
_MAX_AMBIGUOUS: Final = 4 * 1024

_LINKS: Final = frozenset(
    [
        "href",
        "src",
        "action",
        "formaction",
        "poster",
        "data",
        "background",
        "cite",
        "longdesc",
        "manifest",
        "xlink:href",
        "hx-get",
        "hx-post",
        "hx-put",
        "hx-patch",
        "hx-delete",
        "hx-push-url",
        "hx-replace-url",
    ]
)
_SETS: Final = frozenset({"srcset", "imagesrcset", "data-srcset"})
# What names a file of the application's host rather than an address.
_NO_ADDRESS = re.compile(r"data-(?:.*[-_])?(?:root|dir|directory|folder|file|filename|cwd|home|pattern|regex|format)")
# HTML standard, "parse a srcset attribute": a candidate that ends with a comma has no descriptors.
_CANDIDATE = re.compile(r"([\s,]*+)(\S++)((?<=,)|[^,]*+)")
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
_TEXTUAL: Final = frozenset(_NAMES.decode().split("|"))  # what follows them is text and not markup
_AMBIGUOUS = re.compile(rb"<(?:%b)(?=[\s/>])" % _NAMES, re.IGNORECASE)
_MAY_BE_AMBIGUOUS = re.compile(rb"<(?:[a-zA-Z]{0,9}|(?:%b)[\s/][^>]*)\Z" % _NAMES, re.IGNORECASE)


class HtmlRewriter:
    """Rewrites one document."""

    __slots__ = (
        "_elements",
        "_given_up",
        "_held",
        "_is_in_tag",
        "_links",
        "_out",
        "_parser",
        "_separators",
        "_waiting",
    )

    def __init__(self, links: Links) -> None:
        self._links = links
        self._elements = _Elements(links)
        self._out = bytearray()
        self._held = b""
        self._waiting = 0  # bytes since something came out
        self._separators = 0  # among these
        self._given_up = 0  # parsers
        self._is_in_tag = False  # one that is too long, and passes
        self._parser = self._make_parser()

    def feed(self, data: bytes) -> bytes:
        """Take a piece; give what can leave."""
        data = self._held + data if self._held else data
        # Behind the last end of a tag, or each beginning before it would be followed to there.
        begun = _MAY_BE_AMBIGUOUS.search(data, max(data.rfind(b">") + 1, len(data) - _MAX_AMBIGUOUS))
        end = begun.start() if begun else len(data)
        self._held = data[end:]
        self._feed_parts(data[:end])
        return self._take()

    def end(self) -> bytes:
        """What waits when nothing more comes."""
        held, self._held = self._held, b""
        self._feed_parts(held)
        self._parser.end()
        return self._take()

    def _feed_parts(self, data: bytes) -> None:
        """Cut before each tag at which the parser may give up, so that it is known where it did."""
        at = 0
        if self._is_in_tag:
            at = self._leave_tag(data)
        if self._elements.count > MAX_ELEMENTS:
            at = self._change_parser(data, at)
        for found in _AMBIGUOUS.finditer(data, at):
            self._feed_part(data[at : found.start()])
            at = found.start()
        self._feed_part(data[at:])

    def _feed_part(self, data: bytes) -> None:
        if not data:
            return
        if self._given_up > MAX_PARSERS:
            self._out += _as_utf8(data)
            return
        elements = self._elements
        before, calls = len(self._out), elements.count + elements.held
        try:
            self._parser.write(_as_utf8(data))
        except RuntimeError as error:
            if "ambiguous" not in str(error):
                raise  # a mistake of our own
            # The tag passes, and a new parser goes on behind it, outside of what made it ambiguous.
            end = data.find(b">") + 1 or len(data)
            del self._out[before:]
            self._out += _as_utf8(data[:end])
            self._given_up += 1
            self._parser = self._make_parser()
            self._feed_part(data[end:])
            return
        has_moved = len(self._out) > before or elements.count + elements.held > calls
        if has_moved:
            self._waiting = self._separators = 0
            return
        self._waiting += len(data)
        self._separators += sum(map(data.count, _SEPARATORS))
        if self._waiting > MAX_TAG or self._separators > MAX_SEPARATORS:
            self._parser.end()  # gives what it holds as it is
            self._parser = self._make_parser()
            self._is_in_tag = True

    def _leave_tag(self, data: bytes) -> int:
        end = data.find(b">") + 1
        self._is_in_tag = not end
        self._waiting = self._separators = 0
        end = end or len(data)
        self._out += _as_utf8(data[:end])
        return end

    def _change_parser(self, data: bytes, at: int) -> int:
        """Go on with a new parser behind the first start tag whose end is sure.

        A piece that holds one ``>``, as its last letter, and at which an element was seen, ends with that one's tag.
        """
        for _ in range(_TRIES):
            end = data.find(b">", at) + 1
            if not end or _AMBIGUOUS.search(data, at, end):
                break
            count = self._elements.count
            self._feed_part(data[at:end])
            at = end
            if self._elements.count == count + 1 and self._elements.last not in _TEXTUAL:
                self._parser = self._make_parser()
                break
        return at

    def _take(self) -> bytes:
        out = bytes(self._out)
        self._out.clear()
        return out if out.isascii() else out.decode().encode("latin-1")

    def _make_parser(self) -> HTMLRewriter:
        parser, elements, links = HTMLRewriter(self._out.extend), self._elements, self._links
        elements.count = 0
        parser.on("base[href]", _Base(elements, links))
        parser.on("link[integrity]", _Integrity(links))
        parser.on("meta[http-equiv][content]", _Refresh(links))
        parser.on("*", elements)
        parser.on("style", _Style(links))
        parser.on('script[type="application/json" i]', _Block(elements, links, rewrite_roots))
        parser.on('script[type="importmap" i]', _Block(elements, links, rewrite_all))
        parser.on('script[type="speculationrules" i]', _Block(elements, links, rewrite_all))
        return parser


class _Elements:
    """Attributes of all elements.

    :ivar is_based_elsewhere: paths are of another site, as the document's base is.
    :ivar count: of elements since the parser was made.
    :ivar held: pieces of data that wait for their end.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self.last = ""  # element's name; found out once somebody needs it
        self.is_based_elsewhere = False
        self.count = self.held = 0
        self._letters = 0  # of this element that were looked at one by one
        self._ways: dict[str, Callable[[str], str]] = {
            **dict.fromkeys(_LINKS, self._link),
            **dict.fromkeys(_SETS, self._set),
            "style": self._style,
            "ping": self._pings,
        }

    def element(self, element: Element) -> None:
        ways = self._ways
        self.count += 1
        self._letters = 0
        if self.count > MAX_ELEMENTS:
            self.last = element.tag_name.lower()
        attributes = element.attributes
        if len(attributes) > _MAX_ATTRIBUTES:
            attributes = attributes[:_MAX_ATTRIBUTES]
        for name, value in attributes:
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
        url = value
        if "&" in value[:64]:
            if self._is_too_long(value):
                return value
            url = _without_entities(value)
        written = self._links.text(url)
        if written is url or (self.is_based_elsewhere and url.lstrip()[:1] in "/\\"):
            return value
        return written

    def _is_too_long(self, value: str, weight: int = 1) -> bool:
        self._letters += len(value) * weight
        return self._letters > _MAX_LETTERS

    def _pings(self, value: str) -> str:
        if self._is_too_long(value):
            return value
        written = " ".join(self._link(url) for url in value.split())
        return value if written.split() == value.split() else written

    def _set(self, value: str) -> str:
        if self._is_too_long(value):
            return value
        out, at = [], 0
        while found := _CANDIDATE.match(
            value, at
        ):  # from one to the next, as `sub` would look for each from everywhere
            out += [found[1], self._link(found[2]), found[3]]
            at = found.end()
        written = "".join([*out, value[at:]])
        return value if written == value else written

    def _style(self, value: str) -> str:
        if "(" not in value or self._is_too_long(value, 2):
            return value
        text = _without_entities(value) if "&" in value else value
        written = CssScanner(self._links).whole(text)
        return value if written == text else written


class _Base:
    def __init__(self, elements: _Elements, links: Links) -> None:
        self._elements = elements
        self._links = links

    def element(self, element: Element) -> None:
        href = element.get_attribute("href") or ""
        self._elements.is_based_elsewhere = self._links.is_of_another_site(href)


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

    def __init__(self, elements: _Elements, links: Links, rewrite: Callable[[str, Links], str]) -> None:
        self._elements = elements
        self._links = links
        self._rewrite = rewrite
        self._parts: list[str] = []
        self._length = 0

    def text(self, text: TextChunk) -> None:
        self._elements.held += 1
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


def _as_utf8(data: bytes) -> bytes:
    return data if data.isascii() else data.decode("latin-1").encode()


def _without_entities(value: str) -> str:
    return _ENTITY.sub(_sign, value)


def _sign(found: re.Match[str]) -> str:
    sign = _NAMED[found[3]] if found[3] else chr(int(found[1]) if found[1] else int(found[2], 16))
    return sign if sign in _SIGNS else found[0]
