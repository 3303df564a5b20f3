"""PROPFIND (RFC 4918 section 9.1), written while the folder is read.

wsgidav makes an object for each member and a tree for each property, and sends nothing before all of them are made.
Here each member is one formatted string (see `supercloud.dav.live`); locks are asked for many members at once, dead
properties only when they are wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from itertools import islice
from typing import Any, Final

from supercloud.dav.asked import Asked, Depth, Want, depth_of, read_body, wants_minimum
from supercloud.dav.extras import DeadTexts, LockTexts, QuotaTexts
from supercloud.dav.failures import StartResponse, refused
from supercloud.dav.guard import Guard, Request
from supercloud.dav.live import LOCKDISCOVERY, QUOTA, Member, Sheet, is_dead, member
from supercloud.dav.tree import Located, NotServed, Tree, is_folder
from supercloud.dav.xml_text import BadXml

# What Depth: infinity may cover; more is refused (section 9.1). A drive that is mounted never asks for it.
MOST_MEMBERS: Final = 10_000
MOST_LEVELS: Final = 32
_TOGETHER: Final = 512  # members about whose locks is asked at once
_PIECE: Final = 80  # members in one write, about 64 KiB with the usual properties
# What is below the folder that was asked for may be closed to this account, or gone since.
_CLOSED: Final = (PermissionError, FileNotFoundError, NotADirectoryError, NotServed)
_HEAD: Final = '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">\n'
_TAIL: Final = "</D:multistatus>\n"
_OK: Final = "</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>"
_NOT_FOUND: Final = "</D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>"
_BEGIN: Final = "<D:propstat><D:prop>"
_CUT: Final = "<D:response><D:href>{}</D:href><D:status>HTTP/1.1 507 Insufficient Storage</D:status></D:response>\n"


class Propfind:
    """Answers PROPFIND.

    :param properties: a property manager of wsgidav's kind, or None.
    """

    def __init__(self, tree: Tree, guard: Guard, properties: Any) -> None:
        self._tree = tree
        self._guard = guard
        self._properties = properties

    def answer(self, request: Request, start_response: StartResponse, document: bytes) -> Iterable[bytes]:
        """Answer one request.

        :param document: its body.
        :raises DAVError: 400, 403, 404, 412.
        :raises OSError: as the kernel says; all before the answer has begun, unless the folder breaks meanwhile.
        """
        self._guard.check_conditions(request, request.status)
        if request.status is None:
            raise refused(HTTPStatus.NOT_FOUND, "There is nothing of this name.")
        try:
            asked, depth = read_body(document), depth_of(request.environ)
        except BadXml:
            raise refused(HTTPStatus.BAD_REQUEST, "The body cannot be read.") from None
        except ValueError:
            raise refused(HTTPStatus.BAD_REQUEST, "Depth is 0, 1 or infinity.") from None
        walk = _Walk(self._tree, request, depth)
        walk.refuse_endless()
        pieces = _Writer(self._tree, self._guard.locks, self._properties, request, asked).pieces(walk)
        first, second = next(pieces), next(pieces, None)
        fields = [("Content-Type", "application/xml; charset=utf-8")]
        if wants_minimum(request.environ):
            fields.append(("Preference-Applied", "return=minimal"))
        if second is None:
            start_response("207 Multi-Status", [*fields, ("Content-Length", str(len(first)))])
            return [first]
        start_response("207 Multi-Status", fields)
        return _joined(first, second, pieces)


class _Walk:
    """The resources that are answered about, in the folders that hold them.

    :ivar cut: the href of the resource, once there turned out to be more below it than is answered.
    """

    def __init__(self, tree: Tree, request: Request, depth: Depth) -> None:
        self._tree = tree
        self._top = request.located
        self._depth = depth if request.is_folder else Depth.ITSELF
        self._left = MOST_MEMBERS
        self._status = request.status
        self._href = request.href(request.located, folder=request.is_folder)
        self.cut = ""

    def refuse_endless(self) -> None:
        """Count what Depth: infinity would cover: names only, which is quick.

        :raises DAVError: 403.
        """
        if self._depth is not Depth.INFINITY:
            return
        left, folders = MOST_MEMBERS, [(self._top, 0)]
        while folders:
            folder, level = folders.pop()
            try:
                for entry in self._tree.children(folder):
                    left -= 1
                    if left < 0 or level >= MOST_LEVELS:
                        why = "There is too much below this folder. Ask for Depth: 1."
                        raise refused(HTTPStatus.FORBIDDEN, why, condition="{DAV:}propfind-finite-depth")
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((folder.child(entry.name), level + 1))
            except (OSError, NotServed):
                continue  # `groups` meets it again, and knows what to do

    def groups(self) -> Iterator[tuple[str, list[Member]]]:
        """First the resource itself, then members, some at a time; each group with its folder's href.

        :raises OSError: the folder itself cannot be read, or one below it broke: a client must not take it for empty.
        """
        if self._status is None:
            return
        name = self._top.address.rpartition("/")[2]  # a root has one in its address only
        top = Member(self._href, name, self._status, is_folder(self._status))
        yield "", [top]
        if self._depth is Depth.ITSELF:
            return
        folders = [(self._top, top.href)]
        while folders:
            folder, href = folders.pop()
            members = self._members(folder, href, folders)
            try:
                while group := list(islice(members, _TOGETHER)):
                    yield href, group
            except _CLOSED:
                if folder is self._top:
                    raise

    def _members(self, folder: Located, href: str, folders: list[tuple[Located, str]]) -> Iterator[Member]:
        tree, goes_on = self._tree, self._depth is Depth.INFINITY
        for entry in tree.children(folder):
            status = tree.member(folder, entry)
            if status is None:
                continue
            one = member(href, entry.name, status, is_folder=is_folder(status))
            if goes_on:
                self._left -= 1
                if self._left < 0:  # it grew since it was counted
                    self.cut = self._href
                    folders.clear()
                    return
                # A link to a folder is told, not followed: it may lead round in a circle.
                if one.is_folder and not entry.is_symlink():
                    folders.append((folder.child(entry.name), one.href))
            yield one


class _Writer:
    """Writes the responses."""

    def __init__(self, tree: Tree, locks: Any, properties: Any, request: Request, asked: Asked) -> None:
        prefix = request.href(request.located, folder=False).removesuffix(request.located.href)
        self._locks = LockTexts(locks, prefix)
        sheet = Sheet(self._locks.text if locks is not None else None)
        self._asked = asked
        self._is_brief = wants_minimum(request.environ)
        names = (*sheet.usual, *asked.names) if asked.want is Want.ALL else asked.names
        names = tuple(dict.fromkeys(names))
        # False and True: for files and for folders.
        self._templates = {kind: sheet.template(names, asked.names, is_folder=kind) for kind in (False, True)}
        self._names = {kind: sheet.names(is_folder=kind) for kind in (False, True)}
        self._asks_locks = locks is not None and LOCKDISCOVERY in names
        quota = tuple(name for name in names if name in QUOTA)
        dead = tuple(filter(is_dead, names))
        self._quota = QuotaTexts(tree, quota, prefix) if quota else None
        self._dead = DeadTexts(properties, request.environ, asked.want, dead, prefix=prefix)

    def pieces(self, walk: _Walk) -> Iterator[bytes]:
        """The document, in pieces."""
        parts = [_HEAD]
        write = self._write_names if self._asked.want is Want.NAMES else self._write
        for folder, group in walk.groups():
            if self._asks_locks:
                self._locks.look(folder, group)
            if self._dead.are_wanted:
                self._dead.look(folder, group)
            for one in group:
                if len(parts) > _PIECE:
                    yield "".join(parts).encode()
                    parts.clear()
                parts.append(write(one))
        if walk.cut:
            parts.append(_CUT.format(walk.cut))
        parts.append(_TAIL)
        yield "".join(parts).encode()

    def _write(self, one: Member) -> str:
        template = self._templates[one.is_folder]
        found, missing = template.fill(one), template.missing
        if self._quota is not None and one.is_folder:
            more, lacking = self._quota.of(one)
            found, missing = found + more, missing + lacking
        if self._dead.are_wanted:
            more, lacking = self._dead.of(one)
            found, missing = found + more, missing + lacking
        if self._is_brief:
            missing = ""
        # A response has a propstat at least (section 14.24).
        good = f"{_BEGIN}{found}{_OK}" if found or not missing else ""
        bad = f"{_BEGIN}{missing}{_NOT_FOUND}" if missing else ""
        return f"<D:response><D:href>{one.href}</D:href>{good}{bad}</D:response>\n"

    def _write_names(self, one: Member) -> str:
        names = self._names[one.is_folder] + self._dead.names_of(one)
        return f"<D:response><D:href>{one.href}</D:href>{_BEGIN}{names}{_OK}</D:response>\n"


def _joined(first: bytes, second: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """A generator, so that the server closes it, and with it the folder, when the client leaves."""
    yield first
    yield second
    yield from rest
