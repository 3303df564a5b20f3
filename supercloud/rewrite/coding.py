"""Content codings of responses that are rewritten (RFC 9110 section 8.4.1): undone in slices of a bounded size.

A few bytes can stand for gigabytes, so a decoder gives no more at once than it is asked for and keeps what it was
given.
"""

from __future__ import annotations

import zlib
from typing import Final, Protocol

import brotli
from backports import zstd

_GZIP: Final = b"\x1f\x8b"
# log2 of the bytes that a zstd decoder may need: what every browser has (RFC 9659).
_WINDOW: Final = 23


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


class Brotli:
    """br (RFC 7932)."""

    is_between = False

    def __init__(self) -> None:
        self._waiting = b""
        self._reader = brotli.Decompressor()

    @property
    def is_complete(self) -> bool:
        """See `Decoder.is_complete`."""
        return bool(self._reader.is_finished())

    def feed(self, data: bytes) -> None:
        """See `Decoder.feed`."""
        self._waiting += data

    def read(self, most: int) -> bytes:
        """See `Decoder.read`."""
        if self._reader.is_finished():
            self._waiting = b""
            return b""
        data = b""
        if self._reader.can_accept_more_data():
            data, self._waiting = self._waiting, b""
        try:
            return bytes(self._reader.process(data, output_buffer_limit=most))
        except brotli.error as error:
            raise BadCoding(str(error)) from None


class Zstd:
    """zstd (RFC 8878), of any number of frames."""

    def __init__(self) -> None:
        self._waiting = b""
        self._reader = self._begin()

    @staticmethod
    def _begin() -> zstd.ZstdDecompressor:
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW})

    @property
    def is_complete(self) -> bool:
        """See `Decoder.is_complete`."""
        return self._reader.eof

    @property
    def is_between(self) -> bool:
        """See `Decoder.is_between`."""
        return self._reader.eof and bool(self._waiting)

    def feed(self, data: bytes) -> None:
        """See `Decoder.feed`."""
        self._waiting += data

    def read(self, most: int) -> bytes:
        """See `Decoder.read`."""
        try:
            if self._reader.eof:
                if not self._waiting:
                    return b""
                self._reader = self._begin()
            data, self._waiting = self._waiting, b""
            out = self._reader.decompress(data, most)
            if self._reader.eof:
                self._waiting = self._reader.unused_data
            return out
        except zstd.ZstdError as error:
            raise BadCoding(str(error)) from None


def decoder_for(coding: bytes) -> Decoder | None:
    """What undoes a coding, by its name in lower case; None for one that is not known, or for several."""
    if coding in (b"", b"identity"):
        return Plain()
    if coding in (b"gzip", b"x-gzip", b"deflate"):
        return Zlib(coding)
    if coding == b"br":
        return Brotli()
    return Zstd() if coding == b"zstd" else None


class Gzip:
    """Codes anew what came coded: what is rewritten is worth less processor time than a slow link."""

    def __init__(self) -> None:
        self._writer = zlib.compressobj(1, zlib.DEFLATED, 31)

    def write(self, data: bytes) -> bytes:
        """Take some; give what can leave."""
        return self._writer.compress(data)

    def flush(self) -> bytes:
        """Everything that was taken so far, for a browser that shows it already."""
        return self._writer.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """The rest."""
        return self._writer.flush()
