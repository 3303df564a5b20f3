"""The body of a request, block by block, and whether all of it came."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from typing import Any, Final, Protocol

from cheroot.makefile import StreamReader
from cheroot.server import ChunkedRFile, KnownLengthRFile

BLOCK: Final = 256 * 1024  # bytes; measured: 64 KiB is a fifth slower, 1 MiB no faster
_MAX_LINE: Final = 4096  # bytes of a chunk's size line or a trailer
_MAX_TRAILERS: Final = 64
# What is read and thrown away so that a client sees the answer; beyond it the connection is closed.
_MAX_DISCARD: Final = 1024 * 1024
_LINGER: Final = 5.0  # seconds for a client to notice an early answer (nginx's lingering_time is 30 s)
_PAUSE: Final = 1.0  # seconds without a byte, after which nobody is waited for


class CutShort(Exception):
    """The client left, or framed its body wrongly, before all of it came."""


Block = bytes | memoryview


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def readline(self, size: int, /) -> bytes: ...


class _Taker:
    """Takes bytes from a connection as they come, past cheroot's buffer, which copies each three times in Python."""

    def __init__(self, source: _Readable, most: int) -> None:
        self._source = source
        self._reader = source if isinstance(source, StreamReader) else None
        self._buffer = memoryview(bytearray(min(BLOCK, most)))

    def take(self, most: int) -> Block:
        """The next bytes; none at the end. They are overwritten by the next call.

        :raises OSError: when the connection broke.
        """
        most = min(BLOCK, most)
        if self._reader is None:
            return self._source.read(most)
        if self._reader.has_data():  # type: ignore[no-untyped-call]
            held: bytes = self._reader.read1(most)
            return held
        return self._buffer[: self._reader.raw.readinto(self._buffer[:most]) or 0]


class Body:
    """Reads ``wsgi.input`` once.

    :ivar length: bytes that were announced; None for a chunked body.
    :ivar received: bytes so far.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        self._input = environ["wsgi.input"]
        self.received = 0
        self._ended = False
        if environ.get("wsgi.input_terminated") or "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
            self.length = None
        else:
            self.length = _length(environ.get("CONTENT_LENGTH"))
        environ["supercloud.body"] = self

    def blocks(self) -> Iterator[Block]:
        """The body in blocks of at most ``BLOCK`` bytes; each is overwritten by the next.

        :raises CutShort: when it ends before its time, after the blocks that did come.
        """
        for block in self._chunked() if self.length is None else self._counted(self.length):
            self.received += len(block)
            yield block
        self._ended = True

    @property
    def is_used_up(self) -> bool:
        """Whether nothing of it is left on the connection."""
        return self._ended or (self.length == 0)

    def discard(self) -> bool:
        """Read what is left and forget it, up to a bound, so that the client reads the answer.

        :return: whether nothing is left; if not, the connection must close.
        """
        if self.is_used_up:
            return True
        if self.received or self.length is None or self.length > _MAX_DISCARD:
            return False
        try:
            for _block in self.blocks():
                pass
        except (CutShort, OSError):
            return False
        return True

    def linger(self) -> None:
        """After the answer: take what the client still sends, for a moment, so that it comes to read the answer.

        A connection that is closed on unread bytes is reset, and the answer may be lost with it (RFC 9112 section 9.6).
        """
        reader = getattr(self._input, "rfile", None)
        raw = reader.raw if isinstance(reader, StreamReader) else None
        if not isinstance(raw, socket.SocketIO):
            return
        waiting = select.poll()
        waiting.register(raw.fileno(), select.POLLIN)
        end = time.monotonic() + _LINGER
        waste = bytearray(BLOCK)
        while time.monotonic() < end and waiting.poll(_PAUSE * 1000):
            try:
                if not raw.readinto(waste):
                    return
            except OSError:
                return

    def _counted(self, length: int) -> Iterator[Block]:
        counts = isinstance(self._input, KnownLengthRFile)
        taker = _Taker(self._input.rfile if counts else self._input, length)
        left = length
        while left:
            try:
                block = taker.take(left)
            except OSError as error:
                raise CutShort(f"{length - left} of {length} bytes came: {error}") from error
            if not block:
                raise CutShort(f"{length - left} of {length} bytes came")
            left -= len(block)
            if counts:
                self._input.remaining = left
            yield block

    def _chunked(self) -> Iterator[Block]:
        """RFC 9112 section 7.1. cheroot's own reader takes a whole chunk into memory, and copies it for each read."""
        source = self._input
        if not isinstance(source, ChunkedRFile):
            while block := source.read(BLOCK):
                yield block
            return
        try:
            yield from _chunks(source.rfile)
        except OSError as error:
            raise CutShort(str(error)) from error
        source.closed = True


def _chunks(source: _Readable) -> Iterator[Block]:
    taker = _Taker(source, BLOCK)
    while left := _chunk_size(source.readline(_MAX_LINE)):
        while left:
            block = taker.take(left)
            if not block:
                raise CutShort("the connection ended within a chunk")
            left -= len(block)
            yield block
        if source.read(2) != b"\r\n":
            raise CutShort("a chunk does not end where it should")
    for _ in range(_MAX_TRAILERS):
        line = source.readline(_MAX_LINE)
        if line == b"\r\n":
            return
        if not line.endswith(b"\r\n"):
            break
    raise CutShort("the trailers do not end")


def _chunk_size(line: bytes) -> int:
    """From a chunk's first line.

    :raises CutShort: when it is none.
    """
    digits = line.split(b";", 1)[0].strip()
    if not line.endswith(b"\r\n") or not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
        raise CutShort("the connection ended between two chunks" if not line else "a chunk's size cannot be read")
    return int(digits, 16)


def _length(field: str | None) -> int:
    """A Content-Length; none means no body (RFC 9112 section 6.3)."""
    text = (field or "0").strip()
    return int(text) if text.isascii() and text.isdigit() else 0
