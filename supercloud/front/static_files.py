"""The only files of the portal's own, read once: style sheets, scripts and the icon."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final

from supercloud.front.exchange import Exchange

_KINDS: Final = {
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}


class StaticFile:
    """One of them. A browser asks each time whether its copy goes with the page: a site may have a newer portal."""

    def __init__(self, kind: bytes, content: bytes) -> None:
        self._content = content
        self._tag = b'"%b"' % hashlib.sha256(content).hexdigest()[:16].encode()
        self._fields = [
            (b"Content-Type", kind),
            (b"X-Content-Type-Options", b"nosniff"),
            (b"ETag", self._tag),
            (b"Cache-Control", b"no-cache"),
        ]

    def answer(self, exchange: Exchange) -> None:
        """The file, or that the browser's copy is the same (RFC 9110 section 13.1.2)."""
        exchange.is_told = False
        is_known = self._tag in (exchange.head.get(b"if-none-match") or b"")
        exchange.respond(304 if is_known else 200, self._fields, self._content)


def _read(name: str) -> StaticFile:
    content = resources.files("supercloud.front").joinpath("static", name).read_bytes()
    return StaticFile(_KINDS[name.rpartition(".")[2]], content)


# By path.
STATIC: Final = {
    b"/.portal/" + name.encode(): _read(name)
    for name in ("portal.css", "files.css", "files.js", "workspace.css", "workspace.js", "waiting.js", "icon.svg")
}
# At whatever path an application had its service worker's script.
NO_WORKER: Final = _read("no-worker.js")
