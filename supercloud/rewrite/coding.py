"""Content codings of responses that are rewritten (RFC 9110 section 8.4.1): undone in slices of a bounded size.

A few bytes can stand for gigabytes, so a decoder gives no more at once than it is asked for and keeps what it was
given. Nothing else than gzip and deflate is undone, which need 40 KB whatever they hold: the window of br and zstd is
for the sender to say, 8 to 16 MB for one page. So applications are asked for gzip where links are rewritten.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from typing import Final, Protocol

_GZIP: Final = b"\x1f\x8b"
# RFC 9110 section 12.5.3: what has weight 0 is not acceptable.
_TAKES_GZIP: Final = re.compile(
    rb"(?:\A|,)[ \t]*+(?:x-)?gzip[ \t]*+(?:,|\Z|;(?![ \t]*+q=0(?:\.0*+)?[ \t]*+(?:,|\Z)))", re.IGNORECASE
)


class BadCoding(ValueError):
    """The body is not in the coding that its head names."""


class Decoder(Protocol):
    """Undoes a coding."""

    def feed(self, data: bytes) -> None:
        """Take what came."""

    def read(self, most: int) -> bytes:
        """About as many bytes as asked for; empty when more must come, or `is_between`.

        :raises BadCoding: it cannot be read.
        """

    @property
    def is_between(self) -> bool:
        """Whether a member has ended and some of the next one is here already; it is begun by the next `read`."""

    @property
    def is_complete(self) -> bool:
        """Whether the body may end here."""


class Plain:
    """No coding."""

    is_complete = True
    is_between = False

    def __init__(self) -> None:
        self._waiting = b""

    def feed(self, data: bytes) -> None:
        """See `Decoder.feed`."""
        self._waiting = self._waiting + data if self._waiting else data

    def read(self, most: int) -> bytes:
        """See `Decoder.read`."""
        out, self._waiting = self._waiting[:most], self._waiting[most:]
        return out


class Zlib:
    """gzip, of any number of members, and deflate in both forms that are about."""

    def __init__(self, coding: bytes) -> None:
        self._is_gzip = coding != b"deflate"
        self._waiting = b""
        self._reader = zlib.decompressobj(31) if self._is_gzip else None

    @property
    def is_complete(self) -> bool:
        """See `Decoder.is_complete`."""
        return self._reader is None or self._reader.eof

    @property
    def is_between(self) -> bool:
        """See `Decoder.is_between`."""
        return self._is_gzip and self._reader is not None and self._reader.eof and self._waiting.startswith(_GZIP)

    def feed(self, data: bytes) -> None:
        """See `Decoder.feed`."""
        self._waiting += data

    def read(self, most: int) -> bytes:
        """See `Decoder.read`."""
        try:
            return self._read(most)
        except zlib.error as error:
            raise BadCoding(str(error)) from None

    def _read(self, most: int) -> bytes:
        if self._reader is None:
            if len(self._waiting) < 2:
                return b""
            # RFC 9110 section 8.4.1.2: some send it without the zlib wrapper.
            is_wrapped = self._waiting[0] & 0x0F == 8 and int.from_bytes(self._waiting[:2], "big") % 31 == 0
            self._reader = zlib.decompressobj(15 if is_wrapped else -15)
        if self._reader.eof:
            if self._is_gzip and len(self._waiting) < 2:
                return b""
            if not self._is_gzip or not self._waiting.startswith(_GZIP):
                self._waiting = b""  # padding; every browser passes over it
                return b""
            self._reader = zlib.decompressobj(31)
        # Also without new bytes: it may hold output back.
        out = self._reader.decompress(self._waiting, most)
        self._waiting = self._reader.unused_data if self._reader.eof else self._reader.unconsumed_tail
        return out


def decoder_for(coding: bytes) -> Decoder | None:
    """What undoes a coding, by its name in lower case; None for any other, and for several."""
    if coding in (b"", b"identity"):
        return Plain()
    return Zlib(coding) if coding in (b"gzip", b"x-gzip", b"deflate") else None


def asked_coding(values: Iterable[bytes]) -> bytes:
    """What an application is asked for, where links are rewritten.

    :param values: of the browser's ``Accept-Encoding`` fields.
    """
    return b"gzip" if any(_TAKES_GZIP.search(value) for value in values) else b"identity"


class Gzip:
    """Codes anew what came coded: what is rewritten is worth less processor time than a slow link.

    With a window of 8 KiB, as one costs 64 KB then instead of 268 (zconf.h).
    """

    def __init__(self) -> None:
        self._writer = zlib.compressobj(1, zlib.DEFLATED, 16 + 13, 6)

    def write(self, data: bytes) -> bytes:
        """Take some; give what can leave."""
        return self._writer.compress(data)

    def flush(self) -> bytes:
        """Everything that was taken so far, for a browser that shows it already."""
        return self._writer.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """The rest."""
        return self._writer.flush()
