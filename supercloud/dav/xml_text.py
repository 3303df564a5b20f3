"""Text and stored elements on their way into an XML answer. Nothing that others chose can end an element early."""

from __future__ import annotations

import re
from typing import Any, Final
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import XMLParser

# XML 1.0 section 2.2; lone surrogates, which stand for bytes that are not UTF-8 (PEP 383), are among them.
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# "\r" would be read as "\n" (section 2.11).
_BESIDES: Final = {"\r": "&#13;"}
_MOST_LEVELS: Final = 64  # of a stored value
DAV: Final = "{DAV:}"


class BadXml(ValueError):
    """It is not well-formed, has a DTD, or nests too deeply."""


def text(value: str) -> str:
    """Text for an element; what XML cannot hold becomes U+FFFD."""
    return escape(_FORBIDDEN.sub("\ufffd", value), _BESIDES)


def empty(name: str) -> str:
    """An element without content.

    :param name: in Clark's notation; came out of a parser, so that it is a name.
    """
    if name.startswith(DAV):
        return f"<D:{name[len(DAV) :]}/>"
    space, _, local = name[1:].rpartition("}") if name.startswith("{") else ("", "", name)
    if not space:
        return f"<{local}/>"
    return f'<X:{local} xmlns:X="{escape(space, {chr(34): "&quot;"})}"/>'


def stored(value: str | bytes, name: str) -> str | None:
    """An element that was stored as XML, as it may stand in an answer; None when it is none of that name.

    It may have been written by somebody else, past the portal, so it is read again.
    """
    try:
        whole = (value if isinstance(value, str) else value.decode("utf-8")).strip()
        if whole.startswith("<?"):  # the declaration, which may stand at the beginning of a document only
            whole = whole.partition("?>")[2].lstrip()
        if not whole.startswith("<") or whole.startswith(("<?", "<!")):
            return None
        root = _Root()
        parse(whole.encode("utf-8"), root)
    except (BadXml, UnicodeError):
        return None
    return whole if root.name == name else None


def parse(document: bytes, target: Any) -> None:
    """Let a target (see `xml.etree.ElementTree.XMLParser`) see a document; no tree is made.

    :raises BadXml: for what is not well-formed, and for any DTD (entities, external ones above all).
    """
    parser = XMLParser(target=target, forbid_dtd=True)
    try:
        parser.feed(document)
        parser.close()
    except BadXml:
        raise
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:
        raise BadXml(f"{type(error).__name__}: {error}"[:200]) from None


class _Root:
    """Remembers what the outermost element is called.

    :raises BadXml: it nests so deeply that the client's reader might fall over it.
    """

    def __init__(self) -> None:
        self.name = ""
        self._level = 0

    def start(self, tag: str, _attributes: dict[str, str]) -> None:
        self.name = self.name or tag
        self._level += 1
        if self._level > _MOST_LEVELS:
            raise BadXml("it nests too deeply")

    def end(self, _tag: str) -> None:
        self._level -= 1
