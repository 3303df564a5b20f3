"""What the portal's own socket carries: one msgpack message a packet (`supercloud.packets`), its kind under ``type``.

Whoever connects says `Hello` first, which is not answered unless the version is another one. After that each request
gets one answer, in order. Each part of the portal that answers here has its own messages (``lock_wire``,
``property_wire``): structs of `Message`, whose tags are unlike all others'.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

VERSION: Final = 1

Number = Annotated[int, msgspec.Meta(ge=0)]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """A request or an answer."""


class Hello(Message, frozen=True, tag="hello"):
    """The first message of a connection."""

    version: int


class Refused(Message, frozen=True, tag="refused"):
    """The answer to a request that is not done.

    :ivar code: for programs. Of the desk itself: ``version``, ``busy`` (try again), ``failed`` (the portal's mistake).
    :ivar reason: for the log; never shown to somebody else than who asked.
    """

    code: Annotated[str, msgspec.Meta(max_length=64)]
    reason: Annotated[str, msgspec.Meta(max_length=1024)] = ""


class Done(Message, frozen=True, tag="done"):
    """It is done, and there is nothing to say."""


class Key(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Which file: the same as long as the file lives, and no other file's ever after.

    :ivar born: tells a file from an earlier one of the same inode number; see `supercloud.desk.identity`.
    """

    device: Number
    inode: Number
    born: Number


class Refusal(Exception):
    """Raised by what answers a request; becomes `Refused`."""

    def __init__(self, code: str, reason: str = "") -> None:
        super().__init__(f"{code}: {reason}" if reason else code)
        self.code = code
        self.reason = reason[:1024]
