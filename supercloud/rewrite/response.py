"""Which responses are rewritten, and what their heads say then."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from supercloud.errors import Unreachable
from supercloud.message.head import CHUNKED, Field, RequestHead, ResponseHead
from supercloud.rewrite.body import Body, Css, Document, Manifest
from supercloud.rewrite.coding import Gzip, asked_coding, decoder_for
from supercloud.rewrite.html import HtmlRewriter
from supercloud.rewrite.links import Links

_KINDS: Final[dict[bytes, Callable[[Links], Document]]] = {
    b"text/html": HtmlRewriter,
    b"text/css": Css,
    b"application/manifest+json": Manifest,
}
# Character sets in which every byte below 0x80 is that letter of ASCII, wherever it stands.
_SAFE = re.compile(
    r"utf-?8|(?:us-)?ascii|(?:iso[-_]?)?8859[-_]?\d{1,2}|latin-?\d|l\d|(?:windows|cp)-?125\d|koi8-[ru]|macintosh"
    r"|ibm866|euc-(?:jp|kr)|tis-620"
)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\";\s]+)", re.IGNORECASE)
# Of the bytes that the application sent, and no longer true of those that the browser gets.
_OF_THE_BYTES = frozenset(
    b"content-length content-encoding content-md5 digest content-digest repr-digest accept-ranges".split()
)
_DIGESTS = (b"content-md5:", b"digest:", b"content-digest:", b"repr-digest:", b"etag:")
_NO_BODY = (204, 205, 304)
_UNREADABLE: Final = (
    "The application packed this page in a way that it was not asked for, and that the portal does not read. "
    "Have it heed Accept-Encoding, which asks for gzip, or open it at an address of its own."
)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A response that is rewritten.

    :ivar body: None when the response has none.
    """

    head: ResponseHead
    body: Body | None


class Responses:
    """Judges the responses to requests with the same fields.

    :param request: whose fields they have.
    :ivar passed: the head of the last that was not rewritten: heads repeat.
    """

    __slots__ = ("_links", "_matched", "_method", "_takes_gzip", "passed")

    def __init__(self, links: Links, request: RequestHead) -> None:
        self._links = links
        self._method = request.method
        self._takes_gzip = asked_coding(request.get_all(b"accept-encoding")) == b"gzip"
        self._matched = request.first.get(b"if-none-match", b"")
        self.passed: ResponseHead | None = None

    def __call__(self, head: ResponseHead) -> Rewritten | None:
        """The response as the browser gets it; None for one that passes.

        :raises Unreachable: it is in a coding that nobody asked for, and cannot be read.
        """
        rewritten = self._judge(head)
        if rewritten is None:
            self.passed = head
        return rewritten

    def _judge(self, head: ResponseHead) -> Rewritten | None:
        if head.status == 304:
            return self._not_modified(head)
        make = _maker(head)
        if make is None or head.status in (206, *_NO_BODY):
            return None
        coding = (head.get(b"content-encoding") or b"").strip(b" \t").lower()
        decoder = decoder_for(coding)
        if decoder is None:
            said = coding[:40].decode("latin-1")
            raise Unreachable(f"Content-Encoding {said!r} of a page with links", public=_UNREADABLE)
        recode = self._takes_gzip and coding not in (b"", b"identity")
        has_body = self._method != b"HEAD"
        shown = _head(head, recode=recode, length=CHUNKED if has_body else 0)
        if not has_body:
            return Rewritten(shown, None)
        return Rewritten(shown, Body(decoder, make(self._links), Gzip() if recode else None))

    def _not_modified(self, head: ResponseHead) -> Rewritten | None:
        """What the browser keeps has the weak tag that it was given."""
        tag = head.get(b"etag")
        if tag is None or tag.startswith(b"W/") or b"W/" + tag not in self._matched:
            return None
        return Rewritten(_with(head, [_weak(one) for one in head.fields], 0), None)


def kept_trailers(trailers: Iterable[bytes]) -> list[bytes]:
    """Without those that speak of bytes which nobody gets."""
    return [line for line in trailers if not line.lower().startswith(_DIGESTS)]


def _maker(head: ResponseHead) -> Callable[[Links], Document] | None:
    value = head.get(b"content-type")
    if value is None:
        return None
    make = _KINDS.get(value.partition(b";")[0].strip(b" \t").lower())
    if make is None or head.get(b"content-range") is not None:
        return None
    charset = _CHARSET.search(value.decode("latin-1"))
    if charset and not _SAFE.fullmatch(charset[1].lower()):
        return None
    # A file to be saved stays what it is, and so does what the application says is not to be changed.
    is_saved = (head.get(b"content-disposition") or b"").strip().lower().startswith(b"attachment")
    return None if is_saved or b"no-transform" in (head.get(b"cache-control") or b"").lower() else make


def _head(head: ResponseHead, *, recode: bool, length: int) -> ResponseHead:
    fields = [_weak(one) for one in head.fields if one[0] not in _OF_THE_BYTES]
    if recode:
        fields.append((b"content-encoding", b"Content-Encoding", b"gzip"))
    return _with(head, fields, length)


def _with(head: ResponseHead, fields: list[Field], length: int) -> ResponseHead:
    # Its own bytes, which no application sends: what a connection remembers of a head is found by them.
    return replace(head, fields=fields, length=length, raw=b"rewritten " + head.raw)


def _weak(one: Field) -> Field:
    """The same page, but not the same bytes (RFC 9110 section 8.8.1)."""
    lower, name, value = one
    return (lower, name, b"W/" + value) if lower == b"etag" and not value.startswith(b"W/") else one
