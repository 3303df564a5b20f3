"""A notice on its way from the front, which reads the site's file, to the pages of a worker, which show it; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import quote, unquote

import msgspec

# The front adds it to requests for pages, and passes none on; its value is JSON, percent-encoded.
FIELD: Final = "Supercloud-Notices"


class Told(msgspec.Struct, frozen=True):
    """A notice as a page shows it."""

    kind: Literal["info", "warning"]
    text: str


_read: Final = msgspec.json.Decoder(tuple[Told, ...]).decode


def field_line(told: Sequence[Told]) -> bytes:
    """The line of a request; empty for nothing to tell."""
    return f"{FIELD}: {quote(msgspec.json.encode(told), safe='')}\r\n".encode("ascii") if told else b""


def read_field(value: str | None) -> tuple[Told, ...]:
    """What a field's value tells; nothing when it cannot be read."""
    try:
        return _read(unquote(value)) if value else ()
    except msgspec.MsgspecError:
        return ()
