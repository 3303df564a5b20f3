"""Framing of message bodies (RFC 9112 sections 6 and 7): where a body ends, read in one way only.

A reader takes bytes as they come and gives back the payload and what lies behind the body. It never looks into the
payload and holds none of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol

from supercloud.message.head import CHUNKED, UNTIL_CLOSE, Field

# Bytes of a chunk's size line with its extensions (llhttp bounds them alike), and of all trailer fields together.
MAX_CHUNK_LINE: Final = 256
MAX_TRAILERS: Final = 8 * 1024
MAX_TRAILER_LINES: Final = 100  # as many as fields
# Chunks that are read at once, in 1 ms; others behind them are left for a later turn.
MAX_CHUNKS: Final = 1024

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e]*)?")
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")
# As in a request's head. The head is on its way by now, so what is named otherwise is left out and not refused.
_USUAL_NAME = re.compile(rb"[0-9A-Za-z-]+")

# RFC 9110 section 6.5.1: framing, routing, authentication, conditions, and what a browser is to do are never trailers.
_NEVER_TRAILERS = frozenset(
    b"transfer-encoding content-length host connection keep-alive te trailer upgrade proxy-connection authorization "
    b"proxy-authorization proxy-authenticate www-authenticate cookie set-cookie set-cookie2 content-encoding "
    b"content-type content-range expect max-forwards cache-control range if-match if-none-match if-modified-since "
    b"if-unmodified-since if-range age date expires location retry-after vary warning origin referer refresh "
    b"allow via clear-site-data strict-transport-security alt-svc service-worker service-worker-allowed".split()
)
_NEVER_BEGIN = (b"sec-", b"content-security-", b"access-control-", b"cross-origin-")


class Malformed(ValueError):
    """The body's framing cannot be read; the connection cannot be used further."""


class Body(Protocol):
    """Reads one body.

    :ivar is_done: the body is complete.
    :ivar trailers: fields of a chunked body's trailer section that may be there; who may tell them is judged elsewhere.
    """

    is_done: bool
    trailers: tuple[Field, ...]

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take bytes; give the payload in them and what lies behind the body.

        While the body is not done the rest is what is to be fed again in a later turn: too much to be read at once.

        :raises Malformed: when the framing is broken.
        """
        ...


class Sized:
    """A body of a known number of bytes."""

    __slots__ = ("is_done", "remaining")
    trailers: tuple[Field, ...] = ()

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.is_done = length == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See `Body.feed`."""
        remaining = self.remaining - len(data)
        if remaining > 0:
            self.remaining = remaining
            return data, b""
        self.is_done = True
        end = self.remaining
        self.remaining = 0
        return (data, b"") if remaining == 0 else (data[:end], data[end:])


class UntilClose:
    """A response's body that ends with the connection (RFC 9112 section 6.3, item 8)."""

    __slots__ = ("is_done",)
    trailers: tuple[Field, ...] = ()

    def __init__(self) -> None:
        self.is_done = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See `Body.feed`."""
        return data, b""


class Chunked:
    """A chunked body (RFC 9112 section 7.1); extensions are dropped."""

    __slots__ = ("_held", "_left", "_reading_trailers", "_trailer_bytes", "_trailer_lines", "is_done", "trailers")

    def __init__(self) -> None:
        self._held = b""  # an unfinished line
        self._left = 0  # bytes of the chunk and its CRLF still to come
        self._reading_trailers = False
        self._trailer_bytes = 0
        self._trailer_lines = 0
        self.is_done = False
        self.trailers: tuple[Field, ...] = ()

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See `Body.feed`."""
        payload: list[bytes] = []
        if self._held:
            data, self._held = self._held + data, b""
        at, end = 0, len(data)
        while at < end:
            if len(payload) > MAX_CHUNKS:
                return b"".join(payload), data[at:]
            if self._left:
                at = self._take(data, at, payload)
                continue
            line_end = data.find(b"\r\n", at)
            most = MAX_TRAILERS if self._reading_trailers else MAX_CHUNK_LINE
            if line_end < 0:
                self._held = data[at:]
                if len(self._held) > most or b"\n" in self._held or b"\r" in self._held[:-1]:
                    raise Malformed("a chunk's line is too long or has a bare line end")
                break
            if line_end - at > most:
                raise Malformed("a chunk's line is too long")
            line, at = data[at:line_end], line_end + 2
            if not self._reading_trailers:
                self._open_chunk(line)
            elif line:
                self._add_trailer(line)
            else:
                self.is_done = True
                break
        return b"".join(payload), data[at:] if self.is_done else b""

    def _take(self, data: bytes, at: int, payload: list[bytes]) -> int:
        """Payload first; the last two bytes that are left are the chunk's CRLF."""
        if self._left > 2:
            part = data[at : at + self._left - 2]
            payload.append(part)
            self._left -= len(part)
            at += len(part)
        if self._left <= 2 and at < len(data):
            ending = data[at : at + self._left]
            if ending != b"\r\n"[2 - self._left :][: len(ending)]:
                raise Malformed("a chunk is longer than its size says")
            self._left -= len(ending)
            at += len(ending)
        return at

    def _open_chunk(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if not found:
            raise Malformed(f"chunk size {line[:20]!r}")
        size = int(found[1], 16)
        if size:
            self._left = size + 2
        else:
            self._reading_trailers = True

    def _add_trailer(self, line: bytes) -> None:
        found = _TRAILER.fullmatch(line)
        self._trailer_bytes += len(line) + 2  # of those that are dropped as well
        self._trailer_lines += 1
        if not found or self._trailer_bytes > MAX_TRAILERS or self._trailer_lines > MAX_TRAILER_LINES:
            raise Malformed("a trailer field is malformed, or there are too many")
        lower = found[1].lower()
        if lower in _NEVER_TRAILERS or lower.startswith(_NEVER_BEGIN) or not _USUAL_NAME.fullmatch(lower):
            return
        self.trailers += ((lower, found[1], found[2].strip(b" \t")),)


def reader_for(length: int) -> Body:
    """The reader for a head's ``length``: bytes, CHUNKED or UNTIL_CLOSE."""
    if length == CHUNKED:
        return Chunked()
    if length == UNTIL_CLOSE:
        return UntilClose()
    return Sized(length)


def chunk(payload: bytes) -> bytes:
    """One chunk; the payload is not empty (an empty chunk would end the body)."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def last_chunk(trailers: Sequence[bytes] = ()) -> bytes:
    """What ends a chunked body, with whole lines of trailers."""
    return b"0\r\n" + b"".join(trailers) + b"\r\n"
