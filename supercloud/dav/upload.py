"""PUT: whole, or in pieces that may be resumed.

Pieces, by ``Content-Range: bytes FIRST-LAST/TOTAL`` (RFC 9110 section 14.5 lets a server define this for PUT):

- The first piece begins at 0 and starts anew. Each further one begins where the one before ended. One that begins
  elsewhere is refused with 409. Every answer says in ``Upload-Offset`` how many bytes are there.
- What arrived of a piece that broke off is kept.
- ``Content-Range: bytes */TOTAL`` with an empty body asks how far it is: 202 with ``Upload-Offset``.
- ``curl -C OFFSET -T FILE`` sends the rest that way.
- A piece that is not the last is answered 202. The last one makes the file, all at once, and is answered as any PUT;
  conditions, ``X-OC-Mtime`` and ``OC-Checksum`` (of the whole file) count then. The old file is whole until then.
- Pieces lie beside the target under a part's name, and are removed when nothing was added for a day.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from supercloud.dav import failures
from supercloud.dav.body import BLOCK, Body, CutShort
from supercloud.dav.checksum import BadChecksum, Checksum
from supercloud.dav.failures import Fields, StartResponse, refused
from supercloud.dav.guard import Guard, Request
from supercloud.dav.methods import stamp_of
from supercloud.dav.part import resumable_name
from supercloud.dav.provider import etag_of
from supercloud.dav.tree import Landing, Tree, is_folder
from supercloud.dav.writing import Claim, Draft, IsFolder

_PIECE: Final = re.compile(r"bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18})", re.ASCII | re.IGNORECASE)

_TRIES: Final = 5  # to replace a file that others replace at the same time


@dataclass(frozen=True, slots=True)
class Piece:
    """A Content-Range: bytes ``first`` to before ``end``; both None asks how far it is."""

    first: int | None
    end: int | None
    total: int

    @classmethod
    def parse(cls, field: str) -> Piece:
        """Read the field.

        :raises DAVError: 400.
        """
        found = _PIECE.fullmatch(field.strip())
        if found is None:
            raise refused(HTTPStatus.BAD_REQUEST, "Content-Range cannot be read.")
        total = int(found[3])
        if found[1] is None:
            return cls(None, None, total)
        first, end = int(found[1]), int(found[2]) + 1
        if not first < end <= total:
            raise refused(HTTPStatus.BAD_REQUEST, "Content-Range does not fit into the whole.")
        return cls(first, end, total)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to come of the bytes.

    :ivar stamp: the time of the last change, in nanoseconds.
    :ivar claim: on the file that they replace.
    """

    stamp: int | None
    checksum: Checksum
    claim: Claim | None


class Upload:
    """PUT for one worker."""

    def __init__(self, tree: Tree, guard: Guard) -> None:
        self._tree = tree
        self._guard = guard
        self._busy: set[tuple[int, str]] = set()
        self._busy_lock = threading.Lock()

    def put(self, request: Request, start_response: StartResponse, body: Body) -> Iterable[bytes]:
        """Answer PUT (RFC 9110 section 9.3.4, RFC 4918 section 9.7).

        :raises DAVError: 400, 405, 409, 412, 413, 423, 507.
        """
        environ = request.environ
        if request.is_folder:
            raise refused(HTTPStatus.METHOD_NOT_ALLOWED, "There is a folder of this name.", fields=[("Allow", "GET")])
        if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
            raise refused(HTTPStatus.NOT_IMPLEMENTED, "Send it without Content-Encoding.")
        stamp = stamp_of(request)
        checksum = checksum_of(environ.get("HTTP_OC_CHECKSUM"))
        self._guard.check_conditions(request, request.status)
        check_parent(self._tree, request)
        if request.status is None:
            self._guard.check_locks(request, request.located.parent)
        with self._guard.writing(request, request.located, request.status) as claim:
            wanted = Wanted(stamp, checksum, claim)
            if "HTTP_CONTENT_RANGE" in environ:
                return self._put_piece(request, start_response, body, wanted)
            with self.draft(request) as draft:
                check_room(draft.handle, body.length)
                for block in _arriving(body):
                    draft.write(block)
                    checksum.update(block)
                return self.finish(request, start_response, draft, wanted)

    def draft(self, request: Request, resume: str | None = None) -> Draft:
        """The content to be of what the request is for.

        :raises DAVError: 405 when that is a folder.
        """
        try:
            return Draft(self._tree, request.located, resume=resume)
        except IsFolder:
            raise refused(HTTPStatus.METHOD_NOT_ALLOWED, "There is a folder of this name.") from None

    def finish(self, request: Request, start_response: StartResponse, draft: Draft, wanted: Wanted) -> Iterable[bytes]:
        """Let the draft be the file, if all is as the client said, and answer.

        :raises DAVError: 400, 405, 412, 423, 503.
        """
        try:
            wanted.checksum.check()
        except BadChecksum as error:
            raise refused(HTTPStatus.BAD_REQUEST, f"Other bytes came than were sent: {error}") from error
        if wanted.stamp is not None:
            draft.stamp(wanted.stamp)
        # The upload may have taken an hour: what the client expected is held against what is there now.
        self._guard.check_conditions(request, self._tree.stat_or_none(request.located))
        try:
            status = self._commit(request, draft, wanted.claim)
        except IsFolder:
            raise refused(HTTPStatus.METHOD_NOT_ALLOWED, "There is a folder of this name now.") from None
        return _written(start_response, status, created=draft.old is None, stamped=wanted.stamp is not None)

    def _commit(self, request: Request, draft: Draft, claim: Claim | None, tries: int = _TRIES) -> os.stat_result:
        if claim is None:
            self._guard.check_locks(request, request.located.parent)  # once more, as the upload may have taken an hour
        try:
            return draft.commit(claim)
        except FileExistsError:
            if claim is None and request.environ.get("HTTP_IF_NONE_MATCH", "").strip() == "*":
                raise refused(HTTPStatus.PRECONDITION_FAILED, "There is something of this name now.") from None
            if not tries:
                raise
        # Somebody made or replaced it in the meantime, and may have locked it.
        status = self._tree.stat_or_none(request.located)
        with self._guard.writing(request, request.located, status) as late:
            return self._commit(request, draft, late, tries - 1)

    def _put_piece(
        self,
        request: Request,
        start_response: StartResponse,
        body: Body,
        wanted: Wanted,
    ) -> Iterable[bytes]:
        piece = Piece.parse(request.environ["HTTP_CONTENT_RANGE"])
        with self._tree.followed(request.located) as landing:
            name = resumable_name(landing.name, piece.total)
            there = _size(landing, name)
            if piece.first is None or piece.end is None:
                return _so_far(start_response, there)
            if body.length is not None and body.length != piece.end - piece.first:
                raise refused(HTTPStatus.BAD_REQUEST, "Content-Range and Content-Length differ.")
            with self._alone(landing, name):
                if piece.first not in (0, there):
                    raise refused(HTTPStatus.CONFLICT, f"Go on from byte {there}.", fields=_offset(there))
                with self.draft(request, resume=name) as draft:
                    self._receive(draft.handle, piece.first, piece.end, body)
                    if piece.end < piece.total:
                        return _so_far(start_response, piece.end)
                    if wanted.checksum:
                        add_up(draft.handle, wanted.checksum)
                    return self.finish(request, start_response, draft, wanted)

    def _receive(self, handle: int, first: int, end: int, body: Body) -> None:
        """Append a piece; what arrived of a broken one stays."""
        check_room(handle, end - first)
        os.ftruncate(handle, first)
        at = first
        for block in _arriving(body):
            if at + len(block) > end:
                raise refused(HTTPStatus.BAD_REQUEST, "More came than Content-Range says.", fields=_offset(at))
            while block:
                written = os.pwrite(handle, block, at)
                block, at = block[written:], at + written
        if at != end:
            raise refused(HTTPStatus.BAD_REQUEST, "Less came than Content-Range says.", fields=_offset(at))

    @contextmanager
    def _alone(self, landing: Landing, name: str) -> Iterator[None]:
        """One request at a time for one upload.

        :raises DAVError: 409.
        """
        key = os.fstat(landing.folder).st_ino, name
        with self._busy_lock:
            if key in self._busy:
                raise refused(HTTPStatus.CONFLICT, "Another piece of this is being sent just now.")
            self._busy.add(key)
        try:
            yield
        finally:
            with self._busy_lock:
                self._busy.discard(key)


def check_parent(tree: Tree, request: Request) -> None:
    """The folder must be there (RFC 4918 section 9.7.1).

    :raises DAVError: 409.
    """
    parent = tree.stat_or_none(request.located.parent)
    if parent is None or not is_folder(parent):
        raise refused(HTTPStatus.CONFLICT, "The folder that should hold it is not there.")


def check_room(handle: int, length: int | None) -> None:
    """Say so before gigabytes are sent in vain. A quota is only seen when it is hit.

    :raises DAVError: 507.
    """
    told = os.fstatvfs(handle)
    if length and told.f_blocks and length > told.f_bavail * told.f_frsize:
        raise refused(HTTPStatus.INSUFFICIENT_STORAGE, "The file system has no room for it. Nothing was changed.")


def checksum_of(field: str | None) -> Checksum:
    """What the client says that the bytes add up to.

    :raises DAVError: 400 when it cannot be read.
    """
    try:
        return Checksum(field)
    except BadChecksum as error:
        raise refused(HTTPStatus.BAD_REQUEST, str(error)) from error


def _arriving(body: Body) -> Iterator[memoryview]:
    """The body's blocks.

    :raises DAVError: 400 when it breaks off. Hardly anybody is there to read it.
    """
    try:
        yield from body.blocks()
    except CutShort as error:
        raise refused(HTTPStatus.BAD_REQUEST, f"The upload broke off: {error}") from error


def _size(landing: Landing, name: str) -> int:
    try:
        return os.stat(name, dir_fd=landing.folder, follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def add_up(handle: int, checksum: Checksum) -> None:
    """Add up a whole file."""
    offset = 0
    while block := os.pread(handle, BLOCK, offset):
        checksum.update(block)
        offset += len(block)


def _offset(there: int) -> Fields:
    return [("Upload-Offset", str(there))]


def _so_far(start_response: StartResponse, there: int) -> Iterable[bytes]:
    start_response("202 Accepted", [*_offset(there), ("Content-Length", "0")])
    return []


def _written(start_response: StartResponse, status: os.stat_result, *, created: bool, stamped: bool) -> Iterable[bytes]:
    tag = f'"{etag_of(status)}"'
    fields = [("ETag", tag), ("OC-ETag", tag)]
    if created:
        fields.append(("Content-Length", "0"))
    if stamped:
        fields.append(("X-OC-MTime", "accepted"))
    start_response(failures.status_line(HTTPStatus.CREATED if created else HTTPStatus.NO_CONTENT), fields)
    return []
