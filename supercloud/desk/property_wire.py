"""Dead properties at the desk, for files whose file system takes no extended attributes: requests and answers.

A descriptor of the file comes with each request about one: opened for reading to read them; to change them, a file's
opened for writing, and any of a folder that the account may change.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from supercloud.desk.wire import Message, Number

MOST_NAME: Final = 2048  # letters of a name in Clark's notation
MOST_VALUE: Final = 16 * 1024  # bytes of a property
MOST_BYTES: Final = 32 * 1024  # of all properties of a file, with their names
MOST_NUMBER: Final = 256  # of one file
MOST_PAIRS: Final = 1500

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_NAME)]
Value = Annotated[bytes, msgspec.Meta(max_length=MOST_VALUE)]


class ReadProperties(Message, frozen=True, tag="read-properties"):
    """Answered by `Properties`."""


class ReplaceProperties(Message, frozen=True, tag="replace-properties"):
    """Let the file have these and no others; answered by `Done`."""

    properties: Annotated[dict[Name, Value], msgspec.Meta(max_length=MOST_NUMBER)]


class FilterStored(Message, frozen=True, tag="filter-stored"):
    """Of which of these (device, inode) are any kept here? Answered by `Stored`; needs no descriptor."""

    pairs: Annotated[tuple[tuple[Number, Number], ...], msgspec.Meta(max_length=MOST_PAIRS)]


# Answers. `Refused` has the codes ``not-writable``, ``not-readable``, ``too-large``, ``no-descriptor``, ``not-served``,
# and those of the desk itself.


class Properties(Message, frozen=True, tag="properties"):
    """Name in Clark's notation to XML element."""

    properties: dict[str, bytes]


class Stored(Message, frozen=True, tag="stored"):
    """Positions in the question's list."""

    positions: tuple[int, ...]
