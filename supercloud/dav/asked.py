"""What a PROPFIND asks for: its Depth and its body (RFC 4918 sections 9.1, 10.2 and 14.20). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from supercloud.dav.xml_text import DAV, BadXml, parse

MOST_NAMES: Final = 500  # properties in one request; each is answered for every member
_MOST_LEVELS: Final = 32  # four are meant; others belong to extensions, which are ignored
_INCLUDE: Final = f"{DAV}include"


class Want(Enum):
    """The three forms of a PROPFIND."""

    ALL = f"{DAV}allprop"
    NAMES = f"{DAV}propname"
    SOME = f"{DAV}prop"


class Depth(Enum):
    """How far below the resource."""

    ITSELF = "0"
    MEMBERS = "1"
    INFINITY = "infinity"


@dataclass(frozen=True, slots=True)
class Asked:
    """:ivar names: in Clark's notation, in the client's order; with ALL those to include."""

    want: Want
    names: tuple[str, ...] = ()


def read_body(document: bytes) -> Asked:
    """What the body asks for; none at all asks for everything.

    :raises BadXml: for a body that cannot be read, or does not ask for exactly one thing.
    """
    if not document.strip():
        return Asked(Want.ALL)
    reader = _Reader()
    parse(document, reader)
    if len(reader.wants) != 1:
        raise BadXml("a propfind holds one of prop, propname and allprop")
    [want] = reader.wants
    return Asked(want, tuple(reader.included if want is Want.ALL else reader.named if want is Want.SOME else ()))


def depth_of(environ: Mapping[str, Any]) -> Depth:
    """The Depth field; infinity unless said.

    :raises ValueError: for one that does not exist.
    """
    return Depth(str(environ.get("HTTP_DEPTH", "infinity")).strip().lower())


def wants_minimum(environ: Mapping[str, Any]) -> bool:
    """Whether properties that are not there need not be named (RFC 8144 section 2.1; Microsoft's Brief)."""
    preferences = str(environ.get("HTTP_PREFER", "")).replace(" ", "").replace('"', "").lower().split(",")
    is_preferred = any(one.partition(";")[0] == "return=minimal" for one in preferences)
    return is_preferred or str(environ.get("HTTP_BRIEF", "")).strip().lower() == "t"


_WANTS: Final = frozenset(want.value for want in Want)


class _Reader:
    """Sees the elements as they come; what is not known is ignored with all that is in it (section 17)."""

    def __init__(self) -> None:
        self._level = 0
        self._part = ""
        self.wants: set[Want] = set()
        self.named: dict[str, None] = {}
        self.included: dict[str, None] = {}

    def start(self, tag: str, _attributes: dict[str, str]) -> None:
        self._level += 1
        if self._level > _MOST_LEVELS:
            raise BadXml("it nests too deeply")
        if self._level == 1 and tag != f"{DAV}propfind":
            raise BadXml("it is no propfind")
        if self._level == 2:
            self._part = tag
            if tag in _WANTS:
                self.wants.add(Want(tag))
        elif self._level == 3 and self._part in (Want.SOME.value, _INCLUDE):
            names = self.included if self._part == _INCLUDE else self.named
            names[tag] = None
            if len(names) > MOST_NAMES:
                raise BadXml("it names too many properties")

    def end(self, _tag: str) -> None:
        self._level -= 1
