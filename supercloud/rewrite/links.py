"""One link of an application, as the browser must see it.

An application writes links as if it were alone on its host. What leads to itself is led to where it lives for its
viewer; other sites' links, relative ones and those of other schemes stay as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

# Bytes of a link that is looked at; a longer one (a picture as data:, say) leads nowhere that a gateway could know of.
MAX_LINK: Final = 16 * 1024

_ABSOLUTE = re.compile(rb"(https?|wss?):[/\\]{2}([^/?#\\]*)(.*)", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(rb"([^/?#\\]*)(.*)", re.DOTALL)
_LEADING_DOTS = re.compile(rb"(?:/\.{1,2}(?=[/?#]|\Z))+")
# Possessive, and the end is left to `strip`: a value of 100 KB must not be tried from each of its spaces anew.
_REFRESH = re.compile(rb"\s*+[0-9.]++\s*+[;,]\s*+(?:url\s*+=\s*+)?", re.IGNORECASE)
_PLAIN_PATH = re.compile(r"/(?:[!-\-0-\[\]-~][!-~]{0,1000})?")  # most links; neither "//", "/\\" nor "/."
_NOISE = re.compile(r"[\t\n\r]")
_EDGES: Final = "".join(map(chr, range(0x21)))  # what browsers strip from a link (URL standard, section 4.4)
_FIRST: Final = frozenset("/\\hHwW")


@dataclass(frozen=True, slots=True)
class Links:
    """Where an application's links lead.

    :ivar origin: scheme and authority of the origin where it is shown.
    :ivar host: that origin's authority.
    :ivar inside: the application's authority, as it sees it in ``Host``.
    :ivar prefix: path prefix that the application does not see, without a slash at its end.
    :ivar base: path of the application that the outside root stands for, without the slash.
    :ivar path: the prefix as text.
    """

    origin: bytes
    host: bytes
    inside: bytes
    prefix: bytes = b""
    base: bytes = b""
    path: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", self.prefix.decode("ascii"))

    def __call__(self, url: bytes) -> bytes:
        """A link for the browser."""
        url = url.strip(b" \t")
        scheme = b""
        is_path = False
        if url[:2] in (b"//", b"/\\", b"\\/", b"\\\\"):
            found = _AUTHORITY.fullmatch(url[2:])
            if found is None or found[1].lower() != self.inside:
                return url
            path = found[2]
        elif url[:1] in (b"/", b"\\"):
            path, is_path = b"/" + url[1:], True
        elif found := _ABSOLUTE.fullmatch(url):
            scheme, authority, path = found[1].lower(), found[2].lower(), found[3]
            if authority not in (self.inside, self.host):
                return url
        else:
            return url
        path = self._outside(path)
        if is_path:
            return path
        return (self.origin.replace(b"http", b"ws", 1) if scheme.startswith(b"ws") else self.origin) + path

    def text(self, url: str) -> str:
        """A link in a document, whose letters stand for bytes; see `rewrite.html`."""
        start = url[:1]
        if start == "/" and not self.base and self.prefix and _PLAIN_PATH.fullmatch(url):
            own = self.path
            return url if url.startswith(own) and url[len(own) : len(own) + 1] in ("", *"/?#") else own + url
        if start not in _FIRST and (start not in _EDGES or not start):
            return url
        if len(url) > MAX_LINK:
            return url
        plain = _NOISE.sub("", url.strip(_EDGES)).encode("latin-1")
        written = self(plain)
        return url if written == plain else written.decode("latin-1")

    def refresh(self, value: bytes) -> bytes:
        """The value of a ``Refresh`` field, or of the element that stands for one."""
        found = _REFRESH.match(value)
        if not found:
            return value
        url = value[found.end() :].rstrip()
        quote = url[:1] if url[:1] in (b'"', b"'") else b""
        if quote:
            url = url[1:].removesuffix(quote)
        return found[0] + quote + self(url) + quote

    def is_of_another_site(self, url: str) -> bool:
        """Whether a link names another authority than the application's."""
        plain = _NOISE.sub("", url.strip(_EDGES)).encode("latin-1", "replace")
        names_one = plain[:2].replace(b"\\", b"/") == b"//" or _ABSOLUTE.match(plain) is not None
        return names_one and self(plain) == plain and not plain.startswith(self.origin + self.prefix + b"/")

    def _outside(self, path: bytes) -> bytes:
        """A path of the application's for the browser; what has the prefix already was told of it and stays."""
        if not path.startswith(b"/"):
            path = b"/" + path
        prefix = self.prefix
        if prefix and path.startswith(b"/.") and (dots := _LEADING_DOTS.match(path)):
            path = path[dots.end() :]  # a browser would take them from the prefix
            path = path if path.startswith(b"/") else b"/" + path
        path = below(path, self.base)
        if prefix and path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/", b"?", b"#"):
            return path
        return prefix + path


def below(path: bytes, base: bytes) -> bytes:
    """A path of the application's as it is below the root of its forward; what lies beside that stays as it is."""
    if base and (path == base or path.startswith((base + b"/", base + b"?", base + b"#"))):
        path = path[len(base) :]
        return path if path.startswith(b"/") else b"/" + path
    return path
