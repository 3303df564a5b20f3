"""The body of one response on its way through decoder, rewriter and encoder, in slices."""

from __future__ import annotations

from typing import Final, Protocol

from supercloud.rewrite.coding import BadCoding, Decoder, Gzip
from supercloud.rewrite.css import CssScanner
from supercloud.rewrite.json_text import MAX_JSON, rewrite_all
from supercloud.rewrite.links import Links

# Bytes of a document that are rewritten at one go: 0.3 ms of the reactor's time, or 3 where there is nothing but links.
SLICE: Final = 4 * 1024
MEMBERS: Final = 16  # of gzip, in a slice: thousands that hold nothing may come at once
# Byte order marks of UTF-16 (encoding standard, section 6.1), whatever the head says: such a document passes.
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")


class Document(Protocol):
    """Rewrites what a kind of document is made of."""

    def feed(self, data: bytes) -> bytes:
        """Take a piece; give what can leave."""

    def end(self) -> bytes:
        """What waits when nothing more comes."""


class Css:
    """A style sheet."""

    def __init__(self, links: Links) -> None:
        self._scanner = CssScanner(links)

    def feed(self, data: bytes) -> bytes:
        """See `Document.feed`."""
        return self._scanner.feed(data.decode("latin-1")).encode("latin-1")

    def end(self) -> bytes:
        """See `Document.end`."""
        return self._scanner.end().encode("latin-1")


class Manifest:
    """A web application's manifest: it is rewritten whole, or passes when it is too long for one."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._held = b""
        self._is_raw = False

    def feed(self, data: bytes) -> bytes:
        """See `Document.feed`."""
        if self._is_raw:
            return data
        self._held += data
        if len(self._held) <= MAX_JSON:
            return b""
        self._is_raw = True
        held, self._held = self._held, b""
        return held

    def end(self) -> bytes:
        """See `Document.end`."""
        return rewrite_all(self._held.decode("latin-1"), self._links).encode("latin-1")


class _Nothing:
    def feed(self, data: bytes) -> bytes:
        """See `Document.feed`."""
        return b""

    def end(self) -> bytes:
        """See `Document.end`."""
        return b""


_NOTHING: Final = _Nothing()


class Body:
    """Takes a response's body as it comes, and gives the browser's slice by slice.

    :param gzip: codes it anew; None to leave it plain.
    """

    __slots__ = (
        "_decoder",
        "_document",
        "_gzip",
        "_has_come",
        "_is_empty",
        "_is_flushed",
        "_is_raw",
        "_start",
        "is_done",
    )

    def __init__(self, decoder: Decoder, document: Document, gzip: Gzip | None) -> None:
        self._decoder = decoder
        self._document = document
        self._gzip = gzip
        self._start: bytes | None = b""  # until two bytes say whether it is read at all
        self._is_raw = False
        self._is_empty = True
        self._has_come = False
        self._is_flushed = True
        self.is_done = False

    def take(self, data: bytes) -> None:
        """Take a part of the application's body."""
        self._is_empty = False
        self._decoder.feed(data)

    def finish(self) -> None:
        """The application's body is complete."""
        self._has_come = True

    def leave(self) -> None:
        """Nobody wants more.

        lol_html's parser must go in the thread that made it, and not when whichever thread collects garbage finds it.
        """
        self._document = _NOTHING

    def step(self) -> tuple[bytes, bool]:
        """The next slice for the browser, which may be empty, and whether there may be more at once.

        :raises BadCoding: the body is not in its coding, or is cut short.
        """
        data, is_full = self._read()
        out = self._written(data) if data else b""
        if self._has_come and not is_full and not self.is_done:
            out += self._end()
        if self._gzip is None:
            return out, is_full
        self._is_flushed = self._is_flushed and not out
        return self._gzip.write(out) + (self._gzip.end() if self.is_done else b""), is_full

    def _read(self) -> tuple[bytes, bool]:
        """What is decoded for a slice, and whether there may be more at once."""
        data, members = b"", 0
        while len(data) < SLICE and members < MEMBERS:
            more = self._decoder.read(SLICE - len(data))
            data += more
            if self._decoder.is_between:
                members += 1
            elif not more:
                return data, False
        return data, True

    def _end(self) -> bytes:
        if not self._is_empty and not self._decoder.is_complete:
            raise BadCoding("the coded body is cut short")
        self.is_done = True
        return (self._start or b"") + self._document.end()

    def flush(self) -> bytes:
        """What the encoder holds back, for a browser that shows what came so far."""
        if self._gzip is None or self._is_flushed:
            return b""
        self._is_flushed = True
        return self._gzip.flush()

    def _written(self, data: bytes) -> bytes:
        if self._start is not None:
            data = self._start + data
            if len(data) < 2:
                self._start = data
                return b""
            self._start = None
            self._is_raw = data.startswith(_WIDE)
        return data if self._is_raw else self._document.feed(data)
