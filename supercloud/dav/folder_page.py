"""The page that a browser gets for a folder. Everything on it works without a script but what changes something.

Its style and script are the front's (``/.portal/files.css`` and ``files.js``), and so is its Content-Security-Policy,
which lets nothing else run; see `supercloud.routing.own_worker`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, quote

from wsgidav.dav_error import DAVError

from supercloud.dav import archive, failures
from supercloud.dav.failures import StartResponse
from supercloud.dav.guard import Request
from supercloud.dav.provider import modified_of
from supercloud.dav.tree import SAFE, Located, Tree, is_folder
from supercloud.links import HEAD

MOST_ROWS: Final = 20_000  # a browser takes seconds for more; whoever has more uses another client
_PIECE: Final = 200  # rows in one write, about 64 KiB
# What would move the writing direction, end the line or not be seen: a name must look like what it is.
_DECEIVING: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff\ufff9-\ufffb]"
)
_UNITS: Final = ("kB", "MB", "GB", "TB", "PB", "EB")
_COLUMNS: Final = (("name", "Name"), ("size", "Size"), ("time", "Changed"))
_FIELDS: Final = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "same-origin"),
    ("Vary", "Accept"),
]
_FOOT: Final = """</tbody></table>{note}</main>
<dialog id="naming" aria-labelledby="naming-title"><form method="dialog">
<h2 id="naming-title"></h2><label>Name <input id="naming-name" required maxlength="255" autocomplete="off"
 autocapitalize="off" spellcheck="false"></label>
<div class="buttons"><button value="go" class="primary">Save</button>
<button type="button" data-close>Cancel</button></div>
</form></dialog>
<dialog id="acting" aria-labelledby="acting-title"><form method="dialog">
<h2 id="acting-title"></h2><div class="buttons column"><a id="acting-open" class="button">Open</a>
<button value="rename">Rename…</button><button value="delete" class="danger">Delete…</button>
<button type="button" data-close>Close</button></div>
</form></dialog>
<dialog id="asking" aria-labelledby="asking-text"><form method="dialog">
<p id="asking-text"></p><label id="asking-all" hidden><input type="checkbox"> and the same for all others</label>
<div class="buttons"><button type="button" data-close autofocus>Cancel</button>
<button id="asking-go" value="go" class="danger"></button></div>
</form></dialog>
</body></html>
"""
_FAILURE: Final = (
    '<!doctype html><html lang="en"><head>{head}<title>{phrase} · Files</title></head><body>'
    '<header><a href="/">SuperCloud portal</a>{links}<span class="soft">{login}</span></header>'
    "<main><h1>{phrase}</h1><p>{words}</p>"
    '<p><a href="/dav/~/">To your home folder</a></p></main></body></html>\n'
)


class Row(NamedTuple):
    """:ivar modified: seconds since 1970."""

    is_folder: bool
    name: str
    size: int
    modified: int


def is_wanted(environ: Mapping[str, Any]) -> bool:
    """Whether a person looks at it. Windows' WebDAV client, which accepts whatever a browser does, says Translate."""
    return "text/html" in environ.get("HTTP_ACCEPT", "") and "HTTP_TRANSLATE" not in environ


def answer_failure(start_response: StartResponse, error: DAVError, environ: Mapping[str, Any]) -> Iterable[bytes]:
    """Tell a person what went wrong. Where a file would be, the page has no style, as a file is let load nothing."""
    status = int(error.value)
    if status == HTTPStatus.NOT_MODIFIED:
        return failures.answer(start_response, error)
    phrase, words = HTTPStatus(status).phrase, error.context_info or HTTPStatus(status).description
    head = HEAD if environ["PATH_INFO"].endswith("/") else ""
    links, login = environ.get("supercloud.links", ""), shown(str(environ.get("REMOTE_USER", "")))
    body = _FAILURE.format(head=head, links=links, login=login, phrase=phrase, words=escape(str(words))).encode()
    fields = [*_FIELDS, ("Content-Length", str(len(body)))]
    start_response(failures.status_line(status), fields + list(error.add_headers or []))
    return [body]


def answer(tree: Tree, request: Request, start_response: Callable[..., Any], *, is_writable: bool) -> Iterable[bytes]:
    """Answer GET or HEAD.

    :raises OSError: as the kernel says.
    """
    environ = request.environ
    href = request.href(request.located, folder=True)
    if not environ["PATH_INFO"].endswith("/"):
        # Links on the page are relative to the folder.
        start_response("308 Permanent Redirect", [("Location", href), ("Vary", "Accept"), ("Content-Length", "0")])
        return []
    if request.method == "HEAD":
        start_response("200 OK", list(_FIELDS))
        return []
    by, is_down = _order(environ.get("QUERY_STRING", ""))
    rows, is_cut = _rows(tree, request.located)
    _sort(rows, by, is_down=is_down)
    start_response("200 OK", list(_FIELDS))
    return _page(request, rows, by, is_cut=is_cut, is_down=is_down, is_writable=is_writable)


def shown(name: str) -> str:
    """A name as text of the page: escaped, on one line, in reading order."""
    return escape(_DECEIVING.sub("\ufffd", name))


def size_text(size: int) -> str:
    """Bytes for people: three figures and a unit."""
    if size < 1000:
        return f"{size} B"
    value, unit = size / 1000, 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if value < 99.95 else f"{value:.0f} {_UNITS[unit]}"


def _order(query: str) -> tuple[str, bool]:
    try:
        said = parse_qs(query, max_num_fields=8)
    except ValueError:
        return "name", False
    by = said.get("by", ["name"])[0]
    return (by, said.get("down") == ["1"]) if by in dict(_COLUMNS) else ("name", False)


def _rows(tree: Tree, located: Located) -> tuple[list[Row], bool]:
    """What is in a folder, and whether there is more."""
    rows: list[Row] = []
    for entry in tree.children(located):
        status = tree.member(located, entry)
        if status is None:
            continue
        if len(rows) == MOST_ROWS:
            return rows, True
        rows.append(Row(is_folder(status), entry.name, status.st_size, modified_of(status)))
    return rows, False


def _sort(rows: list[Row], by: str, *, is_down: bool) -> None:
    """Folders come first, whatever the order."""
    rows.sort(key=lambda row: (row.name.casefold(), row.name), reverse=is_down)
    if by == "size":
        rows.sort(key=lambda row: 0 if row.is_folder else row.size, reverse=is_down)
    elif by == "time":
        rows.sort(key=lambda row: row.modified, reverse=is_down)
    rows.sort(key=lambda row: not row.is_folder)


def _page(
    request: Request, rows: list[Row], by: str, *, is_cut: bool, is_down: bool, is_writable: bool
) -> Iterator[bytes]:
    parts = [_head(request, by, is_down=is_down, is_writable=is_writable)]
    if not request.located.is_root:
        parts.append('<tr class="up"><td colspan="4"><a href="../">Up one folder</a></td></tr>\n')
    if not rows:
        parts.append('<tr class="none"><td colspan="4">This folder is empty.</td></tr>\n')
    for start in range(0, len(rows), _PIECE):
        parts += map(_row, rows[start : start + _PIECE])
        yield "".join(parts).encode()
        parts = []
    note = f"<p>There is more than these {MOST_ROWS:,} entries. A mounted drive shows all.</p>" if is_cut else ""
    parts.append(_FOOT.format(note=note))
    yield "".join(parts).encode()


def _head(request: Request, by: str, *, is_down: bool, is_writable: bool) -> str:
    crumbs, name = _crumbs(request)
    login = shown(str(request.environ.get("REMOTE_USER", "")))
    links = request.environ.get("supercloud.links", "")
    tools = (
        '<div id="tools" hidden><button id="upload" class="primary">Upload files…</button>'
        '<input id="picked" type="file" multiple hidden aria-label="Files to upload">'
        '<button id="make">New folder…</button><span class="soft only-wide">or drop files on this page</span></div>'
        '<ul id="uploads" class="list" aria-label="Uploads" hidden></ul>'
        if is_writable
        else '<p class="soft">You cannot change what is in this folder.</p>'
    )
    if not request.located.is_root:
        whole = escape(f"{request.href(request.located, folder=False)}?{archive.ASKED}")
        tools += f'<p class="soft"><a href="{whole}">Download all of it</a> (.tar)</p>'
    headings = "".join(_heading(column, label, by, is_down=is_down) for column, label in _COLUMNS)
    return (
        f'<!doctype html><html lang="en"><head>{HEAD}<title>{name} · Files</title>'
        '<link rel="stylesheet" href="/.portal/files.css"><script type="module" src="/.portal/files.js"></script>'
        '</head><body><a class="skip" href="#main">To the content</a><header><a href="/">SuperCloud portal</a>'
        f'{links}<span class="soft">{login}</span></header><main id="main">'
        f'<nav aria-label="Folders above"><ol class="crumbs">{crumbs}</ol></nav><h1><bdi>{name}</bdi></h1>{tools}'
        '<p id="said" role="status"></p>'
        f'<table class="files"><thead><tr>{headings}'
        '<th scope="col" class="act"><span class="unseen">Actions</span></th>'
        '</tr></thead><tbody id="rows">\n'
    )


def _crumbs(request: Request) -> tuple[str, str]:
    """Links to the folders above, and this one's name; both escaped."""
    above, at = [], request.located
    while not at.is_root:
        at = at.parent
        above.append(at)
    links = [
        f'<li><a href="{escape(request.href(one, folder=True))}"><bdi>{_title(one)}</bdi></a></li>'
        for one in reversed(above)
    ]
    return "".join(links), _title(request.located)


def _title(located: Located) -> str:
    if located.name:
        return shown(located.name)
    address = located.root.address
    return {"/": "All files", "/~": "Home"}.get(address) or shown(address.strip("/"))


def _heading(column: str, label: str, by: str, *, is_down: bool) -> str:
    is_sorted = column == by
    sorted_now = f' aria-sort="{"descending" if is_down else "ascending"}"' if is_sorted else ""
    down = "&amp;down=1" if is_sorted and not is_down else ""
    return f'<th scope="col" class="{column}"{sorted_now}><a href="?by={column}{down}">{label}</a></th>'


def _row(row: Row) -> str:
    at = time.gmtime(row.modified)
    when = f"{at.tm_year:04}-{at.tm_mon:02}-{at.tm_mday:02} {at.tm_hour:02}:{at.tm_min:02}"
    # "./" as a name with a colon would look like a scheme.
    href = "./" + quote(os.fsencode(row.name), safe=SAFE) + ("/" if row.is_folder else "")
    size = "" if row.is_folder else f'<span title="{row.size:,} bytes">{size_text(row.size)}</span>'
    kind = "folder" if row.is_folder else "file"
    return (
        f'<tr class="{kind}"><td class="name"><a href="{href}"><bdi>{shown(row.name)}</bdi></a></td>'
        f'<td class="size">{size}</td>'
        f'<td class="time"><time datetime="{when.replace(" ", "T")}Z">{when} UTC</time></td>'
        '<td class="act"></td></tr>\n'
    )
