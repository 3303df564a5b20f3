"""Chunked uploads as ownCloud and Nextcloud define them, and rclone sends them (vendor = nextcloud).

The client makes a folder in ``/uploads/LOGIN``, puts chunks into it, and moves ``.file`` in it to where the file shall
be; that puts the chunks together in the order of their names and removes the folder. rclone finds that address by
cutting ``/dav/files/LOGIN`` out of its URL, so its remote is ``https://PORTAL/dav/files/LOGIN``, which leads to the
home. The chunks lie in the home's cache folder, because the target is not known yet when they come; uploads to which
nothing was added for a day are removed when the next one begins.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from supercloud.dav.failures import StartResponse, refused
from supercloud.dav.guard import Guard, Request
from supercloud.dav.methods import destination, stamp_of
from supercloud.dav.part import ABANDONED
from supercloud.dav.removing import remove
from supercloud.dav.tree import Located, NotServed, Tree
from supercloud.dav.upload import Upload, Wanted, add_up, check_parent, check_room, checksum_of
from supercloud.dav.writing import copy_range
from supercloud.own_folder import make_own_folder

_WHOLE: Final = ".file"
_SPAN: Final = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk; its name says its place, as a number or as first and last byte."""

    name: str
    size: int

    @property
    def place(self) -> tuple[int, str]:
        """What chunks are sorted by."""
        number = _NUMBER.match(self.name)
        return (int(number[0]) if number else 0), self.name

    @property
    def first(self) -> int | None:
        """Its first byte's place, if its name says so and its size agrees."""
        span = _SPAN.fullmatch(self.name)
        return int(span[1]) if span and int(span[2]) - int(span[1]) + 1 == self.size else None


class Chunks:
    """The folder of uploads of one account."""

    def __init__(self, tree: Tree, guard: Guard, upload: Upload) -> None:
        self._tree = tree
        self._guard = guard
        self._upload = upload

    def are_meant(self, request: Request) -> bool:
        """Whether chunks are to be put together."""
        located = request.located
        return self._is_here(located) and located.name == _WHOLE and request.status is None and not located.is_root

    def prepare(self, request: Request) -> None:
        """Before MKCOL: the folder of uploads must be there, and old ones go.

        :raises OSError: when it cannot be made.
        """
        if not self._is_here(request.located) or self._tree.uploads is None:
            return
        make_own_folder(Path(self._tree.uploads.folder))
        top = Located(self._tree.uploads, self._tree.uploads.folder)
        for entry in list(self._tree.children(top)):
            self._expire(top.child(entry.name))

    def assemble(self, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        """MOVE of ``.file``: answers as a PUT of the whole would.

        :raises DAVError: 400 when a chunk is missing, 404 when there are none, 409, 412, 423, 507.
        """
        source, environ = request.located.parent, request.environ
        if self._tree.stat_or_none(source) is None:
            raise refused(HTTPStatus.NOT_FOUND, "There is no such upload.")
        target = destination(self._tree, request)
        whole = Request(environ, target, self._tree.stat_or_none(target), request.conditions)
        stamp, checksum = stamp_of(request), checksum_of(environ.get("HTTP_OC_CHECKSUM"))
        if str(environ.get("HTTP_OVERWRITE", "T")).strip().upper() == "F" and whole.status is not None:
            raise refused(HTTPStatus.PRECONDITION_FAILED, "There is something at the Destination already.")
        self._guard.check_conditions(whole, whole.status)
        check_parent(self._tree, whole)
        if whole.status is None:
            self._guard.check_locks(whole, target.parent)
        with self._guard.writing(whole, target, whole.status) as claim:
            folder = self._tree.open(source, os.O_RDONLY | os.O_DIRECTORY)
            try:
                chunks = _in_order(folder)
                _check_whole(chunks, environ.get("HTTP_OC_TOTAL_LENGTH"))
                with self._upload.draft(whole) as draft:
                    check_room(draft.handle, sum(chunk.size for chunk in chunks))
                    _join(folder, chunks, draft.handle)
                    if checksum:
                        add_up(draft.handle, checksum)
                    answer = self._upload.finish(whole, start_response, draft, Wanted(stamp, checksum, claim))
            finally:
                os.close(folder)
        self._remove(source)
        return answer

    def _is_here(self, located: Located) -> bool:
        return self._tree.uploads is not None and located.root == self._tree.uploads

    def _expire(self, upload: Located) -> None:
        try:
            changed = self._tree.stat(upload).st_ctime
        except (OSError, NotServed):
            return
        if time.time() - changed > ABANDONED:  # noqa: TID251 - held against the times of files
            self._remove(upload)

    def _remove(self, upload: Located) -> None:
        with self._tree.landing(upload) as landing:
            for _failure in remove(landing.folder, landing.name, self._tree.kernel_devices):
                continue


def _in_order(folder: int) -> list[Chunk]:
    with os.scandir(folder) as entries:
        found = [Chunk(entry.name, entry.stat().st_size) for entry in entries if entry.is_file(follow_symlinks=False)]
    if not found:
        raise refused(HTTPStatus.NOT_FOUND, "There are no chunks.")
    return sorted(found, key=lambda chunk: chunk.place)


def _check_whole(chunks: list[Chunk], total: str | None) -> None:
    """No chunk may be missing, as far as their names and the total tell.

    :raises DAVError: 400.
    """
    at = 0
    spans = all(chunk.first is not None for chunk in chunks)
    for chunk in chunks:
        if spans and chunk.first != at:
            raise refused(HTTPStatus.BAD_REQUEST, f"The chunk that begins at {at} is missing.")
        at += chunk.size
    if total is not None and total.strip() != str(at):
        raise refused(HTTPStatus.BAD_REQUEST, f"The chunks have {at} bytes together, not {total.strip()}.")


def _join(folder: int, chunks: list[Chunk], target: int) -> None:
    at = 0
    for chunk in chunks:
        source = os.open(chunk.name, _FLAGS, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                raise NotServed(f"{chunk.name} is no file")
            copy_range(source, target, chunk.size, at)
        finally:
            os.close(source)
        at += chunk.size
    if os.fstat(target).st_size != at:
        raise refused(HTTPStatus.CONFLICT, "A chunk changed while they were put together.")
