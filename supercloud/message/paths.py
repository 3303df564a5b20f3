"""Paths that whoever resolves them could take for others."""

from __future__ import annotations

import re
from typing import Final

# One expression rather than decoding and splitting: a path has up to 64 KiB, and anybody may ask for one.
_DOTS: Final = re.compile(
    rb"(?:\A|[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:[/\\]|%2f|%5c|\Z)",
    re.IGNORECASE,
)


def has_dots(path: bytes) -> bool:
    """Whether a path, without its query, has ``.`` or ``..`` as a segment, in any spelling."""
    return _DOTS.search(path) is not None
