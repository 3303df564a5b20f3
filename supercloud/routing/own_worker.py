"""The fields of a request on its way to its viewer's worker, and of the worker's answer.

The worker is the portal's own program, but it runs as the user, who may do anything to it: it is told no credential,
and what it answers binds the portal's origin no more than an application's answer does.

**Files are inert.** What alice looks at below ``/dav/`` may be bob's, and it comes from the portal's own origin, where
a script could do everything that alice can. So the front, and not the worker, says what may run:

- An address that ends with a slash is a folder's. The page for it is the portal's own and has the portal's own script,
  which is named by its whole address: ``'self'`` would let ``/dav/…/evil.js`` run too. The worker answers no such
  address with a file. If one could be had there all the same, what it says could not run, send a form or load a frame;
  it could bring the portal's script only, which does nothing that nobody clicks on. What is no HTML there (a folder as
  one file, to be saved) is as inert as a file.
- Anywhere else it is a file: in a sandbox, that is, without scripts, forms and pop-ups, and as an origin of its own, so
  that what it asks for counts as another site's (`supercloud.authn.provenance`). It loads nothing from anywhere.
- Kinds that cannot run are not put into a sandbox, as browsers fetch sound and film in a second request, which would be
  another site's then. They may load themselves and nothing else. PDF is not one of them: it has scripts and forms of
  its own, and is saved instead of shown.
- ``nosniff`` holds browsers to the kind that was said. No page may have a file as a script, a style or a frame,
  whatever that page's own policy says (`check_use`).

**Pages** are HTML at the addresses of the workspace (``/``, ``/launch``, …). No file of anybody's is served there, and
yet a page may not do more than its kind needs: run ``/.portal/workspace.js``, ask its own origin, send forms to it (or
on to an application, where a redirect leads). What is no HTML there, and all that is below ``/api``, is as inert as a
file.

**Nothing stays** for whoever signs in with the same browser next, at the same addresses: of the worker's fields only
those of a list pass, no cache keeps a page, and one that keeps a file asks again, and does not show it to another
session (``Vary``).

A worker that was taken over by its own user answers what it likes to that user alone, who could do all of it anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from supercloud.errors import BadAddress, NotPassive
from supercloud.message.claims import USUAL, Claims
from supercloud.message.fields import HOP_BY_HOP, line
from supercloud.message.head import CHUNKED, Field, RequestHead, ResponseHead
from supercloud.message.paths import has_dots
from supercloud.notice import FIELD

_TELLS: Final = frozenset({FIELD.lower().encode("ascii")})
_DROPPED: Final = HOP_BY_HOP | _TELLS | {b"content-length", b"authorization", b"cookie", b"x-request-id", b"via"}
_PREFIX: Final = b"/dav"
_API: Final = b"api"
# First segments of the workspace's addresses; the empty one is that of ``/``.
_WORKSPACE: Final = frozenset({b"", b"launch", b"jobs", b"forwards", b"keys", _API})
# Of a worker's fields, what passes beside those of the framing: what tells about the content and nothing else.
_PAGE_FIELDS: Final = frozenset(
    b"content-length content-type content-disposition content-language content-encoding content-range accept-ranges "
    b"location allow retry-after etag last-modified vary".split()
)
_FILE_FIELDS: Final = _PAGE_FIELDS | frozenset(
    b"date dav ms-author-via lock-token preference-applied upload-offset oc-etag x-oc-mtime".split()
)
# What a browser may do with a file (Fetch section 2.2.5): go to it, fetch it, show or play it.
_USES: Final = frozenset({b"document", b"empty", b"image", b"audio", b"video"})
# SVG is not among them, as it has scripts.
_PASSIVE: Final = re.compile(
    rb"(?:text/plain|audio/[\w.+-]+|video/[\w.+-]+|image/(?:png|jpeg|gif|webp|avif|bmp|tiff|x-icon|vnd\.microsoft\.icon))"
    rb"(?:\s*;\s*charset=[\w-]+)?",
    re.IGNORECASE,
)
_NOTHING: Final = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_FILE_POLICY: Final = b"sandbox; " + _NOTHING + b"; style-src 'unsafe-inline'; img-src data:; font-src data:"
_PASSIVE_POLICY: Final = _NOTHING + b"; style-src 'unsafe-inline'; img-src 'self'; media-src 'self'"
_PAGE_POLICY: Final = (
    _NOTHING + b"; script-src https://%b/.portal/files.js; style-src https://%b/.portal/; "
    b"img-src https://%b/.portal/icon.svg; connect-src 'self'"
)
_WORKSPACE_POLICY: Final = (
    b"default-src 'none'; base-uri 'none'; frame-ancestors 'none'; script-src https://%b/.portal/workspace.js; "
    b"style-src https://%b/.portal/; img-src 'self' data:; connect-src 'self'; form-action %b"
)
_HTML: Final = re.compile(rb"text/html(?:\s*;\s*charset=[\w-]+)?", re.IGNORECASE)
_NEVER_KEPT: Final = b"Cache-Control: no-store\r\n"
_FOLDER_ALWAYS: Final = _NEVER_KEPT + b"Referrer-Policy: same-origin\r\n"
# The portal's name goes with links to applications, and no path: see provenance.hold_together.
_PAGE_ALWAYS: Final = _NEVER_KEPT + b"Referrer-Policy: strict-origin-when-cross-origin\r\n"
_FILE_ALWAYS: Final = b"Cache-Control: private, no-cache\r\nVary: Cookie\r\n"
_ALWAYS: Final = b"X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n"


def leads_to_worker(path: bytes) -> bool:
    """Whether a path on the portal's own origin is answered by its viewer's worker."""
    return is_of_files(path) or is_of_workspace(path)


def is_of_files(path: bytes) -> bool:
    """Whether it is an address of files."""
    return path == _PREFIX or path.startswith(_PREFIX + b"/")


def is_of_workspace(path: bytes) -> bool:
    """Whether it is an address of the workspace's pages or of the API; read literally."""
    first, slash, _ = path[1:].partition(b"/")
    return first in _WORKSPACE and (first != b"" or slash == b"")


def check_path(path: bytes) -> None:
    """Refuse an address of the workspace that whoever resolves it could take for another one.

    :raises BadAddress: it has dots as a segment, in any spelling.
    """
    if is_of_workspace(path) and has_dots(path):
        raise BadAddress(f"path {path[:100]!r}")


def check_use(head: RequestHead) -> None:
    """Refuse a browser that wants a file as a part of a page.

    :raises NotPassive: says as which.
    """
    use = head.get(b"sec-fetch-dest")
    if use is not None and use not in _USES:
        raise NotPassive(f"Sec-Fetch-Dest {use[:20]!r}")


def inward(head: RequestHead, *, address: str, notices: bytes = b"", claims: Claims = USUAL) -> bytes:
    """The head that the worker gets: the target and ``Host`` as the browser wrote them, for ``Destination`` names them.

    :param address: the browser's.
    :param notices: the line that tells pages what the site tells everybody.
    :param claims: what is not believed.
    """
    out = [b"%b %b HTTP/1.1\r\n" % (head.method, head.target)]
    out += _inward_lines(head.fields, head.options, claims)
    if head.length == CHUNKED:
        out.append(b"Transfer-Encoding: chunked\r\n")
    elif head.length or b"content-length" in head.first:
        out.append(b"Content-Length: %d\r\n" % head.length)
    if not is_of_files(head.path):
        out.append(notices)
    out.append(b"X-Forwarded-Proto: https\r\nX-Forwarded-For: %b\r\n\r\n" % address.encode("ascii"))
    return b"".join(out)


def _inward_lines(fields: Iterable[Field], options: tuple[bytes, ...], claims: Claims) -> list[bytes]:
    """What the worker gets of a request's fields, or of its trailers; no cookies, as it sets none."""
    return [
        line(name, value)
        for lower, name, value in fields
        if not (lower in _DROPPED or lower in options or claims.hold(lower))
    ]


def outward(head: ResponseHead, *, path: bytes, host: bytes, applications: Sequence[str] = ()) -> bytes:
    """The field lines that the browser gets, without those of the framing.

    :param path: that was asked for.
    :param host: the portal's, as the browser knows it.
    :param applications: their origins, as a policy names them: a page's form may lead on to one.
    """
    kept = b"".join(_outward_lines(head.fields, path))
    if is_of_workspace(path):
        return kept + _page_policy(head, path=path, host=host, applications=applications)
    said = line(b"Content-Security-Policy", policy(head, path=path, host=host))
    return kept + said + _ALWAYS + _keeping(head, path)


def _outward_lines(fields: Iterable[Field], path: bytes) -> list[bytes]:
    """What the browser gets of an answer's fields, or of its trailers."""
    names = _PAGE_FIELDS if is_of_workspace(path) else _FILE_FIELDS
    return [line(name, value) for lower, name, value in fields if lower in names]


@dataclass(frozen=True, slots=True)
class Trailers:
    """Which trailers pass: those that would in the head of their message; see relay.http.Trailing.

    :ivar options: of the request's connection.
    """

    path: bytes
    options: tuple[bytes, ...]
    claims: Claims

    def inward(self, trailers: tuple[Field, ...]) -> list[bytes]:
        """Those of the request."""
        return _inward_lines(trailers, self.options, self.claims)

    def outward(self, trailers: tuple[Field, ...], head: ResponseHead) -> list[bytes]:
        """Those of an answer with such a head."""
        return _outward_lines(trailers, self.path)


def _keeping(head: ResponseHead, path: bytes) -> bytes:
    """What a browser's cache may do with what is below ``/dav/``."""
    if path.endswith(b"/"):
        return _FOLDER_ALWAYS
    is_never_kept = any(lower == b"cache-control" and b"no-store" in value for lower, _, value in head.fields)
    return _NEVER_KEPT if is_never_kept else _FILE_ALWAYS


def policy(head: ResponseHead, *, path: bytes, host: bytes) -> bytes:
    """What the browser may let an answer do (Content Security Policy Level 3)."""
    if path.endswith(b"/") and _is_of_kind(head, _HTML):
        return _PAGE_POLICY % (host, host, host)
    return _inert_policy(head)


def _inert_policy(head: ResponseHead) -> bytes:
    return _PASSIVE_POLICY if _is_of_kind(head, _PASSIVE) else _FILE_POLICY


def _is_of_kind(head: ResponseHead, kind: re.Pattern[bytes]) -> bool:
    kinds = [value for lower, _, value in head.fields if lower == b"content-type"]
    return len(kinds) == 1 and kind.fullmatch(kinds[0]) is not None


def _page_policy(head: ResponseHead, *, path: bytes, host: bytes, applications: Sequence[str]) -> bytes:
    if path.split(b"/", 2)[1] != _API and _is_of_kind(head, _HTML):
        # Chromium holds redirects that follow a form against form-action too.
        forms = " ".join(["'self'", *applications]).encode("ascii")
        said = _WORKSPACE_POLICY % (host, host, forms)
    else:
        said = _inert_policy(head)
    return line(b"Content-Security-Policy", said) + _ALWAYS + _PAGE_ALWAYS
