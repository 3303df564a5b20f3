"""The body of a request as ``wsgi.input``: it ends where the message says, and what was cut short is an error.

cheroot's own gives less than was announced when the peer goes away in the middle, which looks like a whole body; and it
keeps a chunk in memory, however large it is.
"""

from __future__ import annotations

import errno
import io
import re
from collections.abc import Callable
from typing import Any, BinaryIO, Final

# RFC 9112 section 7.1; 16 digits are 2**64 - 1 bytes.
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")
# Bytes of a chunk's first line, and of all trailers together.
MOST_LINE: Final = 4096
MOST_TRAILERS: Final = 64 * 1024
# Bytes of a body that nobody wanted: so much is read so that the connection can be used again.
MOST_DROPPED: Final = 64 * 1024


class BrokenBody(ConnectionResetError):
    """The peer went away before the body's end, or sent no proper chunks. An OSError: the upload has failed."""

    def __init__(self, what: str) -> None:
        super().__init__(errno.ECONNRESET, what)


class Body(io.RawIOBase):
    """A body without length: none at all.

    :param stream: what the connection receives, buffered.
    :param begin: called before bytes are taken from the connection: tells the peer to go on (RFC 9110 section 10.1.1).
    :ivar is_spent: nothing of the message is left in the connection.
    """

    def __init__(self, stream: BinaryIO, begin: Callable[[], object]) -> None:
        super().__init__()
        self._stream: Any = stream
        self._begin = begin
        self._left = 0
        self.is_spent = True

    def readable(self) -> bool:
        return True

    @property
    def is_short(self) -> bool:
        """Whether so little is left that it is better read and dropped than left to a connection that closes."""
        return self.is_spent

    def drop(self) -> None:
        """Read what is left."""
        piece = bytearray(io.DEFAULT_BUFFER_SIZE)
        while not self.is_spent:
            self.readinto(piece)

    def readinto(self, buffer: Any) -> int:
        """Take bytes of the body from the connection, 0 at its end.

        :raises BrokenBody: it ended early, or the chunks are none.
        """
        return 0

    def _take(self, buffer: Any) -> int:
        """Receive some of the bytes that are left."""
        count: int = self._stream.readinto1(memoryview(buffer)[: self._left])
        if not count:
            raise BrokenBody(f"the body ended {self._left} bytes early")
        self._left -= count
        return count


class KnownBody(Body):
    """As long as its Content-Length says.

    :param length: bytes.
    """

    def __init__(self, stream: BinaryIO, begin: Callable[[], object], length: int) -> None:
        super().__init__(stream, begin)
        self._left = length
        self.is_spent = not length

    @property
    def is_short(self) -> bool:
        return self._left <= MOST_DROPPED

    def readinto(self, buffer: Any) -> int:
        if self.is_spent:
            return 0
        self._begin()
        count = self._take(buffer)
        self.is_spent = not self._left
        return count


class ChunkedBody(Body):
    """In chunks; what stands in the trailers is dropped."""

    def __init__(self, stream: BinaryIO, begin: Callable[[], object]) -> None:
        super().__init__(stream, begin)
        self.is_spent = False

    def readinto(self, buffer: Any) -> int:
        if self.is_spent:
            return 0
        self._begin()
        if not self._left:
            self._left = self._next_size()
            if not self._left:
                self._skip_trailers()
                self.is_spent = True
                return 0
        count = self._take(buffer)
        if not self._left and self._stream.read(2) != b"\r\n":
            raise BrokenBody("a chunk is longer than it says")
        return count

    def _next_size(self) -> int:
        size = _CHUNK_SIZE.fullmatch(self._stream.readline(MOST_LINE))
        if size is None:
            raise BrokenBody("a chunk has no size")
        return int(size[1], 16)

    def _skip_trailers(self) -> None:
        left = MOST_TRAILERS
        while (line := self._stream.readline(left)) != b"\r\n":
            left -= len(line)
            if not line.endswith(b"\n") or left <= 0:
                raise BrokenBody("the trailers do not end")
