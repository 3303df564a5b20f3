"""OPTIONS, MKCOL, DELETE, COPY and MOVE (RFC 4918 section 9)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from supercloud.dav import failures
from supercloud.dav.copying import copy_content, copy_file, copy_tree, put
from supercloud.dav.failures import StartResponse, refused
from supercloud.dav.guard import Guard, Request, local_path
from supercloud.dav.moving import move
from supercloud.dav.part import part_name
from supercloud.dav.properties import DeadProperties
from supercloud.dav.removing import Failure, hindrances, remove
from supercloud.dav.tree import Located, NotServed, Tree, is_folder
from supercloud.dav.writing import Draft

_BOTH: Final = "OPTIONS, GET, HEAD, DELETE, COPY, MOVE, PROPFIND, PROPPATCH, LOCK, UNLOCK"
_MTIME: Final = re.compile(r"-?\d{1,11}(?:\.\d{1,9})?", re.ASCII)
_MILLIARD: Final = 10**9


class Methods:
    """What changes names rather than content."""

    def __init__(self, tree: Tree, guard: Guard, properties: DeadProperties) -> None:
        self._tree = tree
        self._guard = guard
        self._properties = properties

    def options(self, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        """Any address that is served answers, also one that nothing bears yet."""
        if request.status is None:
            allowed = "OPTIONS, PUT, MKCOL, LOCK"
        else:
            allowed = _BOTH if request.is_folder else f"{_BOTH}, PUT"
        classes = "1, 3" if self._guard.locks is None else "1, 2, 3"
        fields = [("DAV", classes), ("MS-Author-Via", "DAV"), ("Allow", allowed), ("Accept-Ranges", "bytes")]
        start_response("200 OK", [*fields, ("Content-Length", "0")])
        return []

    def make_folder(self, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        """MKCOL (RFC 4918 section 9.3)."""
        stamp = stamp_of(request)
        if request.status is not None:
            raise refused(HTTPStatus.METHOD_NOT_ALLOWED, "There is something of this name already.")
        self._guard.check_conditions(request, None)
        self._guard.check_locks(request, request.located.parent)
        with self._tree.landing(request.located) as landing:
            try:
                os.mkdir(landing.name, 0o777, dir_fd=landing.folder)
            except FileExistsError:
                raise refused(HTTPStatus.METHOD_NOT_ALLOWED, "There is something of this name already.") from None
            if stamp is not None:
                os.utime(landing.name, ns=(stamp, stamp), dir_fd=landing.folder, follow_symlinks=False)
        return done(request, start_response, HTTPStatus.CREATED)

    def delete(self, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        """DELETE (section 9.6): everything that can go goes; 207 names what could not."""
        self._need(request, depths=("infinity",) if request.is_folder else ("0", "infinity"))
        self._guard.check_conditions(request, request.status)
        self._guard.check_locks(request, request.located.parent)
        locks = self._guard.check_locks(request, request.located, members=True)
        with self._tree.landing(request.located) as landing:
            failed = list(remove(landing.folder, landing.name, self._tree.kernel_devices))
        if not failed:
            self._guard.drop_locks(locks)
        return self._report(request, start_response, request.located, failed, HTTPStatus.NO_CONTENT)

    def copy_or_move(self, request: Request, start_response: StartResponse) -> Iterable[bytes]:
        """COPY and MOVE (sections 9.8 and 9.9)."""
        moves = request.method == "MOVE"
        depth = self._need(request, depths=("infinity",) if moves else ("0", "infinity"))
        stamp = stamp_of(request)
        target = destination(self._tree, request)
        there = self._tree.stat_or_none(target)
        locks = self._check_pair(request, target, there, moves=moves)
        if moves:
            with self._tree.landing(request.located) as source, self._tree.landing(target) as landing:
                failed = move(source, landing, self._tree.kernel_devices, self._properties.carry)
        else:
            failed = self._copy(request, target, there, members=depth == "infinity")
        if not failed:
            self._guard.drop_locks(locks)
        if stamp is not None and not failed and not self._stamp(target, stamp):
            del request.environ["HTTP_X_OC_MTIME"]  # which would be answered as accepted
        status = HTTPStatus.CREATED if there is None else HTTPStatus.NO_CONTENT
        return self._report(request, start_response, request.located, failed, status)

    def _need(self, request: Request, *, depths: tuple[str, ...]) -> str:
        """Something must be there, and the Depth be one that the method knows; infinity unless said."""
        if request.status is None:
            raise refused(HTTPStatus.NOT_FOUND, "There is nothing of this name.")
        depth = str(request.environ.get("HTTP_DEPTH", "infinity")).strip().lower()
        if depth not in depths and (request.is_folder or depth != "0"):
            raise refused(HTTPStatus.BAD_REQUEST, "This Depth does not go with this method.")
        return depth

    def _check_pair(
        self, request: Request, target: Located, there: os.stat_result | None, *, moves: bool
    ) -> tuple[int, ...]:
        """What must hold before anything is changed.

        :return: locks that end with what is moved away, and with what is replaced.
        """
        overwrite = str(request.environ.get("HTTP_OVERWRITE", "T")).strip().upper()
        if overwrite not in ("T", "F"):
            raise refused(HTTPStatus.BAD_REQUEST, "Overwrite is T or F.")
        self._guard.check_conditions(request, request.status)
        parent = self._tree.stat_or_none(target.parent)
        if parent is None or not is_folder(parent):
            raise refused(HTTPStatus.CONFLICT, "The folder that should hold it is not there.")
        find = self._tree.landing if moves else self._tree.followed
        with find(request.located) as source, self._tree.landing(target) as landing:
            _refuse_overlap(source.located.path, landing.located.path)
        if there is not None and overwrite == "F":
            raise refused(HTTPStatus.PRECONDITION_FAILED, "There is something at the Destination already.")
        locks: tuple[int, ...] = ()
        if moves:
            self._guard.check_locks(request, request.located.parent)
            locks += self._guard.check_locks(request, request.located, members=True)
        if there is None:
            self._guard.check_locks(request, target.parent)
        elif moves or request.is_folder or is_folder(there):
            locks += self._guard.check_locks(request, target, members=True)
        return locks

    def _copy(self, request: Request, target: Located, there: os.stat_result | None, *, members: bool) -> list[Failure]:
        devices = self._tree.kernel_devices
        with self._tree.landing(target) as landing:
            if there is not None and is_folder(there):
                for _path, error in hindrances(landing.folder, landing.name, devices):
                    raise error
            if not request.is_folder:
                self._copy_file(request, target, there)
                return []
            with self._tree.followed(request.located) as source:
                return copy_tree(source, landing, devices, self._properties.carry, members=members)

    def _copy_file(self, request: Request, target: Located, there: os.stat_result | None) -> None:
        handle = self._tree.open(request.located, os.O_RDONLY)
        try:
            if there is not None and is_folder(there):
                with self._tree.landing(target) as landing:
                    name = part_name(landing.name)
                    copy_file(handle, landing.folder, name, self._properties.carry)
                    put(landing, name, self._tree.kernel_devices)
                return
            status = os.fstat(handle)
            with (
                self._guard.writing(request, target, there) as claim,
                Draft(self._tree, target, mode=status.st_mode & 0o777) as draft,
            ):
                copy_content(handle, draft.handle)
                draft.stamp(status.st_mtime_ns)
                draft.commit(claim)
                if draft.old is not None:
                    self._properties.clear(draft.written)
                self._properties.carry(handle, draft.written)
        finally:
            os.close(handle)

    def _stamp(self, target: Located, stamp: int) -> bool:
        """Whether the time could be set: what was moved can be somebody else's, and is moved all the same."""
        with self._tree.seen(target) as (handle, _status):
            try:
                os.utime(f"/proc/self/fd/{handle}", ns=(stamp, stamp))
            except PermissionError:
                return False
        return True

    def _report(
        self, request: Request, start_response: StartResponse, base: Located, failed: list[Failure], good: HTTPStatus
    ) -> Iterable[bytes]:
        """One error of the resource itself is the answer; members' are listed (section 9.6.1)."""
        if not failed:
            return done(request, start_response, good)
        errors = [(path, failures.of_any(error, writing=True)) for path, error in failed]
        if len(errors) == 1 and errors[0][0] == "":
            raise errors[0][1]
        top = base.path.rstrip("/")
        located = ((Located(base.root, (top + path) or "/"), error) for path, error in errors)
        named = ((request.href(member, folder=False), error) for member, error in located)
        return failures.answer_members(start_response, named)


def destination(tree: Tree, request: Request) -> Located:
    """Where the Destination field leads.

    :raises DAVError: 400 when there is none, 502 when it leads to another server (section 9.8.5), 403 out of reach.
    """
    given = request.environ.get("HTTP_DESTINATION")
    if not given:
        raise refused(HTTPStatus.BAD_REQUEST, "The Destination is missing.")
    try:
        return tree.locate(local_path(request.environ, given.strip()))
    except ValueError:
        raise refused(HTTPStatus.BAD_GATEWAY, "The Destination is on another server.") from None
    except NotServed as error:
        raise failures.of_any(error, writing=True) from error


def done(request: Request, start_response: StartResponse, status: HTTPStatus) -> Iterable[bytes]:
    """Answer that it is done; without a body."""
    fields = [] if status is HTTPStatus.NO_CONTENT else [("Content-Length", "0")]
    if "HTTP_X_OC_MTIME" in request.environ:
        fields.append(("X-OC-MTime", "accepted"))
    start_response(failures.status_line(status), fields)
    return []


def stamp_of(request: Request) -> int | None:
    """The time of the last change that the client wants, in nanoseconds (ownCloud's X-OC-Mtime, in seconds).

    :raises DAVError: 400 when it is no number.
    """
    given = request.environ.get("HTTP_X_OC_MTIME")
    if given is None:
        return None
    if not _MTIME.fullmatch(given.strip()):
        raise refused(HTTPStatus.BAD_REQUEST, "X-OC-Mtime is a number of seconds.")
    whole, _, fraction = given.strip().partition(".")
    return int(whole) * _MILLIARD + (-1 if whole.startswith("-") else 1) * int(fraction.ljust(9, "0") or 0)


def _refuse_overlap(source: str, target: str) -> None:
    """Nothing is copied or moved onto, into or around itself (sections 9.8.5 and 9.9.4).

    :raises DAVError: 403.
    """
    if target == source or target.startswith(source.rstrip("/") + "/"):
        raise refused(HTTPStatus.FORBIDDEN, "It cannot be put onto or into itself.")
    if source.startswith(target.rstrip("/") + "/"):
        raise refused(HTTPStatus.FORBIDDEN, "It cannot take the place of a folder that holds it.")
