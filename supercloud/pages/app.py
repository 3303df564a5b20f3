"""The workspace's pages, as one WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

from supercloud.monitor.wire import Workspace

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_HTML: Final = "text/html; charset=utf-8"
_HOME: Final = (
    b'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Your workspace</title>'
    b'<meta name="viewport" content="width=device-width, initial-scale=1">'
    b'<link rel="stylesheet" href="/.portal/portal.css"><link rel="stylesheet" href="/.portal/workspace.css">'
    b'<script src="/.portal/workspace.js" defer></script></head><body><header><a href="/">SuperCloud portal</a>'
    b'<form method="post" action="/logout"><button>Sign out everywhere</button></form></header>'
    b'<main><h1>Your workspace</h1><p id="live" role="status"></p>'
    b'<p><a href="/open/">Your web applications on this host</a>, <a href="/dav/~/">your files</a>, '
    b'<a href="/tokens">access tokens</a></p></main></body></html>'
)
_ANSWERS: Final = {"/": (_HTML, _HOME), "/api/workspace": ("application/json", b"{}")}


def make_app(workspace: Workspace, home: str) -> Application:
    """The pages of the account that this process is.

    :param home: the account's.
    """
    return _answer


def _answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    status, (kind, body) = HTTPStatus.OK, _ANSWERS.get(environ["PATH_INFO"], ("", b""))
    if not kind:
        status, kind, body = HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"There is nothing here.\n"
    elif environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        status, kind, body = HTTPStatus.METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", b"This address is GET.\n"
    length = ("Content-Length", str(len(body)))
    start_response(f"{status.value} {status.phrase}", [("Content-Type", kind), length])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
