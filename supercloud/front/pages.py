"""The portal's own pages as bytes: pure functions, every value escaped. Workable without a script and on a phone."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Final

# Nothing but the portal's own style; no script, no frame, no form to elsewhere.
POLICY: Final = (
    b"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FIELDS: Final = [
    (b"Content-Type", b"text/html; charset=utf-8"),
    (b"Content-Security-Policy", POLICY),
    (b"Cache-Control", b"no-store"),
    (b"Referrer-Policy", b"same-origin"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
]


@dataclass(frozen=True, slots=True)
class Listed:
    """One of the viewer's own listening sockets.

    :ivar name: of the program.
    :ivar own: address on an origin of its own; empty when its node has no label.
    :ivar path: address under the portal's own.
    """

    name: str
    where: str
    own: str
    path: str
    note: str = ""


def page(title: str, body: str, *, login: str = "", refresh: int = 0) -> bytes:
    """A whole page.

    :param body: HTML; made by a function of this module.
    :param refresh: seconds until the page is asked for again; 0 for never.
    """
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    who = (
        f'<form method="post" action="/logout"><span class="soft">{escape(login)}</span> '
        "<button>Sign out everywhere</button></form>"
        if login
        else ""
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>{again}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="/.portal/portal.css"></head><body>'
        f'<header><a href="/">SuperCloud portal</a>{who}</header><main><h1>{escape(title)}</h1>{body}</main>'
        "</body></html>"
    ).encode()


def refusal(title: str, text: str, request_id: str, *, waits: bool = False) -> bytes:
    """What a refused exchange shows.

    :param waits: the page asks again by itself.
    """
    wait = "<progress>waiting</progress>" if waits else ""
    body = f'<p>{escape(text)}</p>{wait}<p class="soft">Request {escape(request_id)}</p>'
    return page(title, body, refresh=2 if waits else 0)


def sign_in(*, has_link: bool, has_certificate: bool, note: str = "") -> bytes:
    """Who are you?"""
    ways = []
    if has_link:
        ways.append(
            "<p>Open the line that begins with <code>Open https://</code> in the terminal where the portal runs. "
            "Each link opens one browser; the next one is printed there.</p>"
        )
    if has_certificate:
        ways.append(
            "<p>Choose your client certificate when the browser asks for it, or ask the site how to get one.</p>"
        )
    told = f"<p><strong>{escape(note)}</strong></p>" if note else ""
    return page("Sign in", told + "".join(ways))


def home(login: str, listed: list[Listed]) -> bytes:
    """The viewer's own listening sockets on this host, each one click away."""
    if listed:
        rows = "".join(_row(one) for one in listed)
        found = f'<ul class="list">{rows}</ul>'
    else:
        found = "<p>None yet. Start one and load this page again:</p>"
    body = (
        f"<h2>Your web applications on this host</h2>{found}"
        "<h2>Start another</h2><p>Any program of yours that listens appears above. For example:</p>"
        "<pre>python3 -m http.server --bind 127.0.0.1 8000</pre><pre>jupyter lab --no-browser --port 8888</pre>"
    )
    return page("Your applications", body, login=login)


def _row(one: Listed) -> str:
    name = escape(one.name)
    link = f'<a href="{escape(one.own or one.path)}">{name}</a>'
    beside = f' <a class="soft" href="{escape(one.path)}">by path</a>' if one.own else ""
    note = f'<span class="soft">{escape(one.note)}</span>' if one.note else ""
    return f'<li>{link}<span class="soft"><code>{escape(one.where)}</code></span>{note}{beside}</li>'


def signed_out() -> bytes:
    """After signing out."""
    return page(
        "Signed out", '<p>You are signed out here and in all your applications.</p><p><a href="/">Sign in</a></p>'
    )
