"""GET and HEAD: ranges, conditions, and the bytes of a file."""

from __future__ import annotations

import email.utils
import io
import os
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final
from wsgiref.util import FileWrapper

from supercloud.dav import archive, failures, folder_page
from supercloud.dav.body import BLOCK
from supercloud.dav.conditions import range_applies
from supercloud.dav.failures import Fields, StartResponse
from supercloud.dav.guard import Guard, Request, state_of
from supercloud.dav.kernel import close_read
from supercloud.dav.provider import content_type, etag_of, modified_of
from supercloud.dav.tree import Tree, is_folder

_RANGE: Final = re.compile(r"\s*(\d{1,19})\s*-\s*(\d{1,19})?\s*|\s*-\s*(\d{1,19})\s*", re.ASCII)
_PDF: Final = "application/pdf"
_FOLDER: Final = b"This is a folder. Open it with a WebDAV client.\n"


class Truncated(OSError):
    """A file became shorter while it was sent; the connection is closed, so that the client notices."""


class Part(io.FileIO):
    """A part of a file, which a server sends from its descriptor (``wsgi.file_wrapper``), or reads piece by piece.

    :param handle: a descriptor opened for reading, which is closed with this.
    """

    def __init__(self, handle: int, offset: int, length: int) -> None:
        super().__init__(handle, closefd=False)
        self._end = offset + length
        if offset:
            self.seek(offset)

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes; none at the part's end.

        :raises Truncated: the file ended before.
        """
        at = self.tell()
        left = self._end - at
        block = os.pread(self.fileno(), left if size is None or size < 0 else min(size, left), at)
        if left and size and not block:
            raise Truncated(f"{left} bytes are missing")
        self.seek(at + len(block))
        return block

    def close(self) -> None:
        """Called by the server, also when the client left."""
        if not self.closed:
            handle = self.fileno()
            super().close()
            close_read(handle)


def read(tree: Tree, guard: Guard, request: Request, start_response: StartResponse) -> Iterable[bytes]:
    """Answer GET or HEAD.

    :raises DAVError: 304, 403, 404, 412, 416.
    :raises OSError: as the kernel says.
    """
    handle, status = tree.opened(request.located, os.O_RDONLY)
    is_handed_on = False
    try:
        guard.check_conditions(request, status, reads=True)
        if is_folder(status):
            return _read_folder(tree, request, start_response, handle)
        if request.environ["PATH_INFO"].endswith("/"):
            # To the front and to browsers such an address is a folder's: a page of the portal's own, not a file.
            raise failures.refused(HTTPStatus.NOT_FOUND, "There is no folder of this name.")
        offset, length, fields = _part(request, status)
        status_line = "206 Partial Content" if fields else "200 OK"
        kind = content_type(request.located.name)
        if kind == _PDF:
            # The front lets no browser run what is in a file, and their viewers show no PDF then; so it is saved.
            fields.append(("Content-Disposition", "attachment"))
        fields += [
            ("Content-Length", str(length)),
            ("Content-Type", kind),
            ("ETag", f'"{etag_of(status)}"'),
            ("Last-Modified", email.utils.formatdate(modified_of(status), usegmt=True)),
            ("Accept-Ranges", "bytes"),
        ]
        start_response(status_line, fields)
        is_handed_on = request.method == "GET" and length > 0
    finally:
        if not is_handed_on:
            close_read(handle)
    if not is_handed_on:
        return []
    wrapper: Callable[..., Iterable[bytes]] = request.environ.get("wsgi.file_wrapper", FileWrapper)
    return wrapper(Part(handle, offset, length), BLOCK)


def _read_folder(tree: Tree, request: Request, start_response: StartResponse, handle: int) -> Iterable[bytes]:
    environ = request.environ
    if environ.get("QUERY_STRING") == archive.ASKED:
        start_response("200 OK", archive.fields_of(request.located))
        return archive.archive(tree, request.located) if request.method == "GET" else []
    if folder_page.is_wanted(request.environ):
        is_writable = os.access(f"/proc/self/fd/{handle}", os.W_OK | os.X_OK)
        return folder_page.answer(tree, request, start_response, is_writable=is_writable)
    kind = ("Content-Type", "text/plain; charset=utf-8")
    start_response("200 OK", [kind, ("Vary", "Accept"), ("Content-Length", str(len(_FOLDER)))])
    return [_FOLDER] if request.method == "GET" else []


def _part(request: Request, status: os.stat_result) -> tuple[int, int, Fields]:
    """Where to begin, how much to send, and the Content-Range when it is a part (RFC 9110 section 14).

    Several ranges are answered with the whole file, as section 14.2 allows; so is one that cannot be read.

    :raises DAVError: 416.
    """
    size = status.st_size
    whole: tuple[int, int, Fields] = 0, size, []
    wanted = request.environ.get("HTTP_RANGE")
    if wanted is None or request.method != "GET":
        return whole
    unit, _, text = wanted.partition("=")
    found = _RANGE.fullmatch(text)
    if unit.strip().lower() != "bytes" or found is None:
        return whole
    if not range_applies(request.environ.get("HTTP_IF_RANGE"), state_of(status)):
        return whole
    first, last = _bounds(found, size)
    if found[3] is None and found[2] is not None and int(found[2]) < int(found[1]):
        return whole
    if first >= size or last < first:
        fields = [("Content-Range", f"bytes */{size}")]
        raise failures.refused(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "It ends before this range.", fields=fields)
    return first, last - first + 1, [("Content-Range", f"bytes {first}-{last}/{size}")]


def _bounds(found: re.Match[str], size: int) -> tuple[int, int]:
    if found[3] is not None:
        length = int(found[3])
        return (max(0, size - length), size - 1) if length else (size, size - 1)
    return int(found[1]), size - 1 if found[2] is None else min(int(found[2]), size - 1)
