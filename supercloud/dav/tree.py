"""From a URL path to a file, and to a descriptor of it: what is served, and what never is.

The kernel's permissions for the account are the guard. This module adds what they do not say: nothing outside a
configured root, whatever a symbolic link says; nothing of the kernel's own file systems; and nothing but regular files
and folders is ever opened, because opening a FIFO waits and opening a device acts.

A file is opened twice: by O_PATH, which neither waits nor acts, to look at what it is and where it really lies; then
through ``/proc/self/fd``, which leads to the very same file even if its name was given to another one in between.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, Self
from unicodedata import normalize
from urllib.parse import quote

from supercloud.dav.kernel import (
    KERNEL_FOLDERS,
    KERNEL_MAGIC,
    close_read,
    is_kernels,
    is_within,
    kernel_devices,
    magic,
)
from supercloud.dav.part import is_part_name

# RFC 3986 section 3.3: what a path segment may hold as it is. "~" is unreserved, "'" trips pages that quote with it.
SAFE: Final = "/!*(),$-_.+:@=~"
HOME: Final = "~"
_UPLOADS: Final = ".cache/supercloud/uploads"  # in the home
_MAX_LINKS: Final = 40  # MAXSYMLINKS of Linux
# What open says for a name that leads nowhere.
NOWHERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


class NotServed(Exception):
    """Outside every root, or of a kind that is never served: answered 404, or 403 to who wants to write there."""


@dataclass(frozen=True, slots=True)
class Root:
    """A folder and its address.

    :ivar address: below /dav: "/" or "/data"; no trailing slash but in "/".
    :ivar folder: absolute; no trailing slash but in "/".
    :ivar boundary: what no symbolic link may lead out of: the folder; "/" for "~" where all of "/" is served.
    """

    address: str
    folder: str
    boundary: str


@dataclass(frozen=True, slots=True)
class Located:
    """Where a URL path leads; says nothing about whether something is there.

    :ivar path: absolute on the file system, without trailing slash unless it is "/".
    :ivar asked: the address by which it was asked for, where that spells its names otherwise; see `Tree.locate`.
    """

    root: Root
    path: str
    asked: str = field(default="", compare=False)

    @property
    def href(self) -> str:
        """The quoted URL path below /dav, at the address by which it was asked for; no trailing slash but in "/"."""
        return quote(os.fsencode(self.address), safe=SAFE)

    @property
    def address(self) -> str:
        """The same, decoded; bytes that are not UTF-8 stand as lone surrogates (PEP 383)."""
        if self.asked:
            return self.asked
        within = self.path[len(self.root.folder.rstrip("/")) :]
        return self.root.address.rstrip("/") + within if within.strip("/") else self.root.address

    @property
    def name(self) -> str:
        """The last segment; empty for a root."""
        return "" if self.is_root else self.path.rpartition("/")[2]

    @property
    def is_root(self) -> bool:
        """Whether this is the top of its root, which is neither moved nor removed."""
        return self.path == self.root.folder

    @property
    def parent(self) -> Located:
        """The folder that holds it; a root is its own parent."""
        if self.is_root:
            return self
        return Located(self.root, self.path.rpartition("/")[0] or "/", self.asked.rpartition("/")[0])

    def child(self, name: str) -> Located:
        """The member of that name."""
        return Located(self.root, f"{self.path.rstrip('/')}/{name}", f"{self.asked}/{name}" if self.asked else "")


@dataclass(frozen=True, slots=True)
class Landing:
    """A name in a folder that is open, so that it is made or removed there and nowhere else. Closed by its user.

    :ivar located: the real path of the name, without links before its last segment.
    :ivar folder: an O_PATH descriptor.
    """

    located: Located
    folder: int
    name: str

    def status(self) -> os.stat_result | None:
        """What bears the name, a link itself; None for nothing."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()


class Tree:
    """Every root of the site, for one account."""

    def __init__(self, roots: Mapping[str, str], home: str, login: str | None = None, *, alike: bool = False) -> None:
        """Take the site's roots.

        :param roots: address below /dav ("/", "/data") to folder ("/", "~", "/srv/data").
        :param home: the account's home; stands for "~".
        :param login: for the addresses of ownCloud's dialect, /files/LOGIN and /uploads/LOGIN.
        :param alike: the normal forms of a name (Unicode) are one name, as on a Mac.
        :raises ValueError: for an address or a folder that is not absolute.
        """
        made = [_root(address, home if folder == HOME else folder) for address, folder in roots.items()]
        everything = next((root for root in made if root.address == "/" and root.folder == "/"), None)
        if everything is not None and home.startswith("/"):
            made.append(Root(f"/{HOME}", _trimmed(home), everything.boundary))
        self.home = home
        self._alike = alike
        self.uploads: Root | None = None
        first = next((root for root in reversed(made) if root.address in (f"/{HOME}", "/")), None)
        if login is not None and first is not None:
            made.append(replace(first, address=f"/files/{login}"))
            self.uploads = _root(f"/uploads/{login}", f"{home.rstrip('/')}/{_UPLOADS}")
            made.append(self.uploads)
        self.roots = tuple(sorted(made, key=lambda root: len(root.address), reverse=True))
        self.kernel_devices = kernel_devices()
        self._real = {root.boundary: os.path.realpath(root.boundary) for root in self.roots}

    def locate(self, path: str) -> Located:
        """Where a decoded URL path below /dav leads.

        :param path: begins with "/"; bytes that are not UTF-8 stand as lone surrogates (PEP 383).
        :raises NotServed: for a path outside every root, or one with a NUL, or segments that are empty, "." or "..".
        """
        if "\0" in path or not path.startswith("/"):
            raise NotServed(f"{path!r} is not a path")
        trimmed = path.rstrip("/")
        if len(path) - len(trimmed) > 1:
            raise NotServed(f"{path!r} has empty segments")
        segments = trimmed.split("/")[1:]
        if not all(segments) or "." in segments or ".." in segments:
            raise NotServed(f"{path!r} has segments that are empty or lead elsewhere")
        address = trimmed or "/"
        for root in self.roots:
            if root.address == "/" or address == root.address or address.startswith(root.address + "/"):
                within = address[len(root.address.rstrip("/")) :].rstrip("/")
                located = Located(root, (root.folder.rstrip("/") + within) or "/")
                if self._alike and not within.isascii() and not os.path.lexists(located.path):
                    located = Located(root, _as_there(root.folder.rstrip("/"), within), address)
                if is_kernels(located.path):
                    raise NotServed(f"{located.path} is the kernel's")
                return located
        raise NotServed(f"{path!r} is outside every root")

    def open(self, located: Located, flags: int, *, dir_fd: int | None = None, name: str | None = None) -> int:
        """A descriptor of a regular file or a folder; the caller closes it. Never waits for another process.

        ``O_CREAT`` and ``O_TRUNC`` are not for here: what exists is opened, see ``writing`` for the rest.

        :param flags: as for os.open; O_CLOEXEC and O_NONBLOCK are added.
        :param dir_fd: with ``name``: a folder that was opened before, to save the walk; ``located`` is the member then.
        :raises NotServed: for what is never served.
        :raises OSError: as the kernel says.
        """
        return self.opened(located, flags, dir_fd=dir_fd, name=name)[0]

    def opened(
        self, located: Located, flags: int, *, dir_fd: int | None = None, name: str | None = None
    ) -> tuple[int, os.stat_result]:
        """The same, with what it is: one call of the kernel less for who wants both."""
        with self.seen(located, dir_fd=dir_fd, name=name) as (handle, status):
            if flags & os.O_PATH:
                return os.dup(handle), status
            again = f"/proc/self/fd/{handle}"
            return os.open(again, (flags & ~os.O_NOFOLLOW) | os.O_CLOEXEC | os.O_NONBLOCK), status

    def stat(self, located: Located) -> os.stat_result:
        """What is there; a symbolic link is followed. Needs no permission to read it, only to get there.

        :raises NotServed: for what is never served.
        :raises OSError: as the kernel says.
        """
        with self.seen(located) as (_handle, status):
            return status

    def stat_or_none(self, located: Located) -> os.stat_result | None:
        """What is there, or None for nothing: not found, or behind something that is no folder.

        :raises NotServed: for what is there and is never served.
        :raises OSError: when the kernel forbids looking.
        """
        try:
            return self.stat(located)
        except OSError as error:
            if error.errno in NOWHERE:
                return None
            raise

    def children(self, located: Located) -> Iterator[os.DirEntry[str]]:
        """The entries of a folder; what is surely never served, and parts of uploads, are left out.

        Their ``stat`` is valid while this generator is open. A symbolic link is among them: ask ``member`` about it.

        :raises NotServed: for what is never served.
        :raises OSError: as the kernel says.
        """
        folder = self.open(located, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    kinds = entry.is_file(follow_symlinks=False), entry.is_dir(follow_symlinks=False)
                    if (any(kinds) or entry.is_symlink()) and not is_part_name(entry.name):
                        yield entry
        finally:
            os.close(folder)

    def member(self, folder: Located, entry: os.DirEntry[str]) -> os.stat_result | None:
        """What an entry of ``children`` is, links followed; None for what is gone, dangling or never served."""
        try:
            if entry.is_symlink():
                return self.stat(folder.child(entry.name))
            status = entry.stat(follow_symlinks=False)
        except (OSError, NotServed):
            return None
        if status.st_dev in self.kernel_devices or not _is_kind_served(status):
            return None
        return None if folder.path == "/" and f"/{entry.name}" in KERNEL_FOLDERS else status

    def landing(self, located: Located) -> Landing:
        """Where a name lies for whoever makes, renames or removes it: an open folder and a name in it.

        Links on the way are followed, the last segment is not. The caller closes it.

        :raises NotServed: for what is never served, a root itself among them.
        :raises OSError: as the kernel says.
        """
        if located.is_root:
            raise NotServed(f"{located.path} is a root")
        with self.seen(located.parent) as (handle, status):
            if not is_folder(status):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), located.parent.path)
            real = Located(located.root, f"{where_it_lies(handle).rstrip('/')}/{located.name}")
            if is_kernels(real.path):
                raise NotServed(f"{located.path} leads to {real.path}")
            return Landing(real, os.dup(handle), located.name)

    def followed(self, located: Located) -> Landing:
        """The same for whoever writes into what a link leads to: a symbolic link at the end is followed too.

        :raises NotServed: for what is never served.
        :raises OSError: as the kernel says; ELOOP for links that lead in a circle.
        """
        landing = self.landing(located)
        for _ in range(_MAX_LINKS):
            status = landing.status()
            if status is None or not stat.S_ISLNK(status.st_mode):
                return landing
            with landing:
                target = os.readlink(landing.name, dir_fd=landing.folder)
                joined = os.path.join(os.path.dirname(landing.located.path), target)  # noqa: PTH118, PTH120
                landing = self.landing(Located(located.root, os.path.realpath(joined)))
        landing.close()
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), located.path)

    @contextmanager
    def seen(
        self, located: Located, *, dir_fd: int | None = None, name: str | None = None
    ) -> Iterator[tuple[int, os.stat_result]]:
        """An O_PATH descriptor and what it is, both checked; the descriptor is closed at the end.

        :raises NotServed: for what is never served.
        :raises OSError: as the kernel says.
        """
        handle = os.open(located.path if name is None else name, os.O_PATH | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            status = os.fstat(handle)
            self._check(located, handle, status)
            yield handle, status
        finally:
            close_read(handle)

    def _real_now(self, boundary: str) -> str:
        """A root may be a link, which the site has turned to another folder since."""
        self._real[boundary] = os.path.realpath(boundary)
        return self._real[boundary]

    def _check(self, located: Located, handle: int, status: os.stat_result) -> None:
        """Refuse by kind, by file system, and by where it really lies.

        :raises NotServed: with the reason.
        """
        if not _is_kind_served(status):
            raise NotServed(f"{located.path} is neither a file nor a folder")
        if status.st_dev in self.kernel_devices:
            raise NotServed(f"{located.path} lies on a file system of the kernel's")
        # A disk has a major number; only file systems without one can be the kernel's own.
        if os.major(status.st_dev) == 0 and magic(handle) in KERNEL_MAGIC:
            raise NotServed(f"{located.path} lies on a file system of the kernel's")
        boundary = located.root.boundary
        if boundary == "/":
            return  # the kernel's folders were told by their file systems
        lies = where_it_lies(handle)
        if is_kernels(lies) or not (is_within(lies, self._real[boundary]) or is_within(lies, self._real_now(boundary))):
            raise NotServed(f"{located.path} leads out of its root, to {lies}")


def where_it_lies(handle: int) -> str:
    """The real path of what a descriptor leads to, with no link in it."""
    return os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115 - Path is eight times slower, and this is asked often


def is_folder(status: os.stat_result) -> bool:
    """Whether it is a collection."""
    return stat.S_ISDIR(status.st_mode)


def _as_there(path: str, left: str) -> str:
    """A path by the names that are there, in whichever normal form; from the first that is not, as it was asked for."""
    while left:
        name, _, rest = left[1:].partition("/")
        forms = (name, normalize("NFC", name), normalize("NFD", name))
        at = next((at for form in forms if os.path.lexists(at := f"{path}/{form}")), None)
        if at is None:
            break
        path, left = at, rest and f"/{rest}"
    return path + left


def _root(address: str, folder: str) -> Root:
    if not address.startswith("/") or not folder.startswith("/"):
        raise ValueError(f"dav root {address!r} = {folder!r}: both begin with /")
    trimmed = _trimmed(folder)
    return Root(_trimmed(address), trimmed, trimmed)


def _trimmed(path: str) -> str:
    return os.path.normpath("/" + path.strip("/"))


def _is_kind_served(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
