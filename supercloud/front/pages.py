"""The portal's own pages as bytes: pure functions, every value escaped. Workable without a script and on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from supercloud.links import HEAD
from supercloud.notice import Told
from supercloud.origin_check import Name

Fields = list[tuple[bytes, bytes]]

# The portal's name goes with links to applications, and no path: see provenance.hold_together.
_REFERRER: Final = b"strict-origin-when-cross-origin"


def fields(form_action: str = "'self'", *, script: str = "") -> Fields:
    """What goes with a page: nothing but the portal's own style; no frame, no form to elsewhere.

    :param form_action: where forms may lead, redirects included.
    :param script: URL of the one that may run, and ask its own origin; "" for none.
    """
    policy = (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action {form_action}"
    )
    if script:
        policy += f"; script-src {script}; connect-src 'self'"
    return [
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"Content-Security-Policy", policy.encode("ascii")),
        (b"Cache-Control", b"no-store"),
        (b"Referrer-Policy", _REFERRER),
        (b"X-Content-Type-Options", b"nosniff"),
        (b"Cross-Origin-Resource-Policy", b"same-origin"),
    ]


FIELDS: Final = fields()


@dataclass(frozen=True, slots=True)
class Listed:
    """One of the viewer's own listening sockets.

    :ivar name: of the program.
    :ivar address: where the browser opens it.
    """

    name: str
    where: str
    address: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ListedToken:
    """One of the viewer's tokens.

    :ivar name: the owner's note.
    :ivar note: when it was made, ends, and was used.
    """

    id: str
    name: str
    scope: str
    note: str


@dataclass(frozen=True, slots=True)
class MadeToken:
    """The token that was made just now.

    :ivar opens: what it is for, each with words.
    """

    text: str
    opens: Sequence[tuple[str, str]]


def page(title: str, body: str, *, login: str = "", links: str = "", home: str = "/", head: str = "") -> bytes:
    """A whole page.

    :param body, links, head: HTML; made by a function of this module, or by `supercloud.links`.
    :param home: address of the portal's first page.
    """
    who = (
        f'<form method="post" action="/logout"><span class="soft">{escape(login)}</span> '
        "<button>Sign out everywhere</button></form>"
        if login
        else ""
    )
    return (
        f'<!doctype html><html lang="en"><head>{HEAD}<title>{escape(title)}</title>{head}</head><body>'
        f'{_SKIP if links else ""}<header><a href="{escape(home)}">SuperCloud portal</a>{links}{who}</header>'
        f'<main id="main"><h1>{escape(title)}</h1>{body}</main></body></html>'
    ).encode()


_SKIP: Final = '<a class="skip" href="#main">To the content</a>'


def refusal(title: str, text: str, request_id: str, *, home: str, login: str = "") -> bytes:
    """What a refused exchange shows.

    :param home: address of the portal's first page: this one may be at an application's.
    :param login: of whoever was found to look at it.
    """
    return page(title, _refusal(text, request_id, home, login), home=home)


def led_here(text: str, address: str) -> bytes:
    """What another site's link to an address of the portal's own shows: the same, whatever is there.

    :param address: an absolute URL of the portal's.
    """
    shown = escape(address)
    body = f'<p>{escape(text)}</p><p><code>{shown}</code></p><p><a class="button primary" href="{shown}">Go on</a></p>'
    return page("A link to the portal", body)


def waiting(text: str, request_id: str, *, home: str, login: str = "") -> bytes:
    """A refusal that opens the application by itself once it answers; without a script, by loading itself anew."""
    body = f'<progress aria-label="Waiting"></progress>{_refusal(text, request_id, home, login)}'
    return page("Waiting for the application", body, home=home, head=_WAITS)


def waiting_fields(origin: str) -> Fields:
    """What goes with it.

    :param origin: URL of the one that it is at.
    """
    return fields(script=f"{origin}/.portal/waiting.js")


_WAITS: Final = (
    '<script src="/.portal/waiting.js" defer></script><noscript><meta http-equiv="refresh" content="2"></noscript>'
)


def _refusal(text: str, request_id: str, home: str, login: str) -> str:
    whom = f", signed in as {escape(login)}" if login else ""
    return (
        f'<p>{escape(text)}</p><p><a href="{escape(home)}">To your workspace</a></p>'
        f'<p class="soft">Request {escape(request_id)}{whom}</p>'
    )


def sign_in(
    *,
    has_link: bool,
    has_certificate: bool,
    has_password: bool = False,
    note: str = "",
    login: str = "",
    onward: str = "",
    notices: Sequence[Told] = (),
) -> bytes:
    """Who are you?

    :param notices: of the site's.
    :param login: what was typed before.
    :param onward: where to go then.
    """
    ways = []
    if has_password:
        ways.append(_LOGIN_FORM.format(login=escape(login), onward=escape(onward)))
    if has_link:
        ways.append(
            "<p>Open the line that begins with <code>Open https://</code> in the terminal where the portal runs. "
            "Each link opens one browser; the next one is printed there.</p>"
        )
    if has_certificate:
        ways.append(
            "<p>Choose your client certificate when the browser asks for it, or ask the site how to get one.</p>"
        )
    told = "".join(f'<p class="notice {one.kind}">{escape(one.text)}</p>' for one in notices)
    return page("Sign in", told + _told(note) + "".join(ways))


_LOGIN_FORM: Final = (
    '<form class="fields" method="post" action="/login">'
    '<label for="login">Login</label><input id="login" name="login" value="{login}" autocomplete="username" '
    'autocapitalize="none" autocorrect="off" spellcheck="false" maxlength="256" required>'
    '<label for="password">Password</label><input id="password" name="password" type="password" '
    'autocomplete="current-password" maxlength="1024" required>'
    '<input type="hidden" name="next" value="{onward}"><button class="primary">Sign in</button></form>'
)


def _told(note: str) -> str:
    return f'<p class="trouble" role="alert">{escape(note)}</p>' if note else ""


def tokens(
    login: str,
    listed: list[ListedToken],
    scopes: Iterable[tuple[str, str]],
    *,
    made: MadeToken | None = None,
    note: str = "",
    links: str = "",
) -> bytes:
    """The viewer's tokens, and a form for another.

    :param scopes: what one can be for, with words.
    :param made: shown this once.
    """
    told = _told(note)
    if made is not None:
        opens = "".join(f"<li><strong>{escape(scope)}</strong> {escape(words)}</li>" for scope, words in made.opens)
        told += (
            '<p role="status">Copy this token now; it is not shown again:</p>'
            f'<pre class="secret">{escape(made.text)}</pre><p>It lets a program</p><ul>{opens}</ul>'
        )
    rows = "".join(_token_row(one) for one in listed)
    found = f'<ul class="list">{rows}</ul>' if listed else "<p>None.</p>"
    choices = "".join(
        f'<label class="choice"><input type="checkbox" name="for-{escape(scope)}"> {escape(words)} '
        f'<span class="soft">{escape(scope)}</span></label>'
        for scope, words in scopes
    )
    return page("Access tokens", _ABOUT + told + found + _ANOTHER_FORM.format(choices), login=login, links=links)


_ABOUT: Final = (
    "<p>A token stands for your password in one program, such as a mounted drive: give your login, and the token where "
    "the program asks for a password. It opens what it is for and nothing else, until it expires or you revoke it. "
    "Give each program no more than it needs: who has one for jobs, keys or files can do by it all that you can.</p>"
)
_ANOTHER_FORM: Final = (
    '<h2>New token</h2><form class="fields" method="post" action="/tokens"><input type="hidden" name="do" '
    'value="create"><label for="name">Name</label><input id="name" name="name" maxlength="60" autocomplete="off" '
    'placeholder="laptop"><fieldset><legend>What it lets a program do</legend>{}</fieldset>'
    '<label for="forward">Use the application of the forward</label>'
    '<input id="forward" name="forward" maxlength="255" autocomplete="off" '
    'autocapitalize="none" spellcheck="false" placeholder="alice-api">'
    '<label for="expires">Expires after</label><select id="expires" name="expires"><option value="1d">a day</option>'
    '<option value="7d">a week</option>'
    '<option value="30d" selected>30 days</option><option value="365d">a year</option></select>'
    '<button class="primary">Make a token</button></form>'
)


def _token_row(one: ListedToken) -> str:
    return (
        f'<li><strong>{escape(one.name or one.id)}</strong><span class="soft">{escape(one.scope)}</span>'
        f'<span class="soft">{escape(one.note)}</span><form method="post" action="/tokens">'
        f'<input type="hidden" name="do" value="revoke"><input type="hidden" name="id" value="{escape(one.id)}">'
        f'<button aria-label="Revoke {escape(one.name or one.id)}">Revoke</button></form></li>'
    )


def home(login: str, listed: list[Listed], *, files: str = "", has_tokens: bool = False, links: str = "") -> bytes:
    """The viewer's own listening sockets on this host, each one click away.

    :param files: address of the viewer's files; empty where the portal serves none.
    """
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
    if files:
        body += (
            f'<h2>Your files</h2><p><a href="{escape(files)}">Open them here</a>, or mount them as a drive: any WebDAV '
            "client takes the address of that page, your login and your password or a token.</p>"
        )
    if has_tokens:
        body += '<h2>Programs of yours</h2><p><a href="/tokens">Access tokens</a> for drives and scripts.</p>'
    return page("Your applications", body, login=login, links=links)


def _row(one: Listed) -> str:
    name = escape(one.name)
    link = f'<a href="{escape(one.address)}">{name}</a>'
    note = f'<span class="soft">{escape(one.note)}</span>' if one.note else ""
    return f'<li>{link}<span class="soft"><code>{escape(one.where)}</code></span>{note}</li>'


def origins(login: str, names: list[Name], advice: list[str], *, links: str = "") -> bytes:
    """What browsers need for applications' own origins, and what would be better still."""
    rows = "".join(
        f"<li><strong><code>{escape(one.shown)}</code></strong>"
        + ("".join(f"<span>{escape(words)}</span>" for words in one.lacks) or '<span class="soft">is all right</span>')
        + "</li>"
        for one in names
    )
    about = (
        "Each application has an address of its own below the portal's name, so that none can act for another. "
        "Browsers find them by wildcards in DNS, and trust them by wildcards in the certificate."
    )
    advised = "".join(f"<li>{escape(words)}</li>" for words in advice)
    better = f"<h2>What the site could do</h2><ul>{advised}</ul>" if advised else ""
    body = f'<p>{about}</p><ul class="list">{rows}</ul>{better}'
    return page("Addresses of applications", body, login=login, links=links)


def entered(onward: str, login: str, *, goes_on: bool) -> bytes:
    """On the origin that somebody's applications share, which another's may have been at in this browser before.

    :param onward: path of the application.
    :param goes_on: by itself; else the address is shown, for whoever does not know who led them to it.
    """
    shown = "" if goes_on else f" A link on another website leads to <code>{escape(onward)}</code>."
    body = (
        f"<p>You are signed in as <strong>{escape(login)}</strong>. What applications of somebody else may have left "
        f'in this browser is being cleared.{shown}</p><p><a href="{escape(onward)}">Open the application</a></p>'
        '<p class="soft">Who uses a browser together should use separate profiles.</p>'
    )
    head = f'<meta http-equiv="refresh" content="0; url={escape(onward)}">' if goes_on else ""
    return page("Opening your application", body, home=onward, head=head)


def signed_out() -> bytes:
    """After signing out."""
    return page(
        "Signed out", '<p>You are signed out here and in all your applications.</p><p><a href="/">Sign in</a></p>'
    )
