"""A folder with all that is below it as one file (tar), made while it is sent: nothing of it is kept."""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from supercloud.dav.body import BLOCK
from supercloud.dav.failures import Fields
from supercloud.dav.kernel import close_read
from supercloud.dav.tree import Located, NotServed, Tree

ASKED: Final = "tar"  # the query of a folder's address
_ENDING: Final = bytes(2 * tarfile.BLOCKSIZE)
_LEFT_OUT: Final = "NOT IN THIS ARCHIVE.txt"


def fields_of(located: Located) -> Fields:
    """What goes with it."""
    name = quote(os.fsencode(located.name or "files"), safe="")
    return [
        ("Content-Type", "application/x-tar"),
        ("Content-Disposition", f"attachment; filename*=UTF-8''{name}.tar"),
        ("Cache-Control", "no-store"),
    ]


def archive(tree: Tree, located: Located) -> Iterator[bytes]:
    """The archive's bytes. Links are stored as links; what cannot be read is named in a text at the end.

    :raises OSError: a file could not be read to its end; the connection is closed, so that the client notices.
    """
    base = located.name or "files"
    left_out: list[str] = []
    waiting = [(located, base)]
    while waiting:
        member, name = waiting.pop()
        try:
            handle, status = tree.opened(member, os.O_RDONLY)
        except (OSError, NotServed):
            left_out.append(name)
            continue
        try:
            yield _head(name, status)
            if not stat.S_ISDIR(status.st_mode):
                yield from _content(handle, status.st_size)
                continue
        finally:
            close_read(handle)
        try:
            for entry in tree.children(member):
                inside = f"{name}/{entry.name}"
                if entry.is_symlink():
                    leads = os.readlink(f"{member.path}/{entry.name}")  # noqa: PTH115
                    yield _head(inside, entry.stat(follow_symlinks=False), leads)
                else:
                    waiting.append((member.child(entry.name), inside))
        except (OSError, NotServed):
            left_out.append(name)
    if left_out:
        text = "".join(f"{name}\n" for name in left_out).encode("utf-8", "surrogateescape")
        yield _header(tarfile.TarInfo(f"{base}/{_LEFT_OUT}"), len(text)) + text + _padding(len(text))
    yield _ENDING


def _head(name: str, status: os.stat_result, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
    info.uid, info.gid = status.st_uid, status.st_gid
    if link:
        info.type, info.linkname = tarfile.SYMTYPE, link
        return _header(info, 0)
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        return _header(info, 0)
    return _header(info, status.st_size)


def _header(info: tarfile.TarInfo, size: int) -> bytes:
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _content(handle: int, size: int) -> Iterator[bytes]:
    at = 0
    while at < size:
        block = os.pread(handle, min(BLOCK, size - at), at)
        if not block:
            raise OSError(errno.EIO, "the file became shorter while it was sent")
        at += len(block)
        yield block
    yield _padding(size)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
