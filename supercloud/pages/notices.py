"""What the site tells everybody, as the front hands it to the pages with each request (authn.notices)."""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import unquote

import msgspec
from werkzeug.datastructures import Headers

_FIELD: Final = "Supercloud-Notices"


class Notice(msgspec.Struct, frozen=True):
    """One of them."""

    kind: Literal["info", "warning"]
    text: str


_read: Final = msgspec.json.Decoder(tuple[Notice, ...]).decode


def notices_of(fields: Headers) -> tuple[Notice, ...]:
    """What holds now."""
    told = fields.get(_FIELD)
    if not told:
        return ()
    try:
        return _read(unquote(told))
    except msgspec.MsgspecError:
        return ()
