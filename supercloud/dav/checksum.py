"""ownCloud's ``OC-Checksum``: what the client says that its bytes add up to."""

from __future__ import annotations

import hashlib
import zlib
from typing import Final, Protocol

_HASHES: Final = {"SHA1": "sha1", "MD5": "md5", "SHA256": "sha256", "SHA3-256": "sha3_256"}


class BadChecksum(ValueError):
    """The field cannot be read, or the bytes add up to something else."""


class _Sum(Protocol):
    def update(self, block: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


class Checksum:
    """Adds up what is received. Kinds that are not known are let pass, as ownCloud does."""

    def __init__(self, field: str | None) -> None:
        """Read the field: "SHA1:…", perhaps several with spaces between.

        :raises BadChecksum: when it cannot be read.
        """
        self._sums: list[tuple[str, str, _Sum]] = []
        for item in (field or "").split():
            kind, colon, wanted = item.partition(":")
            if not colon or not wanted:
                raise BadChecksum("OC-Checksum cannot be read")
            if kind.upper() in _HASHES:
                self._sums.append((kind, wanted.lower(), hashlib.new(_HASHES[kind.upper()], usedforsecurity=False)))
            elif kind.upper() == "ADLER32":
                self._sums.append((kind, wanted.lower().rjust(8, "0"), _Adler32()))

    def __bool__(self) -> bool:
        return bool(self._sums)

    def update(self, block: bytes | memoryview) -> None:
        """Take the next bytes."""
        for _kind, _wanted, added in self._sums:
            added.update(block)

    def check(self) -> None:
        """At the end.

        :raises BadChecksum: when one of them differs.
        """
        for kind, wanted, added in self._sums:
            if added.hexdigest() != wanted:
                raise BadChecksum(f"{kind} is {added.hexdigest()}, not {wanted}")


class _Adler32:
    def __init__(self) -> None:
        self._value = 1

    def update(self, block: bytes | memoryview) -> None:
        self._value = zlib.adler32(block, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"
